/* A machine of @h3 with the least around it that answers, for tests and the fuzzer: streams by their ids, events as text,
 * frames of a scripted peer. Include it after the implementation. */
#ifndef VT_H3PEER_H
#define VT_H3PEER_H
#include "h3frames.h"

/* ---- the machine ---- */
static const char *code_name(uint64_t code) {
    switch (code) {
#define CODE_NAME(name, value)                                                                               \
    case value: return #name;
        VT__H3_CODES(CODE_NAME)
#undef CODE_NAME
    default: return "?";
    }
}
enum { POOL = 64 };
struct handler {
    vt__h3_stream s; /* first */
    bool used, gone; /* gone: released */
    uint64_t id, given, got, credited;
};
enum policy {
    ANSWER, /* released when the request, or response, is complete */
    HOLD,   /* nothing */
    REFUSE  /* no request is taken */
};
struct peer {
    vt__h3 h;
    vt__h3_cfg cfg;
    enum policy policy;
    struct handler pool[POOL];
    void *room;
    int64_t now;
    int rc;
    struct bytes log, data; /* events as text; what DATA brought */
    uint64_t data_run, run_id;
    int heads_end; /* heads that said that nothing follows */
};
static void peer_start(struct peer *q, bool server) {
    vt__h3_cfg_fill(&q->cfg);
    if (vt__h3_init(&q->h, &q->cfg, server, q->now) < 0) abort();
    q->room = malloc(VT__H3_ROOM(&q->cfg));
    if (!q->room) abort();
    q->h.room = q->room, q->h.room_len = VT__H3_ROOM(&q->cfg);
}
static void peer_release(struct peer *q, struct handler *r) {
    if (!r->gone) vt__h3_release(&q->h, &r->s);
    r->gone = true;
}
static void peer_free(struct peer *q) {
    for (size_t i = 0; i < POOL; i++)
        if (q->pool[i].used) peer_release(q, &q->pool[i]);
    vt__h3_free(&q->h);
    free(q->room);
    bytes_free(&q->log), bytes_free(&q->data);
    memset(q, 0, sizeof *q);
}
static struct handler *peer_find(struct peer *q, uint64_t id) {
    for (size_t i = 0; i < POOL; i++)
        if (q->pool[i].used && q->pool[i].id == id) return &q->pool[i];
    return NULL;
}
static struct handler *peer_new(struct peer *q, uint64_t id) {
    for (size_t i = 0; i < POOL; i++) {
        struct handler *r = &q->pool[i];
        if (r->used && !r->gone) continue;
        memset(r, 0, sizeof *r);
        r->used = true, r->id = id;
        return r;
    }
    return NULL;
}
static void peer_flush_run(struct peer *q) {
    if (q->data_run)
        bytes_say(&q->log, "data %llu %llu;", (unsigned long long)q->run_id, (unsigned long long)q->data_run);
    q->data_run = 0;
}
static void peer_say(struct peer *q, const char *what, uint64_t id, const char *more) {
    bytes_say(&q->log, "%s %llu%s;", what, (unsigned long long)id, more);
}
/* A head with `end` is logged like one with the end behind it: where the input is cut may decide. */
static void peer_on(struct peer *q, const vt__msg_event *ev) {
    struct handler *r = (void *)ev->stream;
    if (ev->type == VT__MSG_EV_DATA) {
        if (q->run_id != ev->id) peer_flush_run(q);
        q->run_id = ev->id, q->data_run += ev->value.len;
        bytes_add(&q->data, ev->value.ptr, ev->value.len);
        r->got += ev->value.len;
        return;
    }
    peer_flush_run(q);
    bool end = ev->type == VT__MSG_EV_END || ev->type == VT__MSG_EV_TRAILERS ||
               (ev->type == VT__MSG_EV_HEAD && ev->end);
    q->heads_end += ev->type == VT__MSG_EV_HEAD && ev->end;
    switch (ev->type) {
    case VT__MSG_EV_OPEN:
        peer_say(q, "open", ev->id, "");
        if (q->policy == REFUSE) vt__h3_reset(&q->h, &r->s, VT__H3_REQUEST_REJECTED);
        break;
    case VT__MSG_EV_FIELD:
        bytes_say(&q->log, "%.*s=%.*s;", (int)ev->name.len, ev->name.ptr,
                  (int)(ev->value.len < 40 ? ev->value.len : 40), ev->value.ptr);
        break;
    case VT__MSG_EV_INFORM:
        bytes_say(&q->log, "inform %llu %u;", (unsigned long long)ev->id, ev->status);
        break;
    case VT__MSG_EV_HEAD: peer_say(q, "head", ev->id, ev->too_large ? " large" : ""); break;
    case VT__MSG_EV_TRAILERS: peer_say(q, "trailers", ev->id, ev->too_large ? " large" : ""); break;
    case VT__MSG_EV_END: break;
    case VT__MSG_EV_RESET:
        bytes_say(&q->log, "reset %llu %s%s;", (unsigned long long)ev->id, code_name(ev->code),
                  r->s.c.reset == VT__MSG_OURS ? "" : " theirs");
        if (q->policy != HOLD) peer_release(q, r);
        return;
    case VT__MSG_EV_SETTINGS: bytes_say(&q->log, "settings;"); break;
    case VT__MSG_EV_GOAWAY: peer_say(q, "goaway", ev->id, ""); break;
    case VT__MSG_EV_PRIORITY:
        bytes_say(&q->log, "priority %llu u=%d%s;", (unsigned long long)ev->id, r->s.c.urgency,
                  r->s.c.incremental ? ",i" : "");
        break;
    default: abort();
    }
    if (end && ev->type != VT__MSG_EV_TRAILERS) peer_say(q, "end", ev->id, "");
    if (end && q->policy == ANSWER) peer_release(q, r);
}
/* Bytes of one of the peer's streams, or of an answer on one of ours. In memory of their own size, so that a sanitizer sees
 * every read past them. */
static void peer_take(struct peer *q, uint64_t id, const uint8_t *bytes, size_t n, bool fin) {
    struct handler *r = peer_find(q, id);
    vt__msg_event ev;
    if (q->rc < 0) return;
    if (!r) {
        if (!(r = peer_new(q, id))) return;
        if ((q->rc = vt__h3_attach(&q->h, &r->s, id)) > 0) peer_say(q, "late", id, "");
        if (q->rc < 0) return;
    }
    if (r->gone) return;
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) abort();
    if (n) memcpy(copy, bytes, n);
    const uint8_t *p = copy, *end = copy + n;
    r->given += n;
    while ((q->rc = vt__h3_recv(&q->h, r->gone ? NULL : &r->s, &p, end, fin, q->now, &ev)) > 0)
        peer_on(q, &ev);
    if (q->rc == 0 && !r->gone && p != end) abort();
    for (size_t i = 0; i < POOL && q->rc == 0; i++) { /* every byte is used, data or kept */
        r = &q->pool[i];
        if (!r->used || r->gone) continue;
        r->credited += r->s.used, r->s.used = 0;
        if (r->credited + r->got + r->s.kept_len != r->given) abort();
    }
    free(copy);
}
#endif
