/* A request head. The first byte chooses the splits, the rest is the input. The result must be the same for every version
 * of the scanner and every split; what is accepted must be what the grammar allows, and must come back when it is
 * written out and read again. */
#define VT__H1_EVERY 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

typedef vt__h1_req message;
static int parse_head(message *r, const char *bytes, size_t n, vt__h1_field *f, uint32_t cap,
                      const vt__h1_limits *lim) {
    return vt__h1_req_parse(r, bytes, n, f, cap, lim);
}
static const vt__h1_req *facts_of(const message *r) { return r; }
static bool same_start(const message *a, const message *b, bool moved) {
    (void)moved;
    return a->form == b->form && a->method == b->method;
}
#include "fuzz_head.h"

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
        if (id) MUST(vt__str_eq_ci(vt__str_of(vt__h1_knowns[id].text + 8), name));
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
    MUST(target.len > 0 && target.len <= head_limits.line);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char head[8192];
    if (size == 0) return 0;
    const char *bytes = (const char *)data + 1;
    const result *o = parse_every_way(bytes, size - 1, data[0]);
    if (!o) return 0;
    check_fields(o, bytes);
    check_target(o, bytes);
    size_t n = o->r.target_off + o->r.target_len - o->r.method_off;
    memcpy(head, bytes + o->r.method_off, n);
    n += (size_t)sprintf(head + n, " HTTP/1.%d\r\n", o->r.minor);
    check_again(o, bytes, head, n, sizeof head);
    return 0;
}
