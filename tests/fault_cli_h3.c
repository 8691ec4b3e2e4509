/* As fault_cli_h2.c, over HTTP/3: what is hit is the caller, and who drives its connection. A call that cannot have one goes over TCP,
 * or fails; none is answered wrongly, nothing is left behind. */
/* variants: default asan */
#define VTHTTP_SIM 1
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "faultcli.h"
#include "clih3.h"

enum { LONG = 30000 };
static int h_all(vt_req *req, vt_res *res) {
    static char body[LONG];
    char name[20];
    vt_str in;
    int64_t r = vt_req_body(req, &in);
    vt_res_inform(res, 103, "Link: </x>\r\n");
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "x-%d", i);
        vt_res_field(res, name, "a value that takes some room");
    }
    memset(body, 'b', sizeof body);
    for (int i = 0; i < 10 && r >= 0; i++) r = vt_res_write(res, body, LONG / 10);
    return r < 0 ? (int)r : vt_res_trailer(res, "X-End", vt_req_version(req) == 30 ? "quic" : "tcp");
}
/* As TALK. */
static int ws_all(vt_ws *ws, vt_req *req) {
    (void)req;
    int r = vt_ws_text(ws, "early");
    if (r == 0) r = vt_ws_ping(ws, "p", 1);
    if (r == 0) r = vt_ws_begin(ws, VT_WS_TEXT);
    if (r == 0) r = VT__MIN((int)vt_ws_write(ws, "in", 2), 0);
    if (r == 0) r = VT__MIN((int)vt_ws_write(ws, " two", 4), 0);
    if (r == 0) r = vt_ws_end(ws);
    return r == 0 ? vt_ws_close(ws, 4000, NULL) : r;
}
static void routes(vt_server *s) {
    static const vt_ws_cfg speaks = {.protocols = "a"};
    vt_server_handle(s, NULL, "/all", h_all);
    vt_server_ws(s, "/ws", ws_all, &speaks);
}

static char url[64], ws_url[64];
static bool quic; /* the last answer's way */
static bool whole(vt_call *call) {
    bool good = vt_call_send(call) == 200 && vt_call_whole(call) == 0 && vt_call_text(call).len == LONG &&
                vt_call_res_field(call, "x-99").ptr && vt_call_res_trailer(call, "x-end").ptr;
    CHECK(good || vt_call_status(call) < 0); /* never a wrong answer */
    quic = good && strcmp(vt_call_res_trailer(call, "x-end").ptr, "quic") == 0;
    vt_call_free(call);
    return good;
}
static int64_t piece(void *ctx, void *buf, size_t n) {
    int *left = ctx;
    n = VT__MIN(n, (size_t)*left);
    memset(buf, 'p', n);
    *left -= (int)n;
    return (int64_t)n;
}
static bool work(vt_client *c) {
    static const char block[5000] = "x";
    int left = 6000;
    bool good = talk(c, ws_url);
    good &= whole(vt_call_new(c, "GET", url));
    vt_call *call = vt_call_new(c, "PUT", url);
    vt_call_body_from(call, piece, &left, -1);
    vt_call_trailer(call, "X-Sum", "1");
    good &= whole(call);
    call = vt_call_new(c, "POST", url);
    if (vt_call_open(call, 50000) == 0)
        for (int i = 0; i < 10; i++) vt_call_write(call, block, sizeof block);
    good &= whole(call);
    return good;
}
static int fault_sendmmsg(int fd, struct vt__plat_mmsg *m, unsigned n, int flags) {
    return fault_hits() ? -EPERM : vt__plat_sys_sendmmsg(fd, m, n, flags);
}
static int fault_recvmmsg(int fd, struct vt__plat_mmsg *m, unsigned n, int flags) {
    return fault_hits() ? -ECONNREFUSED : vt__plat_sys_recvmmsg(fd, m, n, flags);
}
static void on_udp_calls(void) {
    on_calls();
    vt__plat.bind = fault_bind;
    vt__plat.sendmmsg = fault_sendmmsg;
    vt__plat.recvmmsg = fault_recvmmsg;
}
static struct {
    void (*table)(void);
    bool onward;
} now;
/* What was shunned for its fault is tried again; that no memory was left here is none. */
static void forgive(vt_client *c) {
    vt__ch3_side *side = now.table == on_memory ? NULL : c->h3;
    for (int i = 0; side && i < side->alts.n; i++) side->alts.at[i]->shun = 0;
}
static void sweep_body(void) {
    struct vt__plat_table before = vt__plat;
    int64_t n = 1, most = 2000;
    now.table();
    fault.thread = vt__sched_self();
    fault.driver = true;
    for (bool last = false; !last && n < most; n += n < 400 ? 1 : 7) {
        fault_set(n, now.onward);
        vt_client *c = vt_client_new(&(vt_client_cfg){
            .http3 = VT_HTTP3_PRIOR, .tls_ca_pem = ca.cert_text, .connect_timeout_ms = 20000});
        if (c->err == 0) h3_patient(c);
        bool good = work(c);
        last = fault.count < n;
        fault_set(0, false);
        CHECK(!last || (good && quic));
        if (c->err == 0) {
            for (int i = 0; i < 5000 && c->conns != c->nidle; i++) vt_sleep_ms(1); /* by the driver */
            CHECK_EQ(c->conns, c->nidle);
            forgive(c);
            CHECK(work(c)); /* what failed has left nothing behind */
            CHECK(quic);
        }
        vt_client_free(c);
    }
    vt__plat = before;
    CHECK(n > 10 && n < most);
}
static void sweep(void (*table)(void), bool onward) {
    REQUIRE(far_up(routes));
    snprintf(url, sizeof url, "https://127.0.0.1:%d/all", far.port);
    snprintf(ws_url, sizeof ws_url, "https://127.0.0.1:%d/ws", far.port);
    now.table = table;
    now.onward = onward;
    cli_run(1, sweep_body);
    far_down();
}
/* A call in 0-RTT, of a client that got its tickets when nothing failed. */
static void early_body(void) {
    struct vt__plat_table before = vt__plat;
    int64_t n = 1, most = 600;
    int gone = 0;
    now.table();
    fault.thread = vt__sched_self();
    fault.driver = true;
    for (bool last = false; !last && n < most; n++) {
        fault_set(0, false);
        vt_client *c = vt_client_new(&(vt_client_cfg){.http3 = VT_HTTP3_PRIOR,
                                                      .tls_ca_pem = ca.cert_text,
                                                      .connect_timeout_ms = 20000,
                                                      .early_data = 1,
                                                      .max_idle = VT_NONE});
        h3_patient(c);
        vt_call *first = vt_call_new(c, "GET", url);
        CHECK_EQ(vt_call_send(first), 200);
        for (int i = 0; i < 5000 && !vt__ch3_side_of(c)->tls->sessions->n; i++) vt_sleep_ms(1);
        vt_call_free(first);
        for (int i = 0; i < 5000 && c->conns; i++) vt_sleep_ms(1);
        fault_set(n, now.onward);
        vt_call *call = vt_call_new(c, "GET", url);
        int r = vt_call_send(call);
        gone += call->zero;
        bool good = r == 200 && vt_call_whole(call) == 0 && vt_call_text(call).len == LONG;
        last = fault.count < n;
        fault_set(0, false);
        CHECK(r == 200 || r < 0);
        CHECK(!last || (good && call->zero == VT__QTLS_NATIVE));
        vt_call_free(call);
        for (int i = 0; i < 5000 && c->conns; i++) vt_sleep_ms(1);
        CHECK_EQ(c->conns, 0);
        vt_client_free(c);
    }
    vt__plat = before;
    CHECK(n > 10 && n < most && (!VT__QTLS_NATIVE || gone > 5));
}
static void sweep_early(void (*table)(void), bool onward) {
    REQUIRE(far_up(routes));
    snprintf(url, sizeof url, "https://127.0.0.1:%d/all", far.port);
    now.table = table;
    now.onward = onward;
    cli_run(1, early_body);
    far_down();
}
TEST(fault_one_allocation_fails_cli_h3_early) { sweep_early(on_memory, false); }
TEST(fault_all_allocations_fail_from_there_cli_h3_early) { sweep_early(on_memory, true); }
TEST(fault_one_system_call_fails_cli_h3_early) { sweep_early(on_udp_calls, false); }
TEST(fault_one_allocation_fails_cli_h3) { sweep(on_memory, false); }
TEST(fault_all_allocations_fail_from_there_cli_h3) { sweep(on_memory, true); }
TEST(fault_one_system_call_fails_cli_h3) { sweep(on_udp_calls, false); }
