/* tsan */
/* variants: default asan tsan poll ucontext clang */
/* What the runtime makes of the system: CPUs, threads that cannot be had, descriptors' flags, signals. */
#define VTHTTP_SIM 1
#include "e2e.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct vt__plat_table real; /* put back by each test */
static int run_on(int workers, vt_fn *fn, void *arg) {
    vt_cfg cfg = {.workers = workers};
    return vt_run(&cfg, fn, arg);
}
static int give(void *arg) { return (int)(intptr_t)arg; }

/*--- CPUs ---*/
static unsigned long cpus[16];
static int some_cpus(size_t size, unsigned long *mask) {
    memcpy(mask, cpus, VT__MIN(size, sizeof cpus));
    return 0;
}
static int no_cpus(size_t size, unsigned long *mask) {
    (void)size, (void)mask;
    return -EINVAL;
}
/* A kernel for 8,192 of them takes no room for less. */
static int many_cpus(size_t size, unsigned long *mask) {
    if (size < 1024) return -EINVAL;
    mask[0] = 0xff;
    mask[size / sizeof *mask - 1] = 1;
    return 0;
}
static int count_workers(void *arg) {
    (void)arg;
    return vt__sched_g.ndoms;
}
static int served_by;
static int note_workers(vt_server *s, void *ctx) {
    (void)ctx;
    served_by = vt__sched_g.ndoms;
    vt_server_stop(s);
    return 0;
}
TEST(the_cpus_of_the_mask_are_the_default_of_workers) {
    static const struct {
        unsigned long first, last;
        int want;
    } masks[] = {{1, 0, 1}, {8, 0, 1}, {7, 0, 3}, {1, 6, 3}, {0, 0, 1}, {0x31, 0x8000, 4}};
    real = vt__plat;
    vt__plat.affinity = some_cpus;
    for (size_t i = 0; i < VT__COUNT(masks); i++) {
        vt_cfg cfg;
        vt_server_cfg all, sc = {.addr = "127.0.0.1:0", .no_signals = 1, .on_start = note_workers};
        cpus[0] = masks[i].first, cpus[1] = masks[i].last;
        vt_cfg_defaults(&cfg);
        CHECK_EQ(cfg.workers, masks[i].want);
        CHECK_EQ(vt_run(NULL, count_workers, NULL), masks[i].want);
        CHECK_EQ(run_on(2, count_workers, NULL), 2);
        vt_server_cfg_defaults(&all);
        CHECK_EQ(all.workers, masks[i].want);
        vt_server *s = vt_server_new(&sc);
        vt_log_set(NULL, NULL, VT_LOG_OFF);
        CHECK_EQ(vt_server_run(s), 0);
        CHECK_EQ(served_by, masks[i].want);
        vt_server_free(s);
    }
    vt__plat.affinity = many_cpus;
    CHECK_EQ(vt_run(NULL, count_workers, NULL), 9);
    vt__plat.affinity = no_cpus;
    CHECK_EQ(vt_run(NULL, count_workers, NULL), 1);
    vt__plat = real;
}

/*--- threads ---*/
static int threads_allowed, threads_made, threads_joined;
static int few_threads(pthread_t *t, void *(*fn)(void *), void *arg) {
    if (threads_made == threads_allowed) return -EAGAIN;
    threads_made++;
    return vt__plat_sys_thread(t, fn, arg);
}
static void count_join(pthread_t t) {
    threads_joined++;
    vt__plat_sys_join(t);
}
static int open_fds(void) {
    int n = 0;
    for (int fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}
static int64_t blocks;
static void *count_realloc(void *p, size_t n) {
    void *q = vt__plat_sys_realloc(p, n);
    if (!p && q) __atomic_fetch_add(&blocks, 1, __ATOMIC_RELAXED);
    return q;
}
static void count_free(void *p) {
    if (p) __atomic_fetch_sub(&blocks, 1, __ATOMIC_RELAXED);
    vt__plat_sys_free(p);
}
static int never_called(void *arg) {
    *(int *)arg = 1;
    return 0;
}
TEST(workers_that_cannot_be_had) {
    real = vt__plat;
    CHECK_EQ(run_on(2, give, NULL), 0); /* what a process has after its first run */
    vt__plat.thread = few_threads;
    vt__plat.join = count_join;
    vt__plat.realloc = count_realloc;
    vt__plat.free = count_free;
    vt_log_set(NULL, NULL, VT_LOG_OFF);
    for (threads_allowed = 0; threads_allowed < 3; threads_allowed++)
        for (int server = 0; server < 2; server++) {
            int fds = open_fds(), called = 0;
            threads_made = threads_joined = 0;
            blocks = 0;
            if (server) {
                vt_server_cfg cfg = {.addr = "127.0.0.1:0", .workers = 4, .no_signals = 1};
                vt_server *s = vt_server_new(&cfg);
                CHECK_EQ(vt_server_run(s), -EAGAIN);
                CHECK_EQ(vt_server_port(s, 0), -1);
                vt_server_free(s);
            } else {
                CHECK_EQ(run_on(4, never_called, &called), -EAGAIN);
            }
            CHECK_EQ(called, 0);
            CHECK_EQ(threads_made, threads_allowed);
            CHECK_EQ(threads_joined, threads_allowed);
            CHECK_EQ(open_fds(), fds);
            CHECK_EQ(blocks, 0);
        }
    threads_made = 0;
    CHECK_EQ(run_on(4, give, (void *)9), 9);
    vt__plat = real;
}

/*--- descriptors ---*/
static bool was_open[1024];
static int had_bad, had_new;
static void look_at_fds(const char *what) {
    for (int fd = 0; fd < 1024; fd++) {
        int fl = fcntl(fd, F_GETFD);
        if (fl < 0 || was_open[fd]) continue;
        had_new++;
        if (fl & FD_CLOEXEC) continue;
        had_bad++;
        printf("%s: descriptor %d would be inherited\n", what, fd);
    }
}
static int accept_one(void *arg) {
    vt_sock **s = arg;
    return vt_accept(s[0], &s[1]);
}
static int reads_one(void *arg) {
    char c;
    return (int)vt_read(arg, &c, 1);
}
static int no_job(void *arg) {
    (void)arg;
    return 0;
}
static int fds_main(void *arg) {
    vt_sock *tcp[2], *un[2], *a, *b, *taken;
    char addr[VT_ADDR_MAX], name[40];
    int p[2], fl;
    (void)arg;
    CHECK_EQ(vt_listen(&tcp[0], "127.0.0.1:0", NULL), 0);
    snprintf(name, sizeof name, "unix:@vt-plat-%d", (int)getpid());
    CHECK_EQ(vt_listen(&un[0], name, NULL), 0);
    vt_task *t = vt_async_any(accept_one, tcp), *u = vt_async_any(accept_one, un);
    vt_sock_local(tcp[0], addr, sizeof addr);
    CHECK_EQ(vt_dial(&a, addr, NULL), 0);
    CHECK_EQ(vt_dial(&b, name, NULL), 0);
    CHECK_EQ(vt_await(t, &fl), 0);
    CHECK_EQ(fl, 0);
    CHECK_EQ(vt_await(u, &fl), 0);
    CHECK_EQ(fl, 0);
    CHECK_EQ(vt_blocking(no_job, NULL, NULL), 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0); /* blocking, and inherited */
    was_open[p[1]] = true;
    CHECK_EQ(vt_sock_from_fd_take(&taken, p[0]), 0);
    CHECK_EQ(vt_sock_fd(taken), p[0]);
    CHECK(fcntl(p[0], F_GETFL) & O_NONBLOCK);
    vt_task *r = vt_async(reads_one, taken);
    vt_yield(); /* a read that blocked would hold this vthread, too */
    CHECK(!vt_task_done(r));
    CHECK(write(p[1], "x", 1) == 1);
    CHECK_EQ(vt_await(r, &fl), 0);
    CHECK_EQ(fl, 1);
    CHECK_EQ(vt_sock_from_fd_take(&(vt_sock *){NULL}, -1), -EBADF);
    look_at_fds("sockets");
    vt_sock *all[] = {tcp[0], tcp[1], un[0], un[1], a, b, taken};
    for (size_t i = 0; i < VT__COUNT(all); i++) CHECK(fcntl(vt_sock_fd(all[i]), F_GETFL) & O_NONBLOCK);
    for (size_t i = 0; i < VT__COUNT(all); i++) vt_sock_close(all[i]);
    close(p[1]);
    return 0;
}
static int h_fds(vt_req *req, vt_res *res) {
    (void)req;
    vt_sleep_ms(1); /* in the poll set by then */
    look_at_fds("a handler");
    return vt_res_text(res, 200, "looked");
}
static void routes_fds(vt_server *s) {
    char name[40];
    snprintf(name, sizeof name, "unix:@vt-plat-2-%d", (int)getpid());
    vt_server_get(s, "/", h_fds);
    CHECK_EQ(vt_server_listen(s, name), 0);
}
TEST(no_descriptor_is_inherited) {
    for (int fd = 0; fd < 1024; fd++) was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    had_bad = had_new = 0;
    CHECK_EQ(run_on(2, fds_main, NULL), 0);
    CHECK(had_new >= 9);
    had_new = 0;
    REQUIRE(e2e_start(NULL, routes_fds) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/"), 200);
    CHECK(had_new >=
          6); /* two of reactors at least, two listeners, the reserve, both sides of this connection */
    CHECK_EQ(had_bad, 0);
    CHECK_EQ(e2e_stop(), 0);
}

/*--- signals ---*/
static sigset_t in_handler[8], in_start;
static int masks_seen;
static bool same_mask(const sigset_t *a, const sigset_t *b) {
    for (int sig = 1; sig < 32; sig++)
        if (sigismember(a, sig) != sigismember(b, sig)) return false;
    return true;
}
static int h_mask(vt_req *req, vt_res *res) {
    (void)req;
    vt_sleep_ms(1);
    if (vt_worker() < 8) {
        pthread_sigmask(SIG_SETMASK, NULL, &in_handler[vt_worker()]);
        __atomic_fetch_or(&masks_seen, 1 << vt_worker(), __ATOMIC_SEQ_CST);
    }
    return vt_res_text(res, 200, "seen");
}
static void routes_mask(vt_server *s) { vt_server_get(s, "/", h_mask); }
static int start_mask(vt_server *s, void *ctx) {
    (void)s, (void)ctx;
    pthread_sigmask(SIG_SETMASK, NULL, &in_start);
    return 0;
}
TEST(signal_masks_are_the_programs) {
    sigset_t mine, before, after;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &mine, &before);
    vt_server_cfg cfg = {.on_start = start_mask};
    masks_seen = 0;
    CHECK_EQ(run_on(1, give, NULL), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    CHECK(same_mask(&mine, &after));
    REQUIRE(e2e_start(&cfg, routes_mask) == 0); /* its thread inherits the mask */
    for (int i = 0; i < 200 && __atomic_load_n(&masks_seen, __ATOMIC_SEQ_CST) != 3; i++) {
        CL(c);
        CHECK_EQ(cl_get(&c, "/"), 200);
    }
    CHECK_EQ(e2e_stop(), 0);
    CHECK(same_mask(&mine, &in_start));
    for (int i = 0; i < 2; i++)
        if (masks_seen >> i & 1) CHECK(same_mask(&mine, &in_handler[i]));
    CHECK(masks_seen > 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
