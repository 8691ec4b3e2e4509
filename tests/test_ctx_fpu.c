/* The context switch with floating-point control words of every context's own. */
#define VTHTTP_FPU_CONTROL 1
#include "test_ctx.c"
