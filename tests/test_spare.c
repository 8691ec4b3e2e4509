/* Domains that change hands: workers that stall, and the threads that stand in for them. */
/* tsan */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

#include <sys/syscall.h>

/* Blocks the OS thread for real, until the test lets it go. */
static int gate[2];
static int entered;
static void gate_make(void) {
    if (pipe(gate) < 0) abort();
    entered = 0;
}
static void gate_open(int n) {
    for (int i = 0; i < n; i++)
        if (write(gate[1], "", 1) != 1) abort();
}
static int blocks(void *arg) {
    char c;
    (void)arg;
    __atomic_add_fetch(&entered, 1, __ATOMIC_SEQ_CST);
    while (read(gate[0], &c, 1) < 0) continue;
    return 0;
}
/* Not by a vthread: it might have started on a thread that blocks. */
static void *opener(void *n) {
    while (__atomic_load_n(&entered, __ATOMIC_SEQ_CST) < (int)(intptr_t)n) usleep(1000);
    gate_open((int)(intptr_t)n);
    return NULL;
}
enum { MANY = 20 };
static int many_main(void *arg) {
    vt_task *t[MANY];
    pthread_t os;
    (void)arg;
    gate_make();
    pthread_create(&os, NULL, opener, (void *)(intptr_t)MANY);
    for (int i = 0; i < MANY; i++) t[i] = vt_async_any(blocks, NULL);
    for (int i = 0; i < MANY; i++) CHECK_EQ(vt_await(t[i], NULL), 0);
    pthread_join(os, NULL);
    return 0;
}
/* All block an OS thread each, at the same time, on one worker. */
TEST(b111_raw_blocking_on_one_worker) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 2};
    CHECK_EQ(vt_run(&cfg, many_main, NULL), 0);
}

/* Spares that have gone are made again, and what they block on at once is seen like any other stall. */
static int again_main(void *arg) {
    (void)many_main(arg);
    for (int i = 0; vt__spare_count() > 0 && i < 50000; i++) (void)vt_sleep_ms(1);
    CHECK_EQ(vt__spare_count(), 0);
    CHECK(vt__sched_nthrs() > 2);
    return many_main(arg);
}
TEST(b111_spares_that_have_gone_come_again) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 2};
    int64_t idle_ns = vt__spare_g.idle_ns;
    vt__spare_g.idle_ns = VT_MS;
    CHECK_EQ(vt_run(&cfg, again_main, NULL), 0);
    vt__spare_g.idle_ns = idle_ns;
}

/* The last virtual thread of all ends on a spare, when the worker has its domain back and sleeps. */
static void *one_by_one(void *arg) {
    (void)arg;
    while (__atomic_load_n(&entered, __ATOMIC_SEQ_CST) < 2) usleep(1000);
    gate_open(1); /* for who came first: the worker */
    usleep(50000);
    gate_open(1);
    return NULL;
}
static int leaves_main(void *os) {
    gate_make();
    pthread_create((pthread_t *)os, NULL, one_by_one, NULL);
    for (int i = 0; i < 2; i++) CHECK_EQ(vt_go_any(blocks, NULL), 0);
    return 0;
}
TEST(b111_the_last_ends_on_a_spare) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 2};
    pthread_t os;
    CHECK_EQ(vt_run(&cfg, leaves_main, &os), 0);
    pthread_join(os, NULL);
}
