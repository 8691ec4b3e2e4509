/* What QUIC's cryptography costs: packets sealed and opened, header protection, keys, tokens, handshakes (the server's part). The
 * best of some slices. -only=NAME runs one; -n= packets a slice, -reps= slices. */
#define VTHTTP_TLS 1
#define VTHTTP_H3 1
#define VTHTTP_STATIC 1
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"
#include "../tls.h"
#include "bench.h"

static void must(int r, const char *what) {
    if (r < 0) bench_die("%s: %s", what, vt_strerror(r));
}
/* ---- packets ---- */
enum what { SEAL, OPEN, MASK, KEYS, INITIAL, TOKEN };
static const struct measure {
    const char *name;
    enum what what;
    int aead;
    size_t size; /* bytes of a packet; samples */
} measures[] = {
    {"seal_aes128_1350", SEAL, VT__QSEC_AES128, 1350}, {"open_aes128_1350", OPEN, VT__QSEC_AES128, 1350},
    {"seal_aes256_1350", SEAL, VT__QSEC_AES256, 1350}, {"seal_chacha_1350", SEAL, VT__QSEC_CHACHA, 1350},
    {"open_chacha_1350", OPEN, VT__QSEC_CHACHA, 1350}, {"seal_aes128_40", SEAL, VT__QSEC_AES128, 40},
    {"open_aes128_40", OPEN, VT__QSEC_AES128, 40},     {"masks_aes_1", MASK, VT__QSEC_AES128, 1},
    {"masks_aes_16", MASK, VT__QSEC_AES128, 16},       {"masks_aes_64", MASK, VT__QSEC_AES128, 64},
    {"masks_chacha_1", MASK, VT__QSEC_CHACHA, 1},      {"keys_again", KEYS, VT__QSEC_AES128, 0},
    {"initial_to_open", INITIAL, VT__QSEC_AES128, 0}, /* what a forged first packet costs before it is opened */
    {"token_open", TOKEN, VT__QSEC_AES128, 0}};

static vt__qsec_keys seal_keys, open_keys;
static vt__qsec_hp hp;
static vt__qsec_secret secret;
static vt__qsec_vault vault;
static void initial(void) {
    vt__qsec_secret c, s;
    must(vt__qsec_initial(VT__QSEC_V1, (const uint8_t *)"12345678", 8, &c, &s), "initial secrets");
    must(vt__qsec_keys_init(&open_keys, &hp, VT__QSEC_V1, &c, false), "keys");
}
static double packets(const struct measure *m, long long n) {
    static uint8_t p[2048], sealed[2048], head[14], masks[64 * 16], token[VT__QSEC_TOKEN_MAX];
    vt__qsec_token t = {.kind = VT__QSEC_TOKEN_NEW}, got;
    int token_len = vt__qsec_token_seal(&vault, &t, "address", 7, token);
    memset(sealed, 7, sizeof sealed);
    must(vt__qsec_seal(&seal_keys, 9, head, sizeof head, sealed, m->size), "seal");
    int64_t from = bench_now(), spent = 0;
    for (long long i = 0; i < n; i++) {
        seal_keys.used = 0;
        switch (m->what) {
        case SEAL: must(vt__qsec_seal(&seal_keys, (uint64_t)i, head, sizeof head, p, m->size), "seal"); break;
        case OPEN:
            memcpy(p, sealed, m->size + 16); /* 10 to 20 ns of the result */
            must(vt__qsec_open(&open_keys, 9, head, sizeof head, p, m->size + 16), "open");
            break;
        case MASK: must(vt__qsec_mask(&hp, p, m->size, masks), "mask"); break;
        case KEYS: must(vt__qsec_keys_init(&open_keys, NULL, VT__QSEC_V1, &secret, false), "keys"); break;
        case INITIAL: initial(); break;
        case TOKEN:
            must(vt__qsec_token_open(&vault, token, (size_t)token_len, "address", 7, 0, 0, &got) - 1,
                 "token");
            break;
        }
    }
    spent = bench_now() - from;
    return (double)spent / (double)n;
}
static void packets_begin(const struct measure *m) {
    secret = (vt__qsec_secret){(uint8_t)m->aead, m->aead == VT__QSEC_AES256 ? 48 : 32, {9}};
    must(vt__qsec_keys_init(&seal_keys, NULL, VT__QSEC_V1, &secret, true), "keys");
    must(vt__qsec_keys_init(&open_keys, &hp, VT__QSEC_V1, &secret, false), "keys");
}

/* ---- handshakes ---- */
static int64_t server_ns;
static void carry(vt__qtls *from, vt__qtls *to, bool timed) {
    for (int level = 0; level < VT__QTLS_LEVELS; level++) {
        const uint8_t *p;
        size_t n = vt__qtls_out(from, level, &p);
        if (!n) continue;
        int64_t at = bench_now();
        must(vt__qtls_recv(to, level, p, n), "recv");
        if (timed) server_ns += bench_now() - at;
        vt__qtls_took(from, level, n);
    }
}
/* ns of the server's: begin, both flights, end. */
static double handshake(vt__ossl_ctx *sx, vt__ossl_ctx *cx, int port, bool resumed) {
    vt__qtls_cfg sc = {.ctx = sx, .params = (const uint8_t *)"parameters", .params_len = 10},
                 cc = {.ctx = cx,
                       .client = true,
                       .params = sc.params,
                       .params_len = 10,
                       .host = "localhost",
                       .port = port};
    vt__qtls *s, *c;
    must(vt__qtls_new(&c, &cc), "client");
    must(vt__qtls_go(c), "client");
    server_ns = -bench_now();
    must(vt__qtls_new(&s, &sc), "server");
    server_ns += bench_now();
    for (int i = 0; i < 6 && !(s->complete && c->complete && i > 3); i++) /* the fourth: tickets */
        carry(i & 1 ? s : c, i & 1 ? c : s, !(i & 1));
    if (!s->complete || !c->complete) bench_die("no handshake");
    if (s->resumed != resumed) bench_die("resumed: %d", s->resumed);
    int64_t at = bench_now();
    vt__qtls_free(s);
    server_ns += bench_now() - at;
    vt__qtls_free(c);
    return (double)server_ns;
}
static void handshakes(const char *name, int rsa, int port, long long n, int reps) {
    struct pem pem = pem_make("localhost", "DNS:localhost", NULL, 30, rsa);
    vt_tls_cert cert = {.cert_pem = pem.text};
    vt_tls_cfg cfg = {.certs = &cert, .ncerts = 1, .ticket_life_s = 1000};
    static vt__ossl_keys keys = {.every = 500 * VT_SEC};
    vt__ossl_client client = {.no_verify = true, .alpn = VT__STR_LIT("\x02h3")};
    vt__ossl_ctx *sx = NULL, *cx = NULL;
    vt__ossl_text text;
    must(vt__qtls_ctx_server(&sx, &cfg, &keys, VT__STR_LIT("\x02h3"), &text), "server's context");
    must(vt__qtls_ctx_client(&cx, &client, &text), "client's context");
    double best = 0, sum;
    (void)handshake(sx, cx, port, false);
    for (int i = 0; i < reps; i++) {
        sum = 0;
        for (long long k = 0; k < n; k++) sum += handshake(sx, cx, port, port != 0);
        best = i && best < sum ? best : sum;
    }
    printf("= quic_%s %.1f us - -\n", name, best / (double)n / 1000);
    vt__ossl_unref(sx);
    vt__ossl_unref(cx);
    pem_free(&pem);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"n", "reps", "only", NULL};
    bench_known(argc, argv, known);
    long long n = bench_num(argc, argv, "n", 200000), shakes = n / 500 + 1;
    int reps = (int)bench_num(argc, argv, "reps", 7);
    const char *only = bench_opt(argc, argv, "only", "");
    errno = 0;
    if (reps < 1 || n < 1) bench_die("-reps and -n are at least 1");
    must(vt__qsec_vault_init(&vault, NULL), "vault");
    for (size_t i = 0; i < VT__COUNT(measures); i++) {
        const struct measure *m = &measures[i];
        long long times = m->what < KEYS ? n : n / 10 + 1;
        double best = 0, v;
        if (*only && strcmp(only, m->name) != 0) continue;
        packets_begin(m);
        for (int k = 0; k < reps; k++) {
            v = packets(m, times);
            best = k && best < v ? best : v;
        }
        printf("= quic_%s %.1f ns - -\n", m->name, best);
    }
    if (!*only || strcmp(only, "handshake_p256") == 0) handshakes("handshake_p256", 0, 0, shakes, reps);
    if (!*only || strcmp(only, "handshake_resumed") == 0)
        handshakes("handshake_resumed", 0, 443, shakes, reps);
    if (!*only || strcmp(only, "handshake_rsa2048") == 0)
        handshakes("handshake_rsa2048", 2048, 0, shakes, reps);
    return 0;
}
