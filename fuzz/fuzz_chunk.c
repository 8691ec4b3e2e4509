/* A chunked body. The first byte chooses the splits, the rest is the input. The result must be the same for every split
 * and what a plain reader makes of it; the data must come back when it is encoded and decoded again. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "fuzz.h"

enum { CAP = 8, ROOM = 1 << 20, MORE = 1 };
typedef struct result {
    int64_t rc; /* bytes used, MORE: unfinished, < 0: error */
    char *data;
    size_t len;
    vt__h1_chunk c;
    vt__h1_field f[CAP];
} result;
static const vt__h1_limits lim = {.chunk_line = 60, .chunk_ext = 100, .trailer = 300, .chunk = 100000};

/* Gives the decoder pieces of up to `most` bytes (0: everything at once), each on a copy of the exact size. */
static void decode(result *o, const char *bytes, size_t len, uint32_t seed, uint32_t most) {
    size_t done = 0, have = 0;
    memset(&o->c, 0, sizeof o->c);
    o->len = 0, o->rc = MORE;
    while (have < len && !o->c.done) {
        have += most ? 1 + fuzz_next(&seed) % most : len;
        if (have > len) have = len;
        while (done < have && !o->c.done) {
            vt_str data;
            size_t n = have - done;
            char *copy = fuzz_copy(bytes + done, n);
            int64_t rc = vt__h1_chunk_decode(&o->c, copy, n, &data, o->f, CAP, &lim);
            MUST(rc <= (int64_t)n && memcmp(copy, bytes + done, n) == 0);
            if (rc > 0 && data.len) {
                MUST(data.ptr >= copy && data.ptr + data.len <= copy + rc);
                memcpy(o->data + o->len, data.ptr, data.len);
                o->len += data.len;
            }
            free(copy);
            if (rc < 0) {
                o->rc = rc;
                return;
            }
            if (rc == 0) {
                MUST(have - done <= lim.trailer + 2); /* no more than that is ever kept back */
                break;
            }
            done += (size_t)rc;
        }
    }
    if (o->c.done) o->rc = (int64_t)done + MORE;
}

static void check_same(const result *a, const result *b) {
    MUST(a->rc == b->rc);
    if (a->rc < 0) return;
    MUST(a->len == b->len && memcmp(a->data, b->data, a->len) == 0);
    MUST(a->c.total == b->c.total && a->c.left == b->c.left && a->c.ntrailers == b->c.ntrailers);
    MUST(memcmp(a->f, b->f, a->c.ntrailers * sizeof *a->f) == 0);
}

/* Walks a body that was accepted: sizes by strtoull, ends by position. */
static void check_plainly(const result *o, const char *bytes, size_t used) {
    size_t at = 0, len = 0;
    for (;;) {
        char digits[64] = {0};
        const char *end = memchr(bytes + at, '\n', used - at);
        MUST(end && end[-1] == '\r');
        size_t line = (size_t)(end - bytes) + 1 - at;
        memcpy(digits, bytes + at, line < sizeof digits ? line : sizeof digits - 1);
        unsigned long long size = strtoull(digits, NULL, 16);
        at += line;
        if (size == 0) break;
        MUST(size <= used - at && memcmp(bytes + at, o->data + len, size) == 0);
        MUST(memcmp(bytes + at + size, "\r\n", 2) == 0);
        at += size + 2, len += size;
    }
    MUST(len == o->len && len == o->c.total && o->c.left == 0);
    MUST(memcmp(bytes + used - 2, "\r\n", 2) == 0);
    MUST(at + 2 == used || memcmp(bytes + used - 4, "\r\n\r\n", 4) == 0);
    MUST((at + 2 == used) == (o->c.ntrailers == 0));
}

static void check_again(const result *o, result *again, uint32_t seed) {
    static char coded[2 * ROOM];
    size_t n = 0;
    for (size_t at = 0; at < o->len;) {
        size_t size = 1 + fuzz_next(&seed) % 1000;
        if (size > o->len - at) size = o->len - at;
        n += vt__h1_put_chunk_size(coded + n, size);
        memcpy(coded + n, o->data + at, size), n += size;
        memcpy(coded + n, "\r\n", 2), n += 2;
        at += size;
    }
    memcpy(coded + n, "0\r\n\r\n", 5), n += 5;
    decode(again, coded, n, seed, 700);
    MUST(again->rc == (int64_t)n + MORE);
    MUST(again->len == o->len && memcmp(again->data, o->data, o->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char one[ROOM], two[ROOM];
    static result whole = {.data = one}, o = {.data = two};
    if (size == 0 || size > ROOM / 2) return 0;
    const char *bytes = (const char *)data + 1;
    size--;
    decode(&whole, bytes, size, 0, 0);
    decode(&o, bytes, size, data[0], 1);
    check_same(&whole, &o);
    decode(&o, bytes, size, data[0], 7);
    check_same(&whole, &o);
    decode(&o, bytes, size, data[0], 90);
    check_same(&whole, &o);
    if (whole.rc < 0) {
        int status = vt__h1_err_status((int)whole.rc);
        MUST(status == 400 || status == 413 || status == 431);
    }
    if (whole.rc <= MORE) return 0;
    check_plainly(&whole, bytes, (size_t)whole.rc - MORE);
    check_again(&whole, &o, data[0]);
    return 0;
}
