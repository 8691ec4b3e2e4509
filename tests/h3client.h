/* A raw client of HTTP/3 for end-to-end tests, on a plain thread: exact frames out, with QPACK literals; what comes is taken
 * apart with the library's machines, and kept by stream. Behind e2e.h, with E2E_TLS.
 *
 *     H3(h);                                        // closed at the end of the block
 *     REQUIRE(h3_open(&h));                         // handshake, SETTINGS
 *     struct h3_stream *s = h3_ask(&h, "POST /x", "a: b\n", false); // HEADERS; true: the stream's end, too
 *     h3_body(&h, s, "body", 4, true);              // a frame of DATA; it goes as the windows allow
 *     CHECK_EQ(h3_wait(&h, s), 200);                // then s->body, h3_field(s, "date")
 *
 * Nothing goes, and nothing is heard, but within h3_open, h3_wait, h3_run and h3_until.
 */
#ifndef VT_H3CLIENT_H
#define VT_H3CLIENT_H
#include "bytes.h"

enum { H3_TIMEOUT = -1, H3_GONE = -2, H3_RST = -100 };

/* A request, or a unidirectional stream of either end. */
struct h3_stream {
    vt__h3_stream m; /* first */
    vt__qstr_stream *wire;
    int status, informs, interim; /* informs: interim responses so far; interim: the last one's status */
    bool end, fin;                /* of the answer; of what is to go */
    bool hold;                    /* gives no windows back: `held` bytes of data */
    size_t held;
    int64_t rst, stop; /* codes of RESET_STREAM and STOP_SENDING, -1 without */
    struct bytes fields, head, inform, trailers, body, out;
    size_t out_at;
    char value[4096];
    struct h3_stream *next;
};
struct h3 {
    vt__quic_cfg cfg; /* windows and the like: set before h3_open */
    vt__h3_cfg h3_cfg;
    bool raw;          /* no streams of ours but those that the test opens */
    vt__ossl_ctx *tls; /* has tickets where it is another client's: see h3_as */
    uint32_t version;  /* to begin with; 0: the first */
    vt__udp udp;
    vt__udp_rx rx;
    vt__udp_addr local, remote;
    vt__qstr_mem mem;
    vt__quic q;
    vt__h3 m;
    void *room;
    struct h3_stream *all;
    vt__qstr_stream *pipes[VT__H3_PIPES];
    bool up, ready, closed, early; /* early: 0-RTT may be sent */
    int zero;                      /* enum vt__qtls_zero, once it is ready */
    char server[64];               /* the CN of its certificate */
    vt__quic_end why;              /* of the end */
    int settings, goaways;
    uint64_t goaway; /* the id in the last */
};
#define H3(name) struct h3 name __attribute__((cleanup(h3_close))) = {.up = false}

static struct h3_stream *h3_new(struct h3 *h, vt__qstr_stream *wire) {
    struct h3_stream *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->wire = wire;
    s->rst = s->stop = -1;
    s->next = h->all;
    h->all = s;
    wire->ctx = s;
    return s;
}

/* ---- in ---- */
static void h3_add_field(struct bytes *to, vt_str name, vt_str value) {
    bytes_add(to, name.ptr, name.len);
    bytes_add(to, ": ", 2);
    bytes_add(to, value.ptr, value.len);
    bytes_add(to, "\n", 1);
}
static void h3_settle(struct h3_stream *s, struct bytes *to) {
    bytes_free(to);
    *to = s->fields;
    s->fields = (struct bytes){NULL, 0, 0};
}
static void h3_on_message(struct h3 *h, const vt__msg_event *ev) {
    struct h3_stream *s = (struct h3_stream *)(void *)ev->stream;
    switch (ev->type) {
    case VT__MSG_EV_FIELD: h3_add_field(&s->fields, ev->name, ev->value); break;
    case VT__MSG_EV_INFORM:
        s->informs++;
        s->status = s->interim = ev->status;
        h3_settle(s, &s->inform);
        break;
    case VT__MSG_EV_HEAD:
        s->status = ev->status;
        h3_settle(s, &s->head);
        break;
    case VT__MSG_EV_TRAILERS: h3_settle(s, &s->trailers); break;
    case VT__MSG_EV_DATA:
        bytes_add(&s->body, ev->value.ptr, ev->value.len);
        if (s->hold) s->held += ev->value.len;
        else vt__qstr_consumed(&h->q.streams, s->wire, ev->value.len);
        break;
    case VT__MSG_EV_RESET: s->rst = (int64_t)ev->code; break;
    case VT__MSG_EV_SETTINGS: h->settings++; break;
    case VT__MSG_EV_GOAWAY:
        h->goaways++;
        h->goaway = ev->id;
        break;
    default: break;
    }
    bool last = ev->type == VT__MSG_EV_HEAD ? ev->end
                                            : ev->type == VT__MSG_EV_TRAILERS || ev->type == VT__MSG_EV_END;
    if (s && last) s->end = true;
}
static void h3_fail(struct h3 *h) {
    if (h->m.err) vt__quic_close(&h->q, true, vt__h3_code(&h->m), vt__str_of("bad"), vt__plat_now());
}
static void h3_on_data(struct h3 *h, struct h3_stream *s, const vt__qstr_event *ev) {
    const uint8_t *p = ev->data, *end = p + ev->len;
    vt__msg_event m;
    while (vt__h3_recv(&h->m, &s->m, &p, end, ev->fin, vt__plat_now(), &m) > 0) h3_on_message(h, &m);
    if (s->m.id & 2) vt__qstr_consumed(&h->q.streams, s->wire, ev->len);
    else if (s->m.used) vt__qstr_consumed(&h->q.streams, s->wire, s->m.used);
    s->m.used = 0;
    h3_fail(h);
}
/* As much of what is to go as goes. */
static void h3_push(struct h3 *h, struct h3_stream *s) {
    size_t n = s->out.n - s->out_at;
    if (!h->up || h->closed || s->wire->fin || (!n && !s->fin)) return;
    int64_t k = vt__qstr_write(&h->q.streams, s->wire, n ? s->out.p + s->out_at : NULL, n, s->fin);
    if (k > 0) s->out_at += (size_t)k;
}
static void h3_on_stream(struct h3 *h, const vt__qstr_event *ev) {
    struct h3_stream *s = ev->stream ? ev->stream->ctx : NULL;
    vt__msg_event m;
    switch (ev->type) {
    case VT__QSTR_EV_OPEN:
        s = h3_new(h, ev->stream);
        (void)vt__h3_attach(&h->m, &s->m, ev->stream->id);
        h3_fail(h);
        break;
    case VT__QSTR_EV_DATA:
        if (s) h3_on_data(h, s, ev);
        break;
    case VT__QSTR_EV_RESET:
        if (s && vt__h3_on_reset(&h->m, &s->m, ev->code, vt__plat_now(), &m) > 0) h3_on_message(h, &m);
        break;
    case VT__QSTR_EV_STOP:
        if (s) s->stop = (int64_t)ev->code;
        break;
    case VT__QSTR_EV_WRITABLE:
        if (s) h3_push(h, s);
        break;
    default: break;
    }
}
static void h3_pump(struct h3 *h) {
    const uint8_t *p;
    for (int i = 0; i < VT__H3_PIPES && !h->raw; i++) {
        size_t n = vt__h3_out(&h->m, i, &p);
        if (!n || (!h->pipes[i] && vt__qstr_open(&h->q.streams, true, &h->pipes[i]) < 0)) continue;
        int64_t k = vt__qstr_write(&h->q.streams, h->pipes[i], p, n, false);
        if (k > 0) vt__h3_sent(&h->m, i, (size_t)k);
    }
}
static void h3_events(struct h3 *h) {
    vt__quic_event ev;
    while (vt__quic_next(&h->q, &ev)) switch (ev.type) {
        case VT__QUIC_EV_EARLY: h->early = true; break;
        case VT__QUIC_EV_READY:
            h->ready = true, h->zero = h->q.tls->early;
            X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(h->q.tls->o.ssl)),
                                      NID_commonName, h->server, sizeof h->server);
            break;
        case VT__QUIC_EV_STREAM: h3_on_stream(h, &ev.stream); break;
        case VT__QUIC_EV_CLOSED:
            h->closed = true;
            h->why = h->q.end;
            break;
        default: break;
        }
    if ((h->ready || h->early) && !h->closed) h3_pump(h);
}

/* ---- the socket ---- */
static void h3_flush(struct h3 *h) {
    static __thread uint8_t buf[65536];
    vt__quic_train q;
    h3_events(h);
    for (size_t n; (n = vt__qout_send(&h->q, buf, sizeof buf, &q, vt__plat_now())) > 0;) {
        for (size_t at = 0, sent; at < n; at += sent) {
            vt__udp_train t = {buf + at, n - at, q.segment, &h->remote, NULL, (uint8_t)q.ecn};
            int r = vt__udp_send(&h->udp, &t, &sent);
            if (r < 0 && r != -EAGAIN) break; /* lost */
        }
        h3_events(h);
    }
}
static void h3_take(struct h3 *h) {
    vt__udp_dgram d;
    while (vt__udp_recv(&h->udp, &h->rx) > 0)
        while (vt__udp_rx_next(&h->udp, &h->rx, &d)) {
            vt__quic_dgram g = {d.p, d.n, &h->local, &h->remote, d.ecn};
            vt__quic_recv(&h->q, &g, vt__plat_now());
            h3_events(h);
        }
}
/* One turn: waits up to `ms` for something. */
static void h3_turn(struct h3 *h, int64_t ms) {
    struct pollfd p = {.fd = h->udp.fd, .events = POLLIN};
    h3_flush(h);
    int64_t due = (vt__quic_due(&h->q) - vt__plat_now() + VT_MS - 1) / VT_MS;
    if (vt__quic_dead(&h->q)) due = ms;
    poll(&p, 1, (int)VT__MAX(VT__MIN(due, ms), (int64_t)0));
    h3_take(h);
    if (vt__quic_due(&h->q) <= vt__plat_now()) vt__quic_tick(&h->q, vt__plat_now());
    h3_flush(h);
}
static __attribute__((unused)) void h3_run(struct h3 *h, int64_t ms) {
    int64_t until = e2e_now_ms() + ms;
    for (int64_t left; (left = until - e2e_now_ms()) > 0;) h3_turn(h, left);
}
/* Goes on until a condition holds, or for E2E_MS; short turns, for the condition may be a handler's to make. */
#define h3_until(h, cond)                                                                                    \
    for (int64_t until_ = e2e_now_ms() + E2E_MS; !(cond) && e2e_now_ms() < until_;) h3_turn(h, 5)

/* ---- a connection ---- */
static bool h3_bind(struct h3 *h) {
    struct sockaddr_in6 name;
    vt__udp_addr a = {.port = 0};
    vt__udp_cfg cfg = {.rcvbuf = 0};
    vt__udp_set4(&a, (const uint8_t *)"\177\0\0\1");
    socklen_t n = vt__udp_addr_to(&a, AF_INET, &name);
    return vt__udp_open(&h->udp, (struct sockaddr *)(void *)&name, n, &cfg) == 0;
}
/* What a NAT does that has forgotten: from now on it comes from another port, and does not know. */
static __attribute__((unused)) bool h3_rebind(struct h3 *h) {
    vt__udp_close(&h->udp);
    return h3_bind(h);
}
static bool h3_begin(struct h3 *h) {
    vt__quic_start s;
    memset(&s, 0, sizeof s);
    h->cfg.tls = h->tls;
    vt__quic_cfg_fill(&h->cfg), vt__h3_cfg_fill(&h->h3_cfg);
    vt__qstr_mem_init(&h->mem);
    s.local = h->local, s.remote = h->remote, s.mem = &h->mem, s.host = "127.0.0.1", s.port = e2e.port;
    s.version = h->version;
    h->room = malloc(VT__H3_ROOM(&h->h3_cfg));
    if (!h->room || vt__h3_init(&h->m, &h->h3_cfg, false, vt__plat_now()) < 0) return false;
    h->m.room = h->room, h->m.room_len = VT__H3_ROOM(&h->h3_cfg);
    h->up = vt__quic_init(&h->q, &h->cfg, &s, vt__plat_now()) == 0;
    return h->up;
}
/* A client that has not said a word. */
static bool h3_prepare(struct h3 *h) {
    static const vt_str alpn = {"\2h3", 3};
    vt__ossl_client c = {.no_verify = true, .alpn = alpn};
    vt__ossl_text text = {""};
    (void)vt__ossl_begin();
    h->udp.fd = -1;
    h->remote.port = (uint16_t)e2e.port;
    vt__udp_set4(&h->remote, (const uint8_t *)"\177\0\0\1");
    if (!h3_bind(h) || vt__udp_rx_init(&h->rx) < 0) return false;
    h->local = h->remote;
    h->local.port = h->udp.port;
    return (h->tls || vt__qtls_ctx_client(&h->tls, &c, &text) == 0) && h3_begin(h);
}
/* With the tickets of another client, which is still there. */
static __attribute__((unused)) void h3_as(struct h3 *h, const struct h3 *other) {
    h->tls = other->tls;
    h->version = other->q.keys.version; /* they are of that alone */
    __atomic_fetch_add(&h->tls->refs, 1, __ATOMIC_RELAXED);
}
/* Sends the first datagram, and waits for nothing. */
static bool h3_start(struct h3 *h) {
    if (!h3_prepare(h)) return false;
    h3_flush(h);
    return true;
}
static __attribute__((unused)) bool h3_open(struct h3 *h) {
    if (!h3_start(h)) return false;
    h3_until(h, (h->ready && h->settings) || h->closed);
    return h->ready && !h->closed && h->settings == 1;
}
static void h3_stream_free(struct h3 *h, struct h3_stream *s) {
    vt__h3_release(&h->m, &s->m);
    bytes_free(&s->fields), bytes_free(&s->head), bytes_free(&s->inform), bytes_free(&s->trailers);
    bytes_free(&s->body), bytes_free(&s->out);
    free(s);
}
/* Nobody looks at it any more. */
static __attribute__((unused)) void h3_forget(struct h3 *h, struct h3_stream *s) {
    struct h3_stream **at = &h->all;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    s->wire->ctx = NULL;
    vt__qstr_release(&h->q.streams, s->wire, VT__H3_REQUEST_CANCELLED);
    h3_stream_free(h, s);
}
/* No word to the server; the next one may be opened. */
static void h3_vanish(struct h3 *h) {
    for (struct h3_stream *s; (s = h->all) != NULL; h3_stream_free(h, s)) h->all = s->next;
    if (!h->tls) return;
    if (h->up) vt__quic_free(&h->q);
    vt__h3_free(&h->m);
    vt__qstr_mem_free(&h->mem);
    vt__ossl_unref(h->tls);
    free(h->room);
    vt__udp_rx_free(&h->rx);
    vt__udp_close(&h->udp);
    memset(h, 0, sizeof *h);
}
static void h3_leave(struct h3 *h, uint64_t code) {
    if (!h->up || h->closed) return;
    vt__quic_close(&h->q, true, code, vt__str_of("bye"), vt__plat_now());
    h3_flush(h);
}
static void h3_close(struct h3 *h) {
    h3_leave(h, VT__H3_NO_ERROR);
    h3_vanish(h);
}

/* ---- out ---- */
static void h3_int(struct bytes *b, uint64_t v) {
    uint8_t p[VT__H3_INT_MAX];
    bytes_add(b, p, (size_t)(vt__qpkt_put_int(p, v) - p));
}
static void h3_frame(struct bytes *b, uint64_t type, const void *p, size_t n) {
    h3_int(b, type), h3_int(b, n), bytes_add(b, p, n);
}
/* "name: value\n" each, as literals. */
static void h3_put_lines(struct bytes *b, const char *lines) {
    for (const char *end; *lines; lines = end + 1) {
        const char *colon = strstr(lines + 1, ": ");
        uint8_t head[16], *to = vt__hpack_put_int(head, 0x20, 3, (size_t)(colon - lines));
        end = strchr(colon, '\n');
        bytes_add(b, head, (size_t)(to - head));
        bytes_add(b, lines, (size_t)(colon - lines));
        to = vt__hpack_put_int(head, 0, 7, (size_t)(end - colon - 2));
        bytes_add(b, head, (size_t)(to - head));
        bytes_add(b, colon + 2, (size_t)(end - colon - 2));
    }
}
/* A frame of HEADERS with those lines alone. */
static void h3_lines(struct bytes *b, const char *lines) {
    struct bytes in = {NULL, 0, 0};
    bytes_add(&in, "\0\0", 2);
    h3_put_lines(&in, lines);
    h3_frame(b, VT__H3_T_HEADERS, in.p, in.n);
    bytes_free(&in);
}
/* A stream of ours: a request's, or of another kind. NULL: there may be no more. */
static struct h3_stream *h3_stream_new(struct h3 *h, bool uni) {
    vt__qstr_stream *wire;
    if (!h->up || h->closed || vt__qstr_open(&h->q.streams, uni, &wire) < 0) return NULL;
    struct h3_stream *s = h3_new(h, wire);
    if (uni) s->m.kind = VT__H3_K_IGNORED;
    else if (vt__h3_open(&h->m, &s->m, wire->id) < 0) s->m.kind = VT__H3_K_IGNORED;
    s->m.id = wire->id;
    return s;
}
/* Bytes as they are. */
static void h3_raw(struct h3 *h, struct h3_stream *s, const void *p, size_t n, bool fin) {
    bytes_add(&s->out, p, n);
    s->fin = fin;
    h3_push(h, s);
}
static void h3_say(struct h3 *h, struct h3_stream *s, struct bytes *b, bool fin) {
    h3_raw(h, s, b->p, b->n, fin);
    bytes_free(b);
}
static __attribute__((unused)) void h3_body(struct h3 *h, struct h3_stream *s, const void *p, size_t n,
                                            bool fin) {
    struct bytes b = {NULL, 0, 0};
    h3_frame(&b, VT__H3_T_DATA, p, n);
    h3_say(h, s, &b, fin);
}
static __attribute__((unused)) void h3_fields(struct h3 *h, struct h3_stream *s, const char *lines,
                                              bool fin) {
    struct bytes b = {NULL, 0, 0};
    h3_lines(&b, lines);
    h3_say(h, s, &b, fin);
}
/* "GET /path", and more fields, of which the first may be the :authority. Waits until a stream may be opened; aborts if none ever may. */
static struct h3_stream *h3_ask(struct h3 *h, const char *what, const char *lines, bool fin) {
    struct h3_stream *s = NULL;
    h3_until(h, (s = h3_stream_new(h, false)) != NULL);
    const char *path = strchr(what, ' ') + 1;
    struct bytes b = {NULL, 0, 0};
    if (!s) abort();
    s->m.c.bodyless = strncmp(what, "HEAD ", 5) == 0;
    bytes_say(&b, ":method: %.*s\n:scheme: https\n:path: ", (int)(path - what - 1), what);
    bytes_add(&b, path, strlen(path));
    bytes_say(&b, strncmp(lines, ":authority", 10) == 0 ? "\n" : "\n:authority: a\n");
    bytes_add(&b, lines, strlen(lines) + 1);
    h3_fields(h, s, (char *)b.p, fin);
    bytes_free(&b);
    return s;
}
static __attribute__((unused)) void h3_reset(struct h3 *h, struct h3_stream *s, uint64_t code) {
    vt__qstr_reset(&h->q.streams, s->wire, code);
}
static __attribute__((unused)) void h3_stop(struct h3 *h, struct h3_stream *s, uint64_t code) {
    vt__qstr_stop(&h->q.streams, s->wire, code);
}
/* Gives the windows of what was held back. */
static __attribute__((unused)) void h3_let(struct h3 *h, struct h3_stream *s) {
    vt__qstr_consumed(&h->q.streams, s->wire, s->held);
    s->hold = false;
    s->held = 0;
}

/* ---- answers ---- */
/* Until the answer is complete: its status; H3_RST: it was reset, see s->rst. */
static int h3_wait(struct h3 *h, struct h3_stream *s) {
    h3_until(h, s->end || s->rst >= 0 || h->closed);
    if (s->rst >= 0) return H3_RST;
    if (s->end) return s->status;
    return h->closed ? H3_GONE : H3_TIMEOUT;
}
static __attribute__((unused)) int h3_get(struct h3 *h, struct h3_stream **s, const char *path) {
    char what[4096];
    snprintf(what, sizeof what, "GET %s", path);
    *s = h3_ask(h, what, "", true);
    return h3_wait(h, *s);
}
/* Of "name: value\n" lines; NULL: it is not there. */
static const char *h3_line_of(struct h3_stream *s, const struct bytes *b, const char *name) {
    size_t n = strlen(name);
    for (const char *p = (const char *)b->p, *end = b->n ? p + b->n : p, *nl; p < end; p = nl + 1) {
        nl = memchr(p, '\n', (size_t)(end - p));
        if ((size_t)(nl - p) < n + 2 || memcmp(p, name, n) != 0 || memcmp(p + n, ": ", 2) != 0) continue;
        snprintf(s->value, sizeof s->value, "%.*s", (int)(nl - p - (ptrdiff_t)n - 2), p + n + 2);
        return s->value;
    }
    return NULL;
}
static __attribute__((unused)) const char *h3_field(struct h3_stream *s, const char *name) {
    return h3_line_of(s, &s->head, name);
}
static __attribute__((unused)) bool h3_is(const struct h3_stream *s, const char *body) {
    return s->body.n == strlen(body) &&
           memcmp(s->body.n ? s->body.p : (const uint8_t *)"", body, s->body.n) == 0;
}
#endif
