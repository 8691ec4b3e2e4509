/* tsan */
/* valgrind */
/* Scopes, clean-ups at a virtual thread's end, values that children inherit. */
#define VTHTTP_SIM 1 /* for the allocator; everything else is the real thing */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "rt.h"
#include "blocks.h"

/* Children: how long they take, what they return, whether they mind being cancelled. `live` counts them. */
static int live;
static int all_there, cancels; /* the owner has spawned all; how many were told of a cancel */
struct child {
    int64_t ns; /* -1: until it is cancelled */
    int result;
    bool stubborn;
    int got; /* what its sleep returned */
    int64_t deadline;
    vt_scope *behind;  /* it ends after another has: that failed, or that has won */
    bool winner, late; /* late: it ends behind all_there */
};
static bool ended(vt_scope *s, bool winner) {
    vt__plat_spin_lock(&s->spin);
    bool yes = winner ? s->won >= 0 : s->error != 0;
    vt__plat_spin_unlock(&s->spin);
    return yes;
}
static int child(void *arg) {
    struct child *c = arg;
    __atomic_fetch_add(&live, 1, __ATOMIC_SEQ_CST);
    c->deadline = vt_deadline();
    if (c->stubborn) vt_shield(true);
    c->got = vt_sleep(c->ns < 0 ? 50 * VT_SEC : c->ns);
    if (c->got == -ECANCELED) __atomic_fetch_add(&cancels, 1, __ATOMIC_SEQ_CST);
    while (c->behind && !ended(c->behind, c->winner)) (void)vt_sleep_ms(1);
    while (c->late && !__atomic_load_n(&all_there, __ATOMIC_SEQ_CST)) (void)vt_sleep_ms(1);
    if (c->stubborn) vt_shield(false);
    __atomic_fetch_sub(&live, 1, __ATOMIC_SEQ_CST);
    return c->got < 0 ? c->got : c->result;
}
static int go(vt_scope *s, struct child *c, bool any) {
    return any ? vt_scope_go_any(s, child, c) : vt_scope_go(s, child, c);
}
static void may_end(int yes) { __atomic_store_n(&all_there, yes, __ATOMIC_SEQ_CST); }
#define GONE() CHECK_EQ(__atomic_load_n(&live, __ATOMIC_SEQ_CST), 0)

TEST(a_scope_needs_a_vthread) {
    vt_scope s;
    CHECK_EQ(vt_scope_open(&s, 0, 0), -EPERM);
    CHECK_EQ(vt_scope_go(&s, child, NULL), -EPERM);
    CHECK_EQ(vt_scope_wait(&s), -EPERM);
    CHECK_EQ(vt_scope_close(&s), -EPERM);
    vt_scope_cancel(&s);
    CHECK_EQ(vt_defer(free, NULL), -EPERM);
}
static int not_mine(void *arg) {
    CHECK_EQ(vt_scope_wait(arg), -EPERM);
    CHECK_EQ(vt_scope_close(arg), -EPERM);
    return 0;
}
static int results_main(void *arg) {
    bool any = *(bool *)arg;
    vt_scope s;
    CHECK_EQ(vt_scope_open(&s, 4, 0), -EINVAL);
    CHECK_EQ(vt_scope_go(&s, not_mine, &s), -EPERM); /* it is none */
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    CHECK_EQ(vt_scope_wait(&s), 0); /* no child */
    CHECK_EQ(vt_scope_close(&s), 0);
    struct child ok[4] = {{.ns = VT_MS, .result = 4}, {.ns = 2 * VT_MS}, {.ns = 0, .result = 9}, {.ns = 1}};
    for (int i = 0; i < 4; i++) CHECK_EQ(go(&s, &ok[i], any), 0);
    CHECK_EQ(vt_scope_go(&s, not_mine, &s), 0);
    CHECK_EQ(vt_scope_wait(&s), 0); /* results >= 0 are success */
    GONE();
    for (int i = 0; i < 4; i++) CHECK_EQ(ok[i].got, 0);
    CHECK_EQ(go(&s, &ok[0], any), 0); /* used further */
    CHECK_EQ(vt_scope_wait(&s), 0);
    CHECK_EQ(vt_scope_wait(&s), 0);

    struct child bad[4] = {
        {.ns = -1}, {.ns = 3 * VT_MS, .result = -EIO, .late = true}, {.ns = -1}, {.ns = 0, .result = 1}};
    may_end(0); /* behind the first failure nobody is spawned */
    for (int i = 0; i < 4; i++) CHECK_EQ(go(&s, &bad[i], any), 0);
    may_end(1);
    CHECK_EQ(vt_scope_wait(&s), -EIO); /* the first failure; the others were cancelled */
    GONE();
    CHECK_EQ(bad[0].got, -ECANCELED);
    CHECK_EQ(bad[2].got, -ECANCELED);
    CHECK_EQ(go(&s, &ok[0], any), -ECANCELED);
    CHECK_EQ(vt_scope_close(&s), -EIO);

    struct child kept[3] = {
        {.ns = 0, .result = -EIO}, {.ns = 3 * VT_MS}, {.ns = 6 * VT_MS, .result = -EPIPE, .behind = &s}};
    CHECK_EQ(vt_scope_open(&s, VT_SCOPE_KEEP, VT_NONE), 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(go(&s, &kept[i], any), 0);
    CHECK_EQ(vt_scope_wait(&s), -EIO);
    GONE();
    CHECK_EQ(kept[1].got, 0);
    CHECK_EQ(kept[2].got, 0);
    return 0;
}
static int first_main(void *arg) {
    bool any = *(bool *)arg;
    vt_scope s;
    CHECK_EQ(vt_scope_open(&s, VT_SCOPE_FIRST, 0), 0);
    CHECK_EQ(vt_scope_wait(&s), VT_ESTATE);
    struct child c[4] = {{.ns = -1},
                         {.ns = 0, .result = -EIO},
                         {.ns = 3 * VT_MS, .result = 12, .late = true},
                         {.ns = 20 * VT_MS, .result = 3, .behind = &s, .winner = true}};
    c[3].stubborn = true; /* succeeds, too, but later */
    may_end(0);           /* nor behind the winner */
    for (int i = 0; i < 4; i++) CHECK_EQ(go(&s, &c[i], any), 0);
    may_end(1);
    CHECK_EQ(vt_scope_wait(&s), 12);
    GONE();
    CHECK(vt_scope_winner(&s) == &c[2]);
    CHECK_EQ(c[0].got, -ECANCELED);
    CHECK_EQ(go(&s, &c[1], any), -ECANCELED); /* decided */
    CHECK_EQ(vt_scope_close(&s), 12);
    struct child none[2] = {{.ns = 0, .result = -EIO}, {.ns = 2 * VT_MS, .result = -EPIPE, .behind = &s}};
    CHECK_EQ(vt_scope_open(&s, VT_SCOPE_FIRST, 0), 0);
    for (int i = 0; i < 2; i++) CHECK_EQ(go(&s, &none[i], any), 0);
    CHECK_EQ(vt_scope_wait(&s), -EIO);
    CHECK(vt_scope_winner(&s) == NULL);
    CHECK_EQ(none[1].got, 0);
    return 0;
}
TEST(results_of_a_scope) {
    for (int any = 0; any < 2; any++) {
        bool b = any != 0;
        memory_begin();
        CHECK_EQ(run_on(any ? 3 : 1, results_main, &b), 0);
        CHECK_EQ(run_on(any ? 3 : 1, first_main, &b), 0);
        memory_end();
    }
}

/*--- cancel, deadline, close ---*/
struct owner {
    bool any, early; /* early: cancelled before it waits */
    uint32_t flags;
    int64_t until;
    struct child c[3];
    int wait, after;
};
static int own(void *arg) {
    struct owner *o = arg;
    vt_scope s;
    CHECK_EQ(vt_scope_open(&s, o->flags, o->until), 0);
    for (int i = 0; i < 3; i++) {
        if (o->c[i].stubborn)
            o->c[i].behind = &s; /* it lives when the others are cancelled, however late that is */
        CHECK_EQ(go(&s, &o->c[i], o->any), 0);
    }
    if (o->early) CHECK_EQ(vt_sleep(50 * VT_SEC), -ECANCELED);
    o->wait = vt_scope_wait(&s);
    GONE(); /* whatever the result, nobody is left */
    o->after = vt_scope_close(&s);
    return 0;
}
static int cancel_main(void *arg) {
    bool any = *(bool *)arg;
    for (int early = 0; early < 2; early++) {
        struct owner o = {.any = any, .early = early != 0};
        for (int i = 0; i < 3; i++) o.c[i].ns = -1;
        o.c[1].stubborn = true; /* takes its time, and is waited for */
        o.c[1].ns = 10 * VT_MS;
        vt_task *t = vt_async(own, &o);
        while (__atomic_load_n(&live, __ATOMIC_SEQ_CST) < 3) vt_sleep(VT_MS / 2);
        vt_cancel(t);
        CHECK_EQ(result(t), 0);
        CHECK_EQ(o.wait, -ECANCELED);
        CHECK_EQ(o.after, -ECANCELED);
        CHECK_EQ(o.c[0].got, -ECANCELED);
        CHECK_EQ(o.c[1].got, 0);
    }
    /* the scope's deadline: children inherit it, the stubborn one is waited for */
    int64_t until = vt_now() + 100 * VT_MS; /* all have begun by then */
    struct owner o = {.any = any, .until = until, .flags = VT_SCOPE_KEEP};
    o.c[0].ns = o.c[2].ns = -1;
    o.c[1].ns = 120 * VT_MS;
    o.c[1].stubborn = true;
    CHECK_EQ(result(vt_async(own, &o)), 0);
    CHECK_EQ(o.wait, -ETIMEDOUT);
    CHECK(o.c[0].got == -ETIMEDOUT || o.c[0].got == -ECANCELED);
    CHECK_EQ(o.c[0].deadline, until);
    CHECK_EQ(o.c[1].got, 0);
    /* the virtual thread's, when it is earlier */
    struct owner p = {.any = any, .until = vt_now() + 50 * VT_SEC};
    for (int i = 0; i < 3; i++) p.c[i].ns = -1;
    int64_t mine = vt_now() + 100 * VT_MS;
    vt_deadline_set(mine);
    vt_task *t = vt_async(own, &p);
    vt_deadline_set(0);
    CHECK_EQ(result(t), 0);
    CHECK_EQ(p.wait, -ETIMEDOUT);
    CHECK_EQ(p.c[0].deadline, mine);
    return 0;
}
TEST(a_cancelled_or_late_owner_waits_all_the_same) {
    for (int any = 0; any < 2; any++) {
        bool b = any != 0;
        memory_begin();
        CHECK_EQ(run_on(any ? 3 : 1, cancel_main, &b), 0);
        memory_end();
    }
}
static int close_it(void *arg) {
    bool any = *(bool *)arg;
    vt_scope s;
    struct child c[3] = {{.ns = -1}, {.ns = 20 * VT_MS, .stubborn = true, .late = true}, {.ns = -1}};
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(go(&s, &c[i], any), 0);
    vt_sleep(2 * VT_MS);
    CHECK_EQ(vt_scope_close(&s), -ECANCELED);
    GONE();
    CHECK_EQ(c[1].got, 0);
    return vt_cancelled();
}
static int close_main(void *arg) {
    may_end(1);
    CHECK_EQ(close_it(arg), 0);
    may_end(0);
    cancels = 0;
    vt_task *t = vt_async(close_it, arg);
    while (__atomic_load_n(&cancels, __ATOMIC_SEQ_CST) < 2) vt_sleep(VT_MS / 2);
    vt_cancel(t); /* in the close, which waits for the stubborn one */
    vt_sleep(VT_MS);
    CHECK_EQ(vt_task_done(t), 0);
    may_end(1);
    CHECK_EQ(result(t), -ECANCELED);
    return 0;
}
TEST(close_cancels_and_is_not_cancelled) {
    for (int any = 0; any < 2; any++) {
        bool b = any != 0;
        CHECK_EQ(run_on(any ? 3 : 1, close_main, &b), 0);
    }
}
static int cancel_mine(void *arg) {
    vt_scope_cancel(arg);
    CHECK_EQ(vt_cancelled(), -ECANCELED); /* itself, too */
    return 0;
}
static void *cancel_foreign(void *arg) {
    vt__plat_sleep(2 * VT_MS);
    vt_scope_cancel(arg);
    return NULL;
}
static int cancelled_main(void *arg) {
    pthread_t os;
    vt_scope s;
    (void)arg;
    struct child c[2] = {{.ns = -1}, {.ns = -1}};
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    CHECK_EQ(go(&s, &c[0], true), 0);
    CHECK_EQ(go(&s, &c[1], false), 0);
    CHECK_EQ(vt_scope_go_any(&s, cancel_mine, &s), 0);
    CHECK_EQ(vt_scope_wait(&s), -ECANCELED);
    GONE();
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    CHECK_EQ(go(&s, &c[0], true), 0);
    CHECK_EQ(go(&s, &c[1], false), 0);
    if (pthread_create(&os, NULL, cancel_foreign, &s) != 0) return -1;
    CHECK_EQ(vt_scope_wait(&s), -ECANCELED);
    GONE();
    pthread_join(os, NULL);
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    CHECK_EQ(go(&s, &c[0], false), 0);
    vt_scope_cancel(&s); /* before it has started: it starts, and finds itself cancelled */
    CHECK_EQ(go(&s, &c[1], false), -ECANCELED);
    CHECK_EQ(vt_scope_wait(&s), -ECANCELED);
    CHECK_EQ(c[0].got, -ECANCELED);
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    vt_scope_cancel(&s); /* nobody lives: no error, but no more spawns */
    CHECK_EQ(go(&s, &c[0], false), -ECANCELED);
    CHECK_EQ(vt_scope_wait(&s), 0);
    return 0;
}
TEST(anybody_may_cancel_a_scope) {
    CHECK_EQ(run_on(1, cancelled_main, NULL), 0);
    CHECK_EQ(run_on(3, cancelled_main, NULL), 0);
}

/* While one spawns as fast as it can, another worker cancels: nobody slips through. */
static int cancel_soon(void *arg) {
    int64_t end = vt_now() + 30000;
    while (vt_now() < end) continue;
    vt_scope_cancel(arg);
    return 0;
}
static int slip_main(void *arg) {
    (void)arg;
    for (int round = 0; round < (SLOW ? 20 : 200); round++) {
        vt_scope s;
        static struct child c[4096];
        int n = 0, r = 0;
        CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
        vt_task *t = vt_async_any(cancel_soon, &s);
        for (; n < 4096 && r == 0; n++) {
            c[n] = (struct child){.ns = -1};
            r = go(&s, &c[n], n % 4 == 3);
        }
        CHECK(r == -ECANCELED || n == 4096);
        CHECK_EQ(result(t), 0);
        CHECK_EQ(vt_scope_wait(&s), n > 1 ? -ECANCELED : 0); /* would take for ever otherwise */
        GONE();
    }
    return 0;
}
TEST(no_child_slips_past_a_cancel) {
    memory_begin();
    CHECK_EQ(run_on(3, slip_main, NULL), 0);
    memory_end();
}

/* Cancelled within a spawn, when nobody lived: the child that is in the scope now was cancelled, and that is the result. */
static vt_scope *cancels_this;
static bool cancel_fails;
static void *cancelling_realloc(void *p, size_t n) {
    vt_scope *s = cancels_this;
    cancels_this = NULL;
    if (s) vt_scope_cancel(s);
    return s && cancel_fails ? NULL : test_realloc(p, n);
}
static int within_main(void *arg) {
    vt_scope s;
    struct child c = {.ns = -1};
    (void)arg;
    cancel_fails = true; /* so does the spawn, which counts as a child that fails */
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    cancels_this = &s;
    CHECK_EQ(go(&s, &c, false), -ENOMEM);
    CHECK_EQ(vt_scope_wait(&s), -ENOMEM);
    cancel_fails = false;
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    cancels_this = &s;
    CHECK_EQ(go(&s, &c, false), 0);
    CHECK(!cancels_this);
    CHECK_EQ(vt_scope_wait(&s), -ECANCELED);
    CHECK_EQ(c.got, -ECANCELED);
    return 0;
}
TEST(a_cancel_within_a_spawn) {
    memory_begin();
    vt__plat.realloc = cancelling_realloc;
    CHECK_EQ(run_on(1, within_main, NULL), 0);
    memory_end();
}

/* The owner is told of its cancel, or of the deadline, when the last child has just ended: the scope has failed. */
static int cancels_owner(void *arg) {
    vt_cancel(arg);
    return 0;
}
static int late_main(void *arg) {
    vt_scope s;
    struct child c = {.ns = 1};
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    CHECK_EQ(vt_scope_go(&s, cancels_owner, *(vt_task **)arg), 0);
    CHECK_EQ(vt_scope_wait(&s), -ECANCELED);
    CHECK_EQ(go(&s, &c, false), -ECANCELED);
    CHECK_EQ(vt_scope_close(&s), -ECANCELED);
    return 0;
}
static int late_owner(void *arg) {
    vt_task *t = NULL;
    (void)arg;
    t = vt_async(late_main, &t);
    CHECK_EQ(result(t), 0);
    return 0;
}
TEST(an_owner_that_was_told_of_its_cancel_has_a_scope_that_failed) {
    CHECK_EQ(run_on(1, late_owner, NULL), 0);
}

/*--- spawns that fail ---*/
static int limits_main(void *arg) {
    vt_scope s;
    struct child c[8];
    (void)arg;
    memset(c, 0, sizeof c);
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    int n = 0, r = 0;
    for (; n < 8 && r == 0; n++) c[n].ns = -1, r = go(&s, &c[n], false);
    CHECK_EQ(r, VT_ELIMIT);
    CHECK(n > 2);
    CHECK_EQ(go(&s, &c[7], false), -ECANCELED); /* that was a failure: all are cancelled */
    CHECK_EQ(vt_scope_wait(&s), VT_ELIMIT);
    GONE();
    CHECK_EQ(vt_scope_open(&s, VT_SCOPE_FIRST, 0), 0);
    struct child ok = {.ns = 0, .result = 5};
    for (n = 0, r = 0; n < 8 && r == 0; n++) r = go(&s, &ok, false);
    CHECK_EQ(r, VT_ELIMIT);
    CHECK_EQ(vt_scope_wait(&s), 5); /* others may still succeed */
    return 0;
}
TEST(a_spawn_that_fails_is_the_scopes_failure) {
    vt_cfg cfg = {.workers = 1, .max_vthreads = 5};
    memory_begin();
    CHECK_EQ(vt_run(&cfg, limits_main, NULL), 0);
    memory_end();
}
static int inherit_key, plain_key, owned_key;
static int destroyed;
static void destroy(void *value) {
    (void)value;
    __atomic_fetch_add(&destroyed, 1, __ATOMIC_SEQ_CST);
}
__attribute__((constructor)) static void keys(void) {
    plain_key = vt_local_key(destroy);
    inherit_key = vt_local_key_inherit(destroy);
}
static int memory_main(void *arg) {
    int64_t n = *(int64_t *)arg;
    vt_scope s;
    struct child c[3] = {{.ns = VT_MS}, {.ns = VT_MS}, {.ns = VT_MS}};
    int err = 0, value = 1;
    CHECK_EQ(vt_local_set(inherit_key, &value), 0);
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    failed = 0;
    fail_after = n;
    for (int i = 0; i < 3; i++) {
        int r = go(&s, &c[i], false);
        CHECK(r == 0 || r == -ENOMEM || (r == -ECANCELED && err));
        if (!err) err = r;
    }
    fail_after = -1;
    CHECK_EQ(vt_scope_wait(&s), err);
    GONE();
    CHECK_EQ(err, failed ? -ENOMEM : 0);
    return err == 0;
}
static int sleeps_on(void *arg) { return (void)arg, vt_sleep_until(VT_NONE); }
static int refused_main(void *arg) {
    vt_task *t[4];
    vt_scope s;
    int r;
    (void)arg;
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    for (int i = 0; i < 4; i++) t[i] = vt_async(sleeps_on, NULL);
    CHECK_EQ(vt_yield(), 0);
    vt_task_free(t[3]);
    vt_cancel(t[2]);
    CHECK_EQ(vt_await(t[2], &r), 0);
    CHECK_EQ(vt_go(sleeps_on, NULL), 0); /* five again */
    CHECK_EQ(vt_yield(), 0); /* it has begun: its block lies ready, for a scope's record of a child */
    fail_after = 0;
    failed = 0;
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(vt_go(sleeps_on, NULL), VT_ELIMIT);
        CHECK_EQ(vt_go_any(sleeps_on, NULL), VT_ELIMIT);
        CHECK_EQ(vt_await(vt_async(sleeps_on, NULL), NULL), VT_ELIMIT);
        CHECK_EQ(vt_await(vt_async_any(sleeps_on, NULL), NULL), VT_ELIMIT);
        CHECK_EQ(vt_scope_go(&s, sleeps_on, NULL), i ? -ECANCELED : VT_ELIMIT); /* it has failed */
    }
    CHECK_EQ(failed, 0);
    fail_after = -1;
    CHECK_EQ(vt_scope_wait(&s), VT_ELIMIT);
    for (int i = 0; i < 2; i++) {
        vt_cancel(t[i]);
        CHECK_EQ(result(t[i]), -ECANCELED);
    }
    vt_stop();
    return 0;
}
TEST(a_spawn_over_the_limit_allocates_nothing) {
    vt_cfg cfg = {.workers = 1, .max_vthreads = 5};
    memory_begin();
    CHECK_EQ(vt_run(&cfg, refused_main, NULL), 0);
    memory_end();
}
TEST(a_scope_without_memory_ends) {
    int64_t n = 0;
    int r = 0;
    for (; n < 30 && r == 0; n++) {
        memory_begin();
        r = run_on(1, memory_main, &n);
        memory_end();
    }
    CHECK_EQ(r, 1); /* in the end all went well, */
    CHECK(n > 3);   /* and before that it failed at each allocation */
}

/*--- nesting; a storm ---*/
static int tree_live, trees;
struct tree {
    vt_scope *scope; /* where it may spawn more, or NULL */
    uint64_t seed;
    int depth;
};
static int sibling(void *arg) {
    (void)arg;
    __atomic_fetch_add(&tree_live, 1, __ATOMIC_SEQ_CST);
    int r = vt_sleep(300000);
    __atomic_fetch_sub(&tree_live, 1, __ATOMIC_SEQ_CST);
    return r;
}
static int tree(void *arg) {
    struct tree *me = arg;
    uint64_t rng = me->seed;
    int r = 0;
    __atomic_fetch_add(&tree_live, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&trees, 1, __ATOMIC_SEQ_CST);
    if (me->depth > 0) {
        struct tree kids[6]; /* on our stack: they must be gone before we are */
        vt_scope s;
        uint64_t x = test_rand(&rng);
        CHECK_EQ(vt_scope_open(&s, (uint32_t)(x % 3), x & 64 ? vt_now() + (int64_t)(x >> 40) % 3000000 : 0),
                 0);
        for (int i = 0; i < 6; i++) {
            kids[i] = (struct tree){&s, test_rand(&rng), me->depth - 1};
            int e = x >> i & 256 ? vt_scope_go_any(&s, tree, &kids[i]) : vt_scope_go(&s, tree, &kids[i]);
            CHECK(e == 0 || e == -ECANCELED);
            if (x >> i & 4096) (void)vt_yield();
        }
        if (x & 128) vt_scope_cancel(&s);
        r = x & 1024 ? vt_scope_close(&s) : vt_scope_wait(&s);
        memset(kids, 0xdd, sizeof kids);
        memset(&s, 0xdd, sizeof s);
    } else {
        uint64_t x = test_rand(&rng);
        if (x % 4 == 0) { /* a sibling, which outlives us perhaps: it shares nothing with us */
            int e = vt_scope_go_any(me->scope, sibling, NULL);
            CHECK(e == 0 || e == -ECANCELED);
        }
        r = vt_sleep((int64_t)(x >> 32) % 500000);
        if (x % 16 == 1) r = -EIO;
        if (x % 16 == 2) vt_scope_cancel(me->scope);
    }
    __atomic_fetch_sub(&tree_live, 1, __ATOMIC_SEQ_CST);
    return r;
}
static int tree_main(void *arg) {
    uint64_t rng = *(uint64_t *)arg;
    for (int round = 0; round < (SLOW ? 4 : 30); round++) {
        struct tree root = {NULL, test_rand(&rng), 3};
        vt_task *t = vt_async_any(tree, &root);
        if (round % 3 == 0) {
            vt_sleep((int64_t)(test_rand(&rng) % 1000000));
            vt_cancel(t);
        }
        (void)result(t);
        CHECK_EQ(__atomic_load_n(&tree_live, __ATOMIC_SEQ_CST), 0);
    }
    return 0;
}
TEST(nested_scopes_in_a_storm) {
    uint64_t seed = test_seed();
    trees = 0;
    for (int workers = 1; workers <= 3; workers += 2) {
        memory_begin();
        CHECK_EQ(run_on(workers, tree_main, &seed), 0);
        memory_end();
    }
    CHECK(trees > 100);
}

/*--- defer ---*/
static struct {
    int order[VT_DEFER_MAX + 8], n;
    int slept;
    char text[64];
} log_;
static void note(void *arg) { log_.order[log_.n++] = (int)(intptr_t)arg; }
static void note_slowly(void *arg) {
    log_.slept = vt_sleep(VT_MS); /* shielded: though cancelled */
    CHECK_EQ(vt_cancelled(), 0);
    note(arg);
}
static void note_and_more(void *arg) {
    note(arg);
    CHECK_EQ(vt_defer(note, (void *)100), 0);
}
static void note_value(void *arg) {
    note(arg);
    CHECK_EQ(vt_defer(note, (void *)200), 0);
}
static int defers(void *arg) {
    int n = (int)(intptr_t)arg;
    for (int i = 0; i < n; i++) CHECK_EQ(vt_defer(note, (void *)(intptr_t)i), 0);
    return n;
}
static int defers_mixed(void *arg) {
    (void)arg;
    CHECK_EQ(vt_defer(note, (void *)1), 0);
    CHECK_EQ(vt_defer(note_slowly, (void *)2), 0);
    CHECK_EQ(vt_defer(note_and_more, (void *)3), 0);
    CHECK_EQ(vt_local_set(owned_key, (void *)4), 0);
    return vt_sleep(50 * VT_SEC);
}
static int defers_full(void *arg) {
    (void)arg;
    for (int i = 0; i < VT_DEFER_MAX; i++) CHECK_EQ(vt_defer(note, (void *)(intptr_t)i), 0);
    CHECK_EQ(vt_defer(note, NULL), VT_ELIMIT);
    return 0;
}
static int defers_poor(void *arg) {
    (void)arg;
    vt__thr *t = vt__sched_thr();
    vt__mem_pool_drain(&t->task_pool);
    CHECK_EQ(vt_defer(note, (void *)0), 0);
    CHECK_EQ(vt_defer(note, (void *)1), 0);
    CHECK_EQ(vt_defer(note, (void *)2), 0);
    vt__mem_pool_drain(&t->task_pool);
    fail_after = 0;
    CHECK_EQ(vt_defer(note, (void *)3), -ENOMEM);
    fail_after = -1;
    CHECK_EQ(vt_defer(note, (void *)3), 0);
    return 0;
}
static void reverse(int n) {
    CHECK_EQ(log_.n, n);
    for (int i = 0; i < n; i++) CHECK_EQ(log_.order[i], n - 1 - i);
    log_.n = 0;
}
static int defer_main(void *arg) {
    (void)arg;
    log_.n = 0;
    for (int n = 0; n < 9; n++) {
        CHECK_EQ(result(vt_async(defers, (void *)(intptr_t)n)), n);
        reverse(n); /* before whoever awaits goes on */
    }
    CHECK_EQ(result(vt_async(defers_full, NULL)), 0);
    reverse(VT_DEFER_MAX);
    CHECK_EQ(result(vt_async(defers_poor, NULL)), 0);
    reverse(4);
    vt_task *t = vt_async(defers_mixed, NULL);
    vt_yield();
    vt_cancel(t);
    CHECK_EQ(result(t), -ECANCELED);
    static const int want[] = {3, 100, 2,
                               1, 4,   200}; /* the value's destructor comes after them, and adds one */
    CHECK_MEM(log_.order, log_.n * (int)sizeof(int), want, sizeof want);
    CHECK_EQ(log_.slept, 0);
    log_.n = 0;
    CHECK_EQ(vt_go(defers, (void *)3), 0); /* detached, too */
    vt_yield();
    reverse(3);
    return 0;
}
TEST(clean_ups_run_in_reverse_order_and_shielded) {
    owned_key = vt_local_key(note_value);
    memory_begin();
    CHECK_EQ(run_on(1, defer_main, NULL), 0);
    memory_end();
}
static void write_there(void *arg) {
    vt_sleep(VT_MS);
    strcpy(arg, "cleaned up");
}
static int defer_there(void *arg) { return vt_defer(write_there, arg); }
static int defer_scope_main(void *arg) {
    (void)arg;
    for (int any = 0; any < 2; any++) {
        char text[32] = ""; /* the owner's stack */
        vt_scope s;
        CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
        CHECK_EQ(any ? vt_scope_go_any(&s, defer_there, text) : vt_scope_go(&s, defer_there, text), 0);
        CHECK_EQ(vt_scope_wait(&s), 0);
        CHECK_STR(text, "cleaned up");
    }
    return 0;
}
TEST(clean_ups_are_over_when_a_scope_is) {
    CHECK_EQ(run_on(1, defer_scope_main, NULL), 0);
    CHECK_EQ(run_on(3, defer_scope_main, NULL), 0);
}

/*--- values that are inherited ---*/
static int grandchild(void *arg) {
    CHECK(vt_local_get(inherit_key) == arg);
    CHECK(vt_local_get(plain_key) == NULL);
    return 0;
}
static int heir(void *arg) {
    int *values = arg;
    CHECK(vt_local_get(inherit_key) == &values[0]);
    CHECK(vt_local_get(plain_key) == NULL);
    CHECK_EQ(result(vt_async(grandchild, &values[0])), 0); /* handed on */
    CHECK_EQ(vt_local_set(inherit_key, &values[1]), 0);    /* its own from now on */
    CHECK_EQ(result(vt_async_any(grandchild, &values[1])), 0);
    CHECK_EQ(vt_local_set(inherit_key, NULL), 0);
    CHECK_EQ(result(vt_async(grandchild, NULL)), 0);
    CHECK_EQ(vt_local_set(inherit_key, &values[2]), 0);
    return 7;
}
static int only_looks(void *arg) {
    CHECK(vt_local_get(inherit_key) == arg);
    return 0;
}
static int inherit_main(void *arg) {
    int values[3];
    vt_scope s;
    (void)arg;
    destroyed = 0;
    CHECK_EQ(result(vt_async(grandchild, NULL)), 0); /* nothing to inherit yet */
    CHECK_EQ(vt_local_set(plain_key, &values[0]), 0);
    CHECK_EQ(vt_local_set(inherit_key, &values[0]), 0);
    CHECK_EQ(result(vt_async(only_looks, &values[0])), 0);
    CHECK_EQ(destroyed, 0); /* a copy is not destroyed */
    CHECK_EQ(result(vt_async(heir, values)), 7);
    CHECK_EQ(destroyed, 1); /* the heir's own value */
    CHECK_EQ(result(vt_async_any(heir, values)), 7);
    CHECK_EQ(vt_go(only_looks, &values[0]), 0);
    CHECK_EQ(vt_scope_open(&s, 0, 0), 0);
    CHECK_EQ(vt_scope_go(&s, only_looks, &values[0]), 0);
    CHECK_EQ(vt_scope_go_any(&s, heir, values), 0);
    vt_local_set(inherit_key, &values[1]); /* they got the value of their spawn */
    CHECK_EQ(vt_scope_wait(&s), 0);
    CHECK_EQ(destroyed, 3);
    vt_local_set(plain_key, NULL);
    return 0;
}
TEST(children_inherit_values) {
    for (int workers = 1; workers <= 3; workers += 2) {
        memory_begin();
        CHECK_EQ(run_on(workers, inherit_main, NULL), 0);
        CHECK_EQ(destroyed, 4); /* and the parent's, at its end */
        memory_end();
    }
    for (int i = 0; i < 2 * VT_LOCAL_KEYS_MAX; i++) (void)vt_local_key_inherit(NULL);
    CHECK_EQ(vt_local_key_inherit(NULL), VT_ELIMIT);
}
