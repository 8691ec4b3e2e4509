/* One handler asks three mirrors at once and takes the first good answer; the scope cancels the other two and joins them
 * before it goes on. The mirrors are routes of this server, so that the example runs alone. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static char self[32]; /* "127.0.0.1:8080" */

struct mirror {
    const char *path;
    char answer[512];
};

/* < 0: no answer, the others go on. The first that returns 0 wins. */
static int ask(void *arg) {
    struct mirror *m = arg;
    char request[128];
    size_t len = 0;
    vt_sock *sock;
    int r = vt_dial(&sock, self, NULL);
    if (r < 0) return r;
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: x\r\n\r\n", m->path);
    int64_t got = vt_write(sock, request, (size_t)n);
    while (got >= 0 && len < sizeof m->answer - 1) { /* HTTP/1.0: the end of the stream ends the answer */
        got = vt_read(sock, m->answer + len, sizeof m->answer - 1 - len);
        if (got <= 0) break;
        len += (size_t)got;
    }
    vt_sock_close(sock); /* also when cancelled: then vt_read has returned -ECANCELED */
    if (got < 0) return (int)got;
    m->answer[len] = 0;
    return strncmp(m->answer, "HTTP/1.1 200 ", 13) == 0 ? 0 : VT_EHTTP;
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
    return vt_res_text(res, 200, strstr(first->answer, "\r\n\r\n") + 4);
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
    return vt_server_run(s) < 0;
}
