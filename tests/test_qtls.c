/* QUIC's handshake: two machines, each other's peer, in memory; and peers that are wrong, made of OpenSSL's own parts. */
/* variants: default asan tsan clang */
#define VTHTTP_TLS 1
#define VTHTTP_H3 1
#include <stdlib.h>
/* The n-th allocation from here on fails, OpenSSL's included; 0: none. */
static long alloc_left;
static int alloc_fails(void) {
    long n = __atomic_load_n(&alloc_left, __ATOMIC_RELAXED);
    return n > 0 && __atomic_sub_fetch(&alloc_left, 1, __ATOMIC_RELAXED) == 0;
}
static void *test_realloc(void *p, size_t n) { return alloc_fails() ? NULL : realloc(p, n); }
#define VTHTTP_REALLOC(p, n) test_realloc(p, n)
#define VTHTTP_FREE(p) free(p)
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "tls.h"

static void *ossl_malloc(size_t n, const char *file, int line) {
    (void)file, (void)line;
    return alloc_fails() ? NULL : malloc(n);
}
static void *ossl_realloc(void *p, size_t n, const char *file, int line) {
    (void)file, (void)line;
    return alloc_fails() ? NULL : realloc(p, n);
}
static void ossl_free(void *p, const char *file, int line) {
    (void)file, (void)line;
    free(p);
}
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
