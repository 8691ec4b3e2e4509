/* A bare TCP echo server: virtual threads and sockets without HTTP. echo_tcp -port=7000, then nc 127.0.0.1 7000 */
#define VTHTTP_HTTP 0
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

/* One virtual thread a connection. */
static int echo(void *arg) {
    vt_sock *sock = arg;
    char buf[4096];
    int64_t n;
    vt_deadline_set(vt_now() + 3600 * VT_SEC); /* nobody stays for ever */
    while ((n = vt_read(sock, buf, sizeof buf)) > 0)
        if ((n = vt_write(sock, buf, (size_t)n)) < 0) break;
    vt_sock_close(sock);
    return n < 0 ? (int)n : 0;
}

static int serve(void *arg) {
    vt_sock *listener, *sock;
    int r = vt_listen(&listener, arg, NULL);
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", (const char *)arg, vt_strerror(r));
        return r;
    }
    printf("listening on tcp://127.0.0.1:%d\n", vt_sock_port(listener));
    fflush(stdout);
    while ((r = vt_accept(listener, &sock)) >= 0)
        if (vt_go_any(echo, sock) < 0) vt_sock_close(sock); /* any: an idle OS thread may take it */
    vt_sock_close(listener);
    return r;
}

int main(int argc, char **argv) {
    char addr[64] = "127.0.0.1:7000";
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "-port=", 6) == 0) snprintf(addr, sizeof addr, "127.0.0.1:%s", argv[i] + 6);
    return vt_run(NULL, serve, addr) < 0;
}
