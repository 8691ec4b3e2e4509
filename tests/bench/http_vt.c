/* The counterpart of bare_http: a constant hello through router, request and response objects, with Date and every
 * default limit and timeout on. -port=N (0: any free one), -workers=N (1) */
#include "server.h"

static int hello(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "Hello, World!");
}

static int big(vt_req *req, vt_res *res) {
    static char body[16384];
    (void)req;
    return vt_res_send(res, 200, "application/octet-stream", body, sizeof(body));
}

int main(int argc, char **argv) {
    vt_server *s = server_new(argc, argv);
    vt_server_get(s, "/", hello);
    vt_server_get(s, "/big", big);
    vt_server_get(s, "/users/{id}/posts/{post}", hello);
    return vt_server_run(s) < 0;
}
