/* What a scripted peer of HTTP/3 says. Behind the implementation. */
#ifndef VT_H3FRAMES_H
#define VT_H3FRAMES_H
#include "bytes.h"

static inline void put_int(struct bytes *b, uint64_t v) {
    uint8_t p[VT__H3_INT_MAX];
    bytes_add(b, p, (size_t)(vt__qpkt_put_int(p, v) - p));
}
static inline void put_frame(struct bytes *b, uint64_t type, const void *p, size_t n) {
    put_int(b, type), put_int(b, n), bytes_add(b, p, n);
}
/* A frame of integers; the list ends with UINT64_MAX. */
static inline void put_ints(struct bytes *b, uint64_t type, const uint64_t *v) {
    struct bytes in = {NULL, 0, 0};
    for (; *v != UINT64_MAX; v++) put_int(&in, *v);
    put_frame(b, type, in.p, in.n);
    bytes_free(&in);
}
#define INTS(...) ((const uint64_t[]){__VA_ARGS__, UINT64_MAX})
/* "name=value;..." as a section without a table. */
static inline void put_section(struct bytes *b, const char *list) {
    static uint8_t buf[1 << 18];
    vt__qpack_enc e;
    vt__qpack_head w;
    uint8_t *from;
    vt__qpack_enc_init(&e, 0);
    vt__qpack_enc_begin(&e, &w, 0, buf, sizeof buf, NULL, 0);
    while (*list) {
        const char *eq = strchr(list + 1, '='), *end = strchr(eq, ';');
        vt_str name = {list, (size_t)(eq - list)}, value = {eq + 1, (size_t)(end - eq - 1)};
        if (*list < 'A' || *list > 'Z') {
            if (!vt__qpack_put(&w, 0, name, value, 0)) abort();
        } else { /* as it is */
            uint8_t *to = vt__hpack_put_int(buf + w.at, 0x20, 3, name.len);
            memcpy(to, name.ptr, name.len);
            to = vt__hpack_put_int(to + name.len, 0, 7, value.len);
            memcpy(to, value.ptr, value.len);
            w.at = (size_t)(to + value.len - buf);
        }
        list = end + 1;
    }
    size_t n = vt__qpack_enc_end(&w, &from);
    bytes_add(b, from, n);
}
static inline void put_head(struct bytes *b, const char *list) {
    struct bytes in = {NULL, 0, 0};
    put_section(&in, list);
    put_frame(b, VT__H3_T_HEADERS, in.p, in.n);
    bytes_free(&in);
}
#endif
