/* The HTTP/3 machine. The first byte chooses the role, whether SETTINGS are put in front, what the handlers do and how tight the
 * limits are; then come pieces of streams behind two bytes: which stream and whether it ends, is reset or stopped; how long.
 * Events, errors and what goes to the QPACK decoder stream must be the same wherever requests are cut; every byte is used,
 * data, or kept; in the end nothing is held. */
#define VTHTTP_H3 1
#define VTHTTP_SIM 1 /* no TLS needed */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "../tests/h3peer.h"
#include "fuzz.h"

enum { FIN = 16, RESET = 32, STOP = 64 };

static void start(struct peer *q, unsigned choice) {
    *q = (struct peer){.policy = (enum policy)((choice >> 2 & 3) % 3)};
    bool server = !(choice & 1);
    if (choice & 16)
        q->cfg = (vt__h3_cfg){
            .max_head = 300, .max_fields = 10, .max_block = 1000, .table = 100, .blocked = 2};
    if (choice & 32) q->cfg.budgets[VT__H3_GLITCHES] = q->cfg.budgets[VT__H3_RESETS] = (vt_h2_budget){4, 1};
    q->cfg.connect_protocol = choice & 64;
    peer_start(q, server);
    for (uint64_t id = 0; !server && id < 16; id += 4) {
        struct handler *r = peer_new(q, id);
        MUST(r && vt__h3_open(&q->h, &r->s, id) == 0);
        r->s.c.bodyless = id == 8, r->s.c.tunnel = id == 12;
    }
    if (choice & 2) return;
    struct bytes first = {NULL, 0, 0};
    put_int(&first, VT__H3_K_CONTROL),
        put_ints(&first, VT__H3_T_SETTINGS, INTS(VT__H3_S_TABLE, 300, VT__H3_S_BLOCKED, 3));
    peer_take(q, server ? 2 : 3, first.p, first.n, false);
    bytes_free(&first);
}
static void reset(struct peer *q, uint64_t id, bool stop) {
    struct handler *r = peer_find(q, id);
    vt__msg_event ev;
    if (!r || r->gone || q->rc < 0) return;
    q->rc = stop ? vt__h3_on_stop(&q->h, id & 2 ? NULL : &r->s, VT__H3_REQUEST_CANCELLED, q->now, &ev)
                 : vt__h3_on_reset(&q->h, &r->s, VT__H3_REQUEST_CANCELLED, q->now, &ev);
    if (q->rc > 0) peer_on(q, &ev);
    r->credited += r->s.used, r->s.used = 0;
    if (q->rc >= 0 && !r->gone) MUST(r->credited + r->got + r->s.kept_len == r->given);
}
/* Requests and responses in pieces of up to `most` bytes (0: as they come). */
static void play(struct peer *q, unsigned choice, const uint8_t *data, size_t size, uint32_t most) {
    uint32_t seed = most;
    start(q, choice);
    for (size_t at = 0; size - at >= 2 && q->rc >= 0;) {
        unsigned which = data[at] & 7, how = data[at] & (FIN | RESET | STOP);
        bool request = which < 4, ours = choice & 1;
        uint64_t id = request ? which * 4 : (which - 4) * 4 + (ours ? 3 : 2);
        size_t n = data[at + 1];
        at += 2;
        if (n > size - at) n = size - at;
        for (size_t i = 0, k; q->rc >= 0 && (i < n || i == 0); i += k) {
            k = most && request ? 1 + fuzz_next(&seed) % most : n;
            if (k > n - i) k = n - i;
            peer_take(q, id, data + at + i, k, how & FIN && i + k == n);
            if (n == 0) break;
        }
        if (how & RESET || how & STOP) reset(q, id, how & STOP);
        q->now += VT_MS;
        MUST(q->h.nblocked <= q->cfg.blocked);
        at += n;
    }
    peer_flush_run(q);
    vt__msg_event ev;
    while (q->rc >= 0 && (q->rc = vt__h3_expire(&q->h, q->now + 60 * VT_SEC, &ev)) > 0) peer_on(q, &ev);
}
static void finish(struct peer *q) {
    for (size_t i = 0; i < POOL; i++)
        if (q->pool[i].used) peer_release(q, &q->pool[i]);
    MUST(q->h.active == 0 && q->h.nblocked == 0 && !q->h.feeding && !q->h.reading);
    MUST(vt__ds_list_empty(&q->h.blocked) && vt__ds_list_empty(&q->h.ready));
    peer_free(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t most[] = {1, 7, 60};
    static struct peer whole, q;
    if (size < 2 || size > 1 << 14) return 0;
    play(&whole, data[0], data + 1, size - 1, 0);
    for (size_t i = 0; i < VT__COUNT(most); i++) {
        play(&q, data[0], data + 1, size - 1, most[i]);
        const uint8_t *a, *b;
        size_t na = vt__h3_out(&whole.h, VT__H3_DECODER, &a), nb = vt__h3_out(&q.h, VT__H3_DECODER, &b);
        MUST(q.h.err == whole.h.err && bytes_same(&q.log, &whole.log) && bytes_same(&q.data, &whole.data));
        MUST(na == nb && (!na || memcmp(a, b, na) == 0));
        finish(&q);
    }
    if (whole.h.err) MUST(vt__h3_err_of(whole.h.err)->text[0] && whole.h.err != VT__H3_E_MEMORY);
    finish(&whole);
    return 0;
}
