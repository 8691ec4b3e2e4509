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

/* On -port (0: any free one) with -workers (1), all else at its default; by TLS alone with -cert=FILE, key included. -file is for
 * who wants it. */
static vt_server *server_new(int argc, char **argv) {
    static const char *const known[] = {"port", "workers", "cert", "file", NULL};
    static char addr[32];
    const char *cert = bench_opt(argc, argv, "cert", NULL);
    int port = (int)bench_num(argc, argv, "port", 0), workers = (int)bench_num(argc, argv, "workers", 1);
    bench_known(argc, argv, known);
    snprintf(addr, sizeof(addr), "127.0.0.1:%d", port);
    bench_nofile(65536);
    vt_server_cfg cfg = {.workers = workers, .on_ready = server_ready};
    if (cert)
        cfg.ssl_only = 1, cfg.ssl_cert = cert, cfg.host = "127.0.0.1", cfg.ssl_port = port ? port : VT_NONE;
    else cfg.addr = addr;
    return vt_server_new(&cfg);
}
#endif
