/* Servers and clients of HTTP/3 for tests of the client. Behind cli.h. */
#ifndef VT_CLIH3_H
#define VT_CLIH3_H
#include "tls.h"

static struct pem ca, good;
static __attribute__((constructor)) void h3_certificates(void) {
    signal(SIGPIPE, SIG_IGN);
    ca = pem_make("Test CA", NULL, NULL, 30, 0);
    good = pem_make("good", "IP:127.0.0.1,IP:::1,DNS:localhost", &ca, 30, 0);
}
static void h3_speak(vt_client_cfg *c, int http3) {
    c->http3 = http3;
    c->tls_ca_pem = ca.cert_text;
}
/* TCP has no chance, however slow the machine is. */
static void h3_patient(vt_client *c) {
    vt__ch3_side *side = vt__ch3_side_of(c);
    if (side) side->head_ns = 30 * VT_SEC;
}
/* quic: with HTTP/3. */
static vt_server *h3_server_of(vt_server_cfg c, const struct pem *p, bool quic) {
    vt_tls_cert cert = {.cert_pem = p->text};
    vt_tls_cfg tls = {.certs = &cert, .ncerts = 1};
    c.addr = "127.0.0.1:0";
    c.http3 = quic;
    vt_server *s = vt_server_new(&c);
    CHECK_EQ(vt_server_listen_tls(s, "127.0.0.1:0", &tls), 0);
    return s;
}
static inline int h3_serve(void *s) { return vt_server_wait(s); }
#endif
