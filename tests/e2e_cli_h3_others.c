/* The client over HTTP/3 against servers that others wrote, as Debian has them: ngtcp2's, on GnuTLS; caddy, which is quic-go's;
 * nginx where it speaks HTTP/3 (1.26, Debian 13; VT_NGINX names one that is not in PATH). Its WebSockets (RFC 9220) against
 * python's aioquic and wsproto, which interop_h3.sh has. */
/* variants: default */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "cliserver.h"
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

/*--- caddy and nginx: HTTP/3 beside TCP, and what is posted goes on to a server of ours ---*/
enum { HUGE = 10000000, AT_ONCE = 100 };
static char *huge;
/* How much came as it was sent. */
static int h_up(vt_req *req, vt_res *res) {
    static const size_t step = 20000;
    char *buf = vt_req_alloc(req, step);
    size_t sum = 0;
    int64_t n;
    while (buf && (n = vt_req_read(req, buf, VT__MIN(step, HUGE - sum + 1))) > 0) {
        if (sum + (size_t)n > HUGE || memcmp(buf, huge + sum, (size_t)n) != 0) break;
        sum += (size_t)n;
    }
    return vt_res_printf(res, 200, "%zu", sum);
}
static bool caddy_start(void) {
    static const char text[] =
        "{\nadmin off\nauto_https off\ndefault_sni 127.0.0.1\n}\n"
        "https://127.0.0.1:%d {\nbind 127.0.0.1\ntls %s/cert.pem %s/cert.pem\nroot * %s\n"
        "header X-By {http.request.proto}\n"
        "handle /upload {\nreverse_proxy 127.0.0.1:%d\n}\nhandle {\nfile_server\n}\n}\n";
    snprintf(conf, sizeof conf, text, port[0], dir, dir, dir, port[1]);
    file("caddy.conf", conf, strlen(conf));
    setenv("XDG_DATA_HOME", dir, 1), setenv("XDG_CONFIG_HOME", dir, 1);
    return start(0, port[0],
                 (const char *[]){"sh", "-c",
                                  "exec caddy run --adapter caddyfile --config \"$0\" > \"$0.log\" 2>&1",
                                  path("caddy.conf"), NULL});
}
static bool nginx_start(void) {
    static const char text[] =
        "daemon off; master_process off; user root; pid %s/pid; error_log %s/errors; events { worker_connections 512; }\n"
        "http { access_log off; client_body_temp_path %s/t1; proxy_temp_path %s/t2; fastcgi_temp_path %s/t3; "
        "uwsgi_temp_path %s/t4; scgi_temp_path %s/t5;\n"
        "server { listen 127.0.0.1:%d ssl; listen 127.0.0.1:%d quic; root %s; client_max_body_size 20m;\n"
        "ssl_certificate %s/cert.pem; ssl_certificate_key %s/cert.pem; add_header Alt-Svc 'h3=\":%d\"; ma=600'; add_header X-By $server_protocol;\n"
        "location /upload { proxy_pass http://127.0.0.1:%d; } } }\n";
    const char *program = getenv("VT_NGINX");
    snprintf(conf, sizeof conf, text, dir, dir, dir, dir, dir, dir, dir, port[0], port[0], dir, dir, dir,
             port[0], port[1]);
    file("nginx.conf", conf, strlen(conf));
    return start(0, port[0],
                 (const char *[]){"sh", "-c", "exec \"$1\" -e \"$0.log\" -c \"$0\" 2> \"$0.log\"",
                                  path("nginx.conf"), program ? program : "nginx", NULL});
}
static bool (*other_start)(void);
static void other_ends(int signo) {
    kill(pids[0], signo);
    waitpid(pids[0], NULL, 0);
    pids[0] = 0;
}
static void posted(void) {
    char want[20];
    snprintf(want, sizeof want, "%d", HUGE);
    vt_call *call = vt_client_post(client, at("/upload"), "text/plain", huge, HUGE);
    CHECK_EQ(vt_call_status(call), 200);
    CHECK_STR(vt_call_text(call).ptr, want);
    CHECK_STR(vt_call_res_field(call, "X-By").ptr, "HTTP/3.0");
    vt_call_free(call);
}
/* Whether the server says that it was HTTP/3. */
static bool by_h3(void) {
    vt_call *call = vt_client_get(client, at("/small"));
    CHECK_EQ(vt_call_status(call), 200);
    CHECK_STR(vt_call_text(call).ptr, "small");
    vt_str by = vt_call_res_field(call, "X-By");
    bool is = by.ptr && strcmp(by.ptr, "HTTP/3.0") == 0;
    vt_call_free(call);
    return is;
}
static int one(void *arg) {
    return (intptr_t)arg % 10 ? get(at("/small"), "small", 5) : get(at("/large"), large, LARGE);
}
static void all_at_once(void) {
    vt_task *t[AT_ONCE];
    for (intptr_t i = 0; i < AT_ONCE; i++) t[i] = vt_async_any(one, (void *)i);
    for (int i = 0; i < AT_ONCE; i++) CHECK_EQ(awaited(t[i]), 200);
}
/* The same with HTTP/3 known before, and found. */
static void calls(int http3) {
    client = vt_client_new(&(vt_client_cfg){
        .tls_ca_pem = ca.cert_text, .http3 = http3, .connect_timeout_ms = 2000, .read_timeout_ms = 8000});
    vt__ch3_side *side = vt__ch3_side_of(client);
    side->head_ns = 30 * VT_SEC;
    for (int i = 0; i < 3; i++) CHECK_EQ(by_h3(), i > 0 || http3 == VT_HTTP3_PRIOR);
    CHECK_EQ(get(at("/huge"), huge, HUGE), 200);
    posted();
    CHECK_EQ(get(at("/none"), "", 0), 404);
    all_at_once();
    CHECK(by_h3());
    /* it goes without a word, and another one comes, which does not know the connection */
    for (int i = 0; i < 2; i++) {
        other_ends(i ? SIGKILL : SIGTERM);
        REQUIRE(other_start());
        CHECK_EQ(get(at("/small"), "small", 5), 200);
        REQUIRE(side->alts.n == 1);
        bool back = false;
        for (int k = 0; k < 4 && !back; k++) { /* of two connections that it had */
            side->alts.at[0]->shun = 0;        /* time passes */
            back = by_h3();
        }
        CHECK(back);
        posted();
    }
    vt_client_free(client);
}
static void with_other(void) {
    there = false;
    server = vt_server_new(&(vt_server_cfg){.addr = "127.0.0.1:0", .no_signals = 1, .max_body = HUGE});
    vt_server_post(server, "/upload", h_up);
    server_up(NULL);
    vt_client *idle = client;
    port[0] = free_port(), port[1] = vt_server_port(server, 0);
    if ((there = other_start())) calls(VT_HTTP3_PRIOR), calls(1);
    client = idle;
    down();
}
static void other(bool (*begin)(void), const char *why) {
    others_up();
    huge = malloc(HUGE);
    for (int i = 0; i < HUGE; i++) huge[i] = (char)('a' + i % 29);
    file("huge", huge, HUGE);
    other_start = begin;
    cli_run(2, with_other);
    free(huge);
    others_down();
    if (!there) SKIP(why);
}
TEST(caddy) { other(caddy_start, "caddy does not start (apt-get install caddy)"); }
TEST(nginx) { other(nginx_start, "nginx does not start, or has no HTTP/3 (1.26 has)"); }
