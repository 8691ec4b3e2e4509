/* WebSockets over HTTP/2 (RFC 8441): what e2e_ws.c has of HTTP/1.1, and what is this transport's own. */
/* variants: default asan tsan poll */
#define VTHTTP_H2 1
#include "e2e.h"

#include "h2client.h"

#define WS_H2 1
#include "e2e_ws.c"

/* ---- what only this transport has ---- */
static int ordinary(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_field(res, "X-Set", "yes");
    return vt_res_text(res, 200, "ordinary");
}
static int shows(vt_ws *ws, vt_req *req) {
    char text[300];
    int n = snprintf(text, sizeof text, "%s %s %s %d %s %s", vt_req_method(req).ptr, vt_req_target(req).ptr,
                     vt_req_path(req).ptr, vt_req_version(req), vt_req_scheme(req), vt_req_host(req).ptr);
    return vt_ws_send(ws, VT_WS_TEXT, text, (size_t)n);
}
/* The bytes back, by hand; and at their end one more. */
static int bytes(vt_req *req, vt_res *res) {
    char buf[1000];
    vt_stream *st;
    int64_t n, r = vt_res_upgrade(res, "echo", &st);
    if (r != VT_ESTATE || vt_req_read(req, buf, sizeof buf) != 0) return VT_ESTATE;
    if ((r = vt_res_upgrade(res, "WebSocket", &st)) < 0) return (int)r;
    while ((n = vt_stream_read(st, buf, sizeof buf)) > 0)
        if ((r = vt_stream_write(st, buf, (size_t)n)) < 0) return (int)r;
    seen.result = (int)n;
    if (n == 0 && vt_stream_write(st, ".", 1) != 1) n = -EIO;
    if (n == 0) r = vt_stream_shutdown(st);
    seen.aux = (int)vt_stream_write(st, "late", 4);
    seen_start();
    return vt_req_query(req, "fail").ptr ? -EIO : (int)r;
}
/* Sends until that fails, and is in no hurry to leave. */
static int slow_to_leave(vt_ws *ws, vt_req *req) {
    static char block[100000];
    int r;
    (void)req;
    while ((r = vt_ws_send(ws, VT_WS_BINARY, block, sizeof block)) == 0) continue;
    seen.result = r;
    seen_start();
    vt_shield(true); /* it is cancelled, as nothing can be said any more */
    while (!load(&seen.aux)) (void)vt_sleep_ms(2);
    vt_shield(false);
    return r;
}
/* Has something left when it is back from its sleep, more to say, and keeps its OS thread. */
static int busy(vt_ws *ws, vt_req *req) {
    static char block[1000];
    (void)req;
    int r = vt_ws_send(ws, VT_WS_BINARY, block, sizeof block);
    if (r == 0) r = vt_sleep_ms(5);
    if (r == 0) r = vt_ws_text(ws, "more");
    seen_start();
    while (r == 0 && !load(&seen.aux)) poll(NULL, 0, 1);
    seen_end(ws, r);
    return r;
}
/* Leaves something that it has gathered, and sleeps on. */
static int leaves(vt_ws *ws, vt_req *req) {
    static char block[4000];
    int r = 0;
    (void)req;
    for (int i = 0; i < 3 && r == 0; i++) r = vt_ws_send(ws, VT_WS_BINARY, block, sizeof block);
    seen_start();
    if (r == 0) r = vt_sleep(1000 * VT_SEC);
    seen_end(ws, r);
    return r;
}
static void routes_h2(vt_server *s) {
    routes(s);
    vt_server_get(s, "/ordinary", ordinary);
    vt_server_get(s, "/bytes", bytes);
    vt_server_ws(s, "/shows", shows, NULL);
    vt_server_ws(s, "/stays", slow_to_leave, NULL);
    vt_server_ws(s, "/busy", busy, NULL);
    vt_server_ws(s, "/leaves", leaves, NULL);
}
static bool begin_h2(const vt_server_cfg *cfg) {
    seen_reset();
    return e2e_start(cfg, routes_h2) == 0;
}
/* A WebSocket on a connection that has others; its id. */
static uint32_t shake(struct h2 *h, const char *path) {
    char what[200];
    snprintf(what, sizeof what, "CONNECT %s", path);
    uint32_t id = h2_ask(h, what, WS_ASK, false);
    struct h2_stream *s = h2_of(h, id);
    H2_UNTIL(h, s->status || s->rst >= 0);
    return s->status == 200 ? id : 0;
}
static bool puts_frame(struct h2 *h, uint32_t id, unsigned first, const char *text) {
    uint8_t b[200];
    return h2_data(h, id, b, ws_frame(b, first, text, strlen(text)), false);
}
/* Whether these bytes, and no others, are what comes next. */
static bool gets(struct h2 *h, uint32_t id, const char *p, size_t n) {
    struct h2_stream *s = h2_of(h, id);
    H2_UNTIL(h, s->body_len >= n);
    bool same = s->body_len == n && memcmp(s->body, p, n) == 0;
    s->body_len = 0;
    return same;
}
TEST(b119_handshake_by_connect) {
    H2(h);
    REQUIRE(begin_h2(NULL));
    REQUIRE(h2_open(&h));
    H2_UNTIL(&h, h.settings > 0);
    CHECK_EQ(h.connect_protocol, 1);
    uint32_t id = h2_ask(&h, "CONNECT /shows?q", WS_ASK "sec-websocket-extensions: permessage-deflate\n",
                         false);
    struct h2_stream *s = h2_of(&h, id);
    H2_UNTIL(&h, s->status);
    CHECK_EQ(s->status, 200);
    CHECK(h2_field(s, "date") != NULL);
    CHECK(!h2_field(s, "sec-websocket-accept") && !h2_field(s, "sec-websocket-extensions"));
    CHECK(!h2_field(s, "upgrade") && !h2_field(s, "connection") && !h2_field(s, "content-length"));
    char want[100];
    int n = snprintf(want, sizeof want, "GET /shows?q /shows 20 %s a.example", E2E_SCHEME);
    H2_UNTIL(&h, s->body_len >= (size_t)n + 2);
    CHECK_MEM(s->body + 2, s->body_len < (size_t)n + 2 ? 0 : (size_t)n, want, n);
    CHECK_EQ(s->body[0] & 0xff, 0x81);
    uint8_t bye[20];
    CHECK(h2_data(&h, id, bye, ws_frame(bye, 0x88, "\x03\xe8", 2), false));
    CHECK_EQ(h2_wait(&h, id), 200); /* the stream's end, and no reset */
    CHECK_EQ(s->rst, -1);
    CHECK(h2_data(&h, id, NULL, 0, true));
    CHECK_EQ(h2_get(&h, "/ordinary"), 200); /* the connection goes on */
    CHECK_EQ(s->rst, -1);
    h2_close(&h);
    CHECK_EQ(e2e_stop(), 0);
}
static int asks(struct h2 *h, const char *what, const char *lines) {
    return h2_wait(h, h2_ask(h, what, lines, false));
}
#define TO ":authority: a.example\n"
TEST(b119_what_is_refused_is_answered) {
    H2(h);
    REQUIRE(begin_h2(NULL));
    REQUIRE(h2_open(&h));
    CHECK_EQ(h2_get(&h, "/echo"), 426);
    CHECK_STR(h2_field(h.s, "sec-websocket-version"), "13");
    CHECK(!h2_field(h.s, "upgrade") && !h2_field(h.s, "connection"));
    CHECK_EQ(asks(&h, "CONNECT /echo", TO ":protocol: websocket\n"), 426);
    CHECK_EQ(asks(&h, "CONNECT /echo", TO ":protocol: websocket\nsec-websocket-version: 8\n"), 426);
    CHECK_STR(h2_field(h.s, "sec-websocket-version"), "13");
    CHECK_EQ(asks(&h, "CONNECT /echo", WS_ASK "sec-websocket-version: 13\n"), 426);
    CHECK_EQ(asks(&h, "CONNECT /echo", WS_ASK "sec-websocket-protocol: a,,b\n"), 400);
    CHECK_EQ(asks(&h, "CONNECT /echo", WS_ASK "origin: http://evil\n"), 403);
    CHECK_EQ(asks(&h, "CONNECT /nowhere", WS_ASK), 404);
    CHECK_EQ(asks(&h, "CONNECT /echo", TO ":protocol: connect-udp\n"), 501);
    CHECK_EQ(asks(&h, "CONNECT /ordinary", TO ":protocol: connect-udp\n"), 501);
    /* what would be taken for a yes is none, nor are the bytes behind it */
    CHECK_EQ(asks(&h, "CONNECT /ordinary", WS_ASK), 400);
    CHECK_EQ(h.s->body_len, 0);
    CHECK(!h2_field(h.s, "x-set") && !h2_field(h.s, "content-type"));
    CHECK_EQ(asks(&h, "CONNECT /hand?plain", WS_ASK), 400);
    CHECK_EQ(h.s->body_len, 0);
    uint32_t id = shake(&h, "/echo");
    CHECK(id && puts_frame(&h, id, 0x81, "still") && gets(&h, id, "\x81\x05still", 7));
    CHECK_EQ(h2_get(&h, "/ordinary"), 200);
    h2_close(&h);
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, ""), 0);
}
/* Who has parted and does not end its side is not waited for as long as a body is. */
TEST(b125_a_stream_that_is_over_goes) {
    vt_server_cfg cfg = {.body_timeout_ms = 3 * E2E_MS};
    H2(h);
    REQUIRE(begin_h2(&cfg));
    REQUIRE(h2_open(&h));
    uint32_t id = shake(&h, "/echo");
    CHECK(id && puts_frame(&h, id, 0x88, "\x03\xe8") && gets(&h, id, "\x88\x02\x03\xe8", 4));
    CHECK_EQ(h2_wait(&h, id), 200);
    struct h2_stream *s = h.s;
    H2_UNTIL(&h, s->rst >= 0);
    CHECK_EQ(s->rst, VT__H2_NO_ERROR);
    CHECK_EQ(h2_get(&h, "/ordinary"), 200);
    h2_close(&h);
    CHECK_EQ(e2e_stop(), 0);
}
/* The end of one stream is that of its WebSocket alone. */
TEST(b127_streams_end_one_by_one) {
    H2(h);
    REQUIRE(begin_h2(NULL));
    REQUIRE(h2_open(&h));
    uint32_t stays = shake(&h, "/echo"), ends = shake(&h, "/echo"), reset = shake(&h, "/echo");
    CHECK(stays && ends && reset && h2_data(&h, ends, NULL, 0, true));
    CHECK(comes(&seen.ended, 1));
    CHECK_EQ(seen.result, VT_EEOF);
    CHECK_EQ(seen.code, 1006);
    CHECK_EQ(h2_wait(&h, ends), 200); /* nothing was wrong with the stream */
    CHECK(h2_rst(&h, reset) && comes(&seen.ended, 2));
    CHECK(seen.result == -ECONNRESET || seen.result == -ECANCELED);
    for (int i = 0; i < 2; i++) { /* who waits for something else hears of both as well */
        uint32_t id = shake(&h, "/sleeper");
        CHECK(id && gets(&h, id, "\x81\x08sleeping", 10));
        CHECK(i ? h2_rst(&h, id) : h2_data(&h, id, NULL, 0, true));
        CHECK(comes(&seen.ended, 3 + i));
        CHECK_EQ(seen.result, -ECANCELED);
        if (i == 0) CHECK(h2_wait(&h, id) == 200 && h.s->body_len == 0); /* nothing is said to who is gone */
    }
    uint32_t whole = h2_ask(&h, "CONNECT /echo", WS_ASK, true); /* it ends with its head */
    CHECK_EQ(h2_wait(&h, whole), 200);
    CHECK(comes(&seen.ended, 5));
    CHECK_EQ(seen.result, VT_EEOF);
    CHECK(puts_frame(&h, stays, 0x81, "still") && gets(&h, stays, "\x81\x05still", 7));
    CHECK_EQ(h2_get(&h, "/ordinary"), 200);
    CHECK(puts_frame(&h, stays, 0x81, "close") && gets(&h, stays,
                                                       "\x81\x05"
                                                       "close",
                                                       7));
    h2_close(&h);
    CHECK(comes(&seen.ended, 6));
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, ""), 0);
}
TEST(many_websockets_on_one_connection) {
    enum { MANY = 60 };
    H2(h);
    uint32_t ids[MANY];
    char text[40], want[42];
    REQUIRE(begin_h2(NULL));
    REQUIRE(h2_open(&h));
    for (int i = 0; i < MANY; i++) REQUIRE((ids[i] = shake(&h, "/echo")) != 0);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < MANY; i++) {
            snprintf(text, sizeof text, "%d in %d", i, round);
            CHECK(puts_frame(&h, ids[i], 0x81, text));
        }
        CHECK_EQ(h2_get(&h, "/ordinary"), 200);
        for (int i = 0; i < MANY; i++) {
            int n = snprintf(want, sizeof want, "\x81%c%d in %d", 0, i, round);
            want[1] = (char)(n - 2);
            CHECK(gets(&h, ids[i], want, (size_t)n));
        }
    }
    h2_close(&h);
    CHECK(comes(&seen.ended, MANY));
    CHECK_EQ(e2e_stop(), 0);
}
/* With the window of all streams used up by one without an end, the first bytes of a new one are also another's. */
TEST(b143_a_flood_leaves_requests_their_turn) {
    H2(h);
    REQUIRE(begin_h2(NULL));
    REQUIRE(h2_open_window(&h, 1 << 24, 0));
    h.hold = true;
    uint32_t flood = shake(&h, "/flood");
    REQUIRE(flood);
    struct h2_stream *s = h2_of(&h, flood);
    H2_UNTIL(&h, s->body_len >= VT__H2_WINDOW_FIRST);
    for (int i = 0; i < 3; i++) {
        uint32_t id = h2_ask(&h, "GET /ordinary", NULL, true);
        H2_UNTIL(&h, h2_of(&h, id)->status);
        CHECK(h2_credit(&h, 0, 20000));
        CHECK_EQ(h2_wait(&h, id), 200);
        CHECK_STR(h.s->body, "ordinary");
    }
    CHECK(h2_rst(&h, flood) && comes(&seen.ended, 1));
    CHECK(h2_credit(&h, 0, 1000));
    CHECK_EQ(h2_get(&h, "/ordinary"), 200);
    h2_close(&h);
    CHECK_EQ(e2e_stop(), 0);
}
/* What the window had no room for comes once it has, while the handler sleeps on; on whichever worker that is. */
TEST(b134_the_window_opens_while_the_handler_sleeps) {
    REQUIRE(begin_h2(NULL));
    for (int i = 0; i < 8; i++) {
        H2(h);
        REQUIRE(h2_open_window(&h, 3, 0));
        uint32_t id[4];
        h.hold = true;
        for (int k = 0; k < 4; k++) REQUIRE((id[k] = shake(&h, "/sleeper")) != 0);
        for (int k = 0; k < 4; k++) CHECK(gets(&h, id[k], "\x81\x08s", 3));
        CHECK(comes(&seen.started, 4 * i + 4));
        for (int k = 3; k >= 0; k--) CHECK(h2_credit(&h, id[k], 4) && gets(&h, id[k], "leep", 4));
        for (int k = 0; k < 4; k++) CHECK(h2_credit(&h, id[k], 100) && gets(&h, id[k], "ing", 3));
    }
    CHECK(comes(&seen.ended, 32));
    CHECK_EQ(e2e_stop(), 0);
}
/* Many have something left, and take turns. */
TEST(b143_each_has_its_turn) {
    enum { MANY = 12 };
    uint32_t ids[MANY];
    H2(h);
    REQUIRE(begin_h2(NULL));
    REQUIRE(h2_open_window(&h, 1 << 24, 0));
    h.hold = true;
    for (int i = 0; i < MANY; i++) REQUIRE((ids[i] = shake(&h, "/leaves")) != 0);
    REQUIRE(comes(&seen.started, MANY));
    H2_UNTIL(&h, h.received >= VT__H2_WINDOW_FIRST);
    CHECK(h2_credit(&h, 0, 1 << 20));
    for (int i = 0; i < 4; i++) CHECK_EQ(h2_get(&h, "/ordinary"), 200);
    for (int i = 0; i < MANY; i++) {
        struct h2_stream *s = h2_of(&h, ids[i]);
        H2_UNTIL(&h, s->body_len >= 3 * 4004);
        CHECK_EQ(s->body_len, 3 * 4004);
    }
    h2_close(&h);
    CHECK(comes(&seen.ended, MANY));
    CHECK_EQ(e2e_stop(), 0);
}
/* A turn that it does not take is another's, also where its handler has the output on a thread that is not to be had. */
TEST(b115_b143_who_does_not_take_its_turn_loses_it) {
    if (VTHTTP_SIM) SKIP("there is no monitor");
    H2(h);
    REQUIRE(begin_h2(NULL));
    REQUIRE(h2_open_window(&h, 100, 0));
    h.hold = true;
    uint32_t id = shake(&h, "/busy");
    REQUIRE(id && comes(&seen.started, 1));
    CHECK(h2_credit(&h, id, 10000));
    for (int i = 0; i < 4; i++) CHECK_EQ(h2_get(&h, "/ordinary"), 200);
    __atomic_store_n(&seen.aux, 1, __ATOMIC_SEQ_CST);
    struct h2_stream *s = h2_of(&h, id);
    H2_UNTIL(&h, s->body_len >= 1004 + 6 + 4);
    CHECK_EQ(s->body_len, 1004 + 6 + 4);
    h2_close(&h);
    CHECK_EQ(e2e_stop(), 0);
}
/* A write that takes too long tears its frame: the stream is reset, whenever its handler ends, and does not keep others from
 * their turns meanwhile. */
TEST(b098_a_write_that_takes_too_long) {
    vt_server_cfg cfg = {.write_timeout_ms = 300};
    H2(h);
    REQUIRE(begin_h2(&cfg));
    REQUIRE(h2_open_window(&h, 1 << 24, 0));
    h.hold = true;
    uint32_t torn = shake(&h, "/stays");
    REQUIRE(torn && comes(&seen.started, 1));
    CHECK_EQ(seen.result, -ETIMEDOUT);
    struct h2_stream *s = h2_of(&h, torn);
    H2_UNTIL(&h, s->body_len >= VT__H2_WINDOW_FIRST);
    CHECK(h2_credit(&h, 0, 1000));
    for (int i = 0; i < 4; i++) CHECK_EQ(h2_get(&h, "/ordinary"), 200);
    CHECK_EQ(s->body_len, VT__H2_WINDOW_FIRST);
    __atomic_store_n(&seen.aux, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(h2_wait(&h, torn), H2_RST - VT__H2_CANCEL);
    CHECK_EQ(h2_get(&h, "/ordinary"), 200);
    h2_close(&h);
    CHECK_EQ(e2e_stop(), 0);
}
/* ... without a codec: half-closed by either side, or cut off. */
TEST(b116_raw_bytes_by_connect) {
    H2(h);
    REQUIRE(begin_h2(NULL));
    REQUIRE(h2_open(&h));
    uint32_t id = shake(&h, "/bytes");
    REQUIRE(id);
    for (int i = 0; i < 3; i++) CHECK(h2_data(&h, id, "raw", 3, false) && gets(&h, id, "raw", 3));
    CHECK(h2_data(&h, id, "end", 3, true));
    CHECK_EQ(h2_wait(&h, id), 200);
    CHECK_STR(h.s->body, "end.");
    CHECK(comes(&seen.started, 1));
    CHECK_EQ(seen.result, 0);
    CHECK_EQ(seen.aux, -EPIPE);
    id = shake(&h, "/bytes?fail");
    CHECK(id && h2_rst(&h, id) && comes(&seen.started, 2));
    CHECK(seen.result < 0);
    CHECK_EQ(h2_get(&h, "/bytes"), 500); /* VT_ESTATE: it is not asked for */
    CHECK_EQ(h2_get(&h, "/ordinary"), 200);
    h2_close(&h);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(b133_stop_ends_all_streams_and_the_connection) {
    H2(h);
    REQUIRE(begin_h2(NULL));
    REQUIRE(h2_open(&h));
    uint32_t a = shake(&h, "/echo"), b = shake(&h, "/sleeper");
    REQUIRE(a && b && comes(&seen.started, 2));
    CHECK(gets(&h, b, "\x81\x08sleeping", 10));
    vt_server_stop(e2e.s);
    CHECK(gets(&h, a, "\x88\x02\x03\xe9", 4) && gets(&h, b, "\x88\x02\x03\xe9", 4));
    uint8_t bye[20];
    size_t n = ws_frame(bye, 0x88, "\x03\xe9", 2);
    CHECK(h2_data(&h, a, bye, n, true) && h2_data(&h, b, bye, n, true));
    CHECK_EQ(h2_wait(&h, a), 200);
    CHECK_EQ(h2_wait(&h, b), 200);
    CHECK_EQ(h2_ended(&h), 0);
    h2_close(&h);
    CHECK_EQ(e2e_join(), 0);
    CHECK_EQ(e2e_logged(VT_LOG_WARN, "still running"), 0);
}
