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

#include <sys/ioctl.h>

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
    int accepted, ready, confirmed, streams, closed, gone, wrong;
    int by[VT__QUIC_BY_VERSION + 1];
    int64_t bytes;
    uint64_t code;
    int path;                  /* changes */
    bool refuse, deaf, closes; /* deaf: accept fails; closes: when all of its streams are done */
    bool holds;                /* gives no credit */
    int streams_each;          /* to open at READY */
    uint32_t bytes_each;
};
static void count(int *n) { __atomic_add_fetch(n, 1, __ATOMIC_SEQ_CST); }
static int read_of(const int *n) { return __atomic_load_n(n, __ATOMIC_SEQ_CST); }
static int64_t bytes_of(const struct tally *t) { return __atomic_load_n(&t->bytes, __ATOMIC_SEQ_CST); }
#define UNTIL(cond)                                                                                          \
    do (void)vt_sleep_ms(1);                                                                                 \
    while (!(cond))
/* A counter, which is set behind what it counts: by then the other side may have that. */
#define COUNTED(counter, n)                                                                                  \
    do {                                                                                                     \
        UNTIL((counter) >= (n));                                                                             \
        CHECK_EQ(counter, n);                                                                                \
    } while (0)

static void echo_end(struct peer *p, vt__qstr_stream *s) {
    struct echo *e = s->ctx;
    free(e->p), free(e);
    s->ctx = NULL;
    vt__qstr_release(&p->c.q.streams, s, 0);
}
static bool is_ours(const struct peer *p, const vt__qstr_stream *s) { return (s->id & 1) == p->c.q.server; }
static void give_up(struct peer *p) { vt__qend_close(&p->c, true, BYE + 1, vt__str_of("out of memory")); }
/* Of ours: as much as goes. */
static void ask_write(struct peer *p, vt__qstr_stream *s) {
    struct echo *e = s->ctx;
    uint8_t buf[4096];
    while (e->sent < p->bytes) {
        size_t n = VT__MIN((size_t)(p->bytes - e->sent), sizeof buf);
        for (size_t i = 0; i < n; i++) buf[i] = pattern(s->id, e->sent + i);
        int64_t k = vt__qstr_write(&p->c.q.streams, s, buf, n, e->sent + n == p->bytes);
        if (k > 0) e->sent += (uint64_t)k;
        if (k < 0) give_up(p);
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
    if (k < 0) give_up(p);
    if (k <= 0) return;
    if (!p->to->holds) vt__qstr_consumed(&p->c.q.streams, s, (uint64_t)k);
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
        for (int i = 0; i < p->to->streams_each; i++)
            if (!ask(p)) give_up(p);
        break;
    case VT__QUIC_EV_CONFIRMED: count(&p->to->confirmed); break;
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
/* n connections of one endpoint to one, which have asked once and stay. */
static bool crowd_open(struct world *w, int n) {
    world_init(w);
    w->client.streams_each = 1, w->client.bytes_each = 100;
    w->client.closes = false;
    if (!world_open(w, 1, 1)) return false;
    connect_all(w, n);
    UNTIL(read_of(&w->client.streams) == n && read_of(&w->client.confirmed) == n);
    return true;
}
/* More than fit in the table as it was at first. */
static int crowd(void *arg) {
    struct world w;
    int n = SLOW ? 40 : 150;
    (void)arg;
    if (!crowd_open(&w, n)) return -1;
    CHECK(conns_of(w.servers[0]) == n && conns_of(w.clients[0]) == n);
    vt__sched_dom_lock(dom_of(0));
    CHECK((int)w.servers[0]->nids == VT__QCID_OURS * n && w.servers[0]->nhalf == 0); /* no first ones */
    CHECK(w.servers[0]->nids <= 2U << w.servers[0]->bits && w.servers[0]->bits > VT__QEND_BITS);
    vt__sched_dom_unlock(dom_of(0));
    world_free(&w); /* all are told */
    CHECK(w.client.by[VT__QUIC_BY_US] == n &&
          w.server.by[VT__QUIC_BY_PEER] + w.server.by[VT__QUIC_BY_US] == n);
    return 0;
}
TEST(many_connections) { CHECK_EQ(run_on(WORKERS, crowd, NULL), 0); }

/* Its connections are no more, and nobody was told. */
static void vanish(vt__qend *e) {
    vt__sched_dom_lock(e->dom);
    while (!vt__ds_list_empty(&e->conns)) {
        vt__qend_conn *c = VT__CONTAINER(e->conns.next, vt__qend_conn, link);
        if (!((struct peer *)c)->closed) count(&((struct peer *)c)->to->closed);
        vt__qend_bury(e, c);
    }
    vt__sched_dom_unlock(e->dom);
}
static int silence(void *arg) {
    struct world w;
    (void)arg;
    world_init(&w);
    w.server_cfg.quic.idle_ns = 300 * VT_MS;
    if (!world_open(&w, 1, 1)) return -1;
    connect_all(&w, 3);
    UNTIL(read_of(&w.client.ready) == 3 && read_of(&w.server.ready) == 3);
    vanish(w.clients[0]);
    UNTIL(read_of(&w.server.gone) == 3);
    CHECK(w.server.by[VT__QUIC_BY_TIME] == 3 && conns_of(w.servers[0]) == 0);
    world_free(&w);
    return 0;
}
TEST(b33_peers_that_vanish) { CHECK_EQ(run_on(WORKERS, silence, NULL), 0); }
/* A server that has forgotten its connections says so to whoever still sends. */
static int amnesia(void *arg) {
    struct world w;
    (void)arg;
    world_init(&w);
    w.client_cfg.quic.keep_alive_ns = 20 * VT_MS;
    if (!world_open(&w, 2, 1)) return -1;
    connect_all(&w, 3);
    UNTIL(read_of(&w.client.ready) == 3 && read_of(&w.server.ready) == 3);
    vanish(w.servers[0]), vanish(w.servers[1]);
    UNTIL(read_of(&w.client.gone) == 3);
    CHECK_EQ(w.client.by[VT__QUIC_BY_RESET], 3);
    UNTIL(SERVER(&w, resets) >= 3);
    world_free(&w);
    return 0;
}
TEST(b24_stateless_resets) { CHECK_EQ(run_on(WORKERS, amnesia, NULL), 0); }

/* ---- who may begin ---- */
static int retries(void *arg) {
    struct world w;
    uint8_t token[60] = {VT__QSEC_TOKEN_RETRY};
    (void)arg;
    world_init(&w);
    w.server_cfg.retry = VT__QEND_RETRY_ALWAYS;
    w.client.streams_each = 1, w.client.bytes_each = 5000;
    if (!world_open(&w, WORKERS, WORKERS)) return -1;
    connect_all(&w, 6);
    UNTIL(read_of(&w.client.streams) == 6 && read_of(&w.client.gone) == 6);
    CHECK(SERVER(&w, retries) >= 6 && SERVER(&w, accepted) == 6 && SERVER(&w, refused) == 0);
    CHECK_EQ(vt__qsec_token_kind(token, sizeof token), VT__QSEC_TOKEN_RETRY);
    CHECK_EQ(connect_to(&w, 0, &w.addr, (vt_str){(char *)token, sizeof token}), 0);
    UNTIL(read_of(&w.client.gone) == 7);
    CHECK(w.client.by[VT__QUIC_BY_PEER] == 1 && w.client.code == VT__QPKT_INVALID_TOKEN);
    UNTIL(SERVER(&w, refused) >= 1);
    CHECK_EQ(SERVER(&w, accepted), 6);
    world_free(&w);
    return 0;
}
TEST(h151_b26_retry_and_its_tokens) { CHECK_EQ(run_on(WORKERS, retries, NULL), 0); }
/* One whose ClientHello goes out, and nothing more: in how many datagrams. */
static int64_t knock(struct world *w) {
    vt__qend *e = w->clients[0];
    vt__qend_to t = {.remote = w->addr, .host = "localhost"};
    vt__qend_conn *c;
    vt__sched_dom_lock(e->dom);
    CHECK_EQ(vt__qend_connect(e, &t, &c), 0);
    c->known = false;
    vt__qend_flush(e);
    int64_t n = (int64_t)vt__qrec_next(&c->q.rec, VT__QPKT_INITIAL);
    vt__qend_bury(e, c);
    vt__sched_dom_unlock(e->dom);
    return n;
}
static int flood(void *arg) {
    struct world w;
    int n = 4;
    (void)arg;
    world_init(&w);
    w.server_cfg.retry_at = (uint32_t)n, w.server_cfg.max_half = (uint32_t)n + 2;
    w.client.closes = false;
    if (!world_open(&w, 1, 1)) return -1;
    vt__qend *s = w.servers[0];
    for (int i = 0; i < n; i++) (void)knock(&w);
    UNTIL(SERVER(&w, accepted) == n);
    CHECK_EQ(SERVER(&w, retries), 0);
    int64_t asked = knock(&w);
    UNTIL(SERVER(&w, retries) == asked);
    connect_all(&w, 1);
    UNTIL(read_of(&w.client.ready) == 1 && read_of(&w.server.ready) == 1);
    CHECK(SERVER(&w, retries) > asked && SERVER(&w, accepted) == n + 1);
    vt__sched_dom_lock(s->dom);
    CHECK_EQ(s->nhalf, n);
    s->max_half = s->nhalf;
    vt__sched_dom_unlock(s->dom);
    connect_all(&w, 1);
    UNTIL(read_of(&w.client.gone) == 1);
    CHECK(w.client.by[VT__QUIC_BY_PEER] == 1 && w.client.code == VT__QPKT_CONNECTION_REFUSED);
    UNTIL(SERVER(&w, refused) >= 1);
    world_free(&w);
    return 0;
}
TEST(b03_half_open_ones) { CHECK_EQ(run_on(WORKERS, flood, NULL), 0); }
/* Its domain's lock, when it has read what was sent to it. */
static void lock_idle(vt__qend *e) {
    int n = 0;
    for (;; (void)vt_sleep_ms(1)) {
        vt__sched_dom_lock(e->dom);
        if (ioctl(e->udp.fd, FIONREAD, &n) == 0 && n == 0) return;
        vt__sched_dom_unlock(e->dom);
    }
}
static int refusals(void *arg) {
    struct world w;
    (void)arg;
    world_init(&w);
    w.server_cfg.max_conns = 1;
    w.client.closes = false;
    if (!world_open(&w, 1, 1)) return -1;
    vt__qend *s = w.servers[0];
    connect_all(&w, 1);
    UNTIL(read_of(&w.server.ready) == 1 && read_of(&w.client.ready) == 1);
    for (int i = 0; i < 4; i++) { /* too many; after stop; by admit; by accept */
        lock_idle(s);
        if (i == 1) s->max_conns = 10, vt__qend_stop(s);
        if (i == 2) s->stopped = false, w.server.refuse = true;
        if (i == 3) w.server.refuse = false, w.server.deaf = true;
        vt__sched_dom_unlock(s->dom);
        connect_all(&w, 1);
        UNTIL(read_of(&w.client.closed) == i + 1);
        CHECK(w.client.by[VT__QUIC_BY_PEER] == i + 1 && w.client.code == VT__QPKT_CONNECTION_REFUSED);
        CHECK_EQ(SERVER(&w, accepted), 1 + (i == 3));
    }
    UNTIL(SERVER(&w, refused) >= 3);
    CHECK_EQ(w.server.accepted, 1);
    UNTIL(conns_of(s) == 1);
    UNTIL(conns_of(w.clients[0]) == 1);
    world_free(&w);
    return 0;
}
TEST(refused_ones_leave_nothing) { CHECK_EQ(run_on(WORKERS, refusals, NULL), 0); }
static int too_many(void *arg) {
    struct world w;
    vt__qend_conn *c = NULL;
    (void)arg;
    world_init(&w);
    w.client_cfg.max_conns = 2;
    if (!world_open(&w, 1, 1)) return -1;
    vt__qend_to t = {.remote = w.addr, .host = "localhost"};
    connect_all(&w, 2);
    CHECK_EQ(connect_to(&w, 0, &w.addr, (vt_str){NULL, 0}), VT_ELIMIT);
    vt__sched_dom_lock(dom_of(0));
    vt__qend_stop(w.clients[0]);
    CHECK(vt__qend_connect(w.clients[0], &t, &c) == VT_ESTOPPED && c == NULL);
    vt__sched_dom_unlock(dom_of(0));
    UNTIL(read_of(&w.client.ready) == 2);
    world_free(&w);
    return 0;
}
TEST(clients_have_limits) { CHECK_EQ(run_on(WORKERS, too_many, NULL), 0); }

/* ---- strangers: a plain socket ---- */
static uint8_t packet[65536];
static int raw_open(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (fd < 0) abort();
    return fd;
}
static void raw_send(struct world *w, int fd, size_t n) {
    socklen_t len;
    struct sockaddr_in6 name = name_of(&w->addr, &len);
    CHECK_EQ(sendto(fd, packet, n, 0, (struct sockaddr *)(void *)&name, len), n);
}
/* What comes next, into `packet`. */
static size_t raw_recv(int fd) {
    ssize_t n;
    UNTIL((n = recv(fd, packet, sizeof packet, 0)) >= 0);
    return (size_t)n;
}
static bool raw_silent(int fd) { return recv(fd, packet, sizeof packet, 0) < 0; }
static void raw_long(uint32_t version, const char *dcid, const char *scid) {
    uint8_t *p = vt__str_put32(packet + 1, version);
    memset(packet, 0, 1500);
    *packet = 0xc0;
    vt__str_put32(packet + 1, version);
    p = vt__qpkt_put_cid_of(p, (const uint8_t *)dcid, (uint8_t)strlen(dcid));
    vt__qpkt_put_cid_of(p, (const uint8_t *)scid, (uint8_t)strlen(scid));
}
static void raw_short(uint8_t worker) {
    vt__qpkt_cid cid;
    memset(packet, 0x11, 1500);
    *packet = 0x40;
    vt__quic_make_cid(worker, &cid);
    memcpy(packet + 1, cid.b, cid.len);
}
static int unknown_versions(void *arg) {
    struct world w;
    vt__qpkt_head h;
    int fd = raw_open();
    (void)arg;
    world_init(&w);
    w.server_cfg.rate = 10; /* one at once */
    if (!world_open(&w, 1, 0)) return -1;
    raw_long(0x1a2a3a4a, "12345678", "abcdef");
    raw_send(&w, fd, 1199);
    UNTIL(SERVER(&w, dropped) == 1);
    raw_long(0x1a2a3a4a, "12345678", "abcdef");
    raw_send(&w, fd, 1200);
    size_t n = raw_recv(fd);
    CHECK(vt__qpkt_head_get(&h, packet, n, VT__QCID_LEN) == 1 && h.type == VT__QPKT_T_NEGOTIATION);
    CHECK_MEM(h.dcid, h.dcid_len, "abcdef", 6);
    CHECK_MEM(h.scid, h.scid_len, "12345678", 8);
    CHECK(h.token_len == 12 && n < 100 && (vt__str_get32(h.token) & 0x0f0f0f0f) == 0x0a0a0a0a);
    CHECK(vt__str_get32(h.token + 4) == VT__QPKT_V1 && vt__str_get32(h.token + 8) == VT__QPKT_V2);
    vt__sched_dom_lock(dom_of(0)); /* as if they all came within a moment */
    for (int i = 0; i < 50; i++) {
        raw_long(0x1a2a3a4a, "12345678", "abcdef");
        raw_send(&w, fd, 1200);
    }
    w.servers[0]->quic.no_v2 = true;
    w.servers[0]->vn_at = vt__plat_now() + 3600 * VT_SEC;
    vt__sched_dom_unlock(dom_of(0));
    UNTIL(SERVER(&w, dropped) == 51);
    CHECK(SERVER(&w, versions) == 1 && raw_silent(fd));
    vt__sched_dom_lock(dom_of(0));
    w.servers[0]->vn_at = 0;
    vt__sched_dom_unlock(dom_of(0));
    raw_long(0, "12345678", "abcdef"); /* nobody negotiates with a server; nor about nothing */
    raw_send(&w, fd, 1200);
    raw_long(0x1a2a3a4a, "", "");
    raw_send(&w, fd, 1200);
    n = raw_recv(fd);
    CHECK(vt__qpkt_head_get(&h, packet, n, VT__QCID_LEN) == 1 && h.token_len == 8);
    COUNTED(SERVER(&w, versions), 2);
    CHECK(SERVER(&w, dropped) == 52 && SERVER(&w, accepted) == 0);
    world_free(&w);
    close(fd);
    return 0;
}
TEST(b25_version_negotiation) { CHECK_EQ(run_on(1, unknown_versions, NULL), 0); }
static bool may_at(vt__qend *e, int64_t now, int64_t *at) {
    e->now = now;
    return vt__qend_may(e, at);
}
TEST(answers_to_strangers_are_few) {
    static vt__qend e;
    int64_t at = 0, now = 1000 * VT_SEC;
    int n = 0;
    e.each = VT_MS;
    for (int i = 0; i < 1000; i++) n += may_at(&e, now, &at);
    CHECK(n > 50 && n <= 101); /* a tenth of a second's at once */
    for (int i = 0; i < 1000; i++) n += may_at(&e, now += 10000, &at);
    CHECK(n > 55 && n <= 112);
    now += 10 * VT_SEC;
    for (int i = 0; i < 1000; i++) n += may_at(&e, now, &at);
    CHECK(n > 105 && n <= 213);
}
static int strays(void *arg) {
    struct world w;
    int fd = raw_open(), resets = 0;
    (void)arg;
    world_init(&w);
    if (!world_open(&w, 1, 0)) return -1;
    for (size_t n = 29, got; n < 1400; n += n < 60 ? 1 : 97) {
        raw_short(0);
        raw_send(&w, fd, n);
        got = raw_recv(fd);
        CHECK(got >= 21 && got < n && got <= 43 && (*packet & 0xc0) == 0x40);
        resets++;
    }
    raw_short(200); /* of no endpoint here: perhaps there were more once */
    raw_send(&w, fd, 100);
    CHECK_EQ(raw_recv(fd), 43);
    raw_short(0), raw_send(&w, fd, 21);
    raw_long(VT__QPKT_V1, "12345678", "abcdef"), *packet = 0xe0; /* Handshake */
    raw_send(&w, fd, 1200);
    raw_long(VT__QPKT_V1, "12345678", "abcdef"), *packet = 0xd0; /* 0-RTT */
    raw_send(&w, fd, 1200);
    raw_send(&w, fd, 0);
    raw_short(0), raw_send(&w, fd, 100);
    CHECK_EQ(raw_recv(fd), 43);
    COUNTED(SERVER(&w, resets), resets + 2);
    CHECK(SERVER(&w, dropped) == 4 && SERVER(&w, forwarded) == 0);
    world_free(&w);
    close(fd);
    return 0;
}
TEST(b24_resets_are_shorter) { CHECK_EQ(run_on(1, strays, NULL), 0); }
/* What says that it comes from a service's port, or from the endpoint itself, is not answered. */
static int reflections(void *arg) {
    struct world w;
    struct sockaddr_in6 name;
    socklen_t len = sizeof name;
    vt__udp_addr from;
    int fd = raw_open();
    (void)arg;
    world_init(&w);
    if (!world_open(&w, 1, 0)) return -1;
    raw_short(0), raw_send(&w, fd, 100);
    CHECK_EQ(raw_recv(fd), 43);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)(void *)&name, &len), 0);
    vt__udp_addr_from(&from, (struct sockaddr *)(void *)&name);
    memcpy(from.ip, w.addr.ip, sizeof from.ip);
    const uint16_t ports[] = {0, 53, 123, 1023, 1900, 3702, 5353, 5355, 11211, w.addr.port, from.port};
    vt__sched_dom_lock(dom_of(0));
    vt__qend *e = w.servers[0];
    e->now = vt__plat_now();
    for (size_t i = 0; i < VT__COUNT(ports); i++)
        for (int kind = 0; kind < 3; kind++) {
            struct vt__qend_stats was = e->stats;
            vt__udp_dgram d = {packet, 1200, &from, &w.addr, 0};
            from.port = ports[i];
            if (kind == 0) raw_short(0);
            else raw_long(kind == 1 ? 0x1a2a3a4a : VT__QPKT_V1, "12345678", "abcdef");
            vt__qend_datagram(e, &d);
            int64_t answers = e->stats.resets - was.resets + e->stats.versions - was.versions;
            CHECK_EQ(answers, i == VT__COUNT(ports) - 1 && kind < 2);
            CHECK_EQ(e->stats.dropped - was.dropped, !answers);
        }
    vt__sched_dom_unlock(dom_of(0));
    world_free(&w);
    close(fd);
    return 0;
}
TEST(b44_nobody_is_sent_to_by_others) { CHECK_EQ(run_on(1, reflections, NULL), 0); }
/* Two endpoints: whichever the kernel takes, the packet gets to the one that it names, and that answers. */
static int steered(void *arg) {
    struct world w;
    (void)arg;
    world_init(&w);
    if (!world_open(&w, 2, 0)) return -1;
    for (int i = 0; i < 40; i++) {
        int fd = raw_open(), to = i & 1;
        int64_t was = __atomic_load_n(&w.servers[to]->stats.resets, __ATOMIC_SEQ_CST);
        raw_short((uint8_t)to);
        raw_send(&w, fd, 100);
        CHECK_EQ(raw_recv(fd), 43);
        COUNTED(__atomic_load_n(&w.servers[to]->stats.resets, __ATOMIC_SEQ_CST), was + 1);
        close(fd);
    }
    CHECK(SERVER(&w, forwarded) > 0 && SERVER(&w, forwarded) < 40 && SERVER(&w, overrun) == 0);
    world_free(&w);
    return 0;
}
TEST(b53_another_workers_packets) { CHECK_EQ(run_on(WORKERS, steered, NULL), 0); }
/* A domain that does not come to take them: no more than so many wait. */
static int overrun(void *arg) {
    struct world w;
    (void)arg;
    world_init(&w);
    if (!world_open(&w, 2, 0)) return -1;
    int fd = -1, to = vt__sched_thr()->dom->index == 0, sent; /* not to a domain that this thread drives */
    while (SERVER(&w, forwarded) == 0) {                      /* a socket whose packets go to the other one */
        if (fd >= 0) close(fd);
        fd = raw_open();
        raw_short((uint8_t)to);
        raw_send(&w, fd, 100);
        CHECK_EQ(raw_recv(fd), 43);
    }
    sent = (int)SERVER(&w, forwarded);
    vt__sched_dom_lock(dom_of(to));
    while (SERVER(&w, overrun) < 10) {
        raw_short((uint8_t)to);
        raw_send(&w, fd, 100), sent++;
        UNTIL(SERVER(&w, forwarded) + SERVER(&w, overrun) >= sent);
    }
    CHECK(__atomic_load_n(&w.group->at[to].waiting, __ATOMIC_RELAXED) == VT__QEND_HANDED);
    vt__sched_dom_unlock(dom_of(to));
    UNTIL(__atomic_load_n(&w.group->at[to].waiting, __ATOMIC_RELAXED) == 0);
    world_free(&w);
    close(fd);
    return 0;
}
TEST(b53_not_too_many_wait) { CHECK_EQ(run_on(WORKERS, overrun, NULL), 0); }

/* Noise: of all lengths, with heads that are right, and packets of others with a bit turned. */
static void noise(uint64_t *seed) {
    static const uint32_t versions[] = {VT__QPKT_V1, VT__QPKT_V2, 0, 0x5a6a7a8a};
    uint64_t r = test_rand(seed);
    for (size_t i = 0; i < 1500; i += 8) {
        uint64_t word = test_rand(seed);
        memcpy(packet + i, &word, 8);
    }
    if (r & 1) raw_short((uint8_t)(r >> 8 & 3));
    if ((r & 3) == 2) {
        vt__str_put32(packet + 1, versions[r >> 4 & 3]);
        packet[0] = (uint8_t)(0xc0 | (r >> 8 & 0x3f));
        packet[5] = 8, packet[14] = (uint8_t)(r >> 16 & 7);
        packet[15 + packet[14]] = 0, packet[16 + packet[14]] = 0x44; /* no token; of 1,100 bytes or so */
    }
}
static int garbage(void *arg) {
    struct world w;
    uint64_t seed = test_seed();
    int fd = raw_open(), n = SLOW ? 400 : 2000;
    (void)arg;
    world_init(&w);
    w.client.streams_each = 3, w.client.bytes_each = 50000;
    if (!world_open(&w, WORKERS, 1)) return -1;
    connect_all(&w, 1);
    for (int i = 0; i < n; i++) {
        uint64_t r = test_rand(&seed);
        noise(&seed);
        raw_send(&w, fd, r & 1 ? 1200 + (r >> 8) % 200 : (r >> 8) % 1400);
        while (!raw_silent(fd)) continue; /* what there is to answer is answered */
        if (i % 50 == 0) UNTIL(SERVER(&w, dropped) + SERVER(&w, resets) + SERVER(&w, versions) > i / 2);
    }
    UNTIL(read_of(&w.server.gone) == 1 && read_of(&w.client.gone) == 1);
    CHECK(w.client.streams == 3 && SERVER(&w, accepted) == 1);
    for (int i = 0; i < WORKERS; i++) CHECK_EQ(conns_of(w.servers[i]), 0);
    world_free(&w);
    close(fd);
    return 0;
}
TEST(garbage_leaves_nothing) { CHECK_EQ(run_on(WORKERS, garbage, NULL), 0); }
/* An Initial with a PING, and without the QUIC bit. */
static void raw_initial(vt_str token, uint8_t id) {
    vt__qkeys_level l;
    vt__qpkt_cid cid;
    uint8_t mask[VT__QSEC_SAMPLE];
    memset(&l, 0, sizeof l), memset(packet, 0, 1200);
    vt__qpkt_cid_set(&cid, (const uint8_t *)"12345678", 8);
    cid.b[0] = id;
    uint8_t *body = vt__qpkt_put_long(packet, packet + 1200, VT__QPKT_T_INITIAL, VT__QPKT_V1, &cid, &cid,
                                      token, 0, 1);
    size_t n = (size_t)(packet + 1200 - body) - VT__QSEC_TAG;
    *packet &= (uint8_t)~VT__QPKT_FIXED, *body = VT__QPKT_F_PING;
    vt__qpkt_end_long(body, 1, packet + 1200);
    CHECK_EQ(vt__qkeys_initial(&l, VT__QPKT_V1, &cid, false, VT__QKEYS_WRITE), 0);
    CHECK_EQ(vt__qsec_seal(&l.tx, 0, packet, (size_t)(body - packet), body, n), 0);
    CHECK_EQ(vt__qsec_mask(&l.tx_hp, body + 3, 1, mask), 0);
    vt__qpkt_mask(packet, body - 1, 1, mask);
    vt__qkeys_level_free(&l);
}
/* It may be cleared by whoever was here before (RFC 9287 3.1), and has a token to show for it, be it too old. */
static int bitless(void *arg) {
    struct world w;
    char token[60];
    int fd = raw_open();
    (void)arg;
    world_init(&w);
    if (!world_open(&w, 1, 0)) return -1;
    for (uint8_t i = 0; i < 2; i++) {
        memset(token, VT__QSEC_TOKEN_NEW, sizeof token);
        raw_initial((vt_str){token, i ? sizeof token : 0}, i);
        raw_send(&w, fd, 1200);
        UNTIL(SERVER(&w, dropped) + SERVER(&w, accepted) == i + 1);
        CHECK_EQ(SERVER(&w, accepted), i);
    }
    world_free(&w);
    close(fd);
    return 0;
}
TEST(initials_without_the_quic_bit) { CHECK_EQ(run_on(WORKERS, bitless, NULL), 0); }
/* Who is not authentic gets no file of a log, however much there is to be told of him. */
static void say_nothing(void *ctx, int level, const char *line) { (void)ctx, (void)level, (void)line; }
static bool mourns(vt__qend *e) { /* that there was no file to be had */
    vt__sched_dom_lock(e->dom);
    bool is = e->mourns;
    vt__sched_dom_unlock(e->dom);
    return is;
}
static int unlogged(void *arg) {
    struct world w;
    vt__qpkt_cid id;
    int fd = raw_open();
    uint8_t *p = packet;
    (void)arg;
    world_init(&w);
    w.server_cfg.qlog = "/nowhere/at/all";
    w.client.streams_each = 1, w.client.bytes_each = 100;
    if (!world_open(&w, 1, 1)) return -1;
    vt__qpkt_cid_set(&id, (const uint8_t *)"12345678", 8);
    for (int i = 0; i < 200; i++) { /* an Initial, and what seems to be behind it */
        uint8_t *body = vt__qpkt_put_long(p, packet + sizeof packet,
                                          i ? VT__QPKT_T_HANDSHAKE : VT__QPKT_T_INITIAL, VT__QPKT_V1, &id,
                                          &id, (vt_str){NULL, 0}, 0, 4);
        memset(body, 1, VT__QPKT_SAMPLE);
        p = body + VT__QPKT_SAMPLE;
        vt__qpkt_end_long(body, 4, p);
    }
    raw_send(&w, fd, (size_t)(p - packet));
    UNTIL(SERVER(&w, dropped) == 1);
    CHECK(!mourns(w.servers[0]) && SERVER(&w, accepted) == 0);
    connect_all(&w, 1);
    UNTIL(read_of(&w.client.gone) == 1 && read_of(&w.server.gone) == 1);
    CHECK(mourns(w.servers[0]));
    world_free(&w);
    close(fd);
    return 0;
}
TEST(strangers_are_not_logged) {
    vt_log_set(say_nothing, NULL, 0);
    CHECK_EQ(run_on(WORKERS, unlogged, NULL), 0);
    vt_log_set(NULL, NULL, 0);
}

/* ---- turns ---- */
struct watcher { /* what an endpoint has done between two looks of its domain at its mail */
    vt__poll_msg msg;
    vt__qend *e;
    int64_t last, most;
    int done;
};
static void watch(vt__dom *dom, vt__poll_msg *m) {
    struct watcher *o = VT__CONTAINER(m, struct watcher, msg);
    int64_t now = o->e->stats.dropped;
    if (now - o->last > o->most) o->most = now - o->last;
    o->last = now;
    if (__atomic_load_n(&o->done, __ATOMIC_SEQ_CST)) __atomic_store_n(&o->done, 2, __ATOMIC_SEQ_CST);
    else (void)vt__poll_post(dom, m);
}
static int budgets(void *arg) {
    struct world w;
    int fd = raw_open(), n = 3000;
    (void)arg;
    world_init(&w);
    if (!world_open(&w, 1, 0)) return -1;
    struct watcher o = {.msg = {.fn = watch}, .e = w.servers[0]};
    vt__sched_dom_lock(dom_of(0));
    for (int i = 0; i < n; i++) raw_send(&w, fd, 0);
    vt__sched_post_held(dom_of(0), &o.msg);
    vt__sched_dom_unlock(dom_of(0));
    UNTIL(SERVER(&w, dropped) == n);
    __atomic_store_n(&o.done, 1, __ATOMIC_SEQ_CST);
    UNTIL(__atomic_load_n(&o.done, __ATOMIC_SEQ_CST) == 2);
    CHECK(o.most >= VT__QEND_BUDGET / 2 && o.most <= 2 * VT__QEND_BUDGET); /* the sink's, and the message's */
    world_free(&w);
    close(fd);
    return 0;
}
TEST(b52_a_turn_has_an_end) { CHECK_EQ(run_on(1, budgets, NULL), 0); }
/* What goes out of one has an end, too, in bytes, and in connections that have nothing to say. */
static struct {
    int fd;
    size_t bytes;
} sent;
static void sent_more(int fd, const struct msghdr *m) {
    for (size_t i = 0; fd == sent.fd && i < m->msg_iovlen; i++) sent.bytes += m->msg_iov[i].iov_len;
}
static ssize_t sent_sendmsg(int fd, const struct msghdr *m, int fl) {
    ssize_t r = vt__plat_sys_sendmsg(fd, m, fl);
    if (r >= 0) sent_more(fd, m);
    return r;
}
static int sent_sendmmsg(int fd, struct vt__plat_mmsg *v, unsigned n, int fl) {
    int r = vt__plat_sys_sendmmsg(fd, v, n, fl);
    for (int i = 0; i < r; i++) sent_more(fd, &v[i].hdr);
    return r;
}
/* One turn with all connections waiting for theirs: how many still do. */
static int turn_of_all(vt__qend *e) {
    vt__list *l;
    int left = 0;
    for (l = e->conns.next; l != &e->conns; l = l->next) vt__qend_mark(VT__CONTAINER(l, vt__qend_conn, link));
    sent.fd = e->udp.fd, sent.bytes = 0;
    vt__qend_flush(e);
    sent.fd = -1;
    for (l = e->turns.next; l != &e->turns; l = l->next) left++;
    return left;
}
static int outgoing(void *arg) {
    enum { N = 150, MOST = VT__QEND_SENT + VT__QUIC_TRAIN_MAX };
    struct world w;
    (void)arg;
    if (!crowd_open(&w, N)) return -1;
    vt__qend *e = w.clients[0];
    vt__sched_dom_lock(e->dom);
    for (vt__list *l = e->conns.next; l != &e->conns; l = l->next) {
        struct peer *p = (struct peer *)VT__CONTAINER(l, vt__qend_conn, link);
        p->bytes = 20000; /* more than a first window */
        CHECK(ask(p));
    }
    int left = turn_of_all(e);
    CHECK(left > 0 && sent.bytes > 0 && sent.bytes <= MOST && e->told);
    vt__sched_dom_unlock(e->dom);
    UNTIL(read_of(&w.client.streams) == 2 * N);
    CHECK(w.client.wrong == 0 && bytes_of(&w.client) == N * 20100);
    do { /* acknowledgements may be due at first */
        (void)vt_sleep_ms(1);
        vt__sched_dom_lock(e->dom);
        left = turn_of_all(e);
        vt__sched_dom_unlock(e->dom);
    } while (sent.bytes);
    CHECK_EQ(left, N - VT__QEND_SENT / VT__QEND_LEAST);
    world_free(&w);
    return 0;
}
TEST(b52_what_goes_out_of_a_turn_has_an_end) {
    sent.fd = -1;
    vt__plat.sendmsg = sent_sendmsg, vt__plat.sendmmsg = sent_sendmmsg;
    CHECK_EQ(run_on(WORKERS, outgoing, NULL), 0);
    vt__plat.sendmsg = vt__plat_sys_sendmsg, vt__plat.sendmmsg = vt__plat_sys_sendmmsg;
}

/* ---- clients that come from elsewhere ---- */
static void rebind(vt__qend *e) {
    vt__udp_addr a = loopback(0);
    socklen_t len;
    struct sockaddr_in6 name = name_of(&a, &len);
    vt__udp_cfg cfg = {.rcvbuf = 0};
    vt__sched_dom_lock(e->dom);
    vt__poll_remove(&e->pd);
    vt__udp_close(&e->udp);
    CHECK_EQ(vt__udp_open(&e->udp, (struct sockaddr *)(void *)&name, len, &cfg), 0);
    CHECK_EQ(vt__qend_join(e), 0);
    vt__sched_dom_unlock(e->dom);
}
static int moving(void *arg) {
    struct world w;
    (void)arg;
    world_init(&w);
    w.client.streams_each = 2, w.client.bytes_each = SLOW ? 200000 : 2000000;
    if (!world_open(&w, WORKERS, 1)) return -1;
    connect_all(&w, 2);
    UNTIL(read_of(&w.client.confirmed) == 2); /* before, none may move */
    for (int i = 0; i < 6 && read_of(&w.client.closed) == 0; i++) {
        rebind(w.clients[0]);
        int64_t was = bytes_of(&w.client);
        UNTIL(bytes_of(&w.client) > was || read_of(&w.client.closed) > 0);
    }
    UNTIL(read_of(&w.client.gone) == 2 && read_of(&w.server.gone) == 2);
    CHECK(w.client.streams == 4 && w.client.by[VT__QUIC_BY_US] == 2 && w.server.path > 0);
    CHECK(SERVER(&w, resets) == 0 && SERVER(&w, accepted) == 2);
    printf("  forwarded: %d\n", (int)SERVER(&w, forwarded));
    world_free(&w);
    return 0;
}
TEST(b22_b53_ports_that_change) { CHECK_EQ(run_on(WORKERS, moving, NULL), 0); }

/* ---- stop ---- */
static int stopping(void *arg) {
    struct world w;
    (void)arg;
    world_init(&w);
    w.client.streams_each = 2, w.client.bytes_each = 300000;
    w.server.streams_each = 1, w.server.bytes_each = 1000000;
    if (!world_open(&w, 2, 1)) return -1;
    connect_all(&w, 4);
    UNTIL(read_of(&w.server.ready) == 4);
    for (int i = 0; i < 2; i++) {
        vt__sched_dom_lock(dom_of(i));
        vt__qend_stop(w.servers[i]);
        vt__sched_dom_unlock(dom_of(i));
    }
    connect_all(&w, 1);
    UNTIL(read_of(&w.client.gone) == 5 && read_of(&w.server.gone) == 4);
    CHECK(w.client.streams == 8 && w.client.by[VT__QUIC_BY_US] == 4 && w.client.by[VT__QUIC_BY_PEER] == 1);
    world_free(&w);
    return 0;
}
TEST(stop_lets_transfers_end) { CHECK_EQ(run_on(WORKERS, stopping, NULL), 0); }
static int ending(void *arg) {
    struct world w;
    (void)arg;
    world_init(&w);
    w.client.streams_each = 3, w.client.bytes_each = 50000000;
    if (!world_open(&w, WORKERS, WORKERS)) return -1;
    connect_all(&w, 6);
    UNTIL(read_of(&w.server.ready) == 6 && bytes_of(&w.client) > 100000);
    for (int i = 0; i < w.nservers; i++) {
        vt__dom *dom = w.servers[i]->dom;
        vt__sched_dom_lock(dom);
        vt__qend_stir(w.servers[i]); /* the message finds it ended */
        vt__qend_free(w.servers[i]);
        vt__sched_dom_unlock(dom);
    }
    CHECK_EQ(w.server.gone, 6);
    w.nservers = 0;
    UNTIL(read_of(&w.client.gone) == 6);
    CHECK(w.client.by[VT__QUIC_BY_PEER] == 6 && w.client.code == VT__QPKT_NO_ERROR);
    world_free(&w);
    return 0;
}
TEST(free_while_transfers_run) { CHECK_EQ(run_on(WORKERS, ending, NULL), 0); }
/* The runtime ends at once: the message that finds the endpoint ended comes all the same. */
static int ending_at_once(void *arg) {
    struct world w;
    (void)arg;
    world_init(&w);
    if (!world_open(&w, WORKERS, 0)) return -1;
    vt__qend *e = w.servers[WORKERS - 1];
    alloc_watched = e, alloc_gone = 0;
    vt__sched_dom_lock(e->dom);
    vt__qend_stir(e);
    vt__qend_free(e);
    vt__sched_dom_unlock(e->dom);
    w.nservers--;
    world_free(&w);
    return 0;
}
TEST(free_and_the_end_of_all) {
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(run_on(WORKERS, ending_at_once, NULL), 0);
        CHECK(alloc_gone);
    }
    alloc_watched = NULL;
}

/* ---- a socket that is full ---- */
static struct {
    int fd, calls;
    bool refused; /* the last time, what began like this */
    uint8_t first[16];
    int again, wrong;
} full;
static bool full_now(int fd, const struct msghdr *m) {
    const struct iovec *v = m->msg_iov;
    if (fd != full.fd) return false;
    if (full.refused) {
        full.again++;
        full.wrong += memcmp(full.first, v->iov_base, sizeof full.first) != 0;
    }
    full.refused = ++full.calls % 3 != 0;
    if (full.refused) memcpy(full.first, v->iov_base, sizeof full.first);
    return full.refused;
}
static ssize_t full_sendmsg(int fd, const struct msghdr *m, int fl) {
    return full_now(fd, m) ? -EAGAIN : vt__plat_sys_sendmsg(fd, m, fl);
}
static int full_sendmmsg(int fd, struct vt__plat_mmsg *v, unsigned n, int fl) {
    if (full_now(fd, &v->hdr)) return -EAGAIN;
    return vt__plat_sys_sendmmsg(fd, v, fd == full.fd ? 1 : n, fl);
}
/* Room to write, says the kernel. */
static void poke(vt__qend *e) {
    vt__sched_dom_lock(e->dom);
#if !VTHTTP_POLL
    uint32_t ev = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    CHECK_EQ(
        vt__poll_ctl(e->dom->epfd, EPOLL_CTL_MOD, &e->pd, __atomic_load_n(&e->pd.word, __ATOMIC_RELAXED), ev),
        0);
#endif
    vt__sched_dom_unlock(e->dom);
}
static int full_run(void *arg) {
    struct world w;
    bool gso = arg != NULL;
    world_init(&w);
    w.server_cfg.udp.no_gso = !gso;
    w.client.streams_each = 2, w.client.bytes_each = SLOW ? 40000 : 200000;
    if (!world_open(&w, 1, 1)) return -1;
    full.fd = w.servers[0]->udp.fd;
    connect_all(&w, 3);
    do {
        poke(w.servers[0]);
        (void)vt_sleep_ms(1);
    } while (read_of(&w.client.gone) < 3 || read_of(&w.server.gone) < 3);
    CHECK(w.client.streams == 6 && w.client.by[VT__QUIC_BY_US] == 3 && SERVER(&w, unsent) == 0);
    full.fd = -1;
    world_free(&w);
    return 0;
}
static void full_test(bool gso) {
    memset(&full, 0, sizeof full);
    full.fd = -1;
    vt__plat.sendmsg = full_sendmsg, vt__plat.sendmmsg = full_sendmmsg;
    CHECK_EQ(run_on(WORKERS, full_run, gso ? &full : NULL), 0);
    vt__plat.sendmsg = vt__plat_sys_sendmsg, vt__plat.sendmmsg = vt__plat_sys_sendmmsg;
    CHECK(full.again > 20 && full.wrong == 0);
}
TEST(full_sockets) { full_test(false); }
TEST(full_sockets_with_gso) { full_test(true); }

/* ---- too much that waits ---- */
static size_t used_by(vt__qend *e) {
    vt__sched_dom_lock(e->dom);
    size_t n = e->mem.used;
    CHECK(n <= e->mem.max);
    vt__sched_dom_unlock(e->dom);
    return n;
}
static int hoard(void *arg) {
    struct world w;
    (void)arg;
    world_init(&w);
    w.server_cfg.max_bytes = 300000;
    w.server.streams_each = 3, w.server.bytes_each = 1000000; /* clients keep it waiting */
    w.client_cfg.quic.streams.window = w.client_cfg.quic.streams.max_window = 20000;
    w.client.closes = false, w.client.holds = true;
    if (!world_open(&w, 1, 1)) return -1;
    vt__qend *s = w.servers[0];
    for (int i = 0; i < 50 && read_of(&w.server.by[VT__QUIC_BY_US]) == 0; i++) {
        int was = read_of(&w.client.ready) + read_of(&w.client.closed);
        connect_all(&w, 1);
        UNTIL(read_of(&w.client.ready) + read_of(&w.client.closed) > was);
        (void)used_by(s);
    }
    CHECK(w.server.by[VT__QUIC_BY_US] > 0 && w.server.code == BYE + 1);
    vanish(w.clients[0]), vanish(s);
    CHECK(used_by(s) <= VT__QSTR_CHUNK); /* the last one that was read */
    int ready = read_of(&w.server.ready), refused = w.client.by[VT__QUIC_BY_PEER];
    connect_all(&w, 1);
    UNTIL(read_of(&w.server.ready) == ready + 1 && used_by(s) > 100000);
    vt__sched_dom_lock(s->dom);
    s->mem.max = s->mem.used / 8 * 9; /* full, also once the handshake is acknowledged */
    vt__sched_dom_unlock(s->dom);
    connect_all(&w, 1);
    UNTIL(read_of(&w.client.by[VT__QUIC_BY_PEER]) > refused);
    CHECK_EQ(w.client.code, VT__QPKT_CONNECTION_REFUSED);
    world_free(&w);
    return 0;
}
TEST(memory_has_a_bound) { CHECK_EQ(run_on(WORKERS, hoard, NULL), 0); }

/* ---- memory that is out: whatever it was for, all ends well, or ends ---- */
static int hunger(void *arg) {
    struct world w;
    (void)arg;
    tls_begin();
    vt_log_set(say_nothing, NULL, 0); /* of logs that cannot be written */
    for (long n = 1, seen = 1; seen; n += SLOW ? 7 : 1) {
        world_init(&w);
        w.client.streams_each = 2, w.client.bytes_each = 20000;
        w.client_cfg.qlog = w.server_cfg.qlog = "/nowhere/at/all";
        __atomic_store_n(&alloc_left, n, __ATOMIC_RELAXED);
        bool up = world_open(&w, 1, 1) && connect_to(&w, 0, &w.addr, (vt_str){NULL, 0}) == 0;
        if (up) UNTIL(read_of(&w.client.gone) == 1);
        seen = __atomic_load_n(&alloc_left, __ATOMIC_RELAXED) <= 0;
        __atomic_store_n(&alloc_left, 0, __ATOMIC_RELAXED);
        if (!seen) CHECK(w.client.streams == 2 && w.client.by[VT__QUIC_BY_US] == 1);
        if (!seen) printf("  %ld allocations\n", n);
        world_free(&w);
    }
    vt_log_set(NULL, NULL, 0);
    return 0;
}
TEST(memory_is_out) { CHECK_EQ(run_on(WORKERS, hunger, NULL), 0); }
