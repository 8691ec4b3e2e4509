/* The reference echo server: epoll, registered once edge-triggered, recv and send: 2 system calls a message.
 * -port=N (0: any free one), -buffer=BYTES */
#include "bare.h"

#define EVENTS 512
#define ACCEPT_BURST 64

struct conn {
    char *rest; /* what the socket would not take; NULL most of the time */
    size_t have, sent;
};

static struct conn *conns;

static void conn_close(int fd) {
    close(fd);
    free(conns[fd].rest);
    conns[fd] = (struct conn){0};
}

/* 1: all sent, 0: the socket is full, -1: gone */
static int conn_flush(int fd) {
    struct conn *c = &conns[fd];
    while (c->sent < c->have) {
        ssize_t n = send(fd, c->rest + c->sent, c->have - c->sent, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        c->sent += (size_t)n;
    }
    free(c->rest);
    *c = (struct conn){0};
    return 1;
}

static int conn_send(int fd, size_t len) {
    struct conn *c = &conns[fd];
    ssize_t n = send(fd, buffer, len, MSG_NOSIGNAL);
    if (n == (ssize_t)len) return 1;
    if (n < 0 && errno != EAGAIN) return -1;
    size_t done = n < 0 ? 0 : (size_t)n;
    c->rest = malloc(len - done);
    if (!c->rest) return -1;
    memcpy(c->rest, buffer + done, len - done);
    c->have = len - done;
    return conn_flush(fd);
}

static int conn_serve(int fd, uint32_t events) {
    int ok = conns[fd].rest ? conn_flush(fd) : 1;
    while (ok > 0) {
        ssize_t n = recv(fd, buffer, buffer_len, 0);
        if (n < 0 && errno == EAGAIN) return 0;
        if (n <= 0) return -1;
        ok = conn_send(fd, (size_t)n);
        if (ok > 0 && (size_t)n < buffer_len && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return 0;
    }
    return ok;
}

static void accept_some(int listener) {
    for (int i = 0; i < ACCEPT_BURST; i++) {
        struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        ev.data.fd = fd;
        if (fd >= conn_max || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0) close(fd);
    }
}

static void loop(int listener) {
    static struct epoll_event got[EVENTS];
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    while (!bench_stop) {
        int n = epoll_wait(ep, got, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = got[i].data.fd;
            if (fd == listener) accept_some(fd);
            else if (conn_serve(fd, got[i].events) < 0) conn_close(fd);
        }
    }
}

int main(int argc, char **argv) {
    static const char *const known[] = {"port", "buffer", NULL};
    bench_known(argc, argv, known);
    conns = bare_begin(argc, argv, sizeof(*conns));
    loop(bench_listen((int)bench_num(argc, argv, "port", 0)));
    return 0;
}
