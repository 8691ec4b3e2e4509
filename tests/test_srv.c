/* @srv: every field's default and bounds, what @h1c is told, addresses, starts that fail, doors that rest, the descriptor
 * in reserve, the last guests. What is about time or the kernel is played on the scripted one. */
/* variants: default asan poll ucontext clang */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "simkernel.h"
#include "simhttp.h"
#include "simsrv.h"
#include "handlers.h"

#define HOST "Host: a\r\n"
enum { PORT = 8080, CLIENTS = 120 };

/*--- configuration ---*/
/* As the public comments say it: field, default, smallest, whether VT_NONE is a value, largest (0: none). */
#define ROWS(X)                                                                                              \
    X(max_connections, 100000, 1, 1, 0)                                                                      \
    X(max_vthreads, 1000000, 1, 1, 0)                                                                        \
    X(max_queued, 1024, 1, 1, 0)                                                                             \
    X(queue_timeout_ms, 1000, 1, 1, INT64_C(31622400000))                                                    \
    X(max_header_bytes, 16384, 1, 1, 1073741824)                                                             \
    X(max_header_count, 1000, 1, 1, 1000000)                                                                 \
    X(max_request_line, 8192, 1, 1, 1073741824)                                                              \
    X(max_body, 1048576, 1, 1, 0)                                                                            \
    X(max_chunk_line, 256, 1, 1, 1073741824)                                                                 \
    X(max_trailer_bytes, 8192, 1, 1, 1073741824)                                                             \
    X(max_drain, 1048576, 1, 1, 0)                                                                           \
    X(max_keep_alive, VT_NONE, 1, 1, 0)                                                                      \
    X(header_timeout_ms, 10000, 1, 1, INT64_C(31622400000))                                                  \
    X(body_timeout_ms, 20000, 1, 1, INT64_C(31622400000))                                                    \
    X(min_body_rate, 64, 1, 1, 0)                                                                            \
    X(write_timeout_ms, 20000, 1, 1, INT64_C(31622400000))                                                   \
    X(idle_timeout_ms, 60000, 1, 1, INT64_C(31622400000))                                                    \
    X(handler_timeout_ms, VT_NONE, 1, 1, INT64_C(31622400000))                                               \
    X(grace_ms, 10000, 1, 1, INT64_C(31622400000))                                                           \
    X(retry_after_s, 1, 1, 0, 86400)                                                                         \
    X(backlog, 1024, 1, 0, 65535)                                                                            \
    X(port, 8080, 1, 1, 65535)                                                                               \
    X(ssl_min_version, 0, 12, 0, 13)                                                                         \
    X(workers, 0, 1, 0, 256)                                                                                 \
    X(stack_bytes, 0, 16384, 0, 1073741824)                                                                  \
    X(stall_ms, 0, 1, 1, 3600000)                                                                            \
    X(max_spares, 0, 1, 1, 256)                                                                              \
    X(deadlock, 0, 0, 1, 1)                                                                                  \
    X(http2, 0, 0, 1, 1)                                                                                     \
    X(http3, 0, 0, 1, 1)                                                                                     \
    X(early_data, 0, 0, 1, 1)                                                                                \
    X(alt_svc_max_age_s, 86400, 1, 1, INT64_C(2147483648))                                                   \
    X(hsts_max_age_s, 0, 0, 1, 0)                                                                            \
    X(max_streams, 100, 1, 0, 1000000)                                                                       \
    X(cancel_on, 0, 0, 0, 2)

static void field_is(const vt_server_cfg *cfg, const char *field, int64_t value, bool good) {
    char want[80];
    vt_server *s = vt_server_new(cfg);
    snprintf(want, sizeof want, "%s: %lld is out of range (", field, (long long)value);
    if (vt_server_error(s) != (good ? 0 : -EINVAL)) test_fail(__FILE__, __LINE__, want);
    if (!good) CHECK(strncmp(vt_server_error_text(s), want, strlen(want)) == 0);
    vt_server_free(s);
}
#define TRY(field, value, good)                                                                              \
    do {                                                                                                     \
        vt_server_cfg c_ = {0};                                                                              \
        c_.field = value;                                                                                    \
        field_is(&c_, #field, (int64_t)(value), (good));                                                     \
    } while (0)

TEST(srv_defaults_of_every_field) {
    vt_server_cfg all;
    vt_server *s = vt_server_new(NULL);
    int rows = 0, fields = 0;
    memset(&all, 0xa5, sizeof all);
    vt_server_cfg_defaults(&all);
#define ROW(field, value, least, none, most)                                                                 \
    rows++;                                                                                                  \
    if ((value) != 0) CHECK_EQ(all.field, value);                                                            \
    CHECK_EQ(s->cfg.field, value);
    ROWS(ROW)
#undef ROW
#define FIELD(field, value, least, most, none) fields++;
    VT__SRV_FIELDS(FIELD)
#undef FIELD
    CHECK_EQ(rows + 1,
             fields); /* none is forgotten here; ssl_port, which wants a certificate, is tried below */
    CHECK(all.workers >= 1 && all.stack_bytes >= 16384);
    CHECK(!all.host && !all.addr && !all.server_name && !all.on_ready && all.reuseport == 0);
    CHECK_EQ(vt_server_error(s), 0);
    vt_server_free(s);
    s = vt_server_new(&all); /* they are values like others */
    CHECK_EQ(vt_server_error(s), 0);
    vt_server_free(s);
}
TEST(srv_bounds_of_every_field) {
#define ROW(field, value, least, none, most)                                                                 \
    TRY(field, least, true);                                                                                 \
    if ((least) > 1) TRY(field, (least)-1, false);                                                           \
    TRY(field, VT_NONE, none);                                                                               \
    TRY(field, -2, false);                                                                                   \
    TRY(field, INT_MIN, false);                                                                              \
    TRY(field, 0, true);                                                                                     \
    TRY(field, (most) ? (most) : INT_MAX, true);                                                             \
    if (most) TRY(field, (most) + 1, false);
    ROWS(ROW)
#undef ROW
    TRY(max_body, INT64_MAX, true);
    TRY(grace_ms, INT64_MAX, false);
    TRY(max_body, INT64_MIN, false);
    TRY(h2_budgets[2].burst, VT_NONE, true);
    TRY(h2_budgets[2].burst, INT_MAX, true);
    TRY(h2_budgets[7].per_s, INT_MAX, true);
    TRY(h2_budgets[0].burst, -2, false);
    TRY(h2_budgets[7].per_s, -1, false);
    vt_server_cfg bad = {.port = 65536};
    vt_server *s = vt_server_new(&bad);
    CHECK_STR(vt_server_error_text(s), "port: 65536 is out of range (1 to 65535, or VT_NONE)");
    vt_server_free(s);
    bad = (vt_server_cfg){.max_streams = -1};
    s = vt_server_new(&bad);
    CHECK_STR(vt_server_error_text(s), "max_streams: -1 is out of range (1 to 1000000)");
    vt_server_free(s);
    TRY(ssl_port, -2, false);
    TRY(ssl_port, 65536, false);
}
TEST(srv_server_name) {
    char name[202];
    memset(name, 'n', sizeof name);
    vt_server_cfg cfg = {.server_name = name};
    for (int len = 200; len <= 201; len++) {
        name[len] = 0;
        vt_server *s = vt_server_new(&cfg);
        CHECK_EQ(vt_server_error(s), len == 200 ? 0 : -EINVAL);
        name[0] = 'x';
        CHECK_EQ(s->cfg.server_name[0], 'n'); /* copied */
        name[0] = name[len] = 'n';
        vt_server_free(s);
    }
    static const char *const bad[] = {"a\r\nB: c", "a\n", "a\x7f", "a\x01"};
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        cfg.server_name = bad[i];
        vt_server *s = vt_server_new(&cfg);
        CHECK_EQ(vt_server_error(s), -EINVAL);
        CHECK(strstr(vt_server_error_text(s), "server_name") != NULL);
        vt_server_free(s);
    }
}
TEST(srv_http2_that_is_not_built_in) {
    vt_server_cfg cfgs[] = {{.http2 = 1}, {.http2 = 1, .max_streams = 5}};
    for (size_t i = 0; i < VT__COUNT(cfgs); i++) {
        cfgs[i].host = "127.0.0.1";
        cfgs[i].port = VT_NONE;
        cfgs[i].no_signals = 1;
        vt_server *s = vt_server_new(&cfgs[i]);
        CHECK_EQ(vt_server_error(s), 0); /* it is what the program wants; it shows when it starts */
        CHECK_EQ(vt_server_run(s), VT_ENOHTTP2);
        vt_server_free(s);
    }
}
TEST(srv_http3_that_is_not_built_in) {
    vt_server_cfg cfg = {.http3 = 1, .host = "127.0.0.1", .port = VT_NONE, .no_signals = 1};
    vt_server *s = vt_server_new(&cfg);
    CHECK_EQ(vt_server_error(s), 0);
    CHECK_EQ(vt_server_run(s), VT_ENOHTTP3);
    CHECK(strstr(vt_server_error_text(s), "http3") && strstr(vt_server_error_text(s), "VTHTTP_H3"));
    vt_server_free(s);
}
TEST(srv_tls_that_is_not_built_in) {
    vt_tls_cert cert = {.cert_file = "cert.pem"};
    vt_tls_cfg tls = {.certs = &cert, .ncerts = 1};
    vt_server_cfg cfgs[] = {{.ssl_cert = "cert.pem"},
                            {.ssl_port = 8443},
                            {.ssl_only = 1},
                            {.ssl_key = "key.pem"},
                            {.ssl_key_password_file = "password"},
                            {.ssl_client_ca = "ca.pem"}}; /* what speaks of TLS is not served without */
    for (size_t i = 0; i < VT__COUNT(cfgs); i++) {
        vt_server *s = vt_server_new(&cfgs[i]);
        CHECK_EQ(vt_server_error(s), i ? VT_ECONF : VT_ENOTLS);
        if (i == 0) CHECK(strstr(vt_server_error_text(s), "VTHTTP_TLS=1") != NULL);
        vt_server_free(s);
    }
    vt_server *s = vt_server_new(NULL);
    CHECK_EQ(vt_server_listen_tls(s, ":0", &tls), VT_ENOTLS);
    CHECK_EQ(vt_server_tls_reload(s), VT_ESTATE);
    vt_server_free(s);
    vt_stream *st;
    CHECK_EQ(vt_tls_dial(&st, "127.0.0.1:1", NULL, 0), VT_ENOTLS);
    CHECK_EQ(vt_tls_client_take(&st, NULL, NULL, 0), VT_ENOTLS);
    vt_tls_close(NULL);
}

TEST(srv_resolved) {
    vt__link_conf f;
    vt_server_cfg c;
    vt_server_cfg_defaults(&c);
    c.server_name = "me";
    vt__srv_resolve(&f, &c);
    CHECK(f.limits.line == 8192 && f.limits.section == 16384 && f.limits.chunk_line == 256);
    CHECK(f.limits.trailer == 8192 && f.max_fields == 1000 && f.max_drain == 1 << 20);
    CHECK(f.max_head >= f.limits.line + f.limits.section && f.max_head < 30000);
    CHECK(f.max_requests == INT64_MAX && f.min_rate == 64);
    CHECK(f.header_ns == 10 * VT_SEC && f.body_ns == 20 * VT_SEC && f.write_ns == 20 * VT_SEC);
    CHECK(f.idle_ns == 60 * VT_SEC && f.cancel_on == VT_CANCEL_RESET && !f.no_date);
    CHECK_MEM(f.server, f.server_len, "Server: me\r\n", 12);
    CHECK(strstr(f.refusal, "503") && strstr(f.refusal, "\r\nRetry-After: 1\r\n"));
    CHECK(f.refusal_len == strlen(f.refusal) && strcmp(f.refusal + f.refusal_len - 4, "\r\n\r\n") == 0);
    c.server_name = NULL;
    c.retry_after_s = 86400;
    c.no_date = 1;
    c.max_request_line = c.max_header_bytes = c.max_chunk_line = c.max_trailer_bytes = VT_NONE;
    c.max_header_count = VT_NONE;
    c.max_drain = c.min_body_rate = c.header_timeout_ms = c.body_timeout_ms = VT_NONE;
    c.write_timeout_ms = c.idle_timeout_ms = VT_NONE;
    vt__srv_resolve(&f, &c);
    CHECK(f.limits.line == 1u << 30 && f.limits.section == 1u << 30 && f.limits.chunk_line == 1u << 30);
    CHECK(f.max_fields == 1u << 20 && f.max_drain == INT64_MAX && f.min_rate == 0 && f.no_date);
    CHECK(f.header_ns == 0 && f.body_ns == 0 && f.write_ns == 0 && f.idle_ns == 0);
    CHECK(f.server_len == 0 && strstr(f.refusal, "\r\nRetry-After: 86400\r\n"));
    CHECK(f.refusal_len < sizeof f.refusal);
}
TEST(srv_first_address) {
    static const struct {
        const char *host, *addr;
        int port;
        const char *want;
    } rows[] = {{NULL, NULL, 0, ":8080"},       {"1.2.3.4", NULL, 81, "1.2.3.4:81"},
                {"::1", NULL, 0, "[::1]:8080"}, {"[::1]", NULL, 1, "[::1]:1"},
                {"h", NULL, VT_NONE, "h:0"},    {"h", "i:9", 7, "i:9"},
                {NULL, "unix:/x", 7, "unix:/x"}};
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        vt_server_cfg cfg = {.host = rows[i].host, .addr = rows[i].addr, .port = rows[i].port};
        vt_server *s = vt_server_new(&cfg);
        CHECK_STR(s->run->listeners[0].addr, rows[i].want);
        CHECK(vt_server_port(s, 0) == -1 && vt_server_port(s, 1) == -1 && vt_server_port(s, -1) == -1);
        vt_server_free(s);
    }
    char text[VT__SRV_ADDR_MAX + 1];
    memset(text, 'a', sizeof text);
    for (size_t n = VT__SRV_ADDR_MAX - 1; n <= VT__SRV_ADDR_MAX; n++) {
        text[n] = 0;
        vt_server_cfg cfg = {.addr = text};
        vt_server *s = vt_server_new(&cfg);
        CHECK_EQ(vt_server_error(s), n < VT__SRV_ADDR_MAX ? 0 : VT_EADDR);
        vt_server_free(s);
        text[n] = 'a';
    }
}

/*--- servers on the scripted kernel ---*/
static struct sim_reader readers[CLIENTS];
static struct sim_peer *peers[CLIENTS];
static int npeers, most_burst;
static char log_text[4000];

static int h_ok(vt_req *req, vt_res *res) {
    (void)req;
    most_burst = VT__MAX(most_burst, srv->run->doors[0].burst);
    return vt_res_text(res, 200, "ok");
}
/* Meanwhile nobody is accepted. */
static int h_compute(vt_req *req, vt_res *res) {
    int r = vt_sleep_ms(4);
    for (int64_t end = sim.now + 20 * VT_MS; sim.now < end;) sim.now += SIM_US, sim_run_due();
    return r < 0 ? r : h_ok(req, res);
}
static void on_log(void *ctx, int level, const char *line) {
    size_t n = strlen(log_text);
    (void)ctx;
    if (level >= VT_LOG_WARN) snprintf(log_text + n, sizeof log_text - n, "%s\n", line);
}
static void on_line(void *ctx, int level, const char *line) {
    (void)level;
    snprintf(ctx, sizeof log_text, "%s", line);
}
/* What one can open, and no less than what is open. */
TEST(srv_says_where_it_listens) {
    static const struct {
        const char *addr, *want;
        int port;
    } rows[] = {{":8080", "http://localhost:8080/ (all addresses)", 8080},
                {"[::]:0", "http://localhost:1234/ (all addresses)", 1234},
                {"0.0.0.0:80", "http://localhost:80/ (all IPv4 addresses)", 80},
                {"127.0.0.1:80", "http://127.0.0.1:80/", 80},
                {"[::1]:0", "http://[::1]:1234/", 1234},
                {"example.org:80", "http://example.org:80/", 80},
                {"unix:/run/a", "unix:/run/a", 0}};
    char want[80];
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        vt_server_cfg cfg = {.addr = rows[i].addr};
        vt_server *s = vt_server_new(&cfg);
        s->run->listeners[0].port = rows[i].port;
        vt_log_set(on_line, log_text, VT_LOG_INFO);
        vt__srv_announce(s->run);
        vt_log_set(NULL, NULL, VT_LOG_INFO);
        snprintf(want, sizeof want, "listening on %s", rows[i].want);
        CHECK_STR(log_text, want);
        vt_server_free(s);
    }
}
static size_t count(struct sim_peer *p) { return (size_t)sim_read(p->ctx, p->got, p->ngot, p->fin); }
#define CLIENT(at, text)                                                                                     \
    do {                                                                                                     \
        static const struct sim_step steps_[] = {{SIM_SEND, text, sizeof(text) - 1, 0, NULL},                \
                                                 {SIM_AWAIT_N, NULL, 0, 1, NULL},                            \
                                                 {SIM_FIN, NULL, 0, 0, NULL}};                               \
        sim_reader_reset(&readers[npeers]);                                                                  \
        peers[npeers] = sim_client((at)*VT_MS, PORT, steps_, 3);                                             \
        peers[npeers]->ctx = &readers[npeers];                                                               \
        npeers++;                                                                                            \
    } while (0)
#define GET_OK "GET / HTTP/1.1\r\n" HOST "\r\n"
static int status_of(int i) {
    return peers[i]->ngot && count(peers[i]) ? readers[i].res[0].status : peers[i]->rst ? -1 : 0;
}
static void begin(uint64_t seed) {
    sim_begin(seed);
    sim.count = count;
    npeers = most_burst = 0;
    log_text[0] = 0;
    vt_log_set(on_log, NULL, VT_LOG_INFO);
}
static int h_stubborn(vt_req *req, vt_res *res) {
    vt_shield(true);
    return h_slept(req, res);
}
static const vt_server_cfg plain = {.addr = "127.0.0.1:8080", .workers = 1};
static int serve(const vt_server_cfg *cfg) {
    srv = vt_server_new(cfg);
    vt_server_get(srv, "/", h_ok);
    vt_server_get(srv, "/compute", h_compute);
    vt_server_get(srv, "/sleep/{ms}", h_slept);
    vt_server_get(srv, "/stubborn/{ms}", h_stubborn);
    int r = vt_server_run(srv);
    CHECK_EQ(srv->run->state, VT__SRV_IDLE);
    vt_server_free(srv);
    srv = NULL;
    sim_settle();
    sim_end();
    return r;
}

/*--- doors ---*/
static bool shut[3], resting[3];
static void look(void *arg, uint32_t gen) {
    int i = (int)(intptr_t)arg;
    (void)gen;
    shut[i] = !srv->run->doms[0].open;
    resting[i] = srv->run->doms[0].resting != 0;
}
static void look_at(int i, int64_t ms) { sim_at(ms * VT_MS, look, (void *)(intptr_t)i); }

TEST(srv_door_rests_at_the_limit_and_opens_with_a_close) {
    vt_server_cfg cfg = plain;
    cfg.max_connections = 1;
    begin(1);
    CLIENT(10, "GET /sleep/1000 HTTP/1.1\r\n" HOST "\r\n");
    CLIENT(60, GET_OK); /* rests would end at 1060 ms by themselves */
    look_at(0, 5);
    look_at(1, 500);
    look_at(2, 1100);
    sim_at(2 * VT_SEC, srv_stop, NULL);
    CHECK_EQ(serve(&cfg), 0);
    CHECK(!shut[0] && shut[1] && resting[1] && !shut[2] && !resting[2]);
    CHECK(status_of(0) == 200 && status_of(1) == 200);
    int64_t ms = (peers[1]->t_last - SIM_START) / VT_MS;
    CHECK(ms >= 1010 && ms < 1040); /* at once, not when the rest is over */
}
TEST(srv_door_burst_grows_while_the_queue_is_full) {
    begin(2);
    for (int i = 0; i < CLIENTS; i++) CLIENT(10, GET_OK);
    sim_at(2 * VT_SEC, srv_stop, NULL);
    CHECK_EQ(serve(&plain), 0);
    CHECK(most_burst >= 4 && most_burst <= VT__SRV_BURST);
    for (int i = 0; i < CLIENTS; i++) CHECK_EQ(status_of(i), 200);
}

/*--- the descriptor in reserve ---*/
static int reserves[3];
static void look_reserve(void *arg, uint32_t gen) {
    (void)gen;
    reserves[(intptr_t)arg] = srv->run->reserve;
}
static void full(void *arg, uint32_t gen) { /* no descriptor is left from now on; 0: as many as one likes */
    (void)gen;
    sim.k.fds = arg ? sim.open_fds : 0;
}
static void open_fails(void *arg, uint32_t gen) {
    (void)gen;
    sim_fault(SIM_open, arg ? 1 : 0, true, ENFILE);
}
TEST(srv_reserve_tells_a_client_that_there_is_none) {
    begin(3);
    sim.k.latency = 0; /* the request is there when the connection is taken */
    sim_at(5 * VT_MS, full, &srv);
    CLIENT(10, GET_OK);
    sim_at(50 * VT_MS, look_reserve, (void *)0);
    sim_at(500 * VT_MS, full, NULL);
    CLIENT(1000, GET_OK);
    sim_at(2 * VT_SEC, srv_stop, NULL);
    CHECK_EQ(serve(&plain), 0);
    CHECK_EQ(status_of(0), 503);
    CHECK(peers[0]->fin && !peers[0]->rst);
    CHECK(reserves[0] >= 0); /* had again */
    CHECK_EQ(status_of(1), 200);
    CHECK(strstr(log_text, "accept: ") && strstr(log_text, "EMFILE"));
}
/* Its request has come by the time it is turned away: unread, that would make the close a reset, which takes the 503
 * away from a client that has not read it yet. */
TEST(srv_reserve_reads_before_it_closes) {
    begin(8);
    CLIENT(2, "GET /compute HTTP/1.1\r\n" HOST "\r\n");
    sim_at(5 * VT_MS, full, &srv);
    CLIENT(10, GET_OK);
    sim_at(500 * VT_MS, full, NULL);
    sim_at(2 * VT_SEC, srv_stop, NULL);
    CHECK_EQ(serve(&plain), 0);
    CHECK(status_of(0) == 200 && status_of(1) == 503);
    CHECK(peers[1]->fin && !peers[1]->rst);
}
TEST(srv_reserve_lost_is_had_again) {
    begin(4);
    sim_at(4 * VT_MS, open_fails, &srv);
    sim_at(5 * VT_MS, full, &srv);
    CLIENT(10, ""); /* what it sent would come behind the close, and be answered by RST */
    sim_at(30 * VT_MS, look_reserve, (void *)0); /* given up for client 0, and not to be had */
    sim_at(40 * VT_MS, open_fails, NULL);
    sim_at(250 * VT_MS, look_reserve, (void *)1); /* when the door opened again */
    sim_at(260 * VT_MS, full, &srv);
    CLIENT(300, "");
    sim_at(350 * VT_MS, full, NULL);
    CLIENT(1000, GET_OK);
    sim_at(2 * VT_SEC, srv_stop, NULL);
    CHECK_EQ(serve(&plain), 0);
    CHECK(reserves[0] < 0 && reserves[1] >= 0);
    CHECK(status_of(0) == 503 && status_of(1) == 503 && status_of(2) == 200);
}
TEST(srv_without_a_reserve_it_starts_all_the_same) {
    begin(5);
    sim_fault(SIM_open, 1, false, EMFILE);
    sim_at(5 * VT_MS, look_reserve, (void *)0);
    CLIENT(10, GET_OK);
    sim_at(VT_SEC, srv_stop, NULL);
    CHECK_EQ(serve(&plain), 0);
    CHECK(reserves[0] < 0);
    CHECK_EQ(status_of(0), 200);
}

/* A close that saw no stop yet wakes its door when the listeners are closed: nothing is opened any more. */
static void wake_late(void *arg, uint32_t gen) {
    vt__srv_dom *d = &srv->run->doms[0];
    (void)arg, (void)gen;
    CHECK(srv->run->state == VT__SRV_DRAINING && srv->run->listeners[0].fd < 0 && d->resting);
    d->waking = 1;
    vt__sched_post(d->host->dom, &d->wake);
}
static void note_reserve(vt_server *s, void *ctx) {
    (void)ctx;
    reserves[0] = s->run->reserve;
}
TEST(srv_reserve_is_gone_with_the_server) {
    vt_server_cfg cfg = plain;
    cfg.max_connections = 2;
    cfg.on_stopped = note_reserve;
    begin(12);
    CLIENT(10, "GET /sleep/1000 HTTP/1.1\r\n" HOST "\r\n");
    CLIENT(10, "GET /sleep/3000 HTTP/1.1\r\n" HOST "\r\n");
    CLIENT(50, GET_OK); /* the last guest, behind whom the listener is closed */
    sim_at(100 * VT_MS, srv_stop, NULL);
    sim_at(2 * VT_SEC, wake_late, NULL);
    reserves[0] = 99;
    CHECK_EQ(serve(&cfg), 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(status_of(i), 200);
    CHECK_EQ(reserves[0], -1);
}

/*--- the last guests ---*/
TEST(srv_last_guests_wait_for_room) {
    vt_server_cfg cfg = plain;
    cfg.max_connections = 1;
    cfg.grace_ms = 5000;
    begin(6);
    CLIENT(10, "GET /sleep/1000 HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 3; i++) CLIENT(50, GET_OK); /* in the kernel's queue when the stop comes */
    sim_at(100 * VT_MS, srv_stop, NULL);
    CHECK_EQ(serve(&cfg), 0);
    for (int i = 0; i < 4; i++) CHECK_EQ(status_of(i), 200);
    CHECK(readers[3].res[0].close);
}
TEST(srv_last_guests_wait_no_longer_than_the_grace) {
    vt_server_cfg cfg = plain;
    cfg.max_connections = 1;
    cfg.grace_ms = 500;
    begin(7);
    CLIENT(10, "GET /sleep/60000 HTTP/1.1\r\n" HOST "\r\n");
    CLIENT(50, GET_OK);
    sim_at(100 * VT_MS, srv_stop, NULL);
    CHECK_EQ(serve(&cfg), -ETIMEDOUT);
    CHECK(status_of(0) == 503 && status_of(1) == -1);
    CHECK((peers[1]->t_end - SIM_START) / VT_MS < 700);
    CHECK(strstr(log_text, "GET /sleep/60000") != NULL);
}
TEST(srv_last_guests_wait_for_descriptors) {
    begin(9);
    sim_at(4 * VT_MS, open_fails, &srv);
    sim_at(5 * VT_MS, full, &srv);
    CLIENT(10, ""); /* for whom the reserve is given up, and not to be had again */
    CLIENT(50, "GET /sleep/200 HTTP/1.1\r\n" HOST "\r\n"); /* has its descriptor */
    CLIENT(60, GET_OK);
    sim_at(100 * VT_MS, srv_stop, NULL);
    CHECK_EQ(serve(&plain), 0);
    CHECK(status_of(0) == 503 && status_of(1) == 200 && status_of(2) == 200);
}
static void accept_fails(void *arg, uint32_t gen) {
    (void)gen;
    sim_fault(SIM_accept, 1, true, *(const int *)arg);
}
/* What no close of others mends is not waited for, not even by a server whose grace never ends. */
TEST(srv_last_guests_that_can_never_come_are_not_waited_for) {
    static const int errs[] = {EINVAL, ENETDOWN};
    vt_server_cfg cfg = plain;
    cfg.grace_ms = VT_NONE;
    for (size_t i = 0; i < VT__COUNT(errs); i++) {
        begin(8);
        sim_at(20 * VT_MS, accept_fails, (void *)(uintptr_t)&errs[i]);
        CLIENT(50, GET_OK);
        sim_at(100 * VT_MS, srv_stop, NULL);
        CHECK_EQ(serve(&cfg), 0);
        CHECK_EQ(status_of(0), -1);
        CHECK((peers[0]->t_end - SIM_START) / VT_MS < 200);
    }
}

/*--- starts that fail ---*/
static int fails_start(vt_server *s, void *ctx) {
    (void)s;
    return *(int *)ctx ? -EXDEV : 0;
}
static void as_before_a_start(int err, const char *text) {
    CHECK(strstr(vt_server_error_text(srv), text) != NULL);
    CHECK(strstr(vt_server_error_text(srv), vt_err_name(err)) != NULL);
    CHECK_EQ(vt_server_error(srv), 0); /* it may be tried again */
    CHECK(srv->run->state == VT__SRV_IDLE && !srv->running && !srv->run->doms && srv->run->reserve == -1);
    for (int i = 0; i < srv->run->nlisteners; i++)
        CHECK(srv->run->listeners[i].fd == -1 && vt_server_port(srv, i) == -1);
    CHECK_EQ(vt_server_wait(srv), err);
}
static int start_again(void *arg) {
    static const struct {
        int call, nth, err;
        const char *text;
    } rows[] = {
        {SIM_socket, 1, EMFILE, "127.0.0.1:8080: "},
        {SIM_bind, 1, EADDRINUSE, "127.0.0.1:8080: "},
        {SIM_bind, 2, EACCES, "127.0.0.1:8081: "},
        {SIM_listen, 2, EADDRINUSE, "127.0.0.1:8081: "},
#if defined(__linux__) && !VTHTTP_POLL
        {SIM_epoll_ctl, 1, ENOMEM, "start: "},
        {SIM_epoll_ctl, 2, ENOSPC, "start: "},
#endif
    };
    int fds = sim.open_fds;
    CHECK_EQ(vt_server_wait(srv), VT_ESTATE); /* was never started */
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        sim_fault(rows[i].call, sim.calls[rows[i].call] + rows[i].nth, false, rows[i].err);
        CHECK_EQ(vt_server_start(srv), -rows[i].err);
        as_before_a_start(-rows[i].err, rows[i].text);
        CHECK_EQ(sim.open_fds, fds);
    }
    *(int *)arg = 1;
    CHECK_EQ(vt_server_start(srv), -EXDEV);
    as_before_a_start(-EXDEV, "on_start: ");
    *(int *)arg = 0;
    vt_server_stop(srv); /* of a server that does not run: nothing */
    CHECK_EQ(vt_server_start(srv), 0);
    CHECK_EQ(vt_server_start(srv), VT_ESTATE);
    CHECK_EQ(vt_server_listen(srv, ":1"), VT_ESTATE);
    CHECK(vt_server_port(srv, 0) == 8080 && vt_server_port(srv, 1) == 8081 && vt_server_port(srv, 2) == -1);
    CHECK_STR(vt_server_error_text(srv), "");
    vt_server_free(srv); /* is refused */
    CHECK(strstr(log_text, "vt_server_free") != NULL);
    vt_server_stop(srv);
    vt_server_stop(srv);
    CHECK_EQ(vt_server_wait(srv), 0);
    CHECK_EQ(sim.open_fds, fds);
    return 0;
}
TEST(srv_starts_after_starts_that_failed) {
    int fail = 0;
    vt_server_cfg cfg = plain;
    vt_cfg one = {.workers = 1};
    cfg.on_start = fails_start;
    cfg.ctx = &fail;
    begin(8);
    srv = vt_server_new(&cfg);
    CHECK_EQ(vt_server_listen(srv, "127.0.0.1:8081"), 0);
    CHECK_EQ(vt_server_start(srv), -EPERM); /* off a vthread */
    CHECK_EQ(vt_run(&one, start_again, &fail), 0);
    vt_server_free(srv);
    sim_end();
}
static int start_alone(void *arg) {
    (void)arg;
    CHECK_EQ(vt_server_start(srv), VT_ELIMIT);
    as_before_a_start(VT_ELIMIT, "start: ");
    return 0;
}
TEST(srv_no_vthread_for_the_server_itself) {
    vt_cfg one = {.workers = 1, .max_vthreads = 1};
    begin(9);
    srv = vt_server_new(&plain);
    CHECK_EQ(vt_run(&one, start_alone, NULL), 0);
    vt_server_free(srv);
    sim_end();
}
static void *no_memory(void *p, size_t n) {
    (void)p, (void)n;
    return NULL;
}
TEST(srv_without_memory_there_is_a_server_that_says_so) {
    vt_server_stats st;
    vt__plat.realloc = no_memory;
    vt_server *s = vt_server_new(NULL);
    vt__plat.realloc = vt__plat_sys_realloc;
    vt_log_set(on_log, NULL, VT_LOG_INFO);
    CHECK(s == &vt__srv_none && vt_server_error(s) == -ENOMEM);
    CHECK_EQ(vt_server_run(s), -ENOMEM);
    CHECK_EQ(vt_server_wait(s), -ENOMEM);
    CHECK_EQ(vt_server_port(s, 0), -1);
    CHECK_EQ(vt_server_listen(s, ":1"), -ENOMEM);
    vt_server_stop(s);
    vt_server_stats_get(s, &st);
    CHECK_EQ(st.open, 0);
    vt_server_free(s);
}

/*--- ends, and starts that fail late ---*/
/* Somebody on another worker waits for the end: what is said when he is woken. */
static vt__thr far_thr;
static vt__dom far_dom;
static vt__vth far_vth;
static vt__waiter far_waiter;
static int far_state;
static ssize_t woken_far(int fd, const void *p, size_t n) {
    if (fd != far_dom.wake_w) return sim_do_write(fd, p, n);
    far_state = (int)__atomic_load_n(&srv->run->state, __ATOMIC_SEQ_CST);
    return (ssize_t)n;
}
static int last_touch_main(void *arg) {
    (void)arg;
    CHECK_EQ(vt_server_start(srv), 0);
    vt_wg *g = &srv->run->ended;
    vt__sync_lock(&g->flags, &g->spin);
    vt__sync_enqueue(&far_waiter, &far_vth, &g->q, &g->flags, &g->spin);
    vt_server_stop(srv);
    CHECK_EQ(vt_server_wait(srv), 0);
    CHECK_EQ(srv->run->state, VT__SRV_IDLE);
    vt_server_free(srv); /* at once */
    return 0;
}
TEST(srv_is_not_idle_before_its_last_touch) {
    vt_cfg one = {.workers = 1};
    begin(10);
    srv = vt_server_new(&plain);
    far_state = -1;
    far_thr = (vt__thr){.dom = &far_dom, .sleeping = 1};
    far_dom.wake_w = -77;
    far_vth.thr = &far_thr;
    vt__plat.write = woken_far;
    CHECK_EQ(vt_run(&one, last_touch_main, NULL), 0);
    CHECK(far_thr.inbox == &far_vth);
    CHECK_EQ(far_state, VT__SRV_DRAINING);
    sim_end();
}

/* On the real kernel: one worker ends the server, slowly; the other is told, and sees it ended when its wait returns. */
static int waiter_on, seen_after; /* the waiter's worker, from 1; the state that it saw */
static const vt__thr *waiter_thr(void) { return vt__sched_g.thrs[waiter_on - 1]; }
static ssize_t tells_and_dawdles(int fd, const void *p, size_t n) {
    ssize_t r = vt__plat_sys_write(fd, p, n);
    if (fd == waiter_thr()->dom->wake_w && srv->run->ended.count == 0) vt__plat_sleep(50 * VT_MS);
    return r;
}
static void when_the_waiter_sleeps(vt_server *s, void *ctx) {
    (void)s, (void)ctx;
    for (int64_t end = vt_now() + 20 * VT_SEC;
         !__atomic_load_n(&waiter_thr()->sleeping, __ATOMIC_SEQ_CST) && vt_now() < end;)
        CHECK_EQ(vt_sleep_ms(1), 0);
    vt__plat.write = tells_and_dawdles;
}
/* Or that worker might take the drain. */
static int until_it_drains(void *arg) {
    (void)arg;
    while (__atomic_load_n(&srv->run->state, __ATOMIC_SEQ_CST) != VT__SRV_DRAINING) vt__plat_sleep(100000);
    return 0;
}
static int waits_for_end(void *arg) {
    (void)arg;
    CHECK_EQ(vt_go(until_it_drains, NULL), 0);
    __atomic_store_n(&waiter_on, vt_worker() + 1, __ATOMIC_SEQ_CST);
    int r = vt_server_wait(srv);
    seen_after = (int)__atomic_load_n(&srv->run->state, __ATOMIC_SEQ_CST);
    return r;
}
static int end_elsewhere_main(void *arg) {
    int r = -1;
    (void)arg;
    CHECK_EQ(vt_server_start(srv), 0);
    vt_task *t = vt_async_any(waits_for_end, NULL);
    for (int64_t end = vt_now() + 20 * VT_SEC; /* this worker is busy: the other one takes it */
         !__atomic_load_n(&waiter_on, __ATOMIC_SEQ_CST) && vt_now() < end;)
        vt__plat_sleep(100000);
    CHECK(waiter_on && waiter_on != vt_worker() + 1);
    vt_server_stop(srv);
    CHECK_EQ(vt_await(t, &r), 0);
    CHECK_EQ(r, 0);
    return 0;
}
TEST(srv_whoever_waited_sees_it_ended) {
    vt_server_cfg cfg = {.addr = "127.0.0.1:0", .on_stopped = when_the_waiter_sleeps};
    vt_cfg two = {.workers = 2, .stall_ms = VT_NONE};
    vt_log_set(on_log, NULL, VT_LOG_INFO);
    waiter_on = 0;
    seen_after = -1;
    srv = vt_server_new(&cfg);
    CHECK_EQ(vt_run(&two, end_elsewhere_main, NULL), 0);
    vt__plat.write = vt__plat_sys_write;
    CHECK_EQ(seen_after, VT__SRV_IDLE);
    vt_server_free(srv);
}

/* Between the doors' opening and the turn of who starts the server a client comes, and has the last vthread. */
static int guest_comes_first(void *arg) {
    const vt__srv *run = srv->run;
    while (!run->doms || !run->doms[0].open) CHECK_EQ(vt_yield(), 0);
    for (int i = 0; i < 5; i++) {
        vt__plat_sleep(20 * VT_MS);
        (void)vt__poll_wait(vt__sched_tls->dom, 0);
    }
    return vt_sem_acquire(arg); /* it keeps its own */
}
static int late_failure_main(void *arg) {
    vt_sem started = {0};
    vt_task *t = vt_async(guest_comes_first, &started);
    (void)arg;
    int64_t from = vt_now();
    CHECK_EQ(vt_server_start(srv), VT_ELIMIT);
    CHECK(vt_now() - from < 2 * VT_SEC);
    as_before_a_start(VT_ELIMIT, "start: ");
    vt_sem_release(&started, 1);
    return vt_await(t, NULL);
}
/* With the client's request under way; `left`: its handler has left with the runtime, and nobody has told the server. */
static void late_failure(vt_fn *body, bool left, int status) {
    vt_server_cfg cfg = plain;
    vt_cfg three = {.workers = 1, .max_vthreads = 3};
    cfg.grace_ms = 500;
    srv = vt_server_new(&cfg);
    vt_server_get(srv, "/sleep/{ms}", h_slept);
    vt_server_get(srv, "/stubborn/{ms}", h_stubborn);
    CHECK_EQ(vt_run(&three, body, NULL), 0);
    if (left) srv->run->state = VT__SRV_IDLE;
    vt_server_free(srv);
    sim_settle();
    CHECK_EQ(status_of(0), status);
    sim_end();
}
TEST(srv_a_start_that_fails_late_gives_its_guests_their_time) {
    begin(11);
    CLIENT(1, "GET /sleep/100 HTTP/1.1\r\n" HOST "\r\n");
    late_failure(late_failure_main, false, 200);
    begin(11);
    CLIENT(1, "GET /sleep/60000 HTTP/1.1\r\n" HOST "\r\n");
    late_failure(late_failure_main, false, 503);
}
/* Nor does whoever waits for the end of such a server wait for a guest who cannot be stopped. */
static int stubborn_main(void *arg) {
    vt_sem started = {0};
    vt_task *t = vt_async(guest_comes_first, &started);
    (void)arg;
    CHECK_EQ(vt_server_start(srv), VT_ELIMIT);
    CHECK_EQ(srv->run->group.open, 1);
    CHECK_EQ(vt_server_wait(srv), VT_ELIMIT);
    CHECK_EQ(vt_server_start(srv), VT_ESTATE);
    vt_sem_release(&started, 1);
    return vt_await(t, NULL);
}
TEST(srv_a_start_that_fails_late_can_be_waited_for) {
    begin(13);
    CLIENT(1, "GET /stubborn/5000 HTTP/1.1\r\n" HOST "\r\n");
    late_failure(stubborn_main, true, 200);
}

/* What such a guest leaves behind is closed as soon as it leaves: by then nobody may be there to close it later. */
TEST(srv_who_outlives_the_grace_leaves_no_connection) {
    vt_server_cfg cfg = plain;
    cfg.grace_ms = 500;
    begin(15);
    CLIENT(10, "GET /stubborn/5000 HTTP/1.1\r\n" HOST "\r\n");
    sim_at(100 * VT_MS, srv_stop, NULL);
    CHECK_EQ(serve(&cfg), -ETIMEDOUT); /* and sim_end finds no descriptor */
    CHECK_EQ(status_of(0), 200);
}

/*--- signals ---*/
/* One that comes as soon as it is caught: the server is not asked to start yet, and stops as soon as it has. */
static int caught_early(int sig, const struct vt__plat_sa *act, struct vt__plat_sa *old) {
    int r = sim_do_sigaction(sig, act, old);
    if (sig == SIGTERM && act && vt__srv_signals.server && !vt__srv_signals.seen) sim_signal(SIGTERM);
    return r;
}
static int64_t ended_at;
static void note_end(vt_server *s, void *ctx) {
    (void)s, (void)ctx;
    ended_at = sim.now;
}
TEST(srv_a_signal_before_the_start_counts) {
    vt_server_cfg cfg = plain;
    cfg.on_stopped = note_end;
    begin(14);
    vt__plat.sigaction = caught_early;
    sim_at(5 * VT_SEC, srv_stop, NULL);
    CHECK_EQ(serve(&cfg), 0);
    CHECK_EQ(sim.killed, 0);
    CHECK(ended_at - SIM_START < VT_SEC);
}
