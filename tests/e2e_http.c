/* What the server must be seen to do with HTTP/1.1: requests, parsing, bodies, responses. Each test's number is the
 * behaviour it covers; connections' lives are in e2e_life.c. */
/* tsan */
#include "e2e.h"

#define SLOW (VT__ASAN || VT__TSAN)
#define HOST "Host: a\r\n"

/* Counts and results that handlers leave for the test. */
static int64_t seen[8];
static void note(int i, int64_t v) { __atomic_store_n(&seen[i], v, __ATOMIC_SEQ_CST); }
static int64_t noted(int i) { return __atomic_load_n(&seen[i], __ATOMIC_SEQ_CST); }
static int64_t count(int i) { return __atomic_add_fetch(&seen[i], 1, __ATOMIC_SEQ_CST); }
static void forget(void) {
    for (int i = 0; i < 8; i++) note(i, 0);
}

/* 0 or the write's error. */
static int put(vt_res *res, const char *p, size_t n) {
    int64_t w = vt_res_write(res, p, n);
    return w < 0 ? (int)w : 0;
}
static int h_hello(vt_req *req, vt_res *res) {
    (void)req;
    count(0);
    return vt_res_text(res, 200, "hello");
}
/* The whole body back, and its length in a field. */
static int h_body(vt_req *req, vt_res *res) {
    vt_str body;
    char n[32];
    count(0);
    int r = vt_req_body(req, &body);
    note(1, r);
    if (r < 0) return r;
    snprintf(n, sizeof n, "%zu", body.len);
    vt_res_field(res, "X-Length", n);
    return vt_res_send(res, 200, "application/octet-stream", body.ptr, body.len);
}
/* The body back while it comes. */
static int h_stream(vt_req *req, vt_res *res) {
    char buf[4096];
    int64_t n;
    while ((n = vt_req_read(req, buf, sizeof buf)) > 0) {
        n = vt_res_write(res, buf, (size_t)n);
        if (n < 0) break;
    }
    note(1, n);
    return (int)n;
}
static int h_ignore(vt_req *req, vt_res *res) {
    char n[32];
    count(0);
    snprintf(n, sizeof n, "%lld", (long long)vt_req_body_length(req));
    return vt_res_text(res, 200, n);
}

/* True if the request gets one of the statuses, `Connection: close`, the end, and no handler; and the server goes on. */
static bool refused(const char *request, size_t len, int status, int other) {
    int64_t before = noted(0);
    CL(c);
    CL(next);
    bool ok = cl_open(&c) && cl_send(&c, request, len);
    int got = ok ? cl_response(&c) : -9;
    const char *conn = c.head ? cl_field(&c, "connection") : NULL;
    ok = ok && (got == status || got == other) && conn && strcasecmp(conn, "close") == 0 &&
         cl_closed(&c, E2E_MS);
    ok = ok && noted(0) == before && cl_get(&next, "/") == 200 && strcmp(next.body, "hello") == 0;
    if (!ok) {
        printf("got %d (want %d or %d), connection %s, for:\n", got, status, other, conn ? conn : "-");
        fwrite(request, 1, len < 300 ? len : 300, stdout);
        printf("\n--- body: %s\n", c.body ? c.body : "");
    }
    return ok;
}
#define REFUSED(text, status) CHECK(refused(text, sizeof(text) - 1, status, status))
#define REFUSED2(text, status, status2) CHECK(refused(text, sizeof(text) - 1, status, status2))

static void routes_plain(vt_server *s) {
    vt_server_get(s, "/", h_hello);
    vt_server_post(s, "/", h_body);
    vt_server_post(s, "/body", h_body);
    vt_server_post(s, "/stream", h_stream);
    vt_server_post(s, "/ignore", h_ignore);
}
static bool start_plain(void) {
    forget();
    return e2e_start(NULL, routes_plain) == 0;
}

/* ---- requests, routing inputs, basics ---- */
static int h_redirect(vt_req *req, vt_res *res) {
    vt_str to = vt_req_query(req, "to"), permanent = vt_req_query(req, "p");
    return vt_res_redirect(res, permanent.ptr ? 301 : 302, to.ptr);
}
static int mw_redirect(vt_req *req, vt_res *res, vt_next *next) {
    if (strcmp(vt_req_path(req).ptr, "/old/place") == 0) return vt_res_redirect(res, 301, "/new");
    return vt_next_run(next, req, res);
}
static void routes_redirect(vt_server *s) {
    vt_server_get(s, "/go", h_redirect);
    vt_server_use(s, mw_redirect, NULL);
}
TEST(b001_redirect) {
    REQUIRE(e2e_start(NULL, routes_redirect) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/go?to=/there%3Fx"), 302);
    CHECK_STR(cl_field(&c, "location"), "/there?x");
    CHECK_EQ(cl_get(&c, "/go?p&to=http://example.org/a"), 301);
    CHECK_STR(cl_field(&c, "location"), "http://example.org/a");
    CHECK_EQ(cl_get(&c, "/old/place"), 301);
    CHECK_STR(cl_field(&c, "location"), "/new");
    int status = cl_get(&c, "/go?to=/x%0d%0aSet-Cookie:a=b"); /* refused or encoded, never a second field */
    CHECK(status == 500 || (status == 302 && cl_fields(&c, "location") == 1));
    CHECK_EQ(cl_fields(&c, "set-cookie"), 0);
    CHECK_EQ(e2e_stop(), 0);
}

TEST(b002_fixed_text_has_a_length) {
    REQUIRE(start_plain());
    CL(c);
    CHECK_EQ(cl_get(&c, "/"), 200);
    CHECK_STR(c.body, "hello");
    CHECK_EQ(cl_fields(&c, "content-length"), 1);
    CHECK_EQ(c.length, 5);
    CHECK_EQ(cl_fields(&c, "transfer-encoding"), 0);
    CHECK_EQ(cl_fields(&c, "date"), 1);
    CHECK_EQ(strlen(cl_field(&c, "date")), 29);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_append(vt_req *req, vt_res *res) {
    (void)req;
    CHECK_EQ(vt_res_field_add(res, "X-A", "1"), 0);
    CHECK_EQ(vt_res_field_add(res, "x-a", "2"), 0);
    CHECK_EQ(vt_res_field_add(res, "X-A", "3, 4"), 0);
    CHECK_STR(vt_res_field_get(res, "X-a", 0).ptr, "1");
    CHECK_STR(vt_res_field_get(res, "X-A", 1).ptr, "2");
    CHECK_STR(vt_res_field_get(res, "X-A", 2).ptr, "3, 4");
    CHECK(vt_res_field_get(res, "X-A", 3).ptr == NULL);
    CHECK_EQ(vt_res_field_add(res, "X-B", "gone"), 0);
    CHECK_EQ(vt_res_field_add(res, "X-B", "gone too"), 0);
    CHECK_EQ(vt_res_field(res, "X-B", "one"), 0);
    CHECK_EQ(vt_res_field(res, "X-C", "gone"), 0);
    CHECK_EQ(vt_res_field(res, "X-C", NULL), 0);
    CHECK_EQ(vt_res_field_add(res, "X-Bad", "a\r\nb: c"), VT_EFIELD);
    CHECK_EQ(vt_res_field_add(res, "X Bad", "a"), VT_EFIELD);
    return vt_res_text(res, 200, "");
}
static void routes_append(vt_server *s) { vt_server_get(s, "/", h_append); }
TEST(b003_appended_fields_stay_separate) {
    REQUIRE(e2e_start(NULL, routes_append) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/"), 200);
    CHECK_EQ(cl_fields(&c, "X-A"), 3);
    CHECK_STR(cl_field_at(&c, "X-A", 0), "1");
    CHECK_STR(cl_field_at(&c, "X-A", 1), "2");
    CHECK_STR(cl_field_at(&c, "X-A", 2), "3, 4");
    CHECK_EQ(cl_fields(&c, "X-B"), 1);
    CHECK_STR(cl_field(&c, "X-B"), "one");
    CHECK_EQ(cl_fields(&c, "X-C") + cl_fields(&c, "X-Bad"), 0);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_source(vt_req *req, vt_res *res) {
    if (vt_req_query(req, "length").ptr) vt_res_length(res, 300000);
    for (int i = 0; i < 300; i++) {
        char piece[1000];
        memset(piece, 'x', sizeof piece);
        if (vt_res_write(res, piece, sizeof piece) != sizeof piece) return -EIO;
    }
    note(2, vt_res_bytes(res));
    count(3); /* the source ran to its end and was given up */
    return 0;
}
static void routes_head(vt_server *s) {
    vt_server_get(s, "/", h_hello);
    vt_server_get(s, "/source", h_source);
}
TEST(b004_head_from_get) {
    forget();
    REQUIRE(e2e_start(NULL, routes_head) == 0);
    CL(c);
    REQUIRE(cl_open(&c));
    static const char *const targets[] = {"/", "/source?length", "/source"};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(cl_get(&c, targets[i]), 200);
        int64_t length = c.length;
        bool chunked = c.chunked;
        cl_printf(&c, "HEAD %s HTTP/1.1\r\n" HOST "\r\n", targets[i]);
        CHECK_EQ(cl_response_to(&c, true), 200);
        CHECK_EQ(c.length, length);
        CHECK_EQ(c.chunked, chunked);
        CHECK(cl_silent(&c, 20)); /* not a byte of body */
    }
    WAIT(noted(3) == 4);
    CHECK_EQ(noted(3), 4);
    CHECK_EQ(noted(2), 300000);
    CHECK_EQ(cl_get(&c, "/"), 200); /* and the connection is in step */
    CHECK_STR(c.body, "hello");
    CHECK_EQ(e2e_stop(), 0);
}

static int h_cookie(vt_req *req, vt_res *res) {
    vt_cookie plain = {.name = "id", .value = "a b;c\"d\\e,\xc3\xbc%"};
    vt_cookie full = {.name = "s",
                      .value = "1",
                      .path = "/p",
                      .domain = "example.org",
                      .max_age_s = 60,
                      .secure = 1,
                      .http_only = 1,
                      .same_site = "Lax"};
    vt_cookie bad = {.name = "a b", .value = "1"}, bad_path = {.name = "a", .value = "1", .path = "/;x=y"};
    vt_str which = vt_req_query(req, "which");
    note(1, vt_res_cookie(res, &bad));
    note(2, vt_res_cookie(res, &bad_path));
    int r = vt_res_cookie(res, which.ptr ? &full : &plain);
    return r < 0
               ? r
               : vt_res_text(res, 200, vt_req_cookie(req, "id").ptr ? vt_req_cookie(req, "id").ptr : "none");
}
static void routes_cookie(vt_server *s) { vt_server_get(s, "/", h_cookie); }
TEST(b005_cookie) {
    REQUIRE(e2e_start(NULL, routes_cookie) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/"), 200);
    CHECK_STR(c.body, "none");
    CHECK_EQ(cl_fields(&c, "set-cookie"), 1);
    CHECK_STR(cl_field(&c, "set-cookie"), "id=a%20b%3Bc%22d%5Ce%2C%C3%BC%25");
    CHECK_EQ(noted(1), VT_EFIELD);
    CHECK_EQ(noted(2), VT_EFIELD);
    CHECK_EQ(cl_get(&c, "/?which"), 200);
    const char *v = cl_field(&c, "set-cookie");
    REQUIRE(v != NULL);
    CHECK(strncmp(v, "s=1; ", 5) == 0);
    CHECK(strstr(v, "Path=/p") && strstr(v, "Domain=example.org") && strstr(v, "Max-Age=60"));
    CHECK(strstr(v, "Secure") && strstr(v, "HttpOnly") && strstr(v, "SameSite=Lax"));
    cl_puts(&c, "GET / HTTP/1.1\r\n" HOST "Cookie: x=1; id=two; y=3\r\n\r\n");
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, "two");
    CHECK_EQ(e2e_stop(), 0);
}

static int h_param(vt_req *req, vt_res *res) { return vt_res_text(res, 200, vt_req_param(req, "x").ptr); }
static int h_path(vt_req *req, vt_res *res) { return vt_res_text(res, 200, vt_req_path(req).ptr); }
static void routes_paths(vt_server *s) {
    vt_server_get(s, "/p/{x}", h_param);
    vt_server_get(s, "/t/{x...}", h_param);
    vt_server_get(s, "/two words", h_path);
    vt_server_get(s, "/lit", h_path);
}
TEST(b006_path_segments_are_decoded_for_matching) {
    static const struct {
        const char *target;
        int status;
        const char *body;
    } cases[] = {{"/p/a%20b", 200, "a b"},
                 {"/p/a+b", 200, "a+b"},
                 {"/p/a%2Bb", 200, "a+b"},
                 {"/p/a%2Fb", 200, "a/b"},
                 {"/p/%c3%bc", 200, "\xc3\xbc"},
                 {"/%6Cit", 200, "/lit"},
                 {"/two%20words", 200, "/two words"},
                 {"/two+words", 404, NULL},
                 {"/Lit", 404, NULL},
                 {"/p/a/b", 404, NULL},
                 {"/t/a/b%20c/d", 200, "a/b c/d"},
                 {"/p/%25", 200, "%"},
                 {"/p/%2525", 200, "%25"},
                 {"/p/%0g", 400, NULL},
                 {"/p/%", 400, NULL},
                 {"/p/%00", 400, NULL},
                 {"/t/../lit", 400, NULL},
                 {"/t/%2e%2e/lit", 400, NULL}};
    REQUIRE(e2e_start(NULL, routes_paths) == 0);
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        CL(c);
        int status = cl_get(&c, cases[i].target);
        if (status != cases[i].status) printf("%s: %d\n", cases[i].target, status);
        CHECK_EQ(status, cases[i].status);
        if (cases[i].body) CHECK_STR(c.body, cases[i].body);
        bool close = cl_field(&c, "connection") && strcmp(cl_field(&c, "connection"), "close") == 0;
        CHECK_EQ(close, HTTP1 && cases[i].status == 400);
        if (close) CHECK(cl_closed(&c, E2E_MS));
        else CHECK_EQ(cl_get(&c, "/lit"), 200);
    }
    CHECK_EQ(e2e_stop(), 0);
}

static int h_form(vt_req *req, vt_res *res) {
    vt_str a, b, second;
    int r = vt_req_form(req, "a", &a);
    if (r < 0) return r;
    r = vt_req_form(req, "b", &b);
    int r2 = vt_req_form_at(req, "a", 1, &second);
    vt_str qa = vt_req_query(req, "a"), qb = vt_req_query(req, "b");
    return vt_res_printf(res, 200, "query a=%s b=%s form a=%s b=%s (%d) second=%s", qa.ptr ? qa.ptr : "-",
                         qb.ptr ? qb.ptr : "-", a.ptr, r ? b.ptr : "-", r, r2 ? second.ptr : "-");
}
static void routes_form(vt_server *s) { vt_server_post(s, "/form", h_form); }
TEST(b007_query_and_form_stay_distinct) {
    REQUIRE(e2e_start(NULL, routes_form) == 0);
    CL(c);
    REQUIRE(cl_open(&c));
    cl_puts(
        &c,
        "POST /form?a=1&c=9 HTTP/1.1\r\n" HOST
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 19\r\n\r\na=2&b=x+y%26z&a=%33");
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, "query a=1 b=- form a=2 b=x y&z (1) second=3");
    cl_puts(&c,
            "POST /form?b=q HTTP/1.1\r\n" HOST
            "Content-Type: Application/X-WWW-Form-Urlencoded; charset=utf-8\r\nContent-Length: 3\r\n\r\na=2");
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, "query a=- b=q form a=2 b=- (0) second=-");
    CHECK_EQ(e2e_stop(), 0);
}

static int h_method(vt_req *req, vt_res *res) {
    vt_str body;
    int r = vt_req_body(req, &body);
    return r < 0 ? r : vt_res_printf(res, 200, "%s %s", vt_req_method(req).ptr, body.ptr);
}
static void routes_methods(vt_server *s) {
    vt_server_handle(s, "QUERY", "/q", h_method);
    vt_server_get(s, "/q", h_method);
    vt_server_handle(s, "BREW", "/q", h_method);
    vt_server_any(s, "/any", h_method);
    vt_server_put(s, "/q", h_method);
    vt_server_delete(s, "/q", h_method);
}
TEST(b008_any_method_may_have_a_body) {
    static const char *const methods[] = {"QUERY", "GET", "BREW", "PUT", "DELETE"};
    REQUIRE(e2e_start(NULL, routes_methods) == 0);
    CL(c);
    REQUIRE(cl_open(&c));
    for (int i = 0; i < 10; i++) {
        char want[32];
        cl_printf(&c, "%s %s HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbody", methods[i % 5],
                  i < 5 ? "/q" : "/any");
        CHECK_EQ(cl_response(&c), 200);
        snprintf(want, sizeof want, "%s body", methods[i % 5]);
        CHECK_STR(c.body, want);
    }
    cl_puts(&c, "POST /q HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbody");
    CHECK_EQ(cl_response(&c), 405);
    static const char *const allow[] = {"QUERY", "GET", "HEAD", "BREW", "PUT", "DELETE", "OPTIONS"};
    for (int i = 0; i < 7; i++) CHECK(cl_field(&c, "allow") && strstr(cl_field(&c, "allow"), allow[i]));
    cl_puts(&c, "OPTIONS /q HTTP/1.1\r\n" HOST "\r\n");
    int status = cl_response(&c);
    CHECK(status == 200 || status == 204);
    CHECK(cl_field(&c, "allow") && strstr(cl_field(&c, "allow"), "BREW"));
    cl_puts(&c, "brew /q HTTP/1.1\r\n" HOST "\r\n"); /* methods are case-sensitive */
    CHECK_EQ(cl_response(&c), 405);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b009_connection_close_ends_after_the_reply) {
    REQUIRE(start_plain());
    for (int i = 0; i < 3; i++) {
        CL(c);
        CHECK_EQ(cl_ask(&c, i == 2 ? "GET / HTTP/1.0\r\n\r\n"
                                   : "GET / HTTP/1.1\r\n" HOST "Connection: Close\r\n\r\n"),
                 200);
        CHECK_STR(c.body, "hello");
        const char *conn = cl_field(&c, "connection");
        CHECK(conn && strcasecmp(conn, "close") == 0);
        CHECK(cl_closed(&c, E2E_MS));
    }
    CL(c); /* a request behind one that closes is not answered */
    REQUIRE(cl_open(&c));
    cl_puts(&c, "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
    CHECK_EQ(cl_response(&c), 200);
    CHECK(cl_closed(&c, E2E_MS));
    CHECK_EQ(noted(0), 4);
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b010_keep_alive) {
    REQUIRE(start_plain());
    CL(c);
    REQUIRE(cl_open(&c));
    for (int i = 0; i < 100; i++) {
        cl_puts(&c, i % 2 ? "GET / HTTP/1.1\r\n" HOST "\r\n"
                          : "GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\n\r\n");
        CHECK_EQ(cl_response(&c), 200);
        CHECK_STR(c.body, "hello");
    }
    for (int i = 0; i < 3; i++) { /* HTTP/1.0 asks for it */
        cl_puts(&c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        CHECK_EQ(cl_response(&c), 200);
        const char *conn = cl_field(&c, "connection");
        CHECK(conn && strcasecmp(conn, "keep-alive") == 0);
    }
    CHECK_EQ(noted(0), 103);
    CHECK_EQ(e2e_stop(), 0);
}

static int page_404(vt_req *req, vt_res *res) {
    (void)req;
    CHECK_EQ(vt_res_status_get(res), 404);
    return vt_res_html(res, 200, "<h1>nothing</h1>"); /* the status is set and kept */
}
static int page_any(vt_req *req, vt_res *res) {
    return vt_res_printf(res, vt_res_status_get(res), "page for %s", vt_req_method(req).ptr);
}
static void routes_pages(vt_server *s) {
    vt_server_get(s, "/", h_hello);
    vt_server_error_page(s, 404, page_404);
    vt_server_error_page(s, 0, page_any);
}
TEST(b011_no_route) {
    REQUIRE(start_plain());
    CL(c);
    CHECK_EQ(cl_get(&c, "/none"), 404);
    CHECK(c.has_length);
    CHECK_EQ(cl_get(&c, "/"), 200);
    CHECK_EQ(e2e_stop(), 0);
    REQUIRE(e2e_start(NULL, routes_pages) == 0);
    CL(d);
    CHECK_EQ(cl_get(&d, "/none"), 404);
    CHECK_STR(d.body, "<h1>nothing</h1>");
    cl_puts(&d, "PUT / HTTP/1.1\r\n" HOST "\r\n");
    CHECK_EQ(cl_response(&d), 405);
    CHECK_STR(d.body, "page for PUT");
    CHECK(cl_field(&d, "allow") != NULL);
    cl_puts(&d, "HEAD /none HTTP/1.1\r\n" HOST "\r\n");
    CHECK_EQ(cl_response_to(&d, true), 404);
    CHECK_EQ(cl_get(&d, "/"), 200);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_addresses(vt_req *req, vt_res *res) {
    return vt_res_printf(res, 200, "%s %s", vt_req_peer(req), vt_req_local(req));
}
static void routes_addresses(vt_server *s) { vt_server_get(s, "/", h_addresses); }
TEST(b012_addresses_of_the_connection) {
    REQUIRE(e2e_start(NULL, routes_addresses) == 0);
    CL(c);
    REQUIRE(cl_open(&c));
    struct sockaddr_in sa;
    socklen_t n = sizeof sa;
    REQUIRE(getsockname(CL_SOCKET(&c), (struct sockaddr *)&sa, &n) == 0);
    char want[100];
    snprintf(want, sizeof want, "127.0.0.1:%d 127.0.0.1:%d", ntohs(sa.sin_port), e2e.port);
    cl_puts(&c, "GET / HTTP/1.1\r\n" HOST "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\r\n");
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, want);
    CHECK_EQ(cl_get(&c, "/"), 200);
    CHECK_STR(c.body, want);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_query(vt_req *req, vt_res *res) {
    const char *values[4];
    for (size_t i = 0; i < 4; i++) {
        vt_str v = vt_req_query_at(req, "a", i);
        values[i] = v.ptr ? v.ptr : "(none)";
        if (v.ptr) CHECK_EQ(strlen(v.ptr), v.len);
    }
    vt_str raw = vt_req_raw_query(req);
    return vt_res_printf(res, 200, "%s|%s|%s|%s raw %s", values[0], values[1], values[2], values[3],
                         raw.ptr ? raw.ptr : "(none)");
}
static void routes_query(vt_server *s) { vt_server_get(s, "/", h_query); }
struct text_case {
    const char *target, *body;
};
static void check_texts(const struct text_case *cases, size_t n) {
    CL(c);
    for (size_t i = 0; i < n; i++) {
        if (!HTTP1 && cases[i].target[0] != '/') continue;
        CHECK_EQ(cl_get(&c, cases[i].target), 200);
        CHECK_STR(c.body, cases[i].body);
    }
}
TEST(b013_repeated_missing_and_empty_query_names) {
    static const struct text_case cases[] = {{"/?a=1&b=x&a=2&a=3", "1|2|3|(none) raw a=1&b=x&a=2&a=3"},
                                             {"/", "(none)|(none)|(none)|(none) raw (none)"},
                                             {"/?", "(none)|(none)|(none)|(none) raw "},
                                             {"/?b=1", "(none)|(none)|(none)|(none) raw b=1"},
                                             {"/?a", "|(none)|(none)|(none) raw a"},
                                             {"/?a=", "|(none)|(none)|(none) raw a="},
                                             {"/?&&a=1&&", "1|(none)|(none)|(none) raw &&a=1&&"},
                                             {"/?%61=1&A=2", "1|(none)|(none)|(none) raw %61=1&A=2"},
                                             {"/?a=b=c", "b=c|(none)|(none)|(none) raw a=b=c"}};
    REQUIRE(e2e_start(NULL, routes_query) == 0);
    check_texts(cases, VT__COUNT(cases));
    CHECK_EQ(e2e_stop(), 0);
}

static int h_status_first(vt_req *req, vt_res *res) {
    (void)req;
    int r = vt_res_status(res, 201);
    vt_res_type(res, "text/x");
    return r < 0 ? r : put(res, "made", 4);
}
static int h_status_only(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_status(res, 202);
}
/* Parks between the status and the body. */
static int h_status_later(vt_req *req, vt_res *res) {
    (void)req;
    int r = vt_res_status(res, 203);
    if (r == 0) r = vt_sleep_ms(30);
    return r < 0 ? r : put(res, "later", 5);
}
static void routes_status(vt_server *s) {
    vt_server_get(s, "/later", h_status_later);
    vt_server_get(s, "/first", h_status_first);
    vt_server_get(s, "/only", h_status_only);
}
TEST(b014_status_first_or_only) {
    REQUIRE(e2e_start(NULL, routes_status) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/first"), 201);
    CHECK_STR(c.body, "made");
    CHECK_STR(cl_field(&c, "content-type"), "text/x");
    CHECK_EQ(cl_get(&c, "/later"), 203);
    CHECK_STR(c.body, "later");
    CHECK_EQ(cl_get(&c, "/only"), 202);
    CHECK_EQ(c.body_len, 0);
    CHECK(c.has_length && c.length == 0);
    CHECK_EQ(cl_get(&c, "/only"), 202);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_accessors(vt_req *req, vt_res *res) {
    vt_str q = vt_req_raw_query(req);
    return vt_res_printf(res, 200, "%s %s %s %s %s %s", vt_req_path(req).ptr, vt_req_raw_path(req).ptr,
                         vt_req_segment(req).ptr,
                         !q.ptr  ? "-"
                         : q.len ? q.ptr
                                 : "(empty)",
                         vt_req_target(req).ptr, vt_req_scheme(req));
}
static void routes_accessors(vt_server *s) { vt_server_get(s, "/{all...}", h_accessors); }
TEST(b016_accessors_of_the_target) {
    static const struct text_case cases[] = {
        {"/a/b/c%20d?x=1", "/a/b/c d /a/b/c%20d c d x=1 /a/b/c%20d?x=1 " E2E_SCHEME},
        {"/a?", "/a /a a (empty) /a? " E2E_SCHEME},
        {"/a", "/a /a a - /a " E2E_SCHEME},
        {"/", "/ /  - / " E2E_SCHEME},
        {"/a/?b?c", "/a/ /a/  b?c /a/?b?c " E2E_SCHEME},
        {"/a+b", "/a+b /a+b a+b - /a+b " E2E_SCHEME},
        {"http://a/x/y?z", "/x/y /x/y y z http://a/x/y?z " E2E_SCHEME}};
    REQUIRE(e2e_start(NULL, routes_accessors) == 0);
    check_texts(cases, VT__COUNT(cases));
    CHECK_EQ(e2e_stop(), 0);
}

static int h_fields(vt_req *req, vt_res *res) {
    vt_str joined = vt_req_field(req, "x-many"), second = vt_req_field_at(req, "X-MANY", 1),
           none = vt_req_field(req, "X-None");
    vt_str name, value;
    size_t n = 0;
    while (vt_req_field_nth(req, n, &name, &value)) n++;
    CHECK(none.ptr == NULL && vt_req_field_at(req, "X-Many", 3).ptr == NULL);
    return vt_res_printf(res, 200, "%s|%s|%zu", joined.ptr, second.ptr, n);
}
static void routes_fields(vt_server *s) { vt_server_get(s, "/", h_fields); }
TEST(b017_fields_of_one_name) {
    REQUIRE(e2e_start(NULL, routes_fields) == 0);
    CL(c);
    CHECK_EQ(
        cl_ask(&c, "GET / HTTP/1.1\r\n" HOST "X-Many: a\r\nX-Other: o\r\nx-many: b, c\r\nX-MANY:\r\n\r\n"),
        200);
    CHECK_STR(c.body, "a, b, c, |b, c|5");
    CHECK_EQ(e2e_stop(), 0);
}

static int h_nothing(vt_req *req, vt_res *res) {
    if (vt_req_query(req, "status").ptr) vt_res_status(res, 203);
    if (vt_req_query(req, "field").ptr) vt_res_field(res, "X-Set", "yes");
    return 0;
}
static void routes_nothing(vt_server *s) { vt_server_get(s, "/", h_nothing); }
TEST(b018_a_handler_that_sends_nothing) {
    REQUIRE(e2e_start(NULL, routes_nothing) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/?status&field"), 203);
    CHECK_STR(cl_field(&c, "x-set"), "yes");
    CHECK_EQ(c.body_len, 0);
    CHECK_EQ(cl_get(&c, "/?status"), 203);
    CHECK_EQ(cl_get(&c, "/?field"), 200);
    CHECK_STR(cl_field(&c, "x-set"), "yes");
    CHECK_EQ(cl_get(&c, "/"), 404);
    CHECK_EQ(e2e_stop(), 0);
}

TEST(b019_semicolon_is_no_separator) {
    static const struct text_case cases[] = {{"/?a=1;b=2&c=3", "1;b=2|(none)|(none)|(none) raw a=1;b=2&c=3"},
                                             {"/?x=1;a=2", "(none)|(none)|(none)|(none) raw x=1;a=2"}};
    REQUIRE(e2e_start(NULL, routes_query) == 0);
    check_texts(cases, VT__COUNT(cases));
    CHECK_EQ(e2e_stop(), 0);
}

TEST(b020_raw_and_decoded_query) {
    static const struct text_case cases[] = {
        {"/?a=x%26y&a=%2B&a=+&a=%20%3D", "x&y|+| | = raw a=x%26y&a=%2B&a=+&a=%20%3D"},
        {"/?a=%c3%bc%25", "\xc3\xbc%|(none)|(none)|(none) raw a=%c3%bc%25"}};
    REQUIRE(e2e_start(NULL, routes_query) == 0);
    check_texts(cases, VT__COUNT(cases));
    CHECK_EQ(e2e_stop(), 0);
}

static int64_t read_upper(vt_req *req, void *ctx, void *buf, size_t n) {
    int64_t r = vt_req_read_below(req, buf, n);
    (void)ctx;
    for (int64_t i = 0; i < r; i++) ((char *)buf)[i] = (char)toupper(((unsigned char *)buf)[i]);
    return r;
}
static int mw_edit(vt_req *req, vt_res *res, vt_next *next) {
    CHECK_EQ(vt_req_field_set(req, "X-Replace", "new"), 0);
    CHECK_EQ(vt_req_field_set(req, "X-Drop", NULL), 0);
    CHECK_EQ(vt_req_field_set(req, "X-Add", "added"), 0);
    CHECK_EQ(vt_req_field_set(req, "X Bad", "x"), VT_EFIELD);
    CHECK_EQ(vt_req_body_wrap(req, read_upper, NULL), 0);
    return vt_next_run(next, req, res);
}
static int h_edited(vt_req *req, vt_res *res) {
    vt_str body, replace = vt_req_field(req, "X-Replace"), drop = vt_req_field(req, "X-Drop"),
                 add = vt_req_field(req, "X-Add");
    int r = vt_req_body(req, &body);
    if (r < 0) return r;
    CHECK(vt_req_field_at(req, "X-Replace", 1).ptr == NULL);
    return vt_res_printf(res, 200, "%s %s %s %s", replace.ptr, drop.ptr ? drop.ptr : "-", add.ptr, body.ptr);
}
static void routes_edit(vt_server *s) {
    vt_server_post(s, "/", h_edited);
    vt_server_use(s, mw_edit, NULL);
}
TEST(b021_middleware_edits_the_request) {
    REQUIRE(e2e_start(NULL, routes_edit) == 0);
    CL(c);
    REQUIRE(cl_open(&c));
    for (int i = 0; i < 2; i++) {
        cl_puts(&c,
                "POST / HTTP/1.1\r\n" HOST "X-Replace: old\r\nX-Drop: 1\r\nx-replace: older\r\nX-DROP: 2\r\n"
                "Content-Length: 5\r\n\r\nabcde");
        CHECK_EQ(cl_response(&c), 200);
        CHECK_STR(c.body, "new - added ABCDE");
    }
    CHECK_EQ(e2e_stop(), 0);
}

static int mw_stop(vt_req *req, vt_res *res, vt_next *next) {
    count(1);
    if (vt_req_query(req, "stop").ptr) return vt_res_text(res, 403, vt_next_ctx(next));
    int r = vt_next_run(next, req, res);
    count(2);
    return r;
}
static int mw_later(vt_req *req, vt_res *res, vt_next *next) {
    count(3);
    return vt_next_run(next, req, res);
}
static char stop_text[] = "stopped";
static void routes_stop(vt_server *s) {
    vt_route *r = vt_server_get(s, "/", h_hello);
    vt_server_use(s, mw_stop, stop_text);
    vt_server_use(s, mw_later, NULL);
    vt_route_use(r, mw_later, NULL);
}
TEST(b022_middleware_that_answers_stops_the_chain) {
    forget();
    REQUIRE(e2e_start(NULL, routes_stop) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/?stop"), 403);
    CHECK_STR(c.body, "stopped");
    CHECK_EQ(noted(0) + noted(2) + noted(3), 0);
    CHECK_EQ(cl_get(&c, "/"), 200);
    WAIT(noted(2) == 1); /* counted behind the answer */
    CHECK_EQ(noted(0), 1);
    CHECK_EQ(noted(1), 2);
    CHECK_EQ(noted(2), 1);
    CHECK_EQ(noted(3), 2);
    CHECK_EQ(cl_get(&c, "/none"), 404); /* around unrouted requests too */
    CHECK_EQ(noted(1), 3);
    CHECK_EQ(noted(0), 1);
    CHECK_EQ(e2e_stop(), 0);
}

TEST(b024_undecodable_query) {
    REQUIRE(start_plain());
    static const char *const targets[] = {"/?%s%", "/?a=%", "/?a=%1", "/?%zz=1", "/?a=1&b=%G0"};
    for (size_t i = 0; i < VT__COUNT(targets); i++) {
        CL(c);
        CHECK_EQ(cl_get(&c, targets[i]), 400);
        CL(next);
        CHECK_EQ(cl_get(&next, "/"), 200);
    }
    CHECK_EQ(noted(0), 5);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_host(vt_req *req, vt_res *res) {
    return vt_res_printf(res, 200, "%s %d", vt_req_host(req).ptr, vt_req_port(req));
}
static void routes_host(vt_server *s) {
    vt_server_get(s, "/", h_host);
    vt_server_listen(s, "[::1]:0");
}
static bool has_v6(void) {
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0;
    if (fd >= 0) close(fd);
    return ok;
}
TEST(b025_ipv6_host) {
    if (!has_v6()) SKIP("no IPv6 on this machine");
    REQUIRE(e2e_start(NULL, routes_host) == 0);
    CL(c);
#if E2E_H3 /* by IPv4: it is about what is said */
    REQUIRE(cl_open(&c));
#else
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    sa.sin6_port = htons((uint16_t)vt_server_port(e2e.s, 1));
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    REQUIRE(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 && cl_fd_take(&c, fd) &&
            cl_begin(&c));
#endif
    cl_puts(&c, "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n");
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, "[::1] 8080");
    cl_puts(&c, "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, E2E_H3 ? "[::1] 443" : "[::1] 80");
    cl_puts(&c, "GET / HTTP/1.1\r\nHost: Example.ORG:81\r\n\r\n");
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, "Example.ORG 81");
    CHECK_EQ(e2e_stop(), 0);
}

/* ---- parsing and smuggling ---- */
HTTP1_TEST(b026_versions) {
    REQUIRE(start_plain());
    REFUSED2("GET / HTTP/1.6\r\n" HOST "\r\n", 505, 400);
    REFUSED2("GET / HTTP/2.0\r\n" HOST "\r\n", 505, 400);
    REFUSED2("GET / HTTP/0.9\r\n" HOST "\r\n", 505, 400);
    REFUSED("GET / HTTP/1.01\r\n" HOST "\r\n", 400);
    REFUSED("GET / HTTP/01.1\r\n" HOST "\r\n", 400);
    REFUSED("GET / HTPT/1.1\r\n" HOST "\r\n", 400);
    REFUSED("GET / http/1.1\r\n" HOST "\r\n", 400);
    REFUSED("GET / HTTP/1,1\r\n" HOST "\r\n", 400);
    REFUSED("GET / HTTP/1.1 \r\n" HOST "\r\n", 400);
    REFUSED("GET  / HTTP/1.1\r\n" HOST "\r\n", 400);
    REFUSED("GET /\r\n" HOST "\r\n", 400);
    REFUSED("GET / x HTTP/1.1\r\n" HOST "\r\n", 400);
    REFUSED("GET\t/ HTTP/1.1\r\n" HOST "\r\n", 400);
    REFUSED(" GET / HTTP/1.1\r\n" HOST "\r\n", 400);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b027_host_is_checked) {
    REQUIRE(start_plain());
    REFUSED("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", 400);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b028_two_hosts) {
    REQUIRE(start_plain());
    REFUSED("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: a\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nX: y\r\n\r\n", 400); /* none */
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b029_transfer_encoding_with_vertical_tab) {
    REQUIRE(start_plain());
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\v\r\n\r\n0\r\n\r\n", 400);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\x0c"
            "chunked\r\n\r\n0\r\n\r\n",
            400);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b030_chunked_must_be_last) {
    REQUIRE(start_plain());
    REFUSED2("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n", 400, 501);
    REFUSED2("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: x\r\n\r\n0\r\n\r\n", 400, 501);
    REFUSED2("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, 501);
    REFUSED2("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400, 501);
    REFUSED2("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, 501);
    REFUSED2("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
             400, 501);
    REFUSED2("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \r\n\r\n0\r\n\r\n", 400, 501);
    REFUSED("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    CL(c); /* the name is case-insensitive */
    CHECK_EQ(cl_ask(&c, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
             200);
    CHECK_STR(c.body, "hi");
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b031_length_and_transfer_encoding) {
    REQUIRE(start_plain());
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            400);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nabcde", 400);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\nabcde", 400);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\nabcde", 400);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\nabcde", 400);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n", 400);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b032_space_in_a_field_name) {
    REQUIRE(start_plain());
    REFUSED("GET / HTTP/1.1\r\n" HOST "X-A : b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\n" HOST "X-A\t: b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\n" HOST "X A: b\r\n\r\n", 400);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\nabcde", 400);
    REFUSED("GET / HTTP/1.1\r\n X: y\r\n" HOST "\r\n", 400);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b033_empty_field_name) {
    REQUIRE(start_plain());
    REFUSED("GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\n" HOST "nocolon\r\n\r\n", 400);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b034_delimiters_in_field_names) {
    REQUIRE(start_plain());
    for (const char *p = "()<>@,;\\\"/[]?={}\x7f\x80\xff\x01\x0b"; *p; p++) {
        char text[100];
        int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "X%cA: b\r\n\r\n", *p);
        CHECK(refused(text, (size_t)n, 400, 400));
    }
    REFUSED("GET / HTTP/1.1\r\n" HOST "X\0A: b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\n" HOST "X-A: b\0c\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\n" HOST "X-A: b\x01"
            "c\r\n\r\n",
            400);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b035_line_folding) {
    REQUIRE(start_plain());
    REFUSED("GET / HTTP/1.1\r\n" HOST "X-A: b\r\n c\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\n" HOST "X-A: b\r\n\tc\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\n" HOST "X-A:\r\n b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\n" HOST "X-A: b\nX-B: c\r\n\r\n", 400); /* bare LF, bare CR */
    REFUSED("GET / HTTP/1.1\r\n" HOST "X-A: b\rX-B: c\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\nHost: a\n\n", 400);
    REFUSED("GET / HTTP/1.1\r\r\n" HOST "\r\n", 400);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_trimmed(vt_req *req, vt_res *res) {
    vt_str a = vt_req_field(req, "a"), b = vt_req_field(req, "b"), d = vt_req_field(req, "d");
    return vt_res_printf(res, 200, "[%s][%s][%s]%zu", a.ptr, b.ptr, d.ptr, b.len);
}
static void routes_trimmed(vt_server *s) { vt_server_get(s, "/", h_trimmed); }
HTTP1_TEST(b036_space_around_values) {
    REQUIRE(e2e_start(NULL, routes_trimmed) == 0);
    CL(c);
    CHECK_EQ(cl_ask(&c, "GET / HTTP/1.1\r\n" HOST "A: \t x y\t \r\nB:\r\nC: \r\nD:z\r\n\r\n"), 200);
    CHECK_STR(c.body, "[x y][][z]0");
    cl_puts(&c, "GET / HTTP/1.1\r\n" HOST "A:\t\t\r\nB: \t\r\nD: a\tb\r\n\r\n");
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, "[][][a\tb]0");
    CHECK_EQ(e2e_stop(), 0);
}

/* A chunked body that the handler's read must refuse with VT_EHTTP: 400 and close. */
static void bad_chunks(const char *body, size_t n) {
    char text[512];
    int head = snprintf(text, sizeof text,
                        "POST /body HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    memcpy(text + head, body, n);
    note(1, 0);
    CL(c);
    CL(next);
    REQUIRE(cl_open(&c) && cl_send(&c, text, (size_t)head + n));
    int status = cl_response(&c);
    const char *conn = c.head ? cl_field(&c, "connection") : "";
    if (status != 400 || noted(1) != VT_EHTTP)
        printf("status %d, read %lld, for: %s\n", status, (long long)noted(1), body);
    CHECK_EQ(status, 400);
    CHECK(conn && strcasecmp(conn, "close") == 0);
    CHECK(cl_closed(&c, E2E_MS));
    CHECK_EQ(noted(1), VT_EHTTP);
    CHECK_EQ(cl_get(&next, "/"), 200);
}
#define BAD_CHUNKS(text) bad_chunks(text, sizeof(text) - 1)

HTTP1_TEST(b037_chunk_without_its_crlf) {
    REQUIRE(start_plain());
    BAD_CHUNKS("3\r\nabc0\r\n\r\n");
    BAD_CHUNKS("3\r\nabcd\r\n0\r\n\r\n");
    BAD_CHUNKS("3\r\nabc\r0\r\n\r\n");
    BAD_CHUNKS("3\rabc\r\n0\r\n\r\n");
    BAD_CHUNKS("3\r\nabc\rX0\r\n\r\n");
    BAD_CHUNKS("3\r\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("0\r\rX");
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b038_bare_lf_and_bad_sizes_in_chunks) {
    REQUIRE(start_plain());
    BAD_CHUNKS("3\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("3\r\nabc\n0\r\n\r\n");
    BAD_CHUNKS("3\r\nabc\r\n0\n\r\n");
    BAD_CHUNKS("3\r\nabc\r\n0\r\n\n");
    BAD_CHUNKS("\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("0x3\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("+3\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("-3\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS(" 3\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("g\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("3g\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("ffffffffffffffffff\r\nabc\r\n0\r\n\r\n");
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b039_chunk_extensions) {
    REQUIRE(start_plain());
    CL(c);
    REQUIRE(cl_open(&c));
    static const char *const good[] = {"3;a=b\r\nabc\r\n0\r\n\r\n", "3;a\r\nabc\r\n0;x=y\r\n\r\n",
                                       "3;a=\"q;\\\"r\";b=c\r\nabc\r\n0\r\n\r\n",
                                       "3\r\nabc\r\n0;last=\"\"\r\n\r\n"};
    for (size_t i = 0; i < VT__COUNT(good); i++) {
        cl_printf(&c, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%s", good[i]);
        CHECK_EQ(cl_response(&c), 200);
        CHECK_STR(c.body, "abc");
    }
    BAD_CHUNKS("3;a=b\nc\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("3;a=b\rc\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("3;a=\"b\nc\"\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("3;a=\"b\r\nc\"\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("3;a=\"b\r\n\r\nabc\r\n0\r\n\r\n");
    BAD_CHUNKS("0;a\n\r\n\r\n");
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b040_end_of_a_chunked_body) {
    REQUIRE(start_plain());
    static const char *const cut[] = {
        "0", "0\r", "0\r\n", "0\r\n\r", "3\r\nabc", "3\r\nabc\r\n", "3\r\nabc\r\n0\r\nX: y\r\n"};
    for (size_t i = 0; i < VT__COUNT(cut); i++) {
        CL(c);
        note(1, 1);
        REQUIRE(cl_open(&c));
        cl_printf(&c, "POST /body HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%s", cut[i]);
        cl_shut(&c);
        WAIT(noted(1) != 1);
        CHECK_EQ(noted(1), VT_EEOF);
    }
    CL(c); /* what follows the final CRLF is the next request */
    REQUIRE(cl_open(&c));
    cl_puts(&c, "POST / HTTP/1.1\r\n" HOST
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\nGET / HTTP/1.1\r\n" HOST
                "\r\n");
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, "abc");
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, "hello");
    CHECK_EQ(e2e_stop(), 0);
}

static int h_count_fields(vt_req *req, vt_res *res) {
    vt_str name, value;
    size_t n = 0;
    while (vt_req_field_nth(req, n, &name, &value)) n++;
    return vt_res_printf(res, 200, "%zu", n);
}
static void routes_limits(vt_server *s) {
    vt_server_get(s, "/", h_hello);
    vt_server_get(s, "/count", h_count_fields);
    vt_server_post(s, "/body", h_body);
}
TEST(b041_many_fields) {
    static char text[20000];
    int n = snprintf(text, sizeof text, "GET /count HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 500; i++) n += snprintf(text + n, sizeof text - (size_t)n, "X-%d: %d\r\n", i, i);
    snprintf(text + n, sizeof text - (size_t)n, "\r\n");
    vt_server_cfg cfg = {.max_header_bytes = 65536};
    forget();
    REQUIRE(e2e_start(&cfg, routes_limits) == 0);
    CL(c);
    CHECK_EQ(cl_ask(&c, text), 200);
    CHECK_STR(c.body, "501");
    CHECK_EQ(e2e_stop(), 0);
}
HTTP1_TEST(b041_large_fields) {
    static char text[200000];
    vt_server_cfg cfg = {.max_header_bytes = 65536};
    REQUIRE(e2e_start(&cfg, routes_limits) == 0);
    int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "X: ");
    memset(text + n, 'x', 70000); /* one field over */
    memcpy(text + n + 70000, "\r\n\r\n", 5);
    CHECK(refused(text, strlen(text), 431, 431));
    n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "X"); /* a name over, never ended */
    memset(text + n, 'x', 70000);
    CHECK(refused(text, (size_t)n + 70000, 431, 431));
    n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST); /* the section over, by 900 small ones */
    for (int i = 0; i < 900; i++) n += snprintf(text + n, sizeof text - (size_t)n, "X-%03d: %060d\r\n", i, i);
    snprintf(text + n, sizeof text - (size_t)n, "\r\n");
    CHECK(refused(text, strlen(text), 431, 431));
    n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST); /* a count over */
    for (int i = 0; i < 1001; i++) n += snprintf(text + n, sizeof text - (size_t)n, "X:\r\n");
    snprintf(text + n, sizeof text - (size_t)n, "\r\n");
    CHECK(refused(text, strlen(text), 431, 431));
    CHECK_EQ(e2e_stop(), 0);
}

/* "Host: a" counts 4 + 1 + 32, a field "X" of n bytes 1 + n + 32. */
static int ask_section(size_t value) {
    static char text[40000];
    CL(c);
    int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "X: ");
    memset(text + n, 'x', value);
    memcpy(text + (size_t)n + value, "\r\n\r\n", 5);
    return cl_ask(&c, text);
}
HTTP1_TEST(b042_header_section_limit) {
    vt_server_cfg cfg = {.max_header_bytes = 1000};
    REQUIRE(e2e_start(&cfg, routes_limits) == 0);
    CHECK_EQ(ask_section(1000 - 37 - 33), 200);
    CHECK_EQ(ask_section(1000 - 37 - 32), 431);
    CHECK_EQ(e2e_stop(), 0);
    REQUIRE(e2e_start(NULL, routes_limits) == 0);
    CHECK_EQ(ask_section(16384 - 37 - 33), 200); /* the default */
    CHECK_EQ(ask_section(16384 - 37 - 32), 431);
    CHECK_EQ(e2e_stop(), 0);
}

static int ask_line(size_t len) { /* a request line of `len` bytes without its CRLF */
    static char text[20000];
    CL(c);
    memcpy(text, "GET /?", 6);
    memset(text + 6, 'q', len - 15);
    memcpy(text + len - 9, " HTTP/1.1\r\n" HOST "\r\n", 23);
    return cl_ask(&c, text);
}
static int ask_chunk_line(size_t len) {
    char text[2000];
    CL(c);
    int n = snprintf(text, sizeof text,
                     "POST /body HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2;");
    memset(text + n, 'e', len - 2);
    memcpy(text + (size_t)n + len - 2, "\r\nhi\r\n0\r\n\r\n", 12);
    return cl_ask(&c, text);
}
HTTP1_TEST(b043_request_line_chunk_and_header_limits) {
    vt_server_cfg cfg = {.max_request_line = 500, .max_chunk_line = 100, .max_header_count = 3};
    REQUIRE(e2e_start(&cfg, routes_limits) == 0);
    CHECK_EQ(ask_line(500), 200);
    CHECK_EQ(ask_line(501), 414);
    CHECK_EQ(ask_line(10000), 414);
    CHECK_EQ(ask_chunk_line(90), 200);
    CHECK_EQ(ask_chunk_line(110), 400);
    CL(c);
    CHECK_EQ(cl_ask(&c, "GET / HTTP/1.1\r\n" HOST "A:\r\nB:\r\n\r\n"), 200);
    CL(d);
    CHECK_EQ(cl_ask(&d, "GET / HTTP/1.1\r\n" HOST "A:\r\nB:\r\nC:\r\n\r\n"), 431);
    cl_close(&d);
    CHECK_EQ(e2e_stop(), 0);
    REQUIRE(e2e_start(NULL, routes_limits) == 0);
    CHECK_EQ(ask_line(8192), 200); /* the default */
    CHECK_EQ(ask_line(8193), 414);
    CHECK_EQ(e2e_stop(), 0);
}

static int ask_trailer(size_t value) { /* one trailer field counts 1 + value + 32 */
    static char text[10000];
    CL(c);
    int n = snprintf(text, sizeof text,
                     "POST /body HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: ");
    memset(text + n, 't', value);
    memcpy(text + (size_t)n + value, "\r\n\r\n", 5);
    return cl_ask(&c, text);
}
HTTP1_TEST(b043_trailer_limit) {
    vt_server_cfg cfg = {.max_trailer_bytes = 1000};
    REQUIRE(e2e_start(&cfg, routes_limits) == 0);
    CHECK_EQ(ask_trailer(1000 - 33), 200);
    CHECK_EQ(ask_trailer(1000 - 32), 400);
    CHECK_EQ(e2e_stop(), 0);
    REQUIRE(e2e_start(NULL, routes_limits) == 0);
    CHECK_EQ(ask_trailer(8192 - 33), 200); /* the default */
    CHECK_EQ(ask_trailer(8192 - 32), 400);
    CHECK_EQ(e2e_stop(), 0);
}
static int h_room(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_printf(res, 200, "%zu", vt__stack_g.stride - vt__stack_g.guard);
}
static void routes_cfg(vt_server *s) {
    vt_server_get(s, "/", h_hello);
    vt_server_get(s, "/room", h_room);
}
TEST(b043_date_and_stacks_as_configured) {
    vt_cfg rt;
    vt_cfg_defaults(&rt);
    for (int on = 0; on < 2; on++) {
        vt_server_cfg cfg = {.no_date = on, .stack_bytes = on ? 3 << 20 : 0};
        REQUIRE(e2e_start(&cfg, routes_cfg) == 0);
        CL(c);
        CHECK_EQ(cl_get(&c, "/"), 200);
        CHECK_EQ(cl_fields(&c, "date"), !on);
        CHECK_EQ(cl_get(&c, "/none"), 404);
        CHECK_EQ(cl_fields(&c, "date"), !on);
        CHECK_EQ(cl_get(&c, "/room"), 200);
        CHECK_EQ(atol(c.body), on ? 3 << 20 : (long)rt.stack_bytes);
        if (HTTP1) {
            cl_puts(&c, "GET / HTTP/1.1\r\nBad Name: x\r\n\r\n");
            CHECK_EQ(cl_response(&c), 400);
            CHECK_EQ(cl_fields(&c, "date"), !on);
        }
        cl_close(&c);
        CHECK_EQ(e2e_stop(), 0);
    }
}

TEST(b044_length_over_2_gib) {
    vt_server_cfg cfg = {.max_body = VT_NONE};
    forget();
    REQUIRE(e2e_start(&cfg, routes_plain) == 0);
    CL(c);
    CHECK_EQ(cl_ask(&c, "POST /ignore HTTP/1.1\r\n" HOST "Content-Length: 3000000000\r\n\r\n"), 200);
    CHECK_STR(c.body, "3000000000");
    CL(d);
    CHECK_EQ(cl_ask(&d, "POST /ignore HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\nabc"),
             200);
    CHECK_STR(d.body, "9223372036854775807");
    cl_close(&c), cl_close(&d);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b045_body_shorter_than_its_length) {
    REQUIRE(start_plain());
    for (int i = 0; i < 3; i++) {
        CL(c);
        note(1, 1);
        REQUIRE(cl_open(&c));
        cl_printf(&c, "POST /body HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n%.*s", 4 * i, "abcdefgh");
        cl_shut(&c);
        WAIT(noted(1) != 1);
        CHECK_EQ(noted(1), VT_EEOF);
    }
    CL(c);
    note(1, 1);
    REQUIRE(cl_open(&c));
    cl_puts(&c, "POST /stream HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc");
    cl_shut(&c);
    WAIT(noted(1) != 1);
    CHECK_EQ(noted(1), VT_EEOF);
    CHECK_EQ(e2e_stop(), 0);
}

/* Constant replies under concurrency: every byte of every one of them is checked. */
static int h_bad(vt_req *req, vt_res *res) {
    (void)req;
    (void)res;
    return VT_EBADREQ;
}
static void routes_bad(vt_server *s) {
    vt_server_get(s, "/", h_hello);
    vt_server_get(s, "/bad", h_bad);
}
static void *ask_bad(void *arg) {
    enum { BATCH = 50 };
    int batches = (SLOW ? 1000 : 10000) / BATCH, wrong = 0;
    char first_body[256] = "", text[BATCH * 64];
    CL(c);
    size_t len = 0;
    (void)arg;
    for (int i = 0; i < BATCH; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "GET /bad HTTP/1.1\r\n" HOST "\r\n");
    if (!cl_open(&c)) wrong = 1;
    for (int b = 0; b < batches && !wrong; b++) {
        if (!cl_send(&c, text, len)) wrong++;
        for (int i = 0; i < BATCH && !wrong; i++) {
            if (cl_response(&c) != 400) wrong++;
            if (!first_body[0]) snprintf(first_body, sizeof first_body, "%s", c.body);
            if (strcmp(first_body, c.body) != 0 || cl_fields(&c, "date") != 1 ||
                strlen(cl_field(&c, "date")) != 29)
                wrong++;
        }
    }
    return (void *)(uintptr_t)wrong;
}
static void *ask_malformed(void *arg) {
    uintptr_t wrong = 0;
    (void)arg;
    for (int i = 0; i < (SLOW ? 20 : 100); i++) {
        CL(c);
        if (cl_ask(&c, "GET / HTTP/1.1\r\nBad Name: x\r\n\r\n") != 400 || !cl_closed(&c, E2E_MS)) wrong++;
    }
    return (void *)wrong;
}
TEST(b046_constant_replies_stay_intact) {
    pthread_t threads[20];
    REQUIRE(e2e_start(NULL, routes_bad) == 0);
    for (uintptr_t i = 0; i < 20; i++)
        REQUIRE(pthread_create(&threads[i], NULL, i < 16 || !HTTP1 ? ask_bad : ask_malformed, (void *)i) ==
                0);
    for (int i = 0; i < 20; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        CHECK_EQ((uintptr_t)wrong, 0);
    }
    CL(c);
    CHECK_EQ(cl_get(&c, "/"), 200);
    CHECK_EQ(e2e_stop(), 0);
}

/* ---- bodies and responses ---- */
static int h_types(vt_req *req, vt_res *res) {
    vt_str how = vt_req_query(req, "how");
    switch (how.len ? how.ptr[0] : 0) {
    case 't': return vt_res_text(res, 200, "x");
    case 'h': return vt_res_html(res, 200, "x");
    case 'j': return vt_res_json(res, 200, "{}");
    case 'p': return vt_res_printf(res, 200, "%d", 1);
    case 's': return vt_res_send(res, 200, NULL, "\0\1", 2);
    case 'o': return vt_res_type(res, "image/x"), vt_res_send(res, 200, NULL, "\0\1", 2);
    default: return put(res, "\0\1", 2);
    }
}
static void routes_types(vt_server *s) { vt_server_get(s, "/", h_types); }
TEST(b047_content_types) {
    static const struct {
        const char *target, *type;
    } cases[] = {{"/?how=t", "text/plain"},
                 {"/?how=h", "text/html"},
                 {"/?how=j", "application/json"},
                 {"/?how=p", "text/plain"},
                 {"/?how=s", "application/octet-stream"},
                 {"/?how=w", "application/octet-stream"},
                 {"/?how=o", "image/x"}};
    REQUIRE(e2e_start(NULL, routes_types) == 0);
    CL(c);
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        CHECK_EQ(cl_get(&c, cases[i].target), 200);
        const char *type = cl_field(&c, "content-type");
        CHECK(type && strncmp(type, cases[i].type, strlen(cases[i].type)) == 0);
        if (type && strncmp(type, "text/", 5) == 0) CHECK(strcasestr(type, "charset=utf-8") != NULL);
        CHECK_EQ(cl_fields(&c, "content-type"), 1);
    }
    CHECK_EQ(e2e_stop(), 0);
}

static int h_pieces(vt_req *req, vt_res *res) {
    bool flush = vt_req_query(req, "flush").ptr != NULL;
    vt_str length = vt_req_query(req, "length");
    char piece[32];
    if (length.ptr) vt_res_length(res, strtoll(length.ptr, NULL, 10));
    for (int i = 0; i < 100; i++) {
        int n = snprintf(piece, sizeof piece, "%d,", i);
        int64_t w = vt_res_write(res, piece, (size_t)n);
        if (w != n) return w < 0 ? (int)w : -EIO;
        if (flush && vt_res_flush(res) < 0) return -EIO;
    }
    return 0;
}
/* What a source gives, as it comes: its length is the request's, known or not. */
static int h_source_is_body(vt_req *req, vt_res *res) {
    char buf[64];
    int64_t n = 0;
    if (vt_req_body_length(req) >= 0) n = vt_res_length(res, vt_req_body_length(req));
    while (n >= 0 && (n = vt_req_read(req, buf, sizeof buf)) > 0) n = vt_res_write(res, buf, (size_t)n);
    return (int)n;
}
static int h_array(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_send(res, 200, "image/x", "\0\1\2", 3);
}
static void routes_pieces(vt_server *s) {
    vt_server_get(s, "/", h_pieces);
    vt_server_get(s, "/array", h_array);
    vt_server_post(s, "/source", h_source_is_body);
}
TEST(b048_flush_or_not_delivers_all) {
    char want[1000] = "";
    for (int i = 0; i < 100; i++) snprintf(want + strlen(want), 16, "%d,", i);
    REQUIRE(e2e_start(NULL, routes_pieces) == 0);
    static const char *const targets[] = {"/", "/?flush", "/?length=290", "/?length=290&flush"};
    CL(c);
    for (size_t i = 0; i < VT__COUNT(targets); i++) {
        CHECK_EQ(cl_get(&c, targets[i]), 200);
        CHECK_STR(c.body, want);
        CHECK_EQ(c.truncated, false);
    }
    CHECK_EQ(e2e_stop(), 0);
}

TEST(b049_one_framing_field) {
    REQUIRE(e2e_start(NULL, routes_pieces) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/"), 200);
    CHECK_EQ(cl_fields(&c, "transfer-encoding"), 1);
    CHECK_EQ(cl_fields(&c, "content-length"), 0);
    CHECK_EQ(cl_get(&c, "/?length=290"), 200);
    CHECK_EQ(cl_fields(&c, "transfer-encoding"), 0);
    CHECK_EQ(cl_fields(&c, "content-length"), 1);
    CHECK_EQ(c.length, 290);
    CHECK_EQ(cl_get(&c, "/array"), 200);
    CHECK_EQ(cl_fields(&c, "transfer-encoding"), 0);
    CHECK_EQ(c.length, 3);
    for (int chunked = 0; chunked < 2; chunked++) {
        cl_printf(&c, "POST /source HTTP/1.1\r\n" HOST "%s",
                  chunked ? "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                          : "Content-Length: 3\r\n\r\nabc");
        CHECK_EQ(cl_response(&c), 200);
        CHECK_STR(c.body, "abc");
        CHECK_EQ(cl_fields(&c, "transfer-encoding"), chunked);
        CHECK_EQ(cl_fields(&c, "content-length"), !chunked);
    }
    CL(d); /* to HTTP/1.0: neither, ended by close */
    if (HTTP1) {
        CHECK_EQ(cl_ask(&d, "GET / HTTP/1.0\r\n\r\n"), 200);
        CHECK(d.by_close && !d.truncated && d.body_len == 290);
    }
    CHECK_EQ(e2e_stop(), 0);
}

static int h_surplus(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_length(res, 5);
    note(1, vt_res_write(res, "hello", 5));
    note(2, vt_res_write(res, "x", 1));
    note(3, vt_res_write(res, "y", 1));
    return 0;
}
static int h_surplus_at_once(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_length(res, 5);
    note(2, vt_res_write(res, "hello, world", 12));
    if (vt_res_bytes(res) < 5)
        vt_res_write(res, &"hello"[vt_res_bytes(res)], (size_t)(5 - vt_res_bytes(res)));
    return 0;
}
static void routes_surplus(vt_server *s) {
    vt_server_get(s, "/", h_surplus);
    vt_server_get(s, "/once", h_surplus_at_once);
}
TEST(b050_surplus_is_refused) {
    forget();
    REQUIRE(e2e_start(NULL, routes_surplus) == 0);
    CL(c);
    for (int i = 0; i < 3; i++) {
        forget();
        CHECK_EQ(cl_get(&c, i == 2 ? "/once" : "/"), 200);
        CHECK_STR(c.body, "hello");
        WAIT(noted(i < 2 ? 3 : 2)); /* which comes when the response is whole */
        if (i < 2) CHECK_EQ(noted(1), 5);
        CHECK_EQ(noted(2), VT_ESURPLUS);
        if (i < 2) CHECK_EQ(noted(3), VT_ESURPLUS);
    }
    CHECK(cl_silent(&c, 20)); /* still in step */
    CHECK_EQ(cl_get(&c, "/"), 200);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_short(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_length(res, 100);
    return put(res, "only this", 9);
}
static int h_short_none(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_length(res, 100);
}
static void routes_short(vt_server *s) {
    vt_server_get(s, "/", h_short);
    vt_server_get(s, "/none", h_short_none);
    vt_server_get(s, "/hello", h_hello);
}
/* Behind an error in a short response's place: nothing of that response, and the connection is in step or ended. */
static bool follows_well(struct cl *c, int status) {
    if (status != 500) return c->eof;
    if (c->truncated || !c->has_length || c->length == 100 || strstr(c->body, "only this")) return false;
    const char *conn = cl_field(c, "connection");
    if (conn && strcasecmp(conn, "close") == 0) return cl_closed(c, E2E_MS);
    return cl_silent(c, 20) && cl_get(c, "/hello") == 200 && strcmp(c->body, "hello") == 0;
}
TEST(b051_less_than_declared_is_visible) {
    REQUIRE(e2e_start(NULL, routes_short) == 0);
    CL(c);
    int status = cl_get(&c, "/");
    bool reset = !HTTP1 && status == 0; /* before its head was sent */
    CHECK(reset || status == 500 || (status == 200 && c.truncated && c.body_len <= 9 && c.eof));
    if (status == 200) CHECK(c.length == 100);
    CHECK(follows_well(&c, status));
    CL(d); /* nothing was sent yet: an error status will do, never a good response */
    status = cl_get(&d, "/none");
    CHECK(status == 500 || (status == 200 && d.truncated));
    CHECK(follows_well(&d, status));
    WAIT(e2e_logged(0, "VT_ESHORT") > 0);
    CHECK(e2e_logged(0, "VT_ESHORT") > 0);
    CL(e);
    cl_puts(&e, "");
    REQUIRE(cl_open(&e));
    cl_puts(&e, "HEAD / HTTP/1.1\r\n" HOST "\r\n"); /* no body to be short of */
    CHECK_EQ(cl_response_to(&e, true), 200);
    cl_close(&c), cl_close(&d);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_duplex(vt_req *req, vt_res *res) {
    char buf[100];
    int64_t n;
    vt_res_length(res, vt_req_body_length(req));
    int r = vt_res_flush(res);
    if (r < 0) return r;
    while ((n = vt_req_read(req, buf, sizeof buf)) > 0) {
        n = vt_res_write(res, buf, (size_t)n);
        if (n < 0 || (n = vt_res_flush(res)) < 0) break;
    }
    return (int)n;
}
static void routes_duplex(vt_server *s) { vt_server_post(s, "/", h_duplex); }
TEST(b052_head_goes_out_while_the_body_comes) {
    REQUIRE(e2e_start(NULL, routes_duplex) == 0);
    CL(c);
    REQUIRE(cl_open(&c));
    cl_puts(&c, "POST / HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\n");
    size_t head = cl_until(&c, "\r\n\r\n"); /* before a byte of the body was sent */
    REQUIRE(head > 0 && strncmp(c.in, "HTTP/1.1 200 ", 13) == 0);
    for (int i = 0; i < 3; i++) {
        cl_puts(&c, "abc");
        CHECK(cl_want(&c, head + 3 * (size_t)(i + 1)));
    }
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, "abcabcabc");
    CHECK_EQ(e2e_stop(), 0);
}

static int h_fails(vt_req *req, vt_res *res) {
    vt_str how = vt_req_query(req, "how");
    if (strchr(how.ptr, 'l')) vt_res_length(res, 1000);
    if (strchr(how.ptr, 'w') && vt_res_write(res, "part", 4) != 4) return -EIO;
    if (strchr(how.ptr, 'f') && vt_res_flush(res) < 0) return -EIO;
    if (strchr(how.ptr, 'e') && (vt_res_text(res, 200, "whole") < 0 || vt_res_flush(res) < 0)) return -EIO;
    return -ENOSPC;
}
static void on_response(vt_req *req, vt_res *res, void *ctx, int err) {
    (void)req;
    (void)ctx;
    note(5, err);
    note(6, vt_res_status_get(res));
    count(4); /* the last: it is waited for */
}
static void routes_fails(vt_server *s) {
    vt_server_get(s, "/", h_fails);
    vt_server_get(s, "/hello", h_hello);
    vt_server_post(s, "/body", h_body);
}
/* The status of an answer that is cut. A reset of HTTP/3 overtakes what was sent before it (RFC 9000 3.1): maybe there is none. */
static bool cut_after_200(int status) { return status == 200 || (E2E_H3 && status == 0); }
TEST(b053_failure_after_part_of_the_body) {
    REQUIRE(e2e_start(NULL, routes_fails) == 0);
    CL(c);
    int status = cl_get(&c, "/?how=wf");
    CHECK(cut_after_200(status) && c.eof);
    if (status) CHECK(c.chunked && c.truncated); /* no last chunk */
    if (status) CHECK_STR(c.body, "part");
    CL(d);
    status = cl_get(&d, "/?how=lwf");
    CHECK(cut_after_200(status) && d.eof);
    if (status) CHECK(d.has_length && d.truncated);
    if (status) CHECK_STR(d.body, "part");
    CL(e); /* to HTTP/1.0 the end is the close, so it must be a reset or it would look whole */
    if (HTTP1) {
        CHECK_EQ(cl_ask(&e, "GET /?how=wf HTTP/1.0\r\n\r\n"), 200);
        CHECK(e.truncated);
    }
    cl_close(&c), cl_close(&d), cl_close(&e);
    CHECK_EQ(e2e_stop(), 0);
}

TEST(b054_failure_before_anything) {
    REQUIRE(e2e_start(NULL, routes_fails) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/?how="), 500);
    CHECK_EQ(c.truncated, false);
    WAIT(e2e_logged(VT_LOG_ERROR, "ENOSPC") > 0);
    e2e_sleep_ms(20);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, ""), 1); /* exactly once, with its name */
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, "ENOSPC"), 1);
    CHECK(strstr(c.body, "ENOSPC") == NULL && strstr(c.body, "space") == NULL); /* and not to the client */
    CL(next);
    CHECK_EQ(cl_get(&next, "/hello"), 200);
    CHECK_EQ(e2e_stop(), 0);
}

TEST(b055_failure_after_the_head_is_logged) {
    forget();
    vt_server_cfg cfg = {.on_response = on_response};
    REQUIRE(e2e_start(&cfg, routes_fails) == 0);
    CL(c);
    CHECK(cut_after_200(cl_get(&c, "/?how=wf")));
    WAIT(noted(4) == 1);
    CHECK_EQ(noted(6), 200);
    CHECK_EQ(noted(5), -ENOSPC);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, "ENOSPC"), 1);
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}

TEST(b056_on_response_fires_once) {
    static const struct {
        const char *request;
        int status;
    } cases[] = {{"GET /hello HTTP/1.1\r\n" HOST "\r\n", 200},
                 {"HEAD /hello HTTP/1.1\r\n" HOST "\r\n", 200},
                 {"GET /none HTTP/1.1\r\n" HOST "\r\n", 404},
                 {"PUT /hello HTTP/1.1\r\n" HOST "\r\n", 405},
                 {"GET /?how= HTTP/1.1\r\n" HOST "\r\n", 500},
                 {"GET /?how=wf HTTP/1.1\r\n" HOST "\r\n", 200},
                 {"GET /?how=e HTTP/1.1\r\n" HOST "\r\n", 200}, /* fails after it answered */
                 {"POST /body HTTP/1.1\r\n" HOST "Content-Length: 2000000\r\n\r\n", 413}};
    vt_server_cfg cfg = {.on_response = on_response};
    REQUIRE(e2e_start(&cfg, routes_fails) == 0);
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        forget();
        CL(c);
        REQUIRE(cl_open(&c) && cl_puts(&c, cases[i].request));
        int status = cl_response_to(&c, cases[i].request[0] == 'H');
        CHECK(status == cases[i].status || (strstr(cases[i].request, "how=wf") && cut_after_200(status)));
        WAIT(noted(4) > 0);
        e2e_sleep_ms(10);
        CHECK_EQ(noted(4), 1);
        CHECK_EQ(noted(6), cases[i].status);
    }
    CHECK_EQ(e2e_stop(), 0);
}

static int h_bare(vt_req *req, vt_res *res) {
    vt_str how = vt_req_query(req, "how");
    if (how.ptr[0] == 'i' && vt_res_inform(res, 103, "Link: </a.css>; rel=preload\r\n") < 0) return -EIO;
    if (how.ptr[0] == 'n') return vt_res_no_content(res);
    if (how.ptr[0] == 's') return vt_res_status(res, 204);
    if (how.ptr[0] == 'w' || how.ptr[0] == 'm') {
        vt_res_status(res, how.ptr[0] == 'w' ? 204 : 304);
        return put(res, "dropped", 7);
    }
    if (how.ptr[0] == 't') return vt_res_text(res, 204, "dropped");
    return vt_res_text(res, 200, "final");
}
static void routes_bare(vt_server *s) { vt_server_get(s, "/", h_bare); }
TEST(b057_204_and_1xx_have_no_framing) {
    REQUIRE(e2e_start(NULL, routes_bare) == 0);
    CL(c);
    static const char *const targets[] = {"/?how=n", "/?how=s", "/?how=w", "/?how=t"};
    for (size_t i = 0; i < VT__COUNT(targets); i++) {
        CHECK_EQ(cl_get(&c, targets[i]), 204);
        CHECK_EQ(cl_fields(&c, "content-length") + cl_fields(&c, "transfer-encoding"), 0);
    }
    CHECK_EQ(cl_get(&c, "/?how=m"), 304);
    CHECK_EQ(cl_fields(&c, "transfer-encoding"), 0);
    CHECK_EQ(cl_get(&c, "/?how=i"), 103);
    CHECK_EQ(cl_fields(&c, "content-length") + cl_fields(&c, "transfer-encoding"), 0);
    CHECK_STR(cl_field(&c, "link"), "</a.css>; rel=preload");
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, "final");
    CHECK_EQ(cl_fields(&c, "link"), 0);
    CL(d); /* HTTP/1.0 knows no 1xx */
    if (HTTP1) CHECK_EQ(cl_ask(&d, "GET /?how=i HTTP/1.0\r\n\r\n"), 200);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_override(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_field(res, "Date", "Sun, 06 Nov 1994 08:49:37 GMT");
    vt_res_field(res, "Server", "mine");
    vt_res_field(res, "content-type", "text/mine");
    vt_res_field(res, "Content-Length", "4");
    CHECK_EQ(vt_res_field(res, "Transfer-Encoding", "chunked"), VT_EFIELD);
    CHECK_EQ(vt_res_field(res, "Connection", "keep-alive"), VT_EFIELD);
    CHECK_EQ(vt_res_field(res, "Content-Length", "x"), VT_EFIELD);
    return put(res, "body", 4);
}
static int h_close(vt_req *req, vt_res *res) {
    (void)req;
    CHECK_EQ(vt_res_field(res, "Connection", "close"), 0);
    return vt_res_text(res, 200, "bye");
}
static void routes_override(vt_server *s) {
    vt_server_get(s, "/", h_override);
    vt_server_get(s, "/close", h_close);
    vt_server_get(s, "/hello", h_hello);
}
TEST(b058_an_overridden_field_appears_once) {
    vt_server_cfg cfg = {.server_name = "default"};
    REQUIRE(e2e_start(&cfg, routes_override) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/"), 200);
    CHECK_STR(c.body, "body");
    static const char *const names[] = {"date", "server", "content-type", "content-length"};
    for (int i = 0; i < 4; i++) CHECK_EQ(cl_fields(&c, names[i]), 1);
    CHECK_STR(cl_field(&c, "date"), "Sun, 06 Nov 1994 08:49:37 GMT");
    CHECK_STR(cl_field(&c, "server"), "mine");
    CHECK_STR(cl_field(&c, "content-type"), "text/mine");
    CHECK_EQ(cl_get(&c, "/hello"), 200);
    CHECK_STR(cl_field(&c, "server"), "default");
    CHECK_EQ(cl_fields(&c, "date"), 1);
    CHECK_EQ(cl_get(&c, "/close"), 200);
    CHECK_EQ(cl_fields(&c, "connection"), HTTP1);
    if (HTTP1) CHECK(cl_closed(&c, E2E_MS));
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}

/* Reads in pieces, and answers at the end. */
static int h_read_all(vt_req *req, vt_res *res) {
    char buf[3];
    int64_t n, all = 0;
    while ((n = vt_req_read(req, buf, sizeof buf)) > 0) all += n;
    note(1, n);
    return n < 0 ? (int)n : vt_res_printf(res, 200, "%lld", (long long)all);
}
static void routes_max_body(vt_server *s) {
    vt_server_get(s, "/", h_hello);
    vt_server_post(s, "/", h_body);
    vt_route_max_body(vt_server_post(s, "/small", h_body), 10);
    vt_route_max_body(vt_server_post(s, "/any", h_body), VT_NONE);
    vt_route_max_body(vt_server_post(s, "/pieces", h_read_all), 10);
    vt_route_max_body(vt_server_post(s, "/ignore", h_ignore), 10);
}
static int ask_sized(const char *target, size_t n, bool chunked) {
    static char text[40000];
    CL(c);
    int used = chunked ? snprintf(text, sizeof text,
                                  "POST %s HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
                                  target, n)
                       : snprintf(text, sizeof text,
                                  "POST %s HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", target, n);
    memset(text + used, 'b', n);
    memcpy(text + (size_t)used + n, chunked ? "\r\n0\r\n\r\n" : "", chunked ? 8 : 1);
    return cl_ask(&c, text);
}
TEST(b062_body_limit) {
    vt_server_cfg cfg = {.max_body = 100};
    REQUIRE(e2e_start(&cfg, routes_max_body) == 0);
    for (int chunked = 0; chunked < 2; chunked++) {
        CHECK_EQ(ask_sized("/", 100, chunked), 200);
        CHECK_EQ(ask_sized("/", 101, chunked), 413);
        CHECK_EQ(ask_sized("/", 20000, chunked), 413);
        CHECK_EQ(ask_sized("/small", 10, chunked), 200);
        CHECK_EQ(ask_sized("/small", 11, chunked), 413);
        CHECK_EQ(ask_sized("/any", 20000, chunked), 200);
        CHECK_EQ(ask_sized("/pieces", 10, chunked), 200);
        CHECK_EQ(ask_sized("/pieces", 11, chunked), 413);
        if (chunked) CHECK_EQ(noted(1), VT_ETOOLARGE); /* by the read that came to it */
        CHECK_EQ(ask_sized("/none", 101, chunked), 404);
    }
    CHECK_EQ(ask_sized("/ignore", 11, false), 413); /* by its length alone, the handler never runs */
    CL(c);                                          /* refused before the body is there */
    CHECK_EQ(cl_ask(&c, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1000000000000\r\n\r\n"), 413);
    CL(next);
    CHECK_EQ(cl_get(&next, "/"), 200);
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
    REQUIRE(e2e_start(NULL, routes_max_body) == 0); /* the default is 1 MiB */
    CL(d);
    CHECK_EQ(cl_ask(&d, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1048577\r\n\r\n"), 413);
    cl_close(&d);
    CHECK_EQ(e2e_stop(), 0);
}

/* ---- chunk sizes ---- */
#define CHUNKED(path) "POST " path " HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"

HTTP1_TEST(b043_chunk_size_spellings) {
    static const char *const sizes[] = {"1a", "1A", "001a", "01A",
                                        "0000000000000000000000000000000000000001a"};
    static const char data[] = "abcdefghijklmnopqrstuvwxyz";
    REQUIRE(start_plain());
    CL(c);
    REQUIRE(cl_open(&c));
    for (size_t i = 0; i < VT__COUNT(sizes); i++) {
        cl_printf(&c, CHUNKED("/") "%s\r\n%s\r\n0\r\n\r\n", sizes[i], data);
        CHECK_EQ(cl_response(&c), 200);
        CHECK_STR(c.body, data);
    }
    for (unsigned size = 1; size < 256; size++) { /* every digit, in both cases, in both places */
        char bytes[256];
        memset(bytes, 'd', sizeof bytes);
        cl_printf(&c, size % 2 ? CHUNKED("/") "%02x\r\n%.*s\r\n" : CHUNKED("/") "%X\r\n%.*s\r\n", size,
                  (int)size, bytes);
        cl_printf(&c, size / 2 % 2 ? "%02X\r\n%.*s\r\n0\r\n\r\n" : "%x\r\n%.*s\r\n00\r\n\r\n", size,
                  (int)size, bytes);
        CHECK_EQ(cl_response(&c), 200);
        CHECK_EQ(c.body_len, 2 * size);
    }
    CHECK_EQ(e2e_stop(), 0);
}

/* What a size must never be cut to: 3 bytes and the last chunk follow it. */
#define AS_IF_3 "\r\nabc\r\n0\r\n\r\n"
/* The handler's read gives `err`; the answer is `status`, or one that is visibly cut where its head was out, or none. */
static void odd_size(const char *path, const char *size, int err, int status) {
    CL(c);
    note(1, 1);
    REQUIRE(cl_open(&c));
    cl_printf(&c, "POST %s HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%s" AS_IF_3, path, size);
    cl_shut(&c);
    int got = cl_response(&c);
    WAIT(noted(1) != 1);
    bool cut = err == VT_EEOF && (got == 0 || (got == 200 && c.truncated));
    if (noted(1) != err || (got != status && !cut))
        printf("%d, read %lld, for %s at %s\n", got, (long long)noted(1), size, path);
    CHECK_EQ(noted(1), err);
    CHECK(got == status || cut);
}
/* 2^bit + 3 in hexadecimal digits, bit >= 4 */
static const char *power_and_3(unsigned bit) {
    static char text[64];
    size_t zeros = bit / 4;
    text[0] = "1248"[bit % 4];
    memset(text + 1, '0', zeros);
    text[zeros] = '3';
    text[zeros + 1] = 0;
    return text;
}
static void routes_sizes(vt_server *s) {
    routes_plain(s);
    vt_route_max_body(vt_server_post(s, "/any", h_body), VT_NONE);
}
HTTP1_TEST(b043_chunk_sizes_at_every_width) {
    char digits[40];
    forget();
    REQUIRE(e2e_start(NULL, routes_sizes) == 0);
    for (unsigned bit = 8; bit <= 136; bit++) { /* up to 2^62 more than came, from 2^63 on no size at all */
        int err = bit < 63 ? VT_EEOF : VT_EHTTP;
        odd_size("/body", power_and_3(bit), err, 400);
        odd_size("/any", power_and_3(bit), err, 400);
        odd_size("/stream", power_and_3(bit), err, 400);
    }
    for (int n = 2; n < 40; n++) { /* all ones */
        memset(digits, n % 2 ? 'f' : 'F', (size_t)n);
        digits[n] = 0;
        odd_size("/any", digits, n < 16 ? VT_EEOF : VT_EHTTP, 400);
    }
    odd_size("/any", "7fffffffffffffff", VT_EEOF, 400);
    odd_size("/any", "007FFFFFFFFFFFFFFF", VT_EEOF, 400);
    odd_size("/any", "8000000000000000", VT_EHTTP, 400);
    odd_size("/any", "1\r\nx\r\n7fffffffffffffff", VT_ETOOLARGE, 413); /* the sum is over */
    CL(next);
    CHECK_EQ(cl_get(&next, "/"), 200);
    CHECK_EQ(e2e_stop(), 0);
}

/* Whatever the size says, the limit holds for what comes: not a byte is kept over it. */
HTTP1_TEST(b043_huge_chunks_against_the_body_limit) {
    static const char *const sizes[] = {"65", "3e8", "80000003", "100000003", "7ffffffffffffffe"};
    vt_server_cfg cfg = {.max_body = 100};
    static char data[1000];
    memset(data, 'd', sizeof data);
    REQUIRE(e2e_start(&cfg, routes_max_body) == 0);
    for (size_t i = 0; i < VT__COUNT(sizes); i++) {
        CL(c);
        REQUIRE(cl_open(&c));
        cl_printf(&c, CHUNKED("/") "%s\r\n%.100s", sizes[i], data);
        CHECK(cl_silent(&c, 20)); /* as much as it may have */
        cl_puts(&c, "d");
        CHECK_EQ(cl_response(&c), 413);
        CL(d); /* in small chunks before it */
        REQUIRE(cl_open(&d));
        cl_printf(&d, CHUNKED("/") "32\r\n%.50s\r\n1\r\nd\r\n%s\r\n%.50s", data, sizes[i], data);
        CHECK_EQ(cl_response(&d), 413);
    }
    CL(c); /* just at the limit, in two */
    REQUIRE(cl_open(&c));
    cl_printf(&c, CHUNKED("/") "32\r\n%.50s\r\n32\r\n%.50s\r\n0\r\n\r\n", data, data);
    CHECK_EQ(cl_response(&c), 200);
    CHECK_EQ(c.body_len, 100);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(b043_chunk_line_limit_to_the_byte) {
    REQUIRE(start_plain());
    CHECK_EQ(ask_chunk_line(256), 200); /* the default */
    CHECK_EQ(ask_chunk_line(257), 400);
    CHECK_EQ(e2e_stop(), 0);
    vt_server_cfg cfg = {.max_chunk_line = 100};
    REQUIRE(e2e_start(&cfg, routes_plain) == 0);
    CHECK_EQ(ask_chunk_line(100), 200);
    CHECK_EQ(ask_chunk_line(101), 400);
    static char zeros[102]; /* leading zeros count */
    memset(zeros, '0', 101);
    CL(c);
    REQUIRE(cl_open(&c));
    cl_printf(&c, CHUNKED("/") "%.99s3" AS_IF_3, zeros);
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, "abc");
    cl_printf(&c, CHUNKED("/") "%.100s3" AS_IF_3, zeros);
    CHECK_EQ(cl_response(&c), 400);
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}

/* `data` in chunks of `size`, the first few with an extension. The wire's length. */
static size_t in_chunks(char *wire, size_t cap, const char *data, size_t n, size_t size) {
    size_t used = 0;
    for (size_t at = 0, i = 0; at < n; at += size, i++) {
        size_t k = VT__MIN(size, n - at);
        used += (size_t)snprintf(wire + used, cap - used, i > 4 ? "%zx\r\n" : "%zX;n=\"a;b\"\r\n", k);
        memcpy(wire + used, data + at, k);
        memcpy(wire + used + k, "\r\n", 2);
        used += k + 2;
    }
    memcpy(wire + used, "0\r\n\r\n", 5);
    return used + 5;
}
static char chunk_data[200000], chunk_wire[3000000];
static void fill_chunk_data(void) { /* CR, LF and digits among it */
    uint64_t rng = test_seed();
    for (size_t i = 0; i < sizeof chunk_data; i++) chunk_data[i] = "\r\n0a;\0Z9"[test_rand(&rng) % 8];
}
HTTP1_TEST(b043_client_chunks_of_every_size) {
    static const size_t sizes[] = {1,     2,     3,     7,     15,    16,     17,    255,  256,
                                   1023,  1024,  4094,  4095,  4096,  4097,   8191,  8192, 16383,
                                   16384, 16385, 65535, 65536, 65537, 199999, 200000};
    fill_chunk_data();
    REQUIRE(start_plain());
    CL(c);
    REQUIRE(cl_open(&c));
    for (size_t i = 0; i < VT__COUNT(sizes); i++) {
        size_t n = sizes[i] < 16 ? 20000 : sizeof chunk_data;
        size_t used = in_chunks(chunk_wire, sizeof chunk_wire, chunk_data, n, sizes[i]);
        cl_puts(&c, CHUNKED("/"));
        CHECK(cl_send(&c, chunk_wire, used));
        CHECK_EQ(cl_response(&c), 200);
        CHECK_MEM(c.body, c.body_len, chunk_data, n);
    }
    CHECK_EQ(noted(0), VT__COUNT(sizes)); /* nothing of the data was taken for a request */
    CHECK_EQ(e2e_stop(), 0);
}
HTTP1_TEST(b043_client_chunks_cut_anywhere) {
    fill_chunk_data();
    REQUIRE(start_plain());
    CL(c);
    REQUIRE(cl_open(&c));
    size_t used = in_chunks(chunk_wire, sizeof chunk_wire, chunk_data, 40, 17);
    for (size_t step = 1; step < 4; step += 2) { /* byte by byte, and by three */
        cl_puts(&c, CHUNKED("/"));
        for (size_t at = 0; at < used; at += step) {
            CHECK(cl_send(&c, chunk_wire + at, VT__MIN(step, used - at)));
            e2e_sleep_ms(1);
        }
        CHECK_EQ(cl_response(&c), 200);
        CHECK_MEM(c.body, c.body_len, chunk_data, 40);
    }
    for (size_t cut = 0; cut <= used; cut++) { /* in two */
        cl_puts(&c, CHUNKED("/"));
        CHECK(cl_send(&c, chunk_wire, cut));
        e2e_sleep_ms(1);
        CHECK(cl_send(&c, chunk_wire + cut, used - cut));
        CHECK_EQ(cl_response(&c), 200);
        CHECK_MEM(c.body, c.body_len, chunk_data, 40);
    }
    CHECK_EQ(e2e_stop(), 0);
}

enum { ECHO_BYTES = 1000000 };
struct upload {
    struct cl *c;
    const char *data;
    bool chunked;
};
/* In a thread of its own: an echo must be read while it is sent. */
static void *upload_main(void *arg) {
    struct upload *u = arg;
    uint64_t rng = test_seed();
    if (!u->chunked) return cl_send(u->c, u->data, ECHO_BYTES), NULL;
    for (size_t at = 0, n; at < ECHO_BYTES; at += n) {
        n = 1 + (size_t)(test_rand(&rng) % 9000);
        n = VT__MIN((size_t)ECHO_BYTES - at, n);
        cl_printf(u->c, "%zx\r\n", n);
        cl_send(u->c, u->data + at, n);
        cl_puts(u->c, "\r\n");
    }
    cl_puts(u->c, "0\r\n\r\n");
    return NULL;
}
TEST(b063_echo_streamed_and_whole) {
    char *data = malloc(ECHO_BYTES);
    uint64_t rng = test_seed();
    REQUIRE(data != NULL && start_plain());
    for (int i = 0; i < ECHO_BYTES; i++) data[i] = (char)test_rand(&rng);
    CL(c);
    REQUIRE(cl_open(&c));
    for (int turn = 0; turn < 4; turn++) {
        struct upload u = {&c, data, turn >= 2};
        pthread_t sender;
        cl_printf(&c, "POST %s HTTP/1.1\r\n" HOST, turn % 2 ? "/stream" : "/body");
        if (u.chunked) cl_puts(&c, "Transfer-Encoding: chunked\r\n\r\n");
        else cl_printf(&c, "Content-Length: %d\r\n\r\n", ECHO_BYTES);
        REQUIRE(pthread_create(&sender, NULL, upload_main, &u) == 0);
        CHECK_EQ(cl_response(&c), 200);
        pthread_join(sender, NULL);
        CHECK_MEM(c.body, c.body_len, data, ECHO_BYTES);
    }
    free(data);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_first_byte(vt_req *req, vt_res *res) {
    (void)req;
    if (vt_res_write(res, "a", 1) != 1 || vt_res_flush(res) < 0) return -EIO;
    for (int i = 0; i < E2E_MS && !noted(1); i++) vt_sleep_ms(1);
    return put(res, "b", 1);
}
/* Never flushes: what does not fit the buffer must go out all the same. */
static int h_flood(vt_req *req, vt_res *res) {
    (void)req;
    char piece[8192];
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < 1000 && !noted(1); i++) {
        if (vt_res_write(res, piece, sizeof piece) < 0) return -EIO;
        if (i > 20) vt_sleep_ms(10);
    }
    note(2, noted(1));
    return 0;
}
static void routes_first_byte(vt_server *s) {
    vt_server_get(s, "/", h_first_byte);
    vt_server_get(s, "/flood", h_flood);
}
TEST(b064_output_is_streamed) {
    forget();
    REQUIRE(e2e_start(NULL, routes_first_byte) == 0);
    CL(c);
    REQUIRE(cl_open(&c));
    cl_puts(&c, "GET / HTTP/1.1\r\n" HOST "\r\n");
    CHECK(cl_until(&c, "\r\na\r\n") > 0); /* the handler is still in its loop */
    note(1, 1);
    CHECK_EQ(cl_response(&c), 200);
    CHECK_STR(c.body, "ab");
    note(1, 0);
    cl_puts(&c, "GET /flood HTTP/1.1\r\n" HOST "\r\n");
    CHECK(cl_until(&c, "xxxx") > 0);
    note(1, 1);
    CHECK_EQ(cl_response(&c), 200);
    CHECK_EQ(noted(2), 1);
    CHECK_EQ(e2e_stop(), 0);
}

static void *send_posts(void *arg) {
    struct cl *c = arg;
    static char body[65536];
    memset(body, 'b', sizeof body);
    for (int i = 0; i < 10; i++) {
        cl_printf(c, "POST /ignore HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", sizeof body);
        cl_send(c, body, sizeof body);
    }
    return NULL;
}
TEST(b065_unread_bodies_are_drained) {
    REQUIRE(start_plain());
    CL(c);
    pthread_t sender;
    REQUIRE(cl_open(&c) && pthread_create(&sender, NULL, send_posts, &c) == 0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(cl_response(&c), 200);
        CHECK_STR(c.body, "65536");
    }
    pthread_join(sender, NULL);
    CHECK_EQ(cl_get(&c, "/"), 200);
    CL(d); /* chunked too */
    REQUIRE(cl_open(&d));
    for (int i = 0; i < 3; i++) {
        cl_puts(&d,
                "POST /ignore HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n");
        CHECK_EQ(cl_response(&d), 200);
        CHECK_STR(d.body, "-1");
    }
    CHECK_EQ(e2e_stop(), 0);
}

/* What is unread of a chunked body is dropped up to max_drain; behind that the connection, or the stream, ends. */
TEST(b065_unread_chunked_body_over_the_cap) {
    vt_server_cfg cfg = {.max_drain = 5000};
    REQUIRE(e2e_start(&cfg, routes_plain) == 0);
    for (int over = 0; over < 2; over++) {
        int64_t hellos;
        forget();
        CL(c);
        REQUIRE(cl_open(&c));
        cl_puts(&c, "POST /ignore HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < (over ? 40 : 4); i++) cl_printf(&c, "3e8\r\n%01000d\r\n", i);
        cl_puts(&c, "0\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
        CHECK_EQ(cl_response(&c), 200);
        CHECK_STR(c.body, "-1");
        CHECK_EQ(cl_response(&c), HTTP1 && over ? 0 : 200);
        CHECK(!c.reset);
        hellos = noted(0);
        CHECK_EQ(hellos, HTTP1 && over ? 1 : 2);
    }
    CHECK_EQ(e2e_stop(), 0);
}

static int h_trailers(vt_req *req, vt_res *res) {
    vt_str body, sum, none;
    CHECK(vt_req_trailer(req, "x-sum").ptr == NULL); /* before the body's end */
    int r = vt_req_body(req, &body);
    if (r < 0) return r;
    sum = vt_req_trailer(req, "X-SUM"), none = vt_req_trailer(req, "x-none");
    CHECK(none.ptr == NULL);
    CHECK_EQ(vt_res_trailer(res, "X-Seen", sum.ptr ? sum.ptr : "nothing"), 0);
    CHECK_EQ(vt_res_trailer(res, "X-Other", "1"), 0);
    CHECK_EQ(vt_res_trailer(res, "Content-Length", "1"), VT_EFIELD);
    CHECK_EQ(vt_res_trailer(res, "Keep-Alive", "1"), VT_EFIELD);
    CHECK_EQ(vt_res_trailer(res, "Date", "1"), VT_EFIELD);
    return put(res, body.ptr, body.len);
}
static void routes_trailers(vt_server *s) { vt_server_post(s, "/", h_trailers); }
TEST(trailers_both_ways) {
    REQUIRE(e2e_start(NULL, routes_trailers) == 0);
    CL(c);
    REQUIRE(cl_open(&c));
    for (int i = 0; i < 2; i++) {
        cl_printf(&c,
                  "POST / HTTP/1.1\r\n" HOST
                  "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: b\r\nx-sum: %d\r\n\r\n",
                  1000 + i);
        CHECK_EQ(cl_response(&c), 200);
        CHECK(c.chunked && !c.truncated);
        CHECK_STR(c.body, "abc");
        CHECK(strcasecmp(c.trailers,
                         i ? "X-Seen: 1001\r\nX-Other: 1\r\n" : "X-Seen: 1000\r\nX-Other: 1\r\n") == 0);
        CHECK_EQ(cl_fields(&c, "x-seen"), 0);
    }
    CHECK_EQ(e2e_stop(), 0);
}

static uint64_t mix(uint64_t h, const unsigned char *p, size_t n) { /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * UINT64_C(1099511628211);
    return h;
}
static int h_big(vt_req *req, vt_res *res) {
    int64_t left = strtoll(vt_req_query(req, "n").ptr, NULL, 10);
    bool sum = vt_req_query(req, "sum").ptr != NULL;
    unsigned char piece[16384];
    uint64_t state = 1, h = 1;
    vt_res_length(res, left);
    memset(piece, 'x', sizeof piece);
    while (left > 0) {
        size_t n = (size_t)VT__MIN(left, (int64_t)sizeof piece);
        if (sum) {
            memcpy(piece + test_rand(&state) % 16000, &state, 8);
            h = mix(h, piece, n);
        }
        int64_t w = vt_res_write(res, piece, n);
        if (w < 0) return (int)w;
        left -= w;
    }
    note(1, (int64_t)h);
    return 0;
}
static void routes_big(vt_server *s) { vt_server_get(s, "/", h_big); }
/* Reads the body of `n` bytes without keeping it; the bytes that came. */
static int64_t swallow(struct cl *c, int64_t n, uint64_t *h) {
    size_t head = cl_until(c, "\r\n\r\n");
    int64_t got = 0;
    if (head == 0 || strncmp(c->in, "HTTP/1.1 200 ", 13) != 0) return -1;
    cl_consume(c, head);
    while (got < n && (c->in_len > 0 || cl_more(c, E2E_MS) > 0)) {
        size_t take = (size_t)VT__MIN((int64_t)c->in_len, n - got);
        if (h) *h = mix(*h, (unsigned char *)c->in, take);
        got += (int64_t)take;
        cl_consume(c, take);
    }
    return got;
}
TEST(b066_large_download) {
    int64_t n = SLOW ? 20000000 : 120000001;
    uint64_t h = 1;
    forget();
    REQUIRE(e2e_start(NULL, routes_big) == 0);
    CL(c);
    REQUIRE(cl_open(&c));
    cl_printf(&c, "GET /?sum&n=%lld HTTP/1.1\r\n" HOST "\r\n", (long long)n);
    CHECK_EQ(swallow(&c, n, &h), n);
    WAIT(noted(1) != 0);
    CHECK_EQ(noted(1), (int64_t)h);
    CHECK(cl_silent(&c, 20));
    CHECK_EQ(e2e_stop(), 0);
}

static int h_small_writes(vt_req *req, vt_res *res) {
    char piece[16];
    (void)req;
    for (int i = 0; i < 13000; i++) {
        snprintf(piece, sizeof piece, "%09d\n", i);
        if (vt_res_write(res, piece, 10) != 10) return -EIO;
    }
    return 0;
}
static void routes_small_writes(vt_server *s) { vt_server_get(s, "/", h_small_writes); }
TEST(b067_many_small_writes) {
    REQUIRE(e2e_start(NULL, routes_small_writes) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/"), 200);
    CHECK_EQ(c.body_len, 130000);
    char want[16];
    int wrong = 0;
    for (int i = 0; i < 13000 && c.body_len == 130000; i++) {
        snprintf(want, sizeof want, "%09d\n", i);
        wrong += memcmp(c.body + 10 * i, want, 10) != 0;
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(e2e_stop(), 0);
}

static long resident_kib(void) {
    long pages = 0, ignored;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &ignored, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}
static void *swallow_main(void *arg) {
    int64_t n = *(int64_t *)arg;
    CL(c);
    uintptr_t ok = cl_open(&c) && cl_printf(&c, "GET /?n=%lld HTTP/1.1\r\n" HOST "\r\n", (long long)n);
    if (ok) ok = swallow(&c, n, NULL) == n;
    count(3);
    return (void *)ok;
}
TEST(b068_gigabyte_without_growth) {
    int64_t n = (int64_t)1 << (SLOW ? 26 : E2E_H3 ? 28 : 30); /* both ends of HTTP/3 are ours */
    pthread_t thread;
    forget();
    REQUIRE(e2e_start(NULL, routes_big) == 0);
    CL(warm);
    REQUIRE(cl_get(&warm, "/?n=1000000") == 200);
    long before = resident_kib(), most = 0;
    REQUIRE(pthread_create(&thread, NULL, swallow_main, &n) == 0);
    int served = 0, lost = 0;
    while (noted(3) < 1) { /* others are served beside it */
        most = VT__MAX(most, resident_kib());
        if (cl_get(&warm, "/?n=1000") == 200 && warm.body_len == 1000) served++;
        else lost++;
        e2e_sleep_ms(1);
    }
    void *ok = NULL;
    pthread_join(thread, &ok);
    CHECK(ok != NULL);
    CHECK(most > 0);
    CHECK(served > 0);
    CHECK_EQ(lost, 0);
    if (!SLOW) CHECK(most - before < 16384);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_refuse_first(vt_req *req, vt_res *res) {
    (void)req;
    count(0);
    return vt_res_text(res, 403, "not for you");
}
static int h_one(vt_req *req, vt_res *res) { return vt_res_printf(res, 200, "%s", vt_req_method(req).ptr); }
static void routes_expect(vt_server *s) {
    vt_server_get(s, "/", h_hello);
    vt_server_post(s, "/", h_body);
    vt_server_post(s, "/refuse", h_refuse_first);
    vt_server_post(s, "/one", h_one);
    vt_route_max_body(vt_server_post(s, "/small", h_body), 2);
}
TEST(b069_expect_100_continue) {
    forget();
    REQUIRE(e2e_start(NULL, routes_expect) == 0);
    CL(c);
    REQUIRE(cl_open(&c));
    for (int i = 0; i < 2; i++) {
        cl_puts(&c, i ? "POST / HTTP/1.1\r\n" HOST
                        "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n"
                      : "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n");
        CHECK_EQ(cl_response(&c), 100);
        CHECK_EQ(cl_fields(&c, "content-length") + cl_fields(&c, "transfer-encoding"), 0);
        CHECK(cl_silent(&c, 20));
        cl_puts(&c, i ? "4\r\nbody\r\n0\r\n\r\n" : "body");
        CHECK_EQ(cl_response(&c), 200);
        CHECK_STR(c.body, "body");
    }
    cl_puts(&c, "POST / HTTP/1.1\r\n" HOST
                "Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody"); /* it did not wait */
    int status = cl_response(&c);
    if (status == 100) status = cl_response(&c);
    CHECK_EQ(status, 200);
    CHECK_STR(c.body, "body");
    CL(refused_c); /* a final status and no 100; the body never comes, so the connection ends */
    CHECK_EQ(cl_ask(&refused_c,
                    "POST /refuse HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
             403);
    const char *conn = cl_field(&refused_c, "connection");
    CHECK(!HTTP1 || (conn && strcasecmp(conn, "close") == 0));
    CHECK(!HTTP1 || cl_closed(&refused_c, E2E_MS));
    static const char *const no_100[] = {
        "POST /small HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        "POST /none HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        "PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\nContent-Length: 4\r\n\r\nbody",
        "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue, more\r\nContent-Length: 4\r\n\r\nbody",
        "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
        "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n"};
    static const int want[] = {413, 404, 405, 417, 417, 200, 200, 200};
    for (size_t i = 0; i < VT__COUNT(want); i++) {
        CL(d);
        if (!HTTP1 && strstr(no_100[i], "HTTP/1.0")) continue;
        CHECK_EQ(cl_ask(&d, no_100[i]), want[i]);
        if (i >= 5 || !HTTP1) continue;
        conn = cl_field(&d, "connection");
        CHECK(conn && strcasecmp(conn, "close") == 0);
        CHECK(cl_closed(&d, E2E_MS));
    }
    cl_close(&refused_c);
    CHECK_EQ(e2e_stop(), 0);
}

static int h_error(vt_req *req, vt_res *res) {
    (void)res;
    vt_str e = vt_req_query(req, "e");
    return e.ptr ? (int)strtol(e.ptr, NULL, 10) : 0;
}
static int h_form_error(vt_req *req, vt_res *res) {
    vt_str v;
    int r = vt_req_form(req, "a", &v);
    return r < 0 ? r : vt_res_text(res, 200, "fine");
}
static void routes_errors(vt_server *s) {
    vt_server_get(s, "/", h_error);
    vt_server_post(s, "/form", h_form_error);
}
TEST(b070_errors_become_statuses) {
    static const struct {
        int err, status;
    } cases[] = {{VT_EBADREQ, 400}, {VT_EHTTP, 502},     {-ECONNREFUSED, 502}, {VT_EFORBIDDEN, 403},
                 {-EACCES, 403},    {VT_ENOTFOUND, 404}, {-ENOENT, 404},       {VT_ETOOLARGE, 413},
                 {VT_ETYPE, 415},   {VT_ELIMIT, 503},    {VT_ESTOPPED, 503},   {-ETIMEDOUT, 504},
                 {-EIO, 500},       {VT_EFIELD, 500},    {-ENOMEM, 500},       {-1, 500}};
    REQUIRE(e2e_start(NULL, routes_errors) == 0);
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        CL(c);
        char target[40];
        int ours = e2e_logged(VT_LOG_ERROR, ""), debug = e2e_logged(VT_LOG_DEBUG, "");
        snprintf(target, sizeof target, "/?e=%d", cases[i].err);
        CHECK_EQ(cl_get(&c, target), cases[i].status);
        CHECK_EQ(vt_status_of(cases[i].err), cases[i].status);
        CHECK_EQ(cl_fields(&c, "retry-after"), cases[i].status == 503);
        WAIT(e2e_logged(VT_LOG_ERROR, "") + e2e_logged(VT_LOG_DEBUG, "") > ours + debug);
        bool own = cases[i].status >= 500 && cases[i].err != VT_ESTOPPED; /* which was wanted */
        CHECK_EQ(e2e_logged(VT_LOG_ERROR, "") - ours, own);               /* the server's own at error */
        CHECK(own || e2e_logged(VT_LOG_DEBUG, "") > debug);               /* a client's at debug */
    }
    CL(c);
    CHECK_EQ(
        cl_ask(&c, "POST /form HTTP/1.1\r\n" HOST "Content-Type: text/plain\r\nContent-Length: 3\r\n\r\na=1"),
        415);
    CL(d);
    CHECK_EQ(cl_ask(&d, "POST /form HTTP/1.1\r\n" HOST
                        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=%"),
             400);
    CHECK_EQ(e2e_stop(), 0);
}

/* --- the request's scope --- */
static int lives_long(void *arg) {
    int r = vt_sleep_ms(60000);
    vt_shield(true);
    vt_sleep_ms(20); /* its clean-up is waited for, too */
    note(0, *(volatile int *)arg == 42 ? r : 1);
    vt_shield(false);
    return 0;
}
static int adds(void *arg) { return ++*(int *)arg; }
static int h_scoped(vt_req *req, vt_res *res) {
    int *kept = vt_req_alloc(req, sizeof *kept), sum = 0;
    if (!kept || !vt_req_scope(req)) return -ENOMEM;
    *kept = 42;
    CHECK(vt_req_scope(req) == vt_req_scope(req));
    int r = vt_scope_go(vt_req_scope(req), adds, &sum);
    if (r == 0) r = vt_scope_wait(vt_req_scope(req));
    if (r == 0) r = vt_scope_go_any(vt_req_scope(req), lives_long, kept);
    return r < 0 ? r : vt_res_printf(res, 200, "%d", sum);
}
static void routes_scoped(vt_server *s) { vt_server_get(s, "/", h_scoped); }
static void children_ended(vt_req *req, vt_res *res, void *ctx, int err) {
    (void)req, (void)res, (void)ctx, (void)err;
    note(1, noted(0));
}
TEST(children_of_a_request_end_with_it) {
    vt_server_cfg cfg = {.on_response = children_ended};
    forget();
    REQUIRE(e2e_start(&cfg, routes_scoped) == 0);
    CL(c);
    for (int i = 0; i < 3; i++) {
        note(0, 0), note(1, 0);
        CHECK_EQ(cl_get(&c, "/"), 200);
        CHECK_STR(c.body, "1");
        WAIT(noted(1));
        CHECK_EQ(noted(1), -ECANCELED); /* before the request was over */
    }
    CHECK_EQ(e2e_stop(), 0);
}

/* Of an error page, too; what a handler has left does not keep it from that. */
static int page_scoped(vt_req *req, vt_res *res) {
    int *kept = vt_req_alloc(req, sizeof *kept), sum = 0;
    if (!kept) return -ENOMEM;
    *kept = 42;
    int r = vt_scope_go(vt_req_scope(req), adds, &sum);
    if (r == 0) r = vt_scope_wait(vt_req_scope(req));
    note(2, r);
    if (r == 0) r = vt_scope_go_any(vt_req_scope(req), lives_long, kept);
    return r < 0 ? r : vt_res_printf(res, 200, "page %d", sum);
}
static int h_leaves_and_fails(vt_req *req, vt_res *res) {
    int *kept = vt_req_alloc(req, sizeof *kept);
    (void)res;
    if (!kept) return -ENOMEM;
    *kept = 42;
    int r = vt_scope_go_any(vt_req_scope(req), lives_long, kept);
    return r < 0 ? r : -EIO;
}
static void routes_pages_scoped(vt_server *s) {
    vt_server_get(s, "/", h_leaves_and_fails);
    vt_server_error_page(s, 0, page_scoped);
}
TEST(children_of_an_error_page_end_with_its_request) {
    forget();
    REQUIRE(e2e_start(NULL, routes_pages_scoped) == 0);
    for (int i = 0; i < 2; i++) {
        CL(c);
        note(0, 0), note(2, 1);
        CHECK_EQ(cl_ask(&c, i ? "GET / HTTP/1.1\r\n" HOST "\r\n"
                              : "GET / HTTP/1.1\r\n" HOST "Expect: more\r\n\r\n"),
                 i ? 500 : 417);
        CHECK_STR(c.body, "page 1");
        CHECK_EQ(noted(2), 0);
        WAIT(noted(0));
        CHECK_EQ(noted(0), -ECANCELED);
        cl_close(&c);
    }
    CHECK_EQ(e2e_stop(), 0);
}

/* No path is "/", but not to OPTIONS (RFC 9110 4.2.3). */
static void routes_one(vt_server *s) { vt_server_post(s, "/one", h_one); }
HTTP1_TEST(options_of_the_whole_server) {
    static const char *const targets[] = {"*", "http://a", "http://a/", "http://a?x", "http://a/one"};
    REQUIRE(e2e_start(NULL, routes_one) == 0);
    CL(c);
    REQUIRE(cl_open(&c));
    for (int i = 0; i < 5; i++) {
        cl_printf(&c, "OPTIONS %s HTTP/1.1\r\n" HOST "\r\n", targets[i]);
        CHECK_EQ(cl_response(&c), i == 2 || i == 3 ? 404 : 204);
        CHECK_STR(cl_field(&c, "allow"), i == 2 || i == 3 ? NULL : "POST, OPTIONS");
    }
    CHECK_EQ(e2e_stop(), 0);
}
/* Upgrade is the connection's (RFC 9110 7.8). */
static int h_other_protocol(vt_req *req, vt_res *res) {
    (void)req;
    int r = vt_res_field(res, "Upgrade", "other/2");
    return r < 0 ? r : vt_res_text(res, 426, "otherwise");
}
static void routes_other_protocol(vt_server *s) { vt_server_get(s, "/", h_other_protocol); }
/* ... and a 426 has it (15.5.22), whoever says so. */
static int h_wants_websocket(vt_req *req, vt_res *res) {
    (void)req, (void)res;
    return VT_EWSUPGRADE;
}
static void routes_wants_websocket(vt_server *s) { vt_server_get(s, "/", h_wants_websocket); }
TEST(upgrade_is_named_where_it_is_required) {
    REQUIRE(e2e_start(NULL, routes_wants_websocket) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/"), 426);
    CHECK_STR(cl_field(&c, "upgrade"), HTTP1 ? "websocket" : NULL);
    CHECK_STR(cl_field(&c, "connection"), HTTP1 ? "Upgrade" : NULL);
    CHECK_EQ(e2e_stop(), 0);
}
static int h_not_asked_for(vt_req *req, vt_res *res) {
    vt_stream *st;
    (void)req;
    int r = vt_res_upgrade(res, "other", &st);
    return r == VT_ESTATE ? vt_res_text(res, 200, "as before") : r;
}
static void routes_not_asked_for(vt_server *s) { vt_server_get(s, "/", h_not_asked_for); }
HTTP1_TEST(b118_nobody_is_upgraded_to_what_he_did_not_name) {
    REQUIRE(e2e_start(NULL, routes_not_asked_for) == 0);
    CL(c);
    CHECK_EQ(cl_ask(&c, "GET / HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: one, other/2\r\n\r\n"),
             200);
    CHECK_STR(c.body, "as before");
    CHECK_EQ(cl_ask(&c, "GET / HTTP/1.1\r\n" HOST
                        "Connection: upgrade\r\nUpgrade: one\r\nUpgrade: two, Other\r\n\r\n"),
             101);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(upgrade_is_named_in_connection) {
    REQUIRE(e2e_start(NULL, routes_other_protocol) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/"), 426);
    CHECK_STR(cl_field(&c, "upgrade"), HTTP1 ? "other/2" : NULL);
    CHECK_STR(cl_field(&c, "connection"), HTTP1 ? "Upgrade" : NULL);
    CHECK_EQ(e2e_stop(), 0);
}

/* ---- who waits for whom ---- */
enum { TOGETHER = 10, BODIES = 50 };
/* Parks until ten are in, or the gate opens. */
static int h_together(vt_req *req, vt_res *res) {
    int r = 0;
    (void)req;
    count(4);
    while (noted(4) < TOGETHER && !noted(5) && r == 0) r = vt_sleep_ms(1);
    return r < 0 ? r : vt_res_text(res, 200, "together");
}
static void routes_waits(vt_server *s) {
    routes_plain(s);
    vt_server_get(s, "/together", h_together);
}
static bool start_waits(void) {
    vt_server_cfg cfg = {.workers = 1};
    forget();
    return e2e_start(&cfg, routes_waits) == 0;
}
TEST(b112_ten_that_wait_for_each_other_on_one_worker) {
    REQUIRE(start_waits());
    struct cl c[TOGETHER];
    for (int i = 0; i < TOGETHER; i++) {
        c[i] = (struct cl){.fd = -1};
        REQUIRE(cl_open(&c[i]) && cl_puts(&c[i], "GET /together HTTP/1.1\r\n" HOST "\r\n"));
    }
    for (int i = 0; i < TOGETHER; i++) {
        CHECK_EQ(cl_response(&c[i]), 200);
        cl_close(&c[i]);
    }
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b113_bodies_that_are_read_keep_nobody_out) {
    REQUIRE(start_waits());
    static struct cl c[BODIES];
    char part[1000];
    memset(part, 'x', sizeof part);
    for (int i = 0; i < BODIES; i++) {
        c[i] = (struct cl){.fd = -1};
        REQUIRE(cl_open(&c[i]));
        REQUIRE(cl_puts(&c[i], "POST /body HTTP/1.1\r\n" HOST "Content-Length: 3000\r\n\r\n"));
    }
    for (int round = 0; round < 3; round++) {
        WAIT(noted(0) == BODIES + round); /* they are all in their handlers */
        CHECK_EQ(noted(0), BODIES + round);
        CL(newcomer);
        CHECK_EQ(cl_get(&newcomer, "/"), 200);
        cl_close(&newcomer);
        for (int i = 0; i < BODIES; i++) CHECK(cl_send(&c[i], part, sizeof part));
    }
    for (int i = 0; i < BODIES; i++) {
        CHECK_EQ(cl_response(&c[i]), 200);
        CHECK_EQ(c[i].body_len, 3000);
        cl_close(&c[i]);
    }
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b115_parked_handlers_delay_no_other_connection) {
    REQUIRE(start_waits());
    CL(before);
    CHECK_EQ(cl_get(&before, "/"), 200);
    struct cl c[TOGETHER - 1];
    for (int i = 0; i < TOGETHER - 1; i++) {
        c[i] = (struct cl){.fd = -1};
        REQUIRE(cl_open(&c[i]) && cl_puts(&c[i], "GET /together HTTP/1.1\r\n" HOST "\r\n"));
    }
    WAIT(noted(4) == TOGETHER - 1);
    CHECK_EQ(cl_get(&before, "/"), 200);
    CL(after);
    CHECK_EQ(cl_get(&after, "/"), 200);
    CHECK_EQ(noted(4), TOGETHER - 1); /* none has gone on */
    note(5, 1);
    for (int i = 0; i < TOGETHER - 1; i++) {
        CHECK_EQ(cl_response(&c[i]), 200);
        cl_close(&c[i]);
    }
    CHECK_EQ(e2e_stop(), 0);
}
