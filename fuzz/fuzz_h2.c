/* The HTTP/2 connection machine. The first byte chooses the role, whether a preface is put in front, what the handlers do and
 * how tight the limits are; the second one the splits; the rest is what the peer sends. Events and what is sent must be the same
 * for every split; what is sent are whole frames; the machine holds no more than it may, and in the end nothing. */
#define VTHTTP_H2 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "../tests/h2peer.h"

#define MUST(cond) ((cond) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond), abort()))

static uint32_t next(uint32_t *seed) { return (*seed = *seed * 1664525 + 1013904223) >> 12; }

static void ask(struct peer *q, size_t body) {
    struct handler *r = peer_handler(q);
    MUST(r && peer_open(q, r) == 0);
    r->respond = body;
}
static void start(struct peer *q, unsigned choice) {
    *q = (struct peer){
        .policy = (enum policy)((choice >> 2 & 3) % 3), .late = choice & 16, .body = choice & 32 ? 100 : 0};
    q->cfg.max_streams = choice & 64 ? 3 : 100;
    q->cfg.max_head = choice & 64 ? 300 : 0;
    q->cfg.connect_protocol = choice & 128;
    peer_start(q, !(choice & 1));
    if (choice & 1) ask(q, 0), ask(q, 1000);
    peer_flush(q);
    struct bytes first = {NULL, 0, 0};
    if (choice & 2) put_frame(&first, VT__H2_T_SETTINGS, 0, 0, NULL, 0);
    else if (!(choice & 1)) put_preface(&first);
    if (choice & 1) put_frame(&first, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0);
    if (!(choice & 2)) peer_take(q, first.p, first.n);
    bytes_free(&first);
}
/* Pieces of up to `most` bytes (0: everything at once). */
static void play(struct peer *q, unsigned choice, const uint8_t *bytes, size_t len, uint32_t seed,
                 uint32_t most) {
    start(q, choice);
    for (size_t at = 0, n; at < len && q->rc >= 0; at += n) {
        n = most ? 1 + next(&seed) % most : len;
        if (n > len - at) n = len - at;
        q->now += most ? 0 : 1;
        peer_take(q, bytes + at, n);
        MUST(q->h.active <= q->cfg.max_streams && q->h.replied <= VT__H2_REPLIES);
    }
    peer_flush(q);
}
static void finish(struct peer *q) {
    struct bytes text = {NULL, 0, 0};
    frames_say(&text, q->out.p, q->out.n);
    bytes_free(&text);
    for (size_t i = 0; i < POOL; i++)
        if (q->pool[i].used && !q->pool[i].s.released) peer_release(q, &q->pool[i]);
    peer_flush(q);
    for (size_t i = 0; i < POOL; i++) MUST(!q->pool[i].used);
    MUST(q->h.active == 0 && q->h.held == 0 && !q->h.lanes.ready && !q->h.first && !q->h.owing);
    peer_free(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t most[] = {1, 7, 60};
    struct peer whole, q;
    if (size < 2 || size > 1 << 16) return 0;
    play(&whole, data[0], data + 2, size - 2, 0, 0);
    for (size_t i = 0; i < VT__COUNT(most); i++) {
        play(&q, data[0], data + 2, size - 2, data[1], most[i]);
        MUST(q.h.err == whole.h.err && bytes_same(&q.log, &whole.log) && bytes_same(&q.out, &whole.out));
        MUST(q.h.held == whole.h.held && q.h.recv_window == whole.h.recv_window);
        finish(&q);
    }
    if (whole.h.err) MUST(whole.h.err <= VT__H2_E_PREFACE && whole.h.err > VT__H2_E_ACK);
    finish(&whole);
    return 0;
}
