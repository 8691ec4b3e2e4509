/* Stops without losing a request: SIGTERM, SIGINT or GET /stop end accepting, close idle connections, let what runs
 * finish within grace_ms, and cancel what does not. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static vt_server *server;

/* Sees the stop only when it outlives the grace period: then each call that parks returns -ECANCELED. */
static int slow(vt_req *req, vt_res *res) {
    (void)req;
    int r = vt_sleep_ms(1000);
    if (r < 0) return r; /* clean up here; vt_shield(true) lets clean-up park */
    return vt_res_text(res, 200, "slow, but whole\n");
}

static int stop(vt_req *req, vt_res *res) {
    (void)req;
    int r = vt_res_text(res, 200, "stopping\n");
    vt_server_stop(server); /* returns at once; this response still goes out */
    return r;
}

static int on_start(vt_server *s, void *ctx) { /* open what the handlers need; < 0 fails the start */
    (void)s;
    (void)ctx;
    vt_log(VT_LOG_INFO, "starting");
    return 0;
}

static void on_ready(vt_server *s, void *ctx) {
    (void)ctx;
    vt_log(VT_LOG_INFO, "ready: curl http://127.0.0.1:%d/slow, then kill -TERM %d", vt_server_port(s, 0),
           (int)getpid());
}

static void on_stopped(vt_server *s,
                       void *ctx) { /* nothing of the server runs any more: close what on_start opened */
    (void)s;
    (void)ctx;
    vt_log(VT_LOG_INFO, "drained");
}

int main(int argc, char **argv) {
    vt_server_cfg cfg = {
        .grace_ms = 5000, .on_start = on_start, .on_ready = on_ready, .on_stopped = on_stopped};
    server = vt_server_from_args_cfg(&argc, argv, &cfg);
    vt_server_get(server, "/slow", slow);
    vt_server_get(server, "/stop", stop);
    int r = vt_server_run(server);
    vt_server_free(server);
    return r == -ETIMEDOUT ? 2 : r < 0; /* 2: some requests had to be cut */
}
