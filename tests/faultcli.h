/* What fails for a client: memory, or the calls by which it connects, reads and writes. */
#ifndef VT_FAULTCLI_H
#define VT_FAULTCLI_H
#include "faultcalls.h"
static int fault_socket(int family, int type) {
    return fault_hits() ? -EMFILE : vt__plat_sys_socket(family, type);
}
static int fault_connect(int fd, const struct sockaddr *sa, socklen_t len) {
    return fault_hits() ? -ECONNREFUSED : vt__plat_sys_connect(fd, sa, len);
}
static void on_memory(void) { vt__plat.realloc = fault_realloc; }
static void on_calls(void) {
    fault_conn_calls();
    vt__plat.socket = fault_socket;
    vt__plat.connect = fault_connect;
}
#endif
