/* A raw WebSocket client: exact frames, both ways. What it stands on is a `struct wc`: that of e2e.h, or, with WS_H2, a
 * stream of the client of h2client.h, on a connection of its own.
 *
 *     WC(c);                            // closed at the end of the block
 *     REQUIRE(ws_open(&c, "/path"));    // or wc_open, and ws_shake, whose result is WS_YES
 *     CHECK(ws_text(&c, "hi") && ws_is_text(&c, "hi"));
 */
#ifndef VT_WSCLIENT_H
#define VT_WSCLIENT_H
#ifndef WS_H2
#define WS_H2 0
#endif
#define WS_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define WS_FIELDS                                                                                            \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " WS_KEY   \
    "\r\n"

#if WS_H2
#define WS_YES 200
#define WS_ASK ":authority: a.example\n:protocol: websocket\nsec-websocket-version: 13\n"
struct wc {
    struct h2 h;
    uint32_t id;                  /* 0: no stream yet */
    bool fin;                     /* our side has ended */
    char *in;                     /* received, not consumed */
    size_t in_len, in_cap, taken; /* taken: of what the stream has got */
};
#define WC_NONE                                                                                              \
    {                                                                                                        \
        .h = {.c = {.fd = -1} }                                                                              \
    }
#define WC(name) struct wc name __attribute__((cleanup(wc_close))) = WC_NONE
static pthread_mutex_t wc_mu = PTHREAD_MUTEX_INITIALIZER; /* one thread may send while another receives */
static int wc_senders;                                    /* ... and goes first: a mutex is not fair */

static bool wc_open_to(struct wc *c, int rcvbuf) { return h2_open_with(&c->h, NULL, 0, rcvbuf); }
static bool wc_open(struct wc *c) { return wc_open_to(c, 0); }
/* Of what cannot change any more. */
static bool wc_over(struct wc *c) {
    const struct h2_stream *s = h2_of(&c->h, c->id);
    return s->end || s->rst >= 0 || c->h.c.eof || c->h.bad;
}
static bool wc_send(struct wc *c, const void *p, size_t n) {
    struct h2_stream *s = h2_of(&c->h, c->id);
    const char *from = p;
    bool ok = true;
    for (int64_t until = e2e_now_ms() + E2E_MS; ok && n > 0;) {
        __atomic_add_fetch(&wc_senders, 1, __ATOMIC_SEQ_CST);
        pthread_mutex_lock(&wc_mu);
        __atomic_sub_fetch(&wc_senders, 1, __ATOMIC_SEQ_CST);
        int64_t k = s->window < c->h.window ? s->window : c->h.window;
        k = k < (int64_t)n ? k : (int64_t)n;
        k = k < VT__H2_FRAME_MIN ? k : VT__H2_FRAME_MIN;
        ok = s->rst < 0 && !c->h.c.eof && !c->h.bad && e2e_now_ms() < until;
        if (ok && k > 0) {
            ok = h2_data(&c->h, c->id, from, (size_t)k, false);
            from += k, n -= (size_t)k;
        } else if (ok) {
            h2_pump(&c->h, 5);
        }
        pthread_mutex_unlock(&wc_mu);
    }
    return ok;
}
/* As cl_more; the end is that of the stream. */
static int wc_more(struct wc *c, int64_t ms) {
    struct h2_stream *s = h2_of(&c->h, c->id);
    for (int64_t until = e2e_now_ms() + ms, left = 1;; left = until - e2e_now_ms()) {
        while (__atomic_load_n(&wc_senders, __ATOMIC_SEQ_CST)) sched_yield();
        pthread_mutex_lock(&wc_mu);
        size_t n = s->body_len - c->taken < 4096 ? s->body_len - c->taken
                                                 : 4096; /* who takes a frame moves the rest */
        if (c->in_cap - c->in_len < n) c->in = realloc(c->in, c->in_cap = c->in_cap * 2 + 65536);
        if (n) memcpy(c->in + c->in_len, s->body + c->taken, n);
        c->in_len += n;
        c->taken += n;
        if (c->taken == s->body_len) c->taken = s->body_len = 0;
        bool over = wc_over(c);
        if (!n && !over) h2_pump(&c->h, left < 5 ? left < 0 ? 0 : left : 5);
        over = over && !n;
        bool came = s->body_len > 0 || wc_over(c);
        pthread_mutex_unlock(&wc_mu);
        if (n) return (int)n;
        if (over) return 0;
        if (!came && e2e_now_ms() > until) return -1;
    }
}
/* Ends our side, as a close of a connection does. */
static void wc_fin(struct wc *c) {
    if (c->id && !c->fin) h2_data(&c->h, c->id, NULL, 0, true);
    c->fin = true;
}
/* The same, and waits for the other's end. */
static void wc_close(struct wc *c) {
    char *in = c->in;
    if (c->h.c.fd < 0) return;
    wc_fin(c);
    c->h.hold = false;
    if (c->id) H2_UNTIL(&c->h, wc_over(c));
    h2_close(&c->h);
    memset(c, 0, sizeof *c);
    c->h.c.fd = -1;
    free(in);
}
static __attribute__((unused)) void wc_reset(struct wc *c) {
    h2_rst(&c->h, c->id);
    c->fin = true;
    h2_of(&c->h, c->id)->rst = VT__H2_CANCEL;
    wc_close(c);
}
static __attribute__((unused)) const char *wc_field(struct wc *c, const char *name) {
    return h2_field(h2_of(&c->h, c->id), name);
}
/* Lines as HTTP/1.1 has them, and as h2_ask wants them. */
static void wc_lines(char *to, const char *lines) {
    for (bool name = true; *lines; lines++) {
        if (*lines == ':') name = false;
        if (*lines == '\n') name = true;
        if (*lines != '\r') *to++ = (char)(name ? tolower((unsigned char)*lines) : *lines);
    }
    *to = 0;
}
/* Asks for a WebSocket with more field lines; the status of the answer. */
static int ws_shake(struct wc *c, const char *path, const char *more) {
    char what[300], lines[1000] = WS_ASK;
    H2_UNTIL(&c->h, c->h.settings > 0 || c->h.c.eof);
    if (!c->h.connect_protocol) return -1;
    snprintf(what, sizeof what, "CONNECT %s", path);
    wc_lines(lines + strlen(lines), more);
    c->id = h2_ask(&c->h, what, lines, false);
    struct h2_stream *s = h2_of(&c->h, c->id);
    H2_UNTIL(&c->h, s->status >= 200 || wc_over(c));
    return s->status;
}
#else
#define WS_YES 101
#define wc cl
#define WC_NONE                                                                                              \
    { .fd = -1 }
#define WC CL
#define wc_open cl_open
#define wc_open_to(c, rcvbuf) cl_open_to(c, e2e.port, rcvbuf)
#define wc_send cl_send
#define wc_more cl_more
#define wc_close cl_close
#define wc_reset cl_reset
#define wc_field cl_field
/* Sends a handshake with more field lines; the status of the answer, whose head is then in c->head. */
static int ws_shake(struct cl *c, const char *path, const char *more) {
    if (!cl_printf(c, "GET %s HTTP/1.1\r\nHost: a.example\r\n%s%s\r\n", path, more, WS_FIELDS)) return -1;
    char *end;
    while (!c->in_len || !(end = memmem(c->in, c->in_len, "\r\n\r\n", 4)))
        if (cl_more(c, E2E_MS) <= 0) return -1;
    size_t n = (size_t)(end - c->in) + 4;
    free(c->head);
    c->head = strndup(c->in, n);
    c->in_len -= n;
    memmove(c->in, c->in + n, c->in_len);
    return atoi(c->head + 9);
}
#endif

struct wsf { /* a frame from the server */
    unsigned first;
    size_t n;
    const uint8_t *p; /* NUL-terminated; until the next one */
};

static __attribute__((unused)) bool ws_open(struct wc *c, const char *path) {
    return wc_open(c) && ws_shake(c, path, "") == WS_YES;
}
/* A masked frame with its shortest length; > 0: its size. */
static size_t ws_frame(uint8_t *to, unsigned first, const void *p, size_t n) {
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t form = n < 126 ? 0 : n < 65536 ? 2 : 8, at = 2;
    to[0] = (uint8_t)first;
    to[1] = (uint8_t)(0x80 | (form == 0 ? n : form == 2 ? 126 : 127));
    for (size_t i = form; i-- > 0;) to[at++] = (uint8_t)((uint64_t)n >> 8 * i);
    memcpy(to + at, key, 4);
    at += 4;
    for (size_t i = 0; i < n; i++) to[at + i] = ((const uint8_t *)p)[i] ^ key[i & 3];
    return at + n;
}
static __attribute__((unused)) bool ws_put(struct wc *c, unsigned first, const void *p, size_t n) {
    uint8_t *b = malloc(n + 14);
    bool ok = b && wc_send(c, b, ws_frame(b, first, p, n));
    free(b);
    return ok;
}
static __attribute__((unused)) bool ws_text(struct wc *c, const char *s) {
    return ws_put(c, 0x81, s, strlen(s));
}
static __attribute__((unused)) bool ws_bye(struct wc *c, int code, const char *why) {
    char p[125] = {(char)(code >> 8), (char)code};
    memcpy(p + 2, why, strlen(why));
    return ws_put(c, 0x88, p, 2 + strlen(why));
}
/* The next frame: 1; 0 the end; -1 nothing within `ms`, -2 a frame no server may send. */
static int ws_get_within(struct wc *c, struct wsf *f, int64_t ms) {
    static __thread uint8_t *kept; /* the payload of the last one */
    for (;;) {
        const uint8_t *p = (const uint8_t *)c->in;
        size_t have = c->in_len, at = 2;
        uint64_t n = have < 2 ? 0 : p[1] & 127u;
        size_t form = n == 126 ? 2 : n == 127 ? 8 : 0;
        if (have >= 2 && p[1] & 0x80) return -2;
        if (have >= 2 + form) {
            if (form) n = 0;
            for (; at < 2 + form; at++) n = n << 8 | p[at];
            if ((form == 2 && n < 126) || (form == 8 && n < 65536)) return -2;
            if (have - at >= n) {
                uint8_t *q = realloc(kept, (size_t)n + 1);
                if (!q) return -2;
                kept = q;
                memcpy(q, p + at, (size_t)n);
                q[n] = 0;
                *f = (struct wsf){p[0], (size_t)n, q};
                c->in_len -= at + (size_t)n;
                memmove(c->in, c->in + at + n, c->in_len);
                return 1;
            }
        }
        int r = wc_more(c, ms);
        if (r <= 0) return r;
    }
}
static __attribute__((unused)) int ws_get(struct wc *c, struct wsf *f) { return ws_get_within(c, f, E2E_MS); }
/* Whether the next frame is this one. */
static __attribute__((unused)) bool ws_is(struct wc *c, unsigned first, const void *p, size_t n) {
    struct wsf f;
    int r = ws_get(c, &f);
    bool same = r == 1 && f.first == first && f.n == n && (n == 0 || memcmp(f.p, p, n) == 0);
    if (!same)
        printf("  a frame: %d first %#x, %zu bytes, want %#x, %zu\n", r, r > 0 ? f.first : 0, r > 0 ? f.n : 0,
               first, n);
    return same;
}
static __attribute__((unused)) bool ws_is_text(struct wc *c, const char *s) {
    return ws_is(c, 0x81, s, strlen(s));
}
/* Whether a close frame comes, with this code (1005: none) and, unless NULL, this reason. */
static __attribute__((unused)) bool ws_is_bye(struct wc *c, int code, const char *why) {
    struct wsf f;
    int r = ws_get(c, &f), got = r == 1 && f.n >= 2 ? f.p[0] << 8 | f.p[1] : 1005;
    bool same = r == 1 && f.first == 0x88 && got == code &&
                (!why || (f.n >= 2 && strcmp((char *)f.p + 2, why) == 0));
    if (!same) printf("  a close frame: %d first %#x, code %d, want %d\n", r, r > 0 ? f.first : 0, got, code);
    return same;
}
/* Whether the connection ends without another byte; a stream in order, and then all of it is closed. */
static __attribute__((unused)) bool ws_ends(struct wc *c) {
    struct wsf f;
    bool ends = ws_get(c, &f) == 0 && c->in_len == 0;
#if WS_H2
    ends = ends && h2_of(&c->h, c->id)->end;
    wc_close(c);
#endif
    return ends;
}
#endif
