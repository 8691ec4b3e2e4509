/* The client over HTTP/3: as over HTTP/2, against this library's server, of all workers. */
/* tsan */
/* variants: default asan tsan */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "cliserver.h"
#include "handlers.h"
#include "clih3.h"
#include "wscli.h"
#include "json.h"
#include "tmp.h"
#include <dirent.h>

#define MUX_VERSION "30"
#define MUX_TLS 1
#define MUX_CROWD 8                  /* the server gives places back a quarter at a time */
static const char *logs, *preferred; /* a folder for those of connections; where clients are to go over to */
static void mux_speak(vt_client_cfg *c) {
    h3_speak(c, VT_HTTP3_PRIOR);
    c->qlog = logs;
}
static vt_server *mux_server(vt_server_cfg c) {
    c.qlog = logs;
    c.preferred_addr = preferred;
    return h3_server_at(c, &leaf, true, preferred ? "0.0.0.0:0" : "127.0.0.1:0");
}
static void mux_began(vt_client *c) { h3_patient(c); }
#include "muxcli.h"

/*--- a server of another process, which outlives runtimes ---*/
static int h_open(vt_req *req, vt_res *res) {
    vt_server_stats st;
    (void)req;
    vt_server_stats_get(far.server, &st);
    return vt_res_printf(res, 200, "%lld", (long long)st.open);
}
static void far_routes(vt_server *s) {
    vt_server_get(s, "/open", h_open);
    vt_server_get(s, "/wait", h_wait);
}
static bool far_begin(void) {
    bool up = far_up(far_routes);
    snprintf(base, sizeof base, "https://127.0.0.1:%d", far.port);
    return up;
}
/* How many connections it has, by a client that has the one that it asks by. */
static int far_open(vt_client *c) {
    vt_call *call = vt_client_get(c, at("/open"));
    int n = vt_call_status(call) == 200 ? atoi(vt_call_text(call).ptr) : vt_call_status(call);
    vt_call_free(call);
    return n;
}
static int far_open_until(vt_client *c, int want) {
    int n = far_open(c);
    for (int i = 0; i < 5000 && n > want; i++, n = far_open(c)) vt_sleep_ms(1);
    return n;
}
static vt_client *far_client(const vt_client_cfg *cfg) {
    vt_client *c = client_of(cfg);
    h3_patient(c);
    return c;
}
static void outlive_first(void) {
    client = far_client(NULL);
    CHECK_EQ(far_open(client), 1);
    CHECK_EQ(client->nidle, 1);
}
static void outlive_second(void) { CHECK_EQ(far_open_until(client, 1), 1); }
/* The connection says goodbye with the runtime, else the server would have two. */
TEST(a_client_outlives_a_runtime) {
    REQUIRE(far_begin());
    cli_run(2, outlive_first);
    CHECK_EQ(client->conns, 0);
    cli_run(2, outlive_second);
    vt_client_free(client);
    far_down();
}
TEST(a_client_is_freed_behind_its_runtime) {
    REQUIRE(far_begin());
    cli_run(2, outlive_first);
    vt_client_free(client);
    far_down();
}
static void *free_elsewhere(void *arg) {
    vt_client_free(arg);
    return NULL;
}
static void freed_elsewhere(void) {
    pthread_t t;
    client = far_client(NULL);
    CHECK_EQ(far_open(client), 1);
    vt_client *other = far_client(NULL);
    CHECK_EQ(far_open(other), 2);
    CHECK_EQ(pthread_create(&t, NULL, free_elsewhere, client), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_EQ(far_open_until(other, 1), 1);
    vt_client *third = far_client(NULL); /* and on a virtual thread */
    CHECK_EQ(far_open(third), 2);
    vt_client_free(third);
    CHECK_EQ(far_open_until(other, 1), 1);
    vt_client_free(other);
}
TEST(a_client_is_freed_elsewhere) {
    REQUIRE(far_begin());
    cli_run(2, freed_elsewhere);
    far_down();
}

/*--- a server that ends within a handshake ---*/
static int busy; /* 1: the pool's only thread is; 2: no more */
static int get_busy(void) { return __atomic_load_n(&busy, __ATOMIC_SEQ_CST); }
static int busy_job(void *arg) {
    (void)arg;
    __atomic_store_n(&busy, 1, __ATOMIC_SEQ_CST);
    while (get_busy() == 1) vt__plat_sleep(VT_MS);
    return 0;
}
static int busy_main(void *arg) { return vt_blocking(busy_job, arg, NULL); }
static int nothing(void *arg) { return (void)arg, 0; }
static int call_main(void *c) { return status_of(vt_client_get(c, at("/none"))); }
static int steps_waiting(void) {
    pthread_mutex_lock(&vt__block_g.lock);
    int n = vt__block_g.queued;
    pthread_mutex_unlock(&vt__block_g.lock);
    return n;
}
/* A dear step of a handshake that resumes a session is made when its connection, and the server, are no more. */
static void freed_within(void) {
    struct pem rsa = pem_make("good", "IP:127.0.0.1", &ca, 30, 2048);
    vt_server *s = h3_server_of((vt_server_cfg){.no_signals = 1}, &rsa, true);
    CHECK_EQ(vt_server_start(s), 0);
    client = far_client(NULL);
    snprintf(base, sizeof base, "https://127.0.0.1:%d", vt_server_port(s, 1));
    CHECK_EQ(call_main(client), 404);
    vt_client_close_idle(client);
    vt__sched_g.cfg.max_blocking = 1;
    vt_task *keeper = vt_async(busy_main, NULL);
    while (get_busy() != 1) vt_sleep_ms(1);
    vt_task *call = vt_async(call_main, client);
    while (steps_waiting() == 0) vt_sleep_ms(1);
    vt_server_stop(s);
    CHECK_EQ(vt_server_wait(s), 0);
    vt_server_free(s);
    __atomic_store_n(&busy, 2, __ATOMIC_SEQ_CST);
    CHECK_EQ(awaited(keeper), 0);
    CHECK_EQ(vt_blocking(nothing, NULL, NULL), 0); /* behind it */
    vt_cancel(call);
    CHECK(awaited(call) < 0);
    vt_client_free(client);
    pem_free(&rsa);
}
TEST(a_server_is_freed_within_a_handshake) { cli_run(1, freed_within); }

/* An attempt that ends with its runtime says nothing of the server. */
static int silent_fd;
static void end_while_trying(void) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof in;
    silent_fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_EQ(bind(silent_fd, (struct sockaddr *)(void *)&in, n), 0);
    CHECK_EQ(getsockname(silent_fd, (struct sockaddr *)(void *)&in, &n), 0);
    snprintf(base, sizeof base, "https://127.0.0.1:%d", ntohs(in.sin_port));
    client = client_of(NULL);
    vt__ch3_side_of(client)->head_ns = VT_MS;
    CHECK_EQ(far_open(client), -ECONNREFUSED);
    CHECK_EQ(client->conns, 1);
}
TEST(a_runtime_ends_while_a_connection_is_made) {
    cli_run(1, end_while_trying);
    const vt__ch3_side *side = client->h3;
    CHECK_EQ(client->conns, 0);
    CHECK_EQ(side->alts.n, 1);
    CHECK_EQ(side->alts.at[0]->late, 0);
    CHECK_EQ(side->alts.at[0]->shun, 0);
    vt_client_free(client);
    close(silent_fd);
}
/* A server that lets a call time out is asked whether it is there. One that is not loses its other calls, and is shunned. */
static void is_anybody_there(void) {
    client = far_client(&(vt_client_cfg){.read_timeout_ms = 40000, .connect_timeout_ms = 1000});
    CHECK_EQ(far_open(client), 1);
    for (int there = 1; there >= 0; there--) {
        vt_task *t = vt_async(wait_caller, NULL);
        vt_sleep_ms(20);
        if (!there) kill(far.pid, SIGSTOP);
        vt_call *late = vt_call_new(client, "GET", at("/wait"));
        vt_call_until(late, vt_now() + 20 * VT_MS);
        CHECK_EQ(vt_call_send(late), -ETIMEDOUT);
        vt_call_free(late);
        int r = 0;
        if (there) {
            vt_sleep_ms(1500);
            CHECK(!vt_task_done(t));
            vt_cancel(t);
        }
        CHECK_EQ(vt_await(t, &r), 0);
        CHECK_EQ(r, there ? -ECANCELED : -ETIMEDOUT);
        CHECK_EQ(client->conns, there);
    }
    vt__ch3_side *side = client->h3;
    CHECK_EQ(side->alts.n, 1);
    CHECK(side->alts.at[0]->shun > vt_now());
    vt_client_free(client);
}
TEST(nobody_is_there) {
    REQUIRE(far_begin());
    cli_run(1, is_anybody_there);
    far_down();
}

/*--- qlog ---*/
/* The one file of a role, and the connection's ID of its name; NULL: there is none, or more. */
static char *log_of(const char *role, char id[64]) {
    char end[32], *text = NULL;
    int n = 0;
    snprintf(end, sizeof end, "_%s.sqlog", role);
    DIR *dir = opendir(logs);
    for (struct dirent *d; dir && (d = readdir(dir)) != NULL;) {
        if (!strstr(d->d_name, end) || n++) continue;
        char name[80];
        snprintf(name, sizeof name, "%.79s", d->d_name);
        FILE *f = fopen(tmp_path(name), "rb");
        snprintf(id, 64, "%.*s", (int)(strstr(d->d_name, end) - d->d_name), d->d_name);
        text = calloc(1, 1 << 20);
        if (!f || fread(text, 1, (1 << 20) - 1, f) < 100 || fclose(f) != 0) abort();
        unlink(tmp_path(name)); /* the next test finds its own */
    }
    if (dir) closedir(dir);
    CHECK_EQ(n, 1);
    return text;
}
static void log_is(const char *text, const char *const *what) {
    for (const char *at = text, *end; at && *at; at = end + 1) {
        end = strchr(at, '\n');
        if (*at != 0x1e || !end || !json_valid(at + 1, (size_t)(end - at - 1))) {
            test_fail(__FILE__, __LINE__, "a record is no JSON");
            break;
        }
    }
    for (const char *at = text; at && *what; what++)
        if (!(at = strstr(at, *what))) test_fail(__FILE__, __LINE__, *what);
}
static void logged(void) {
    char ids[2][64] = {"", ""};
    logs = tmp_dir();
    up_with(0, NULL);
    CHECK_EQ(get("/who", NULL), 200);
    down();
    char *mine = log_of("client", ids[0]), *theirs = log_of("server", ids[1]);
    CHECK(strlen(ids[0]) >= 16);
    CHECK_STR(ids[0], ids[1]);
    REQUIRE(mine && theirs);
    log_is(mine,
           (const char *const[]){"qlog:file:sequential", "\"type\":\"client\"", ids[0], "connection_started",
                                 "version_information", "parameters_set", "packet_sent", "\"initial\"",
                                 "packet_received", "alpn_information", "\"h3\"", "handshake_complete",
                                 "\"stream_id\":0", "quic:connection_closed", NULL});
    log_is(theirs, (const char *const[]){"\"type\":\"server\"", ids[0], "connection_started",
                                         "\"ip_v4\":\"127.0.0.1\"", "packet_received", "\"initial\"",
                                         "parameters_set", "packet_sent", "handshake_confirmed",
                                         "\"handshake_done\"", "\"stream_id\":0", "recovery_metrics_updated",
                                         "quic:connection_closed", NULL});
    log_is(mine,
           (const char *const[]){
               "http3:parameters_set", "\"initiator\":\"local\"",
               "\"initiator\":\"local\",\"stream_id\":0,\"stream_type\":\"request\"",
               "http3:frame_created\",\"data\":{\"stream_id\":0,\"frame\":{\"frame_type\":\"headers\"",
               "http3:frame_parsed\",\"data\":{\"stream_id\":0,\"frame\":{\"frame_type\":\"headers\"",
               "http3:frame_parsed\",\"data\":{\"stream_id\":0,\"frame\":{\"frame_type\":\"data\"", NULL});
    log_is(theirs,
           (const char *const[]){
               "\"initiator\":\"local\",\"stream_id\":3,\"stream_type\":\"control\"",
               "\"initiator\":\"remote\",\"stream_id\":0,\"stream_type\":\"request\"",
               "http3:frame_parsed\",\"data\":{\"stream_id\":0,\"frame\":{\"frame_type\":\"headers\"",
               "http3:frame_created\",\"data\":{\"stream_id\":0,\"frame\":{\"frame_type\":\"headers\"",
               "http3:frame_created\",\"data\":{\"stream_id\":0,\"frame\":{\"frame_type\":\"data\"", NULL});
    log_is(theirs,
           (const char *const[]){"\"initiator\":\"remote\",\"stream_id\":2,\"stream_type\":\"control\"",
                                 "http3:parameters_set\",\"data\":{\"initiator\":\"remote\"", NULL});
    log_is(theirs,
           (const char *const[]){
               "http3:frame_created\",\"data\":{\"stream_id\":3,\"frame\":{\"frame_type\":\"goaway\",\"id\":",
               NULL});
    free(mine), free(theirs);
}
TEST(connections_are_logged) {
    cli_run(2, logged);
    logs = NULL;
}
/* Where nothing can be written this is said, once an endpoint, and all goes on. */
static int warned;
static void count_warnings(void *ctx, int level, const char *line) {
    (void)ctx, (void)level;
    __atomic_fetch_add(&warned, strncmp(line, "qlog: /nowhere/at/all/", 22) == 0, __ATOMIC_SEQ_CST);
}
static void not_logged(void) {
    logs = "/nowhere/at/all";
    up_with(0, NULL);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(get("/who", NULL), 200);
        CHECK_EQ(vt_client_close_idle(client), 0);
        settles(client, 0);
    }
    down();
}
TEST(folder_of_logs_is_missing) {
    vt_log_set(count_warnings, NULL, VT_LOG_DEBUG);
    warned = 0;
    cli_run(1, not_logged);
    CHECK_EQ(warned, 2);
    vt_log_set(cli_log, NULL, VT_LOG_DEBUG);
    logs = NULL;
}

/*--- preferred_address ---*/
/* An address of the same machine, which the listener has as well: the next call is made there. */
static void moved_over(void) {
    char there[100], ids[2][64] = {"", ""};
    logs = tmp_dir();
    up_with(0, NULL);
    CHECK_EQ(get("/who", NULL), 200);
    vt_sleep_ms(300);
    for (int i = 0; i < 5; i++) CHECK_EQ(get("/who", NULL), 200);
    CHECK_EQ(client->conns, 1);
    snprintf(there, sizeof there, "\"tuple_remote\":{\"ip_v4\":\"127.0.0.2\",\"port_v4\":%d}",
             vt_server_port(server, MUX_TLS));
    down();
    char *mine = log_of("client", ids[0]), *theirs = log_of("server", ids[1]);
    REQUIRE(mine && theirs);
    log_is(mine,
           (const char *const[]){"handshake_confirmed", "probing_started", there, "path_challenge",
                                 "path_response", "migration_complete", there, "\"stream_id\":16", NULL});
    log_is(theirs,
           (const char *const[]){"path_challenge", "path_response",
                                 "\"tuple_local\":{\"ip_v4\":\"127.0.0.2\"", "migration_complete", NULL});
    free(mine), free(theirs);
}
TEST(the_server_prefers_another_address) {
    preferred = "127.0.0.2:0,[2001:db8::1]:443";
    cli_run(2, moved_over);
    logs = preferred = NULL;
}
/* What is no address fails the start. */
static void no_address(void) {
    static const char *const bad[] = {"127.0.0.2", "unix:/tmp/x", "127.0.0.2:1,[::1]"};
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        preferred = bad[i];
        vt_server *s = mux_server((vt_server_cfg){.no_signals = 1});
        CHECK_EQ(vt_server_start(s), VT_EADDR);
        vt_server_free(s);
    }
}
TEST(preferred_address_that_is_none) {
    cli_run(1, no_address);
    preferred = NULL;
}
/* One that is gone since the last call, without a word, is not waited for as long as an answer may take. */
static void nobody_was_there(void) {
    client = far_client(&(vt_client_cfg){.read_timeout_ms = 40000, .connect_timeout_ms = 500});
    CHECK_EQ(far_open(client), 1);
    CHECK_EQ(far_open(client), 1); /* and its doubts are forgotten */
    vt_sleep_ms(600);
    kill(far.pid, SIGSTOP);
    int64_t from = vt_now();
    CHECK_EQ(ask_by(client, at("/open"), "not again"), -ETIMEDOUT);
    CHECK(vt_now() - from >= 500 * VT_MS && vt_now() - from < 20 * VT_SEC);
    CHECK_EQ(client->conns, 0);
    vt_client_free(client);
}
TEST(nobody_was_there_since) {
    REQUIRE(far_begin());
    cli_run(1, nobody_was_there);
    far_down();
}
