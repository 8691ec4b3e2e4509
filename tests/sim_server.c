/* A whole server on the scripted kernel: hundreds of worlds, a seed each, against a model of what must
 * come. Whatever the split of reads and writes, every response is whole, right and in order; nothing
 * hangs, no descriptor and no memory is left. SIM_SEEDS=n in the environment plays n worlds of each kind,
 * SIM_SEED=x that one. */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "simkernel.h"
#include "simhttp.h"
#include "simsrv.h"
#include "handlers.h"

#define HOST "Host: a\r\n"
enum { PORT = 8080, MAX_STEPS = 80, MAX_REQS = 12, CLIENTS = 24 };

/*--- the server ---*/
static int log_errors, responses;
static int64_t stopped_at;

static char pattern(uint32_t salt, size_t i) { return (char)('a' + (salt * 31 + i * 7 + (i >> 5)) % 26); }

static int h_len(vt_req *req, vt_res *res) {
    int n = atoi(vt_req_param(req, "n").ptr);
    char *p = vt_req_alloc(req, (size_t)n + 1);
    if (!p) return -ENOMEM;
    for (int i = 0; i < n; i++) p[i] = pattern(1, (size_t)i);
    return vt_res_send(res, 200, "text/plain", p, (size_t)n);
}
/* In pieces, chunked or with a length, with waits and flushes between. */
static int h_stream(vt_req *req, vt_res *res) {
    int n = atoi(vt_req_param(req, "n").ptr), style = atoi(vt_req_param(req, "style").ptr);
    char piece[3000];
    vt_res_status(res, 200);
    if (style & 1) vt_res_length(res, n);
    for (int at = 0; at < n;) {
        int k = VT__MIN(n - at, style & 2 ? 1 + at % 97 : (int)sizeof piece);
        for (int i = 0; i < k; i++) piece[i] = pattern(2, (size_t)(at + i));
        int64_t r = vt_res_write(res, piece, (size_t)k);
        if (r < 0) return (int)r;
        at += k;
        if (style & 4) vt_yield();
        if (style & 8 && at % 5 == 0) vt_res_flush(res);
        if (style & 16 && at % 7 == 0) vt_sleep(VT_MS / 4);
    }
    if (style & 32) vt_res_trailer(res, "X-End", "here");
    return 0;
}
static int h_sleep(vt_req *req, vt_res *res) {
    int ms = atoi(vt_req_param(req, "ms").ptr), r = vt_sleep_ms(ms);
    return r < 0 ? r : vt_res_printf(res, 200, "%d", ms);
}
static int h_skip(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "skipped");
}
static int h_part(vt_req *req, vt_res *res) {
    char buf[10];
    size_t got = 0;
    int64_t n = 1;
    while (got < sizeof buf && (n = vt_req_read(req, buf + got, sizeof buf - got)) > 0) got += (size_t)n;
    return n < 0 ? (int)n : vt_res_send(res, 200, "text/plain", buf, got);
}
static int child(void *arg) {
    int r = vt_sleep_ms(*(int *)arg);
    return r < 0 ? r : *(int *)arg;
}
static int h_spawn(vt_req *req, vt_res *res) {
    int a = 3, b = 5, ra = 0, rb = 0;
    vt_task *ta = vt_async(child, &a), *tb = vt_async(child, &b);
    (void)req;
    vt_shield(true);
    int ea = vt_await(ta, &ra), eb = vt_await(tb, &rb);
    vt_shield(false);
    return ea < 0 ? ea : eb < 0 ? eb : vt_res_printf(res, 200, "%d", ra + rb);
}
static void routes(vt_server *s) {
    vt_server_get(s, "/len/{n}", h_len);
    vt_server_get(s, "/stream/{n}/{style}", h_stream);
    vt_server_post(s, "/echo", h_echo);
    vt_server_post(s, "/pipe", h_pipe);
    vt_server_get(s, "/sleep/{ms}", h_sleep);
    vt_server_post(s, "/skip", h_skip);
    vt_server_post(s, "/part", h_part);
    vt_server_get(s, "/spawn", h_spawn);
    vt_server_get(s, "/fail", h_fail);
    vt_server_get(s, "/close", h_close);
    vt_server_get(s, "/none", h_none);
}
static void on_response(vt_req *req, vt_res *res, void *ctx, int err) {
    (void)req, (void)res, (void)ctx, (void)err;
    responses++;
}
static void on_log(void *ctx, int level, const char *line) {
    (void)ctx, (void)line;
    log_errors += level == VT_LOG_ERROR;
    if (sim.verbose) printf("           log: %s\n", line);
}
static void stop(void *arg, uint32_t gen) {
    (void)arg, (void)gen;
    if (!srv || stopped_at) return;
    stopped_at = sim.now;
    if (sim_below(2) && sim.acts[SIGTERM].fn.handler) sim_signal(SIGTERM);
    else vt_server_stop(srv);
}
static void on_idle(void) { stop(NULL, 0); }
static int live_clients;
static void on_peer_done(struct sim_peer *p) {
    (void)p;
    if (--live_clients == 0) sim_post(sim_latency(), stop, NULL, 0);
}

/*--- what a client asks, and what is to come ---*/
struct want {
    int status;
    uint32_t salt;    /* the pattern of the body */
    size_t n;         /* its length */
    const char *text; /* the body, in place of a pattern */
    bool head, last, any_body;
    int64_t sent; /* when it was sent whole; 0: not yet */
};
struct client {
    struct sim_peer *peer;
    struct sim_step steps[MAX_STEPS];
    int nsteps;
    struct want want[MAX_REQS];
    int nwant, sent;
    bool rude, pipelined; /* leaves early; does not wait for answers */
    struct sim_reader reader;
    char *text; /* all requests */
    size_t ntext, captext;
};
static struct client clients[CLIENTS];
static int nclients;

static size_t count(struct sim_peer *p) {
    struct client *c = p->ctx;
    return (size_t)sim_read(&c->reader, p->got, p->ngot, p->fin);
}
static void mark_sent(struct sim_peer *p) {
    struct client *c = p->ctx;
    c->want[c->sent++].sent = sim.now;
}
static void step(struct client *c, int op, const void *p, size_t n, int64_t arg) {
    if (c->nsteps < MAX_STEPS) c->steps[c->nsteps++] = (struct sim_step){op, p, n, arg, mark_sent};
}
/* Appends; offsets become pointers once all is there. */
static void add(struct client *c, const char *p, size_t n) {
    if (c->ntext + n > c->captext) c->text = realloc(c->text, c->captext = (c->ntext + n) * 2);
    if (n) memcpy(c->text + c->ntext, p, n);
    c->ntext += n;
}
static VT_PRINTF(2, 3) void addf(struct client *c, const char *fmt, ...) {
    char buf[600];
    va_list ap;
    va_start(ap, fmt);
    add(c, buf, (size_t)vsnprintf(buf, sizeof buf, fmt, ap));
    va_end(ap);
}
static void add_pattern(struct client *c, uint32_t salt, size_t from, size_t n) {
    for (size_t i = 0; i < n; i++) add(c, &(char){pattern(salt, from + i)}, 1);
}
static void add_body(struct client *c, uint32_t salt, size_t n, bool chunked, bool expect) {
    const char *e = expect ? "Expect: 100-continue\r\n" : "";
    if (!chunked) {
        addf(c, "%sContent-Length: %d\r\n\r\n", e, (int)n);
        add_pattern(c, salt, 0, n);
        return;
    }
    addf(c, "%sTransfer-Encoding: chunked\r\n\r\n", e);
    for (size_t at = 0, k; at < n; at += k) {
        k = 1 + sim_size(VT__MIN(n - at, 2000));
        addf(c, sim_chance(200) ? "%x;e=\"v;\"\r\n" : "%x\r\n", (unsigned)k);
        add_pattern(c, salt, at, k);
        addf(c, "\r\n");
    }
    addf(c, sim_chance(300) ? "0\r\nX-T: 1\r\n\r\n" : "0\r\n\r\n");
}
static bool is_tiny(uint32_t n) { return n > 0 && n < 100; }
static bool tiny_world(void) {
    return is_tiny(sim.k.grain) || is_tiny(sim.k.send_grain) || is_tiny(sim.k.read_grain) ||
           is_tiny(sim.k.send_buffer) || is_tiny(sim.k.recv_buffer);
}
static size_t size_for_world(void) {
    size_t most = tiny_world() ? 300 : 40000;
    return sim_chance(300) ? sim_size(40) : sim_size(most);
}
static void add_fields(struct client *c) {
    addf(c, HOST);
    if (sim_chance(200))
        for (int i = 0, n = (int)sim_below(tiny_world() ? 8 : 80); i < n; i++)
            addf(c, "X-%d: %d\r\n", i, i * i);
    if (sim_chance(300)) addf(c, "User-Agent:\tsim \r\n");
}
static struct want good_request(struct client *c) {
    size_t n = size_for_world();
    uint32_t salt = (uint32_t)sim_below(1000);
    int style = (int)sim_below(64), ms = (int)sim_below(40);
    bool chunked = sim_chance(400), expect = sim_chance(150);
    struct want w = {.status = 200, .salt = salt, .n = n};
    if (sim_chance(50)) addf(c, "\r\n"); /* an empty line before a request is skipped */
    switch (sim_below(13)) {
    case 0: w.head = true; /* fallthrough */
    case 1:
        addf(c, "%s /len/%d HTTP/1.1\r\n", w.head ? "HEAD" : "GET", (int)n);
        add_fields(c), addf(c, "\r\n");
        w.salt = 1;
        break;
    case 2:
    case 3:
        addf(c, "GET /stream/%d/%d?a=b HTTP/1.1\r\n", (int)n, style);
        add_fields(c), addf(c, "\r\n");
        w.salt = 2;
        break;
    case 4:
    case 5:
    case 6:
        addf(c, "POST %s HTTP/1.1\r\n", sim_below(2) ? "/echo" : "/pipe");
        add_fields(c), add_body(c, salt, n, chunked, expect);
        break;
    case 7:
        addf(c, "GET /sleep/%d HTTP/1.1\r\n" HOST "\r\n", ms);
        w.any_body = true;
        break;
    case 8:
        addf(c, "POST /skip HTTP/1.1\r\n"), add_fields(c), add_body(c, salt, n, chunked, false);
        w.text = "skipped";
        break;
    case 9:
        addf(c, "POST /part HTTP/1.1\r\n"), add_fields(c), add_body(c, salt, n, chunked, false);
        w.n = VT__MIN(n, 10);
        break;
    case 10: addf(c, "GET /spawn HTTP/1.1\r\n" HOST "\r\n"), w.text = "8"; break;
    case 11:
        addf(c, "GET /none HTTP/1.1\r\n" HOST "\r\n");
        w.status = 204, w.n = 0;
        break;
    default:
        w.status = sim_below(2) ? 500 : 404;
        addf(c, "GET /%s HTTP/1.1\r\n" HOST "\r\n", w.status == 500 ? "fail" : "nowhere");
        w.any_body = true;
    }
    return w;
}
/* After these the connection is closed; what the client sends behind is dropped. */
static struct want last_request(struct client *c) {
    struct want w = {.last = true, .any_body = true};
    static const struct {
        int status;
        const char *text;
    } bad[] = {
        {400, "GET /len/3 HTTP/1.1\r\n\r\n"},
        {400, "GET /len/3 HTTP/1.1\r\nHost : a\r\n\r\n"},
        {400, "GET  /len/3 HTTP/1.1\r\n" HOST "\r\n"},
        {400, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n"},
        {400, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n"},
        {505, "GET /len/3 HTTP/2.0\r\n" HOST "\r\n"},
        {413, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 90000000\r\n\r\n"},
        {417, "POST /echo HTTP/1.1\r\n" HOST "Expect: more\r\nContent-Length: 2000000\r\n\r\n"},
        {200, "GET /close HTTP/1.1\r\n" HOST "\r\n"},
        {200, "GET /close HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"},
        {200, "GET /sleep/3 HTTP/1.0\r\n" HOST "\r\n"},
        {200, "GET /stream/100/4 HTTP/1.0\r\n\r\n"},
    };
    size_t goes_on = VT__COUNT(bad) - 3, i = sim_size(VT__COUNT(bad) + 2);
    if (i < VT__COUNT(bad)) {
        w.status = bad[i].status;
        addf(c, "%s", bad[i].text);
    } else if (i == VT__COUNT(bad)) {
        w.status = 414;
        addf(c, "GET /");
        add_pattern(c, 3, 0, tiny_world() ? 300 : 9000);
    } else {
        w.status = 431;
        addf(c, "GET / HTTP/1.1\r\n" HOST "X: ");
        add_pattern(c, 3, 0, tiny_world() ? 1700 : 17000);
    }
    /* It goes on sending, unless it said that it would not. */
    if ((i < goes_on || i >= VT__COUNT(bad)) && sim_chance(500))
        add_pattern(c, 5, 0, sim_size(tiny_world() ? 60 : 3000));
    return w;
}
/* The bytes [from, ntext) in one to four pieces with waits between. */
static void send_pieces(struct client *c, size_t from) {
    while (from < c->ntext) {
        size_t n = sim_chance(600) ? c->ntext - from : 1 + sim_size(c->ntext - from);
        step(c, SIM_SEND, (const void *)from, n, 0);
        from += n;
        if (from < c->ntext && sim_chance(500))
            step(c, SIM_DELAY, NULL, 0, (int64_t)sim_below(30 * VT_MS) + 1);
    }
}
static void make_client(struct client *c, bool drain) {
    struct sim_reader kept = c->reader;
    char *text = c->text;
    size_t cap = c->captext, from = 0;
    memset(c, 0, sizeof *c);
    c->reader = kept, c->text = text, c->captext = cap;
    sim_reader_reset(&c->reader);
    bool pipelined = c->pipelined = sim_chance(400), ended = false;
    int n = 1 + (int)sim_below(MAX_REQS - 1);
    for (int i = 0; i < n && !ended && c->nsteps < MAX_STEPS - 24; i++) {
        c->want[i] = i + 1 == n && sim_chance(500) ? last_request(c) : good_request(c);
        ended = c->want[i].last;
        if (c->want[i].head) c->reader.heads |= UINT64_C(1) << i;
        c->nwant++;
        if (pipelined && i + 1 < n && !ended && sim_chance(700)) continue;
        send_pieces(c, from);
        from = c->ntext;
        while (c->sent < c->nwant) step(c, SIM_CALL, NULL, 0, 0), c->sent++;
        if (sim_chance(80)) {
            step(c, SIM_READ, NULL, 0, 0);
            step(c, SIM_DELAY, NULL, 0, (int64_t)sim_below(VT_SEC));
            step(c, SIM_READ, NULL, 0, 1);
        }
        if (!pipelined) step(c, SIM_AWAIT_N, NULL, 0, c->nwant);
        if (sim_chance(200)) step(c, SIM_DELAY, NULL, 0, (int64_t)sim_below(300 * VT_MS));
    }
    send_pieces(c, from);
    while (c->sent < c->nwant) step(c, SIM_CALL, NULL, 0, 0), c->sent++;
    c->sent = 0;
    c->rude = !drain && sim_chance(100);
    if (c->rude) step(c, sim_below(2) ? SIM_RST : SIM_CLOSE, NULL, 0, 0);
    else if (sim_chance(300)) step(c, SIM_FIN, NULL, 0, 0);
    else step(c, SIM_AWAIT_N, NULL, 0, c->nwant), step(c, sim_below(2) ? SIM_FIN : SIM_AWAIT_END, NULL, 0, 0);
    for (int i = 0; i < c->nsteps; i++)
        if (c->steps[i].op == SIM_SEND) c->steps[i].p = c->text + (size_t)c->steps[i].p;
}

/*--- the model ---*/
static bool body_is(const struct client *c, const struct sim_res *r, const struct want *w) {
    const char *b = c->reader.bodies + r->body;
    if (w->head) return r->nbody == 0;
    if (w->any_body) return true;
    if (w->text) return r->nbody == strlen(w->text) && memcmp(b, w->text, r->nbody) == 0;
    if (r->nbody != w->n) return false;
    for (size_t i = 0; i < r->nbody; i++)
        if (b[i] != pattern(w->salt, i)) return false;
    return true;
}
/* SIM_TRACE shows both sides of what did not come out. */
static void show(const struct client *c, int n) {
    printf("--- client %d: %d of %d, fin %d, rst %d, bad %s, whole %zu of %zu\n"
           "--- asked: %.*s\n--- got: %s\n---\n",
           (int)(c - clients), n, c->nwant, c->peer->fin, c->peer->rst, c->reader.bad ? c->reader.bad : "-",
           c->reader.pos, c->peer->ngot, (int)c->ntext, c->text, c->peer->ngot ? c->peer->got : "");
}
static void judge(struct client *c, bool drain) {
    struct sim_peer *p = c->peer;
    int before = test_failures;
    int n = p->ngot ? (int)count(p) : 0;
    CHECK(p->done);
    if (c->reader.bad) test_fail(__FILE__, __LINE__, c->reader.bad);
    CHECK(n <= c->nwant);
    for (int i = 0; i < n && i < c->nwant; i++) {
        CHECK_EQ(c->reader.res[i].status, c->want[i].status);
        CHECK(body_is(c, &c->reader.res[i], &c->want[i]));
        CHECK(!c->reader.res[i].close || i + 1 == n); /* nothing behind the last */
    }
    if (test_failures > before && sim.verbose) show(c, n);
    if (c->rude) return;
    /* A stop closes idle connections: what comes behind is answered by RST. */
    if (drain && p->rst && c->pipelined) return;
    CHECK(c->reader.pos == p->ngot);
    if (!drain) CHECK_EQ(n, c->nwant);
    if (!drain) CHECK(!p->rst); /* what is unread is read and dropped before the close */
    if (!drain && n && c->want[n - 1].last) CHECK(c->reader.res[n - 1].close);
    if (drain && n < c->nwant && c->want[n].sent && !(n && c->reader.res[n - 1].close))
        CHECK(c->want[n].sent + (tiny_world() ? 30 * VT_SEC : 300 * VT_MS) > stopped_at);
    if (test_failures > before && sim.verbose) show(c, n);
}
static vt_server_cfg base_cfg(void) {
    return (vt_server_cfg){.addr = "127.0.0.1:8080", .workers = 1, .on_response = on_response};
}
static void serve(const vt_server_cfg *cfg, int want) {
    log_errors = responses = 0;
    stopped_at = 0;
    sim.count = count;
    sim.on_idle = on_idle;
    sim.on_peer_done = on_peer_done;
    vt_log_set(on_log, NULL, VT_LOG_INFO);
    srv = vt_server_new(cfg);
    routes(srv);
    CHECK_EQ(vt_server_error(srv), 0);
    CHECK_EQ(vt_server_run(srv), want);
    vt_server_free(srv);
    srv = NULL;
}
static uint64_t world(uint64_t seed, bool drain) {
    sim_begin(seed);
    sim_knobs();
    nclients = live_clients = 1 + (int)sim_below(sim_chance(100) ? CLIENTS : 6);
    for (int i = 0; i < nclients; i++) {
        struct client *c = &clients[i];
        make_client(c, drain);
        c->peer = sim_client(VT_MS + (int64_t)sim_below(200 * VT_MS), PORT, c->steps, c->nsteps);
        c->peer->ctx = c;
    }
    vt_server_cfg cfg = base_cfg();
    cfg.idle_timeout_ms = 120000;
    cfg.grace_ms = 1000000;
    cfg.body_timeout_ms = cfg.header_timeout_ms = 200000;
    if (tiny_world()) cfg.max_request_line = 200, cfg.max_header_bytes = 1500;
    cfg.cancel_on = (int)sim_below(3) * 2 % 3; /* reset or never: a FIN is a half-close here */
    if (cfg.cancel_on == VT_CANCEL_FIN) cfg.cancel_on = VT_CANCEL_RESET;
    if (drain) sim_at(VT_MS + (int64_t)sim_below(400 * VT_MS), stop, NULL);
    serve(&cfg, 0);
    sim_settle();
    for (int i = 0; i < nclients; i++) judge(&clients[i], drain);
    sim_end();
    return sim.hash;
}
static void worlds(int most, bool drain) {
    const char *one = getenv("SIM_SEED"), *n = getenv("SIM_SEEDS");
    uint64_t state = test_seed();
    if (n) most = atoi(n);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    int64_t calls = 0;
    for (int i = 0; i < (one ? 1 : most); i++) {
        int before = test_failures;
        uint64_t seed = one            ? (uint64_t)strtoull(one, NULL, 0)
                        : i < most / 2 ? (uint64_t)i
                                       : test_rand(&state);
        uint64_t hash = world(seed, drain);
        calls += sim.all_calls;
        if (i % 16 == 0) CHECK(world(seed, drain) == hash); /* the same seed is the same world */
        if (test_failures == before) continue;
        printf("in the world of SIM_SEED=0x%llx\n", (unsigned long long)seed);
        if (test_failures > 10) break;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    double s = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    printf("%d worlds, %lld calls in %.2f s\n", one ? 1 : most, (long long)calls, s);
}
TEST(sim_worlds) { worlds(300, false); }
TEST(sim_worlds_stopped) { worlds(300, true); }

/*--- one thing at a time, in several tame and wild worlds ---*/
#define STEPS(...) ((struct sim_step[]){__VA_ARGS__})
#define SENDS(text)                                                                                          \
    { SIM_SEND, text, sizeof(text) - 1, 0, NULL }
#define DRIPS(text, ns)                                                                                      \
    { SIM_SEND_SLOW, text, sizeof(text) - 1, ns, NULL }
#define WAITS(ns)                                                                                            \
    { SIM_DELAY, NULL, 0, ns, NULL }
#define DOES(op, arg)                                                                                        \
    { op, NULL, 0, arg, NULL }
#define CHAT(c, at, steps) chat(c, at, steps, (int)VT__COUNT(steps))

static struct client *chat(struct client *c, int64_t at, const struct sim_step *steps, int n) {
    struct sim_reader kept = c->reader;
    char *text = c->text;
    size_t cap = c->captext;
    memset(c, 0, sizeof *c);
    c->reader = kept, c->text = text, c->captext = cap;
    sim_reader_reset(&c->reader);
    memcpy(c->steps, steps, (size_t)n * sizeof *steps);
    c->peer = sim_client(at, PORT, c->steps, n);
    c->peer->ctx = c;
    live_clients++;
    return c;
}
static int64_t ended_ms(const struct client *c) { return (c->peer->t_end - SIM_START) / VT_MS; }
static int64_t last_ms(const struct client *c) { return (c->peer->t_last - SIM_START) / VT_MS; }
static bool near(int64_t ms, int64_t want) { return ms >= want - 1 && ms <= want + 60; }
static int status_of(struct client *c, int i) {
    int n = (int)count(c->peer);
    if (c->reader.bad) test_fail(__FILE__, __LINE__, c->reader.bad);
    return i < n ? c->reader.res[i].status : -1;
}
static bool field_is(const struct client *c, int i, const char *line) {
    const struct sim_res *r = &c->reader.res[i];
    return memmem(c->peer->got + r->head, r->nhead, line, strlen(line)) != NULL;
}
/* `fn` in n worlds; of each forty the first are tame, the last wild. */
static void in_worlds(int n, void (*fn)(void)) {
    for (int i = 0; i < n; i++) {
        int before = test_failures, wild = i % 40;
        sim_begin((uint64_t)i + 1000);
        live_clients = 0;
        if (wild >= 2) {
            sim.k.storm = wild * 10, sim.k.invent = wild * 5, sim.k.eintr = wild * 10, sim.k.lazy = wild * 10;
            sim.k.send_grain = (uint32_t)i % 5, sim.k.grain = (uint32_t)i % 3 * 8;
        }
        fn();
        sim_settle();
        sim_end();
        if (test_failures > before) printf("in world %d\n", i);
    }
}

static int last_err;
static int64_t last_err_at;
static void keep_err(vt_req *req, vt_res *res, void *ctx, int err) {
    (void)req, (void)res, (void)ctx;
    responses++;
    last_err = err;
    last_err_at = sim.now;
}

static void heads_late(void) {
    static const struct sim_step mute[] = {DOES(SIM_AWAIT_END, 0)},
                                 half[] = {SENDS("GET /none HT"), DOES(SIM_AWAIT_END, 0)},
                                 drip[] = {DRIPS("GET /none HTTP/1.1\r\nHost: abcdefghijk\r\n", 500 * VT_MS),
                                           DOES(SIM_AWAIT_END, 0)},
                                 second[] = {SENDS("GET /none HTTP/1.1\r\n" HOST "\r\n"), WAITS(3 * VT_SEC),
                                             SENDS("GET"), DOES(SIM_AWAIT_END, 0)},
                                 slow[] = {SENDS("GET /none HTTP/1.1\r\n"), WAITS(9 * VT_SEC),
                                           SENDS(HOST "\r\n"), DOES(SIM_AWAIT_N, 1), DOES(SIM_FIN, 0)};
    vt_server_cfg cfg = base_cfg();
    CHAT(&clients[0], 100 * VT_MS, mute);
    CHAT(&clients[1], 100 * VT_MS, half);
    CHAT(&clients[2], 100 * VT_MS, drip);
    CHAT(&clients[3], 100 * VT_MS, second);
    CHAT(&clients[4], 100 * VT_MS, slow);
    serve(&cfg, 0);
    CHECK(clients[0].peer->ngot == 0 && clients[0].peer->fin && near(ended_ms(&clients[0]), 10100));
    for (int i = 1; i < 3; i++) {
        CHECK_EQ(status_of(&clients[i], 0), 408);
        CHECK(near(last_ms(&clients[i]), 10100));
        CHECK(clients[i].peer->fin && clients[i].reader.res[0].close);
    }
    CHECK_EQ(status_of(&clients[3], 0), 204);
    CHECK_EQ(status_of(&clients[3], 1), 408);
    CHECK(near(last_ms(&clients[3]), 13100));
    CHECK_EQ(status_of(&clients[4], 0), 204);
}
TEST(sim_heads_that_are_late) { in_worlds(20, heads_late); }

static void bodies_late(void) {
    static const struct sim_step stall[] = {SENDS("POST /echo HTTP/1.1\r\n" HOST
                                                  "Content-Length: 10\r\n\r\nabc"),
                                            DOES(SIM_AWAIT_END, 0)},
                                 drip[] = {SENDS("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n"),
                                           DRIPS("0123456789", 15 * VT_SEC), DOES(SIM_AWAIT_N, 1),
                                           DOES(SIM_FIN, 0)},
                                 chunk[] = {SENDS("POST /pipe HTTP/1.1\r\n" HOST
                                                  "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nx"),
                                            DOES(SIM_AWAIT_END, 0)},
                                 unread[] = {
                                     SENDS("POST /skip HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc"),
                                     DOES(SIM_AWAIT_END, 0)};
    vt_server_cfg cfg = base_cfg();
    cfg.min_body_rate = VT_NONE;
    CHAT(&clients[0], 100 * VT_MS, stall);
    CHAT(&clients[1], 100 * VT_MS, drip);
    CHAT(&clients[2], 100 * VT_MS, chunk);
    CHAT(&clients[3], 100 * VT_MS, unread);
    serve(&cfg, 0);
    CHECK_EQ(status_of(&clients[0], 0), 408);
    CHECK(near(last_ms(&clients[0]), 20100) && clients[0].peer->fin);
    CHECK_EQ(status_of(&clients[1], 0), 200); /* 20 s are between bytes */
    CHECK_EQ(status_of(&clients[2], 0), -1);  /* half of it was sent: cut off where all can see it */
    CHECK(clients[2].peer->ngot > 0 && near(ended_ms(&clients[2]), 20100));
    CHECK_EQ(status_of(&clients[3], 0), 200);
    CHECK(near(ended_ms(&clients[3]), 20100));
}
TEST(sim_bodies_that_are_late) { in_worlds(20, bodies_late); }

static void bodies_slow(void) {
    static const char head_text[] = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2000\r\n\r\n";
    static char all[sizeof head_text + 2000];
    const size_t head = sizeof head_text - 1;
    memcpy(all, head_text, head);
    memset(all + head, 'b', 2000);
    struct sim_step slow[] = {{SIM_SEND, all, head, 0, NULL},
                              {SIM_SEND_SLOW, all + head, 2000, 100 * VT_MS, NULL},
                              DOES(SIM_AWAIT_END, 0)},
                    brisk[] = {{SIM_SEND, all, head, 0, NULL},
                               {SIM_SEND_SLOW, all + head, 2000, 10 * VT_MS, NULL},
                               DOES(SIM_AWAIT_N, 1),
                               DOES(SIM_FIN, 0)};
    vt_server_cfg cfg = base_cfg();
    CHAT(&clients[0], 100 * VT_MS, slow);
    CHAT(&clients[1], 100 * VT_MS, brisk);
    serve(&cfg, 0);
    CHECK_EQ(status_of(&clients[0], 0), 408);
    CHECK(last_ms(&clients[0]) >= 10000 && last_ms(&clients[0]) < 13000);
    CHECK_EQ(status_of(&clients[1], 0), 200);
}
TEST(sim_bodies_below_the_least_rate) { in_worlds(12, bodies_slow); }

static void readers_late(void) {
    static const struct sim_step deaf[] = {SENDS("GET /stream/300000/0 HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_READ, 0), WAITS(60 * VT_SEC), DOES(SIM_READ, 1),
                                           DOES(SIM_AWAIT_END, 0)},
                                 late[] = {SENDS("GET /stream/300000/0 HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_READ, 0),
                                           WAITS(19 * VT_SEC),
                                           DOES(SIM_READ, 1),
                                           DOES(SIM_AWAIT_N, 1),
                                           DOES(SIM_FIN, 0)};
    vt_server_cfg cfg = base_cfg();
    cfg.on_response = keep_err;
    bool is_deaf = sim_below(2);
    if (is_deaf) CHAT(&clients[0], 100 * VT_MS, deaf);
    else CHAT(&clients[0], 100 * VT_MS, late);
    sim.k.send_grain *= 1000;
    sim.k.storm = 0; /* else the buffer is not full when it seems so */
    serve(&cfg, 0);
    CHECK_EQ(responses, 1);
    CHECK_EQ(last_err, is_deaf ? -ETIMEDOUT : 0);
    CHECK_EQ(status_of(&clients[0], 0), is_deaf ? -1 : 200);
    if (is_deaf)
        CHECK((last_err_at - SIM_START) / VT_MS > 20000 && (last_err_at - SIM_START) / VT_MS < 21000);
}
TEST(sim_readers_that_are_late) { in_worlds(12, readers_late); }

static void idle(void) {
    static const struct sim_step rest[] = {SENDS("GET /none HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_AWAIT_END, 0)},
                                 again[] = {SENDS("GET /none HTTP/1.1\r\n" HOST "\r\n"), WAITS(59 * VT_SEC),
                                            SENDS("GET /sleep/70000 HTTP/1.1\r\n" HOST "\r\n"),
                                            DOES(SIM_AWAIT_END, 0)};
    vt_server_cfg cfg = base_cfg();
    sim.k.invent = 0; /* one starts the time again */
    CHAT(&clients[0], 100 * VT_MS, rest);
    CHAT(&clients[1], 100 * VT_MS, again);
    serve(&cfg, 0);
    CHECK_EQ(status_of(&clients[0], 0), 204);
    CHECK(near(ended_ms(&clients[0]), 60100) && clients[0].peer->fin);
    CHECK_EQ(status_of(&clients[1], 1), 200); /* the time of a request is not idle */
    CHECK(near(ended_ms(&clients[1]), 59100 + 70000 + 60000) && clients[1].peer->fin);
}
TEST(sim_idle_connections) { in_worlds(12, idle); }

static void deadline(void) {
    static const struct sim_step steps[] = {SENDS("GET /sleep/5000 HTTP/1.1\r\n" HOST "\r\n"),
                                            DOES(SIM_AWAIT_N, 1), DOES(SIM_FIN, 0)};
    vt_server_cfg cfg = base_cfg();
    cfg.handler_timeout_ms = 1000;
    CHAT(&clients[0], 100 * VT_MS, steps);
    serve(&cfg, 0);
    CHECK_EQ(status_of(&clients[0], 0), 504);
    CHECK(near(last_ms(&clients[0]), 1100));
}
TEST(sim_handler_deadline) { in_worlds(12, deadline); }

/* Stopped at 1 s: what is idle is closed at once, what runs ends as it would have, who comes is refused. */
static void drain_in_time(void) {
    static const struct sim_step rest[] = {SENDS("GET /none HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_AWAIT_END, 0)},
                                 busy[] = {SENDS("GET /sleep/3000 HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_AWAIT_END, 0)},
                                 half[] = {WAITS(400 * VT_MS), SENDS("GET /none HTTP/1.1\r\n"),
                                           WAITS(2 * VT_SEC), SENDS(HOST "\r\n"), DOES(SIM_AWAIT_END, 0)},
                                 late[] = {DOES(SIM_AWAIT_END, 0)};
    vt_server_cfg cfg = base_cfg();
    CHAT(&clients[0], 100 * VT_MS, rest);
    CHAT(&clients[1], 100 * VT_MS, busy);
    CHAT(&clients[2], 100 * VT_MS, half);
    CHAT(&clients[3], 1200 * VT_MS, late);
    sim_at(VT_SEC, stop, NULL);
    serve(&cfg, 0);
    CHECK(near(ended_ms(&clients[0]), 1000) && clients[0].peer->fin);
    CHECK_EQ(status_of(&clients[1], 0), 200);
    CHECK(clients[1].reader.res[0].close && clients[1].peer->fin && near(last_ms(&clients[1]), 3100));
    CHECK_EQ(status_of(&clients[2], 0), 204);
    CHECK(clients[2].reader.res[0].close && clients[2].peer->fin);
    CHECK(clients[3].peer->rst);
    CHECK(near((sim.now - SIM_START) / VT_MS, 3100));
}
TEST(sim_drain) { in_worlds(20, drain_in_time); }
static void drain_too_late(void) {
    static const struct sim_step busy[] = {SENDS("GET /sleep/30000 HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_AWAIT_END, 0)};
    vt_server_cfg cfg = base_cfg();
    cfg.grace_ms = 5000;
    CHAT(&clients[0], 100 * VT_MS, busy);
    sim_at(VT_SEC, stop, NULL);
    serve(&cfg, -ETIMEDOUT);
    CHECK_EQ(status_of(&clients[0], 0), 503); /* its sleep was cancelled */
    CHECK(near(last_ms(&clients[0]), 6000));
    CHECK((sim.now - SIM_START) / VT_MS < 7100);
}
TEST(sim_drain_past_the_grace) { in_worlds(12, drain_too_late); }

/* The first signal drains, the second does what it would have done without us. */
static void terminate(void *arg, uint32_t gen) {
    (void)arg, (void)gen;
    stopped_at = sim.now; /* the end of the last client is not to send another */
    sim_signal(SIGTERM);
    if (sim.killed == SIGTERM) vt_server_stop(srv);
}
static void second_signal(void) {
    static const struct sim_step busy[] = {SENDS("GET /sleep/3000 HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_AWAIT_END, 0)};
    vt_server_cfg cfg = base_cfg();
    CHAT(&clients[0], 100 * VT_MS, busy);
    sim_at(VT_SEC, terminate, NULL);
    bool again = sim_below(2);
    if (again) sim_at(2 * VT_SEC, terminate, NULL);
    serve(&cfg, 0);
    CHECK_EQ(sim.killed, again ? SIGTERM : 0);
    CHECK_EQ(status_of(&clients[0], 0), 200);
    CHECK(sim.acts[SIGTERM].fn.handler == NULL && sim.acts[SIGINT].fn.handler == NULL); /* restored */
}
TEST(sim_second_signal) { in_worlds(400, second_signal); }

/* Stopped before it is up. */
static int stop_in_start(vt_server *s, void *ctx) {
    (void)ctx;
    vt_server_stop(s);
    return 0;
}
static void stop_in_ready(vt_server *s, void *ctx) { (void)stop_in_start(s, ctx); }
static void early_stop(void) {
    vt_server_cfg cfg = base_cfg();
    if (sim_below(2)) cfg.on_start = stop_in_start;
    else cfg.on_ready = stop_in_ready;
    serve(&cfg, 0);
    CHECK(sim.now < SIM_START + VT_SEC);
}
TEST(sim_stopped_at_the_start) { in_worlds(8, early_stop); }

/* The answer to a bad request is seen whole, however small the writes and however much the client still sends. */
static void errors_flushed(void) {
    static char junk[6000], line[10000] = "GET /", fields[20000] = "GET / HTTP/1.1\r\n" HOST "X: ";
    static const struct {
        int status;
        const char *text;
    } bad[] = {
        {400, "GET /\r\n\r\n"},
        {400, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nq\r\n"},
        {413, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5000000\r\n\r\n"},
        {417, "POST /echo HTTP/1.1\r\n" HOST "Expect: x\r\nContent-Length: 5000000\r\n\r\n"},
        {501, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"},
        {505, "GET / HTTP/3.1\r\n\r\n"},
        {414, line},
        {431, fields},
    };
    memset(junk, 'j', sizeof junk);
    memset(line + 5, 'l', sizeof line - 6);
    memset(fields + 28, 'f', sizeof fields - 29);
    vt_server_cfg cfg = base_cfg();
    struct sim_step steps[VT__COUNT(bad)][3];
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        steps[i][0] = (struct sim_step){SIM_SEND, bad[i].text, strlen(bad[i].text), 0, NULL};
        steps[i][1] = (struct sim_step){SIM_SEND, junk, sizeof junk, 0, NULL};
        steps[i][2] = (struct sim_step)DOES(SIM_AWAIT_END, 0);
        CHAT(&clients[i], VT_MS * (1 + (int64_t)i * (int64_t)sim_below(3)), steps[i]);
    }
    sim.k.send_grain = 1;
    sim.k.send_buffer = (uint32_t)(1 + sim_below(3) * 50);
    sim.k.grain = (uint32_t)sim_below(2) * 300;
    sim.k.latency = 20 * SIM_US;
    serve(&cfg, 0);
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        CHECK_EQ(status_of(&clients[i], 0), bad[i].status);
        CHECK_EQ(clients[i].reader.pos, clients[i].peer->ngot);
        CHECK(clients[i].peer->fin && !clients[i].peer->rst);
    }
}
TEST(sim_errors_are_flushed_before_the_close) { in_worlds(40, errors_flushed); }

/*--- clocks ---*/
static void jump(void *arg, uint32_t gen) {
    (void)arg, (void)gen;
    sim.wall_step = -3 * 86400 * VT_SEC;
}
static void wall(void) {
    static const struct sim_step steps[] = {SENDS("GET /none HTTP/1.1\r\n" HOST "\r\n"), WAITS(5 * VT_SEC),
                                            SENDS("GET /none HTTP/1.1\r\n" HOST "\r\n"),
                                            DOES(SIM_AWAIT_END, 0)};
    vt_server_cfg cfg = base_cfg();
    sim.k.invent = 0;
    CHAT(&clients[0], 100 * VT_MS, steps);
    sim_at(3 * VT_SEC, jump, NULL);
    serve(&cfg, 0);
    CHECK_EQ(status_of(&clients[0], 1), 204);
    CHECK(field_is(&clients[0], 0, "Date: Fri, 15 Jan 2027 08:00:00 GMT\r\n"));
    CHECK(field_is(&clients[0], 1, "Date: Tue, 12 Jan 2027 08:00:05 GMT\r\n"));
    CHECK(near(ended_ms(&clients[0]), 65100)); /* time-outs have a clock of their own */
}
TEST(sim_wall_clock_jumps) { in_worlds(12, wall); }

/* The process is stopped from 5 s to 17 s. What came meanwhile is read before anything is said to be late. */
static void stall(void) {
    static const struct sim_step head[] = {SENDS("GET /none HTTP/1.1\r\n"), WAITS(7 * VT_SEC),
                                           SENDS(HOST "\r\n"), DOES(SIM_AWAIT_END, 0)},
                                 fresh[] = {WAITS(7 * VT_SEC), SENDS("GET /none HTTP/1.1\r\n" HOST "\r\n"),
                                            DOES(SIM_AWAIT_END, 0)},
                                 body[] = {SENDS("POST /echo HTTP/1.1\r\n" HOST
                                                 "Content-Length: 6\r\n\r\nabc"),
                                           WAITS(7 * VT_SEC), SENDS("def"), DOES(SIM_AWAIT_END, 0)},
                                 rest[] = {SENDS("GET /none HTTP/1.1\r\n" HOST "\r\n"), WAITS(7 * VT_SEC),
                                           SENDS("GET /none HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_AWAIT_END, 0)},
                                 deaf[] = {SENDS("GET /stream/200000/0 HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_READ, 0), WAITS(7 * VT_SEC), DOES(SIM_READ, 1),
                                           DOES(SIM_AWAIT_END, 0)},
                                 late[] = {SENDS("GET /none HTTP/1.1\r\n"), WAITS(17500 * VT_MS),
                                           SENDS(HOST "\r\n"), DOES(SIM_AWAIT_END, 0)};
    vt_server_cfg cfg = base_cfg();
    cfg.idle_timeout_ms = 10000;
    cfg.body_timeout_ms = 10000;
    cfg.write_timeout_ms = 10000;
    sim.k.send_grain *= 1000;
    sim.k.storm = 0; /* what came in time shows in time */
    CHAT(&clients[0], 100 * VT_MS, head);
    CHAT(&clients[1], 100 * VT_MS, fresh);
    CHAT(&clients[2], 100 * VT_MS, body);
    CHAT(&clients[3], 100 * VT_MS, rest);
    CHAT(&clients[4], 100 * VT_MS, deaf);
    CHAT(&clients[5], 100 * VT_MS, late);
    sim.stall_at = SIM_START + 5 * VT_SEC;
    sim.stall_ns = 12 * VT_SEC;
    serve(&cfg, 0);
    CHECK_EQ(status_of(&clients[0], 0), 204);
    CHECK_EQ(status_of(&clients[1], 0), 204);
    CHECK_EQ(status_of(&clients[2], 0), 200);
    CHECK_EQ(status_of(&clients[3], 1), 204);
    CHECK_EQ(status_of(&clients[4], 0), 200);
    CHECK_EQ(status_of(&clients[5], 0), 408);
}
TEST(sim_stall_of_the_process) { in_worlds(20, stall); }

/*--- clients that leave ---*/
static void leavers(void) {
    static const struct sim_step reset[] = {SENDS("GET /sleep/50000 HTTP/1.1\r\n" HOST "\r\n"), WAITS(VT_SEC),
                                            DOES(SIM_RST, 0)},
                                 half[] = {SENDS("GET /sleep/3000 HTTP/1.1\r\n" HOST "\r\n"), WAITS(VT_SEC),
                                           DOES(SIM_FIN, 0), DOES(SIM_AWAIT_END, 0)},
                                 gone[] = {SENDS("GET /stream/400000/0 HTTP/1.1\r\n" HOST "\r\n"),
                                           DOES(SIM_AWAIT, 70000), DOES(SIM_RST, 0)};
    vt_server_cfg cfg = base_cfg();
    int kind = (int)sim_below(4);
    cfg.on_response = keep_err;
    if (kind == 0) CHAT(&clients[0], 100 * VT_MS, reset);
    else if (kind == 3) CHAT(&clients[0], 100 * VT_MS, gone);
    else CHAT(&clients[0], 100 * VT_MS, half);
    if (kind == 2) cfg.cancel_on = VT_CANCEL_FIN;
    serve(&cfg, 0);
    CHECK_EQ(responses, 1);
    int64_t ms = (last_err_at - SIM_START) / VT_MS;
    if (kind == 0) CHECK(last_err == -ECANCELED && near(ms, 1100));
    if (kind == 1) CHECK(last_err == 0 && near(ms, 3100) && status_of(&clients[0], 0) == 200);
    if (kind == 2) CHECK(last_err == -ECANCELED && near(ms, 1100));
    if (kind == 3) CHECK((last_err == -ECONNRESET || last_err == -EPIPE) && ms < 5000);
}
TEST(sim_clients_that_leave) { in_worlds(40, leavers); }

/*--- what a response costs, in system calls ---*/
/* Counts from the 60th millisecond to the `until`-th; the response number `last` is good. */
static void calls_of(const struct sim_step *steps, int n, int64_t until, int last) {
    sim_begin(1);
    live_clients = 0;
    vt_server_cfg cfg = base_cfg();
    chat(&clients[0], 10 * VT_MS, steps, n);
    sim_at(60 * VT_MS, count_calls, NULL);
    sim_at(until * VT_MS, count_calls, &calls_then);
    serve(&cfg, 0);
    sim_settle();
    CHECK_EQ(status_of(&clients[0], last), 200);
}
/* Keep-alive: ten requests, one after the other, are ten reads and ten writes. The first is before the counting: it adds
 * the descriptor to the reactor's set. */
TEST(sim_system_calls_of_keep_alive) {
    static struct sim_step steps[23];
    for (int i = 0; i < 11; i++) {
        steps[2 * i] = (struct sim_step)SENDS("GET /len/10 HTTP/1.1\r\n" HOST "\r\n");
        steps[2 * i + 1] = (struct sim_step)WAITS(100 * VT_MS);
    }
    steps[22] = (struct sim_step)DOES(SIM_FIN, 0);
    calls_of(steps, (int)VT__COUNT(steps), 1060, 10);
    CHECK_EQ(called(SIM_recv), 10);
    CHECK_EQ(sends(), 10);
    CHECK_EQ(called(SIM_setsockopt) + called(SIM_getsockopt) + called(SIM_fcntl), 0);
    CHECK_EQ(called(SIM_realloc) + called(SIM_mmap), 0);
#if defined(__linux__) && !VTHTTP_POLL
    CHECK_EQ(called(SIM_epoll_ctl), 0);
    CHECK(called(SIM_epoll_wait) + called(SIM_epoll_pwait2) <= 21);
#endif
    sim_end();
}
/* Sixteen that come in one piece: their answers leave in one. */
TEST(sim_system_calls_of_pipelined_requests) {
    static char all[16 * 64];
    size_t n = 0;
    for (int i = 0; i < 16; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "GET /len/10 HTTP/1.1\r\n" HOST "\r\n");
    struct sim_step steps[] = {SENDS("GET /len/10 HTTP/1.1\r\n" HOST "\r\n"),
                               WAITS(100 * VT_MS),
                               {SIM_SEND, all, n, 0, NULL},
                               DOES(SIM_AWAIT_N, 17),
                               WAITS(100 * VT_MS),
                               DOES(SIM_FIN, 0)};
    calls_of(steps, (int)VT__COUNT(steps), 160, 16);
    CHECK_EQ(called(SIM_recv), 1);
    CHECK_EQ(sends(), 1);
    sim_end();
}
