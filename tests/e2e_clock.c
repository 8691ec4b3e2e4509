/* Default time-outs and the minimum rate of bodies, on a clock that runs fifty times as fast as the wall's. */
#define VTHTTP_SIM 1
#include "e2e.h"

#define HOST "Host: a\r\n"
#define FASTER 50

static int64_t clock_fast(int id) {
    static int64_t base;
    int64_t now = vt__plat_sys_clock(id), none = 0;
    if (id != CLOCK_MONOTONIC) return now;
    __atomic_compare_exchange_n(&base, &none, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    int64_t from = __atomic_load_n(&base, __ATOMIC_SEQ_CST);
    return from + (now - from) * FASTER;
}
static int clock_poll(struct pollfd *fds, unsigned n, int ms) {
    return vt__plat_sys_poll(fds, n, ms > 0 ? (ms + FASTER - 1) / FASTER : ms);
}
#if !VTHTTP_POLL
static int clock_epoll_wait(int ep, struct epoll_event *ev, int n, int ms) {
    return vt__plat_sys_epoll_wait(ep, ev, n, ms > 0 ? (ms + FASTER - 1) / FASTER : ms);
}
static int clock_epoll_pwait2(int ep, struct epoll_event *ev, int n, const int64_t ts[2]) {
    int64_t ns = (ts[0] * VT_SEC + ts[1]) / FASTER, fast[2] = {ns / VT_SEC, ns % VT_SEC};
    return vt__plat_sys_epoll_pwait2(ep, ev, n, fast);
}
#endif
__attribute__((constructor)) static void clock_begin(void) {
    vt__plat.clock = clock_fast;
    vt__plat.poll = clock_poll;
#if !VTHTTP_POLL
    vt__plat.epoll_wait = clock_epoll_wait;
    vt__plat.epoll_pwait2 = clock_epoll_pwait2;
#endif
}
/* The wall's time in ms. */
static int64_t wall_ms(void) { return vt__plat_sys_clock(CLOCK_MONOTONIC) / VT_MS; }
static bool took(int64_t from, int64_t s) {
    int64_t ms = (wall_ms() - from) * FASTER;
    return ms >= s * 1000 - 100 && ms < s * 1000 + 45000; /* a machine that is busy for 900 ms */
}

static int h_body(vt_req *req, vt_res *res) {
    vt_str body;
    int r = vt_req_body(req, &body);
    return r < 0 ? r : vt_res_printf(res, 200, "%d", (int)body.len);
}
static int h_hello(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "hello");
}
static void routes(vt_server *s) {
    vt_server_get(s, "/", h_hello);
    vt_server_post(s, "/", h_body);
}
/* Sends `n` bytes for every 2 ms, and of five seconds in advance, until the body's end or an answer. */
static int drip(struct cl *c, int length, int n) {
    char piece[1000];
    memset(piece, 'x', sizeof piece);
    if (!cl_open(c)) return -1;
    cl_printf(c, "POST / HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", length);
    int64_t from = wall_ms(), sent = 0;
    while (sent < length && c->in_len == 0 && !c->eof) {
        int64_t due = VT__MIN(((wall_ms() - from) * FASTER + 5000) * n / (2 * FASTER), length) - sent;
        due = VT__MIN(due, (int64_t)sizeof piece);
        if (due > 0 && cl_send(c, piece, (size_t)due)) sent += due;
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        if (poll(&p, 1, 2) > 0) break;
    }
    return cl_response(c);
}
TEST(b097_body_below_the_minimum_rate) {
    REQUIRE(e2e_start(NULL, routes) == 0);
    CL(c);
    int64_t from = wall_ms();
    CHECK_EQ(drip(&c, 100000, 1), 408); /* some 10 bytes a second */
    CHECK(took(from, 10));
    CHECK_STR(cl_field(&c, "connection"), "close");
    cl_close(&c);
    CHECK_EQ(drip(&c, 60000, 100), 200); /* some 1,000, for 55 s */
    CHECK_STR(c.body, "60000");
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b097_rate_off) {
    vt_server_cfg cfg = {.min_body_rate = VT_NONE};
    REQUIRE(e2e_start(&cfg, routes) == 0);
    CL(c);
    int64_t from = wall_ms();
    CHECK_EQ(drip(&c, 200, 1), 200);
    CHECK((wall_ms() - from) * FASTER > 11000);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b095_default_times) {
    REQUIRE(e2e_start(NULL, routes) == 0);
    CL(idle);
    CL(mute);
    CL(head);
    CL(body);
    int64_t from = wall_ms();
    CHECK_EQ(cl_get(&idle, "/"), 200);
    REQUIRE(cl_open(&mute) && cl_open(&head) && cl_open(&body));
    cl_puts(&head, "GET / HTTP/1.1\r\n");
    cl_puts(&body, "POST / HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n01234");
    CHECK_EQ(cl_response(&head), 408);
    CHECK(took(from, 10));
    CHECK(cl_closed(&mute, 3000));
    CHECK(took(from, 10));
    CHECK_EQ(cl_response(&body), 408);
    CHECK(took(from, 10)); /* the rate of nothing is below the least */
    CHECK(cl_closed(&idle, 5000));
    CHECK(took(from, 60));
    CHECK_EQ(e2e_stop(), 0);
}
