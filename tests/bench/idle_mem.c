/* What an idle keep-alive connection costs a server in memory of its own: growth of private dirty pages and page tables
 * from -base to -n connections, each of which has had one request answered, divided by the difference.
 *
 *   idle_mem -port=N -pid=SERVER [-ws | -h2=1 | -h2=2] [-base=1000] [-n=11000] [-goal=512] [-name=idle_conn]
 *
 * -ws  WebSockets: each has had its handshake answered and one message sent back
 * -h2  HTTP/2; 2: with a second request on each, a POST whose body does not come and whose handler waits
 *
 * Descriptor limits of both processes are raised where that is allowed; else fewer connections are used, and said so. */
#include "bench.h"

#define PER_SOURCE 10000 /* connections from one source address; the range of ports is finite */

static int port, ws, h2;
static int *fds;

static long long kb_in(pid_t pid, const char *file, const char *key) {
    char path[64], line[256];
    long long kb = -1;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    FILE *f = fopen(path, "r");
    if (!f) bench_die("%s", path);
    while (kb < 0 && fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0) sscanf(line + strlen(key), " %lld", &kb);
    fclose(f);
    errno = 0;
    if (kb < 0) bench_die("%s has no %s", path, key);
    return kb;
}

static long long memory_kb(pid_t pid, long long *dirty, long long *tables) {
    *dirty = kb_in(pid, "smaps_rollup", "Private_Dirty:");
    *tables = kb_in(pid, "status", "VmPTE:");
    return *dirty + *tables;
}

/* The lowest limit decides; descriptors that are open already count. */
static long long allowed(pid_t pid, long long want) {
    struct rlimit now, up = {.rlim_cur = (rlim_t)want + 256, .rlim_max = (rlim_t)want + 256};
    long long mine = bench_nofile(want + 64) - 64, theirs = want;
    if (prlimit(pid, RLIMIT_NOFILE, NULL, &now) == 0) {
        if (up.rlim_max < now.rlim_max) up.rlim_max = now.rlim_max;
        if (now.rlim_cur < up.rlim_cur && prlimit(pid, RLIMIT_NOFILE, &up, NULL) < 0) {
            up.rlim_cur = up.rlim_max = now.rlim_max;
            prlimit(pid, RLIMIT_NOFILE, &up, NULL);
            theirs = (long long)now.rlim_max - 256;
        }
    }
    return mine < theirs ? mine : theirs;
}

/* A whole response with a Content-Length; the connection stays open. */
static void exchange(int fd, int i) {
    static const char get[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char buf[65536];
    size_t have = 0, want = 0;
    if (send(fd, get, sizeof(get) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(get) - 1) bench_die("send on %d", i);
    while (!want || have < want) {
        ssize_t n = recv(fd, buf + have, sizeof(buf) - 1 - have, 0);
        if (n <= 0) bench_die("connection %d: no whole response", i);
        have += (size_t)n;
        buf[have] = '\0';
        char *end = strstr(buf, "\r\n\r\n"), *length = strcasestr(buf, "\r\ncontent-length:");
        errno = 0;
        if (end && (!length || length > end || strncmp(buf, "HTTP/1.1 200 ", 13) != 0))
            bench_die("connection %d: not a 200 with Content-Length", i);
        if (end) want = (size_t)(end - buf) + 4 + (size_t)strtoul(length + 17, NULL, 10);
    }
}

/* Upgrades, and has a message of one byte come back. */
static void exchange_ws(int fd, int i) {
    static const char ask[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x81....x";
    char buf[4096];
    size_t have = 0;
    if (send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(ask) - 1) bench_die("send on %d", i);
    for (char *end = NULL; !end || have < (size_t)(end - buf) + 7;) {
        ssize_t n = recv(fd, buf + have, sizeof(buf) - have, 0);
        if (n <= 0) bench_die("connection %d: no message", i);
        have += (size_t)n;
        end = memmem(buf, have, "\r\n\r\n", 4);
    }
    errno = 0;
    if (memcmp(buf, "HTTP/1.1 101 ", 13) != 0) bench_die("connection %d: not upgraded", i);
}

static void exchange_h2(int fd, int i) {
    static const char ask[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0"
                              "\0\0\6\1\5\0\0\0\1\202\206\204A\1a\0\0\6\1\4\0\0\0\3\203\206\204A\1a";
    static const char ack[] = "\0\0\0\4\1\0\0\0\0", body[] = "Hello, World!";
    size_t have = 0, n = sizeof(ask) - 1 - (h2 == 2 ? 0 : 15);
    char buf[4096];
    if (send(fd, ask, n, MSG_NOSIGNAL) != (ssize_t)n) bench_die("send on %d", i);
    while (!memmem(buf, have, ack, sizeof(ack) - 1) || !memmem(buf, have, body, sizeof(body) - 1)) {
        ssize_t r = recv(fd, buf + have, sizeof(buf) - have, 0);
        if (r <= 0) bench_die("connection %d: no answer", i);
        have += (size_t)r;
    }
}

static void open_one(int i) {
    struct sockaddr_in to = bench_addr("127.0.0.1", port), from = bench_addr("127.0.0.1", 0);
    struct timeval limit = {.tv_sec = 10};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) bench_die("socket %d", i);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(i / PER_SOURCE) * 256);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0) bench_die("bind %d", i);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) bench_die("connect %d", i);
    if (h2) exchange_h2(fd, i);
    else if (ws) exchange_ws(fd, i);
    else exchange(fd, i);
    fds[i] = fd;
}

/* Nobody may have been dropped meanwhile: memory of closed connections is no achievement. */
static void check_open(int n) {
    for (int i = 0; i < n; i++) {
        char c;
        ssize_t k = recv(fds[i], &c, 1, MSG_PEEK | MSG_DONTWAIT);
        int e = errno;
        errno = 0;
        if (k >= 0 || e != EAGAIN) bench_die("connection %d of %d did not stay open and silent", i, n);
    }
}

static void settle(void) { usleep(500000); }

int main(int argc, char **argv) {
    static const char *const known[] = {"port", "pid", "ws", "h2", "base", "n", "goal", "name", NULL};
    bench_known(argc, argv, known);
    long long base = bench_num(argc, argv, "base", 1000), n = bench_num(argc, argv, "n", 11000);
    double goal = (double)bench_num(argc, argv, "goal", 512);
    const char *name = bench_opt(argc, argv, "name", "idle_conn");
    ws = (int)bench_num(argc, argv, "ws", 0);
    h2 = (int)bench_num(argc, argv, "h2", 0);
    pid_t pid = (pid_t)bench_num(argc, argv, "pid", 0);
    port = (int)bench_num(argc, argv, "port", 0);
    errno = 0;
    if (port <= 0 || pid <= 0 || base < 1 || n <= base) bench_die("usage: idle_mem -port=N -pid=SERVER");
    alarm(120);
    long long limit = allowed(pid, n);
    if (limit < n) {
        printf("%s: scaled down from %lld to %lld connections by the limit of descriptors\n", name, n, limit);
        n = limit;
    }
    errno = 0;
    if (n <= base) bench_die("too few descriptors for a measurement");
    fds = calloc((size_t)n, sizeof(*fds));
    if (!fds) bench_die("no memory");
    long long dirty[2], tables[2], total[2];
    for (int i = 0; i < base; i++) open_one(i);
    settle();
    total[0] = memory_kb(pid, &dirty[0], &tables[0]);
    for (int i = (int)base; i < n; i++) open_one(i);
    settle();
    check_open((int)n);
    total[1] = memory_kb(pid, &dirty[1], &tables[1]);
    double each = (double)(total[1] - total[0]) * 1024 / (double)(n - base);
    printf("%s: %lld to %lld connections: private dirty %lld to %lld KiB, page tables %lld to %lld KiB\n",
           name, base, n, dirty[0], dirty[1], tables[0], tables[1]);
    if (goal > 0) printf("= %s %.0f bytes <=%.0f %s\n", name, each, goal, each <= goal ? "ok" : "MISS");
    else printf("= %s %.0f bytes - -\n", name, each);
    return 0;
}
