/* Calls in 0-RTT: which go so, and what becomes of them where the server refuses, asks for them once more, or is not there.
 * Where OpenSSL is older than 3.5.1: that all of it is as without. */
/* variants: default asan */
#define VTHTTP_H2 1
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "cliserver.h"
#include "handlers.h"
#include "clih3.h"

static char base[64];
static int calls, earlies;
/* "30 1": the version, and whether it came in 0-RTT. A client's first connection is here long enough to get tickets. */
static int h_early(vt_req *req, vt_res *res) {
    int early = vt_req_early(req);
    __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&earlies, early, __ATOMIC_SEQ_CST);
    vt_sleep_ms(30);
    if (early && vt_req_query(req, "picky").ptr) return vt_res_text(res, 425, "not yet");
    return vt_res_printf(res, 200, "%d %d", vt_req_version(req), early);
}
static vt_server_cfg server_cfg;
static void serve(bool quic, const char *at) {
    server = h3_server_at(server_cfg, &leaf, quic, at);
    vt_server_any(server, "/early", h_early);
}
static void client_is(int early) {
    vt_client_cfg cfg = {.early_data = early, .max_idle = VT_NONE};
    h3_speak(&cfg, VT_HTTP3_PRIOR);
    client = vt_client_new(&cfg);
    h3_patient(client);
}
static void up(int early) {
    server_cfg.early_data = 1;
    calls = earlies = 0;
    serve(true, "127.0.0.1:0");
    server_up(&(vt_client_cfg){0});
    vt_client_free(client);
    client_is(early);
    snprintf(base, sizeof base, "https://127.0.0.1:%d", vt_server_port(server, 1));
}
/* No connection is kept: each call makes one. */
static void alone(void) {
    for (int i = 0; i < 5000 && client->conns; i++) vt_sleep_ms(1);
    CHECK_EQ(client->conns, 0);
}
static int ask(const char *method, const char *path, const char *body, const char *answer) {
    vt_call *call = vt_call_new(client, method, url_at(base, path));
    if (body) vt_call_body(call, body, strlen(body));
    int r = vt_call_send(call);
    if (r == 200 && *answer && vt_call_whole(call) == 0) CHECK_STR(vt_call_text(call).ptr, answer);
    vt_call_free(call);
    alone();
    return r;
}
static vt__ossl_sessions *sessions(void) { return vt__ch3_side_of(client)->tls->sessions; }
#define ZERO (VT__QTLS_NATIVE ? "30 1" : "30 0")

CLI_TEST(safe_calls_go_early, 2) {
    up(1);
    CHECK_EQ(ask("GET", "/early", NULL, "30 0"), 200); /* no ticket */
    CHECK_EQ(ask("GET", "/early", NULL, ZERO), 200);
    CHECK_EQ(ask("HEAD", "/early", NULL, ""), 200);
    CHECK_EQ(ask("OPTIONS", "/early", NULL, ZERO), 200);
    CHECK_EQ(ask("TRACE", "/early", NULL, ZERO), 200);
    CHECK_EQ(ask("QUERY", "/early", NULL, ZERO), 200);
    CHECK_EQ(earlies, VT__QTLS_NATIVE ? 5 : 0);
    CHECK_EQ(ask("POST", "/early", "body", "30 0"), 200);
    CHECK_EQ(ask("PUT", "/early", NULL, "30 0"), 200);
    CHECK_EQ(ask("DELETE", "/early", NULL, "30 0"), 200);
    CHECK_EQ(ask("GET", "/early", "body", "30 0"), 200);
    CHECK_EQ(ask("GET", "/early", NULL, ZERO), 200);
    CHECK_EQ(calls, 11);
    down();
}
CLI_TEST(none_goes_early_where_nobody_asked_for_it, 2) {
    up(0);
    for (int i = 0; i < 3; i++) CHECK_EQ(ask("GET", "/early", NULL, "30 0"), 200);
    CHECK(calls == 3 && earlies == 0);
    down();
}
/* What the server finds too early goes once more, on the connection that is there by now. */
CLI_TEST(too_early, 2) {
    up(1);
    for (int i = 0; i < 3; i++) CHECK_EQ(ask("GET", "/early?picky=1", NULL, "30 0"), 200);
    CHECK_EQ(calls, VT__QTLS_NATIVE ? 5 : 3);
    CHECK_EQ(earlies, VT__QTLS_NATIVE ? 2 : 0);
    down();
}
/* A ticket that has been used: the call goes again by the transport, and is handled once. */
CLI_TEST(rejected, 2) {
    up(1);
    CHECK_EQ(ask("GET", "/early", NULL, "30 0"), 200);
    vt__ossl_sessions *all = sessions();
    REQUIRE(all->n > 0);
    SSL_SESSION *used = SSL_SESSION_dup(all->at[all->n - 1].s);
    CHECK_EQ(ask("GET", "/early", NULL, ZERO), 200);
    for (int i = 0; i < all->n; i++) {
        SSL_SESSION_free(all->at[i].s);
        all->at[i].s = SSL_SESSION_dup(used);
    }
    SSL_SESSION_free(used);
    CHECK_EQ(ask("GET", "/early", NULL, "30 0"), 200);
    CHECK_EQ(ask("GET", "/early", NULL, ""), 200);
    CHECK_EQ(calls, 4);
    CHECK(earlies <= 2);
    down();
}
/* Nobody answers by UDP any more: it goes over TCP, as any other. */
CLI_TEST(over_tcp_where_it_is_not_heard, 2) {
    up(1);
    for (int i = 0; i < 2; i++) CHECK_EQ(ask("GET", "/early", NULL, i ? ZERO : "30 0"), 200);
    int port = vt_server_port(server, 1);
    char at[32];
    vt_client *kept = client;
    client = NULL;
    down();
    snprintf(at, sizeof at, "127.0.0.1:%d", port);
    serve(false, at);
    server_up(&(vt_client_cfg){0});
    vt_client_free(client);
    client = kept;
    vt__ch3_side_of(client)->head_ns = 300 * VT_MS;
    CHECK_EQ(ask("GET", "/early", NULL, "20 0"), 200);
    CHECK_EQ(ask("GET", "/early", NULL, "20 0"), 200); /* it is shunned */
    CHECK_EQ(calls, 4);
    down();
}
/* The first of two addresses does not answer: what went there does not count. */
CLI_TEST(at_the_second_address, 2) {
    up(1);
    snprintf(base, sizeof base, "https://localhost:%d", vt_server_port(server, 1));
    vt__ch3_side_of(client)->head_ns = 2 * VT_SEC;
    CHECK_EQ(ask("GET", "/early", NULL, "30 0"), 200);
    CHECK_EQ(ask("GET", "/early", NULL, ZERO), 200);
    CHECK_EQ(calls, 2);
    down();
}
/* There is somebody else at the first, who has another's certificate: the connection ends while the call is on its way. */
CLI_TEST(somebody_else_is_at_the_first_address, 2) {
    char at[32];
    int r = 0;
    up(1);
    snprintf(base, sizeof base, "https://localhost:%d", vt_server_port(server, 1));
    snprintf(at, sizeof at, "[::1]:%d", vt_server_port(server, 1));
    struct pem wrong = pem_make("wrong", "DNS:localhost", NULL, 30, 0);
    vt_server *other = h3_server_at(server_cfg, &wrong, true, at);
    vt_server_any(other, "/early", h_early);
    vt__ch3_side_of(client)->head_ns = 2 * VT_SEC;
    CHECK_EQ(ask("GET", "/early", NULL, "30 0"), 200);
    vt_task *t = vt_server_start(other) == 0 ? vt_async(h3_serve, other) : NULL; /* NULL: no IPv6 */
    CHECK_EQ(ask("GET", "/early", NULL, ZERO), 200);
    vt_server_stop(other);
    if (t) CHECK_EQ(vt_await(t, &r), 0);
    CHECK_EQ(calls, 2);
    vt_server_free(other);
    pem_free(&wrong);
    down();
}
/* A call that began in 0-RTT and has left, and a server that rejects that and allows no streams yet. */
TEST(no_room_is_not_all_the_room) {
    static vt__ch3_wire w;
    static vt__cpool_conn k;
    vt__ch3 *c = vt__mem_zalloc(sizeof *c);
    c->wire = &w, c->calls.k = &k, c->ready = true;
    w.e.c.q.streams.mine[0] = 1;
    vt__ch3_room(c);
    CHECK_EQ(k.most, 0);
    w.e.c.q.streams.peer_limit[0] = 5;
    vt__ch3_room(c);
    CHECK_EQ(k.most, 4);
    vt__mem_free(c);
}
