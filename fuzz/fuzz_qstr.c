/* QUIC streams. The first byte chooses the role, the limits and what the handlers do, the second one what becomes of the packets
 * sent; then come packets of frames, each behind a byte of its length. What is allowed adds up, what is held is bounded, and in
 * the end nothing is left. */
#define VTHTTP_H3 1
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "fuzz.h"

enum { INPUT_MAX = 16384, NOTES = 256 };
static vt__qstr_mem mem;
static size_t live;
static void *count_realloc(void *p, size_t n) {
    size_t *old = p ? (size_t *)p - 2 : NULL, was = old ? *old : 0, *fresh = realloc(old, n + 2 * sizeof n);
    MUST(fresh);
    *fresh = n;
    live += n - was;
    return fresh + 2;
}
static void count_free(void *p) {
    size_t *old = (size_t *)p - 2;
    live -= *old;
    free(old);
}
typedef struct machine {
    vt__qstr q;
    vt__qstr_cfg cfg;
    vt__qpkt_note notes[NOTES];
    size_t nnotes;
    uint32_t seed;
    unsigned how;
} machine;

static void handle(machine *m, const vt__qstr_event *ev) {
    static const uint8_t answer[3000];
    vt__qstr_stream *s = ev->stream;
    unsigned lot = fuzz_next(&m->seed) % 16;
    if (!s) return;
    MUST(vt__qstr_find(&m->q, s->id) == s && !s->released);
    if (ev->type == VT__QSTR_EV_DATA) {
        uint8_t sum = 0; /* they can be read */
        for (size_t i = 0; i < ev->len; i++) sum = (uint8_t)(sum + ev->data[i]);
        MUST(ev->len || ev->fin || sum);
        MUST(s->in.next <= s->recv_end && s->held <= s->in.next && (!ev->fin || s->in.next == s->final));
        if (lot & 1 || ev->fin) vt__qstr_consumed(&m->q, s, (size_t)s->held);
    }
    if (lot == 2) vt__qstr_reset(&m->q, s, 2);
    else if (lot == 4) vt__qstr_stop(&m->q, s, 4);
    else if (lot == 6 || (m->how & 32 && ev->fin)) vt__qstr_release(&m->q, s, 6);
    else if (lot > 8 && !s->fin)
        MUST(vt__qstr_write(&m->q, s, answer, sizeof answer / lot, lot > 12) != -ENOMEM);
    else if (lot == 8) vt__qstr_prioritize(&m->q, s, m->seed & 7, m->seed & 8);
}
static void check(const machine *m) {
    const vt__qstr *q = &m->q;
    uint64_t come = 0;
    size_t n = 0;
    MUST(q->recv_total <= q->recv_max && q->used <= q->recv_total && q->send_total <= q->send_max);
    for (uint32_t i = 0; i < q->nbuckets; i++) {
        for (const vt__qstr_stream *s = q->buckets[i]; s; s = s->chain, n++) {
            MUST(s->out.sent <= s->send_max && s->out.done <= s->out.end && s->recv_end <= s->recv_max);
            MUST(s->in.next <= s->recv_end && s->held <= s->in.next);
            come += s->recv_end;
        }
    }
    MUST(n == q->count && come <= q->recv_total);
    for (size_t k = 0; k < 2; k++) MUST(q->opened[k] <= q->limit[k] && q->ended[k] <= q->opened[k]);
}
/* What is sent can be read. */
static void send_packet(machine *m) {
    uint8_t buf[300], *p = buf, *end = buf + 100 + fuzz_next(&m->seed) % 200, *next;
    while (m->nnotes < NOTES && ((next = vt__qstr_put_control(&m->q, p, end, &m->notes[m->nnotes])) ||
                                 (next = vt__qstr_put_data(&m->q, p, end, &m->notes[m->nnotes]))))
        p = next, m->nnotes++;
    const uint8_t *at = buf;
    vt__qpkt_frame f;
    int rc;
    while ((rc = vt__qpkt_frame_get(&f, &at, p)) > 0)
        MUST(!vt__qpkt_frame_check(&f, VT__QPKT_T_EARLY, false));
    MUST(rc == 0);
    if (m->nnotes < NOTES) MUST(!vt__qstr_wants(&m->q) || end - p < 64);
}
static void drain(machine *m) {
    vt__qstr_event ev;
    while (vt__qstr_next(&m->q, &ev)) handle(m, &ev);
}
static void settle(machine *m) {
    while (m->nnotes) {
        vt__qpkt_note note = m->notes[--m->nnotes];
        unsigned lot = fuzz_next(&m->seed) % 4;
        if (lot < 2) MUST(vt__qstr_lost(&m->q, &note) == 0);
        if (lot > 0) MUST(vt__qstr_acked(&m->q, &note) == 0);
        drain(m);
    }
}
static int take(machine *m, const uint8_t *bytes, size_t n) {
    uint8_t *copy = fuzz_copy(bytes, n);
    const uint8_t *at = copy;
    vt__qpkt_frame f;
    int rc;
    while ((rc = vt__qpkt_frame_get(&f, &at, copy + n)) > 0) {
        m->q.now++;
        rc = vt__qstr_recv(&m->q, &f);
        if (rc < 0) break;
        drain(m);
        check(m);
    }
    free(copy);
    return rc;
}
static void start(machine *m, unsigned how) {
    vt__qpkt_params tp;
    vt__qstr_stream *s;
    memset(m, 0, sizeof *m);
    m->how = how;
    m->cfg = (vt__qstr_cfg){
        .window = how & 2 ? 100 : 0, .max_window = how & 4 ? 1000 : 0, .send_buffer = how & 8 ? 500 : 0};
    m->cfg.streams[0] = how & 16 ? 3 : 0;
    vt__qstr_cfg_fill(&m->cfg);
    vt__qstr_mem_init(&mem);
    vt__qstr_init(&m->q, &m->cfg, &mem, how & 1, 1);
    vt__qpkt_params_init(&tp);
    tp.max_data = how & 64 ? 1000 : 100000, tp.streams_bidi = tp.streams_uni = 2;
    tp.max_bidi_local = tp.max_bidi_remote = tp.max_uni = 600;
    vt__qstr_peer_params(&m->q, &tp);
    m->q.rtt = 10;
    if (how & 128) MUST(vt__qstr_open(&m->q, false, &s) == 0 && vt__qstr_open(&m->q, true, &s) == 0);
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static machine m;
    if (size < 2 || size > INPUT_MAX) return 0;
    vt__plat.realloc = count_realloc, vt__plat.free = count_free;
    start(&m, data[0]);
    m.seed = data[1];
    for (size_t at = 2, n; at < size; at += n) {
        n = VT__MIN(data[at], size - at - 1), at++;
        int rc = take(&m, data + at, n);
        MUST(rc <= 0 && rc != -ENOMEM);
        if (rc < 0) break;
        send_packet(&m);
        if (m.nnotes > NOTES / 2 || fuzz_next(&m.seed) % 4 == 0) settle(&m);
        check(&m);
        MUST(live <= (m.q.count + 64) * (sizeof(vt__qstr_stream) + 4096) + 2 * m.cfg.max_window + (1 << 20));
    }
    vt__qstr_free(&m.q);
    vt__qstr_mem_free(&mem);
    MUST(live == 0);
    return 0;
}
