/* The client's end of a WebSocket, and both ends over socket pairs in one runtime, also when the kernel takes little at a time. */
/* variants: default asan poll tsan */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

#include "shortio.h"

/* Two ends without a server: `b` takes the server's part, as far as frames go. */
static struct pair {
    vt__conn ca, cb;
    vt_ws *a, *b;
} t;
static bool open_pair(const vt_ws_cfg *cfg, const char *rest) {
    int fd[2];
    memset(&t, 0, sizeof t);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0) return false;
    vt__conn_open(&t.ca, fd[0]);
    vt__conn_open(&t.cb, fd[1]);
    t.a = vt__wsc_client(&t.ca, cfg, VT__STR_LIT("agreed"), rest, strlen(rest), 20 * VT_SEC);
    t.b = vt__wsc_client(&t.cb, cfg, VT__STR_LIT(""), "", 0, 20 * VT_SEC);
    if (!t.a || !t.b) return false;
    t.b->dec.masked = true;
    vt__mem_free(t.b->keys);
    t.b->keys = NULL;
    return true;
}
static void close_pair(void) {
    vt__conn_close(&t.ca);
    vt__conn_close(&t.cb);
}
static int server_end(void *arg) { /* echoes until the client has closed */
    vt_str m;
    int r;
    (void)arg;
    while ((r = vt_ws_recv(t.b, &m)) > 0)
        if ((r = vt_ws_send(t.b, r, m.ptr, m.len)) < 0) break;
    vt__wsc_client_free(t.b);
    return r;
}
static void run(vt_fn *fn) {
    vt_cfg cfg = {.workers = 2};
    CHECK_EQ(vt_run(&cfg, fn, NULL), 0);
}

static int talk(void *arg) {
    static char body[200000];
    static const size_t sizes[] = {0, 1, 125, 126, 4096, 16384, 65536, sizeof body};
    vt_str m;
    (void)arg;
    for (size_t i = 0; i < sizeof body; i++) body[i] = (char)('a' + i % 26);
    CHECK(open_pair(NULL, "\x81\x05"
                          "early"));
    vt_task *b = vt_async(server_end, NULL);
    CHECK_MEM(vt_ws_protocol(t.a).ptr, vt_ws_protocol(t.a).len, "agreed", 6);
    CHECK_EQ(vt_ws_recv(t.a, &m), VT_WS_TEXT); /* came with the handshake's answer */
    CHECK_MEM(m.ptr, m.len, "early", 5);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CHECK_EQ(vt_ws_send(t.a, VT_WS_TEXT, body, sizes[i]), 0);
        CHECK_EQ(vt_ws_recv(t.a, &m), VT_WS_TEXT);
        CHECK_MEM(m.ptr, m.len, body, sizes[i]);
    }
    CHECK_EQ(vt_ws_begin(t.a, VT_WS_BINARY), 0);
    CHECK_EQ(vt_ws_send(t.a, VT_WS_TEXT, "x", 1), VT_ESTATE);
    CHECK_EQ(vt_ws_write(t.a, "in ", 3), 3);
    CHECK_EQ(vt_ws_ping(t.a, "between", 7), 0);
    CHECK_EQ(vt_ws_write(t.a, "parts", 5), 5);
    CHECK_EQ(vt_ws_end(t.a), 0);
    CHECK_EQ(vt_ws_end(t.a), VT_ESTATE);
    CHECK_EQ(vt_ws_recv(t.a, &m), VT_WS_BINARY);
    CHECK_MEM(m.ptr, m.len, "in parts", 8);
    CHECK_EQ(vt_ws_send(t.a, 3, "", 0), -EINVAL);
    CHECK_EQ(vt_ws_close(t.a, 1005, ""), -EINVAL);
    CHECK_EQ(vt_ws_close(t.a, 1000, "\xff"), -EINVAL);
    CHECK_EQ(vt_ws_close(t.a, 4001, "so long"), 0);
    CHECK_EQ(vt_ws_close(t.a, 4001, "so long"), VT_EWSCLOSED);
    CHECK_EQ(vt_ws_text(t.a, "late"), VT_EWSCLOSED);
    CHECK_EQ(vt_ws_flush(t.a), 0);
    CHECK_EQ(vt_ws_recv(t.a, &m), 0);
    CHECK_EQ(vt_ws_recv(t.a, &m), 0);
    CHECK_EQ(vt_ws_close_code(t.a), 4001);
    CHECK_STR(vt_ws_close_reason(t.a), "so long");
    int r = -1;
    CHECK(vt_await(b, &r) == 0 && r == 0);
    vt__wsc_client_free(t.a);
    close_pair();
    return 0;
}
TEST(both_ends) { run(talk); }
TEST(both_ends_many_times) {
    for (int i = 0; i < 20; i++) run(talk);
    CHECK(short_calls > 1000);
}

/* What a client must not take: masked frames, and all that a server must not either. */
static int wrong_frames(void *arg) {
    static const struct {
        const char *bytes;
        size_t n;
        int err;
    } cases[] = {{"\x81\x81....x", 7, VT_EWSPROTO},
                 {"\x91\x01x", 3, VT_EWSPROTO},
                 {"\x81\x01\xff", 3, VT_EWSTEXT},
                 {"\x82\x7e\x03\xe9", 4, VT_EWSLARGE},
                 {"\x88\x02\x03\xec", 4, VT_EWSPROTO}};
    vt_ws_cfg cfg = {.max_message = 1000, .close_ms = 100};
    vt_str m;
    (void)arg;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(open_pair(&cfg, ""));
        CHECK_EQ(write(t.cb.pd.fd, cases[i].bytes, cases[i].n), cases[i].n);
        CHECK_EQ(vt_ws_recv(t.a, &m), cases[i].err);
        CHECK_EQ(vt_ws_recv(t.a, &m), cases[i].err); /* and ever after */
        CHECK_EQ(vt_ws_recv(t.b, &m), 0);            /* it was told */
        CHECK_EQ(vt_ws_close_code(t.b), cases[i].err == VT_EWSTEXT    ? 1007
                                        : cases[i].err == VT_EWSLARGE ? 1009
                                                                      : 1002);
        vt__wsc_client_free(t.a);
        vt__wsc_client_free(t.b);
        close_pair();
    }
    return 0;
}
TEST(a_client_takes_no_wrong_frames) { run(wrong_frames); }

/* A message that is announced costs no more than what has come of it. */
static int announced(void *arg) {
    vt_ws_cfg cfg = {.max_message = VT_NONE, .close_ms = VT_NONE};
    vt_str m;
    (void)arg;
    CHECK(open_pair(&cfg, ""));
    CHECK_EQ(write(t.cb.pd.fd, "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff....", 14), 14);
    CHECK_EQ(vt_ws_recv_until(t.a, &m, vt_now() + 20 * VT_MS), -ETIMEDOUT);
    CHECK(t.a->msg.p && t.a->msg.cap <= 65536);
    CHECK_EQ(vt_ws_close_code(t.a), 0);
    vt__wsc_client_free(t.a);
    vt__wsc_client_free(t.b);
    close_pair();
    return 0;
}
TEST(an_announced_message_takes_no_memory) { run(announced); }

/* The other end is gone in each of the ways there are. */
static int gone(void *arg) {
    vt_ws_cfg cfg = {.close_ms = 100};
    vt_str m;
    (void)arg;
    CHECK(open_pair(&cfg, ""));
    close(t.cb.pd.fd);
    CHECK_EQ(vt_ws_recv(t.a, &m), VT_EEOF);
    CHECK_EQ(vt_ws_close_code(t.a), 1006);
    int r = 0;
    for (int i = 0; i < 3 && r == 0; i++) r = vt_ws_text(t.a, "x");
    CHECK_EQ(r, -EPIPE);
    CHECK_EQ(vt_ws_flush(t.a), -EPIPE);
    vt__wsc_client_free(t.a);
    vt__wsc_client_free(t.b);
    vt__conn_close(&t.ca);
    return 0;
}
TEST(the_other_end_is_gone) { run(gone); }

/* Deadlines and cancel end waits, and a send that has not begun harms nothing. */
static int cancelled_sender(void *arg) {
    (void)arg;
    int r = vt_sleep(100 * VT_SEC);
    CHECK_EQ(r, -ECANCELED);
    CHECK_EQ(vt_ws_text(t.a, "never"), -ECANCELED);
    return 0;
}
static int cancels(void *arg) {
    vt_str m;
    (void)arg;
    CHECK(open_pair(NULL, ""));
    vt_task *b = vt_async(server_end, NULL), *s = vt_async(cancelled_sender, NULL);
    CHECK_EQ(vt_ws_recv_until(t.a, &m, vt_now() + 10 * VT_MS), -ETIMEDOUT);
    int64_t before = vt_deadline_set(vt_now() + 10 * VT_MS);
    CHECK_EQ(vt_ws_recv(t.a, &m), -ETIMEDOUT);
    vt_deadline_set(before);
    vt_cancel(s);
    int r;
    CHECK(vt_await(s, &r) == 0 && r == 0);
    CHECK_EQ(vt_ws_text(t.a, "goes on"), 0);
    CHECK(vt_ws_recv(t.a, &m) == VT_WS_TEXT && m.len == 7);
    vt__wsc_client_free(t.a);
    CHECK(vt_await(b, &r) == 0 && r == 0);
    close_pair();
    return 0;
}
TEST(deadlines_and_cancel) { run(cancels); }
