/* What the benchmark programs share: options, clock, pinning, a listener. */
#ifndef BENCH_H
#define BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BENCH_UNUSED __attribute__((unused))

BENCH_UNUSED __attribute__((noreturn, format(printf, 1, 2))) static void bench_die(const char *fmt, ...) {
    int e = errno;
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    if (e != 0) fprintf(stderr, " (%s)", strerror(e));
    fputc('\n', stderr);
    exit(2);
}

BENCH_UNUSED static int64_t bench_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* CPU time of a whole process, exited threads included, in nanoseconds. */
BENCH_UNUSED static int64_t bench_cpu_of(pid_t pid) {
    clockid_t id;
    struct timespec ts;
    int rc = clock_getcpuclockid(pid, &id);
    if (rc != 0) {
        errno = rc;
        return -1;
    }
    if (clock_gettime(id, &ts) < 0) return -1;
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* "-name=value"; a bare "-name" reads as "1"; of several the last counts. */
BENCH_UNUSED static const char *bench_opt(int argc, char **argv, const char *name, const char *otherwise) {
    size_t n = strlen(name);
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (a[0] != '-' || strncmp(a + 1, name, n) != 0) continue;
        if (a[n + 1] == '=') otherwise = a + n + 2;
        if (a[n + 1] == '\0') otherwise = "1";
    }
    return otherwise;
}

BENCH_UNUSED static long long bench_num(int argc, char **argv, const char *name, long long otherwise) {
    const char *s = bench_opt(argc, argv, name, NULL);
    if (!s) return otherwise;
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno != 0 || end == s || *end != '\0') bench_die("-%s=%s is not a number", name, s);
    return v;
}

/* A mistyped option must not quietly measure something else. */
BENCH_UNUSED static void bench_known(int argc, char **argv, const char *const *names) {
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        size_t n = strcspn(a, "=");
        int found = 0;
        for (const char *const *k = names; *k && !found; k++)
            found = a[0] == '-' && strlen(*k) == n - 1 && strncmp(a + 1, *k, n - 1) == 0;
        if (!found) {
            errno = 0;
            bench_die("%s: unknown argument %s", argv[0], a);
        }
    }
}

/* Silent where there is one CPU only: the figures are then as good as they can be. */
BENCH_UNUSED static int bench_pin(pid_t pid, int cpu) {
    cpu_set_t set;
    if (cpu < 0) return 0;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    return sched_setaffinity(pid, sizeof(set), &set);
}

/* Raises the limit of descriptors towards `want`; returns what was reached. */
BENCH_UNUSED static long long bench_nofile(long long want) {
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) < 0) return 0;
    if ((long long)rl.rlim_cur >= want) return (long long)rl.rlim_cur;
    struct rlimit up = rl;
    up.rlim_cur = (rlim_t)want;
    if (up.rlim_max < up.rlim_cur) up.rlim_max = up.rlim_cur;
    if (setrlimit(RLIMIT_NOFILE, &up) == 0) return want;
    rl.rlim_cur = rl.rlim_max;
    setrlimit(RLIMIT_NOFILE, &rl);
    getrlimit(RLIMIT_NOFILE, &rl);
    return (long long)rl.rlim_cur;
}

BENCH_UNUSED static struct sockaddr_in bench_addr(const char *host, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    errno = 0;
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1) bench_die("%s is not an IPv4 address", host);
    return a;
}

/* TCP_NODELAY on the listener is inherited by what it accepts. Prints "port N" for the driver to read. */
BENCH_UNUSED static int bench_listen(int port) {
    struct sockaddr_in a = bench_addr("127.0.0.1", port);
    socklen_t len = sizeof(a);
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) bench_die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 1024) < 0)
        bench_die("bind or listen on port %d", port);
    if (getsockname(fd, (struct sockaddr *)&a, &len) < 0) bench_die("getsockname");
    printf("port %d\n", ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

static volatile sig_atomic_t bench_stop;

BENCH_UNUSED static void bench_on_term(int sig) {
    (void)sig;
    bench_stop = 1;
}

/* No SA_RESTART: epoll_wait returns with EINTR and the loop sees the flag. */
BENCH_UNUSED static void bench_catch_term(void) {
    struct sigaction sa = {.sa_handler = bench_on_term};
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
}

#endif
