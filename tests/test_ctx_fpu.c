/* The context switch with floating-point control words of every context's own. */
#define VTHTTP_FPU_CONTROL 1
#include "test_ctx.c"
#include "rt.h"

#if VT__X86_64
static int looks(void *arg) {
    (void)arg;
    return (int)rounding_get();
}
static int rounds(void *arg) {
    (void)arg;
    rounding_set(2); /* up */
    CHECK_EQ(result(vt_async(looks, NULL)), 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(vt_go(looks, NULL), 0);
    CHECK_EQ(vt_yield(), 0);
    CHECK_EQ(rounding_get(), 2);
    return 0;
}
TEST(nobody_begins_with_another_virtual_threads_words) {
    CHECK_EQ(run_on(1, rounds, NULL), 0);
    CHECK_EQ(rounding_get(), 0);
}
#endif
