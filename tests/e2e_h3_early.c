/* Requests in 0-RTT, and what a server makes of them: at once where they are safe, later where not, never a second time
 * (RFC 8470, RFC 9001 9.2). Where OpenSSL is older than 3.5.1: that all of it is as without. */
/* variants: default asan */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define E2E_TLS 1
#include "e2e.h"

#include "h3client.h"
#include "streams.h"

static int h_zero(vt_req *req, vt_res *res) {
    vt_tls_info t;
    vt_str body = {"", 0};
    count(ENTERED);
    int tls = vt_req_tls(req, &t), early = vt_req_early(req);
    if (early && vt_req_query(req, "picky").ptr) return vt_res_text(res, 425, "");
    if (vt_req_body_length(req) && vt_req_body(req, &body) < 0) return -EIO;
    return vt_res_printf(res, 200, "%d %s %d %s", early, tls > 0 ? t.alpn : "-", t.resumed, body.ptr);
}
static void zero_routes(vt_server *s) {
    routes(s);
    vt_server_any(s, "/zero", h_zero);
}
static bool serve_with(vt_server_cfg cfg) {
    cfg.http3 = 1;
    forget();
    return e2e_start(&cfg, zero_routes) == 0;
}
static bool serve(void) { return serve_with((vt_server_cfg){.early_data = 1}); }
/* A client that has tickets, and stays. */
static bool has_tickets(struct h3 *h) {
    if (!h3_open(h)) return false;
    h3_until(h, h->tls->sessions->n > 0 && h->q.confirmed);
    CHECK(!h->early);
    return h->tls->sessions->n > 0;
}
/* One that comes again, and may begin with 0-RTT: it has said nothing yet. */
static bool comes_again(struct h3 *h, const struct h3 *with) {
    h3_as(h, with);
    h->cfg.early = true;
    if (!h3_prepare(h)) return false;
    h3_events(h);
    CHECK_EQ(h->early, VT__QTLS_NATIVE);
    return true;
}
#define AS(early) (VT__QTLS_NATIVE && (early) ? "1 h3 1 " : "0 h3 1 ")

/* A client that has tickets comes again for each of the methods. */
static void comes_for_each(const char *const *methods, size_t n,
                           void (*one)(struct h3 *again, const char *method)) {
    REQUIRE(serve());
    H3(h);
    REQUIRE(has_tickets(&h));
    for (size_t i = 0; i < n; i++) {
        H3(again);
        REQUIRE(comes_again(&again, &h));
        one(&again, methods[i]);
    }
    CHECK_EQ(e2e_stop(), 0);
}
static void is_handled_at_once(struct h3 *again, const char *method) {
    int64_t before = noted(ENTERED);
    if (!again->early) return;
    struct h3_stream *s = h3_ask(again, method, "", true), *later;
    h3_flush(again);
    WAIT(noted(ENTERED) >
         before); /* nothing of the server's has been read, so that the handshake is not over */
    CHECK_EQ(noted(ENTERED), before + 1);
    CHECK(!again->ready);
    CHECK_EQ(h3_wait(again, s), 200);
    CHECK_EQ(again->zero, VT__QTLS_ACCEPTED);
    if (strncmp(method, "HEAD", 4) != 0) CHECK(h3_is(s, AS(true)));
    CHECK_EQ(h3_get(again, &later, "/zero"), 200);
    CHECK(h3_is(later, AS(false)));
    CHECK_EQ(noted(ENTERED), before + 2);
}
TEST(safe_requests_are_handled_at_once) {
    static const char *const methods[] = {"GET /zero", "HEAD /zero", "OPTIONS /zero", "TRACE /zero",
                                          "QUERY /zero"};
    comes_for_each(methods, VT__COUNT(methods), is_handled_at_once);
}
static void waits_for_the_handshake(struct h3 *again, const char *method) {
    int64_t before = noted(ENTERED);
    struct h3_stream *s = again->early ? h3_ask(again, method, "", false) : NULL;
    struct h3_stream *safe = s ? h3_ask(again, "GET /zero", "", true) : NULL;
    if (s) h3_body(again, s, "body", 4, true);
    h3_flush(again);
    if (s) WAIT(noted(ENTERED) > before);
    e2e_sleep_ms(20);
    CHECK_EQ(noted(ENTERED), before + (s != NULL)); /* the other one */
    if (!s) s = h3_ask(again, method, "", false), h3_body(again, s, "body", 4, true);
    CHECK_EQ(h3_wait(again, s), 200);
    CHECK(h3_is(s, "0 h3 1 body"));
    if (safe) CHECK_EQ(h3_wait(again, safe), 200);
    CHECK_EQ(noted(ENTERED), before + 1 + (safe != NULL));
}
TEST(others_wait_for_the_end_of_the_handshake) {
    static const char *const methods[] = {"POST /zero", "PUT /zero", "DELETE /zero", "PATCH /zero",
                                          "GEt /zero"};
    comes_for_each(methods, VT__COUNT(methods), waits_for_the_handshake);
}
/* Reset by its client, left by him, or stopped by the server: it is never handled. */
TEST(one_that_waits_ends) {
    for (int i = 0; i < 3; i++) {
        REQUIRE(serve_with((vt_server_cfg){.early_data = 1, .grace_ms = 50}));
        H3(h);
        REQUIRE(has_tickets(&h));
        H3(again);
        REQUIRE(comes_again(&again, &h));
        struct h3_stream *s = again.early ? h3_ask(&again, "POST /zero", "", false) : NULL;
        struct h3_stream *safe = s ? h3_ask(&again, "GET /zero", "", true) : NULL;
        h3_flush(&again);
        if (safe) WAIT(noted(ENTERED) > 0);
        if (s && i == 0) {
            h3_reset(&again, s, VT__H3_REQUEST_CANCELLED);
            CHECK_EQ(h3_wait(&again, safe), 200);
            CHECK_EQ(h3_get(&again, &s, "/zero"), 200);
        }
        if (i < 2) h3_close(&again);
        h3_vanish(&again), h3_close(&h);
        if (i < 2) WAIT(open_connections() == 0);
        CHECK(i == 2 || open_connections() == 0);
        int64_t from = e2e_now_ms();
        int r = e2e_stop();
        CHECK(r == 0 || r == -ETIMEDOUT);
        CHECK(e2e_now_ms() - from < E2E_MS / 2);
        CHECK_EQ(noted(ENTERED), !VT__QTLS_NATIVE ? 0 : i == 0 ? 2 : 1);
    }
}
/* A handler says 425, and is asked again. */
TEST(too_early) {
    struct h3_stream *s;
    REQUIRE(serve());
    H3(h);
    REQUIRE(has_tickets(&h));
    H3(again);
    REQUIRE(comes_again(&again, &h));
    CHECK_EQ(h3_get(&again, &s, "/zero?picky=1"), VT__QTLS_NATIVE ? 425 : 200);
    CHECK_EQ(h3_get(&again, &s, "/zero?picky=1"), 200);
    s = h3_ask(&again, "GET /zero?picky=1", "early-data: 1\n", true); /* a proxy's */
    CHECK_EQ(h3_wait(&again, s), 425);
    s = h3_ask(&again, "GET /zero?picky=1", "early-data: 0\n", true);
    CHECK_EQ(h3_wait(&again, s), 200);
    CHECK_EQ(e2e_stop(), 0);
}
/* What a client has to say. */
static struct {
    uint8_t b[1500];
    size_t n;
} flight[16];
static size_t nflight;
static void record_flight(struct h3 *h) {
    static uint8_t buf[65536];
    vt__quic_train q;
    nflight = 0;
    for (size_t n; (n = vt__qout_send(&h->q, buf, sizeof buf, &q, vt__plat_now())) > 0;)
        for (size_t at = 0; at < n && nflight < VT__COUNT(flight); at += q.segment) {
            flight[nflight].n = VT__MIN(q.segment, n - at);
            memcpy(flight[nflight].b, buf + at, flight[nflight].n);
            nflight++;
        }
}
static void send_flight(vt__udp *udp, const vt__udp_addr *to) {
    size_t sent;
    for (size_t i = 0; i < nflight; i++) {
        vt__udp_train t = {flight[i].b, flight[i].n, flight[i].n, to, NULL, 0};
        CHECK_EQ(vt__udp_send(udp, &t, &sent), 0);
    }
}
/* The first flight once more, from elsewhere, while its connection is there and when it is gone. */
TEST(a_replay_is_not_handled) {
    REQUIRE(serve());
    H3(h);
    REQUIRE(has_tickets(&h));
    H3(again);
    REQUIRE(comes_again(&again, &h));
    if (!again.early) {
        h3_close(&again), h3_close(&h);
        CHECK_EQ(e2e_stop(), 0);
        SKIP("OpenSSL is older than 3.5.1");
    }
    struct h3_stream *s = h3_ask(&again, "GET /zero", "", true); /* nothing has gone so far */
    record_flight(&again);
    CHECK(nflight > 1 && nflight < VT__COUNT(flight));
    H3(thief);
    REQUIRE(h3_prepare(&thief));
    send_flight(&again.udp, &again.remote);
    CHECK_EQ(h3_wait(&again, s), 200);
    CHECK_EQ(noted(ENTERED), 1);
    for (int i = 0; i < 2; i++) {
        send_flight(&thief.udp, &again.remote);
        h3_run(&thief, 50);
        CHECK_EQ(noted(ENTERED), 1);
        if (i == 0) h3_leave(&again, VT__H3_NO_ERROR), h3_run(&thief, 500);
    }
    CHECK_EQ(e2e_stop(), 0);
}
/* A server that was started anew has other tickets, and other settings may be had: the request goes again, and is handled once. */
TEST(rejected_by_another_server) {
    for (int i = 0; i < 3; i++) {
        REQUIRE(serve());
        H3(h);
        REQUIRE(has_tickets(&h));
        int port = e2e.port;
        h3_leave(&h, VT__H3_NO_ERROR);
        CHECK_EQ(e2e_stop(), 0);
        REQUIRE(serve_with((vt_server_cfg){.early_data = i != 2, .max_streams = i == 1 ? 3 : 0}));
        vt__ossl_sessions *all = h.tls->sessions;
        for (int k = 0; k < all->n; k++)
            snprintf(all->at[k].key, strlen(all->at[k].key) + 1, "127.0.0.1:%d", e2e.port);
        (void)port;
        H3(again);
        h3_as(&again, &h);
        again.cfg.early = true;
        REQUIRE(h3_prepare(&again));
        h3_events(&again);
        struct h3_stream *s[5];
        for (int k = 0; k < 5 && again.early; k++)
            s[k] = h3_ask(&again, k ? "GET /zero" : "POST /zero", "", true);
        for (int k = 0; k < 5 && again.early; k++) CHECK_EQ(h3_wait(&again, s[k]), 200);
        if (again.early) CHECK_EQ(noted(ENTERED), 5);
        CHECK(again.zero != VT__QTLS_ACCEPTED);
        CHECK_EQ(h3_get(&again, s, "/zero"), 200);
        CHECK(s[0]->body.n > 0 && s[0]->body.p[0] == '0');
        CHECK_EQ(e2e_stop(), 0);
    }
}
TEST(values_that_are_none) {
    vt_server_cfg cfg = {.early_data = 2, .http3 = 1};
    CHECK(e2e_start(&cfg, zero_routes) != 0);
    (void)e2e_stop();
}
