/* A directory on the web, with an API beside it: types by name, index.html, 304 for what has not changed, parts for players and
 * for downloads that go on.     ./files -port=8080 DIRECTORY     curl -r 0-99 http://127.0.0.1:8080/some.file */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static int hello(vt_req *req, vt_res *res) {
    return vt_res_printf(res, 200, "hello, %s\n", vt_req_param(req, "name").ptr);
}

/* Around the files alone: browsers ask again after a minute, and get 304 then. */
static int for_a_minute(vt_req *req, vt_res *res, vt_next *next) {
    vt_res_field(res, "Cache-Control", "max-age=60"); /* an error page goes without it */
    return vt_next_run(next, req, res);
}

int main(int argc, char **argv) {
    vt_server *s = vt_server_from_args(&argc, argv);
    vt_route *r = vt_server_files(s, "/", argc > 1 ? argv[1] : "."); /* whatever no other route takes */
    vt_route_use(r, for_a_minute, NULL);
    vt_server_get(s, "/api/hello/{name}", hello);
    return vt_server_run(s) < 0; /* says so when there is no such directory */
}
