/* As fault_srv.c, over HTTP/2: whoever is hit gets an error, a reset or a close, the next client is served, nothing
 * leaks. */
#define VTHTTP_SIM 1
#define VTHTTP_H2 1
#define E2E_WORKERS 1
#define E2E_MS 5000
#include "e2e.h"

#include "faultcalls.h"
#include "faulthttp.h"
#include "faultsweep.h"
#include "h2client.h"
#include "tmp.h"

#define WS_H2 1
#include "wsclient.h"

#include "faultws.h"

static char body[40000];
static bool one(struct h2 *h, const char *what, const char *lines, size_t n, int want) {
    if (h->c.fd < 0 && !h2_open(h)) return false;
    uint32_t id = h2_ask(h, what, lines, n == 0);
    if (n) h2_body(h, id, body, n, true);
    int status = h2_wait(h, id);
    if (status == H2_TIMEOUT || h->bad)
        test_fail(__FILE__, __LINE__, what); /* no answer and no close: a hang */
    return status == want;
}
/* A connection that begins with HTTP/1.1. */
static bool by_upgrade(void) {
    H2(h);
    if (!cl_open(&h.c)) return false;
    cl_puts(&h.c, "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                  "HTTP2-Settings: AAMAAABk\r\n\r\n");
    int status = cl_response(&h.c);
    if (status == -1) test_fail(__FILE__, __LINE__, "upgrade");
    if (status != 101) return false;
    h2_init(&h);
    cl_send(&h.c, VT__H2_PREFACE "\0\0\0\4\0\0\0\0\0", VT__H2_PREFACE_LEN + VT__H2_FRAME);
    h.next = 3;
    if (h2_wait(&h, 1) == H2_TIMEOUT || h.bad) test_fail(__FILE__, __LINE__, "upgrade");
    return h.s->status == 200 && one(&h, "GET /stream", NULL, 0, 200);
}
static bool work(void) {
    file_path = tmp_text("file", "text");
    char lines[2000], *p = lines;
    H2(h);
    for (int i = 0; i < 100; i++) p += sprintf(p, "x-%d: %d\n", i, i);
    bool good = one(&h, "GET /fields?q=%41", lines, 0, 200);
    good &= one(&h, "POST /body", "content-length: 40000\n", sizeof body, 200);
    good &= one(&h, "POST /body", NULL, 100, 200);
    good &= one(&h, "GET /stream", NULL, 0, 200);
    good &= one(&h, "GET /file", NULL, 0, 200);
    good &= one(&h, "GET /spawn", NULL, 0, 200);
    good &= one_ws(body, sizeof body);
    good &= one_ws_streamed(body);
    good &= one(&h, "GET /%zz", NULL, 0, 400);
    good &= by_upgrade();
    return good;
}
TEST(fault_one_allocation_fails_h2) { sweep(on_memory, ws_routes, work, false); }
TEST(fault_all_allocations_fail_from_there_h2) { sweep(on_memory, ws_routes, work, true); }
TEST(fault_one_system_call_fails_h2) { sweep(on_calls, ws_routes, work, false); }
/* A reset that is to be said when there is no memory for output: the connection ends, and nothing of it is left. */
static int h_no_memory(vt_req *req, vt_res *res) {
    static void *all[300];
    size_t n = 0;
    (void)req;
    CHECK(vt_res_write(res, "some", 4) == 4 && vt_res_flush(res) == 0);
    vt_sleep_ms(10);
    fault_set(1, true);
    while (n < VT__COUNT(all) && (all[n] = vt__mem_pool_get(&vt__sched_thr()->buf_pool)) != NULL) n++;
    while (n > 0) vt__mem_free(all[--n]);
    return -EIO;
}
static void routes_no_memory(vt_server *s) { vt_server_get(s, "/", h_no_memory); }
TEST(fault_a_reset_without_memory) {
    struct vt__plat_table before = vt__plat;
    on_memory();
    REQUIRE(e2e_start(NULL, routes_no_memory) == 0);
    H2(h);
    REQUIRE(h2_open(&h));
    (void)h2_wait(&h, h2_ask(&h, "GET /", NULL, true));
    CHECK(h2_ended(&h) == -1 || h.c.eof);
    fault_set(0, false);
    CHECK_EQ(e2e_stop(), 0);
    vt__plat = before;
}
