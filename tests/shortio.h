/* A kernel that takes little at a time and interrupts every few calls. Behind the implementation, built with VTHTTP_SIM=1. */
#ifndef VT_SHORTIO_H
#define VT_SHORTIO_H
static __thread uint64_t short_rng = 1;
static int64_t short_calls;
/* Of n bytes; 0: the call is interrupted. */
static size_t short_of(size_t n) {
    uint64_t r = test_rand(&short_rng);
    __atomic_fetch_add(&short_calls, 1, __ATOMIC_RELAXED);
    if (r % 8 == 0) return 0;
    size_t most = r % 8 < 3 ? 3 : r % 8 < 6 ? 600 : 50000;
    return VT__MIN(n, 1 + (size_t)((r >> 8) % most));
}
static ssize_t short_recv(int fd, void *p, size_t n, int flags) {
    return short_of(1) ? vt__plat_sys_recv(fd, p, n, flags)
                       : -EINTR; /* a short read would say that no more is there */
}
static ssize_t short_send(int fd, const void *p, size_t n, int flags) {
    size_t k = short_of(n);
    return k ? vt__plat_sys_send(fd, p, k, flags) : -EINTR;
}
static ssize_t short_sendmsg(int fd, const struct msghdr *m, int flags) {
    struct iovec v[8];
    struct msghdr part = *m;
    size_t n = 0, left;
    for (size_t i = 0; i < (size_t)m->msg_iovlen; i++) n += m->msg_iov[i].iov_len;
    if ((left = short_of(n)) == 0) return -EINTR;
    part.msg_iov = v;
    for (part.msg_iovlen = 0; left > 0; part.msg_iovlen++) {
        struct iovec *to = &v[part.msg_iovlen];
        *to = m->msg_iov[part.msg_iovlen];
        to->iov_len = VT__MIN(to->iov_len, left);
        left -= to->iov_len;
    }
    return vt__plat_sys_sendmsg(fd, &part, flags);
}
#if defined(__linux__)
static ssize_t short_sendfile(int to, int fd, int64_t off, size_t n) {
    size_t k = short_of(n);
    return k ? vt__plat_sys_sendfile(to, fd, off, k) : -EINTR;
}
#endif
static int short_accept(int fd, struct sockaddr *sa, socklen_t *len) {
    return short_of(1) ? vt__plat_sys_accept(fd, sa, len) : -EINTR;
}
__attribute__((constructor)) static void short_begin(void) {
    vt__plat.recv = short_recv;
    vt__plat.send = short_send;
    vt__plat.sendmsg = short_sendmsg;
    vt__plat.accept = short_accept;
#if defined(__linux__)
    vt__plat.sendfile = short_sendfile;
#endif
}
#endif
