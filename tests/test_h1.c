/* The HTTP/1.1 codec: every input whole, at every split point and byte by byte, against an unmapped page, by every
 * version of the scanner. */
#define VT__H1_EVERY 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "guard.h"
#include "heads.h"

enum { ROOM = 1 << 17, MAX_FIELDS = 600 };

static bool isalnum_ascii(unsigned c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* At random, below n. */
static size_t pick(uint64_t *seed, size_t n) { return (size_t)(test_rand(seed) % n); }

static vt_str str(const char *s) { return (vt_str){s, strlen(s)}; }

struct outcome {
    int rc;
    vt__h1_req r;
    vt__h1_field f[MAX_FIELDS];
};

static struct outcome got, first;
static const vt__h1_limits standard, *lim = &standard;
static uint32_t cap = MAX_FIELDS;

/* Feeds prefixes whose lengths are cuts[], then the whole; the bytes stand somewhere else in every call. */
static int feed(struct outcome *o, const char *bytes, size_t len, const size_t *cuts, size_t ncuts) {
    o->r = (vt__h1_req){0};
    for (size_t i = 0; i <= ncuts; i++) {
        size_t n = i < ncuts ? cuts[i] : len;
        char *p = guarded(n);
        memcpy(p, bytes, n);
        o->rc = vt__h1_req_parse(&o->r, p, n, o->f, cap, lim);
        if (memcmp(p, bytes, n) != 0) abort(); /* never writes to its input */
        if (o->rc) break;
    }
    return o->rc;
}

static bool same(const struct outcome *a, const struct outcome *b) {
    if (a->rc != b->rc) return false;
    if (a->rc <= 0) return true;
    return memcmp(&a->r, &b->r, offsetof(vt__h1_req, state)) == 0 &&
           memcmp(a->f, b->f, a->r.nfields * sizeof *a->f) == 0;
}

/* Parses in every way, tells if all agree; the result of the whole is in `first`. */
static int parse_n(const char *bytes, size_t len) {
    static size_t all[ROOM];
    bool agree = true;
    for (size_t isa = 0; isa < vt__h1_isa_count(); isa++) {
        vt__h1_isa_select(isa);
        feed(isa == 0 ? &first : &got, bytes, len, NULL, 0);
        if (isa > 0) agree = agree && same(&first, &got);
        for (size_t cut = 0; cut < len; cut++) {
            all[cut] = cut;
            if (len > 3000 && cut > 200 && cut + 200 < len && cut % 97) continue;
            feed(&got, bytes, len, &cut, 1);
            if (!same(&first, &got))
                test_fail(__FILE__, __LINE__, "a split changes the result"), agree = false;
        }
        feed(&got, bytes, len, all, len);
        agree = agree && same(&first, &got);
    }
    if (!agree) printf("disagree (%d, %d) on: %.*s\n", first.rc, got.rc, (int)(len < 300 ? len : 300), bytes);
    CHECK(agree);
    return first.rc;
}
static int parse(const char *s) { return parse_n(s, strlen(s)); }

static void expect_n(const char *bytes, size_t len, int want) {
    int rc = parse_n(bytes, len);
    if (rc == want) return;
    printf("%d (%s), not %d (%s): %.*s\n", rc, vt__h1_err_name(rc), want, vt__h1_err_name(want), (int)len,
           bytes);
    test_fail(__FILE__, __LINE__, "unexpected result");
}
static void rejects(const char *s, int err) { expect_n(s, strlen(s), err); }
static void accepts(const char *s) { expect_n(s, strlen(s), (int)strlen(s)); }

/* GET / with these lines and a Host. */
static const char *get(const char *lines) {
    static char buf[4][ROOM];
    static int i;
    char *p = buf[i++ % 4];
    snprintf(p, ROOM, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", lines);
    return p;
}

/* The number of bytes after which the error is known. */
static size_t known_after(const char *s) {
    size_t len = strlen(s), n = 0;
    vt__h1_req r = {0};
    for (; n <= len; n++)
        if (vt__h1_req_parse(&r, s, n, got.f, cap, lim) < 0) break;
    return n;
}

static bool slice_is(const char *bytes, uint32_t off, uint32_t len, const char *want) {
    return strlen(want) == len && memcmp(bytes + off, want, len) == 0;
}

static const char browser_head[] = BROWSER_HEAD
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes; seen=1699999999\r\n"
    "Sec-Fetch-Dest: image\r\n"
    "X-Long-Name-That-Nobody-Has-Ever-Heard-Of-And-That-Is-Longer-Than-One-Block-Of-Bytes: 1\r\n"
    "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Cache-Control: max-age=0\r\n\r\n";

TEST(request_line_and_fields) {
    accepts(short_head);
    CHECK_EQ(first.r.method, VT__H1_M_GET);
    CHECK_EQ(first.r.minor, 1);
    CHECK_EQ(first.r.form, VT__H1_ORIGIN);
    CHECK_EQ(first.r.flags, VT__H1_KEEP_ALIVE | VT__H1_HAS_HOST);
    CHECK_EQ(first.r.nfields, 1);
    CHECK_EQ(first.r.content_length, 0);
    CHECK(slice_is(short_head, first.r.path_off, first.r.path_len, "/"));
    CHECK(slice_is(short_head, first.r.auth_off, first.r.auth_len, "www.example.com"));
    accepts(browser_head);
    CHECK_EQ(first.r.nfields, 12);
    CHECK(slice_is(browser_head, first.r.path_off, first.r.path_len,
                   "/archive/2026/11/photographs/harbour.jpg"));
    CHECK(slice_is(browser_head, first.r.query_off, first.r.query_len, "size=large&from=gallery"));
    for (uint32_t i = 0; i < first.r.nfields; i++) /* those that frame the message alone */
        CHECK_EQ(first.f[i].id, i == 0 ? VT__H1_F_HOST : i == 5 ? VT__H1_F_CONNECTION : 0);
    CHECK(slice_is(browser_head, first.f[11].value_off, first.f[11].value_len, "max-age=0"));
    CHECK(slice_is(browser_head, first.f[11].name_off, first.f[11].name_len, "Cache-Control"));
}

TEST(what_follows_the_head_is_left_alone) {
    char two[400];
    snprintf(two, sizeof two, "%s%s", short_head, short_head);
    CHECK_EQ(parse(two), sizeof short_head - 1);
    snprintf(two, sizeof two, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n\x01\n\r\x7f");
    CHECK_EQ(parse(two), strlen(two) - 4);
    CHECK_EQ(first.r.content_length, 4);
    CHECK(first.r.flags & VT__H1_HAS_LENGTH);
}

TEST(methods) {
    for (int m = 1; m <= VT__H1_M_QUERY; m++) {
        char head[100];
        vt_str name = vt__h1_method_name(m);
        const char *target = m == VT__H1_M_CONNECT ? "h:1" : "/";
        snprintf(head, sizeof head, "%.*s %s HTTP/1.1\r\nHost: h\r\n\r\n", (int)name.len, name.ptr, target);
        accepts(head);
        CHECK_EQ(first.r.method, m);
        CHECK_EQ(first.r.method_len, name.len);
        CHECK_EQ(vt__h1_method(name), m);
        bool safe = strstr("GET HEAD OPTIONS TRACE QUERY", name.ptr) != NULL;
        CHECK_EQ(vt__h1_is_safe(m), safe);
        CHECK_EQ(vt__h1_is_idempotent(m), safe || strstr("PUT DELETE", name.ptr) != NULL);
    }
    CHECK(!vt__h1_is_safe(VT__H1_M_OTHER) && !vt__h1_is_idempotent(VT__H1_M_OTHER));
    accepts("get / HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK_EQ(first.r.method, VT__H1_M_OTHER); /* methods are case-sensitive */
    accepts("X-y!#$%&'*+.^_`|~9 / HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK_EQ(first.r.method_len, 18);
    static const char *const bad[] = {" GET / HTTP/1.1\r\n\r\n",
                                      "G(T / HTTP/1.1\r\n\r\n",
                                      "G\tT / HTTP/1.1\r\n\r\n",
                                      "\x16\x03\x01\x02",
                                      "GET\r\n\r\n",
                                      "GET\t/ HTTP/1.1\r\n\r\n",
                                      "\r\n\r\nGET / HTTP/1.1",
                                      "\x80\x80 / HTTP/1.1\r\n",
                                      "G\x7fT / HTTP/1.1\r\n"};
    for (size_t i = 0; i < VT__COUNT(bad); i++) rejects(bad[i], VT__H1_E_METHOD);
    expect_n("\0", 1, VT__H1_E_METHOD);
    char longer[200];
    memset(longer, 'A', sizeof longer);
    expect_n(longer, 64, 0);
    expect_n(longer, 65, VT__H1_E_METHOD_LONG);
}

TEST(one_crlf_before_the_request_line) {
    accepts("\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK_EQ(first.r.method_off, 2);
    CHECK_EQ(first.r.path_off, 6);
    rejects("\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n", VT__H1_E_METHOD);
    rejects("\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n", VT__H1_E_LF);
    rejects("\rGET /x HTTP/1.1\r\nHost: h\r\n\r\n", VT__H1_E_CR);
    vt__h1_req r = {0};
    CHECK_EQ(vt__h1_req_parse(&r, "", 0, got.f, cap, &standard), 0);
    CHECK(!vt__h1_req_begun(&r));
    CHECK_EQ(vt__h1_req_parse(&r, "\r\n", 2, got.f, cap, &standard), 0);
    CHECK(!vt__h1_req_begun(&r));
    CHECK_EQ(vt__h1_req_parse(&r, "\r\nG", 3, got.f, cap, &standard), 0);
    CHECK(vt__h1_req_begun(&r));
}

TEST(target_forms) {
    static const struct {
        const char *method, *target;
        int form; /* < 0: error */
        const char *path, *query, *authority;
    } t[] = {
        {"GET", "/", VT__H1_ORIGIN, "/", NULL, "h"},
        {"GET", "//a//b", VT__H1_ORIGIN, "//a//b", NULL, "h"},
        {"GET", "/a?b", VT__H1_ORIGIN, "/a", "b", "h"},
        {"GET", "/?", VT__H1_ORIGIN, "/", "", "h"},
        {"GET", "/a?b?c=/d", VT__H1_ORIGIN, "/a", "b?c=/d", "h"},
        {"GET", "/%zz|{}^`\"<>\\", VT__H1_ORIGIN, "/%zz|{}^`\"<>\\", NULL, "h"},
        {"GET", "/0123456789012345678901234567890123456789012345678901234567890123456789?x", VT__H1_ORIGIN,
         "/0123456789012345678901234567890123456789012345678901234567890123456789", "x", "h"},
        {"GET", "http://e.org/p?q", VT__H1_ABSOLUTE, "/p", "q", "e.org"},
        {"GET", "HTTPS://e.org:8443/p", VT__H1_ABSOLUTE, "/p", NULL, "e.org:8443"},
        {"GET", "http://e.org", VT__H1_ABSOLUTE, "", NULL, "e.org"},
        {"GET", "http://e.org?q", VT__H1_ABSOLUTE, "", "q", "e.org"},
        {"OPTIONS", "http://[::1]:80/", VT__H1_ABSOLUTE, "/", NULL, "[::1]:80"},
        {"CONNECT", "e.org:443", VT__H1_AUTHORITY, "", NULL, "e.org:443"},
        {"CONNECT", "[2001:db8::7]:443", VT__H1_AUTHORITY, "", NULL, "[2001:db8::7]:443"},
        {"OPTIONS", "*", VT__H1_ASTERISK, "*", NULL, "h"},
        {"GET", "*", VT__H1_E_FORM, 0, 0, 0},
        {"OPTIONS", "**", VT__H1_E_FORM, 0, 0, 0},
        {"GET", "a", VT__H1_E_FORM, 0, 0, 0},
        {"GET", "e.org:443", VT__H1_E_FORM, 0, 0, 0},
        {"GET", "?a", VT__H1_E_FORM, 0, 0, 0},
        {"GET", "ftp://e.org/", VT__H1_E_FORM, 0, 0, 0},
        {"GET", "http:/e.org/", VT__H1_E_FORM, 0, 0, 0},
        {"GET", "http:///p", VT__H1_E_TARGET, 0, 0, 0},
        {"GET", "http://u@e.org/", VT__H1_E_TARGET, 0, 0, 0},
        {"GET", "http://u:p@e.org/", VT__H1_E_TARGET, 0, 0, 0},
        {"GET", "http://e.org:/", VT__H1_E_TARGET, 0, 0, 0},
        {"GET", "http://e.org:65536/", VT__H1_E_TARGET, 0, 0, 0},
        {"CONNECT", "/", VT__H1_E_FORM, 0, 0, 0},
        {"CONNECT", "*", VT__H1_E_FORM, 0, 0, 0},
        {"CONNECT", "e.org", VT__H1_E_TARGET, 0, 0, 0},
        {"CONNECT", "e.org:", VT__H1_E_TARGET, 0, 0, 0},
        {"CONNECT", "http://e.org:1/", VT__H1_E_TARGET, 0, 0, 0},
        {"CONNECT", "e.org:443?x", VT__H1_E_TARGET, 0, 0, 0},
        {"GET", "/a#b", VT__H1_E_TARGET, 0, 0, 0},
        {"GET", "/a\xc3\xa9", VT__H1_E_TARGET, 0, 0, 0},
        {"GET", "/a\x01", VT__H1_E_TARGET, 0, 0, 0},
        {"GET", "/a\x7f", VT__H1_E_TARGET, 0, 0, 0},
        {"GET", "/a\tb", VT__H1_E_TARGET, 0, 0, 0},
        {"GET", "", VT__H1_E_TARGET, 0, 0, 0},
        {"GET", " /", VT__H1_E_TARGET, 0, 0, 0},
        {"GET", "/a b", VT__H1_E_VERSION, 0, 0, 0},
        {"GET", "/ ", VT__H1_E_VERSION, 0, 0, 0},
    };
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        char head[300];
        snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: h\r\n\r\n", t[i].method, t[i].target);
        expect_n(head, strlen(head), t[i].form < 0 ? t[i].form : (int)strlen(head));
        if (t[i].form < 0) continue;
        CHECK_EQ(first.r.form, t[i].form);
        CHECK(slice_is(head, first.r.target_off, first.r.target_len, t[i].target));
        CHECK(slice_is(head, first.r.path_off, first.r.path_len, t[i].path));
        CHECK(slice_is(head, first.r.auth_off, first.r.auth_len, t[i].authority));
        CHECK_EQ((first.r.flags & VT__H1_HAS_QUERY) != 0, t[i].query != NULL);
        if (t[i].query) CHECK(slice_is(head, first.r.query_off, first.r.query_len, t[i].query));
    }
    rejects("GET /\r\n\r\n", VT__H1_E_TARGET); /* HTTP/0.9 */
    expect_n("GET /\0 HTTP/1.1\r\n\r\n", 19, VT__H1_E_TARGET);
}

TEST(b016_a_trailing_question_mark_is_an_empty_query) {
    accepts("GET /a? HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(first.r.flags & VT__H1_HAS_QUERY);
    CHECK_EQ(first.r.query_len, 0);
    accepts("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(!(first.r.flags & VT__H1_HAS_QUERY));
}

TEST(b025_authority_as_sent) {
    const char *head = "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n";
    accepts(head);
    CHECK(slice_is(head, first.r.auth_off, first.r.auth_len, "[::1]:8080"));
}

TEST(b026_versions) {
    static const struct {
        const char *version;
        int err;
    } t[] = {{"HTTP/1.1", 0},
             {"HTTP/1.0", 0},
             {"HTTP/1.6", VT__H1_E_UNSUPPORTED},
             {"HTTP/2.0", VT__H1_E_UNSUPPORTED},
             {"HTTP/0.9", VT__H1_E_UNSUPPORTED},
             {"HTTP/9.9", VT__H1_E_UNSUPPORTED},
             {"HTTP/1.01", VT__H1_E_VERSION},
             {"HTTP/01.1", VT__H1_E_VERSION},
             {"HTTP/11.1", VT__H1_E_VERSION},
             {"HTTP/1", VT__H1_E_VERSION},
             {"HTTP/1.", VT__H1_E_VERSION},
             {"HTTP/1.1 ", VT__H1_E_VERSION},
             {"HTTP/1.x", VT__H1_E_VERSION},
             {"HTTP/+1.1", VT__H1_E_VERSION},
             {"http/1.1", VT__H1_E_VERSION},
             {"HTPT/1.1", VT__H1_E_VERSION},
             {"HTPT", VT__H1_E_VERSION},
             {"HTTP 1.1", VT__H1_E_VERSION},
             {"HTTP/1,1", VT__H1_E_VERSION},
             {" HTTP/1.1", VT__H1_E_VERSION},
             {"", VT__H1_E_VERSION}};
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        char head[100];
        snprintf(head, sizeof head, "GET / %s\r\nHost: h\r\n\r\n", t[i].version);
        expect_n(head, strlen(head), t[i].err ? t[i].err : (int)strlen(head));
    }
    CHECK_EQ(vt__h1_err_status(VT__H1_E_UNSUPPORTED), 505);
    CHECK_EQ(vt__h1_err_status(VT__H1_E_VERSION), 400);
    rejects("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VT__H1_E_UNSUPPORTED);
    rejects("GET / HTTP/1.1\nHost: h\r\n\r\n", VT__H1_E_LF);
    rejects("GET / HTTP/1.1\rHost: h\r\n\r\n", VT__H1_E_CR);
    rejects("GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", VT__H1_E_CR);
    CHECK_EQ(known_after("GET / HTPT"), 9); /* "GET / HTP" */
}

/* A request with this Host. */
static int host(const char *value) {
    char head[400];
    snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", value);
    int rc = parse(head);
    return rc > 0 ? 0 : rc;
}

TEST(b027_host_grammar) {
    static const char *const good[] = {"h",
                                       "h.",
                                       "h:0",
                                       "h:65535",
                                       "h:00080",
                                       "example.com",
                                       "example.com:80",
                                       "EXAMPLE.com",
                                       "xn--bcher-kva.example",
                                       "a_b~c!$&'()*+,;=d",
                                       "%41b",
                                       "aaaaaaaa%41",
                                       "1.2.3.4",
                                       "1.2.3.4:80",
                                       "1.2.3.999",
                                       "[::]",
                                       "[::1]",
                                       "[::1]:8080",
                                       "[1:2:3:4:5:6:7:8]",
                                       "[1:2:3:4:5:6:7::]",
                                       "[::2:3:4:5:6:7:8]",
                                       "[2001:DB8::1.2.3.4]",
                                       "[1:2:3:4:5:6:1.2.3.4]",
                                       "[abcd:EF01::]",
                                       "01234567",
                                       "-a.b-.c",
                                       ""};
    static const char *const bad[] = {"h:",
                                      "example.com:",
                                      "[::1]:",
                                      ":80",
                                      ":",
                                      "h:65536",
                                      "h:000080",
                                      "h:99999",
                                      "h:-1",
                                      "h:+80",
                                      "h:8a",
                                      "h:80:80",
                                      "h:80 ,x",
                                      "a b",
                                      "a\tb",
                                      "a/b",
                                      "a?b",
                                      "a#b",
                                      "a@b",
                                      "user@example.com",
                                      "user:pw@example.com",
                                      "a\\b",
                                      "a<b",
                                      "a\"b",
                                      "a^b",
                                      "a|b",
                                      "a`b",
                                      "a{b",
                                      "exam^le.com",
                                      "example.com/",
                                      "example.co|m",
                                      "%4",
                                      "%4g",
                                      "aaaaaaa%",
                                      "[",
                                      "[]",
                                      "[::1",
                                      "::1",
                                      "[:::]",
                                      "[1::2::3]",
                                      "[1:2:3:4:5:6:7]",
                                      "[1:2:3:4:5:6:7:8:9]",
                                      "[1:2:3:4:5:6:7:8::]",
                                      "[12345::]",
                                      "[g::]",
                                      "[::1]x",
                                      "[::1.2.3]",
                                      "[::1.2.3.256]",
                                      "[::1.2.3.04]",
                                      "[1:2:3:4:5:6:7:1.2.3.4]",
                                      "[fe80::1%25eth0]",
                                      "[v1.a]",
                                      "[::1]8080",
                                      "a\xc3\xa9.com",
                                      "aaaaaaaa\xe9",
                                      "[1:2:3:4:5:6:7:]",
                                      "[:1:2:3:4:5:6:7]"};
    for (size_t i = 0; i < VT__COUNT(good); i++)
        if (host(good[i]) != 0) printf("Host: %s\n", good[i]), test_fail(__FILE__, __LINE__, "refused");
    for (size_t i = 0; i < VT__COUNT(bad); i++)
        if (host(bad[i]) != VT__H1_E_HOST)
            printf("Host: %s\n", bad[i]), test_fail(__FILE__, __LINE__, "not refused");
    /* The quick check agrees with the grammar for every byte at every place. */
    for (unsigned c = 0x20; c < 256; c++) {
        for (size_t at = 1; at < 17; at++) {
            char h[] = "0aZz9.-bcdefghijk", one[2] = {(char)c, 0};
            if (c == 0x7f || c == ':' || c == '%') continue;
            h[at] = (char)c;
            bool ok = vt__uri_is(one[0], VT__URI_C_NAME) || (c == ' ' && at == 16);
            CHECK_EQ(host(h), ok ? 0 : VT__H1_E_HOST);
        }
    }
}

TEST(b028_host_count) {
    rejects("GET / HTTP/1.1\r\n\r\n", VT__H1_E_HOST_MISSING);
    rejects("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", VT__H1_E_HOST_TWICE);
    rejects("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhOST:\r\n\r\n", VT__H1_E_HOST_TWICE);
    rejects("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", VT__H1_E_HOST_TWICE);
    rejects("GET / HTTP/1.0\r\nHost: a:\r\n\r\n", VT__H1_E_HOST);
    rejects("GET http://e.org/ HTTP/1.1\r\nHost: a b\r\n\r\n", VT__H1_E_HOST);
    rejects("GET http://e.org/ HTTP/1.1\r\n\r\n", VT__H1_E_HOST_MISSING);
    accepts("GET / HTTP/1.0\r\n\r\n");
    CHECK_EQ(first.r.auth_len, 0);
    CHECK(!(first.r.flags & VT__H1_HAS_HOST));
    accepts("GET / HTTP/1.1\r\nHost:\r\n\r\n");
    CHECK(first.r.flags & VT__H1_HAS_HOST);
    const char *head = "GET http://e.org/ HTTP/1.1\r\nHost: other\r\n\r\n";
    accepts(head); /* RFC 9112 3.2.2: the target decides */
    CHECK(slice_is(head, first.r.auth_off, first.r.auth_len, "e.org"));
}

TEST(b029_b030_transfer_encoding) {
    static const struct {
        const char *lines;
        int err;
    } t[] = {{"Transfer-Encoding: chunked\r\n", 0},
             {"transfer-encoding:\tCHUNKED \r\n", 0},
             {"Transfer-Encoding: \vchunked\r\n", VT__H1_E_VALUE},
             {"Transfer-Encoding: chunked\v\r\n", VT__H1_E_VALUE},
             {"Transfer-Encoding: chunked, x\r\n", VT__H1_E_CODING},
             {"Transfer-Encoding: chunked, chunked\r\n", VT__H1_E_CODING},
             {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", VT__H1_E_CODING},
             {"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", VT__H1_E_CODING},
             {"Transfer-Encoding: chunked,\r\n", VT__H1_E_CODING},
             {"Transfer-Encoding: ,chunked\r\n", VT__H1_E_CODING},
             {"Transfer-Encoding:\r\n", VT__H1_E_CODING},
             {"Transfer-Encoding: chunked;a=b\r\n", VT__H1_E_CODING},
             {"Transfer-Encoding: chunked x\r\n", VT__H1_E_CODING},
             {"Transfer-Encoding: \"chunked\"\r\n", VT__H1_E_CODING},
             {"Transfer-Encoding: chun\xe7ked\r\n", VT__H1_E_CODING},
             {"Transfer-Encoding: gzip, chunked\r\n", VT__H1_E_CODING_UNKNOWN},
             {"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", VT__H1_E_CODING_UNKNOWN},
             {"Transfer-Encoding: gzip\r\n", VT__H1_E_CODING_UNKNOWN},
             {"Transfer-Encoding: identity\r\n", VT__H1_E_CODING_UNKNOWN},
             {"Transfer-Encoding: xchunked\r\n", VT__H1_E_CODING_UNKNOWN},
             {"Transfer-Encoding: chunke\r\n", VT__H1_E_CODING_UNKNOWN},
             {"Transfer-Encoding: x;q=1, chunked\r\n", VT__H1_E_CODING_UNKNOWN}};
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        const char *head = get(t[i].lines);
        expect_n(head, strlen(head), t[i].err ? t[i].err : (int)strlen(head));
        if (!t[i].err) CHECK(first.r.flags & VT__H1_CHUNKED);
    }
    rejects("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", VT__H1_E_CODING_OLD);
    CHECK_EQ(vt__h1_err_status(VT__H1_E_CODING_UNKNOWN), 501);
    CHECK_EQ(vt__h1_err_status(VT__H1_E_CODING), 400);
}

TEST(b031_length_and_coding) {
    rejects(get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), VT__H1_E_CODING_LENGTH);
    rejects(get("Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 0\r\n"), VT__H1_E_CODING_LENGTH);
    rejects(get("Transfer-Encoding: gzip\r\nContent-Length: 0\r\n"), VT__H1_E_CODING_LENGTH);
}

TEST(b032_to_b035_names) {
    rejects(get("A : b\r\n"), VT__H1_E_NAME_SPACE);
    rejects(get("A\t: b\r\n"), VT__H1_E_NAME_SPACE);
    rejects(get("A b: c\r\n"), VT__H1_E_NAME_SPACE);
    rejects(get(": b\r\n"), VT__H1_E_NAME_EMPTY);
    rejects(get("A: b\r\n c\r\n"), VT__H1_E_FOLD);
    rejects(get("A: b\r\n\tc\r\n"), VT__H1_E_FOLD);
    rejects("GET / HTTP/1.1\r\n Host: h\r\n\r\n", VT__H1_E_FOLD);
    rejects(get("A\r\n"), VT__H1_E_COLON);
    rejects(get("A\n"), VT__H1_E_LF);
    /* Every byte in every part of a name. */
    for (unsigned c = 0; c < 256; c++) {
        for (size_t at = 0; at < 3; at++) {
            char head[] = "GET / HTTP/1.1\r\nHost: h\r\nX-abc: d\r\n\r\n";
            head[25 + 2 * at] = (char)c;
            bool token = c && (isalnum_ascii(c) || strchr("!#$%&'*+-.^_`|~", (int)c));
            int rc = parse_n(head, sizeof head - 1);
            if (token || (c == ':' && at > 0)) CHECK_EQ(rc, sizeof head - 1);
            else CHECK(rc < 0 && vt__h1_err_status(rc) == 400);
        }
    }
    CHECK_EQ(known_after("GET / HTTP/1.1\r\nA@b"), 18); /* at once, not at the end of the line */
    CHECK_EQ(known_after("GET / HTTP/1.1\r\nA: b\x01 ccc"), 21);
    CHECK_EQ(known_after("GET / HTTP/1.1\r\nA: b\nc"), 21);
    CHECK_EQ(known_after("GET / HTTP/1.1\r\nA: b\rc"), 22);
    CHECK_EQ(known_after("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nX"), 34);
}

TEST(b036_whitespace_around_values) {
    static const char *const lines[] = {"A:b\r\n",         "A: b\r\n", "A:\tb\r\n",
                                        "A: \t b \t \r\n", "A:b \r\n", "A:   b\r\n"};
    for (size_t i = 0; i < VT__COUNT(lines); i++) {
        const char *head = get(lines[i]);
        accepts(head);
        CHECK(slice_is(head, first.f[1].value_off, first.f[1].value_len, "b"));
    }
    static const char *const empty[] = {"A:\r\n", "A: \r\n", "A:\t\r\n", "A: \t  \r\n"};
    for (size_t i = 0; i < VT__COUNT(empty); i++) {
        accepts(get(empty[i]));
        CHECK_EQ(first.r.nfields, 2);
        CHECK_EQ(first.f[1].value_len, 0);
    }
    const char *inner = get("A: b \t c\xff\x80:\"\r\n");
    accepts(inner);
    CHECK(slice_is(inner, first.f[1].value_off, first.f[1].value_len, "b \t c\xff\x80:\""));
}

TEST(values_hold_no_controls) {
    for (unsigned c = 0; c < 256; c++) {
        char head[] = "GET / HTTP/1.1\r\nHost: h\r\nX-abc: d_e\r\n\r\n";
        head[33] = (char)c;
        int rc = parse_n(head, sizeof head - 1);
        if (c == '\n') CHECK_EQ(rc, VT__H1_E_LF);
        else if (c == '\r') CHECK_EQ(rc, VT__H1_E_CR);
        else if ((c < 0x20 && c != '\t') || c == 0x7f) CHECK_EQ(rc, VT__H1_E_VALUE);
        else CHECK_EQ(rc, sizeof head - 1);
    }
    rejects(get("A: b\r\r\n"), VT__H1_E_CR);
    rejects(get("A: b\n\r\n"), VT__H1_E_LF);
    rejects("GET / HTTP/1.1\r\nHost: h\r\n\n", VT__H1_E_LF);
    rejects("GET / HTTP/1.1\r\nHost: h\r\n\r\r\n", VT__H1_E_CR);
    rejects("GET / HTTP/1.1\r\nHost: h\r\n\rX", VT__H1_E_CR);
}

TEST(b041_many_fields) {
    static char head[ROOM];
    vt__h1_limits l = {.section = 65536};
    size_t n = (size_t)sprintf(head, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 1; i < 500; i++) n += (size_t)sprintf(head + n, "X-%d: %d\r\n", i, i);
    n += (size_t)sprintf(head + n, "\r\n");
    lim = &l;
    expect_n(head, n, (int)n);
    CHECK_EQ(first.r.nfields, 500);
    CHECK(slice_is(head, first.f[499].value_off, first.f[499].value_len, "499"));
    cap = 499;
    expect_n(head, n, VT__H1_E_FIELDS);
    cap = MAX_FIELDS, lim = &standard;
    expect_n(head, n, VT__H1_E_SECTION); /* 500 times 32 and what they hold is over the default */
    CHECK_EQ(vt__h1_err_status(VT__H1_E_FIELDS), 431);
    CHECK_EQ(vt__h1_err_status(VT__H1_E_SECTION), 431);
}

/* A head whose section counts (name + value + 32) exactly `size`, in fields of at most `each`. */
static size_t section_of(char *out, size_t size, size_t each) {
    size_t n = (size_t)sprintf(out, "GET / HTTP/1.1\r\nHost: h\r\n"), left = size - 37;
    while (left) {
        size_t now = left > each + 33 ? each : left;
        n += (size_t)sprintf(out + n, "a:");
        memset(out + n, 'v', now - 33), n += now - 33;
        n += (size_t)sprintf(out + n, "\r\n");
        left -= now;
    }
    return n + (size_t)sprintf(out + n, "\r\n");
}

TEST(b042_section_limit) {
    static char head[ROOM];
    size_t n = section_of(head, 16384, 1000);
    expect_n(head, n, (int)n);
    n = section_of(head, 16385, 1000);
    expect_n(head, n, VT__H1_E_SECTION);
    vt__h1_limits l = {.section = 100};
    lim = &l;
    n = section_of(head, 100, 50);
    expect_n(head, n, (int)n);
    n = section_of(head, 101, 50);
    expect_n(head, n, VT__H1_E_SECTION);
    /* Raw bytes count as well: whitespace, a name or value without an end. */
    static const char fill[] = {' ', 'v', '\t'};
    for (size_t i = 0; i < 3; i++) {
        n = (size_t)sprintf(head, "GET / HTTP/1.1\r\nHost: h\r\na:");
        memset(head + n, fill[i], 2000);
        expect_n(head, n + 2000, VT__H1_E_SECTION);
        CHECK_EQ(known_after(head), 16 + 100 + 2);
    }
    memset(head + 16, 'n', 2000);
    expect_n(head, 2000, VT__H1_E_SECTION);
    lim = &standard;
}

TEST(b043_limits_are_configurable) {
    static char head[ROOM];
    vt__h1_limits l = {.line = 100};
    lim = &l;
    for (size_t target = 80; target < 100; target++) {
        size_t n = (size_t)sprintf(head, "GET /");
        memset(head + n, 'p', target - 1), n += target - 1;
        size_t line = n + 9;
        n += (size_t)sprintf(head + n, " HTTP/1.1\r\nHost: h\r\n\r\n");
        expect_n(head, n, line <= 100 ? (int)n : VT__H1_E_TARGET_LONG);
    }
    CHECK_EQ(vt__h1_err_status(VT__H1_E_TARGET_LONG), 414);
    memset(head, 'p', 300), memcpy(head, "GET /", 5), head[300] = 0;
    expect_n(head, 300, VT__H1_E_TARGET_LONG); /* before its end was seen */
    CHECK_EQ(known_after(head), 100);
    lim = &standard;
    memset(head, 'p', 9000), memcpy(head, "GET /", 5), head[9000] = 0;
    CHECK_EQ(known_after(head), 8192);
    l = (vt__h1_limits){.field = 20};
    lim = &l;
    accepts(get("abcdefghij: 0123456789\r\n"));
    rejects(get("abcdefghij: 01234567890\r\n"), VT__H1_E_FIELD);
    CHECK_EQ(vt__h1_err_status(VT__H1_E_FIELD), 431);
    l = (vt__h1_limits){.section = 200000};
    size_t n = (size_t)sprintf(head, "GET / HTTP/1.1\r\nHost: h\r\n");
    memset(head + n, 'n', 65536), head[n + 65535] = ':';
    memcpy(head + n + 65536, "\r\n\r\n", 4);
    expect_n(head, n + 65540, (int)n + 65540);
    CHECK_EQ(first.f[1].name_len, 65535);
    memset(head + n, 'n', 65537), head[n + 65536] = ':';
    memcpy(head + n + 65537, "\r\n\r\n", 4);
    expect_n(head, n + 65541, VT__H1_E_FIELD);
    lim = &standard;
}

TEST(b044_content_length) {
    static const struct {
        const char *value;
        int64_t length; /* < 0: refused */
    } t[] = {{"0", 0},
             {"5", 5},
             {"2147483648", INT64_C(2147483648)},
             {"4294967296", INT64_C(4294967296)},
             {"9223372036854775807", INT64_MAX},
             {"000000000000000000000000000012", 12},
             {"9223372036854775808", -1},
             {"18446744073709551616", -1},
             {"99999999999999999999999", -1},
             {"", -1},
             {"-1", -1},
             {"+1", -1},
             {"1 2", -1},
             {"1_0", -1},
             {"0x10", -1},
             {"1e3", -1},
             {"5, 5", -1},
             {"5,", -1},
             {"5;", -1},
             {"\"5\"", -1},
             {"\xb2", -1}};
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        char line[100];
        snprintf(line, sizeof line, "Content-Length: %s\r\n", t[i].value);
        const char *head = get(line);
        expect_n(head, strlen(head), t[i].length < 0 ? VT__H1_E_LENGTH : (int)strlen(head));
        if (t[i].length < 0) continue;
        CHECK_EQ(first.r.content_length, t[i].length);
        CHECK(first.r.flags & VT__H1_HAS_LENGTH);
    }
    rejects(get("Content-Length: 5\r\nContent-Length: 5\r\n"), VT__H1_E_LENGTH_TWICE);
    rejects(get("Content-Length: 5\r\nContent-Length: 6\r\n"), VT__H1_E_LENGTH_TWICE);
}

TEST(b009_b010_keep_alive) {
    static const struct {
        const char *version, *lines;
        bool keep;
    } t[] = {{"1.1", "", true},
             {"1.0", "", false},
             {"1.1", "Connection: close\r\n", false},
             {"1.1", "Connection: CLOSE\r\n", false},
             {"1.1", "Connection: x, Close ,y\r\n", false},
             {"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false},
             {"1.1", "Connection: close\r\nConnection: keep-alive\r\n", false},
             {"1.1", "Connection: closed\r\n", true},
             {"1.1", "Connection: ,,\r\n", true},
             {"1.1", "Connection:\r\n", true},
             {"1.0", "Connection: keep-alive\r\n", true},
             {"1.0", "Connection: Keep-Alive\r\n", true},
             {"1.0", "Connection: upgrade,\tkeep-alive\r\n", true},
             {"1.0", "Connection: keep-alive, close\r\n", false}};
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        char head[200];
        snprintf(head, sizeof head, "GET / HTTP/%s\r\nHost: h\r\n%s\r\n", t[i].version, t[i].lines);
        accepts(head);
        CHECK_EQ((first.r.flags & VT__H1_KEEP_ALIVE) != 0, t[i].keep);
    }
}

TEST(b069_expectations) {
    static const struct {
        const char *version, *lines;
        int flags;
    } t[] = {{"1.1", "Expect: 100-continue\r\nContent-Length: 1\r\n", VT__H1_EXPECT_100},
             {"1.1", "Expect: 100-CONTINUE\r\nTransfer-Encoding: chunked\r\n", VT__H1_EXPECT_100},
             {"1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", 0},
             {"1.1", "Expect: 100-continue\r\n", 0},
             {"1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n", 0},
             {"1.0", "Expect: tea\r\nContent-Length: 1\r\n", 0},
             {"1.1", "Expect:\r\nContent-Length: 1\r\n", 0},
             {"1.1", "Expect: tea\r\n", VT__H1_EXPECT_OTHER},
             {"1.1", "Expect: 100-continue, tea\r\nContent-Length: 1\r\n",
              VT__H1_EXPECT_100 | VT__H1_EXPECT_OTHER},
             {"1.1", "Expect: 100-continue;x\r\nContent-Length: 1\r\n", VT__H1_EXPECT_OTHER}};
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        char head[200];
        snprintf(head, sizeof head, "PUT / HTTP/%s\r\nHost: h\r\n%s\r\n", t[i].version, t[i].lines);
        accepts(head);
        CHECK_EQ(first.r.flags & (VT__H1_EXPECT_100 | VT__H1_EXPECT_OTHER), t[i].flags);
    }
}

TEST(upgrade_fact) {
    accepts(get("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    CHECK(first.r.flags & VT__H1_UPGRADE);
    accepts(get("Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n"));
    CHECK(first.r.flags & VT__H1_UPGRADE);
    accepts(get("Upgrade: websocket\r\n"));
    CHECK(!(first.r.flags & VT__H1_UPGRADE));
    accepts(get("Connection: upgrade\r\nUpgrade:\r\n"));
    CHECK(!(first.r.flags & VT__H1_UPGRADE));
    accepts("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    CHECK(!(first.r.flags & VT__H1_UPGRADE));
}

/* Lines that end around the borders of blocks and windows, of every length. */
TEST(block_and_window_borders) {
    static char head[4096];
    for (size_t fill = 0; fill < 700; fill += fill < 140 ? 1 : 7) {
        size_t n = (size_t)sprintf(head, "GET / HTTP/1.1\r\nHost: h\r\nA: ");
        memset(head + n, 'v', fill), n += fill;
        n += (size_t)sprintf(head + n, "\r\nB:");
        memset(head + n, ' ', fill / 3), n += fill / 3;
        n += (size_t)sprintf(head + n, "x\r\nC-");
        memset(head + n, 'n', fill), n += fill;
        n += (size_t)sprintf(head + n, ": y\r\n\r\n");
        for (size_t isa = 0; isa < vt__h1_isa_count(); isa++) {
            vt__h1_isa_select(isa);
            CHECK_EQ(feed(&got, head, n, NULL, 0), n);
            CHECK_EQ(got.r.nfields, 4);
            CHECK_EQ(got.f[1].value_len, fill);
            CHECK_EQ(got.f[2].value_len, 1);
            CHECK_EQ(got.f[3].name_len, fill + 2);
            size_t cuts[] = {n - 1 - fill / 2, n - 1};
            CHECK_EQ(feed(&got, head, n, cuts, 2), n);
            CHECK_EQ(got.f[3].name_len, fill + 2);
        }
    }
}

/* What a scan finds, byte by byte. */
static void scan_slowly(const uint8_t *p, size_t n, bool *ctl, bool *odd) {
    for (size_t i = 0; i < n; i++) {
        ctl[i] = (p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f;
        odd[i] = !(p[i] && (isalnum_ascii(p[i]) || strchr("!#$%&'*+-.^_`|~", p[i])));
    }
}

static void check_scan(const vt__h1_isa *isa, const uint8_t *buf, size_t from, size_t to) {
    static vt__h1_win w;
    static bool ctl[VT__H1_WINDOW], odd[VT__H1_WINDOW];
    size_t n = to - from, ends = 0;
    memset(&w, 0xa5, sizeof w);
    w.from = (uint32_t)from, w.to = (uint32_t)to;
    isa->fields(buf, &w);
    scan_slowly(buf + from, n, ctl, odd);
    for (size_t i = 0; i < n; i++) {
        bool bit = w.odd[i / 64] >> (i % 64) & 1;
        if (odd[i] ? !bit : bit && !strchr("!#$%&'*+.^_`|~", buf[from + i]))
            test_fail(__FILE__, __LINE__, "odd bit");
        if (ctl[i] && (i == 0 || !ctl[i - 1])) CHECK(ends < w.nends && w.ends[ends++] == i);
    }
    CHECK_EQ(ends, w.nends);
    CHECK_EQ(w.odd[n / 64] >> (n % 64), 1); /* the sentinel, and nothing beyond */
}

TEST(scanners_agree_with_a_byte_loop) {
    uint64_t seed = test_seed();
    for (int round = 0; round < 6000; round++) {
        size_t len = round < 700 ? (size_t)round % 200 : pick(&seed, 700);
        uint8_t *buf = (uint8_t *)guarded(len);
        unsigned kind = (unsigned)pick(&seed, 4);
        for (size_t i = 0; i < len; i++) {
            uint64_t r = test_rand(&seed);
            buf[i] = kind == 0   ? (uint8_t)r
                     : kind == 1 ? (uint8_t) "a:\r\n -?#"[r % 8]
                     : kind == 2 ? (uint8_t)(0x20 + r % 0x60)
                                 : 'a';
        }
        for (size_t i = 0; i < vt__h1_isa_count(); i++) {
            size_t to = len, from = len ? pick(&seed, len) : 0;
            if (to - from > VT__H1_WINDOW) from = to - VT__H1_WINDOW;
            check_scan(&vt__h1_isas[i], buf, from, to);
        }
        size_t stop = 0;
        uint32_t mark[2] = {0, 0}, want = 0;
        for (; stop < len && buf[stop] > 0x20 && buf[stop] < 0x7f && buf[stop] != '#'; stop++)
            if (buf[stop] == '?' && !want) want = (uint32_t)stop + 1;
        CHECK_EQ(vt__h1_stop(buf, 0, (uint32_t)len, &mark[0]), stop);
        CHECK_EQ(vt__h1_find_stop(vt__h1_word_line, 8, buf, 0, (uint32_t)len, &mark[1]), stop);
        CHECK_EQ(mark[0], want);
        CHECK_EQ(mark[1], want);
        for (size_t at = 0; at + 16 <= len; at += 16) {
            unsigned bits = (unsigned)vt__h1_word_host(buf + at) | (unsigned)vt__h1_word_host(buf + at + 8)
                                                                       << 8;
            if (VT__H1_WIDTH == 16) CHECK_EQ(vt__h1_host(buf + at), bits);
            for (size_t i = 0; i < 16; i++) {
                uint8_t c = buf[at + i];
                CHECK_EQ(bits >> i & 1, !(isalnum_ascii(c) || c == '.' || c == '-'));
            }
        }
    }
}

TEST(scanners_agree_on_every_byte) {
    for (unsigned c = 0; c < 256; c++)
        for (size_t at = 0; at < 130; at += 13) {
            uint8_t *buf = (uint8_t *)guarded(130);
            memset(buf, 'a', 130);
            buf[at] = (uint8_t)c;
            for (size_t i = 0; i < vt__h1_isa_count(); i++) check_scan(&vt__h1_isas[i], buf, 0, 130);
            bool ok = isalnum_ascii(c) || c == '.' || c == '-', stops = c <= ' ' || c >= 0x7f || c == '#';
            uint32_t mark = 0;
            CHECK_EQ(vt__h1_host(buf + at - at % 8) == 0, ok || at - at % 8 + VT__H1_WIDTH <= at);
            CHECK_EQ(vt__h1_stop(buf, 0, 130, &mark), stops ? at : 130);
            CHECK_EQ(mark, c == '?' ? at + 1 : 0);
        }
}

/* Random damage to good heads: whatever comes out, it is the same for every version and split. */
TEST(damaged_heads_give_one_result) {
    uint64_t seed = test_seed();
    for (int round = 0; round < 3000; round++) {
        char head[sizeof browser_head];
        size_t len = sizeof head - 1, cuts[3];
        memcpy(head, browser_head, sizeof head);
        for (size_t n = pick(&seed, 3); n > 0; n--)
            head[pick(&seed, len)] = "\r\n: \t\0a%\x7f\x80?#,"[pick(&seed, 13)];
        for (size_t i = 0; i < 3; i++) cuts[i] = pick(&seed, len);
        for (size_t i = 0; i < 3; i++)
            for (size_t k = i + 1; k < 3; k++)
                if (cuts[k] < cuts[i]) {
                    size_t t = cuts[i];
                    cuts[i] = cuts[k], cuts[k] = t;
                }
        vt__h1_isa_select(0);
        feed(&first, head, len, NULL, 0);
        for (size_t isa = 0; isa < vt__h1_isa_count(); isa++) {
            vt__h1_isa_select(isa);
            feed(&got, head, len, cuts, 3);
            CHECK(same(&first, &got));
            feed(&got, head, len, NULL, 0);
            CHECK(same(&first, &got));
        }
    }
}

TEST(known_fields) {
    static const struct {
        const char *text;
        uint32_t slot;
        int id;
    } t[] = {
#define ROW(name, slot, text) {text, slot, VT__H1_F_##name},
        VT__H1_FIELDS(ROW)
#undef ROW
    };
    bool used[256] = {false};
    CHECK_EQ(VT__COUNT(t) + 1, VT__H1_F_COUNT);
    CHECK_EQ(VT__H1_F_UPGRADE, 6);
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        char name[40] = {0}, *edge;
        size_t len = strlen(t[i].text);
        REQUIRE(len <= 32);
        CHECK(!used[t[i].slot]), used[t[i].slot] = true;
        CHECK_EQ(vt__h1_slot(vt__h1_name_tail(t[i].text, len, 0), len), t[i].slot);
        CHECK_EQ(t[i].id, (int)i + 1);
        CHECK(slice_is(vt__h1_knowns[t[i].id].text, 8, vt__h1_knowns[t[i].id].len, t[i].text));
        for (size_t k = 0; k < len; k++)
            name[k] = (char)(t[i].text[k] >= 'a' && k % 3 ? t[i].text[k] - 32 : t[i].text[k]);
        edge = guarded(len);
        memcpy(edge, name, len);
        CHECK_EQ(vt__h1_field_id((vt_str){edge, len}), t[i].id);
        CHECK_EQ(vt__h1_name_id(memcpy(guarded(len), name, len), len, 100), t[i].id);
        for (size_t k = 0; k < len; k++) { /* one byte off is another name */
            char keep = name[k];
            name[k] = keep == '-' ? '_' : '-';
            CHECK_EQ(vt__h1_field_id((vt_str){name, len}), 0);
            name[k] = keep;
        }
        name[len] = 'x';
        CHECK_EQ(vt__h1_field_id((vt_str){name, len + 1}), 0);
        if (len > 3) CHECK(vt__h1_field_id((vt_str){name, len - 1}) != t[i].id);
    }
    CHECK_EQ(vt__h1_field_id(str("")), 0);
    CHECK_EQ(vt__h1_field_id(str("ho st")), 0);
    CHECK_EQ(vt__h1_field_id((vt_str){"h\017st", 4}), 0);
    CHECK_EQ(vt__h1_knowns[0].len, 0);
}

TEST(only_framing_fields_get_an_id) {
    static const char *const names[] = {"host",   "Connection", "CONTENT-LENGTH", "transfer-encoding",
                                        "Expect", "upgrade",    "Hosu",           "hist",
                                        "cookie", "connectioN"};
    static const uint8_t ids[] = {1, 2, 3, 4, 5, 6, 0, 0, 0, 2};
    for (size_t i = 0; i < VT__COUNT(names); i++) {
        char lines[100];
        bool framing = ids[i] == VT__H1_F_CONTENT_LENGTH;
        snprintf(lines, sizeof lines, "%s: %s\r\n", names[i], framing ? "7" : ids[i] == 4 ? "chunked" : "a");
        if (ids[i] == VT__H1_F_HOST) snprintf(lines, sizeof lines, "X: 1\r\n"); /* get() has one */
        accepts(get(lines));
        CHECK_EQ(first.f[0].id, VT__H1_F_HOST);
        CHECK_EQ(first.f[1].id, ids[i] == VT__H1_F_HOST ? 0 : ids[i]);
    }
}

TEST(lists_and_case) {
    CHECK(vt__h1_list_has(vt__str_eq_ci, str("a, b ,\tc"), str("B")));
    CHECK(vt__h1_list_has(vt__str_eq_ci, str("a"), str("a")));
    CHECK(vt__h1_list_has(vt__str_eq, str("a, b"), str("b")) &&
          !vt__h1_list_has(vt__str_eq, str("a, b"), str("B")));
    CHECK(!vt__h1_list_has(vt__str_eq_ci, str("ab, c"), str("b")));
    CHECK(!vt__h1_list_has(vt__str_eq_ci, str(""), str("")));
    CHECK(vt__str_eq_ci(str("aZ[@"), str("Az[@")));
    CHECK(!vt__str_eq_ci(str("["), str("{"))); /* only letters fold */
    CHECK(!vt__str_eq_ci(str("@"), str("`")));
    CHECK(!vt__str_eq_ci(str("a"), str("ab")));
}

/* ---- chunked bodies ---- */

struct body {
    int64_t rc; /* < 0: error; else bytes used when done; INT64_MAX: more is wanted */
    char data[ROOM];
    size_t len;
    vt__h1_chunk c;
    vt__h1_field f[8];
    char trailers[8192];
};
static struct body whole, other;

/* Gives the decoder the bytes up to each cut, then all, as a reader with a buffer does. */
static void decode(struct body *b, const char *bytes, size_t len, const size_t *cuts, size_t ncuts) {
    size_t done = 0;
    memset(&b->c, 0, sizeof b->c);
    b->len = 0, b->rc = INT64_MAX;
    for (size_t i = 0; i <= ncuts && !b->c.done; i++) {
        size_t have = i < ncuts ? cuts[i] : len;
        while (done < have && !b->c.done) {
            vt_str data;
            char *p = guarded(have - done);
            memcpy(p, bytes + done, have - done);
            int64_t n = vt__h1_chunk_decode(&b->c, p, have - done, &data, b->f, 8, lim);
            if (n < 0) {
                b->rc = n;
                return;
            }
            if (n == 0) break;
            if (data.len) memcpy(b->data + b->len, data.ptr, data.len), b->len += data.len;
            if (data.len && (data.ptr < p || data.ptr + data.len > p + n)) abort();
            if (b->c.done) memcpy(b->trailers, p + b->c.trailer_off, (size_t)n - b->c.trailer_off);
            done += (size_t)n;
        }
    }
    if (b->c.done) b->rc = (int64_t)done;
}

static bool same_body(const struct body *a, const struct body *b) {
    if (a->rc != b->rc) return false;
    if (a->rc < 0) return true; /* how much data came before the error depends on the calls */
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0 && a->c.total == b->c.total &&
           a->c.ntrailers == b->c.ntrailers && memcmp(a->f, b->f, a->c.ntrailers * sizeof *a->f) == 0;
}

static int64_t decode_all_ways(const char *bytes, size_t len) {
    static size_t all[ROOM];
    decode(&whole, bytes, len, NULL, 0);
    for (size_t i = 0; i < len; i++) {
        all[i] = i;
        for (size_t k = len > 100 ? len : i; k <= len; k++) {
            size_t cuts[2] = {i, k};
            decode(&other, bytes, len, cuts, 2);
            CHECK(same_body(&whole, &other));
        }
    }
    decode(&other, bytes, len, all, len);
    CHECK(same_body(&whole, &other));
    return whole.rc;
}

static void body_is(const char *bytes, const char *want) {
    CHECK_EQ(decode_all_ways(bytes, strlen(bytes)), strlen(bytes));
    CHECK_MEM(whole.data, whole.len, want, strlen(want));
    CHECK_EQ(whole.c.total, strlen(want));
}
static void body_fails(const char *bytes, int err) {
    int64_t rc = decode_all_ways(bytes, strlen(bytes));
    if (rc != err)
        printf("%lld, not %d: %s\n", (long long)rc, err, bytes), test_fail(__FILE__, __LINE__, "chunks");
}

TEST(chunks) {
    body_is("0\r\n\r\n", "");
    body_is("5\r\nhello\r\n0\r\n\r\n", "hello");
    body_is("5\r\nhello\r\n1\r\n \r\n005\r\nworld\r\n000\r\n\r\n", "hello world");
    body_is("A\r\n0123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n", "0123456789abcdefghij");
    body_is("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n");
    CHECK_EQ(decode_all_ways("1\r\nx\r\n0\r\n\r\nGET /", 16), 11); /* what follows is the next request */
}

TEST(b037_ends_of_chunks) {
    body_fails("5\r\nhelloX\r\n0\r\n\r\n", VT__H1_E_CHUNK_END);
    body_fails("5\r\nhello0\r\n\r\n", VT__H1_E_CHUNK_END);
    body_fails("5\r\nhello\rX", VT__H1_E_CR);
    body_fails("5\rhello", VT__H1_E_CR);
    body_fails("5\r\r\nhello", VT__H1_E_CR);
    body_fails("0\r\n\rX", VT__H1_E_CR);
}

TEST(b038_bare_lf) {
    body_fails("5\nhello\r\n0\r\n\r\n", VT__H1_E_LF);
    body_fails("5\r\nhello\n0\r\n\r\n", VT__H1_E_LF);
    body_fails("0\n", VT__H1_E_LF);
    body_fails("0\r\n\n", VT__H1_E_LF);
    body_fails("5;a\nhello", VT__H1_E_LF);
    body_fails("0\r\nA: b\n\r\n", VT__H1_E_LF);
    body_fails("\n0\r\n\r\n", VT__H1_E_LF);
}

TEST(b039_extensions) {
    static const char *const good[] = {
        "1;a\r\nx\r\n0\r\n\r\n",         "1;a=b\r\nx\r\n0\r\n\r\n",
        "1;a=b;c;d=e\r\nx\r\n0\r\n\r\n", "1;a=\"b c;\\\"\\\\ \t\xff\"\r\nx\r\n0\r\n\r\n",
        "1;a=\"\"\r\nx\r\n0\r\n\r\n",    "1 \t; a\t= b ;c\r\nx\r\n0;z=\"y\" ;w\r\n\r\n"};
    static const char *const bad[] = {
        "1;\r\nx",         "1;;a\r\nx",        "1;=b\r\nx",          "1;a=\r\nx",    "1;a= \r\nx",
        "1;a=b=c\r\nx",    "1;a b\r\nx",       "1;a=b c\r\nx",       "1;a=\"b\r\nx", "1;a=\"b\"c\r\nx",
        "1;a=\"b\"=\r\nx", "1;a \r\nx",        "1;a=b \r\nx",        "1 \r\nx",      "1\t\r\nx",
        "1;a\x01\r\nx",    "1;a=\"\x01\"\r\n", "1;a=\"\\\x01\"\r\n", "1;a=\"\r\"x",  "1;a=\"\n\"x",
        "1;a=\"\\\r\n\"x", "1;a=\"\\\n\"x",    "1;a=\x80\r\nx",      "1;(=b\r\nx",   "1;a=\"\x7f\"",
        "1; \r\nx"};
    for (size_t i = 0; i < VT__COUNT(good); i++) body_is(good[i], "x");
    for (size_t i = 0; i < VT__COUNT(bad); i++) body_fails(bad[i], VT__H1_E_CHUNK_EXT);
}

TEST(chunk_sizes) {
    static const char *const bad[] = {"\r\n",
                                      "g\r\n",
                                      "-1\r\n",
                                      "+1\r\n",
                                      "0x1\r\n",
                                      " 1\r\n",
                                      "\t1\r\n",
                                      "1_0\r\n",
                                      "1g\r\n",
                                      ";a\r\n",
                                      "1,2\r\n",
                                      "\x80\r\n",
                                      "x",
                                      "8000000000000000\r\n",
                                      "10000000000000000\r\n",
                                      "00000000000000000000ffffffffffffffff0\r\n"};
    for (size_t i = 0; i < VT__COUNT(bad); i++) body_fails(bad[i], VT__H1_E_CHUNK_SIZE);
    const char *most = "7fffffffffffffff\r\nx";
    CHECK_EQ(decode_all_ways(most, strlen(most)), INT64_MAX);
    CHECK_EQ(whole.c.total, INT64_MAX);
    CHECK_EQ(whole.c.left, (uint64_t)INT64_MAX - 1);
    body_fails("1\r\nx\r\n7fffffffffffffff\r\n", VT__H1_E_CHUNK_LARGE); /* the sum */
    vt__h1_limits l = {.chunk = 16};
    lim = &l;
    body_is("10\r\n0123456789abcdef\r\n0\r\n\r\n", "0123456789abcdef");
    body_fails("11\r\n", VT__H1_E_CHUNK_LARGE);
    CHECK_EQ(vt__h1_err_status(VT__H1_E_CHUNK_LARGE), 413);
    lim = &standard;
}

TEST(b043_chunk_limits) {
    vt__h1_limits l = {.chunk_line = 10};
    lim = &l;
    body_is("0000000001\r\nx\r\n0\r\n\r\n", "x");
    body_is("1;abcdefgh\r\nx\r\n0;bcdefghi\r\n\r\n", "x");
    body_fails("00000000001\r\nx", VT__H1_E_CHUNK_LINE);
    body_fails("1;abcdefghi\r\nx", VT__H1_E_CHUNK_LINE);
    l = (vt__h1_limits){.chunk_ext = 10};
    body_is("1;abcd\r\nx\r\n1;abcd\r\ny\r\n0\r\n\r\n", "xy");
    body_fails("1;abcd\r\nx\r\n1;abcd\r\ny\r\n0;", VT__H1_E_CHUNK_EXTS);
    lim = &standard;
    char line[2000];
    memset(line, '0', sizeof line);
    decode(&whole, line, 1024, NULL, 0);
    CHECK_EQ(whole.rc, INT64_MAX);
    decode(&whole, line, 1025, NULL, 0);
    CHECK_EQ(whole.rc, VT__H1_E_CHUNK_LINE);
}

TEST(trailers) {
    const char *b = "1\r\nx\r\n0\r\nX-Sum: 12\r\nserver-timing:\r\n\r\n";
    body_is(b, "x");
    CHECK_EQ(whole.c.ntrailers, 2);
    CHECK(slice_is(whole.trailers, whole.f[0].name_off, whole.f[0].name_len, "X-Sum"));
    CHECK(slice_is(whole.trailers, whole.f[0].value_off, whole.f[0].value_len, "12"));
    CHECK_EQ(whole.f[1].value_len, 0);
    static const char *const forbidden[] = {"Content-Length: 1",
                                            "transfer-encoding: chunked",
                                            "HOST: h",
                                            "Connection: close",
                                            "Trailer: x",
                                            "Content-Type: text/plain",
                                            "Cookie: a=b",
                                            "TE: x",
                                            "Authorization: x",
                                            "Expect: 100-continue",
                                            "Upgrade: x",
                                            "Content-Encoding: gzip",
                                            "Content-Range: bytes 0-1/2"};
    for (size_t i = 0; i < VT__COUNT(forbidden); i++) {
        char body[100];
        snprintf(body, sizeof body, "0\r\n%s\r\n\r\n", forbidden[i]);
        body_fails(body, VT__H1_E_TRAILER);
        CHECK(!vt__h1_trailer_ok(vt__h1_field_id((vt_str){forbidden[i], strcspn(forbidden[i], ":")}), true));
    }
    /* Of what controls a response, and conditions, none is sent; that of others is the handler's to leave. */
    static const char *const unsent[] = {"Date",     "Age",         "Vary",
                                         "Location", "Retry-After", "If-None-Match",
                                         "If-Range", "Expires",     "If-Modified-Since"};
    for (size_t i = 0; i < VT__COUNT(unsent); i++) {
        char body[100];
        int n = snprintf(body, sizeof body, "0\r\n%s: x\r\n\r\n", unsent[i]);
        decode(&whole, body, (size_t)n, NULL, 0);
        CHECK(whole.rc == n && whole.c.ntrailers == 1);
        CHECK(!vt__h1_trailer_ok(vt__h1_field_id(vt__str_of(unsent[i])), true));
    }
    static const char *const sent[] = {"ETag", "Server-Timing", "Accept-Ranges", "X-Sum", "Link"};
    for (size_t i = 0; i < VT__COUNT(sent); i++)
        CHECK(vt__h1_trailer_ok(vt__h1_field_id(vt__str_of(sent[i])), true));
    body_fails("0\r\nA : b\r\n\r\n", VT__H1_E_NAME_SPACE);
    body_fails("0\r\nA: b\r\n c\r\n\r\n", VT__H1_E_FOLD);
    body_fails("0\r\nA\r\n\r\n", VT__H1_E_COLON);
    body_fails("0\r\n: x\r\n\r\n", VT__H1_E_NAME_EMPTY);
    body_fails("0\r\nA: \x01\r\n\r\n", VT__H1_E_VALUE);
    body_fails("0\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n\r\n", VT__H1_E_FIELDS);
    vt__h1_limits l = {.trailer = 40};
    lim = &l;
    body_is("0\r\nabcd: efgh\r\n\r\n", "");
    body_fails("0\r\nabcd: efghi\r\n\r\n", VT__H1_E_SECTION);
    body_fails("0\r\na:                                              ", VT__H1_E_SECTION);
    lim = &standard;
}

TEST(b040_truncated_bodies_are_not_done) {
    const char *b = "5\r\nhello\r\n0\r\nA: b\r\n\r\n";
    for (size_t n = 0; n < strlen(b); n++) {
        decode(&whole, b, n, NULL, 0);
        CHECK_EQ(whole.rc, INT64_MAX);
    }
}

TEST(long_bodies) {
    static char bytes[ROOM], want[ROOM];
    uint64_t seed = test_seed();
    size_t n = 0, total = 0;
    while (total < 60000) {
        size_t size = 1 + pick(&seed, pick(&seed, 4) ? 40 : 9000);
        n += vt__h1_put_chunk_size(bytes + n, size);
        for (size_t i = 0; i < size; i++) want[total + i] = bytes[n + i] = (char)test_rand(&seed);
        n += size, total += size;
        memcpy(bytes + n, "\r\n", 2), n += 2;
    }
    memcpy(bytes + n, "0\r\n\r\n", 5), n += 5;
    for (int round = 0; round < 20; round++) {
        size_t cuts[50], at = 0;
        for (size_t i = 0; i < 50; i++) cuts[i] = at = at + pick(&seed, n / 50);
        decode(&whole, bytes, n, cuts, round ? 50 : 0);
        CHECK_EQ(whole.rc, n);
        CHECK_MEM(whole.data, whole.len, want, total);
    }
}

/* ---- encoders ---- */

TEST(put_status) {
    char *out = guarded(VT__H1_STATUS_MAX); /* ends at the unmapped page */
    for (int status = -1; status < 700; status++) {
        char want[80];
        vt_str reason = vt__h1_reason(status);
        int n = vt__h1_put_status(out, status);
        if (status < 100 || status > 599) {
            CHECK_EQ(n, VT__H1_E_STATUS);
            continue;
        }
        int len = snprintf(want, sizeof want, "HTTP/1.1 %d %.*s\r\n", status, (int)reason.len, reason.ptr);
        CHECK_MEM(out, n, want, len);
    }
    CHECK_MEM(vt__h1_reason(404).ptr, vt__h1_reason(404).len, "Not Found", 9);
    CHECK_EQ(vt__h1_reason(299).len, 0);
}

TEST(check_name_and_value) {
    for (unsigned c = 0; c < 256; c++) { /* every byte at every place of a word and behind it */
        for (size_t at = 0; at < 19; at++) {
            char text[20];
            memset(text, 'a', 19);
            text[at] = (char)c;
            bool control = (c < 0x20 && c != '\t') || c == 0x7f;
            bool token = c && (isalnum_ascii(c) || strchr("!#$%&'*+-.^_`|~", (int)c));
            CHECK_EQ(vt__h1_check_value((vt_str){memcpy(guarded(19), text, 19), 19}),
                     control ? VT__H1_E_VALUE : 0);
            CHECK_EQ(vt__h1_check_name((vt_str){text, 19}), token ? 0 : VT__H1_E_NAME);
        }
    }
    CHECK_EQ(vt__h1_check_name(str("")), VT__H1_E_NAME);
    CHECK_EQ(vt__h1_check_name(str("a:b")), VT__H1_E_NAME);
    CHECK_EQ(vt__h1_check_value(str("b\r\nSet-Cookie: c")), VT__H1_E_VALUE);
    CHECK_EQ(vt__h1_check_value((vt_str){NULL, 0}), 0);
}

TEST(put_numbers) {
    static const uint64_t edges[] = {0,   1,   9,   10,         15,        16,        99,
                                     100, 255, 256, UINT32_MAX, INT64_MAX, UINT64_MAX};
    uint64_t seed = test_seed();
    for (int i = 0; i < 20000; i++) {
        uint64_t v = i < (int)VT__COUNT(edges) ? edges[i] : test_rand(&seed) >> pick(&seed, 64);
        char out[20], want[32];
        int n = (int)vt__str_put_u64(out, v),
            len = snprintf(want, sizeof want, "%llu", (unsigned long long)v);
        CHECK_MEM(out, n, want, len);
        if (v == 0) continue;
        char *line = guarded(VT__H1_CHUNK_SIZE_MAX);
        n = (int)vt__h1_put_chunk_size(line, v);
        len = snprintf(want, sizeof want, "%llx\r\n", (unsigned long long)v);
        CHECK_MEM(line, n, want, len);
        if (v > INT64_MAX) continue;
        vt__h1_chunk c = {0};
        vt_str data;
        CHECK_EQ(vt__h1_chunk_decode(&c, line, (size_t)n, &data, NULL, 0, &standard), n);
        CHECK_EQ(c.left, v);
    }
}

/* Whatever a field may hold, the parser reads back. */
TEST(write_then_parse) {
    uint64_t seed = test_seed();
    for (int round = 0; round < 300; round++) {
        char head[4096];
        struct {
            char name[40], value[80];
        } f[10];
        size_t n = (size_t)sprintf(head, "GET / HTTP/1.1\r\nHost: h\r\n"), nf = pick(&seed, 10);
        for (size_t i = 0; i < nf; i++) {
            size_t nl = 1 + pick(&seed, 38), vl = pick(&seed, 78);
            for (size_t k = 0; k < nl; k++) f[i].name[k] = "abcXYZ019-_!~"[pick(&seed, 13)];
            for (size_t k = 0; k < vl; k++) f[i].value[k] = "abc 019\t:,;\"\xe9"[pick(&seed, 12)];
            while (vl && (f[i].value[0] == ' ' || f[i].value[0] == '\t')) f[i].value[0] = 'x';
            while (vl && (f[i].value[vl - 1] == ' ' || f[i].value[vl - 1] == '\t')) f[i].value[vl - 1] = 'x';
            f[i].name[nl] = f[i].value[vl] = 0;
            REQUIRE(vt__h1_check_name(str(f[i].name)) == 0 && vt__h1_check_value(str(f[i].value)) == 0);
            n += (size_t)snprintf(head + n, sizeof head - n, "%s: %s\r\n", f[i].name, f[i].value);
        }
        memcpy(head + n, "\r\n", 2), n += 2;
        for (size_t isa = 0; isa < vt__h1_isa_count(); isa++) {
            vt__h1_isa_select(isa);
            CHECK_EQ(feed(&got, head, n, NULL, 0), n);
            CHECK_EQ(got.r.nfields, nf + 1);
            for (size_t i = 0; i < nf; i++) {
                CHECK(slice_is(head, got.f[i + 1].name_off, got.f[i + 1].name_len, f[i].name));
                CHECK(slice_is(head, got.f[i + 1].value_off, got.f[i + 1].value_len, f[i].value));
            }
        }
    }
}

TEST(errors_have_statuses_and_names) {
    static const struct {
        int err, status;
    } t[] = {
#define ROW(name, code, status, text) {VT__H1_E_##name, status},
        VT__H1_ERRORS(ROW)
#undef ROW
    };
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        CHECK(t[i].err < -10000);
        CHECK_EQ(vt__h1_err_status(t[i].err), t[i].status);
        CHECK(strlen(vt__h1_err_name(t[i].err)) > 3);
        for (size_t k = i + 1; k < VT__COUNT(t); k++) CHECK(t[i].err != t[k].err);
    }
    CHECK_EQ(vt__h1_err_status(-1), 500);
    CHECK_STR(vt__h1_err_name(-1), "?");
}

/* Byte by byte costs a bounded amount per byte: no second look at a long value. */
TEST(slow_input_is_linear) {
    static char head[ROOM];
    vt__h1_limits l = {.section = 100000};
    vt__h1_req r = {0};
    size_t n = (size_t)sprintf(head, "GET / HTTP/1.1\r\nHost: h\r\nA: ");
    memset(head + n, 'v', 90000), n += 90000;
    n += (size_t)sprintf(head + n, "\r\n\r\n");
    for (size_t i = 0; i < n; i++) {
        REQUIRE(vt__h1_req_parse(&r, head, i, got.f, cap, &l) == 0);
        REQUIRE(i < 20 || r.s.scan + 2 >= i);
    }
    CHECK_EQ(vt__h1_req_parse(&r, head, n, got.f, cap, &l), n);
}

/* The quick look at a Host never lets pass what the grammar refuses. */
TEST(h1_plain_hosts_are_hosts) {
    static const char odd[] = "0159azAZ.-:[]%/@_~!\x7f\x80 6";
    uint64_t rng = test_seed();
    int plain = 0, wrong = 0;
    for (int i = 0; i < 200000; i++) {
        char room[60] = {0}, *b = room + 16; /* a request line stands before a Host */
        size_t n = (size_t)(test_rand(&rng) % 40), digits = (size_t)(test_rand(&rng) % 8);
        if (n > 30) n /= 8;
        for (size_t k = 0; k < n; k++) {
            uint64_t r = test_rand(&rng);
            b[k] = r % 16 ? "abc19.-"[(r >> 8) % 7] : odd[(r >> 8) % (sizeof odd - 1)];
        }
        if (digits) b[n++] = ':';
        for (size_t k = 1; k < digits; k++) b[n++] = (char)('0' + test_rand(&rng) % 10);
        vt_str host = {b, n};
        vt__uri_auth auth;
        size_t name = vt__h1_without_port(host);
        if (name == 0 || !vt__h1_plain_host((vt_str){b, name})) continue;
        plain++;
        wrong += vt__uri_authority(host, &auth) < 0;
    }
    CHECK(plain > 10000);
    CHECK_EQ(wrong, 0);
}
