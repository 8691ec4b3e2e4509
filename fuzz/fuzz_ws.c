/* WebSocket frames. The first byte chooses the role, the reserved bits that are allowed, limits and splits; the rest is what
 * the peer sends. The result must be the same for every split; what was accepted comes back when it is encoded and decoded
 * again; text that was accepted is UTF-8, and what was not is no valid message; the short path agrees with the long one. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "fuzz.h"

enum { ROOM = 1 << 20, FRAMES = 4096 };
typedef struct frame {
    uint8_t first;
    uint32_t key;
    size_t at, len; /* of its payload in data */
} frame;
typedef struct result {
    int rc;
    size_t used, len, nframes; /* whole frames; payload of them and of a piece */
    uint8_t *data;
    frame *frames;
    vt__ws_in in;
} result;

/* The short path takes exactly the messages that it says it does, and gives what the long one gives. */
static void check_short(vt__ws_in in, const uint8_t *bytes, size_t n) {
    if (n > 140) n = 140; /* more than it ever takes */
    uint8_t *one = fuzz_copy(bytes, n), *two = fuzz_copy(bytes, n);
    bool within = in.msg != 0;
    size_t used = vt__ws_short(&in, one, n);
    int head = vt__ws_head(&in, two, n);
    bool is = head > 0 && !within && in.masked && in.op && in.op < VT__WS_CONTROL && in.fin &&
              in.left < 126 && !in.msg_rsv && n - (size_t)head >= in.left;
    MUST(is == (used > 0));
    if (is) {
        size_t len = (size_t)in.left;
        int rc = vt__ws_take(&in, two + head, len);
        MUST(head == 6 && used == len + 6 && in.left == 0);
        MUST(rc == 0 ? !in.msg : rc == VT__WS_E_UTF8 && in.op == VT__WS_TEXT);
        if (in.op == VT__WS_TEXT) MUST(vt__ws_is_text(one + 6, len) == (rc == 0));
    }
    MUST(n == 0 || memcmp(one, two, n) == 0);
    free(one), free(two);
}
/* One frame head or piece of payload from a copy of the exact size; false: more is needed, or it failed. */
static bool step(result *o, const uint8_t *bytes, size_t have, size_t *done, bool *inside) {
    size_t n = have - *done;
    uint8_t *copy = fuzz_copy(bytes + *done, n);
    bool go = false;
    if (!*inside) {
        check_short(o->in, bytes + *done, n);
        int r = vt__ws_head(&o->in, copy, n);
        MUST(r <= (int)n && (!n || memcmp(copy, bytes + *done, n) == 0));
        if (r < 0) o->rc = r;
        if (r > 0 && o->nframes < FRAMES) {
            o->frames[o->nframes] = (frame){bytes[*done], o->in.key, o->len, 0};
            *done += (size_t)r, *inside = go = true;
        }
    } else if (n || !o->in.left) {
        size_t k = n < o->in.left ? n : (size_t)o->in.left;
        o->rc = vt__ws_take(&o->in, copy, k);
        MUST(n == k || memcmp(copy + k, bytes + *done + k, n - k) == 0);
        if (o->rc == 0) {
            if (k) memcpy(o->data + o->len, copy, k);
            o->len += k, *done += k, o->frames[o->nframes].len += k;
            if (!o->in.left) *inside = false, o->nframes++, o->used = *done;
            go = true;
        }
    }
    free(copy);
    return go;
}
/* Pieces of up to `most` bytes (0: everything at once). */
static void decode(result *o, vt__ws_in in, const uint8_t *bytes, size_t len, uint32_t seed, uint32_t most) {
    size_t done = 0, have = 0;
    bool inside = false;
    o->in = in, o->rc = 0, o->used = o->len = o->nframes = 0;
    while (have < len && o->rc == 0) {
        have += most ? 1 + fuzz_next(&seed) % most : len;
        if (have > len) have = len;
        while (step(o, bytes, have, &done, &inside)) continue;
    }
}
static void check_same(const result *a, const result *b) {
    MUST(a->rc == b->rc && a->used == b->used && a->nframes == b->nframes);
    if (a->rc == 0) MUST(a->len == b->len && memcmp(a->data, b->data, a->len) == 0 && a->in.msg == b->in.msg);
    for (size_t i = 0; i < a->nframes; i++)
        MUST(a->frames[i].first == b->frames[i].first && a->frames[i].len == b->frames[i].len);
}
/* Byte by byte, as the messages of text come together. */
static void check_text(const result *o) {
    vt__ws_utf8 u = {0, 0, 0};
    bool text = false;
    for (size_t i = 0; i < o->nframes; i++) {
        const frame *f = &o->frames[i];
        unsigned op = f->first & 15;
        if (op >= VT__WS_CONTROL) {
            MUST(f->len <= VT__WS_CONTROL_MAX && f->first & VT__WS_FIN);
            continue;
        }
        if (op) text = op == VT__WS_TEXT && !(f->first & VT__WS_RSV), u.need = 0;
        for (size_t k = 0; text && k < f->len; k++) MUST(vt__ws_utf8_byte(&u, o->data[f->at + k]) == 0);
        if (text && f->first & VT__WS_FIN) MUST(u.need == 0);
    }
}
static void check_again(const result *o, vt__ws_in in, result *again) {
    static uint8_t coded[ROOM * 2];
    size_t n = 0;
    for (size_t i = 0; i < o->nframes; i++) {
        const frame *f = &o->frames[i];
        n += vt__ws_put_head(coded + n, f->first, f->len, in.masked ? &f->key : NULL);
        if (in.masked) vt__ws_mask(coded + n, o->data + f->at, f->len, f->key);
        else if (f->len) memcpy(coded + n, o->data + f->at, f->len);
        n += f->len;
    }
    decode(again, in, coded, n, 0, 0);
    MUST(again->rc == 0 && again->nframes == o->nframes && again->used == n && n == o->used);
    size_t len = o->nframes ? o->frames[o->nframes - 1].at + o->frames[o->nframes - 1].len : 0;
    MUST(again->len == len && memcmp(again->data, o->data, len) == 0);
}
static void check_close(const result *o) {
    for (size_t i = 0; i < o->nframes; i++) {
        const frame *f = &o->frames[i];
        vt_str reason;
        uint8_t out[VT__WS_CONTROL_MAX];
        if ((f->first & 15) != VT__WS_CLOSE) continue;
        int code = vt__ws_close_get(o->data + f->at, f->len, &reason);
        if (code < 0) continue;
        MUST(code == 1005 || vt__ws_code_ok(code));
        MUST(vt__ws_close_put(out, code, reason) == f->len && memcmp(out, o->data + f->at, f->len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t one[ROOM], two[ROOM];
    static frame frames1[FRAMES + 1], frames2[FRAMES + 1];
    static result whole = {.data = one, .frames = frames1}, o = {.data = two, .frames = frames2};
    if (size == 0 || size > ROOM / 2) return 0;
    vt__ws_in in = {.max_frame = data[0] & 1 ? 100 : UINT64_MAX,
                    .max_message = data[0] & 1   ? 300
                                   : data[0] & 8 ? 60
                                                 : UINT64_MAX,
                    .masked = data[0] & 2,
                    .rsv = data[0] & 4 ? 0x40 : 0};
    const uint8_t *bytes = data + 1;
    decode(&whole, in, bytes, --size, 0, 0);
    decode(&o, in, bytes, size, data[0], 1);
    check_same(&whole, &o);
    decode(&o, in, bytes, size, data[0], 7);
    check_same(&whole, &o);
    decode(&o, in, bytes, size, data[0], 90);
    check_same(&whole, &o);
    if (whole.rc < 0) {
        int code = vt__ws_err_code(whole.rc);
        MUST(code == 1002 || code == 1007 || code == 1009);
    }
    check_text(&whole);
    check_close(&whole);
    check_again(&whole, in, &o);
    return 0;
}
