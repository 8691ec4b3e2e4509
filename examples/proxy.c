/* A reverse proxy that streams both ways: HTTP/1.1, and upgraded connections (WebSocket) byte by byte. 502 when the upstream
 * fails, 504 when it does not answer in time. Bodies go one after the other: a response that comes before the request's end
 * ends that.   ./proxy -port=8080 -upstream=http://127.0.0.1:9000 [-timeoutMs=30000] */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static const char *upstream = "http://127.0.0.1:9000";
static vt_client *client;

static bool in_list(const char *list, const char *name, size_t len) { /* "a, b" */
    while (list && *list) {
        size_t n = strcspn(list, ", \t");
        if (n == len && strncasecmp(list, name, n) == 0) return true;
        list += n + strspn(list + n, ", \t");
    }
    return false;
}
/* Fields for one hop (RFC 9110 7.6.1): known ones, and those that Connection names. Length and Host are set anew. */
static bool for_one_hop(const char *connection, vt_str name) {
    return in_list("connection,keep-alive,proxy-connection,te,trailer,transfer-encoding,upgrade,expect,"
                   "proxy-authorization,proxy-authenticate,content-length,host",
                   name.ptr, name.len) ||
           in_list(connection, name.ptr, name.len);
}
/* As an address is written in these fields: without its port. */
static const char *peer_host(vt_req *req) {
    const char *peer = vt_req_peer(req), *colon = strrchr(peer, ':');
    return vt_req_printf(req, "%.*s", colon ? (int)(colon - peer) : 0, peer);
}
static int append(vt_req *req, vt_call *call, const char *name, const char *value) {
    const char *had = vt_req_field(req, name).ptr,
               *all = had ? vt_req_printf(req, "%s, %s", had, value) : value;
    return value && all ? vt_call_field(call, name, all) : -ENOMEM;
}
static int copy_request(vt_req *req, vt_call *call) {
    const char *connection = vt_req_field(req, "Connection").ptr, *upgrade = vt_req_field(req, "Upgrade").ptr;
    const char *host = vt_req_field(req, "Host").ptr, *from = peer_host(req);
    vt_str name, value;
    int r = 0;
    for (size_t i = 0; r == 0 && vt_req_field_nth(req, i, &name, &value); i++)
        if (!for_one_hop(connection, name)) r = vt_call_field_add(call, name.ptr, value.ptr);
    /* To nothing else: over h2c, say, requests would come by this that have never been here. */
    if (r == 0 && in_list(connection, "upgrade", 7) && in_list(upgrade, "websocket", 9))
        r = vt_call_upgrade(call, "websocket");
    if (r == 0) r = append(req, call, "X-Forwarded-For", from);
    if (r == 0) r = vt_call_field(call, "X-Forwarded-Host", host ? host : "");
    if (r == 0) r = vt_call_field(call, "X-Forwarded-Proto", vt_req_scheme(req));
    if (r == 0)
        r = append(req, call, "Forwarded",
                   vt_req_printf(req, "for=\"%s\";host=\"%s\";proto=%s", from, host ? host : "",
                                 vt_req_scheme(req)));
    return r == 0 ? append(req, call, "Via", vt_req_version(req) == 10 ? "1.0 proxy" : "1.1 proxy") : r;
}
static int copy_response(vt_call *call, vt_res *res) {
    const char *connection = vt_call_res_field(call, "Connection").ptr;
    vt_str name, value;
    int r = vt_call_status(call) == 101 ? 0 : vt_res_status(res, vt_call_status(call));
    for (size_t i = 0; r == 0 && vt_call_res_field_nth(call, i, &name, &value); i++)
        if (!for_one_hop(connection, name)) r = vt_res_field_add(res, name.ptr, value.ptr);
    value = vt_call_res_field(call, "Content-Length"); /* also of a HEAD */
    return r == 0 && value.ptr ? vt_res_field(res, "Content-Length", value.ptr) : r;
}

struct body {
    vt_req *req;
    int64_t err; /* of the client's connection, not of the upstream's */
};
static int64_t read_body(void *ctx, void *buf, size_t n) {
    struct body *b = ctx;
    int64_t r = vt_req_read(b->req, buf, n);
    if (r < 0) b->err = r;
    return r;
}

struct way {
    vt_stream *from, *to;
};
static int copy_way(void *arg) {
    struct way *w = arg;
    char buf[8192];
    int64_t n;
    while ((n = vt_stream_read(w->from, buf, sizeof buf)) > 0)
        if ((n = vt_stream_write(w->to, buf, (size_t)n)) < 0) break;
    return n < 0 ? (int)n : vt_stream_shutdown(w->to);
}
static int tunnel(vt_call *call, vt_res *res) {
    vt_stream *up, *down;
    vt_scope both; /* an error of one way ends the other, too */
    int r = vt_call_stream(call, &up);
    if (r == 0) r = vt_res_upgrade(res, vt_call_res_field(call, "Upgrade").ptr, &down);
    if (r < 0) return r;
    struct way there = {down, up}, back = {up, down};
    vt_scope_open(&both, 0, 0);
    vt_scope_go(&both, copy_way, &there);
    vt_scope_go(&both, copy_way, &back);
    return vt_scope_wait(&both);
}

static int pass(vt_req *req, vt_res *res, vt_call *call) {
    struct body body = {req, 0};
    int r = copy_request(req, call);
    int64_t length = vt_req_body_length(req), n = 0;
    if (r == 0 && length != 0) r = vt_call_body_from(call, read_body, &body, length);
    if (r == 0) r = vt_call_redirects(call, 0); /* they are the client's business */
    if (r == 0) r = vt_call_send(call);
    if (r < 0) return body.err < 0 ? (int)body.err : r; /* which the server makes a status of */
    if (copy_response(call, res) < 0)
        return vt_res_text(res, 502, "the upstream's response cannot be passed on");
    if (r == 101) return tunnel(call, res);
    char buf[16384];
    while ((n = vt_call_read(call, buf, sizeof buf)) > 0) /* what is gathered goes out when this waits */
        if ((n = vt_res_write(res, buf, (size_t)n)) < 0) break;
    return (int)n; /* an error: the client sees that the response is cut off */
}
static int proxy(vt_req *req, vt_res *res) {
    const char *query = vt_req_raw_query(req).ptr;
    vt_call *call = vt_call_new(client, vt_req_method(req).ptr,
                                vt_req_printf(req, "%s%s%s%s", upstream, vt_req_raw_path(req).ptr,
                                              query ? "?" : "", query ? query : ""));
    int r = pass(req, res, call);
    vt_call_free(call);
    return r;
}

int main(int argc, char **argv) {
    vt_server_cfg cfg = {.max_body = VT_NONE};
    vt_client_cfg ccfg = {
        .proxy = "", .max_connections = 10000, .max_connections_host = VT_NONE, .max_idle_host = 64};
    vt_server *s = vt_server_from_args_cfg(&argc, argv, &cfg);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-upstream=", 10) == 0) upstream = argv[i] + 10;
        if (strncmp(argv[i], "-timeoutMs=", 11) == 0) ccfg.read_timeout_ms = atoll(argv[i] + 11);
    }
    client = vt_client_new(&ccfg);
    vt_server_any(s, "/{path...}", proxy);
    int r = vt_server_run(s);
    vt_client_free(client);
    return r < 0;
}
