/* Streams: a response that grows while the client reads, an upload that is never in memory.
 * curl -N http://127.0.0.1:8080/count?n=5     curl -T big.file http://127.0.0.1:8080/upload */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static int count(vt_req *req, vt_res *res) {
    vt_str n = vt_req_query(req, "n");
    long last = n.ptr ? strtol(n.ptr, NULL, 10) : 10;
    char line[32];
    if (last < 0 || last > 1000) return VT_EBADREQ;
    vt_res_type(res, "text/plain");
    for (long i = 1; i <= last; i++) { /* no length declared: the body is chunked */
        int len = snprintf(line, sizeof line, "%ld\n", i);
        int64_t w = vt_res_write(res, line, (size_t)len);
        int r = w < 0 ? (int)w : vt_res_flush(res); /* without the flush lines would gather in the buffer */
        if (r == 0 && i < last) r = vt_sleep_ms(100);
        if (r < 0) return r; /* the client is gone, or the server stops */
    }
    return 0;
}

static int upload(vt_req *req, vt_res *res) {
    char buf[16384]; /* stacks of virtual threads are small: 64 KiB */
    int64_t total = 0, n;
    while ((n = vt_req_read(req, buf, sizeof buf)) > 0) total += n; /* parks while the client is slower */
    if (n < 0) return (int)n;
    return vt_res_printf(res, 200, "%lld bytes\n", (long long)total);
}

int main(int argc, char **argv) {
    vt_server *s = vt_server_from_args(&argc, argv);
    vt_server_get(s, "/count", count);
    vt_route *r = vt_server_put(s, "/upload", upload);
    vt_route_max_body(r, VT_NONE); /* others keep the server's limit */
    vt_route_max_body(vt_server_post(s, "/upload", upload), VT_NONE);
    return vt_server_run(s) < 0;
}
