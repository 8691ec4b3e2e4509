/* examples/proxy.c between raw sockets and scripted upstreams: what it hands on, and what it keeps to itself. */
#define main proxy_main
#include "../examples/proxy.c"
#undef main
#include "test.h"
#include "cli.h"
#include "cliserver.h"

static struct peer peer;
static char addr[40];

static void up(int (*serve)(struct peer *, vt_sock *, int)) {
    peer_start(&peer, serve);
    static char url[100];
    snprintf(url, sizeof url, "http://%s", peer.addr);
    upstream = url;
    server = vt_server_new(
        &(vt_server_cfg){.addr = "127.0.0.1:0", .max_body = VT_NONE, .cancel_on = VT_CANCEL_FIN});
    vt_server_any(server, "/{path...}", proxy);
    server_up(&(vt_client_cfg){.proxy = ""});
    snprintf(addr, sizeof addr, "127.0.0.1:%d", vt_server_port(server, 0));
}
static void over(void) {
    down();
    peer_stop(&peer);
}
/* Sends the text, ends there unless `open`, reads until the end or until `mark` has come. */
static char said[200000];
static vt_sock *say(const char *text, const char *mark) {
    vt_sock *s;
    size_t n = 0;
    CHECK_EQ(vt_dial(&s, addr, NULL), 0);
    CHECK_EQ(vt_write(s, text, strlen(text)), (int64_t)strlen(text));
    said[0] = 0;
    while (n < sizeof said - 1 && !strstr(said, mark)) {
        int64_t r = vt_read(s, said + n, sizeof said - 1 - n);
        if (r <= 0) break;
        said[n += (size_t)r] = 0;
    }
    return s;
}
static const char *ask(const char *text) {
    vt_sock_close(say(text, "never"));
    return said;
}
static bool starts(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }
static void answer(const char *text) {
    peer.answer = text;
    peer.n = strlen(text);
}
static int serve_answer(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    while (peer_head(p, s, p->cut))
        if (vt_write(s, p->answer, p->n) < 0) break;
    return 0;
}
#define OK "HTTP/1.1 200 OK\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: front\r\nConnection: close\r\n\r\n"

CLI_TEST(proxy_request_fields, 1) {
    char want[200];
    up(serve_answer);
    answer(OK "Content-Length: 2\r\n\r\nhi");
    CHECK(starts(
        ask("GET /a%20b/c?d=e HTTP/1.1\r\nHost: front:81\r\nX-Mine: 1\r\nX-Mine: 2\r\nX-Secret: 3\r\nTE: trailers\r\n"
            "Keep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: y\r\nForwarded: for=z\r\n"
            "Connection: x-secret , TE, close\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n"),
        OK));
    CHECK(strstr(said, "\r\n\r\nhi"));
    CHECK(starts(peer.got, "GET /a%20b/c?d=e HTTP/1.1\r\n"));
    snprintf(want, sizeof want, "\r\nHost: %s\r\n", peer.addr);
    CHECK(strstr(peer.got, want));
    CHECK(strstr(peer.got, "\r\nX-Mine: 1\r\n") && strstr(peer.got, "\r\nX-Mine: 2\r\n"));
    CHECK(strstr(peer.got, "\r\nX-Forwarded-For: 10.0.0.1, 127.0.0.1\r\n"));
    CHECK(strstr(peer.got, "\r\nX-Forwarded-Host: front:81\r\n") &&
          strstr(peer.got, "\r\nX-Forwarded-Proto: http\r\n"));
    CHECK(strstr(peer.got, "\r\nForwarded: for=z, for=\"127.0.0.1\";host=\"front:81\";proto=http\r\n"));
    CHECK(strstr(peer.got, "\r\nVia: 1.1 proxy\r\n"));
    static const char *const kept[] = {"X-Secret", "TE:",        "Keep-Alive",
                                       "Proxy-",   "Connection", "Content-Length"};
    for (size_t i = 0; i < VT__COUNT(kept); i++) CHECK(!strstr(peer.got, kept[i]));
    over();
}
CLI_TEST(proxy_response_fields, 1) {
    up(serve_answer);
    answer("HTTP/1.1 201 Made\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-Hop: 1\r\nKeep-Alive: 3\r\n"
           "Connection: keep-alive\r\nConnection: x-hop\r\n"
           "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    CHECK(starts(ask(GET("/")), "HTTP/1.1 201 "));
    CHECK(strstr(said, "\r\nSet-Cookie: a\r\n") && strstr(said, "\r\nSet-Cookie: b\r\n"));
    CHECK(!strstr(said, "X-Hop") && !strstr(said, "Keep-Alive"));
    CHECK(strstr(said, "\r\n3\r\nabc\r\n0\r\n\r\n"));
    answer("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n");
    CHECK(starts(ask(GET("/")), "HTTP/1.1 302 ") && strstr(said, "\r\nLocation: /x\r\n"));
    answer(OK "Content-Length: 1000\r\n\r\n");
    CHECK(starts(ask("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), OK));
    CHECK(strstr(said, "\r\nContent-Length: 1000\r\n"));
    answer("HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n");
    CHECK(starts(ask(GET("/")), "HTTP/1.1 304 ") && strstr(said, "\r\nETag: x\r\n"));
    CHECK_EQ(peer.conns, 1);
    over();
}
CLI_TEST(proxy_request_bodies, 1) {
    up(serve_answer);
    answer(OK "Content-Length: 0\r\n\r\n");
    peer.cut = 5;
    ask("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    CHECK(strstr(peer.got, "\r\nContent-Length: 5\r\n") && strstr(peer.got, "\r\n\r\nhello"));
    peer.ngot = 0;
    peer.cut = 20; /* two pieces may come as one */
    ask("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n");
    CHECK(strstr(peer.got, "\r\nTransfer-Encoding: chunked\r\n") &&
          strstr(peer.got, "\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"));
    /* a bad body is the client's fault, not the upstream's */
    CHECK(starts(ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
                 "HTTP/1.1 400 "));
    over();
}
static int serve_badly(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    if (!peer_head(p, s, 0)) return 0;
    if (p->answer) peer_say(s, p->answer);
    if (p->cut) vt_sleep_ms(1000);
    return 0;
}
CLI_TEST(proxy_upstream_failures, 1) {
    up(serve_badly);
    CHECK(starts(ask(GET("/")), "HTTP/1.1 502 ")); /* closes */
    answer("nonsense");
    CHECK(starts(ask(GET("/")), "HTTP/1.1 502 "));
    answer(OK "Content-Length: 5\r\n\r\nhe"); /* too late for a status: the end is seen to be missing */
    CHECK(starts(ask(GET("/")), OK));
    CHECK(strstr(said, "\r\nContent-Length: 5\r\n") && strcmp(said + strlen(said) - 6, "\r\n\r\nhe") == 0);
    peer.answer = NULL;
    peer.cut = 1;
    vt_client_free(client);
    client = vt_client_new(&(vt_client_cfg){.proxy = "", .read_timeout_ms = 100});
    CHECK(starts(ask(GET("/")), "HTTP/1.1 504 "));
    upstream = "http://127.0.0.1:1";
    CHECK(starts(ask(GET("/")), "HTTP/1.1 502 "));
    over();
}
/* The client leaves in the midst of its body: that is no fault of the upstream's, which sees the end. */
static int serve_upload(struct peer *p, vt_sock *s, int nth) {
    char buf[100];
    (void)nth;
    if (!peer_head(p, s, 0)) return 0;
    while (vt_read(s, buf, sizeof buf) > 0) continue;
    __atomic_store_n(&p->cut, 1, __ATOMIC_SEQ_CST);
    return 0;
}
CLI_TEST(proxy_client_leaves, 1) {
    up(serve_upload);
    vt_sock *s;
    CHECK_EQ(vt_dial(&s, addr, NULL), 0);
    static const char part[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhello";
    CHECK_EQ(vt_write(s, part, sizeof part - 1), sizeof part - 1);
    while (!__atomic_load_n(&peer.requests, __ATOMIC_SEQ_CST)) vt_sleep_ms(1);
    vt_sock_close(s);
    while (!__atomic_load_n(&peer.cut, __ATOMIC_SEQ_CST)) vt_sleep_ms(1);
    over();
}
static int serve_drops(struct peer *p, vt_sock *s,
                       int nth) { /* a drop a millisecond: streamed, not gathered */
    (void)nth;
    if (!peer_head(p, s, 0) || peer_say(s, OK "\r\nfirst") < 0) return 0;
    while (!__atomic_load_n(&p->cut, __ATOMIC_SEQ_CST)) vt_sleep_ms(1);
    return peer_say(s, "last");
}
CLI_TEST(proxy_streams, 1) {
    up(serve_drops);
    vt_sock *s = say(GET("/"), "first");
    CHECK(strstr(said, "\r\n\r\n5\r\nfirst\r\n"));
    __atomic_store_n(&peer.cut, 1, __ATOMIC_SEQ_CST);
    char rest[100];
    int64_t n = 0, r;
    while ((r = vt_read(s, rest + n, sizeof rest - 1 - (size_t)n)) > 0) n += r;
    rest[n] = 0;
    CHECK(strstr(rest, "4\r\nlast\r\n0\r\n\r\n"));
    vt_sock_close(s);
    over();
}
static int serve_echo(struct peer *p, vt_sock *s, int nth) {
    char buf[100];
    (void)nth;
    if (!peer_head(p, s, 0) || peer_say(s, p->answer) < 0) return 0;
    for (int64_t n; (n = vt_read(s, buf, sizeof buf)) > 0;) vt_write(s, buf, (size_t)n);
    return peer_say(s, "bye");
}
#define UPGRADE                                                                                              \
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n"
CLI_TEST(proxy_upgrades, 1) {
    up(serve_echo);
    answer(
        "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\nhi");
    vt_sock *s = say(UPGRADE, "hi");
    CHECK(starts(said, "HTTP/1.1 101 ") && strstr(said, "\r\nSec-WebSocket-Accept: a\r\n"));
    CHECK(strstr(said, "\r\nUpgrade: websocket\r\n") && strstr(said, "\r\n\r\nhi"));
    CHECK(strstr(peer.got, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n") &&
          strstr(peer.got, "Sec-WebSocket-Key: k"));
    char buf[10];
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(vt_write(s, "hello", 5), 5);
        CHECK_EQ(vt_read_full(s, (memset(buf, 0, sizeof buf), buf), 5), 5);
        CHECK_MEM(buf, 5, "hello", 5);
    }
    CHECK_EQ(vt_shutdown_write(s), 0); /* a half-close goes through */
    CHECK_EQ(vt_read_full(s, buf, 3), 3);
    CHECK_MEM(buf, 3, "bye", 3);
    CHECK_EQ(vt_read(s, buf, 1), 0);
    vt_sock_close(s);
    answer(OK "Content-Length: 2\r\n\r\nno"); /* refused */
    s = say(UPGRADE, "no");
    CHECK(starts(said, OK));
    vt_sock_close(s);
    over();
}
/* Requests that go by h2c would come without what a proxy adds. */
CLI_TEST(proxy_upgrades_to_nothing_else, 1) {
    up(serve_answer);
    answer(OK "Content-Length: 2\r\n\r\nno");
    CHECK(starts(ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n"), OK));
    CHECK(strstr(peer.got, "GET / ") && !strstr(peer.got, "pgrade"));
    over();
}
