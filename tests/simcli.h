/* Clients in the simulated world. Behind simkernel.h. */
#ifndef VT_SIMCLI_H
#define VT_SIMCLI_H
static void drop_conns(void) { /* kept for their type, as sockets are */
    for (vt__cpool_conn *k = vt__cpool_g.free, *next; k; k = next) {
        next = k->next;
        vt__mem_free(k);
    }
    vt__cpool_g.free = NULL;
}
static void quiet(void *ctx, int level, const char *line) {
    (void)ctx, (void)level;
    if (sim.verbose) printf("           log: %s\n", line);
}
#endif
