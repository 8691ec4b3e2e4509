/* tests/shim.h on HTTP/3. */
#ifndef VT_H3SHIM_H
#define VT_H3SHIM_H
#include "h3client.h"

#define SHIM_STREAM_WIRE                                                                                     \
    struct h3_stream *wire;                                                                                  \
    int informs;
#define SHIM_WIRE struct h3 h;
#include "shim.h"

static void shim_stream_free(struct shim *m, struct shim_stream *s) {
    if (s->wire) h3_forget(&m->h, s->wire);
}
static void shim_wire_free(struct shim *m) { h3_close(&m->h); }
static void shim_cut(struct shim *m) {
    pthread_mutex_lock(&m->mu);
    h3_leave(&m->h, VT__H3_NO_ERROR);
    m->eof = true;
    pthread_mutex_unlock(&m->mu);
}

/* ---- out ---- */
static void shim_field(struct shim_text *b, vt_str name, vt_str value) {
    size_t at = b->len;
    shim_add(b, name.ptr, name.len);
    for (; at < b->len; at++) b->p[at] = (char)tolower((unsigned char)b->p[at]);
    shim_add(b, ": ", 2), shim_add(b, value.ptr, value.len), shim_add(b, "\n", 1);
}
static bool shim_block(struct cl *c, uint32_t id, const struct shim_text *b, bool end) {
    struct shim *m = c->shim;
    struct shim_stream *s = shim_of(m, id);
    if (!s->wire) h3_until(&m->h, m->h.closed || (s->wire = h3_stream_new(&m->h, false)) != NULL);
    if (!s->wire) return false;
    s->wire->m.c.bodyless |= s->head;
    h3_fields(&m->h, s->wire, b->p, end);
    h3_turn(&m->h, 0);
    return true;
}
static bool shim_data(struct cl *c, struct shim *m, const char *p, size_t n, bool end) {
    (void)c;
    h3_body(&m->h, m->body->wire, p, n, end);
    h3_turn(&m->h, 0);
    return true;
}

/* ---- in ---- */
/* Lines of HTTP/1.1; whether Content-Length is among them. */
static bool shim_lines(struct shim_text *to, const struct bytes *from) {
    static const char name[] = "content-length: ";
    bool length = false;
    shim_add(to, "", 0);
    for (const char *p = (const char *)from->p, *end = from->n ? p + from->n : p, *nl; p < end; p = nl + 1) {
        nl = memchr(p, '\n', (size_t)(end - p));
        length |= (size_t)(nl - p) >= sizeof name - 1 && memcmp(p, name, sizeof name - 1) == 0;
        shim_add(to, p, (size_t)(nl - p)), shim_add(to, "\r\n", 2);
    }
    return length;
}
static void shim_give(struct shim_stream *s) {
    struct h3_stream *w = s->wire;
    struct shim_text lines = {NULL, 0, 0};
    if (w->informs > s->informs) {
        s->informs = w->informs;
        bool length = shim_lines(&lines, &w->inform);
        shim_head(s, w->interim, &lines, length, false);
        lines.len = 0;
    }
    if (w->status >= 200 && !s->headed) {
        bool length = shim_lines(&lines, &w->head);
        shim_head(s, w->status, &lines, length, w->end && !w->body.n && !w->trailers.n);
        s->end = w->end && !w->body.n && !w->trailers.n;
    }
    if (s->headed && !s->end) {
        bool end = w->end && !w->trailers.n;
        shim_bytes(s, (const char *)w->body.p, w->body.n, end);
        w->body.n = 0;
        lines.len = 0;
        if (w->end && !end) shim_lines(&lines, &w->trailers), shim_trailers(s, &lines);
        s->end = w->end;
    }
    s->unwanted |= w->stop >= 0 || w->rst >= 0;
    s->reset = w->rst >= 0 && !s->end;
    free(lines.p);
}
static void shim_pull(struct cl *c) {
    struct shim *m = c->shim;
    if (m->first && m->first->text.len > 1 << 20) return; /* first that */
    if (!m->eof) h3_turn(&m->h, 0);
    for (struct shim_stream *s = m->first; s; s = s->next)
        if (s->wire) shim_give(s);
    m->away = m->h.goaways > 0;
    m->eof |= m->h.closed;
}
static bool shim_open(struct cl *c) {
    struct shim *m = shim_new(c);
    m->next = m->step = 1;
    m->window = m->first_window = INT64_MAX / 2; /* QUIC's are h3client.h's */
    if (!h3_open(&m->h)) return false;
    c->fd = fcntl(m->h.udp.fd, F_DUPFD_CLOEXEC, 0);
    return c->fd >= 0;
}
#endif
