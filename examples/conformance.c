/* The server that outside test suites talk to: every kind of request and response body, and WebSocket
 * echo, with its limits fixed here; over HTTP/1.1, HTTP/2, and HTTP/3 in a build with VTHTTP_H3=1.
 * conformance -port=N [-workers=N] [-host=127.0.0.1] [-sslPort=N -sslCert=FILE -sslKey=FILE] [-http2=off] [-http3=on] */
#define VTHTTP_H2 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static int root(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "hello");
}

/* The body goes back while it arrives: nothing of it is kept. */
static int echo(vt_req *req, vt_res *res) {
    char buf[16384];
    int64_t n = vt_req_read(req, buf,
                            sizeof buf); /* a refusal comes before the head is out, and sets the status */
    vt_str type = vt_req_field(req, "Content-Type");
    if (n >= 0 && type.ptr) vt_res_type(res, type.ptr);
    if (n >= 0 && vt_req_body_length(req) >= 0) vt_res_length(res, vt_req_body_length(req));
    for (; n > 0; n = vt_req_read(req, buf, sizeof buf)) {
        int64_t w = vt_res_write(res, buf, (size_t)n);
        if (w < 0) return (int)w;
    }
    return n < 0 ? (int)n : vt_res_end(res);
}

static int chunked(vt_req *req, vt_res *res) {
    static const char *const lines[] = {"one\n", "two\n", "three\n"};
    int r = vt_res_type(res, "text/plain");
    (void)req;
    for (int i = 0; i < 3 && r >= 0; i++) {
        int64_t w = vt_res_write(res, lines[i], strlen(lines[i]));
        r = w < 0 ? (int)w : vt_res_flush(res); /* a flush ends the chunk */
    }
    return r;
}

static int nocontent(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_no_content(res);
}

/* A number of 1 to 18 digits from the query, or -1. */
static int64_t number(const vt_req *req, const char *name) {
    vt_str s = vt_req_query(req, name);
    int64_t v = 0;
    if (s.len == 0 || s.len > 18) return -1;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return -1;
        v = v * 10 + (s.ptr[i] - '0');
    }
    return v;
}

static int bytes(vt_req *req, vt_res *res) {
    char piece[16384];
    int64_t left = number(req, "n"), w = 0;
    if (left < 0) return VT_EBADREQ;
    memset(piece, 'x', sizeof piece);
    vt_res_length(res, left);
    for (; left > 0 && w >= 0; left -= w)
        w = vt_res_write(res, piece, left < (int64_t)sizeof piece ? (size_t)left : sizeof piece);
    return w < 0 ? (int)w : vt_res_end(res);
}

static int delay(vt_req *req, vt_res *res) {
    int64_t ms = number(req, "ms");
    if (ms < 0) return VT_EBADREQ;
    int r = vt_sleep_ms(ms);
    return r < 0 ? r : vt_res_text(res, 200, "delayed");
}

static int headers(vt_req *req, vt_res *res) {
    vt_str name, value;
    int64_t w = vt_res_type(res, "text/plain");
    for (size_t i = 0; w >= 0 && vt_req_field_nth(req, i, &name, &value); i++) {
        const char *line = vt_req_printf(req, "%s: %s\n", name.ptr, value.ptr);
        w = line ? vt_res_write(res, line, strlen(line)) : -ENOMEM;
    }
    return w < 0 ? (int)w : vt_res_end(res);
}

static int ws_echo(vt_ws *ws, vt_req *req) {
    vt_str m;
    int r;
    (void)req;
    while ((r = vt_ws_recv(ws, &m)) > 0)
        if ((r = vt_ws_send(ws, r, m.ptr, m.len)) < 0) break;
    return r;
}

int main(int argc, char **argv) {
    vt_server_cfg cfg = {.max_body = 16 << 20,
                         .max_request_line = 16 << 10,
                         .max_header_bytes = 64 << 10,
                         .header_timeout_ms = 5000,
                         .idle_timeout_ms = 30000,
                         .backlog = 1024,
                         .max_keep_alive = VT_NONE};
    vt_ws_cfg ws = {.max_message = 32 << 20, .origins = "*"};
    vt_server *s = vt_server_from_args_cfg(&argc, argv, &cfg);
    vt_server_get(s, "/", root);
    vt_server_post(s, "/echo", echo);
    vt_server_get(s, "/chunked", chunked);
    vt_server_get(s, "/nocontent", nocontent);
    vt_server_get(s, "/bytes", bytes);
    vt_server_get(s, "/delay", delay);
    vt_server_get(s, "/headers", headers);
    vt_server_ws(s, "/ws", ws_echo, &ws);
    return vt_server_run(s) < 0;
}
