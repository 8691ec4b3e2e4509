/* A client of HTTP/2 that looks like one of HTTP/1.1, for suites that were written for that: what is sent is taken apart and goes
 * out as streams; what comes on the oldest stream is put together as a response of HTTP/1.1, then on the next. A response
 * without a length is given as chunked. A stream that is reset, or the connection's end, is the end of what can be read.
 * Behind struct cl of e2e.h, which calls shim_open, shim_in, shim_out, shim_close. */
#ifndef VT_H2SHIM_H
#define VT_H2SHIM_H
enum { SHIM_WINDOW = 1 << 24, SHIM_FIELDS = 1100, SHIM_SCRATCH = 1 << 17 };

struct shim_text {
    char *p;
    size_t len, cap;
};
struct shim_stream {
    struct shim_stream *next;
    uint32_t id;
    bool head, headed, chunked, end, sent; /* head: of a HEAD request; sent: all of the request */
    bool reset, unwanted;                  /* reset: before its end; unwanted: what is left of the request */
    int64_t window;
    struct shim_text text; /* what may be read */
};
struct shim {
    struct shim *peer; /* of shim_all */
    int fd;
    pthread_mutex_t mu;               /* one thread may send while another reads */
    struct shim_text ask, raw, block; /* of HTTP/1.1, not sent; frames, half here; fields */
    struct shim_stream *first, *body; /* body: whose request is under way */
    int64_t left, window, first_window, max_streams;
    bool chunked, eof, bad, leaves, away; /* leaves: no request follows; away: GOAWAY is here */
    vt__h1_chunk chunk;
    uint32_t next, block_id;
    uint8_t block_flags;
    vt__hpack_dec dec;
    char *scratch;
    vt__h1_field fields[SHIM_FIELDS];
};

static struct shim *shim_all;
static pthread_mutex_t shim_lock = PTHREAD_MUTEX_INITIALIZER;

static void shim_add(struct shim_text *t, const void *p, size_t n) {
    if (t->cap < t->len + n + 1) t->p = realloc(t->p, t->cap = (t->len + n) * 2 + 64);
    if (n) memcpy(t->p + t->len, p, n);
    t->len += n;
    t->p[t->len] = 0;
}
static void shim_drop(struct shim_text *t, size_t n) {
    t->len -= n;
    memmove(t->p, t->p + n, t->len);
}
static struct shim_stream *shim_of(struct shim *m, uint32_t id) {
    struct shim_stream *s = m->first;
    while (s && s->id != id) s = s->next;
    return s;
}
static void shim_pop(struct shim *m) {
    struct shim_stream *s = m->first;
    m->first = s->next;
    if (m->body == s) m->body = NULL;
    free(s->text.p);
    free(s);
}
static void shim_close(struct shim *m) {
    if (!m) return;
    pthread_mutex_lock(&shim_lock);
    struct shim **at = &shim_all;
    while (*at != m) at = &(*at)->peer;
    *at = m->peer;
    pthread_mutex_unlock(&shim_lock);
    while (m->first) shim_pop(m);
    free(m->ask.p), free(m->raw.p), free(m->block.p), free(m->dec.t.mem), free(m->scratch);
    free(m);
}

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
/* A request whose head is whole. */
static bool shim_request(struct cl *c, struct shim *m, const vt__h1_req *r, const vt__h1_field *f) {
    const char *p = m->ask.p;
    struct shim_text b = {NULL, 0, 0};
    struct shim_stream *s = calloc(1, sizeof *s), **last = &m->first;
    vt_str target = {p + r->target_off, r->target_len}, authority = {p + r->auth_off, r->auth_len};
    if (r->form == VT__H1_ABSOLUTE)
        target = (vt_str){p + r->path_off, (size_t)(p + r->target_off + r->target_len - (p + r->path_off))};
    while (*last) last = &(*last)->next;
    *last = s;
    s->id = m->next;
    s->head = r->method == VT__H1_M_HEAD;
    s->window = m->first_window;
    m->next += 2;
    shim_field(&b, VT__STR_LIT(":method"), (vt_str){p + r->method_off, r->method_len});
    shim_field(&b, VT__STR_LIT(":scheme"), VT__STR_LIT(E2E_SCHEME));
    shim_field(&b, VT__STR_LIT(":path"), target);
    if (authority.len) shim_field(&b, VT__STR_LIT(":authority"), authority);
    for (uint32_t i = 0; i < r->nfields; i++) {
        vt_str name = {p + f[i].name_off, f[i].name_len}, value = {p + f[i].value_off, f[i].value_len};
        int id = vt__h1_field_id(name);
        if (!vt__h1_is_hop(id) && id != VT__H1_F_HOST && id != VT__H1_F_TE) shim_field(&b, name, value);
    }
    m->chunked = r->flags & VT__H1_CHUNKED;
    m->left = m->chunked ? -1 : r->content_length;
    memset(&m->chunk, 0, sizeof m->chunk);
    m->body = m->left ? s : NULL;
    s->sent = !m->left;
    m->leaves = !(r->flags & VT__H1_KEEP_ALIVE);
    bool ok = shim_block(c, s->id, &b, s->sent);
    free(b.p);
    return ok;
}
static bool shim_data(struct cl *c, struct shim *m, const char *p, size_t n, bool end) {
    m->window -= (int64_t)n, m->body->window -= (int64_t)n;
    return shim_frame(c, VT__H2_T_DATA, end ? VT__H2_END_STREAM : 0, m->body->id, p, n);
}
/* As much of the body as there is and windows allow; false: nothing goes on. */
static bool shim_body(struct cl *c, struct shim *m) {
    struct shim_stream *s = m->body;
    int64_t room = VT__MIN(VT__MIN(m->window, s->window), VT__H2_FRAME_MIN);
    bool over = s->unwanted;
    if (over) room = VT__H2_FRAME_MIN;
    if (m->ask.len == 0 || room <= 0) return false;
    size_t k = (size_t)VT__MIN(m->left < 0 ? INT64_MAX : m->left, VT__MIN(room, (int64_t)m->ask.len));
    if (!m->chunked) {
        m->left -= (int64_t)k;
        bool ok = over || shim_data(c, m, m->ask.p, k, m->left == 0);
        shim_drop(&m->ask, k);
        if (m->left == 0) s->sent = true, m->body = NULL;
        return ok;
    }
    static const vt__h1_limits wide = {.chunk_line = 1 << 16, .chunk_ext = 1 << 20, .trailer = 1 << 20};
    vt__h1_field trailers[64];
    vt_str data = {NULL, 0};
    int64_t n = vt__h1_chunk_decode(&m->chunk, m->ask.p, VT__MIN(m->ask.len, (size_t)room), &data, trailers,
                                    64, &wide);
    if (n < 0) m->bad = true;
    if (n <= 0) return false;
    bool ok = true, last = m->chunk.done && !m->chunk.ntrailers;
    if (!over && (data.len || last)) ok = shim_data(c, m, data.ptr, data.len, last);
    if (m->chunk.done && m->chunk.ntrailers && !over) {
        struct shim_text b = {NULL, 0, 0};
        const char *base = m->ask.p + m->chunk.trailer_off;
        for (uint32_t i = 0; i < m->chunk.ntrailers; i++)
            shim_field(&b, (vt_str){base + trailers[i].name_off, trailers[i].name_len},
                       (vt_str){base + trailers[i].value_off, trailers[i].value_len});
        ok = shim_block(c, s->id, &b, true);
        free(b.p);
    }
    if (m->chunk.done) s->sent = true, m->body = NULL;
    shim_drop(&m->ask, (size_t)n);
    return ok;
}
/* How many count against the server's limit. */
static int64_t shim_live(const struct shim *m) {
    int64_t n = 0;
    for (const struct shim_stream *s = m->first; s; s = s->next) n += !s->reset && !(s->end && s->sent);
    return n;
}
/* As far as it goes. */
static void shim_push(struct cl *c) {
    static const vt__h1_limits wide = {.line = 1 << 20, .section = 1 << 24};
    struct shim *m = c->shim;
    while (!m->eof && !m->bad) {
        if (m->body) {
            if (!shim_body(c, m)) return;
            continue;
        }
        vt__h1_req r;
        memset(&r, 0, sizeof r);
        if (m->ask.len == 0 || m->leaves) return;
        if (shim_live(m) >= m->max_streams) return;
        int n = vt__h1_req_parse(&r, m->ask.p, m->ask.len, m->fields, SHIM_FIELDS, &wide);
        if (n < 0) m->bad = true; /* not for HTTP/2 to say */
        if (n <= 0) return;
        if (!shim_request(c, m, &r, m->fields)) m->eof = true;
        shim_drop(&m->ask, (size_t)n);
    }
}

/* ---- in ---- */
static void shim_print(struct shim_text *t, const char *fmt, ...) {
    char buf[16000];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    shim_add(t, buf, (size_t)n);
}
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
    if (ok && s->headed) shim_print(&s->text, s->chunked ? "0\r\n%s\r\n" : "", lines.p);
    if (ok && !s->headed) {
        bool framed = !length && status >= 200 && status != 204 && status != 304;
        s->headed = status >= 200;
        s->chunked = framed && !s->head;
        shim_print(&s->text, "HTTP/1.1 %d .\r\n", status);
        shim_add(&s->text, lines.p, lines.len);
        shim_print(&s->text, framed ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
        if (end && s->chunked) shim_print(&s->text, "0\r\n\r\n");
    }
    s->end |= end;
    free(lines.p);
    return ok;
}
static bool shim_on_data(struct cl *c, struct shim_stream *s, const char *p, size_t n, bool end) {
    if (n && s->chunked) shim_print(&s->text, "%zx\r\n", n);
    shim_add(&s->text, p, n);
    if (n && s->chunked) shim_print(&s->text, "\r\n");
    if (end && s->chunked) shim_print(&s->text, "0\r\n\r\n");
    s->end |= end;
    uint8_t credit[4];
    (void)vt__h2_put32(credit, (uint32_t)n);
    if (n) shim_frame(c, VT__H2_T_WINDOW_UPDATE, 0, 0, credit, 4);
    if (n && !end) shim_frame(c, VT__H2_T_WINDOW_UPDATE, 0, s->id, credit, 4);
    return s->headed;
}
static bool shim_on_settings(struct cl *c, struct shim *m, unsigned flags, const uint8_t *p, size_t n) {
    if (flags & VT__H2_ACK) return true;
    for (; n >= 6; p += 6, n -= 6) {
        uint32_t v = vt__h2_get32(p + 2);
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
        *(id ? &s->window : &m->window) += vt__h2_get32((const uint8_t *)p);
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
        size_t n = vt__h2_get32(f) >> 8;
        if (m->raw.len - at < VT__H2_FRAME + n) break;
        if (!shim_on_frame(c, f[3], f[4], vt__h2_get32(f + 5), m->raw.p + at + VT__H2_FRAME, n))
            m->bad = m->eof = true;
        at += VT__H2_FRAME + n;
    }
    if (at) shim_drop(&m->raw, at);
}
static ssize_t shim_next(struct cl *c, void *p, size_t n) {
    struct shim *m = c->shim;
    struct shim_stream *s;
    shim_pull(c);
    shim_push(c);
    while ((s = m->first) != NULL && !s->text.len && s->end && s->sent) {
        shim_pop(m);
        if (!m->first && m->leaves) return 0;
    }
    if (s && s->text.len) {
        n = VT__MIN(n, s->text.len);
        memcpy(p, s->text.p, n);
        shim_drop(&s->text, n);
        return (ssize_t)n;
    }
    if (m->eof || m->bad || (s && s->reset)) return 0;
    errno = EAGAIN;
    return -1;
}
static ssize_t shim_in(struct cl *c, void *p, size_t n) {
    pthread_mutex_lock(&c->shim->mu);
    ssize_t r = shim_next(c, p, n);
    int err = errno;
    pthread_mutex_unlock(&c->shim->mu);
    errno = err;
    return r;
}
static ssize_t shim_out(struct cl *c, const void *p, size_t n) {
    struct shim *m = c->shim;
    pthread_mutex_lock(&m->mu);
    bool over = m->eof || m->bad;
    if (!over) shim_add(&m->ask, p, n), shim_push(c);
    pthread_mutex_unlock(&m->mu);
    errno = EPIPE;
    return over ? -1 : (ssize_t)n;
}
static bool shim_open(struct cl *c) {
    struct shim *m = c->shim = calloc(1, sizeof *m);
    uint8_t s[12] = {0, VT__H2_S_WINDOW, 0, 0, 0, 0, 0, VT__H2_S_PUSH, 0, 0, 0, 0}, credit[4];
    (void)vt__h2_put32(s + 2, SHIM_WINDOW);
    (void)vt__h2_put32(credit, SHIM_WINDOW);
    vt__hpack_dec_init(&m->dec, VT__HPACK_DEFAULT);
    vt__hpack_dec_table(&m->dec, malloc(vt__hpack_mem(m->dec.t.cap)));
    m->scratch = malloc(SHIM_SCRATCH);
    pthread_mutex_init(&m->mu, NULL);
    pthread_mutex_lock(&shim_lock);
    m->fd = c->fd;
    m->peer = shim_all;
    shim_all = m;
    pthread_mutex_unlock(&shim_lock);
    m->next = 1;
    m->max_streams = 100; /* as every server allows */
    m->window = m->first_window = VT__H2_WINDOW_FIRST;
    return shim_send(c, VT__H2_PREFACE, VT__H2_PREFACE_LEN) &&
           shim_frame(c, VT__H2_T_SETTINGS, 0, 0, s, sizeof s) &&
           shim_frame(c, VT__H2_T_WINDOW_UPDATE, 0, 0, credit, 4);
}
/* A server that stops is not to wait until somebody reads its GOAWAY. */
static void shim_leave(void) {
    pthread_mutex_lock(&shim_lock);
    for (struct shim *m = shim_all; m; m = m->peer) shutdown(m->fd, SHUT_RDWR);
    pthread_mutex_unlock(&shim_lock);
}
#endif
