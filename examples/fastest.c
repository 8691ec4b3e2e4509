/* One handler asks three mirrors at once and takes the first good answer; the scope cancels the other two and joins them
 * before it goes on. The mirrors are routes of this server, so that the example runs alone.
 * ./fastest -port=8080     curl http://127.0.0.1:8080/ */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static char self[32]; /* "127.0.0.1:8080" */
static vt_client *client;

struct mirror {
    const char *path;
    char answer[512];
};

/* < 0: no answer, the others go on. The first that returns 0 wins. */
static int ask(void *arg) {
    struct mirror *m = arg;
    char url[128];
    snprintf(url, sizeof url, "http://%s%s", self, m->path);
    vt_call *call = vt_client_get(client, url);
    int r = vt_call_status(call); /* or the error: -ECANCELED when another was faster */
    snprintf(m->answer, sizeof m->answer, "%s", vt_call_text(call).ptr);
    vt_call_free(call); /* closes the connection of a call that was cancelled */
    return r < 0 ? r : r == 200 ? 0 : VT_EHTTP;
}

static int fastest(vt_req *req, vt_res *res) {
    struct mirror mirrors[3] = {
        {.path = "/mirror/slow"}, {.path = "/mirror/broken"}, {.path = "/mirror/quick"}};
    vt_scope s;
    (void)req;
    vt_scope_open(&s, VT_SCOPE_FIRST, vt_now() + 2 * VT_SEC); /* -ETIMEDOUT, a 504, when none answers */
    for (int i = 0; i < 3; i++) vt_scope_go(&s, ask, &mirrors[i]);
    int r = vt_scope_wait(&s); /* all three have ended: they use this stack */
    if (r < 0) return r;
    struct mirror *first = vt_scope_winner(&s);
    return vt_res_text(res, 200, first->answer);
}

static int mirror(vt_req *req, vt_res *res) {
    vt_str name = vt_req_param(req, "name");
    if (name.ptr[0] == 'b') return VT_ENOTFOUND;
    int r = vt_sleep_ms(name.ptr[0] == 's' ? 60000 : 50); /* the slow one is cancelled: its client is gone */
    return r < 0 ? r : vt_res_printf(res, 200, "from the %s mirror\n", name.ptr);
}

static void ready(vt_server *s, void *ctx) {
    (void)ctx;
    snprintf(self, sizeof self, "127.0.0.1:%d", vt_server_port(s, 0));
}

int main(int argc, char **argv) {
    vt_server_cfg cfg = {.on_ready = ready, .cancel_on = VT_CANCEL_FIN};
    vt_server *s = vt_server_from_args_cfg(&argc, argv, &cfg);
    vt_server_get(s, "/", fastest);
    vt_server_get(s, "/mirror/{name}", mirror);
    client = vt_client_new(&(vt_client_cfg){.proxy = ""});
    int r = vt_server_run(s);
    vt_client_free(client);
    return r < 0;
}
