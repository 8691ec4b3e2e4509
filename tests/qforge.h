/* What a QUIC client says that means harm: packets sealed with a connection's keys, whatever is in them, and ClientHellos
 * that were changed. Behind the implementation. */
#ifndef VT_QFORGE_H
#define VT_QFORGE_H
/* A packet of this connection with `frames`, whatever they are, sealed with its keys, of `least` bytes; 0: it has no such
 * keys. `bits` are set in its first byte. */
static inline size_t quic_forge_bits(vt__quic *c, unsigned space, uint8_t bits, const uint8_t *frames,
                                     size_t n, size_t least, uint8_t *out, size_t cap) {
    vt__qout o;
    bool early = space == VT__QPKT_APP && vt__qsec_has(&c->keys.early.tx);
    if (!vt__qsec_has(&c->keys.at[space]->tx) && !early) return 0;
    if (!vt__qout_begin(c, &o, space, c->active, out, out + cap) || o.end + n + 4 > o.most) return 0;
    *o.head |= bits;
    if (n) memcpy(o.end, frames, n);
    o.end += n;
    while (n && o.end - o.payload < 4) *o.end++ = 0;
    vt__qout_pad(&o, least);
    return vt__qout_send_alone(c, &o, 0);
}
static inline size_t quic_forge(vt__quic *c, unsigned space, const uint8_t *frames, size_t n, size_t least,
                                uint8_t *out, size_t cap) {
    return quic_forge_bits(c, space, 0, frames, n, least, out, cap);
}

/* What becomes of a ClientHello: one extension goes, or another one stands in its place; a session ID comes. */
struct hello_edit {
    int drop; /* the extension's number; -1: all stay */
    int type; /* what takes its place, unless 0 */
    const void *p;
    size_t n;
    size_t sid; /* bytes of a session ID */
};
static inline uint8_t *hello_put16(uint8_t *p, size_t v) {
    return *p = (uint8_t)(v >> 8), p[1] = (uint8_t)v, p + 2;
}
static inline size_t hello_edit(const uint8_t *in, size_t n, uint8_t *out, const struct hello_edit *e) {
    size_t at = 38, o = 38, len_at;
    CHECK(n > 100 && in[0] == 1 && in[38] == 0);
    memcpy(out, in, 38);
    out[o++] = (uint8_t)e->sid;
    memset(out + o, 7, e->sid), o += e->sid, at++;
    size_t k = 2 + (size_t)vt__ossl_u16(in + at); /* suites */
    k += 1 + (size_t)in[at + k];                  /* compression */
    memcpy(out + o, in + at, k), o += k, at += k;
    len_at = o, o += 2, at += 2;
    for (size_t ext; at < n; at += ext) {
        ext = 4 + vt__ossl_u16(in + at + 2);
        if (e->drop != (int)vt__ossl_u16(in + at)) {
            memcpy(out + o, in + at, ext), o += ext;
        } else if (e->type) {
            hello_put16(hello_put16(out + o, (size_t)e->type), e->n);
            memcpy(out + o + 4, e->p, e->n), o += 4 + e->n;
        }
    }
    hello_put16(out + len_at, o - len_at - 2);
    out[1] = 0, hello_put16(out + 2, o - 4);
    return o;
}
#endif
