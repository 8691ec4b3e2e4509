/* Clients over HTTP/2 on the scripted kernel: bytes that come one by one, sockets that take little, GOAWAY, refusals, ends and
 * resets at every point, failing calls. Whatever happens, each call ends with the right answer or an error, what the
 * server did not begin with is sent again, and nothing is left. */
/* variants: default asan */
#define VTHTTP_SIM 1
#define VTHTTP_H2 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "simkernel.h"
#include "simcli.h"

/*--- servers: what each port does ---*/
enum { KEEP, RACE, REFUSE, CUT, MUTE, BAD, WAITS, NOBODY, KINDS };
enum { PORT = 700, STEPS = 20, BODY = 600, ANSWERS = 6, CALLERS = 5, CALLS = 3 };
static struct {
    struct sim_step at[STEPS];
    int n;
} script[KINDS];
struct text {
    uint8_t p[4 * BODY];
    size_t n;
};
static struct text opening, narrow, answers[ANSWERS], bye, refusal, wide;
static char body[BODY + 1];
static size_t cut; /* of an answer: what CUT sends */

static void add(struct text *t, unsigned type, unsigned flags, uint32_t id, const void *p, size_t n) {
    uint8_t *to = vt__h2_put_frame(t->p + t->n, n, type, flags, id);
    if (n) memcpy(to, p, n);
    t->n = (size_t)(to - t->p) + n;
}
static void add_words(struct text *t, unsigned type, uint32_t id, uint32_t a, uint32_t b, size_t n) {
    uint8_t p[8];
    (void)vt__h2_put32(vt__h2_put32(p, a), b);
    add(t, type, 0, id, p, n);
}
static void texts(void) {
    static const uint8_t small[] = {0, VT__H2_S_WINDOW, 0, 0, 0, 10};
    for (int i = 0; i < BODY; i++) body[i] = (char)('a' + i % 26);
    opening.n = narrow.n = bye.n = refusal.n = wide.n = 0;
    add(&opening, VT__H2_T_SETTINGS, 0, 0, NULL, 0);
    add(&opening, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0);
    add(&narrow, VT__H2_T_SETTINGS, 0, 0, small, sizeof small);
    add(&narrow, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0);
    add_words(&bye, VT__H2_T_GOAWAY, 0, 2 * ANSWERS - 1, 0, 8);
    add_words(&refusal, VT__H2_T_RST_STREAM, 1, VT__H2_REFUSED_STREAM, 0, 4);
    add_words(&wide, VT__H2_T_WINDOW_UPDATE, 1, 100000, 0, 4);
    for (uint32_t i = 0; i < ANSWERS; i++) {
        struct text *t = &answers[i];
        static const uint8_t status[] = {0x88}, end[] = {0, 5, 'x', '-', 'e', 'n', 'd', 1, '1'};
        t->n = 0;
        add(t, VT__H2_T_HEADERS, VT__H2_END_HEADERS, 2 * i + 1, status, sizeof status);
        for (size_t at = 0; at < BODY; at += 100) add(t, VT__H2_T_DATA, 0, 2 * i + 1, body + at, 100);
        add(t, VT__H2_T_HEADERS, VT__H2_END_HEADERS | VT__H2_END_STREAM, 2 * i + 1, end, sizeof end);
    }
}
static void does(int kind, int op, int64_t arg) {
    script[kind].at[script[kind].n++] = (struct sim_step){.op = op, .arg = arg};
}
static void says(int kind, const void *p, size_t n) {
    script[kind].at[script[kind].n++] = (struct sim_step){.op = SIM_SEND, .p = p, .n = n};
}
static void says_text(int kind, const struct text *t) { says(kind, t->p, t->n); }
static int64_t some(int64_t most) { return (int64_t)sim_below((uint64_t)most); }
static int ending(void) { return (int[]){SIM_FIN, SIM_CLOSE, SIM_RST}[sim_below(3)]; }
static void answers_to(int kind, int from, int n) {
    for (int i = from; i < n; i++) {
        does(kind, SIM_AWAIT_N, i + 1);
        says_text(kind, &answers[i]);
    }
}
static void scripts(void) {
    memset(script, 0, sizeof script);
    for (int i = 0; i < NOBODY; i++) says_text(i, i == WAITS ? &narrow : &opening);
    answers_to(KEEP, 0, ANSWERS);
    does(KEEP, SIM_DELAY, some(3 * VT_MS));
    says_text(KEEP, &bye);
    does(KEEP, SIM_FIN, 0);
    answers_to(RACE, 0, 1);
    does(RACE, SIM_DELAY, some(3 * VT_MS));
    does(RACE, SIM_FIN, 0);
    does(REFUSE, SIM_AWAIT_N, 1);
    says_text(REFUSE, &refusal);
    answers_to(REFUSE, 1, ANSWERS);
    says_text(REFUSE, &bye);
    does(REFUSE, SIM_FIN, 0);
    does(CUT, SIM_AWAIT_N, 1);
    says(CUT, answers[0].p, cut = sim_size(answers[0].n));
    does(CUT, ending(), 0);
    does(BAD, SIM_AWAIT_N, 1);
    says(BAD, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    does(WAITS, SIM_AWAIT_N, 1);
    does(WAITS, SIM_DELAY, some(3 * VT_MS));
    says_text(WAITS, &wide);
    answers_to(WAITS, 0, 1);
    says_text(WAITS, &bye);
    does(WAITS, SIM_FIN, 0);
    for (int i = 0; i < KINDS; i++) does(i, SIM_AWAIT_END, 0);
    for (int i = 0; i < KINDS; i++)
        sim_serve(PORT + i,
                  i < NOBODY        ? 0
                  : sim_chance(500) ? ECONNREFUSED
                                    : SIM_DEAF,
                  script[i].at, script[i].n);
}
/* Requests whose heads have come. */
static size_t count(struct sim_peer *p) {
    size_t n = 0;
    for (size_t at = VT__H2_PREFACE_LEN; at + VT__H2_FRAME <= p->ngot;) {
        const uint8_t *frame = (const uint8_t *)p->got + at;
        at += VT__H2_FRAME + (vt__h2_get32(frame) >> 8);
        n += frame[3] == VT__H2_T_HEADERS && at <= p->ngot;
    }
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
    return (int64_t)n;
}
static vt_call *ask(int kind, int how, size_t *left) {
    static const char big[2 * BODY];
    char url[60];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/x", PORT + kind);
    vt_call *call = vt_call_new(client, how == 0 ? "GET" : how == 1 ? "PUT" : "POST", url);
    if (how == 1) vt_call_body(call, big, sizeof big);
    if (how == 2) vt_call_body_from(call, piece, left, sim_chance(500) ? -1 : (int64_t)*left);
    return call;
}
static bool lost(int r) { return r == VT_EEOF || r == -ECONNRESET || r == -EPIPE; }
/* Whether this is how such a call may end when no call of the system fails. how 2: its body is read once. */
static bool fits(int kind, int how, int r) {
    if (cancels && r == -ECANCELED) return true;
    switch (kind) {
    case KEEP: return r == 200 || (how == 2 && (lost(r) || r == VT_EREFUSED));
    case REFUSE: return r == 200 || r == VT_EREFUSED || (how == 2 && lost(r)); /* four times, it may be */
    case RACE: return r == 200 || (how == 2 && lost(r));
    case WAITS: return r == 200 || r == VT_EREFUSED || lost(r); /* one a connection */
    case CUT: return lost(r) || (r == 200 && cut == answers[0].n);
    case MUTE: return r == -ETIMEDOUT;
    case BAD: return r == VT_EHTTP;
    default: return r == -ECONNREFUSED || r == -ETIMEDOUT;
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
        else CHECK_MEM(text.ptr, text.len, body, BODY);
        if (whole == 0) CHECK_STR(vt_call_res_trailer(call, "x-end").ptr, "1");
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
/* Connections end by who drives them. */
static void settles(int n) {
    for (int i = 0; i < 100000 && (client->conns > n || client->conns != client->nidle); i++)
        vt_sleep(20 * VT_MS);
    CHECK(client->conns <= n);
    CHECK_EQ(client->conns, client->nidle);
}
static int world_main(void *arg) {
    static const int ids[] = {SIM_realloc, SIM_recv,    SIM_send,     SIM_sendmsg,
                              SIM_socket,  SIM_connect, SIM_epoll_ctl};
    vt_task *t[CALLERS];
    bool grow_old = sim_chance(500);
    (void)arg;
    client = vt_client_new(&(vt_client_cfg){.proxy = "",
                                            .http2 = VT_HTTP2_PRIOR,
                                            .max_connections = 4,
                                            .max_connections_host = 2,
                                            .connect_timeout_ms = 600000});
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
    if (grow_old) settles(0);
    else settles(INT_MAX);
    CHECK(vt__ds_list_empty(&client->waiting));
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
    vt__cpool_reclaim(); /* what the runtime left */
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
TEST(sim_calls_h2) {
    faults = cancels = false;
    worlds(80);
}
TEST(sim_calls_h2_that_are_cancelled) {
    cancels = true, faults = false;
    worlds(60);
}
TEST(sim_calls_h2_of_the_system_fail) {
    faults = true, cancels = false;
    worlds(80);
}
