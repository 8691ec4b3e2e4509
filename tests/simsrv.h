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
#endif
