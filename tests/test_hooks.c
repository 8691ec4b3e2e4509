/* tsan */
/* variants: default asan tsan poll ucontext clang i386 */
/* libc's blocking calls under VTHTTP_HOOKS: each on a virtual thread, where it parks, and off one, where it is libc's.
 * What parks is shown by having a single worker: the other end of each call is a virtual thread beside it. */
#define VTHTTP_HOOKS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "rt.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

#define LONG (20 * VT_SEC)

static void pair(int type, int fd[2]) { CHECK_EQ(socketpair(AF_UNIX, type, 0, fd), 0); }
static void close2(const int fd[2]) { close(fd[0]), close(fd[1]); }
static void timeo(int fd, int opt, int ms) {
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, opt, &tv, sizeof tv), 0);
}
static void nonblock(int fd) { CHECK_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0); }
static int64_t since(int64_t t) { return (vt_now() - t) / VT_MS; }
/* A call that fails with this errno. */
#define FAILS(call, err) (errno = 0, CHECK_EQ((call), -1), CHECK_EQ(errno, (err)))

/*--- every way to read and to write ---*/
enum { READS = 5, WRITES = 5 };
static ssize_t read_by(int how, int fd, char *p, size_t n) {
    struct iovec v[2] = {{p, n / 2}, {p + n / 2, n - n / 2}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    switch (how) {
    case 0: return read(fd, p, n);
    case 1: return readv(fd, v, 2);
    case 2: return recv(fd, p, n, 0);
    case 3: return recvfrom(fd, p, n, 0, NULL, NULL);
    default: return recvmsg(fd, &m, 0);
    }
}
static ssize_t write_by(int how, int fd, const char *p, size_t n) {
    char *q = (char *)(uintptr_t)p;
    struct iovec v[2] = {{q, n / 2}, {q + n / 2, n - n / 2}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    switch (how) {
    case 0: return write(fd, p, n);
    case 1: return writev(fd, v, 2);
    case 2: return send(fd, p, n, 0);
    case 3: return sendto(fd, p, n, 0, NULL, 0);
    default: return sendmsg(fd, &m, 0);
    }
}
struct end {
    int fd, how;
    size_t n;
    int err;
};
static int reader(void *arg) {
    struct end *e = arg;
    char buf[64] = "";
    errno = 4711;
    ssize_t r = read_by(e->how, e->fd, buf, sizeof buf);
    e->err = errno;
    if (r > 0) CHECK_MEM(buf, r, "0123456789", 10), CHECK_EQ(e->err, 4711);
    return (int)r;
}
static int small_parts(void *arg) {
    int fd[2], kinds = (int)(intptr_t)arg;
    for (int kind = 0; kind < kinds; kind++) {
        for (int i = 0; i < READS; i++) {
            for (int o = 0; o < WRITES; o++) {
                if (kind == 2 && (i > 1 || o > 1)) continue;
                if (kind == 2) CHECK_EQ(pipe(fd), 0);
                else pair(kind ? SOCK_DGRAM : SOCK_STREAM, fd);
                struct end e = {fd[0], i, 0, 0};
                vt_task *t = vt_async(reader, &e);
                vt_yield();
                CHECK(!vt_task_done(t));
                CHECK_EQ(write_by(o, fd[1], "0123456789", 10), 10);
                CHECK_EQ(result(t), 10);
                if (kind != 1) {
                    t = vt_async(reader, &e);
                    vt_yield();
                    close(fd[1]);
                    CHECK_EQ(result(t), 0);
                    close(fd[0]);
                } else {
                    close2(fd);
                }
            }
        }
    }
    return 0;
}
TEST(every_read_parks_until_every_write) { CHECK_EQ(run_on(1, small_parts, (void *)3), 0); }

/* A blocking write takes all, whatever room there is. */
static char big[3 << 20], back[3 << 20];
static int big_writer(void *arg) {
    struct end *e = arg;
    ssize_t r = write_by(e->how, e->fd, big, e->n);
    close(e->fd);
    return (int)r;
}
static int big_parts(void *arg) {
    int fd[2];
    uint64_t seed = test_seed();
    (void)arg;
    for (size_t i = 0; i < sizeof big; i++) big[i] = (char)test_rand(&seed);
    for (int kind = 0; kind < 2; kind++) {
        for (int how = 0; how < (kind ? 2 : WRITES); how++) {
            size_t got = 0, n = kind ? 400001 : sizeof big;
            if (kind) CHECK_EQ(pipe(fd), 0);
            else pair(SOCK_STREAM, fd);
            struct end e = {fd[1], how, n, 0};
            vt_task *t = vt_async(big_writer, &e);
            vt_yield();
            for (ssize_t r; (r = read(fd[0], back + got, VT__MIN(sizeof back - got, 100000))) > 0;)
                got += (size_t)r;
            CHECK_EQ(result(t), n);
            CHECK_MEM(back, got, big, n);
            close(fd[0]);
        }
    }
    return 0;
}
TEST(a_blocking_write_writes_all) { CHECK_EQ(run_on(1, big_parts, NULL), 0); }

/*--- what the program asked for ---*/
static int no_waits(void *arg) {
    int fd[2], p[2];
    char b[8], *whole = big;
    struct iovec v = {b, 8};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    (void)arg;
    pair(SOCK_STREAM, fd);
    CHECK_EQ(pipe(p), 0);
    FAILS(recv(fd[0], b, 8, MSG_DONTWAIT), EAGAIN);
    FAILS(recvmsg(fd[0], &m, MSG_DONTWAIT), EAGAIN);
    for (int i = 0; i < 2; i++) nonblock(fd[i]), nonblock(p[i]);
    for (int i = 0; i < READS; i++) FAILS(read_by(i, fd[0], b, 8), EAGAIN);
    for (int i = 0; i < 2; i++) FAILS(read_by(i, p[0], b, 8), EAGAIN);
    FAILS(recv(fd[0], b, 8, MSG_WAITALL), EAGAIN);
    CHECK_EQ(send(fd[1], "abc", 3, 0), 3);
    CHECK_EQ(recv(fd[0], b, 8, MSG_WAITALL), 3);
    for (int i = 0; i < WRITES; i++) {
        ssize_t r = write_by(i, fd[1], whole, sizeof big); /* what there is room for */
        CHECK(i ? r == -1 && errno == EAGAIN : r > 0 && r < (ssize_t)sizeof big);
    }
    ssize_t r = write(p[1], whole, sizeof big);
    CHECK(r > 0 && r < (ssize_t)sizeof big);
    FAILS(write(p[1], whole, 1), EAGAIN);
    FAILS(writev(p[1], &(struct iovec){whole, 100000}, 1), EAGAIN);
    close2(fd), close2(p);
    return 0;
}
/* What the kernel refuses at once is not waited for. */
static void misused(void) {
    int fd[2], p[2];
    char b[8], *whole = big;
    struct iovec v = {whole, 100000}, none = {b, 0};
    (void)vt_deadline_set(vt_now() + LONG);
    CHECK_EQ(pipe(p), 0);
    FAILS(read(p[1], b, 8), EBADF);
    FAILS(write(p[0], b, 8), EBADF);
    FAILS(writev(p[0], &v, 1), EBADF);
    FAILS(accept(p[0], NULL, NULL), ENOTSOCK);
    nonblock(p[1]);
    while (write(p[1], whole, sizeof big) > 0) continue;
    CHECK_EQ(fcntl(p[1], F_SETFL, fcntl(p[1], F_GETFL) & ~O_NONBLOCK), 0);
    CHECK_EQ(write(p[1], b, 0), 0);
    CHECK_EQ(writev(p[1], &none, 1), 0);
    pair(SOCK_STREAM, fd);
    FAILS(accept(fd[0], NULL, NULL), EINVAL);
    close2(fd), close2(p);
    pair(SOCK_DGRAM, fd);
    FAILS(accept(fd[0], NULL, NULL), EOPNOTSUPP);
    close2(fd);
    (void)vt_deadline_set(0);
}
static int errors(void *arg) {
    int fd[2], file = open("/dev/null", O_RDWR), tcp = socket(AF_INET, SOCK_STREAM, 0);
    char b[8];
    struct iovec v = {b, 8};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    struct pollfd none = {-1, POLLIN, 0};
    struct epoll_event ev;
    volatile int wrong[] = {-1, 5000}; /* compilers know */
    (void)arg;
    FAILS(read(-1, b, 8), EBADF);
    FAILS(write(1 << 20, b, 8), EBADF);
    FAILS(readv(file, &v, wrong[0]), EINVAL);
    FAILS(writev(file, &v, wrong[1]), EINVAL);
    FAILS(recv(file, b, 8, 0), ENOTSOCK);
    FAILS(sendmsg(file, &m, 0), ENOTSOCK);
    FAILS(recvmsg(file, &m, 0), ENOTSOCK);
    FAILS(accept(file, NULL, NULL), ENOTSOCK);
    FAILS(connect(file, (struct sockaddr *)b, 8), ENOTSOCK);
    FAILS(recv(tcp, b, 8, 0), ENOTCONN);
    FAILS(accept(tcp, NULL, NULL), EINVAL);
    FAILS(select(-1, NULL, NULL, NULL, NULL), EINVAL);
    FAILS(select(1, NULL, NULL, NULL, &(struct timeval){-1, 0}), EINVAL);
    FAILS(ppoll(&none, 1, &(struct timespec){0, 2000000000}, NULL), EINVAL);
    FAILS(nanosleep(&(struct timespec){0, -1}, NULL), EINVAL);
    FAILS(nanosleep(&(struct timespec){-1, 0}, NULL), EINVAL);
    CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &(struct timespec){0, 2000000000}, NULL), EINVAL);
    CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &(struct timespec){-1, 0}, NULL), EINVAL);
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){-1, 0}, NULL), EINVAL);
    CHECK_EQ(clock_nanosleep(77, 0, &(struct timespec){0, 1}, NULL), EINVAL);
    FAILS(epoll_wait(file, &ev, 1, 0), EINVAL);
    FAILS(epoll_wait(-1, &ev, 1, 100), EBADF);
    CHECK_EQ(read(file, b, 8), 0); /* /dev/null */
    CHECK_EQ(write(file, b, 8), 8);
    pair(SOCK_STREAM, fd);
    CHECK_EQ(read(fd[0], b, 0), 0);
    CHECK_EQ(write(fd[0], b, 0), 0);
    CHECK_EQ(poll(&none, 1, 0), 0);
    close2(fd), close(file), close(tcp);
    misused();
    return 0;
}
TEST(non_blocking_stays_so) { CHECK_EQ(no_waits(NULL) + run_on(1, no_waits, NULL), 0); }
TEST(errors_are_libcs) { CHECK_EQ(errors(NULL) + run_on(1, errors, NULL), 0); }

static int timeouts(void *arg) {
    int fd[2];
    char b[8];
    (void)arg;
    pair(SOCK_STREAM, fd);
    timeo(fd[0], SO_RCVTIMEO, 30);
    timeo(fd[1], SO_SNDTIMEO, 30);
    for (int i = 0; i < READS; i++) {
        int64_t t = vt_now();
        FAILS(read_by(i, fd[0], b, 8), EAGAIN);
        CHECK(since(t) >= 29);
    }
    CHECK_EQ(send(fd[1], "abc", 3, 0), 3);
    CHECK_EQ(recv(fd[0], b, 8, MSG_WAITALL), 3); /* what came in time */
    ssize_t r = send(fd[1], big, sizeof big, 0);
    CHECK(r > 0 && r < (ssize_t)sizeof big);
    for (int i = 0; i < WRITES; i++) FAILS(write_by(i, fd[1], big, sizeof big), EAGAIN);
    close2(fd);
    return 0;
}
TEST(socket_timeouts_count) { CHECK_EQ(timeouts(NULL) + run_on(1, timeouts, NULL), 0); }

/*--- flags ---*/
static int waitall(void *arg) {
    char b[10];
    int fd = *(int *)arg, r = (int)recv(fd, b, 10, MSG_WAITALL);
    if (r == 10) CHECK_MEM(b, 10, "0123456789", 10);
    return r;
}
static int waitall_msg(void *arg) {
    char b[10];
    struct iovec v[3] = {{b, 3}, {b + 3, 4}, {b + 7, 3}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 3};
    int r = (int)recvmsg(*(int *)arg, &m, MSG_WAITALL);
    if (r == 10) CHECK_MEM(b, 10, "0123456789", 10);
    return r;
}
static int peekall(void *arg) {
    char b[10];
    return (int)recv(*(int *)arg, b, 10, MSG_PEEK | MSG_WAITALL);
}
static int flags(void *arg) {
    vt_fn *const fns[] = {waitall, waitall_msg};
    int fd[2];
    char b[10];
    (void)arg;
    for (int i = 0; i < 4; i++) {
        pair(SOCK_STREAM, fd);
        vt_task *t = vt_async(fns[i % 2], &fd[0]);
        for (int at = 0; at < (i < 2 ? 10 : 4); at += 2) {
            vt_sleep_ms(1);
            CHECK(!vt_task_done(t));
            CHECK_EQ(write(fd[1], &"0123456789"[at], 2), 2);
        }
        close(fd[1]);
        CHECK_EQ(result(t), i < 2 ? 10 : 4);
        close(fd[0]);
    }
    pair(SOCK_STREAM, fd);
    vt_task *t = vt_async(peekall, &fd[0]);
    vt_yield();
    CHECK_EQ(write(fd[1], "01234", 5), 5);
    vt_sleep_ms(3);
    CHECK(!vt_task_done(t));
    CHECK_EQ(write(fd[1], "56789", 5), 5);
    CHECK_EQ(result(t), 10);
    CHECK_EQ(recv(fd[0], b, 3, MSG_PEEK), 3);
    CHECK_EQ(recv(fd[0], b, 10, 0), 10);
    t = vt_async(peekall, &fd[0]);
    vt_yield();
    CHECK_EQ(write(fd[1], "01234", 5), 5);
    close(fd[1]);
    CHECK_EQ(result(t), 5);
    close(fd[0]);
    pair(SOCK_DGRAM, fd);
    CHECK_EQ(send(fd[1], "0123456789", 10, 0), 10);
    CHECK_EQ(recv(fd[0], b, 4, MSG_TRUNC), 10);
    CHECK_EQ(send(fd[1], "0123", 4, 0), 4);
    CHECK_EQ(recv(fd[0], b, 10, MSG_WAITALL), 4);
    close2(fd);
    return 0;
}
TEST(message_flags) { CHECK_EQ(run_on(1, flags, NULL), 0); }

/* A descriptor goes along, and comes once. */
static int take_fd(void *arg) {
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof(int))];
    } c;
    char b[4];
    struct iovec v = {b, 4};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
    int fd = -1;
    CHECK_EQ(recvmsg(*(int *)arg, &m, 0), 4);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    CHECK(h && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof fd));
    if (h) memcpy(&fd, CMSG_DATA(h), sizeof fd);
    return fd;
}
static int pass_fd(void *arg) {
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof(int))];
    } c;
    int fd[2], p[2];
    struct iovec v = {(char *)(uintptr_t) "take", 4};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
    (void)arg;
    memset(&c, 0, sizeof c);
    pair(SOCK_STREAM, fd);
    CHECK_EQ(pipe(p), 0);
    vt_task *t = vt_async(take_fd, &fd[0]);
    vt_yield();
    c.h.cmsg_level = SOL_SOCKET, c.h.cmsg_type = SCM_RIGHTS, c.h.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&c.h), &p[1], sizeof(int));
    CHECK_EQ(sendmsg(fd[1], &m, 0), 4);
    int got = result(t);
    char b;
    CHECK(got > 0 && write(got, "x", 1) == 1 && read(p[0], &b, 1) == 1 && b == 'x');
    close(got), close2(fd), close2(p);
    return 0;
}
TEST(descriptors_in_messages) { CHECK_EQ(run_on(1, pass_fd, NULL), 0); }

/*--- connecting, accepting ---*/
static int listener(struct sockaddr_in *a, int backlog) {
    socklen_t n = sizeof *a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(a, 0, sizeof *a);
    a->sin_family = AF_INET;
    a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (struct sockaddr *)a, n), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)a, &n), 0);
    if (backlog) CHECK_EQ(listen(fd, backlog), 0);
    return fd;
}
static int accepts(void *arg) {
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    int fd = accept(*(int *)arg, (struct sockaddr *)&a, &n);
    CHECK(n == sizeof a && a.sin_family == AF_INET);
    return fd;
}
static int connects(void *arg) {
    struct sockaddr_in a;
    int l = listener(&a, 8), s = socket(AF_INET, SOCK_STREAM, 0),
        nb = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void)arg;
    vt_task *t = vt_async(accepts, &l);
    vt_yield();
    CHECK(!vt_task_done(t));
    CHECK_EQ(connect(s, (struct sockaddr *)&a, sizeof a), 0);
    CHECK_EQ(fcntl(s, F_GETFL) & O_NONBLOCK, 0);
    FAILS(connect(s, (struct sockaddr *)&a, sizeof a), EISCONN);
    int c = result(t);
    CHECK(c >= 0);
    CHECK_EQ(send(c, "hi", 2, 0), 2);
    char b[4];
    CHECK_EQ(recv(s, b, 4, 0), 2);
    close(c), close(s);
    int r = connect(nb, (struct sockaddr *)&a, sizeof a); /* loopback may be through at once */
    CHECK(r == 0 || (r == -1 && errno == EINPROGRESS));
    CHECK_EQ(poll(&(struct pollfd){nb, POLLOUT, 0}, 1, 10000), 1);
    c = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(c >= 0 && fcntl(c, F_GETFL) & O_NONBLOCK && fcntl(c, F_GETFD) & FD_CLOEXEC);
    close(c), close(nb);
    timeo(l, SO_RCVTIMEO, 20);
    FAILS(accept(l, NULL, NULL), EAGAIN);
    nonblock(l);
    FAILS(accept(l, NULL, NULL), EAGAIN);
    close(l);
    int shut = listener(&a, 0);
    s = socket(AF_INET, SOCK_STREAM, 0);
    FAILS(connect(s, (struct sockaddr *)&a, sizeof a), ECONNREFUSED);
    close(s), close(shut);
    return 0;
}
TEST(connect_and_accept_park) { CHECK_EQ(run_on(1, connects, NULL), 0); }

/* A Unix listener whose queue is full makes connect wait; a datagram socket whose receiver is full, sendto. */
static int unix_bound(struct sockaddr_un *a, int type, int i) {
    int fd = socket(AF_UNIX, type, 0);
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    snprintf(a->sun_path + 1, sizeof a->sun_path - 1, "vthttp-hooks-%d-%d", (int)getpid(), i);
    CHECK_EQ(bind(fd, (struct sockaddr *)a, sizeof *a), 0);
    return fd;
}
static int unix_connect(void *arg) {
    int s = socket(AF_UNIX, SOCK_STREAM, 0), r = connect(s, arg, sizeof(struct sockaddr_un));
    return r < 0 ? -errno : s;
}
static int unix_send(void *arg) {
    int s = socket(AF_UNIX, SOCK_DGRAM, 0), n = 0;
    for (; n < 2000; n++)
        if (sendto(s, "0123", 4, 0, arg, sizeof(struct sockaddr_un)) != 4) break;
    close(s);
    return n;
}
static int unix_full(void *arg) {
    struct sockaddr_un a;
    vt_task *t[4];
    char b[8];
    int l = unix_bound(&a, SOCK_STREAM, 0), s, n = 0;
    (void)arg;
    CHECK_EQ(listen(l, 0), 0);
    for (int i = 0; i < 4; i++) t[i] = vt_async(unix_connect, &a);
    vt_sleep_ms(5);
    for (int i = 0; i < 4; i++) n += vt_task_done(t[i]);
    CHECK(n < 4);
    for (int i = 0; i < 4; i++) CHECK((s = accept(l, NULL, NULL)) >= 0 && close(s) == 0);
    for (int i = 0; i < 4; i++) CHECK((s = result(t[i])) >= 0 && close(s) == 0);
    close(l);
    int d = unix_bound(&a, SOCK_DGRAM, 1);
    t[0] = vt_async(unix_send, &a);
    vt_stats before, after;
    vt_stats_get(&before);
    vt_sleep_ms(50);
    vt_stats_get(&after);
    CHECK(after.polls - before.polls < 500); /* it naps: the socket polls writable all the time */
    CHECK(!vt_task_done(t[0]));
    for (n = 0; n < 2000; n++)
        if (recv(d, b, 8, 0) != 4) break;
    CHECK_EQ(n, 2000);
    CHECK_EQ(result(t[0]), 2000);
    close(d);
    return 0;
}
TEST(unix_queues_that_are_full) { CHECK_EQ(run_on(1, unix_full, NULL), 0); }

/*--- poll, select, epoll ---*/
enum { MANY = 300 };
static int poke_fd;
static int poke(void *arg) {
    vt_sleep_ms((int)(intptr_t)arg);
    return (int)write(poke_fd, "x", 1);
}
static int polls(void *arg) {
    static int fd[MANY][2];
    static struct pollfd p[MANY + 4];
    (void)arg;
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(pipe(fd[i]), 0);
        p[i] = (struct pollfd){fd[i][0], POLLIN, 77};
    }
    p[MANY] = (struct pollfd){fd[7][0], POLLIN, 0}; /* twice */
    p[MANY + 1] = (struct pollfd){-5, POLLIN, 77};
    p[MANY + 2] = (struct pollfd){fd[7][0], POLLPRI, 0};
    int64_t t = vt_now();
    CHECK_EQ(poll(p, MANY + 3, 20), 0);
    CHECK(since(t) >= 20 && p[0].revents == 0 && p[MANY + 1].revents == 0);
    poke_fd = fd[7][1];
    vt_task *k = vt_on_vthread() ? vt_async(poke, (void *)2) : NULL;
    if (!k) poke(0);
    CHECK_EQ(poll(p, MANY + 3, 20000), 2);
    CHECK(p[7].revents == POLLIN && p[MANY].revents == POLLIN && !p[MANY + 2].revents && !p[8].revents);
    if (k) CHECK_EQ(result(k), 1);
    p[7].fd = ~p[7].fd; /* the usual way to leave one out */
    p[MANY].fd = -1;
    close(fd[8][1]);
    CHECK_EQ(poll(p, MANY + 3, -1), 1);
    CHECK_EQ(p[8].revents, POLLHUP);
    close(fd[8][0]);
    CHECK_EQ(poll(p, MANY + 3, -1), 1);
    CHECK_EQ(p[8].revents, POLLNVAL);
    t = vt_now();
    CHECK_EQ(poll(NULL, 0, 30), 0);
    CHECK_EQ(ppoll(NULL, 0, &(struct timespec){0, 30000000}, NULL), 0);
    CHECK(since(t) >= 60);
    for (int i = 0; i < MANY; i++)
        if (i != 8) close2(fd[i]);
    return 0;
}
TEST(poll_many) { CHECK_EQ(polls(NULL) + run_on(1, polls, NULL), 0); }

static void sets(fd_set *r, fd_set *w, fd_set *e, int in, int out) {
    FD_ZERO(r);
    FD_ZERO(w);
    FD_ZERO(e);
    FD_SET(in, r);
    FD_SET(out, w);
    FD_SET(in, e);
}
static int selects(void *arg) {
    int fd[2], high = 1000;
    fd_set r, w, e;
    struct timeval tv = {0, 40000};
    (void)arg;
    pair(SOCK_STREAM, fd);
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur <= 1000) high = (int)lim.rlim_cur - 1;
    CHECK_EQ(dup2(fd[0], high), high);
    sets(&r, &w, &e, high, fd[0]);
    tv.tv_sec = 20;
    CHECK_EQ(select(high + 1, &r, &w, &e, &tv), 1); /* room to write */
    CHECK(!FD_ISSET(high, &r) && FD_ISSET(fd[0], &w) && !FD_ISSET(high, &e));
    CHECK(tv.tv_sec > 0 && (tv.tv_sec < 20 || tv.tv_usec <= 40000)); /* what is left of it */
    sets(&r, &w, &e, high, fd[0]);
    tv = (struct timeval){0, 40000};
    int64_t t = vt_now();
    CHECK_EQ(select(high + 1, &r, NULL, &e, &tv), 0);
    CHECK(since(t) >= 40 && !FD_ISSET(high, &r) && tv.tv_sec == 0 && tv.tv_usec == 0);
    poke_fd = fd[1];
    vt_task *k = vt_on_vthread() ? vt_async(poke, (void *)2) : NULL;
    if (!k) poke(0);
    sets(&r, &w, &e, high, fd[0]);
    tv = (struct timeval){20, 0};
    CHECK_EQ(select(high + 1, &r, NULL, NULL, &tv), 1);
    CHECK(FD_ISSET(high, &r) && tv.tv_sec < 20);
    if (k) CHECK_EQ(result(k), 1);
    sets(&r, &w, &e, high, fd[0]);
    CHECK_EQ(pselect(high + 1, &r, NULL, NULL, NULL, NULL), 1);
    t = vt_now();
    CHECK_EQ(select(0, NULL, NULL, NULL, &(struct timeval){0, 20000}), 0);
    CHECK_EQ(pselect(0, NULL, NULL, NULL, &(struct timespec){0, 20000000}, NULL), 0);
    CHECK(since(t) >= 40);
    close(high);
    sets(&r, &w, &e, high, fd[0]);
    FAILS(select(high + 1, &r, NULL, NULL, NULL), EBADF);
    close2(fd);
    return 0;
}
/* What is in a set behind the first n is nobody's business: neither waited for, nor a bad descriptor. */
static int select_less(void *arg) {
    int fd[2], ready[2];
    fd_set r;
    (void)arg;
    pair(SOCK_STREAM, fd);
    pair(SOCK_STREAM, ready);
    CHECK(fd[0] < ready[0] && ready[0] / 64 == fd[0] / 64 && write(ready[1], "x", 1) == 1);
    FD_ZERO(&r);
    FD_SET(fd[0], &r);
    FD_SET(ready[0], &r);
    CHECK_EQ(select(fd[0] + 1, &r, NULL, NULL, &(struct timeval){0, 1000}), 0);
    CHECK(vt__hooks_at(vt__sched_thr()->hooks, fd[0])->known);
    CHECK(!vt__hooks_at(vt__sched_thr()->hooks, ready[0])->known);
    close2(fd), close2(ready);
    return 0;
}
/* Who says more than there can be, as by getdtablesize(), has sets of the usual size all the same. */
static int select_more(void *arg) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fd_set *r = (fd_set *)(void *)(p + page - sizeof *r);
    int fd[2];
    (void)arg;
    if (p == MAP_FAILED || mprotect(p + page, page, PROT_NONE) < 0) return 1;
    pair(SOCK_STREAM, fd);
    FD_ZERO(r);
    FD_SET(fd[0], r);
    CHECK_EQ(select(1 << 20, r, NULL, NULL, &(struct timeval){0, 1000}), 0);
    CHECK(!FD_ISSET(fd[0], r));
    FD_SET(fd[0], r);
    CHECK_EQ(write(fd[1], "x", 1), 1);
    CHECK_EQ(select(INT_MAX, r, NULL, NULL, NULL), 1);
    CHECK(FD_ISSET(fd[0], r));
    close2(fd);
    return munmap(p, 2 * page);
}
TEST(select_of_more_than_the_sets_hold) { CHECK_EQ(select_more(NULL) + run_on(1, select_more, NULL), 0); }
TEST(select_of_less_than_the_sets_hold) { CHECK_EQ(run_on(1, select_less, NULL), 0); }
TEST(select_up_to_its_size) { CHECK_EQ(selects(NULL) + run_on(1, selects, NULL), 0); }

static int epolls(void *arg) {
    int fd[2], ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = 5};
    (void)arg;
    CHECK_EQ(pipe(fd), 0);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &ev), 0);
    int64_t t = vt_now();
    CHECK_EQ(epoll_wait(ep, &ev, 1, 20), 0);
    CHECK(since(t) >= 20);
    CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
    poke_fd = fd[1];
    vt_task *k = vt_on_vthread() ? vt_async(poke, (void *)2) : NULL;
    if (!k) poke(0);
    CHECK_EQ(epoll_wait(ep, &ev, 1, -1), 1);
    CHECK_EQ(ev.data.u32, 5);
    CHECK_EQ(epoll_pwait(ep, &ev, 1, 1000, NULL), 1);
    if (k) CHECK_EQ(result(k), 1);
    close2(fd), close(ep);
    return 0;
}
TEST(epoll_wait_parks) { CHECK_EQ(epolls(NULL) + run_on(1, epolls, NULL), 0); }

/*--- sleeping ---*/
static int sleeps(void *arg) {
    struct timespec ts = {0, 20000000};
    int how = (int)(intptr_t)arg;
    int64_t t = vt_now();
    switch (how) {
    case 0: CHECK_EQ(nanosleep(&ts, NULL), 0); break;
    case 1: CHECK_EQ(usleep(20000), 0); break;
    case 2: CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, 0, &ts, NULL), 0); break;
    case 3:
    case 4:
        clock_gettime(how == 3 ? CLOCK_MONOTONIC : CLOCK_REALTIME, &ts);
        ts.tv_nsec += 20000000;
        if (ts.tv_nsec >= VT_SEC) ts.tv_sec++, ts.tv_nsec -= (long)VT_SEC;
        CHECK_EQ(clock_nanosleep(how == 3 ? CLOCK_MONOTONIC : CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL), 0);
        break;
    default: CHECK_EQ(sleep(0), 0); return 0;
    }
    CHECK(since(t) >= (how == 4 ? 15 : 20)); /* the other clock may be slewed */
    return 0;
}
static int sleeper(void *arg) { return (int)sleep((unsigned)(intptr_t)arg); }
static int many_sleeps(void *arg) {
    vt_task *t[120];
    (void)arg;
    int64_t began = vt_now();
    for (int i = 0; i < 120; i++) t[i] = vt_async(sleeps, (void *)(intptr_t)(i % 6));
    vt_task *s = vt_async(sleeper, (void *)1);
    for (int i = 0; i < 120; i++) CHECK_EQ(result(t[i]), 0);
    CHECK(!vt_task_done(s));
    CHECK_EQ(result(s), 0);
    CHECK(since(began) >= 1000);
    return 0;
}
TEST(sleeps_are_together) {
    for (int i = 0; i < 6; i++) CHECK_EQ(sleeps((void *)(intptr_t)i), 0);
    CHECK_EQ(run_on(1, many_sleeps, NULL), 0);
}

/*--- errors behind a part ---*/
static int receives_ten(void *arg) {
    char b[10];
    return (int)recv(*(int *)arg, b, sizeof b, MSG_WAITALL);
}
static int receives_ten_in_two(void *arg) {
    char b[10];
    struct iovec v[2] = {{b, 3}, {b + 3, 7}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    return (int)recvmsg(*(int *)arg, &m, MSG_WAITALL);
}
static int sends_much(void *arg) {
    static char much[16 << 20];
    return (int)send(*(int *)arg, much, sizeof much, MSG_NOSIGNAL);
}
static void tcp_pair(int fd[2]) {
    struct sockaddr_in a;
    int l = listener(&a, 8);
    fd[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(fd[0], (struct sockaddr *)&a, sizeof a), 0);
    fd[1] = accept(l, NULL, NULL);
    close(l);
}
static void reset(int fd) {
    struct linger now = {1, 0};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(fd);
}
/* The part counts, the reset is the next call's: as the kernel has it where the call itself waits. */
static int resets(void *arg) {
    vt_fn *const how[] = {receives_ten, receives_ten_in_two};
    char b[4];
    int fd[2];
    (void)arg;
    for (int i = 0; i < 4; i++) {
        tcp_pair(fd);
        CHECK_EQ(setsockopt(fd[1], IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0); /* or "so" waits */
        CHECK_EQ(send(fd[1], "four", 4, 0), 4);
        CHECK_EQ(poll(&(struct pollfd){fd[0], POLLIN, 0}, 1, 20000), 1);
        vt_task *t = vt_async(how[i / 2], &fd[0]);
        vt_yield(); /* it has them, and waits */
        if (i % 2) CHECK_EQ(send(fd[1], "so", 2, 0), 2);
        reset(fd[1]);
        CHECK_EQ(result(t), i % 2 ? 6 : 4);
        FAILS(recv(fd[0], b, 4, 0), ECONNRESET);
        CHECK_EQ(recv(fd[0], b, 4, 0), 0);
        close(fd[0]);
    }
    tcp_pair(fd);
    vt_task *t = vt_async(sends_much, &fd[0]);
    vt_yield();
    CHECK(!vt_task_done(t));
    reset(fd[1]);
    CHECK(result(t) > 0);
    FAILS(send(fd[0], b, 4, MSG_NOSIGNAL), ECONNRESET);
    close(fd[0]);
    return 0;
}
TEST(a_reset_behind_a_part_is_the_next_calls) { CHECK_EQ(run_on(1, resets, NULL), 0); }

/*--- cancel and deadline ---*/
static int waits_in(void *arg) {
    struct end *e = arg;
    struct pollfd p = {e->fd, POLLIN, 0};
    fd_set r;
    struct epoll_event ev;
    char b[4];
    struct sockaddr_in a;
    int x, n = -1;
    if (e->n) vt_deadline_set(vt_now() + 5 * VT_MS);
    FD_ZERO(&r);
    FD_SET(e->fd, &r);
    errno = 0;
    if (e->how < READS) n = (int)read_by(e->how, e->fd, b, 4);
    else if (e->how < READS + WRITES) n = (int)write_by(e->how - READS, e->fd, big, sizeof big);
    else if (e->how == 10) n = poll(&p, 1, -1);
    else if (e->how == 11) n = ppoll(&p, 1, NULL, NULL);
    else if (e->how == 12) n = select(e->fd + 1, &r, NULL, NULL, NULL);
    else if (e->how == 13) n = poll(NULL, 0, -1);
    else if (e->how == 14)
        x = listener(&a, 4), n = accept(x, NULL, NULL), e->err = errno, close(x), errno = e->err;
    else x = epoll_create1(0), n = epoll_wait(x, &ev, 1, -1), e->err = errno, close(x), errno = e->err;
    e->err = errno;
    return n;
}
static int ended(void *arg) {
    int fd[2];
    (void)arg;
    for (int how = 0; how < 16; how++) {
        for (int dl = 0; dl < 2; dl++) {
            pair(SOCK_STREAM, fd);
            bool out = how >= READS && how < READS + WRITES;
            if (out)
                while (send(fd[0], big, 100000, MSG_DONTWAIT) > 0) continue;
            struct end e = {fd[0], how, (size_t)dl, 0};
            vt_task *t = vt_async(waits_in, &e);
            vt_yield();
            CHECK(dl || !vt_task_done(t)); /* its deadline may have come before the wait */
            if (!dl) vt_cancel(t);
            CHECK_EQ(result(t), -1);
            CHECK_EQ(e.err, dl ? ETIMEDOUT : ECANCELED);
            close2(fd);
        }
    }
    return 0;
}
TEST(cancel_and_deadline_end_each) { CHECK_EQ(run_on(1, ended, NULL), 0); }

/* Once cancelled: what blocks fails, what does not goes on, and loops over EINTR end. */
static int after_cancel(void *arg) {
    struct timespec ts = {10, 0}, left = {0, 0};
    int fd[2], p[2], n = 0, file = open("/proc/self/stat", O_RDONLY);
    unsigned s = 10;
    char b[8];
    (void)arg;
    FAILS(nanosleep(&ts, &left), EINTR);
    CHECK(left.tv_sec >= 8 && left.tv_sec <= 10);
    while (nanosleep(&ts, &left) < 0 && errno == EINTR) ts = left, n++;
    CHECK_EQ(errno, ECANCELED);
    while ((s = sleep(s)) > 0) n++;
    CHECK(n < 2);
    pair(SOCK_STREAM, fd);
    CHECK_EQ(send(fd[1], "abcd", 4, MSG_DONTWAIT), 4);
    FAILS(read(fd[0], b, 2), ECANCELED);
    FAILS(write(fd[0], b, 2), ECANCELED);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(write(p[1], b, 2), 2);              /* last words, if they need not wait */
    ssize_t part = write(p[1], big, sizeof big); /* what had room */
    CHECK(part > 0 && part < (ssize_t)sizeof big);
    FAILS(write(p[1], big, 4096), ECANCELED);
    FAILS(read(p[0], b, 2), ECANCELED);
    close2(p);
    FAILS(poll(NULL, 0, 100), ECANCELED);
    CHECK_EQ(poll(NULL, 0, 0), 0);
    CHECK_EQ(recv(fd[0], b, 2, MSG_DONTWAIT), 2);
    CHECK(read(file, b, 8) == 8);
    nonblock(fd[0]);
    CHECK_EQ(read(fd[0], b, 8), 2);
    FAILS(read(fd[0], b, 8), EAGAIN);
    vt_shield(true);
    CHECK_EQ(usleep(1000), 0);
    vt_shield(false);
    close2(fd), close(file);
    return 0;
}
static int cancels(void *arg) {
    (void)arg;
    vt_task *t = vt_async(after_cancel, NULL);
    vt_yield();
    vt_cancel(t);
    CHECK_EQ(result(t), 0);
    do { /* one that is over before the sleep begins is as a cancel before it */
        vt_deadline_set(vt_now() + 5 * VT_MS);
        CHECK_EQ(nanosleep(&(struct timespec){10, 0}, NULL), -1);
    } while (errno == ETIMEDOUT);
    CHECK_EQ(errno, EINTR);
    FAILS(usleep(900000), ETIMEDOUT);
    return 0;
}
TEST(after_a_cancel) { CHECK_EQ(run_on(1, cancels, NULL), 0); }
static int reads_on(void *arg) {
    char c;
    return read(*(int *)arg, &c, 1) < 0 ? errno : 0;
}
/* A look for closed descriptors, or a nap, is over; before it waits again somebody cancels it. */
static int cancel_at_a_look(void *arg) {
    int fd[2], r = 0;
    (void)arg;
    pair(SOCK_STREAM, fd);
    vt_task *t = vt_async(reads_on, &fd[0]);
    vt_sleep_ms(1);
    vt__sched_abort(t->v, -ETIMEDOUT);
    vt_cancel(t);
    CHECK_EQ(vt_await_until(t, vt_now() + 10 * VT_SEC, &r), 0);
    CHECK_EQ(r, ECANCELED);
    close2(fd);
    return 0;
}
TEST(a_cancel_at_a_look_ends_the_wait) { CHECK_EQ(run_on(1, cancel_at_a_look, NULL), 0); }

/*--- several for one descriptor, closed descriptors ---*/
static int one_byte(void *arg) {
    char b;
    return read(*(int *)arg, &b, 1) == 1 ? b : -errno;
}
static int shared(void *arg) {
    int p[2], n = 0;
    vt_task *t[20];
    (void)arg;
    CHECK_EQ(pipe(p), 0);
    for (int i = 0; i < 20; i++) t[i] = vt_async(one_byte, &p[0]);
    vt_yield();
    for (int i = 1; i <= 20; i++) {
        char b = (char)i;
        CHECK_EQ(write(p[1], &b, 1), 1);
        vt_yield();
    }
    for (int i = 0; i < 20; i++) n += result(t[i]);
    CHECK_EQ(n, 210);
    close2(p);
    return 0;
}
/* One waits to read, one to write; an event of the first leaves the second armed, or he would have to look. */
static int sender(void *arg) { return (int)send(*(int *)arg, big, sizeof big, 0); }
static int both_ways(void *arg) {
    int fd[2], quick = 0;
    char b;
    vt_stats before, after;
    (void)arg;
    vt_stats_get(&before);
    for (int i = 0; i < 8; i++) {
        pair(SOCK_STREAM, fd);
        vt_task *r = vt_async(one_byte, &fd[0]);
        vt_yield();
        vt_task *w = vt_async(sender, &fd[0]);
        vt_yield();
        CHECK_EQ(write(fd[1], "r", 1), 1);
        CHECK_EQ(result(r), 'r');
        CHECK(!vt_task_done(w));
        int64_t t = vt_now();
        for (size_t got = 0; got < sizeof big;) {
            ssize_t n = recv(fd[1], back, sizeof back, 0);
            if (n <= 0) break;
            got += (size_t)n;
        }
        CHECK_EQ(result(w), sizeof big);
        quick += since(t) < VT__HOOKS_LOOK_MS - 50;
        CHECK_EQ(recv(fd[0], &b, 1, MSG_DONTWAIT), -1);
        close2(fd);
    }
    CHECK(quick > 0);
    vt_stats_get(&after);
    CHECK(after.timers_fired - before.timers_fired < 60); /* who gets on does not nap */
    return 0;
}
TEST(a_reader_and_a_writer) { CHECK_EQ(run_on(1, both_ways, NULL), 0); }

TEST(twenty_read_one_pipe) { CHECK_EQ(run_on(1, shared, NULL), 0); }

static int closed(void *arg) {
    int p[2], q[2];
    (void)arg;
    CHECK_EQ(pipe(p), 0);
    int fd = p[0];
    vt_task *t = vt_async(one_byte, &fd);
    vt_yield();
    close(p[0]);
    CHECK_EQ(result(t), -EBADF); /* when it looks */
    close(p[1]);
    CHECK_EQ(pipe(p), 0);
    fd = p[0];
    t = vt_async(one_byte, &fd);
    vt_yield();
    close(p[0]);
    CHECK_EQ(pipe(q), 0); /* the number again: the other's byte is not for the first */
    CHECK_EQ(q[0], fd);
    vt_task *u = vt_async(one_byte, &fd);
    vt_yield();
    CHECK_EQ(write(q[1], "z", 1), 1);
    CHECK_EQ(result(u), 'z');
    CHECK_EQ(result(t), -EBADF);
    close(p[1]), close2(q);
    return 0;
}
TEST(closed_under_a_waiter) { CHECK_EQ(run_on(1, closed, NULL), 0); }

/* The domain may be driven by another OS thread; what it harvests comes back as a message. */
static void *elsewhere(void *arg) {
    vt__hooks_thr *h = arg;
    vt__hooks_sink(h->thr->dom, &h->pd, VT__PD_R | VT__PD_ARMED);
    return NULL;
}
static int handed(void *arg) {
    int p[2];
    pthread_t os;
    (void)arg;
    CHECK_EQ(pipe(p), 0);
    vt_task *t = vt_async(one_byte, &p[0]);
    vt_yield();
    vt__hooks_thr *h = vt__sched_thr()->hooks;
    CHECK(h != NULL);
    if (!h) return 1;
    vt__poll_clear(&h->pd, VT__PD_ARMED); /* from here on the event is the other's */
    CHECK_EQ(write(p[1], "h", 1), 1);
    vt_sleep_ms(2);
    CHECK(!vt_task_done(t));
    pthread_create(&os, NULL, elsewhere, h);
    pthread_join(os, NULL);
    CHECK_EQ(result(t), 'h');
    close2(p);
    return 0;
}
TEST(events_by_another_thread) { CHECK_EQ(run_on(1, handed, NULL), 0); }

static int count_of(void *arg) {
    uint64_t n = 0;
    return read(*(int *)arg, &n, sizeof n) == (ssize_t)sizeof n ? (int)n : -errno;
}
static int eventfds(void *arg) {
    int fd = eventfd(0, 0);
    uint64_t n = 7;
    (void)arg;
    vt_task *t = vt_async(count_of, &fd);
    vt_yield();
    CHECK(!vt_task_done(t));
    CHECK_EQ(write(fd, &n, sizeof n), sizeof n);
    CHECK_EQ(result(t), 7);
    close(fd);
    return 0;
}
TEST(an_eventfd) { CHECK_EQ(run_on(1, eventfds, NULL), 0); }

static void read_waits(int fd, int peer) {
    vt_task *t = vt_on_vthread() ? vt_async(one_byte, &fd) : NULL;
    if (!t) return;
    vt_yield();
    CHECK(!vt_task_done(t));
    CHECK_EQ(write(peer, "t", 1), 1);
    CHECK_EQ(result(t), 't');
}
/* A terminal may let a read end without a byte, at once or after a while. */
static int terminals(void *arg) {
    int m = posix_openpt(O_RDWR | O_NOCTTY);
    char b[8], name[64];
    struct termios t;
    (void)arg;
    if (m < 0 || grantpt(m) < 0 || unlockpt(m) < 0 || ptsname_r(m, name, sizeof name)) return 0;
    int fd = open(name, O_RDWR | O_NOCTTY);
    CHECK_EQ(tcgetattr(fd, &t), 0);
    cfmakeraw(&t);
    (void)vt_deadline_set(vt_now() + LONG);
    for (int tenths = 0; tenths < 2; tenths++) {
        t.c_cc[VMIN] = 0, t.c_cc[VTIME] = (cc_t)tenths;
        CHECK_EQ(tcsetattr(fd, TCSANOW, &t), 0);
        int64_t began = vt_now();
        CHECK_EQ(read(fd, b, sizeof b), 0);
        CHECK(since(began) >= 100 * tenths - 10);
        CHECK_EQ(write(m, "tty", 3), 3);
        struct pollfd p = {fd, POLLIN, 0};
        CHECK_EQ(poll(&p, 1, 20000), 1);
        CHECK_EQ(read(fd, b, sizeof b), 3);
        read_waits(m, fd); /* its settings are the other end's */
    }
    t.c_cc[VMIN] = 1;
    CHECK_EQ(tcsetattr(fd, TCSANOW, &t), 0);
    read_waits(fd, m);
    (void)vt_deadline_set(0);
    close(fd), close(m);
    return 0;
}
TEST(terminals_end_reads) { CHECK_EQ(terminals(NULL) + run_on(1, terminals, NULL), 0); }

static int starved(void *arg) {
    struct rlimit old, low;
    int p[2];
    (void)arg;
    CHECK_EQ(pipe(p), 0);
    getrlimit(RLIMIT_NOFILE, &old);
    low = old, low.rlim_cur = (rlim_t)p[1] + 1;
    setrlimit(RLIMIT_NOFILE, &low); /* no descriptor for the second set */
    vt_task *t = vt_async(one_byte, &p[0]);
    vt_sleep_ms(3);
    CHECK(!vt_task_done(t));
    CHECK_EQ(write(p[1], "y", 1), 1);
    CHECK_EQ(result(t), 'y');
    setrlimit(RLIMIT_NOFILE, &old);
    close2(p);
    return 0;
}
TEST(no_descriptor_left) { CHECK_EQ(run_on(1, starved, NULL), 0); }

/*--- several workers ---*/
enum { CONNS = 60 };
static struct sockaddr_in busy_addr;
static int busy_listener, busy_sum;
static int busy_server(void *arg) {
    char b;
    (void)arg;
    int fd = accept(busy_listener, NULL, NULL);
    if (fd < 0 || read(fd, &b, 1) != 1 || write(fd, &b, 1) != 1) return -errno;
    return close(fd);
}
static int busy_client(void *arg) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    char b = (char)(intptr_t)arg, c = 0;
    if (connect(s, (struct sockaddr *)&busy_addr, sizeof busy_addr) < 0 || write(s, &b, 1) != 1 ||
        read(s, &c, 1) != 1)
        return -errno;
    __atomic_fetch_add(&busy_sum, c == b, __ATOMIC_RELAXED);
    return close(s);
}
static int busy(void *arg) {
    vt_task *t[2 * CONNS];
    (void)arg;
    for (int i = 0; i < 2 * CONNS; i++)
        t[i] = vt_async_any(i & 1 ? busy_client : busy_server, (void *)(intptr_t)(i % 100));
    for (int i = 0; i < 2 * CONNS; i++) CHECK_EQ(result(t[i]), 0);
    return 0;
}
TEST(acceptors_on_several_workers) {
    busy_sum = 0;
    busy_listener = listener(&busy_addr, 128);
    CHECK_EQ(run_on(3, busy, NULL), 0);
    CHECK_EQ(busy_sum, CONNS);
    close(busy_listener);
}

/*--- signals ---*/
static volatile int hits;
static void hit(int sig) { (void)sig, hits++; }
static void handle(int sig, int flags_, void (*fn)(int)) {
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = fn;
    sa.sa_flags = flags_;
    sigaction(sig, &sa, NULL);
}
struct blocked {
    pthread_t os;
    int fd[2], how, r, err;
    int over;
};
static void *blocked(void *arg) {
    struct blocked *b = arg;
    char c;
    struct pollfd p = {b->fd[0], POLLIN, 0};
    struct timespec ten = {10, 0}, left = {0, 0};
    switch (b->how) {
    case 0: b->r = (int)read(b->fd[0], &c, 1); break;
    case 1: b->r = (int)recv(b->fd[0], &c, 1, 0); break;
    case 2: b->r = poll(&p, 1, 10000); break;
    case 3: b->r = nanosleep(&ten, &left); break;
    default: b->r = (int)sleep(10); break;
    }
    b->err = errno;
    if (b->how == 3) CHECK(left.tv_sec >= 1);
    __atomic_store_n(&b->over, 1, __ATOMIC_RELEASE);
    return NULL;
}
TEST(plain_calls_end_by_signals) {
    if (VT__TSAN) SKIP("signals of TSan come later");
    handle(SIGUSR1, 0, hit);
    for (int how = 0; how < 5; how++) {
        struct blocked b = {.how = how};
        pair(SOCK_STREAM, b.fd);
        pthread_create(&b.os, NULL, blocked, &b);
        int was = hits; /* the first may come before the call */
        for (int i = 0; !__atomic_load_n(&b.over, __ATOMIC_ACQUIRE) && i < 1000; i++)
            pthread_kill(b.os, SIGUSR1), vt_sleep_ms(20);
        pthread_join(b.os, NULL);
        CHECK(hits > was);
        if (how < 4) CHECK_EQ(b.r, -1), CHECK_EQ(b.err, EINTR);
        else CHECK(b.r >= 1 && b.r <= 10);
        close2(b.fd);
    }
    handle(SIGUSR1, 0, SIG_DFL);
}

static int signal_later(void *arg) {
    (void)arg;
    vt_sleep_ms(5);
    return pthread_kill(pthread_self(), SIGUSR1);
}
static int signals(void *arg) {
    sigset_t block, none;
    struct pollfd p = {-1, 0, 0};
    struct epoll_event ev;
    int ep = epoll_create1(0), was;
    (void)arg;
    handle(SIGUSR1, 0, hit);
    was = hits;
    kill(getpid(), SIGUSR1); /* a handler runs; nobody's wait ends */
    CHECK_EQ(poll(&p, 1, 20), 0);
    CHECK_EQ(hits, was + 1);
    sigemptyset(&none), sigemptyset(&block), sigaddset(&block, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &block, NULL);
    pthread_kill(pthread_self(), SIGUSR1);
    CHECK_EQ(poll(&p, 1, 5), 0);
    FAILS(ppoll(&p, 1, NULL, &none), EINTR);
    pthread_kill(pthread_self(), SIGUSR1);
    FAILS(pselect(0, NULL, NULL, NULL, NULL, &none), EINTR);
    pthread_kill(pthread_self(), SIGUSR1);
    FAILS(epoll_pwait(ep, &ev, 1, -1, &none), EINTR);
    for (int how = 0; how < 3; how++) { /* and one that comes during the wait */
        vt_task *t = vt_async(signal_later, NULL);
        if (how == 0) FAILS(ppoll(&p, 1, NULL, &none), EINTR);
        else if (how == 1) FAILS(pselect(0, NULL, NULL, NULL, NULL, &none), EINTR);
        else FAILS(epoll_pwait(ep, &ev, 1, -1, &none), EINTR);
        CHECK_EQ(result(t), 0);
    }
    CHECK_EQ(hits, was + 7);
    pthread_sigmask(SIG_UNBLOCK, &block, NULL);
    handle(SIGUSR1, 0, SIG_DFL);
    close(ep);
    return 0;
}
TEST(masks_let_signals_in) {
    if (VT__TSAN) SKIP("signals of TSan come later");
    if (VTHTTP_UCONTEXT) SKIP("ucontext has a mask of its own for each virtual thread");
    CHECK_EQ(run_on(1, signals, NULL), 0);
}

static int broken(void *arg) {
    int fd[2], p[2], was = hits;
    (void)arg;
    handle(SIGPIPE, 0, hit);
    pair(SOCK_STREAM, fd);
    CHECK_EQ(pipe(p), 0);
    close(fd[1]), close(p[0]);
    FAILS(write(fd[0], "x", 1), EPIPE);
    FAILS(send(fd[0], "x", 1, 0), EPIPE);
    FAILS(write(p[1], "x", 1), EPIPE);
    FAILS(write(p[1], big, 100000), EPIPE);
    CHECK_EQ(hits, was + 4);
    FAILS(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(hits, was + 4);
    handle(SIGPIPE, 0, SIG_DFL);
    close(fd[0]), close(p[1]);
    return 0;
}
TEST(sigpipe_is_raised) { CHECK_EQ(broken(NULL) + run_on(1, broken, NULL), 0); }

/* A handler on a stack of its own is nobody's virtual thread: its calls block. */
static int alt_pipe[2];
static void alt(int sig) {
    (void)sig;
    CHECK(vt_on_vthread() && !vt__hooks_self());
    struct pollfd p = {alt_pipe[0], POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 10), 0);
}
static int on_alt(void *arg) {
    stack_t ss = {.ss_sp = arg, .ss_size = 65536}, old;
    CHECK_EQ(pipe(alt_pipe), 0);
    CHECK_EQ(sigaltstack(&ss, &old), 0);
    handle(SIGUSR2, SA_ONSTACK, alt);
    pthread_kill(pthread_self(), SIGUSR2);
    handle(SIGUSR2, 0, SIG_DFL);
    sigaltstack(&old, NULL);
    CHECK(vt__hooks_self() != NULL);
    close2(alt_pipe);
    return 0;
}
TEST(handlers_on_another_stack) {
    if (VT__TSAN) SKIP("signals of TSan come later");
    void *stack = malloc(65536);
    CHECK_EQ(run_on(1, on_alt, stack), 0);
    free(stack);
}

/*--- other threads, children ---*/
static int in_pool(void *arg) {
    CHECK(!vt_on_vthread());
    CHECK_EQ(usleep(1000), 0);
    return one_byte(arg);
}
static int pool_waits(void *arg) {
    int r;
    return vt_blocking(in_pool, arg, &r) < 0 ? -1 : r;
}
static int pool(void *arg) {
    int p[2];
    (void)arg;
    CHECK_EQ(pipe(p), 0);
    vt_task *t = vt_async(pool_waits, &p[0]);
    vt_sleep_ms(2);
    CHECK_EQ(write(p[1], "p", 1), 1);
    CHECK_EQ(result(t), 'p');
    close2(p);
    return 0;
}
TEST(the_pool_blocks) { CHECK_EQ(run_on(1, pool, NULL), 0); }

static int exit_of(pid_t pid) {
    int st = 0;
    CHECK(pid > 0);
    while (waitpid(pid, &st, 0) < 0 && errno == EINTR) continue;
    return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}
static int forks(void *arg) {
    int p[2], q[2];
    char b[16] = "";
    (void)arg;
    CHECK_EQ(usleep(1000), 0); /* the second set exists */
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(pipe(q), 0);
    vt_task *t = vt_async(one_byte, &q[0]);
    vt_yield();
    pid_t pid = fork();
    if (pid == 0) {
        struct pollfd w = {q[0], POLLIN, 0};
        int bad = vt_on_vthread() || usleep(2000) || poll(&w, 1, 2) || poll(NULL, 0, 2) || sleep(0);
        bad |= read(p[0], b, 1) != 1 || write(q[1], "c", 1) != 1;
        _exit(bad ? 1 : 42);
    }
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(result(t), 'c'); /* parked across the fork */
    CHECK_EQ(exit_of(pid), 42);
    if ((pid = fork()) == 0) {
        execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
        _exit(1);
    }
    CHECK_EQ(exit_of(pid), 7);
    FILE *f = popen("echo hello", "r");
    CHECK(f && fgets(b, sizeof b, f) && strcmp(b, "hello\n") == 0);
    CHECK(f && pclose(f) == 0);
    CHECK_EQ(WEXITSTATUS(system("exit 3")), 3);
    close2(p), close2(q);
    return 0;
}
TEST(children) {
    if (VT__TSAN) SKIP("fork with threads is not TSan's");
    CHECK_EQ(run_on(1, forks, NULL), 0);
    CHECK_EQ(run_on(2, forks, NULL), 0);
}

/*--- names ---*/
#if defined(__clang__)
#define CLANG 1
#else
#define CLANG 0
#endif
static int name(void *arg) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai = NULL;
    int r = getaddrinfo(arg, "80", &hints, &ai);
    if (r == 0) CHECK(ai != NULL), freeaddrinfo(ai);
    return r;
}
static int names(void *arg) {
    vt_task *t[10];
    (void)arg;
    for (int i = 0; i < 10; i++)
        t[i] = vt_async(name, (void *)(uintptr_t)(i & 1 ? "localhost" : "127.0.0.1"));
    for (int i = 0; i < 10; i++) CHECK_EQ(result(t[i]), 0);
    t[0] = vt_async(name, (void *)(uintptr_t) "localhost");
    vt_cancel(t[0]);
    int r = result(t[0]);
    /* clang links a getaddrinfo of AddressSanitizer's into the program, before ours: it holds the thread */
    if (VT__ASAN && CLANG) CHECK(r == EAI_SYSTEM || r == 0);
    else CHECK_EQ(r, EAI_SYSTEM);
    CHECK_EQ(name((void *)(uintptr_t) "::1"), 0);
    return 0;
}
/* What only looks like a number may be asked of a name server: not on the virtual thread's OS thread. */
static int asked_there;
static int fake_gai(const char *host, const char *port, const struct vt__plat_ai *hints,
                    struct vt__plat_ai **out) {
    (void)host, (void)port, (void)hints, (void)out;
    asked_there = vt_on_vthread();
    return -2;
}
static int odd_names(void *arg) {
    const char *numbers[] = {"127.0.0.1", "::1", "::ffff:1.2.3.4"};
    const char *others[] = {"1.2.3.4.5", "1.2.3.400", "1..2", "1::2::3", "a:b", "::1%1"};
    struct vt__plat_ai *out;
    (void)arg;
    for (size_t i = 0; i < VT__COUNT(numbers); i++) {
        CHECK_EQ(vt__hooks_name(fake_gai, numbers[i], "80", NULL, &out), -2);
        CHECK_EQ(asked_there, 1);
    }
    for (size_t i = 0; i < VT__COUNT(others); i++) {
        CHECK_EQ(vt__hooks_name(fake_gai, others[i], "80", NULL, &out), -2);
        CHECK_EQ(asked_there, 0);
    }
    return 0;
}
TEST(names_that_look_like_numbers) { CHECK_EQ(run_on(1, odd_names, NULL), 0); }
TEST(names_resolve) {
    CHECK_EQ(name((void *)(uintptr_t) "localhost"), 0);
    CHECK_EQ(run_on(1, names, NULL), 0);
}

#if defined(__GLIBC__)
ssize_t checked_read(int fd, void *p, size_t n, size_t room) __asm__("__read_chk");
int checked_poll(struct pollfd *p, nfds_t n, int ms, size_t room) __asm__("__poll_chk");
static int fortified(void *arg) {
    int p[2];
    char b[4];
    (void)arg;
    CHECK_EQ(pipe(p), 0);
    poke_fd = p[1];
    vt_task *t = vt_async(poke, (void *)1);
    CHECK_EQ(checked_poll(&(struct pollfd){p[0], POLLIN, 0}, 1, 10000, sizeof(struct pollfd)), 1);
    CHECK_EQ(checked_read(p[0], b, 4, sizeof b), 1);
    CHECK_EQ(result(t), 1);
    if (VT__TSAN) return 0;
    pid_t pid = fork();
    if (pid == 0) {
        close(2);
        handle(SIGABRT, 0, SIG_DFL);
        _exit((int)checked_read(p[0], b, 5, sizeof b));
    }
    CHECK_EQ(exit_of(pid), -1);
    close2(p);
    return 0;
}
TEST(fortified_forms) { CHECK_EQ(run_on(1, fortified, NULL), 0); }
#endif

/* Reading what is always there lets others run. */
static int greedy_how;
static int greedy(void *arg) {
    int fd = *(int *)arg, n = 0;
    struct pollfd p = {fd, POLLIN, 0};
    char b;
    while (!vt_cancelled() && n < 100000000)
        n += (greedy_how ? poll(&p, 1, 0) : (int)recv(fd, &b, 1, MSG_PEEK)) == 1;
    return n < 100000000;
}
static int fair(void *arg) {
    int p[2];
    (void)arg;
    pair(SOCK_STREAM, p);
    CHECK_EQ(write(p[1], "x", 1), 1);
    for (greedy_how = 0; greedy_how < 2; greedy_how++) {
        vt_task *t = vt_async(greedy, &p[0]);
        CHECK_EQ(vt_sleep_ms(2), 0);
        vt_cancel(t);
        CHECK_EQ(result(t), 1);
    }
    close2(p);
    return 0;
}
TEST(fairness) { CHECK_EQ(run_on(1, fair, NULL), 0); }

/*--- in a dump ---*/
static char dumped[16384];
static void dump_line(void *ctx, const char *line) {
    (void)ctx;
    strncat(dumped, line, sizeof dumped - strlen(dumped) - 1);
}
static int dump_read(void *arg) {
    char c;
    return (int)read(*(int *)arg, &c, 1);
}
static int dump_poll(void *arg) {
    const int *fd = arg;
    struct pollfd p[2] = {{.fd = fd[0], .events = POLLIN}, {.fd = fd[1], .events = POLLIN}};
    return poll(p, 2, -1);
}
static int dump_main(void *arg) {
    int fd[2];
    char want[64];
    (void)arg;
    pair(SOCK_STREAM, fd);
    vt_task *a = vt_async(dump_read, fd), *b = vt_async(dump_poll, fd);
    vt_sleep_ms(1); /* they run first */
    dumped[0] = 0;
    CHECK_EQ(vt_dump_to(dump_line, NULL, 0), 3);
    snprintf(want, sizeof want, "wait=descriptor fd=%d for=read ", fd[0]);
    CHECK(strstr(dumped, want) != NULL);
    snprintf(want, sizeof want, "wait=descriptor fds=\"%d read, %d read\" ", fd[0], fd[1]);
    CHECK(strstr(dumped, want) != NULL);
    CHECK_EQ(write(fd[0], "x", 1), 1);
    CHECK_EQ(write(fd[1], "x", 1), 1);
    (void)result(a), (void)result(b);
    close2(fd);
    return 0;
}
TEST(a_dump_shows_what_is_waited_for) { CHECK_EQ(run_on(1, dump_main, NULL), 0); }

/*--- calls that wait while another blocks their OS thread, and a spare has the domain ---*/
enum { OVER = 9, OVER_MS = 500 };
static struct over {
    int fd[2]; /* the call's end, the other */
    int how, err, n;
    int64_t ended;
} over[OVER];
static int over_gate[2], over_in;
static struct sockaddr_in over_addr;
static bool over_fed, over_late; /* what they wait for comes; it came when their time was up, or nearly */
static bool over_used(int i) { return over_fed || (i != 0 && i != 5); }
static int over_blocks(void *arg) {
    char c;
    (void)arg;
    __atomic_store_n(&over_in, 1, __ATOMIC_SEQ_CST);
    while (syscall(SYS_read, over_gate[0], &c, 1) < 0) continue; /* for real */
    return 0;
}
static int over_epoll(int fd) {
    struct epoll_event ev = {.events = EPOLLIN};
    int x = epoll_create1(EPOLL_CLOEXEC);
    CHECK_EQ(epoll_ctl(x, EPOLL_CTL_ADD, fd, &ev), 0);
    int n = epoll_wait(x, &ev, 1, OVER_MS);
    close(x);
    return n;
}
static int over_select(int fd) {
    struct timeval tv = {0, OVER_MS * 1000};
    fd_set r;
    FD_ZERO(&r);
    FD_SET(fd, &r);
    return select(fd + 1, &r, NULL, NULL, &tv);
}
static int over_accept(int fd) {
    int c = accept(fd, NULL, NULL);
    if (c >= 0) close(c);
    return c >= 0;
}
static int over_call(int how, int fd) {
    struct timespec ts = {0, OVER_MS * 1000000};
    struct pollfd p = {fd, POLLIN, 0};
    char b[16];
    switch (how) {
    case 0: return (int)read(fd, b, sizeof b);
    case 1: return (int)recv(fd, b, sizeof b, 0); /* SO_RCVTIMEO */
    case 2: return poll(&p, 1, OVER_MS);
    case 3: return over_select(fd);
    case 4: return over_epoll(fd);
    case 5: return over_accept(fd);
    case 6: return nanosleep(&ts, NULL);
    case 7: vt_deadline_set(vt_now() + OVER_MS * VT_MS); return (int)read(fd, b, sizeof b);
    default: return (int)send(fd, big, 1000, 0); /* SO_SNDTIMEO */
    }
}
static int over_waits(void *arg) {
    struct over *o = arg;
    long tid = syscall(SYS_gettid);
    errno = 1000 + o->how;
    o->n = over_call(o->how, o->fd[0]);
    o->err = errno;
    CHECK_EQ(syscall(SYS_gettid), tid);
    __atomic_store_n(&o->ended, vt_now(), __ATOMIC_SEQ_CST);
    return 0;
}
static void over_feed(void) {
    int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(c, (struct sockaddr *)&over_addr, sizeof over_addr), 0);
    for (int i = 0; i < OVER; i++)
        if (i != 5 && i != 6 && i != 8) CHECK_EQ(write(over[i].fd[1], "over", 4), 4);
    while (recv(over[8].fd[1], back, sizeof back, MSG_DONTWAIT) > 0) continue;
    close(c);
}
static void *over_outside(void *arg) {
    int64_t due = *(int64_t *)arg + OVER_MS * VT_MS;
    vt__dom *d = vt__sched_g.doms[0];
    while (!__atomic_load_n(&over_in, __ATOMIC_SEQ_CST) || vt__sched_driver(d) == vt__sched_g.thrs[0])
        usleep(1000);
    if (over_fed) over_feed();
    over_late = vt_now() > due - 100 * VT_MS; /* the spare gets time to see it */
    while (vt_now() < due + 100 * VT_MS) usleep(1000);
    for (int i = 0; i < OVER; i++) CHECK_EQ(__atomic_load_n(&over[i].ended, __ATOMIC_SEQ_CST), 0);
    CHECK_EQ(write(over_gate[1], "", 1), 1);
    return NULL;
}
static void over_open(void) {
    CHECK_EQ(pipe(over_gate), 0);
    over_in = 0;
    for (int i = 0; i < OVER; i++) {
        over[i] = (struct over){.how = i};
        if (i == 0) CHECK_EQ(pipe(over[i].fd), 0);
        else if (i == 5) over[i].fd[0] = listener(&over_addr, 4), over[i].fd[1] = dup(over[i].fd[0]);
        else pair(SOCK_STREAM, over[i].fd);
    }
    timeo(over[1].fd[0], SO_RCVTIMEO, OVER_MS);
    while (send(over[8].fd[0], big, 100000, MSG_DONTWAIT) > 0) continue;
    timeo(over[8].fd[0], SO_SNDTIMEO, OVER_MS);
}
/* What came in time is the result, though the time is over as well when the thread is back. */
static void over_check(const struct over *o) {
    static const int fed[OVER] = {4, 4, 1, 1, 1, 1, 0, 4, 1000};
    static const int late[OVER] = {0, -1, 0, 0, 0, 0, 0, -1, -1};
    int i = o->how, want = over_fed ? fed[i] : late[i];
    CHECK_EQ(o->n, want);
    CHECK_EQ(o->err, want >= 0 ? 1000 + i : i == 7 ? ETIMEDOUT : EAGAIN);
}
static int over_main(void *arg) {
    int64_t begun = vt_now();
    vt_task *t[OVER];
    pthread_t os;
    (void)arg;
    over_open();
    CHECK_EQ(pthread_create(&os, NULL, over_outside, &begun), 0);
    for (int i = 0; i < OVER; i++)
        if (over_used(i)) t[i] = vt_async(over_waits, &over[i]);
    CHECK_EQ(result(vt_async(over_blocks, NULL)), 0);
    pthread_join(os, NULL);
    for (int i = 0; i < OVER; i++) {
        if (over_used(i)) CHECK_EQ(result(t[i]), 0);
        if (over_used(i) && !(over_late && over_fed)) over_check(&over[i]);
        close2(over[i].fd);
    }
    close2(over_gate);
    return 0;
}
TEST(b111_calls_that_wait_on_a_thread_that_is_blocked) {
    const vt_cfg cfg = {.workers = 1, .stall_ms = 2};
    for (int i = 0; i < 2; i++) {
        over_fed = i == 0;
        CHECK_EQ(vt_run(&cfg, over_main, NULL), 0);
    }
}
