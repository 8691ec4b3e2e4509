/* The reference WebSocket echo: epoll, registered once edge-triggered; one recv, frames unmasked in place and sent back in one
 * send: 2 system calls for whatever was read. The handshake's answer is fixed; text is not looked at, and messages are single
 * frames that fit the buffer. -port=N (0: any free one), -buffer=BYTES */
#include "bare.h"

struct conn {
    char *rest; /* a frame that is not complete; NULL most of the time */
    size_t have;
    int open; /* the handshake is done */
};

static struct conn *conns;
static char *out;
static const char answer[] =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void conn_close(int fd) {
    close(fd);
    free(conns[fd].rest);
    conns[fd] = (struct conn){0};
}

static int send_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k < 0 && errno != EAGAIN) return -1;
        if (k > 0) p += k, n -= (size_t)k;
    }
    return 0;
}

static void unmask(char *to, const char *from, size_t n, const char *key) {
    uint32_t k4;
    memcpy(&k4, key, 4);
    uint64_t k = (uint64_t)k4 << 32 | k4, v;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        memcpy(&v, from + i, 8);
        v ^= k;
        memcpy(to + i, &v, 8);
    }
    for (; i < n; i++) to[i] = (char)(from[i] ^ key[i & 3]);
}

/* Frames of p[0..n) to their echoes in `out`; returns the bytes used and adds to *len. */
static size_t echo(const char *p, size_t n, size_t *len) {
    size_t at = 0;
    for (;;) {
        const unsigned char *u = (const unsigned char *)p + at;
        size_t left = n - at, head = 2, size;
        if (left < 6) return at;
        size = u[1] & 127;
        if (size == 126) {
            if (left < 8) return at;
            size = (size_t)u[2] << 8 | u[3], head = 4;
        }
        if (left < head + 4 + size) return at;
        memcpy(out + *len, u, head);
        out[*len + 1] &= 0x7f;
        unmask(out + *len + head, (const char *)u + head + 4, size, (const char *)u + head);
        *len += head + size;
        at += head + 4 + size;
    }
}

static int conn_input(int fd, char *p, size_t n) {
    struct conn *c = &conns[fd];
    size_t len = 0, used;
    if (!c->open) {
        c->open = 1;
        return send_all(fd, answer, sizeof(answer) - 1);
    }
    used = echo(p, n, &len);
    if (len && send_all(fd, out, len) < 0) return -1;
    if (used == n) return 0;
    if (!c->rest && !(c->rest = malloc(buffer_len))) return -1;
    memcpy(c->rest, p + used, c->have = n - used);
    return 0;
}

static int conn_serve(int fd, uint32_t events) {
    for (;;) {
        struct conn *c = &conns[fd];
        size_t had = c->have;
        if (had) memcpy(buffer, c->rest, had);
        ssize_t n = recv(fd, buffer + had, buffer_len - had, 0);
        if (n < 0 && errno == EAGAIN) return 0;
        if (n <= 0) return -1;
        c->have = 0;
        if (conn_input(fd, buffer, had + (size_t)n) < 0) return -1;
        if ((size_t)n < buffer_len - had && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return 0;
    }
}

static void on_conn(int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (!bare_watch(fd, EPOLLIN)) conn_close(fd);
}

static void on_event(int fd, uint32_t events) {
    if (conn_serve(fd, events) < 0) conn_close(fd);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"port", "buffer", NULL};
    bench_known(argc, argv, known);
    conns = bare_begin(argc, argv, sizeof(*conns));
    out = malloc(buffer_len + 64);
    if (!out) bench_die("start");
    bare_serve(argc, argv, on_conn, on_event);
    return 0;
}
