/* The behaviours of tests/e2e_file.c over HTTP/2 when the kernel has some of a file in its cache and not the rest, and takes little
 * at a time: frames of files begin and end anywhere in the output then. */
/* variants: default asan tsan */
#define VTHTTP_SIM 1
#define VTHTTP_H2 1
#define E2E_H2 1
#include "e2e_file.c"

#include "shortio.h"

static int64_t now_bytes, misses, by_pool;
/* Of what it is asked for, a part, which may end in any place. */
static ssize_t short_pread_now(int fd, const struct iovec *v, size_t n, int64_t off) {
    size_t all = 0, k = short_of(200000);
    ssize_t r = 1;
    for (; n > 0 && k > 0 && r > 0; v++, n--, k -= (size_t)r) {
        size_t want = VT__MIN(v->iov_len, k);
        if ((r = vt__plat_sys_pread(fd, v->iov_base, want, off + (int64_t)all)) < 0) break;
        all += (size_t)r;
        if ((size_t)r < v->iov_len) break;
    }
    __atomic_add_fetch(all ? &now_bytes : &misses, all ? (int64_t)all : 1, __ATOMIC_SEQ_CST);
    return all ? (ssize_t)all : r < 0 ? r : -EAGAIN;
}
static ssize_t counted_pread(int fd, void *p, size_t n, int64_t off) {
    __atomic_add_fetch(&by_pool, 1, __ATOMIC_SEQ_CST);
    return vt__plat_sys_pread(fd, p, n, off);
}
__attribute__((constructor)) static void short_files(void) {
    vt__plat.pread_now = short_pread_now;
    vt__plat.pread = counted_pread;
}

TEST(some_was_in_the_cache) {
    CL(c);
    REQUIRE(start(NULL));
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(cl_get(&c, "/part?off=7&n=200000&len=200000"), 200);
        CHECK(has(&c, 7, 200000));
    }
    CHECK_EQ(e2e_stop(), 0);
    CHECK(now_bytes > 100000 && misses > 0 && by_pool > 0 && short_calls > 100);
}
