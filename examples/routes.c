/* Routes with parameters and a tail, middleware before and after a handler, a 404 page.   ./routes -port=8080 */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static int home(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_html(res, 200, "<p><a href='/users/7'>a user</a>, <a href='/files/a/b.txt'>a file</a>\n");
}

/* Parameters come decoded: they are the client's bytes, so never put them into HTML, SQL or paths unchecked. */
static int user(vt_req *req, vt_res *res) {
    vt_str id = vt_req_param(req, "id");
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i] < '0' || id.ptr[i] > '9') return VT_ENOTFOUND; /* an error becomes its status: 404 */
    return vt_res_printf(res, 200, "user %s\n", id.ptr);
}

static int file(vt_req *req, vt_res *res) {
    return vt_res_printf(res, 200, "the rest of the path: %s\n", vt_req_param(req, "rest").ptr);
}

static int secret(vt_req *req, vt_res *res) {
    return vt_res_printf(res, 200, "the name is %s\n", (const char *)vt_req_route_ctx(req));
}

/* Around every request: measures what the rest takes. */
static int timing(vt_req *req, vt_res *res, vt_next *next) {
    int64_t start = vt_now();
    int r = vt_next_run(next, req, res);
    vt_log(VT_LOG_INFO, "%s %s: %d in %lld us", vt_req_method(req).ptr, vt_req_target(req).ptr,
           r < 0 && !vt_res_sent(res) ? vt_status_of(r) : vt_res_status_get(res),
           (long long)((vt_now() - start) / 1000));
    return r;
}

/* Before one route: answers itself, and the handler never runs. */
static int need_key(vt_req *req, vt_res *res, vt_next *next) {
    vt_str key = vt_req_field(req, "X-Key");
    if (!key.ptr || strcmp(key.ptr, vt_next_ctx(next)) != 0) return vt_res_text(res, 403, "no\n");
    return vt_next_run(next, req, res);
}

static int not_found(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_html(res, 404, "<h1>Nothing here</h1>\n");
}

int main(int argc, char **argv) {
    static char key[] = "sesame", name[] = "Ali";
    vt_server *s = vt_server_from_args(&argc, argv);
    vt_server_use(s, timing, NULL);
    vt_server_get(s, "/", home);
    vt_server_get(s, "/users/{id}", user);
    vt_server_get(s, "/files/{rest...}", file);
    vt_route *r = vt_server_get(s, "/secret", secret);
    vt_route_ctx(r, name);
    vt_route_use(r, need_key, key);
    vt_server_error_page(s, 404, not_found);
    return vt_server_run(s) < 0; /* reports what any of the calls above refused */
}
