/* WebSockets of the client, whatever is spoken, against this library's server. Behind cliserver.h and handlers.h. */
#ifndef VT_WSCLI_H
#define VT_WSCLI_H
/*--- handlers ---*/
static inline int ws_bye(vt_ws *ws, vt_req *req) {
    (void)req;
    return vt_ws_close(ws, 4001, "enough");
}
/* Says by which version it came; then, what comes. */
static inline int ws_version(vt_ws *ws, vt_req *req) {
    char text[100];
    vt_str key = vt_req_field(req, "Sec-WebSocket-Key"), a = vt_req_field(req, "X-A");
    snprintf(text, sizeof text, "%d %s %s %s %s", vt_req_version(req), key.ptr ? "key" : "-",
             vt_req_method(req).ptr, a.ptr ? a.ptr : "-", vt_req_host(req).ptr);
    int r = vt_ws_text(ws, text);
    return r < 0 ? r : h_ws(ws, req);
}
/* Three senders on any worker, beside a handler that echoes. */
enum { SENDERS = 3, EACH = 60, PIECE = 5000 };
static struct sender {
    vt_ws *ws;
    vt_wg *wg;
    char name;
} senders[SENDERS];
static inline int send_each(void *arg) {
    struct sender *s = arg;
    char text[PIECE];
    memset(text, s->name, sizeof text);
    for (int i = 0, r = 0; i < EACH && r == 0; i++)
        CHECK_EQ(r = vt_ws_send(s->ws, VT_WS_TEXT, text, PIECE), 0);
    vt_wg_done(s->wg);
    return 0;
}
static inline void start_senders(vt_ws *ws, vt_wg *wg) {
    vt_wg_add(wg, SENDERS);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ws, wg, (char)('a' + i)};
        if (vt_go_any(send_each, &senders[i]) < 0) abort();
    }
}
/* Its socket is full soon, where it has one of its own. */
static inline void takes_little(vt_ws *ws) {
    const int small = 4096;
    if (ws->io.c->pd.fd < 0) return;
    CHECK_EQ(setsockopt(ws->io.c->pd.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
}
static inline int ws_many(vt_ws *ws, vt_req *req) {
    vt_wg wg = {0};
    takes_little(ws);
    start_senders(ws, &wg);
    int r = h_ws(ws, req);
    vt_wg_wait(&wg);
    return r;
}
static inline int h_ws_moved(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_redirect(res, 302, "/ws");
}
static inline void ws_serve(vt_server *s) {
    static const vt_ws_cfg speaks = {.protocols = "two, one"};
    vt_server_ws(s, "/ws", h_ws, &speaks);
    vt_server_ws(s, "/ws/bye", ws_bye, NULL);
    vt_server_ws(s, "/ws/version", ws_version, NULL);
    vt_server_ws(s, "/ws/many", ws_many, NULL);
    vt_server_get(s, "/ws/moved", h_ws_moved);
    vt_server_get(s, "/ws/none", h_none);
}

/*--- cases ---*/
/* Of an http URL. */
static inline const char *ws_url(const char *base, const char *path) {
    static _Thread_local char url[4][200];
    static _Thread_local unsigned turn;
    char *to = url[turn++ % 4];
    snprintf(to, sizeof url[0], "ws%.100s%.80s", base + 4, path);
    return to;
}
static inline void ws_echo_all(vt_ws *ws) {
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 300000};
    static char text[300000];
    vt_str m;
    memset(text, 'w', sizeof text);
    for (size_t i = 0; i < VT__COUNT(sizes); i++) {
        CHECK_EQ(vt_ws_send(ws, i % 2 ? VT_WS_TEXT : VT_WS_BINARY, text, sizes[i]), 0);
        CHECK_EQ(vt_ws_ping(ws, "p", 1), 0);
        CHECK_EQ(vt_ws_recv(ws, &m), i % 2 ? VT_WS_TEXT : VT_WS_BINARY);
        CHECK_MEM(m.ptr, m.len, text, sizes[i]);
    }
}
/* Opens, is used, closes, is refused; and came by `version`. */
static inline void ws_cases(vt_client *c, const char *base, const char *version) {
    const vt_ws_cfg origin = {.protocols = "one, three", .fields = "Origin: http://127.0.0.1\r\n"};
    char want[100];
    vt_ws *ws;
    vt_str m;
    CHECK_EQ(vt_client_ws(c, ws_url(base, "/ws/version"), &(vt_ws_cfg){.fields = "X-A: b\r\n"}, &ws), 0);
    if (!ws) return;
    snprintf(want, sizeof want, "%s %s GET b 127.0.0.1", version, strcmp(version, "11") == 0 ? "key" : "-");
    CHECK_EQ(vt_ws_recv(ws, &m), VT_WS_TEXT);
    CHECK_STR(m.ptr, want);
    CHECK_EQ(vt_ws_protocol(ws).len, 0);
    ws_echo_all(ws);
    CHECK_EQ(vt_ws_close(ws, 4000, "mine"), 0);
    CHECK_EQ(vt_ws_text(ws, "late"), VT_EWSCLOSED);
    CHECK_EQ(vt_ws_recv(ws, &m), 0);
    CHECK_EQ(vt_ws_close_code(ws), 4000);
    vt_ws_free(ws);
    CHECK_EQ(vt_client_ws(c, ws_url(base, "/ws/bye"), NULL, &ws), 0);
    if (!ws) return;
    CHECK_EQ(vt_ws_recv(ws, &m), 0);
    CHECK_EQ(vt_ws_close_code(ws), 4001);
    CHECK_STR(vt_ws_close_reason(ws), "enough");
    vt_ws_free(ws);
    CHECK_EQ(vt_client_ws(c, ws_url(base, "/ws"), &origin, &ws), VT_EWSUPGRADE); /* 403 */
    CHECK(ws == NULL);
    CHECK_EQ(vt_client_ws(c, ws_url(base, "/ws"), &(vt_ws_cfg){.protocols = "one, three"}, &ws), 0);
    if (!ws) return;
    CHECK_MEM(vt_ws_protocol(ws).ptr, vt_ws_protocol(ws).len, "one", 3);
    vt_ws_free(ws); /* closes by itself */
    CHECK_EQ(vt_client_ws(c, ws_url(base, "/nowhere"), NULL, &ws), VT_EWSUPGRADE);
    CHECK_EQ(vt_client_ws(c, ws_url(base, "/ws/none"), NULL, &ws), VT_EWSUPGRADE);
    CHECK_EQ(vt_client_ws(c, ws_url(base, "/ws/moved"), NULL, &ws), VT_EWSUPGRADE);
}
/* Each end has senders on any worker while it receives; nothing is lost, torn or out of order. */
static inline void ws_many_senders(vt_client *c, const char *base) {
    vt_ws *ws;
    vt_str m;
    vt_wg wg = {0};
    int seen[2] = {0, 0}; /* whole messages: from the server's senders, echoes of ours */
    CHECK_EQ(vt_client_ws(c, ws_url(base, "/ws/many"), NULL, &ws), 0);
    if (!ws) return;
    takes_little(ws);
    vt_wg_add(&wg, 1);
    struct sender s = {ws, &wg, 'z'};
    CHECK_EQ(vt_go_any(send_each, &s), 0);
    vt_sleep_ms(5); /* the server's output fills up meanwhile */
    while (seen[0] < SENDERS * EACH || seen[1] < EACH) {
        int type = vt_ws_recv(ws, &m);
        CHECK_EQ(type, VT_WS_TEXT);
        if (type != VT_WS_TEXT) break;
        CHECK_EQ(m.len, PIECE);
        for (size_t i = 1; i < m.len; i++)
            if (m.ptr[i] != m.ptr[0]) CHECK_EQ(m.ptr[i], m.ptr[0]);
        seen[m.ptr[0] == 'z']++;
    }
    vt_wg_wait(&wg);
    vt_ws_free(ws);
}
/* Sends until that fails: why. */
static __attribute__((unused)) int ws_floods(void *ws) {
    static const char block[1000] = "x";
    int r;
    while ((r = vt_ws_send(ws, VT_WS_BINARY, block, sizeof block)) == 0) continue;
    return r;
}
#endif
