/* Ends of HTTP/3 connections, and of HTTP/2's beside them: those whose client says nothing more, stops that meet rests of
 * requests and responses that nobody reads, idle times. */
/* variants: default asan */
#define VTHTTP_SIM 1
#define VTHTTP_H2 1
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define E2E_TLS 1
#include "e2e.h"

#include <malloc.h>

#include "h2client.h"
#include "h3client.h"
#include "streams.h"

static int64_t left_open;
static void on_stopped(vt_server *s, void *ctx) {
    vt_server_stats st;
    (void)ctx;
    vt_server_stats_get(s, &st);
    left_open = st.open;
}
static bool serve(vt_server_cfg cfg) {
    cfg.http3 = 1;
    cfg.on_stopped = on_stopped;
    left_open = -1;
    return start(&cfg);
}
static bool goes_on(struct h3 *h) {
    struct h3_stream *s;
    return h3_get(h, &s, "/") == 200 && h3_is(s, "hello");
}
/* How often the server's threads look for events. */
static int64_t looks;
#if !VTHTTP_POLL
static int looking(int ep, struct epoll_event *ev, int n, int ms) {
    __atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED);
    return vt__plat_sys_epoll_wait(ep, ev, n, ms);
}
#endif
/* In 600 ms in which nobody says a word: the time for which the connection may be idle passes, and it is shut down. Once. */
static int64_t looks_in_silence(void) {
    int64_t before = __atomic_load_n(&looks, __ATOMIC_RELAXED);
    e2e_sleep_ms(600);
    return __atomic_load_n(&looks, __ATOMIC_RELAXED) - before;
}
TEST(idle_connections_are_shut_down_once) {
    struct vt__plat_table before = vt__plat;
    if (VTHTTP_POLL) SKIP("poll");
    vt__plat.epoll_wait = looking;
    REQUIRE(serve((vt_server_cfg){.idle_timeout_ms = 300}));
    H3(h);
    REQUIRE(h3_open(&h));
    CHECK(goes_on(&h));
    CHECK(looks_in_silence() < 200);
    h3_vanish(&h);
    H2(t);
    REQUIRE(h2_open(&t));
    CHECK_EQ(h2_get(&t, "/"), 200);
    CHECK(looks_in_silence() < 200);
    h2_close(&t);
    CHECK_EQ(e2e_stop(), 0);
    vt__plat = before;
}
/* Bytes that the server's threads hold: all, and those of OpenSSL. Who asks for memory gives it back here. */
static int64_t held, held_by_ossl;
static __thread bool is_client;
static void *weigh(void *p, int sign, bool ossl) {
    int64_t n = p && !is_client ? sign * (int64_t)malloc_usable_size(p) : 0;
    __atomic_fetch_add(&held, n, __ATOMIC_RELAXED);
    if (ossl) __atomic_fetch_add(&held_by_ossl, n, __ATOMIC_RELAXED);
    return p;
}
static void *counted_realloc(void *p, size_t n) { return weigh(realloc(weigh(p, -1, false), n), 1, false); }
static void counted_free(void *p) { free(weigh(p, -1, false)); }
static void *ossl_malloc(size_t n, const char *file, int line) {
    (void)file, (void)line;
    return weigh(malloc(n), 1, true);
}
static void *ossl_realloc(void *p, size_t n, const char *file, int line) {
    (void)file, (void)line;
    return weigh(realloc(weigh(p, -1, true), n), 1, true);
}
static void ossl_free(void *p, const char *file, int line) {
    (void)file, (void)line;
    free(weigh(p, -1, true));
}
__attribute__((constructor)) static void count_ossl(void) {
    CRYPTO_set_mem_functions(ossl_malloc, ossl_realloc, ossl_free);
}
/* One that has asked for something, with QPACK tables (3,700 bytes) and three streams either way; what only its handshake needed is gone. */
TEST(an_idle_connection_is_small) {
    enum { FIRST = 8, COUNT = 40 };
    static struct h3 of[COUNT];
    struct vt__plat_table before = vt__plat;
    int64_t all = 0, ossl = 0;
    is_client = true;
    vt__plat.realloc = counted_realloc, vt__plat.free = counted_free;
    REQUIRE(serve((vt_server_cfg){.workers = 1}));
    for (int i = 0; i < COUNT; i++) {
        if (i == FIRST) all = held, ossl = held_by_ossl;
        REQUIRE(h3_open(&of[i]));
        CHECK(goes_on(&of[i]));
        h3_run(&of[i], 60); /* with its last ACK, which waits 25 ms */
    }
    all = (held - all) / (COUNT - FIRST), ossl = (held_by_ossl - ossl) / (COUNT - FIRST);
    printf("an idle connection: %lld bytes, %lld of them OpenSSL's\n", (long long)all, (long long)ossl);
    CHECK(all > 5000 && all - ossl <= 12800);
    CHECK(ossl <= 5000); /* five contexts of keys: its TLS is gone */
    for (int i = 0; i < COUNT; i++) h3_close(&of[i]);
    CHECK_EQ(e2e_stop(), 0);
    vt__plat = before, is_client = false;
}
/* The end of the grace period, and of those who wait for a window that never comes. */
TEST(kill_of_a_response_that_nobody_reads) {
    REQUIRE(serve((vt_server_cfg){.grace_ms = 50}));
    H3(h);
    h.cfg.streams.window = 4096, h.cfg.streams.max_window = 1 << 28;
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "GET /bytes?n=67108864", "", true);
    s->hold = true;
    h3_until(&h, s->body.n > 1000);
    CHECK(noted(WROTE) > 1000);
    int64_t from = e2e_now_ms();
    CHECK_EQ(e2e_stop(), -ETIMEDOUT);
    CHECK(e2e_now_ms() - from < E2E_MS / 2);
    CHECK(noted(LEFT) == 1 && noted(RESULT) < 0);
    CHECK_EQ(left_open, 0);
}
/* Nor does a request whose rest is let in and dropped hold a stop for as long as its client may take for it. */
TEST(stop_with_a_request_that_has_no_end) {
    REQUIRE(serve((vt_server_cfg){.body_timeout_ms = 60000}));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "POST /enough", "", false);
    CHECK_EQ(h3_wait(&h, s), 200);
    int64_t from = e2e_now_ms();
    vt_server_stop(e2e.s);
    h3_until(&h, h.closed);
    CHECK(h.closed && h.why.app && h.why.code == VT__H3_NO_ERROR);
    CHECK_EQ(e2e_stop(), 0);
    CHECK(e2e_now_ms() - from < 5000); /* the grace period is 10 s */
    CHECK_EQ(left_open, 0);
}
/* The time without a request begins with the last one's end, which may be that of its rest. */
TEST(idle_time_begins_with_the_end_of_the_last_rest) {
    REQUIRE(serve((vt_server_cfg){.idle_timeout_ms = 1500}));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "POST /enough", "", false);
    CHECK_EQ(h3_wait(&h, s), 200);
    h3_run(&h, 1800);
    CHECK_EQ(h.goaways, 0); /* it is not idle */
    h3_body(&h, s, "", 0, true);
    h3_run(&h, 200);
    CHECK_EQ(h.goaways, 0);
    CHECK(goes_on(&h));
    h3_close(&h);
    CHECK_EQ(e2e_stop(), 0);
}
/* What a connection died of, its requests die of: a time-out is no reset. */
static int h_read(vt_req *req, vt_res *res) {
    char buf[100];
    count(ENTERED);
    int64_t n = vt_req_read(req, buf, sizeof buf);
    note(RESULT, n);
    count(LEFT);
    return n < 0 ? (int)n : vt_res_text(res, 200, "read");
}
static void reading_routes(vt_server *s) {
    routes(s);
    vt_server_post(s, "/read", h_read);
}
TEST(requests_die_of_what_their_connection_died_of) {
    vt_server_cfg cfg = {.http3 = 1, .idle_timeout_ms = 500, .body_timeout_ms = VT_NONE};
    for (int silent = 0; silent < 2; silent++) {
        forget();
        REQUIRE(e2e_start(&cfg, reading_routes) == 0);
        H3(h);
        REQUIRE(h3_open(&h));
        (void)h3_ask(&h, "POST /read", "", false);
        h3_until(&h, noted(ENTERED) == 1);
        if (silent) h3_vanish(&h);
        else h3_close(&h);
        WAIT(noted(LEFT) == 1);
        CHECK_EQ(noted(LEFT), 1);
        CHECK(noted(RESULT) == (silent ? -ETIMEDOUT : -ECONNRESET) || noted(RESULT) == -ECANCELED);
        CHECK_EQ(e2e_stop(), 0);
    }
}
/* An answer that nobody acknowledges, for its client has vanished, is not waited for until the grace is over. */
TEST(stop_with_an_answer_that_nobody_takes) {
    REQUIRE(serve((vt_server_cfg){.grace_ms = 15000}));
    H3(h);
    REQUIRE(h3_open(&h));
    (void)h3_ask(&h, "GET /bytes?n=20000", "", true);
    h3_flush(&h);
    WAIT(noted(LEFT) == 1);
    CHECK_EQ(noted(LEFT), 1);
    h3_vanish(&h);
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(left_open, 0);
}
