/* One handler asks several upstreams at once and joins their answers: it takes as long as the slowest. The upstreams
 * are routes of this server, so that the example runs alone.   ./upstreams -port=8080     curl http://127.0.0.1:8080/ */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static char self[32]; /* "127.0.0.1:8080" */
static vt_client *client;

struct ask {
    const char *path;
    char answer[256];
};

/* On a virtual thread of its own: the call parks it and nobody else. Connections are kept for the next request. */
static int ask(void *arg) {
    struct ask *a = arg;
    char url[128];
    snprintf(url, sizeof url, "http://%s%s", self, a->path);
    vt_call *call = vt_client_get(client, url);
    int r = vt_call_status(call); /* or the error */
    snprintf(a->answer, sizeof a->answer, "%s", vt_call_text(call).ptr);
    vt_call_free(call);
    return r < 0 ? r : r == 200 ? 0 : VT_EHTTP;
}

static int all(vt_req *req, vt_res *res) {
    struct ask asks[3] = {{.path = "/part/stock"}, {.path = "/part/price"}, {.path = "/part/reviews"}};
    vt_scope s;
    (void)req;
    vt_scope_open(&s, 0, vt_now() + 2 * VT_SEC); /* for each of them: an upstream that hangs gives 504 */
    for (int i = 0; i < 3; i++) vt_scope_go(&s, ask, &asks[i]);
    int r = vt_scope_wait(&s); /* all have ended: they use this stack. One that fails cancels the others */
    if (r < 0) return r;
    return vt_res_printf(res, 200, "%s%s%s", asks[0].answer, asks[1].answer, asks[2].answer);
}

static int part(vt_req *req, vt_res *res) {
    int r = vt_sleep_ms(200); /* a slow upstream; all three together take 200 ms, not 600 */
    return r < 0 ? r : vt_res_printf(res, 200, "%s: fine\n", vt_req_param(req, "name").ptr);
}

static void ready(vt_server *s, void *ctx) {
    (void)ctx;
    snprintf(self, sizeof self, "127.0.0.1:%d", vt_server_port(s, 0));
}

int main(int argc, char **argv) {
    vt_server *s = vt_server_from_args_cfg(&argc, argv, &(vt_server_cfg){.on_ready = ready});
    vt_server_get(s, "/", all);
    vt_server_get(s, "/part/{name}", part);
    client = vt_client_new(&(vt_client_cfg){.proxy = ""});
    int r = vt_server_run(s);
    vt_client_free(client);
    return r < 0;
}
