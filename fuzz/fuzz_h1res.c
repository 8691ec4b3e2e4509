/* A response head. The first byte chooses the splits and the request's method, the rest is the input. The result must be
 * the same for every version of the scanner and every split; what is accepted must have one framing, and must come back
 * when it is written out and read again. */
#define VT__H1_EVERY 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static int method;
typedef vt__h1_res message;
static int parse_head(message *r, const char *bytes, size_t n, vt__h1_field *f, uint32_t cap,
                      const vt__h1_limits *lim) {
    return vt__h1_res_parse(r, method, bytes, n, f, cap, lim);
}
static const vt__h1_req *facts_of(const message *r) { return &r->head; }
static bool same_start(const message *a, const message *b, bool moved) {
    return a->status == b->status && a->until == b->until && a->reason_len == b->reason_len &&
           (moved || a->reason_off == b->reason_off);
}
#include "fuzz_head.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int methods[] = {VT__H1_M_GET, VT__H1_M_HEAD, VT__H1_M_CONNECT, VT__H1_M_POST};
    static char head[8192];
    if (size == 0) return 0;
    const char *bytes = (const char *)data + 1;
    method = methods[data[0] & 3];
    const result *o = parse_every_way(bytes, size - 1, data[0]);
    if (!o) return 0;
    check_facts(o, bytes);
    size_t n = o->r.reason_off + o->r.reason_len + 2;
    memcpy(head, bytes, n);
    check_again(o, bytes, head, n, sizeof head);
    return 0;
}
