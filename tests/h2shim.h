/* tests/shim.h on HTTP/2. */
#ifndef VT_H2SHIM_H
#define VT_H2SHIM_H
enum { SHIM_WINDOW = 1 << 24, SHIM_SCRATCH = 1 << 17 };

/* Frames, half here; fields. */
#define SHIM_STREAM_WIRE
#define SHIM_WIRE                                                                                            \
    struct shim_text raw, block;                                                                             \
    uint8_t block_flags;                                                                                     \
    vt__hpack_dec dec;                                                                                       \
    char *scratch;
#include "shim.h"

static void shim_stream_free(struct shim *m, struct shim_stream *s) { (void)m, (void)s; }
static void shim_still(struct shim *m) { (void)m; }
static void shim_wire_free(struct shim *m) {
    free(m->raw.p), free(m->block.p), free(m->dec.t.mem), free(m->scratch);
}
static void shim_cut(struct shim *m) { shutdown(m->fd, SHUT_RDWR); }

/* What has come, until there is enough to look at. */
static void shim_take(struct cl *c) {
    struct shim *m = c->shim;
    char buf[65536];
    while (!m->eof && m->raw.len < 1 << 20) {
        ssize_t r = cl_raw_in(c, buf, sizeof buf);
        if (r > 0) shim_add(&m->raw, buf, (size_t)r);
        else if (r < 0 && (errno == EAGAIN || errno == EINTR)) return;
        else m->eof = true;
    }
}

/* ---- out ---- */
static bool shim_send(struct cl *c, const char *p, size_t n) {
    while (n > 0) {
        ssize_t r = cl_raw_out(c, p, n);
        if (r > 0) {
            p += r, n -= (size_t)r;
            continue;
        }
        if (r < 0 && errno != EAGAIN && errno != EINTR) return false;
        shim_take(c); /* the server may wait for us to read */
        struct pollfd p1 = {.fd = c->fd, .events = POLLOUT | POLLIN};
        if (c->shim->eof || poll(&p1, 1, E2E_MS) == 0) return false;
    }
    return true;
}
static bool shim_frame(struct cl *c, unsigned type, unsigned flags, uint32_t id, const void *p, size_t n) {
    char head[VT__H2_FRAME];
    (void)vt__h2_put_frame((uint8_t *)head, n, type, flags, id);
    return shim_send(c, head, sizeof head) && shim_send(c, p, n);
}
static void shim_int(struct shim_text *b, size_t n) {
    uint8_t p[8] = {127};
    size_t k = 1;
    if (n < 127) p[0] = (uint8_t)n;
    else {
        for (n -= 127; n >= 128; n >>= 7) p[k++] = (uint8_t)(n & 127) | 128;
        p[k++] = (uint8_t)n;
    }
    shim_add(b, p, k);
}
static void shim_field(struct shim_text *b, vt_str name, vt_str value) {
    shim_add(b, "", 1);
    shim_int(b, name.len);
    size_t at = b->len;
    shim_add(b, name.ptr, name.len);
    for (; at < b->len; at++) b->p[at] = (char)tolower((unsigned char)b->p[at]);
    shim_int(b, value.len);
    shim_add(b, value.ptr, value.len);
}
static bool shim_block(struct cl *c, uint32_t id, const struct shim_text *b, bool end) {
    size_t most = VT__H2_FRAME_MIN, k = VT__MIN(b->len, most);
    bool ok = shim_frame(c, VT__H2_T_HEADERS,
                         (k == b->len ? VT__H2_END_HEADERS : 0) | (end ? VT__H2_END_STREAM : 0), id, b->p, k);
    for (size_t at = k; at < b->len && ok; at += k) {
        k = VT__MIN(b->len - at, most);
        ok = shim_frame(c, VT__H2_T_CONTINUATION, at + k == b->len ? VT__H2_END_HEADERS : 0, id, b->p + at,
                        k);
    }
    return ok;
}
static bool shim_data(struct cl *c, struct shim *m, const char *p, size_t n, bool end) {
    m->window -= (int64_t)n, m->body->window -= (int64_t)n;
    return shim_frame(c, VT__H2_T_DATA, end ? VT__H2_END_STREAM : 0, m->body->id, p, n);
}
/* ---- in ---- */
/* A block is whole: a head, or trailers. */
static bool shim_on_block(struct shim *m, struct shim_stream *s, bool end) {
    const uint8_t *p = (const uint8_t *)m->block.p, *stop = p + m->block.len;
    struct shim_text lines = {NULL, 0, 0};
    vt__hpack_field f;
    int rc, status = 0;
    bool length = false;
    vt__hpack_dec_begin(&m->dec, m->scratch, SHIM_SCRATCH);
    shim_add(&lines, "", 0);
    while ((rc = vt__hpack_dec_next(&m->dec, &p, stop, &f)) > 0) {
        if (f.id == VT__HPACK_F_STATUS)
            status = atoi((char[4]){f.value.ptr[0], f.value.ptr[1], f.value.ptr[2]});
        else shim_print(&lines, "%.*s: %.*s\r\n", (int)f.name.len, f.name.ptr, (int)f.value.len, f.value.ptr);
        length |= f.id == VT__H1_F_CONTENT_LENGTH;
    }
    bool ok = rc == 0 && vt__hpack_dec_end(&m->dec) == 0 && (s->headed ? !status : status);
    if (ok && s->headed) shim_trailers(s, &lines);
    else if (ok) shim_head(s, status, &lines, length, end);
    s->end |= end;
    free(lines.p);
    return ok;
}
static bool shim_on_data(struct cl *c, struct shim_stream *s, const char *p, size_t n, bool end) {
    shim_bytes(s, p, n, end);
    s->end |= end;
    uint8_t credit[4];
    (void)vt__str_put32(credit, (uint32_t)n);
    if (n) shim_frame(c, VT__H2_T_WINDOW_UPDATE, 0, 0, credit, 4);
    if (n && !end) shim_frame(c, VT__H2_T_WINDOW_UPDATE, 0, s->id, credit, 4);
    return s->headed;
}
static bool shim_on_settings(struct cl *c, struct shim *m, unsigned flags, const uint8_t *p, size_t n) {
    if (flags & VT__H2_ACK) return true;
    for (; n >= 6; p += 6, n -= 6) {
        uint32_t v = vt__str_get32(p + 2);
        if (p[1] == VT__H2_S_STREAMS) m->max_streams = v;
        if (p[1] != VT__H2_S_WINDOW) continue;
        for (struct shim_stream *s = m->first; s; s = s->next) s->window += (int64_t)v - m->first_window;
        m->first_window = v;
    }
    return shim_frame(c, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0);
}
static bool shim_on_frame(struct cl *c, unsigned type, unsigned flags, uint32_t id, const char *p, size_t n) {
    struct shim *m = c->shim;
    struct shim_stream none = {.headed = true}, *s = id ? shim_of(m, id) : NULL;
    if (!s) s = &none; /* given up */
    switch (type) {
    case VT__H2_T_DATA: return shim_on_data(c, s, p, n, flags & VT__H2_END_STREAM);
    case VT__H2_T_HEADERS:
        m->block.len = 0, m->block_flags = (uint8_t)flags; /* and */
        __attribute__((fallthrough));
    case VT__H2_T_CONTINUATION:
        shim_add(&m->block, p, n);
        return !(flags & VT__H2_END_HEADERS) || shim_on_block(m, s, m->block_flags & VT__H2_END_STREAM);
    case VT__H2_T_RST_STREAM: s->unwanted = true, s->reset = !s->end; return true;
    case VT__H2_T_GOAWAY: m->away = true; return true;
    case VT__H2_T_SETTINGS: return shim_on_settings(c, m, flags, (const uint8_t *)p, n);
    case VT__H2_T_PING: return flags & VT__H2_ACK || shim_frame(c, VT__H2_T_PING, VT__H2_ACK, 0, p, n);
    case VT__H2_T_WINDOW_UPDATE:
        *(id ? &s->window : &m->window) += vt__str_get32((const uint8_t *)p);
        return true;
    default: return true;
    }
}
/* Takes in what has come. */
static void shim_pull(struct cl *c) {
    struct shim *m = c->shim;
    if (m->first && m->first->text.len > 1 << 20) return; /* first that */
    shim_take(c);
    size_t at = 0;
    while (m->raw.len - at >= VT__H2_FRAME) {
        const uint8_t *f = (const uint8_t *)m->raw.p + at;
        size_t n = vt__str_get32(f) >> 8;
        if (m->raw.len - at < VT__H2_FRAME + n) break;
        if (!shim_on_frame(c, f[3], f[4], vt__str_get32(f + 5), m->raw.p + at + VT__H2_FRAME, n))
            m->bad = m->eof = true;
        at += VT__H2_FRAME + n;
    }
    if (at) shim_drop(&m->raw, at);
}
static bool shim_open(struct cl *c) {
    struct shim *m = shim_new(c);
    uint8_t s[12] = {0, VT__H2_S_WINDOW, 0, 0, 0, 0, 0, VT__H2_S_PUSH, 0, 0, 0, 0}, credit[4];
    (void)vt__str_put32(s + 2, SHIM_WINDOW);
    (void)vt__str_put32(credit, SHIM_WINDOW);
    vt__hpack_dec_init(&m->dec, VT__HPACK_DEFAULT);
    vt__hpack_dec_table(&m->dec, malloc(vt__hpack_mem(m->dec.t.cap)));
    m->scratch = malloc(SHIM_SCRATCH);
    m->next = 1, m->step = 2;
    m->window = m->first_window = VT__H2_WINDOW_FIRST;
    return shim_send(c, VT__H2_PREFACE, VT__H2_PREFACE_LEN) &&
           shim_frame(c, VT__H2_T_SETTINGS, 0, 0, s, sizeof s) &&
           shim_frame(c, VT__H2_T_WINDOW_UPDATE, 0, 0, credit, 4);
}
#endif
