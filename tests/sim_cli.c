/* Clients on the scripted kernel: bytes that come one by one, sockets that take little, ends and resets at every point,
 * failing calls. Whatever happens, each call ends with the right answer or an error, what is safe is sent again where a
 * kept connection was no good, and nothing is left. */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "simkernel.h"
#include "simcli.h"

/*--- servers: what each port does ---*/
enum { KEEP, RACE, TO_CLOSE, CUT, MUTE, EARLY, GO_ON, NOBODY, KINDS };
enum { PORT = 700, STEPS = 16, BODY = 600, CALLERS = 5, CALLS = 3 };
static struct {
    struct sim_step at[STEPS];
    int n;
} script[KINDS];
static char body[BODY + 1], by_length[BODY + 200], by_chunks[BODY + 400], by_close[BODY + 100];
static size_t cut; /* of by_length: what CUT sends */

static void does(int kind, int op, int64_t arg) {
    script[kind].at[script[kind].n++] = (struct sim_step){.op = op, .arg = arg};
}
static void says(int kind, const char *text, size_t n) {
    script[kind].at[script[kind].n++] = (struct sim_step){.op = SIM_SEND, .p = text, .n = n};
}
static int64_t some(int64_t most) { return (int64_t)sim_below((uint64_t)most); }
static int ending(void) { return (int[]){SIM_FIN, SIM_CLOSE, SIM_RST}[sim_below(3)]; }
static void texts(void) {
    size_t n = (size_t)sprintf(by_chunks, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < BODY; i++) body[i] = (char)('a' + i % 26);
    for (int i = 0; i < BODY; i += 100) n += (size_t)sprintf(by_chunks + n, "64;x=y\r\n%.100s\r\n", body + i);
    sprintf(by_chunks + n, "0\r\nX-End: 1\r\n\r\n");
    sprintf(by_length, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", BODY, body);
    sprintf(by_close, "HTTP/1.1 200 OK\r\n\r\n%s", body);
}
static void scripts(void) {
    static const char early[] = "HTTP/1.1 413 Large\r\nContent-Length: 3\r\n\r\nbig",
                      go[] = "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 100 Go on\r\n\r\n";
    memset(script, 0, sizeof script);
    for (int i = 1; i <= 4; i++) {
        const char *text = sim_chance(500) ? by_length : by_chunks;
        does(KEEP, SIM_AWAIT_N, i);
        says(KEEP, text, strlen(text));
    }
    does(KEEP, SIM_DELAY, some(3 * VT_MS));
    does(KEEP, SIM_FIN, 0);
    does(RACE, SIM_AWAIT_N, 1);
    says(RACE, by_length, strlen(by_length));
    does(RACE, SIM_DELAY, some(3 * VT_MS));
    does(RACE, SIM_FIN, 0); /* the answer is not taken back, as by a reset */
    does(TO_CLOSE, SIM_AWAIT_N, 1);
    says(TO_CLOSE, by_close, strlen(by_close));
    does(TO_CLOSE, SIM_FIN, 0);
    does(CUT, SIM_AWAIT_N, 1);
    says(CUT, by_length, cut = sim_size(strlen(by_length)));
    does(CUT, ending(), 0);
    does(EARLY, SIM_AWAIT, 1);
    says(EARLY, early, sizeof early - 1);
    does(EARLY, SIM_DELAY, some(VT_MS));
    does(EARLY, ending(), 0);
    does(GO_ON, SIM_AWAIT, 30);
    says(GO_ON, go, sizeof go - 1);
    does(GO_ON, SIM_AWAIT_N, 1);
    says(GO_ON, by_chunks, strlen(by_chunks));
    does(GO_ON, SIM_FIN, 0);
    for (int i = 0; i < KINDS; i++) does(i, SIM_AWAIT_END, 0);
    for (int i = 0; i < KINDS; i++)
        sim_serve(PORT + i,
                  i < NOBODY        ? 0
                  : sim_chance(500) ? ECONNREFUSED
                                    : SIM_DEAF,
                  script[i].at, script[i].n);
}
/* Requests that have come: each ends in this, the last of its path or of its body. */
static size_t count(struct sim_peer *p) {
    size_t n = 0;
    for (size_t i = 4; i <= p->ngot; i++) n += memcmp(p->got + i - 4, "END.", 4) == 0;
    return n;
}

/*--- callers ---*/
static vt_client *client;
static bool faults, cancels;
static int64_t piece(void *ctx, void *buf, size_t n) {
    size_t *left = ctx;
    n = VT__MIN(n, VT__MIN(*left, (size_t)700));
    memset(buf, 'p', n);
    *left -= n;
    if (n && *left == 0) memcpy((char *)buf + n - 4, "END.", 4);
    return (int64_t)n;
}
static vt_call *ask(int kind, int how, size_t *left) {
    static char big[2 * BODY];
    char url[60];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/%s", PORT + kind, how == 0 ? "END." : "x");
    vt_call *call = vt_call_new(client, how == 0 ? "GET" : how == 1 ? "PUT" : "POST", url);
    memset(big, 'b', sizeof big);
    memcpy(big + sizeof big - 4, "END.", 4);
    if (kind == GO_ON) vt_call_expect(call);
    if (how == 1) vt_call_body(call, big, sizeof big);
    if (how == 2) vt_call_body_from(call, piece, left, sim_chance(500) ? -1 : (int64_t)*left);
    return call;
}
static bool lost(int r) { return r == VT_EEOF || r == -ECONNRESET || r == -EPIPE; }
/* Whether this is how such a call may end when no call of the system fails. how 2: its body is read once. */
static bool fits(int kind, int how, int r) {
    if (cancels && r == -ECANCELED) return true;
    switch (kind) {
    case KEEP:
    case RACE:
    case GO_ON: return r == 200 || (how == 2 && lost(r));
    case CUT: return lost(r);
    case MUTE: return r == -ETIMEDOUT;
    case EARLY: return r == 413 || lost(r);
    case NOBODY: return r == -ECONNREFUSED || r == -ETIMEDOUT;
    default: return r == 200;
    }
}
static void one_call(void) {
    size_t left = 4 * BODY / 3;
    int kind = (int)sim_below(KINDS), how = (int)sim_below(3);
    vt_call *call = ask(kind, how, &left);
    int r = vt_call_send(call);
    if (r >= 0 && sim_chance(900)) {
        int whole = vt_call_whole(call);
        vt_str text = vt_call_text(call);
        if (whole < 0) r = whole;
        else if (r == 413) CHECK_STR(text.ptr, "big");
        else CHECK_MEM(text.ptr, text.len, body, BODY);
    } else if (r >= 0) {
        r = kind == CUT ? VT_EEOF : r; /* it does not ask what would have come of it */
    }
    if (!faults && !fits(kind, how, r)) printf("kind %d how %d: %d %s\n", kind, how, r, vt_strerror(r));
    CHECK(faults || fits(kind, how, r));
    vt_call_free(call);
}
static int caller(void *arg) {
    (void)arg;
    for (int i = 0; i < CALLS; i++) {
        one_call();
        if (sim_chance(500)) vt_sleep(some(5 * VT_MS));
    }
    return 0;
}
static int world_main(void *arg) {
    static const int ids[] = {SIM_realloc, SIM_recv,    SIM_send,     SIM_sendmsg,
                              SIM_socket,  SIM_connect, SIM_epoll_ctl};
    vt_task *t[CALLERS];
    bool grow_old = sim_chance(500);
    (void)arg;
    client = vt_client_new(&(vt_client_cfg){
        .proxy = "", .max_connections = 4, .max_connections_host = 2, .connect_timeout_ms = 600000});
    for (int i = 0; i < CALLERS; i++) t[i] = vt_async(caller, NULL);
    if (faults)
        for (size_t i = 0; i < VT__COUNT(ids); i++)
            if (sim_chance(400)) sim_fault_rate(ids[i], 1 + (int)sim_below(60));
    if (cancels)
        for (int i = 0; i < CALLERS; i++) {
            vt_sleep(some(20 * VT_MS));
            vt_cancel(t[i]);
        }
    for (int i = 0; i < CALLERS; i++) vt_await(t[i], NULL);
    memset(sim.f, 0, sizeof sim.f);
    CHECK_EQ(client->conns, client->nidle);
    CHECK(vt__ds_list_empty(&client->waiting));
    if (grow_old) vt_sleep(40 * VT_SEC);
    if (grow_old) CHECK_EQ(client->conns, 0);
    if (sim_chance(500)) return 0; /* it outlives the runtime */
    vt_client_free(client);
    client = NULL;
    return 0;
}
static void world(uint64_t seed) {
    vt_cfg cfg = {.workers = 1, .deadlock = VT_NONE};
    sim_begin(seed);
    sim_knobs();
    sim.count = count;
    sim.horizon = INT64_C(100000) * VT_SEC;
    scripts();
    CHECK_EQ(vt_run(&cfg, world_main, NULL), 0);
    vt_client_free(client);
    client = NULL;
    sim_settle();
    drop_conns();
    (void)sim_end();
}
static void worlds(int n) {
    const char *one = getenv("SIM_SEED");
    uint64_t state = test_seed();
    vt_log_set(quiet, NULL, VT_LOG_DEBUG);
    texts();
    for (int i = 0; i < (one ? 1 : n); i++) {
        int before = test_failures;
        uint64_t seed = one ? (uint64_t)strtoull(one, NULL, 0) : test_rand(&state);
        world(seed);
        if (test_failures > before) printf("in the world of SIM_SEED=0x%llx\n", (unsigned long long)seed);
    }
}
/* The answer ends, or is reset, behind every one of its bytes. */
static int cuts_main(void *arg) {
    const char *text = arg;
    size_t left = 0, n = strlen(text);
    client = vt_client_new(&(vt_client_cfg){.proxy = ""});
    for (size_t i = 0; i < 2 * n; i++) {
        script[CUT].n = 0;
        does(CUT, SIM_AWAIT_N, 1);
        says(CUT, text, i / 2);
        does(CUT, i % 2 ? SIM_FIN : SIM_RST, 0);
        does(CUT, SIM_AWAIT_END, 0);
        vt_call *call = ask(CUT, 0, &left);
        if (vt_call_send(call) >= 0) vt_call_whole(call);
        CHECK(lost(vt_call_status(call)));
        vt_call_free(call);
        CHECK_EQ(client->conns, 0);
        sim.npeers = 0; /* they are over */
    }
    vt_client_free(client);
    client = NULL;
    return 0;
}
static void cuts(const char *text) {
    vt_cfg cfg = {.workers = 1, .deadlock = VT_NONE};
    vt_log_set(quiet, NULL, VT_LOG_DEBUG);
    texts();
    sim_begin(test_seed());
    sim.count = count;
    sim.horizon = INT64_C(100000) * VT_SEC;
    scripts();
    CHECK_EQ(vt_run(&cfg, cuts_main, (void *)(uintptr_t)text), 0);
    sim_settle();
    drop_conns();
    (void)sim_end();
}
TEST(sim_cut_at_every_byte) {
    cuts(by_length);
    cuts(by_chunks);
}
TEST(sim_calls) {
    faults = cancels = false;
    worlds(80);
}
TEST(sim_calls_that_are_cancelled) {
    cancels = true, faults = false;
    worlds(60);
}
TEST(sim_calls_of_the_system_fail) {
    faults = true, cancels = false;
    worlds(80);
}
