/* What the bare servers share: a read buffer, an epoll set, a table by descriptor, the loop. */
#ifndef BARE_H
#define BARE_H
#include "bench.h"

#include <stdbool.h>
#include <sys/epoll.h>

#define EVENTS 512
#define ACCEPT_BURST 64

static int conn_max, ep;
static char *buffer;
static size_t buffer_len;

/* Takes -buffer; returns the table, conn_max entries of this size. */
static void *bare_begin(int argc, char **argv, size_t conn_size) {
    buffer_len = (size_t)bench_num(argc, argv, "buffer", 16384);
    conn_max = (int)bench_nofile(65536);
    void *table = calloc((size_t)conn_max, conn_size);
    buffer = malloc(buffer_len);
    ep = epoll_create1(EPOLL_CLOEXEC);
    if (!table || !buffer || ep < 0) bench_die("start");
    bench_catch_term();
    return table;
}

/* Edge-triggered, once for all; false: it cannot be watched. */
static bool bare_watch(int fd, uint32_t events) {
    struct epoll_event ev = {.events = events | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static inline void bare_accept(int listener, void (*on_conn)(int fd)) {
    for (int i = 0; i < ACCEPT_BURST; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        if (fd >= conn_max) close(fd);
        else on_conn(fd);
    }
}

/* Serves on -port (0: any free one) until the signal to stop. */
static inline void bare_serve(int argc, char **argv, void (*on_conn)(int fd),
                              void (*on_event)(int fd, uint32_t events)) {
    static struct epoll_event got[EVENTS];
    int listener = bench_listen((int)bench_num(argc, argv, "port", 0));
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    while (!bench_stop) {
        int n = epoll_wait(ep, got, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (got[i].data.fd == listener) bare_accept(listener, on_conn);
            else on_event(got[i].data.fd, got[i].events);
        }
    }
}
#endif
