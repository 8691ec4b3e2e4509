/* A load generator on bare epoll, for one CPU. Every response must be whole and have the expected status; anything else
 * ends the run with exit status 1, so that a figure is never that of a server which drops or garbles.
 *
 *   load -port=N [-host=127.0.0.1] [-proto=http|echo|ws] [-c=100] [-depth=1] [-close] [-path=/] [-browser] [-status=200]
 *        [-body=TEXT] [-size=16] [-n=100000 | -ms=2000] [-warm=1000] [-pid=SERVER] [-cpu=N] [-max_s=30] [-dump=FILE]
 *
 * -proto=ws  masked binary messages, whose echo is unmasked; -size is a message's, without its head
 * -depth=k   k requests (or messages) in one write, the next k after the last answer
 * -close     a connection per request; the server has to close it after the response
 * -browser   a request of some 700 bytes instead of the shortest one
 * -body      what every response has to carry
 * -warm=n    responses before the measured part; -pid: CPU time that process takes in the measured part
 * -dump      one request, the response's bytes to FILE, nothing else
 *
 * The last line is for programs: "result responses=N ns=N cpu_ns=N p50_ns=N p90_ns=N p99_ns=N max_ns=N". */
#include "bench.h"

#include <fcntl.h>
#include <poll.h>
#include <strings.h>
#include <sys/epoll.h>

#define EVENTS 512
#define INPUT (1 << 20)
#define CARRY 16384 /* the longest head that may be split over reads */
#define PARTS 32    /* histogram: parts of a power of two */

struct conn {
    int fd, index;
    unsigned want;     /* answers outstanding */
    unsigned sent_all; /* the whole batch is written */
    size_t sent;       /* bytes of it that are */
    size_t body_left;  /* of the response or message under way */
    size_t body_at;    /* offset in it, to compare by */
    size_t carried;    /* bytes of an incomplete head in carry */
    char *carry;
    int64_t since;
};

static struct {
    struct sockaddr_in to;
    int echo, ws, closing, status, conns, depth;
    const char *body;
    size_t body_len;
    char *batch, *back; /* what one round writes, and an echo's reads */
    size_t batch_len, unit_len, back_len;
} cfg;

static struct conn *conns;
static int ep, active, timed;
static long long quota; /* requests that may still start */
static int64_t deadline, done_total;
static uint64_t histogram[64 * PARTS];
static char *input;

__attribute__((noreturn, format(printf, 1, 2))) static void wrong(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fputs("load: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

/*------------------------------------------------------------------ latency */

static void histogram_add(int64_t ns) {
    uint64_t v = ns > 0 ? (uint64_t)ns : 0;
    unsigned row = v < PARTS ? 0 : 64 - (unsigned)__builtin_clzll(v) - 5;
    unsigned part = (unsigned)(row ? (v >> (row - 1)) - PARTS : v) % PARTS;
    histogram[row * PARTS + part]++;
}

static int64_t histogram_value(unsigned slot) {
    unsigned row = slot / PARTS, part = slot % PARTS;
    return row ? (int64_t)(PARTS + part) << (row - 1) : (int64_t)part;
}

static int64_t histogram_at(double share) {
    uint64_t all = 0, seen = 0;
    for (unsigned i = 0; i < 64 * PARTS; i++) all += histogram[i];
    for (unsigned i = 0; i < 64 * PARTS; i++) {
        seen += histogram[i];
        if (seen && (double)seen >= share * (double)all) return histogram_value(i);
    }
    return 0;
}

/*-------------------------------------------------------------- connections */

static void conn_arm(struct conn *c, uint32_t events) {
    struct epoll_event ev = {.events = events | EPOLLET, .data.u32 = (uint32_t)c->index};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) < 0) bench_die("epoll_ctl");
}

/* Closing by reset leaves no TIME_WAIT behind, so ports never run out. */
static void conn_open(struct conn *c) {
    struct linger hard = {.l_onoff = 1};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) bench_die("socket");
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    if (!cfg.closing) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(c->fd, (struct sockaddr *)&cfg.to, sizeof(cfg.to)) < 0 && errno != EINPROGRESS)
        bench_die("connect");
    c->carried = c->body_left = c->sent = 0;
}

static void conn_push(struct conn *c) {
    while (c->sent < cfg.batch_len) {
        ssize_t n = send(c->fd, cfg.batch + c->sent, cfg.batch_len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0)
            wrong("connection %d: send: %s, %u answers outstanding", c->index, strerror(errno), c->want);
        c->sent += (size_t)n;
    }
    c->sent_all = 1;
}

/* Starts the next round, or counts the connection out. A reconnecting one waits for RDHUP alone: one recv gets all. */
static void conn_next(struct conn *c, int64_t now) {
    if (quota <= 0 || (timed && now >= deadline)) {
        active--;
        return;
    }
    quota -= cfg.depth;
    c->want = (unsigned)cfg.depth;
    c->sent = 0;
    c->sent_all = 0;
    c->since = now;
    if (cfg.echo) c->body_at = 0;
    if (!cfg.closing) {
        conn_push(c);
        return;
    }
    conn_open(c);
    conn_push(c);
    conn_arm(c, c->sent_all ? EPOLLRDHUP : EPOLLRDHUP | EPOLLOUT);
}

static void conn_done(struct conn *c, unsigned k) {
    if (k > c->want) wrong("connection %d: an answer nobody asked for", c->index);
    c->want -= k;
    done_total += k;
    if (c->want || cfg.closing) return;
    int64_t now = bench_now();
    histogram_add(now - c->since);
    conn_next(c, now);
}

/*------------------------------------------------------------------ framing */

static int field_is(const char *p, size_t n, const char *name) {
    size_t len = strlen(name);
    return n > len && p[len] == ':' && strncasecmp(p, name, len) == 0;
}

static size_t parse_length(const char *p, const char *end) {
    size_t v = 0;
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    if (p == end || *p < '0' || *p > '9') wrong("Content-Length is not a number");
    for (; p < end && *p >= '0' && *p <= '9'; p++) v = v * 10 + (size_t)(*p - '0');
    return v;
}

/* Returns the status; -1 in *length where no Content-Length was given. */
static int parse_head(const char *p, size_t n, long long *length) {
    const char *end = p + n, *line;
    *length = -1;
    if (n < 15 || memcmp(p, "HTTP/1.1 ", 9) != 0) wrong("not a status line: %.*s", (int)(n < 40 ? n : 40), p);
    int status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    while ((line = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        p = line + 1;
        size_t left = (size_t)(end - p);
        if (field_is(p, left, "content-length")) *length = (long long)parse_length(p + 15, end);
        else if (field_is(p, left, "transfer-encoding"))
            wrong("a response with Transfer-Encoding: this generator wants Content-Length");
    }
    return status;
}

static void check_head(struct conn *c, const char *p, size_t n) {
    long long length;
    int status = parse_head(p, n, &length);
    if (status != cfg.status) wrong("connection %d: status %d, expected %d", c->index, status, cfg.status);
    if (length < 0 && status != 204 && status != 304)
        wrong("connection %d: a response without Content-Length", c->index);
    c->body_left = length < 0 ? 0 : (size_t)length;
    c->body_at = 0;
    if (cfg.body && c->body_left != cfg.body_len)
        wrong("connection %d: a body of %zu bytes, expected %zu", c->index, c->body_left, cfg.body_len);
}

static size_t take_body(struct conn *c, const char *p, size_t n) {
    size_t k = n < c->body_left ? n : c->body_left;
    if (cfg.body && memcmp(p, cfg.body + c->body_at, k) != 0)
        wrong("connection %d: the body differs", c->index);
    c->body_at += k;
    c->body_left -= k;
    return k;
}

static void keep_head(struct conn *c, const char *p, size_t n) {
    if (n > CARRY) wrong("connection %d: a response head over %d bytes", c->index, CARRY);
    if (!c->carry && !(c->carry = malloc(CARRY))) bench_die("no memory");
    memmove(c->carry, p, n);
    c->carried = n;
}

/* Counts whole responses in the n bytes; returns how many ended in them. */
static unsigned eat_http(struct conn *c, const char *p, size_t n) {
    unsigned found = 0;
    while (n) {
        if (c->body_left == 0) {
            const char *end = memmem(p, n, "\r\n\r\n", 4);
            if (!end) {
                keep_head(c, p, n);
                return found;
            }
            size_t head = (size_t)(end - p) + 4;
            check_head(c, p, head);
            p += head;
            n -= head;
        }
        size_t k = take_body(c, p, n);
        p += k;
        n -= k;
        found += c->body_left == 0;
    }
    return found;
}

/* The echo of a round is the round. */
static unsigned eat_echo(struct conn *c, const char *p, size_t n) {
    if (n > cfg.back_len * (size_t)cfg.depth - c->body_at || memcmp(p, cfg.back + c->body_at, n) != 0)
        wrong("connection %d: the echo differs from what was sent", c->index);
    size_t before = c->body_at / cfg.back_len;
    c->body_at += n;
    return (unsigned)(c->body_at / cfg.back_len - before);
}

/*---------------------------------------------------------------- the loop */

static void conn_over(struct conn *c) {
    if (c->want || c->body_left || c->carried)
        wrong("connection %d: closed with %u answers outstanding", c->index, c->want);
    close(c->fd);
    int64_t now = bench_now();
    histogram_add(now - c->since);
    conn_next(c, now);
}

/* An edge is lost only by a read that filled the buffer or by the end of the stream; both read on. */
static void conn_read(struct conn *c, uint32_t events) {
    for (;;) {
        size_t had = c->carried;
        if (had) memcpy(input, c->carry, had);
        ssize_t n = recv(c->fd, input + had, INPUT - had, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0 && !(n == 0 && cfg.closing))
            wrong("connection %d: %s, %u answers outstanding", c->index,
                  n < 0 ? strerror(errno) : "closed by the server", c->want);
        c->carried = 0;
        unsigned k = cfg.echo ? eat_echo(c, input, had + (size_t)n) : eat_http(c, input, had + (size_t)n);
        int whole = had + (size_t)n < INPUT;
        if (k) conn_done(c, k);
        if (cfg.closing && (n == 0 || (whole && (events & EPOLLRDHUP)))) {
            conn_over(c);
            return;
        }
        if (whole && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    }
}

static void conn_event(struct conn *c, uint32_t events) {
    if (!c->sent_all) conn_push(c);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) conn_read(c, events);
}

/* Upgrades a connection, before any load. */
static void conn_shake(struct conn *c) {
    static const char ask[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    size_t have = 0;
    struct pollfd p = {.fd = c->fd, .events = POLLOUT};
    if (poll(&p, 1, 5000) != 1 || send(c->fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(ask) - 1)
        wrong("connection %d: the handshake cannot be sent", c->index);
    while (!memmem(input, have, "\r\n\r\n", 4)) {
        p.events = POLLIN;
        ssize_t n = poll(&p, 1, 5000) == 1 ? recv(c->fd, input + have, 4096, 0) : -1;
        if (n <= 0 || have > 4096) wrong("connection %d: no answer to the handshake", c->index);
        have += (size_t)n;
    }
    if (memcmp(input, "HTTP/1.1 101 ", 13) != 0) wrong("connection %d: not upgraded", c->index);
}

static void open_all(void) {
    for (int i = 0; i < cfg.conns; i++) {
        struct conn *c = &conns[i];
        c->index = i;
        if (cfg.closing) continue;
        conn_open(c);
        if (cfg.ws) conn_shake(c);
        c->sent = cfg.batch_len;
        c->sent_all = 1;
        conn_arm(c, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    }
}

/* One part of the run, begun and ended with nothing under way. */
static void run_part(long long n, long long ms) {
    static struct epoll_event got[EVENTS];
    timed = ms > 0;
    quota = timed ? INT64_MAX : n;
    int64_t now = bench_now();
    deadline = now + ms * 1000000;
    done_total = 0;
    active = cfg.conns;
    for (int i = 0; i < cfg.conns; i++) conn_next(&conns[i], bench_now());
    while (active > 0) {
        int k = epoll_wait(ep, got, EVENTS, -1);
        for (int i = 0; i < k; i++) conn_event(&conns[got[i].data.u32], got[i].events);
    }
}

/* A server that fell silent: says how far it came. */
static void on_alarm(int sig) {
    (void)sig;
    wrong("out of time: %lld answers, %d connections under way", (long long)done_total, active);
}

/*------------------------------------------------------------------- start */

/* A frame of n bytes, masked, and what comes back for it; the length of its head without the mask's four bytes. */
static size_t build_frame(char *to, char *back, size_t n) {
    static const char key[4] = {0x37, (char)0xfa, 0x21, 0x3d};
    size_t form = n < 126 ? 0 : n < 65536 ? 2 : 8, head = 2 + form;
    back[0] = (char)0x82;
    back[1] = (char)(form == 0 ? n : form == 2 ? 126 : 127);
    for (size_t i = 0; i < form; i++) back[2 + i] = (char)((uint64_t)n >> 8 * (form - 1 - i));
    memcpy(to, back, head);
    to[1] = (char)(to[1] | 0x80);
    memcpy(to + head, key, 4);
    for (size_t i = 0; i < n; i++) {
        back[head + i] = (char)('a' + i % 23);
        to[head + 4 + i] = (char)(back[head + i] ^ key[i & 3]);
    }
    return head;
}

static void build_batch(const char *path, const char *host, int port, int browser, size_t size) {
    static const char more[] =
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
        "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
        "Referer: http://localhost/section/page.html?from=start&item=42\r\nCache-Control: max-age=0\r\n"
        "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes; seen=1699999999\r\n"
        "Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    char *unit = NULL, *back = NULL;
    if (cfg.ws) {
        unit = malloc(size + 14), back = malloc(size + 14);
        if (!unit || !back) bench_die("no memory");
        cfg.back_len = build_frame(unit, back, size) + size;
        cfg.unit_len = cfg.back_len + 4;
    } else if (cfg.echo) {
        unit = malloc(size + 1);
        for (size_t i = 0; unit && i < size; i++) unit[i] = (char)('a' + i % 23);
        cfg.unit_len = cfg.back_len = size;
    } else {
        int n = asprintf(&unit, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n%s%s\r\n", path, host, port,
                         browser ? more : "", cfg.closing ? "Connection: close\r\n" : "");
        cfg.unit_len = n < 0 ? 0 : (size_t)n;
    }
    cfg.batch_len = cfg.unit_len * (size_t)cfg.depth;
    cfg.batch = malloc(cfg.batch_len);
    if (!unit || !cfg.batch || cfg.unit_len == 0) bench_die("no memory, or a message of no bytes");
    for (int i = 0; i < cfg.depth; i++) memcpy(cfg.batch + (size_t)i * cfg.unit_len, unit, cfg.unit_len);
    cfg.back = cfg.batch;
    if (cfg.ws) {
        cfg.back = malloc(cfg.back_len * (size_t)cfg.depth);
        if (!cfg.back) bench_die("no memory");
        for (int i = 0; i < cfg.depth; i++) memcpy(cfg.back + (size_t)i * cfg.back_len, back, cfg.back_len);
    }
    free(unit);
    free(back);
}

static int dump(const char *path) {
    struct conn *c = &conns[0];
    size_t have = 0, head = 0;
    struct timeval limit = {.tv_sec = 5};
    conn_open(c);
    fcntl(c->fd, F_SETFL, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (send(c->fd, cfg.batch, cfg.unit_len, MSG_NOSIGNAL) != (ssize_t)cfg.unit_len) bench_die("dump: send");
    while (!head || have < head + c->body_left) {
        ssize_t n = recv(c->fd, input + have, INPUT - have, 0);
        if (n <= 0) wrong("dump: no whole response");
        have += (size_t)n;
        const char *end = head ? NULL : memmem(input, have, "\r\n\r\n", 4);
        if (end) {
            head = (size_t)(end - input) + 4;
            check_head(c, input, head);
        }
    }
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(input, 1, have, f) != have || fclose(f) != 0) bench_die("%s", path);
    return 0;
}

static void report(int64_t ns, int64_t cpu) {
    int64_t p50 = histogram_at(0.5), p90 = histogram_at(0.9), p99 = histogram_at(0.99),
            top = histogram_at(1.0);
    double n = done_total > 0 ? (double)done_total : 1;
    printf("%lld answers in %.2f s: %.0f/s, latency us p50 %.1f p90 %.1f p99 %.1f max %.1f",
           (long long)done_total, (double)ns / 1e9, n * 1e9 / (double)ns, (double)p50 / 1e3,
           (double)p90 / 1e3, (double)p99 / 1e3, (double)top / 1e3);
    if (cpu >= 0) printf(", server CPU %.3f us each", (double)cpu / n / 1e3);
    printf("\nresult responses=%lld ns=%lld cpu_ns=%lld p50_ns=%lld p90_ns=%lld p99_ns=%lld max_ns=%lld\n",
           (long long)done_total, (long long)ns, (long long)cpu, (long long)p50, (long long)p90,
           (long long)p99, (long long)top);
}

static void configure(int argc, char **argv) {
    const char *host = bench_opt(argc, argv, "host", "127.0.0.1");
    const char *proto = bench_opt(argc, argv, "proto", "http");
    int port = (int)bench_num(argc, argv, "port", 0);
    errno = 0;
    cfg.ws = strcmp(proto, "ws") == 0;
    cfg.echo = cfg.ws || strcmp(proto, "echo") == 0;
    if ((!cfg.echo && strcmp(proto, "http") != 0) || port <= 0)
        bench_die("usage: load -port=N [-proto=http|echo|ws] ...");
    cfg.to = bench_addr(host, port);
    cfg.closing = (int)bench_num(argc, argv, "close", 0);
    cfg.status = (int)bench_num(argc, argv, "status", 200);
    cfg.conns = (int)bench_num(argc, argv, "c", 100);
    cfg.depth = cfg.closing ? 1 : (int)bench_num(argc, argv, "depth", 1);
    cfg.body = bench_opt(argc, argv, "body", NULL);
    cfg.body_len = cfg.body ? strlen(cfg.body) : 0;
    if (cfg.conns < 1 || cfg.depth < 1) bench_die("-c and -depth are at least 1");
    build_batch(bench_opt(argc, argv, "path", "/"), host, port, (int)bench_num(argc, argv, "browser", 0),
                (size_t)bench_num(argc, argv, "size", 16));
    bench_nofile(cfg.conns + 64);
    conns = calloc((size_t)cfg.conns, sizeof(*conns));
    input = malloc(INPUT);
    ep = epoll_create1(EPOLL_CLOEXEC);
    if (!conns || !input || ep < 0) bench_die("start");
}

int main(int argc, char **argv) {
    static const char *const known[] = {"port",    "host",   "proto", "c",    "depth", "close", "path",
                                        "browser", "status", "body",  "size", "n",     "ms",    "warm",
                                        "pid",     "cpu",    "max_s", "dump", NULL};
    bench_known(argc, argv, known);
    configure(argc, argv);
    bench_pin(0, (int)bench_num(argc, argv, "cpu", -1));
    signal(SIGALRM, on_alarm);
    alarm((unsigned)bench_num(argc, argv, "max_s", 30));
    const char *file = bench_opt(argc, argv, "dump", NULL);
    if (file) return dump(file);
    long long ms = bench_num(argc, argv, "ms", 0), n = bench_num(argc, argv, "n", ms ? 0 : 100000);
    pid_t pid = (pid_t)bench_num(argc, argv, "pid", 0);
    open_all();
    run_part(bench_num(argc, argv, "warm", 1000), 0);
    memset(histogram, 0, sizeof(histogram));
    int64_t cpu = pid ? bench_cpu_of(pid) : -1, from = bench_now();
    run_part(n, ms);
    report(bench_now() - from, pid && cpu >= 0 ? bench_cpu_of(pid) - cpu : -1);
    return 0;
}
