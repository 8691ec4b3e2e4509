/* A raw WebSocket client over `struct cl` of e2e.h: exact frames, both ways. */
#ifndef VT_WSCLIENT_H
#define VT_WSCLIENT_H
#define WS_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define WS_FIELDS                                                                                            \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " WS_KEY   \
    "\r\n"

struct wsf { /* a frame from the server */
    unsigned first;
    size_t n;
    const uint8_t *p; /* NUL-terminated; until the next one */
};

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
static __attribute__((unused)) bool ws_open(struct cl *c, const char *path) {
    return cl_open(c) && ws_shake(c, path, "") == 101;
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
static __attribute__((unused)) bool ws_put(struct cl *c, unsigned first, const void *p, size_t n) {
    uint8_t *b = malloc(n + 14);
    bool ok = b && cl_send(c, b, ws_frame(b, first, p, n));
    free(b);
    return ok;
}
static __attribute__((unused)) bool ws_text(struct cl *c, const char *s) {
    return ws_put(c, 0x81, s, strlen(s));
}
static __attribute__((unused)) bool ws_bye(struct cl *c, int code, const char *why) {
    char p[125] = {(char)(code >> 8), (char)code};
    memcpy(p + 2, why, strlen(why));
    return ws_put(c, 0x88, p, 2 + strlen(why));
}
/* The next frame: 1; 0 the end; -1 nothing within `ms`, -2 a frame no server may send. */
static int ws_get_within(struct cl *c, struct wsf *f, int64_t ms) {
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
        int r = cl_more(c, ms);
        if (r <= 0) return r;
    }
}
static __attribute__((unused)) int ws_get(struct cl *c, struct wsf *f) { return ws_get_within(c, f, E2E_MS); }
/* Whether the next frame is this one. */
static __attribute__((unused)) bool ws_is(struct cl *c, unsigned first, const void *p, size_t n) {
    struct wsf f;
    int r = ws_get(c, &f);
    bool same = r == 1 && f.first == first && f.n == n && (n == 0 || memcmp(f.p, p, n) == 0);
    if (!same)
        printf("  a frame: %d first %#x, %zu bytes, want %#x, %zu\n", r, r > 0 ? f.first : 0, r > 0 ? f.n : 0,
               first, n);
    return same;
}
static __attribute__((unused)) bool ws_is_text(struct cl *c, const char *s) {
    return ws_is(c, 0x81, s, strlen(s));
}
/* Whether a close frame comes, with this code (1005: none) and, unless NULL, this reason. */
static __attribute__((unused)) bool ws_is_bye(struct cl *c, int code, const char *why) {
    struct wsf f;
    int r = ws_get(c, &f), got = r == 1 && f.n >= 2 ? f.p[0] << 8 | f.p[1] : 1005;
    bool same = r == 1 && f.first == 0x88 && got == code &&
                (!why || (f.n >= 2 && strcmp((char *)f.p + 2, why) == 0));
    if (!same) printf("  a close frame: %d first %#x, code %d, want %d\n", r, r > 0 ? f.first : 0, got, code);
    return same;
}
/* Whether the connection ends without another byte. */
static __attribute__((unused)) bool ws_ends(struct cl *c) {
    struct wsf f;
    return ws_get(c, &f) == 0 && c->in_len == 0;
}
#endif
