/* A whole server on the scripted kernel, and one or two clients that write what the input says. The input: eight bytes
 * of world (world_of), then what client 0 sends, with control bytes, which UTF-8 has no use for (script_of). Whatever
 * that is: each answer is well-formed, nothing comes behind the last, a client that behaves is served afterwards, the
 * run ends, no descriptor and no memory is left. SIM_TRACE=1 in the environment shows a run. */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include <stdio.h>

static void die(int line, const char *what) {
    fflush(stdout);
    fprintf(stderr, "fuzz_server.c:%d: %s\n", line, what);
    abort();
}
#define MUST(cond) ((cond) ? (void)0 : die(__LINE__, #cond))
#define SIM_FAIL(what) die(__LINE__, what)
#include "../tests/simkernel.h"
#include "../tests/simhttp.h"
#include "../tests/simsrv.h"
#include "../tests/handlers.h"

#define HOST "Host: a\r\n"
enum { PORT = 8080, CLIENTS = 2, MAX_STEPS = 200, MAX_BYTES = 16384, BYTES = 3000, HEADER = 8 };

/*--- the server ---*/
static int number(vt_req *req, int most) {
    vt_str n = vt_req_param(req, "n");
    int v = 0;
    for (size_t i = 0; i < n.len && n.ptr[i] >= '0' && n.ptr[i] <= '9' && v < most; i++)
        v = v * 10 + n.ptr[i] - '0';
    return VT__MIN(v, most);
}
static int h_len(vt_req *req, vt_res *res) {
    size_t n = (size_t)number(req, BYTES);
    char *p = vt_req_alloc(req, n + 1);
    if (!p) return -ENOMEM;
    memset(p, 'l', n);
    return vt_res_send(res, 200, "text/plain", p, n);
}
/* In pieces, with or without a length, with waits, an interim response and a trailer. */
static int h_stream(vt_req *req, vt_res *res) {
    static const char piece[200] = "piece";
    int n = number(req, BYTES);
    if (n % 3 == 0) vt_res_length(res, n);
    if (n % 5 == 0) vt_res_inform(res, 103, "Link: </a>\r\n");
    for (int at = 0, k; at < n; at += k) {
        k = VT__MIN(n - at, 1 + at % (int)sizeof piece);
        int64_t r = vt_res_write(res, piece, (size_t)k);
        if (r < 0) return (int)r;
        if (n % 7 == 0) vt_sleep_ms(1);
        if (n % 11 == 0) vt_res_flush(res);
    }
    return vt_res_trailer(res, "X-End", "here");
}
static int h_copy(vt_req *req, vt_res *res) {
    vt_str body, type = vt_req_field(req, "x-echo");
    int r = vt_req_body(req, &body);
    if (r >= 0 && type.ptr) r = vt_res_field(res, "X-Echo", type.ptr);
    return r < 0 ? r : vt_res_send(res, 200, "text/plain", body.ptr, body.len);
}
static int h_sleep(vt_req *req, vt_res *res) {
    int ms = number(req, 5000), r = vt_sleep_ms(ms);
    return r < 0 ? r : vt_res_printf(res, 200, "%d", ms);
}
static int h_part(vt_req *req, vt_res *res) {
    char buf[10];
    int64_t n = vt_req_read(req, buf, sizeof buf);
    return n < 0 ? (int)n : vt_res_send(res, 200, "text/plain", buf, (size_t)n);
}
static int child(void *arg) { return vt_sleep_ms(*(int *)arg); }
static int h_scope(vt_req *req, vt_res *res) {
    int ms = number(req, 100);
    int *at = vt_req_alloc(req, sizeof *at);
    vt_scope *scope = vt_req_scope(req);
    if (!at || !scope) return -ENOMEM;
    *at = ms;
    int r = vt_scope_go(scope, child, at);
    return r < 0 ? r : vt_res_text(res, 200, "it runs on");
}
static int h_form(vt_req *req, vt_res *res) {
    vt_str v, q = vt_req_query(req, "q");
    int r = vt_req_form(req, "q", &v);
    return r < 0 ? r : vt_res_printf(res, 200, "%d %d", r ? (int)v.len : -1, q.ptr ? (int)q.len : -1);
}
static int h_upgrade(vt_req *req, vt_res *res) {
    char buf[50];
    vt_stream *st;
    (void)req;
    vt_deadline_set(vt_now() + 20 * VT_SEC);
    int r = vt_res_upgrade(res, "echo", &st);
    if (r < 0) return r;
    for (int64_t n; (n = vt_stream_read(st, buf, sizeof buf)) > 0;)
        if ((n = vt_stream_write(st, buf, (size_t)n)) < 0) return (int)n;
    return vt_stream_shutdown(st);
}
static void routes(vt_server *s) {
    vt_server_get(s, "/len/{n}", h_len);
    vt_server_get(s, "/stream/{n}", h_stream);
    vt_server_any(s, "/echo", h_copy);
    vt_server_post(s, "/pipe", h_pipe);
    vt_server_any(s, "/sleep/{n}", h_sleep);
    vt_server_post(s, "/part", h_part);
    vt_server_get(s, "/scope/{n}", h_scope);
    vt_server_any(s, "/form/{rest...}", h_form);
    vt_server_get(s, "/upgrade", h_upgrade);
    vt_server_any(s, "/close", h_close);
    vt_server_any(s, "/none", h_none);
    vt_server_get(s, "/fail", h_fail);
}

/*--- the clients ---*/
struct client {
    struct sim_peer *peer;
    struct sim_step steps[MAX_STEPS + 8];
    int nsteps;
    bool rude, deaf; /* leaves before it has all; does not read for a while */
    struct sim_reader reader;
    char bytes[MAX_BYTES];
    size_t nbytes, from; /* from: not in a step yet */
    int answered;        /* requests: on_response was called */
    int last_err;
};
static struct client clients[CLIENTS + 1];
static struct client *const good = &clients[CLIENTS];

static void step(struct client *c, int op, int64_t arg) {
    if (c->nsteps < MAX_STEPS) c->steps[c->nsteps++] = (struct sim_step){op, NULL, 0, arg, NULL};
}
static void cut(struct client *c) {
    if (c->from == c->nbytes) return;
    if (c->nsteps < MAX_STEPS)
        c->steps[c->nsteps++] = (struct sim_step){SIM_SEND, c->bytes + c->from, c->nbytes - c->from, 0, NULL};
    c->from = c->nbytes;
}
static void finish(struct client *c) {
    cut(c);
    if (c->nsteps > MAX_STEPS) c->nsteps = MAX_STEPS;
    c->steps[c->nsteps++] = (struct sim_step){SIM_READ, NULL, 0, 1, NULL};
    if (!c->rude) c->steps[c->nsteps++] = (struct sim_step){SIM_FIN, NULL, 0, 0, NULL};
    if (!c->rude) c->steps[c->nsteps++] = (struct sim_step){SIM_AWAIT_END, NULL, 0, 0, NULL};
}
/* f8: another write; f9 n: n ms pass; fa n: n / 4 s pass; fb: the other client's turn; fc: until all is answered that was
 * when it was sent, and one more; fd: FIN; fe n: RST, a close, or no more reading; ff n: the byte n. True: both clients
 * are used. */
static bool script_of(const uint8_t *data, size_t size) {
    struct client *c = clients;
    int want[CLIENTS] = {0, 0};
    bool both = false;
    for (size_t i = 0; i < size; i++) {
        uint8_t b = data[i], n = i + 1 < size ? data[i + 1] : 0;
        if (b < 0xf8 || b == 0xff) {
            if (c->nbytes < MAX_BYTES) c->bytes[c->nbytes++] = (char)(b == 0xff ? n : b);
            i += b == 0xff;
            continue;
        }
        cut(c);
        switch (b) {
        case 0xf9: step(c, SIM_DELAY, (int64_t)n * VT_MS + 1), i++; break;
        case 0xfa: step(c, SIM_DELAY, (int64_t)n * VT_SEC / 4 + 1), i++; break;
        case 0xfb: c = c == clients ? clients + 1 : clients, both = true; break;
        case 0xfc:
            step(c, SIM_READ, 1);
            step(c, SIM_AWAIT_N, ++want[c - clients]);
            break;
        case 0xfd: step(c, SIM_FIN, 0); break;
        case 0xfe:
            i++;
            c->rude = c->rude || n % 3 < 2;
            c->deaf = c->deaf || n % 3 == 2;
            step(c, (int[]){SIM_RST, SIM_CLOSE, SIM_READ}[n % 3], 0);
            break;
        default: break;
        }
    }
    for (int i = 0; i < CLIENTS; i++) finish(&clients[i]);
    return both;
}

/*--- the world ---*/
static int live;
static bool early;    /* the server is stopped while the clients are at work */
static bool fin_ends; /* a FIN is taken for the client's end: what it has by then is all */
static struct sim_faults fault;
static int fault_id;

static void meet_good(void *arg, uint32_t gen) {
    static const char ask[] = "GET /len/5 HTTP/1.1\r\n" HOST "\r\n";
    static const struct sim_step steps[] = {{SIM_SEND, ask, sizeof ask - 1, 0, NULL},
                                            {SIM_AWAIT_N, NULL, 0, 1, NULL},
                                            {SIM_FIN, NULL, 0, 0, NULL},
                                            {SIM_AWAIT_END, NULL, 0, 0, NULL}};
    (void)arg, (void)gen;
    good->peer = sim_client(sim.now - SIM_START + VT_MS, PORT, steps, (int)VT__COUNT(steps));
}
static void on_peer_done(struct sim_peer *p) {
    if (good->peer == p) sim_post(VT_MS, srv_stop, NULL, 0);
    else if (--live == 0 && !early) calm(NULL, 0), sim_post(60 * VT_SEC, meet_good, NULL, 0);
}
static size_t count(struct sim_peer *p) { return (size_t)clients[p - sim.peers].answered; }
static void on_response(vt_req *req, vt_res *res, void *ctx, int err) {
    const struct sockaddr *sa = &((vt__h1c_run *)req->conn)->c->peer.sa;
    struct client *c = &clients[sim_addr_port(sa) - 20000];
    (void)res, (void)ctx;
    if (req->method_id == VT__H1_M_HEAD && c->answered < 64) c->reader.heads |= UINT64_C(1) << c->answered;
    c->answered++;
    c->last_err = err;
    if (c->peer) sim_peer_kick(c->peer, 1);
}
static void on_ready(vt_server *s, void *ctx) {
    (void)s, (void)ctx;
    sim.f[fault_id] = fault;
    if (fault.nth) sim.f[fault_id].nth += sim.calls[fault_id];
    sim_at(30 * VT_SEC, calm, NULL);
}
static void on_log(void *ctx, int level, const char *line) {
    (void)ctx, (void)level;
    if (sim.verbose) printf("           log: %s\n", line);
}

static vt_server_cfg world_of(const uint8_t *w) {
    static const uint32_t grains[] = {0, 1, 7, 100}, buffers[] = {0, 16, 300, 2000};
    static const int rates[] = {0, 20, 150, 400};
    static const int64_t latencies[] = {0, 1000, 50000, 2000000};
    static const int ids[] = {
        SIM_recv,
        SIM_send,
        SIM_sendmsg,
        SIM_accept,
        SIM_shutdown,
        SIM_realloc,
        SIM_mmap,
        SIM_open,
        SIM_close,
        SIM_setsockopt,
#if defined(__linux__) && !VTHTTP_POLL
        SIM_epoll_ctl
#else
        SIM_poll
#endif
    };
    vt_server_cfg cfg = {.addr = "127.0.0.1:8080",
                         .workers = 1,
                         .max_keep_alive = 50,
                         .grace_ms = 200000,
                         .on_response = on_response,
                         .on_ready = on_ready};
    struct sim_knobs *k = &sim.k;
    if (w[1] & 1)
        cfg.max_request_line = 60, cfg.max_header_bytes = 300, cfg.max_header_count = 6, cfg.max_body = 200,
        cfg.max_trailer_bytes = 60, cfg.max_chunk_line = 16, cfg.max_drain = 100;
    cfg.cancel_on = (w[1] >> 1 & 3) % 3;
    fin_ends = cfg.cancel_on == VT_CANCEL_FIN;
    if (w[1] & 8) cfg.max_connections = 1;
    if (w[1] & 16) cfg.handler_timeout_ms = 50;
    if (w[1] & 32) cfg.max_keep_alive = 3;
    if (w[1] & 64) cfg.max_vthreads = 3; /* two are the server's */
    early = w[1] >> 7;
    k->grain = grains[w[2] & 3], k->send_grain = grains[w[2] >> 2 & 3], k->read_grain = grains[w[2] >> 4 & 3];
    k->send_buffer = buffers[w[3] & 3], k->recv_buffer = buffers[w[3] >> 2 & 3];
    k->latency = latencies[w[3] >> 4 & 3];
    k->storm = rates[w[4] & 3], k->invent = rates[w[4] >> 2 & 3], k->eintr = rates[w[4] >> 4 & 3];
    k->lazy = rates[w[4] >> 6];
    fault_id = ids[(w[5] & 15) % VT__COUNT(ids)];
    fault = (struct sim_faults){w[6], (w[5] & 16) != 0, w[5] & 32 ? 200 : 0, 0};
    if (early) sim_at((1 + w[7]) * VT_MS, srv_stop, NULL);
    return cfg;
}

/*--- the properties ---*/
/* What there is no virtual thread for is told so as far as its socket takes the words at once. */
static bool is_refusal(const char *p, size_t n) {
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
                               "Connection: close\r\n\r\n";
    return n < sizeof text && memcmp(p, text, n) == 0;
}
static void check(struct client *c) {
    struct sim_peer *p = c->peer;
    struct sim_reader *r = &c->reader;
    MUST(p->done);
    (void)sim_read(r, p->got, p->ngot, p->fin && !c->rude);
    /* Who could not be understood is answered without on_response. */
    if (!r->bad && !r->upgraded && r->pos < p->ngot && r->n == c->answered && p->ngot > 4 &&
        memcmp(p->got + p->ngot - 4, "\r\n\r\n", 4) == 0 && memmem(c->bytes, c->nbytes, "HEAD", 4)) {
        r->heads |= UINT64_C(1) << r->n;
        (void)sim_read(r, p->got, p->ngot, p->fin);
    }
    if (sim.verbose)
        printf("client %d: %d whole of %d, err %d, %zu of %zu bytes: %s\n", (int)(c - clients), r->n,
               c->answered, c->last_err, r->pos, p->ngot, p->ngot ? p->got : "");
    if (r->bad) die(__LINE__, r->bad);
    MUST(r->n <= c->answered + 1);
    for (int i = 0; i < r->n; i++) MUST(!r->res[i].close || i + 1 == r->n);
    if (r->n && r->res[r->n - 1].close) MUST(r->pos == p->ngot);
    if (c->rude || p->rst || sim.faults || r->upgraded || fin_ends) return;
    MUST(r->pos == p->ngot || c->last_err < 0 || c->deaf || is_refusal(p->got + r->pos, p->ngot - r->pos));
    MUST(r->n >= c->answered - (c->last_err < 0 || c->deaf));
}
static void check_good(void) {
    struct sim_reader *r = &good->reader;
    MUST(good->peer && good->peer->done);
    MUST(sim_read(r, good->peer->got, good->peer->ngot, good->peer->fin) == 1);
    MUST(r->res[0].status == 200 && r->res[0].nbody == 5 && memcmp(r->bodies, "lllll", 5) == 0);
    MUST(r->pos == good->peer->ngot && good->peer->fin && !good->peer->rst);
}
static void clear(struct client *c) {
    c->peer = NULL;
    c->nsteps = c->answered = c->last_err = 0;
    c->rude = c->deaf = false;
    c->nbytes = c->from = 0;
    sim_reader_reset(&c->reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < HEADER) return 0;
    for (int i = 0; i <= CLIENTS; i++) clear(&clients[i]);
    sim_begin(data[0]);
    sim.max_calls = 2000000;
    sim.horizon = 20000 * VT_SEC; /* all that a script can wait */
    vt_server_cfg cfg = world_of(data);
    live = script_of(data + HEADER, size - HEADER) ? 2 : 1;
    for (int i = 0; i < live; i++)
        clients[i].peer = sim_client(VT_MS, PORT, clients[i].steps, clients[i].nsteps);
    int n = sim.npeers;
    if (n < CLIENTS) sim.npeers = CLIENTS; /* the number of a peer is that of its client */
    sim.count = count;
    sim.on_peer_done = on_peer_done;
    vt_log_set(on_log, NULL, VT_LOG_DEBUG);
    srv = vt_server_new(&cfg);
    routes(srv);
    MUST(vt_server_error(srv) == 0);
    MUST(vt_server_run(srv) == 0);
    vt_server_free(srv);
    srv = NULL;
    sim_settle();
    for (int i = 0; i < n; i++) check(&clients[i]);
    if (!early) check_good();
    MUST(sim_end() == 0);
    return 0;
}
