/* The behaviours of tests/e2e_file.c when the kernel takes little at a time and interrupts every few calls; and when it has no
 * sendfile for a file, from the start or from somewhere within. */
/* variants: default asan poll */
#define VTHTTP_SIM 1
#include "e2e_file.c"

#include "shortio.h"

static int64_t sent, refusals, after, calls;
static int why;
static ssize_t refusing(int to, int fd, int64_t off, size_t n) {
    __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&sent, __ATOMIC_SEQ_CST) >= after) {
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
    CHECK_EQ(sent, LARGE);
    CHECK_EQ(cl_get(&c, "/part?n=10000&len=10000"), 200); /* one packet with its head */
    CHECK_EQ(cl_get(&c, "/part?n=100000"), 200);          /* chunks */
    CHECK_EQ(sent, LARGE);
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
    vt__plat.realloc = stingy;
    CHECK_EQ(get(&c, "/part?n=100000"), 200);
    CHECK(c.truncated && c.eof && c.body_len == 0);
    CHECK_EQ(noted(), -ENOMEM);
    vt__plat.realloc = vt__plat_sys_realloc;
    CHECK_EQ(e2e_stop(), 0);
}
