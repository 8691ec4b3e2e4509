/* The server of a run on the scripted kernel, and what is posted to it. Behind simkernel.h. */
#ifndef VT_SIMSRV_H
#define VT_SIMSRV_H
static vt_server *srv;

static inline void srv_stop(void *arg, uint32_t gen) {
    (void)arg, (void)gen;
    if (srv) vt_server_stop(srv);
}
/* No more faults from now on. */
static inline void calm(void *arg, uint32_t gen) {
    (void)arg, (void)gen;
    memset(sim.f, 0, sizeof sim.f);
}

/* System calls from one moment to another: count_calls at both, with an argument at the second. */
static int64_t calls_then[2][SIM_IDS];
static inline void count_calls(void *arg, uint32_t gen) {
    (void)gen;
    memcpy(calls_then[arg != NULL], sim.calls, sizeof sim.calls);
}
static inline int64_t called(int id) { return calls_then[1][id] - calls_then[0][id]; }
static inline int64_t sends(void) { return called(SIM_send) + called(SIM_sendmsg); }
#endif
