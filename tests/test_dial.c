/* tsan */
/* variants: default asan tsan poll ucontext clang */
/* Dials that have to wait for a name (the resolver is the test's own) or for a Unix listener whose queue is full; what
 * stands where a Unix listener is to be; reads of nothing. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "tmp.h"
#include "names.h"

#include <sys/stat.h>

/*--- a resolver that answers when it is let ---*/
static int gate, asked, gave_up;
static int get(int *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static void set(int *p, int n) { __atomic_store_n(p, n, __ATOMIC_SEQ_CST); }

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out) {
    (void)port;
    if (!host || hints->ai_flags & AI_NUMERICHOST) return EAI_NONAME;
    __atomic_fetch_add(&asked, 1, __ATOMIC_SEQ_CST);
    for (int ms = 0; !get(&gate); ms++) {
        if (ms == 15000) return set(&gave_up, 1), EAI_AGAIN;
        usleep(1000);
    }
    if (strcmp(host, "none.test") == 0) return EAI_AGAIN;
    return name_is("127.0.0.1", 1, out); /* nobody listens there */
}

static int run_on(int workers, vt_fn *fn, void *arg) {
    vt_cfg cfg = {.workers = workers};
    set(&gate, 0), set(&asked, 0), set(&gave_up, 0);
    return vt_run(&cfg, fn, arg);
}
static int dial(void *addr) {
    vt_sock *s = NULL;
    int r = vt_dial(&s, addr, NULL);
    if (r >= 0) vt_sock_close(s);
    return r;
}

/* The resolver cannot be interrupted; who asked it leaves all the same, and what it fills in is freed afterwards. One that the
 * pool does not get to in time does not ask: another does. */
static int deadline_main(void *host) {
    vt_sock *s = NULL;
    int64_t end = vt_now() + 10 * VT_SEC;
    do CHECK_EQ(vt_dial_until(&s, host, NULL, vt_now() + 30 * VT_MS), -ETIMEDOUT);
    while (get(&asked) < 1 && vt_now() < end);
    do {
        vt_deadline_set(vt_now() + 30 * VT_MS);
        CHECK_EQ(dial(host), -ETIMEDOUT);
        vt_deadline_set(0);
    } while (get(&asked) < 2 && vt_now() < end);
    CHECK(get(&asked) >= 2 && !get(&gave_up));
    set(&gate, 1);
    return 0;
}
static void wherever(vt_fn *main_fn) {
    for (int workers = 1; workers <= 2; workers++) {
        CHECK_EQ(run_on(workers, main_fn, "some.test:80"), 0);
        CHECK_EQ(run_on(workers, main_fn, "none.test:80"), 0);
    }
}
TEST(a_dial_ends_at_its_deadline_while_it_resolves) { wherever(deadline_main); }
static int cancel_main(void *host) {
    vt_task *t = vt_async(dial, host);
    int r = 0;
    for (int64_t end = vt_now() + 15 * VT_SEC; !get(&asked) && vt_now() < end;) vt_sleep_ms(1);
    vt_cancel(t);
    CHECK_EQ(vt_await(t, &r), 0);
    CHECK_EQ(r, -ECANCELED);
    CHECK(!get(&gave_up));
    set(&gate, 1);
    return 0;
}
TEST(a_dial_is_cancelled_while_it_resolves) { wherever(cancel_main); }
static int answer_main(void *arg) {
    (void)arg;
    vt_task *t = vt_async(dial, "some.test:80"), *u = vt_async(dial, "none.test:80");
    int r = 0, q = 0;
    vt_sleep_ms(5);
    set(&gate, 1);
    CHECK(vt_await(t, &r) == 0 && vt_await(u, &q) == 0);
    CHECK_EQ(r, -ECONNREFUSED);
    CHECK_EQ(q, VT_ENAMETRY);
    return 0;
}
TEST(a_dial_goes_on_with_what_was_resolved) { CHECK_EQ(run_on(1, answer_main, NULL), 0); }

/*--- a Unix listener whose queue is full ---*/
enum { DIALS = 6 };
static int accept_late(void *arg) {
    vt_sock *s;
    int r = vt_sleep_ms(50);
    for (int i = 0; i < DIALS && r >= 0; i++)
        if ((r = vt_accept(arg, &s)) >= 0) vt_sock_close(s);
    return r;
}
/* Its own deadline is over, and does not count. */
static int dial_whenever(void *addr) {
    vt_sock *s = NULL;
    vt_deadline_set(vt_now());
    int r = vt_dial_until(&s, addr, NULL, VT_NONE);
    if (r >= 0) vt_sock_close(s);
    return r;
}
static int queue_main(void *arg) {
    vt_sock *l, *s[DIALS] = {NULL};
    vt_sock_cfg cfg = {.backlog = 1};
    char addr[64];
    int r, late = *(int *)arg;
    snprintf(addr, sizeof addr, "unix:@vt-dial-%d", (int)getpid());
    if ((r = vt_listen(&l, addr, &cfg)) < 0) return r;
    vt_task *t = late ? vt_async(accept_late, l) : NULL;
    int64_t end = vt_now() + 20 * VT_SEC;
    for (int i = 0; i < DIALS && r >= 0; i++)
        r = vt_dial_until(&s[i], addr, NULL, late ? end : vt_now() + 20 * VT_MS);
    if (!late) { /* nobody accepts */
        CHECK_EQ(r, -ETIMEDOUT);
        for (int own = 0; own < 2; own++) {
            vt_task *d = vt_async(own ? dial_whenever : dial, addr);
            vt_sleep_ms(10);
            CHECK(!vt_task_done(d));
            vt_cancel(d);
            CHECK(vt_await(d, &r) == 0 && r == -ECANCELED);
        }
        r = 0;
    } else {
        int accepted = 0;
        if (r < 0) vt_cancel(t);
        CHECK(vt_await(t, &accepted) == 0 && accepted == 0);
    }
    for (int i = 0; i < DIALS; i++)
        if (s[i]) vt_sock_close(s[i]);
    vt_sock_close(l);
    return r;
}
TEST(a_dial_waits_for_a_unix_listener) {
    CHECK_EQ(run_on(1, queue_main, &(int){1}), 0);
    CHECK_EQ(run_on(1, queue_main, &(int){0}), 0);
}

/*--- what stands where a Unix listener is to be ---*/
TEST(a_file_that_is_no_socket_is_left_alone) {
    const char *path = tmp_text("file", "data");
    char addr[140], text[8] = "";
    struct stat st;
    vt_sock *s;
    snprintf(addr, sizeof addr, "unix:%s", path);
    CHECK_EQ(vt_listen(&s, addr, NULL), -EADDRINUSE);
    FILE *f = fopen(path, "r");
    REQUIRE(f);
    CHECK(fgets(text, sizeof text, f) && strcmp(text, "data") == 0);
    fclose(f);
    unlink(path);
    REQUIRE(mkfifo(path, 0600) == 0);
    CHECK_EQ(vt_listen(&s, addr, NULL), -EADDRINUSE);
    CHECK(stat(path, &st) == 0 && S_ISFIFO(st.st_mode));
}

/*--- reads of nothing ---*/
static int nothing_main(void *arg) {
    int fds[2];
    char c = 0;
    vt_sock *s;
    (void)arg;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) return -errno;
    int r = vt_sock_from_fd_take(&s, fds[0]);
    if (r < 0) return r;
    CHECK_EQ(vt_read(s, &c, 0), 0);
    CHECK_EQ(vt_read_until(s, &c, 1, vt_now() + VT_MS), -ETIMEDOUT); /* it is known to be empty */
    CHECK_EQ(vt_read_until(s, &c, 0, vt_now() + 30 * VT_SEC), 0);
    CHECK(write(fds[1], "x", 1) == 1);
    CHECK_EQ(vt_read(s, &c, 0), 0);
    CHECK(vt_read(s, &c, 1) == 1 && c == 'x');
    vt_sock_close(s);
    close(fds[1]);
    return 0;
}
TEST(a_read_of_nothing_returns_at_once) { CHECK_EQ(run_on(1, nothing_main, NULL), 0); }
