/* The client over HTTP/2 by prior knowledge: against this library's server, of all workers, and against servers that a script
 * plays frame by frame. */
/* tsan */
/* variants: default asan tsan poll */
#define VTHTTP_H2 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "cliserver.h"
#include "handlers.h"
#include "h2script.h"
#include "wscli.h"

#include <sys/ioctl.h>
#include <sys/wait.h>

#define MUX_VERSION "20"
#define MUX_TLS 0
#define MUX_CROWD 2
static void mux_speak(vt_client_cfg *c) { c->http2 = VT_HTTP2_PRIOR; }
static vt_server *mux_server(vt_server_cfg c) {
    c.addr = "127.0.0.1:0";
    return vt_server_new(&c);
}
static void mux_began(vt_client *c) { (void)c; }
#include "muxcli.h"

/*--- what outlives what ---*/
static struct peer outlived;
static int outlived_fd = -1;
/* Its connection outlives the runtime as well. */
static int serve_on(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    outlived_fd = dup(vt_sock_fd(s));
    return hello(s, 0, 0) ? answer_all(p, s, "on") : 0;
}
static void outlive_first(void) {
    peer_start(&outlived, serve_on);
    client = client_of(NULL);
    CHECK_EQ(get_by(client, outlived.url, "on"), 200);
    CHECK_EQ(client->nidle, 1);
    vt_sock_close(outlived.l);
    vt_task_free(outlived.task);
    vt_stop();
}
static int serve_all(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    return hello(s, 0, 0) ? answer_all(p, s, "again") : 0;
}
static void outlive_second(void) {
    static struct peer p;
    peer_start(&p, serve_all);
    CHECK(get_by(client, outlived.url, NULL) < 0); /* nobody is there, and nothing crashes */
    CHECK_EQ(get_by(client, p.url, "again"), 200);
    vt_client_free(client);
    peer_stop(&p);
}
TEST(a_client_outlives_a_runtime) {
    cli_run(2, outlive_first);
    CHECK_EQ(client->nidle, 1);
    cli_run(2, outlive_second);
    close(outlived_fd);
}
TEST(a_client_is_freed_behind_its_runtime) {
    cli_run(2, outlive_first);
    CHECK_EQ(client->nidle, 1);
    vt_client_free(client);
    close(outlived_fd);
}
/* Two calls find what the last runtime left before either of them sees that. */
static void outlive_twice(void) {
    const vt__cpool_host *h = VT__CONTAINER(client->hosts.next, vt__cpool_host, link);
    vt__cpool_want w[2] = {{.how = h->how}, {.how = h->how}};
    char key[100];
    snprintf(key, sizeof key, "%s", h->key);
    for (int i = 0; i < 2; i++) {
        w[i].key = key;
        vt__ds_list_init(&w[i].link);
        CHECK_EQ(vt__cpool_get(client, &w[i], 0), 0);
    }
    CHECK(w[0].got == w[1].got);
    for (int i = 0; i < 2; i++) {
        CHECK(!vt__cpool_good(w[i].got));
        CHECK_EQ(client->conns, 1);
        vt__cpool_drop(client, w[i].got);
        vt__cpool_reclaim(); /* as another client's end does, meanwhile */
    }
    CHECK_EQ(client->conns, 0);
}
/* What is to be closed is nobody else's any more. */
static void outlive_closing(void) {
    vt__cpool_conn *dead = NULL;
    vt__cpool_lock();
    CHECK_EQ(vt__cpool_trim(client, 0, INT64_MAX, &dead), 1);
    vt__cpool_unlock();
    vt__cpool_reclaim();
    CHECK(!vt__ds_list_empty(&vt__cpool_g.shared));
    vt__cpool_bury(dead, true);
}
TEST(what_outlives_a_runtime_is_closed_once) {
    for (int i = 0; i < 2; i++) {
        cli_run(2, outlive_first);
        CHECK_EQ(client->nidle, 1);
        cli_run(1, i == 0 ? outlive_twice : outlive_closing);
        CHECK(vt__ds_list_empty(&vt__cpool_g.shared));
        vt_client_free(client);
        close(outlived_fd);
    }
}
static void *free_elsewhere(void *arg) {
    vt_client_free(arg);
    return NULL;
}
/* On a thread that is no worker, while the runtime lives: the driver closes. */
CLI_TEST(a_client_is_freed_elsewhere, 2) {
    static struct peer p;
    pthread_t t;
    peer_start(&p, serve_all);
    client = client_of(NULL);
    CHECK_EQ(get_by(client, p.url, "again"), 200);
    CHECK_EQ(pthread_create(&t, NULL, free_elsewhere, client), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    peer_stop(&p); /* it has seen the end */
}
/* And holds the runtime while it decides what is to become of a connection, and does that. */
CLI_TEST(a_runtime_does_not_end_beneath_who_closes, 2) {
    pthread_t t;
    client = client_of(NULL);
    vt__cpool_lock();
    CHECK_EQ(pthread_create(&t, NULL, free_elsewhere, client), 0);
    for (int64_t end = vt_now() + 20 * VT_SEC; vt_now() < end;)
        if (__atomic_load_n(&vt__sched_g.guests, __ATOMIC_SEQ_CST)) break;
    CHECK_EQ(__atomic_load_n(&vt__sched_g.guests, __ATOMIC_SEQ_CST), 1);
    vt__cpool_unlock();
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_EQ(__atomic_load_n(&vt__sched_g.guests, __ATOMIC_SEQ_CST), 0);
}
CLI_TEST(configurations, 1) {
    vt_client *c = vt_client_new(&(vt_client_cfg){.http2 = 3});
    CHECK_EQ(get_by(c, "http://127.0.0.1:1/", NULL), -EINVAL);
    vt_client_free(c);
    c = vt_client_new(&(vt_client_cfg){.http2 = VT_NONE});
    CHECK_EQ(vt_client_close_idle(c), 0);
    vt_client_free(c);
}

/*--- servers that misbehave, or go ---*/
static struct peer script;
static void begin(int (*serve)(struct peer *, vt_sock *, int), const vt_client_cfg *cfg) {
    peer_start(&script, serve);
    client = client_of(cfg);
}
static void end(void) {
    vt_client_free(client);
    peer_stop(&script);
}
/* A GET, or a POST with a body, on a vthread: its status, or its error. */
static int asks(void *arg) { return ask_by(client, script.url, arg); }

/* Of three, the first is finished; the others, whatever their method, are asked elsewhere. */
static int serve_goaway(struct peer *p, vt_sock *s, int nth) {
    if (!hello(s, 0, 0)) return 0;
    if (nth > 0) return answer_all(p, s, "second");
    uint32_t first = request(p, s);
    request(p, s), request(p, s);
    put_goaway(s, first, VT__H2_NO_ERROR);
    for (int i = 0; i < 5000 && __atomic_load_n(&p->requests, __ATOMIC_SEQ_CST) < 5; i++) vt_sleep_ms(1);
    put_answer(s, first, "first");
    struct frame f;
    CHECK(!frame_of(s, &f, VT__H2_T_HEADERS)); /* then the client closes */
    return 0;
}
CLI_TEST(goaway, 2) {
    begin(serve_goaway, NULL);
    vt_task *t[3];
    for (int i = 0; i < 3; i++) {
        t[i] = vt_async(asks, i == 1 ? "body" : NULL);
        while (__atomic_load_n(&script.requests, __ATOMIC_SEQ_CST) <= i) vt_sleep_ms(1);
    }
    for (int i = 0; i < 3; i++) CHECK_EQ(awaited(t[i]), 200);
    CHECK_EQ(script.requests, 5);
    CHECK_EQ(script.conns, 2);
    settles(client, 1);
    end();
}
/* The graceful way, as servers have it: all is taken yet, then nothing more. */
static int serve_graceful(struct peer *p, vt_sock *s, int nth) {
    struct frame f;
    if (!hello(s, 0, 0)) return 0;
    uint32_t id = request(p, s);
    if (nth == 0) put_goaway(s, VT__H2_ID_MAX, VT__H2_NO_ERROR);
    if (id) put_answer(s, id, nth ? "second" : "first");
    CHECK(!frame_of(s, &f, VT__H2_T_HEADERS));
    return 0;
}
CLI_TEST(goaway_between_calls, 1) {
    begin(serve_graceful, NULL);
    CHECK_EQ(get_by(client, script.url, "first"), 200);
    CHECK_EQ(get_by(client, script.url, "second"), 200);
    CHECK_EQ(script.conns, 2);
    end();
}
/* That it is not begun with has been said: a reset behind it changes nothing. Both are read at once. */
static int serve_goaway_and_reset(struct peer *p, vt_sock *s, int nth) {
    uint8_t b[2 * VT__H2_FRAME + 12], *to = vt__h2_put_frame(b, 8, VT__H2_T_GOAWAY, 0, 0);
    struct frame f;
    if (!hello(s, 0, 0)) return 0;
    if (nth > 0) return answer_all(p, s, "second");
    uint32_t id = request(p, s);
    to = vt__str_put32(vt__str_put32(to, 0), VT__H2_NO_ERROR);
    (void)vt__str_put32(vt__h2_put_frame(to, 4, VT__H2_T_RST_STREAM, 0, id), VT__H2_CANCEL);
    if (vt_write(s, b, sizeof b) == sizeof b) CHECK(!frame_of(s, &f, VT__H2_T_HEADERS));
    return 0;
}
CLI_TEST(goaway_and_a_reset, 1) {
    begin(serve_goaway_and_reset, NULL);
    CHECK_EQ(status_of(vt_client_post(client, script.url, NULL, "body", 4)), 200);
    CHECK_EQ(script.requests, 2);
    end();
}
/* Whether it may be sent again is its driver's to say, under the lock; and that may just be saying something. */
static uint32_t deciding, decided;
static int serve_nothing(struct peer *p, vt_sock *s, int nth) {
    struct frame f;
    (void)p, (void)nth;
    if (hello(s, 0, 0)) CHECK(!frame_of(s, &f, VT__H2_T_PING));
    return 0;
}
static void *decides(void *arg) {
    vt__cmux_stream *s = arg;
    CHECK(vt__sched_guest_in());
    vt__sched_dom_lock(s->e.x->dom);
    __atomic_store_n(&deciding, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 50 && !__atomic_load_n(&decided, __ATOMIC_SEQ_CST); i++) usleep(1000);
    s->untaken = true;
    s->e.err = VT_EREFUSED;
    vt__sched_dom_unlock(s->e.x->dom);
    vt__sched_guest_out();
    return NULL;
}
CLI_TEST(its_driver_decides, 1) {
    pthread_t t;
    begin(serve_nothing, NULL);
    vt_call *call = vt_call_new(client, "POST", script.url);
    CHECK_EQ(vt_call_open(call, -1), 0);
    CHECK_EQ(pthread_create(&t, NULL, decides, call->mux.s), 0);
    while (!__atomic_load_n(&deciding, __ATOMIC_SEQ_CST)) usleep(1000);
    CHECK_EQ(call->wire->again(call, VT_EREFUSED), VT__CLI_ANY);
    __atomic_store_n(&decided, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(pthread_join(t, NULL), 0);
    vt_call_free(call);
    end();
}
static unsigned refuse_with, refuse_times;
static int serve_refusals(struct peer *p, vt_sock *s, int nth) {
    char first[4];
    (void)nth;
    if (recv(vt_sock_fd(s), first, 4, MSG_PEEK) == 4 && memcmp(first, "PRI ", 4) != 0) { /* HTTP/1.1 */
        if (peer_head(p, s, 4)) peer_say(s, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold");
        return 0;
    }
    if (!hello(s, 0, 0)) return 0;
    for (uint32_t id; (id = request(p, s)) != 0;)
        if (__atomic_load_n(&refuse_times, __ATOMIC_SEQ_CST) > 0) {
            __atomic_fetch_sub(&refuse_times, 1, __ATOMIC_SEQ_CST);
            put_word(s, VT__H2_T_RST_STREAM, id, refuse_with);
        } else {
            put_answer(s, id, "taken");
        }
    return 0;
}
/* What was not begun with may be sent again, also a POST, a few times; what was given up is not. */
CLI_TEST(refusals_and_resets, 1) {
    const struct {
        unsigned code, times;
        int status, requests;
    } cases[] = {
        {VT__H2_REFUSED_STREAM, 1, 200, 2},           {VT__H2_REFUSED_STREAM, 7, 200, 8},
        {VT__H2_REFUSED_STREAM, 100, VT_EREFUSED, 8}, {VT__H2_CANCEL, 1, VT_ERESET, 1},
        {VT__H2_INTERNAL_ERROR, 1, VT_ERESET, 1},     {VT__H2_NO_ERROR, 1, VT_ERESET, 1},
        {VT__H2_HTTP_1_1_REQUIRED, 100, 200, 2},
    };
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        begin(serve_refusals, NULL);
        refuse_with = cases[i].code;
        __atomic_store_n(&refuse_times, cases[i].times, __ATOMIC_SEQ_CST);
        CHECK_EQ(status_of(vt_client_post(client, script.url, NULL, "body", 4)), cases[i].status);
        CHECK_EQ(script.requests, cases[i].requests);
        __atomic_store_n(&refuse_times, 0, __ATOMIC_SEQ_CST);
        CHECK_EQ(get_by(client, script.url, "taken"), 200); /* the connection is as good as before */
        end();
    }
}
/* One that is busy for a moment is asked again after one. */
static int64_t busy_until;
static int serve_busy(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    if (!hello(s, 0, 0)) return 0;
    for (uint32_t id; (id = request(p, s)) != 0;) {
        if (!busy_until) busy_until = vt_now() + 10 * VT_MS;
        if (vt_now() < busy_until) put_word(s, VT__H2_T_RST_STREAM, id, VT__H2_REFUSED_STREAM);
        else put_answer(s, id, "taken");
    }
    return 0;
}
CLI_TEST(refused_for_a_moment, 1) {
    busy_until = 0;
    begin(serve_busy, NULL);
    CHECK_EQ(get_by(client, script.url, "taken"), 200);
    busy_until = INT64_MAX; /* for ever: its deadline ends that */
    vt_call *call = vt_call_new(client, "GET", script.url);
    vt_call_until(call, vt_now() + 5 * VT_MS);
    CHECK_EQ(vt_call_send(call), -ETIMEDOUT);
    vt_call_free(call);
    end();
}
/* A body that was read from its source cannot be had again. */
CLI_TEST(a_refused_body_that_is_gone, 1) {
    begin(serve_refusals, NULL);
    refuse_with = VT__H2_REFUSED_STREAM;
    __atomic_store_n(&refuse_times, 1, __ATOMIC_SEQ_CST);
    int64_t left = 4;
    vt_call *call = vt_call_new(client, "POST", script.url);
    vt_call_body_from(call, piece, &left, 4);
    CHECK_EQ(vt_call_send(call), VT_EREFUSED);
    vt_call_free(call);
    end();
}
/* What is flushed is in the kernel before the vthread parks. */
static int flushed_to;
static int serve_flushed(struct peer *p, vt_sock *s, int nth) {
    struct frame f;
    (void)nth;
    if (!hello(s, 0, 0)) return 0;
    uint32_t id = request(p, s);
    flushed_to = vt_sock_fd(s);
    return id && frame_of(s, &f, VT__H2_T_DATA) && f.len == 3 ? put_answer(s, id, "here") : 0;
}
CLI_TEST(a_flush_does_not_wait, 1) {
    int n = -1;
    begin(serve_flushed, NULL);
    vt_call *call = vt_call_new(client, "POST", script.url);
    CHECK_EQ(vt_call_open(call, 3), 0);
    for (int i = 0; i < 1000 && !flushed_to; i++) vt_sleep_ms(1);
    vt_sleep_ms(10); /* what begins a connection has gone, both ways */
    CHECK_EQ(vt_call_write(call, "abc", 3), 3);
    CHECK(ioctl(flushed_to, FIONREAD, &n) == 0 && n == 0);
    CHECK_EQ(vt_call_flush(call), 0);
    CHECK(ioctl(flushed_to, FIONREAD, &n) == 0 && n == VT__H2_FRAME + 3);
    CHECK_EQ(vt_call_send(call), 200);
    vt_call_free(call);
    end();
}
/* 1 answers first, then all are left alone: lost, some in the middle. */
static int serve_and_leave(struct peer *p, vt_sock *s, int nth) {
    uint32_t ids[4] = {0};
    if (!hello(s, 0, 0)) return 0;
    if (nth > 0) return answer_all(p, s, "whole");
    put_answer(s, request(p, s), "first");
    for (int i = 0; i < 4; i++) ids[i] = request(p, s);
    put_head(s, ids[0], false, "200", NULL, NULL);
    put_answer(s, ids[1], "here");
    vt_sleep_ms(20);
    return 0;
}
static int reads_whole(void *arg) {
    vt_call *call = vt_call_new(client, arg ? "POST" : "GET", script.url);
    if (arg) vt_call_body(call, arg, strlen(arg));
    int r = vt_call_send(call);
    if (r == 200) r = vt_call_whole(call);
    vt_call_free(call);
    return r;
}
CLI_TEST(a_connection_is_lost, 1) {
    begin(serve_and_leave, NULL);
    CHECK_EQ(get_by(client, script.url, "first"), 200);
    const char *bodies[] = {NULL, NULL, NULL, "body"};
    const bool lost[] = {true, false, false, true}; /* the third was sent again */
    vt_task *t[4];
    for (int i = 0; i < 4; i++) {
        t[i] = vt_async(reads_whole, (void *)(uintptr_t)bodies[i]);
        while (__atomic_load_n(&script.requests, __ATOMIC_SEQ_CST) <= i + 1) vt_sleep_ms(1);
    }
    for (int i = 0; i < 4; i++) {
        int r = awaited(t[i]);
        CHECK(lost[i] ? r == VT_EEOF || r == -ECONNRESET : r == 0);
    }
    CHECK_EQ(script.requests, 6);
    end();
}
/* On a connection that was made for it nothing is tried again; and one that never speaks is given up. */
static int serve_silence(struct peer *p, vt_sock *s, int nth) {
    struct frame f;
    (void)p;
    char preface[VT__H2_PREFACE_LEN];
    if (nth % 2 == 0 || !take(s, preface, sizeof preface)) return 0;
    while (next_frame(s, &f)) continue;
    return 0;
}
CLI_TEST(silence, 1) {
    begin(serve_silence, &(vt_client_cfg){.read_timeout_ms = 300, .connect_timeout_ms = 300});
    int r = get_by(client, script.url, NULL);
    CHECK(r == VT_EEOF || r == -ECONNRESET || r == -EPIPE);
    CHECK_EQ(get_by(client, script.url, NULL), -ETIMEDOUT);
    settles(client, 0); /* a PING tells */
    end();
}
/* A peer that does not answer a PING is not asked again: its other calls end. One that does is. */
static int answers_pings;
static int serve_slowly(struct peer *p, vt_sock *s, int nth) {
    struct frame f;
    (void)nth;
    if (!hello(s, 0, 0)) return 0;
    put(s, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0);
    while (next_frame(s, &f)) {
        if (f.type == VT__H2_T_HEADERS) __atomic_fetch_add(&p->requests, 1, __ATOMIC_SEQ_CST);
        if (f.type == VT__H2_T_PING && answers_pings && !(f.flags & VT__H2_ACK))
            put(s, VT__H2_T_PING, VT__H2_ACK, 0, f.p, 8);
    }
    return 0;
}
CLI_TEST(is_anybody_there, 1) {
    for (answers_pings = 0; answers_pings < 2; answers_pings++) {
        begin(serve_slowly, &(vt_client_cfg){.read_timeout_ms = 20000, .connect_timeout_ms = 500});
        vt_task *t = vt_async(asks, NULL);
        while (!__atomic_load_n(&script.requests, __ATOMIC_SEQ_CST)) vt_sleep_ms(1);
        vt_call *late = vt_call_new(client, "GET", script.url);
        vt_call_until(late, vt_now() + 20 * VT_MS);
        CHECK_EQ(vt_call_send(late), -ETIMEDOUT);
        vt_call_free(late);
        if (answers_pings) {
            vt_sleep_ms(800);
            CHECK(!vt_task_done(t));
            vt_cancel(t);
        }
        CHECK_EQ(awaited(t), answers_pings ? -ECANCELED : -ETIMEDOUT);
        settles(client, answers_pings);
        end();
    }
}
/* No window, then one that is opened by another size for all streams, then by pieces. */
static int serve_small_windows(struct peer *p, vt_sock *s, int nth) {
    struct frame f;
    uint32_t got = 0, id;
    (void)nth;
    if (!hello(s, VT__H2_S_WINDOW, 0) || put_answer(s, request(p, s), "known") < 0) return 0;
    if (!(id = request(p, s))) return 0;
    vt_sleep_ms(30);
    put_setting(s, VT__H2_S_WINDOW, 5);
    bool end = false;
    while (!end && frame_of(s, &f, VT__H2_T_DATA)) {
        CHECK(f.len <= 5);
        got += f.len;
        end = f.flags & VT__H2_END_STREAM;
        if (f.len) put_word(s, VT__H2_T_WINDOW_UPDATE, id, f.len);
    }
    CHECK_EQ(got, 100);
    put_answer(s, id, "all");
    return answer_all(p, s, "more");
}
CLI_TEST(windows_that_stall, 1) {
    static const char body[101] = "body";
    begin(serve_small_windows, NULL);
    CHECK_EQ(get_by(client, script.url, "known"), 200); /* so are the windows then */
    vt_call *call = vt_client_post(client, script.url, NULL, body, 100);
    CHECK_STR(vt_call_text(call).ptr, "all");
    vt_call_free(call);
    CHECK_EQ(get_by(client, script.url, "more"), 200);
    end();
}
static int serve_no_window(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    return hello(s, VT__H2_S_WINDOW, 0) ? answer_all(p, s, "early") : 0;
}
/* A write without progress ends its call, and no other; a response that comes instead is the call's. */
static int serve_never_reads(struct peer *p, vt_sock *s, int nth) {
    struct frame f;
    (void)nth;
    if (!hello(s, VT__H2_S_WINDOW, 0) || !request(p, s)) return 0;
    CHECK(frame_of(s, &f, VT__H2_T_RST_STREAM));
    CHECK_EQ(vt__str_get32(f.p), VT__H2_CANCEL);
    return answer_all(p, s, "next");
}
CLI_TEST(bodies_that_nobody_wants, 1) {
    static const char body[100000] = "body";
    begin(serve_no_window, NULL);
    CHECK_EQ(status_of(vt_client_post(client, script.url, NULL, body, sizeof body)), 200);
    vt_call *call = vt_call_new(client, "POST", script.url);
    CHECK_EQ(vt_call_open(call, -1), 0);
    int64_t n = 1;
    while (n > 0) n = vt_call_write(call, body, 1000);
    CHECK_EQ(n, VT_EANSWERED);
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_STR(vt_call_text(call).ptr, "early");
    vt_call_free(call);
    CHECK_EQ(client->conns, 1);
    end();
    begin(serve_never_reads, &(vt_client_cfg){.write_timeout_ms = 50});
    CHECK_EQ(status_of(vt_client_post(client, script.url, NULL, body, sizeof body)), -ETIMEDOUT);
    CHECK_EQ(get_by(client, script.url, "next"), 200);
    CHECK_EQ(script.conns, 1);
    end();
}
/* A request's body that waits for the connection's window when its answer comes is not wanted any more; the next call's is. */
static int serve_early_answer(struct peer *p, vt_sock *s, int nth) {
    struct frame f;
    size_t got = 0;
    (void)nth;
    if (!hello(s, VT__H2_S_WINDOW, 1 << 20) || put_answer(s, request(p, s), "known") < 0) return 0;
    uint32_t a = request(p, s), b;
    for (; got < VT__H2_WINDOW_FIRST && frame_of(s, &f, VT__H2_T_DATA); got += f.len) continue;
    put_head(s, a, false, "200", NULL, NULL);
    put_word(s, VT__H2_T_WINDOW_UPDATE, 0, 1000);
    if ((b = request(p, s)) == 0) return 0;
    CHECK(frame_of(s, &f, VT__H2_T_DATA) && f.id == b);
    put_answer(s, b, "next");
    put(s, VT__H2_T_DATA, VT__H2_END_STREAM, a, "early", 5);
    return answer_all(p, s, "more");
}
CLI_TEST(an_answer_frees_the_turn_to_write, 1) {
    static const char body[100000] = "body";
    begin(serve_early_answer, &(vt_client_cfg){.write_timeout_ms = 500});
    CHECK_EQ(get_by(client, script.url, "known"), 200);
    vt_call *call = vt_call_new(client, "POST", script.url);
    vt_call_body(call, body, sizeof body);
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(status_of(vt_client_post(client, script.url, NULL, body, 100)), 200);
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_STR(vt_call_text(call).ptr, "early");
    vt_call_free(call);
    CHECK_EQ(script.conns, 1);
    end();
}
/* The peer's limit goes down to one, while two are out. */
static int serve_less_and_less(struct peer *p, vt_sock *s, int nth) {
    uint32_t a, b;
    if (!hello(s, 0, 0) || !(a = request(p, s)) || !(b = request(p, s))) return 0;
    put_setting(s, VT__H2_S_STREAMS, 1);
    CHECK_EQ(nth, 0);
    put_answer(s, a, "x");
    vt_sleep_ms(20);
    CHECK_EQ(__atomic_load_n(&p->requests, __ATOMIC_SEQ_CST), 2);
    put_answer(s, b, "x");
    while ((a = request(p, s)) != 0) {
        vt_sleep_ms(5);
        put_answer(s, a, "x");
    }
    return 0;
}
CLI_TEST(a_limit_that_shrinks, 1) {
    begin(serve_less_and_less, &(vt_client_cfg){.max_connections_host = 1});
    vt_task *t[5];
    for (int i = 0; i < 5; i++) {
        t[i] = vt_async(asks, NULL);
        if (i == 1)
            while (__atomic_load_n(&script.requests, __ATOMIC_SEQ_CST) < 2 || client->conns != 1)
                vt_sleep_ms(1);
        if (i == 1) vt_sleep_ms(10);
    }
    for (int i = 0; i < 5; i++) CHECK_EQ(awaited(t[i]), 200);
    CHECK_EQ(script.conns, 1);
    end();
}
/* What is wrong with a response is its call's; what is wrong with a connection is all its calls'. */
static const struct bad {
    const char *what;
    int (*say)(vt_sock *s, uint32_t id);
    int err;
    bool all; /* the connection ends */
} * bad;
static int say_short(vt_sock *s, uint32_t id) {
    put_head(s, id, false, "200", "content-length", "10");
    return put(s, VT__H2_T_DATA, VT__H2_END_STREAM, id, "short", 5);
}
static int say_long(vt_sock *s, uint32_t id) {
    put_head(s, id, false, "200", "content-length", "3");
    return put(s, VT__H2_T_DATA, 0, id, "longer", 6);
}
static int say_no_status(vt_sock *s, uint32_t id) {
    uint8_t b[40];
    size_t n = hpack_line(b, "x-a", "b");
    return put(s, VT__H2_T_HEADERS, VT__H2_END_HEADERS, id, b, n);
}
static int say_upper(vt_sock *s, uint32_t id) { return put_head(s, id, true, "200", "X-Upper", "b"); }
static int say_connection(vt_sock *s, uint32_t id) {
    return put_head(s, id, true, "200", "connection", "close");
}
static int say_101(vt_sock *s, uint32_t id) { return put_head(s, id, false, "101", NULL, NULL); }
static int say_data_first(vt_sock *s, uint32_t id) { return put(s, VT__H2_T_DATA, 0, id, "data", 4); }
static int say_push(vt_sock *s, uint32_t id) {
    return put(s, VT__H2_T_PUSH_PROMISE, VT__H2_END_HEADERS, id, "\0\0\0\2\x82", 5);
}
static int say_garbage(vt_sock *s, uint32_t id) {
    (void)id;
    return vt_write(s, "HTTP/1.1 400 Bad Request\r\n\r\n", 28) < 0 ? -1 : 0;
}
static int say_bad_hpack(vt_sock *s, uint32_t id) {
    return put(s, VT__H2_T_HEADERS, VT__H2_END_HEADERS, id, "\xff\xff\xff\xff\xff\xff\xff", 7);
}
static int say_window(vt_sock *s, uint32_t id) {
    (void)id;
    return put_word(s, VT__H2_T_WINDOW_UPDATE, 0, 0x7fffffff);
}
static int say_many_fields(vt_sock *s, uint32_t id) {
    uint8_t b[16000];
    size_t n = hpack_line(b, ":status", "200");
    for (int i = 0; i < 300; i++) n += hpack_line(b + n, "x-a", "b");
    return put(s, VT__H2_T_HEADERS, VT__H2_END_HEADERS | VT__H2_END_STREAM, id, b, n);
}
static int say_interims(vt_sock *s, uint32_t id) {
    for (int i = 0; i < 200; i++)
        if (put_head(s, id, false, "103", "link", "</x>") < 0) return -1;
    return 0;
}
static int say_large_trailers(vt_sock *s, uint32_t id) {
    uint8_t b[16000];
    char value[120];
    size_t n = 0;
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 90; i++) n += hpack_line(b + n, "x-a", value);
    put_head(s, id, false, "200", NULL, NULL);
    return put(s, VT__H2_T_HEADERS, VT__H2_END_HEADERS | VT__H2_END_STREAM, id, b, n);
}
static int serve_bad(struct peer *p, vt_sock *s, int nth) {
    uint32_t id, other;
    if (!hello(s, 0, 0)) return 0;
    if (nth > 0) return answer_all(p, s, "good");
    if (!(other = request(p, s)) || !(id = request(p, s))) return 0;
    if (bad->say(s, id) < 0) return 0;
    if (!bad->all) put_answer(s, other, "good");
    return answer_all(p, s, "good");
}
CLI_TEST(bad_responses, 1) {
    static const struct bad cases[] = {
        {"short", say_short, VT_EHTTP, false},
        {"long", say_long, VT_EHTTP, false},
        {"no status", say_no_status, VT_EHTTP, false},
        {"upper case", say_upper, VT_EHTTP, false},
        {"connection", say_connection, VT_EHTTP, false},
        {"101", say_101, VT_EHTTP, false},
        {"data first", say_data_first, VT_EHTTP, false},
        {"fields", say_many_fields, VT_EHEAD, false},
        {"interims", say_interims, VT_EHTTP, false},
        {"trailers", say_large_trailers, VT_EHTTP, false},
        {"push", say_push, VT_EHTTP, true},
        {"garbage", say_garbage, VT_EHTTP, true},
        {"hpack", say_bad_hpack, VT_EHTTP, true},
        {"window", say_window, VT_EHTTP, true},
    };
    for (bad = cases; bad < cases + VT__COUNT(cases); bad++) {
        begin(serve_bad, NULL);
        vt_task *other = vt_async(reads_whole, (void *)(uintptr_t) "body"); /* a POST: not sent again */
        while (__atomic_load_n(&script.requests, __ATOMIC_SEQ_CST) < 1) vt_sleep_ms(1);
        int r = reads_whole((void *)(uintptr_t) "body");
        if (r != bad->err) test_fail(__FILE__, __LINE__, bad->what);
        CHECK_EQ(r, bad->err);
        CHECK_EQ(awaited(other), bad->all ? VT_EHTTP : 0);
        CHECK_EQ(get_by(client, script.url, "good"), 200);
        CHECK_EQ(script.conns, 1 + bad->all);
        end();
    }
}
/* 421 on a connection that was used before: once more, on a new one. */
static int serve_421(struct peer *p, vt_sock *s, int nth) {
    if (!hello(s, 0, 0)) return 0;
    for (uint32_t id; (id = request(p, s)) != 0;)
        if (p->requests == 1 || nth == 1) put_answer(s, id, "mine");
        else put_head(s, id, true, "421", NULL, NULL);
    return 0;
}
CLI_TEST(misdirected, 1) {
    begin(serve_421, NULL);
    CHECK_EQ(get_by(client, script.url, "mine"), 200);
    CHECK_EQ(status_of(vt_client_post(client, script.url, NULL, "x", 1)), 200);
    CHECK_EQ(script.conns, 2);
    CHECK_EQ(script.requests, 3);
    end();
}
/* Whole, and then RST_STREAM without an error: the response counts (RFC 9113 8.1). */
static int serve_whole_and_reset(struct peer *p, vt_sock *s, int nth) {
    uint32_t id;
    (void)nth;
    if (!hello(s, VT__H2_S_WINDOW, 10)) return 0;
    while ((id = request(p, s)) != 0) {
        put_answer(s, id, "enough");
        put_word(s, VT__H2_T_RST_STREAM, id, VT__H2_NO_ERROR);
    }
    return 0;
}
CLI_TEST(an_answer_and_a_reset, 1) {
    static const char body[1000] = "body";
    begin(serve_whole_and_reset, NULL);
    for (int i = 0; i < 3; i++) {
        vt_call *call = vt_client_post(client, script.url, NULL, body, sizeof body);
        CHECK_EQ(vt_call_status(call), 200);
        CHECK_STR(vt_call_text(call).ptr, "enough");
        vt_call_free(call);
    }
    CHECK_EQ(script.conns, 1);
    end();
}
/* Content-Length: 0 is not the end: trailers follow, and nobody resets the stream. */
static int serve_trailers_alone(struct peer *p, vt_sock *s, int nth) {
    uint8_t b[64];
    struct frame f;
    (void)nth;
    if (!hello(s, 0, 0)) return 0;
    uint32_t id = request(p, s);
    size_t n = hpack_line(b, "x-end", "reached");
    put_head(s, id, false, "200", "content-length", "0");
    put(s, VT__H2_T_HEADERS, VT__H2_END_HEADERS | VT__H2_END_STREAM, id, b, n);
    CHECK(!frame_of(s, &f, VT__H2_T_RST_STREAM));
    return 0;
}
CLI_TEST(no_body_but_trailers, 1) {
    begin(serve_trailers_alone, NULL);
    vt_call *call = vt_client_get(client, script.url);
    CHECK_EQ(vt_call_status(call), 200);
    CHECK_EQ(vt_call_length(call), 0);
    CHECK_STR(vt_call_res_trailer(call, "x-end").ptr, "reached");
    vt_call_free(call);
    end();
}
/* One that is being made holds up others, until it is known that it is for one call at a time; then none does. */
CLI_TEST(who_waits_for_what_is_being_made, 1) {
    vt__cpool_conn *k[4];
    client = client_of(NULL);
    CHECK_EQ(vt__cpool_take(client, "key", VT__CPOOL_MUX, false, 0, &k[0]), 0);
    CHECK_EQ(vt__cpool_take(client, "key", VT__CPOOL_MUX, false, vt_now() + VT_MS, &k[1]), -ETIMEDOUT);
    CHECK_EQ(vt__cpool_take(client, "other", VT__CPOOL_MUX, false, vt_now() + VT_MS, &k[1]), 0);
    vt__cpool_single(k[0]);
    for (int i = 2; i < 4; i++)
        CHECK_EQ(vt__cpool_take(client, "key", VT__CPOOL_MUX, false, vt_now() + VT_MS, &k[i]), 0);
    for (int i = 0; i < 4; i++) vt__cpool_give(client, k[i], false);
    CHECK_EQ(client->conns, 0);
    vt_client_free(client);
}
/* All begin while the first connection is being made: they wait for it. */
static int serve_after_a_while(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    vt_sleep_ms(20);
    return hello(s, 0, 0) ? answer_all(p, s, "x") : 0;
}
CLI_TEST(one_connection_for_all_that_begin, 4) {
    begin(serve_after_a_while, NULL);
    vt_task *t[50];
    for (int i = 0; i < 50; i++) t[i] = vt_async_any(asks, NULL);
    for (int i = 0; i < 50; i++) CHECK_EQ(awaited(t[i]), 200);
    CHECK_EQ(script.conns, 1);
    end();
}

/*--- WebSockets ---*/
static int (*ws_say)(struct peer *p, vt_sock *s, uint32_t id, int nth);
static int serve_ws(struct peer *p, vt_sock *s, int nth) {
    if (!hello(s, VT__H2_S_CONNECT, 1)) return 0;
    for (uint32_t id; (id = request(p, s)) != 0;)
        if (ws_say(p, s, id, nth) < 0) break;
    return 0;
}
static void begin_ws(int (*say)(struct peer *p, vt_sock *s, uint32_t id, int nth), const vt_client_cfg *cfg) {
    ws_say = say;
    begin(serve_ws, cfg);
}
static int ws_open_script(vt_ws **ws) {
    static const vt_ws_cfg cfg = {.close_ms = VT_NONE, .protocols = "one, two"};
    return vt_client_ws(client, ws_url(script.url, ""), &cfg, ws);
}
static int put_yes(vt_sock *s, uint32_t id) { return put_head(s, id, false, "200", NULL, NULL); }
static int put_hello(vt_sock *s, uint32_t id) {
    return put(s, VT__H2_T_DATA, 0, id,
               "\x81\x05"
               "hello",
               7);
}
static void hears_hello(vt_ws *ws) {
    vt_str m;
    CHECK_EQ(vt_ws_recv(ws, &m), VT_WS_TEXT);
    CHECK_STR(m.ptr, "hello");
}
static int opens_one(void *arg) {
    vt_ws *ws;
    (void)arg;
    int r = ws_open_script(&ws);
    if (ws) hears_hello(ws);
    vt_ws_free(ws);
    return r;
}
/* A server that does not take them is asked over HTTP/1.1, on another connection, and the other one is kept. */
static int serve_no_connect(struct peer *p, vt_sock *s, int nth) {
    char first[4], accept[VT__WS_ACCEPT_LEN + 1] = "", head[300];
    ssize_t n;
    (void)nth;
    while ((n = recv(vt_sock_fd(s), first, 4, MSG_PEEK)) < 0 && errno == EAGAIN) vt_sleep_ms(1);
    if (n != 4) return 0;
    if (memcmp(first, "PRI ", 4) == 0) return hello(s, 0, 0) ? answer_all(p, s, "two") : 0;
    size_t from = p->ngot;
    if (!peer_head(p, s, 0)) return 0;
    const char *key = strstr(p->got + from, "Sec-WebSocket-Key: ");
    if (!key) return 0;
    vt__ws_accept(accept, key + 19);
    snprintf(head, sizeof head,
             "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n"
             "\x81\x05hello",
             accept);
    peer_say(s, head);
    while (vt_read(s, head, sizeof head) > 0) continue;
    return 0;
}
CLI_TEST(websockets_of_a_server_that_takes_none, 1) {
    vt_ws *ws;
    begin(serve_no_connect, NULL);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(ws_open_script(&ws), 0);
        if (ws) hears_hello(ws);
        if (ws) CHECK(((vt_call *)ws->base)->single);
        vt_ws_free(ws);
        CHECK_EQ(get_by(client, script.url, "two"), 200);
    }
    CHECK_EQ(script.conns, 3);
    settles(client, 1);
    end();
}
/* And it is not asked anew for each, where the other connection is not kept; only after a while. */
static bool old_by_reset;
static int serve_old(struct peer *p, vt_sock *s, int nth) {
    char first[4];
    ssize_t n;
    while ((n = recv(vt_sock_fd(s), first, 4, MSG_PEEK)) < 0 && errno == EAGAIN) vt_sleep_ms(1);
    if (n != 4 || memcmp(first, "PRI ", 4) != 0 || !old_by_reset || nth > 0)
        return serve_no_connect(p, s, nth);
    if (!hello(s, VT__H2_S_CONNECT, 1)) return 0;
    for (uint32_t id; (id = request(p, s)) != 0;)
        put_word(s, VT__H2_T_RST_STREAM, id, VT__H2_HTTP_1_1_REQUIRED);
    return 0;
}
CLI_TEST(websockets_are_not_asked_for_again_and_again, 1) {
    for (int by_reset = 0; by_reset < 2; by_reset++) {
        old_by_reset = by_reset;
        begin(serve_old, &(vt_client_cfg){.max_idle = VT_NONE});
        for (int i = 1; i <= 3; i++) {
            CHECK_EQ(opens_one(NULL), 0);
            CHECK_EQ(script.conns, i + 1);
        }
        CHECK_EQ(get_by(client, script.url, "two"), 200); /* which is HTTP/2 as before */
        CHECK_EQ(script.conns, 5);
        for (size_t i = 0; i < VT__COUNT(client->no_ws); i++)
            if (client->no_ws[i].until) client->no_ws[i].until = vt__plat_now();
        CHECK_EQ(opens_one(NULL), 0);
        CHECK_EQ(script.conns, 7);
        end();
    }
}
/* Nothing is asked before SETTINGS are here; and not for ever. */
static int settings_after;
static int serve_late_settings(struct peer *p, vt_sock *s, int nth) {
    char preface[VT__H2_PREFACE_LEN];
    uint8_t rest[1000];
    size_t n = 0;
    (void)nth;
    if (!take(s, preface, sizeof preface)) return 0;
    vt_sleep_ms(settings_after);
    ssize_t got = recv(vt_sock_fd(s), rest, sizeof rest, MSG_PEEK | MSG_DONTWAIT);
    for (; got > 0 && n + VT__H2_FRAME <= (size_t)got; n += VT__H2_FRAME + (vt__str_get32(rest + n) >> 8))
        CHECK(rest[n + 3] != VT__H2_T_HEADERS);
    if (put_setting(s, VT__H2_S_CONNECT, 1) < 0) return 0;
    for (uint32_t id; (id = request(p, s)) != 0;)
        if (put_yes(s, id) < 0 || put_hello(s, id) < 0) break;
    return 0;
}
CLI_TEST(websockets_wait_for_settings, 2) {
    for (int late = 0; late < 2; late++) {
        vt_task *t[3];
        settings_after = late ? 2000 : 30;
        begin(serve_late_settings, &(vt_client_cfg){.connect_timeout_ms = late ? 50 : 5000});
        for (int i = 0; i < 3; i++) t[i] = vt_async_any(opens_one, NULL);
        for (int i = 0; i < 3; i++) CHECK_EQ(awaited(t[i]), late ? -ETIMEDOUT : 0);
        CHECK_EQ(script.requests, late ? 0 : 3);
        CHECK_EQ(client->conns - client->nidle, 0);
        end();
    }
}
/* SETTINGS that do not come, since the connection ends, or with it. */
static int serve_settings_and_end(struct peer *p, vt_sock *s, int nth) {
    char preface[VT__H2_PREFACE_LEN];
    struct frame f;
    if (nth == 0) return take(s, preface, sizeof preface) ? (vt_sleep_ms(10), 0) : 0;
    if (!hello(s, VT__H2_S_CONNECT, 1)) return 0;
    if (nth == 1) put_goaway(s, 0, VT__H2_NO_ERROR);
    else if (put_yes(s, request(p, s)) < 0 || put_hello(s, 1) < 0) return 0;
    CHECK(!frame_of(s, &f, VT__H2_T_HEADERS));
    return 0;
}
CLI_TEST(websockets_without_settings, 1) {
    vt_ws *ws;
    begin(serve_settings_and_end, NULL);
    int r = ws_open_script(&ws);
    CHECK(r == -ECONNRESET || r == VT_EEOF);
    CHECK_EQ(ws_open_script(&ws), 0); /* the second said GOAWAY */
    CHECK_EQ(script.conns, 3);
    if (ws) hears_hello(ws);
    vt_ws_free(ws);
    end();
}
/* What the server did not begin with is asked for again, as other calls are. */
static int say_refused(struct peer *p, vt_sock *s, uint32_t id, int nth) {
    (void)p, (void)nth;
    if (refuse_times > 0) return refuse_times--, put_word(s, VT__H2_T_RST_STREAM, id, refuse_with);
    return put_yes(s, id) < 0 ? -1 : put_hello(s, id);
}
static int say_away(struct peer *p, vt_sock *s, uint32_t id, int nth) {
    return nth == 0 ? put_goaway(s, 0, VT__H2_NO_ERROR) : say_refused(p, s, id, nth);
}
CLI_TEST(websockets_that_are_refused, 1) {
    const struct {
        unsigned code, times;
        int result, requests;
    } cases[] = {{VT__H2_REFUSED_STREAM, 1, 0, 2},
                 {VT__H2_REFUSED_STREAM, 100, VT_EREFUSED, 8},
                 {VT__H2_CANCEL, 1, VT_ERESET, 1}};
    vt_ws *ws;
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        refuse_with = cases[i].code, refuse_times = cases[i].times;
        begin_ws(say_refused, NULL);
        CHECK_EQ(ws_open_script(&ws), cases[i].result);
        if (ws) hears_hello(ws);
        vt_ws_free(ws);
        CHECK_EQ(script.requests, cases[i].requests);
        refuse_times = 0;
        settles(client, 1);
        end();
    }
    begin_ws(say_away, NULL);
    CHECK_EQ(ws_open_script(&ws), 0);
    if (ws) hears_hello(ws);
    vt_ws_free(ws);
    CHECK_EQ(script.conns, 2);
    end();
}
/* Answers that are no WebSocket's; the stream is reset, the connection is as good as before. */
static const char *answer_as[3];
static int say_answer(struct peer *p, vt_sock *s, uint32_t id, int nth) {
    (void)p, (void)nth;
    if (put_head(s, id, false, answer_as[0], answer_as[1], answer_as[2]) < 0) return -1;
    return put_hello(s, id);
}
CLI_TEST(the_answer_is_looked_at, 1) {
    static const struct {
        const char *answer[3];
        int result;
    } cases[] = {{{"200", "sec-websocket-protocol", "two"}, 0},
                 {{"204", "content-length", "3"}, 0}, /* which say nothing here */
                 {{"200", "sec-websocket-accept", "what"}, 0},
                 {{"200", "sec-websocket-protocol", "three"}, VT_EWSUPGRADE},
                 {{"200", "sec-websocket-extensions", "permessage-deflate"}, VT_EWSUPGRADE},
                 {{"300", "x", "y"}, VT_EWSUPGRADE},
                 {{"403", "x", "y"}, VT_EWSUPGRADE},
                 {{"101", "x", "y"}, VT_EHTTP}};
    vt_ws *ws;
    begin_ws(say_answer, NULL);
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        memcpy(answer_as, cases[i].answer, sizeof answer_as);
        CHECK_EQ(ws_open_script(&ws), cases[i].result);
        if (ws && i == 0) CHECK_STR(vt_ws_protocol(ws).ptr, "two");
        if (ws) hears_hello(ws);
        vt_ws_free(ws);
    }
    CHECK_EQ(script.conns, 1);
    settles(client, 1);
    end();
}
/* How they end: by a reset, by the stream's end without a close frame, with the connection; who waits for room hears of it, too. */
static int ends_as, end_heard;
static int say_end(struct peer *p, vt_sock *s, uint32_t id, int nth) {
    (void)p, (void)nth;
    bool at_once = ends_as == 3;
    if (put_head(s, id, at_once, "200", NULL, NULL) < 0 || at_once) return 0;
    if (put_hello(s, id) < 0) return -1;
    for (int i = 0; i < 20000 && !__atomic_load_n(&end_heard, __ATOMIC_SEQ_CST); i++)
        vt_sleep_ms(1); /* a reset takes what nobody has read */
    vt_sleep_ms(30);    /* what the sender has goes out meanwhile, as far as the windows */
    switch (ends_as) {
    case 0: return put_word(s, VT__H2_T_RST_STREAM, id, VT__H2_CANCEL);
    case 1: return put(s, VT__H2_T_DATA, VT__H2_END_STREAM, id, NULL, 0);
    default: return -1;
    }
}
CLI_TEST(websockets_end, 2) {
    for (ends_as = 0; ends_as < 4; ends_as++) {
        vt_ws *ws;
        vt_str m;
        __atomic_store_n(&end_heard, 0, __ATOMIC_SEQ_CST);
        begin_ws(say_end, &(vt_client_cfg){.write_timeout_ms = ends_as == 1 ? 200 : 60000});
        CHECK_EQ(ws_open_script(&ws), 0);
        if (!ws) continue;
        vt_task *t = vt_async_any(ws_floods, ws);
        if (ends_as < 3) hears_hello(ws);
        __atomic_store_n(&end_heard, 1, __ATOMIC_SEQ_CST);
        int r = vt_ws_recv(ws, &m);
        CHECK_EQ(r, ends_as == 1 || ends_as == 3 ? VT_EEOF : -ECONNRESET);
        CHECK_EQ(vt_ws_recv(ws, &m), r);
        CHECK_EQ(vt_ws_close_code(ws), 1006);
        if (ends_as == 3) vt_cancel(t); /* the other half is open yet */
        CHECK_EQ(awaited(t), ends_as == 1 ? -ETIMEDOUT : ends_as == 3 ? -ECANCELED : -ECONNRESET);
        vt_ws_free(ws);
        settles(client, ends_as != 2);
        end();
    }
}
/* The connection is lost behind the stream's end: who sends hears of it. */
static int say_half(struct peer *p, vt_sock *s, uint32_t id, int nth) {
    (void)p, (void)nth;
    if (put_yes(s, id) < 0 || put(s, VT__H2_T_DATA, VT__H2_END_STREAM, id, NULL, 0) < 0) return -1;
    vt_sleep_ms(50);
    return -1;
}
CLI_TEST(half_a_websocket_is_lost, 2) {
    vt_ws *ws;
    begin_ws(say_half, NULL);
    REQUIRE(ws_open_script(&ws) == 0);
    CHECK_EQ(ws_floods(ws), -ECONNRESET);
    vt_ws_free(ws);
    settles(client, 0);
    end();
}
/* The end in order: our close frame, theirs, the end of both halves; no reset. */
static int resets;
static int say_close(struct peer *p, vt_sock *s, uint32_t id, int nth) {
    struct frame f;
    (void)p, (void)nth;
    if (put_yes(s, id) < 0 || !frame_of(s, &f, VT__H2_T_DATA)) return -1;
    CHECK_EQ(f.len, 8);
    CHECK_EQ(f.p[0], 0x88);
    put(s, VT__H2_T_DATA, 0, id, "\x88\x02\x03\xe8", 4);
    CHECK(frame_of(s, &f, VT__H2_T_DATA));
    CHECK_EQ(f.len, 0);
    CHECK(f.flags & VT__H2_END_STREAM);
    put(s, VT__H2_T_DATA, VT__H2_END_STREAM, id, NULL, 0);
    while (next_frame(s, &f)) resets += f.type == VT__H2_T_RST_STREAM;
    return -1;
}
CLI_TEST(websockets_close_in_order, 1) {
    vt_ws *ws;
    resets = 0;
    begin_ws(say_close, NULL);
    CHECK_EQ(vt_client_ws(client, ws_url(script.url, ""), NULL, &ws), 0);
    vt_ws_free(ws);
    settles(client, 1);
    end();
    CHECK_EQ(resets, 0);
}
/* An answer that is here when the connection cannot be written to any more. */
static int left_behind;
static int serve_answer_and_die(struct peer *p, vt_sock *s, int nth) {
    struct linger now = {1, 0};
    (void)nth;
    if (!hello(s, 0, 0) || put_answer(s, request(p, s), "known") < 0) return 0;
    uint32_t a = request(p, s);
    put_answer(s, a, "enough");
    setsockopt(vt_sock_fd(s), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    shutdown(vt_sock_fd(s), SHUT_RD);
    __atomic_store_n(&left_behind, 1, __ATOMIC_SEQ_CST);
    return 0;
}
CLI_TEST(an_answer_before_the_end, 1) {
    static const char body[60000] = "body";
    begin(serve_answer_and_die, NULL);
    CHECK_EQ(get_by(client, script.url, "known"), 200);
    vt_call *call = vt_call_new(client, "POST", script.url);
    CHECK_EQ(vt_call_open(call, -1), 0);
    CHECK_EQ(vt_call_write(call, "abc", 3), 3);
    CHECK_EQ(vt_call_flush(call), 0);
    while (!left_behind) vt_yield();
    vt_yield();
    (void)vt_call_write(call, body, 60000);
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_STR(vt_call_text(call).ptr, "enough");
    vt_call_free(call);
    end();
}
