/* TLS over real sockets, what is TLS's own: names, versions, tickets, client certificates, reloads, ends, bad clients. */
/* variants: default asan tsan poll clang */
#define VTHTTP_TLS 1
#define E2E_TLS 1
#include "e2e.h"

#include <sys/stat.h>

#define SLOW (VT__ASAN || VT__TSAN)
static struct pem ca, other_ca, site, wild, plain_site, good, foreign, expired;
static vt_tls_cfg lcfg;   /* what the next server's TLS listener has */
static vt_tls_cert tk[5]; /* its certificates */

static __attribute__((constructor)) void make_certificates(void) {
    ca = pem_make("Test CA", NULL, NULL, 30, 0);
    other_ca = pem_make("Other CA", NULL, NULL, 30, 0);
    site = pem_make("default", "DNS:site.example,DNS:localhost", &ca, 30, 0);
    wild = pem_make("wild", "DNS:*.wild.example", &ca, 30, 0);
    plain_site = pem_make("exact", "DNS:exact.wild.example", &ca, 30, 0);
    good = pem_make("client good", "", &ca, 30, 0);
    foreign = pem_make("client foreign", "", &other_ca, 30, 0);
    expired = pem_make("client expired", "", &ca, -1, 0);
}
static int h_info(vt_req *req, vt_res *res) {
    vt_tls_info i;
    int r = vt_req_tls(req, &i);
    if (r < 0) return r;
    return vt_res_printf(res, 200, "%s|%s|%s|%d|%s|%d|%s", r ? i.version : "plain", r ? i.alpn : "",
                         r ? i.server_name : "", i.resumed, i.subject ? i.subject : "-", i.verified,
                         r ? i.verify_text : "");
}
static int h_read(vt_req *req, vt_res *res) {
    vt_str body;
    int r = vt_req_body(req, &body);
    return r < 0 ? r : vt_res_printf(res, 200, "%zu", body.len);
}
static int stream_ended; /* what a stream's last read gave */
static int h_stream(vt_req *req, vt_res *res) {
    vt_stream *st;
    char buf[4096];
    int64_t n;
    (void)req;
    int r = vt_res_upgrade(res, "echo", &st);
    if (r < 0) return r;
    while ((n = vt_stream_read(st, buf, sizeof buf)) > 0)
        if (vt_stream_write(st, buf, (size_t)n) < 0) break;
    __atomic_store_n(&stream_ended, (int)n, __ATOMIC_SEQ_CST);
    return vt_stream_shutdown(st);
}
static int h_big(vt_req *req, vt_res *res) {
    static char piece[10000];
    (void)req;
    for (int i = 0; i < 100; i++) {
        int64_t n = vt_res_write(res, piece, sizeof piece);
        if (n < 0) return (int)n;
    }
    return 0;
}
static int h_own_hsts(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_field(res, "strict-transport-security", "max-age=7");
    return vt_res_text(res, 200, "own");
}
static int let_go; /* of the OS threads that h_block holds */
static int block(void *arg) {
    (void)arg;
    while (!__atomic_load_n(&let_go, __ATOMIC_SEQ_CST)) e2e_sleep_ms(1);
    return 0;
}
static int h_block(vt_req *req, vt_res *res) {
    (void)req;
    vt__sched_g.cfg.max_blocking = 1;
    int r = vt_blocking(block, NULL, NULL);
    return r < 0 ? r : vt_res_text(res, 200, "done");
}
static void routes(vt_server *s) {
    vt_server_get(s, "/block", h_block);
    vt_server_get(s, "/own", h_own_hsts);
    vt_server_get(s, "/", h_info);
    vt_server_post(s, "/read", h_read);
    vt_server_get(s, "/stream", h_stream);
    vt_server_get(s, "/big", h_big);
    CHECK_EQ(vt_server_listen_tls(s, "127.0.0.1:0", &lcfg), 0);
}
static void fresh(void) {
    memset(&lcfg, 0, sizeof lcfg);
    memset(tk, 0, sizeof tk);
    tk[0].cert_pem = site.text;
    lcfg.certs = tk;
    lcfg.ncerts = 1;
}
static bool start(const vt_server_cfg *cfg) { return e2e_start(cfg, routes) == 0; }
static int port(void) { return vt_server_port(e2e.s, 1); }

/* A connection that is plain so far. */
static int dial_to(int port) {
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}
static int dial(void) { return dial_to(port()); }
static SSL_CTX *client_ctx(void) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return ctx;
}
/* Connects with a context of the caller's: what the handshake came to. */
static int open_with(struct cl *c, SSL_CTX *ctx, const char *name, SSL_SESSION *session) {
    if (!cl_fd_take(c, dial())) return -9;
    c->tls = SSL_new(ctx);
    SSL_set_fd(c->tls, c->fd);
    SSL_set_connect_state(c->tls);
    if (name) SSL_set_tlsext_host_name(c->tls, name);
    if (session) SSL_set_session(c->tls, session);
    return tls_handshake(c->tls, E2E_MS);
}
/* The i-th part of the info handler's text. */
static const char *part(struct cl *c, int i) {
    static char buf[512];
    const char *p = c->body;
    while (p && i-- > 0) p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL;
    snprintf(buf, sizeof buf, "%.*s", p ? (int)strcspn(p, "|") : 1, p ? p : "?");
    return buf;
}
/* Who serves `name`: the common name of the certificate, or "refused". sigalgs: what the client can verify; NULL: all. */
static const char *served_to(const char *name, const char *sigalgs, int version) {
    static char cn[80];
    CL(c);
    SSL_CTX *ctx = client_ctx();
    if (sigalgs) SSL_CTX_set1_sigalgs_list(ctx, sigalgs);
    SSL_CTX_set_max_proto_version(ctx, version);
    snprintf(cn, sizeof cn, "refused");
    if (open_with(&c, ctx, name, NULL) == 1) {
        X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(c.tls)), NID_commonName, cn,
                                  sizeof cn);
        CHECK_EQ(cl_get(&c, "/"), 200);
        CHECK_STR(part(&c, 2), name ? name : "");
    }
    SSL_CTX_free(ctx);
    return cn;
}
static const char *served(const char *name) { return served_to(name, NULL, TLS1_3_VERSION); }

TEST(versions) {
    static const int v[] = {TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    static const char *const names[] = {"", "TLSv1.2", "TLSv1.3"};
    for (int min = 12; min <= 13; min++) {
        fresh();
        lcfg.min_version = min;
        REQUIRE(start(NULL));
        for (int i = 0; i < 3; i++) {
            CL(c);
            SSL_CTX *ctx = client_ctx();
            SSL_CTX_set_security_level(ctx, 0);
            SSL_CTX_set_min_proto_version(ctx, v[i]);
            SSL_CTX_set_max_proto_version(ctx, v[i]);
            int r = open_with(&c, ctx, NULL, NULL);
            CHECK_EQ(r == 1, i >= min - 11);
            if (r == 1) {
                CHECK_EQ(cl_get(&c, "/"), 200);
                CHECK_STR(part(&c, 0), names[i]);
                CHECK_EQ(cl_get(&c, "/"), 200); /* kept alive */
            }
            SSL_CTX_free(ctx);
        }
        CHECK_EQ(e2e_stop(), 0);
    }
}
/* Of TLS 1.3: by the server's preference, but for clients that are quicker with ChaCha20. */
TEST(suites) {
    static const char a128[] = "TLS_AES_128_GCM_SHA256", a256[] = "TLS_AES_256_GCM_SHA384",
                      chacha[] = "TLS_CHACHA20_POLY1305_SHA256";
    const struct {
        const char *server, *client, *want;
    } cases[] = {{NULL, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", a128},
                 {NULL, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", chacha},
                 {NULL, a256, a256},
                 {"TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
                  "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", a256}};
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        fresh();
        lcfg.ciphersuites = cases[i].server;
        REQUIRE(start(NULL));
        CL(c);
        SSL_CTX *ctx = client_ctx();
        SSL_CTX_set_ciphersuites(ctx, cases[i].client);
        CHECK_EQ(open_with(&c, ctx, NULL, NULL), 1);
        CHECK_STR(SSL_get_cipher_name(c.tls), cases[i].want);
        SSL_CTX_free(ctx);
        CHECK_EQ(e2e_stop(), 0);
    }
}
TEST(alpn) {
    static const struct {
        const char *offer, *got;
    } cases[] = {
        {"\x08http/1.1", "http/1.1"}, {"\x02h2\x08http/1.1", "http/1.1"}, {"\x02h2", NULL}, {"", ""}};
    fresh();
    REQUIRE(start(NULL));
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        CL(c);
        SSL_CTX *ctx = client_ctx();
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)cases[i].offer, (unsigned)strlen(cases[i].offer));
        CHECK_EQ(open_with(&c, ctx, NULL, NULL) == 1, cases[i].got != NULL);
        if (cases[i].got) {
            CHECK_EQ(cl_get(&c, "/"), 200);
            CHECK_STR(part(&c, 1), cases[i].got);
        }
        SSL_CTX_free(ctx);
    }
    CHECK_EQ(e2e_stop(), 0);
}
static void three_certificates(void) {
    fresh();
    tk[1].cert_pem = wild.cert_text, tk[1].key_pem = wild.key_text;
    tk[2].cert_pem = plain_site.text;
    lcfg.ncerts = 3;
}
TEST(b139_names) {
    three_certificates();
    REQUIRE(start(NULL));
    CHECK_STR(served("site.example"), "default");
    CHECK_STR(served("a.wild.example"), "wild");
    CHECK_STR(served("exact.wild.example"), "exact"); /* though the wildcard stands before it */
    CHECK_STR(served("EXACT.wild.example"), "exact");
    CHECK_STR(served("a.b.wild.example"), "default");
    CHECK_STR(served("nowhere.example"), "default");
    CHECK_STR(served(NULL), "default");
    CHECK_EQ(e2e_stop(), 0);
    three_certificates();
    lcfg.names = VT_TLS_NAMES_KNOWN;
    REQUIRE(start(NULL));
    CHECK_STR(served("a.wild.example"), "wild");
    CHECK_STR(served("nowhere.example"), "refused");
    CHECK_STR(served(NULL), "default");
    CHECK_EQ(e2e_stop(), 0);
    three_certificates();
    lcfg.names = VT_TLS_NAMES_REQUIRED;
    REQUIRE(start(NULL));
    CHECK_STR(served("localhost"), "default");
    CHECK_STR(served("nowhere.example"), "refused");
    CHECK_STR(served(NULL), "refused");
    CHECK_EQ(e2e_stop(), 0);
}

static const char *served_ocsp(SSL_CTX *ctx, const char *name) {
    static char text[80];
    const unsigned char *p = NULL;
    CL(c);
    SSL_CTX_set_tlsext_status_type(ctx, TLSEXT_STATUSTYPE_ocsp);
    CHECK_EQ(open_with(&c, ctx, name, NULL), 1);
    long n = SSL_get_tlsext_status_ocsp_resp(c.tls, &p);
    snprintf(text, sizeof text, "%.*s", n > 0 ? (int)n : 0, n > 0 ? (const char *)p : "");
    return text;
}
TEST(certificates_of_several_kinds_for_one_name) {
    struct pem rsa = pem_make("site rsa", "DNS:site.example,DNS:rsa.example", &ca, 30, 2048),
               wild_rsa = pem_make("wild rsa", "DNS:*.wild.example", &ca, 30, 2048),
               late = pem_make("late", "DNS:site.example", &ca, 30, 0);
    static const char rsa_only[] = "RSA-PSS+SHA256:RSA+SHA256", ec_only[] = "ECDSA+SHA256";
    fresh();
    tk[0].ocsp_file = tmp_text("of_ec", "0\x05"
                                        "of ec");
    tk[1].cert_pem = wild.text, tk[2].cert_pem = rsa.text, tk[3].cert_pem = wild_rsa.text;
    tk[2].ocsp_file = tmp_text("of_rsa", "0\x06"
                                         "of rsa");
    tk[4].cert_pem = late.text;
    lcfg.ncerts = 5;
    REQUIRE(start(NULL));
    for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
        CHECK_STR(served_to("site.example", ec_only, v), "default"); /* not "late": the first of a kind */
        CHECK_STR(served_to("site.example", rsa_only, v), "site rsa");
        CHECK_STR(served_to(NULL, rsa_only, v), "site rsa"); /* the first certificate's name is meant */
        CHECK_STR(served_to("a.wild.example", ec_only, v), "wild");
        CHECK_STR(served_to("a.wild.example", rsa_only, v), "wild rsa");
        CHECK_STR(served_to("rsa.example", rsa_only, v), "site rsa");
        CHECK_STR(served_to("rsa.example", ec_only, v), "refused");
    }
    CHECK_STR(served("site.example"), "default");
    SSL_CTX *ctx = client_ctx();
    CHECK_STR(served_ocsp(ctx, "site.example"), "0\x05"
                                                "of ec");
    CHECK_STR(served_ocsp(ctx, "a.wild.example"), "");
    SSL_CTX_set1_sigalgs_list(ctx, rsa_only);
    CHECK_STR(served_ocsp(ctx, "site.example"), "0\x06"
                                                "of rsa");
    SSL_CTX_free(ctx);
    CHECK_EQ(e2e_stop(), 0);
    pem_free(&rsa), pem_free(&wild_rsa), pem_free(&late);
}
TEST(a_common_name_counts_where_no_name_stands) {
    struct pem bare = pem_make("bare.example", "IP:127.0.0.1", &ca, 30, 0),
               named = pem_make("not.example", "DNS:named.example", &ca, 30, 0);
    fresh();
    tk[1].cert_pem = bare.text, tk[2].cert_pem = named.text;
    lcfg.ncerts = 3;
    REQUIRE(start(NULL));
    CHECK_STR(served("bare.example"), "bare.example");
    CHECK_STR(served("named.example"), "not.example");
    CHECK_STR(served("not.example"), "default");
    CHECK_EQ(e2e_stop(), 0);
    pem_free(&bare), pem_free(&named);
}

/* One request to a name with `*session`, which becomes the newest; whether it was resumed. */
static int resumed_as(SSL_CTX *ctx, const char *name, SSL_SESSION **session) {
    CL(c);
    int r = -1;
    if (open_with(&c, ctx, name, *session) == 1 && cl_get(&c, "/") == 200) {
        r = SSL_session_reused(c.tls);
        CHECK_STR(part(&c, 3), r ? "1" : "0");
        SSL_SESSION_free(*session);
        *session = SSL_get1_session(c.tls);
        cl_shut(&c);
    }
    return r;
}
static int resumed(SSL_CTX *ctx, SSL_SESSION **session) { return resumed_as(ctx, NULL, session); }
static void turn_keys(void) {
    vt__ossl_keys *k = &e2e.s->run->listeners[1].gate->keys;
    struct vt__ossl_key fresh_key;
    CHECK(vt__ossl_key_make(&fresh_key));
    vt__plat_spin_lock(&k->spin);
    vt__ossl_keys_turn(k, &fresh_key, vt_now());
    vt__plat_spin_unlock(&k->spin);
}
TEST(tickets_resume_and_their_keys_turn) {
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_SESSION *s = NULL;
        SSL_CTX *ctx = client_ctx();
        SSL_CTX_set_min_proto_version(ctx, version);
        SSL_CTX_set_max_proto_version(ctx, version);
        fresh();
        REQUIRE(start(NULL));
        CHECK_EQ(resumed(ctx, &s), 0);
        CHECK_EQ(resumed(ctx, &s), 1);
        turn_keys();
        CHECK_EQ(resumed(ctx, &s), 1); /* by the key before, and gets a new ticket */
        turn_keys();
        turn_keys();
        CHECK_EQ(resumed(ctx, &s), 1);
        for (int i = 0; i < 3; i++) turn_keys();
        CHECK_EQ(resumed(ctx, &s), 0); /* its key is gone */
        CHECK_EQ(vt_server_tls_reload(e2e.s), 0);
        CHECK_EQ(resumed(ctx, &s), 1); /* keys outlive a reload */
        CHECK_EQ(e2e_stop(), 0);
        lcfg.ticket_life_s = VT_NONE;
        REQUIRE(start(NULL));
        CHECK_EQ(resumed(ctx, &s), 0);
        CHECK_EQ(resumed(ctx, &s), 0);
        CHECK_EQ(e2e_stop(), 0);
        SSL_SESSION_free(s);
        SSL_CTX_free(ctx);
    }
}

/* RFC 6066 3. */
TEST(a_session_is_of_one_name) {
    fresh();
    tk[1].cert_pem = wild.text;
    lcfg.ncerts = 2;
    REQUIRE(start(NULL));
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_SESSION *s = NULL;
        SSL_CTX *ctx = client_ctx();
        SSL_CTX_set_min_proto_version(ctx, version);
        SSL_CTX_set_max_proto_version(ctx, version);
        CHECK_EQ(resumed_as(ctx, "a.wild.example", &s), 0);
        CHECK_EQ(resumed_as(ctx, "a.wild.example", &s), 1);
        CHECK_EQ(resumed_as(ctx, "b.wild.example", &s), 0); /* whose certificate is the same */
        CHECK_EQ(resumed_as(ctx, "b.wild.example", &s), 1);
        CHECK_EQ(resumed_as(ctx, NULL, &s), 0);
        CHECK_EQ(resumed_as(ctx, NULL, &s), 1);
        SSL_SESSION_free(s);
        SSL_CTX_free(ctx);
    }
    CHECK_EQ(e2e_stop(), 0);
}

/* One request with this certificate (NULL: none): its status, or 0. */
static int ask_as(struct cl *c, const struct pem *who, int version) {
    SSL_CTX *ctx = client_ctx();
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    if (who) SSL_CTX_use_certificate(ctx, who->cert), SSL_CTX_use_PrivateKey(ctx, who->key);
    int r = open_with(c, ctx, NULL, NULL) == 1 ? cl_get(c, "/") : 0;
    SSL_CTX_free(ctx);
    return r > 0 ? r : 0;
}
TEST(b138_client_certificates) {
    static const struct {
        const struct pem *who;
        bool ok[3]; /* by vt_tls_cfg.client_auth */
        const char *subject, *verified;
    } cases[] = {{&good, {true, true, true}, "CN=client good", "1"},
                 {NULL, {false, true, true}, "-", "0"},
                 {&foreign, {false, false, true}, "CN=client foreign", "0"},
                 {&expired, {false, false, true}, "CN=client expired", "0"}};
    for (int auth = VT_TLS_CLIENT_REQUIRED; auth <= VT_TLS_CLIENT_UNVERIFIED; auth++) {
        fresh();
        lcfg.client_ca_pem = ca.cert_text;
        lcfg.client_auth = auth;
        REQUIRE(start(NULL));
        for (size_t i = 0; i < 2 * VT__COUNT(cases); i++) {
            CL(c);
            size_t k = i / 2;
            CHECK_EQ(ask_as(&c, cases[k].who, i & 1 ? TLS1_3_VERSION : TLS1_2_VERSION),
                     cases[k].ok[auth] ? 200 : 0);
            if (!cases[k].ok[auth]) continue;
            CHECK_STR(part(&c, 4), cases[k].subject);
            CHECK_STR(part(&c, 5), cases[k].verified);
            CHECK_EQ(strlen(part(&c, 6)) > 0, cases[k].who && cases[k].verified[0] == '0');
        }
        CHECK_EQ(e2e_stop(), 0);
    }
}
/* What a ticket says of a client holds only while the same CA is trusted. */
TEST(tickets_end_with_the_trust_in_their_client) {
    SSL_SESSION *s = NULL;
    SSL_CTX *ctx = client_ctx();
    SSL_CTX_use_certificate(ctx, good.cert), SSL_CTX_use_PrivateKey(ctx, good.key);
    fresh();
    lcfg.client_ca_file = tmp_text("ca", ca.cert_text);
    REQUIRE(start(NULL));
    CHECK_EQ(resumed(ctx, &s), 0);
    CHECK_EQ(resumed(ctx, &s), 1);
    tmp_text("ca", other_ca.cert_text);
    CHECK_EQ(vt_server_tls_reload(e2e.s), 0);
    CHECK_EQ(resumed(ctx, &s), -1);
    CHECK_EQ(e2e_stop(), 0);
    SSL_SESSION_free(s);
    SSL_CTX_free(ctx);
}

static int loaders_stop, loaders_bad, loaders_ok;
static void *load(void *arg) {
    (void)arg;
    SSL_CTX *ctx = client_ctx();
    while (!__atomic_load_n(&loaders_stop, __ATOMIC_SEQ_CST)) {
        CL(c);
        bool ok = open_with(&c, ctx, NULL, NULL) == 1;
        for (int i = 0; i < 5 && ok; i++) ok = cl_get(&c, "/") == 200;
        __atomic_fetch_add(ok ? &loaders_ok : &loaders_bad, 1, __ATOMIC_SEQ_CST);
    }
    SSL_CTX_free(ctx);
    return NULL;
}
TEST(reload_under_load) {
    const char *path = tmp_text("cert", site.text);
    pthread_t t[3];
    fresh();
    tk[0] = (vt_tls_cert){.cert_file = path};
    vt_server_cfg cfg = {.reload_on_hup = 1};
    REQUIRE(start(&cfg));
    CL(old);
    CHECK_EQ(open_with(&old, tls_client_ctx(), NULL, NULL), 1);
    CHECK_EQ(cl_get(&old, "/"), 200);
    loaders_stop = loaders_bad = loaders_ok = 0;
    for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, load, NULL);
    for (int i = 0; i < 20; i++) {
        tmp_text("cert", (i & 1 ? &site : &plain_site)->text);
        CHECK_EQ(vt_server_tls_reload(e2e.s), 0);
        CHECK_STR(served(NULL), i & 1 ? "default" : "exact");
    }
    CHECK_EQ(cl_get(&old, "/"), 200); /* goes on with what it has */
    tmp_text("cert", "not a certificate\n");
    CHECK_EQ(vt_server_tls_reload(e2e.s), VT_ECONF);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, path), 1);
    CHECK_STR(served(NULL), "default");
    tmp_text("cert", wild.text);
    raise(SIGHUP);
    for (int64_t end = e2e_now_ms() + E2E_MS; strcmp(served(NULL), "wild") != 0 && e2e_now_ms() < end;)
        e2e_sleep_ms(5);
    CHECK_STR(served(NULL), "wild");
    __atomic_store_n(&loaders_stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    CHECK_EQ(loaders_bad, 0);
    CHECK(loaders_ok > 0);
    CHECK_EQ(e2e_stop(), 0);
}

static vt_tls_cfg second_cfg;
static void routes_two(vt_server *s) {
    routes(s);
    CHECK_EQ(vt_server_listen_tls(s, "127.0.0.1:0", &second_cfg), 0);
}
TEST(a_reload_of_several_listeners_is_all_or_nothing) {
    const char *path = tmp_text("one", site.text), *other = tmp_text("two", site.text);
    vt_tls_cert second = {.cert_file = other};
    fresh();
    tk[0] = (vt_tls_cert){.cert_file = path};
    second_cfg = (vt_tls_cfg){.certs = &second, .ncerts = 1};
    REQUIRE(e2e_start(NULL, routes_two) == 0);
    tmp_text("one", wild.text), tmp_text("two", "not a certificate\n");
    CHECK_EQ(vt_server_tls_reload(e2e.s), VT_ECONF);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, other), 1);
    CHECK_STR(served(NULL), "default"); /* its own file is good, but not every one */
    tmp_text("two", wild.text);
    CHECK_EQ(vt_server_tls_reload(e2e.s), 0);
    CHECK_STR(served(NULL), "wild");
    CHECK_EQ(e2e_stop(), 0);
}

/* Two reloads at once, of which the first has read a file before it changed, and waits in a FIFO for another one: what was read last
 * is what is used. */
static void *reload(void *result) {
    __atomic_store_n((int *)result, vt_server_tls_reload(e2e.s), __ATOMIC_SEQ_CST);
    return NULL;
}
static void *feed(void *fifo) {
    int fd = open(fifo, O_WRONLY);
    if (fd < 0 || write(fd, "word\n", 5) != 5) abort();
    close(fd);
    return NULL;
}
TEST(the_later_of_two_reloads_counts) {
    const char *path = tmp_text("one", site.text), *fifo = tmp_path("fifo"), *aside = tmp_path("aside");
    vt_tls_cert second = {.cert_pem = site.text, .password_file = fifo};
    int first = 99, later = 99, fd;
    pthread_t t[2];
    fresh();
    tk[0] = (vt_tls_cert){.cert_file = path};
    second_cfg = (vt_tls_cfg){.certs = &second, .ncerts = 1};
    unlink(fifo);
    REQUIRE(mkfifo(fifo, 0600) == 0 && pthread_create(&t[0], NULL, feed, (void *)(uintptr_t)fifo) == 0);
    REQUIRE(e2e_start(NULL, routes_two) == 0);
    pthread_join(t[0], NULL);
    REQUIRE(pthread_create(&t[0], NULL, reload, &first) == 0);
    while ((fd = open(fifo, O_WRONLY | O_NONBLOCK)) < 0) e2e_sleep_ms(1);
    tmp_text("one", wild.text);
    REQUIRE(rename(fifo, aside) == 0);
    tmp_text("fifo", "word\n");
    REQUIRE(pthread_create(&t[1], NULL, reload, &later) == 0);
    for (int ms = 0; ms < 300 && __atomic_load_n(&later, __ATOMIC_SEQ_CST) == 99; ms++) e2e_sleep_ms(1);
    CHECK_EQ(write(fd, "word\n", 5), 5);
    close(fd);
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
    CHECK(first == 0 && later == 0);
    CHECK_STR(served(NULL), "wild");
    unlink(aside);
    CHECK_EQ(e2e_stop(), 0);
}
/* What `/proc` says of the flags of the descriptor by which another than `mine` has the file; -1: there is none (yet). The
 * descriptor itself is another thread's, which may be opening it at this moment. */
static int held_by(const char *path, int mine) {
    struct stat want, st;
    char text[64];
    int flags = -1;
    if (stat(path, &want) < 0) return -1;
    for (int fd = 0; fd < 1024 && flags < 0; fd++) {
        snprintf(text, sizeof text, "/proc/self/fd/%d", fd);
        if (fd == mine || stat(text, &st) < 0 || st.st_ino != want.st_ino || st.st_dev != want.st_dev)
            continue;
        snprintf(text, sizeof text, "/proc/self/fdinfo/%d", fd);
        FILE *f = fopen(text, "re");
        for (char line[128]; f && flags < 0 && fgets(line, sizeof line, f);)
            if (strncmp(line, "flags:", 6) == 0) flags = (int)strtol(line + 6, NULL, 8);
        if (f) fclose(f);
    }
    return flags;
}
/* What handlers start meanwhile is not to have the key's file. */
TEST(a_file_that_is_read_is_no_childs) {
    const char *fifo = tmp_path("fifo");
    int first = 99, fd, its = -1;
    pthread_t t;
    fresh();
    tk[0].password_file = fifo;
    unlink(fifo);
    REQUIRE(mkfifo(fifo, 0600) == 0 && pthread_create(&t, NULL, feed, (void *)(uintptr_t)fifo) == 0);
    REQUIRE(start(NULL));
    pthread_join(t, NULL);
    REQUIRE(pthread_create(&t, NULL, reload, &first) == 0);
    while ((fd = open(fifo, O_WRONLY | O_NONBLOCK)) < 0) e2e_sleep_ms(1);
    while ((its = held_by(fifo, fd)) < 0) e2e_sleep_ms(1);
    CHECK(its & O_CLOEXEC);
    CHECK_EQ(write(fd, "word\n", 5), 5);
    close(fd);
    pthread_join(t, NULL);
    CHECK_EQ(first, 0);
    unlink(fifo);
    CHECK_EQ(e2e_stop(), 0);
}
static bool ready_by(int ms) {
    for (bool yes = false;; e2e_sleep_ms(1), ms--) {
        pthread_mutex_lock(&e2e.mu);
        yes = e2e.ready || e2e.done;
        pthread_mutex_unlock(&e2e.mu);
        if (yes || ms == 0) return yes;
    }
}
/* Nor does one that a server has outlived go on in its next run. */
TEST(a_reload_ends_before_the_next_start) {
    const char *path = tmp_text("one", site.text), *fifo = tmp_path("fifo"), *aside = tmp_path("aside");
    vt_tls_cert second = {.cert_pem = site.text, .password_file = fifo};
    int first = 99, fd;
    pthread_t t;
    fresh();
    tk[0] = (vt_tls_cert){.cert_file = path};
    second_cfg = (vt_tls_cfg){.certs = &second, .ncerts = 1};
    unlink(fifo);
    REQUIRE(mkfifo(fifo, 0600) == 0 && pthread_create(&t, NULL, feed, (void *)(uintptr_t)fifo) == 0);
    REQUIRE(e2e_start(NULL, routes_two) == 0);
    pthread_join(t, NULL);
    REQUIRE(pthread_create(&t, NULL, reload, &first) == 0);
    while ((fd = open(fifo, O_WRONLY | O_NONBLOCK)) < 0) e2e_sleep_ms(1);
    vt_server_stop(e2e.s);
    pthread_join(e2e.thread, NULL);
    e2e.ready = e2e.done = false;
    tmp_text("one", wild.text);
    REQUIRE(rename(fifo, aside) == 0);
    tmp_text("fifo", "word\n");
    REQUIRE(pthread_create(&e2e.thread, NULL, e2e_main, e2e.s) == 0);
    (void)ready_by(300);
    CHECK_EQ(write(fd, "word\n", 5), 5);
    close(fd);
    pthread_join(t, NULL);
    CHECK(ready_by(E2E_MS) && first == 0);
    CHECK_STR(served(NULL), "wild");
    unlink(aside);
    CHECK_EQ(e2e_stop(), 0);
}

/* ---- ends ---- */
/* The first 101, then the stream is open. */
static bool stream_open(struct cl *c) {
    __atomic_store_n(&stream_ended, 99, __ATOMIC_SEQ_CST);
    if (open_with(c, tls_client_ctx(), NULL, NULL) != 1) return false;
    cl_puts(c, "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    if (cl_response(c) != 101) return false;
    cl_puts(c, "abc");
    return cl_want(c, 3) && memcmp(c->in, "abc", 3) == 0;
}
static int stream_end(void) {
    for (int64_t end = e2e_now_ms() + E2E_MS; e2e_now_ms() < end; e2e_sleep_ms(1))
        if (__atomic_load_n(&stream_ended, __ATOMIC_SEQ_CST) != 99) break;
    return stream_ended;
}
TEST(a_stream_tells_its_end_from_a_cut) {
    fresh();
    REQUIRE(start(NULL));
    CL(c);
    REQUIRE(stream_open(&c));
    cl_consume(&c, 3);
    SSL_shutdown(c.tls); /* close_notify; the socket stays open */
    CHECK_EQ(stream_end(), 0);
    CHECK(cl_closed(&c, E2E_MS) && !c.reset); /* and answers with its own */
    CL(cut);
    REQUIRE(stream_open(&cut));
    shutdown(cut.fd, SHUT_WR);
    CHECK_EQ(stream_end(), VT_EEOF);
    cl_close(&c), cl_close(&cut);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(an_answer_that_ends_by_close_ends_with_close_notify) {
    fresh();
    REQUIRE(start(NULL));
    CL(c);
    CHECK_EQ(open_with(&c, tls_client_ctx(), NULL, NULL), 1);
    cl_puts(&c, "GET /big HTTP/1.0\r\n\r\n");
    CHECK_EQ(cl_response(&c), 200);
    CHECK(c.by_close && !c.truncated && c.body_len == 1000000);
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(a_body_that_is_cut_is_an_error) {
    fresh();
    REQUIRE(start(NULL));
    CL(c);
    CHECK_EQ(open_with(&c, tls_client_ctx(), NULL, NULL), 1);
    cl_puts(&c, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    shutdown(c.fd, SHUT_WR);
    CHECK_EQ(cl_response(&c), 400);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(a_stop_ends_idle_connections_with_close_notify) {
    fresh();
    vt_server_cfg cfg = {.grace_ms = 5000};
    REQUIRE(start(&cfg));
    CL(idle);
    CL(silent);
    CHECK_EQ(open_with(&idle, tls_client_ctx(), NULL, NULL), 1);
    CHECK_EQ(cl_get(&idle, "/"), 200);
    REQUIRE(cl_fd_take(&silent, dial())); /* says nothing */
    int64_t began = e2e_now_ms();
    CHECK_EQ(e2e_stop(), 0);
    CHECK(e2e_now_ms() - began < (SLOW ? 20000 : 4000));
    CHECK(cl_closed(&idle, E2E_MS) && !idle.reset);
    CHECK(cl_closed(&silent, E2E_MS));
}

/* ---- clients that are slow, many, or bad ---- */
TEST(input_byte_by_byte) {
    fresh();
    lcfg.client_ca_pem = ca.cert_text;
    REQUIRE(start(NULL));
    CL(c);
    SSL_CTX *ctx = client_ctx();
    SSL_CTX_use_certificate(ctx, good.cert), SSL_CTX_use_PrivateKey(ctx, good.key);
    REQUIRE(cl_fd_take(&c, dial()));
    SSL *s = c.tls = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(s, in, out);
    SSL_set_connect_state(s);
    char buf[8192], text[4096] = "";
    size_t got = 0;
    int64_t end = e2e_now_ms() + E2E_MS;
    for (bool asked = false; !strstr(text, "\r\n\r\n") && e2e_now_ms() < end;) {
        int n = SSL_read(s, text + got, (int)(sizeof text - 1 - got));
        if (n > 0) got += (size_t)n, text[got] = 0;
        if (SSL_is_init_finished(s) && !asked)
            asked = SSL_write(s, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27) == 27;
        while ((n = BIO_read(out, buf, 1)) == 1) {
            if (send(c.fd, buf, 1, MSG_NOSIGNAL) != 1) break;
            sched_yield(); /* each in a segment of its own: TCP_NODELAY */
        }
        if ((n = (int)recv(c.fd, buf, sizeof buf, 0)) > 0) BIO_write(in, buf, n);
        else e2e_sleep_ms(1);
    }
    CHECK(strncmp(text, "HTTP/1.1 200", 12) == 0);
    SSL_CTX_free(ctx);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(handshakes_have_the_heads_time) {
    fresh();
    vt_server_cfg cfg = {.header_timeout_ms = SLOW ? 1500 : 400, .workers = 1}; /* one list */
    REQUIRE(start(&cfg));
    CL(silent);
    CL(half);
    CL(drip);
    CL(fine);
    static const unsigned char hello[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}; /* the rest does not come */
    REQUIRE(cl_fd_take(&silent, dial()) && cl_fd_take(&half, dial()) && cl_fd_take(&drip, dial()));
    cl_send(&half, hello, sizeof hello);
    cl_send(&drip, hello, sizeof hello);
    CHECK_EQ(open_with(&fine, tls_client_ctx(), NULL, NULL), 1); /* whom they do not delay */
    CHECK_EQ(cl_get(&fine, "/"), 200);
    int64_t end = e2e_now_ms() + E2E_MS;
    bool gone = false;
    struct cl later[128];
    size_t n = 0;
    /* A byte now and then buys no more time, not even behind others that have come since. */
    for (; !gone && e2e_now_ms() < end; n++) {
        struct cl *l = &later[n % VT__COUNT(later)];
        if (n >= VT__COUNT(later)) cl_close(l);
        *l = (struct cl){.fd = -1};
        CHECK(cl_fd_take(l, dial()));
        if (send(drip.fd, "\0", 1, MSG_NOSIGNAL) < 0) gone = true;
        gone = gone || cl_more(&drip, 20) == 0;
    }
    CHECK(gone && n < VT__COUNT(later));
    for (size_t i = 0; i < VT__MIN(n, VT__COUNT(later)); i++) cl_close(&later[i]);
    CHECK(cl_closed(&silent, E2E_MS));
    CHECK_EQ(cl_more(&half, E2E_MS), 0);
    CHECK_EQ(cl_get(&fine, "/"), 200);
    vt_server_stats st;
    vt_server_stats_get(e2e.s, &st);
    CHECK(st.timeouts >= 3); /* and some that came later */
    CHECK_EQ(e2e_stop(), 0);
}
TEST(a_thousand_handshakes_at_once) {
    enum { N = SLOW ? 200 : 1000 };
    static struct cl c[N];
    fresh();
    vt_server_cfg cfg = {.header_timeout_ms = 60000};
    REQUIRE(start(&cfg));
    int done = 0, failed = 0;
    for (int i = 0; i < N; i++) {
        c[i] = (struct cl){.fd = -1};
        if (!cl_fd_take(&c[i], dial())) failed++;
        c[i].tls = SSL_new(tls_client_ctx());
        SSL_set_fd(c[i].tls, c[i].fd);
        SSL_set_connect_state(c[i].tls);
        ERR_clear_error();
        (void)SSL_do_handshake(c[i].tls); /* ClientHello */
    }
    for (int i = 0; i < N && !failed; i++) {
        if (tls_handshake(c[i].tls, E2E_MS) == 1) done++;
    }
    CHECK_EQ(done, N);
    for (int i = 0; i < N; i += N / 10) CHECK_EQ(cl_get(&c[i], "/"), 200);
    for (int i = 0; i < N; i++) cl_close(&c[i]);
    CHECK_EQ(e2e_stop(), 0);
}
static int64_t permits(vt__tls_gate *g) {
    vt__plat_spin_lock(&g->permits.spin);
    int64_t n = g->permits.count;
    vt__plat_spin_unlock(&g->permits.spin);
    return n;
}
TEST(handshakes_over_the_cap_wait) {
    fresh();
    lcfg.max_handshakes = 2;
    REQUIRE(start(NULL));
    CL(a);
    CL(b);
    CL(c);
    REQUIRE(cl_fd_take(&a, dial()) && cl_fd_take(&b, dial()));
    cl_send(&a, "\x16\x03\x01", 3);
    cl_send(&b, "\x16\x03\x01", 3);
    vt__tls_gate *g = e2e.s->run->listeners[1].gate;
    for (int64_t end = e2e_now_ms() + E2E_MS; permits(g) > 0 && e2e_now_ms() < end;) e2e_sleep_ms(1);
    REQUIRE(cl_fd_take(&c, dial()));
    c.tls = SSL_new(tls_client_ctx());
    SSL_set_fd(c.tls, c.fd);
    SSL_set_connect_state(c.tls);
    CHECK(SSL_do_handshake(c.tls) != 1);
    struct pollfd p = {.fd = c.fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 200), 0); /* no answer yet */
    cl_close(&a);
    CHECK_EQ(tls_handshake(c.tls, E2E_MS), 1);
    CHECK_EQ(cl_get(&c, "/"), 200);
    cl_close(&b);
    CL(d);
    CHECK_EQ(open_with(&d, tls_client_ctx(), NULL, NULL), 1);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(garbage_is_closed_upon) {
    static const vt_str texts[] = {
        VT__STR_LIT("\x16\x03\x01\x00\x04gibb"),     VT__STR_LIT("\x17\x03\x03\x00\x01x"),
        VT__STR_LIT("\xff\xff\xff\xff\xff\xff"),     VT__STR_LIT("\x16\x03\x01\xff\xff"),
        VT__STR_LIT("\x80\x2e\x01\x03\x01\x00\x15"), VT__STR_LIT("\r\n\r\n\r\n\r\n")};
    fresh();
    REQUIRE(start(NULL));
    for (size_t i = 0; i < VT__COUNT(texts); i++) {
        CL(c);
        REQUIRE(cl_fd_take(&c, dial()));
        cl_send(&c, texts[i].ptr, texts[i].len);
        shutdown(c.fd, SHUT_WR);
        while (cl_more(&c, E2E_MS) > 0) continue;
        CHECK(c.eof);
    }
    CHECK_STR(served(NULL), "default");
    CHECK_EQ(e2e_stop(), 0);
}
static void plain_http(const char *request, int status, const char *location) {
    CL(c);
    REQUIRE(cl_fd_take(&c, dial()));
    cl_puts(&c, request);
    bool head = strncmp(request, "HEAD", 4) == 0;
    CHECK_EQ(cl_response_to(&c, head), status);
    if (status == 400 && !head) CHECK(strstr(c.body, "https://") != NULL);
    if (location) CHECK_STR(cl_field(&c, "location"), location);
    CHECK(cl_closed(&c, E2E_MS) && !c.reset);
}
TEST(plain_http_on_the_tls_port) {
    char want[100];
    fresh();
    REQUIRE(start(NULL));
    plain_http("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL);
    plain_http("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL);
    plain_http("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345", 400, NULL);
    CHECK_EQ(e2e_stop(), 0);
    lcfg.plain = VT_TLS_PLAIN_REDIRECT;
    REQUIRE(start(NULL));
    snprintf(want, sizeof want, "https://www.example.org:%d/a/b?c=d", port());
    plain_http("GET /a/b?c=d HTTP/1.1\r\nX: y\r\nhost: www.example.org:80 \r\n\r\n", 308, want);
    snprintf(want, sizeof want, "https://[::1]:%d/", port());
    plain_http("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", 308, want);
    plain_http("GET / HTTP/1.0\r\n\r\n", 400, NULL);
    plain_http("GET / HTTP/1.1\r\nHost: a/../b\r\n\r\n", 400, NULL);
    plain_http("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL);
    plain_http("GET\r\n\r\n", 400, NULL);
    CHECK_EQ(e2e_stop(), 0);
    lcfg.plain = VT_TLS_PLAIN_CLOSE;
    REQUIRE(start(NULL));
    CL(c);
    REQUIRE(cl_fd_take(&c, dial()));
    cl_puts(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(cl_closed(&c, E2E_MS));
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}
/* On a socket that has no port there is none to be named. */
static char unix_addr[40];
static void routes_unix(vt_server *s) {
    snprintf(unix_addr, sizeof unix_addr, "unix:@vt-tls-%d", (int)getpid());
    CHECK_EQ(vt_server_listen_tls(s, unix_addr, &lcfg), 0);
}
TEST(plain_http_on_a_unix_socket_for_tls) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    fresh();
    lcfg.plain = VT_TLS_PLAIN_REDIRECT;
    REQUIRE(e2e_start(NULL, routes_unix) == 0);
    CL(c);
    strcpy(un.sun_path + 1, unix_addr + 6);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(unix_addr + 6));
    REQUIRE(cl_fd_take(&c, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    REQUIRE(connect(c.fd, (struct sockaddr *)&un, len) == 0);
    cl_puts(&c, "GET /a HTTP/1.1\r\nHost: www.example.org:80\r\n\r\n");
    CHECK_EQ(cl_response(&c), 308);
    CHECK_STR(cl_field(&c, "location"), "https://www.example.org/a");
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(key_updates_are_served_but_not_without_end) {
    fresh();
    REQUIRE(start(NULL));
    CL(c);
    CHECK_EQ(open_with(&c, tls_client_ctx(), NULL, NULL), 1);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(SSL_key_update(c.tls, SSL_KEY_UPDATE_REQUESTED), 1);
        CHECK_EQ(cl_get(&c, "/"), 200);
    }
    /* A server that lingers over what it has not read takes some 60,000 before its 2 s are over: time counts, not number. */
    bool ended = false;
    for (int64_t until = e2e_now_ms() + E2E_MS; !ended && e2e_now_ms() < until;) {
        ERR_clear_error();
        if (SSL_key_update(c.tls, SSL_KEY_UPDATE_NOT_REQUESTED) != 1) break;
        int r = SSL_do_handshake(c.tls);
        ended = r != 1 && (SSL_get_error(c.tls, r) != SSL_ERROR_WANT_WRITE || !tls_wait(c.tls, E2E_MS));
    }
    CHECK(ended);
    CHECK_STR(served(NULL), "default");
    CHECK_EQ(e2e_stop(), 0);
}
TEST(no_renegotiation) {
    fresh();
    REQUIRE(start(NULL));
    CL(c);
    SSL_CTX *ctx = client_ctx();
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    CHECK_EQ(open_with(&c, ctx, NULL, NULL), 1);
    CHECK_EQ(cl_get(&c, "/"), 200);
    CHECK_EQ(SSL_renegotiate(c.tls), 1);
    CHECK(tls_handshake(c.tls, 2000) != 1);
    SSL_CTX_free(ctx);
    CHECK_EQ(e2e_stop(), 0);
}

/* ---- keys and files ---- */
static char *encrypted(EVP_PKEY *key, const char *pw) {
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(b, key, EVP_aes_128_cbc(), (const unsigned char *)pw, (int)strlen(pw), NULL,
                             NULL);
    return pem_text(b);
}
TEST(encrypted_keys) {
    char *text = encrypted(site.key, "open sesame");
    fresh();
    tk[0] = (vt_tls_cert){.cert_pem = site.cert_text, .key_pem = text, .password = "open sesame"};
    REQUIRE(start(NULL));
    CHECK_STR(served(NULL), "default");
    CHECK_EQ(e2e_stop(), 0);
    tk[0].password = NULL, tk[0].password_file = tmp_text("password", "open sesame\r\nnot this\n");
    REQUIRE(start(NULL));
    CHECK_STR(served(NULL), "default");
    CHECK_EQ(e2e_stop(), 0);
    tmp_text("password", "wrong\n");
    CHECK_EQ(e2e_start(NULL, routes), VT_ECONF);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, "key_pem: no private key can be read"), 1);
    tk[0].password_file = NULL; /* and nobody is asked for it on a terminal */
    CHECK_EQ(e2e_start(NULL, routes), VT_ECONF);
    tk[0] = (vt_tls_cert){.cert_pem = site.cert_text, .key_pem = wild.key_text};
    CHECK_EQ(e2e_start(NULL, routes), VT_ECONF);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, "cert_pem and its key: "), 1);
    tk[0] = (vt_tls_cert){.cert_file = "/nonexistent/cert.pem"};
    CHECK_EQ(e2e_start(NULL, routes), VT_ECONF);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, "/nonexistent/cert.pem: no certificate can be read"), 1);
    free(text);
}
static int pool_threads(void) {
    pthread_mutex_lock(&vt__block_g.lock);
    int n = vt__block_g.threads;
    pthread_mutex_unlock(&vt__block_g.lock);
    return n;
}
TEST(a_dear_key_is_used_on_other_threads) {
    struct pem rsa = pem_make("rsa", "DNS:rsa.example", NULL, 30, 3072);
    fresh();
    tk[0].cert_pem = rsa.text;
    REQUIRE(start(NULL));
    CHECK_STR(served("rsa.example"), "rsa");
    CHECK(pool_threads() > 0);
    CHECK_EQ(e2e_stop(), 0);
    fresh();
    REQUIRE(start(NULL));
    CHECK_STR(served(NULL), "default");
    CHECK_EQ(pool_threads(), 0);
    CHECK_EQ(e2e_stop(), 0);
    pem_free(&rsa);
}
TEST(a_dear_key_exchange_is_made_on_other_threads_or_refused) {
    static const struct {
        const char *groups; /* the client sends a share for the first */
        int version;
        bool ok, dear;
    } cases[] = {
        {"X25519", TLS1_3_VERSION, true, false},
        {"P-256:P-384", TLS1_3_VERSION, true, false},
        {"P-384", TLS1_3_VERSION, true, true},
        {"P-521", TLS1_3_VERSION, true, true},
        {"P-384:X25519", TLS1_3_VERSION, true, true},
        {"X448:P-384", TLS1_3_VERSION, true, true},
        {"X448:X25519", TLS1_3_VERSION, true, false},
        {"X448", TLS1_3_VERSION, false, false},
        {"ffdhe8192", TLS1_3_VERSION, false, false},
        {"P-384:P-256", TLS1_2_VERSION, true, false}}; /* no shares: the server takes what it likes */
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        CL(c);
        SSL_CTX *ctx = client_ctx();
        fresh();
        REQUIRE(start(NULL));
        SSL_CTX_set_max_proto_version(ctx, cases[i].version);
        CHECK_EQ(SSL_CTX_set1_groups_list(ctx, cases[i].groups), 1);
        CHECK_EQ(open_with(&c, ctx, NULL, NULL) == 1, cases[i].ok);
        if (cases[i].ok) {
            CHECK_EQ(cl_get(&c, "/"), 200);
            CHECK_EQ(pool_threads() > 0, cases[i].dear);
        }
        SSL_CTX_free(ctx);
        CHECK_EQ(e2e_stop(), 0);
    }
}
/* A pool that is busy with something else does not keep a client waiting for ever. */
TEST(a_dear_handshake_has_no_more_time_than_others) {
    struct pem rsa = pem_make("rsa", "DNS:rsa.example", NULL, 30, 2048);
    vt_server_cfg cfg = {.header_timeout_ms = 1500};
    fresh();
    tk[0].cert_pem = rsa.text;
    __atomic_store_n(&let_go, 0, __ATOMIC_SEQ_CST);
    REQUIRE(start(&cfg));
    CL(busy);
    CL(c);
    REQUIRE(cl_open(&busy));
    cl_puts(&busy, "GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int64_t end = e2e_now_ms() + E2E_MS; pool_threads() == 0 && e2e_now_ms() < end;) e2e_sleep_ms(1);
    REQUIRE(pool_threads() == 1);
    CHECK(open_with(&c, tls_client_ctx(), NULL, NULL) != 1);
    vt_server_stats st;
    vt_server_stats_get(e2e.s, &st);
    CHECK(st.timeouts > 0);
    __atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(cl_response(&busy), 200);
    CHECK_EQ(e2e_stop(), 0);
    pem_free(&rsa);
}
TEST(chains_are_sent) {
    struct pem mid = pem_make("Middle CA", NULL, &ca, 30, 0),
               leaf = pem_make("leaf", "DNS:leaf.example", &mid, 30, 0);
    char chain[8192];
    snprintf(chain, sizeof chain, "%s%s", leaf.cert_text, mid.cert_text);
    fresh();
    tk[0].cert_pem = chain, tk[0].key_pem = leaf.key_text;
    REQUIRE(start(NULL));
    SSL_CTX *ctx = client_ctx();
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca.cert);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    CL(c);
    CHECK_EQ(open_with(&c, ctx, "leaf.example", NULL), 1);
    CHECK_EQ(sk_X509_num(SSL_get_peer_cert_chain(c.tls)), 2);
    SSL_CTX_free(ctx);
    CHECK_EQ(e2e_stop(), 0);
    tk[0].cert_pem = leaf.text; /* what clients are trusted by is no part of the server's chain */
    snprintf(chain, sizeof chain, "%s%s", mid.cert_text, ca.cert_text);
    lcfg.client_ca_pem = chain, lcfg.client_auth = VT_TLS_CLIENT_OPTIONAL;
    REQUIRE(start(NULL));
    CL(d);
    CHECK_EQ(open_with(&d, tls_client_ctx(), "leaf.example", NULL), 1);
    CHECK_EQ(sk_X509_num(SSL_get_peer_cert_chain(d.tls)), 1);
    CHECK_EQ(e2e_stop(), 0);
    pem_free(&mid);
    pem_free(&leaf);
}
TEST(ocsp_responses_are_stapled) {
    static const char unauthorized[] = "0\x03\x0a\x01\x06";
    const char *path = tmp_text("ocsp", unauthorized);
    fresh();
    tk[0].ocsp_file = path;
    REQUIRE(start(NULL));
    SSL_CTX *ctx = client_ctx();
    CHECK_STR(served_ocsp(ctx, NULL), unauthorized);
    CHECK_STR(served(NULL), "default"); /* who does not ask gets none */
    SSL_CTX_free(ctx);
    CHECK_EQ(e2e_stop(), 0);
    CHECK_EQ(truncate(path, VT__OSSL_FILE_MAX), 0); /* not a part of it */
    CHECK_EQ(e2e_start(NULL, routes), VT_ECONF);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, path), 1);
    static const char *const bad[] = {"-----BEGIN OCSP RESPONSE-----\n", "0\x04\x0a\x01\x06",
                                      "0\x03\x0a\x01\x06\x01", "\x04\x01\x06", "0"};
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        tmp_text("ocsp", bad[i]);
        CHECK_EQ(e2e_start(NULL, routes), VT_ECONF);
        CHECK_EQ(e2e_logged(VT_LOG_ERROR, "no OCSP response"), 1);
    }
}
/* A text that breaks off is not taken for what stands before the break. */
TEST(a_broken_chain_and_a_broken_list_of_cas_are_refused) {
    static const char broken[] = "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n";
    char text[8192];
    snprintf(text, sizeof text, "%s%s", site.cert_text, broken);
    fresh();
    tk[0] = (vt_tls_cert){.cert_pem = text, .key_pem = site.key_text};
    CHECK_EQ(e2e_start(NULL, routes), VT_ECONF);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, "cert_pem: no certificate can be read behind the first"), 1);
    fresh();
    snprintf(text, sizeof text, "%s%s", ca.cert_text, broken);
    lcfg.client_ca_pem = text;
    CHECK_EQ(e2e_start(NULL, routes), VT_ECONF);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, "client_ca_pem: no certificate can be read behind the first"), 1);
    fresh();
    lcfg.client_ca_pem = "";
    CHECK_EQ(e2e_start(NULL, routes), VT_ECONF);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, "client_ca_pem: no certificate can be read: "), 1);
}
static int listen_bad;
static void routes_bad(vt_server *s) { listen_bad = vt_server_listen_tls(s, "127.0.0.1:0", &lcfg); }
TEST(bad_fields_are_named) {
    static const char *const names[] = {"ncerts", "certs",       "client_auth",    "names",
                                        "plain",  "min_version", "max_handshakes", "ticket_life_s",
                                        "certs",  "client_auth", "client_ca_file"};
    for (size_t i = 0; i < VT__COUNT(names); i++) {
        fresh();
        if (i == 0) lcfg.ncerts = 0;
        if (i == 1) tk[0].cert_file = "both";
        if (i == 2) lcfg.client_ca_pem = ca.cert_text, lcfg.client_auth = 3;
        if (i == 3) lcfg.names = -1;
        if (i == 4) lcfg.plain = 3;
        if (i == 5) lcfg.min_version = 11;
        if (i == 6) lcfg.max_handshakes = -1;
        if (i == 7) lcfg.ticket_life_s = -2;
        if (i == 8) tk[0].key_file = tk[0].key_pem = "both";
        if (i == 9) lcfg.client_auth = VT_TLS_CLIENT_OPTIONAL; /* of whom? */
        if (i == 10) lcfg.client_ca_file = lcfg.client_ca_pem = "both";
        CHECK_EQ(e2e_start(NULL, routes_bad), -EINVAL);
        CHECK_EQ(listen_bad, -EINVAL);
        CHECK_EQ(e2e_logged(VT_LOG_ERROR, names[i]), 1);
    }
}
/* What the answer to GET target over TLS or not says of it; "-": nothing, "twice" is wrong. */
static const char *hsts(const char *target, bool tls) {
    static char value[80];
    int n = 0;
    CL(c);
    if (tls) CHECK_EQ(open_with(&c, tls_client_ctx(), NULL, NULL), 1);
    else CHECK(cl_fd_take(&c, dial_to(vt_server_port(e2e.s, 2))));
    CHECK(cl_get(&c, target) > 0);
    for (const char *p = c.head; (p = strcasestr(p, "\nStrict-Transport-Security:")) != NULL; p++) n++;
    snprintf(value, sizeof value, "%s",
             n == 0   ? "-"
             : n == 1 ? cl_field(&c, "strict-transport-security")
                      : "twice");
    return value;
}
static void routes_plain_too(vt_server *s) {
    routes(s);
    CHECK_EQ(vt_server_listen(s, "127.0.0.1:0"), 0);
}
TEST(b153_hsts_only_over_tls) {
    static const struct {
        int64_t age;
        int subdomains;
        const char *want;
    } cases[] = {{0, 1, "-"},
                 {31536000, 0, "max-age=31536000"},
                 {60, 1, "max-age=60; includeSubDomains"},
                 {INT64_MAX, 1, "max-age=9223372036854775807; includeSubDomains"},
                 {VT_NONE, 0, "max-age=0"}};
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        vt_server_cfg cfg = {.hsts_max_age_s = cases[i].age, .hsts_subdomains = cases[i].subdomains};
        fresh();
        REQUIRE(e2e_start(&cfg, routes_plain_too) == 0);
        CHECK_STR(hsts("/", true), cases[i].want);
        CHECK_STR(hsts("/nowhere", true), cases[i].want); /* an error is a response, too */
        CHECK_STR(hsts("/own", true), "max-age=7");
        CHECK_STR(hsts("/", false), "-");
        CHECK_STR(hsts("/nowhere", false), "-");
        CHECK_EQ(e2e_stop(), 0);
    }
    vt_server_cfg bad = {.hsts_max_age_s = -2};
    CHECK_EQ(e2e_start(&bad, NULL), -EINVAL);
    CHECK_EQ(e2e_logged(VT_LOG_ERROR, "hsts_max_age_s"), 1);
}
TEST(both_ports_of_the_configuration) {
    vt_server_cfg cfg = {.host = "127.0.0.1",
                         .port = VT_NONE,
                         .ssl_port = VT_NONE,
                         .ssl_cert = pem_file("127.0.0.1"),
                         .ssl_redirect = 1};
    vt_server *s = vt_server_new(&cfg);
    CHECK_EQ(vt_server_error(s), 0);
    CHECK_EQ(s->run->nlisteners, 2);
    CHECK(!s->run->listeners[0].gate && s->run->listeners[1].gate);
    CHECK_EQ(s->run->listeners[1].gate->cfg.plain, VT_TLS_PLAIN_REDIRECT);
    vt_server_free(s);
    cfg = (vt_server_cfg){.ssl_port = 8443};
    s = vt_server_new(&cfg);
    CHECK_EQ(vt_server_error(s), VT_ECONF);
    CHECK(strstr(vt_server_error_text(s), "ssl_cert") != NULL);
    vt_server_free(s);
}
