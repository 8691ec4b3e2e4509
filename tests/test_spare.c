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
