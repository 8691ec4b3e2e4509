/* A raw client of HTTP/2 for end-to-end tests: exact frames out, HPACK literals without Huffman; what comes is taken apart
 * with the library's decoder, and kept by stream. Behind e2e.h.
 *
 *     H2(h);                                        // closed at the end of the block
 *     REQUIRE(h2_open(&h));                         // connection, preface, SETTINGS
 *     CHECK_EQ(h2_get(&h, "/"), 200);               // then h.s->body, h2_field(h.s, "date")
 *     uint32_t id = h2_ask(&h, "POST /x", "a: b\n", false);   // HEADERS; true: the stream's end, too
 *     h2_body(&h, id, "body", 4, true);             // as the windows allow
 *     CHECK_EQ(h2_wait(&h, id), 200);
 */
#ifndef VT_H2CLIENT_H
#define VT_H2CLIENT_H
enum { H2_SLOTS = 4096, H2_TIMEOUT = -1, H2_GONE = -2, H2_RST = -100 };

struct h2_stream {
    uint32_t id;
    int status, informs; /* informs: interim responses so far */
    bool end;            /* END_STREAM came */
    int64_t rst, window; /* rst: the code, -1 without; window: what may be sent */
    char head[8192], inform[1024], trailers[1024], value[4096]; /* "name: value\n" each */
    char *body;
    size_t body_len, body_cap;
};
struct h2 {
    struct cl c;
    struct h2_stream *slots[H2_SLOTS], *s; /* s: of the last h2_wait */
    vt__hpack_dec dec;
    char *scratch;
    uint32_t next, block_id,
        first_window; /* next: the id of h2_ask; first_window: that the server gives streams */
    char *block;
    size_t block_len;
    bool hold, bad;           /* hold: gives no windows back; bad: what came is not HTTP/2 */
    int64_t window, received; /* bytes of data */
    int settings, acks, pongs, goaways, heads, resets;
    uint32_t goaway_code, goaway_last, max_streams, connect_protocol;
    uint32_t order[64]; /* streams in the order of their ends */
    int ended;
};
#define H2(name) struct h2 name __attribute__((cleanup(h2_close))) = {.c = {.fd = -1}}

static void h2_close(struct h2 *h) {
    for (int i = 0; i < H2_SLOTS; i++) {
        if (h->slots[i]) free(h->slots[i]->body);
        free(h->slots[i]);
    }
    free(h->dec.t.mem);
    free(h->scratch);
    free(h->block);
    cl_close(&h->c);
    memset(h, 0, sizeof *h);
    h->c.fd = -1;
}
static struct h2_stream *h2_of(struct h2 *h, uint32_t id) {
    struct h2_stream **slot = &h->slots[id / 2 % H2_SLOTS];
    if (*slot && (*slot)->id != id) {
        free((*slot)->body);
        free(*slot);
        *slot = NULL;
    }
    if (!*slot) {
        *slot = calloc(1, sizeof **slot);
        (*slot)->id = id;
        (*slot)->rst = -1;
        (*slot)->window = h->first_window;
        (*slot)->body = calloc(1, 1);
    }
    return *slot;
}

/* ---- out ---- */
static bool h2_frame(struct h2 *h, unsigned type, unsigned flags, uint32_t id, const void *p, size_t n) {
    char *f = malloc(n + VT__H2_FRAME);
    (void)vt__h2_put_frame((uint8_t *)f, n, type, flags, id);
    if (n) memcpy(f + VT__H2_FRAME, p, n);
    bool ok = cl_send(&h->c, f, n + VT__H2_FRAME);
    free(f);
    return ok;
}
static bool h2_word(struct h2 *h, unsigned type, uint32_t id, uint32_t word) {
    uint8_t p[4];
    (void)vt__str_put32(p, word);
    return h2_frame(h, type, 0, id, p, 4);
}
static __attribute__((unused)) bool h2_rst(struct h2 *h, uint32_t id) {
    return h2_word(h, VT__H2_T_RST_STREAM, id, VT__H2_CANCEL);
}
static bool h2_credit(struct h2 *h, uint32_t id, size_t n) {
    return n == 0 || h2_word(h, VT__H2_T_WINDOW_UPDATE, id, (uint32_t)n);
}
static __attribute__((unused)) bool h2_ping(struct h2 *h) {
    return h2_frame(h, VT__H2_T_PING, 0, 0, "8 bytes.", 8);
}
static size_t h2_put_int(uint8_t *p, size_t n) { /* of a string's length */
    if (n < 127) return p[0] = (uint8_t)n, 1;
    size_t k = 1;
    p[0] = 127;
    for (n -= 127; n >= 128; n >>= 7) p[k++] = (uint8_t)(n & 127) | 128;
    p[k++] = (uint8_t)n;
    return k;
}
/* One literal that is not indexed; where the next goes. */
static uint8_t *h2_put(uint8_t *p, const char *name, size_t nlen, const char *value, size_t vlen) {
    *p++ = 0;
    p += h2_put_int(p, nlen);
    memcpy(p, name, nlen);
    p += nlen;
    p += h2_put_int(p, vlen);
    memcpy(p, value, vlen);
    return p + vlen;
}
/* "name: value\n" each; a name may begin with a colon. */
static uint8_t *h2_put_lines(uint8_t *p, const char *lines) {
    for (const char *end; lines && (end = strchr(lines, '\n')) != NULL; lines = end + 1) {
        const char *colon = strstr(lines + 1, ": ");
        p = h2_put(p, lines, (size_t)(colon - lines), colon + 2, (size_t)(end - colon - 2));
    }
    return p;
}
/* "METHOD /path" and more fields to a block; its bytes. */
static size_t h2_block(uint8_t *to, const char *what, const char *lines) {
    const char *path = strchr(what, ' ') + 1;
    uint8_t *p = h2_put(to, ":method", 7, what, (size_t)(path - 1 - what));
    p = h2_put(p, ":scheme", 7, E2E_SCHEME, strlen(E2E_SCHEME));
    p = h2_put(p, ":path", 5, path, strlen(path));
    if (!lines || strncmp(lines, ":authority", 10) != 0) p = h2_put(p, ":authority", 10, "a", 1);
    return (size_t)(h2_put_lines(p, lines) - to);
}
/* A block in frames of at most `most` bytes. */
static bool h2_send_block(struct h2 *h, uint32_t id, const uint8_t *p, size_t n, size_t most, bool fin) {
    size_t k = n < most ? n : most;
    unsigned end = fin ? VT__H2_END_STREAM : 0;
    bool ok = h2_frame(h, VT__H2_T_HEADERS, (k == n ? VT__H2_END_HEADERS : 0) | end, id, p, k);
    for (p += k, n -= k; n > 0 && ok; p += k, n -= k) {
        k = n < most ? n : most;
        ok = h2_frame(h, VT__H2_T_CONTINUATION, k == n ? VT__H2_END_HEADERS : 0, id, p, k);
    }
    return ok;
}
/* Opens a stream; its id. */
static uint32_t h2_ask(struct h2 *h, const char *what, const char *lines, bool fin) {
    size_t cap = strlen(what) + (lines ? strlen(lines) * 2 : 0) + 256;
    uint8_t *p = malloc(cap);
    uint32_t id = h->next;
    h->next += 2;
    h2_send_block(h, id, p, h2_block(p, what, lines), VT__H2_FRAME_MIN, fin);
    free(p);
    return id;
}
static __attribute__((unused)) bool h2_trailers(struct h2 *h, uint32_t id, const char *lines) {
    uint8_t *p = malloc(strlen(lines) * 2 + 256);
    size_t n = (size_t)(h2_put_lines(p, lines) - p);
    bool ok = h2_send_block(h, id, p, n, VT__H2_FRAME_MIN, true);
    free(p);
    return ok;
}
static bool h2_data(struct h2 *h, uint32_t id, const void *p, size_t n, bool fin) {
    h->window -= (int64_t)n;
    h2_of(h, id)->window -= (int64_t)n;
    return h2_frame(h, VT__H2_T_DATA, fin ? VT__H2_END_STREAM : 0, id, p, n);
}

/* ---- in ---- */
static void h2_line(char *to, size_t cap, const vt__hpack_field *f) {
    size_t n = strlen(to);
    snprintf(to + n, cap - n, "%.*s: %.*s\n", (int)f->name.len, f->name.ptr, (int)f->value.len, f->value.ptr);
}
/* A field of the response, in a buffer that the next call reuses; NULL without. */
static const char *h2_find(struct h2_stream *s, const char *lines, const char *name) {
    size_t n = strlen(name);
    for (const char *p = lines, *end; (end = strchr(p, '\n')) != NULL; p = end + 1) {
        if (strncmp(p, name, n) != 0 || p[n] != ':') continue;
        snprintf(s->value, sizeof s->value, "%.*s", (int)(end - p - (int)n - 2), p + n + 2);
        return s->value;
    }
    return NULL;
}
static __attribute__((unused)) const char *h2_field(struct h2_stream *s, const char *name) {
    return h2_find(s, s->head, name);
}
static const char *h2_text(vt_str v) {
    static char text[16];
    snprintf(text, sizeof text, "%.*s", (int)v.len, v.ptr);
    return text;
}
static bool h2_on_block(struct h2 *h, bool fin) {
    struct h2_stream *s = h2_of(h, h->block_id);
    const uint8_t *p = (const uint8_t *)h->block, *end = p + h->block_len;
    vt__hpack_field f;
    char lines[8192] = "";
    int rc, status = 0;
    vt__hpack_dec_begin(&h->dec, h->scratch, 65536);
    while ((rc = vt__hpack_dec_next(&h->dec, &p, end, &f)) > 0) {
        if (f.flags & (VT__HPACK_BAD_NAME | VT__HPACK_BAD_VALUE)) return false;
        if (f.id == VT__HPACK_F_STATUS) status = (int)strtol(h2_text(f.value), NULL, 10);
        else h2_line(lines, sizeof lines, &f);
    }
    if (rc < 0 || vt__hpack_dec_end(&h->dec) < 0) return false;
    h->heads++;
    if (s->status >= 200) {
        if (status || !fin) return false; /* trailers end it */
        memcpy(s->trailers, lines, sizeof s->trailers - 1);
    } else if (status >= 100 && status < 200) {
        if (fin) return false;
        s->informs++;
        s->status = status;
        memcpy(s->inform, lines, sizeof s->inform - 1);
    } else {
        if (status < 200) return false;
        s->status = status;
        memcpy(s->head, lines, sizeof s->head);
    }
    return true;
}
static void h2_on_end(struct h2 *h, struct h2_stream *s) {
    s->end = true;
    if (h->ended < 64) h->order[h->ended] = s->id;
    h->ended++;
}
static void h2_on_data(struct h2 *h, struct h2_stream *s, const char *p, size_t n, bool fin) {
    while (s->body_len + n + 1 > s->body_cap) s->body = realloc(s->body, s->body_cap = s->body_cap * 2 + 256);
    memcpy(s->body + s->body_len, p, n);
    s->body[s->body_len += n] = 0;
    h->received += (int64_t)n;
    if (h->hold) return;
    h2_credit(h, 0, n);
    if (!fin) h2_credit(h, s->id, n);
}
static void h2_on_setting(struct h2 *h, unsigned id, uint32_t v) {
    if (id == VT__H2_S_STREAMS) h->max_streams = v;
    if (id == VT__H2_S_CONNECT) h->connect_protocol = v;
    if (id != VT__H2_S_WINDOW) return;
    for (int i = 0; i < H2_SLOTS; i++)
        if (h->slots[i]) h->slots[i]->window += (int64_t)v - (int64_t)h->first_window;
    h->first_window = v;
}
static bool h2_on_frame(struct h2 *h, unsigned type, unsigned flags, uint32_t id, const char *p, size_t n) {
    const uint8_t *u = (const uint8_t *)p;
    struct h2_stream *s = id ? h2_of(h, id) : NULL;
    if (s && (!(id & 1) || s->end) && type != VT__H2_T_RST_STREAM && type != VT__H2_T_WINDOW_UPDATE)
        return false;
    if (h->block_id && type != VT__H2_T_CONTINUATION) return false;
    switch (type) {
    case VT__H2_T_DATA:
        if (!s || s->status < 200) return false;
        h2_on_data(h, s, p, n, flags & VT__H2_END_STREAM);
        if (flags & VT__H2_END_STREAM) h2_on_end(h, s);
        return true;
    case VT__H2_T_HEADERS:
    case VT__H2_T_CONTINUATION:
        if (!s || (type == VT__H2_T_CONTINUATION && h->block_id != id)) return false;
        if (type == VT__H2_T_HEADERS) h->block_len = 0;
        h->block = realloc(h->block, h->block_len + n + 1);
        memcpy(h->block + h->block_len, p, n);
        h->block_len += n;
        h->block_id = id;
        if (type == VT__H2_T_HEADERS && flags & VT__H2_END_STREAM) h2_on_end(h, s);
        if (!(flags & VT__H2_END_HEADERS)) return true;
        bool ok = h2_on_block(h, s->end);
        h->block_id = 0;
        return ok;
    case VT__H2_T_RST_STREAM:
        if (!s || n != 4) return false;
        s->rst = vt__str_get32(u);
        h->resets++;
        return true;
    case VT__H2_T_SETTINGS:
        if (flags & VT__H2_ACK) return h->acks++, n == 0;
        for (size_t i = 0; i + 6 <= n; i += 6) h2_on_setting(h, u[i + 1], vt__str_get32(u + i + 2));
        h->settings++;
        h2_frame(h, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0);
        return true;
    case VT__H2_T_PING:
        if (flags & VT__H2_ACK) return h->pongs++, n == 8;
        h2_frame(h, VT__H2_T_PING, VT__H2_ACK, 0, p, n);
        return n == 8;
    case VT__H2_T_GOAWAY:
        h->goaways++;
        h->goaway_last = vt__str_get32(u);
        h->goaway_code = vt__str_get32(u + 4);
        return n >= 8;
    case VT__H2_T_WINDOW_UPDATE: *(s ? &s->window : &h->window) += vt__str_get32(u); return n == 4;
    default: return false; /* no other was asked for */
    }
}
/* Takes one frame within `ms`: 1; 0: the connection ended, or what comes is no HTTP/2 (h->bad); -1: nothing came. */
static int h2_pump(struct h2 *h, int64_t ms) {
    int64_t until = e2e_now_ms() + ms;
    struct cl *c = &h->c;
    for (;;) {
        size_t n = c->in_len < VT__H2_FRAME ? 0 : vt__str_get32((uint8_t *)c->in) >> 8;
        if (c->in_len >= VT__H2_FRAME && c->in_len >= VT__H2_FRAME + n) {
            uint32_t id = vt__str_get32((uint8_t *)c->in + 5);
            if (getenv("VT_E2E_FRAMES")) printf("< %d %d %u %zu\n", c->in[3], c->in[4], id, n);
            if (!h2_on_frame(h, (uint8_t)c->in[3], (uint8_t)c->in[4], id, c->in + VT__H2_FRAME, n)) {
                printf("bad frame: type %d, flags %d, stream %u, %zu bytes\n", c->in[3], c->in[4], id, n);
                h->bad = true;
                return 0;
            }
            cl_consume(c, VT__H2_FRAME + n);
            return 1;
        }
        int64_t left = until - e2e_now_ms();
        int r = cl_more(c, left > 0 ? left : 0);
        if (r <= 0) return r;
    }
}
/* Until `done`, for E2E_MS. */
#define H2_UNTIL(h, done)                                                                                    \
    for (int64_t end_ = e2e_now_ms() + E2E_MS;                                                               \
         !(done) && e2e_now_ms() < end_ && h2_pump(h, end_ - e2e_now_ms()) == 1;)                            \
    continue
/* Until the stream has ended both in and by reset: its status; H2_RST - code when it was reset and had not ended; H2_GONE:
 * the connection ended before; H2_TIMEOUT. h->s is the stream. */
static int h2_wait(struct h2 *h, uint32_t id) {
    struct h2_stream *s = h->s = h2_of(h, id);
    H2_UNTIL(h, s->end || s->rst >= 0);
    if (s->end) return s->status;
    if (s->rst >= 0) return H2_RST - (int)s->rst;
    return h->c.eof || h->bad ? H2_GONE : H2_TIMEOUT;
}
/* Sends as much as the windows allow and waits for more; false: the stream or the connection ended before. */
static __attribute__((unused)) bool h2_body(struct h2 *h, uint32_t id, const char *p, size_t n, bool fin) {
    struct h2_stream *s = h2_of(h, id);
    do {
        H2_UNTIL(h, n == 0 || (s->window > 0 && h->window > 0) || s->rst >= 0 || h->c.eof);
        if (s->rst >= 0 || (n && (s->window <= 0 || h->window <= 0))) return false;
        int64_t k = s->window < h->window ? s->window : h->window;
        k = k < (int64_t)n ? k : (int64_t)n;
        k = k < VT__H2_FRAME_MIN ? k : VT__H2_FRAME_MIN;
        if (!h2_data(h, id, p, (size_t)k, fin && (size_t)k == n)) return false;
        p += k, n -= (size_t)k;
        while (h2_pump(h, 0) == 1) continue; /* what comes back does not pile up */
    } while (n > 0);
    return true;
}
/* The connection's end; its GOAWAY's code, -1 without, -2 when it does not end. */
static __attribute__((unused)) int h2_ended(struct h2 *h) {
    H2_UNTIL(h, h->c.eof && h->c.in_len == 0);
    if (!h->c.eof) return -2;
    return h->goaways ? (int)h->goaway_code : -1;
}
static void h2_init(struct h2 *h) {
    vt__hpack_dec_init(&h->dec, VT__HPACK_DEFAULT);
    vt__hpack_dec_table(&h->dec, malloc(vt__hpack_mem(h->dec.t.cap)));
    h->scratch = malloc(65536);
    h->next = 1;
    h->window = h->first_window = VT__H2_WINDOW_FIRST;
}
/* What TLS offers by ALPN; "\2h2". */
static __attribute__((unused)) bool h2_connect(struct h2 *h, const char *alpn, int rcvbuf) {
#if E2E_TLS
    tls_alpn = alpn;
#endif
    (void)alpn;
    bool ok = cl_open_to(&h->c, e2e.port, rcvbuf);
#if E2E_TLS
    tls_alpn = NULL;
#endif
    h2_init(h);
    return ok;
}
/* With these settings ("id value" pairs of 6 bytes). */
static bool h2_open_with(struct h2 *h, const void *settings, size_t n, int rcvbuf) {
    char first[256];
    if (!h2_connect(h, "\2h2", rcvbuf)) return false;
    memcpy(first, VT__H2_PREFACE, VT__H2_PREFACE_LEN);
    (void)vt__h2_put_frame((uint8_t *)first + VT__H2_PREFACE_LEN, n, VT__H2_T_SETTINGS, 0, 0);
    if (n) memcpy(first + VT__H2_PREFACE_LEN + VT__H2_FRAME, settings, n);
    return cl_send(&h->c, first, VT__H2_PREFACE_LEN + VT__H2_FRAME + n);
}
static bool h2_open(struct h2 *h) { return h2_open_with(h, NULL, 0, 0); }
/* One whose streams may get `window` bytes at first. */
static __attribute__((unused)) bool h2_open_window(struct h2 *h, uint32_t window, int rcvbuf) {
    uint8_t p[6] = {0, VT__H2_S_WINDOW};
    (void)vt__str_put32(p + 2, window);
    return h2_open_with(h, p, 6, rcvbuf);
}
static __attribute__((unused)) int h2_get(struct h2 *h, const char *path) {
    char what[8300];
    if (h->c.fd < 0 && !h2_open(h)) return H2_GONE;
    snprintf(what, sizeof what, "GET %s", path);
    return h2_wait(h, h2_ask(h, what, NULL, true));
}
static __attribute__((unused)) int h2_post(struct h2 *h, const char *what, const char *lines, const char *p,
                                           size_t n) {
    if (h->c.fd < 0 && !h2_open(h)) return H2_GONE;
    uint32_t id = h2_ask(h, what, lines, false);
    h2_body(h, id, p, n, true);
    return h2_wait(h, id);
}
#endif
