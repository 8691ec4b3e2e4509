/* The head of a message, request or response: the result is the same for every version of the scanner and every split.
 * Who includes this has defined: message, what a head is parsed to; parse_head; facts_of, what both kinds have; and
 * same_start, whether what only its kind has is the same (offsets apart when it was written again). */
#ifndef VT_FUZZ_HEAD_H
#define VT_FUZZ_HEAD_H
#include "fuzz.h"

enum { CAP = 64 };
typedef struct result {
    int rc;
    message r;
    vt__h1_field f[CAP];
} result;
static const vt__h1_limits head_limits = {.line = 300, .section = 2000, .field = 900};

static int parse(result *o, const char *bytes, size_t len) {
    char *copy = fuzz_copy(bytes, len);
    o->rc = parse_head(&o->r, copy, len, o->f, CAP, &head_limits);
    MUST(len == 0 || memcmp(copy, bytes, len) == 0);
    free(copy);
    return o->rc;
}

static void check_same(const result *a, const result *b) {
    MUST(a->rc == b->rc);
    if (a->rc <= 0) return;
    MUST(same_start(&a->r, &b->r, false));
    MUST(memcmp(facts_of(&a->r), facts_of(&b->r), offsetof(vt__h1_req, state)) == 0);
    MUST(memcmp(a->f, b->f, facts_of(&a->r)->nfields * sizeof *a->f) == 0);
}

static void check_splits(const result *whole, const char *bytes, size_t len, uint32_t seed) {
    static result o;
    memset(&o.r, 0, sizeof o.r);
    o.rc = 0;
    for (size_t n = 0; n <= len && o.rc == 0; n++) { /* byte by byte */
        parse(&o, bytes, n);
        if (len > 600 && n > 300 && n + 300 < len) n += 37;
    }
    if (o.rc == 0) parse(&o, bytes, len);
    check_same(whole, &o);
    memset(&o.r, 0, sizeof o.r);
    o.rc = 0;
    for (size_t n = 0; n < len && o.rc == 0;) {
        uint32_t r = fuzz_next(&seed) >> 4;
        n += 1 + r % (seed >> 28 ? 150 : 5);
        parse(&o, bytes, n < len ? n : len);
    }
    check_same(whole, &o);
}

/* What every version of the scanner, and every split, makes of the bytes. NULL: no whole head, or none that is good. */
static const result *parse_every_way(const char *bytes, size_t size, uint32_t seed) {
    static result whole, o;
    for (size_t isa = 0; isa < vt__h1_isa_count(); isa++) {
        result *into = isa ? &o : &whole;
        vt__h1_isa_select(isa);
        memset(&into->r, 0, sizeof into->r);
        parse(into, bytes, size);
        if (isa) check_same(&whole, into);
        check_splits(&whole, bytes, size, seed + (uint32_t)isa * 256);
    }
    if (whole.rc < 0) MUST(vt__h1_err_status(whole.rc) >= 400 && vt__h1_err_status(whole.rc) != 500);
    MUST(whole.rc <= 0 || (size_t)whole.rc <= size);
    return whole.rc > 0 ? &whole : NULL;
}

/* Writes the head again, in its plainest form, behind its first line, head[0..n), and reads that. */
static void check_again(const result *o, const char *bytes, char *head, size_t n, size_t cap) {
    static result again;
    static const vt__h1_limits standard;
    const vt__h1_req *r = facts_of(&o->r), *a = facts_of(&again.r);
    for (uint32_t i = 0; i < r->nfields; i++) {
        vt_str name = {bytes + o->f[i].name_off, o->f[i].name_len};
        vt_str value = {bytes + o->f[i].value_off, o->f[i].value_len};
        MUST(vt__h1_check_name(name) == 0 && vt__h1_check_value(value) == 0);
        MUST(name.len + value.len + 6 <= cap - n);
        memcpy(head + n, name.ptr, name.len), n += name.len;
        memcpy(head + n, ": ", 2), n += 2;
        memcpy(head + n, value.ptr, value.len), n += value.len;
        memcpy(head + n, "\r\n", 2), n += 2;
    }
    memcpy(head + n, "\r\n", 2);
    memset(&again.r, 0, sizeof again.r);
    again.rc = parse_head(&again.r, head, n + 2, again.f, CAP, &standard);
    MUST(again.rc == (int)n + 2);
    MUST(same_start(&o->r, &again.r, true));
    MUST(a->flags == r->flags && a->content_length == r->content_length && a->nfields == r->nfields);
    for (uint32_t i = 0; i < r->nfields; i++) {
        MUST(again.f[i].id == o->f[i].id && again.f[i].value_len == o->f[i].value_len);
        MUST(memcmp(head + again.f[i].value_off, bytes + o->f[i].value_off, o->f[i].value_len) == 0);
    }
}
#endif
