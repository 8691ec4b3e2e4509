/* The TLS machine in memory, and over socket pairs: both sides of it. */
/* variants: default asan tsan poll clang */
#define VTHTTP_TLS 1
#include "osslmem.h"
#include <pthread.h>

/* Under the implementation, to refuse threads. */
static int refuse_threads;
static int test_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
#define pthread_create test_create
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#undef pthread_create
#include "test.h"
#include "tls.h"
#include "names.h"

/* Names: there is one, which has no end but the root. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out) {
    bool known = strcmp(host, "site.example.") == 0 && !(hints->ai_flags & AI_NUMERICHOST);
    return name_is(known ? "127.0.0.1" : host, atoi(port), out);
}

static int test_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg) {
    return __atomic_load_n(&refuse_threads, __ATOMIC_RELAXED) ? EAGAIN : pthread_create(t, attr, fn, arg);
}

static struct pem ca, site;
static vt_tls_cert cert;
static vt_tls_cfg cfg;
static vt__ossl_keys keys;
static __attribute__((constructor)) void prepare(void) {
    CRYPTO_set_mem_functions(ossl_malloc, ossl_realloc, ossl_free);
    ca = pem_make("Test CA", NULL, NULL, 30, 0);
    site = pem_make("site", "DNS:site.example,IP:127.0.0.1", &ca, 30, 0);
    cert.cert_pem = site.text;
    cfg = (vt_tls_cfg){.certs = &cert, .ncerts = 1, .ticket_life_s = 1000};
    keys.every = 500 * VT_SEC;
}

/* Two machines, each other's peer. */
struct pair {
    vt__ossl s, c;
};
static int pair_open(struct pair *p, const vt__ossl_client *cc, const char *host) {
    vt__ossl_ctx *sx = NULL, *cx = NULL;
    vt__ossl_text text;
    memset(p, 0, sizeof *p);
    int r = vt__ossl_ctx_server(&sx, &cfg, &keys, vt__tls_alpn, &text);
    if (r < 0) return r;
    if ((r = vt__ossl_ctx_client(&cx, cc, &text)) < 0) {
        vt__ossl_unref(sx);
        return r;
    }
    if ((r = vt__ossl_open(&p->s, sx, false)) < 0) {
        vt__ossl_unref(cx);
        return r;
    }
    if ((r = vt__ossl_open(&p->c, cx, true)) < 0) return r;
    return vt__ossl_expect(&p->c, host, 0, 0);
}
static void pair_close(struct pair *p) {
    vt__ossl_close(&p->s);
    vt__ossl_close(&p->c);
}
/* What `from` has to send, at most n bytes of it, becomes the input of `to`, which must have used up what it had. */
static bool carry(vt__ossl *from, vt__ossl *to, size_t n) {
    static char buf[1 << 18];
    size_t k = VT__MIN(n, from->out_len - from->out_pos);
    CHECK_EQ(to->in_len, 0);
    if (k) memcpy(buf, from->out + from->out_pos, k);
    from->out_pos += k;
    to->in = buf, to->in_len = k;
    return k > 0;
}
static int pair_shake(struct pair *p, size_t n) {
    int rs = 0, rc = vt__ossl_shake(&p->c);
    for (bool moved = true; moved && (rs == 0 || rc == 0);) {
        moved = false;
        if (rs == 0 && carry(&p->c, &p->s, n)) rs = vt__ossl_shake(&p->s), moved = true;
        if (rc == 0 && carry(&p->s, &p->c, n)) rc = vt__ossl_shake(&p->c), moved = true;
    }
    return rc < 0 ? rc : rs < 0 ? rs : rs & rc;
}
/* Sends text both ways. */
static int pair_talk(struct pair *p, size_t n) {
    char got[64];
    size_t have = 0;
    int r = vt__ossl_write(&p->c, "from the client", 15);
    while (r == 0 && have < 15) {
        if (!carry(&p->c, &p->s, n)) return VT_EEOF;
        int64_t k = vt__ossl_read(&p->s, got + have, sizeof got - have);
        if (k > 0) have += (size_t)k;
        else if (k != -EAGAIN) return (int)k;
    }
    CHECK(r < 0 || memcmp(got, "from the client", 15) == 0);
    if (r == 0) r = vt__ossl_write(&p->s, "from the server", 15);
    for (have = 0; r == 0 && have < 15;) {
        if (!carry(&p->s, &p->c, n)) return VT_EEOF;
        int64_t k = vt__ossl_read(&p->c, got + have, sizeof got - have);
        if (k > 0) have += (size_t)k;
        else if (k != -EAGAIN) return (int)k;
    }
    CHECK(r < 0 || memcmp(got, "from the server", 15) == 0);
    return r;
}
static vt__ossl_client trusting(void) {
    return (vt__ossl_client){.ca_pem = ca.cert_text, .alpn = VT__STR_LIT("\x08http/1.1")};
}

/* Before all others: what is made once. */
TEST(memory_that_is_out_at_first) {
    vt__ossl_ctx *x = NULL;
    vt__ossl_text text;
    __atomic_store_n(&alloc_left, 2, __ATOMIC_RELAXED);
    int r = vt__ossl_ctx_server(&x, &cfg, &keys, vt__tls_alpn, &text);
    __atomic_store_n(&alloc_left, 0, __ATOMIC_RELAXED);
    if (r == 0) vt__ossl_unref(x);
    REQUIRE(vt__ossl_ctx_server(&x, &cfg, &keys, vt__tls_alpn, &text) == 0);
    vt__ossl_unref(x);
}
TEST(every_split_of_a_handshake_and_of_data) {
    const vt__ossl_client cc = trusting();
    for (size_t n = 1; n < 5000; n += n < 12 ? 1 : n) {
        struct pair p;
        REQUIRE(pair_open(&p, &cc, "site.example") == 0);
        CHECK_EQ(pair_shake(&p, n), 1);
        CHECK_EQ(pair_talk(&p, n), 0);
        CHECK(!vt__ossl_holds(&p.s) && p.s.in_len == 0);
        pair_close(&p);
    }
}
TEST(a_client_verifies_whom_it_speaks_to) {
    struct pem other = pem_make("Other CA", NULL, NULL, 30, 0);
    static const struct {
        const char *host;
        bool trusted, verify;
        int want;
    } cases[] = {{"site.example", true, true, 1},           {"127.0.0.1", true, true, 1},
                 {"other.example", true, true, VT_ECERT},   {"127.0.0.2", true, true, VT_ECERT},
                 {"site.example", false, true, VT_ECERT},   {"other.example", false, false, 1},
                 {"sub.site.example", true, true, VT_ECERT}};
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        struct pair p;
        vt__ossl_client cc = trusting();
        cc.ca_pem = cases[i].trusted ? ca.cert_text : other.cert_text;
        cc.no_verify = !cases[i].verify;
        REQUIRE(pair_open(&p, &cc, cases[i].host) == 0);
        CHECK_EQ(pair_shake(&p, 100000), cases[i].want);
        pair_close(&p);
    }
    pem_free(&other);
}
TEST(close_notify_is_an_end_and_its_absence_none) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    char buf[16];
    REQUIRE(pair_open(&p, &cc, "site.example") == 0);
    CHECK_EQ(pair_shake(&p, 100000), 1);
    CHECK_EQ(vt__ossl_read(&p.s, buf, sizeof buf), -EAGAIN);
    vt__ossl_end(&p.c);
    vt__ossl_end(&p.c);
    carry(&p.c, &p.s, 100000);
    CHECK_EQ(vt__ossl_read(&p.s, buf, sizeof buf), 0);
    CHECK_EQ(vt__ossl_write(&p.c, "x", 1), -EPIPE);
    CHECK_EQ(vt__ossl_write(&p.s, "half", 4), 0); /* the other half goes on */
    carry(&p.s, &p.c, 100000);
    CHECK_EQ(vt__ossl_read(&p.c, buf, sizeof buf), 4);
    pair_close(&p);
}
TEST(records_without_data_are_bounded) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    char buf[16];
    int64_t r = -EAGAIN;
    int n = 0;
    REQUIRE(pair_open(&p, &cc, "site.example") == 0);
    CHECK_EQ(pair_shake(&p, 100000), 1);
    for (; n < 100000 && r == -EAGAIN; n++) {
        if (SSL_key_update(p.c.ssl, SSL_KEY_UPDATE_REQUESTED) != 1) break;
        if (SSL_do_handshake(p.c.ssl) != 1) break;
        carry(&p.c, &p.s, 100000);
        r = vt__ossl_read(&p.s, buf, sizeof buf);
    }
    CHECK_EQ(r, VT_ETLS);
    CHECK(n > 3 && n < 5000);
    CHECK(p.s.out_cap <= VT__OSSL_OUT_MAX);
    pair_close(&p);
}
TEST(a_bad_record_is_an_error_for_good) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    char buf[16];
    REQUIRE(pair_open(&p, &cc, "site.example") == 0);
    CHECK_EQ(pair_shake(&p, 100000), 1);
    CHECK_EQ(vt__ossl_write(&p.c, "abc", 3), 0);
    p.c.out[p.c.out_len - 1] ^= 1;
    carry(&p.c, &p.s, 100000);
    CHECK_EQ(vt__ossl_read(&p.s, buf, sizeof buf), VT_ETLS);
    CHECK_EQ(vt__ossl_read(&p.s, buf, sizeof buf), VT_ETLS);
    CHECK_EQ(vt__ossl_write(&p.s, "x", 1), VT_ETLS);
    CHECK(p.s.out_len > p.s.out_pos); /* the alert */
    pair_close(&p);
}
TEST(ticket_keys_turn_in_time) {
    vt__ossl_keys ks = {.every = 3600 * VT_SEC};
    struct vt__ossl_key first, k;
    REQUIRE(vt__ossl_key_find(&ks, NULL, &first) == 0);
    CHECK_EQ(ks.n, 1);
    CHECK(ks.due > vt_now() + 3500 * VT_SEC);
    REQUIRE(vt__ossl_key_find(&ks, NULL, &k) == 0);
    CHECK(memcmp(&k, &first, sizeof k) == 0); /* not yet */
    for (int turns = 1; turns <= 3; turns++) {
        ks.due = vt_now() - 1;
        REQUIRE(vt__ossl_key_find(&ks, NULL, &k) == 0);
        CHECK(memcmp(&k, &first, sizeof k) != 0);
        CHECK_EQ(vt__ossl_key_find(&ks, first.name, &k), turns < 3 ? turns : -1);
        CHECK(turns == 3 || memcmp(&k, &first, sizeof k) == 0);
    }
    REQUIRE(vt__ossl_key_find(&ks, NULL, &first) == 0);
    ks.due = vt_now() - 2 * ks.every; /* for so long nobody came: no ticket is young enough */
    CHECK_EQ(vt__ossl_key_find(&ks, first.name, &k), -1);
    CHECK_EQ(ks.n, 1);
}
/* Handshakes of several OS threads. */
static void *keys_turn(void *ks) {
    struct vt__ossl_key k;
    for (int i = 0; i < 1000; i++) CHECK(vt__ossl_key_find(ks, NULL, &k) == 0);
    return NULL;
}
TEST(ticket_keys_turn_under_several_threads) {
    vt__ossl_keys ks = {.every = 10000};
    pthread_t t[2];
    for (int i = 0; i < 2; i++) REQUIRE(pthread_create(&t[i], NULL, keys_turn, &ks) == 0);
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
    CHECK(ks.n >= 1 && ks.n <= 3);
}
/* Whoever else uses OpenSSL on this thread may look at the queue without clearing it first. */
TEST(the_error_queue_is_left_empty) {
    static const char broken[] = "-----BEGIN PRIVATE KEY-----\nMIIBAAAA\n-----END PRIVATE KEY-----\n";
    vt__ossl_client cc = trusting();
    vt__ossl_ctx *x;
    vt__ossl_text text;
    struct pair p;
    char buf[16];
    ERR_clear_error();
    vt_tls_cfg asks = cfg;
    asks.client_ca_pem = ca.cert_text;
    REQUIRE(vt__ossl_ctx_server(&x, &asks, &keys, vt__tls_alpn, &text) == 0);
    CHECK_EQ(ERR_peek_error(), 0);
    vt__ossl_unref(x);
    REQUIRE(vt__ossl_ctx_client(&x, &cc, &text) == 0);
    CHECK_EQ(ERR_peek_error(), 0);
    vt__ossl_unref(x);
    REQUIRE(pair_open(&p, &cc, "site.example") == 0);
    CHECK_EQ(pair_shake(&p, 100000), 1);
    CHECK_EQ(ERR_peek_error(), 0);
    CHECK_EQ(pair_talk(&p, 100000), 0);
    CHECK_EQ(vt__ossl_write(&p.c, "abc", 3), 0);
    p.c.out[p.c.out_len - 1] ^= 1;
    carry(&p.c, &p.s, 100000);
    CHECK_EQ(vt__ossl_read(&p.s, buf, sizeof buf), VT_ETLS);
    CHECK_EQ(ERR_peek_error(), 0);
    pair_close(&p);
    REQUIRE(pair_open(&p, &cc, "other.example") == 0);
    CHECK_EQ(pair_shake(&p, 100000), VT_ECERT);
    CHECK_EQ(ERR_peek_error(), 0);
    pair_close(&p);
    CHECK_EQ(ERR_peek_error(), 0);
    vt_tls_cert bad = {.cert_pem = site.cert_text, .key_pem = broken};
    vt_tls_cfg bad_cfg = {.certs = &bad, .ncerts = 1};
    CHECK_EQ(vt__ossl_ctx_server(&x, &bad_cfg, &keys, vt__tls_alpn, &text), VT_ECONF);
    CHECK_EQ(ERR_peek_error(), 0);
    cc.ca_pem = "no certificate";
    CHECK_EQ(vt__ossl_ctx_client(&x, &cc, &text), VT_ECONF);
    CHECK(strncmp(text.text, "tls_ca_pem: no certificate can be read: ", 40) == 0);
    CHECK_EQ(ERR_peek_error(), 0);
    cc = (vt__ossl_client){.cert = &bad};
    CHECK_EQ(vt__ossl_ctx_client(&x, &cc, &text), VT_ECONF);
    CHECK(strncmp(text.text, "key_pem: no private key can be read: ", 37) == 0);
}
/* Of what is to be sent, the first record. */
static size_t ticket_first(const vt__ossl *o) {
    const uint8_t *p = (const uint8_t *)o->out + o->out_pos;
    return 5 + ((size_t)p[3] << 8 | p[4]);
}
/* A message behind the handshake that has come in part: the rest comes first, whatever is to be said. */
TEST(half_a_ticket) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    char buf[16];
    REQUIRE(pair_open(&p, &cc, "site.example") == 0);
    SSL_CTX_set_session_ticket_cb(SSL_get_SSL_CTX(p.s.ssl), ticket_long, ticket_used, NULL);
    SSL_set_max_send_fragment(p.s.ssl, 512);
    int r = vt__ossl_shake(&p.c);
    while (r == 0) {
        carry(&p.c, &p.s, 100000), (void)vt__ossl_shake(&p.s);
        carry(&p.s, &p.c, 100000), r = vt__ossl_shake(&p.c);
    }
    CHECK_EQ(r, 1);
    carry(&p.c, &p.s, 100000);
    CHECK_EQ(vt__ossl_shake(&p.s), 1);
    carry(&p.s, &p.c, ticket_first(&p.s));
    CHECK_EQ(vt__ossl_read(&p.c, buf, sizeof buf), -EAGAIN);
    CHECK_EQ(vt__ossl_write(&p.c, "ping", 4), -EAGAIN);
    CHECK_EQ(p.c.out_len, p.c.out_pos);
    vt__ossl_end(&p.c); /* which cannot be said now */
    CHECK_EQ(ERR_peek_error(), 0);
    pair_close(&p);
}
/* A server's and a client's whole life, in which the n-th allocation fails (0: none). */
static int life(long n) {
    const vt__ossl_client cc = trusting();
    struct pair p;
    __atomic_store_n(&alloc_left, n, __ATOMIC_RELAXED);
    int r = pair_open(&p, &cc, "site.example");
    if (r == 0) r = pair_shake(&p, 100000);
    if (r == 1) r = pair_talk(&p, 1000);
    __atomic_store_n(&alloc_left, 0, __ATOMIC_RELAXED);
    pair_close(&p);
    ERR_clear_error();
    return r;
}
/* Each of those that set up, and some of the many others (VT_EVERY=1: all): an error, or none where it can be done without; nothing leaks
 * (ASan), nothing crashes, and the next one works. */
TEST(every_allocation_may_fail) {
    enum { EACH = 700 }; /* a context's own; behind it certificates and keys are decoded, by thousands */
    uint64_t rnd = test_seed();
    vt_log_set(NULL, NULL, VT_LOG_OFF);
    CHECK_EQ(life(0), 0);
    alloc_seen = 0;
    CHECK_EQ(life(0), 0);
    long all = alloc_seen, samples = VT__ASAN || VT__TSAN ? 150 : 400;
    const char *every = getenv("VT_EVERY");
    uint64_t step = every ? 1 : (uint64_t)(2 * (all - EACH) / samples + 1);
    for (long n = 1; n <= all; n += n < EACH ? 1 : 1 + (long)(test_rand(&rnd) % step)) CHECK(life(n) <= 0);
    CHECK_EQ(life(0), 0);
    vt_log_set(NULL, NULL, 0);
}
/* What is trusted, read while memory is out for a moment: nothing, or it serves as well as ever. */
TEST(trust_that_is_read_without_memory_is_whole_or_none) {
    const vt__ossl_client cc = trusting(), nobody = {.no_verify = true};
    vt__ossl_ctx *x;
    vt__ossl_text text;
    struct pair p;
    long counts[2];
    for (int i = 0; i < 4; i++) { /* twice: what is made once does not count */
        alloc_seen = 0;
        REQUIRE(vt__ossl_ctx_client(&x, i % 2 ? &cc : &nobody, &text) == 0);
        vt__ossl_unref(x);
        counts[i % 2] = alloc_seen;
    }
    int made = 0;
    for (long n = counts[0] + 1; n <= counts[1]; n += VT__ASAN || VT__TSAN ? 31 : 7) {
        __atomic_store_n(&alloc_left, n, __ATOMIC_RELAXED);
        int r = vt__ossl_ctx_client(&x, &cc, &text);
        __atomic_store_n(&alloc_left, 0, __ATOMIC_RELAXED);
        if (r < 0) continue;
        made++;
        REQUIRE(pair_open(&p, &cc, "site.example") == 0);
        vt__ossl_close(&p.c);
        CHECK_EQ(vt__ossl_open(&p.c, x, true), 0);
        CHECK_EQ(vt__ossl_expect(&p.c, "site.example", 0, 0), 0);
        CHECK_EQ(pair_shake(&p, 100000), 1);
        pair_close(&p);
    }
    CHECK(made > 2);
}

/* ---- over a socket pair ---- */
static struct {
    int fd[2];
    vt__tls_gate *gate;
    vt__ossl_ctx *client;
    const char *host;
    int64_t total, until;
    bool cut, mute, tries, alone; /* alone: no more OS threads can be made */
    bool answered;                /* the client has come to a result */
    int shaken, err, room;        /* room: of the server's socket; 0: little */
    int64_t took[4], owed; /* what the first tries came to; the most that was encrypted and had to wait */
    int ntook;
} w;
static void fill(char *p, size_t n, int64_t at) {
    for (size_t i = 0; i < n; i++) p[i] = (char)((at + (int64_t)i) * 31 % 251);
}
/* Sends `total` bytes by tries. */
static void try_all(vt__conn *c) {
    static char all[1 << 20];
    vt__tls *t = c->up;
    fill(all, (size_t)w.total, 0);
    for (int64_t at = 0, r = 0; at < w.total && r >= 0; at += VT__MAX(r, 0)) {
        struct iovec v = {all + at, (size_t)(w.total - at)};
        r = vt__conn_send_try(c, &v, 1);
        w.owed = VT__MAX(w.owed, (int64_t)t->owed);
        if (w.ntook < 4) w.took[w.ntook++] = r;
        if (r == -EAGAIN) r = vt__conn_send_wait(c, 0);
        else if (r < 0) w.err = (int)r;
        else continue;
        r = VT__MIN(r, 0);
    }
}
/* Accepts, sends `total` bytes in slices of every size, then ends. */
static int server(void *arg) {
    static char piece[100000];
    vt__conn c;
    vt__conn_io io;
    (void)arg;
    memset(&c, 0, sizeof c);
    memset(&io, 0, sizeof io);
    vt__conn_open(&c, w.fd[0]);
    vt__tls_accept(&c);
    io.c = &c, io.thr = vt__sched_thr();
    int r = VT__TLS_WAIT;
    while (w.mute && recv(w.fd[0], piece, 1, MSG_PEEK) < 0) (void)vt_sleep_ms(1); /* the hello, or the end */
    while (w.mute && w.until && !__atomic_load_n(&w.answered, __ATOMIC_SEQ_CST)) (void)vt_sleep_ms(1);
    while (!w.mute && (r = vt__tls_step(&c, w.gate, 0)) == VT__TLS_WAIT)
        if (vt__io_wait(&c.pd, VT__PD_R, 0) < 0) break;
    w.shaken = r;
    if (r == VT__TLS_DONE && w.tries) try_all(&c);
    for (int64_t at = 0, step = 1; r == VT__TLS_DONE && !w.tries && at < w.total && io.err == 0;
         at += step, step = step * 3 % 99991) {
        size_t n = (size_t)VT__MIN(step, w.total - at), a = n / 3, b = n / 7;
        fill(piece, n, at);
        struct iovec v[4] = {{piece, a}, {piece + a, b}, {piece, 0}, {piece + a + b, n - a - b}};
        (void)vt__conn_send_all(&io, v, 4);
    }
    if (!w.tries) w.err = io.err;
    if (!w.cut) vt__conn_end(&io);
    (void)vt__conn_close(&c);
    return 0;
}
static int64_t got;
static int client(void *arg) {
    static char buf[70000], want[70000];
    vt__conn c;
    vt_task *t = vt_async_any(server, NULL);
    (void)arg;
    memset(&c, 0, sizeof c);
    vt__conn_open(&c, w.fd[1]);
    __atomic_store_n(&refuse_threads, w.alone, __ATOMIC_RELAXED);
    int r = vt__tls_connect(&c, w.client, w.host, 0, false, w.until);
    __atomic_store_n(&w.answered, true, __ATOMIC_SEQ_CST);
    int64_t n = 1;
    for (got = 0; r == 0 && (n = vt__conn_recv(&c, buf, 1 + (size_t)(got % 69000), 0)) > 0; got += n) {
        fill(want, (size_t)n, got);
        CHECK(memcmp(buf, want, (size_t)n) == 0);
    }
    if (r == 0) r = (int)n;
    (void)vt__conn_close(&c);
    int e = vt_await(t, NULL);
    __atomic_store_n(&refuse_threads, 0, __ATOMIC_RELAXED);
    return e < 0 ? e : r;
}
/* What the client came to. */
static int over_sockets(int64_t total) {
    const vt__ossl_client cc = trusting();
    vt__ossl_text text;
    vt__tls_files *files;
    const char *bad;
    char why[512];
    int small = w.room ? w.room : 4096;
    vt_cfg rt = {.workers = w.tries ? 1 : 2}; /* 1: nobody reads between two tries */
    w.gate = NULL, w.client = NULL;
    w.total = total;
    if (!w.host) w.host = "site.example";
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, w.fd) < 0) return -errno;
    setsockopt(w.fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    int r = vt__tls_gate_new(&w.gate, &cfg, &bad);
    if (r == 0) r = vt__tls_gate_read(w.gate, false, &files, why, sizeof why);
    if (r == 0) vt__tls_gate_use(w.gate, files);
    if (r == 0) r = vt__ossl_ctx_client(&w.client, &cc, &text);
    if (r == 0) r = vt_run(&rt, client, NULL);
    if (w.client) vt__ossl_unref(w.client);
    vt__tls_gate_free(w.gate);
    return r;
}
TEST(a_stream_of_every_size_of_slice) {
    memset(&w, 0, sizeof w);
    CHECK_EQ(over_sockets(3000000), 0);
    CHECK_EQ(got, 3000000);
    CHECK_EQ(w.shaken, VT__TLS_DONE);
    CHECK_EQ(w.err, 0);
}
/* The more the socket takes, the more is encrypted for one system call. */
TEST(records_go_in_runs_where_the_socket_has_room) {
    memset(&w, 0, sizeof w);
    w.tries = true, w.room = 1 << 20;
    CHECK_EQ(over_sockets(1000000), 0);
    CHECK_EQ(got, 1000000);
    CHECK_EQ(w.err, 0);
    CHECK_EQ(w.took[0], 16384);
    CHECK_EQ(w.took[1], 32768);
    CHECK(w.owed <= VT__TLS_RUN);
}
/* Else a record is all that waits, and what the socket has of it counts as sent: the time for a write is that of no progress. */
TEST(a_record_at_a_time_where_it_has_little) {
    memset(&w, 0, sizeof w);
    w.tries = true;
    CHECK_EQ(over_sockets(300000), 0);
    CHECK_EQ(got, 300000);
    CHECK_EQ(w.err, 0);
    CHECK(w.took[0] > 0 && w.took[0] < VT__TLS_RECORD);
    CHECK(w.owed > 0 && w.owed <= VT__TLS_RECORD);
}
TEST(a_stream_that_is_cut) {
    memset(&w, 0, sizeof w);
    w.cut = true;
    CHECK_EQ(over_sockets(100000), VT_EEOF);
    CHECK_EQ(got, 100000);
}
TEST(a_server_that_is_somebody_else) {
    memset(&w, 0, sizeof w);
    w.host = "else.example";
    CHECK_EQ(over_sockets(100), VT_ECERT);
    CHECK(w.shaken < 0);
}
/* What takes longer is done where it is when nobody else can be had for it. */
TEST(a_dear_handshake_without_a_pool) {
    struct pem rsa = pem_make("site", "DNS:site.example", &ca, 30, 2048);
    memset(&w, 0, sizeof w);
    w.alone = true;
    cert.cert_pem = rsa.text;
    CHECK_EQ(over_sockets(1000), 0);
    CHECK_EQ(got, 1000);
    CHECK_EQ(w.shaken, VT__TLS_DONE);
    cert.cert_pem = site.text;
    pem_free(&rsa);
}
TEST(a_server_that_says_nothing) {
    memset(&w, 0, sizeof w);
    w.mute = true;
    w.until = vt_now() + 20 * VT_MS;
    CHECK_EQ(over_sockets(100), -ETIMEDOUT);
    w.until = 0;
    CHECK_EQ(over_sockets(100), -ECONNRESET); /* it leaves with the hello unread */
}

/* ---- a program's own connections ---- */
/* A server that speaks first, echoes, and ends as it is told; what it saw. */
static struct {
    vt_sock *listener;
    vt__tls_gate *gate;
    char addr[VT_ADDR_MAX], name[64], subject[64];
    bool starttls, cut, mute, leave, closed, rooted, elsewhere;
    int shaken;
    int64_t ended;
} own;
static int own_starttls(vt_sock *s) {
    char buf[16];
    if (vt_write(s, "220 go on\n", 10) != 10 || vt_read_full(s, buf, 9) != 9) return -EPROTO;
    return memcmp(buf, "STARTTLS\n", 9) == 0 ? 0 : -EPROTO;
}
static void own_echo(vt__conn *c) {
    vt__conn_io io = {.c = c, .thr = vt__sched_thr()};
    vt__tls *t = c->up;
    const char *name = SSL_get_servername(t->o.ssl, TLSEXT_NAMETYPE_host_name);
    X509 *shown = SSL_get0_peer_certificate(t->o.ssl);
    char buf[1000];
    snprintf(own.name, sizeof own.name, "%s", name ? name : "-");
    if (shown) X509_NAME_oneline(X509_get_subject_name(shown), own.subject, sizeof own.subject);
    struct iovec hi = {(char *)(uintptr_t) "hi", 2};
    (void)vt__conn_send_all(&io, &hi, 1);
    while ((own.ended = vt__conn_recv(c, buf, sizeof buf, 0)) > 0) {
        struct iovec v = {buf, (size_t)own.ended};
        if (buf[0] == 'q') break;
        (void)vt__conn_send_all(&io, &v, 1);
    }
    if (!own.cut) vt__conn_end(&io);
}
static int own_server(void *arg) {
    vt_sock *s;
    vt__conn c;
    (void)arg;
    if (vt_accept(own.listener, &s) < 0) return 0;
    if (own.starttls && own_starttls(s) < 0) own.mute = true;
    vt__conn_open(&c, vt__io_detach(s));
    vt__tls_accept(&c);
    int r = VT__TLS_WAIT;
    while (own.mute && vt_sleep_ms(10000) >= 0) continue; /* until the client has gone, and cancels */
    while (!own.mute && (r = vt__tls_step(&c, own.gate, 0)) == VT__TLS_WAIT)
        if (vt__io_wait(&c.pd, VT__PD_R, 0) < 0) break;
    own.shaken = r;
    if (r == VT__TLS_DONE) own_echo(&c);
    (void)vt__conn_close(&c);
    own.closed = true;
    return 0;
}
/* A ticket that does not fit in a record, of which one comes before the client writes, and the rest when it waits with that. */
static struct {
    vt__tls_gate *gate;
    int fd[2];
    bool half, writing; /* that has come; it does */
    bool reads;         /* the client, meanwhile: there is data behind the ticket */
    vt__ossl *rest;
    char got[16];
} ticket;
static void ticket_send(vt__conn_io *io, vt__ossl *o, size_t n) {
    struct iovec v = {o->out + o->out_pos, n};
    CHECK_EQ(vt__conn_send_all(io, &v, 1), 0);
    o->out_pos += n;
}
static int ticket_server(void *arg) {
    char in[4096];
    vt__conn c;
    vt__ossl o;
    int64_t r = 0;
    (void)arg;
    memset(&o, 0, sizeof o);
    memset(&c, 0, sizeof c);
    vt__conn_open(&c, ticket.fd[0]);
    vt__conn_io io = {.c = &c, .thr = vt__sched_thr()};
    CHECK_EQ(vt__ossl_open(&o, vt__tls_gate_ctx(ticket.gate), false), 0);
    SSL_set_max_send_fragment(o.ssl, 512);
    while (r == 0) {
        if ((r = vt__conn_recv(&c, in, sizeof in, 0)) <= 0) break;
        o.in = in, o.in_len = (size_t)r;
        if ((r = vt__ossl_shake(&o)) == 0) ticket_send(&io, &o, o.out_len - o.out_pos);
    }
    CHECK_EQ(r, 1);
    size_t first = ticket_first(&o);
    CHECK(o.out_len - o.out_pos > first + 500);
    ticket_send(&io, &o, first);
    ticket.rest = &o;
    if (ticket.reads) CHECK_EQ(vt__ossl_write(&o, "pong", 4), 0);
    for (ticket.half = true; !ticket.writing;) (void)vt_sleep_ms(1);
    if (!ticket.reads) ticket_send(&io, &o, o.out_len - o.out_pos);
    while (r == 1 || r == -EAGAIN) {
        if ((r = vt__conn_recv(&c, in, sizeof in, 0)) <= 0) break;
        o.in = in, o.in_len = (size_t)r;
        r = vt__ossl_read(&o, ticket.got, sizeof ticket.got);
    }
    (void)vt__conn_close(&c);
    vt__ossl_close(&o);
    return (int)r;
}
static int ticket_reader(void *c) {
    char buf[16];
    int64_t n = vt__conn_recv(c, buf, sizeof buf, 0);
    CHECK(n != 4 || memcmp(buf, "pong", 4) == 0);
    return (int)n;
}
/* One waits with half a ticket, and the rest is there, with data behind it, when another writes. */
static void ticket_taken(vt__conn *c) {
    struct iovec v = {(char *)(uintptr_t) "ping", 4};
    vt_task *t = vt_async(ticket_reader, c);
    vt__ossl *o = ticket.rest;
    int n = 0;
    while (!SSL_in_init(((vt__tls *)c->up)->o.ssl)) (void)vt_sleep_ms(1);
    size_t left = o->out_len - o->out_pos;
    CHECK_EQ(send(ticket.fd[0], o->out + o->out_pos, left, MSG_NOSIGNAL), (ssize_t)left);
    o->out_pos = o->out_len;
    CHECK_EQ(vt__conn_send_try(c, &v, 1), 4); /* no event was looked for between the two */
    CHECK_EQ(vt_await_until(t, vt_now() + 10 * VT_SEC, &n), 0);
    CHECK_EQ(n, 4);
    if (n == 0) vt_cancel(t), (void)vt_await(t, NULL);
    ticket.writing = true;
}
static void ticket_waits(vt__conn *c, vt__conn_io *io) {
    struct iovec v = {(char *)(uintptr_t) "ping", 4};
    vt__tls *tls = c->up;
    char buf[16];
    CHECK_EQ(vt__conn_recv(c, buf, sizeof buf, vt_now() + 20 * VT_MS), -ETIMEDOUT);
    CHECK(SSL_in_init(tls->o.ssl));
    ticket.writing = true;
    CHECK_EQ(vt__conn_send_all(io, &v, 1), 0);
    CHECK_EQ(vt__conn_recv_try(c, buf, sizeof buf), -EAGAIN); /* nor is what came with it forgotten */
    CHECK(!SSL_in_init(tls->o.ssl) && !tls->in.p);
}
static int ticket_client(void *arg) {
    vt_task *t = vt_async(ticket_server, NULL);
    vt__conn c;
    memset(&c, 0, sizeof c);
    vt__conn_open(&c, ticket.fd[1]);
    vt__conn_io io = {.c = &c, .thr = vt__sched_thr(), .write_ns = 10 * VT_SEC};
    CHECK_EQ(vt__tls_connect(&c, arg, "site.example", 0, false, 0), 0);
    CHECK_EQ(vt__tls_push_all(&c, c.up, 0), 0);
    while (!ticket.half) (void)vt_sleep_ms(1);
    if (ticket.reads) ticket_taken(&c);
    else ticket_waits(&c, &io);
    (void)vt__conn_close(&c);
    int n = 0, r = vt_await(t, &n);
    return r < 0 ? r : n;
}
static void with_ticket(bool reads) {
    const vt__ossl_client cc = trusting();
    vt__ossl_text text;
    vt__ossl_ctx *x = NULL;
    vt__tls_files *files;
    const char *bad;
    char why[512];
    vt_cfg rt = {.workers = 1};
    memset(&ticket, 0, sizeof ticket);
    ticket.reads = reads;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ticket.fd) == 0);
    REQUIRE(vt__tls_gate_new(&ticket.gate, &cfg, &bad) == 0);
    REQUIRE(vt__tls_gate_read(ticket.gate, false, &files, why, sizeof why) == 0);
    SSL_CTX_set_session_ticket_cb(files->ctx, ticket_long, ticket_used, NULL);
    vt__tls_gate_use(ticket.gate, files);
    REQUIRE(vt__ossl_ctx_client(&x, &cc, &text) == 0);
    CHECK_EQ(vt_run(&rt, ticket_client, x), 4);
    CHECK(memcmp(ticket.got, "ping", 4) == 0);
    vt__ossl_unref(x);
    vt__tls_gate_free(ticket.gate);
}
TEST(a_write_behind_half_a_ticket) { with_ticket(false); }
TEST(what_a_write_takes_in_is_told_to_who_reads) { with_ticket(true); }

static vt_tls_client_cfg own_cfg;
static int64_t own_until;
/* Says "ping", and "q"; then what the server's end came to, or the first error. */
static int64_t own_talk(vt_stream *st) {
    char buf[16];
    for (int ms = 0; own.shaken == 99 && ms < 10000; ms++) (void)vt_sleep_ms(1);
    CHECK_EQ(own.shaken, VT__TLS_DONE); /* without a word of ours */
    int64_t n = vt_stream_read(st, buf, sizeof buf);
    CHECK(n < 0 || (n == 2 && memcmp(buf, "hi", 2) == 0));
    if (n < 0) return n;
    int64_t before = vt_deadline_set(vt_now() + 5 * VT_MS);
    CHECK_EQ(vt_stream_read(st, buf, sizeof buf), -ETIMEDOUT);
    (void)vt_deadline_set(before); /* after which all goes on */
    CHECK_EQ(vt_stream_write(st, "ping", 4), 4);
    for (size_t k = 0; k < 4; k += (size_t)n)
        if ((n = vt_stream_read(st, buf + k, sizeof buf - k)) <= 0) return n;
    CHECK(memcmp(buf, "ping", 4) == 0);
    if (own.leave) return 0;
    CHECK_EQ(vt_stream_write(st, "q", 1), 1);
    for (int again = 0; again < 2; again++) /* an end stays one */
        if ((n = vt_stream_read(st, buf, sizeof buf)) != 0) return n;
    for (int ms = 0; !own.closed && ms < 10000; ms++) (void)vt_sleep_ms(1);
    CHECK_EQ(vt_stream_shutdown(st), 0); /* an end in answer to one, though nobody is there to hear it */
    return 0;
}
static int own_connect(vt_stream **st) {
    vt_sock *s;
    char buf[16];
    int r;
    if (!own.starttls) return vt_tls_dial(st, own.addr, &own_cfg, own_until);
    if ((r = vt_dial(&s, own.addr, NULL)) < 0) return r;
    CHECK_EQ(vt_read_full(s, buf, 10), 10);
    CHECK_EQ(vt_write(s, "STARTTLS\n", 9), 9);
    return vt_tls_client_take(st, s, &own_cfg, own_until);
}
/* From now on another thread drives the domain: for 30 ms it has events in hand, of the stream's descriptor maybe. */
static void *own_driver(void *real) {
    vt__dom *d = vt__sched_g.doms[0];
    for (int64_t end = vt_now() + 30 * VT_MS;
         vt_now() < end && !__atomic_load_n(&alloc_gone, __ATOMIC_SEQ_CST);)
        vt__plat_sleep(100000);
    CHECK_EQ(__atomic_load_n(&alloc_gone, __ATOMIC_SEQ_CST), 0);
    __atomic_store_n(&d->owner, real, __ATOMIC_SEQ_CST);
    vt__sched_dom_unlock(d);
    return NULL;
}
static void own_elsewhere(vt_stream *st) {
    static vt__thr another;
    vt__dom *d = vt__sched_g.doms[0];
    pthread_t os;
    alloc_watched = VT__CONTAINER(st, vt__tls_stream, st), alloc_gone = 0;
    vt__sched_dom_lock(d);
    __atomic_store_n(&d->owner, &another, __ATOMIC_SEQ_CST);
    CHECK_EQ(pthread_create(&os, NULL, own_driver, vt__sched_thr()), 0);
    CHECK_EQ(pthread_detach(os), 0);
}
static int own_client(void *arg) {
    vt_stream *st = NULL;
    (void)arg;
    if (vt_listen(&own.listener, "127.0.0.1:0", NULL) < 0) return -EADDRINUSE;
    vt_sock_local(own.listener, own.addr, sizeof own.addr);
    if (own.rooted) snprintf(own.addr, sizeof own.addr, "site.example.:%d", vt_sock_port(own.listener));
    vt_task *t = vt_async(own_server, NULL);
    int64_t r = own_connect(&st);
    CHECK_EQ(r == 0, st != NULL);
    if (r == 0) r = own_talk(st);
    if (own.elsewhere) own_elsewhere(st);
    vt_tls_close(st);
    if (own.mute || r == -EINVAL || r == VT_ECONF) vt_cancel(t);
    (void)vt_await(t, NULL);
    vt_sock_close(own.listener);
    return (int)r;
}
static int open_files(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}
/* What the client came to. */
static int own_run(void) {
    const char *bad;
    char why[512];
    vt__tls_files *files;
    vt_cfg rt = {.workers = 1};
    int before = open_files(), r = vt__tls_gate_new(&own.gate, &cfg, &bad);
    if (r == 0) r = vt__tls_gate_read(own.gate, false, &files, why, sizeof why);
    if (r == 0) vt__tls_gate_use(own.gate, files);
    if (r == 0) r = vt_run(&rt, own_client, NULL);
    vt__tls_gate_free(own.gate);
    CHECK_EQ(open_files(), before);
    return r;
}
static void own_fresh(void) {
    memset(&own, 0, sizeof own);
    own.shaken = 99;
    own_until = 0;
    own_cfg = (vt_tls_client_cfg){.ca_pem = ca.cert_text};
}
/* What a listener's copy of its configuration holds is gone before the memory is another's. */
TEST(secrets_are_wiped) {
    static const char password[] = "open sesame, and be forgotten";
    const vt_tls_cert one = {.cert_pem = site.cert_text, .key_pem = site.key_text, .password = password};
    const vt_tls_cfg secret = {.certs = &one, .ncerts = 1};
    const char *const secrets[] = {password, site.key_text};
    for (size_t i = 0; i < 2; i++) {
        vt__tls_gate *g = NULL;
        const char *bad;
        REQUIRE(vt__tls_gate_new(&g, &secret, &bad) == 0);
        alloc_secret = secrets[i], alloc_leaks = 0;
        vt__tls_gate_free(g);
        alloc_secret = NULL;
        CHECK_EQ(alloc_leaks, 0);
    }
}
TEST(a_connection_of_the_programs_own) {
    own_fresh();
    CHECK_EQ(own_run(), 0);   /* an orderly end */
    CHECK_STR(own.name, "-"); /* an address is no SNI */
    own_fresh();
    own_cfg.host = "site.example", own_cfg.alpn = "http/1.1", own_cfg.min_version = 13;
    CHECK_EQ(own_run(), 0);
    CHECK_STR(own.name, "site.example");
    own_fresh();
    own.rooted = true;
    CHECK_EQ(own_run(), 0);
    CHECK_STR(own.name, "site.example");
    own_fresh();
    own.cut = true;
    CHECK_EQ(own_run(), VT_EEOF);
    own_fresh();
    own.starttls = true;
    own_cfg.host = "site.example."; /* the root's dot, here too */
    CHECK_EQ(own_run(), 0);
    CHECK_STR(own.name, "site.example");
    own_fresh();
    own.leave = true;
    CHECK_EQ(own_run(), 0);
    CHECK_EQ(own.ended, 0); /* vt_tls_close is an orderly end */
    own_fresh();
    own.elsewhere = true;
    CHECK_EQ(own_run(), 0);
    CHECK_EQ(alloc_gone, 1);
    alloc_watched = NULL;
}
TEST(a_connection_of_the_programs_own_verifies) {
    own_fresh();
    own_cfg.host = "other.example";
    CHECK_EQ(own_run(), VT_ECERT);
    own_fresh();
    own_cfg.ca_pem = NULL; /* the system's store does not know it */
    CHECK_EQ(own_run(), VT_ECERT);
    own_fresh();
    own_cfg = (vt_tls_client_cfg){.no_verify = 1};
    CHECK_EQ(own_run(), 0);
    own_fresh();
    own_cfg.alpn = "imap";
    CHECK_EQ(own_run(), VT_ETLS);
    struct pem good = pem_make("good", "", &ca, 30, 0);
    vt_tls_cert shown = {.cert_pem = good.text};
    own_fresh();
    own_cfg.cert = &shown;
    cfg.client_ca_pem = ca.cert_text;
    CHECK_EQ(own_run(), 0);
    CHECK_STR(own.subject, "/CN=good");
    cfg.client_ca_pem = NULL;
    pem_free(&good);
}
TEST(a_connection_of_the_programs_own_ends_in_time) {
    own_fresh();
    own.mute = true;
    own_until = vt_now() + 50 * VT_MS;
    CHECK_EQ(own_run(), -ETIMEDOUT);
}
static int own_bad(void *arg) {
    const vt_tls_client_cfg c[] = {
        {.min_version = 11}, {.alpn = arg}, {.ca_pem = "a", .ca_file = "b"}, {.host = ".example.com"}};
    vt_stream *st;
    CHECK_EQ(vt_tls_dial(&st, "no port", NULL, 0), VT_EADDR);
    CHECK_EQ(vt_tls_dial(&st, ":1", NULL, 0), -EINVAL);  /* whose certificate? */
    CHECK_EQ(vt_tls_dial(&st, NULL, NULL, 0), VT_EADDR); /* as vt_dial */
    vt_sock *l, *s;
    char addr[VT_ADDR_MAX];
    int r = vt_listen(&l, "127.0.0.1:0", NULL);
    if (r < 0) return r;
    vt_sock_local(l, addr, sizeof addr);
    for (size_t i = 0; i < VT__COUNT(c); i++) CHECK_EQ(vt_tls_dial(&st, addr, &c[i], 0), -EINVAL);
    if ((r = vt_dial(&s, addr, NULL)) == 0) CHECK_EQ(vt_tls_client_take(&st, s, NULL, 0), -EINVAL);
    vt_tls_client_cfg none = {.ca_file = "/nonexistent/ca.pem"};
    CHECK_EQ(vt_tls_dial(&st, addr, &none, 0), VT_ECONF);
    vt_sock_close(l);
    return r;
}
TEST(a_connection_of_the_programs_own_with_a_bad_configuration) {
    static char alpn[300];
    vt_cfg rt = {.workers = 1};
    int before = open_files();
    memset(alpn, 'a', sizeof alpn - 1);
    vt_log_set(NULL, NULL, VT_LOG_OFF);
    CHECK_EQ(vt_run(&rt, own_bad, alpn), 0);
    vt_log_set(NULL, NULL, 0);
    CHECK_EQ(open_files(), before);
    vt_stream *st;
    CHECK_EQ(vt_tls_dial(&st, "127.0.0.1:1", NULL, 0), -EPERM);
    vt_tls_close(NULL);
}
