/* The client over HTTP/2 by ALPN: who chooses it and who does not, many at once, through a proxy, and what stays on
 * HTTP/1.1. */
/* tsan */
/* variants: default asan tsan */
#define VTHTTP_H2 1
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "cliserver.h"
#include "handlers.h"
#include "tls.h"
#include "wscli.h"

static struct pem ca, good;
static __attribute__((constructor)) void make_certificates(void) {
    signal(SIGPIPE, SIG_IGN);
    ca = pem_make("Test CA", NULL, NULL, 30, 0);
    good = pem_make("good", "IP:127.0.0.1,DNS:localhost", &ca, 30, 0);
}

static int h_who(vt_req *req, vt_res *res) {
    vt_tls_info i;
    int r = vt_req_tls(req, &i);
    return vt_res_printf(res, 200, "%d %s", vt_req_version(req), r == 1 ? i.alpn : "plain");
}
static int h_misdirected(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 421, "not here");
}
static char base[64];
static const char *at(const char *path) { return url_at(base, path); }
static vt_client *client_of(const vt_client_cfg *cfg) {
    vt_client_cfg c = cfg ? *cfg : (vt_client_cfg){0};
    c.tls_ca_pem = ca.cert_text;
    return vt_client_new(&c);
}
static void up(int http2) {
    vt_tls_cert cert = {.cert_pem = good.text};
    vt_tls_cfg tls = {.certs = &cert, .ncerts = 1};
    vt_client_cfg cfg = {.tls_ca_pem = ca.cert_text};
    server = vt_server_new(&(vt_server_cfg){
        .addr = "127.0.0.1:0", .max_body = VT_NONE, .http2 = http2, .cancel_on = VT_CANCEL_FIN});
    CHECK_EQ(vt_server_listen_tls(server, "127.0.0.1:0", &tls), 0);
    vt_server_get(server, "/who", h_who);
    vt_server_get(server, "/misdirected", h_misdirected);
    vt_server_post(server, "/echo", h_echo);
    vt_server_get(server, "/bytes/{n}", h_bytes);
    ws_serve(server);
    server_up(&cfg);
    snprintf(base, sizeof base, "%s", base_of(1));
}
static int get(const char *path, const char *body) { return get_by(client, at(path), body); }

/* Both ends have to want it. */
CLI_TEST(who_chooses_it, 2) {
    const struct {
        int server, client;
        const char *body;
    } cases[] = {{0, 0, "20 h2"},
                 {0, 1, "20 h2"},
                 {0, VT_HTTP2_PRIOR, "20 h2"},
                 {0, VT_NONE, "11 http/1.1"},
                 {VT_NONE, 0, "11 http/1.1"},
                 {VT_NONE, VT_HTTP2_PRIOR, "11 http/1.1"}};
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        up(cases[i].server);
        vt_client_free(client);
        client = client_of(&(vt_client_cfg){.http2 = cases[i].client});
        for (int k = 0; k < 3; k++) CHECK_EQ(get("/who", cases[i].body), 200);
        CHECK_EQ(client->conns, 1);
        ws_cases(client, base, cases[i].body[0] == '2' ? "20" : "11");
        CHECK_EQ(client->conns - client->nidle, 0);
        if (cases[i].body[0] == '2') CHECK_EQ(client->conns, 1);
        down();
    }
}
static int caller(void *arg) {
    char text[100];
    int good_ones = 0;
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "%d of %d", i, (int)(intptr_t)arg);
        vt_call *call = vt_client_post(client, at("/echo"), NULL, text, strlen(text));
        good_ones += vt_call_status(call) == 200 && strcmp(vt_call_text(call).ptr, text) == 0;
        vt_call_free(call);
    }
    return good_ones;
}
/* That many at once share a connection; of HTTP/1.1 there are as many as it takes, once the first has shown what it is. */
CLI_TEST(many_at_once, 4) {
    for (int http2 = 0; http2 >= VT_NONE; http2--) {
        vt_task *t[60];
        up(http2);
        for (int i = 0; i < 60; i++) t[i] = vt_async_any(caller, (void *)(intptr_t)i);
        for (int i = 0; i < 60; i++) {
            int n = 0;
            CHECK_EQ(vt_await(t[i], &n), 0);
            CHECK_EQ(n, 5);
        }
        CHECK(http2 == 0 ? client->conns == 1 : client->conns > 1);
        down();
    }
}
/* A WebSocket is the first that comes; and where the server takes none over HTTP/2, it has a connection without. */
CLI_TEST(websockets_by_alpn, 4) {
    up(0);
    ws_many_senders(client, base);
    CHECK_EQ(get("/who", "20 h2"), 200);
    CHECK_EQ(client->conns, 1);
    down();
    up(0);
    ((vt__h2_cfg *)(uintptr_t)server->run->group.h2)->connect_protocol = false;
    ws_cases(client, base, "11");
    CHECK_EQ(get("/who", "20 h2"), 200);
    CHECK_EQ(client->conns - client->nidle, 0);
    down();
}
CLI_TEST(large_bodies_both_ways, 2) {
    static char big[4 << 20];
    up(0);
    vt_call *call = vt_client_post(client, at("/echo"), NULL, big, sizeof big);
    CHECK_EQ(vt_call_text(call).len, sizeof big);
    vt_call_free(call);
    call = vt_client_get(client, at("/bytes/6000000"));
    CHECK_EQ(vt_call_text(call).len, 6000000);
    vt_call_free(call);
    vt_call *left = vt_call_new(client, "GET", at("/bytes/6000000")); /* left alone: no other's */
    CHECK_EQ(vt_call_send(left), 200);
    CHECK_EQ(get("/who", "20 h2"), 200);
    vt_call_free(left);
    CHECK_EQ(get("/who", "20 h2"), 200);
    CHECK_EQ(client->conns, 1);
    down();
}
/* ALPN of an upgrade has no HTTP/2. */
CLI_TEST(upgrades_stay_on_http_1_1, 2) {
    up(0);
    CHECK_EQ(get("/who", "20 h2"), 200);
    vt_call *call = vt_call_new(client, "GET", at("/who"));
    CHECK_EQ(vt_call_upgrade(call, "echo"), 0);
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_STR(vt_call_text(call).ptr, "11 http/1.1");
    vt_call_free(call);
    down();
}
/* Another name is another origin, also where the certificate is good for both. */
CLI_TEST(origins_share_nothing, 1) {
    char url[100];
    up(0);
    CHECK_EQ(get("/who", "20 h2"), 200);
    snprintf(url, sizeof url, "https://localhost:%d/who", vt_server_port(server, 1));
    char via[40];
    snprintf(via, sizeof via, "127.0.0.1:%d", vt_server_port(server, 1));
    vt_call *call = vt_call_new(client, "GET", url);
    CHECK_EQ(vt_call_via(call, via), 0);
    CHECK_EQ(vt_call_send(call), 200);
    vt_call_free(call);
    CHECK_EQ(client->conns, 2);
    CHECK_EQ(get("/misdirected", "not here"), 421); /* on a new connection as well: the answer stands */
    CHECK_EQ(client->conns, 3);
    down();
}
/* CONNECT is HTTP/1.1's; what is inside is not the proxy's business. */
static int serve_tunnel(struct peer *p, vt_sock *s, int nth) {
    char buf[16384], addr[64];
    vt_sock *to;
    (void)nth;
    if (!peer_head(p, s, 0)) return 0;
    CHECK(strncmp(p->got, "CONNECT ", 8) == 0 && strstr(p->got, " HTTP/1.1\r\n"));
    snprintf(addr, sizeof addr, "%.*s", (int)strcspn(p->got + 8, " "), p->got + 8);
    if (vt_dial(&to, addr, NULL) < 0 || peer_say(s, "HTTP/1.1 200 OK\r\n\r\n") < 0) return 0;
    vt_sock *ends[2] = {s, to};
    struct pollfd fds[2] = {{.fd = vt_sock_fd(s), .events = POLLIN},
                            {.fd = vt_sock_fd(to), .events = POLLIN}};
    for (bool open = true; open;) {
        for (int i = 0; i < 2; i++) {
            ssize_t n = recv(fds[i].fd, buf, sizeof buf, MSG_DONTWAIT);
            if (n == 0 || (n < 0 && errno != EAGAIN)) open = false;
            if (n > 0 && vt_write(ends[!i], buf, (size_t)n) < 0) open = false;
        }
        vt_sleep_ms(1);
    }
    vt_sock_close(to);
    return 0;
}
CLI_TEST(through_a_proxy, 2) {
    static struct peer proxy;
    up(0);
    peer_start(&proxy, serve_tunnel);
    vt_client_free(client);
    client = client_of(&(vt_client_cfg){.proxy = proxy.url});
    for (int i = 0; i < 3; i++) CHECK_EQ(get("/who", "20 h2"), 200);
    ws_cases(client, base, "20");
    CHECK_EQ(proxy.conns, 1);
    vt_client_free(client);
    peer_stop(&proxy);
    client = client_of(NULL);
    down();
}
