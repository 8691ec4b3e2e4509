/* Scripted servers for tests of the client, on virtual threads of the same runtime, and one run of all that. Behind
 * the implementation. */
#ifndef VT_CLI_H
#define VT_CLI_H
#include <stdarg.h>

/* A server that does what its `serve` says with each connection, number nth from 0 on. */
struct peer {
    vt_sock *l;
    int (*serve)(struct peer *p, vt_sock *s, int nth); /* < 0: the connection is reset */
    vt_task *task;
    vt_wg wg;
    vt_mutex mu;
    int conns, live, peak, requests;
    char url[100], addr[64];
    /* for serve */
    const char *answer;
    size_t n, cut;
    vt_sem go;
    char got[1 << 16]; /* what the last requests were, one after another */
    size_t ngot;
};
struct peer_conn {
    struct peer *p;
    vt_sock *s;
    int nth;
};

static inline void peer_note(struct peer *p, const char *buf, size_t n) {
    vt_mutex_lock(&p->mu);
    n = VT__MIN(n, sizeof p->got - 1 - p->ngot);
    memcpy(p->got + p->ngot, buf, n);
    p->ngot += n;
    p->got[p->ngot] = 0;
    vt_mutex_unlock(&p->mu);
}
/* The next head, and as many bytes more; 1, or 0 at the end. */
static inline int peer_head(struct peer *p, vt_sock *s, size_t body) {
    char buf[1 << 15];
    size_t n = 0;
    for (;;) {
        int64_t r = vt_read(s, buf + n, 1);
        if (r <= 0) return 0;
        n++;
        if (n == sizeof buf || (n >= 4 && memcmp(buf + n - 4, "\r\n\r\n", 4) == 0)) break;
    }
    peer_note(p, buf, n);
    __atomic_fetch_add(&p->requests, 1, __ATOMIC_SEQ_CST);
    for (size_t k; body > 0; body -= k) {
        int64_t r = vt_read(s, buf, VT__MIN(body, sizeof buf));
        if (r <= 0) return 0;
        k = (size_t)r;
        peer_note(p, buf, k);
    }
    return 1;
}
static inline int peer_say(vt_sock *s, const char *text) {
    return vt_write(s, text, strlen(text)) < 0 ? -1 : 0;
}

static inline int peer_conn(void *arg) {
    struct peer_conn c = *(struct peer_conn *)arg;
    struct peer *p = c.p;
    free(arg);
    int live = __atomic_add_fetch(&p->live, 1, __ATOMIC_SEQ_CST),
        peak = __atomic_load_n(&p->peak, __ATOMIC_SEQ_CST);
    while (live > peak &&
           !__atomic_compare_exchange_n(&p->peak, &peak, live, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        continue;
    if (p->serve(p, c.s, c.nth) < 0) {
        struct linger lg = {1, 0};
        setsockopt(vt_sock_fd(c.s), SOL_SOCKET, SO_LINGER, &lg, sizeof lg);
    }
    __atomic_fetch_sub(&p->live, 1, __ATOMIC_SEQ_CST);
    vt_sock_close(c.s);
    vt_wg_done(&p->wg);
    return 0;
}
static inline int peer_main(void *arg) {
    struct peer *p = arg;
    vt_sock *s;
    while (vt_accept(p->l, &s) >= 0) {
        struct peer_conn *c = malloc(sizeof *c);
        if (!c) abort();
        *c = (struct peer_conn){p, s, p->conns++};
        vt_wg_add(&p->wg, 1);
        if (vt_go(peer_conn, c) < 0) abort();
    }
    return 0;
}
static inline void peer_start_at(struct peer *p, int (*serve)(struct peer *, vt_sock *, int),
                                 const char *addr) {
    memset(p, 0, sizeof *p);
    p->serve = serve;
    if (vt_listen(&p->l, addr, NULL) < 0) abort();
    if (vt_sock_local(p->l, p->addr, sizeof p->addr) < 0) abort();
    snprintf(p->url, sizeof p->url, "http://%s/", p->addr);
    p->task = vt_async(peer_main, p);
    vt_yield(); /* it waits for connections: peer_stop may come at once */
}
static inline void peer_start(struct peer *p, int (*serve)(struct peer *, vt_sock *, int)) {
    peer_start_at(p, serve, "127.0.0.1:0");
}
/* Once the client has closed its connections, or will never use them again. */
static inline void peer_stop(struct peer *p) {
    vt_sock_close(p->l);
    CHECK_EQ(vt_await(p->task, NULL), 0);
    CHECK_EQ(vt_wg_wait(&p->wg), 0);
}

static void (*cli_body)(void);
static inline int cli_main(void *arg) {
    (void)arg;
    cli_body();
    return 0;
}
/* Runs a test's body on a virtual thread. */
static inline void cli_run(int workers, void (*body)(void)) {
    vt_cfg cfg = {.workers = workers, .deadlock = VT_NONE, .stack_bytes = 512 << 10};
    cli_body = body;
    CHECK_EQ(vt_run(&cfg, cli_main, NULL), 0);
}
#define CLI_TEST(id, workers)                                                                                \
    static void cli_body_##id(void);                                                                         \
    TEST(id) { cli_run(workers, cli_body_##id); }                                                            \
    static void cli_body_##id(void)

static inline void cli_log(void *ctx, int level, const char *line) {
    (void)ctx, (void)level;
    if (getenv("VT_E2E_LOG")) fprintf(stderr, "log %s\n", line);
}
__attribute__((constructor)) static void cli_environment(void) {
    unsetenv("http_proxy");
    unsetenv("https_proxy");
    unsetenv("no_proxy");
    unsetenv("HTTPS_PROXY");
    unsetenv("NO_PROXY");
    vt_log_set(cli_log, NULL, VT_LOG_DEBUG);
}
#endif
