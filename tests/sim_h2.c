/* Clients of HTTP/2 over minutes of the scripted kernel's time. */
/* variants: default asan */
#define VTHTTP_SIM 1
#define VTHTTP_H2 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "simkernel.h"
#include "simsrv.h"

enum { PORT = 8080, CANCELS = 10000 };
static vt_server_stats stats; /* at the end of the client's script */
static int running, most, cancelled;

static int h_map(vt_req *req, vt_res *res) {
    (void)req;
    running++;
    most = VT__MAX(most, running);
    int r = vt_sleep_ms(10000);
    running--;
    cancelled += r == -ECANCELED;
    return r < 0 ? r : vt_res_text(res, 200, "tile");
}
static size_t count(struct sim_peer *p) {
    (void)p;
    return 0;
}
static void look(struct sim_peer *p) {
    (void)p;
    vt_server_stats_get(srv, &stats);
}
static void on_peer_done(struct sim_peer *p) {
    (void)p;
    sim_post(0, srv_stop, NULL, 0);
}
static void on_idle(void) { srv_stop(NULL, 0); }
static void on_log(void *ctx, int level, const char *line) { (void)ctx, (void)level, (void)line; }

/* ---- the client ---- */
static struct script {
    uint8_t *text, *end;
    struct sim_step *steps;
    int n;
} script;
static void script_add(enum sim_op op, const void *p, size_t n, int64_t arg) {
    script.steps[script.n++] = (struct sim_step){(int)op, p, n, arg, NULL};
}
static void put(const void *p, size_t n) {
    memcpy(script.end, p, n);
    script.end += n;
}
static void put_head(uint32_t id) { /* GET http://a/ */
    static const uint8_t block[] = {0x82, 0x86, 0x84, 0x41, 1, 'a'};
    script.end = vt__h2_put_frame(script.end, sizeof block, VT__H2_T_HEADERS,
                                  VT__H2_END_STREAM | VT__H2_END_HEADERS, id);
    put(block, sizeof block);
}
/* CANCELS requests, `burst` at once, each cancelled after `hold`; the next burst comes `rest` later. */
static void cancels(int burst, int64_t hold, int64_t rest) {
    uint8_t *from = script.text = script.end = malloc(CANCELS * 64);
    script.steps = malloc((CANCELS / (size_t)burst * 4 + 8) * sizeof *script.steps);
    script.n = 0;
    put(VT__H2_PREFACE, VT__H2_PREFACE_LEN);
    script.end = vt__h2_put_frame(script.end, 0, VT__H2_T_SETTINGS, 0, 0);
    script.end = vt__h2_put_frame(script.end, 0, VT__H2_T_SETTINGS, VT__H2_ACK, 0);
    for (uint32_t id = 1, first = 1; id < 2 * CANCELS; first = id) {
        for (int i = 0; i < burst; i++, id += 2) put_head(id);
        script_add(SIM_SEND, from, (size_t)(script.end - from), 0), from = script.end;
        script_add(SIM_DELAY, NULL, 0, hold);
        for (uint32_t k = first; k < id; k += 2)
            script.end = vt__h2_put_word(script.end, VT__H2_T_RST_STREAM, k, VT__H2_CANCEL);
        script_add(SIM_SEND, from, (size_t)(script.end - from), 0), from = script.end;
        script_add(SIM_DELAY, NULL, 0, rest);
    }
    put(vt__h2_put_frame(script.end, 8, VT__H2_T_PING, 0, 0) - VT__H2_FRAME, VT__H2_FRAME);
    put("the end.", 8);
    script_add(SIM_SEND, from, (size_t)(script.end - from), 0);
    script_add(SIM_DELAY, NULL, 0, VT_SEC);
    script.steps[script.n++] = (struct sim_step){SIM_CALL, NULL, 0, 0, look};
    script_add(SIM_FIN, NULL, 0, 0);
}
/* Of the frames that came, those of a type; with `flags` set. */
static int frames(const struct sim_peer *p, unsigned type, unsigned flags) {
    int n = 0;
    for (size_t at = 0; at + VT__H2_FRAME <= p->ngot;) {
        const uint8_t *f = (const uint8_t *)p->got + at;
        n += f[3] == type && (f[4] & flags) == flags;
        at += VT__H2_FRAME + (vt__str_get32(f) >> 8);
    }
    return n;
}
static struct sim_peer *serve(vt_handler *h, int max_streams) {
    vt_server_cfg cfg = {
        .addr = "127.0.0.1:8080", .workers = 1, .idle_timeout_ms = VT_NONE, .max_streams = max_streams};
    sim.count = count;
    sim.on_idle = on_idle;
    sim.on_peer_done = on_peer_done;
    running = most = cancelled = 0;
    vt_log_set(on_log, NULL, VT_LOG_DEBUG);
    struct sim_peer *p = sim_client(100 * VT_MS, PORT, script.steps, script.n);
    srv = vt_server_new(&cfg);
    vt_server_get(srv, "/", h);
    CHECK_EQ(vt_server_run(srv), 0);
    vt_server_free(srv);
    srv = NULL;
    sim_settle();
    return p;
}
static void script_end(void) {
    (void)sim_end();
    free(script.text);
    free(script.steps);
}
static void play(int burst, int64_t hold, int64_t rest, bool cut) {
    sim_begin(1);
    cancels(burst, hold, rest);
    struct sim_peer *p = serve(h_map, 0);
    CHECK_EQ(stats.h2_floods[VT_H2_RESETS], cut);
    CHECK_EQ(frames(p, VT__H2_T_PING, VT__H2_ACK), !cut);
    CHECK_EQ(frames(p, VT__H2_T_GOAWAY, 0) > 0, cut);
    if (!cut) {
        CHECK_EQ(stats.h2_counts[VT_H2_RESETS], CANCELS);
        CHECK_EQ(cancelled, CANCELS);
        for (int i = 0; i < VT_H2_CAUSES; i++) CHECK_EQ(stats.h2_floods[i], 0);
    }
    CHECK_EQ(running, 0);
    CHECK(most <= burst);
    script_end();
}
/* A map that is dragged about: 10,000 requests are cancelled within a minute, and the client is never cut off. Ten times as
 * fast is an attack. */
TEST(a01_cancellations_of_a_busy_client) {
    play(1, 3 * VT_MS, 3 * VT_MS, false);
    play(50, 100 * VT_MS, 200 * VT_MS, false);
    play(50, 10 * VT_MS, 20 * VT_MS, true);
}

/* ---- many at once ---- */
/* How many of one kind were between two polls of the reactor, at most. */
static struct tally {
    int64_t polls;
    int n, most, all;
} begun, ended;
static void tell(struct tally *t) {
    int64_t polls = vt__sched_thr()->dom->polls;
    t->n = t->polls == polls ? t->n + 1 : 1;
    t->polls = polls;
    t->most = VT__MAX(t->most, t->n);
    t->all++;
}
static int h_waits(vt_req *req, vt_res *res) {
    (void)req;
    tell(&begun);
    int r = vt_sleep(1000 * VT_SEC);
    tell(&ended);
    return r < 0 ? r : vt_res_text(res, 200, "late");
}
static int h_now(vt_req *req, vt_res *res) {
    (void)req;
    tell(&begun);
    return vt_res_text(res, 200, "soon");
}
static const uint8_t *script_begin(void) {
    script.text = script.end = malloc(1 << 17);
    script.steps = malloc(16 * sizeof *script.steps);
    script.n = 0;
    begun = ended = (struct tally){0};
    put(VT__H2_PREFACE, VT__H2_PREFACE_LEN);
    script.end = vt__h2_put_frame(script.end, 0, VT__H2_T_SETTINGS, 0, 0);
    script.end = vt__h2_put_frame(script.end, 0, VT__H2_T_SETTINGS, VT__H2_ACK, 0);
    return script.text;
}
/* All that was put since `from` goes out, and the answers may come. */
static const uint8_t *script_send(const uint8_t *from) {
    script_add(SIM_SEND, from, (size_t)(script.end - from), 0);
    script_add(SIM_DELAY, NULL, 0, 100 * VT_MS);
    return script.end;
}
/* Who asks for much gets it in portions, and others their turns between them; who is cut off, and who cancels all of it,
 * also ends in portions. */
static void many(enum sim_op last_step, bool cancel) {
    enum { MANY = 1000 };
    sim_begin(1);
    const uint8_t *from = script_begin();
    for (uint32_t i = 0; i < MANY; i++) put_head(2 * i + 1);
    from = script_send(from);
    for (uint32_t i = 0; cancel && i < MANY; i++)
        script.end = vt__h2_put_word(script.end, VT__H2_T_RST_STREAM, 2 * i + 1, VT__H2_CANCEL);
    if (cancel) (void)script_send(from);
    script_add(last_step, NULL, 0, 0);
    (void)serve(h_waits, MANY);
    CHECK_EQ(begun.all, MANY);
    CHECK(begun.most >= 32 && begun.most < 60);
    CHECK_EQ(ended.all, MANY);
    CHECK(ended.most >= 32 && ended.most <= (cancel ? 90 : 32));
    script_end();
}
TEST(a33_many_requests_begin_and_end_in_portions) {
    many(SIM_RST, false);
    many(SIM_CLOSE, true);
}
/* Requests that come in one piece: one read, and their answers leave in one write. */
TEST(sim_system_calls_of_streams) {
    sim_begin(1);
    const uint8_t *from = script_begin();
    put_head(1);
    from = script_send(from);
    for (uint32_t i = 1; i <= 32; i++) put_head(2 * i + 1);
    (void)script_send(from);
    script_add(SIM_FIN, NULL, 0, 0);
    sim_at(150 * VT_MS, count_calls, NULL);
    sim_at(250 * VT_MS, count_calls, &calls_then);
    struct sim_peer *p = serve(h_now, 0);
    CHECK_EQ(begun.all, 33);
    CHECK_EQ(begun.most, 32);
    CHECK_EQ(frames(p, VT__H2_T_HEADERS, 0), 33);
    CHECK_EQ(frames(p, VT__H2_T_DATA, VT__H2_END_STREAM), 33);
    CHECK_EQ(called(SIM_recv), 1);
    CHECK_EQ(sends(), 1);
    CHECK_EQ(called(SIM_setsockopt) + called(SIM_getsockopt) + called(SIM_fcntl), 0);
#if defined(__linux__) && !VTHTTP_POLL
    CHECK_EQ(called(SIM_epoll_ctl), 0);
    CHECK(called(SIM_epoll_wait) + called(SIM_epoll_pwait2) <= 4);
#endif
    script_end();
}
