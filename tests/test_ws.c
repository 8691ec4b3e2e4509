/* The WebSocket codec: every frame at every split point, against an unmapped page; text and masks by every vector. */
/* valgrind */
#define VT__H1_EVERY 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "guard.h"

enum { ROOM = 1 << 18 };

static vt_str str(const char *s) { return (vt_str){s, strlen(s)}; }
static size_t pick(uint64_t *seed, size_t n) { return (size_t)(test_rand(seed) % n); }

/* ---- feeding ---- */
struct outcome {
    int rc;      /* 0, or what went wrong */
    size_t used; /* bytes, of whole frames and pieces of payload */
    uint64_t payload, sum;
    int messages, controls;
    vt__ws_in in;
};
static vt__ws_in fresh(bool masked) {
    return (vt__ws_in){.max_frame = UINT64_MAX, .max_message = UINT64_MAX, .masked = masked};
}
/* Gives the decoder `n` more bytes of what it has not used, on a copy of their exact size. */
static bool step(struct outcome *o, const uint8_t *bytes, size_t have, bool *inside) {
    size_t n = have - o->used;
    uint8_t *p = guarded(n);
    if (n) memcpy(p, bytes + o->used, n);
    if (!*inside) {
        int r = vt__ws_head(&o->in, p, n);
        if (n && memcmp(p, bytes + o->used, n) != 0) abort(); /* a head is not written to */
        if (r < 0) o->rc = r;
        if (r <= 0) return false;
        o->used += (size_t)r;
        *inside = true;
        return true;
    }
    size_t k = n < o->in.left ? n : (size_t)o->in.left;
    if (k == 0 && o->in.left) return false;
    o->rc = vt__ws_take(&o->in, p, k);
    if (n > k && memcmp(p + k, bytes + o->used + k, n - k) != 0) abort(); /* nor what is behind the payload */
    for (size_t i = 0; i < k; i++) o->sum = o->sum * 31 + p[i];
    o->used += k;
    o->payload += k;
    if (o->in.left == 0 && o->rc == 0) {
        *inside = false;
        if (o->in.op >= VT__WS_CONTROL) o->controls++;
        else if (!o->in.msg) o->messages++;
    }
    return o->rc == 0;
}
/* The prefixes of cuts[], then all of it. */
static struct outcome feed(vt__ws_in in, const uint8_t *bytes, size_t len, const size_t *cuts, size_t ncuts) {
    struct outcome o = {.in = in};
    bool inside = false;
    for (size_t i = 0; i <= ncuts && o.rc == 0; i++)
        while (step(&o, bytes, i < ncuts ? cuts[i] : len, &inside)) continue;
    return o;
}
static bool same(const struct outcome *a, const struct outcome *b) {
    return a->rc == b->rc && a->messages == b->messages && a->controls == b->controls &&
           (a->rc < 0 || (a->used == b->used && a->payload == b->payload && a->sum == b->sum));
}
/* The outcome, which is the same at every split point and byte by byte. */
static struct outcome settle(vt__ws_in in, const uint8_t *bytes, size_t len) {
    struct outcome whole = feed(in, bytes, len, NULL, 0);
    size_t each[600];
    for (size_t i = 0; i < len && len < 600; i++) {
        struct outcome o = feed(in, bytes, len, &i, 1);
        if (!same(&o, &whole)) test_fail(__FILE__, __LINE__, "another result at a split");
        each[i] = i;
    }
    if (len < 600) {
        struct outcome o = feed(in, bytes, len, each, len);
        if (!same(&o, &whole)) test_fail(__FILE__, __LINE__, "another result byte by byte");
    }
    return whole;
}

/* A frame by hand: first byte, length form (0: shortest, 2, 8), payload; with the mask when `key` is set. */
static size_t frame(uint8_t *to, unsigned first, int form, const void *p, size_t n, const char *key) {
    size_t at = 2;
    if (!form && n >= 126) form = n < 65536 ? 2 : 8;
    to[0] = (uint8_t)first;
    to[1] = (uint8_t)((form == 0 ? n : form == 2 ? 126 : 127) | (key ? 0x80 : 0));
    for (int i = form; i-- > 0;) to[at++] = (uint8_t)((uint64_t)n >> 8 * i);
    if (key) memcpy(to + at, key, 4), at += 4;
    for (size_t i = 0; i < n; i++) to[at++] = ((const uint8_t *)p)[i] ^ (uint8_t)(key ? key[i & 3] : 0);
    return at;
}
static int one(unsigned first, int form, size_t n) { /* of a masked frame full of 'a' */
    static uint8_t bytes[ROOM], body[ROOM];
    memset(body, 'a', n);
    return settle(fresh(true), bytes, frame(bytes, first, form, body, n, "\1\2\3\4")).rc;
}

/* ---- frames ---- */
TEST(lengths_in_their_shortest_form) {
    static const size_t sizes[] = {0, 1, 125, 126, 127, 255, 256, 65535, 65536, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i];
        CHECK_EQ(one(0x82, 0, n), 0);
        if (n < 65536) CHECK_EQ(one(0x82, 2, n), n >= 126 ? 0 : VT__WS_E_LENGTH);
        CHECK_EQ(one(0x82, 8, n), n >= 65536 ? 0 : VT__WS_E_LENGTH);
        uint8_t head[VT__WS_HEAD_MAX], want[ROOM];
        uint32_t key;
        memcpy(&key, "\1\2\3\4", 4);
        static uint8_t body[ROOM];
        size_t k = vt__ws_put_head(head, 0x82, n, &key);
        CHECK_MEM(head, k, want, frame(want, 0x82, 0, body, n, "\1\2\3\4") - n);
        k = vt__ws_put_head(head, 0x82, n, NULL);
        CHECK_MEM(head, k, want, frame(want, 0x82, 0, body, n, NULL) - n);
    }
}
TEST(length_of_64_bits_has_its_top_bit_clear) {
    uint8_t head[14] = {0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4};
    CHECK_EQ(settle(fresh(true), head, 14).rc, VT__WS_E_LENGTH);
    head[2] = 0x7f;
    memset(head + 3, 0xff, 7);
    struct outcome o = settle(fresh(true), head, 14);
    CHECK_EQ(o.rc, 0);
    CHECK_EQ(o.in.left, INT64_MAX);
}
TEST(masks_by_role) {
    uint8_t b[64];
    CHECK_EQ(settle(fresh(true), b, frame(b, 0x81, 0, "hello", 5, NULL)).rc, VT__WS_E_MASK);
    CHECK_EQ(settle(fresh(false), b, frame(b, 0x81, 0, "hello", 5, "\1\2\3\4")).rc, VT__WS_E_MASK);
    CHECK_EQ(settle(fresh(false), b, frame(b, 0x81, 0, "hello", 5, NULL)).messages, 1);
    CHECK_EQ(settle(fresh(true), b, frame(b, 0x81, 0, "hello", 5, "\0\0\0\0")).messages, 1);
    /* RFC 6455 5.7: a masked "Hello" */
    uint8_t rfc[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58};
    vt__ws_in in = fresh(true);
    CHECK_EQ(vt__ws_head(&in, rfc, sizeof rfc), 6);
    CHECK_EQ(vt__ws_take(&in, rfc + 6, 5), 0);
    CHECK_MEM(rfc + 6, 5, "Hello", 5);
}
TEST(reserved_bits_and_opcodes) {
    for (unsigned rsv = 0; rsv < 8; rsv++)
        for (unsigned op = 0; op < 16; op++)
            for (unsigned fin = 0; fin < 2; fin++)
                for (unsigned allowed = 0; allowed < 8; allowed++) {
                    uint8_t b[64];
                    vt__ws_in in = fresh(true);
                    in.rsv = (uint8_t)(allowed << 4);
                    bool known = op < 3 || (op >= 8 && op < 11), data = op == 1 || op == 2;
                    int want = 0;
                    if (rsv & ~(data ? allowed : 0)) want = VT__WS_E_RSV;
                    else if (!known) want = VT__WS_E_OPCODE;
                    else if (op >= 8 && !fin) want = VT__WS_E_CONTROL_SPLIT;
                    else if (op == 0) want = VT__WS_E_CONTINUES;
                    size_t n = frame(b, fin << 7 | rsv << 4 | op, 0, "abc", 3, "wxyz");
                    struct outcome o = feed(in, b, n, NULL, 0);
                    CHECK_EQ(o.rc, want);
                    if (want == 0 && data && !fin) CHECK_EQ(o.in.msg_rsv, rsv << 4);
                }
}
TEST(b128_a_message_has_the_reserved_bits_of_its_first_frame) {
    uint8_t b[64];
    for (unsigned rsv = 0; rsv < 2; rsv++) { /* with one set the payload is an extension's, and no text yet */
        vt__ws_in in = fresh(true);
        in.rsv = 0x40;
        size_t n = frame(b, 0x01 | rsv << 6, 0, "\xff", 1, "wxyz"), first = n;
        n += frame(b + n, 0x89, 0, "p", 1, "wxyz");
        n += frame(b + n, 0x80, 0, "\xfe", 1, "wxyz");
        struct outcome o = settle(in, b, n), at = feed(in, b, n, &first, 1);
        CHECK_EQ(o.rc, rsv ? 0 : VT__WS_E_UTF8);
        CHECK_EQ(o.messages, rsv);
        CHECK_EQ(at.in.msg_rsv, rsv << 6);
        n = frame(b, 0x81, 0, "\xff", 1, "wxyz"); /* and not those of the message before */
        at.in.msg = 0;
        CHECK_EQ(feed(at.in, b, n, NULL, 0).rc, VT__WS_E_UTF8);
    }
}
TEST(control_frames_have_125_bytes_and_are_whole) {
    CHECK_EQ(one(0x89, 0, 125), 0);
    CHECK_EQ(one(0x8a, 0, 126), VT__WS_E_CONTROL_LONG);
    CHECK_EQ(one(0x88, 8, 0), VT__WS_E_CONTROL_LONG);
    CHECK_EQ(one(0x09, 0, 3), VT__WS_E_CONTROL_SPLIT);
}

/* ---- messages ---- */
/* first bytes and texts in turn, ended by 0, NULL */
static struct outcome conversation(bool masked, const unsigned *first, const char *const *text) {
    uint8_t b[600];
    size_t n = 0;
    for (int i = 0; text[i]; i++)
        n += frame(b + n, first[i], 0, text[i], strlen(text[i]), masked ? "k\xf0y\x81" : NULL);
    return settle(fresh(masked), b, n);
}
TEST(fragments_with_control_frames_between) {
    static const unsigned first[] = {0x01, 0x89, 0x00, 0x8a, 0x00, 0x80, 0x82, 0x01, 0x80};
    static const char *const text[] = {"Hel\xc3", "ping", "\xa9", "",       "lo ",
                                       "world",   "\xff", "two",  " parts", NULL};
    for (int masked = 0; masked < 2; masked++) {
        struct outcome o = conversation(masked, first, text);
        CHECK_EQ(o.rc, 0);
        CHECK_EQ(o.messages, 3);
        CHECK_EQ(o.controls, 2);
    }
}
TEST(the_order_of_fragments) {
    static const struct {
        unsigned first[3];
        size_t n;
        int rc;
    } cases[] = {{{0x80}, 1, VT__WS_E_CONTINUES},
                 {{0x00}, 1, VT__WS_E_CONTINUES},
                 {{0x81, 0x80}, 2, VT__WS_E_CONTINUES},
                 {{0x01, 0x81}, 2, VT__WS_E_WITHIN},
                 {{0x01, 0x02}, 2, VT__WS_E_WITHIN},
                 {{0x01, 0x00, 0x82}, 3, VT__WS_E_WITHIN},
                 {{0x01, 0x89, 0x01}, 3, VT__WS_E_WITHIN},
                 {{0x01, 0x80, 0x80}, 3, VT__WS_E_CONTINUES},
                 {{0x01, 0x40}, 2, VT__WS_E_RSV},
                 {{0x01, 0x83}, 2, VT__WS_E_OPCODE},
                 {{0x02, 0x09}, 2, VT__WS_E_CONTROL_SPLIT},
                 {{0x02, 0x00, 0x80}, 3, 0},
                 {{0x01, 0x88, 0x80}, 3, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text[4] = {NULL};
        for (size_t k = 0; k < cases[i].n; k++) text[k] = "x";
        CHECK_EQ(conversation(true, cases[i].first, text).rc, cases[i].rc);
    }
}
TEST(limits_of_frame_and_message) {
    uint8_t b[600];
    static const char body[200];
    for (int extra = 0; extra < 2; extra++) {
        size_t n = 100 + (size_t)extra;
        vt__ws_in in = fresh(true);
        in.max_frame = 100;
        CHECK_EQ(settle(in, b, frame(b, 0x82, 0, body, n, "abcd")).rc, extra ? VT__WS_E_FRAME_LARGE : 0);
        CHECK_EQ(settle(in, b, frame(b, 0x89, 0, body, n, "abcd")).rc, 0); /* control frames do not count */
        in.max_frame = UINT64_MAX, in.max_message = 100;
        CHECK_EQ(settle(in, b, frame(b, 0x82, 0, body, n, "abcd")).rc, extra ? VT__WS_E_LARGE : 0);
        size_t at = frame(b, 0x02, 0, body, 60,
                          "abcd"); /* summed over fragments, and afresh for each message */
        at += frame(b + at, 0x89, 0, body, 50, "abcd");
        at += frame(b + at, 0x00, 0, body, 0, "abcd");
        at += frame(b + at, 0x80, 0, body, n - 60, "abcd");
        at += frame(b + at, 0x02, 0, body, 50, "abcd");
        at += frame(b + at, 0x80, 0, body, 50, "abcd");
        struct outcome o = settle(in, b, at);
        CHECK_EQ(o.rc, extra ? VT__WS_E_LARGE : 0);
        CHECK_EQ(o.messages, extra ? 0 : 2);
    }
    vt__ws_in in = fresh(true); /* what one message had does not count for the next */
    in.max_message = 100;
    size_t at = frame(b, 0x82, 0, body, 100, "abcd");
    at += frame(b + at, 0x02, 0, body, 50, "abcd");
    at += frame(b + at, 0x80, 0, body, 51, "abcd");
    CHECK_EQ(settle(in, b, at).rc, VT__WS_E_LARGE);
    CHECK_EQ(vt__ws_err_code(VT__WS_E_LARGE), 1009);
    CHECK_EQ(vt__ws_err_code(VT__WS_E_FRAME_LARGE), 1009);
    CHECK_EQ(vt__ws_err_code(VT__WS_E_UTF8), 1007);
    CHECK_EQ(vt__ws_err_code(VT__WS_E_RSV), 1002);
}

/* ---- UTF-8 ---- */
/* By the table of RFC 3629 4, written another way: decodes, then looks at the number. -1: wrong at *at; else how many bytes of
 * the last character are missing. */
static int reference(const uint8_t *p, size_t n, size_t *at) {
    for (size_t i = 0; i < n;) {
        size_t k = p[i] < 0x80 ? 1 : p[i] >> 5 == 6 ? 2 : p[i] >> 4 == 14 ? 3 : p[i] >> 3 == 30 ? 4 : 0;
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        uint32_t low = k == 1 ? p[i] : p[i] & (0xffu >> (k + 1)), high = low;
        *at = i;
        if (k == 0) return -1;
        for (size_t j = 1; j < k; j++) { /* what may still become of it: all zeros to all ones */
            bool have = i + j < n;
            if (have && (*at = i + j, p[i + j] >> 6 != 2)) return -1;
            low = low << 6 | (have ? p[i + j] & 63u : 0), high = high << 6 | (have ? p[i + j] & 63u : 63);
            uint32_t lo = low, hi = high;
            for (size_t m = j + 1; m < k; m++) lo <<= 6, hi = hi << 6 | 63;
            *at = have ? i + j : i;
            if (hi < least[k] || lo > 0x10ffff || (lo >= 0xd800 && hi <= 0xdfff)) return -1;
            if (!have) return (int)(k - (n - i));
        }
        i += k;
    }
    return 0;
}
/* Every vector says the same as the reference, however the text is cut in two. */
static void text_is(const uint8_t *text, size_t n, bool cuts) {
    size_t at = 0;
    int want = reference(text, n, &at);
    static size_t isas; /* asking the CPU is dear under a hypervisor */
    uint8_t *p = guarded(n);
    if (!isas) isas = vt__h1_isa_count();
    if (n) memcpy(p, text, n);
    for (size_t isa = 0; isa < isas; isa++) {
        vt__h1_isa_select(isa);
        for (size_t cut = cuts ? 0 : n; cut <= n; cut++) {
            vt__ws_utf8 u = {0, 0, 0};
            int rc = vt__ws_utf8_next(&u, p, cut);
            if (want < 0 && cut > at && rc == 0) test_fail(__FILE__, __LINE__, "not failed at once");
            if (rc == 0) rc = vt__ws_utf8_next(&u, p + cut, n - cut);
            CHECK_EQ(rc, want < 0 ? VT__WS_E_UTF8 : 0);
            if (want >= 0) CHECK_EQ(u.need, want);
        }
    }
}
TEST(utf8_every_character) {
    uint8_t all[4], block[256];
    for (uint32_t c = 0; c < 0x110000;
         c += c < 0x3000 || (c > 0xd000 && c < 0xe100) || c > 0x10ff00 ? 1 : 61) {
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t i = n; i-- > 1;) all[i] = (uint8_t)(0x80 | (c >> 6 * (n - 1 - i) & 63));
        all[0] = (uint8_t)(n == 1 ? c : (0xf00u >> n & 0xff) | c >> 6 * (n - 1));
        memset(block, 'x', sizeof block);
        memcpy(block + 50 + c % 37, all, n);
        text_is(block, 130, false);
    }
}
TEST(utf8_every_pair_and_triple_of_bytes) {
    uint8_t block[80];
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            memset(block, 'y', sizeof block);
            block[40] = (uint8_t)a, block[41] = (uint8_t)b;
            text_is(block, 80, false);
            block[42] = 0x80 + (a ^ b) % 64;
            text_is(block, 80, false);
            block[43] = 0x80 + (a + b) % 64;
            text_is(block, 80, false);
        }
}
TEST(utf8_bad_at_every_position_and_cut) {
    static const char *const bad[] = {"\xff",
                                      "\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xe2\x82",
                                      "\xf0\x9f\x98",
                                      "\xc3",
                                      "\xc3\xa9\xa9"};
    static const char *const good[] = {"plain ascii text that is long", "\xc3\xa9", "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80"};
    uint8_t text[160];
    for (size_t g = 0; g < 4; g++)
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            size_t unit = strlen(good[g]), nb = strlen(bad[b]);
            for (size_t before = 0; before <= 72; before += unit > 4 ? 1 : unit) {
                size_t n = 0;
                if (unit > 4) memset(text, 'z', n = before);
                else
                    while (n < before) memcpy(text + n, good[g], unit), n += unit;
                memcpy(text + n, bad[b], nb), n += nb;
                text_is(text, n, true);
                for (int k = 0; k < 12; k++)
                    memcpy(text + n, good[g], unit > 4 ? 1 : unit), n += unit > 4 ? 1 : unit;
                text_is(text, n, before % 7 == 0);
            }
        }
}
TEST(utf8_cut_off_before_ascii) { /* wherever in a vector */
    static const char *const cut[] = {"\xc3", "\xe2", "\xe2\x82", "\xf0", "\xf0\x9f", "\xf0\x9f\x98"};
    uint8_t text[200] = "\xc3\xa9";
    for (size_t c = 0; c < 6; c++)
        for (size_t at = 2; at < 100; at++) {
            memset(text + 2, 'z', sizeof text - 2);
            memcpy(text + at, cut[c], strlen(cut[c]));
            text_is(text, sizeof text, false);
        }
}
TEST(utf8_at_random) {
    uint64_t seed = test_seed();
    static const char *const parts[] = {"a",
                                        "\xc3\xa9",
                                        "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80",
                                        "0123456789abcdef",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xf4\x8f\xbf\xbf",
                                        "\xc2\x80",
                                        "\xe0\xa0\x80",
                                        "\xf0\x90\x80\x80"};
    for (int round = 0; round < 20000; round++) {
        uint8_t text[300];
        size_t n = 0, want = pick(&seed, 200);
        while (n < want) {
            const char *s = parts[pick(&seed, sizeof parts / sizeof *parts)];
            memcpy(text + n, s, strlen(s)), n += strlen(s);
        }
        if (n && round % 3 == 0) text[pick(&seed, n)] = (uint8_t)test_rand(&seed);
        text_is(text, n, false);
    }
}
TEST(text_fails_at_the_first_bad_byte_of_a_frame_that_is_not_complete) {
    uint8_t b[64];
    (void)frame(b, 0x81, 0, "good\xf4\x90 never comes", 18, "abcd");
    CHECK_EQ(feed(fresh(true), b, 6 + 5, NULL, 0).rc, 0);
    CHECK_EQ(feed(fresh(true), b, 6 + 6, NULL, 0).rc, VT__WS_E_UTF8);
    static const unsigned split[] = {0x01, 0x80};
    static const char *const good[] = {"a\xe2", "\x82\xac", NULL}, *const cut[] = {"a\xe2", "\x82", NULL};
    CHECK_EQ(conversation(true, split, good).rc, 0);
    CHECK_EQ(conversation(true, split, cut).rc, VT__WS_E_UTF8); /* the message ends within a character */
    vt__ws_in in = fresh(true);
    in.rsv = 0x40; /* of an extension: not text yet */
    CHECK_EQ(settle(in, b, frame(b, 0xc1, 0, "\xff\xfe", 2, "abcd")).rc, 0);
    in.rsv = 0;
    CHECK_EQ(settle(in, b, frame(b, 0x82, 0, "\xff\xfe", 2, "abcd")).rc, 0);
}

/* ---- masks ---- */
TEST(masks_of_every_vector_length_and_place) {
    uint64_t seed = test_seed();
    uint8_t from[400], want[400];
    for (size_t i = 0; i < sizeof from; i++) from[i] = (uint8_t)test_rand(&seed);
    for (size_t isa = 0; isa < vt__h1_isa_count(); isa++) {
        vt__h1_isa_select(isa);
        for (size_t n = 0; n < 300; n++) {
            uint32_t key = (uint32_t)test_rand(&seed), turned = key;
            uint8_t k[4], *p = guarded(n);
            size_t off = pick(&seed, 16), first = n ? pick(&seed, n) : 0;
            memcpy(k, &key, 4);
            for (size_t i = 0; i < n; i++) want[i] = from[off + i] ^ k[i & 3];
            vt__ws_mask(p, from + off, n, key);
            CHECK_MEM(p, n, want, n);
            vt__ws_isas[isa].mask(p, p, n, key);
            CHECK_MEM(p, n, from + off, n);
            vt__ws_mask(p, p, first, turned); /* in two pieces */
            turned = vt__ws_turn(turned, first);
            vt__ws_mask(p + first, p + first, n - first, turned);
            CHECK_MEM(p, n, want, n);
        }
    }
    vt__h1_isa_select(vt__h1_isa_count() - 1);
}

/* ---- close ---- */
TEST(close_codes) {
    for (int code = 0; code < 65536; code++) {
        bool good = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                    (code >= 3000 && code <= 4999);
        uint8_t p[4] = {(uint8_t)(code >> 8), (uint8_t)code, 'b', 'y'};
        vt_str reason;
        CHECK_EQ(vt__ws_code_ok(code), good);
        CHECK_EQ(vt__ws_close_get(p, 4, &reason), good ? code : VT__WS_E_CODE);
        if (good) CHECK_MEM(reason.ptr, reason.len, "by", 2);
    }
    vt_str reason;
    CHECK_EQ(vt__ws_close_get((const uint8_t *)"", 0, &reason), 1005);
    CHECK_EQ(vt__ws_close_get((const uint8_t *)"\3", 1, &reason), VT__WS_E_CLOSE);
    CHECK_EQ(vt__ws_close_get((const uint8_t *)"\3\xe8", 2, &reason), 1000);
    CHECK_EQ(vt__ws_close_get((const uint8_t *)"\3\xe8\xff", 3, &reason), VT__WS_E_UTF8);
    CHECK_EQ(vt__ws_close_get((const uint8_t *)"\3\xe8\xe2\x82", 4, &reason), VT__WS_E_UTF8);
}
TEST(close_reasons_are_cut_between_characters) {
    uint8_t out[VT__WS_CONTROL_MAX];
    char text[200];
    vt_str back;
    memset(text, 'r', sizeof text);
    CHECK_EQ(vt__ws_close_put(out, 1005, str("unsaid")), 0);
    CHECK_EQ(vt__ws_close_put(out, 1000, str("")), 2);
    CHECK_EQ(vt__ws_close_put(out, 1000, (vt_str){text, 123}), 125);
    CHECK_EQ(vt__ws_close_put(out, 4321, (vt_str){text, 124}), 125);
    CHECK_EQ(vt__ws_close_get(out, 125, &back), 4321);
    static const char *const chars[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t c = 0; c < 3; c++)
        for (size_t at = 115; at <= 123; at++) {
            memset(text, 'r', sizeof text);
            memcpy(text + at, chars[c], c + 2);
            size_t n = vt__ws_close_put(out, 1000, (vt_str){text, 150});
            CHECK_EQ(n, at < 123 && at + c + 2 > 123 ? at + 2 : 125);
            CHECK_EQ(vt__ws_close_get(out, n, &back), 1000);
        }
}

/* ---- handshake ---- */
TEST(accept_key) {
    char out[VT__WS_ACCEPT_LEN];
    vt__ws_accept(out, "dGhlIHNhbXBsZSBub25jZQ==");
    CHECK_MEM(out, sizeof out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28); /* RFC 6455 1.3 */
}
TEST(sha1_and_base64) {
    static const struct {
        const char *text, *hash;
    } sha[] = {{"", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="},
               {"abc", "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="},
               {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "hJg+RBw70m66rkqh+VEp5eVGcPE="}},
      b64[] = {{"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
               {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
    char out[64];
    uint8_t hash[20];
    for (size_t i = 0; i < 3; i++) {
        vt__str_sha1(hash, sha[i].text, strlen(sha[i].text));
        CHECK_MEM(out, vt__str_base64(out, hash, 20), sha[i].hash, 28);
    }
    for (size_t i = 0; i < 6; i++) {
        size_t n = vt__str_base64(out, (const uint8_t *)b64[i].text, strlen(b64[i].text));
        CHECK_MEM(out, n, b64[i].hash, strlen(b64[i].hash));
    }
    static char
        many[1000]; /* lengths around the padding's steps against each other: 55, 56, 63, 64 and so on */
    memset(many, 'a', sizeof many);
    vt__str_sha1(hash, many, 119);
    CHECK_MEM(out, vt__str_base64(out, hash, 20), "7pcQZaqgF+BjKoymx3uzv4sd/FY=", 28);
    vt__str_sha1(hash, many, 64);
    CHECK_MEM(out, vt__str_base64(out, hash, 20), "AJi6gktcFkJ716ESKlpEKiXsZE0=", 28);
    vt__str_sha1(hash, many, 1000);
    CHECK_MEM(out, vt__str_base64(out, hash, 20), "KR6abGaZSUm1e6XmUDYemPw2sbo=", 28);
}

/* lines "name: value", ended by NULL */
static vt__ws_shake shake(const char *const *lines) {
    vt__ws_shake s = {0};
    for (; *lines; lines++) {
        const char *colon = strchr(*lines, ':');
        vt__ws_shake_field(&s, (vt_str){*lines, (size_t)(colon - *lines)}, str(colon + 2));
    }
    return s;
}
#define SHAKE(...) shake((const char *const[]){__VA_ARGS__, NULL})
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
#define V13 "Sec-WebSocket-Version: 13"
#define UP "Upgrade: websocket"
#define CONN "Connection: Upgrade"
static int asks(vt__ws_shake s) { return vt__ws_shake_request(&s); }
TEST(requests) {
    CHECK_EQ(asks(SHAKE(UP, CONN, V13, KEY)), 0);
    CHECK_EQ(asks(SHAKE("upgrade: h2c, WebSocket", "CONNECTION: keep-alive, uPGRADE", V13, KEY, "X: y")), 0);
    CHECK_EQ(asks(SHAKE("Host: a")), 426);
    CHECK_EQ(asks(SHAKE("Upgrade: websocket2", CONN, V13, KEY)), 426);
    CHECK_EQ(asks(SHAKE(UP, "Connection: close", V13, KEY)), 426);
    CHECK_EQ(asks(SHAKE(UP, CONN, KEY)), 426);
    CHECK_EQ(asks(SHAKE(UP, CONN, "Sec-WebSocket-Version: 8", KEY)), 426);
    CHECK_EQ(asks(SHAKE(UP, CONN, "Sec-WebSocket-Version: 013", KEY)), 426);
    CHECK_EQ(asks(SHAKE(UP, CONN, V13, "Sec-WebSocket-Version: 8", KEY)), 426);
    CHECK_EQ(asks(SHAKE(UP, CONN, V13)), 400);
    CHECK_EQ(asks(SHAKE(UP, CONN, V13, KEY, KEY)), 400);
    static const char *const keys[] = {"",
                                       "dGhlIHNhbXBsZSBub25jZQ=",
                                       "dGhlIHNhbXBsZSBub25jZQ===",
                                       "dGhlIHNhbXBsZSBub25jZ===",
                                       "dGhlIHNhbXBsZSBub25j*Q==",
                                       "dGhlIHNhbXBsZSBub25jZQ",
                                       "dGhlIHNhbXBsZSBub25jZQA="};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        vt__ws_shake s = SHAKE(UP, CONN, V13, KEY);
        s.key = str(keys[i]);
        CHECK_EQ(asks(s), 400);
    }
}
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
static int answers(vt__ws_shake s, int status, const char *offered) {
    return vt__ws_shake_response(&s, status, "dGhlIHNhbXBsZSBub25jZQ==", str(offered));
}
TEST(answers_to_a_client) {
    enum { NO = VT__WS_E_SHAKE };
    CHECK_EQ(answers(SHAKE(UP, CONN, ACCEPT), 101, ""), 0);
    CHECK_EQ(answers(SHAKE(UP, CONN, ACCEPT), 101, "chat"), 0);
    CHECK_EQ(answers(SHAKE(UP, CONN, ACCEPT, "Sec-WebSocket-Protocol: b"), 101, "a, b"), 0);
    CHECK_EQ(answers(SHAKE(UP, CONN, ACCEPT), 200, ""), NO);
    CHECK_EQ(answers(SHAKE(CONN, ACCEPT), 101, ""), NO);
    CHECK_EQ(answers(SHAKE(UP, ACCEPT), 101, ""), NO);
    CHECK_EQ(answers(SHAKE(UP, CONN), 101, ""), NO);
    CHECK_EQ(answers(SHAKE(UP, CONN, ACCEPT, ACCEPT), 101, ""), NO);
    CHECK_EQ(answers(SHAKE(UP, CONN, "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo="), 101, ""), NO);
    CHECK_EQ(answers(SHAKE(UP, CONN, ACCEPT, "Sec-WebSocket-Extensions: permessage-deflate"), 101, ""), NO);
    CHECK_EQ(answers(SHAKE(UP, CONN, ACCEPT, "Sec-WebSocket-Protocol: c"), 101, "a, b"), NO);
    CHECK_EQ(answers(SHAKE(UP, CONN, ACCEPT, "Sec-WebSocket-Protocol: A"), 101, "a"), NO);
    CHECK_EQ(answers(SHAKE(UP, CONN, ACCEPT, "Sec-WebSocket-Protocol: "), 101, "a"), NO);
    CHECK_EQ(answers(SHAKE(UP, CONN, ACCEPT, "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"), 101,
                     "a, b"),
             NO);
    CHECK_EQ(answers(SHAKE(UP, CONN, ACCEPT, "Sec-WebSocket-Protocol: a, b"), 101, "a, b"), NO);
}
static int agrees(vt__ws_shake s, int status, const char *offered) {
    return vt__ws_shake_response(&s, status, NULL, str(offered));
}
TEST(answers_to_a_clients_connect) {
    enum { NO = VT__WS_E_SHAKE };
    CHECK_EQ(agrees(SHAKE("X: y"), 200, ""), 0);
    CHECK_EQ(agrees(SHAKE("X: y"), 299, "chat"), 0);
    CHECK_EQ(agrees(SHAKE("Sec-WebSocket-Protocol: b"), 200, "a, b"), 0);
    CHECK_EQ(agrees(SHAKE("Sec-WebSocket-Protocol: c"), 200, "a, b"), NO);
    CHECK_EQ(agrees(SHAKE("Sec-WebSocket-Extensions: x"), 200, ""), NO);
    CHECK_EQ(agrees(SHAKE(UP, CONN, ACCEPT), 101, ""), NO);
    CHECK_EQ(agrees(SHAKE("X: y"), 199, ""), NO);
    CHECK_EQ(agrees(SHAKE("X: y"), 300, ""), NO);
}
TEST(subprotocols) {
    vt_str got = vt__ws_protocol_pick(str("v2.chat, v1.chat"), str("v0.chat,v1.chat , v2.chat"));
    CHECK_MEM(got.ptr, got.len, "v2.chat", 7);
    CHECK_EQ(vt__ws_protocol_pick(str("a, b"), str("c, A")).len, 0);
    CHECK_EQ(vt__ws_protocol_pick(str(""), str("c")).len, 0);
    CHECK_EQ(vt__ws_protocol_pick(str("c"), str("")).len, 0);
    CHECK(vt__ws_protocols_ok(str("")));
    CHECK(vt__ws_protocols_ok(str("a")));
    CHECK(vt__ws_protocols_ok(str("a, b,c")));
    CHECK(!vt__ws_protocols_ok(str("a,,b")));
    CHECK(!vt__ws_protocols_ok(str("a, b c")));
    CHECK(!vt__ws_protocols_ok(str("a, b, a")));
    CHECK(!vt__ws_protocols_ok(str("a,")));
    CHECK(!vt__ws_protocols_ok(str("a/b")));
}
TEST(names_of_errors) {
    CHECK_STR(vt__ws_err_name(VT__WS_E_UTF8), "text that is not UTF-8");
    CHECK_STR(vt__ws_err_name(-1), "?");
    CHECK_EQ(vt__ws_err_code(-1), 1011);
}
