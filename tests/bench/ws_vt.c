/* A WebSocket echo, with every check, limit and timeout at its default. -port=N (0: any free one), -workers=N (1) */
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"

#include "bench.h"

static int echo(vt_ws *ws, vt_req *req) {
    vt_str m;
    int r;
    (void)req;
    while ((r = vt_ws_recv(ws, &m)) > 0)
        if ((r = vt_ws_send(ws, r, m.ptr, m.len)) < 0) break;
    return r;
}

static void ready(vt_server *s, void *ctx) {
    (void)ctx;
    printf("port %d\n", vt_server_port(s, 0));
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"port", "workers", NULL};
    bench_known(argc, argv, known);
    char addr[32];
    snprintf(addr, sizeof(addr), "127.0.0.1:%d", (int)bench_num(argc, argv, "port", 0));
    bench_nofile(65536);
    vt_server_cfg cfg = {
        .addr = addr, .workers = (int)bench_num(argc, argv, "workers", 1), .on_ready = ready};
    vt_server *s = vt_server_new(&cfg);
    vt_server_ws(s, "/", echo, NULL);
    return vt_server_run(s) < 0;
}
