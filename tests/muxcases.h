/* What the server must be seen to do with HTTP/2 and HTTP/3 alike: requests, bodies, ends of streams and of servers. Behind
 * streams.h and a client, which has these (a fault of a stream or connection is told by its code, -1: there is none):
 *
 *     mx, MX(h)                     a connection, closed at the end of the block, with .goaways
 *     mx_stream                     a request's, with .status, .informs, .end (of the answer), .rst (code)
 *     mx_open, mx_open_window       connects, where streams may get so many bytes at first
 *     mx_ask, mx_ask_as             a request: "GET /path" and more fields, or fields alone; true: it ends with them
 *     mx_body, mx_trailers          the rest of it
 *     mx_wait                       until the answer is complete: its status; MX_RST: the stream was reset
 *     mx_field, mx_inform, mx_trailer, mx_got  the answer: a field's value or NULL; the body
 *     mx_stopped                    with which code the server wants no more of the request
 *     mx_cancel                     no answer is wanted any more
 *     mx_hold, mx_let               gives no windows back from now on; gives them, also of what was held back
 *     mx_turn                       takes what comes, for up to some ms
 *     mx_ping                       the connection itself answers
 *     mx_leave, mx_close            ends the connection in the midst of things; when all is done
 *     mx_ended                      how the server ends the connection
 *     mx_last                       GOAWAY says that this stream is the last one that is served
 *     mx_at_peace                   it began as it should and nothing was reset
 *     mx_where                      what h_where says
 *     serve                         a server that speaks it
 *
 * Names begin with the number of a behaviour (hNNN, b141) or of an attack: aNN over HTTP/2, bNN over QUIC and HTTP/3.
 *
 * And the constants MX_VERSION, MX_ORDERED (requests come in the order in which they were sent), MX_NO_ERROR, MX_MALFORMED,
 * MX_INTERNAL. */
#ifndef VT_MUXCASES_H
#define VT_MUXCASES_H
#define MX_UNTIL(h, cond)                                                                                    \
    for (int64_t until_ = e2e_now_ms() + E2E_MS; !(cond) && e2e_now_ms() < until_;) mx_turn(h, 5)

static void mx_run(mx *h, int64_t ms) {
    int64_t until = e2e_now_ms() + ms;
    for (int64_t left; (left = until - e2e_now_ms()) > 0;) mx_turn(h, left);
}
static int mx_get(mx *h, mx_stream **s, const char *path) {
    char what[4096];
    snprintf(what, sizeof what, "GET %s", path);
    *s = mx_ask(h, what, "", true);
    return mx_wait(h, *s);
}
static int mx_send(mx *h, mx_stream **s, const char *what, const char *lines, const char *p, size_t n) {
    *s = mx_ask(h, what, lines, false);
    mx_body(h, *s, p, n, true);
    return mx_wait(h, *s);
}
static bool mx_is(const mx_stream *s, const char *body) {
    vt_str got = mx_got(s);
    return got.len == strlen(body) && memcmp(got.ptr, body, got.len) == 0;
}
static bool mx_is_pattern(const mx_stream *s, size_t n) {
    vt_str got = mx_got(s);
    return got.len == n && is_pattern(got.ptr, n);
}
static void mx_is_reset(mx *h, mx_stream *s, int64_t code) {
    CHECK_EQ(mx_wait(h, s), MX_RST);
    CHECK_EQ(s->rst, code);
}
/* The server's result; a client that stays would be waited for. */
static int stop(mx *h) {
    mx_close(h);
    return e2e_stop();
}
/* The connection is in step, and serves. */
static bool goes_on(mx *h) {
    mx_stream *s;
    return mx_get(h, &s, "/") == 200 && mx_is(s, "hello");
}
static void nobody_is_connected(void) {
    WAIT(open_connections() == 0);
    CHECK_EQ(open_connections(), 0);
}

/* ---- requests and responses ---- */
TEST(b141_h148_requests_of_a_connection) {
    mx_stream *s;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    CHECK_EQ(mx_get(&h, &s, "/"), 200);
    CHECK(mx_is(s, "hello"));
    CHECK_STR(mx_field(s, "content-length"), "5");
    CHECK_STR(mx_field(s, "content-type"), "text/plain;charset=utf-8");
    CHECK(mx_field(s, "date") && strlen(mx_field(s, "date")) == 29);
    CHECK(!mx_field(s, "connection") && !mx_field(s, "server") && !mx_field(s, "transfer-encoding"));
    CHECK_EQ(mx_send(&h, &s, "POST /", "", "body", 4), 200);
    CHECK(mx_is(s, "body"));
    CHECK_STR(mx_field(s, "x-length"), "-1");
    CHECK_EQ(mx_send(&h, &s, "POST /", "content-length: 4\n", "body", 4), 200);
    CHECK_STR(mx_field(s, "x-length"), "4");
    CHECK(mx_ping(&h));
    CHECK(mx_at_peace(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(head_has_no_body) {
    static const char *const lengths[][2] = {
        {"HEAD /", "5"}, {"HEAD /bytes?n=70000", NULL}, {"HEAD /bytes?n=100000&length", "100000"}};
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    for (size_t i = 0; i < VT__COUNT(lengths); i++) {
        mx_stream *s = mx_ask(&h, lengths[i][0], "", true);
        CHECK_EQ(mx_wait(&h, s), 200);
        CHECK_EQ(mx_got(s).len, 0);
        CHECK_STR(mx_field(s, "content-length"), lengths[i][1]);
    }
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
static void post_of(mx *h, const char *what, size_t n, bool with_length) {
    char *p = malloc(n + 1), lines[64] = "", want[32];
    mx_stream *s;
    pattern(p, 0, n);
    if (with_length) snprintf(lines, sizeof lines, "content-length: %zu\n", n);
    CHECK_EQ(mx_send(h, &s, what, lines, p, n), 200);
    CHECK_EQ(mx_got(s).len, n);
    CHECK(mx_is_pattern(s, n));
    snprintf(want, sizeof want, "%lld", with_length ? (long long)n : -1LL);
    if (mx_field(s, "x-length")) CHECK_STR(mx_field(s, "x-length"), want);
    free(p);
}
static void get_of(mx *h, size_t n, bool with_length) {
    char path[64];
    mx_stream *s;
    snprintf(path, sizeof path, "/bytes?n=%zu%s", n, with_length ? "&length" : "");
    CHECK_EQ(mx_get(h, &s, path), 200);
    CHECK_EQ(mx_got(s).len, n);
    CHECK(mx_is_pattern(s, n));
    if (n) CHECK(!mx_field(s, "content-length") == !with_length);
}
TEST(bodies_of_many_sizes_both_ways) {
    static const size_t sizes[] = {0,     1,     63,    64,    1200,  4095,   4096,  16383,
                                   16384, 16385, 65534, 65535, 65536, 200000, 300000};
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    for (size_t i = 0; i < VT__COUNT(sizes); i++) {
        post_of(&h, "POST /", sizes[i], true);
        post_of(&h, "POST /", sizes[i], false);
        post_of(&h, "POST /stream", sizes[i], false);
        get_of(&h, sizes[i], false);
        get_of(&h, sizes[i], true);
    }
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(megabytes_both_ways) {
    size_t n = SLOW ? 2 << 20 : 8 << 20;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    post_of(&h, "POST /big", n, true);
    post_of(&h, "POST /bigstream", n, false);
    get_of(&h, n, false);
    get_of(&h, n, true);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(windows_much_smaller_than_the_body) {
    size_t n = SLOW ? 100000 : 400000;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open_window(&h, 1500));
    post_of(&h, "POST /bigstream", n, false);
    get_of(&h, n, true);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(h148_body_without_an_end_of_its_own) { /* an empty frame of DATA ends it; so do trailers */
    mx_stream *s;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    s = mx_ask(&h, "POST /", "", false);
    mx_body(&h, s, "ab", 2, false);
    mx_body(&h, s, "c", 1, false);
    mx_body(&h, s, "", 0, true);
    CHECK_EQ(mx_wait(&h, s), 200);
    CHECK(mx_is(s, "abc"));
    CHECK(!mx_field(s, "x-trailer"));
    s = mx_ask(&h, "POST /", "", false);
    mx_body(&h, s, "abcd", 4, false);
    mx_trailers(&h, s, "x-end: yes\nx-more: 1\n");
    CHECK_EQ(mx_wait(&h, s), 200);
    CHECK(mx_is(s, "abcd"));
    CHECK_STR(mx_field(s, "x-trailer"), "yes");
    s = mx_ask(&h, "POST /", "", false);
    mx_trailers(&h, s, "x-end: empty\n");
    CHECK_EQ(mx_wait(&h, s), 200);
    CHECK(mx_is(s, ""));
    CHECK_STR(mx_field(s, "x-trailer"), "empty");
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
static int trailer_of(mx *h, size_t value) { /* counts 1 + value + 32 */
    static char line[32000];
    mx_stream *s = mx_ask(h, "POST /", "", false);
    memset(line, 'x', sizeof line);
    memcpy(line, "x: ", 3);
    memcpy(line + 3 + value, "\n", 2);
    mx_trailers(h, s, line);
    return mx_wait(h, s);
}
TEST(b043_trailers_over_their_limit) { /* the body's end is an error, as in HTTP/1.1 */
    vt_server_cfg cfg = {.max_trailer_bytes = 1000};
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    CHECK_EQ(trailer_of(&h, 1000 - 33), 200);
    CHECK_EQ(trailer_of(&h, 1000 - 32), 400);
    CHECK_EQ(trailer_of(&h, 20000), 400); /* over those of a head */
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(h148_trailers_of_a_response) {
    mx_stream *s;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    CHECK_EQ(mx_get(&h, &s, "/bytes?n=100000&trailer"), 200);
    CHECK(mx_is_pattern(s, 100000));
    CHECK_STR(mx_trailer(s, "x-end"), "done");
    CHECK_EQ(mx_get(&h, &s, "/bytes?n=10"), 200);
    CHECK(!mx_trailer(s, "x-end"));
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(interim_responses) {
    mx_stream *s;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    CHECK_EQ(mx_get(&h, &s, "/early"), 200);
    CHECK(mx_is(s, "late"));
    CHECK_EQ(s->informs, 1);
    CHECK_STR(mx_inform(s, "link"), "</a.css>; rel=preload");
    CHECK_EQ(noted(RESULT), 0);
    s = mx_ask(&h, "POST /", "expect: 100-continue\n", false);
    MX_UNTIL(&h, s->informs || s->end);
    CHECK(s->informs == 1 && s->status == 100 && !s->end);
    mx_body(&h, s, "now", 3, true);
    CHECK_EQ(mx_wait(&h, s), 200);
    CHECK(mx_is(s, "now"));
    CHECK_EQ(s->informs, 1);
    s = mx_ask(&h, "POST /nowhere", "expect: 100-continue\n", false); /* refused before 100 */
    CHECK_EQ(mx_wait(&h, s), 404);
    CHECK_EQ(s->informs, 0);
    s = mx_ask(&h, "POST /stream", "expect: 100-continue\n", true);
    CHECK_EQ(mx_wait(&h, s), 200);
    CHECK_EQ(s->informs, 0); /* nothing follows */
    CHECK_EQ(mx_wait(&h, mx_ask(&h, "GET /", "expect: more\n", true)), 417);
    CHECK_EQ(mx_wait(&h, mx_ask(&h, "POST /", "expect: wonders\n", true)), 417);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(hints_are_not_kept_for_one_that_does_not_read) {
    mx_stream *s;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    CHECK(goes_on(&h));
    s = mx_ask(&h, "GET /hints", "", true);
    MX_UNTIL(&h, noted(WROTE)); /* and from there on reads nothing */
    for (int64_t until = e2e_now_ms() + E2E_MS; !noted(THREADS) && e2e_now_ms() < until;) e2e_sleep_ms(1);
    CHECK_EQ(noted(THREADS), 1);
    CHECK_EQ(noted(RESULT), 0);
    note(THREADS, 0);
    CHECK_EQ(mx_wait(&h, s), 200);
    CHECK(mx_is(s, "late"));
    CHECK(s->informs > 0 && s->informs < HINTS);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(h146_what_a_handler_sees) {
    static const struct {
        const char *what, *lines, *body; /* "PORT": that of the scheme */
    } cases[] = {
        {"GET /show", "", "GET /show /show q=- x=- cookie=- b=- host=a a PORT"},
        {"GET /sh%6fw?q=a%20b+c&r", ":authority: example.org:81\nx: 1\n",
         "GET /sh%6fw?q=a%20b+c&r /show q=a b c x=1 cookie=- b=- host=example.org:81 example.org 81"},
        {"BREW /show?", "cookie: a=1\ncookie: b=2\nx: 0\ncookie: c=3; d=4\n",
         "BREW /show? /show q=- x=0 cookie=a=1; b=2; c=3; d=4 b=2 host=a a PORT"},
        {"PUT /show", ":authority: [::1]:8\n", "PUT /show /show q=- x=- cookie=- b=- host=[::1]:8 [::1] 8"}};
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        char want[400];
        const char *port = strstr(cases[i].body, "PORT");
        mx_stream *s = mx_ask(&h, cases[i].what, cases[i].lines, true);
        snprintf(want, sizeof want, "%.*s%s v%d " E2E_SCHEME, port ? (int)(port - cases[i].body) : 400,
                 cases[i].body, port ? (E2E_TLS ? "443" : "80") : "", MX_VERSION);
        CHECK_EQ(mx_wait(&h, s), 200);
        vt_str got = mx_got(s);
        CHECK_MEM(got.ptr, got.len, want, strlen(want));
    }
    CHECK_EQ(stop(&h), 0);
}
TEST(h146_pseudo_fields_are_none_of_a_handlers) {
    mx_stream *s;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    s = mx_ask(&h, "GET /names", ":authority: a\nx: 1\ny: 2\n", true);
    CHECK_EQ(mx_wait(&h, s), 200);
    vt_str got = mx_got(s);
    if (!mx_is(s, "host x y 20")) printf("%.*s\n", (int)got.len, got.ptr);
    CHECK(mx_is(s, "host x y 20"));
    CHECK(!mx_field(s, ":path") && !mx_field(s, ":x") && !mx_trailer(s, ":x"));
    CHECK_EQ(stop(&h), 0);
}
TEST(h148_paths_and_statuses) {
    enum { MALFORMED = MX_RST };
    static const struct {
        const char *what;
        int status;
        const char *body;
    } cases[] = {{"GET /p/a%20b", 200, "a b"},  {"GET /p/%c3%bc", 200, "\xc3\xbc"},
                 {"GET /p/a%2Fb", 200, "a/b"},  {"GET /nowhere", 404, NULL},
                 {"PUT /p/x", 405, NULL},       {"PUT /slept", 405, NULL},
                 {"GET /p/%zz", 400, NULL},     {"GET /p/%00", 400, NULL},
                 {"GET /a b", MALFORMED, NULL}, {"GET /a#b", MALFORMED, NULL},
                 {"get /", 405, NULL},          {"OPTIONS *", 204, NULL}};
    mx_stream *s;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        s = mx_ask(&h, cases[i].what, "", true);
        int status = mx_wait(&h, s);
        if (status != cases[i].status) printf("%s: %d\n", cases[i].what, status);
        CHECK_EQ(status, cases[i].status);
        if (cases[i].body) CHECK(mx_is(s, cases[i].body));
        if (status == 405) CHECK(mx_field(s, "allow") && strstr(mx_field(s, "allow"), "GET"));
        if (status == MALFORMED) CHECK_EQ(s->rst, MX_MALFORMED);
        CHECK(goes_on(&h)); /* a bad request is its stream's affair */
    }
    mx_is_reset(&h, mx_ask(&h, "GET /", ":authority: a b\n", true), MX_MALFORMED);
    CHECK_EQ(mx_get(&h, &s, "/redirect?to=/there"), 302);
    CHECK_STR(mx_field(s, "location"), "/there");
    CHECK_EQ(mx_get(&h, &s, "/fields"), 204);
    CHECK(!mx_field(s, "connection") && !mx_field(s, "keep-alive"));
    CHECK(mx_has_lines(s, "x-many: 1\nx-many: 2\n"));
    CHECK_STR(mx_field(s, "set-cookie"), "k=v; Path=/");
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* What is one request's fault resets its stream alone. */
TEST(b46_requests_that_are_malformed) {
    static const char *const heads[] = {
        ":method: GET\n:scheme: https\n:authority: a\n", /* no path */
        ":method: GET\n:scheme: https\n:path: /\n:path: /\n:authority: a\n",
        ":method: GET\n:scheme: https\n:path: /\nx: y\n:authority: a\n",
        ":method: GET\n:scheme: https\n:path: /\n:authority: a\n:status: 200\n",
        ":method: GET\n:scheme: https\n:path: /\n:authority: a\nX: y\n",
        ":method: GET\n:scheme: https\n:path: /\n:authority: a\nconnection: close\n",
        ":method: GET\n:scheme: https\n:path: /\n:authority: a\ntransfer-encoding: chunked\n",
        ":method: GET\n:scheme: https\n:path: /\n:authority: a\ncontent-length: 5\n",
    };
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    for (size_t i = 0; i < VT__COUNT(heads); i++)
        mx_is_reset(&h, mx_ask_as(&h, heads[i], true), MX_MALFORMED);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(a35_b46_length_that_the_data_belie) {
    mx_stream *s;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    for (int length = 3; length <= 5; length++) {
        char lines[32];
        snprintf(lines, sizeof lines, "content-length: %d\n", length);
        int status = mx_send(&h, &s, "POST /", lines, "abcd", 4);
        CHECK_EQ(status, length == 4 ? 200 : MX_RST);
        CHECK_EQ(s->rst, length == 4 ? -1 : MX_MALFORMED);
    }
    s = mx_ask(&h, "POST /stream", "content-length: 5\n", false); /* under the hands of its handler */
    mx_body(&h, s, "1", 1, false);
    MX_UNTIL(&h, s->status == 200);
    mx_body(&h, s, "23456", 5, false);
    mx_is_reset(&h, s, MX_MALFORMED);
    MX_UNTIL(&h, noted(LEFT) == 1);
    CHECK_EQ(noted(LEFT), 1);
    CHECK(noted(RESULT) < 0);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(connect_is_not_implemented) {
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    mx_stream *s = mx_ask_as(&h, ":method: CONNECT\n:authority: example.org:443\n", false);
    (void)mx_wait(&h, s);
    CHECK_EQ(s->status, 501);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* Blanks around a value, which HTTP/1.1 lets pass, would make the response malformed (RFC 9113 8.2.1). */
TEST(values_have_no_blanks_around_them) {
    vt_server_cfg cfg = {.server_name = "names "};
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    mx_stream *s = mx_ask(&h, "GET /ranked?n=1&priority=%20u=1%09", "", true);
    CHECK_EQ(mx_wait(&h, s), 200);
    CHECK_STR(mx_field(s, "priority"), "u=1");
    CHECK_STR(mx_field(s, "server"), "names");
    CHECK_EQ(stop(&h), 0);
}
/* What a request has not got takes nothing from what it has. */
static void sees_method(vt_req *req, vt_res *res, void *ctx, int err) {
    (void)res, (void)ctx, (void)err;
    CHECK_EQ(vt_req_target(req).ptr[vt_req_target(req).len], 0);
    CHECK_EQ(vt_req_raw_path(req).len, 0);
    if (vt_req_method(req).ptr[0]) count(OPEN);
}
TEST(requests_without_a_path) {
    static char lines[800] = ":method: CONNECT\n:authority: example.org:443\n";
    vt_server_cfg cfg = {.on_response = sees_method, .max_header_bytes = 500};
    forget();
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    mx_stream *s = mx_ask_as(&h, lines, false);
    (void)mx_wait(&h, s);
    CHECK_EQ(s->status, 501);
    size_t n = (size_t)sprintf(lines, ":method: GET\n:scheme: https\n:path: /");
    memset(lines + n, 'x', 600);
    memcpy(lines + n + 600, "\n:authority: a\n", 16);
    s = mx_ask_as(&h, lines, true);
    (void)mx_wait(&h, s);
    CHECK_EQ(s->status, 431);
    WAIT(noted(OPEN) == 2); /* behind the answer */
    CHECK_EQ(noted(OPEN), 2);
    CHECK_EQ(stop(&h), 0);
}
TEST(body_over_its_limit) {
    mx_stream *s;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    CHECK_EQ(mx_send(&h, &s, "POST /small", "content-length: 10\n", "0123456789", 10), 200);
    CHECK_EQ(mx_send(&h, &s, "POST /small", "", "0123456789", 10), 200);
    s = mx_ask(&h, "POST /small", "content-length: 11\n", false); /* told by its length */
    (void)mx_wait(&h, s);
    CHECK_EQ(s->status, 413);
    (void)mx_send(&h, &s, "POST /small", "", "0123456789a", 11); /* by its bytes */
    CHECK_EQ(s->status, 413);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
static void heads_over_limits(const vt_server_cfg *cfg, size_t too_long, size_t not_too_long) {
    static char lines[700000];
    char *p = lines;
    REQUIRE(serve(cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    for (int i = 0; i < 40; i++) p += sprintf(p, "x%d: 1\n", i);
    CHECK_EQ(mx_wait(&h, mx_ask(&h, "GET /", lines, true)), 431);
    memset(lines, 'x', sizeof lines);
    memcpy(lines, "x: ", 3);
    memcpy(lines + too_long, "\n", 2);
    CHECK_EQ(mx_wait(&h, mx_ask(&h, "GET /", lines, true)), 431);
    memcpy(lines + not_too_long, "\n", 2);
    CHECK_EQ(mx_wait(&h, mx_ask(&h, "GET /", lines, true)), 200);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(b47_head_over_its_limits) {
    vt_server_cfg cfg = {.max_header_bytes = 2000, .max_header_count = 20};
    heads_over_limits(&cfg, 2500, 1500);
    cfg.max_header_bytes = 0;
    heads_over_limits(&cfg, 19999, 10000);
    cfg.max_header_bytes = 45000; /* of a field as well */
    heads_over_limits(&cfg, 49000, 40000);
    cfg.max_header_bytes = 200000;
    heads_over_limits(&cfg, 199850, 170000);
    cfg.max_header_bytes = 700000; /* of what comes at once as well */
    heads_over_limits(&cfg, 699850, 600000);
}
TEST(a_name_that_is_too_long_is_not_cut) {
    static char lines[70000];
    vt_server_cfg cfg = {.max_header_bytes = 300000};
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    memset(lines, 'x', 65536 + 4);
    memcpy(lines + 65536 + 4, ": 1\n", 5);
    CHECK_EQ(mx_wait(&h, mx_ask(&h, "GET /", lines, true)), 431);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* A response while the body still comes: it stands; the rest is let in, or is not wanted, which is no error. */
TEST(response_before_the_body) {
    static char more[300000];
    vt_server_cfg cfg = {.max_drain = 400000};
    mx_stream *s;
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    for (int i = 0; i < 3; i++) {
        s = mx_ask(&h, "POST /enough", "", false);
        mx_body(&h, s, "some", 4, false);
        CHECK_EQ(mx_wait(&h, s), 200);
        CHECK(mx_is(s, "enough"));
        mx_body(&h, s, "more", 4, i == 1);
    }
    s = mx_ask(&h, "POST /enough", "content-length: 1000000\n", false);
    CHECK_EQ(mx_wait(&h, s), 200);
    MX_UNTIL(&h, mx_stopped(s) >= 0);
    CHECK_EQ(mx_stopped(s), MX_NO_ERROR);
    CHECK_EQ(mx_send(&h, &s, "POST /enough", "", more, sizeof more), 200);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(a43_tiny_data) {
    enum { N = 3000 };
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    mx_stream *s = mx_ask(&h, "POST /", "", false);
    for (int i = 0; i < N; i++) {
        char c = pattern_at((size_t)i);
        mx_body(&h, s, &c, 1, i == N - 1);
        mx_turn(&h, 0);
    }
    CHECK_EQ(mx_wait(&h, s), 200); /* a slow typist is not cut */
    CHECK(mx_is_pattern(s, N));
    CHECK_EQ(stop(&h), 0);
}
TEST(handler_that_fails) {
    mx_stream *s;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    CHECK_EQ(mx_get(&h, &s, "/fail"), 500);
    mx_is_reset(&h, mx_ask(&h, "GET /fail?late", "", true), MX_INTERNAL);
    mx_is_reset(&h, mx_ask(&h, "GET /fail?short", "", true), MX_INTERNAL);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(deadline_of_a_handler) {
    mx_stream *s;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    CHECK_EQ(mx_get(&h, &s, "/deadline?ms=100000"), 504);
    CHECK_EQ(noted(RESULT), -ETIMEDOUT);
    int status = 0; /* 30 ms may pass while it gets no CPU, but not each time */
    for (int i = 0; i < 20 && status != 200; i++) status = mx_get(&h, &s, "/deadline?ms=0");
    CHECK_EQ(status, 200);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(where_a_request_comes_from) {
    char want[200];
    mx_stream *s;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    mx_where(&h, want, sizeof want);
    CHECK_EQ(mx_get(&h, &s, "/where"), 200);
    CHECK(mx_is(s, want));
    CHECK_EQ(stop(&h), 0);
}

/* ---- many at once ---- */
TEST(answers_out_of_order) {
    enum { N = 5 };
    mx_stream *s[N];
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    s[0] = mx_ask(&h, "GET /stubborn", "", true);
    for (int i = 1; i < N; i++) s[i] = mx_ask(&h, "GET /", "", true);
    for (int i = 1; i < N; i++) CHECK_EQ(mx_wait(&h, s[i]), 200);
    CHECK(s[0]->status == 0 && !s[0]->end);
    CHECK_EQ(mx_get(&h, &s[1], "/release"), 200);
    CHECK_EQ(mx_wait(&h, s[0]), 200);
    CHECK(mx_is(s[0], "stubborn"));
    CHECK_EQ(stop(&h), 0);
}
TEST(many_streams_at_once) {
    int rounds = SLOW ? 3 : 20;
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    for (int r = 0; r < rounds; r++) {
        mx_stream *s[100];
        for (int i = 0; i < 100; i++) s[i] = mx_ask(&h, i % 3 ? "GET /" : "GET /bytes?n=3000", "", true);
        for (int i = 0; i < 100; i++) {
            CHECK_EQ(mx_wait(&h, s[i]), 200);
            CHECK_EQ(mx_got(s[i]).len, i % 3 ? 5 : 3000);
        }
    }
    CHECK(mx_at_peace(&h));
    CHECK_EQ(stop(&h), 0);
}
/* All of them run at once, until they are let go. */
TEST(hundred_handlers_at_once) {
    vt_server_cfg cfg = {.max_streams = 200}; /* of which half are always free for more */
    mx_stream *s[100];
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    for (int round = 0; round < 3; round++) {
        forget();
        for (int i = 0; i < 100; i++) s[i] = mx_ask(&h, "GET /stubborn", "", true);
        MX_UNTIL(&h, noted(ENTERED) == 100);
        CHECK_EQ(noted(ENTERED), 100);
        note(THREADS, 1);
        for (int i = 0; i < 100; i++) CHECK_EQ(mx_wait(&h, s[i]), 200);
        CHECK(goes_on(&h));
    }
    CHECK_EQ(stop(&h), 0);
}
TEST(a45_many_slow_streams_delay_nobody) {
    vt_server_cfg cfg = {.max_streams = 1000};
    enum { N = SLOW ? 200 : 999 };
    mx_stream *s[N];
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    for (int i = 0; i < N; i++) s[i] = mx_ask(&h, "GET /stubborn", "", true);
    MX_UNTIL(&h, noted(ENTERED) == N);
    CHECK_EQ(noted(ENTERED), N);
    CHECK(mx_ping(&h));
    CHECK(goes_on(&h));
    note(THREADS, 1);
    for (int i = 0; i < N; i++) CHECK_EQ(mx_wait(&h, s[i]), 200);
    CHECK(mx_at_peace(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(several_workers_serve_one_connection) {
    vt_server_cfg cfg = {.workers = 2};
    if (VTHTTP_SIM)
        SKIP("the second request may come while the first one's handler spins, and no monitor is there");
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    mx_stream *a = mx_ask(&h, "GET /thread", "", true), *b = mx_ask(&h, "GET /thread", "", true);
    CHECK_EQ(mx_wait(&h, a), 200);
    CHECK_EQ(mx_wait(&h, b), 200);
    CHECK(mx_is(a, "1") && mx_is(b, "1"));
    CHECK_EQ(stop(&h), 0);
}
/* A handler that keeps its OS thread, of the one that there is: other streams, connections and handshakes go on. */
TEST(h150_handler_that_blocks_its_thread) {
    vt_server_cfg cfg = {.workers = 1, .stall_ms = 20};
    if (VTHTTP_SIM) SKIP("there is no monitor");
    REQUIRE(serve(&cfg));
    MX(h);
    MX(other);
    MX(fresh);
    REQUIRE(mx_open(&h) && mx_open(&other));
    mx_stream *s = mx_ask(&h, "GET /block", "", true), *r;
    MX_UNTIL(&h, noted(ENTERED) == 1);
    CHECK(goes_on(&h));
    CHECK(mx_ping(&h));
    CHECK(goes_on(&other));
    CHECK(mx_open(&fresh));
    CHECK(goes_on(&fresh));
    CHECK_EQ(s->status, 0);
    CHECK_EQ(mx_get(&fresh, &r, "/release"), 200);
    CHECK_EQ(mx_wait(&h, s), 200);
    CHECK(mx_is(s, "blocked"));
    mx_close(&other), mx_close(&fresh);
    CHECK_EQ(stop(&h), 0);
}

/* ---- ends of streams ---- */
/* Of a request that is whole, or not. */
TEST(reset_cancels_the_handler) {
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    for (int whole = 0; whole < 2; whole++) {
        mx_stream *s = mx_ask(&h, "GET /slept?ms=100000", "", whole);
        MX_UNTIL(&h, noted(OPEN) == 1);
        mx_cancel(&h, s);
        MX_UNTIL(&h, noted(LEFT) == whole + 1);
        CHECK_EQ(noted(LEFT), whole + 1);
        CHECK_EQ(noted(RESULT), -ECANCELED);
        CHECK(goes_on(&h));
        CHECK_EQ(s->status, 0);
    }
    CHECK_EQ(stop(&h), 0);
}
TEST(h144_a_reset_stalls_no_other_stream) {
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    mx_stream *victim = mx_ask(&h, "GET /slept?ms=100000", "", true);
    mx_stream *reads = mx_ask(&h, "POST /stream", "", false), *up = mx_ask(&h, "POST /stream", "", false);
    mx_body(&h, up, "before ", 7, false);
    MX_UNTIL(&h, noted(OPEN) == 1 && noted(ENTERED) == 2);
    CHECK_EQ(noted(LEFT), 0);
    mx_cancel(&h, victim), mx_cancel(&h, reads);
    MX_UNTIL(&h, noted(LEFT) == 2);
    CHECK_EQ(noted(LEFT), 2); /* both were told */
    CHECK(noted(RESULT) == -ECANCELED || noted(RESULT) == -ECONNRESET);
    mx_stream *down = mx_ask(&h, "GET /bytes?n=300000", "", true);
    mx_body(&h, up, "after", 5, true);
    CHECK_EQ(mx_wait(&h, up), 200);
    CHECK(mx_is(up, "before after"));
    CHECK_EQ(mx_wait(&h, down), 200);
    CHECK(mx_is_pattern(down, 300000));
    CHECK(goes_on(&h));
    CHECK_EQ(victim->status, 0);
    CHECK_EQ(stop(&h), 0);
}
/* Also one that reads its body, or writes without a window. */
TEST(reset_ends_reads_and_writes) {
    enum { WINDOW = 10000 };
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open_window(&h, WINDOW));
    mx_stream *s = mx_ask(&h, "POST /stream", "", false);
    MX_UNTIL(&h, noted(ENTERED) == 1);
    mx_cancel(&h, s);
    MX_UNTIL(&h, noted(LEFT) == 1);
    CHECK(noted(RESULT) == -ECANCELED || noted(RESULT) == -ECONNRESET);
    s = mx_ask(&h, "GET /bytes?n=10000000", "", true);
    mx_hold(&h, s);
    MX_UNTIL(&h, mx_got(s).len > WINDOW - 5000);
    mx_run(&h, 20);
    CHECK_EQ(noted(LEFT), 1);
    CHECK(mx_got(s).len > WINDOW - 5000 && mx_got(s).len <= WINDOW);
    mx_cancel(&h, s);
    MX_UNTIL(&h, noted(LEFT) == 2);
    CHECK_EQ(noted(LEFT), 2);
    CHECK(noted(RESULT) == -ECANCELED || noted(RESULT) == -ECONNRESET);
    mx_let(&h, s);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* Handlers have the streams of a connection that is gone. */
TEST(b51_client_that_is_gone_cancels) {
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    for (int i = 0; i < 5; i++) mx_ask(&h, "GET /slept?ms=100000", "", true);
    mx_stream *s = mx_ask(&h, "GET /stubborn", "", true);
    MX_UNTIL(&h, noted(OPEN) == 5 && noted(ENTERED) == 1);
    CHECK_EQ(s->status, 0);
    mx_leave(&h);
    WAIT(noted(LEFT) == 5);
    CHECK_EQ(noted(LEFT), 5);
    CHECK_EQ(noted(RESULT), -ECANCELED);
    WAIT(open_connections() == 1);
    CHECK_EQ(open_connections(), 1); /* the stubborn one's */
    note(THREADS, 1);
    nobody_is_connected();
    CHECK_EQ(stop(&h), 0);
}
/* Many of them do not end all at once, but for those that see it for themselves; the connection counts as open until the
 * last has. */
TEST(b51_client_of_many_requests_is_gone) {
    vt_server_cfg cfg = {.workers = 1};
    REQUIRE(serve(&cfg));
    for (int round = 1; round <= 5; round++) {
        MX(h);
        REQUIRE(mx_open(&h));
        for (int i = 0; i < 95; i++) mx_ask(&h, round & 1 ? "GET /slept?ms=100000" : "GET /spins", "", true);
        MX_UNTIL(&h, noted(OPEN) == 95);
        mx_leave(&h);
        WAIT(noted(LEFT) == 95 * round && open_connections() == 0);
        CHECK_EQ(noted(LEFT), 95 * round);
        if (round & 1) CHECK_EQ(noted(RESULT), -ECANCELED);
        else CHECK(noted(RESULT) == -ECANCELED || noted(RESULT) == -ECONNRESET);
        CHECK_EQ(open_connections(), 0);
    }
    CHECK_EQ(e2e_stop(), 0);
}

/* ---- times ---- */
TEST(idle_timeout) {
    vt_server_cfg cfg = {.idle_timeout_ms = 400};
    mx_stream *s;
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    CHECK_EQ(mx_get(&h, &s, "/slept?ms=900"), 200); /* that was not idle */
    CHECK_EQ(mx_ended(&h), MX_NO_ERROR);
    nobody_is_connected();
    CHECK_EQ(stop(&h), 0);
}
/* The time without a request begins with the last one's end, which may be that of its rest. */
TEST(idle_time_begins_with_the_end_of_the_last_rest) {
    vt_server_cfg cfg = {.idle_timeout_ms = 500};
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    mx_stream *s = mx_ask(&h, "POST /enough", "", false);
    CHECK_EQ(mx_wait(&h, s), 200);
    mx_run(&h, 800);
    CHECK_EQ(h.goaways, 0);
    int64_t from = e2e_now_ms();
    mx_body(&h, s, "", 0, true);
    CHECK_EQ(mx_ended(&h), MX_NO_ERROR);
    CHECK(e2e_now_ms() - from >= 499);
    CHECK_EQ(stop(&h), 0);
}
TEST(body_that_stalls) {
    vt_server_cfg cfg = {.body_timeout_ms = 50};
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    mx_stream *s = mx_ask(&h, "POST /", "", false);
    mx_body(&h, s, "half", 4, false);
    (void)mx_wait(&h, s);
    CHECK_EQ(s->status, 408);
    CHECK_EQ(noted(RESULT), -ETIMEDOUT);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}

/* ---- the server's end, its bounds ---- */
TEST(stop_while_streams_run) {
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    mx_stream *s = mx_ask(&h, "GET /stubborn", "", true), *big = mx_ask(&h, "GET /bytes?n=3000000", "", true);
    mx_hold(&h, big);
    MX_UNTIL(&h, noted(ENTERED) == 2 && mx_got(big).len > 50000);
    vt_server_stop(e2e.s);
    MX_UNTIL(&h, h.goaways == 2); /* HTTP/3's second follows by time: one look may find both */
    CHECK_EQ(h.goaways, 2);
    CHECK(mx_last(&h, big));
    mx_let(&h, big);
    CHECK_EQ(mx_wait(&h, big), 200);
    CHECK(mx_is_pattern(big, 3000000));
    note(THREADS, 1);
    CHECK_EQ(mx_wait(&h, s), 200);
    CHECK(mx_is(s, "stubborn"));
    CHECK_EQ(mx_ended(&h), MX_NO_ERROR);
    CHECK_EQ(stop(&h), 0);
}
TEST(kill_after_the_grace_period) {
    vt_server_cfg cfg = {.grace_ms = 50};
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    mx_stream *s = mx_ask(&h, "GET /slept?ms=100000", "", true);
    MX_UNTIL(&h, noted(OPEN) == 1);
    vt_server_stop(e2e.s);
    CHECK_EQ(mx_wait(&h, s), 503);
    CHECK_EQ(noted(RESULT), -ECANCELED);
    CHECK_EQ(e2e_logged(VT_LOG_WARN, "still running after the grace period: GET /slept?ms=100000"), 1);
    CHECK_EQ(stop(&h), -ETIMEDOUT);
}
/* Who goes on without his client is named and cancelled like others. */
TEST(b090_never_ends_with_the_grace_period) {
    vt_server_cfg cfg = {.grace_ms = 50, .cancel_on = VT_CANCEL_NEVER};
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    mx_ask(&h, "GET /slept?ms=100000", "", true);
    mx_ask(&h, "POST /stream", "", false);
    MX_UNTIL(&h, noted(OPEN) == 1 && noted(ENTERED) == 1);
    mx_leave(&h);
    WAIT(noted(LEFT) == 1); /* who reads hears that the connection is gone */
    CHECK_EQ(noted(LEFT), 1);
    CHECK_EQ(noted(OPEN), 1);
    CHECK_EQ(e2e_stop(), -ETIMEDOUT);
    CHECK_EQ(noted(RESULT), -ECANCELED);
    CHECK_EQ(e2e_logged(VT_LOG_WARN, "still running after the grace period: GET /slept?ms=100000"), 1);
}
static int64_t left_open; /* when the server had stopped */
static void on_stopped(vt_server *server, void *ctx) {
    vt_server_stats st;
    (void)ctx;
    vt_server_stats_get(server, &st);
    left_open = st.open;
}
/* What is let in and dropped, by what its client may take for it, keeps no connection behind the stop. */
TEST(stop_with_a_request_that_has_no_end) {
    vt_server_cfg cfg = {.body_timeout_ms = 60000, .grace_ms = 2 * E2E_MS, .on_stopped = on_stopped};
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    CHECK_EQ(mx_wait(&h, mx_ask(&h, "POST /enough", "", false)), 200);
    int64_t from = e2e_now_ms();
    vt_server_stop(e2e.s);
    CHECK_EQ(mx_ended(&h), MX_NO_ERROR);
    CHECK_EQ(e2e_stop(), 0);
    CHECK(e2e_now_ms() - from < E2E_MS);
    CHECK_EQ(left_open, 0);
    mx_close(&h);
}
TEST(stop_with_idle_connections) {
    REQUIRE(serve(NULL));
    MX(h);
    REQUIRE(mx_open(&h));
    CHECK(goes_on(&h));
    vt_server_stop(e2e.s);
    CHECK_EQ(mx_ended(&h), MX_NO_ERROR);
    CHECK_EQ(stop(&h), 0);
}
TEST(requests_of_a_connection_are_bounded) {
    vt_server_cfg cfg = {.max_keep_alive = 3};
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    for (int i = 0; i < 3; i++) CHECK(goes_on(&h));
    CHECK_EQ(mx_ended(&h), MX_NO_ERROR);
    CHECK_EQ(stop(&h), 0);
}
static int64_t waiting(void) {
    vt_server_stats st;
    vt_server_stats_get(e2e.s, &st);
    return st.waiting;
}
/* At max_vthreads requests wait as connections do, the first first; until nobody wants the answer. */
TEST(requests_wait_for_a_vthread) {
    vt_server_cfg cfg = {.max_vthreads = 8, .workers = 1, .queue_timeout_ms = VT_NONE};
    enum { N = 30 };
    mx_stream *s[N];
    vt_server_stats st;
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    for (int i = 0; i < N; i++) {
        char what[64];
        snprintf(what, sizeof what, "GET /turn?n=%d", i);
        s[i] = mx_ask(&h, what, "", true);
    }
    MX_UNTIL(&h, noted(ENTERED) + waiting() == N);
    CHECK(waiting() >= N - 8 && noted(ENTERED) >= 1);
    CHECK(mx_ping(&h));
    for (int i = 0; i < N; i++) CHECK(!s[i]->end);
    int64_t queued = waiting();
    mx_cancel(&h, s[N - 1]);
    MX_UNTIL(&h, waiting() == queued - 1);
    CHECK_EQ(waiting(), queued - 1);
    note(THREADS, 1);
    for (int i = 0; i < N - 1; i++) CHECK_EQ(mx_wait(&h, s[i]), 200);
    if (MX_ORDERED) CHECK_EQ(noted(MOST), 0); /* none before its turn */
    CHECK_EQ(waiting(), 0);
    vt_server_stats_get(e2e.s, &st);
    CHECK(st.queued >= N - 8 && st.refused == 0);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
/* On the connection's own worker, which nobody stands in for. */
TEST(what_is_flushed_goes_before_its_handler_computes) {
    vt_server_cfg cfg = {.workers = 1, .max_spares = VT_NONE};
    mx_stream *s;
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    CHECK(goes_on(&h));
    s = mx_ask(&h, "GET /compute", "", true);
    MX_UNTIL(&h, mx_got(s).len == 5);
    CHECK(mx_is(s, "begun") && !s->end);
    note(THREADS, 1);
    CHECK_EQ(mx_wait(&h, s), 200);
    note(THREADS, 0);
    s = mx_ask(&h, "GET /compute?hints", "", true);
    MX_UNTIL(&h, s->informs == 1);
    CHECK(s->informs == 1 && !s->end);
    note(THREADS, 1);
    CHECK_EQ(mx_wait(&h, s), 200);
    CHECK_EQ(stop(&h), 0);
}
/* Of 20, how many get 503; the others 200. */
static int busy_of_20(mx *h, mx_stream *const s[20]) {
    int busy = 0;
    for (int i = 0; i < 20; i++) {
        int status = mx_wait(h, s[i]);
        busy += status == 503;
        if (status == 503) CHECK_STR(mx_field(s[i], "retry-after"), "7");
        else CHECK_EQ(status, 200);
    }
    return busy;
}
static int ended_of_20(mx_stream *const s[20]) {
    int n = 0;
    for (int i = 0; i < 20; i++) n += s[i]->end;
    return n;
}
TEST(requests_that_wait_too_long) {
    vt_server_cfg cfg = {.max_vthreads = 8, .workers = 1, .queue_timeout_ms = 50, .retry_after_s = 7};
    mx_stream *s[20];
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    for (int i = 0; i < 20; i++) s[i] = mx_ask(&h, i & 1 ? "POST /stubborn" : "GET /stubborn", "", !(i & 1));
    MX_UNTIL(&h, ended_of_20(s) + noted(ENTERED) == 20); /* each has been refused, or stays */
    int64_t ran = noted(ENTERED);
    note(THREADS, 1);
    CHECK(busy_of_20(&h, s) >= 12);
    CHECK_EQ(noted(ENTERED), ran);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
TEST(without_a_vthread_503) {
    vt_server_cfg cfg = {.max_vthreads = 8, .workers = 1, .retry_after_s = 7, .max_queued = VT_NONE};
    mx_stream *s[20];
    REQUIRE(serve(&cfg));
    MX(h);
    REQUIRE(mx_open(&h));
    for (int i = 0; i < 20; i++) s[i] = mx_ask(&h, "GET /stubborn", "", true);
    MX_UNTIL(&h, ended_of_20(s) >= 12);
    note(THREADS, 1);
    int busy = busy_of_20(&h, s);
    CHECK(busy >= 12 && busy < 20);
    CHECK(goes_on(&h));
    CHECK_EQ(stop(&h), 0);
}
#endif
