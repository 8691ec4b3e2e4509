/* A running server whose N-th allocation (then: all from the N-th on; then: the N-th system call) fails, N = 1, 2, ...
 * until a run has none left: whoever is hit gets an error or a close, the next client is served, nothing leaks. */
#define VTHTTP_SIM 1
#define E2E_WORKERS 1
#define E2E_MS 5000
#include "e2e.h"
#include "faultcalls.h"
#include "faulthttp.h"
#include "faultsweep.h"
#include "wsclient.h"

static bool one(const char *head, const char *body, size_t n, int want) {
    CL(c);
    if (!cl_open(&c)) return false;
    cl_puts(&c, head);
    if (n) cl_send(&c, body, n);
    int status = cl_response(&c);
    if (status == -1) test_fail(__FILE__, __LINE__, head); /* no answer and no close: a hang */
    return status == want && !c.truncated;
}
/* ---- WebSockets: the upgrade, an echo, pings, a message in fragments, a large one, the close ---- */
static int h_ws(vt_ws *ws, vt_req *req) {
    vt_str m;
    int r;
    (void)req;
    while ((r = vt_ws_recv(ws, &m)) > 0)
        if ((r = vt_ws_send(ws, r, m.ptr, m.len)) < 0) break;
    return r;
}
static int h_ws_child(void *arg) { return vt_ws_text(arg, "child"); }
static int h_ws_streamed(vt_req *req,
                         vt_res *res) { /* with a string that was handed out, another sender, and streams */
    const vt_ws_cfg cfg = {.protocols = "a", .fields = "X-More: yes\r\n", .close_ms = 100};
    char buf[5000];
    vt_ws *ws;
    if (!vt_req_field(req, "x-odd").ptr) return VT_EBADREQ;
    int64_t n = -1;
    int r = vt_ws_accept(req, res, &cfg, &ws), type;
    if (r == 0) r = vt_await(vt_async(h_ws_child, ws), &type);
    if (r < 0 || type < 0) return r < 0 ? r : type;
    if ((type = vt_ws_next(ws)) <= 0 || (r = vt_ws_begin(ws, type)) < 0) return type < 0 ? type : r;
    while ((n = vt_ws_read(ws, buf, sizeof buf)) > 0)
        if ((n = vt_ws_write(ws, buf, (size_t)n)) < 0) break;
    r = vt_ws_end(ws);
    return n < 0 ? (int)n : r < 0 ? r : vt_ws_close(ws, 4000, "enough");
}
static void ws_routes(vt_server *s) {
    static const vt_ws_cfg cfg = {.close_ms = 100};
    routes(s);
    vt_server_ws(s, "/ws", h_ws, &cfg);
    vt_server_get(s, "/ws/streamed", h_ws_streamed);
}
/* The frame that is expected: 1, or 0 when the connection has ended, or was closed, instead. Nothing else may come. */
static bool ws_comes(struct cl *c, unsigned first, const char *p, size_t n) {
    struct wsf f;
    int r = ws_get(c, &f);
    bool same = r == 1 && f.first == first && f.n == n && memcmp(f.p, p, n) == 0;
    bool closes = r == 1 && f.first == 0x88;
    if (r == -1 || r == -2 || (r == 1 && !same && !closes))
        test_fail(__FILE__, __LINE__, "a frame, or a hang");
    return same;
}
static bool one_ws(const char *large, size_t n) {
    CL(c);
    if (!cl_open(&c) || ws_shake(&c, "/ws", "") != 101) return false;
    if (!ws_text(&c, "hello") || !ws_comes(&c, 0x81, "hello", 5)) return false;
    if (!ws_put(&c, 0x01, "in ", 3) || !ws_put(&c, 0x89, "p", 1) || !ws_put(&c, 0x80, "two", 3)) return false;
    if (!ws_comes(&c, 0x8a, "p", 1) || !ws_comes(&c, 0x81, "in two", 6)) return false;
    if (!ws_put(&c, 0x82, large, n) || !ws_comes(&c, 0x82, large, n)) return false;
    return ws_bye(&c, 4001, "why") && ws_comes(&c, 0x88, "\x0f\xa1why", 5) && ws_ends(&c);
}
static bool one_ws_streamed(const char *large) {
    CL(c);
    bool good = cl_open(&c) &&
                ws_shake(&c, "/ws/streamed", "X-Odd: 1\r\nSec-WebSocket-Protocol: a\r\n") == 101;
    good = good && ws_comes(&c, 0x81, "child", 5) && ws_put(&c, 0x82, large, 3000);
    good = good && ws_comes(&c, 0x02, large, 3000) && ws_comes(&c, 0x80, "", 0);
    return good &&
           ws_comes(&c, 0x88,
                    "\x0f\xa0"
                    "enough",
                    8) &&
           ws_bye(&c, 4000, "enough") && ws_ends(&c);
}
/* Every kind of memory that a connection asks for. True when all went well. */
static bool work(void) {
    static char fields[8192], body[40000];
    bool good = true;
    if (!fields[0]) {
        fields_head(fields, sizeof fields);
        memset(body, 'b', sizeof body);
    }
    good &= one(fields, NULL, 0, 200);
    good &= one("POST /body HTTP/1.1\r\n" HOST "Content-Length: 40000\r\n\r\n", body, sizeof body, 200);
    good &= one(ASK_CHUNKED, NULL, 0, 200);
    good &= one("GET /stream HTTP/1.1\r\n" HOST "\r\n", NULL, 0, 200);
    good &= one("GET /spawn HTTP/1.1\r\n" HOST "\r\n", NULL, 0, 200);
    good &= one("GET /upgrade HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: echo\r\n\r\n", "hi", 2,
                101);
    good &= one("GET /%zz HTTP/1.1\r\n" HOST "\r\n", NULL, 0, 400);
    good &= one_ws(body, sizeof body);
    good &= one_ws_streamed(body);
    return good;
}
TEST(fault_one_allocation_fails) { sweep(on_memory, ws_routes, work, false); }
TEST(fault_all_allocations_fail_from_there) { sweep(on_memory, ws_routes, work, true); }
TEST(fault_one_system_call_fails) { sweep(on_calls, ws_routes, work, false); }
/* Whoever comes while there is no memory is told so: no connection ends without a word, and the log has it. */
TEST(no_memory_is_said) {
    struct vt__plat_table before = vt__plat;
    int status = 503, n = 1;
    on_memory();
    for (; status == 503 && n < 40; n++) {
        REQUIRE(e2e_start(NULL, routes) == 0);
        fault_set(n, true);
        CL(c);
        status = cl_get(&c, "/none");
        fault_set(0, false);
        CL(next);
        CHECK_EQ(cl_get(&next, "/none"), 404);
        CHECK_EQ(e2e_logged(VT_LOG_ERROR, "accept: Cannot allocate memory (ENOMEM)"), n == 1);
        cl_close(&c);
        CHECK_EQ(e2e_stop(), 0);
    }
    vt__plat = before;
    CHECK_EQ(status, 404); /* nothing is left to fail */
    CHECK(n > 4);
}
