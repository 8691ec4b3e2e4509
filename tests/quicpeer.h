/* Two ends of a QUIC connection, a link each way, one clock. The client asks on streams for bytes and sends some, the server
 * gives them; both compare each byte with what it should be. */
#ifndef VT_QUICPEER_H
#define VT_QUICPEER_H
#include "qlink.h"
#include "test.h"
#include "qforge.h"
#include "tls.h"

enum { CLIENT_ADDR = 1 << 16 | 5000, SERVER_ADDR = 2 << 16 | 443, FLOW_HEAD = 8 };

/* What the application of one end knows of a stream: bytes in and out, and how many there will be. A client sends the
 * number of those that it wants before what it sends. */
struct flow {
    vt__qstr_stream *s;
    uint64_t got, expect, sent, total, want;
    uint8_t head[FLOW_HEAD];
    bool fin, reset, stopped, held;
    struct flow *next;
};
struct net;
struct end {
    vt__quic_cfg cfg;
    vt__qstr_mem mem;
    vt__quic c;
    bool up, ready, confirmed, closed, resumed;
    int early, zero;             /* EARLY was told; enum vt__qtls_zero */
    unsigned asks;               /* in 0-RTT: as many streams, as soon as it may begin, */
    uint64_t asks_up, asks_down; /* of so many bytes */
    int cids, paths, datagrams;
    uint8_t token[256];
    size_t ntoken;
    struct flow *flows;
    unsigned opened, finished, resets; /* streams */
    unsigned wrong;                    /* bytes that are not those that were sent */
    uint64_t bytes;
    uint32_t addr;
    uint64_t sent_dgrams, sent_bytes, got_dgrams, got_bytes;
    bool hold;     /* keeps what it reads: no credit */
    uint64_t most; /* of an answer, whatever is asked for; 0: any number of bytes */
};
struct net {
    int64_t now;
    struct end client, server;
    struct qlink up, down; /* to the server; from it */
    size_t train;          /* bytes of a train at most; 0: 65,536 */
    uint64_t steps;
    bool retry; /* clients have to show that they get what is sent to them */
    unsigned retries;
};

/* ---- contexts, made once ---- */
static struct {
    vt__ossl_ctx *server, *client, *large_server, *large_client;
    vt__ossl_keys keys;
    vt__qsec_vault vault;
    vt__qtls_strikes strikes; /* of a server that accepts 0-RTT */
    struct pem pem;
} tls_of;
/* A server's context with a certificate of its own. */
static inline vt__ossl_ctx *tls_server(const struct pem *pem) {
    vt_tls_cert cert = {.cert_pem = pem->cert_text, .key_pem = pem->key_text};
    vt_tls_cfg s = {.certs = &cert, .ncerts = 1};
    vt__ossl_text text = {""};
    vt__ossl_ctx *ctx = NULL;
    if (vt__qtls_ctx_server(&ctx, &s, &tls_of.keys, (vt_str){"\2h3", 3}, &text) == 0) return ctx;
    printf("TLS: %s\n", text.text);
    abort();
}
/* The context of a client that trusts it. */
static inline vt__ossl_ctx *tls_client_of(const struct pem *pem) {
    vt__ossl_client c = {.ca_pem = pem->cert_text, .alpn = {"\2h3", 3}};
    vt__ossl_text text = {""};
    vt__ossl_ctx *ctx = NULL;
    if (vt__qtls_ctx_client(&ctx, &c, &text) == 0) return ctx;
    printf("TLS: %s\n", text.text);
    abort();
}
static inline void tls_begin(void) {
    if (tls_of.server) return;
    tls_of.keys.every = 3600 * VT_SEC;
    tls_of.pem = pem_make("localhost", "DNS:localhost", NULL, 30, VTHTTP_SIM ? -1 : 0);
    (void)vt__ossl_begin();
    tls_of.server = tls_server(&tls_of.pem);
    tls_of.client = tls_client_of(&tls_of.pem);
    if (vt__qsec_vault_init(&tls_of.vault, NULL) < 0) abort();
}
/* A certificate of so many names that it takes 8 KB. */
static inline void tls_begin_large(void) {
    char names[9000] = "DNS:localhost";
    if (tls_of.large_server) return;
    for (size_t n; (n = strlen(names)) < 8500;)
        snprintf(names + n, sizeof names - n, ",DNS:host-%zu.rather-a-long-name.example", n);
    struct pem pem = pem_make("localhost", names, NULL, 30, -1);
    tls_of.large_server = tls_server(&pem);
    tls_of.large_client = tls_client_of(&pem);
    pem_free(&pem);
}

/* ---- what streams carry ---- */
static inline uint8_t pattern(uint64_t id, uint64_t at) { return (uint8_t)(id * 31 + at * 7 + (at >> 8)); }
static inline struct flow *flow_new(struct end *e, vt__qstr_stream *s) {
    struct flow *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->s = s;
    f->next = e->flows;
    e->flows = f;
    s->ctx = f;
    e->opened++;
    return f;
}
/* As much as there is room for. */
static inline void flow_write(struct end *e, struct flow *f) {
    uint8_t buf[4096];
    while (!f->fin && !f->reset && !f->stopped) {
        size_t n = f->total - f->sent < sizeof buf ? (size_t)(f->total - f->sent) : sizeof buf;
        for (size_t i = 0; i < n; i++) {
            uint64_t at = f->sent + i;
            bool head = !e->cfg.server && at < FLOW_HEAD;
            buf[i] = (uint8_t)(head ? f->want >> 8 * at : pattern(f->s->id, at));
        }
        bool fin = f->sent + n == f->total;
        int64_t k = (int64_t)vt__qstr_write(&e->c.streams, f->s, buf, n, fin);
        if (k < 0) { /* out of memory */
            vt__quic_fail(&e->c, (int)k);
            return;
        }
        f->sent += (uint64_t)k;
        f->fin = fin && (size_t)k == n;
        if ((size_t)k < n) return;
    }
}
static inline void flow_end(struct end *e, struct flow *f) {
    e->finished++;
    vt__qstr_release(&e->c.streams, f->s, 0);
    f->s = NULL;
}
static inline void flow_data(struct end *e, struct flow *f, const uint8_t *p, size_t n, bool fin) {
    for (size_t i = 0; i < n; i++, f->got++) {
        if (e->cfg.server && f->got < FLOW_HEAD) f->head[f->got] = p[i];
        else e->wrong += p[i] != pattern(f->s->id, f->got);
    }
    e->bytes += n;
    if (n && !e->hold) vt__qstr_consumed(&e->c.streams, f->s, n);
    if (!fin) return;
    f->held = true;
    if (!e->cfg.server) {
        e->wrong += f->got != f->expect && vt__qstr_ours(&e->c.streams, f->s->id);
        flow_end(e, f);
        return;
    }
    for (int i = 0; i < FLOW_HEAD; i++) f->total |= (uint64_t)f->head[i] << 8 * i;
    if (e->most && f->total > e->most) f->total = e->most;
    if (f->s->id & 2 || f->reset || f->stopped) flow_end(e, f); /* one way, or there is no answer any more */
    else flow_write(e, f);
}
/* Sends no more of it. A server that has read all has nothing left to do; else the other way goes on. */
static inline void flow_reset(struct end *e, struct flow *f) {
    vt__qstr_reset(&e->c.streams, f->s, 7);
    f->reset = true;
    if (f->held || f->s->ended & VT__QSTR_REMOTE) flow_end(e, f);
}
static inline void end_stream(struct end *e, const vt__qstr_event *ev) {
    struct flow *f = ev->stream ? ev->stream->ctx : NULL;
    switch (ev->type) {
    case VT__QSTR_EV_OPEN: (void)flow_new(e, ev->stream); break;
    case VT__QSTR_EV_DATA: flow_data(e, f, ev->data, ev->len, ev->fin); break;
    case VT__QSTR_EV_RESET:
        f->reset = true, e->resets++;
        flow_end(e, f);
        break;
    case VT__QSTR_EV_STOP:
        f->stopped = true;
        if (f->held || f->s->ended & VT__QSTR_REMOTE) flow_end(e, f);
        break;
    case VT__QSTR_EV_WRITABLE: flow_write(e, f); break;
    case VT__QSTR_EV_SENT:
        if (f->s->ended == VT__QSTR_BOTH) flow_end(e, f);
        break;
    default: break;
    }
}
/* A request: `up` bytes there, `down` bytes back; NULL: no stream may be opened now. */
static inline struct flow *end_ask(struct end *e, uint64_t up, uint64_t down) {
    vt__qstr_stream *s;
    if (vt__qstr_open(&e->c.streams, false, &s) < 0) return NULL;
    struct flow *f = flow_new(e, s);
    f->total = FLOW_HEAD + up;
    f->want = f->expect = down;
    flow_write(e, f);
    return f;
}

/* So many bytes one way, and no answer. */
static inline struct flow *end_tell(struct end *e, uint64_t bytes) {
    vt__qstr_stream *s;
    if (vt__qstr_open(&e->c.streams, true, &s) < 0) return NULL;
    struct flow *f = flow_new(e, s);
    f->total = FLOW_HEAD + bytes;
    flow_write(e, f);
    return f;
}
/* What is read is put to use only later. */
static inline void end_hold(struct end *e, bool hold) {
    e->hold = hold;
    for (struct flow *f = e->flows; f && !hold; f = f->next)
        if (f->s && f->s->held) vt__qstr_consumed(&e->c.streams, f->s, f->s->held);
}

/* ---- ends ---- */
static inline vt__qroute_addr addr_of(uint32_t number) {
    vt__qroute_addr a;
    memset(&a, 0, sizeof a);
    a.ip[10] = a.ip[11] = 0xff, a.ip[12] = 10;
    a.ip[14] = (uint8_t)(number >> 24), a.ip[15] = (uint8_t)(number >> 16);
    a.port = (uint16_t)number;
    return a;
}
static inline uint32_t number_of(const vt__qroute_addr *a) {
    return (uint32_t)a->ip[14] << 24 | (uint32_t)a->ip[15] << 16 | a->port;
}
static inline void end_events(struct end *e) {
    vt__quic_event ev = {0};
    while (vt__quic_next(&e->c, &ev)) switch (ev.type) {
        case VT__QUIC_EV_READY:
            e->ready = true, e->resumed = e->c.tls->resumed, e->zero = e->c.tls->early;
            break;
        case VT__QUIC_EV_EARLY:
            e->early++;
            for (unsigned i = 0; i < e->asks; i++) (void)end_ask(e, e->asks_up, e->asks_down);
            break;
        case VT__QUIC_EV_CONFIRMED: e->confirmed = true; break;
        case VT__QUIC_EV_STREAM: end_stream(e, &ev.stream); break;
        case VT__QUIC_EV_DATAGRAM: e->datagrams++, e->bytes += ev.n; break;
        case VT__QUIC_EV_TOKEN:
            e->ntoken = ev.n < sizeof e->token ? ev.n : 0;
            memcpy(e->token, ev.p, e->ntoken);
            break;
        case VT__QUIC_EV_PATH: e->paths++; break;
        case VT__QUIC_EV_CID_ADD: e->cids++; break;
        case VT__QUIC_EV_CID_DEL: e->cids--; break;
        case VT__QUIC_EV_CLOSED: e->closed = true; break;
        default: abort();
        }
}
/* As quic_forge. */
static inline size_t end_forge(struct end *e, unsigned space, const uint8_t *frames, size_t n, size_t least,
                               uint8_t *out, size_t cap) {
    return quic_forge(&e->c, space, frames, n, least, out, cap);
}
static inline void net_flush(struct net *w, struct end *e) {
    static uint8_t buf[65536];
    vt__quic_train t;
    if (!e->up) return;
    for (size_t n; (n = vt__qout_send(&e->c, buf, w->train ? w->train : sizeof buf, &t, w->now)) > 0;) {
        for (size_t at = 0; at < n; at += t.segment) {
            struct qlink_dgram d = {.data = buf + at,
                                    .from = number_of(&t.local),
                                    .to = number_of(&t.remote),
                                    .n = (uint32_t)(n - at < t.segment ? n - at : t.segment),
                                    .ecn = (uint8_t)t.ecn};
            e->sent_dgrams++, e->sent_bytes += d.n;
            qlink_send(e == &w->client ? &w->up : &w->down, w->now, &d);
        }
    }
    end_events(e);
}
/* What the endpoint of a server does: a connection begins with the first datagram that is worth it. */
static inline void net_accept(struct net *w, const struct qlink_dgram *d) {
    struct end *e = &w->server;
    uint8_t out[512];
    vt__qpkt_head h;
    vt__quic_start s;
    if (d->n < 1200 || vt__qpkt_head_get(&h, d->data, d->n, VT__QCID_LEN) < 0) return;
    if (h.type != VT__QPKT_T_INITIAL || h.dcid_len < 8) return;
    memset(&s, 0, sizeof s);
    s.local = addr_of(d->to), s.remote = addr_of(d->from);
    s.mem = &e->mem;
    s.version = h.version;
    vt__qpkt_cid_set(&s.dcid, h.dcid, h.dcid_len), vt__qpkt_cid_set(&s.scid, h.scid, h.scid_len);
    int token = vt__qedge_take_token(&e->cfg, &h, &s.remote, &s, w->now), n = 0;
    if (token < 0 && vt__qedge_genuine(&h, d->data) <= 0) return;
    if (token < 0) n = vt__qedge_put_refusal(&h, VT__QPKT_INVALID_TOKEN, out, sizeof out);
    else if (w->retry && !s.proven) n = vt__qedge_put_retry(&e->cfg, &h, &s.remote, out, sizeof out, w->now);
    if (n > 0) {
        struct qlink_dgram back = {.data = out, .n = (uint32_t)n, .from = d->to, .to = d->from};
        qlink_send(&w->down, w->now, &back);
        w->retries++;
        return;
    }
    if (e->up) vt__quic_free(&e->c);
    e->up = vt__quic_init(&e->c, &e->cfg, &s, w->now) == 0;
}
/* For another connection than this one, which nobody knows yet: the packet that it was made for was not what it seemed. */
static inline bool net_is_another(struct end *e, const struct qlink_dgram *d) {
    vt__qpkt_head h;
    const vt__qpkt_cid *first = e->c.retried ? &e->c.retry_scid : &e->c.odcid;
    if (e->c.got_one || vt__qpkt_head_get(&h, d->data, d->n, VT__QCID_LEN) < 0) return false;
    return h.dcid_len != first->len || memcmp(h.dcid, first->b, h.dcid_len) != 0;
}
static inline void net_deliver(struct net *w, struct end *e, struct qlink_dgram *d) {
    if (e == &w->server && (!e->up || net_is_another(e, d))) net_accept(w, d);
    if (!e->up) return;
    vt__qroute_addr local = addr_of(d->to), remote = addr_of(d->from);
    vt__quic_dgram g = {d->data, d->n, &local, &remote, d->ecn};
    e->got_dgrams++, e->got_bytes += d->n;
    vt__quic_recv(&e->c, &g, w->now);
    end_events(e);
}
static inline void net_tick(struct net *w, struct end *e) {
    if (!e->up || vt__quic_due(&e->c) > w->now) return;
    vt__quic_tick(&e->c, w->now);
    end_events(e);
}
static inline int64_t net_due(struct net *w) {
    int64_t at = qlink_due(&w->up), down = qlink_due(&w->down);
    if (down < at) at = down;
    if (w->client.up && vt__quic_due(&w->client.c) < at) at = vt__quic_due(&w->client.c);
    if (w->server.up && vt__quic_due(&w->server.c) < at) at = vt__quic_due(&w->server.c);
    return at;
}
/* To the next thing that happens, not beyond `until`; false: nothing does before. */
static inline bool net_step(struct net *w, int64_t until) {
    struct qlink_dgram d;
    int64_t at = net_due(w);
    if (at > until) {
        w->now = until;
        return false;
    }
    if (at > w->now) w->now = at;
    w->steps++;
    while (qlink_recv(&w->up, w->now, &d)) net_deliver(w, &w->server, &d);
    while (qlink_recv(&w->down, w->now, &d)) net_deliver(w, &w->client, &d);
    net_tick(w, &w->client), net_tick(w, &w->server);
    net_flush(w, &w->client), net_flush(w, &w->server);
    return true;
}
static inline void net_run(struct net *w, int64_t ns) {
    for (int64_t until = w->now + ns; net_step(w, until);)
        if (w->steps > 20000000) {
            test_fail(__FILE__, __LINE__, "it never comes to rest");
            return;
        }
}
/* Until a condition holds, or the time is up. */
#define NET_UNTIL(w, cond, ns)                                                                               \
    do {                                                                                                     \
        int64_t until_ = (w)->now + (ns);                                                                    \
        while (!(cond) && net_step((w), until_)) {}                                                          \
    } while (0)

#if VTHTTP_SIM
/* What the library takes for random comes from the seed, too. */
static uint64_t net_random;
static ssize_t net_getrandom(void *p, size_t n) {
    for (size_t i = 0; i < n; i++) ((uint8_t *)p)[i] = (uint8_t)test_rand(&net_random);
    return (ssize_t)n;
}
#endif
/* The server with the same settings as ever; config and links may be changed before net_connect. */
static inline void net_init(struct net *w, const struct qlink_cfg *link, uint64_t seed) {
    tls_begin();
    memset(w, 0, sizeof *w);
#if VTHTTP_SIM
    net_random = seed, vt__plat.getrandom = net_getrandom;
#endif
    w->now = 1000 * VT_SEC;
    qlink_init(&w->up, link, seed), qlink_init(&w->down, link, seed ^ UINT64_C(0x5555555555555555));
    w->server.cfg = (vt__quic_cfg){.server = true, .tls = tls_of.server, .vault = &tls_of.vault};
    w->client.cfg = (vt__quic_cfg){.tls = tls_of.client};
    w->client.addr = CLIENT_ADDR, w->server.addr = SERVER_ADDR;
}
/* The server's certificate is larger than what it may send before it hears of the client a second time. */
static inline void net_large(struct net *w) {
    tls_begin_large();
    w->server.cfg.tls = tls_of.large_server, w->client.cfg.tls = tls_of.large_client;
}
static inline void net_connect_with(struct net *w, vt__quic_start *s) {
    vt__quic_cfg_fill(&w->client.cfg), vt__quic_cfg_fill(&w->server.cfg);
    vt__qstr_mem_init(&w->client.mem), vt__qstr_mem_init(&w->server.mem);
    s->local = addr_of(CLIENT_ADDR), s->remote = addr_of(SERVER_ADDR);
    s->mem = &w->client.mem;
    s->host = "localhost";
    w->client.up = vt__quic_init(&w->client.c, &w->client.cfg, s, w->now) == 0;
    if (!w->client.up) return; /* out of memory */
    end_events(&w->client);
    net_flush(w, &w->client);
}
static inline void net_connect(struct net *w) {
    vt__quic_start s;
    memset(&s, 0, sizeof s);
    net_connect_with(w, &s);
}
/* As net_init; 0-RTT is offered, and accepted. */
static inline void net_init_early(struct net *w, const struct qlink_cfg *link, uint64_t seed) {
    net_init(w, link, seed);
    tls_of.strikes.mark = 1;
    w->server.cfg.strikes = &tls_of.strikes;
    w->client.cfg.early = true;
}
/* Tickets are kept, and used. */
static inline void net_connect_early(struct net *w) {
    vt__quic_start s;
    memset(&s, 0, sizeof s);
    s.port = 443;
    net_connect_with(w, &s);
}
static inline void end_free(struct end *e) {
    if (e->up) vt__quic_free(&e->c);
    for (struct flow *f; (f = e->flows) != NULL; free(f)) e->flows = f->next;
    vt__qstr_mem_free(&e->mem);
    e->up = false;
}
static inline void net_free(struct net *w) {
    end_free(&w->client), end_free(&w->server);
    qlink_free(&w->up), qlink_free(&w->down);
}
/* A connection for tickets, in the place of all that there are. */
static inline void net_get_tickets(struct net *w, uint64_t seed) {
    const struct qlink_cfg link = {.delay_ns = VT_MS};
    tls_begin();
    for (vt__ossl_sessions *all = tls_of.client->sessions; all->n > 0;) {
        SSL_SESSION_free(all->at[--all->n].s);
        vt__mem_free(all->at[all->n].key);
    }
    net_init_early(w, &link, seed);
    net_connect_early(w);
    net_run(w, VT_SEC);
    CHECK(w->client.confirmed && w->server.confirmed);
    net_free(w);
}
#endif
