/* The reference echo server: epoll, registered once edge-triggered, recv and send: 2 system calls a message.
 * -port=N (0: any free one), -buffer=BYTES */
#include "bare.h"

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

static void on_conn(int fd) {
    if (!bare_watch(fd, EPOLLIN | EPOLLOUT)) conn_close(fd);
}

static void on_event(int fd, uint32_t events) {
    if (conn_serve(fd, events) < 0) conn_close(fd);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"port", "buffer", NULL};
    bench_known(argc, argv, known);
    conns = bare_begin(argc, argv, sizeof(*conns));
    bare_serve(argc, argv, on_conn, on_event);
    return 0;
}
