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

/* Decodes `in`; the output buffer ends at an unmapped page, too. */
static void decodes(const char *in, bool form, const char *want, size_t len) {
    vt_str from = edge(str(in)), room = edge((vt_str){want, len});
    memset((char *)(uintptr_t)room.ptr, '#', len);
    CHECK_EQ(vt__uri_decode(NULL, from, form), len);
    CHECK_EQ(vt__uri_decode((char *)(uintptr_t)room.ptr, from, form), len);
    CHECK_MEM(room.ptr, len, want, len);
    CHECK(vt__uri_decoded_eq(from, (vt_str){want, len}, form));
    CHECK(!vt__uri_decoded_eq(from, str("something else"), form));
    if (len == 0) return;
    CHECK(!vt__uri_decoded_eq(from, (vt_str){want, len - 1}, form));
}
static void undecodable(const char *in, bool form, int err) {
    char out[100];
    CHECK_EQ(vt__uri_decode(NULL, edge(str(in)), form), err);
    CHECK_EQ(vt__uri_decode(out, edge(str(in)), form), err);
    CHECK(!vt__uri_decoded_eq(str(in), str(in), form));
}

TEST(b006_percent_and_plus_in_paths) {
    decodes("", false, "", 0);
    decodes("a%20b", false, "a b", 3);
    decodes("a+b", false, "a+b", 3);
    decodes("%2B%2b", false, "++", 2);
    decodes("%C3%a9", false, "\xc3\xa9", 2);
    decodes("%25%34%31", false, "%41", 3); /* once, not twice */
    decodes("%7F%01%fF", false, "\x7f\x01\xff", 3);
    decodes("\xff", false, "\xff", 1);
}

TEST(bad_escapes) {
    static const char *const bad[] = {"%",    "%4",  "a%",  "a%4",  "%g0",    "%0g",    "%%41",
                                      "% 41", "%-1", "%+1", "%x41", "%u0041", "\xff%:0"};
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        undecodable(bad[i], false, VT__URI_E_ESCAPE);
        undecodable(bad[i], VT__URI_FORM, VT__URI_E_ESCAPE);
    }
    undecodable("a%00b", false, VT__URI_E_NUL);
    decodes("%2f", false, "/", 1);
    decodes("a%00b", VT__URI_FORM, "a\0b", 3); /* data in forms */
    decodes("a+b%2Bc", VT__URI_FORM, "a b+c", 5);
}

TEST(every_escape) {
    for (unsigned c = 0; c < 256; c++) {
        char low[4], high[4], byte = (char)c;
        snprintf(low, sizeof low, "%%%02x", c), snprintf(high, sizeof high, "%%%02X", c);
        decodes(low, VT__URI_FORM, &byte, 1);
        decodes(high, VT__URI_FORM, &byte, 1);
        for (int at = 1; at < 3; at++) { /* any other byte in place of a digit */
            char bad[4] = "%41";
            bad[at] = (char)c;
            bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
            ptrdiff_t n = vt__uri_decode(NULL, edge((vt_str){bad, 3}), VT__URI_FORM);
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
            CHECK_EQ(pair.value.ptr != pair.name.ptr + pair.name.len, want[n].value != NULL);
            const char *v = want[n].value ? want[n].value : "";
            CHECK_MEM(pair.value.ptr, pair.value.len, v, strlen(v));
        }
        n++;
    }
    CHECK_EQ(n, count);
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
    undecodable("%s%", VT__URI_FORM, VT__URI_E_ESCAPE);
    undecodable("a=%", VT__URI_FORM, VT__URI_E_ESCAPE);
    undecodable("a=%4&b=1", VT__URI_FORM, VT__URI_E_ESCAPE);
    undecodable("%4=1", VT__URI_FORM, VT__URI_E_ESCAPE);
    decodes("a=%00", VT__URI_FORM, "a=", 3);
}

TEST(b025_authority) {
    static const struct {
        const char *text, *host; /* NULL: refused */
        int port;
    } t[] = {{"a", "a", -1},
             {"a:0", "a", 0},
             {"a:65535", "a", 65535},
             {"a:00443", "a", 443},
             {"a.b-c_d~!$&'()*+,;=%7a", "a.b-c_d~!$&'()*+,;=%7a", -1},
             {"1.2.3.4:5", "1.2.3.4", 5},
             {"0.0.0.0", "0.0.0.0", -1},
             {"255.255.255.255", "255.255.255.255", -1},
             {"256.1.1.1", "256.1.1.1", -1},
             {"1.2.3", "1.2.3", -1},
             {"1.2.3.4.5", "1.2.3.4.5", -1},
             {"01.2.3.4", "01.2.3.4", -1},
             {"[::1]:8080", "[::1]", 8080},
             {"[::]", "[::]", -1},
             {"[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]", -1},
             {"[::1.2.3.4]", "[::1.2.3.4]", -1},
             {"[1:2:3:4:5::1.2.3.4]", "[1:2:3:4:5::1.2.3.4]", -1},
             {"", NULL, 0},
             {":1", NULL, 0},
             {"a:", NULL, 0},
             {"a:65536", NULL, 0},
             {"a:000443", NULL, 0},
             {"a:1x", NULL, 0},
             {"a:-1", NULL, 0},
             {"a:1:2", NULL, 0},
             {"a b", NULL, 0},
             {"u@a", NULL, 0},
             {"a/", NULL, 0},
             {"%4", NULL, 0},
             {"%zz", NULL, 0},
             {"[", NULL, 0},
             {"[]", NULL, 0},
             {"[:]", NULL, 0},
             {"[::1", NULL, 0},
             {"[::1]x", NULL, 0},
             {"[::1]:", NULL, 0},
             {"[1:2:3:4:5:6:7:8:9]", NULL, 0},
             {"[1:2:3:4:5:6:7::8:9]", NULL, 0},
             {"[1:2:3:4:5:6::1.2.3.4]", NULL, 0},
             {"[1.2.3.4]", NULL, 0},
             {"[::256.1.1.1]", NULL, 0},
             {"[::01.2.3.4]", NULL, 0},
             {"[::1.2.3]", NULL, 0},
             {"[::1.2.3.4.5]", NULL, 0},
             {"[::1.2.3.4:5]", NULL, 0},
             {"[::%31]", NULL, 0}};
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        vt__uri_auth a = {0};
        int rc = vt__uri_authority(edge(str(t[i].text)), &a);
        if (rc != (t[i].host ? 0 : VT__URI_E_AUTHORITY)) printf("authority: %s\n", t[i].text);
        CHECK_EQ(rc, t[i].host ? 0 : VT__URI_E_AUTHORITY);
        if (rc < 0 || !t[i].host) continue;
        CHECK_MEM(a.host.ptr, a.host.len, t[i].host, strlen(t[i].host));
        CHECK_EQ(a.port, t[i].port);
    }
}

TEST(encode_sets) {
    static const struct {
        unsigned keep;
        const char *in, *want;
    } t[] = {{VT__URI_C_ANY, "https://h:1/a%20b c?d=\"e\"#f\r\n[]\xc3\xa9",
              "https://h:1/a%20b%20c?d=%22e%22#f%0D%0A[]%C3%A9"},
             {VT__URI_C_COOKIE, "a;b,c\"d\\e f%g=h\n/", "a%3Bb%2Cc%22d%5Ce%20f%25g=h%0A/"},
             {VT__URI_C_COOKIE, "", ""}};
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        size_t len = strlen(t[i].want);
        vt_str out = edge((vt_str){t[i].want, len});
        memset((char *)(uintptr_t)out.ptr, '#', len);
        CHECK_EQ(vt__uri_encode(NULL, str(t[i].in), t[i].keep), len);
        CHECK_EQ(vt__uri_encode((char *)(uintptr_t)out.ptr, str(t[i].in), t[i].keep), len);
        CHECK_MEM(out.ptr, len, t[i].want, len);
    }
}

/* Nothing that an encoder lets through breaks a field line, and decoding gives back what was encoded. */
TEST(encode_then_decode) {
    uint64_t seed = test_seed();
    for (int round = 0; round < 3000; round++) {
        char in[64], out[192], back[64];
        size_t len = (size_t)(test_rand(&seed) % sizeof in);
        for (size_t i = 0; i < len; i++) in[i] = (char)(test_rand(&seed) % 255 + 1);
        for (size_t i = 0; i < 2; i++) {
            unsigned keep = i ? VT__URI_C_COOKIE : VT__URI_C_ANY;
            size_t n = vt__uri_encode(out, (vt_str){in, len}, keep);
            REQUIRE(n >= len && n <= 3 * len);
            for (size_t k = 0; k < n; k++) CHECK(out[k] > ' ' && out[k] < 0x7f);
            if (keep == VT__URI_C_ANY) continue;
            ptrdiff_t m = vt__uri_decode(back, (vt_str){out, n}, false);
            REQUIRE(m == (ptrdiff_t)len);
            CHECK_MEM(back, m, in, len);
        }
    }
}

TEST(classes) {
    static const struct {
        unsigned class;
        const char *more; /* than letters and digits */
    } t[] = {{VT__URI_C_NAME, "-._~!$&'()*+,;="},
             {VT__URI_C_ANY, "-._~!$&'()*+,;=:/?#[]@%"},
             {VT__URI_C_COOKIE, "!#$&'()*+-./:<=>?@[]^_`{|}~"},
             {VT__URI_C_TOKEN, "!#$%&'*+-.^_`|~"}};
    for (unsigned c = 0; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        for (size_t i = 0; i < VT__COUNT(t); i++)
            CHECK_EQ(vt__uri_is((char)c, t[i].class), alnum || (c && strchr(t[i].more, (int)c)));
        bool hex = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
        CHECK_EQ(vt__uri_is((char)c, VT__URI_C_HEX), hex);
        char text[2] = {(char)c, 0};
        if (hex) CHECK_EQ(vt__uri_hex((char)c), strtoul(text, NULL, 16));
    }
}
