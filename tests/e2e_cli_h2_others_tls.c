/* The client over HTTP/2 against servers that others wrote, as Debian has them: nginx, nghttpd and h2o, by ALPN and by prior
 * knowledge; its WebSockets (RFC 8441) against python's h2 and wsproto, and through nghttpx. */
/* variants: default */
#define VTHTTP_H2 1
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "tls.h"
#include "others.h"

enum { PLAIN, SECURE };

/* GOAWAY after 20 requests, 8 at once. */
static bool nginx_start(void) {
    static const char text[] =
        "daemon off; master_process off; pid %s/pid; error_log %s/errors; events { worker_connections 256; }\n"
        "http { access_log off; keepalive_requests 20; keepalive_timeout 1s; http2_max_concurrent_streams 8;\n"
        "client_body_temp_path %s/t1; proxy_temp_path %s/t2; fastcgi_temp_path %s/t3; uwsgi_temp_path %s/t4; "
        "scgi_temp_path %s/t5;\n"
        "server { listen 127.0.0.1:%d http2; listen 127.0.0.1:%d ssl http2; root %s; default_type text/plain;\n"
        "ssl_certificate %s/cert.pem; ssl_certificate_key %s/cert.pem; client_max_body_size 10m;\n"
        "location /moved { return 302 /small; } location /saw { return 200 \"$server_protocol\"; }\n"
        "location /up/ { dav_methods PUT; create_full_put_path on; } } }\n";
    port[PLAIN] = free_port();
    port[SECURE] = free_port();
    snprintf(conf, sizeof conf, text, dir, dir, dir, dir, dir, dir, dir, port[PLAIN], port[SECURE], dir, dir,
             dir);
    file("nginx.conf", conf, strlen(conf));
    return start(0, port[PLAIN], (const char *[]){"nginx", "-c", path("nginx.conf"), NULL});
}
/* Trailers, echoes, and 8 at once. */
static bool nghttpd_start(void) {
    char numbers[2][20];
    for (int i = 0; i < 2; i++) snprintf(numbers[i], sizeof numbers[i], "%d", port[i] = free_port());
    return start(0, port[PLAIN],
                 (const char *[]){"nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", dir, "-m", "8", "--trailer",
                                  "x-end: reached", numbers[PLAIN], NULL}) &&
           start(1, port[SECURE],
                 (const char *[]){"nghttpd", "-a", "127.0.0.1", "-d", dir, "-m", "8", "--echo-upload",
                                  numbers[SECURE], path("cert.pem"), path("cert.pem"), NULL});
}
/* It becomes another user where it was started as root. */
static bool h2o_start(void) {
    static const char text[] =
        "listen: { host: 127.0.0.1, port: %d }\n"
        "listen: { host: 127.0.0.1, port: %d, ssl: { certificate-file: %s/cert.pem, key-file: %s/cert.pem,\n"
        "  ocsp-update-interval: 0 } }\n"
        "error-log: /dev/null\nnum-threads: 1\nhttp2-max-concurrent-requests-per-connection: 8\n"
        "hosts: { \"default\": { paths: { \"/\": { file.dir: %s },\n"
        "  \"/moved\": { redirect: { status: 302, url: /small } } } } }\n";
    port[PLAIN] = free_port();
    port[SECURE] = free_port();
    snprintf(conf, sizeof conf, text, port[PLAIN], port[SECURE], dir, dir, dir);
    file("h2o.conf", conf, strlen(conf));
    return chmod(dir, 0755) == 0 &&
           start(0, port[PLAIN], (const char *[]){"h2o", "-c", path("h2o.conf"), NULL});
}

/* 8 at once; WebSockets too. */
static bool python_start(void) {
    char numbers[2][20];
    const char *script = "tests/tools/ws_h2_server.py";
    for (int i = 0; i < 2; i++) snprintf(numbers[i], sizeof numbers[i], "%d", port[i] = free_port());
    return start(0, port[PLAIN], (const char *[]){python(), script, numbers[PLAIN], NULL}) &&
           start(1, port[SECURE],
                 (const char *[]){python(), script, numbers[SECURE], path("cert.pem"), NULL});
}
/* In front of a server of ours, to which it speaks HTTP/1.1, and below /two/ HTTP/2. */
enum { BACK = SECURE + 1 };
static bool nghttpx_start(void) {
    char front[2][60], back[2][60];
    for (int i = PLAIN; i <= BACK; i++) port[i] = free_port();
    for (int i = 0; i < 2; i++) {
        snprintf(front[i], sizeof front[i], "-f127.0.0.1,%d%s", port[i], i == PLAIN ? ";no-tls" : "");
        snprintf(back[i], sizeof back[i], "-b127.0.0.1,%d%s", port[BACK], i == 0 ? "" : ";/two/;proto=h2");
    }
    return start(0, port[PLAIN],
                 (const char *[]){"nghttpx", "--conf=/dev/null", "--workers=1", "--log-level=FATAL",
                                  "--accesslog-file=/dev/null", front[0], front[1], back[0], back[1],
                                  path("cert.pem"), path("cert.pem"), NULL});
}

static const char *at(int which, const char *what) {
    static __thread char url[4][200]; /* callers are on several OS threads */
    static __thread int i;
    char *p = url[i++ % 4];
    snprintf(p, sizeof url[0], "http%s://127.0.0.1:%d%s", which == SECURE ? "s" : "", port[which], what);
    return p;
}
static int which_now;
static int caller(void *arg) {
    int good = 0;
    for (int i = 0; i < 4; i++)
        good += (intptr_t)arg % 5 ? get(at(which_now, "/small"), "small", 5) == 200
                                  : get(at(which_now, "/large"), large, LARGE) == 200;
    return good;
}
/* 30 at once; some leave. */
static void crowd(int which) {
    vt_task *t[30];
    which_now = which;
    for (intptr_t i = 0; i < 30; i++) t[i] = vt_async(caller, (void *)i);
    for (int i = 0; i < 30; i++) {
        int good = 0;
        if (i % 7 == 3) {
            vt_cancel(t[i]);
            vt_await(t[i], NULL);
            continue;
        }
        CHECK_EQ(vt_await(t[i], &good), 0);
        CHECK_EQ(good, 4);
    }
}
/* Whether it is HTTP/2 at all, the pool says. */
static bool shared(void) {
    const vt__list *n = client->idle.next;
    return n != &client->idle && VT__CONTAINER(n, vt__cpool_conn, age)->mux;
}
static void common(int which) {
    CHECK_EQ(get(at(which, "/small"), "small", 5), 200);
    CHECK(shared());
    CHECK_EQ(get(at(which, "/large"), large, LARGE), 200);
    CHECK_EQ(get(at(which, "/none"), "", 0), 404);
    vt_call *call = vt_call_new(client, "HEAD", at(which, "/large"));
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_STR(vt_call_res_field(call, "Content-Length").ptr, "3000000");
    vt_call_free(call);
    call = vt_call_new(client, "GET", at(which, "/large")); /* left alone */
    CHECK_EQ(vt_call_send(call), 200);
    vt_call_free(call);
    crowd(which);
    CHECK_EQ(get(at(which, "/small"), "small", 5), 200);
}
static void put_up(const char *url, bool known, bool expect) {
    size_t done = 0;
    vt_call *call = vt_call_new(client, "PUT", url);
    if (expect) vt_call_expect(call);
    if (known) vt_call_body(call, large, LARGE);
    else vt_call_body_from(call, piece, &done, -1);
    int r = vt_call_send(call);
    CHECK(r == 201 || r == 204); /* made, or written over */
    vt_call_free(call);
}
static void with_nginx(void) {
    client = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text, .http2 = VT_HTTP2_PRIOR});
    for (int which = PLAIN; which <= SECURE; which++) {
        for (int i = 0; i < 30; i++) CHECK_EQ(get(at(which, i % 3 ? "/small" : "/moved"), "small", 5), 200);
        CHECK_EQ(get(at(which, "/saw"), "HTTP/2.0", 8), 200);
        put_up(at(which, "/up/unknown"), false, false);
        CHECK_EQ(get(at(which, "/up/unknown"), large, LARGE), 200);
        put_up(at(which, "/up/known"), true, true);
        CHECK_EQ(get(at(which, "/up/known"), large, LARGE), 200);
        common(which);
    }
    while (__atomic_load_n(&client->conns, __ATOMIC_SEQ_CST))
        vt_sleep_ms(10); /* nginx closes after a second */
    vt_client_free(client);
}
static void with_nghttpd(void) {
    client = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text, .http2 = VT_HTTP2_PRIOR});
    common(PLAIN);
    common(SECURE);
    vt_call *call = vt_client_get(client, at(PLAIN, "/small"));
    CHECK_STR(vt_call_res_trailer(call, "x-end").ptr, "reached");
    vt_call_free(call);
    call = vt_client_post(client, at(SECURE, "/echo"), "text/plain", large, LARGE);
    CHECK_EQ(vt_call_status(call), 200);
    CHECK_MEM(vt_call_text(call).ptr, vt_call_text(call).len, large, LARGE);
    vt_call_free(call);
    vt_client_free(client);
}
static const char *ws_at(int which, const char *what) { return ws_of(at(which, what)); }
static const char *at_now(const char *what) { return at(which_now, what); }
static void with_python(void) {
    client = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text, .http2 = VT_HTTP2_PRIOR});
    for (which_now = PLAIN; which_now <= SECURE; which_now++) ws_with_python(at_now, 2); /* 8 on each */
    CHECK_EQ(client->conns, client->nidle);
    vt_client_free(client);
}
static int ws_version(vt_ws *ws, vt_req *req) {
    vt_str m;
    int type = vt_ws_text(ws, vt_req_version(req) == 20 ? "two" : "one");
    while (type >= 0 && (type = vt_ws_recv(ws, &m)) > 0) type = vt_ws_send(ws, type, m.ptr, m.len);
    return type;
}
static int serves(void *s) { return vt_server_wait(s); }
/* What it takes as HTTP/2 it passes on as either. */
static void with_nghttpx(void) {
    char addr[60];
    vt_ws *ws;
    vt_str m;
    snprintf(addr, sizeof addr, "127.0.0.1:%d", port[BACK]);
    vt_server *s = vt_server_new(&(vt_server_cfg){.addr = addr});
    vt_server_ws(s, "/ws", ws_version, NULL);
    vt_server_ws(s, "/two/ws", ws_version, NULL);
    CHECK_EQ(vt_server_start(s), 0);
    vt_task *t = vt_async(serves, s);
    client = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text, .http2 = VT_HTTP2_PRIOR});
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(vt_client_ws(client, ws_at(i % 2, i < 2 ? "/ws" : "/two/ws"), NULL, &ws), 0);
        if (!ws) continue;
        CHECK(((vt_call *)ws->base)->conn->mux);
        CHECK_EQ(vt_ws_recv(ws, &m), VT_WS_TEXT);
        CHECK_STR(m.ptr, i < 2 ? "one" : "two");
        ws_echoes(ws, 10);
        ws_echoes(ws, 300000);
        CHECK_EQ(vt_ws_close(ws, 4000, "mine"), 0);
        CHECK_EQ(vt_ws_recv(ws, &m), 0);
        CHECK_EQ(vt_ws_close_code(ws), 4000);
        vt_ws_free(ws);
        CHECK_EQ(vt_client_ws(client, ws_at(i % 2, "/none"), NULL, &ws), VT_EWSUPGRADE);
    }
    CHECK_EQ(client->conns, 2);
    vt_client_free(client);
    vt_server_stop(s);
    CHECK_EQ(vt_await(t, NULL), 0);
    vt_server_free(s);
}
static void with_h2o(void) {
    vt_ws *ws;
    client = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text, .http2 = VT_HTTP2_PRIOR});
    for (int which = PLAIN; which <= SECURE; which++) {
        CHECK_EQ(get(at(which, "/moved"), "small", 5), 200);
        common(which);
        CHECK_EQ(vt_client_ws(client, ws_at(which, "/small"), NULL, &ws),
                 VT_EWSUPGRADE); /* HTTP/1.1 says so */
    }
    vt_client_free(client);
}
static void against(const char *why, bool (*begins)(void), void (*body)(void)) {
    others_up();
    bool there = begins();
    if (there) cli_run(2, body);
    others_down();
    if (!there) SKIP(why);
}
TEST(nginx) { against("nginx does not start (apt-get install nginx-light)", nginx_start, with_nginx); }
TEST(nghttpd) {
    against("nghttpd does not start (apt-get install nghttp2-server)", nghttpd_start, with_nghttpd);
}
TEST(h2o) { against("h2o does not start (apt-get install h2o)", h2o_start, with_h2o); }
TEST(python) { against("no python3 with h2 and wsproto (make deps)", python_start, with_python); }
TEST(nghttpx) {
    against("nghttpx does not start (apt-get install nghttp2-proxy)", nghttpx_start, with_nghttpx);
}
