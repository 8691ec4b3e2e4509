/* Handlers that really block their OS thread, by a system call that no hook sees: 20 requests at once whose handlers sleep for
 * a second each, on one worker, and GET / on another connection meanwhile. Two rows: the first on a server that has not met
 * such before, the second when it has just.
 *
 *   blockers [-n=20] [-workers=1] */
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"

#include "bench.h"
#include <sys/syscall.h>
#include <sys/wait.h>

enum { BLOCKED_MS = 1000 };

static int pipe_fd;
static int hello(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "Hello, World!");
}
static int blocks(vt_req *req, vt_res *res) {
    struct timespec t = {BLOCKED_MS / 1000, 0};
    (void)req;
    syscall(SYS_nanosleep, &t, NULL);
    return vt_res_text(res, 200, "Good morning!");
}
static void ready(vt_server *s, void *ctx) {
    int port = vt_server_port(s, 0);
    (void)ctx;
    if (write(pipe_fd, &port, sizeof port) < 0) exit(2);
}
static __attribute__((noreturn)) void serve(int workers) {
    vt_server *s = vt_server_new(
        &(vt_server_cfg){.addr = "127.0.0.1:0", .workers = workers, .on_ready = ready, .max_spares = 64});
    vt_server_get(s, "/", hello);
    vt_server_get(s, "/blocks", blocks);
    exit(vt_server_run(s) < 0);
}
static int dial(int port) {
    struct sockaddr_in a = bench_addr("127.0.0.1", port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) bench_die("connect");
    return fd;
}
static void ask(int fd, const char *path) {
    char text[100];
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    if (write(fd, text, (size_t)n) != n) bench_die("no request");
}
static void answered(int fd) {
    char buf[4096];
    ssize_t n = read(fd, buf, sizeof buf - 1);
    buf[n > 0 ? n : 0] = 0;
    if (strncmp(buf, "HTTP/1.1 200", 12) != 0) bench_die("no answer");
}
static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}
static void row(int port, int n, const char *name) {
    static int64_t wait[BLOCKED_MS];
    int fds[256], me = dial(port), waits = 0;
    for (int i = 0; i < n; i++) {
        fds[i] = dial(port);
        ask(fds[i], "/"), answered(fds[i]);
    }
    int64_t begun = bench_now();
    for (int i = 0; i < n; i++) ask(fds[i], "/blocks");
    while (waits < BLOCKED_MS && bench_now() - begun < (BLOCKED_MS - 100) * INT64_C(1000000)) {
        int64_t from = bench_now();
        ask(me, "/"), answered(me);
        wait[waits++] = bench_now() - from;
        usleep(1000);
    }
    for (int i = 0; i < n; i++) answered(fds[i]), close(fds[i]);
    double all = (double)(bench_now() - begun) / 1e9;
    close(me);
    qsort(wait, (size_t)waits, sizeof *wait, by_size);
    double worst = (double)wait[waits - 1] / 1e6;
    printf("= blockers_%s_all %.2f s <=3 %s\n", name, all, all <= 3 ? "ok" : "MISS");
    printf("= blockers_%s_get_p50 %.2f ms - -\n", name, (double)wait[waits / 2] / 1e6);
    printf("= blockers_%s_get_worst %.1f ms <=50 %s\n", name, worst, worst <= 50 ? "ok" : "MISS");
}
int main(int argc, char **argv) {
    static const char *const known[] = {"n", "workers", NULL};
    int p[2], port, n = (int)bench_num(argc, argv, "n", 20);
    bench_known(argc, argv, known);
    if (n < 1 || n > 256) bench_die("-n=%d", n);
    if (pipe(p) < 0) bench_die("pipe");
    pid_t pid = fork();
    pipe_fd = p[1];
    if (pid == 0) serve((int)bench_num(argc, argv, "workers", 1));
    if (read(p[0], &port, sizeof port) != sizeof port) bench_die("no server");
    row(port, n, "first");
    row(port, n, "second");
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    return 0;
}
