/* WebSockets under faults, whatever they stand on. Behind wsclient.h and faulthttp.h. */
#ifndef VT_FAULTWS_H
#define VT_FAULTWS_H
/* ---- WebSockets: the upgrade, an echo, pings, a message in fragments, a large one, the close ---- */
static int h_ws_child(void *arg) { return vt_ws_text(arg, "child"); }
static int h_ws_streamed(vt_req *req,
                         vt_res *res) { /* with a string that was handed out, another sender, and streams */
    const vt_ws_cfg cfg = {.protocols = "a", .fields = "X-More: yes\r\n", .close_ms = 100};
    char buf[5000];
    vt_ws *ws;
    if (!vt_req_field(req, "x-odd").ptr) return VT_EBADREQ;
    int64_t n = -1;
    int r = vt_ws_accept(req, res, &cfg, &ws), type;
    vt_shield(true); /* a child whose send fails has its parent cancelled, and is waited for all the same */
    if (r == 0) r = vt_await(vt_async(h_ws_child, ws), &type);
    vt_shield(false);
    if (r < 0 || type < 0) return r < 0 ? r : type;
    if ((type = vt_ws_next(ws)) <= 0 || (r = vt_ws_begin(ws, type)) < 0) return type < 0 ? type : r;
    while ((n = vt_ws_read(ws, buf, sizeof buf)) > 0)
        if ((n = vt_ws_write(ws, buf, (size_t)n)) < 0) break;
    r = vt_ws_end(ws);
    return n < 0 ? (int)n : r < 0 ? r : vt_ws_close(ws, 4000, "enough");
}
static void ws_routes(vt_server *s) {
    static const vt_ws_cfg cfg = {.close_ms = 100};
    routes(s);
    vt_server_ws(s, "/ws", h_ws, &cfg);
    vt_server_get(s, "/ws/streamed", h_ws_streamed);
}
/* The frame that is expected: 1, or 0 when the connection has ended, or was closed, instead. Nothing else may come. */
static bool ws_comes(struct wc *c, unsigned first, const char *p, size_t n) {
    struct wsf f;
    int r = ws_get(c, &f);
    bool same = r == 1 && f.first == first && f.n == n && memcmp(f.p, p, n) == 0;
    bool closes = r == 1 && f.first == 0x88;
    if (r == -1 || r == -2 || (r == 1 && !same && !closes))
        test_fail(__FILE__, __LINE__, "a frame, or a hang");
    return same;
}
static bool one_ws(const char *large, size_t n) {
    WC(c);
    if (!wc_open(&c) || ws_shake(&c, "/ws", "") != WS_YES) return false;
    if (!ws_text(&c, "hello") || !ws_comes(&c, 0x81, "hello", 5)) return false;
    if (!ws_put(&c, 0x01, "in ", 3) || !ws_put(&c, 0x89, "p", 1) || !ws_put(&c, 0x80, "two", 3)) return false;
    if (!ws_comes(&c, 0x8a, "p", 1) || !ws_comes(&c, 0x81, "in two", 6)) return false;
    if (!ws_put(&c, 0x82, large, n) || !ws_comes(&c, 0x82, large, n)) return false;
    return ws_bye(&c, 4001, "why") && ws_comes(&c, 0x88, "\x0f\xa1why", 5) && ws_ends(&c);
}
static bool one_ws_streamed(const char *large) {
    WC(c);
    bool good = wc_open(&c) &&
                ws_shake(&c, "/ws/streamed", "X-Odd: 1\r\nSec-WebSocket-Protocol: a\r\n") == WS_YES;
    good = good && ws_comes(&c, 0x81, "child", 5) && ws_put(&c, 0x82, large, 3000);
    good = good && ws_comes(&c, 0x02, large, 3000) && ws_comes(&c, 0x80, "", 0);
    return good &&
           ws_comes(&c, 0x88,
                    "\x0f\xa0"
                    "enough",
                    8) &&
           ws_bye(&c, 4000, "enough") && ws_ends(&c);
}
#endif
