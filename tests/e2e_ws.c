/* WebSockets over real sockets: behaviours 23, 119 to 134, 136, and what else the handlers' side promises. With WS_H2 over
 * HTTP/2 (e2e_ws_h2.c). */
/* tsan */
#include "e2e.h"
#include "wsclient.h"

/* What handlers say to the test. */
static struct seen {
    int started, ended, resets, result, code, aux;
    char reason[130];
} seen;
static void seen_reset(void) {
    __atomic_store_n(&seen.started, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&seen.ended, 0, __ATOMIC_SEQ_CST);
    seen.resets = 0;
    __atomic_store_n(&seen.aux, 0, __ATOMIC_SEQ_CST);
}
static int load(const int *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static void seen_start(void) { __atomic_add_fetch(&seen.started, 1, __ATOMIC_SEQ_CST); }
static void seen_end(const vt_ws *ws, int result) {
    static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; /* handlers of several workers may end at once */
    pthread_mutex_lock(&mu);
    seen.result = result;
    seen.resets += result == -ECONNRESET;
    seen.code = vt_ws_close_code(ws);
    snprintf(seen.reason, sizeof seen.reason, "%s", vt_ws_close_reason(ws));
    pthread_mutex_unlock(&mu);
    __atomic_add_fetch(&seen.ended, 1, __ATOMIC_SEQ_CST);
}
static bool comes(const int *p, int want) {
    for (int64_t until = e2e_now_ms() + E2E_MS; load(p) < want; e2e_sleep_ms(2))
        if (e2e_now_ms() > until) return false;
    return true;
}

/* ---- handlers ---- */
static int echo(vt_ws *ws, vt_req *req) {
    vt_str m;
    int r;
    (void)req;
    seen_start();
    while ((r = vt_ws_recv(ws, &m)) > 0) {
        if (m.ptr[m.len] != 0) abort(); /* terminated */
        int w = vt_ws_send(ws, r, m.ptr, m.len);
        if (w < 0) r = w;
        if (w < 0) break;
    }
    seen_end(ws, r);
    return r;
}
/* Bytes through a small buffer, in fragments. */
static int echo_streamed(vt_ws *ws, vt_req *req) {
    char buf[1000];
    int type;
    (void)req;
    while ((type = vt_ws_next(ws)) > 0) {
        int64_t n;
        vt_ws_begin(ws, type);
        while ((n = vt_ws_read(ws, buf, sizeof buf)) > 0)
            if (vt_ws_write(ws, buf, (size_t)n) != n) return -1;
        if (n < 0) return (int)n;
        vt_ws_end(ws);
    }
    return type;
}
static int kick(vt_ws *ws, vt_req *req) { /* closes first, then hears the answer */
    vt_str m;
    (void)req;
    seen.aux = vt_ws_close(ws, 1013, "try again later");
    if (seen.aux == 0) seen.aux = vt_ws_send(ws, VT_WS_TEXT, "late", 4);
    int f = vt_ws_flush(ws);
    if (f < 0) seen.aux = f;
    int r = vt_ws_recv(ws, &m);
    seen_end(ws, r);
    return r;
}
static int leave(vt_ws *ws, vt_req *req) {
    vt_str q = vt_req_query(req, "how");
    if (q.ptr && strcmp(q.ptr, "fail") == 0) return -EIO;
    if (q.ptr && strcmp(q.ptr, "long") == 0) {
        char why[200];
        memset(why, 'x', sizeof why);
        memcpy(why + 122, "\xe2\x82\xac", 4);
        return vt_ws_close(ws, 3999, why);
    }
    if (q.ptr && strcmp(q.ptr, "none") == 0) return vt_ws_close(ws, VT_NONE, NULL);
    return vt_ws_text(ws, "bye");
}
static int sleeper(vt_ws *ws, vt_req *req) {
    (void)req;
    seen_start();
    (void)vt_ws_text(ws, "sleeping");
    int r = vt_sleep(1000 * VT_SEC);
    seen_end(ws, r);
    return r;
}
static int flood(vt_ws *ws, vt_req *req) {
    static char block[100000];
    int r = 0;
    (void)req;
    seen_start();
    while (r == 0) r = vt_ws_send(ws, VT_WS_BINARY, block, sizeof block);
    seen_end(ws, r);
    return r;
}
static int context(vt_ws *ws, vt_req *req) {
    vt_str agreed = vt_ws_protocol(ws);
    char text[400];
    int n = snprintf(text, sizeof text, "%s|%s|%s|%s|%s", (const char *)vt_req_ctx(req),
                     vt_req_param(req, "name").ptr, vt_req_query(req, "q").ptr, agreed.ptr,
                     vt_req_field(req, "Host").ptr);
    return vt_ws_send(ws, VT_WS_TEXT, text, (size_t)n);
}
static int by_hand(vt_req *req, vt_res *res) { /* in an ordinary handler, which may well answer otherwise */
    vt_ws *ws;
    vt_str host = vt_req_field(req, "Host"); /* handed out before: stays where it is */
    if (vt_req_query(req, "plain").ptr) return vt_res_text(res, 200, "plain");
    vt_res_field(res, "X-Set", "before");
    vt_ws_cfg cfg = {.protocols = "two, one", .origins = "*", .fields = "X-More: yes\r\nX-And: that\r\n"};
    int r = vt_ws_accept(req, res, &cfg, &ws);
    if (r < 0) return r;
    vt_str m;
    for (r = vt_ws_text(ws, host.ptr); r >= 0 && (r = vt_ws_recv(ws, &m)) > 0;)
        if ((r = vt_ws_send(ws, r, m.ptr, m.len)) == 0) r = vt_ws_text(ws, host.ptr);
    return r;
}
static int refuse_evil(vt_req *req, vt_str origin) {
    (void)req;
    return origin.ptr && strstr(origin.ptr, "evil") ? VT_EFORBIDDEN : 0;
}
/* Several senders, on all workers, of numbered messages, one of them in fragments. */
enum { SENDERS = 8, EACH = 200 };
static struct sending {
    vt_ws *ws;
    int id;
} sending[SENDERS];
static int sender(void *arg) {
    struct sending *s = arg;
    for (int i = 0; i < EACH; i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "%d %d", s->id, i), r = 0;
        if (s->id == 0) {
            if ((r = vt_ws_begin(s->ws, VT_WS_TEXT)) < 0) return r;
            for (int k = 0; k < n && r >= 0; k++) r = (int)vt_ws_write(s->ws, text + k, 1);
            if (r >= 0) r = vt_ws_end(s->ws);
        } else {
            r = vt_ws_send(s->ws, VT_WS_TEXT, text, (size_t)n);
        }
        if (r < 0) return r;
    }
    return 0;
}
static int many(vt_ws *ws, vt_req *req) {
    vt_scope *sc = vt_req_scope(req);
    vt_str m;
    for (int i = 0; i < SENDERS; i++) {
        sending[i] = (struct sending){ws, i};
        int r = vt_scope_go_any(sc, sender, &sending[i]);
        if (r < 0) return r;
    }
    int r;
    while ((r = vt_ws_recv(ws, &m)) > 0)
        if ((r = vt_ws_send(ws, r, m.ptr, m.len)) < 0) break;
    return r < 0 ? r : vt_scope_wait(sc);
}
static int reader(void *arg) {
    struct sending *s = arg;
    vt_str m;
    int r;
    while ((r = vt_ws_recv(s->ws, &m)) > 0)
        if (vt_ws_send(s->ws, r, m.ptr, m.len) < 0) break;
    seen.aux = r;
    return r;
}
static int read_by_child(vt_ws *ws, vt_req *req) {
    struct sending s = {ws, 0};
    vt_str m;
    int r = vt_scope_go(vt_req_scope(req), reader, &s);
    if (r == 0) r = vt_sleep_ms(20);
    if (r == 0 && vt_ws_recv(ws, &m) != -EBUSY) r = VT_ESTATE;
    if (r == 0) r = vt_scope_wait(vt_req_scope(req));
    seen_end(ws, r);
    return r;
}
static int slow_start(vt_ws *ws, vt_req *req) { /* recv_until loses nothing */
    vt_str m;
    int r, late = 0;
    (void)req;
    do
        while ((r = vt_ws_recv_until(ws, &m, vt_now() + 5 * VT_MS)) == -ETIMEDOUT)
            __atomic_store_n(&seen.aux, ++late, __ATOMIC_SEQ_CST);
    while (r > 0 && (r = vt_ws_send(ws, r, m.ptr, m.len)) == 0);
    seen_end(ws, r);
    return r;
}
/* Computes once it has sent, until the client has got it. */
static int flushes(vt_ws *ws, vt_req *req) {
    (void)req;
    int r = vt_ws_text(ws, "flushed");
    if (r == 0) r = vt_ws_flush(ws);
    for (int64_t until = vt_now() + E2E_MS * VT_MS; !load(&seen.aux) && vt_now() < until;) continue;
    seen_end(ws, r);
    return r;
}
/* A send of the handler's is not lost when it waits for something else. */
static int waits(vt_ws *ws, vt_req *req) {
    (void)req;
    int r = vt_ws_text(ws, "before the wait");
    if (r == 0) r = vt_sleep_ms(300);
    return r < 0 ? r : vt_ws_text(ws, "after");
}
/* One message that the client takes its time to read, from another vthread, and meanwhile the handler receives. */
static int large(void *arg) {
    size_t n = 8 << 20;
    char *p = calloc(1, n);
    int r = p ? vt_ws_send(arg, VT_WS_BINARY, p, n) : -ENOMEM;
    free(p);
    return r;
}
static int receives_meanwhile(vt_ws *ws, vt_req *req) {
    vt_str m;
    int r = vt_scope_go_any(vt_req_scope(req), large, ws);
    while (r >= 0 && (r = vt_ws_recv(ws, &m)) > 0) seen_start();
    return r;
}
/* Sends, and never receives. */
static int ticks(vt_ws *ws, vt_req *req) {
    int r;
    (void)req;
    while ((r = vt_ws_text(ws, "tick")) == 0 && (r = vt_sleep_ms(20)) == 0) continue;
    seen_end(ws, r);
    return r;
}
/* Receives nothing until it may, and then a hundred. */
static int slow_goes_on;
static int slow(vt_ws *ws, vt_req *req) {
    int r, n = 0;
    vt_str m;
    (void)req;
    seen_start();
    while ((r = vt_sleep_ms(5)) == 0 && !load(&slow_goes_on)) continue;
    while (r == 0 && n < 100 && (r = vt_ws_recv(ws, &m)) > 0)
        if (m.ptr[0] == n) r = 0, n++;
    if (r == 0) r = vt_ws_text(ws, n == 100 ? "100 in order" : "other ones");
    return r < 0 ? r : vt_ws_recv(ws, &m);
}
static int within(vt_ws *ws, vt_req *req) {
    (void)req;
    int r = vt_ws_text(ws, "whole"); /* so that it has the lock */
    if (r == 0) r = vt_ws_begin(ws, VT_WS_TEXT);
    if (r == 0 && vt_ws_write(ws, "in ", 3) == 3) seen.aux = vt_ws_text(ws, "no");
    if (r == 0 && vt_ws_write(ws, "parts", 5) == 5) r = vt_ws_end(ws);
    if (r == 0) r = vt_ws_text(ws, "again");
    seen_end(ws, r);
    return r;
}
/* Never parks, and has sent something before it is to stop. */
static int never_parks(vt_ws *ws, vt_req *req) {
    (void)req;
    int r = vt_ws_text(ws, "one");
    seen_start();
    while (vt_cancelled() == 0) (void)vt_yield();
    if (r == 0) r = vt_ws_text(ws, "two");
    seen_end(ws, r);
    return r;
}
/* Has sent, and then lets another, on any worker, send before it parks. */
static int other_sends(void *arg) {
    int r = vt_ws_text(arg, "the other's");
    __atomic_store_n(&seen.aux, 1, __ATOMIC_SEQ_CST);
    return r;
}
static int flush_lets_go(vt_ws *ws, vt_req *req) {
    int r = vt_ws_text(ws, "mine");
    if (r == 0) r = vt_ws_flush(ws);
    if (r == 0) r = vt_scope_go(vt_req_scope(req), other_sends, ws);
    for (int64_t until = vt_now() + E2E_MS * VT_MS; r == 0 && !load(&seen.aux) && vt_now() < until;)
        r = vt_yield();
    seen_end(ws, load(&seen.aux));
    return r < 0 ? r : vt_scope_wait(vt_req_scope(req));
}
/* Keeps its OS thread until the test says so. */
static int blocker(vt_ws *ws, vt_req *req) {
    (void)req;
    int r = vt_ws_flush(ws); /* the client is to know that it is there */
    seen_start();
    while (!load(&seen.aux)) poll(NULL, 0, 1);
    return r;
}
/* Another sends, whose patience ends within a frame; the handler waits for a client that says nothing. */
static int impatient(void *arg) {
    static const char block[100000];
    int r = 0;
    while (r == 0) r = vt_ws_send_until(arg, VT_WS_BINARY, block, sizeof block, vt_now() + 20 * VT_MS);
    __atomic_store_n(&seen.aux, r, __ATOMIC_SEQ_CST);
    return 0;
}
static int waits_for_words(vt_ws *ws, vt_req *req) {
    vt_str m;
    int r = vt_scope_go_any(vt_req_scope(req), impatient, ws);
    if (r == 0) r = vt_ws_recv(ws, &m);
    seen_end(ws, r);
    return r;
}
/* Another closes while the handler receives. */
static int closes_soon(void *arg) {
    int r = vt_sleep_ms(50);
    return r < 0 ? r : vt_ws_close(arg, 0, NULL);
}
static int closed_by_another(vt_ws *ws, vt_req *req) {
    vt_str m;
    int r = vt_scope_go_any(vt_req_scope(req), closes_soon, ws);
    if (r == 0) r = vt_ws_recv(ws, &m);
    seen_end(ws, r);
    return r;
}
/* The NUL behind each message stands in its block. */
static int at_the_edge(vt_ws *ws, vt_req *req) {
    vt_str m;
    int r;
    (void)req;
    while ((r = vt_ws_recv(ws, &m)) > 0) {
        seen_start();
        if (ws->end && ws->end >= ws->io.in.p + ws->io.in.cap) seen.aux = 1;
    }
    seen_end(ws, r);
    return r;
}
static void routes(vt_server *s) {
    static const vt_ws_cfg big = {.max_message = 32 << 20, .ping_ms = VT_NONE},
                           small = {.max_message = 1000, .max_frame = 500}, tiny = {.max_message = 50},
                           ping = {.ping_ms = 50, .pong_ms = 1000, .close_ms = 300},
                           proto = {.protocols = "v2.x, v1.x", .close_ms = 300},
                           evil = {.origin = refuse_evil},
                           list = {.origins = "https://a.b,, http://c.d:8080"}, brief = {.close_ms = 300},
                           quiet = {.close_ms = 300, .ping_ms = VT_NONE};
    vt_server_ws(s, "/echo", echo, NULL);
    vt_server_ws(s, "/big", echo, &big);
    vt_server_ws(s, "/small", echo, &small);
    vt_server_ws(s, "/tiny", echo, &tiny);
    vt_server_ws(s, "/ping", echo, &ping);
    vt_server_ws(s, "/streamed", echo_streamed, &big);
    vt_server_ws(s, "/kick", kick, NULL);
    vt_server_ws(s, "/leave", leave, &brief);
    vt_server_ws(s, "/sleeper", sleeper, NULL);
    vt_server_ws(s, "/flood", flood, NULL);
    vt_server_ws(s, "/ctx/{name}", context, &proto);
    vt_server_ws(s, "/evil", echo, &evil);
    vt_server_ws(s, "/list", echo, &list);
    vt_server_ws(s, "/many", many, NULL);
    vt_server_ws(s, "/blocker", blocker, NULL);
    vt_server_ws(s, "/child", read_by_child, NULL);
    vt_server_ws(s, "/until", slow_start, NULL);
    vt_server_ws(s, "/flushes", flushes, &brief);
    vt_server_ws(s, "/meanwhile", receives_meanwhile, NULL);
    vt_server_ws(s, "/waits", waits, &brief);
    vt_server_ws(s, "/ticks", ticks, NULL);
    vt_server_ws(s, "/within", within, NULL);
    vt_server_ws(s, "/slow", slow, NULL);
    vt_server_ws(s, "/torn", waits_for_words, &big); /* which is not pinged */
    vt_server_ws(s, "/yields", never_parks, NULL);
    vt_server_ws(s, "/lets_go", flush_lets_go, NULL);
    vt_server_ws(s, "/closed", closed_by_another, &quiet);
    vt_server_ws(s, "/edge", at_the_edge, &brief);
    vt_server_get(s, "/hand", by_hand);
}
static bool begin(void) {
    static char ctx[] = "the server's";
    vt_server_cfg cfg = {.ctx = ctx, .grace_ms = 15000};
    seen_reset();
    return e2e_start(&cfg, routes) == 0;
}
/* A parting as it should be: 1000, the same back, the end. */
static bool part(struct wc *c) { return ws_bye(c, 1000, "") && ws_is_bye(c, 1000, "") && ws_ends(c); }

/* ---- the handshake ---- */
#if !WS_H2
TEST(b119_handshake) {
    CL(c);
    REQUIRE(begin());
    REQUIRE(cl_open(&c));
    CHECK_EQ(ws_shake(&c, "/echo",
                      "Content-Type: text/plain\r\nContent-Length: 0\r\nX-Odd: \r\n"
                      "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"),
             101);
    CHECK(strstr(c.head, "\r\nSec-WebSocket-Accept: " WS_ACCEPT "\r\n") != NULL);
    CHECK(strstr(c.head, "\r\nUpgrade: websocket\r\n") != NULL);
    CHECK(strstr(c.head, "\r\nConnection: Upgrade\r\n") != NULL);
    CHECK(strcasestr(c.head, "content-length") == NULL && strcasestr(c.head, "protocol:") == NULL &&
          strcasestr(c.head, "extensions:") == NULL);
    CHECK(ws_text(&c, "hi") && ws_is_text(&c, "hi") && part(&c));
    CL(d);
    REQUIRE(cl_open(&d));
    CHECK(cl_puts(&d, "GET /nowhere HTTP/1.1\r\nHost: a\r\n" WS_FIELDS "\r\n"));
    CHECK_EQ(cl_response(&d), 404);
    CHECK(cl_puts(
        &d, "GET /echo HTTP/1.1\r\nHost: a\r\nconnection: keep-alive, UPGRADE\r\nupgrade: h2c, WEBSOCKET\r\n"
            "sec-websocket-version: 13\r\nsec-websocket-key: " WS_KEY "\r\n\r\n\x81\x80....\x88\x80...."));
    while (!memmem(d.in, d.in_len, "\r\n\r\n", 4)) REQUIRE(cl_more(&d, E2E_MS) > 0);
    CHECK(memcmp(d.in, "HTTP/1.1 101 ", 13) == 0);
    d.in_len = 0; /* what came right behind the request was heard */
    CHECK_EQ(e2e_stop(), 0);
    CHECK(comes(&seen.ended, 2));
}
/* request lines and fields -> status; the connection goes on */
static int refused(struct cl *c, const char *line, const char *fields) {
    cl_printf(c, "%s HTTP/1.1\r\nHost: a.example\r\n%s\r\n", line, fields);
    return cl_response(c);
}
#define UP "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: " WS_KEY "\r\n"
TEST(b119_what_is_no_handshake_is_refused) {
    CL(c);
    REQUIRE(begin());
    REQUIRE(cl_open(&c));
    CHECK_EQ(refused(&c, "GET /echo", ""), 426);
    CHECK_STR(cl_field(&c, "upgrade"), "websocket");
    CHECK_STR(cl_field(&c, "sec-websocket-version"), "13");
    CHECK_STR(cl_field(&c, "connection"), "Upgrade");
    CHECK_EQ(refused(&c, "GET /echo", UP KEY "Sec-WebSocket-Version: 8\r\n"), 426);
    CHECK_EQ(refused(&c, "GET /echo", UP KEY), 426);
    CHECK_EQ(refused(&c, "GET /echo", "Connection: Upgrade\r\nUpgrade: h2c\r\n" KEY V13), 426);
    CHECK_EQ(refused(&c, "GET /echo", UP V13), 400);
    CHECK_EQ(refused(&c, "GET /echo", UP V13 "Sec-WebSocket-Key: c2hvcnQ=\r\n"), 400);
    CHECK_EQ(refused(&c, "GET /echo", UP V13 KEY KEY), 400);
    CHECK_EQ(refused(&c, "GET /echo", UP V13 KEY "Sec-WebSocket-Protocol: a,,b\r\n"), 400);
    CHECK_EQ(refused(&c, "POST /echo", UP V13 KEY "Content-Length: 0\r\n"), 405);
    CHECK_EQ(refused(&c, "GET /echo", UP V13 KEY "Transfer-Encoding: chunked\r\n\r\n0\r\n"), 400);
    CHECK_EQ(refused(&c, "GET /echo", UP V13 KEY "Content-Length: 1\r\n\r\n."), 400);
    CHECK_EQ(refused(&c, "GET /hand?plain", UP V13 KEY), 200);
    CHECK_EQ(ws_shake(&c, "/echo", ""), 101); /* and then the real one */
    CHECK(ws_text(&c, "still") && ws_is_text(&c, "still") && part(&c));
    CL(d);
    REQUIRE(cl_open(&d));
    CHECK(cl_puts(&d, "GET /echo HTTP/1.0\r\nHost: a\r\n" UP V13 KEY "\r\n"));
    CHECK_EQ(cl_response(&d), 426);
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, ""), 0);
}
TEST(b119_origins_and_ports) { /* a browser's Origin leaves its scheme's port out, a Host field may name it */
    static const struct {
        const char *host, *origin;
        int status;
    } t[] = {{"a.example:443", "https://a.example", 101}, {"a.example:443", "http://a.example", 403},
             {"a.example:80", "http://A.example", 101},   {"a.example", "https://a.example:443", 101},
             {"a.example:8080", "http://a.example", 403}, {"a.example:8080", "http://a.example:8080", 101},
             {"[::1]:443", "https://[::1]", 101},         {"[::1]", "https://[::2]", 403},
             {"a.example", "https://a.example:", 403},    {"a.example", "https://x@a.example", 403},
             {"a.example", "https://a.example/", 403},    {"a.example", "https://", 403}};
    REQUIRE(begin());
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        CL(c);
        REQUIRE(cl_open(&c));
        CHECK(cl_printf(&c, "GET /echo HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\n" WS_FIELDS "\r\n", t[i].host,
                        t[i].origin));
        CHECK_EQ(cl_response(&c), t[i].status);
    }
    CHECK_EQ(e2e_stop(), 0);
}
#endif
static int from(const char *path, const char *origin) {
    WC(c);
    char line[100];
    snprintf(line, sizeof line, "Origin: %s\r\n", origin);
    return wc_open(&c) ? ws_shake(&c, path, line) : -1;
}
TEST(b119_origins) {
    REQUIRE(begin());
    CHECK_EQ(from("/echo", "http://a.example"), WS_YES);
    CHECK_EQ(from("/echo", "https://A.example"), WS_YES);
    CHECK_EQ(from("/echo", "http://a.example.org"), 403);
    CHECK_EQ(from("/echo", "http://a.example:81"), 403);
    CHECK_EQ(from("/echo", "null"), 403);
    CHECK_EQ(from("/list", "https://a.b"), WS_YES);
    CHECK_EQ(from("/list", "http://c.d:8080"), WS_YES);
    CHECK_EQ(from("/list", "http://a.b"), 403);
    CHECK_EQ(from("/list", ""), 403);
    CHECK_EQ(from("/list", "http://a.example"), 403);
    CHECK_EQ(from("/hand", "http://any.where"), WS_YES);
    CHECK_EQ(from("/evil", "http://good"), WS_YES);
    CHECK_EQ(from("/evil", "http://evil"), 403);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b023_b119_request_and_subprotocol_in_the_handler) {
    WC(c);
    REQUIRE(begin());
    REQUIRE(wc_open(&c));
    CHECK_EQ(ws_shake(&c, "/ctx/a%20b?q=%C3%A9",
                      "Sec-WebSocket-Protocol: v1.x\r\nSec-WebSocket-Protocol: v0, v2.x\r\n"),
             WS_YES);
    CHECK_STR(wc_field(&c, "sec-websocket-protocol"), "v2.x");
    CHECK(ws_is_text(&c, "the server's|a b|\xc3\xa9|v2.x|a.example"));
    CHECK(ws_is_bye(&c, 1000, ""));
    WC(d);
    REQUIRE(wc_open(&d));
    CHECK_EQ(ws_shake(&d, "/hand", "Sec-WebSocket-Protocol: one\r\n"), WS_YES);
    CHECK_STR(wc_field(&d, "x-set"), "before");
    CHECK_STR(wc_field(&d, "x-more"), "yes");
    CHECK_STR(wc_field(&d, "x-and"), "that");
    CHECK_STR(wc_field(&d, "sec-websocket-protocol"), "one");
    CHECK(ws_is_text(&d, "a.example"));
    char long_text[2000];
    memset(long_text, 'x', sizeof long_text);
    for (int i = 0; i < 3; i++) { /* whatever the blocks are used for */
        CHECK(ws_put(&d, 0x81, long_text, sizeof long_text) && ws_is(&d, 0x81, long_text, sizeof long_text));
        CHECK(ws_is_text(&d, "a.example"));
    }
    CHECK(part(&d));
    CHECK_EQ(e2e_stop(), 0);
}
TEST(bad_configurations_are_errors) {
    static const vt_ws_cfg bad[] = {
        {.protocols = "a, a"}, {.protocols = "a b"}, {.fields = "no line"}, {.fields = "A b: c\r\n"}};
    for (int i = 0; i < 5; i++) {
        vt_server *s = vt_server_new(NULL);
        vt_server_ws(s, "/x", i < 4 ? echo : NULL, i < 4 ? &bad[i] : NULL);
        CHECK_EQ(vt_server_error(s), -EINVAL);
        CHECK(strstr(vt_server_error_text(s), "WebSocket route /x") != NULL);
        vt_server_free(s);
    }
}

/* ---- messages ---- */
TEST(b120_text_then_close) {
    WC(c);
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/echo"));
    CHECK(ws_text(&c, "one") && ws_bye(&c, 1000, "done"));
    CHECK(ws_is_text(&c, "one") && ws_is_bye(&c, 1000, "done") && ws_ends(&c));
    CHECK(comes(&seen.ended, 1));
    CHECK_EQ(seen.result, 0);
    CHECK_EQ(seen.code, 1000);
    CHECK_STR(seen.reason, "done");
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b121_b122_lengths) {
    static char body[70000];
    static const size_t sizes[] = {0,     1,     2,     124,   125,   126,   127,   4095,  4096, 4097,
                                   16370, 16376, 16377, 16384, 16385, 49000, 65535, 65536, 70000};
    WC(c);
    REQUIRE(begin());
    for (size_t i = 0; i < sizeof body; i++) body[i] = (char)('a' + i % 26);
    REQUIRE(ws_open(&c, "/echo"));
    for (size_t n = 0; n <= 125; n++) CHECK(ws_put(&c, 0x81, body, n) && ws_is(&c, 0x81, body, n));
    CHECK(ws_put(&c, 0x81, body, 49000) && ws_is(&c, 0x81, body, 49000));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK(ws_put(&c, 0x82, body, sizes[i]) && ws_is(&c, 0x82, body, sizes[i]));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK(ws_put(&c, 0x82, body, sizes[i])); /* at once */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) CHECK(ws_is(&c, 0x82, body, sizes[i]));
    CHECK(part(&c));
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b122_20_mib) {
    size_t n = 20 << 20;
    char *body = malloc(n);
    WC(c);
    REQUIRE(body && begin());
    for (size_t i = 0; i < n; i++) body[i] = (char)(i * 7 + (i >> 9));
    REQUIRE(ws_open(&c, "/big"));
    CHECK(ws_put(&c, 0x82, body, n) && ws_is(&c, 0x82, body, n) && part(&c));
    WC(d);
    REQUIRE(ws_open(&d, "/streamed"));
    CHECK(ws_put(&d, 0x82, body, 300000));
    size_t got = 0;
    for (struct wsf f = {0}; !(f.first & 0x80);) {
        REQUIRE(ws_get(&d, &f) == 1 && f.first == (unsigned)(got ? f.n ? 0x00 : 0x80 : 0x02));
        CHECK(f.n <= 1000 && memcmp(f.p, body + got, f.n) == 0);
        got += f.n;
    }
    CHECK_EQ(got, 300000);
    CHECK(part(&d));
    free(body);
    CHECK_EQ(e2e_stop(), 0);
}
static struct wc *feeder_cl;
enum { FRAMES = 100000, BATCH = 1000 };
static void *feeder(void *arg) {
    static uint8_t b[BATCH * 20];
    (void)arg;
    for (int i = 0; i < FRAMES; i += BATCH) {
        size_t n = 0;
        for (int k = i; k < i + BATCH; k++) {
            char text[16];
            int len = snprintf(text, sizeof text, "%d", k);
            n += ws_frame(b + n, 0x81, text, (size_t)len);
        }
        if (!wc_send(feeder_cl, b, n)) break;
    }
    return NULL;
}
TEST(b122_100000_small_frames_in_order) {
    WC(c);
    pthread_t t;
    struct wsf f;
    int n = 0;
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/big"));
    feeder_cl = &c; /* it only sends */
    REQUIRE(pthread_create(&t, NULL, feeder, NULL) == 0);
    while (n < FRAMES && ws_get(&c, &f) == 1 && f.first == 0x81 && atoi((char *)f.p) == n) n++;
    pthread_join(t, NULL);
    CHECK_EQ(n, FRAMES);
    CHECK(part(&c));
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b123_pings) {
    WC(c);
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/echo"));
    for (int i = 0; i < 5; i++) {
        char p[20];
        int n = snprintf(p, sizeof p, "ping %d", i);
        CHECK(ws_put(&c, 0x89, p, (size_t)n) && ws_is(&c, 0x8a, p, (size_t)n));
    }
    CHECK(ws_put(&c, 0x01, "frag", 4) && ws_put(&c, 0x89, "within", 6) && ws_put(&c, 0x00, "men", 3));
    CHECK(ws_is(&c, 0x8a, "within", 6));
    CHECK(ws_put(&c, 0x8a, "unasked", 7) && ws_put(&c, 0x80, "ted", 3) && ws_is_text(&c, "fragmented"));
    CHECK(part(&c));
    WC(d);
    REQUIRE(ws_open(&d, "/ping"));
    for (int i = 0; i < 3; i++) CHECK(ws_is(&d, 0x89, "", 0) && ws_put(&d, 0x8a, "", 0));
    CHECK(ws_text(&d, "x"));
    struct wsf f;
    int r;
    while ((r = ws_get(&d, &f)) == 1 && f.first == 0x89) CHECK(ws_put(&d, 0x8a, "", 0));
    CHECK(r == 1 && f.first == 0x81);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b124_no_pong) {
    WC(c);
    REQUIRE(begin());
    int64_t from_ms = e2e_now_ms();
    REQUIRE(ws_open(&c, "/ping"));
    CHECK(ws_is(&c, 0x89, "", 0));
    CHECK(ws_is_bye(&c, 1011, "no pong in time") && ws_ends(&c));
    CHECK(e2e_now_ms() - from_ms >= 1049);
    CHECK(comes(&seen.ended, 1));
    CHECK_EQ(seen.result, VT_EWSPONG);
    CHECK_EQ(seen.code, 1006);
    wc_close(&c);
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, ""), 0);
}
TEST(b125_server_closes_first) {
    WC(c);
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/kick"));
    CHECK(ws_is_bye(&c, 1013, "try again later"));
    CHECK(ws_text(&c, "crossed")); /* on its way already: the handler gets it */
    CHECK(comes(&seen.ended, 1));
    CHECK_EQ(seen.aux, VT_EWSCLOSED);
    CHECK_EQ(seen.result, VT_WS_TEXT);
    CHECK(ws_bye(&c, 1013, "") && ws_ends(&c));
    WC(d);
    REQUIRE(ws_open(&d, "/kick"));
    CHECK(ws_is_bye(&d, 1013, NULL) && ws_bye(&d, 4000, "as you like") && ws_ends(&d));
    CHECK(comes(&seen.ended, 2));
    CHECK_EQ(seen.result, 0);
    CHECK_EQ(seen.code, 4000);
    CHECK_STR(seen.reason, "as you like");
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b126_client_closes_first) {
    WC(c);
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/echo"));
    CHECK(ws_bye(&c, 3001, "enough") && ws_is_bye(&c, 3001, "enough") && ws_ends(&c));
    WC(d);
    REQUIRE(ws_open(&d, "/echo"));
    CHECK(ws_put(&d, 0x88, "", 0) && ws_is_bye(&d, 1005, NULL) && ws_ends(&d));
    CHECK(comes(&seen.ended, 2));
    CHECK_EQ(seen.code, 1005);
    WC(e);
    REQUIRE(ws_open(&e, "/flood"));
    CHECK(ws_bye(&e, 1000, "")); /* nobody receives there: the flood goes on until the end */
    wc_reset(&e);
    CHECK(comes(&seen.ended, 3));
    CHECK(seen.result < 0);
    CHECK_EQ(e2e_stop(), 0);
}
/* The next frame that is no message of this text. */
static int ws_get_but(struct wc *c, struct wsf *f, const char *text) {
    int r;
    while ((r = ws_get(c, f)) == 1 && f->first == 0x81 && strcmp((const char *)f->p, text) == 0) continue;
    return r;
}
TEST(b123_b126_a_handler_that_only_sends) {
    WC(c);
    struct wsf f;
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/ticks"));
    CHECK(ws_is_text(&c, "tick"));
    CHECK(ws_put(&c, 0x89, "there?", 6));
    CHECK(ws_get_but(&c, &f, "tick") == 1 && f.first == 0x8a && strcmp((const char *)f.p, "there?") == 0);
    CHECK(ws_bye(&c, 4001, "enough"));
    CHECK(ws_get_but(&c, &f, "tick") == 1 && f.first == 0x88 && f.n == 8 &&
          memcmp(f.p,
                 "\x0f\xa1"
                 "enough",
                 8) == 0);
    CHECK(ws_ends(&c) && comes(&seen.ended, 1));
    CHECK_EQ(seen.result, VT_EWSCLOSED);
    CHECK_EQ(seen.code, 4001);
    CHECK_STR(seen.reason, "enough");
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, ""), 0);
}
TEST(b126_close_codes_of_every_class) {
    static const int good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                               1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999},
                     bad[] = {0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535};
    REQUIRE(begin());
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        WC(c);
        int before = load(&seen.ended);
        REQUIRE(ws_open(&c, "/echo"));
        CHECK(ws_bye(&c, good[i], "why") && ws_is_bye(&c, good[i], "why") && ws_ends(&c));
        CHECK(comes(&seen.ended, before + 1));
        CHECK_EQ(seen.code, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        WC(c);
        REQUIRE(ws_open(&c, "/echo"));
        CHECK(ws_bye(&c, bad[i], "why") && ws_is_bye(&c, 1002, "close code that nobody may send") &&
              ws_ends(&c));
    }
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b127_disconnects) {
    static const char *const paths[] = {"/echo", "/flood", "/sleeper"};
    REQUIRE(begin());
    for (int i = 0; i < 6; i++) {
        WC(c);
        REQUIRE(ws_open(&c, paths[i / 2]));
        REQUIRE(comes(&seen.started, i + 1));
        if (i >= 4) CHECK(ws_is_text(&c, "sleeping")); /* unread, it would make the close a reset */
        int64_t from_ms = e2e_now_ms();
        if (i % 2) wc_reset(&c);
        else wc_close(&c);
        CHECK(comes(&seen.ended, i + 1));
        CHECK(e2e_now_ms() - from_ms < 10000);
        CHECK(seen.result < 0);
        if (i == 0) CHECK(seen.result == VT_EEOF && seen.code == 1006);
        if (i >= 4) CHECK_EQ(seen.result, -ECANCELED);
    }
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, ""), 0);
}
/* They are woken together, and each finds what was there for it, whoever read it: messages, parts of one, the end, an error. */
static void many_at_once(int cancel_on) {
    enum { MANY = 40 };
    vt_server_cfg cfg = {.workers = 1, .cancel_on = cancel_on};
    struct wc c[MANY];
    WC(block);
    uint8_t b[200];
    char text[40];
    seen_reset();
    REQUIRE(e2e_start(&cfg, routes) == 0);
    for (int i = 0; i < MANY; i++) {
        c[i] = (struct wc)WC_NONE;
        REQUIRE(ws_open(&c[i], "/echo"));
    }
    REQUIRE(ws_open(&block, "/blocker"));
    REQUIRE(comes(&seen.started, MANY + 1));
    for (int i = 0; i < MANY; i++) {
        size_t n = ws_frame(b, 0x81, text, (size_t)snprintf(text, sizeof text, "message %d", i));
        if (i % 5 < 4) CHECK(wc_send(&c[i], b, i % 5 == 1 ? n - 3 : n));
        if (i % 5 == 2) CHECK(ws_text(&c[i], "another"));
        if (i % 5 == 3) CHECK(ws_bye(&c[i], 1000, ""));
        if (i % 5 == 4) wc_reset(&c[i]);
    }
    __atomic_store_n(&seen.aux, 1, __ATOMIC_SEQ_CST);
    CHECK(comes(&seen.ended, 2 * MANY / 5));
    if (HTTP1) CHECK_EQ(seen.resets, cancel_on == VT_CANCEL_NEVER ? MANY / 5 : 0);
    for (int i = 0; i < MANY; i++) {
        size_t n = ws_frame(b, 0x81, text, (size_t)snprintf(text, sizeof text, "message %d", i));
        if (i % 5 == 4) continue;
        if (i % 5 == 1) CHECK(wc_send(&c[i], b + n - 3, 3));
        CHECK(ws_is_text(&c[i], text));
        if (i % 5 == 2) CHECK(ws_is_text(&c[i], "another"));
        if (i % 5 == 3) CHECK(ws_is_bye(&c[i], 1000, ""));
        else CHECK(ws_text(&c[i], "still") && ws_is_text(&c[i], "still"));
        wc_close(&c[i]);
    }
    CHECK(comes(&seen.ended, MANY));
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, ""), 0);
}
TEST(b127_what_came_to_many_at_once) { many_at_once(0); }
TEST(b127_what_came_to_many_who_are_not_cancelled) { many_at_once(VT_CANCEL_NEVER); }
TEST(b127_disconnect_within_a_message) {
    WC(c);
    uint8_t b[200];
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/echo"));
    CHECK(wc_send(&c, b, ws_frame(b, 0x81, "never all of it", 15) - 3));
    wc_close(&c);
    CHECK(comes(&seen.ended, 1));
    CHECK_EQ(seen.result, VT_EEOF);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b128_fragments) {
    WC(c);
    static char part1[20000], whole[40001];
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/echo"));
    memset(part1, 'p', sizeof part1);
    memset(whole, 'p', sizeof whole);
    whole[40000] = 'q';
    for (int i = 0; i < 2; i++) {
        CHECK(ws_put(&c, 0x01, "a", 1) && ws_put(&c, 0x00, "", 0) && ws_put(&c, 0x00, "b", 1) &&
              ws_put(&c, 0x80, "", 0));
        CHECK(ws_is_text(&c, "ab"));
    }
    CHECK(ws_put(&c, 0x01, "", 0) && ws_put(&c, 0x80, "", 0) && ws_is_text(&c, ""));
    CHECK(ws_put(&c, 0x02, part1, 20000) && ws_put(&c, 0x00, part1, 20000) && ws_put(&c, 0x80, "q", 1));
    CHECK(ws_is(&c, 0x82, whole, 40001));
    CHECK(part(&c));
    CHECK_EQ(e2e_stop(), 0);
}
/* frames in, close code out */
static void violates(const char *path, int code, int result, const void *p, size_t n) {
    WC(c);
    int before = load(&seen.ended);
    REQUIRE(ws_open(&c, path));
    CHECK(wc_send(&c, p, n));
    CHECK(ws_is_bye(&c, code, NULL) && ws_ends(&c));
    CHECK(comes(&seen.ended, before + 1));
    CHECK_EQ(seen.result, result);
    CHECK_EQ(seen.code, 1006);
}
TEST(b129_violations) {
    static const struct {
        const char *bytes;
        size_t n;
        int code, result;
    } cases[] = {{"\x09\x80....", 6, 1002, VT_EWSPROTO},
                 {"\x89\xfe\x00\x7e....", 8, 1002, VT_EWSPROTO},
                 {"\x01\x80....\x81\x80....", 12, 1002, VT_EWSPROTO},
                 {"\x83\x80....", 6, 1002, VT_EWSPROTO},
                 {"\x80\x80....", 6, 1002, VT_EWSPROTO},
                 {"\xc1\x80....", 6, 1002, VT_EWSPROTO},
                 {"\x81\x00", 2, 1002, VT_EWSPROTO},
                 {"\x81\xfe\x00\x01....x", 9, 1002, VT_EWSPROTO},
                 {"\x88\x81....x", 7, 1002, VT_EWSPROTO},
                 {"\x88\x82\0\0\0\0\x03\xed", 8, 1002, VT_EWSPROTO},
                 {"\x81\x82\0\0\0\0\xc3\x28", 8, 1007, VT_EWSTEXT},
                 {"\x81\xff\0\0\0\0\0\x01\0\0\0\0\0\0\xff", 15, 1007, VT_EWSTEXT},
                 {"\x01\x81\0\0\0\0\xc3\x80\x80....", 13, 1007, VT_EWSTEXT},
                 {"\x88\x83\0\0\0\0\x03\xe8\xff", 9, 1007, VT_EWSTEXT}};
    REQUIRE(begin());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        violates("/echo", cases[i].code, cases[i].result, cases[i].bytes, cases[i].n);
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, ""), 0);
}
TEST(b130_limits) {
    static char body[1100];
    uint8_t b[3000];
    REQUIRE(begin());
    memset(body, 'b', sizeof body);
    violates("/small", 1009, VT_EWSLARGE, b, ws_frame(b, 0x82, body, 501));
    size_t n = ws_frame(b, 0x02, body, 500);
    n += ws_frame(b + n, 0x00, body, 500);
    violates("/small", 1009, VT_EWSLARGE, b, n + ws_frame(b + n, 0x80, body, 1));
    violates("/echo", 1009, VT_EWSLARGE, "\x82\xff\0\0\0\0\0\x10\0\1....", 14); /* 1 MiB and a byte */
    n = ws_frame(b, 0x81, body, 51);
    violates("/tiny", 1009, VT_EWSLARGE, b, n);
    WC(d);
    REQUIRE(ws_open(&d, "/tiny"));
    CHECK(ws_put(&d, 0x81, body, 50) && ws_is(&d, 0x81, body, 50) && part(&d));
    n = ws_frame(b, 0x02, body, 500);
    n += ws_frame(b + n, 0x00, body, 500);
    WC(c);
    REQUIRE(ws_open(&c, "/small"));
    CHECK(wc_send(&c, b, n) && ws_put(&c, 0x80, "", 0) && ws_is(&c, 0x82, body, 1000));
    CHECK(ws_put(&c, 0x82, body, 500) && ws_is(&c, 0x82, body, 500) && part(&c));
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b131_b132_how_a_handler_ends) {
    static const struct {
        const char *path;
        int code;
    } cases[] = {
        {"/leave", 1000}, {"/leave?how=fail", 1011}, {"/leave?how=long", 3999}, {"/leave?how=none", 1005}};
    REQUIRE(begin());
    for (int i = 0; i < 4; i++) {
        WC(c);
        struct wsf f;
        REQUIRE(ws_open(&c, cases[i].path));
        if (i == 0) CHECK(ws_is_text(&c, "bye"));
        CHECK(ws_get(&c, &f) == 1 && f.first == 0x88);
        CHECK_EQ(f.n >= 2 ? f.p[0] << 8 | f.p[1] : 1005, cases[i].code);
        if (i == 2) CHECK_EQ(f.n, 124); /* 122 bytes: a character of three did not fit */
        CHECK(ws_put(&c, 0x88, f.p, f.n) && ws_ends(&c));
    }
    WC(d); /* whoever does not answer is not waited for for long */
    REQUIRE(ws_open(&d, "/leave"));
    CHECK(ws_is_text(&d, "bye") && ws_is_bye(&d, 1000, "") && ws_ends(&d));
    wc_close(&d);
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, ""), 1); /* -EIO */
}
TEST(b133_server_stop) {
    WC(c);
    WC(d);
    WC(e);
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/echo"));
    REQUIRE(ws_open(&d, "/sleeper"));
    REQUIRE(ws_open(&e, "/child"));
    CHECK(ws_text(&e, "x") && ws_is_text(&e, "x"));
    CHECK(ws_is_text(&d, "sleeping"));
    REQUIRE(comes(&seen.started, 2));
    int64_t from_ms = e2e_now_ms();
    vt_server_stop(e2e.s);
    CHECK(ws_is_bye(&c, 1001, "") && ws_bye(&c, 1001, "") && ws_ends(&c));
    CHECK(ws_is_bye(&d, 1001, "") && ws_bye(&d, 1001, "") && ws_ends(&d));
    CHECK(ws_is_bye(&e, 1001, "") && ws_bye(&e, 1001, "") && ws_ends(&e));
    CHECK_EQ(e2e_join(), 0);
    CHECK(e2e_now_ms() - from_ms < 10000);
    CHECK_EQ(load(&seen.ended), 3);
    CHECK_EQ(e2e_logged(VT_LOG_WARN, "still running"), 0); /* stalls of the machine are not it */
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, ""), 0);
}
TEST(b133_server_stop_ends_who_sends_without_parking) {
    WC(c);
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/yields"));
    REQUIRE(comes(&seen.started, 1));
    vt_server_stop(e2e.s);
    CHECK(ws_is_text(&c, "one") && ws_is_bye(&c, 1001, "") && ws_bye(&c, 1001, "") && ws_ends(&c));
    CHECK_EQ(e2e_join(), 0);
    CHECK_EQ(seen.result, VT_ESTOPPED);
}
TEST(b134_slow_reader_stops_the_sender) {
    WC(c);
    struct wsf f;
    REQUIRE(begin());
    REQUIRE(wc_open_to(&c, 4096) && ws_shake(&c, "/flood", "") == WS_YES);
    for (int i = 0; i < 100; i++) {
        if (i % 25 == 0) e2e_sleep_ms(20);
        CHECK(ws_get(&c, &f) == 1 && f.first == 0x82 && f.n == 100000);
    }
    wc_reset(&c);
    CHECK(comes(&seen.ended, 1));
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b134_a_torn_frame_ends_the_handler_that_receives) {
    WC(c);
    REQUIRE(begin());
    REQUIRE(wc_open_to(&c, 4096) && ws_shake(&c, "/torn", "") == WS_YES);
    CHECK(comes(&seen.ended, 1));
    WAIT(load(&seen.aux) == -ETIMEDOUT); /* from who sends, who ended the other on his way */
    CHECK_EQ(load(&seen.aux), -ETIMEDOUT);
    CHECK_EQ(seen.result, -ECANCELED);
    CHECK_EQ(e2e_stop(), 0);
}
/* The other way round: who is slow is the handler, and what he has not taken waits with the client. */
static void *sends_much(void *arg) {
    static char block[100000];
    for (int i = 0; i < 100; i++) {
        block[0] = (char)i;
        if (!ws_put(arg, 0x82, block, sizeof block)) break;
        __atomic_store_n(&seen.aux, i + 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}
TEST(b134_slow_handler_stops_the_client) {
    WC(c);
    pthread_t t;
    struct wsf f;
    REQUIRE(begin());
    REQUIRE(wc_open_to(&c, 4096) && ws_shake(&c, "/slow", "") == WS_YES);
    REQUIRE(pthread_create(&t, NULL, sends_much, &c) == 0);
    CHECK(comes(&seen.started, 1));
    e2e_sleep_ms(200);
    CHECK(load(&seen.aux) < 100); /* 10 MB are more than sockets hold */
    __atomic_store_n(&slow_goes_on, 1, __ATOMIC_SEQ_CST);
    pthread_join(t, NULL);
    CHECK_EQ(load(&seen.aux), 100);
    CHECK(ws_get(&c, &f) == 1 && f.first == 0x81);
    CHECK_STR((const char *)f.p, "100 in order");
    CHECK(part(&c));
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b134_senders_on_all_workers_while_somebody_receives) {
    int next[SENDERS] = {0}, echoes = 0, total = 0;
    char text[400];
    size_t have = 0;
    WC(c);
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/many"));
    for (int i = 0; i < 50; i++) CHECK(ws_text(&c, "e") && ws_put(&c, 0x89, "p", 1));
    int pongs = 0;
    while (total < SENDERS * EACH || echoes < 50) {
        struct wsf f;
        REQUIRE(ws_get(&c, &f) == 1);
        if (f.first == 0x8a) {
            pongs++; /* only the last of several need be answered */
            continue;
        }
        REQUIRE(have ? (f.first & 0x7f) == 0 : (f.first & 0x7f) == 1);
        REQUIRE(have + f.n < sizeof text);
        memcpy(text + have, f.p, f.n);
        have += f.n;
        text[have] = 0;
        if (!(f.first & 0x80)) continue;
        have = 0;
        int id, i;
        if (strcmp(text, "e") == 0) {
            echoes++;
            continue;
        }
        REQUIRE(sscanf(text, "%d %d", &id, &i) == 2 && id >= 0 && id < SENDERS && next[id] == i);
        next[id]++, total++;
    }
    CHECK(ws_bye(&c, 1000, ""));
    struct wsf f;
    while (ws_get(&c, &f) == 1 && f.first == 0x8a) pongs++;
    CHECK_EQ(f.first, 0x88);
    CHECK(pongs > 0 && ws_ends(&c));
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b123_b134_pong_behind_a_message_that_is_stuck) {
    WC(c);
    struct wsf f;
    REQUIRE(begin());
    REQUIRE(wc_open_to(&c, 4096) && ws_shake(&c, "/meanwhile", "") == WS_YES);
    while (c.in_len < 2) REQUIRE(wc_more(&c, E2E_MS) > 0); /* it has begun */
    CHECK(ws_put(&c, 0x89, "stuck", 5) && ws_put(&c, 0x89, "noted", 5) && ws_text(&c, "heard"));
    CHECK(comes(&seen.started, 1)); /* receiving does not wait for the sender */
    CHECK(ws_get(&c, &f) == 1 && f.first == 0x82 && f.n == 8 << 20);
    int r;
    while ((r = ws_get(&c, &f)) == 1 && f.first == 0x8a && strcmp((const char *)f.p, "noted") != 0) continue;
    CHECK(r == 1 && f.first == 0x8a);
    CHECK(part(&c));
    CHECK_EQ(e2e_stop(), 0);
}
TEST(no_message_within_one_in_fragments) {
    WC(c);
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/within"));
    CHECK(ws_is_text(&c, "whole") && ws_is(&c, 0x01, "in ", 3) && ws_is(&c, 0x00, "parts", 5));
    CHECK(ws_is(&c, 0x80, "", 0) && ws_is_text(&c, "again") && ws_is_bye(&c, 1000, ""));
    CHECK(comes(&seen.ended, 1));
    CHECK_EQ(seen.aux, VT_ESTATE);
    CHECK_EQ(seen.result, 0);
    CHECK(ws_bye(&c, 1000, "") && ws_ends(&c));
    CHECK_EQ(e2e_stop(), 0);
}
TEST(a_child_receives) {
    WC(c);
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/child"));
    e2e_sleep_ms(60);
    CHECK(ws_text(&c, "to the child") && ws_is_text(&c, "to the child") && part(&c));
    CHECK(comes(&seen.ended, 1));
    CHECK_EQ(seen.result, 0);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(late_receives_lose_nothing) {
    WC(c);
    uint8_t b[200];
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/until"));
    size_t n = ws_frame(b, 0x01, "hel", 3);
    n += ws_frame(b + n, 0x89, "ping", 4);
    n += ws_frame(b + n, 0x80, "lo", 2);
    for (size_t i = 0; i < n; i++) {
        int before = load(&seen.aux);
        CHECK(wc_send(&c, b + i, 1));
        CHECK(comes(&seen.aux, before + 2)); /* the first may have begun before that byte was there */
    }
    CHECK(ws_is(&c, 0x8a, "ping", 4) && ws_is_text(&c, "hello") && part(&c));
    CHECK(comes(&seen.ended, 1));
    CHECK_EQ(e2e_stop(), 0);
}
/* A ping that comes in pieces, and whose masked payload looks like a message. */
TEST(late_receives_take_no_payload_for_a_frame) {
    WC(c);
    static const char ping[] = "\x89\x88\0\0\0\0", payload[] = "\x81\x80\0\0\0\0..";
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/until"));
    CHECK(wc_send(&c, ping, 6));
    e2e_sleep_ms(40);
    CHECK(wc_send(&c, payload, 6)); /* not all of it */
    e2e_sleep_ms(40);
    CHECK(wc_send(&c, payload + 6, 2) && ws_is(&c, 0x8a, payload, 8));
    CHECK(ws_text(&c, "on") && ws_is_text(&c, "on"));
    CHECK(ws_put(&c, 0x01, "begun", 5));
    e2e_sleep_ms(40);
    CHECK(ws_text(&c, "another") && ws_is_bye(&c, 1002, "new message within another") && ws_ends(&c));
    wc_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b132_flush) {
    WC(c);
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/flushes"));
    CHECK(ws_is_text(&c, "flushed"));
    __atomic_store_n(&seen.aux, 1, __ATOMIC_SEQ_CST);
    CHECK(ws_is_bye(&c, 1000, ""));
    CHECK_EQ(seen.result, 0);
    WC(e); /* and others may send */
    __atomic_store_n(&seen.aux, 0, __ATOMIC_SEQ_CST);
    REQUIRE(ws_open(&e, "/lets_go"));
    CHECK(ws_is_text(&e, "mine") && ws_is_text(&e, "the other's") && ws_is_bye(&e, 1000, ""));
    CHECK_EQ(seen.result, 1);
    CHECK(ws_bye(&e, 1000, ""));
    WC(d);
    REQUIRE(ws_open(&d, "/waits"));
    struct wsf f;
    CHECK_EQ(ws_get_within(&d, &f, E2E_MS), 1);
    CHECK(f.n == 15 && ws_get_within(&d, &f, 20) == -1); /* it came while the handler slept */
    CHECK(ws_is_text(&d, "after") && ws_is_bye(&d, 1000, ""));
    wc_close(&c), wc_close(&d);
    CHECK_EQ(e2e_stop(), 0);
}
#if !WS_H2
/* The stack that a parked handler has touched, its connection's first use of it: one page, with room for the frames of
 * compilers and handlers that differ. */
static vt__vth *deep;
static int parks(vt_ws *ws, vt_req *req) {
    deep = vt__sched_self();
    return echo(ws, req);
}
/* Free stacks of this thread hold nothing but zeroes, nor does what is left of this one, which is free next. */
static int clean(vt_req *req, vt_res *res) {
    vt__stack_cache *c = &vt__sched_thr()->stacks;
    char *own = vt__stack_base(vt__sched_self()->stack) + vt__stack_g.guard;
    (void)req;
    for (uint32_t i = 0; i < c->n; i++)
        memset(vt__stack_base(c->v[i]) + vt__stack_g.guard, 0, vt__stack_g.stride - vt__stack_g.guard);
    memset(own, 0, (size_t)((char *)__builtin_frame_address(0) - own) - 512);
    return vt_res_text(res, 200, "clean");
}
static int depth(vt_req *req, vt_res *res) {
    char *top = vt__stack_base(deep->stack) + vt__stack_g.stride, *p = vt__stack_base(deep->stack), text[24];
    (void)req;
    for (p += vt__stack_g.guard; p < top && !*p; p++) continue;
    snprintf(text, sizeof text, "%zu", (size_t)(top - p));
    return vt_res_text(res, 200, text);
}
/* What the connection keeps of the request. */
static int keeps(vt_ws *ws, vt_req *req) {
    const vt__h1c_run *run = VT__CONTAINER(ws->st, vt__h1c_run, stream);
    char text[64];
    int n = snprintf(text, sizeof text, "%zu", run->held.p ? run->held.cap : 0);
    if (vt_req_field(req, "X-Long").len != 600) n = 0;
    return vt_ws_send(ws, VT_WS_TEXT, text, (size_t)n);
}
static void page_routes(vt_server *s) {
    vt_server_ws(s, "/keeps", keeps, NULL);

    vt_server_ws(s, "/parks", parks, NULL);
    vt_server_get(s, "/clean", clean);
    vt_server_get(s, "/depth", depth);
}
static long page_ask(struct cl *h, const char *path) {
    cl_printf(h, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    return cl_response(h) == 200 ? atol(h->body) : -1;
}
static void page_one(struct cl *h, long *bytes) {
    WC(c);
    REQUIRE(page_ask(h, "/clean") == 0);
    REQUIRE(ws_open(&c, "/parks"));
    CHECK(ws_text(&c, "one") && ws_is_text(&c, "one"));
    CHECK((*bytes = page_ask(h, "/depth")) > 0);
    CHECK(ws_bye(&c, 1000, "") && ws_is_bye(&c, 1000, ""));
}
/* A head that has no room on the stack, as those of browsers, takes as many bytes as it has, and no block. */
TEST(a_long_head_is_kept_in_memory_of_its_size) {
    char more[650];
    struct wsf f;
    WC(c);
    snprintf(more, sizeof more, "X-Long: %0600d", 0);
    strcat(more, "\r\n");
    REQUIRE(e2e_start(NULL, page_routes) == 0);
    REQUIRE(wc_open(&c) && ws_shake(&c, "/keeps", more) == WS_YES);
    REQUIRE(ws_get(&c, &f) == 1);
    int kept = atoi((const char *)f.p);
    CHECK(kept > 600 && kept < 1000);
    wc_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(a_parked_handler_has_one_page_of_stack) {
    vt_server_cfg cfg = {.workers = 1};
    long bytes = 0;
    if (VT__ASAN || VT__TSAN || VTHTTP_UCONTEXT || !VT__X86_64) SKIP("frames are larger");
    REQUIRE(e2e_start(&cfg, page_routes) == 0);
    CL(h);
    REQUIRE(cl_open(&h));
    page_one(&h, &bytes); /* what the program calls for the first time is bound on the way, which goes deep */
    page_one(&h, &bytes);
    cl_close(&h);
    CHECK_EQ(e2e_stop(), 0);
    if (bytes > 4096 - 128) printf("  %ld bytes\n", bytes);
#if defined(__OPTIMIZE__)
    CHECK(bytes <= 4096 - 128);
#endif
}
#endif
/* Who receives hears of it when another's close frame is not answered. */
TEST(b125_another_closes_and_is_not_answered) {
    WC(c);
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/closed"));
    CHECK(ws_is_bye(&c, 1000, ""));
    CHECK(comes(&seen.ended, 1));
    CHECK_EQ(seen.result, VT_EEOF);
    wc_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}
#if !WS_H2
/* What came with the handshake fills the block that it is read to. */
TEST(frames_behind_the_handshake_up_to_the_end_of_a_block) {
    static uint8_t b[VT__BUF_BYTES + 200];
    static const char text[100];
    int frames = 0;
    size_t n = (size_t)sprintf((char *)b, "GET /edge HTTP/1.1\r\nHost: a.example\r\n" WS_FIELDS "\r\n");
    CL(c);
    REQUIRE(begin());
    REQUIRE(cl_open(&c));
    for (; VT__BUF_BYTES - n > 212; frames++) n += ws_frame(b + n, 0x82, text, 100);
    for (size_t left = VT__BUF_BYTES - n; left; left -= left > 106 ? 53 : left, frames++)
        n += ws_frame(b + n, 0x82, text, (left > 106 ? 53 : left) - 6);
    CHECK_EQ(n, VT__BUF_BYTES);
    CHECK(cl_send(&c, b, n));
    CHECK(comes(&seen.started, frames));
    CHECK_EQ(seen.aux, 0);
    cl_close(&c);
    CHECK(comes(&seen.ended, 1));
    CHECK_EQ(e2e_stop(), 0);
}
#endif
TEST(b136_ten_frames_and_the_end) {
    WC(c);
    uint8_t b[400];
    size_t n = 0;
    int got = 0;
    struct wsf f;
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/echo"));
    for (int i = 0; i < 10; i++) n += ws_frame(b + n, 0x81, "frame", 5);
    n += ws_frame(b + n, 0x88, "\x03\xe8", 2);
    CHECK(wc_send(&c, b, n));
    while (ws_get(&c, &f) == 1) got++;
    CHECK_EQ(got, 11);
    CHECK_EQ(e2e_stop(), 0);
}
/* Every split of a conversation: the same answers. */
TEST(splits) {
    static const char long_text[] =
        "a text of more than thirty-two bytes: \xe2\x82\xac\xf0\x9f\x98\x80 and so on";
    uint8_t b[600];
    size_t n = ws_frame(b, 0x81, long_text, sizeof long_text - 1);
    n += ws_frame(b + n, 0x89, "p", 1);
    n += ws_frame(b + n, 0x01, "\xe2", 1);
    n += ws_frame(b + n, 0x80, "\x82\xac", 2);
    n += ws_frame(b + n, 0x88, "\x0f\xa0why", 5);
    REQUIRE(begin());
    for (size_t cut = 1; cut < n; cut++) {
        WC(c);
        REQUIRE(ws_open(&c, "/echo"));
        CHECK(wc_send(&c, b, cut));
        sched_yield();
        CHECK(wc_send(&c, b + cut, n - cut));
        CHECK(ws_is_text(&c, long_text) && ws_is(&c, 0x8a, "p", 1) && ws_is_text(&c, "\xe2\x82\xac"));
        CHECK(ws_is_bye(&c, 4000, "why"));
    }
    CHECK_EQ(e2e_stop(), 0);
}
