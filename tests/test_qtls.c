/* QUIC's handshake: two machines, each other's peer, in memory; and peers that are wrong, made of OpenSSL's own parts. */
/* variants: default asan tsan */
#define VTHTTP_TLS 1
#define VTHTTP_H3 1
#include "osslmem.h"
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "qforge.h"
#include "tls.h"

static struct pem ca, site, person;
static vt_tls_cert cert, own;
static vt_tls_cfg cfg;
static vt__ossl_keys keys;
static __attribute__((constructor)) void prepare(void) {
    CRYPTO_set_mem_functions(ossl_malloc, ossl_realloc, ossl_free);
    ca = pem_make("Test CA", NULL, NULL, 30, 0);
    site = pem_make("site", "DNS:site.example,IP:127.0.0.1", &ca, 30, 0);
    person = pem_make("person", "", &ca, 30, 0);
    cert.cert_pem = site.text;
    own.cert_pem = person.text;
    cfg = (vt_tls_cfg){.certs = &cert, .ncerts = 1, .ticket_life_s = 1000};
    keys.every = 500 * VT_SEC;
}
#define H3 VT__STR_LIT("\x02h3")

/* ---- two machines and their contexts ---- */
enum { TO_SERVER, TO_CLIENT };
struct pair {
    vt__ossl_ctx *sx, *cx;
    vt__qtls *s, *c;
    vt__qsec_secret secrets[2][VT__QTLS_LEVELS][2]; /* of server and client; read and write */
    bool have[2][VT__QTLS_LEVELS][2];
    size_t sent[2][VT__QTLS_LEVELS]; /* bytes that came out */
    size_t cut;                      /* at most so many are carried at once; 0: all */
    int dears;
};
static vt__ossl_client trusting(void) { return (vt__ossl_client){.ca_pem = ca.cert_text, .alpn = H3}; }
static int contexts(struct pair *p, const vt_tls_cfg *sc, vt_str alpn, const vt__ossl_client *cc) {
    vt__ossl_text text;
    memset(p, 0, sizeof *p);
    int r = vt__qtls_ctx_server(&p->sx, sc, &keys, alpn, &text);
    if (r == 0) r = vt__qtls_ctx_client(&p->cx, cc, &text);
    return r;
}
static vt__qtls_cfg server_of(const struct pair *p) {
    return (vt__qtls_cfg){.ctx = p->sx, .params = (const uint8_t *)"the server's", .params_len = 12};
}
static vt__qtls_cfg client_of(const struct pair *p) {
    return (vt__qtls_cfg){.ctx = p->cx,
                          .client = true,
                          .params = (const uint8_t *)"the client's parameters",
                          .params_len = 23,
                          .host = "site.example"};
}
static void machines_end(struct pair *p) {
    vt__qtls_free(p->s);
    vt__qtls_free(p->c);
    p->s = p->c = NULL;
    memset(p->have, 0, sizeof p->have);
    memset(p->sent, 0, sizeof p->sent);
}
static int machines(struct pair *p, const vt__qtls_cfg *s, const vt__qtls_cfg *c) {
    machines_end(p);
    int r = vt__qtls_new(&p->s, s);
    return r == 0 ? vt__qtls_new(&p->c, c) : r;
}
static void pair_end(struct pair *p) {
    machines_end(p);
    if (p->sx) vt__ossl_unref(p->sx);
    if (p->cx) vt__ossl_unref(p->cx);
    CHECK_EQ(ERR_peek_error(), 0);
}
static void take_secrets(struct pair *p, vt__qtls *q) {
    int level, client = q == p->c;
    bool write;
    vt__qsec_secret s;
    while (vt__qtls_secret(q, &level, &write, &s)) {
        CHECK(!p->have[client][level][write]);
        p->have[client][level][write] = true;
        p->secrets[client][level][write] = s;
        memset(&s, 0, sizeof s);
        CHECK_MEM(&q->secrets[q->taken - 1].s, sizeof s, &s, sizeof s); /* none stays behind */
    }
}
static int step(struct pair *p, vt__qtls *q, int r) {
    while (r == VT__QTLS_DEAR) p->dears++, r = vt__qtls_go(q);
    take_secrets(p, q);
    CHECK_EQ(r < 0, q->code != 0);
    return r;
}
/* What `from` has at one level goes to its peer, `cut` bytes at most; 1: something went. */
static int carry(struct pair *p, vt__qtls *from, int level) {
    const uint8_t *b;
    vt__qtls *to = from == p->s ? p->c : p->s;
    size_t n = vt__qtls_out(from, level, &b);
    if (!n) return 0;
    if (p->cut && n > p->cut) n = p->cut;
    uint8_t *copy = malloc(n); /* exactly so long: for ASan */
    memcpy(copy, b, n);
    vt__qtls_took(from, level, n);
    p->sent[from == p->c][level] += n;
    CHECK(p->have[to == p->c][level][0] ||
          level == VT__QTLS_INITIAL); /* no sooner than there is a key for it */
    int r = step(p, to, vt__qtls_recv(to, level, copy, n));
    free(copy);
    return r < 0 ? r : 1;
}
/* Until nothing moves, or one end fails: its error. */
static int shake(struct pair *p) {
    int r = step(p, p->c, vt__qtls_go(p->c));
    for (bool moved = true; moved && r >= 0;) {
        moved = false;
        for (int server = 0; server < 2 && r >= 0; server++) /* of each the first level that has something */
            for (int level = r = 0; level < VT__QTLS_LEVELS && r == 0; level++)
                if ((r = carry(p, server ? p->s : p->c, level)) > 0) moved = true;
    }
    return r < 0 ? r : 0;
}
static void secrets_agree(struct pair *p) {
    for (int level = VT__QTLS_HANDSHAKE; level < VT__QTLS_LEVELS; level++)
        for (int write = 0; write < 2; write++) {
            const vt__qsec_secret *a = &p->secrets[0][level][write], *b = &p->secrets[1][level][!write];
            CHECK(p->have[0][level][write] && p->have[1][level][!write]);
            CHECK_MEM(a, sizeof *a, b, sizeof *b);
        }
}
static void is_complete(struct pair *p) {
    CHECK(p->s->complete && p->c->complete);
    CHECK_MEM(p->s->peer, p->s->peer_len, "the client's parameters", 23);
    CHECK_MEM(p->c->peer, p->c->peer_len, "the server's", 12);
    vt_str a = vt__ossl_alpn(&p->s->o), b = vt__ossl_alpn(&p->c->o);
    CHECK_MEM(a.ptr, a.len, "h3", 2);
    CHECK_MEM(b.ptr, b.len, "h3", 2);
    secrets_agree(p);
    CHECK_EQ(p->sent[0][VT__QTLS_EARLY] + p->sent[1][VT__QTLS_EARLY], 0);
    CHECK_EQ(p->sent[1][VT__QTLS_APP], 0);
}
static int start(struct pair *p, size_t cut) {
    vt__qtls_cfg s = server_of(p), c = client_of(p);
    int r = machines(p, &s, &c);
    CHECK_EQ(r, 0);
    if (r < 0) return r;
    p->cut = cut;
    return shake(p);
}

TEST(full_handshake_however_it_is_cut) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    for (size_t cut = 0; cut < 3000; cut += cut < 8 ? 1 : cut) {
        CHECK_EQ(start(&p, cut), 0);
        is_complete(&p);
        CHECK(!p.s->resumed && !p.c->resumed);
        CHECK(p.sent[0][VT__QTLS_APP] > 0); /* tickets */
        CHECK_EQ(p.s->early, VT__QTLS_NO_EARLY);
    }
    pair_end(&p);
}
TEST(every_suite_and_a_retried_hello) {
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
    const vt__ossl_client cc = trusting();
    for (int i = 0; i < 3 * 2; i++) {
        vt_tls_cfg sc = cfg;
        struct pair p;
        sc.ciphersuites = suites[i / 2];
        REQUIRE(contexts(&p, &sc, H3, &cc) == 0);
        if (i & 1)
            CHECK_EQ(SSL_CTX_set1_groups_list(p.sx->ctx, "P-256"),
                     1); /* the client has sent no share for it */
        CHECK_EQ(start(&p, i & 1 ? 7 : 0), 0);
        is_complete(&p);
        for (int level = VT__QTLS_HANDSHAKE; level < VT__QTLS_LEVELS; level++) {
            CHECK_EQ(p.secrets[0][level][0].aead, i / 2);
            CHECK_EQ(p.secrets[0][level][1].len, i / 2 == VT__QSEC_AES256 ? 48 : 32);
        }
        pair_end(&p);
    }
}
TEST(a_server_without_the_newest_group_asks_for_no_other_hello) {
    const vt__ossl_client cc = trusting();
    size_t hello[2];
    for (int old = 0; old < 2; old++) {
        struct pair p;
        REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
        if (old) CHECK_EQ(SSL_CTX_set1_groups_list(p.sx->ctx, "X25519"), 1);
        CHECK_EQ(start(&p, 0), 0);
        is_complete(&p);
        hello[old] = p.sent[1][VT__QTLS_INITIAL];
        pair_end(&p);
    }
    CHECK_EQ(hello[0], hello[1]);
}
TEST(ccm_is_never_offered_nor_chosen) {
    vt__ossl_text text;
    vt__ossl_ctx *x = NULL;
    vt_tls_cfg sc = cfg;
    char out[256];
    vt__qtls_ciphers(
        "TLS_AES_128_CCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_AES_128_CCM_8_SHA256:TLS_CHACHA20_POLY1305_SHA256",
        out, sizeof out);
    CHECK_STR(out, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
    vt__qtls_ciphers("TLS_AES_256_GCM_SHA384:TLS_AES_128_CCM_SHA256", out, sizeof out);
    CHECK_STR(out, "TLS_AES_256_GCM_SHA384");
    vt__qtls_ciphers("TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256", out, 40);
    CHECK_STR(out, "TLS_AES_256_GCM_SHA384");
    sc.ciphersuites = "TLS_AES_128_CCM_SHA256";
    CHECK_EQ(vt__qtls_ctx_server(&x, &sc, &keys, H3, &text), -EINVAL);
    CHECK(strstr(text.text, "ciphersuites") != NULL);
    sc.ciphersuites = "NONSENSE";
    CHECK_EQ(vt__qtls_ctx_server(&x, &sc, &keys, H3, &text), -EINVAL);
    CHECK(x == NULL);
}

/* ---- resumption ---- */
TEST(sessions_are_resumed_by_host_and_port) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    size_t full = 0;
    for (int i = 0; i < 5; i++) {
        vt__qtls_cfg s = server_of(&p), c = client_of(&p);
        c.port = i == 3 ? 4433 : 443;
        REQUIRE(machines(&p, &s, &c) == 0);
        CHECK_EQ(shake(&p), 0);
        is_complete(&p);
        bool again = i != 0 && i != 3;
        CHECK_EQ(p.s->resumed, again);
        CHECK_EQ(p.c->resumed, again);
        CHECK_EQ(p.cx->sessions->n, i < 3 ? 1 : 2); /* each gives one */
        if (i == 0) full = p.sent[0][VT__QTLS_HANDSHAKE];
        else if (again) CHECK(p.sent[0][VT__QTLS_HANDSHAKE] < full / 2); /* no certificate */
    }
    pair_end(&p);
}
TEST(tickets_cut_anywhere_and_none_when_there_are_to_be_none) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    vt_tls_cfg sc = cfg;
    for (int i = 0; i < 2; i++) {
        sc.ticket_life_s = i ? VT_NONE : 1000;
        REQUIRE(contexts(&p, &sc, H3, &cc) == 0);
        for (int k = 0; k < 2; k++) {
            vt__qtls_cfg s = server_of(&p), c = client_of(&p);
            c.port = 443;
            REQUIRE(machines(&p, &s, &c) == 0);
            p.cut = 1;
            CHECK_EQ(shake(&p), 0);
            CHECK_EQ(p.s->resumed, k && !i);
            CHECK_EQ(p.sent[0][VT__QTLS_APP] > 0, !i);
        }
        pair_end(&p);
    }
}

/* ---- what must not complete ---- */
/* Which side fails, and with which code. */
static void fails_with(struct pair *p, int r, vt__qtls *who, uint64_t code, int line) {
    vt__qtls *other = who == p->s ? p->c : p->s;
    if (r >= 0 || who->code != code || other->code || !who->why || who->complete) {
        char text[200];
        snprintf(text, sizeof text, "line %d: r %d, code 0x%x (%s), other 0x%x", line, r, (unsigned)who->code,
                 who->why ? who->why : "", (unsigned)other->code);
        test_fail(__FILE__, line, text);
    }
    const uint8_t *b;
    CHECK_EQ(vt__qtls_recv(who, VT__QTLS_INITIAL, (const uint8_t *)"x", 1), r); /* for good */
    CHECK_EQ(vt__qtls_recv(who, VT__QTLS_INITIAL, NULL, 0), r);
    CHECK_EQ(vt__qtls_go(who), r);
    CHECK(who->code == code);
    if (who == p->c) CHECK_EQ(vt__qtls_out(who, VT__QTLS_APP, &b), 0);
}
#define FAILS(result, who, code)                                                                             \
    do {                                                                                                     \
        int fails_r = (result); /* before `who` is looked at */                                              \
        fails_with(&p, fails_r, who, code, __LINE__);                                                        \
    } while (0)

TEST(b36_alpn_that_does_not_match_or_is_missing_is_0x178) {
    vt__ossl_client cc = trusting();
    struct pair p;
    cc.alpn = VT__STR_LIT("\x02hq");
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    FAILS(start(&p, 0), p.s, 0x178);
    pair_end(&p);
    cc.alpn.len = 0;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    FAILS(start(&p, 0), p.s, 0x178);
    CHECK(
        !p.have[0][VT__QTLS_HANDSHAKE][0]); /* at once: nothing is sent to who does not speak our protocol */
    pair_end(&p);
    cc = trusting(); /* a server that answers without one */
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    SSL_CTX_set_alpn_select_cb(p.sx->ctx, NULL, NULL);
    int r = start(&p, 0);
    CHECK_EQ(r, VT_ETLS);
    CHECK_EQ(p.c->code, 0x178);
    CHECK(!p.c->complete);
    pair_end(&p);
}
TEST(one_of_several_alpn_names_is_chosen_by_the_server) {
    vt__ossl_client cc = trusting();
    struct pair p;
    cc.alpn = VT__STR_LIT("\x02hq\x05h3-29\x02h3");
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    CHECK_EQ(start(&p, 0), 0);
    is_complete(&p);
    pair_end(&p);
}
static uint64_t params_code;
static int params_calls;
static vt__qtls **params_of;
static uint64_t on_params(void *arg, const uint8_t *p, size_t n) {
    params_calls++;
    CHECK_MEM(p, n, arg, strlen(arg));
    if (params_of) CHECK_EQ(vt__qtls_params(*params_of, (const uint8_t *)"the server's", 12), 0);
    return params_code;
}
static char server_text[] = "the server's", client_text[] = "the client's parameters";
TEST(parameters_are_told_in_time_to_answer_and_may_be_refused) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    for (int i = 0; i < 5; i++) {
        vt__qtls_cfg s = server_of(&p), c = client_of(&p);
        if (i == 4) SSL_CTX_set1_groups_list(p.sx->ctx, "P-256"); /* twice, with a HelloRetryRequest */
        s.on_params = c.on_params = on_params;
        s.arg = client_text;
        c.arg = server_text;
        if (i != 3) c.on_params = NULL;
        else s.on_params = NULL;
        if (i == 1) s.params = (const uint8_t *)"", s.params_len = 0; /* given when the client's have come */
        params_calls = 0;
        params_code = i == 2 || i == 3 ? 0x8 : 0;
        params_of = i == 1 ? &p.s : NULL;
        REQUIRE(machines(&p, &s, &c) == 0);
        if (!params_code) {
            CHECK_EQ(shake(&p), 0);
            is_complete(&p);
            CHECK_EQ(params_calls, i == 4 ? 2 : 1);
        } else FAILS(shake(&p), i == 2 ? p.s : p.c, 0x8);
    }
    pair_end(&p);
}
TEST(names_choose_certificates_and_unknown_ones_are_refused_where_asked) {
    struct pem two = pem_make("two", "DNS:two.example,DNS:*.wild.example", &ca, 30, 0);
    vt_tls_cert both[] = {cert, {.cert_pem = two.text}};
    static const struct {
        const char *host;
        int names;
        unsigned code; /* of the client, or of the server */
        bool server;
    } v[] = {{"site.example", VT_TLS_NAMES_ANY, 0, false},
             {"TWO.example", VT_TLS_NAMES_ANY, 0, false},
             {"a.wild.example", VT_TLS_NAMES_KNOWN, 0, false},
             {"127.0.0.1", VT_TLS_NAMES_ANY, 0, false},
             {"nowhere.example", VT_TLS_NAMES_ANY, 0x12a, false}, /* bad_certificate: it is another's */
             {"nowhere.example", VT_TLS_NAMES_KNOWN, 0x170, true},
             {"127.0.0.1", VT_TLS_NAMES_REQUIRED, 0x170, true}};
    const vt__ossl_client cc = trusting();
    for (size_t i = 0; i < VT__COUNT(v); i++) {
        struct pair p;
        vt_tls_cfg sc = cfg;
        sc.certs = both;
        sc.ncerts = 2;
        sc.names = v[i].names;
        REQUIRE(contexts(&p, &sc, H3, &cc) == 0);
        vt__qtls_cfg s = server_of(&p), c = client_of(&p);
        c.host = v[i].host;
        REQUIRE(machines(&p, &s, &c) == 0);
        int r = shake(&p);
        if (v[i].code) FAILS(r, v[i].server ? p.s : p.c, v[i].code);
        else is_complete(&p);
        if (v[i].code && !v[i].server) CHECK_EQ(r, VT_ECERT);
        pair_end(&p);
    }
    pem_free(&two);
}
TEST(a_server_that_is_not_trusted_is_refused) {
    vt__ossl_client cc = {.ca_pem = site.cert_text, .alpn = H3};
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    int r = start(&p, 0);
    FAILS(r, p.c, 0x130); /* unknown_ca */
    CHECK_EQ(r, VT_ECERT);
    pair_end(&p);
    cc.no_verify = true;
    cc.ca_pem = NULL;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    CHECK_EQ(start(&p, 0), 0);
    is_complete(&p);
    pair_end(&p);
}
TEST(client_certificates) {
    struct pem stranger = pem_make("stranger", "", NULL, 30, 0);
    const vt_tls_cert strange = {.cert_pem = stranger.text};
    static const struct {
        int auth, cert; /* 0 none, 1 good, 2 of nobody */
        unsigned code;
    } v[] = {{VT_TLS_CLIENT_REQUIRED, 1, 0},
             {VT_TLS_CLIENT_REQUIRED, 0, 0x174}, /* certificate_required */
             {VT_TLS_CLIENT_REQUIRED, 2, 0x130},
             {VT_TLS_CLIENT_OPTIONAL, 0, 0},
             {VT_TLS_CLIENT_UNVERIFIED, 2, 0}};
    for (size_t i = 0; i < VT__COUNT(v); i++) {
        struct pair p;
        vt_tls_cfg sc = cfg;
        vt__ossl_client cc = trusting();
        sc.client_ca_pem = ca.cert_text;
        sc.client_auth = v[i].auth;
        cc.cert = v[i].cert == 2 ? &strange : v[i].cert ? &own : NULL;
        REQUIRE(contexts(&p, &sc, H3, &cc) == 0);
        int r = start(&p, 11);
        if (v[i].code) {
            CHECK(r < 0);
            CHECK_EQ(p.s->code, v[i].code);
            CHECK(!p.s->complete && p.c->complete); /* as ever in TLS 1.3: a client learns later */
        } else is_complete(&p);
        CHECK_EQ(SSL_get0_peer_certificate(p.s->o.ssl) != NULL, v[i].cert && !v[i].code);
        pair_end(&p);
    }
    pem_free(&stranger);
}

/* ---- peers that are wrong ---- */
/* A ClientHello without the extension `drop` (-1: none), with a session ID of sid bytes. */
static void hello_is(struct pair *p, int drop, size_t sid, unsigned code, int line) {
    uint8_t out[4096];
    const uint8_t *b;
    CHECK_EQ(vt__qtls_go(p->c), 0);
    size_t n = vt__qtls_out(p->c, VT__QTLS_INITIAL, &b);
    n = hello_edit(b, n, out, &(struct hello_edit){.drop = drop, .sid = sid});
    int r = vt__qtls_recv(p->s, VT__QTLS_INITIAL, out, n);
    if (code) fails_with(p, r, p->s, code, line);
    else CHECK_EQ(r, 0);
    CHECK_EQ(p->s->nsecrets == 0, code != 0);
}
TEST(hellos_without_what_quic_wants) {
    static const struct {
        int drop;
        size_t sid;
        unsigned code;
    } v[] = {{-1, 0, 0},    {VT__QTLS_PARAMS, 0, 0x16d}, {16, 0, 0x178}, {-1, 32, 0x0a}, {-1, 1, 0x0a},
             {43, 0, 0x146}}; /* protocol_version: no supported_versions, so it is TLS 1.2's */
    const vt__ossl_client cc = trusting();
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    for (size_t i = 0; i < VT__COUNT(v); i++) {
        vt__qtls_cfg s = server_of(&p), c = client_of(&p);
        REQUIRE(machines(&p, &s, &c) == 0);
        hello_is(&p, v[i].drop, v[i].sid, v[i].code, __LINE__);
    }
    pair_end(&p);
}
/* All the bytes of a level of one end, as a copy that the caller frees; they count as taken. */
static uint8_t *all_of(vt__qtls *q, int level, size_t more, size_t *n) {
    const uint8_t *b;
    *n = vt__qtls_out(q, level, &b);
    uint8_t *copy = calloc(1, *n + more + 1);
    if (*n) memcpy(copy, b, *n);
    vt__qtls_took(q, level, *n);
    return copy;
}
/* The handshake as far as `to` is to get the bytes that `from` has at the level. */
static void until(struct pair *p, vt__qtls **from, int level) {
    vt__qtls_cfg s = server_of(p), c = client_of(p);
    const uint8_t *b;
    int r = machines(p, &s, &c);
    CHECK_EQ(r, 0);
    r = step(p, p->c, vt__qtls_go(p->c));
    for (int guard = 0; guard < 50 && r >= 0 && vt__qtls_out(*from, level, &b) == 0; guard++)
        for (int i = 0; i < 2 * VT__QTLS_LEVELS && r >= 0 && vt__qtls_out(*from, level, &b) == 0; i++)
            r = carry(p, i & 1 ? p->s : p->c, i / 2);
    for (int low = 0; low < level && r >= 0; low++)
        while ((r = carry(p, *from, low)) > 0) {}
    CHECK(r >= 0 && vt__qtls_out(*from, level, &b) > 0);
}
TEST(trailing_bytes_and_bytes_of_levels_that_are_over) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    static const struct {
        int server, level;
    } v[] = {{0, VT__QTLS_INITIAL}, {1, VT__QTLS_INITIAL}, {0, VT__QTLS_HANDSHAKE}, {1, VT__QTLS_HANDSHAKE}};
    for (size_t i = 0; i < VT__COUNT(v); i++)
        for (int later = 0; later < 2; later++) {
            vt__qtls **from = v[i].server ? &p.s : &p.c, **to = v[i].server ? &p.c : &p.s;
            until(&p, from, v[i].level);
            size_t n;
            uint8_t *b = all_of(*from, v[i].level, 1, &n);
            int r = vt__qtls_recv(*to, v[i].level, b, n + !later);
            if (later) {
                CHECK_EQ(r, 0);
                r = vt__qtls_recv(*to, v[i].level, b, 1);
            }
            CHECK(r < 0);
            bool after = v[i].level == VT__QTLS_HANDSHAKE && later;
            CHECK_EQ((*to)->code, after ? 0x10a : later ? 0x0a : 0x10a);
            free(b);
        }
    pair_end(&p);
}
TEST(bytes_of_a_level_that_has_no_key_yet_or_never_has_crypto) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    for (int level = VT__QTLS_EARLY; level < VT__QTLS_LEVELS; level++) {
        vt__qtls_cfg s = server_of(&p), c = client_of(&p);
        REQUIRE(machines(&p, &s, &c) == 0);
        FAILS(vt__qtls_recv(p.s, level, (const uint8_t *)"\1", 1), p.s, 0x0a);
    }
    pair_end(&p);
}
TEST(h3spec_messages_that_quic_does_not_have) {
    static const char key_update[] = {24, 0, 0, 1, 0}, end_of_early[] = {5, 0, 0, 0},
                      request[] = {13, 0, 0, 3, 0, 0, 0}, finished[] = {20, 0, 0, 32},
                      ticket[] = {4, 0, 0, 0}, huge[] = {4, 1, 0, 1}, vast[] = {1, -1, -1, -1};
    static const struct {
        const char *b;
        size_t n;
        bool server; /* gets it */
        int level;
        unsigned code;
    } v[] = {{key_update, 5, true, VT__QTLS_HANDSHAKE, 0x10a},
             {key_update, 5, true, VT__QTLS_APP, 0x10a},
             {key_update, 5, false, VT__QTLS_APP, 0x10a},
             {end_of_early, 4, true, VT__QTLS_HANDSHAKE, 0x10a},
             {end_of_early, 4, false, VT__QTLS_APP, 0x10a},
             {request, 7, false, VT__QTLS_APP, 0x0a},
             {request, 7, true, VT__QTLS_APP, 0x10a},
             {finished, 4, false, VT__QTLS_APP, 0x10a},
             {ticket, 4, true, VT__QTLS_APP, 0x10a},
             {ticket, 4, false, VT__QTLS_APP, 0x132}, /* decode_error */
             {huge, 4, false, VT__QTLS_APP, 0x0d},
             {vast, 4, true, VT__QTLS_INITIAL, 0x12f}, /* illegal_parameter: over any length */
             {vast, 4, false, VT__QTLS_INITIAL, 0x10a},
             {"GET / HTTP/1.1\r\n\r\n", 18, true, VT__QTLS_INITIAL, 0x10a}};
    const vt__ossl_client cc = trusting();
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    for (size_t i = 0; i < VT__COUNT(v); i++)
        for (size_t cut = 1; cut <= v[i].n; cut += v[i].n - 1) {
            vt__qtls_cfg s = server_of(&p), c = client_of(&p);
            REQUIRE(machines(&p, &s, &c) == 0);
            if (v[i].level == VT__QTLS_APP) CHECK_EQ(shake(&p), 0);
            else if (v[i].level == VT__QTLS_HANDSHAKE) until(&p, &p.c, VT__QTLS_HANDSHAKE);
            else CHECK_EQ(vt__qtls_go(p.c), 0);
            vt__qtls *q = v[i].server ? p.s : p.c;
            int r = 0;
            for (size_t at = 0; at < v[i].n && r == 0; at += cut)
                r = vt__qtls_recv(q, v[i].level, (const uint8_t *)v[i].b + at, VT__MIN(cut, v[i].n - at));
            if (r >= 0 || q->code != v[i].code)
                printf("case %zu: code 0x%x (%s)\n", i, (unsigned)q->code, q->why);
            CHECK(r < 0);
            CHECK_EQ(q->code, v[i].code);
        }
    pair_end(&p);
}
TEST(b05_tickets_without_end_are_too_much) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    until(&p, &p.s, VT__QTLS_APP);
    size_t n, sum = 0;
    uint8_t *b = all_of(p.s, VT__QTLS_APP, 0, &n);
    int r = 0;
    for (; r == 0 && sum < 1 << 20; sum += n) r = vt__qtls_recv(p.c, VT__QTLS_APP, b, n);
    CHECK(r < 0 && sum < 1 << 17);
    CHECK_EQ(p.c->code, 0x0d);
    free(b);
    pair_end(&p);
}
TEST(tickets_that_limit_early_data_are_0x0a) {
    if (VT__QTLS_NATIVE) SKIP("a native server gives no such ticket");
    const vt__ossl_client cc = trusting();
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    SSL_CTX_set_max_early_data(p.sx->ctx, 1000);
    CHECK_EQ(start(&p, 0), VT_ETLS);
    CHECK_EQ(p.c->code, 0x0a);
    CHECK(p.c->complete && p.s->complete);
    pair_end(&p);
}
/* White box: they came, and are taken away before the client is through. */
TEST(a_server_without_parameters_is_0x16d) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    until(&p, &p.s, VT__QTLS_HANDSHAKE);
    size_t n;
    uint8_t *b = all_of(p.s, VT__QTLS_HANDSHAKE, 0, &n);
    CHECK_EQ(vt__qtls_recv(p.c, VT__QTLS_HANDSHAKE, b, n - 1), 0);
    CHECK(p.c->peer != NULL);
    vt__mem_free(p.c->peer);
    p.c->peer = NULL;
    FAILS(vt__qtls_recv(p.c, VT__QTLS_HANDSHAKE, b + n - 1, 1), p.c, 0x16d);
    free(b);
    pair_end(&p);
}
TEST(every_bit_of_the_servers_flight_counts) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    uint64_t rnd = test_seed();
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    for (int i = 0; i < 40; i++) {
        size_t n;
        until(&p, &p.s, VT__QTLS_HANDSHAKE);
        uint8_t *b = all_of(p.s, VT__QTLS_HANDSHAKE, 0, &n);
        b[test_rand(&rnd) % n] ^= (uint8_t)(1u << test_rand(&rnd) % 8);
        int r = vt__qtls_recv(p.c, VT__QTLS_HANDSHAKE, b, n);
        CHECK(!p.c->complete); /* a length may have grown: then it waits for more */
        CHECK_EQ(r < 0, p.c->code != 0);
        free(b);
    }
    pair_end(&p);
}

/* ---- keys that are dear ---- */
TEST(dear_keys_are_told_and_may_be_computed_elsewhere) {
    struct pem rsa = pem_make("rsa", "DNS:site.example", &ca, 30, 2048);
    const vt_tls_cert rsa_cert = {.cert_pem = rsa.text};
    const vt__ossl_client cc = trusting();
    struct pair p;
    vt_tls_cfg sc = cfg;
    sc.certs = &rsa_cert;
    REQUIRE(contexts(&p, &sc, H3, &cc) == 0);
    vt__qtls_cfg s = server_of(&p), c = client_of(&p);
    REQUIRE(machines(&p, &s, &c) == 0);
    CHECK_EQ(shake(&p), 0);
    is_complete(&p);
    CHECK_EQ(p.dears, 1);
    pair_end(&p);
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0); /* the server learns it from the hello */
    CHECK_EQ(SSL_CTX_set1_groups_list(p.cx->ctx, "P-384"), 1);
    for (size_t cut = 0; cut < 300; cut += 100) {
        p.dears = 0;
        CHECK_EQ(start(&p, cut), 0);
        is_complete(&p);
        CHECK_EQ(p.dears, 1);
    }
    pair_end(&p);
    pem_free(&rsa);
}

/* ---- OS threads ---- */
static vt__ossl_ctx *shared_s, *shared_c;
static void *handshakes(void *arg) {
    struct pair p = {.sx = shared_s, .cx = shared_c};
    for (int i = 0; i < 10; i++) {
        vt__qtls_cfg s = server_of(&p), c = client_of(&p);
        c.port = 443 + i % 2;
        CHECK_EQ(machines(&p, &s, &c), 0);
        CHECK_EQ(shake(&p), 0);
        is_complete(&p);
        *(int *)arg += p.s->resumed;
        machines_end(&p);
    }
    return NULL;
}
TEST(contexts_tickets_and_sessions_are_shared_by_os_threads) {
    enum { THREADS = 4 };
    const vt__ossl_client cc = trusting();
    struct pair p;
    pthread_t t[THREADS];
    int resumed[THREADS] = {0}, sum = 0;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    shared_s = p.sx, shared_c = p.cx;
    for (int i = 0; i < THREADS; i++) REQUIRE(pthread_create(&t[i], NULL, handshakes, &resumed[i]) == 0);
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL), sum += resumed[i];
    CHECK(sum > 0);
    pair_end(&p);
}
static void *goes_on(void *q) {
    CHECK_EQ(vt__qtls_go(q), 0);
    return NULL;
}
TEST(a_dear_step_may_be_made_by_another_os_thread) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    pthread_t t;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    CHECK_EQ(SSL_CTX_set1_groups_list(p.cx->ctx, "P-384"), 1);
    vt__qtls_cfg s = server_of(&p), c = client_of(&p);
    REQUIRE(machines(&p, &s, &c) == 0 && vt__qtls_go(p.c) == 0);
    size_t n;
    uint8_t *b = all_of(p.c, VT__QTLS_INITIAL, 0, &n);
    CHECK_EQ(vt__qtls_recv(p.s, VT__QTLS_INITIAL, b, n), VT__QTLS_DEAR);
    CHECK_EQ(p.s->nsecrets, 0);
    free(b); /* the input is the machine's by now */
    REQUIRE(pthread_create(&t, NULL, goes_on, p.s) == 0);
    pthread_join(t, NULL);
    take_secrets(&p, p.s);
    CHECK_EQ(shake(&p), 0);
    is_complete(&p);
    pair_end(&p);
}

/* ---- 0-RTT ---- */
static const char limits[] = "limits of the server";
static vt__qtls_strikes strikes;
static int early_pair(struct pair *p, const char *context) {
    vt__qtls_cfg s = server_of(p), c = client_of(p);
    s.early = (const uint8_t *)context;
    s.early_len = context ? strlen(context) : 0;
    s.strikes = &strikes;
    c.early = (const uint8_t *)"";
    c.port = 443;
    int r = machines(p, &s, &c);
    CHECK_EQ(r, 0);
    return r;
}
TEST(early_data_natively_and_never_otherwise) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    const uint8_t *was;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    for (int i = 0; i < 7; i++) {
        /* The first has no session; one is accepted, others not: another promise, none, a ticket without, a retried hello. */
        const char *now = i == 2 ? "limits of the server, less" : i == 3 ? NULL : limits;
        bool accepted = i == 1 || i == 5, offered = VT__QTLS_NATIVE && i != 0 && i != 4;
        if (i == 6) SSL_CTX_set1_groups_list(p.sx->ctx, "P-256");
        REQUIRE(early_pair(&p, now) == 0);
        CHECK_EQ(p.c->early, offered ? VT__QTLS_OFFERED : VT__QTLS_NO_EARLY);
        size_t n = vt__qtls_remembered(p.c, &was);
        if (offered) CHECK_MEM(was, n, "the server's", 12);
        else CHECK_EQ(n, 0);
        CHECK_EQ(shake(&p), 0);
        is_complete(&p);
        CHECK_EQ(p.s->resumed, i != 0);
        CHECK_EQ(p.c->early, !offered ? VT__QTLS_NO_EARLY : accepted ? VT__QTLS_ACCEPTED : VT__QTLS_REFUSED);
        CHECK_EQ(p.have[1][VT__QTLS_EARLY][1], offered);
        CHECK_EQ(p.have[0][VT__QTLS_EARLY][0], offered && accepted);
        if (offered) CHECK_EQ(p.s->early, p.c->early);
        if (offered && accepted)
            CHECK_MEM(&p.secrets[0][VT__QTLS_EARLY][0], sizeof(vt__qsec_secret),
                      &p.secrets[1][VT__QTLS_EARLY][1], sizeof(vt__qsec_secret));
    }
    pair_end(&p);
}
/* Tickets are of one version of QUIC, that which is spoken in the end; RFC 9369 5. Zero: none is named. */
static void of_versions(struct pair *p, uint32_t first, uint32_t then, bool resumed) {
    vt__qtls_cfg s = server_of(p), c = client_of(p);
    s.version = c.version = first, c.port = 443;
    REQUIRE(machines(p, &s, &c) == 0);
    if (then) vt__qtls_turn(p->s, then), vt__qtls_turn(p->c, then);
    CHECK_EQ(shake(p), 0);
    is_complete(p);
    CHECK_EQ(p->s->resumed, resumed), CHECK_EQ(p->c->resumed, resumed);
}
TEST(tickets_are_of_one_version) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    of_versions(&p, 1, 0, false);
    of_versions(&p, 2, 0, false); /* it has none to offer */
    of_versions(&p, 1, 0, true), of_versions(&p, 2, 0, true);
    of_versions(&p, 3, 4, false); /* begun in one, spoken in another */
    of_versions(&p, 3, 0, false), of_versions(&p, 4, 0, true);
    for (int i = 0; i < p.cx->sessions->n; i++) /* whatever it is offered */
        snprintf(p.cx->sessions->at[i].key, strlen(p.cx->sessions->at[i].key) + 1,
                 "site.example 443 00000007");
    of_versions(&p, 7, 0, false), of_versions(&p, 7, 0, true);
    SSL_CTX_set_session_ticket_cb(p.sx->ctx, NULL, vt__qtls_on_ticket_read, NULL);
    of_versions(&p, 8, 0, false); /* gives a ticket that names none, as TLS over TCP does */
    SSL_CTX_set_session_ticket_cb(p.sx->ctx, vt__qtls_on_ticket_made, vt__qtls_on_ticket_read, NULL);
    of_versions(&p, 8, 0, false), of_versions(&p, 8, 0, true);
    pair_end(&p);
}
TEST(arguments_that_are_wrong) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    REQUIRE(contexts(&p, &cfg, H3, &cc) == 0);
    vt__qtls_cfg s = server_of(&p), c = client_of(&p);
    static const uint8_t many[VT__QTLS_EARLY_MAX + 1];
    s.early = many, s.early_len = sizeof many;
    CHECK_EQ(vt__qtls_new(&p.s, &s), -EINVAL);
    s.early_len--;
    CHECK_EQ(vt__qtls_new(&p.s, &s), 0);
    CHECK_EQ(vt__qtls_recv(p.s, VT__QTLS_INITIAL, NULL, 0), 0);
    static char name[400];
    memset(name, 'a', sizeof name - 1);
    c.host = name;
    CHECK_EQ(vt__qtls_new(&p.c, &c), -EINVAL);
    CHECK(p.c == NULL);
    vt__qtls_free(NULL);
    pair_end(&p);
}

/* ---- memory ---- */
/* Two handshakes, the second one resumed, the n-th allocation of the second fails: 0, or how it ended. */
static int life(long n) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    CHECK_EQ(contexts(&p, &cfg, H3, &cc), 0);
    CHECK_EQ(early_pair(&p, limits), 0);
    CHECK_EQ(shake(&p), 0);
    vt__qtls_cfg s = server_of(&p), c = client_of(&p);
    c.port = 443;
    s.early = c.early = (const uint8_t *)limits;
    s.early_len = strlen(limits);
    s.strikes = &strikes;
    alloc_left = n;
    int r = machines(&p, &s, &c);
    if (r == 0) r = shake(&p);
    alloc_left = alloc_left < 0 ? 0 : alloc_left;
    if (alloc_left == 0 && n) CHECK(r <= 0);
    n = alloc_left;
    alloc_left = 0;
    pair_end(&p);
    return n ? 1 : r;
}
TEST(every_allocation_may_fail) {
    vt_log_set(NULL, NULL, VT_LOG_OFF);
    int failures = 0, r = 0;
    for (long n = 1; (r = life(n)) != 1; n += 1 + n / 100) failures += r < 0;
    CHECK(failures > 50);
    CHECK_EQ(life(0), 0);
    vt_log_set(NULL, NULL, 0);
}
