/* QUIC packet protection: the RFCs' vectors, every AEAD, limits, tokens, allocations that fail. */
/* variants: default asan tsan */
#define VTHTTP_TLS 1
#define VTHTTP_H3 1
#include "osslmem.h"
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "tls.h"

static __attribute__((constructor)) void prepare(void) {
    CRYPTO_set_mem_functions(ossl_malloc, ossl_realloc, ossl_free);
}

static size_t unhex(uint8_t *out, const char *hex) {
    size_t n = 0;
    for (unsigned v; sscanf(hex, "%2x", &v) == 1; hex += 2) out[n++] = (uint8_t)v;
    return n;
}
static void is_hex(const uint8_t *p, const char *hex, const char *file, int line) {
    uint8_t want[2048];
    size_t n = unhex(want, hex);
    if (memcmp(p, want, n) != 0) test_fail(file, line, hex);
}
#define CHECK_HEX(p, hex) is_hex((p), (hex), __FILE__, __LINE__)

static const char dcid_hex[] = "8394c8f03e515708";
static const char hello[] = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868"
                            "04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578"
                            "616d706c652e636f6dff01000100000a00080006001d00170018001000070005"
                            "04616c706e000500050100000000003300260024001d00209370b2c9caa47fba"
                            "baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400"
                            "0d0010000e0403050306030203080408050806002d00020101001c0002400100"
                            "3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000"
                            "75300901100f088394c8f03e51570806048000ffff";
static const char answer[] = "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf739"
                             "88cfc79825df566dc5430b9a045a1200130100002e00330024001d00209d3c94"
                             "0d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00"
                             "020304";

/* Protects a packet as an endpoint does, compares, and takes the protection off again. */
struct vector {
    uint32_t version;
    int line, pn_len;
    uint64_t pn;
    size_t size; /* of the payload, zeros behind the text */
    const char *head, *text, *sample, *mask, *packet, *end;
};
static void vector_run(const struct vector *v, const vt__qsec_secret *s) {
    uint8_t p[2048] = {0}, mask[16], sample[16], head[64], text[2048] = {0};
    vt__qsec_keys seal = {0}, open = {0};
    vt__qsec_hp hp = {0};
    size_t hn = unhex(p, v->head), pn_at = hn - (size_t)v->pn_len;
    memcpy(head, p, hn);
    size_t n = unhex(text, v->text);
    n = v->size ? v->size : n;
    memcpy(p + hn, text, n);
    REQUIRE(vt__qsec_keys_init(&seal, &hp, v->version, s, true) == 0);
    REQUIRE(vt__qsec_keys_init(&open, NULL, v->version, s, false) == 0);
    REQUIRE(vt__qsec_seal(&seal, v->pn, p, hn, p + hn, n) == 0);
    memcpy(sample, p + pn_at + 4, 16);
    CHECK_HEX(sample, v->sample);
    REQUIRE(vt__qsec_mask(&hp, sample, 1, mask) == 0);
    CHECK_HEX(mask, v->mask);
    p[0] ^= mask[0] & (p[0] & 0x80 ? 0x0f : 0x1f);
    for (int i = 0; i < v->pn_len; i++) p[pn_at + (size_t)i] ^= mask[1 + i];
    CHECK_HEX(p, v->packet);
    if (v->end) CHECK_HEX(p + hn + n + 16 - strlen(v->end) / 2, v->end);
    CHECK_EQ(vt__qsec_open(&open, v->pn, head, hn, p + hn, n + 16), n);
    CHECK_MEM(p + hn, n, text, n);
    vt__qsec_keys_free(&seal);
    vt__qsec_keys_free(&open);
    vt__qsec_hp_free(&hp);
}
static void initial_secrets(uint32_t version, vt__qsec_secret *c, vt__qsec_secret *s) {
    uint8_t dcid[20];
    size_t n = unhex(dcid, dcid_hex);
    CHECK_EQ(vt__qsec_initial(version, dcid, n, c, s), 0);
    CHECK_EQ(c->aead, VT__QSEC_AES128);
    CHECK_EQ(c->len, 32);
    CHECK_EQ(s->len, 32);
}
static void iv_is(uint32_t version, const vt__qsec_secret *s, const char *hex) {
    vt__qsec_keys k = {0};
    CHECK_EQ(vt__qsec_keys_init(&k, NULL, version, s, true), 0);
    CHECK_HEX(k.iv, hex);
    vt__qsec_keys_free(&k);
}

TEST(rfc9001_a1_a2_a3_initial) {
    vt__qsec_secret c, s;
    initial_secrets(VT__QSEC_V1, &c, &s);
    CHECK_HEX(c.b, "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea");
    CHECK_HEX(s.b, "3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b");
    iv_is(VT__QSEC_V1, &c, "fa044b2f42a3fd3b46fb255c");
    iv_is(VT__QSEC_V1, &s, "0ac1493ca1905853b0bba03e");
    vector_run(&(struct vector){.version = VT__QSEC_V1,
                                .head = "c300000001088394c8f03e5157080000449e00000002",
                                .pn_len = 4,
                                .pn = 2,
                                .size = 1162,
                                .text = hello,
                                .sample = "d1b1c98dd7689fb8ec11d242b123dc9b",
                                .mask = "437b9aec36",
                                .packet = "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11"
                                          "d242b123dc9bd8bab936b47d92ec356c0bab7df5976d27cd449f63300099f399",
                                .end = "e221af44860018ab0856972e194cd934"},
               &c);
    vector_run(&(struct vector){.version = VT__QSEC_V1,
                                .head = "c1000000010008f067a5502a4262b50040750001",
                                .pn_len = 2,
                                .pn = 1,
                                .text = answer,
                                .sample = "2cd0991cd25b0aac406a5816b6394100",
                                .mask = "2ec0d8356a",
                                .packet = "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a"
                                          "5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3"
                                          "dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84"
                                          "022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc4"
                                          "2158407dd074ee"},
               &s);
}
TEST(rfc9369_a1_a2_a3_initial) {
    vt__qsec_secret c, s;
    initial_secrets(VT__QSEC_V2, &c, &s);
    CHECK_HEX(c.b, "14ec9d6eb9fd7af83bf5a668bc17a7e283766aade7ecd0891f70f9ff7f4bf47b");
    CHECK_HEX(s.b, "0263db1782731bf4588e7e4d93b7463907cb8cd8200b5da55a8bd488eafc37c1");
    iv_is(VT__QSEC_V2, &c, "91f73e2351d8fa91660e909f");
    iv_is(VT__QSEC_V2, &s, "dd13c276499c0249d3310652");
    vector_run(&(struct vector){.version = VT__QSEC_V2,
                                .head = "d36b3343cf088394c8f03e5157080000449e00000002",
                                .pn_len = 4,
                                .pn = 2,
                                .size = 1162,
                                .text = hello,
                                .sample = "ffe67b6abcdb4298b485dd04de806071",
                                .mask = "94a0c95e80",
                                .packet = "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485"
                                          "dd04de806071"},
               &c);
    vector_run(&(struct vector){.version = VT__QSEC_V2,
                                .head = "d16b3343cf0008f067a5502a4262b50040750001",
                                .pn_len = 2,
                                .pn = 1,
                                .text = answer,
                                .sample = "6f05d8a4398c47089698baeea26b91eb",
                                .mask = "4dd92e91ea",
                                .packet = "dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698"
                                          "baeea26b91eb761d9b89237bbf87263017915358230035f7fd3945d88965cf17"
                                          "f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a393e42757507698075b2"
                                          "c984c707f0a0812d8cd5a6881eaf21ceda98f4bd23f6fe1a3e2c43edd9ce7ca8"
                                          "4bed8521e2e140"},
               &s);
}
static vt__qsec_secret chacha_secret(void) {
    vt__qsec_secret s = {VT__QSEC_CHACHA, 32, {0}};
    unhex(s.b, "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b");
    return s;
}
TEST(rfc9001_a5_rfc9369_a5_chacha) {
    vt__qsec_secret s = chacha_secret();
    vt__qsec_keys k = {0}, next = {0};
    iv_is(VT__QSEC_V1, &s, "e0459b3474bdd0e44a41c144");
    iv_is(VT__QSEC_V2, &s, "a6b5bc6ab7dafce30ffff5dd");
    vector_run(&(struct vector){.version = VT__QSEC_V1,
                                .head = "4200bff4",
                                .pn_len = 3,
                                .pn = 654360564,
                                .text = "01",
                                .sample = "5e5cd55c41f69080575d7999c25a5bfb",
                                .mask = "aefefe7d03",
                                .packet = "4cfe4189655e5cd55c41f69080575d7999c25a5bfb"},
               &s);
    vector_run(&(struct vector){.version = VT__QSEC_V2,
                                .head = "4200bff4",
                                .pn_len = 3,
                                .pn = 654360564,
                                .text = "01",
                                .sample = "e7b6b932bc27d786f4bc2bb20f2162ba",
                                .mask = "97580e32bf",
                                .packet = "5558b1c60ae7b6b932bc27d786f4bc2bb20f2162ba"},
               &s);
    CHECK_EQ(vt__qsec_keys_init(&k, NULL, VT__QSEC_V1, &s, true), 0);
    CHECK_EQ(vt__qsec_keys_next(&next, &k, VT__QSEC_V1), 0);
    CHECK_HEX(next.secret.b, "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9");
    CHECK_EQ(vt__qsec_keys_next(&next, &k, VT__QSEC_V2), 0);
    CHECK_HEX(next.secret.b, "c69374c49e3d2a9466fa689e49d476db5d0dfbc87d32ceeaa6343fd0ae4c7d88");
    vt__qsec_keys_free(&k);
    vt__qsec_keys_free(&next);
}
TEST(rfc9001_a4_rfc9369_a4_retry) {
    static const struct {
        uint32_t version;
        const char *packet, *tag;
    } v[] = {{VT__QSEC_V1, "ff000000010008f067a5502a4262b5746f6b656e", "04a265ba2eff4d829058fb3f0f2496ba"},
             {VT__QSEC_V2, "cf6b3343cf0008f067a5502a4262b5746f6b656e", "c8646ce8bfe33952d955543665dcc7b6"}};
    uint8_t dcid[20], packet[64], tag[16], right[16];
    size_t dn = unhex(dcid, dcid_hex);
    for (size_t i = 0; i < VT__COUNT(v); i++) {
        size_t n = unhex(packet, v[i].packet);
        CHECK_EQ(vt__qsec_retry_tag(v[i].version, dcid, dn, packet, n, tag), 0);
        CHECK_HEX(tag, v[i].tag);
        unhex(right, v[i].tag);
        CHECK(vt__qsec_equal(tag, right, 16));
        dcid[0] ^= 1; /* it answers another Initial */
        CHECK_EQ(vt__qsec_retry_tag(v[i].version, dcid, dn, packet, n, tag), 0);
        CHECK(!vt__qsec_equal(tag, right, 16));
        dcid[0] ^= 1;
        CHECK_EQ(vt__qsec_retry_tag(v[i].version, dcid, 0, packet, n, tag), 0);
    }
}
/* TLS 1.3's own records: RFC 8448 3, the server's handshake keys. */
TEST(rfc8448_record_keys) {
    vt__qsec_secret s = {VT__QSEC_AES128, 32, {0}};
    unhex(s.b, "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
    iv_is(VT__QSEC_TLS13, &s, "5d313eb2671276ee13000b30");
}

static vt__qsec_secret secret_of(int aead, uint8_t fill) {
    vt__qsec_secret s = {(uint8_t)aead, aead == VT__QSEC_AES256 ? 48 : 32, {0}};
    memset(s.b, fill, s.len);
    return s;
}
TEST(every_aead_seals_and_opens_every_length_and_no_change_passes) {
    static uint8_t p[1600], text[1600];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)(i * 7);
    for (int aead = 0; aead < VT__QSEC_AEADS; aead++) {
        vt__qsec_secret s = secret_of(aead, 9);
        vt__qsec_keys seal = {0}, open = {0};
        uint8_t head[] = {0x43, 1, 2, 3, 4, 5, 6, 7, 8, 9};
        CHECK(!vt__qsec_has(&seal));
        CHECK_EQ(vt__qsec_keys_init(&seal, NULL, VT__QSEC_V1, &s, true), 0);
        CHECK_EQ(vt__qsec_keys_init(&open, NULL, VT__QSEC_V1, &s, false), 0);
        CHECK(vt__qsec_has(&seal));
        for (size_t n = 0; n < 1500; n += n < 70 ? 1 : 97) {
            uint64_t pn = (UINT64_C(1) << 62) - 1 - n;
            memcpy(p, text, n);
            CHECK_EQ(vt__qsec_seal(&seal, pn, head, sizeof head, p, n), 0);
            CHECK_EQ(vt__qsec_open(&open, pn, head, sizeof head, p, n + 16), n);
            CHECK_MEM(p, n, text, n);
            for (int what = 0; what < 5; what++) { /* the packet number, head, text, tag, length */
                memcpy(p, text, n);
                CHECK_EQ(vt__qsec_seal(&seal, pn, head, sizeof head, p, n), 0);
                if (what == 1) head[9] ^= 0x80;
                if (what == 2) p[0] ^= 1;
                if (what == 3) p[n + 15] ^= 0x80;
                CHECK_EQ(vt__qsec_open(&open, pn ^ (what == 0), head, sizeof head, p, n + 16 - (what == 4)),
                         -EBADMSG);
                if (what == 1) head[9] ^= 0x80;
            }
        }
        for (size_t n = 0; n < 16; n++) CHECK_EQ(vt__qsec_open(&open, 0, head, sizeof head, p, n), -EBADMSG);
        vt__qsec_keys_free(&seal);
        vt__qsec_keys_free(&open);
        CHECK(!vt__qsec_has(&seal));
    }
    CHECK_EQ(ERR_peek_error(), 0);
}
TEST(keys_serve_again_with_another_secret_and_another_aead) {
    vt__qsec_keys seal = {0}, open = {0};
    for (int i = 0; i < 12; i++) {
        uint8_t p[40] = "text";
        vt__qsec_secret s = secret_of(i / 2 % VT__QSEC_AEADS, (uint8_t)i);
        CHECK_EQ(vt__qsec_keys_init(&seal, NULL, VT__QSEC_V1, &s, true), 0);
        CHECK_EQ(seal.used, 0);
        CHECK_EQ(vt__qsec_seal(&seal, 5, (const uint8_t *)"head", 4, p, 4), 0);
        if (i) CHECK_EQ(vt__qsec_open(&open, 5, (const uint8_t *)"head", 4, p, 20), -EBADMSG);
        memcpy(p, "text", 4);
        CHECK_EQ(vt__qsec_seal(&seal, 5, (const uint8_t *)"head", 4, p, 4), 0);
        CHECK_EQ(vt__qsec_keys_init(&open, NULL, VT__QSEC_V1, &s, false), 0);
        CHECK_EQ(vt__qsec_open(&open, 5, (const uint8_t *)"head", 4, p, 20), 4);
        CHECK_EQ(seal.used, 2);
    }
    vt__qsec_keys_free(&seal);
    vt__qsec_keys_free(&open);
}
TEST(key_updates_go_on_and_on_and_phases_do_not_mix) {
    for (int aead = 0; aead < VT__QSEC_AEADS; aead++) {
        vt__qsec_secret s = secret_of(aead, 3);
        vt__qsec_keys seal[2] = {{0}, {0}}, open[2] = {{0}, {0}};
        CHECK_EQ(vt__qsec_keys_init(&seal[0], NULL, VT__QSEC_V1, &s, true), 0);
        CHECK_EQ(vt__qsec_keys_init(&open[0], NULL, VT__QSEC_V1, &s, false), 0);
        for (int i = 0; i < 6; i++) {
            uint8_t p[40] = "text";
            int now = i & 1, next = !now;
            CHECK_EQ(vt__qsec_keys_next(&seal[next], &seal[now], VT__QSEC_V1), 0);
            CHECK_EQ(vt__qsec_keys_next(&open[next], &open[now], VT__QSEC_V1), 0);
            CHECK_EQ(seal[next].used, 0);
            CHECK_EQ(vt__qsec_seal(&seal[next], 1, (const uint8_t *)"h", 1, p, 4), 0);
            CHECK_EQ(vt__qsec_open(&open[now], 1, (const uint8_t *)"h", 1, p, 20), -EBADMSG);
            memcpy(p, "text", 4);
            CHECK_EQ(vt__qsec_seal(&seal[next], 1, (const uint8_t *)"h", 1, p, 4), 0);
            CHECK_EQ(vt__qsec_open(&open[next], 1, (const uint8_t *)"h", 1, p, 20), 4);
        }
        for (int i = 0; i < 2; i++) vt__qsec_keys_free(&seal[i]), vt__qsec_keys_free(&open[i]);
    }
}
TEST(limits_are_those_of_the_rfc_and_keys_seal_no_more) {
    CHECK_EQ(vt__qsec_limits_of(VT__QSEC_AES128).seal, 1 << 23);
    CHECK_EQ(vt__qsec_limits_of(VT__QSEC_AES256).forged, INT64_C(1) << 52);
    CHECK_EQ(vt__qsec_limits_of(VT__QSEC_CHACHA).forged, INT64_C(1) << 36);
    vt__qsec_secret s = secret_of(VT__QSEC_AES128, 1);
    vt__qsec_keys k = {0};
    uint8_t p[40] = "text";
    CHECK_EQ(vt__qsec_keys_init(&k, NULL, VT__QSEC_V1, &s, true), 0);
    k.used = (1 << 23) - 1;
    CHECK_EQ(vt__qsec_seal(&k, 1, (const uint8_t *)"h", 1, p, 4), 0);
    memcpy(p, "text", 4);
    CHECK_EQ(vt__qsec_seal(&k, 2, (const uint8_t *)"h", 1, p, 4), -ERANGE);
    CHECK_MEM(p, 4, "text", 4);
    vt__qsec_keys_free(&k);
}
TEST(masks_of_many_samples_are_those_of_each) {
    uint64_t seed = test_seed();
    uint8_t samples[64 * 16], all[64 * 16], one[16];
    for (size_t i = 0; i < sizeof samples; i++) samples[i] = (uint8_t)test_rand(&seed);
    for (int aead = 0; aead < VT__QSEC_AEADS; aead++) {
        vt__qsec_secret s = secret_of(aead, 77);
        vt__qsec_keys k = {0};
        vt__qsec_hp hp = {0};
        CHECK_EQ(vt__qsec_keys_init(&k, &hp, VT__QSEC_V1, &s, true), 0);
        CHECK_EQ(vt__qsec_mask(&hp, samples, 64, all), 0);
        for (size_t i = 0; i < 64; i++) {
            CHECK_EQ(vt__qsec_mask(&hp, samples + 16 * i, 1, one), 0);
            CHECK_MEM(one, 5, all + 16 * i, 5);
        }
        memcpy(all, samples, sizeof all); /* in place */
        CHECK_EQ(vt__qsec_mask(&hp, all, 64, all), 0);
        CHECK_MEM(one, 5, all + 16 * 63, 5);
        vt__qsec_hp_free(&hp);
        vt__qsec_keys_free(&k);
    }
    vt__qsec_keys k = {0};
    vt__qsec_hp hp = {0}; /* one context after another */
    for (int aead = VT__QSEC_AEADS; aead-- > 0;) {
        vt__qsec_secret s = secret_of(aead, 77);
        CHECK_EQ(vt__qsec_keys_init(&k, &hp, VT__QSEC_V1, &s, true), 0);
        CHECK_EQ(vt__qsec_mask(&hp, samples, 1, one), 0);
    }
    CHECK_EQ(vt__qsec_mask(&hp, samples, 64, all), 0);
    CHECK_MEM(one, 5, all, 5);
    vt__qsec_hp_free(&hp);
    vt__qsec_keys_free(&k);
}
/* Contexts without a key: what OpenSSL refuses is an error, and its queue is left empty. */
TEST(what_openssl_refuses_is_an_error) {
    uint8_t p[40] = {0};
    vt__qsec_keys k = {.ctx = EVP_CIPHER_CTX_new()};
    vt__qsec_hp hp = {.ctx = EVP_CIPHER_CTX_new()};
    CHECK_EQ(vt__qsec_seal(&k, 1, p, 1, p, 4), VT_ETLS);
    CHECK_EQ(k.used, 0);
    CHECK_EQ(vt__qsec_open(&k, 1, p, 1, p, 20), -EBADMSG);
    CHECK_EQ(vt__qsec_mask(&hp, p, 1, p), VT_ETLS);
    hp.aead = VT__QSEC_CHACHA;
    CHECK_EQ(vt__qsec_mask(&hp, p, 1, p), VT_ETLS);
    CHECK_EQ(ERR_peek_error(), 0);
    vt__qsec_keys_free(&k);
    vt__qsec_hp_free(&hp);
}

/* ---- tokens ---- */
TEST(h151_b26_tokens_are_good_for_their_address_and_time_alone) {
    vt__qsec_vault v, other;
    vt__qsec_token t = {.kind = VT__QSEC_TOKEN_RETRY, .odcid_len = 8, .born = 1000 * VT_SEC}, got;
    uint8_t out[VT__QSEC_TOKEN_MAX], again[VT__QSEC_TOKEN_MAX];
    memcpy(t.odcid, "original", 8);
    REQUIRE(vt__qsec_vault_init(&v, NULL) == 0);
    REQUIRE(vt__qsec_vault_init(&other, NULL) == 0);
    int n = vt__qsec_token_seal(&v, &t, "127.0.0.1:4433", 14, out);
    REQUIRE(n > 0 && n <= VT__QSEC_TOKEN_MAX);
    CHECK_EQ(vt__qsec_token_seal(&v, &t, "127.0.0.1:4433", 14, again), n);
    CHECK(memcmp(out, again, (size_t)n) != 0); /* two are not alike */
#define OPENED(vault, bind, at)                                                                              \
    vt__qsec_token_open(vault, out, (size_t)n, bind, strlen(bind), at, 10 * VT_SEC, &got)
    CHECK_EQ(OPENED(&v, "127.0.0.1:4433", 1000 * VT_SEC), 1);
    CHECK_EQ(got.kind, VT__QSEC_TOKEN_RETRY);
    CHECK_EQ(got.born, 1000 * VT_SEC);
    CHECK_MEM(got.odcid, got.odcid_len, "original", 8);
    CHECK_EQ(OPENED(&v, "127.0.0.1:4433", 1010 * VT_SEC), 1);
    CHECK_EQ(OPENED(&v, "127.0.0.1:4433", 1010 * VT_SEC + 1), 0);
    CHECK_EQ(OPENED(&v, "127.0.0.1:4433", 1000 * VT_SEC - 1), 0);
    CHECK_EQ(OPENED(&v, "127.0.0.1:4434", 1000 * VT_SEC), 0);
    CHECK_EQ(OPENED(&v, "", 1000 * VT_SEC), 0);
    CHECK_EQ(OPENED(&other, "127.0.0.1:4433", 1000 * VT_SEC), 0);
    for (int i = 0; i < n * 8; i++) {
        out[i / 8] ^= (uint8_t)(1 << i % 8);
        CHECK_EQ(OPENED(&v, "127.0.0.1:4433", 1000 * VT_SEC), 0);
        out[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t k = 0; k < (size_t)n; k++)
        CHECK_EQ(vt__qsec_token_open(&v, out, k, "127.0.0.1:4433", 14, t.born, VT_SEC, &got), 0);
    uint8_t longer[VT__QSEC_TOKEN_MAX + 1000] = {VT__QSEC_TOKEN_NEW};
    memcpy(longer, out, (size_t)n);
    for (size_t k = (size_t)n + 1; k < sizeof longer; k++)
        CHECK_EQ(vt__qsec_token_open(&v, longer, k, "127.0.0.1:4433", 14, t.born, VT_SEC, &got), 0);
#undef OPENED
    vt__qsec_vault_free(&v);
    vt__qsec_vault_free(&other);
}
TEST(tokens_of_every_length_of_connection_id_and_both_kinds) {
    vt__qsec_vault v;
    REQUIRE(vt__qsec_vault_init(&v, NULL) == 0);
    for (int kind = VT__QSEC_TOKEN_RETRY; kind <= VT__QSEC_TOKEN_NEW; kind++)
        for (int len = 0; len <= VT__QSEC_CID_MAX; len++) {
            vt__qsec_token t = {.kind = (uint8_t)kind, .odcid_len = (uint8_t)len, .born = 5}, got;
            uint8_t out[VT__QSEC_TOKEN_MAX];
            memset(t.odcid, 0xa5, (size_t)len);
            int n = vt__qsec_token_seal(&v, &t, "", 0, out);
            REQUIRE(n > 0 && n <= VT__QSEC_TOKEN_MAX);
            CHECK_EQ(vt__qsec_token_kind(out, (size_t)n), kind);
            CHECK_EQ(vt__qsec_token_open(&v, out, (size_t)n, "", 0, 5, 0, &got), 1);
            CHECK_MEM(&got, sizeof got, &t, sizeof t);
        }
    CHECK_EQ(vt__qsec_token_kind((const uint8_t *)"", 0), 0);
    uint8_t foreign[50] = {0x30};
    CHECK_EQ(vt__qsec_token_kind(foreign, sizeof foreign), 0);
    vt__qsec_vault_free(&v);
}
TEST(processes_with_one_master_key_know_each_others_tokens) {
    uint8_t master[32] = "one master key for all of them.", a[16], b[16], out[VT__QSEC_TOKEN_MAX];
    vt__qsec_vault v, w, random;
    vt__qsec_token t = {.kind = VT__QSEC_TOKEN_NEW}, got;
    REQUIRE(vt__qsec_vault_init(&v, master) == 0 && vt__qsec_vault_init(&w, master) == 0);
    REQUIRE(vt__qsec_vault_init(&random, NULL) == 0);
    int n = vt__qsec_token_seal(&v, &t, "1.2.3.4", 7, out);
    CHECK_EQ(vt__qsec_token_open(&w, out, (size_t)n, "1.2.3.4", 7, 1, 1, &got), 1);
    CHECK_EQ(vt__qsec_reset_token(&v, (const uint8_t *)"cid", 3, a), 0);
    CHECK_EQ(vt__qsec_reset_token(&w, (const uint8_t *)"cid", 3, b), 0);
    CHECK(vt__qsec_equal(a, b, 16));
    CHECK_EQ(vt__qsec_reset_token(&v, (const uint8_t *)"cie", 3, b), 0);
    CHECK(!vt__qsec_equal(a, b, 16));
    CHECK_EQ(vt__qsec_reset_token(&random, (const uint8_t *)"cid", 3, b), 0);
    CHECK(!vt__qsec_equal(a, b, 16));
    vt__qsec_vault_free(&v);
    CHECK(v.token[0] == 0 && v.reset[31] == 0);
}

/* ---- memory ---- */
static int everything(void) {
    vt__qsec_vault v;
    vt__qsec_keys k = {0}, next = {0};
    vt__qsec_hp hp = {0};
    vt__qsec_secret c, s;
    vt__qsec_token t = {.kind = VT__QSEC_TOKEN_NEW}, got;
    uint8_t out[VT__QSEC_TOKEN_MAX], tag[16];
    int r = vt__qsec_initial(VT__QSEC_V1, (const uint8_t *)"12345678", 8, &c, &s), n = 0;
    if (r == 0) r = vt__qsec_keys_init(&k, &hp, VT__QSEC_V1, &c, true);
    CHECK_EQ(vt__qsec_has(&k), r == 0); /* no half of a key */
    CHECK_EQ(hp.ctx != NULL, r == 0);
    if (r == 0) r = vt__qsec_keys_next(&next, &k, VT__QSEC_V1);
    CHECK_EQ(vt__qsec_has(&next), r == 0);
    if (r == 0) r = vt__qsec_keys_next(&next, &k, VT__QSEC_V1); /* on the context that is there */
    CHECK_EQ(vt__qsec_has(&next), r == 0);
    if (r == 0) r = vt__qsec_retry_tag(VT__QSEC_V1, out, 8, tag, 16, tag);
    if (r == 0) r = vt__qsec_vault_init(&v, NULL);
    if (r == 0) r = vt__qsec_reset_token(&v, tag, 8, tag);
    if (r == 0) r = n = vt__qsec_token_seal(&v, &t, "", 0, out);
    if (r > 0 && (r = vt__qsec_token_open(&v, out, (size_t)n, "", 0, 0, 0, &got)) == 1) r = 0;
    CHECK(r == 0 || r == -ENOMEM || r == VT_ETLS);
    vt__qsec_keys_free(&k);
    vt__qsec_keys_free(&next);
    vt__qsec_hp_free(&hp);
    return r;
}
/* As if nothing had been fetched yet. */
static void kit_drop(void) {
    vt__qsec_kit *k = &vt__qsec_g.kit;
    for (int i = 0; i < VT__QSEC_AEADS; i++) EVP_CIPHER_free(k->aead[i]), EVP_CIPHER_free(k->hp[i]);
    EVP_MD_free(k->sha256);
    EVP_MD_free(k->sha384);
    memset(&vt__qsec_g, 0, sizeof vt__qsec_g);
}
static void *all_at_once(void *arg) {
    (void)arg;
    CHECK_EQ(everything(), 0);
    return NULL;
}
TEST(os_threads_may_begin_together) {
    enum { THREADS = 4 };
    pthread_t t[THREADS];
    CHECK_EQ(everything(), 0);
    kit_drop();
    for (int i = 0; i < THREADS; i++) REQUIRE(pthread_create(&t[i], NULL, all_at_once, NULL) == 0);
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
}
TEST(allocations_that_fail_give_errors_and_no_more) {
    int failures = 0;
    CHECK_EQ(everything(), 0); /* OpenSSL has begun: its beginning does not survive want of memory */
    for (long n = 1;; n++) {
        kit_drop();
        alloc_left = n;
        int r = everything();
        bool hit = alloc_left == 0;
        alloc_left = 0;
        if (!hit) break;
        failures += r != 0;
        CHECK_EQ(everything(), 0);
    }
    CHECK(failures > 20);
}
