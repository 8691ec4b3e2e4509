/* valgrind */
/* The context switch alone: values both ways, registers, deep frames, floating point, unwinding, stacks used again. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

#include <unwind.h>

enum { STACK = VT__ASAN || VT__TSAN ? 1 << 20 : 1 << 18, GAP = 1 << 16, MAX = 64 };
/* With ucontext a context's function gets no argument, so it looks here. */
static struct co {
    vt__ctx ctx;
    char *stack;
    void (*body)(struct co *me);
    int sum;
} co[MAX], *running;
static vt__ctx host;

static void co_start(vt__ctx *c) {
#if VT__CTX_ASM
    CHECK(c == &running->ctx);
#endif
    (void)c;
    vt__ctx_arrive(&running->ctx);
    running->body(running);
    vt__ctx_leave(&running->ctx, &host, -1);
}
static void co_make(int i, void (*body)(struct co *me)) {
    if (!co[i].stack) {
        co[i].stack = (char *)vt__plat_mmap(GAP + STACK) + GAP; /* valgrind wants them apart */
#if VTHTTP_VALGRIND
        VALGRIND_STACK_REGISTER(co[i].stack, co[i].stack + STACK);
#endif
    }
#if VT__ASAN
    __asan_unpoison_memory_region(co[i].stack, STACK); /* what was left in the middle of it */
#endif
    co[i].body = body;
    co[i].sum = 0;
    memset(&co[i].ctx, 0, sizeof co[i].ctx);
    vt__ctx_make(&co[i].ctx, co[i].stack, co[i].stack + STACK, co_start);
}
static VT__NOINLINE int co_enter(int i, int value) {
    running = &co[i];
    return vt__ctx_switch(&host, &co[i].ctx, value);
}
static VT__NOINLINE int co_back(struct co *me, int value) { return vt__ctx_switch(&me->ctx, &host, value); }
#define HOST() vt__ctx_init_thread(&host)

/*--- values ---*/
static void echo(struct co *me) {
    int v = 0;
    for (int i = 0; i < 1000; i++) v = co_back(me, v + i);
}
TEST(values_go_both_ways) {
    HOST();
    co_make(0, echo);
    CHECK_EQ(co_enter(0, 77), 0); /* the first arrival gets none */
    for (int i = 1; i < 1000; i++) {
        int v = (i % 3 - 1) * i * 100000;
        CHECK_EQ(co_enter(0, v), v + i);
    }
    CHECK_EQ(co_enter(0, INT_MIN), -1); /* it leaves */
}

/*--- what must survive ---*/
#define LIVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
/* More integers and doubles than there are registers, in use before and after; `go` is the switch. */
static VT__NOINLINE uint64_t live_locals(uint64_t seed, void (*go)(void *), void *arg) {
#define LIVE_SET(n)                                                                                          \
    uint64_t i##n = (seed + n) * UINT64_C(0x9e3779b97f4a7c15);                                               \
    double d##n = (double)(i##n >> 12);
    LIVE(LIVE_SET)
    long double l = (long double)seed * 3;
    uint64_t h = seed;
    for (int round = 0; round < 4; round++) {
        go(arg);
#define LIVE_USE(n)                                                                                          \
    h = (h ^ i##n) * 31 + (uint64_t)(d##n / 4);                                                              \
    i##n += h;                                                                                               \
    d##n = (double)(i##n >> 12);
        LIVE(LIVE_USE)
        l = l * 2;
    }
    return h + (uint64_t)(l / (long double)seed);
}
static void go_nowhere(void *arg) { (void)arg; }
static void go_back(void *arg) { (void)co_back(arg, 0); }
static void go_in(void *arg) { (void)co_enter(*(int *)arg, 0); }
static void live_body(struct co *me) {
    uint64_t seed = (uint64_t)(me - co) * 1000 + 7;
    for (;;) {
        me->sum += live_locals(seed, go_nowhere, NULL) == live_locals(seed, go_back, me) ? 1 : -1000;
        seed += 13;
    }
}
TEST(locals_in_registers_and_memory_survive) {
    HOST();
    for (int i = 0; i < 3; i++) co_make(i, live_body);
    for (uint64_t turn = 1; turn < 3000; turn++) {
        int i = (int)(turn % 3);
        uint64_t here = live_locals(turn, go_in, &i);
        CHECK_EQ(here, live_locals(turn, go_nowhere, NULL));
    }
    for (int i = 0; i < 3; i++) CHECK(co[i].sum > 500);
}

#if VT__CTX_ASM && VT__X86_64 && !VT__ASAN && !VT__TSAN
/* Each register that a call preserves, by name: set, switched away, and looked at. */
static void registers(vt__ctx *from, vt__ctx *to, const uint64_t in[6], uint64_t out[6]) {
    uint64_t args[4] = {(uintptr_t)from, (uintptr_t)to, (uintptr_t)in, (uintptr_t)out};
    __asm__ volatile("subq $136, %%rsp\n" /* past the red zone */
                     "pushq %%rbp\n pushq %%rbx\n pushq %0\n"
                     "movq 0(%0), %%rdi\n movq 8(%0), %%rsi\n movq 16(%0), %%rax\n"
                     "movq 0(%%rax), %%rbx\n movq 8(%%rax), %%rbp\n movq 16(%%rax), %%r12\n"
                     "movq 24(%%rax), %%r13\n movq 32(%%rax), %%r14\n movq 40(%%rax), %%r15\n"
                     "movq %%rsp, %%rcx\n andq $-16, %%rsp\n subq $16, %%rsp\n movq %%rcx, (%%rsp)\n"
                     "xorl %%edx, %%edx\n call vt__ctx_swap\n"
                     "movq (%%rsp), %%rsp\n movq (%%rsp), %%rcx\n movq 24(%%rcx), %%rax\n"
                     "movq %%rbx, 0(%%rax)\n movq %%rbp, 8(%%rax)\n movq %%r12, 16(%%rax)\n"
                     "movq %%r13, 24(%%rax)\n movq %%r14, 32(%%rax)\n movq %%r15, 40(%%rax)\n"
                     "popq %%rcx\n popq %%rbx\n popq %%rbp\n addq $136, %%rsp\n"
                     :
                     : "a"(args)
                     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc",
                       "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}
static void registers_body(struct co *me) {
    for (uint64_t turn = 1;; turn++) {
        uint64_t in[6], out[6] = {0};
        for (uint64_t i = 0; i < 6; i++) in[i] = (turn + i) * UINT64_C(0xdeadbeefcafef00d);
        registers(&me->ctx, &host, in, out);
        if (memcmp(in, out, sizeof in) == 0) me->sum++;
    }
}
TEST(each_preserved_register_is_preserved) {
    HOST();
    co_make(0, registers_body);
    for (uint64_t turn = 0; turn < 1000; turn++) {
        uint64_t in[6], out[6] = {0};
        for (uint64_t i = 0; i < 6; i++) in[i] = (turn - i) * UINT64_C(0x0123456789abcdef);
        running = &co[0];
        registers(&host, &co[0].ctx, in, out);
        CHECK_MEM(in, sizeof in, out, sizeof out);
    }
    CHECK_EQ(co[0].sum, 999);
}
#endif

/*--- frames ---*/
static VT__NOINLINE int descend(struct co *me, int depth) {
    unsigned char frame[200];
    memset(frame, depth, sizeof frame);
    int below = depth ? descend(me, depth - 1) : 0;
    (void)co_back(me, depth); /* on the way up, at every level */
    for (size_t i = 0; i < sizeof frame; i++) below += frame[i] != (unsigned char)depth;
    return below;
}
static void descend_body(struct co *me) { me->sum = descend(me, 250); }
TEST(deep_frames_are_returned_through) {
    HOST();
    co_make(0, descend_body);
    co_make(1, descend_body);
    for (int depth = 0; depth <= 250; depth++) {
        CHECK_EQ(co_enter(0, 0), depth);
        CHECK_EQ(co_enter(1, 0), depth);
    }
    CHECK_EQ(co_enter(0, 0), -1);
    CHECK_EQ(co_enter(1, 0), -1);
    CHECK_EQ(co[0].sum, 0);
    CHECK_EQ(co[1].sum, 0);
}

static void aligned_body(struct co *me) {
    char text[64];
    __attribute__((aligned(16))) char block[48];
    char *volatile p = block; /* the compiler trusts the ABI for this one */
    CHECK(((uintptr_t)p & 15) == 0);
    for (int i = 0;; i++) { /* libc stores vectors on its stack */
        snprintf(text, sizeof text, "%.3f %Lg %d", i + 0.125, (long double)i, i);
        me->sum += strncmp(text + strlen(text) - 1, "0", 1) == 0;
        (void)co_back(me, i);
    }
}
TEST(stacks_are_aligned) {
    HOST();
    for (int i = 0; i < 16; i++) {
        co_make(i, aligned_body);
        vt__ctx_make(&co[i].ctx, co[i].stack, co[i].stack + STACK - i * 8, co_start); /* an odd top */
        CHECK_EQ(co_enter(i, 0), 0);
        CHECK_EQ(co_enter(i, 0), 1);
        CHECK_EQ(co[i].sum, 1);
    }
}

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *arg) {
    (void)context;
    return ++*(int *)arg > 500 ? _URC_END_OF_STACK : _URC_NO_REASON;
}
static VT__NOINLINE void unwind_at(struct co *me, int depth) {
    int frames = 0;
    if (depth > 0) unwind_at(me, depth - 1);
    else _Unwind_Backtrace(count_frame, &frames), me->sum = frames;
    __asm__ volatile("" : : "r"(&frames) : "memory"); /* no tail call */
}
static void unwind_body(struct co *me) { unwind_at(me, 20); }
TEST(unwinding_ends_at_the_bottom_frame) {
    HOST();
    unwind_at(&co[0], 20);
    if (co[0].sum < 21) SKIP("built without unwind tables");
    co_make(0, unwind_body);
    CHECK_EQ(co_enter(0, 0), -1);
    CHECK(co[0].sum >= 21);
    CHECK(co[0].sum < 40);
}

/*--- many, and again ---*/
static void ring_body(struct co *me) {
    for (int turn = 0; turn < 500; turn++) {
        size_t i = (size_t)(me - co), next = (i + 1) % MAX;
        me->sum++;
        running = &co[next];
        (void)vt__ctx_switch(&me->ctx, &co[next].ctx, 0);
        running = me;
    }
    running = me;
}
TEST(a_ring_without_the_host) {
    HOST();
    for (int i = 0; i < MAX; i++) co_make(i, ring_body);
    CHECK_EQ(co_enter(0, 0), -1);
    CHECK_EQ(co[0].sum, 500);
    for (int i = 1; i < MAX; i++) CHECK_EQ(co[i].sum, 500);
}

static void once_body(struct co *me) { me->sum = co_back(me, 5) + 1; }
TEST(a_stack_is_used_again_after_its_context_left) {
    HOST();
    for (int i = 0; i < (VT__TSAN ? 200 : 20000); i++) {
        co_make(0, once_body);
        CHECK_EQ(co_enter(0, i), 5);
        CHECK_EQ(co_enter(0, i), -1);
        CHECK_EQ(co[0].sum, i + 1);
    }
}

/*--- each OS thread is a host of its own ---*/
static __thread vt__ctx thread_host;
static __thread struct co *thread_co;
static void thread_start(vt__ctx *c) {
    (void)c;
    struct co *me = thread_co;
    vt__ctx_arrive(&me->ctx);
    for (int i = 0; i < 2000; i++) {
        me->sum++;
        (void)vt__ctx_switch(&me->ctx, &thread_host, i);
    }
    vt__ctx_leave(&me->ctx, &thread_host, -1);
}
static void *thread_run(void *arg) {
    thread_co = arg;
    vt__ctx_init_thread(&thread_host);
    memset(&thread_co->ctx, 0, sizeof thread_co->ctx);
    vt__ctx_make(&thread_co->ctx, thread_co->stack, thread_co->stack + STACK, thread_start);
    for (int i = 0, r; (r = vt__ctx_switch(&thread_host, &thread_co->ctx, 0)) >= 0; i++) CHECK_EQ(r, i);
    return NULL;
}
TEST(every_os_thread_switches_for_itself) {
    pthread_t t[4];
    HOST();
    for (int i = 0; i < 4; i++) co_make(i, once_body); /* for its stack */
    for (int i = 0; i < 4; i++) CHECK_EQ(co_enter(i, 0), 5), CHECK_EQ(co_enter(i, 0), -1);
    for (int i = 0; i < 4; i++) co[i].sum = 0;
    for (int i = 0; i < 4; i++) REQUIRE(pthread_create(&t[i], NULL, thread_run, &co[i]) == 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < 4; i++) CHECK_EQ(co[i].sum, 2000);
}

/*--- floating-point control ---*/
#if VT__X86_64
static unsigned rounding_get(void) {
    unsigned v;
    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v >> 13 & 3;
}
static void rounding_set(unsigned mode) {
    unsigned v, x87;
    uint16_t cw;
    __asm__ volatile("stmxcsr %0\n fnstcw %1" : "=m"(v), "=m"(cw));
    v = (v & ~(3u << 13)) | mode << 13;
    x87 = (cw & ~(3u << 10)) | mode << 10;
    cw = (uint16_t)x87;
    __asm__ volatile("ldmxcsr %0\n fldcw %1" : : "m"(v), "m"(cw));
}
static void rounding_body(struct co *me) {
    rounding_set(2); /* up */
    for (;;) {
        me->sum += (int)rounding_get();
        (void)co_back(me, 0);
    }
}
TEST(rounding_is_as_the_switch_VTHTTP_FPU_CONTROL_says) {
    HOST();
    co_make(0, rounding_body);
    for (int i = 0; i < 10; i++) {
        (void)co_enter(0, 0);
        CHECK_EQ(rounding_get(), VTHTTP_FPU_CONTROL || !VT__CTX_ASM ? 0 : 2); /* glibc's ucontext keeps it */
    }
    CHECK_EQ(co[0].sum, 20);
    rounding_set(0);
}
#endif

TEST(this_machine_can_switch) { CHECK_EQ(vt__ctx_check(), 0); }
