/* HPACK. The first byte chooses sizes; then come blocks, each behind two bytes of its length, with bit 7 a new limit as well.
 * Fields, table and error must be the same for every split; what was decoded comes back when it is encoded and decoded again;
 * tables stay within their sizes, and nothing is written behind the memory that was given for them. */
#define VTHTTP_H2 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

#define MUST(cond) ((cond) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond), abort()))

enum { INPUT_MAX = 4096, ROOM = 1 << 20, CANARY = 64 };

typedef struct {
    vt__hpack_dec d;
    uint8_t *table, *scratch;
    size_t table_size;
    uint32_t scratch_size;
    uint64_t fields, shape; /* hashes: of names, values and ids; of all there is to see */
    uint64_t encoded;       /* as `fields`, of those that were encoded again */
    int rc;
} result;

static uint32_t next(uint32_t *s) { return *s = *s * 1664525 + 1013904223, *s >> 16; }
static void note(uint64_t *h, const void *p, size_t n) { *h = vt__hpack_hash(*h + n, (vt_str){p, n}, 0); }
static void note_field(uint64_t *h, const vt__hpack_field *f) {
    note(h, f->name.ptr, f->name.len);
    note(h, f->value.ptr, f->value.len);
    note(h, &f->id, 1);
}
static void *guarded(size_t n) {
    uint8_t *p = malloc(n + CANARY);
    MUST(p != NULL);
    memset(p + n, 0xc7, CANARY);
    return p;
}
static void unguard(uint8_t *p, size_t n) {
    for (size_t i = 0; i < CANARY; i++) MUST(p[n + i] == 0xc7);
    free(p);
}
static void begin(result *r, uint8_t how) {
    static const uint32_t scratch[] = {4096, 4096 + 16, 8192, 65536 + 16};
    vt__hpack_dec_init(&r->d, how & 1 ? 65536 : 4096);
    r->table_size = vt__hpack_mem(r->d.t.cap);
    r->scratch_size = VT__MAX(scratch[how >> 1 & 3], r->d.t.cap);
    r->table = guarded(r->table_size), r->scratch = guarded(r->scratch_size);
    vt__hpack_dec_table(&r->d, r->table);
    r->fields = r->shape = r->encoded = 0, r->rc = 0;
}
static void finish(result *r) { unguard(r->table, r->table_size), unguard(r->scratch, r->scratch_size); }
static void again(result *r, const vt__hpack_field *f, vt__hpack_enc *e, uint8_t *coded, size_t *n) {
    size_t most = f->name.len + f->value.len + 3 * 6;
    if (f->flags & VT__HPACK_BAD_NAME || f->id == VT__HPACK_F_PSEUDO || ROOM - *n < most) return;
    size_t k = vt__hpack_put(e, coded + *n, ROOM - *n, f->id, f->name, f->value, f->flags & VT__HPACK_NEVER);
    MUST(k > 0 && k <= most);
    *n += k;
    note_field(&r->encoded, f);
}
static void field(result *r, const vt__hpack_field *f) {
    uint32_t sizes[3] = {(uint32_t)f->name.len, (uint32_t)f->value.len, (uint32_t)(f->id << 8 | f->flags)};
    note(&r->shape, sizes, sizeof sizes);
    MUST(f->id < VT__HPACK_F_COUNT);
    if (f->flags & VT__HPACK_LONG) {
        MUST(!f->name.ptr && !f->value.ptr && !f->id && !(f->flags & VT__HPACK_BAD_NAME));
        MUST(f->name.len + f->value.len > r->scratch_size - VT__HPACK_SCRATCH_MORE);
    } else {
        note_field(&r->fields, f);
    }
}
static void table(result *r) {
    static char text[VT__HPACK_CAP_MAX];
    const vt__hpack_table *t = &r->d.t;
    size_t size = 0;
    MUST(t->max <= t->cap && t->at < t->cap);
    for (uint32_t i = 1; i <= t->live; i++) {
        const vt__hpack_entry *e = vt__hpack_entry_of(t, i);
        vt__hpack_ring_get(t, e->at, (size_t)e->name_len + e->value_len, text);
        note(&r->shape, text, e->name_len);
        note(&r->shape, text + e->name_len, e->value_len);
        size += (size_t)e->name_len + e->value_len + 32;
    }
    MUST(size == t->size && size <= t->max);
}
/* A block, in pieces of up to `most` bytes (0: whole), each a copy that ends where it ends. e NULL: nothing is encoded. */
static void block(result *r, vt_str in, uint32_t *seed, uint32_t most, vt__hpack_enc *e, uint8_t *coded,
                  size_t *n) {
    vt__hpack_field f;
    vt__hpack_dec_begin(&r->d, r->scratch, r->scratch_size);
    for (size_t at = 0; at < in.len && r->rc >= 0;) {
        size_t k = most ? 1 + next(seed) % most : in.len;
        if (k > in.len - at) k = in.len - at;
        uint8_t *copy = malloc(k);
        MUST(copy != NULL);
        memcpy(copy, in.ptr + at, k);
        const uint8_t *q = copy;
        while ((r->rc = vt__hpack_dec_next(&r->d, &q, copy + k, &f)) > 0) {
            field(r, &f);
            if (e && !(f.flags & VT__HPACK_LONG)) again(r, &f, e, coded, n);
        }
        MUST((r->rc < 0 || q == copy + k) && memcmp(copy, in.ptr + at, k) == 0);
        free(copy);
        at += k;
    }
    if (r->rc >= 0) r->rc = vt__hpack_dec_end(&r->d);
}
/* All blocks of an input. With `peer` they are encoded, too, for that decoder. */
static void run(result *r, const uint8_t *data, size_t size, uint32_t most, result *peer) {
    static uint8_t coded[ROOM];
    vt__hpack_enc e;
    uint32_t seed = most, none = 0;
    begin(r, data[0]);
    if (peer) begin(peer, 7);
    vt__hpack_enc_init(&e, data[0] & 8 ? 256 : 4096);
    uint8_t *mem = guarded(vt__hpack_enc_mem(&e));
    if (!(data[0] & 16)) vt__hpack_enc_table(&e, mem);
    for (size_t at = 1; size - at >= 2 && r->rc >= 0;) {
        uint32_t limit = data[at] & 128 ? (data[at] & 127U) * 35 : UINT32_MAX;
        size_t n = (size_t)(data[at] & 15) << 8 | data[at + 1];
        at += 2;
        if (n > size - at) n = size - at;
        if (limit != UINT32_MAX) {
            vt__hpack_dec_limit(&r->d, limit), vt__hpack_enc_limit(&e, limit);
            if (peer) vt__hpack_dec_limit(&peer->d, limit);
        }
        size_t len = peer ? vt__hpack_enc_begin(&e, coded) : 0;
        block(r, (vt_str){(const char *)data + at, n}, &seed, most, peer ? &e : NULL, coded, &len);
        table(r);
        if (peer) {
            block(peer, (vt_str){(const char *)coded, len}, &none, 0, NULL, NULL, NULL);
            MUST(peer->rc == 0 && peer->fields == r->encoded && peer->d.t.live >= e.t.live);
            MUST(e.t.size <= e.t.max && e.t.max == peer->d.t.max);
        }
        at += n;
    }
    unguard(mem, vt__hpack_enc_mem(&e));
    finish(r);
    if (peer) finish(peer);
}
/* One field with the input as its value, through encoder and decoder, in every kind of room. */
static void round_trip(const uint8_t *data, size_t size) {
    static uint8_t out[INPUT_MAX + 200];
    static const int ids[] = {
        0, VT__H1_F_CONTENT_TYPE, VT__H1_F_DATE, VT__H1_F_COOKIE, VT__HPACK_F_PATH, VT__H1_F_X_REQUEST_ID};
    int id = ids[data[0] % VT__COUNT(ids)];
    vt_str name = id == VT__HPACK_F_PATH ? VT__STR_LIT(":path")
                  : id                   ? vt__str_of(vt__h1_knowns[id].text + 8)
                                         : VT__STR_LIT("x-unknown");
    vt_str value = {(const char *)data, size};
    vt__hpack_enc e;
    vt__hpack_field f;
    result r;
    begin(&r, 6);
    vt__hpack_enc_init(&e, 4096);
    uint8_t *mem = guarded(vt__hpack_enc_mem(&e));
    vt__hpack_enc_table(&e, mem);
    size_t sizes[3];
    for (int i = 0; i < 3; i++) {
        size_t n = sizes[i] = vt__hpack_put(&e, out, sizeof out, id, name, value, 0);
        const uint8_t *p = out;
        MUST(n > 0 && n <= name.len + size + 3 * 6);
        vt__hpack_dec_begin(&r.d, r.scratch, r.scratch_size);
        MUST(vt__hpack_dec_next(&r.d, &p, out + n, &f) == 1 && p == out + n && vt__hpack_dec_end(&r.d) == 0);
        MUST(vt__str_eq(f.name, name) && vt__str_eq(f.value, value) && f.id == id);
        MUST(e.t.size == r.d.t.size);
    }
    MUST(sizes[1] <= sizes[0] && sizes[2] <= sizes[1]);
    unguard(mem, vt__hpack_enc_mem(&e));
    finish(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t pieces[] = {1, 3, 40};
    result whole, peer, o;
    if (size == 0 || size > INPUT_MAX) return 0;
    run(&whole, data, size, 0, &peer);
    for (size_t i = 0; i < VT__COUNT(pieces); i++) {
        run(&o, data, size, pieces[i], NULL);
        MUST(o.rc == whole.rc && o.fields == whole.fields && o.shape == whole.shape);
    }
    round_trip(data, size);
    return 0;
}
