/* Who is asked over HTTP/3, and what becomes of calls where that fails: Alt-Svc, wrong certificates, silence, late answers. */
/* tsan */
/* variants: default asan tsan */
#define VTHTTP_H2 1
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

static char base[64], alt_svc[300], age[32]; /* alt_svc, age: what /say says */
static const char *at(const char *path) {
    static _Thread_local char url[4][128];
    static _Thread_local unsigned turn;
    char *to = url[turn++ % 4];
    snprintf(to, sizeof url[0], "%s%s", base, path);
    return to;
}
/* Which version, and by which alternative it says that it comes. */
static int h_who(vt_req *req, vt_res *res) {
    vt_str used = vt_req_field(req, "alt-used");
    return vt_res_printf(res, 200, "%d%s%s", vt_req_version(req), used.len ? " " : "",
                         used.len ? used.ptr : "");
}
static int h_resumed(vt_req *req, vt_res *res) {
    vt_tls_info i;
    return vt_res_text(res, 200, vt_req_tls(req, &i) == 1 && i.resumed ? "resumed" : "new");
}
static int h_say(vt_req *req, vt_res *res) {
    vt_res_field(res, "Alt-Svc", alt_svc);
    if (*age) vt_res_field(res, "Age", age);
    return h_who(req, res);
}
static int h_elsewhere(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "elsewhere");
}
static int h_misdirected(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 421, "not here");
}
static int h_wait(vt_req *req, vt_res *res) {
    (void)req, (void)res;
    return vt_sleep_ms(60000);
}
static vt_client *client_of(int http3, vt_client_cfg cfg) {
    h3_speak(&cfg, http3);
    vt_client *c = vt_client_new(&cfg);
    h3_patient(c);
    return c;
}
static void client_is(int http3, vt_client_cfg cfg) {
    vt_client_free(client);
    client = client_of(http3, cfg);
}
/* quic: the server speaks HTTP/3. */
static void up(bool quic, int http3) {
    vt_client_cfg cfg = {0};
    vt_server_cfg c = {.cancel_on = VT_CANCEL_FIN};
    server = h3_server_of(c, &leaf, quic);
    vt_server_get(server, "/who", h_who);
    vt_server_get(server, "/say", h_say);
    vt_server_get(server, "/resumed", h_resumed);
    vt_server_get(server, "/misdirected", h_misdirected);
    vt_server_get(server, "/wait", h_wait);
    ws_serve(server);
    h3_speak(&cfg, http3);
    server_up(&cfg);
    h3_patient(client);
    snprintf(base, sizeof base, "https://127.0.0.1:%d", vt_server_port(server, 1));
}
static int get(const char *path, const char *body) { return get_by(client, at(path), body); }
static const char *used(int port) {
    static char text[64];
    snprintf(text, sizeof text, "30 127.0.0.1:%d", port);
    return text;
}
static vt__ch3_side *side(void) { return vt__ch3_side_of(client); }
static vt__calt *known(void) { return side()->alts.n ? side()->alts.at[0] : NULL; }
static bool shunned(void) { return known() && known()->shun > vt_now(); }
static void conns_reach(int n) {
    for (int i = 0; i < 10000 && client->conns != n; i++) vt_sleep_ms(1);
    CHECK_EQ(client->conns, n);
}

/* Not by itself; from the second call on, where the server says so; from the first on, where the caller does. */
CLI_TEST(who_asks_over_http_3, 2) {
    up(true, 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(get("/who", "20"), 200);
    CHECK(!client->h3 || !side()->alts.n);
    client_is(VT_NONE, (vt_client_cfg){0});
    for (int i = 0; i < 3; i++) CHECK_EQ(get("/who", "20"), 200);
    client_is(1, (vt_client_cfg){0});
    CHECK_EQ(get("/who", "20"), 200);
    for (int i = 0; i < 3; i++) CHECK_EQ(get("/who", used(vt_server_port(server, 1))), 200);
    CHECK_EQ(client->conns, 2);
    client_is(1, (vt_client_cfg){.http2 = VT_NONE});
    CHECK_EQ(get("/who", "11"), 200);
    CHECK_EQ(get("/who", used(vt_server_port(server, 1))), 200);
    client_is(VT_HTTP3_PRIOR, (vt_client_cfg){0});
    for (int i = 0; i < 3; i++) CHECK_EQ(get("/who", "30"), 200);
    CHECK_EQ(client->conns, 1);
    down();
}
/* From now on the server offers no extended CONNECT. Its drivers read that, under their locks. */
static void take_no_connect(void) {
    int n = vt__sched_g.ndoms;
    for (int i = 0; i < n; i++) vt__sched_dom_lock(vt__sched_g.thrs[i]->dom);
    ((vt__h3_cfg *)(uintptr_t)server->run->group.h3)->connect_protocol = false;
    for (int i = 0; i < n; i++) vt__sched_dom_unlock(vt__sched_g.thrs[i]->dom);
}
/* WebSockets as well, where the server takes them that way, else over HTTP/1.1. */
CLI_TEST(websockets_go_where_calls_go, 2) {
    up(true, 1);
    ws_cases(client, base, "20"); /* a refusal tells */
    ws_cases(client, base, "30");
    CHECK_EQ(client->conns, 2);
    client_is(VT_HTTP3_PRIOR, (vt_client_cfg){0});
    ws_cases(client, base, "30");
    CHECK_EQ(client->conns, 1);
    take_no_connect();
    client_is(VT_HTTP3_PRIOR, (vt_client_cfg){0});
    ws_cases(client, base, "11");
    CHECK_EQ(get("/who", "30"), 200);
    CHECK_EQ(client->conns - client->nidle, 0);
    down();
}
/* Whose certificate nobody looks at is not believed; nor is a response by another way than the origin's own. */
CLI_TEST(who_is_not_believed, 2) {
    char via[40];
    up(true, 1);
    vt_client_free(client);
    client = vt_client_new(&(vt_client_cfg){.http3 = 1, .tls_no_verify = 1});
    for (int i = 0; i < 3; i++) CHECK_EQ(get("/who", "20"), 200);
    client_is(1, (vt_client_cfg){0});
    snprintf(via, sizeof via, "127.0.0.1:%d", vt_server_port(server, 1));
    vt_call *call = vt_call_new(client, "GET", at("/who"));
    CHECK_EQ(vt_call_via(call, via), 0);
    CHECK_EQ(vt_call_send(call), 200);
    vt_call_free(call);
    CHECK(!known());
    snprintf(base, sizeof base, "http://127.0.0.1:%d", vt_server_port(server, 0));
    strcpy(alt_svc, "h3=\":443\"");
    CHECK_EQ(get("/say", "11"), 200);
    CHECK(!known());
    down();
}
CLI_TEST(what_is_withdrawn_or_old, 2) {
    up(true, 1);
    CHECK_EQ(get("/who", "20"), 200);
    strcpy(alt_svc, "clear");
    CHECK_EQ(get("/say", used(vt_server_port(server, 1))), 200);
    CHECK(!known());
    CHECK_EQ(get("/say", "20"), 200);
    CHECK_EQ(get("/who", "20"), 200); /* says it again */
    REQUIRE(known());
    known()->until = vt_now();
    CHECK_EQ(get("/say", "20"), 200);
    CHECK_EQ(get("/who", "20"), 200);
    strcpy(alt_svc, "nonsense");
    CHECK_EQ(get("/say", used(vt_server_port(server, 1))), 200);
    CHECK_EQ(get("/who", used(vt_server_port(server, 1))), 200);
    strcpy(alt_svc, "h2=\":1\", h3-29=\":2\"");
    CHECK_EQ(get("/say", used(vt_server_port(server, 1))), 200);
    CHECK_EQ(get("/who", "20"), 200);
    down();
}
/* What came from a cache has been old for a while. */
CLI_TEST(what_is_of_age, 2) {
    static const struct {
        const char *age;
        int64_t left; /* of 10,000 s */
    } cases[] = {{"4000", 6000}, {"x", 10000}, {"9999999999", 0}, {"10001", 0}, {"", 10000}};
    up(false, 1);
    snprintf(alt_svc, sizeof alt_svc, "h3=\"localhost:9\"; ma=10000");
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        strcpy(age, cases[i].age);
        int64_t from = vt_now();
        client_is(1, (vt_client_cfg){0});
        CHECK_EQ(get("/say", "20"), 200);
        REQUIRE(known());
        CHECK(known()->until >= from + cases[i].left * VT_SEC);
        CHECK(known()->until <= vt_now() + cases[i].left * VT_SEC);
    }
    down();
}
/* That it failed is not forgotten with it. */
CLI_TEST(what_is_shunned_and_old, 2) {
    up(true, VT_HTTP3_PRIOR);
    CHECK_EQ(get("/who", "30"), 200);
    REQUIRE(known());
    known()->until = vt_now();
    known()->shun = INT64_MAX;
    CHECK_EQ(get("/who", "20"), 200);
    CHECK(known()->until > vt_now() && shunned());
    known()->shun = 0;
    CHECK_EQ(get("/who", "30"), 200);
    down();
}
static int asks_who(void *arg) {
    (void)arg;
    return get("/who", "20");
}
/* Nobody answers. Calls that come together wait once, later ones not at all. */
CLI_TEST(silence, 2) {
    vt_task *t[10];
    up(false, VT_HTTP3_PRIOR);
    client_is(VT_HTTP3_PRIOR, (vt_client_cfg){.connect_timeout_ms = 30000});
    side()->head_ns = 50 * VT_MS;
    for (int i = 0; i < 10; i++) t[i] = vt_async_any(asks_who, NULL);
    for (int i = 0; i < 10; i++) {
        int r = 0;
        CHECK_EQ(vt_await(t[i], &r), 0);
        CHECK_EQ(r, 200);
    }
    REQUIRE(known());
    CHECK(known()->late && !known()->shun); /* it goes on */
    side()->head_ns = 3600 * VT_SEC;
    CHECK_EQ(get("/who", "20"), 200);
    client_is(VT_HTTP3_PRIOR, (vt_client_cfg){.connect_timeout_ms = 1000});
    side()->head_ns = 50 * VT_MS;
    CHECK_EQ(get("/who", "20"), 200);
    for (int i = 0; i < 10000 && !known()->strikes; i++) vt_sleep_ms(1);
    CHECK(shunned());
    CHECK_EQ(known()->strikes, 1);
    conns_reach(1);
    CHECK_EQ(get("/who", "20"), 200);
    CHECK_EQ(client->conns, 1);
    known()->shun = 0; /* time passes */
    CHECK_EQ(get("/who", "20"), 200);
    for (int i = 0; i < 10000 && known()->strikes < 2; i++) vt_sleep_ms(1);
    CHECK(shunned());
    CHECK_EQ(known()->strikes, 2);
    down();
}
/* Nor is it kept, where none is: it had its head start. */
CLI_TEST(silence_that_is_not_kept, 2) {
    up(false, VT_HTTP3_PRIOR);
    client_is(VT_HTTP3_PRIOR, (vt_client_cfg){.connect_timeout_ms = 60000, .max_idle = VT_NONE});
    side()->head_ns = 30 * VT_MS;
    CHECK_EQ(get("/who", "20"), 200);
    for (int i = 0; i < 10000 && !known()->strikes; i++) vt_sleep_ms(1);
    CHECK(shunned());
    down();
}
static int asks_in_time(void *arg) {
    vt_deadline_set(vt_now() + 30 * VT_MS);
    return get("/who", arg);
}
/* The deadline and the end of a call that waits for HTTP/3 are its own; what it began goes on, or goes with its client. */
CLI_TEST(calls_that_do_not_wait, 2) {
    up(false, VT_HTTP3_PRIOR);
    vt_call *call = vt_call_new(client, "GET", at("/who"));
    vt_call_until(call, vt_now() + 30 * VT_MS);
    CHECK_EQ(vt_call_send(call), -ETIMEDOUT);
    vt_call_free(call);
    client_is(VT_HTTP3_PRIOR, (vt_client_cfg){.connect_timeout_ms = 60000});
    vt_task *t = vt_async(asks_who, NULL), *waits;
    vt_sleep_ms(20);
    waits = vt_async(asks_in_time, NULL); /* for what the other one makes */
    int r = 0;
    CHECK_EQ(vt_await(waits, &r), 0);
    CHECK_EQ(r, -ETIMEDOUT);
    vt_cancel(t);
    CHECK_EQ(vt_await(t, &r), 0);
    CHECK_EQ(r, -ECANCELED);
    CHECK_EQ(client->conns, 1);
    down();
}
/* One that answers too late for its call is there for the next. */
CLI_TEST(a_late_answer, 2) {
    up(true, VT_HTTP3_PRIOR);
    side()->head_ns = 1;
    CHECK_EQ(get("/who", NULL), 200);
    for (int i = 0; i < 10000 && (!known() || known()->late); i++) vt_sleep_ms(1);
    for (int i = 0; i < 3; i++) CHECK_EQ(get("/who", "30"), 200);
    CHECK(!shunned());
    down();
}
/* A place whose name takes its time: that is of the head start as well. The name waits for the pool's one thread. */
static uint32_t pool_held, pool_let;
static int holds(void *arg) {
    (void)arg;
    __atomic_store_n(&pool_held, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 30000 && !__atomic_load_n(&pool_let, __ATOMIC_SEQ_CST); i++) usleep(1000);
    return 0;
}
static int holds_pool(void *arg) { return vt_blocking(holds, arg, NULL); }
static void slow_name(void) {
    up(true, 1);
    snprintf(alt_svc, sizeof alt_svc, "h3=\"localhost:%d\"; ma=60", vt_server_port(server, 1));
    CHECK_EQ(get("/say", "20"), 200);
    vt_task *t = vt_async(holds_pool, NULL);
    while (!__atomic_load_n(&pool_held, __ATOMIC_SEQ_CST)) vt_sleep_ms(1);
    vt_call *call = vt_call_new(client, "GET", at("/who"));
    vt_call_until(call, vt_now() + 30 * VT_MS);
    CHECK_EQ(vt_client_close_idle(client), 0);
    CHECK_EQ(vt_call_send(call), -ETIMEDOUT);
    vt_call_free(call);
    CHECK(known() && !shunned()); /* its deadline is a call's own */
    side()->head_ns = 30 * VT_MS;
    call = vt_call_new(client, "GET", at("/who"));
    vt_call_until(call, vt_now() + 6 * VT_SEC);
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_STR(vt_call_text(call).ptr, "20");
    vt_call_free(call);
    __atomic_store_n(&pool_let, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(vt_await(t, NULL), 0);
    down();
}
TEST(a_name_that_takes_its_time) {
    vt_cfg cfg = {.workers = 1, .deadlock = VT_NONE, .stack_bytes = 512 << 10, .max_blocking = 1};
    cli_body = slow_name;
    CHECK_EQ(vt_run(&cfg, cli_main, NULL), 0);
}
/* Another server's address: its certificate is to be the origin's, not the address's, and of somebody who is trusted. */
CLI_TEST(a_place_elsewhere, 2) {
    static struct pem certs[3];
    if (!certs[0].text) {
        certs[0] = pem_make("right", "DNS:localhost", &ca, 30, 0);
        certs[1] = pem_make("wrong", "IP:127.0.0.1", &ca, 30, 0);
        certs[2] = pem_make("stranger", "DNS:localhost", NULL, 30, 0);
    }
    for (int i = 0; i < 3; i++) {
        int r = 0;
        up(true, 1);
        snprintf(base, sizeof base, "https://localhost:%d", vt_server_port(server, 1));
        vt_server *other = h3_server_of((vt_server_cfg){.cancel_on = VT_CANCEL_FIN}, &certs[i], true);
        vt_server_get(other, "/who", h_elsewhere);
        vt_server_get(other, "/misdirected", h_misdirected);
        CHECK_EQ(vt_server_start(other), 0);
        vt_task *t = vt_async(h3_serve, other);
        snprintf(alt_svc, sizeof alt_svc, "h3=\"127.0.0.1:%d\"; ma=60", vt_server_port(other, 1));
        CHECK_EQ(get("/say", "20"), 200);
        CHECK_EQ(get("/who", i ? "20" : "elsewhere"), 200);
        if (i == 0) { /* 421 there: it is asked here */
            CHECK_EQ(get("/misdirected", "not here"), 421);
            CHECK_EQ(client->conns, 3);
        }
        CHECK(shunned() || i > 0); /* behind the others the origin itself was named again */
        vt_client_free(client);
        client = client_of(0, (vt_client_cfg){0});
        vt_server_stop(other);
        CHECK_EQ(vt_await(t, &r), 0);
        vt_server_free(other);
        down();
    }
}
/* The server's end: GOAWAY, then CONNECTION_CLOSE; another one at the same port is found again. */
CLI_TEST(a_server_goes_and_comes, 2) {
    up(true, VT_HTTP3_PRIOR);
    CHECK_EQ(get("/who", "30"), 200);
    CHECK_EQ(client->nidle, 1);
    vt_server_stop(server);
    int r = 0;
    CHECK_EQ(vt_await(serving, &r), 0);
    conns_reach(0);
    vt_server_free(server);
    CHECK(get("/who", NULL) < 0);
    vt_client_free(client);
}
static vt__ch3 *to_be_tried(vt_call *call) {
    vt__cpool_conn *k;
    CHECK_EQ(vt__cli_route(call), 0);
    const char *key = vt__ch3_mark(call, call->origin);
    CHECK_EQ(vt__cpool_take(client, key, VT__CPOOL_TLS | VT__CPOOL_MUX | VT__CPOOL_QUIC, false, 0, &k), 0);
    CHECK_EQ(vt__ch3_trust(side(), 0), 0);
    return vt__ch3_new(side(), k, vt__sched_thr()->dom, call->origin, call->alt);
}
/* A name with two addresses, of which the first has no server, unless `first`. `late`: nor has the second. */
static void two_addresses(bool first, bool late) {
    struct vt__io_lookup *l = vt__io_lookup_new();
    char here[40];
    up(true, VT_HTTP3_PRIOR);
    snprintf(here, sizeof here, late ? "[::1]:%d" : "127.0.0.1:%d", vt_server_port(server, 1));
    vt_call *call = vt_call_new(client, "GET", at("/who"));
    vt__ch3 *c = to_be_tried(call);
    if (first) CHECK_EQ(vt__io_resolve(here, false, l, VT_NONE), 0);
    CHECK_EQ(vt__io_resolve(late ? "127.0.0.2:9" : "[::1]:9", false, l, VT_NONE), 0);
    if (!first) CHECK_EQ(vt__io_resolve(here, false, l, VT_NONE), 0);
    CHECK_EQ(l->count, 2);
    side()->head_ns = (late ? 100 * VT_MS : 8 * VT_SEC);
    int r = vt__ch3_try(c, call, l, 0);
    CHECK_EQ(r, late ? -ETIMEDOUT : 0);
    if (late || first) vt__ch3_give_up(c, client, r < 0 ? r : -ECANCELED); /* just as it is there */
    else vt__cpool_part(client, c->calls.k);
    call->conn = NULL;
    vt_call_free(call);
    CHECK_EQ(client->conns, 1);
    if (!late) CHECK_EQ(get("/who", "30"), 200);
    CHECK_EQ(client->conns, 1);
    vt__io_lookup_drop(l);
    down();
}
CLI_TEST(another_address, 1) {
    two_addresses(false, false);
    two_addresses(false, true);
    two_addresses(true, false);
}
/* Tokens of NEW_TOKEN serve once each, and sessions are resumed: by connections of the version that gave them, with which the
 * next one begins (RFC 9369 5). */
CLI_TEST(tokens, 1) {
    up(true, VT_HTTP3_PRIOR);
    CHECK_EQ(get("/resumed", "new"), 200);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 10000 && !known()->token; k++) vt_sleep_ms(1);
        CHECK(known()->token != NULL && known()->token_version == VT__QPKT_V2);
        CHECK_EQ(known()->version, VT__QPKT_V2);
        if (i == 1) known()->version = 0;
        CHECK_EQ(vt_client_close_idle(client), 0);
        conns_reach(0);
        vt_call *call = vt_call_new(client, "GET", at("/resumed"));
        CHECK_EQ(vt_call_send(call), 200);
        vt__ch3 *c = call->conn ? call->conn->up : NULL;
        if (c) CHECK_EQ(c->wire->e.c.q.token != NULL, i != 1);
        if (c) CHECK_EQ(c->wire->e.c.q.first_version, i != 1 ? VT__QPKT_V2 : VT__QPKT_V1);
        CHECK_EQ(vt_call_whole(call), 0);
        CHECK_STR(vt_call_text(call).ptr, i != 1 ? "resumed" : "new");
        vt_call_free(call);
    }
    down();
}
/* Says that it speaks the first version alone. */
static int no_second_version(void *arg) {
    static uint8_t p[2048], out[256];
    static const uint32_t first = VT__QPKT_V1;
    int fd = *(int *)arg;
    struct sockaddr_in from;
    socklen_t n = sizeof from;
    vt__qpkt_head h;
    if (vt_wait_fd(fd, VT_READ, vt_now() + 30 * VT_SEC) < 0) return -1;
    ssize_t got = recvfrom(fd, p, sizeof p, 0, (struct sockaddr *)(void *)&from, &n);
    if (got < 0 || vt__qpkt_head_get(&h, p, (size_t)got, VT__QCID_LEN) < 0) return -1;
    CHECK_EQ(h.version, VT__QPKT_V2);
    uint8_t *end = vt__qpkt_put_negotiation(out, out + sizeof out, &h, &first, 1, 7);
    return (int)sendto(fd, out, (size_t)(end - out), 0, (struct sockaddr *)(void *)&from, n);
}
/* It is not shunned: the next connection begins with that. */
static int spoke_version_2_once(void) {
    up(false, VT_HTTP3_PRIOR);
    int port = vt_server_port(server, 1), fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    char origin[32];
    snprintf(origin, sizeof origin, "127.0.0.1:%d", port);
    vt__calt *e = vt__calt_new(origin, origin, INT64_MAX);
    CHECK(e && bind(fd, (struct sockaddr *)(void *)&in, sizeof in) == 0);
    e->version = VT__QPKT_V2;
    vt__ch3_put(side(), e);
    return fd;
}
static bool stays_good(void) {
    vt__calt *e = known();
    return e && !shunned() && e->version != VT__QPKT_V2;
}
CLI_TEST(a_server_that_spoke_version_2_once, 1) {
    int fd = spoke_version_2_once(), sent = 0;
    vt_task *t = vt_async(no_second_version, &fd);
    CHECK_EQ(get("/who", "20"), 200);
    CHECK(vt_await(t, &sent) == 0 && sent > 0);
    CHECK(stays_good());
    close(fd);
    down();
}
/* Nor if nobody is at its other address. */
CLI_TEST(a_server_that_spoke_version_2_once_at_one_address, 1) {
    int fd = spoke_version_2_once(), sent = 0;
    struct vt__io_lookup *l = vt__io_lookup_new();
    vt_call *call = vt_call_new(client, "GET", at("/who"));
    vt__ch3 *c = to_be_tried(call);
    vt_task *t = vt_async(no_second_version, &fd);
    CHECK_EQ(vt__io_resolve(call->origin, false, l, VT_NONE), 0);
    CHECK_EQ(vt__io_resolve("[::1]:9", false, l, VT_NONE), 0);
    CHECK_EQ(l->count, 2);
    int r = vt__ch3_try(c, call, l, 0);
    CHECK(r < 0);
    vt__ch3_give_up(c, client, r);
    vt_call_free(call);
    CHECK(vt_await(t, &sent) == 0 && sent > 0);
    conns_reach(0);
    CHECK(stays_good());
    vt__io_lookup_drop(l);
    close(fd);
    down();
}
CLI_TEST(configurations, 1) {
    const int bad[] = {3, -2};
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        vt_client *c = vt_client_new(&(vt_client_cfg){.http3 = bad[i]});
        CHECK_EQ(get_by(c, "https://127.0.0.1:1/", NULL), -EINVAL);
        vt_client_free(c);
    }
}
