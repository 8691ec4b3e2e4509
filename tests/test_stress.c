/* Everything of the runtime at once and at random, over several workers whose OS threads stall now and then: spawn, cancel,
 * scopes, channels, select, close, locks, timers, offload. Nothing of it may be lost or happen twice; the books are balanced
 * in the end. VT_SEED is the seed, VT_STRESS_S how many seconds it runs (2). */
/* tsan */
#define _GNU_SOURCE
#include <stdlib.h>
static long long blocks; /* of the library's memory */
static void *test_realloc(void *p, size_t n) {
    if (!p) __atomic_add_fetch(&blocks, 1, __ATOMIC_RELAXED);
    return realloc(p, n);
}
static void test_free(void *p) {
    if (p) __atomic_sub_fetch(&blocks, 1, __ATOMIC_RELAXED);
    free(p);
}
#define VTHTTP_REALLOC(p, n) test_realloc(p, n)
#define VTHTTP_FREE(p) test_free(p)
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

#include <errno.h>

enum { ALIVE_MAX = 200, CHANS = 4, LOCKS = 3, PERMITS = 3 };
typedef struct value {
    uint64_t id, check;
} value;
/* Two sides that have to be equal in the end: how many, and the sum of what they were. */
struct book {
    int64_t n;
    uint64_t sum;
};
static struct {
    uint64_t seed, ids;
    int64_t end;
    int alive, inside; /* inside: of the semaphore */
    struct book sent, got;
    int64_t handoffs, spawned, ran, registered, cleaned, set, destroyed, jobs, jobs_done, locked;
    vt_chan *chan[CHANS];
    struct guarded {
        vt_mutex m;
        vt_cond c;
        int64_t before, after; /* plain: the mutex guards them */
    } lock[LOCKS];
    vt_sem sem;
} w;
static int local_key;
#define ADD(x, n) __atomic_add_fetch(&(x), (n), __ATOMIC_SEQ_CST)
#define GET(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)

static uint64_t mix(uint64_t id) { return test_rand(&id); }
static void enter(struct book *b, uint64_t id) {
    ADD(b->n, 1);
    ADD(b->sum, mix(id));
}
static value value_new(void) {
    uint64_t id = ADD(w.ids, 1);
    return (value){id, mix(id)};
}
static void value_got(struct book *b, const value *v) {
    CHECK(v->check == mix(v->id));
    enter(b, v->id);
}
static bool over(void) { return vt_now() >= w.end; }
static int64_t some_ns(uint64_t *r, int64_t most) { return (int64_t)(test_rand(r) % (uint64_t)most); }
/* The result of what may be cancelled, or be late, but no sooner than it was asked to be. */
static void may_fail(int r, int64_t due) {
    CHECK(r >= 0 || r == -ECANCELED || r == -ETIMEDOUT || r == VT_ECLOSED);
    if (r == -ETIMEDOUT) CHECK(vt_now() >= due || (vt_deadline() && vt_now() >= vt_deadline()));
}
static void stall(uint64_t *r) { /* the OS thread */
    if (test_rand(r) % 8 == 0) usleep((unsigned)(test_rand(r) % 4000));
}
static void pause_some(uint64_t *r) {
    switch (test_rand(r) % 4) {
    case 0: (void)vt_yield(); break;
    case 1: (void)vt_sleep(some_ns(r, VT_MS)); break;
    default: stall(r);
    }
}

/*--- one step each ---*/
static void do_sleep(uint64_t *r) {
    int64_t ns = some_ns(r, 3 * VT_MS), from = vt_now();
    int e = vt_sleep(ns);
    may_fail(e, 0);
    if (e == 0) CHECK(vt_now() >= from + ns);
}
static void do_deadline(uint64_t *r) {
    int64_t due = vt_now() + some_ns(r, 2 * VT_MS), old = vt_deadline_set(due);
    int e = vt_sleep_until(VT_NONE);
    CHECK(e == -ECANCELED || e == -ETIMEDOUT);
    if (e == -ETIMEDOUT) CHECK(vt_now() >= due);
    (void)vt_deadline_set(old);
}
static void do_send(uint64_t *r) {
    vt_chan *c = w.chan[test_rand(r) % CHANS];
    value v = value_new();
    int64_t due = vt_now() + some_ns(r, VT_MS);
    int e = test_rand(r) % 2 ? vt_chan_send_until(c, &v, due) : vt_chan_send_try(c, &v);
    if (e == 0) enter(&w.sent, v.id);
    else if (e != -EAGAIN) may_fail(e, due);
}
static void do_recv(uint64_t *r) {
    vt_chan *c = w.chan[test_rand(r) % CHANS];
    value v = {0, 0};
    int64_t due = vt_now() + some_ns(r, VT_MS);
    int e = test_rand(r) % 2 ? vt_chan_recv_until(c, &v, due) : vt_chan_recv_try(c, &v);
    if (e == 0) value_got(&w.got, &v);
    else if (e != -EAGAIN) may_fail(e, due);
}
static int feeds(void *arg) {
    uint64_t r = (uint64_t)(intptr_t)arg;
    (void)vt_sleep(some_ns(&r, VT_MS));
    (void)!write((int)(intptr_t)arg, "x", 1);
    close((int)(intptr_t)arg);
    ADD(w.ran, 1);
    return 0;
}
static void do_select(uint64_t *r) {
    value out = value_new(), in = {0, 0};
    int p[2], n = 3;
    vt_case c[4] = {{.recv = w.chan[test_rand(r) % CHANS], .value = &in},
                    {.send = w.chan[test_rand(r) % CHANS], .value = &out}};
    int64_t due = c[2].at = vt_now() + some_ns(r, 2 * VT_MS);
    if (test_rand(r) % 2 && pipe(p) == 0) {
        c[n++] = (vt_case){.fd = p[0], .events = VT_READ};
        if (vt_go_any(feeds, (void *)(intptr_t)p[1]) == 0) ADD(w.spawned, 1);
        else close(p[1]);
    }
    int e = vt_select(c, n);
    if (e == 0) value_got(&w.got, &in);
    else if (e == 1) enter(&w.sent, out.id);
    else if (e == 2) CHECK(vt_now() >= due);
    else may_fail(e, due);
    if (n > 3) close(p[0]);
}
static void do_lock(uint64_t *r) {
    struct guarded *g = &w.lock[test_rand(r) % LOCKS];
    int64_t due = vt_now() + some_ns(r, VT_MS);
    int how = (int)(test_rand(r) % 3);
    int e = how == 0   ? vt_mutex_lock(&g->m)
            : how == 1 ? vt_mutex_lock_until(&g->m, due)
                       : vt_mutex_trylock(&g->m);
    if (how == 0) CHECK_EQ(e, 0); /* always */
    if (e < 0 && e != -EBUSY) may_fail(e, due);
    if (e < 0) return;
    CHECK_EQ(g->before, g->after);
    g->before++;
    pause_some(r);
    g->after++;
    ADD(w.locked, 1);
    if (test_rand(r) % 4 == 0) {
        due = vt_now() + some_ns(r, VT_MS);
        may_fail(vt_cond_wait_until(&g->c, &g->m, due), due);
        CHECK_EQ(g->before, g->after); /* it has the lock again, whatever the result */
    } else if (test_rand(r) % 2) {
        vt_cond_signal(&g->c);
    } else {
        vt_cond_broadcast(&g->c);
    }
    CHECK_EQ(vt_mutex_unlock(&g->m), 0);
}
static void do_sem(uint64_t *r) {
    int64_t due = vt_now() + some_ns(r, 2 * VT_MS);
    int e = vt_sem_acquire_until(&w.sem, due);
    may_fail(e, due);
    if (e < 0) return;
    CHECK(ADD(w.inside, 1) <= PERMITS);
    pause_some(r);
    ADD(w.inside, -1);
    vt_sem_release(&w.sem, 1);
}
static int job(void *arg) {
    ADD(w.jobs_done, 1);
    usleep((unsigned)(intptr_t)arg);
    return (int)(intptr_t)arg;
}
static void do_blocking(uint64_t *r) {
    int us = (int)(test_rand(r) % 500), result = -1;
    int e = vt_blocking(job, (void *)(intptr_t)us, &result);
    if (e == 0) CHECK_EQ(result, us), ADD(w.jobs, 1);
    else CHECK(e == -ECANCELED || e == -ETIMEDOUT || e == VT_ELIMIT || e == -EAGAIN);
}
static void cleans(void *arg) {
    (void)arg;
    (void)vt_yield(); /* shielded, so it may */
    ADD(w.cleaned, 1);
}
static void destroys(void *arg) {
    free(arg);
    ADD(w.destroyed, 1);
}
static void do_end(void) { /* what happens at the vthread's end */
    if (vt_defer(cleans, NULL) == 0) ADD(w.registered, 1);
    if (vt_local_get(local_key)) return;
    if (vt_local_set(local_key, malloc(8)) == 0) ADD(w.set, 1);
}

/*--- families: a scope with a channel of its own, which is closed at any time ---*/
struct family {
    vt_chan *c;
    vt_wg wg;
    uint64_t seed;
    struct book sent, got;
};
static int produces(void *arg) {
    struct family *f = arg;
    uint64_t r = ADD(f->seed, 1);
    int e = 0;
    for (int n = (int)(test_rand(&r) % 20); n > 0 && e == 0; n--) {
        value v = value_new();
        if ((e = vt_chan_send(f->c, &v)) == 0) enter(&f->sent, v.id);
        pause_some(&r);
    }
    CHECK_EQ(vt_wg_done(&f->wg), 0);
    ADD(w.ran, 1);
    return test_rand(&r) % 8 ? 0 : -EIO; /* some fail, and their siblings are cancelled */
}
static int consumes(void *arg) {
    struct family *f = arg;
    uint64_t r = ADD(f->seed, 1);
    value v = {0, 0};
    while (vt_chan_recv(f->c, &v) == 0) {
        value_got(&f->got, &v);
        pause_some(&r);
    }
    CHECK_EQ(vt_wg_done(&f->wg), 0);
    ADD(w.ran, 1);
    return 0;
}
static void family_spawn(vt_scope *s, struct family *f, uint64_t *r) {
    for (int n = 2 + (int)(test_rand(r) % 6); n > 0; n--) {
        vt_fn *fn = test_rand(r) % 2 ? produces : consumes;
        CHECK_EQ(vt_wg_add(&f->wg, 1), 0);
        int e = test_rand(r) % 2 ? vt_scope_go_any(s, fn, f) : vt_scope_go(s, fn, f);
        ADD(w.spawned, e == 0);
        if (e < 0) CHECK_EQ(vt_wg_done(&f->wg), 0);
        if (test_rand(r) % 4 == 0) pause_some(r);
    }
}
static void do_family(uint64_t *r) {
    static const int64_t caps[] = {0, 1, 16, VT_NONE};
    struct family f = {.seed = test_rand(r)};
    uint32_t flags = (uint32_t)(test_rand(r) % 3); /* 0, VT_SCOPE_KEEP, VT_SCOPE_FIRST */
    value v = {0, 0};
    vt_scope s;
    f.c = vt_chan_new(sizeof(value), caps[test_rand(r) % 4], 0);
    CHECK_EQ(vt_scope_open(&s, flags, test_rand(r) % 2 ? vt_now() + some_ns(r, 5 * VT_MS) : 0), 0);
    family_spawn(&s, &f, r);
    pause_some(r);
    if (test_rand(r) % 4 == 0) vt_scope_cancel(&s);
    CHECK_EQ(vt_chan_close(f.c), 0);
    (void)(test_rand(r) % 2 ? vt_scope_wait(&s) : vt_scope_close(&s));
    CHECK_EQ(vt_chan_close(f.c), VT_ECLOSED);
    CHECK_EQ(f.wg.count, 0); /* all of them have ended */
    while (vt_chan_recv_try(f.c, &v) == 0) value_got(&f.got, &v);
    CHECK_EQ(f.got.n, f.sent.n);
    CHECK(f.got.sum == f.sent.sum);
    vt_chan_free(f.c);
}

/*--- vthreads that do all of it ---*/
static int lives(void *arg);
static void do_spawn(uint64_t *r) {
    void *seed = (void *)(uintptr_t)test_rand(r);
    if (GET(w.alive) >= ALIVE_MAX) return;
    if (test_rand(r) % 2) {
        ADD(w.spawned, (test_rand(r) % 2 ? vt_go(lives, seed) : vt_go_any(lives, seed)) == 0);
        return;
    }
    vt_task *t = test_rand(r) % 2 ? vt_async_any(lives, seed) : vt_async(lives, seed);
    ADD(w.spawned, 1);
    pause_some(r);
    if (test_rand(r) % 2) vt_cancel(t);
    int result = -1, e = test_rand(r) % 3 ? vt_await(t, &result) : -EAGAIN;
    if (e == 0) CHECK_EQ(result, 7);
    else vt_task_free(t);
}
static void step(uint64_t *r) {
    switch (test_rand(r) % 16) {
    case 0: do_sleep(r); break;
    case 1: do_deadline(r); break;
    case 2:
    case 3: do_send(r); break;
    case 4:
    case 5: do_recv(r); break;
    case 6: do_select(r); break;
    case 7:
    case 8: do_lock(r); break;
    case 9: do_sem(r); break;
    case 10: do_blocking(r); break;
    case 11: do_family(r); break;
    case 12: do_end(); break;
    case 13: stall(r); break;
    default: do_spawn(r);
    }
}
static int lives(void *arg) {
    uint64_t r = w.seed ^ (uint64_t)(uintptr_t)arg;
    ADD(w.alive, 1);
    for (int n = 3 + (int)(test_rand(&r) % 30); n > 0 && !over(); n--) step(&r);
    ADD(w.ran, 1);
    ADD(w.alive, -1);
    return 7;
}
static int stress_main(void *arg) {
    static const int64_t caps[CHANS] = {0, 4, 64, VT_NONE};
    uint64_t r = w.seed;
    vt_stats st;
    (void)arg;
    for (int i = 0; i < CHANS; i++) w.chan[i] = vt_chan_new(sizeof(value), caps[i], 0);
    w.sem.count = PERMITS;
    while (!over()) {
        if (GET(w.alive) < ALIVE_MAX / 2 && vt_go_any(lives, (void *)(uintptr_t)test_rand(&r)) == 0)
            ADD(w.spawned, 1);
        (void)vt_sleep(some_ns(&r, VT_MS));
    }
    vt_stats_get(&st);
    w.handoffs = st.handoffs;
    return 0; /* vt_run waits for the others */
}
static void balance(void) {
    CHECK_EQ(w.ran, w.spawned);
    CHECK_EQ(w.alive, 0);
    CHECK_EQ(w.got.n, w.sent.n);
    CHECK(w.got.sum == w.sent.sum);
    CHECK_EQ(w.cleaned, w.registered);
    CHECK_EQ(w.destroyed, w.set);
    CHECK_EQ(w.jobs_done, w.jobs); /* one that has begun is waited for, one that is withdrawn never begins */
    CHECK_EQ(w.inside, 0);
    CHECK_EQ(w.sem.count, PERMITS);
    int64_t locked = 0;
    for (int i = 0; i < LOCKS; i++) {
        CHECK_EQ(w.lock[i].before, w.lock[i].after);
        CHECK(!w.lock[i].m.held && !w.lock[i].m.q.head && !w.lock[i].c.q.head);
        locked += w.lock[i].after;
    }
    CHECK_EQ(locked, w.locked);
    CHECK(w.handoffs > 0 && w.sent.n > 0 && w.cleaned > 0 && w.destroyed > 0 && w.jobs > 0 && w.locked > 0);
}
static void ignore(void *ctx, int level, const char *line) { (void)ctx, (void)level, (void)line; }
TEST(everything_at_once_loses_and_duplicates_nothing) {
    const char *s = getenv("VT_STRESS_S");
    value v = {0, 0};
    vt_cfg cfg = {.workers = 3, .stall_ms = 1};
    if (s) alarm((unsigned)atoi(s) + 120);
    memset(&w, 0, sizeof w);
    w.seed = test_seed();
    w.end = vt_now() + (s ? atoi(s) : 2) * VT_SEC;
    signal(SIGPIPE, SIG_IGN);
    local_key = vt_local_key(destroys);
    vt_log_set(ignore, NULL, VT_LOG_ERROR);
    CHECK_EQ(vt_run(&cfg, stress_main, NULL), 0);
    for (int i = 0; i < CHANS; i++) {
        while (vt_chan_recv_try(w.chan[i], &v) == 0) value_got(&w.got, &v);
        vt_chan_free(w.chan[i]);
    }
    vt_log_set(NULL, NULL, 0);
    balance();
    CHECK_EQ(blocks, 0);
    printf("%lld virtual threads, %lld values, %lld hand-offs\n", (long long)w.spawned, (long long)w.sent.n,
           (long long)w.handoffs);
}
