/* The client over TLS, and WebSockets of clients, plain and over TLS: against this library's server, and against peers that
 * a script plays. */
/* variants: default asan tsan poll clang */
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "cliserver.h"
#include "handlers.h"
#include "tls.h"
#include "wscli.h"

#include <strings.h>

static struct pem ca, good, other, old, caller;
static __attribute__((constructor)) void make_certificates(void) {
    signal(SIGPIPE, SIG_IGN);
    ca = pem_make("Test CA", NULL, NULL, 30, 0);
    good = pem_make("good", "IP:127.0.0.1,DNS:localhost", &ca, 30, 0);
    other = pem_make("other", "IP:127.0.0.2,DNS:other.example", &ca, 30, 0);
    old = pem_make("old", "IP:127.0.0.1", &ca, -1, 0);
    caller = pem_make("caller", "", &ca, 30, 0);
}

/* Listeners: plain, and TLS with each certificate; CALLERS wants one of the client, too. */
enum { PLAIN, GOOD, OTHER, OLD, CALLERS, LISTENERS };

static int h_who(vt_req *req, vt_res *res) {
    vt_tls_info i;
    int r = vt_req_tls(req, &i);
    return vt_res_printf(res, 200, "%s", r != 1 ? "plain" : i.subject ? i.subject : i.alpn);
}
static int h_resumed(vt_req *req, vt_res *res) {
    vt_tls_info i;
    vt_req_tls(req, &i);
    return vt_res_printf(res, 200, "%s %s", i.version, i.resumed ? "resumed" : "new");
}
static int h_fields(vt_req *req, vt_res *res) {
    vt_str name, value;
    for (size_t i = 0; vt_req_field_nth(req, i, &name, &value); i++)
        if (vt_res_write(res, name.ptr, name.len) < 0) break;
    return 0;
}
static const char *at(int listener, const char *path) { return url_at(base_of(listener), path); }
static int h_to_tls(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_redirect(res, 302, at(GOOD, "/"));
}
static int h_to_plain(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_redirect(res, 302, at(PLAIN, "/"));
}
static void listen_tls(const struct pem *p, const char *client_ca) {
    vt_tls_cert cert = {.cert_pem = p->text};
    vt_tls_cfg cfg = {.certs = &cert, .ncerts = 1, .client_ca_pem = client_ca};
    CHECK_EQ(vt_server_listen_tls(server, "127.0.0.1:0", &cfg), 0);
}
static void up(void) {
    server = vt_server_new(
        &(vt_server_cfg){.addr = "127.0.0.1:0", .max_body = VT_NONE, .cancel_on = VT_CANCEL_FIN});
    listen_tls(&good, NULL);
    listen_tls(&other, NULL);
    listen_tls(&old, NULL);
    listen_tls(&good, ca.cert_text);
    vt_server_get(server, "/", h_who);
    vt_server_post(server, "/echo", h_echo);
    vt_server_post(server, "/pipe", h_pipe);
    vt_server_get(server, "/stall", h_stall);
    vt_server_get(server, "/fields", h_fields);
    vt_server_get(server, "/resumed", h_resumed);
    vt_server_get(server, "/to-tls", h_to_tls);
    vt_server_get(server, "/to-plain", h_to_plain);
    ws_serve(server);
    server_up(&(vt_client_cfg){.tls_ca_pem = ca.cert_text});
}
static const char *ws_at(int listener, const char *path) { return ws_url(base_of(listener), path); }
static int get_with(const vt_client_cfg *cfg, const char *url, const char *body) {
    vt_client *c = vt_client_new(cfg);
    int r = get_by(c, url, body);
    vt_client_free(c);
    return r;
}

CLI_TEST(who_is_trusted, 2) {
    up();
    char name[100];
    snprintf(name, sizeof name, "https://LOCALHOST:%d/", vt_server_port(server, GOOD));
    CHECK_EQ(get_by(client, at(GOOD, "/"), "http/1.1"), 200);
    CHECK_EQ(get_by(client, name, "http/1.1"), 200);
    CHECK_EQ(get_by(client, at(PLAIN, "/"), "plain"), 200);
    CHECK_EQ(get_by(client, at(OTHER, "/"), NULL), VT_ECERT);
    CHECK_EQ(get_by(client, at(OLD, "/"), NULL), VT_ECERT);
    snprintf(name, sizeof name, "https://127.0.0.1:%d/", vt_server_port(server, PLAIN));
    CHECK_EQ(get_by(client, name, NULL), VT_ETLS);
    CHECK_EQ(get_with(NULL, at(GOOD, "/"), NULL), VT_ECERT); /* the system knows nothing of our CA */
    const vt_client_cfg any = {.tls_no_verify = 1, .tls_min_version = 13};
    CHECK_EQ(get_with(&any, at(GOOD, "/"), "http/1.1"), 200);
    CHECK_EQ(get_with(&any, at(OTHER, "/"), "http/1.1"), 200);
    CHECK_EQ(get_with(&any, at(OLD, "/"), "http/1.1"), 200);
    const vt_client_cfg none = {.tls_ca_file = "/no/such/file"}, odd = {.tls_min_version = 11};
    CHECK_EQ(get_with(&none, at(GOOD, "/"), NULL), VT_ECONF);
    CHECK_EQ(get_with(&odd, at(GOOD, "/"), NULL), -EINVAL);
    down();
}
/* Who says nothing of whom to trust trusts the system's store, which OpenSSL finds by the environment, too. */
static int by_system;
static void ask_system(void) {
    char addr[40];
    vt_stream *st = NULL;
    up();
    snprintf(addr, sizeof addr, "127.0.0.1:%d", vt_server_port(server, GOOD));
    CHECK_EQ(get_with(NULL, at(GOOD, "/"), NULL), by_system);
    CHECK_EQ(get_with(NULL, at(OTHER, "/"), NULL), VT_ECERT); /* of another host */
    int r = vt_tls_dial(&st, addr, NULL, 0);
    CHECK_EQ(r, by_system == 200 ? 0 : by_system);
    if (r == 0) vt_tls_close(st);
    down();
}
static void ask_system_with(const char *file, const char *dir, int want) {
    setenv("SSL_CERT_FILE", file, 1);
    setenv("SSL_CERT_DIR", dir, 1);
    by_system = want;
    cli_run(2, ask_system);
}
TEST(who_is_trusted_by_the_system) {
    char hash[20];
    struct pem stranger = pem_make("Test CA", NULL, NULL, 30, 0); /* of the same name */
    const char *ours = tmp_text("ca.pem", ca.cert_text),
               *theirs = tmp_text("stranger.pem", stranger.cert_text);
    ask_system_with(ours, "/no/such/folder", 200);
    ask_system_with(theirs, "/no/such/folder", VT_ECERT);
    ask_system_with("/no/such/file", tmp_dir(), VT_ECERT); /* not by its hash */
    snprintf(hash, sizeof hash, "%08lx.0",
             X509_NAME_hash_ex(X509_get_subject_name(ca.cert), NULL, NULL, NULL));
    tmp_text(hash, ca.cert_text);
    ask_system_with("/no/such/file", tmp_dir(), 200);
    ask_system_with("/no/such/file", "/no/such/folder", VT_ECERT);
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    pem_free(&stranger);
}
CLI_TEST(who_calls, 2) {
    const vt_tls_cert cert = {.cert_pem = caller.text};
    const vt_client_cfg shows = {.tls_ca_pem = ca.cert_text, .tls_cert = &cert};
    up();
    CHECK_EQ(get_with(&shows, at(CALLERS, "/"), "CN=caller"), 200);
    int r = get_by(client, at(CALLERS, "/"), NULL);
    CHECK(r == VT_ETLS || r == -ECONNRESET || r == -EPIPE);
    down();
}
/* A connection more does not cost a handshake more, with either version. */
static void resume(int version, const char *name) {
    char local[200], first[40], later[40];
    vt_client *c = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text});
    SSL_CTX_set_max_proto_version(c->trust->ctx, version);
    snprintf(local, sizeof local, "https://localhost:%d/resumed", vt_server_port(server, GOOD));
    snprintf(first, sizeof first, "%s new", name);
    snprintf(later, sizeof later, "%s resumed", name);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(get_by(c, at(GOOD, "/resumed"), i ? later : first), 200);
        CHECK_EQ(get_by(c, local, i ? later : first), 200); /* another origin, if the same server */
        vt_client_close_idle(c);
    }
    CHECK(c->trust->sessions->n <= 2 * VT__OSSL_SESSIONS_KEY);
    vt_client_free(c);
}
CLI_TEST(sessions_are_resumed, 2) {
    up();
    resume(TLS1_3_VERSION, "TLSv1.3");
    resume(TLS1_2_VERSION, "TLSv1.2");
    down();
}
/* No more of them than there is room for, and of one server no more than it hands out at once: the oldest go. */
TEST(sessions_are_bounded) {
    vt_client *c = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text});
    vt__ossl_sessions *all = c->trust->sessions;
    char key[20];
    for (int i = 0; i < 200; i++) {
        SSL_SESSION *s = SSL_SESSION_new();
        snprintf(key, sizeof key, "host%d", i / 4);
        vt__ossl_session_keep(all, i % 50 ? key : "rare", s);
        SSL_SESSION_free(s);
    }
    CHECK_EQ(all->n, VT__OSSL_SESSIONS);
    int newest = 0, oldest = 0, rare = 0;
    for (int i = 0; i < all->n; i++) {
        newest += strcmp(all->at[i].key, "host49") == 0;
        oldest += strcmp(all->at[i].key, "host1") == 0;
        rare += strcmp(all->at[i].key, "rare") == 0;
    }
    CHECK_EQ(newest, VT__OSSL_SESSIONS_KEY);
    CHECK_EQ(oldest, 0);
    CHECK_EQ(rare, VT__OSSL_SESSIONS_KEY); /* of four */
    vt_client_free(c);
}
CLI_TEST(from_plain_to_tls_and_not_back, 2) {
    up();
    vt_call *call = vt_client_get(client, at(PLAIN, "/to-tls"));
    CHECK_EQ(vt_call_status(call), 200);
    CHECK_STR(vt_call_text(call).ptr, "http/1.1");
    CHECK_STR(vt_call_url(call), at(GOOD, "/"));
    vt_call_free(call);
    CHECK_EQ(get_by(client, at(GOOD, "/to-plain"), NULL), 302);
    CHECK_EQ(get_by(client, at(GOOD, "/to-tls"), "http/1.1"), 200);
    down();
}
CLI_TEST(large_bodies_both_ways, 2) {
    static char body[1 << 20];
    up();
    for (size_t i = 0; i < sizeof body; i++) body[i] = (char)(i * 31 % 251);
    for (int i = 0; i < 4; i++) {
        vt_call *call = vt_client_post(client, at(GOOD, i % 2 ? "/pipe" : "/echo"), NULL, body, sizeof body);
        CHECK_EQ(vt_call_status(call), 200);
        CHECK_MEM(vt_call_text(call).ptr, vt_call_text(call).len, body, sizeof body);
        vt_call_free(call);
    }
    CHECK_EQ(client->conns, 1); /* by turns, and tickets that came late are no response */
    CHECK_EQ(client->nidle, 1);
    down();
}
CLI_TEST(a_call_that_is_late_or_left, 2) {
    up();
    vt_call *call = vt_call_new(client, "GET", at(GOOD, "/stall"));
    vt_call_until(call, vt_now() + 50 * VT_MS);
    CHECK_EQ(vt_call_send(call), -ETIMEDOUT);
    vt_call_free(call);
    CHECK_EQ(client->conns, 0);
    CHECK_EQ(get_by(client, at(GOOD, "/"), "http/1.1"), 200);
    down();
}
static void url_is(const char *base, const char *ref, const char *text, int port) {
    vt__pool pool;
    vt__arena a;
    vt__url u, to;
    vt__mem_pool_init(&pool, VT__ARENA_BLOCK_BYTES, 0);
    vt__mem_arena_init(&a, &pool, 0);
    CHECK_EQ(vt__url_parse(&a, vt__str_of(base), &u), 0);
    CHECK_EQ(vt__url_resolve(&a, &u, vt__str_of(ref), &to), 0);
    CHECK_STR(to.text, text);
    CHECK_EQ(to.port, port);
    CHECK_EQ(to.tls, text[4] == 's');
    CHECK_EQ(vt__url_same(&u, &to), strncasecmp(base, text, 9) == 0);
    vt__mem_arena_reset(&a);
}
TEST(urls) {
    url_is("HTTPS://A", "", "https://a/", 443);
    url_is("https://a/b/c", "../d", "https://a/d", 443);
    url_is("https://a/b/c", "//x:1/d", "https://x:1/d", 1);
    url_is("http://a/b/c", "//x", "http://x/", 80);
    url_is("https://a/b/c", "?q", "https://a/b/c?q", 443);
    url_is("https://a:443/", "http://a:443/", "http://a:443/", 443);
}

/*--- a server whose bytes a script says ---*/
static vt__tls_gate *gate;
static struct script {
    const char *answer;
    bool cut, early, left; /* early: takes nothing more until the client has left */
    bool waits;            /* for what comes after the answer: `ended` */
    int64_t ended;
    size_t first; /* bytes of a record of their own */
    int said;     /* whole answers */
} script;
static int serve_script(struct peer *p, vt_sock *s, int nth) {
    char buf[1000];
    vt__conn c;
    int64_t r;
    (void)p, (void)nth;
    memset(&c, 0, sizeof c);
    vt__conn_open(&c, dup(vt_sock_fd(s)));
    vt__tls_accept(&c);
    vt__conn_io io = {.c = &c, .thr = vt__sched_thr()};
    while ((r = vt__tls_step(&c, gate, 0)) == VT__TLS_WAIT && vt__io_wait(&c.pd, VT__PD_R, 0) >= 0) continue;
    if (r == VT__TLS_DONE && vt__conn_recv(&c, buf, sizeof buf, 0) > 0) {
        char *text = (char *)(uintptr_t)script.answer;
        struct iovec v[2] = {{text, script.first}, {text + script.first, strlen(text) - script.first}};
        CHECK_EQ(vt__conn_send_all(&io, v, 1), 0);
        if (script.first) vt_sleep_ms(5); /* for the client to see it alone */
        CHECK_EQ(vt__conn_send_all(&io, v + 1, 1), 0);
        script.said++;
        while (script.early && !script.left) vt_sleep_ms(2);
        if (script.waits) script.ended = vt__conn_recv(&c, buf, sizeof buf, 0);
        if (!script.cut) vt__conn_end(&io);
    }
    vt__conn_close(&c);
    return 0;
}
static void script_start(struct peer *p, const char *answer) {
    vt_tls_cert cert = {.cert_pem = good.text};
    vt_tls_cfg cfg = {.certs = &cert, .ncerts = 1};
    vt__tls_files *files = NULL;
    const char *bad;
    char why[512];
    CHECK_EQ(vt__tls_gate_new(&gate, &cfg, &bad), 0);
    CHECK_EQ(vt__tls_gate_read(gate, false, &files, why, sizeof why), 0);
    vt__tls_gate_use(gate, files);
    script = (struct script){.answer = answer};
    client = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text});
    peer_start(p, serve_script);
    snprintf(p->url, sizeof p->url, "https://%s/", p->addr);
}
static void script_stop(struct peer *p) {
    vt_client_free(client);
    peer_stop(p);
    vt__tls_gate_free(gate);
}
CLI_TEST(a_body_to_the_end_of_the_connection, 1) {
    static struct peer p;
    static char large[20000];
    script_start(&p, "HTTP/1.1 200 OK\r\n\r\nhello");
    CHECK_EQ(get_by(client, p.url, "hello"), 200);
    script.cut = true; /* no close_notify */
    CHECK_EQ(get_by(client, p.url, NULL), VT_EEOF);
    memset(large, 'x', sizeof large - 1); /* past the input block */
    memcpy(large, "HTTP/1.1 200 OK\r\n\r\n", 19);
    script.answer = large;
    CHECK_EQ(get_by(client, p.url, NULL), VT_EEOF);
    script.cut = false;
    CHECK_EQ(get_by(client, p.url, large + 19), 200);
    script_stop(&p);
}
/* The peer's close_notify is on an idle connection when the next call takes it. */
CLI_TEST(a_kept_connection_that_the_peer_ended, 1) {
    static struct peer p;
    script_start(&p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for (int i = 1; i <= 3; i++) {
        vt_call *call = vt_client_post(client, p.url, NULL, "abc", 3); /* not sent again */
        CHECK_EQ(vt_call_status(call), 200);
        vt_call_free(call);
        while (__atomic_load_n(&p.live, __ATOMIC_SEQ_CST)) vt_sleep_ms(1);
        CHECK_EQ(p.conns, i);
    }
    script_stop(&p);
}
/* With close_notify, since nothing is cut off; and without, where something is. */
CLI_TEST(how_the_client_leaves, 1) {
    static struct peer p;
    script_start(&p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    script.waits = true;
    script.ended = 1;
    CHECK_EQ(get_by(client, p.url, "ok"), 200);
    CHECK_EQ(client->nidle, 1);
    CHECK_EQ(vt_client_close_idle(client), 0);
    while (script.ended == 1) vt_sleep_ms(1);
    CHECK_EQ(script.ended, 0);
    script.answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
    script.ended = 1;
    vt_call *call = vt_call_new(client, "GET", p.url);
    CHECK_EQ(vt_call_send(call), 200);
    vt_call_free(call);
    while (script.ended == 1) vt_sleep_ms(1);
    CHECK_EQ(script.ended, VT_EEOF);
    script_stop(&p);
}
/* Bytes behind a response, in the same record, or records: the connection is not kept. */
CLI_TEST(more_than_a_response, 1) {
    static struct peer p;
    static char text[9000];
    script_start(&p, text);
    script.waits = true;
    int n = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
    memset(text + n, 'x', 5000 + 200);
    script.first = (size_t)n;
    for (int i = 0; i < 2; i++) {
        char buf[5000];
        int64_t r, sum = 0;
        vt_call *call = vt_call_new(client, "GET", p.url);
        CHECK_EQ(vt_call_send(call), 200);
        while ((r = vt_call_read(call, buf, sizeof buf)) > 0) sum += r;
        CHECK_EQ(r, 0);
        CHECK_EQ(sum, 5000);
        vt_call_free(call);
        CHECK_EQ(client->conns, 0);
    }
    script_stop(&p);
}
/* What comes on an idle connection answers nothing. */
CLI_TEST(a_response_that_nobody_asked_for, 1) {
    static struct peer p;
    script_start(&p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                     "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    script.first = 40;
    script.waits = true;
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(get_by(client, p.url, "ok"), 200);
        while (script.said < i) vt_sleep_ms(1);
        CHECK_EQ(p.conns, i);
    }
    script_stop(&p);
}
static int64_t endless(void *ctx, void *buf, size_t n) {
    (void)ctx;
    memset(buf, 'x', n);
    return (int64_t)n;
}
CLI_TEST(an_answer_before_the_body_is_taken, 1) {
    static struct peer p;
    script_start(&p, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    script.early = true;
    vt_call *call = vt_call_new(client, "POST", p.url);
    vt_call_body_from(call, endless, NULL, -1);
    CHECK_EQ(vt_call_send(call), 413);
    script.left = true;
    vt_call_free(call);
    script_stop(&p);
}
CLI_TEST(a_handshake_that_never_ends, 1) {
    static struct peer p;
    script_start(&p, "");
    vt_client *c = vt_client_new(&(vt_client_cfg){.tls_no_verify = 1, .connect_timeout_ms = 50});
    vt_sock *l;
    char addr[64], url[100];
    CHECK_EQ(vt_listen(&l, "127.0.0.1:0", NULL), 0); /* accepts nobody */
    vt_sock_local(l, addr, sizeof addr);
    snprintf(url, sizeof url, "https://%s/", addr);
    CHECK_EQ(get_by(c, url, NULL), -ETIMEDOUT);
    CHECK_EQ(c->conns, 0);
    vt_sock_close(l);
    vt_client_free(c);
    script_stop(&p);
}

/*--- through a proxy ---*/
struct pipe_end {
    vt_sock *from, *to;
};
static int pipe_main(void *arg) {
    struct pipe_end *e = arg;
    char buf[5000];
    int64_t n;
    while ((n = vt_read(e->from, buf, sizeof buf)) > 0)
        if (vt_write(e->to, buf, (size_t)n) < 0) break;
    shutdown(vt_sock_fd(e->to), SHUT_RDWR);
    shutdown(vt_sock_fd(e->from), SHUT_RDWR);
    return 0;
}
static int serve_proxy(struct peer *p, vt_sock *s, int nth) {
    char addr[100] = "";
    size_t from = p->ngot;
    vt_sock *to;
    (void)nth;
    if (!peer_head(p, s, 0)) return 0;
    if (p->answer) return peer_say(s, p->answer);
    if (sscanf(p->got + from, "CONNECT %99[^ ]", addr) != 1 || vt_dial(&to, addr, NULL) < 0) return -1;
    peer_say(s,
             "HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 Connected\r\nContent-Length: 7\r\n\r\n"); /* RFC 9110 9.3.6 */
    struct pipe_end there = {s, to}, back = {to, s};
    vt_task *t = vt_async(pipe_main, &there);
    pipe_main(&back);
    vt_await(t, NULL);
    vt_sock_close(to);
    return 0;
}
CLI_TEST(through_a_proxy, 1) {
    static struct peer p;
    vt_ws *ws;
    vt_str m;
    up();
    peer_start(&p, serve_proxy);
    vt_client *c = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text, .proxy = p.url});
    for (int i = 0; i < 3; i++) CHECK_EQ(get_by(c, at(GOOD, "/"), "http/1.1"), 200);
    CHECK_EQ(p.conns, 1);
    CHECK_EQ(p.requests, 1);
    CHECK(strncmp(p.got, "CONNECT 127.0.0.1:", 18) == 0);
    CHECK(strstr(p.got, "\r\nHost: 127.0.0.1:") != NULL);
    CHECK_EQ(get_by(c, at(OTHER, "/"), NULL), VT_ECERT); /* a tunnel of its own, and as suspicious */
    for (int i = 0; i < 2; i++) {                        /* ws and wss go by CONNECT both */
        CHECK_EQ(vt_client_ws(c, ws_at(i ? GOOD : PLAIN, "/ws"), NULL, &ws), 0);
        if (!ws) break;
        CHECK_EQ(vt_ws_text(ws, "by a tunnel"), 0);
        CHECK_EQ(vt_ws_recv(ws, &m), VT_WS_TEXT);
        CHECK_STR(m.ptr, "by a tunnel");
        vt_ws_free(ws);
    }
    CHECK_EQ(p.requests, 3); /* wss took the connection of the first calls */
    CHECK(!strstr(p.got, "Proxy-"));
    vt_client_free(c);
    char with[200];
    snprintf(with, sizeof with, "http://u:p@%s", p.addr);
    c = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text, .proxy = with});
    p.ngot = 0;
    CHECK_EQ(get_by(c, at(GOOD, "/fields"), "Host"), 200); /* all that the origin gets */
    CHECK(strstr(p.got, "\r\nProxy-Authorization: Basic dTpw\r\n\r\n"));
    vt_client_close_idle(c);
    p.answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    CHECK_EQ(get_by(c, at(GOOD, "/"), NULL), VT_EPROXY);
    p.answer = "HTTP/1.1 200 OK\r\n\r\nsurplus"; /* what a proxy says, no host has said */
    CHECK_EQ(get_by(c, at(GOOD, "/"), NULL), VT_EPROXY);
    p.answer = "nonsense\r\n\r\n";
    CHECK_EQ(get_by(c, at(GOOD, "/"), NULL), VT_EPROXY);
    p.answer = "HTTP/1.1 200";
    CHECK_EQ(get_by(c, at(GOOD, "/"), NULL), VT_EEOF);
    vt_client_free(c);
    peer_stop(&p);
    down();
}

/*--- WebSockets ---*/
CLI_TEST(websockets_of_clients, 2) {
    vt_ws *ws;
    up();
    for (int l = PLAIN; l <= GOOD; l++) ws_cases(client, base_of(l), "11");
    CHECK_EQ(vt_client_ws(client, ws_at(GOOD, "/to-tls"), NULL, &ws), VT_EWSUPGRADE);
    CHECK_EQ(vt_client_ws(client, ws_at(OTHER, "/ws"), NULL, &ws), VT_ECERT);
    CHECK_EQ(vt_client_ws(client, at(PLAIN, "/ws"), NULL, &ws), VT_EURL);
    CHECK_EQ(vt_client_ws(client, "ws:/x", NULL, &ws), VT_EURL);
    CHECK_EQ(vt_client_ws(client, ws_at(PLAIN, "/ws"), &(vt_ws_cfg){.protocols = "a,a"}, &ws), -EINVAL);
    CHECK_EQ(vt_client_ws(client, ws_at(PLAIN, "/ws"), &(vt_ws_cfg){.fields = "no line"}, &ws), -EINVAL);
    static const char *const lines[] = {"Connection: x\r\n",          "Connection: close\r\n",
                                        "Proxy-Authorization: x\r\n", "Host: a b\r\n",
                                        "Sec-WebSocket-Key: x\r\n",   "sec-websocket-extensions: x\r\n"};
    for (size_t i = 0; i < VT__COUNT(lines); i++)
        CHECK_EQ(vt_client_ws(client, ws_at(PLAIN, "/ws"), &(vt_ws_cfg){.fields = lines[i]}, &ws), -EINVAL);
    CHECK_EQ(vt_client_ws(client, ws_at(PLAIN, "/ws"), &(vt_ws_cfg){.fields = "Host: a\r\nHost: b\r\n"}, &ws),
             0);
    vt_ws_free(ws); /* the last one went out alone, or the server had refused it */
    vt_ws_free(NULL);
    CHECK_EQ(client->conns - client->nidle, 0);
    down();
}
/* Answers a handshake with the wrong key's hash, or behind the right one with a message. */
static int serve_ws(struct peer *p, vt_sock *s, int nth) {
    char accept[VT__WS_ACCEPT_LEN + 1] = "", head[500];
    size_t from = p->ngot;
    if (!peer_head(p, s, 0)) return 0;
    const char *key = strstr(p->got + from, "Sec-WebSocket-Key: ");
    if (!key) return 0;
    vt__ws_accept(accept, key + 19);
    if (nth == 0) accept[3] ^= 1;
    snprintf(head, sizeof head,
             "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: %s\r\n\r\n"
             "\x81\x05"
             "early",
             accept);
    peer_say(s, head);
    while (vt_read(s, head, sizeof head) > 0) continue;
    return 0;
}
CLI_TEST(the_answer_is_looked_at, 1) {
    static struct peer p;
    const vt_ws_cfg cfg = {.close_ms = VT_NONE};
    vt_ws *ws;
    vt_str m;
    char url[100];
    client = vt_client_new(NULL);
    peer_start(&p, serve_ws);
    snprintf(url, sizeof url, "ws://%s/", p.addr);
    CHECK_EQ(vt_client_ws(client, url, &cfg, &ws), VT_EWSUPGRADE);
    CHECK_EQ(vt_client_ws(client, url, &cfg, &ws), 0);
    if (ws) CHECK_EQ(vt_ws_recv(ws, &m), VT_WS_TEXT);
    if (ws) CHECK_STR(m.ptr, "early");
    vt_ws_free(ws);
    const char *a = strstr(p.got, "Key: "), *b = a ? strstr(a + 5, "Key: ") : NULL;
    CHECK(b && memcmp(a, b, 29) != 0); /* a new one each time */
    vt_client_free(client);
    peer_stop(&p);
}
CLI_TEST(many_senders_at_both_ends, 4) {
    up();
    for (int l = PLAIN; l <= GOOD; l++) ws_many_senders(client, base_of(l));
    down();
}
