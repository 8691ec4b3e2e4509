/* What the server must be seen to do with HTTP/3: requests, bodies, flow control, lives of streams and connections, and
 * clients that mean harm (bNN_: number NN of that list; hNNN_: a behaviour's). */
/* variants: default asan tsan */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define E2E_TLS 1
#include "e2e.h"

#include "h3client.h"
#include "streams.h"

static bool serve(const vt_server_cfg *cfg) {
    vt_server_cfg c = cfg ? *cfg : (vt_server_cfg){0};
    c.http3 = 1;
    return start(&c);
}
/* The server's result; a client that stays would be waited for. */
static int stop(struct h3 *h) {
    h3_close(h);
    return e2e_stop();
}
/* The connection is in step, and serves. */
static bool goes_on(struct h3 *h) {
    struct h3_stream *s;
    return h3_get(h, &s, "/") == 200 && h3_is(s, "hello");
}
/* How the server ends the connection: the application's code; -1: it does not, or otherwise. */
static int64_t ended(struct h3 *h) {
    h3_until(h, h->closed);
    return h->closed && h->why.cause == VT__QUIC_BY_PEER && h->why.app ? (int64_t)h->why.code : -1;
}
static int64_t timeouts(void) {
    vt_server_stats st;
    vt_server_stats_get(e2e.s, &st);
    return st.timeouts;
}

/* ---- requests and responses ---- */
TEST(h148_requests_of_a_connection) {
    struct h3_stream *s;
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    CHECK_EQ(h3_get(&h, &s, "/"), 200);
    CHECK(h3_is(s, "hello"));
    CHECK_STR(h3_field(s, "content-length"), "5");
    CHECK_STR(h3_field(s, "content-type"), "text/plain; charset=utf-8");
    CHECK(h3_field(s, "date") && strlen(h3_field(s, "date")) == 29);
    CHECK(!h3_field(s, "connection") && !h3_field(s, "server") && !h3_field(s, "transfer-encoding"));
    CHECK_EQ(h3_get(&h, &s, "/nowhere"), 404);
    s = h3_ask(&h, "PUT /slept", "", true);
    CHECK_EQ(h3_wait(&h, s), 405);
    s = h3_ask(&h, "POST /", "", false);
    h3_body(&h, s, "body", 4, true);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK(h3_is(s, "body"));
    CHECK_STR(h3_field(s, "x-length"), "-1");
    s = h3_ask(&h, "POST /", "content-length: 4\n", false);
    h3_body(&h, s, "body", 4, true);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK_STR(h3_field(s, "x-length"), "4");
    s = h3_ask(&h, "GET /show?q=1", "x: y\ncookie: a=1\ncookie: b=2\n", true);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK(h3_is(s, "GET /show?q=1 /show q=1 x=y cookie=a=1; b=2 b=2 host=a.example a.example 443 v30 https"));
    CHECK(h.settings == 1 && !h.closed);
    CHECK_EQ(stop(&h), 0);
}
TEST(head_has_no_body) {
    struct h3_stream *s;
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    s = h3_ask(&h, "HEAD /bytes?n=100000&length", "", true);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK(s->body.n == 0);
    CHECK_STR(h3_field(s, "content-length"), "100000");
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(h148_trailers) {
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "POST /", "", false);
    h3_body(&h, s, "body", 4, false);
    h3_fields(&h, s, "x-end: over\n", true);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK(h3_is(s, "body"));
    CHECK_STR(h3_field(s, "x-trailer"), "over");
    CHECK_EQ(h3_get(&h, &s, "/bytes?n=70000&trailer"), 200);
    CHECK(s->body.n == 70000 && is_pattern((char *)s->body.p, 70000));
    CHECK_STR(h3_line_of(s, &s->trailers, "x-end"), "done");
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(interim_responses) {
    struct h3_stream *s;
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    CHECK_EQ(h3_get(&h, &s, "/early"), 200);
    CHECK_EQ(s->informs, 1);
    CHECK_STR(h3_line_of(s, &s->inform, "link"), "</a.css>; rel=preload");
    CHECK(h3_is(s, "late"));
    s = h3_ask(&h, "POST /", "expect: 100-continue\n", false);
    h3_until(&h, s->informs || s->end);
    CHECK(s->informs == 1 && !s->end);
    h3_body(&h, s, "now", 3, true);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK(h3_is(s, "now"));
    s = h3_ask(&h, "POST /", "expect: wonders\n", true);
    CHECK_EQ(h3_wait(&h, s), 417);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(body_over_its_limit) {
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "POST /small", "", false);
    h3_body(&h, s, "0123456789", 10, true);
    CHECK_EQ(h3_wait(&h, s), 200);
    s = h3_ask(&h, "POST /small", "content-length: 11\n", false);
    CHECK_EQ(h3_wait(&h, s), 413);
    s = h3_ask(&h, "POST /small", "", false);
    h3_body(&h, s, "0123456789a", 11, true);
    CHECK_EQ(h3_wait(&h, s), 413);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(b47_head_over_its_limits) {
    static char lines[40000];
    vt_server_cfg cfg = {.max_header_count = 20};
    REQUIRE(serve(&cfg));
    H3(h);
    REQUIRE(h3_open(&h));
    memset(lines, 'x', 20000);
    memcpy(lines, "a: ", 3), memcpy(lines + 19999, "\n", 2);
    CHECK_EQ(h3_wait(&h, h3_ask(&h, "GET /", lines, true)), 431);
    lines[0] = 0;
    for (int i = 0; i < 30; i++) strcat(lines, "a: b\n");
    CHECK_EQ(h3_wait(&h, h3_ask(&h, "GET /", lines, true)), 431);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* An answer before the request is complete: the rest is let in, or STOP_SENDING ends it, without an error. */
TEST(response_before_the_body) {
    static char more[300000];
    vt_server_cfg cfg = {.max_drain = 400000};
    REQUIRE(serve(&cfg));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "POST /enough", "", false);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK(h3_is(s, "enough"));
    h3_body(&h, s, more, 100, true);
    s = h3_ask(&h, "POST /enough", "content-length: 1000000\n", false);
    CHECK_EQ(h3_wait(&h, s), 200);
    h3_until(&h, s->stop >= 0);
    CHECK_EQ(s->stop, VT__H3_NO_ERROR);
    s = h3_ask(&h, "POST /enough", "", false);
    h3_body(&h, s, more, sizeof more, true);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(handler_that_fails) {
    struct h3_stream *s;
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    CHECK_EQ(h3_get(&h, &s, "/fail"), 500);
    CHECK_EQ(h3_get(&h, &s, "/fail?late"), H3_RST);
    CHECK_EQ(s->rst, VT__H3_INTERNAL_ERROR);
    CHECK_EQ(h3_get(&h, &s, "/fail?short"), H3_RST);
    CHECK_EQ(h3_get(&h, &s, "/deadline?ms=100000"), 504);
    CHECK_EQ(noted(RESULT), -ETIMEDOUT);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(where_a_request_comes_from) {
    char want[200];
    struct h3_stream *s;
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    h3_until(&h, h.q.confirmed); /* the handshake's machine is gone */
    CHECK_EQ(h3_get(&h, &s, "/where"), 200);
    snprintf(want, sizeof want, "127.0.0.1:%d 127.0.0.1:%d 1 h3", h.udp.port, e2e.port);
    CHECK(h3_is(s, want));
    CHECK_EQ(stop(&h), 0);
}

/* ---- bodies and windows ---- */
static void both_ways(struct h3 *h, size_t n) {
    char *p = malloc(n + 1), what[64];
    struct h3_stream *s;
    pattern(p, 0, n);
    s = h3_ask(h, "POST /bigstream", "", false);
    h3_body(h, s, p, n, true);
    CHECK_EQ(h3_wait(h, s), 200);
    CHECK_MEM(s->body.p ? s->body.p : (uint8_t *)"", s->body.n, p, n);
    snprintf(what, sizeof what, "/bytes?n=%zu&length", n);
    CHECK_EQ(h3_get(h, &s, what), 200);
    CHECK_MEM(s->body.p ? s->body.p : (uint8_t *)"", s->body.n, p, n);
    free(p);
}
TEST(bodies_of_many_sizes_both_ways) {
    static const size_t sizes[] = {0, 1, 63, 64, 1200, 4095, 4096, 16383, 16384, 65535, 65536, 300000};
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    for (size_t i = 0; i < VT__COUNT(sizes); i++) both_ways(&h, sizes[i]);
    both_ways(&h, SLOW ? 2 << 20 : 8 << 20);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(windows_much_smaller_than_the_body) {
    REQUIRE(serve(NULL));
    H3(h);
    h.cfg.streams.window = 1500, h.cfg.streams.max_window = 3000;
    REQUIRE(h3_open(&h));
    both_ways(&h, SLOW ? 100000 : 400000);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* A window that is closed: the handler waits, having written little; the others go on. */
TEST(slow_reader_parks_the_handler) {
    enum { N = 4 << 20, WINDOW = 65536 };
    REQUIRE(serve(NULL));
    H3(h);
    h.cfg.streams.window = WINDOW, h.cfg.streams.max_window = 1 << 20;
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "GET /bytes?n=4194304", "", true);
    s->hold = true;
    h3_until(&h, s->body.n > WINDOW - 6000);
    CHECK(goes_on(&h));
    h3_run(&h, 50);
    CHECK(s->body.n > WINDOW - 6000 && s->body.n < WINDOW);
    CHECK(noted(WROTE) < 1 << 20);
    CHECK_EQ(noted(LEFT), 0);
    CHECK(goes_on(&h));
    h3_let(&h, s);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK(s->body.n == N && is_pattern((char *)s->body.p, N));
    CHECK_EQ(stop(&h), 0);
}
/* A handler that does not read: the client's window closes, others go on. */
TEST(reader_that_waits_holds_the_client) {
    enum { N = 4 << 20 };
    char *p = calloc(1, N);
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "POST /stubborn", "", false);
    h3_body(&h, s, p, N, true);
    h3_until(&h, noted(ENTERED) == 1);
    h3_run(&h, 100);
    CHECK(s->out_at < N && !s->end);
    CHECK(goes_on(&h));
    note(THREADS, 1);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
    free(p);
}

/* ---- many at once ---- */
TEST(hundred_streams_at_once) {
    struct h3_stream *s[100];
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    for (int round = 0; round < 3; round++) {
        forget();
        for (int i = 0; i < 100; i++) s[i] = h3_ask(&h, "GET /slept?ms=20", "", true);
        for (int i = 0; i < 100; i++) CHECK_EQ(h3_wait(&h, s[i]), 200);
        CHECK(noted(MOST) > 50);
        CHECK_EQ(noted(OPEN), 0);
        for (int i = 0; i < 100; i++) vt__qstr_release(&h.q.streams, s[i]->wire, 0);
        struct h3_stream *one;
        CHECK_EQ(h3_get(&h, &one, "/"), 200);
    }
    CHECK_EQ(stop(&h), 0);
}
TEST(several_workers_serve_one_connection) {
    struct h3_stream *a, *b;
    vt_server_cfg cfg = {.workers = 2};
    REQUIRE(serve(&cfg));
    H3(h);
    REQUIRE(h3_open(&h));
    a = h3_ask(&h, "GET /thread", "", true), b = h3_ask(&h, "GET /thread", "", true);
    CHECK_EQ(h3_wait(&h, a), 200);
    CHECK_EQ(h3_wait(&h, b), 200);
    CHECK(h3_is(a, "1") && h3_is(b, "1"));
    CHECK_EQ(stop(&h), 0);
}
/* A handler that keeps its OS thread, of the one that there is: other streams, connections and handshakes go on. */
TEST(h150_handler_that_blocks_its_thread) {
    vt_server_cfg cfg = {.workers = 1, .stall_ms = 20};
    if (VTHTTP_SIM) SKIP("there is no monitor");
    REQUIRE(serve(&cfg));
    H3(h);
    H3(other);
    H3(fresh);
    REQUIRE(h3_open(&h) && h3_open(&other));
    struct h3_stream *s = h3_ask(&h, "GET /block", "", true), *r;
    h3_until(&h, noted(ENTERED) == 1);
    CHECK(goes_on(&h));
    CHECK(goes_on(&other));
    CHECK(h3_open(&fresh));
    CHECK(goes_on(&fresh));
    CHECK_EQ(s->status, 0);
    CHECK_EQ(h3_get(&fresh, &r, "/release"), 200);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK(h3_is(s, "blocked"));
    h3_close(&other), h3_close(&fresh);
    CHECK_EQ(stop(&h), 0);
}
TEST(h149_connections_at_once_and_after_another) {
    REQUIRE(serve(NULL));
    for (int i = 0; i < 3; i++) {
        H3(a);
        H3(b);
        REQUIRE(h3_open(&a) && h3_open(&b));
        CHECK(goes_on(&a) && goes_on(&b) && goes_on(&a));
        h3_close(&a);
        CHECK(goes_on(&b));
    }
    WAIT(open_connections() == 0);
    CHECK_EQ(open_connections(), 0);
    CHECK_EQ(e2e_stop(), 0);
}
/* On all workers, and from another port each time: one's datagrams come to another's socket, and are handed over (b53). */
TEST(b53_client_whose_port_changes) {
    enum { N = 6 };
    vt_server_cfg cfg = {.workers = 3};
    struct h3 h[N];
    memset(h, 0, sizeof h);
    REQUIRE(serve(&cfg));
    for (int i = 0; i < N; i++) CHECK(h3_open(&h[i]));
    for (int round = 0; round < 4; round++)
        for (int i = 0; i < N && h[i].ready; i++) {
            CHECK(h3_rebind(&h[i]));
            CHECK(goes_on(&h[i]));
        }
    for (int i = 0; i < N; i++) h3_close(&h[i]);
    CHECK_EQ(e2e_stop(), 0);
}

/* ---- ends of streams ---- */
TEST(reset_cancels_the_handler) {
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "GET /slept?ms=100000", "", false);
    h3_until(&h, noted(OPEN) == 1);
    h3_reset(&h, s, VT__H3_REQUEST_CANCELLED);
    h3_until(&h, noted(LEFT) == 1);
    CHECK_EQ(noted(LEFT), 1);
    CHECK_EQ(noted(RESULT), -ECANCELED);
    CHECK(goes_on(&h));
    CHECK_EQ(s->status, 0);
    CHECK_EQ(stop(&h), 0);
}
TEST(stop_sending_cancels_the_handler) {
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "GET /slept?ms=100000", "", true);
    h3_until(&h, noted(OPEN) == 1);
    h3_stop(&h, s, VT__H3_REQUEST_CANCELLED);
    h3_until(&h, noted(LEFT) == 1);
    CHECK_EQ(noted(LEFT), 1);
    CHECK_EQ(noted(RESULT), -ECANCELED);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* The other side ends at once, whatever the handler does. */
TEST(reset_is_answered_before_the_handler_ends) {
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "POST /stubborn", "", false),
                     *t = h3_ask(&h, "POST /stubborn", "", false);
    h3_until(&h, noted(ENTERED) == 2);
    h3_reset(&h, s, VT__H3_REQUEST_CANCELLED);
    h3_stop(&h, t, VT__H3_REQUEST_CANCELLED);
    h3_until(&h, s->rst >= 0 && t->stop >= 0);
    CHECK_EQ(s->rst, VT__H3_REQUEST_CANCELLED);
    CHECK_EQ(t->stop, VT__H3_REQUEST_CANCELLED);
    CHECK_EQ(noted(LEFT), 0);
    note(THREADS, 1);
    h3_until(&h, noted(LEFT) == 2);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* Also one that reads its body, or writes without a window. */
TEST(reset_ends_reads_and_writes) {
    REQUIRE(serve(NULL));
    H3(h);
    h.cfg.streams.window = 10000, h.cfg.streams.max_window = 20000;
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "POST /stream", "", false);
    h3_until(&h, noted(ENTERED) == 1);
    h3_reset(&h, s, VT__H3_REQUEST_CANCELLED);
    h3_until(&h, noted(LEFT) == 1);
    CHECK(noted(RESULT) == -ECANCELED || noted(RESULT) == -ECONNRESET);
    s = h3_ask(&h, "GET /bytes?n=10000000", "", true);
    s->hold = true;
    h3_until(&h, s->body.n > 5000);
    CHECK_EQ(noted(LEFT), 1);
    h3_stop(&h, s, VT__H3_REQUEST_CANCELLED);
    h3_until(&h, noted(LEFT) == 2);
    CHECK_EQ(noted(LEFT), 2);
    CHECK(noted(RESULT) == -ECANCELED || noted(RESULT) == -ECONNRESET);
    vt__qstr_consumed(&h.q.streams, s->wire, s->held);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* Handlers have the streams of a connection that is gone (b51). */
TEST(b51_end_of_the_connection_cancels) {
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    for (int i = 0; i < 5; i++) h3_ask(&h, "GET /slept?ms=100000", "", true);
    struct h3_stream *s = h3_ask(&h, "GET /stubborn", "", true);
    h3_until(&h, noted(OPEN) == 5 && noted(ENTERED) == 1);
    h3_leave(&h, VT__H3_NO_ERROR);
    WAIT(noted(LEFT) == 5);
    CHECK_EQ(noted(LEFT), 5);
    CHECK_EQ(noted(RESULT), -ECANCELED);
    CHECK_EQ(s->status, 0);
    e2e_sleep_ms(20);
    CHECK_EQ(open_connections(), 1); /* the stubborn one's */
    note(THREADS, 1);
    WAIT(open_connections() == 0);
    CHECK_EQ(open_connections(), 0);
    CHECK_EQ(stop(&h), 0);
}
TEST(client_that_vanishes) {
    vt_server_cfg cfg = {.idle_timeout_ms = 300, .write_timeout_ms = 300};
    REQUIRE(serve(&cfg));
    H3(h);
    REQUIRE(h3_open(&h));
    CHECK(goes_on(&h));
    h3_vanish(&h);
    WAIT(open_connections() == 0);
    CHECK_EQ(open_connections(), 0);
    REQUIRE(h3_open(&h)); /* in the midst of an answer that has no end */
    h3_ask(&h, "GET /bytes?n=1000000000", "", true);
    h3_until(&h, noted(ENTERED) == 2);
    h3_vanish(&h);
    WAIT(open_connections() == 0 && noted(LEFT) == 1);
    CHECK_EQ(open_connections(), 0);
    CHECK_EQ(noted(LEFT), 1);
    CHECK_EQ(e2e_stop(), 0);
}

/* ---- times ---- */
TEST(idle_timeout) {
    vt_server_cfg cfg = {.idle_timeout_ms = 150};
    struct h3_stream *s;
    REQUIRE(serve(&cfg));
    H3(h);
    REQUIRE(h3_open(&h));
    CHECK(goes_on(&h));
    CHECK_EQ(h3_get(&h, &s, "/slept?ms=500"), 200); /* that was not idle */
    CHECK_EQ(ended(&h), VT__H3_NO_ERROR);
    WAIT(open_connections() == 0);
    CHECK_EQ(open_connections(), 0);
    CHECK_EQ(stop(&h), 0);
}
/* b33: half a head on each of many streams; a body that stalls; whole requests go on meanwhile. */
TEST(b33_heads_that_do_not_end) {
    vt_server_cfg cfg = {.header_timeout_ms = 200};
    struct h3_stream *s[99];
    REQUIRE(serve(&cfg));
    H3(h);
    REQUIRE(h3_open(&h));
    for (int i = 0; i < 99; i++) {
        s[i] = h3_stream_new(&h, false);
        REQUIRE(s[i]);
        h3_raw(&h, s[i], "\1\77abc", i % 3 ? 5 : 1, false); /* of 63 bytes, three */
        if (i == 50) h3_run(&h, 60);
    }
    CHECK(goes_on(&h));
    int64_t before = timeouts();
    for (int i = 0; i < 99; i++) {
        h3_until(&h, s[i]->rst >= 0);
        CHECK_EQ(s[i]->rst, VT__H3_REQUEST_CANCELLED);
        CHECK_EQ(s[i]->stop, VT__H3_REQUEST_CANCELLED);
    }
    CHECK_EQ(timeouts() - before, 99);
    for (int i = 0; i < 300; i++) CHECK(goes_on(&h)); /* their places are free */
    struct h3_stream *body = h3_ask(&h, "POST /", "", false),
                     *slow = h3_ask(&h, "GET /slept?ms=600", "", false);
    h3_run(&h, 400); /* it is for heads alone */
    h3_body(&h, body, "b", 1, true);
    CHECK_EQ(h3_wait(&h, body), 200);
    CHECK_EQ(h3_wait(&h, slow), 200);
    CHECK_EQ(stop(&h), 0);
}

/* ---- clients that mean harm ---- */
struct harm {
    const char *bytes[3]; /* of streams of ours, each opened; "" and NULL: one that ends, none */
    size_t n[3];
    int64_t code; /* of the connection's end */
};
#define BYTES(s)                                                                                             \
    {s}, { sizeof(s) - 1 }
#define BYTES2(s, t)                                                                                         \
    {s, t}, { sizeof(s) - 1, sizeof(t) - 1 }
/* QPACK's static table: 0xd1 is GET, 0xd7 https, 0xc1 the path /; 0x50 1 a, or its like, an authority. */
#define HEAD "\1\10\0\0\xd1\xd7\xc1\x50\1a"
#define TRAILERS "\1\6\0\0\x21y\1z"
static void try_harm(const struct harm *c, size_t i, bool uni) {
    H3(h);
    h.raw = true;
    if (!h3_open(&h)) return test_fail(__FILE__, __LINE__, "h3_open");
    if (!uni) h3_raw(&h, h3_stream_new(&h, true), "\0\4\0", 3, false);
    for (int k = 0; k < 3 && c->bytes[k]; k++) h3_raw(&h, h3_stream_new(&h, uni), c->bytes[k], c->n[k], !uni);
    int64_t code = ended(&h);
    if (code != c->code) printf("case %zu\n", i);
    CHECK_EQ(code, c->code);
}
/* Each connection ends with its code; the server, and others, go on. */
TEST(b45_b48_b49_control_and_qpack_streams) {
    static const struct harm cases[] = {
        {BYTES2("\0\4\0", "\0\4\0"), VT__H3_STREAM_CREATION_ERROR},
        {BYTES2("\2", "\2"), VT__H3_STREAM_CREATION_ERROR},
        {BYTES2("\3", "\3"), VT__H3_STREAM_CREATION_ERROR},
        {BYTES("\1\0"), VT__H3_STREAM_CREATION_ERROR}, /* a push, of a client */
        {BYTES("\0\7\1\0"), VT__H3_MISSING_SETTINGS},
        {BYTES("\0\4\0\4\0"), VT__H3_FRAME_UNEXPECTED},
        {BYTES("\0\4\0\0\0"), VT__H3_FRAME_UNEXPECTED},
        {BYTES("\0\4\0\1\0"), VT__H3_FRAME_UNEXPECTED},
        {BYTES("\0\4\0\6\0"), VT__H3_FRAME_UNEXPECTED}, /* PING of HTTP/2 */
        {BYTES("\0\4\4\6\1\6\1"), VT__H3_SETTINGS_ERROR},
        {BYTES("\0\4\2\2\0"), VT__H3_SETTINGS_ERROR},
        {BYTES("\0\4\2\10\2"), VT__H3_SETTINGS_ERROR},
        {BYTES("\0\4\1\6"), VT__H3_FRAME_ERROR},
        {BYTES("\0\4\0\7\2\0\0"), VT__H3_FRAME_ERROR},
        {BYTES("\2\x3f\xff\xff\3"), VT__H3_QPACK_ENCODER_STREAM_ERROR}, /* a table over its limit */
        {BYTES("\2\3"), VT__H3_QPACK_ENCODER_STREAM_ERROR},             /* doubles what is not there */
        {BYTES("\2\x81\1a"), VT__H3_QPACK_ENCODER_STREAM_ERROR},
        {BYTES("\3\0"), VT__H3_QPACK_DECODER_STREAM_ERROR},   /* an increment of 0 */
        {BYTES("\3\1"), VT__H3_QPACK_DECODER_STREAM_ERROR},   /* of more than there is */
        {BYTES("\3\x84"), VT__H3_QPACK_DECODER_STREAM_ERROR}, /* a section that nobody sent */
    };
    REQUIRE(serve(NULL));
    for (size_t i = 0; i < VT__COUNT(cases); i++) try_harm(&cases[i], i, true);
    H3(h);
    REQUIRE(h3_open(&h));
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(b45_critical_streams_that_end) {
    for (int how = 0; how < 2; how++)
        for (int type = 0; type < 4; type++) {
            const char head[] = {(char)type, 4, 0};
            if (type == 1) continue;
            REQUIRE(serve(NULL));
            H3(h);
            h.raw = true;
            REQUIRE(h3_open(&h));
            struct h3_stream *s = h3_stream_new(&h, true);
            h3_raw(&h, s, head, type ? 1 : 3, how == 0);
            h3_run(&h, 20);
            if (how == 1) h3_reset(&h, s, 0);
            CHECK_EQ(ended(&h), VT__H3_CLOSED_CRITICAL_STREAM);
            CHECK_EQ(stop(&h), 0);
        }
}
/* Streams that nobody knows (RFC 9114 6.2.3) are given back, at their end or before it: there may be any number of them. */
TEST(streams_of_unknown_kinds_cost_nothing) {
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    for (int i = 0; i < 30; i++) {
        struct h3_stream *s = NULL;
        h3_until(&h, (s = h3_stream_new(&h, true)) != NULL);
        REQUIRE(s != NULL);
        h3_raw(&h, s, "\x21", 1, false); /* a kind that has no meaning; bytes follow */
        h3_run(&h, 5);
        if (i % 2) h3_reset(&h, s, VT__H3_NO_ERROR);
        else h3_raw(&h, s, "more of it", 10, true);
    }
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(b46_frames_of_requests) {
    static const struct harm cases[] = {
        {BYTES("\0\1a"), VT__H3_FRAME_UNEXPECTED}, /* DATA first */
        {BYTES(HEAD TRAILERS TRAILERS), VT__H3_FRAME_UNEXPECTED},
        {BYTES(HEAD TRAILERS "\0\1a"), VT__H3_FRAME_UNEXPECTED},
        {BYTES("\4\0"), VT__H3_FRAME_UNEXPECTED},
        {BYTES("\7\1\0"), VT__H3_FRAME_UNEXPECTED},
        {BYTES("\3\1\0"), VT__H3_FRAME_UNEXPECTED},
        {BYTES("\5\1\0"), VT__H3_FRAME_UNEXPECTED},
        {BYTES("\2\0"), VT__H3_FRAME_UNEXPECTED},
        {BYTES(HEAD "\0\5ab"), VT__H3_FRAME_ERROR},
        {BYTES("\1\10\0\0\xd1"), VT__H3_FRAME_ERROR},
        {BYTES(HEAD "\x21\xff\xff\xff\xff\xff\xff\xff\xff"
                    "ab"),
         VT__H3_FRAME_ERROR},                                     /* 2^62 - 1 to come */
        {BYTES("\1\x9f\xff\xff\xff\0\0"), VT__H3_EXCESSIVE_LOAD}, /* b47: a head of 512 MiB */
        {BYTES("\1\3\0\0\xff"), VT__H3_QPACK_DECOMPRESSION_FAILED},
        {BYTES("\1\4\0\0\xff\x7f"), VT__H3_QPACK_DECOMPRESSION_FAILED}, /* no such entry */
        {BYTES("\1\3\0\0\x80"), VT__H3_QPACK_DECOMPRESSION_FAILED},
        {BYTES("\1\4\xff\x7f\0\xd1"), VT__H3_QPACK_DECOMPRESSION_FAILED},
    };
    REQUIRE(serve(NULL));
    for (size_t i = 0; i < VT__COUNT(cases); i++) try_harm(&cases[i], i, false);
    H3(h);
    REQUIRE(h3_open(&h));
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* What is one request's fault resets its stream alone. */
TEST(b46_requests_that_are_malformed) {
    static const char *const heads[] = {
        ":method: GET\n:scheme: https\n:authority: a\n", /* no path */
        ":method: GET\n:scheme: https\n:path: /\n:path: /\n:authority: a\n",
        ":method: GET\n:scheme: https\n:path: /\nx: y\n:authority: a\n",
        ":method: GET\n:scheme: https\n:path: /\n:authority: a\n:status: 200\n",
        ":method: GET\n:scheme: https\n:path: /\n:authority: a\nX: y\n",
        ":method: GET\n:scheme: https\n:path: /\n:authority: a\nconnection: close\n",
        ":method: GET\n:scheme: https\n:path: /\n:authority: a\ntransfer-encoding: chunked\n",
        ":method: GET\n:scheme: https\n:path: /\n:authority: a\ncontent-length: 5\n",
    };
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    for (size_t i = 0; i < VT__COUNT(heads); i++) {
        struct h3_stream *s = h3_stream_new(&h, false);
        REQUIRE(s);
        h3_fields(&h, s, heads[i], true);
        CHECK_EQ(h3_wait(&h, s), H3_RST);
        CHECK_EQ(s->rst, VT__H3_MESSAGE_ERROR);
    }
    struct h3_stream *s = h3_ask(&h, "POST /stream", "content-length: 5\n", false);
    h3_until(&h, noted(ENTERED) == 1);
    h3_body(&h, s, "123456", 6, false);
    CHECK_EQ(h3_wait(&h, s), H3_RST);
    CHECK_EQ(s->rst, VT__H3_MESSAGE_ERROR);
    h3_until(&h, noted(LEFT) == 1);
    CHECK(noted(RESULT) < 0);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* b49: it waits for entries that never come, as long as it may. */
TEST(b49_a_section_that_waits_for_ever) {
    vt_server_cfg cfg = {.header_timeout_ms = 100};
    REQUIRE(serve(&cfg));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_stream_new(&h, false);
    REQUIRE(s);
    h3_raw(&h, s, "\1\4\2\0\xd1\x80", 6, true);
    h3_until(&h, s->rst >= 0 || h.closed);
    CHECK_EQ(s->rst, VT__H3_REQUEST_CANCELLED);
    CHECK(goes_on(&h));
    for (int i = 0; i < 20 && !h.closed; i++)
        h3_raw(&h, h3_stream_new(&h, false), "\1\4\2\0\xd1\x80", 6, true);
    CHECK_EQ(ended(&h), VT__H3_QPACK_DECOMPRESSION_FAILED); /* so many may not */
    CHECK_EQ(stop(&h), 0);
}
/* b35, as HTTP/2's rapid reset. */
TEST(b35_reset_flood) {
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    for (int i = 0; i < 5000 && !h.closed; i++) {
        struct h3_stream *s = h3_stream_new(&h, false);
        if (!s) h3_turn(&h, 1);
        if (!s || h.closed) continue;
        h3_raw(&h, s, HEAD, sizeof HEAD - 1, false);
        h3_turn(&h, 0);
        h3_reset(&h, s, VT__H3_REQUEST_CANCELLED);
        h3_stop(&h, s, VT__H3_REQUEST_CANCELLED);
        vt__qstr_release(&h.q.streams, s->wire, 0);
    }
    CHECK_EQ(ended(&h), VT__H3_EXCESSIVE_LOAD);
    CHECK_EQ(stop(&h), 0);
}
/* Datagrams of no bytes, and of noise, from where a connection is. */
TEST(b52_empty_datagrams) {
    struct sockaddr_in6 name;
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    socklen_t n = vt__udp_addr_to(&h.remote, AF_INET, &name);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 500; i++)
            (void)!sendto(h.udp.fd, "\x40noise\xff", (size_t)(i % 8), MSG_DONTWAIT, (struct sockaddr *)&name,
                          n);
        CHECK(goes_on(&h));
    }
    CHECK_EQ(stop(&h), 0);
}

/* ---- the server's end, its bounds ---- */
TEST(stop_while_streams_run) {
    struct h3_stream *s, *big;
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    s = h3_ask(&h, "GET /stubborn", "", true);
    big = h3_ask(&h, "GET /bytes?n=3000000", "", true);
    big->hold = true;
    h3_until(&h, noted(ENTERED) == 2 && big->body.n > 100000);
    uint64_t next = h.q.streams.mine[0] * 4;
    vt_server_stop(e2e.s);
    h3_until(&h, h.goaways == 1);
    h3_until(&h, h.goaways == 2);
    CHECK_EQ(h.goaway, next);
    h3_let(&h, big);
    CHECK_EQ(h3_wait(&h, big), 200);
    CHECK(big->body.n == 3000000 && is_pattern((char *)big->body.p, 3000000));
    CHECK(!h.closed);
    note(THREADS, 1);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK(h3_is(s, "stubborn"));
    CHECK_EQ(ended(&h), VT__H3_NO_ERROR);
    CHECK_EQ(stop(&h), 0);
}
/* A request that was sent before the client heard of the end. */
TEST(stop_and_requests_on_their_way) {
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "GET /stubborn", "", true), *late, *later;
    h3_until(&h, noted(ENTERED) == 1);
    vt_server_stop(e2e.s);
    h3_until(&h, h.goaways == 1);
    h.m.peer_away = UINT64_MAX; /* it asks nevertheless */
    late = h3_ask(&h, "GET /", "", true);
    h3_until(&h, h.goaways == 2);
    if (h.goaway > late->m.id) CHECK_EQ(h3_wait(&h, late), 200);
    h.m.peer_away = UINT64_MAX;
    later = h3_ask(&h, "GET /", "", true);
    CHECK_EQ(h3_wait(&h, later), H3_RST);
    CHECK_EQ(later->rst, VT__H3_REQUEST_REJECTED);
    note(THREADS, 1);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK_EQ(ended(&h), VT__H3_NO_ERROR);
    CHECK_EQ(stop(&h), 0);
}
TEST(kill_after_the_grace_period) {
    vt_server_cfg cfg = {.grace_ms = 50};
    REQUIRE(serve(&cfg));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "GET /slept?ms=100000", "", true);
    h3_until(&h, noted(OPEN) == 1);
    vt_server_stop(e2e.s);
    CHECK_EQ(h3_wait(&h, s), 503);
    CHECK_EQ(noted(RESULT), -ECANCELED);
    CHECK_EQ(e2e_logged(VT_LOG_WARN, "still running after the grace period: GET /slept?ms=100000"), 1);
    CHECK_EQ(stop(&h), -ETIMEDOUT);
}
/* Also with clients that are gone, or never came to their end. */
TEST(stop_with_idle_connections) {
    vt_server_cfg cfg = {.grace_ms = 2 * E2E_MS};
    REQUIRE(serve(&cfg));
    H3(h);
    H3(gone);
    H3(half);
    REQUIRE(h3_open(&h) && h3_open(&gone) && h3_start(&half));
    CHECK(goes_on(&h) && goes_on(&gone));
    h3_vanish(&gone), h3_vanish(&half);
    int64_t t = e2e_now_ms();
    vt_server_stop(e2e.s);
    CHECK_EQ(ended(&h), VT__H3_NO_ERROR);
    CHECK_EQ(stop(&h), 0);
    CHECK(e2e_now_ms() - t < E2E_MS);
}
TEST(requests_of_a_connection_are_bounded) {
    vt_server_cfg cfg = {.max_keep_alive = 3};
    REQUIRE(serve(&cfg));
    H3(h);
    REQUIRE(h3_open(&h));
    for (int i = 0; i < 3; i++) CHECK(goes_on(&h));
    CHECK_EQ(ended(&h), VT__H3_NO_ERROR);
    CHECK_EQ(stop(&h), 0);
}
TEST(max_connections) {
    vt_server_cfg cfg = {.max_connections = 2};
    REQUIRE(serve(&cfg));
    H3(a);
    H3(b);
    H3(c);
    REQUIRE(h3_open(&a) && h3_open(&b));
    CHECK(!h3_open(&c));
    CHECK(c.closed && !c.why.app && c.why.code == VT__QPKT_CONNECTION_REFUSED);
    h3_vanish(&c);
    CHECK(goes_on(&a) && goes_on(&b));
    h3_close(&a);
    WAIT(open_connections() == 1);
    CHECK(h3_open(&c));
    CHECK(goes_on(&c));
    h3_close(&b), h3_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}
static int64_t waiting(void) {
    vt_server_stats st;
    vt_server_stats_get(e2e.s, &st);
    return st.waiting;
}
TEST(requests_wait_for_a_vthread) {
    vt_server_cfg cfg = {.max_vthreads = 8, .workers = 1, .queue_timeout_ms = VT_NONE};
    enum { N = 30 };
    struct h3_stream *s[N];
    REQUIRE(serve(&cfg));
    H3(h);
    REQUIRE(h3_open(&h));
    for (int i = 0; i < N; i++) {
        char what[64];
        snprintf(what, sizeof what, "GET /turn?n=%d", i);
        s[i] = h3_ask(&h, what, "", true);
    }
    h3_until(&h, noted(ENTERED) + waiting() == N);
    CHECK(waiting() >= N - 8 && noted(ENTERED) >= 1);
    for (int i = 0; i < N; i++) CHECK(!s[i]->end);
    h3_reset(&h, s[N - 1], VT__H3_REQUEST_CANCELLED); /* nobody wants its answer any more */
    int64_t queued = waiting();
    h3_stop(&h, s[N - 1], VT__H3_REQUEST_CANCELLED);
    h3_until(&h, waiting() == queued - 1);
    CHECK_EQ(waiting(), queued - 1);
    note(THREADS, 1);
    for (int i = 0; i < N - 1; i++) CHECK_EQ(h3_wait(&h, s[i]), 200);
    CHECK_EQ(waiting(), 0);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(without_a_vthread_503) {
    vt_server_cfg cfg = {.max_vthreads = 8, .workers = 1, .retry_after_s = 7, .max_queued = VT_NONE};
    struct h3_stream *s[20];
    int served = 0, busy = 0, done = 0;
    REQUIRE(serve(&cfg));
    H3(h);
    REQUIRE(h3_open(&h));
    for (int i = 0; i < 20; i++) s[i] = h3_ask(&h, "GET /stubborn", "", true);
    for (int64_t until = e2e_now_ms() + E2E_MS; done < 12 && e2e_now_ms() < until;) {
        h3_run(&h, 5);
        for (int i = done = 0; i < 20; i++) done += s[i]->end;
    }
    note(THREADS, 1);
    for (int i = 0; i < 20; i++) {
        int status = h3_wait(&h, s[i]);
        served += status == 200, busy += status == 503;
        if (status == 503) CHECK_STR(h3_field(s[i], "retry-after"), "7");
    }
    CHECK(served + busy == 20 && served >= 1 && busy >= 12);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}

/* ---- configurations ---- */
TEST(h152_needs_a_tls_listener) {
    vt_server_cfg cfg = {.http3 = 1, .host = "127.0.0.1", .port = VT_NONE, .no_signals = 1};
    vt_server *s = vt_server_new(&cfg);
    CHECK(vt_server_run(s) < 0);
    CHECK(strstr(vt_server_error_text(s), "HTTP/3 needs a TLS listener"));
    vt_server_free(s);
}
/* The UDP port of the number that the TLS listener has is another's. */
TEST(h152_port_in_use) {
    struct sockaddr_in sa = {.sin_family = AF_INET};
    socklen_t n = sizeof sa;
    char port[32];
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&sa, n) == 0);
    getsockname(fd, (struct sockaddr *)&sa, &n);
    vt_server_cfg cfg = {.http3 = 1, .host = "127.0.0.1", .port = VT_NONE, .no_signals = 1, .ssl_only = 1};
    cfg.ssl_port = ntohs(sa.sin_port);
    cfg.ssl_cert = pem_file("127.0.0.1");
    vt_server *s = vt_server_new(&cfg);
    CHECK_EQ(vt_server_run(s), -EADDRINUSE);
    snprintf(port, sizeof port, ":%d", cfg.ssl_port);
    CHECK(strstr(vt_server_error_text(s), port));
    CHECK(strstr(vt_server_error_text(s), "UDP"));
    vt_server_free(s);
    close(fd);
    cfg.port = cfg.ssl_port;
    REQUIRE(e2e_start(&cfg, routes) == 0); /* it was let go */
    H3(h);
    REQUIRE(h3_open(&h));
    CHECK(goes_on(&h));
    CHECK_EQ(e2e.port, cfg.ssl_port);
    CHECK_EQ(stop(&h), 0);
}
/* Handshakes of QUIC use what was read anew; connections that are there go on. */
TEST(certificates_are_read_anew) {
    const char *path = pem_file("127.0.0.1");
    FILE *f = fopen(path, "rb");
    char was[8192], name[64];
    size_t n = f ? fread(was, 1, sizeof was - 1, f) : 0;
    REQUIRE(f && fclose(f) == 0 && n > 0);
    was[n] = 0;
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    CHECK_STR(h.server, "127.0.0.1");
    for (int i = 0; i < 3; i++) {
        H3(later);
        snprintf(name, sizeof name, "the %d. one", i);
        struct pem p = pem_make(name, "IP:127.0.0.1", NULL, 30, 0);
        tmp_text("own.pem", p.text);
        pem_free(&p);
        CHECK_EQ(vt_server_tls_reload(e2e.s), 0);
        REQUIRE(h3_open(&later));
        CHECK_STR(later.server, name);
        CHECK(goes_on(&later));
        CHECK(goes_on(&h));
    }
    tmp_text("own.pem", "no certificate");
    CHECK(vt_server_tls_reload(e2e.s) < 0);
    H3(last);
    REQUIRE(h3_open(&last));
    CHECK_STR(last.server, name);
    tmp_text("own.pem", was);
    h3_close(&last);
    CHECK_EQ(stop(&h), 0);
}

/* ---- keys that are dear ---- */
static int pool_threads(void) {
    pthread_mutex_lock(&vt__block_g.lock);
    int n = vt__block_g.threads;
    pthread_mutex_unlock(&vt__block_g.lock);
    return n;
}
/* The pool takes nothing more, or does again. */
static void pool_full(bool on) {
    pthread_mutex_lock(&vt__block_g.lock);
    vt__block_g.queued += on ? VT__BLOCK_QUEUE_MAX : -VT__BLOCK_QUEUE_MAX;
    pthread_mutex_unlock(&vt__block_g.lock);
}
static char own[16384]; /* the certificate that servers have else */
static void own_rsa(void) {
    FILE *f = fopen(pem_file("127.0.0.1"), "rb");
    if (!f) abort();
    own[fread(own, 1, sizeof own - 1, f)] = 0;
    fclose(f);
    struct pem p = pem_make("rsa", "IP:127.0.0.1", NULL, 30, 3072);
    tmp_text("own.pem", p.text);
    pem_free(&p);
}
TEST(h150_dear_keys_are_used_on_other_threads) {
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    CHECK_EQ(pool_threads(), 0);
    CHECK_EQ(stop(&h), 0);
    own_rsa();
    REQUIRE(serve(NULL));
    H3(r);
    pool_full(true); /* then they are used where they are */
    CHECK(h3_open(&r) && pool_threads() == 0);
    pool_full(false);
    h3_close(&r);
    REQUIRE(h3_open(&r));
    CHECK_STR(r.server, "rsa");
    CHECK(goes_on(&r));
    CHECK(pool_threads() > 0);
    CHECK_EQ(stop(&r), 0);
    tmp_text("own.pem", own);
}
/* The server ends while handshakes are under way on other threads: it, or its connections, do not wait for them. */
TEST(dear_handshakes_and_the_servers_end) {
    enum { ROUNDS = 6, CLIENTS = 12 };
    own_rsa();
    for (int i = 0; i < ROUNDS; i++) {
        vt_server_cfg cfg = {.grace_ms = 1};
        struct h3 h[CLIENTS];
        memset(h, 0, sizeof h);
        REQUIRE(serve(&cfg));
        for (int k = 0; k < CLIENTS; k++) REQUIRE(h3_start(&h[k]));
        for (int64_t end = e2e_now_ms() + E2E_MS; pool_threads() == 0 && e2e_now_ms() < end;) e2e_sleep_ms(1);
        CHECK(pool_threads() > 0);
        if (i % 2)
            for (int k = 0; k < CLIENTS; k++) h3_close(&h[k]);
        vt_server_stop(e2e.s);
        int r = e2e_stop(); /* there may be connections when the time of grace is over */
        CHECK(r == 0 || r == -ETIMEDOUT);
        for (int k = 0; k < CLIENTS; k++) h3_close(&h[k]);
    }
    tmp_text("own.pem", own);
}
