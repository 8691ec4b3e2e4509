/* QPACK (RFC 9204): the RFC's examples, what has to be refused, wherever the encoder stream is cut, what the encoder may
 * index and evict, and stories through both ends with streams that overtake each other. */
/* variants: default asan i386 */
#define VTHTTP_H3 1
#define VTHTTP_SIM 1 /* an allocator that fails; no TLS needed */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "bytes.h"
#include "guard.h"
#include "test.h"

#include "blocks.h"

enum { ROOM = 8192 };
static uint8_t room[ROOM];
static vt__qpack_dec d;
static struct bytes text; /* the fields of the last section */

static size_t unhex(uint8_t *to, const char *s) {
    size_t n = 0;
    for (; *s; s++) {
        unsigned v;
        if (*s == ' ') continue;
        if (sscanf(s, "%2x", &v) != 1) abort();
        to[n++] = (uint8_t)v, s++;
    }
    return n;
}
static void fresh(uint32_t limit) {
    vt__qpack_dec_free(&d);
    vt__qpack_dec_init(&d, limit);
}
/* The encoder stream, from memory that ends with it. */
static int insert_bytes(const uint8_t *bytes, size_t n) {
    uint8_t *copy = memcpy(guarded(n), bytes, n);
    const uint8_t *p = copy;
    int rc = vt__qpack_dec_insert(&d, &p, copy + n, room);
    if (rc == 0) CHECK(p == copy + n);
    memset(copy, 0xaa, n), memset(room, 0xaa, ROOM); /* nobody may look at them any more */
    return rc;
}
static int insert(const char *hex) {
    uint8_t bytes[4096];
    return insert_bytes(bytes, unhex(bytes, hex));
}
static int fields(vt__qpack_sec *s) {
    vt__hpack_field f;
    int rc;
    text.n = 0;
    while ((rc = vt__qpack_dec_next(&d, s, room, ROOM, &f)) > 0) {
        if (f.flags & VT__HPACK_LONG) bytes_say(&text, "long%zu", f.name.len + f.value.len);
        else bytes_say(&text, "%.*s=%.*s", (int)f.name.len, f.name.ptr, (int)f.value.len, f.value.ptr);
        if (f.flags & VT__HPACK_NEVER) bytes_say(&text, "!");
        if (f.flags & (VT__HPACK_BAD_NAME | VT__HPACK_BAD_VALUE)) bytes_say(&text, "?");
        bytes_say(&text, ";");
    }
    return rc;
}
static uint32_t needed;
static int section_bytes(const uint8_t *bytes, size_t n) {
    uint8_t *copy = memcpy(guarded(n), bytes, n);
    vt__qpack_sec s;
    int rc = vt__qpack_dec_begin(&d, &s, copy, copy + n);
    needed = rc >= 0 ? s.need : 0;
    text.n = 0;
    return rc > 0 ? fields(&s) : rc < 0 ? rc : 1; /* 1: blocked */
}
static int section(const char *hex) {
    uint8_t bytes[4096];
    return section_bytes(bytes, unhex(bytes, hex));
}
static const char *said(void) {
    bytes_add(&text, "", 1);
    text.n--;
    return (const char *)text.p;
}
static uint64_t size_of_table(void) {
    uint32_t size = 0;
    for (uint32_t i = 1; i <= d.t.live; i++) {
        const vt__hpack_entry *e = vt__hpack_entry_of(&d.t, i);
        size += e->name_len + e->value_len + 32U;
    }
    CHECK_EQ(size, d.t.size);
    CHECK(size <= d.t.max);
    return size;
}

/* ---- RFC 9204 Appendix B ---- */
TEST(rfc_b1_literal_with_name_reference) {
    fresh(0);
    CHECK_EQ(section("0000 510b 2f69 6e64 6578 2e68 746d 6c"), 0);
    CHECK_STR(said(), ":path=/index.html;");
    CHECK_EQ(needed, 0);
}
static const char b2[] =
    "3fbd01 c00f 7777 772e 6578 616d 706c 652e 636f 6d c10c 2f73 616d 706c 652f 7061 7468";
static const char b3[] = "4a63 7573 746f 6d2d 6b65 790c 6375 7374 6f6d 2d76 616c 7565";
static const char b5[] = "810d 6375 7374 6f6d 2d76 616c 7565 32";
TEST(rfc_b2_to_b5_dynamic_table) {
    uint8_t out[VT__QPACK_INT_BYTES] = {0};
    fresh(220);
    CHECK_EQ(section("0381 10 11"), 1);
    CHECK_EQ(needed, 2);
    CHECK_EQ(insert(b2), 0);
    CHECK_EQ(size_of_table(), 106);
    CHECK_EQ(section("0381 10 11"), 0);
    CHECK_STR(said(), ":authority=www.example.com;:path=/sample/path;");
    CHECK_EQ(vt__qpack_put_ack(&d, needed, 4, out), 1);
    CHECK_EQ(out[0], 0x84);
    CHECK_EQ(insert(b3), 0);
    CHECK_EQ(size_of_table(), 160);
    CHECK_EQ(vt__qpack_put_increment(&d, out), 1);
    CHECK_EQ(out[0], 0x01);
    CHECK_EQ(vt__qpack_put_increment(&d, out), 0);
    CHECK_EQ(section("0500 80 c1 81"), 1);
    CHECK_EQ(vt__qpack_put_cancel(&d, 8, out), 1);
    CHECK_EQ(out[0], 0x48);
    CHECK_EQ(insert("02"), 0);
    CHECK_EQ(size_of_table(), 217);
    CHECK_EQ(section("0500 80 c1 81"), 0);
    CHECK_STR(said(), ":authority=www.example.com;:path=/;custom-key=custom-value;");
    CHECK_EQ(insert(b5), 0);
    CHECK_EQ(size_of_table(), 215);
    CHECK_EQ(d.t.live, 4);
    CHECK_EQ(section("0600 80"), 0);
    CHECK_STR(said(), "custom-key=custom-value2;");
}
/* Of RFC 9204 4.5.1.1: in a table of 100 bytes, after 10 inserts, 4 means 9. */
TEST(required_insert_count_goes_round) {
    uint32_t need;
    fresh(100);
    CHECK_EQ(insert("3f45"), 0);
    for (int i = 0; i < 10; i++) CHECK_EQ(insert("c001 61"), 0);
    CHECK(vt__qpack_need(&d, 4, &need));
    CHECK_EQ(need, 9);
    static const int wants[] = {0, 12, 13, 8, 9, 10, 11};
    for (uint32_t i = 1; i <= 6; i++) {
        CHECK(vt__qpack_need(&d, i, &need));
        CHECK_EQ(need, wants[i]);
        CHECK_EQ(need % 6, i - 1);
    }
    CHECK(!vt__qpack_need(&d, 7, &need));
    fresh(100);
    CHECK(!vt__qpack_need(&d, 1, &need)); /* -1, or 5: past what may come */
    CHECK(!vt__qpack_need(&d, 5, &need));
    CHECK(vt__qpack_need(&d, 4, &need));
    CHECK_EQ(need, 3);
}

/* ---- what is refused ---- */
typedef struct refusal {
    const char *hex;
    int want;
} refusal;
static void refused(const refusal *r) {
    int rc = section(r->hex);
    if (rc != r->want) printf("%s: %d\n", r->hex, rc);
    CHECK_EQ(rc, r->want);
}
TEST(b49_sections_that_are_refused) {
    static const refusal all[] = {
        {"", VT__QPACK_E_CUT},
        {"00", VT__QPACK_E_CUT},
        {"ff", VT__QPACK_E_CUT},
        {"00 7f", VT__QPACK_E_CUT},
        {"00 00 ff 24", VT__QPACK_E_INDEX},    /* static 99 */
        {"00 00 5f 54 00", VT__QPACK_E_INDEX}, /* a name of it */
        {"00 00 80", VT__QPACK_E_INDEX},       /* below Base 0 */
        {"00 00 10", VT__QPACK_E_EARLY},       /* entry 0 without saying that one is needed */
        {"00 00 40 00", VT__QPACK_E_INDEX},    /* the same by name */
        {"00 00 00 00", VT__QPACK_E_EARLY},
        {"00 80 c1", VT__QPACK_E_BASE},
        {"02 81 c1", VT__QPACK_E_BASE},  /* 1 - 1 - 1 */
        {"03 00 83", VT__QPACK_E_INDEX}, /* below 0 */
        {"02 01 80", VT__QPACK_E_EARLY}, /* 1 of 2 inserts is needed, the second is taken */
        {"ff ff ff ff ff 7f 00", VT__HPACK_E_INTEGER},
        {"00 00 ff ff ff ff ff 7f", VT__HPACK_E_INTEGER},
        {"00 00 51", VT__QPACK_E_CUT},
        {"00 00 51 05 61", VT__QPACK_E_CUT},
        {"00 00 23 61 62", VT__QPACK_E_CUT},
        {"00 00 51 81 00", VT__HPACK_E_PADDING},
        {"00 00 51 84 ff ff ff ff", VT__HPACK_E_EOS},
    };
    static const refusal more[] = {
        {"05 00 83", VT__QPACK_E_INDEX}, /* it has gone */
        {"0e 00", VT__QPACK_E_INSERTS},  /* past 2 * MaxEntries */
        {"0d 00", VT__QPACK_E_INSERTS},  /* 12; 5 inserts and MaxEntries are 11 */
    };
    for (size_t i = 0; i < VT__COUNT(all); i++) {
        fresh(220);
        CHECK_EQ(insert(b2), 0);
        refused(&all[i]);
    }
    for (size_t i = 0; i < VT__COUNT(more); i++) { /* behind the inserts of all of the examples */
        fresh(220);
        CHECK_EQ(insert(b2), 0);
        CHECK_EQ(insert(b3), 0);
        CHECK_EQ(insert("02"), 0);
        CHECK_EQ(insert(b5), 0);
        refused(&more[i]);
    }
}
TEST(static_indices) {
    fresh(0);
    for (unsigned i = 0; i < 130; i++) {
        uint8_t bytes[8] = {0, 0};
        size_t n = (size_t)(vt__hpack_put_int(bytes + 2, 0xc0, 6, i) - bytes);
        CHECK_EQ(section_bytes(bytes, n), i < 99 ? 0 : VT__QPACK_E_INDEX);
    }
}
TEST(b48_inserts_that_are_refused) {
    static const refusal all[] = {
        {"3fbe01", VT__QPACK_E_CAPACITY},    /* 221 of 220 */
        {"c001 61", VT__QPACK_E_ENTRY},      /* before there is a capacity */
        {"3f01 c000", VT__QPACK_E_ENTRY},    /* 42 of 32 */
        {"3f02 4161 00", 0},                 /* 33 of 33 */
        {"3f01 4161 00", VT__QPACK_E_ENTRY}, /* of 32 */
        {"3f02 4161 01 62", VT__QPACK_E_ENTRY},
        {"3fbd01 ff24 00", VT__QPACK_E_INDEX}, /* static 99 */
        {"3fbd01 80 00", VT__QPACK_E_INDEX},   /* of an empty table */
        {"3fbd01 00", VT__QPACK_E_INDEX},
        {"3fbd01 4161 00 01", VT__QPACK_E_INDEX},
        {"3fbd01 4161 00 00 01 02", 0},
        {"3fbd01 4161 00 20 00", VT__QPACK_E_INDEX}, /* capacity 0 empties it */
        {"3fbd01 c0 7fff ffff ff7f", VT__HPACK_E_INTEGER},
        {"3fbd01 c0 7f ffff 7f", 0}, /* 2 MiB, of which nothing came */
        {"3fbd01 c0 81 00", VT__HPACK_E_PADDING},
        {"3fbd01 61 00 00", VT__HPACK_E_PADDING},
        {"3fbd01 5f ff7f", 0},
    };
    for (size_t i = 0; i < VT__COUNT(all); i++) {
        fresh(220);
        int rc = insert(all[i].hex);
        if (rc != all[i].want) printf("%s: %d\n", all[i].hex, rc);
        CHECK_EQ(rc, all[i].want);
        size_of_table();
    }
}
/* What is too long for the table is an error when it has come, and no byte of it lands outside. */
TEST(b48_a_string_that_overruns_the_table) {
    static uint8_t bytes[70000];
    for (int huffman = 0; huffman < 2; huffman++)
        for (int name = 0; name < 2; name++) {
            fresh(220);
            CHECK_EQ(insert("3fbd01"), 0);
            uint8_t *p = bytes;
            if (name) p = vt__hpack_put_int(p, huffman ? 0x60 : 0x40, 5, 60000);
            else *p++ = 0xc0, p = vt__hpack_put_int(p, huffman ? 0x80 : 0, 7, 60000);
            memset(p, huffman ? 0x00 : 'a', 60000); /* 00000 is '0' */
            int rc = 0;
            for (const uint8_t *at = bytes; at < p + 60000 && rc == 0; at += 1000) {
                size_t n = VT__MIN(1000, (size_t)(p + 60000 - at));
                rc = insert_bytes(at, n);
            }
            CHECK_EQ(rc, VT__QPACK_E_ENTRY);
            CHECK_EQ(d.t.live, 0);
        }
}
TEST(b49_decoder_streams_that_are_refused) {
    static const refusal all[] = {
        {"00", VT__QPACK_E_INCREMENT},
        {"03", VT__QPACK_E_INCREMENT},
        {"02", 0},
        {"01 01", 0},
        {"01 02", VT__QPACK_E_INCREMENT},
        {"84", VT__QPACK_E_ACK},
        {"80", 0},
        {"80 80", VT__QPACK_E_ACK},
        {"44", 0},
        {"40 80", VT__QPACK_E_ACK},
        {"80 01", VT__QPACK_E_INCREMENT},
        {"ff ffff ffff ffff ffff 7f", VT__QPACK_E_INTEGER},
        {"7f 8080 8080 8080 8080 40", VT__QPACK_E_INTEGER},
        {"7f 8080 8080 8080 8080 3f", 0},
        {"7f 8080 8080 8080 8080 8000", VT__QPACK_E_INTEGER},
        {"3f ffff", 0},
    };
    static uint64_t mem[1024];
    for (size_t i = 0; i < VT__COUNT(all); i++)
        for (int split = 0; split < 2; split++) {
            uint8_t buf[200], ins[200], bytes[32], *from;
            vt__qpack_enc e;
            vt__qpack_head w;
            vt__qpack_enc_init(&e, 1024);
            CHECK(vt__qpack_enc_mem(&e) <= sizeof mem);
            vt__qpack_enc_table(&e, mem);
            vt__qpack_enc_limit(&e, 4096, 10);
            vt__qpack_enc_begin(&e, &w, 0, buf, sizeof buf, ins, sizeof ins);
            CHECK(vt__qpack_put(&w, VT__H1_F_SERVER, VT__STR_LIT("server"), VT__STR_LIT("vthttp"), 0));
            CHECK(vt__qpack_put(&w, 0, VT__STR_LIT("X-A"), VT__STR_LIT("b"), 0));
            vt__qpack_enc_end(&w, &from);
            CHECK_EQ(e.h.t.made, 2);
            size_t n = unhex(bytes, all[i].hex);
            int rc = 0;
            if (!split) rc = vt__qpack_enc_recv(&e, bytes, bytes + n);
            for (size_t k = 0; split && k < n && rc == 0; k++) {
                uint8_t *one = memcpy(guarded(1), bytes + k, 1);
                rc = vt__qpack_enc_recv(&e, one, one + 1);
            }
            if (rc != all[i].want) printf("%s: %d\n", all[i].hex, rc);
            CHECK_EQ(rc, all[i].want);
        }
}

/* ---- the encoder stream, in pieces ---- */
static void dump_table(struct bytes *to) {
    char all[4096];
    for (uint32_t i = 1; i <= d.t.live; i++) {
        const vt__hpack_entry *e = vt__hpack_entry_of(&d.t, i);
        vt__hpack_ring_get(&d.t, e->at, (size_t)e->name_len + e->value_len, all);
        bytes_say(to, "%.*s=%.*s %d %d;", e->name_len, all, e->value_len, all + e->name_len, e->id, e->flags);
    }
}
TEST(every_split_of_inserts) {
    static const char all[] =
        "3fbd01 c00f 7777 772e 6578 616d 706c 652e 636f 6d" /* B.2 */
        "4a63 7573 746f 6d2d 6b65 790c 6375 7374 6f6d 2d76 616c 7565 01"
        "6825a849e95ba97d7f 8925a849e95bb8e8b4bf" /* custom-key: custom-value, by Huffman */
        "8189 25a849e95bb8e8b4bf c0 00 4141 0141 80 0120 41 3a 00 c1 7f05";
    uint8_t bytes[512];
    size_t n = unhex(bytes, all);
    for (int i = 0; i < 132; i++) bytes[n++] = (uint8_t)(i + 20);
    struct bytes whole = {NULL, 0, 0}, got = {NULL, 0, 0};
    fresh(220);
    CHECK_EQ(insert_bytes(bytes, n), 0);
    CHECK_EQ(d.state, VT__HPACK_S_FIELD);
    dump_table(&whole);
    CHECK(whole.n > 150);
    for (size_t one = 0; one <= n; one++)
        for (size_t two = one; two <= n; two += one % 7 ? n - one + 1 : 1) {
            fresh(220);
            CHECK_EQ(insert_bytes(bytes, one), 0);
            CHECK_EQ(insert_bytes(bytes + one, two - one), 0);
            CHECK_EQ(insert_bytes(bytes + two, n - two), 0);
            got.n = 0;
            dump_table(&got);
            CHECK(bytes_same(&whole, &got));
            CHECK(d.own == NULL);
        }
    fresh(220);
    for (size_t i = 0; i < n; i++) CHECK_EQ(insert_bytes(bytes + i, 1), 0);
    got.n = 0;
    dump_table(&got);
    CHECK(bytes_same(&whole, &got));
    bytes_free(&whole), bytes_free(&got);
}
TEST(what_a_table_entry_is_worth_stays_with_it) {
    fresh(220);
    CHECK_EQ(insert("3fbd01 4141 0161 4161 0161 4161 02 2061"), 0); /* A=a, a=a, a=" a" */
    CHECK_EQ(section("04 00 82 81 80 40 0162 42 0162"), 0);
    CHECK_STR(said(), "A=a?;a=a;a= a?;a=b;A=b?;");
}
TEST(no_memory_for_the_table_or_a_cut_insert) {
    fresh(220);
    memory_begin();
    fail_after = 0;
    CHECK_EQ(insert("3fbd01"), -ENOMEM);
    fail_after = -1;
    fresh(220);
    CHECK_EQ(insert("3fbd01"), 0);
    CHECK_EQ(blocks, 1);
    fail_after = 0;
    CHECK_EQ(insert("c0 0261"), -ENOMEM);
    fail_after = -1;
    fresh(220);
    CHECK_EQ(insert("3fbd01 c0 0261"), 0);
    CHECK_EQ(blocks, 2);
    CHECK_EQ(insert("61"), 0);
    CHECK_EQ(blocks, 1);
    CHECK_EQ(insert("c0 0261"), 0);
    fresh(220);
    memory_end();
}

/* ---- sections ---- */
TEST(every_representation) {
    fresh(220);
    CHECK_EQ(insert(b2), 0);
    CHECK_EQ(insert(b3), 0);
    /* Base 1: index 0 is entry 0; behind it 1 and 2. Never-indexed is bit 5, 4 or 3. */
    CHECK_EQ(
        section("04 81 80 10 11 40 0178 60 0178 00 0179 08 017a 51 017a 71 017a 22 616201 63 32 616201 63"
                "2a 193f 00"),
        0);
    CHECK_STR(
        said(),
        ":authority=www.example.com;:path=/sample/path;custom-key=custom-value;:authority=x;:authority=x!;"
        ":path=y;:path=z!;:path=z;:path=z!;ab=c;ab=c!;ac=;");
}
TEST(a_field_over_the_room_is_long) {
    static uint8_t bytes[20000];
    fresh(0);
    for (size_t n = ROOM - 40; n < ROOM + 40; n++) {
        uint8_t *p = bytes;
        *p++ = 0, *p++ = 0, *p++ = 0x51;
        p = vt__hpack_put_int(p, 0, 7, n);
        memset(p, 'x', n);
        p[n] = 0xd1;
        CHECK_EQ(section_bytes(bytes, (size_t)(p - bytes) + n + 1), 0);
        bool fits = n + 5 <= ROOM - VT__HPACK_SCRATCH_MORE;
        CHECK(memcmp(said(), fits ? ":path=xxx" : "long", fits ? 9 : 4) == 0);
        CHECK(strstr(said(), ";:method=GET;") != NULL);
    }
}
TEST(entries_that_turn_round_the_ring) {
    char bytes[300];
    fresh(256);
    CHECK_EQ(insert("3fe101"), 0);
    for (int i = 0; i < 200; i++) {
        char value[64];
        int n = i % 50, len = snprintf(value, sizeof value, "%.*s", n,
                                       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
        bytes[0] = (char)0xd1, bytes[1] = (char)len; /* :method */
        memcpy(bytes + 2, value, (size_t)len);
        CHECK_EQ(insert_bytes((uint8_t *)bytes, (size_t)len + 2), 0);
        uint8_t sec[3] = {(uint8_t)(d.t.made % 16 + 1), 0, 0x80};
        CHECK_EQ(section_bytes(sec, 3), 0);
        snprintf(bytes, sizeof bytes, ":method=%s;", value);
        CHECK_STR(said(), bytes);
        size_of_table();
    }
}

/* ---- the static table ---- */
TEST(static_table) {
    for (uint32_t i = 0; i < VT__QPACK_STATIC_N; i++) {
        const vt__qpack_static *s = &vt__qpack_statics[i];
        vt__hpack_field f = {vt__str_of(s->name), vt__str_of(s->value), 0, 0};
        uint8_t buf[200], *from;
        vt__qpack_enc e;
        vt__qpack_head w;
        vt__hpack_name_check(&f), vt__hpack_value_check(&f);
        CHECK_EQ(f.id, s->id);
        CHECK_EQ(f.flags, 0);
        CHECK_EQ(f.name.len, s->name_len);
        CHECK_EQ(f.value.len, s->value_len);
        if (s->next) CHECK_STR(vt__qpack_statics[s->next].name, s->name);
        vt__qpack_enc_init(&e, 1024);
        vt__qpack_enc_begin(&e, &w, 0, buf, sizeof buf, NULL, 0);
        CHECK(vt__qpack_put(&w, s->id, f.name, f.value, 0));
        size_t n = vt__qpack_enc_end(&w, &from);
        bool secret = vt__hpack_policies[s->id] == VT__HPACK_P_SECRET || s->id == VT__H1_F_COOKIE;
        CHECK_EQ(n, secret ? (i > 14 ? 5 : 4) : i < 63 ? 3 : 4);
        fresh(0);
        CHECK_EQ(section_bytes(from, n), 0);
        snprintf((char *)buf, sizeof buf, "%s=%s%s;", s->name, s->value, secret ? "!" : "");
        CHECK_STR(said(), (char *)buf);
    }
}
TEST(statuses_lengths_dates) {
    uint8_t bytes[64] = {0, 0};
    char want[64];
    fresh(0);
    for (int status = 100; status < 1000; status++) {
        size_t n = vt__qpack_put_status(bytes + 2, status);
        CHECK(n <= VT__QPACK_STATUS_MAX);
        CHECK_EQ(section_bytes(bytes, n + 2), 0);
        snprintf(want, sizeof want, ":status=%d;", status);
        CHECK_STR(said(), want);
    }
    CHECK_EQ(section_bytes(bytes, 2 + vt__qpack_put_length(bytes + 2, UINT64_MAX)), 0);
    CHECK_STR(said(), "content-length=18446744073709551615;");
    CHECK_EQ(section_bytes(bytes, 2 + vt__qpack_put_date(bytes + 2, "Thu, 26 Nov 2026 08:00:00 GMT")), 0);
    CHECK_STR(said(), "date=Thu, 26 Nov 2026 08:00:00 GMT;");
}

/* ---- the encoder ---- */
static vt__qpack_enc e;
static uint64_t enc_mem[4096];
static uint8_t sec_buf[4096], ins_buf[4096], *sec;
static size_t sec_len, ins_len;
static void enc_fresh(uint32_t cap, uint64_t peer, uint64_t blocked) {
    vt__qpack_enc_init(&e, cap);
    CHECK(vt__qpack_enc_mem(&e) <= sizeof enc_mem);
    vt__qpack_enc_table(&e, enc_mem);
    vt__qpack_enc_limit(&e, peer, blocked);
    fresh((uint32_t)VT__MIN(peer, VT__HPACK_CAP_MAX));
}
/* "name=value;..." as a section of the stream. */
static void encode_to(uint64_t stream, const char *list, size_t ins_cap) {
    vt__qpack_head w;
    vt__qpack_enc_begin(&e, &w, stream, sec_buf, sizeof sec_buf, ins_buf, ins_cap);
    while (*list) {
        const char *eq = strchr(list + 1, '='), *end = strchr(eq, ';');
        vt__hpack_field f = {{list, (size_t)(eq - list)}, {eq + 1, (size_t)(end - eq - 1)}, 0, 0};
        vt__hpack_name_check(&f);
        CHECK(vt__qpack_put(&w, f.id == VT__HPACK_F_PSEUDO ? 0 : f.id, f.name, f.value, 0));
        list = end + 1;
    }
    sec_len = vt__qpack_enc_end(&w, &sec);
    ins_len = w.ins_len;
    CHECK(ins_len <= ins_cap);
}
static void encode(uint64_t stream, const char *list) { encode_to(stream, list, sizeof ins_buf); }
/* Both streams reach the decoder, whose acknowledgement, if wanted, comes back. */
static void pass_on(uint64_t stream, const char *want, bool ack) {
    uint8_t out[2 * VT__QPACK_INT_BYTES];
    CHECK_EQ(insert_bytes(ins_buf, ins_len), 0);
    CHECK_EQ(section_bytes(sec, sec_len), 0);
    CHECK_STR(said(), want);
    CHECK_EQ(d.t.made, e.h.t.made);
    CHECK_EQ(d.t.size, e.h.t.size);
    if (!ack) return;
    size_t n = vt__qpack_put_ack(&d, needed, stream, out);
    n += vt__qpack_put_increment(&d, out + n);
    CHECK_EQ(vt__qpack_enc_recv(&e, out, out + n), 0);
}
static const char first[] = ":status=200;server=vthttp;content-type=text/x;";
TEST(encoder_indexes_what_may_wait) {
    enc_fresh(1024, 4096, 10);
    encode(0, first);
    CHECK_EQ(e.h.t.made, 2);
    CHECK_EQ(sec_len, 2 + 3); /* static, two behind Base */
    pass_on(0, first, true);
    CHECK_EQ(e.known, 2);
    CHECK_EQ(e.nrefs, 0);
    encode(4, first);
    CHECK_EQ(ins_len, 0);
    CHECK_EQ(sec_len, 2 + 3);
    pass_on(4, first, false);
    CHECK_EQ(e.nrefs, 1);
}
/* What comes again and again has an entry when it comes for the third time, however many fields stand beside it. */
TEST(encoder_indexes_a_whole_head) {
    static const char list[] =
        ":method=GET;:scheme=https;:authority=www.example.org;:path=/static/images/photo-0123456789.jpg?width=640;"
        "user-agent=Mozilla/5.0 (X11, Linux x86_64) Gecko/20100101 Firefox/102.0;accept=image/avif,image/webp,*/*;"
        "accept-language=en-US,en,q 0.5;referer=https://www.example.org/articles/2026/11/26/headers.html;"
        "cookie=session 0123456789abcdef0123456789abcdef;cookie=consent yes, theme dark, lang en;"
        "sec-fetch-dest=image;sec-fetch-mode=no-cors;sec-fetch-site=same-origin;";
    enc_fresh(4096, 4096, 10);
    for (uint64_t i = 0; i < 3; i++) {
        encode(i * 4, list);
        pass_on(i * 4, list, true);
    }
    CHECK_EQ(ins_len, 0);
    CHECK(sec_len <= 3 + 13);
}
TEST(encoder_waits_for_a_peer_that_may_not) {
    enc_fresh(1024, 4096, 0);
    encode(0, first);
    CHECK_EQ(e.h.t.made, 2);
    CHECK(sec_len > 10);
    CHECK_EQ(e.nrefs, 0);
    CHECK_EQ(section_bytes(sec, sec_len), 0); /* before the inserts */
    CHECK_STR(said(), first);
    encode(4, first);
    CHECK_EQ(e.h.t.made, 2);
    CHECK(sec_len > 10);
    uint8_t two = 2;
    CHECK_EQ(vt__qpack_enc_recv(&e, &two, &two + 1), 0);
    encode(8, first);
    CHECK_EQ(sec_len, 2 + 3);
}
TEST(encoder_lets_so_many_streams_wait) {
    enc_fresh(1024, 4096, 2);
    encode(0, "server=a;"), encode(4, "server=b;");
    CHECK_EQ(e.nrefs, 2);
    encode(8, "server=a;");
    CHECK_EQ(e.nrefs, 2);
    uint8_t ack = 0x80;
    CHECK_EQ(vt__qpack_enc_recv(&e, &ack, &ack + 1), 0);
    encode(8, "server=b;");
    CHECK_EQ(e.nrefs, 2);
    encode(12, "server=c;"); /* 4 and 8 wait */
    CHECK_EQ(e.nrefs, 2);
    encode(16, "server=a;"); /* which the peer has */
    CHECK_EQ(e.nrefs, 3);
}
/* Nothing that a section on its way needs is evicted, nor what the peer may not have yet. */
TEST(b48_encoder_evicts_nothing_that_is_needed) {
    char field[200], pad[120];
    memset(pad, 'x', sizeof pad);
    enc_fresh(256, 256, 10);
    snprintf(field, sizeof field, "server=%.60s;", pad);
    encode(0, field);
    pass_on(0, field, false);
    snprintf(field, sizeof field, "vary=%.80s;", pad);
    encode(4, field); /* 98 + 116 of 256 */
    pass_on(4, field, false);
    snprintf(field, sizeof field, "server=%.30s;", pad);
    encode(8, field);
    CHECK_EQ(e.h.t.made, 2);
    CHECK_EQ(ins_len, 0);
    pass_on(8, field, false);
    uint8_t ack = 0x80;
    CHECK_EQ(vt__qpack_enc_recv(&e, &ack, &ack + 1), 0);
    encode(8, field);
    CHECK_EQ(e.h.t.made, 3);
    CHECK_EQ(e.h.t.live, 2);
    pass_on(8, field, false);
    uint8_t cancel = 0x44; /* of 4; and then 8 is acknowledged */
    CHECK_EQ(vt__qpack_enc_recv(&e, &cancel, &cancel + 1), 0);
    CHECK_EQ(e.nrefs, 1);
    uint8_t next = 0x88;
    CHECK_EQ(vt__qpack_enc_recv(&e, &next, &next + 1), 0);
    snprintf(field, sizeof field, "server=%.70s;", pad);
    encode(12, field);
    CHECK_EQ(e.h.t.made, 4);
    pass_on(12, field, false);
}
/* Neither what sections on their way need though the peer has it, nor what it may not have though nobody needs it. */
TEST(b48_encoder_evicts_nothing_too_early) {
    for (int needed_yet = 0; needed_yet < 2; needed_yet++) {
        uint8_t two = 2, acks[] = {0x80, 0x84};
        char field[200], pad[120];
        memset(pad, 'x', sizeof pad);
        enc_fresh(256, 256, needed_yet ? 10 : 0);
        for (int i = 0; i < 2; i++) {
            snprintf(field, sizeof field, "%s=%.80s;", i ? "vary" : "server", pad);
            encode((uint64_t)i * 4, field);
        }
        CHECK_EQ(e.h.t.made, 2);
        CHECK_EQ(e.nrefs, needed_yet ? 2 : 0);
        if (needed_yet) CHECK_EQ(vt__qpack_enc_recv(&e, &two, &two + 1), 0);
        snprintf(field, sizeof field, "server=%.30s;", pad);
        encode(8, field);
        CHECK_EQ(e.h.t.made, 2);
        if (needed_yet) CHECK_EQ(vt__qpack_enc_recv(&e, acks, acks + 2), 0);
        else CHECK_EQ(vt__qpack_enc_recv(&e, &two, &two + 1), 0);
        encode(12, field);
        CHECK_EQ(e.h.t.made, 3);
    }
}
/* A field that is still wanted goes on as a new entry before its old one stands in the way. */
TEST(encoder_duplicates_what_would_go) {
    char list[200];
    enc_fresh(512, 512, 10);
    bool duplicated = false;
    for (uint64_t i = 0; i < 40; i++) {
        snprintf(list, sizeof list, "vary=always-the-same-one;server=other-%d;", (int)i);
        encode(i * 4, list);
        for (size_t k = 0; k < ins_len; k++) duplicated |= ins_len < 20 && ins_buf[k] < 0x20 && k == 0;
        CHECK(sec_len < 10);
        pass_on(i * 4, list, true);
    }
    CHECK(duplicated);
    CHECK(e.h.t.made > 41);
    CHECK(e.h.t.made < 55);
}
TEST(encoder_remembers_a_bounded_number_of_sections) {
    enc_fresh(1024, 4096, 1000);
    for (uint64_t i = 0; i < 100; i++) {
        encode(i * 4, first);
        CHECK(i < VT__QPACK_REFS ? sec_len == 5 : sec_len > 10);
        pass_on(i * 4, first, false);
    }
    CHECK_EQ(e.nrefs, VT__QPACK_REFS);
    for (uint64_t i = 0; i < VT__QPACK_REFS; i++) {
        uint8_t out[VT__QPACK_INT_BYTES];
        size_t n = vt__qpack_put_ack(&d, 2, i * 4, out);
        CHECK_EQ(vt__qpack_enc_recv(&e, out, out + n), 0);
    }
    CHECK_EQ(e.nrefs, 0);
}
TEST(several_sections_of_a_stream_are_acknowledged_in_order) {
    enc_fresh(1024, 4096, 1000);
    encode(0, "server=a;"), encode(0, "server=b;"), encode(0, "server=c;");
    uint8_t ack = 0x80;
    for (uint32_t i = 1; i <= 3; i++) {
        CHECK_EQ(vt__qpack_enc_recv(&e, &ack, &ack + 1), 0);
        CHECK_EQ(e.known, i);
    }
    CHECK_EQ(vt__qpack_enc_recv(&e, &ack, &ack + 1), VT__QPACK_E_ACK);
}
TEST(encoder_without_room_for_instructions) {
    enc_fresh(1024, 4096, 10);
    encode_to(0, first, 0);
    CHECK_EQ(ins_len, 0);
    CHECK_EQ(e.h.t.made, 0);
    pass_on(0, first, true);
    encode_to(4, first, 8); /* the capacity goes, no insert */
    CHECK_EQ(ins_len, 3);
    CHECK_EQ(e.h.t.made, 0);
    pass_on(4, first, true);
    encode_to(8, first, 12);
    CHECK_EQ(e.h.t.made, 1);
    pass_on(8, first, true);
}
TEST(encoder_without_room_for_the_section) {
    for (size_t cap = VT__QPACK_PREFIX; cap < VT__QPACK_PREFIX + 48; cap++) {
        vt__qpack_head w;
        uint8_t *from;
        size_t n = 0;
        enc_fresh(1024, 4096, 10);
        uint8_t *buf = guarded(cap);
        vt__qpack_enc_begin(&e, &w, 0, buf, cap, ins_buf, sizeof ins_buf);
        n += vt__qpack_put(&w, VT__HPACK_F_STATUS, VT__STR_LIT(":status"), VT__STR_LIT("599"), 0);
        n += vt__qpack_put(&w, 0, VT__STR_LIT("x"), VT__STR_LIT("yyyyyyyyyyyy"), VT__HPACK_NEVER);
        n += vt__qpack_put(&w, VT__H1_F_SERVER, VT__STR_LIT("server"), VT__STR_LIT("z"), 0);
        n += vt__qpack_put(&w, VT__H1_F_DATE, VT__STR_LIT("date"), VT__STR_LIT("zzzzzzzzz"), 0);
        CHECK(cap < VT__QPACK_PREFIX + 8 || n);
        CHECK(cap < VT__QPACK_PREFIX + 47 || n == 4);
        sec_len = vt__qpack_enc_end(&w, &from);
        memmove(sec_buf, from, sec_len);
        sec = sec_buf, ins_len = w.ins_len;
        CHECK_EQ(insert_bytes(ins_buf, ins_len), 0);
        CHECK_EQ(section_bytes(sec, sec_len), 0);
        size_t got = 0;
        for (const char *s = said(); (s = strchr(s, ';')); s++) got++;
        CHECK_EQ(got, n);
        CHECK_EQ(needed != 0, e.nrefs);
    }
}
TEST(secrets_are_never_indexed) {
    enc_fresh(1024, 4096, 10);
    static const char list[] =
        "authorization=Bearer abcdefghijklmnopq;set-cookie=a=b;cookie=short;proxy-authorization=x;";
    encode(0, list);
    CHECK_EQ(ins_len, 3);
    pass_on(0,
            "authorization=Bearer abcdefghijklmnopq!;set-cookie=a=b!;cookie=short!;proxy-authorization=x!;",
            true);
    vt__qpack_head w;
    vt__qpack_enc_begin(&e, &w, 0, sec_buf, sizeof sec_buf, ins_buf, sizeof ins_buf);
    CHECK(vt__qpack_put(&w, VT__H1_F_SERVER, VT__STR_LIT("server"), VT__STR_LIT("a"), VT__HPACK_NEVER));
    CHECK(vt__qpack_put(&w, 0, VT__STR_LIT("x-y"), VT__STR_LIT("a"), VT__HPACK_NEVER));
    sec_len = vt__qpack_enc_end(&w, &sec), ins_len = w.ins_len;
    pass_on(0, "server=a!;x-y=a!;", true);
    CHECK_EQ(e.h.t.made, 0);
}
TEST(peers_without_a_table) {
    enc_fresh(1024, 0, 10);
    encode(0, first);
    CHECK_EQ(ins_len, 0);
    pass_on(0, first, true);
    enc_fresh(1024, 31, 10);
    encode(0, first);
    pass_on(0, first, true);
    CHECK_EQ(e.h.t.made, 0);
    enc_fresh(1024, UINT64_C(1) << 61, 10); /* more than there is */
    encode(0, first);
    CHECK_EQ(e.h.t.max, 1024);
    CHECK_EQ(e.h.t.made, 2);
}

/* ---- both ends ---- */
enum { STREAMS = 12, QUEUE = 4096 };
/* A section on its way, and what it should say. */
typedef struct on_way {
    uint64_t stream;
    size_t len, want_len;
    uint8_t bytes[3000];
    char want[3000];
} on_way;
/* Random fields through both ends; the encoder stream, sections and the decoder stream are late, each for itself. */
static void story(uint64_t *rng, uint32_t cap, uint32_t peer, uint64_t blocked) {
    static on_way ways[STREAMS];
    static uint8_t inserts[1 << 16], acks[1 << 16];
    size_t ins_n = 0, ins_at = 0, ack_n = 0, ack_at = 0, nways = 0;
    enc_fresh(cap, peer, blocked);
    for (uint64_t i = 0; i < 600; i++) {
        uint64_t what = test_rand(rng) % 8;
        if (what < 3 && nways < STREAMS && ins_n < sizeof inserts - 4096) {
            char *p = ways[nways].want;
            p += sprintf(p, ":status=200;");
            for (uint64_t k = test_rand(rng) % 8; k > 0; k--) {
                static const char *const names[] = {"server",       "vary",  "x-one", "etag",
                                                    "content-type", "x-Two", ":path", "link"};
                int size = (int)(test_rand(rng) % 3 ? test_rand(rng) % 4 : test_rand(rng) % 150);
                p += sprintf(p, "%s=", names[test_rand(rng) % 8]);
                for (int c = 0; c < size; c++)
                    *p++ = (char)('a' + (size < 4 ? (int)(test_rand(rng) % 3) : c % 26));
                *p++ = ';';
            }
            *p = 0;
            encode_to(i * 4, ways[nways].want, test_rand(rng) % 4 ? 1000 : (size_t)(test_rand(rng) % 60));
            for (char *c = ways[nways].want; *c; c++) *c = (char)(*c == 'T' ? 't' : *c);
            memcpy(inserts + ins_n, ins_buf, ins_len), ins_n += ins_len;
            memcpy(ways[nways].bytes, sec, sec_len);
            ways[nways].stream = i * 4, ways[nways].len = sec_len;
            nways++;
        } else if (what == 3 && ins_at < ins_n) {
            size_t n = 1 + (size_t)test_rand(rng) % (ins_n - ins_at);
            CHECK_EQ(insert_bytes(inserts + ins_at, n), 0);
            ins_at += n;
            size_of_table();
        } else if (what < 7 && nways) {
            size_t k = (size_t)test_rand(rng) % nways;
            int rc = section_bytes(ways[k].bytes, ways[k].len);
            CHECK(rc == 0 || rc == 1);
            if (rc == 1 && test_rand(rng) % 20) continue;
            if (rc == 0) CHECK_STR(said(), ways[k].want);
            ack_n += rc ? vt__qpack_put_cancel(&d, ways[k].stream, acks + ack_n)
                        : vt__qpack_put_ack(&d, needed, ways[k].stream, acks + ack_n);
            if (test_rand(rng) % 2) ack_n += vt__qpack_put_increment(&d, acks + ack_n);
            ways[k] = ways[--nways];
        } else if (ack_at < ack_n) {
            size_t n = 1 + (size_t)test_rand(rng) % (ack_n - ack_at);
            CHECK_EQ(vt__qpack_enc_recv(&e, acks + ack_at, acks + ack_at + n), 0);
            ack_at += n;
        }
    }
    CHECK_EQ(insert_bytes(inserts + ins_at, ins_n - ins_at), 0);
    CHECK_EQ(d.t.made, e.h.t.made);
    CHECK_EQ(d.t.size, e.h.t.size);
    for (size_t k = 0; k < nways; k++) {
        CHECK_EQ(section_bytes(ways[k].bytes, ways[k].len), 0);
        CHECK_STR(said(), ways[k].want);
    }
}
TEST(stories_of_both_ends) {
    uint64_t rng = test_seed();
    static const uint32_t caps[] = {256, 512, 1024, 4096};
    for (int i = 0; i < 60 && !test_failures; i++)
        story(&rng, caps[i % 4], (uint32_t)(test_rand(&rng) % 3 ? 4096 : test_rand(&rng) % 600),
              test_rand(&rng) % 5);
}
TEST(an_encoder_ends_its_inserts_before_its_numbers) {
    enc_fresh(1024, 4096, 10);
    e.h.t.made = e.known = d.t.made = VT__QPACK_INSERTS_MAX - 1;
    d.told = d.t.made;
    encode(0, first);
    CHECK_EQ(e.h.t.made, VT__QPACK_INSERTS_MAX);
    pass_on(0, first, true);
    CHECK_EQ(insert("c001 61"), VT__QPACK_E_MANY);
}
