/* Files as responses: whole, in parts, to clients that are slow, gone, or of HTTP/1.0; files that are not there, or shrink while they
 * are sent. Over plain HTTP/1.1 they go by sendfile; e2e_file_tls.c and e2e_file_h2_tls.c have the same by reads. */
/* tsan */
#include "files.h"

TEST(files_of_every_size) {
    static const size_t sizes[] = {0, 1, 1000, 15000, 16384, 16385, 65536, 65537, LARGE};
    CL(c);
    REQUIRE(start(NULL));
    for (size_t i = 0; i < VT__COUNT(sizes); i++) {
        bytes_file("any", sizes[i]);
        CHECK_EQ(cl_get(&c, "/file/any"), 200);
        CHECK(c.has_length && has(&c, 0, (int64_t)sizes[i]));
        CHECK_STR(cl_field(&c, "content-type"), "image/x-test");
        cl_printf(&c, "HEAD /file/any HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_EQ(cl_response_to(&c, true), 200);
        CHECK_EQ(c.length, sizes[i]);
        CHECK_STR(cl_field(&c, "content-type"), "image/x-test");
    }
    CHECK_EQ(cl_get(&c, "/bad"), 200); /* the connection is as good as before */
    CHECK_STR(c.body, "fine");
    CHECK_EQ(e2e_stop(), 0);
}

TEST(files_that_are_not_there) {
    CL(c);
    REQUIRE(start(NULL));
    tmp_text("text", "text");
    REQUIRE(mkfifo(tmp_path("fifo"), 0600) == 0);
    CHECK_EQ(get(&c, "/file/none"), 404);
    CHECK_EQ(noted(), -ENOENT);
    CHECK(strcmp(cl_field(&c, "content-type"), "image/x-test") != 0); /* it was not for this text */
    CHECK_EQ(get(&c, "/file/fifo"), 404);
    CHECK_EQ(noted(), VT_ENOTFOUND);
    CHECK_EQ(get(&c, "/file/text?under=more"), 404);
    CHECK_EQ(noted(), -ENOTDIR);
    CHECK_EQ(get(&c, "/file/text?under=.."), 404);
    CHECK_EQ(cl_get(&c, "/file/text"), 200);
    CHECK_STR(c.body, "text");
    CHECK_EQ(e2e_stop(), 0);
}

TEST(parts_of_a_file) {
    static const int64_t at[][2] = {{0, 1}, {1, 70000}, {LARGE - 5, 5}, {4097, 3 << 20}, {123457, 1 << 20}};
    CL(c);
    REQUIRE(start(NULL));
    char target[200];
    for (size_t i = 0; i < VT__COUNT(at); i++) {
        long long off = at[i][0], n = at[i][1];
        snprintf(target, sizeof target, "/part?status=206&off=%lld&n=%lld&len=%lld", off, n, n);
        CHECK_EQ(get(&c, target), 206);
        CHECK(c.has_length && has(&c, off, n));
        CHECK_EQ(noted(), n);
        snprintf(target, sizeof target, "/part?off=%lld&n=%lld&step=40000", off, n); /* of unknown length */
        CHECK_EQ(get(&c, target), 200);
        CHECK(has(&c, off, n));
    }
    CHECK_EQ(cl_get(&c, "/part?text=1&off=9&n=300000&len=300008"), 200); /* among other writes */
    CHECK(c.body_len == 300008 && memcmp(c.body, "text", 4) == 0 && memcmp(c.body + 300004, "more", 4) == 0);
    CHECK(memcmp(c.body + 4, large + 9, 300000) == 0);
    CHECK_EQ(get(&c, "/part?n=300000&len=100000"), 200); /* more than was declared */
    CHECK(has(&c, 0, 100000));
    CHECK_EQ(noted(), VT_ESURPLUS);
    CHECK_EQ(get(&c, "/part?status=204"), 204);
    CHECK_EQ(noted(), LARGE);
    CHECK_EQ(cl_get(&c, "/part?status=304&len=5&n=5"), 304);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(a_client_of_http_1_0) {
    CL(c);
    REQUIRE(start(NULL));
    CHECK_EQ(cl_ask(&c, "GET /part HTTP/1.0\r\n\r\n"), 200);
    CHECK(c.by_close && has(&c, 0, LARGE));
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}

/* What is promised and does not come is seen to be missing, and nobody else suffers. */
static void ends_short(const char *target, int64_t have, int64_t why) {
    CL(c);
    CL(next);
    CHECK_EQ(get(&c, target), 200);
    CHECK(c.truncated && c.eof && (int64_t)c.body_len <= have);
    CHECK(memcmp(c.body, large, c.body_len) == 0);
    CHECK_EQ(noted(), why);
    CHECK_EQ(cl_get(&next, "/bad"), 200);
}
TEST(a_file_that_ends_before) {
    REQUIRE(start(NULL));
    char target[100];
    snprintf(target, sizeof target, "/part?n=%d&len=%d", LARGE + 1, LARGE + 1);
    ends_short(target, LARGE, VT_ESHORT);
    snprintf(target, sizeof target, "/part?off=%d&n=5&len=5", LARGE);
    ends_short(target, 0, VT_ESHORT);
    snprintf(target, sizeof target, "/part?n=%d", LARGE + 1);
    ends_short(target, LARGE, VT_ESHORT);
    ends_short("/part?fd=9999&n=5&len=5", 0, -EBADF);
    ends_short("/part?fd=9999&n=100000&len=100000", 0, -EBADF);
    CHECK_EQ(e2e_stop(), 0);
}

/* More than sockets hold. */
static void huge_file(const char *name) {
    const char *path = bytes_file(name, LARGE);
    if (truncate(path, (int64_t)256 << 20) != 0) abort();
}
TEST(a_file_that_shrinks_meanwhile) {
    CL(c);
    CL(next);
    REQUIRE(start(NULL));
    huge_file("shrinks");
    REQUIRE(cl_open_to(&c, e2e.port, 65536));
    cl_puts(&c, "GET /file/shrinks HTTP/1.1\r\nHost: a\r\n\r\n");
    REQUIRE(cl_want(&c, 10000));
    REQUIRE(truncate(tmp_path("shrinks"), 100000) == 0);
    CHECK_EQ(cl_response(&c), 200);
    CHECK_EQ(c.length, 256 << 20);
    CHECK(c.truncated && c.eof && (int64_t)c.body_len < c.length);
    CHECK(memcmp(c.body, large, VT__MIN(c.body_len, 100000)) == 0);
    CHECK_EQ(noted(), VT_ESHORT);
    cl_close(&c);
    CHECK_EQ(cl_get(&next, "/bad"), 200);
    CHECK_EQ(e2e_stop(), 0);
}

TEST(a_slow_client_gets_all) {
    CL(c);
    REQUIRE(start(NULL));
    REQUIRE(cl_open_to(&c, e2e.port, 4096));
    cl_puts(&c, "GET /file/large HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 20 && c.in_len < LARGE / 4; i++) {
        e2e_sleep_ms(10);
        CHECK(cl_more(&c, E2E_MS) > 0);
    }
    CHECK_EQ(cl_response(&c), 200);
    CHECK(has(&c, 0, LARGE));
    CHECK_EQ(cl_get(&c, "/bad"), 200);
    CHECK_EQ(e2e_stop(), 0);
}

/* SIGPIPE would end the program, unless it is that of the test's own client. */
static void client_leaves(int cancel_on) {
    vt_server_cfg cfg = {.cancel_on = cancel_on};
    CL(c);
    CL(next);
    REQUIRE(start(&cfg));
    if (!E2E_TLS) signal(SIGPIPE, SIG_DFL);
    huge_file("huge");
    REQUIRE(cl_open_to(&c, e2e.port, 65536));
    cl_puts(&c, "GET /file/huge HTTP/1.1\r\nHost: a\r\n\r\n");
    REQUIRE(cl_want(&c, 10000));
    cl_reset(&c);
    int64_t r = noted();
    CHECK(r == -EPIPE || r == -ECONNRESET || r == -ECANCELED);
    CHECK_EQ(cl_get(&next, "/bad"), 200);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(a_client_that_is_gone) { client_leaves(VT_CANCEL_RESET); }
TEST(a_client_that_is_gone_and_nobody_is_told) { client_leaves(VT_CANCEL_NEVER); }

static void client_stalls(vt_server_cfg *cfg) {
    CL(c);
    CL(next);
    REQUIRE(start(cfg));
    huge_file("huge");
    REQUIRE(cl_open_to(&c, e2e.port, 65536));
    cl_puts(&c, "GET /file/huge HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(noted(), -ETIMEDOUT);
    CHECK_EQ(cl_response(&c), 200);
    CHECK(c.truncated && c.eof);
    cl_close(&c);
    CHECK_EQ(cl_get(&next, "/bad"), 200);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(a_client_that_does_not_read) { client_stalls(&(vt_server_cfg){.write_timeout_ms = 100}); }
TEST(a_handler_that_runs_out_of_time) { client_stalls(&(vt_server_cfg){.handler_timeout_ms = 500}); }

TEST(many_at_once) {
    enum { N = VT__TSAN ? 6 : 24 };
    struct cl c[N];
    REQUIRE(start(&(vt_server_cfg){.write_timeout_ms = VT_NONE})); /* one after the other is read */
    for (int i = 0; i < N; i++) {
        c[i] = (struct cl){.fd = -1};
        CHECK(cl_open(&c[i]));
        cl_puts(&c[i], "GET /file/large HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (int i = 0; i < N; i++) {
        CHECK_EQ(cl_response(&c[i]), 200);
        CHECK(has(&c[i], 0, LARGE));
        cl_close(&c[i]);
    }
    CHECK_EQ(e2e_stop(), 0);
}
