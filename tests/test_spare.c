/* Domains that change hands: workers that stall, and the threads that stand in for them. */
/* tsan */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
static int no_threads; /* so many calls fail */
static int refused_threads;
static int test_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg) {
    if (__atomic_load_n(&no_threads, __ATOMIC_SEQ_CST)) {
        __atomic_add_fetch(&refused_threads, 1, __ATOMIC_SEQ_CST);
        return 11; /* EAGAIN */
    }
    return pthread_create(t, a, fn, arg);
}
#define pthread_create test_create
static int no_memory; /* so do these */
static int refused_memory;
static void *test_realloc(void *p, size_t n) {
    if (!__atomic_load_n(&no_memory, __ATOMIC_SEQ_CST)) return realloc(p, n);
    __atomic_add_fetch(&refused_memory, 1, __ATOMIC_SEQ_CST);
    return NULL;
}
#define VTHTTP_REALLOC(p, n) test_realloc(p, n)
#define VTHTTP_FREE(p) free(p)
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

#include <errno.h>
#include <sys/syscall.h>

/* Blocks the OS thread for real, until the test lets it go. */
static int gate[2];
static int entered;
static void gate_make(void) {
    if (pipe(gate) < 0) abort();
    entered = 0;
}
static void gate_open(int n) {
    for (int i = 0; i < n; i++)
        if (write(gate[1], "", 1) != 1) abort();
}
static int blocks(void *arg) {
    char c;
    (void)arg;
    __atomic_add_fetch(&entered, 1, __ATOMIC_SEQ_CST);
    while (read(gate[0], &c, 1) < 0) continue;
    return 0;
}
/* Not by a vthread: it might have started on a thread that blocks. */
static void *opener(void *n) {
    while (__atomic_load_n(&entered, __ATOMIC_SEQ_CST) < (int)(intptr_t)n) usleep(1000);
    usleep(5000); /* the last to start have blocked for long as well */
    gate_open((int)(intptr_t)n);
    return NULL;
}
enum { MANY = 20 };
static int many_main(void *arg) {
    vt_task *t[MANY];
    pthread_t os;
    (void)arg;
    gate_make();
    pthread_create(&os, NULL, opener, (void *)(intptr_t)MANY);
    for (int i = 0; i < MANY; i++) t[i] = vt_async_any(blocks, NULL);
    for (int i = 0; i < MANY; i++) CHECK_EQ(vt_await(t[i], NULL), 0);
    pthread_join(os, NULL);
    return 0;
}
/* All block an OS thread each, at the same time, on one worker. */
TEST(b111_raw_blocking_on_one_worker) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 2};
    CHECK_EQ(vt_run(&cfg, many_main, NULL), 0);
}

/* What waits behind a row of them waits for the first to be noticed, and little longer for each of the others. */
TEST(b111_a_row_of_blocking_calls_is_noticed_soon) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 800};
    int64_t took = INT64_MAX; /* of a few times: a busy machine may add that much of its own */
    for (int i = 0; i < 5 && took >= 4 * VT_SEC; i++) {
        int64_t begun = vt_now();
        CHECK_EQ(vt_run(&cfg, many_main, NULL), 0);
        took = vt_now() - begun;
        CHECK(took > 800 * VT_MS);
    }
    CHECK(took < 4 * VT_SEC); /* a quarter of the time for each: 4.6 s at least */
}

/* What idles goes at once. */
static int run_hasty(const vt_cfg *cfg, vt_fn *fn) {
    int64_t idle_ns = vt__spare_g.idle_ns;
    vt__spare_g.idle_ns = VT_MS;
    int r = vt_run(cfg, fn, NULL);
    vt__spare_g.idle_ns = idle_ns;
    return r;
}

/* Spares that have gone are made again, and what they block on at once is seen like any other stall. */
static int again_main(void *arg) {
    (void)many_main(arg);
    for (int i = 0; vt__spare_count() > 0 && i < 50000; i++) (void)vt_sleep_ms(1);
    CHECK_EQ(vt__spare_count(), 0);
    CHECK(vt__sched_nthrs() > 2);
    return many_main(arg);
}
TEST(b111_spares_that_have_gone_come_again) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 2};
    CHECK_EQ(run_hasty(&cfg, again_main), 0);
}

/* The last virtual thread of all ends on a spare, when the worker has its domain back and sleeps. */
static void *one_by_one(void *arg) {
    (void)arg;
    while (__atomic_load_n(&entered, __ATOMIC_SEQ_CST) < 2) usleep(1000);
    gate_open(1); /* for who came first: the worker */
    usleep(50000);
    gate_open(1);
    return NULL;
}
static int leaves_main(void *os) {
    gate_make();
    pthread_create((pthread_t *)os, NULL, one_by_one, NULL);
    for (int i = 0; i < 2; i++) CHECK_EQ(vt_go_any(blocks, NULL), 0);
    return 0;
}
TEST(b111_the_last_ends_on_a_spare) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 2};
    pthread_t os;
    CHECK_EQ(vt_run(&cfg, leaves_main, &os), 0);
    pthread_join(os, NULL);
}

/*--- where the others are ---*/
#define SEEN(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define SAY(x, v) __atomic_store_n(&(x), (v), __ATOMIC_SEQ_CST)
static int64_t handoffs(void) {
    vt_stats st;
    vt_stats_get(&st);
    return st.handoffs;
}
static bool driven_by_spare(void) {
    return vt__sched_driver(vt__sched_g.doms[0])->index >= vt__sched_g.ndoms;
}

/* The last vthread ends on a spare with mail in its box, while the worker sleeps: the runtime ends all the same. */
static void no_news(vt__dom *dom, vt__poll_msg *m) { (void)dom, (void)m; }
static vt__poll_msg news = {.fn = no_news};
static int ends_with_mail(void *arg) {
    (void)arg;
    CHECK(vt_worker() >= vt__sched_g.ndoms);
    CHECK(vt_worker() < vt_worker_count());
    CHECK_EQ(vt_worker_count(), 1 + 5);
    gate_open(1);
    while (driven_by_spare() || !(SEEN(vt__sched_g.thrs[0]->sleeping) & VT__SCHED_ENDLESS))
        (void)vt_sleep_ms(1);
    vt__sched_tell(vt__sched_thr(), &news);
    return 0;
}
static int last_main(void *arg) {
    (void)arg;
    gate_make();
    (void)vt_go(blocks, NULL); /* on the worker, also if a spare has the domain already */
    (void)vt_go_any(ends_with_mail, NULL);
    return 0;
}
TEST(b111_the_last_ends_on_a_spare_that_has_mail) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 2, .max_spares = 5};
    CHECK_EQ(vt_run(&cfg, last_main, NULL), 0);
}

/* A spare that wakes while it is being called, before it has its domain, waits for that. The vthread is the monitor here, which
 * looks once an hour. */
static int ran_on;
static vt__poll_msg early = {.fn = no_news};
static int says_where(void *arg) {
    (void)arg;
    SAY(ran_on, vt__sched_thr()->index);
    return 0;
}
static int call_main(void *arg) {
    vt__thr *me = vt__sched_thr();
    (void)arg;
    CHECK_EQ(vt__spare_handoff(me), 0);
    while (SEEN(vt__sched_g.nthrs) < 2 || SEEN(vt__sched_g.thrs[1]->spare) != VT__SPARE_IDLE)
        (void)vt_sleep_ms(1);
    vt__sched_dom_lock(me->dom);
    vt__thr *t = vt__spare_get(me->dom);
    CHECK(t == vt__sched_g.thrs[1]);
    vt__sched_tell(t, &early); /* wakes it */
    while (SEEN(t->spare) == VT__SPARE_CALLED) usleep(1000);
    usleep(5000); /* it must not do anything now, so there is nothing to wait for */
    CHECK_EQ(SEEN(t->spare), VT__SPARE_BUSY);
    SAY(me->dom->owner, t);
    vt__sched_dom_unlock(me->dom);
    (void)vt_go_any(says_where, NULL);
    for (int i = 0; i < 10000 && SEEN(ran_on) < 0; i++) usleep(1000);
    return SEEN(ran_on);
}
TEST(b111_a_spare_that_wakes_before_it_has_its_domain) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 3600000};
    ran_on = -1;
    CHECK_EQ(vt_run(&cfg, call_main, NULL), 1);
}

/* What a vthread has to do in a domain that its thread has lost is done by who drives it; the thread, which may be ahead of its
 * share of the CPU, never has the lock. */
static struct {
    const vt__thr *by;
    bool locked;
    int calls;
} errand;
static bool runs_errand(void *arg) {
    (void)arg;
    errand.by = vt__sched_tls;
    errand.locked = SEEN(vt__sched_g.doms[0]->lock) == 1;
    return ++errand.calls > 1;
}
static int errand_main(void *arg) {
    vt__thr *me = vt__sched_thr();
    (void)arg;
    CHECK(!vt__sched_at(me->dom, runs_errand, NULL));
    CHECK(errand.by == me && errand.locked);
    SAY(me->rested, vt_now() + 3600 * VT_SEC); /* it does not take its domain back */
    CHECK_EQ(vt__spare_handoff(me), 0);
    CHECK(vt__sched_at(me->dom, runs_errand, NULL));
    CHECK(errand.by && errand.by == vt__sched_g.thrs[1] && errand.locked);
    CHECK(vt__sched_thr() == me && driven_by_spare());
    SAY(me->rested, 0);
    return errand.calls;
}
TEST(b111_who_lost_a_domain_leaves_what_is_to_be_done_there_to_its_driver) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 3600000, .max_spares = 1};
    memset(&errand, 0, sizeof errand);
    CHECK_EQ(vt_run(&cfg, errand_main, NULL), 2);
}

/* A spare's OS thread cannot be made: said once, no spare is reported as stalled, and tried again. */
static int logged_stalls, logged_none, logged_deadlocks;
static void count_log(void *ctx, int level, const char *line) {
    (void)ctx, (void)level;
    if (strstr(line, "has not switched")) __atomic_add_fetch(&logged_stalls, 1, __ATOMIC_SEQ_CST);
    if (strstr(line, "no spare thread is left")) __atomic_add_fetch(&logged_none, 1, __ATOMIC_SEQ_CST);
    if (strstr(line, "deadlock")) __atomic_add_fetch(&logged_deadlocks, 1, __ATOMIC_SEQ_CST);
}
static void log_begin(void) {
    logged_stalls = logged_none = logged_deadlocks = 0;
    vt__watch_g.logs = 0; /* those of tests before */
    vt_log_set(count_log, NULL, VT_LOG_WARN);
}
static int lets_go(void *arg) {
    (void)arg;
    gate_open(1);
    return 0;
}
/* No OS threads from now on, and no spare from before: on a busy machine what began may have stalled already. */
static void threads_end(void) {
    SAY(no_threads, 1);
    while (vt__spare_count() > 0) (void)vt_sleep_ms(1);
}
/* Before the threads return, of one that blocks: what stalled before it is not counted. */
static int none_then, stalls_then;
static int blocks_counted(void *arg) {
    SAY(refused_threads, 0);
    SAY(logged_none, 0);
    SAY(logged_stalls, 0);
    return blocks(arg);
}
static void *threads_return(void *arg) {
    (void)arg;
    while (!SEEN(entered) || SEEN(refused_threads) < 5 || !SEEN(logged_none)) usleep(1000);
    none_then = SEEN(logged_none);
    stalls_then = SEEN(logged_stalls);
    SAY(no_threads, 0);
    return NULL;
}
static int no_thread_main(void *arg) {
    pthread_t os;
    (void)arg;
    gate_make();
    if (pthread_create(&os, NULL, threads_return, NULL)) abort();
    threads_end();
    vt_task *a = vt_async_any(blocks_counted, NULL), *b = vt_async_any(lets_go, NULL);
    CHECK_EQ(vt_await(a, NULL), 0);
    CHECK_EQ(vt_await(b, NULL), 0);
    pthread_join(os, NULL);
    return handoffs() > 0;
}
TEST(b111_no_os_thread_for_a_spare) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 50};
    log_begin();
    CHECK_EQ(run_hasty(&cfg, no_thread_main), 1);
    CHECK_EQ(none_then, 1);
    CHECK_EQ(stalls_then, 1);
    vt_log_set(NULL, NULL, 0);
}
/* ... and one that never was is not waited for before a deadlock is looked for. */
static void *threads_stay_away(void *arg) {
    (void)arg;
    while (!SEEN(logged_none)) usleep(1000);
    gate_open(1);
    while (!SEEN(logged_deadlocks)) usleep(1000);
    SAY(no_threads, 0);
    vt_stop();
    return NULL;
}
static int wait_for_ever(void *arg) {
    vt_chan *c = vt_chan_new(1, 0, 0);
    (void)arg;
    CHECK_EQ(vt_chan_recv(c, NULL), -ECANCELED);
    vt_chan_free(c);
    return 0;
}
static int never_was_main(void *arg) {
    pthread_t os;
    (void)arg;
    gate_make();
    if (pthread_create(&os, NULL, threads_stay_away, NULL)) abort();
    threads_end();
    (void)vt_await(vt_async_any(blocks, NULL), NULL);
    (void)wait_for_ever(NULL);
    pthread_join(os, NULL);
    return 0;
}
TEST(b111_deadlock_beside_a_spare_that_never_was) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 2, .deadlock = 1};
    log_begin();
    CHECK_EQ(run_hasty(&cfg, never_was_main), 0);
    CHECK_EQ(logged_deadlocks, 1);
    vt_log_set(NULL, NULL, 0);
}

/* Nor is there memory for one: as above. */
static int rich;
static void *memory_returns(void *arg) {
    (void)arg;
    while (!SEEN(rich) && (SEEN(refused_memory) < 5 || !SEEN(logged_none))) usleep(1000);
    SAY(no_memory, 0);
    return NULL;
}
static int blocks_poor(void *arg) {
    SAY(no_memory, 1);                /* nobody else is awake to ask for any */
    SAY(rich, vt__sched_nthrs() > 1); /* what a spare of before had serves again: in vain */
    return SEEN(rich) ? 0 : blocks(arg);
}
static int no_memory_main(void *arg) {
    pthread_t os;
    (void)arg;
    gate_make();
    SAY(refused_memory, 0);
    SAY(rich, 0);
    if (pthread_create(&os, NULL, memory_returns, NULL)) abort();
    vt_task *a = vt_async_any(blocks_poor, NULL), *b = vt_async_any(lets_go, NULL);
    CHECK_EQ(vt_await(a, NULL), 0);
    CHECK_EQ(vt_await(b, NULL), 0);
    pthread_join(os, NULL);
    return SEEN(rich) ? -1 : handoffs() > 0;
}
TEST(b111_no_memory_for_a_spare) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 50};
    int r;
    do {
        log_begin();
        r = vt_run(&cfg, no_memory_main, NULL);
    } while (r == -1);
    CHECK_EQ(r, 1);
    CHECK_EQ(logged_none, 1);
    vt_log_set(NULL, NULL, 0);
}

/* As many block as there may be threads; the next ones begin as those come back, and all are served. */
enum { CAP_SPARES = 3, CAP_JOBS = 12 };
static void *cap_opener(void *arg) {
    (void)arg;
    for (int n = 1 + CAP_SPARES; n <= CAP_JOBS; n++) {
        while (SEEN(entered) < n || (n == 1 + CAP_SPARES && !SEEN(logged_none))) usleep(1000);
        usleep(20000); /* what must not be has no event to wait for */
        CHECK_EQ(SEEN(entered), n);
        gate_open(1);
    }
    gate_open(CAP_SPARES);
    return NULL;
}
static int cap_main(void *arg) {
    vt_task *t[CAP_JOBS];
    pthread_t os;
    (void)arg;
    gate_make();
    if (pthread_create(&os, NULL, cap_opener, NULL)) abort();
    for (int i = 0; i < CAP_JOBS; i++) t[i] = vt_async_any(blocks, NULL);
    for (int i = 0; i < CAP_JOBS; i++) CHECK_EQ(vt_await(t[i], NULL), 0);
    pthread_join(os, NULL);
    CHECK_EQ(SEEN(entered), CAP_JOBS);
    CHECK_EQ(vt__sched_nthrs(), 1 + CAP_SPARES);
    return 0;
}
TEST(b111_as_many_spares_as_may_be) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 2, .max_spares = CAP_SPARES};
    log_begin();
    CHECK_EQ(vt_run(&cfg, cap_main, NULL), 0);
    CHECK(logged_none >= 1);
    vt_log_set(NULL, NULL, 0);
}

/* The runtime is stopped while a spare drives: what is on the spare ends at once, what is on the worker when that is back. */
static int stopped_here, stopped_there, stop_began;
static int waits_there(void *arg) {
    (void)arg;
    CHECK(vt__sched_thr()->index >= vt__sched_g.ndoms);
    __atomic_add_fetch(&stop_began, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(vt_sleep_until(VT_NONE), -ECANCELED);
    __atomic_add_fetch(&stopped_there, 1, __ATOMIC_SEQ_CST);
    return 0;
}
static int waits_here(void *arg) {
    (void)arg;
    CHECK_EQ(vt_sleep_until(VT_NONE), -ECANCELED);
    SAY(stopped_here, 1);
    return 0;
}
static void *stopper(void *arg) {
    (void)arg;
    while (SEEN(stop_began) < 2) usleep(1000);
    vt_stop();
    while (SEEN(stopped_there) < 2) usleep(1000);
    CHECK_EQ(SEEN(stopped_here), 0);
    gate_open(1);
    return NULL;
}
static int stop_main(void *os) {
    gate_make();
    if (pthread_create((pthread_t *)os, NULL, stopper, NULL)) abort();
    CHECK_EQ(vt_go(waits_here, NULL), 0);
    CHECK_EQ(vt_yield(), 0);
    CHECK_EQ(vt_go(blocks, NULL), 0);
    for (int i = 0; i < 2; i++) CHECK_EQ(vt_go_any(waits_there, NULL), 0);
    CHECK_EQ(vt_sleep_until(VT_NONE), -ECANCELED);
    return 7;
}
TEST(b111_stop_while_a_spare_drives) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 2};
    pthread_t os;
    stopped_here = stopped_there = stop_began = 0;
    CHECK_EQ(vt_run(&cfg, stop_main, &os), 7);
    pthread_join(os, NULL);
}
/* ... or before there is a spare: what begins on it is cancelled as well. */
static int stopped_early(void *arg) {
    (void)arg;
    CHECK(vt__sched_thr()->index >= vt__sched_g.ndoms);
    CHECK_EQ(vt_cancelled(), -ECANCELED);
    CHECK_EQ(vt_sleep_until(VT_NONE), -ECANCELED);
    gate_open(1);
    return 0;
}
static void *early_stopper(void *arg) {
    vt__thr *worker = vt__sched_g.thrs[0];
    (void)arg;
    while (SEEN(entered) < 1) usleep(1000);
    vt_stop();
    while (vt__spare_handoff(worker) < 0) usleep(1000); /* in the monitor's place, which looks once an hour */
    return NULL;
}
static int early_main(void *os) {
    gate_make();
    if (pthread_create((pthread_t *)os, NULL, early_stopper, NULL)) abort();
    CHECK_EQ(vt_go(blocks, NULL), 0);
    CHECK_EQ(vt_go_any(stopped_early, NULL), 0);
    CHECK_EQ(vt_sleep_until(VT_NONE), -ECANCELED);
    return 7;
}
TEST(b111_stop_before_there_is_a_spare) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 3600000};
    pthread_t os;
    CHECK_EQ(vt_run(&cfg, early_main, &os), 7);
    pthread_join(os, NULL);
}

/* With none, nothing else runs until the gate opens. */
static int none_order;
static void *opens_later(void *arg) {
    (void)arg;
    while (!SEEN(logged_stalls)) usleep(1000);
    CHECK_EQ(SEEN(none_order), 0);
    gate_open(1);
    return NULL;
}
static int notes_order(void *arg) {
    (void)arg;
    SAY(none_order, 1);
    return 0;
}
static int none_main(void *arg) {
    pthread_t os;
    (void)arg;
    gate_make();
    if (pthread_create(&os, NULL, opens_later, NULL)) abort();
    vt_task *a = vt_async_any(blocks, NULL), *b = vt_async_any(notes_order, NULL);
    CHECK_EQ(vt_await(a, NULL), 0);
    CHECK_EQ(vt_await(b, NULL), 0);
    pthread_join(os, NULL);
    return (int)handoffs();
}
TEST(b111_no_spares_by_configuration) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 2, .max_spares = VT_NONE};
    log_begin();
    CHECK_EQ(vt_run(&cfg, none_main, NULL), 0);
    CHECK_EQ(logged_none, 0);
    vt_log_set(NULL, NULL, 0);
}

/* A spare ends a select's wait on a descriptor while a channel has ended the select: the select waits for it. */
static int in_wake, select_left;
static void slow_wake(struct vt__vth *v) {
    if ((uintptr_t)v & 1) {
        SAY(in_wake, 1);
        gate_open(1);
        for (int i = 0; i < 10000 && !SEEN(select_left) && !SEEN(vt__sched_g.doms[0]->waiters); i++)
            usleep(1000);
        CHECK(!SEEN(select_left)); /* what v tells of is gone */
    }
    vt__sched_wake(v);
}
static vt_chan *sel_chan;
static int sel_pipe[2];
static int sel_sender(void *arg) {
    char c = 7;
    (void)blocks(arg);
    CHECK_EQ(vt_chan_send(sel_chan, &c), 0);
    return 0;
}
static int sel_spare(void *arg) {
    (void)arg;
    while (SEEN(entered) < 1)
        (void)vt_sleep_ms(1); /* the select waits by then, also if a spare began early */
    CHECK_EQ(write(sel_pipe[1], "", 1), 1);
    return 0;
}
static int sel_main(void *arg) {
    char got = 0;
    (void)arg;
    gate_make();
    if (pipe(sel_pipe) < 0) abort();
    sel_chan = vt_chan_new(1, 1, 0);
    vt__poll_up.wake = slow_wake;
    vt_task *b = vt_async(sel_sender, NULL), *w = vt_async_any(sel_spare, NULL);
    vt_case c[2] = {{.fd = sel_pipe[0], .events = VT_READ}, {.recv = sel_chan, .value = &got}};
    CHECK_EQ(vt_select(c, 2), 1);
    SAY(select_left, 1);
    CHECK_EQ(got, 7);
    CHECK_EQ(SEEN(in_wake), 1);
    CHECK_EQ(vt_await(b, NULL), 0);
    CHECK_EQ(vt_await(w, NULL), 0);
    vt_chan_free(sel_chan);
    close(sel_pipe[0]), close(sel_pipe[1]);
    return 0;
}
TEST(b111_a_spare_ends_a_wait_of_a_select_that_is_over) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 2};
    in_wake = select_left = 0;
    CHECK_EQ(vt_run(&cfg, sel_main, NULL), 0);
}

/*--- who gets a domain, and when; the vthread is the monitor, as above ---*/
/* n new ones, which idle. */
static void idle_spares(int n) {
    vt__dom *d = vt__sched_thr()->dom;
    for (int i = 0; i < n; i++) {
        vt__thr *t = vt__spare_find_free();
        CHECK(t && vt__spare_launch(t, d, VT__SPARE_BUSY));
        while (SEEN(t->spare) != VT__SPARE_IDLE) (void)vt_sleep_ms(1);
    }
}
static int longest_main(void *arg) {
    vt__dom *d = vt__sched_thr()->dom;
    vt__thr **spare = vt__sched_g.thrs + 1;
    int64_t now = vt_now();
    (void)arg;
    idle_spares(3);
    SAY(spare[0]->rested, now - 10);
    SAY(spare[1]->rested, now - 20);
    SAY(spare[2]->goes, now); /* now, that is, and might come late */
    vt__sched_dom_lock(d);
    CHECK(vt__spare_get(d) == spare[1]);
    CHECK(vt__spare_get(d) == spare[0]);
    CHECK(!vt__spare_rested(d));
    CHECK(vt__spare_get(d) == spare[3]); /* rather a new one, as long as there may be more */
    CHECK(vt__spare_get(d) == spare[2]);
    CHECK(!vt__spare_get(d));
    vt__sched_dom_unlock(d);
    return 0;
}
TEST(the_spare_that_has_idled_longest_is_called) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 3600000, .max_spares = 4};
    CHECK_EQ(vt_run(&cfg, longest_main, NULL), 0);
}

/* Where starts take long the driver gives its domain away before each, until that turns out to be for nothing. */
static int behind_it; /* 1: ran while the one before blocked; 2: the test has lost its patience */
static int runs_behind(void *arg) {
    int no = 0;
    (void)arg;
    (void)__atomic_compare_exchange_n(&behind_it, &no, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return 0;
}
static void *opens_behind(void *arg) {
    int no = 0;
    (void)arg;
    while (SEEN(entered) < 1) usleep(1000);
    for (int i = 0; i < 20000 && !SEEN(behind_it); i++) usleep(1000);
    (void)__atomic_compare_exchange_n(&behind_it, &no, 2, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    usleep(2000); /* a long turn in any case */
    gate_open(1);
    return NULL;
}
static int is_short(void *arg) { return (void)arg, 0; }
static int lend_main(void *arg) {
    vt__dom *d = vt__sched_thr()->dom;
    pthread_t os;
    (void)arg;
    gate_make();
    idle_spares(1);
    SAY(behind_it, 0);
    SAY(d->lends, 1);
    if (pthread_create(&os, NULL, opens_behind, NULL)) abort();
    vt_task *a = vt_async_any(blocks, NULL), *b = vt_async_any(runs_behind, NULL);
    CHECK_EQ(vt_await(a, NULL), 0);
    CHECK_EQ(vt_await(b, NULL), 0);
    pthread_join(os, NULL);
    CHECK_EQ(SEEN(behind_it), 1);
    CHECK(handoffs() >= 1);
    for (int i = 0; i < 100000 && SEEN(d->lends); i++)
        CHECK_EQ(vt_await(vt_async_any(is_short, NULL), NULL), 0);
    CHECK_EQ(SEEN(d->lends), 0);
    int64_t before = handoffs();
    CHECK_EQ(vt_await(vt_async_any(is_short, NULL), NULL), 0);
    CHECK_EQ(handoffs(), before);
    return 0;
}
TEST(b111_a_driver_lends_its_domain_before_a_start) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 3600000};
    CHECK_EQ(vt_run(&cfg, lend_main, NULL), 0);
}
/* ... each start that took long counts for two that were short. */
static int takes_long(void *arg) {
    (void)arg;
    usleep(2000);
    return 0;
}
static int counts_main(void *arg) {
    vt__thr *me = vt__sched_thr(), *spare;
    (void)arg;
    idle_spares(1);
    spare = vt__sched_g.thrs[1];
    SAY(me->dom->lends, 1);
    CHECK_EQ(vt_await(vt_async_any(takes_long, NULL), NULL), 0);
    CHECK_EQ(SEEN(me->dom->lends), 3);
    while (SEEN(spare->spare) != VT__SPARE_IDLE) (void)vt_sleep_ms(1);
    SAY(spare->goes, vt_now()); /* to none that would come late */
    int64_t before = handoffs();
    CHECK_EQ(vt_await(vt_async_any(takes_long, NULL), NULL), 0);
    CHECK_EQ(handoffs(), before);
    CHECK_EQ(SEEN(me->dom->lends), 3);
    return 0;
}
TEST(what_was_lent_for_something_is_counted) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 3600000};
    CHECK_EQ(vt_run(&cfg, counts_main, NULL), 0);
}
/* ... and the monitor begins with it. */
static int row_main(void *arg) {
    vt__dom *d = vt__sched_thr()->dom;
    (void)many_main(arg);
    CHECK(SEEN(d->lends) > 0);
    return 0;
}
TEST(a_row_of_handoffs_makes_drivers_lend) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 400};
    CHECK_EQ(vt_run(&cfg, row_main, NULL), 0);
}

/* ... and makes spares for them to lend to: as many as stand in, and no more than there may be. */
static int idle_now(void) {
    int n = 0;
    for (int i = 1; i < vt__sched_nthrs(); i++) n += SEEN(vt__sched_g.thrs[i]->spare) == VT__SPARE_IDLE;
    return n;
}
static bool idle_reaches(int n) {
    for (int i = 0; i < 20000 && idle_now() != n; i++) (void)vt_sleep_ms(1);
    return idle_now() == n;
}
static int reserve_main(void *max) {
    vt__thr *me = vt__sched_thr();
    int most = (int)(intptr_t)max;
    vt__spare_reserve(me->dom, VT__SPARE_RESERVE_MAX);
    CHECK_EQ(vt__sched_nthrs(), 1);            /* nobody stands in */
    SAY(me->rested, vt_now() + 3600 * VT_SEC); /* it does not take its domain back */
    CHECK_EQ(vt__spare_handoff(me), 0);
    for (int i = 0; i < 3; i++) {
        vt__spare_reserve(vt__sched_g.doms[0], VT__SPARE_RESERVE_MAX);
        CHECK(idle_reaches(most - 1));
        CHECK_EQ(vt__sched_nthrs(), 1 + most);
    }
    CHECK(driven_by_spare()); /* nobody called them */
    SAY(me->rested, 0);
    CHECK(idle_reaches(most));
    CHECK(!driven_by_spare());
    SAY(me->dom->lends, 1);
    CHECK_EQ(vt_await(vt_async_any(takes_long, NULL), NULL), 0);
    CHECK_EQ(SEEN(vt__sched_g.doms[0]->lends), 3); /* lent */
    return 0;
}
TEST(drivers_that_lend_find_spares_in_reserve) {
    for (int most = 1; most <= 2; most++) {
        vt_cfg cfg = {.workers = 1, .stall_ms = 3600000, .max_spares = most};
        CHECK_EQ(vt_run(&cfg, reserve_main, (void *)(intptr_t)most), 0);
    }
}

/* A worker that is to rest leaves its domain where it is until then, and sleeps. */
static int rests_main(void *arg) {
    vt__thr *me = vt__sched_thr();
    int64_t until = vt_now() + VT_SEC / 2;
    (void)arg;
    SAY(me->rested, until);
    CHECK_EQ(vt__spare_handoff(me), 0);
    (void)vt_sleep_ms(1);
    bool rests = driven_by_spare();
    CHECK(rests || vt_now() >= until);
    while (driven_by_spare()) (void)vt_sleep_ms(1);
    CHECK(vt_now() >= until);
    return 0;
}
TEST(a_worker_rests_before_it_takes_its_domain_back) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 3600000};
    CHECK_EQ(vt_run(&cfg, rests_main, NULL), 0);
}
/* ... also when no vthread is left on it, and then it takes it back. */
static int looks_at_worker(void *arg) {
    vt__thr *worker = vt__sched_g.thrs[0];
    (void)arg;
    CHECK(vt__sched_thr() != worker);
    while (!(SEEN(worker->sleeping) & VT__SCHED_FUTEX)) (void)vt_sleep_ms(1);
    int64_t passes = SEEN(worker->passes);
    (void)vt_sleep_ms(200);
    CHECK(SEEN(worker->passes) - passes < 5);
    while (driven_by_spare()) (void)vt_sleep_ms(1); /* nobody wakes it */
    CHECK(vt_now() >= SEEN(worker->rested));
    return 0;
}
static int rests_alone_main(void *arg) {
    vt__thr *me = vt__sched_thr();
    (void)arg;
    SAY(me->rested, vt_now() + VT_SEC);
    (void)vt_go_any(looks_at_worker, NULL);
    CHECK_EQ(vt__spare_handoff(me), 0);
    while (SEEN(me->dom->any_count)) usleep(1000);
    return 0;
}
TEST(a_worker_rests_alone) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 3600000};
    CHECK_EQ(vt_run(&cfg, rests_alone_main, NULL), 0);
}
/* ... and is called when there is nobody else. */
static int called_main(void *arg) {
    vt__thr *me = vt__sched_thr();
    pthread_t os;
    (void)arg;
    gate_make();
    SAY(behind_it, 0);
    SAY(me->rested, vt_now() + 3600 * VT_SEC);
    while (!driven_by_spare()) usleep(1000); /* by the monitor, this time */
    (void)vt_sleep_ms(1);
    if (pthread_create(&os, NULL, opens_behind, NULL)) abort();
    vt_task *a = vt_async_any(blocks, NULL), *b = vt_async_any(runs_behind, NULL);
    CHECK_EQ(vt_await(b, NULL), 0);
    CHECK_EQ(vt_await(a, NULL), 0);
    pthread_join(os, NULL);
    return SEEN(behind_it);
}
TEST(a_worker_that_rests_is_called_when_no_spare_is_left) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 5, .max_spares = 1};
    log_begin();
    CHECK_EQ(vt_run(&cfg, called_main, NULL), 1);
    vt_log_set(NULL, NULL, 0);
}

/*--- everything at once, from a seed ---*/
enum { STRESS_BORN_MAX = 300 };
static struct {
    int64_t end;
    uint64_t seed;
    int alive, port, http_port;
    vt_server *server;
    vt_chan *chan;
    vt_sock *listener;
} stress;
static bool stress_over(void) { return vt_now() >= stress.end; }
static int stress_echo(void *arg) {
    vt_sock *s = arg;
    char buf[64];
    int64_t n;
    while ((n = vt_read(s, buf, sizeof buf)) > 0)
        if (vt_write(s, buf, (size_t)n) < 0) break;
    vt_sock_close(s);
    return 0;
}
static int stress_accept(void *arg) {
    vt_sock *s;
    (void)arg;
    while (vt_accept(stress.listener, &s) >= 0)
        if (vt_go_any(stress_echo, s) < 0) vt_sock_close(s);
    vt_sock_close(stress.listener);
    return 0;
}
static void stress_socket(uint64_t *r) {
    char addr[32], out[48], in[48];
    vt_sock *s;
    snprintf(addr, sizeof addr, "127.0.0.1:%d", stress.port);
    if (vt_dial(&s, addr, NULL) < 0) return;
    for (int i = (int)(test_rand(r) % 4); i >= 0; i--) {
        memset(out, (int)(test_rand(r) & 127), sizeof out);
        if (vt_write(s, out, sizeof out) < 0) break;
        if (test_rand(r) % 8 == 0) usleep(1500);
        int64_t n = vt_read_full(s, in, sizeof in);
        if (n < (int64_t)sizeof in) break; /* cancelled */
        CHECK_MEM(in, sizeof in, out, sizeof out);
    }
    vt_sock_close(s);
}
static int stress_handler(vt_req *req, vt_res *res) {
    int64_t us = strtoll(vt_req_segment(req).ptr, NULL, 10);
    if (us % 2) (void)vt_sleep(us * 1000);
    else usleep((unsigned)us);
    return vt_res_text(res, 200, "done");
}
static void stress_request(uint64_t *r) {
    char text[128];
    vt_sock *s;
    snprintf(text, sizeof text, "127.0.0.1:%d", stress.http_port);
    if (vt_dial(&s, text, NULL) < 0) return;
    for (int i = (int)(test_rand(r) % 4); i >= 0; i--) {
        int n = snprintf(text, sizeof text, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n",
                         (int)(test_rand(r) % 3000));
        if (vt_write(s, text, (size_t)n) < 0 || test_rand(r) % 8 == 0) break; /* gone before the answer */
        size_t have = 0;
        for (int64_t got = 1; got > 0 && !memmem(text, have, "done", 4); have += (size_t)VT__MAX(got, 0)) {
            if (have > 64) memmove(text, text + have - 8, 8), have = 8;
            got = vt_read(s, text + have, 32);
            CHECK(got != 0); /* the server outlives its clients */
        }
        if (vt_cancelled() < 0) break;
        if (test_rand(r) % 2) (void)vt_sleep((int64_t)(test_rand(r) % 2000000)); /* parked there meanwhile */
    }
    vt_sock_close(s);
}
/* A pipe and a channel; who comes first is anybody's guess. */
static int stress_feeds(void *fd) {
    if (vt_sleep((int64_t)(intptr_t)fd % 7 * 100000) == 0)
        CHECK(write((int)(intptr_t)fd, "x", 1) == 1 || errno == EPIPE);
    close((int)(intptr_t)fd);
    return 0;
}
static void stress_select(uint64_t *r) {
    int p[2], value = 0;
    if (pipe(p) < 0) return;
    if (vt_go_any(stress_feeds, (void *)(intptr_t)p[1]) < 0) close(p[1]);
    vt_case c[3] = {{.fd = p[0], .events = VT_READ}, {.recv = stress.chan, .value = &value}};
    c[2].at = vt_now() + (int64_t)(test_rand(r) % 2000000);
    (void)vt_select(c, 3);
    if (test_rand(r) % 2) (void)vt_wait_fd(p[0], VT_READ, vt_now() + 5 * VT_MS);
    close(p[0]);
}
static int stress_child(void *arg);
static void stress_step(uint64_t *r) {
    int value = (int)test_rand(r);
    void *child = (void *)(uintptr_t)test_rand(r);
    bool room = __atomic_load_n(&stress.alive, __ATOMIC_SEQ_CST) < STRESS_BORN_MAX;
    switch (test_rand(r) % 14) {
    case 0: (void)vt_sleep((int64_t)(test_rand(r) % 3000000)); break;
    case 1: (void)vt_chan_send_until(stress.chan, &value, vt_now() + VT_MS); break;
    case 2: (void)vt_chan_recv_until(stress.chan, &value, vt_now() + VT_MS); break;
    case 3: stress_socket(r); break;
    case 10:
    case 11: stress_request(r); break;
    case 4: stress_select(r); break;
    case 5: usleep((unsigned)(test_rand(r) % 4000)); break; /* raw */
    case 6:
        if (room) (void)vt_go(stress_child, child);
        break;
    case 7:
        if (room) (void)vt_go_any(stress_child, child);
        break;
    case 8:
    case 9: {
        if (!room) break;
        vt_task *t = test_rand(r) % 2 ? vt_async_any(stress_child, child) : vt_async(stress_child, child);
        if (test_rand(r) % 2) (void)vt_sleep((int64_t)(test_rand(r) % 1000000));
        if (test_rand(r) % 2) vt_cancel(t);
        if (test_rand(r) % 2 || vt_await(t, NULL) < 0) vt_task_free(t);
        break;
    }
    default: (void)vt_yield();
    }
}
static int stress_child(void *arg) {
    uint64_t r = stress.seed ^ (uint64_t)(uintptr_t)arg;
    long tid = syscall(SYS_gettid);
    __atomic_add_fetch(&stress.alive, 1, __ATOMIC_SEQ_CST);
    for (int n = 3 + (int)(test_rand(&r) % 20); n > 0 && !stress_over() && vt_cancelled() == 0; n--) {
        errno = n;
        stress_step(&r);
        CHECK_EQ(syscall(SYS_gettid), tid);
    }
    __atomic_sub_fetch(&stress.alive, 1, __ATOMIC_SEQ_CST);
    return 0;
}
static void stress_line(void *ctx, const char *line) { (void)ctx, (void)line; }
static int stress_main(void *arg) {
    uint64_t r = stress.seed;
    (void)arg;
    stress.chan = vt_chan_new(sizeof(int), 4, 0);
    CHECK_EQ(vt_listen(&stress.listener, "127.0.0.1:0", NULL), 0);
    stress.port = vt_sock_port(stress.listener);
    vt_task *door = vt_async(stress_accept, NULL);
    vt_server_cfg cfg = {.addr = "127.0.0.1:0", .no_signals = 1};
    stress.server = vt_server_new(&cfg);
    vt_server_get(stress.server, "/{us}", stress_handler);
    CHECK_EQ(vt_server_start(stress.server), 0);
    stress.http_port = vt_server_port(stress.server, 0);
    while (!stress_over()) {
        if (__atomic_load_n(&stress.alive, __ATOMIC_SEQ_CST) < STRESS_BORN_MAX / 2)
            (void)vt_go_any(stress_child, (void *)(uintptr_t)test_rand(&r));
        if (test_rand(&r) % 64 == 0) (void)vt_dump_to(stress_line, NULL, VT_DUMP_NO_TRACE);
        (void)vt_sleep((int64_t)(test_rand(&r) % 1000000));
    }
    while (__atomic_load_n(&stress.alive, __ATOMIC_SEQ_CST)) (void)vt_sleep_ms(1);
    vt_server_stop(stress.server);
    CHECK_EQ(vt_server_wait(stress.server), 0);
    vt_server_free(stress.server);
    vt_cancel(door);
    CHECK_EQ(vt_await(door, NULL), 0);
    CHECK(handoffs() > 0);
    return 0;
}
static void stress_ignore(void *ctx, int level, const char *line) { (void)ctx, (void)level, (void)line; }
TEST(b111_stress) {
    const char *s = getenv("VT_STRESS_S");
    vt_cfg cfg = {.workers = 3, .stall_ms = 1};
    int64_t idle = vt__spare_g.idle_ns;
    memset(&stress, 0, sizeof stress);
    signal(SIGPIPE, SIG_IGN);
    stress.seed = test_seed();
    stress.end = vt_now() + (s ? atoi(s) : 2) * VT_SEC;
    vt__spare_g.idle_ns = 3 * VT_MS; /* OS threads come and go */
    vt_log_set(stress_ignore, NULL, VT_LOG_ERROR);
    CHECK_EQ(vt_run(&cfg, stress_main, NULL), 0);
    vt_chan_free(stress.chan);
    vt_log_set(NULL, NULL, 0);
    vt__spare_g.idle_ns = idle;
}

/* Burns CPU until all of its kind do, or the test's patience ends. */
enum { CROWD = 80 };
static int burning;
static int burns(void *arg) {
    (void)arg;
    __atomic_add_fetch(&burning, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&burning, __ATOMIC_SEQ_CST) < CROWD)
        for (volatile int i = 0; i < 10000; i++) continue; /* TSan's atomics have locks */
    return 0;
}
static int64_t cpu_used(void) {
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * VT_SEC + ts.tv_nsec;
}
static int crowd_main(void *arg) {
    vt_task *t[CROWD];
    (void)arg;
    burning = 0;
    for (int i = 0; i < CROWD; i++) t[i] = vt_async_any(burns, NULL);
    for (int i = 0; i < CROWD; i++) CHECK_EQ(vt_await(t[i], NULL), 0);
    return 0;
}
/* On one CPU the n-th of them gets an n-th of it: to see each use 5 ms before the next may begin would cost 16 s of CPU. */
TEST(the_last_of_many_that_burn_cpu_begins_soon) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 20, .max_spares = CROWD};
    cpu_set_t before, one;
    CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    int64_t cpu = cpu_used();
    CHECK_EQ(vt_run(&cfg, crowd_main, NULL), 0);
    CHECK(cpu_used() - cpu < 10 * VT_SEC);
    CHECK_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

/* The system's slice of a thread, 0 when the kernel does not tell (before 6.12). */
static uint64_t slice_of(int tid) {
    uint64_t a[6] = {0};
    return syscall(SYS_sched_getattr, tid, a, sizeof a, 0) < 0 ? 0 : a[3];
}
static uint64_t slice(void) { return slice_of(0); }
static void *slice_of_child(void *out) {
    *(uint64_t *)out = slice();
    return NULL;
}
static uint64_t usual_slice;
static int burn_until[2]; /* each burns until its own is set */
static int burns_on(void *flag) {
    while (!SEEN(*(int *)flag)) continue;
    return 0;
}
/* Until another spare drives in its place it has a short slice. 1: it begins on the worker, which is for who waits for it, or
 * gets no CPU before it loses the domain. */
static int burns_while_it_drives(void *flag) {
    bool was_short = false;
    vt__thr *t = vt__sched_self()->thr;
    while (t->index && vt__sched_driver(t->dom) == t) was_short |= slice() == VT__SPARE_SLICE_NS;
    while (was_short && slice() != usual_slice) continue;
    SAY(burn_until[0], was_short ? 1 : 2); /* 2: it does not go on */
    return was_short ? burns_on(flag) : 1;
}
/* On the worker, which has its domain back while another burns; what it makes is as usual. */
static void drives_again(void) {
    uint64_t child = 0;
    pthread_t os;
    CHECK_EQ(vt__sched_thr()->index, 0);
    while (slice() != VT__SPARE_SLICE_NS) (void)vt_yield();
    pthread_create(&os, NULL, slice_of_child, &child);
    pthread_join(os, NULL);
    CHECK_EQ(child, usual_slice);
}
static bool lends_never(vt__thr *t) { return (void)t, false; }
static int slice_main(void *arg) {
    bool (*lend)(vt__thr *) = vt__sched_up.lend;
    (void)arg;
    usual_slice = slice();
    vt__sched_up.lend = lends_never;                 /* who is lent for begins without the domain */
    for (int round = 0; usual_slice && round < 3;) { /* of spares that are new, and that idled */
        int retry = 0;
        while (slice() != usual_slice) (void)vt_yield();
        SAY(burn_until[0], 0);
        SAY(burn_until[1], 0);
        vt_task *a = vt_async_any(burns_on, &burn_until[0]);
        vt_task *b = vt_async_any(burns_while_it_drives, &burn_until[1]);
        CHECK_EQ(vt_await(a, NULL), 0);
        if (SEEN(burn_until[0]) == 1) drives_again();
        SAY(burn_until[1], 1);
        CHECK_EQ(vt_await(b, &retry), 0);
        round += !retry;
    }
    vt__sched_up.lend = lend;
    return 0;
}
TEST(who_drives_beside_vthreads_that_burn_cpu_has_a_short_slice) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 5};
    CHECK_EQ(vt_run(&cfg, slice_main, NULL), 0);
    CHECK_EQ(slice(), usual_slice);
}

/* Beside vthreads that burn CPU a spare that has not waited for a turn since it was at work does so before it idles. */
static int earn_main(void *arg) {
    uint64_t usual = slice();
    int64_t spent = -1;
    (void)arg;
    idle_spares(1);
    CHECK_EQ(SEEN(vt__sched_g.thrs[1]->spent), -VT__SPARE_SPENT_NS); /* beside none */
    for (int i = 2; usual && spent < 0 && i < 40; i++) {
        SAY(vt__sched_g.rest_ns, 1); /* until the monitor looks */
        idle_spares(1);
        spent = SEEN(vt__sched_g.thrs[i]->spent);
        CHECK_EQ(slice_of(SEEN(vt__sched_g.thrs[i]->tid)), usual);
    }
    CHECK_EQ(spent >= 0, usual != 0);
    SAY(vt__sched_g.rest_ns, 0);
    return 0;
}
TEST(a_spare_waits_for_its_turn_before_it_idles) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 3600000};
    CHECK_EQ(vt_run(&cfg, earn_main, NULL), 0);
}

/* Who has burnt CPU beside others is to rest; drivers lend meanwhile. */
static int burns_beside(void *arg) {
    vt__thr *t = vt__sched_thr();
    (void)arg;
    while (SEEN(vt__sched_g.rest_ns) < 2 * VT__WATCH_AHEAD_MS * VT_MS || vt__sched_driver(t->dom) == t ||
           SEEN(vt__sched_g.doms[0]->lends) < VT__SCHED_LENDS)
        continue;
    SAY(burn_until[0], vt__sched_thr()->index == 0 ? 1 : 2);
    return 0;
}
static int beside_main(void *arg) {
    vt__thr *me = vt__sched_thr();
    (void)arg;
    for (int tries = 0; tries < 100; tries++) {
        SAY(burn_until[0], 0);
        SAY(burn_until[1], 0);
        vt_task *a = vt_async_any(burns_beside, NULL), *b = vt_async_any(burns_on, &burn_until[1]);
        CHECK_EQ(vt_await(a, NULL), 0);
        (void)vt_sleep_ms(1); /* a round ends */
        bool rests = SEEN(me->rested) > 0;
        SAY(burn_until[1], 1);
        CHECK_EQ(vt_await(b, NULL), 0);
        if (SEEN(burn_until[0]) == 1) return rests; /* else it had begun on a spare */
        while (driven_by_spare()) (void)vt_sleep_ms(1);
    }
    return -1;
}
TEST(who_has_burnt_cpu_beside_others_rests) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 5};
    CHECK_EQ(vt_run(&cfg, beside_main, NULL), 1);
}

/* Drivers lend for vthreads that park, too, and those keep the spare: enough must be left for the next that burns CPU. */
static int parks_on(void *flag) {
    while (!SEEN(*(int *)flag)) (void)vt_sleep_ms(20);
    return 0;
}
static void *starts_many(void *busy) {
    while (SEEN(vt__sched_g.rest_ns) == 0) vt__plat_sleep(VT_MS);
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(vt_go_any(parks_on, &burn_until[0]), 0);
        vt__plat_sleep(2 * VT_MS);
    }
    for (int i = 1; i < vt__sched_nthrs(); i++) {
        uint32_t is = SEEN(vt__sched_g.thrs[i]->spare);
        *(int *)busy += is == VT__SPARE_BUSY || is == VT__SPARE_CALLED;
    }
    SAY(burn_until[0], 1);
    return NULL;
}
static int parked_main(void *busy) {
    pthread_t os;
    SAY(burn_until[0], 0);
    vt_task *burner = vt_async_any(burns_on, &burn_until[0]);
    pthread_create(&os, NULL, starts_many, busy);
    CHECK_EQ(vt_await(burner, NULL), 0);
    pthread_join(os, NULL);
    return 0;
}
TEST(vthreads_that_park_leave_spares_for_those_that_burn_cpu) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 20, .max_spares = 32};
    int busy = 0;
    CHECK_EQ(vt_run(&cfg, parked_main, &busy), 0);
    CHECK(busy > 0);
    CHECK(busy <= 24); /* 10 that park are half of what is left; a few do not just then, or stall */
}

/* One that burns CPU behind a wait in which it lost its domain counts as well. */
static int blocks_and_burns(void *flag) {
    (void)blocks(NULL);
    return burns_on(flag);
}
/* Of whoever drives: on a busy machine that need not stay the same. */
static bool driver_is_short(void) {
    return slice_of(SEEN(vt__sched_driver(vt__sched_g.doms[0])->tid)) == VT__SPARE_SLICE_NS;
}
static int until_short(void *arg) {
    (void)arg;
    while (driver_is_short()) (void)vt_sleep_ms(1); /* a new thread is, at first */
    gate_open(1);
    while (!driver_is_short()) (void)vt_sleep_ms(1);
    SAY(burn_until[0], 1);
    return 0;
}
static int late_burner_main(void *arg) {
    (void)arg;
    gate_make();
    SAY(burn_until[0], 0);
    if (!slice()) return 0;
    vt_task *a = vt_async_any(blocks_and_burns, &burn_until[0]), *b = vt_async_any(until_short, NULL);
    CHECK_EQ(vt_await(b, NULL), 0);
    CHECK_EQ(vt_await(a, NULL), 0);
    return 0;
}
TEST(one_that_burns_cpu_behind_a_wait_is_seen) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 5};
    CHECK_EQ(vt_run(&cfg, late_burner_main, NULL), 0);
}

/* While hand-offs follow each other the monitor waits for less and less; a while behind the last it is patient again. */
TEST(handoffs_in_a_row_come_faster) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 400};
    CHECK_EQ(vt_run(&cfg, many_main, NULL), 0);
    CHECK(vt__watch_g.row >= 2); /* the last came soon, as those before */
    vt__sched_g.cfg.stall_ms = 20;
    vt__watch_g.handed = VT_SEC;
    const int64_t in_a_row[] = {5000, 2500, 1250, 1250};
    for (int row = 0; row < 4; row++) {
        vt__watch_g.row = row;
        CHECK_EQ(vt__watch_patience(VT_SEC + 19 * VT_MS), in_a_row[row] * 1000);
        CHECK_EQ(vt__watch_patience(VT_SEC + 20 * VT_MS), 5 * VT_MS);
        CHECK_EQ(vt__watch_patience(VT_SEC + 200 * VT_MS), 20 * VT_MS);
    }
    vt__sched_g.cfg.stall_ms = 2; /* not for less than a millisecond because of a row */
    vt__watch_g.row = 2;
    CHECK_EQ(vt__watch_patience(VT_SEC), VT_MS / 2);
    vt__sched_g.cfg.stall_ms = 8;
    CHECK_EQ(vt__watch_patience(VT_SEC), VT_MS);
}
