/* One direction of a link, on the caller's clock: delay, rate, a drop-tail queue, losses alone and in bursts, reordering,
 * duplicates, corruption, black holes, ECN. It carries real datagrams; everything random comes from its seed.
 *
 * A simulation: now = the least of qlink_due() of both directions and the ends' timers; take what arrived, run timers, let
 * both ends send; again. */
#ifndef VT_QLINK_H
#define VT_QLINK_H
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "rand.h"

struct qlink_cfg { /* zero: a perfect link; may be changed as it runs. Chances are in 1,000,000 datagrams. */
    int64_t delay_ns, jitter_ns; /* one way; jitter: 0 to so much more, in order all the same */
    uint64_t rate_bps;           /* bits a second, each datagram with 28 bytes of heads; 0: endless */
    unsigned queue;        /* datagrams that wait for their turn: further ones are dropped; 0: endless */
    unsigned ce_at;        /* ECT datagrams are marked CE once so many wait; 0: never */
    unsigned loss, burst;  /* chance that losses begin; 1 to `burst` datagrams in a row; 0: one */
    unsigned reorder;      /* chance to be held back by reorder_ns */
    int64_t reorder_ns;    /* 0: a quarter of the delay */
    unsigned dup, corrupt; /* chances; corrupt: one byte is another */
    unsigned mtu;          /* larger datagrams are dropped; 0: none */
    bool bleach;           /* ECN bits are cleared */
    int64_t up_ns,
        down_ns; /* in turn from time 0 on: nothing gets through while down; down_ns 0: always up */
};
struct qlink_dgram {
    int64_t at;
    uint8_t *data; /* as received: lives until the next qlink_recv() */
    uint32_t n;
    uint32_t from, to; /* addresses: numbers of the caller's */
    uint32_t flow;     /* any tag */
    uint8_t ecn;       /* IP bits */
};
struct qlink_stats {
    uint64_t sent, bytes, lost, tail, down, dup, corrupt, reordered, big, marked, delivered;
};
struct qlink {
    struct qlink_cfg cfg;
    uint64_t rng;
    struct qlink_dgram *wire; /* in order of arrival, from wire[first] on */
    uint8_t *last;            /* data of the last one that was received */
    size_t first, n, cap;
    int64_t free_at; /* when the bottleneck has sent what waits */
    int64_t *starts; /* when each of those that wait begins to be sent */
    size_t nstarts, starts_cap;
    int64_t latest;  /* arrival of the last one in order */
    unsigned losing; /* of a burst, still to be lost */
    struct qlink_stats stats;
    /* On each datagram as it is sent: may change its addresses, data, ECN; n = 0 drops it. */
    void (*hook)(struct qlink *l, struct qlink_dgram *d);
    void *arg;
};

static inline void qlink_init(struct qlink *l, const struct qlink_cfg *cfg, uint64_t seed) {
    memset(l, 0, sizeof *l);
    l->cfg = *cfg, l->rng = seed;
}
static inline void qlink_free(struct qlink *l) {
    for (size_t i = 0; i < l->n; i++) free(l->wire[l->first + i].data);
    free(l->wire), free(l->last), free(l->starts);
    memset(l, 0, sizeof *l);
}
static inline bool qlink_chance(struct qlink *l, unsigned millionths) {
    return millionths && test_rand(&l->rng) % 1000000 < millionths;
}
static inline bool qlink_is_lost(struct qlink *l) {
    if (!l->losing && qlink_chance(l, l->cfg.loss))
        l->losing = l->cfg.burst ? 1 + (unsigned)(test_rand(&l->rng) % l->cfg.burst) : 1;
    if (!l->losing) return false;
    l->losing--, l->stats.lost++;
    return true;
}
static inline bool qlink_is_down(const struct qlink *l, int64_t now) {
    const struct qlink_cfg *c = &l->cfg;
    return c->down_ns && now % (c->up_ns + c->down_ns) >= c->up_ns;
}
/* Datagrams that wait behind the one that is being sent. */
static inline size_t qlink_waiting(struct qlink *l, int64_t now) {
    size_t gone = 0;
    while (gone < l->nstarts && l->starts[gone] <= now) gone++;
    l->nstarts -= gone;
    if (gone) memmove(l->starts, l->starts + gone, l->nstarts * sizeof *l->starts);
    return l->nstarts;
}
static inline void *qlink_more(void *p, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return p;
    *cap = *cap ? 2 * *cap : 64;
    p = realloc(p, *cap * size);
    if (!p) abort();
    return p;
}
/* Keeps the wire in order of arrival, and those of the same time in order of sending. */
static inline void qlink_put(struct qlink *l, const struct qlink_dgram *d, int64_t at) {
    if (l->first > 1024 && l->first > l->n) {
        memmove(l->wire, l->wire + l->first, l->n * sizeof *l->wire);
        l->first = 0;
    }
    l->wire = qlink_more(l->wire, l->first + l->n, &l->cap, sizeof *l->wire);
    size_t i = l->first + l->n++;
    for (; i > l->first && l->wire[i - 1].at > at; i--) l->wire[i] = l->wire[i - 1];
    l->wire[i] = *d;
    l->wire[i].at = at;
    l->wire[i].data = malloc(d->n ? d->n : 1);
    if (!l->wire[i].data) abort();
    memcpy(l->wire[i].data, d->data, d->n);
    if (qlink_chance(l, l->cfg.corrupt)) {
        l->wire[i].data[test_rand(&l->rng) % d->n] ^= (uint8_t)(1 + test_rand(&l->rng) % 255);
        l->stats.corrupt++;
    }
}
/* When the bottleneck has sent it; -1: its queue is full. */
static inline int64_t qlink_serve(struct qlink *l, int64_t now, struct qlink_dgram *d) {
    const struct qlink_cfg *c = &l->cfg;
    if (!c->rate_bps) return now;
    size_t waiting = qlink_waiting(l, now);
    if (c->queue && waiting >= c->queue) return -1;
    if (c->ce_at && waiting >= c->ce_at && d->ecn) d->ecn = 3, l->stats.marked++;
    int64_t start = l->free_at > now ? l->free_at : now;
    l->free_at = start + (int64_t)((d->n + 28) * UINT64_C(8000000000) / c->rate_bps);
    l->starts = qlink_more(l->starts, l->nstarts, &l->starts_cap, sizeof *l->starts);
    if (start > now) l->starts[l->nstarts++] = start;
    return l->free_at;
}
static inline void qlink_fly(struct qlink *l, int64_t at, const struct qlink_dgram *d) {
    const struct qlink_cfg *c = &l->cfg;
    at += c->delay_ns;
    if (c->jitter_ns) at += (int64_t)(test_rand(&l->rng) % (uint64_t)(c->jitter_ns + 1));
    if (qlink_chance(l, c->reorder)) {
        l->stats.reordered++;
        qlink_put(l, d, at + (c->reorder_ns ? c->reorder_ns : c->delay_ns / 4));
        return;
    }
    if (at < l->latest) at = l->latest;
    l->latest = at;
    qlink_put(l, d, at);
}
/* Copies the data. */
static inline void qlink_send(struct qlink *l, int64_t now, const struct qlink_dgram *dgram) {
    struct qlink_dgram d = *dgram;
    const struct qlink_cfg *c = &l->cfg;
    l->stats.sent++, l->stats.bytes += d.n;
    if (l->hook) l->hook(l, &d);
    if (!d.n) return;
    if (c->bleach) d.ecn = 0;
    if (c->mtu && d.n > c->mtu) {
        l->stats.big++;
        return;
    }
    if (qlink_is_down(l, now)) {
        l->stats.down++;
        return;
    }
    int64_t at = qlink_serve(l, now, &d);
    if (at < 0) {
        l->stats.tail++;
        return;
    }
    if (qlink_is_lost(l)) return; /* behind the bottleneck, whose time it took */
    qlink_fly(l, at, &d);
    if (!qlink_chance(l, c->dup)) return;
    l->stats.dup++;
    qlink_fly(l, at, &d);
}
/* When the next datagram arrives; INT64_MAX: none is on its way. */
static inline int64_t qlink_due(const struct qlink *l) { return l->n ? l->wire[l->first].at : INT64_MAX; }
/* The next one that has arrived by now. */
static inline bool qlink_recv(struct qlink *l, int64_t now, struct qlink_dgram *d) {
    if (qlink_due(l) > now) return false;
    *d = l->wire[l->first++];
    if (--l->n == 0) l->first = 0;
    free(l->last);
    l->last = d->data;
    l->stats.delivered++;
    return true;
}
#endif
