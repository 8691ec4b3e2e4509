/* A WebSocket echo, with every check, limit and timeout at its default. -port=N (0: any free one), -workers=N (1) */
#include "server.h"

static int echo(vt_ws *ws, vt_req *req) {
    vt_str m;
    int r;
    (void)req;
    while ((r = vt_ws_recv(ws, &m)) > 0)
        if ((r = vt_ws_send(ws, r, m.ptr, m.len)) < 0) break;
    return r;
}

int main(int argc, char **argv) {
    vt_server *s = server_new(argc, argv);
    vt_server_ws(s, "/", echo, NULL);
    return vt_server_run(s) < 0;
}
