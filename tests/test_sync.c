/* tsan */
/* valgrind */
/* Mutex, condition, semaphore, wait group, once: alone on one worker, in contention on several, and VT_LOCAL. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "rt.h"

#include <sys/resource.h>
#include <sys/wait.h>

/* How many wait in a queue. */
static int queued(uint32_t *flags, uint32_t *spin, vt__waitq *q) {
    int n = 0;
    vt__sync_lock(flags, spin);
    for (vt__waiter *w = q->head; w; w = w->next) n++;
    vt__sync_unlock(flags, spin);
    return n;
}
#define QUEUED(o) queued(&(o)->flags, &(o)->spin, &(o)->q)
/* Waits until n are in it. */
#define SETTLE(o, n)                                                                                         \
    do {                                                                                                     \
        for (int64_t end_ = vt_now() + 20 * VT_SEC; QUEUED(o) != (n) && vt_now() < end_;) vt_sleep(50000);   \
        CHECK_EQ(QUEUED(o), (n));                                                                            \
    } while (0)

/* Who came when: each waiter writes its number down when it goes on. */
static struct {
    vt_mutex m;
    vt_cond c;
    vt_sem s;
    vt_wg g;
    int order[32], n;
} line;
static void line_begin(uint32_t flags) {
    memset(&line, 0, sizeof line);
    line.m.flags = line.c.flags = line.s.flags = line.g.flags = flags;
}
static void line_note(void *arg) {
    line.order[__atomic_fetch_add(&line.n, 1, __ATOMIC_SEQ_CST)] = (int)(intptr_t)arg;
}
static void line_check(int n) {
    CHECK_EQ(line.n, n);
    for (int i = 0; i < n; i++) CHECK_EQ(line.order[i], i);
}
/* On one worker, without atomics, on several. */
static void everywhere(vt_fn *main_fn) {
    bool any = false;
    line_begin(0);
    CHECK_EQ(run_on(1, main_fn, &any), 0);
    line_begin(VT_LOCAL);
    CHECK_EQ(run_on(1, main_fn, &any), 0);
    any = true;
    line_begin(0);
    CHECK_EQ(run_on(3, main_fn, &any), 0);
}

/*--- without a vthread ---*/
TEST(what_would_wait_needs_a_vthread) {
    vt_mutex m = {0};
    vt_cond c = {0};
    vt_sem s = {.count = 1};
    vt_wg g = {0};
    CHECK_EQ(vt_mutex_lock(&m), -EPERM);
    CHECK_EQ(vt_mutex_lock_until(&m, 1), -EPERM);
    CHECK_EQ(vt_mutex_trylock(&m), -EPERM);
    CHECK_EQ(vt_mutex_unlock(&m), -EPERM);
    CHECK_EQ(vt_cond_wait(&c, &m), -EPERM);
    vt_cond_signal(&c);
    vt_cond_broadcast(&c);
    CHECK_EQ(vt_sem_acquire(&s), -EPERM);
    CHECK_EQ(vt_sem_try(&s), 0); /* does not wait */
    CHECK_EQ(vt_sem_try(&s), -EAGAIN);
    vt_sem_release(&s, 2);
    CHECK_EQ(s.count, 2);
    CHECK_EQ(vt_wg_add(&g, 2), 0);
    CHECK_EQ(vt_wg_wait(&g), -EPERM);
    CHECK_EQ(vt_wg_done(&g), 0);
    CHECK_EQ(vt_wg_done(&g), 0);
    CHECK_EQ(vt_wg_done(&g), -EINVAL);
}

/*--- mutex ---*/
static int lock_in_turn(void *arg) {
    CHECK_EQ(vt_mutex_lock(&line.m), 0);
    line_note(arg);
    vt_yield();
    CHECK_EQ(vt_mutex_unlock(&line.m), 0);
    return 0;
}
static int lock_soon(void *arg) {
    (void)arg;
    int r = vt_mutex_lock_until(&line.m, vt_now() + 2 * VT_MS);
    if (r == 0) CHECK_EQ(vt_mutex_unlock(&line.m), 0);
    return r;
}
static int lock_ever(void *arg) {
    (void)arg;
    int r = vt_mutex_lock_until(&line.m, VT_NONE);
    if (r == 0) CHECK_EQ(vt_mutex_unlock(&line.m), 0);
    return r;
}
static int try_it(void *arg) {
    (void)arg;
    CHECK_EQ(vt_mutex_unlock(&line.m), -EPERM); /* another's */
    return vt_mutex_trylock(&line.m);
}
static int mutex_main(void *arg) {
    bool any = *(bool *)arg;
    vt_task *t[10];
    CHECK_EQ(vt_mutex_unlock(&line.m), -EPERM); /* nobody's */
    CHECK_EQ(vt_mutex_trylock(&line.m), 0);
    CHECK_EQ(vt_mutex_lock(&line.m), -EDEADLK);
    CHECK_EQ(vt_mutex_lock_until(&line.m, 1), -EDEADLK);
    CHECK_EQ(vt_mutex_trylock(&line.m), -EBUSY);
    CHECK_EQ(result(spawn(try_it, 0, any)), -EBUSY);
    for (int i = 0; i < 8; i++) {
        t[i] = spawn(lock_in_turn, i, any);
        SETTLE(&line.m, i + 1);
    }
    t[8] = spawn(lock_soon, 0, any);
    CHECK_EQ(result(t[8]), -ETIMEDOUT);
    t[8] = spawn(lock_ever, 0, any);
    t[9] = spawn(lock_ever, 0, any);
    SETTLE(&line.m, 10);
    vt_cancel(t[8]);
    CHECK_EQ(result(t[8]), -ECANCELED);
    CHECK_EQ(vt_mutex_unlock(&line.m), 0);                 /* handed over: */
    if (!any) CHECK_EQ(vt_mutex_trylock(&line.m), -EBUSY); /* on other workers they may all be done */
    CHECK_EQ(vt_mutex_lock(&line.m), 0);                   /* ... so we come last */
    line_check(8);
    CHECK(vt_task_done(t[9]) || any);
    CHECK_EQ(vt_mutex_unlock(&line.m), 0);
    for (int i = 0; i < 8; i++) CHECK_EQ(result(t[i]), 0);
    CHECK_EQ(result(t[9]), 0);
    CHECK(!line.m.held && !line.m.owner && !line.m.q.head && !line.m.q.tail);
    return 0;
}
TEST(a_mutex_is_handed_over_in_order) { everywhere(mutex_main); }

static int lock_cancelled(void *arg) {
    (void)arg;
    CHECK_EQ(vt_sleep_ms(20000), -ECANCELED);
    CHECK_EQ(vt_mutex_lock_until(&line.m, 0), -ECANCELED);
    int r = vt_mutex_lock(&line.m); /* always gets it */
    CHECK_EQ(vt_mutex_unlock(&line.m), 0);
    return r;
}
static int uncancellable_main(void *arg) {
    (void)arg;
    CHECK_EQ(vt_mutex_lock(&line.m), 0);
    vt_deadline_set(vt_now() + VT_MS);
    vt_task *t = vt_async(lock_cancelled, NULL), *u = vt_async(lock_in_turn, NULL);
    vt_deadline_set(0);
    vt_yield();
    vt_cancel(t);
    SETTLE(&line.m, 2);
    vt_cancel(u);
    vt_sleep(2 * VT_MS); /* and past the deadline */
    CHECK_EQ(QUEUED(&line.m), 2);
    CHECK_EQ(vt_mutex_unlock(&line.m), 0);
    CHECK_EQ(result(t), 0);
    CHECK_EQ(result(u), 0);
    return 0;
}
TEST(a_plain_lock_is_not_cancelled) {
    line_begin(0);
    CHECK_EQ(run_on(1, uncancellable_main, NULL), 0);
}

/* Who locks and unlocks without end never has to wait: others have their turn all the same, and not while it holds the
 * lock, or they would wait for it time and again. */
static struct {
    vt_mutex m;
    bool plain, stop;
} hogged;
static int hog_lock(void *arg) {
    (void)arg;
    for (int64_t end = vt_now() + 10 * VT_SEC; !hogged.stop && vt_now() < end;) {
        CHECK_EQ(hogged.plain ? vt_mutex_lock(&hogged.m) : vt_mutex_lock_until(&hogged.m, 0), 0);
        CHECK_EQ(vt_mutex_unlock(&hogged.m), 0);
    }
    return hogged.stop ? 0 : -ETIMEDOUT;
}
static int hog_main(void *arg) {
    int busy = 0;
    (void)arg;
    hogged.stop = false;
    vt_task *t = vt_async(hog_lock, NULL);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(vt_yield(), 0);
        int r = vt_mutex_trylock(&hogged.m);
        if (r == 0) vt_mutex_unlock(&hogged.m);
        busy += r != 0;
    }
    CHECK_EQ(busy, 0);
    hogged.stop = true;
    return result(t);
}
TEST(who_locks_without_end_starves_nobody) {
    for (int i = 0; i < 4; i++) {
        memset(&hogged, 0, sizeof hogged);
        hogged.plain = i & 1;
        hogged.m.flags = i & 2 ? VT_LOCAL : 0;
        CHECK_EQ(run_on(1, hog_main, NULL), 0);
    }
}

/* Counters that only the lock protects. */
static struct {
    vt_mutex m;
    int64_t a, b;
    int inside;
} shared;
enum { CONTENDERS = 24, TURNS = SLOW ? 60 : 1500 };
static int contend(void *arg) {
    uint64_t rng = (uint64_t)(uintptr_t)arg * 77 + test_seed();
    int64_t mine = 0;
    for (int i = 0; i < TURNS; i++) {
        uint64_t x = test_rand(&rng);
        int r = x % 4 == 0   ? vt_mutex_lock_until(&shared.m, vt_now() + (int64_t)(x >> 8) % 50000)
                : x % 4 == 1 ? vt_mutex_trylock(&shared.m)
                             : vt_mutex_lock(&shared.m);
        if (r < 0) {
            CHECK(r == (x % 4 ? -EBUSY : -ETIMEDOUT));
            if (x % 4 == 1) vt_yield();
            continue;
        }
        CHECK_EQ(shared.inside++, 0);
        shared.a++;
        if (x >> 8 & 1) vt_yield();
        shared.b++;
        mine++;
        shared.inside--;
        CHECK_EQ(vt_mutex_unlock(&shared.m), 0);
    }
    return (int)mine;
}
static int contention_main(void *arg) {
    bool any = *(bool *)arg;
    vt_task *t[CONTENDERS];
    int64_t sum = 0;
    for (int i = 0; i < CONTENDERS; i++) t[i] = spawn(contend, i, any);
    for (int i = 0; i < CONTENDERS; i++) sum += result(t[i]);
    CHECK(sum > CONTENDERS * TURNS / 3);
    CHECK_EQ(shared.a, sum);
    CHECK_EQ(shared.b, sum);
    CHECK(!shared.m.held && !shared.m.q.head);
    return 0;
}
TEST(a_mutex_excludes) {
    bool any = false;
    memset(&shared, 0, sizeof shared);
    CHECK_EQ(run_on(1, contention_main, &any), 0);
    memset(&shared, 0, sizeof shared);
    shared.m.flags = VT_LOCAL;
    CHECK_EQ(run_on(1, contention_main, &any), 0);
    any = true;
    memset(&shared, 0, sizeof shared);
    CHECK_EQ(run_on(4, contention_main, &any), 0);
}

/*--- condition ---*/
static int cond_wait_noting(void *arg) {
    CHECK_EQ(vt_mutex_lock(&line.m), 0);
    int r = vt_cond_wait(&line.c, &line.m);
    if (r == 0) line_note(arg);
    CHECK_EQ(vt_mutex_unlock(&line.m), 0); /* held again, whatever the result */
    return r;
}
static int cond_main(void *arg) {
    bool any = *(bool *)arg;
    vt_task *t[6];
    CHECK_EQ(vt_cond_wait(&line.c, &line.m), -EPERM); /* not locked by us */
    vt_cond_signal(&line.c);                          /* for nobody: forgotten */
    for (int i = 0; i < 6; i++) {
        t[i] = spawn(cond_wait_noting, i, any);
        SETTLE(&line.c, i + 1);
    }
    CHECK_EQ(vt_mutex_lock(&line.m), 0);
    CHECK_EQ(vt_cond_wait_until(&line.c, &line.m, vt_now() + VT_MS), -ETIMEDOUT);
    CHECK_EQ(vt_mutex_unlock(&line.m), 0);
    for (int i = 0; i < 3; i++) {
        vt_cond_signal(&line.c); /* one each, the oldest */
        CHECK_EQ(result(t[i]), 0);
        line_check(i + 1);
    }
    vt_cancel(t[3]);
    CHECK_EQ(result(t[3]), -ECANCELED);
    line.order[line.n++] = 3;
    vt_cond_broadcast(&line.c);
    CHECK_EQ(result(t[4]), 0);
    CHECK_EQ(result(t[5]), 0);
    CHECK_EQ(line.n, 6);
    CHECK_EQ(QUEUED(&line.c), 0);
    return 0;
}
TEST(a_condition_wakes_the_oldest_or_all) { everywhere(cond_main); }

static int late_cancel_main(void *arg) {
    (void)arg;
    vt_task *a = vt_async(cond_wait_noting, (void *)0), *b = vt_async(cond_wait_noting, (void *)1);
    SETTLE(&line.c, 2);
    vt_cond_signal(&line.c);
    vt_cancel(a); /* it has its signal: it must not lose it, nor give it to b */
    CHECK_EQ(result(a), 0);
    CHECK_EQ(QUEUED(&line.c), 1);
    vt_cancel(b);
    vt_cond_signal(&line.c); /* b is cancelled, so this one is for nobody */
    CHECK_EQ(result(b), -ECANCELED);
    return 0;
}
TEST(a_signal_is_not_lost_to_a_cancel) {
    line_begin(0);
    CHECK_EQ(run_on(1, late_cancel_main, NULL), 0);
}

/* A bounded queue: every item is taken once. Waits time out now and then. */
static struct {
    vt_mutex m;
    vt_cond full, empty;
    int items[8], n, producers;
    int64_t sum_in, sum_out;
} tray;
enum { ITEMS = SLOW ? 200 : 4000 };
static int produce(void *arg) {
    for (int i = 0; i < ITEMS; i++) {
        CHECK_EQ(vt_mutex_lock(&tray.m), 0);
        while (tray.n == 8) (void)vt_cond_wait_until(&tray.full, &tray.m, i % 3 ? VT_NONE : vt_now() + 20000);
        tray.items[tray.n++] = i + (int)(intptr_t)arg;
        tray.sum_in += i + (int)(intptr_t)arg;
        vt_cond_signal(&tray.empty);
        CHECK_EQ(vt_mutex_unlock(&tray.m), 0);
    }
    CHECK_EQ(vt_mutex_lock(&tray.m), 0);
    if (--tray.producers == 0) vt_cond_broadcast(&tray.empty);
    CHECK_EQ(vt_mutex_unlock(&tray.m), 0);
    return 0;
}
static int consume(void *arg) {
    int got = 0;
    (void)arg;
    for (;; got++) {
        CHECK_EQ(vt_mutex_lock(&tray.m), 0);
        while (tray.n == 0 && tray.producers)
            (void)vt_cond_wait_until(&tray.empty, &tray.m, got % 3 ? VT_NONE : vt_now() + 20000);
        bool over = tray.n == 0;
        if (!over) tray.sum_out += tray.items[--tray.n];
        vt_cond_signal(&tray.full);
        CHECK_EQ(vt_mutex_unlock(&tray.m), 0);
        if (over) return got;
    }
}
static int tray_main(void *arg) {
    vt_task *p[3], *c[3];
    int got = 0;
    (void)arg;
    memset(&tray, 0, sizeof tray);
    tray.producers = 3;
    for (int i = 0; i < 3; i++) c[i] = spawn(consume, i, true), p[i] = spawn(produce, i * 1000, true);
    for (int i = 0; i < 3; i++) CHECK_EQ(result(p[i]), 0);
    for (int i = 0; i < 3; i++) got += result(c[i]);
    CHECK_EQ(got, 3 * ITEMS);
    CHECK_EQ(tray.sum_in, tray.sum_out);
    CHECK_EQ(tray.n, 0);
    return 0;
}
TEST(no_signal_is_lost_between_workers) {
    CHECK_EQ(run_on(1, tray_main, NULL), 0);
    CHECK_EQ(run_on(3, tray_main, NULL), 0);
}

/*--- semaphore ---*/
static int acquire_noting(void *arg) {
    int r = vt_sem_acquire(&line.s);
    if (r == 0) line_note(arg);
    return r;
}
static int sem_main(void *arg) {
    bool any = *(bool *)arg;
    vt_task *t[8];
    CHECK_EQ(vt_sem_try(&line.s), -EAGAIN);
    CHECK_EQ(vt_sem_acquire_until(&line.s, vt_now() + VT_MS), -ETIMEDOUT);
    for (int i = 0; i < 8; i++) {
        t[i] = spawn(acquire_noting, i, any);
        SETTLE(&line.s, i + 1);
    }
    vt_sem_release(&line.s, 1);
    CHECK_EQ(result(t[0]), 0);
    line_check(1);
    vt_cancel(t[7]);
    CHECK_EQ(result(t[7]), -ECANCELED);
    vt_sem_release(&line.s, 9); /* six who wait, three that stay */
    CHECK_EQ(line.s.count, 3);
    for (int i = 1; i < 7; i++) CHECK_EQ(result(t[i]), 0);
    if (any) CHECK_EQ(line.n, 7);
    else line_check(7); /* in the order of their coming */
    for (int i = 0; i < 3; i++) CHECK_EQ(i % 2 ? vt_sem_try(&line.s) : vt_sem_acquire(&line.s), 0);
    CHECK_EQ(vt_sem_try(&line.s), -EAGAIN);
    for (int64_t n = 0; n >= -2; n--) CHECK_EQ(vt_sem_release(&line.s, n), -EINVAL);
    CHECK_EQ(line.s.count, 0);
    CHECK_EQ(vt_sem_release(&line.s, 1), 0);
    CHECK_EQ(vt_sem_release(&line.s, INT64_MAX), -EINVAL);
    CHECK_EQ(line.s.count, 1);
    return 0;
}
TEST(a_semaphore_serves_in_order) { everywhere(sem_main); }

static struct {
    vt_sem s;
    int inside, most;
} gate;
enum { PERMITS = 5 };
static int pass_gate(void *arg) {
    uint64_t rng = (uint64_t)(uintptr_t)arg * 31 + test_seed();
    for (int i = 0; i < TURNS; i++) {
        uint64_t x = test_rand(&rng);
        int r = x % 3 == 0   ? vt_sem_acquire_until(&gate.s, vt_now() + (int64_t)(x >> 8) % 50000)
                : x % 3 == 1 ? vt_sem_try(&gate.s)
                             : vt_sem_acquire(&gate.s);
        if (r == -ECANCELED) return r;
        if (r < 0) {
            CHECK(r == (x % 3 ? -EAGAIN : -ETIMEDOUT));
            continue;
        }
        int in = __atomic_add_fetch(&gate.inside, 1, __ATOMIC_SEQ_CST);
        CHECK(in <= PERMITS);
        if (in > __atomic_load_n(&gate.most, __ATOMIC_RELAXED))
            __atomic_store_n(&gate.most, in, __ATOMIC_RELAXED);
        if (x >> 8 & 1) (void)vt_yield();
        __atomic_sub_fetch(&gate.inside, 1, __ATOMIC_SEQ_CST);
        vt_sem_release(&gate.s, 1);
    }
    return 0;
}
static int gate_main(void *arg) {
    bool any = *(bool *)arg;
    vt_task *t[CONTENDERS];
    memset(&gate, 0, sizeof gate);
    gate.s.count = PERMITS;
    for (int i = 0; i < CONTENDERS; i++) t[i] = spawn(pass_gate, i, any);
    vt_sleep(VT_MS);
    for (int i = 0; i < CONTENDERS; i += 4) vt_cancel(t[i]); /* in the middle of it */
    for (int i = 0; i < CONTENDERS; i++) {
        int r = result(t[i]);
        CHECK(r == 0 || (r == -ECANCELED && i % 4 == 0));
    }
    CHECK_EQ(gate.s.count, PERMITS); /* none lost, none made */
    CHECK(!gate.s.q.head);
    CHECK(gate.most > 1);
    return 0;
}
TEST(permits_are_conserved) {
    bool any = false;
    CHECK_EQ(run_on(1, gate_main, &any), 0);
    any = true;
    CHECK_EQ(run_on(4, gate_main, &any), 0);
}

/*--- wait group ---*/
static int wg_wait(void *arg) {
    (void)arg;
    return vt_wg_wait(&line.g);
}
static int wg_main(void *arg) {
    bool any = *(bool *)arg;
    vt_task *t[5];
    CHECK_EQ(vt_wg_wait(&line.g), 0); /* nothing to wait for */
    CHECK_EQ(vt_wg_done(&line.g), -EINVAL);
    CHECK_EQ(line.g.count, 0);
    CHECK_EQ(vt_wg_add(&line.g, 3), 0);
    CHECK_EQ(vt_wg_add(&line.g, -4), -EINVAL);
    CHECK_EQ(vt_wg_add(&line.g, INT64_MAX - 2), -EINVAL);
    CHECK_EQ(line.g.count, 3);
    CHECK_EQ(vt_wg_wait_until(&line.g, vt_now() + VT_MS), -ETIMEDOUT);
    for (int i = 0; i < 5; i++) t[i] = spawn(wg_wait, i, any);
    SETTLE(&line.g, 5);
    vt_cancel(t[2]);
    CHECK_EQ(result(t[2]), -ECANCELED);
    CHECK_EQ(vt_wg_add(&line.g, -2), 0);
    vt_sleep(VT_MS);
    CHECK_EQ(QUEUED(&line.g), 4);
    CHECK_EQ(vt_wg_done(&line.g), 0);
    for (int i = 0; i < 5; i++)
        if (i != 2) CHECK_EQ(result(t[i]), 0);
    CHECK_EQ(vt_wg_add(&line.g, 1), 0); /* used again */
    CHECK_EQ(vt_wg_done(&line.g), 0);
    CHECK_EQ(vt_wg_wait(&line.g), 0);
    return 0;
}
TEST(a_wait_group_waits_for_zero) { everywhere(wg_main); }

enum { CROWD = VT__TSAN || VTHTTP_VALGRIND ? 100 : 5000 };
static vt_wg crowd_start, crowd_end;
static int crowd_one(void *arg) {
    int *n = arg;
    CHECK_EQ(vt_wg_wait(&crowd_start), 0);
    __atomic_fetch_add(n, 1, __ATOMIC_SEQ_CST);
    return vt_wg_done(&crowd_end);
}
static void *open_the_gate(void *arg) {
    (void)arg;
    vt__plat_sleep(2 * VT_MS);
    CHECK_EQ(vt_wg_done(&crowd_start), 0); /* from a thread that is no worker */
    return NULL;
}
static int crowd_main(void *arg) {
    pthread_t os;
    int n = 0;
    (void)arg;
    vt_wg_add(&crowd_start, 1);
    vt_wg_add(&crowd_end, CROWD);
    for (int i = 0; i < CROWD; i++) CHECK_EQ(vt_go_any(crowd_one, &n), 0);
    if (pthread_create(&os, NULL, open_the_gate, NULL) != 0) return -1;
    CHECK_EQ(vt_wg_wait(&crowd_end), 0);
    CHECK_EQ(n, CROWD);
    pthread_join(os, NULL);
    return 0;
}
TEST(a_crowd_is_let_go_by_a_foreign_thread) {
    CHECK_EQ(run_on(1, crowd_main, NULL), 0);
    CHECK_EQ(run_on(3, crowd_main, NULL), 0);
}

/*--- once ---*/
static struct {
    vt_once o;
    int runs, fails, running, value;
} first;
static int make_first(void *arg) {
    (void)arg;
    CHECK_EQ(__atomic_add_fetch(&first.running, 1, __ATOMIC_SEQ_CST), 1); /* never two at once */
    vt_sleep(VT_MS / 2);
    first.runs++;
    __atomic_sub_fetch(&first.running, 1, __ATOMIC_SEQ_CST);
    if (first.fails-- > 0) return -EIO;
    first.value = 99;
    return 7; /* any success */
}
static int use_first(void *arg) {
    (void)arg;
    int r = vt_once_do(&first.o, make_first, NULL);
    if (r == 0) CHECK_EQ(first.value, 99); /* seen by all, without another lock */
    return r;
}
static int once_main(void *arg) {
    bool any = *(bool *)arg;
    vt_task *t[20];
    int bad = 0, good = 0;
    for (int i = 0; i < 20; i++) t[i] = spawn(use_first, i, any);
    for (int i = 0; i < 20; i++) {
        int r = result(t[i]);
        CHECK(r == 0 || r == -EIO);
        bad += r < 0;
        good += r == 0;
    }
    CHECK_EQ(bad, 3); /* each failed run is told to the one who ran it; the others tried again */
    CHECK_EQ(good, 17);
    CHECK_EQ(first.runs, 4);
    CHECK_EQ(vt_once_do(&first.o, make_first, NULL), 0);
    CHECK_EQ(first.runs, 4);
    return 0;
}
static int once_cancel_main(void *arg) {
    (void)arg;
    vt_task *a = vt_async(use_first, NULL), *b = vt_async(use_first, NULL);
    vt_yield();
    vt_cancel(b); /* it waits for a, and gives up */
    CHECK_EQ(result(b), -ECANCELED);
    CHECK_EQ(result(a), 0);
    CHECK_EQ(first.runs, 1);
    return 0;
}
TEST(once_runs_until_it_succeeds) {
    for (int k = 0; k < 3; k++) {
        bool any = k == 2;
        memset(&first, 0, sizeof first);
        first.fails = 3;
        first.o.flags = k == 1 ? VT_LOCAL : 0;
        CHECK_EQ(run_on(any ? 3 : 1, once_main, &any), 0);
        CHECK_EQ(vt_once_do(&first.o, make_first, NULL), 0); /* done: anybody may ask */
    }
    memset(&first, 0, sizeof first);
    CHECK_EQ(vt_once_do(&first.o, make_first, NULL), -EPERM);
    CHECK_EQ(run_on(1, once_cancel_main, NULL), 0);
}

/*--- VT_LOCAL used wrongly ---*/
static int meet(void *arg) { /* blocks its OS thread until another one is here as well */
    int *in = arg;
    __atomic_fetch_add(in, 1, __ATOMIC_SEQ_CST);
    for (int64_t end = vt_now() + 10 * VT_SEC; vt_now() < end;)
        if (__atomic_load_n(in, __ATOMIC_SEQ_CST) >= 2) break;
    static vt_sem local = {.flags = VT_LOCAL, .count = 1};
    static uint32_t turn;
    vt__plat_spin_lock(&turn); /* one after the other, from two OS threads */
    (void)vt_sem_try(&local);
    vt__plat_spin_unlock(&turn);
    return 0;
}
static int misuse_main(void *arg) {
    vt_task *t = vt_async_any(meet, arg), *u = vt_async_any(meet, arg);
    (void)result(t);
    return result(u);
}
TEST(a_local_object_on_two_threads_stops_a_debug_build) {
    if (!VT__DEBUG) SKIP("built with NDEBUG");
    char text[500] = {0};
    int p[2], status = 0;
    size_t n = 0;
    fflush(stdout);
    REQUIRE(pipe(p) == 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        int in = 0;
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        dup2(p[1], 2);
        _exit(run_on(2, misuse_main, &in) == 0 ? 0 : 1);
    }
    close(p[1]);
    for (ssize_t r; n < sizeof text - 1 && (r = read(p[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)r;
    close(p[0]);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(text, "VT_LOCAL") != NULL);
}

/* In a forked child a lock may be held by a thread that it has not got: nobody waits for that for ever. */
static int child_main(void *arg) {
    static vt_sem sem;
    int status = 0;
    (void)arg;
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) return -errno;
    if (pid == 0) {
        alarm(20);
        sem.spin = 1;
        _exit(vt_sem_release(&sem, 1) == 0 && sem.count == 1 && sem.spin == 0 ? 42 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 42);
    return 0;
}
TEST(locks_that_stayed_behind) {
    if (VT__TSAN) SKIP("fork with threads is not TSan's");
    const vt_cfg cfg = {.workers = 1, .stall_ms = VT_NONE};
    CHECK_EQ(vt_run(&cfg, child_main, NULL), 0);
}
