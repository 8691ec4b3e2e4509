/* QUIC endpoints over loopback, on several workers: streams that are echoed both ways; peers that vanish, come from other ports,
 * are too many, have no version of ours, were forgotten; sockets that are full; memory that is out. */
/* variants: default asan tsan */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define VTHTTP_SIM 1
#include "osslmem.h"
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "quicpeer.h"
#include "rt.h"

enum { WORKERS = 3, BYE = 77 };

/* ---- one side of a connection: echoes the other's streams, and compares what it gets on its own ---- */
struct echo { /* of a stream */
    uint8_t *p;
    size_t n, cap;
    bool fin;
    uint64_t sent, got; /* of our own */
};
struct peer {
    vt__qend_conn c;
    bool closed;
    int open;       /* streams of ours */
    uint32_t bytes; /* to send on each that is opened at READY */
    int streams;
    struct tally *to;
};
/* What the connections of one side have come to; under the locks of several domains. */
struct tally {
    int accepted, ready, streams, closed, gone, wrong;
    int by[VT__QUIC_BY_VERSION + 1];
    int64_t bytes;
    uint64_t code;
    int path;                  /* changes */
    bool refuse, deaf, closes; /* deaf: accept fails; closes: when all of its streams are done */
    int streams_each;          /* to open at READY */
    uint32_t bytes_each;
};
static void count(int *n) { __atomic_add_fetch(n, 1, __ATOMIC_SEQ_CST); }
static int read_of(const int *n) { return __atomic_load_n(n, __ATOMIC_SEQ_CST); }
#define UNTIL(cond)                                                                                          \
    do (void)vt_sleep_ms(1);                                                                                 \
    while (!(cond))

static void echo_end(struct peer *p, vt__qstr_stream *s) {
    struct echo *e = s->ctx;
    free(e->p), free(e);
    s->ctx = NULL;
    vt__qstr_release(&p->c.q.streams, s, 0);
}
static bool is_ours(const struct peer *p, const vt__qstr_stream *s) { return (s->id & 1) == p->c.q.server; }
/* Of ours: as much as goes. */
static void ask_write(struct peer *p, vt__qstr_stream *s) {
    struct echo *e = s->ctx;
    uint8_t buf[4096];
    while (e->sent < p->bytes) {
        size_t n = VT__MIN((size_t)(p->bytes - e->sent), sizeof buf);
        for (size_t i = 0; i < n; i++) buf[i] = pattern(s->id, e->sent + i);
        int64_t k = vt__qstr_write(&p->c.q.streams, s, buf, n, e->sent + n == p->bytes);
        if (k > 0) e->sent += (uint64_t)k;
        if (k < (int64_t)n) return;
    }
}
static bool ask(struct peer *p) {
    vt__qstr_stream *s;
    struct echo *e = calloc(1, sizeof *e);
    if (!e || vt__qstr_open(&p->c.q.streams, false, &s) < 0) return free(e), false;
    s->ctx = e;
    p->open++;
    ask_write(p, s);
    return true;
}
static void echo_write(struct peer *p, vt__qstr_stream *s) {
    struct echo *e = s->ctx;
    int64_t k = vt__qstr_write(&p->c.q.streams, s, e->p, e->n, e->fin);
    if (k <= 0) return;
    vt__qstr_consumed(&p->c.q.streams, s, (uint64_t)k);
    e->n -= (size_t)k;
    memmove(e->p, e->p + k, e->n);
}
static void echo_data(struct peer *p, const vt__qstr_event *ev) {
    struct echo *e = ev->stream->ctx;
    if (e->n + ev->len > e->cap) {
        uint8_t *more = realloc(e->p, e->cap = 2 * (e->n + ev->len));
        if (!more) abort();
        e->p = more;
    }
    if (ev->len) memcpy(e->p + e->n, ev->data, ev->len);
    e->n += ev->len;
    e->fin = ev->fin;
    echo_write(p, ev->stream);
}
static void ask_data(struct peer *p, const vt__qstr_event *ev) {
    vt__qstr_stream *s = ev->stream;
    struct echo *e = s->ctx;
    for (size_t i = 0; i < ev->len; i++)
        if (ev->data[i] != pattern(s->id, e->got++)) count(&p->to->wrong);
    vt__qstr_consumed(&p->c.q.streams, s, ev->len);
    __atomic_add_fetch(&p->to->bytes, (int64_t)ev->len, __ATOMIC_SEQ_CST);
    if (!ev->fin) return;
    if (e->got != p->bytes) count(&p->to->wrong);
    echo_end(p, s);
    count(&p->to->streams);
    if (--p->open == 0 && p->to->closes) vt__qend_close(&p->c, true, BYE, vt__str_of("done"));
}
static void on_stream(struct peer *p, const vt__qstr_event *ev) {
    vt__qstr_stream *s = ev->stream;
    switch (ev->type) {
    case VT__QSTR_EV_OPEN:
        s->ctx = calloc(1, sizeof(struct echo));
        if (!s->ctx) abort();
        break;
    case VT__QSTR_EV_DATA: is_ours(p, s) ? ask_data(p, ev) : echo_data(p, ev); break;
    case VT__QSTR_EV_WRITABLE: is_ours(p, s) ? ask_write(p, s) : echo_write(p, s); break;
    case VT__QSTR_EV_SENT:
        if (!is_ours(p, s)) echo_end(p, s);
        break;
    case VT__QSTR_EV_RESET: echo_end(p, s); break;
    default: break;
    }
}
static bool admit(vt__qend *e) { return !((struct tally *)e->ctx)->refuse; }
static int accept_one(vt__qend_conn *c) {
    struct peer *p = (struct peer *)c;
    p->to = c->end->ctx;
    if (p->to->deaf) return -ENOMEM;
    count(&p->to->accepted);
    return 0;
}
static void on_event(vt__qend_conn *c, const vt__quic_event *ev) {
    struct peer *p = (struct peer *)c;
    CHECK(!p->closed);
    switch (ev->type) {
    case VT__QUIC_EV_READY:
        count(&p->to->ready);
        CHECK(c->q.tls != NULL);
        p->bytes = p->to->bytes_each;
        for (int i = 0; i < p->to->streams_each; i++) CHECK(ask(p));
        break;
    case VT__QUIC_EV_STREAM: on_stream(p, &ev->stream); break;
    case VT__QUIC_EV_PATH: count(&p->to->path); break;
    case VT__QUIC_EV_CLOSED:
        p->closed = true;
        __atomic_store_n(&p->to->code, c->q.end.code, __ATOMIC_SEQ_CST);
        count(&p->to->by[c->q.end.cause]);
        count(&p->to->closed);
        break;
    default: break;
    }
}
static void forget_stream(vt__qstr_stream *s) {
    struct echo *e = s->ctx;
    if (e) free(e->p);
    free(e);
}
static bool on_gone(vt__qend_conn *c) {
    struct peer *p = (struct peer *)c;
    vt__qstr *q = &c->q.streams;
    for (uint32_t i = 0; i < q->nbuckets; i++)
        for (vt__qstr_stream *s = q->buckets[i]; s; s = s->chain) forget_stream(s);
    count(&p->to->gone);
    return true;
}
static const vt__qend_ops server_ops = {sizeof(struct peer), admit, accept_one, on_event, on_gone},
                          client_ops = {sizeof(struct peer), NULL, NULL, on_event, on_gone};

/* ---- a world: a server's endpoint in each domain, and clients' ---- */
struct world {
    vt__qend_cfg server_cfg, client_cfg;
    struct tally server, client;
    vt__qend *servers[WORKERS], *clients[WORKERS];
    vt__qend_group *group;
    vt__udp_addr addr; /* the servers' */
    int nservers, nclients;
};
static vt__dom *dom_of(int i) { return vt__sched_g.doms[i]; }
static struct sockaddr_in6 name_of(const vt__udp_addr *a, socklen_t *len) {
    struct sockaddr_in6 name;
    *len = vt__udp_addr_to(a, AF_INET, &name);
    return name;
}
static vt__udp_addr loopback(uint16_t port) {
    vt__udp_addr a = {.port = port};
    vt__udp_set4(&a, (const uint8_t *)"\177\0\0\1");
    return a;
}
static int open_in(int dom, vt__qend **e, const vt__qend_cfg *cfg, vt__qend_group *g, uint16_t port,
                   void *ctx) {
    vt__udp_addr a = loopback(port);
    socklen_t len;
    struct sockaddr_in6 name = name_of(&a, &len);
    vt__sched_dom_lock(dom_of(dom));
    int r = vt__qend_open(e, dom_of(dom), cfg, g, (struct sockaddr *)(void *)&name, len);
    if (r == 0) (*e)->ctx = ctx;
    vt__sched_dom_unlock(dom_of(dom));
    return r;
}
/* Patient enough for any machine; short round trips are expected, so that what is lost comes again soon. */
static void world_init(struct world *w) {
    tls_begin();
    memset(w, 0, sizeof *w);
    w->server_cfg = (vt__qend_cfg){.quic = {.server = true, .tls = tls_of.server, .vault = &tls_of.vault},
                                   .ops = &server_ops,
                                   .udp = {.reuse_port = true}};
    w->client_cfg = (vt__qend_cfg){.quic = {.tls = tls_of.client}, .ops = &client_ops};
    w->server_cfg.quic.rec.rtt_ns = w->client_cfg.quic.rec.rtt_ns = 30 * VT_MS;
    w->server_cfg.quic.handshake_ns = w->client_cfg.quic.handshake_ns = 40 * VT_SEC;
    w->client.closes = true;
}
static bool world_open(struct world *w, int servers, int clients) {
    bool ok = true;
    w->group = vt__qend_group_new();
    if (!w->group) return false;
    for (; ok && w->nservers < servers; w->nservers += ok) {
        ok = open_in(w->nservers, &w->servers[w->nservers], &w->server_cfg, w->group, w->addr.port,
                     &w->server) == 0;
        if (ok && !w->addr.port) w->addr = loopback(w->servers[0]->udp.port);
    }
    for (; ok && w->nclients < clients; w->nclients += ok)
        ok = open_in(w->nclients % WORKERS, &w->clients[w->nclients], &w->client_cfg, NULL, 0, &w->client) ==
             0;
    vt__qend_group_drop(w->group);
    return ok;
}
static void end_free_in(vt__qend *e) {
    vt__dom *dom = e->dom;
    vt__sched_dom_lock(dom);
    vt__qend_free(e);
    vt__sched_dom_unlock(dom);
}
static void world_free(struct world *w) {
    for (int i = 0; i < w->nclients; i++) end_free_in(w->clients[i]);
    for (int i = 0; i < w->nservers; i++) end_free_in(w->servers[i]);
    CHECK_EQ(w->server.gone, w->server.accepted);
    CHECK_EQ(w->server.closed, w->server.gone);
    CHECK_EQ(w->client.closed, w->client.gone);
    CHECK_EQ(w->client.wrong + w->server.wrong, 0);
}
static int connect_to(struct world *w, int client, const vt__udp_addr *to, vt_str token) {
    vt__qend *e = w->clients[client];
    vt__qend_to t = {.remote = *to, .host = "localhost", .token = token};
    vt__qend_conn *c;
    vt__sched_dom_lock(e->dom);
    int r = vt__qend_connect(e, &t, &c);
    if (r == 0) ((struct peer *)c)->to = e->ctx;
    vt__sched_dom_unlock(e->dom);
    return r;
}
static void connect_all(struct world *w, int n) {
    for (int i = 0; i < n; i++) CHECK_EQ(connect_to(w, i % w->nclients, &w->addr, (vt_str){NULL, 0}), 0);
}
#define TOTAL(w, ends, n, field)                                                                             \
    ({                                                                                                       \
        int64_t sum_ = 0;                                                                                    \
        for (int i_ = 0; i_ < (n); i_++) sum_ += __atomic_load_n(&(w)->ends[i_]->field, __ATOMIC_RELAXED);   \
        sum_;                                                                                                \
    })
#define SERVER(w, what) TOTAL(w, servers, (w)->nservers, stats.what)
static int conns_of(vt__qend *e) {
    vt__sched_dom_lock(e->dom);
    int n = (int)e->nconns;
    CHECK(n > 0 || (e->nids == 0 && e->nhalf == 0));
    vt__sched_dom_unlock(e->dom);
    return n;
}

/* ---- streams ---- */
static int echoes(void *arg) {
    struct world w;
    int n = SLOW ? 6 : 12, each = 5;
    (void)arg;
    world_init(&w);
    w.client.streams_each = w.server.streams_each = each;
    w.client.bytes_each = 30000, w.server.bytes_each = 70000;
    w.client.closes = false;
    if (!world_open(&w, WORKERS, WORKERS)) return -1;
    connect_all(&w, n);
    UNTIL(read_of(&w.client.streams) == n * each && read_of(&w.server.streams) == n * each);
    CHECK(w.client.ready == n && w.server.ready == n && w.server.accepted == n);
    CHECK(w.client.bytes == n * each * 30000 && w.server.bytes == n * each * 70000);
    for (int i = 0; i < w.nclients; i++) { /* said by this thread, of other domains' connections */
        vt__sched_dom_lock(w.clients[i]->dom);
        for (vt__list *l = w.clients[i]->conns.next; l != &w.clients[i]->conns; l = l->next)
            vt__qend_close(VT__CONTAINER(l, vt__qend_conn, link), true, BYE, vt__str_of("done"));
        vt__sched_dom_unlock(w.clients[i]->dom);
    }
    UNTIL(read_of(&w.client.gone) == n && read_of(&w.server.gone) == n);
    CHECK(w.server.by[VT__QUIC_BY_PEER] == n && w.server.code == BYE);
    CHECK(w.client.by[VT__QUIC_BY_US] == n && w.client.code == BYE);
    for (int i = 0; i < WORKERS; i++) CHECK(conns_of(w.clients[i]) == 0 && conns_of(w.servers[i]) == 0);
    CHECK(SERVER(&w, accepted) == n && SERVER(&w, retries) == 0 && SERVER(&w, unsent) == 0);
    world_free(&w);
    return 0;
}
TEST(streams_are_echoed_both_ways) { CHECK_EQ(run_on(WORKERS, echoes, NULL), 0); }
