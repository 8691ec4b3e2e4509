/* tsan */
/* The reactor: readiness, waits, generations, arming, moving between domains, messages, descriptors of others. */
#define VTHTTP_IMPLEMENTATION
#define VTHTTP_SIM 1
#include "../vthttp.h"
#include "test.h"
#include "tmp.h"
#include "rt.h"

#include <sys/wait.h>

/*--- a domain without a scheduler: who is woken is written down ---*/
static vt__dom dom, dom2;
static vt__vth reader, writer, other;
static int woken_reader, woken_writer, woken_other, sunk;
static unsigned sunk_bits;
static vt__dom *sunk_dom;

static void on_wake(struct vt__vth *v) {
    (*(v == &reader ? &woken_reader : v == &writer ? &woken_writer : &woken_other))++;
}
static void on_sink(vt__dom *d, vt__pd *pd, unsigned bits) {
    (void)pd;
    sunk++;
    sunk_bits = bits;
    sunk_dom = d;
}
static void begin(void) {
    vt__poll_up.wake = on_wake;
    woken_reader = woken_writer = woken_other = sunk = 0;
    CHECK_EQ(vt__poll_dom_init(&dom, 0, vt_now()), 0);
    CHECK_EQ(vt__poll_dom_init(&dom2, 1, vt_now()), 0);
}
static void end(void) {
    vt__poll_dom_free(&dom);
    vt__poll_dom_free(&dom2);
}
static void harvest(vt__dom *d) {
    for (int i = 0; i < 3; i++) (void)vt__poll_wait(d, 0);
}

/* One end is the reactor's, the other the test's. */
struct wire {
    vt__pd pd;
    int peer;
};
static bool wire_open(struct wire *w) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0) return false;
    vt__poll_pd_init(&w->pd, fds[0]);
    w->pd.sink = on_sink;
    w->peer = fds[1];
    return true;
}
static void wire_close(struct wire *w) {
    vt__poll_shut(&w->pd);
    CHECK_EQ(vt__poll_close(&w->pd), 0);
    if (w->peer >= 0) close(w->peer);
}
static void fill(int fd) {
    char block[4096] = {0};
    while (write(fd, block, sizeof block) > 0) continue;
}
static void drain(int fd) {
    char block[4096];
    while (read(fd, block, sizeof block) > 0) continue;
}
static void put_byte(int fd) { CHECK(write(fd, "x", 1) == 1); }
/* In the set, with nothing to read and (said to be) no room. */
static void quiet(struct wire *w, vt__dom *d) {
    CHECK_EQ(vt__poll_add(d, &w->pd), 0);
    harvest(d);
    vt__poll_clear(&w->pd, VT__PD_READY);
}

TEST(a_new_descriptor_is_to_be_tried) {
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
    CHECK_EQ(vt__poll_bits(&w.pd), VT__PD_R | VT__PD_W);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 0);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_WWAIT, &writer), 0);
    CHECK(!vt__poll_arm(&w.pd));
    wire_close(&w);
    CHECK_EQ(w.pd.fd, -1);
    end();
}

TEST(an_event_wakes_who_waits_for_it_once) {
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
    quiet(&w, &dom);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
    harvest(&dom);
    CHECK_EQ(woken_reader, 0);
    put_byte(w.peer);
    harvest(&dom);
    CHECK_EQ(woken_reader, 1);
    CHECK((vt__poll_bits(&w.pd) & (VT__PD_R | VT__PD_RWAIT)) == VT__PD_R);
    put_byte(w.peer);
    harvest(&dom);
    CHECK_EQ(woken_reader, 1);
    CHECK(!vt__poll_wait_abort(&w.pd, VT__PD_RWAIT, &reader)); /* too late */
    drain(w.pd.fd);
    vt__poll_clear(&w.pd, VT__PD_READY);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &other),
             -EBUSY);                                         /* a second reader is not let in ... */
    CHECK(!vt__poll_wait_abort(&w.pd, VT__PD_RWAIT, &other)); /* ... and takes nothing of the first one's */
    CHECK(vt__poll_wait_abort(&w.pd, VT__PD_RWAIT, &reader));
    CHECK(!vt__poll_wait_abort(&w.pd, VT__PD_RWAIT, &reader));
    put_byte(w.peer);
    harvest(&dom);
    CHECK_EQ(woken_reader, 1);
    wire_close(&w);
    end();
}

/* An event clears the bit first and takes the slot second; a time-out or a cancel may come in between, and another
 * reader behind it. The slot decides. */
TEST(a_wait_is_ended_by_one_alone) {
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
    quiet(&w, &dom);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
    vt__poll_clear(&w.pd, VT__PD_RWAIT); /* the event has the bit */
    CHECK(vt__poll_wait_abort(&w.pd, VT__PD_RWAIT, &reader));
    CHECK(vt__poll_slot_take(&w.pd, VT__PD_RWAIT) == NULL); /* ... and comes too late */
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
    vt__poll_clear(&w.pd, VT__PD_RWAIT);
    CHECK(vt__poll_slot_take(&w.pd, VT__PD_RWAIT) == &reader); /* the event has both */
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &other), 1);
    CHECK(!vt__poll_wait_abort(&w.pd, VT__PD_RWAIT, &reader));
    CHECK(w.pd.rv == &other && vt__poll_bits(&w.pd) & VT__PD_RWAIT); /* the next one's wait is as it was */
    put_byte(w.peer);
    harvest(&dom);
    CHECK_EQ(woken_other, 1);
    vt__poll_clear(&w.pd, VT__PD_READY);
    w.pd.rv = w.pd.wv = VT__POLL_LEAVING; /* both are taking theirs back */
    vt__poll_set(&w.pd, VT__PD_RWAIT | VT__PD_WWAIT);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &other), -EBUSY);
    CHECK(!vt__poll_wait_abort(&w.pd, VT__PD_RWAIT, &other));
    vt__poll_event(&dom, &w.pd, w.pd.word >> 16, VT__PD_R | VT__PD_W);
    vt__poll_shut(&w.pd);
    CHECK(w.pd.rv == VT__POLL_LEAVING && w.pd.wv == VT__POLL_LEAVING); /* theirs to end */
    CHECK_EQ(woken_reader + woken_writer + woken_other, 1);
    w.pd.rv = w.pd.wv = NULL;
    wire_close(&w);
    end();
}

TEST(reader_and_writer_wait_apart) {
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
    fill(w.pd.fd);
    quiet(&w, &dom);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_WWAIT, &writer), 1);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
    harvest(&dom);
    CHECK_EQ(woken_reader + woken_writer, 0);
    drain(w.peer);
    harvest(&dom);
    CHECK_EQ(woken_writer, 1);
    CHECK_EQ(woken_reader, 0);
    put_byte(w.peer);
    harvest(&dom);
    CHECK_EQ(woken_writer, 1);
    CHECK_EQ(woken_reader, 1);
    drain(w.pd.fd); /* one wait for both: room ends it */
    fill(w.pd.fd);
    harvest(&dom);
    vt__poll_clear(&w.pd, VT__PD_READY);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT | VT__PD_RWBOTH, &other), 1);
    drain(w.peer);
    harvest(&dom);
    CHECK_EQ(woken_other, 1);
    CHECK(!(vt__poll_bits(&w.pd) & (VT__PD_RWAIT | VT__PD_RWBOTH)));
    fill(w.pd.fd);
    harvest(&dom);
    vt__poll_clear(&w.pd, VT__PD_READY);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT | VT__PD_RWBOTH, &other), 1);
    CHECK(vt__poll_wait_abort(&w.pd, VT__PD_RWAIT, &other)); /* both bits go */
    CHECK(!(vt__poll_bits(&w.pd) & (VT__PD_RWAIT | VT__PD_RWBOTH)));
    wire_close(&w);
    end();
}

TEST(the_peers_end_is_input_a_reset_is_everything) {
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
    fill(w.pd.fd);
    quiet(&w, &dom);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_WWAIT, &writer), 1);
    shutdown(w.peer, SHUT_WR);
    harvest(&dom);
    CHECK_EQ(woken_reader, 1);
    CHECK_EQ(woken_writer, 0);
    CHECK(vt__poll_bits(&w.pd) & VT__PD_RDHUP);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 0); /* it stays so */
    close(w.peer);
    w.peer = -1;
    harvest(&dom);
    CHECK_EQ(woken_writer, 1);
    CHECK(vt__poll_bits(&w.pd) & VT__PD_HUP);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_WWAIT, &writer), 0);
    wire_close(&w);
    end();
}

TEST(shutting_wakes_and_refuses) {
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
    fill(w.pd.fd);
    quiet(&w, &dom);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_WWAIT, &writer), 1);
    vt__poll_shut(&w.pd);
    CHECK_EQ(woken_reader, 1);
    CHECK_EQ(woken_writer, 1);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 0);
    vt__poll_shut(&w.pd);
    CHECK_EQ(woken_reader + woken_writer, 2);
    vt__poll_clear(&w.pd, VT__PD_ADDED);
    CHECK_EQ(vt__poll_add(&dom, &w.pd), VT_ECLOSED);
    wire_close(&w);
    CHECK_EQ(vt__poll_close(&w.pd), 0); /* once more is harmless */
    end();
}

/*--- generations ---*/
TEST(an_event_of_an_older_life_is_dropped) {
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
    quiet(&w, &dom);
    uint32_t gen = w.pd.word >> 16;
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
    uint32_t word = w.pd.word;
    vt__poll_event(&dom, &w.pd, gen - 1, VT__PD_READY);
    vt__poll_event(&dom, &w.pd, gen + 1, VT__PD_READY);
    CHECK_EQ(w.pd.word, word);
    CHECK_EQ(woken_reader, 0);
    vt__poll_event(&dom, &w.pd, gen, VT__PD_R);
    CHECK_EQ(woken_reader, 1);
    wire_close(&w);
    CHECK(w.pd.word >> 16 != gen);
    vt__poll_event(&dom, &w.pd, gen, VT__PD_READY);
    CHECK_EQ(vt__poll_bits(&w.pd), VT__PD_CLOSED);
    end();
}

/* A duplicate of a closed descriptor keeps the kernel's registration alive: its events come with the old generation,
 * while struct and number already serve somebody else. */
TEST(a_number_used_again_does_not_see_its_predecessors_events) {
    for (int round = 0; round < 50; round++) {
        struct wire w = {.peer = -1};
        begin();
        REQUIRE(wire_open(&w));
        quiet(&w, &dom);
        int old_fd = w.pd.fd, old_peer = w.peer, keep = dup(w.pd.fd);
        CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
        if (round % 2) put_byte(old_peer); /* it waits in the kernel already */
        w.peer = -1;
        wire_close(&w);
        CHECK_EQ(woken_reader, 1); /* by the close */
        REQUIRE(wire_open(&w));
        CHECK_EQ(w.pd.fd, old_fd);
        quiet(&w, &dom);
        CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
        put_byte(old_peer);
        harvest(&dom);
        CHECK_EQ(woken_reader, 1);
        CHECK(!(vt__poll_bits(&w.pd) & VT__PD_R));
        put_byte(w.peer);
        harvest(&dom);
        CHECK_EQ(woken_reader, 2);
        wire_close(&w);
        close(keep);
        close(old_peer);
        end();
    }
}

/* Whoever is woken first may give the struct a new life before the sink is called. */
static struct wire reborn;
static void wake_and_use_again(struct vt__vth *v) {
    on_wake(v);
    vt__poll_pd_init(&reborn.pd, reborn.pd.fd);
}
TEST(a_sink_is_called_though_the_struct_is_used_again) {
    reborn = (struct wire){.peer = -1};
    begin();
    vt__poll_up.wake = wake_and_use_again;
    REQUIRE(wire_open(&reborn));
    quiet(&reborn, &dom);
    CHECK(vt__poll_watch(&reborn.pd, true));
    CHECK_EQ(vt__poll_wait_begin(&reborn.pd, VT__PD_RWAIT, &reader), 1);
    vt__poll_event(&dom, &reborn.pd, reborn.pd.word >> 16, VT__PD_R | VT__PD_RDHUP);
    CHECK_EQ(woken_reader, 1);
    CHECK_EQ(sunk, 1);
    CHECK(sunk_bits & VT__PD_WATCH && sunk_bits & VT__PD_RDHUP);
    wire_close(&reborn);
    end();
}

TEST(generations_wrap) {
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
    int fd = w.pd.fd;
    for (int i = 0; i < 70000; i++) vt__poll_pd_init(&w.pd, fd);
    quiet(&w, &dom);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
    put_byte(w.peer);
    harvest(&dom);
    CHECK_EQ(woken_reader, 1);
    wire_close(&w);
    end();
}

/*--- idle descriptors ---*/
TEST(an_armed_descriptor_calls_its_sink_once) {
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
    w.pd.sink = on_sink;
    quiet(&w, &dom);
    CHECK(vt__poll_arm(&w.pd));
    harvest(&dom);
    CHECK_EQ(sunk, 0);
    put_byte(w.peer);
    harvest(&dom);
    CHECK_EQ(sunk, 1);
    CHECK(sunk_dom == &dom && sunk_bits & VT__PD_ARMED && sunk_bits & VT__PD_R);
    CHECK(!vt__poll_disarm(&w.pd)); /* the sink has it */
    put_byte(w.peer);
    harvest(&dom);
    CHECK_EQ(sunk, 1);
    CHECK(!vt__poll_arm(&w.pd)); /* there is input */
    drain(w.pd.fd);
    harvest(&dom);
    vt__poll_clear(&w.pd, VT__PD_R);
    CHECK(vt__poll_arm(&w.pd));
    CHECK(vt__poll_disarm(&w.pd));
    put_byte(w.peer);
    harvest(&dom);
    CHECK_EQ(sunk, 1);
    drain(w.pd.fd);
    vt__poll_clear(&w.pd, VT__PD_READY);
    CHECK(vt__poll_arm(&w.pd));
    close(w.peer);
    w.peer = -1;
    harvest(&dom);
    CHECK_EQ(sunk, 2);
    CHECK(sunk_bits & VT__PD_HUP);
    wire_close(&w);
    end();
}

TEST(room_to_write_is_no_input) {
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
    fill(w.pd.fd);
    quiet(&w, &dom);
    CHECK(vt__poll_arm(&w.pd));
    drain(w.peer);
    harvest(&dom);
    CHECK_EQ(sunk, 0);
    CHECK(vt__poll_disarm(&w.pd));
    wire_close(&w);
    end();
}

TEST(a_watch_hears_of_the_end_alone) {
    for (int fin = 0; fin < 2; fin++) {
        struct wire w = {.peer = -1};
        begin();
        REQUIRE(wire_open(&w));
        quiet(&w, &dom);
        CHECK(vt__poll_watch(&w.pd, fin));
        put_byte(w.peer);
        harvest(&dom);
        CHECK_EQ(sunk, 0);
        shutdown(w.peer, SHUT_WR);
        harvest(&dom);
        CHECK_EQ(sunk, fin);
        if (fin) CHECK(!vt__poll_watch(&w.pd, true));
        close(w.peer);
        w.peer = -1;
        harvest(&dom);
        CHECK_EQ(sunk, 1);
        CHECK(sunk_bits & VT__PD_WATCH);
        if (!fin) CHECK(sunk_bits & VT__PD_HUP && !vt__poll_watch(&w.pd, false)); /* it has happened */
        harvest(&dom);
        CHECK_EQ(sunk, 1);
        wire_close(&w);
        end();
    }
}

TEST(a_listener_stands_in_two_sets_and_stays_armed) {
    struct sockaddr_un sa;
    vt__pd a = {0}, b = {0};
    begin();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), client[3], accepted;
    memset(&sa, 0, sizeof sa);
    sa.sun_family = AF_UNIX;
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa_family_t)) == 0 && listen(fd, 8) == 0);
    socklen_t len = sizeof sa; /* a name that the kernel chose */
    REQUIRE(getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
    vt__poll_pd_init(&a, fd);
    vt__poll_pd_init(&b, fd);
    a.sink = b.sink = on_sink;
    CHECK_EQ(vt__poll_listen_add(&dom, &a), 0);
    CHECK_EQ(vt__poll_listen_add(&dom2, &b), 0);
    harvest(&dom);
    harvest(&dom2);
    CHECK_EQ(sunk, 0);
    for (int i = 0; i < 3; i++) {
        client[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        REQUIRE(connect(client[i], (struct sockaddr *)&sa, len) == 0);
    }
    harvest(&dom); /* level-triggered: at every look */
    CHECK_EQ(sunk, 3);
    CHECK(sunk_bits & VT__PD_ARMED && sunk_dom == &dom);
    vt__poll_remove(&a);
    harvest(&dom);
    CHECK_EQ(sunk, 3);
    harvest(&dom2);
    CHECK_EQ(sunk, 6);
    CHECK(sunk_dom == &dom2);
    for (int i = 0; i < 3; i++) {
        REQUIRE((accepted = accept(fd, NULL, NULL)) >= 0);
        close(accepted);
        close(client[i]);
    }
    harvest(&dom2);
    CHECK_EQ(sunk, 6);
    vt__poll_remove(&b);
    CHECK_EQ(vt__poll_close(&b), 0);
    end();
}

/*--- moving ---*/
TEST(a_descriptor_moves_to_another_domain) {
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
    quiet(&w, &dom);
    CHECK_EQ(vt__poll_add(&dom2, &w.pd), 0); /* it is in one: stays */
    CHECK(w.pd.dom == &dom);
    put_byte(w.peer);
    vt__poll_remove(&w.pd);
    CHECK_EQ(vt__poll_bits(&w.pd), VT__PD_R | VT__PD_W); /* to be tried again */
    drain(w.pd.fd);
    quiet(&w, &dom2);
    CHECK(w.pd.dom == &dom2);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
    put_byte(w.peer);
    harvest(&dom);
    CHECK_EQ(woken_reader, 0);
    harvest(&dom2);
    CHECK_EQ(woken_reader, 1);
    vt__poll_remove(&w.pd);
    vt__poll_remove(&w.pd);
    CHECK_EQ(vt__poll_add(&dom, &w.pd), 0); /* and back */
    vt__poll_clear(&w.pd, VT__PD_READY);
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
    harvest(&dom); /* what is there already is an edge for a new registration */
    CHECK_EQ(woken_reader, 2);
    wire_close(&w);
    end();
}

TEST(many_come_and_go) {
    enum { N = 200 };
    static struct wire w[N];
    uint64_t rng = test_seed();
    begin();
    for (int i = 0; i < N; i++) w[i].peer = -1;
    for (int step = 0; step < (VT__TSAN || VTHTTP_VALGRIND ? 1000 : 6000); step++) {
        struct wire *x = &w[test_rand(&rng) % N];
        vt__dom *d = test_rand(&rng) % 2 ? &dom : &dom2;
        switch (test_rand(&rng) % 4) {
        case 0:
            if (x->peer >= 0) wire_close(x);
            REQUIRE(wire_open(x));
            break;
        case 1:
            if (x->peer >= 0) vt__poll_remove(&x->pd);
            break;
        case 2:
            if (x->peer >= 0) CHECK_EQ(vt__poll_add(d, &x->pd), 0);
            break;
        default:
            if (x->peer < 0) break;
            drain(x->pd.fd);
            CHECK_EQ(vt__poll_add(d, &x->pd), 0);
            harvest(x->pd.dom);
            vt__poll_clear(&x->pd, VT__PD_READY);
            woken_reader = 0;
            CHECK_EQ(vt__poll_wait_begin(&x->pd, VT__PD_RWAIT, &reader), 1);
            put_byte(x->peer);
            harvest(x->pd.dom == &dom ? &dom2 : &dom);
            CHECK_EQ(woken_reader, 0);
            harvest(x->pd.dom);
            CHECK_EQ(woken_reader, 1);
        }
    }
    for (int i = 0; i < N; i++)
        if (w[i].peer >= 0) wire_close(&w[i]);
    end();
}

/* Bytes come at any moment; whoever waits while some are there must be woken by the next look. */
TEST(no_wake_up_is_lost_at_random) {
    uint64_t rng = test_seed();
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
    CHECK_EQ(vt__poll_add(&dom, &w.pd), 0);
    bool waiting = false;
    int64_t sent = 0, got = 0;
    for (int step = 0; step < (VT__TSAN || VTHTTP_VALGRIND ? 3000 : 30000); step++) {
        char block[16] = {0};
        switch (test_rand(&rng) % 4) {
        case 0: sent += write(w.peer, block, 1 + (size_t)(test_rand(&rng) % 7)) * (int64_t)1; break;
        case 1: /* as a reader does: try, clear after EAGAIN or a short read, wait */
            if (waiting) break;
            if (vt__poll_bits(&w.pd) & VT__PD_R) {
                ssize_t r = read(w.pd.fd, block, 5);
                if (r > 0) got += r;
                if (r < 5) vt__poll_clear(&w.pd, VT__PD_R);
            } else {
                waiting = vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader);
                woken_reader = 0;
            }
            break;
        case 2:
            if (waiting && test_rand(&rng) % 4 == 0 && vt__poll_wait_abort(&w.pd, VT__PD_RWAIT, &reader))
                waiting = false;
            break;
        default:
            harvest(&dom);
            if (waiting && sent > got) CHECK_EQ(woken_reader, 1);
            if (waiting && woken_reader) waiting = false;
        }
    }
    CHECK(got > 1000);
    wire_close(&w);
    end();
}

/*--- messages ---*/
struct note {
    vt__poll_msg m;
    int from, n;
};
static int notes_seen[4], notes_wrong;
static void on_note(vt__dom *d, vt__poll_msg *m) {
    struct note *x = VT__CONTAINER(m, struct note, m);
    if (d != &dom || notes_seen[x->from]++ != x->n) notes_wrong++;
}
static struct note again;
static void on_again(vt__dom *d, vt__poll_msg *m) {
    struct note *x = VT__CONTAINER(m, struct note, m);
    if (++x->n < 3) (void)vt__poll_post(d, m); /* from within: next time */
}
TEST(messages_come_in_order) {
    static struct note notes[100];
    begin();
    notes_seen[0] = notes_wrong = 0;
    for (int i = 0; i < 100; i++) {
        notes[i] = (struct note){.m.fn = on_note, .n = i};
        CHECK_EQ(vt__poll_post(&dom, &notes[i].m), i % 10 == 0); /* the first one asks for a kick */
        if (i % 10 == 9) vt__poll_messages(&dom);
    }
    vt__poll_messages(&dom);
    CHECK_EQ(notes_seen[0], 100);
    CHECK_EQ(notes_wrong, 0);
    again.m.fn = on_again;
    again.n = 0;
    (void)vt__poll_post(&dom, &again.m);
    for (int i = 1; i <= 5; i++) {
        vt__poll_messages(&dom);
        CHECK_EQ(again.n, VT__MIN(i, 3));
    }
    end();
}
enum { NOTES = 5000 };
static struct note sent_notes[4][NOTES];
static void *post_many(void *arg) {
    struct note *x = arg;
    for (int i = 0; i < NOTES; i++)
        if (vt__poll_post(&dom, &x[i].m)) vt__poll_kick(&dom);
    return NULL;
}
TEST(messages_of_several_threads_keep_each_ones_order) {
    pthread_t t[4];
    begin();
    notes_wrong = 0;
    for (int k = 0; k < 4; k++) {
        notes_seen[k] = 0;
        for (int i = 0; i < NOTES; i++) sent_notes[k][i] = (struct note){.m.fn = on_note, .from = k, .n = i};
    }
    for (int k = 0; k < 4; k++) REQUIRE(pthread_create(&t[k], NULL, post_many, sent_notes[k]) == 0);
    int64_t give_up = vt_now() + 30 * VT_SEC;
    while (notes_seen[0] + notes_seen[1] + notes_seen[2] + notes_seen[3] < 4 * NOTES) {
        (void)vt__poll_wait(&dom, VT_SEC); /* a kick is never lost, so this does not last */
        vt__poll_messages(&dom);
        REQUIRE(vt_now() < give_up);
    }
    for (int k = 0; k < 4; k++) pthread_join(t[k], NULL);
    CHECK_EQ(notes_wrong, 0);
    end();
}

/*--- waiting ---*/
TEST(a_wait_lasts_as_long_as_it_is_told_and_a_kick_ends_it) {
    begin();
    harvest(&dom);
    int64_t from = vt_now();
    while (vt_now() - from < 3 * VT_MS) (void)vt__poll_wait(&dom, from + 3 * VT_MS - vt_now());
    CHECK(vt_now() - from < 2 * VT_SEC);
    from = vt_now();
    vt__poll_kick(&dom); /* before the wait */
    (void)vt__poll_wait(&dom, 20 * VT_SEC);
    CHECK(vt_now() - from < 5 * VT_SEC);
    vt__poll_kick(&dom);
    vt__poll_kick(&dom);
    (void)vt__poll_wait(&dom, -1);
    from = vt_now();
    for (int i = 0; i < 100; i++) (void)vt__poll_wait(&dom, 0);
    CHECK(vt_now() - from < 2 * VT_SEC);
    end();
}

#if !VTHTTP_POLL
static int asked_ms;
static int no_pwait2(int ep, struct epoll_event *ev, int n, const int64_t ts[2]) {
    (void)ep, (void)ev, (void)n, (void)ts;
    return -ENOSYS;
}
static int see_wait(int ep, struct epoll_event *ev, int n, int ms) {
    asked_ms = ms;
    return vt__plat_sys_epoll_wait(ep, ev, n, VT__MIN(ms, 5));
}
static int no_ctl(int ep, int op, int fd, struct epoll_event *ev) {
    (void)ep, (void)op, (void)fd, (void)ev;
    return -ENOSPC;
}
TEST(old_kernels_wait_in_whole_milliseconds_never_short) {
    static const struct {
        int64_t ns;
        int ms;
    } t[] = {{1, 1}, {VT_MS, 1}, {VT_MS + 1, 2}, {-1, -1}, {0, 0}, {INT64_MAX / 2, 3600000}};
    begin();
    harvest(&dom);
    vt__plat.epoll_pwait2 = no_pwait2;
    vt__plat.epoll_wait = see_wait;
    CHECK_EQ(vt__poll_wait(&dom, VT_MS), 0); /* finds out */
    CHECK(dom.no_pwait2);
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        if (t[i].ns < 0) vt__poll_kick(&dom);
        (void)vt__poll_wait(&dom, t[i].ns);
        CHECK_EQ(asked_ms, t[i].ms);
    }
    vt__plat.epoll_pwait2 = vt__plat_sys_epoll_pwait2;
    vt__plat.epoll_wait = vt__plat_sys_epoll_wait;
    end();
}
#else
static void *no_realloc(void *p, size_t n) {
    (void)p, (void)n;
    return NULL;
}
#endif
TEST(a_descriptor_that_cannot_be_added_is_not_in_the_set) {
    struct wire w = {.peer = -1};
    begin();
    REQUIRE(wire_open(&w));
#if VTHTTP_POLL
    vt__plat.realloc = no_realloc;
    CHECK_EQ(vt__poll_add(&dom, &w.pd), -ENOMEM);
    vt__plat.realloc = vt__plat_sys_realloc;
#else
    vt__plat.epoll_ctl = no_ctl;
    CHECK_EQ(vt__poll_add(&dom, &w.pd), -ENOSPC);
    vt__plat.epoll_ctl = vt__plat_sys_epoll_ctl;
#endif
    CHECK(!(vt__poll_bits(&w.pd) & VT__PD_ADDED));
    quiet(&w, &dom); /* later it can */
    CHECK_EQ(vt__poll_wait_begin(&w.pd, VT__PD_RWAIT, &reader), 1);
    put_byte(w.peer);
    harvest(&dom);
    CHECK_EQ(woken_reader, 1);
    wire_close(&w);
    end();
}

/* Another worker's vthread finds it in the set, and begins to wait, while the kernel has not said yet that it cannot be. */
static struct wire refused;
static void others_rely_on_it(void) {
    CHECK_EQ(vt__poll_add(&dom2, &refused.pd), 0);
    CHECK_EQ(vt__poll_wait_begin(&refused.pd, VT__PD_RWAIT, &reader), 1);
    CHECK_EQ(vt__poll_wait_begin(&refused.pd, VT__PD_WWAIT, &writer), 1);
}
#if VTHTTP_POLL
static void *late_no_realloc(void *p, size_t n) {
    if (!refused.pd.rv) others_rely_on_it();
    return no_realloc(p, n);
}
#else
static int late_no_ctl(int ep, int op, int fd, struct epoll_event *ev) {
    others_rely_on_it();
    return no_ctl(ep, op, fd, ev);
}
#endif
TEST(who_relied_on_an_add_that_fails_is_woken) {
    refused = (struct wire){.peer = -1};
    begin();
    REQUIRE(wire_open(&refused));
    vt__poll_clear(&refused.pd, VT__PD_READY);
#if VTHTTP_POLL
    vt__plat.realloc = late_no_realloc;
    CHECK_EQ(vt__poll_add(&dom, &refused.pd), -ENOMEM);
    vt__plat.realloc = vt__plat_sys_realloc;
#else
    vt__plat.epoll_ctl = late_no_ctl;
    CHECK_EQ(vt__poll_add(&dom, &refused.pd), -ENOSPC);
    vt__plat.epoll_ctl = vt__plat_sys_epoll_ctl;
#endif
    CHECK_EQ(woken_reader, 1);
    CHECK_EQ(woken_writer, 1);
    CHECK(!(vt__poll_bits(&refused.pd) & (VT__PD_ADDED | VT__PD_RWAIT | VT__PD_WWAIT)));
    CHECK(!refused.pd.rv && !refused.pd.wv);
    wire_close(&refused);
    end();
}

/*--- descriptors of others, on vthreads ---*/
struct wait {
    int fd, events;
    int64_t for_ns;
};
static int waits(void *arg) {
    const struct wait *w = arg;
    return vt_wait_fd(w->fd, w->events, w->for_ns ? vt_now() + w->for_ns : 0);
}
static vt_task *start(struct wait *w, int fd, int events, int64_t for_ns) {
    *w = (struct wait){fd, events, for_ns};
    vt_task *t = vt_async(waits, w);
    vt_yield();
    return t;
}
static int foreign_main(void *arg) {
    struct wait a, b, c;
    int s[2];
    (void)arg;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) < 0) return -1;
    CHECK_EQ(vt_wait_fd(s[0], VT_WRITE, 0), VT_WRITE);
    CHECK_EQ(vt_wait_fd(s[0], VT_READ | VT_WRITE, 0), VT_WRITE);
    fill(s[0]);
    vt_task *r = start(&a, s[0], VT_READ, 0), *w = start(&b, s[0], VT_WRITE, 0);
    CHECK_EQ(vt_wait_fd(s[0], VT_READ, 0), -EBUSY); /* one of a kind */
    CHECK_EQ(vt_wait_fd(s[0], VT_WRITE, 0), -EBUSY);
    vt_sleep(VT_MS / 2);
    CHECK(!vt_task_done(r) && !vt_task_done(w));
    put_byte(s[1]);
    CHECK_EQ(result(r), VT_READ);
    vt_sleep(VT_MS / 2);
    CHECK(!vt_task_done(w)); /* its arming outlived the other's event */
    drain(s[1]);
    CHECK_EQ(result(w), VT_WRITE);
    CHECK_EQ(vt_wait_fd(s[0], VT_READ | VT_WRITE, 0), VT_READ | VT_WRITE);
    drain(s[0]);

    fill(s[0]); /* the writer's event must not end the reader, nor the reader's time-out the writer */
    r = start(&a, s[0], VT_READ, 2 * VT_MS);
    w = start(&b, s[0], VT_WRITE, 0);
    CHECK_EQ(result(r), -ETIMEDOUT);
    r = start(&a, s[0], VT_READ, 0);
    vt_cancel(r);
    CHECK_EQ(result(r), -ECANCELED);
    r = start(&a, s[0], VT_READ, 0);
    drain(s[1]);
    CHECK_EQ(result(w), VT_WRITE);
    CHECK(!vt_task_done(r));
    shutdown(s[1], SHUT_WR); /* the end is input */
    CHECK_EQ(result(r), VT_READ);
    fill(s[0]);
    r = start(&c, s[0], VT_READ | VT_WRITE, 0);
    CHECK_EQ(result(r), VT_READ);
    w = start(&b, s[0], VT_WRITE, 0);
    close(s[1]);
    CHECK_EQ(result(w), VT_WRITE); /* hung up: try */
    CHECK_EQ(vt_wait_fd(s[0], VT_READ | VT_WRITE, 0), VT_READ | VT_WRITE);
    close(s[0]);
    return 0;
}
TEST(reader_and_writer_share_a_descriptor_of_the_programs) { CHECK_EQ(run_on(1, foreign_main, NULL), 0); }

/* Between the event and the turn of who waited, another one takes the byte and waits, too: readiness is to be seen anew. */
static int overtaken_main(void *arg) {
    struct wait a;
    int s[2];
    (void)arg;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) < 0) return -1;
    fill(s[0]);
    for (int i = 0; i < 2; i++) {
        int events = i ? VT_WRITE : VT_READ;
        vt_task *t = start(&a, s[0], events, 0);
        if (i) drain(s[1]);
        else put_byte(s[1]);
        (void)vt__poll_wait(vt__sched_tls->dom, 0);
        if (i) fill(s[0]);
        else drain(s[0]);
        CHECK(!vt_task_done(t)); /* it is woken, and has not run */
        CHECK_EQ(vt_wait_fd(s[0], events, vt_now() + VT_MS), -ETIMEDOUT);
        CHECK_EQ(result(t), events); /* try: never 0, which is no answer */
    }
    close(s[0]), close(s[1]);
    return 0;
}
TEST(who_is_overtaken_is_told_to_try) { CHECK_EQ(run_on(1, overtaken_main, NULL), 0); }

/* Who waited for a descriptor that is closed takes its number back when it is another's: a socket's of ours, in our set. */
static int reads_one(void *arg) {
    char c;
    return (int)vt_read(arg, &c, 1);
}
static int stale_main(void *arg) {
    struct wait a, b;
    int p[2], s[2], r = -1;
    vt_sock *sock;
    (void)arg;
    if (pipe(p) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) < 0) return -1;
    vt_task *t = start(&a, p[0], VT_READ, 0), *u = start(&b, p[0], VT_WRITE, 0);
    if (dup2(s[0], p[0]) < 0 || vt_sock_from_fd_take(&sock, p[0]) < 0) return -1; /* closes the pipe's end */
    close(s[0]);
    vt_task *reader_task = vt_async(reads_one, sock);
    vt_sleep(VT_MS);
    vt_cancel(t);
    CHECK_EQ(result(t), -ECANCELED); /* arms it again for the other */
    vt_cancel(u);
    int ru = result(u);
    CHECK(ru == -ECANCELED || (VTHTTP_POLL && ru == VT_WRITE)); /* which sees what the number is now */
    put_byte(s[1]);
    CHECK_EQ(vt_await_until(reader_task, vt_now() + 10 * VT_SEC, &r), 0);
    CHECK_EQ(r, 1);
    vt_sock_close(sock);
    close(s[1]), close(p[1]);
    return 0;
}
TEST(a_wait_for_a_closed_descriptor_leaves_its_numbers_next_owner_alone) {
    CHECK_EQ(run_on(1, stale_main, NULL), 0);
}
static int comes_back_main(void *arg) {
    struct wait a;
    int p[2];
    (void)arg;
    if (pipe(p) < 0) return -1;
    vt_task *t = start(&a, p[0], VT_READ, 0);
    int kept = dup(p[0]);
    close(p[0]);
    vt_cancel(t);
    CHECK_EQ(result(t), -ECANCELED); /* the set keeps it: what it is of is still open */
    CHECK_EQ(dup2(kept, p[0]), p[0]);
    t = start(&a, p[0], VT_READ, 10 * VT_SEC);
    put_byte(p[1]);
    CHECK_EQ(result(t), VT_READ);
    close(p[0]), close(p[1]), close(kept);
    return 0;
}
TEST(a_number_that_comes_back_can_be_waited_for) { CHECK_EQ(run_on(1, comes_back_main, NULL), 0); }
/* As after a hand-off, when vthreads of both wait for one descriptor. */
TEST(two_threads_of_one_domain_share_a_descriptor_of_the_programs) {
    vt__poll_fdws of[2];
    vt__poll_fdw *f[2];
    int p[2];
    begin();
    REQUIRE(pipe(p) == 0);
    for (int i = 0; i < 2; i++) {
        memset(&of[i], 0, sizeof of[i]);
        vt__mem_pool_init(&of[i].pool, sizeof(vt__poll_fdw), UINT32_MAX);
        vt__poll_fdws_place(&of[i], &dom);
        REQUIRE((f[i] = vt__poll_fdw_get(&of[i], p[0])) != NULL);
        CHECK_EQ(vt__poll_wait_begin(&f[i]->pd, VT__PD_RWAIT, i ? &writer : &reader), 1);
        CHECK_EQ(vt__poll_fdw_arm(&of[i], f[i], VT__PD_RWAIT), 0);
    }
    vt__poll_fdws_place(&of[0], &dom2); /* with epoll what stands in a set stays, for whoever looks there */
    CHECK(of[0].dom == (VTHTTP_POLL ? &dom2 : &dom));
    put_byte(p[1]);
    harvest(&dom);
    CHECK(woken_reader == 1 && woken_writer == 1);
    for (int i = 0; i < 2; i++) {
        vt__poll_fdw_put(&of[i], f[i]);
        vt__poll_fdws_free(&of[i]);
    }
    close(p[0]), close(p[1]);
    end();
}

/*--- what happens in the middle of a call ---*/
#if !VTHTTP_POLL
/* The descriptor is closed; before the kernel says so to who arms it, another thread's reactor has its hang-up in hand. */
static int ctl_after_a_hangup(int ep, int op, int fd, struct epoll_event *ev) {
    (void)ep, (void)op, (void)fd;
    vt__poll_decode(vt__sched_tls->dom, &(struct epoll_event){.events = EPOLLHUP, .data = ev->data});
    return -EBADF;
}
static int ended_main(void *arg) {
    int p[2];
    (void)arg;
    if (pipe(p) < 0) return -1;
    CHECK_EQ(vt_wait_fd(p[1], VT_WRITE, 0), VT_WRITE); /* makes the set */
    vt__plat.epoll_ctl = ctl_after_a_hangup;
    CHECK_EQ(vt_wait_fd(p[0], VT_READ, 0), -EBADF);
    vt__plat.epoll_ctl = vt__plat_sys_epoll_ctl;
    int64_t began = vt_now();
    CHECK_EQ(vt_sleep_ms(20), 0);
    CHECK(vt_now() - began >= 20 * VT_MS); /* that wake-up is not taken for this wait's */
    close(p[0]), close(p[1]);
    return 0;
}
TEST(a_wait_that_ends_as_it_fails_leaves_no_wake_up_behind) { CHECK_EQ(run_on(1, ended_main, NULL), 0); }
#endif
/* A socket in no set yet: another worker adds it, and its input comes, when a read has just found none. */
static struct wire early;
static bool early_came;
static ssize_t recv_then_input(int fd, void *p, size_t n, int flags) {
    ssize_t r = vt__plat_sys_recv(fd, p, n, flags);
    if (early_came) return r;
    early_came = true;
    put_byte(early.peer);
    CHECK_EQ(vt__poll_add(&dom2, &early.pd), 0);
    vt__poll_event(&dom2, &early.pd, early.pd.word >> 16, VT__PD_R);
    return r;
}
static int early_main(void *arg) {
    char buf[8];
    (void)arg;
    for (int some = 0; some < 2; some++) {
        early = (struct wire){.peer = -1};
        early_came = false;
        if (!wire_open(&early)) return -1;
        CHECK_EQ(vt__poll_dom_init(&dom2, 1, vt_now()), 0);
        if (some) put_byte(early.peer);
        vt__plat.recv = recv_then_input;
        CHECK_EQ(vt__io_recv_try(&early.pd, buf, sizeof buf), some ? 1 : -EAGAIN);
        CHECK(vt__poll_bits(&early.pd) & VT__PD_R); /* the edge came once */
        CHECK_EQ(vt__io_recv_try(&early.pd, buf, sizeof buf), 1);
        vt__plat.recv = vt__plat_sys_recv;
        wire_close(&early);
        vt__poll_dom_free(&dom2);
    }
    return 0;
}
TEST(input_that_comes_with_the_first_add_is_not_lost) { CHECK_EQ(run_on(1, early_main, NULL), 0); }

static int nothing(void *arg) {
    (void)arg;
    return 0;
}
/* A child holds copies: closing here does not take the descriptor out of an epoll set. */
static void child_holds(bool noticed) {
    struct wire w = {.peer = -1};
    int tie[2], status = -1;
    begin();
    REQUIRE(wire_open(&w) && pipe(tie) == 0);
    quiet(&w, &dom);
    fflush(stdout);
    pid_t pid = noticed ? fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        char c;
        close(tie[1]);
        ssize_t r = read(tie[0], &c, 1); /* until the parent has seen */
        _exit(r != 0);
    }
    CHECK(pid > 0);
    vt__poll_shut(&w.pd);
    CHECK_EQ(vt__poll_close(&w.pd), 0);
    put_byte(w.peer);
    CHECK_EQ(vt__poll_wait(&dom, 0), 0); /* an event would name what may be freed by now */
    close(tie[1]);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    close(tie[0]);
    close(w.peer);
    end();
}
TEST(what_a_forked_child_holds_leaves_no_entry) {
    if (!VT__TSAN) child_holds(false);     /* as by posix_spawn, system, vfork, until they come to exec */
    CHECK_EQ(run_on(1, nothing, NULL), 0); /* a runtime was there: forks are noticed */
    child_holds(true);
}

/* A spawn was let in, and stands before its count when the host's runtime ends. */
static uint32_t spawn_is_in, spawn_may_go;
static __thread bool stands;
static void (*real_ended)(void);
static void let_it_go(void) {
    if (real_ended) real_ended();
    __atomic_store_n(&spawn_may_go, 1, __ATOMIC_SEQ_CST);
}
static void await(const uint32_t *flag) {
    for (int64_t end = vt_now() + 20 * VT_SEC; !__atomic_load_n(flag, __ATOMIC_SEQ_CST) && vt_now() < end;)
        vt__plat_sleep(100000);
}
static void *stand_in_realloc(void *p, size_t n) {
    if (stands) {
        stands = false;
        __atomic_store_n(&spawn_is_in, 1, __ATOMIC_SEQ_CST);
        await(&spawn_may_go);
    }
    return vt__plat_sys_realloc(p, n);
}
#if VTHTTP_POLL
TEST(a_host_hears_that_there_is_no_memory_for_its_list) {
    vt_pollfd want[4];
    REQUIRE(vt_open(NULL) == 0);
    vt__plat.realloc = no_realloc;
    CHECK_EQ(vt_poll_fill(want, 4), -ENOMEM);
    vt__plat.realloc = vt__plat_sys_realloc;
    CHECK_EQ(vt_poll_fill(want, 4), 1);
    vt_shutdown();
}
#endif
static int ran;
static int runs(void *arg) {
    (void)arg;
    return ran++;
}
static void *spawns(void *arg) {
    stands = true;
    *(int *)arg = vt_go(runs, NULL);
    return NULL;
}
TEST(a_spawn_that_meets_the_shutdown_is_refused_or_run) {
    pthread_t os;
    int r = 1;
    spawn_is_in = spawn_may_go = 0;
    ran = 0;
    REQUIRE(vt_open(NULL) == 0);
    vt__plat.realloc = stand_in_realloc;
    REQUIRE(pthread_create(&os, NULL, spawns, &r) == 0);
    await(&spawn_is_in);
    real_ended = vt__sched_up.ended;
    vt__sched_up.ended = let_it_go;
    vt_shutdown();
    vt__sched_up.ended = real_ended;
    pthread_join(os, NULL);
    vt__plat.realloc = vt__plat_sys_realloc;
    CHECK(r == 0 ? ran == 1 : r == VT_ESTOPPED && ran == 0);
}

static int odd_main(void *arg) {
    int file = open(tmp_text("file", ""), O_RDONLY), p[2];
    (void)arg;
    if (file < 0) return -1;
    CHECK_EQ(vt_wait_fd(file, VT_READ, vt_now() + VT_SEC),
             -EPERM); /* which poll takes for ready at all times */
    close(file);
    if ((file = open("/", O_RDONLY | O_DIRECTORY)) < 0) return -1;
    CHECK_EQ(vt_wait_fd(file, VT_READ, vt_now() + VT_SEC), -EPERM);
    close(file);
    CHECK_EQ(vt_wait_fd(-1, VT_READ, 0), -EBADF);
    CHECK_EQ(vt_wait_fd(INT_MIN, VT_READ, 0), -EBADF);
    CHECK_EQ(vt_wait_fd(file, VT_READ, 0), -EBADF); /* closed */
    CHECK_EQ(vt_wait_fd(1 << 24, VT_READ, 0), -EBADF);
    CHECK_EQ(vt_wait_fd(0, 0, 0), -EINVAL);
    CHECK_EQ(vt_wait_fd(0, 64, 0), -EINVAL);
    for (int i = 0; i < 100; i++) { /* the same numbers again and again, closed without a word to us */
        if (pipe(p) < 0) return -1;
        CHECK_EQ(vt_wait_fd(p[1], VT_WRITE, 0), VT_WRITE);
        CHECK_EQ(vt_wait_fd(p[0], VT_READ, vt_now() + 1000), -ETIMEDOUT);
        put_byte(p[1]);
        CHECK_EQ(vt_wait_fd(p[0], VT_READ, 0), VT_READ);
        close(p[0]);
        close(p[1]);
    }
    for (int i = 0; i < 50; i++) { /* closed and opened again while somebody waits: the next wait counts */
        struct wait a, b;
        if (pipe(p) < 0) return -1;
        int other_r[2];
        vt_task *t = start(&a, p[0], VT_READ, 3 * VT_MS);
        close(p[1]);
        close(p[0]);
        if (pipe(other_r) < 0) return -1;
        put_byte(other_r[1]);
        CHECK(result(t) != VT_WRITE);
        vt_task *u = start(&b, other_r[0], VT_READ, VT_SEC);
        CHECK_EQ(result(u), VT_READ);
        close(other_r[0]);
        close(other_r[1]);
    }
    return 0;
}
TEST(what_cannot_be_waited_for_is_an_error) { CHECK_EQ(run_on(1, odd_main, NULL), 0); }

enum { PAIRS = 20 };
static int ping(void *arg) { /* a token goes to and fro through two pipes */
    int *fd = arg, rounds = VT__TSAN ? 30 : 200;
    for (int i = 0; i < rounds; i++) {
        char c;
        int r = vt_wait_fd(fd[0], VT_READ, vt_now() + 20 * VT_SEC);
        if (r != VT_READ || read(fd[0], &c, 1) != 1) return r < 0 ? r : -1;
        if (write(fd[1], &c, 1) != 1) return -2;
    }
    return 0;
}
static int pingers_main(void *arg) {
    int fd[PAIRS][4], ends[PAIRS][4];
    vt_task *t[PAIRS][2];
    (void)arg;
    for (int i = 0; i < PAIRS; i++) {
        if (pipe(fd[i]) < 0 || pipe(fd[i] + 2) < 0) return -1;
        int to[] = {fd[i][0], fd[i][3], fd[i][2], fd[i][1]};
        memcpy(ends[i], to, sizeof to);
        t[i][0] = vt_async_any(ping, ends[i]);
        t[i][1] = vt_async_any(ping, ends[i] + 2); /* on any two workers */
        put_byte(fd[i][1]);
    }
    for (int i = 0; i < PAIRS; i++)
        for (int k = 0; k < 2; k++) CHECK_EQ(result(t[i][k]), 0);
    for (int i = 0; i < PAIRS; i++)
        for (int k = 0; k < 4; k++) close(fd[i][k]);
    return 0;
}
TEST(tokens_go_through_pipes_between_workers) {
    CHECK_EQ(run_on(1, pingers_main, NULL), 0);
    CHECK_EQ(run_on(3, pingers_main, NULL), 0);
}
