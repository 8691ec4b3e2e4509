/* The client over HTTP/3 against a server that others wrote, as Debian has it: ngtcp2's, on GnuTLS; its WebSockets (RFC 9220)
 * against python's aioquic and wsproto, which interop_h3.sh has. */
/* variants: default */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "tls.h"
#include "others.h"

static const char *at(const char *what) {
    static __thread char url[4][200]; /* callers are on several OS threads */
    static __thread int i;
    char *p = url[i++ % 4];
    snprintf(p, sizeof url[0], "https://127.0.0.1:%d%s", port[0], what);
    return p;
}
static int caller(void *arg) {
    int ok = 0;
    for (int i = 0; i < 4; i++)
        ok += (intptr_t)arg % 5 ? get(at("/small"), "small", 5) == 200
                                : get(at("/large"), large, LARGE) == 200;
    return ok;
}
/* 30 at once; some leave. */
static void crowd(void) {
    vt_task *t[30];
    for (intptr_t i = 0; i < 30; i++) t[i] = vt_async_any(caller, (void *)i);
    for (int i = 0; i < 30; i++) {
        int ok = 0;
        if (i % 7 == 3) {
            vt_cancel(t[i]);
            vt_await(t[i], NULL);
            continue;
        }
        CHECK_EQ(vt_await(t[i], &ok), 0);
        CHECK_EQ(ok, 4);
    }
}
static bool there;
/* It has no TCP port that could tell when it is up. */
static void comes_up(void) {
    vt__ch3_side *side = vt__ch3_side_of(client);
    side->head_ns = VT_SEC / 5;
    for (int i = 0; i < 200 && !there && waitpid(pids[0], NULL, WNOHANG) == 0; i++) {
        there = get(at("/small"), "small", 5) == 200;
        for (int k = 0; k < side->alts.n; k++) side->alts.at[k]->shun = 0;
        if (!there) (void)vt_client_close_idle(client);
        vt_sleep_ms(20);
    }
    side->head_ns = 30 * VT_SEC;
}
static void with_it(void) {
    client = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text, .http3 = VT_HTTP3_PRIOR});
    comes_up();
    for (int round = 0; there && round < 3; round++) {
        CHECK_EQ(get(at("/small"), "small", 5), 200);
        CHECK_EQ(get(at("/large"), large, LARGE), 200);
        CHECK_EQ(get(at("/none"), "", 0), 404);
        vt_call *call = vt_call_new(client, "GET", at("/large")); /* left alone */
        CHECK_EQ(vt_call_send(call), 200);
        vt_call_free(call);
        crowd();
        CHECK_EQ(get(at("/small"), "small", 5), 200);
        const vt__list *n = client->idle.next; /* whether it is HTTP/3 at all */
        CHECK(n != &client->idle && VT__CONTAINER(n, vt__cpool_conn, age)->mux == &vt__ch3_mux);
        CHECK_EQ(vt_client_close_idle(client), 0); /* the next one is resumed, and has a token */
    }
    vt_client_free(client);
}
/* With a preferred address. */
static void ngtcp2_at(const char *preferred_ip) {
    char number[20], preferred[60];
    others_up();
    snprintf(number, sizeof number, "%d", port[0] = free_port());
    snprintf(preferred, sizeof preferred, "--preferred-ipv4-addr=%s:%s", preferred_ip, number);
    pids[0] = fork();
    if (pids[0] == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(126);
        execlp("gtlsserver", "gtlsserver", "-q", "-d", dir, preferred, "*", number, path("cert.pem"),
               path("cert.pem"), NULL);
        _exit(127);
    }
    cli_run(2, with_it);
    others_down();
    if (!there) SKIP("gtlsserver does not start (apt-get install ngtcp2-server)");
}
TEST(ngtcp2) { ngtcp2_at("127.0.0.1"); }
/* Connections go over to it, whatever else they do. */
TEST(ngtcp2_prefers_another_address) { ngtcp2_at("127.0.0.2"); }
static void with_aioquic(void) {
    client = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text, .http3 = VT_HTTP3_PRIOR});
    vt__ch3_side_of(client)->head_ns = 30 * VT_SEC;
    ws_with_python(at, 1);
    CHECK_EQ(client->conns, client->nidle);
    vt_client_free(client);
}
TEST(aioquic) {
    char number[20];
    others_up();
    snprintf(number, sizeof number, "%d", port[0] = free_port());
    there = start(0, port[0],
                  (const char *[]){python(), "tests/tools/ws_h3_server.py", number, path("cert.pem"), NULL});
    if (there) cli_run(2, with_aioquic);
    others_down();
    if (!there) SKIP("no python3 with aioquic and wsproto (VT_PYTHON names one)");
}
