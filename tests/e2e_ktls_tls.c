/* The kernel's TLS, and a kernel that has none, or changes its mind. What it does tests/ktls.h does here, as few kernels have it that
 * tests run on; its records are read by OpenSSL. */
/* variants: default asan clang */
#define VTHTTP_SIM 1
#define VTHTTP_TLS 1
#define E2E_TLS 1
#define E2E_KTLS 1
#include "files.h"

#include "ktls.h"

static bool begin(void) {
    memset(&fk, 0, sizeof fk);
    return start(NULL);
}
/* Versions and ciphers of the clients from now on. */
static void speak(int version, const char *suites, const char *ciphers) {
    SSL_CTX *x = tls_client_ctx();
    SSL_CTX_set_min_proto_version(x, version);
    SSL_CTX_set_max_proto_version(x, version);
    CHECK(SSL_CTX_set_ciphersuites(x, suites) && SSL_CTX_set_cipher_list(x, ciphers));
}
static const struct dialect {
    int version;
    const char *suites, *ciphers;
} dialects[] = {{TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", "ALL"},
                {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", "ALL"},
                {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", "ALL"},
                {TLS1_2_VERSION, "", "ECDHE-ECDSA-AES128-GCM-SHA256"},
                {TLS1_2_VERSION, "", "ECDHE-ECDSA-AES256-GCM-SHA384"},
                {TLS1_2_VERSION, "", "ECDHE-ECDSA-CHACHA20-POLY1305"}};

static void converse(void) {
    CL(c);
    CHECK_EQ(cl_get(&c, "/bad"), 200);
    CHECK_STR(c.body, "fine");
    CHECK_EQ(cl_get(&c, "/file/large"), 200);
    CHECK(has(&c, 0, LARGE));
    CHECK_EQ(cl_get(&c, "/part?n=300000&step=40000"), 200);
    CHECK(has(&c, 0, 300000));
    cl_puts(&c, "GET /bad HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK_EQ(cl_response(&c), 200);
    CHECK(cl_closed(&c, E2E_MS) && !c.reset); /* with close_notify */
}
TEST(the_kernel_encrypts) {
    for (size_t i = 0; i < VT__COUNT(dialects); i++) {
        REQUIRE(begin());
        speak(dialects[i].version, dialects[i].suites, dialects[i].ciphers);
        converse();
        CHECK_EQ(e2e_stop(), 0);
        CHECK(fk.asked == 1 && fk.taken == 1);
        CHECK(fk.files > LARGE / 9000);
        CHECK(fk.records[22] > 0 &&
              fk.records[21] == 1); /* tickets, or the end of the handshake; close_notify */
        CHECK_EQ(fk.records[20], 0);
    }
    speak(0, "TLS_AES_256_GCM_SHA384", "ALL");
}
static void falls_back(int asked) {
    REQUIRE(start(NULL));
    converse();
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(fk.asked, asked);
    CHECK(fk.taken == 0 && fk.files == 0 && fk.records[23] == 0);
}
TEST(without_it_openssl_encrypts) {
    memset(&fk, 0, sizeof fk);
    fk.lacks = -ENOENT;
    falls_back(0); /* no connection asks */
    fk.lacks = 0, fk.no_ulp = -EPERM;
    falls_back(1);
    fk.no_ulp = fk.asked = 0, fk.no_tx = -EINVAL;
    falls_back(1);
}
/* What goes before is not out: the kernel cannot have what follows. */
TEST(a_flight_that_does_not_fit) {
    CL(c);
    REQUIRE(begin());
    fk.no_room = 1;
    SSL *s = SSL_new(tls_client_ctx());
    c.fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)e2e.port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(c.fd, (struct sockaddr *)&sa, sizeof sa) == 0 && fcntl(c.fd, F_SETFL, O_NONBLOCK) == 0);
    SSL_set_fd(s, c.fd);
    SSL_set_connect_state(s);
    CHECK_EQ(tls_handshake(s, 100), -1); /* nothing comes */
    fk.no_room = 0;
    c.tls = s;
    CHECK_EQ(fk_seen(&fk.asked), 0);
    CHECK_EQ(e2e_stop(), 0);
}
static int update(struct cl *c, int how) {
    CHECK_EQ(cl_get(c, "/bad"), 200);
    CHECK_EQ(SSL_key_update(c->tls, how), 1);
    cl_puts(c, "GET /bad HTTP/1.1\r\nHost: a\r\n\r\n");
    return cl_response(c);
}
TEST(a_key_that_shall_change) {
    CL(c);
    CL(d);
    CL(next);
    REQUIRE(begin());
    CHECK_EQ(update(&c, SSL_KEY_UPDATE_NOT_REQUESTED), 200); /* what is received is not the kernel's */
    CHECK(update(&d, SSL_KEY_UPDATE_REQUESTED) <= 0);
    CHECK(d.eof);
    CHECK_EQ(cl_get(&next, "/bad"), 200);
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(fk.taken, 3);
}
TEST(half_a_control_record) {
    CL(c);
    REQUIRE(begin());
    fk.short_control = 1;
    CHECK(cl_get(&c, "/bad") <= 0);
    CHECK_EQ(e2e_stop(), 0);
}
