/* This library's server for tests of its client, on the same workers. Behind cli.h. */
#ifndef VT_CLISERVER_H
#define VT_CLISERVER_H
#include "handlers.h"
static vt_server *server;
static vt_client *client;
static vt_task *serving;
static int serve_main(void *arg) {
    (void)arg;
    return vt_server_wait(server);
}
/* Starts what `server` has been given, and the client. */
static inline void server_up(const vt_client_cfg *cfg) {
    CHECK_EQ(vt_server_start(server), 0);
    serving = vt_async(serve_main, NULL);
    client = vt_client_new(cfg);
}
static inline void down(void) {
    vt_client_free(client);
    vt_server_stop(server);
    int r = 0;
    CHECK_EQ(vt_await(serving, &r), 0);
    CHECK_EQ(r, 0);
    vt_server_free(server);
}
/* Until n are idle, and no other is there: connections end by their driver. */
static inline void settles(vt_client *c, int n) {
    int conns = -1, idle = -1;
    for (int i = 0; i < 10000 && (conns != n || idle != n); i++) {
        if (i) vt_sleep_ms(1);
        vt__cpool_lock(); /* other workers' connections may be ending */
        conns = c->conns, idle = c->nidle;
        vt__cpool_unlock();
    }
    CHECK_EQ(conns, n);
    CHECK_EQ(idle, n);
}
/* The answer's status, or the error; `body`: what it brings. */
static inline int get_by(vt_client *c, const char *url, const char *body) {
    vt_call *call = vt_client_get(c, url);
    int status = vt_call_status(call);
    if (status > 0 && body) CHECK_STR(vt_call_text(call).ptr, body);
    vt_call_free(call);
    return status;
}
/* Of a call that was made: its status, or its error. It is freed. */
static inline int status_of(vt_call *call) {
    int r = vt_call_status(call);
    vt_call_free(call);
    return r;
}
/* A GET, or a POST with a body. */
static inline int ask_by(vt_client *c, const char *url, const char *body) {
    return body ? status_of(vt_client_post(c, url, NULL, body, strlen(body))) : get_by(c, url, NULL);
}
/* What a task has returned. */
static inline int awaited(vt_task *t) {
    int r = 0;
    CHECK_EQ(vt_await(t, &r), 0);
    return r;
}
/* A URL, until four more are made on its thread. */
static inline const char *url_at(const char *base, const char *path) {
    static _Thread_local char url[4][200];
    static _Thread_local unsigned turn;
    char *to = url[turn++ % 4];
    snprintf(to, sizeof url[0], "%s%s", base, path);
    return to;
}
/* Where a listener is; 0 is the one without TLS. */
static inline const char *base_of(int listener) {
    static _Thread_local char base[64];
    snprintf(base, sizeof base, "%s://127.0.0.1:%d", listener ? "https" : "http",
             vt_server_port(server, listener));
    return base;
}

/*--- handlers ---*/
/* {n} bytes, of a length that is said if ?length asks for it; a trailer. */
static inline int h_bytes(vt_req *req, vt_res *res) {
    static const char block[10000] = "block";
    int64_t left = atoll(vt_req_param(req, "n").ptr);
    if (vt_req_query(req, "length").ptr) vt_res_length(res, left);
    while (left > 0) {
        int64_t n = vt_res_write(res, block, (size_t)VT__MIN(left, (int64_t)sizeof block));
        if (n < 0) return (int)n;
        left -= n;
    }
    return vt_res_trailer(res, "X-End", "reached");
}
/* What came: its size, how it was framed, its trailer. */
static inline int h_count(vt_req *req, vt_res *res) {
    char buf[5000];
    int64_t n, sum = 0, length = vt_req_body_length(req);
    while ((n = vt_req_read(req, buf, sizeof buf)) > 0) sum += n;
    vt_str t = vt_req_trailer(req, "x-sum");
    return n < 0 ? (int)n
                 : vt_res_printf(res, 200, "%lld %lld %s", (long long)sum, (long long)length,
                                 t.ptr ? t.ptr : "-");
}
static inline int h_hints(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_inform(res, 103, "Link: </x>\r\n");
    return vt_res_text(res, 200, "after");
}
/* Answers far too late. */
static inline int h_stall(vt_req *req, vt_res *res) {
    (void)req;
    int r = vt_sleep_ms(60000);
    return r < 0 ? r : vt_res_text(res, 200, "late");
}
#endif
