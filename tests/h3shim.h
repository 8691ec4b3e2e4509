/* tests/shim.h on HTTP/3. A thread of its own acknowledges, and keeps time, while a test does something else; windows are given back
 * for what the test has read. What a struct cl has for a descriptor becomes readable when something has come. */
#ifndef VT_H3SHIM_H
#define VT_H3SHIM_H
#include "h3client.h"

#include <sys/eventfd.h>

#define SHIM_STREAM_WIRE                                                                                     \
    struct h3_stream *wire;                                                                                  \
    int informs;
#define SHIM_WIRE                                                                                            \
    struct h3 h;                                                                                             \
    pthread_t driver;                                                                                        \
    bool driven, ends;                                                                                       \
    int bell;
#include "shim.h"

static void *shim_drive(void *arg) {
    struct shim *m = arg;
    for (bool ends = false; !ends;) {
        pthread_mutex_lock(&m->mu);
        ends = m->ends;
        if (!ends) h3_turn(&m->h, 0);
        int64_t ms = (vt__quic_due(&m->h.q) - vt__plat_now()) / VT_MS + 1;
        pthread_mutex_unlock(&m->mu);
        struct pollfd p = {.fd = m->h.udp.fd, .events = POLLIN};
        if (ends || poll(&p, 1, (int)VT__MAX(VT__MIN(ms, (int64_t)20), (int64_t)1)) <= 0) continue;
        pthread_mutex_lock(&m->mu);
        if (!m->ends) h3_turn(&m->h, 0);
        pthread_mutex_unlock(&m->mu);
        if (eventfd_write(m->bell, 1) < 0) abort();
    }
    return NULL;
}

static void shim_stream_free(struct shim *m, struct shim_stream *s) {
    if (s->wire) h3_forget(&m->h, s->wire);
}
static void shim_still(struct shim *m) {
    pthread_mutex_lock(&m->mu);
    m->ends = true;
    pthread_mutex_unlock(&m->mu);
    if (m->driven) pthread_join(m->driver, NULL);
}
static void shim_wire_free(struct shim *m) {
    h3_close(&m->h);
    close(m->bell);
}
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
    s->wire->hold = true;
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
static void shim_give(struct shim *m, struct shim_stream *s) {
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
        h3_let(&m->h, w);
        w->hold = true;
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
    eventfd_t n;
    (void)!eventfd_read(m->bell, &n);
    if (m->first && m->first->text.len > 1 << 20) return; /* first that */
    if (!m->eof) h3_turn(&m->h, 0);
    for (struct shim_stream *s = m->first; s; s = s->next)
        if (s->wire) shim_give(m, s);
    m->away = m->h.goaways > 0;
    m->eof |= m->h.closed;
}
/* Nobody has that port. */
static bool shim_refused(struct shim *m) {
    int err = 0;
    socklen_t n = sizeof err;
    return getsockopt(m->h.udp.fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0 || err == ECONNREFUSED;
}
static bool shim_shake(struct shim *m) {
    struct h3 *h = &m->h;
    struct sockaddr_in6 to;
    if (!h3_prepare(h)) return false;
    socklen_t n = vt__udp_addr_to(&h->remote, AF_INET, &to);
    if (connect(h->udp.fd, (struct sockaddr *)(void *)&to, n) < 0) return false;
    h3_until(h, (h->ready && h->settings) || h->closed || shim_refused(m));
    return h->ready && h->settings && !h->closed;
}
static bool shim_open(struct cl *c) {
    struct shim *m = shim_new(c);
    m->next = m->step = 1;
    m->window = m->first_window = INT64_MAX / 2; /* QUIC's are h3client.h's */
    m->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->bell < 0 || !shim_shake(m)) return false;
    m->driven = pthread_create(&m->driver, NULL, shim_drive, m) == 0;
    c->fd = m->driven ? fcntl(m->bell, F_DUPFD_CLOEXEC, 0) : -1;
    return c->fd >= 0;
}
#endif
