/* The counterpart of bare_http: a constant hello through router, request and response objects, with Date and every
 * default limit and timeout on. -port=N (0: any free one), -workers=N (1) */
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"

#include "bench.h"

static int hello(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "Hello, World!");
}

static int big(vt_req *req, vt_res *res) {
    static char body[16384];
    (void)req;
    return vt_res_send(res, 200, "application/octet-stream", body, sizeof(body));
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
    vt_server_get(s, "/", hello);
    vt_server_get(s, "/big", big);
    vt_server_get(s, "/users/{id}/posts/{post}", hello);
    return vt_server_run(s) < 0;
}
