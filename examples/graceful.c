/* Stops without losing a request: SIGTERM, SIGINT or GET /stop end accepting, close idle connections, let what runs
 * finish within grace_ms, and cancel what does not. What has no end of its own is told by on_stop. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static vt_server *server;
static vt_chan *stopping; /* nothing is sent; closed when the stop begins, which wakes whoever receives */

/* Sees the stop only when it outlives the grace period: then each call that parks returns -ECANCELED. */
static int slow(vt_req *req, vt_res *res) {
    (void)req;
    int r = vt_sleep_ms(1000);
    if (r < 0) return r; /* clean up here; vt_shield(true) lets clean-up park */
    return vt_res_text(res, 200, "slow, but whole\n");
}

/* Server-sent events: without a word they would last as long as their client, and every stop as long as grace_ms. */
static int ticks(vt_req *req, vt_res *res) {
    int r;
    (void)req;
    vt_res_type(res, "text/event-stream");
    do {
        int64_t n = vt_res_write(res, "data: tick\n\n", 12);
        if (n < 0 || (n = vt_res_flush(res)) < 0) return (int)n; /* the client is gone */
        vt_case c[] = {{.recv = stopping}, {.at = vt_now() + VT_SEC}};
        r = vt_select(c, 2);
    } while (r == 1);
    return r; /* 0: the stop; an error: cancelled, or the handler's own time (handlerTimeoutMs) is over */
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
    vt_log(VT_LOG_INFO, "ready: curl http://127.0.0.1:%d/slow (or -N /ticks), then kill -TERM %d",
           vt_server_port(s, 0), (int)getpid());
}

static void on_stop(vt_server *s, void *ctx) { /* handlers still run */
    (void)s;
    (void)ctx;
    vt_chan_close(stopping);
}

static void on_stopped(vt_server *s,
                       void *ctx) { /* nothing of the server runs any more: close what on_start opened */
    (void)s;
    (void)ctx;
    vt_log(VT_LOG_INFO, "drained");
}

int main(int argc, char **argv) {
    vt_server_cfg cfg = {.grace_ms = 5000,
                         .on_start = on_start,
                         .on_ready = on_ready,
                         .on_stop = on_stop,
                         .on_stopped = on_stopped};
    stopping = vt_chan_new(0, 0, 0);
    server = vt_server_from_args_cfg(&argc, argv, &cfg);
    vt_server_get(server, "/slow", slow);
    vt_server_get(server, "/ticks", ticks);
    vt_server_get(server, "/stop", stop);
    int r = vt_server_run(server);
    vt_server_free(server);
    vt_chan_free(stopping);
    return r == -ETIMEDOUT ? 2 : r < 0; /* 2: some requests had to be cut */
}
