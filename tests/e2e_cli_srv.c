/* The client against this library's server, on the same workers; many virtual threads that share one; and a server that
 * others wrote. */
/* tsan */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "cliserver.h"
#include "handlers.h"

#include <sys/wait.h>

static char base[64];
static const char *at(const char *path) { return url_at(base, path); }

static int h_hello(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_field(res, "X-Two", "a");
    vt_res_field_add(res, "X-Two", "b");
    return vt_res_text(res, 200, "hello");
}
static int h_moved(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_redirect(res, 303, "/hello");
}
/* It has waited before, with an eye on a client that leaves; from the upgrade on a FIN is half a close. */
static int h_upgrade(vt_req *req, vt_res *res) {
    vt_stream *st;
    char buf[100];
    (void)req;
    vt_sleep_ms(1);
    int64_t n, r = vt_res_upgrade(res, "echo", &st);
    while (r >= 0 && (n = vt_stream_read(st, buf, sizeof buf)) > 0) r = vt_stream_write(st, buf, (size_t)n);
    if (r >= 0) r = vt_sleep_ms(5); /* where a cancel would tell */
    return r < 0 ? (int)r : vt_stream_write(st, "bye", 3) == 3 ? 0 : -EIO;
}

static void up(void) {
    server = vt_server_new(
        &(vt_server_cfg){.addr = "127.0.0.1:0", .max_body = VT_NONE, .cancel_on = VT_CANCEL_FIN});
    vt_server_get(server, "/hello", h_hello);
    vt_server_get(server, "/bytes/{n}", h_bytes);
    vt_server_post(server, "/count", h_count);
    vt_server_post(server, "/echo", h_echo);
    vt_server_get(server, "/none", h_none);
    vt_server_get(server, "/close", h_close);
    vt_server_get(server, "/stall", h_stall);
    vt_server_get(server, "/hints", h_hints);
    vt_server_get(server, "/fail", h_fail);
    vt_server_get(server, "/upgrade", h_upgrade);
    vt_server_handle(server, "POST", "/moved", h_moved);
    server_up(NULL);
    snprintf(base, sizeof base, "%s", base_of(0));
}
static int get(const char *path, const char *body) { return get_by(client, at(path), body); }

CLI_TEST(the_simple_calls, 2) {
    up();
    CHECK_EQ(get("/hello", "hello"), 200);
    CHECK_EQ(get("/none", ""), 204);
    CHECK_EQ(get("/nothing", NULL), 404);
    CHECK_EQ(get("/fail", NULL), 500);
    CHECK_EQ(get("/hints", "after"), 200);
    CHECK_EQ(get("/close", "bye"), 200);
    vt_call *call = vt_client_post(client, at("/echo"), "text/plain", "abc", 3);
    CHECK_EQ(vt_call_status(call), 200);
    CHECK_STR(vt_call_text(call).ptr, "abc");
    CHECK_EQ(vt_call_length(call), 3);
    vt_call_free(call);
    call = vt_client_post(client, at("/moved"), NULL, "abc", 3);
    CHECK_EQ(vt_call_status(call), 200);
    CHECK_STR(vt_call_text(call).ptr, "hello");
    CHECK_STR(vt_call_url(call), at("/hello"));
    vt_call_free(call);
    vt_server_stats st;
    vt_server_stats_get(server, &st);
    CHECK_EQ(st.accepted, 2); /* one more behind /close */
    down();
}
CLI_TEST(fields_of_responses, 1) {
    up();
    vt_call *call = vt_client_get(client, at("/hello"));
    vt_str name, value;
    size_t n = 0;
    CHECK_STR(vt_call_res_field(call, "x-two").ptr, "a, b");
    CHECK_EQ(vt_call_res_field(call, "x-two").len, 4);
    CHECK_STR(vt_call_res_field_at(call, "x-two", 0).ptr, "a");
    CHECK_STR(vt_call_res_field_at(call, "X-TWO", 1).ptr, "b");
    CHECK(!vt_call_res_field_at(call, "x-two", 2).ptr);
    while (vt_call_res_field_nth(call, n, &name, &value))
        CHECK(strlen(name.ptr) == name.len && strlen(value.ptr) == value.len), n++;
    CHECK(n >= 5);
    vt_call_free(call);
    call = vt_call_new(client, "HEAD", at("/hello"));
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_STR(vt_call_res_field(call, "content-length").ptr, "5");
    CHECK_EQ(vt_call_length(call), 0);
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_EQ(vt_call_text(call).len, 0);
    vt_call_free(call);
    CHECK_EQ(client->nidle, 1);
    down();
}
static void download(const char *path, int64_t length, size_t piece, const char *trailer) {
    static __thread char buf[70000];
    vt_call *call = vt_call_new(client, "GET", at(path));
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_length(call), length);
    int64_t n, sum = 0;
    while ((n = vt_call_read(call, buf, piece)) > 0) sum += n;
    CHECK_EQ(n, 0);
    CHECK_EQ(sum, 3000000);
    CHECK_EQ(vt_call_read(call, buf, piece), 0);
    CHECK_STR(vt_call_res_trailer(call, "x-end").ptr, trailer);
    vt_call_free(call);
    CHECK_EQ(client->nidle, 1);
}
CLI_TEST(large_responses, 2) {
    up();
    download("/bytes/3000000", -1, 70000, "reached");
    download("/bytes/3000000", -1, 3000, "reached");
    download("/bytes/3000000?length=1", 3000000, 70000, NULL);
    download("/bytes/3000000?length=1", 3000000, 3000, NULL);
    vt_call *call = vt_client_get(client, at("/bytes/3000000"));
    CHECK_EQ(vt_call_status(call), 200);
    CHECK_EQ(vt_call_text(call).len, 3000000);
    vt_call_free(call);
    call = vt_call_new(client, "GET", at("/bytes/100000000")); /* left when it has begun */
    CHECK_EQ(vt_call_send(call), 200);
    vt_call_free(call);
    CHECK_EQ(client->conns, 0);
    down();
}
static int64_t read_some(void *ctx, void *buf, size_t n) {
    int64_t *left = ctx;
    n = (size_t)VT__MIN((int64_t)n, *left);
    memset(buf, 'u', n);
    *left -= (int64_t)n;
    return (int64_t)n;
}
CLI_TEST(large_requests, 2) {
    static char big[2000000];
    up();
    vt_call *call = vt_client_post(client, at("/count"), NULL, big, sizeof big);
    CHECK_STR(vt_call_text(call).ptr, "2000000 2000000 -");
    vt_call_free(call);
    for (int chunked = 0; chunked < 2; chunked++) {
        int64_t left = 2000000;
        call = vt_call_new(client, "POST", at("/count"));
        vt_call_body_from(call, read_some, &left, chunked ? -1 : 2000000);
        vt_call_trailer(call, "X-Sum", "7");
        CHECK_EQ(vt_call_send(call), 200);
        CHECK_EQ(vt_call_whole(call), 0);
        CHECK_STR(vt_call_text(call).ptr, chunked ? "2000000 -1 7" : "2000000 2000000 -");
        vt_call_free(call);
    }
    call = vt_call_new(client, "POST", at("/count"));
    CHECK_EQ(vt_call_open(call, -1), 0);
    for (int i = 0; i < 1000; i++) CHECK_EQ(vt_call_write(call, big, 10), 10);
    CHECK_EQ(vt_call_flush(call), 0);
    CHECK_EQ(vt_call_write(call, big, 1000000), 1000000);
    CHECK_EQ(vt_call_write(call, big, 0), 0);
    CHECK_EQ(vt_call_trailer(call, "X-Sum", "8"), 0);
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_STR(vt_call_text(call).ptr, "1010000 -1 8");
    vt_call_free(call);
    CHECK_EQ(client->conns, 1); /* all of them on one */
    down();
}
static int64_t stream_read(vt_stream *st, char *buf, size_t n) { /* all of it */
    size_t got = 0;
    for (int64_t r; got < n && (r = vt_stream_read(st, buf + got, n - got)) > 0;) got += (size_t)r;
    return (int64_t)got;
}
CLI_TEST(expect_and_upgrade, 2) {
    vt_stream *st;
    char buf[10];
    up();
    vt_call *call = vt_call_new(client, "POST", at("/echo"));
    vt_call_expect(call);
    vt_call_body(call, "abc", 3);
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_STR(vt_call_text(call).ptr, "abc");
    vt_call_free(call);
    call = vt_call_new(client, "GET", at("/upgrade"));
    vt_call_upgrade(call, "echo");
    CHECK_EQ(vt_call_send(call), 101);
    CHECK_EQ(vt_call_stream(call, &st), 0);
    CHECK_EQ(vt_stream_write(st, "hello", 5), 5);
    CHECK_EQ(stream_read(st, buf, 5), 5);
    CHECK_EQ(vt_stream_shutdown(st), 0);
    CHECK_EQ(stream_read(st, buf, 3), 3);
    CHECK_MEM(buf, 3, "bye", 3);
    CHECK_EQ(vt_stream_read(st, buf, sizeof buf), 0);
    vt_call_free(call);
    down();
}

/*--- one client, many virtual threads, all workers ---*/
enum { CALLERS = 40, ROUNDS = 12 };
static int caller(void *arg) {
    int id = (int)(intptr_t)arg, good = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char text[32];
        snprintf(text, sizeof text, "%d-%d", id, i);
        vt_call *call = (i + id) % 5 ? vt_client_post(client, at("/echo"), "text/plain", text, strlen(text))
                                     : vt_client_get(client, at("/close"));
        good += vt_call_status(call) == 200 &&
                strcmp(vt_call_text(call).ptr, (i + id) % 5 ? text : "bye") == 0;
        vt_call_free(call);
        if (i % 3 == 0) vt_yield();
    }
    return good;
}
CLI_TEST(shared_by_all_workers, 4) {
    vt_task *t[CALLERS];
    up();
    vt_client_free(client);
    client = vt_client_new(&(vt_client_cfg){.max_connections_host = 8, .connect_timeout_ms = VT_NONE});
    for (int i = 0; i < CALLERS; i++) t[i] = vt_async_any(caller, (void *)(intptr_t)i);
    for (int i = 0; i < CALLERS; i++) {
        int good = 0;
        CHECK_EQ(vt_await(t[i], &good), 0);
        CHECK_EQ(good, ROUNDS);
    }
    CHECK(client->conns <= 8);
    CHECK_EQ(client->conns, client->nidle);
    down();
}
/* A server that closes at once what is idle, a client's timer that does, a limit that takes what another host has, and the
 * client's own end: all at the same connections, on all workers. */
static int serve_briefly(struct peer *p, vt_sock *s, int nth) {
    if (!peer_head(p, s, 0) || peer_say(s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") < 0) return 0;
    if (nth % 2 == 0) vt_sleep(VT_MS / 2);
    return nth % 4 == 2 ? (int)peer_head(p, s, 0) - 1 : 0;
}
static struct peer brief[2];
static int hurried_caller(void *arg) {
    int id = (int)(intptr_t)arg, good = 0;
    for (int i = 0; i < 10 * ROUNDS; i++) {
        vt_call *call = vt_client_get(client, brief[(i + id) % 2].url);
        good += vt_call_status(call) == 200;
        vt_call_free(call);
        if ((i + id) % 3 == 0) vt_sleep((i + id) % 7 * VT_MS / 4);
    }
    return good;
}
CLI_TEST(idle_connections_end_on_all_workers, 4) {
    vt_task *t[8];
    for (int i = 0; i < 2; i++) peer_start(&brief[i], serve_briefly);
    client = vt_client_new(
        &(vt_client_cfg){.idle_timeout_ms = 1, .max_connections = 6, .connect_timeout_ms = VT_NONE});
    for (int i = 0; i < 8; i++) t[i] = vt_async_any(hurried_caller, (void *)(intptr_t)i);
    for (int i = 0; i < 8; i++) {
        int good = 0;
        CHECK_EQ(vt_await(t[i], &good), 0);
        CHECK_EQ(good, 10 * ROUNDS);
    }
    settles(client, 0);
    vt_client_free(client);
    for (int i = 0; i < 2; i++) peer_stop(&brief[i]);
}
/* A call that has waited, for one that then was no good, has memory for its own: at the limit an idle one goes for it. */
CLI_TEST(an_idle_connection_goes_for_one_that_has_waited, 1) {
    struct peer p;
    peer_start(&p, serve_briefly);
    client = vt_client_new(&(vt_client_cfg){.max_connections = 1, .connect_timeout_ms = VT_NONE});
    p.conns = 2; /* whose number says that it is kept */
    CHECK_EQ(get_by(client, p.url, ""), 200);
    settles(client, 1);
    vt__cpool_want w = {.key = "elsewhere", .conn = vt__cpool_conn_new()};
    w.host = vt__cpool_host_new(client, w.key, w.how);
    REQUIRE(w.conn && w.host);
    CHECK_EQ(vt__cpool_get(client, &w, 0), 0);
    CHECK(w.got && !w.got->reused && !w.conn);
    for (int i = 0; i < 5000 && __atomic_load_n(&p.live, __ATOMIC_SEQ_CST); i++) vt_sleep_ms(1);
    CHECK_EQ(__atomic_load_n(&p.live, __ATOMIC_SEQ_CST), 0); /* it was closed */
    vt__cpool_drop(client, w.got);
    settles(client, 0);
    vt_client_free(client);
    peer_stop(&p);
}
static int stall_caller(void *arg) {
    (void)arg;
    return get("/stall", NULL);
}
CLI_TEST(cancelled_on_all_workers, 4) {
    vt_task *t[CALLERS];
    up();
    for (int i = 0; i < CALLERS; i++) t[i] = vt_async_any(stall_caller, NULL);
    for (int i = 0; i < CALLERS; i++) {
        int r = 0;
        if (i % 8 == 0) vt_sleep_ms(1);
        vt_cancel(t[i]);
        CHECK_EQ(vt_await(t[i], &r), 0);
        CHECK_EQ(r, -ECANCELED);
    }
    CHECK_EQ(client->conns, 0);
    down();
}

/*--- a server that others wrote ---*/
static int python_port(pid_t *pid) {
    int out[2], port = -1;
    char line[300] = "";
    if (pipe(out) < 0 || (*pid = fork()) < 0) return -1;
    if (*pid == 0) {
        dup2(out[1], 1);
        dup2(out[1], 2);
        if (chdir("/") == 0)
            execlp("python3", "python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    for (size_t n = 0; n < sizeof line - 1 && read(out[0], line + n, 1) == 1 && line[n] != '\n';) n++;
    const char *p = strstr(line, "port ");
    if (p) port = atoi(p + 5);
    return port; /* its output stays open: it must not die of a closed pipe */
}
static int foreign_port;
static void foreign(void) {
    char url[100];
    client = vt_client_new(NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/proc/self/", foreign_port);
    for (int i = 0; i < 3; i++) {
        vt_call *call = vt_client_get(client, url); /* HTTP/1.0: a connection each */
        CHECK_EQ(vt_call_status(call), 200);
        CHECK(strstr(vt_call_text(call).ptr, "<a href=\"status\">"));
        vt_call_free(call);
    }
    snprintf(url, sizeof url, "http://127.0.0.1:%d/proc", foreign_port);
    vt_call *call = vt_client_get(client, url); /* it redirects to /proc/ */
    CHECK_EQ(vt_call_status(call), 200);
    CHECK(strcmp(vt_call_url(call) + strlen(vt_call_url(call)) - 6, "/proc/") == 0);
    vt_call_free(call);
    call = vt_client_post(client, url, NULL, "x", 1);
    CHECK_EQ(vt_call_status(call), 501);
    vt_call_free(call);
    vt_client_free(client);
}
TEST(python_http_server) {
    pid_t pid = 0;
    foreign_port = python_port(&pid);
    if (foreign_port > 0) cli_run(2, foreign);
    if (pid > 0) kill(pid, SIGKILL), waitpid(pid, NULL, 0);
    if (foreign_port <= 0) SKIP("no python3");
}
