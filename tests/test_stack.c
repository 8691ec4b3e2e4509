/* Stacks: guards and what stands in for them, the order of use, trimming, failures, overflow reports. */
#define VTHTTP_IMPLEMENTATION
#define VTHTTP_SIM 1
#include "../vthttp.h"
#include "test.h"
#include "rt.h"

#include <sys/resource.h>
#include <sys/wait.h>

enum { USABLE = 16384, GUARD = 32768 };

/*--- a kernel that refuses, and counts ---*/
static int64_t given_back; /* stacks */
static struct {
    int process_madvise, madvise_guard, mprotect; /* calls that still work; -1: all */
    ssize_t batch_short;                          /* bytes that process_madvise leaves out */
    int dontneed, mmaps, reallocs;                /* calls seen */
    int mmap_fails_at, realloc_fails_at;          /* the n-th call, 0: none */
    bool mmap_fails;
    int64_t mapped, blocks;
} k;
static int spend(int *left, int error) {
    if (*left == 0) return error;
    if (*left > 0) --*left;
    return 0;
}
#if defined(__linux__)
static ssize_t k_process_madvise(const struct iovec *v, size_t n, int advice) {
    if (spend(&k.process_madvise, -ENOSYS) < 0) return -ENOSYS;
    if (advice == MADV_DONTNEED) k.dontneed++;
    ssize_t r = vt__plat_sys_process_madvise(v, n, advice);
    if (advice == MADV_DONTNEED && r > 0) given_back += (int64_t)n;
    return r > 0 ? r - k.batch_short : r;
}
#endif
static int k_madvise(void *p, size_t n, int advice) {
    if (advice == VT__MADV_GUARD_INSTALL && spend(&k.madvise_guard, -EINVAL) < 0) return -EINVAL;
    if (advice == MADV_DONTNEED) k.dontneed++, given_back++;
    return vt__plat_sys_madvise(p, n, advice);
}
static int k_mprotect(void *p, size_t n, int prot) {
    return spend(&k.mprotect, -ENOMEM) < 0 ? -ENOMEM : vt__plat_sys_mprotect(p, n, prot);
}
static void *k_mmap(size_t n) {
    if (++k.mmaps == k.mmap_fails_at || k.mmap_fails) return NULL;
    void *p = vt__plat_sys_mmap(n);
    if (p) k.mapped += (int64_t)n;
    return p;
}
static int k_munmap(void *p, size_t n) {
    k.mapped -= (int64_t)n;
    return vt__plat_sys_munmap(p, n);
}
static void *k_realloc(void *p, size_t n) {
    if (++k.reallocs == k.realloc_fails_at) return NULL;
    void *q = realloc(p, n);
    if (!p && q) k.blocks++;
    return q;
}
static void k_free(void *p) {
    if (p) k.blocks--;
    free(p);
}
static void k_begin(void) {
    memset(&k, 0, sizeof k);
    k.process_madvise = k.madvise_guard = k.mprotect = -1;
#if defined(__linux__)
    vt__plat.process_madvise = k_process_madvise;
#endif
    vt__plat.madvise = k_madvise;
    vt__plat.mprotect = k_mprotect;
    vt__plat.mmap = k_mmap;
    vt__plat.munmap = k_munmap;
    vt__plat.realloc = k_realloc;
    vt__plat.free = k_free;
}
static void k_end(void) {
    static struct vt__plat_table real = {VT__PLAT_CALLS(VT__PLAT_INIT) VT__PLAT_OTHERS(VT__PLAT_INIT2)};
    CHECK_EQ(k.mapped, 0);
    CHECK_EQ(k.blocks, 0);
    vt__plat = real;
}

/* The signal that ends a process which touches *p, 0 when it may. */
static int touching(char *p) {
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL); /* sanitizers have theirs */
        signal(SIGBUS, SIG_DFL);
        *(volatile char *)p = 1;
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return -1;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
static bool is_guarded(char *s, bool want) {
    static int looks;
    char *base = vt__stack_base(s);
    if (VTHTTP_VALGRIND && ++looks > 1) return true; /* seconds each */
    return (touching(base) == SIGSEGV) == want && (touching(base + GUARD - 1) == SIGSEGV) == want;
}
static bool usable(char *s) {
    char *base = vt__stack_base(s);
    return touching(base + GUARD) == 0 && touching(base + vt__stack_g.stride - 1) == 0;
}
static void put_all(vt__stack_cache *c, char **v, int n) {
    while (n) vt__stack_put(c, v[--n]);
}

/*--- guards ---*/
TEST(every_stack_has_its_guard) {
    vt__stack_cache c = {0};
    char *v[80];
    k_begin();
    vt__stack_setup(USABLE, GUARD);
    for (int i = 0; i < 80; i++) REQUIRE((v[i] = vt__stack_get(&c)) != NULL);
    CHECK(vt__stack_g.kind != VT__GUARD_NONE);
    for (int i = 0; i < 80; i += VTHTTP_VALGRIND ? 79 : 13) {
        CHECK(is_guarded(v[i], true));
        CHECK(usable(v[i]));
        CHECK(vt__stack_intact(v[i]));
        memset(vt__stack_base(v[i]) + GUARD, 1, USABLE);
    }
    for (int i = 0; i < 80; i++)
        for (int j = 0; j < i; j++)
            CHECK((size_t)(v[i] > v[j] ? v[i] - v[j] : v[j] - v[i]) >= GUARD + USABLE);
    put_all(&c, v, 80);
    vt__stack_cache_free(&c);
    vt__stack_teardown();
    k_end();
}

/* What the kernel refuses, and what comes of it. */
static void fall_back(int process_madvise, int madvise_guard, int mprotect, ssize_t batch_short, int kind,
                      int canaries) {
    vt__stack_cache c = {0};
    char *v[72];
    int found = 0;
    k_begin();
    k.process_madvise = process_madvise;
    k.madvise_guard = madvise_guard;
    k.mprotect = mprotect;
    k.batch_short = batch_short;
    vt__stack_setup(USABLE, GUARD);
    for (int i = 0; i < 72; i++) REQUIRE((v[i] = vt__stack_get(&c)) != NULL); /* a batch of 8, one of 64 */
    CHECK_EQ(vt__stack_g.kind, kind);
    for (int i = 0; i < 72; i++) {
        bool canary = (uintptr_t)v[i] & 1;
        found += canary;
        CHECK(vt__stack_intact(v[i]));
        if (i % (VTHTTP_VALGRIND ? 71 : 9) == 0) CHECK(usable(v[i]) && is_guarded(v[i], !canary));
        if (canary) {
            memset(vt__stack_base(v[i]) + GUARD, 0x5a, 8);
            CHECK(!vt__stack_intact(v[i]));
        }
    }
    CHECK_EQ(found, canaries);
    put_all(&c, v, 72);
    vt__stack_cache_free(&c);
    vt__stack_teardown();
    k_end();
}
static bool light_guards(void) {
    vt__stack_setup(USABLE, GUARD);
    char *s = vt__plat_sys_mmap(GUARD);
    bool yes = s && vt__stack_g.kind == VT__GUARD_LIGHT &&
               vt__plat_sys_madvise(s, GUARD, VT__MADV_GUARD_INSTALL) == 0;
    if (s) (void)vt__plat_sys_munmap(s, GUARD);
    return yes;
}
TEST(light_guards_singly_where_batches_are_refused) {
    if (!light_guards()) SKIP("this kernel has no MADV_GUARD_INSTALL");
    fall_back(-1, -1, 0, 0, VT__GUARD_LIGHT, 0);
    fall_back(0, -1, 0, 0, VT__GUARD_LIGHT, 0);
    fall_back(1, -1, 0, 0, VT__GUARD_LIGHT, 0);
    fall_back(-1, -1, 0, GUARD, VT__GUARD_LIGHT, 0); /* the last of a batch was left out */
    fall_back(-1, -1, 0, 4096, VT__GUARD_LIGHT, 0);
    fall_back(0, 8, -1, 0, VT__GUARD_MPROTECT, 0); /* refused later on */
    fall_back(0, 20, -1, 0, VT__GUARD_MPROTECT, 0);
}
TEST(then_mprotect_then_a_canary) {
    fall_back(0, 0, -1, 0, VT__GUARD_MPROTECT, 0);
    fall_back(0, 0, 0, 0, VT__GUARD_NONE, 72);
    fall_back(0, 0, 3, 0, VT__GUARD_NONE, 69);
    fall_back(0, 0, 8, 0, VT__GUARD_NONE, 64);
    fall_back(0, 0, 71, 0, VT__GUARD_NONE, 1);
    fall_back(0, 0, 72, 0, VT__GUARD_MPROTECT, 0);
}
TEST(mprotect_keeps_clear_of_the_limit_of_mappings) {
    vt__stack_cache c = {0};
    char *v[8];
    k_begin();
    k.process_madvise = k.madvise_guard = 0;
    vt__stack_setup(USABLE, GUARD);
    vt__stack_g.made = VT__STACK_MPROTECT_MAX - 5;
    for (int i = 0; i < 8; i++) REQUIRE((v[i] = vt__stack_get(&c)) != NULL);
    int canaries = 0;
    for (int i = 0; i < 8; i++) canaries += (int)((uintptr_t)v[i] & 1);
    CHECK_EQ(canaries, 3);
    put_all(&c, v, 8);
    vt__stack_cache_free(&c);
    vt__stack_teardown();
    vt__stack_setup(USABLE, 0); /* no guard asked for */
    char *s = vt__stack_get(&c);
    REQUIRE(s);
    CHECK((uintptr_t)s & 1 && vt__stack_intact(s));
    CHECK_EQ(vt__stack_g.stride, USABLE);
    vt__stack_put(&c, s);
    vt__stack_cache_free(&c);
    vt__stack_teardown();
    k_end();
}

/*--- order ---*/
TEST(the_hottest_is_used_first) {
    vt__stack_cache c = {0};
    uint64_t rng = test_seed();
    char *free_list[200], *out[200];
    int nfree = 0, nout = 0;
    k_begin();
    vt__stack_setup(USABLE, GUARD);
    for (int step = 0; step < 20000; step++) {
        if (nout < 200 && test_rand(&rng) % 2) {
            char *s = vt__stack_get(&c);
            REQUIRE(s);
            if (nfree) CHECK(s == free_list[--nfree]);
            for (int i = 0; i < nout; i++) CHECK(out[i] != s);
            out[nout++] = s;
        } else if (nout) {
            int i = (int)(test_rand(&rng) % (uint64_t)nout);
            vt__stack_put(&c, free_list[nfree++] = out[i]);
            out[i] = out[--nout];
        }
    }
    put_all(&c, out, nout);
    vt__stack_cache_free(&c);
    vt__stack_teardown();
    k_end();
}

TEST(tops_are_coloured_and_inside) {
    vt__stack_cache c = {0};
    unsigned seen = 0;
    char *v[128];
    k_begin();
    vt__stack_setup(USABLE, GUARD);
    for (int i = 0; i < 128; i++) {
        REQUIRE((v[i] = vt__stack_get(&c)) != NULL);
        char *end = vt__stack_base(v[i]) + vt__stack_g.stride, *top = vt__stack_top(v[i]);
        CHECK(top <= end && end - top <= 15 * 128);
        CHECK_EQ((end - top) % 128, 0);
        seen |= 1u << (end - top) / 128;
    }
    CHECK(__builtin_popcount(seen) >= 8);
    put_all(&c, v, 128);
    vt__stack_cache_free(&c);
    vt__stack_teardown();
    k_end();
}

/*--- trimming ---*/
enum { TRIMMED = 100, KEEP = 16 };
static char *first_byte(char *s) { return vt__stack_base(s) + vt__stack_g.guard; }
static char *last_byte(char *s) { return vt__stack_base(s) + vt__stack_g.stride - 1; }
static void fill_all(char **v, int n) {
    for (int i = 0; i < n; i++)
        memset(first_byte(v[i]) + 8, 0x77, vt__stack_g.stride - vt__stack_g.guard - 8);
}
static void trim_run(int mprotect_left, int madvise_guard_left, bool batches) {
    vt__stack_cache c = {0};
    char *v[TRIMMED];
    int64_t now = VT_SEC;
    k_begin();
    k.mprotect = mprotect_left;
    k.madvise_guard = madvise_guard_left;
    k.process_madvise = batches ? -1 : 0;
    vt__stack_setup(USABLE, GUARD);
    for (int i = 0; i < TRIMMED; i++) REQUIRE((v[i] = vt__stack_get(&c)) != NULL);
    vt__stack_trim(&c, now, KEEP); /* nothing is free */
    fill_all(v, TRIMMED);
    put_all(&c, v, TRIMMED); /* v[0] is the hottest */
    CHECK_EQ(k.dontneed, 0);
    uint32_t all = c.n; /* some of the last batch were never handed out */
    vt__stack_trim(&c, now + VT_SEC / 2, KEEP);
    vt__stack_trim(&c, now += VT_SEC, KEEP); /* all were in use since the last time */
    CHECK_EQ(k.dontneed, 0);
    for (int i = 0; i < 30; i++) CHECK(vt__stack_get(&c) == v[i]); /* thirty at once in this second */
    for (int i = 0; i < TRIMMED; i++) CHECK_EQ(*last_byte(v[i]), 0x77);
    put_all(&c, v, 30);
    vt__stack_trim(&c, now += VT_SEC, KEEP);
    CHECK(k.dontneed > 0);
    CHECK_EQ(c.clean, all - 30 - KEEP);
    for (int i = 0; i < TRIMMED; i++) CHECK_EQ(*last_byte(v[i]), i < 30 + KEEP ? 0x77 : 0);
    for (int i = 0; i < TRIMMED; i++) CHECK(vt__stack_intact(v[i])); /* a canary stays */
    int before = k.dontneed;
    k.dontneed = 0;
    vt__stack_trim(&c, now + VT_SEC / 2, KEEP); /* too early */
    CHECK_EQ(k.dontneed, 0);
    vt__stack_trim(&c, now += VT_SEC, KEEP); /* the thirty; the others are clean */
    CHECK(k.dontneed > 0 && k.dontneed <= before);
    CHECK_EQ(c.clean, all - KEEP);
    k.dontneed = 0;
    vt__stack_trim(&c, now += VT_SEC, KEEP);
    CHECK_EQ(k.dontneed, 0);
    for (int i = 0; i < TRIMMED; i++) CHECK(vt__stack_get(&c) == v[i]); /* the clean are used like others */
    for (int i = 0; i < TRIMMED; i += 33)
        CHECK(((uintptr_t)v[i] & 1) || is_guarded(v[i], true)); /* guards outlive it */
    fill_all(v, TRIMMED);
    for (int i = 0; i < TRIMMED; i++) CHECK(vt__stack_intact(v[i]));
    put_all(&c, v, TRIMMED);
    vt__stack_trim(&c, now += VT_SEC, KEEP);
    vt__stack_trim(&c, now += VT_SEC, KEEP);
    CHECK_EQ(c.clean, all - KEEP);
    CHECK_EQ(*last_byte(v[TRIMMED - 1]), 0);
    vt__stack_cache_free(&c);
    vt__stack_teardown();
    k_end();
}
TEST(what_is_not_needed_goes_back_to_the_kernel) {
    trim_run(-1, -1, true);
    trim_run(-1, -1, false);
    trim_run(-1, 0, false);
    trim_run(0, 0, true); /* canaries */
}

/*--- many ---*/
static int count_maps(void) {
    FILE *f = fopen("/proc/self/maps", "r");
    int lines = 0;
    if (!f) return -1;
    for (int ch; (ch = getc(f)) != EOF;) lines += ch == '\n';
    fclose(f);
    return lines;
}
TEST(ten_thousand_stacks_in_few_mappings) {
    enum { N = sizeof(void *) == 8 ? 10000 : 3000 };
    vt__stack_cache c = {0};
    char **v = calloc(N, sizeof *v);
    REQUIRE(v);
    k_begin();
    vt__stack_setup(USABLE, GUARD);
    int before = count_maps();
    for (int i = 0; i < N; i++) {
        REQUIRE((v[i] = vt__stack_get(&c)) != NULL);
        *last_byte(v[i]) = 1;
    }
    int after = count_maps();
    if (vt__stack_g.kind == VT__GUARD_LIGHT && before > 0) CHECK(after - before <= N / VT__STACK_SLAB + 8);
    CHECK_EQ(vt__stack_g.made >= N, 1);
    put_all(&c, v, N);
    vt__stack_cache_free(&c);
    vt__stack_teardown();
    k_end();
    free(v);
}

/*--- failures ---*/
TEST(each_failed_allocation_is_survived) {
    for (int what = 0; what < 2; what++) {
        int at = 1, failures = 0;
        for (; at < 50; at++) {
            vt__stack_cache c = {0};
            char *v[700];
            int n = 0;
            k_begin();
            k.mmap_fails_at = what ? at : 0;
            k.realloc_fails_at = what ? 0 : at;
            vt__stack_setup(USABLE, GUARD);
            bool failed = false;
            for (int tries = 0; n < 700; tries++) {
                REQUIRE(tries < 702);
                if ((v[n] = vt__stack_get(&c)) != NULL) n++;
                else failed = true;
            }
            for (int i = 0; i < n; i++)
                for (int j = 0; j < i; j += 7) CHECK(v[i] != v[j]);
            failures += failed;
            put_all(&c, v, n);
            vt__stack_cache_free(&c);
            vt__stack_teardown();
            k_end();
            if (!failed && (what ? k.mmaps : k.reallocs) < at) break; /* a clean run */
        }
        CHECK(at < 50);
        CHECK(failures > 2);
    }
}

TEST(stacks_of_an_ended_thread_are_used_by_others) {
    vt__stack_cache a = {0}, b = {0};
    char *v[40], *w[200];
    k_begin();
    vt__stack_setup(USABLE, GUARD);
    for (int i = 0; i < 40; i++) REQUIRE((v[i] = vt__stack_get(&a)) != NULL);
    put_all(&a, v, 40);
    vt__stack_cache_free(&a);
    size_t made = vt__stack_g.made;
    for (int i = 0; i < 40; i++) REQUIRE((w[i] = vt__stack_get(&b)) != NULL);
    CHECK_EQ(vt__stack_g.made, made);
    for (int i = 40; i < 200; i++) REQUIRE((w[i] = vt__stack_get(&b)) != NULL);
    put_all(&b, w, 200);
    k.realloc_fails_at = k.reallocs + 1; /* no memory for a longer list: the rest waits for the end */
    CHECK(b.n > vt__stack_g.cap_spare);
    vt__stack_cache_free(&b);
    CHECK_EQ(k.reallocs, k.realloc_fails_at);
    CHECK_EQ(vt__stack_g.nspare, vt__stack_g.cap_spare);
    char *s = vt__stack_get(&b);
    CHECK(s != NULL);
    vt__stack_put(&b, s);
    vt__stack_cache_free(&b);
    vt__stack_teardown();
    k_end();
}

/*--- in the runtime ---*/
static int quick_nap(void *arg) {
    (void)arg;
    return vt_sleep(100000);
}
static int scarce_main(void *arg) {
    enum { N = 1000 };
    static vt_task *t[N];
    vt_stats s;
    (void)arg;
    for (int i = 0; i < N; i++) t[i] = vt_async(quick_nap, NULL);
    vt_yield();
    k.mmap_fails = true; /* from now on: 256 stacks have to do */
    for (int i = 0; i < N; i++) {
        int r = 1;
        CHECK_EQ(vt_await(t[i], &r), 0);
        CHECK_EQ(r, 0);
    }
    vt_stats_get(&s);
    CHECK(s.stacks <= 1024);
    return 0;
}
TEST(a_vthread_waits_for_a_stack_when_none_is_to_be_had) {
    vt_cfg cfg = {.workers = 1};
    k_begin();
    CHECK_EQ(vt_run(&cfg, scarce_main, NULL), 0);
    k_end();
}

static int yields(void *arg) {
    (void)arg;
    return vt_yield();
}
static int sweep_main(void *arg) {
    int done = 0;
    (void)arg;
    for (int i = 0; i < 40; i++) {
        int r = 1;
        vt_task *t = vt_async(yields, NULL);
        if (vt_await(t, &r) == 0) done += r == 0;
    }
    return done;
}
TEST(a_runtime_survives_each_failed_allocation) {
    int at = 1, clean = 0, refused = 0;
    vt_log_set(NULL, NULL, VT_LOG_OFF);
    for (; at < 200 && !clean; at++) {
        vt_cfg cfg = {.workers = 1};
        k_begin();
        k.realloc_fails_at = at;
        int r = vt_run(&cfg, sweep_main, NULL);
        CHECK(r == 40 || r == 39 || r == -ENOMEM);
        refused += r == -ENOMEM;
        clean = k.reallocs < at;
        if (clean) CHECK_EQ(r, 40);
        k_end();
    }
    CHECK(clean && refused > 2);
    vt_log_set(NULL, NULL, 0);
}

/*--- reports ---*/
static VT__NOINLINE int dig(int n) {
    volatile char frame[1000];
    frame[n % 1000] = (char)n;
    return n <= 0 ? frame[0] : dig(n - 1) + frame[n % 1000];
}
static int digs(void *arg) {
    vt_name_set("digger");
    return dig((int)(intptr_t)arg);
}
static int leaps(void *arg) { /* one frame that ends inside the guard */
    volatile char *frame = __builtin_alloca((size_t)(intptr_t)arg);
    vt_name_set("leaper");
    frame[0] = 1;
    return frame[0];
}
static int nulls(void *arg) {
    vt_name_set("innocent");
    return *(volatile int *)arg;
}
static int scratches(void *arg) { /* what an overflow does to a stack without a guard */
    vt__vth *v = vt__sched_self();
    (void)arg;
    vt_name_set("scratcher");
    memset(vt__stack_base(v->stack) + vt__stack_g.guard, 1, 8);
    return 0;
}
static struct {
    vt_fn *fn;
    void *arg;
} doomed;
static int spawn_doomed(void *arg) {
    (void)arg;
    return vt_await(vt_async(doomed.fn, doomed.arg), NULL); /* the spawn site that is to be named */
}
enum { SITE_LINE = __LINE__ - 2 };
static void own_handler(int sig) {
    (void)sig;
    if (write(2, "own handler\n", 12) < 0) _exit(1);
    _exit(42);
}
/* Runs fn(arg) on a vthread in a process of its own; its status, and what it wrote to standard error. */
static int run_doomed(vt_fn *fn, void *arg, const vt_cfg *cfg, bool handler, char *text, size_t cap) {
    int p[2], status = -1;
    size_t n = 0;
    fflush(stdout);
    if (pipe(p) < 0) return -1;
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(p[1], 2);
        doomed.fn = fn;
        doomed.arg = arg;
        if (handler) {
            struct sigaction sa;
            memset(&sa, 0, sizeof sa);
            sa.sa_handler = own_handler;
            sa.sa_flags = SA_ONSTACK;
            sigaction(SIGSEGV, &sa, NULL);
        }
        _exit(vt_run(cfg, spawn_doomed, NULL) == 0 ? 0 : 1);
    }
    close(p[1]);
    for (ssize_t r; n < cap - 1 && (r = read(p[0], text + n, cap - 1 - n)) > 0;) n += (size_t)r;
    text[n] = 0;
    close(p[0]);
    return waitpid(pid, &status, 0) == pid ? status : -1;
}
static bool names_site(const char *text) {
    char want[64];
    snprintf(want, sizeof want, "test_stack.c:%d", SITE_LINE);
    return strstr(text, want) != NULL;
}
TEST(an_overflow_names_the_vthread_and_its_spawn_site) {
    if (VT__ASAN || VT__TSAN || VTHTTP_VALGRIND) SKIP("the sanitizer reports overflows itself");
    char text[2000];
    vt_cfg cfg = {.workers = 1, .stack_bytes = 65536};
    int status = run_doomed(digs, (void *)20, &cfg, false, text, sizeof text);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(strstr(text, "vthttp:") == NULL);
    status = run_doomed(digs, (void *)1000000, &cfg, false, text, sizeof text);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(strstr(text, "stack overflow in virtual thread 'digger'") != NULL);
    CHECK(strstr(text, "stack of 65536 bytes") != NULL);
    CHECK(names_site(text));
    status = run_doomed(leaps, (void *)(65536 + 16384), &cfg, false, text, sizeof text);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(strstr(text, "stack overflow in virtual thread '") != NULL && names_site(text));
    status = run_doomed(digs, (void *)1000000, &cfg, true, text,
                        sizeof text); /* the program's own comes next */
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    CHECK(strstr(text, "'digger'") != NULL && strstr(text, "own handler") != NULL);
    cfg.no_segv_handler = 1;
    status = run_doomed(digs, (void *)1000000, &cfg, false, text, sizeof text);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(strstr(text, "vthttp:") == NULL);
}
static int sends_itself(void *arg) {
    (void)arg;
    return kill(getpid(), SIGSEGV);
}
static int spawn_nothing(void *arg) { return (int)(intptr_t)arg; }
static int has_a_reporter(void *arg) {
    return signal(SIGSEGV, own_handler) == SIG_ERR ? -1 : (int)(intptr_t)arg;
}
TEST(a_fault_that_is_sent_is_none_of_ours_and_is_passed_on) {
    if (VT__ASAN || VT__TSAN || VTHTTP_VALGRIND) SKIP("the sanitizer handles it itself");
    char text[2000];
    vt_cfg cfg = {.workers = 1};
    int status = run_doomed(sends_itself, NULL, &cfg, false, text, sizeof text);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(strstr(text, "vthttp:") == NULL);
    status = run_doomed(sends_itself, NULL, &cfg, true, text, sizeof text);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}
TEST(a_handler_that_came_later_stays) {
    struct sigaction before, sa;
    vt_cfg cfg = {.workers = 1};
    REQUIRE(sigaction(SIGSEGV, NULL, &before) == 0);
    CHECK_EQ(vt_run(&cfg, has_a_reporter, (void *)3), 3);
    CHECK_EQ(sigaction(SIGSEGV, &before, &sa), 0);
    CHECK(sa.sa_handler == own_handler);
    CHECK_EQ(vt_run(&cfg, spawn_nothing, NULL), 0);
    CHECK_EQ(sigaction(SIGSEGV, NULL, &sa), 0); /* ours does not */
    CHECK(sa.sa_handler == before.sa_handler);
}
static char own_stack[65536];
static int takes_own_stack(void *arg) {
    stack_t ss = {.ss_sp = own_stack, .ss_size = sizeof own_stack};
    (void)arg;
    return sigaltstack(&ss, NULL);
}
static int has_ours(void *arg) {
    stack_t now;
    (void)arg;
    return sigaltstack(NULL, &now) < 0 ? -errno : !(now.ss_flags & SS_DISABLE);
}
/* The alternate stack of a thread is the program's again behind the runtime, also one that came later. */
TEST(an_alternate_stack_that_came_later_stays) {
    if (VT__ASAN || VT__TSAN) SKIP("the sanitizer has stacks of its own");
    stack_t old, now;
    REQUIRE(sigaltstack(NULL, &old) == 0);
    CHECK_EQ(run_on(1, has_ours, NULL), 1);
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK(now.ss_flags == old.ss_flags && (now.ss_flags & SS_DISABLE || now.ss_sp == old.ss_sp));
    CHECK_EQ(run_on(1, takes_own_stack, NULL), 0);
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK(now.ss_flags == 0 && now.ss_sp == own_stack);
    CHECK_EQ(run_on(1, has_ours, NULL), 1);
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK(now.ss_sp == own_stack);
    CHECK_EQ(sigaltstack(&old, NULL), 0);
}
TEST(other_faults_are_not_reported_as_overflows) {
    if (VT__ASAN || VT__TSAN || VTHTTP_VALGRIND) SKIP("the sanitizer reports faults itself");
    char text[2000];
    vt_cfg cfg = {.workers = 1};
    int status = run_doomed(nulls, NULL, &cfg, false, text, sizeof text);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(strstr(text, "vthttp:") == NULL);
    status = run_doomed(nulls, NULL, &cfg, true, text, sizeof text);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    CHECK(strstr(text, "vthttp:") == NULL && strstr(text, "own handler") != NULL);
}
TEST(a_broken_canary_stops_the_program) {
    char text[2000];
    vt_cfg cfg = {.workers = 1};
    k_begin();
    k.process_madvise = k.madvise_guard = k.mprotect = 0;
    int status = run_doomed(digs, (void *)3, &cfg, false, text, sizeof text);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    status = run_doomed(scratches, NULL, &cfg, false, text, sizeof text);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(text, "stack overflow in virtual thread 'scratcher'") != NULL);
    CHECK(names_site(text));
    k_end();
}

/* A second after a thousand vthreads have ended, the pages of nearly all their stacks are the kernel's. */
static int parks(void *arg) { return vt_sem_acquire(arg); }
static int trims_main(void *arg) {
    enum { MANY = 1000 };
    vt_task *t[MANY];
    vt_sem s = {0};
    (void)arg;
    for (int i = 0; i < MANY; i++) t[i] = vt_async(parks, &s);
    vt_yield();
    vt_sem_release(&s, MANY);
    for (int i = 0; i < MANY; i++) CHECK_EQ(vt_await(t[i], NULL), 0);
    given_back = 0;
    for (int64_t end = vt_now() + 20 * VT_SEC; given_back < MANY - 64 && vt_now() < end;) vt_sleep_ms(20);
    CHECK(given_back >= MANY - 64);
    CHECK_EQ(vt_await(vt_async(parks, &(vt_sem){.count = 1}), NULL), 0); /* and they can be had again */
    return 0;
}
TEST(a_runtime_trims) {
    vt_cfg cfg = {.workers = 1};
    k_begin();
    CHECK_EQ(vt_run(&cfg, trims_main, NULL), 0);
    k_end();
}
