/* System calls of a running program of which the N-th, or all from the N-th on, fails; what it answers then is what the
 * system may answer. Behind the implementation, built with VTHTTP_SIM=1. */
#ifndef VT_FAULTCALLS_H
#define VT_FAULTCALLS_H
static struct {
    int64_t count, fail_at; /* 0: none */
    bool onward;
    void *thread; /* the virtual thread that is hit; NULL: everybody */
    bool driver;  /* and what runs between virtual threads */
} fault;
static __thread bool fault_spared; /* nothing fails on this OS thread: a client's */
static bool fault_hits(void) {
    if (fault_spared) return false;
    int64_t at = __atomic_load_n(&fault.fail_at, __ATOMIC_SEQ_CST);
    void *self = vt__sched_self();
    if (!at || (fault.thread && self != fault.thread && (self || !fault.driver))) return false;
    int64_t n = __atomic_add_fetch(&fault.count, 1, __ATOMIC_SEQ_CST);
    return n == at || (fault.onward && n > at);
}
static void fault_set(int64_t at, bool onward) {
    fault.count = 0;
    fault.onward = onward;
    __atomic_store_n(&fault.fail_at, at, __ATOMIC_SEQ_CST);
}
static void *fault_realloc(void *p, size_t n) { return fault_hits() ? NULL : vt__plat_sys_realloc(p, n); }
static ssize_t fault_recv(int fd, void *p, size_t n, int flags) {
    return fault_hits() ? -ECONNRESET : vt__plat_sys_recv(fd, p, n, flags);
}
static ssize_t fault_send(int fd, const void *p, size_t n, int flags) {
    return fault_hits() ? -EPIPE : vt__plat_sys_send(fd, p, n, flags);
}
static ssize_t fault_sendmsg(int fd, const struct msghdr *m, int flags) {
    return fault_hits() ? -ECONNRESET : vt__plat_sys_sendmsg(fd, m, flags);
}
#if !VTHTTP_POLL
static int fault_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev) {
    return op == EPOLL_CTL_ADD && fault_hits() ? -ENOSPC : vt__plat_sys_epoll_ctl(ep, op, fd, ev);
}
#endif
/* Puts those of a connection into the table. */
static void fault_conn_calls(void) {
    vt__plat.recv = fault_recv;
    vt__plat.send = fault_send;
    vt__plat.sendmsg = fault_sendmsg;
#if !VTHTTP_POLL
    vt__plat.epoll_ctl = fault_epoll_ctl;
#endif
}
static inline int fault_shutdown(int fd, int how) {
    return fault_hits() ? -ENOTCONN : vt__plat_sys_shutdown(fd, how);
}
static inline int fault_accept(int fd, struct sockaddr *sa, socklen_t *len) {
    static const int errors[] = {ECONNABORTED, ENOBUFS, EPROTO, EMFILE, EINTR, ENOMEM};
    if (!fault_hits()) return vt__plat_sys_accept(fd, sa, len);
    return -errors[fault.count % (int64_t)VT__COUNT(errors)];
}
static inline int fault_bind(int fd, const struct sockaddr *sa, socklen_t len) {
    return fault_hits() ? -EADDRINUSE : vt__plat_sys_bind(fd, sa, len);
}
/* OpenSSL's memory, while fault_ossl: CRYPTO_set_mem_functions(fault_ossl_malloc, fault_ossl_realloc, fault_ossl_free). */
static bool fault_ossl;
static inline void on_openssl(void) { fault_ossl = true; }
static inline void *fault_ossl_malloc(size_t n, const char *file, int line) {
    (void)file, (void)line;
    return fault_ossl && fault_hits() ? NULL : malloc(n);
}
static inline void *fault_ossl_realloc(void *p, size_t n, const char *file, int line) {
    (void)file, (void)line;
    return fault_ossl && fault_hits() ? NULL : realloc(p, n);
}
static inline void fault_ossl_free(void *p, const char *file, int line) { (void)file, (void)line, free(p); }
/* ... and those of a server's listeners. */
static inline void fault_server_calls(void) {
    vt__plat.shutdown = fault_shutdown;
    vt__plat.accept = fault_accept;
}
#endif
