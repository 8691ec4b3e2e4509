/* @hpack: the examples of RFC 7541 Appendix C, every error, every split, the table against a plain model, encoder to decoder. */
#define VTHTTP_H2 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

#include "test.h"

#define ROOM 70000U /* of a list of fields as text, of a block */

/* ---- a decoder that writes its fields down, as "name: value\n" with marks for flags ---- */
typedef struct {
    vt__hpack_dec d;
    uint8_t *table, *scratch;
    uint32_t scratch_size;
    char *text;
    size_t len, fields, used;
    int rc;
} reader;

static void reader_init(reader *r, uint32_t cap, uint32_t scratch) {
    memset(r, 0, sizeof *r);
    vt__hpack_dec_init(&r->d, cap);
    r->scratch_size = scratch ? scratch : r->d.t.cap;
    r->table = malloc(vt__hpack_mem(r->d.t.cap));
    r->scratch = malloc(r->scratch_size);
    r->text = malloc(ROOM * 4);
    vt__hpack_dec_table(&r->d, r->table);
}
static void reader_free(reader *r) { free(r->table), free(r->scratch), free(r->text); }
static void reader_note(reader *r, const char *p, size_t n) {
    if (r->len + n > ROOM * 4 - 1) n = ROOM * 4 - 1 - r->len;
    memcpy(r->text + r->len, p, n);
    r->len += n;
    r->text[r->len] = 0;
}
static void reader_field(reader *r, const vt__hpack_field *f) {
    char mark[80];
    r->fields++;
    if (f->flags & VT__HPACK_LONG) {
        CHECK(!f->name.ptr && !f->value.ptr &&
              f->name.len + f->value.len > r->scratch_size - VT__HPACK_SCRATCH_MORE);
        snprintf(mark, sizeof mark, "(long %zu %zu)", f->name.len, f->value.len);
        reader_note(r, mark, strlen(mark));
    } else {
        reader_note(r, f->name.ptr, f->name.len);
        reader_note(r, ": ", 2);
        reader_note(r, f->value.ptr, f->value.len);
    }
    if (f->flags & VT__HPACK_NEVER) reader_note(r, " (never)", 8);
    if (f->flags & VT__HPACK_BAD_NAME) reader_note(r, " (bad name)", 11);
    if (f->flags & VT__HPACK_BAD_VALUE) reader_note(r, " (bad value)", 12);
    reader_note(r, "\n", 1);
}
/* One block, in pieces of `most` bytes (0: all at once), each in memory of its own that goes when it is used up. */
static int reader_block(reader *r, const uint8_t *p, size_t n, size_t most) {
    r->len = r->fields = r->used = 0;
    r->text[0] = 0;
    memset(r->scratch, 0xaa, r->scratch_size);
    vt__hpack_dec_begin(&r->d, r->scratch, r->scratch_size);
    for (size_t at = 0; at < n || at == 0;) {
        size_t k = most && most < n - at ? most : n - at;
        uint8_t *copy = malloc(k + 1);
        const uint8_t *q = copy, *end = copy + k;
        vt__hpack_field f;
        if (k) memcpy(copy, p + at, k);
        while ((r->rc = vt__hpack_dec_next(&r->d, &q, end, &f)) > 0) reader_field(r, &f);
        r->used = at + (size_t)(q - copy);
        memset(copy, 0xbb, k + 1);
        free(copy);
        if (r->rc < 0) return r->rc;
        CHECK(r->used == at + k);
        at += k;
        if (n == 0) break;
    }
    r->rc = vt__hpack_dec_end(&r->d);
    return r->rc;
}

static size_t hex(uint8_t *out, const char *s) {
    size_t n = 0;
    for (; *s; s++) {
        if (*s == ' ') continue;
        unsigned v;
        sscanf(s, "%2x", &v);
        out[n++] = (uint8_t)v;
        s++;
    }
    return n;
}

/* What the table holds, newest first, as the RFC shows it. */
static size_t table_text(const vt__hpack_table *t, char *out) {
    size_t n = 0;
    for (uint32_t i = 1; i <= t->live; i++) {
        const vt__hpack_entry *e = vt__hpack_entry_of(t, i);
        vt__hpack_ring_get(t, e->at, e->name_len, out + n);
        n += e->name_len;
        n += (size_t)sprintf(out + n, ": ");
        vt__hpack_ring_get(t, e->at + e->name_len, e->value_len, out + n);
        n += e->value_len;
        n += (size_t)sprintf(out + n, "\n");
    }
    out[n] = 0;
    return n;
}

/* ---- RFC 7541 Appendix C ---- */
typedef struct {
    const char *block, *fields, *table;
    unsigned size;
} example;
typedef struct {
    const char *name;
    unsigned max; /* of the table */
    example e[3];
} series;

#define DATE1 "Mon, 21 Oct 2013 20:13:21 GMT"
#define DATE2 "Mon, 21 Oct 2013 20:13:22 GMT"
#define COOKIE "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n"
#define REQUEST(scheme, path)                                                                                \
    ":method: GET\n:scheme: " scheme "\n:path: " path "\n:authority: www.example.com\n"
#define RESPONSE(status, date)                                                                               \
    ":status: " status "\ncache-control: private\ndate: " date "\nlocation: https://www.example.com\n"
#define REQUESTS(b1, b2, b3)                                                                                 \
    {                                                                                                        \
        {b1, REQUEST("http", "/"), ":authority: www.example.com\n", 57},                                     \
            {b2, REQUEST("http", "/") "cache-control: no-cache\n",                                           \
             "cache-control: no-cache\n:authority: www.example.com\n", 110},                                 \
        {                                                                                                    \
            b3, REQUEST("https", "/index.html") "custom-key: custom-value\n",                                \
                "custom-key: custom-value\ncache-control: no-cache\n:authority: www.example.com\n", 164      \
        }                                                                                                    \
    }
#define RESPONSES(b1, b2, b3)                                                                                \
    {                                                                                                        \
        {b1, RESPONSE("302", DATE1),                                                                         \
         "location: https://www.example.com\ndate: " DATE1 "\ncache-control: private\n:status: 302\n", 222}, \
            {b2, RESPONSE("307", DATE1),                                                                     \
             ":status: 307\nlocation: https://www.example.com\ndate: " DATE1 "\ncache-control: private\n",   \
             222},                                                                                           \
        {                                                                                                    \
            b3, RESPONSE("200", DATE2) "content-encoding: gzip\n" COOKIE,                                    \
                COOKIE "content-encoding: gzip\ndate: " DATE2 "\n", 215                                      \
        }                                                                                                    \
    }

static const series all[] = {
    {"C.2.1",
     4096,
     {{"400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header\n",
       "custom-key: custom-header\n", 55}}},
    {"C.2.2", 4096, {{"040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path\n", "", 0}}},
    {"C.2.3", 4096, {{"1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret (never)\n", "", 0}}},
    {"C.2.4", 4096, {{"82", ":method: GET\n", "", 0}}},
    {"C.3", 4096,
     REQUESTS("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 84be 5808 6e6f 2d63 6163 6865",
              "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65")},
    {"C.4", 4096,
     REQUESTS("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf",
              "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf")},
    {"C.5", 256,
     RESPONSES(
         "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 "
         "3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
         "4803 3330 37c1 c0bf",
         "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a "
         "6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d "
         "6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31")},
    {"C.6", 256,
     RESPONSES(
         "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d "
         "29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
         "4883 640e ffc1 c0bf",
         "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d "
         "d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 "
         "3d50 07")},
};

static void check_series(const series *s, size_t most) {
    reader r;
    uint8_t block[300];
    char text[600];
    reader_init(&r, 4096, 0);
    r.d.t.max = s->max; /* as agreed before */
    for (size_t i = 0; i < 3 && s->e[i].block; i++) {
        size_t n = hex(block, s->e[i].block);
        CHECK_EQ(reader_block(&r, block, n, most), 0);
        CHECK_STR(r.text, s->e[i].fields);
        table_text(&r.d.t, text);
        CHECK_STR(text, s->e[i].table);
        CHECK_EQ(r.d.t.size, s->e[i].size);
    }
    reader_free(&r);
}
TEST(examples_of_the_rfc) {
    for (size_t i = 0; i < VT__COUNT(all); i++) {
        int before = test_failures;
        for (size_t most = 0; most < 80; most++) check_series(&all[i], most);
        if (test_failures != before) printf("in %s\n", all[i].name);
    }
}
