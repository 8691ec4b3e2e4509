/* A program of plain POSIX calls on one worker, for every libc and way to link: 100 clients and 100 servers over TCP,
 * each answer 50 ms late, poll, a pipe, popen, a name. Prints "ok MS" and whether the name was looked up by the pool. */
#define VTHTTP_HOOKS 1
#define VTHTTP_HTTP 0
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"
#include <netdb.h>

enum { N = 100 };
static struct sockaddr_in addr;
static int listener, fails;

static void want(int ok, const char *what) {
    if (ok) return;
    printf("FAIL %s: %s\n", what, strerror(errno));
    fails++;
}
static int serve(void *arg) {
    char b[16];
    int fd = accept(listener, NULL, NULL);
    (void)arg;
    want(fd >= 0 && recv(fd, b, 5, MSG_WAITALL) == 5, "server");
    want(usleep(50000) == 0 && write(fd, b, 5) == 5, "answer");
    return close(fd);
}
static int ask(void *arg) {
    char b[16];
    struct iovec v = {(char *)(uintptr_t) "hello", 5};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct pollfd p = {fd, POLLIN, 0};
    (void)arg;
    want(connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0, "connect");
    want(sendmsg(fd, &m, 0) == 5, "sendmsg");
    want(poll(&p, 1, 10000) == 1 && p.revents & POLLIN, "poll");
    v.iov_base = b;
    want(recvmsg(fd, &m, 0) == 5 && memcmp(b, "hello", 5) == 0, "recvmsg");
    want(recv(fd, b, 1, 0) == 0, "end");
    return close(fd);
}
static int all(void *arg) {
    vt_task *t[2 * N];
    struct addrinfo *ai = NULL, hints;
    char line[16] = "";
    int64_t began = vt_now();
    (void)arg;
    for (int i = 0; i < 2 * N; i++) t[i] = vt_async(i & 1 ? ask : serve, NULL);
    for (int i = 0; i < 2 * N; i++) vt_await(t[i], NULL);
    int64_t ms = (vt_now() - began) / VT_MS;
    FILE *f = popen("echo child", "r");
    want(f && fgets(line, sizeof line, f) && strcmp(line, "child\n") == 0 && pclose(f) == 0, "popen");
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    want(getaddrinfo("localhost", "80", &hints, &ai) == 0 && ai, "getaddrinfo");
    if (ai) freeaddrinfo(ai);
    printf("%s %d, the name by %s\n", fails ? "FAILED" : "ok", (int)ms,
           vt__block_g.threads ? "the pool" : "libc");
    return fails;
}
int main(void) {
    socklen_t len = sizeof addr;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    addr.sin_family = AF_INET;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    want(bind(listener, (struct sockaddr *)&addr, len) == 0 && listen(listener, 128) == 0, "listen");
    getsockname(listener, (struct sockaddr *)&addr, &len);
    vt_cfg cfg = {.workers = 1};
    return vt_run(&cfg, all, NULL) != 0;
}
