/* Hooked calls while memory, descriptors and the second epoll set fail: every wait still ends, by naps, or says ENOMEM. */
/* variants: default asan poll ucontext clang i386 */
#define VTHTTP_HOOKS 1
#define VTHTTP_HTTP 0
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

static int left; /* calls that succeed before all others fail; -1: none fails */
static int fails(void) { return left < 0 ? 0 : left == 0 ? 1 : (left--, 0); }
static int no_ctl(int ep, int op, int fd, struct epoll_event *ev) {
    return fails() ? -ENOSPC : vt__plat_sys_epoll_ctl(ep, op, fd, ev);
}
static int no_create(void) { return fails() ? -EMFILE : vt__plat_sys_epoll_create(); }
static void *no_realloc(void *p, size_t n) { return fails() ? NULL : vt__plat_sys_realloc(p, n); }
static int no_fstat(int fd, struct stat *st) { return fails() ? -EIO : vt__plat_sys_fstat(fd, st); }
static int no_sockopt(int fd, int level, int opt, void *p, socklen_t *n) {
    return fails() ? -ENOBUFS : vt__plat_sys_getsockopt(fd, level, opt, p, n);
}

static int one_byte(void *arg) {
    char b;
    return read(*(int *)arg, &b, 1) == 1 ? b : -errno;
}
static int poll_ten(void *arg) {
    struct pollfd p[10];
    for (int i = 0; i < 10; i++) p[i] = (struct pollfd){*(int *)arg, POLLIN, 0};
    int r = poll(p, 10, -1);
    return r < 0 ? -errno : r;
}
static int select_it(void *arg) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(*(int *)arg, &set);
    int r = select(*(int *)arg + 1, &set, NULL, NULL, NULL);
    return r < 0 ? -errno : r;
}
struct scene {
    vt_fn *fn;
    int fine, budget;
};
static int scene(void *arg) {
    const struct scene *s = arg;
    int fd[2], r;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    vt_task *t = vt_async(s->fn, &fd[0]);
    left = s->budget;
    vt_sleep_ms(1);
    if (!vt_task_done(t)) CHECK_EQ(write(fd[1], "B", 1), 1);
    CHECK_EQ(vt_await(t, &r), 0);
    left = -1;
    CHECK(r == s->fine || r == -ENOMEM);
    if (s->fn == one_byte) CHECK_EQ(r, 'B');
    close(fd[0]), close(fd[1]);
    return 0;
}
TEST(faults_of_each_kind) {
    static const struct scene kinds[] = {{one_byte, 'B', 0}, {poll_ten, 10, 0}, {select_it, 1, 0}};
    const vt_cfg cfg = {.workers = 1};
    const struct vt__plat_table whole = vt__plat;
    for (int what = 0; what < 5; what++) {
        for (size_t k = 0; k < VT__COUNT(kinds); k++) {
            for (int budget = 0; budget < 6; budget++) {
                struct scene s = kinds[k];
                s.budget = budget;
                left = -1;
                if (what == 0) vt__plat.epoll_ctl = no_ctl;
                if (what == 1) vt__plat.epoll_create = no_create;
                if (what == 2) vt__plat.realloc = no_realloc;
                if (what == 3) vt__plat.fstat = no_fstat;
                if (what == 4) vt__plat.getsockopt = no_sockopt;
                CHECK_EQ(vt_run(&cfg, scene, &s), 0);
                vt__plat = whole;
            }
        }
    }
}

/* Of two descriptors one is waited for already when the other cannot be: a nap follows, which the first one's event must
 * not end a second time. */
static int two[2][2];
static int not_the_second(int ep, int op, int fd, struct epoll_event *ev) {
    return fd == two[1][0] ? -ENOSPC : vt__plat_sys_epoll_ctl(ep, op, fd, ev);
}
static int poll_two(void *arg) {
    struct pollfd p[2] = {{two[0][0], POLLIN, 0}, {two[1][0], POLLIN, 0}};
    (void)arg;
    int r = poll(p, 2, -1);
    return r < 0 ? -errno : r;
}
static int turns_due(const vt__thr *t) { /* a ring that is broken may have no end */
    const vt__node *n = t->last;
    int turns = 0;
    while (n && turns < 10) {
        n = n->next, turns++;
        if (n == t->last) break;
    }
    return turns;
}
static int nap_main(void *arg) {
    vt__vth *me = vt__sched_self();
    int r = -1;
    (void)arg;
    for (int i = 0; i < 2; i++) CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, two[i]), 0);
    vt__plat.epoll_ctl = not_the_second;
    vt_task *t = vt_async(poll_two, NULL);
    vt_yield(); /* it naps */
    CHECK(!vt_task_done(t));
    for (int64_t end = vt_now() + 20 * VT_SEC; me->node.next == &me->node && vt_now() < end;) vt_yield();
    CHECK_EQ(turns_due(me->thr), 2); /* its nap is over, and it comes behind us */
    CHECK_EQ(write(two[0][1], "B", 1), 1);
    (void)vt__poll_wait(me->thr->dom, 0);
    CHECK_EQ(turns_due(me->thr), 2);
    CHECK_EQ(vt_await(t, &r), 0);
    CHECK_EQ(r, 1);
    for (int i = 0; i < 2; i++) close(two[i][0]), close(two[i][1]);
    return 0;
}
TEST(an_event_does_not_end_a_nap_again) {
    const vt_cfg cfg = {.workers = 1};
    const struct vt__plat_table whole = vt__plat;
    left = -1;
    CHECK_EQ(vt_run(&cfg, nap_main, NULL), 0);
    vt__plat = whole;
}

/* A signal that comes while descriptors are looked at ends neither the look nor the wait. */
static int interrupts, stuck_call;
static int poll_eintr(struct pollfd *fds, unsigned n, int ms) {
    if (ms == 0 && interrupts > 0) return interrupts--, -EINTR;
    return vt__plat_sys_poll(fds, n, ms);
}
static long raw_eintr(long nr, const long *a) {
    if ((nr == VT__SYS_PPOLL || nr == VT__SYS_PSELECT) && interrupts > 0) return interrupts--, -EINTR;
    struct pollfd p = {(int)a[0], POLLIN, 0};
    if ((nr == SYS_read || nr == SYS_accept4) && vt__plat_sys_poll(&p, 1, 0) == 0) {
        stuck_call++; /* with its OS thread, for ever */
        return -EIO;
    }
    return vt__plat_sys_raw(nr, a);
}
static int accept_it(void *arg) {
    int fd = accept(*(int *)arg, NULL, NULL);
    return fd < 0 ? -errno : close(fd) + 1;
}
static int poll_one(void *arg) {
    struct pollfd p = {*(int *)arg, POLLIN, 0};
    int r = poll(&p, 1, -1);
    return r < 0 ? -errno : r;
}
static int interrupted_main(void *arg) {
    static const struct scene of[] = {
        {one_byte, 'B', 0}, {poll_one, 1, 0}, {select_it, 1, 0}, {accept_it, 1, 0}};
    (void)arg;
    for (size_t i = 0; i < VT__COUNT(of); i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t len = sizeof a;
        int p[2], r = -1;
        bool accepts = of[i].fn == accept_it;
        if (!accepts) CHECK_EQ(pipe(p), 0);
        else p[0] = socket(AF_INET, SOCK_STREAM, 0), p[1] = socket(AF_INET, SOCK_STREAM, 0);
        if (accepts) CHECK(bind(p[0], (void *)&a, len) == 0 && listen(p[0], 1) == 0);
        if (accepts) CHECK_EQ(getsockname(p[0], (void *)&a, &len), 0);
        vt_task *t = vt_async(of[i].fn, &p[0]);
        interrupts = 1;
        vt_yield();
        CHECK_EQ(interrupts, 0);
        CHECK(!vt_task_done(t));
        if (accepts) CHECK_EQ(connect(p[1], (void *)&a, len), 0);
        else CHECK_EQ(write(p[1], "B", 1), 1);
        CHECK_EQ(vt_await(t, &r), 0);
        CHECK_EQ(r, of[i].fine);
        close(p[0]), close(p[1]);
    }
    CHECK_EQ(stuck_call, 0);
    return 0;
}
TEST(signals_between_a_look_and_a_call) {
    const vt_cfg cfg = {.workers = 1};
    const struct vt__plat_table whole = vt__plat;
    vt__plat.poll = poll_eintr;
    vt__plat.raw = raw_eintr;
    CHECK_EQ(vt_run(&cfg, interrupted_main, NULL), 0);
    vt__plat = whole;
}

/* Who waits for the end alone hears of it at once, also after another has read. */
static int await_end(void *arg) {
    struct pollfd p = {*(int *)arg, 0, 0};
    int r = poll(&p, 1, -1);
    return r < 0 ? -errno : p.revents;
}
static int end_main(void *arg) {
    vt__vth *me = vt__sched_self();
    int fd[2], r = -1;
    (void)arg;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    vt_task *t = vt_async(await_end, &fd[0]), *u = vt_async(one_byte, &fd[0]);
    vt_yield();
    CHECK_EQ(write(fd[1], "B", 1), 1);
    CHECK_EQ(vt_await(u, &r), 0);
    CHECK_EQ(r, 'B');
    CHECK_EQ(turns_due(me->thr), 1);
    close(fd[1]);
    (void)vt__poll_wait(me->thr->dom, 0);
    CHECK_EQ(turns_due(me->thr), 2);
    CHECK_EQ(vt_await(t, &r), 0);
    CHECK(r & POLLHUP);
    close(fd[0]);
    return 0;
}
TEST(an_end_that_nobody_reads) {
    const vt_cfg cfg = {.workers = 1};
    left = -1;
    CHECK_EQ(vt_run(&cfg, end_main, NULL), 0);
}
