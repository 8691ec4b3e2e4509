/* tsan */
/* variants: default asan tsan poll ucontext clang */
/* Sockets: addresses, transfers, closing under a waiter, descriptors used again; stacks that overflow. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "tmp.h"
#include "rt.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

TEST(addresses_that_are_none) {
    static const char *const bad[] = {
        "",      "host",    "host:", "host:65536", "host:-1",          "host:8x", "::1:80",
        "[::1]", "[::1:80", "unix:", "[]:80",      "host:99999999999", "a:b:80",  "127.0.0.1: 80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        vt_sock *s;
        CHECK_EQ(vt_listen(&s, bad[i], NULL), VT_EADDR);
    }
    char path[300];
    memset(path, 'p', sizeof path);
    memcpy(path, "unix:/", 6);
    path[sizeof path - 1] = 0;
    vt_sock *s;
    CHECK_EQ(vt_listen(&s, path, NULL), VT_EADDR);
}

TEST(ipv6_text_is_as_inet_ntop_writes_it) {
    uint64_t x = test_seed();
    for (int i = 0; i < 5000; i++) {
        struct sockaddr_in6 sa;
        char mine[VT_ADDR_MAX], text[64], want[80];
        memset(&sa, 0, sizeof sa);
        sa.sin6_family = AF_INET6;
        sa.sin6_port = htons(80);
        for (int k = 0; k < 16; k++) {
            x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            sa.sin6_addr.s6_addr[k] = (unsigned char)(x >> 63 ? 0 : x >> 40); /* many zeros */
        }
        sa.sin6_addr.s6_addr[0] |= 0x20; /* not ::a.b.c.d, which inet_ntop writes in its own way */
        size_t n = vt__io_addr_format((struct sockaddr *)&sa, sizeof sa, mine, sizeof mine);
        inet_ntop(AF_INET6, &sa.sin6_addr, text, sizeof text);
        snprintf(want, sizeof want, "[%s]:80", text);
        CHECK_STR(mine, want);
        CHECK_EQ(n, strlen(want));
    }
}

/* As a dual-stack listener sees clients of the old kind. */
TEST(an_ipv4_address_in_an_ipv6_one_is_written_as_ipv4) {
    static const struct {
        const char *addr, *want;
    } rows[] = {{"::ffff:1.2.3.4", "1.2.3.4:80"},
                {"::ffff:0.0.0.0", "0.0.0.0:80"},
                {"::ffff:255.255.255.255", "255.255.255.255:80"},
                {"::fffe:102:304", "[::fffe:102:304]:80"},
                {"1::ffff:102:304", "[1::ffff:102:304]:80"},
                {"::1:ffff:102:304", "[::1:ffff:102:304]:80"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sockaddr_in6 sa;
        char text[VT_ADDR_MAX];
        memset(&sa, 0, sizeof sa);
        sa.sin6_family = AF_INET6;
        sa.sin6_port = htons(80);
        CHECK_EQ(inet_pton(AF_INET6, rows[i].addr, &sa.sin6_addr), 1);
        CHECK_EQ(vt__io_addr_format((struct sockaddr *)&sa, sizeof sa, text, sizeof text),
                 strlen(rows[i].want));
        CHECK_STR(text, rows[i].want);
    }
}

/*--- transfers ---*/
struct pair {
    vt_sock *listener, *a, *b;
};
static int accept_one(void *arg) {
    struct pair *p = arg;
    return vt_accept(p->listener, &p->b);
}
static int connect_pair(struct pair *p, const char *addr) {
    char text[VT_ADDR_MAX];
    int r = vt_listen(&p->listener, addr, NULL);
    if (r < 0) return r;
    vt_sock_local(p->listener, text, sizeof text);
    vt_task *t = vt_async(accept_one, p);
    r = vt_dial(&p->a, text, NULL);
    int accepted = 0, e = vt_await(t, &accepted);
    return r < 0 ? r : e < 0 ? e : accepted;
}
static void close_pair(struct pair *p) {
    vt_sock_close(p->a);
    vt_sock_close(p->b);
    vt_sock_close(p->listener);
}

enum { BYTES = 1 << 20 };
static int send_all(void *arg) {
    struct pair *p = arg;
    unsigned char block[7001];
    for (size_t sent = 0; sent < BYTES;) {
        size_t n = VT__MIN(sizeof block, BYTES - sent);
        for (size_t i = 0; i < n; i++) block[i] = (unsigned char)((sent + i) * 31 >> 3);
        vt_str parts[3] = {
            {(char *)block, n / 3}, {(char *)block + n / 3, 0}, {(char *)block + n / 3, n - n / 3}};
        if (vt_writev(p->a, parts, 3) != (int64_t)n) return -1;
        sent += n;
    }
    return vt_shutdown_write(p->a);
}
static int transfer_main(void *arg) {
    struct pair p;
    unsigned char block[5003];
    int small = 4096, r = connect_pair(&p, arg), bad = 0;
    if (r < 0) return r;
    setsockopt(vt_sock_fd(p.a), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    vt_task *t = vt_async_any(send_all, &p); /* perhaps on another worker than the reader */
    size_t got = 0;
    for (int64_t n; (n = vt_read(p.b, block, sizeof block)) > 0; got += (size_t)n)
        for (int64_t i = 0; i < n; i++) bad += block[i] != (unsigned char)((got + (size_t)i) * 31 >> 3);
    CHECK_EQ(got, BYTES);
    CHECK_EQ(bad, 0);
    CHECK_EQ(vt_await(t, &r), 0);
    CHECK_EQ(r, 0);
    CHECK_EQ(vt_write(p.b, "back", 4), 4); /* half closed: the other way still works */
    CHECK_EQ(vt_read_full(p.a, block, 4), 4);
    CHECK_EQ(vt_read_until(p.a, block, 1, vt_now() + 2 * VT_MS), -ETIMEDOUT);
    vt_sock_close(p.b);
    CHECK_EQ(vt_read(p.a, block, 1), 0);
    p.b = NULL;
    close_pair(&p);
    return 0;
}
TEST(a_megabyte_through_a_small_buffer) {
    char name[40];
    snprintf(name, sizeof name, "unix:@vt-io-%d", (int)getpid());
    CHECK_EQ(run_on(1, transfer_main, "127.0.0.1:0"), 0);
    CHECK_EQ(run_on(3, transfer_main, "127.0.0.1:0"), 0);
    CHECK_EQ(run_on(2, transfer_main, name), 0);
}
TEST(ipv6) {
    int r = run_on(1, transfer_main, "[::1]:0");
    if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT) SKIP("no IPv6 here");
    CHECK_EQ(r, 0);
}

static int read_b(void *arg) {
    char c;
    return (int)vt_read(((struct pair *)arg)->b, &c, 1);
}
static int accept_more(void *arg) {
    vt_sock *s;
    return vt_accept(((struct pair *)arg)->listener, &s);
}
static int closing_main(void *arg) {
    struct pair p;
    int r = connect_pair(&p, "127.0.0.1:0"), any = *(int *)arg;
    if (r < 0) return r;
    vt_task *t = any ? vt_async_any(read_b, &p) : vt_async(read_b, &p), *u = vt_async(accept_more, &p);
    while (!(vt__poll_bits(&p.b->pd) & vt__poll_bits(&p.listener->pd) & VT__PD_RWAIT)) vt_sleep_ms(1);
    char c;
    CHECK_EQ(vt_read(p.b, &c, 1), -EBUSY); /* one reader at a time */
    vt_sock_close(p.b);
    vt_sock_close(p.listener);
    CHECK_EQ(vt_await(t, &r), 0);
    CHECK_EQ(r, VT_ECLOSED);
    CHECK_EQ(vt_await(u, &r), 0);
    CHECK_EQ(r, VT_ECLOSED);
    vt_sock_close(p.a);
    for (int i = 0; i < 50;
         i++) { /* numbers and structs used again never see what was for their predecessors */
        struct pair q;
        CHECK_EQ(connect_pair(&q, "127.0.0.1:0"), 0);
        CHECK_EQ(vt_write(q.a, "x", 1), 1);
        CHECK_EQ(vt_read(q.b, &c, 1), 1);
        CHECK_EQ(vt_read_until(q.b, &c, 1, vt_now() + VT_MS / 4), -ETIMEDOUT);
        close_pair(&q);
    }
    return 0;
}
TEST(closing_wakes_whoever_waits) {
    int any = 0;
    CHECK_EQ(run_on(1, closing_main, &any), 0);
    any = 1;
    CHECK_EQ(run_on(2, closing_main, &any), 0);
}

static int fd_main(void *arg) {
    int p[2], r;
    (void)arg;
    if (pipe(p) < 0) return -1;
    CHECK_EQ(vt_wait_fd(p[1], VT_READ | VT_WRITE, 0), VT_WRITE);
    CHECK_EQ(vt_wait_fd(p[0], VT_READ, vt_now() + VT_MS), -ETIMEDOUT);
    CHECK(write(p[1], "x", 1) == 1);
    CHECK_EQ(vt_wait_fd(p[0], VT_READ, 0), VT_READ);
    CHECK_EQ(vt_wait_fd(-1, VT_READ, 0), -EBADF);
    CHECK_EQ(vt_wait_fd(p[0], 0, 0), -EINVAL);
    close(p[0]);
    close(p[1]);
    r = vt_wait_fd(p[0], VT_READ, vt_now() + 50 * VT_MS);
    CHECK(r == -EBADF ||
          VTHTTP_POLL); /* poll reports it as ready: the call that follows says what is wrong */
    vt_sock *s;
    CHECK_EQ(vt_dial(&s, "127.0.0.1:1", NULL), -ECONNREFUSED);
    CHECK_EQ(vt_dial(&s, "no-such-host.invalid:80", NULL) < 0, 1);
    return 0;
}
TEST(waits_on_descriptors_of_others) { CHECK_EQ(run_on(1, fd_main, NULL), 0); }

/* A socket may be there before the runtime, and after it, for the next one. */
static int dial_late(void *addr) {
    vt_sock *s;
    vt_sleep_ms(5); /* whoever accepts waits */
    int r = vt_dial(&s, addr, NULL);
    if (r == 0) vt_sock_close(s);
    return r;
}
static int accept_main(void *l) {
    vt_sock *s;
    char addr[64];
    int r = vt_sock_local(l, addr, sizeof addr);
    vt_task *t = vt_async_any(dial_late, addr);
    if (r >= 0 && (r = vt_accept_until(l, &s, vt_now() + 20 * VT_SEC)) == 0) vt_sock_close(s);
    CHECK_EQ(result(t), 0);
    return r;
}
TEST(a_listener_outlives_runtimes) {
    vt_sock *l;
    CHECK_EQ(vt_listen(&l, "127.0.0.1:0", NULL), 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(run_on(1 + i % 2, accept_main, l), 0);
    vt_sock_close(l);
}

static int read_one(void *s) {
    char c;
    return (int)vt_read(s, &c, 1);
}
/* A child closes its copy, which the parent does not notice, whether somebody reads there or not. */
static int child_main(void *arg) {
    int p[2], status = -1, r;
    char c;
    vt_sock *s;
    (void)arg;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, p) < 0) return -errno;
    if ((r = vt_sock_from_fd_take(&s, p[0])) < 0) return r;
    CHECK_EQ(vt_read_until(s, &c, 1, vt_now() + VT_MS), -ETIMEDOUT); /* it is in the set */
    for (int reads = 0; reads < 2; reads++) {
        vt_task *t = reads ? vt_async(read_one, s) : NULL;
        vt_sleep_ms(1);
        pid_t pid = fork();
        if (pid == 0) {
            vt_sock_close(s);
            _exit(fcntl(p[0], F_GETFD) < 0 ? 42 : 1);
        }
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 42);
        if (!t) t = vt_async(read_one, s);
        vt_sleep_ms(1);
        CHECK(write(p[1], "x", 1) == 1);
        CHECK_EQ(vt_await_until(t, vt_now() + 10 * VT_SEC, &r), 0);
        CHECK_EQ(r, 1);
    }
    vt_sock_close(s);
    return close(p[1]);
}
TEST(a_child_closes_its_own) { CHECK_EQ(run_on(1, child_main, NULL), 0); }

/* Zeros before a port are none of its digits. */
static int port_main(void *arg) {
    vt_sock *l, *s;
    char addr[64];
    (void)arg;
    int r = vt_listen(&l, "127.0.0.1:0000000000", NULL);
    if (r < 0) return r;
    snprintf(addr, sizeof addr, "127.0.0.1:000000%d", vt_sock_port(l));
    if ((r = vt_dial(&s, addr, NULL)) == 0) vt_sock_close(s);
    vt_sock_close(l);
    return r;
}
TEST(a_port_may_have_zeros_before_it) { CHECK_EQ(run_on(1, port_main, NULL), 0); }

/* An event that is late for the wait that it ended wakes the next one instead, which looks, and waits again. */
static int late_event(vt_task *t, unsigned wait) {
    struct vt__vth *v = t->v ? vt__poll_slot_take(t->v->wait_obj, wait) : NULL;
    if (!v) return -1;
    vt__poll_up.wake(v);
    return vt_sleep_ms(1);
}
static int wait_write(void *fd) { return vt_wait_fd(*(int *)fd, VT_WRITE, 0); }
static int wait_read_twice(void *fd) {
    CHECK_EQ(vt_wait_fd(*(int *)fd, VT_READ, 0), VT_READ); /* as if */
    return vt_wait_fd(*(int *)fd, VT_READ, 0);
}
static int late_main(void *arg) {
    int p[2], q[2], r = 0;
    vt_sock *s;
    (void)arg;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, p) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, q) < 0)
        return -errno;
    if ((r = vt_sock_from_fd_take(&s, p[0])) < 0) return r;
    vt_task *t = vt_async(read_one, s);
    vt_sleep_ms(1);
    CHECK_EQ(late_event(t, VT__PD_RWAIT), 0);
    CHECK(!vt_task_done(t) && write(p[1], "x", 1) == 1);
    CHECK(vt_await(t, &r) == 0 && r == 1);
    while (send(q[0], (char[4096]){0}, 4096, MSG_DONTWAIT) > 0) continue;
    vt_task *w = vt_async(wait_write, &q[0]); /* keeps what stands for the descriptor */
    t = vt_async(wait_read_twice, &q[0]);
    vt_sleep_ms(1);
    CHECK_EQ(late_event(t, VT__PD_RWAIT), 0);
    CHECK(!vt_task_done(t) && write(q[1], "x", 1) == 1);
    CHECK(vt_await(t, &r) == 0 && r == VT_READ);
    vt_cancel(w);
    CHECK(vt_await(w, &r) == 0 && r == -ECANCELED);
    vt_sock_close(s);
    return close(p[1]) + close(q[0]) + close(q[1]);
}
TEST(a_late_event_wakes_the_next_wait_which_goes_on) { CHECK_EQ(run_on(1, late_main, NULL), 0); }

/* A wake-up means "look": it may be of an event for whoever had the struct before, and no connection is there yet. The
 * listener's queue is full, so that it never will be. */
static int dial_main(void *addr) {
    vt_sock *s = NULL;
    int r = vt_dial(&s, addr, NULL);
    if (r >= 0) vt_sock_close(s);
    return r;
}
static int invented_main(void *arg) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof in;
    vt_sock *kept[8];
    char addr[64];
    int l = socket(AF_INET, SOCK_STREAM, 0), held = 0, r = 0;
    (void)arg;
    if (bind(l, (void *)&in, n) < 0 || listen(l, 0) < 0 || getsockname(l, (void *)&in, &n) < 0) return -errno;
    snprintf(addr, sizeof addr, "127.0.0.1:%d", ntohs(in.sin_port));
    while (held < 8 && vt_dial_until(&kept[held], addr, NULL, vt_now() + 200 * VT_MS) == 0) held++;
    vt_task *t = vt_async(dial_main, addr);
    vt_sleep_ms(1);
    CHECK_EQ(late_event(t, VT__PD_WWAIT), 0);
    vt_cancel(t);
    CHECK(vt_await(t, &r) == 0 && r == -ECANCELED);
    while (held--) vt_sock_close(kept[held]);
    return close(l);
}
TEST(a_wake_up_is_no_connection) { CHECK_EQ(run_on(1, invented_main, NULL), 0); }

TEST(a_stale_socket_file_is_replaced_a_live_one_is_not) {
    const char *path = tmp_path("stale");
    char addr[160];
    vt_sock *a, *b;
    snprintf(addr, sizeof addr, "unix:%s", path);
    REQUIRE(vt_listen(&a, addr, NULL) == 0);
    CHECK_EQ(vt_listen(&b, addr, NULL), -EADDRINUSE);
    vt_sock_close(a); /* leaves the file */
    CHECK_EQ(access(path, F_OK), 0);
    CHECK_EQ(vt_listen(&b, addr, NULL), 0);
    vt_sock_close(b);
}

/*--- options ---*/
static int option(const vt_sock *s, int level, int name) {
    int v = -1;
    socklen_t n = sizeof v;
    return getsockopt(vt_sock_fd(s), level, name, &v, &n) < 0 ? -1 : v;
}
static int options_main(void *arg) {
    (void)arg;
    for (int on = 0; on < 2; on++) {
        vt_sock_cfg cfg = {.reuseport = on, .delay = on, .v6only = on, .unix_mode = on ? 0600 : 0};
        vt_sock *l, *again, *a, *b;
        char addr[VT_ADDR_MAX], path[160];
        struct stat st;
        CHECK_EQ(vt_listen(&l, "127.0.0.1:0", &cfg), 0);
        vt_sock_local(l, addr, sizeof addr);
        CHECK(vt_sock_port(l) > 0 && vt_sock_port(l) == atoi(strrchr(addr, ':') + 1));
        CHECK_EQ(option(l, SOL_SOCKET, SO_REUSEPORT) != 0, on);
        CHECK_EQ(option(l, IPPROTO_TCP, TCP_NODELAY) != 0, !on);
        int r = vt_listen(&again, addr, &cfg); /* two on one port, or not */
        CHECK_EQ(r, on ? 0 : -EADDRINUSE);
        if (r == 0) vt_sock_close(again);
        CHECK_EQ(vt_dial(&a, addr, &cfg), 0);
        CHECK_EQ(vt_accept(l, &b), 0);
        CHECK_EQ(option(a, IPPROTO_TCP, TCP_NODELAY) != 0, !on);
        CHECK_EQ(option(b, IPPROTO_TCP, TCP_NODELAY) != 0, !on);
        vt_sock_close(a);
        vt_sock_close(b);
        vt_sock_close(l);
        if ((r = vt_listen(&l, "[::]:0", &cfg)) == 0) {
            CHECK_EQ(option(l, IPPROTO_IPV6, IPV6_V6ONLY), on);
            vt_sock_close(l);
        }
        snprintf(path, sizeof path, "unix:%s", tmp_path(on ? "private" : "open"));
        mode_t mask = umask(022);
        CHECK_EQ(vt_listen(&l, path, &cfg), 0);
        umask(mask);
        CHECK_EQ(vt_sock_port(l), 0);
        CHECK_EQ(stat(path + 5, &st), 0);
        CHECK_EQ(st.st_mode & 0666, on ? 0600 : 0644);
        vt_sock_close(l);
    }
    return 0;
}
TEST(socket_options) { CHECK_EQ(run_on(1, options_main, NULL), 0); }

/* Reads it all once the writer has given up, or would never do so. */
static int late_done;
static int reads_late(void *arg) {
    struct pair *p = arg;
    static char block[65536];
    for (int64_t end = vt_now() + 10 * VT_SEC; !late_done && vt_now() < end;) vt_sleep_ms(1);
    while (vt_read(p->b, block, sizeof block) > 0) continue;
    return 0;
}
static int writes_until_main(void *arg) {
    static char much[8 << 20]; /* more than the kernel's buffers take */
    struct pair p;
    vt_str parts[2] = {{much, sizeof much}, {much, sizeof much}};
    (void)arg;
    for (int vector = 0; vector < 2; vector++) {
        int r = connect_pair(&p, "127.0.0.1:0");
        if (r < 0) return r;
        late_done = 0;
        vt_task *t = vt_async(reads_late, &p);
        int64_t until = vt_now() + 20 * VT_MS;
        CHECK_EQ(vector ? vt_writev_until(p.a, parts, 2, until)
                        : vt_write_until(p.a, much, sizeof much, until),
                 -ETIMEDOUT);
        CHECK(vt_now() >= until);
        CHECK_EQ(vt_write_until(p.a, much, 1, vt_now() - 1), -ETIMEDOUT);
        late_done = 1;
        vt_sock_close(p.a);
        p.a = NULL;
        CHECK_EQ(vt_await(t, NULL), 0);
        close_pair(&p);
    }
    return 0;
}
TEST(writes_end_at_their_time) { CHECK_EQ(run_on(1, writes_until_main, NULL), 0); }

/*--- stacks ---*/
static int deep(int n) {
    volatile char frame[3000];
    frame[n % 3000] = (char)n;
    return n <= 0 ? frame[0] : deep(n - 1) + frame[n % 3000];
}
static int overflow(void *arg) {
    vt_name_set("digger");
    return deep((int)(intptr_t)arg);
}
static int overflow_main(void *arg) { return vt_await(vt_async(overflow, arg), NULL); }
TEST(an_overflow_names_the_vthread_and_its_spawn_site) {
    if (VT__ASAN || VT__TSAN) SKIP("the sanitizer reports overflows itself");
    char text[1000];
    int p[2], status = 0;
    REQUIRE(pipe(p) == 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(p[1], 2);
        _exit(run_on(1, overflow_main, (void *)1000000) == 0);
    }
    close(p[1]);
    size_t len = 0;
    for (ssize_t n; len < sizeof text - 1 && (n = read(p[0], text + len, sizeof text - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = 0;
    close(p[0]);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status));
    CHECK(strstr(text, "stack overflow in virtual thread 'digger'") != NULL);
    CHECK(strstr(text, "test_io.c:") != NULL);
    CHECK_EQ(run_on(1, overflow_main, (void *)8), 0); /* 24 KB of frames are fine */
}

static int wait_group(void *arg) { return vt_wg_wait(arg); }
static int many_main(void *arg) {
    vt_stats s;
    vt_wg g = {0};
    (void)arg;
    int n = VT__TSAN ? 50 : 3000;
    vt_task **t = calloc((size_t)n, sizeof *t);
    if (!t) return -ENOMEM;
    vt_wg_add(&g, 1);
    for (int i = 0; i < n; i++) t[i] = vt_async(wait_group, &g);
    vt_yield();
    vt_stats_get(&s);
    CHECK(s.stacks >= n);
    CHECK(s.guard_kind == VT__GUARD_LIGHT || s.guard_kind == VT__GUARD_MPROTECT);
    vt_wg_done(&g);
    for (int i = 0; i < n; i++) CHECK_EQ(vt_await(t[i], NULL), 0);
    free(t);
    return 0;
}
TEST(every_stack_has_its_guard) { CHECK_EQ(run_on(1, many_main, NULL), 0); }

#if defined(__linux__)
static int sigpipes;
static void on_sigpipe(int sig) { sigpipes += sig == SIGPIPE; }
static int file_to_nobody(void *arg) {
    int fds[2], fd = *(int *)arg;
    vt__pd pd;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    vt__poll_pd_init(&pd, fds[0]);
    CHECK_EQ(vt__io_file_try(&pd, fd, 2, 100), 3);
    CHECK_EQ(vt__io_file_try(&pd, fd, 5, 100), 0); /* its end */
    close(fds[1]);
    CHECK_EQ(vt__io_file_try(&pd, fd, 0, 5), -EPIPE);
    vt__poll_set(&pd, VT__PD_CLOSED);
    CHECK_EQ(vt__io_file_try(&pd, fd, 0, 5), VT_ECLOSED);
    close(fds[0]);
    return 0;
}
/* sendfile raises it, whatever is asked; what the program does about SIGPIPE stays as it is, and so do those of others. */
TEST(a_file_to_a_peer_that_is_gone_raises_no_sigpipe) {
    int fd = open(tmp_text("file", "01234"), O_RDONLY);
    sigset_t pipe, old, now;
    REQUIRE(fd >= 0);
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpipes = 0;
    signal(SIGPIPE, on_sigpipe);
    CHECK_EQ(run_on(1, file_to_nobody, &fd), 0);
    CHECK_EQ(sigpipes, 0);
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    CHECK_EQ(sigismember(&now, SIGPIPE), 0);
    pthread_sigmask(SIG_BLOCK, &pipe, &old); /* blocked by the program: one that waits is the program's */
    raise(SIGPIPE);
    CHECK_EQ(run_on(1, file_to_nobody, &fd), 0);
    sigpending(&now);
    CHECK_EQ(sigismember(&now, SIGPIPE), 1);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    CHECK_EQ(sigpipes, 1);
    signal(SIGPIPE, SIG_DFL);
    close(fd);
}
#endif
