/* What TLS costs a server: CPU a handshake (new, resumed), CPU a gigabyte, bytes an idle connection.
 *
 *   tls_vt -mode=new|reuse|bulk|idle [-n=2000] [-version=13] */
#include "tlsserver.h"

static int port;
static SSL_CTX *ctx;
static SSL *dial(SSL_SESSION *session) {
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) bench_die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    SSL *s = SSL_new(ctx);
    SSL_set_fd(s, fd);
    if (session) SSL_set_session(s, session);
    if (SSL_connect(s) != 1) bench_die("no handshake");
    return s;
}
/* The bytes of an answer of `length` bytes and its head. */
static void ask(SSL *s, const char *path, int64_t length) {
    static char buf[1 << 16];
    int n = snprintf(buf, sizeof buf, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    if (SSL_write(s, buf, n) != n) bench_die("no request");
    int64_t got = 0, head = 0;
    while (head == 0 || got < head + length) {
        int r = SSL_read(s, buf, sizeof buf);
        if (r <= 0) bench_die("no answer");
        if (got == 0) {
            buf[r] = 0;
            head = strstr(buf, "\r\n\r\n") + 4 - buf;
        }
        got += r;
    }
}
static void drop(SSL *s) {
    int fd = SSL_get_fd(s);
    SSL_shutdown(s);
    SSL_free(s);
    close(fd);
}
static int64_t handshakes(pid_t pid, int n, bool reuse) {
    SSL *s = dial(NULL);
    ask(s, "/", 13);
    SSL_SESSION *session = SSL_get1_session(s);
    drop(s);
    int64_t before = bench_cpu_of(pid);
    for (int i = 0; i < n; i++) {
        s = dial(reuse ? session : NULL);
        ask(s, "/", 13);
        if (SSL_session_reused(s) != reuse) bench_die("not as it was meant to be");
        if (reuse) {
            SSL_SESSION_free(session);
            session = SSL_get1_session(s);
        }
        drop(s);
    }
    SSL_SESSION_free(session);
    return bench_cpu_of(pid) - before;
}
static long idle(pid_t pid, int n) {
    long at_base = 0;
    bench_nofile(65536);
    for (int i = 0; i < n; i++) {
        SSL *s = dial(NULL);
        ask(s, "/", 13);
        if (i == n / 5 - 1) at_base = server_dirty_kb(pid);
    }
    usleep(200000);
    return (server_dirty_kb(pid) - at_base) * 1024 / (n - n / 5);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"mode", "n", "version", NULL};
    bench_known(argc, argv, known);
    const char *mode = bench_opt(argc, argv, "mode", "new");
    int n = (int)bench_num(argc, argv, "n", 2000);
    pid_t pid;
    port = server_fork(false, &pid);
    signal(SIGPIPE, SIG_IGN);
    ctx = SSL_CTX_new(TLS_client_method());
    if (bench_num(argc, argv, "version", 13) == 12) SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    if (strcmp(mode, "idle") == 0) {
        printf("= tls_idle_conn %ld bytes - -\n", idle(pid, n));
    } else if (strcmp(mode, "bulk") == 0) {
        SSL *s = dial(NULL);
        int64_t before = bench_cpu_of(pid), mib = 64LL * n;
        for (int i = 0; i < n; i++) ask(s, "/big", SERVER_BIG);
        printf("= tls_bulk %lld MB/s_a_core - -\n",
               (long long)(mib * 1048576 * 1000 / (bench_cpu_of(pid) - before)));
        drop(s);
    } else {
        bool reuse = strcmp(mode, "reuse") == 0;
        int64_t cpu = handshakes(pid, n, reuse);
        printf("= tls_handshake_%s %lld a_second_a_core - -\n", mode,
               (long long)(n * INT64_C(1000000000) / cpu));
        printf("%s: %.1f us of the server's CPU, a request and a close included\n", mode,
               (double)cpu / n / 1000);
    }
    server_end(pid);
    return 0;
}
