/* Dates in all their forms, entity tags, preconditions in their order, ranges. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT"
enum { WHEN = 784111777, SIZE = 1000 };

static vt_str str(const char *s) { return (vt_str){s, s ? strlen(s) : 0}; }

/*--- dates ---*/
TEST(dates_of_every_form) {
    static const struct {
        const char *text;
        int64_t want; /* -1: none */
    } cases[] = {
        {DATE, WHEN},
        {"Sunday, 06-Nov-94 08:49:37 GMT", WHEN},
        {"Sun Nov  6 08:49:37 1994", WHEN},
        {"Sun Nov 16 08:49:37 1994", WHEN + 10 * 86400},
        {"Wednesday, 09-Nov-94 08:49:37 GMT", WHEN + 3 * 86400},
        {"Friday, 01-Jan-70 00:00:00 GMT", 0},
        {"Monday, 01-Jan-69 00:00:00 GMT", INT64_C(3124224000)},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Tue, 29 Feb 2000 23:59:60 GMT", 951868800},
        {"Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(253402300799)},
        {"", -1},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 94 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 24:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:60:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:61 GMT", -1},
        {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 32 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nix 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 08-49-37 GMT", -1},
        {"5un, 06 Nov 1994 08:49:37 GMT", -1},
        {"Sun Nov 6  08:49:37 1994", -1},
        {"Sun Nov 6 08:49:37 1994", -1},
        {"Sun Nov    08:49:37 1994", -1},
        {"Sunday, 06-Nov-1994 08:49:37 GMT", -1},
        {"784111777", -1},
    };
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        int64_t got = -1;
        char *text = strdup(cases[i].text); /* with nothing behind that could be read */
        int r = vt__str_get_date(str(text), &got), before = test_failures;
        CHECK_EQ(r, cases[i].want < 0 ? -EINVAL : 0);
        CHECK_EQ(got, cases[i].want);
        if (test_failures != before) printf("in \"%s\"\n", cases[i].text);
        free(text);
    }
}
TEST(what_is_written_is_read) {
    uint64_t rng = test_seed();
    for (int i = 0; i < 100000; i++) {
        int64_t want = (int64_t)(test_rand(&rng) % UINT64_C(253402300800)), got;
        char text[30] = "";
        vt__str_put_date(text, want);
        REQUIRE(vt__str_get_date((vt_str){text, 29}, &got) == 0 && got == want);
    }
}

/*--- what is asked, and what comes of it ---*/
typedef struct ask {
    const char *match, *none_match, *modified_since, *unmodified_since, *range, *if_range;
} ask;
static int status(const ask *a, const char *etag, vt__cond_what *w) {
    vt__cond_asks asks = {str(a->match), str(a->none_match), str(a->modified_since), str(a->unmodified_since),
                          str(a->range), str(a->if_range)};
    *w = (vt__cond_what){.etag = str(etag), .modified = WHEN, .size = SIZE, .settled = true};
    return vt__cond_status(&asks, w);
}
TEST(preconditions_in_their_order) {
    static const struct {
        ask a;
        int want;
    } cases[] = {
        {{.match = "\"a\""}, 200},
        {{.match = "\"b\""}, 412},
        {{.match = "\"b\", \"a\""}, 200},
        {{.match = "*"}, 200},
        {{.match = "W/\"a\""}, 412}, /* strongly compared */
        {{.match = ""}, 412},
        {{.match = "\"a\"", .unmodified_since = BEFORE}, 200}, /* the date is not asked then */
        {{.match = "\"b\"", .unmodified_since = AFTER}, 412},
        {{.unmodified_since = BEFORE}, 412},
        {{.unmodified_since = DATE}, 200},
        {{.unmodified_since = AFTER}, 200},
        {{.unmodified_since = "yesterday"}, 200},
        {{.none_match = "\"a\""}, 304},
        {{.none_match = "W/\"a\""}, 304}, /* weakly */
        {{.none_match = "*"}, 304},
        {{.none_match = " * "}, 304},
        {{.none_match = "\"b\""}, 200},
        {{.none_match = "\"b\",,W/\"c\" ,\t\"a\""}, 304},
        {{.none_match = "\"b\"\"a\""}, 304}, /* commas are not worth a fault */
        {{.none_match = "a"}, 200},
        {{.none_match = "\"a"}, 200},
        {{.none_match = "\"b\", a, \"a\""}, 200}, /* nothing is known of what follows */
        {{.none_match = "\"b,\"a\"\""}, 200},
        {{.none_match = "W/"}, 200},
        {{.none_match = "w/\"a\""}, 200},
        {{.none_match = "\"b\"", .modified_since = AFTER}, 200},
        {{.modified_since = BEFORE}, 200},
        {{.modified_since = DATE}, 304},
        {{.modified_since = AFTER}, 304},
        {{.modified_since = "Sunday, 06-Nov-94 08:49:37 GMT"}, 304},
        {{.modified_since = "0"}, 200},
        {{.match = "\"b\"", .none_match = "\"a\""}, 412},
        {{.match = "\"a\"", .none_match = "\"a\""}, 304},
        {{.unmodified_since = BEFORE, .none_match = "\"a\""}, 412},
        {{.none_match = "\"a\"", .range = "bytes=0-1"}, 304},
        {{.match = "\"b\"", .range = "bytes=5000-"}, 412},
        {{.range = "bytes=0-1", .if_range = "\"a\""}, 206},
        {{.range = "bytes=0-1", .if_range = "W/\"a\""}, 200},
        {{.range = "bytes=0-1", .if_range = "\"b\""}, 200},
        {{.range = "bytes=0-1", .if_range = "*"}, 200},
        {{.range = "bytes=0-1", .if_range = "\"b\", \"a\""}, 200}, /* one tag, and no list of them */
        {{.range = "bytes=0-1", .if_range = "\"a\", \"b\""}, 200},
        {{.range = "bytes=0-1", .if_range = "\"a\" b"}, 200},
        {{.range = "bytes=0-1", .if_range = ""}, 200},
        {{.range = "bytes=0-1", .if_range = DATE}, 206},
        {{.range = "bytes=0-1", .if_range = AFTER}, 200},
        {{.range = "bytes=5000-", .if_range = AFTER}, 200},
        {{.if_range = "\"a\""}, 200},
    };
    vt__cond_what w;
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        int before = test_failures;
        CHECK_EQ(status(&cases[i].a, "\"a\"", &w), cases[i].want);
        if (cases[i].want == 200) CHECK(w.from == 0 && w.n == SIZE);
        if (test_failures != before) printf("in case %zu\n", i);
    }
    CHECK_EQ(status(&(ask){.none_match = "\"a\""}, "W/\"a\"", &w), 304);
    CHECK_EQ(status(&(ask){.match = "\"a\""}, "W/\"a\"", &w), 412);
    CHECK_EQ(status(&(ask){.match = "W/\"a\""}, "W/\"a\"", &w), 412);
    CHECK_EQ(status(&(ask){.none_match = "\"a,b\""}, "\"a,b\"", &w), 304);
    CHECK_EQ(status(&(ask){.none_match = "*"}, NULL, &w), 304);
    CHECK_EQ(status(&(ask){.none_match = "\"a\""}, NULL, &w), 200);
    CHECK_EQ(status(&(ask){.range = "bytes=0-1", .if_range = "W/\"a\""}, "W/\"a\"", &w), 200);
    CHECK_EQ(status(&(ask){.range = "bytes=0-1", .if_range = "a"}, "a", &w), 200); /* of a handler: no tag */
    CHECK_EQ(status(&(ask){.range = "bytes=0-1", .if_range = ""}, NULL, &w), 200);
}
static int status_of(const ask *a, int64_t modified, bool settled) {
    vt__cond_asks asks = {.modified_since = str(a->modified_since),
                          .unmodified_since = str(a->unmodified_since)};
    asks.range = str(a->range), asks.if_range = str(a->if_range);
    vt__cond_what w = {.modified = modified, .size = SIZE, .settled = settled};
    return vt__cond_status(&asks, &w);
}
TEST(dates_that_say_little) {
    CHECK_EQ(status_of(&(ask){.modified_since = AFTER}, -1, true), 200); /* not known */
    CHECK_EQ(status_of(&(ask){.unmodified_since = BEFORE}, -1, true), 200);
    CHECK_EQ(status_of(&(ask){.range = "bytes=0-1", .if_range = DATE}, -1, true), 200);
    CHECK_EQ(
        status_of(&(ask){.range = "bytes=0-1", .if_range = "Wednesday, 31-Dec-69 23:59:59 GMT"}, -1, true),
        200);
    CHECK_EQ(status_of(&(ask){.range = "bytes=0-1", .if_range = DATE}, WHEN, true), 206);
    CHECK_EQ(status_of(&(ask){.range = "bytes=0-1", .if_range = DATE}, WHEN, false),
             200); /* of this very second */
    CHECK_EQ(status_of(&(ask){.modified_since = DATE}, WHEN, false), 304);
}
TEST(ranges) {
    static const struct {
        const char *range;
        int want;
        int64_t from, n;
    } cases[] = {
        {"bytes=0-0", 206, 0, 1},
        {"bytes=0-", 206, 0, SIZE},
        {"bytes=0-999", 206, 0, SIZE},
        {"bytes=0-1000", 206, 0, SIZE},
        {"bytes=999-", 206, 999, 1},
        {"bytes=999-999", 206, 999, 1},
        {"bytes=10-19", 206, 10, 10},
        {"BYTES=10-19", 206, 10, 10},
        {"bytes= 10-19 ", 206, 10, 10},
        {"bytes=-1", 206, 999, 1},
        {"bytes=-1000", 206, 0, SIZE},
        {"bytes=-1001", 206, 0, SIZE},
        {"bytes=-99999999999999999999", 206, 0, SIZE},
        {"bytes=5-99999999999999999999", 206, 5, SIZE - 5},
        {"bytes=5-9223372036854775807", 206, 5, SIZE - 5},
        {"bytes=1000-", 416, 0, 0},
        {"bytes=1000-1001", 416, 0, 0},
        {"bytes=99999999999999999999-", 416, 0, 0},
        {"bytes=9223372036854775807-9223372036854775807", 416, 0, 0},
        {"bytes=-0", 416, 0, 0},
        {"bytes=", 200, 0, SIZE},
        {"bytes=-", 200, 0, SIZE},
        {"bytes=5", 200, 0, SIZE},
        {"bytes=6-5", 200, 0, SIZE},
        {"bytes=a-5", 200, 0, SIZE},
        {"bytes=5-a", 200, 0, SIZE},
        {"bytes=+5-6", 200, 0, SIZE},
        {"bytes=--5", 200, 0, SIZE},
        {"bytes=0-1,3-4", 200, 0, SIZE},
        {"bytes=5-99999999999999999999,0-1", 200, 0, SIZE},
        {"bytes=5-99999999999999999999a", 200, 0, SIZE},
        {"bytes=99999999999999999999a-", 200, 0, SIZE},
        {"bytes=-99999999999999999999-5", 200, 0, SIZE},
        {"bytes=0-1,", 200, 0, SIZE},
        {"bytes 0-1", 200, 0, SIZE},
        {"lines=0-1", 200, 0, SIZE},
        {"", 200, 0, SIZE},
    };
    vt__cond_what w;
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        char *range = strdup(cases[i].range);
        int before = test_failures;
        CHECK_EQ(status(&(ask){.range = range}, "\"a\"", &w), cases[i].want);
        if (cases[i].want != 416) CHECK(w.from == cases[i].from && w.n == cases[i].n);
        if (test_failures != before) printf("in \"%s\"\n", range);
        free(range);
    }
    for (size_t i = 0; i < VT__COUNT(cases); i++) { /* of nothing there is no part */
        vt__cond_asks a = {.range = str(cases[i].range)};
        w = (vt__cond_what){.size = 0};
        CHECK_EQ(vt__cond_status(&a, &w), 200);
    }
}
