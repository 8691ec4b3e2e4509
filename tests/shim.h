/* A client of another HTTP that looks like one of HTTP/1.1, for suites that were written for that: what is sent is taken apart and
 * goes out as streams; what comes on the oldest stream is put together as a response of HTTP/1.1, then on the next. A response
 * without a length is given as chunked. A stream that is reset, or the connection's end, is the end of what can be read.
 * Behind struct cl of e2e.h, which calls shim_open, shim_in, shim_out, shim_close; read by h2shim.h and h3shim.h, which say what
 * goes over the wire. */
#ifndef VT_SHIM_H
#define VT_SHIM_H
enum { SHIM_FIELDS = 1100, SHIM_ROOM = 16384 /* bytes of a body at once */ };

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
    SHIM_STREAM_WIRE
};
struct shim {
    struct shim *peer; /* of shim_all */
    int fd;
    pthread_mutex_t mu;                              /* one thread may send while another reads */
    struct shim_text ask;                            /* of HTTP/1.1, not sent */
    struct shim_stream *first, *body;                /* body: whose request is under way */
    int64_t left, window, first_window, max_streams; /* windows: the connection's, a new stream's */
    bool chunked, eof, bad, leaves, away;            /* leaves: no request follows; away: GOAWAY is here */
    vt__h1_chunk chunk;
    uint32_t next, step; /* the next stream's number, and how much more the one after that has */
    vt__h1_field fields[SHIM_FIELDS];
    SHIM_WIRE
};

static struct shim *shim_all;
static pthread_mutex_t shim_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- what the wire does ---- */
static void shim_field(struct shim_text *b, vt_str name, vt_str value); /* adds a field to a head */
static bool shim_block(struct cl *c, uint32_t id, const struct shim_text *b, bool end);
static bool shim_data(struct cl *c, struct shim *m, const char *p, size_t n, bool end);
static void shim_pull(struct cl *c);  /* takes in what has come */
static void shim_cut(struct shim *m); /* the client's end is gone */
static void shim_stream_free(struct shim *m, struct shim_stream *s);
static void shim_still(struct shim *m); /* from now on it is its caller's alone */
static void shim_wire_free(struct shim *m);

/* ---- text ---- */
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
    shim_stream_free(m, s);
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
    shim_still(m);
    while (m->first) shim_pop(m);
    shim_wire_free(m);
    free(m->ask.p);
    free(m);
}

static void shim_print(struct shim_text *t, const char *fmt, ...) {
    char buf[16000];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    shim_add(t, buf, (size_t)n);
}
/* A head, interim or not: its fields as lines; `length`: with Content-Length. */
static void shim_head(struct shim_stream *s, int status, const struct shim_text *lines, bool length,
                      bool end) {
    bool framed = !length && status >= 200 && status != 204 && status != 304;
    s->headed = status >= 200;
    s->chunked = framed && !s->head;
    shim_print(&s->text, "HTTP/1.1 %d .\r\n", status);
    shim_add(&s->text, lines->p, lines->len);
    shim_print(&s->text, framed ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    if (end && s->chunked) shim_print(&s->text, "0\r\n\r\n");
}
static void shim_trailers(struct shim_stream *s, const struct shim_text *lines) {
    shim_print(&s->text, s->chunked ? "0\r\n%s\r\n" : "", lines->p);
}
static void shim_bytes(struct shim_stream *s, const char *p, size_t n, bool end) {
    if (n && s->chunked) shim_print(&s->text, "%zx\r\n", n);
    shim_add(&s->text, p, n);
    if (n && s->chunked) shim_print(&s->text, "\r\n");
    if (end && s->chunked) shim_print(&s->text, "0\r\n\r\n");
}

/* ---- out ---- */
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
    m->next += m->step;
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
/* As much of the body as there is and windows allow; false: nothing goes on. */
static bool shim_body(struct cl *c, struct shim *m) {
    struct shim_stream *s = m->body;
    int64_t room = VT__MIN(VT__MIN(m->window, s->window), SHIM_ROOM);
    bool over = s->unwanted;
    if (over) room = SHIM_ROOM;
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

/* One that has no streams yet, in the list of all. */
static struct shim *shim_new(struct cl *c) {
    struct shim *m = c->shim = calloc(1, sizeof *m);
    pthread_mutex_init(&m->mu, NULL);
    pthread_mutex_lock(&shim_lock);
    m->fd = c->fd;
    m->peer = shim_all;
    shim_all = m;
    pthread_mutex_unlock(&shim_lock);
    m->max_streams = 100; /* as every server allows */
    return m;
}
/* A server that stops is not to wait until somebody reads its GOAWAY. */
static void shim_leave(void) {
    pthread_mutex_lock(&shim_lock);
    for (struct shim *m = shim_all; m; m = m->peer) shim_cut(m);
    pthread_mutex_unlock(&shim_lock);
}
#endif
