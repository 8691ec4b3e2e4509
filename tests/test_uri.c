/* Percent-encoding, paths, queries, authorities; every input ends at an unmapped page. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "guard.h"

enum { ROOM = 1 << 16 };

static vt_str str(const char *s) { return (vt_str){s, strlen(s)}; }

/* A copy of s that ends at an unmapped page; two places alternate. */
static vt_str edge(vt_str s) {
    static char *ends[2];
    static int i;
    i = !i;
    if (!ends[i]) ends[i] = guard_new(ROOM);
    char *p = ends[i] - s.len;
    if (s.len) memcpy(p, s.ptr, s.len);
    return (vt_str){p, s.len};
}

/* Decodes `in`; the output buffer ends at an unmapped page, too, and one byte less is an error. */
static void decodes(const char *in, unsigned flags, const char *want, size_t len) {
    vt_str from = edge(str(in)), room = edge((vt_str){want, len});
    memset((char *)(uintptr_t)room.ptr, '#', len);
    CHECK_EQ(vt__uri_decode(NULL, 0, from, flags), len);
    CHECK_EQ(vt__uri_decode((char *)(uintptr_t)room.ptr, len, from, flags), len);
    CHECK_MEM(room.ptr, len, want, len);
    CHECK(vt__uri_decoded_eq(from, (vt_str){want, len}, flags));
    CHECK(!vt__uri_decoded_eq(from, str("something else"), flags));
    if (len == 0) return;
    CHECK(!vt__uri_decoded_eq(from, (vt_str){want, len - 1}, flags));
    CHECK_EQ(vt__uri_decode((char *)(uintptr_t)room.ptr + 1, len - 1, from, flags), VT__URI_E_SPACE);
    CHECK_EQ(vt__uri_decode((char *)(uintptr_t)room.ptr, 0, from, flags), VT__URI_E_SPACE);
}
static void undecodable(const char *in, unsigned flags, int err) {
    char out[100];
    CHECK_EQ(vt__uri_decode(NULL, 0, edge(str(in)), flags), err);
    CHECK_EQ(vt__uri_decode(out, sizeof out, edge(str(in)), flags), err);
    CHECK(!vt__uri_decoded_eq(str(in), str(in), flags));
}

TEST(b006_percent_and_plus_in_paths) {
    decodes("", 0, "", 0);
    decodes("a%20b", 0, "a b", 3);
    decodes("a+b", 0, "a+b", 3);
    decodes("%2B%2b", 0, "++", 2);
    decodes("%C3%a9", 0, "\xc3\xa9", 2);
    decodes("%25%34%31", 0, "%41", 3); /* once, not twice */
    decodes("%7F%01%fF", 0, "\x7f\x01\xff", 3);
    decodes("\xff", 0, "\xff", 1);
}

TEST(bad_escapes) {
    static const char *const bad[] = {"%",    "%4",  "a%",  "a%4",  "%g0",    "%0g",    "%%41",
                                      "% 41", "%-1", "%+1", "%x41", "%u0041", "\xff%:0"};
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        undecodable(bad[i], 0, VT__URI_E_ESCAPE);
        undecodable(bad[i], VT__URI_FORM, VT__URI_E_ESCAPE);
    }
    undecodable("a%00b", 0, VT__URI_E_NUL);
    undecodable("%2f", VT__URI_NO_SLASH, VT__URI_E_SLASH);
    decodes("%2f", 0, "/", 1);
    decodes("a%00b", VT__URI_FORM, "a\0b", 3); /* data in forms */
    decodes("a+b%2Bc", VT__URI_FORM, "a b+c", 5);
}

TEST(every_escape) {
    for (unsigned c = 0; c < 256; c++) {
        char low[4], high[4], byte = (char)c;
        snprintf(low, sizeof low, "%%%02x", c), snprintf(high, sizeof high, "%%%02X", c);
        decodes(low, VT__URI_NUL, &byte, 1);
        decodes(high, VT__URI_NUL, &byte, 1);
        for (int at = 1; at < 3; at++) { /* any other byte in place of a digit */
            char bad[4] = "%41";
            bad[at] = (char)c;
            bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
            ptrdiff_t n = vt__uri_decode(NULL, 0, edge((vt_str){bad, 3}), VT__URI_NUL);
            CHECK_EQ(n, hex ? 1 : VT__URI_E_ESCAPE);
        }
    }
}

static void segments_are(const char *path, size_t count, const char *const *want) {
    vt_str p = edge(str(path)), seg;
    size_t pos = 0, n = 0;
    while (vt__uri_segment_next(p, &pos, &seg)) {
        if (n < count) CHECK_MEM(seg.ptr, seg.len, want[n], strlen(want[n]));
        n++;
    }
    CHECK_EQ(n, count);
    CHECK_EQ(vt__uri_segment_next(p, &pos, &seg), 0);
}

TEST(segments) {
    segments_are("/", 1, (const char *[]){""});
    segments_are("/a", 1, (const char *[]){"a"});
    segments_are("/a/", 2, (const char *[]){"a", ""});
    segments_are("//", 2, (const char *[]){"", ""});
    segments_are("/a//b", 3, (const char *[]){"a", "", "b"});
    segments_are("/a%2Fb/c", 2, (const char *[]){"a%2Fb", "c"}); /* an encoded slash stays in its segment */
    segments_are("", 0, NULL);
    segments_are("a/b", 2, (const char *[]){"a", "b"});
}

TEST(path_check) {
    static const struct {
        const char *path;
        int want;
    } t[] = {{"/", 1},
             {"/a/b", 2},
             {"/a/b/", 3},
             {"//", 2},
             {"/...", 1},
             {"/.a", 1},
             {"/a.", 1},
             {"/a..b/..c/d..", 3},
             {"/%2e%2e%2e", 1},
             {"/.%2ea", 1},
             {"/..;/x", 2},
             {"/..%2f..", 1}, /* one segment, named "../.." */
             {"/%252e%252e/", 2},
             {"/..\\..", 1},
             {"/.", VT__URI_E_DOTS},
             {"/..", VT__URI_E_DOTS},
             {"/./a", VT__URI_E_DOTS},
             {"/a/../b", VT__URI_E_DOTS},
             {"/a/..", VT__URI_E_DOTS},
             {"/%2e", VT__URI_E_DOTS},
             {"/%2E/", VT__URI_E_DOTS},
             {"/%2e%2E", VT__URI_E_DOTS},
             {"/.%2e/a", VT__URI_E_DOTS},
             {"/a/%2E./b", VT__URI_E_DOTS},
             {"", VT__URI_E_PATH},
             {"a", VT__URI_E_PATH},
             {"*", VT__URI_E_PATH},
             {"%2f", VT__URI_E_PATH},
             {"/%00", VT__URI_E_NUL},
             {"/a/b%00c", VT__URI_E_NUL},
             {"/a/%", VT__URI_E_ESCAPE},
             {"/a/%4", VT__URI_E_ESCAPE},
             {"/%4/1", VT__URI_E_ESCAPE}}; /* an escape does not reach over a slash */
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        int got = vt__uri_path_check(edge(str(t[i].path)));
        if (got != t[i].want) printf("%s: %d, not %d\n", t[i].path, got, t[i].want);
        CHECK_EQ(got, t[i].want);
    }
}

struct want {
    const char *name, *value; /* value NULL: no '=' */
};
static void pairs_are(const char *query, size_t count, const struct want *want) {
    vt_str q = edge(str(query));
    vt__uri_pair pair;
    size_t pos = 0, n = 0;
    while (vt__uri_pair_next(q, &pos, &pair)) {
        if (n < count) {
            CHECK_MEM(pair.name.ptr, pair.name.len, want[n].name, strlen(want[n].name));
            CHECK_EQ(pair.has_value, want[n].value != NULL);
            const char *v = want[n].value ? want[n].value : "";
            CHECK_MEM(pair.value.ptr, pair.value.len, v, strlen(v));
        }
        n++;
    }
    CHECK_EQ(n, count);
    CHECK_EQ(vt__uri_query_check(q), count);
}

TEST(b013_b019_query_pairs) {
    pairs_are("", 0, NULL);
    pairs_are("name", 1, (struct want[]){{"name", NULL}});
    pairs_are("name=", 1, (struct want[]){{"name", ""}});
    pairs_are("=v", 1, (struct want[]){{"", "v"}});
    pairs_are("=", 1, (struct want[]){{"", ""}});
    pairs_are("a=1&a=2&b", 3, (struct want[]){{"a", "1"}, {"a", "2"}, {"b", NULL}});
    pairs_are("a=b;c=d", 1, (struct want[]){{"a", "b;c=d"}}); /* ';' separates nothing */
    pairs_are("a=b=c", 1, (struct want[]){{"a", "b=c"}});
    pairs_are("&&a&&b&", 2, (struct want[]){{"a", NULL}, {"b", NULL}});
    pairs_are("a%26b=c%3Dd&e", 2, (struct want[]){{"a%26b", "c%3Dd"}, {"e", NULL}});
    pairs_are("?a=b?", 1, (struct want[]){{"?a", "b?"}});
}

TEST(b020_raw_and_decoded) {
    vt_str q = str("x=%26%2B+y");
    vt__uri_pair pair;
    size_t pos = 0;
    REQUIRE(vt__uri_pair_next(q, &pos, &pair) == 1);
    CHECK_MEM(pair.value.ptr, pair.value.len, "%26%2B+y", 8);
    decodes("%26%2B+y", VT__URI_FORM, "&+ y", 4);
}

TEST(b024_undecodable_query) {
    CHECK_EQ(vt__uri_query_check(str("%s%")), VT__URI_E_ESCAPE);
    CHECK_EQ(vt__uri_query_check(str("a=%")), VT__URI_E_ESCAPE);
    CHECK_EQ(vt__uri_query_check(str("a=%4&b=1")), VT__URI_E_ESCAPE);
    CHECK_EQ(vt__uri_query_check(str("%4=1")), VT__URI_E_ESCAPE);
    CHECK_EQ(vt__uri_query_check(str("a=%00")), 1);
    CHECK_EQ(vt__uri_err_status(VT__URI_E_ESCAPE), 400);
    CHECK_EQ(vt__uri_err_status(VT__URI_E_SPACE), 500);
}

TEST(b025_authority) {
    static const struct {
        const char *text, *host; /* NULL: refused */
        int port, kind;
    } t[] = {{"a", "a", -1, VT__URI_NAME},
             {"a:0", "a", 0, VT__URI_NAME},
             {"a:65535", "a", 65535, VT__URI_NAME},
             {"a:00443", "a", 443, VT__URI_NAME},
             {"a.b-c_d~!$&'()*+,;=%7a", "a.b-c_d~!$&'()*+,;=%7a", -1, VT__URI_NAME},
             {"1.2.3.4:5", "1.2.3.4", 5, VT__URI_IP4},
             {"0.0.0.0", "0.0.0.0", -1, VT__URI_IP4},
             {"255.255.255.255", "255.255.255.255", -1, VT__URI_IP4},
             {"256.1.1.1", "256.1.1.1", -1, VT__URI_NAME},
             {"1.2.3", "1.2.3", -1, VT__URI_NAME},
             {"1.2.3.4.5", "1.2.3.4.5", -1, VT__URI_NAME},
             {"01.2.3.4", "01.2.3.4", -1, VT__URI_NAME},
             {"[::1]:8080", "[::1]", 8080, VT__URI_IP6},
             {"[::]", "[::]", -1, VT__URI_IP6},
             {"[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]", -1, VT__URI_IP6},
             {"[::1.2.3.4]", "[::1.2.3.4]", -1, VT__URI_IP6},
             {"[1:2:3:4:5::1.2.3.4]", "[1:2:3:4:5::1.2.3.4]", -1, VT__URI_IP6},
             {"", NULL, 0, 0},
             {":1", NULL, 0, 0},
             {"a:", NULL, 0, 0},
             {"a:65536", NULL, 0, 0},
             {"a:000443", NULL, 0, 0},
             {"a:1x", NULL, 0, 0},
             {"a:-1", NULL, 0, 0},
             {"a:1:2", NULL, 0, 0},
             {"a b", NULL, 0, 0},
             {"u@a", NULL, 0, 0},
             {"a/", NULL, 0, 0},
             {"%4", NULL, 0, 0},
             {"%zz", NULL, 0, 0},
             {"[", NULL, 0, 0},
             {"[]", NULL, 0, 0},
             {"[:]", NULL, 0, 0},
             {"[::1", NULL, 0, 0},
             {"[::1]x", NULL, 0, 0},
             {"[::1]:", NULL, 0, 0},
             {"[1:2:3:4:5:6:7:8:9]", NULL, 0, 0},
             {"[1:2:3:4:5:6:7::8:9]", NULL, 0, 0},
             {"[1:2:3:4:5:6::1.2.3.4]", NULL, 0, 0},
             {"[1.2.3.4]", NULL, 0, 0},
             {"[::1.2.3.4:5]", NULL, 0, 0},
             {"[::%31]", NULL, 0, 0}};
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        vt__uri_auth a = {0};
        int rc = vt__uri_authority(edge(str(t[i].text)), &a);
        if (rc != (t[i].host ? 0 : VT__URI_E_AUTHORITY)) printf("authority: %s\n", t[i].text);
        CHECK_EQ(rc, t[i].host ? 0 : VT__URI_E_AUTHORITY);
        if (rc < 0 || !t[i].host) continue;
        CHECK_MEM(a.host.ptr, a.host.len, t[i].host, strlen(t[i].host));
        CHECK_EQ(a.port, t[i].port);
        CHECK_EQ(a.kind, t[i].kind);
    }
}

TEST(encode_sets) {
    static const struct {
        int set;
        const char *in, *want;
    } t[] = {{VT__URI_SET_SEGMENT, "a b/c?d&e=f+g%~", "a%20b%2Fc%3Fd%26e%3Df%2Bg%25~"},
             {VT__URI_SET_PATH, "/a b/c?d&e=f+g%#[\xc3\xa9", "/a%20b/c%3Fd&e=f+g%25%23%5B%C3%A9"},
             {VT__URI_SET_LOCATION, "https://h:1/a%20b c?d=\"e\"#f\r\n[]",
              "https://h:1/a%20b%20c?d=%22e%22#f%0D%0A[]"},
             {VT__URI_SET_COOKIE, "a;b,c\"d\\e f%g=h\n/", "a%3Bb%2Cc%22d%5Ce%20f%25g=h%0A/"},
             {VT__URI_SET_FORM, "a b+c&d", "a+b%2Bc%26d"},
             {VT__URI_SET_FORM, "", ""}};
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        size_t len = strlen(t[i].want);
        vt_str out = edge((vt_str){t[i].want, len});
        memset((char *)(uintptr_t)out.ptr, '#', len);
        CHECK_EQ(vt__uri_encode(NULL, 0, str(t[i].in), t[i].set), len);
        CHECK_EQ(vt__uri_encode((char *)(uintptr_t)out.ptr, len, str(t[i].in), t[i].set), len);
        CHECK_MEM(out.ptr, len, t[i].want, len);
        for (size_t room = 0; room < len; room++)
            CHECK_EQ(vt__uri_encode((char *)(uintptr_t)(out.ptr + len - room), room, str(t[i].in), t[i].set),
                     VT__URI_E_SPACE);
    }
}

/* Nothing that an encoder lets through breaks a field line, and decoding gives back what was encoded. */
TEST(encode_then_decode) {
    uint64_t seed = test_seed();
    for (int round = 0; round < 3000; round++) {
        char in[64], out[192], back[64];
        size_t len = (size_t)(test_rand(&seed) % sizeof in);
        for (size_t i = 0; i < len; i++) in[i] = (char)test_rand(&seed);
        for (int set = VT__URI_SET_SEGMENT; set <= VT__URI_SET_FORM; set++) {
            ptrdiff_t n = vt__uri_encode(out, sizeof out, (vt_str){in, len}, set);
            REQUIRE(n >= (ptrdiff_t)len && n <= (ptrdiff_t)(3 * len));
            for (ptrdiff_t i = 0; i < n; i++) CHECK(out[i] > ' ' && out[i] < 0x7f);
            if (set == VT__URI_SET_LOCATION) continue;
            unsigned flags = set == VT__URI_SET_FORM ? VT__URI_FORM : VT__URI_NUL;
            ptrdiff_t m = vt__uri_decode(back, sizeof back, (vt_str){out, (size_t)n}, flags);
            REQUIRE(m == (ptrdiff_t)len);
            CHECK_MEM(back, m, in, len);
        }
    }
}

TEST(classes) {
    static const struct {
        unsigned class;
        const char *more; /* than letters and digits */
        bool alnum;
    } t[] = {{VT__URI_C_UNRES, "-._~", true},
             {VT__URI_C_SUB, "!$&'()*+,;=", false},
             {VT__URI_C_PATH, ":@/", false},
             {VT__URI_C_ANY, "-._~!$&'()*+,;=:/?#[]@%", true},
             {VT__URI_C_COOKIE, "!#$&'()*+-./:<=>?@[]^_`{|}~", true},
             {VT__URI_C_TOKEN, "!#$%&'*+-.^_`|~", true}};
    for (unsigned c = 0; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        for (size_t i = 0; i < VT__COUNT(t); i++)
            CHECK_EQ(vt__uri_is((char)c, t[i].class),
                     (alnum && t[i].alnum) || (c && strchr(t[i].more, (int)c)));
        bool hex = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
        CHECK_EQ(vt__uri_is((char)c, VT__URI_C_HEX), hex);
        char text[2] = {(char)c, 0};
        if (hex) CHECK_EQ(vt__uri_hex((char)c), strtoul(text, NULL, 16));
    }
}

TEST(errors_have_names) {
    static const int errs[] = {
#define ROW(name, code, text) VT__URI_E_##name,
        VT__URI_ERRORS(ROW)
#undef ROW
    };
    for (size_t i = 0; i < VT__COUNT(errs); i++) CHECK(strlen(vt__uri_err_name(errs[i])) > 3);
    CHECK_STR(vt__uri_err_name(-1), "?");
}
