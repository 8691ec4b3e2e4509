/* A running server whose N-th allocation (or all from the N-th on), or N-th system call, fails, N = 1, 2, ... until a run
 * has none left. Behind e2e.h, built with VTHTTP_SIM=1, and faultcalls.h. */
#ifndef VT_FAULTSWEEP_H
#define VT_FAULTSWEEP_H
static void *fault_mmap(size_t n) { return fault_hits() ? NULL : vt__plat_sys_mmap(n); }
static void on_memory(void) {
    vt__plat.realloc = fault_realloc;
    vt__plat.mmap = fault_mmap;
}
static __attribute__((unused)) void on_calls(void) {
    fault_conn_calls();
    fault_server_calls();
}

static vt_server_cfg sweep_cfg; /* of the server */
static int64_t sweep_stride = 1;
/* `work` uses every kind of memory that a connection asks for, and is true when all went well; a hang it reports itself. */
static void sweep(void (*table)(void), void (*with)(vt_server *s), bool (*work)(void), bool onward) {
    struct vt__plat_table before = vt__plat;
    int64_t n = 1, most = 400 * sweep_stride;
    table();
    for (bool last = false; !last && n < most; n += sweep_stride) {
        if (e2e_start(&sweep_cfg, with) != 0) break;
        fault_set(n, onward);
        bool good = work();
        last = fault.count < n;
        fault_set(0, false);
        CHECK(!last || good);
        CHECK(work()); /* what failed has left nothing behind */
        CHECK_EQ(e2e_stop(), 0);
    }
    vt__plat = before;
    CHECK(n > 8 && n < most);
}
#endif
