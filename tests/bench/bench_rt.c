/* The runtime alone: switch, yield, spawn, live virtual threads, timers. One worker, one row a measure.
 *
 *   bench_rt [-only=NAME] [-n=N] [-reps=7] [-list]
 *
 * -only=NAME -n=N -reps=1 runs one measure with N operations, for callgrind: two runs with different N, and the
 * difference of the instruction counts divided by the difference of N, are the cost of an operation. */
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"

#include "bench.h"

#define REPS_MAX 31

typedef double measure_fn(long long n);

struct measure {
    const char *name, *unit;
    double goal;
    long long n; /* operations of one run, when the command line gives none */
    measure_fn *run;
    int once; /* dear, or growing: a single run */
};

static void row(const char *name, double value, const char *unit, double goal) {
    if (goal > 0) printf("= %s %.2f %s <=%g %s\n", name, value, unit, goal, value <= goal ? "ok" : "MISS");
    else printf("= %s %.2f %s - -\n", name, value, unit);
    fflush(stdout);
}

/* Runs a function on a virtual thread of a runtime of one worker. */
static void on_runtime(vt_fn *fn, void *arg, int64_t max_vthreads) {
    vt_cfg cfg = {.workers = 1, .max_vthreads = max_vthreads};
    int rc = vt_run(&cfg, fn, arg);
    errno = 0;
    if (rc < 0) bench_die("vt_run: %s", vt_strerror(rc));
}

/*------------------------------------------------------------------ switch */

static _Alignas(64) vt__ctx outer, inner; /* as a vthread has it, in a cache line of its own */

static void come_back(vt__ctx *c) {
    (void)c;
    vt__ctx_arrive(&inner);
    for (;;) (void)vt__ctx_switch(&inner, &outer, 0);
}

/* There and back again, nothing between. */
static double raw_switch(long long n) {
    static char stack[65536];
    vt__ctx_init_thread(&outer);
    vt__ctx_make(&inner, stack, stack + sizeof(stack), come_back);
    int64_t from = bench_now();
    for (long long i = 0; i < n; i++) (void)vt__ctx_switch(&outer, &inner, 0);
    return (double)(bench_now() - from) / (double)n;
}

/*------------------------------------------------------------------ timers */

enum { TIMERS = 10000 };
static vt__wheel wheel;
static vt__timer timers[TIMERS];
static long long fired;

static void on_fire(vt__timer *t) {
    (void)t;
    fired++;
}

static void timers_reset(void) {
    vt__timer_wheel_init(&wheel, 0);
    for (int i = 0; i < TIMERS; i++) vt__timer_init(&timers[i], on_fire);
}

/* A deadline moves back, as an idle time-out does with every wait: the entry that is armed stays. */
static double timer_rearm(long long n) {
    timers_reset();
    for (int i = 0; i < TIMERS; i++) vt__timer_arm(&wheel, &timers[i], 30 * VT_SEC);
    int64_t from = bench_now();
    for (long long i = 0; i < n; i++)
        vt__timer_lazy(&wheel, &timers[i & 63], 30 * VT_SEC + (i & 1023) * 1000);
    return (double)(bench_now() - from) / (double)n;
}

static double timer_add(long long n) {
    int64_t ns = 0;
    long long done = 0;
    timers_reset();
    for (; done < n; done += 1024) {
        int64_t from = bench_now();
        for (int i = 0; i < 1024; i++) vt__timer_arm(&wheel, &timers[i], 30 * VT_SEC + i * VT_MS);
        ns += bench_now() - from;
        for (int i = 0; i < 1024; i++) vt__timer_cancel(&wheel, &timers[i]);
    }
    return (double)ns / (double)done;
}

/* Spread over a minute; armed, moved down the levels, fired. */
static double timer_fire(long long n) {
    int64_t ns = 0;
    long long done = 0;
    for (; done < n; done += TIMERS) {
        timers_reset();
        for (int i = 0; i < TIMERS; i++) vt__timer_arm(&wheel, &timers[i], (int64_t)i * 6 * VT_MS);
        fired = 0;
        int64_t from = bench_now();
        for (int64_t now = 0; now < 61 * VT_SEC; now += 5 * VT_MS) (void)vt__timer_advance(&wheel, now, 1000);
        ns += bench_now() - from;
        if (fired != TIMERS) bench_die("%lld of %d timers fired", fired, TIMERS);
    }
    return (double)ns / (double)done;
}

/*------------------------------------------------------------------- yield */

struct ring {
    long long rounds;
    int size;
    double ns_each;
};

static int ring_member(void *arg) {
    struct ring *r = arg;
    for (long long i = -2; i < r->rounds; i++) vt_yield(); /* two while the stacks are being made */
    return 0;
}

static int ring_main(void *arg) {
    struct ring *r = arg;
    vt_task **t = calloc((size_t)r->size, sizeof(vt_task *));
    if (!t) return -ENOMEM;
    for (int i = 0; i < r->size; i++) t[i] = vt_async(ring_member, r);
    int rc = vt_yield();
    int64_t from = bench_now();
    for (int i = 0; i < r->size && rc == 0; i++) rc = vt_await(t[i], NULL);
    r->ns_each = (double)(bench_now() - from) / (double)(r->rounds * r->size);
    free(t);
    return rc;
}

static double ring_ns(int size, long long rounds) {
    struct ring r = {.rounds = rounds, .size = size};
    on_runtime(ring_main, &r, 0);
    return r.ns_each;
}

/* Two that yield to each other: a round is two switches. */
static double yield_pair(long long n) { return 2 * ring_ns(2, n); }
static double yield_ring_10(long long n) { return ring_ns(10, n / 10 + 1); }
static double yield_ring_1000(long long n) { return ring_ns(1000, n / 1000 + 1); }

/*------------------------------------------------------------------- spawn */

struct spawn {
    long long n;
    double ns_each;
};

static int nothing(void *arg) { return arg != NULL; }

static int spawn_main(void *arg) {
    struct spawn *s = arg;
    int64_t from = 0;
    for (long long i = -1000; i < s->n; i++) { /* the first ones warm the caches */
        if (i == 0) from = bench_now();
        int rc = vt_await(vt_async(nothing, NULL), NULL);
        if (rc < 0) return rc;
    }
    s->ns_each = (double)(bench_now() - from) / (double)s->n;
    return 0;
}

static double spawn_join(long long n) {
    struct spawn s = {.n = n};
    on_runtime(spawn_main, &s, 0);
    return s.ns_each;
}

/* The mutex hand-over between two: the way of every wait and wake on one worker. */
struct pingpong {
    vt_sem a, b;
    long long n;
    double ns_each;
};

static int pong(void *arg) {
    struct pingpong *p = arg;
    for (long long i = 0; i < p->n; i++) {
        vt_sem_acquire(&p->a);
        vt_sem_release(&p->b, 1);
    }
    return 0;
}

static int ping(void *arg) {
    struct pingpong *p = arg;
    vt_task *t = vt_async(pong, p);
    int64_t from = bench_now();
    for (long long i = 0; i < p->n; i++) {
        vt_sem_release(&p->a, 1);
        vt_sem_acquire(&p->b);
    }
    p->ns_each = (double)(bench_now() - from) / (double)p->n;
    return vt_await(t, NULL);
}

static double semaphore_pair(long long n) {
    struct pingpong p = {.n = n};
    on_runtime(ping, &p, 0);
    return p.ns_each;
}

/* A value goes over one unbuffered channel and comes back over another. */
struct volley {
    vt_chan *there, *back;
    uint64_t n;
    double ns_each;
};

static int volley_back(void *arg) {
    struct volley *p = arg;
    uint64_t x;
    while (vt_chan_recv(p->there, &x) == 0) (void)vt_chan_send(p->back, &x);
    return 0;
}

static int volley_main(void *arg) {
    struct volley *p = arg;
    vt_task *t = vt_async(volley_back, p);
    uint64_t x = 0;
    int64_t from = bench_now();
    for (uint64_t i = 0; i < p->n; i++) {
        (void)vt_chan_send(p->there, &i);
        (void)vt_chan_recv(p->back, &x);
    }
    p->ns_each = (double)(bench_now() - from) / (double)p->n;
    (void)vt_chan_close(p->there);
    return x == p->n - 1 ? vt_await(t, NULL) : -EIO;
}

static double volley(long long n, uint32_t flags) {
    struct volley p = {vt_chan_new(sizeof(uint64_t), 0, flags), vt_chan_new(sizeof(uint64_t), 0, flags),
                       (uint64_t)n, 0};
    on_runtime(volley_main, &p, 0);
    vt_chan_free(p.there);
    vt_chan_free(p.back);
    return p.ns_each;
}

static double channel_pair(long long n) { return volley(n, VT_LOCAL); }
static double channel_pair_shared(long long n) { return volley(n, 0); }

/*-------------------------------------------------------------------- live */

struct live {
    vt_sem gate;
    vt_wg all;
    long long n, started, kib_before, kib_after, maps_before, maps_after;
    int64_t start_ns, end_ns;
    vt_stats stats;
};

static long long status_kib(const char *key) {
    char line[256];
    long long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    if (!f) return 0;
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0) sscanf(line + strlen(key), " %lld", &kib);
    fclose(f);
    return kib;
}

static long long maps_count(void) {
    long long n = 0;
    int c;
    FILE *f = fopen("/proc/self/maps", "r");
    if (!f) return 0;
    while ((c = getc(f)) != EOF) n += c == '\n';
    fclose(f);
    return n;
}

static int live_member(void *arg) {
    struct live *l = arg;
    l->started++;
    vt_sem_acquire(&l->gate);
    vt_wg_done(&l->all);
    return 0;
}

static int live_main(void *arg) {
    struct live *l = arg;
    int rc = 0;
    l->maps_before = maps_count();
    l->kib_before = status_kib("VmRSS:") + status_kib("VmPTE:");
    int64_t from = bench_now();
    for (long long i = 0; i < l->n && rc >= 0; i++) {
        vt_wg_add(&l->all, 1);
        rc = vt_go(live_member, l);
        if (i % 256 == 255) vt_yield(); /* they start as they come, as connections do */
    }
    if (rc < 0) {
        vt_stop(); /* or those that wait at the gate would keep the runtime alive */
        return rc;
    }
    while (l->started < l->n) vt_yield();
    l->start_ns = bench_now() - from;
    l->kib_after = status_kib("VmRSS:") + status_kib("VmPTE:");
    l->maps_after = maps_count();
    vt_stats_get(&l->stats);
    from = bench_now();
    vt_sem_release(&l->gate, l->n);
    rc = vt_wg_wait(&l->all);
    l->end_ns = bench_now() - from;
    return rc;
}

static double live(long long n) {
    static const char *const guards[] = {"none", "mprotect", "guard regions"};
    struct live l = {.n = n};
    on_runtime(live_main, &l, n + 16);
    double each = (double)(l.kib_after - l.kib_before) / (double)n;
    printf(
        "live: %lld parked at once, guard %s, start %.0f ns each, end %.0f ns each, mappings %lld to %lld\n",
        n, guards[l.stats.guard_kind >= 0 && l.stats.guard_kind < 3 ? l.stats.guard_kind : 0],
        (double)l.start_ns / (double)n, (double)l.end_ns / (double)n, l.maps_before, l.maps_after);
    row("live_vthreads", (double)n, "vthreads", 0);
    row("live_mappings", (double)l.maps_after, "VMAs", 64);
    return each;
}

/*-------------------------------------------------------------------- main */

static const struct measure measures[] = {
    {"raw_switch", "ns", 3, 20000000, raw_switch, 0},
    {"yield_pair", "ns", 8, 5000000, yield_pair, 0},
    {"yield_ring_10", "ns", 0, 5000000, yield_ring_10, 0},
    {"yield_ring_1000", "ns", 6, 5000000, yield_ring_1000, 0},
    {"spawn_join", "ns", 20, 2000000, spawn_join, 0},
    {"semaphore_pair", "ns", 0, 2000000, semaphore_pair, 0},
    {"channel_pair", "ns", 20, 2000000, channel_pair, 0},
    {"channel_pair_shared", "ns", 0, 2000000, channel_pair_shared, 0},
    {"timer_rearm", "ns", 3, 20000000, timer_rearm, 0},
    {"timer_add", "ns", 5, 20000000, timer_add, 0},
    {"timer_fire", "ns", 100, 100000, timer_fire, 0},
    {"live_each", "KiB", 4.25, 100000, live, 1},
};

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(const struct measure *m, long long n, int reps) {
    double v[REPS_MAX];
    if (m->once) reps = 1;
    for (int i = 0; i < reps; i++) v[i] = m->run(n > 0 ? n : m->n);
    qsort(v, (size_t)reps, sizeof(*v), by_value);
    row(m->name, v[reps / 2], m->unit, m->goal);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"only", "n", "reps", "list", NULL};
    bench_known(argc, argv, known);
    const char *only = bench_opt(argc, argv, "only", NULL);
    int reps = (int)bench_num(argc, argv, "reps", 7), list = (int)bench_num(argc, argv, "list", 0), ran = 0;
    errno = 0;
    if (reps < 1 || reps > REPS_MAX) bench_die("-reps is 1 to %d", REPS_MAX);
    for (size_t i = 0; i < sizeof(measures) / sizeof(*measures); i++) {
        const struct measure *m = &measures[i];
        if (only && strcmp(only, m->name) != 0) continue;
        ran++;
        if (list) puts(m->name);
        else run(m, bench_num(argc, argv, "n", 0), reps);
    }
    if (!ran) bench_die("no measure is called %s: see -list", only);
    return 0;
}
