/* This library's server for tests of its client, on the same workers. Behind cli.h. */
#ifndef VT_CLISERVER_H
#define VT_CLISERVER_H
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
/* The answer's status, or the error; `body`: what it brings. */
static inline int get_by(vt_client *c, const char *url, const char *body) {
    vt_call *call = vt_client_get(c, url);
    int status = vt_call_status(call);
    if (status > 0 && body) CHECK_STR(vt_call_text(call).ptr, body);
    vt_call_free(call);
    return status;
}
/* Answers far too late. */
static inline int h_stall(vt_req *req, vt_res *res) {
    (void)req;
    int r = vt_sleep_ms(60000);
    return r < 0 ? r : vt_res_text(res, 200, "late");
}
#endif
