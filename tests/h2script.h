/* Servers of HTTP/2 that a script plays frame by frame, for tests of the client. Behind cli.h. */
#ifndef VT_H2SCRIPT_H
#define VT_H2SCRIPT_H

struct frame {
    uint32_t len, id;
    uint8_t type, flags;
    uint8_t p[VT__H2_FRAME_MIN + 1];
};
static inline int put(vt_sock *s, unsigned type, unsigned flags, uint32_t id, const void *p, size_t n) {
    uint8_t head[VT__H2_FRAME];
    (void)vt__h2_put_frame(head, n, type, flags, id);
    vt_str v[2] = {{(char *)head, sizeof head}, {p, n}};
    return vt_writev(s, v, n ? 2 : 1) < 0 ? -1 : 0;
}
static inline int put_word(vt_sock *s, unsigned type, uint32_t id, uint32_t word) {
    uint8_t b[4];
    (void)vt__str_put32(b, word);
    return put(s, type, 0, id, b, sizeof b);
}
static inline int put_setting(vt_sock *s, unsigned id, uint32_t v) {
    uint8_t b[6] = {0, (uint8_t)id};
    (void)vt__str_put32(b + 2, v);
    return put(s, VT__H2_T_SETTINGS, 0, 0, b, sizeof b);
}
static inline int put_goaway(vt_sock *s, uint32_t last, uint32_t code) {
    uint8_t b[8];
    (void)vt__str_put32(vt__str_put32(b, last), code);
    return put(s, VT__H2_T_GOAWAY, 0, 0, b, sizeof b);
}
/* ":status: 200" and fields as HPACK has them, of names and values below 128 bytes. */
static inline size_t hpack_line(uint8_t *to, const char *name, const char *value) {
    size_t n = strlen(name), v = strlen(value), at = 0;
    to[at++] = 0;
    to[at++] = (uint8_t)n;
    memcpy(to + at, name, n);
    at += n;
    to[at++] = (uint8_t)v;
    memcpy(to + at, value, v);
    return at + v;
}
static inline int put_head(vt_sock *s, uint32_t id, bool end, const char *status, const char *name,
                           const char *value) {
    uint8_t b[512];
    size_t n = hpack_line(b, ":status", status);
    if (name) n += hpack_line(b + n, name, value);
    return put(s, VT__H2_T_HEADERS, VT__H2_END_HEADERS | (end ? VT__H2_END_STREAM : 0), id, b, n);
}
static inline int put_answer(vt_sock *s, uint32_t id, const char *body) {
    if (put_head(s, id, false, "200", NULL, NULL) < 0) return -1;
    return put(s, VT__H2_T_DATA, VT__H2_END_STREAM, id, body, strlen(body));
}
static inline bool take(vt_sock *s, void *p, size_t n) {
    for (size_t got = 0; got < n;) {
        int64_t r = vt_read(s, (char *)p + got, n - got);
        if (r <= 0) return false;
        got += (size_t)r;
    }
    return true;
}
static inline bool next_frame(vt_sock *s, struct frame *f) {
    uint8_t head[VT__H2_FRAME];
    if (!take(s, head, sizeof head)) return false;
    f->len = vt__str_get32(head) >> 8;
    f->type = head[3], f->flags = head[4];
    f->id = vt__str_get32(head + 5) & VT__H2_ID_MAX;
    return f->len < sizeof f->p && take(s, f->p, f->len);
}
/* The next frame of that type; SETTINGS and PING are answered on the way. */
static inline bool frame_of(vt_sock *s, struct frame *f, unsigned type) {
    while (next_frame(s, f)) {
        if (f->type == type) return true;
        if (f->flags & VT__H2_ACK) continue;
        if (f->type == VT__H2_T_SETTINGS && put(s, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0) < 0)
            return false;
        if (f->type == VT__H2_T_PING && put(s, VT__H2_T_PING, VT__H2_ACK, 0, f->p, 8) < 0) return false;
    }
    return false;
}
/* The next request's stream, 0 at the end. */
static inline uint32_t request(struct peer *p, vt_sock *s) {
    struct frame f;
    if (!frame_of(s, &f, VT__H2_T_HEADERS)) return 0;
    __atomic_fetch_add(&p->requests, 1, __ATOMIC_SEQ_CST);
    return f.id;
}
/* The client's preface is taken, and SETTINGS are said. */
static inline bool hello(vt_sock *s, unsigned setting, uint32_t value) {
    char preface[VT__H2_PREFACE_LEN];
    if (!take(s, preface, sizeof preface) || memcmp(preface, VT__H2_PREFACE, sizeof preface) != 0)
        return false;
    return (setting ? put_setting(s, setting, value) : put(s, VT__H2_T_SETTINGS, 0, 0, NULL, 0)) == 0;
}
/* Answers whatever is asked, until the end. */
static inline int answer_all(struct peer *p, vt_sock *s, const char *body) {
    for (uint32_t id; (id = request(p, s)) != 0;)
        if (put_answer(s, id, body) < 0) break;
    return 0;
}
#endif
