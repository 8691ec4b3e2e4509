/* What the fuzzers share. Behind the implementation. */
#ifndef VT_FUZZ_H
#define VT_FUZZ_H
#include <stdio.h>
#include <stdlib.h>

#define MUST(cond) ((cond) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond), abort()))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline uint32_t fuzz_next(uint32_t *seed) { return (*seed = *seed * 1664525 + 1013904223) >> 12; }

/* A copy of the exact size, so that a read behind the end is seen. owns: the caller, by free. */
static inline void *fuzz_copy(const void *bytes, size_t n) {
    void *copy = calloc(1, n + !n);
    MUST(copy);
    if (n) memcpy(copy, bytes, n);
    return copy;
}
#endif
