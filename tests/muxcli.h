/* Calls over a protocol whose connections calls share, against this library's server, of all workers. Behind cliserver.h,
 * handlers.h and wscli.h, and what says which protocol:
 *
 *     #define MUX_VERSION "20"                            as vt_req_version has it
 *     #define MUX_TLS 0                                   1: https
 *     #define MUX_CROWD 2                                 connections that 150 callers share, at most
 *     static void mux_speak(vt_client_cfg *c);            the client speaks it
 *     static vt_server *mux_server(vt_server_cfg c);      a server that does, by its listener number MUX_TLS
 *     static void mux_began(vt_client *c);                it has a client
 */
#ifndef VT_MUXCLI_H
#define VT_MUXCLI_H
/*--- this library's server ---*/
static char base[64];
static const char *at(const char *path) { return url_at(base, path); }
/* How many of h_crowd there are; the most so far; and until so many were there at once they stay. */
static int in_handler, peak_in_handler, peak_wanted;
static int max_requests; /* of a connection; 0: no limit */
/* By which connection, and which version, it came. */
static int h_who(vt_req *req, vt_res *res) {
    return vt_res_printf(res, 200, "%d %s", vt_req_version(req), vt_req_peer(req));
}
static int h_fields(vt_req *req, vt_res *res) {
    vt_res_field(res, "X-Two", "a");
    vt_res_field_add(res, "X-Two", "b");
    return vt_res_printf(res, 200, "%.*s %.*s %.*s", (int)vt_req_method(req).len, vt_req_method(req).ptr,
                         (int)vt_req_field(req, "host").len, vt_req_field(req, "host").ptr,
                         (int)vt_req_field(req, "x-mine").len, vt_req_field(req, "x-mine").ptr);
}
static int h_moved(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_redirect(res, 303, "/who");
}
static int h_crowd(vt_req *req, vt_res *res) {
    int now = __atomic_add_fetch(&in_handler, 1, __ATOMIC_SEQ_CST),
        was = __atomic_load_n(&peak_in_handler, __ATOMIC_SEQ_CST);
    while (now > was && !__atomic_compare_exchange_n(&peak_in_handler, &was, now, false, __ATOMIC_SEQ_CST,
                                                     __ATOMIC_SEQ_CST))
        continue;
    for (int i = 0; i < 20000 && __atomic_load_n(&peak_in_handler, __ATOMIC_SEQ_CST) < peak_wanted; i++)
        if (vt_sleep_ms(1) < 0) break;
    int r = h_slept(req, res);
    __atomic_fetch_sub(&in_handler, 1, __ATOMIC_SEQ_CST);
    return r;
}
static int waited, cancelled;
static int h_wait(vt_req *req, vt_res *res) {
    (void)req, (void)res;
    __atomic_fetch_add(&waited, 1, __ATOMIC_SEQ_CST);
    int r = vt_sleep_ms(60000);
    __atomic_fetch_add(&cancelled, r == -ECANCELED, __ATOMIC_SEQ_CST);
    return r;
}
static int h_upgrade(vt_req *req, vt_res *res) {
    vt_stream *st;
    char buf[100];
    (void)req;
    int64_t n, r = vt_res_upgrade(res, "echo", &st);
    while (r >= 0 && (n = vt_stream_read(st, buf, sizeof buf)) > 0) r = vt_stream_write(st, buf, (size_t)n);
    return (int)r;
}
/* It does not read, and goes on until it is told. */
static int ws_deaf(vt_ws *ws, vt_req *req) {
    (void)ws;
    return h_wait(req, NULL);
}
static int ws_flood(vt_ws *ws, vt_req *req) {
    static const char block[1000] = "flood";
    int r;
    (void)req;
    while ((r = vt_ws_send(ws, VT_WS_BINARY, block, sizeof block)) == 0) continue;
    __atomic_fetch_add(&cancelled, 1, __ATOMIC_SEQ_CST);
    return r;
}
static vt_client *client_of(const vt_client_cfg *cfg) {
    vt_client_cfg c = cfg ? *cfg : (vt_client_cfg){0};
    mux_speak(&c);
    return vt_client_new(&c);
}
static void up_with(int streams, const vt_client_cfg *cfg) {
    vt_client_cfg c = cfg ? *cfg : (vt_client_cfg){0};
    mux_speak(&c);
    server = mux_server((vt_server_cfg){.max_body = VT_NONE,
                                        .max_streams = streams,
                                        .max_keep_alive = max_requests,
                                        .cancel_on = VT_CANCEL_FIN});
    vt_server_get(server, "/who", h_who);
    vt_server_handle(server, NULL, "/fields", h_fields);
    vt_server_get(server, "/bytes/{n}", h_bytes);
    vt_server_post(server, "/count", h_count);
    vt_server_post(server, "/echo", h_echo);
    vt_server_get(server, "/none", h_none);
    vt_server_get(server, "/hints", h_hints);
    vt_server_get(server, "/fail", h_fail);
    vt_server_get(server, "/wait", h_wait);
    vt_server_get(server, "/crowd/{ms}", h_crowd);
    vt_server_get(server, "/upgrade", h_upgrade);
    vt_server_handle(server, "POST", "/moved", h_moved);
    ws_serve(server);
    vt_server_ws(server, "/ws/deaf", ws_deaf, NULL);
    vt_server_ws(server, "/ws/flood", ws_flood, NULL);
    peak_in_handler = peak_wanted = in_handler = waited = cancelled = 0;
    server_up(&c);
    snprintf(base, sizeof base, "%s", base_of(MUX_TLS));
    mux_began(client);
}
static int get(const char *path, const char *body) { return get_by(client, at(path), body); }

CLI_TEST(the_simple_calls, 2) {
    char want[100];
    up_with(0, NULL);
    vt_call *call = vt_client_get(client, at("/who"));
    CHECK_EQ(vt_call_status(call), 200);
    CHECK(strncmp(vt_call_text(call).ptr, MUX_VERSION " 127.0.0.1:", 13) == 0);
    CHECK_STR(vt_call_res_field(call, "Content-Type").ptr, "text/plain;charset=utf-8");
    snprintf(want, sizeof want, "%s", vt_call_text(call).ptr);
    vt_call_free(call);
    for (int i = 0; i < 5; i++) CHECK_EQ(get("/who", want), 200); /* by the same connection */
    CHECK_EQ(client->conns, 1);
    CHECK_EQ(client->nidle, 1);
    CHECK_EQ(get("/none", ""), 204);
    CHECK_EQ(get("/nowhere", NULL), 404);
    CHECK_EQ(get("/fail", NULL), 500);
    CHECK_EQ(get("/hints", "after"), 200);
    call = vt_client_post(client, at("/echo"), "text/plain", "a body", 6);
    CHECK_EQ(vt_call_status(call), 200);
    CHECK_STR(vt_call_text(call).ptr, "a body");
    vt_call_free(call);
    call = vt_client_post(client, at("/count"), NULL, "", 0);
    CHECK_STR(vt_call_text(call).ptr, "0 0 -");
    vt_call_free(call);
    call = vt_client_post(client, at("/moved"), NULL, "x", 1);
    CHECK_EQ(vt_call_status(call), 200);
    CHECK_STR(vt_call_text(call).ptr, want);
    CHECK_STR(vt_call_url(call), at("/who"));
    vt_call_free(call);
    CHECK_EQ(client->conns, 1);
    down();
}
CLI_TEST(fields_and_heads, 1) {
    vt_str name, value;
    up_with(0, NULL);
    vt_call *call = vt_call_new(client, "PATCH", at("/fields"));
    CHECK_EQ(vt_call_field(call, "X-Mine", "value"), 0);
    CHECK_EQ(vt_call_field(call, "Host", "another.example"), 0);
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_STR(vt_call_text(call).ptr, "PATCH another.example value");
    CHECK_STR(vt_call_res_field(call, "X-Two").ptr, "a, b");
    CHECK_STR(vt_call_res_field_at(call, "x-two", 1).ptr, "b");
    CHECK_EQ(vt_call_res_field_nth(call, 0, &name, &value), 1);
    CHECK(!vt_call_res_field(call, ":status").ptr);
    vt_call_free(call);
    call = vt_call_new(client, "HEAD", at("/bytes/70000?length"));
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_length(call), 0);
    CHECK_STR(vt_call_res_field(call, "content-length").ptr, "70000");
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_EQ(vt_call_text(call).len, 0);
    vt_call_free(call);
    CHECK_EQ(client->conns, 1);
    CHECK_EQ(client->nidle, 1);
    down();
}
/* Windows grow, and both ways wait for each other. */
enum { LARGE = 8 << 20 };
static int64_t piece(void *ctx, void *buf, size_t n) {
    int64_t *left = ctx;
    n = (size_t)VT__MIN((int64_t)n, *left);
    memset(buf, 'p', n);
    *left -= (int64_t)n;
    return (int64_t)n;
}
CLI_TEST(large_bodies, 2) {
    static char big[LARGE];
    char want[100];
    up_with(0, &(vt_client_cfg){.max_body = VT_NONE});
    const char *urls[] = {"/bytes/8388608", "/bytes/8388608?length", "/bytes/1", "/bytes/65535"};
    for (size_t i = 0; i < VT__COUNT(urls); i++) {
        vt_call *call = vt_client_get(client, at(urls[i]));
        CHECK_EQ(vt_call_status(call), 200);
        CHECK_EQ(vt_call_text(call).len, atoi(urls[i] + 7));
        CHECK_EQ(vt_call_length(call), i == 1 ? LARGE : -1);
        if (i != 1) CHECK_STR(vt_call_res_trailer(call, "x-end").ptr, "reached");
        vt_call_free(call);
    }
    vt_call *call = vt_client_post(client, at("/echo"), NULL, big, sizeof big);
    CHECK_EQ(vt_call_text(call).len, sizeof big);
    vt_call_free(call);
    for (int known = 0; known < 2; known++) {
        int64_t left = LARGE;
        call = vt_call_new(client, "POST", at("/count"));
        CHECK_EQ(vt_call_body_from(call, piece, &left, known ? LARGE : -1), 0);
        CHECK_EQ(vt_call_trailer(call, "X-Sum", "all"), 0);
        CHECK_EQ(vt_call_send(call), 200);
        CHECK_EQ(vt_call_whole(call), 0);
        snprintf(want, sizeof want, "%d %d all", LARGE, known ? LARGE : -1);
        CHECK_STR(vt_call_text(call).ptr, want);
        vt_call_free(call);
    }
    call = vt_call_new(client, "POST", at("/count"));
    CHECK_EQ(vt_call_open(call, -1), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(vt_call_write(call, big, (size_t)i * 1000), i * 1000);
        if (i % 10 == 0) CHECK_EQ(vt_call_flush(call), 0);
    }
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_STR(vt_call_text(call).ptr, "4950000 -1 -");
    vt_call_free(call);
    CHECK_EQ(client->conns, 1);
    down();
}
/* However much nobody reads, others are served. */
CLI_TEST(unread_bodies_hold_up_nobody, 2) {
    vt_call *left[20];
    up_with(0, NULL);
    for (int i = 0; i < 20; i++) {
        left[i] = vt_call_new(client, "GET", at("/bytes/5000000"));
        CHECK_EQ(vt_call_send(left[i]), 200);
    }
    vt_sleep_ms(50);
    for (int i = 0; i < 5; i++) {
        vt_call *call = vt_client_get(client, at("/bytes/1000000"));
        CHECK_EQ(vt_call_text(call).len, 1000000);
        vt_call_free(call);
    }
    for (int i = 1; i < 20; i++) vt_call_free(left[i]);
    CHECK_EQ(vt_call_whole(left[0]), 0);
    CHECK_EQ(vt_call_text(left[0]).len, 5000000);
    vt_call_free(left[0]);
    CHECK_EQ(client->conns, 1);
    CHECK_EQ(get("/hints", "after"), 200);
    down();
}
enum { CALLERS = 150, ROUNDS = 6 };
static int caller(void *arg) {
    int id = (int)(intptr_t)arg, good = 0;
    char text[100];
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(text, sizeof text, "%d of %d", i, id);
        vt_call *call = vt_client_post(client, at("/echo"), NULL, text, strlen(text));
        good += vt_call_status(call) == 200 && strcmp(vt_call_text(call).ptr, text) == 0;
        vt_call_free(call);
        if (i % 3 == 0) vt_yield();
    }
    return good;
}
static void callers(int n, vt_fn *fn, int want) {
    vt_task *t[CALLERS];
    for (int i = 0; i < n; i++) t[i] = vt_async_any(fn, (void *)(intptr_t)i);
    for (int i = 0; i < n; i++) {
        int good = 0;
        CHECK_EQ(vt_await(t[i], &good), 0);
        CHECK_EQ(good, want);
    }
}
/* All begin at once, on all workers: one connection is made, and another when its 100 places are taken. */
CLI_TEST(shared_by_all_workers, 4) {
    up_with(0, NULL);
    callers(CALLERS, caller, ROUNDS);
    CHECK(client->conns <= MUX_CROWD);
    settles(client, client->conns);
    down();
}
static int crowd_caller(void *arg) {
    (void)arg;
    return get("/crowd/30", "slept");
}
/* What the server takes at once is not exceeded: calls wait where the pool may have no more connections, or else get one. */
CLI_TEST(the_peers_limit, 2) {
    up_with(2, &(vt_client_cfg){.max_connections_host = 1});
    peak_wanted = 2;
    callers(8, crowd_caller, 200);
    CHECK_EQ(peak_in_handler, 2);
    CHECK_EQ(client->conns, 1);
    vt_client_free(client);
    peak_in_handler = 0, peak_wanted = 3;
    client = client_of(&(vt_client_cfg){.max_connections_host = 3});
    callers(12, crowd_caller, 200);
    CHECK(peak_in_handler > 2 && peak_in_handler <= 6);
    CHECK(client->conns > 1 && client->conns <= 3);
    /* who waits has a deadline */
    vt_call *held[6], *call;
    for (int i = 0; i < 6; i++) {
        held[i] = vt_call_new(client, "GET", at("/wait"));
        CHECK_EQ(vt_call_open(held[i], -1), 0);
    }
    call = vt_call_new(client, "GET", at("/who"));
    vt_call_until(call, vt_now() + 50 * VT_MS);
    CHECK_EQ(vt_call_send(call), -ETIMEDOUT);
    vt_call_free(call);
    for (int i = 0; i < 6; i++) vt_call_free(held[i]);
    int r;
    while ((r = get("/hints", "after")) == VT_EREFUSED) vt_sleep_ms(10); /* until their handlers have ended */
    CHECK_EQ(r, 200);
    down();
}
/* The server's handlers that wait, now or before, reach n. */
static void waits(int n) {
    for (int i = 0; i < 20000 && __atomic_load_n(&waited, __ATOMIC_SEQ_CST) < n; i++) vt_sleep_ms(1);
    CHECK(__atomic_load_n(&waited, __ATOMIC_SEQ_CST) >= n);
}
static int wait_caller(void *arg) {
    (void)arg;
    return get("/wait", NULL);
}
/* One call's end is no other's: the server hears of it, and of nothing else. */
CLI_TEST(cancelled_on_all_workers, 4) {
    vt_task *t[40];
    up_with(0, NULL);
    vt_call *other = vt_call_new(client, "POST", at("/count"));
    CHECK_EQ(vt_call_open(other, 6), 0);
    CHECK_EQ(vt_call_write(other, "abc", 3), 3);
    CHECK_EQ(vt_call_flush(other), 0);
    for (int i = 0; i < 40; i++) t[i] = vt_async_any(wait_caller, NULL);
    for (int i = 0; i < 40; i++) {
        int r = 0;
        if (i % 8 == 0) vt_sleep_ms(3);
        if (i == 39) waits(1); /* not all of them before the server has heard of any */
        vt_cancel(t[i]);
        CHECK_EQ(vt_await(t[i], &r), 0);
        CHECK_EQ(r, -ECANCELED);
    }
    vt_call *late = vt_call_new(client, "GET", at("/wait"));
    vt_call_until(late, vt_now() + 20 * VT_MS);
    CHECK_EQ(vt_call_send(late), -ETIMEDOUT);
    vt_call_free(late);
    for (int i = 0; i < 5000 && !__atomic_load_n(&cancelled, __ATOMIC_SEQ_CST); i++) vt_sleep_ms(1);
    CHECK(__atomic_load_n(&cancelled, __ATOMIC_SEQ_CST) > 0);
    CHECK_EQ(vt_call_write(other, "def", 3), 3);
    CHECK_EQ(vt_call_send(other), 200);
    CHECK_EQ(vt_call_whole(other), 0);
    CHECK_STR(vt_call_text(other).ptr, "6 6 -");
    vt_call_free(other);
    CHECK_EQ(client->conns, 1);
    down();
}
/* An upgrade has a connection of its own, of HTTP/1.1. */
CLI_TEST(what_stays_on_http_1_1, 2) {
    vt_stream *st;
    up_with(0, NULL);
    CHECK_EQ(get("/who", NULL), 200);
    vt_call *call = vt_call_new(client, "GET", at("/upgrade"));
    CHECK_EQ(vt_call_upgrade(call, "echo"), 0);
    CHECK_EQ(vt_call_send(call), 101);
    CHECK_EQ(vt_call_stream(call, &st), 0);
    vt_call_free(call);
    call = vt_call_new(client, "GET", at("/who"));
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_stream(call, &st), VT_ESTATE);
    vt_call_free(call);
    down();
}
CLI_TEST(expect_100_continue, 1) {
    up_with(0, NULL);
    vt_call *call = vt_call_new(client, "POST", at("/count"));
    vt_call_expect(call);
    vt_call_body(call, "12345", 5);
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_STR(vt_call_text(call).ptr, "5 5 -");
    vt_call_free(call);
    call = vt_call_new(client, "POST", at("/nowhere")); /* the answer comes in its place */
    vt_call_expect(call);
    vt_call_body(call, "12345", 5);
    CHECK_EQ(vt_call_send(call), 404);
    vt_call_free(call);
    CHECK_EQ(get("/hints", "after"), 200);
    CHECK_EQ(client->conns, 1);
    down();
}
CLI_TEST(idle_connections, 2) {
    up_with(0, &(vt_client_cfg){.idle_timeout_ms = 20});
    CHECK_EQ(get("/hints", "after"), 200);
    settles(client, 0); /* in time */
    CHECK_EQ(get("/hints", "after"), 200);
    vt_client_free(client);
    client = client_of(&(vt_client_cfg){.max_idle = VT_NONE});
    CHECK_EQ(get("/hints", "after"), 200);
    settles(client, 0);
    vt_client_free(client);
    client = client_of(NULL);
    CHECK_EQ(get("/hints", "after"), 200);
    CHECK_EQ(client->nidle, 1);
    CHECK_EQ(vt_client_close_idle(client), 0); /* when asked */
    CHECK_EQ(client->conns, 0);
    CHECK_EQ(get("/hints", "after"), 200);
    vt_call *call = vt_call_new(client, "GET", at("/hints"));
    vt_call_field(call, "Connection", "close");
    CHECK_EQ(vt_call_send(call), 200);
    vt_call_free(call);
    settles(client, 0);
    down();
}

/*--- WebSockets: streams of the connection that calls use ---*/
static int ws_opens(const char *path, vt_ws **ws) {
    static const vt_ws_cfg hasty = {.close_ms = VT_NONE};
    return vt_client_ws(client, ws_url(base, path), &hasty, ws);
}
static void ws_answers(vt_ws *ws, const char *text) {
    vt_str m;
    CHECK_EQ(vt_ws_text(ws, text), 0);
    CHECK_EQ(vt_ws_recv(ws, &m), VT_WS_TEXT);
    CHECK_STR(m.ptr, text);
}
static void cancels(int n) {
    for (int i = 0; i < 5000 && __atomic_load_n(&cancelled, __ATOMIC_SEQ_CST) < n; i++) vt_sleep_ms(1);
    CHECK_EQ(__atomic_load_n(&cancelled, __ATOMIC_SEQ_CST), n);
}
CLI_TEST(websockets, 2) {
    up_with(0, NULL);
    ws_cases(client, base, MUX_VERSION);
    CHECK_EQ(get("/hints", "after"), 200);
    settles(client, 1);
    down();
}
CLI_TEST(websockets_with_many_senders, 4) {
    up_with(0, NULL);
    ws_many_senders(client, base);
    settles(client, 1);
    down();
}
static int chatter(void *arg) {
    vt_ws *ws;
    vt_str m;
    char text[100];
    int good = 0, r = vt_client_ws(client, ws_url(base, "/ws"), NULL, &ws);
    if (r < 0) return r;
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(text, sizeof text, "%d of %d", i, (int)(intptr_t)arg);
        if (vt_ws_text(ws, text) < 0) break;
        if (i % 3 == 0) vt_yield();
        good += vt_ws_recv(ws, &m) == VT_WS_TEXT && strcmp(m.ptr, text) == 0;
    }
    vt_ws_free(ws);
    return good;
}
/* All begin at once, before anybody knows whether the server takes them. */
CLI_TEST(websockets_of_all_workers, 4) {
    up_with(0, NULL);
    callers(CALLERS, chatter, ROUNDS);
    CHECK(client->conns <= MUX_CROWD);
    CHECK_EQ(get("/hints", "after"), 200);
    settles(client, client->conns);
    down();
}
/* They count as calls do: beyond the peer's limit there is another connection, or it is waited for. */
CLI_TEST(websockets_at_the_peers_limit, 2) {
    vt_ws *ws[4], *other;
    up_with(2, &(vt_client_cfg){.max_connections_host = 2});
    for (int i = 0; i < 4; i++) REQUIRE(vt_client_ws(client, ws_url(base, "/ws"), NULL, &ws[i]) == 0);
    CHECK_EQ(client->conns, 2);
    vt_call *call = vt_call_new(client, "GET", at("/hints"));
    vt_call_until(call, vt_now() + 50 * VT_MS);
    CHECK_EQ(vt_call_send(call), -ETIMEDOUT);
    vt_call_free(call);
    (void)vt_deadline_set(vt_now() + 50 * VT_MS);
    CHECK_EQ(ws_opens("/ws", &other), -ETIMEDOUT);
    (void)vt_deadline_set(0);
    for (int i = 0; i < 4; i++) ws_answers(ws[i], "still here");
    vt_ws_free(ws[1]);
    CHECK_EQ(get("/hints", "after"), 200); /* a place is free */
    CHECK_EQ(vt_client_ws(client, ws_url(base, "/ws"), NULL, &ws[1]), 0);
    if (ws[1]) ws_answers(ws[1], "and again");
    for (int i = 0; i < 4; i++) vt_ws_free(ws[i]);
    settles(client, 2);
    down();
}
/* Who does not read holds up who sends to him, and nobody else; either way. */
CLI_TEST(websockets_wait_for_their_peers, 2) {
    static const char block[4 << 20] = "block";
    vt_ws *deaf, *flood, *ws;
    vt_str m;
    up_with(0, NULL);
    REQUIRE(ws_opens("/ws/deaf", &deaf) == 0 && ws_opens("/ws/flood", &flood) == 0);
    REQUIRE(ws_opens("/ws", &ws) == 0);
    CHECK_EQ(vt_ws_send_until(deaf, VT_WS_BINARY, block, sizeof block, vt_now() + 100 * VT_MS), -ETIMEDOUT);
    CHECK_EQ(vt_ws_text(deaf, "behind a torn frame"), -ETIMEDOUT);
    CHECK_EQ(get("/hints", "after"), 200);
    vt_call *call = vt_client_get(client, at("/bytes/3000000"));
    CHECK_EQ(vt_call_text(call).len, 3000000);
    vt_call_free(call);
    for (int i = 0; i < 5000; i++) {
        CHECK_EQ(vt_ws_recv(flood, &m), VT_WS_BINARY);
        CHECK_EQ(m.len, 1000);
    }
    vt_ws_free(deaf); /* their handlers hear of it */
    vt_ws_free(flood);
    cancels(2);
    ws_answers(ws, "another's");
    vt_ws_free(ws);
    settles(client, 1);
    down();
}
static int ws_receives(void *ws) {
    vt_str m;
    return vt_ws_recv(ws, &m);
}
static int ws_waits(void *arg) {
    vt_ws *ws;
    (void)arg;
    return ws_opens("/wait", &ws);
}
CLI_TEST(websockets_are_cancelled, 2) {
    vt_ws *ws;
    vt_str m;
    up_with(0, &(vt_client_cfg){.read_timeout_ms = 1000});
    REQUIRE(vt_client_ws(client, ws_url(base, "/ws"), NULL, &ws) == 0);
    vt_task *t = vt_async(ws_receives, ws), *u = vt_async(ws_waits, NULL);
    waits(1); /* the server hears of what it has begun with */
    vt_cancel(t), vt_cancel(u);
    CHECK_EQ(awaited(t), -ECANCELED);
    CHECK_EQ(awaited(u), -ECANCELED);
    CHECK_EQ(ws_waits(NULL), -ETIMEDOUT); /* for the answer */
    cancels(2);
    CHECK_EQ(vt_ws_recv_until(ws, &m, vt_now() + 10 * VT_MS), -ETIMEDOUT);
    ws_answers(ws, "it goes on");
    vt_ws_free(ws);
    settles(client, 1);
    down();
}
/* A connection that takes no more goes on to the end of the sockets that it has. */
CLI_TEST(websockets_outlive_goaway, 2) {
    vt_ws *ws;
    max_requests = 2;
    up_with(0, NULL);
    max_requests = 0;
    REQUIRE(vt_client_ws(client, ws_url(base, "/ws"), NULL, &ws) == 0);
    const vt_call *call = ws->base;
    CHECK(call->conn->open);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(get("/hints", "after"), 200);
        ws_answers(ws, "it goes on");
    }
    for (int i = 0; i < 5000 && call->conn->open; i++) vt_sleep_ms(1);
    CHECK(!call->conn->open); /* others had the last calls */
    ws_answers(ws, "to its end");
    vt_ws_free(ws);
    for (int i = 0; i < 5000 && client->conns > 1; i++) vt_sleep_ms(1);
    CHECK(client->conns <= 1);
    down();
}
CLI_TEST(websockets_of_a_server_that_stops, 2) {
    vt_ws *ws;
    vt_str m;
    up_with(0, NULL);
    REQUIRE(vt_client_ws(client, ws_url(base, "/ws"), NULL, &ws) == 0);
    vt_server_stop(server);
    CHECK_EQ(vt_ws_recv(ws, &m), 0);
    CHECK_EQ(vt_ws_close_code(ws), 1001);
    vt_ws_free(ws);
    down();
}
#endif
