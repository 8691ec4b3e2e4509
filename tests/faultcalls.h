/* A running server whose N-th allocation (or all from the N-th on), or N-th system call, fails, N = 1, 2, ... until a run
 * has none left. Behind e2e.h, built with VTHTTP_SIM=1, and faulthttp.h. */
#ifndef VT_FAULTCALLS_H
#define VT_FAULTCALLS_H
static struct {
    int64_t count, fail_at; /* 0: none */
    bool onward;
} fault;
static bool fault_hits(void) {
    int64_t at = __atomic_load_n(&fault.fail_at, __ATOMIC_SEQ_CST);
    if (!at) return false;
    int64_t n = __atomic_add_fetch(&fault.count, 1, __ATOMIC_SEQ_CST);
    return n == at || (fault.onward && n > at);
}
static void *fault_realloc(void *p, size_t n) { return fault_hits() ? NULL : vt__plat_sys_realloc(p, n); }
static void *fault_mmap(size_t n) { return fault_hits() ? NULL : vt__plat_sys_mmap(n); }
static ssize_t fault_recv(int fd, void *p, size_t n, int flags) {
    return fault_hits() ? -ECONNRESET : vt__plat_sys_recv(fd, p, n, flags);
}
static ssize_t fault_send(int fd, const void *p, size_t n, int flags) {
    return fault_hits() ? -EPIPE : vt__plat_sys_send(fd, p, n, flags);
}
static ssize_t fault_sendmsg(int fd, const struct msghdr *m, int flags) {
    return fault_hits() ? -ECONNRESET : vt__plat_sys_sendmsg(fd, m, flags);
}
static int fault_shutdown(int fd, int how) {
    return fault_hits() ? -ENOTCONN : vt__plat_sys_shutdown(fd, how);
}
static int fault_accept(int fd, struct sockaddr *sa, socklen_t *len) {
    static const int errors[] = {ECONNABORTED, ENOBUFS, EPROTO, EMFILE, EINTR, ENOMEM};
    if (!fault_hits()) return vt__plat_sys_accept(fd, sa, len);
    return -errors[fault.count % (int64_t)VT__COUNT(errors)];
}
#if !VTHTTP_POLL
static int fault_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev) {
    return op == EPOLL_CTL_ADD && fault_hits() ? -ENOSPC : vt__plat_sys_epoll_ctl(ep, op, fd, ev);
}
#endif
static void fault_set(int64_t at, bool onward) {
    fault.count = 0;
    fault.onward = onward;
    __atomic_store_n(&fault.fail_at, at, __ATOMIC_SEQ_CST);
}

static void on_memory(void) {
    vt__plat.realloc = fault_realloc;
    vt__plat.mmap = fault_mmap;
}
static void on_calls(void) {
    vt__plat.recv = fault_recv;
    vt__plat.send = fault_send;
    vt__plat.sendmsg = fault_sendmsg;
    vt__plat.shutdown = fault_shutdown;
    vt__plat.accept = fault_accept;
#if !VTHTTP_POLL
    vt__plat.epoll_ctl = fault_epoll_ctl;
#endif
}

/* `work` uses every kind of memory that a connection asks for, and is true when all went well; a hang it reports itself. */
static void sweep(void (*table)(void), bool (*work)(void), bool onward) {
    struct vt__plat_table before = vt__plat;
    int64_t n = 1, most = 400;
    table();
    for (bool last = false; !last && n < most; n++) {
        if (e2e_start(NULL, routes) != 0) break;
        fault_set(n, onward);
        bool good = work();
        last = fault.count < n;
        fault_set(0, false);
        CHECK(!last || good);
        CHECK(work()); /* what failed has left nothing behind */
        CHECK_EQ(e2e_stop(), 0);
    }
    vt__plat = before;
    CHECK(n > 8 && n < most);
}
#endif
