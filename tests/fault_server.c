/* A server on the scripted kernel, where the N-th allocation or system call of each kind fails, then all from the N-th on
 * for forty seconds, N = 1, 2, ... until a run in which nothing was left to fail. A start that fails says so and leaves
 * nothing. Else whoever is hit gets an error or a close, the listener survives, whoever comes afterwards is served. */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "simkernel.h"
#include "simhttp.h"
#include "simsrv.h"
#include "faulthttp.h"

#define STEPS(list) (list), (int)VT__COUNT(list)
enum { PORT = 8080, KINDS = 8, CLIENTS = 512 };

static int accept_lines, log_lines;

static void on_log(void *ctx, int level, const char *line) {
    (void)ctx, (void)level;
    log_lines++;
    accept_lines += strncmp(line, "accept:", 7) == 0;
    if (sim.verbose) printf("           log: %s\n", line);
}

/*--- clients: one of each kind ---*/
static struct client {
    struct sim_peer *peer;
    struct sim_reader reader;
} clients[CLIENTS];
static int nclients;
static const int wanted[KINDS] = {200, 200, 200, 200, 200, 101, 400, 200};
static char text[KINDS][48000];
static struct sim_step script[KINDS][3];

static void make_scripts(void) {
    fields_head(text[0], sizeof text[0]);
    size_t n = (size_t)snprintf(text[1], sizeof text[1],
                                "POST /body HTTP/1.1\r\n" HOST "Content-Length: 40000\r\n\r\n");
    memset(text[1] + n, 'b', 40000);
    strcpy(text[2], ASK_CHUNKED);
    strcpy(text[3], "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    strcpy(text[4], "GET /spawn HTTP/1.1\r\n" HOST "\r\n");
    strcpy(text[5], "GET /upgrade HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: echo\r\n\r\nhi");
    strcpy(text[6], "GET /%zz HTTP/1.1\r\n" HOST "\r\n");
    strcpy(text[7], "GET /file HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < KINDS; i++) {
        script[i][0] = (struct sim_step){SIM_SEND, text[i], strlen(text[i]), 0, NULL};
        script[i][1] = (struct sim_step){SIM_AWAIT_N, NULL, 0, 1, NULL};
        script[i][2] = (struct sim_step){SIM_FIN, NULL, 0, 0, NULL};
    }
}
static size_t count(struct sim_peer *p) {
    struct client *c = p->ctx;
    return (size_t)sim_read(&c->reader, p->got, p->ngot, p->fin);
}
static struct client *chat(int64_t at, const struct sim_step *steps, int n) {
    struct client *c = &clients[nclients++];
    sim_reader_reset(&c->reader);
    c->peer = sim_client(at, PORT, steps, n);
    c->peer->ctx = c;
    return c;
}
static void wave(int64_t at, int64_t apart) {
    for (int i = 0; i < KINDS; i++) chat(at + i * apart, STEPS(script[i]));
}
static int status_of(struct client *c) {
    int n = c->peer->ngot ? (int)count(c->peer) : 0;
    if (c->reader.bad) test_fail(__FILE__, __LINE__, c->reader.bad);
    return n ? c->reader.res[0].status : 0;
}
static void begin(uint64_t seed) {
    if (!text[0][0]) make_scripts();
    sim_begin(seed);
    sim.count = count;
    sim.disk_len = 5000;
    nclients = accept_lines = log_lines = 0;
    vt_log_set(on_log, NULL, VT_LOG_INFO);
}
/* The whole life of a server: the result of its run, or the error that kept it from one. */
static int serve(const vt_server_cfg *cfg) {
    srv = vt_server_new(cfg);
    routes(srv);
    vt_server_get(srv, "/sleep/{ms}", h_slept);
    int r = vt_server_run(srv);
    CHECK(r == vt_server_error(srv) || vt_server_error(srv) == 0);
    if (r < 0) CHECK(strcmp(vt_err_name(r), "?") != 0 && log_lines > 0);
    vt_server_free(srv);
    srv = NULL;
    return r;
}
static const vt_server_cfg standard = {.addr = "127.0.0.1:8080", .workers = 1};
/* What may become of somebody who was hit: an answer, an error in its place, a cut, or nothing, and then the end. */
static bool is_outcome(struct client *c, int want) {
    int s = status_of(c);
    return c->peer->done && (s == want || s == 0 || s == 500 || s == 503 || s == 408 || s == 413 || s == 400);
}
/* A run with the faults that are set; true when one hit. */
static bool run_once(void) {
    wave(VT_MS, VT_MS);
    sim_at(40 * VT_SEC, calm, NULL);
    wave(50 * VT_SEC, VT_MS);
    sim_at(60 * VT_SEC, srv_stop, NULL);
    int r = serve(&standard);
    bool hit = sim.faults > 0;
    sim_settle();
    for (int i = 0; i < nclients; i++) {
        if (!is_outcome(&clients[i], wanted[i % KINDS])) printf("client %d: %d\n", i, status_of(&clients[i]));
        CHECK(is_outcome(&clients[i], wanted[i % KINDS]));
        if (r >= 0 && (i >= KINDS || !hit)) CHECK_EQ(status_of(&clients[i]), wanted[i % KINDS]);
        if (r < 0 && sim.now < SIM_START + 40 * VT_SEC) CHECK(clients[i].peer->rst); /* nobody listens */
    }
    if (!hit) CHECK_EQ(r, 0);
    CHECK(sim.all_calls < 40000); /* a thousand a second is no spin */
    CHECK(accept_lines <= 42);
    return hit;
}
static int sweep(int id, bool onward, int err) {
    for (int n = 1; n < 2000; n++) {
        int before = test_failures;
        begin((uint64_t)n * 7 + (uint64_t)id * 10000 + onward);
        sim_fault(id, n, onward, err);
        bool hit = run_once();
        sim_end();
        if (test_failures > before) {
            printf("with %s number %d%s failing with %d\n", sim_names[id], n, onward ? " and on" : "", err);
            return n;
        }
        if (!hit) return n - 1;
    }
    test_fail(__FILE__, __LINE__, "a sweep has no end");
    return 0;
}
static int sweep_errors(int id, bool onward) {
    int most = 0;
    for (const int *e = sim_errs(id); *e; e++)
        if (!onward || *e != EINTR || id == SIM_accept) /* nothing is interrupted for ever */
            most = VT__MAX(most, sweep(id, onward, *e));
    return most;
}
TEST(fault_server_clean) {
    begin(1);
    CHECK(!run_once());
    sim_end();
}
TEST(fault_server_memory) { CHECK(sweep(SIM_realloc, false, ENOMEM) > 20); }
TEST(fault_server_memory_from_there) { CHECK(sweep(SIM_realloc, true, ENOMEM) > 20); }
TEST(fault_server_mappings) {
    CHECK_EQ(sweep(SIM_mmap, false, ENOMEM), 1);
    CHECK_EQ(sweep(SIM_mmap, true, ENOMEM), 1);
}
static void calls(bool onward) {
    static const int skip[] = {SIM_realloc, SIM_mmap, SIM_thread, SIM_poll};
    int kinds = 0;
    for (int id = 0; id < (int)SIM_IDS; id++) {
        bool skipped = false;
        for (size_t i = 0; i < VT__COUNT(skip); i++) skipped = skipped || skip[i] == id;
        if (!skipped || (VTHTTP_POLL && id == SIM_poll)) kinds += sweep_errors(id, onward) > 0;
    }
    CHECK(kinds >= 15);
}
TEST(fault_server_calls) { calls(false); }
TEST(fault_server_calls_from_there) { calls(true); }
TEST(fault_server_at_random) {
    uint64_t state = test_seed();
    for (int i = 0; i < 400; i++) {
        int before = test_failures;
        uint64_t seed = i < 200 ? (uint64_t)i : test_rand(&state);
        begin(seed);
        for (int id = 0; id < (int)SIM_IDS; id++)
            if (id != SIM_munmap) sim_fault_rate(id, 1 + (int)sim_below(20));
        (void)run_once();
        sim_end();
        if (test_failures > before) printf("with seed 0x%llx\n", (unsigned long long)seed);
        if (test_failures > 20) break;
    }
}

/*--- what there is not enough of ---*/
static int64_t answered_ms(const struct client *c) { return (c->peer->t_last - SIM_START) / VT_MS; }
/* A script for each request that is asked for. */
static const struct sim_step *asks(const char *request) {
    static struct sim_step scripts[16][3];
    int i = 0;
    while (scripts[i][0].p && strcmp(scripts[i][0].p, request) != 0) i++;
    scripts[i][0] = (struct sim_step){SIM_SEND, request, strlen(request), 0, NULL};
    scripts[i][1] = (struct sim_step){SIM_AWAIT_N, NULL, 0, 1, NULL};
    scripts[i][2] = (struct sim_step){SIM_FIN, NULL, 0, 0, NULL};
    return scripts[i];
}
#define ASKS(request) asks(request), 3

/* 60 clients for a second each, 8 descriptors: some are turned away with 503, nobody is left without an answer, the
 * listener does not spin, and is well again within a second. */
static void few_fds(void *arg, uint32_t gen) {
    (void)arg, (void)gen;
    sim.k.fds = sim.open_fds + 8;
}
static const uint32_t grains[] = {0, 20, 1};
TEST(fault_server_out_of_descriptors) {
    for (uint64_t seed = 0; seed < 20; seed++) {
        begin(seed);
        sim.k.send_grain = grains[seed % 3]; /* a refusal goes out whole, however little a send takes */
        sim_at(VT_MS / 2, few_fds, NULL);
        for (int i = 0; i < 60; i++) chat(VT_MS * (1 + i), ASKS("GET /sleep/1000 HTTP/1.1\r\n" HOST "\r\n"));
        struct client *late = chat(40 * VT_SEC, ASKS("GET /sleep/1 HTTP/1.1\r\n" HOST "\r\n"));
        sim_at(50 * VT_SEC, srv_stop, NULL);
        CHECK_EQ(serve(&standard), 0);
        sim_settle();
        int served = 0, refused = 0, reset = 0;
        for (int i = 0; i < 60; i++) {
            int s = status_of(&clients[i]);
            served += s == 200, refused += s == 503;
            CHECK(clients[i].peer->done);
            reset += s == 0 && clients[i].peer->rst; /* turned away before its request had come */
            CHECK(answered_ms(&clients[i]) < 20000);
        }
        CHECK_EQ(served + refused + reset, 60);
        CHECK(served >= 8 && refused > 0 && reset < 3);
        CHECK(status_of(late) == 200 && answered_ms(late) < 40200);
        CHECK(sim.calls[SIM_accept] < 60 * 3 + 200 * 2);
        CHECK(accept_lines > 0 && accept_lines < 20);
        sim_end();
    }
}
/* Memory is short while the server runs, and comes back. */
static void little_memory(void *arg, uint32_t gen) {
    (void)arg, (void)gen;
    sim_fault_rate(SIM_realloc, 700);
}
TEST(fault_server_out_of_memory_for_a_while) {
    int hurt = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        begin(seed);
        wave(VT_MS, VT_MS);
        for (int i = 0; i < 100; i++) wave(VT_SEC + i * 50 * VT_MS, VT_MS), i++;
        nclients = VT__MIN(nclients, CLIENTS);
        sim_at(50 * VT_SEC, srv_stop, NULL);
        sim_at(VT_MS / 2, little_memory, NULL);
        sim_at(4 * VT_SEC, calm, NULL);
        CHECK_EQ(serve(&standard), 0);
        CHECK(sim.faults > 0);
        sim_settle();
        for (int i = 0; i < nclients; i++) {
            CHECK(is_outcome(&clients[i], wanted[i % KINDS]));
            hurt += status_of(&clients[i]) != wanted[i % KINDS];
            if (clients[i].peer->t_open > SIM_START + 4 * VT_SEC)
                CHECK_EQ(status_of(&clients[i]), wanted[i % KINDS]);
        }
        sim_end();
    }
    CHECK(hurt > 20);
}
/* 400 requests at once, and no more than the first 256 stacks to be had: the others wait for their turn. */
TEST(fault_server_out_of_stacks) {
    begin(1);
    sim_fault(SIM_mmap, 2, true, 0);
    for (int i = 0; i < 400; i++) chat(VT_MS + i * SIM_US, ASKS("GET /sleep/1000 HTTP/1.1\r\n" HOST "\r\n"));
    sim_at(20 * VT_SEC, srv_stop, NULL);
    CHECK_EQ(serve(&standard), 0);
    CHECK(sim.faults > 0);
    sim_settle();
    int second = 0;
    for (int i = 0; i < 400; i++) {
        CHECK_EQ(status_of(&clients[i]), 200);
        CHECK(answered_ms(&clients[i]) < 3200);
        second += answered_ms(&clients[i]) > 1500;
    }
    CHECK(second >= 140);
    CHECK(sim.all_calls < 10000); /* waiting for a stack is no spin */
    sim_end();
}
/* More requests than vthreads: 503 with Retry-After, at once. */
static void out_of_vthreads(uint32_t grain) {
    begin(1);
    sim.k.send_grain = grain;
    vt_server_cfg cfg = standard;
    cfg.max_vthreads = 20; /* some are the server's own */
    cfg.max_queued = VT_NONE;
    for (int i = 0; i < 60; i++) chat(VT_MS + i * SIM_US, ASKS("GET /sleep/1000 HTTP/1.1\r\n" HOST "\r\n"));
    struct client *late = chat(5 * VT_SEC, ASKS("GET /sleep/1 HTTP/1.1\r\n" HOST "\r\n"));
    sim_at(20 * VT_SEC, srv_stop, NULL);
    CHECK_EQ(serve(&cfg), 0);
    sim_settle();
    int served = 0, refused = 0;
    for (int i = 0; i < 60; i++) {
        const struct sim_peer *p = clients[i].peer;
        int s = status_of(&clients[i]);
        served += s == 200, refused += s == 503;
        if (s != 503) continue;
        CHECK(answered_ms(&clients[i]) < 100 && p->fin && !p->rst);
        CHECK(strstr(p->got, "\r\nRetry-After: 1\r\n") != NULL);
    }
    CHECK_EQ(served + refused, 60);
    CHECK(served >= 15 && served < 20);
    CHECK_EQ(status_of(late), 200);
    sim_end();
}
TEST(fault_server_out_of_vthreads) {
    for (size_t i = 0; i < VT__COUNT(grains); i++) out_of_vthreads(grains[i]);
}
/* More requests than vthreads, whose handlers sleep: who waits is served, in turn, unless too many wait, or too long. */
#define SLEEPS(ms) "GET /sleep/" ms " HTTP/1.1\r\n" HOST "\r\n" /* in static memory: see asks */
enum { CROWD = 60 };
static struct {
    int served, refused, waiting;
    vt_server_stats stats;
} crowd;
static void note_crowd(void *arg, uint32_t gen) {
    vt_server_stats st;
    (void)arg, (void)gen;
    vt_server_stats_get(srv, &st);
    crowd.waiting = (int)st.waiting;
}
static void note_crowd_end(vt_server *s, void *ctx) {
    (void)ctx;
    vt_server_stats_get(s, &crowd.stats);
}
static void crowded(vt_server_cfg *cfg, const char *request, int64_t stop, int result) {
    begin(1);
    memset(&crowd, 0, sizeof crowd);
    cfg->addr = standard.addr;
    cfg->workers = 1;
    cfg->max_vthreads = 20;
    cfg->on_stopped = note_crowd_end;
    for (int i = 0; i < CROWD; i++) chat(VT_MS + i * VT_MS, ASKS(request));
    sim_at(100 * VT_MS, note_crowd, NULL);
    sim_at(stop, srv_stop, NULL);
    CHECK_EQ(serve(cfg), result);
    sim_settle();
    for (int i = 0; i < CROWD; i++) {
        int s = status_of(&clients[i]);
        crowd.served += s == 200, crowd.refused += s == 503;
        CHECK(clients[i].peer->done && !clients[i].peer->rst);
        if (s == 503) CHECK(strstr(clients[i].peer->got, "\r\nRetry-After: 1\r\n") != NULL);
    }
    CHECK_EQ(crowd.served + crowd.refused, CROWD);
    CHECK_EQ(crowd.stats.waiting, 0);
    CHECK(vt__sched_up.room == NULL && vt__link_queue.n == 0);
}
TEST(fault_server_who_waits_for_a_vthread_is_served_in_turn) {
    vt_server_cfg cfg = {.queue_timeout_ms = 10000};
    crowded(&cfg, SLEEPS("1000"), 20 * VT_SEC, 0);
    CHECK_EQ(crowd.served, CROWD);
    CHECK(crowd.waiting >= CROWD - 20 && crowd.stats.queued >= crowd.waiting && crowd.stats.refused == 0);
    for (int i = 0; i < CROWD; i++) {
        int at_once = CROWD - crowd.waiting;
        int64_t from = i < at_once ? i : answered_ms(&clients[i - at_once]); /* that one's end is its begin */
        CHECK(answered_ms(&clients[i]) >= from + 1000 && answered_ms(&clients[i]) < from + 1004);
    }
    sim_end();
}
TEST(fault_server_no_more_than_max_queued_wait) {
    vt_server_cfg cfg = {.max_queued = 10, .queue_timeout_ms = VT_NONE};
    crowded(&cfg, SLEEPS("1000"), 20 * VT_SEC, 0);
    CHECK(crowd.waiting == 10 && crowd.stats.queued >= 10);
    CHECK(crowd.served >= 25 && crowd.served < 30 && crowd.stats.refused == crowd.refused);
    for (int i = 0; i < CROWD; i++)
        CHECK(i < crowd.served ? status_of(&clients[i]) == 200
                               : status_of(&clients[i]) == 503 && answered_ms(&clients[i]) < 200);
    sim_end();
}
TEST(fault_server_who_waits_too_long_is_refused) {
    vt_server_cfg cfg = {0};
    crowded(&cfg, SLEEPS("2000"), 20 * VT_SEC, 0);
    CHECK(crowd.served >= 15 && crowd.served < 20 && crowd.stats.queued >= crowd.refused);
    for (int i = crowd.served; i < CROWD; i++)
        CHECK(status_of(&clients[i]) == 503 && answered_ms(&clients[i]) >= 1000 &&
              answered_ms(&clients[i]) < 1200);
    sim_end();
}
TEST(fault_server_a_stop_serves_who_waits) {
    vt_server_cfg cfg = {.queue_timeout_ms = VT_NONE};
    crowded(&cfg, SLEEPS("1000"), 200 * VT_MS, 0);
    CHECK_EQ(crowd.served, CROWD);
    sim_end();
}
TEST(fault_server_the_end_of_a_stop_refuses_who_waits) {
    vt_server_cfg cfg = {.queue_timeout_ms = VT_NONE, .grace_ms = 1500};
    crowded(&cfg, SLEEPS("100000"), 200 * VT_MS, -ETIMEDOUT);
    CHECK_EQ(crowd.served, 0);
    CHECK(crowd.waiting >= CROWD - 20 && crowd.stats.refused == crowd.waiting);
    for (int i = 0; i < CROWD; i++) CHECK(answered_ms(&clients[i]) >= 1700);
    sim_end();
}
/* At max_connections those who come wait in the kernel's queue, and are taken as others leave. */
TEST(fault_server_at_the_limit_of_connections) {
    begin(1);
    vt_server_cfg cfg = standard;
    cfg.max_connections = 10;
    for (int i = 0; i < 40; i++) chat(VT_MS + i * SIM_US, ASKS("GET /sleep/1000 HTTP/1.1\r\n" HOST "\r\n"));
    sim_at(20 * VT_SEC, srv_stop, NULL);
    CHECK_EQ(serve(&cfg), 0);
    sim_settle();
    int64_t last = 0;
    for (int i = 0; i < 40; i++) {
        CHECK_EQ(status_of(&clients[i]), 200);
        last = VT__MAX(last, answered_ms(&clients[i]));
    }
    CHECK(last > 4000 && last < 4600);
    CHECK(sim.all_calls < 2000);
    sim_end();
}
/* The second of two listeners cannot be had: the first is given back. */
TEST(fault_server_half_a_start) {
    static const char *const addrs[] = {"127.0.0.1:8080", "unix:/run/x", "no.test:90", "1.2.3.4:99999",
                                        "what"};
    static const int want[] = {-EADDRINUSE, 0, VT_ENAME, VT_EADDR, VT_EADDR};
    for (size_t i = 0; i < VT__COUNT(addrs); i++) {
        begin(i);
        sim_at(VT_SEC, srv_stop, NULL);
        srv = vt_server_new(&standard);
        CHECK_EQ(vt_server_listen(srv, addrs[i]), 0);
        CHECK_EQ(vt_server_run(srv), want[i]);
        if (want[i]) CHECK(strstr(vt_server_error_text(srv), vt_err_name(want[i])) != NULL);
        CHECK_EQ(sim.open_fds, 0);
        vt_server_free(srv);
        srv = NULL;
        sim_settle();
        sim_end();
    }
}
