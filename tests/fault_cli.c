/* Calls whose N-th allocation (then: all from the N-th on; then: the N-th system call) fails, N = 1, 2, ... until a run has
 * none left: each call gives its answer or an error, the client counts no connection that is not there, the next call
 * on it goes well, nothing leaks. */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "faultcli.h"

static void serve_ws(vt_sock *s, const char *key) {
    char accept[VT__WS_ACCEPT_LEN + 1] = "", head[500];
    vt__ws_accept(accept, key);
    snprintf(head, sizeof head,
             "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: a\r\n"
             "Sec-WebSocket-Accept: %s\r\n\r\n" TALK,
             accept);
    if (peer_say(s, head) < 0) return;
    while (vt_read(s, head, sizeof head) > 0) continue;
}
/* /r redirects; WebSockets say one message; all else answers with many fields, chunks and a trailer. */
static int serve(struct peer *p, vt_sock *s, int nth) {
    static char big[9000];
    char head[4000];
    (void)nth;
    memset(big, 'b', sizeof big - 1);
    for (;;) {
        vt_mutex_lock(&p->mu);
        p->ngot = 0;
        vt_mutex_unlock(&p->mu);
        if (!peer_head(p, s, 0)) return 0;
        bool moved = strncmp(p->got, "GET /r ", 7) == 0;
        const char *length = strstr(p->got, "Content-Length: "), *key = strstr(p->got, "WebSocket-Key: ");
        if (key) return serve_ws(s, key + 15), 0;
        bool chunked = strstr(p->got, "chunked") != NULL;
        for (int n = length ? atoi(length + 16) : chunked ? 6000 + 8 + 5 : 0; n > 0; n--)
            if (vt_read(s, head, 1) <= 0) return 0;
        size_t n = (size_t)sprintf(head, "HTTP/1.1 %s\r\n", moved ? "302 Found\r\nLocation: /x" : "200 OK");
        for (int i = 0; i < 100; i++) n += (size_t)sprintf(head + n, "x-%d: %d\r\n", i, i);
        sprintf(head + n, "Transfer-Encoding: chunked\r\n\r\n");
        if (peer_say(s, head) < 0 || peer_say(s, "2327\r\n") < 0 || peer_say(s, big) < 0 ||
            peer_say(s, "\r\n0\r\nX-End: 1\r\n\r\n") < 0)
            return 0;
    }
}
static int64_t piece(void *ctx, void *buf, size_t n) {
    int *left = ctx;
    n = VT__MIN(n, (size_t)*left);
    memset(buf, 'p', n);
    *left -= (int)n;
    return (int64_t)n;
}
static bool whole(vt_call *call) {
    bool good = vt_call_send(call) == 200 && vt_call_whole(call) == 0 && vt_call_text(call).len == 8999 &&
                vt_call_res_field(call, "x-99").ptr && vt_call_res_trailer(call, "x-end").ptr;
    CHECK(good || vt_call_status(call) < 0); /* never a wrong answer */
    vt_call_free(call);
    return good;
}
static bool work(vt_client *c, struct peer *p) {
    char url[120];
    int left = 6000;
    bool talked = talk(c, p->url);
    snprintf(url, sizeof url, "%sr", p->url);
    vt_call *call = vt_call_new(c, "GET", url);
    vt_call_field(call, "X-Field", "value");
    bool good = whole(call);
    call = vt_call_new(c, "PUT", p->url);
    vt_call_body_from(call, piece, &left, -1);
    good &= whole(call);
    call = vt_call_new(c, "POST", p->url);
    if (vt_call_open(call, 20000) == 0) {
        static const char block[5000] = "x";
        for (int i = 0; i < 4; i++) vt_call_write(call, block, sizeof block);
    }
    return whole(call) && good && talked;
}
static struct {
    void (*table)(void);
    bool onward;
} now;
static void sweep_body(void) {
    static struct peer p;
    struct vt__plat_table before = vt__plat;
    int64_t n = 1, most = 600;
    peer_start(&p, serve);
    now.table();
    fault.thread = vt__sched_self();
    for (bool last = false; !last && n < most; n++) {
        fault_set(n, now.onward);
        vt_client *c = vt_client_new(NULL);
        bool good = work(c, &p);
        last = fault.count < n;
        fault_set(0, false);
        CHECK(!last || good);
        if (c->err == 0) {
            CHECK_EQ(c->conns, c->nidle);
            CHECK(work(c, &p)); /* what failed has left nothing behind */
        }
        vt_client_free(c);
    }
    vt__plat = before;
    peer_stop(&p);
    CHECK(n > 10 && n < most);
}
static void sweep(void (*table)(void), bool onward) {
    now.table = table;
    now.onward = onward;
    cli_run(1, sweep_body);
}
TEST(fault_one_allocation_fails) { sweep(on_memory, false); }
TEST(fault_all_allocations_fail_from_there) { sweep(on_memory, true); }
TEST(fault_one_system_call_fails) { sweep(on_calls, false); }
