/* Files by the pool: others run meanwhile, bytes come back whole, what was withdrawn did nothing, errors are those of the
 * system. */
/* tsan */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "rt.h"
#include "tmp.h"

#include <fcntl.h>
#include <sys/stat.h>

static const char *path, *fifo;
static void files_make(void) {
    path = tmp_path("data");
    fifo = tmp_path("fifo");
    if (mkfifo(fifo, 0600) < 0) abort();
}
static void files_drop(void) { unlink(path), unlink(fifo); }

/*--- the same on a virtual thread and off one ---*/
enum { BIG = 3 << 20 };
static char out[BIG], in[BIG + 10];
#define FAR (INT64_C(5) << 30) /* a hole before it */
static int round_trip(void *arg) {
    uint64_t r = test_seed();
    (void)arg;
    for (size_t i = 0; i < BIG; i++) out[i] = (char)test_rand(&r);
    int fd = vt_file_open(path, O_RDWR | O_CREAT | O_TRUNC, 0640);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(vt_file_read(fd, in, 10, 0), 0);
    CHECK_EQ(vt_file_write(fd, out, BIG, 7), BIG);
    CHECK_EQ(vt_file_sync(fd), 0);
    CHECK_EQ(vt_file_read(fd, in, BIG + 10, 7), BIG); /* the file ends */
    CHECK_MEM(in, BIG, out, BIG);
    CHECK_EQ(vt_file_read(fd, in, 7, 0), 7);
    CHECK_MEM(in, 7, "\0\0\0\0\0\0\0", 7);
    CHECK_EQ(vt_file_read(fd, in, 0, 0), 0);
    CHECK_EQ(vt_file_write(fd, NULL, 0, 0), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(vt_file_close(fd), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    return 0;
}
TEST(what_is_written_is_read) {
    files_make();
    CHECK_EQ(round_trip(NULL), 0);
    CHECK_EQ(run_on(2, round_trip, NULL), 0);
    files_drop();
}
static int far_away(void *arg) {
    char b[4] = "";
    (void)arg;
    int fd = vt_file_open(path, O_RDWR | O_CREAT, 0600);
    if (vt_file_write(fd, "far", 3, FAR) == -EFBIG)
        return vt_file_close(fd); /* where files may not be so long */
    CHECK_EQ(vt_file_read(fd, b, 4, FAR), 3);
    CHECK_STR(b, "far");
    CHECK_EQ(vt_file_read(fd, b, 3, FAR - (INT64_C(1) << 32)), 3); /* not cut to 32 bits */
    CHECK_MEM(b, 3, "\0\0\0", 3);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    return vt_file_close(fd);
}
TEST(offsets_have_64_bits) {
    files_make();
    CHECK_EQ(run_on(1, far_away, NULL), 0);
    files_drop();
}
static int errors(void *arg) {
    char b[4];
    int p[2];
    (void)arg;
    CHECK_EQ(vt_file_open("/nowhere/at/all", O_RDONLY, 0), -ENOENT);
    CHECK_EQ(vt_file_open(NULL, O_RDONLY, 0), -EINVAL);
    CHECK_EQ(vt_file_read(-1, b, 4, 0), -EBADF);
    CHECK_EQ(vt_file_write(-1, b, 4, 0), -EBADF);
    CHECK_EQ(vt_file_sync(-1), -EBADF);
    CHECK_EQ(vt_file_close(-1), -EBADF);
    CHECK_EQ(vt_file_read(0, b, 4, -1), -EINVAL);
    CHECK_EQ(vt_file_write(0, b, 4, INT64_MAX - 3), -EINVAL);
    CHECK_EQ(vt_file_read(0, b, SIZE_MAX, 0), -EINVAL);
    int fd = vt_file_open(path, O_RDONLY | O_CREAT, 0600);
    CHECK_EQ(vt_file_write(fd, b, 4, 0), -EBADF);
    CHECK_EQ(vt_file_close(fd), 0);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(vt_file_read(p[0], b, 4, 0), -ESPIPE);
    close(p[0]), close(p[1]);
    return 0;
}
TEST(errors_are_the_systems) {
    files_make();
    CHECK_EQ(errors(NULL), 0);
    CHECK_EQ(run_on(1, errors, NULL), 0);
    files_drop();
}

/*--- others run meanwhile ---*/
static int opens(void *flags) { return vt_file_open(fifo, (int)(intptr_t)flags, 0); }
/* Each end of a FIFO opens when the other does: on one OS thread both would wait for ever. */
static int beside_main(void *arg) {
    (void)arg;
    vt_task *r = vt_async(opens, (void *)(intptr_t)O_RDONLY);
    vt_task *w = vt_async(opens, (void *)(intptr_t)O_WRONLY);
    int a = result(r), b = result(w);
    CHECK(a >= 0 && b >= 0);
    CHECK_EQ(vt_file_close(a), 0);
    return vt_file_close(b);
}
TEST(others_run_meanwhile) {
    files_make();
    CHECK_EQ(run_on(1, beside_main, NULL), 0);
    files_drop();
}

/*--- cancelled: what has not begun never does, and what is open is closed all the same ---*/
static int late_fd;
static int late(void *arg) {
    (void)arg;
    CHECK_EQ(vt_file_write(late_fd, "no", 2, 0), -ECANCELED); /* withdrawn from the queue */
    CHECK_EQ(vt_file_write(late_fd, "no", 2, 0), -ECANCELED); /* not even queued */
    CHECK_EQ(vt_file_open(path, O_RDONLY, 0), -ECANCELED);
    CHECK_EQ(vt_file_close(late_fd), 0);
    return 5;
}
static int cancel_main(void *arg) {
    char b[4];
    (void)arg;
    late_fd = vt_file_open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    vt_task *r = vt_async(opens, (void *)(intptr_t)O_RDONLY); /* has the one thread of the pool */
    vt_yield();
    vt_task *t = vt_async(late, NULL);
    vt_yield();
    vt_cancel(t);
    vt_yield();
    int w = open(fifo, O_WRONLY); /* waits for the reader, who has begun or will at once */
    vt_cancel(r);
    int a = result(r);
    CHECK(a >= 0); /* it had begun: a descriptor is not lost */
    CHECK_EQ(result(t), 5);
    CHECK_EQ(fcntl(late_fd, F_GETFD), -1);
    close(w), close(a);
    late_fd = vt_file_open(path, O_RDONLY, 0);
    CHECK_EQ(vt_file_read(late_fd, b, 4, 0), 0);
    return vt_file_close(late_fd);
}
TEST(a_cancelled_call_did_nothing) {
    vt_cfg cfg = {.workers = 1, .max_blocking = 1};
    files_make();
    CHECK_EQ(vt_run(&cfg, cancel_main, NULL), 0);
    files_drop();
}

/*--- what the kernel has in its cache is read without the pool, and what a cancelled call asks for is not ---*/
static char cached[20000];
static int reads_cached(void *arg) {
    int fd = *(int *)arg;
    CHECK_EQ(vt_file_read(fd, cached, sizeof cached, 5), sizeof cached); /* all of it */
    CHECK_MEM(cached, sizeof cached, out + 5, sizeof cached);
    while (!vt_cancelled()) (void)vt_yield();
    return (int)vt_file_read(fd, cached, 10, 0);
}
static int cached_main(void *arg) {
    (void)arg;
    int fd = vt_file_open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (size_t i = 0; i < sizeof out; i++) out[i] = (char)(i / 7);
    CHECK_EQ(vt_file_write(fd, out, 30000, 0), 30000);
    struct iovec some[] = {{cached, 7}, {cached + 7, sizeof cached - 7}};
    bool can = vt__plat_pread_now(fd, some, 2, 5) == (ssize_t)sizeof cached;
    vt_task *r = vt_async(opens, (void *)(intptr_t)O_RDONLY); /* has the one thread of the pool */
    vt_yield();
    vt_task *t = can ? vt_async(reads_cached, &fd) : NULL;
    vt_yield();
    if (can) vt_cancel(t), CHECK_EQ(result(t), -ECANCELED);
    int w = open(fifo, O_WRONLY), a = result(r);
    close(w), close(a);
    CHECK_EQ(vt_file_read(fd, cached, sizeof cached, 29000), 1000); /* some is there, and then its end */
    CHECK_MEM(cached, 1000, out + 29000, 1000);
    CHECK_EQ(vt_file_close(fd), 0);
    return can;
}
TEST(what_is_cached_needs_no_pool) {
    vt_cfg cfg = {.workers = 1, .max_blocking = 1};
    files_make();
    int can = vt_run(&cfg, cached_main, NULL);
    files_drop();
    if (!can) SKIP("no such reads here (preadv2 with RWF_NOWAIT)");
}

/*--- who has a lease of a file is told that somebody wants it, and is waited for ---*/
#if defined(__linux__)
enum { FILE_SETSIG = 10, FILE_SETLEASE = 1024, FILE_GETLEASE = 1025 }; /* which strict C has not */
static int leased, lease_over;
static void *lets_go(void *arg) {
    (void)arg;
    while (!__atomic_load_n(&lease_over, __ATOMIC_SEQ_CST) && fcntl(leased, FILE_GETLEASE) == F_WRLCK)
        vt__plat_sleep(VT_MS);
    CHECK_EQ(fcntl(leased, FILE_SETLEASE, F_UNLCK), 0);
    return NULL;
}
static int lease_main(void *arg) {
    char b[8] = "";
    vt__file_info info;
    (void)arg;
    CHECK_EQ(vt__file_at_once(path, b, sizeof b, &info), 4);
    CHECK_MEM(b, 4, "mine", 4);
    __atomic_store_n(&lease_over, 1, __ATOMIC_SEQ_CST);
    return 0;
}
TEST(a_file_that_somebody_has_a_lease_of) {
    pthread_t os;
    files_make();
    leased = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQ(write(leased, "mine", 4), 4);
    bool can = fcntl(leased, FILE_SETSIG, SIGURG) == 0 && fcntl(leased, FILE_SETLEASE, F_WRLCK) == 0;
    if (can) { /* it is asked back by SIGURG, which nobody minds */
        lease_over = 0;
        REQUIRE(pthread_create(&os, NULL, lets_go, NULL) == 0);
        CHECK_EQ(run_on(1, lease_main, NULL), 0);
        pthread_join(os, NULL);
    }
    close(leased);
    files_drop();
    if (!can) SKIP("no leases here (fcntl with F_SETLEASE)");
}
#endif
