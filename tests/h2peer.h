/* A machine of @h2 with the least around it that answers, for tests and the fuzzer: streams from a pool, events and frames
 * as text. Include it after the implementation. */
#ifndef VT_H2PEER_H
#define VT_H2PEER_H
#include "bytes.h"

/* ---- frames of a scripted peer ---- */
static void put_frame(struct bytes *b, unsigned type, unsigned flags, uint32_t id, const void *p, size_t n) {
    uint8_t head[VT__H2_FRAME];
    (void)vt__h2_put_frame(head, n, type, flags, id);
    bytes_add(b, head, sizeof head);
    bytes_add(b, p, n);
}
static void put_preface(struct bytes *b) {
    bytes_add(b, VT__H2_PREFACE, VT__H2_PREFACE_LEN);
    put_frame(b, VT__H2_T_SETTINGS, 0, 0, NULL, 0);
    put_frame(b, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0);
}

/* ---- the machine ---- */
static const char *code_name(uint32_t code) {
    static const char *const names[] = {
#define CODE_NAME(name) #name,
        VT__H2_CODES(CODE_NAME)
#undef CODE_NAME
    };
    return code < VT__COUNT(names) ? names[code] : "?";
}
/* Frames as text, each ended by ';'. */
static void frames_say(struct bytes *to, const uint8_t *p, size_t n) {
    static const char *const types[] = {"DATA", "HEADERS", "PRIORITY", "RST", "SETTINGS",
                                        "PUSH", "PING",    "GOAWAY",   "WU",  "CONTINUATION"};
    const uint8_t *end = p + n;
    if (n >= VT__H2_PREFACE_LEN && memcmp(p, VT__H2_PREFACE, VT__H2_PREFACE_LEN) == 0)
        p += VT__H2_PREFACE_LEN;
    while (p < end) {
        uint32_t len = vt__str_get32(p) >> 8, id = vt__str_get32(p + 5);
        if (end - p < 9 || (size_t)(end - p) - 9 < len) abort();
        const uint8_t *b = p + 9;
        bytes_say(to, "%s", p[3] < 10 ? types[p[3]] : "?");
        if (p[3] == VT__H2_T_RST_STREAM) bytes_say(to, " %u %s", id, code_name(vt__str_get32(b)));
        else if (p[3] == VT__H2_T_GOAWAY)
            bytes_say(to, " %u %s", vt__str_get32(b), code_name(vt__str_get32(b + 4)));
        else if (p[3] == VT__H2_T_WINDOW_UPDATE) bytes_say(to, " %u %u", id, vt__str_get32(b));
        else if (p[3] == VT__H2_T_SETTINGS || p[3] == VT__H2_T_PING)
            bytes_say(to, "%s", p[4] & 1 ? " ack" : "");
        else bytes_say(to, " %u %u%s", id, p[3] == VT__H2_T_DATA ? len : 0, p[4] & 1 ? " end" : "");
        bytes_say(to, ";");
        p = b + len;
    }
}

enum { POOL = 160, ROOM = 8192 };
struct handler { /* of one stream */
    vt__h2_stream s;
    bool used, complete; /* complete: the request, or response, is here */
    size_t respond;      /* bytes of the body to send */
    uint64_t wanted;     /* 0: no head is to be written; else its turn */
    size_t got;
};
enum policy {
    ANSWER, /* 200 without a body, when the request is complete */
    HOLD,   /* nothing */
    REFUSE  /* no stream is attached */
};
struct peer {
    vt__h2 h;
    vt__h2_cfg cfg;
    enum policy policy;
    bool late;   /* data stay unconsumed */
    size_t body; /* of each answer */
    void *tables[2];
    void *room;
    struct handler *pool;
    int64_t now;
    int rc;
    struct bytes log, out; /* events; what was sent */
    struct bytes data;     /* when log_data */
    size_t data_run;       /* bytes of DATA events in a row: as one in the log */
    uint32_t run_id;
    uint64_t opened, ended, reset, answered, wanted;
    int64_t counts[VT_H2_CAUSES];
};
static void peer_free(struct peer *q) {
    free(q->tables[0]), free(q->tables[1]), free(q->room), free(q->pool);
    bytes_free(&q->log), bytes_free(&q->out), bytes_free(&q->data);
    memset(q, 0, sizeof *q);
}
/* q->cfg and q->policy are set. */
static void peer_start(struct peer *q, bool server) {
    vt__h2_cfg_fill(&q->cfg);
    vt__h2_init(&q->h, &q->cfg, server, q->now);
    q->h.counts = q->counts;
    q->tables[0] = malloc(vt__hpack_mem(VT__HPACK_DEFAULT));
    q->tables[1] = malloc(vt__hpack_enc_mem(&q->h.enc));
    q->room = malloc(ROOM);
    q->pool = calloc(POOL, sizeof *q->pool);
    if (!q->tables[0] || !q->tables[1] || !q->room || !q->pool) abort();
    vt__hpack_dec_table(&q->h.dec, q->tables[0]);
    vt__hpack_enc_table(&q->h.enc, q->tables[1]);
    q->h.room = q->room, q->h.room_len = ROOM;
}
static struct handler *peer_handler(struct peer *q) {
    for (size_t i = 0; i < POOL; i++)
        if (!q->pool[i].used) {
            memset(&q->pool[i], 0, sizeof q->pool[i]);
            q->pool[i].used = true;
            return &q->pool[i];
        }
    return NULL;
}
static vt__h2_stream *stream_of(const vt__msg_event *ev) {
    return VT__CONTAINER(ev->stream, vt__h2_stream, c);
}
static struct handler *handler_of(vt__h2_stream *s) { return (struct handler *)(void *)s; }
static void peer_release(struct peer *q, struct handler *r) {
    if (vt__h2_release(&q->h, &r->s)) r->used = false;
}
static void peer_flush_run(struct peer *q) {
    if (q->data_run) bytes_say(&q->log, "data %u %zu;", q->run_id, q->data_run);
    q->data_run = 0;
}
/* Its head is to be written by peer_send, in the order in which heads were wanted. */
static void peer_want_head(struct peer *q, struct handler *r) { r->wanted = ++q->wanted; }
static struct handler *peer_wanting(struct peer *q) {
    struct handler *first = NULL;
    for (struct handler *r = q->pool; r < q->pool + POOL; r++)
        if (r->used && r->wanted && !(r->s.c.ended & VT__MSG_LOCAL) && (!first || r->wanted < first->wanted))
            first = r;
    return q->h.err ? NULL : first;
}
static __attribute__((unused)) int peer_open(struct peer *q, struct handler *r) {
    int rc = vt__h2_open(&q->h, &r->s);
    if (rc == 0) peer_want_head(q, r);
    return rc;
}
static void peer_complete(struct peer *q, vt__h2_stream *s) {
    struct handler *r = handler_of(s);
    r->complete = true;
    if (q->policy != ANSWER || !q->h.server) return;
    r->respond = q->body;
    peer_want_head(q, r);
}
static void peer_on(struct peer *q, const vt__msg_event *ev) {
    uint32_t id = (uint32_t)ev->id;
    bool coded = ev->type == VT__MSG_EV_RESET || ev->type == VT__MSG_EV_GOAWAY;
    const char *code = coded ? code_name((uint32_t)ev->code) : "";
    if (ev->type == VT__MSG_EV_DATA) {
        if (q->run_id != id) peer_flush_run(q);
        q->run_id = id, q->data_run += ev->value.len;
        bytes_add(&q->data, ev->value.ptr, ev->value.len);
        handler_of(stream_of(ev))->got += ev->value.len;
        if (!q->late) vt__h2_consumed(&q->h, stream_of(ev), ev->value.len);
        return;
    }
    peer_flush_run(q);
    switch (ev->type) {
    case VT__MSG_EV_OPEN: {
        struct handler *r = q->policy == REFUSE ? NULL : peer_handler(q);
        q->opened++;
        bytes_say(&q->log, "open %u;", id);
        if (r) vt__h2_attach(&q->h, &r->s);
        break;
    }
    case VT__MSG_EV_FIELD:
        bytes_say(&q->log, "%.*s=%.*s;", (int)ev->name.len, ev->name.ptr,
                  (int)(ev->value.len < 40 ? ev->value.len : 40), ev->value.ptr);
        break;
    case VT__MSG_EV_INFORM: bytes_say(&q->log, "inform %u %u;", id, ev->status); break;
    case VT__MSG_EV_HEAD:
        bytes_say(&q->log, "head %u%s%s;", id, ev->end ? " end" : "", ev->too_large ? " large" : "");
        if (ev->end) peer_complete(q, stream_of(ev));
        break;
    case VT__MSG_EV_TRAILERS:
        bytes_say(&q->log, "trailers %u%s;", id, ev->too_large ? " large" : "");
        peer_complete(q, stream_of(ev));
        break;
    case VT__MSG_EV_END:
        q->ended++;
        bytes_say(&q->log, "end %u;", id);
        peer_complete(q, stream_of(ev));
        break;
    case VT__MSG_EV_RESET:
        q->reset++;
        bytes_say(&q->log, "reset %u %s;", id, code);
        if (q->policy != HOLD) peer_release(q, handler_of(stream_of(ev)));
        break;
    case VT__MSG_EV_SETTINGS: bytes_say(&q->log, "settings;"); break;
    case VT__MSG_EV_PING: bytes_say(&q->log, "pong;"); break;
    case VT__MSG_EV_GOAWAY: bytes_say(&q->log, "goaway %u %s;", id, code); break;
    case VT__MSG_EV_PRIORITY: bytes_say(&q->log, "priority %u;", id); break;
    default: abort();
    }
}
static vt_str word(const char *s) { return (vt_str){s, strlen(s)}; }
/* 200, or the head of a GET. */
static void peer_write_head(struct peer *q, struct handler *r) {
    uint8_t buf[2048];
    vt__h2_head w;
    bool body = r->respond > 0;
    if (vt__h2_head_begin(&q->h, &r->s, &w, buf, sizeof buf, body ? 0 : VT__MSG_FIN) < 0) {
        peer_release(q, r);
        return;
    }
    bool ok = true;
    if (q->h.server) ok = vt__h2_head_field(&w, VT__HPACK_F_STATUS, word(":status"), word("200"), 0);
    else
        ok = vt__h2_head_field(&w, VT__HPACK_F_METHOD, word(":method"), word(body ? "POST" : "GET"), 0) &&
             vt__h2_head_field(&w, VT__HPACK_F_SCHEME, word(":scheme"), word("http"), 0) &&
             vt__h2_head_field(&w, VT__HPACK_F_PATH, word(":path"), word("/x"), 0) &&
             vt__h2_head_field(&w, VT__HPACK_F_AUTHORITY, word(":authority"), word("a"), 0);
    if (!ok) abort();
    size_t n = vt__h2_head_end(&w);
    if (!n) abort();
    bytes_add(&q->out, buf, n);
    if (body) vt__h2_ready(&q->h, &r->s, r->respond, true);
}
static void peer_wrote(struct peer *q, struct handler *r) {
    bool done = q->h.server ? r->s.c.ended & VT__MSG_LOCAL : r->s.c.ended == VT__MSG_BOTH;
    if (done && r->complete) q->answered++, peer_release(q, r);
}
/* One step of output: false when there is nothing. */
static bool peer_send(struct peer *q) {
    uint8_t buf[VT__H2_CONTROL_MIN];
    vt__h2_stream *s = NULL;
    size_t max;
    enum vt__h2_out next = vt__h2_pick(&q->h, &s, &max);
    struct handler *r = next == VT__H2_OUT_CONTROL || next == VT__H2_OUT_DONE ? NULL : peer_wanting(q);
    if (r) {
        r->wanted = 0;
        peer_write_head(q, r);
        peer_wrote(q, r);
        return true;
    }
    switch (next) {
    case VT__H2_OUT_CONTROL: bytes_add(&q->out, buf, vt__h2_put_control(&q->h, buf, sizeof buf)); break;
    case VT__H2_OUT_DONE: handler_of(s)->used = false; break;
    case VT__H2_OUT_DATA: {
        uint8_t head[VT__H2_FRAME];
        uint8_t *zeros = calloc(1, max + 1);
        vt__h2_put_data(&q->h, s, max, head);
        bytes_add(&q->out, head, sizeof head);
        bytes_add(&q->out, zeros, max);
        free(zeros);
        peer_wrote(q, handler_of(s));
        break;
    }
    default: return false;
    }
    return true;
}
/* Takes n bytes, in pieces of their own size so that a sanitizer sees every read past them; sends when it has to. */
static void peer_take(struct peer *q, const uint8_t *bytes, size_t n) {
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) abort();
    if (n) memcpy(copy, bytes, n);
    const uint8_t *p = copy, *end = copy + n;
    vt__msg_event ev;
    for (;;) {
        q->rc = vt__h2_recv(&q->h, &p, end, q->now, &ev);
        if (q->rc > 0) peer_on(q, &ev);
        else if (q->rc < 0 || p == end) break;
        else
            while (!q->h.tired && peer_send(q)) continue;
    }
    free(copy);
}
static void peer_flush(struct peer *q) {
    while (peer_send(q)) continue;
    peer_flush_run(q);
}
#endif
