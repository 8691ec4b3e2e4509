/* White box: router, request and response objects and one request from head to end, over a wire in memory. */
#include <stddef.h>
#include <stdlib.h>
static long alloc_fail_at = -1, alloc_count,
            alloc_live; /* the alloc_fail_at-th allocation from now fails; -1: none */
static int alloc_once;  /* and no other behind it */
static void *test_realloc(void *p, size_t n) {
    if (alloc_fail_at >= 0 && alloc_count++ >= alloc_fail_at) {
        if (alloc_once) alloc_fail_at = -1;
        return NULL;
    }
    void *q = realloc(p, n);
    if (q && !p) alloc_live++;
    return q;
}
static void test_free(void *p) {
    alloc_live--;
    free(p);
}
#define VTHTTP_REALLOC(p, n) test_realloc(p, n)
#define VTHTTP_FREE(p) test_free(p)
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "tmp.h"
#include <sys/stat.h>

/* --- the fixture: a server, one request at a time, what came out as text --- */
static struct fx {
    vt_server s;
    vt__pool pool;
    vt__arena arena;
    vt_req req;
    vt_res res;
    vt__h1_field fields[64], trailers[8];
    char *head;
    size_t head_len;
    /* the body that comes: `step` bytes a read, then `read_err` or the end */
    const char *body;
    size_t body_len, body_pos, step;
    int read_err;
    /* what went out: status and fields, framing, body, "|end", "|abort" */
    char out[65536];
    size_t out_len;
    int fail_head, fail_write, fail_end, reads, flushes, heads, ends, aborts, responses, response_err;
    /* the log */
    int logged[VT_LOG_OFF];
    char last_log[1100];
} fx;

static void put(const void *p, size_t n) {
    if (n > sizeof fx.out - 1 - fx.out_len) n = sizeof fx.out - 1 - fx.out_len;
    memcpy(fx.out + fx.out_len, p, n);
    fx.out_len += n;
    fx.out[fx.out_len] = 0;
}
static void puts_out(const char *s) { put(s, strlen(s)); }
static void put_field(const vt__res_field *f) {
    CHECK(f->name[f->name_len] == 0 && f->value[f->value_len] == 0);
    put(f->name, f->name_len), puts_out(": "), put(f->value, f->value_len), puts_out("\n");
}

static int64_t wire_read(vt_req *req, void *buf, size_t n) {
    fx.reads++;
    CHECK(n > 0 && req->body_length != 0);
    size_t left = fx.body_len - fx.body_pos;
    if (n > left) n = left;
    if (n > fx.step) n = fx.step;
    if (!n && fx.read_err) return fx.read_err;
    memcpy(buf, fx.body + fx.body_pos, n);
    fx.body_pos += n;
    if (!n && req->body_length < 0) { /* a trailer section that the codec has read */
        static char text[32];
        memcpy(text, "X-Sum: abc\r\n", 13);
        fx.trailers[0] = (vt__h1_field){.name_off = 0, .name_len = 5, .value_off = 7, .value_len = 3};
        req->trailer_base = text;
        req->trailers = fx.trailers;
        req->ntrailers = 1;
    }
    return (int64_t)n;
}
static int wire_inform(vt_res *res, int status, vt_str lines) {
    char s[32];
    CHECK(res == &fx.res && fx.heads == 0);
    snprintf(s, sizeof s, "(%d ", status);
    puts_out(s), put(lines.ptr, lines.len), puts_out(")");
    return 0;
}
static int wire_head(vt_res *res, bool end_now) {
    static const char *const framing[] = {"none", "length", "chunked", "close"};
    char s[64];
    fx.heads++;
    if (fx.fail_head) return fx.fail_head;
    snprintf(s, sizeof s, "%d%s%s\n", res->status, res->close ? " close" : "", end_now ? " now" : "");
    puts_out(s);
    for (uint32_t i = 0; i < res->nfields; i++) put_field(&res->fields[i]);
    puts_out(framing[res->framing]);
    if (res->framing == VT__HTTP_LENGTH) snprintf(s, sizeof s, " %lld", (long long)res->length), puts_out(s);
    puts_out("\n\n");
    return 0;
}
static int64_t wire_write(vt_res *res, const void *p, size_t n) {
    CHECK(n > 0 && !res->no_body && fx.heads == 1);
    if (fx.fail_write) return fx.fail_write;
    put(p, n);
    return (int64_t)n;
}
static int wire_flush(vt_res *res) { return (void)res, fx.flushes++, 0; }
static int wire_end(vt_res *res) {
    CHECK(fx.ends++ == 0 && fx.aborts == 0);
    puts_out("|end");
    for (uint32_t i = 0; i < res->trailers.n; i++) puts_out(" "), put_field(&res->trailers.at[i]);
    return fx.fail_end;
}
static void wire_abort(vt_res *res) { (void)res, fx.aborts++, puts_out("|abort"); }
static int wire_upgrade(vt_res *res, const char *protocol, vt_stream **out) {
    if (strcmp(protocol, "busy") == 0) return VT_ESTATE;
    if (strcmp(protocol, "dead") == 0) return -EPIPE;
    wire_head(res, true);
    puts_out(protocol);
    *out = (vt_stream *)(void *)&fx;
    return 0;
}
static int wire_address(vt_req *req, bool local, char *buf, size_t cap) {
    (void)req;
    return snprintf(buf, cap, "%s", local ? "127.0.0.1:8080" : "192.0.2.7:40312");
}
#define WIRE(scheme)                                                                                         \
    {                                                                                                        \
        wire_read, wire_inform, wire_head, wire_write, NULL, wire_flush, wire_end, wire_abort, wire_upgrade, \
            NULL, wire_address, NULL, scheme                                                                 \
    }
static const vt__http_wire wire = WIRE("http"), wire_tls = WIRE("https");

static void on_response(vt_req *req, vt_res *res, void *ctx, int err) {
    CHECK(req == &fx.req && res == &fx.res && ctx == &fx);
    fx.responses++;
    fx.response_err = err;
}
static void on_log(void *ctx, int level, const char *line) {
    (void)ctx;
    fx.logged[level]++;
    snprintf(fx.last_log, sizeof fx.last_log, "%s", line);
}

static vt_server *fresh(void) {
    if (fx.pool.size) {
        vt__http_server_drop(&fx.s);
        vt__mem_arena_reset(&fx.arena);
        vt__mem_pool_drain(&fx.pool);
        free(fx.head);
        CHECK_EQ(alloc_live, 0);
    }
    memset(&fx, 0, sizeof fx);
    vt__mem_pool_init(&fx.pool, 4096, 16);
    vt__mem_arena_init(&fx.arena, &fx.pool, 0);
    vt__http_server_init(&fx.s);
    fx.s.cfg.ctx = &fx;
    fx.s.cfg.on_response = on_response;
    vt_log_set(on_log, NULL, VT_LOG_DEBUG);
    return &fx.s;
}

/* Parses a request as a protocol does, its head in memory of just its size. */
static bool load(const char *raw, size_t len) {
    vt__h1_req h = {0};
    vt_req *r = &fx.req;
    memset(r, 0xa5, sizeof *r); /* vt__req_init and what is filled in below must do */
    memset(&fx.res, 0xa5, sizeof fx.res);
    vt__mem_arena_reset(&fx.arena);
    free(fx.head);
    fx.head = malloc(len);
    memcpy(fx.head, raw, len);
    static const vt__h1_limits standard;
    int n = vt__h1_req_parse(&h, fx.head, len, fx.fields, 64, &standard);
    if (n <= 0) return false;
    vt__req_init(r, &fx.res, &fx.s, &wire, NULL, &fx.arena);
    r->head = fx.head;
    r->fields = fx.fields, r->nfields = h.nfields;
    r->method = (vt_str){fx.head + h.method_off, h.method_len};
    r->target = (vt_str){fx.head + h.target_off, h.target_len};
    r->path = h.path_len || h.form == VT__H1_AUTHORITY ? (vt_str){fx.head + h.path_off, h.path_len}
                                                       : VT__STR_LIT("/");
    r->query = h.flags & VT__H1_HAS_QUERY ? (vt_str){fx.head + h.query_off, h.query_len} : (vt_str){NULL, 0};
    r->authority = (vt_str){fx.head + h.auth_off, h.auth_len};
    r->body_length = h.flags & VT__H1_CHUNKED ? -1 : h.content_length;
    r->version = (uint8_t)(10 + h.minor);
    r->method_id = h.method, r->form = h.form;
    r->keep_alive = (h.flags & VT__H1_KEEP_ALIVE) != 0, r->upgrade = (h.flags & VT__H1_UPGRADE) != 0;
    fx.body = raw + n, fx.body_len = len - (size_t)n, fx.body_pos = 0;
    if (!fx.step) fx.step = SIZE_MAX;
    fx.out_len = 0, fx.out[0] = 0;
    fx.reads = fx.flushes = fx.heads = fx.ends = fx.aborts = fx.responses = 0;
    memset(fx.logged, 0, sizeof fx.logged);
    return true;
}
static bool load_text(const char *raw) { return load(raw, strlen(raw)); }
static int serve_mem(const char *raw, size_t len) {
    if (!load(raw, len)) {
        puts_out("not parsed");
        test_fail(__FILE__, __LINE__, "the head parses");
        return -1;
    }
    int r = vt__http_serve(&fx.req, &fx.res);
    CHECK_EQ(fx.responses, 1);
    CHECK_EQ(fx.ends + (fx.aborts > 0), 1);
    CHECK((r < 0) == (fx.aborts > 0));
    CHECK(fx.arena.limit || fx.logged[VT_LOG_DEBUG] + fx.logged[VT_LOG_ERROR] == (fx.response_err < 0));
    return r;
}
static int serve(const char *raw) { return serve_mem(raw, strlen(raw)); }
/* One request without a body and its answer. */
static const char *get(const char *method, const char *target) {
    static char raw[20000];
    snprintf(raw, sizeof raw, "%s %s HTTP/1.1\r\nHost: example.org\r\n\r\n", method, target);
    serve(raw);
    return fx.out;
}

/* --- handlers --- */
static int say_pattern(vt_req *req, vt_res *res) {
    char s[400];
    size_t n = (size_t)snprintf(s, sizeof s, "%s", req->route->pattern.ptr);
    for (uint32_t i = 0; i < req->route->nparams; i++) {
        char name[64];
        vt_str key = req->route->params[i].name;
        snprintf(name, sizeof name, "%.*s", (int)key.len, key.ptr);
        vt_str v = vt_req_param(req, name);
        CHECK(v.ptr && v.ptr[v.len] == 0);
        CHECK(v.ptr == vt_req_param(req, name).ptr);
        n += (size_t)snprintf(s + n, sizeof s - n, " %s=%s", name, v.ptr);
    }
    return vt_res_text(res, 200, s);
}
static int hello(vt_req *req, vt_res *res) { return (void)req, vt_res_text(res, 200, "hello"); }
static int (*script)(vt_req *req, vt_res *res); /* what the next request's handler does */
static int scripted(vt_req *req, vt_res *res) { return script(req, res); }
/* Runs `fn` as the handler of one request. */
static const char *run(int (*fn)(vt_req *, vt_res *), const char *raw) {
    script = fn;
    serve(raw);
    return fx.out;
}
#define GET_ "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET10 "GET / HTTP/1.0\r\n\r\n"
#define HEAD_ "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
#define TEXT "Content-Type: text/plain;charset=utf-8\n"

static vt_server *fresh_scripted(void) {
    vt_server *s = fresh();
    vt_server_any(s, "/", scripted);
    return s;
}

/* --- router --- */
static const char *body_of(const char *out) {
    const char *p = strstr(out, "\n\n");
    return p ? p + 2 : out;
}

TEST(router_table) {
    static const char *const patterns[] = {"/",
                                           "/users",
                                           "/users/",
                                           "/users/{id}",
                                           "/users/me",
                                           "/users/{id}/posts/{post}",
                                           "/users/me/posts",
                                           "/files/{rest...}",
                                           "/files/{a}/raw",
                                           "/files/x/{b}",
                                           "/a b/+",
                                           "/{lang}/home",
                                           "/deep/{all...}",
                                           "/deep/1/2/3/4/5/6/7/8/9/10"};
    static const struct {
        const char *path, *want;
    } cases[] = {{"/", "/"},
                 {"/users", "/users"},
                 {"/users/", "/users/"},
                 {"/users/7", "/users/{id} id=7"},
                 {"/users/me", "/users/me"},
                 {"/users/me%20", "/users/{id} id=me "},
                 {"/users/%6de", "/users/me"},
                 {"/users/a%2Fb", "/users/{id} id=a/b"},
                 {"/users/a+b", "/users/{id} id=a+b"},
                 {"/users/%C3%A9", "/users/{id} id=\xc3\xa9"},
                 {"/users/7/posts/8", "/users/{id}/posts/{post} id=7 post=8"},
                 {"/users/me/posts/8", "/users/{id}/posts/{post} id=me post=8"},
                 {"/users/me/posts", "/users/me/posts"},
                 {"/users/7/posts", "404"},
                 {"/users/7/posts/", "404"},
                 {"/users//posts/8", "404"},
                 {"/USERS", "404"},
                 {"/files/", "/files/{rest...} rest="},
                 {"/files", "404"},
                 {"/files//", "/files/{rest...} rest=/"},
                 {"/files/a/b/c", "/files/{rest...} rest=a/b/c"},
                 {"/files/a/raw", "/files/{a}/raw a=a"},
                 {"/files/a/raw/", "/files/{rest...} rest=a/raw/"},
                 {"/files/x/raw", "/files/x/{b} b=raw"},
                 {"/files/x/", "/files/{rest...} rest=x/"},
                 {"/files/a%20b/%63", "/files/{rest...} rest=a b/c"},
                 {"/a%20b/+", "/a b/+"},
                 {"/a+b/+", "404"},
                 {"/de/home", "/{lang}/home lang=de"},
                 {"/users/home", "/users/{id} id=home"},
                 {"/files/home", "/files/{rest...} rest=home"},
                 {"//home", "404"},
                 {"/deep/1/2/3/4/5/6/7/8/9/10", "/deep/1/2/3/4/5/6/7/8/9/10"},
                 {"/deep/1/2/3/4/5/6/7/8/9/11", "/deep/{all...} all=1/2/3/4/5/6/7/8/9/11"},
                 {"/deep/1/2/3/4/5/6/7/8/9/10/11", "/deep/{all...} all=1/2/3/4/5/6/7/8/9/10/11"},
                 {"/nowhere", "404"}};
    vt_server *s = fresh();
    for (size_t i = 0; i < VT__COUNT(patterns); i++) vt_server_get(s, patterns[i], say_pattern);
    CHECK_EQ(vt_server_error(s), 0);
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        char want[200];
        const char *out = get("GET", cases[i].path);
        if (strcmp(cases[i].want, "404") == 0) snprintf(want, sizeof want, "404 Not Found\n|end");
        else snprintf(want, sizeof want, "%s|end", cases[i].want);
        CHECK_STR(body_of(out), want);
    }
}

TEST(b006_segments_are_decoded_after_splitting) {
    vt_server *s = fresh();
    vt_server_get(s, "/{a}/{b}", say_pattern);
    CHECK_STR(body_of(get("GET", "/x%2fy/%7e+%25")), "/{a}/{b} a=x/y b=~+%|end");
    CHECK_STR(body_of(get("GET", "/x%2Fy")), "404 Not Found\n|end");
}

TEST(hostile_paths_are_refused) {
    static const char *const bad[] = {"/%00",        "/a%",         "/%2",     "/%zz",   "/.",
                                      "/..",         "/a/../b",     "/%2e%2E", "/a/%2e", "/x/.%2e/y",
                                      "/a%2F..",     "/a%2f..%2fb", "/..%2f",  "/%2F..", "/a%2f%2e",
                                      "/%2e%2e%2fa", "/ok?a=%s%",   "/ok?%"};
    vt_server *s = fresh();
    vt_server_get(s, "/{all...}", say_pattern);
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        get("GET", bad[i]);
        CHECK_STR(fx.out, "400 close\n" TEXT "length 16\n\n400 Bad Request\n|end");
    }
    CHECK_STR(body_of(get("GET", "/a%2Fb/...")), "/{all...} all=a/b/...|end");
    CHECK_STR(body_of(get("GET", "/..a/b..")), "/{all...} all=..a/b..|end");
}

TEST(long_paths_cost_one_pass) {
    static char path[8001];
    vt_server *s = fresh();
    vt_server_get(s, "/{a}/{b}/{c}/{d}", say_pattern);
    vt_server_get(s, "/", say_pattern);
    memset(path, '/', 8000);
    CHECK_STR(body_of(get("GET", path)), "404 Not Found\n|end");
    for (int i = 0; i < 8000; i++) path[i] = i % 2 ? 'a' : '/';
    CHECK_STR(body_of(get("GET", path)), "404 Not Found\n|end");
    vt_server_get(s, "/{a}/{rest...}", hello);
    for (int i = 0; i + 4 <= 7992; i += 4) memcpy(path + i, i % 8 ? "a%2F" : "/%4f", 4);
    path[7992] = 0;
    CHECK_STR(body_of(get("GET", path)), "hello|end");
    vt_str rest = vt_req_param(&fx.req, "rest");
    CHECK_EQ(rest.len, 7992 / 8 * 4 - 5);
    CHECK(memcmp(rest.ptr, "Oa//Oa//", 8) == 0);
    memset(path, 'a', 7990), path[0] = '/', path[3] = '/';
    CHECK_STR(body_of(get("GET", path)), "hello|end");
}

/* A tree in which every choice of literal or parameter matches: each node is met once, the most specific first. */
TEST(backtracking_is_bounded_by_the_tree) {
    enum { LEVELS = 10 };
    vt_server *s = fresh();
    for (int m = 0; m < 1 << LEVELS; m++) {
        char pattern[200];
        size_t n = 0;
        for (int i = 0; i < LEVELS; i++)
            n += (size_t)snprintf(pattern + n, sizeof pattern - n, m >> i & 1 ? "/{p%d}" : "/a", i);
        vt_server_post(s, pattern, hello);
    }
    REQUIRE(vt_server_error(s) == 0);
    vt__router_path p;
    vt__router_walk w;
    vt_str path = VT__STR_LIT("/a/a/a/a/a/a/a/a/a/a");
    vt__router_split(&p, path, LEVELS, NULL);
    vt__router_begin(&w, &s->router, &p);
    int seen = 0;
    for (const vt__router_node *n; (n = vt__router_next(&w)) != NULL; seen++)
        if (seen == 0) CHECK_STR(n->routes->pattern.ptr, path.ptr);
    CHECK_EQ(seen, 1 << LEVELS);
    get("GET", path.ptr);
    CHECK_STR(fx.out, "405\nAllow: POST, OPTIONS\n" TEXT "length 23\n\n405 Method Not Allowed\n|end");
    CHECK_STR(body_of(get("GET", "/a/a/a/a/a/a/a/a/a/a/a")), "404 Not Found\n|end");
}

TEST(bad_patterns_are_the_servers_error) {
    static const struct {
        const char *method, *pattern, *text;
    } bad[] = {
        {"GET", "", "route GET : a pattern begins with /"},
        {"GET", NULL, "route GET : a pattern begins with /"},
        {"GET", "users", "route GET users: a pattern begins with /"},
        {"GET", "/a//b", "route GET /a//b: an empty segment"},
        {"GET", "//", "route GET //: an empty segment"},
        {"GET", "/{", "route GET /{: a parameter is a whole segment, {name} or {name...}"},
        {"GET", "/{}", "route GET /{}: a parameter's name is made of letters, digits and _"},
        {"GET", "/{...}", "route GET /{...}: a parameter's name is made of letters, digits and _"},
        {"GET", "/{1}", "route GET /{1}: a parameter's name is made of letters, digits and _"},
        {"GET", "/{a-b}", "route GET /{a-b}: a parameter's name is made of letters, digits and _"},
        {"GET", "/x{a}", "route GET /x{a}: a parameter is a whole segment, {name} or {name...}"},
        {"GET", "/{a}x", "route GET /{a}x: a parameter is a whole segment, {name} or {name...}"},
        {"GET", "/a}", "route GET /a}: a parameter is a whole segment, {name} or {name...}"},
        {"GET", "/{a}/{a}", "route GET /{a}/{a}: a parameter's name stands twice"},
        {"GET", "/{a...}/b", "route GET /{a...}/b: a tail stands last"},
        {"GET", "/a/../b", "route GET /a/../b: a dot segment never matches"},
        {"G T", "/", "route G T /: not a method"},
        {"GET", "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a",
         "route GET /a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a: too many segments"}};
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        vt_server *s = fresh();
        vt_route *r = vt_server_handle(s, bad[i].method, bad[i].pattern, hello);
        REQUIRE(r);
        CHECK_EQ(vt_server_error(s), VT_EROUTE);
        CHECK_STR(vt_server_error_text(s), bad[i].text);
        CHECK_EQ(vt_route_ctx(r, s), VT_EROUTE);
    }
}

static int pass(vt_req *req, vt_res *res, vt_next *next) { return vt_next_run(next, req, res); }

TEST(first_error_of_a_server_is_kept) {
    vt_server *s = fresh();
    vt_server_get(s, "/users/{id}", hello);
    CHECK_EQ(vt_server_error(s), 0);
    vt_server_post(s, "/users/{name}", hello);
    vt_server_any(s, "/users/{name}", hello);
    CHECK_EQ(vt_server_error(s), 0);
    vt_route *r = vt_server_get(s, "/users/{name}", hello);
    CHECK_EQ(vt_server_error(s), VT_EROUTE);
    CHECK_STR(vt_server_error_text(s), "route GET /users/{name}: defined twice");
    CHECK_EQ(vt_server_use(s, pass, NULL), VT_EROUTE);
    CHECK_EQ(vt_server_error_page(s, 404, hello), VT_EROUTE);
    CHECK_EQ(vt_route_use(r, pass, NULL), VT_EROUTE);
    CHECK_EQ(vt_route_max_body(r, 1), VT_EROUTE);
    CHECK_EQ(vt_route_timeout_ms(r, 1), VT_EROUTE);
    vt_server_get(s, "also bad", hello);
    CHECK_STR(vt_server_error_text(s), "route GET /users/{name}: defined twice");

    s = fresh();
    CHECK_EQ(vt_server_error_page(s, 200, hello), -EINVAL);
    CHECK_EQ(vt_server_error(s), -EINVAL);
    s = fresh();
    vt_server_get(s, "/", NULL);
    CHECK_STR(vt_server_error_text(s), "route GET /: no handler");

    static vt_server out_of_memory = {.error = -ENOMEM, .error_text = "out of memory"};
    r = vt_server_get(&out_of_memory, "/", hello);
    CHECK(r != NULL);
    CHECK_EQ(vt_route_ctx(r, s), -ENOMEM);
}

TEST(routes_are_fixed_once_the_server_runs) {
    vt_server *s = fresh();
    vt_route *r = vt_server_get(s, "/", hello);
    CHECK_EQ(vt_route_max_body(r, 7), 0);
    s->running = true;
    CHECK_EQ(vt_route_ctx(r, s), VT_ESTATE);
    CHECK_EQ(vt_server_use(s, pass, NULL), VT_ESTATE);
    CHECK_EQ(vt_route_ctx(vt_server_get(s, "/x", hello), s), VT_ESTATE);
    CHECK_EQ(vt_server_error(s), 0);
    CHECK_STR(body_of(get("GET", "/x")), "404 Not Found\n|end");
}

TEST(methods) {
    vt_server *s = fresh();
    vt_server_get(s, "/a", hello);
    vt_server_handle(s, "QUERY", "/a", hello);
    vt_server_handle(s, "FROB", "/a", hello);
    vt_server_handle(s, "frob", "/{x}", hello);
    vt_server_any(s, "/any", say_pattern);
    vt_server_handle(s, "OPTIONS", "/opt", hello);
    vt_server_handle(s, "HEAD", "/head", hello);
    vt_server_put(s, "/head", hello);
    vt_server_delete(s, "/head", hello);
    CHECK_STR(get("GET", "/a"), "200\n" TEXT "length 5\n\nhello|end");
    CHECK_STR(get("HEAD", "/a"), "200 now\n" TEXT "length 5\n\n|end");
    CHECK_STR(get("FROB", "/a"), "200\n" TEXT "length 5\n\nhello|end");
    /* The union over every node that matches; methods are case-sensitive. */
    CHECK_STR(get("DELETE", "/a"), "405\nAllow: FROB, frob, GET, HEAD, OPTIONS, QUERY\n" TEXT
                                   "length 23\n\n405 Method Not Allowed\n|end");
    CHECK_STR(get("frob", "/a"), "200\n" TEXT "length 5\n\nhello|end");
    CHECK_STR(get("OPTIONS", "/a"), "204 now\nAllow: FROB, frob, GET, HEAD, OPTIONS, QUERY\nnone\n\n|end");
    CHECK_STR(get("OPTIONS", "/none/x"), "404\n" TEXT "length 14\n\n404 Not Found\n|end");
    CHECK_STR(get("OPTIONS", "*"),
              "204 now\nAllow: frob, FROB, GET, HEAD, PUT, DELETE, OPTIONS, QUERY\nnone\n\n|end");
    CHECK_STR(body_of(get("BREW", "/any")), "/any|end");
    CHECK_STR(body_of(get("OPTIONS", "/any")), "/any|end");
    CHECK_STR(body_of(get("OPTIONS", "/opt")), "hello|end");
    CHECK_STR(get("HEAD", "/head"), "200 now\n" TEXT "length 5\n\n|end");
    CHECK_STR(get("GET", "/head"), "405\nAllow: frob, HEAD, PUT, DELETE, OPTIONS\n" TEXT
                                   "length 23\n\n405 Method Not Allowed\n|end");
    CHECK_STR(get("TRACE", "/a"), "405\nAllow: FROB, frob, GET, HEAD, OPTIONS, QUERY\n" TEXT
                                  "length 23\n\n405 Method Not Allowed\n|end");
    CHECK_STR(get("CONNECT", "example.org:80"), "501 close\n" TEXT "length 20\n\n501 Not Implemented\n|end");
    serve("GET http://example.org HTTP/1.1\r\nHost: example.org\r\n\r\n");
    CHECK_STR(body_of(fx.out), "404 Not Found\n|end");
}

TEST(a_server_without_routes) {
    fresh();
    CHECK_STR(get("GET", "/"), "404\n" TEXT "length 14\n\n404 Not Found\n|end");
    CHECK_STR(get("OPTIONS", "*"), "204 now\nAllow: OPTIONS\nnone\n\n|end");
}

/* Random tables against a matcher that looks at every route. */
typedef struct ref_route {
    char method[8], pattern[80];
} ref_route;

static bool ref_matches(const char *pattern, const char *path, char *rank) {
    size_t n = 0;
    while (*pattern && *path) {
        const char *pe = pattern + 1 + strcspn(pattern + 1, "/"), *e = path + 1 + strcspn(path + 1, "/");
        size_t pl = (size_t)(pe - pattern), l = (size_t)(e - path);
        if (pl > 4 && memcmp(pe - 4, "...}", 4) == 0) return rank[n] = '2', rank[n + 1] = 0, true;
        if (pl > 1 && pattern[1] == '{') {
            if (l == 1) return false;
            rank[n++] = '1';
        } else {
            if (pl != l || memcmp(pattern, path, l) != 0) return false;
            rank[n++] = '0';
        }
        pattern = pe, path = e;
    }
    rank[n] = 0;
    return !*pattern && !*path;
}

static const char *ref_pick(const ref_route *r, int n, const char *method, const char *path, bool *known) {
    const char *best = NULL;
    char best_rank[80] = "", rank[80];
    *known = false;
    for (int pri = 0, i = 0; i < n * 3; pri = ++i / n) { /* the method's own, GET for HEAD, every method */
        const ref_route *x = &r[i % n];
        const char *want = pri == 0 ? method : pri == 1 ? "GET" : "";
        if (!ref_matches(x->pattern, path, rank)) continue;
        *known = true;
        if ((pri == 1 && strcmp(method, "HEAD") != 0) || strcmp(x->method, want) != 0) continue;
        if (!best || strcmp(rank, best_rank) < 0) best = x->pattern, strcpy(best_rank, rank);
    }
    return best;
}

TEST(random_tables_match_a_plain_search) {
    static const char *const methods[] = {"GET", "HEAD", "POST", "", "FROB"}, *const segs[] = {"a", "b",
                                                                                               "{x}", "{y}"};
    uint64_t rng = test_seed();
    for (int round = 0; round < 300; round++) {
        ref_route routes[24];
        int n = 0;
        vt_server *s = fresh();
        for (int tries = 0; tries < 24; tries++) {
            ref_route *r = &routes[n];
            size_t len = 0, depth = (size_t)(test_rand(&rng) % 5);
            for (size_t i = 0; i < depth; i++) { /* names differ by place, so none stands twice */
                const char *seg = segs[test_rand(&rng) % 4];
                int w = snprintf(r->pattern + len, 20, seg[0] == '{' ? "/{%c%zu}" : "/%c", seg[seg[0] == '{'],
                                 i);
                len += (size_t)w;
            }
            snprintf(r->pattern + len, 20, "%s",
                     (const char *[]){"", "/", "/{t...}"}[len ? test_rand(&rng) % 3 : 1]);
            snprintf(r->method, sizeof r->method, "%s", methods[test_rand(&rng) % 5]);
            vt_server_handle(s, r->method, r->pattern, say_pattern);
            if (!s->error) n++;
            CHECK(s->error == 0 || s->error == VT_EROUTE);
            s->error = 0; /* defined twice */
        }
        for (int tries = 0; tries < 60; tries++) {
            char path[80] = "", want[200];
            size_t len = 0, depth = (size_t)(test_rand(&rng) % 6);
            bool known;
            for (size_t i = 0; i < depth; i++)
                len += (size_t)snprintf(path + len, 20, "/%s",
                                        (const char *[]){"a", "b", "c", ""}[test_rand(&rng) % 4]);
            if (!len) strcpy(path, "/");
            const char *method = methods[test_rand(&rng) % 3];
            const char *best = ref_pick(routes, n, method, path, &known);
            get(method, path);
            snprintf(want, sizeof want, "%s", best ? "200" : known ? "405" : "404");
            CHECK(strncmp(fx.out, want, 3) == 0);
            if (!best || fx.req.method_id == VT__H1_M_HEAD) continue;
            snprintf(want, sizeof want, "%s", fx.req.route->pattern.ptr);
            CHECK_STR(want, best);
        }
        if (test_failures) return;
    }
}

/* --- requests --- */
static void same(vt_str s, const char *want) {
    CHECK((s.ptr == NULL) == (want == NULL));
    if (s.ptr && want) CHECK_STR(s.ptr, want), CHECK_EQ(s.len, strlen(want));
    if (!s.ptr) CHECK_EQ(s.len, 0);
}

TEST(b016_path_query_target_accessors) {
    fresh();
    vt_req *r = &fx.req;
    REQUIRE(load_text("GET /a%20b/c%2Bd?x=1&y HTTP/1.1\r\nHost: h:81\r\n\r\n"));
    for (int twice = 0; twice < 2;
         twice++) { /* strings get their ends in place: order and repetition must not matter */
        same(vt_req_method(r), "GET");
        same(vt_req_raw_path(r), "/a%20b/c%2Bd");
        same(vt_req_path(r), "/a b/c+d");
        same(vt_req_raw_query(r), "x=1&y");
        same(vt_req_segment(r), "c+d");
        same(vt_req_target(r), "/a%20b/c%2Bd?x=1&y");
        same(vt_req_host(r), "h");
        CHECK_EQ(vt_req_port(r), 81);
    }
    CHECK_EQ(vt_req_version(r), 11);
    CHECK_STR(vt_req_scheme(r), "http");
    CHECK_EQ(vt_req_keep_alive(r), 1);

    REQUIRE(load_text("GET /dir/? HTTP/1.0\r\n\r\n"));
    same(vt_req_raw_query(r), "");
    same(vt_req_target(r), "/dir/?");
    same(vt_req_path(r), "/dir/");
    same(vt_req_segment(r), "");
    same(vt_req_host(r), NULL);
    CHECK_EQ(vt_req_port(r), 80);
    CHECK_EQ(vt_req_version(r), 10);
    CHECK_EQ(vt_req_keep_alive(r), 0);

    REQUIRE(load_text("GET http://example.org HTTP/1.1\r\nHost: example.org\r\n\r\n"));
    same(vt_req_path(r), "/");
    same(vt_req_raw_query(r), NULL);
    same(vt_req_target(r), "http://example.org");
    same(vt_req_host(r), "example.org");
    REQUIRE(load_text("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"));
    same(vt_req_path(r), "*");
    same(vt_req_target(r), "*");
}

TEST(b025_ipv6_host_keeps_its_brackets) {
    fresh();
    REQUIRE(load_text("GET / HTTP/1.1\r\nHost: [::1]:8081\r\n\r\n"));
    same(vt_req_host(&fx.req), "[::1]");
    CHECK_EQ(vt_req_port(&fx.req), 8081);
    REQUIRE(load_text("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n"));
    fx.req.wire = &wire_tls;
    CHECK_EQ(vt_req_port(&fx.req), 443);
}

TEST(b012_addresses_come_from_the_connection) {
    fresh();
    REQUIRE(load_text("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n"));
    const char *peer = vt_req_peer(&fx.req);
    CHECK_STR(peer, "192.0.2.7:40312");
    CHECK(vt_req_peer(&fx.req) == peer);
    CHECK_STR(vt_req_local(&fx.req), "127.0.0.1:8080");
}

TEST(b013_query_values) {
    fresh();
    vt_req *r = &fx.req;
    const char *raw = "GET /?a=1&b&a=&c=%26%2B+;x&a=3&%61=4&=z&&d=%00q HTTP/1.1\r\nHost: h\r\n\r\n";
    REQUIRE(load_text(raw));
    same(vt_req_query(r, "a"), "1");
    same(vt_req_query_at(r, "a", 1), "");
    same(vt_req_query_at(r, "a", 2), "3");
    same(vt_req_query_at(r, "a", 3), "4");
    same(vt_req_query_at(r, "a", 4), NULL);
    same(vt_req_query_at(r, "a", 0), "1"); /* the cursor does not stick */
    same(vt_req_query_at(r, "a", 3), "4");
    same(vt_req_query_at(r, "a", 2), "3");
    same(vt_req_query(r, "b"), "");
    same(vt_req_query(r, "nope"), NULL);
    same(vt_req_query(r, ""), "z");
    same(vt_req_query(r, "A"), NULL);
    vt_str d = vt_req_query(r, "d"); /* a NUL in a value is data */
    CHECK_MEM(d.ptr, d.len, "\0q", 2);
    REQUIRE(load_text(GET_));
    same(vt_req_query(r, "a"), NULL);
}

TEST(b019_b020_semicolon_is_data_and_raw_query_stays) {
    fresh();
    const char *raw = "GET /?c=%26%2B+;x=1&y=2 HTTP/1.1\r\nHost: h\r\n\r\n";
    REQUIRE(load_text(raw));
    same(vt_req_query(&fx.req, "c"), "&+ ;x=1");
    same(vt_req_query(&fx.req, "x"), NULL);
    same(vt_req_raw_query(&fx.req), "c=%26%2B+;x=1&y=2");
}

TEST(b024_undecodable_query_is_400) {
    vt_server *s = fresh();
    vt_server_get(s, "/", hello);
    CHECK_STR(body_of(get("GET", "/?%s%")), "400 Bad Request\n|end");
    CHECK_STR(body_of(get("GET", "/?a=%4")), "400 Bad Request\n|end");
    CHECK_STR(body_of(get("GET", "/?a=%41&%")), "400 Bad Request\n|end");
    CHECK_STR(body_of(get("GET", "/?a=%41")), "hello|end");
    CHECK_STR(body_of(get("GET", "/?")), "hello|end");
}

TEST(query_cursor_agrees_with_a_plain_count) {
    uint64_t rng = test_seed();
    fresh();
    for (int round = 0; round < 200; round++) {
        char q[200], raw[300];
        size_t n = 0, count[3] = {0};
        for (int i = 0; i < 20; i++) {
            size_t k = (size_t)(test_rand(&rng) % 4);
            if (k == 3) n += (size_t)snprintf(q + n, 8, "&");
            else n += (size_t)snprintf(q + n, 8, "%s=%zu&", (const char *[]){"a", "%62", "c"}[k], count[k]++);
        }
        q[n - 1] = 0;
        snprintf(raw, sizeof raw, "GET /?%s HTTP/1.1\r\nHost: h\r\n\r\n", q);
        REQUIRE(load_text(raw));
        for (int i = 0; i < 60; i++) {
            size_t k = (size_t)(test_rand(&rng) % 3), at = (size_t)(test_rand(&rng) % 22);
            char want[8];
            snprintf(want, sizeof want, "%zu", at);
            same(vt_req_query_at(&fx.req, (const char *[]){"a", "b", "c"}[k], at),
                 at < count[k] ? want : NULL);
        }
        if (test_failures) return;
    }
}

#define FIELDS                                                                                                \
    "GET / HTTP/1.1\r\nHost: h\r\nAccept:  text/html \t\r\nX-Empty:\r\nTags: a\r\ntags: b, c\r\nX-Odd: 1\r\n" \
    "ACCEPT: x/y\r\n\r\n"

TEST(b017_fields_joined_and_listed) {
    fresh();
    vt_req *r = &fx.req;
    REQUIRE(load_text(FIELDS));
    for (int twice = 0; twice < 2; twice++) {
        same(vt_req_field(r, "Host"), "h");
        same(vt_req_field(r, "accept"), "text/html, x/y");
        same(vt_req_field_at(r, "Accept", 0), "text/html");
        same(vt_req_field_at(r, "Accept", 1), "x/y");
        same(vt_req_field_at(r, "Accept", 2), NULL);
        same(vt_req_field(r, "x-empty"), "");
        same(vt_req_field(r, "TAGS"), "a, b, c");
        same(vt_req_field_at(r, "tags", 1), "b, c");
        same(vt_req_field(r, "none"), NULL);
        same(vt_req_field(r, ""), NULL);
    }
    vt_str name, value;
    const char *const want[] = {"Host", "Accept", "X-Empty", "Tags", "tags", "X-Odd", "ACCEPT"};
    for (size_t i = 0; i < VT__COUNT(want); i++) {
        REQUIRE(vt_req_field_nth(r, i, &name, &value) == 1);
        same(name, want[i]);
        CHECK(value.ptr[value.len] == 0);
    }
    CHECK_EQ(vt_req_field_nth(r, VT__COUNT(want), &name, &value), 0);
}

TEST(b021_middleware_replaces_and_removes_fields) {
    fresh();
    vt_req *r = &fx.req;
    vt_str name, value;
    REQUIRE(load_text(FIELDS));
    CHECK_EQ(vt_req_field_set(r, "accept", "q/r"), 0);
    same(vt_req_field(r, "Accept"), "q/r");
    same(vt_req_field_at(r, "Accept", 1), NULL);
    CHECK_EQ(vt_req_field_set(r, "Accept", "s"), 0);
    same(vt_req_field(r, "Accept"), "s");
    CHECK_EQ(vt_req_field_set(r, "TAGS", NULL), 0);
    same(vt_req_field(r, "tags"), NULL);
    CHECK_EQ(vt_req_field_set(r, "X-New", "n"), 0);
    same(vt_req_field(r, "x-new"), "n");
    CHECK_EQ(vt_req_field_set(r, "X-Odd", ""), 0);
    same(vt_req_field(r, "x-odd"), "");
    for (int i = 0; i < 40; i++) {
        char s[16];
        snprintf(s, sizeof s, "F-%d", i);
        CHECK_EQ(vt_req_field_set(r, s, s), 0);
    }
    same(vt_req_field(r, "f-39"), "F-39");
    CHECK_EQ(vt_req_field_set(r, "bad name", "x"), VT_EFIELD);
    CHECK_EQ(vt_req_field_set(r, "x", "a\r\nb: c"), VT_EFIELD);
    const char *const want[] = {"Host", "X-Empty", "Accept", "X-New", "X-Odd", "F-0"};
    for (size_t i = 0; i < VT__COUNT(want); i++) {
        REQUIRE(vt_req_field_nth(r, i, &name, &value) == 1);
        same(name, want[i]);
    }
    CHECK_EQ(vt_req_field_nth(r, 44, &name, &value), 1);
    CHECK_EQ(vt_req_field_nth(r, 45, &name, &value), 0);
}

TEST(cookies_of_a_request) {
    fresh();
    vt_req *r = &fx.req;
    const char *raw =
        "GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1; bb=x=y ;c=\"q%20\"; d=;e\r\nCookie: a=2;z=9\r\n\r\n";
    REQUIRE(load_text(raw));
    same(vt_req_cookie(r, "a"), "1");
    same(vt_req_cookie(r, "bb"), "x=y");
    same(vt_req_cookie(r, "b"), NULL);
    same(vt_req_cookie(r, "c"), "\"q%20\"");
    same(vt_req_cookie(r, "d"), "");
    same(vt_req_cookie(r, "e"), NULL);
    same(vt_req_cookie(r, "z"), "9");
    same(vt_req_cookie(r, "A"), NULL);
    same(vt_req_field(r, "cookie"), "a=1; bb=x=y ;c=\"q%20\"; d=;e; a=2;z=9");
    CHECK_EQ(vt_req_field_set(r, "Cookie", "a=3"), 0);
    same(vt_req_cookie(r, "a"), "3");
    same(vt_req_cookie(r, "z"), NULL);
}

TEST(b023_contexts_and_values) {
    vt_server *s = fresh();
    static const char key1, key2;
    int x = 0;
    vt_route *r = vt_server_get(s, "/", hello);
    CHECK_EQ(vt_route_ctx(r, &x), 0);
    get("GET", "/");
    CHECK(vt_req_ctx(&fx.req) == &fx);
    CHECK(vt_req_route_ctx(&fx.req) == &x);
    CHECK(vt_req_get(&fx.req, &key1) == NULL);
    CHECK_EQ(vt_req_set(&fx.req, &key1, &x), 0);
    CHECK_EQ(vt_req_set(&fx.req, &key2, s), 0);
    CHECK_EQ(vt_req_set(&fx.req, &key1, r), 0);
    CHECK(vt_req_get(&fx.req, &key1) == r && vt_req_get(&fx.req, &key2) == s);
    get("GET", "/none");
    CHECK(vt_req_route_ctx(&fx.req) == NULL);
    same(vt_req_param(&fx.req, "id"), NULL);
    char *p = vt_req_alloc(&fx.req, 100000);
    REQUIRE(p);
    memset(p, 1, 100000);
    CHECK(((uintptr_t)p & 15) == 0);
    CHECK_STR(vt_req_printf(&fx.req, "%d-%s", 7, "x"), "7-x");
    memset(p, 'y', 999), p[999] = 0;
    CHECK_STR(vt_req_printf(&fx.req, "%s", p), p);
    p[255] = 0; /* just fills the buffer on the stack */
    CHECK_STR(vt_req_printf(&fx.req, "%s", p), p);
    p[254] = 0;
    CHECK_STR(vt_req_printf(&fx.req, "%s!", p), vt_req_printf(&fx.req, "%s%c", p, '!'));
}

/* --- bodies --- */
#define POST(n) "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " #n "\r\n\r\n"
#define CHUNKED "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

static int echo_whole(vt_req *req, vt_res *res) {
    vt_str a, b;
    int err = vt_req_body(req, &a);
    if (err < 0) return err;
    CHECK_EQ(vt_req_body(req, &b), 0);
    CHECK(a.ptr == b.ptr && a.ptr[a.len] == 0);
    CHECK_EQ(vt_req_read(req, &err, 1), VT_ESTATE);
    return vt_res_send(res, 200, "x/y", a.ptr, a.len);
}
static int echo_stream(vt_req *req, vt_res *res) {
    char buf[7];
    vt_str s;
    int64_t n;
    while ((n = vt_req_read(req, buf, sizeof buf)) > 0)
        if (vt_res_write(res, buf, (size_t)n) < 0) return -EIO;
    if (n == 0) CHECK_EQ(vt_req_read(req, buf, sizeof buf), 0);
    CHECK_EQ(vt_req_body(req, &s), VT_ESTATE);
    return (int)n;
}

TEST(b063_bodies_whole_and_streamed) {
    vt_server *s = fresh_scripted();
    CHECK_STR(run(echo_whole, POST(5) "12345"), "200\nContent-Type: x/y\nlength 5\n\n12345|end");
    CHECK_STR(run(echo_whole, POST(0)), "200 now\nContent-Type: x/y\nlength 0\n\n|end");
    CHECK_STR(run(echo_stream, POST(5) "12345"),
              "200\nContent-Type: application/octet-stream\nchunked\n\n12345|end");
    CHECK_STR(run(echo_whole, CHUNKED "abc"), "200\nContent-Type: x/y\nlength 3\n\nabc|end");
    same(vt_req_trailer(&fx.req, "x-sum"), "abc");
    same(vt_req_trailer(&fx.req, "x-other"), NULL);
    CHECK_EQ(vt_req_body_length(&fx.req), -1);
    CHECK_STR(run(echo_whole, GET_), "200 now\nContent-Type: x/y\nlength 0\n\n|end");
    CHECK_EQ(fx.reads, 0);
    s->cfg.max_body = VT_NONE;
    static char big[60000];
    for (size_t len = 3998; len < 20000;
         len = len < 4003 ? len + 1 : len * 2 - 1) { /* around the first growth */
        for (fx.step = 1000; fx.step < 5000; fx.step += 3001) {
            size_t h = strlen(CHUNKED);
            memcpy(big, CHUNKED, h);
            for (size_t i = 0; i < len; i++) big[h + i] = (char)('a' + i % 23);
            script = echo_whole;
            serve_mem(big, h + len);
            CHECK_EQ(fx.res.bytes, len);
            CHECK(memcmp(body_of(fx.out), big + h, len) == 0);
        }
    }
}

TEST(bytes_of_a_body_are_data) {
    fresh_scripted();
    static const char raw[] = POST(4) "a\0\xff\n";
    script = echo_whole;
    fx.step = 1;
    serve_mem(raw, sizeof raw - 1);
    CHECK_MEM(fx.req.body.ptr, fx.req.body.len, "a\0\xff\n", 4);
}

static int must_not_run(vt_req *req, vt_res *res) {
    return (void)req, test_fail(__FILE__, __LINE__, "the handler is not called"),
           vt_res_text(res, 200, "ran");
}
static int swallow(vt_req *req, vt_res *res) {
    char c[64];
    int64_t n;
    while ((n = vt_req_read(req, c, sizeof c)) > 0) continue;
    CHECK_EQ(vt_req_read(req, c, 1), n); /* over the limit stays over the limit */
    return n < 0 ? (int)n : vt_res_text(res, 200, "ok");
}

TEST(b062_body_limit) {
    vt_server *s = fresh_scripted();
    s->cfg.max_body = 5;
    CHECK_STR(run(echo_whole, POST(5) "12345"), "200\nContent-Type: x/y\nlength 5\n\n12345|end");
    CHECK_STR(run(must_not_run, POST(6) "123456"), "413\n" TEXT "length 22\n\n413 Content Too Large\n|end");
    CHECK_EQ(fx.reads, 0);
    for (fx.step = 1; fx.step < 8; fx.step++) {
        CHECK_STR(body_of(run(swallow, CHUNKED "12345")), "ok|end");
        CHECK_STR(body_of(run(swallow, CHUNKED "123456")), "413 Content Too Large\n|end");
        CHECK_STR(body_of(run(echo_whole, CHUNKED "12345")), "12345|end");
        CHECK_STR(body_of(run(echo_whole, CHUNKED "123456")), "413 Content Too Large\n|end");
        CHECK_EQ(fx.logged[VT_LOG_DEBUG], 1);
    }
    vt_route_max_body(vt_server_post(s, "/big", echo_whole), VT_NONE);
    vt_route_max_body(vt_server_post(s, "/small", must_not_run), 1);
    serve("POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n123456");
    CHECK_STR(body_of(fx.out), "123456|end");
    serve("POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n12");
    CHECK(strncmp(fx.out, "413", 3) == 0);
    s->cfg.max_body = 0; /* the default, 1 MiB */
    CHECK(strncmp(run(must_not_run, POST(1048577)), "413", 3) == 0);
    CHECK_STR(body_of(run(hello, POST(1048576))), "hello|end");
}

TEST(b045_b097_failing_bodies) {
    static const struct {
        int err;
        const char *want;
    } cases[] = {{VT_EEOF, "400 close\n" TEXT "length 16\n\n400 Bad Request\n|end"},
                 {VT_EHTTP, "400 close\n" TEXT "length 16\n\n400 Bad Request\n|end"},
                 {-ETIMEDOUT, "408 close\n" TEXT "length 20\n\n408 Request Timeout\n|end"},
                 {-ECONNRESET, "400 close\n" TEXT "length 16\n\n400 Bad Request\n|end"}};
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        fresh_scripted();
        fx.read_err = cases[i].err;
        CHECK_STR(run(echo_whole, POST(5) "123"), cases[i].want);
        CHECK_EQ(fx.response_err, cases[i].err);
        CHECK_EQ(fx.logged[VT_LOG_DEBUG], 1); /* the client's doing */
        CHECK_STR(run(echo_stream, CHUNKED "123"),
                  "200\nContent-Type: application/octet-stream\nchunked\n\n123|abort");
    }
}

static int time_out(vt_req *req, vt_res *res) {
    (void)req, (void)res;
    int64_t until = vt_now() + 3 * VT_MS;
    while (vt_now() < until) continue;
    return -ETIMEDOUT;
}
static int time_out_body(vt_req *req, vt_res *res) {
    char c;
    time_out(req, res);
    return (int)vt_req_read(req, &c, 1);
}

TEST(handler_deadline_is_504_a_stalled_body_408) {
    vt_server *s = fresh();
    CHECK_EQ(vt_route_timeout_ms(vt_server_get(s, "/slow", time_out), 1), 0);
    CHECK_EQ(vt_route_timeout_ms(vt_server_post(s, "/slow", time_out_body), 1), 0);
    vt_server_post(s, "/patient", time_out_body);
    CHECK_STR(body_of(get("GET", "/slow")), "504 Gateway Timeout\n|end");
    CHECK_EQ(fx.logged[VT_LOG_ERROR], 1);
    fx.read_err = -ETIMEDOUT;
    serve("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n");
    CHECK_STR(body_of(fx.out), "504 Gateway Timeout\n|end");
    serve("POST /patient HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n");
    CHECK_STR(body_of(fx.out), "408 Request Timeout\n|end");
    CHECK_EQ(fx.logged[VT_LOG_ERROR], 0);
}

static int64_t upper(vt_req *req, void *ctx, void *buf, size_t n) {
    int64_t r = vt_req_read_below(req, buf, n);
    (void)ctx;
    for (int64_t i = 0; i < r; i++)
        if (((char *)buf)[i] >= 'a') ((char *)buf)[i] = (char)(((char *)buf)[i] - 32);
    return r;
}
static int64_t doubled(vt_req *req, void *ctx, void *buf, size_t n) {
    char *p = buf;
    int64_t r = n < 2 ? 0 : vt_req_read_below(req, p, n / 2);
    (*(int *)ctx)++;
    for (int64_t i = r - 1; i >= 0; i--) p[2 * i] = p[2 * i + 1] = p[i];
    return r > 0 ? 2 * r : r;
}
static int wrapping(vt_req *req, vt_res *res, vt_next *next) {
    CHECK_EQ(vt_req_body_wrap(req, upper, NULL), 0);
    CHECK_EQ(vt_req_body_wrap(req, doubled, vt_next_ctx(next)), 0);
    int r = vt_next_run(next, req, res);
    CHECK_EQ(vt_req_body_wrap(req, upper, NULL), VT_ESTATE);
    return r;
}
TEST(b021_middleware_wraps_the_body) {
    vt_server *s = fresh_scripted();
    int calls = 0;
    vt_server_use(s, wrapping, &calls);
    CHECK_STR(body_of(run(echo_whole, POST(3) "abC")), "AABBCC|end"); /* longer than its Content-Length */
    CHECK(calls > 0);
    CHECK_STR(body_of(run(echo_stream, POST(3) "abC")), "AABBCC|end");
    fx.read_err = VT_EEOF;
    CHECK_STR(body_of(run(echo_whole, POST(4) "abC")), "400 Bad Request\n|end");
}

static int form_values(vt_req *req, vt_res *res) {
    vt_str v[6];
    int r = vt_req_form(req, "a", &v[0]);
    if (r < 0) return r;
    CHECK_EQ(vt_req_form_at(req, "a", 1, &v[1]), 1);
    CHECK_EQ(vt_req_form_at(req, "a", 2, &v[2]), 0);
    CHECK_EQ(vt_req_form(req, "b c", &v[3]), 1);
    CHECK_EQ(vt_req_form(req, "none", &v[4]), 0);
    same(v[4], NULL);
    v[5] = vt_req_query(req, "a");
    return vt_res_printf(res, 200, "%s %s %s %s", v[0].ptr, v[1].ptr, v[3].ptr, v[5].ptr);
}
#define FORM(type, n)                                                                                        \
    "POST /?a=query HTTP/1.1\r\nHost: h\r\nContent-Type: " type "\r\nContent-Length: " #n "\r\n\r\n"

TEST(b007_query_and_form_stay_distinct) {
    fresh_scripted();
    CHECK_STR(body_of(run(form_values, FORM("application/x-www-form-urlencoded", 20) "a=1&a=%2B+x&b+c=y&&d")),
              "1 + x y query|end");
    CHECK_STR(body_of(run(form_values, FORM("Application/X-WWW-Form-urlencoded ; charset=utf-8",
                                            20) "a=1&a=%2B+x&b+c=y&&d")),
              "1 + x y query|end");
    CHECK_STR(body_of(run(form_values, FORM("application/x-www-form-urlencoded", 3) "a=%")),
              "400 Bad Request\n|end");
}
static int form_only(vt_req *req, vt_res *res) {
    vt_str v;
    int r = vt_req_form(req, "a", &v);
    return r < 0 ? r : vt_res_printf(res, 200, "%d", r);
}
TEST(b061_form_of_another_type_is_415) {
    fresh_scripted();
    CHECK_STR(body_of(run(form_only, FORM("text/plain", 3) "a=1")), "415 Unsupported Media Type\n|end");
    CHECK_STR(body_of(run(form_only, POST(3) "a=1")), "415 Unsupported Media Type\n|end");
    CHECK_STR(body_of(run(form_only, GET_)), "0|end");
    fx.s.cfg.max_body = 2;
    CHECK_STR(body_of(run(form_only, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
                                     "Content-Type: application/x-www-form-urlencoded\r\n\r\na=1")),
              "413 Content Too Large\n|end");
}

/* --- responses --- */
static int send_fields(vt_req *req, vt_res *res) {
    (void)req;
    CHECK_EQ(vt_res_field(res, "X-A", "1"), 0);
    CHECK_EQ(vt_res_field_add(res, "x-a", "2"), 0);
    CHECK_EQ(vt_res_field_add(res, "Vary", "b"), 0);
    CHECK_EQ(vt_res_field_add(res, "X-A", "3"), 0);
    same(vt_res_field_get(res, "X-a", 0), "1");
    same(vt_res_field_get(res, "X-a", 2), "3");
    same(vt_res_field_get(res, "X-a", 3), NULL);
    return vt_res_text(res, 201, "made");
}
TEST(b002_b003_fields_in_order_and_a_length) {
    fresh_scripted();
    CHECK_STR(run(send_fields, GET_), "201\nX-A: 1\nx-a: 2\nVary: b\nX-A: 3\n" TEXT "length 4\n\nmade|end");
}

static int replace_fields(vt_req *req, vt_res *res) {
    (void)req;
    for (int i = 0; i < 30; i++) {
        char s[16];
        snprintf(s, sizeof s, "F%d", i);
        CHECK_EQ(vt_res_field(res, s, "x"), 0);
    }
    for (int i = 1; i < 30; i++) {
        char s[16];
        snprintf(s, sizeof s, "f%d", i);
        CHECK_EQ(vt_res_field(res, s, NULL), 0);
    }
    CHECK_EQ(vt_res_field(res, "f0", vt_res_field_get(res, "F0", 0).ptr), 0);
    CHECK_EQ(vt_res_field(res, "Date", "now"), 0);
    CHECK_EQ(vt_res_field(res, "Server", "me"), 0);
    CHECK(res->has_date && res->has_server);
    CHECK_EQ(vt_res_field(res, "Server", NULL), 0);
    CHECK(res->has_date && !res->has_server);
    CHECK_EQ(vt_res_type(res, "a/b"), 0);
    CHECK_EQ(vt_res_field(res, "content-type", "c/d"), 0);
    CHECK_EQ(vt_res_field(res, "Connection", "Close"), 0);
    CHECK_EQ(vt_res_field(res, "Content-Length", "2"), 0);
    return vt_res_write(res, "ok", 2) < 0 ? -1 : 0;
}
TEST(b058_a_field_that_is_set_again_appears_once) {
    fresh_scripted();
    CHECK_STR(run(replace_fields, GET_),
              "200 close\nf0: x\nDate: now\ncontent-type: c/d\nlength 2\n\nok|end");
}

static int bad_fields(vt_req *req, vt_res *res) {
    static const char *const names[] = {"", "a b", "a:", "a\r\n", "a\n", "\xc3", "(", "a\"", "\x7f", "a\tb"};
    static const char *const values[] = {
        "a\r\nSet-Cookie: x=1", "a\nb", "a\rb", "\x01", "\x7f", "\r", "\n", "a\x1b[0m"};
    (void)req;
    for (size_t i = 0; i < VT__COUNT(names); i++) {
        CHECK_EQ(vt_res_field(res, names[i], "x"), VT_EFIELD);
        CHECK_EQ(vt_res_field_add(res, names[i], "x"), VT_EFIELD);
        CHECK_EQ(vt_res_trailer(res, names[i], "x"), VT_EFIELD);
        CHECK_EQ(vt_res_cookie(res, &(vt_cookie){.name = names[i], .value = "v"}), VT_EFIELD);
    }
    for (size_t i = 0; i < VT__COUNT(values); i++) {
        CHECK_EQ(vt_res_field(res, "X", values[i]), VT_EFIELD);
        CHECK_EQ(vt_res_field_add(res, "X", values[i]), VT_EFIELD);
        CHECK_EQ(vt_res_type(res, values[i]), VT_EFIELD);
        CHECK_EQ(vt_res_send(res, 200, values[i], "b", 1), VT_EFIELD);
        CHECK_EQ(vt_res_trailer(res, "X", values[i]), VT_EFIELD);
        CHECK_EQ(vt_res_redirect(res, 302, values[i]), VT_EFIELD);
        CHECK_EQ(vt_res_cookie(res, &(vt_cookie){.name = "n", .value = "v", .path = values[i]}), VT_EFIELD);
        CHECK_EQ(vt_res_cookie(res, &(vt_cookie){.name = "n", .value = "v", .domain = values[i]}), VT_EFIELD);
    }
    CHECK_EQ(vt_res_field(res, "Transfer-Encoding", "chunked"), VT_EFIELD);
    CHECK_EQ(vt_res_field(res, "Connection", "keep-alive"), VT_EFIELD);
    CHECK_EQ(vt_res_field(res, "Content-Length", "-1"), VT_EFIELD);
    CHECK_EQ(vt_res_field(res, "Content-Length", "1x"), VT_EFIELD);
    CHECK_EQ(vt_res_field(res, "Content-Length", "9223372036854775808"), VT_EFIELD);
    CHECK_EQ(vt_res_field_add(res, "X", NULL), VT_EFIELD);
    CHECK_EQ(vt_res_trailer(res, "Content-Length", "1"), VT_EFIELD);
    CHECK_EQ(vt_res_status(res, 199), -EINVAL);
    CHECK_EQ(vt_res_status(res, 600), -EINVAL);
    CHECK_EQ(vt_res_redirect(res, 304, "/"), -EINVAL);
    CHECK_EQ(vt_res_length(res, -1), -EINVAL);
    CHECK_EQ(res->nfields, 0);
    CHECK_EQ(res->trailers.n, 0);
    return vt_res_text(res, 200, "clean");
}
TEST(setters_refuse_what_would_split_a_response) {
    fresh_scripted();
    CHECK_STR(run(bad_fields, GET_), "200\n" TEXT "length 5\n\nclean|end");
}

static int late_setters(vt_req *req, vt_res *res) {
    vt_stream *st;
    CHECK_EQ(vt_res_sent(res), 0);
    CHECK_EQ(vt_res_text(res, 200, "a"), 0);
    CHECK_EQ(vt_res_sent(res), 1);
    CHECK_EQ(vt_res_field(res, "X", "1"), VT_ESTATE);
    CHECK_EQ(vt_res_status(res, 500), VT_ESTATE);
    CHECK_EQ(vt_res_length(res, 1), VT_ESTATE);
    CHECK_EQ(vt_res_cookie(res, &(vt_cookie){.name = "a", .value = "b"}), VT_ESTATE);
    CHECK_EQ(vt_res_text(res, 200, "b"), VT_ESTATE);
    CHECK_EQ(vt_res_trailer(res, "x", "y"), VT_ESTATE);
    CHECK_EQ(vt_res_inform(res, 103, NULL), VT_ESTATE);
    CHECK_EQ(vt_res_upgrade(res, "x", &st), VT_ESTATE);
    CHECK_EQ(vt_res_write(res, "c", 1), VT_ESURPLUS);
    CHECK_EQ(vt_res_end(res), 0);
    CHECK_EQ(vt_res_bytes(res), 1);
    CHECK_EQ(vt_res_status_get(res), 200);
    return (void)req, 0;
}
TEST(setters_after_the_head_are_refused) {
    fresh_scripted();
    CHECK_STR(run(late_setters, GET_), "200\n" TEXT "length 1\n\na|end");
}

static vt_cookie cookie;
static int set_cookie(vt_req *req, vt_res *res) {
    (void)req;
    CHECK_EQ(vt_res_cookie(res, &cookie), 0);
    return vt_res_no_content(res);
}
TEST(b005_cookies_are_encoded) {
    static const struct {
        vt_cookie c;
        const char *want;
    } cases[] = {{{.name = "a", .value = "b"}, "a=b"},
                 {{.name = "a"}, "a="},
                 {{.name = "a", .value = "x y;z,\"\\%\r\n\xc3\xa9"}, "a=x%20y%3Bz%2C%22%5C%25%0D%0A%C3%A9"},
                 {{.name = "id",
                   .value = "7",
                   .path = "/p",
                   .domain = "ex.org",
                   .max_age_s = 60,
                   .secure = 1,
                   .http_only = 1,
                   .same_site = "Lax"},
                  "id=7; Path=/p; Domain=ex.org; Max-Age=60; Secure; HttpOnly; SameSite=Lax"},
                 {{.name = "id", .value = "", .max_age_s = VT_NONE},
                  "id=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"}};
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        char want[300];
        fresh_scripted();
        cookie = cases[i].c;
        snprintf(want, sizeof want, "204 now\nSet-Cookie: %s\nnone\n\n|end", cases[i].want);
        CHECK_STR(run(set_cookie, GET_), want);
    }
    vt__res_init(&fx.res, &fx.req);
    CHECK_EQ(vt_res_cookie(&fx.res, &(vt_cookie){.name = "a", .value = "b", .path = "/;x"}), VT_EFIELD);
    CHECK_EQ(vt_res_cookie(&fx.res, &(vt_cookie){.name = "a", .value = "b", .same_site = "Maybe"}),
             VT_EFIELD);
    CHECK_EQ(vt_res_cookie(&fx.res, &(vt_cookie){.name = NULL, .value = "b"}), VT_EFIELD);
}

static int redirect_abs(vt_req *req, vt_res *res) {
    return (void)req, vt_res_redirect(res, 301, "https://ex.org/a?b=c%20d#e");
}
static int redirect_rel(vt_req *req, vt_res *res) {
    return (void)req, vt_res_redirect(res, 302, "../x y\xc3\xa9\"<");
}
TEST(b001_redirects) {
    fresh_scripted();
    CHECK_STR(run(redirect_abs, GET_), "301 now\nLocation: https://ex.org/a?b=c%20d#e\nlength 0\n\n|end");
    CHECK_STR(run(redirect_rel, GET_), "302 now\nLocation: ../x%20y%C3%A9%22%3C\nlength 0\n\n|end");
}

static int types(vt_req *req, vt_res *res) {
    vt_str q = vt_req_query(req, "t");
    switch (q.ptr[0]) {
    case 't': return vt_res_text(res, 200, "t");
    case 'h': return vt_res_html(res, 200, "<p>");
    case 'j': return vt_res_json(res, 200, "{}");
    case 'p': return vt_res_printf(res, 200, "%0300d", 7);
    case 'b': return vt_res_send(res, 200, NULL, "\0", 1);
    case 'w': return vt_res_write(res, "\0", 1) < 0 ? -1 : 0;
    default: return vt_res_text(res, 200, NULL);
    }
}
static const char *type_of(const char *target) {
    script = types;
    get("GET", target);
    return vt_res_field_get(&fx.res, "Content-Type", 0).ptr;
}
TEST(b047_content_types) {
    fresh_scripted();
    CHECK_STR(type_of("/?t=t"), "text/plain;charset=utf-8");
    CHECK_STR(type_of("/?t=h"), "text/html; charset=utf-8");
    CHECK_STR(type_of("/?t=j"), "application/json");
    CHECK_STR(type_of("/?t=p"), "text/plain;charset=utf-8");
    CHECK_EQ(fx.res.bytes, 300);
    CHECK_STR(type_of("/?t=b"), "application/octet-stream");
    CHECK_STR(type_of("/?t=w"), "application/octet-stream");
    type_of("/?t=0");
    CHECK(strncmp(fx.out, "500", 3) == 0);
}

static int three(vt_req *req, vt_res *res) {
    (void)req;
    CHECK_EQ(vt_res_write(res, "one", 3), 3);
    CHECK_EQ(vt_res_write(res, "", 0), 0);
    CHECK_EQ(vt_res_flush(res), 0);
    CHECK_EQ(vt_res_write(res, "two", 3), 3);
    return 0;
}
static int three_sized(vt_req *req, vt_res *res) { return vt_res_length(res, 6), three(req, res); }
static int flush_first(vt_req *req, vt_res *res) {
    return vt_res_length(res, 6), vt_res_flush(res), three(req, res);
}
#define OCTETS "Content-Type: application/octet-stream\n"
TEST(b048_b049_framing) {
    fresh_scripted();
    CHECK_STR(run(three, GET_), "200\n" OCTETS "chunked\n\nonetwo|end");
    CHECK_EQ(fx.flushes, 1);
    CHECK_STR(run(three, GET10), "200 close\n" OCTETS "close\n\nonetwo|end");
    CHECK_STR(run(three, HEAD_), "200 now\n" OCTETS "chunked\n\n|end");
    CHECK_EQ(fx.res.bytes, 6);
    CHECK_STR(run(three, "HEAD / HTTP/1.0\r\n\r\n"), "200 now\n" OCTETS "none\n\n|end");
    CHECK_STR(run(three_sized, GET_), "200\n" OCTETS "length 6\n\nonetwo|end");
    CHECK_STR(run(three_sized, GET10), "200\n" OCTETS "length 6\n\nonetwo|end");
    CHECK_STR(run(three_sized, HEAD_), "200 now\n" OCTETS "length 6\n\n|end");
    CHECK_STR(run(flush_first, GET_), "200\n" OCTETS "length 6\n\nonetwo|end");
    CHECK_EQ(fx.flushes, 2);
}

TEST(b004_head_from_get) {
    vt_server *s = fresh();
    vt_server_get(s, "/", hello);
    CHECK_STR(get("HEAD", "/"), "200 now\n" TEXT "length 5\n\n|end");
    CHECK_STR(get("HEAD", "/none"), "404 now\n" TEXT "length 14\n\n|end");
}

static int status_arg;
static int write_with_status(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_status(res, status_arg);
    CHECK_EQ(vt_res_write(res, "dropped", 7), 7);
    CHECK_EQ(vt_res_bytes(res), 7);
    return 0;
}
static int send_with_status(vt_req *req, vt_res *res) {
    return (void)req, vt_res_send(res, status_arg, NULL, "dropped", 7);
}
TEST(b057_statuses_without_content) {
    for (int how = 0; how < 2; how++) {
        fresh_scripted();
        int (*fn)(vt_req *, vt_res *) = how ? write_with_status : send_with_status;
        status_arg = 204;
        CHECK_STR(run(fn, GET_), "204 now\nnone\n\n|end");
        CHECK_STR(run(fn, GET10), "204 now\nnone\n\n|end");
        status_arg = 304;
        CHECK_STR(run(fn, GET_), "304 now\nnone\n\n|end");
        status_arg = 205;
        CHECK_STR(run(fn, GET_), "205 now\nlength 0\n\n|end");
        CHECK_EQ(fx.logged[VT_LOG_ERROR], 0);
    }
}

static int surplus(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_length(res, 5);
    CHECK_EQ(vt_res_write(res, "abc", 3), 3);
    CHECK_EQ(vt_res_write(res, "defg", 4), VT_ESURPLUS);
    CHECK_EQ(vt_res_write(res, "h", 1), VT_ESURPLUS);
    return (int)vt_res_write(res, "h", 1);
}
TEST(b050_surplus_is_refused_the_response_stays_whole) {
    fresh_scripted();
    CHECK_STR(run(surplus, GET_), "200\n" OCTETS "length 5\n\nabcde|end");
    CHECK_EQ(fx.response_err, VT_ESURPLUS);
    CHECK_EQ(fx.logged[VT_LOG_ERROR], 1);
    CHECK_STR(run(surplus, HEAD_), "200 now\n" OCTETS "length 5\n\n|end");
}

static int too_short(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_length(res, 5);
    CHECK_EQ(vt_res_write(res, "abc", 3), 3);
    CHECK_EQ(vt_res_end(res), VT_ESHORT);
    return 0;
}
static int nothing_of_five(vt_req *req, vt_res *res) { return (void)req, vt_res_length(res, 5); }
TEST(b051_less_than_declared_is_cut_off) {
    fresh_scripted();
    CHECK_STR(run(too_short, GET_), "200\n" OCTETS "length 5\n\nabc|abort");
    CHECK_EQ(fx.response_err, VT_ESHORT);
    CHECK_EQ(fx.logged[VT_LOG_ERROR], 1);
    CHECK_STR(run(nothing_of_five, GET_), "500\n" TEXT "length 26\n\n500 Internal Server Error\n|end");
    CHECK_EQ(fx.response_err, VT_ESHORT);
    CHECK_STR(run(nothing_of_five, HEAD_), "200 now\n" OCTETS "length 5\n\n|end");
    CHECK_EQ(fx.response_err, 0);
}

static int fail_with;
static int fail_early(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_field(res, "X-Keep", "1");
    vt_res_type(res, "image/png");
    vt_res_field(res, "ETag", "\"x\"");
    vt_res_length(res, 1000);
    vt_res_trailer(res, "x", "y");
    return fail_with;
}
static int fail_late(vt_req *req, vt_res *res) {
    (void)req;
    CHECK_EQ(vt_res_write(res, "part", 4), 4);
    return fail_with;
}
static int fail_late_sized(vt_req *req, vt_res *res) { return vt_res_length(res, 8), fail_late(req, res); }
static int fail_after(vt_req *req, vt_res *res) { return (void)req, vt_res_text(res, 200, "all"), fail_with; }

TEST(b053_b055_failure_after_the_head_is_seen_and_logged) {
    fresh_scripted();
    fail_with = -EIO;
    CHECK_STR(run(fail_late, GET_), "200\n" OCTETS "chunked\n\npart|abort");
    CHECK_EQ(fx.logged[VT_LOG_ERROR], 1);
    CHECK_STR(fx.last_log, "GET /: EIO, Input/output error; answered 200, cut off");
    CHECK_STR(run(fail_late_sized, GET_), "200\n" OCTETS "length 8\n\npart|abort");
    CHECK_STR(run(fail_late, GET10), "200 close\n" OCTETS "close\n\npart|abort");
    CHECK_STR(run(fail_late, HEAD_), "200 now\n" OCTETS "chunked\n\n|end"); /* nothing is missing */
    CHECK_EQ(fx.logged[VT_LOG_ERROR], 1);
}

TEST(b054_failure_before_the_head_is_500_logged_once) {
    fresh_scripted();
    fail_with = -EIO;
    CHECK_STR(run(fail_early, GET_), "500\nX-Keep: 1\n" TEXT "length 26\n\n500 Internal Server Error\n|end");
    CHECK_EQ(fx.logged[VT_LOG_ERROR], 1);
    CHECK_EQ(fx.logged[VT_LOG_DEBUG], 0);
    CHECK_STR(fx.last_log, "GET /: EIO, Input/output error; answered 500");
}

TEST(b056_on_response_is_called_once) { /* serve_mem checks the count in every test */
    fresh_scripted();
    fail_with = -EIO;
    CHECK_STR(run(fail_after, GET_), "200\n" TEXT "length 3\n\nall|end");
    CHECK_EQ(fx.responses, 1);
    CHECK_EQ(fx.response_err, -EIO);
    CHECK_EQ(fx.logged[VT_LOG_ERROR], 1);
    fx.fail_write = -EPIPE;
    run(hello, GET_);
    CHECK_EQ(fx.responses, 1);
    CHECK_EQ(fx.response_err, -EPIPE);
}

TEST(b070_errors_become_statuses_and_log_levels) {
    static const struct {
        int err, status, level;
    } cases[] = {{VT_EBADREQ, 400, VT_LOG_DEBUG},    {VT_EHTTP, 502, VT_LOG_ERROR},
                 {VT_EEOF, 502, VT_LOG_ERROR},       {VT_EHEAD, 502, VT_LOG_ERROR},
                 {VT_EBODY, 502, VT_LOG_ERROR},      {VT_EREDIRECT, 502, VT_LOG_ERROR},
                 {VT_EPROXY, 502, VT_LOG_ERROR},     {VT_ETLS, 502, VT_LOG_ERROR},
                 {VT_ECERT, 502, VT_LOG_ERROR},      {VT_ENAME, 502, VT_LOG_ERROR},
                 {VT_ENAMETRY, 502, VT_LOG_ERROR},   {-ECONNREFUSED, 502, VT_LOG_ERROR},
                 {-EPIPE, 502, VT_LOG_ERROR},        {-EHOSTUNREACH, 502, VT_LOG_ERROR},
                 {-ENETUNREACH, 502, VT_LOG_ERROR},  {VT_EURL, 500, VT_LOG_ERROR},
                 {VT_EFORBIDDEN, 403, VT_LOG_DEBUG}, {-EACCES, 403, VT_LOG_DEBUG},
                 {VT_ENOTFOUND, 404, VT_LOG_DEBUG},  {-ENOENT, 404, VT_LOG_DEBUG},
                 {VT_ETOOLARGE, 413, VT_LOG_DEBUG},  {VT_ETYPE, 415, VT_LOG_DEBUG},
                 {VT_ELIMIT, 503, VT_LOG_ERROR},     {VT_ESTOPPED, 503, VT_LOG_DEBUG},
                 {-ETIMEDOUT, 504, VT_LOG_ERROR},    {-EIO, 500, VT_LOG_ERROR},
                 {-ENOMEM, 500, VT_LOG_ERROR},       {-1, 500, VT_LOG_ERROR},
                 {-ECONNRESET, 502, VT_LOG_ERROR},   {-ECANCELED, 503, VT_LOG_DEBUG},
                 {-123456, 500, VT_LOG_ERROR}};
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        fresh_scripted();
        fail_with = cases[i].err;
        run(fail_early, GET_);
        CHECK_EQ(vt_status_of(cases[i].err), cases[i].status);
        CHECK_EQ(fx.res.status, cases[i].status);
        CHECK_EQ(fx.logged[cases[i].level], 1);
        CHECK_EQ(fx.logged[VT_LOG_DEBUG] + fx.logged[VT_LOG_ERROR], 1);
        same(vt_res_field_get(&fx.res, "Retry-After", 0), cases[i].status == 503 ? "1" : NULL);
    }
    CHECK_EQ(vt_status_of(0), 200);
    CHECK_STR(vt_status_text(404), "Not Found");
    CHECK_STR(vt_status_text(299), "");
}

TEST(an_error_is_not_logged_below_the_level) {
    fresh_scripted();
    vt_log_set(on_log, NULL, VT_LOG_ERROR);
    fail_with = VT_ENOTFOUND;
    load_text(GET_);
    script = fail_early;
    vt__http_serve(&fx.req, &fx.res);
    CHECK_EQ(fx.logged[VT_LOG_DEBUG], 0);
}

static int write_until_it_fails(vt_req *req, vt_res *res) {
    (void)req;
    int64_t r = vt_res_write(res, "x", 1);
    CHECK_EQ(r, -ECONNRESET);
    CHECK_EQ(vt_res_write(res, "x", 1), -ECONNRESET);
    CHECK_EQ(vt_res_flush(res), -ECONNRESET);
    CHECK_EQ(vt_res_end(res), -ECONNRESET);
    return (int)r;
}
TEST(b093_a_client_that_is_gone_is_no_error_of_ours) {
    fresh_scripted();
    for (int i = 0; i < 2; i++) {
        if (i) fx.fail_write = 0, fx.fail_head = -ECONNRESET;
        else fx.fail_write = -ECONNRESET;
        run(write_until_it_fails, GET_);
        CHECK_EQ(fx.aborts, 1);
        CHECK_EQ(fx.response_err, -ECONNRESET);
        CHECK_EQ(fx.logged[VT_LOG_DEBUG], 1);
    }
    fresh_scripted();
    fx.fail_end = -EPIPE;
    load_text(GET_);
    script = hello;
    CHECK_EQ(vt__http_serve(&fx.req, &fx.res), -EPIPE);
    CHECK_EQ(fx.aborts, 1);
}

static int only_status(vt_req *req, vt_res *res) { return (void)req, vt_res_status(res, status_arg); }
static int only_field(vt_req *req, vt_res *res) { return (void)req, vt_res_field(res, "X", "1"); }
static int nothing(vt_req *req, vt_res *res) { return (void)req, (void)res, 0; }
TEST(b014_b018_status_alone_field_alone_nothing) {
    fresh_scripted();
    status_arg = 202;
    CHECK_STR(run(only_status, GET_), "202 now\nlength 0\n\n|end");
    status_arg = 404;
    CHECK_STR(run(only_status, GET_), "404 now\nlength 0\n\n|end");
    CHECK_STR(run(only_field, GET_), "200 now\nX: 1\nlength 0\n\n|end");
    CHECK_STR(run(nothing, GET_), "404\n" TEXT "length 14\n\n404 Not Found\n|end");
}

static int page(vt_req *req, vt_res *res) {
    CHECK_EQ(vt_res_status(res, 200), 0); /* has no effect */
    return vt_res_printf(res, 200, "page %d %s", vt_res_status_get(res), vt_req_path(req).ptr);
}
static int page_404(vt_req *req, vt_res *res) { return (void)req, vt_res_html(res, 200, "<i>gone</i>"); }
static int page_fails(vt_req *req, vt_res *res) { return (void)req, vt_res_type(res, "a/b"), -EIO; }
static int page_breaks(vt_req *req, vt_res *res) { return (void)req, vt_res_write(res, "half", 4), -EIO; }
static int page_empty(vt_req *req, vt_res *res) { return (void)req, vt_res_field(res, "X-Page", "1"); }
static int page_short(vt_req *req, vt_res *res) { return (void)req, vt_res_length(res, 9); }

TEST(b011_error_pages) {
    vt_server *s = fresh_scripted();
    vt_server_error_page(s, 0, page);
    vt_server_error_page(s, 404, page_404);
    CHECK_STR(get("GET", "/none"),
              "404\nContent-Type: text/html; charset=utf-8\nlength 11\n\n<i>gone</i>|end");
    fail_with = -EIO;
    CHECK_STR(run(fail_early, GET_), "500\nX-Keep: 1\n" TEXT "length 10\n\npage 500 /|end");
    status_arg = 403;
    CHECK_STR(run(only_status, GET_), "403\n" TEXT "length 10\n\npage 403 /|end");
    CHECK_STR(run(only_status, HEAD_), "403 now\n" TEXT "length 10\n\n|end");
    CHECK_STR(body_of(get("GET", "/%")), "page 400 (null)|end");
    status_arg = 202;
    CHECK_STR(run(only_status, GET_), "202 now\nlength 0\n\n|end");

    s = fresh_scripted();
    vt_server_error_page(s, 404, page_fails);
    CHECK_STR(get("GET", "/none"), "404\n" TEXT "length 14\n\n404 Not Found\n|end");
    CHECK_EQ(fx.logged[VT_LOG_ERROR], 1);
    vt_server_error_page(s, 404, page_breaks);
    CHECK_STR(get("GET", "/none"), "404\n" OCTETS "chunked\n\nhalf|abort");
    vt_server_error_page(s, 404, page_empty);
    CHECK_STR(get("GET", "/none"), "404 now\nX-Page: 1\nlength 0\n\n|end");
    vt_server_error_page(s, 404, page_short);
    CHECK_STR(get("GET", "/none"), "404 now\nlength 0\n\n|end");
}

/* --- middleware --- */
static char trace[200];
static int tracing(vt_req *req, vt_res *res, vt_next *next) {
    const char *name = vt_next_ctx(next);
    strcat(strcat(trace, name), "(");
    int r = vt_next_run(next, req, res);
    CHECK_EQ(vt_next_run(next, req, res), VT_ESTATE);
    snprintf(trace + strlen(trace), 40, "%d)", vt_res_status_get(res));
    return r;
}
static int traced(vt_req *req, vt_res *res) {
    return (void)req, strcat(trace, "H"), vt_res_text(res, 200, "x");
}
static int answering(vt_req *req, vt_res *res, vt_next *next) {
    return (void)req, (void)next, strcat(trace, "!"), vt_res_text(res, 401, "no");
}
static int recovering(vt_req *req, vt_res *res, vt_next *next) {
    int r = vt_next_run(next, req, res);
    return r == -EIO ? vt_res_text(res, 502, "mended") : r;
}
static int rewriting(vt_req *req, vt_res *res, vt_next *next) {
    int r = vt_next_run(next, req, res);
    if (r == 0 && !vt_res_sent(res) && vt_res_status_get(res) == 404)
        return vt_res_redirect(res, 302, "/home");
    return r;
}
static int silent(vt_req *req, vt_res *res, vt_next *next) { return (void)req, (void)res, (void)next, 0; }

static const char *traced_get(const char *target) {
    trace[0] = 0;
    get("GET", target);
    return trace;
}
TEST(middleware_is_an_onion) {
    static char one[] = "s1", two[] = "s2", three_[] = "r1", four[] = "r2";
    vt_server *s = fresh();
    vt_route *r = vt_server_get(s, "/", traced);
    vt_server_get(s, "/plain", traced);
    vt_route_use(r, tracing, three_);
    vt_server_use(s, tracing, one);
    vt_route_use(r, tracing, four);
    vt_server_use(s, tracing, two);
    CHECK_STR(traced_get("/"), "s1(s2(r1(r2(H200)200)200)200)");
    CHECK_STR(traced_get("/plain"), "s1(s2(H200)200)");
    CHECK_STR(traced_get("/none"), "s1(s2(404)404)");
    CHECK_STR(body_of(fx.out), "404 Not Found\n|end");
    CHECK_STR(traced_get("/%"), "s1(s2(400)400)");
}
TEST(b022_middleware_that_answers_stops_the_chain) {
    static char one[] = "a", two[] = "b";
    vt_server *s = fresh();
    vt_server_get(s, "/", traced);
    vt_server_use(s, tracing, one);
    vt_server_use(s, answering, NULL);
    vt_server_use(s, tracing, two);
    CHECK_STR(traced_get("/"), "a(!401)");
    CHECK_STR(fx.out, "401\n" TEXT "length 2\n\nno|end");
}
TEST(middleware_mends_errors_and_unrouted_requests) {
    vt_server *s = fresh();
    vt_server_get(s, "/", scripted);
    vt_server_use(s, recovering, NULL);
    vt_server_use(s, rewriting, NULL);
    fail_with = -EIO;
    CHECK_STR(body_of(run(fail_early, GET_)),
              "mended|end"); /* its length is known by now: fields stay as they were set */
    CHECK_STR(get("GET", "/x"), "302 now\nLocation: /home\nlength 0\n\n|end");
    s = fresh();
    vt_server_use(s, silent, NULL);
    CHECK_STR(get("GET", "/"), "404\n" TEXT "length 14\n\n404 Not Found\n|end");
}

/* --- trailers, interim responses, upgrade, refusal --- */
static int trailing(vt_req *req, vt_res *res) {
    (void)req;
    CHECK_EQ(vt_res_trailer(res, "X-One", "1"), 0);
    vt_res_write(res, "body", 4);
    for (int i = 0; i < 5; i++) CHECK_EQ(vt_res_trailer(res, "X-Two", "2"), 0);
    return vt_res_end(res);
}
static int trailing_sized(vt_req *req, vt_res *res) { return vt_res_length(res, 4), trailing(req, res); }
TEST(trailers) {
    fresh_scripted();
    CHECK_STR(run(trailing, GET_),
              "200\n" OCTETS "chunked\n\nbody|end X-One: 1\n X-Two: 2\n X-Two: 2\n X-Two: 2\n"
              " X-Two: 2\n X-Two: 2\n");
    CHECK_STR(run(trailing, GET10), "200 close\n" OCTETS "close\n\nbody|end");
    CHECK_STR(run(trailing, HEAD_), "200 now\n" OCTETS "chunked\n\n|end");
    CHECK_STR(run(trailing_sized, GET_), "200\n" OCTETS "length 4\n\nbody|end");
}

static int informing(vt_req *req, vt_res *res) {
    static const char *const bad[] = {"x",
                                      "x: y",
                                      "x: y\n",
                                      "x: y\r",
                                      ": y\r\n",
                                      "x y: z\r\n",
                                      "x: \x01\r\n",
                                      "a: b\r\n\r\n",
                                      "\r\n",
                                      "Content-Length: 3\r\n",
                                      "connection: close\r\n",
                                      "Transfer-Encoding: chunked\r\n",
                                      "a: b\r\nc"};
    (void)req;
    for (size_t i = 0; i < VT__COUNT(bad); i++) CHECK_EQ(vt_res_inform(res, 103, bad[i]), VT_EFIELD);
    CHECK_EQ(vt_res_inform(res, 101, NULL), -EINVAL);
    CHECK_EQ(vt_res_inform(res, 200, NULL), -EINVAL);
    CHECK_EQ(vt_res_inform(res, 102, NULL), 0);
    CHECK_EQ(vt_res_inform(res, 103, "Link: </a>\r\nX:\r\n"), 0);
    return vt_res_text(res, 200, "x");
}
TEST(b057_interim_responses) {
    fresh_scripted();
    CHECK_STR(run(informing, GET_), "(102 )(103 Link: </a>\r\nX:\r\n)200\n" TEXT "length 1\n\nx|end");
    CHECK_STR(run(informing, GET10), "200\n" TEXT "length 1\n\nx|end");
}

static const char *upgrade_to;
static int upgrading(vt_req *req, vt_res *res) {
    vt_stream *st;
    (void)req;
    vt_res_field(res, "X-Up", "1");
    int r = vt_res_upgrade(res, upgrade_to, &st);
    CHECK((st != NULL) == (r == 0));
    if (r == VT_ESTATE || r == VT_EFIELD) return vt_res_text(res, 200, "no");
    if (r < 0) return r;
    CHECK_EQ(vt_res_write(res, "x", 1), VT_ESTATE);
    CHECK_EQ(vt_res_text(res, 200, "x"), VT_ESTATE);
    CHECK_EQ(vt_res_flush(res), VT_ESTATE);
    CHECK_EQ(vt_res_sent(res), 1);
    return 0;
}
#define UPGRADE "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
TEST(b116_b118_upgrade) {
    fresh_scripted();
    upgrade_to = "echo";
    CHECK_STR(run(upgrading, UPGRADE), "101 now\nX-Up: 1\nnone\n\necho|end");
    CHECK_STR(run(upgrading, GET_), "200\nX-Up: 1\n" TEXT "length 2\n\nno|end");
    CHECK_STR(run(hello, UPGRADE), "200\n" TEXT "length 5\n\nhello|end");
    upgrade_to = "busy";
    CHECK_STR(run(upgrading, UPGRADE), "200\nX-Up: 1\n" TEXT "length 2\n\nno|end");
    upgrade_to = "a\r\nb";
    CHECK_STR(run(upgrading, UPGRADE), "200\nX-Up: 1\n" TEXT "length 2\n\nno|end");
    upgrade_to = "dead";
    CHECK_STR(run(upgrading, UPGRADE), "|abort");
}

/* What was said of a body is not said of the error that comes in its place. */
static int describes_and_fails(vt_req *req, vt_res *res) {
    static const char *const names[] = {"Content-Type",     "Content-Disposition", "Content-Language",
                                        "Content-Encoding", "Content-Location",    "ETag",
                                        "Last-Modified",    "Cache-Control",       "X-Other"};
    (void)req;
    for (size_t i = 0; i < VT__COUNT(names); i++) CHECK_EQ(vt_res_field(res, names[i], "x"), 0);
    return VT_ENOTFOUND;
}
TEST(an_error_is_not_described_as_what_it_replaces) {
    fresh_scripted();
    CHECK_STR(run(describes_and_fails, GET_), "404\nX-Other: x\n" TEXT "length 14\n\n404 Not Found\n|end");
}

/* Whatever middleware answers: it has no tunnel. */
static int says_yes(vt_req *req, vt_res *res, vt_next *next) {
    (void)req, (void)next;
    return vt_res_text(res, 200, "yes");
}
TEST(connect_gets_no_2xx) {
    vt_server *s = fresh();
    vt_server_use(s, says_yes, NULL);
    CHECK_STR(get("CONNECT", "example.org:80"), "501 close\n" TEXT "length 3\n\nyes|end");
    CHECK_STR(get("GET", "/"), "200\n" TEXT "length 3\n\nyes|end");
}

TEST(refusals) {
    vt_server *s = fresh();
    s->cfg.retry_after_s = 7;
    REQUIRE(load_text(GET_));
    CHECK_EQ(vt__http_refuse(&fx.req, &fx.res, 503), 0);
    CHECK_STR(fx.out, "503 close\nRetry-After: 7\n" TEXT "length 24\n\n503 Service Unavailable\n|end");
    CHECK_EQ(fx.responses, 1);
    vt_server_error_page(s, 417, page);
    REQUIRE(load_text(GET_));
    CHECK_EQ(vt__http_refuse(&fx.req, &fx.res, 417), 0);
    CHECK_STR(body_of(fx.out), "page 417 /|end");
}

/* --- memory that runs out --- */
static int hungry(vt_req *req, vt_res *res) {
    vt_str v, name;
    vt_stream *st;
    static const char key;
    vt_req_path(req), vt_req_raw_path(req), vt_req_segment(req), vt_req_host(req), vt_req_query(req, "q");
    vt_req_param(req, "id"), vt_req_param(req, "rest"), vt_req_cookie(req, "a"), vt_req_field(req, "tags");
    CHECK(vt_req_peer(req) && vt_req_local(req));
    vt_req_field_set(req, "X", "y"), vt_req_field_nth(req, 0, &name, &v);
    vt_req_set(req, &key, res);
    vt_req_body_wrap(req, upper, NULL);
    vt_req_form(req, "a", &v);
    vt_res_cookie(res, &(vt_cookie){.name = "a", .value = " "});
    vt_res_trailer(res, "x", "y");
    vt_res_upgrade(res, "x", &st);
    for (int i = 0; i < 12; i++) vt_res_field_add(res, "X", "y");
    return vt_res_printf(res, 200, "%300d", 1);
}
static int use_all(void) {
    const char
        *raw = "POST /u/%41/b%20c/d?q=%20 HTTP/1.1\r\nHost: h:1\r\nTags: a\r\nTags: b\r\nCookie: a=1\r\n"
               "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b";
    return serve(raw);
}
TEST(every_arena_limit_gives_an_answer) {
    vt_server *s = fresh();
    vt_server_post(s, "/u/{id}/{rest...}", hungry);
    s->cfg.on_response = on_response;
    vt__mem_pool_drain(&fx.pool);
    vt__mem_pool_init(&fx.pool, 256, 0);
    for (size_t limit = 256; limit <= 12000; limit += 16) {
        vt__mem_arena_reset(&fx.arena);
        fx.arena.limit = limit;
        int r = use_all();
        CHECK(r == 0 && strstr(fx.out, "|end"));
        CHECK(strncmp(fx.out, limit < 10000 ? "" : "200\n", limit < 10000 ? 0 : 4) == 0);
        CHECK(strncmp(fx.out, fx.response_err < 0 ? "500" : "200\n", fx.response_err < 0 ? 3 : 4) == 0);
    }
    fx.arena.limit = 0;
}
TEST(every_failing_allocation_gives_an_answer) {
    long n;
    bool clean = false;
    for (n = 0; n < 500 && !clean; n++) {
        vt_server *s = fresh();
        alloc_count = 0, alloc_fail_at = n;
        vt_route *r = vt_server_post(s, "/u/{id}/{rest...}", hungry);
        vt_server_get(s, "/a/b", hello);
        vt_server_get(s, "/a/a", hello);
        vt_route_use(r, pass, NULL);
        vt_server_use(s, pass, NULL);
        vt_server_error_page(s, 0, page);
        if (s->error) {
            CHECK_EQ(s->error, -ENOMEM);
            CHECK(strstr(s->error_text, vt_strerror(-ENOMEM)) || strstr(s->error_text, "out of memory"));
        }
        clean = alloc_count <= n && !s->error;
        s->error = 0;
        CHECK_EQ(use_all(), 0);
        clean = clean && alloc_count <= n;
        alloc_fail_at = -1;
        CHECK_EQ(use_all(), 0); /* what is there works on */
    }
    CHECK(clean && n > 15);
    fresh(); /* checks for leaks */
}
/* For want of memory a path is no other one's: neither the index that stands for an empty one, nor the way there. */
TEST(a_file_whose_path_finds_no_memory) {
    static const char *const paths[] = {"/app.js", "/sub?a=b"};
    mkdir(tmp_path("dir"), 0700), mkdir(tmp_path("dir/sub"), 0700);
    tmp_text("dir/index.html", "index"), tmp_text("dir/app.js", "script");
    for (size_t i = 0; i < VT__COUNT(paths); i++) {
        bool clean = false;
        for (int n = 0; n < 100 && !clean; n++) {
            vt_server_files(fresh(), "/", tmp_path("dir"));
            alloc_count = 0, alloc_once = true, alloc_fail_at = n;
            const char *out = get("GET", paths[i]);
            clean = alloc_fail_at >= 0;
            alloc_once = false, alloc_fail_at = -1;
            CHECK(!strstr(out, "index") && !strstr(out, "Location: /?"));
            if (clean) CHECK(strstr(out, i ? "Location: /sub/?a=b\n" : "\n\nscript|end"));
            else
                CHECK(fx.heads == 0 || strncmp(out, "500", 3) == 0 ||
                      strncmp(out, i ? "301" : "200", 3) == 0);
        }
        CHECK(clean);
    }
}
