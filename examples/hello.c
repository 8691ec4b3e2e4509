/* The smallest server: cc hello.c -o hello && ./hello -port=8080 */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static int hello(vt_req *req, vt_res *res) {
    (void)req;
    vt_sleep_ms(100); /* parks this virtual thread, not the OS thread */
    return vt_res_text(res, 200, "Hello, World!");
}

int main(int argc, char **argv) {
    vt_server *s = vt_server_from_args(&argc, argv); /* takes -port=8080 -config=app.conf ... out of argv */
    vt_server_get(s, "/", hello);
    return vt_server_run(s) < 0; /* until SIGINT or SIGTERM; drains; says what went wrong */
}
