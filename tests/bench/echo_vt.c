/* The counterpart of bare_echo: one virtual thread a connection, plain reads and writes.
 * -port=N (0: any free one), -workers=N (1), -buffer=BYTES (16384) */
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"

#include "bench.h"

static size_t buffer_len;
static int port;

static int echo(void *arg) {
    vt_sock *s = arg;
    char buf[16384];
    int64_t n;
    while ((n = vt_read(s, buf, buffer_len)) > 0 && vt_write(s, buf, (size_t)n) == n) {}
    vt_sock_close(s);
    return 0;
}

static int serve(void *arg) {
    vt_sock *listener, *s;
    char addr[32];
    (void)arg;
    snprintf(addr, sizeof(addr), "127.0.0.1:%d", port);
    int rc = vt_listen(&listener, addr, NULL);
    errno = 0;
    if (rc < 0) bench_die("%s: %s", addr, vt_strerror(rc));
    printf("port %d\n", vt_sock_port(listener));
    fflush(stdout);
    while ((rc = vt_accept(listener, &s)) == 0)
        if (vt_go_any(echo, s) < 0) vt_sock_close(s);
    vt_sock_close(listener);
    return 0;
}

static void on_term(int sig) {
    (void)sig;
    _exit(0);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"port", "workers", "buffer", NULL};
    bench_known(argc, argv, known);
    port = (int)bench_num(argc, argv, "port", 0);
    buffer_len = (size_t)bench_num(argc, argv, "buffer", 16384);
    if (buffer_len < 1 || buffer_len > 16384) buffer_len = 16384;
    bench_nofile(65536);
    signal(SIGTERM, on_term);
    vt_cfg cfg = {.workers = (int)bench_num(argc, argv, "workers", 1)};
    return vt_run(&cfg, serve, NULL) < 0;
}
