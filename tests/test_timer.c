/* The timing wheel against a list, at random; far deadlines, budgets, callbacks that arm and cancel. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

enum { N = 300 };
static vt__wheel wheel;
static vt__timer timers[N];
static int64_t due[N]; /* the model: 0 is not armed */
static int64_t now_ns, fired_early, fired_total;

static void on_fire(vt__timer *t) {
    size_t i = (size_t)(t - timers);
    fired_total++;
    if (due[i] == 0 || due[i] > now_ns) fired_early++;
    due[i] = 0;
}
static void reset(int64_t start) {
    now_ns = start;
    fired_early = fired_total = 0;
    vt__timer_wheel_init(&wheel, start);
    memset(due, 0, sizeof due);
    for (int i = 0; i < N; i++) vt__timer_init(&timers[i], on_fire);
}
static void arm(size_t i, int64_t at) {
    due[i] = at;
    vt__timer_arm(&wheel, &timers[i], at);
}

static uint64_t state;
static uint64_t rnd(void) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return state >> 17;
}

TEST(agrees_with_a_list_at_random) {
    const int64_t tick = INT64_C(1) << VT__TIMER_SHIFT;
    state = test_seed();
    for (int round = 0; round < 20; round++) {
        reset((int64_t)(rnd() & ((UINT64_C(1) << rnd() % 57) - 1)) + (int64_t)(rnd() % 1000000000));
        for (int step = 0; step < 3000; step++) {
            size_t i = (size_t)(rnd() % N);
            switch (rnd() % 4) {
            case 0:
            case 1: /* near, or as far as the levels go and beyond */
                arm(i, now_ns + (int64_t)(rnd() & ((UINT64_C(1) << rnd() % 56) - 1)));
                break;
            case 2:
                vt__timer_cancel(&wheel, &timers[i]);
                due[i] = 0;
                break;
            default:
                now_ns += (int64_t)(rnd() & ((UINT64_C(1) << rnd() % 44) - 1));
                while (!vt__timer_advance(&wheel, now_ns, 1 + (int)(rnd() % 50))) continue;
                for (size_t k = 0; k < N; k++) CHECK(due[k] == 0 || due[k] > now_ns - 2 * tick);
            }
            int64_t next = vt__timer_next(&wheel), least = INT64_MAX;
            for (size_t k = 0; k < N; k++)
                if (due[k] && due[k] < least) least = due[k];
            CHECK((next == INT64_MAX) == (least == INT64_MAX));
            CHECK(next == INT64_MAX || next <= VT__MAX(least, now_ns) + 2 * tick); /* never too late */
        }
        CHECK_EQ(fired_early, 0);
    }
    CHECK(fired_total > 0);
}

TEST(fires_within_a_tick_at_every_distance) {
    for (int bit = 0; bit < 55; bit++) {
        reset(12345678901);
        arm(0, now_ns + (INT64_C(1) << bit));
        int64_t at = due[0];
        for (int hops = 0; due[0] && hops < 100;
             hops++) { /* as the reactor does: from one wake-up to the next */
            now_ns = vt__timer_next(&wheel);
            CHECK(vt__timer_advance(&wheel, now_ns, 10));
        }
        CHECK_EQ(due[0], 0);
        CHECK_EQ(fired_early, 0);
        CHECK(now_ns - at <= 2 * (INT64_C(1) << VT__TIMER_SHIFT));
    }
}

/* The ticks' 36 bits end every 52 days of uptime: what is armed before and due after must not wait for a turn. */
TEST(deadlines_over_the_wheels_end_are_in_time) {
    const int64_t end = INT64_C(1) << (6 * VT__TIMER_LEVELS + VT__TIMER_SHIFT);
    for (int64_t before = VT_MS; before < end / 4; before *= 3)
        for (int64_t after = VT_MS; after < end / 4; after *= 5) {
            reset(end - before);
            arm(0, end + after);
            for (int hops = 0; due[0] && hops < 100; hops++) {
                now_ns = vt__timer_next(&wheel);
                CHECK(vt__timer_advance(&wheel, now_ns, 10));
            }
            CHECK_EQ(fired_early, 0);
            CHECK(due[0] == 0 && now_ns <= end + after + 2 * (INT64_C(1) << VT__TIMER_SHIFT));
        }
}

TEST(what_is_cancelled_is_not_waited_for) {
    const int64_t tick = INT64_C(1) << VT__TIMER_SHIFT;
    reset(12345678901);
    arm(0, now_ns + VT_SEC);
    arm(1, now_ns + VT_MS);
    CHECK(vt__timer_next(&wheel) <= now_ns + VT_MS + 2 * tick);
    vt__timer_cancel(&wheel, &timers[1]);
    CHECK(vt__timer_next(&wheel) > now_ns + VT_SEC / 2);
    vt__timer_cancel(&wheel, &timers[0]);
    CHECK(vt__timer_next(&wheel) == INT64_MAX);
    CHECK(vt__timer_advance(&wheel, now_ns += VT_MS, 10));
    arm(0, now_ns + VT_MS);
    CHECK(vt__timer_next(&wheel) <= now_ns + VT_MS + 2 * tick);
}

TEST(the_budget_is_kept_and_nothing_lost) {
    reset(0);
    for (size_t i = 0; i < N; i++) arm(i, VT_SEC);
    now_ns = 2 * VT_SEC;
    int rounds = 0;
    for (int64_t before = 0; fired_total < N / 2; before = fired_total, rounds++) {
        CHECK(!vt__timer_advance(&wheel, now_ns, 10)); /* moving an entry down a level counts, too */
        CHECK(fired_total - before <= 10);
        REQUIRE(rounds < 1000);
    }
    int64_t left = N - fired_total;
    size_t gone = 0, waits = 0;
    while (due[gone]) gone++;
    while (!due[waits]) waits++;
    arm(gone, now_ns + VT_SEC); /* between: one that has fired, and one that has not */
    arm(waits, now_ns + VT_SEC);
    fired_total = 0;
    CHECK(vt__timer_advance(&wheel, now_ns, 1000));
    CHECK_EQ(fired_total, left - 1);
    now_ns += 2 * VT_SEC;
    CHECK(vt__timer_advance(&wheel, now_ns, 1000));
    CHECK_EQ(fired_total, left + 1);
    CHECK_EQ(fired_early, 0);
    CHECK(vt__timer_next(&wheel) == INT64_MAX);
}

static void on_fire_meddle(
    vt__timer *t) { /* cancels its neighbour, which is due as well, and arms itself again */
    fired_total++;
    vt__timer_cancel(&wheel, &timers[1]);
    if (fired_total < 3) vt__timer_arm(&wheel, t, now_ns);
}
TEST(callbacks_arm_and_cancel) {
    reset(0);
    timers[0].fire = on_fire_meddle;
    arm(0, VT_MS);
    arm(1, VT_MS);
    now_ns = VT_SEC;
    CHECK(vt__timer_advance(&wheel, now_ns, 100));
    CHECK_EQ(fired_total, 1); /* what is armed for now waits for the next tick */
    for (int i = 0; i < 5; i++) {
        now_ns += 2 * (INT64_C(1) << VT__TIMER_SHIFT);
        CHECK(vt__timer_advance(&wheel, now_ns, 100));
    }
    CHECK_EQ(fired_total, 3);
    CHECK(!vt__timer_armed(&timers[1]));
}

TEST(lazy_arming_keeps_the_earlier_entry) {
    reset(0);
    vt__timer_lazy(&wheel, &timers[0], 5 * VT_SEC);
    vt__timer_lazy(&wheel, &timers[0], 9 * VT_SEC);
    CHECK_EQ(timers[0].due, 5 * VT_SEC);
    vt__timer_lazy(&wheel, &timers[0], 2 * VT_SEC);
    CHECK_EQ(timers[0].due, 2 * VT_SEC);
}

/*--- callbacks that do anything ---*/
static int64_t armed_total, cancelled_total;
static void on_fire_wild(vt__timer *t) {
    on_fire(t);
    for (int i = (int)(rnd() % 3); i > 0; i--) {
        size_t k = (size_t)(rnd() % N);
        if (rnd() % 3 == 0) {
            cancelled_total += due[k] != 0;
            due[k] = 0;
            vt__timer_cancel(&wheel, &timers[k]);
        } else if (armed_total < 200000) {
            cancelled_total += due[k] != 0;
            armed_total++;
            arm(k,
                now_ns + (int64_t)(rnd() & ((UINT64_C(1) << rnd() % 40) - 1)) - VT_MS); /* past ones, too */
        }
    }
}
TEST(callbacks_arm_and_cancel_others_at_random) {
    state = test_seed();
    reset((int64_t)(rnd() % 1000) * VT_SEC);
    armed_total = cancelled_total = 0;
    for (size_t i = 0; i < N; i++) {
        timers[i].fire = on_fire_wild;
        armed_total++;
        arm(i, now_ns + (int64_t)(rnd() % (10 * (uint64_t)VT_SEC)));
    }
    for (int step = 0; step < 100000 && vt__timer_next(&wheel) != INT64_MAX; step++) {
        int64_t next = vt__timer_next(&wheel);
        now_ns = VT__MAX(now_ns, next) + (int64_t)(rnd() % (uint64_t)VT_MS);
        (void)vt__timer_advance(&wheel, now_ns, 20 + (int)(rnd() % 100));
        if (step < 40000 && step % 2) {
            size_t k = (size_t)(rnd() % N);
            cancelled_total += due[k] != 0;
            armed_total++;
            arm(k, now_ns + (int64_t)(rnd() % (uint64_t)VT_SEC));
        }
    }
    CHECK_EQ(fired_early, 0);
    CHECK(vt__timer_next(&wheel) == INT64_MAX);
    CHECK(fired_total > 10000);
    CHECK_EQ(fired_total + cancelled_total, armed_total); /* each arming ends in one way */
}

/*--- what servers do: a time-out that every request moves back ---*/
enum { CONNS = 4000 };
static struct conn {
    vt__timer timer;
    int64_t deadline, last, expired;
    bool silent;
} conns[CONNS];
static int64_t rearmed;
static void conn_fire(vt__timer *t) {
    struct conn *c = VT__CONTAINER(t, struct conn, timer);
    if (c->deadline > now_ns) {
        rearmed++;
        vt__timer_arm(&wheel, t, c->deadline);
    } else {
        c->expired = now_ns;
    }
}
TEST(a_timeout_of_30_s_that_moves_back_is_rarely_armed_again) {
    const int64_t timeout = 30 * VT_SEC, step = 5 * VT_MS;
    int64_t moved = 0;
    state = test_seed();
    reset(1000 * VT_SEC);
    rearmed = 0;
    for (int i = 0; i < CONNS; i++) {
        conns[i] = (struct conn){.last = now_ns, .deadline = now_ns + timeout};
        vt__timer_init(&conns[i].timer, conn_fire);
        vt__timer_lazy(&wheel, &conns[i].timer, conns[i].deadline);
    }
    for (int64_t end = now_ns + 100 * VT_SEC; now_ns < end;) {
        now_ns += step;
        for (int k = 0; k < 20; k++) { /* each connection is used once a second */
            struct conn *c = &conns[rnd() % CONNS];
            if (c->silent || c->expired) continue;
            if (rnd() % 500 == 0) c->silent = true;
            c->last = now_ns;
            c->deadline = now_ns + timeout;
            vt__timer_lazy(&wheel, &c->timer, c->deadline);
            moved++;
        }
        while (!vt__timer_advance(&wheel, now_ns, 100)) continue;
        if (now_ns < end) continue;
        for (int i = 0; i < CONNS; i++) {
            const struct conn *c = &conns[i];
            int64_t latest = c->last + timeout + step + 2 * (INT64_C(1) << VT__TIMER_SHIFT);
            CHECK(!c->expired || (c->expired >= c->last + timeout && c->expired <= latest));
            CHECK(c->expired || latest >= now_ns);
        }
    }
    CHECK(moved > 200000);
    CHECK(rearmed * 100 <= moved * 5); /* three in a hundred, about */
}

TEST(what_a_wheel_says_of_the_next_deadline_is_never_late) {
    const int64_t tick = INT64_C(1) << VT__TIMER_SHIFT;
    state = test_seed();
    for (int round = 0; round < 2000; round++) { /* one entry, woken when the wheel says, however far it is */
        reset((int64_t)(rnd() >> rnd() % 40 >> 2));
        int64_t at = now_ns + (int64_t)(rnd() >> rnd() % 46 >> 2);
        arm(0, at);
        for (int hops = 0; due[0]; hops++) {
            int64_t next = vt__timer_next(&wheel);
            REQUIRE(next < INT64_MAX && hops < 3000);
            REQUIRE(next > now_ns || hops == 0);
            now_ns = VT__MAX(next, now_ns);
            CHECK(vt__timer_advance(&wheel, now_ns, 10));
        }
        CHECK_EQ(fired_early, 0);
        CHECK(now_ns <= at + 2 * tick);
    }
}
