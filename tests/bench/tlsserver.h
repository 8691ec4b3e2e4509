/* The server of the benchmarks of TLS and of HTTP/3: a child of one worker on CPU 0, whose CPU and memory are counted; the
 * client stands in the parent on CPU 1, and is not. */
#ifndef TLSSERVER_H
#define TLSSERVER_H
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"

#include "bench.h"
#include "../tls.h"
#include <sys/prctl.h>
#include <sys/wait.h>

enum { SERVER_BIG = 64 << 20 };

static int server_ready_fd;
static int server_hello(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "Hello, World!");
}
static int server_big(vt_req *req, vt_res *res) {
    static char body[1 << 20];
    (void)req;
    vt_res_length(res, SERVER_BIG);
    for (size_t n = 0; n < SERVER_BIG; n += sizeof body)
        if (vt_res_write(res, body, sizeof body) < 0) return -EPIPE;
    return 0;
}
static void server_ready(vt_server *s, void *ctx) {
    int port = vt_server_port(s, 0);
    (void)ctx;
    if (write(server_ready_fd, &port, sizeof port) < 0) exit(2);
}
static __attribute__((noreturn)) void server_serve(bool http3) {
    bench_pin(0, 0);
    bench_nofile(65536);
    struct pem p = pem_make("localhost", "DNS:localhost", NULL, 30, 0);
    vt_server_cfg cfg = {
        .workers = 1, .on_ready = server_ready, .ssl_only = 1, .ssl_port = VT_NONE, .host = "127.0.0.1"};
    cfg.ssl_cert = tmp_text("cert", p.text);
    cfg.http3 = http3;
    vt_server *s = vt_server_new(&cfg);
    vt_server_get(s, "/", server_hello);
    vt_server_get(s, "/big", server_big);
    exit(vt_server_run(s) < 0);
}
/* Its port and process. */
static int server_fork(bool http3, pid_t *pid) {
    int p[2], port;
    pid_t parent = getpid();
    if (pipe(p) < 0) bench_die("pipe");
    if ((*pid = fork()) < 0) bench_die("fork");
    server_ready_fd = p[1];
    if (*pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* it goes with us, however we end */
        if (getppid() != parent) exit(2);
        server_serve(http3);
    }
    close(p[1]);
    if (read(p[0], &port, sizeof port) != sizeof port) bench_die("no server");
    close(p[0]);
    bench_pin(0, 1);
    return port;
}
static void server_end(pid_t pid) {
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
}
/* Memory that is its own. */
static long server_dirty_kb(pid_t pid) {
    char path[64], line[200];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) (void)sscanf(line, "Private_Dirty: %ld kB", &kb);
    if (f) fclose(f);
    return kb;
}
#endif
