/* As fault_cli.c, over HTTP/2: what is hit is the caller, and who drives its connection. */
/* variants: default asan */
#define VTHTTP_SIM 1
#define VTHTTP_H2 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "faultcli.h"
#include "h2script.h"

/* An interim response, many fields, a body in pieces, and a trailer. */
static int put_all(vt_sock *s, uint32_t id) {
    static char piece[3000];
    uint8_t b[8000];
    char name[20];
    memset(piece, 'b', sizeof piece);
    if (put_head(s, id, false, "103", "link", "</x>") < 0) return -1;
    size_t n = hpack_line(b, ":status", "200");
    for (int i = 0; i < 100; i++) {
        sprintf(name, "x-%d", i);
        n += hpack_line(b + n, name, "a value that takes some room");
    }
    if (put(s, VT__H2_T_HEADERS, VT__H2_END_HEADERS, id, b, n) < 0) return -1;
    for (int i = 0; i < 10; i++)
        if (put(s, VT__H2_T_DATA, 0, id, piece, sizeof piece) < 0) return -1;
    n = hpack_line(b, "x-end", "1");
    return put(s, VT__H2_T_HEADERS, VT__H2_END_HEADERS | VT__H2_END_STREAM, id, b, n);
}
static int serve(struct peer *p, vt_sock *s, int nth) {
    struct frame f;
    (void)p, (void)nth;
    if (!hello(s, 0, 0)) return 0;
    while (next_frame(s, &f)) {
        int r = 0;
        bool mine = f.type == VT__H2_T_HEADERS || f.type == VT__H2_T_DATA;
        if (f.type == VT__H2_T_DATA && f.len) {
            r = put_word(s, VT__H2_T_WINDOW_UPDATE, 0, f.len);
            if (r == 0) r = put_word(s, VT__H2_T_WINDOW_UPDATE, f.id, f.len);
        }
        if (f.type == VT__H2_T_PING) r = put(s, VT__H2_T_PING, VT__H2_ACK, 0, f.p, 8);
        if (f.type == VT__H2_T_SETTINGS && !(f.flags & VT__H2_ACK))
            r = put(s, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0);
        if (r == 0 && mine && f.flags & VT__H2_END_STREAM) r = put_all(s, f.id);
        if (r < 0) return 0;
    }
    return 0;
}
/* Whatever is asked for is a WebSocket. */
static int serve_ws(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    if (!hello(s, VT__H2_S_CONNECT, 1)) return 0;
    for (uint32_t id; (id = request(p, s)) != 0;)
        if (put_head(s, id, false, "200", "sec-websocket-protocol", "a") < 0 ||
            put(s, VT__H2_T_DATA, VT__H2_END_STREAM, id, TALK, sizeof TALK - 1) < 0)
            break;
    return 0;
}
static int64_t piece(void *ctx, void *buf, size_t n) {
    int *left = ctx;
    n = VT__MIN(n, (size_t)*left);
    memset(buf, 'p', n);
    *left -= (int)n;
    return (int64_t)n;
}
static bool whole(vt_call *call) {
    bool good = vt_call_send(call) == 200 && vt_call_whole(call) == 0 && vt_call_text(call).len == 30000 &&
                vt_call_res_field(call, "x-99").ptr && vt_call_res_trailer(call, "x-end").ptr;
    CHECK(good || vt_call_status(call) < 0); /* never a wrong answer */
    vt_call_free(call);
    return good;
}
static bool work(vt_client *c, struct peer *p) {
    static const char block[5000] = "x";
    int left = 6000;
    vt_call *early = vt_call_new(c, "GET", p->url), *call = vt_call_new(c, "GET", p->url);
    bool good = vt_call_send(early) == 200; /* and is read behind the others */
    vt_call_field(call, "X-Field", "value");
    good &= whole(call);
    call = vt_call_new(c, "PUT", p->url);
    vt_call_body_from(call, piece, &left, -1);
    vt_call_trailer(call, "X-Sum", "1");
    good &= whole(call);
    call = vt_call_new(c, "POST", p->url);
    if (vt_call_open(call, 100000) == 0)
        for (int i = 0; i < 20; i++) vt_call_write(call, block, sizeof block);
    good &= whole(call);
    good &= vt_call_whole(early) == 0 && vt_call_text(early).len == 30000;
    vt_call_free(early);
    return good;
}
static bool talks(vt_client *c, struct peer *p) {
    bool first = talk(c, p->url), second = talk(c, p->url); /* on the first one's connection */
    return first && second && c->conns <= 1;
}
static struct {
    void (*table)(void);
    bool onward;
    int (*serve)(struct peer *p, vt_sock *s, int nth);
    bool (*work)(vt_client *c, struct peer *p);
} now;
static void sweep_body(void) {
    static struct peer p;
    struct vt__plat_table before = vt__plat;
    int64_t n = 1, most = 1000;
    peer_start(&p, now.serve);
    now.table();
    fault.thread = vt__sched_self();
    fault.driver = true;
    for (bool last = false; !last && n < most; n++) {
        fault_set(n, now.onward);
        vt_client *c = vt_client_new(&(vt_client_cfg){.http2 = VT_HTTP2_PRIOR});
        bool good = now.work(c, &p);
        last = fault.count < n;
        fault_set(0, false);
        CHECK(!last || good);
        if (c->err == 0) {
            for (int i = 0; i < 5000 && c->conns != c->nidle; i++) vt_sleep_ms(1); /* by the driver */
            CHECK_EQ(c->conns, c->nidle);
            CHECK(now.work(c, &p)); /* what failed has left nothing behind */
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
    now.serve = serve, now.work = work;
    cli_run(1, sweep_body);
}
static void sweep_ws(void (*table)(void), bool onward) {
    now.table = table;
    now.onward = onward;
    now.serve = serve_ws, now.work = talks;
    cli_run(1, sweep_body);
}
TEST(fault_one_allocation_fails_cli_h2) { sweep(on_memory, false); }
TEST(fault_all_allocations_fail_from_there_cli_h2) { sweep(on_memory, true); }
TEST(fault_one_system_call_fails_cli_h2) { sweep(on_calls, false); }
TEST(fault_one_allocation_fails_ws_h2) { sweep_ws(on_memory, false); }
TEST(fault_all_allocations_fail_from_there_ws_h2) { sweep_ws(on_memory, true); }
TEST(fault_one_system_call_fails_ws_h2) { sweep_ws(on_calls, false); }
