/* Edges over real sockets and several workers: what is left to send while a handler waits, early answers to large uploads, a
 * stop at a limit, connections that come and go, servers that come and go inside a runtime, addresses. Those that want a
 * clock that obeys are in sim_edges.c. */
/* variants: default asan tsan poll */
/* tsan */
#include "e2e.h"
#include "tmp.h"

#define HOST "Host: a\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"

static int64_t open_now(void) { return __atomic_load_n(&e2e.s->run->group.open, __ATOMIC_SEQ_CST); }
#define REACHES(cond)                                                                                        \
    ({                                                                                                       \
        int64_t until_ = e2e_now_ms() + E2E_MS;                                                              \
        while (!(cond) && e2e_now_ms() < until_) e2e_sleep_ms(1);                                            \
        (cond);                                                                                              \
    })

/*--- what is left to send while a handler waits ---*/
static int64_t written; /* by the handler, when the socket took no more; then it waits */
static vt_sem go_on;
static bool went_on;
static int h_fill(vt_req *req, vt_res *res) {
    const vt__h1c_run *run = req->conn;
    char piece[8000];
    memset(piece, 'z', sizeof piece);
    int64_t n = 0, all = 0;
    while (n >= 0 && (all == 0 || !run->io.out.p || run->io.out.pos == run->io.out.len)) {
        if ((n = vt_res_write(res, piece, sizeof piece)) > 0) all += n;
        if (n >= 0) n = vt_sleep(1000); /* what there is goes out, as far as it may */
    }
    __atomic_store_n(&written, all, __ATOMIC_SEQ_CST);
    if (n >= 0) n = vt_sem_acquire(&go_on);
    __atomic_store_n(&went_on, true, __ATOMIC_SEQ_CST);
    return (int)n;
}
static int h_root(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "root");
}
static int h_busy(vt_req *req, vt_res *res) { /* meanwhile others take what waits */
    for (int64_t end = vt_now() + VT_MS / 5; vt_now() < end;) continue;
    return h_root(req, res);
}
static int h_delay(vt_req *req, vt_res *res) {
    (void)req;
    int r = vt_sleep_ms(20);
    return r < 0 ? r : vt_res_text(res, 200, "late");
}
static int h_peer(vt_req *req, vt_res *res) {
    return vt_res_printf(res, 200, "%s %s", vt_req_peer(req), vt_req_local(req));
}
static void routes(vt_server *s) {
    vt_server_get(s, "/", h_root);
    vt_server_get(s, "/busy", h_busy);
    vt_server_get(s, "/delay", h_delay);
    vt_server_get(s, "/peer", h_peer);
    vt_server_get(s, "/fill", h_fill);
    vt_server_post(s, "/post", h_root);
}
static int64_t zs_in(struct cl *c) {
    int64_t n = 0;
    for (size_t i = 0; i < c->in_len; i++) n += c->in[i] == 'z';
    cl_consume(c, c->in_len);
    return n;
}
TEST(output_left_over_goes_out_while_a_handler_waits) {
    for (int workers = 1; workers <= 2; workers++) {
        vt_server_cfg cfg = {.workers = workers, .no_date = 1};
        written = 0, go_on = (vt_sem){0}, went_on = false;
        REQUIRE(e2e_start(&cfg, routes) == 0);
        CL(c);
        REQUIRE(cl_open_to(&c, e2e.port, 4096));
        cl_puts(&c, GET("/fill"));
        CHECK(REACHES(__atomic_load_n(&written, __ATOMIC_SEQ_CST) > 0));
        int64_t want = __atomic_load_n(&written, __ATOMIC_SEQ_CST), got = 0, end = e2e_now_ms() + E2E_MS;
        while (got < want && e2e_now_ms() < end && cl_more(&c, E2E_MS / 2) > 0) got += zs_in(&c);
        CHECK_EQ(got, want);
        CHECK(!__atomic_load_n(&went_on, __ATOMIC_SEQ_CST));
        vt_sem_release(&go_on, 1);
        while (cl_more(&c, 300) > 0) got += zs_in(&c);
        CHECK_EQ(got, want);
        cl_close(&c);
        CHECK_EQ(e2e_stop(), 0);
    }
}

/*--- early answers to large uploads ---*/
/* Sends until nobody takes more of it; false: the connection was reset. */
static bool send_till_it_stalls(struct cl *c, size_t n) {
    static char block[65536];
    while (n > 0) {
        ssize_t r = send(c->fd, block, VT__MIN(n, sizeof block), MSG_NOSIGNAL);
        if (r > 0) {
            n -= (size_t)r;
            continue;
        }
        if (r < 0 && errno != EAGAIN && errno != EINTR) return false;
        struct pollfd p1 = {.fd = c->fd, .events = POLLOUT};
        if (poll(&p1, 1, 100) == 0) return true;
    }
    return true;
}
TEST(an_early_answer_outlives_a_large_upload) {
    enum { BYTES = 8 << 20 };
    REQUIRE(e2e_start(NULL, routes) == 0);
    for (int i = 0; i < 6; i++) {
        CL(c);
        REQUIRE(cl_open(&c));
        cl_printf(&c, "POST %s HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", i % 2 ? "/post" : "/", BYTES);
        CHECK(send_till_it_stalls(&c, BYTES));
        CHECK_EQ(cl_response(&c), i % 2 ? 413 : 405);
        CHECK_STR(cl_field(&c, "connection"), "close");
        CHECK(cl_more(&c, E2E_MS) == 0 && !c.reset && c.in_len == 0);
    }
    CHECK(REACHES(open_now() == 0)); /* a close that does not come through is not waited for */
    CHECK_EQ(e2e_stop(), 0);
}

/*--- a stop at a limit ---*/
TEST(a_stop_at_a_limit_serves_who_was_accepted) {
    enum { COUNT = 40 };
    for (int workers = 1; workers <= 3; workers += 2) {
        vt_server_cfg cfg = {.workers = workers, .max_connections = 5};
        struct cl c[COUNT];
        REQUIRE(e2e_start(&cfg, routes) == 0);
        for (int i = 0; i < COUNT; i++) {
            c[i] = (struct cl){.fd = -1};
            CHECK(cl_open(&c[i]));
            cl_puts(&c[i], GET("/delay"));
        }
        vt_server_stop(e2e.s);
        for (int i = 0; i < COUNT; i++) {
            CHECK_EQ(cl_response(&c[i]), 200);
            CHECK(cl_more(&c[i], E2E_MS) == 0 && !c[i].reset);
            cl_close(&c[i]);
        }
        CHECK_EQ(e2e_join(), 0);
    }
}

/*--- connections that come and go ---*/
static int shut_count;
static void shut_doors(vt__dom *dom, vt__poll_msg *m) {
    (void)m;
    vt__srv_shut_doors(&e2e.s->run->doms[dom->index]);
    __atomic_fetch_add(&shut_count, 1, __ATOMIC_SEQ_CST);
}
/* One worker takes all of them and others end some: their structs are used again all the same. How many do is up to the
 * machine; sim_edges.c has it step by step. */
TEST(connections_that_end_elsewhere_cost_no_memory) {
    enum { ROUNDS = 40, EACH = 20 };
    static vt__poll_msg shut[3];
    vt_server_cfg cfg = {.workers = 3};
    shut_count = 0;
    REQUIRE(e2e_start(&cfg, routes) == 0);
    for (int i = 1; i < 3; i++) {
        shut[i].fn = shut_doors;
        vt__sched_post(e2e.s->run->group.hosts[i].dom, &shut[i]);
    }
    CHECK(REACHES(__atomic_load_n(&shut_count, __ATOMIC_SEQ_CST) == 2));
    for (int round = 0; round < ROUNDS; round++) {
        struct cl c[EACH];
        for (int i = 0; i < EACH; i++) {
            c[i] = (struct cl){.fd = -1};
            CHECK(cl_open(&c[i]));
            cl_puts(&c[i], "GET /busy HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
        }
        for (int i = 0; i < EACH; i++) {
            CHECK_EQ(cl_response(&c[i]), 200);
            cl_close(&c[i]);
        }
        CHECK(REACHES(open_now() == 0));
    }
    const vt__link_host *h = e2e.s->run->group.hosts;
    CHECK(h[0].slabs && !h[0].slabs->next); /* of 64 each, and never more than 20 are open */
    CHECK(!h[1].slabs && !h[2].slabs);
    CHECK_EQ(e2e_stop(), 0);
}

/*--- servers that come and go inside a runtime ---*/
static int visit(void *arg) {
    static const char ask[] = GET("/");
    char addr[VT_ADDR_MAX], buf[400];
    vt_sock *s;
    snprintf(addr, sizeof addr, "127.0.0.1:%d", *(int *)arg);
    if (vt_dial(&s, addr, NULL) < 0) return 0; /* stopped already */
    if (vt_write(s, ask, sizeof ask - 1) >= 0) (void)vt_read(s, buf, sizeof buf);
    vt_sock_close(s);
    return 0;
}
static int rounds_main(void *arg) {
    (void)arg;
    int r = 0;
    for (int round = 0; round < 30 && r == 0; round++) {
        vt_server_cfg cfg = {.addr = "127.0.0.1:0"};
        vt_task *t[6];
        vt_server *s = vt_server_new(&cfg);
        routes(s);
        if ((r = vt_server_start(s)) < 0) return r;
        int port = vt_server_port(s, 0);
        for (int i = 0; i < 6; i++) t[i] = vt_async_any(visit, &port);
        vt_sleep(round * 50000);
        vt_server_stop(s);
        r = vt_server_wait(s);
        vt_server_free(s); /* no poll set knows of it any more */
        for (int i = 0; i < 6; i++) CHECK_EQ(vt_await(t[i], NULL), 0);
    }
    return r;
}
TEST(servers_come_and_go_inside_a_runtime) {
    vt_cfg cfg = {.workers = 3};
    vt_log_set(NULL, NULL, VT_LOG_WARN);
    CHECK_EQ(vt_run(&cfg, rounds_main, NULL), 0);
}

/*--- addresses ---*/
TEST(an_ipv4_client_of_a_dual_stack_listener) {
    vt_server_cfg cfg = {.addr = ":0"};
    char want[100];
    struct sockaddr_in sa;
    socklen_t n = sizeof sa;
    REQUIRE(e2e_start(&cfg, routes) == 0);
    CL(c);
    CHECK_EQ(cl_get(&c, "/peer"), 200);
    REQUIRE(getsockname(c.fd, (struct sockaddr *)&sa, &n) == 0);
    snprintf(want, sizeof want, "127.0.0.1:%d 127.0.0.1:%d", ntohs(sa.sin_port), e2e.port);
    CHECK_STR(c.body, want);
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}

/*--- Unix sockets ---*/
static void unix_name(struct sockaddr_un *un, socklen_t *len, const char *name) {
    memset(un, 0, sizeof *un);
    un->sun_family = AF_UNIX;
    snprintf(un->sun_path + 1, sizeof un->sun_path - 1, "%s-%d", name, (int)getpid());
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(un->sun_path + 1));
}
/* What a connection remembers of its peer has room for an address of IP; a path is told whole all the same. */
TEST(a_peer_with_a_long_path) {
    struct sockaddr_un at, from;
    socklen_t at_len, from_len;
    char addr[120], want[300];
    unix_name(&at, &at_len, "vt-edges");
    unix_name(&from, &from_len, "a-client-that-has-a-name-of-its-own-which-takes-some-room");
    snprintf(addr, sizeof addr, "unix:@%s", at.sun_path + 1);
    vt_server_cfg cfg = {.addr = addr};
    REQUIRE(e2e_start(&cfg, routes) == 0);
    CL(c);
    CL(nameless);
    REQUIRE(cl_fd_take(&c, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    REQUIRE(bind(c.fd, (struct sockaddr *)&from, from_len) == 0);
    REQUIRE(connect(c.fd, (struct sockaddr *)&at, at_len) == 0);
    CHECK_EQ(cl_get(&c, "/peer"), 200);
    snprintf(want, sizeof want, "unix:@%s unix:@%s", from.sun_path + 1, at.sun_path + 1);
    CHECK_STR(c.body, want);
    REQUIRE(cl_fd_take(&nameless, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    REQUIRE(connect(nameless.fd, (struct sockaddr *)&at, at_len) == 0);
    CHECK_EQ(cl_get(&nameless, "/peer"), 200);
    snprintf(want, sizeof want, "unix: unix:@%s", at.sun_path + 1);
    CHECK_STR(nameless.body, want);
    cl_close(&c), cl_close(&nameless);
    CHECK_EQ(e2e_stop(), 0);
}
/* The server's socket file goes with it; one that another has put in its place does not. */
TEST(socket_files_of_others_stay) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char addr[5 + sizeof un.sun_path];
    int len = snprintf(addr, sizeof addr, "unix:%s", tmp_path("socket"));
    REQUIRE(len > 5 && len < (int)sizeof addr);
    memcpy(un.sun_path, addr + 5, (size_t)len - 5);
    for (int others = 0; others < 2; others++) {
        vt_server_cfg cfg = {.addr = addr};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        REQUIRE(e2e_start(&cfg, routes) == 0);
        CHECK_EQ(access(un.sun_path, F_OK), 0);
        if (others) {
            CHECK_EQ(unlink(un.sun_path), 0);
            CHECK_EQ(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
        }
        CHECK_EQ(e2e_stop(), 0);
        CHECK_EQ(access(un.sun_path, F_OK), others ? 0 : -1);
        close(fd);
    }
}
