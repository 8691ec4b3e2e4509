/* Response heads: every input whole, at every split point and byte by byte, against an unmapped page, by every version of
 * the scanner. */
/* valgrind */
#define VT__H1_EVERY 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "guard.h"

enum { ROOM = 1 << 16, MAX_FIELDS = 100, GET = VT__H1_M_GET };

struct outcome {
    int rc;
    vt__h1_res r;
    vt__h1_field f[MAX_FIELDS];
};
static struct outcome whole, split;
static const vt__h1_limits standard, *lim = &standard;

static void step(struct outcome *o, int method, const char *bytes, size_t n) {
    char *p = guarded(n);
    memcpy(p, bytes, n);
    o->rc = vt__h1_res_parse(&o->r, method, p, n, o->f, MAX_FIELDS, lim);
    CHECK_MEM(p, n, bytes, n); /* never writes to its input */
}
static void check_same(size_t at) {
    bool same = whole.rc == split.rc;
    if (same && whole.rc > 0) {
        const vt__h1_res *a = &whole.r, *b = &split.r;
        same = a->status == b->status && a->until == b->until && a->reason_off == b->reason_off &&
               a->reason_len == b->reason_len && a->head.flags == b->head.flags &&
               a->head.content_length == b->head.content_length && a->head.minor == b->head.minor &&
               a->head.nfields == b->head.nfields &&
               memcmp(whole.f, split.f, a->head.nfields * sizeof *whole.f) == 0;
    }
    if (!same) printf("whole %d, split at %zu %d\n", whole.rc, at, split.rc);
    CHECK(same);
}
static int parse(int method, const char *s) {
    size_t n = strlen(s);
    for (size_t isa = 0; isa < vt__h1_isa_count(); isa++) {
        vt__h1_isa_select(isa);
        memset(&whole.r, 0, sizeof whole.r);
        step(&whole, method, s, n);
        for (size_t cut = 0; cut < n; cut++) {
            memset(&split.r, 0, sizeof split.r);
            step(&split, method, s, cut);
            if (split.rc == 0) step(&split, method, s, n);
            check_same(cut);
        }
        memset(&split.r, 0, sizeof split.r);
        split.rc = 0;
        for (size_t len = 0; len <= n && split.rc == 0; len++) step(&split, method, s, len);
        check_same(n);
    }
    return whole.rc;
}
static void rejects(const char *s, int err) {
    int rc = parse(GET, s);
    if (rc != err) printf("%d (%s): %.100s\n", rc, vt__h1_err_name(rc), s);
    CHECK_EQ(rc, err);
}
static void accepts(int method, const char *s, int until) {
    CHECK_EQ(parse(method, s), strlen(s));
    CHECK_EQ(whole.r.until, until);
}
static bool keeps(const char *s) {
    CHECK_EQ(parse(GET, s), strlen(s));
    return (whole.r.head.flags & VT__H1_KEEP_ALIVE) != 0;
}

#define OK "HTTP/1.1 200 OK\r\n"

TEST(status_line_and_fields) {
    static const char head[] =
        "HTTP/1.1 404 Not so  \x80 found\t\r\nServer: x\r\nX-Empty:\r\nX-Two:  a b \r\n\r\nbody";
    CHECK_EQ(parse(GET, head), sizeof head - 1 - 4);
    CHECK_EQ(whole.r.status, 404);
    CHECK_EQ(whole.r.head.minor, 1);
    CHECK_MEM(head + whole.r.reason_off, whole.r.reason_len, "Not so  \x80 found\t", 16);
    CHECK_EQ(whole.r.head.nfields, 3);
    CHECK_MEM(head + whole.f[2].value_off, whole.f[2].value_len, "a b", 3);
    CHECK_EQ(whole.f[1].value_len, 0);
}
TEST(the_shortest) {
    accepts(GET, "HTTP/1.1 200 \r\n\r\n", VT__H1_UNTIL_CLOSE);
    CHECK_EQ(whole.r.reason_len, 0);
    for (size_t n = 0; n < 17; n++) {
        char cut[20] = "HTTP/1.1 200 \r\n\r";
        cut[n < 16 ? n : 16] = 0;
        CHECK_EQ(parse(GET, cut), 0);
    }
}
TEST(bad_status_lines) {
    rejects("HTTP/1.1 200\r\n\r\n", VT__H1_E_STATUS_LINE);
    rejects("HTTP/1.1  200 OK\r\n\r\n", VT__H1_E_STATUS_LINE);
    rejects("HTTP/1.1 20 OK\r\n\r\n", VT__H1_E_STATUS_LINE);
    rejects("HTTP/1.1 2000 OK\r\n\r\n", VT__H1_E_STATUS_LINE);
    rejects("HTTP/1.1 099 OK\r\n\r\n", VT__H1_E_STATUS_LINE);
    rejects("HTTP/1.1 2x0 OK\r\n\r\n", VT__H1_E_STATUS_LINE);
    rejects("HTTP/1.1 200 O\001K\r\n\r\n", VT__H1_E_STATUS_LINE);
    rejects("HTTP/1.1 200 O\177K\r\n\r\n", VT__H1_E_STATUS_LINE);
    rejects("HTTP/1.1 200 OK\n\r\n", VT__H1_E_LF);
    rejects("HTTP/1.1 200 OK\r\r\n", VT__H1_E_CR);
    rejects("HTTP/1.1\n200 OK\r\n\r\n", VT__H1_E_LF);
    rejects("HTTP/1.1\t200 OK\r\n\r\n", VT__H1_E_VERSION);
    rejects("HTTP/1.2 200 OK\r\n\r\n", VT__H1_E_UNSUPPORTED);
    rejects("HTTP/2.0 200 OK\r\n\r\n", VT__H1_E_UNSUPPORTED);
    rejects("HTTP/0.9 200 OK\r\n\r\n", VT__H1_E_UNSUPPORTED);
    rejects("HTTP/11 200 OK\r\n\r\n", VT__H1_E_VERSION);
    rejects("http/1.1 200 OK\r\n\r\n", VT__H1_E_VERSION);
    rejects("ICY 200 OK\r\n\r\n", VT__H1_E_VERSION);
    rejects("\r\nHTTP/1.1 200 OK\r\n\r\n", VT__H1_E_VERSION);
    rejects(" HTTP/1.1 200 OK\r\n\r\n", VT__H1_E_VERSION);
    rejects("<html>", VT__H1_E_VERSION);
    rejects("SSH-2.0-x\r\n", VT__H1_E_VERSION);
    accepts(GET, "HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n", VT__H1_UNTIL_LENGTH);
}
/* The same machinery as a request's: one of each of its errors. */
TEST(bad_fields) {
    rejects(OK "A b: c\r\n\r\n", VT__H1_E_NAME_SPACE);
    rejects(OK "A: b\r\n c\r\n\r\n", VT__H1_E_FOLD);
    rejects(OK "A : b\r\n\r\n", VT__H1_E_NAME_SPACE);
    rejects(OK "A\r\n\r\n", VT__H1_E_COLON);
    rejects(OK ": b\r\n\r\n", VT__H1_E_NAME_EMPTY);
    rejects(OK "A: b\001\r\n\r\n", VT__H1_E_VALUE);
    rejects(OK "A: b\nB: c\r\n\r\n", VT__H1_E_LF);
    rejects(OK "A: b\rB: c\r\n\r\n", VT__H1_E_CR);
    rejects(OK " A: b\r\n\r\n", VT__H1_E_FOLD);
}
/* RFC 9112 6.3, in its order. */
TEST(framing) {
    accepts(VT__H1_M_HEAD, OK "Content-Length: 5\r\n\r\n", VT__H1_UNTIL_HEAD);
    CHECK_EQ(whole.r.head.content_length, 5);
    accepts(VT__H1_M_HEAD, OK "Transfer-Encoding: chunked\r\n\r\n", VT__H1_UNTIL_HEAD);
    accepts(VT__H1_M_HEAD, OK "\r\n", VT__H1_UNTIL_HEAD);
    accepts(GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", VT__H1_UNTIL_HEAD);
    accepts(GET, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", VT__H1_UNTIL_HEAD);
    accepts(GET, "HTTP/1.1 100 Continue\r\n\r\n", VT__H1_UNTIL_HEAD);
    accepts(GET, "HTTP/1.1 101 Switching\r\n\r\n", VT__H1_UNTIL_OTHER);
    accepts(VT__H1_M_CONNECT, OK "Content-Length: 5\r\n\r\n", VT__H1_UNTIL_OTHER);
    accepts(VT__H1_M_CONNECT, "HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\n", VT__H1_UNTIL_LENGTH);
    accepts(GET, OK "Transfer-Encoding: chunked\r\n\r\n", VT__H1_UNTIL_CHUNK);
    accepts(GET, OK "Transfer-Encoding:  CHUNKED\t\r\n\r\n", VT__H1_UNTIL_CHUNK);
    accepts(GET, OK "Content-Length: 9223372036854775807\r\n\r\n", VT__H1_UNTIL_LENGTH);
    accepts(GET, OK "\r\n", VT__H1_UNTIL_CLOSE);
    accepts(GET, OK "Host: a\r\nHost: b c\r\nExpect: x\r\n\r\n", VT__H1_UNTIL_CLOSE);
}
TEST(two_framings_are_none) {
    rejects(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", VT__H1_E_LENGTH_TWICE);
    rejects(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", VT__H1_E_LENGTH_TWICE);
    rejects(OK "Content-Length: 5, 5\r\n\r\n", VT__H1_E_LENGTH);
    rejects(OK "Content-Length: +5\r\n\r\n", VT__H1_E_LENGTH);
    rejects(OK "Content-Length: 0x5\r\n\r\n", VT__H1_E_LENGTH);
    rejects(OK "Content-Length:\r\n\r\n", VT__H1_E_LENGTH);
    rejects(OK "Content-Length: 9223372036854775808\r\n\r\n", VT__H1_E_LENGTH);
    rejects(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", VT__H1_E_CODING_LENGTH);
    rejects(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", VT__H1_E_CODING_LENGTH);
    rejects("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", VT__H1_E_CODING_OLD);
    rejects(OK "Transfer-Encoding: gzip, chunked\r\n\r\n", VT__H1_E_CODING_UNKNOWN);
    rejects(OK "Transfer-Encoding: identity\r\n\r\n", VT__H1_E_CODING_UNKNOWN);
    rejects(OK "Transfer-Encoding: chunked, chunked\r\n\r\n", VT__H1_E_CODING);
    rejects(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n", VT__H1_E_CODING);
    rejects(OK "Transfer-Encoding: chunked;a=b\r\n\r\n", VT__H1_E_CODING);
    rejects(OK "Transfer-Encoding:\r\n\r\n", VT__H1_E_CODING);
}
TEST(persistence) {
    CHECK(keeps(OK "Content-Length: 0\r\n\r\n"));
    CHECK(keeps(OK "Transfer-Encoding: chunked\r\n\r\n"));
    CHECK(keeps("HTTP/1.1 204 No\r\n\r\n"));
    CHECK(keeps("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n"));
    CHECK(keeps("HTTP/1.1 304 No\r\nContent-Length: 10\r\n\r\n"));
    CHECK(keeps("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n"));
    CHECK(!keeps("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    CHECK(!keeps("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, close\r\n\r\n"));
    CHECK(!keeps(OK "Content-Length: 0\r\nConnection: a, Close\r\n\r\n"));
    CHECK(!keeps(OK "\r\n"));
    CHECK(!keeps("HTTP/1.1 101 Go\r\n\r\n"));
    /* content of what has none: perhaps another response is hidden in it */
    CHECK(!keeps("HTTP/1.1 204 No\r\nContent-Length: 10\r\n\r\n"));
    CHECK(!keeps("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"));
    CHECK(!keeps("HTTP/1.1 103 Hints\r\nContent-Length: 10\r\n\r\n"));
}
TEST(upgrades) {
    accepts(GET, "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", VT__H1_UNTIL_OTHER);
    CHECK(whole.r.head.flags & VT__H1_UPGRADE);
    accepts(GET, "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n", VT__H1_UNTIL_OTHER);
    CHECK(!(whole.r.head.flags & VT__H1_UPGRADE));
    accepts(GET, "HTTP/1.1 101 Go\r\nUpgrade:\r\nConnection: upgrade\r\n\r\n", VT__H1_UNTIL_OTHER);
    CHECK(!(whole.r.head.flags & VT__H1_UPGRADE));
}
TEST(limits) {
    static const vt__h1_limits few = {.line = 20, .section = 100, .field = 50};
    char s[400];
    lim = &few;
    for (int n = 0; n < 12; n++) {
        snprintf(s, sizeof s, "HTTP/1.1 200 %.*s\r\n\r\n", n, "abcdefghijklmnop");
        CHECK_EQ(parse(GET, s), n <= 7 ? (int)strlen(s) : VT__H1_E_STATUS_LONG);
    }
    for (int n = 40; n < 60; n++) {
        snprintf(s, sizeof s, OK "a: %0*d\r\n\r\n", n, 0);
        CHECK_EQ(parse(GET, s), n < 50 ? (int)strlen(s) : VT__H1_E_FIELD);
    }
    for (int n = 10; n < 50; n++) {
        snprintf(s, sizeof s, OK "a: b\r\nb: %0*d\r\n\r\n", n, 0);
        CHECK_EQ(parse(GET, s), n + 1 + 32 + 34 <= 100 ? (int)strlen(s) : VT__H1_E_SECTION);
    }
    lim = &standard;
}
TEST(too_many_fields) {
    static char s[ROOM];
    size_t n = (size_t)sprintf(s, OK);
    for (int i = 0; i <= MAX_FIELDS; i++) n += (size_t)sprintf(s + n, "a%d:\r\n", i);
    strcpy(s + n, "\r\n");
    CHECK_EQ(parse(GET, s), VT__H1_E_FIELDS);
}
TEST(one_after_another) {
    static const char two[] =
        "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
    int n = parse(GET, two);
    CHECK_EQ(whole.r.status, 103);
    REQUIRE(n > 0);
    CHECK_EQ(parse(GET, two + n), strlen(two + n) - 1);
    CHECK_EQ(whole.r.status, 200);
}
