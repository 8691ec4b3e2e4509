/* What a client makes of URLs, references, proxies and configuration, in memory. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

static vt__pool pool;
static vt__arena arena;
static void fresh(void) {
    vt__mem_pool_init(&pool, 4096, 4);
    vt__mem_arena_init(&arena, &pool, 0);
}
static void done(void) {
    vt__mem_arena_reset(&arena);
    vt__mem_pool_drain(&pool);
}

static void url(const char *s, const char *text, const char *host, int port, const char *target) {
    vt__url u = {0};
    fresh();
    int r = vt__url_parse(&arena, vt__str_of(s), &u);
    if (r < 0) printf("%s\n", s);
    CHECK_EQ(r, 0);
    if (r == 0) {
        CHECK_STR(u.text, text);
        CHECK_MEM(u.host.ptr, u.host.len, host, strlen(host));
        CHECK_EQ(u.port, port);
        CHECK_STR(u.target.ptr, target);
        CHECK_EQ(u.target.len, strlen(target));
    }
    done();
}
TEST(urls) {
    url("http://a", "http://a/", "a", 80, "/");
    url("HTTP://A.Example:8080/X?y#z", "http://a.example:8080/X?y", "a.example", 8080, "/X?y");
    url("http://a?q=1", "http://a/?q=1", "a", 80, "/?q=1");
    url("http://a#f", "http://a/", "a", 80, "/");
    url("http://[::1]:81/", "http://[::1]:81/", "[::1]", 81, "/");
    url("http://a/b/../c/./d/", "http://a/c/d/", "a", 80, "/c/d/");
    url("http://a/?x=/../y", "http://a/?x=/../y", "a", 80, "/?x=/../y");
    url("http://a/%41%2f", "http://a/%41%2f", "a", 80, "/%41%2f");
}
TEST(bad_urls) {
    static const struct {
        const char *s;
        int err;
    } bad[] = {{"", VT_EURL},
               {"http:/a", VT_EURL},
               {"http://", VT_EURL},
               {"http:///x", VT_EURL},
               {"ftp://a/", VT_EURL},
               {"https://a/", VT_ESCHEME},
               {"HTTPS://a/", VT_ESCHEME},
               {"a", VT_EURL},
               {"http://u:p@a/", VT_EURL},
               {"http://a:/", VT_EURL},
               {"http://a:0/", VT_EURL},
               {"http://a:65536/", VT_EURL},
               {"http://a b/", VT_EURL},
               {"http://a/ b", VT_EURL},
               {"http://a/\r\nX: y", VT_EURL},
               {"http://a/\n", VT_EURL},
               {"http://a/\x80", VT_EURL},
               {"http://a/%4", VT_EURL},
               {"http://a/%zz", VT_EURL},
               {"http://a/\"", VT_EURL},
               {"http://a\\b/", VT_EURL},
               {"http://[::1/", VT_EURL}};
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        vt__url u;
        fresh();
        int r = vt__url_parse(&arena, vt__str_of(bad[i].s), &u);
        if (r != bad[i].err) printf("%s\n", bad[i].s);
        CHECK_EQ(r, bad[i].err);
        done();
    }
}
/* RFC 3986 5.4, but for dot segments in what is no path. */
TEST(references) {
    static const char *const rows[][2] = {{"g", "http://a/b/c/g"},
                                          {"./g", "http://a/b/c/g"},
                                          {"g/", "http://a/b/c/g/"},
                                          {"/g", "http://a/g"},
                                          {"//g", "http://g/"},
                                          {"?y", "http://a/b/c/d;p?y"},
                                          {"g?y", "http://a/b/c/g?y"},
                                          {"#s", "http://a/b/c/d;p?q"},
                                          {"g#s", "http://a/b/c/g"},
                                          {"g?y#s", "http://a/b/c/g?y"},
                                          {";x", "http://a/b/c/;x"},
                                          {"", "http://a/b/c/d;p?q"},
                                          {".", "http://a/b/c/"},
                                          {"./", "http://a/b/c/"},
                                          {"..", "http://a/b/"},
                                          {"../", "http://a/b/"},
                                          {"../g", "http://a/b/g"},
                                          {"../..", "http://a/"},
                                          {"../../g", "http://a/g"},
                                          {"../../../g", "http://a/g"},
                                          {"/./g", "http://a/g"},
                                          {"/../g", "http://a/g"},
                                          {"g.", "http://a/b/c/g."},
                                          {"..g", "http://a/b/c/..g"},
                                          {"./g/.", "http://a/b/c/g/"},
                                          {"g/../h", "http://a/b/c/h"},
                                          {"g;x=1/../y", "http://a/b/c/y"},
                                          {"g?y/./x", "http://a/b/c/g?y/./x"},
                                          {":g", "http://a/b/c/:g"}, /* no scheme, so a path (RFC 3986 B) */
                                          {":8080/g?y", "http://a/b/c/:8080/g?y"},
                                          {"http://b:81/x", "http://b:81/x"},
                                          {"HTTP://B", "http://b/"},
                                          {"a b", "http://a/b/c/a%20b"},
                                          {"\xc3\xa9", "http://a/b/c/%C3%A9"}};
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        vt__url base, u = {0};
        fresh();
        CHECK_EQ(vt__url_parse(&arena, VT__STR_LIT("http://a/b/c/d;p?q"), &base), 0);
        CHECK_EQ(vt__url_resolve(&arena, &base, vt__str_of(rows[i][0]), &u), 0);
        CHECK_STR(u.text, rows[i][1]);
        done();
    }
}
TEST(references_to_nowhere) {
    static const char *const rows[] = {"ftp://a/", "mailto:x", "http:",       "http://",
                                       "//",       "http:g",   "javascript:x"};
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        vt__url base, u;
        fresh();
        CHECK_EQ(vt__url_parse(&arena, VT__STR_LIT("http://a/b"), &base), 0);
        CHECK_EQ(vt__url_resolve(&arena, &base, vt__str_of(rows[i]), &u), VT_EURL);
        done();
    }
}
TEST(hosts_without_proxy) {
    static const struct {
        const char *list, *host;
        int want;
    } rows[] = {{NULL, "http://a", 0},
                {"", "http://a", 0},
                {"a", "http://a", 1},
                {"A.B", "http://a.b:80", 1},
                {"b", "http://a.b", 1},
                {".b", "http://a.b", 1},
                {".b", "http://b", 1},
                {"b", "http://ab", 0},
                {"a.b", "http://b", 0},
                {"x, y ,a", "http://a", 1},
                {"x,*", "http://a", 1},
                {",,.,", "http://a", 0},
                {"127.0.0.1", "http://127.0.0.1:8080", 1},
                {"x, ::1", "http://[::1]/", 1},
                {"[::1]", "http://[::1]:8080", 1},
                {"1", "http://[::1]", 0},
                {"::1", "http://[::2]", 0}};
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        vt__url u;
        fresh();
        CHECK_EQ(vt__url_parse(&arena, vt__str_of(rows[i].host), &u), 0);
        CHECK_EQ(vt__url_listed(rows[i].list, &u), rows[i].want);
        done();
    }
}
TEST(configuration) {
    vt_client_cfg d;
    vt_client_cfg_defaults(&d);
    vt_client *c = vt_client_new(NULL);
    CHECK_EQ(c->err, 0);
#define SAME(field) CHECK_EQ(c->cfg.field, d.field)
    SAME(max_connections), SAME(max_connections_host), SAME(max_idle), SAME(max_idle_host);
    SAME(idle_timeout_ms), SAME(connect_timeout_ms), SAME(timeout_ms), SAME(read_timeout_ms);
    SAME(write_timeout_ms), SAME(continue_timeout_ms), SAME(max_response_line), SAME(max_header_bytes);
    SAME(max_header_count), SAME(max_trailer_bytes), SAME(max_body), SAME(max_redirects);
    SAME(tls_min_version), SAME(tls_no_verify), SAME(http2);
    CHECK(!c->cfg.tls_ca_file && !c->cfg.tls_ca_pem && !c->cfg.tls_cert);
    vt_client_free(c);
    c = vt_client_new(&(vt_client_cfg){.max_connections = VT_NONE, .max_header_bytes = VT_NONE});
    CHECK_EQ(c->cfg.max_connections, INT_MAX);
    CHECK_EQ(c->limits.section, 1 << 24);
    vt_client_free(c);
    vt_client_free(NULL);
}
static void proxy_is(const char *proxy, int err, const char *addr) {
    vt_client *c = vt_client_new(&(vt_client_cfg){.proxy = proxy, .no_proxy = "x"});
    CHECK_EQ(c->err, err);
    CHECK_STR(c->proxy.addr, addr);
    vt_client_free(c);
}
TEST(proxies) {
    proxy_is("http://p:3128", 0, "p:3128");
    proxy_is("http://[::1]:3128/", 0, "[::1]:3128");
    proxy_is("http://p", 0, "p:80");
    proxy_is("", 0, NULL);
    proxy_is("p:3128", 0, "p:3128");
    proxy_is("[::1]:3128", 0, "[::1]:3128");
    proxy_is("p:3128/", 0, "p:3128");
    proxy_is("p:x", VT_EPROXY, NULL);
    proxy_is("//p:3128", VT_EPROXY, NULL);
    proxy_is("socks5://p:1080", VT_EPROXY, NULL);
    proxy_is("://p", VT_EPROXY, NULL);
    proxy_is("https://p", VT_EPROXY, NULL);
    proxy_is("http://p/x", VT_EPROXY, NULL);
    setenv("http_proxy", "http://env:1", 1);
    setenv("no_proxy", "a,b", 1);
    proxy_is(NULL, 0, "env:1");
    proxy_is("", 0, NULL);
    vt_client *c = vt_client_new(NULL);
    CHECK_STR(c->no_proxy, "a,b");
    vt_client_free(c);
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    setenv("HTTP_PROXY", "http://cgi:1", 1); /* in a CGI it is a field of the request */
    setenv("NO_PROXY", "c", 1);
    proxy_is(NULL, 0, NULL);
    unsetenv("HTTP_PROXY");
    c = vt_client_new(&(vt_client_cfg){.proxy = "p"});
    CHECK_STR(c->no_proxy, "c");
    vt_client_free(c);
    unsetenv("NO_PROXY");
}
/* RFC 7617 2: user:password in base64. */
static void credentials_are(const char *proxy, int err, const char *auth) {
    vt_client *c = vt_client_new(&(vt_client_cfg){.proxy = proxy});
    CHECK_EQ(c->err, err);
    CHECK_STR(c->proxy.auth, auth);
    if (err == 0) CHECK_STR(c->proxy.addr, "p:3128");
    vt_client_free(c);
}
TEST(credentials_of_proxies) {
    credentials_are("http://p:3128", 0, NULL);
    credentials_are("http://Aladdin:open%20sesame@p:3128", 0, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    credentials_are("http://u@p:3128/", 0, "Basic dTo=");
    credentials_are("http://u:a:b%40c@p:3128", 0, "Basic dTphOmJAYw==");
    credentials_are("http://:@p:3128", 0, "Basic Og==");
    credentials_are("http://u:p@q@p:3128", 0, "Basic dTpwQHE=");
    static const char *const bad[] = {"http://u%3a:p@p:3128", "http://u:%0d%0aX@p:3128",
                                      "http://u:%00@p:3128",  "http://u:%7f@p:3128",
                                      "http://u:%4@p:3128",   "http://u:\r\n@p:3128"};
    for (size_t i = 0; i < VT__COUNT(bad); i++) credentials_are(bad[i], VT_EPROXY, NULL);
    credentials_are("http://", VT_EPROXY, NULL);
    credentials_are("u:p@p:3128", 0, "Basic dTpw");
    credentials_are("://", VT_EPROXY, NULL);
    credentials_are("http:/@", VT_EPROXY, NULL);
}
TEST(off_a_virtual_thread) {
    vt_client *c = vt_client_new(NULL);
    vt_call *call = vt_client_get(c, "http://a/");
    CHECK_EQ(vt_call_status(call), -EPERM);
    CHECK_EQ(vt_call_send(call), -EPERM);
    CHECK_EQ(vt_call_field(call, "a", "b"), -EPERM);
    CHECK_EQ(vt_call_read(call, call, 1), -EPERM);
    CHECK_EQ(vt_call_whole(call), -EPERM);
    CHECK_EQ(vt_call_text(call).len, 0);
    CHECK(!vt_call_res_field(call, "a").ptr);
    CHECK_STR(vt_call_url(call), "");
    vt_call_free(call);
    CHECK_EQ(vt_client_close_idle(c), 0);
    vt_client_free(c);
}
__attribute__((constructor)) static void no_environment(void) {
    unsetenv("http_proxy");
    unsetenv("https_proxy");
    unsetenv("no_proxy");
    unsetenv("HTTPS_PROXY");
    unsetenv("NO_PROXY");
}
