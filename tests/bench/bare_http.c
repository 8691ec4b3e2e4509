/* The reference HTTP server: epoll, read, write a constant response; no parsing beyond finding where heads end.
 * -mode=keep     answers every request of a read by one write, keeps the connection (2 system calls a request)
 * -mode=close    reads straight after accept4, answers once and closes (accept4, recv, send, close)
 * -response=FILE the exact bytes to answer with (`load -dump` fetches those of another server), so that both sides of
 *                a comparison move the same bytes; else a hello with a Date of the usual length
 * -port=N (0: any free one), -buffer=BYTES of the read buffer */
#include "bare.h"

#define COPIES 1024 /* responses that one send can carry */

struct conn {
    uint8_t matched; /* bytes of CR LF CR LF seen at the end of the last read */
    uint32_t owed;   /* responses not yet sent whole */
    uint32_t offset; /* sent of the first of them */
};

static struct conn *conns;
static int keep;
static char *replies;
static size_t reply_len;

/* Continues a match over a read's edge, a byte at a time. */
static uint32_t count_slow(struct conn *c, const char *p, size_t n) {
    uint32_t found = 0;
    unsigned m = c->matched;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == ((m & 1) ? '\n' : '\r')) m++;
        else m = p[i] == '\r';
        if (m == 4) {
            found++;
            m = 0;
        }
    }
    c->matched = (uint8_t)m;
    return found;
}

/* Looks at every fourth byte only: CR LF CR LF cannot hide between two of them. */
static uint32_t count_heads(struct conn *c, const char *p, size_t n) {
    uint32_t found = 0;
    size_t i = 0;
    if (c->matched || n < 4) return count_slow(c, p, n);
    while (i + 4 <= n) {
        char last = p[i + 3];
        if (last == '\n') {
            int hit = memcmp(p + i, "\r\n\r", 3) == 0;
            found += (uint32_t)hit;
            i += hit ? 4 : 2;
        } else i += last == '\r' ? 1 : 4;
    }
    count_slow(c, p + i, n - i);
    return found;
}

static void conn_close(int fd) {
    close(fd);
    conns[fd] = (struct conn){0};
}

/* 1: all sent, 0: the socket is full, -1: gone */
static int conn_flush(int fd) {
    struct conn *c = &conns[fd];
    while (c->owed) {
        uint32_t k = c->owed < COPIES ? c->owed : COPIES;
        ssize_t n = send(fd, replies + c->offset, k * reply_len - c->offset, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        size_t done = (size_t)n + c->offset;
        c->owed -= (uint32_t)(done / reply_len);
        c->offset = (uint32_t)(done % reply_len);
    }
    return 1;
}

/* After a short read the socket is taken as drained, unless an end or error is announced. */
static int conn_serve(int fd, uint32_t events) {
    struct conn *c = &conns[fd];
    int ok = c->owed ? conn_flush(fd) : 1;
    while (ok > 0) {
        ssize_t n = recv(fd, buffer, buffer_len, 0);
        if (n < 0 && errno == EAGAIN) return 0;
        if (n <= 0) return -1;
        c->owed += count_heads(c, buffer, (size_t)n);
        ok = conn_flush(fd);
        if (ok > 0 && (size_t)n < buffer_len && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return 0;
    }
    return ok;
}

/* One request, one response. 1: over, 0: the request is not here yet. */
static int conn_once(int fd) {
    struct conn *c = &conns[fd];
    ssize_t n = recv(fd, buffer, buffer_len, 0);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) return 1;
    if (count_heads(c, buffer, (size_t)n) == 0) return 0;
    c->owed = 1;
    conn_flush(fd);
    return 1;
}

static void on_conn(int fd) {
    if ((!keep && conn_once(fd)) || !bare_watch(fd, EPOLLIN | EPOLLOUT)) conn_close(fd);
}

static void on_event(int fd, uint32_t events) {
    int over = keep ? conn_serve(fd, events) < 0 : conn_once(fd);
    if (over) conn_close(fd);
}

static void load_response(const char *path) {
    static const char hello[] =
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        "Content-Type: text/plain;charset=utf-8\r\nContent-Length: 13\r\n\r\nHello, World!";
    static const char bye[] =
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain; "
        "charset=utf-8\r\nContent-Length: 13\r\nConnection: close\r\n\r\nHello, World!";
    static char file[65536];
    const char *bytes = keep ? hello : bye;
    reply_len = keep ? sizeof(hello) - 1 : sizeof(bye) - 1;
    if (path) {
        FILE *f = fopen(path, "rb");
        if (!f) bench_die("%s", path);
        reply_len = fread(file, 1, sizeof(file), f);
        fclose(f);
        if (reply_len == 0 || reply_len == sizeof(file)) bench_die("%s is empty or over 64 KiB", path);
        bytes = file;
    }
    replies = malloc(reply_len * COPIES);
    if (!replies) bench_die("no memory");
    for (size_t i = 0; i < COPIES; i++) memcpy(replies + i * reply_len, bytes, reply_len);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"mode", "response", "port", "buffer", NULL};
    bench_known(argc, argv, known);
    const char *mode = bench_opt(argc, argv, "mode", "keep");
    keep = strcmp(mode, "keep") == 0;
    errno = 0;
    if (!keep && strcmp(mode, "close") != 0) bench_die("-mode=%s: keep or close", mode);
    load_response(bench_opt(argc, argv, "response", NULL));
    conns = bare_begin(argc, argv, sizeof(*conns));
    bare_serve(argc, argv, on_conn, on_event);
    return 0;
}
