/* A QUIC frame that was read, written again by the writer that is for it; whether two frames say the same. */
#ifndef VT_QFRAME_H
#define VT_QFRAME_H

enum { RANGES_MAX = 40000 };
/* The ranges of an ACK, upwards. */
static inline size_t frame_ranges(vt__qpkt_frame f, vt__qpkt_range *ranges) {
    vt__qpkt_range *last = ranges + RANGES_MAX, *r = last;
    *--r = (vt__qpkt_range){f.ack.first, f.ack.largest};
    while (r > ranges && vt__qpkt_ack_next(&f, r - 1)) r--;
    size_t n = (size_t)(last - r);
    memmove(ranges, r, n * sizeof *r);
    return n;
}
static inline vt_str frame_str(const uint8_t *p, size_t n) { return (vt_str){(const char *)p, n}; }
static inline uint8_t *frame_put_data(uint8_t *p, const uint8_t *end, const vt__qpkt_frame *f) {
    if (f->kind == VT__QPKT_F_CRYPTO) p = vt__qpkt_put_crypto(p, end, f->stream.offset, f->stream.len);
    else p = vt__qpkt_put_stream(p, end, f->stream.id, f->stream.offset, f->stream.len, f->fin);
    return p ? vt__qpkt_put_raw(p, f->stream.data, f->stream.len) : NULL;
}
static inline uint8_t *frame_put_ack(uint8_t *p, const uint8_t *end, const vt__qpkt_frame *f) {
    static vt__qpkt_range ranges[RANGES_MAX];
    size_t n = frame_ranges(*f, ranges);
    return vt__qpkt_put_ack(p, end, ranges, n, f->ack.delay, f->kind == VT__QPKT_F_ACK ? NULL : f->ack.ecn);
}
static inline uint8_t *frame_put(uint8_t *p, const uint8_t *end, const vt__qpkt_frame *f) {
    vt__qpkt_cid cid;
    switch (f->kind) {
    case VT__QPKT_F_PADDING: return p < end ? *p = 0, p + 1 : NULL;
    case VT__QPKT_F_ACK:
    case VT__QPKT_F_ACK_ECN: return frame_put_ack(p, end, f);
    case VT__QPKT_F_CRYPTO:
    case VT__QPKT_F_STREAM: return frame_put_data(p, end, f);
    case VT__QPKT_F_NEW_TOKEN: return vt__qpkt_put_token(p, end, frame_str(f->bytes.data, f->bytes.len));
    case VT__QPKT_F_NEW_CID:
        vt__qpkt_cid_set(&cid, f->cid.id, f->cid.len);
        return vt__qpkt_put_new_cid(p, end, f->cid.seq, f->cid.retire, &cid, f->cid.token);
    case VT__QPKT_F_PATH_CHALLENGE:
    case VT__QPKT_F_PATH_RESPONSE: return vt__qpkt_put_path(p, end, f->kind, f->bytes.data);
    case VT__QPKT_F_CLOSE:
    case VT__QPKT_F_CLOSE_APP:
        return vt__qpkt_put_close(p, end, f->kind == VT__QPKT_F_CLOSE_APP, f->close.code, f->close.frame,
                                  frame_str(f->close.reason, f->close.len));
    case VT__QPKT_F_DATAGRAM: return vt__qpkt_put_datagram(p, end, f->stream.data, f->stream.len);
    default: return vt__qpkt_put_frame(p, end, f->kind, f->n[0], f->n[1], f->n[2]);
    }
}
static inline bool frame_same_bytes(const uint8_t *a, size_t na, const uint8_t *b, size_t nb) {
    return na == nb && (na == 0 || memcmp(a, b, na) == 0);
}
static inline bool frame_same_ack(const vt__qpkt_frame *a, const vt__qpkt_frame *b) {
    vt__qpkt_frame x = *a, y = *b;
    vt__qpkt_range r = {0, 0}, s = {0, 0};
    bool more = true, same = x.ack.largest == y.ack.largest && x.ack.first == y.ack.first;
    while (same && more) {
        more = vt__qpkt_ack_next(&x, &r);
        same = more == vt__qpkt_ack_next(&y, &s) && r.lo == s.lo && r.hi == s.hi;
    }
    bool ecn = a->kind == VT__QPKT_F_ACK || memcmp(a->ack.ecn, b->ack.ecn, sizeof a->ack.ecn) == 0;
    return same && ecn && a->ack.delay == b->ack.delay;
}
static inline bool frame_same(const vt__qpkt_frame *a, const vt__qpkt_frame *b) {
    if (a->kind != b->kind || a->fin != b->fin) return false;
    switch (a->kind) {
    case VT__QPKT_F_ACK:
    case VT__QPKT_F_ACK_ECN: return frame_same_ack(a, b);
    case VT__QPKT_F_STREAM:
        if (a->stream.id != b->stream.id) return false; /* fall through */
    case VT__QPKT_F_CRYPTO:
        if (a->stream.offset != b->stream.offset) return false; /* fall through */
    case VT__QPKT_F_DATAGRAM:
        return frame_same_bytes(a->stream.data, a->stream.len, b->stream.data, b->stream.len);
    case VT__QPKT_F_NEW_TOKEN:
    case VT__QPKT_F_PATH_CHALLENGE:
    case VT__QPKT_F_PATH_RESPONSE:
        return frame_same_bytes(a->bytes.data, a->bytes.len, b->bytes.data, b->bytes.len);
    case VT__QPKT_F_NEW_CID:
        return a->cid.seq == b->cid.seq && a->cid.retire == b->cid.retire &&
               frame_same_bytes(a->cid.id, a->cid.len, b->cid.id, b->cid.len) &&
               memcmp(a->cid.token, b->cid.token, VT__QPKT_TOKEN) == 0;
    case VT__QPKT_F_CLOSE:
    case VT__QPKT_F_CLOSE_APP:
        return a->close.code == b->close.code && a->close.frame == b->close.frame &&
               frame_same_bytes(a->close.reason, a->close.len, b->close.reason, b->close.len);
    default: return memcmp(a->n, b->n, vt__qpkt_rules[a->kind].ints * sizeof a->n[0]) == 0;
    }
}
#endif
