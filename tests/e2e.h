/* End-to-end tests: a server in a thread of its own, and a raw client that sends exact bytes and waits for nothing
 * longer than E2E_MS. One server at a time; the next e2e_start stops one that a failed test left.
 *
 *     vt_server_cfg cfg = {0};
 *     REQUIRE(e2e_start(&cfg, routes) == 0);     // routes(s) registers; NULL: none
 *     CL(c);                                     // a client, closed at the end of the block
 *     REQUIRE(cl_open(&c));
 *     cl_puts(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
 *     CHECK_EQ(cl_response(&c), 200);            // then c.body, c.body_len, c.head, cl_field(&c, "date")
 *     cl_close(&c);                              // else a connection that the server has ended lingers for 2 s
 *     CHECK_EQ(e2e_stop(), 0);                   // what vt_server_run returned
 */
#ifndef VT_E2E_H
#define VT_E2E_H
#ifndef VTHTTP_IMPLEMENTATION
#define VTHTTP_IMPLEMENTATION
#endif
#ifndef E2E_TLS /* 1: the server speaks TLS alone, and the client, too */
#define E2E_TLS 0
#endif
#ifndef E2E_KTLS /* 1: by the kernel, where it can */
#define E2E_KTLS 0
#endif
#ifndef E2E_H2 /* 1: the client, which looks like one of HTTP/1.1, speaks HTTP/2 */
#define E2E_H2 0
#endif
#ifndef E2E_H3 /* 1, with E2E_TLS: it speaks HTTP/3 */
#define E2E_H3 0
#endif
#include "../vthttp.h"
#include "test.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <strings.h>
#if E2E_TLS
#include "tls.h"
#define E2E_SCHEME "https"
#else
#define E2E_SCHEME "http"
#endif

#ifndef E2E_MS
#define E2E_MS 20000
#endif
#ifndef E2E_WORKERS /* where the test's cfg does not say */
#define E2E_WORKERS 2
#endif

static inline int64_t e2e_now_ms(void) { return vt_now() / VT_MS; }
static inline void e2e_sleep_ms(int64_t ms) { poll(NULL, 0, (int)ms); }
#define WAIT(cond)                                                                                           \
    for (int64_t wait_end = e2e_now_ms() + E2E_MS; !(cond) && e2e_now_ms() < wait_end; e2e_sleep_ms(1))      \
    continue
static inline int count_fds(void) {
    int n = 0;
    for (int fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- the server ---- */
static struct {
    vt_server *s;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool running, ready, done;
    int result, port, ready_calls;
    void (*user_ready)(vt_server *s, void *ctx);
    char log[1 << 16]; /* "level line\n" each */
    size_t log_len;
} e2e = {.mu = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void e2e_log(void *ctx, int level, const char *line) {
    (void)ctx;
    pthread_mutex_lock(&e2e.mu);
    int n = snprintf(e2e.log + e2e.log_len, sizeof e2e.log - e2e.log_len, "%d %s\n", level, line);
    if (n > 0 && (size_t)n < sizeof e2e.log - e2e.log_len) e2e.log_len += (size_t)n;
    e2e.log[e2e.log_len] = 0;
    pthread_mutex_unlock(&e2e.mu);
    if (getenv("VT_E2E_LOG")) fprintf(stderr, "log %d %s\n", level, line);
}

/* Lines at `level` (0: any) that contain `what`, since the start of the server. */
static __attribute__((unused)) int e2e_logged(int level, const char *what) {
    int count = 0;
    pthread_mutex_lock(&e2e.mu);
    for (char *p = e2e.log, *end; (end = strchr(p, '\n')) != NULL; p = end + 1) {
        char *hit = strstr(p, what);
        if ((level == 0 || *p - '0' == level) && hit && hit < end) count++;
    }
    pthread_mutex_unlock(&e2e.mu);
    return count;
}

static void e2e_on_ready(vt_server *s, void *ctx) {
    e2e.port = vt_server_port(s, 0);
    if (e2e.user_ready) e2e.user_ready(s, ctx);
    pthread_mutex_lock(&e2e.mu);
    e2e.ready = true;
    e2e.ready_calls++;
    pthread_cond_broadcast(&e2e.cond);
    pthread_mutex_unlock(&e2e.mu);
}

static void *e2e_main(void *arg) {
    int r = vt_server_run(arg);
    pthread_mutex_lock(&e2e.mu);
    e2e.result = r;
    e2e.done = true;
    pthread_cond_broadcast(&e2e.cond);
    pthread_mutex_unlock(&e2e.mu);
    return NULL;
}

/* Waits until vt_server_run has returned; its result. It does not stop the server. */
static int e2e_join(void) {
    struct timespec ts;
    int err = 0;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += 2 * E2E_MS / 1000;
    pthread_mutex_lock(&e2e.mu);
    while (!e2e.done && err == 0) err = pthread_cond_timedwait(&e2e.cond, &e2e.mu, &ts);
    pthread_mutex_unlock(&e2e.mu);
    if (!e2e.done) { /* nothing after this could be trusted */
        printf("FAIL %s: the server does not stop\n%s", test_name, e2e.log);
        fflush(stdout);
        _exit(1);
    }
    pthread_join(e2e.thread, NULL);
    vt_server_free(e2e.s);
    e2e.running = false;
    return e2e.result;
}

#if E2E_H2 || E2E_H3
static void shim_leave(void);
#endif
static int e2e_stop(void) {
    if (!e2e.running) return 0;
#if E2E_H2 || E2E_H3
    shim_leave();
#endif
    vt_server_stop(e2e.s);
    return e2e_join();
}

/* Where a server listens, and what it speaks there, unless it is said. */
static void e2e_address(vt_server_cfg *c) {
    if (!c->addr && !c->host) c->host = "127.0.0.1";
    if (!c->addr && !c->port) c->port = VT_NONE;
    if (!c->workers) c->workers = E2E_WORKERS;
#if E2E_TLS
    c->ssl_only = 1;
    c->ssl_port = c->port;
    c->ssl_cert = pem_file("127.0.0.1");
    c->ssl_ktls = E2E_KTLS;
#endif
    if (E2E_H3) c->http3 = 1;
}
/* 0 once connections are accepted, or what vt_server_run returned. Port 0, loopback, no signals, E2E_WORKERS unless
 * *cfg says otherwise. */
static int e2e_start(const vt_server_cfg *cfg, void (*routes)(vt_server *s)) {
    vt_server_cfg c = cfg ? *cfg : (vt_server_cfg){0};
    e2e_stop();
    e2e_address(&c);
    c.no_signals = 1;
    e2e.user_ready = c.on_ready;
    c.on_ready = e2e_on_ready;
    e2e.ready = e2e.done = false;
    e2e.port = -1;
    e2e.result = e2e.ready_calls = 0;
    e2e.log_len = 0;
    e2e.log[0] = 0;
    vt_log_set(e2e_log, NULL, VT_LOG_DEBUG);
    e2e.s = vt_server_new(&c);
    if (routes) routes(e2e.s);
    if (pthread_create(&e2e.thread, NULL, e2e_main, e2e.s) != 0) return -EAGAIN;
    e2e.running = true;
    pthread_mutex_lock(&e2e.mu);
    while (!e2e.ready && !e2e.done) pthread_cond_wait(&e2e.cond, &e2e.mu);
    bool failed = e2e.done && !e2e.ready;
    pthread_mutex_unlock(&e2e.mu);
    return failed ? e2e_join() : 0;
}

/* ---- the client ---- */
struct cl {
    int fd;
    void *tls; /* an SSL */
    struct shim *shim;
    bool eof, reset; /* what ended the input */
    char *in;        /* received, not consumed */
    size_t in_len, in_cap;
    /* the last response */
    char *head, *body, *trailers; /* NUL-terminated */
    size_t body_len;
    bool chunked, has_length, truncated, by_close;
    int64_t length;
    char value[4096];
};
#define CL(name) struct cl name __attribute__((cleanup(cl_close))) = {.fd = -1}

/* As recv and send, through TLS where there is some. */
#if E2E_H3 /* has no stream of bytes */
#elif E2E_TLS
/* A test may send by one thread and receive by another, and an SSL object bears one at a time: each call is short, for the
 * sockets do not block. */
static pthread_mutex_t cl_tls_mu = PTHREAD_MUTEX_INITIALIZER;
static ssize_t cl_raw_in(struct cl *c, void *p, size_t n) {
    if (!c->tls) return recv(c->fd, p, n, 0);
    pthread_mutex_lock(&cl_tls_mu);
    ssize_t r = tls_in(c->tls, p, n);
    pthread_mutex_unlock(&cl_tls_mu);
    return r;
}
static ssize_t cl_raw_out(struct cl *c, const void *p, size_t n) {
    if (!c->tls) return send(c->fd, p, n, MSG_NOSIGNAL);
    pthread_mutex_lock(&cl_tls_mu);
    ssize_t r = tls_out(c->tls, p, n);
    pthread_mutex_unlock(&cl_tls_mu);
    return r;
}
#else
static ssize_t cl_raw_in(struct cl *c, void *p, size_t n) { return recv(c->fd, p, n, 0); }
static ssize_t cl_raw_out(struct cl *c, const void *p, size_t n) { return send(c->fd, p, n, MSG_NOSIGNAL); }
#endif
/* HTTP1 is for what only HTTP/1.1 has: its syntax, its connections. */
#if E2E_H2 || E2E_H3
#if E2E_H3
#include "h3shim.h"
#else
#include "h2shim.h"
#endif
#define HTTP1 false
#define HTTP1_TEST(name) static __attribute__((unused)) void http1_##name(void)
#if E2E_H3
#define CL_SOCKET(c) ((c)->shim->h.udp.fd)
#else
#define CL_SOCKET(c) ((c)->fd)
#endif
static ssize_t cl_in(struct cl *c, void *p, size_t n) { return shim_in(c, p, n); }
static ssize_t cl_out(struct cl *c, const void *p, size_t n) { return shim_out(c, p, n); }
/* The server has said that it takes no more requests, by GOAWAY. */
static __attribute__((unused)) bool cl_away(struct cl *c) { return c->shim->away; }
#else
#define HTTP1 true
#define CL_SOCKET(c) ((c)->fd)
#define HTTP1_TEST(name) TEST(name)
static ssize_t cl_in(struct cl *c, void *p, size_t n) { return cl_raw_in(c, p, n); }
static ssize_t cl_out(struct cl *c, const void *p, size_t n) { return cl_raw_out(c, p, n); }
static __attribute__((unused)) bool cl_away(struct cl *c) { return (void)c, false; }
#endif

static void cl_close(struct cl *c) {
#if E2E_TLS
    SSL_free(c->tls);
#endif
#if E2E_H2 || E2E_H3
    shim_close(c->shim);
#endif
    if (c->fd >= 0) close(c->fd);
    free(c->in);
    free(c->head);
    free(c->body);
    free(c->trailers);
    memset(c, 0, sizeof *c);
    c->fd = -1;
}

/* Closes so that the peer gets RST. */
static __attribute__((unused)) void cl_reset(struct cl *c) {
    struct linger lg = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg);
    cl_close(c);
}

static __attribute__((unused)) bool cl_fd_take(struct cl *c, int fd) {
    cl_close(c);
    c->fd = fd;
    return fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

/* What a client says first. */
static __attribute__((unused)) bool cl_begin(struct cl *c) {
#if E2E_H2 || E2E_H3
    return shim_open(c);
#else
    return c->fd >= 0;
#endif
}
/* Connects to 127.0.0.1, with a receive buffer of `rcvbuf` bytes (0: the system's). */
static bool cl_open_to(struct cl *c, int port, int rcvbuf) {
#if E2E_H3
    (void)port, (void)rcvbuf;
    cl_close(c);
    return shim_open(c);
#else
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && rcvbuf) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
        if (fd >= 0) close(fd);
        return false;
    }
    if (!cl_fd_take(c, fd)) return false;
#if E2E_TLS && E2E_H2
    tls_alpn = "\2h2";
#endif
#if E2E_TLS
    if ((c->tls = tls_connect(fd, E2E_MS)) == NULL) return false;
#endif
    return cl_begin(c);
#endif
}
/* Ends the client's sending half. */
static __attribute__((unused)) void cl_shut(struct cl *c) {
#if E2E_TLS
    if (c->tls) SSL_shutdown(c->tls);
#endif
    shutdown(c->fd, SHUT_WR);
}
static bool cl_open(struct cl *c) { return cl_open_to(c, e2e.port, 0); }

/* Sends it all, unless the peer stops reading for E2E_MS or is gone. */
static bool cl_send(struct cl *c, const void *p, size_t n) {
    const char *s = p;
    while (n > 0) {
        ssize_t r = cl_out(c, s, n);
        if (r > 0) {
            s += r;
            n -= (size_t)r;
            continue;
        }
        if (r < 0 && errno != EAGAIN && errno != EINTR) return false;
        struct pollfd p1 = {.fd = c->fd, .events = POLLOUT};
        if (poll(&p1, 1, E2E_MS) == 0) return false;
    }
    return true;
}
static bool cl_puts(struct cl *c, const char *s) { return cl_send(c, s, strlen(s)); }

static __attribute__((unused, format(printf, 2, 3))) bool cl_printf(struct cl *c, const char *fmt, ...) {
    char buf[8192];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    return n >= 0 && (size_t)n < sizeof buf && cl_send(c, buf, (size_t)n);
}

/* Reads what is there within `ms`: > 0 bytes added to c->in, 0 end (see c->reset), -1 nothing came. */
static int cl_more(struct cl *c, int64_t ms) {
    int64_t until = e2e_now_ms() + ms;
    if (c->eof) return 0;
    if (c->in_cap - c->in_len < 65536) {
        size_t cap = c->in_cap * 2 + 65537;
        char *p = realloc(c->in, cap);
        if (!p) return -1;
        c->in = p;
        c->in_cap = cap;
    }
    for (;;) {
        ssize_t r = cl_in(c, c->in + c->in_len, c->in_cap - c->in_len - 1);
        if (r > 0) {
            c->in_len += (size_t)r;
            c->in[c->in_len] = 0;
            return (int)r;
        }
        if (r == 0 || (errno != EAGAIN && errno != EINTR)) {
            c->eof = true;
            c->reset = r < 0;
            return 0;
        }
        int64_t left = until - e2e_now_ms(), nap = HTTP1 ? left : 10; /* who sends may have taken it in */
        struct pollfd p1 = {.fd = c->fd, .events = POLLIN};
        if (left < 0 || (poll(&p1, 1, (int)VT__MIN(left, nap)) == 0 && HTTP1)) return -1;
    }
}

static void cl_consume(struct cl *c, size_t n) {
    c->in_len -= n;
    memmove(c->in, c->in + n, c->in_len);
    c->in[c->in_len] = 0;
}

/* Bytes of c->in up to the end of the first `mark`, 0 when it does not come. */
static size_t cl_until(struct cl *c, const char *mark) {
    size_t from = 0, n = strlen(mark);
    int64_t until = e2e_now_ms() + E2E_MS;
    for (;;) {
        for (; from + n <= c->in_len; from++)
            if (memcmp(c->in + from, mark, n) == 0) return from + n;
        if (e2e_now_ms() > until || cl_more(c, E2E_MS) <= 0) return 0;
    }
}

/* True once `n` bytes stand in c->in. */
static bool cl_want(struct cl *c, size_t n) {
    int64_t until = e2e_now_ms() + 3 * E2E_MS;
    while (c->in_len < n)
        if (e2e_now_ms() > until || cl_more(c, E2E_MS) <= 0) return false;
    return true;
}

/* True if the server closes within `ms` and sends nothing before. */
static __attribute__((unused)) bool cl_closed(struct cl *c, int64_t ms) {
    return c->in_len == 0 && cl_more(c, ms) == 0;
}
/* True if nothing comes for `ms`, no end either. */
static __attribute__((unused)) bool cl_silent(struct cl *c, int64_t ms) {
    return c->in_len == 0 && cl_more(c, ms) < 0;
}

/* The i-th field of the last response, trimmed, in a buffer that the next call reuses; NULL without. */
static const char *cl_field_at(struct cl *c, const char *name, int i) {
    size_t n = strlen(name);
    for (char *line = c->head; line && (line = strstr(line, "\r\n")) != NULL;) {
        line += 2;
        if (strncasecmp(line, name, n) != 0 || line[n] != ':' || i-- > 0) continue;
        const char *v = line + n + 1, *end = strstr(v, "\r\n");
        while (*v == ' ') v++;
        snprintf(c->value, sizeof c->value, "%.*s", (int)(end - v), v);
        return c->value;
    }
    return NULL;
}
static const char *cl_field(struct cl *c, const char *name) { return cl_field_at(c, name, 0); }
static __attribute__((unused)) int cl_fields(struct cl *c, const char *name) {
    int n = 0;
    while (cl_field_at(c, name, n)) n++;
    return n;
}

static bool cl_body_add(struct cl *c, size_t n) {
    char *p = realloc(c->body, c->body_len + n + 1);
    if (!p) return false;
    c->body = p;
    memcpy(p + c->body_len, c->in, n);
    c->body_len += n;
    p[c->body_len] = 0;
    cl_consume(c, n);
    return true;
}

/* Strict: anything but size CRLF data CRLF ... is malformed. 0, or -1. */
static int cl_body_chunked(struct cl *c) {
    for (;;) {
        size_t n = cl_until(c, "\r\n");
        char *end;
        if (n == 0) return c->truncated = true, 0;
        if (!isxdigit((unsigned char)c->in[0])) return -1;
        size_t size = strtoul(c->in, &end, 16);
        if (end != c->in + n - 2) return -1;
        cl_consume(c, n);
        if (size == 0) break;
        if (!cl_want(c, size + 2)) {
            c->truncated = true;
            return cl_body_add(c, c->in_len) ? 0 : -1;
        }
        if (!cl_body_add(c, size) || memcmp(c->in, "\r\n", 2) != 0) return -1;
        cl_consume(c, 2);
    }
    size_t n = cl_until(c, "\r\n"), all = 0;
    while (n > 2) { /* trailer fields, to the empty line */
        char *p = realloc(c->trailers, all + n + 1);
        if (!p) return -1;
        c->trailers = p;
        memcpy(p + all, c->in, n);
        p[all += n] = 0;
        cl_consume(c, n);
        n = cl_until(c, "\r\n");
    }
    if (n == 2) cl_consume(c, 2);
    c->truncated = n != 2;
    return 0;
}

static int cl_body(struct cl *c) {
    if (c->chunked) return cl_body_chunked(c);
    if (c->has_length) {
        c->truncated = !cl_want(c, (size_t)c->length);
        return cl_body_add(c, c->truncated ? c->in_len : (size_t)c->length) ? 0 : -1;
    }
    c->by_close = true;
    while (cl_more(c, E2E_MS) > 0) continue;
    if (!c->eof || c->reset) c->truncated = true;
    return cl_body_add(c, c->in_len) ? 0 : -1;
}

/* The next response; 1xx, 204 and 304 have no body. Its status; 0 the connection ended (or was reset) before a byte of
 * it, -1 nothing came in time, -2 malformed or cut in its head. */
static int cl_response_to(struct cl *c, bool head_request) {
    free(c->head);
    free(c->body);
    free(c->trailers);
    c->head = c->trailers = NULL;
    c->body = calloc(1, 1);
    c->body_len = 0;
    c->length = -1;
    c->chunked = c->has_length = c->truncated = c->by_close = false;
    size_t n = cl_until(c, "\r\n\r\n");
    if (n == 0) return c->in_len ? -2 : c->eof ? 0 : -1;
    c->head = calloc(1, n + 1);
    if (!c->head || !c->body) return -2;
    memcpy(c->head, c->in, n);
    cl_consume(c, n);
    int status = 0;
    if (sscanf(c->head, "HTTP/1.1 %3d", &status) != 1 || c->head[12] != ' ') return -2;
    const char *v = cl_field(c, "content-length");
    if (v) {
        c->has_length = true;
        c->length = strtoll(v, NULL, 10);
        if (c->length < 0 || !isdigit((unsigned char)*v) || cl_field_at(c, "content-length", 1)) return -2;
    }
    v = cl_field(c, "transfer-encoding");
    if (v) {
        c->chunked = true;
        if (strcmp(v, "chunked") != 0 || c->has_length) return -2;
    }
    if (head_request || status < 200 || status == 204 || status == 304) return status;
    return cl_body(c) < 0 ? -2 : status;
}
static int cl_response(struct cl *c) { return cl_response_to(c, false); }

/* Sends on a new connection and reads one response. */
static __attribute__((unused)) int cl_ask(struct cl *c, const char *request) {
    if (!cl_open(c)) return -1;
    cl_puts(c, request); /* a refusal may come before all is sent */
    return cl_response(c);
}
/* A GET that keeps the connection. */
static __attribute__((unused)) int cl_get(struct cl *c, const char *target) {
    if (c->fd < 0 && !cl_open(c)) return -1;
    cl_printf(c, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    return cl_response(c);
}
#endif
