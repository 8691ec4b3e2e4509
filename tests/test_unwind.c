/* variants: default asan poll clang aarch64 i386 */
/* Return addresses of stacks: against what the frames themselves say, and on stacks that are rubbish. */
/* Return addresses are signed on the stack, as many systems have it. */
#if defined(__aarch64__) && !defined(__clang__)
#pragma GCC target("branch-protection=pac-ret")
#endif
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

#if VT__CTX_ASM && defined(__linux__) && !VT__RISCV64 /* whose compilers write no tables for C */
static struct {
    uintptr_t rets[8]; /* the innermost last */
    int n;
    vt__vth *v;
} w;
static volatile int sink;
#define NOTE() (w.rets[w.n++] = (uintptr_t)__builtin_extract_return_addr(__builtin_return_address(0)))
static __attribute__((noinline)) int top(int n) {
    NOTE();
    w.v = vt__sched_self();
    sink = vt_sleep_ms(1000000);
    return sink + n;
}
/* A frame whose size only the frame pointer knows. */
static __attribute__((noinline)) int of_any_size(int n) {
    NOTE();
    volatile char *room = __builtin_alloca((size_t)n * 16);
    room[0] = 1;
    sink = top(n);
    return sink + room[0];
}
static int compare(const void *a, const void *b) {
    NOTE();
    sink = of_any_size(*(const int *)a);
    return sink + *(const int *)b;
}
static __attribute__((noinline)) int bottom(int n) {
    int two[2] = {n, n + 1};
    NOTE();
    qsort(two, 2, sizeof two[0], compare); /* through libc, whose frames are its own */
    return two[0];
}
static int stack_main(void *arg) {
    (void)arg;
    NOTE();
    sink = bottom(3);
    return sink;
}
/* Whether what the frames noted is there, in their order. */
static void is_whole(const uintptr_t *at, int n) {
    int want = w.n - 1;
    for (int i = 0; i < n && want >= 0; i++) want -= at[i] == w.rets[want];
    if (want >= 0) {
        printf("no 0x%llx in:", (unsigned long long)w.rets[want]);
        for (int i = 0; i < n; i++) printf(" 0x%llx", (unsigned long long)at[i]);
        printf("\n");
    }
    CHECK_EQ(want, -1);
    CHECK_EQ(w.n, 5);
}
static int parked_main(void *arg) {
    uintptr_t at[VT__UNWIND_FRAMES];
    (void)arg;
    memset(&w, 0, sizeof w);
    vt_task *t = vt_async(stack_main, NULL);
    vt_yield();
    int n = vt__dump_trace(w.v, at);
    is_whole(at, n);
    CHECK(n > w.n && n < VT__UNWIND_FRAMES && at[n - 1] == w.rets[0]); /* it ends with the first frame */
    vt__unwind_stack s = vt__dump_bounds(w.v, (uintptr_t)w.v->ctx.sp);
    vt__unwind_regs r = {(uintptr_t)w.v->ctx.pc, (uintptr_t)w.v->ctx.sp, (uintptr_t)w.v->ctx.fp, 0};
    /* of a copy: the same */
    uintptr_t copied[VT__UNWIND_FRAMES];
    char *copy = malloc(s.high - s.low);
    for (uintptr_t i = 0; i < s.high - s.low; i += sizeof i) {
        uintptr_t word = vt__unwind_load(&s, s.low + i);
        memcpy(copy + i, &word, sizeof word);
    }
    vt__unwind_stack c = {s.low, s.high, copy};
    CHECK_EQ(vt__unwind(&c, r, true, copied), n);
    CHECK(memcmp(at, copied, (size_t)n * sizeof *at) == 0);
    /* cut off: shorter, and no byte behind it is read (the copy's end is the allocation's) */
    for (uintptr_t len = sizeof r.sp; len < s.high - s.low; len += 64) {
        char *part = malloc(len);
        memcpy(part, copy, len);
        vt__unwind_stack p = {s.low, s.low + len, part};
        int k = vt__unwind(&p, r, true, copied);
        CHECK(k >= 1 && k <= n);
        free(part);
    }
    /* rubbish: whatever comes out, it ends */
    uint64_t seed = test_seed();
    for (int i = 0; i < 3000; i++) {
        for (int k = 0; k < 20; k++) copy[test_rand(&seed) % (s.high - s.low)] = (char)test_rand(&seed);
        vt__unwind_regs bad = r;
        if (i % 3 == 0) bad.fp = test_rand(&seed) % 2 ? 0 : s.low + test_rand(&seed) % (s.high - s.low);
        if (i % 5 == 0) bad.sp = s.low + test_rand(&seed) % (s.high - s.low);
        if (i % 7 == 0) bad.pc = at[test_rand(&seed) % (unsigned)n] + test_rand(&seed) % 64;
        int k = vt__unwind(&c, bad, i % 2, copied);
        CHECK(k >= 1 && k <= VT__UNWIND_FRAMES);
    }
    free(copy);
    vt_cancel(t);
    return vt_await(t, NULL);
}
#if VT__X86_64
TEST(a_stub_that_looks_a_function_up_has_its_frame) {
    uint8_t stub[] = {11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22}; /* a linker's */
    vt__unwind_cfi c = {.pc = 0x100a};
    vt__unwind_plt(&c, stub);
    CHECK(c.row.reg == VT__UNWIND_SP && c.row.off == 8);
    c.pc = 0x100b; /* its push is done */
    vt__unwind_plt(&c, stub);
    CHECK(c.row.reg == VT__UNWIND_SP && c.row.off == 16);
    stub[9] = 0x34;
    vt__unwind_plt(&c, stub);
    CHECK(c.row.reg == UINT64_MAX);
}
#endif
TEST(a_parked_stack_is_unwound_to_its_end) {
    vt_cfg cfg = {.workers = 1, .stall_ms = VT_NONE};
    CHECK_EQ(vt_run(&cfg, parked_main, NULL), 0);
}
#else
TEST(a_parked_stack_is_unwound_to_its_end) { SKIP("no words of a context to begin with"); }
#endif
