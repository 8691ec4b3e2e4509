/* What the server must be seen to do with HTTP/2: beside what it shares with HTTP/3 (tests/muxcases.h) flow control, lives of
 * streams and connections, and clients that mean harm (aNN_: number NN of that list). */
/* variants: default asan clang poll tsan */
#define VTHTTP_H2 1
#include "e2e.h"

#include "h2client.h"
#include "streams.h"

/* What tests/muxcases.h wants. */
typedef struct h2 mx;
typedef struct h2_stream mx_stream;
enum { MX_VERSION = 20, MX_ORDERED = true, MX_RST = H2_RST };
enum {
    MX_NO_ERROR = VT__H2_NO_ERROR,
    MX_MALFORMED = VT__H2_PROTOCOL_ERROR,
    MX_INTERNAL = VT__H2_INTERNAL_ERROR
};
#define MX(name) H2(name)
static bool serve(const vt_server_cfg *cfg) { return start(cfg); }
static bool mx_open(mx *h) { return h2_open(h); }
static bool mx_open_window(mx *h, uint32_t n) { return h2_open_window(h, n, 0); }
static void mx_close(mx *h) { h2_close(h); }
static void mx_leave(mx *h) { cl_reset(&h->c); }
static void mx_turn(mx *h, int64_t ms) {
    if (h2_pump(h, ms) == 0) e2e_sleep_ms(ms); /* the connection's end, which does not go away */
}
static mx_stream *mx_ask(mx *h, const char *what, const char *lines, bool fin) {
    return h2_of(h, h2_ask(h, what, lines, fin));
}
static mx_stream *mx_ask_as(mx *h, const char *lines, bool fin) {
    uint8_t block[1024];
    uint32_t id = h->next;
    h->next += 2;
    h2_send_block(h, id, block, (size_t)(h2_put_lines(block, lines) - block), sizeof block, fin);
    return h2_of(h, id);
}
static void mx_body(mx *h, mx_stream *s, const char *p, size_t n, bool fin) { h2_body(h, s->id, p, n, fin); }
static void mx_trailers(mx *h, mx_stream *s, const char *lines) { h2_trailers(h, s->id, lines); }
static int mx_wait(mx *h, mx_stream *s) { return VT__MAX(h2_wait(h, s->id), MX_RST); }
static vt_str mx_got(const mx_stream *s) { return (vt_str){s->body, s->body_len}; }
static const char *mx_field(mx_stream *s, const char *name) { return h2_field(s, name); }
static const char *mx_inform(mx_stream *s, const char *name) { return h2_find(s, s->inform, name); }
static const char *mx_trailer(mx_stream *s, const char *name) { return h2_find(s, s->trailers, name); }
static bool mx_has_lines(const mx_stream *s, const char *lines) { return strstr(s->head, lines) != NULL; }
static int64_t mx_stopped(const mx_stream *s) { return s->rst; }
static void mx_cancel(mx *h, mx_stream *s) { h2_rst(h, s->id); }
/* Of all streams. */
static void mx_hold(mx *h, mx_stream *s) { (void)s, h->hold = true; }
static void mx_let(mx *h, mx_stream *s) {
    h->hold = false;
    h2_credit(h, 0, s->body_len), h2_credit(h, s->id, s->body_len);
}
static bool mx_ping(mx *h) {
    int before = h->pongs;
    h2_ping(h);
    H2_UNTIL(h, h->pongs != before);
    return h->pongs == before + 1;
}
static int64_t mx_ended(mx *h) { return h2_ended(h); }
static bool mx_last(const mx *h, const mx_stream *s) {
    return h->goaway_code == VT__H2_NO_ERROR && h->goaway_last == s->id;
}
static bool mx_at_peace(const mx *h) { return h->settings == 1 && h->acks == 1 && !h->resets && !h->bad; }
static void mx_where(mx *h, char *to, size_t cap) {
    struct sockaddr_in sa;
    socklen_t len = sizeof sa;
    getsockname(h->c.fd, (struct sockaddr *)&sa, &len);
    snprintf(to, cap, "127.0.0.1:%d 127.0.0.1:%d %s", ntohs(sa.sin_port), e2e.port, E2E_TLS ? "1 h2" : "0 -");
}
#include "muxcases.h"

#define MALFORMED (H2_RST - VT__H2_PROTOCOL_ERROR)
#define BODY(h, text) CHECK_STR((h).s->body, text)

/* ---- streams ---- */
TEST(what_is_allowed_is_said) {
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open(&h));
    H2_UNTIL(&h, h.acks == 1);
    CHECK_EQ(h.max_streams, 100);
    CHECK_EQ(stop(&h), 0);
}
/* What was sent before a late failure stands. */
TEST(handler_that_fails_late) {
    REQUIRE(start(NULL));
    H2(h);
    CHECK_EQ(h2_get(&h, "/fail?late"), H2_RST - VT__H2_INTERNAL_ERROR);
    BODY(h, "begun");
    CHECK_EQ(h.s->status, 200);
    CHECK_EQ(stop(&h), 0);
}
TEST(a45_settings_while_streams_wait) {
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open(&h));
    for (int i = 0; i < 99; i++) h2_ask(&h, "GET /stubborn", NULL, true);
    WAIT(noted(ENTERED) == 99);
    h2_frame(&h, VT__H2_T_SETTINGS, 0, 0, NULL, 0);
    H2_UNTIL(&h, h.acks == 2);
    CHECK_EQ(h.acks, 2);
    CHECK(goes_on(&h));
    note(THREADS, 1);
    H2_UNTIL(&h, h.ended == 100);
    CHECK_EQ(h.ended, 100);
    CHECK_EQ(stop(&h), 0);
}
TEST(a02_reset_frees_the_place_when_the_handler_ended) {
    vt_server_cfg cfg = {.max_streams = 2};
    REQUIRE(start(&cfg));
    H2(h);
    REQUIRE(h2_open(&h));
    for (int i = 0; i < 2; i++) h2_ask(&h, "GET /stubborn", NULL, true);
    WAIT(noted(ENTERED) == 2);
    h2_rst(&h, 1), h2_rst(&h, 3);
    for (int i = 0; i < 3; i++) CHECK_EQ(h2_get(&h, "/"), H2_RST - VT__H2_REFUSED_STREAM);
    note(THREADS, 1);
    WAIT(noted(LEFT) == noted(ENTERED));
    WAIT(goes_on(&h));
    CHECK_EQ(h2_get(&h, "/"), 200);
    CHECK_EQ(stop(&h), 0);
}
TEST(a33_streams_over_the_limit_are_refused) {
    vt_server_cfg cfg = {.max_streams = 3};
    uint32_t ids[5];
    REQUIRE(start(&cfg));
    H2(h);
    REQUIRE(h2_open(&h));
    for (int i = 0; i < 5; i++) ids[i] = h2_ask(&h, "GET /stubborn", NULL, true);
    CHECK_EQ(h2_wait(&h, ids[3]), H2_RST - VT__H2_REFUSED_STREAM);
    CHECK_EQ(h2_wait(&h, ids[4]), H2_RST - VT__H2_REFUSED_STREAM);
    CHECK_EQ(h.max_streams, 3);
    note(THREADS, 1);
    for (int i = 0; i < 3; i++) CHECK_EQ(h2_wait(&h, ids[i]), 200);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}

/* ---- flow control ---- */
/* A window that is closed: the handler waits, having written little; the others go on. */
TEST(slow_reader_parks_the_handler) {
    int64_t n = 4 << 20;
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open(&h));
    h.hold = true;
    uint32_t id = h2_ask(&h, "GET /bytes?n=4194304", NULL, true);
    struct h2_stream *s = h2_of(&h, id);
    H2_UNTIL(&h, s->body_len == 65535);
    h2_ping(&h);
    H2_UNTIL(&h, h.pongs == 1);
    CHECK_EQ(s->body_len, 65535);
    CHECK(noted(WROTE) < 65535 + 100000);
    CHECK_EQ(noted(LEFT), 0);
    h2_credit(&h, 0, 100); /* the connection's alone is not enough for it, but for others */
    CHECK(goes_on(&h));
    CHECK_EQ(s->body_len, 65535);
    while (s->body_len < (size_t)n && !s->end && h.ended >= 0) { /* bit by bit */
        size_t before = s->body_len, more = 30000;
        h2_credit(&h, 0, more), h2_credit(&h, id, more);
        H2_UNTIL(&h, s->end || s->body_len == before + more);
        if (s->body_len == before) break;
    }
    CHECK(s->end && s->body_len == (size_t)n && is_pattern(s->body, s->body_len));
    CHECK_EQ(stop(&h), 0);
}
TEST(window_of_one_byte) {
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open_window(&h, 1, 0));
    CHECK_EQ(h2_get(&h, "/bytes?n=300"), 200);
    CHECK(h.s->body_len == 300 && is_pattern(h.s->body, 300));
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* A handler that does not read: the client is held by its window, and no more is kept. */
TEST(reader_that_waits_holds_the_client) {
    char *p = calloc(1, 2 << 20);
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open(&h));
    uint32_t id = h2_ask(&h, "POST /stream", NULL, false); /* its response is not taken: it stops reading */
    struct h2_stream *s = h2_of(&h, id);
    size_t sent = 0;
    h.hold = true;
    pattern(p, 0, 2 << 20);
    for (int64_t until = e2e_now_ms() + E2E_MS; e2e_now_ms() < until && sent < 2 << 20;) {
        size_t k = (size_t)VT__MIN(VT__MIN(s->window, h.window), 16384);
        k = VT__MIN(k, (2u << 20) - sent);
        if ((int64_t)k > 0) h2_data(&h, id, p + sent, k, false), sent += k;
        else if (h2_pump(&h, 200) < 0 && s->body_len == 65535) break; /* held */
    }
    CHECK(sent >= 65535 && sent < 1000000);
    CHECK_EQ(s->body_len, 65535);
    h.hold = false;
    h2_credit(&h, 0, s->body_len), h2_credit(&h, id, s->body_len);
    CHECK(h2_body(&h, id, p + sent, (1 << 20) - (sent < 1 << 20 ? sent : 1 << 20), true));
    CHECK_EQ(h2_wait(&h, id), 200);
    CHECK(is_pattern(s->body, s->body_len));
    CHECK_EQ(s->body_len, 1 << 20);
    free(p);
    CHECK_EQ(stop(&h), 0);
}

/* ---- priorities ---- */
enum { RANKED = 200000, SHARE = 4 * VT__H2_FRAME_MIN };
/* Three responses whose streams have room; the connection's window is used up by another one. */
static bool ranked(struct h2 *h, const char *const priorities[3], const char *const said[3]) {
    if (!h2_open_window(h, 1 << 20, 0)) return false;
    h->hold = true;
    if (h2_get(h, "/bytes?n=65535") != 200) return false;
    for (int i = 0; i < 3; i++) {
        char what[100], lines[100] = "";
        snprintf(what, sizeof what, "GET /ranked?n=%d%s%s", RANKED, said[i] ? "&priority=" : "",
                 said[i] ? said[i] : "");
        if (priorities[i]) snprintf(lines, sizeof lines, "priority: %s\n", priorities[i]);
        struct h2_stream *s = h2_of(h, h2_ask(h, what, lines, true));
        H2_UNTIL(h, s->status != 0); /* its body waits */
        if (s->status != 200 || s->body_len) return false;
        if (said[i]) CHECK_STR(h2_field(s, "priority"), said[i]);
    }
    return true;
}
static size_t of_ranked(struct h2 *h, int i) { return h2_of(h, (uint32_t)(3 + 2 * i))->body_len; }
/* Gives them a share more; what each has. */
static void share(struct h2 *h, size_t has[3]) {
    size_t before = of_ranked(h, 0) + of_ranked(h, 1) + of_ranked(h, 2);
    h2_credit(h, 0, SHARE);
    H2_UNTIL(h, of_ranked(h, 0) + of_ranked(h, 1) + of_ranked(h, 2) == before + SHARE);
    for (int i = 0; i < 3; i++) has[i] = of_ranked(h, i);
}
TEST(priority_that_the_client_says) {
    size_t has[3];
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(ranked(&h, (const char *const[]){"u=5", NULL, "u=1"}, (const char *const[3]){NULL}));
    share(&h, has);
    CHECK(has[0] == 0 && has[1] == 0 && has[2] == SHARE);
    h2_frame(&h, VT__H2_T_PRIORITY_UPDATE, 0, 0, "\0\0\0\3u=0", 7); /* another opinion on the first */
    share(&h, has);
    CHECK(has[0] == SHARE && has[1] == 0 && has[2] == SHARE);
    CHECK_EQ(stop(&h), 0);
}
/* The handler knows better (RFC 9218 8); what it does not say stays as the client had it. */
TEST(priority_that_the_handler_says) {
    size_t has[3];
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(ranked(&h, (const char *const[]){"u=1", "u=5", NULL}, (const char *const[]){"u=6", NULL, "u=0"}));
    for (int i = 1; i <= 3; i++) share(&h, has);
    CHECK(has[0] == 0 && has[1] == 0 && has[2] == 3 * SHARE);
    share(&h, has); /* what the third leaves */
    CHECK(has[0] == 0 && has[1] == 4 * SHARE - RANKED && has[2] == RANKED);
    CHECK(h2_of(&h, 7)->end && !h2_of(&h, 3)->end);
    CHECK_EQ(stop(&h), 0);
}
TEST(priority_in_turns) {
    size_t has[3];
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(ranked(&h, (const char *const[]){"u=2", NULL, "u=2"}, (const char *const[]){"i", NULL, "i"}));
    for (size_t i = 1; i <= 5; i++) {
        share(&h, has);
        CHECK(has[0] == i * SHARE / 2 && has[1] == 0 && has[2] == i * SHARE / 2);
    }
    CHECK_EQ(stop(&h), 0);
}

/* ---- the connection's life ---- */
static bool with_http1(struct cl *c, const char *path) { return cl_get(c, path) == 200; }
TEST(http1_on_the_same_port) {
    REQUIRE(start(NULL));
    CL(c);
    H2(h);
    REQUIRE(h2_open(&h));
    CHECK(with_http1(&c, "/"));
    CHECK_STR(c.body, "hello");
    CHECK(goes_on(&h));
    CHECK(with_http1(&c, "/show"));
    CHECK(strstr(c.body, " v11 ") != NULL);
    cl_puts(&c, VT__H2_PREFACE); /* not in the middle */
    CHECK(cl_response(&c) >= 400);
    CHECK(goes_on(&h));
    cl_close(&c);
    CHECK_EQ(stop(&h), 0);
}
TEST(b140_switched_off) {
    vt_server_cfg cfg = {.http2 = VT_NONE};
    REQUIRE(start(&cfg));
    CL(c);
    H2(h);
#if E2E_TLS
    REQUIRE(h2_connect(&h, "\2h2\10http/1.1", 0));
    const unsigned char *name;
    unsigned n;
    SSL_get0_alpn_selected(h.c.tls, &name, &n);
    CHECK_MEM(name, n, "http/1.1", 8);
    CHECK(with_http1(&h.c, "/"));
#endif
    REQUIRE(cl_open(&c));
    cl_puts(&c, VT__H2_PREFACE);
    CHECK_EQ(cl_response(&c), 505);
    cl_close(&c);
    CHECK_EQ(stop(&h), 0);
}
#if E2E_TLS
TEST(a41_alpn_says_what_is_spoken) {
    static const char *const offers[] = {"\2h2", "\2h2\10http/1.1", "\10http/1.1\2h2", "\10http/1.1"};
    REQUIRE(start(NULL));
    for (int i = 0; i < 4; i++) {
        H2(h);
        REQUIRE(h2_connect(&h, offers[i], 0));
        const unsigned char *name;
        unsigned n;
        SSL_get0_alpn_selected(h.c.tls, &name, &n);
        CHECK_MEM(name, n, i < 3 ? "h2" : "http/1.1", i < 3 ? 2 : 8);
    }
    for (int i = 0; i < 2; i++) { /* and nothing else is (RFC 9113 3.2, 3.3) */
        H2(h);
        REQUIRE(h2_connect(&h, i ? "\10http/1.1" : NULL, 0));
        cl_puts(&h.c, VT__H2_PREFACE);
        CHECK_EQ(cl_response(&h.c), 505);
    }
    CHECK_EQ(e2e_stop(), 0);
}
/* Records, by whether they are full: a cut one costs as much as a full one. */
static int full_records, cut_records;
static void on_record(int out, int version, int type, const void *p, size_t n, SSL *ssl, void *arg) {
    const uint8_t *head = p;
    (void)version, (void)ssl, (void)arg;
    if (out || type != SSL3_RT_HEADER || n != SSL3_RT_HEADER_LENGTH) return;
    if ((head[3] << 8 | head[4]) > 16384) full_records++;
    else cut_records++;
}
TEST(a_long_body_fills_records) {
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open_window(&h, 8 << 20, 0));
    h2_credit(&h, 0, 8 << 20);
    SSL_set_msg_callback(h.c.tls, on_record);
    CHECK_EQ(h2_get(&h, "/bytes?n=4194304&length=1"), 200);
    CHECK(h.s->body_len == 4194304 && is_pattern(h.s->body, h.s->body_len));
    CHECK(full_records >= 200);
    CHECK(cut_records * 16 < full_records);
    CHECK_EQ(stop(&h), 0);
}
/* A listener of RSA, with suites that HTTP/2 does not have (RFC 9113 9.2.2). */
static vt_tls_cert rsa_cert;
static vt_tls_cfg rsa_cfg = {.certs = &rsa_cert,
                             .ncerts = 1,
                             .ciphers = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:"
                                        "AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA256"};
static void routes_rsa(vt_server *s) {
    routes(s);
    CHECK_EQ(vt_server_listen_tls(s, "127.0.0.1:0", &rsa_cfg), 0);
}
/* What clients offer from now on; 0 and NULL: as before. */
static void offer(int version, const char *ciphers) {
    SSL_CTX *ctx = tls_client_ctx();
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_cipher_list(ctx, ciphers ? ciphers : "DEFAULT");
}
TEST(a41_suites_that_http2_does_not_have) {
    static const struct {
        const char *suite;
        bool fit;
    } suites[] = {{"ECDHE-RSA-AES128-GCM-SHA256", true},
                  {"ECDHE-RSA-CHACHA20-POLY1305", true},
                  {"AES128-GCM-SHA256", false},
                  {"ECDHE-RSA-AES128-SHA256", false}};
    struct pem rsa = pem_make("rsa", "IP:127.0.0.1", NULL, 30, 2048);
    const unsigned char *name;
    unsigned n;
    rsa_cert = (vt_tls_cert){.cert_pem = rsa.text};
    REQUIRE(e2e_start(NULL, routes_rsa) == 0);
    e2e.port = vt_server_port(e2e.s, 1);
    for (size_t i = 0; i < VT__COUNT(suites); i++) {
        bool fit = suites[i].fit;
        H2(both);
        H2(alone);
        H2(later);
        offer(TLS1_2_VERSION, suites[i].suite);
        REQUIRE(h2_connect(&both, "\2h2\10http/1.1", 0));
        CHECK_STR(SSL_get_cipher_name(both.c.tls), suites[i].suite);
        SSL_get0_alpn_selected(both.c.tls, &name, &n);
        CHECK_MEM(name, n, fit ? "h2" : "http/1.1", fit ? 2 : 8);
        if (!fit) CHECK(with_http1(&both.c, "/"));
        ERR_clear_error();
        CHECK_EQ(h2_connect(&alone, "\2h2", 0), fit);
        cl_close(&alone.c), cl_close(&both.c);
        offer(0, suites[i].suite); /* of TLS 1.3 each will do */
        CHECK_EQ(h2_get(&later, "/"), 200);
        CHECK_STR(SSL_get_version(later.c.tls), "TLSv1.3");
    }
    offer(0, NULL);
    pem_free(&rsa);
    CHECK_EQ(e2e_stop(), 0);
}
/* Another handshake is an error of the peer's: GOAWAY, and the end (RFC 9113 9.2.1). OpenSSL's client takes the warning that
 * comes before for its own end, so the records are looked at. */
TEST(a41_renegotiation) {
    enum { ALERT = 21, DATA = 23, SEALED = 8 + 16 }; /* bytes that AES-GCM adds */
    int kinds[3] = {0};
    size_t n, lengths[3] = {0};
    vt_server_stats st;
    offer(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256");
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open(&h));
    CHECK_EQ(h2_get(&h, "/"), 200);
    SSL_set0_rbio(h.c.tls, BIO_new(BIO_s_mem()));
    CHECK_EQ(SSL_renegotiate(h.c.tls), 1);
    CHECK(SSL_do_handshake(h.c.tls) != 1);
    while ((kinds[0] = tls_record(h.c.fd, &lengths[0], E2E_MS)) == DATA) continue;
    for (int i = 1; i < 3; i++) kinds[i] = tls_record(h.c.fd, &lengths[i], E2E_MS);
    CHECK_EQ(kinds[0], ALERT); /* a warning */
    CHECK_EQ(kinds[1], DATA);
    CHECK_EQ(lengths[1], SEALED + VT__H2_FRAME + 8); /* GOAWAY */
    CHECK_EQ(kinds[2], ALERT);                       /* close_notify */
    CHECK_EQ(tls_record(h.c.fd, &n, E2E_MS), -1);
    vt_server_stats_get(e2e.s, &st);
    CHECK_EQ(st.bad_requests, 1);
    cl_close(&h.c);
    WAIT(open_connections() == 0);
    CHECK_EQ(open_connections(), 0);
    offer(0, NULL);
    CHECK_EQ(e2e_stop(), 0);
    CHECK(strstr(e2e.log, "another TLS handshake is asked for") != NULL);
}
#endif

/* ---- by Upgrade ---- */
#define SETTINGS_OF_10 "AAQAAAAK" /* streams may get 10 bytes at first */
#define UPGRADE_WITH(settings)                                                                               \
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: " settings "\r\n"
#define UPGRADE UPGRADE_WITH("AAMAAABkAAQAAP__")
#if !E2E_TLS
/* Sends `request` on a new connection, and what follows it in the same piece; true: it becomes one of HTTP/2. */
static bool upgraded(struct h2 *h, const char *request, const char *what, size_t n) {
    char all[4096];
    size_t len = strlen(request);
    memcpy(all, request, len);
    if (n) memcpy(all + len, what, n);
    if (!cl_open(&h->c) || !cl_send(&h->c, all, len + n)) return false;
    int status = cl_response(&h->c);
    CHECK(status != 101 || (cl_fields(&h->c, "upgrade") == 1 && cl_fields(&h->c, "connection") == 1));
    if (status != 101) return false;
    CHECK_STR(cl_field(&h->c, "upgrade"), "h2c");
    h2_init(h);
    h->next = 3;
    return true;
}
static const char opening[] = VT__H2_PREFACE "\0\0\0\4\0\0\0\0\0";
enum { OPENING = sizeof opening - 1 };
TEST(b142_upgrade) {
    REQUIRE(start(NULL));
    for (int i = 0; i < 2; i++) { /* the preface comes in the same piece, or waits for 101 */
        H2(h);
        REQUIRE(upgraded(&h,
                         "GET /show?q=1 HTTP/1.1\r\nHost: example.org:81\r\nX: 1\r\nKeep-Alive: 3\r\n"
                         "Expect: 100-continue\r\nCookie: b=2\r\n" UPGRADE "\r\n",
                         opening, i ? 0 : OPENING));
        if (i) cl_send(&h.c, opening, OPENING);
        CHECK_EQ(h2_wait(&h, 1), 200);
        BODY(h, "GET /show?q=1 /show q=1 x=1 cookie=b=2 b=2 host=example.org:81 example.org 81 v20 http");
        CHECK_EQ(h.s->informs, 0);
        CHECK_EQ(h.settings, 1);
        CHECK(goes_on(&h));
        CHECK_EQ(h.acks, 1);
        CHECK_EQ(h2_post(&h, "POST /", NULL, "abc", 3), 200);
        BODY(h, "abc");
    }
    CHECK_EQ(e2e_stop(), 0);
}
TEST(upgrade_of_other_methods) {
    static const char *const requests[] = {
        "HEAD / HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" UPGRADE "\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n",
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\nconnection: http2-settings\r\nconnection: upgrade\r\n"
         "upgrade: H2C\r\nhttp2-settings: \r\n\r\n")};
    static const int statuses[] = {200, 200, 200, 204, 404};
    REQUIRE(start(NULL));
    for (size_t i = 0; i < VT__COUNT(requests); i++) {
        H2(h);
        REQUIRE(upgraded(&h, requests[i], opening, OPENING));
        CHECK_EQ(h2_wait(&h, 1), statuses[i]);
        if (i < 4) CHECK_EQ(h.s->body_len, 0);
        CHECK(goes_on(&h));
    }
    CHECK_EQ(e2e_stop(), 0);
}
/* What HTTP2-Settings says holds for stream 1. */
TEST(upgrade_with_settings) {
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(upgraded(&h, "GET /bytes?n=1000 HTTP/1.1\r\nHost: a\r\n" UPGRADE_WITH(SETTINGS_OF_10) "\r\n",
                     opening, OPENING));
    h.hold = true;
    struct h2_stream *s = h2_of(&h, 1);
    H2_UNTIL(&h, s->body_len == 10);
    h2_ping(&h);
    H2_UNTIL(&h, h.pongs == 1);
    CHECK_EQ(s->body_len, 10);
    h2_credit(&h, 1, 990);
    CHECK_EQ(h2_wait(&h, 1), 200);
    CHECK(s->body_len == 1000 && is_pattern(s->body, 1000));
    CHECK_EQ(stop(&h), 0);
}
/* Answers of HTTP/1.1 that were asked for before come before. */
TEST(upgrade_behind_pipelined_requests) {
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(cl_open(&h.c));
    cl_puts(&h.c, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /show HTTP/1.1\r\nHost: a\r\n\r\n"
                  "GET /show HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n");
    cl_send(&h.c, opening, OPENING);
    CHECK_EQ(cl_response(&h.c), 200);
    CHECK_STR(h.c.body, "hello");
    CHECK_EQ(cl_response(&h.c), 200);
    CHECK(strstr(h.c.body, " v11 ") != NULL);
    CHECK_EQ(cl_response(&h.c), 101);
    h2_init(&h);
    h.next = 3;
    CHECK_EQ(h2_wait(&h, 1), 200);
    CHECK(strstr(h.s->body, " v20 ") != NULL);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* With 101 the connection is HTTP/2's: what is no preface ends it, and no request of HTTP/1.1 is taken any more. */
TEST(a39_upgrade_and_no_preface) {
    vt_server_cfg cfg = {.header_timeout_ms = 400};
    static const char *const bad[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx"};
    REQUIRE(start(&cfg));
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        H2(h);
        REQUIRE(upgraded(&h, "GET / HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n", bad[i], strlen(bad[i])));
        CHECK_EQ(h2_ended(&h), VT__H2_PROTOCOL_ERROR);
        CHECK_EQ(h2_of(&h, 1)->status, 0); /* nothing follows GOAWAY */
    }
    H2(h);
    REQUIRE(upgraded(&h, "GET / HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n", "", 0));
    while (cl_more(&h.c, E2E_MS) > 0) continue; /* silence */
    CHECK(h.c.eof);
    CHECK(noted(ENTERED) <= 3);
    WAIT(open_connections() == 0);
    CHECK_EQ(open_connections(), 0);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(every_split_of_an_upgrade) {
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n";
    char all[400];
    size_t n = sizeof request - 1 + OPENING, step = SLOW ? 7 : 1;
    memcpy(all, request, sizeof request - 1);
    memcpy(all + sizeof request - 1, opening, OPENING);
    REQUIRE(start(NULL));
    for (size_t cut = 1; cut < n; cut += step) {
        H2(h);
        REQUIRE(cl_open(&h.c));
        cl_send(&h.c, all, cut);
        e2e_sleep_ms(1); /* mostly two reads */
        cl_send(&h.c, all + cut, n - cut);
        CHECK_EQ(cl_response(&h.c), 101);
        h2_init(&h);
        h.next = 3;
        CHECK_EQ(h2_wait(&h, 1), 200);
        BODY(h, "hello");
        CHECK(goes_on(&h));
    }
    CHECK_EQ(e2e_stop(), 0);
}
#endif
#define REFUSED(fields) "POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
/* Whatever is not as it should be is answered in HTTP/1.1, which goes on, and says nothing of another protocol. */
TEST(a40_upgrade_is_declined) {
    static const char *const requests[] = {
        REFUSED("Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"), /* not named */
        REFUSED("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"),
        REFUSED(UPGRADE "HTTP2-Settings: AAMAAABk\r\n"),
        REFUSED(UPGRADE "Upgrade: websocket\r\n"),
        REFUSED("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2\r\nHTTP2-Settings: AAMAAABk\r\n"),
        REFUSED(UPGRADE_WITH("AAMAAAB")),          /* half a setting */
        REFUSED(UPGRADE_WITH("AAMAAAB=")),         /* not of the alphabet */
        REFUSED(UPGRADE_WITH("AAM AABk")),         /* nor this */
        REFUSED(UPGRADE_WITH("AASAAAAA")),         /* a window of 2^31 */
        REFUSED(UPGRADE_WITH("AAMAAABkAAUAAAAA")), /* frames of no byte */
        REFUSED(UPGRADE "Content-Length: 3\r\n") "abc",
        REFUSED(UPGRADE "Transfer-Encoding: chunked\r\n") "3\r\nabc\r\n0\r\n\r\n",
        REFUSED(UPGRADE "Content-Length: 24\r\n") VT__H2_PREFACE, /* a body that looks like more */
        "POST http://a/ HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n",
#if E2E_TLS
        REFUSED(UPGRADE),
#endif
    };
    REQUIRE(start(NULL));
    for (size_t i = 0; i < VT__COUNT(requests); i++) {
        CL(c);
        REQUIRE(cl_open(&c));
        cl_puts(&c, requests[i]);
        int status = cl_response(&c);
        if (status != 200) printf("%s", requests[i]);
        CHECK_EQ(status, 200);
        CHECK(!cl_field(&c, "upgrade") && !cl_field(&c, "connection"));
        CHECK_STR(c.body, strstr(requests[i], "\r\n\r\nPRI") ? VT__H2_PREFACE
                          : strstr(requests[i], "abc")       ? "abc"
                                                             : "");
        CHECK_EQ(cl_get(&c, "/"), 200);
    }
    CL(c);
    CHECK_EQ(cl_ask(&c, "GET / HTTP/1.0\r\nHost: a\r\n" UPGRADE "\r\n"), 200);
    CHECK_EQ(cl_ask(&c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" UPGRADE "\r\n"), 200);
    CHECK_EQ(cl_ask(&c, "GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n" UPGRADE "\r\n"), 417);
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(upgrade_where_http2_is_off) {
    vt_server_cfg cfg = {.http2 = VT_NONE};
    REQUIRE(start(&cfg));
    CL(c);
    CHECK_EQ(cl_ask(&c, "GET / HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n"), 200);
    CHECK_STR(c.body, "hello");
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}

/* ---- the connection's end, waits, times ---- */
TEST(a44_drain_in_two_steps) {
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open(&h));
    uint32_t id = h2_ask(&h, "GET /stubborn", NULL, true);
    WAIT(noted(ENTERED) == 1);
    vt_server_stop(e2e.s);
    H2_UNTIL(&h, h.goaways == 1);
    CHECK_EQ(h.goaway_last, VT__H2_ID_MAX);
    CHECK_EQ(h.goaway_code, VT__H2_NO_ERROR);
    H2_UNTIL(&h, h.goaways == 2); /* its probe was answered */
    CHECK_EQ(h.goaway_last, id);
    CHECK_EQ(h.goaway_code, VT__H2_NO_ERROR);
    uint32_t late = h2_ask(&h, "GET /", NULL, true); /* nobody answers it */
    note(THREADS, 1);
    CHECK_EQ(h2_wait(&h, id), 200);
    BODY(h, "stubborn");
    CHECK_EQ(h2_ended(&h), VT__H2_NO_ERROR);
    CHECK_EQ(h2_of(&h, late)->status, 0);
    CHECK_EQ(stop(&h), 0);
}
/* The client says that it goes: what it has asked for is answered, also behind that, and the end is told with the last of it. */
TEST(client_that_says_goodbye) {
    static const uint8_t bye[8] = {0};
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open(&h));
    uint32_t id = h2_ask(&h, "GET /stubborn", NULL, true);
    WAIT(noted(ENTERED) == 1);
    CHECK(h2_frame(&h, VT__H2_T_GOAWAY, 0, 0, bye, sizeof bye));
    uint32_t last = h2_ask(&h, "GET /", NULL, true);
    CHECK_EQ(h2_wait(&h, last), 200);
    CHECK_EQ(h.goaways, 0);
    note(THREADS, 1);
    CHECK_EQ(h2_wait(&h, id), 200);
    BODY(h, "stubborn");
    CHECK_EQ(h2_ended(&h), VT__H2_NO_ERROR);
    CHECK_EQ(h.goaways, 1);
    CHECK_EQ(h.goaway_last, last);
    H2(idle);
    REQUIRE(h2_open(&idle));
    CHECK_EQ(h2_get(&idle, "/"), 200);
    CHECK(h2_frame(&idle, VT__H2_T_GOAWAY, 0, 0, bye, sizeof bye));
    CHECK_EQ(h2_ended(&idle), VT__H2_NO_ERROR);
    CHECK_EQ(idle.goaways, 1);
    CHECK_EQ(idle.goaway_last, 1);
    CHECK_EQ(e2e_stop(), 0);
}
/* Output that nobody takes keeps no connection behind the handler's end. */
TEST(kill_of_a_response_that_nobody_reads) {
    vt_server_cfg cfg = {.grace_ms = 50, .on_stopped = on_stopped};
    REQUIRE(start(&cfg));
    H2(h);
    REQUIRE(h2_open_window(&h, VT__H2_ID_MAX, 4096));
    h2_credit(&h, 0, 1 << 28);
    h2_ask(&h, "GET /bytes?n=67108864", NULL, true);
    WAIT(noted(WROTE) > 100000);
    CHECK_EQ(e2e_stop(), -ETIMEDOUT);
    CHECK_EQ(left_open, 0);
    h2_close(&h);
}
/* Nobody wants their answers any more: they leave the queue, and their places are free. */
TEST(requests_that_wait_are_reset) {
    vt_server_cfg cfg = {.max_vthreads = 8, .workers = 1, .max_streams = 10, .queue_timeout_ms = VT_NONE};
    REQUIRE(start(&cfg));
    H2(h);
    REQUIRE(h2_open(&h));
    for (int i = 0; i < 10; i++) h2_ask(&h, "GET /stubborn", NULL, true);
    WAIT(noted(ENTERED) + waiting() == 10);
    int64_t ran = noted(ENTERED), waited = waiting();
    REQUIRE(waited >= 2);
    h2_rst(&h, 19), h2_rst(&h, 17);
    WAIT(waiting() == waited - 2);
    CHECK_EQ(waiting(), waited - 2);
    for (int i = 0; i < 3; i++) h2_ask(&h, "GET /stubborn", NULL, true);
    CHECK_EQ(h2_wait(&h, 25), H2_RST - VT__H2_REFUSED_STREAM);
    CHECK_EQ(waiting(), waited);
    cl_reset(&h.c); /* the rest, with the connection */
    WAIT(waiting() == 0);
    CHECK_EQ(waiting(), 0);
    note(THREADS, 1);
    WAIT(open_connections() == 0 && noted(LEFT) == ran);
    CHECK_EQ(noted(ENTERED), ran);
    CHECK_EQ(open_connections(), 0);
    CHECK_EQ(stop(&h), 0);
}
TEST(a39_half_a_preface_or_head) {
    vt_server_cfg cfg = {.header_timeout_ms = 400};
    REQUIRE(start(&cfg));
    for (size_t n = 0; n < 4; n++) { /* no byte, a few, the preface without SETTINGS */
        static const size_t cuts[] = {3, 10, 23, 24};
        H2(h);
        REQUIRE(h2_connect(&h, "\2h2", 0));
        cl_send(&h.c, VT__H2_PREFACE, cuts[n]);
        while (cl_more(&h.c, E2E_MS) > 0) continue;
        CHECK(h.c.eof);
    }
    H2(h);
    uint8_t block[200];
    REQUIRE(h2_open(&h));
    CHECK(goes_on(&h));
    size_t len = h2_block(block, "GET /", NULL);
    h2_frame(&h, VT__H2_T_HEADERS, VT__H2_END_STREAM, h.next, block,
             len / 2); /* its CONTINUATION never comes */
    CHECK(h2_ended(&h) >= -1);
    WAIT(open_connections() == 0);
    CHECK_EQ(open_connections(), 0);
    CHECK_EQ(stop(&h), 0);
}
TEST(a39_wrong_preface) {
    REQUIRE(start(NULL));
    CL(c);
    REQUIRE(cl_open(&c));
    cl_puts(&c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx");
    while (cl_more(&c, E2E_MS) > 0) continue;
    CHECK(c.eof);
    H2(h);
    REQUIRE(h2_connect(&h, "\2h2", 0));
    cl_puts(&h.c, VT__H2_PREFACE);
    h2_ping(&h); /* where SETTINGS belong */
    CHECK_EQ(h2_ended(&h), VT__H2_PROTOCOL_ERROR);
    cl_close(&c);
    CHECK_EQ(stop(&h), 0);
}
/* A window that is never opened ends the stream; a socket that is never read ends the connection. */
TEST(a26_window_that_stays_closed) {
    vt_server_cfg cfg = {.write_timeout_ms = 100};
    REQUIRE(start(&cfg));
    H2(h);
    REQUIRE(h2_open_window(&h, 0, 0));
    h.hold = true;
    uint32_t ids[10];
    for (int i = 0; i < 10; i++) ids[i] = h2_ask(&h, "GET /bytes?n=100000", NULL, true);
    for (int i = 0; i < 10; i++) CHECK(h2_wait(&h, ids[i]) <= H2_RST);
    WAIT(noted(LEFT) == 10);
    CHECK_EQ(noted(LEFT), 10);
    CHECK_EQ(noted(RESULT), -ETIMEDOUT);
    h2_ping(&h);
    H2_UNTIL(&h, h.pongs == 1);
    CHECK_EQ(h.pongs, 1);
    CHECK_EQ(stop(&h), 0);
}
TEST(a25_open_window_and_closed_socket) {
    vt_server_cfg cfg = {.write_timeout_ms = SLOW ? 1000 : 300};
    REQUIRE(start(&cfg));
    H2(h);
    REQUIRE(h2_open_window(&h, VT__H2_ID_MAX, 4096));
    h2_credit(&h, 0, VT__H2_ID_MAX - VT__H2_WINDOW_FIRST);
    for (int i = 0; i < 10; i++) h2_ask(&h, "GET /bytes?n=100000000", NULL, true);
    WAIT(noted(LEFT) == 10);
    CHECK_EQ(noted(LEFT), 10);
    CHECK(noted(RESULT) < 0);
    CHECK(noted(WROTE) < 40000000); /* they waited */
    WAIT(open_connections() == 0);
    CHECK_EQ(open_connections(), 0);
    CHECK_EQ(stop(&h), 0);
}
TEST(a24_dribble_is_bounded) {
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open_window(&h, 1, 0));
    h.hold = true;
    uint32_t id = h2_ask(&h, "GET /bytes?n=50000000", NULL, true);
    struct h2_stream *s = h2_of(&h, id);
    for (size_t i = 1; i <= 200; i++) {
        H2_UNTIL(&h, s->body_len == i);
        h2_credit(&h, id, 1);
    }
    CHECK_EQ(s->body_len, 200);
    CHECK(noted(WROTE) < 100000);
    CHECK(is_pattern(s->body, 200));
    h2_rst(&h, id);
    WAIT(noted(LEFT) == 1);
    h.hold = false;
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}

/* ---- clients that mean harm ---- */
/* Frames in plenty until the server ends the connection: its GOAWAY's code, -1 without, -2 when it never does. */
static int flooded(struct h2 *h, const char *frames, size_t n, int times) {
    for (int i = 0; i < times && !h->c.eof; i++) {
        if (!cl_send(&h->c, frames, n)) break;
        while (h2_pump(h, 0) == 1) continue;
    }
    return h2_ended(h);
}
/* 100 frames at a time. */
static int flood(struct h2 *h, unsigned type, unsigned flags, uint32_t id, const void *p, size_t n) {
    static char many[100 * 64];
    for (int i = 0; i < 100; i++) {
        char *to = many + (size_t)i * (n + VT__H2_FRAME);
        (void)vt__h2_put_frame((uint8_t *)to, n, type, flags, id);
        if (n) memcpy(to + VT__H2_FRAME, p, n);
    }
    return flooded(h, many, 100 * (n + VT__H2_FRAME), 1000);
}
static bool next_is_served(void) {
    H2(h);
    return h2_open(&h) && goes_on(&h);
}
TEST(a01_rapid_reset) {
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open(&h));
    for (int i = 0; i < 100000 && !h.c.eof; i++) {
        if (!h2_rst(&h, h2_ask(&h, "GET /slept?ms=1000", NULL, true))) break;
        while (h2_pump(&h, 0) == 1) continue;
    }
    int code = h2_ended(&h);
    CHECK(code == VT__H2_ENHANCE_YOUR_CALM || (code == -1 && h.c.reset));
    CHECK(noted(MOST) <= 100);
    WAIT(noted(OPEN) == 0);
    CHECK_EQ(noted(OPEN), 0);
    CHECK(next_is_served());
    CHECK_EQ(stop(&h), 0);
}
TEST(a03_resets_that_the_server_is_made_to_send) {
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open(&h));
    for (int i = 0; i < 100000 && !h.c.eof; i++) {
        if (!h2_credit(&h, h2_ask(&h, "GET /slept?ms=1000", NULL, true), VT__H2_ID_MAX)) break;
        while (h2_pump(&h, 0) == 1) continue;
    }
    int code = h2_ended(&h);
    CHECK(code == VT__H2_ENHANCE_YOUR_CALM || (code == -1 && h.c.reset));
    CHECK(h.resets > 0);
    CHECK(noted(MOST) <= 100);
    WAIT(noted(OPEN) == 0);
    CHECK_EQ(noted(OPEN), 0);
    CHECK(next_is_served());
    CHECK_EQ(stop(&h), 0);
}
/* Its GOAWAY may be lost: who is flooded closes on unread input. */
static bool calmed(int code) { return code == VT__H2_ENHANCE_YOUR_CALM || code == -1; }
TEST(a04_continuation_flood) {
    static char field[1002];
    uint8_t block[100];
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open(&h));
    size_t n = h2_block(block, "GET /", NULL);
    h2_frame(&h, VT__H2_T_HEADERS, VT__H2_END_STREAM, 1, block, n);
    for (int i = 0; i < 1000 && !h.c.eof; i++) {
        if (!h2_frame(&h, VT__H2_T_CONTINUATION, 0, 1, field,
                      (size_t)(h2_put((uint8_t *)field, "x", 1, "y", 1) - (uint8_t *)field)))
            break;
    }
    int code = h2_ended(&h);
    CHECK(calmed(code));
    CHECK_EQ(noted(ENTERED), 0);
    CHECK(next_is_served());
    CHECK_EQ(stop(&h), 0);
}
TEST(a17_a18_a23_a38_floods) {
    REQUIRE(start(NULL));
    for (int i = 0; i < 4; i++) {
        H2(h);
        REQUIRE(h2_open(&h));
        int code = -3;
        if (i == 0) code = flood(&h, VT__H2_T_SETTINGS, 0, 0, "\0\3\0\0\0\144", 6);
        if (i == 1) code = flood(&h, VT__H2_T_PING, 0, 0, "12345678", 8);
        if (i == 2) code = flood(&h, VT__H2_T_DATA, 0, h2_ask(&h, "POST /stream", NULL, false), NULL, 0);
        if (i == 3) code = flood(&h, 0x77, 0, 0, "unknown", 7);
        CHECK(calmed(code));
        CHECK(next_is_served());
    }
    WAIT(open_connections() == 0);
    CHECK_EQ(e2e_stop(), 0);
}
/* Budgets are a server's to set, and what was counted can be read. */
TEST(budgets) {
    vt_server_cfg cfg = {.h2_budgets = {[VT_H2_PINGS] = {5, 1}, [VT_H2_GLITCHES] = {.burst = VT_NONE}}};
    vt_server_stats st;
    REQUIRE(start(&cfg));
    H2(h);
    REQUIRE(h2_open(&h));
    for (int i = 0; i < 20000; i++) {
        h2_frame(&h, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0); /* of nothing */
        while (h2_pump(&h, 0) == 1) continue;
    }
    CHECK(goes_on(&h));
    vt_server_stats_get(e2e.s, &st);
    CHECK(st.h2_counts[VT_H2_GLITCHES] >= 19999);
    CHECK_EQ(st.h2_floods[VT_H2_GLITCHES], 0);
    CHECK_EQ(st.h2_counts[VT_H2_PINGS], 0);
    for (int i = 0; i < 8; i++) h2_ping(&h);
    CHECK(calmed(h2_ended(&h)));
    WAIT(open_connections() == 0);
    vt_server_stats_get(e2e.s, &st);
    CHECK(st.h2_counts[VT_H2_PINGS] >= 6);
    CHECK_EQ(st.h2_floods[VT_H2_PINGS], 1);
    CHECK_EQ(st.h2_counts[VT_H2_RESETS], 0);
    CHECK_EQ(st.bad_requests, 1);
    CHECK(next_is_served());
    CHECK_EQ(stop(&h), 0);
}

/* ---- bytes, however they are cut ---- */
/* A small exchange as one text. */
static size_t small_exchange(char *p) {
    struct h2 h = {.c = {.fd = -1}};
    uint8_t block[300];
    size_t at = VT__H2_PREFACE_LEN, n;
    memcpy(p, VT__H2_PREFACE, at);
    (void)vt__h2_put_frame((uint8_t *)p + at, 0, VT__H2_T_SETTINGS, 0, 0), at += VT__H2_FRAME;
    n = h2_block(block, "POST /", "content-length: 5\nx: y\n");
    (void)vt__h2_put_frame((uint8_t *)p + at, n, VT__H2_T_HEADERS, VT__H2_END_HEADERS, 1), at += VT__H2_FRAME;
    memcpy(p + at, block, n), at += n;
    (void)vt__h2_put_frame((uint8_t *)p + at, 5, VT__H2_T_DATA, VT__H2_END_STREAM, 1), at += VT__H2_FRAME;
    memcpy(p + at, "abcde", 5), at += 5;
    (void)h;
    return at;
}
TEST(every_split_of_a_small_exchange) {
    char p[600];
    size_t n = small_exchange(p), step = SLOW || E2E_TLS ? 7 : 1;
    REQUIRE(start(NULL));
    for (size_t cut = 1; cut <= n; cut += step) {
        H2(h);
        REQUIRE(h2_connect(&h, "\2h2", 0));
        cl_send(&h.c, p, cut);
        e2e_sleep_ms(1); /* mostly two reads */
        cl_send(&h.c, p + cut, n - cut);
        CHECK_EQ(h2_wait(&h, 1), 200);
        BODY(h, "abcde");
    }
    CHECK_EQ(e2e_stop(), 0);
}
TEST(a_byte_at_a_time) {
    char p[600];
    size_t n = small_exchange(p);
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_connect(&h, "\2h2", 0));
    for (size_t i = 0; i < n; i++) cl_send(&h.c, p + i, 1), e2e_sleep_ms(1);
    CHECK_EQ(h2_wait(&h, 1), 200);
    BODY(h, "abcde");
    CHECK_EQ(stop(&h), 0);
}
