/* What suites of the runtime share: a run, a child, its result. */
#ifndef VT_RT_H
#define VT_RT_H
/* Tools that make a program many times slower. */
#define SLOW (VT__TSAN || VT__ASAN || VTHTTP_VALGRIND)

static inline int run_on(int workers, vt_fn *fn, void *arg) {
    vt_cfg cfg = {.workers = workers};
    return vt_run(&cfg, fn, arg);
}
static inline int result(vt_task *t) {
    int r = -12345;
    CHECK_EQ(vt_await(t, &r), 0);
    return r;
}
static inline vt_task *spawn(vt_fn *fn, int i, bool any) {
    void *arg = (void *)(intptr_t)i;
    return any ? vt_async_any(fn, arg) : vt_async(fn, arg);
}
#endif
