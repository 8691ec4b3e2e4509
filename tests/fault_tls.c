/* HTTP/1.1 over TLS, both ends in one runtime, whose N-th allocation (then: all from the N-th on; then: the N-th system call; then:
 * the N-th allocation of OpenSSL's) fails, N = 1, 2, ... until a run has none left: each call gives its answer or an error, the next
 * goes well, and nothing is left behind. The same for a server's start. */
/* variants: default asan */
#define VTHTTP_SIM 1
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "cliserver.h"
#include "faultcli.h"
#include "tls.h"

static struct pem ca, site;
static __attribute__((constructor)) void prepare(void) {
    CRYPTO_set_mem_functions(fault_ossl_malloc, fault_ossl_realloc, fault_ossl_free);
    ca = pem_make("Test CA", NULL, NULL, 30, 0);
    site = pem_make("site", "IP:127.0.0.1", &ca, 30, 0);
}
static int fault_listen(int fd, int backlog) {
    return fault_hits() ? -EADDRINUSE : vt__plat_sys_listen(fd, backlog);
}
static void on_both_calls(void) {
    on_calls();
    fault_server_calls();
    vt__plat.bind = fault_bind;
    vt__plat.listen = fault_listen;
}

static int open_files(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}
/*--- calls ---*/
static bool whole(vt_call *call, size_t n) {
    int status = vt_call_send(call);
    bool good = status == 200 && vt_call_whole(call) == 0 && vt_call_text(call).len == n;
    CHECK(good || vt_call_status(call) < 0 || status >= 400); /* never a wrong answer */
    vt_call_free(call);
    return good;
}
static bool by_hand(void) {
    static const char ask[] = "GET /bytes/30000 HTTP/1.0\r\n\r\n";
    const vt_tls_client_cfg cfg = {.ca_pem = ca.cert_text};
    char buf[4096];
    vt_stream *st = NULL;
    int64_t n, all = 0;
    int r = vt_tls_dial(&st, base_of(1) + 8, &cfg, vt_now() + 20 * VT_SEC);
    CHECK_EQ(r == 0, st != NULL);
    if (r < 0) return false;
    if ((n = vt_stream_write(st, ask, sizeof ask - 1)) > 0)
        while ((n = vt_stream_read(st, buf, sizeof buf)) > 0) all += n;
    vt_tls_close(st);
    return n == 0 && all > 30000;
}
static bool talk_to(vt_client *c) {
    static char body[40000];
    bool good = whole(vt_call_new(c, "GET", url_at(base_of(1), "/bytes/30000")), 30000);
    vt_call *call = vt_call_new(c, "POST", url_at(base_of(1), "/count"));
    vt_call_field(call, "Connection", "close");
    vt_call_body(call, body, sizeof body);
    good &= whole(call, strlen("40000 40000 -"));
    good &= whole(vt_call_new(c, "GET", url_at(base_of(1), "/bytes/5?length=1")), 5); /* by a ticket */
    return by_hand() && good;
}
static bool calls(void) {
    client = vt_client_new(&(vt_client_cfg){.tls_ca_pem = ca.cert_text});
    return talk_to(client);
}
static void calls_after(void) { /* what OpenSSL could not make for this client may be missing for good */
    vt_server_stats st;
    CHECK(client->err < 0 || fault_ossl || talk_to(client));
    vt_client_free(client);
    CHECK(calls());
    vt_client_free(client);
    for (int i = 0; i < 10000; i++, vt_sleep_ms(1))
        if (vt_server_stats_get(server, &st), st.open == 0) break;
    CHECK_EQ(st.open, 0);
}
/*--- starts ---*/
static int started;
static bool start(void) { return (started = vt_server_start(server)) == 0; }
static void start_after(void) {
    for (int again = 0; again < 2; again++) {
        vt_server_stop(server);
        CHECK_EQ(vt_server_wait(server), started);
        CHECK(vt_server_port(server, 0) == -1 && vt_server_port(server, 1) == -1);
        if (!again) CHECK(start());
    }
}

static struct {
    void (*table)(void);
    bool onward, starts;
} now;
static void sweep_body(void) {
    const vt_tls_cert cert = {.cert_pem = site.text};
    const vt_tls_cfg cfg = {.certs = &cert, .ncerts = 1};
    struct vt__plat_table before = vt__plat;
    uint64_t rnd = test_seed();
    int64_t all = 0;
    int files = 0;
    server = vt_server_new(&(vt_server_cfg){.addr = "127.0.0.1:0"});
    CHECK_EQ(vt_server_listen_tls(server, "127.0.0.1:0", &cfg), 0);
    vt_server_get(server, "/bytes/{n}", h_bytes);
    vt_server_post(server, "/count", h_count);
    if (!now.starts) CHECK(start());
    now.table();
    for (int64_t n = INT64_MAX; !all || n <= all; n++) {
        fault_set(n, now.onward);
        bool good = now.starts ? start() : calls();
        if (!all) all = fault.count;
        CHECK(good || fault.count >= n);
        fault_set(0, false);
        now.starts ? start_after() : calls_after();
        if (!files) files = open_files(), n = 0;
        CHECK_EQ(open_files(), files);
        if (fault_ossl) n += (int64_t)(test_rand(&rnd) % (VT__ASAN ? 500 : 100)); /* there are thousands */
    }
    fault_ossl = false;
    vt__plat = before;
    CHECK(all > 4);
    if (!now.starts) vt_server_stop(server);
    CHECK_EQ(vt_server_wait(server), 0);
    vt_server_free(server);
}
static void sweep(void (*table)(void), bool onward, bool starts) {
    now.table = table, now.onward = onward, now.starts = starts;
    cli_run(1, sweep_body);
}
TEST(fault_one_allocation_fails_tls) { sweep(on_memory, false, false); }
TEST(fault_all_allocations_fail_from_there_tls) { sweep(on_memory, true, false); }
TEST(fault_one_system_call_fails_tls) { sweep(on_both_calls, false, false); }
TEST(fault_one_allocation_fault_ossl_fails) { sweep(on_openssl, false, false); }
TEST(fault_one_allocation_fails_start_tls) { sweep(on_memory, false, true); }
TEST(fault_all_allocations_fail_from_there_start_tls) { sweep(on_memory, true, true); }
TEST(fault_one_system_call_fails_start_tls) { sweep(on_both_calls, false, true); }
TEST(fault_one_allocation_fault_ossl_fails_start) { sweep(on_openssl, false, true); }
