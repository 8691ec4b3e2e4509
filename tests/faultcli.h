/* What fails for a client: memory, or the calls by which it connects, reads and writes. */
#ifndef VT_FAULTCLI_H
#define VT_FAULTCLI_H
#include "faultcalls.h"
static int fault_socket(int family, int type) {
    return fault_hits() ? -EMFILE : vt__plat_sys_socket(family, type);
}
static int fault_connect(int fd, const struct sockaddr *sa, socklen_t len) {
    return fault_hits() ? -ECONNREFUSED : vt__plat_sys_connect(fd, sa, len);
}
static void on_memory(void) { vt__plat.realloc = fault_realloc; }
static void on_calls(void) {
    fault_conn_calls();
    vt__plat.socket = fault_socket;
    vt__plat.connect = fault_connect;
}
/*--- a WebSocket, whose peer says all of this at once ---*/
#define TALK                                                                                                 \
    "\x81\x05"                                                                                               \
    "early\x89\x01p\x01\x02in\x80\x04 two\x88\x02\x0f\xa0"
static inline bool talk(vt_client *c, const char *http_url) {
    const vt_ws_cfg cfg = {.protocols = "a", .fields = "X-Field: value\r\n", .close_ms = VT_NONE};
    char url[120];
    vt_ws *ws;
    vt_str m;
    snprintf(url, sizeof url, "ws%.100s", http_url + 4);
    int r = vt_client_ws(c, url, &cfg, &ws);
    CHECK_EQ(r == 0, ws != NULL);
    if (ws && (r = vt_ws_recv(ws, &m)) > 0) CHECK_STR(m.ptr, "early");
    if (ws && r > 0) r = vt_ws_text(ws, "x");
    if (ws && r == 0 && (r = vt_ws_begin(ws, VT_WS_BINARY)) == 0) {
        int64_t n = vt_ws_write(ws, "y", 1);
        r = vt_ws_end(ws);
        if (n < 0) r = (int)n;
    }
    if (ws && r == 0 && (r = vt_ws_recv(ws, &m)) > 0) CHECK_STR(m.ptr, "in two");
    if (ws && r > 0 && (r = vt_ws_close(ws, 4000, "bye")) == 0) r = vt_ws_recv(ws, &m);
    CHECK(!ws || r != 0 || vt_ws_close_code(ws) == 4000);
    vt_ws_free(ws);
    return r == 0;
}
#endif
