/* QPACK. The first byte chooses sizes; then come pieces behind two bytes of kind and length: of the encoder stream, of the
 * decoder stream, or a whole section. The table, fields and errors must be the same wherever the streams are cut; what was
 * decoded comes back when it is encoded for another decoder and decoded there, with streams that overtake each other;
 * tables stay within their sizes. */
#define VTHTTP_H3 1
#define VTHTTP_SIM 1 /* no TLS needed */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

#include "fuzz.h"

enum { INPUT_MAX = 4096, ROOM = 8192, OUT_MAX = 1 << 16 };
enum { ENCODER_STREAM, DECODER_STREAM, SECTION, KINDS };

typedef struct {
    vt__qpack_dec d;
    vt__qpack_enc e; /* whose decoder stream comes */
    uint64_t seen;   /* a hash of all there was to see */
    int rc;
} result;
/* The fields that were decoded, to another decoder. */
typedef struct {
    vt__qpack_enc e;
    vt__qpack_dec d;
    uint8_t inserts[OUT_MAX];
    size_t ins_n, ins_at;
    uint64_t streams;
} relay;
static uint64_t mem[2][4096];
static uint8_t *room;

static void note(uint64_t *h, const void *p, size_t n) { *h = vt__hpack_hash(*h + n, (vt_str){p, n}, 0); }
static void note_field(uint64_t *h, const vt__hpack_field *f) {
    uint32_t sizes[3] = {(uint32_t)f->name.len, (uint32_t)f->value.len, (uint32_t)(f->id << 8 | f->flags)};
    note(h, sizes, sizeof sizes);
    if (f->flags & VT__HPACK_LONG) return;
    note(h, f->name.ptr, f->name.len), note(h, f->value.ptr, f->value.len);
}
static void start_encoder(vt__qpack_enc *e, uint64_t *m, uint32_t cap, uint32_t peer, uint32_t blocked) {
    vt__qpack_enc_init(e, cap);
    MUST(vt__qpack_enc_mem(e) <= sizeof mem[0]);
    vt__qpack_enc_table(e, m);
    vt__qpack_enc_limit(e, peer, blocked);
}
static void check_table(const vt__hpack_table *t, uint64_t *h) {
    static char all[VT__HPACK_CAP_MAX];
    size_t size = 0;
    MUST(t->max <= t->cap && t->at < t->cap);
    for (uint32_t i = 1; i <= t->live; i++) {
        const vt__hpack_entry *x = vt__hpack_entry_of(t, i);
        vt__hpack_ring_get(t, x->at, (size_t)x->name_len + x->value_len, all);
        note(h, all, (size_t)x->name_len + x->value_len), note(h, &x->id, 2);
        size += (size_t)x->name_len + x->value_len + 32;
    }
    MUST(size == t->size && size <= t->max);
}
static void feed_inserts(vt__qpack_dec *d, const uint8_t *p, size_t n) {
    const uint8_t *at = p;
    MUST(vt__qpack_dec_insert(d, &at, p + n, room) == 0 && at == p + n);
}
/* The section of these fields at the other decoder, whose inserts may be late, and whose acknowledgements may never come. */
static void arrive(relay *y, uint8_t *section, size_t n, uint64_t want, uint32_t *seed) {
    vt__qpack_sec s;
    vt__hpack_field f;
    uint64_t got = 0;
    uint8_t out[2 * VT__QPACK_INT_BYTES];
    int rc = vt__qpack_dec_begin(&y->d, &s, section, section + n);
    if (rc == 0) {
        feed_inserts(&y->d, y->inserts + y->ins_at, y->ins_n - y->ins_at);
        y->ins_at = y->ins_n;
        rc = vt__qpack_dec_begin(&y->d, &s, section, section + n);
    }
    MUST(rc == 1);
    while ((rc = vt__qpack_dec_next(&y->d, &s, room, ROOM, &f)) > 0) note_field(&got, &f);
    MUST(rc == 0 && got == want);
    size_t k = 0;
    if (fuzz_next(seed) % 4) k = vt__qpack_put_ack(&y->d, s.need, y->streams, out);
    else if (s.need) k = vt__qpack_put_cancel(&y->d, y->streams, out);
    if (fuzz_next(seed) % 2) k += vt__qpack_put_increment(&y->d, out + k);
    MUST(vt__qpack_enc_recv(&y->e, out, out + k) == 0);
}
static void section(result *r, const uint8_t *bytes, size_t n, relay *y, uint32_t *seed) {
    static uint8_t buf[OUT_MAX];
    uint8_t *copy = fuzz_copy(bytes, n), *from;
    vt__qpack_sec s;
    vt__qpack_head w;
    vt__hpack_field f;
    uint64_t want = 0;
    bool relayed = y && OUT_MAX - y->ins_n > 2000;
    r->rc = vt__qpack_dec_begin(&r->d, &s, copy, copy + n);
    if (r->rc > 0) {
        if (relayed)
            vt__qpack_enc_begin(&y->e, &w, ++y->streams, buf, sizeof buf, y->inserts + y->ins_n,
                                fuzz_next(seed) % 1000);
        while ((r->rc = vt__qpack_dec_next(&r->d, &s, room, ROOM, &f)) > 0) {
            note_field(&r->seen, &f);
            MUST(f.id < VT__HPACK_F_COUNT);
            bool good = !(f.flags & (VT__HPACK_LONG | VT__HPACK_BAD_NAME)) && f.id != VT__HPACK_F_PSEUDO;
            if (!relayed || !good || !vt__qpack_put(&w, f.id, f.name, f.value, f.flags & VT__HPACK_NEVER))
                continue;
            if (vt__hpack_policies[f.id] == VT__HPACK_P_SECRET ||
                (f.id == VT__H1_F_COOKIE && f.value.len < 20))
                f.flags |= VT__HPACK_NEVER;
            note_field(&want, &f);
        }
        if (relayed) {
            size_t len = vt__qpack_enc_end(&w, &from);
            y->ins_n += w.ins_len;
            arrive(y, from, len, want, seed);
            MUST(y->e.nrefs <= VT__QPACK_REFS && y->e.h.t.size <= y->e.h.t.max);
        }
    }
    free(copy);
}
static void stream(result *r, int kind, const uint8_t *bytes, size_t n, uint32_t *seed, uint32_t most) {
    for (size_t at = 0, k; at < n && r->rc >= 0; at += k) {
        k = most ? 1 + fuzz_next(seed) % most : n;
        if (k > n - at) k = n - at;
        uint8_t *copy = fuzz_copy(bytes + at, k);
        const uint8_t *p = copy;
        if (kind == ENCODER_STREAM) r->rc = vt__qpack_dec_insert(&r->d, &p, copy + k, room);
        else r->rc = vt__qpack_enc_recv(&r->e, copy, copy + k);
        MUST(r->rc < 0 || kind != ENCODER_STREAM || p == copy + k);
        free(copy);
    }
}
/* The encoder has some sections on their way when the decoder stream begins. */
static void some_sections(vt__qpack_enc *e) {
    uint8_t buf[200], ins[200], *from;
    for (uint64_t i = 0; i < 6; i++) {
        vt__qpack_head w;
        char value[2] = {(char)('a' + i / 2), 0};
        vt__qpack_enc_begin(e, &w, i % 4, buf, sizeof buf, ins, sizeof ins);
        MUST(vt__qpack_put(&w, VT__H1_F_SERVER, VT__STR_LIT("server"), (vt_str){value, 1}, 0));
        vt__qpack_enc_end(&w, &from);
    }
}
static void run(result *r, const uint8_t *data, size_t size, uint32_t most, relay *y) {
    static const uint32_t limits[] = {0, 100, 220, 4096};
    uint32_t seed = most;
    memset(r, 0, sizeof *r);
    vt__qpack_dec_init(&r->d, limits[data[0] & 3]);
    start_encoder(&r->e, mem[0], 256, 4096, 100);
    some_sections(&r->e);
    if (y) {
        memset(y, 0, sizeof *y);
        start_encoder(&y->e, mem[1], data[0] & 4 ? 256 : 1024, limits[data[0] >> 3 & 3], data[0] >> 5);
        vt__qpack_dec_init(&y->d, limits[data[0] >> 3 & 3]);
    }
    for (size_t at = 1; size - at >= 2 && r->rc >= 0;) {
        int kind = (data[at] >> 4) % KINDS;
        size_t n = (size_t)(data[at] & 15) << 8 | data[at + 1];
        at += 2;
        if (n > size - at) n = size - at;
        if (kind == SECTION) section(r, data + at, n, y, &seed);
        else stream(r, kind, data + at, n, &seed, most);
        check_table(&r->d.t, &r->seen);
        at += n;
    }
    if (y) {
        feed_inserts(&y->d, y->inserts + y->ins_at, y->ins_n - y->ins_at);
        MUST(y->d.t.made == y->e.h.t.made && y->d.t.size == y->e.h.t.size);
        vt__qpack_dec_free(&y->d);
    }
    vt__qpack_dec_free(&r->d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t pieces[] = {1, 3, 40};
    static relay y;
    result whole, o;
    if (size == 0 || size > INPUT_MAX) return 0;
    MUST((room = malloc(ROOM)) != NULL);
    run(&whole, data, size, 0, &y);
    for (size_t i = 0; i < VT__COUNT(pieces); i++) {
        run(&o, data, size, pieces[i], NULL);
        MUST(o.rc == whole.rc && o.seen == whole.seen && o.d.t.made == whole.d.t.made);
        MUST(o.e.known == whole.e.known && o.e.nrefs == whole.e.nrefs);
    }
    free(room);
    return 0;
}
