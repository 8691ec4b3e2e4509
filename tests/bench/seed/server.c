/* The server of the seed benchmark: GET / and four routes that each take their time in another way. With
 * -pool=N the same HTTP code is the baseline: what the handlers do then runs on N OS threads.
 *
 *   /ping_suspending     vt_sleep, 100 ms
 *   /ping_blocking       libc's nanosleep, 100 ms, as any library would call it; VTHTTP_HOOKS makes it park
 *   /ping_blocking_raw   the system call itself: no hook sees it, and the OS thread blocks
 *   /ping_do_work        computes for 50 ms of one CPU; ?ms=5 for 5 (at most 10,000)
 *
 *   server [-port=N] [-workers=CPUs] [-pool=0] [-spares=256] [-stall_ms=20] [-rounds=N]
 *                        rounds: of do_work for a millisecond
 *   server -calibrate    prints "rounds N": how many are a millisecond of a CPU while all CPUs do the same
 *   server -work=SECONDS -rounds=N     no HTTP: one thread a CPU does what /ping_do_work does; "work RATE" */
#define VTHTTP_HOOKS 1
#define VTHTTP_IMPLEMENTATION
#include "../../../vthttp.h"

#include "../bench.h"

#include <pthread.h>
#include <sys/syscall.h>

enum { PAUSE_MS = 100, WORK_MS = 50, CPUS_MAX = 256 };

struct ping {
    int64_t ms;
    int64_t sum; /* what do_work computes */
    double part;
};

static vt_server *server;
static int64_t rounds; /* of do_work for a millisecond */
static int pool;

/*------------------------------------------------------------------ the work */

static int do_suspend(void *arg) { return vt_sleep_ms(((struct ping *)arg)->ms); }

static int do_block(void *arg) {
    struct timespec left = {.tv_nsec = ((struct ping *)arg)->ms * 1000000};
    while (nanosleep(&left, &left) < 0)
        if (vt_cancelled() < 0) return -ECANCELED;
    return 0;
}

static int do_block_raw(void *arg) {
    struct timespec left = {.tv_nsec = ((struct ping *)arg)->ms * 1000000};
    while (syscall(SYS_nanosleep, &left, &left) < 0 && errno == EINTR) continue;
    return 0;
}

/* Each step needs the one before, so that no compiler skips or widens it. */
static void compute(int64_t n, struct ping *p) {
    uint64_t sum = 1;
    double part = 1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < 16; j++)
            for (int64_t k = 0; k < 16; k++) {
                sum = sum * 31 + (uint64_t)((i ^ j) + k);
                part = part * 0.875 + (double)(sum & 1023);
            }
    p->sum = (int64_t)(sum & INT64_MAX);
    p->part = part;
}

static int do_work(void *arg) {
    struct ping *p = arg;
    compute(p->ms * rounds, p);
    return 0;
}

/*---------------------------------------------------------------------- HTTP */

/* On the virtual thread itself, or on the baseline's pool. */
static int perform(vt_fn *fn, struct ping *p) {
    int result = 0;
    if (!pool) return fn(p);
    int r = vt_blocking(fn, p, &result);
    return r < 0 ? r : result;
}

static int pause_by(vt_fn *fn, vt_res *res) {
    struct ping p = {.ms = PAUSE_MS};
    int r = perform(fn, &p);
    return r < 0 ? r : vt_res_text(res, 200, "pong");
}

static int suspending(vt_req *req, vt_res *res) {
    (void)req;
    return pause_by(do_suspend, res);
}

static int blocking(vt_req *req, vt_res *res) {
    (void)req;
    return pause_by(do_block, res);
}

static int blocking_raw(vt_req *req, vt_res *res) {
    (void)req;
    return pause_by(do_block_raw, res);
}

static int working(vt_req *req, vt_res *res) {
    struct ping p = {.ms = WORK_MS};
    vt_str ms = vt_req_query(req, "ms");
    if (ms.ptr) p.ms = strtol(ms.ptr, NULL, 10);
    if (p.ms < 1 || p.ms > 10000) return VT_EBADREQ;
    int r = perform(do_work, &p);
    return r < 0 ? r : vt_res_printf(res, 200, "%lld %.6f", (long long)p.sum, p.part);
}

static int hello(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "Hello, World!");
}

static void ready(vt_server *s, void *ctx) {
    (void)ctx;
    printf("port %d\n", vt_server_port(s, 0));
    fflush(stdout);
}

static void on_term(int sig) {
    (void)sig;
    vt_server_stop(server);
}

static int serve(void *arg) {
    (void)arg;
    int r = vt_server_start(server);
    return r < 0 ? r : vt_server_wait(server);
}

static int run(int argc, char **argv, int cpus) {
    char addr[32];
    snprintf(addr, sizeof(addr), "127.0.0.1:%d", (int)bench_num(argc, argv, "port", 0));
    vt_cfg cfg = {.workers = (int)bench_num(argc, argv, "workers", cpus),
                  .max_blocking = pool,
                  .stall_ms = (int)bench_num(argc, argv, "stall_ms", 0),
                  .max_spares = (int)bench_num(argc, argv, "spares", 256)};
    vt_server_cfg scfg = {.addr = addr, .backlog = 8192, .grace_ms = 2000, .on_ready = ready};
    server = vt_server_new(&scfg);
    vt_server_get(server, "/", hello);
    vt_server_get(server, "/ping_suspending", suspending);
    vt_server_get(server, "/ping_blocking", blocking);
    vt_server_get(server, "/ping_blocking_raw", blocking_raw);
    vt_server_get(server, "/ping_do_work", working);
    vt_log_set(NULL, NULL, VT_LOG_ERROR); /* workers that stall are what it is about */
    bench_nofile(65536);
    signal(SIGTERM, on_term);
    signal(SIGINT, on_term);
    int r = vt_run(&cfg, serve, NULL);
    vt_server_free(server);
    return r < 0;
}

/*--------------------------------------------------------------- calibration */

static int64_t cpu_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static pthread_barrier_t together;

/* Rounds a millisecond of CPU time, while the other CPUs compute as well: they may share a core, power, or
 * a cache. */
static void *gauge(void *out) {
    struct ping p;
    int64_t n = 64, took = 0;
    pthread_barrier_wait(&together);
    for (; took < 100000000; n *= 2) {
        int64_t from = cpu_now();
        compute(n, &p);
        took = cpu_now() - from;
    }
    __asm__ volatile("" : : "r"(&p) : "memory"); /* the result counts as used */
    *(int64_t *)out = (int64_t)((double)(n / 2) * 1e6 / (double)took);
    return NULL;
}

static int64_t work_until;

static void *labour(void *out) {
    struct ping p = {.ms = WORK_MS};
    int64_t *done = out;
    pthread_barrier_wait(&together);
    int64_t from = bench_now(), now = from;
    for (*done = 0; now < from + work_until; now = bench_now(), ++*done) do_work(&p);
    __asm__ volatile("" : : "r"(&p) : "memory");
    *done = (int64_t)((double)*done * 1e12 / (double)(now - from)); /* thousandths a second */
    return NULL;
}

/* One thread a CPU; each leaves a figure. */
static void on_all(int cpus, void *(*fn)(void *), int64_t *figures) {
    pthread_t os[CPUS_MAX];
    pthread_barrier_init(&together, NULL, (unsigned)cpus);
    for (int i = 0; i < cpus; i++)
        if ((errno = pthread_create(&os[i], NULL, fn, &figures[i])) != 0) bench_die("pthread_create");
    for (int i = 0; i < cpus; i++) pthread_join(os[i], NULL);
    pthread_barrier_destroy(&together);
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int calibrate(int cpus) {
    enum { TRIES = 5 };
    int64_t all[TRIES * CPUS_MAX];
    for (int i = 0; i < TRIES; i++) on_all(cpus, gauge, all + i * cpus);
    qsort(all, (size_t)(TRIES * cpus), sizeof(all[0]), by_value);
    printf("rounds %lld\n", (long long)all[TRIES * cpus / 2]);
    return 0;
}

static int work_control(int cpus, int64_t seconds) {
    int64_t rate[CPUS_MAX], sum = 0;
    work_until = seconds * 1000000000;
    on_all(cpus, labour, rate);
    for (int i = 0; i < cpus; i++) sum += rate[i];
    printf("work %.2f\n", (double)sum / 1e3);
    return 0;
}

int main(int argc, char **argv) {
    static const char *const known[] = {"port",   "workers",   "pool", "spares", "stall_ms",
                                        "rounds", "calibrate", "work", NULL};
    cpu_set_t set;
    bench_known(argc, argv, known);
    int cpus = sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : CPU_COUNT(&set);
    if (cpus > CPUS_MAX) cpus = CPUS_MAX;
    if (bench_num(argc, argv, "calibrate", 0)) return calibrate(cpus);
    rounds = bench_num(argc, argv, "rounds", 2000);
    pool = (int)bench_num(argc, argv, "pool", 0);
    int64_t seconds = bench_num(argc, argv, "work", 0);
    return seconds > 0 ? work_control(cpus, seconds) : run(argc, argv, cpus);
}
