/* @hpack: the examples of RFC 7541 Appendix C, every error, every split, the table against a plain model, encoder to
 * decoder. */
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
/* One block, in pieces of `most` bytes (0: all at once), each in memory of its own that goes when it is used. */
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

/* ---- the tables ---- */
TEST(huffman_code_is_canonical) {
    uint32_t code = 0;
    unsigned len = vt__hpack_lens[vt__hpack_order[0]];
    bool seen[256] = {false};
    uint64_t kraft = 1; /* EOS */
    for (unsigned rank = 0; rank < 256; rank++, code++) {
        uint8_t sym = vt__hpack_order[rank];
        code <<= vt__hpack_lens[sym] - len;
        len = vt__hpack_lens[sym];
        CHECK(!seen[sym]);
        seen[sym] = true;
        CHECK_EQ(vt__hpack_codes[sym], code);
        kraft += UINT64_C(1) << (30 - len);
    }
    CHECK_EQ(code, 0x3fffffff); /* EOS comes next */
    CHECK_EQ(kraft, 1 << 30);
    /* some of Appendix B as they stand there */
    CHECK_EQ(vt__hpack_codes['0'], 0x0), CHECK_EQ(vt__hpack_codes['t'], 0x9),
        CHECK_EQ(vt__hpack_codes[' '], 0x14);
    CHECK_EQ(vt__hpack_codes['u'], 0x2d), CHECK_EQ(vt__hpack_codes[':'], 0x5c),
        CHECK_EQ(vt__hpack_codes['Z'], 0xfd);
    CHECK_EQ(vt__hpack_codes['!'], 0x3f8), CHECK_EQ(vt__hpack_codes['|'], 0x7fc),
        CHECK_EQ(vt__hpack_codes['>'], 0xffb);
    CHECK_EQ(vt__hpack_codes[0], 0x1ff8), CHECK_EQ(vt__hpack_codes['\\'], 0x7fff0),
        CHECK_EQ(vt__hpack_codes[1], 0x7fffd8);
    CHECK_EQ(vt__hpack_codes[255], 0x3ffffee), CHECK_EQ(vt__hpack_codes[249], 0xffffffe),
        CHECK_EQ(vt__hpack_codes[22], 0x3ffffffe);
}
TEST(static_table_has_the_ids_of_its_names) {
    for (unsigned i = 1; i <= VT__HPACK_STATIC_N; i++) {
        const vt__hpack_static *s = &vt__hpack_statics[i];
        vt__hpack_field f = {{s->name, s->name_len}, {"", 0}, 0, 0};
        CHECK(strlen(s->name) == s->name_len && strlen(s->value) == s->value_len);
        vt__hpack_name_check(&f);
        CHECK_EQ(f.id, s->id);
        CHECK_EQ(f.flags, 0);
        if (s->name[0] != ':') CHECK_EQ(s->id, vt__h1_field_id((vt_str){s->name, s->name_len}));
        unsigned first = i;
        while (first > 1 && strcmp(vt__hpack_statics[first - 1].name, s->name) == 0) first--;
        if (s->id) CHECK_EQ(vt__hpack_firsts[s->id], first);
    }
    for (int id = 0; id < VT__HPACK_F_COUNT; id++)
        if (vt__hpack_firsts[id]) CHECK_EQ(vt__hpack_statics[vt__hpack_firsts[id]].id, id);
}

/* ---- blocks made by hand ---- */
static uint8_t *put_int(uint8_t *out, unsigned first, unsigned bits, uint64_t v) {
    uint64_t most = (1U << bits) - 1;
    if (v < most) return *out = (uint8_t)(first | v), out + 1;
    *out++ = (uint8_t)(first | most);
    for (v -= most; v >= 128; v >>= 7) *out++ = (uint8_t)(v | 128);
    return *out = (uint8_t)v, out + 1;
}
/* Bit by bit, also where it is longer than the text. */
static uint8_t *put_string(uint8_t *out, const char *s, size_t n, bool huffman) {
    static uint8_t coded[ROOM * 4];
    size_t bits = 0;
    if (!huffman) return memcpy(put_int(out, 0, 7, n), s, n), put_int(out, 0, 7, n) + n;
    memset(coded, 0, n * 4 + 1);
    for (size_t i = 0; i < n; i++)
        for (unsigned b = vt__hpack_lens[(uint8_t)s[i]]; b-- > 0; bits++)
            if (vt__hpack_codes[(uint8_t)s[i]] >> b & 1) coded[bits / 8] |= (uint8_t)(0x80 >> bits % 8);
    for (; bits % 8; bits++) coded[bits / 8] |= (uint8_t)(0x80 >> bits % 8);
    out = put_int(out, 0x80, 7, bits / 8);
    return memcpy(out, coded, bits / 8), out + bits / 8;
}
enum { ADD = 0x40, PLAIN = 0, NEVER = 0x10 };
static uint8_t *put_literal(uint8_t *out, unsigned kind, uint32_t index, vt_str name, vt_str value,
                            unsigned huffman) {
    out = put_int(out, kind, kind == ADD ? 6 : 4, index);
    if (!index) out = put_string(out, name.ptr, name.len, huffman & 1);
    return put_string(out, value.ptr, value.len, huffman & 2);
}

/* ---- errors ---- */
typedef struct {
    const char *block;
    int rc;
    uint32_t used; /* bytes before it is certain; 0: all */
} fault;
static const fault faults[] = {
    {"80", VT__HPACK_E_INDEX, 1},                        /* index 0 */
    {"be", VT__HPACK_E_INDEX, 1},                        /* 62 in an empty table */
    {"82 ff 00", VT__HPACK_E_INDEX, 3},                  /* 127 */
    {"7f 00 01 61", VT__HPACK_E_INDEX, 2},               /* as a name */
    {"0f 30 01 61", VT__HPACK_E_INDEX, 2},               /* 63 */
    {"40 01 61 01 62 be bf", VT__HPACK_E_INDEX, 7},      /* one entry, the second asked for */
    {"ff 80 80 80 80 00", VT__HPACK_E_INDEX, 0},         /* five continuation bytes are read, and make 127 */
    {"ff 80 80 80 80 80 00", VT__HPACK_E_INTEGER, 7},    /* six are not */
    {"ff 80 80 80 80 7f", VT__HPACK_E_INTEGER, 6},       /* over 32 bits */
    {"ff 82 ff ff 7f", VT__HPACK_E_INTEGER, 5},          /* 2^28 + 1 */
    {"ff 81 ff ff 7f", VT__HPACK_E_INDEX, 5},            /* 2^28 */
    {"00 7f 80 80 80 80 80 00", VT__HPACK_E_INTEGER, 8}, /* a length */
    {"00 01 61 ff 80 80 80 80 80 00", VT__HPACK_E_INTEGER, 10},
    {"3f 80 80 80 80 80 00", VT__HPACK_E_INTEGER, 7},   /* a size */
    {"00 01 61 84 ff ff ff ff", VT__HPACK_E_EOS, 0},    /* 30 ones and more */
    {"00 01 61 85 07 ff ff ff ff", VT__HPACK_E_EOS, 0}, /* '0' and EOS and padding */
    {"00 84 ff ff ff ff 00", VT__HPACK_E_EOS, 6},       /* in a name */
    {"00 01 61 81 ff", VT__HPACK_E_PADDING, 0},         /* eight bits of padding */
    {"00 01 61 82 07 ff", VT__HPACK_E_PADDING, 0},      /* '0' and eleven */
    {"00 01 61 83 ff ff ff", VT__HPACK_E_PADDING, 0},   /* a piece of EOS */
    {"00 01 61 81 00", VT__HPACK_E_PADDING, 0},         /* '0' and zeros */
    {"00 01 61 81 06", VT__HPACK_E_PADDING, 0},         /* '0' and 110 */
    {"00 81 05 01 61", VT__HPACK_E_PADDING, 3},         /* in a name */
    {"00 01 61 82 fe 3f", 0, 0},                        /* '!' and six of padding are good */
    {"3f e2 1f 82", VT__HPACK_E_SIZE, 3},               /* 4,097 */
    {"3f e1 1f 82", 0, 0},                              /* 4,096 */
    {"82 20", VT__HPACK_E_SIZE_LATE, 2},                /* behind a field */
    {"20 82 20", VT__HPACK_E_SIZE_LATE, 3},
    {"20 3f e1 1f 82", 0, 0},                        /* two */
    {"20 3f e1 1f 20 82", VT__HPACK_E_SIZE_MANY, 5}, /* three */
    {"20", 0, 0},                                    /* and nothing else */
    {"ff", VT__HPACK_E_CUT, 0},
    {"ff 80", VT__HPACK_E_CUT, 0},
    {"40", VT__HPACK_E_CUT, 0},
    {"41", VT__HPACK_E_CUT, 0},
    {"40 02 61", VT__HPACK_E_CUT, 0},
    {"40 01 61", VT__HPACK_E_CUT, 0},
    {"40 01 61 7f", VT__HPACK_E_CUT, 0},
    {"40 01 61 02 62", VT__HPACK_E_CUT, 0},
    {"40 01 61 82 62", VT__HPACK_E_CUT, 0},
    {"3f", VT__HPACK_E_CUT, 0},
    {"", 0, 0},
};
TEST(errors_at_every_split) {
    uint8_t block[64];
    for (size_t i = 0; i < VT__COUNT(faults); i++) {
        const fault *f = &faults[i];
        size_t n = hex(block, f->block);
        int before = test_failures;
        for (size_t most = 0; most <= n; most++) {
            reader r;
            reader_init(&r, 4096, 0);
            CHECK_EQ(reader_block(&r, block, n, most), f->rc);
            CHECK_EQ(r.used, f->used ? f->used : n);
            reader_free(&r);
        }
        if (test_failures != before) printf("in %s\n", f->block);
    }
}

static int one_block(reader *r, const char *text) {
    uint8_t block[64];
    return reader_block(r, block, hex(block, text), 0);
}
TEST(a_lowered_limit_wants_an_update) {
    static const struct {
        uint32_t limits[3];
        const char *block;
        int rc;
    } cases[] = {
        {{0, UINT32_MAX}, "82", VT__HPACK_E_SIZE_MISSING},
        {{0, UINT32_MAX}, "40 01 61 01 62", VT__HPACK_E_SIZE_MISSING},
        {{0, UINT32_MAX}, "", VT__HPACK_E_SIZE_MISSING},
        {{0, UINT32_MAX}, "20 82", 0},
        {{100, UINT32_MAX}, "3f 45 82", 0},                               /* 100 */
        {{100, UINT32_MAX}, "3f 46 82", VT__HPACK_E_SIZE},                /* 101 */
        {{100, UINT32_MAX}, "20 82", 0},                                  /* less will do */
        {{0, 4096, UINT32_MAX}, "3f e1 1f 82", VT__HPACK_E_SIZE_MISSING}, /* the lowest has to be told */
        {{0, 4096, UINT32_MAX}, "82", VT__HPACK_E_SIZE_MISSING},
        {{0, 4096, UINT32_MAX}, "20 3f e1 1f 82", 0},
        {{0, 4096, UINT32_MAX}, "20 82", 0},
        {{100, 50, UINT32_MAX}, "3f 45 82", VT__HPACK_E_SIZE},
        {{50, 100, UINT32_MAX}, "3f 45 82", VT__HPACK_E_SIZE_MISSING},
        {{50, 100, UINT32_MAX}, "3f 13 3f 45 82", 0},
        {{4096, UINT32_MAX}, "82", 0},
        {{65536, UINT32_MAX}, "3f e1 ff 03 82", VT__HPACK_E_SIZE}, /* the table is not that large */
    };
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        reader r;
        int before = test_failures;
        reader_init(&r, 4096, 0);
        for (size_t j = 0; j < 3 && cases[i].limits[j] != UINT32_MAX; j++)
            vt__hpack_dec_limit(&r.d, cases[i].limits[j]);
        CHECK_EQ(one_block(&r, cases[i].block), cases[i].rc);
        if (cases[i].rc) CHECK_EQ(r.fields, 0);                 /* it is known at the first */
        if (cases[i].rc == 0) CHECK_EQ(one_block(&r, "82"), 0); /* it is told once */
        if (test_failures != before) printf("in case %zu\n", i);
        reader_free(&r);
    }
}
TEST(a_limit_above_what_the_peer_uses_wants_nothing) {
    reader r;
    reader_init(&r, 65536, 0);
    CHECK_EQ(r.d.t.cap, 65536);
    vt__hpack_dec_limit(&r.d, 65536);
    CHECK_EQ(one_block(&r, "82"), 0);
    CHECK_EQ(one_block(&r, "3f e1 ff 03 82"), 0);
    CHECK_EQ(r.d.t.max, 65536);
    CHECK_EQ(one_block(&r, "21 82"), 0); /* the peer may always take less */
    vt__hpack_dec_limit(&r.d, 4096);
    CHECK_EQ(one_block(&r, "82"), 0);
    reader_free(&r);
    reader_init(&r, 5000, 0);
    CHECK_EQ(r.d.t.cap, 8192);
    reader_free(&r);
    reader_init(&r, 1, 0);
    CHECK_EQ(r.d.t.cap, 4096);
    reader_free(&r);
    reader_init(&r, UINT32_MAX, 0);
    CHECK_EQ(r.d.t.cap, VT__HPACK_CAP_MAX);
    reader_free(&r);
}

/* ---- what a field is ---- */
typedef struct {
    const char *name, *value;
    int id, flags;
} looks;
TEST(names_and_values_are_judged) {
    static const looks cases[] = {
        {"content-type", "text/plain", VT__H1_F_CONTENT_TYPE, 0},
        {"x-other", "a b\tc", 0, 0},
        {"te", "trailers", VT__H1_F_TE, 0},
        {":path", "/", VT__HPACK_F_PATH, 0},
        {":protocol", "websocket", VT__HPACK_F_PROTOCOL, 0},
        {":authority", "", VT__HPACK_F_AUTHORITY, 0},
        {":status", "200", VT__HPACK_F_STATUS, 0},
        {":Path", "/", VT__HPACK_F_PSEUDO, 0},
        {":", "/", VT__HPACK_F_PSEUDO, 0},
        {":foo", "", VT__HPACK_F_PSEUDO, 0},
        {"", "x", 0, VT__HPACK_BAD_NAME},
        {"Content-Type", "x", 0, VT__HPACK_BAD_NAME},
        {"a:b", "x", 0, VT__HPACK_BAD_NAME},
        {"a b", "x", 0, VT__HPACK_BAD_NAME},
        {"a\x80", "x", 0, VT__HPACK_BAD_NAME},
        {"host\r", "x", 0, VT__HPACK_BAD_NAME},
        {"a", " x", 0, VT__HPACK_BAD_VALUE},
        {"a", "x ", 0, VT__HPACK_BAD_VALUE},
        {"a", "\tx", 0, VT__HPACK_BAD_VALUE},
        {"a", "x\t", 0, VT__HPACK_BAD_VALUE},
        {"a", "x\r\ny", 0, VT__HPACK_BAD_VALUE},
        {"a", "x\n", 0, VT__HPACK_BAD_VALUE},
        {"a", "0123456789\x7f", 0, VT__HPACK_BAD_VALUE},
        {"a", "\x80\xff", 0, 0},
        {":path", "/ ", VT__HPACK_F_PATH, VT__HPACK_BAD_VALUE},
        {"B", "x ", 0, VT__HPACK_BAD_NAME | VT__HPACK_BAD_VALUE},
    };
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        const looks *c = &cases[i];
        uint8_t block[200], scratch[4096], *end;
        vt_str name = vt__str_of(c->name), value = vt__str_of(c->value);
        reader r;
        reader_init(&r, 4096, 0);
        end = put_literal(block, ADD, 0, name, value, i % 4);
        *end++ = 0xbe;                                                 /* again, by the table */
        end = put_literal(end, NEVER, 62, name, value, i % 4);         /* its name */
        end = put_literal(end, ADD, 62, name, VT__STR_LIT("good"), 0); /* and with a value that is good */
        const uint8_t *p = block;
        vt__hpack_dec_begin(&r.d, scratch, sizeof scratch);
        for (int k = 0; k < 4; k++) {
            vt__hpack_field f;
            CHECK_EQ(vt__hpack_dec_next(&r.d, &p, end, &f), 1);
            CHECK(vt__str_eq(f.name, name) && vt__str_eq(f.value, k == 3 ? VT__STR_LIT("good") : value));
            CHECK_EQ(f.id, c->id);
            CHECK_EQ(f.flags, k == 3   ? c->flags & VT__HPACK_BAD_NAME
                              : k == 2 ? c->flags | VT__HPACK_NEVER
                                       : c->flags);
        }
        CHECK_EQ(vt__hpack_dec_end(&r.d), 0);
        reader_free(&r);
    }
    reader r; /* NUL is no text of the table above */
    reader_init(&r, 4096, 0);
    CHECK_EQ(one_block(&r, "40 01 61 03 61 00 62 be"), 0);
    CHECK(r.len == 38 && memcmp(r.text, "a: a\0b (bad value)\na: a\0b (bad value)\n", 38) == 0);
    reader_free(&r);
}
TEST(what_stands_in_one_piece_is_not_copied) {
    uint8_t block[64];
    reader r;
    vt__hpack_field f;
    size_t n = hex(block, "40 03 61 62 63 03 78 79 7a be 82 10 83 1c 64 9f 03 78 79 7a");
    reader_init(&r, 4096, 0);
    const uint8_t *p = block, *end = block + n;
    vt__hpack_dec_begin(&r.d, r.scratch, r.scratch_size);
    CHECK_EQ(vt__hpack_dec_next(&r.d, &p, end, &f), 1);
    CHECK(f.name.ptr == (char *)block + 2 && f.value.ptr == (char *)block + 6);
    CHECK_EQ(vt__hpack_dec_next(&r.d, &p, end, &f), 1);
    CHECK(f.name.ptr == (char *)r.table && f.value.ptr == (char *)r.table + 3);
    CHECK_EQ(vt__hpack_dec_next(&r.d, &p, end, &f), 1);
    CHECK(f.name.ptr == vt__hpack_statics[2].name);
    CHECK_EQ(vt__hpack_dec_next(&r.d, &p, end, &f), 1);
    CHECK(f.name.ptr == (char *)r.scratch && f.value.ptr == (char *)block + 17);
    CHECK_EQ(vt__hpack_dec_next(&r.d, &p, end, &f), 0);
    reader_free(&r);
}

/* ---- fields of more than the scratch ---- */
TEST(too_long_for_the_scratch) {
    static char value[9000];
    static uint8_t block[ROOM];
    memset(value, 'v', sizeof value);
    for (unsigned kind = 0; kind < 12; kind++) {
        for (uint32_t len = 4076; len < 4084; len++) {
            reader whole, r;
            uint8_t *end = block;
            vt_str v = {value, len}, name = VT__STR_LIT("name");
            unsigned first = (const unsigned[]){ADD, PLAIN, NEVER}[kind / 4];
            end = put_literal(end, ADD, 0, VT__STR_LIT("first"), VT__STR_LIT("1"), 0);
            end = put_literal(end, first, 0, name, v, kind % 4);
            size_t n = (size_t)(end - block);
            reader_init(&whole, 4096, 0);
            CHECK_EQ(reader_block(&whole, block, n, 0), 0);
            CHECK_EQ(whole.fields, 2);
            bool is_long = len + 4 > 4096 - VT__HPACK_SCRATCH_MORE;
            CHECK((strstr(whole.text, "(long 4 ") != NULL) == is_long);
            /* over the table, it empties that */
            CHECK_EQ(whole.d.t.live, first != ADD);
            for (size_t most = 1; most < 2000; most = most * 3 + 1) {
                reader_init(&r, 4096, 0);
                CHECK_EQ(reader_block(&r, block, n, most), 0);
                CHECK_STR(r.text, whole.text);
                CHECK_EQ(r.d.t.live, whole.d.t.live);
                reader_free(&r);
            }
            reader_free(&whole);
        }
    }
}
/* Much longer: nothing is stored, everything is counted, and what comes after it is right. */
TEST(far_too_long_names_and_values) {
    static char text[ROOM];
    static uint8_t block[ROOM * 3];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i % 26);
    for (unsigned kind = 0; kind < 8; kind++) {
        vt_str big = {text, 60000}, small = VT__STR_LIT("small");
        uint8_t *end = put_literal(block, ADD, 0, kind & 4 ? big : small, kind & 4 ? small : big, kind & 3);
        end = put_literal(end, ADD, 0, small, small, kind & 3);
        *end++ = 0xbe;
        for (size_t most = 0; most < 70000; most = most * 7 + 1) {
            reader r;
            reader_init(&r, 4096, 0);
            CHECK_EQ(reader_block(&r, block, (size_t)(end - block), most), 0);
            CHECK_STR(r.text, kind & 4 ? "(long 60000 5)\nsmall: small\nsmall: small\n"
                                       : "(long 5 60000)\nsmall: small\nsmall: small\n");
            CHECK_EQ(r.d.t.live, 1);
            reader_free(&r);
        }
        reader r; /* with a scratch that has room for it, in a table that has not */
        reader_init(&r, 4096, ROOM);
        CHECK_EQ(reader_block(&r, block, (size_t)(end - block), 1000), 0);
        CHECK_EQ(r.len, 60000 + 5 + 3 + 2 * 13);
        CHECK_EQ(r.d.t.live, 1);
        reader_free(&r);
    }
}

/* ---- the table against a plain model ---- */
typedef struct {
    vt_str name, value;
} pair;
typedef struct {
    pair e[2100]; /* newest first */
    size_t n, size, max;
} model;
static void model_trim(model *m, size_t size) {
    while (m->size > size) {
        pair *last = &m->e[--m->n];
        m->size -= last->name.len + last->value.len + 32;
        free((void *)(uintptr_t)last->name.ptr), free((void *)(uintptr_t)last->value.ptr);
    }
}
static vt_str copy_of(vt_str s) {
    char *p = malloc(s.len + 1);
    if (s.len) memcpy(p, s.ptr, s.len);
    return (vt_str){p, s.len};
}
static void model_add(model *m, vt_str name, vt_str value) {
    size_t size = name.len + value.len + 32;
    pair p = {copy_of(name), copy_of(value)};
    model_trim(m, size > m->max ? 0 : m->max - size);
    if (size > m->max) {
        free((void *)(uintptr_t)p.name.ptr), free((void *)(uintptr_t)p.value.ptr);
        return;
    }
    memmove(&m->e[1], &m->e[0], m->n * sizeof m->e[0]);
    m->e[0] = p, m->n++, m->size += size;
}
static vt_str random_text(uint64_t *s, char *out, size_t most, bool any) {
    size_t n = (size_t)(test_rand(s) % (most + 1));
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(any && test_rand(s) % 8 == 0 ? test_rand(s) : 'a' + test_rand(s) % 26);
    return (vt_str){out, n};
}
static vt_str random_value(uint64_t *s, char *out, uint32_t max) {
    switch (test_rand(s) % 12) {
    case 0: return random_text(s, out, max, false);
    case 1: return random_text(s, out, max + 100, true);
    case 2: return (vt_str){out, 0};
    default: return random_text(s, out, 60, true);
    }
}
static void check_model(const model *m, const vt__hpack_table *t) {
    CHECK_EQ(t->live, m->n);
    CHECK_EQ(t->size, m->size);
    CHECK_EQ(t->max, m->max);
    for (uint32_t i = 1; i <= t->live && i <= m->n; i++) {
        static char text[ROOM];
        const vt__hpack_entry *e = vt__hpack_entry_of(t, i);
        vt__hpack_ring_get(t, e->at, e->name_len + (size_t)e->value_len, text);
        CHECK_MEM(text, e->name_len, m->e[i - 1].name.ptr, m->e[i - 1].name.len);
        CHECK_MEM(text + e->name_len, e->value_len, m->e[i - 1].value.ptr, m->e[i - 1].value.len);
    }
}
/* One random representation: its bytes, what it has to give (nothing for a size), what it does to the model. */
static uint8_t *random_step(uint64_t *s, model *m, uint8_t *out, bool first, uint32_t limit, pair *want) {
    static char name[ROOM], value[ROOM];
    uint32_t index = (uint32_t)(test_rand(s) % (VT__HPACK_STATIC_N + m->n + 1)),
             huffman = (uint32_t)test_rand(s);
    unsigned what = (unsigned)(test_rand(s) % 16);
    want->name.ptr = NULL;
    if (first && what == 0) {
        uint32_t size = test_rand(s) % 2 ? limit : (uint32_t)(test_rand(s) % (limit + 1));
        m->max = size;
        model_trim(m, size);
        return put_int(out, 0x20, 5, size);
    }
    vt_str n = random_text(s, name, 20, true), v = random_value(s, value, limit);
    if (index && index <= VT__HPACK_STATIC_N) {
        const vt__hpack_static *e = &vt__hpack_statics[index];
        n = (vt_str){e->name, e->name_len};
        if (what < 8) v = (vt_str){e->value, e->value_len};
    } else if (index) {
        const pair *e = &m->e[index - VT__HPACK_STATIC_N - 1];
        n = (vt_str){memcpy(name, e->name.ptr, e->name.len), e->name.len}; /* it may go */
        if (what < 8) v = (vt_str){memcpy(value, e->value.ptr, e->value.len), e->value.len};
    }
    *want = (pair){n, v};
    if (index && what < 8) return put_int(out, 0x80, 7, index);
    unsigned kind = what < 13 ? ADD : what < 15 ? PLAIN : NEVER;
    if (kind == ADD) model_add(m, n, v);
    return put_literal(out, kind, index, n, v, huffman);
}
static void check_random(uint64_t seed, uint32_t cap, uint32_t limit) {
    static model m;
    static uint8_t block[ROOM * 4];
    reader r;
    uint64_t s = seed;
    reader_init(&r, cap, ROOM * 2);
    r.d.limit = limit;
    m.max = VT__HPACK_DEFAULT;
    for (int i = 0; i < 60 && !test_failures; i++) {
        vt__hpack_dec_begin(&r.d, r.scratch, r.scratch_size);
        for (int j = 0; j < 20 && !test_failures; j++) {
            pair want;
            vt__hpack_field f;
            uint8_t *end = random_step(&s, &m, block, j == 0, limit, &want);
            size_t n = (size_t)(end - block), cut = (size_t)(test_rand(&s) % (n + 1));
            const uint8_t *p = block;
            int rc = vt__hpack_dec_next(&r.d, &p, block + cut, &f);
            if (rc == 0) rc = vt__hpack_dec_next(&r.d, &p, end, &f);
            CHECK(p == end);
            CHECK_EQ(rc, want.name.ptr != NULL);
            if (rc == 1) CHECK(vt__str_eq(f.name, want.name) && vt__str_eq(f.value, want.value));
            check_model(&m, &r.d.t);
        }
        CHECK_EQ(vt__hpack_dec_end(&r.d), 0);
    }
    if (test_failures) printf("seed 0x%llx, cap %u, limit %u\n", (unsigned long long)seed, cap, limit);
    model_trim(&m, 0);
    reader_free(&r);
}
TEST(table_against_a_model) {
    uint64_t s = test_seed();
    for (int i = 0; i < 30 && !test_failures; i++) {
        check_random(test_rand(&s), 4096, 4096);
        check_random(test_rand(&s), 4096, (uint32_t)(test_rand(&s) % 300));
        check_random(test_rand(&s), 65536, i % 8 ? 8192 : 65536);
    }
}

/* ---- splits ---- */
static void note_table(const vt__hpack_table *t, char *out) {
    sprintf(out + table_text(t, out), "%u %u\n", t->size, t->max);
}
/* Random blocks, some of them damaged, in pieces: the same fields, table and error as in one. */
TEST(random_blocks_at_every_split) {
    static char text1[ROOM], text2[ROOM];
    static uint8_t block[ROOM];
    uint64_t s = test_seed();
    for (int i = 0; i < 60 && !test_failures; i++) {
        model m = {.max = 4096};
        uint8_t *end = block;
        for (int j = 0; j < 12 && end - block < 600; j++) {
            pair want;
            uint8_t *next = random_step(&s, &m, end, j == 0, 200, &want);
            if (next - end < 200) end = next;
        }
        model_trim(&m, 0);
        size_t n = (size_t)(end - block);
        for (int bad = (int)(test_rand(&s) % 4); bad > 0 && n; bad--)
            block[test_rand(&s) % n] ^= (uint8_t)(1 << test_rand(&s) % 8);
        reader whole, r;
        reader_init(&whole, 4096, 0);
        reader_block(&whole, block, n, 0);
        note_table(&whole.d.t, text1);
        for (size_t most = 1; most <= n; most++) {
            reader_init(&r, 4096, 0);
            CHECK_EQ(reader_block(&r, block, n, most), whole.rc);
            CHECK_MEM(r.text, r.len, whole.text, whole.len);
            note_table(&r.d.t, text2);
            CHECK_STR(text2, text1);
            reader_free(&r);
        }
        reader_free(&whole);
    }
}
/* Nothing before the input or behind it is read. */
TEST(no_byte_past_the_input_is_read) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *mem = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            block[300];
    REQUIRE(mem != MAP_FAILED && mprotect(mem, page, PROT_NONE) == 0 &&
            mprotect(mem + 2 * page, page, PROT_NONE) == 0);
    for (size_t i = 0; i < VT__COUNT(all); i++) {
        size_t n = hex(block, all[i].e[0].block);
        for (size_t cut = 0; cut <= n; cut++) {
            reader r;
            vt__hpack_field f;
            reader_init(&r, 4096, 0);
            vt__hpack_dec_begin(&r.d, r.scratch, r.scratch_size);
            const uint8_t *p = memcpy(mem + 2 * page - cut, block, cut), *q = mem + page;
            while (vt__hpack_dec_next(&r.d, &p, mem + 2 * page, &f) > 0) reader_field(&r, &f);
            memcpy(mem + page, block + cut, n - cut);
            while (vt__hpack_dec_next(&r.d, &q, q + (n - cut) - (q - mem - (ptrdiff_t)page), &f) > 0)
                reader_field(&r, &f);
            CHECK_EQ(vt__hpack_dec_end(&r.d), 0);
            CHECK_STR(r.text, all[i].e[0].fields);
            reader_free(&r);
        }
    }
    munmap(mem, 3 * page);
}

/* ---- encoder ---- */
typedef struct {
    vt__hpack_enc e;
    uint8_t *mem, out[ROOM * 2];
    size_t len;
    reader r; /* the peer */
} pair_of;
static pair_of *both_new(uint32_t enc_cap, bool table, uint32_t dec_cap) {
    pair_of *b = calloc(1, sizeof *b);
    vt__hpack_enc_init(&b->e, enc_cap);
    b->mem = malloc(vt__hpack_enc_mem(&b->e));
    memset(b->mem, 0xcc, vt__hpack_enc_mem(&b->e));
    if (table) vt__hpack_enc_table(&b->e, b->mem);
    reader_init(&b->r, dec_cap, ROOM);
    return b;
}
static void both_free(pair_of *b) { reader_free(&b->r), free(b->mem), free(b); }
static void both_begin(pair_of *b) {
    b->len = vt__hpack_enc_begin(&b->e, b->out);
    CHECK(b->len <= VT__HPACK_BEGIN_MAX);
}
static size_t both_put(pair_of *b, const char *name, const char *value, unsigned flags) {
    vt__hpack_field f = {vt__str_of(name), vt__str_of(value), 0, 0};
    char lower[64];
    size_t n = 0;
    for (; name[n] && n < 63; n++) lower[n] = vt__str_lower(name[n]);
    f.name = (vt_str){lower, n};
    vt__hpack_name_check(&f);
    n = vt__hpack_put(&b->e, b->out + b->len, sizeof b->out - b->len, f.id == VT__HPACK_F_PSEUDO ? 0 : f.id,
                      vt__str_of(name), f.value, flags);
    CHECK(n > 0);
    b->len += n;
    return n;
}
static void both_end(pair_of *b) {
    CHECK_EQ(reader_block(&b->r, b->out, b->len, 0), 0);
    /* The peer has at least what we have, in the same order. */
    CHECK(b->e.t.live <= b->r.d.t.live || !b->e.slots);
    CHECK_EQ(b->e.t.max, b->r.d.t.max);
}
TEST(well_known_fields_take_a_byte) {
    pair_of *b = both_new(4096, true, 4096);
    both_begin(b);
    CHECK_EQ(both_put(b, ":status", "404", 0), 1);
    CHECK_EQ(both_put(b, ":method", "POST", 0), 1);
    CHECK_EQ(both_put(b, ":path", "/", 0), 1);
    CHECK_EQ(both_put(b, "Accept-Encoding", "gzip, deflate", 0), 1);
    CHECK_EQ(both_put(b, "strict-transport-security", "", 0), 1);
    CHECK_EQ(both_put(b, "Server", "", 0), 1);
    CHECK_EQ(b->e.t.made, 0);
    both_end(b);
    CHECK_STR(b->r.text, ":status: 404\n:method: POST\n:path: /\naccept-encoding: gzip, deflate\n"
                         "strict-transport-security: \nserver: \n");
    both_free(b);
}
TEST(what_pays_is_indexed) {
    static const struct {
        const char *name, *value;
        bool at_once, twice; /* has an entry after the first time, after the second */
    } cases[] = {
        {"server", "vthttp", true, true},
        {"content-type", "text/html; charset=utf-8", true, true},
        {"cache-control", "no-store", true, true},
        {"user-agent", "curl/8.0", true, true},
        {":authority", "example.com", true, true},
        {"etag", "\"abc\"", false, true},
        {"last-modified", DATE1, false, true},
        {":path", "/poll", false, true},
        {"x-frame-options", "DENY", true, true}, /* a new name */
        {"access-control-allow-origin", "*", false, true},
        {"date", DATE1, false, true},
        {"content-length", "1234", false, false},
        {"set-cookie", "id=0123456789012345678901234567890123456789", false, false},
        {"authorization", "Bearer 0123456789012345678901234567890", false, false},
        {"proxy-authorization", "Basic 012345678901234567890", false, false},
        {"cookie", "short=1", false, false},
        {"cookie", "session=0123456789abcdef", true, true},
    };
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        pair_of *b = both_new(4096, true, 4096);
        int before = test_failures;
        both_begin(b);
        both_put(b, cases[i].name, cases[i].value, 0);
        CHECK_EQ(b->e.t.live, cases[i].at_once);
        both_put(b, cases[i].name, cases[i].value, 0);
        CHECK_EQ(b->e.t.live, cases[i].twice);
        size_t n = both_put(b, cases[i].name, cases[i].value, 0);
        CHECK_EQ(n == 1, cases[i].twice);
        both_end(b);
        CHECK_EQ(b->r.fields, 3);
        if (test_failures != before) printf("in %s\n", cases[i].name);
        both_free(b);
    }
}
TEST(what_is_secret_says_so) {
    pair_of *b = both_new(4096, true, 4096);
    both_begin(b);
    both_put(b, "set-cookie", "a=1", 0);
    both_put(b, "Authorization", "Basic eDp5", 0);
    both_put(b, "proxy-authorization", "Basic eDp5", 0);
    both_put(b, "cookie", "a=1", 0);
    both_put(b, "X-Token", "1234", VT__HPACK_NEVER);
    both_put(b, ":status", "200", VT__HPACK_NEVER);
    both_put(b, "x-token", "1234", 0);
    both_end(b);
    CHECK_STR(b->r.text,
              "set-cookie: a=1 (never)\nauthorization: Basic eDp5 (never)\n"
              "proxy-authorization: Basic eDp5 (never)\ncookie: a=1 (never)\nx-token: 1234 (never)\n"
              ":status: 200 (never)\nx-token: 1234\n");
    CHECK_EQ(b->e.t.live, 1);
    both_free(b);
}
/* A name that no table has is entered with its first value, and then stands for others. */
TEST(a_new_name_is_entered_once) {
    pair_of *b = both_new(4096, true, 4096);
    size_t n[3];
    both_begin(b);
    n[0] = both_put(b, "X-Trace-Number-Of-This", "000", 0);
    n[1] = both_put(b, "x-trace-number-of-this", "001", 0);
    n[2] = both_put(b, "X-TRACE-NUMBER-OF-THIS", "002", 0);
    CHECK_EQ(b->e.t.live, 1);
    CHECK(n[0] > 15 && n[1] == 5 && n[2] == 5);
    both_end(b);
    CHECK_STR(b->r.text,
              "x-trace-number-of-this: 000\nx-trace-number-of-this: 001\nx-trace-number-of-this: 002\n");
    both_free(b);
}
TEST(values_of_a_name_are_found_beside_each_other) {
    pair_of *b = both_new(4096, true, 4096);
    char value[20];
    both_begin(b);
    for (int i = 0; i < 2 * VT__HPACK_CHAIN_MAX; i++) {
        snprintf(value, sizeof value, "text/%d", i % VT__HPACK_CHAIN_MAX);
        CHECK_EQ(both_put(b, "content-type", value, 0) == 1, i >= VT__HPACK_CHAIN_MAX);
    }
    both_end(b);
    both_free(b);
}
TEST(an_hour_of_responses_keeps_the_table_small) {
    pair_of *b = both_new(4096, true, 4096);
    char date[30] = {0}, etag[24];
    for (int i = 0; i < 3600; i++) {
        vt__str_put_date(date, 1700000000 + i);
        snprintf(etag, sizeof etag, "\"%x\"", i * 7919);
        both_begin(b);
        b->len += vt__hpack_put_status(b->out + b->len, 200);
        b->len += vt__hpack_put_length(b->out + b->len, (uint64_t)i);
        both_put(b, "server", "vthttp", 0);
        both_put(b, "date", date, 0);
        both_put(b, "etag", etag, 0);
        both_put(b, "content-type", "text/plain", 0);
        both_end(b);
    }
    CHECK_EQ(b->e.t.made, 2);
    both_free(b);
}
/* One a second is never indexed (above); the second one within it is, and those after it are its index. */
TEST(dates_of_a_second_are_sent_once) {
    pair_of *b = both_new(1024, true, 1024);
    char date[30] = {0};
    for (int second = 0; second < 100; second++) {
        vt__str_put_date(date, 1700000000 + second);
        for (int i = 0; i < 6; i++) {
            both_begin(b);
            size_t n = both_put(b, "date", date, 0);
            both_put(b, "content-type", "text/plain", 0);
            both_end(b);
            if (i < 2) CHECK(n > 20);
            else CHECK_EQ(n, 1);
        }
    }
    CHECK(b->e.t.made > 100 && b->e.t.made < 120); /* and what they push out comes again */
    both_free(b);
}
TEST(status_length) {
    pair_of *b = both_new(4096, true, 4096);
    char want[200];
    for (int status = 100; status < 1000; status++) {
        both_begin(b);
        b->len += vt__hpack_put_status(b->out, status);
        CHECK(b->len <= VT__HPACK_STATUS_MAX);
        both_end(b);
        snprintf(want, sizeof want, ":status: %d\n", status);
        CHECK_STR(b->r.text, want);
    }
    for (uint64_t v = 1;; v = v * 9 + 1) {
        both_begin(b);
        b->len += vt__hpack_put_length(b->out, v);
        CHECK(b->len <= VT__HPACK_LENGTH_MAX);
        both_end(b);
        snprintf(want, sizeof want, "content-length: %llu\n", (unsigned long long)v);
        CHECK_STR(b->r.text, want);
        if (v > UINT64_MAX / 10) break;
    }
    uint8_t out[VT__HPACK_LENGTH_MAX];
    CHECK(vt__hpack_put_length(out, UINT64_MAX) <= VT__HPACK_LENGTH_MAX);
    CHECK(vt__hpack_put_length(out, 0) == 4);
    CHECK_EQ(b->r.d.t.live, 0);
    both_free(b);
}
/* Without room a field is not written, and the encoder is what it was; with it, no byte behind is touched. */
TEST(what_does_not_fit_changes_nothing) {
    static const char *const fields[][2] = {
        {":status", "200"},   {"server", "vthttp"}, {"x-new", "value of it"}, {"date", DATE1},
        {"etag", "\"1\""},    {"etag", "\"1\""},    {"set-cookie", "a=b"},    {"x-new", "another"},
        {"server", "vthttp"}, {"empty", ""}};
    pair_of *b = both_new(4096, true, 4096);
    both_begin(b);
    for (size_t i = 0; i < VT__COUNT(fields); i++) {
        vt_str name = vt__str_of(fields[i][0]), value = vt__str_of(fields[i][1]);
        int id = name.ptr[0] == ':' ? VT__HPACK_F_STATUS : vt__h1_field_id(name);
        size_t mem = vt__hpack_enc_mem(&b->e), n = 0;
        for (size_t cap = 0; n == 0 && cap < 100; cap++) {
            vt__hpack_enc was = b->e;
            uint8_t *was_mem = malloc(mem), *out = malloc(cap + 1);
            memcpy(was_mem, b->mem, mem);
            out[cap] = 0x77;
            n = vt__hpack_put(&b->e, out, cap, id, name, value, 0);
            CHECK(out[cap] == 0x77 && (n == 0 || n == cap));
            if (n == 0) CHECK(memcmp(&was, &b->e, sizeof was) == 0 && memcmp(was_mem, b->mem, mem) == 0);
            memcpy(b->out + b->len, out, n);
            free(was_mem), free(out);
        }
        CHECK(n > 0);
        b->len += n;
    }
    both_end(b);
    CHECK_EQ(b->r.fields, VT__COUNT(fields));
    CHECK_EQ(b->r.d.t.live, b->e.t.live);
    both_free(b);
}
TEST(sizes_are_told) {
    static const struct {
        uint32_t cap, limits[4];
        const char *told;
    } cases[] = {
        {4096, {UINT32_MAX}, ""},
        {4096, {4096, UINT32_MAX}, ""},
        {4096, {1 << 30, UINT32_MAX}, ""}, /* no more than ours is used */
        {4096, {0, UINT32_MAX}, "20"},
        {4096, {0, 4096, UINT32_MAX}, "20 3f e1 1f"},
        {4096, {100, 50, 70, UINT32_MAX}, "3f 13 3f 27"},
        {4096, {30, UINT32_MAX}, "3e"},
        {1000, {UINT32_MAX}, "3f e1 07"}, /* 1,024 of the 4,096 that it may have */
        {10, {UINT32_MAX}, "3f e1 01"},
        {1024, {512, UINT32_MAX}, "3f e1 03"},
        {65536, {UINT32_MAX}, ""},
        {65536, {65536, UINT32_MAX}, "3f e1 ff 03"},
        {65536, {16, 65536, UINT32_MAX}, "30 3f e1 ff 03"},
        {UINT32_MAX, {UINT32_MAX - 1, UINT32_MAX}, "3f e1 ff 03"},
    };
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        uint8_t want[16];
        pair_of *b = both_new(cases[i].cap, true, 65536);
        int before = test_failures;
        vt__hpack_dec_limit(&b->r.d, 65536);
        for (size_t j = 0; cases[i].limits[j] != UINT32_MAX; j++)
            vt__hpack_enc_limit(&b->e, cases[i].limits[j]);
        both_begin(b);
        CHECK_MEM(b->out, b->len, want, hex(want, cases[i].told));
        both_put(b, "server", "vthttp", 0);
        both_end(b);
        both_begin(b); /* once */
        CHECK_EQ(b->len, 0);
        if (test_failures != before) printf("in case %zu\n", i);
        both_free(b);
    }
}
TEST(without_a_table_nothing_is_entered) {
    pair_of *b = both_new(4096, false, 4096);
    for (int i = 0; i < 3; i++) {
        both_begin(b);
        both_put(b, "server", "vthttp", 0);
        both_put(b, "x-name", "value", 0);
        both_put(b, ":status", "200", 0);
        both_end(b);
        CHECK_STR(b->r.text, "server: vthttp\nx-name: value\n:status: 200\n");
    }
    CHECK_EQ(b->r.d.t.live, 0);
    vt__hpack_enc_table(&b->e, b->mem); /* later is soon enough */
    both_begin(b);
    both_put(b, "server", "vthttp", 0);
    CHECK_EQ(both_put(b, "server", "vthttp", 0), 1);
    both_end(b);
    both_free(b);
}

/* ---- stories: what browsers, programs and servers say to each other ---- */
typedef struct {
    char name[40], value[200];
} line;
static size_t say(line *l, size_t n, const char *name, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    snprintf(l[n].name, sizeof l[n].name, "%s", name);
    vsnprintf(l[n].value, sizeof l[n].value, fmt, ap);
    va_end(ap);
    return n + 1;
}
static size_t browser_request(line *l, uint64_t *s) {
    static const char *const types[] = {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                                        "text/css,*/*;q=0.1", "image/avif,image/webp,*/*", "*/*"};
    unsigned type = (unsigned)(test_rand(s) % 4);
    size_t n = say(l, 0, ":method", "%s", test_rand(s) % 8 ? "GET" : "POST");
    n = say(l, n, ":scheme", "https");
    n = say(l, n, ":authority", "%s.example.org", test_rand(s) % 4 ? "www" : "static");
    n = say(l, n, ":path", "/a/%llx/%u.png?v=%u", (unsigned long long)test_rand(s) % 64, type,
            (unsigned)(test_rand(s) % 9));
    n = say(l, n, "user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:102.0) Gecko/20100101 Firefox/102.0");
    n = say(l, n, "accept", "%s", types[type]);
    n = say(l, n, "accept-language", "en-US,en;q=0.5");
    n = say(l, n, "accept-encoding", "gzip, deflate, br");
    n = say(l, n, "referer", "https://www.example.org/%u", (unsigned)(test_rand(s) % 3));
    for (int i = 0; i < 3; i++)
        n = say(l, n, "cookie", "%c=%llx", 'a' + i,
                (unsigned long long)(i == 2 ? test_rand(s) : 77777777777777777u));
    return say(l, n, "sec-fetch-dest", "%s", type ? "image" : "document");
}
static size_t program_request(line *l, uint64_t *s) {
    size_t n = say(l, 0, ":method", "PUT");
    n = say(l, n, ":scheme", "http");
    n = say(l, n, ":authority", "api.internal:8080");
    n = say(l, n, ":path", "/v1/items/%llu", (unsigned long long)test_rand(s));
    n = say(l, n, "Authorization", "Bearer %llx%llx", (unsigned long long)*s, (unsigned long long)~*s);
    n = say(l, n, "Content-Type", "application/json");
    n = say(l, n, "content-length", "%u", (unsigned)(test_rand(s) % 100000));
    return say(l, n, "X-Request-ID", "%016llx", (unsigned long long)test_rand(s));
}
static size_t response(line *l, uint64_t *s) {
    static const char *const status[] = {"200", "200", "200", "304", "404", "201", "302", "503"};
    size_t n = say(l, 0, ":status", "%s", status[test_rand(s) % 8]);
    char date[30] = {0};
    vt__str_put_date(date, 1700000000 + (int64_t)(test_rand(s) % 5));
    n = say(l, n, "Date", "%s", date);
    n = say(l, n, "Server", "vthttp/0.1");
    n = say(l, n, "Content-Type", "%s", test_rand(s) % 2 ? "image/png" : "text/html; charset=utf-8");
    n = say(l, n, "Content-Length", "%u", (unsigned)(test_rand(s) % 50000));
    n = say(l, n, "ETag", "\"%x\"", (unsigned)(test_rand(s) % 50));
    if (test_rand(s) % 4 == 0)
        n = say(l, n, "Set-Cookie", "id=%llx; Path=/; HttpOnly", (unsigned long long)test_rand(s));
    n = say(l, n, "X-Content-Type-Options", "nosniff");
    return say(l, n, "X-Bytes", "\x01\xfe%c", (char)(1 + test_rand(s) % 255));
}
static void tell(pair_of *b, const line *l, size_t n, size_t most) {
    static char want[ROOM];
    size_t len = 0;
    both_begin(b);
    for (size_t i = 0; i < n; i++) {
        both_put(b, l[i].name, l[i].value, 0);
        for (const char *p = l[i].name; *p; p++) want[len++] = vt__str_lower(*p);
        len += (size_t)sprintf(want + len, ": %s", l[i].value);
        bool secret = strstr("Authorization Set-Cookie", l[i].name) ||
                      (l[i].name[0] == 'c' && l[i].name[1] == 'o' && l[i].name[2] == 'o' &&
                       strlen(l[i].value) < VT__HPACK_COOKIE_MIN);
        bool bad = strcmp(l[i].name, "X-Bytes") == 0;
        len += (size_t)sprintf(want + len, "%s%s\n", secret ? " (never)" : "", bad ? " (bad value)" : "");
    }
    CHECK_EQ(reader_block(&b->r, b->out, b->len, most), 0);
    CHECK_STR(b->r.text, want);
}
static void tell_story(uint64_t seed, size_t (*next)(line *l, uint64_t *s), uint32_t cap, bool resized) {
    pair_of *b = both_new(cap, true, 65536);
    uint64_t s = seed;
    line l[20];
    size_t plain = 0, coded = 0;
    vt__hpack_dec_limit(&b->r.d, 65536);
    for (int i = 0; i < 200 && !test_failures; i++) {
        size_t n = next(l, &s);
        for (uint64_t times = resized && test_rand(&s) % 8 == 0 ? 1 + test_rand(&s) % 3 : 0; times > 0;
             times--) {
            uint32_t size = (uint32_t)(test_rand(&s) % 3 == 0 ? test_rand(&s) % 300 : test_rand(&s) % 70000);
            vt__hpack_dec_limit(&b->r.d, size);
            vt__hpack_enc_limit(&b->e, size);
        }
        tell(b, l, n, (size_t)(test_rand(&s) % 30));
        for (size_t j = 0; j < n; j++) plain += strlen(l[j].name) + strlen(l[j].value);
        coded += b->len;
        CHECK_EQ(b->e.t.size, b->r.d.t.size);
    }
    if (!resized && cap >= 1024) CHECK(coded * 2 < plain);
    if (test_failures) printf("seed 0x%llx, cap %u\n", (unsigned long long)seed, cap);
    both_free(b);
}
TEST(stories) {
    uint64_t s = test_seed();
    for (uint32_t cap = 256; cap <= 65536 && !test_failures; cap *= 4) {
        for (int resized = 0; resized < 2; resized++) {
            tell_story(test_rand(&s), browser_request, cap, resized);
            tell_story(test_rand(&s), program_request, cap, resized);
            tell_story(test_rand(&s), response, cap, resized);
        }
    }
}
/* More entries than numbers of 16 bits have values. */
TEST(many_entries) {
    pair_of *b = both_new(256, true, 4096);
    char value[20];
    for (int i = 0; i < 70000 && !test_failures; i++) {
        snprintf(value, sizeof value, "text/%d", i);
        both_begin(b);
        both_put(b, "content-type", value, 0);
        both_put(b, "content-type", value, 0);
        both_end(b);
    }
    CHECK_EQ(b->e.t.made, 70000);
    both_free(b);
}
