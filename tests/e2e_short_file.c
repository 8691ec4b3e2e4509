/* The behaviours of tests/e2e_file.c when the kernel takes little at a time and interrupts every few calls; and when it has no
 * sendfile for a file, from the start or from somewhere within. */
/* variants: default asan poll */
#define VTHTTP_SIM 1
#include "e2e_file.c"

#include "shortio.h"

static int64_t sent, refusals, after, calls;
static int why;
static int64_t sent_now(void) { return __atomic_load_n(&sent, __ATOMIC_SEQ_CST); }
static ssize_t refusing(int to, int fd, int64_t off, size_t n) {
    __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (sent_now() >= after) {
        __atomic_add_fetch(&refusals, 1, __ATOMIC_SEQ_CST);
        return why;
    }
    ssize_t r = vt__plat_sys_sendfile(to, fd, off, VT__MIN(n, 50000));
    if (r > 0) __atomic_add_fetch(&sent, r, __ATOMIC_SEQ_CST);
    return r;
}
static void refuse_after(int64_t n, int err) {
    sent = refusals = calls = 0;
    after = n;
    why = err;
    vt__plat.sendfile = refusing;
}

TEST(it_is_sendfile_that_sends) {
    CL(c);
    REQUIRE(start(NULL));
    refuse_after(INT64_MAX, 0);
    CHECK_EQ(cl_get(&c, "/file/large"), 200);
    CHECK(has(&c, 0, LARGE));
    WAIT(sent_now() >= LARGE);                            /* counted when it has gone */
    CHECK_EQ(cl_get(&c, "/part?n=10000&len=10000"), 200); /* one packet with its head */
    CHECK_EQ(cl_get(&c, "/part?n=100000"), 200);          /* chunks */
    CHECK_EQ(sent_now(), LARGE);
    e2e_stop();
    vt__plat.sendfile = short_sendfile;
}
TEST(a_file_system_without_it) {
    static const int errs[] = {-EINVAL, -ENOSYS, -EOPNOTSUPP};
    for (int i = 0; i < 6; i++) {
        CL(c);
        REQUIRE(start(NULL));
        refuse_after(i < 3 ? 0 : 1000000, errs[i % 3]);
        CHECK_EQ(cl_get(&c, "/file/large"), 200);
        CHECK(has(&c, 0, LARGE));
        CHECK(sent >= after && sent < after + 50000);
        CHECK_EQ(refusals, 1); /* it is not asked again */
        CHECK_EQ(cl_get(&c, "/bad"), 200);
        CHECK_EQ(e2e_stop(), 0);
    }
    vt__plat.sendfile = short_sendfile;
}
TEST(a_disk_that_fails) {
    CL(c);
    REQUIRE(start(NULL));
    refuse_after(1000000, -EIO);
    CHECK_EQ(get(&c, "/file/large"), 200);
    CHECK(c.truncated && c.eof && (int64_t)c.body_len == sent);
    CHECK_EQ(noted(), -EIO);
    CHECK_EQ(e2e_stop(), 0);
    vt__plat.sendfile = short_sendfile;
}
static void *stingy(void *p, size_t n) { return n == VT__RES_FILE_PIECE ? NULL : vt__plat_sys_realloc(p, n); }
TEST(no_memory_for_a_piece) {
    CL(c);
    REQUIRE(start(NULL));
    tmp_text("text", "text");
    vt__plat.realloc = stingy;
    CHECK_EQ(get(&c, "/part?n=100000"), 200);
    CHECK(c.truncated && c.eof && c.body_len == 0);
    CHECK_EQ(noted(), -ENOMEM);
    cl_close(&c);
    CHECK_EQ(get(&c, "/file/text"), 500); /* nothing was sent yet */
    CHECK_EQ(noted(), -ENOMEM);
    vt__plat.realloc = vt__plat_sys_realloc;
    CHECK_EQ(cl_get(&c, "/file/text"), 200);
    CHECK_EQ(e2e_stop(), 0);
}

/* A small file is opened, read and closed at once, and of one that cannot be read to its end nothing is sent. */
static int64_t reads, most_reads;
static int opens, closes, file_fd;
static ssize_t then = -EIO; /* what reads come to after most_reads of them */
static int counted_open(const char *path, int flags, int mode) {
    __atomic_add_fetch(&opens, 1, __ATOMIC_SEQ_CST);
    return file_fd = vt__plat_sys_open(path, flags, mode);
}
static int counted_close(int fd) {
    if (fd == file_fd) __atomic_add_fetch(&closes, 1, __ATOMIC_SEQ_CST);
    return vt__plat_sys_close(fd);
}
static ssize_t failing_pread(int fd, void *p, size_t n, int64_t off) {
    if (__atomic_fetch_add(&reads, 1, __ATOMIC_SEQ_CST) >= most_reads) return then;
    return vt__plat_sys_pread(fd, p, VT__MIN(n, 1000), off);
}
static void counts_from_now(int64_t most) {
    reads = opens = closes = 0;
    most_reads = most;
}
TEST(a_small_file_at_once) {
    CL(c);
    REQUIRE(start(NULL));
    bytes_file("small", 5000);
    vt__plat.open = counted_open;
    vt__plat.close = counted_close;
    vt__plat.pread = failing_pread;
    counts_from_now(INT64_MAX);
    CHECK_EQ(get(&c, "/file/small"), 200);
    CHECK(has(&c, 0, 5000));
    CHECK_EQ(opens, 1);
    CHECK_EQ(closes, 1);
    CHECK_EQ(reads, 5);
    counts_from_now(3); /* 3,000 bytes have been read */
    CHECK_EQ(get(&c, "/file/small"), 500);
    CHECK_EQ(noted(), -EIO);
    CHECK(opens == 1 && closes == 1);
    then = 0; /* that is all there is by now */
    counts_from_now(3);
    CHECK_EQ(get(&c, "/file/small"), 200);
    CHECK(has(&c, 0, 3000) && noted() == 0);
    counts_from_now(3);
    cl_printf(&c, "GET /file/small HTTP/1.1\r\nHost: a\r\nRange: bytes=2990-4000\r\n\r\n");
    CHECK_EQ(cl_response(&c), 206);
    CHECK(has(&c, 2990, 10));
    then = -EIO;
    counts_from_now(0);
    cl_printf(&c, "HEAD /file/small HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(cl_response_to(&c, true), 200);
    CHECK(c.length == 5000 && opens == 1 && closes == 1 && reads == 0);
    vt__plat.open = vt__plat_sys_open;
    vt__plat.close = vt__plat_sys_close;
    vt__plat.pread = vt__plat_sys_pread;
    CHECK_EQ(e2e_stop(), 0);
}
/* Each of its allocations fails once, and nothing is left of it. */
static int64_t allocs_left;
static void *poor(void *p, size_t n) { return allocs_left-- > 0 ? vt__plat_sys_realloc(p, n) : NULL; }
TEST(a_directory_without_memory) {
    int n = 0, r = -1;
    dir_files();
    for (; r != 0 && n < 100; n++) {
        vt_server *s = vt_server_new(NULL);
        allocs_left = n;
        vt__plat.realloc = poor;
        vt_server_files(s, "/x", tmp_path("dir"));
        vt__plat.realloc = vt__plat_sys_realloc;
        r = vt_server_error(s);
        CHECK(r == 0 || r == -ENOMEM);
        vt_server_free(s);
    }
    CHECK(n > 5 && n < 100);
}
