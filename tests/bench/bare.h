/* What the bare servers share: a read buffer, an epoll set, a table by descriptor. */
#ifndef BARE_H
#define BARE_H
#include "bench.h"

#include <sys/epoll.h>

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
#endif
