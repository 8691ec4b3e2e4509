/* Handlers that several suites serve. */
#ifndef VT_HANDLERS_H
#define VT_HANDLERS_H
static inline int h_echo(vt_req *req, vt_res *res) {
    vt_str body;
    int r = vt_req_body(req, &body);
    return r < 0 ? r : vt_res_send(res, 200, "text/plain", body.ptr, body.len);
}
/* Writes while it reads: a body that turns out to be bad cuts the answer off. */
static inline int h_pipe(vt_req *req, vt_res *res) {
    char buf[100];
    int64_t n = vt_res_status(res, 200);
    while ((n = vt_req_read(req, buf, sizeof buf)) > 0)
        if ((n = vt_res_write(res, buf, (size_t)n)) < 0) break;
    return (int)n;
}
static inline int h_close(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_field(res, "Connection", "close");
    return vt_res_text(res, 200, "bye");
}
static inline int h_none(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_no_content(res);
}
static inline int h_fail(vt_req *req, vt_res *res) {
    (void)req, (void)res;
    return -EIO;
}
static inline int h_slept(vt_req *req, vt_res *res) {
    int r = vt_sleep_ms(atoi(vt_req_param(req, "ms").ptr));
    return r < 0 ? r : vt_res_text(res, 200, "slept");
}
/* Echoes messages. */
static inline int h_ws(vt_ws *ws, vt_req *req) {
    vt_str m;
    int r;
    (void)req;
    while ((r = vt_ws_recv(ws, &m)) > 0)
        if ((r = vt_ws_send(ws, r, m.ptr, m.len)) < 0) break;
    return r;
}
#endif
