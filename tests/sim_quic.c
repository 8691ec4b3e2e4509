/* Whole connections over bad links, on a virtual clock: loss, bursts, reordering, duplicates, corruption, black holes, other
 * ports and addresses, small queues, long ways; transfers, and talks in which streams are reset, stopped,
 * held back. Each has its seed: VT_SEED and the number that is printed repeat it, for
 * nothing else is left to chance. */
/* variants: default asan */
/* The scenarios of quic-interop-runner, and what shows each (others' clients: interop_h3.sh, some of them through
 * tools/udpproxy.c, which is qlink.h with sockets):
 *   handshake             test_quic: handshake; every client          transfer            small_windows; clients
 *   longrtt               long_way                                    chacha20            test_qtls: every_suite...; clients
 *   multiplexing          many_small                                  retry               test_qend: b26; any_link
 *   resumption            test_quic: resumed; clients                 zerortt             zero_rtt; e2e_h3_early; clients
 *   http3                 e2e_h3; clients                             blackhole           black_hole; clients
 *   keyupdate             keys_change_in_a_transfer; clients          ecn                 test_quic: b03_39; sim_qrec
 *   amplificationlimit    amplification_limit                         handshakeloss       handshakes_with_loss; clients
 *   transferloss          transfers_with_loss; clients                handshakecorruption handshakes_with_corruption; clients
 *   transfercorruption    transfers_with_corruption; clients          ipv6                clients
 *   v2                    test_quic: handshake, handshake_begun_in_v2 rebind-port         rebind_port; clients
 *   rebind-addr           rebind_address; clients                     connectionmigration test_quic: migration; clients
 *   goodput               goodput                                     crosstraffic        sim_qrec: two_flows_share */
#define TEST_SEEDS 0x6b0834a2062e7, 0x3baa17fb, 1
#define VTHTTP_SIM 1
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "quicpeer.h"

#define PATIENCE (100000 * VT_SEC)

static struct net w;
static uint64_t seed_of(int i) { return test_seed() * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)i; }
static void failed(const char *what, int i) {
    char text[300];
    snprintf(text, sizeof text,
             "%s: run %d, client %d %d/%d wrong %u why %.*s left %u %llu, server %d %.*s left %u %llu", what,
             i, w.client.c.state, w.client.finished, w.client.opened, w.client.wrong, w.client.c.end.why_len,
             w.client.c.end.why, w.client.c.streams.count, (unsigned long long)w.client.c.rec.in_flight,
             w.server.c.state, w.server.c.end.why_len, w.server.c.end.why, w.server.c.streams.count,
             (unsigned long long)w.server.c.rec.in_flight);
    test_fail(__FILE__, __LINE__, text);
}
/* So many requests of `up` bytes for `down` bytes; true: they came, whole. */
static bool transfer(unsigned n, uint64_t up, uint64_t down, int64_t within) {
    unsigned asked = w.client.opened; /* in 0-RTT */
    NET_UNTIL(&w, w.client.ready || w.client.closed, within);
    for (int64_t until = w.now + within; w.client.finished < n && !w.client.closed && !w.server.closed;) {
        while (asked < n && end_ask(&w.client, up, down)) asked++;
        net_flush(&w, &w.client);
        if (!net_step(&w, until)) return false;
    }
    return w.client.finished == n && !w.client.wrong && !w.server.wrong;
}
static uint64_t eaten_by(const struct qlink *l) {
    const struct qlink_stats *s = &l->stats;
    return s->lost + s->tail + s->down + s->big + s->corrupt;
}
static uint64_t eaten(void) { return eaten_by(&w.up) + eaten_by(&w.down); }
static bool nothing_left(void) {
    return w.client.c.streams.count == 0 && w.server.c.streams.count == 0 && w.client.c.rec.in_flight == 0 &&
           w.server.c.rec.in_flight == 0;
}
/* Nothing is left behind when all has come to rest: as long after the last loss as a probe timeout may back off, for ends that
 * have only PING to send send it each time after twice as long, and a burst may eat several. */
static bool at_rest(void) {
    uint64_t before;
    do before = eaten(), net_run(&w, 70 * VT_SEC);
    while (!nothing_left() && eaten() != before);
    return nothing_left();
}
static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Nobody is told to be quick where so much is lost: a timeout doubles each time, and one handshake in some thousands takes
 * more than five minutes. */
static void take_time(void) {
    w.client.cfg.handshake_ns = w.server.cfg.handshake_ns = PATIENCE;
    w.client.cfg.idle_ns = w.server.cfg.idle_ns = PATIENCE;
}
/* Of each ten datagrams three are lost, both ways, in bursts of up to three. Gives the time that nine of ten keep to. */
static int64_t handshakes_at_30(const char *what, bool large) {
    enum { RUNS = 120 }; /* of 60 runs six take that long one time in 4,000 */
    int64_t took[RUNS];
    for (int i = 0; i < RUNS; i++) {
        struct qlink_cfg link = {.delay_ns = 15 * VT_MS, .loss = 176000, .burst = 3};
        net_init(&w, &link, seed_of(i));
        if (large) net_large(&w);
        take_time();
        int64_t begun = w.now;
        net_connect(&w);
        if (!transfer(1, 0, 1000, PATIENCE)) failed(what, i);
        took[i] = w.now - begun;
        net_free(&w);
    }
    qsort(took, RUNS, sizeof *took, by_size);
    printf("%s and 1 KB at 30 %% loss: median %lld ms, p90 %lld ms, most %lld ms\n", what,
           (long long)(took[RUNS / 2] / VT_MS), (long long)(took[RUNS * 9 / 10] / VT_MS),
           (long long)(took[RUNS - 1] / VT_MS));
    return took[RUNS * 9 / 10];
}
TEST(handshakes_with_loss) { CHECK(handshakes_at_30("handshake", false) < 8 * VT_SEC); }
TEST(large_handshakes_with_loss) { CHECK(handshakes_at_30("large handshake", true) < 15 * VT_SEC); }
TEST(handshakes_with_corruption) {
    for (int i = 0; i < 40; i++) {
        struct qlink_cfg link = {.delay_ns = 15 * VT_MS, .corrupt = 300000, .dup = 50000, .reorder = 100000};
        net_init(&w, &link, seed_of(i));
        take_time();
        net_connect(&w);
        if (!transfer(1, 0, 1000, PATIENCE)) failed("corruption", i);
        net_free(&w);
    }
}
/* Requests in 0-RTT over links that lose, reorder, repeat and spoil them; of each five connections one is rejected. All is answered,
 * whole, by a server that hears of each but once. */
TEST(zero_rtt) {
    unsigned accepted = 0, rejected = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t r = seed_of(i);
        struct qlink_cfg link = {.delay_ns = (int64_t)(1 + test_rand(&r) % 50) * VT_MS,
                                 .loss = (unsigned)(test_rand(&r) % 200000),
                                 .burst = 1 + (unsigned)(test_rand(&r) % 3),
                                 .reorder = (unsigned)(test_rand(&r) % 300000),
                                 .dup = (unsigned)(test_rand(&r) % 100000),
                                 .corrupt = (unsigned)(test_rand(&r) % 50000)};
        net_get_tickets(&w, r);
        net_init_early(&w, &link, seed_of(i));
        w.client.asks = 1 + (unsigned)(test_rand(&r) % 8);
        w.client.asks_up = test_rand(&r) % 3000, w.client.asks_down = test_rand(&r) % 30000;
        take_time();
        w.retry = test_rand(&r) % 4 == 0;
        if (i % 5 == 0) w.server.cfg.streams.streams[0] = 1 + (int64_t)(test_rand(&r) % 9);
        net_connect_early(&w);
        if (!transfer(w.client.asks, w.client.asks_up, w.client.asks_down, PATIENCE)) failed("0-RTT", i);
        else if (w.server.opened != w.client.opened) failed("a request is there twice, or not at all", i);
        else if (!at_rest()) failed("something is left of 0-RTT", i);
        accepted += w.client.zero == VT__QTLS_ACCEPTED, rejected += w.client.zero == VT__QTLS_REFUSED;
        if (VT__QTLS_NATIVE) CHECK_EQ(w.client.zero, i % 5 ? VT__QTLS_ACCEPTED : VT__QTLS_REFUSED);
        net_free(&w);
    }
    printf("0-RTT: %u accepted, %u rejected\n", accepted, rejected);
}
/* A link made up by the seed, and what goes over it. */
TEST(any_link) {
    for (int i = 0; i < 150; i++) {
        uint64_t r = seed_of(i);
        struct qlink_cfg link = {.delay_ns = (int64_t)(1 + test_rand(&r) % 80) * VT_MS};
        if (test_rand(&r) % 2)
            link.rate_bps = 1000000 + test_rand(&r) % 20000000,
            link.queue = 10 + (unsigned)(test_rand(&r) % 60);
        if (test_rand(&r) % 2) link.jitter_ns = (int64_t)(test_rand(&r) % 10) * VT_MS;
        if (test_rand(&r) % 2)
            link.loss = (unsigned)(test_rand(&r) % 50000), link.burst = 1 + (unsigned)(test_rand(&r) % 4);
        if (test_rand(&r) % 2) link.reorder = (unsigned)(test_rand(&r) % 100000);
        if (test_rand(&r) % 2) link.dup = (unsigned)(test_rand(&r) % 50000);
        if (test_rand(&r) % 2) link.corrupt = (unsigned)(test_rand(&r) % 20000);
        if (test_rand(&r) % 3 == 0) link.mtu = 1200 + (unsigned)(test_rand(&r) % 300);
        if (test_rand(&r) % 4 == 0) link.bleach = true;
        if (test_rand(&r) % 4 == 0 && link.queue) link.ce_at = link.queue / 2;
        net_init(&w, &link, seed_of(i));
        w.client.cfg.handshake_ns = w.server.cfg.handshake_ns = 60 * VT_SEC;
        w.client.cfg.idle_ns = w.server.cfg.idle_ns = 300 * VT_SEC;
        w.client.cfg.no_v2 = test_rand(&r) % 2;
        w.server.cfg.rec.cc = (uint8_t)(test_rand(&r) % 2);
        if (test_rand(&r) % 3 == 0) w.server.cfg.update_after = 20 + test_rand(&r) % 100;
        if (test_rand(&r) % 3 == 0)
            w.client.cfg.streams.window = 10000, w.client.cfg.streams.max_window = 20000;
        if (test_rand(&r) % 3 == 0) w.retry = true;
        w.train = test_rand(&r) % 2 ? 0 : 1500 + test_rand(&r) % 10000;
        net_connect(&w);
        unsigned n = 1 + (unsigned)(test_rand(&r) % 10);
        if (!transfer(n, test_rand(&r) % 20000, 1 + test_rand(&r) % (200000 / n), 300 * VT_SEC))
            failed("transfer", i);
        else if (!at_rest()) failed("something is left", i);
        net_free(&w);
    }
}

/* ---- whatever both ends may do, over links that differ ---- */
static void any_way(struct qlink_cfg *c, uint64_t *r) {
    *c = (struct qlink_cfg){.delay_ns = (int64_t)(1 + test_rand(r) % 120) * VT_MS};
    if (test_rand(r) % 2)
        c->rate_bps = 300000 + test_rand(r) % 20000000, c->queue = 8 + (unsigned)(test_rand(r) % 60);
    if (test_rand(r) % 2) c->jitter_ns = (int64_t)(test_rand(r) % 30) * VT_MS;
    if (test_rand(r) % 3)
        c->loss = (unsigned)(test_rand(r) % 200000), c->burst = 1 + (unsigned)(test_rand(r) % 4);
    if (test_rand(r) % 2) c->reorder = (unsigned)(test_rand(r) % 200000);
    if (test_rand(r) % 2) c->dup = (unsigned)(test_rand(r) % 100000);
    if (test_rand(r) % 3 == 0) c->corrupt = (unsigned)(test_rand(r) % 100000);
    if (test_rand(r) % 3 == 0) c->mtu = 1200 + (unsigned)(test_rand(r) % 300);
    if (test_rand(r) % 8 == 0) c->up_ns = 1700 * VT_MS, c->down_ns = 900 * VT_MS;
    c->bleach = test_rand(r) % 4 == 0;
}
static void any_cfg(vt__quic_cfg *c, uint64_t *r) {
    c->handshake_ns = c->idle_ns = 5000 * VT_SEC;
    c->rec.cc = (uint8_t)(test_rand(r) % 3);
    c->max_datagram = 1200;
    c->no_v2 = test_rand(r) % 2;
    if (test_rand(r) % 3 == 0) c->update_after = 20 + test_rand(r) % 100;
    if (test_rand(r) % 4 == 0) c->keep_alive_ns = (int64_t)(1 + test_rand(r) % 20) * VT_SEC;
    if (test_rand(r) % 2)
        c->streams.window = 1000 + test_rand(r) % 20000, c->streams.max_window = c->streams.window * 2;
    if (test_rand(r) % 2) c->streams.send_buffer = c->streams.max_send_buffer = 1000 + test_rand(r) % 10000;
    if (test_rand(r) % 2)
        c->streams.streams[0] = 1 + (int64_t)(test_rand(r) % 6),
        c->streams.streams[1] = 1 + (int64_t)(test_rand(r) % 3);
    if (test_rand(r) % 4 == 0) c->rec.max_packets = 32U << test_rand(r) % 4;
}
static struct flow *any_flow(struct end *e, uint64_t *r) {
    struct flow *pick = NULL;
    unsigned n = 0;
    for (struct flow *f = e->flows; f; f = f->next)
        if (f->s && test_rand(r) % ++n == 0) pick = f;
    return pick;
}
static void any_deed(struct end *e, uint64_t *r) {
    static const uint8_t bytes[1000];
    struct flow *f = any_flow(e, r);
    unsigned what = (unsigned)(test_rand(r) % 12);
    if (!e->ready) return;
    if (what < 3 && !e->cfg.server) (void)end_ask(e, test_rand(r) % 30000, test_rand(r) % 60000);
    else if (what < 5) (void)end_tell(e, test_rand(r) % 20000);
    else if (what < 6 && f && !(f->s->ended & VT__QSTR_LOCAL)) flow_reset(e, f);
    else if (what < 8 && f) flow_end(e, f); /* RESET_STREAM, STOP_SENDING, or both */
    else if (what < 9) (void)vt__quic_datagram(&e->c, bytes, test_rand(r) % 1000);
    else if (what < 10) vt__quic_ping(&e->c);
    else if (what < 11) end_hold(e, !e->hold);
    else (void)vt__qout_update(&e->c);
}
static unsigned
    rebound; /* ports that the client's have been changed by on the way; the others lead nowhere */
static void rebind(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    d->from += rebound;
}
static void unbind(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    d->to -= rebound;
    if ((uint16_t)d->to != (uint16_t)CLIENT_ADDR) d->n = 0;
}
static void any_move(uint64_t *r) {
    const vt__qroute *p = &w.client.c.paths[w.client.c.active];
    vt__qroute_addr local = addr_of(number_of(&p->local) + (1 << 16)), remote = p->remote;
    if (test_rand(r) % 20 == 0 && w.server.confirmed) rebound++;
    if (test_rand(r) % 20 == 0) (void)vt__quic_move(&w.client.c, &local, &remote, w.now);
}
static bool flows_done(const struct end *e) {
    for (const struct flow *f = e->flows; f; f = f->next)
        if (f->s) return false;
    return true;
}
static bool gone(void) { return w.client.closed || w.server.closed; }
/* What one end knows of the other is true, of all the bytes, streams, limits and connection IDs. */
static bool agree(const struct end *one, const struct end *other) {
    const vt__qstr *a = &one->c.streams, *b = &other->c.streams;
    bool same = a->send_total == b->recv_total && b->used == b->recv_total && a->send_max == b->recv_max;
    for (unsigned kind = 0; kind < 2; kind++)
        same &= a->mine[kind] == b->opened[kind] && b->ended[kind] == b->opened[kind] &&
                a->peer_limit[kind] == b->limit[kind];
    return same && !one->wrong && one->c.cids.ntheirs == other->c.cids.nours && !one->c.cids.nretires;
}
static void talk(uint64_t *r) {
    bool moves = test_rand(r) % 3 == 0;
    if (moves)
        w.client.cfg.keep_alive_ns = 5 * VT_SEC; /* or a server may talk for ever to a port that is gone */
    NET_UNTIL(&w, w.client.ready || w.client.closed, 5000 * VT_SEC);
    for (int n = 0; n < 60 && !gone(); n++) {
        struct end *e = test_rand(r) % 2 ? &w.client : &w.server;
        if (e->up) any_deed(e, r);
        if (moves) any_move(r);
        net_flush(&w, &w.client), net_flush(&w, &w.server);
        if (test_rand(r) % 3 == 0) net_run(&w, (int64_t)(test_rand(r) % 500) * VT_MS);
    }
    end_hold(&w.client, false), end_hold(&w.server, false);
    net_flush(&w, &w.client), net_flush(&w, &w.server);
    NET_UNTIL(&w, gone() || (flows_done(&w.client) && flows_done(&w.server)), 20000 * VT_SEC);
    w.client.cfg.keep_alive_ns = w.server.cfg.keep_alive_ns = 0;
    if (gone()) return;
    vt__quic_ping(&w.client.c); /* once more, instead */
    net_flush(&w, &w.client);
}
TEST(any_talk) {
    for (int i = 0; i < 150; i++) {
        uint64_t r = seed_of(i);
        struct qlink_cfg up, down;
        any_way(&up, &r), any_way(&down, &r);
        net_init(&w, &up, seed_of(i));
        w.down.cfg = down;
        rebound = 0, w.up.hook = rebind, w.down.hook = unbind;
        any_cfg(&w.client.cfg, &r), any_cfg(&w.server.cfg, &r);
        w.retry = test_rand(&r) % 3 == 0;
        w.train = test_rand(&r) % 2 ? 0 : 1500 + test_rand(&r) % 10000;
        net_connect(&w);
        talk(&r);
        if (gone() || !flows_done(&w.client) || !flows_done(&w.server)) failed("talk", i);
        else if (!at_rest()) failed("something is left of the talk", i);
        else if (!agree(&w.client, &w.server) || !agree(&w.server, &w.client)) failed("they disagree", i);
        net_free(&w);
    }
}

/* ---- other ports, other addresses ---- */
static uint32_t outside; /* the client as the server sees it */
static void leave(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    d->from = outside;
}
static void enter(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (d->to == outside) d->to = CLIENT_ADDR;
    else d->n = 0; /* leads nowhere any more */
}
/* How long it takes, while the way changes so often; INT64_MAX: it never does. */
static int64_t rebinding(const char *what, uint8_t cc, int64_t each, bool host, uint64_t bytes,
                         int64_t within) {
    struct qlink_cfg link = {.delay_ns = 15 * VT_MS, .rate_bps = 10000000, .queue = 25};
    net_init(&w, &link, seed_of(0));
    w.server.cfg.rec.cc = cc;
    outside = CLIENT_ADDR;
    w.up.hook = leave, w.down.hook = enter;
    net_connect(&w);
    NET_UNTIL(&w, w.client.confirmed, 5 * VT_SEC);
    int64_t begun = w.now, took, next = each == INT64_MAX ? each : w.now + each;
    CHECK(end_ask(&w.client, 0, bytes) != NULL);
    net_flush(&w, &w.client);
    unsigned changes = 0;
    while (!w.client.finished && w.now < begun + within) {
        NET_UNTIL(&w, w.client.finished, VT__MIN(next - w.now, within));
        if (w.client.finished) break;
        next += each;
        outside += host ? 1 << 16 : 1, changes++;
    }
    took = w.now - begun;
    printf("%s: %u changes, %lld ms\n", what, changes, (long long)(took / VT_MS));
    CHECK(changes >= 3 || each == INT64_MAX);
    CHECK_EQ(w.client.finished, 1), CHECK_EQ(w.client.wrong, 0);
    net_free(&w);
    return took;
}
/* Nine tenths, at least, of what the way carries when it does not change. */
static void keeps_its_pace(const char *what, uint8_t cc, bool host) {
    int64_t best = rebinding("no change", cc, INT64_MAX, host, 12500000, 60 * VT_SEC);
    int64_t took = rebinding(what, cc, VT_SEC, host, 12500000, 60 * VT_SEC);
    CHECK(best * 10 >= took * 9);
    printf("%s: %.1f %%\n", what, 100.0 * (double)best / (double)took);
}
TEST(rebind_port) { keeps_its_pace("port each second", VT__QCC_CUBIC, false); }
TEST(rebind_address) { keeps_its_pace("address each second", VT__QCC_CUBIC, true); }
TEST(rebind_with_bbr) {
    keeps_its_pace("port each second, BBR", VT__QCC_BBR, false);
    keeps_its_pace("address each second, BBR", VT__QCC_BBR, true);
}
TEST(rebind_often) {
    (void)rebinding("port each 200 ms", VT__QCC_CUBIC, 200 * VT_MS, false, 2000000, 8 * VT_SEC);
}

TEST(black_hole) {
    for (int i = 0; i < 5; i++) {
        struct qlink_cfg link = {.delay_ns = 15 * VT_MS,
                                 .rate_bps = 10000000,
                                 .queue = 25,
                                 .up_ns = 5 * VT_SEC,
                                 .down_ns = 2 * VT_SEC};
        net_init(&w, &link, seed_of(i));
        net_connect(&w);
        if (!transfer(1, 0, 8000000, 60 * VT_SEC)) failed("black hole", i);
        net_free(&w);
    }
}
TEST(long_way) {
    struct qlink_cfg link = {.delay_ns = 750 * VT_MS, .rate_bps = 10000000, .queue = 25};
    net_init(&w, &link, seed_of(0));
    net_connect(&w);
    if (!transfer(1, 0, 1000000, 60 * VT_SEC)) failed("long way", 0);
    net_free(&w);
}
/* 10 Mbit/s, 30 ms there and back: what is lost of the rate. */
TEST(goodput) {
    struct qlink_cfg link = {.delay_ns = 15 * VT_MS, .rate_bps = 10000000, .queue = 25};
    net_init(&w, &link, seed_of(0));
    net_connect(&w);
    NET_UNTIL(&w, w.client.ready, VT_SEC);
    int64_t begun = w.now;
    if (!transfer(1, 0, 5000000, 30 * VT_SEC)) failed("goodput", 0);
    double mbit = 5e6 * 8e3 / (double)(w.now - begun);
    printf("goodput %.2f Mbit/s of 10, %llu lost of %llu\n", mbit, (unsigned long long)w.down.stats.tail,
           (unsigned long long)w.down.stats.sent);
    CHECK(mbit > 8.5);
    net_free(&w);
}
/* Small windows and several streams: credit is given in time, and each byte once. */
TEST(small_windows) {
    struct qlink_cfg link = {.delay_ns = 15 * VT_MS, .rate_bps = 10000000, .queue = 25};
    net_init(&w, &link, seed_of(0));
    w.client.cfg.streams.window = w.server.cfg.streams.window = 16384;
    w.client.cfg.streams.max_window = w.server.cfg.streams.max_window = 65536;
    net_connect(&w);
    if (!transfer(3, 100000, 1000000, 60 * VT_SEC)) failed("small windows", 0);
    net_free(&w);
}
/* Of a hundred datagrams two are lost, or spoilt. */
static void spoilt(const char *what, unsigned loss, unsigned corrupt) {
    uint64_t n = 0; /* of some 90 */
    for (int i = 0; i < 3; i++) {
        struct qlink_cfg link = {.delay_ns = 15 * VT_MS,
                                 .rate_bps = 10000000,
                                 .queue = 25,
                                 .loss = loss,
                                 .burst = 3,
                                 .corrupt = corrupt};
        net_init(&w, &link, seed_of(i));
        net_connect(&w);
        if (!transfer(1, 0, 2000000, 120 * VT_SEC)) failed(what, i);
        n += loss ? w.down.stats.lost : w.down.stats.corrupt;
        net_free(&w);
    }
    CHECK(n > 15);
}
TEST(transfers_with_loss) { spoilt("transfer with loss", 10000, 0); }
TEST(transfers_with_corruption) { spoilt("transfer with corruption", 0, 20000); }
/* Keys change in the midst of 3 MB, by either end; both read and write by the new ones. */
TEST(keys_change_in_a_transfer) {
    for (int i = 0; i < 2; i++) {
        struct qlink_cfg link = {.delay_ns = 15 * VT_MS, .rate_bps = 10000000, .queue = 25};
        net_init(&w, &link, seed_of(i));
        net_connect(&w);
        NET_UNTIL(&w, w.client.confirmed, 5 * VT_SEC);
        CHECK(end_ask(&w.client, 0, 3000000) != NULL);
        net_flush(&w, &w.client);
        NET_UNTIL(&w, w.client.bytes > 1000000, 30 * VT_SEC);
        struct end *first = i ? &w.server : &w.client;
        CHECK_EQ(vt__qout_update(&first->c), 0);
        NET_UNTIL(&w, w.client.finished, 30 * VT_SEC);
        CHECK_EQ(w.client.finished, 1), CHECK_EQ(w.client.wrong, 0);
        for (int k = 0; k < 2; k++) {
            const vt__qkeys *keys = k ? &w.server.c.keys : &w.client.c.keys;
            CHECK(keys->rx_phase && keys->tx_phase);
        }
        net_free(&w);
    }
}
/* A chain of certificates of more than 7.5 KB, and the client's datagrams 2 to 7 lost: the server sends three times of what it has
 * got, and no more, until it has heard from there again. */
static unsigned nth_up;
static void second_to_seventh(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (++nth_up >= 2 && nth_up <= 7) d->n = 0;
}
static vt__ossl_ctx *long_chain(void) {
    enum { OTHERS = 24, ROOM = 1 << 16 };
    static const vt_str alpn = {"\2h3", 3};
    char *chain = calloc(1, ROOM);
    vt__ossl_ctx *ctx = NULL;
    vt__ossl_text text = {""};
    strcpy(chain, tls_of.pem.cert_text);
    for (int i = 0; i < OTHERS; i++) {
        struct pem other = pem_make("a link of a long chain of certificates", NULL, NULL, 30, -1);
        strcat(chain, other.cert_text);
        pem_free(&other);
    }
    vt_tls_cert cert = {.cert_pem = chain, .key_pem = tls_of.pem.key_text};
    vt_tls_cfg cfg = {.certs = &cert, .ncerts = 1};
    if (vt__qtls_ctx_server(&ctx, &cfg, &tls_of.keys, alpn, &text) < 0) printf("%s\n", text.text);
    free(chain);
    return ctx;
}
TEST(amplification_limit) {
    struct qlink_cfg link = {.delay_ns = 15 * VT_MS, .rate_bps = 10000000, .queue = 25};
    net_init(&w, &link, seed_of(0));
    vt__ossl_ctx *ctx = long_chain();
    if (!ctx) return test_fail(__FILE__, __LINE__, "a long chain");
    w.server.cfg.tls = ctx;
    nth_up = 0, w.up.hook = second_to_seventh;
    net_connect(&w);
    bool blocked = false;
    for (int64_t until = w.now + 30 * VT_SEC; net_step(&w, until);) {
        if (w.server.up && w.server.c.paths[0].valid) break;
        CHECK(w.server.sent_bytes <= 3 * w.server.got_bytes);
        blocked |= w.server.up && w.server.c.blocked;
    }
    CHECK(blocked && nth_up > 7);
    if (!transfer(1, 0, 1000, 60 * VT_SEC)) failed("amplification", 0);
    CHECK(w.server.c.paths[0].valid && w.server.sent_bytes > 7500);
    net_free(&w);
    vt__ossl_unref(ctx);
}
TEST(many_small) {
    struct qlink_cfg link = {.delay_ns = 15 * VT_MS, .rate_bps = 10000000, .queue = 25};
    net_init(&w, &link, seed_of(0));
    net_connect(&w);
    if (!transfer(1999, 20, 32, 60 * VT_SEC)) failed("many small", 0);
    CHECK(at_rest());
    net_free(&w);
}
