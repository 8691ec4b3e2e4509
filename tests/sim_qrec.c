/* Loss recovery and congestion control alone, over a simulated link: senders and receivers that speak a plain format of their
 * own. What transfers reach under loss, reordering, black holes, marks; that flows share; thousands of links at random. */
/* variants: default asan */
#define VTHTTP_SIM 1
#define VTHTTP_H3 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "qlink.h"
#include "test.h"

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
enum { APP = VT__QREC_APP, UNIT = 100, HEAD = 64, NRANGES = 20 };

/* ---- a packet ---- */
struct wire {
    uint64_t sum, pn, off;
    uint32_t len, nranges; /* of data; 0: no ACK */
    int64_t delay;
    bool eliciting, marked;
    uint64_t ecn[3];
    vt__qpkt_range ranges[NRANGES]; /* descending */
};
static uint64_t sum_of(const uint8_t *p, size_t n) {
    uint64_t h = 7;
    for (size_t i = 8; i < n; i++) h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* ---- an end: it sends `total` bytes, in units, and takes what the other one sends ---- */
struct end {
    vt__qrec r;
    vt__qrec_space shake[VT__QREC_APP];
    struct qlink *out;
    uint32_t flow;
    uint64_t total, fresh,
        ends;             /* fresh: next byte that never was sent; ends: bytes that arrived, each once */
    uint8_t *acked, *got; /* of units, ours and the other's */
    struct piece {
        uint64_t off;
        uint32_t len;
    } * again;
    size_t nagain, again_cap;
    uint64_t nacked, twice;        /* units; that arrived again */
    bool always_acks, bad, hashed; /* hashed: the link corrupts */
    int64_t start, done;
};
static void told(void *arg, unsigned space, const vt__qpkt_note *f, enum vt__qrec_fate fate) {
    struct end *e = arg;
    if (space != APP || f->kind != 1 || !f->len) return;
    if (fate != VT__QREC_ACKED) {
        e->again = qlink_more(e->again, e->nagain, &e->again_cap, sizeof *e->again);
        e->again[e->nagain++] = (struct piece){f->a, f->len};
        return;
    }
    for (uint64_t i = f->a / UNIT; i < (f->a + f->len) / UNIT; i++)
        e->nacked += !e->acked[i], e->acked[i] = 1;
}
static void end_init(struct end *e, struct qlink *out, const vt__qrec_cfg *cfg, bool server, uint64_t total,
                     uint64_t expect, uint64_t seed, int64_t now) {
    memset(e, 0, sizeof *e);
    e->out = out, e->total = total, e->start = now, e->done = -1;
    e->acked = calloc(1, total / UNIT + 1), e->got = calloc(1, expect / UNIT + 1);
    if (!e->acked || !e->got) abort();
    vt__qrec_init(&e->r, cfg, e->shake, server, seed, told, e, now);
    vt__qrec_peer(&e->r, 25 * MS, 65527);
    vt__qrec_confirmed(&e->r, now);
}
static void end_free(struct end *e) {
    vt__qrec_free(&e->r);
    free(e->acked), free(e->got), free(e->again);
}
static bool end_is_done(const struct end *e) { return e->nacked == e->total / UNIT; }
/* The next piece to be sent, of at most `most` bytes; len 0: nothing. */
static struct piece end_next(struct end *e, uint32_t most) {
    struct piece none = {0, 0}, p;
    most = most / UNIT * UNIT;
    while (e->nagain) {
        struct piece *last = &e->again[e->nagain - 1];
        if (last->len && e->acked[last->off / UNIT]) {
            last->off += UNIT, last->len -= UNIT;
            continue;
        }
        if (!last->len) {
            e->nagain--;
            continue;
        }
        p = (struct piece){last->off, VT__MIN(last->len, most)};
        last->off += p.len, last->len -= p.len;
        return p;
    }
    if (e->fresh == e->total) return none;
    p = (struct piece){e->fresh, (uint32_t)VT__MIN(e->total - e->fresh, (uint64_t)most)};
    e->fresh += p.len;
    return p;
}
static unsigned put_ack(struct end *e, struct wire *w, int64_t now) {
    vt__qrec_ack a;
    if (!vt__qrec_ack_any(&e->r, APP) || !vt__qrec_ack_get(&e->r, APP, now, &a)) return 0;
    w->delay = a.delay_ns;
    w->marked = a.ecn != NULL;
    if (a.ecn) memcpy(w->ecn, a.ecn, sizeof w->ecn);
    for (unsigned i = a.n; i > 0 && w->nranges < NRANGES; i--) w->ranges[w->nranges++] = a.ranges[i - 1];
    return VT__QREC_WITH_ACK;
}
/* A packet with what is owed; `size` 0: as long as it has to be. */
static void end_put(struct end *e, struct piece p, bool ping, uint32_t size, unsigned flags, int64_t now) {
    static uint8_t buf[2048];
    struct wire *w = (struct wire *)(void *)buf;
    memset(w, 0, sizeof *w);
    w->pn = vt__qrec_next(&e->r, APP), w->off = p.off, w->len = p.len;
    flags |= put_ack(e, w, now);
    ping |= vt__qrec_ack_ping(&e->r, APP);
    w->eliciting = p.len || ping;
    if (w->eliciting) flags |= VT__QREC_ELICITING | VT__QREC_IN_FLIGHT;
    unsigned ecn = vt__qrec_ecn(&e->r);
    if (ecn) flags |= VT__QREC_ECT;
    if (!size) size = p.len ? p.len + HEAD : 40;
    vt__qpkt_note f = {.a = p.off, .len = p.len, .kind = 1};
    e->bad |= vt__qrec_sent(&e->r, APP, size, flags, &f, w->eliciting, now) < 0;
    /* The size on the wire is the packet's; what is read of it is the struct. */
    struct qlink_dgram d = {.n = size, .data = buf, .flow = e->flow, .ecn = (uint8_t)ecn};
    if (size < sizeof *w) d.n = sizeof *w;
    if (e->hashed) w->sum = sum_of(buf, sizeof *w);
    qlink_send(e->out, now, &d);
}
static void end_send(struct end *e, int64_t now) {
    static const struct piece none = {0, 0};
    uint32_t most = vt__qrec_mtu(&e->r) - HEAD;
    for (unsigned n = vt__qrec_probes(&e->r, APP); n > 0; n--) {
        struct piece p = end_next(e, most);
        end_put(e, p, true, 0, 0, now);
    }
    uint32_t probe = vt__qrec_mtu_probe(&e->r, now);
    if (probe) end_put(e, none, true, probe, VT__QREC_IN_FLIGHT | VT__QREC_MTU_PROBE, now);
    while (vt__qrec_room(&e->r, now)) {
        struct piece p = end_next(e, vt__qrec_mtu(&e->r) - HEAD);
        if (!p.len) break;
        end_put(e, p, false, 0, 0, now);
    }
    if (vt__qrec_ack_due(&e->r, APP) <= now) end_put(e, none, false, 0, 0, now);
}
static void end_recv(struct end *e, const struct qlink_dgram *d, int64_t now) {
    struct wire w;
    if (d->n < sizeof w) return;
    memcpy(&w, d->data, sizeof w);
    if (e->hashed && w.sum != sum_of(d->data, sizeof w)) return;
    if (!vt__qrec_fresh(&e->r, APP, w.pn)) return;
    for (uint64_t i = w.off / UNIT; i < (w.off + w.len) / UNIT; i++) {
        e->twice += e->got[i];
        e->ends += e->got[i] ? 0 : UNIT;
        e->got[i] = 1;
    }
    vt__qrec_got(&e->r, APP, w.pn, w.eliciting, d->ecn, now);
    if (!w.nranges) return;
    e->bad |= vt__qrec_ack_begin(&e->r, APP, w.ranges[0].hi, w.delay, now) < 0;
    for (unsigned i = 0; i < w.nranges && !e->bad; i++)
        e->bad |= vt__qrec_ack_range(&e->r, w.ranges[i].lo, w.ranges[i].hi) < 0;
    if (!e->bad) vt__qrec_ack_end(&e->r, w.marked ? w.ecn : NULL);
    if (e->done < 0 && end_is_done(e)) e->done = now;
}
static int64_t end_due(const struct end *e) {
    int64_t at = vt__qrec_due(&e->r);
    bool more = e->nagain || e->fresh < e->total;
    return more ? VT__MIN(at, vt__qrec_pace_at(&e->r)) : at;
}

/* ---- flows over one pair of links ---- */
enum { FLOWS_MAX = 8 };
struct sim {
    struct qlink there, back;
    struct end a[FLOWS_MAX], b[FLOWS_MAX]; /* a[i] sends to b[i] */
    unsigned n;
    int64_t now, start[FLOWS_MAX];
    void (*at_step)(struct sim *s); /* or NULL */
};
static void sim_init(struct sim *s, const struct qlink_cfg *there, const struct qlink_cfg *back,
                     uint64_t seed) {
    memset(s, 0, sizeof *s);
    qlink_init(&s->there, there, seed ^ 1);
    qlink_init(&s->back, back, seed ^ 2);
}
static void sim_flow(struct sim *s, const vt__qrec_cfg *cfg, uint64_t bytes, int64_t start, uint64_t seed) {
    struct end *a = &s->a[s->n], *b = &s->b[s->n];
    bytes = bytes / UNIT * UNIT;
    end_init(a, &s->there, cfg, true, bytes, 0, seed ^ 3, start);
    end_init(b, &s->back, cfg, false, 0, bytes, seed ^ 4, start);
    a->flow = b->flow = s->n;
    a->hashed = b->hashed = s->there.cfg.corrupt || s->back.cfg.corrupt;
    s->start[s->n++] = start;
}
static void sim_free(struct sim *s) {
    for (unsigned i = 0; i < s->n; i++) end_free(&s->a[i]), end_free(&s->b[i]);
    qlink_free(&s->there), qlink_free(&s->back);
}
static int64_t sim_due(const struct sim *s) {
    int64_t at = VT__MIN(qlink_due(&s->there), qlink_due(&s->back));
    for (unsigned i = 0; i < s->n; i++) {
        int64_t t = VT__MIN(end_due(&s->a[i]), end_due(&s->b[i]));
        at = VT__MIN(at, VT__MAX(t, s->start[i]));
    }
    return VT__MAX(at, s->now);
}
static void end_tick(struct end *e, int64_t now) {
    if (vt__qrec_due(&e->r) <= now) vt__qrec_tick(&e->r, now);
    end_send(e, now);
}
/* Until every flow is through, or the time is over. */
static bool sim_run(struct sim *s, int64_t until) {
    struct qlink_dgram d;
    bool touched[FLOWS_MAX] = {false};
    for (;;) {
        bool done = true;
        s->now = sim_due(s);
        if (s->now > until) return false;
        memset(touched, 0, sizeof touched);
        while (qlink_recv(&s->there, s->now, &d)) end_recv(&s->b[d.flow], &d, s->now), touched[d.flow] = true;
        while (qlink_recv(&s->back, s->now, &d)) end_recv(&s->a[d.flow], &d, s->now), touched[d.flow] = true;
        for (unsigned i = 0; i < s->n; i++) {
            done &= s->a[i].done >= 0;
            bool due = VT__MIN(end_due(&s->a[i]), end_due(&s->b[i])) <= s->now;
            if (s->now < s->start[i] || (!touched[i] && !due)) continue;
            end_tick(&s->a[i], s->now), end_tick(&s->b[i], s->now);
            if (s->a[i].bad || s->b[i].bad) return false;
        }
        if (s->at_step) s->at_step(s);
        if (done) return true;
    }
}
static double mbit_s(const struct sim *s, unsigned i) {
    const struct end *a = &s->a[i];
    int64_t end = a->done >= 0 ? a->done : s->now;
    return (double)s->b[i].ends * 8e3 / (double)(end - a->start);
}

/* ---- what transfers reach ---- */
static const char *const cc_names[] = {"cubic", "newreno", "bbr"};
static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}
/* Median of five transfers, Mbit/s. */
static double reach(unsigned cc, const struct qlink_cfg *link, uint64_t bytes) {
    double v[5];
    struct qlink_cfg back = {.delay_ns = link->delay_ns, .rate_bps = link->rate_bps, .queue = link->queue};
    vt__qrec_cfg cfg = {.cc = (uint8_t)cc};
    uint64_t lost = 0, twice = 0, events = 0;
    for (unsigned i = 0; i < 5; i++) {
        static struct sim s;
        uint64_t seed = test_seed() + i * 1000;
        sim_init(&s, link, &back, seed);
        sim_flow(&s, &cfg, bytes, 0, seed);
        CHECK(sim_run(&s, 600 * SECOND));
        v[i] = mbit_s(&s, 0);
        lost += s.a[0].r.stats.lost, twice += s.b[0].twice, events += s.a[0].r.stats.events;
        sim_free(&s);
    }
    qsort(v, 5, sizeof *v, by_value);
    printf("  %-8s %6.2f Mbit/s (%.2f to %.2f); %llu lost, %llu events, %llu units twice\n", cc_names[cc],
           v[2], v[0], v[4], (unsigned long long)lost / 5, (unsigned long long)events / 5,
           (unsigned long long)twice / 5);
    return v[2];
}
TEST(loss_table) {
    static const struct {
        unsigned loss, burst;
        double least[3];
    } rows[] = {{0, 0, {9.0, 9.0, 8.5}},     {10000, 0, {3.5, 2.8, 8.0}}, {20000, 0, {2.3, 1.8, 8.0}},
                {10000, 3, {3.0, 2.4, 8.0}}, /* 2 % of all, as a burst is two on average */
                {20000, 3, {2.1, 1.7, 7.0}}, {50000, 0, {1.2, 0.9, 6.0}}};
    for (unsigned i = 0; i < VT__COUNT(rows); i++) {
        struct qlink_cfg c = {.delay_ns = 15 * MS, .rate_bps = 10000000, .queue = 25};
        c.loss = rows[i].loss, c.burst = rows[i].burst;
        printf("10 Mbit/s, 30 ms, 25 datagrams, losses %.0f %%, bursts of up to %u:\n", c.loss / 10000.0,
               c.burst);
        for (unsigned cc = 0; cc < 3; cc++) CHECK(reach(cc, &c, 10000000) >= rows[i].least[cc]);
    }
}

/* ---- sharing ---- */
static double jain(const double *x, unsigned n) {
    double sum = 0, squares = 0;
    for (unsigned i = 0; i < n; i++) sum += x[i], squares += x[i] * x[i];
    return sum * sum / (n * squares);
}
/* Bytes that have arrived of each flow when the last one had time to find its share. */
static uint64_t before[FLOWS_MAX];
static int64_t before_at;
static void note_before(struct sim *s) {
    if (s->now > before_at) return;
    for (unsigned i = 0; i < s->n; i++) before[i] = s->b[i].ends;
}
static void share(unsigned cc0, unsigned cc1, double least) {
    static struct sim s;
    double rate[2], worst = 1, sum = 0;
    for (unsigned i = 0; i < 5; i++) {
        struct qlink_cfg c = {.delay_ns = 15 * MS, .rate_bps = 20000000, .queue = 50};
        vt__qrec_cfg first = {.cc = (uint8_t)cc0}, second = {.cc = (uint8_t)cc1};
        sim_init(&s, &c, &c, test_seed() + 16 * i);
        sim_flow(&s, &first, 1000000000, 0, test_seed() + 16 * i);
        sim_flow(&s, &second, 1000000000, 3 * SECOND, test_seed() + 16 * i + 8);
        s.at_step = note_before;
        before_at = 10 * SECOND;
        CHECK(!sim_run(&s, 40 * SECOND));
        CHECK(!s.a[0].bad && !s.a[1].bad);
        for (unsigned k = 0; k < 2; k++) rate[k] = (double)(s.b[k].ends - before[k]) * 8 / 30e6;
        worst = VT__MIN(worst, jain(rate, 2));
        sum += rate[0] + rate[1];
        printf("  %s %.2f, %s %.2f Mbit/s\n", cc_names[cc0], rate[0], cc_names[cc1], rate[1]);
        sim_free(&s);
    }
    CHECK(worst >= least);
    CHECK(sum / 5 >= 18);
}
TEST(two_flows_share) {
    share(VT__QCC_CUBIC, VT__QCC_CUBIC, 0.9);
    share(VT__QCC_NEWRENO, VT__QCC_NEWRENO, 0.9);
    share(VT__QCC_CUBIC, VT__QCC_NEWRENO, 0.7);
    share(VT__QCC_BBR, VT__QCC_BBR, 0.8);
}

/* ---- single conditions ---- */
static struct sim one;
static void begin(const struct qlink_cfg *there, const struct qlink_cfg *back, const vt__qrec_cfg *cfg,
                  uint64_t bytes) {
    static const vt__qrec_cfg plain;
    sim_init(&one, there, back, test_seed());
    sim_flow(&one, cfg ? cfg : &plain, bytes, 0, test_seed());
}
static const vt__qrec *sender(void) { return &one.a[0].r; }
static void say(const char *what) {
    const vt__qrec_stats *t = &sender()->stats;
    printf(
        "  %s: %.2f Mbit/s in %.2f s; %llu sent, %llu lost (%llu dropped), %llu spurious, %llu events, %llu ptos, mtu %u\n",
        what, mbit_s(&one, 0), (double)one.now / 1e9, (unsigned long long)t->sent,
        (unsigned long long)t->lost,
        (unsigned long long)(one.there.stats.lost + one.there.stats.tail + one.there.stats.down +
                             one.there.stats.big),
        (unsigned long long)t->spurious, (unsigned long long)t->events, (unsigned long long)t->ptos,
        vt__qrec_mtu(sender()));
}
TEST(black_holes) {
    struct qlink_cfg c = {
        .delay_ns = 15 * MS, .rate_bps = 10000000, .queue = 25, .up_ns = 5 * SECOND, .down_ns = 2 * SECOND};
    begin(&c, &c, NULL, 20000000);
    CHECK(sim_run(&one, 60 * SECOND));
    say("5 s up, 2 s down");
    /* 20 MB take 17.3 s, or three times 5 s and then some; each hole costs up to as much again by backoff. */
    CHECK(one.now < 32 * SECOND);
    sim_free(&one);
}
TEST(black_holes_and_bbr) {
    struct qlink_cfg c = {
        .delay_ns = 15 * MS, .rate_bps = 10000000, .queue = 25, .up_ns = 5 * SECOND, .down_ns = 2 * SECOND};
    vt__qrec_cfg cfg = {.cc = VT__QCC_BBR};
    begin(&c, &c, &cfg, 20000000);
    CHECK(sim_run(&one, 60 * SECOND));
    say("5 s up, 2 s down");
    CHECK(one.now < 40 * SECOND);
    sim_free(&one);
}
TEST(reordering_is_learnt) {
    struct qlink_cfg c = {.delay_ns = 15 * MS, .rate_bps = 10000000, .queue = 50, .reorder = 50000};
    begin(&c, &c, NULL, 10000000);
    CHECK(sim_run(&one, 60 * SECOND));
    say("5 % held back by 4 ms");
    CHECK(mbit_s(&one, 0) > 8.5);
    CHECK(sender()->stats.spurious < 60);
    sim_free(&one);
}
TEST(slow_start_ends_before_the_queue_does) {
    static const unsigned queues[] = {1000, 250};
    for (unsigned i = 0; i < 2; i++) {
        struct qlink_cfg c = {.delay_ns = 25 * MS, .rate_bps = 100000000, .queue = queues[i]};
        begin(&c, &c, NULL, 20000000);
        CHECK(sim_run(&one, 60 * SECOND));
        say("100 Mbit/s, 50 ms");
        CHECK(one.there.stats.tail < 100);
        CHECK(mbit_s(&one, 0) > 65);
        sim_free(&one);
    }
}
TEST(long_fat_link) {
    struct qlink_cfg c = {.delay_ns = 50 * MS, .rate_bps = 1000000000, .queue = 4000};
    begin(&c, &c, NULL, 600000000);
    CHECK(sim_run(&one, 60 * SECOND));
    say("1 Gbit/s, 100 ms");
    CHECK(mbit_s(&one, 0) > 600);
    sim_free(&one);
}
TEST(b03_39_cleared_marks_do_not_stall) {
    struct qlink_cfg c = {.delay_ns = 15 * MS, .rate_bps = 10000000, .queue = 25, .bleach = true};
    begin(&c, &c, NULL, 5000000);
    CHECK(sim_run(&one, 60 * SECOND));
    say("ECN cleared");
    CHECK(mbit_s(&one, 0) > 8.5);
    CHECK_EQ(sender()->path.ecn, VT__QPATH_FAILED);
    CHECK_EQ(vt__qrec_ecn(sender()), 0);
    sim_free(&one);
}
TEST(marks_come_before_losses) {
    struct qlink_cfg c = {.delay_ns = 15 * MS, .rate_bps = 10000000, .queue = 100, .ce_at = 20};
    begin(&c, &c, NULL, 10000000);
    CHECK(sim_run(&one, 60 * SECOND));
    say("marked from 20 waiting");
    CHECK_EQ(sender()->path.ecn, VT__QPATH_CAPABLE);
    CHECK_EQ(sender()->stats.lost, 0);
    CHECK(sender()->stats.events > 3);
    CHECK(mbit_s(&one, 0) > 8.5);
    sim_free(&one);
}
TEST(size_of_datagrams_is_found) {
    struct qlink_cfg c = {.delay_ns = 5 * MS, .rate_bps = 10000000, .queue = 25, .mtu = 1313};
    vt__qrec_cfg cfg = {.mtu_max = 1472};
    begin(&c, &c, &cfg, 5000000);
    CHECK(sim_run(&one, 60 * SECOND));
    say("1313 bytes at most");
    CHECK(vt__qrec_mtu(sender()) <= 1313 && vt__qrec_mtu(sender()) > 1313 - VT__QPATH_STEP);
    sim_free(&one);
}
static void narrow(struct sim *s) {
    if (s->now > SECOND) s->there.cfg.mtu = 1250;
}
TEST(b03_40_size_that_goes_through_no_more) {
    struct qlink_cfg c = {.delay_ns = 5 * MS, .rate_bps = 10000000, .queue = 25};
    begin(&c, &c, NULL, 5000000);
    one.at_step = narrow;
    CHECK(sim_run(&one, 60 * SECOND));
    say("1250 bytes from the first second on");
    CHECK(one.now < 7 * SECOND);
    CHECK(vt__qrec_mtu(sender()) <= 1250);
    sim_free(&one);
}

/* ---- links at random ---- */
static unsigned up_to(uint64_t *rng, unsigned n) { return (unsigned)(test_rand(rng) % (n + 1)); }
static void random_link(struct qlink_cfg *c, uint64_t *rng) {
    memset(c, 0, sizeof *c);
    c->delay_ns = (int64_t)(test_rand(rng) % (200 * MS));
    if (up_to(rng, 1)) c->jitter_ns = (int64_t)(test_rand(rng) % (20 * MS));
    if (up_to(rng, 1)) c->rate_bps = 100000 + test_rand(rng) % 50000000, c->queue = 5 + up_to(rng, 100);
    if (up_to(rng, 1)) c->loss = up_to(rng, 200000), c->burst = up_to(rng, 3);
    if (up_to(rng, 2) == 0) c->reorder = up_to(rng, 200000);
    if (up_to(rng, 2) == 0) c->dup = up_to(rng, 100000);
    if (up_to(rng, 2) == 0) c->corrupt = up_to(rng, 100000);
    if (up_to(rng, 3) == 0) c->ce_at = 1 + up_to(rng, 20);
    if (up_to(rng, 3) == 0) c->mtu = 1200 + up_to(rng, 300);
    if (up_to(rng, 7) == 0) c->up_ns = 1700 * MS, c->down_ns = 900 * MS;
    c->bleach = up_to(rng, 3) == 0;
}
static void random_run(uint64_t seed) {
    static struct sim s;
    struct qlink_cfg there, back;
    uint64_t rng = seed;
    random_link(&there, &rng), random_link(&back, &rng);
    vt__qrec_cfg cfg = {.cc = (uint8_t)up_to(&rng, 2),
                        .no_pacing = up_to(&rng, 3) == 0,
                        .max_packets = 1u << (5 + up_to(&rng, 8))};
    sim_init(&s, &there, &back, seed);
    sim_flow(&s, &cfg, 100 + test_rand(&rng) % 300000, 0, seed);
    bool through = sim_run(&s, 100000 * SECOND); /* nobody is told to be quick where half is lost */
    const vt__qrec *r = &s.a[0].r;
    bool sound = through && !s.a[0].bad && !s.b[0].bad && s.b[0].ends == s.a[0].total &&
                 r->in_flight <= r->cfg.window_max;
    if (!sound) {
        printf("  seed 0x%llx: through %d at %.1f s, %llu of %llu\n", (unsigned long long)seed, through,
               (double)s.now / 1e9, (unsigned long long)s.b[0].ends, (unsigned long long)s.a[0].total);
        test_fail(__FILE__, __LINE__, "the transfer is sound");
    }
    sim_free(&s);
}
TEST(any_link) {
    for (uint64_t i = 0; i < 4000 && test_failures < 5; i++) random_run(test_seed() + i);
}
TEST(same_seed_same_run) {
    int64_t at[2];
    for (unsigned i = 0; i < 2; i++) {
        struct qlink_cfg c = {
            .delay_ns = 15 * MS, .rate_bps = 10000000, .queue = 25, .loss = 50000, .jitter_ns = MS};
        begin(&c, &c, NULL, 1000000);
        CHECK(sim_run(&one, 60 * SECOND));
        at[i] = one.now;
        sim_free(&one);
    }
    CHECK_EQ(at[0], at[1]);
}
