/* QUIC's acknowledgements, loss recovery, congestion control and paths: what RFC 9002 and its neighbours say, by hand on a
 * clock of ours; items of the list of attacks by number (b03_NN). */
/* valgrind */
#define VTHTTP_TLS 1
#define VTHTTP_H3 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

enum { INITIAL = VT__QREC_INITIAL, HANDSHAKE = VT__QREC_HANDSHAKE, APP = VT__QREC_APP };
enum { DATA = VT__QREC_ELICITING | VT__QREC_IN_FLIGHT, SIZE = 1200 };
#define MS INT64_C(1000000)
#define NEVER VT__QREC_NEVER

/* ---- one end, what it is told, and a peer by hand ---- */
static vt__qrec r;
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
static void begin(bool server) {
    cfg.no_skip = true;
    vt__qrec_free(&r);
    now = 1000 * MS;
    vt__qrec_init(&r, &cfg, server, test_seed(), tell, &r, now);
    memset(&cfg, 0, sizeof cfg);
    take();
}
static void end(void) { vt__qrec_free(&r); }
/* A packet whose one frame has the packet's number. */
static uint64_t put(unsigned space, size_t bytes, unsigned flags) {
    uint64_t pn = vt__qrec_next(&r, space);
    vt__qpkt_note f = {pn, pn + 1, space, 1, 0, 0};
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
    for (uint64_t pn = 0; pn < 20; pn += 2) vt__qrec_got(&r, HANDSHAKE, pn * 2, true, 0, now);
    REQUIRE(vt__qrec_ack_get(&r, HANDSHAKE, now, &a));
    CHECK(a.n <= VT__QREC_RANGES_FEW);
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
        for (unsigned i = 0; i < n; i++) f[i] = (vt__qpkt_note){n * 100 + i, n * 100 + i + 1, APP, 1, 0, 0};
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
    CHECK_EQ(vt__qrec_due(&r), NEVER); /* the address is validated */
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
        vt__qrec_init(&r, &plain, true, seed, tell, &r, now);
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
            CHECK_EQ(r.s[APP].base, skipped + 2);
            CHECK_EQ(vt__qrec_ack_begin(&r, APP, skipped + 1, 0, now), 0);
            before += vt__qrec_ack_range(&r, skipped, skipped) < 0;
        }
        end();
    }
    CHECK_EQ(seen, 200); /* within 64 + 32 packets */
    CHECK_EQ(before, 100);
}
TEST(skipped_numbers_are_no_losses) {
    vt__qrec_cfg plain = {.no_pacing = true};
    now = 0;
    vt__qrec_init(&r, &plain, true, 7, tell, &r, now);
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
    CHECK(r.s[APP].packets_cap == VT__QREC_RING);
    end();
}
