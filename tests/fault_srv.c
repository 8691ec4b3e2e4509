/* A running server whose N-th allocation (then: all from the N-th on; then: the N-th system call) fails, N = 1, 2, ...
 * until a run has none left: whoever is hit gets an error or a close, the next client is served, nothing leaks. */
#define VTHTTP_SIM 1
#define E2E_WORKERS 1
#define E2E_MS 5000
#include "e2e.h"
#include "faulthttp.h"

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

static bool one(const char *head, const char *body, size_t n, int want) {
    CL(c);
    if (!cl_open(&c)) return false;
    cl_puts(&c, head);
    if (n) cl_send(&c, body, n);
    int status = cl_response(&c);
    if (status == -1) test_fail(__FILE__, __LINE__, head); /* no answer and no close: a hang */
    return status == want && !c.truncated;
}
/* Every kind of memory that a connection asks for. True when all went well. */
static bool work(void) {
    static char fields[8192], body[40000];
    bool good = true;
    if (!fields[0]) {
        fields_head(fields, sizeof fields);
        memset(body, 'b', sizeof body);
    }
    good &= one(fields, NULL, 0, 200);
    good &= one("POST /body HTTP/1.1\r\n" HOST "Content-Length: 40000\r\n\r\n", body, sizeof body, 200);
    good &= one(ASK_CHUNKED, NULL, 0, 200);
    good &= one("GET /stream HTTP/1.1\r\n" HOST "\r\n", NULL, 0, 200);
    good &= one("GET /spawn HTTP/1.1\r\n" HOST "\r\n", NULL, 0, 200);
    good &= one("GET /upgrade HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: echo\r\n\r\n", "hi", 2,
                101);
    good &= one("GET /%zz HTTP/1.1\r\n" HOST "\r\n", NULL, 0, 400);
    return good;
}
static void sweep(void (*table)(void), bool onward) {
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
TEST(fault_one_allocation_fails) { sweep(on_memory, false); }
TEST(fault_all_allocations_fail_from_there) { sweep(on_memory, true); }
TEST(fault_one_system_call_fails) { sweep(on_calls, false); }
