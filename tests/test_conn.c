/* @conn: input and output blocks, gathered writes, what a failed write leaves, and a transport of one's own. */
/* variants: default asan poll ucontext clang i386 */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

/*--- blocks, with a pool of the test's own ---*/
enum { BLOCK = 4096 };
static vt__thr pool_only; /* the pool is all that blocks look at */
static int64_t fail_at, allocs, live;

static void *counting_realloc(void *p, size_t n) {
    if (++allocs == fail_at) return NULL;
    void *r = vt__plat_sys_realloc(p, n);
    live += r && !p;
    return r;
}
static void counting_free(void *p) {
    live--;
    vt__plat_sys_free(p);
}
static void count_memory(void) {
    vt__plat.realloc = counting_realloc;
    vt__plat.free = counting_free;
    fail_at = allocs = live = 0;
    vt__mem_pool_init(&pool_only.buf_pool, BLOCK, 2);
}
static void memory_is_back(void) {
    vt__mem_pool_drain(&pool_only.buf_pool);
    CHECK_EQ(live, 0);
    vt__plat.realloc = vt__plat_sys_realloc;
    vt__plat.free = vt__plat_sys_free;
}
static void fill(vt__conn_buf *b, size_t upto) {
    for (; b->len < upto; b->len++) b->p[b->len] = (char)(b->len * 7 + (b->len >> 8));
}
static bool holds(const vt__conn_buf *b, size_t from, size_t n) { /* bytes of fill() from `from` on */
    if (b->len - b->pos != n) return false;
    for (size_t i = 0; i < n; i++)
        if (b->p[b->pos + i] != (char)((from + i) * 7 + ((from + i) >> 8))) return false;
    return true;
}

TEST(buf_room_moves_only_when_it_must) {
    vt__conn_buf b = {NULL, 0, 0, 0};
    count_memory();
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, BLOCK), 0); /* takes a block */
    CHECK(b.p && b.cap == BLOCK && b.pos == 0 && b.len == 0);
    fill(&b, 3000);
    b.pos = 100; /* 1096 bytes behind: no need */
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, BLOCK), 0);
    CHECK(b.pos == 100 && holds(&b, 100, 2900));
    b.pos = BLOCK / 2 - 1;
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, BLOCK), 0);
    CHECK_EQ(b.pos, BLOCK / 2 - 1);
    b.pos = BLOCK / 2; /* half of it is waste */
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, BLOCK), 0);
    CHECK(b.pos == 0 && holds(&b, BLOCK / 2, 3000 - BLOCK / 2));
    b.len = 0;
    fill(&b, BLOCK - 1023);
    b.pos = 1; /* less than 1024 bytes behind */
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, BLOCK), 0);
    CHECK(b.pos == 0 && holds(&b, 1, BLOCK - 1024));
    b.pos = b.len; /* all is consumed */
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, BLOCK), 0);
    CHECK(b.pos == 0 && b.len == 0);
    CHECK_EQ(allocs, 1);
    vt__conn_buf_put(&pool_only, &b);
    CHECK(!b.p && b.cap == 0 && pool_only.buf_pool.count == 1);
    vt__conn_buf_put(&pool_only, &b); /* of nothing */
    memory_is_back();
}
TEST(buf_room_grows_up_to_its_limit) {
    enum { MOST = BLOCK * 4 + 100 };
    vt__conn_buf b = {NULL, 0, 0, 0};
    static const size_t caps[] = {BLOCK, 2 * BLOCK, 4 * BLOCK, MOST};
    count_memory();
    for (size_t i = 0; i < VT__COUNT(caps); i++) {
        CHECK_EQ(vt__conn_buf_room(&pool_only, &b, MOST), 0);
        CHECK(b.cap == caps[i] && holds(&b, 0, i ? caps[i - 1] : 0));
        fill(&b, b.cap);
    }
    CHECK_EQ(pool_only.buf_pool.count, 1); /* the first went home, the others are no blocks of the pool */
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, MOST), VT_ELIMIT);
    CHECK(b.cap == MOST && holds(&b, 0, MOST)); /* as it was */
    b.pos = 1;
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, MOST), 0); /* there is room in front */
    CHECK(b.pos == 0 && holds(&b, 1, MOST - 1));
    vt__conn_buf_put(&pool_only, &b);
    CHECK_EQ(pool_only.buf_pool.count, 1);
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, 10), 0); /* a limit below a block: the block */
    fill(&b, b.cap);
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, 10), VT_ELIMIT);
    vt__conn_buf_put(&pool_only, &b);
    memory_is_back();
}
TEST(buf_room_without_memory_keeps_what_there_is) {
    vt__conn_buf b = {NULL, 0, 0, 0};
    count_memory();
    fail_at = 1;
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, 3 * BLOCK), -ENOMEM);
    CHECK(!b.p && b.cap == 0);
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, 3 * BLOCK), 0);
    fill(&b, BLOCK);
    fail_at = 3;
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, 3 * BLOCK), -ENOMEM);
    CHECK(b.cap == BLOCK && holds(&b, 0, BLOCK));
    CHECK_EQ(vt__conn_buf_room(&pool_only, &b, 3 * BLOCK), 0);
    CHECK(b.cap == 2 * BLOCK && holds(&b, 0, BLOCK));
    vt__conn_buf_put(&pool_only, &b);
    memory_is_back();
}
TEST(buf_get_for_takes_a_block_when_that_suffices) {
    vt__conn_buf b = {NULL, 0, 0, 0}, big = {NULL, 0, 0, 0};
    count_memory();
    CHECK(vt__conn_buf_get_for(&pool_only, &b, 10));
    CHECK_EQ(b.cap, BLOCK);
    CHECK(vt__conn_buf_get_for(&pool_only, &big, BLOCK + 1));
    CHECK_EQ(big.cap, BLOCK + 1);
    vt__conn_buf_put(&pool_only, &b);
    vt__conn_buf_put(&pool_only, &big);
    CHECK_EQ(pool_only.buf_pool.count, 1);
    CHECK_EQ(live, 1);
    fail_at = allocs + 1;
    CHECK(!vt__conn_buf_get_for(&pool_only, &big, BLOCK + 1));
    CHECK(!big.p && big.cap == 0);
    memory_is_back();
}

/*--- a transport that does as it is told ---*/
static struct wire {
    vt__conn c; /* first */
    vt__conn_io io;
    int64_t answers[16]; /* of send_try: bytes at most, or an error; behind them it takes all */
    int nanswers, tries, waits, most_slices;
    int wait_results[8];
    int64_t untils[8];
    char got[1 << 16];
    size_t ngot;
    bool sending; /* io.sending in send_wait */
    int recvs, recv_tries, shutdowns, closes, ends;
} w;
static int64_t wire_send(vt__conn *c, struct iovec *v, int n) {
    int64_t most = w.tries < w.nanswers ? w.answers[w.tries] : INT64_MAX, done = 0;
    CHECK(c == &w.c && n > 0 && v[0].iov_len > 0);
    w.tries++;
    w.most_slices = VT__MAX(w.most_slices, n);
    if (most < 0) return most;
    for (int i = 0; i < n && done < most; i++) {
        size_t k = VT__MIN(v[i].iov_len, (size_t)(most - done));
        if (w.ngot + k > sizeof w.got) return -EIO;
        memcpy(w.got + w.ngot, v[i].iov_base, k);
        w.ngot += k, done += (int64_t)k;
    }
    return done;
}
static int wire_wait(vt__conn *c, int64_t until) {
    CHECK(c == &w.c && w.waits < 8);
    w.sending = w.io.sending;
    w.untils[w.waits] = until;
    return w.wait_results[w.waits++];
}
static int64_t wire_recv(vt__conn *c, void *p, size_t n, int64_t until) {
    CHECK(c == &w.c && until == 5);
    w.recvs++;
    memset(p, 'r', n);
    return (int64_t)n;
}
static int64_t wire_recv_try(vt__conn *c, void *p, size_t n) {
    (void)p, (void)n;
    CHECK(c == &w.c);
    w.recv_tries++;
    return -EAGAIN;
}
static int wire_shutdown(vt__conn *c) { return c == &w.c ? ++w.shutdowns : -1; }
static int wire_close(vt__conn *c) { return c == &w.c ? ++w.closes : -1; }
static int wire_bye(vt__conn *c) { return c == &w.c ? (++w.ends < 3 ? -EAGAIN : 0) : -1; }
static void wire_bare(vt__conn *c) { c->ops = NULL; }
static const struct vt__conn_ops wire_ops = {wire_recv,  wire_recv_try, wire_send, wire_wait, wire_shutdown,
                                             wire_close, wire_bye,      NULL,      wire_bare, NULL};

static void wire_new(void) {
    memset(&w, 0, sizeof w);
    vt__conn_open(&w.c, -1);
    w.c.ops = &wire_ops;
    w.io.c = &w.c;
    w.io.thr = vt__sched_thr();
}
static void wire_end(void) {
    vt__conn_buf_put(w.io.thr, &w.io.in);
    vt__conn_buf_put(w.io.thr, &w.io.out);
}
static void tells(int n, const int64_t *answers) {
    memcpy(w.answers, answers, (size_t)n * sizeof *answers);
    w.nanswers = w.tries + n;
    CHECK_EQ(w.tries, 0);
}
#define TELLS(...) tells((int)VT__COUNT(((const int64_t[]){__VA_ARGS__})), (const int64_t[]){__VA_ARGS__})
#define GOT(text) CHECK_MEM(w.got, w.ngot, text, sizeof(text) - 1)
/* A test that runs on a virtual thread. */
#define VTEST(id)                                                                                            \
    static void on_vthread_##id(void);                                                                       \
    static int main_##id(void *arg) {                                                                        \
        (void)arg;                                                                                           \
        wire_new();                                                                                          \
        on_vthread_##id();                                                                                   \
        wire_end();                                                                                          \
        return 0;                                                                                            \
    }                                                                                                        \
    TEST(id) {                                                                                               \
        vt_cfg one = {.workers = 1};                                                                         \
        CHECK_EQ(vt_run(&one, main_##id, NULL), 0);                                                          \
    }                                                                                                        \
    static void on_vthread_##id(void)

VTEST(every_call_goes_to_the_transport) {
    char buf[3];
    struct iovec v = {(char[]){"abc"}, 3};
    CHECK_EQ(vt__conn_recv(&w.c, buf, 3, 5), 3);
    CHECK_EQ(vt__conn_recv_try(&w.c, buf, 3), -EAGAIN);
    CHECK_EQ(vt__conn_send_try(&w.c, &v, 1), 3);
    w.wait_results[0] = -ECANCELED;
    CHECK_EQ(vt__conn_send_wait(&w.c, 9), -ECANCELED);
    CHECK_EQ(vt__conn_shutdown(&w.c), 1);
    CHECK_EQ(vt__conn_close(&w.c), 1);
    CHECK(w.recvs == 1 && w.recv_tries == 1 && w.tries == 1 && w.waits == 1 && w.untils[0] == 9);
    vt__conn_end(&w.io); /* waits for room, twice */
    CHECK(w.ends == 3 && w.waits == 3);
}
VTEST(output_is_gathered) {
    char *p = vt__conn_room(&w.io, 3);
    REQUIRE(p != NULL);
    memcpy(p, "abc", 3);
    w.io.out.len += 3;
    CHECK_EQ(vt__conn_put(&w.io, "defg", 4), 0);
    CHECK_EQ(w.tries, 0);
    CHECK_EQ(vt__conn_flush(&w.io), 0);
    GOT("abcdefg");
    CHECK(w.tries == 1 && w.io.out.pos == 0 && w.io.out.len == 0);
    CHECK_EQ(vt__conn_flush(&w.io), 0); /* of nothing: no call */
    CHECK_EQ(w.tries, 1);
}
VTEST(output_over_a_block_goes_out_in_order) {
    static char all[3 * VT__BUF_BYTES + 5];
    for (size_t i = 0; i < sizeof all; i++) all[i] = (char)(i * 11 + (i >> 8));
    CHECK_EQ(vt__conn_put(&w.io, all, 10), 0);
    CHECK_EQ(vt__conn_put(&w.io, all + 10, sizeof all - 10), 0);
    CHECK_EQ(w.tries, 3);
    CHECK(vt__conn_room(&w.io, VT__BUF_BYTES / 2) != NULL); /* there is room: nothing goes out */
    CHECK_EQ(w.tries, 3);
    CHECK_EQ(vt__conn_flush(&w.io), 0);
    CHECK_MEM(w.got, w.ngot, all, sizeof all);
    CHECK_EQ(vt__conn_put(&w.io, all, VT__BUF_BYTES - 1), 0);
    w.ngot = 0;
    CHECK(vt__conn_room(&w.io, 2) == w.io.out.p); /* no room for two: it is emptied first */
    CHECK_EQ(w.ngot, VT__BUF_BYTES - 1);
}
VTEST(behind_what_is_gathered_without_a_copy) {
    struct iovec v[3] = {{NULL, 0}, {(char[]){"345"}, 3}, {(char[]){"67"}, 2}};
    CHECK_EQ(vt__conn_put(&w.io, "012", 3), 0);
    CHECK_EQ(vt__conn_send_behind(&w.io, v, 3), 0);
    GOT("01234567");
    CHECK(w.tries == 1 && w.most_slices == 3 && w.io.out.len == 0);
    struct iovec u[2] = {{NULL, 0}, {(char[]){"89"}, 2}};
    w.most_slices = 0;
    CHECK_EQ(vt__conn_send_behind(&w.io, u, 2), 0); /* nothing gathered: no empty slice */
    GOT("0123456789");
    CHECK(w.tries == 2 && w.most_slices == 1);
}
/* However the socket cuts it, and wherever it waits. */
VTEST(behind_in_every_cut) {
    for (int64_t a = 1; a < 8; a++)
        for (int64_t b = 1; a + b < 9; b++) {
            struct iovec v[3] = {{NULL, 0}, {(char[]){"345"}, 3}, {(char[]){"67"}, 2}};
            w.tries = w.waits = 0, w.ngot = 0;
            TELLS(a, -EAGAIN, b);
            CHECK_EQ(vt__conn_put(&w.io, "012", 3), 0);
            if (a == 1) w.io.out.pos = 0;
            CHECK_EQ(vt__conn_send_behind(&w.io, v, 3), 0);
            GOT("01234567");
            CHECK(w.waits == 1 && w.sending && !w.io.sending);
        }
}
VTEST(part_of_the_output_is_out_already) {
    struct iovec v[2] = {{NULL, 0}, {(char[]){"34"}, 2}};
    CHECK_EQ(vt__conn_put(&w.io, "012", 3), 0);
    TELLS(2, -EAGAIN);
    CHECK_EQ(vt__conn_flush_try(&w.io), -EAGAIN);
    CHECK(w.io.out.pos == 2 && w.waits == 0);
    CHECK_EQ(vt__conn_send_behind(&w.io, v, 2), 0);
    GOT("01234");
    w.tries = 0, w.ngot = 0;
    CHECK_EQ(vt__conn_put(&w.io, "012", 3), 0);
    TELLS(1, -EAGAIN);
    CHECK_EQ(vt__conn_flush_try(&w.io), -EAGAIN);
    CHECK_EQ(vt__conn_flush(&w.io), 0);
    GOT("012");
    CHECK_EQ(vt__conn_flush_try(&w.io), 0); /* of nothing */
}
VTEST(a_failed_write_ends_the_output) {
    static char many[VT__BUF_BYTES];
    struct iovec v[2] = {{NULL, 0}, {many, 2}};
    CHECK_EQ(vt__conn_put(&w.io, "012", 3), 0);
    TELLS(1, -EPIPE);
    CHECK_EQ(vt__conn_flush(&w.io), -EPIPE);
    CHECK(w.tries == 2 && w.io.err == -EPIPE && !w.io.sending && w.io.out.len == 0);
    CHECK_EQ(vt__conn_flush(&w.io), -EPIPE);
    CHECK_EQ(vt__conn_flush_try(&w.io), -EPIPE);
    CHECK(vt__conn_room(&w.io, 1) == NULL);
    CHECK_EQ(vt__conn_put(&w.io, many, sizeof many), -EPIPE);
    CHECK_EQ(vt__conn_put(&w.io, many, 0), -EPIPE);
    CHECK_EQ(vt__conn_send_behind(&w.io, v, 2), -EPIPE);
    CHECK_EQ(vt__conn_send_all(&w.io, v + 1, 1), -EPIPE);
    CHECK_EQ(w.tries, 2); /* nothing was tried again */
    GOT("0");
}
VTEST(a_failed_try_ends_the_output_too) {
    CHECK_EQ(vt__conn_put(&w.io, "012", 3), 0);
    TELLS(1, -ECONNRESET);
    CHECK_EQ(vt__conn_flush_try(&w.io), -ECONNRESET);
    CHECK(w.io.err == -ECONNRESET && w.io.out.len == 0 && w.io.out.pos == 0);
    CHECK(vt__conn_room(&w.io, 1) == NULL);
    CHECK_EQ(w.tries, 2);
}
VTEST(a_wait_that_is_cancelled_ends_the_output) {
    CHECK_EQ(vt__conn_put(&w.io, "012", 3), 0);
    TELLS(1, -EAGAIN);
    w.wait_results[0] = -ECANCELED;
    CHECK_EQ(vt__conn_flush(&w.io), -ECANCELED);
    CHECK(w.io.err == -ECANCELED && w.tries == 2 && w.io.out.len == 0);
}
VTEST(a_write_waits_write_ns_for_progress) {
    w.io.write_ns = 3600 * VT_SEC;
    int64_t before = vt__plat_now() + w.io.write_ns;
    CHECK_EQ(vt__conn_put(&w.io, "012", 3), 0);
    TELLS(-EAGAIN, -EAGAIN, 1, -EAGAIN);
    CHECK_EQ(vt__conn_flush(&w.io), 0);
    GOT("012");
    CHECK(w.waits == 3 && w.untils[0] >= before);
    CHECK_EQ(w.untils[1], w.untils[0]); /* a wake-up without room gives no more time */
    CHECK(w.untils[2] > w.untils[1]);   /* progress does */
    w.io.write_ns = 0;
    w.tries = w.waits = 0;
    TELLS(-EAGAIN);
    CHECK_EQ(vt__conn_put(&w.io, "3", 1), 0);
    CHECK_EQ(vt__conn_flush(&w.io), 0);
    CHECK_EQ(w.untils[0], 0); /* no limit */
}
/* The time is over: one more look, and only what finds no room then is late. */
VTEST(a_late_write_looks_once_more) {
    w.io.write_ns = VT_SEC;
    w.wait_results[0] = w.wait_results[1] = w.wait_results[2] = -ETIMEDOUT;
    CHECK_EQ(vt__conn_put(&w.io, "012", 3), 0);
    TELLS(-EAGAIN, 1, -EAGAIN, 2);
    CHECK_EQ(vt__conn_flush(&w.io), 0);
    GOT("012");
    CHECK(w.waits == 2 && w.tries == 4);
    w.tries = w.waits = 0, w.ngot = 0;
    CHECK_EQ(vt__conn_put(&w.io, "012", 3), 0);
    TELLS(-EAGAIN, 1, -EAGAIN, -EAGAIN);
    CHECK_EQ(vt__conn_flush(&w.io), -ETIMEDOUT);
    GOT("0");
    CHECK(w.io.err == -ETIMEDOUT && w.tries == 4);
    CHECK(w.waits == 3 && w.untils[2] == VT__CONN_OVER); /* the transport hears that nobody waits */
}
VTEST(a_late_write_tells_what_it_finds) {
    w.wait_results[0] = -ETIMEDOUT;
    CHECK_EQ(vt__conn_put(&w.io, "012", 3), 0);
    TELLS(-EAGAIN, -EPIPE);
    CHECK_EQ(vt__conn_flush(&w.io), -EPIPE);
}
static void *no_memory(void *p, size_t n) {
    (void)p, (void)n;
    return NULL;
}
VTEST(output_without_memory) {
    vt__mem_pool_drain(&w.io.thr->buf_pool);
    vt__plat.realloc = no_memory;
    CHECK(vt__conn_room(&w.io, 1) == NULL);
    vt__plat.realloc = vt__plat_sys_realloc;
    CHECK_EQ(w.io.err, -ENOMEM);
    CHECK_EQ(vt__conn_put(&w.io, "a", 1), -ENOMEM); /* a hole in the stream is worse than its end */
    CHECK_EQ(w.tries, 0);
}

/*--- the socket itself ---*/
static int drains(void *arg) {
    char buf[4096];
    int fd = *(int *)arg;
    int64_t all = 0;
    ssize_t n;
    vt_sleep_ms(5);
    for (;;) {
        n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
        if (n > 0) all += n;
        else if (n == 0) return (int)all;
        else vt_sleep_ms(1);
    }
}
VTEST(a_plain_socket) {
    static char many[1 << 20];
    int fds[2], got = 0;
    char buf[8];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    vt__conn_open(&w.c, fds[0]);
    CHECK(w.c.ops == NULL && vt__conn_readable(&w.c));
    CHECK_EQ(vt__conn_recv_try(&w.c, buf, sizeof buf), -EAGAIN);
    CHECK(!vt__conn_readable(&w.c)); /* until the next event */
    CHECK_EQ(send(fds[1], "in", 2, 0), 2);
    CHECK_EQ(vt__conn_recv(&w.c, buf, sizeof buf, 0), 2);
    CHECK_EQ(vt__conn_recv(&w.c, buf, sizeof buf, vt_now() + 5 * VT_MS), -ETIMEDOUT);
    vt_task *t = vt_async(drains, &fds[1]);
    struct iovec v[2] = {{NULL, 0}, {many, sizeof many}};
    CHECK_EQ(vt__conn_put(&w.io, "out", 3), 0);
    CHECK_EQ(vt__conn_send_behind(&w.io, v, 2), 0); /* parks: the other end reads late */
    CHECK_EQ(vt__conn_shutdown(&w.c), 0);
    CHECK_EQ(vt_await(t, &got), 0);
    CHECK_EQ(got, (int)sizeof many + 3);
    CHECK_EQ(close(fds[1]), 0);
    CHECK_EQ(vt__conn_put(&w.io, "x", 1), 0);
    CHECK_EQ(vt__conn_flush(&w.io), -EPIPE);
    CHECK(vt__conn_close(&w.c) >= 0);
    CHECK(fcntl(fds[0], F_GETFD) < 0);
}
VTEST(a_plain_socket_that_was_reset) {
    struct sockaddr_in sa = {.sin_family = AF_INET};
    struct linger at_once = {1, 0};
    socklen_t n = sizeof sa;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer,
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(l, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(l, 1) == 0);
    REQUIRE(getsockname(l, (struct sockaddr *)&sa, &n) == 0);
    REQUIRE(connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 && (peer = accept(l, NULL, NULL)) >= 0);
    REQUIRE(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    vt__conn_open(&w.c, fd);
    CHECK_EQ(setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    CHECK(close(peer) == 0 && close(l) == 0);
    CHECK_EQ(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 20000), 1); /* the reset has come */
    CHECK_EQ(vt__conn_shutdown(&w.c), -ECONNRESET); /* not that it never was connected */
    CHECK(vt__conn_close(&w.c) >= 0);
}
