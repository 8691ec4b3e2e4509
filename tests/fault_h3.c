/* As fault_srv.c, over HTTP/3: whoever is hit gets an error, a reset or a close, or what was lost comes again; the next client is
 * served, nothing leaks. What fails is the server's alone: memory, OpenSSL's too; the calls by which datagrams come and go, and
 * those of a start. */
/* variants: default asan */
#define TEST_SEEDS 0x6b087ac1022ba
#define VTHTTP_SIM 1
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define E2E_TLS 1
#define E2E_WORKERS 1
#define E2E_MS 10000
#include "e2e.h"

#include "faultcalls.h"
#include "faulthttp.h"
#include "faultsweep.h"
#include "h3client.h"

/* ---- what fails ---- */
static int fault_of(const int *errors, int n) { return -errors[fault.count % n]; }
static int fault_recvmmsg(int fd, struct vt__plat_mmsg *m, unsigned n, int flags) {
    static const int errors[] = {ECONNREFUSED, EINTR, ENOMEM, EHOSTUNREACH, EAGAIN};
    return fault_hits() ? fault_of(errors, 5) : vt__plat_sys_recvmmsg(fd, m, n, flags);
}
static int fault_sendmmsg(int fd, struct vt__plat_mmsg *m, unsigned n, int flags) {
    static const int errors[] = {ENOBUFS, EINTR, EPERM, EAGAIN, ENETUNREACH, EMSGSIZE, ENOMEM};
    if (!fault_hits()) return vt__plat_sys_sendmmsg(fd, m, n, flags);
    if (n > 1 && fault.count % 2) return vt__plat_sys_sendmmsg(fd, m, 1, flags); /* short */
    return fault_of(errors, 7);
}
static ssize_t fault_train(int fd, const struct msghdr *m, int flags) {
    static const int errors[] = {ENOBUFS, EINVAL, EINTR, EIO, EAGAIN, EPERM, EMSGSIZE};
    return fault_hits() ? fault_of(errors, 7) : vt__plat_sys_sendmsg(fd, m, flags);
}
static int fault_socket(int family, int type) {
    return fault_hits() ? -EMFILE : vt__plat_sys_socket(family, type);
}
static int fault_setsockopt(int fd, int level, int opt, const void *p, socklen_t n) {
    return fault_hits() ? -ENOBUFS : vt__plat_sys_setsockopt(fd, level, opt, p, n);
}
/* Of UDP's alone: a listener of which this fails serves, but nobody could tell us where. */
static int fault_getsockname(int fd, struct sockaddr *sa, socklen_t *len) {
    int type = 0;
    socklen_t n = sizeof type;
    bool udp = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_DGRAM;
    return udp && fault_hits() ? -ENOBUFS : vt__plat_sys_getsockname(fd, sa, len);
}
static void on_datagrams(void) {
    vt__plat.recvmmsg = fault_recvmmsg;
    vt__plat.sendmmsg = fault_sendmmsg;
    vt__plat.sendmsg = fault_train;
    vt__plat.epoll_ctl = fault_epoll_ctl;
}
static void on_start(void) {
    on_datagrams();
    vt__plat.socket = fault_socket;
    vt__plat.bind = fault_bind;
    vt__plat.setsockopt = fault_setsockopt;
    vt__plat.getsockname = fault_getsockname;
}
__attribute__((constructor)) static void begin(void) {
    CRYPTO_set_mem_functions(fault_ossl_malloc, fault_ossl_realloc, fault_ossl_free);
    sweep_cfg.http3 = sweep_cfg.early_data = 1;
}

/* ---- what is served ---- */
static char body[40000];
/* Once everything fails there may be no answer at all: who was hit does not wait for one. */
static bool hopeless(int64_t since) {
    return fault.onward && fault.fail_at && fault.count >= fault.fail_at && e2e_now_ms() > since + 60;
}
#define AWAIT(h, cond)                                                                                       \
    for (int64_t since_ = e2e_now_ms(), until_ = since_ + E2E_MS;                                            \
         !(cond) && !hopeless(since_) && e2e_now_ms() < until_;)                                             \
    h3_turn((h), 5)
static bool came(struct h3 *h, struct h3_stream *s, const char *what, int want) {
    int64_t since = e2e_now_ms();
    AWAIT(h, s->end || s->rst >= 0 || h->closed);
    if (!s->end && s->rst < 0 && !h->closed && !hopeless(since))
        test_fail(__FILE__, __LINE__, what); /* a hang */
    bool good = s->end && s->status == want;
    if (!good && !fault.fail_at) /* what fails by chance says why */
        printf("%s: status %d, reset %lld, closed %d by %d: %llu\n", what, s->status, (long long)s->rst,
               h->closed, h->why.cause, (unsigned long long)h->why.code);
    return good;
}
static bool opened(struct h3 *h) {
    if (h->up) return h->ready && !h->closed;
    int64_t since = e2e_now_ms();
    if (!h3_start(h)) return false;
    AWAIT(h, (h->ready && h->settings) || h->closed);
    bool good = h->ready && h->settings && !h->closed;
    if (!good && !fault.fail_at)
        printf("no handshake: closed %d by %d: %llu\n", h->closed, h->why.cause,
               (unsigned long long)h->why.code);
    if (!good && !h->closed && !hopeless(since)) test_fail(__FILE__, __LINE__, "a handshake");
    return good;
}
static bool one(struct h3 *h, const char *what, const char *lines, size_t n, int want) {
    if (!opened(h)) return false;
    struct h3_stream *s = h3_ask(h, what, lines, n == 0);
    if (n) h3_body(h, s, body, n, true);
    return came(h, s, what, want);
}
/* An echo, and the close, over RFC 9220. */
static bool one_ws(struct h3 *h) {
    static const uint8_t frames[] = {0x81, 0x85, 0,    0, 0, 0, 'h', 'e', 'l', 'l',
                                     'o',  0x88, 0x82, 0, 0, 0, 0,   3,   0xe8};
    if (!opened(h)) return false;
    struct h3_stream *s = h3_ask(h, "CONNECT /ws", ":protocol: websocket\nsec-websocket-version: 13\n",
                                 false);
    h3_body(h, s, frames, sizeof frames, true);
    return came(h, s, "a WebSocket", 200) && s->body.n == 11 &&
           memcmp(s->body.p, "\x81\5hello\x88\2\3\xe8", 11) == 0;
}
static void all_routes(vt_server *s) {
    routes(s);
    vt_server_ws(s, "/ws", h_ws, NULL);
}
static bool work(void) {
    file_path = tmp_text("file", "text");
    char lines[2000], *p = lines;
    H3(h);
    H3(again);
    fault_spared = true;
    for (int i = 0; i < 100; i++) p += sprintf(p, "x-%d: %d\n", i, i);
    bool good = one(&h, "GET /fields?q=%41", lines, 0, 200);
    good &= one(&h, "POST /body", "content-length: 40000\n", sizeof body, 200);
    good &= one(&h, "POST /body", "", 100, 200);
    good &= one(&h, "GET /stream", "", 0, 200);
    good &= one(&h, "GET /file", "", 0, 200);
    good &= one(&h, "GET /spawn", "", 0, 200);
    good &= one_ws(&h);
    good &= one(&h, "GET /%zz", "", 0, 400);
    if (!fault.onward) good &= one(&again, "GET /spawn", "", 0, 200);
    return good;
}
TEST(fault_one_allocation_fails_h3) { sweep(on_memory, all_routes, work, false); }
TEST(fault_all_allocations_fail_from_there_h3) { sweep(on_memory, all_routes, work, true); }
/* A request that is handled in 0-RTT, and one that is held, of a client whose tickets are another matter. */
static bool work_early(void) {
    int64_t at = fault.fail_at;
    bool onward = fault.onward;
    H3(h);
    H3(again);
    fault_spared = true;
    fault_set(0, false);
    if (!opened(&h)) return false;
    h3_until(&h, h.tls->sessions->n > 0);
    fault_set(at, onward);
    h3_as(&again, &h);
    again.cfg.early = true;
    if (!h3_prepare(&again)) return false;
    h3_events(&again);
    CHECK(again.early);
    struct h3_stream *held = h3_ask(&again, "POST /body", "", false),
                     *safe = h3_ask(&again, "GET /spawn", "", true);
    h3_body(&again, held, body, 5000, true);
    bool good = came(&again, safe, "GET in 0-RTT", 200);
    return came(&again, held, "POST in 0-RTT", 200) && good;
}
#define EARLY_TEST(id, table, onward)                                                                        \
    TEST(id) {                                                                                               \
        if (!VT__QTLS_NATIVE) SKIP("OpenSSL is older than 3.5.1");                                           \
        sweep(table, all_routes, work_early, onward);                                                        \
    }
EARLY_TEST(fault_one_allocation_fails_h3_early, on_memory, false)
EARLY_TEST(fault_all_allocations_fail_from_there_h3_early, on_memory, true)
EARLY_TEST(fault_one_datagram_call_fails_h3_early, on_datagrams, false)
TEST(fault_one_datagram_call_fails_h3) { sweep(on_datagrams, all_routes, work, false); }
/* A handshake of OpenSSL's is a thousand of them, each of which test_qtls.c fails: here only some. */
TEST(fault_one_allocation_of_openssl_fails_h3) {
    sweep_stride = 7 + (int64_t)(test_seed() % 16);
    sweep(on_openssl, all_routes, work, false);
    fault_ossl = false;
    sweep_stride = 1;
}
/* A start that fails says so and leaves nothing; one that succeeds serves. */
static void starts(void (*table)(void)) {
    struct vt__plat_table before = vt__plat;
    int fds = count_fds(), refused = 0;
    int64_t n = 1;
    table();
    for (bool last = false; !last && n < 400; n++) {
        fault_spared = false;
        fault_set(n, false);
        int r = e2e_start(&sweep_cfg, all_routes);
        last = fault.count < n;
        fault_set(0, false);
        refused += r < 0;
        CHECK(r == 0 || (!last && strcmp(vt_err_name(r), "?") != 0));
        if (r == 0) CHECK(work());
        if (r == 0) CHECK_EQ(e2e_stop(), 0);
        CHECK_EQ(count_fds(), fds);
    }
    vt__plat = before;
    CHECK(n > 8 && n < 400 && refused > 4);
}
TEST(fault_one_call_of_a_start_fails_h3) {
    CHECK_EQ(e2e_start(&sweep_cfg, all_routes), 0); /* what a process has after its first run */
    CHECK_EQ(e2e_stop(), 0);
    starts(on_start);
}
TEST(fault_one_allocation_of_a_start_fails_h3) { starts(on_memory); }
/* The UDP port of a server that stops, which has given back its TCP port: it lets others in, and would get some of our clients. */
static int stopping_fd, stopping_port, stopping_binds;
static void stopping(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int one = 1;
    stopping_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (setsockopt(stopping_fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0 ||
        bind(stopping_fd, (struct sockaddr *)(void *)&a, sizeof a) < 0 ||
        getsockname(stopping_fd, (struct sockaddr *)(void *)&a, &n) < 0)
        abort();
    stopping_port = ntohs(a.sin_port), stopping_binds = 0;
}
/* "Any port" is that one, the first time. */
static int stopping_bind(int fd, const struct sockaddr *sa, socklen_t len) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)stopping_port);
    bool first = stopping_binds++ == 0;
    return first ? vt__plat_sys_bind(fd, (struct sockaddr *)(void *)&a, sizeof a)
                 : vt__plat_sys_bind(fd, sa, len);
}
TEST(any_port_is_none_of_a_server_that_stops) {
    struct vt__plat_table before = vt__plat;
    stopping();
    vt__plat.bind = stopping_bind;
    REQUIRE(e2e_start(&sweep_cfg, all_routes) == 0);
    CHECK(e2e.port != stopping_port && stopping_binds > 3); /* that one, and TCP, UDP, UDP of the domain */
    vt__plat = before;
    CHECK_EQ(e2e_logged(VT_LOG_WARN, "UDP port"), 0);
    CHECK(work());
    CHECK_EQ(e2e_stop(), 0);
    close(stopping_fd);
}
TEST(a_port_that_was_asked_for_is_shared_with_a_server_that_stops) {
    vt_server_cfg cfg = sweep_cfg;
    for (cfg.reuseport = 0; cfg.reuseport <= 1; cfg.reuseport++) {
        int r = -EADDRINUSE;
        for (int tries = 0; r == -EADDRINUSE && tries < 9; tries++) { /* somebody may have it over TCP */
            if (tries) close(stopping_fd);
            stopping();
            cfg.port = stopping_port;
            r = e2e_start(&cfg, all_routes);
        }
        REQUIRE(r == 0);
        CHECK(e2e.port == stopping_port);
        CHECK_EQ(e2e_logged(VT_LOG_WARN, "another process has the UDP port"), !cfg.reuseport);
        close(stopping_fd);
        CHECK(work());
        CHECK_EQ(e2e_stop(), 0);
    }
}
/* One that lets nobody in. */
TEST(a_port_that_somebody_else_has_is_refused_h3) {
    vt_server_cfg cfg = sweep_cfg;
    int off = 0;
    stopping();
    CHECK_EQ(setsockopt(stopping_fd, SOL_SOCKET, SO_REUSEPORT, &off, sizeof off), 0);
    cfg.port = stopping_port;
    CHECK_EQ(e2e_start(&cfg, all_routes), -EADDRINUSE);
    CHECK_EQ(e2e_logged(VT_LOG_WARN, "UDP port"), 0);
    close(stopping_fd);
}
/* No descriptors: a start is refused by name; a server that runs does not care, for its socket is there. */
TEST(no_descriptors_h3) {
    struct vt__plat_table before = vt__plat;
    vt__plat.socket = fault_socket;
    vt__plat.accept = fault_accept;
    fault_spared = false;
    fault_set(1, true);
    CHECK_EQ(e2e_start(&sweep_cfg, all_routes), -EMFILE);
    fault_set(0, false);
    CHECK(e2e_logged(VT_LOG_ERROR, "EMFILE") == 1);
    REQUIRE(e2e_start(&sweep_cfg, all_routes) == 0);
    fault_spared = true;
    fault_set(1, true);
    CHECK(work());
    fault_set(0, false);
    CHECK_EQ(e2e_stop(), 0);
    vt__plat = before;
}
/* A socket that never has room: what is sent is lost, or waits; nothing spins, and the end comes all the same. */
static int full_sendmmsg(int fd, struct vt__plat_mmsg *m, unsigned n, int flags) {
    int error = fault.count % 2 ? -ENOBUFS : -EAGAIN;
    return fault_hits() ? error : vt__plat_sys_sendmmsg(fd, m, n, flags);
}
static ssize_t full_sendmsg(int fd, const struct msghdr *m, int flags) {
    return fault_hits() ? -ENOBUFS : vt__plat_sys_sendmsg(fd, m, flags);
}
TEST(no_buffers_h3) {
    struct vt__plat_table before = vt__plat;
    REQUIRE(e2e_start(&sweep_cfg, all_routes) == 0);
    vt__plat.sendmmsg = full_sendmmsg, vt__plat.sendmsg = full_sendmsg;
    fault_spared = true;
    H3(h);
    REQUIRE(opened(&h));
    struct h3_stream *s = h3_ask(&h, "GET /stream", "", true);
    fault_set(1, true);
    h3_run(&h, 400);
    int64_t calls = fault.count;
    CHECK(!s->end && calls >= 1 && calls < 200);
    fault_set(0, false);
    CHECK_EQ(h3_wait(&h, s), 200);
    CHECK(one(&h, "GET /spawn", "", 0, 200));
    h3_close(&h);
    CHECK_EQ(e2e_stop(), 0);
    vt__plat = before;
}
