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

/*--- a server that asks for another handshake: OpenSSL's own, on an OS thread ---*/
enum { SERVER_MS = 20000 };
static struct {
    int fd, kinds[4];
    size_t lengths[4];
} asks_again;
static int choose_h2(SSL *s, const unsigned char **out, unsigned char *n, const unsigned char *in,
                     unsigned len, void *arg) {
    (void)s, (void)in, (void)len, (void)arg;
    *out = (const unsigned char *)"h2";
    *n = 2;
    return SSL_TLSEXT_ERR_OK;
}
static SSL_CTX *plain_server(void) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_alpn_select_cb(ctx, choose_h2, NULL);
    CHECK(SSL_CTX_use_certificate(ctx, good.cert) == 1 && SSL_CTX_use_PrivateKey(ctx, good.key) == 1);
    return ctx;
}
static SSL *plain_accept(SSL_CTX *ctx) {
    struct pollfd p = {.fd = asks_again.fd, .events = POLLIN};
    struct timeval limit = {.tv_sec = SERVER_MS / 1000};
    int fd = poll(&p, 1, SERVER_MS) > 0 ? accept(asks_again.fd, NULL, NULL) : -1;
    SSL *s = SSL_new(ctx);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    SSL_set_fd(s, fd);
    if (SSL_accept(s) == 1) return s;
    test_fail(__FILE__, __LINE__, "no handshake");
    SSL_free(s);
    close(fd);
    return NULL;
}
static bool plain_take(SSL *s, uint8_t *p, size_t n) {
    for (size_t got = 0, k; got < n; got += k)
        if (SSL_read_ex(s, p + got, n - got, &k) != 1) return false;
    return true;
}
/* The next request's stream; 0: the end. */
static uint32_t plain_request(SSL *s) {
    uint8_t f[VT__H2_FRAME], body[VT__H2_FRAME_MIN];
    while (plain_take(s, f, sizeof f)) {
        size_t n = vt__str_get32(f) >> 8;
        if (n > sizeof body || !plain_take(s, body, n)) break;
        if (f[3] == VT__H2_T_HEADERS) return vt__str_get32(f + 5);
    }
    return 0;
}
static void plain_put(SSL *s, unsigned type, unsigned flags, uint32_t id, const void *p, size_t n) {
    uint8_t b[64];
    memcpy(vt__h2_put_frame(b, n, type, flags, id), p, n);
    CHECK_EQ(SSL_write(s, b, (int)(VT__H2_FRAME + n)), VT__H2_FRAME + (int)n);
}
/* Answers one request on each of two connections; then it asks for another handshake on the first, with a second request under
 * way, and looks at the records that come. */
static void *serve_again(void *arg) {
    SSL_CTX *ctx = arg;
    uint8_t preface[VT__H2_PREFACE_LEN];
    for (int i = 0; i < 2; i++) {
        SSL *s = plain_accept(ctx);
        if (!s) break;
        plain_put(s, VT__H2_T_SETTINGS, 0, 0, "", 0);
        CHECK(plain_take(s, preface, sizeof preface));
        CHECK_EQ(plain_request(s), 1);
        plain_put(s, VT__H2_T_HEADERS, VT__H2_END_HEADERS | VT__H2_END_STREAM, 1, "\210", 1); /* 200 */
        if (plain_request(s) == 3) {
            CHECK(SSL_renegotiate(s) == 1 && SSL_do_handshake(s) == 1);
            for (int k = 0; k < 4 && (k == 0 || asks_again.kinds[k - 1] >= 0); k++)
                asks_again.kinds[k] = tls_record(SSL_get_fd(s), &asks_again.lengths[k], SERVER_MS);
        }
        close(SSL_get_fd(s));
        SSL_free(s);
    }
    return NULL;
}
/* An error of the peer's: its calls end, it is told so by GOAWAY, and the next has a connection of its own (RFC 9113 9.2.1). */
CLI_TEST(another_handshake_is_asked_for, 1) {
    enum { ALERT = 21, DATA = 23, SEALED = 8 + 16 }; /* bytes that AES-GCM adds */
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    pthread_t thread;
    SSL_CTX *ctx = plain_server();
    asks_again.fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(bind(asks_again.fd, (struct sockaddr *)&a, len) == 0 && listen(asks_again.fd, 8) == 0);
    getsockname(asks_again.fd, (struct sockaddr *)&a, &len);
    snprintf(base, sizeof base, "https://127.0.0.1:%d", ntohs(a.sin_port));
    REQUIRE(pthread_create(&thread, NULL, serve_again, ctx) == 0);
    client = client_of(NULL);
    int64_t from = vt_now();
    CHECK_EQ(get("/", ""), 200);
    CHECK_EQ(ask_by(client, at("/"), "not sent again"), VT_EHTTP);
    CHECK(vt_now() - from < SERVER_MS / 4 * VT_MS); /* not because it was silent */
    CHECK_EQ(get("/", ""), 200);
    vt_client_free(client);
    pthread_join(thread, NULL);
    CHECK_EQ(asks_again.kinds[0], ALERT); /* a warning */
    CHECK_EQ(asks_again.kinds[1], DATA);
    CHECK_EQ(asks_again.lengths[1], SEALED + VT__H2_FRAME + 8); /* GOAWAY */
    CHECK_EQ(asks_again.kinds[2], ALERT);                       /* close_notify */
    CHECK_EQ(asks_again.kinds[3], -1);
    SSL_CTX_free(ctx);
    close(asks_again.fd);
}

/*--- a server whose ticket comes in parts ---*/
static SSL *slow;
static int slow_fd;
static int slow_alpn(SSL *s, const unsigned char **out, unsigned char *n, const unsigned char *in,
                     unsigned in_len, void *arg) {
    (void)s, (void)in, (void)in_len, (void)arg;
    *out = (const unsigned char *)"h2", *n = 2;
    return SSL_TLSEXT_ERR_OK;
}
/* What it has to say goes out: all, or the first record. */
static void slow_send(bool all) {
    char *p;
    long n = BIO_get_mem_data(SSL_get_wbio(slow), &p);
    if (!all) n = 5 + ((uint8_t)p[3] << 8 | (uint8_t)p[4]);
    char buf[8192];
    REQUIRE(n <= (long)sizeof buf && BIO_read(SSL_get_wbio(slow), buf, (int)n) == n);
    CHECK_EQ(send(slow_fd, buf, (size_t)n, MSG_NOSIGNAL), n);
}
/* As much as the client has to say until `call` comes true of a call that it repeats. */
static bool slow_until(int (*call)(SSL *s)) {
    int r;
    while ((r = call(slow)) != 1) {
        if (BIO_pending(SSL_get_wbio(slow)) > 0) slow_send(true);
        if (r < 0 && SSL_get_error(slow, r) != SSL_ERROR_WANT_READ) return false;
        if (r < 0 && vt_wait_fd(slow_fd, VT_READ, vt_now() + 10 * VT_SEC) < 0) return false;
    }
    if (BIO_pending(SSL_get_wbio(slow)) > 0) slow_send(true);
    return true;
}
/* A request has come whole: HEADERS are the last frame of what comes with it. 0: not yet. */
static int slow_asked(SSL *s) {
    static uint8_t in[8192];
    static size_t n;
    int r = SSL_read(s, in + n, (int)(sizeof in - n));
    if (r <= 0) return r < 0 ? r : -1;
    n += (size_t)r;
    for (size_t at = VT__H2_PREFACE_LEN; at + VT__H2_FRAME <= n;) {
        size_t len = (size_t)in[at] << 16 | (size_t)in[at + 1] << 8 | in[at + 2];
        if (in[at + 3] == VT__H2_T_HEADERS && at + VT__H2_FRAME + len <= n) return n = 0, 1;
        at += VT__H2_FRAME + len;
    }
    return 0;
}
static void slow_answer(uint32_t id) {
    uint8_t f[VT__H2_FRAME + 1];
    *vt__h2_put_frame(f, 1, VT__H2_T_HEADERS, VT__H2_END_HEADERS | VT__H2_END_STREAM,
                      id) = 0x88; /* :status 200 */
    CHECK_EQ(SSL_write(slow, f, sizeof f), (int)sizeof f);
}
static int slow_call(void *url) { return get_by(client, url, NULL); }
static void slow_accept(vt_sock *s) {
    SSL_CTX *x = SSL_CTX_new(TLS_server_method());
    uint8_t f[2 * VT__H2_FRAME];
    slow_fd = vt_sock_fd(s);
    SSL_CTX_use_certificate(x, good.cert), SSL_CTX_use_PrivateKey(x, good.key);
    SSL_CTX_set_num_tickets(x, 0); /* but when it is asked for one */
    SSL_CTX_set_alpn_select_cb(x, slow_alpn, NULL);
    SSL_CTX_set_session_ticket_cb(x, ticket_long, ticket_used, NULL);
    slow = SSL_new(x);
    SSL_CTX_free(x);
    SSL_set_max_send_fragment(slow, 512);
    SSL_set_bio(slow, BIO_new_socket(slow_fd, BIO_NOCLOSE), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(slow);
    REQUIRE(slow_until(SSL_do_handshake) && slow_until(slow_asked));
    vt__h2_put_frame(vt__h2_put_frame(f, 0, VT__H2_T_SETTINGS, 0, 0), 0, VT__H2_T_SETTINGS, VT__H2_ACK, 0);
    CHECK_EQ(SSL_write(slow, f, sizeof f), (int)sizeof f);
    slow_send(true);
}
/* The rest of the ticket, with an answer behind it, is there when the client writes, and so reads: no event tells of it. */
CLI_TEST(what_a_write_takes_in_is_read, 1) {
    vt_sock *l, *s;
    char url[VT_ADDR_MAX + 16] = "https://";
    int status[2] = {0, 0};
    REQUIRE(vt_listen(&l, "127.0.0.1:0", NULL) == 0);
    snprintf(url + 8, sizeof url - 8, "127.0.0.1:%d/", vt_sock_port(l));
    client = client_of(NULL);
    vt_task *first = vt_async(slow_call, url);
    REQUIRE(vt_accept(l, &s) == 0);
    slow_accept(s);
    const vt__cpool_host *h = VT__CONTAINER(client->hosts.next, vt__cpool_host, link);
    const vt__cpool_conn *k = VT__CONTAINER(h->shared.next, vt__cpool_conn, link);
    CHECK_EQ(SSL_new_session_ticket(slow), 1);
    CHECK_EQ(SSL_do_handshake(slow), 1);
    slow_send(false);
    while (!SSL_in_init(((vt__tls *)k->conn.up)->o.ssl)) vt_sleep_ms(1);
    slow_answer(1);
    slow_send(true);
    vt_task *second = vt_async(slow_call, url); /* writes before an event is looked for */
    int r = vt_await_until(first, vt_now() + 10 * VT_SEC, &status[0]);
    CHECK_EQ(r, 0);
    slow_answer(3);
    slow_send(true);
    CHECK_EQ(vt_await(second, &status[1]), 0);
    if (r < 0) CHECK_EQ(vt_await(first, NULL), 0);
    CHECK(status[0] == 200 && status[1] == 200);
    vt_client_free(client);
    SSL_free(slow);
    vt_sock_close(s);
    vt_sock_close(l);
}
