/* The test harness: TEST(name) { ... } registers itself, main() is here. The first argument filters by substring;
 * VT_SEED fixes test_seed(); VT_TEST_TIMEOUT is the watchdog in seconds for one test (0 = off). */
#ifndef VT_TEST_H
#define VT_TEST_H
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct test_case {
    const char *name;
    void (*fn)(void);
    struct test_case *next;
};
static struct test_case *test_first, **test_last = &test_first;
static const char *volatile test_name = "";
static int test_failures, test_skips; /* of the running test; failures may come from any thread */

#define TEST(id)                                                                                             \
    static void test_fn_##id(void);                                                                          \
    __attribute__((constructor)) static void test_reg_##id(void) {                                           \
        static struct test_case tc = {#id, test_fn_##id, NULL};                                              \
        *test_last = &tc, test_last = &tc.next;                                                              \
    }                                                                                                        \
    static void test_fn_##id(void)
#define CHECK(cond) ((cond) ? (void)0 : test_fail(__FILE__, __LINE__, #cond))
#define CHECK_EQ(a, b) test_eq((long long)(a), (long long)(b), __FILE__, __LINE__, #a " == " #b)
#define CHECK_STR(a, b) test_str((a), (b), __FILE__, __LINE__, #a " is " #b)
#define CHECK_MEM(a, na, b, nb) CHECK((size_t)(na) == (size_t)(nb) && memcmp((a), (b), (size_t)(nb)) == 0)
#define REQUIRE(cond)                                                                                        \
    do {                                                                                                     \
        if (!(cond)) return test_fail(__FILE__, __LINE__, #cond);                                            \
    } while (0)
#define SKIP(why) return test_skip(why)

static inline void test_skip(const char *why) { test_skips = 1, printf("SKIP %s: %s\n", test_name, why); }
static inline void test_fail(const char *file, int line, const char *what) {
    if (__atomic_add_fetch(&test_failures, 1, __ATOMIC_RELAXED) <= 20)
        printf("FAIL %s %s:%d %s\n", test_name, file, line, what);
}
static inline void test_eq(long long a, long long b, const char *file, int line, const char *what) {
    char buf[320];
    if (a == b) return;
    snprintf(buf, sizeof buf, "%.240s (%lld, %lld)", what, a, b);
    test_fail(file, line, buf);
}
static inline void test_str(const char *a, const char *b, const char *file, int line, const char *what) {
    char buf[800];
    if (a && b ? strcmp(a, b) == 0 : a == b) return;
    snprintf(buf, sizeof buf, "%.160s (\"%.300s\", \"%.300s\")", what, a ? a : "(null)", b ? b : "(null)");
    test_fail(file, line, buf);
}
static inline uint64_t test_rand(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static inline uint64_t test_seed(void) {
    static uint64_t seed;
    const char *env = getenv("VT_SEED");
    if (!seed && env) seed = (uint64_t)strtoull(env, NULL, 0);
    if (!seed) seed = (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();
    return seed;
}
static void test_watchdog(int sig) { /* only what a signal handler may do */
    (void)sig;
    if (write(1, "FAIL ", 5) < 0 || write(1, test_name, strlen(test_name)) < 0 ||
        write(1, " hangs: VT_TEST_TIMEOUT is over\n", 32) < 0)
        _exit(3);
    abort();
}
int main(int argc, char **argv) {
    const char *filter = argc > 1 ? argv[1] : "", *env = getenv("VT_TEST_TIMEOUT");
    unsigned limit = env ? (unsigned)strtoul(env, NULL, 10) : 60;
    int passed = 0, failed = 0, skipped = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed 0x%llx (VT_SEED)\n", (unsigned long long)test_seed());
    for (struct test_case *tc = test_first; tc; tc = tc->next) {
        if (!strstr(tc->name, filter)) continue;
        test_name = tc->name, test_failures = test_skips = 0;
        signal(SIGALRM, test_watchdog), alarm(limit);
        tc->fn();
        alarm(0);
        failed += test_failures > 0, skipped += !test_failures && test_skips;
        passed += !test_failures && !test_skips;
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed > 0 || passed + failed + skipped == 0;
}
#endif
