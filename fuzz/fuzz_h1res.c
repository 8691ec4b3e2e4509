/* A response head. The first byte chooses the splits and the request's method, the rest is the input. The result must be
 * the same for every version of the scanner and every split; what is accepted must have one framing, and must come back
 * when it is written out and read again. */
#define VT__H1_EVERY 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

#define MUST(cond) ((cond) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond), abort()))

enum { CAP = 64 };
typedef struct result {
    int rc;
    vt__h1_res r;
    vt__h1_field f[CAP];
} result;
static const vt__h1_limits lim = {.line = 300, .section = 2000, .field = 900};
static int method;

/* On a copy of the exact size, so that a read behind the end is seen. */
static int parse(result *o, const char *bytes, size_t len) {
    char *copy = calloc(1, len + !len);
    MUST(copy);
    if (len) memcpy(copy, bytes, len);
    o->rc = vt__h1_res_parse(&o->r, method, copy, len, o->f, CAP, &lim);
    MUST(len == 0 || memcmp(copy, bytes, len) == 0);
    free(copy);
    return o->rc;
}

static void check_same(const result *a, const result *b) {
    MUST(a->rc == b->rc);
    if (a->rc <= 0) return;
    MUST(a->r.reason_off == b->r.reason_off && a->r.reason_len == b->r.reason_len);
    MUST(a->r.status == b->r.status && a->r.until == b->r.until);
    MUST(memcmp(&a->r.head, &b->r.head, offsetof(vt__h1_req, state)) == 0);
    MUST(memcmp(a->f, b->f, a->r.head.nfields * sizeof *a->f) == 0);
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
        seed = seed * 1664525 + 1013904223;
        n += 1 + (seed >> 16) % (seed >> 28 ? 150 : 5);
        parse(&o, bytes, n < len ? n : len);
    }
    check_same(whole, &o);
}

/* What the facts say must follow from the bytes alone, read line by line. */
static void check_facts(const result *o, const char *bytes) {
    const vt__h1_res *r = &o->r;
    size_t used = (size_t)o->rc, at = r->reason_off + r->reason_len + 2;
    int lengths = 0, codings = 0;
    MUST(memcmp(bytes, "HTTP/1.", 7) == 0 && bytes[8] == ' ' && bytes[12] == ' ');
    MUST(r->status >= 100 && r->status <= 999 && r->status == atoi(bytes + 9));
    for (uint32_t i = 0; i < r->head.nfields; i++) {
        const vt__h1_field *f = &o->f[i];
        MUST(f->name_off == at && f->value_off + f->value_len <= used);
        vt_str name = {bytes + f->name_off, f->name_len}, value = {bytes + f->value_off, f->value_len};
        const char *end = memchr(bytes + at, '\r', used - at);
        MUST(end && end[1] == '\n' && end >= value.ptr + value.len);
        MUST(vt__h1_check_name(name) == 0 && vt__h1_check_value(value) == 0);
        lengths += vt__str_eq_ci(name, (vt_str){"content-length", 14});
        codings += vt__str_eq_ci(name, (vt_str){"transfer-encoding", 17});
        at = (size_t)(end - bytes) + 2;
    }
    MUST(at + 2 == used && memcmp(bytes + at, "\r\n", 2) == 0);
    MUST(lengths <= 1 && (lengths == 0 || codings == 0));
    MUST(lengths == ((r->head.flags & VT__H1_HAS_LENGTH) != 0));
    MUST((codings > 0) == ((r->head.flags & VT__H1_CHUNKED) != 0));
    if (r->until == VT__H1_UNTIL_LENGTH) MUST(lengths == 1 && r->head.content_length >= 0);
    if (r->until == VT__H1_UNTIL_CHUNK) MUST(codings > 0 && r->head.minor == 1);
    if (r->until == VT__H1_UNTIL_CLOSE) MUST(lengths + codings == 0);
    if (r->until >= VT__H1_UNTIL_CLOSE) MUST(!(r->head.flags & VT__H1_KEEP_ALIVE));
}

/* Writes the head again, in its plainest form, and reads that. */
static void check_again(const result *o, const char *bytes) {
    static char head[8192];
    static result again;
    const vt__h1_res *r = &o->r;
    size_t n = r->reason_off + r->reason_len + 2;
    memcpy(head, bytes, n);
    for (uint32_t i = 0; i < r->head.nfields; i++) {
        vt_str name = {bytes + o->f[i].name_off, o->f[i].name_len};
        vt_str value = {bytes + o->f[i].value_off, o->f[i].value_len};
        int w = vt__h1_put_field(head + n, sizeof head - n, name, value);
        MUST(w > 0);
        n += (size_t)w;
    }
    memcpy(head + n, "\r\n", 2);
    memset(&again.r, 0, sizeof again.r);
    again.rc = vt__h1_res_parse(&again.r, method, head, n + 2, again.f, CAP, NULL);
    MUST(again.rc == (int)n + 2);
    MUST(again.r.until == r->until && again.r.head.flags == r->head.flags);
    MUST(again.r.head.content_length == r->head.content_length && again.r.head.nfields == r->head.nfields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int methods[] = {VT__H1_M_GET, VT__H1_M_HEAD, VT__H1_M_CONNECT, VT__H1_M_POST};
    static result whole, o;
    if (size == 0) return 0;
    const char *bytes = (const char *)data + 1;
    size--;
    method = methods[data[0] & 3];
    for (size_t isa = 0; isa < vt__h1_isa_count(); isa++) {
        result *into = isa ? &o : &whole;
        vt__h1_isa_select(isa);
        memset(&into->r, 0, sizeof into->r);
        parse(into, bytes, size);
        if (isa) check_same(&whole, into);
        check_splits(&whole, bytes, size, data[0] + (uint32_t)isa * 256);
    }
    if (whole.rc < 0) MUST(vt__h1_err_status(whole.rc) >= 400 && vt__h1_err_status(whole.rc) != 500);
    if (whole.rc <= 0) return 0;
    MUST((size_t)whole.rc <= size);
    check_facts(&whole, bytes);
    check_again(&whole, bytes);
    return 0;
}
