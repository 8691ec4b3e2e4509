/* The client against servers that others wrote, as Debian has them: nginx as origin, by http and https, and tinyproxy, which
 * wants credentials, before it. */
/* variants: default asan */
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "tls.h"
#include "others.h"

enum { PLAIN, SECURE, PROXY };

/*--- what is started ---*/
static bool nginx_start(void) {
    static const char text[] =
        "daemon off; master_process off; pid %s/pid; error_log %s/errors; events { worker_connections 256; }\n"
        "http { access_log off; gzip on; gzip_min_length 1; gzip_types *; keepalive_requests 4; keepalive_timeout 1s;\n"
        "client_body_temp_path %s/t1; proxy_temp_path %s/t2; fastcgi_temp_path %s/t3; uwsgi_temp_path %s/t4; "
        "scgi_temp_path %s/t5;\n"
        "server { listen 127.0.0.1:%d; listen 127.0.0.1:%d ssl; root %s; default_type text/plain;\n"
        "ssl_certificate %s/cert.pem; ssl_certificate_key %s/cert.pem; client_max_body_size 10m; ssl_protocols TLSv1.2 TLSv1.3;\n"
        "location /chunked/ { sub_filter no-such-text x; sub_filter_types *; alias %s/; }\n"
        "location /moved { return 302 /small; } location /to-tls { return 301 https://127.0.0.1:%d/small; }\n"
        "location /up/ { dav_methods PUT; create_full_put_path on; }\n"
        "location /session { return 200 \"$ssl_protocol $ssl_session_reused\"; }\n"
        "location /saw { return 200 \"$http_accept_encoding|$http_proxy_authorization|$http_host\"; } } }\n";
    port[PLAIN] = free_port();
    port[SECURE] = free_port();
    snprintf(conf, sizeof conf, text, dir, dir, dir, dir, dir, dir, dir, port[PLAIN], port[SECURE], dir, dir,
             dir, dir, port[SECURE]);
    file("nginx.conf", conf, strlen(conf));
    return start(0, port[PLAIN], (const char *[]){"nginx", "-c", path("nginx.conf"), NULL});
}
static bool tinyproxy_start(void) {
    port[PROXY] = free_port();
    snprintf(
        conf, sizeof conf,
        "Port %d\nListen 127.0.0.1\nTimeout 30\nMaxClients 50\nAllow 127.0.0.1\nLogFile \"%s/proxy.log\"\n"
        "LogLevel Error\nBasicAuth user pass\n",
        port[PROXY], dir);
    file("proxy.conf", conf, strlen(conf));
    return start(1, port[PROXY], (const char *[]){"tinyproxy", "-d", "-c", path("proxy.conf"), NULL});
}
/*--- calls ---*/
static const char *at(int which, const char *path) {
    static __thread char url[4][200]; /* callers are on several OS threads */
    static __thread int i;
    char *p = url[i++ % 4];
    snprintf(p, sizeof url[0], "http%s://127.0.0.1:%d%s", which == SECURE ? "s" : "", port[which], path);
    return p;
}
static void origin(int which) {
    size_t done = 0;
    char want[100];
    for (int i = 0; i < 12; i++)
        CHECK_EQ(get(at(which, i % 2 ? "/small" : "/moved"), "small", 5), 200); /* 4 a connection */
    CHECK_EQ(get(at(which, "/large"), large, LARGE), 200);
    CHECK_EQ(get(at(which, "/chunked/small"), "small", 5), 200);
    CHECK_EQ(get(at(which, "/chunked/large"), large, LARGE), 200);
    snprintf(want, sizeof want, "||127.0.0.1:%d", port[which]);
    CHECK_EQ(get(at(which, "/saw"), want, strlen(want)), 200);
    CHECK_EQ(get(at(which, "/none"), "", 0), 404);
    vt_call *call = vt_call_new(client, "PUT", at(which, "/up/chunked"));
    vt_call_body_from(call, piece, &done, -1);
    int r = vt_call_send(call);
    CHECK(r == 201 || r == 204); /* made, or written over */
    vt_call_free(call);
    CHECK_EQ(get(at(which, "/up/chunked"), large, LARGE), 200);
    call = vt_call_new(client, "PUT", at(which, "/up/length"));
    vt_call_expect(call);
    vt_call_body(call, large, LARGE);
    r = vt_call_send(call);
    CHECK(r == 201 || r == 204);
    vt_call_free(call);
    CHECK_EQ(get(at(which, "/up/length"), large, LARGE), 200);
    call = vt_call_new(client, "HEAD", at(which, "/large"));
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_STR(vt_call_res_field(call, "Content-Length").ptr, "3000000");
    vt_call_free(call);
}
static void as_origin(void) {
    client = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text});
    origin(PLAIN);
    origin(SECURE);
    CHECK_EQ(get(at(PLAIN, "/to-tls"), "small", 5), 200);
    vt_client_close_idle(client);
    CHECK_EQ(get(at(SECURE, "/session"), "TLSv1.3 r", 9), 200);
    while (__atomic_load_n(&client->conns, __ATOMIC_SEQ_CST))
        vt_sleep_ms(10); /* nginx closes after a second */
    vt_client_free(client);
    client = vt_client_new(NULL);
    CHECK_EQ(get(at(SECURE, "/small"), "", 0), VT_ECERT);
    vt_client_free(client);
}
static void by_proxy(void) {
    char with[100];
    snprintf(with, sizeof with, "http://user:pass@127.0.0.1:%d", port[PROXY]);
    client = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text, .proxy = with});
    origin(PLAIN);
    origin(SECURE);
    vt_client_free(client);
    snprintf(with, sizeof with, "http://127.0.0.1:%d", port[PROXY]);
    client = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text, .proxy = with});
    CHECK_EQ(get(at(PLAIN, "/small"), "", 0), 407);
    CHECK_EQ(get(at(SECURE, "/small"), "", 0), VT_EPROXY);
    vt_client_free(client);
}
TEST(nginx_as_origin) {
    others_up();
    bool there = nginx_start();
    if (there) cli_run(2, as_origin);
    others_down();
    if (!there) SKIP("nginx does not start (apt-get install nginx-light)");
}
TEST(nginx_behind_tinyproxy) {
    others_up();
    bool there = nginx_start() && tinyproxy_start();
    if (there) cli_run(2, by_proxy);
    others_down();
    if (!there) SKIP("nginx or tinyproxy does not start (apt-get install nginx-light tinyproxy-bin)");
}
