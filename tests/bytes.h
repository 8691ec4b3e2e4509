/* Bytes and text that grow. */
#ifndef VT_BYTES_H
#define VT_BYTES_H
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *p;
    size_t n, cap;
};
static void bytes_add(struct bytes *b, const void *p, size_t n) {
    if (b->n + n > b->cap) {
        b->cap = (b->n + n) * 2 + 64;
        b->p = realloc(b->p, b->cap);
        if (!b->p) abort();
    }
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}
__attribute__((format(printf, 2, 3))) static inline void bytes_say(struct bytes *b, const char *fmt, ...) {
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    bytes_add(b, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}
__attribute__((unused)) static bool bytes_same(const struct bytes *a, const struct bytes *b) {
    return a->n == b->n && (!a->n || memcmp(a->p, b->p, a->n) == 0);
}
static void bytes_free(struct bytes *b) {
    free(b->p);
    *b = (struct bytes){NULL, 0, 0};
}
#endif
