/* QUIC's wire: integers, packet numbers, heads, frames, transport parameters. The examples of RFC 9000, 9001 and 9369; every
 * frame read at every truncation in front of an unmapped page and written into every room; the attacks of the list by number
 * (bNN). */
/* variants: default asan clang aarch64 i386 */
/* valgrind */
#define VTHTTP_H3 1
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "guard.h"
#include "qframe.h"
#include "test.h"

static size_t from_hex(uint8_t *to, const char *hex) {
    size_t n = 0;
    for (; hex[0] && hex[1]; hex += 2) {
        char two[3] = {hex[0], hex[1], 0};
        to[n++] = (uint8_t)strtoul(two, NULL, 16);
    }
    return n;
}
/* The bytes of `hex`, in front of an unmapped page. */
static uint8_t *hex_guarded(const char *hex, size_t *n) {
    static uint8_t bytes[4096];
    *n = from_hex(bytes, hex);
    return memcpy(guarded(*n), bytes, *n);
}
static void check_hex(const uint8_t *p, size_t n, const char *hex, int line) {
    uint8_t want[4096];
    size_t len = from_hex(want, hex);
    if (n != len || memcmp(p, want, n) != 0) test_fail(__FILE__, line, hex);
}
#define CHECK_HEX(p, n, hex) check_hex((p), (size_t)(n), (hex), __LINE__)
#define CID(...) (&(vt__qpkt_cid){sizeof((uint8_t[]){__VA_ARGS__}), {__VA_ARGS__}})

/* ---- integers ---- */
TEST(integers_of_the_rfc) { /* RFC 9000 A.1 */
    static const struct {
        const char *hex;
        uint64_t value;
    } rows[] = {{"c2197c5eff14e88c", UINT64_C(151288809941952652)},
                {"9d7f3e7d", 494878333},
                {"7bbd", 15293},
                {"25", 37},
                {"4025", 37}};
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        size_t n;
        uint8_t out[8], *p = hex_guarded(rows[i].hex, &n);
        const uint8_t *at = p;
        uint64_t v;
        CHECK(vt__qpkt_get_int(&at, p + n, &v) && v == rows[i].value && at == p + n);
        uint8_t *end = vt__qpkt_put_int(out, v);
        CHECK_EQ(end - out, vt__qpkt_int_size(v));
        if (i < 4) CHECK_HEX(out, end - out, rows[i].hex);
    }
}
TEST(integers_at_their_bounds) {
    static const uint64_t values[] = {
        0, 63, 64, 16383, 16384, (1 << 30) - 1, 1 << 30, UINT32_MAX, UINT64_C(1) << 32, VT__QPKT_INT_MAX};
    static const size_t sizes[] = {1, 1, 2, 2, 4, 4, 8, 8, 8, 8};
    for (size_t i = 0; i < VT__COUNT(values); i++) {
        uint8_t *p = guarded(sizes[i]);
        CHECK(vt__qpkt_put_int(p, values[i]) == p + sizes[i]);
        CHECK_EQ(vt__qpkt_int_size(values[i]), sizes[i]);
        for (size_t n = 0; n <= sizes[i]; n++) {
            uint8_t *cut = memmove(guarded(n), guarded(sizes[i]), n);
            const uint8_t *at = cut;
            uint64_t v = 0;
            bool got = vt__qpkt_get_int(&at, cut + n, &v);
            CHECK(got == (n == sizes[i]));
            CHECK(got ? v == values[i] && at == cut + n : at == cut);
            (void)vt__qpkt_put_int(guarded(sizes[i]), values[i]);
        }
    }
}

/* ---- packet numbers ---- */
TEST(packet_numbers_of_the_rfc) { /* RFC 9000 A.2, A.3 */
    CHECK_EQ(vt__qpkt_pn_size(0xac5c02, 0xabe8b3), 2);
    CHECK_EQ(vt__qpkt_pn_size(0xace8fe, 0xabe8b3), 3);
    CHECK_EQ(vt__qpkt_pn_decode(UINT64_C(0xa82f30ea) + 1, 0x9b32, 2), UINT64_C(0xa82f9b32));
    CHECK_EQ(vt__qpkt_pn_size(0, UINT64_MAX), 1);
    CHECK_EQ(vt__qpkt_pn_size(300, UINT64_MAX), 2);
    CHECK_EQ(vt__qpkt_pn_decode(0, 0, 1), 0);
    CHECK_EQ(vt__qpkt_pn_decode(0, 255, 1), 255);                                 /* there is none below 0 */
    CHECK_EQ(vt__qpkt_pn_decode(VT__QPKT_INT_MAX, 0, 1), VT__QPKT_INT_MAX - 255); /* nor above the highest */
}
/* The A.3 of the RFC, word by word. */
static uint64_t decode_slowly(uint64_t expected, uint64_t truncated, unsigned bits) {
    uint64_t win = UINT64_C(1) << bits, hwin = win / 2, mask = win - 1;
    uint64_t candidate = (expected & ~mask) | truncated;
    if ((int64_t)candidate <= (int64_t)expected - (int64_t)hwin && candidate < (UINT64_C(1) << 62) - win)
        return candidate + win;
    if (candidate > expected + hwin && candidate >= win) return candidate - win;
    return candidate;
}
TEST(packet_numbers_come_back) {
    uint64_t seed = test_seed();
    for (int i = 0; i < 200000; i++) {
        uint64_t acked = test_rand(&seed) >> (2 + test_rand(&seed) % 61),
                 ahead = test_rand(&seed) >> (41 + test_rand(&seed) % 22);
        uint64_t pn = VT__MIN(acked + 1 + ahead, VT__QPKT_INT_MAX);
        if (pn <= acked) continue;
        unsigned size = vt__qpkt_pn_size(pn, acked);
        uint64_t mask = (UINT64_C(1) << 8 * size) - 1, had = acked + test_rand(&seed) % (pn - acked);
        if (vt__qpkt_pn_decode(had + 1, (uint32_t)(pn & mask), size) != pn)
            return test_fail(__FILE__, __LINE__, "decode");
        uint64_t any = test_rand(&seed) & mask, expected = test_rand(&seed) >> (2 + test_rand(&seed) % 61);
        if (vt__qpkt_pn_decode(expected, (uint32_t)any, size) != decode_slowly(expected, any, 8 * size))
            return test_fail(__FILE__, __LINE__, "as the RFC does");
    }
}

/* ---- heads ---- */
TEST(
    heads_of_the_rfc) { /* RFC 9001 A.2, A.3, A.5, RFC 9369 A.2, A.3: the heads of their packets before and after protection */
    static const struct {
        uint32_t version;
        bool server;
        const char *mask, *plain, *masked;
        size_t payload; /* with its tag */
        uint64_t pn;
        unsigned pn_size;
    } rows[] = {{VT__QPKT_V1, false, "437b9aec36", "c300000001088394c8f03e5157080000449e00000002",
                 "c000000001088394c8f03e5157080000449e7b9aec34", 1178, 2, 4},
                {VT__QPKT_V1, true, "2ec0d8356a", "c1000000010008f067a5502a4262b50040750001",
                 "cf000000010008f067a5502a4262b5004075c0d9", 115, 1, 2},
                {VT__QPKT_V2, false, "94a0c95e80", "d36b3343cf088394c8f03e5157080000449e00000002",
                 "d76b3343cf088394c8f03e5157080000449ea0c95e82", 1178, 2, 4}};
    vt__qpkt_cid client = *CID(0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08), none = {0, {0}};
    vt__qpkt_cid server = *CID(0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5);
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        uint8_t p[1300] = {0}, mask[5];
        const vt__qpkt_cid *dcid = rows[i].server ? &none : &client, *scid = rows[i].server ? &server : &none;
        uint8_t *payload = vt__qpkt_put_long(p, p + sizeof p, VT__QPKT_T_INITIAL, rows[i].version, dcid, scid,
                                             (vt_str){NULL, 0}, rows[i].pn, rows[i].pn_size);
        REQUIRE(payload != NULL);
        vt__qpkt_end_long(payload, rows[i].pn_size, payload + rows[i].payload);
        CHECK_HEX(p, payload - p, rows[i].plain);
        from_hex(mask, rows[i].mask);
        vt__qpkt_mask(p, payload - rows[i].pn_size, rows[i].pn_size, mask);
        CHECK_HEX(p, payload - p, rows[i].masked);
        vt__qpkt_head h;
        uint64_t pn;
        size_t n = (size_t)(payload - p) + rows[i].payload;
        REQUIRE(vt__qpkt_head_get(&h, p, sizeof p, 8) == 1);
        CHECK(h.type == VT__QPKT_T_INITIAL && h.version == rows[i].version && h.len == n && h.fixed);
        CHECK(h.token_len == 0 && h.dcid_len == dcid->len && h.scid_len == scid->len);
        CHECK_EQ(vt__qpkt_unmask(p, &h, mask, 0, &pn), rows[i].pn_size);
        CHECK(pn == rows[i].pn && p + h.pn_at + rows[i].pn_size == payload && !vt__qpkt_reserved(*p));
        CHECK_HEX(p, payload - p, rows[i].plain);
    }
}
TEST(short_head_of_the_rfc) { /* RFC 9001 A.5 */
    uint8_t p[64] = {0}, mask[5];
    vt__qpkt_cid none = {0, {0}};
    vt__qpkt_head h;
    uint64_t pn = 654360564;
    uint8_t *payload = vt__qpkt_put_short(p, p + sizeof p, &none, 0, pn, 3);
    CHECK_HEX(p, payload - p, "4200bff4");
    from_hex(mask, "aefefe7d03");
    vt__qpkt_mask(p, payload - 3, 3, mask);
    CHECK_HEX(p, payload - p, "4cfe4189");
    REQUIRE(vt__qpkt_head_get(&h, p, 21, 0) == 1);
    CHECK(h.type == VT__QPKT_T_SHORT && h.pn_at == 1 && h.len == 21);
    CHECK_EQ(vt__qpkt_unmask(p, &h, mask, pn - 5, &pn), 3);
    CHECK_EQ(pn, 654360564);
    CHECK_HEX(p, 4, "4200bff4");
}
TEST(retry_of_the_rfc) { /* RFC 9001 A.4, RFC 9369 A.4 */
    static const char *const packets[] = {
        "ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba",
        "cf6b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6"};
    for (size_t i = 0; i < 2; i++) {
        size_t n;
        uint8_t *p = hex_guarded(packets[i], &n), out[64];
        vt__qpkt_cid dcid, scid;
        vt__qpkt_head h;
        REQUIRE(vt__qpkt_head_get(&h, p, n, 8) == 1);
        CHECK(h.type == VT__QPKT_T_RETRY && h.version == (i ? VT__QPKT_V2 : VT__QPKT_V1) && h.len == n);
        CHECK_MEM(h.token, h.token_len, "token", 5);
        vt__qpkt_cid_set(&dcid, h.dcid, h.dcid_len), vt__qpkt_cid_set(&scid, h.scid, h.scid_len);
        uint8_t *end = vt__qpkt_put_retry(out, out + sizeof out, h.version, &dcid, &scid,
                                          (vt_str){"token", 5});
        out[0] |= 0x0f; /* the bits that nobody uses */
        CHECK_MEM(out, end - out, p, n - VT__QPKT_TAG);
        for (size_t cut = 0; cut < n; cut++) {
            from_hex(out, packets[i]);
            uint8_t *q = memcpy(guarded(cut), out, cut);
            int rc = vt__qpkt_head_get(&h, q, cut, 8);
            CHECK_EQ(rc, cut > 15 + VT__QPKT_TAG ? 1 : VT__QPKT_E_HEAD); /* a token of no bytes is none */
        }
    }
}
/* A long packet of each type, with a payload of 20 bytes. */
static uint8_t *put_packet(uint8_t *p, const uint8_t *end, enum vt__qpkt_type type, uint32_t version,
                           size_t payload) {
    uint8_t *at = vt__qpkt_put_long(p, end, type, version, CID(1, 2, 3), CID(4, 5, 6, 7, 8),
                                    (vt_str){"tok", 3}, 7, 2);
    if (!at) return NULL;
    memset(at, 0xee, payload);
    vt__qpkt_end_long(at, 2, at + payload);
    return at + payload;
}
TEST(types_of_both_versions) {
    static const uint8_t first[2][3] = {{0xc1, 0xd1, 0xe1}, {0xd1, 0xe1, 0xf1}};
    for (unsigned v = 0; v < 2; v++) {
        for (unsigned type = VT__QPKT_T_INITIAL; type <= VT__QPKT_T_HANDSHAKE; type++) {
            uint8_t p[100];
            vt__qpkt_head h;
            uint8_t *end = put_packet(p, p + 100, (enum vt__qpkt_type)type, v ? VT__QPKT_V2 : VT__QPKT_V1,
                                      20);
            CHECK_EQ(p[0], first[v][type]);
            REQUIRE(vt__qpkt_head_get(&h, p, sizeof p, 0) == 1);
            CHECK(h.type == type && h.len == (size_t)(end - p) && p + h.pn_at == end - 22);
            CHECK_MEM(h.dcid, h.dcid_len, "\1\2\3", 3);
            CHECK_MEM(h.scid, h.scid_len, "\4\5\6\7\10", 5);
            CHECK_MEM(h.token, h.token_len, "tok", type == VT__QPKT_T_INITIAL ? 3 : 0);
        }
    }
}
TEST(b41_coalesced_packets) {
    uint8_t *p = guarded(3000), *end = p + 3000, *at = p;
    for (int i = 0; i < 12; i++)
        at = put_packet(at, end, i % 2 ? VT__QPKT_T_HANDSHAKE : VT__QPKT_T_INITIAL, VT__QPKT_V1, 30);
    size_t n = (size_t)(at - p);
    uint8_t *q = memmove(guarded(n), p, n);
    int packets = 0;
    vt__qpkt_head h;
    for (size_t pos = 0; pos < n; pos += h.len, packets++) {
        if (vt__qpkt_head_get(&h, q + pos, n - pos, 0) != 1) return test_fail(__FILE__, __LINE__, "head");
        CHECK(h.type == (packets % 2 ? VT__QPKT_T_HANDSHAKE : VT__QPKT_T_INITIAL));
    }
    CHECK_EQ(packets, 12);
    CHECK_EQ(vt__qpkt_head_get(&h, q, 0, 0), VT__QPKT_E_HEAD);
}
/* Whatever is cut off, or filled up. */
TEST(heads_cut_short) {
    uint8_t whole[200];
    vt__qpkt_head h;
    for (unsigned type = VT__QPKT_T_INITIAL; type <= VT__QPKT_T_HANDSHAKE; type++) {
        size_t n = (size_t)(put_packet(whole, whole + 200, (enum vt__qpkt_type)type, VT__QPKT_V1, 18) -
                            whole);
        for (size_t cut = 0; cut < n; cut++) {
            uint8_t *p = memcpy(guarded(cut), whole, cut);
            CHECK_EQ(vt__qpkt_head_get(&h, p, cut, 0), VT__QPKT_E_HEAD);
        }
        CHECK_EQ(vt__qpkt_head_get(&h, memcpy(guarded(n), whole, n), n, 0), 1);
        n = (size_t)(put_packet(whole, whole + 200, (enum vt__qpkt_type)type, VT__QPKT_V1, 17) - whole);
        CHECK_EQ(vt__qpkt_head_get(&h, memcpy(guarded(n), whole, n), n, 0), VT__QPKT_E_HEAD); /* no sample */
    }
    for (size_t n = 0; n < 40; n++) {
        uint8_t *p = memset(guarded(n), 0x40, n);
        CHECK_EQ(vt__qpkt_head_get(&h, p, n, 8), n >= 1 + 8 + 4 + 16 ? 1 : VT__QPKT_E_HEAD);
    }
}
TEST(heads_in_every_room) {
    vt__qpkt_cid dcid = *CID(1, 2, 3), scid = *CID(4, 5);
    vt__qpkt_head of = {VT__QPKT_T_UNKNOWN, 9, dcid.b, scid.b, NULL, 0, 0, 0, 3, 2, true};
    static const uint32_t versions[] = {VT__QPKT_V2, VT__QPKT_V1};
    for (size_t room = 0; room < 40; room++) {
        uint8_t *p = guarded(room), *end = p + room;
        CHECK((vt__qpkt_put_long(p, end, VT__QPKT_T_INITIAL, 1, &dcid, &scid, (vt_str){"tok", 3}, 1, 4) !=
               NULL) == (room >= 22));
        CHECK((vt__qpkt_put_long(p, end, VT__QPKT_T_HANDSHAKE, 1, &dcid, &scid, (vt_str){"tok", 3}, 1, 1) !=
               NULL) == (room >= 15));
        CHECK((vt__qpkt_put_short(p, end, &dcid, VT__QPKT_KEY_PHASE, 1, 2) != NULL) == (room >= 6));
        CHECK((vt__qpkt_put_retry(p, end, 1, &dcid, &scid, (vt_str){"tok", 3}) != NULL) == (room >= 15));
        CHECK((vt__qpkt_put_negotiation(p, end, &of, versions, 2, 7) != NULL) == (room >= 24));
    }
}
TEST(ids_are_20_bytes_at_most) {
    uint8_t p[700] = {0xc0, 0, 0, 0, 1, 21};
    vt__qpkt_head h;
    CHECK_EQ(vt__qpkt_head_get(&h, p, sizeof p, 0), VT__QPKT_E_HEAD);
    p[5] = 20, p[5 + 21] = 21;
    CHECK_EQ(vt__qpkt_head_get(&h, p, sizeof p, 0), VT__QPKT_E_HEAD);
    p[1] = 0x0a, p[5] = 255, p[5 + 256] = 200; /* other versions have longer ones */
    REQUIRE(vt__qpkt_head_get(&h, p, sizeof p, 0) == 1);
    CHECK(h.type == VT__QPKT_T_UNKNOWN && h.dcid_len == 255 && h.scid_len == 200 && h.len == sizeof p);
    for (size_t n = 0; n < 5 + 256 + 201; n++) {
        uint8_t *cut = memcpy(guarded(n), p, n);
        CHECK_EQ(vt__qpkt_head_get(&h, cut, n, 0), VT__QPKT_E_HEAD);
    }
}
TEST(fixed_bit_and_reserved_bits) {
    uint8_t p[40] = {0};
    vt__qpkt_head h;
    CHECK(vt__qpkt_head_get(&h, p, sizeof p, 8) == 1 && !h.fixed);
    p[0] = VT__QPKT_FIXED;
    CHECK(vt__qpkt_head_get(&h, p, sizeof p, 8) == 1 && h.fixed);
    for (unsigned first = 0; first < 256; first++) {
        bool want = first & 0x80 ? first & 0x0c : first & 0x18;
        CHECK_EQ(vt__qpkt_reserved((uint8_t)first), want);
    }
}
TEST(b25_negotiation) {
    uint8_t *p = guarded(100);
    uint8_t in[1200] = {0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 2, 'd', 'd', 3, 's', 's', 's'};
    static const uint32_t versions[] = {VT__QPKT_V2, VT__QPKT_V1};
    vt__qpkt_head h, answer;
    REQUIRE(vt__qpkt_head_get(&h, in, sizeof in, 0) == 1);
    CHECK(h.type == VT__QPKT_T_UNKNOWN && h.version == 0x1a2a3a4a);
    uint8_t *end = vt__qpkt_put_negotiation(p, p + 100, &h, versions, 2, 0x12345678);
    size_t n = (size_t)(end - p);
    uint8_t *q = memmove(guarded(n), p, n);
    REQUIRE(vt__qpkt_head_get(&answer, q, n, 0) == 1);
    CHECK(answer.type == VT__QPKT_T_NEGOTIATION && answer.version == 0 && answer.fixed && answer.len == n);
    CHECK_MEM(answer.dcid, answer.dcid_len, "sss", 3);
    CHECK_MEM(answer.scid, answer.scid_len, "dd", 2);
    CHECK_EQ(answer.token_len, 12);
    CHECK_EQ(vt__str_get32(answer.token) & 0x0f0f0f0f, 0x0a0a0a0a); /* one that nobody has */
    CHECK_EQ(vt__str_get32(answer.token + 4), VT__QPKT_V2);
    CHECK_EQ(vt__str_get32(answer.token + 8), VT__QPKT_V1);
    for (size_t cut = 1; cut <= 12; cut++) /* not a whole number of versions, or none */
        CHECK_EQ(vt__qpkt_head_get(&answer, q, n - cut, 0), cut == 4 || cut == 8 ? 1 : VT__QPKT_E_HEAD);
}

/* ---- frames ---- */
static const char token[] = "0123456789abcdef";
/* One of each, by its bytes; `open`: it goes on to the end of the packet, so it is a frame wherever it is cut behind `head`. */
static const struct sample {
    const char *hex;
    int head; /* bytes before which a cut is an error; -1: everywhere */
    unsigned kind;
} samples[] = {{"00000000000000000000000000", 1, VT__QPKT_F_PADDING},
               {"01", -1, VT__QPKT_F_PING},
               {"02"
                "44d2"
                "05"
                "02"
                "0a"
                "03"
                "04"
                "4100"
                "00",
                -1, VT__QPKT_F_ACK},
               {"03"
                "8000ffff"
                "7fff"
                "00"
                "00"
                "01"
                "4002"
                "80000003",
                -1, VT__QPKT_F_ACK_ECN},
               {"04"
                "44d2"
                "4101"
                "80010000",
                -1, VT__QPKT_F_RESET_STREAM},
               {"05"
                "08"
                "4102",
                -1, VT__QPKT_F_STOP_SENDING},
               {"06"
                "4400"
                "05"
                "68656c6c6f",
                -1, VT__QPKT_F_CRYPTO},
               {"07"
                "03"
                "616263",
                -1, VT__QPKT_F_NEW_TOKEN},
               {"08"
                "04"
                "616263",
                2, VT__QPKT_F_STREAM},
               {"09"
                "04"
                "616263",
                2, VT__QPKT_F_STREAM},
               {"0a"
                "04"
                "03"
                "616263",
                -1, VT__QPKT_F_STREAM},
               {"0b"
                "04"
                "03"
                "616263",
                -1, VT__QPKT_F_STREAM},
               {"0c"
                "04"
                "4400"
                "616263",
                4, VT__QPKT_F_STREAM},
               {"0d"
                "04"
                "c000000100000000"
                "616263",
                10, VT__QPKT_F_STREAM},
               {"0e"
                "04"
                "4400"
                "03"
                "616263",
                -1, VT__QPKT_F_STREAM},
               {"0f"
                "04"
                "4400"
                "00",
                -1, VT__QPKT_F_STREAM},
               {"10"
                "c000000100000000",
                -1, VT__QPKT_F_MAX_DATA},
               {"11"
                "04"
                "80010000",
                -1, VT__QPKT_F_MAX_STREAM_DATA},
               {"12"
                "d000000000000000",
                -1, VT__QPKT_F_MAX_STREAMS},
               {"13"
                "40c8",
                -1, VT__QPKT_F_MAX_STREAMS_UNI},
               {"14"
                "4400",
                -1, VT__QPKT_F_DATA_BLOCKED},
               {"15"
                "04"
                "4400",
                -1, VT__QPKT_F_STREAM_DATA_BLOCKED},
               {"16"
                "d000000000000000",
                -1, VT__QPKT_F_STREAMS_BLOCKED},
               {"17"
                "00",
                -1, VT__QPKT_F_STREAMS_BLOCKED_UNI},
               {"18"
                "07"
                "02"
                "04"
                "01020304"
                "000102030405060708090a0b0c0d0e0f",
                -1, VT__QPKT_F_NEW_CID},
               {"19"
                "07",
                -1, VT__QPKT_F_RETIRE_CID},
               {"1a"
                "0102030405060708",
                -1, VT__QPKT_F_PATH_CHALLENGE},
               {"1b"
                "0102030405060708",
                -1, VT__QPKT_F_PATH_RESPONSE},
               {"1c"
                "4178"
                "06"
                "03"
                "627965",
                -1, VT__QPKT_F_CLOSE},
               {"1d"
                "4102"
                "03"
                "627965",
                -1, VT__QPKT_F_CLOSE_APP},
               {"1e", -1, VT__QPKT_F_HANDSHAKE_DONE},
               {"30"
                "616263",
                1, VT__QPKT_F_DATAGRAM},
               {"31"
                "03"
                "616263",
                -1, VT__QPKT_F_DATAGRAM}};

TEST(frames_read_at_every_cut) {
    for (size_t i = 0; i < VT__COUNT(samples); i++) {
        uint8_t whole[64];
        size_t n = from_hex(whole, samples[i].hex);
        for (size_t cut = 1; cut <= n; cut++) {
            uint8_t *p = memcpy(guarded(cut), whole, cut);
            const uint8_t *at = p;
            vt__qpkt_frame f;
            bool good = cut == n || (samples[i].head >= 0 && cut >= (size_t)samples[i].head);
            CHECK_EQ(vt__qpkt_frame_get(&f, &at, p + cut), good ? 1 : VT__QPKT_E_FRAME);
            CHECK(at == (good ? p + cut : p) && f.type == whole[0]);
            if (good) CHECK_EQ(f.kind, samples[i].kind);
            if (good) CHECK_EQ(vt__qpkt_frame_get(&f, &at, p + cut), 0);
        }
    }
}
TEST(frames_written_into_every_room) {
    for (size_t i = 0; i < VT__COUNT(samples); i++) {
        uint8_t whole[64], again[64];
        const uint8_t *at = whole;
        size_t n = from_hex(whole, samples[i].hex);
        vt__qpkt_frame f, g;
        REQUIRE(vt__qpkt_frame_get(&f, &at, whole + n) == 1);
        uint8_t *end = frame_put(again, again + sizeof again, &f);
        REQUIRE(end != NULL);
        at = again;
        CHECK(vt__qpkt_frame_get(&g, &at, end) == 1 && at == end);
        CHECK(frame_same(&f, &g));
        size_t size = (size_t)(end - again);
        for (size_t room = 0; room <= size; room++) {
            uint8_t *p = guarded(room), *to = frame_put(p, p + room, &f);
            if (room == size) CHECK(to && to == p + room && memcmp(p, again, room) == 0);
            else if (f.kind == VT__QPKT_F_CLOSE || f.kind == VT__QPKT_F_CLOSE_APP)
                CHECK(!to || to == p + room);
            else if (f.kind == VT__QPKT_F_ACK) CHECK(!to || to <= p + room);
            else CHECK(!to);
        }
    }
}
TEST(what_frames_say) {
    uint8_t p[64];
    const uint8_t *at = p;
    vt__qpkt_frame f;
    size_t n = from_hex(p, samples[2].hex);
    CHECK_EQ(vt__qpkt_frame_get(&f, &at, p + n), 1);
    CHECK(f.ack.largest == 1234 && f.ack.delay == 5 && f.ack.first == 1224);
    vt__qpkt_range r;
    CHECK(vt__qpkt_ack_next(&f, &r) && r.hi == 1219 && r.lo == 1215);
    CHECK(vt__qpkt_ack_next(&f, &r) && r.hi == 957 && r.lo == 957);
    CHECK(!vt__qpkt_ack_next(&f, &r));
    at = p, n = from_hex(p, samples[3].hex);
    CHECK_EQ(vt__qpkt_frame_get(&f, &at, p + n), 1);
    CHECK(f.ack.ecn[0] == 1 && f.ack.ecn[1] == 2 && f.ack.ecn[2] == 3 && f.ack.first == 0xffff);
    at = p, n = from_hex(p, samples[4].hex);
    CHECK_EQ(vt__qpkt_frame_get(&f, &at, p + n), 1);
    CHECK(f.reset.id == 1234 && f.reset.code == 257 && f.reset.size == 65536);
    at = p, n = from_hex(p, samples[13].hex);
    CHECK_EQ(vt__qpkt_frame_get(&f, &at, p + n), 1);
    CHECK(f.fin && f.stream.id == 4 && f.stream.offset == UINT64_C(1) << 32 && f.type == 13);
    CHECK_MEM(f.stream.data, f.stream.len, "abc", 3);
    at = p, n = from_hex(p, samples[24].hex);
    CHECK_EQ(vt__qpkt_frame_get(&f, &at, p + n), 1);
    CHECK(f.cid.seq == 7 && f.cid.retire == 2 && f.cid.token[15] == 15);
    CHECK_MEM(f.cid.id, f.cid.len, "\1\2\3\4", 4);
    at = p, n = from_hex(p, samples[28].hex);
    CHECK_EQ(vt__qpkt_frame_get(&f, &at, p + n), 1);
    CHECK(f.close.code == 0x178 && f.close.frame == 6);
    CHECK_MEM(f.close.reason, f.close.len, "bye", 3);
}
static int get_hex(const char *hex, vt__qpkt_frame *f) {
    size_t n;
    uint8_t *p = hex_guarded(hex, &n);
    const uint8_t *at = p;
    return vt__qpkt_frame_get(f, &at, p + n);
}
TEST(frames_of_bad_values) {
    static const struct {
        const char *hex;
        int rc;
    } rows[] = {{"07"
                 "00",
                 VT__QPKT_E_FRAME}, /* NEW_TOKEN without one */
                {"0c"
                 "04"
                 "ffffffffffffffff"
                 "61",
                 VT__QPKT_E_FRAME}, /* the stream ends above 2^62 - 1 */
                {"0c"
                 "04"
                 "ffffffffffffffff",
                 1},
                {"06"
                 "ffffffffffffffff"
                 "01"
                 "61",
                 VT__QPKT_E_FRAME},
                {"06"
                 "fffffffffffffffe"
                 "01"
                 "61",
                 1},
                {"12"
                 "d000000000000001",
                 VT__QPKT_E_FRAME}, /* over 2^60 streams */
                {"13"
                 "d000000000000001",
                 VT__QPKT_E_FRAME},
                {"16"
                 "d000000000000001",
                 VT__QPKT_E_FRAME},
                {"17"
                 "d000000000000001",
                 VT__QPKT_E_FRAME},
                {"10"
                 "d000000000000001",
                 1},
                {"14"
                 "d000000000000001",
                 1},
                {"18"
                 "02"
                 "03"
                 "01"
                 "aa"
                 "000102030405060708090a0b0c0d0e0f",
                 VT__QPKT_E_FRAME}, /* retires itself */
                {"18"
                 "02"
                 "02"
                 "01"
                 "aa"
                 "000102030405060708090a0b0c0d0e0f",
                 1},
                {"18"
                 "02"
                 "01"
                 "00"
                 "000102030405060708090a0b0c0d0e0f",
                 VT__QPKT_E_FRAME}, /* an ID of no bytes */
                {"18"
                 "02"
                 "01"
                 "15"
                 "000102030405060708090a0b0c0d0e0f1011121314"
                 "000102030405060708090a0b0c0d0e0f",
                 VT__QPKT_E_FRAME}, /* of 21 */
                {"18"
                 "02"
                 "01"
                 "14"
                 "000102030405060708090a0b0c0d0e0f10111213"
                 "000102030405060708090a0b0c0d0e0f",
                 1},
                {"0a"
                 "04"
                 "04"
                 "616263",
                 VT__QPKT_E_FRAME}, /* more data than there are */
                {"0a"
                 "04"
                 "ffffffffffffffff"
                 "616263",
                 VT__QPKT_E_FRAME},
                {"31"
                 "04"
                 "616263",
                 VT__QPKT_E_FRAME},
                {"1c"
                 "00"
                 "00"
                 "7fff"
                 "61",
                 VT__QPKT_E_FRAME}};
    vt__qpkt_frame f;
    for (size_t i = 0; i < VT__COUNT(rows); i++) CHECK_EQ(get_hex(rows[i].hex, &f), rows[i].rc);
}
TEST(b12_ack_ranges) {
    vt__qpkt_frame f;
    CHECK_EQ(get_hex("02"
                     "05"
                     "00"
                     "00"
                     "05",
                     &f),
             1);
    CHECK_EQ(get_hex("02"
                     "05"
                     "00"
                     "00"
                     "06",
                     &f),
             VT__QPKT_E_FRAME); /* the first range, below 0 */
    CHECK_EQ(get_hex("02"
                     "05"
                     "00"
                     "01"
                     "02"
                     "01"
                     "00",
                     &f),
             1); /* 5-3, 0 */
    CHECK_EQ(get_hex("02"
                     "05"
                     "00"
                     "01"
                     "02"
                     "02"
                     "00",
                     &f),
             VT__QPKT_E_FRAME); /* a gap, below 0 */
    CHECK_EQ(get_hex("02"
                     "05"
                     "00"
                     "01"
                     "02"
                     "01"
                     "01",
                     &f),
             VT__QPKT_E_FRAME); /* a range */
    CHECK_EQ(get_hex("02"
                     "05"
                     "00"
                     "01"
                     "02"
                     "ffffffffffffffff"
                     "00",
                     &f),
             VT__QPKT_E_FRAME);
    CHECK_EQ(get_hex("02"
                     "05"
                     "00"
                     "ffffffffffffffff"
                     "00"
                     "00"
                     "00",
                     &f),
             VT__QPKT_E_FRAME); /* 2^62 ranges */
    /* as many as a datagram may hold: they are read, and twice at that */
    enum { MANY = 30000 };
    uint8_t *p = guarded(4 + 4 + 1 + 4 + 1 + 2 * MANY), *at = p;
    *at++ = VT__QPKT_F_ACK;
    at = vt__qpkt_put_bytes(at, 0x80000000 | 2 * MANY, 4);
    at = vt__qpkt_put_bytes(at, 0, 1);
    at = vt__qpkt_put_bytes(at, 0x80000000 | MANY, 4);
    memset(at, 0, 1 + 2 * MANY);
    const uint8_t *from = p;
    REQUIRE(vt__qpkt_frame_get(&f, &from, at + 1 + 2 * MANY) == 1);
    vt__qpkt_range r = {1, 1};
    int n = 0;
    while (vt__qpkt_ack_next(&f, &r)) n++;
    CHECK(n == MANY && r.lo == 0 && r.hi == 0);
}
TEST(b37_unknown_types) {
    vt__qpkt_frame f;
    char hex[3];
    static const unsigned known = 0x1f, datagram = 0x30;
    for (unsigned type = 0; type < 64; type++) {
        if (type < known || type == datagram || type == datagram + 1) continue;
        snprintf(hex, sizeof hex, "%02x", type);
        CHECK_EQ(get_hex(hex, &f), VT__QPKT_E_TYPE);
        CHECK_EQ(f.type, type);
    }
    CHECK_EQ(get_hex("40ff", &f), VT__QPKT_E_TYPE);
    CHECK_EQ(f.type, 0xff);
    CHECK_EQ(get_hex("c0000001ffffffff", &f), VT__QPKT_E_TYPE);
    CHECK_EQ(get_hex("4001", &f), VT__QPKT_E_LONG_TYPE); /* a PING that takes two bytes */
    CHECK_EQ(f.type, 1);
    CHECK_EQ(get_hex("80000021", &f), VT__QPKT_E_LONG_TYPE);
    CHECK_EQ(get_hex("40", &f), VT__QPKT_E_FRAME);
    CHECK_EQ(vt__qpkt_err_of(VT__QPKT_E_TYPE)->code, VT__QPKT_FRAME_ENCODING_ERROR);
    CHECK_EQ(vt__qpkt_err_of(VT__QPKT_E_LONG_TYPE)->code, VT__QPKT_PROTOCOL_VIOLATION);
}
TEST(b41_padding_alone) {
    vt__qpkt_frame f;
    for (size_t n = 1; n < 40; n++) {
        uint8_t *p = memset(guarded(n), 0, n);
        const uint8_t *at = p;
        CHECK(vt__qpkt_frame_get(&f, &at, p + n) == 1 && f.kind == VT__QPKT_F_PADDING && at == p + n);
        for (size_t i = 0; i < n && i < 20; i++) { /* as far as another frame */
            memset(p, 0, n), p[i] = 1, at = p;
            if (i)
                CHECK(vt__qpkt_frame_get(&f, &at, p + n) == 1 && f.kind == VT__QPKT_F_PADDING && at == p + i);
            CHECK(vt__qpkt_frame_get(&f, &at, p + n) == 1 && f.kind == VT__QPKT_F_PING);
        }
    }
    CHECK_EQ(vt__qpkt_err_of(VT__QPKT_E_EMPTY)->code, VT__QPKT_PROTOCOL_VIOLATION);
}
TEST(where_frames_may_be) { /* RFC 9000 12.4, table 3, and 12.5 */
    static const struct {
        uint8_t from, to;
        const char *in;  /* Initial, Handshake, 0-RTT, 1-RTT */
        const char *how; /* N: elicits no acknowledgement, P: probes; S: servers only */
    } rows[] = {{0, 0, "IH01", "NP"},  {1, 1, "IH01", ""},    {2, 3, "IH_1", "N"},     {4, 5, "__01", ""},
                {6, 6, "IH_1", ""},    {7, 7, "___1", "S"},   {8, 23, "__01", ""},     {24, 24, "__01", "P"},
                {25, 25, "___1", ""},  {26, 26, "__01", "P"}, {27, 27, "___1", "P"},   {28, 28, "IH01", "N"},
                {29, 29, "__01", "N"}, {30, 30, "___1", "S"}, {0x30, 0x31, "__01", ""}};
    static const enum vt__qpkt_type types[] = {VT__QPKT_T_INITIAL, VT__QPKT_T_HANDSHAKE, VT__QPKT_T_EARLY,
                                               VT__QPKT_T_SHORT};
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        for (unsigned kind = rows[i].from; kind <= rows[i].to; kind++) {
            vt__qpkt_frame f = {.type = kind, .kind = (uint8_t)kind};
            for (size_t t = 0; t < 4; t++) {
                int want = rows[i].in[t] == '_' ? VT__QPKT_E_PLACE : 0;
                CHECK_EQ(vt__qpkt_frame_check(&f, types[t], true), want);
                CHECK_EQ(vt__qpkt_frame_check(&f, types[t], false),
                         strchr(rows[i].how, 'S') ? VT__QPKT_E_PLACE : want);
            }
            CHECK_EQ(vt__qpkt_frame_elicits(kind), !strchr(rows[i].how, 'N'));
            CHECK_EQ(vt__qpkt_frame_probes(kind), strchr(rows[i].how, 'P') != NULL);
        }
    }
    CHECK_EQ(vt__qpkt_err_of(VT__QPKT_E_PLACE)->code, VT__QPKT_PROTOCOL_VIOLATION);
}
TEST(acks_of_as_many_ranges_as_fit) {
    vt__qpkt_range ranges[100];
    for (size_t i = 0; i < 100; i++) ranges[i] = (vt__qpkt_range){100 * i, 100 * i + (i % 3 ? 10 : 99 - 2)};
    static const uint64_t ecn[3] = {70, 0, 5};
    size_t before = 0;
    for (size_t room = 0; room < 400; room++) {
        uint8_t *p = guarded(room), *end = vt__qpkt_put_ack(p, p + room, ranges, 100, 3, ecn);
        const uint8_t *at = p;
        vt__qpkt_frame f;
        vt__qpkt_range r;
        if (room < 1 + 2 + 1 + 2 + 2 + 2 + 1 + 1) CHECK(!end);
        if (!end) continue;
        REQUIRE(vt__qpkt_frame_get(&f, &at, end) == 1);
        CHECK(at == end && f.ack.largest == ranges[99].hi && f.ack.first == ranges[99].lo &&
              f.ack.ecn[2] == 5);
        size_t n = 1;
        for (; vt__qpkt_ack_next(&f, &r); n++) CHECK(r.lo == ranges[99 - n].lo && r.hi == ranges[99 - n].hi);
        CHECK(n >= before && n <= 100);
        if (n < 100) CHECK(p + room - end < 4); /* the next would not have */
        before = n;
    }
    CHECK_EQ(before, 100);
}
TEST(rooms_for_data) { /* all of it is used, or all but a byte that no length can use */
    static const uint64_t ids[] = {0, 100}, offsets[] = {0, 1, 100, 70000, UINT64_C(1) << 40};
    static uint8_t buf[20000];
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < VT__COUNT(offsets); k++) {
            for (size_t room = 0; room<16500; room += room> 200 && room < 16300 ? 97 : 1) {
                size_t n = vt__qpkt_stream_room(room, ids[i], offsets[k]),
                       c = vt__qpkt_crypto_room(room, offsets[k]);
                uint8_t *p = vt__qpkt_put_stream(buf, buf + room, ids[i], offsets[k], n, false);
                size_t head = vt__qpkt_stream_head(ids[i], offsets[k]);
                CHECK(n == 0 || p != NULL);
                CHECK(!vt__qpkt_put_stream(buf, buf + room, ids[i], offsets[k], n + 1, false));
                if (room > head) CHECK(p != NULL && (size_t)(buf + room - p) - n <= 2);
                p = vt__qpkt_put_crypto(buf, buf + room, offsets[k], c);
                CHECK(c == 0 || p != NULL);
                CHECK(!vt__qpkt_put_crypto(buf, buf + room, offsets[k], c + 1));
            }
        }
    }
    CHECK(!vt__qpkt_put_stream(buf, buf + 100, 0, 0, SIZE_MAX, false)); /* no sum that goes round */
}
TEST(reasons_are_cut_to_fit) {
    vt_str reason = {"because of this and that", 24};
    vt__qpkt_frame f;
    for (size_t room = 0; room < 40; room++) {
        uint8_t *p = guarded(room), *end = vt__qpkt_put_close(p, p + room, false, 10, 6, reason);
        const uint8_t *at = p;
        CHECK((end != NULL) == (room >= 4));
        if (!end) continue;
        CHECK(vt__qpkt_frame_get(&f, &at, end) == 1 && at == end && f.close.code == 10 && f.close.frame == 6);
        CHECK_MEM(f.close.reason, f.close.len, reason.ptr, VT__MIN(room - 4, 24));
    }
}

/* ---- transport parameters ---- */
static vt__qpkt_params everything(bool server) {
    vt__qpkt_params tp;
    vt__qpkt_params_init(&tp);
    tp.idle_ms = 30000, tp.max_udp = 1472, tp.max_data = 1 << 20, tp.max_bidi_local = 70000,
    tp.max_bidi_remote = 80000;
    tp.max_uni = 90000, tp.streams_bidi = 100, tp.streams_uni = 3, tp.ack_exponent = 8,
    tp.max_ack_delay_ms = 20;
    tp.active_cids = 4, tp.max_datagram = 65535, tp.no_migration = tp.grease_bit = true;
    tp.initial_scid = *CID(1, 2, 3, 4);
    tp.chosen = VT__QPKT_V1, tp.nversions = 2, tp.versions[0] = VT__QPKT_V2, tp.versions[1] = VT__QPKT_V1;
    tp.have = VT__QPKT_HAS(INITIAL_SCID) | VT__QPKT_HAS(VERSIONS);
    if (!server) return tp;
    tp.original_dcid = *CID(9, 8, 7, 6, 5, 4, 3, 2), tp.retry_scid = *CID(5);
    memcpy(tp.reset_token, token, 16), memcpy(tp.preferred.token, token, 16);
    memcpy(tp.preferred.ip4, "\177\0\0\2", 4), memcpy(tp.preferred.ip6, token, 16);
    tp.preferred.port4 = 4433, tp.preferred.port6 = 443, tp.preferred.cid = *CID(7, 7);
    tp.have |= VT__QPKT_HAS(ORIGINAL_DCID) | VT__QPKT_HAS(RETRY_SCID) | VT__QPKT_HAS(RESET_TOKEN) |
               VT__QPKT_HAS(PREFERRED);
    return tp;
}
static void check_params_come_back(bool server) {
    vt__qpkt_params tp = everything(server), got;
    uint8_t whole[400];
    uint8_t *end = vt__qpkt_params_put(whole, whole + sizeof whole, &tp, 0x12345603);
    REQUIRE(end != NULL);
    size_t n = (size_t)(end - whole);
    CHECK_EQ(vt__qpkt_params_get(&got, memcpy(guarded(n), whole, n), n, server), 0);
    CHECK((got.have & tp.have) == tp.have);
    got.have = tp.have;
    CHECK_MEM(&got, sizeof got, &tp, sizeof tp);
    for (size_t room = 0; room < n; room++) {
        uint8_t *p = guarded(room);
        CHECK(!vt__qpkt_params_put(p, p + room, &tp, 0x12345603));
        int rc = vt__qpkt_params_get(&got, memcpy(p, whole, room), room,
                                     server); /* a whole number of them, or an error */
        CHECK(rc == 0 || rc == VT__QPKT_E_PARAM || rc == VT__QPKT_E_PARAM_MISSING);
    }
}
TEST(params_come_back) {
    check_params_come_back(true);
    check_params_come_back(false);
}
TEST(params_default) {
    uint8_t p[100];
    vt__qpkt_params tp, got;
    vt__qpkt_params_init(&tp);
    CHECK(tp.max_udp == 65527 && tp.ack_exponent == 3 && tp.max_ack_delay_ms == 25 && tp.active_cids == 2);
    CHECK(tp.idle_ms == 0 && tp.max_data == 0 && tp.streams_bidi == 0 && tp.max_datagram == 0 &&
          !tp.no_migration);
    tp.have = VT__QPKT_HAS(INITIAL_SCID);
    uint8_t *end = vt__qpkt_params_put(p, p + 100, &tp, 0);
    CHECK_HEX(p, end - p,
              "0f00"
              "1b00");
    CHECK_EQ(vt__qpkt_params_get(&got, p, (size_t)(end - p), false), 0);
    CHECK(got.active_cids == 2 && got.have == VT__QPKT_HAS(INITIAL_SCID));
}
/* Of those that nobody knows the numbers are reserved ones (RFC 9000 18.1), of 16 bits: nginx cuts off more. */
TEST(params_that_nobody_knows) {
    vt__qpkt_params tp;
    vt__qpkt_params_init(&tp);
    for (uint32_t i = 0, grease = 0; i < 100000; i++, grease += 2654435761) {
        uint8_t p[20];
        uint64_t id = 0, len = 0;
        const uint8_t *at = p, *end = vt__qpkt_params_put(p, p + sizeof p, &tp, grease);
        REQUIRE(end && vt__qpkt_get_int(&at, end, &id) && vt__qpkt_get_int(&at, end, &len));
        REQUIRE(id < 65536 && id % 31 == 27 && len == (grease & 3) && end == at + len);
    }
}
static int params_hex(const char *hex, bool from_server) {
    vt__qpkt_params tp;
    size_t n;
    uint8_t *p = hex_guarded(hex, &n);
    return vt__qpkt_params_get(&tp, p, n, from_server);
}
#define PREFERRED(len)                                                                                       \
    "0d" len "7f000001"                                                                                      \
    "1151"                                                                                                   \
    "000102030405060708090a0b0c0d0e0f"                                                                       \
    "01bb"
#define TOKEN "000102030405060708090a0b0c0d0e0f"
TEST(b36_bad_params) {
    static const struct {
        const char *hex;
        int client, server; /* the sender */
    } rows[] = {{"0f0101", 0, VT__QPKT_E_PARAM_MISSING},
                {"0f0101"
                 "0000",
                 VT__QPKT_E_PARAM_ROLE, 0},
                {"", VT__QPKT_E_PARAM_MISSING, VT__QPKT_E_PARAM_MISSING},
                {"000101", VT__QPKT_E_PARAM_ROLE, VT__QPKT_E_PARAM_MISSING},
                {"0f0101"
                 "000101"
                 "0210" TOKEN,
                 VT__QPKT_E_PARAM_ROLE, 0},
                {"0f0101"
                 "0210" TOKEN "000101",
                 VT__QPKT_E_PARAM_ROLE, 0},
                {"0f0101"
                 "100101"
                 "000101",
                 VT__QPKT_E_PARAM_ROLE, 0},
                {"0f0101" PREFERRED("2a") "01"
                                          "aa" TOKEN "000101",
                 VT__QPKT_E_PARAM_ROLE, 0},
                {"0f0101"
                 "000101" PREFERRED("29") "00" TOKEN,
                 VT__QPKT_E_PARAM_ROLE, VT__QPKT_E_PARAM}, /* no ID */
                {"0f0101"
                 "000101" PREFERRED("2b") "01"
                                          "aa" TOKEN "00",
                 VT__QPKT_E_PARAM_ROLE, VT__QPKT_E_PARAM},
                {"0f0101"
                 "000101" PREFERRED("2a") "02"
                                          "aa" TOKEN,
                 VT__QPKT_E_PARAM_ROLE, VT__QPKT_E_PARAM},
                {"0f0101"
                 "000101" PREFERRED("28") "00"
                                          "0001020304050607"
                                          "08090a0b0c0d0e",
                 VT__QPKT_E_PARAM_ROLE, VT__QPKT_E_PARAM},
                {"0f00"
                 "000101" PREFERRED("2a") "01"
                                          "aa" TOKEN,
                 VT__QPKT_E_PARAM_ROLE, VT__QPKT_E_PARAM}, /* of whom has none */
                {"000101"
                 "0f0101"
                 "020f"
                 "000102030405060708090a0b0c0d0e",
                 VT__QPKT_E_PARAM_ROLE, VT__QPKT_E_PARAM},
                {"000101"
                 "0f15"
                 "000102030405060708090a0b0c0d0e0f1011121314",
                 VT__QPKT_E_PARAM_ROLE, VT__QPKT_E_PARAM},
                {"000101"
                 "0f0101"
                 "0f0101",
                 VT__QPKT_E_PARAM_ROLE, VT__QPKT_E_PARAM_TWICE}};
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        CHECK_EQ(params_hex(rows[i].hex, false), rows[i].client);
        CHECK_EQ(params_hex(rows[i].hex, true), rows[i].server);
    }
}
TEST(b36_params_out_of_range) {
    static const struct {
        const char *hex;
        int rc;
    } rows[] = {{"0302"
                 "44af",
                 VT__QPKT_E_PARAM}, /* max_udp_payload_size 1199 */
                {"0302"
                 "44b0",
                 0},
                {"0308"
                 "ffffffffffffffff",
                 0},
                {"0a01"
                 "14",
                 0},
                {"0a01"
                 "15",
                 VT__QPKT_E_PARAM}, /* ack_delay_exponent 21 */
                {"0b02"
                 "7fff",
                 0},
                {"0b04"
                 "80004000",
                 VT__QPKT_E_PARAM}, /* max_ack_delay 2^14 */
                {"0808"
                 "d000000000000000",
                 0},
                {"0808"
                 "d000000000000001",
                 VT__QPKT_E_PARAM}, /* over 2^60 streams */
                {"0908"
                 "d000000000000001",
                 VT__QPKT_E_PARAM},
                {"0e01"
                 "01",
                 VT__QPKT_E_PARAM}, /* active_connection_id_limit 1 */
                {"0e01"
                 "02",
                 0},
                {"0402"
                 "4001",
                 0}, /* longer than need be */
                {"0402"
                 "01"
                 "00",
                 VT__QPKT_E_PARAM}, /* more than the integer */
                {"0401"
                 "40",
                 VT__QPKT_E_PARAM},
                {"0400", VT__QPKT_E_PARAM},
                {"0c01"
                 "01",
                 VT__QPKT_E_PARAM},
                {"0c00", 0},
                {"6ab201"
                 "01",
                 VT__QPKT_E_PARAM}, /* grease_quic_bit */
                {"6ab200", 0},
                {"6ab200"
                 "6ab200",
                 VT__QPKT_E_PARAM_TWICE},
                {"2001"
                 "05"
                 "200105",
                 VT__QPKT_E_PARAM_TWICE},
                {"0401"
                 "05"
                 "0401"
                 "05",
                 VT__QPKT_E_PARAM_TWICE},
                {"04", VT__QPKT_E_PARAM},
                {"0408"
                 "05",
                 VT__QPKT_E_PARAM}, /* cut off */
                {"40", VT__QPKT_E_PARAM}};
    char hex[100];
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        snprintf(hex, sizeof hex, "0f0101%s", rows[i].hex);
        CHECK_EQ(params_hex(hex, false), rows[i].rc);
    }
    for (int err = VT__QPKT_E_PARAM_MISSING; err <= VT__QPKT_E_PARAM; err++)
        CHECK_EQ(vt__qpkt_err_of(err)->code, VT__QPKT_TRANSPORT_PARAMETER_ERROR);
}
TEST(b37_unknown_params) {
    CHECK_EQ(params_hex("0f0101"
                        "1b00"
                        "1b0101"
                        "7fff03616263"
                        "ffffffffffffffff00"
                        "1f00"
                        "2100"
                        "1f00",
                        false),
             0);
    CHECK_EQ(params_hex("0f0101"
                        "1b02"
                        "01",
                        false),
             VT__QPKT_E_PARAM);
}
TEST(b25_version_information) {
    static const struct {
        const char *hex;
        int client, server;
    } rows[] = {{"1104"
                 "00000001",
                 VT__QPKT_E_PARAM, 0}, /* a client's is not among its own */
                {"1108"
                 "00000001"
                 "00000001",
                 0, 0},
                {"110c"
                 "6b3343cf"
                 "00000001"
                 "6b3343cf",
                 0, 0},
                {"1108"
                 "00000001"
                 "6b3343cf",
                 VT__QPKT_E_PARAM, 0},
                {"1108"
                 "00000000"
                 "00000000",
                 VT__QPKT_E_PARAM, VT__QPKT_E_PARAM},
                {"110c"
                 "00000001"
                 "00000001"
                 "00000000",
                 VT__QPKT_E_PARAM, VT__QPKT_E_PARAM},
                {"1107"
                 "00000001"
                 "000000",
                 VT__QPKT_E_PARAM, VT__QPKT_E_PARAM},
                {"1100", VT__QPKT_E_PARAM, VT__QPKT_E_PARAM}};
    char hex[100];
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        snprintf(hex, sizeof hex, "0f0101%s", rows[i].hex);
        CHECK_EQ(params_hex(hex, false), rows[i].client);
        snprintf(hex, sizeof hex, "0f0101000101%s", rows[i].hex);
        CHECK_EQ(params_hex(hex, true), rows[i].server);
    }
    vt__qpkt_params tp;
    uint8_t p[200];
    size_t n = from_hex(p, "0f0101"
                           "111c"
                           "00000001"
                           "1a2a3a4a"
                           "6b3343cf"
                           "6b3343cf"
                           "00000001"
                           "00000001"
                           "00000001");
    CHECK_EQ(vt__qpkt_params_get(&tp, p, n, false), 0);
    CHECK(tp.chosen == VT__QPKT_V1 && tp.nversions == 4 &&
          tp.versions[0] == VT__QPKT_V2); /* as many as are kept */
}
