/* The protocol by which domains change hands (@sched, @spare), as a state machine of which every interleaving is walked.
 *
 * Each step is one atomic operation on what threads share, in the order of the function of the header that it stands for
 * (see STEPS); what a thread does to its own data happens with the step before. Waits of limited time are left out where
 * only their end matters. A second domain adds nothing to the protocol, and the model has one.
 *
 * Virtual threads run scripts: S blocks the OS thread, L takes the domain's lock, P parks, Y yields, G starts the task.
 * So does the world outside: p posts a message, e makes a descriptor ready, s starts the task, k and v wake the task and
 * the main virtual thread. What is outside may come at any time or never: a stalled thread need not come back.
 *
 * MUTANTS are what the code must not do, several of which it did: each has to be found by the walk. */
/* variants: default asan */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

/* Where an actor is, and which function that is. */
/* clang-format off */
#define STEPS(X) \
    X(K_XCHG, vt__sched_kick) X(K_WAKE, vt__sched_kick) X(L_XCHG, vt__sched_dom_lock) \
    X(L_COUNT, vt__sched_dom_wait) X(L_AGAIN, vt__sched_dom_wait) X(L_OWNER, vt__sched_dom_wait) \
    X(L_UNCOUNT, vt__sched_dom_wait) X(P_LOOP, vt__rt_thread) X(P_INBOX, vt__sched_inbox) \
    X(P_MAIL, vt__poll_messages) X(P_UNDRIVE, vt__sched_undrive) X(P_RUN, vt__sched_run) \
    X(P_DRIVER, vt__sched_run) X(P_TAKE, vt__sched_any_take) X(B_TRY, vt__spare_try) \
    X(B_DRIVER, vt__spare_give) X(B_FIND, vt__spare_rested) X(B_GIVE, vt__spare_give) \
    X(B_UNLOCK, vt__spare_give) X(B_START, vt__sched_lend) X(V_OP, vt__sched_switch_to) \
    X(V_STALLED, vt__sched_switch_to) X(V_UNLOCK, vt__sched_dom_unlock) \
    X(V_DRIVER, vt__rt_launch) X(D_DRIVE, vt__sched_drive) X(D_OWNER, vt__sched_take) \
    X(D_GIVE_UP, vt__sched_take) X(D_BACK, vt__sched_take) X(N_LOOK, vt__sched_pass) \
    X(N_ANNOUNCE, vt__sched_sleep) X(N_INBOX, vt__sched_has_mail) X(N_MAIL, vt__sched_has_mail) \
    X(N_WAITERS, vt__sched_has_mail) X(N_QUIT, vt__sched_has_mail) X(N_ANY, vt__sched_sleep) \
    X(N_ENDED, vt__sched_quit_if_done) X(N_KICK_ALL, vt__sched_quit_if_done) \
    X(N_QUIT_AGAIN, vt__sched_sleep) X(N_SLEEP, vt__sched_sleep) X(N_PARKED, vt__plat_park) \
    X(N_AWAKE, vt__sched_sleep) X(S_FRESH, vt__spare_main) X(S_ENTER, vt__rt_enter_thread) \
    X(S_BUSY, vt__spare_main) X(S_UNDRIVE, vt__spare_main) X(S_ASLEEP, vt__spare_idle) \
    X(S_WAITS, vt__spare_idle) X(S_IDLE, vt__spare_idle) X(S_ANNOUNCE, vt__spare_idle) X(S_CALLED, vt__spare_idle) X(S_TIME, vt__spare_idle) \
    X(S_GO, vt__spare_idle) X(S_MAIL, vt__spare_idle) X(S_PARK, vt__plat_park) \
    X(S_PARKED, vt__plat_park) X(S_OUT, vt__spare_idle) X(M_REST, vt__watch_look) \
    X(M_DRIVER, vt__spare_give) X(M_TRY, vt__spare_try) X(M_DRIVER_AGAIN, vt__spare_give) \
    X(M_FIND, vt__spare_rested) X(M_FIND_FREE, vt__spare_find_free) X(M_JOIN, vt__spare_launch) \
    X(M_LAUNCH, vt__spare_launch) X(M_FAILED, vt__spare_launch) X(M_FIND_LAST, vt__spare_call) \
    X(M_GIVE, vt__spare_give) \
    X(M_UNLOCK, vt__spare_give) X(F_NEXT, vt__sched_post) X(F_PUSH, vt__sched_post) \
    X(F_DRIVER, vt__sched_post) X(E_UNDRIVE, vt__rt_leave_thread) X(E_MONITOR, vt__watch_stop) \
    X(E_KICK, vt__spare_stop) X(E_JOIN, vt__spare_stop) X(ENDED, vt__rt_free)
/* clang-format on */
#define NAME(pc, fn) pc,
enum { STEPS(NAME) NPC };
#undef NAME
#define NAME(pc, fn) {#pc, #fn, (void (*)(void))fn}, /* a function that is no more does not compile */
static const struct {
    const char *pc, *name;
    void (*fn)(void);
} steps[] = {STEPS(NAME)};

enum mutant {
    FAITHFUL,
    SLEEP_LOOKS_FIRST,    /* looks for mail and work, then announces the sleep */
    SLEEP_SKIPS_WAITERS,  /* a driver sleeps though somebody waits, who kicks once: either alone would do */
    PARK_IS_BLIND,        /* parks without a look at the word */
    POST_READS_OWNER_1ST, /* whose domain it is, then the message */
    LAUNCH_KICKS_NOBODY,  /* a vthread whose domain another thread drives */
    MONITOR_WITHOUT_LOCK, /* hands over whether or not the lock is free */
    CALL_WITHOUT_LOCK,    /* a called spare looks once whether the domain is its own */
    GIVE_BEFORE_LAUNCH,   /* the new owner is published, and taken back when there is no thread */
    BACK_WITHOUT_LOCK,    /* a worker takes its domain back as soon as it returns */
    BACK_ONLY_IF_OWNER,   /* a worker sleeps on its futex like a spare */
    IDLE_LOOKS_FIRST,     /* a spare looks whether it is called, then announces the sleep */
    GOES_WITHOUT_CAS,     /* ... and goes by a plain store */
    ALONE_SLEEPS,         /* a spare whose last vthread has ended waits for mail before it idles */
    ALONE_TELLS_NOBODY,   /* ... or idles at once, though it was the last of all */
    FRESH_SEEMS_ASLEEP,   /* what the last thread of this spare left behind */
    QUIT_KICKS_NOBODY,
    WAIT_KICKS_NOBODY, /* for the lock */
    LEND_WITHOUT_LOCK, /* a driver gives its domain away while the monitor may do so as well */
    LEND_KICKS_NOBODY,
    RESERVE_CALLED_SOON, /* a spare in reserve seems to idle before it looks whether it is called */
    WAITING_IS_CALLED,   /* one that waits for its turn, and says only then that it idles */
    RESTS_FOR_EVER,      /* a worker that rests sleeps until it has mail */
    NMUTANTS
};
static enum mutant mutant;

enum { T, S1, S2, M, F, ACTORS, THREADS = 3, NOBODY = 7 };
enum { MAIN, TASK, VTHS };
enum { V_NONE, V_UNSTARTED, V_READY, V_PARKED, V_WOKEN, V_DONE };
typedef struct state {
    struct {
        uint8_t pc, kick_ret, lock_ret, drive_ret, target, reg, run;
    } a[ACTORS];
    struct {
        uint8_t drives, sleeping, spare, inbox; /* inbox: bits of vthreads */
    } t[THREADS];
    struct {
        uint8_t is, at, on; /* at: in its script; on: its thread */
    } v[VTHS];
    uint8_t lock, waiters, owner, mail, any, wake_fd, ready_fd, quit;
    uint8_t at, handoffs, failures; /* at: in the world's script */
    uint8_t rests;                  /* the worker, which has burnt CPU, for a while */
    uint8_t unused[7];
} state;

_Static_assert(sizeof(state) % 8 == 0, "hashed by words");

typedef struct scenario {
    const char *vth[VTHS], *world;
    uint8_t spares, handoffs, failures;
    bool goes;    /* a spare that idles may go */
    bool rests;   /* the worker does when it has stalled */
    bool lends;   /* a driver, before a start */
    bool reserve; /* the first spare has just been made, and is called by nobody yet */
} scenario;
static const scenario *sc;
static const char *wrong; /* what this state breaks */

static void expect(bool ok, const char *what) {
    if (!ok) wrong = what;
}
static bool on_thread(const state *s, int t, int from, int to) {
    for (int v = 0; v < VTHS; v++)
        if (s->v[v].on == t && s->v[v].is >= from && s->v[v].is <= to) return true;
    return false;
}
static bool any_ready(const state *s, int t) { return on_thread(s, t, V_READY, V_READY); }
static bool is_alone(const state *s, int t) {
    return t != T && !s->t[t].drives && !on_thread(s, t, V_READY, V_WOKEN);
}
static bool all_ended(const state *s) {
    return s->v[MAIN].is == V_DONE && (s->v[TASK].is == V_DONE || s->v[TASK].is == V_NONE);
}

/*--- steps: 0 not possible, 1 done, WORLD what may never come ---*/
enum { WORLD = 2 };
static int to(state *s, int a, int pc) { return s->a[a].pc = (uint8_t)pc, 1; }
static int kick(state *s, int a, int whom, int then) {
    s->a[a].target = (uint8_t)whom, s->a[a].kick_ret = (uint8_t)then;
    return to(s, a, K_XCHG);
}
static int lock(state *s, int a, int then) {
    s->a[a].lock_ret = (uint8_t)then;
    return to(s, a, L_XCHG);
}
static int kick_step(state *s, int a) {
    int whom = s->a[a].target, then = s->a[a].kick_ret;
    uint8_t *sleeping = &s->t[whom].sleeping;
    switch (s->a[a].pc) {
    case K_XCHG: /* the load before it decides nothing that it does not */
        s->a[a].reg = *sleeping, *sleeping = 0;
        return to(s, a, s->a[a].reg ? K_WAKE : then);
    default: /* K_WAKE */
        if (s->a[a].reg == VT__SCHED_POLLS) s->wake_fd = 1;
        else if (s->a[whom].pc == N_PARKED) (void)to(s, whom, N_AWAKE);
        else if (s->a[whom].pc == S_PARKED) (void)to(s, whom, S_ANNOUNCE);
        return s->a[a].reg = 0, to(s, a, then);
    }
}
static int lock_step(state *s, int a) {
    bool was = s->lock;
    switch (s->a[a].pc) {
    case L_XCHG: return s->lock = 1, to(s, a, was ? L_COUNT : s->a[a].lock_ret);
    case L_COUNT: return s->waiters++, to(s, a, mutant == SLEEP_SKIPS_WAITERS ? L_OWNER : L_AGAIN);
    case L_AGAIN: /* turns that change nothing are none */
        if (was && (mutant == WAIT_KICKS_NOBODY || mutant == SLEEP_SKIPS_WAITERS)) return 0;
        if (was && !s->t[s->owner].sleeping) return 0;
        return s->lock = 1, to(s, a, was ? L_OWNER : L_UNCOUNT);
    case L_OWNER: return kick(s, a, s->owner, L_AGAIN);
    default: return s->waiters--, to(s, a, s->a[a].lock_ret); /* L_UNCOUNT */
    }
}

/* What a vthread does next; its thread goes to the scheduler when it stops. */
static int run_next(state *s, int a) {
    for (int v = 0; v < VTHS; v++)
        if (s->v[v].on == a && s->v[v].is == V_READY) return s->a[a].run = (uint8_t)v, to(s, a, V_OP);
    return s->a[a].run = NOBODY, to(s, a, P_RUN);
}
static int vth_op(state *s, int a) {
    int v = s->a[a].run;
    switch (sc->vth[v][s->v[v].at++]) {
    case 'S': return to(s, a, V_STALLED);
    case 'L': return lock(s, a, V_UNLOCK);
    case 'P': return s->v[v].is = V_PARKED, run_next(s, a);
    case 'Y': return s->a[a].run = NOBODY, to(s, a, D_DRIVE);
    case 'G': return s->v[TASK].is = V_UNSTARTED, s->any = 1, to(s, a, V_DRIVER);
    default: return s->v[v].at--, s->v[v].is = V_DONE, run_next(s, a);
    }
}
static int vth_step(state *s, int a) {
    switch (s->a[a].pc) {
    case V_OP: return vth_op(s, a);
    case V_STALLED: s->rests |= a == T && sc->rests; return to(s, a, V_OP), WORLD;
    case V_UNLOCK: return s->lock = 0, to(s, a, V_OP);
    default: /* V_DRIVER */
        if (s->owner == a || mutant == LAUNCH_KICKS_NOBODY) return to(s, a, V_OP);
        return kick(s, a, s->owner, V_OP);
    }
}

static bool may_call(uint8_t is) {
    return is == VT__SPARE_IDLE || (is == VT__SPARE_WAITS && mutant == WAITING_IS_CALLED);
}
/* The driver gives its domain away before it starts what it has taken; target: to which spare. */
static int lend_step(state *s, int a) {
    int i = s->a[a].target;
    switch (s->a[a].pc) {
    case B_TRY:
        if (s->lock && mutant != LEND_WITHOUT_LOCK) return to(s, a, B_START);
        return s->lock = 1, to(s, a, B_DRIVER);
    case B_DRIVER: s->a[a].target = S1, s->a[a].reg = 0; return to(s, a, s->owner == a ? B_FIND : B_UNLOCK);
    case B_FIND:
        if (i > sc->spares) return to(s, a, B_UNLOCK);
        if (!may_call(s->t[i].spare)) return s->a[a].target++, 1;
        return s->t[i].spare = VT__SPARE_CALLED, to(s, a, B_GIVE);
    case B_GIVE: return s->owner = (uint8_t)i, s->a[a].reg = 1, to(s, a, B_UNLOCK);
    case B_UNLOCK:
        s->lock = 0;
        if (!s->a[a].reg || mutant == LEND_KICKS_NOBODY) return to(s, a, B_START);
        return kick(s, a, i, B_START);
    default: return run_next(s, a); /* B_START */
    }
}

/* vt__sched_pass, from the mail to the vthreads. */
static int pass_step(state *s, int a) {
    switch (s->a[a].pc) {
    case P_LOOP:
        if (s->quit) return to(s, a, a == T ? E_UNDRIVE : S_UNDRIVE);
        if (is_alone(s, a)) return to(s, a, S_UNDRIVE);
        return to(s, a, P_INBOX);
    case P_INBOX:
        for (int v = 0; v < VTHS; v++)
            if (s->t[a].inbox >> v & 1) s->v[v].is = V_READY;
        s->t[a].inbox = 0;
        return s->t[a].drives ? to(s, a, P_MAIL) : run_next(s, a);
    case P_MAIL: return s->mail = 0, to(s, a, P_UNDRIVE);
    case P_UNDRIVE: return s->t[a].drives = s->lock = 0, run_next(s, a);
    case P_RUN: return to(s, a, s->any ? P_DRIVER : D_DRIVE);
    case P_DRIVER: return to(s, a, s->owner == a ? P_TAKE : D_DRIVE);
    default: /* P_TAKE */
        if (!s->any) return to(s, a, D_DRIVE);
        s->any = 0, s->v[TASK].is = V_READY, s->v[TASK].on = (uint8_t)a;
        return sc->lends ? to(s, a, B_TRY) : run_next(s, a);
    }
}
static int drive_step(state *s, int a, int choice) {
    bool own = a == T && mutant != BACK_ONLY_IF_OWNER, mine = s->owner == a;
    switch (s->a[a].pc) {
    case D_DRIVE:
        if (choice > 1 || (choice && (a != T || mine || !s->rests))) return 0;
        s->a[a].drive_ret = N_LOOK;
        if (choice == 1) return to(s, a, N_LOOK);
        if (a == T) s->rests = 0; /* whether or not that is over: it has the domain */
        if (a == T && mutant == BACK_WITHOUT_LOCK) return s->lock = 1, to(s, a, D_OWNER);
        return own || mine ? lock(s, a, D_OWNER) : to(s, a, N_LOOK);
    case D_OWNER:
        s->t[a].drives = own || mine;
        return to(s, a, mine ? s->a[a].drive_ret : own ? D_BACK : D_GIVE_UP);
    case D_GIVE_UP: return s->lock = 0, to(s, a, s->a[a].drive_ret);
    default: return s->owner = (uint8_t)a, to(s, a, s->a[a].drive_ret); /* D_BACK */
    }
}

/* The looks before a sleep; reg: there is something to do. */
static int look(state *s, int a, bool found, int then) {
    bool first = mutant == SLEEP_LOOKS_FIRST && !s->t[a].sleeping;
    s->a[a].reg = found;
    if (found) return to(s, a, first ? N_ANNOUNCE : N_SLEEP);
    return to(s, a, then == N_ENDED && first ? N_ANNOUNCE : then);
}
static int sleep_step(state *s, int a, int choice) {
    bool drives = s->t[a].drives;
    bool alone = is_alone(s, a), idles = alone && mutant != ALONE_SLEEPS;
    uint8_t how = drives ? VT__SCHED_POLLS : VT__SCHED_FUTEX;
    switch (s->a[a].pc) {
    case N_LOOK:
        if (alone && mutant != ALONE_SLEEPS) return choice == 0 ? to(s, a, P_LOOP) : 0;
        /* it may see what is there or be too early for it, but for its own vthreads */
        if (choice == 0 && !any_ready(s, a))
            return s->a[a].reg = 0, to(s, a, mutant == SLEEP_LOOKS_FIRST ? N_INBOX : N_ANNOUNCE);
        if (choice == 1 && any_ready(s, a)) return to(s, a, P_LOOP);
        if (choice != 2 ||
            !(any_ready(s, a) || s->t[a].inbox || s->quit || (drives && (s->mail || s->any || s->waiters))))
            return 0;
        if (drives) s->wake_fd = s->ready_fd = 0;
        return to(s, a, P_LOOP);
    case N_ANNOUNCE:
        s->t[a].sleeping = how;
        return to(s, a, mutant != SLEEP_LOOKS_FIRST ? N_INBOX : s->a[a].reg ? N_SLEEP : N_ENDED);
    case N_INBOX: return look(s, a, s->t[a].inbox, drives ? N_MAIL : N_QUIT);
    case N_MAIL: return look(s, a, s->mail, mutant == SLEEP_SKIPS_WAITERS ? N_QUIT : N_WAITERS);
    case N_WAITERS: return look(s, a, s->waiters, N_QUIT);
    case N_QUIT: return look(s, a, s->quit, drives ? N_ANY : N_ENDED);
    case N_ANY: return look(s, a, s->any, N_ENDED);
    case N_ENDED:
        if (!all_ended(s)) return to(s, a, idles ? S_ASLEEP : N_QUIT_AGAIN);
        s->quit = 1;
        return s->a[a].run = T, to(s, a, mutant == QUIT_KICKS_NOBODY ? N_QUIT_AGAIN : N_KICK_ALL);
    case N_KICK_ALL:
        if (s->a[a].run == THREADS) return s->a[a].run = NOBODY, to(s, a, idles ? S_ASLEEP : N_QUIT_AGAIN);
        return kick(s, a, s->a[a].run++, N_KICK_ALL);
    case N_QUIT_AGAIN: return s->a[a].reg = s->quit, to(s, a, N_SLEEP);
    case N_SLEEP:
        if (drives && !s->a[a].reg && !s->wake_fd && !s->ready_fd) return 0;
        if (drives) s->wake_fd = s->ready_fd = 0;
        bool park = !drives && !s->a[a].reg && (s->t[a].sleeping == how || mutant == PARK_IS_BLIND);
        return s->a[a].reg = 0, to(s, a, park ? N_PARKED : N_AWAKE);
    case N_AWAKE: return s->t[a].sleeping = 0, to(s, a, P_LOOP);
    default: /* N_PARKED: until it has rested */
        if (choice != 1 || a != T || !s->rests || mutant == RESTS_FOR_EVER) return 0;
        return s->rests = 0, to(s, a, N_AWAKE);
    }
}

static int spare_step(state *s, int a, int choice) {
    uint8_t *is = &s->t[a].spare;
    switch (s->a[a].pc) {
    case S_FRESH:
        if (mutant != FRESH_SEEMS_ASLEEP) s->t[a].sleeping = 0;
        return to(s, a, S_ENTER);
    case S_ENTER:
        if (*is == VT__SPARE_WAITS || (mutant == RESERVE_CALLED_SOON && sc->reserve && a == S1))
            return to(s, a, S_ASLEEP);
        s->a[a].drive_ret = S_BUSY;
        return s->owner == a ? lock(s, a, D_OWNER) : to(s, a, S_BUSY);
    case S_BUSY:
        *is = VT__SPARE_BUSY, s->a[a].drive_ret = P_LOOP;
        if (s->t[a].drives) return to(s, a, P_LOOP);
        if (mutant == CALL_WITHOUT_LOCK && s->owner != a) return to(s, a, P_LOOP);
        return lock(s, a, D_OWNER);
    case S_UNDRIVE:
        if (s->t[a].drives) s->t[a].drives = s->lock = 0;
        return to(s, a, mutant == ALONE_TELLS_NOBODY || mutant == ALONE_SLEEPS ? S_ASLEEP : N_ENDED);
    case S_ASLEEP: return s->t[a].sleeping = VT__SCHED_FUTEX, to(s, a, S_WAITS);
    case S_WAITS: return *is = VT__SPARE_WAITS, to(s, a, S_IDLE);
    case S_IDLE: return *is = VT__SPARE_IDLE, to(s, a, mutant == IDLE_LOOKS_FIRST ? S_CALLED : S_ANNOUNCE);
    case S_ANNOUNCE:
        s->t[a].sleeping = VT__SCHED_FUTEX;
        return to(s, a, mutant == IDLE_LOOKS_FIRST ? S_TIME : S_CALLED);
    case S_CALLED:
        if (*is == VT__SPARE_CALLED) return to(s, a, S_OUT);
        return to(s, a, mutant == IDLE_LOOKS_FIRST ? S_ANNOUNCE : S_TIME);
    case S_TIME:
        if (choice == 1 && sc->goes) return to(s, a, S_GO), WORLD;
        return choice == 0 ? to(s, a, s->quit ? S_GO : S_MAIL) : 0;
    case S_GO:
        if (*is != VT__SPARE_IDLE && mutant != GOES_WITHOUT_CAS) return to(s, a, S_OUT);
        return *is = VT__SPARE_GONE, to(s, a, ENDED);
    case S_MAIL: return to(s, a, s->quit ? S_ANNOUNCE : S_PARK);
    case S_PARK: return to(s, a, s->t[a].sleeping == VT__SCHED_FUTEX ? S_PARKED : S_ANNOUNCE);
    case S_PARKED:
        return choice == 1 && sc->goes ? to(s, a, S_ANNOUNCE),
               WORLD                   : 0;                 /* time, or a kick about something else */
    default: return s->t[a].sleeping = 0, to(s, a, S_BUSY); /* S_OUT */
    }
}

/* The monitor; target: from whom, run: which spare. A look may be out of date by the time it acts. */
static int monitor_step(state *s, int choice) {
    int i = s->a[M].run, from = s->a[M].target;
    uint8_t *is = i < THREADS ? &s->t[i].spare : NULL;
    switch (s->a[M].pc) {
    case M_REST:
        if (!s->handoffs || s->a[choice].pc != V_STALLED) return 0;
        s->handoffs--, s->a[M].target = (uint8_t)choice;
        return to(s, M, M_DRIVER), WORLD;
    case M_DRIVER: return to(s, M, s->owner == from ? M_TRY : M_REST);
    case M_TRY:
        if (s->lock && mutant != MONITOR_WITHOUT_LOCK) return to(s, M, M_REST);
        return s->lock = 1, to(s, M, M_DRIVER_AGAIN);
    case M_DRIVER_AGAIN:
        s->a[M].run = S1, s->a[M].reg = 0;
        return to(s, M, s->owner == from ? M_FIND : M_UNLOCK);
    case M_FIND: /* choice 1: it is about to go, and is passed over */
        if (choice > 1 || (choice && (i > sc->spares || !may_call(*is)))) return 0;
        if (i > sc->spares) return s->a[M].run = S1, to(s, M, M_FIND_FREE);
        if (choice || !may_call(*is)) return s->a[M].run++, 1;
        return *is = VT__SPARE_CALLED, to(s, M, M_GIVE);
    case M_FIND_LAST:
        if (i > sc->spares) return to(s, M, M_UNLOCK);
        if (!may_call(*is)) return s->a[M].run++, 1;
        return *is = VT__SPARE_CALLED, to(s, M, M_GIVE);
    case M_FIND_FREE:
        if (i > sc->spares) return s->a[M].run = S1, to(s, M, M_FIND_LAST);
        return *is <= VT__SPARE_GONE ? to(s, M, M_JOIN) : (s->a[M].run++, 1);
    case M_JOIN:
        if (s->a[i].pc != ENDED) return 0;
        *is = VT__SPARE_CALLED;
        if (mutant == GIVE_BEFORE_LAUNCH && s->lock)
            return s->lock = 0, s->owner = (uint8_t)i, to(s, M, M_LAUNCH);
        return to(s, M, M_LAUNCH);
    case M_LAUNCH:
        if (choice == 1 && s->failures) return s->failures--, to(s, M, M_FAILED);
        if (choice == 0) (void)to(s, i, S_FRESH);
        if (mutant == GIVE_BEFORE_LAUNCH) return choice == 0 && to(s, M, M_REST);
        return choice == 0 && to(s, M, M_GIVE);
    case M_FAILED:
        *is = VT__SPARE_NONE;
        if (mutant != GIVE_BEFORE_LAUNCH) return s->a[M].run = S1, to(s, M, M_FIND_LAST);
        if (s->owner == i) s->owner = (uint8_t)from;
        return kick(s, M, from, M_REST);
    case M_GIVE: return s->owner = (uint8_t)i, s->a[M].reg = 1, to(s, M, M_UNLOCK);
    default: /* M_UNLOCK */ s->lock = 0; return s->a[M].reg ? kick(s, M, i, M_REST) : to(s, M, M_REST);
    }
}

/* Threads of others; run: which vthread is woken. */
static void world_push(state *s, char op) {
    if (op == 'p') s->mail = 1;
    else s->any = 1, s->v[TASK].is = V_UNSTARTED;
}
static int world_step(state *s) {
    char op = sc->world[s->at];
    bool owner_first = mutant == POST_READS_OWNER_1ST;
    int v = op == 'v' ? MAIN : TASK;
    switch (s->a[F].pc) {
    case F_NEXT:
        if (!op) return 0;
        if (op == 'e') return s->ready_fd = 1, s->at++, WORLD;
        if (op == 'v' || op == 'k') {
            if (s->v[v].is != V_PARKED) return 0;
            s->v[v].is = V_WOKEN, s->t[s->v[v].on].inbox |= (uint8_t)(1 << v), s->at++;
            return kick(s, F, s->v[v].on, F_NEXT), WORLD;
        }
        if (owner_first) return s->a[F].target = s->owner, to(s, F, F_PUSH), WORLD;
        return world_push(s, op), s->at++, to(s, F, F_DRIVER), WORLD;
    case F_PUSH: return world_push(s, op), s->at++, kick(s, F, s->a[F].target, F_NEXT);
    default: return kick(s, F, s->owner, F_NEXT); /* F_DRIVER */
    }
}

/* The end of vt_run, on the first worker; run: which spare. */
static int end_step(state *s, int a) {
    switch (s->a[a].pc) {
    case E_UNDRIVE:
        if (s->t[a].drives) s->t[a].drives = s->lock = 0;
        return to(s, a, E_MONITOR);
    case E_MONITOR:
        if (s->a[M].pc != M_REST) return 0;
        return s->a[a].run = S1, to(s, M, ENDED), to(s, a, E_KICK);
    case E_KICK:
        if (s->a[a].run == THREADS) return to(s, a, ENDED);
        if (s->t[s->a[a].run].spare == VT__SPARE_NONE) return s->a[a].run++, 1;
        return kick(s, a, s->a[a].run, E_JOIN);
    case E_JOIN: return s->a[s->a[a].run].pc == ENDED ? s->a[a].run++, to(s, a, E_KICK) : 0;
    default: return 0; /* ENDED */
    }
}
enum { CHOICES = 3 };
static bool taken[NPC];
static int dispatch(state *s, int a, int choice) {
    int pc = s->a[a].pc;
    if (pc == M_REST || pc == M_FIND || pc == M_LAUNCH) return monitor_step(s, choice);
    if (pc == D_DRIVE) return drive_step(s, a, choice);
    if (pc >= N_LOOK && pc <= N_AWAKE) return sleep_step(s, a, choice);
    if (pc >= S_FRESH && pc <= S_OUT) return spare_step(s, a, choice);
    if (choice) return 0;
    if (pc <= K_WAKE) return kick_step(s, a);
    if (pc <= L_UNCOUNT) return lock_step(s, a);
    if (pc <= P_TAKE) return pass_step(s, a);
    if (pc <= B_START) return lend_step(s, a);
    if (pc <= V_DRIVER) return vth_step(s, a);
    if (pc <= D_BACK) return drive_step(s, a, choice);
    if (pc <= M_UNLOCK) return monitor_step(s, choice);
    return pc <= F_DRIVER ? world_step(s) : end_step(s, a);
}

static int one_step(state *s, int a, int choice) {
    int pc = s->a[a].pc, r = dispatch(s, a, choice);
    if (r) taken[pc] = taken[s->a[a].pc] = true;
    return r;
}
/* Whether its next step touches nothing that others see, or looks at what nobody else can change before it does. */
static bool is_local(const state *s, int a) {
    int v = s->a[a].run;
    bool starts = s->any ||
                  (s->v[TASK].is == V_NONE && (strchr(sc->world, 's') || strchr(sc->vth[MAIN], 'G')));
    switch (s->a[a].pc) {
    case V_OP: return sc->vth[v][s->v[v].at] != 'G';
    case D_DRIVE: return a == T && !s->rests;
    case B_START: return true;
    case N_KICK_ALL: return true;
    case L_UNCOUNT:
        return mutant == FAITHFUL; /* who has the lock alone looks at `waiters`, and changes the owner */
    case D_OWNER: return mutant == FAITHFUL;
    case M_DRIVER_AGAIN: return mutant == FAITHFUL;
    case M_FIND:
    case M_FIND_LAST:
    case M_FIND_FREE:
    case M_JOIN: return v <= sc->spares && s->t[v].spare == VT__SPARE_NONE;
    case S_FRESH: return !s->t[a].sleeping;
    case P_INBOX:
    case N_INBOX: return !on_thread(s, a, V_PARKED, V_WOKEN);
    case P_MAIL:
    case N_MAIL: return !s->mail && !strchr(sc->world + s->at, 'p');
    case P_RUN:
    case N_ANY: return !starts;
    case N_QUIT:
    case N_ENDED:
    case N_QUIT_AGAIN:
    case P_LOOP: return a == T && s->v[MAIN].is != V_DONE;
    default: return false;
    }
}
/* Registers that are not in use would only multiply the states. */
static void forget(state *s, int a) {
    int pc = s->a[a].pc;
    if (pc == M_REST) s->a[a].run = NOBODY;
    if (a != M && pc > K_WAKE && pc != F_PUSH && (pc < B_FIND || pc > B_UNLOCK)) s->a[a].target = 0;
    if (pc == M_REST) s->a[a].target = 0;
    if (pc > K_WAKE) s->a[a].kick_ret = 0;
    if (pc > L_UNCOUNT) s->a[a].lock_ret = 0;
    if (pc > L_UNCOUNT && (pc < D_DRIVE || pc > D_BACK)) s->a[a].drive_ret = 0;
    if (pc > K_WAKE && (pc < N_ANNOUNCE || pc > N_SLEEP) && (pc < M_DRIVER || pc > M_UNLOCK) &&
        pc != B_UNLOCK)
        s->a[a].reg = 0;
}
static int step(state *s, int a, int choice) {
    int r = one_step(s, a, choice);
    while (r && is_local(s, a)) (void)one_step(s, a, 0);
    if (r) forget(s, a);
    return r;
}

/*--- what must hold ---*/
/* Always. */
static void check_state(const state *s) {
    int inside = s->a[M].pc > M_TRY && s->a[M].pc <= M_UNLOCK && s->a[M].pc != M_REST;
    if (mutant == GIVE_BEFORE_LAUNCH && (s->a[M].pc == M_LAUNCH || s->a[M].pc == M_FAILED)) inside = 0;
    for (int i = 0; i < THREADS; i++) {
        int pc = s->a[i].pc;
        bool asleep = s->t[i].spare >= VT__SPARE_WAITS || s->t[i].spare == VT__SPARE_GONE;
        inside += s->t[i].drives + (pc == V_UNLOCK) + (pc >= B_DRIVER && pc <= B_UNLOCK);
        expect(i == T || !asleep || !s->t[i].drives, "a spare that idles or is gone drives");
        expect(pc != V_STALLED || !s->t[i].sleeping, "a thread stalls and the monitor thinks that it sleeps");
    }
    expect(inside <= 1, "two threads are inside a domain");
}
/* When nothing goes on unless something comes from outside. */
static void check_rest(const state *s) {
    bool out = s->a[s->owner].pc == V_STALLED; /* may be handed over; else waits for its return */
    if (s->quit) {
        for (int i = 0; i < ACTORS; i++)
            expect(i == F || s->a[i].pc == ENDED, "a thread does not hear of the runtime's end");
        return;
    }
    expect(!all_ended(s), "all has ended and nobody notices");
    expect(out || !s->mail, "a message is lost");
    expect(out || !s->any, "a start is lost");
    expect(out || !s->ready_fd, "an event is lost");
    expect(s->owner == T || s->t[s->owner].spare == VT__SPARE_BUSY,
           "a domain belongs to a spare that is not there");
    expect(s->a[T].pc == V_STALLED || (s->owner == T && s->t[T].drives),
           "a worker does not get its domain back");
    for (int i = 0; i < ACTORS; i++) {
        expect(s->a[i].pc < L_XCHG || s->a[i].pc > L_UNCOUNT, "a thread waits for the lock for ever");
        expect(i != M || s->a[i].pc == M_REST, "the monitor hangs");
        if (i >= THREADS) continue;
        expect(s->a[i].pc == V_STALLED || !(s->t[i].inbox || any_ready(s, i)), "a wake-up is lost");
        expect(s->t[i].spare != VT__SPARE_CALLED, "a call is lost");
        expect(s->t[i].spare != VT__SPARE_BUSY || s->owner == i || s->a[i].pc == V_STALLED || !is_alone(s, i),
               "a spare has nothing to do and does not idle");
    }
}

/*--- the walk ---*/
enum { STATES_MAX = 1 << 21, TABLE = STATES_MAX * 2 };
typedef struct node {
    state s;
    uint32_t from;
    uint8_t actor, good; /* good: the end can be reached */
} node;
static node *nodes;
static uint32_t *table, *edges; /* edges: from, to */
static uint32_t nnodes, nedges, edges_cap;

static uint32_t node_of(const state *s, uint32_t from, int actor) {
    uint64_t h = 0, word[sizeof *s / 8];
    memcpy(word, s, sizeof word);
    for (size_t i = 0; i < VT__COUNT(word); i++)
        h = (h ^ word[i]) * UINT64_C(0x9e3779b97f4a7c15), h ^= h >> 29;
    uint32_t at = (uint32_t)(h >> 20) % TABLE;
    for (; table[at]; at = (at + 1) % TABLE)
        if (memcmp(&nodes[table[at] - 1].s, s, sizeof *s) == 0) return table[at] - 1;
    if (nnodes == STATES_MAX) abort(); /* a scenario too large for the walk shows nothing */
    nodes[nnodes] = (node){*s, from, (uint8_t)actor, s->a[T].pc == ENDED};
    return table[at] = nnodes + 1, nnodes++;
}
static void edge(uint32_t from, uint32_t to_node) {
    if (nedges + 2 > edges_cap) {
        edges_cap = edges_cap ? edges_cap * 2 : 1 << 16;
        edges = realloc(edges, edges_cap * sizeof *edges);
        if (!edges) abort();
    }
    edges[nedges++] = from, edges[nedges++] = to_node;
}
static void expand(uint32_t n) {
    bool moves = false;
    for (int a = 0; a < ACTORS && !wrong; a++)
        for (int choice = 0; choice < CHOICES && !wrong && nodes[n].s.a[a].pc != ENDED; choice++) {
            state s = nodes[n].s;
            int r = step(&s, a, choice);
            if (!r) continue;
            if (r == 1) moves = true;
            check_state(&s);
            edge(n, node_of(&s, n, a));
        }
    if (!moves && !wrong) check_rest(&nodes[n].s);
}
/* From everywhere the end can be reached: nobody goes round in circles. */
static uint32_t check_end(void) {
    for (bool more = true; more;) {
        more = false;
        for (uint32_t e = nedges; e > 0; e -= 2)
            if (nodes[edges[e - 1]].good && !nodes[edges[e - 2]].good) nodes[edges[e - 2]].good = more = true;
    }
    for (uint32_t n = 0; n < nnodes; n++)
        if (!nodes[n].good) return wrong = "the runtime cannot end", n;
    return 0;
}
static void show(uint32_t n) {
    static const char *const who[] = {"worker", "spare 1", "spare 2", "monitor", "world"};
    if (n != nodes[n].from) show(nodes[n].from);
    else return;
    int a = nodes[n].actor, pc = nodes[nodes[n].from].s.a[a].pc;
    printf("  %s: %s (%s)\n", who[a], steps[pc].name, steps[pc].pc);
}
/* What is wrong with it, NULL: nothing. */
static const char *walk(const scenario *of, enum mutant m, bool verbose) {
    state s;
    uint32_t n = 0, end;
    sc = of, mutant = m, wrong = NULL, nnodes = nedges = 0;
    memset(table, 0, TABLE * sizeof *table);
    memset(&s, 0, sizeof s);
    for (int i = 0; i < ACTORS; i++) s.a[i].pc = ENDED, s.a[i].run = NOBODY;
    s.a[T].pc = P_LOOP, s.a[M].pc = M_REST, s.a[F].pc = F_NEXT;
    s.t[T].drives = s.lock = 1, s.v[MAIN].is = V_READY;
    s.handoffs = of->handoffs, s.failures = of->failures;
    if (of->reserve) {
        s.a[S1].pc = S_FRESH;
        s.t[S1].spare = m == RESERVE_CALLED_SOON ? VT__SPARE_IDLE : VT__SPARE_WAITS;
    }
    (void)node_of(&s, 0, T);
    while (n < nnodes && !wrong) expand(n++);
    end = wrong ? nnodes - 1 : check_end();
    if (wrong && verbose) printf("%s:\n", wrong), show(end);
    return wrong;
}

/* Small ones, since their states are the product of all that happens. */
static const scenario scenarios[] = {
    {{"SP", ""}, "pv", 1, 1, 0, .goes = true},    /* a message */
    {{"SP", ""}, "ev", 1, 1, 0, .goes = false},   /* an event */
    {{"SP", "P"}, "skv", 1, 1, 0, .goes = false}, /* what began on the spare stays there, and is woken */
    {{"SYLP", ""}, "v", 1, 1, 0, .goes = false},  /* the lock, by a vthread of the worker */
    {{"GSL", "LSL"}, "", 1, 1, 0, .goes = false}, /* ... and by one of the spare, which stalls as well */
    {{"SGSP", ""}, "v", 1, 1, 0, .goes = false},  /* a start by the worker while the spare drives */
    /* a spare that has gone, and stalls at once in its next life */
    {{"SYGS", "S"}, "", 1, 2, 0, .goes = true},
    {{"SYSYS", ""}, "", 1, 3, 1, .goes = true}, /* one that is called again and again */
    {{"SYS", ""}, "p", 1, 2, 0, .goes = true},  /* ... with a message */
    /* a second spare for the first; a thread that cannot be made */
    {{"GS", "S"}, "", 2, 2, 1, .goes = false},
    {{"SYP", ""}, "pv", 1, 1, 0, false, .rests = true},    /* the worker rests; a message */
    {{"SYGYP", "S"}, "v", 1, 1, 0, false, .rests = true},  /* ... or has a start */
    {{"SYGSYP", "S"}, "v", 1, 2, 0, false, .lends = true}, /* given away by its driver, or by the monitor */
    {{"SYGSP", "P"}, "kv", 1, 1, 0, true, .lends = true},  /* ... while a spare goes */
    {{"SP", "S"}, "sv", 1, 1, 0, false, .rests = true, .lends = true},    /* both */
    {{"SYGSP", "S"}, "v", 1, 1, 0, true, .lends = true, .reserve = true}, /* to one that has just been made */
};
static void room(void) {
    nodes = nodes ? nodes : malloc(STATES_MAX * sizeof *nodes);
    table = table ? table : malloc(TABLE * sizeof *table);
    if (!nodes || !table) abort();
}
TEST(b111_every_interleaving_of_a_handoff) {
    long states = 0;
    room();
    for (size_t i = 0; i < VT__COUNT(scenarios); i++) {
        const char *bad = walk(&scenarios[i], FAITHFUL, true);
        states += nnodes;
        if (bad) test_fail(__FILE__, __LINE__, bad);
    }
    for (int pc = 0; pc < NPC; pc++) /* a step that no scenario takes shows nothing; F_PUSH is a mutant's */
        if (!taken[pc] && pc != F_PUSH) test_fail(__FILE__, __LINE__, steps[pc].pc);
    printf("%ld states\n", states);
}
/* In the others it is no different. */
static bool shows(const scenario *of, int m) {
    if (m == LEND_WITHOUT_LOCK || m == LEND_KICKS_NOBODY) return of->lends;
    if (m == RESERVE_CALLED_SOON) return of->reserve;
    return m == RESTS_FOR_EVER ? of->rests : true;
}
TEST(b111_mutants_of_the_handoff_are_found) {
    room();
    for (int m = FAITHFUL + 1; m < NMUTANTS; m++) {
        const char *bad = NULL;
        for (size_t i = 0; i < VT__COUNT(scenarios) && !bad; i++)
            if (shows(&scenarios[i], m)) bad = walk(&scenarios[i], (enum mutant)m, false);
        if (!bad) printf("not found: mutant %d\n", m);
        CHECK(bad);
    }
}
