/* The control of the seed benchmark: bare epoll and one queue of due times. Every request is answered
 * -ms=100 after it was read, by constant bytes: what the machine, its network and the load generator can do
 * at best. One thread.
 *
 *   control [-port=N] [-ms=100] [-conns=16384]      prints "port N" */
#include "../bench.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

enum { EVENTS = 512, ACCEPT_BURST = 64 };

struct due {
    int fd;
    uint32_t born; /* of which connection with this number */
    int64_t at;
};

/* All wait equally long, so the queue is in order by itself; a connection has one request in it at a time. */
static struct {
    struct due *ring;
    size_t cap, head, count;
} wait_list;

static struct conn {
    uint32_t born;
    uint8_t open, waiting, matched; /* matched: bytes of CR LF CR LF seen so far */
} * conns;

static const char reply[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain;charset=utf-8\r\nContent-Length: 4\r\n"
    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\npong";
static int ep, conn_max;
static int64_t pause_ns;

static void conn_close(int fd) {
    close(fd);
    conns[fd].open = 0;
}

static void accept_some(int listener) {
    for (int i = 0; i < ACCEPT_BURST; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
        if (fd >= conn_max || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0) {
            close(fd);
            continue;
        }
        conns[fd] = (struct conn){.born = conns[fd].born + 1, .open = 1};
    }
}

/* Whether a request ends in these bytes; a second one would be pipelining, which nobody does here. */
static int head_ends(struct conn *c, const char *p, size_t n) {
    unsigned m = c->matched;
    int found = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == ((m & 1) ? '\n' : '\r')) m++;
        else m = p[i] == '\r';
        if (m == 4) found++, m = 0;
    }
    c->matched = (uint8_t)m;
    return found;
}

static void conn_read(int fd, int64_t now) {
    char buf[4096];
    struct conn *c = &conns[fd];
    while (c->open) {
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        if (n < 0 && errno == EAGAIN) return;
        int heads = n > 0 ? head_ends(c, buf, (size_t)n) : 0;
        if (n <= 0 || heads + c->waiting > 1 || wait_list.count == wait_list.cap) {
            conn_close(fd);
            return;
        }
        if (heads) {
            c->waiting = 1;
            wait_list.ring[(wait_list.head + wait_list.count++) % wait_list.cap] = (struct due){
                .fd = fd, .born = c->born, .at = now + pause_ns};
        }
        if ((size_t)n < sizeof(buf)) return; /* drained; the next byte or end makes another event */
    }
}

static void answer_due(int64_t now) {
    while (wait_list.count && wait_list.ring[wait_list.head].at <= now) {
        struct due d = wait_list.ring[wait_list.head];
        wait_list.head = (wait_list.head + 1) % wait_list.cap;
        wait_list.count--;
        if (!conns[d.fd].open || conns[d.fd].born != d.born) continue;
        conns[d.fd].waiting = 0;
        ssize_t n = send(d.fd, reply, sizeof(reply) - 1, MSG_NOSIGNAL);
        if (n != (ssize_t)sizeof(reply) - 1) conn_close(d.fd); /* nothing else is in that socket's buffer */
    }
}

static int wait_events(struct epoll_event *got) {
    int64_t left = wait_list.count ? wait_list.ring[wait_list.head].at - bench_now() : 1000000000;
    if (left < 0) left = 0;
#ifdef SYS_epoll_pwait2
    struct timespec ts = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    int n = (int)syscall(SYS_epoll_pwait2, ep, got, EVENTS, &ts, NULL, 0);
    if (n >= 0 || errno != ENOSYS) return n;
#endif
    return epoll_wait(ep, got, EVENTS, (int)((left + 999999) / 1000000));
}

static void loop(int listener) {
    static struct epoll_event got[EVENTS];
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    while (!bench_stop) {
        int n = wait_events(got);
        int64_t now = bench_now();
        for (int i = 0; i < n; i++) {
            if (got[i].data.fd == listener) accept_some(listener);
            else conn_read(got[i].data.fd, now);
        }
        answer_due(bench_now());
    }
}

int main(int argc, char **argv) {
    static const char *const known[] = {"port", "ms", "conns", NULL};
    bench_known(argc, argv, known);
    pause_ns = bench_num(argc, argv, "ms", 100) * 1000000;
    conn_max = (int)bench_nofile(bench_num(argc, argv, "conns", 16384));
    wait_list.cap = (size_t)conn_max;
    wait_list.ring = calloc(wait_list.cap, sizeof(*wait_list.ring));
    conns = calloc((size_t)conn_max, sizeof(*conns));
    ep = epoll_create1(EPOLL_CLOEXEC);
    if (!wait_list.ring || !conns || ep < 0) bench_die("start");
    bench_catch_term();
    loop(bench_listen((int)bench_num(argc, argv, "port", 0)));
    return 0;
}
