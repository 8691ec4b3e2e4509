/* Allocations that fail, OpenSSL's included. Before vthttp.h; CRYPTO_set_mem_functions(ossl_malloc, ossl_realloc, ossl_free). */
#ifndef VT_OSSLMEM_H
#define VT_OSSLMEM_H
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
static long alloc_left; /* the n-th from here on fails; 0: none */
static long alloc_seen;
static inline int alloc_fails(void) {
    long n = __atomic_load_n(&alloc_left, __ATOMIC_RELAXED);
    __atomic_fetch_add(&alloc_seen, 1, __ATOMIC_RELAXED);
    return n > 0 && __atomic_sub_fetch(&alloc_left, 1, __ATOMIC_RELAXED) == 0;
}
static inline void *test_realloc(void *p, size_t n) { return alloc_fails() ? NULL : realloc(p, n); }
#define VTHTTP_REALLOC(p, n) test_realloc(p, n)
/* How often memory was given back with `alloc_secret` in it, if that is not NULL. */
static const char *alloc_secret;
static int alloc_leaks;
static const void *alloc_watched; /* ... and whether this was */
static int alloc_gone;
static inline void test_free(void *p) {
    if (p && p == alloc_watched) __atomic_store_n(&alloc_gone, 1, __ATOMIC_SEQ_CST);
    size_t n = p ? malloc_usable_size(p) : 0, k = alloc_secret ? strlen(alloc_secret) : 0;
    for (size_t i = 0; k && i + k <= n; i++) alloc_leaks += memcmp((char *)p + i, alloc_secret, k) == 0;
    free(p);
}
#define VTHTTP_FREE(p) test_free(p)

static inline void *ossl_malloc(size_t n, const char *file, int line) {
    (void)file, (void)line;
    return alloc_fails() ? NULL : malloc(n);
}
static inline void *ossl_realloc(void *p, size_t n, const char *file, int line) {
    (void)file, (void)line;
    return alloc_fails() ? NULL : realloc(p, n);
}
static inline void ossl_free(void *p, const char *file, int line) {
    (void)file, (void)line;
    free(p);
}
#endif
