/* The test harness: TEST(name) { ... } registers itself, main() is here. The first argument filters by substring;
 * VT_SEED fixes test_seed(); without it all run by each of the program's TEST_SEEDS, those that found something, then by
 * a new one. VT_TEST_TIMEOUT is the watchdog in seconds for one test (0 = off). */
#ifndef VT_TEST_H
#define VT_TEST_H
#include "rand.h"
#include <signal.h>
#include <stdbool.h>
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
static struct test_case *test_first;
static __attribute__((unused)) struct test_case **test_last = &test_first; /* a fuzzer has none */
static const char *volatile test_name = "";
static int test_failures, test_skips,
    test_sums[3];            /* failures may come from any thread; passed, failed, skipped */
static bool test_drew;       /* the running test asked for the seed */
static char test_again[200]; /* how it is repeated */
#ifndef TEST_SEEDS
#define TEST_SEEDS 0
#endif
static const uint64_t test_seeds[] = {TEST_SEEDS, 0};
static uint64_t test_seed_now;
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
static inline uint64_t test_seed(void) { /* by any thread */
    __atomic_store_n(&test_drew, true, __ATOMIC_RELAXED);
    return test_seed_now;
}
static void test_watchdog(int sig) { /* only what a signal handler may do */
    if (write(1, "FAIL ", 5) < 0 || write(1, test_name, strlen(test_name)) < 0 ||
        write(1, " hangs: VT_TEST_TIMEOUT is over\n", 32) < 0 || write(1, test_again, strlen(test_again)) < 0)
        _exit(3);
    (void)sig, abort();
}
static void test_run(const struct test_case *tc, const char *prog) {
    const char *limit = getenv("VT_TEST_TIMEOUT");
    test_name = tc->name, test_failures = test_skips = 0, test_drew = false;
    snprintf(test_again, sizeof test_again, "FAIL %.40s again: VT_SEED=0x%llx %.60s %.40s\n", tc->name,
             (unsigned long long)test_seed_now, prog, tc->name);
    signal(SIGALRM, test_watchdog), alarm(limit ? (unsigned)strtoul(limit, NULL, 10) : 60);
    tc->fn(), alarm(0);
    if (test_failures && test_drew) fputs(test_again, stdout);
    test_sums[test_failures > 0 ? 1 : test_skips ? 2 : 0]++;
}
int main(int argc, char **argv) {
    const char *seed = getenv("VT_SEED");
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (const uint64_t *at = test_seeds; at; at = *at && !seed ? at + 1 : NULL) {
        uint64_t fixed = seed ? strtoull(seed, NULL, 0) : *at;
        test_seed_now = fixed ? fixed : (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();
        printf("seed 0x%llx (VT_SEED)\n", (unsigned long long)test_seed_now);
        for (struct test_case *tc = test_first; tc; tc = tc->next)
            if (argc < 2 || strstr(tc->name, argv[1])) test_run(tc, argv[0]);
    }
    printf("%d passed, %d failed, %d skipped\n", test_sums[0], test_sums[1], test_sums[2]);
    return test_sums[1] > 0 || test_sums[0] + test_sums[1] + test_sums[2] == 0;
}
#endif
