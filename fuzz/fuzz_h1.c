/* A request head. The first byte chooses the splits, the rest is the input. The result must be the same for every version
 * of the scanner and every split; what is accepted must be what the grammar allows, and must come back when it is
 * written out and read again. */
#define VT__H1_EVERY 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

#define MUST(cond) ((cond) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond), abort()))

enum { CAP = 64 };
typedef struct result {
    int rc;
    vt__h1_req r;
    vt__h1_field f[CAP];
} result;
static const vt__h1_limits lim = {.line = 300, .section = 2000, .field = 900};

/* On a copy of the exact size, so that a read behind the end is seen. */
static int parse(result *o, const char *bytes, size_t len) {
    char *copy = calloc(1, len + !len);
    MUST(copy);
    if (len) memcpy(copy, bytes, len);
    o->rc = vt__h1_req_parse(&o->r, copy, len, o->f, CAP, &lim);
    MUST(len == 0 || memcmp(copy, bytes, len) == 0);
    free(copy);
    return o->rc;
}

static void check_same(const result *a, const result *b) {
    MUST(a->rc == b->rc);
    if (a->rc <= 0) return;
    MUST(memcmp(&a->r, &b->r, offsetof(vt__h1_req, state)) == 0);
    MUST(memcmp(a->f, b->f, a->r.nfields * sizeof *a->f) == 0);
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

static vt_str slice(const char *bytes, uint32_t off, uint32_t len, size_t end) {
    MUST(off <= end && len <= end - off);
    return (vt_str){bytes + off, len};
}

/* A plain reader of the accepted head: line by line, without tables. */
static void check_fields(const result *o, const char *bytes) {
    size_t used = (size_t)o->rc, at = o->r.target_off + o->r.target_len + 11;
    bool length = false;
    for (uint32_t i = 0; i < o->r.nfields; i++) {
        const vt__h1_field *f = &o->f[i];
        vt_str name = slice(bytes, f->name_off, f->name_len, used),
               value = slice(bytes, f->value_off, f->value_len, used);
        const char *end = memchr(bytes + at, '\r', used - at);
        MUST(f->name_off == at && name.ptr[name.len] == ':');
        MUST(end && end[1] == '\n' && end >= value.ptr + value.len);
        MUST(vt__h1_check_name(name) == 0 && vt__h1_check_value(value) == 0);
        for (const char *p = name.ptr + name.len + 1; p < value.ptr; p++) MUST(*p == ' ' || *p == '\t');
        for (const char *p = value.ptr + value.len; p < end; p++) MUST(*p == ' ' || *p == '\t');
        if (value.len) MUST(value.ptr[0] > ' ' || value.ptr[0] < 0);
        if (value.len) MUST(value.ptr[value.len - 1] > ' ' || value.ptr[value.len - 1] < 0);
        int id = vt__h1_field_id(name);
        MUST(f->id == (id <= VT__H1_F_UPGRADE ? id : 0));
        if (id) MUST(vt__str_eq_ci(vt__h1_field_name(id), name));
        if (vt__str_eq_ci(name, (vt_str){"content-length", 14})) MUST(!length), length = true;
        at = (size_t)(end - bytes) + 2;
    }
    MUST(at + 2 == used && memcmp(bytes + at, "\r\n", 2) == 0);
    MUST(length == ((o->r.flags & VT__H1_HAS_LENGTH) != 0));
    MUST(!length || !(o->r.flags & VT__H1_CHUNKED));
    MUST(o->r.content_length >= 0 && (length || o->r.content_length == 0));
}

static void check_target(const result *o, const char *bytes) {
    const vt__h1_req *r = &o->r;
    vt_str target = slice(bytes, r->target_off, r->target_len, (size_t)o->rc);
    vt_str path = slice(bytes, r->path_off, r->path_len, (size_t)o->rc);
    vt_str query = slice(bytes, r->query_off, r->query_len, (size_t)o->rc);
    vt__uri_auth a;
    MUST(target.len > 0 && target.len <= lim.line);
    for (size_t i = 0; i < target.len; i++)
        MUST(target.ptr[i] > ' ' && target.ptr[i] < 0x7f && target.ptr[i] != '#');
    if (r->form == VT__H1_ORIGIN) MUST(path.len > 0 && path.ptr == target.ptr && *path.ptr == '/');
    if (r->form == VT__H1_ABSOLUTE) MUST(path.len == 0 || *path.ptr == '/');
    if (path.len) MUST(!memchr(path.ptr, '?', path.len));
    if (r->flags & VT__H1_HAS_QUERY)
        MUST(query.ptr[-1] == '?' && query.ptr + query.len == target.ptr + target.len);
    if (r->auth_len) MUST(vt__uri_authority(slice(bytes, r->auth_off, r->auth_len, (size_t)o->rc), &a) == 0);
    MUST(r->minor == 0 || (r->flags & VT__H1_HAS_HOST));
}

/* Writes the head again, in its plainest form, and reads that. */
static void check_again(const result *o, const char *bytes) {
    static char head[8192];
    static result again;
    const vt__h1_req *r = &o->r;
    size_t n = r->target_off + r->target_len - r->method_off;
    memcpy(head, bytes + r->method_off, n);
    n += (size_t)sprintf(head + n, " HTTP/1.%d\r\n", r->minor);
    for (uint32_t i = 0; i < r->nfields; i++) {
        vt_str name = {bytes + o->f[i].name_off, o->f[i].name_len};
        vt_str value = {bytes + o->f[i].value_off, o->f[i].value_len};
        int w = vt__h1_put_field(head + n, sizeof head - n, name, value);
        MUST(w > 0);
        n += (size_t)w;
    }
    memcpy(head + n, "\r\n", 2);
    memset(&again.r, 0, sizeof again.r);
    again.rc = vt__h1_req_parse(&again.r, head, n + 2, again.f, CAP, NULL);
    MUST(again.rc == (int)n + 2);
    MUST(again.r.flags == r->flags && again.r.form == r->form && again.r.method == r->method);
    MUST(again.r.content_length == r->content_length && again.r.nfields == r->nfields);
    for (uint32_t i = 0; i < r->nfields; i++) {
        MUST(again.f[i].id == o->f[i].id && again.f[i].value_len == o->f[i].value_len);
        MUST(memcmp(head + again.f[i].value_off, bytes + o->f[i].value_off, o->f[i].value_len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static result whole, o;
    if (size == 0) return 0;
    const char *bytes = (const char *)data + 1;
    size--;
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
    check_fields(&whole, bytes);
    check_target(&whole, bytes);
    check_again(&whole, bytes);
    return 0;
}
