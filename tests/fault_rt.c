/* The runtime on the scripted kernel, where the N-th allocation or system call of each kind fails, then all from the
 * N-th on, N = 1, 2, ... until a run in which nothing was left to fail. Every call says what went wrong or succeeds; nothing
 * crashes, hangs or leaks; afterwards a run without faults is as good as ever. */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "simkernel.h"

static void quiet(void *ctx, int level, const char *line) {
    (void)ctx, (void)level;
    if (sim.verbose) printf("           log: %s\n", line);
}

/*--- the work: each part counts as done only when its result is right; an error must be a known one ---*/
enum { PARTS = 16 };
static int done[PARTS], errors[PARTS];
static void part(int i, int r, bool right) {
    if (r < 0) errors[i]++;
    else if (right) done[i]++;
    else test_fail(__FILE__, __LINE__, "a wrong result");
    if (r < 0 && strcmp(vt_err_name(r), "?") == 0) test_fail(__FILE__, __LINE__, "an error without a name");
}

static int child(void *arg) {
    int r = vt_sleep_ms(1);
    return r < 0 ? r : *(int *)arg;
}
static int kid_count;
static int kid(void *arg) {
    (void)arg;
    kid_count++;
    return 0;
}
static void work_spawn(void) {
    int in[40], out = 0, spawned = 0;
    vt_task *t[40];
    for (int i = 0; i < 40; i++) in[i] = i, t[i] = vt_async(child, &in[i]);
    for (int i = 0; i < 40; i++) {
        int r = vt_await(t[i], &out);
        part(0, r < 0 ? r : 0, out == i);
    }
    kid_count = 0;
    for (int i = 0; i < 10; i++) {
        int r = i & 1 ? vt_go(kid, NULL) : vt_go_any(kid, NULL);
        spawned += r == 0;
        part(1, r, true);
    }
    vt_sleep_ms(1);
    CHECK_EQ(kid_count, spawned); /* what was said to be spawned runs */
}

/* Echo over a connection to ourselves. */
static vt_sock *listener;
static bool echo_up;
static int echo_one(void *arg) {
    vt_sock *s = arg;
    char buf[300];
    int64_t n;
    while ((n = vt_read(s, buf, sizeof buf)) > 0)
        if ((n = vt_write(s, buf, (size_t)n)) < 0) break;
    vt_sock_close(s);
    return 0;
}
static int echo(void *arg) {
    vt_sock *s;
    (void)arg;
    echo_up = true;
    for (int r;;) {
        r = vt_accept(listener, &s);
        if (r == VT_ECLOSED || r == -ECANCELED) return 0;
        if (r < 0) {
            part(3, r, true);
            if (r != -ENOMEM && !vt__io_accept_again(r) && !vt__io_accept_starved(r)) return r;
            continue;
        }
        if (vt_go(echo_one, s) < 0) vt_sock_close(s);
    }
}
static void work_talk(const char *addr) {
    vt_sock *s = NULL;
    char text[2000], back[2000], name[VT_ADDR_MAX];
    int64_t until = vt_now() + 20 * VT_SEC;
    int r = vt_dial_until(&s, addr, NULL, until);
    part(4, r, true);
    if (r < 0) return;
    memset(text, 't', sizeof text);
    memset(back, 0, sizeof back);
    vt_deadline_set(until);
    int64_t n = vt_write(s, text, sizeof text);
    part(5, (int)VT__MIN(n, 0), n == (int64_t)sizeof text);
    if (n > 0) {
        n = vt_read_full(s, back, sizeof back);
        if (n == 0) n = VT_EEOF;
        part(6, (int)VT__MIN(n, 0), n == (int64_t)sizeof back && memcmp(text, back, sizeof back) == 0);
    }
    if (vt_sock_peer(s, name, sizeof name) >= 0) CHECK(strchr(name, ':') != NULL);
    vt_deadline_set(0);
    vt_sock_close(s);
}
static void work_sockets(void) {
    int r = vt_listen(&listener, "127.0.0.1:7000", NULL);
    part(2, r, true);
    if (r < 0) return;
    echo_up = false;
    vt_task *t = vt_async(echo, NULL);
    while (!echo_up && !vt_task_done(t)) vt_yield();
    work_talk("127.0.0.1:7000");
    work_talk("one.test:7000");
    vt_sock_close(listener);
    while (vt_await(t, &r) == -ETIMEDOUT) continue;
}
static void *other_side(void *arg) {
    vt_sleep_ms(1);
    uint64_t one = 1;
    (void)vt__plat_write(*(int *)arg, &one, sizeof one);
    return NULL;
}
static int other(void *arg) {
    other_side(arg);
    return 0;
}
static void work_fds(void) {
#if defined(__linux__)
    int fd = vt__plat_eventfd();
    part(7, fd, true);
    if (fd < 0) return;
    int64_t until = vt_now() + VT_SEC;
    int r = vt_go(other, &fd);
    r = vt_wait_fd(fd, VT_READ, until);
    part(8, r, r == VT_READ);
    vt_sleep_ms(5);
    (void)vt__plat_close(fd);
#endif
}
static int blocked(void *arg) { return *(int *)arg; }
static void work_rest(void) {
    int in = 7, out = 0, key = 0;
    int r = vt_blocking(blocked, &in, &out);
    part(9, r, out == 7);
    (void)key;
    r = vt_yield();
    part(10, r, true);
}
static void work_files(void) {
    char out[3000], in[3001];
    for (size_t i = 0; i < sizeof out; i++) out[i] = (char)(i * 7);
    int fd = vt_file_open("/disk", O_RDWR, 0);
    part(11, fd, true);
    if (fd < 0) return;
    int64_t n = vt_file_write(fd, out, sizeof out, 100);
    part(12, (int)VT__MIN(n, 0), n == (int64_t)sizeof out); /* all, or an error */
    if (n > 0) {
        n = vt_file_read(fd, in, sizeof in, 100);
        if (n >= 0 && n < (int64_t)sizeof out) { /* it failed on its way, which the next call tells */
            CHECK(memcmp(in, out, (size_t)n) == 0);
            n = vt_file_read(fd, in, sizeof in, 100);
        }
        part(13, (int)VT__MIN(n, 0), n == (int64_t)sizeof out && memcmp(in, out, sizeof out) == 0);
    }
    part(14, vt_file_sync(fd), true);
    part(15, vt_file_close(fd), true);
}
static int work(void *arg) {
    (void)arg;
    work_files();
    work_spawn();
    work_sockets();
    work_fds();
    work_rest();
    return 42;
}

/*--- sweeps ---*/
static int run_all(void) {
    vt_cfg cfg = {.workers = 1};
    memset(done, 0, sizeof done);
    memset(errors, 0, sizeof errors);
    return vt_run(&cfg, work, NULL);
}
static bool clean_run(void) {
    bool ok = run_all() == 42;
    for (int i = 0; i < PARTS; i++) ok = ok && errors[i] == 0;
    return ok && done[0] == 40 && done[1] == 10 && done[4] == 2 && done[6] == 2 && done[8] <= 1 &&
           done[9] == 1 && done[11] == 1 && done[12] == 1 && done[13] == 1 && done[14] == 1 && done[15] == 1;
}
/* Runs with the fault, and one without. */
static bool faulty(int id, int64_t nth, bool onward, int err) {
    sim_begin((uint64_t)nth * 7 + (uint64_t)id * 1000 + onward);
    sim_fault(id, nth, onward, err);
    int r = run_all();
    CHECK(r == 42 || (r < 0 && strcmp(vt_err_name(r), "?") != 0));
    bool hit = sim.faults > 0;
    if (!hit) CHECK_EQ(r, 42);
    sim_settle();
    memset(sim.f, 0, sizeof sim.f);
    CHECK(clean_run());
    sim_settle();
    sim_end();
    return hit;
}
static int sweep(int id, bool onward, int err, int most) {
    int n = 1;
    for (; n < most; n++) {
        int before = test_failures;
        bool hit = faulty(id, n, onward, err);
        if (test_failures > before) {
            printf("with %s number %d%s failing with %d\n", sim_names[id], n,
                   onward ? " and all after it" : "", err);
            return n;
        }
        if (!hit) return n - 1;
    }
    printf("%s: not at an end at %d\n", sim_names[id], most);
    test_failures++;
    return n;
}
/* Each of the errors that the call can give. */
static int sweep_errors(int id, bool onward) {
    int most = 0;
    for (const int *e = sim_errs(id); *e; e++)
        if (!onward || *e != EINTR || id == SIM_accept) /* nothing is interrupted for ever */
            most = VT__MAX(most, sweep(id, onward, *e, 1000));
    return most;
}
TEST(fault_rt_clean) {
    sim_begin(1);
    vt_log_set(quiet, NULL, VT_LOG_DEBUG);
    CHECK(clean_run());
    sim_settle();
    sim_end();
}
TEST(fault_rt_memory) { CHECK(sweep(SIM_realloc, false, ENOMEM, 1000) > 8); }
TEST(fault_rt_memory_from_there) { CHECK(sweep(SIM_realloc, true, ENOMEM, 1000) > 8); }
TEST(fault_rt_mappings) {
    CHECK_EQ(sweep(SIM_mmap, false, ENOMEM, 100), 1);
    CHECK_EQ(sweep(SIM_mmap, true, ENOMEM, 100), 1);
}

#if VTHTTP_POLL
#define POLLS SIM_poll
#else
#define POLLS SIM_epoll_wait
#endif
/* Calls that the work makes; the least of them that there were to fail. */
static const struct {
    int id, least;
} kinds[] = {
    {SIM_recv, 10},    {SIM_send, 4},        {SIM_close, 5},   {SIM_accept, 4},     {SIM_socket, 3},
    {SIM_bind, 1},     {SIM_listen, 1},      {SIM_connect, 2}, {SIM_setsockopt, 3}, {SIM_getpeername, 2},
    {SIM_mprotect, 0}, {SIM_madvise, 1},     {SIM_munmap, 1},  {SIM_resolve, 2},    {SIM_sigaction, 0},
    {SIM_affinity, 0}, {SIM_sigaltstack, 0}, {POLLS, 1},       {SIM_open, 1},       {SIM_pread, 1},
    {SIM_pwrite, 1},   {SIM_fsync, 1},
#if VTHTTP_POLL
    {SIM_pipe, 1},     {SIM_fcntl, 4},
#else
    {SIM_epoll_create, 1},    {SIM_epoll_ctl, 5},   {SIM_epoll_pwait2, 0}, {SIM_eventfd, 2},
    {SIM_process_madvise, 1},
#endif
};
static void calls(bool onward) {
    for (size_t i = 0; i < VT__COUNT(kinds); i++) {
        int n = sweep_errors(kinds[i].id, onward);
        if (!onward && n < kinds[i].least) printf("%s: %d\n", sim_names[kinds[i].id], n), test_failures++;
    }
}
TEST(fault_rt_calls) { calls(false); }
TEST(fault_rt_calls_from_there) { calls(true); }

/* One in a hundred of everything, in wild worlds. */
TEST(fault_rt_at_random) {
    uint64_t state = test_seed();
    for (int i = 0; i < 400; i++) {
        int before = test_failures;
        uint64_t seed = i < 200 ? (uint64_t)i : test_rand(&state);
        sim_begin(seed);
        for (int id = 0; id < (int)SIM_IDS; id++)
            if (id != SIM_close) sim_fault_rate(id, 1 + (int)sim_below(20));
        sim.k.storm = sim.k.invent = sim.k.eintr = (int)sim_below(100);
        int r = run_all();
        CHECK(r == 42 || r < 0);
        sim_settle();
        memset(sim.f, 0, sizeof sim.f);
        CHECK(clean_run());
        sim_settle();
        sim_end();
        if (test_failures > before) printf("with seed 0x%llx\n", (unsigned long long)seed);
    }
}
/* What is no error at all shows nowhere. */
TEST(fault_rt_interrupted_and_late) {
    for (int i = 0; i < 200; i++) {
        sim_begin((uint64_t)i);
        sim_knobs();
        sim.k.eintr = 300;
        sim.k.send_buffer = sim.k.recv_buffer = 0; /* the work writes all before it reads */
        sim.k.storm = i % 3 * 150;
        CHECK(clean_run());
        sim_settle();
        sim_end();
    }
}

/*--- one at a time ---*/
static int in_sim(uint64_t seed, int (*fn)(void *), const vt_cfg *cfg) {
    sim_begin(seed);
    int r = vt_run(cfg, fn, NULL);
    sim_settle();
    sim_end();
    return r;
}
static const vt_cfg one_worker = {.workers = 1};

static int never(void *arg) {
    (void)arg;
    test_fail(__FILE__, __LINE__, "a runtime that has not started ran something");
    return 0;
}
TEST(fault_rt_no_threads) {
    vt_cfg cfg = {.workers = 3};
    CHECK_EQ(in_sim(1, never, &cfg), -EAGAIN);
    CHECK(vt_go(never, NULL) == -EPERM);
    sim_begin(2);
    for (int n = 1; n < 100; n++) { /* memory ends while the workers are made */
        sim.calls[SIM_realloc] = 0;
        sim_fault(SIM_realloc, n, true, 0);
        int r = vt_run(&cfg, never, NULL);
        CHECK(r == -ENOMEM || r == -EAGAIN);
    }
    sim_end();
}
static int no_pool(void *arg) {
    vt__job j = {.fn = blocked, .v = vt__sched_self()};
    (void)arg;
    CHECK_EQ(vt__block_submit(&j), -EAGAIN); /* there is not one thread in this world */
    CHECK(!j.queued && vt__block_g.queued == 0 && vt__block_g.head == NULL && vt__block_g.threads == 0);
    return 0;
}
TEST(fault_rt_no_pool) { CHECK_EQ(in_sim(1, no_pool, &one_worker), 0); }

/* Names that do not resolve, hosts that do not answer, and one of two that does. */
static const struct sim_step greeting[] = {{SIM_SEND, "hello", 5, 0, NULL},
                                           {SIM_AWAIT_END, NULL, 0, 0, NULL}};
static int dials(void *arg) {
    vt_sock *s;
    char buf[8];
    (void)arg;
    CHECK_EQ(vt_dial(&s, "no.test:1", NULL), VT_ENAME);
    CHECK_EQ(vt_dial(&s, "again.test:1", NULL), VT_ENAMETRY);
    sim.f[SIM_resolve] = (struct sim_faults){sim.calls[SIM_resolve] + 1, false, 0, 10};
    CHECK_EQ(vt_dial(&s, "one.test:1", NULL), -ENOMEM);
    CHECK_EQ(vt_dial(&s, "1.2.3.4:99999", NULL), VT_EADDR);
    CHECK_EQ(vt_dial(&s, "1.2.3.4:1", NULL), -ECONNREFUSED);
    CHECK_EQ(vt_dial(&s, "unix:/no/such", NULL), -ECONNREFUSED);
    int64_t from = vt_now();
    CHECK_EQ(vt_dial_until(&s, "1.2.3.4:500", NULL, from + 3 * VT_SEC), -ETIMEDOUT);
    CHECK(vt_now() - from >= 3 * VT_SEC && vt_now() - from < 3 * VT_SEC + 50 * VT_MS);
    CHECK_EQ(vt_dial(&s, "1.2.3.4:501", NULL), -ENETUNREACH);
    CHECK_EQ(vt_dial(&s, "two.test:501", NULL), 0); /* 501, then 502 */
    CHECK_EQ(vt_read_full(s, buf, 5), 5);
    CHECK(memcmp(buf, "hello", 5) == 0);
    vt_sock_close(s);
    return 0;
}
TEST(fault_rt_dials) {
    for (uint64_t seed = 0; seed < 20; seed++) {
        sim_begin(seed);
        sim_serve(500, SIM_DEAF, NULL, 0);
        sim_serve(501, ENETUNREACH, NULL, 0);
        sim_serve(502, 0, greeting, 2);
        CHECK_EQ(vt_run(&one_worker, dials, NULL), 0);
        sim_settle();
        sim_end();
    }
}
static int dial_deaf(void *arg) {
    vt_sock *s;
    (void)arg;
    return vt_dial(&s, "1.2.3.4:500", NULL);
}
static int cancel_dial(void *arg) {
    int r = 0;
    (void)arg;
    vt_task *t = vt_async(dial_deaf, NULL);
    vt_sleep_ms(10);
    vt_cancel(t);
    CHECK_EQ(vt_await(t, &r), 0);
    return r;
}
TEST(fault_rt_dial_cancelled) {
    sim_begin(3);
    sim_serve(500, SIM_DEAF, NULL, 0);
    CHECK_EQ(vt_run(&one_worker, cancel_dial, NULL), -ECANCELED);
    sim_settle();
    sim_end();
}

/* 40 clients, room for 6 descriptors more: accept waits, and does not spin; in the end each is served. */
static int served;
static int greet(void *arg) {
    vt_sock *s = arg;
    vt_sleep_ms(300);
    if (vt_write(s, "hello", 5) == 5) served++;
    vt_sock_close(s);
    return 0;
}
static int greeter(void *arg) {
    vt_sock *l, *s;
    (void)arg;
    CHECK_EQ(vt_listen(&l, ":80", NULL), 0);
    sim.k.fds = sim.open_fds + 6;
    while (vt_accept_until(l, &s, vt_now() + 3 * VT_SEC) == 0) CHECK_EQ(vt_go(greet, s), 0);
    vt_sock_close(l);
    return 0;
}
TEST(fault_rt_out_of_descriptors) {
    static const struct sim_step steps[] = {{SIM_AWAIT, NULL, 0, 5, NULL}, {SIM_FIN, NULL, 0, 0, NULL}};
    for (uint64_t seed = 0; seed < 10; seed++) {
        served = 0;
        sim_begin(seed);
        for (int i = 0; i < 40; i++) sim_client(VT_MS * (i + 1), 80, steps, 2);
        CHECK_EQ(vt_run(&one_worker, greeter, NULL), 0);
        CHECK_EQ(served, 40);
        int64_t tenths = (sim.now - SIM_START) / (100 * VT_MS);
        CHECK(sim.calls[SIM_accept] < 2 * 40 + tenths * 2);
        CHECK(tenths < 7 * 4 + 35);
        sim_settle();
        for (int i = 0; i < 40; i++) CHECK(sim.peers[i].fin && sim.peers[i].ngot == 5);
        sim_end();
    }
}

/* With VT_NONE no deadline ends that wait, the virtual thread's own neither. */
static int more_descriptors(void *arg) {
    (void)arg;
    vt_sleep_ms(250);
    sim.k.fds = sim.open_fds + 6;
    return 0;
}
static int accept_whenever(void *arg) {
    vt_sock *l, *s;
    (void)arg;
    CHECK_EQ(vt_listen(&l, ":80", NULL), 0);
    sim.k.fds = sim.open_fds;
    CHECK_EQ(vt_go(more_descriptors, NULL), 0);
    vt_sleep_ms(10); /* the client is there */
    vt_deadline_set(vt_now());
    int r = vt_accept_until(l, &s, VT_NONE);
    if (r == 0) vt_sock_close(s);
    vt_sock_close(l);
    return r;
}
TEST(fault_rt_out_of_descriptors_without_a_deadline) {
    static const struct sim_step fin[] = {{SIM_FIN, NULL, 0, 0, NULL}};
    sim_begin(1);
    sim_client(VT_MS, 80, fin, 1);
    CHECK_EQ(vt_run(&one_worker, accept_whenever, NULL), 0);
    sim_settle();
    sim_end();
}

/* 1,000 sleepers, and after the first 256 stacks no more to be had: each waits for its turn. */
static int slept;
static int sleeper(void *arg) {
    (void)arg;
    slept += vt_sleep_ms(5) == 0;
    return 0;
}
static int sleepers(void *arg) {
    (void)arg;
    for (int i = 0; i < 1000; i++) CHECK_EQ(vt_go(sleeper, NULL), 0);
    return 0;
}
TEST(fault_rt_no_more_stacks) {
    for (int kind = 0; kind < 2; kind++) {
        slept = 0;
        sim_begin(1);
        sim_fault(SIM_mmap, 2, true, 0);
        if (kind) sim_fault_rate(SIM_realloc, 200);
        CHECK(vt_run(&one_worker, sleepers, NULL) >= 0 || kind);
        if (!kind) CHECK_EQ(slept, 1000);
        if (!kind) CHECK((sim.now - SIM_START) / VT_MS < 500);
        sim_settle();
        sim_end();
    }
}
static vt_stats stats;
static int look(void *arg) {
    (void)arg;
    for (int i = 0; i < 20; i++) vt_go(sleeper, NULL);
    vt_sleep_ms(20);
    vt_stats_get(&stats);
    return 0;
}
/* Light guards, else mprotect, else a canary; never none of them. */
TEST(fault_rt_guards) {
    for (int kind = 2; kind >= 0; kind--) {
        sim_begin(1);
#if defined(__linux__)
        if (kind < 2) sim_fault(SIM_process_madvise, 1, true, ENOSYS);
#endif
        if (kind < 2) sim_fault(SIM_madvise, 1, true, EINVAL);
        if (kind < 1) sim_fault(SIM_mprotect, 3, true, ENOMEM);
        CHECK_EQ(vt_run(&one_worker, look, NULL), 0);
        CHECK_EQ(stats.guard_kind, kind);
        sim_end();
    }
}

/* A disk that takes and gives seven bytes at a time, and fails after some. */
static int disk_bits(void *arg) {
    char out[50], in[50];
    (void)arg;
    for (int i = 0; i < 50; i++) out[i] = (char)i;
    sim.k.grain = sim.k.send_grain = 7;
    int fd = vt_file_open("/disk", O_RDWR, 0);
    CHECK_EQ(vt_file_write(fd, out, 50, 0), 50);
    CHECK_EQ(vt_file_read(fd, in, 50, 0), 50);
    CHECK_MEM(in, 50, out, 50);
    sim_fault(SIM_pread, sim.calls[SIM_pread] + 3, false, EIO);
    CHECK_EQ(vt_file_read(fd, in, 50, 0), 14); /* what there was */
    sim_fault(SIM_pread, sim.calls[SIM_pread] + 1, true, EIO);
    CHECK_EQ(vt_file_read(fd, in, 36, 14), -EIO);
    sim_fault(SIM_pwrite, sim.calls[SIM_pwrite] + 3, false, EIO);
    CHECK_EQ(vt_file_write(fd, out, 50, 0), -EIO); /* all, or an error */
    CHECK_EQ(vt_file_write(fd, out, 50, sizeof sim.disk - 20), -ENOSPC);
    return vt_file_close(fd);
}
TEST(fault_rt_a_disk_in_bits) { CHECK_EQ(in_sim(1, disk_bits, &one_worker), 0); }
