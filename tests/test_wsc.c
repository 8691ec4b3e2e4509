/* The client's end of a WebSocket, and both ends over socket pairs in one runtime, also when the kernel takes little at a time. */
/* variants: default asan poll tsan */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

#include "shortio.h"

#include <errno.h>

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
    CHECK_EQ(vt_ws_text(t.a, "x"), -EPIPE); /* the send that fails says so */
    CHECK_EQ(vt_ws_text(t.a, "x"), -EPIPE);
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

/* ---- against exact bytes ---- */
/* What the client's end sends: a frame's first byte, its payload unmasked; -1 the end, or nothing in time. */
static int raw_bytes(int fd, void *p, size_t n) {
    for (size_t have = 0; have < n;) {
        int64_t r = recv(fd, (char *)p + have, n - have, 0);
        if (r == 0 || (r < 0 && (errno != EAGAIN || vt_sleep_ms(1) < 0))) return -1;
        have += r > 0 ? (size_t)r : 0;
    }
    return 0;
}
static int raw_get(char text[126]) {
    uint8_t head[6];
    int64_t before = vt_deadline_set(vt_now() + 20 * VT_SEC);
    int r = raw_bytes(t.cb.pd.fd, head, 6);
    size_t n = r < 0 ? 0 : head[1] & 127;
    if (r == 0) r = n > 125 ? -1 : raw_bytes(t.cb.pd.fd, text, n);
    for (size_t i = 0; i < n; i++) text[i] = (char)(text[i] ^ (char)head[2 + (i & 3)]);
    text[n] = 0;
    vt_deadline_set(before);
    return r < 0 ? -1 : head[0];
}
static bool raw_is(int first, const char *want) {
    char text[126];
    int got = raw_get(text);
    if (got == first && strcmp(text, want) == 0) return true;
    printf("  a frame: first %#x, \"%s\", want %#x, \"%s\"\n", (unsigned)got, got < 0 ? "" : text,
           (unsigned)first, want);
    return false;
}
static bool raw_put(const char *bytes, size_t n) { /* and until the other end can know */
    return write(t.cb.pd.fd, bytes, n) == (ssize_t)n && vt_sleep_ms(5) == 0;
}
static void raw_end(void) {
    vt__wsc_client_free(t.a);
    vt__wsc_client_free(t.b);
    close_pair();
}

/* Nobody receives: who sends hears control frames, but not in the second in which somebody may still receive. */
static int sends_only(void *arg) {
    vt_ws_cfg cfg = {.close_ms = VT_NONE};
    vt_str m;
    (void)arg;
    CHECK(open_pair(&cfg, ""));
    CHECK_EQ(vt_ws_recv_until(t.a, &m, vt_now() + VT_MS), -ETIMEDOUT);
    CHECK(raw_put("\x81\x03sub\x89\x03one", 10));
    CHECK_EQ(vt_ws_recv(t.a, &m), VT_WS_TEXT);
    CHECK(vt_ws_text(t.a, "soon") == 0 && raw_is(0x81, "soon"));
    t.a->heard -= 2 * VT_SEC; /* so much later */
    CHECK(vt_ws_text(t.a, "later") == 0 && raw_is(0x8a, "one") && raw_is(0x81, "later"));
    CHECK_MEM(m.ptr, m.len, "sub", 3); /* still the program's */
    CHECK(m.ptr[m.len] == 0);
    static const char split[] =
        "\x89\x03two\x89\x05three"; /* a ping that comes in pieces, wherever it is cut */
    for (size_t cut = 1; cut < 5; cut++) {
        CHECK(raw_put(split, cut));
        t.a->heard -= 2 * VT_SEC;
        CHECK(vt_ws_text(t.a, "part") == 0 && raw_is(0x81, "part"));
        CHECK(raw_put(split + cut, 12 - cut));
        t.a->heard -= 2 * VT_SEC; /* of several pings the last one is answered */
        CHECK(vt_ws_text(t.a, "all") == 0 && raw_is(0x8a, "three") && raw_is(0x81, "all"));
    }
    CHECK(!t.a->io.in.p); /* no block is kept for nothing */
    CHECK(raw_put("\x81\x05"
                  "first\x89\x04"
                  "four",
                  13));
    t.a->heard -= 2 * VT_SEC; /* a message stands before it */
    CHECK(vt_ws_text(t.a, "on") == 0 && raw_is(0x81, "on"));
    CHECK_EQ(vt_ws_recv(t.a, &m), VT_WS_TEXT);
    CHECK_MEM(m.ptr, m.len, "first", 5);
    CHECK(raw_put("\x88\x05\x0f\xa0"
                  "bye",
                  7));
    t.a->heard -= 2 * VT_SEC;
    CHECK_EQ(vt_ws_text(t.a, "never"), VT_EWSCLOSED);
    CHECK(raw_is(0x8a, "four") && raw_is(0x88, "\x0f\xa0"
                                               "bye"));
    CHECK_MEM(m.ptr, m.len, "first", 5);
    CHECK_EQ(vt_ws_recv(t.a, &m), 0);
    CHECK_EQ(vt_ws_close_code(t.a), 4000);
    raw_end();
    return 0;
}
TEST(b123_b126_who_only_sends_hears_pings_and_the_close) { run(sends_only); }

/* ... what is wrong, and the end, too. */
static int sends_only_to(const char *bytes, size_t n) {
    vt_ws_cfg cfg = {.close_ms = VT_NONE};
    vt_str m;
    CHECK(open_pair(&cfg, ""));
    CHECK_EQ(vt_ws_recv_until(t.a, &m, vt_now() + VT_MS), -ETIMEDOUT);
    CHECK(raw_put(bytes, n));
    if (n == 0) CHECK(shutdown(t.cb.pd.fd, SHUT_WR) == 0 && vt_sleep_ms(5) == 0);
    t.a->heard -= 2 * VT_SEC;
    int r = vt_ws_text(t.a, "x"), said = vt_ws_recv(t.a, &m);
    CHECK_EQ(vt_ws_close_code(t.a), 1006);
    raw_end();
    return r == 0 ? said : r == VT_EWSCLOSED && said == VT_EWSPROTO ? said : 1;
}
static int sends_only_wrong(void *arg) {
    (void)arg;
    CHECK_EQ(sends_only_to("\x8b\x00", 2), VT_EWSPROTO);
    CHECK_EQ(sends_only_to("\x88\x01x", 3), VT_EWSPROTO);
    CHECK_EQ(sends_only_to("", 0), VT_EEOF);
    return 0;
}
TEST(b129_who_only_sends_hears_what_is_wrong) { run(sends_only_wrong); }

/* Who closes and is not answered is told once, and for good: no loop of calls with deadlines goes on for ever. */
static int no_answer(void *arg) {
    vt_ws_cfg cfg = {.close_ms = 300};
    vt_str m;
    int r, late = 0;
    (void)arg;
    CHECK(open_pair(&cfg, ""));
    int64_t from = vt_now();
    CHECK_EQ(vt_ws_close(t.a, 0, NULL), 0);
    while ((r = vt_ws_recv_until(t.a, &m, vt_now() + 5 * VT_MS)) == -ETIMEDOUT && late < 100000) late++;
    CHECK_EQ(r, VT_EEOF);
    CHECK((late > 0 || vt_now() - from >= 300 * VT_MS) && late < 100);
    CHECK_EQ(vt_ws_recv(t.a, &m), VT_EEOF);
    CHECK_EQ(vt_ws_close_code(t.a), 1006);
    raw_end();
    return 0;
}
TEST(b125_a_close_that_is_not_answered) { run(no_answer); }
/* ... nor one of calls that only look. */
static int no_answer_to_looks(void *arg) {
    vt_ws_cfg cfg = {.close_ms = 50};
    int64_t end = vt_now() + 20 * VT_SEC;
    vt_str m;
    int r;
    (void)arg;
    CHECK(open_pair(&cfg, ""));
    CHECK_EQ(vt_ws_close(t.a, 0, NULL), 0);
    do r = vt_ws_recv_until(t.a, &m, 1);
    while (r == -ETIMEDOUT && vt_now() < end && vt_sleep_ms(5) == 0);
    CHECK_EQ(r, VT_EEOF);
    raw_end();
    return 0;
}
TEST(b125_a_close_that_is_not_answered_to_who_looks) { run(no_answer_to_looks); }

/* ... nor by a peer who goes on sending, faster than is read. */
static int64_t flood_until;
static ssize_t flood_recv(int fd, void *p, size_t n, int flags) {
    char *to = p;
    if (fd != t.ca.pd.fd || vt_now() > flood_until) return short_recv(fd, p, n, flags);
    n &= ~(size_t)1;
    for (size_t i = 0; i < n; i += 2) to[i] = (char)0x89, to[i + 1] = 0;
    return (ssize_t)n;
}
static int no_answer_but_pings(void *arg) {
    vt_ws_cfg cfg = {.close_ms = 50};
    (void)arg;
    CHECK(open_pair(&cfg, ""));
    vt__plat.recv = flood_recv;
    flood_until = vt_now() + 10 * VT_SEC;
    vt__wsc_client_free(t.a); /* closes, and waits for the answer */
    CHECK(vt_now() < flood_until);
    vt__plat.recv = short_recv;
    vt__wsc_client_free(t.b);
    close_pair();
    return 0;
}
TEST(b125_a_close_that_is_answered_by_pings) { run(no_answer_but_pings); }

/* ---- a peer who does not read ---- */
static void fill(int fd) {
    static const char junk[4096];
    while (send(fd, junk, sizeof junk, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) continue;
    while (send(fd, junk, 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) continue;
}
static int receives(void *arg) {
    vt_str m;
    (void)arg;
    return vt_ws_recv(t.a, &m);
}
static int one_receiver(void *arg) {
    vt_ws_cfg cfg = {.close_ms = VT_NONE};
    vt_str m;
    int r = 0;
    (void)arg;
    CHECK(open_pair(&cfg, ""));
    fill(t.ca.pd.fd);
    CHECK(raw_put("\x89\x01p", 3));
    vt_task *other = vt_async(receives, NULL);
    CHECK_EQ(vt_sleep_ms(20), 0); /* it waits for room for the pong */
    CHECK_EQ(vt_ws_recv_until(t.a, &m, vt_now() + 20 * VT_MS), -EBUSY);
    CHECK_EQ(vt_ws_next(t.a), -EBUSY);
    vt_cancel(other);
    CHECK(vt_await(other, &r) == 0 && r == -ECANCELED);
    CHECK_EQ(vt_ws_recv_until(t.a, &m, vt_now() + VT_MS), -ETIMEDOUT);
    raw_end();
    return 0;
}
TEST(one_at_a_time_receives) { run(one_receiver); }

static int send_until(void *arg) {
    vt_ws_cfg cfg = {.close_ms = VT_NONE};
    char big[100];
    (void)arg;
    memset(big, 'b', sizeof big);
    CHECK(open_pair(&cfg, ""));
    CHECK_EQ(vt_ws_send_until(t.a, VT_WS_BINARY, "in time", 7, vt_now() + 20 * VT_SEC), 0);
    CHECK_EQ(vt_ws_send_until(t.a, VT_WS_BINARY, "too late", 8, 1), 0); /* it need not wait */
    CHECK(raw_is(0x82, "in time") && raw_is(0x82, "too late"));
    int64_t before = vt_deadline_set(1);
    CHECK_EQ(vt_ws_send_until(t.a, 3, "", 0, VT_NONE), -EINVAL);
    CHECK_EQ(vt_deadline(), 1); /* it is as it was */
    vt_deadline_set(before);
    fill(t.ca.pd.fd);
    int64_t from = vt_now();
    CHECK_EQ(vt_ws_send_until(t.a, VT_WS_BINARY, big, sizeof big, vt_now() + 20 * VT_MS), -ETIMEDOUT);
    CHECK(vt_now() - from < 15 * VT_SEC); /* of 20 without progress */
    CHECK_EQ(vt_deadline(), before);
    CHECK_EQ(vt_ws_text(t.a, "x"), -ETIMEDOUT); /* it was torn */
    raw_end();
    return 0;
}
TEST(send_until_its_deadline) { run(send_until); }

/* ---- turns ---- */
static int in_fragments(void *arg) { /* until it is cancelled */
    bool *ended = arg;
    CHECK_EQ(vt_ws_begin(t.a, VT_WS_TEXT), 0);
    CHECK_EQ(vt_ws_write(t.a, "half", 4), 4);
    CHECK_EQ(vt_sleep(100 * VT_SEC), -ECANCELED);
    CHECK_EQ(vt_ws_write(t.a, "x", 1), -ECANCELED);
    *ended = true;
    return vt_ws_end(t.a);
}
static int whole_one(void *arg) {
    (void)arg;
    return vt_ws_text(t.a, "whole");
}
static int turns(void *arg) {
    vt_ws_cfg cfg = {.close_ms = VT_NONE};
    bool ended = false;
    int r = -1;
    (void)arg;
    CHECK(open_pair(&cfg, ""));
    vt_task *a = vt_async(in_fragments, &ended);
    CHECK(raw_is(0x01, "half"));
    CHECK_EQ(vt_ws_send_until(t.a, VT_WS_TEXT, "x", 1, vt_now() + VT_MS), -ETIMEDOUT); /* harms nothing */
    vt_shield(true); /* from inherited deadlines, not from this one */
    CHECK_EQ(vt_ws_send_until(t.a, VT_WS_TEXT, "x", 1, vt_now() + VT_MS), -ETIMEDOUT);
    vt_shield(false);
    t.a->pong = vt__mem_alloc(
        VT__WS_CONTROL_MAX); /* as if the reader had left it while the next one has the lock */
    memcpy(t.a->pong, "noted", t.a->pong_len = 5);
    t.a->noted = VT__WSC_PONG;
    vt_task *b = vt_async(whole_one, NULL);
    CHECK(raw_is(0x8a, "noted") && !ended); /* said by who waits for his turn, before he does */
    vt_cancel(a);
    CHECK(raw_is(0x80, "") && raw_is(0x81, "whole"));
    CHECK(vt_await(a, &r) == 0 && r == 0);
    CHECK(vt_await(b, &r) == 0 && r == 0);
    a = vt_async(in_fragments, &ended); /* a close frame ends the wait for a turn */
    CHECK(raw_is(0x01, "half"));
    b = vt_async(whole_one, NULL);
    CHECK(vt_sleep_ms(5) == 0 && vt_ws_close(t.a, VT_NONE, NULL) == 0);
    CHECK(vt_await(b, &r) == 0 && r == VT_EWSCLOSED);
    vt_cancel(a);
    CHECK(vt_await(a, NULL) == 0);
    raw_end();
    return 0;
}
TEST(turns_of_messages_in_fragments) { run(turns); }

/* What has begun cannot be ended any more: who waits for his turn hears of it. */
static int turn_of_the_dead(void *arg) {
    vt_ws_cfg cfg = {.close_ms = VT_NONE};
    int r = 0;
    (void)arg;
    CHECK(open_pair(&cfg, ""));
    CHECK_EQ(vt_ws_begin(t.a, VT_WS_TEXT), 0);
    CHECK_EQ(vt_ws_write(t.a, "half", 4), 4);
    vt_task *b = vt_async(whole_one, NULL);
    CHECK_EQ(vt_sleep_ms(5), 0);
    close(t.cb.pd.fd);
    CHECK_EQ(vt_ws_write(t.a, "more", 4), -EPIPE);
    CHECK_EQ(vt_ws_end(t.a), -EPIPE);
    int64_t before = vt_deadline_set(vt_now() + 20 * VT_SEC);
    bool ended = vt_await(b, &r) == 0;
    vt_deadline_set(before);
    CHECK(ended && r == -EPIPE);
    if (!ended) vt_cancel(b), (void)vt_await(b, NULL);
    vt__wsc_client_free(t.a);
    vt__wsc_client_free(t.b);
    vt__conn_close(&t.ca);
    return 0;
}
TEST(turns_end_when_nothing_can_be_sent) { run(turn_of_the_dead); }
