/* tsan */
/* valgrind */
/* Channels and select: alone, against a model, in contention on several workers, closed, cancelled, out of memory. */
#define VTHTTP_SIM 1 /* for the allocator; everything else is the real thing */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "rt.h"
#include "blocks.h"

static int queued(vt_chan *c, vt__waitq *q) {
    int n = 0;
    vt__sync_lock(&c->flags, &c->spin);
    for (vt__waiter *w = q->head; w; w = w->next) n++;
    vt__sync_unlock(&c->flags, &c->spin);
    return n;
}
#define WAIT_FOR(cond)                                                                                       \
    do {                                                                                                     \
        for (int64_t end_ = vt_now() + 20 * VT_SEC; !(cond) && vt_now() < end_;) vt_sleep(50000);            \
        CHECK(cond);                                                                                         \
    } while (0)

/*--- without a vthread ---*/
TEST(waiting_forms_need_a_vthread_and_try_forms_do_not) {
    memory_begin();
    int x = 7, y = 0;
    vt_chan *none = vt_chan_new(sizeof x, 0, 0), *two = vt_chan_new(sizeof x, 2, 0),
            *any = vt_chan_new(sizeof x, VT_NONE, 0);
    CHECK_EQ(vt_chan_send(none, &x), -EPERM);
    CHECK_EQ(vt_chan_recv(any, &y), -EPERM);
    CHECK_EQ(vt_chan_send(any, &x), -EPERM);
    CHECK_EQ(vt_chan_send_try(none, &x), -EAGAIN);
    CHECK_EQ(vt_chan_recv_try(none, &y), -EAGAIN);
    CHECK_EQ(vt_chan_send_try(two, &x), 0);
    x = 8;
    CHECK_EQ(vt_chan_send_try(two, &x), 0);
    CHECK_EQ(vt_chan_send_try(two, &x), -EAGAIN);
    CHECK_EQ(vt_chan_len(two), 2);
    CHECK_EQ(vt_chan_recv_try(two, &y), 0);
    CHECK_EQ(y, 7);
    for (x = 0; x < 5000; x++) CHECK_EQ(vt_chan_send_try(any, &x), 0);
    vt_case c[] = {{.recv = none, .value = &y}, {.send = none, .value = &x}, {.recv = any, .value = &y}};
    CHECK_EQ(vt_select(c, 3), -EPERM);
    CHECK_EQ(vt_select_try(c, 2), -EAGAIN);
    for (x = 0; x < 5000; x++) {
        CHECK_EQ(vt_select_try(c, 3), 2);
        CHECK_EQ(y, x);
    }
    CHECK_EQ(vt_select_try(c, 3), -EAGAIN);
    CHECK_EQ(vt_chan_close(none), 0);
    CHECK_EQ(vt_chan_close(none), VT_ECLOSED);
    vt_chan_free(none);
    vt_chan_free(two); /* with a value in it */
    vt_chan_free(any);
    vt_chan_free(NULL);
    memory_end();
}
TEST(a_channel_that_could_not_be_made_returns_why) {
    int x = 0;
    memory_begin();
    fail_after = 0;
    vt_chan *bad[] = {vt_chan_new(4, 4, 0), vt_chan_new(VT_CHAN_SIZE_MAX + 1, 0, 0), vt_chan_new(4, -2, 0),
                      vt_chan_new(4, 0, 64), vt_chan_new(65536, INT64_MAX, 0)};
    static const int want[] = {-ENOMEM, -EINVAL, -EINVAL, -EINVAL, -ENOMEM};
    fail_after = -1;
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(vt_chan_send_try(bad[i], &x), want[i]);
        CHECK_EQ(vt_chan_recv_try(bad[i], &x), want[i]);
        CHECK_EQ(vt_chan_close(bad[i]), want[i]);
        CHECK_EQ(vt_select_try(&(vt_case){.recv = bad[i], .value = &x}, 1), want[i]);
        CHECK_EQ(vt_chan_len(bad[i]), 0);
        vt_chan_free(bad[i]);
        vt_chan_free(bad[i]);
    }
    memory_end();
}
TEST(an_unbounded_channel_without_memory_loses_nothing) {
    memory_begin();
    int64_t x, y;
    vt_chan *c = vt_chan_new(sizeof x, VT_NONE, 0);
    fail_after = 2; /* blocks */
    for (x = 0; vt_chan_send_try(c, &x) == 0; x++) CHECK(x < 10000);
    CHECK(x >= 2 * (VT__CHAN_BLOCK / 8) - 1);
    CHECK_EQ(vt_chan_send_try(c, &x), -ENOMEM);
    CHECK_EQ(vt_select_try(&(vt_case){.send = c, .value = &x}, 1), -ENOMEM);
    CHECK_EQ(vt_chan_len(c), x);
    fail_after = -1;
    CHECK_EQ(vt_select_try(&(vt_case){.send = c, .value = &x}, 1), 0);
    int64_t held = blocks;
    for (int64_t i = 0; i <= x; i++) {
        CHECK_EQ(vt_chan_recv_try(c, &y), 0);
        CHECK_EQ(y, i);
    }
    CHECK_EQ(vt_chan_recv_try(c, &y), -EAGAIN);
    CHECK(blocks < held);       /* drained blocks go, */
    CHECK(blocks <= 1 + 1 + 1); /* but for the open one and a spare */
    for (x = 0; x < 2000; x++) CHECK_EQ(vt_chan_send_try(c, &x), 0);
    vt_chan_free(c); /* with blocks in use */
    memory_end();
}

/*--- values ---*/
struct shape {
    size_t size;
    int64_t cap;
    uint32_t flags;
    bool any;
    vt_chan *c;
};
static void fill(unsigned char *p, size_t n, int i) {
    for (size_t k = 0; k < n; k++) p[k] = (unsigned char)(i * 31 + (int)k);
}
enum { PASSED = 300 };
static int pass_values(void *arg) {
    struct shape *s = arg;
    unsigned char *v = malloc(s->size + 1);
    for (int i = 0; i < PASSED; i++) {
        fill(v, s->size, i);
        CHECK_EQ(vt_chan_send(s->c, v), 0);
        memset(v, 0xee, s->size); /* a copy was made */
    }
    free(v);
    return 0;
}
static int values_main(void *arg) {
    struct shape *s = arg;
    unsigned char *v = malloc(s->size + 1), *want = malloc(s->size + 1);
    vt_task *t = s->any ? vt_async_any(pass_values, s) : vt_async(pass_values, s);
    v[s->size] = 0xa5;
    for (int i = 0; i < PASSED; i++) {
        CHECK_EQ(vt_chan_recv(s->c, v), 0);
        fill(want, s->size, i);
        CHECK(memcmp(v, want, s->size) == 0);
        CHECK_EQ(v[s->size], 0xa5);
    }
    CHECK_EQ(result(t), 0);
    CHECK_EQ(vt_chan_len(s->c), 0);
    free(v);
    free(want);
    return 0;
}
TEST(values_of_every_size_arrive_whole_and_in_order) {
    static const size_t sizes[] = {0, 1, 4, 8, 24, 3000, 65536};
    static const int64_t caps[] = {0, 1, 7, VT_NONE};
    memory_begin();
    for (size_t i = 0; i < VT__COUNT(sizes); i++)
        for (size_t k = 0; k < VT__COUNT(caps); k++)
            for (int how = 0; how < 3; how++) {
                struct shape s = {sizes[i], caps[k], how == 1 ? VT_LOCAL : 0, how == 2, NULL};
                s.c = vt_chan_new(s.size, s.cap, s.flags);
                CHECK_EQ(run_on(how == 2 ? 2 : 1, values_main, &s), 0);
                vt_chan_free(s.c);
            }
    memory_end();
}
static int self_main(void *arg) {
    vt_chan *c = arg;
    int y = -1;
    for (int x = 0; x < 3000; x++) CHECK_EQ(vt_chan_send(c, &x), 0);
    for (int x = 0; x < 3000; x++) {
        CHECK_EQ(vt_chan_recv(c, &y), 0);
        CHECK_EQ(y, x);
    }
    CHECK_EQ(vt_chan_recv_until(c, &y, vt_now() + VT_MS), -ETIMEDOUT);
    return 0;
}
TEST(a_vthread_can_post_to_itself) {
    vt_chan *c = vt_chan_new(sizeof(int), VT_NONE, 0);
    CHECK_EQ(run_on(1, self_main, c), 0);
    vt_chan_free(c);
}

/*--- who comes first ---*/
static struct {
    vt_chan *c;
    int order[32], n, got[32];
} line;
static int recv_in_turn(void *arg) {
    int i = (int)(intptr_t)arg, x = -1, r = vt_chan_recv(line.c, &x);
    line.got[i] = r < 0 ? r : x;
    return r;
}
static int send_in_turn(void *arg) {
    int i = (int)(intptr_t)arg;
    return vt_chan_send(line.c, &i);
}
static int turns_main(void *arg) {
    bool any = *(bool *)arg;
    vt_task *t[8];
    int x;
    for (int i = 0; i < 8; i++) {
        t[i] = spawn(recv_in_turn, i, any);
        WAIT_FOR(queued(line.c, &line.c->recvq) == i + 1);
    }
    vt_cancel(t[3]);
    CHECK_EQ(result(t[3]), -ECANCELED);
    for (int i = 0; i < 8; i++)
        if (i != 3) x = 100 + i, CHECK_EQ(vt_chan_send_try(line.c, &x), 0);
    for (int i = 0; i < 8; i++)
        if (i != 3) CHECK_EQ(result(t[i]), 0), CHECK_EQ(line.got[i], 100 + i);
    for (int64_t i = 0; i < line.c->cap; i++) x = -1, CHECK_EQ(vt_chan_send_try(line.c, &x), 0);
    for (int i = 0; i < 8; i++) {
        t[i] = spawn(send_in_turn, i, any);
        WAIT_FOR(queued(line.c, &line.c->sendq) == i + 1);
    }
    x = 99;
    CHECK_EQ(vt_chan_send_try(line.c, &x), -EAGAIN); /* those who wait come first */
    vt_cancel(t[5]);
    CHECK_EQ(result(t[5]), -ECANCELED);
    for (int64_t i = 0; i < line.c->cap; i++) CHECK_EQ(vt_chan_recv_try(line.c, &x), 0), CHECK_EQ(x, -1);
    for (int i = 0; i < 8; i++)
        if (i != 5) CHECK_EQ(vt_chan_recv_try(line.c, &x), 0), CHECK_EQ(x, i);
    CHECK_EQ(vt_chan_recv_try(line.c, &x), -EAGAIN);
    for (int i = 0; i < 8; i++)
        if (i != 5) CHECK_EQ(result(t[i]), 0);
    return 0;
}
/* On one worker, without atomics, on several; unbuffered and with room for three. */
static void everywhere(vt_fn *main_fn) {
    for (int how = 0; how < 3; how++)
        for (int64_t cap = 0; cap < 4; cap += 3) {
            bool any = how == 2;
            line.c = vt_chan_new(sizeof(int), cap, how == 1 ? VT_LOCAL : 0);
            CHECK_EQ(run_on(any ? 3 : 1, main_fn, &any), 0);
            vt_chan_free(line.c);
        }
}
TEST(waiters_are_served_in_order) { everywhere(turns_main); }

/* Who finds every receiver waiting never waits itself; the receivers have their turns all the same. */
static struct {
    vt_chan *c;
    int got;
} given;
static int receives_one(void *arg) {
    uint64_t x;
    (void)arg;
    CHECK_EQ(vt_chan_recv(given.c, &x), 0);
    return given.got++;
}
static int gives_main(void *arg) {
    vt_task *t[3 * VT__SCHED_FUEL];
    uint64_t x = 1;
    (void)arg;
    for (int i = 0; i < 3 * VT__SCHED_FUEL; i++) t[i] = vt_async(receives_one, NULL);
    CHECK_EQ(vt_yield(), 0);
    for (int i = 0; i < 3 * VT__SCHED_FUEL; i++) CHECK_EQ(vt_chan_send(given.c, &x), 0);
    CHECK(given.got >= VT__SCHED_FUEL);
    for (int i = 0; i < 3 * VT__SCHED_FUEL; i++) (void)result(t[i]);
    return 0;
}
TEST(who_finds_the_other_side_waiting_lets_others_run) {
    for (uint32_t flags = 0; flags <= VT_LOCAL; flags += VT_LOCAL)
        for (size_t size = 4; size <= 8; size += 4) {
            given.c = vt_chan_new(size, 0, flags);
            given.got = 0;
            CHECK_EQ(run_on(1, gives_main, NULL), 0);
            vt_chan_free(given.c);
        }
}

/*--- close ---*/
static int close_main(void *arg) {
    bool any = *(bool *)arg;
    vt_task *t[6];
    int x = 5;
    for (int i = 0; i < 3; i++) t[i] = spawn(recv_in_turn, i, any);
    WAIT_FOR(queued(line.c, &line.c->recvq) == 3);
    CHECK_EQ(vt_chan_close(line.c), 0);
    CHECK_EQ(vt_chan_close(line.c), VT_ECLOSED);
    for (int i = 0; i < 3; i++) CHECK_EQ(result(t[i]), VT_ECLOSED);
    CHECK_EQ(vt_chan_send(line.c, &x), VT_ECLOSED);
    CHECK_EQ(vt_chan_send_try(line.c, &x), VT_ECLOSED);
    CHECK_EQ(vt_chan_recv(line.c, &x), VT_ECLOSED);
    CHECK_EQ(x, 5);

    vt_chan *old = line.c;
    line.c = vt_chan_new(sizeof(int), old->cap, old->flags & VT_LOCAL);
    vt_chan_free(old);
    int cap = (int)line.c->cap;
    for (int i = 0; i < cap; i++) CHECK_EQ(vt_chan_send(line.c, &i), 0);
    for (int i = 0; i < 3; i++) t[i] = spawn(send_in_turn, 50 + i, any);
    WAIT_FOR(queued(line.c, &line.c->sendq) == 3);
    CHECK_EQ(vt_chan_close(line.c), 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(result(t[i]), VT_ECLOSED); /* at once */
    vt_case c = {.recv = line.c, .value = &x}, d = {.send = line.c, .value = &x};
    CHECK_EQ(vt_select(&d, 1), 0);
    CHECK_EQ(d.result, VT_ECLOSED);
    for (int i = 0; i < cap; i++) {
        CHECK_EQ(i % 2 ? vt_chan_recv(line.c, &x) : vt_select(&c, 1),
                 0); /* what is buffered is still given */
        CHECK_EQ(c.result, 0);
        CHECK_EQ(x, i);
    }
    CHECK_EQ(vt_chan_recv(line.c, &x), VT_ECLOSED);
    CHECK_EQ(vt_select(&c, 1), 0);
    CHECK_EQ(c.result, VT_ECLOSED);
    return 0;
}
TEST(close_wakes_everybody_and_lets_receivers_drain) { everywhere(close_main); }

/*--- result before cancel before time-out ---*/
static int recv_then_hear(void *arg) {
    int x = -1, *out = arg;
    int r = vt_chan_recv(line.c, &x);
    *out = x;
    CHECK_EQ(vt_chan_recv(line.c, &x), -ECANCELED); /* the next call reports it */
    CHECK_EQ(vt_chan_send(line.c, &x), -ECANCELED);
    CHECK_EQ(vt_select(&(vt_case){.recv = line.c, .value = &x}, 1), -ECANCELED);
    return r;
}
static int select_then_hear(void *arg) {
    int x = -1, *out = arg;
    vt_case c[2] = {{.recv = line.c, .value = &x}, {.at = vt_now() + 50 * VT_SEC}};
    int r = vt_select(c, 2);
    *out = x;
    CHECK_EQ(vt_chan_recv(line.c, &x), -ECANCELED);
    return r;
}
static int send_then_hear(void *arg) {
    (void)arg;
    int x = 77, r = vt_chan_send(line.c, &x);
    CHECK_EQ(vt_chan_send(line.c, &x), -ECANCELED);
    return r;
}
static int soon(void *arg) {
    int x = 3;
    return arg ? vt_chan_send_until(line.c, &x, vt_now() + VT_MS)
               : vt_chan_recv_until(line.c, &x, vt_now() + VT_MS);
}
static int send_cancelled(void *arg) {
    int x = 13;
    (void)arg;
    CHECK_EQ(vt_sleep(50 * VT_SEC), -ECANCELED);
    return vt_chan_send(line.c, &x);
}
static int order_main(void *arg) {
    int x = 41, got = 0;
    (void)arg;
    vt_task *t = vt_async(recv_then_hear, &got);
    vt_yield();
    CHECK_EQ(vt_chan_send(line.c, &x), 0);
    vt_cancel(t); /* it has the value already */
    CHECK_EQ(result(t), 0);
    CHECK_EQ(got, 41);
    t = vt_async(select_then_hear, &got);
    vt_yield();
    x = 42;
    CHECK_EQ(vt_chan_send(line.c, &x), 0);
    vt_cancel(t);
    CHECK_EQ(result(t), 0);
    CHECK_EQ(got, 42);
    t = vt_async(send_then_hear, NULL);
    vt_yield();
    CHECK_EQ(vt_chan_recv(line.c, &x), 0);
    CHECK_EQ(x, 77);
    vt_cancel(t); /* the value was taken: sent */
    CHECK_EQ(result(t), 0);
    t = vt_async(send_then_hear, NULL);
    vt_yield();
    vt_cancel(t);
    CHECK_EQ(vt_chan_recv_try(line.c, &x), -EAGAIN); /* taken back */
    CHECK_EQ(result(t), -ECANCELED);
    vt_task *u = vt_async(soon, NULL);
    t = vt_async(send_cancelled, NULL);
    vt_yield();
    vt_cancel(t); /* before it sends: nothing is sent, though somebody waits */
    CHECK_EQ(result(t), -ECANCELED);
    CHECK_EQ(result(u), -ETIMEDOUT);
    CHECK_EQ(soon(NULL), -ETIMEDOUT);
    CHECK_EQ(soon(line.c), -ETIMEDOUT);
    CHECK(!line.c->recvq.head && !line.c->sendq.head);
    t = vt_async(soon, NULL); /* the value comes with its deadline passed, before the timer is looked at */
    vt_yield();
    vt__plat_sleep(3 * VT_MS);
    x = 9;
    CHECK_EQ(vt_chan_send_try(line.c, &x), 0);
    CHECK_EQ(result(t), 0);
    vt_deadline_set(vt_now() + VT_MS);
    CHECK_EQ(vt_chan_recv(line.c, &x), -ETIMEDOUT);
    CHECK_EQ(vt_select(&(vt_case){.recv = line.c, .value = &x}, 1), -ETIMEDOUT);
    CHECK_EQ(vt_chan_recv_until(line.c, &x, vt_now() + VT_SEC), -ETIMEDOUT);
    vt_deadline_set(0);
    return 0;
}
TEST(a_value_that_changed_hands_is_never_lost) {
    for (uint32_t local = 0; local < 2; local++) {
        line.c = vt_chan_new(sizeof(int), 0, local);
        CHECK_EQ(run_on(1, order_main, NULL), 0);
        vt_chan_free(line.c);
    }
}

/*--- select ---*/
static int select_edges_main(void *arg) {
    int x = 1, y = 0, fds[2];
    vt_chan *a = vt_chan_new(sizeof x, 1, 0), *b = vt_chan_new(sizeof x, 0, 0);
    vt_case many[VT_SELECT_MAX + 1];
    (void)arg;
    memset(many, 0, sizeof many);
    CHECK_EQ(vt_select(many, VT_SELECT_MAX + 1), -EINVAL);
    CHECK_EQ(vt_select(many, -1), -EINVAL);
    CHECK_EQ(vt_select_until(many, 0, vt_now() + VT_MS), -ETIMEDOUT); /* nothing to wait for but the time */
    CHECK_EQ(vt_select_until(many, VT_SELECT_MAX, vt_now() + VT_MS), -ETIMEDOUT);
    CHECK_EQ(vt_select_try(many, VT_SELECT_MAX), -EAGAIN);
    CHECK_EQ(vt_select(&(vt_case){.recv = a, .send = b}, 1), -EINVAL);
    CHECK_EQ(vt_select(&(vt_case){.events = 8, .fd = 0}, 1), -EINVAL);
    CHECK_EQ(vt_select(&(vt_case){.events = VT_READ, .fd = -1}, 1), -EBADF);
    CHECK_EQ(vt_select(&(vt_case){.events = VT_READ, .fd = 9999}, 1), -EBADF);
    CHECK_EQ(vt_select(&(vt_case){.at = 1}, 1), 0);
    CHECK_EQ(vt_select_until(&(vt_case){.at = VT_NONE}, 1, vt_now() + VT_MS), -ETIMEDOUT);
    for (int i = 0; i < VT_SELECT_MAX; i++) many[i].recv = i % 2 ? a : b, many[i].value = &y;
    CHECK_EQ(vt_select_until(many, VT_SELECT_MAX, vt_now() + VT_MS), -ETIMEDOUT);
    CHECK(!a->recvq.head && !b->recvq.head && !b->recvq.tail);
    CHECK_EQ(vt_chan_send(a, &x), 0);
    int r = vt_select(many, VT_SELECT_MAX);
    CHECK(r >= 0 && r % 2 == 1);
    CHECK_EQ(y, 1);
    vt_case self[] = {{.recv = b, .value = &y}, {.send = b, .value = &x}}; /* never meets itself */
    CHECK_EQ(vt_select_try(self, 2), -EAGAIN);
    CHECK_EQ(vt_select_until(self, 2, vt_now() + VT_MS), -ETIMEDOUT);
    vt_case both[] = {{.recv = a, .value = &y}, {.send = a, .value = &x}};
    CHECK_EQ(vt_select(both, 2), 1);
    CHECK_EQ(vt_select(both, 2), 0);
    /* timers: a case's, the call's, whichever is earlier */
    vt_case timed[] = {
        {.at = vt_now() + 50 * VT_SEC}, {.at = vt_now() + 2 * VT_MS}, {.recv = b, .value = &y}};
    CHECK_EQ(vt_select_until(timed, 3, vt_now() + 40 * VT_SEC), 1);
    CHECK_EQ(vt_select_until(timed, 1, vt_now() + VT_MS), -ETIMEDOUT);
    CHECK_EQ(vt_select_try(timed, 1), -EAGAIN);
    /* descriptors */
    if (pipe(fds) < 0) return -1;
    vt_case fd[] = {{.fd = fds[0], .events = VT_READ},
                    {.recv = b, .value = &y},
                    {.fd = fds[0], .events = VT_READ},
                    {.fd = fds[1], .events = VT_WRITE | VT_READ}};
    CHECK_EQ(vt_select_try(fd, 3), -EAGAIN);
    CHECK_EQ(vt_select_until(fd, 3, vt_now() + VT_MS), -ETIMEDOUT);
    CHECK_EQ(vt_select(fd, 4), 3);
    CHECK_EQ(fd[3].result, VT_WRITE);
    CHECK(write(fds[1], "x", 1) == 1);
    r = vt_select(fd, 3);
    CHECK(r == 0 || r == 2);
    CHECK_EQ(fd[r].result, VT_READ);
    close(fds[1]);
    CHECK(read(fds[0], &y, 1) == 1);
    CHECK_EQ(vt_select(fd, 1), 0); /* hung up: try */
    close(fds[0]);
    vt_chan_free(a);
    vt_chan_free(b);
    return 0;
}
TEST(select_at_its_edges) {
    memory_begin();
    CHECK_EQ(run_on(1, select_edges_main, NULL), 0);
    memory_end();
}
struct pick {
    vt_case *c;
    int r;
};
static int pick_one(void *arg) {
    struct pick *p = arg;
    return p->r = vt_select(p->c, 2);
}
TEST(select_without_memory_for_a_descriptor) {
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    vt_case fd[] = {{.fd = fds[0], .events = VT_READ}, {.recv = vt_chan_new(1, 0, 0)}};
    vt_cfg cfg = {.workers = 1};
    memory_begin();
    REQUIRE(vt_open(&cfg) == 0);
    struct pick p = {fd, 1};
    CHECK_EQ(vt_go(pick_one, &p), 0);
    fail_after = 0;
    (void)vt_run_once(0);
    fail_after = -1;
    CHECK_EQ(p.r, -ENOMEM);
    CHECK(!fd[1].recv->recvq.head);
    vt_shutdown();
    memory_end();
    vt_chan_free(fd[1].recv);
    close(fds[0]);
    close(fds[1]);
}
/* What waits on descriptors beside a select. */
static struct {
    vt_chan *c;
    int fd, other;
} by_fd;
static int select_reads(void *arg) {
    int x = 0;
    vt_case c[] = {
        {.recv = by_fd.c, .value = &x}, {.fd = by_fd.fd, .events = VT_READ}, {.at = vt_now() + 50 * VT_SEC}};
    (void)arg;
    return vt_select(c, 3);
}
static int wait_writes(void *arg) {
    (void)arg;
    return vt_wait_fd(by_fd.fd, VT_WRITE, vt_now() + 50 * VT_SEC);
}
static int by_fd_main(void *arg) {
    int s[2], x = 0, n = 65536;
    char junk[4096] = {0};
    (void)arg;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) < 0) return -1;
    by_fd.fd = s[0], by_fd.other = s[1];
    (void)setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &n, sizeof n);
    while (send(s[0], junk, sizeof junk, MSG_DONTWAIT) > 0) continue; /* no room to write */
    vt_task *t = vt_async(select_reads, NULL), *u = vt_async(wait_writes, NULL);
    vt_sleep(VT_MS);
    CHECK_EQ(vt_wait_fd(s[0], VT_READ, vt_now() + VT_MS), -EBUSY);
    CHECK_EQ(vt_select(&(vt_case){.fd = s[0], .events = VT_READ}, 1), -EBUSY);
    CHECK_EQ(vt_chan_send(by_fd.c, &x), 0); /* the select leaves, the writer stays armed */
    CHECK_EQ(result(t), 0);
    t = vt_async(select_reads, NULL);
    vt_sleep(VT_MS);
    CHECK(write(s[1], "x", 1) == 1);
    CHECK_EQ(result(t), 1);
    CHECK(!vt_task_done(u));
    CHECK(read(s[0], junk, 1) == 1);
    for (ssize_t r; (r = recv(s[1], junk, sizeof junk, MSG_DONTWAIT)) > 0;) continue;
    CHECK_EQ(result(u), VT_WRITE); /* armed again for it when the select left */
    t = vt_async(select_reads, NULL);
    vt_sleep(VT_MS);
    vt_cancel(t);
    CHECK_EQ(result(t), -ECANCELED);
    t = vt_async(select_reads, NULL);
    vt_sleep(VT_MS);
    CHECK(write(s[1], "x", 1) == 1); /* both at once: one of them happens */
    x = 3;
    int sent = vt_chan_send_try(by_fd.c, &x), r = result(t);
    CHECK(r == 0 || r == 1);
    CHECK_EQ(sent, r == 0 ? 0 : -EAGAIN);
    CHECK(!by_fd.c->recvq.head);
    close(s[0]);
    close(s[1]);
    return 0;
}
/* A cancel between a descriptor's wake-up and the next look, when somebody else has taken what was to be read. */
static int robbed_main(void *arg) {
    int fd[2], x;
    (void)arg;
    if (pipe(fd) < 0) return -1;
    by_fd.fd = fd[0];
    vt_task *t = vt_async(select_reads, NULL);
    WAIT_FOR(queued(by_fd.c, &by_fd.c->recvq) == 1);
    const vt__sel *s = t->v->wait_obj;
    CHECK(write(fd[1], "x", 1) == 1);
    while (s->claim.by != VT__CLAIM_FD) (void)vt_yield(); /* we stand before it in the queue */
    CHECK(read(fd[0], &x, 1) == 1);
    vt_cancel(t);
    CHECK_EQ(result(t), -ECANCELED);
    t = vt_async(select_reads, NULL); /* robbed, and not cancelled: it goes on waiting */
    WAIT_FOR(queued(by_fd.c, &by_fd.c->recvq) == 1);
    s = t->v->wait_obj;
    CHECK(write(fd[1], "x", 1) == 1);
    while (s->claim.by != VT__CLAIM_FD) (void)vt_yield();
    CHECK(read(fd[0], &x, 1) == 1);
    vt_sleep(VT_MS);
    CHECK(!vt_task_done(t));
    CHECK(write(fd[1], "x", 1) == 1);
    CHECK_EQ(result(t), 1);
    close(fd[0]);
    close(fd[1]);
    return 0;
}
TEST(a_descriptor_that_is_ready_no_more_is_waited_for_again) {
    by_fd.c = vt_chan_new(sizeof(int), 0, 0);
    CHECK_EQ(run_on(1, robbed_main, NULL), 0);
    vt_chan_free(by_fd.c);
}
/* Two descriptors ready at once, in one batch of events; and a value and a descriptor at the same moment. */
static int select_two(void *arg) {
    int *fd = arg, x;
    vt_case c[] = {
        {.fd = fd[0], .events = VT_READ}, {.fd = fd[2], .events = VT_READ}, {.recv = by_fd.c, .value = &x}};
    int r = vt_select(c, 3);
    return r == 2 && c[2].result < 0 ? c[2].result : r;
}
static int nothing(void *arg) {
    (void)arg;
    return 0;
}
static int at_once_main(void *arg) {
    int fd[4], count[3] = {0}, x = 0;
    char junk;
    if (pipe(fd) < 0 || pipe(fd + 2) < 0) return -1;
    /* which one comes first is chance: until each has */
    for (int i = 0; i < (SLOW ? 50 : 300) || (i < 5000 && !(count[0] && count[1] && count[2])); i++) {
        vt_task *t = arg ? vt_async_any(select_two, fd) : vt_async(select_two, fd), *crowd[300];
        WAIT_FOR(queued(by_fd.c, &by_fd.c->recvq) == 1);
        int n = i % 4 == 3 ? 300 : 0, sent = 0; /* behind a crowd events come before its turn */
        for (int k = 0; k < n; k++) crowd[k] = vt_async(nothing, NULL);
        CHECK(i % 4 == 1 || write(fd[1], "x", 1) == 1);
        if (i % 4 != 0) sent = vt_chan_send_try(by_fd.c, &x) == 0;
        CHECK(i % 4 == 1 || write(fd[3], "x", 1) == 1);
        if (i % 8 > 4) vt__plat_sleep(VT__SCHED_POLL_NS);
        int r = result(t);
        if (r < 0 || r > 2) return -EIO;
        count[r]++;
        CHECK_EQ(r == 2, sent); /* a value that was taken is reported, one that is not is not sent */
        if (i % 4 != 1) CHECK(read(fd[0], &junk, 1) == 1 && read(fd[2], &junk, 1) == 1);
        for (int k = 0; k < n; k++) CHECK_EQ(result(crowd[k]), 0);
    }
    for (int k = 0; k < 3; k++) CHECK(count[k] > 0);
    CHECK(!by_fd.c->recvq.head);
    for (int k = 0; k < 4; k++) close(fd[k]);
    return 0;
}
TEST(one_case_happens_of_several_at_once) {
    by_fd.c = vt_chan_new(sizeof(int), 0, 0);
    CHECK_EQ(run_on(1, at_once_main, NULL), 0);
    CHECK_EQ(run_on(3, at_once_main, by_fd.c), 0);
    vt_chan_free(by_fd.c);
}
TEST(select_shares_descriptors_with_other_waits) {
    by_fd.c = vt_chan_new(sizeof(int), 0, 0);
    CHECK_EQ(run_on(1, by_fd_main, NULL), 0);
    vt_chan_free(by_fd.c);
}

enum { CHOICES = 4000 };
struct fair {
    vt_chan *c[3];
    int fd;
    unsigned char chosen[CHOICES];
};
static int fair_main(void *arg) {
    struct fair *f = arg;
    int x = 0, count[5] = {0};
    vt_case c[] = {{.recv = f->c[0], .value = &x},
                   {.recv = f->c[1], .value = &x},
                   {.send = f->c[2], .value = &x},
                   {.at = 1},
                   {.fd = f->fd, .events = VT_READ}};
    for (int i = 0; i < CHOICES; i++) {
        int r = vt_select(c, 5);
        if (r < 0 || r > 4) return -EIO;
        count[r]++;
        f->chosen[i] = (unsigned char)r;
        if (r < 2) CHECK_EQ(vt_chan_send(f->c[r], &x), 0);
        if (r == 2) CHECK_EQ(vt_chan_recv(f->c[2], &x), 0);
    }
    for (int i = 0; i < 5; i++) CHECK(count[i] > CHOICES / 5 - 160 && count[i] < CHOICES / 5 + 160);
    return 0;
}
TEST(select_is_fair_and_the_same_in_every_run) {
    static struct fair f, g;
    int x = 0, fds[2];
    REQUIRE(pipe(fds) == 0 && write(fds[1], "x", 1) == 1);
    f.fd = fds[0];
    for (int i = 0; i < 3; i++) f.c[i] = vt_chan_new(sizeof x, 1, 0);
    CHECK_EQ(vt_chan_send_try(f.c[0], &x) + vt_chan_send_try(f.c[1], &x), 0);
    g = f;
    CHECK_EQ(run_on(1, fair_main, &f), 0);
    CHECK_EQ(run_on(1, fair_main, &g), 0);
    CHECK_MEM(f.chosen, CHOICES, g.chosen, CHOICES);
    for (int i = 0; i < 3; i++) vt_chan_free(f.c[i]);
    close(fds[0]);
    close(fds[1]);
}

/*--- against a model: one worker, actors that each carry out one operation at a time ---*/
enum { ACTORS = 6, CHANS = 4, CASES_MAX = 5, STEPS = SLOW ? 1500 : 12000 };
struct actor {
    vt_task *task;
    vt_sem go;
    vt_case c[CASES_MAX];
    int value[CASES_MAX];
    int n, plain, result, index;
    bool busy, done;
    /* the model's view */
    bool waits;
    int want_index, want_result, want_value;
};
struct node {
    int actor, index;
};
static struct {
    struct actor a[ACTORS];
    vt_chan *c[CHANS];
    struct {
        int cap, n, nr, ns;
        bool closed;
        int buf[4096];
        struct node r[ACTORS * CASES_MAX], s[ACTORS * CASES_MAX];
    } m[CHANS];
    uint64_t rng;
    int next_value, outcomes[6];
} world;

static int actor_main(void *arg) {
    struct actor *a = arg;
    for (;;) {
        int r = vt_sem_acquire(&a->go);
        if (r < 0) return r;
        if (a->n < 0) return 0;
        if (a->plain) {
            r = a->c[0].send ? vt_chan_send(a->c[0].send, a->c[0].value)
                             : vt_chan_recv(a->c[0].recv, a->c[0].value);
            a->index = r == -ECANCELED ? r : 0;
            a->c[0].result = r;
        } else {
            a->index = vt_select(a->c, a->n);
        }
        a->done = true;
        if (a->index == -ECANCELED) return 0;
    }
}
static int chan_no(const vt_case *c) {
    for (int i = 0; i < CHANS; i++)
        if (vt__chan_of(c) == world.c[i]) return i;
    return -1;
}
static void model_unqueue(int actor) {
    for (int k = 0; k < CHANS; k++) {
        int n = 0;
        for (int i = 0; i < world.m[k].nr; i++)
            if (world.m[k].r[i].actor != actor) world.m[k].r[n++] = world.m[k].r[i];
        world.m[k].nr = n;
        n = 0;
        for (int i = 0; i < world.m[k].ns; i++)
            if (world.m[k].s[i].actor != actor) world.m[k].s[n++] = world.m[k].s[i];
        world.m[k].ns = n;
    }
}
static void model_finish(int actor, int index, int result, int value) {
    struct actor *a = &world.a[actor];
    model_unqueue(actor);
    a->waits = false;
    a->want_index = index;
    a->want_result = result;
    a->want_value = value;
}
static bool model_ready(const vt_case *c) {
    int k = chan_no(c);
    if (k < 0) return false;
    if (c->send) return world.m[k].closed || world.m[k].nr || world.m[k].n < world.m[k].cap;
    return world.m[k].closed || world.m[k].n || world.m[k].ns;
}
/* The case happens, to whoever else that concerns; its own result and value go to *r and *v. */
static void model_do(const vt_case *c, int sent, int *r, int *v) {
    int k = chan_no(c);
    *r = 0;
    *v = -1;
    if (c->send) {
        if (world.m[k].closed) *r = VT_ECLOSED;
        else if (world.m[k].nr) model_finish(world.m[k].r[0].actor, world.m[k].r[0].index, 0, sent);
        else world.m[k].buf[world.m[k].n++] = sent;
        return;
    }
    bool buffered = world.m[k].n > 0;
    if (buffered) {
        *v = world.m[k].buf[0];
        memmove(world.m[k].buf, world.m[k].buf + 1, (size_t)--world.m[k].n * sizeof(int));
    }
    if (world.m[k].ns) {
        struct node s = world.m[k].s[0];
        int x = world.a[s.actor].value[s.index];
        if (buffered) world.m[k].buf[world.m[k].n++] = x;
        else *v = x;
        model_finish(s.actor, s.index, 0, -1);
    } else if (!buffered) {
        *r = VT_ECLOSED;
    }
}
static void model_wait(int i) {
    struct actor *a = &world.a[i];
    a->waits = true;
    for (int k = 0; k < a->n; k++) {
        int ch = chan_no(&a->c[k]);
        if (ch < 0) continue;
        if (a->c[k].send) world.m[ch].s[world.m[ch].ns++] = (struct node){i, k};
        else world.m[ch].r[world.m[ch].nr++] = (struct node){i, k};
    }
}
static void settle(void) {
    for (int i = 0; i < 3 * ACTORS; i++) (void)vt_yield();
}
static void compare(void) {
    for (int i = 0; i < ACTORS; i++) {
        struct actor *a = &world.a[i];
        if (!a->busy) continue;
        CHECK_EQ(a->done, !a->waits);
        if (!a->done || a->waits) continue;
        CHECK_EQ(a->index, a->want_index);
        if (a->index >= 0 && a->index == a->want_index) {
            const vt_case *c = &a->c[a->index];
            CHECK_EQ(c->result, a->want_result);
            if (c->recv && c->result == 0) CHECK_EQ(a->value[a->index], a->want_value);
        }
        a->busy = false;
    }
    for (int k = 0; k < CHANS; k++) {
        CHECK_EQ(vt_chan_len(world.c[k]), world.m[k].n);
        CHECK_EQ(queued(world.c[k], &world.c[k]->recvq), world.m[k].nr);
        CHECK_EQ(queued(world.c[k], &world.c[k]->sendq), world.m[k].ns);
    }
}
static void chan_renew(int k) {
    int64_t cap = (int64_t)(test_rand(&world.rng) % 5) - 1;
    if (world.c[k]) vt_chan_free(world.c[k]);
    world.c[k] = vt_chan_new(sizeof(int), cap, test_rand(&world.rng) & VT_LOCAL);
    memset(&world.m[k], 0, sizeof world.m[k]);
    world.m[k].cap = cap < 0 ? 4096 : (int)cap;
}
static void random_case(struct actor *a, int k) {
    uint64_t x = test_rand(&world.rng);
    memset(&a->c[k], 0, sizeof a->c[k]);
    a->c[k].value = &a->value[k];
    a->value[k] = world.next_value++;
    if (x % 16 == 15) return; /* takes no part */
    if (x & 1) a->c[k].send = world.c[x / 16 % CHANS];
    else a->c[k].recv = world.c[x / 16 % CHANS];
}
static void step_operation(int i) {
    struct actor *a = &world.a[i];
    a->plain = test_rand(&world.rng) % 2;
    a->n = a->plain ? 1 : (int)(test_rand(&world.rng) % (CASES_MAX + 1));
    for (int k = 0; k < a->n; k++) do
            random_case(a, k);
        while (a->plain && !vt__chan_of(&a->c[k]));
    int sent[CASES_MAX], r, v;
    bool ready[CASES_MAX], any = false;
    for (int k = 0; k < a->n; k++) {
        sent[k] = a->value[k];
        any |= ready[k] = model_ready(&a->c[k]);
    }
    a->busy = true;
    a->done = false;
    vt_sem_release(&a->go, 1);
    settle();
    world.outcomes[any ? 0 : 1]++;
    if (!any) {
        model_wait(i);
        return;
    }
    CHECK(a->done && a->index >= 0 && a->index < a->n && ready[a->index]); /* which one, it may choose */
    if (!a->done || a->index < 0) return;
    model_do(&a->c[a->index], sent[a->index], &r, &v);
    model_finish(i, a->index, r, v);
}
static void step(void) {
    uint64_t x = test_rand(&world.rng);
    int i = (int)(x / 64 % ACTORS), k = (int)(x / 1024 % CHANS);
    struct actor *a = &world.a[i];
    if (x % 64 == 0) { /* close; what has been closed for a while is made anew */
        int r = vt_chan_close(world.c[k]);
        CHECK_EQ(r, world.m[k].closed ? VT_ECLOSED : 0);
        bool again = world.m[k].closed;
        world.m[k].closed = true;
        while (world.m[k].nr) model_finish(world.m[k].r[0].actor, world.m[k].r[0].index, VT_ECLOSED, -1);
        while (world.m[k].ns) model_finish(world.m[k].s[0].actor, world.m[k].s[0].index, VT_ECLOSED, -1);
        settle();
        world.outcomes[2]++;
        if (again) chan_renew(k);
    } else if (x % 64 < 8 && world.a[i].busy) { /* cancel one that waits, and put another in its place */
        vt_cancel(a->task);
        model_finish(i, -ECANCELED, 0, -1);
        settle();
        CHECK(vt_task_done(a->task));
        CHECK_EQ(result(a->task), 0);
        CHECK_EQ(a->index, -ECANCELED);
        a->busy = false;
        a->task = vt_async(actor_main, a);
        world.outcomes[3]++;
    } else if (x % 64 < 16) { /* try, from here */
        struct actor mine;
        int r, v, got;
        random_case(&mine, 0);
        if (!vt__chan_of(&mine.c[0])) return;
        bool ready = model_ready(&mine.c[0]);
        got = mine.c[0].send ? vt_chan_send_try(mine.c[0].send, mine.value)
                             : vt_chan_recv_try(mine.c[0].recv, mine.value);
        world.outcomes[4]++;
        if (!ready) {
            CHECK_EQ(got, -EAGAIN);
            return;
        }
        model_do(&mine.c[0], mine.value[0], &r, &v);
        CHECK_EQ(got, r);
        if (mine.c[0].recv && r == 0) CHECK_EQ(mine.value[0], v);
        settle();
    } else if (!a->busy) {
        step_operation(i);
    }
    compare();
}
static int model_main(void *arg) {
    (void)arg;
    for (int k = 0; k < CHANS; k++) chan_renew(k);
    for (int i = 0; i < ACTORS; i++) world.a[i].task = vt_async(actor_main, &world.a[i]);
    settle();
    for (int i = 0; i < STEPS && !test_failures; i++) step();
    for (int i = 0; i < ACTORS; i++) {
        vt_cancel(world.a[i].task);
        (void)vt_await(world.a[i].task, NULL);
    }
    for (int k = 0; k < CHANS; k++) {
        CHECK(!world.c[k]->recvq.head && !world.c[k]->sendq.head);
        vt_chan_free(world.c[k]);
    }
    for (int i = 0; i < 5; i++) CHECK(world.outcomes[i] > 10);
    return 0;
}
TEST(random_programs_do_what_the_model_does) {
    memory_begin();
    memset(&world, 0, sizeof world);
    world.rng = test_seed();
    CHECK_EQ(run_on(1, model_main, NULL), 0);
    memory_end();
}

/*--- many producers and consumers ---*/
enum { MAKERS = 5, TAKERS = 4, EACH = SLOW ? 150 : 3000, PATHS = 3 };
static struct {
    vt_chan *c[PATHS];
    bool local;
    unsigned char seen[MAKERS * EACH];
    int makers, taken;
    uint64_t seed;
} crowd;
static int make(void *arg) {
    int me = (int)(intptr_t)arg;
    uint64_t rng = crowd.seed * 3 + (uint64_t)me;
    for (int i = 0; i < EACH;) {
        int x = me * EACH + i, y = x, z = x, r;
        uint64_t q = test_rand(&rng);
        vt_chan *c = crowd.c[q / 64 % PATHS];
        vt_case cs[] = {{.send = crowd.c[0], .value = &x},
                        {.send = crowd.c[1], .value = &y},
                        {.send = crowd.c[2], .value = &z},
                        {.at = vt_now() + (int64_t)(q >> 40) % 100000}};
        switch (q % 4) {
        case 0: r = vt_chan_send(c, &x); break;
        case 1: r = vt_chan_send_try(c, &x); break;
        case 2: r = vt_chan_send_until(c, &x, vt_now() + (int64_t)(q >> 40) % 50000); break;
        default: r = vt_select(cs, 4), r = r == 3 ? -ETIMEDOUT : r < 0 ? r : cs[r].result; break;
        }
        if (r == 0) i++;
        else CHECK(r == -EAGAIN || r == -ETIMEDOUT);
        if (q >> 32 & 1) (void)vt_yield();
    }
    if (__atomic_sub_fetch(&crowd.makers, 1, __ATOMIC_SEQ_CST) == 0)
        for (int i = 0; i < PATHS; i++) CHECK_EQ(vt_chan_close(crowd.c[i]), 0);
    return 0;
}
static int take(void *arg) {
    int me = (int)(intptr_t)arg, n = 0, closed = 0;
    uint64_t rng = crowd.seed * 7 + (uint64_t)me;
    while (closed != (1 << PATHS) - 1) {
        int x = -1, r;
        uint64_t q = test_rand(&rng);
        int k = (int)(q / 64 % PATHS);
        vt_case cs[] = {{.recv = crowd.c[0], .value = &x},
                        {.recv = crowd.c[1], .value = &x},
                        {.recv = crowd.c[2], .value = &x},
                        {.at = vt_now() + (int64_t)(q >> 40) % 100000}};
        switch (q % 4) {
        case 0: r = vt_chan_recv_until(crowd.c[k], &x, vt_now() + (int64_t)(q >> 40) % 200000); break;
        case 1: r = vt_chan_recv_try(crowd.c[k], &x); break;
        case 2: r = vt_chan_recv_until(crowd.c[k], &x, vt_now() + (int64_t)(q >> 40) % 50000); break;
        default:
            r = vt_select(cs, 4);
            if (r >= 0 && r < PATHS) k = r;
            r = r == 3 ? -ETIMEDOUT : r < 0 ? r : cs[r].result;
        }
        if (r == VT_ECLOSED) closed |= 1 << k;
        else if (r == 0 && x >= 0 && x < MAKERS * EACH) {
            CHECK_EQ(__atomic_fetch_add(&crowd.seen[x], 1, __ATOMIC_RELAXED), 0);
            n++;
        } else CHECK(r == -EAGAIN || r == -ETIMEDOUT);
        if (q >> 32 & 1) (void)vt_yield();
    }
    return n;
}
static int crowd_main(void *arg) {
    vt_task *m[MAKERS], *t[TAKERS];
    int n = 0;
    (void)arg;
    memset(crowd.seen, 0, sizeof crowd.seen);
    crowd.makers = MAKERS;
    for (int i = 0; i < TAKERS; i++) t[i] = spawn(take, i, !crowd.local);
    for (int i = 0; i < MAKERS; i++) m[i] = spawn(make, i, !crowd.local);
    for (int i = 0; i < MAKERS; i++) CHECK_EQ(result(m[i]), 0);
    for (int i = 0; i < TAKERS; i++) n += result(t[i]);
    CHECK_EQ(n, MAKERS * EACH);
    for (int i = 0; i < MAKERS * EACH; i++) CHECK_EQ(crowd.seen[i], 1);
    return 0;
}
TEST(a_crowd_loses_and_duplicates_nothing) {
    static const int64_t caps[][PATHS] = {{0, 0, 0}, {0, 4, VT_NONE}};
    crowd.seed = test_seed();
    for (int how = 0; how < 3; how++)
        for (int k = 0; k < 2; k++) {
            memory_begin();
            crowd.local = how == 1;
            for (int i = 0; i < PATHS; i++)
                crowd.c[i] = vt_chan_new(sizeof(int), caps[k][i], crowd.local ? VT_LOCAL : 0);
            CHECK_EQ(run_on(how == 2 ? 3 : 1, crowd_main, NULL), 0);
            for (int i = 0; i < PATHS; i++) vt_chan_free(crowd.c[i]);
            memory_end();
        }
}

/* Selects that meet selects: each pair exchanges over two channels, in either direction, on any worker. */
enum { SELECTORS = 6, MEETINGS = SLOW ? 200 : 4000 };
static struct {
    vt_chan *a, *b;
    int64_t in, out;
    int meetings, gone;
} party;
static int meet(void *arg) {
    int me = (int)(intptr_t)arg;
    uint64_t rng = test_seed() + (uint64_t)me;
    for (int n = 0;; n++) {
        int x = me * 1000 + n % 1000, y = x + 1, v = 0, w = 0;
        vt_case c[] = {{.send = party.a, .value = &x},
                       {.recv = party.b, .value = &v},
                       {.send = party.b, .value = &y},
                       {.recv = party.a, .value = &w}};
        int r = vt_select_until(c, 4, vt_now() + (test_rand(&rng) % 8 ? 20 * VT_SEC : 1000));
        if (r == -ETIMEDOUT) continue;
        if (r < 0) return r;
        if (c[r].result == VT_ECLOSED) return 0;
        __atomic_fetch_add(r % 2 ? &party.out : &party.in,
                           r == 0   ? x
                           : r == 1 ? v
                           : r == 2 ? y
                                    : w,
                           __ATOMIC_RELAXED);
        if (__atomic_add_fetch(&party.meetings, 1, __ATOMIC_SEQ_CST) == MEETINGS) {
            CHECK_EQ(vt_chan_close(party.a), 0);
            CHECK_EQ(vt_chan_close(party.b), 0);
        }
    }
}
static int party_main(void *arg) {
    vt_task *t[SELECTORS];
    (void)arg;
    for (int i = 0; i < SELECTORS; i++) t[i] = spawn(meet, i, true);
    for (int i = 0; i < SELECTORS; i++) CHECK_EQ(result(t[i]), 0);
    CHECK_EQ(party.in, party.out);
    CHECK(!party.a->recvq.head && !party.a->sendq.head && !party.b->recvq.head && !party.b->sendq.head);
    return 0;
}
TEST(selects_meet_selects) {
    for (int workers = 1; workers <= 3; workers += 2) {
        memset(&party, 0, sizeof party);
        party.a = vt_chan_new(sizeof(int), 0, 0);
        party.b = vt_chan_new(sizeof(int), 0, 0);
        CHECK_EQ(run_on(workers, party_main, NULL), 0);
        vt_chan_free(party.a);
        vt_chan_free(party.b);
    }
}

/* Cancels and closes from another worker, at any moment: whatever was reported as sent has been received. */
static struct {
    vt_chan *c;
    int64_t sent, received;
} storm;
static int storm_send(void *arg) {
    for (int i = 0;; i++) {
        vt_case c[] = {{.send = storm.c, .value = &i}, {.at = vt_now() + 20 * VT_SEC}};
        int r = arg ? vt_chan_send(storm.c, &i) : vt_select(c, 2);
        if (!arg && r == 0) r = c[0].result;
        if (r < 0) return r;
        __atomic_fetch_add(&storm.sent, 1, __ATOMIC_SEQ_CST);
    }
}
static int storm_recv(void *arg) {
    for (int x;;) {
        vt_case c[] = {{.at = vt_now() + 20 * VT_SEC}, {.recv = storm.c, .value = &x}};
        int r = arg ? vt_chan_recv(storm.c, &x) : vt_select(c, 2);
        if (!arg && r == 1) r = c[1].result;
        if (r < 0) return r;
        __atomic_fetch_add(&storm.received, 1, __ATOMIC_SEQ_CST);
    }
}
static int storm_main(void *arg) {
    uint64_t rng = test_seed();
    (void)arg;
    for (int round = 0; round < (SLOW ? 20 : 150); round++) {
        vt_task *t[8];
        storm.c = vt_chan_new(sizeof(int), round % 3, 0);
        storm.sent = storm.received = 0;
        for (int i = 0; i < 8; i++) t[i] = spawn(i % 2 ? storm_send : storm_recv, i & 2, true);
        vt_sleep((int64_t)(test_rand(&rng) % 300000));
        for (int i = 0; i < 6; i++) vt_cancel(t[i]);
        vt_sleep((int64_t)(test_rand(&rng) % 100000));
        CHECK_EQ(vt_chan_close(storm.c), 0);
        for (int i = 0; i < 8; i++) {
            int r = result(t[i]);
            CHECK(r == VT_ECLOSED || (r == -ECANCELED && i < 6));
        }
        for (int x; vt_chan_recv_try(storm.c, &x) == 0;) storm.received++;
        CHECK_EQ(storm.sent, storm.received);
        CHECK(!storm.c->recvq.head && !storm.c->sendq.head);
        vt_chan_free(storm.c);
    }
    return 0;
}
TEST(cancel_and_close_at_any_moment) {
    CHECK_EQ(run_on(1, storm_main, NULL), 0);
    CHECK_EQ(run_on(3, storm_main, NULL), 0);
}

/* A thread that is no worker posts and closes. */
static void *post(void *arg) {
    vt_chan *c = arg;
    for (int i = 0; i < 1000; i++)
        while (vt_chan_send_try(c, &i) == -EAGAIN) vt__plat_sleep(10000);
    CHECK_EQ(vt_chan_close(c), 0);
    return NULL;
}
static int foreign_main(void *arg) {
    pthread_t os;
    int x, n = 0;
    if (pthread_create(&os, NULL, post, arg) != 0) return -1;
    for (int r; (r = vt_chan_recv(arg, &x)) != VT_ECLOSED; n++) CHECK(r == 0 && x == n);
    CHECK_EQ(n, 1000);
    pthread_join(os, NULL);
    return 0;
}
TEST(a_foreign_thread_posts_by_try) {
    for (int64_t cap = VT_NONE; cap < 10; cap += 10) {
        vt_chan *c = vt_chan_new(sizeof(int), cap, 0);
        CHECK_EQ(run_on(1, foreign_main, c), 0);
        vt_chan_free(c);
    }
}
