/* QUIC's acknowledgements, loss recovery, congestion control and paths: what RFC 9002 and its neighbours say, by hand on a
 * clock of ours; items of the list of attacks by number (b03_NN). */
/* variants: default asan clang aarch64 (i386 rounds doubles by itself: the last digits differ) */
/* valgrind */
#define VTHTTP_SIM 1
#define VTHTTP_H3 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "blocks.h"

enum { INITIAL = VT__QREC_INITIAL, HANDSHAKE = VT__QREC_HANDSHAKE, APP = VT__QREC_APP };
enum { DATA = VT__QREC_ELICITING | VT__QREC_IN_FLIGHT, SIZE = 1200 };
#define MS INT64_C(1000000)
#define NEVER VT__QREC_NEVER

/* ---- one end, what it is told, and a peer by hand ---- */
static vt__qrec r;
static vt__qrec_space shake[APP];
static vt__qrec_cfg cfg; /* zero again after each end */
static int64_t now;
static char told[4096]; /* "a3 l4 p5": fate and word `a` of each frame */
static size_t ntold;
static void tell(void *arg, unsigned space, const vt__qpkt_note *f, enum vt__qrec_fate fate) {
    CHECK(arg == &r && f->kind == 1 && f->b == f->a + 1 && f->len == space);
    if (ntold < sizeof told - 32)
        ntold += (size_t)sprintf(told + ntold, "%s%c%llu", ntold ? " " : "", "alp"[fate],
                                 (unsigned long long)f -> a);
}
static const char *take(void) {
    static char was[sizeof told];
    memcpy(was, told, sizeof was);
    ntold = 0, told[0] = 0;
    return was;
}
static void end(void) {
    for (unsigned i = 0; i < APP; i++) vt__qrec_discard(&r, i, now);
    vt__qrec_free(&r);
    memset(&r, 0, sizeof r), memset(shake, 0, sizeof shake);
}
static void begin(bool server) {
    cfg.no_skip = true;
    if (r.s[APP]) end();
    now = 1000 * MS;
    vt__qrec_init(&r, &cfg, shake, server, test_seed(), tell, &r, now);
    memset(&cfg, 0, sizeof cfg);
    take();
}
/* A packet whose one frame has the packet's number. */
static uint64_t put(unsigned space, size_t bytes, unsigned flags) {
    uint64_t pn = vt__qrec_next(&r, space);
    vt__qpkt_note f = {pn, pn + 1, space, 1, 0};
    CHECK_EQ(vt__qrec_sent(&r, space, bytes, flags, &f, flags & VT__QREC_ELICITING ? 1 : 0, now), 0);
    return pn;
}
static void put_n(unsigned n) {
    while (n--) put(APP, SIZE, DATA);
}
static void ack_delayed(unsigned space, uint64_t lo, uint64_t hi, int64_t delay) {
    CHECK_EQ(vt__qrec_ack_begin(&r, space, hi, delay, now), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, lo, hi), 0);
    vt__qrec_ack_end(&r, NULL);
}
static void ack(uint64_t lo, uint64_t hi) { ack_delayed(APP, lo, hi, 0); }
/* After a round trip of 100 ms with one packet: its number was 0. */
static void warm(void) {
    begin(true);
    vt__qrec_peer(&r, 25 * MS, 65527);
    vt__qrec_confirmed(&r, now);
    put(APP, 100, DATA);
    now += 100 * MS;
    ack(0, 0);
    CHECK_STR(take(), "a0");
}

/* ---- packets in ---- */
static char ranges[2048];
static const char *acked(unsigned space) {
    vt__qrec_ack a;
    size_t n = 0;
    ranges[0] = 0;
    if (!vt__qrec_ack_get(&r, space, now, &a)) return "none";
    for (unsigned i = 0; i < a.n; i++)
        n += (size_t)sprintf(ranges + n, "%s%llu-%llu", i ? " " : "", (unsigned long long)a.ranges[i].lo,
                             (unsigned long long)a.ranges[i].hi);
    return ranges;
}
static void got(uint64_t pn) {
    CHECK(vt__qrec_fresh(&r, APP, pn));
    vt__qrec_got(&r, APP, pn, true, 0, now);
    CHECK(!vt__qrec_fresh(&r, APP, pn));
}
TEST(ranges_grow_and_merge) {
    begin(true);
    CHECK_STR(acked(APP), "none");
    CHECK_EQ(vt__qrec_expect(&r, APP), 0);
    got(5);
    CHECK_STR(acked(APP), "5-5");
    got(6), got(4), got(9), got(7);
    CHECK_STR(acked(APP), "4-7 9-9");
    got(8);
    CHECK_STR(acked(APP), "4-9");
    got(0), got(2);
    CHECK_STR(acked(APP), "0-0 2-2 4-9");
    got(3), got(1);
    CHECK_STR(acked(APP), "0-9");
    CHECK_EQ(vt__qrec_expect(&r, APP), 10);
    end();
}
/* The same as a plain list of bits, at random. */
TEST(ranges_are_a_set) {
    uint64_t rng = test_seed();
    for (int round = 0; round < 300; round++) {
        bool have[60] = {false};
        begin(false);
        for (int i = 0; i < 80; i++) {
            uint64_t pn = test_rand(&rng) % 60;
            CHECK_EQ(vt__qrec_fresh(&r, APP, pn), !have[pn]);
            if (!have[pn]) got(pn);
            have[pn] = true;
        }
        vt__qrec_ack a;
        REQUIRE(vt__qrec_ack_get(&r, APP, now, &a));
        bool is[60] = {false};
        for (unsigned i = 0; i < a.n; i++) {
            if (i) CHECK(a.ranges[i].lo > a.ranges[i - 1].hi + 1);
            for (uint64_t pn = a.ranges[i].lo; pn <= a.ranges[i].hi; pn++) is[pn] = true;
        }
        CHECK(memcmp(is, have, sizeof is) == 0);
        end();
    }
}
TEST(ack_every_second_packet_or_after_a_while) {
    begin(true);
    got(0);
    CHECK_EQ(vt__qrec_ack_due(&r, APP), now + 25 * MS);
    CHECK_EQ(vt__qrec_due(&r), now + 25 * MS);
    got(1);
    CHECK_EQ(vt__qrec_ack_due(&r, APP), 0);
    put(APP, 40, VT__QREC_WITH_ACK);
    CHECK_EQ(vt__qrec_ack_due(&r, APP), NEVER);
    CHECK_EQ(vt__qrec_due(&r), NEVER);
    CHECK(!vt__qrec_ack_any(&r, APP));
    got(3); /* a hole */
    CHECK_EQ(vt__qrec_ack_due(&r, APP), 0);
    put(APP, 40, VT__QREC_WITH_ACK);
    got(2); /* late */
    CHECK_EQ(vt__qrec_ack_due(&r, APP), 0);
    put(APP, 40, VT__QREC_WITH_ACK);
    vt__qrec_got(&r, APP, 4, true, 3, now); /* congestion experienced */
    CHECK_EQ(vt__qrec_ack_due(&r, APP), 0);
    vt__qrec_got(&r, INITIAL, 0, true, 0, now);
    CHECK_EQ(vt__qrec_ack_due(&r, INITIAL), 0);
    end();
}
TEST(b03_14_packets_of_acks_alone_are_not_acknowledged) {
    begin(true);
    for (uint64_t pn = 0; pn < 10; pn++) {
        vt__qrec_got(&r, APP, pn, false, 0, now);
        CHECK_EQ(vt__qrec_ack_due(&r, APP), NEVER);
        CHECK(!vt__qrec_ack_any(&r, APP));
    }
    vt__qrec_got(&r, APP, 20, false, 0, now);
    CHECK_EQ(vt__qrec_ack_due(&r, APP), NEVER);
    got(21);
    CHECK_EQ(vt__qrec_ack_due(&r, APP), now + 25 * MS);
    CHECK_STR(acked(APP), "0-9 20-21");
    end();
}
TEST(ack_tells_delay_and_marks) {
    vt__qrec_ack a;
    begin(true);
    got(7);
    now += 3 * MS;
    vt__qrec_got(&r, APP, 2, true, 2, now); /* an older one: the delay is the largest's */
    vt__qrec_got(&r, APP, 3, true, 2, now);
    vt__qrec_got(&r, APP, 4, true, 1, now);
    vt__qrec_got(&r, APP, 5, true, 3, now);
    REQUIRE(vt__qrec_ack_get(&r, APP, now + 2 * MS, &a));
    CHECK_EQ(a.delay_ns, 5 * MS);
    CHECK(a.ecn && a.ecn[0] == 2 && a.ecn[1] == 1 && a.ecn[2] == 1);
    vt__qrec_got(&r, HANDSHAKE, 0, true, 0, now);
    REQUIRE(vt__qrec_ack_get(&r, HANDSHAKE, now, &a));
    CHECK(!a.ecn);
    end();
}
/* Once an ACK of ours is acknowledged, what it told needs no telling again, unless a hole below it fills. */
TEST(acknowledged_acks_end_old_ranges) {
    begin(true);
    got(0), got(2), got(4);
    put(APP, 60, DATA | VT__QREC_WITH_ACK);
    got(6), got(8);
    CHECK_STR(acked(APP), "0-0 2-2 4-4 6-6 8-8");
    ack(0, 0);
    CHECK_STR(acked(APP), "6-6 8-8");
    CHECK(!vt__qrec_fresh(&r, APP, 2) && vt__qrec_fresh(&r, APP, 3));
    got(3);
    CHECK_STR(acked(APP), "2-4 6-6 8-8");
    put(APP, 60, DATA | VT__QREC_WITH_ACK);
    ack(1, 1);
    CHECK_STR(acked(APP), "8-8"); /* there is always one */
    end();
}
TEST(long_silence_asks_for_an_ack) {
    begin(true);
    got(0), got(2);
    for (int i = 0; i < VT__QREC_ALONE; i++) {
        CHECK(!vt__qrec_ack_ping(&r, APP));
        put(APP, 40, VT__QREC_WITH_ACK);
    }
    CHECK(vt__qrec_ack_ping(&r, APP));
    put(APP, 40, DATA | VT__QREC_WITH_ACK);
    CHECK(!vt__qrec_ack_ping(&r, APP));
    end();
}
TEST(b03_12_ranges_are_bounded) {
    begin(true);
    for (uint64_t pn = 0; pn < 20000; pn += 2) got(pn);
    vt__qrec_ack a;
    REQUIRE(vt__qrec_ack_get(&r, APP, now, &a));
    CHECK_EQ(a.n, VT__QREC_RANGES);
    CHECK_EQ(a.ranges[a.n - 1].hi, 19998);
    CHECK_EQ(a.ranges[0].lo, 20000 - 2 * VT__QREC_RANGES);
    for (uint64_t pn = 0; pn < 40; pn += 2) vt__qrec_got(&r, HANDSHAKE, pn * 2, true, 0, now);
    REQUIRE(vt__qrec_ack_get(&r, HANDSHAKE, now, &a));
    CHECK_EQ(a.n, VT__QREC_RANGES_LESS);
    end();
}
TEST(b03_31_packets_that_came_before_or_are_too_old_are_dropped) {
    begin(true);
    for (uint64_t pn = 1; pn < 400; pn += 2) got(pn);
    uint64_t lowest = 400 - 2 * VT__QREC_RANGES + 1;
    CHECK(!vt__qrec_fresh(&r, APP, 1) && !vt__qrec_fresh(&r, APP, 2)); /* not known any more */
    CHECK(!vt__qrec_fresh(&r, APP, lowest));
    CHECK(vt__qrec_fresh(&r, APP, lowest + 1));
    vt__qrec_got(&r, APP, lowest - 1, true, 0, now); /* a hole that is still open fills */
    CHECK(!vt__qrec_fresh(&r, APP, lowest - 1));
    end();
}

/* ---- packets out: round trips ---- */
TEST(rtt_of_an_ack_that_came_twice) { /* the first one was lost */
    begin(true);
    put(HANDSHAKE, SIZE, DATA), put(HANDSHAKE, SIZE, DATA);
    now += 2000 * MS;
    ack_delayed(HANDSHAKE, 0, 0, 1900 * MS);
    CHECK_EQ(r.rtt.smoothed, 333 * MS);
    ack_delayed(HANDSHAKE, 0, 1, 20 * MS);
    CHECK_EQ(r.rtt.smoothed, 2000 * MS);
    end();
}
TEST(rtt_first_and_next_samples) { /* RFC 9002 5.3 */
    begin(true);
    CHECK_EQ(r.rtt.smoothed, 333 * MS);
    CHECK_EQ(vt__qrec_pto(&r, INITIAL), 333 * MS + 2 * 333 * MS);
    put(HANDSHAKE, SIZE, DATA);
    now += 80 * MS;
    ack_delayed(HANDSHAKE, 0, 0, 10 * MS); /* of no weight for the first */
    CHECK_EQ(r.rtt.smoothed, 80 * MS);
    CHECK_EQ(r.rtt.var, 40 * MS);
    CHECK_EQ(r.rtt.min, 80 * MS);
    put(HANDSHAKE, SIZE, DATA);
    now += 120 * MS;
    ack_delayed(HANDSHAKE, 1, 1, 8 * MS);
    CHECK_EQ(r.rtt.latest, 120 * MS);
    CHECK_EQ(r.rtt.var, 40 * MS * 3 / 4 + 32 * MS / 4);
    CHECK_EQ(r.rtt.smoothed, 80 * MS * 7 / 8 + 112 * MS / 8);
    CHECK_EQ(r.rtt.min, 80 * MS);
    end();
}
TEST(b03_13_huge_ack_delay_is_clamped) {
    warm();
    put(APP, SIZE, DATA);
    now += 200 * MS;
    ack_delayed(APP, 1, 1, INT64_MAX);
    CHECK_EQ(r.rtt.smoothed, 100 * MS * 7 / 8 + 175 * MS / 8); /* 25 ms are believed */
    put(APP, SIZE, DATA);
    now += 110 * MS;
    int64_t was = r.rtt.smoothed;
    ack_delayed(APP, 2, 2, 20 * MS); /* more than the sample is over the least: not believed */
    CHECK_EQ(r.rtt.smoothed, was + (110 * MS - was) / 8);
    put(APP, SIZE, DATA);
    now += 110 * MS;
    ack_delayed(APP, 3, 3, -5);
    CHECK(r.rtt.smoothed > 0);
    end();
}
TEST(no_sample_without_the_largest_or_without_anything_eliciting) {
    warm();
    put_n(3);
    put(APP, 40, VT__QREC_IN_FLIGHT);
    now += 50 * MS;
    ack(2, 2);
    CHECK_EQ(r.rtt.latest, 50 * MS);
    now += 50 * MS;
    CHECK_EQ(vt__qrec_ack_begin(&r, APP, 2, 0, now), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, 1, 2), 0);
    vt__qrec_ack_end(&r, NULL);
    CHECK_EQ(r.rtt.latest, 50 * MS);
    now += 50 * MS;
    ack(4, 4);
    CHECK_EQ(r.rtt.latest, 50 * MS);
    end();
}

/* ---- losses ---- */
TEST(lost_by_three_later_packets) {
    warm();
    put_n(5); /* 1..5 */
    now += 100 * MS;
    ack(2, 3);
    CHECK_STR(take(), "a3 a2");
    ack(4, 4);
    CHECK_STR(take(), "a4 l1");
    CHECK_EQ(r.stats.lost, 1);
    CHECK_EQ(r.in_flight, SIZE); /* the fifth */
    end();
}
TEST(lost_by_time) {
    warm();
    put_n(2);
    int64_t sent = now;
    now += 100 * MS;
    ack(2, 2);
    CHECK_STR(take(), "a2");
    CHECK_EQ(vt__qrec_due(&r), sent + 100 * MS * 9 / 8);
    now = vt__qrec_due(&r) - 1;
    vt__qrec_tick(&r, now);
    CHECK_STR(take(), "");
    vt__qrec_tick(&r, ++now);
    CHECK_STR(take(), "l1");
    CHECK_EQ(vt__qrec_due(&r), NEVER);
    CHECK_EQ(r.in_flight, 0);
    end();
}
TEST(order_of_ranges_and_repeated_ones) {
    warm();
    put_n(8); /* 1..8 */
    now += 100 * MS;
    CHECK_EQ(vt__qrec_ack_begin(&r, APP, 8, 0, now), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, 7, 8), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, 7, 7), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, 0, 3), 0);
    vt__qrec_ack_end(&r, NULL);
    CHECK_STR(take(), "a8 a7 a3 a2 a1 l4 l5");
    ack(0, 8); /* two of them were not lost after all; the sixth is news */
    CHECK_STR(take(), "a6");
    CHECK_EQ(r.stats.spurious, 2);
    CHECK_EQ(r.in_flight, 0);
    end();
}
TEST(frames_of_a_packet_stay_together) {
    vt__qpkt_note f[40];
    warm();
    for (unsigned n = 0; n < 40; n++) {
        for (unsigned i = 0; i < n; i++) f[i] = (vt__qpkt_note){n * 100 + i, n * 100 + i + 1, APP, 1, 0};
        CHECK_EQ(vt__qrec_sent(&r, APP, 1000, DATA, f, n, now), 0);
    }
    now += 100 * MS;
    ack(4, 5);
    CHECK_STR(take(), "a400 a401 a402 a403 a300 a301 a302 l100"); /* the first one had none */
    end();
}
static void probe_after(int64_t pto, const char *what) {
    CHECK_EQ(vt__qrec_due(&r), now + pto);
    now += pto;
    vt__qrec_tick(&r, now);
    CHECK_STR(take(), what);
    CHECK_EQ(vt__qrec_probes(&r, APP), 2);
}
TEST(pto_and_backoff) {
    warm(); /* smoothed 100, var 50, ack delay 25: 325 ms */
    put_n(3);
    uint64_t window = r.cc.c.window;
    probe_after(325 * MS, "p1 p2");
    put(APP, SIZE, DATA);
    CHECK_EQ(vt__qrec_probes(&r, APP), 1);
    put(APP, SIZE, DATA);
    CHECK_EQ(vt__qrec_probes(&r, APP), 0);
    probe_after(650 * MS, "p1 p2");
    put(APP, SIZE, DATA);
    probe_after(1300 * MS, "p1 p2");
    put(APP, 40, 0);                 /* starts no timer anew */
    probe_after(1300 * MS, "p1 p2"); /* 2,600 after the last probe */
    CHECK_EQ(r.cc.c.window, window); /* silence is no congestion */
    ack(6, 6);
    CHECK_EQ(r.pto_count, 0);
    end();
}
TEST(pto_of_a_connection_that_got_no_answer_is_bounded) {
    warm();
    put_n(1);
    for (int i = 0; i < 100; i++) {
        int64_t due = vt__qrec_due(&r);
        CHECK(due > now && due - now <= 60000 * MS);
        now = due;
        vt__qrec_tick(&r, now);
        put(APP, 40, DATA);
    }
    end();
}
TEST(pto_of_app_waits_for_confirmation) {
    begin(true);
    put(APP, SIZE, DATA);
    CHECK_EQ(vt__qrec_due(&r), NEVER);
    put(HANDSHAKE, SIZE, DATA);
    CHECK_EQ(vt__qrec_due(&r), now + 999 * MS);
    vt__qrec_discard(&r, HANDSHAKE, now);
    CHECK_EQ(r.in_flight, SIZE);
    vt__qrec_confirmed(&r, now);
    CHECK_EQ(vt__qrec_due(&r), now + 999 * MS + 25 * MS);
    end();
}
/* A flight that nobody acknowledges before all of it is there: each part gets its turn. */
TEST(pto_repeats_a_whole_flight) {
    static const char *const parts[] = {"p0 p1", "p2 p3", "p4 p5"};
    begin(true);
    for (unsigned i = 0; i < 6; i++) put(HANDSHAKE, SIZE, DATA);
    for (unsigned i = 0; i < 3; i++) {
        now = vt__qrec_due(&r);
        vt__qrec_tick(&r, now);
        CHECK_STR(take(), "");
        vt__qrec_repeat(&r, HANDSHAKE);
        CHECK_STR(take(), parts[i]);
        put(HANDSHAKE, SIZE, DATA), put(HANDSHAKE, SIZE, DATA);
    }
    end();
}
/* What the peer needs before it can acknowledge what the window is full of: first a server's Initial packets, then a client's
 * last words of the handshake, behind which are requests that the server cannot read yet. */
TEST(pto_of_a_handshake_that_the_window_stops) {
    static const unsigned needed[] = {INITIAL, HANDSHAKE}, behind[] = {HANDSHAKE, APP};
    for (unsigned i = 0; i < 2; i++) {
        begin(i == 0);
        put(needed[i], 300, DATA), put(needed[i], 40, DATA);
        while (vt__qrec_room(&r, now)) put(behind[i], SIZE, DATA);
        now += 100 * MS;
        ack_delayed(needed[i], 1, 1, 0);
        now = vt__qrec_due(&r); /* the first one is lost by now, and there is no room to send it again */
        vt__qrec_tick(&r, now);
        CHECK_STR(take(), "a1 l0");
        CHECK_EQ(vt__qrec_room(&r, now), 0);
        now = vt__qrec_due(&r);
        REQUIRE(now != NEVER);
        vt__qrec_tick(&r, now);
        CHECK_EQ(vt__qrec_probes(&r, needed[i]), 2);
        CHECK_EQ(vt__qrec_probes(&r, behind[i]), 2); /* in the same datagrams */
        put(needed[i], 300, DATA);
        vt__qrec_discard(&r, needed[i], now);
        end();
    }
}
TEST(pto_of_a_handshake_that_the_peer_has_done_with) { /* RFC 9002 6.2.4 */
    begin(false);
    vt__qrec_keys(&r);
    put(HANDSHAKE, SIZE, DATA);
    vt__qrec_tick(&r, now = vt__qrec_due(&r));
    CHECK(vt__qrec_probes(&r, HANDSHAKE) == 2 && vt__qrec_probes(&r, APP) == 0);
    put(HANDSHAKE, SIZE, DATA), put(HANDSHAKE, SIZE, DATA), put(APP, SIZE, DATA);
    vt__qrec_tick(&r, now = vt__qrec_due(&r));
    CHECK(vt__qrec_probes(&r, HANDSHAKE) == 2 && vt__qrec_probes(&r, APP) == 2);
    end();
}
TEST(client_probes_with_nothing_in_flight) { /* RFC 9002 6.2.2.1 */
    begin(false);
    put(INITIAL, SIZE, DATA);
    now += 100 * MS;
    ack_delayed(INITIAL, 0, 0, 0);
    CHECK_STR(take(), "a0");
    CHECK_EQ(vt__qrec_due(&r), now + 300 * MS);
    now += 300 * MS;
    vt__qrec_tick(&r, now);
    CHECK_EQ(vt__qrec_probes(&r, INITIAL), 2);
    put(INITIAL, SIZE, DATA), put(INITIAL, SIZE, DATA);
    now += 1;
    ack_delayed(INITIAL, 1, 2, 0);
    CHECK_EQ(r.pto_count, 1); /* the server may still be blocked */
    vt__qrec_keys(&r);
    vt__qrec_discard(&r, INITIAL, now);
    now = vt__qrec_due(&r);
    vt__qrec_tick(&r, now);
    CHECK_EQ(vt__qrec_probes(&r, HANDSHAKE), 2);
    put(HANDSHAKE, SIZE, DATA);
    now += 50 * MS;
    ack_delayed(HANDSHAKE, 0, 0, 0);
    CHECK_EQ(r.pto_count, 0); /* the address is validated; what the server sends may be lost all the same */
    now = vt__qrec_due(&r);
    vt__qrec_tick(&r, now);
    CHECK_EQ(vt__qrec_probes(&r, HANDSHAKE), 2);
    put(HANDSHAKE, SIZE, DATA);
    ack_delayed(HANDSHAKE, 1, 1, 0);
    vt__qrec_confirmed(&r, now);
    CHECK_EQ(vt__qrec_due(&r), NEVER);
    end();
}
TEST(b03_02_a_blocked_server_arms_no_timer) {
    begin(true);
    put(INITIAL, SIZE, DATA);
    put(HANDSHAKE, SIZE, DATA);
    vt__qrec_blocked(&r, true);
    CHECK_EQ(vt__qrec_due(&r), NEVER);
    vt__qrec_tick(&r, now + 100000 * MS);
    CHECK_EQ(vt__qrec_probes(&r, INITIAL) + vt__qrec_probes(&r, HANDSHAKE), 0);
    vt__qrec_blocked(&r, false);
    CHECK_EQ(vt__qrec_due(&r), now + 999 * MS);
    now += 999 * MS;
    vt__qrec_tick(&r, now);
    CHECK_EQ(vt__qrec_probes(&r, INITIAL), 2); /* and the other along with it */
    CHECK_EQ(vt__qrec_probes(&r, HANDSHAKE), 2);
    vt__qrec_repeat(&r, INITIAL), vt__qrec_repeat(&r, HANDSHAKE);
    CHECK_STR(take(), "p0 p0");
    end();
}
TEST(a_discarded_space_leaves_nothing) {
    begin(false);
    put(INITIAL, SIZE, DATA), put(INITIAL, 300, VT__QREC_IN_FLIGHT);
    vt__qrec_got(&r, INITIAL, 0, true, 0, now);
    vt__qrec_confirmed(&r, now);
    vt__qrec_discard(&r, INITIAL, now);
    CHECK_EQ(r.in_flight, 0);
    CHECK_EQ(vt__qrec_due(&r), NEVER);
    CHECK_STR(take(), "");
    end();
}
TEST(resend_tells_everything_and_blames_nobody) {
    begin(false);
    put(INITIAL, SIZE, DATA), put(APP, SIZE, DATA), put(APP, SIZE, DATA);
    uint64_t window = r.cc.c.window;
    vt__qrec_resend(&r, INITIAL), vt__qrec_resend(&r, APP);
    CHECK_STR(take(), "l0 l0 l1");
    CHECK_EQ(r.in_flight, 0);
    CHECK_EQ(r.cc.c.window, window);
    CHECK_EQ(put(INITIAL, SIZE, DATA), 1);
    CHECK_EQ(put(APP, SIZE, DATA), 2);
    now += 50 * MS;
    ack_delayed(INITIAL, 1, 1, 0);
    CHECK_STR(take(), "a1");
    end();
}

/* ---- who acknowledges what was never sent ---- */
TEST(b03_11_ack_of_a_packet_never_sent) {
    begin(true);
    CHECK(vt__qrec_ack_begin(&r, APP, 0, 0, now) < 0);
    put_n(3);
    CHECK(vt__qrec_ack_begin(&r, APP, 3, 0, now) < 0);
    CHECK(vt__qrec_ack_begin(&r, HANDSHAKE, 0, 0, now) < 0);
    CHECK_EQ(vt__qrec_ack_begin(&r, APP, 2, 0, now), 0);
    CHECK(vt__qrec_ack_range(&r, 1, 3) < 0);
    CHECK(vt__qrec_ack_range(&r, 2, 1) < 0);
    end();
}
TEST(b03_11_ack_of_a_skipped_number) {
    int seen = 0, before = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        vt__qrec_cfg plain = {0};
        now = 0;
        vt__qrec_init(&r, &plain, shake, true, seed, tell, &r, now);
        uint64_t skipped = UINT64_MAX;
        for (uint64_t i = 0; i < 200 && skipped == UINT64_MAX; i++)
            if (put(APP, 100, DATA) != vt__qrec_next(&r, APP) - 1) skipped = vt__qrec_next(&r, APP) - 1;
        seen += skipped != UINT64_MAX;
        put(APP, 100, DATA);
        bool whole = seed % 2;
        if (whole) { /* all of it by one ACK; the rest: honestly first, then it alone */
            CHECK_EQ(vt__qrec_ack_begin(&r, APP, skipped + 1, 0, now), 0);
            CHECK(vt__qrec_ack_range(&r, 0, skipped + 1) < 0);
        } else {
            now += MS;
            CHECK_EQ(vt__qrec_ack_begin(&r, APP, skipped + 1, 0, now), 0);
            CHECK_EQ(vt__qrec_ack_range(&r, skipped + 1, skipped + 1), 0);
            CHECK_EQ(vt__qrec_ack_range(&r, 0, skipped - 1), 0);
            vt__qrec_ack_end(&r, NULL);
            CHECK_EQ(r.app.base, skipped + 2);
            CHECK_EQ(vt__qrec_ack_begin(&r, APP, skipped + 1, 0, now), 0);
            before += vt__qrec_ack_range(&r, skipped, skipped) < 0;
        }
        end();
    }
    CHECK_EQ(seen, 200); /* within 64 + 32 packets */
    CHECK_EQ(before, 100);
}
TEST(b03_11_ack_of_an_older_skipped_number) {
    vt__qrec_cfg plain = {0};
    uint64_t skipped[2];
    now = 0;
    vt__qrec_init(&r, &plain, shake, true, test_seed(), tell, &r, now);
    for (int n = 0; n < 2;) {
        uint64_t pn = put(APP, 100, DATA);
        if (vt__qrec_next(&r, APP) != pn + 1) skipped[n++] = pn + 1;
    }
    CHECK_EQ(vt__qrec_ack_begin(&r, APP, skipped[0] + 1, 0, now), 0);
    CHECK(vt__qrec_ack_range(&r, skipped[0], skipped[0] + 1) < 0);
    end();
}
TEST(skipped_numbers_are_no_losses) {
    vt__qrec_cfg plain = {.no_pacing = true};
    now = 0;
    vt__qrec_init(&r, &plain, shake, true, 7, tell, &r, now);
    uint64_t skips = 0, packets = 20000;
    for (uint64_t i = 0; i < packets; i++) {
        uint64_t pn = put(APP, 100, DATA);
        skips += vt__qrec_next(&r, APP) != pn + 1;
        now += MS;
        ack(pn, pn);
        CHECK_EQ(r.in_flight, 0);
    }
    CHECK(skips > 5 && skips < 100);
    CHECK_EQ(r.stats.lost, 0);
    CHECK_EQ(r.stats.acked, packets);
    CHECK(r.app.packets_cap == VT__QREC_RING);
    end();
}

/* ---- what losses prove to be ---- */
TEST(losses_that_are_disproved_are_undone) {
    warm();
    put_n(6); /* 1..6 */
    uint64_t window = r.cc.c.window;
    now += 100 * MS;
    ack(5, 6);
    CHECK_STR(take(), "a6 a5 l1 l2 l3");
    CHECK(r.cc.c.window < window);
    now += MS;
    CHECK_EQ(vt__qrec_ack_begin(&r, APP, 6, 0, now), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, 5, 6), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, 3, 3), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, 1, 1), 0);
    vt__qrec_ack_end(&r, NULL);
    CHECK(r.cc.c.window < window); /* one is missing yet */
    CHECK_EQ(r.stats.spurious, 2);
    ack(2, 6);
    CHECK_EQ(r.stats.spurious, 3);
    CHECK(r.cc.c.window >= window);
    CHECK_EQ(r.threshold, 6); /* 6 - 1 + 1 */
    CHECK_EQ(vt__qrec_loss_delay(&r), 100 * MS + 100 * MS / 2);
    put_n(6); /* 7..12: five later ones are not enough any more */
    now += 100 * MS;
    take();
    ack(8, 12);
    CHECK_STR(take(), "a12 a11 a10 a9 a8");
    end();
}
TEST(a_second_congestion_event_cannot_be_undone_by_the_first) {
    warm();
    put_n(5); /* 1..5 */
    now += 100 * MS;
    ack(4, 5);
    CHECK_STR(take(), "a5 a4 l1 l2");
    now += MS;
    put_n(5); /* 6..10 */
    now += 100 * MS;
    ack(10, 10); /* the third one, of the first event, and two of a second one */
    CHECK_STR(take(), "a10 l3 l6 l7");
    CHECK_EQ(r.stats.events, 2);
    uint64_t window = r.cc.c.window;
    ack(1, 2);
    CHECK_EQ(r.stats.spurious, 0);
    CHECK_EQ(r.cc.c.window, window);
    end();
}
TEST(too_many_losses_to_watch_are_not_undone) {
    cfg.no_pacing = true;
    warm();
    put_n(VT__QREC_DISPROVED + 5);
    now += 100 * MS;
    ack(VT__QREC_DISPROVED + 5, VT__QREC_DISPROVED + 5);
    uint64_t window = r.cc.c.window;
    CHECK(r.stats.lost > VT__QREC_DISPROVED);
    ack(1, VT__QREC_DISPROVED + 5);
    CHECK_EQ(r.cc.c.window, window);
    end();
}
/* Losses at 0 and at `apart`, with an ACK of something between them or not. */
static uint64_t losses_apart(int64_t apart, bool between) {
    warm();
    now += MS;
    put(APP, SIZE, DATA); /* 1 */
    now += apart / 2;
    put(APP, SIZE, DATA); /* 2 */
    now += apart - apart / 2;
    put(APP, SIZE, DATA); /* 3 */
    now += 400 * MS;
    put_n(3); /* 4..6 */
    now += 100 * MS;
    CHECK_EQ(vt__qrec_ack_begin(&r, APP, 6, 0, now), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, 6, 6), 0);
    if (between) CHECK_EQ(vt__qrec_ack_range(&r, 2, 2), 0);
    vt__qrec_ack_end(&r, NULL);
    uint64_t collapses = r.stats.collapses;
    if (collapses) CHECK_EQ(r.cc.c.window, 3 * SIZE); /* two, and the one that was acknowledged */
    else CHECK(r.cc.c.window > 3 * SIZE);
    end();
    return collapses;
}
TEST(persistent_congestion) { /* RFC 9002 7.6; 3 * (100 + 4 * 37.5 + 25) ms */
    CHECK_EQ(losses_apart(826 * MS, false), 1);
    CHECK_EQ(losses_apart(825 * MS, false), 0);
    CHECK_EQ(losses_apart(826 * MS, true), 0);
}
TEST(persistent_congestion_needs_a_sample_from_before) {
    begin(true);
    vt__qrec_confirmed(&r, now);
    put_n(1);
    now += 10000 * MS;
    put_n(1);
    now += 100 * MS;
    put_n(3);
    now += 100 * MS;
    ack(4, 4);
    CHECK_EQ(r.stats.lost, 2);
    CHECK_EQ(r.stats.collapses, 0);
    end();
}

/* ---- the window ---- */
static void round_trip(unsigned n) { /* n packets out and back */
    uint64_t first = vt__qrec_next(&r, APP);
    put_n(n);
    now += 100 * MS;
    ack(first, first + n - 1);
}
TEST(slow_start_doubles_and_idle_windows_do_not_grow) {
    cfg.no_pacing = true;
    warm();
    CHECK_EQ(r.cc.c.window, 10 * 1200); /* one packet of 100 bytes proved nothing */
    round_trip(10);
    CHECK_EQ(r.cc.c.window, 20 * 1200);
    round_trip(20);
    CHECK_EQ(r.cc.c.window, 40 * 1200);
    for (int i = 0; i < 5; i++) round_trip(10); /* a quarter of it */
    CHECK(r.cc.c.window <= 50 * 1200);          /* the peak of the round before still counts for one */
    end();
}
TEST(newreno_halves_and_grows_by_one_a_round) {
    cfg.cc = VT__QCC_NEWRENO;
    warm();
    round_trip(10);
    round_trip(20);
    CHECK_EQ(r.cc.c.window, 40 * 1200);
    put_n(4);
    now += 100 * MS;
    ack(34, 34); /* 31 is lost */
    CHECK_EQ(r.cc.c.window, 20 * 1200);
    CHECK_EQ(r.cc.c.credit, 0);
    put(APP, SIZE, DATA), put(APP, SIZE, DATA);
    ack(32, 33); /* sent before the event: neither growth nor another one */
    CHECK_EQ(r.cc.c.window, 20 * 1200);
    for (unsigned i = 1; i <= 3; i++) {
        now += MS;
        round_trip(20 + i - 1);
        CHECK_EQ(r.cc.c.window / 1200, 20 + i);
    }
    end();
}
TEST(cubic_decreases_to_seven_tenths_and_returns) {
    warm();
    round_trip(10);
    round_trip(20);
    round_trip(40);
    CHECK_EQ(r.cc.c.window, 80 * 1200);
    put_n(4);
    now += 100 * MS;
    ack(74, 74);
    CHECK_EQ(r.cc.c.window / 1200, 56);
    now += MS;
    ack(72, 73);
    int rounds = 0;
    uint64_t was = r.cc.c.window;
    for (; r.cc.c.window < 80 * 1200 && rounds < 100; rounds++) {
        round_trip((unsigned)(r.cc.c.window / 1200));
        CHECK(r.cc.c.window >= was);
        was = r.cc.c.window;
    }
    CHECK(rounds > 20 && rounds < 50); /* K is the cube root of 24 / 0.4: 3.9 s */
    for (int i = 0; i < 30; i++) round_trip((unsigned)(r.cc.c.window / 1200));
    CHECK(r.cc.c.window > 90 * 1200); /* and past it, ever faster */
    end();
}
TEST(cube_root) {
    for (double v = 1e-3; v < 1e9; v *= 1.7) {
        double x = vt__qcc_cbrt(v), off = x * x * x / v - 1;
        CHECK(off < 1e-6 && off > -1e-6);
    }
    CHECK(vt__qcc_cbrt(0) < 1e-6);
}
TEST(b03_11_the_window_grows_only_by_what_was_in_flight) {
    warm();
    round_trip(10);
    uint64_t window = r.cc.c.window;
    for (int i = 0; i < 1000; i++) ack(1, 10); /* the same again and again */
    CHECK_EQ(r.cc.c.window, window);
    for (int i = 0; i < 50; i++) { /* packets that count for nothing */
        uint64_t pn = put(APP, SIZE, 0);
        ack(pn, pn);
    }
    CHECK_EQ(r.cc.c.window, window);
    end();
}
TEST(window_is_bounded) {
    cfg.window_max = 100000;
    warm();
    for (int i = 0; i < 8; i++) round_trip((unsigned)(r.cc.c.window / 1200));
    CHECK_EQ(r.cc.c.window, 100000);
    end();
}
TEST(a_mark_counts_as_a_loss_of_one) {
    uint64_t ecn[3] = {1, 0, 0};
    begin(true);
    vt__qrec_confirmed(&r, now);
    put(APP, SIZE, DATA | VT__QREC_ECT);
    now += 100 * MS;
    CHECK_EQ(vt__qrec_ack_begin(&r, APP, 0, 0, now), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, 0, 0), 0);
    vt__qrec_ack_end(&r, ecn);
    uint64_t window = r.cc.c.window;
    put(APP, SIZE, DATA | VT__QREC_ECT), put(APP, SIZE, DATA | VT__QREC_ECT);
    now += 100 * MS;
    for (uint64_t pn = 1; pn <= 2; pn++) { /* both of one event */
        ecn[2]++;
        CHECK_EQ(vt__qrec_ack_begin(&r, APP, pn, 0, now), 0);
        CHECK_EQ(vt__qrec_ack_range(&r, pn, pn), 0);
        vt__qrec_ack_end(&r, ecn);
        CHECK_EQ(r.cc.c.window, window * 7 / 10);
    }
    CHECK_EQ(r.stats.events, 1);
    CHECK_STR(take(), "a0 a1 a2");
    end();
}

/* ---- the pace ---- */
TEST(pace_follows_window_and_round_trip) {
    warm(); /* window 12,000, 100 ms, slow start: 240,000 bytes a second; a burst of ten at first */
    now += 1000 * MS;
    CHECK_EQ(vt__qrec_room(&r, now), 12000);
    put_n(9);
    CHECK_EQ(vt__qrec_room(&r, now), 1200);
    put_n(1);
    CHECK_EQ(vt__qrec_room(&r, now), 0);
    CHECK_EQ(vt__qrec_pace_at(&r), NEVER); /* the window is full */
    now += 100 * MS;
    ack(1, 10);
    CHECK_EQ(r.cc.c.window, 24000); /* 480,000 a second: ten more by now */
    put_n(10);
    CHECK_EQ(vt__qrec_room(&r, now), 0);
    int64_t at = vt__qrec_pace_at(&r);
    CHECK_EQ(at, now + 5 * MS); /* two datagrams */
    CHECK_EQ(vt__qrec_room(&r, at), 2400);
    CHECK_EQ(vt__qrec_room(&r, at - 3 * MS), 0); /* not even one */
    end();
}
TEST(room_is_for_whole_datagrams) {
    cfg.no_pacing = true;
    begin(true);
    put(APP, 11 * 1000, DATA);
    CHECK_EQ(vt__qrec_room(&r, now), 0);
    CHECK_EQ(vt__qrec_pace_at(&r), NEVER);
    end();
}
TEST(probes_in_spite_of_the_pace_do_not_stop_it) {
    warm();
    for (int i = 0; i < 200; i++) put(APP, SIZE, DATA);
    now += 100 * MS;
    ack(1, 200);
    CHECK(vt__qrec_pace_at(&r) < now + 60 * MS);
    end();
}

/* ---- rings ---- */
TEST(packets_of_acks_alone_fill_nothing) {
    cfg.max_packets = VT__QREC_RING;
    begin(true);
    vt__qrec_confirmed(&r, now);
    got(0);
    for (int i = 0; i < 100000; i++) put(APP, 40, VT__QREC_WITH_ACK);
    CHECK_EQ(r.app.packets_cap, VT__QREC_RING);
    CHECK(r.app.frames_cap <= 2 * VT__QREC_RING);
    CHECK(vt__qrec_room(&r, now) > 0);
    end();
}
TEST(what_is_remembered_is_bounded) {
    cfg.max_packets = 64, cfg.no_pacing = true;
    warm();
    for (int i = 0; i < 48; i++) put(APP, 100, DATA);
    CHECK(vt__qrec_room(&r, now) > 0);
    put(APP, 100, DATA);
    CHECK_EQ(vt__qrec_room(&r, now), 0);
    CHECK_EQ(vt__qrec_pace_at(&r), NEVER);
    for (int i = 49; i < 64; i++) put(APP, 100, DATA);
    CHECK_STR(take(), "");
    put(APP, 100, DATA); /* all the same: the oldest are given up */
    CHECK_STR(take(), "l1");
    CHECK_EQ(r.app.packets_cap, 64);
    CHECK_EQ(r.in_flight, 64 * 100);
    end();
}

/* ---- another path ---- */
TEST(path_begins_anew_and_leaves_the_old_one_behind) {
    warm();
    round_trip(10);
    put_n(4); /* 11..14, of the old path */
    vt__qrec_path(&r);
    take();
    CHECK_EQ(r.in_flight, 0);
    CHECK_EQ(r.cc.c.window, 12000);
    CHECK_EQ(r.rtt.smoothed, 333 * MS);
    put(APP, SIZE, DATA);
    now += 300 * MS;
    ack(14, 14);
    CHECK_STR(take(), "a14 l11");
    CHECK_EQ(r.rtt.smoothed, 333 * MS); /* of the old path: no sample */
    CHECK_EQ(r.cc.c.window, 12000);     /* nor a congestion */
    CHECK_EQ(r.in_flight, SIZE);
    ack(15, 15);
    CHECK_EQ(r.rtt.smoothed, 300 * MS);
    CHECK_STR(take(), "a15 l12");
    CHECK_EQ(r.in_flight, 0);
    end();
}
/* What it carries and that it is congested is no news of this one (RFC 9000 9.4). */
TEST(size_and_marks_of_the_old_path) {
    static const uint64_t marked[] = {1, 0, 1}, more[] = {2, 0, 1};
    warm();
    uint64_t pn = put(APP, vt__qrec_mtu_probe(&r, now), DATA | VT__QREC_MTU_PROBE);
    put(APP, SIZE, DATA | VT__QREC_ECT), put(APP, SIZE, DATA | VT__QREC_ECT);
    vt__qrec_path(&r);
    now += 100 * MS;
    CHECK_EQ(vt__qrec_ack_begin(&r, APP, pn + 2, 0, now), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, pn, pn + 2), 0);
    vt__qrec_ack_end(&r, marked);
    CHECK_EQ(vt__qrec_mtu(&r), 1200);
    CHECK_EQ(r.path.ecn, VT__QPATH_TESTING);
    CHECK_EQ(r.stats.events, 0), CHECK_EQ(r.cc.c.window, 12000);
    put(APP, SIZE, DATA | VT__QREC_ECT);
    CHECK_EQ(vt__qrec_ack_begin(&r, APP, pn + 3, 0, now), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, pn + 3, pn + 3), 0);
    vt__qrec_ack_end(&r, more); /* counts from there on */
    CHECK_EQ(r.path.ecn, VT__QPATH_CAPABLE);
    CHECK_EQ(r.stats.events, 0);
    end();
}
TEST(b03_21_probes_of_other_paths_count_for_nothing_here) {
    warm();
    put(APP, SIZE, DATA | VT__QREC_OTHER_PATH);
    CHECK_EQ(r.in_flight, 0);
    CHECK(vt__qrec_due(&r) != NEVER); /* but it is probed for */
    put_n(3);
    now += 100 * MS;
    uint64_t window = r.cc.c.window;
    ack(2, 4);
    CHECK_STR(take(), "a4 a3 a2 l1");
    CHECK_EQ(r.stats.events, 0);
    CHECK(r.cc.c.window >= window);
    end();
}

/* ---- marks ---- */
static void path_begin(vt__qpath *p) {
    memset(p, 0, sizeof *p);
    vt__qpath_init(p, 1200, 1452, false);
    p->search = true;
}
TEST(b03_39_marks_are_validated) {
    static const struct {
        uint64_t was[3], is[3], acked, sent;
        int ecn; /* -1: the frame had none */
        bool ce;
    } rows[] = {
        {{0, 0, 0}, {3, 0, 0}, 3, 10, VT__QPATH_CAPABLE, false},
        {{3, 0, 0}, {4, 0, 2}, 3, 10, VT__QPATH_CAPABLE, true},
        {{0, 0, 0}, {5, 0, 0}, 3, 10, VT__QPATH_CAPABLE, false}, /* the ACK of some was lost */
        {{0, 0, 0}, {0, 0, 0}, 3, 10, VT__QPATH_FAILED, false},  /* cleared, or no counts */
        {{0, 0, 0}, {2, 0, 0}, 3, 10, VT__QPATH_FAILED, false},  /* one too few */
        {{0, 0, 0}, {2, 1, 0}, 3, 10, VT__QPATH_FAILED, false},  /* ECT(1) was never sent */
        {{0, 0, 0}, {0, 0, 11}, 3, 10, VT__QPATH_FAILED, false}, /* more than were sent */
        {{0, 0, 0}, {UINT64_MAX, 0, 1}, 3, 10, VT__QPATH_FAILED, false},
        {{0, 0, 0}, {1, 0, UINT64_MAX}, 3, 10, VT__QPATH_FAILED, false},
        {{5, 0, 1}, {4, 0, 5}, 3, 10, VT__QPATH_FAILED, false}, /* one shrinks */
        {{5, 0, 1}, {9, 0, 0}, 3, 10, VT__QPATH_FAILED, false},
    };
    for (unsigned i = 0; i < VT__COUNT(rows); i++) {
        vt__qpath p;
        uint64_t was[3];
        path_begin(&p);
        memcpy(was, rows[i].was, sizeof was);
        bool ce = vt__qpath_ecn_counts(&p, rows[i].is, was, rows[i].acked, rows[i].sent);
        if (p.ecn != rows[i].ecn || ce != rows[i].ce) printf("row %u\n", i);
        CHECK_EQ(p.ecn, rows[i].ecn);
        CHECK_EQ(ce, rows[i].ce);
        CHECK(p.ecn == VT__QPATH_FAILED || memcmp(was, rows[i].is, sizeof was) == 0);
        CHECK(!vt__qpath_ecn_counts(&p, NULL, was, 1, 10)); /* an answer without counts */
        CHECK_EQ(p.ecn, VT__QPATH_FAILED);
        CHECK_EQ(vt__qpath_ecn_bits(&p), 0);
        CHECK(!vt__qpath_ecn_counts(&p, rows[0].is, was, 1, 10)); /* for good */
    }
}
TEST(marks_wait_for_an_answer_and_end_where_all_are_lost) {
    warm();
    for (unsigned i = 0; i < VT__QPATH_TESTED; i++) {
        CHECK_EQ(vt__qrec_ecn(&r), 2);
        put(APP, SIZE, DATA | VT__QREC_ECT);
    }
    CHECK_EQ(vt__qrec_ecn(&r), 0);
    put_n(3);
    now += 100 * MS;
    ack(11, 13);
    CHECK_EQ(r.path.ecn, VT__QPATH_FAILED);
    CHECK_EQ(r.stats.lost, VT__QPATH_TESTED);
    end();
    cfg.no_ecn = true;
    begin(false);
    CHECK_EQ(vt__qrec_ecn(&r), 0);
    end();
}
TEST(counts_of_an_overtaken_ack_are_not_looked_at) {
    uint64_t later[3] = {2, 0, 0}, earlier[3] = {1, 0, 0};
    begin(true);
    put(APP, SIZE, DATA | VT__QREC_ECT), put(APP, SIZE, DATA | VT__QREC_ECT);
    now += MS;
    CHECK_EQ(vt__qrec_ack_begin(&r, APP, 1, 0, now), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, 1, 1), 0);
    vt__qrec_ack_end(&r, later);
    CHECK_EQ(vt__qrec_ack_begin(&r, APP, 0, 0, now), 0);
    CHECK_EQ(vt__qrec_ack_range(&r, 0, 0), 0);
    vt__qrec_ack_end(&r, earlier);
    CHECK_EQ(r.path.ecn, VT__QPATH_CAPABLE);
    end();
}

/* ---- size of datagrams ---- */
/* The size that is found where `limit` bytes go through, and after how many probes. */
static unsigned search(vt__qpath *p, unsigned limit, unsigned *probes) {
    unsigned n;
    for (*probes = 0; (n = vt__qpath_probe(p, now)) != 0; ++*probes) {
        CHECK(n > p->mtu && n <= p->most);
        p->probe = (uint16_t)n;
        CHECK_EQ(vt__qpath_probe(p, now), 0); /* one at a time */
        if (n <= limit) CHECK(vt__qpath_probe_acked(p, n));
        else vt__qpath_probe_lost(p, n);
    }
    return p->mtu;
}
TEST(mtu_search_finds_every_size) {
    for (unsigned limit = 1200; limit <= 1500; limit++) {
        vt__qpath p;
        unsigned probes;
        path_begin(&p);
        unsigned found = search(&p, limit, &probes);
        CHECK(found <= limit);
        CHECK(limit >= 1452 ? found == 1452 : found > limit - VT__QPATH_STEP || found == 1200);
        CHECK(limit >= 1452 ? probes == 1 : probes < 16);
    }
}
TEST(mtu_search_begins_again_after_ten_minutes) {
    vt__qpath p;
    unsigned probes;
    path_begin(&p);
    now = 0;
    CHECK(search(&p, 1300, &probes) <= 1300);
    now += VT__QPATH_AGAIN_NS - 1;
    CHECK_EQ(vt__qpath_probe(&p, now), 0);
    now++;
    CHECK_EQ(search(&p, 1500, &probes), 1452);
    now += 2 * VT__QPATH_AGAIN_NS;
    CHECK_EQ(vt__qpath_probe(&p, now), 0); /* there is nothing more to find */
}
TEST(mtu_is_limited_by_the_peer) {
    vt__qpath p;
    unsigned probes;
    path_begin(&p);
    vt__qpath_limit(&p, 1280);
    CHECK_EQ(search(&p, 1500, &probes), 1280);
    vt__qpath_limit(&p, 10);
    CHECK_EQ(p.mtu, 1200);
    CHECK_EQ(search(&p, 1500, &probes), 1200);
}
TEST(b03_40_lost_probes_of_size_shrink_nothing) {
    warm();
    uint64_t window = r.cc.c.window;
    unsigned n = vt__qrec_mtu_probe(&r, now);
    CHECK_EQ(n, 1452);
    uint64_t pn = put(APP, n, DATA | VT__QREC_MTU_PROBE);
    CHECK_EQ(vt__qrec_mtu_probe(&r, now), 0);
    put_n(3);
    now += 100 * MS;
    ack(pn + 1, pn + 3);
    CHECK_STR(take(), "a4 a3 a2 l1");
    CHECK(r.cc.c.window >= window);
    CHECK_EQ(r.stats.events, 0);
    CHECK_EQ(vt__qrec_mtu(&r), 1200);
    n = vt__qrec_mtu_probe(&r, now);
    CHECK_EQ(n, 1452);
    pn = put(APP, n, DATA | VT__QREC_MTU_PROBE);
    now += 100 * MS;
    ack(pn, pn);
    CHECK_EQ(vt__qrec_mtu(&r), 1452);
    CHECK_EQ(r.cc.mss, 1452);
    end();
    cfg.no_mtu_search = true;
    warm();
    CHECK_EQ(vt__qrec_mtu_probe(&r, now), 0);
    end();
}
static void widen(void) {
    warm();
    uint64_t pn = put(APP, vt__qrec_mtu_probe(&r, now), DATA | VT__QREC_MTU_PROBE);
    now += 100 * MS;
    ack(pn, pn);
    CHECK_EQ(vt__qrec_mtu(&r), 1452);
}
TEST(b03_40_large_datagrams_that_vanish_are_a_black_hole) {
    widen();
    for (unsigned i = 0; i < VT__QPATH_HOLE; i++) {
        CHECK_EQ(vt__qrec_mtu(&r), 1452);
        put(APP, 1452, DATA);
        put(APP, 100, DATA), put(APP, 100, DATA), put(APP, 100, DATA);
        now += 100 * MS;
        uint64_t last = vt__qrec_next(&r, APP) - 1;
        ack(last - 2, last);
    }
    CHECK_EQ(vt__qrec_mtu(&r), 1200);
    CHECK(vt__qrec_mtu_probe(&r, now) < 1452);
    end();
    widen(); /* or three timeouts in a row */
    put(APP, 1452, DATA);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(vt__qrec_mtu(&r), 1452);
        now = vt__qrec_due(&r);
        vt__qrec_tick(&r, now);
        put(APP, 1452, DATA);
    }
    CHECK_EQ(vt__qrec_mtu(&r), 1200);
    end();
}

TEST(without_memory_nothing_was_sent) {
    memory_begin();
    for (int64_t fail = 0, done = 0; !done; fail++) {
        fail_after = fail;
        cfg.cc = VT__QCC_BBR;
        begin(true);
        int rc = 0;
        vt__qpkt_note f = {.a = 1, .b = 2, .len = APP, .kind = 1};
        for (int i = 0; i < 100 && rc == 0; i++) {
            uint64_t next = vt__qrec_next(&r, APP), flying = r.in_flight;
            rc = vt__qrec_sent(&r, APP, SIZE, DATA, &f, 1, now);
            if (rc < 0) CHECK(rc == -ENOMEM && vt__qrec_next(&r, APP) == next && r.in_flight == flying);
        }
        done = rc == 0;
        end();
    }
    CHECK(failed >= 9); /* three rings, three sizes each */
    memory_end();
}

/* ---- BBR ---- */
/* A path of `rate` bytes a millisecond and 50 ms, as the sender of what fits sees it; one packet a step. */
static struct {
    uint64_t sent[4096];
    int64_t arrives[4096], free_at;
    unsigned first, n;
} pipe_;
static void pipe_run(int64_t until, int64_t rate, int64_t delay, unsigned lose_one_in) {
    while (now < until) {
        while (vt__qrec_room(&r, now) && pipe_.n < 4096) {
            uint64_t pn = put(APP, SIZE, DATA);
            if (lose_one_in && pn % lose_one_in == 0) continue;
            pipe_.free_at = VT__MAX(pipe_.free_at, now) + SIZE * MS / rate;
            unsigned i = (pipe_.first + pipe_.n++) % 4096;
            pipe_.sent[i] = pn, pipe_.arrives[i] = pipe_.free_at + delay;
        }
        int64_t next = VT__MIN(vt__qrec_pace_at(&r), pipe_.n ? pipe_.arrives[pipe_.first] : NEVER);
        now = VT__MAX(now, VT__MIN(VT__MIN(next, vt__qrec_due(&r)), until));
        if (vt__qrec_due(&r) <= now) vt__qrec_tick(&r, now);
        for (; pipe_.n && pipe_.arrives[pipe_.first] <= now; pipe_.n--) {
            uint64_t pn = pipe_.sent[pipe_.first];
            ack(pn, pn);
            pipe_.first = (pipe_.first + 1) % 4096;
        }
        take();
    }
}
static void bbr_begin(void) {
    memset(&pipe_, 0, sizeof pipe_);
    cfg.cc = VT__QCC_BBR;
    begin(true);
    vt__qrec_confirmed(&r, now);
}
TEST(bbr_finds_rate_and_round_trip) {
    bbr_begin();
    pipe_run(now + 3000 * MS, 1000, 50 * MS, 0); /* 1 MB/s */
    CHECK_EQ(r.cc.b.state, VT__QBBR_CRUISE);
    CHECK(r.cc.b.rate > 0.00095 && r.cc.b.rate < 0.0011);
    CHECK(r.cc.b.min_rtt >= 51 * MS && r.cc.b.min_rtt < 54 * MS);
    CHECK(r.cc.c.window > 90000 && r.cc.c.window < 125000);
    CHECK_EQ(r.stats.lost, 0);
    pipe_run(now + 3000 * MS, 500, 50 * MS, 0); /* it halves: known after ten rounds */
    CHECK(r.cc.b.rate > 0.00047 && r.cc.b.rate < 0.00055);
    pipe_run(now + 3000 * MS, 2000, 50 * MS, 0); /* and grows again by a quarter at a time */
    CHECK(r.cc.b.rate > 0.0015);
    end();
}
/* What went alone, as PATH_CHALLENGE on a new path, is no measure of it: the first window goes at once, and the second, twice as
 * large, within the next round trip. */
TEST(bbr_begins_with_little) {
    bbr_begin();
    uint64_t pn = put(APP, 100, DATA);
    now += 50 * MS;
    ack(pn, pn);
    CHECK(r.cc.b.rate > 0 && r.cc.b.rate < 0.0001);
    CHECK(r.cc.ns_per_byte <= 50 * MS / (2.0 * VT__QCC_FIRST * SIZE));
    CHECK(vt__qrec_room(&r, now) > (VT__QCC_FIRST - 1) * SIZE);
    for (int i = 0; i < VT__QCC_FIRST; i++) pn = put(APP, SIZE, DATA);
    now += 50 * MS;
    ack(pn - VT__QCC_FIRST + 1, pn - VT__QCC_FIRST / 2);
    CHECK(r.cc.c.window >= (VT__QCC_FIRST + VT__QCC_FIRST / 2) * SIZE); /* grows by what arrives */
    ack(pn - VT__QCC_FIRST / 2 + 1, pn);
    CHECK(r.cc.c.window >= 2 * VT__QCC_FIRST * SIZE);
    CHECK(r.cc.ns_per_byte <= 50 * MS / (2.0 * VT__QCC_FIRST * SIZE));
    end();
}
TEST(bbr_looks_for_the_round_trip_again) {
    bbr_begin();
    pipe_run(now + 9000 * MS, 1000, 50 * MS, 0);
    bool probed = false;
    int64_t least = INT64_MAX;
    for (int i = 0; i < 1500; i++) { /* the path has become longer */
        pipe_run(now + 10 * MS, 1000, 80 * MS, 0);
        if (r.cc.b.state != VT__QBBR_PROBE_RTT) continue;
        probed = true;
        least = VT__MIN(least, (int64_t)r.in_flight);
        CHECK_EQ(r.cc.c.window, VT__QBBR_LEAST * SIZE);
    }
    CHECK(probed && least <= VT__QBBR_LEAST * SIZE);
    CHECK(r.cc.b.min_rtt > 80 * MS && r.cc.b.min_rtt < 90 * MS);
    CHECK_EQ(r.cc.b.state, VT__QBBR_CRUISE);
    end();
}
TEST(bbr_heeds_many_losses_and_not_a_few) {
    bbr_begin();
    pipe_run(now + 3000 * MS, 1000, 50 * MS, 50);
    CHECK(r.stats.lost > 10);
    CHECK_EQ(r.cc.b.bound, UINT64_MAX);
    pipe_run(now + 1000 * MS, 1000, 50 * MS, 5);
    CHECK(r.cc.b.bound < 100000);
    CHECK(r.cc.c.window <= r.cc.b.bound);
    uint64_t bound = r.cc.b.bound;
    pipe_run(now + 1000 * MS, 1000, 50 * MS, 0);
    CHECK(r.cc.b.bound > 2 * bound); /* a quarter a round */
    pipe_run(now + 2000 * MS, 1000, 50 * MS, 0);
    CHECK_EQ(r.cc.b.bound, UINT64_MAX);
    end();
}
TEST(bbr_does_not_believe_an_idle_sender) {
    bbr_begin();
    pipe_run(now + 2000 * MS, 1000, 50 * MS, 0);
    double rate = r.cc.b.rate;
    while (pipe_.n) { /* all of it comes back */
        now = VT__MAX(now, pipe_.arrives[pipe_.first]);
        ack(pipe_.sent[pipe_.first], pipe_.sent[pipe_.first]);
        pipe_.first = (pipe_.first + 1) % 4096, pipe_.n--;
    }
    for (int i = 0; i < 30; i++) { /* then one packet now and then */
        now += 200 * MS;
        uint64_t pn = put(APP, SIZE, DATA);
        now += 51 * MS;
        ack(pn, pn);
    }
    CHECK(r.cc.b.rate > 0.9 * rate);
    end();
}
