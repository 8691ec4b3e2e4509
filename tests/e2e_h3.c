/* What the server must be seen to do with HTTP/3: beside what it shares with HTTP/2 (tests/muxcases.h) flow control,
 * lives of streams and connections, and clients that mean harm (bNN_: number NN of that list; hNNN_: a behaviour's). */
/* variants: default asan tsan */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define E2E_TLS 1
#include "e2e.h"

#include "h3client.h"
#include "streams.h"

/* What tests/muxcases.h wants. */
typedef struct h3 mx;
typedef struct h3_stream mx_stream;
enum { MX_VERSION = 30, MX_ORDERED = false, MX_RST = H3_RST };
enum {
    MX_NO_ERROR = VT__H3_NO_ERROR,
    MX_MALFORMED = VT__H3_MESSAGE_ERROR,
    MX_INTERNAL = VT__H3_INTERNAL_ERROR
};
#define MX(name) H3(name)
static bool serve(const vt_server_cfg *cfg) {
    vt_server_cfg c = cfg ? *cfg : (vt_server_cfg){0};
    c.http3 = 1;
    return start(&c);
}
static bool mx_open(mx *h) { return h3_open(h); }
static bool mx_open_window(mx *h, uint32_t n) {
    h->cfg.streams.window = n, h->cfg.streams.max_window = 2 * n;
    return h3_open(h);
}
static void mx_close(mx *h) { h3_close(h); }
static void mx_leave(mx *h) { h3_leave(h, VT__H3_NO_ERROR); }
static void mx_turn(mx *h, int64_t ms) { h3_turn(h, ms); }
static mx_stream *mx_ask(mx *h, const char *what, const char *lines, bool fin) {
    return h3_ask(h, what, lines, fin);
}
static mx_stream *mx_ask_as(mx *h, const char *lines, bool fin) {
    mx_stream *s = h3_stream_new(h, false);
    if (!s) abort();
    h3_fields(h, s, lines, fin);
    return s;
}
static void mx_body(mx *h, mx_stream *s, const char *p, size_t n, bool fin) { h3_body(h, s, p, n, fin); }
static void mx_trailers(mx *h, mx_stream *s, const char *lines) { h3_fields(h, s, lines, true); }
static int mx_wait(mx *h, mx_stream *s) { return h3_wait(h, s); }
static vt_str mx_got(const mx_stream *s) {
    return (vt_str){s->body.p ? (const char *)s->body.p : "", s->body.n};
}
static const char *mx_field(mx_stream *s, const char *name) { return h3_field(s, name); }
static const char *mx_inform(mx_stream *s, const char *name) { return h3_line_of(s, &s->inform, name); }
static const char *mx_trailer(mx_stream *s, const char *name) { return h3_line_of(s, &s->trailers, name); }
static bool mx_has_lines(const mx_stream *s, const char *lines) {
    return memmem(s->head.p, s->head.n, lines, strlen(lines)) != NULL;
}
static int64_t mx_stopped(const mx_stream *s) { return s->stop; }
/* A request that is whole has nothing to be reset. */
static void mx_cancel(mx *h, mx_stream *s) {
    if (s->fin) h3_stop(h, s, VT__H3_REQUEST_CANCELLED);
    else h3_reset(h, s, VT__H3_REQUEST_CANCELLED);
}
static void mx_hold(mx *h, mx_stream *s) { (void)h, s->hold = true; }
static void mx_let(mx *h, mx_stream *s) { h3_let(h, s); }
static bool mx_ping(mx *h) {
    vt__quic_ping(&h->q);
    h3_until(h, (!h->q.owes_ping && !h->q.rec.in_flight) || h->closed);
    return !h->q.owes_ping && !h->q.rec.in_flight;
}
static int64_t mx_ended(mx *h) {
    h3_until(h, h->closed);
    return h->closed && h->why.cause == VT__QUIC_BY_PEER && h->why.app ? (int64_t)h->why.code : -1;
}
static bool mx_last(const mx *h, const mx_stream *s) { return h->goaway == s->m.id + 4; }
static bool mx_at_peace(const mx *h) {
    bool reset = false;
    for (const mx_stream *s = h->all; s; s = s->next) reset |= s->rst >= 0 || s->stop >= 0;
    return h->settings == 1 && !h->closed && !reset;
}
static void mx_where(mx *h, char *to, size_t cap) {
    h3_until(h, h->q.confirmed); /* the handshake's machine is gone */
    snprintf(to, cap, "127.0.0.1:%d 127.0.0.1:%d 1 h3", h->udp.port, e2e.port);
}
#include "muxcases.h"

static int64_t timeouts(void) {
    vt_server_stats st;
    vt_server_stats_get(e2e.s, &st);
    return st.timeouts;
}

/* ---- windows ---- */
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

/* ---- connections, and ends of streams ---- */
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
/* b33: half a head on each of many streams; a body that stalls; whole requests go on meanwhile. */
TEST(b33_heads_that_do_not_end) {
    vt_server_cfg cfg = {.header_timeout_ms = 200};
    struct h3_stream *s[99];
    REQUIRE(serve(&cfg));
    H3(h);
    REQUIRE(h3_open(&h));
    int64_t before = timeouts();
    for (int i = 0; i < 99; i++) {
        s[i] = h3_stream_new(&h, false);
        REQUIRE(s[i]);
        h3_raw(&h, s[i], "\1\77abc", i % 3 ? 5 : 1, false); /* of 63 bytes, three */
        if (i == 50) h3_run(&h, 60);
    }
    CHECK(goes_on(&h));
    for (int i = 0; i < 99; i++) {
        h3_until(&h, s[i]->rst >= 0 && s[i]->stop >= 0);
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
    int64_t code = mx_ended(&h);
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
            CHECK_EQ(mx_ended(&h), VT__H3_CLOSED_CRITICAL_STREAM);
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
/* b49: it waits for entries that never come, as long as it may. */
TEST(b49_a_section_that_waits_for_ever) {
    vt_server_cfg cfg = {.header_timeout_ms = 400};
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
    CHECK_EQ(mx_ended(&h), VT__H3_QPACK_DECOMPRESSION_FAILED); /* so many may not */
    CHECK_EQ(stop(&h), 0);
}
/* What comes behind a section that waits is given back like anything else, also if nothing is told of it. */
TEST(b49_a_window_full_of_nothing_behind_a_section_that_waits) {
    static char nothing[400000];
    REQUIRE(serve(NULL));
    H3(h);
    h.raw = true;
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_stream_new(&h, false);
    REQUIRE(s);
    h3_raw(&h, h3_stream_new(&h, true), "\0\4\0", 3, false);
    h3_raw(&h, s, "\1\6\2\0\xd4\xd7\xc1\x80\x21\x80\x06\x1a\x80", 13, false); /* a frame of no known type */
    h3_raw(&h, s, nothing, sizeof nothing, true);
    h3_until(&h, s->wire->out.sent == s->wire->send_max);
    h3_run(&h, 50);
    h3_raw(&h, h3_stream_new(&h, true), "\2\x3f\xe1\x1f\xc0\1a", 7, false);
    REQUIRE(h.m.enc.refs != NULL); /* the machine here is to know of it */
    h.m.enc.refs[h.m.enc.nrefs++] = (vt__qpack_ref){s->m.id, 1, 0};
    CHECK_EQ(h3_wait(&h, s), 200);
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
    CHECK_EQ(mx_ended(&h), VT__H3_EXCESSIVE_LOAD);
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
/* A request that was sent before the client heard of the end. */
TEST(stop_and_requests_on_their_way) {
    REQUIRE(serve(NULL));
    H3(h);
    REQUIRE(h3_open(&h));
    struct h3_stream *s = h3_ask(&h, "GET /stubborn", "", true), *late, *later;
    h3_until(&h, noted(ENTERED) == 1);
    vt_server_stop(e2e.s);
    h3_until(&h, h.goaways >= 1); /* the second follows by time: one look may find both */
    h.m.peer_away = UINT64_MAX;   /* it asks nevertheless */
    late = h3_ask(&h, "GET /", "", true);
    h3_until(&h, h.goaways == 2);
    if (h.goaway > late->m.id) CHECK_EQ(h3_wait(&h, late), 200);
    h.m.peer_away = UINT64_MAX;
    later = h3_ask(&h, "GET /", "", true);
    CHECK_EQ(h3_wait(&h, later), H3_RST);
    CHECK_EQ(later->rst, VT__H3_REQUEST_REJECTED);
    note(THREADS, 1);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK_EQ(mx_ended(&h), VT__H3_NO_ERROR);
    CHECK_EQ(stop(&h), 0);
}
/* Also with clients that are gone, or never came to their end. */
TEST(stop_with_clients_that_are_gone) {
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
    CHECK_EQ(mx_ended(&h), VT__H3_NO_ERROR);
    CHECK_EQ(stop(&h), 0);
    CHECK(e2e_now_ms() - t < E2E_MS);
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
    int fd = -1;
    for (int tcp = -1, taken = -1; taken < 0; close(tcp)) { /* one that no other program has for TCP */
        if (fd >= 0) close(fd);
        sa.sin_port = 0;
        fd = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);
        REQUIRE(fd >= 0 && tcp >= 0 && bind(fd, (struct sockaddr *)&sa, n) == 0);
        getsockname(fd, (struct sockaddr *)&sa, &n);
        taken = bind(tcp, (struct sockaddr *)&sa, n);
    }
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
