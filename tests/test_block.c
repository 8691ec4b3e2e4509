/* tsan */
/* The pool behind vt_blocking: side by side, bounded, withdrawn from the queue, threads that cannot be had or retire. */
#include <pthread.h>

/* Under the implementation, to refuse threads and to shorten idle time. */
static int refuse_threads, hurry;
static int test_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
static int test_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *ts);
#define pthread_create test_create
#define pthread_cond_timedwait test_timedwait
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#undef pthread_create
#undef pthread_cond_timedwait
#include "test.h"
#include "rt.h"

static int test_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg) {
    return __atomic_load_n(&refuse_threads, __ATOMIC_RELAXED) ? EAGAIN : pthread_create(t, attr, fn, arg);
}
static int test_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *ts) {
    struct timespec soon;
    if (!__atomic_load_n(&hurry, __ATOMIC_RELAXED)) return pthread_cond_timedwait(c, m, ts);
    int64_t end = vt_now() + VT_MS;
    soon.tv_sec = (time_t)(end / VT_SEC);
    soon.tv_nsec = (long)(end % VT_SEC);
    return pthread_cond_timedwait(c, m, &soon);
}

static int run_with(int workers, int max_blocking, vt_fn *fn, void *arg) {
    vt_cfg cfg = {.workers = workers, .max_blocking = max_blocking};
    return vt_run(&cfg, fn, arg);
}
static int threads_now(void) {
    pthread_mutex_lock(&vt__block_g.lock);
    int n = vt__block_g.threads;
    pthread_mutex_unlock(&vt__block_g.lock);
    return n;
}
static int queued_now(void) {
    pthread_mutex_lock(&vt__block_g.lock);
    int n = vt__block_g.queued;
    pthread_mutex_unlock(&vt__block_g.lock);
    return n;
}
/* Ends the pool's idle threads, so that each test starts without any. */
static void retire(void) {
    __atomic_store_n(&hurry, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&vt__block_g.lock);
    pthread_cond_broadcast(&vt__block_g.work); /* those in a long wait look again */
    pthread_mutex_unlock(&vt__block_g.lock);
    for (int64_t end = vt_now() + 20 * VT_SEC; threads_now() && vt_now() < end;) vt__plat_sleep(VT_MS / 4);
    CHECK_EQ(threads_now(), 0);
    __atomic_store_n(&hurry, 0, __ATOMIC_RELAXED);
}

/*--- jobs ---*/
static struct { int running, most, done, open; /* gate: jobs end when it is open */ } jobs;
static void jobs_begin(void) { memset(&jobs, 0, sizeof jobs); }
static int gated(void *arg) {
    int in = __atomic_add_fetch(&jobs.running, 1, __ATOMIC_SEQ_CST),
        most = __atomic_load_n(&jobs.most, __ATOMIC_SEQ_CST);
    while (in > most &&
           !__atomic_compare_exchange_n(&jobs.most, &most, in, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        continue;
    for (int64_t end = vt_now() + 20 * VT_SEC;
         !__atomic_load_n(&jobs.open, __ATOMIC_SEQ_CST) && vt_now() < end;)
        vt__plat_sleep(VT_MS / 10);
    __atomic_sub_fetch(&jobs.running, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&jobs.done, 1, __ATOMIC_SEQ_CST);
    return (int)(intptr_t)arg;
}
static void settle(const int *what, int n) { /* on a vthread */
    for (int64_t end = vt_now() + 20 * VT_SEC;
         __atomic_load_n(what, __ATOMIC_SEQ_CST) != n && vt_now() < end;)
        vt_sleep(VT_MS / 10);
    CHECK_EQ(__atomic_load_n(what, __ATOMIC_SEQ_CST), n);
}
static void open_gate(void) { __atomic_store_n(&jobs.open, 1, __ATOMIC_SEQ_CST); }
static int offload(void *arg) { /* the job's result, or the error of the call */
    int r = -1, e = vt_blocking(gated, arg, &r);
    return e < 0 ? e : r;
}

enum { CROWD = 40 };
static int together_main(void *arg) {
    vt_task *t[CROWD];
    (void)arg;
    jobs_begin();
    for (int i = 0; i < CROWD; i++)
        t[i] = i % 2 ? vt_async(offload, (void *)(intptr_t)i) : vt_async_any(offload, (void *)(intptr_t)i);
    settle(&jobs.running, CROWD); /* all at once, and this vthread runs meanwhile */
    open_gate();
    for (int i = 0; i < CROWD; i++) CHECK_EQ(result(t[i]), i);
    CHECK_EQ(threads_now(), CROWD);
    return 0;
}
TEST(jobs_run_side_by_side) {
    CHECK_EQ(run_with(1, 0, together_main, NULL), 0);
    CHECK_EQ(run_with(3, 0, together_main, NULL), 0); /* the threads are still there, and used */
    retire();
}

static int bounded_main(void *arg) {
    vt_task *t[CROWD];
    (void)arg;
    jobs_begin();
    for (int i = 0; i < CROWD; i++) t[i] = vt_async_any(offload, (void *)(intptr_t)i);
    settle(&jobs.running, 3);
    for (int64_t end = vt_now() + 20 * VT_SEC; queued_now() != CROWD - 3 && vt_now() < end;)
        vt_sleep(VT_MS / 10); /* the other worker may be late */
    vt_sleep(2 * VT_MS);
    CHECK_EQ(__atomic_load_n(&jobs.most, __ATOMIC_SEQ_CST), 3);
    CHECK_EQ(threads_now(), 3);
    CHECK_EQ(queued_now(), CROWD - 3);
    open_gate();
    for (int i = 0; i < CROWD; i++) CHECK_EQ(result(t[i]), i);
    CHECK_EQ(__atomic_load_n(&jobs.most, __ATOMIC_SEQ_CST), 3);
    CHECK_EQ(jobs.done, CROWD);
    return 0;
}
TEST(threads_are_bounded) {
    CHECK_EQ(run_with(1, 3, bounded_main, NULL), 0);
    retire();
    CHECK_EQ(run_with(2, 3, bounded_main, NULL), 0);
    retire();
}

static int order[CROWD], ordered;
static int note(void *arg) {
    order[ordered++] = (int)(intptr_t)arg; /* one thread */
    return 0;
}
static int offload_note(void *arg) { return vt_blocking(note, arg, NULL); }
static int order_main(void *arg) {
    vt_task *t[CROWD], *first;
    (void)arg;
    jobs_begin();
    ordered = 0;
    first = vt_async(offload, NULL);
    settle(&jobs.running, 1);
    for (int i = 0; i < CROWD; i++) t[i] = vt_async(offload_note, (void *)(intptr_t)i);
    vt_yield();
    open_gate();
    CHECK_EQ(result(first), 0);
    for (int i = 0; i < CROWD; i++) CHECK_EQ(result(t[i]), 0);
    for (int i = 0; i < CROWD; i++) CHECK_EQ(order[i], i);
    return 0;
}
TEST(the_queue_is_first_come_first_served) {
    CHECK_EQ(run_with(1, 1, order_main, NULL), 0);
    retire();
}

static int cancel_main(void *arg) {
    (void)arg;
    jobs_begin();
    vt_task *begun = vt_async(offload, (void *)7);
    settle(&jobs.running, 1);
    vt_task *a = vt_async_any(offload, (void *)1), *b = vt_async(offload, (void *)2);
    vt_task *c = vt_async(offload, (void *)4);
    for (int64_t end = vt_now() + 20 * VT_SEC; queued_now() < 3 && vt_now() < end;) vt_sleep(50000);
    vt_deadline_set(vt_now() + 2 * VT_MS);
    vt_task *late = vt_async(offload, (void *)3);
    vt_deadline_set(0);
    vt_cancel(a);
    vt_cancel(begun); /* is waited for */
    CHECK_EQ(result(a), -ECANCELED);
    CHECK_EQ(result(late), -ETIMEDOUT);
    vt_sleep(VT_MS);
    CHECK(!vt_task_done(begun) && !vt_task_done(b));
    open_gate();
    CHECK_EQ(result(begun), 7);
    CHECK_EQ(result(b), 2);
    CHECK_EQ(result(c), 4);
    CHECK_EQ(__atomic_load_n(&jobs.done, __ATOMIC_SEQ_CST), 3); /* those that were withdrawn never ran */
    vt_task *cancelled = vt_async(offload, (void *)5);
    vt_cancel(cancelled); /* before it starts */
    CHECK_EQ(result(cancelled), -ECANCELED);
    CHECK_EQ(__atomic_load_n(&jobs.done, __ATOMIC_SEQ_CST), 3);
    return 0;
}
TEST(what_waits_is_withdrawn_what_has_begun_is_waited_for) {
    CHECK_EQ(run_with(1, 1, cancel_main, NULL), 0);
    CHECK_EQ(run_with(2, 1, cancel_main, NULL), 0);
    retire();
}

static int looks_around(void *arg) {
    CHECK_EQ(vt_on_vthread(), 0);
    CHECK_EQ(vt_worker(), -1);
    CHECK_EQ(vt_yield(), -EPERM);
    CHECK_EQ(vt_blocking(gated, NULL, NULL), -EPERM);
    CHECK_EQ(vt_go(gated, NULL), 0); /* the gate is open */
    errno = EDOM;
    return *(int *)arg;
}
static int facts_main(void *arg) {
    int seven = -7, r = 0;
    (void)arg;
    jobs_begin();
    open_gate();
    errno = EBUSY;
    CHECK_EQ(vt_blocking(looks_around, &seven, &r), 0);
    CHECK_EQ(r, -7);
    CHECK_EQ(errno, EBUSY);
    CHECK_EQ(vt_blocking(looks_around, &seven, NULL), 0);
    settle(&jobs.done, 2);
    pthread_mutex_lock(&vt__block_g.lock);
    int queued = vt__block_g.queued;
    vt__block_g.queued = VT__BLOCK_QUEUE_MAX; /* as if */
    pthread_mutex_unlock(&vt__block_g.lock);
    CHECK_EQ(vt_blocking(gated, NULL, NULL), VT_ELIMIT);
    pthread_mutex_lock(&vt__block_g.lock);
    vt__block_g.queued = queued;
    pthread_mutex_unlock(&vt__block_g.lock);
    CHECK_EQ(vt_blocking(gated, NULL, NULL), 0);
    return 0;
}
TEST(a_job_is_on_no_vthread_and_the_queue_has_an_end) {
    CHECK_EQ(vt_blocking(gated, NULL, NULL), -EPERM);
    CHECK_EQ(run_with(1, 0, facts_main, NULL), 0);
    retire();
}

static int refused_main(void *arg) {
    int r = 0;
    (void)arg;
    jobs_begin();
    open_gate();
    __atomic_store_n(&refuse_threads, 1, __ATOMIC_RELAXED);
    CHECK_EQ(vt_blocking(gated, (void *)5, &r), -EAGAIN); /* nobody would ever run it */
    CHECK_EQ(queued_now(), 0);
    CHECK_EQ(__atomic_load_n(&jobs.done, __ATOMIC_SEQ_CST), 0);
    __atomic_store_n(&refuse_threads, 0, __ATOMIC_RELAXED);
    CHECK_EQ(vt_blocking(gated, (void *)5, &r), 0);
    CHECK_EQ(r, 5);
    return 0;
}
static int one_main(void *arg) {
    (void)arg;
    jobs_begin();
    vt_task *a = vt_async(offload, (void *)1);
    settle(&jobs.running, 1);
    __atomic_store_n(&refuse_threads, 1, __ATOMIC_RELAXED);
    vt_task *b = vt_async(offload, (void *)2); /* the one there is gets to it */
    vt_sleep(VT_MS);
    CHECK_EQ(threads_now(), 1);
    open_gate();
    CHECK_EQ(result(a), 1);
    CHECK_EQ(result(b), 2);
    __atomic_store_n(&refuse_threads, 0, __ATOMIC_RELAXED);
    return 0;
}
/* What others use the pool for is done where it is, when nobody else can be had for it. */
static int file_main(void *arg) {
    static char text[70000], got[sizeof text];
    int pair[2], fd = *(int *)arg;
    vt__conn c;
    memset(&c, 0, sizeof c);
    memset(text, 'x', sizeof text);
    CHECK_EQ(pwrite(fd, text, sizeof text, 0), sizeof text);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    vt__conn_open(&c, pair[0]);
    vt__conn_io io = {.c = &c, .thr = vt__sched_thr()};
    __atomic_store_n(&refuse_threads, 1, __ATOMIC_RELAXED);
    for (int64_t off = 0, r = 1; off < (int64_t)sizeof text && r > 0; off += r) {
        r = vt__conn_send_file(&io, fd, off, (int64_t)sizeof text - off);
        CHECK(r > 0 && read(pair[1], got + off, sizeof text - (size_t)off) == r);
    }
    CHECK(io.err == 0 && memcmp(got, text, sizeof text) == 0);
    __atomic_store_n(&refuse_threads, 0, __ATOMIC_RELAXED);
    (void)vt__conn_close(&c);
    close(pair[1]);
    return 0;
}
TEST(threads_that_cannot_be_had) {
    CHECK_EQ(run_with(1, 0, refused_main, NULL), 0);
    retire();
    FILE *f = tmpfile();
    REQUIRE(f != NULL);
    int fd = fileno(f);
    CHECK_EQ(run_with(1, 0, file_main, &fd), 0);
    fclose(f);
    retire();
    CHECK_EQ(run_with(1, 0, one_main, NULL), 0);
    retire();
}

static int storm_job(void *arg) {
    uint64_t x = (uint64_t)(uintptr_t)arg;
    if (x % 8 == 0) vt__plat_sleep((int64_t)(x >> 8) % 100000);
    return (int)(x & 0xffff);
}
static int storm_one(void *arg) {
    uint64_t rng = (uint64_t)(uintptr_t)arg;
    for (int i = 0; i < (VT__TSAN ? 40 : 300); i++) {
        uint64_t x = test_rand(&rng);
        int r = -1, want = (int)((uintptr_t)x & 0xffff);
        vt_deadline_set(x >> 60 == 0 ? vt_now() + (int64_t)(x >> 20) % 100000 : 0);
        int e = vt_blocking(storm_job, (void *)(uintptr_t)x, &r);
        if (e == 0) CHECK_EQ(r, want);
        else CHECK(e == -ETIMEDOUT || e == -ECANCELED);
        if (e == -ECANCELED) return e;
    }
    return 0;
}
static int storm_main(void *arg) {
    vt_task *t[16];
    uint64_t seed = *(uint64_t *)arg;
    for (int i = 0; i < 16; i++)
        t[i] = vt_async_any(storm_one, (void *)(uintptr_t)(seed + (uint64_t)i * 1000));
    vt_sleep(2 * VT_MS);
    vt_cancel(t[3]);
    vt_cancel(t[4]);
    for (int i = 0; i < 16; i++) {
        int r = result(t[i]);
        CHECK(r == 0 || i == 3 || i == 4);
    }
    CHECK_EQ(queued_now(), 0);
    return 0;
}
TEST(at_random_from_several_workers) {
    uint64_t seed = test_seed();
    CHECK_EQ(run_with(3, 4, storm_main, &seed), 0);
    retire();
    for (int i = 0; i < 20; i++)
        CHECK_EQ(run_with(2, 2, facts_main, NULL), 0); /* runtimes come and go over it */
    retire();
}

/*--- names ---*/
/* In place of libc's: a name whose address comes when another vthread has made some progress, or after 5 s. */
static int ticks, ticks_then, resolving;
int vt__libc_getaddrinfo(const char *host, const char *port, const struct vt__plat_ai *hints,
                         struct vt__plat_ai **out) {
    struct vt__plat_ai *ai = calloc(1, sizeof *ai + sizeof(struct sockaddr_in));
    if (!ai || strcmp(host, "slow.test") != 0 || hints->flags & VT__IO_AI_NUMERIC) {
        free(ai);
        return ai ? -2 : -10;
    }
    __atomic_store_n(&resolving, 1, __ATOMIC_SEQ_CST);
    for (int64_t end = vt_now() + 5 * VT_SEC;
         __atomic_load_n(&ticks, __ATOMIC_SEQ_CST) < 10 && vt_now() < end;)
        vt__plat_sleep(VT_MS);
    __atomic_store_n(&ticks_then, __atomic_load_n(&ticks, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)(ai + 1);
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)atoi(port));
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ai->addr = (struct sockaddr *)(void *)in;
    ai->addrlen = sizeof *in;
    *out = ai;
    return 0;
}
void vt__libc_freeaddrinfo(struct vt__plat_ai *ai) { free(ai); }
static int tick(void *arg) {
    (void)arg;
    settle(&resolving, 1);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(vt_yield(), 0);
        __atomic_fetch_add(&ticks, 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}
static int resolve_main(void *arg) {
    vt_sock *a;
    (void)arg;
    ticks = ticks_then = resolving = 0;
    vt_task *t = vt_async(tick, NULL);
    CHECK_EQ(vt_dial(&a, "slow.test:1", NULL), -ECONNREFUSED);
    CHECK_EQ(ticks_then, 10); /* others ran meanwhile */
    return result(t);
}
TEST(names_are_resolved_beside) {
    CHECK_EQ(run_with(1, 0, resolve_main, NULL), 0);
    retire();
}
