/* What TLS costs a server: CPU a handshake (new, resumed), CPU a gigabyte, bytes an idle connection. The server is a child
 * of one worker on CPU 0, the client stands here on CPU 1 and is not counted.
 *
 *   tls_vt -mode=new|reuse|bulk|idle [-n=2000] [-version=13] */
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"

#include "bench.h"
#include "../tls.h"
#include <sys/wait.h>

static int ready_fd;
static int hello(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "Hello, World!");
}
static int big(vt_req *req, vt_res *res) {
    static char body[1 << 20];
    (void)req;
    vt_res_length(res, 64 << 20);
    for (int i = 0; i < 64; i++)
        if (vt_res_write(res, body, sizeof body) < 0) return -EPIPE;
    return 0;
}
static void ready(vt_server *s, void *ctx) {
    int port = vt_server_port(s, 0);
    (void)ctx;
    if (write(ready_fd, &port, sizeof port) < 0) exit(2);
}
static __attribute__((noreturn)) void serve(void) {
    bench_pin(0, 0);
    bench_nofile(65536);
    struct pem p = pem_make("localhost", "DNS:localhost", NULL, 30, 0);
    vt_server_cfg cfg = {
        .workers = 1, .on_ready = ready, .ssl_only = 1, .ssl_port = VT_NONE, .host = "127.0.0.1"};
    cfg.ssl_cert = tmp_text("cert", p.text);
    vt_server *s = vt_server_new(&cfg);
    vt_server_get(s, "/", hello);
    vt_server_get(s, "/big", big);
    exit(vt_server_run(s) < 0);
}

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
static long dirty_kb(pid_t pid) {
    char path[64], line[200];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) (void)sscanf(line, "Private_Dirty: %ld kB", &kb);
    if (f) fclose(f);
    return kb;
}
static long idle(pid_t pid, int n) {
    long at_base = 0;
    bench_nofile(65536);
    for (int i = 0; i < n; i++) {
        SSL *s = dial(NULL);
        ask(s, "/", 13);
        if (i == n / 5 - 1) at_base = dirty_kb(pid);
    }
    usleep(200000);
    return (dirty_kb(pid) - at_base) * 1024 / (n - n / 5);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"mode", "n", "version", NULL};
    bench_known(argc, argv, known);
    const char *mode = bench_opt(argc, argv, "mode", "new");
    int n = (int)bench_num(argc, argv, "n", 2000), p[2];
    if (pipe(p) < 0) bench_die("pipe");
    pid_t pid = fork();
    ready_fd = p[1];
    if (pid == 0) serve();
    if (read(p[0], &port, sizeof port) != sizeof port) bench_die("no server");
    signal(SIGPIPE, SIG_IGN);
    bench_pin(0, 1);
    ctx = SSL_CTX_new(TLS_client_method());
    if (bench_num(argc, argv, "version", 13) == 12) SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    if (strcmp(mode, "idle") == 0) {
        printf("= tls_idle_conn %ld bytes - -\n", idle(pid, n));
    } else if (strcmp(mode, "bulk") == 0) {
        SSL *s = dial(NULL);
        int64_t before = bench_cpu_of(pid), mib = 64LL * n;
        for (int i = 0; i < n; i++) ask(s, "/big", 64 << 20);
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
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    return 0;
}
