/* Edges that were missed once, on the scripted kernel: what is left to send while a handler waits, a close that lingers,
 * a stop at a limit, handlers that compute for long, what a request leaves behind on its virtual thread. */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "simkernel.h"
#include "simhttp.h"
#include "simsrv.h"
#include "handlers.h"

#define HOST "Host: a\r\n"
#define STEPS(list) (list), (int)VT__COUNT(list)
#define SENDS(text)                                                                                          \
    { SIM_SEND, text, sizeof(text) - 1, 0, NULL }
#define WAITS(ns)                                                                                            \
    { SIM_DELAY, NULL, 0, ns, NULL }
#define DOES(op, arg)                                                                                        \
    { op, NULL, 0, arg, NULL }
#define CALLS(fn)                                                                                            \
    { SIM_CALL, NULL, 0, 0, fn }
enum { PORT = 8080, CLIENTS = 64 };

/*--- the server and its clients ---*/
static struct client {
    struct sim_peer *peer;
    struct sim_reader reader;
    int64_t marked; /* when its script came to CALLS(mark) */
} clients[CLIENTS];
static int nclients, live;
static int64_t returned_at; /* vt_server_run */

static void on_idle(void) { srv_stop(NULL, 0); }
static void on_peer_done(struct sim_peer *p) {
    (void)p;
    if (--live == 0) sim_post(0, srv_stop, NULL, 0);
}
static size_t count(struct sim_peer *p) {
    struct client *c = p->ctx;
    return p->ngot ? (size_t)sim_read(&c->reader, p->got, p->ngot, p->fin) : 0;
}
static void mark(struct sim_peer *p) { ((struct client *)p->ctx)->marked = sim.now; }
static struct client *chat(int64_t at, const struct sim_step *steps, int n) {
    struct client *c = &clients[nclients++];
    sim_reader_reset(&c->reader);
    c->marked = 0;
    c->peer = sim_client(at, PORT, steps, n);
    c->peer->ctx = c;
    live++;
    return c;
}
static int64_t since_start_ms(int64_t t) { return (t - SIM_START) / VT_MS; }
static int status_of(struct client *c, int i) {
    int n = (int)count(c->peer);
    if (c->reader.bad) test_fail(__FILE__, __LINE__, c->reader.bad);
    return i < n ? c->reader.res[i].status : -1;
}
static void on_log(void *ctx, int level, const char *line) {
    (void)ctx, (void)level;
    if (sim.verbose) printf("           log: %s\n", line);
}
static void begin(uint64_t seed) {
    sim_begin(seed);
    sim.count = count;
    sim.on_idle = on_idle;
    sim.on_peer_done = on_peer_done;
    nclients = live = 0;
    vt_log_set(on_log, NULL, VT_LOG_DEBUG);
}
static void serve(const vt_server_cfg *cfg, void (*routes)(vt_server *s), int want) {
    vt_server_cfg c = *cfg;
    c.addr = "127.0.0.1:8080";
    c.workers = 1;
    srv = vt_server_new(&c);
    routes(srv);
    CHECK_EQ(vt_server_run(srv), want);
    returned_at = sim.now;
    vt_server_free(srv);
    srv = NULL;
    sim_settle();
}
static void end(void) { (void)sim_end(); }
static int64_t open_now(void) { return srv ? srv->run->group.open : -1; }

/* The process computes: time passes and no call is made. */
static void compute(int64_t ns) { sim.now += ns; }

static int h_len(vt_req *req, vt_res *res) {
    int n = atoi(vt_req_param(req, "n").ptr);
    char *p = vt_req_alloc(req, (size_t)n + 1);
    if (!p) return -ENOMEM;
    memset(p, 'l', (size_t)n);
    return vt_res_send(res, 200, "text/plain", p, (size_t)n);
}
static int h_skip(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "skipped");
}

/*--- what is left to send while a handler waits ---*/
static void waiting_routes(vt_server *s) {
    vt_server_get(s, "/len/{n}", h_len);
    vt_server_get(s, "/sleep/{ms}", h_slept);
    vt_server_post(s, "/echo", h_echo);
    vt_server_post(s, "/skip", h_skip);
}
/* The window takes a part of the first answer; the second request then waits for its time, or for a client that sends on
 * when it has the first answer. */
static void output_goes_out(const char *second, bool sends_on, int64_t bytes) {
    char text[400];
    snprintf(text, sizeof text, "GET /len/%d HTTP/1.1\r\n" HOST "\r\n%s", (int)bytes, second);
    const struct sim_step steps[] = {DOES(SIM_READ, 0),    {SIM_SEND, text, strlen(text), 0, NULL},
                                     WAITS(200 * VT_MS),   DOES(SIM_READ, 1),
                                     DOES(SIM_AWAIT_N, 1), CALLS(mark),
                                     SENDS("hello"),       DOES(SIM_AWAIT_N, 2),
                                     DOES(SIM_FIN, 0)};
    struct sim_step own[VT__COUNT(steps)];
    memcpy(own, steps, sizeof steps);
    if (!sends_on) own[6].n = 0;
    struct client *c = chat(100 * VT_MS, STEPS(own));
    vt_server_cfg cfg = {.body_timeout_ms = 5000};
    serve(&cfg, waiting_routes, 0);
    CHECK_EQ(status_of(c, 0), 200);
    CHECK_EQ(status_of(c, 1), 200);
    CHECK(c->marked && since_start_ms(c->marked) < 1000);
}
TEST(output_left_over_goes_out_while_a_handler_waits) {
    static const struct {
        const char *second;
        bool sends_on;
    } kinds[] = {
        {"GET /sleep/4000 HTTP/1.1\r\n" HOST "\r\n", false},
        {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n", true},
        {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", true},
        {"POST /skip HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n", true},
    };
    for (uint64_t i = 0; i < 12 * VT__COUNT(kinds); i++) {
        begin(i);
        sim.k.send_buffer = 500 + (uint32_t)sim_below(2500);
        sim.k.read_grain = i % 3 ? 100 : 0;
        sim.k.lazy = i % 2 ? 200 : 0;
        int before = test_failures;
        output_goes_out(kinds[i % VT__COUNT(kinds)].second, kinds[i % VT__COUNT(kinds)].sends_on,
                        4000 + (int64_t)sim_below(10000));
        if (test_failures > before) printf("in world %d\n", (int)i);
        end();
    }
}

/*--- a close that lingers ---*/
static void linger_routes(vt_server *s) { vt_server_get(s, "/", h_skip); }
static char *flood(const char *head, size_t n, size_t *all) {
    size_t k = strlen(head);
    char *p = malloc(k + n);
    memcpy(p, head, k);
    memset(p + k, 'x', n);
    *all = k + n;
    return p;
}
static int64_t open_at[3];
static void probe(void *arg, uint32_t i) {
    (void)arg;
    open_at[i] = open_now();
}
static void probe_soon(struct sim_peer *p) {
    (void)p;
    sim_post(50 * VT_MS, probe, NULL, 2);
}
/* The answer comes at once; the client reads it when it has sent what the server's window takes. More than a megabyte of
 * it is read and dropped, the rest stays unread, and nothing is reset. */
static void lingers(const char *head, int want, bool leaves) {
    size_t n;
    char *text = flood(head, (1 << 20) + 40000, &n);
    const struct sim_step steps[] = {DOES(SIM_READ, 0),
                                     {SIM_SEND, text, n, 0, NULL},
                                     WAITS(300 * VT_MS),
                                     DOES(SIM_READ, 1),
                                     DOES(SIM_AWAIT_N, 1),
                                     CALLS(mark),
                                     WAITS(leaves ? 1 : 6 * VT_SEC),
                                     CALLS(leaves ? probe_soon : mark),
                                     DOES(SIM_FIN, 0),
                                     WAITS(200 * VT_MS)};
    struct client *c = chat(100 * VT_MS, STEPS(steps));
    sim_at(1900 * VT_MS, probe, NULL);
    open_at[0] = open_at[1] = open_at[2] = -1;
    sim_post(2500 * VT_MS, probe, NULL, 1);
    vt_server_cfg cfg = {0};
    serve(&cfg, linger_routes, 0);
    CHECK_EQ(status_of(c, 0), want);
    CHECK(c->reader.res[0].close && c->peer->fin && !c->peer->rst);
    if (leaves) CHECK_EQ(open_at[2], 0);  /* its close ends the connection */
    if (!leaves) CHECK_EQ(open_at[0], 1); /* else the time does */
    if (!leaves) CHECK_EQ(open_at[1], 0);
    free(text);
}
TEST(a_client_that_sends_too_much_reads_its_answer) {
    for (uint64_t i = 0; i < 8; i++) {
        begin(i);
        sim.k.lazy = i % 4 == 3 ? 200 : 0;
        if (i & 1) lingers("POST / HTTP/1.1\r\n" HOST "Content-Length: 8388608\r\n\r\n", 405, i & 2);
        else lingers("GET / HTTP/1.1\r\n" HOST "Content-Length: 8388608\r\n\r\n", 413, i & 2);
        end();
    }
}

/* A megabyte that is there at once is dropped in portions, and others have their turns between them. */
static struct {
    int64_t polls;
    size_t n, most;
} turn;
static ssize_t recv_in_turn(int fd, void *p, size_t n, int flags) {
    ssize_t r = sim_do_recv(fd, p, n, flags);
    int64_t polls = vt__sched_thr()->dom->polls;
    turn.n = (turn.polls == polls ? turn.n : 0) + (size_t)VT__MAX(r, 0);
    turn.polls = polls;
    turn.most = VT__MAX(turn.most, turn.n);
    return r;
}
TEST(who_is_not_read_any_more_leaves_others_their_turns) {
    begin(1);
    sim.k.recv_buffer = 2 << 20;
    sim.k.lazy = 0;
    vt__plat.recv = recv_in_turn;
    turn.most = 0;
    lingers("GET / HTTP/1.1\r\n" HOST "Content-Length: 8388608\r\n\r\n", 413, true);
    CHECK(turn.most >= VT__LINK_LINGER_TURN && turn.most < 2 * VT__LINK_LINGER_TURN);
    end();
}

/* All of a long answer is in the kernel's queue, and the client still sends. */
TEST(late_bytes_do_not_take_a_long_answer_away) {
    static const struct sim_step steps[] = {
        DOES(SIM_READ, 0),    SENDS("GET /len/300000 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"),
        WAITS(500 * VT_MS),   SENDS("\r\n"),
        WAITS(500 * VT_MS),   DOES(SIM_READ, 1),
        DOES(SIM_AWAIT_N, 1), DOES(SIM_FIN, 0)};
    for (uint64_t i = 0; i < 4; i++) {
        begin(i);
        sim.k.send_buffer = 400000;
        struct client *c = chat(100 * VT_MS, STEPS(steps));
        vt_server_cfg cfg = {0};
        serve(&cfg, waiting_routes, 0);
        CHECK_EQ(status_of(c, 0), 200);
        CHECK(c->reader.res[0].nbody == 300000 && !c->peer->rst);
        end();
    }
}

/* Whoever lingers does not hold a stop up for as long as another. */
static int h_late(vt_req *req, vt_res *res) {
    int r = vt_sleep_ms(1000);
    return r < 0 ? r : h_skip(req, res);
}
static void late_routes(vt_server *s) { vt_server_post(s, "/", h_late); }
TEST(a_stop_lingers_for_less) {
    static const struct sim_step steps[] = {SENDS("POST / HTTP/1.1\r\n" HOST "Content-Length: 900000\r\n"
                                                  "Connection: close\r\n\r\n"),
                                            DOES(SIM_AWAIT_N, 1), WAITS(30 * VT_SEC), DOES(SIM_FIN, 0)};
    for (int stopped = 0; stopped < 2; stopped++) {
        begin(1);
        struct client *c = chat(100 * VT_MS, STEPS(steps));
        if (stopped) sim_at(500 * VT_MS, srv_stop, NULL);
        open_at[0] = -2;
        sim_at(2900 * VT_MS, probe, NULL);
        vt_server_cfg cfg = {0};
        serve(&cfg, late_routes, 0);
        CHECK_EQ(status_of(c, 0), 200);
        if (stopped) CHECK(since_start_ms(returned_at) >= 1100 && since_start_ms(returned_at) < 2000);
        else CHECK_EQ(open_at[0], 1);
        end();
    }
}

/*--- a stop at a limit, and out of descriptors ---*/
/* Clients whom the kernel has accepted are answered, though few at a time are served. Out of descriptors some are turned
 * away: with a 503 that they see, unless their request comes behind it. */
static void stop_at_limit(int fds) {
    static const struct sim_step steps[] = {SENDS("GET /sleep/100 HTTP/1.1\r\n" HOST "\r\n"),
                                            DOES(SIM_AWAIT_END, 0)};
    for (int i = 0; i < 40; i++) chat(100 * VT_MS + i * SIM_US, STEPS(steps));
    vt_server_cfg cfg = {0};
    sim.k.fds = fds;
    if (!fds) cfg.max_connections = 5;
    sim_at(150 * VT_MS, srv_stop, NULL);
    serve(&cfg, waiting_routes, 0);
    int answered = 0;
    for (int i = 0; i < 40; i++) {
        int status = status_of(&clients[i], 0);
        answered += status == 200 || (fds && status == 503);
        CHECK(fds || (clients[i].peer->fin && !clients[i].peer->rst));
    }
    CHECK(answered >= (fds ? 36 : 40));
    CHECK(since_start_ms(sim.now) < 9000); /* within the grace period */
}
TEST(a_stop_at_a_limit_serves_who_was_accepted) {
    for (uint64_t i = 0; i < 8; i++) {
        begin(i);
        stop_at_limit(i % 2 ? 12 : 0);
        end();
    }
}

/* At the cap of virtual threads: the 503 to a client whose socket takes a part of it at first is whole when there is room
 * again, also for one that has ended its sending half; one that never reads is let go. `then`: what it does at last. */
enum { ANSWER = 1104 };
static struct client *refused_in_parts(int room, struct sim_step then) {
    static const struct sim_step busy[] = {SENDS("GET /sleep/1500 HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_AWAIT_END, 0)};
    struct sim_step full[] = {SENDS("GET /len/1000 HTTP/1.1\r\n" HOST "\r\n"),
                              DOES(SIM_AWAIT_N, 1),
                              DOES(SIM_READ, 0),
                              SENDS("GET /len/1000 HTTP/1.1\r\n" HOST "\r\n"),
                              WAITS(VT_SEC),
                              SENDS("GET /len/1000 HTTP/1.1\r\n" HOST "\r\n"),
                              WAITS(VT_SEC / 2),
                              then,
                              WAITS(VT_SEC / 4),
                              DOES(SIM_READ, 1),
                              DOES(SIM_AWAIT_END, 0)};
    vt_server_cfg cfg = {.max_vthreads = 6, .max_queued = VT_NONE};
    sim.k.send_grain = 0;
    sim.k.storm = 0;
    sim.k.send_buffer = ANSWER + (uint32_t)room; /* the second one and a part of what follows */
    struct client *c = chat(10 * VT_MS, STEPS(full));
    for (int i = 0; i < 12; i++) chat(600 * VT_MS, STEPS(busy));
    serve(&cfg, waiting_routes, 0);
    return c;
}
TEST(a_refusal_that_the_socket_takes_in_parts_is_whole) {
    static const struct sim_step last[] = {WAITS(1), DOES(SIM_FIN, 0), WAITS(8 * VT_SEC)};
    for (int i = 0; i < 36; i++) {
        begin((uint64_t)i);
        struct client *c = refused_in_parts(i * 2, last[i % 3]);
        for (int k = 0; k < 2; k++) CHECK_EQ(status_of(c, k), 200);
        CHECK_EQ(c->reader.res[1].head + c->reader.res[1].nhead + c->reader.res[1].nbody, 2 * ANSWER);
        CHECK_EQ(status_of(c, 2), i % 3 == 2 ? -1 : 503);
        CHECK(c->peer->fin && !c->peer->rst);
        end();
    }
}

/* ... and costs no memory. */
static int64_t allocated[2];
static void note_allocated(void *arg, uint32_t i) {
    (void)i;
    allocated[arg != NULL] = sim.calls[SIM_realloc];
}
TEST(a_refusal_at_the_cap_allocates_nothing) {
    static const struct sim_step busy[] = {SENDS("GET /sleep/8000 HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_AWAIT_END, 0)};
    static const struct sim_step late[] = {SENDS("GET /len/10 HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_AWAIT_END, 0)};
    vt_server_cfg cfg = {.max_vthreads = 6, .max_queued = VT_NONE};
    struct client *c[10];
    begin(1);
    for (int i = 0; i < 12; i++) chat(10 * VT_MS, STEPS(busy));
    sim_at(5 * VT_SEC, note_allocated, NULL); /* those of them that were refused are gone */
    for (int i = 0; i < 10; i++) c[i] = chat(5 * VT_SEC + (10 + i * 100) * VT_MS, STEPS(late));
    sim_at(7 * VT_SEC, note_allocated, &cfg);
    serve(&cfg, waiting_routes, 0);
    for (int i = 0; i < 10; i++) CHECK_EQ(status_of(c[i], 0), 503);
    CHECK(allocated[0] > 0);
    CHECK_EQ(allocated[1], allocated[0]);
    end();
}

/* The descriptor that is given up when there is none gets lost; it is had again when there are some. */
static int reserve_at[2];
static void lose(void *arg, uint32_t i) {
    (void)arg, (void)i;
    sim_fault(SIM_open, sim.calls[SIM_open] + 1, true, EMFILE);
}
static void regain(void *arg, uint32_t i) {
    (void)arg, (void)i;
    sim_fault(SIM_open, 0, false, 0);
}
static void note_reserve(void *arg, uint32_t i) {
    (void)arg;
    reserve_at[i] = srv->run->reserve;
}
TEST(the_reserve_descriptor_comes_back) {
    static const struct sim_step stays[] = {SENDS("GET /skip HTTP/1.1\r\n" HOST "\r\n"), WAITS(2 * VT_SEC),
                                            DOES(SIM_FIN, 0), DOES(SIM_AWAIT_END, 0)};
    begin(1);
    sim.k.fds = 12;
    for (int i = 0; i < 20; i++) chat(500 * VT_MS + i * SIM_US, STEPS(stays));
    for (int i = 0; i < 20; i++) chat(5 * VT_SEC + i * SIM_US, STEPS(stays));
    sim_at(400 * VT_MS, lose, NULL);
    sim_post(VT_SEC, note_reserve, NULL, 0);
    sim_at(1500 * VT_MS, regain, NULL);
    sim_post(4 * VT_SEC, note_reserve, NULL, 1);
    vt_server_cfg cfg = {0};
    reserve_at[0] = reserve_at[1] = -2;
    serve(&cfg, waiting_routes, 0);
    int told = 0;
    for (int i = 20; i < 40; i++) told += status_of(&clients[i], 0) == 503;
    CHECK(reserve_at[0] < 0);
    CHECK(reserve_at[1] >= 0);
    CHECK(told > 0);
    end();
}

/*--- handlers that compute ---*/
static int h_compute_stream(vt_req *req, vt_res *res) {
    char *p = vt_req_alloc(req, 300000);
    compute(30 * VT_SEC);
    if (!p) return -ENOMEM;
    memset(p, 's', 300000);
    return vt_res_send(res, 200, "text/plain", p, 300000);
}
static int h_compute_body(vt_req *req, vt_res *res) {
    compute(30 * VT_SEC);
    return h_echo(req, res);
}
static int h_compute(vt_req *req, vt_res *res) {
    compute(30 * VT_SEC);
    return h_skip(req, res);
}
static void compute_routes(vt_server *s) {
    vt_server_get(s, "/stream", h_compute_stream);
    vt_server_post(s, "/body", h_compute_body);
    vt_server_get(s, "/", h_compute);
}
/* The time of the computation counts for no time-out: not for the write that follows, the read, the head behind it. */
TEST(a_handler_that_computes_times_nobody_out) {
    static const struct sim_step
        reads[] = {DOES(SIM_READ, 0),    SENDS("GET /stream HTTP/1.1\r\n" HOST "\r\n"),
                   WAITS(35 * VT_SEC),   DOES(SIM_READ, 1),
                   DOES(SIM_AWAIT_N, 1), DOES(SIM_FIN, 0)},
        sends[] = {SENDS("POST /body HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\nabc"), WAITS(35 * VT_SEC),
                   SENDS("def"), DOES(SIM_AWAIT_N, 1), DOES(SIM_FIN, 0)},
        heads[] = {SENDS("GET / HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n"), WAITS(35 * VT_SEC),
                   SENDS(HOST "\r\n"), DOES(SIM_AWAIT_N, 2), DOES(SIM_FIN, 0)};
    for (int kind = 0; kind < 3; kind++) {
        begin((uint64_t)kind);
        struct client *c = kind == 0   ? chat(100 * VT_MS, STEPS(reads))
                           : kind == 1 ? chat(100 * VT_MS, STEPS(sends))
                                       : chat(100 * VT_MS, STEPS(heads));
        vt_server_cfg cfg = {0};
        serve(&cfg, compute_routes, 0);
        CHECK_EQ(status_of(c, 0), 200);
        if (kind == 2) CHECK_EQ(status_of(c, 1), 200);
        end();
    }
}

/*--- what a request leaves behind on its virtual thread ---*/
static int key, ended;
static char left[200];
static void destroy(void *value) { ended += *(int *)value; }
static int h_leave(vt_req *req, vt_res *res) {
    static int one = 1;
    vt_deadline_set(vt_now() + 50 * VT_MS);
    vt_shield(true);
    vt_name_set("mine");
    vt_local_set(key, &one);
    return h_skip(req, res);
}
static int h_find(vt_req *req, vt_res *res) {
    (void)req;
    snprintf(left, sizeof left, "deadline %d, shield %d, name \"%s\", local %d, ended %d", vt_deadline() != 0,
             (int)vt__sched_self()->shield, vt_name(), vt_local_get(key) != NULL, ended);
    int r = vt_sleep_ms(100);
    return r < 0 ? r : vt_res_text(res, 200, "found");
}
static void leave_routes(vt_server *s) {
    vt_server_get(s, "/leave", h_leave);
    vt_server_get(s, "/find", h_find);
}
TEST(a_request_leaves_nothing_to_the_next) {
    static const struct sim_step
        apart[] = {SENDS("GET /leave HTTP/1.1\r\n" HOST "\r\n"), DOES(SIM_AWAIT_N, 1), WAITS(VT_SEC),
                   SENDS("GET /find HTTP/1.1\r\n" HOST "\r\n"),  DOES(SIM_AWAIT_N, 2), DOES(SIM_FIN, 0)},
        at_once[] = {SENDS("GET /leave HTTP/1.1\r\n" HOST "\r\nGET /find HTTP/1.1\r\n" HOST "\r\n"),
                     DOES(SIM_AWAIT_N, 2), DOES(SIM_FIN, 0)};
    if (!key) key = vt_local_key(destroy);
    REQUIRE(key >= 0);
    for (int i = 0; i < 2; i++) {
        begin((uint64_t)i);
        struct client *c = i ? chat(100 * VT_MS, STEPS(apart)) : chat(100 * VT_MS, STEPS(at_once));
        vt_server_cfg cfg = {0};
        left[0] = 0, ended = 0;
        serve(&cfg, leave_routes, 0);
        CHECK_EQ(status_of(c, 1), 200);
        CHECK_STR(left, "deadline 0, shield 0, name \"\", local 0, ended 1");
        CHECK_EQ(ended, 1);
        end();
    }
}

/*--- chunked streaming to a fast reader ---*/
enum { MOST = 4 << 20 };
static bool other_ran;
static int64_t streamed;
static int other(void *arg) {
    (void)arg;
    other_ran = true;
    return 0;
}
static int h_chunks(vt_req *req, vt_res *res) {
    char piece[1000];
    (void)req;
    memset(piece, 'c', sizeof piece);
    int r = vt_go(other, NULL);
    for (streamed = 0; r >= 0 && !other_ran && streamed < MOST; streamed += (int64_t)sizeof piece) {
        int64_t n = vt_res_write(res, piece, sizeof piece);
        if (n < 0) r = (int)n;
    }
    return r;
}
static void chunk_routes(vt_server *s) { vt_server_get(s, "/", h_chunks); }
TEST(streaming_in_chunks_lets_others_run) {
    static const struct sim_step steps[] = {SENDS("GET / HTTP/1.1\r\n" HOST "\r\n"), DOES(SIM_AWAIT_N, 1),
                                            DOES(SIM_FIN, 0)};
    begin(1);
    sim.k.send_buffer = 2 * MOST; /* it never has to wait */
    chat(100 * VT_MS, STEPS(steps));
    other_ran = false;
    vt_server_cfg cfg = {0};
    serve(&cfg, chunk_routes, 0);
    CHECK(other_ran && streamed > 0 && streamed < MOST);
    end();
}

/*--- memory for many fields ---*/
static size_t refuse_from;
static void *refuse_realloc(void *p, size_t n) {
    return refuse_from && n >= refuse_from ? NULL : sim_do_realloc(p, n);
}
TEST(many_fields_and_no_memory_for_them) {
    char text[20000];
    size_t n = (size_t)snprintf(text, sizeof text, "GET /len/3 HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 1300; i++) n += (size_t)snprintf(text + n, sizeof text - n, "x-%d: 1\r\n", i);
    n += (size_t)snprintf(text + n, sizeof text - n, "\r\n");
    REQUIRE(n < sizeof text);
    const struct sim_step steps[] = {{SIM_SEND, text, n, 0, NULL}, DOES(SIM_AWAIT_N, 1), DOES(SIM_FIN, 0)};
    for (int i = 0; i < 2; i++) {
        begin((uint64_t)i);
        vt__plat.realloc = refuse_realloc;
        refuse_from = i ? 2000 * sizeof(vt__h1_field) : 0;
        struct client *c = chat(100 * VT_MS, STEPS(steps));
        vt_server_cfg cfg = {.max_header_count = 2000, .max_header_bytes = 200000};
        serve(&cfg, waiting_routes, 0);
        CHECK_EQ(status_of(c, 0), i ? 503 : 200);
        refuse_from = 0;
        end();
    }
}

/*--- structs of connections ---*/
/* One that ends on another worker goes home to the slab that it is part of. */
TEST(a_connection_that_ends_elsewhere_goes_home) {
    static vt__link_group g;
    static vt__link_host home, away;
    vt__link *all[VT__LINK_SLAB];
    vt__link_host_init(&home, &g, NULL);
    vt__link_host_init(&away, &g, NULL);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < VT__LINK_SLAB; i++) REQUIRE((all[i] = vt__link_new(&home)) != NULL);
        for (int i = 0; i < VT__LINK_SLAB; i++) {
            all[i]->host = (i + round) % 3 ? &away : &home;
            vt__link_drop(all[i]);
        }
    }
    CHECK(home.slabs && !home.slabs->next); /* never a second one */
    CHECK(!away.slabs && !away.free && !away.returned);
    vt__link_host_drop(&home);
    vt__link_host_drop(&away);
}

/*--- dialling and accepting ---*/
/* The kernel's time-out of the first address is not the dial's. */
static int dial_main(void *arg) {
    vt_sock *s = NULL;
    int r = vt_dial_until(&s, "two.test:700", NULL, *(int64_t *)arg);
    if (r >= 0) vt_sock_close(s);
    return r;
}
TEST(a_dial_goes_on_to_the_next_address) {
    static const struct sim_step peer[] = {DOES(SIM_AWAIT_END, 0)};
    for (uint64_t i = 0; i < 20; i++) {
        begin(i);
        sim.on_peer_done = NULL;
        sim_serve(700, ETIMEDOUT, NULL, 0);
        sim_serve(701, 0, peer, 1);
        int64_t until = i % 2 ? sim.now + VT_SEC : 0;
        vt_cfg cfg = {.workers = 1};
        CHECK_EQ(vt_run(&cfg, dial_main, &until), 0);
        sim_settle();
        end();
    }
}
TEST(a_dial_ends_at_its_deadline) {
    begin(1);
    sim.on_peer_done = NULL;
    sim_serve(700, SIM_DEAF, NULL, 0);
    sim_serve(701, SIM_DEAF, NULL, 0);
    int64_t until = sim.now + VT_SEC;
    vt_cfg cfg = {.workers = 1};
    CHECK_EQ(vt_run(&cfg, dial_main, &until), -ETIMEDOUT);
    CHECK(sim.now >= until && sim.now < until + VT_SEC);
    end();
}
/* Without a descriptor for it a connection cannot be taken: that is no reason to give up before the time. */
static int accept_main(void *arg) {
    vt_sock *l = NULL, *s = NULL;
    int64_t *left_ms = arg, until;
    int r = vt_listen(&l, "127.0.0.1:8080", NULL);
    if (r < 0) return r;
    until = vt_now() + *left_ms * VT_MS;
    r = vt_accept_until(l, &s, until);
    *left_ms = (until - vt_now()) / VT_MS;
    if (r >= 0) vt_sock_close(s);
    vt_sock_close(l);
    return r;
}
TEST(accepting_without_descriptors_waits_for_its_deadline) {
    static const struct sim_step peer[] = {DOES(SIM_AWAIT_END, 0)};
    for (uint64_t i = 0; i < 8; i++) {
        begin(i);
        sim_fault(SIM_accept, 1, true, EMFILE);
        chat(10 * VT_MS, STEPS(peer));
        int64_t ms = 50 + 70 * (int64_t)i;
        vt_cfg cfg = {.workers = 1};
        CHECK_EQ(vt_run(&cfg, accept_main, &ms), -ETIMEDOUT);
        CHECK(ms <= 0 && ms > -90);
        sim_settle();
        end();
    }
}

/*--- trailers ---*/
static int h_trailer(vt_req *req, vt_res *res) {
    vt_str body;
    int r = vt_req_body(req, &body);
    return r < 0 ? r : vt_res_printf(res, 200, "%zu", vt_req_trailer(req, "T").len);
}
static void trailer_routes(vt_server *s) { vt_server_post(s, "/", h_trailer); }
/* A head that grew the input block, and behind it a trailer longer than a block, which is not whole at first. */
TEST(a_long_trailer_behind_a_long_head) {
    enum { HEAD = 45000, TRAILER = 19500 };
    static char text[HEAD + TRAILER + 100];
    size_t n = (size_t)snprintf(text, sizeof text,
                                "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nX: ");
    memset(text + n, 'y', HEAD - n);
    n = HEAD + (size_t)snprintf(text + HEAD, 100, "\r\n\r\n0\r\nT: ");
    memset(text + n, 'v', TRAILER);
    n += TRAILER;
    const struct sim_step cut[] = {{SIM_SEND, text, n, 0, NULL},
                                   WAITS(VT_SEC),
                                   DOES(SIM_FIN, 0),
                                   DOES(SIM_AWAIT_END, 0)},
                          stalls[] = {{SIM_SEND, text, n, 0, NULL}, DOES(SIM_AWAIT_END, 0)},
                          whole[] = {{SIM_SEND, text, n, 0, NULL},
                                     WAITS(VT_SEC),
                                     SENDS("\r\n\r\n"),
                                     DOES(SIM_AWAIT_N, 1),
                                     DOES(SIM_FIN, 0)},
                          over[] = {{SIM_SEND, text, n, 0, NULL},
                                    WAITS(VT_SEC),
                                    {SIM_SEND, text + n - 1000, 1000, 0, NULL},
                                    DOES(SIM_AWAIT_END, 0)};
    for (uint64_t i = 0; i < 8; i++) {
        begin(i);
        sim.k.recv_buffer = 200000;
        sim.k.grain = i < 4 ? 0 : 9000;
        struct client *c[4] = {chat(VT_SEC, STEPS(cut)), chat(2 * VT_SEC, STEPS(stalls)),
                               chat(3 * VT_SEC, STEPS(whole)), chat(30 * VT_SEC, STEPS(over))};
        vt_server_cfg cfg = {.max_header_bytes = 65536, .max_trailer_bytes = 20000};
        serve(&cfg, trailer_routes, 0);
        CHECK(status_of(c[0], 0) == 400 || status_of(c[0], 0) == -1);
        CHECK_EQ(status_of(c[1], 0), 408);
        CHECK_EQ(status_of(c[2], 0), 200);
        CHECK_STR(c[2]->reader.bodies, "19500");
        CHECK(status_of(c[3], 0) >= 400 && status_of(c[3], 0) < 500);
        end();
    }
}

/*--- CONNECT ---*/
TEST(connect_is_refused_and_the_connection_closed) {
    static const struct sim_step steps[] = {SENDS("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"
                                                  "GET /len/3 HTTP/1.1\r\n" HOST "\r\n"),
                                            DOES(SIM_AWAIT_END, 0)};
    for (uint64_t i = 0; i < 4; i++) {
        begin(i);
        struct client *c = chat(100 * VT_MS, STEPS(steps));
        vt_server_cfg cfg = {0};
        serve(&cfg, waiting_routes, 0);
        CHECK_EQ(status_of(c, 0), 501);
        CHECK(c->reader.res[0].close && c->reader.pos == c->peer->ngot);
        CHECK_EQ(status_of(c, 1), -1); /* what follows may be meant for the tunnel */
        CHECK(c->peer->fin && !c->peer->rst);
        end();
    }
}

/*--- servers inside a runtime of the program's ---*/
static const vt_server_cfg inner = {.addr = "127.0.0.1:8080", .workers = 1};
static const struct sim_step one_request[] = {SENDS("GET /len/3 HTTP/1.1\r\n" HOST "\r\n"),
                                              DOES(SIM_AWAIT_N, 1), DOES(SIM_AWAIT_END, 0)};
static int inside(vt_fn *fn, int64_t max_vthreads) {
    vt_cfg cfg = {.workers = 1, .max_vthreads = max_vthreads};
    int r = vt_run(&cfg, fn, NULL);
    sim_settle();
    return r;
}
static bool over, fast;
static int spin(
    void *arg) { /* with it the reactor is looked at now and then alone: no time passes in between */
    (void)arg;
    while (!over) compute(fast ? 0 : 20 * SIM_US), vt_yield();
    return 0;
}
/* Whether the poll set of this worker points into [p, p + n). */
static bool poll_set_has(const void *p, size_t n) {
#if VTHTTP_POLL
    const vt__dom *dom = vt__sched_thr()->dom;
    for (int i = 0; i < dom->n; i++)
        if ((uintptr_t)dom->ents[i].pd - (uintptr_t)p < n) return true;
#else
    (void)p, (void)n;
#endif
    return false;
}
static int forget_main(void *arg) {
    (void)arg;
    over = fast = false;
    int r = vt_go(spin, NULL);
    vt_server *s = vt_server_new(&inner);
    waiting_routes(s);
    if (r == 0) r = vt_server_start(s);
    while (r == 0 && s->run->group.hosts[0].requests == 0) r = vt_sleep_ms(1);
    const void *slab = s->run->group.hosts[0].slabs, *doors = s->run->doors;
    fast = true;
    vt_server_stop(s);
    if (r == 0) r = vt_server_wait(s);
    fast = false;
    CHECK(slab && !poll_set_has(slab, sizeof(vt__link_slab)));
    CHECK(doors && !poll_set_has(doors, sizeof(vt__srv_door)));
    vt_server_free(s);
    if (r == 0) r = vt_sleep_ms(50);
    over = true;
    return r;
}
TEST(nothing_of_a_stopped_server_stays_in_the_poll_set) {
    for (uint64_t i = 0; i < 8; i++) {
        begin(i);
        struct client *c = chat(100 * VT_MS, STEPS(one_request));
        CHECK_EQ(inside(forget_main, 0), 0);
        CHECK_EQ(status_of(c, 0), 200);
        end();
    }
}

/* Whoever starts a server with a deadline does not end it by that. */
static int short_deadline_main(void *arg) {
    (void)arg;
    vt_server *s = srv = vt_server_new(&inner);
    waiting_routes(s);
    vt_deadline_set(vt_now() + 50 * VT_MS);
    int r = vt_server_start(s);
    vt_deadline_set(0);
    if (r == 0) r = vt_server_wait(s);
    srv = NULL;
    vt_server_free(s);
    return r;
}
TEST(a_server_outlives_the_deadline_of_its_start) {
    begin(1);
    struct client *c = chat(2 * VT_SEC, STEPS(one_request));
    sim_at(3 * VT_SEC, srv_stop, NULL);
    CHECK_EQ(inside(short_deadline_main, 0), 0);
    CHECK_EQ(status_of(c, 0), 200);
    CHECK(since_start_ms(sim.now) >= 3000);
    end();
}

/* Waiting says how a server ended, or that it never began. */
static int wait_main(void *arg) {
    (void)arg;
    vt_server *s = vt_server_new(&inner);
    CHECK_EQ(vt_server_wait(s), VT_ESTATE);
    vt_server_listen(s, inner.addr); /* twice the same */
    CHECK_EQ(vt_server_start(s), -EADDRINUSE);
    CHECK_EQ(vt_server_wait(s), -EADDRINUSE);
    vt_server_free(s);
    return 0;
}
static int wait_full_main(void *arg) { /* there may be no virtual thread for the server */
    (void)arg;
    vt_server *s = vt_server_new(&inner);
    CHECK_EQ(vt_server_start(s), VT_ELIMIT);
    vt_deadline_set(vt_now() + 2 * VT_SEC);
    CHECK_EQ(vt_server_wait(s), VT_ELIMIT);
    vt_server_free(s);
    return 0;
}
TEST(waiting_for_a_server_that_does_not_run) {
    begin(1);
    CHECK_EQ(inside(wait_main, 0), 0);
    CHECK_EQ(inside(wait_full_main, 1), 0);
    end();
}

/* A start that is refused by the program itself, in another runtime than the one before. */
static vt_server *again;
static int refuse;
static int refuse_start(vt_server *s, void *ctx) {
    (void)s, (void)ctx;
    return refuse;
}
static int again_main(void *arg) {
    (void)arg;
    int r = vt_server_start(again);
    if (r == 0) vt_server_stop(again), r = vt_server_wait(again);
    return r;
}
TEST(a_start_that_on_start_refuses_in_another_runtime) {
    vt_server_cfg cfg = inner;
    begin(1);
    cfg.on_start = refuse_start;
    again = vt_server_new(&cfg);
    for (int i = 0; i < 4; i++) {
        refuse = i % 2 ? -EIO : 0;
        CHECK_EQ(inside(again_main, 0), refuse);
    }
    vt_server_free(again);
    end();
}
