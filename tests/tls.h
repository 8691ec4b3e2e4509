/* TLS for tests: certificates made on the spot, and a client by OpenSSL on a non-blocking socket. */
#ifndef VT_TLS_H
#define VT_TLS_H
#include "tmp.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

/* A certificate with its key: as text, certificate first. */
struct pem {
    X509 *cert;
    EVP_PKEY *key;
    char *text, *cert_text, *key_text;
};
static inline char *pem_text(BIO *b) {
    char *p, *copy;
    long n = BIO_get_mem_data(b, &p);
    copy = calloc(1, (size_t)n + 1);
    if (copy) memcpy(copy, p, (size_t)n);
    BIO_free(b);
    return copy;
}
static inline void pem_extension(X509 *x, int nid, const char *value) {
    X509V3_CTX v;
    X509V3_set_ctx_nodb(&v);
    X509V3_set_ctx(&v, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &v, nid, value);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}
/* For `cn` (a CA when names is NULL) and `names` ("DNS:a,DNS:*.b"); signed by `ca`, or by itself. Ends in `days`. rsa: its
 * bits; 0: P-256; -1: Ed25519, whose signatures are all of one size. */
static inline struct pem pem_make(const char *cn, const char *names, const struct pem *ca, int days,
                                  int rsa) {
    static long serial = 1;
    struct pem p = {.cert = X509_new(),
                    .key = rsa > 0   ? EVP_RSA_gen((unsigned)rsa)
                           : rsa < 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                     : EVP_EC_gen("P-256")};
    X509_NAME *name = X509_get_subject_name(p.cert);
    X509_set_version(p.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(p.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(p.cert), -86400L * 30);
    X509_gmtime_adj(X509_getm_notAfter(p.cert), 86400L * days);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(p.cert, ca ? X509_get_subject_name(ca->cert) : name);
    X509_set_pubkey(p.cert, p.key);
    pem_extension(p.cert, NID_basic_constraints, names ? "CA:FALSE" : "critical,CA:TRUE");
    if (names && *names) pem_extension(p.cert, NID_subject_alt_name, names);
    X509_sign(p.cert, ca ? ca->key : p.key, rsa < 0 ? NULL : EVP_sha256());
    BIO *c = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(c, p.cert);
    PEM_write_bio_PrivateKey(k, p.key, NULL, NULL, 0, NULL, NULL);
    p.cert_text = pem_text(c);
    p.key_text = pem_text(k);
    p.text = calloc(1, strlen(p.cert_text) + strlen(p.key_text) + 1);
    strcat(strcpy(p.text, p.cert_text), p.key_text);
    return p;
}
static inline void pem_free(struct pem *p) {
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
    free(p->text);
    free(p->cert_text);
    free(p->key_text);
    memset(p, 0, sizeof *p);
}
/* The program's own certificate with its key, in a file that goes with the program. */
static inline const char *pem_file(const char *cn) {
    static const char *path;
    if (path) return path;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL's own sockets */
    struct pem p = pem_make(cn, "IP:127.0.0.1,DNS:localhost", NULL, 30, 0);
    path = tmp_text("own.pem", p.text);
    pem_free(&p);
    return path;
}

/* As recv and send on a non-blocking socket; EPROTO: TLS itself failed. An end without close_notify is ECONNRESET. */
static inline ssize_t tls_result(SSL *s, int r) {
    int e = SSL_get_error(s, r), saved = errno;
    unsigned long why = ERR_peek_error();
    ERR_clear_error();
    if (e == SSL_ERROR_ZERO_RETURN) return 0;
    errno = EPROTO;
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) errno = EAGAIN;
    else if (e == SSL_ERROR_SYSCALL) errno = saved ? saved : ECONNRESET;
    else if (ERR_GET_REASON(why) == SSL_R_UNEXPECTED_EOF_WHILE_READING) errno = ECONNRESET;
    return -1;
}
static inline ssize_t tls_in(void *s, void *p, size_t n) {
    ERR_clear_error();
    int r = SSL_read(s, p, (int)n);
    return r > 0 ? r : tls_result(s, r);
}
static inline ssize_t tls_out(void *s, const void *p, size_t n) {
    ERR_clear_error();
    int r = SSL_write(s, p, n > 16384 ? 16384 : (int)n);
    return r > 0 ? r : tls_result(s, r);
}
/* Waits as `s` wants it; false: for `ms` nothing happened. */
static inline bool tls_wait(SSL *s, int ms) {
    struct pollfd p = {.fd = SSL_get_fd(s), .events = SSL_want_write(s) ? POLLOUT : POLLIN};
    return poll(&p, 1, ms) > 0;
}
/* The next record as it goes over the wire: its type, and in *n the length of what is in it; -1: the end; -2: for `ms` there was
 * none. */
static inline int tls_record(int fd, size_t *n, int ms) {
    uint8_t head[5], body[20000];
    size_t got = 0;
    ssize_t r = 1;
    *n = 0;
    while (r > 0 && got < 5 + *n) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, ms) <= 0) return -2;
        r = got < 5 ? recv(fd, head + got, 5 - got, 0) : recv(fd, body, 5 + *n - got, 0);
        if (r > 0) got += (size_t)r;
        if (got == 5) *n = (size_t)head[3] << 8 | head[4];
        if (*n > sizeof body) return -2;
    }
    return r > 0 ? head[0] : -1;
}
static SSL_CTX *tls_client;
static inline void tls_client_make(void) {
    tls_client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(tls_client, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}
/* Any thread. */
static inline SSL_CTX *tls_client_ctx(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, tls_client_make);
    return tls_client;
}
/* 1, or what SSL_do_handshake ended with. */
static inline int tls_handshake(SSL *s, int ms) {
    int r;
    while (ERR_clear_error(), (r = SSL_do_handshake(s)) != 1) {
        int e = SSL_get_error(s, r);
        if ((e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) || !tls_wait(s, ms)) return r;
    }
    return 1;
}
static __thread const char *tls_alpn; /* what a client offers: "\2h2"; NULL: nothing */
/* A client that verifies nothing; NULL: no handshake. */
static inline SSL *tls_connect(int fd, int ms) {
    SSL *s = SSL_new(tls_client_ctx());
    if (tls_alpn) SSL_set_alpn_protos(s, (const unsigned char *)tls_alpn, (unsigned)strlen(tls_alpn));
    SSL_set_fd(s, fd);
    SSL_set_connect_state(s);
    if (tls_handshake(s, ms) == 1) return s;
    SSL_free(s);
    return NULL;
}
/* For SSL_CTX_set_session_ticket_cb: tickets that are longer than a small record, and are not taken. */
static __attribute__((unused)) int ticket_long(SSL *s, void *arg) {
    static char data[1000];
    (void)arg;
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(s), data, sizeof data);
}
static __attribute__((unused)) SSL_TICKET_RETURN ticket_used(SSL *s, SSL_SESSION *ss,
                                                             const unsigned char *name, size_t n,
                                                             SSL_TICKET_STATUS status, void *arg) {
    (void)s, (void)ss, (void)name, (void)n, (void)status, (void)arg;
    return SSL_TICKET_RETURN_IGNORE;
}
#endif
