/* A whole QUIC connection in memory. One of its ends goes mad: the input says which, when, and then what it does, step by step:
 * packets whose frames are the input's, sealed with the end's own keys; datagrams that are the input's; other addresses; time.
 * The other end must hold no more than it may, say only what it may, come to rest, and leave nothing behind. */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#define main not_the_main_of_this
#include "../tests/quicpeer.h"
#undef main
#include "fuzz.h"

enum { FROM_CLIENT = 1, EARLY = 2, BUSY = 4, RETRY = 8, OLD_VERSION = 16, ZERO = 64 }; /* of the first byte */
enum { STEPS_MAX = 200, TRAFFIC_MAX = 100000 };

static struct net w;
static uint8_t datagram[2048];

static void must_hold(const struct end *e) {
    const vt__quic *c = &e->c;
    MUST(c->nearly <= VT__QUIC_EARLY_MAX && c->ndgrams <= VT__QUIC_DGRAMS);
    MUST(c->cids.ntheirs <= VT__QCID_MAX && c->cids.nours <= c->cids.limit &&
         c->cids.nretires <= VT__QCID_RETIRES);
    MUST(c->paths[c->active].used || c->state >= VT__QUIC_CLOSING);
    for (unsigned i = 0; i < VT__QROUTE_MAX; i++)
        MUST(!c->paths[i].used || c->paths[i].valid || c->paths[i].tx <= 3 * c->paths[i].rx);
    MUST(c->streams.recv_total <= c->streams.recv_max);
    MUST(!e->closed || c->state >= VT__QUIC_CLOSING);
    MUST(c->end.cause != VT__QUIC_BY_US || c->end.app || c->end.code < 0x200);
}
static void step(struct end *mad, unsigned op, const uint8_t *p, size_t n) {
    struct end *sane = mad == &w.client ? &w.server : &w.client;
    struct qlink_dgram d = {.data = datagram, .from = mad->addr, .to = sane->addr};
    switch (op % 8) {
    case 0:
    case 1: d.n = (uint32_t)end_forge(mad, VT__QPKT_APP, p, n, 0, datagram, sizeof datagram); break;
    case 2: d.n = (uint32_t)end_forge(mad, VT__QPKT_INITIAL, p, n, 1200, datagram, sizeof datagram); break;
    case 3: d.n = (uint32_t)end_forge(mad, VT__QPKT_HANDSHAKE, p, n, 0, datagram, sizeof datagram); break;
    case 4:
        d.n = (uint32_t)end_forge(mad, VT__QPKT_APP, p, n, 0, datagram, sizeof datagram);
        d.from += (op >> 3) % 4 + 1;
        break;
    case 5:
        d.n = (uint32_t)n;
        memcpy(datagram, p, n);
        if (n > 9) memcpy(datagram + 1, sane->c.cids.ours[0].cid.b, VT__QCID_LEN);
        break;
    case 6:
        if (vt__qkeys_may_update(&mad->c.keys, INT64_MAX))
            (void)vt__qkeys_turn_tx(&mad->c.keys, vt__qrec_next(&mad->c.rec, VT__QPKT_APP));
        return;
    default: net_run(&w, (int64_t)(op >> 3) * 20 * VT_MS); return;
    }
    if (d.n) net_deliver(&w, sane, &d);
    net_flush(&w, sane);
    must_hold(sane);
}
static void start(unsigned how) {
    static const struct qlink_cfg link = {.delay_ns = 10 * VT_MS};
    if (how & ZERO) net_get_tickets(&w, 1);
    if (how & ZERO) net_init_early(&w, &link, 1);
    else net_init(&w, &link, 1);
    w.client.asks = how & ZERO && how & BUSY, w.client.asks_up = 3000, w.client.asks_down = 3000;
    w.retry = how & RETRY;
    w.client.cfg.no_v2 = how & OLD_VERSION;
    w.server.cfg.max_datagram = w.client.cfg.max_datagram = 100;
    w.server.hold = how >> 5 & 1;
    w.server.most = TRAFFIC_MAX;
    if (how & ZERO) net_connect_early(&w);
    else net_connect(&w);
    NET_UNTIL(&w, w.server.up, VT_SEC);
    MUST(w.server.up);
    if (!(how & EARLY)) net_run(&w, 200 * VT_MS);
    if (how & BUSY && w.client.ready) (void)end_ask(&w.client, 3000, TRAFFIC_MAX), net_flush(&w, &w.client);
}

/* Of tokens one is good, as it was made: none that the input is, or makes of it. */
static void tokens(const uint8_t *p, size_t n) {
    static vt__qsec_vault vault;
    static uint8_t token[VT__QSEC_TOKEN_MAX];
    static int len;
    vt__qsec_token t = {.kind = VT__QSEC_TOKEN_RETRY, .born = 5, .odcid_len = 8}, got;
    if (!len) MUST(vt__qsec_vault_init(&vault, NULL) == 0);
    if (!len) len = vt__qsec_token_seal(&vault, &t, "from", 4, token);
    MUST(vt__qsec_token_open(&vault, p, n, "from", 4, 9, 9, &got) == 0);
    uint8_t *byte = &token[p[0] % len], was = *byte;
    *byte ^= p[1];
    MUST(vt__qsec_token_open(&vault, token, (size_t)len, "from", 4, 9, 9, &got) == (*byte == was));
    *byte = was;
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3 || size > 4096) return 0;
    tokens(data + 1, size - 1);
    start(data[0]);
    struct end *mad = data[0] & FROM_CLIENT ? &w.client : &w.server,
               *sane = mad == &w.client ? &w.server : &w.client;
    const uint8_t *p = data + 1, *end = data + size;
    for (int i = 0; i < STEPS_MAX && end - p >= 2 && sane->c.state < VT__QUIC_CLOSING; i++) {
        unsigned op = p[0];
        size_t n = VT__MIN((size_t)p[1] * 4, (size_t)(end - p - 2));
        step(mad, op, p + 2, n);
        p += 2 + n;
    }
    net_run(&w, 100 * VT_SEC); /* longer than any timer */
    must_hold(sane);
    vt__quic_close(&sane->c, true, 0, vt__str_of("the end"),
                   w.now); /* somebody may still wait for an answer */
    net_run(&w, 30 * VT_SEC);
    MUST(vt__quic_dead(&sane->c) && vt__quic_due(&sane->c) == INT64_MAX);
    net_free(&w);
    return 0;
}
