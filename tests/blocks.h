/* An allocator that fails from the n-th call on and counts what lives. Needs VTHTTP_SIM=1. */
#ifndef VT_BLOCKS_H
#define VT_BLOCKS_H
static int64_t blocks, fail_after = -1, failed;

static void *test_realloc(void *p, size_t n) {
    if (__atomic_load_n(&fail_after, __ATOMIC_RELAXED) >= 0 &&
        __atomic_fetch_sub(&fail_after, 1, __ATOMIC_RELAXED) <= 0) {
        __atomic_store_n(&fail_after, 0, __ATOMIC_RELAXED);
        __atomic_fetch_add(&failed, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    void *q = realloc(p, n);
    if (!p && q) __atomic_fetch_add(&blocks, 1, __ATOMIC_RELAXED);
    return q;
}
static void test_free(void *p) {
    if (p) __atomic_fetch_sub(&blocks, 1, __ATOMIC_RELAXED);
    free(p);
}
static void memory_begin(void) {
    vt__plat.realloc = test_realloc;
    vt__plat.free = test_free;
    blocks = 0;
    fail_after = -1;
}
static void memory_end(void) {
    CHECK_EQ(blocks, 0);
    vt__plat.realloc = vt__plat_sys_realloc;
    vt__plat.free = vt__plat_sys_free;
}
#endif
