/* HTTP/2, in the clear or by TLS (see server.h): a small answer, 100 MB from memory and from -file, and a handler that waits. */
#define VTHTTP_H2 1
#include "server.h"

enum { BULK = 100000000 };
static const char *file;
static int hello(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "Hello, World!");
}
static int from_memory(vt_req *req, vt_res *res) {
    static char body[1 << 20];
    int64_t r = vt_res_length(res, BULK);
    (void)req;
    for (int64_t n = BULK; n > 0 && r >= 0; n -= r) r = vt_res_write(res, body, (size_t)VT__MIN(n, 1 << 20));
    return (int)VT__MIN(r, 0);
}
static int from_file(vt_req *req, vt_res *res) {
    (void)req;
    return file ? vt_res_file(res, 200, "application/octet-stream", file) : vt_res_status(res, 404);
}
static int waits(vt_req *req, vt_res *res) {
    vt_str body;
    int r = vt_req_body(req, &body);
    return r < 0 ? r : vt_res_text(res, 200, "came");
}
int main(int argc, char **argv) {
    vt_server *s = server_new(argc, argv);
    file = bench_opt(argc, argv, "file", NULL);
    vt_server_get(s, "/", hello);
    vt_server_get(s, "/memory", from_memory);
    vt_server_get(s, "/bulk", from_file);
    vt_server_post(s, "/", waits);
    return vt_server_run(s) < 0;
}
