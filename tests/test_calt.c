/* What Alt-Svc says, and the table of what it said. */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

TEST(what_the_field_says) {
    static const struct {
        const char *field;
        int r;
        const char *addr;
        int64_t age;
    } cases[] = {
        {"h3=\":443\"; ma=86400", 1, "a.example:443", 86400},
        {"h3=\":443\"", 1, "a.example:443", VT__CALT_AGE_S},
        {"h3=\"b.example:8443\";ma=60", 1, "b.example:8443", 60},
        {"h3=\"[::1]:8443\" ; persist=1; MA=\"7\"", 1, "[::1]:8443", 7},
        {"h3-29=\":1\"; ma=5, h2=\"x:2\", , h3=\":3\";v=\"a,b;c\\\"\";ma=9", 1, "a.example:3",
         9}, /* an empty one */
        {"h3-29=\":1\"; ma=5, h2=\"x:2\",h3=\":3\";v=\"a,b;c\\\"\";ma=9 , h3=\":4\"", 1, "a.example:3", 9},
        {"\th3 = \":\\4\\43\" ", 1, "a.example:443", VT__CALT_AGE_S},
        {"clear", 0, NULL, 0},
        {" clear ", 0, NULL, 0},
        {"Clear", -1, NULL, 0},
        {"h2=\":443\"", 0, NULL, 0},
        {"H3=\":443\"", 0, NULL, 0},
        {"h3=\":443\"; ma=0", 0, NULL, 0},
        {"h3=\":0\"", 0, NULL, 0},
        {"h3=\":65536\"", 0, NULL, 0},
        {"h3=\"b.example\"", 0, NULL, 0},
        {"h3=\"\"", 0, NULL, 0},
        {"h3=\"user@b.example:1\"", 0, NULL, 0},
        {"h3=\"b c:1\"", 0, NULL, 0},
        {"", -1, NULL, 0},
        {"h3", -1, NULL, 0},
        {"h3=", -1, NULL, 0},
        {"h3=\":443", -1, NULL, 0},
        {"h3=\":443\\", -1, NULL, 0},
        {"h3=\":443\" ma=1", -1, NULL, 0},
        {"h3=\":443\"; ma", -1, NULL, 0},
        {"h3=\":443\"; ma=x", -1, NULL, 0},
        {"h3=\":443\"; ma=-1", -1, NULL, 0},
        {"h3=\":443\"; ma=99999999999999999999", 1, "a.example:443", INT64_C(1) << 31},
        {"h3=\":443\";", -1, NULL, 0},
        {"h3=\":443\",", 1, "a.example:443", VT__CALT_AGE_S},
        {" , ,h3=\":443\" ;ma=7, \t,", 1, "a.example:443", 7},
        {"h2=\":443\",", 0, NULL, 0},
        {"h3=\":443\",,;", -1, NULL, 0},
        {", ,", -1, NULL, 0},
    };
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        vt__calt_said said = {"", 0};
        int r = vt__calt_parse(vt__str_of(cases[i].field), VT__STR_LIT("a.example"), &said);
        if (r != cases[i].r) test_fail(__FILE__, __LINE__, cases[i].field);
        if (r != 1) continue;
        CHECK_STR(said.addr, cases[i].addr);
        CHECK_EQ(said.age_s, cases[i].age);
    }
}
/* Names that are as long as an address may be, and longer. */
TEST(long_places) {
    char host[400], field[500];
    vt__calt_said said;
    for (int n = 200; n < 400; n++) {
        memset(host, 'a', (size_t)n);
        host[n] = 0;
        for (int i = 50; i < n; i += 50) host[i] = '.';
        snprintf(field, sizeof field, "h3=\"%s:443\"", host);
        int r = vt__calt_parse(vt__str_of(field), VT__STR_LIT("x"), &said);
        CHECK_EQ(r, n + 4 < VT__CALT_ADDR);
        snprintf(field, sizeof field, "h3=\":443\"");
        CHECK_EQ(vt__calt_parse(vt__str_of(field), vt__str_of(host), &said), r);
    }
}
static vt__calt_table t;
static char addr[VT__CALT_ADDR];
static void put(const char *origin, const char *place, int64_t until) {
    vt__calt *e = vt__calt_new(origin, place, until);
    REQUIRE(e);
    vt__calt_free(vt__calt_put(&t, e));
}
static void forget_all(void) {
    while (t.n) vt__calt_free(t.at[--t.n]);
}
TEST(a_place_is_used_until_its_time) {
    CHECK_EQ(vt__calt_look(&t, "a:1", 0, addr), VT__CALT_NONE);
    put("a:1", "b:2", 100);
    CHECK_EQ(vt__calt_look(&t, "a:1", 99, addr), VT__CALT_USE);
    CHECK_STR(addr, "b:2");
    CHECK_EQ(vt__calt_look(&t, "a:1", 100, addr), VT__CALT_NONE);
    CHECK_EQ(vt__calt_look(&t, "a:2", 0, addr), VT__CALT_NONE);
    put("a:1", "c:3", 200); /* in its place */
    CHECK_EQ(t.n, 1);
    CHECK_EQ(vt__calt_look(&t, "a:1", 150, addr), VT__CALT_USE);
    CHECK_STR(addr, "c:3");
    CHECK(!vt__calt_at(&t, "a:1", "b:2"));
    vt__calt_free(vt__calt_drop(&t, "a:1"));
    CHECK_EQ(t.n, 0);
    CHECK(!vt__calt_drop(&t, "a:1"));
}
TEST(what_fails_is_shunned) {
    int64_t now = VT_SEC, shun = VT__CALT_SHUN_S * VT_SEC;
    put("a:1", "b:2", INT64_MAX);
    vt__calt *e = vt__calt_at(&t, "a:1", "b:2");
    REQUIRE(e);
    e->late = now;
    CHECK_EQ(vt__calt_look(&t, "a:1", now - 1, addr), VT__CALT_USE); /* it is being tried */
    CHECK_EQ(vt__calt_look(&t, "a:1", now, addr), VT__CALT_SHUN);
    for (int i = 0; i < 12; i++) {
        vt__calt_tried(e, VT__CALT_BAD, now);
        CHECK_EQ(e->shun - now, shun << VT__MIN(i, 8));
        CHECK_EQ(vt__calt_look(&t, "a:1", e->shun - 1, addr), VT__CALT_SHUN);
        CHECK_EQ(vt__calt_look(&t, "a:1", e->shun, addr), VT__CALT_USE);
    }
    put("a:1", "b:2", INT64_MAX - 1); /* said again: that does not make it better */
    CHECK_EQ(vt__calt_look(&t, "a:1", now, addr), VT__CALT_SHUN);
    e->late = now;
    vt__calt_tried(e, VT__CALT_OPEN, now);
    CHECK_EQ(e->late, 0);
    CHECK_EQ(vt__calt_look(&t, "a:1", now, addr), VT__CALT_SHUN);
    vt__calt_tried(e, VT__CALT_GOOD, now);
    CHECK_EQ(vt__calt_look(&t, "a:1", now, addr), VT__CALT_USE);
    vt__calt_tried(e, VT__CALT_BAD, now);
    CHECK_EQ(e->shun - now, shun);
    put("a:1", "c:3", INT64_MAX); /* another place is as good as new */
    CHECK_EQ(vt__calt_look(&t, "a:1", now, addr), VT__CALT_USE);
    forget_all();
}
/* Who would be forgotten first makes room. */
TEST(the_table_has_an_end) {
    char origin[20];
    for (int i = 0; i < VT__CALT_MAX; i++) {
        snprintf(origin, sizeof origin, "o%d:1", i);
        put(origin, "b:2", i == 40 ? 5 : 100 + i);
    }
    CHECK_EQ(t.n, VT__CALT_MAX);
    put("more:1", "b:2", 1000);
    CHECK_EQ(t.n, VT__CALT_MAX);
    CHECK_EQ(vt__calt_look(&t, "o40:1", 0, addr), VT__CALT_NONE);
    CHECK_EQ(vt__calt_look(&t, "more:1", 0, addr), VT__CALT_USE);
    put("again:1", "b:2", 1000);
    CHECK_EQ(vt__calt_look(&t, "o0:1", 0, addr), VT__CALT_NONE);
    put("again:1", "c:3", 1000);
    CHECK_EQ(t.n, VT__CALT_MAX);
    CHECK_EQ(vt__calt_look(&t, "o1:1", 0, addr), VT__CALT_USE);
    forget_all();
}
