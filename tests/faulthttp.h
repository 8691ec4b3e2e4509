/* What servers under faults serve: a handler for each kind of memory and of call that a connection asks for. */
#ifndef VT_FAULTHTTP_H
#define VT_FAULTHTTP_H
#include "handlers.h"

#define HOST "Host: a\r\n"

static int h_fields(vt_req *req, vt_res *res) {
    vt_str v = vt_req_field(req, "x-99"), q = vt_req_query(req, "q");
    if (!v.ptr || !q.ptr || !vt_req_alloc(req, 100000)) return -ENOMEM;
    int r = vt_res_field(res, "X-Copy", v.ptr);
    return r < 0 ? r : vt_res_printf(res, 200, "%s %s", v.ptr, q.ptr);
}
static int h_stream(vt_req *req, vt_res *res) {
    static const char piece[3000] = "piece";
    (void)req;
    for (int i = 0; i < 20; i++) {
        int64_t n = vt_res_write(res, piece, sizeof piece);
        if (n < 0) return (int)n;
        if (i % 7 == 0) vt_sleep_ms(1);
    }
    return vt_res_trailer(res, "X-End", "1");
}
static int h_child(void *arg) {
    (void)arg;
    vt_yield();
    return 7;
}
static int h_spawn(vt_req *req, vt_res *res) {
    int result = 0;
    (void)req;
    int r = vt_await(vt_async(h_child, NULL), &result);
    return r < 0 ? r : vt_res_printf(res, 200, "%d", result);
}
static int h_upgrade(vt_req *req, vt_res *res) {
    vt_stream *st;
    char buf[100];
    (void)req;
    int r = vt_res_upgrade(res, "echo", &st);
    if (r < 0) return r;
    int64_t n = vt_stream_read(st, buf, sizeof buf);
    return n > 0 && vt_stream_write(st, buf, (size_t)n) == n ? 0 : -EIO;
}
static const char *file_path = "/disk";
static int h_file(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_file(res, 200, "text/plain", file_path);
}
static void routes(vt_server *s) {
    vt_server_get(s, "/file", h_file);
    vt_server_get(s, "/fields", h_fields);
    vt_server_post(s, "/body", h_echo);
    vt_server_get(s, "/stream", h_stream);
    vt_server_get(s, "/spawn", h_spawn);
    vt_server_get(s, "/upgrade", h_upgrade);
}
/* What /fields is asked with: a hundred fields. */
static inline void fields_head(char *p, size_t cap) {
    size_t n = (size_t)snprintf(p, cap, "GET /fields?q=%%41 HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 100; i++) n += (size_t)snprintf(p + n, cap - n, "x-%d: %d\r\n", i, i);
    snprintf(p + n, cap - n, "\r\n");
}
#define ASK_CHUNKED                                                                                          \
    "POST /body HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n"
#endif
