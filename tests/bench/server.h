/* What the servers of vthttp that are measured share. */
#ifndef SERVER_H
#define SERVER_H
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"

#include "bench.h"

static void server_ready(vt_server *s, void *ctx) {
    (void)ctx;
    printf("port %d\n", vt_server_port(s, 0));
    fflush(stdout);
}

/* On -port (0: any free one) with -workers (1), all else at its default. */
static vt_server *server_new(int argc, char **argv) {
    static const char *const known[] = {"port", "workers", NULL};
    static char addr[32];
    bench_known(argc, argv, known);
    snprintf(addr, sizeof(addr), "127.0.0.1:%d", (int)bench_num(argc, argv, "port", 0));
    bench_nofile(65536);
    return vt_server_new(&(vt_server_cfg){
        .addr = addr, .workers = (int)bench_num(argc, argv, "workers", 1), .on_ready = server_ready});
}
#endif
