/* Callers in the simulated world, whose servers a suite scripts. Behind simkernel.h; a suite gives before it
 *
 *     enum { ..., NOBODY, KINDS }    what the server of each port from PORT on does; NOBODY: there is none, the others first
 *     enum { GO_ON }                 the kind that is asked with Expect, or -1
 *     HTTP2                          how it is spoken to, 0 or VT_HTTP2_PRIOR
 *
 * and after it texts, scripts, count, fits, right. */
#ifndef VT_SIMCLI_H
#define VT_SIMCLI_H
enum { PORT = 700, STEPS = 20, BODY = 600, CALLERS = 5, CALLS = 3 };
static struct {
    struct sim_step at[STEPS];
    int n;
} script[KINDS];
static char body[BODY + 1]; /* of every good answer */
static vt_client *client;
static bool faults, cancels;

static void texts(void);                    /* what servers say */
static void scripts(void);                  /* when they do, in a world of its own */
static size_t count(struct sim_peer *p);    /* requests that have come to one */
static bool fits(int kind, int how, int r); /* whether a call may end so when no call of the system fails */
static void right(const vt_call *call, int r); /* checks a whole answer */

static void drop_conns(void) { /* kept for their type, as sockets are */
    for (vt__cpool_conn *k = vt__cpool_g.free, *next; k; k = next) {
        next = k->next;
        vt__mem_free(k);
    }
    vt__cpool_g.free = NULL;
}
static void quiet(void *ctx, int level, const char *line) {
    (void)ctx, (void)level;
    if (sim.verbose) printf("           log: %s\n", line);
}

/*--- servers ---*/
static void does(int kind, int op, int64_t arg) {
    script[kind].at[script[kind].n++] = (struct sim_step){.op = op, .arg = arg};
}
static void says(int kind, const void *p, size_t n) {
    script[kind].at[script[kind].n++] = (struct sim_step){.op = SIM_SEND, .p = p, .n = n};
}
static int64_t some(int64_t most) { return (int64_t)sim_below((uint64_t)most); }
static int ending(void) { return (int[]){SIM_FIN, SIM_CLOSE, SIM_RST}[sim_below(3)]; }
static void serve(void) {
    for (int i = 0; i < KINDS; i++) does(i, SIM_AWAIT_END, 0);
    for (int i = 0; i < KINDS; i++)
        sim_serve(PORT + i,
                  i < NOBODY        ? 0
                  : sim_chance(500) ? ECONNREFUSED
                                    : SIM_DEAF,
                  script[i].at, script[i].n);
}

/*--- callers ---*/
/* Requests end in "END.": the path, or the body. how 0: without a body, 1: with one, 2: with one that is read once. */
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
static void one_call(void) {
    size_t left = 4 * BODY / 3;
    int kind = (int)sim_below(KINDS), how = (int)sim_below(3);
    vt_call *call = ask(kind, how, &left);
    int r = vt_call_send(call);
    if (r >= 0 && sim_chance(900)) {
        int whole = vt_call_whole(call);
        if (whole < 0) r = whole;
        else right(call, r);
    } else if (r >= 0) {
        r = kind == CUT ? VT_EEOF : r; /* it does not ask what would have come of it */
    }
    bool good = faults || (cancels && r == -ECANCELED) || fits(kind, how, r);
    if (!good) printf("kind %d how %d: %d %s\n", kind, how, r, vt_strerror(r));
    CHECK(good);
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
/* At most n connections are left, and all of them idle. Those of HTTP/1.1 are so at once, and idle ones end within 40 s; those
 * of HTTP/2 end by who drives them. */
static void settles(int n) {
    int64_t until = vt_now() + (HTTP2 ? 2000 : n ? 0 : 40) * VT_SEC;
    while ((client->conns > n || client->conns != client->nidle) && vt_now() < until) vt_sleep(20 * VT_MS);
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
                                            .http2 = HTTP2,
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
    if (!HTTP2 || !grow_old) settles(INT_MAX);
    CHECK(vt__ds_list_empty(&client->waiting));
    if (grow_old) settles(0);
    if (sim_chance(500)) return 0; /* it outlives the runtime */
    vt_client_free(client);
    client = NULL;
    return 0;
}

/*--- worlds ---*/
/* rough: the kernel takes and gives what it likes. */
static void world(uint64_t seed, bool rough, vt_fn *fn, void *arg) {
    vt_cfg cfg = {.workers = 1, .deadlock = VT_NONE};
    vt_log_set(quiet, NULL, VT_LOG_DEBUG);
    texts();
    sim_begin(seed);
    if (rough) sim_knobs();
    sim.count = count;
    sim.horizon = INT64_C(100000) * VT_SEC;
    memset(script, 0, sizeof script);
    scripts();
    serve();
    CHECK_EQ(vt_run(&cfg, fn, arg), 0);
    vt_client_free(client);
    client = NULL;
    vt__cpool_reclaim(); /* what the runtime left */
    sim_settle();
    drop_conns();
    (void)sim_end();
}
static void worlds(int n, bool that_fail, bool that_cancel) {
    const char *one = getenv("SIM_SEED");
    uint64_t state = test_seed();
    faults = that_fail, cancels = that_cancel;
    for (int i = 0; i < (one ? 1 : n); i++) {
        int before = test_failures;
        uint64_t seed = one ? (uint64_t)strtoull(one, NULL, 0) : test_rand(&state);
        world(seed, true, world_main, NULL);
        if (test_failures > before) printf("in the world of SIM_SEED=0x%llx\n", (unsigned long long)seed);
    }
}
#endif
