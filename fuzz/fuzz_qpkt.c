/* QUIC's wire. The first byte chooses what the rest is: a datagram (its packets one after the other), the frames of a packet, or
 * transport parameters of either side. Nothing is read outside; what was read stands inside of what it was read from, and says
 * the same when it is written and read again. */
#define VTHTTP_H3 1
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "../tests/qframe.h"
#include "fuzz.h"

enum { INPUT_MAX = 65536 };
static uint8_t written[INPUT_MAX * 4];

static void inside(const uint8_t *p, size_t n, const uint8_t *from, const uint8_t *to) {
    MUST(p >= from && p <= to && n <= (size_t)(to - p));
}
static void frame(const vt__qpkt_frame *f) {
    vt__qpkt_frame again;
    uint8_t *end = frame_put(written, written + sizeof written, f);
    const uint8_t *at = written;
    MUST(end && vt__qpkt_frame_get(&again, &at, end) == 1 && at == end && frame_same(f, &again));
    MUST(f->kind < VT__QPKT_F_TYPES && vt__qpkt_rules[f->kind].where);
}
static void frames(const uint8_t *p, size_t n) {
    const uint8_t *at = p, *before = p, *end = p + n;
    vt__qpkt_frame f;
    int rc;
    for (; (rc = vt__qpkt_frame_get(&f, &at, end)) > 0; before = at) {
        MUST(at > before && at <= end);
        if (f.kind == VT__QPKT_F_STREAM || f.kind == VT__QPKT_F_CRYPTO || f.kind == VT__QPKT_F_DATAGRAM)
            inside(f.stream.data, f.stream.len, before, at);
        frame(&f);
    }
    MUST(at == before && (rc == 0) == (at == end));
    MUST(rc == 0 || (rc <= VT__QPKT_E_FRAME && rc >= VT__QPKT_E_LONG_TYPE));
}
/* Its protection comes off by a mask and goes on again. */
static void unmask(uint8_t *p, const vt__qpkt_head *h, uint8_t salt) {
    uint8_t mask[5] = {salt, (uint8_t)(salt * 3), (uint8_t)(salt * 5), (uint8_t)(salt * 7), salt},
            *was = fuzz_copy(p, h->len);
    uint64_t pn;
    unsigned size = vt__qpkt_unmask(p, h, mask, salt * UINT64_C(0x1010101), &pn);
    MUST(size >= 1 && size <= 4 && pn <= VT__QPKT_INT_MAX);
    vt__qpkt_mask(p, p + h->pn_at, size, mask);
    MUST(memcmp(p, was, h->len) == 0);
    free(was);
}
static void datagram(uint8_t *p, size_t n, size_t cid_len, uint8_t salt) {
    vt__qpkt_head h;
    for (size_t pos = 0; pos < n; pos += h.len) {
        if (vt__qpkt_head_get(&h, p + pos, n - pos, cid_len) < 0) break;
        MUST(h.len > 0 && h.len <= n - pos);
        inside(h.dcid, h.dcid_len, p + pos, p + pos + h.len);
        if (h.type != VT__QPKT_T_SHORT) inside(h.scid, h.scid_len, p + pos, p + pos + h.len);
        if (h.token_len) inside(h.token, h.token_len, p + pos, p + pos + h.len);
        if (h.type == VT__QPKT_T_UNKNOWN || h.type == VT__QPKT_T_NEGOTIATION || h.type == VT__QPKT_T_RETRY)
            continue;
        MUST(h.dcid_len <= VT__QPKT_CID_MAX && h.pn_at + VT__QPKT_PN_MAX + VT__QPKT_SAMPLE <= h.len);
        unmask(p + pos, &h, salt);
    }
}
static void params(const uint8_t *p, size_t n, bool from_server) {
    vt__qpkt_params tp, again;
    int rc = vt__qpkt_params_get(&tp, p, n, from_server);
    MUST(rc == 0 || (rc <= VT__QPKT_E_PARAM && rc >= VT__QPKT_E_PARAM_MISSING));
    if (rc < 0 || tp.initial_scid.len > VT__QPKT_CID_MAX) return;
    bool there = from_server; /* the choice may have been among versions that are not kept */
    for (size_t i = 0; i < tp.nversions; i++) there |= tp.versions[i] == tp.chosen;
    if (!there)
        tp.have &= ~VT__QPKT_HAS(VERSIONS), tp.chosen = tp.nversions = 0,
                                            memset(tp.versions, 0, sizeof tp.versions);
    uint8_t *end = vt__qpkt_params_put(written, written + sizeof written, &tp, (uint32_t)n);
    MUST(end && vt__qpkt_params_get(&again, written, (size_t)(end - written), from_server) == 0);
    again.have = tp.have; /* integers that stood there with their defaults */
    MUST(memcmp(&tp, &again, sizeof tp) == 0);
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > INPUT_MAX) return 0;
    uint8_t *p = fuzz_copy(data + 1, size - 1);
    if ((data[0] & 3) == 0) datagram(p, size - 1, (data[0] >> 2) % (VT__QPKT_CID_MAX + 1U), data[0]);
    else if ((data[0] & 3) == 1) frames(p, size - 1);
    else params(p, size - 1, data[0] & 1);
    free(p);
    return 0;
}
