/* Servers and clients of HTTP/3 for tests of the client. Behind cli.h. */
#ifndef VT_CLIH3_H
#define VT_CLIH3_H
#include "tls.h"

#include <sys/prctl.h>
#include <sys/wait.h>

static struct pem ca, leaf;
static __attribute__((constructor)) void h3_certificates(void) {
    signal(SIGPIPE, SIG_IGN);
    ca = pem_make("Test CA", NULL, NULL, 30, 0);
    leaf = pem_make("good", "IP:127.0.0.1,IP:::1,DNS:localhost", &ca, 30, 0);
}
static inline void h3_speak(vt_client_cfg *c, int http3) {
    c->http3 = http3;
    c->tls_ca_pem = ca.cert_text;
}
/* TCP has no chance, however slow the machine is. */
static inline void h3_patient(vt_client *c) {
    vt__ch3_side *side = vt__ch3_side_of(c);
    if (side) side->head_ns = 30 * VT_SEC;
}
/* quic: with HTTP/3; at: where it speaks TLS. */
static inline vt_server *h3_server_at(vt_server_cfg c, const struct pem *p, bool quic, const char *at) {
    vt_tls_cert cert = {.cert_pem = p->text};
    vt_tls_cfg tls = {.certs = &cert, .ncerts = 1};
    c.addr = "127.0.0.1:0";
    c.http3 = quic;
    vt_server *s = vt_server_new(&c);
    CHECK_EQ(vt_server_listen_tls(s, at, &tls), 0);
    return s;
}
static inline vt_server *h3_server_of(vt_server_cfg c, const struct pem *p, bool quic) {
    return h3_server_at(c, p, quic, "127.0.0.1:0");
}
static inline int h3_serve(void *s) { return vt_server_wait(s); }

/* A server in a process of its own. */
static struct {
    pid_t pid;
    int port, tell;
    void (*routes)(vt_server *s);
    vt_server *server; /* there */
} far;
static inline int far_main(void *arg) {
    (void)arg;
    far.server = h3_server_of((vt_server_cfg){.no_signals = 1, .early_data = 1}, &leaf, true);
    far.routes(far.server);
    if (vt_server_start(far.server) < 0) return 1;
    int port = vt_server_port(far.server, 1);
    if (write(far.tell, &port, sizeof port) != sizeof port) return 1;
    return vt_server_wait(far.server);
}
static inline bool far_up(void (*routes)(vt_server *s)) {
    vt_cfg cfg = {.workers = 1, .deadlock = VT_NONE, .stack_bytes = 512 << 10};
    int ends[2];
    if (pipe(ends) < 0 || (far.pid = fork()) < 0) return false;
    if (far.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        far.tell = ends[1];
        far.routes = routes;
        _exit(vt_run(&cfg, far_main, NULL));
    }
    close(ends[1]);
    bool up = read(ends[0], &far.port, sizeof far.port) == sizeof far.port;
    close(ends[0]);
    return up;
}
static inline void far_down(void) {
    kill(far.pid, SIGKILL);
    waitpid(far.pid, NULL, 0);
}
#endif
