/* The client against servers that a script plays: whole answers, cut ones, slow ones, hostile ones. Against this library's
 * server: e2e_cli_srv.c. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"

#include <sys/wait.h>
#include <unistd.h>

static vt_client *client;

static void begin(struct peer *p, int (*serve)(struct peer *, vt_sock *, int), const vt_client_cfg *cfg) {
    client = vt_client_new(cfg);
    peer_start(p, serve);
}
static void end(struct peer *p) {
    vt_client_free(client);
    peer_stop(p);
}
/* A GET's status or error, its body compared where there is one to compare with. */
static int get(const char *url, const char *body) {
    vt_call *call = vt_client_get(client, url);
    int status = vt_call_status(call);
    if (body && status >= 0) CHECK_STR(vt_call_text(call).ptr, body);
    vt_call_free(call);
    return status;
}

/* Answers each request with p->answer, in pieces of p->cut bytes. */
static int serve_answer(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    while (peer_head(p, s, 0)) {
        size_t first = p->cut && p->cut < p->n ? p->cut : p->n;
        if (vt_write(s, p->answer, first) < 0) return 0;
        if (first < p->n) vt_sleep(VT_MS / 4); /* for the client to see the first part alone */
        if (first < p->n && vt_write(s, p->answer + first, p->n - first) < 0) return 0;
    }
    return 0;
}
static void answer(struct peer *p, const char *text) {
    p->answer = text;
    p->n = strlen(text);
}
#define OK "HTTP/1.1 200 OK\r\n"
#define EMPTY OK "Content-Length: 0\r\n\r\n"

CLI_TEST(every_split_point, 1) {
    static const char *const answers[] = {
        OK "Content-Length: 5\r\nA: b\r\n\r\nhello",
        OK "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-End: yes\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 \r\n\r\n" OK
        "Content-Length: 5\r\n\r\nhello"};
    static struct peer p;
    begin(&p, serve_answer, NULL);
    for (size_t i = 0; i < VT__COUNT(answers); i++) {
        answer(&p, answers[i]);
        for (p.cut = 1; p.cut < p.n; p.cut++) CHECK_EQ(get(p.url, "hello"), 200);
    }
    CHECK_EQ(p.conns, 1); /* each left the connection fit for the next */
    end(&p);
}

/* Sends p->cut bytes of the answer and closes; with nth odd, by a reset. */
static int serve_cut(struct peer *p, vt_sock *s, int nth) {
    if (!peer_head(p, s, 0)) return 0;
    vt_write(s, p->answer, p->cut);
    if (nth % 2 == 0) return 0;
    vt_sleep(VT_MS / 4);
    return -1;
}
static void cut_everywhere(struct peer *p, const char *text) {
    answer(p, text);
    for (p->cut = 0; p->cut < p->n; p->cut++)
        for (int i = 0; i < 2; i++) {
            int r = get(p->url, NULL);
            if (r != VT_EEOF && r != -ECONNRESET) printf("cut at %zu of %.40s\n", p->cut, text);
            CHECK(r == VT_EEOF || r == -ECONNRESET);
        }
}
CLI_TEST(cut_off_at_every_byte, 1) {
    static struct peer p;
    begin(&p, serve_cut, NULL);
    cut_everywhere(&p, OK "Content-Length: 5\r\nA: b\r\n\r\nhello");
    cut_everywhere(&p, OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n");
    cut_everywhere(&p, "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 204 No\r\n\r\n");
    end(&p);
}
CLI_TEST(a_large_body_cut_off, 1) {
    static char text[60000];
    static struct peer p;
    begin(&p, serve_cut, NULL);
    size_t n = (size_t)sprintf(text, OK "Content-Length: 60000\r\n\r\n");
    memset(text + n, 'x', 50000);
    answer(&p, text);
    p.cut = p.n;
    CHECK_EQ(get(p.url, NULL), VT_EEOF);
    end(&p);
}
CLI_TEST(close_is_the_end_of_what_has_no_other, 1) {
    static struct peer p;
    begin(&p, serve_cut, NULL);
    answer(&p, OK "\r\nall of it");
    p.cut = p.n;
    CHECK_EQ(get(p.url, "all of it"), 200); /* FIN */
    int r = get(p.url, NULL);               /* RST, which is no end */
    CHECK(r == -ECONNRESET || r == VT_EEOF);
    CHECK_EQ(p.conns, 2);
    end(&p);
}

/* What is no HTTP, or more than one: refused, and never used again. */
CLI_TEST(garbage, 1) {
    static const char *const bad[] = {
        "garbage\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        OK "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK "Transfer-Encoding: gzip\r\n\r\n",
        OK "Content-Length: -1\r\n\r\n",
        OK "Content-Length : 0\r\n\r\n",
        OK " Content-Length: 0\r\n\r\n",
        OK "A: b\r\n c\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    };
    static struct peer p;
    begin(&p, serve_answer, NULL);
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        answer(&p, bad[i]);
        int r = get(p.url, NULL);
        if (r != VT_EHTTP) printf("%d: %s\n", r, bad[i]);
        CHECK_EQ(r, VT_EHTTP);
        CHECK_EQ(client->conns, 0);
    }
    end(&p);
}
/* Where a chunk is no chunk nothing that follows can tell where the answer ends. */
static int serve_second_chunk(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    while (peer_head(p, s, 0)) {
        if (peer_say(s, OK "Transfer-Encoding: chunked\r\n\r\n1\r\na") < 0) return 0;
        if (vt_sem_acquire(&p->go) < 0) return 0;
        if (peer_say(s, "\r\n5Zabc\r\n0\r\n\r\n") < 0) return 0;
    }
    return 0;
}
CLI_TEST(a_call_that_failed_keeps_no_connection, 1) {
    static struct peer p;
    char c;
    begin(&p, serve_second_chunk, NULL);
    vt_call *call = vt_call_new(client, "GET", p.url);
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_read(call, &c, 1), 1);
    vt_sem_release(&p.go, 1);
    CHECK_EQ(vt_call_read(call, &c, 1), VT_EHTTP);
    CHECK_EQ(client->conns, 0);
    vt_call_free(call);
    end(&p);
}
/* A second answer behind the first belongs to nobody. */
CLI_TEST(surplus_ends_the_connection, 1) {
    static const char *const more[] = {EMPTY "x",
                                       EMPTY EMPTY,
                                       "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 Evil\r\n\r\n",
                                       OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" EMPTY,
                                       "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n",
                                       "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"};
    static struct peer p;
    begin(&p, serve_answer, NULL);
    for (size_t i = 0; i < VT__COUNT(more); i++) {
        answer(&p, more[i]);
        CHECK(get(p.url, "") > 0);
        CHECK_EQ(client->conns, 0);
    }
    end(&p);
}
/* It comes late: the connection is kept already, and looked at before its next use. */
static int serve_late_surplus(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    if (!peer_head(p, s, 0) || peer_say(s, EMPTY) < 0) return 0;
    vt_sleep_ms(1);
    peer_say(s, nth == 0 ? OK "Content-Length: 4\r\n\r\nevil" : "");
    peer_head(p, s, 0);
    return peer_say(s, EMPTY);
}
CLI_TEST(surplus_on_an_idle_connection, 1) {
    static struct peer p;
    begin(&p, serve_late_surplus, NULL);
    CHECK_EQ(get(p.url, ""), 200);
    CHECK_EQ(client->nidle, 1);
    vt_sleep_ms(20);
    CHECK_EQ(get(p.url, ""), 200);
    CHECK_EQ(p.conns, 2);
    end(&p);
}

/*--- kept connections that are no good ---*/
/* Each connection answers one request; with nth 0, what comes next is read and not answered. */
static int serve_once(struct peer *p, vt_sock *s, int nth) {
    if (!peer_head(p, s, 0) || peer_say(s, EMPTY) < 0) return 0;
    if (nth == 0 && p->n) peer_head(p, s, 0);
    if (nth == 0 && p->cut) peer_say(s, "H");
    return nth == 0 && !p->cut ? (int)p->n - 1 : 0; /* n 0: reset */
}
CLI_TEST(a_kept_connection_is_closed_by_its_peer, 1) {
    static struct peer p;
    begin(&p, serve_once, NULL);
    p.n = 0;
    CHECK_EQ(get(p.url, ""), 200);
    vt_sleep_ms(20); /* the reset is there when the next looks */
    vt_call *call = vt_client_post(client, p.url, NULL, "abc", 3);
    CHECK_EQ(vt_call_status(call), 200); /* any method: nothing was sent on the old one */
    vt_call_free(call);
    CHECK_EQ(p.conns, 2);
    end(&p);
}
static int stale(const char *method, const char *body, bool half) {
    static struct peer p;
    begin(&p, serve_once, NULL);
    p.n = 1;
    p.cut = half;
    CHECK_EQ(get(p.url, ""), 200);
    vt_call *call = vt_call_new(client, method, p.url);
    if (body) vt_call_body(call, body, strlen(body));
    int r = vt_call_send(call);
    vt_call_free(call);
    end(&p);
    CHECK_EQ(p.conns, r == 200 ? 2 : 1);
    return r;
}
static bool lost(int r) { return r == VT_EEOF || r == -ECONNRESET; }
CLI_TEST(what_is_sent_again, 1) {
    CHECK_EQ(stale("GET", NULL, false), 200);
    CHECK_EQ(stale("PUT", "abc", false), 200);
    CHECK_EQ(stale("DELETE", NULL, false), 200);
    CHECK(lost(stale("POST", "abc", false))); /* it may have been done */
    CHECK(lost(stale("PATCH", "abc", false)));
    CHECK_EQ(stale("FROB", NULL, false), VT_EEOF);
    CHECK_EQ(stale("GET", NULL, true), VT_EEOF); /* an answer had begun */
}
static int serve_silent_close(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    return peer_head(p, s, 0) ? 0 : 0;
}
CLI_TEST(a_new_connection_is_tried_once, 1) {
    static struct peer p;
    begin(&p, serve_silent_close, NULL);
    CHECK_EQ(get(p.url, NULL), VT_EEOF);
    CHECK_EQ(p.conns, 1);
    end(&p);
}
static int64_t read_once(void *ctx, void *buf, size_t n) {
    int *left = ctx;
    if (*left == 0) return 0;
    n = VT__MIN(n, (size_t)*left);
    memset(buf, 'r', n);
    *left -= (int)n;
    return (int64_t)n;
}
CLI_TEST(a_body_that_was_read_is_not_sent_again, 1) {
    static struct peer p;
    int left = 3;
    begin(&p, serve_once, NULL);
    p.n = 1;
    CHECK_EQ(get(p.url, ""), 200);
    vt_call *call = vt_call_new(client, "PUT", p.url);
    vt_call_body_from(call, read_once, &left, 3);
    int r = vt_call_send(call);
    CHECK(r == VT_EEOF || r == -ECONNRESET || r == -EPIPE);
    CHECK_EQ(vt_call_send(call), r); /* the first error stays */
    vt_call_free(call);
    end(&p);
}
/* Nobody uses the client meanwhile. */
static void wait_for_none(struct peer *p) {
    while (__atomic_load_n(&client->conns, __ATOMIC_SEQ_CST) || __atomic_load_n(&p->live, __ATOMIC_SEQ_CST))
        vt_sleep_ms(1);
    CHECK_EQ(client->nidle, 0);
    CHECK(vt__ds_list_empty(&client->hosts));
}
static int ask_stall(void *arg);
CLI_TEST(idle_connections_are_closed_in_time, 2) {
    static struct peer p;
    vt_task *t[4];
    begin(&p, serve_answer, &(vt_client_cfg){.idle_timeout_ms = 20});
    answer(&p, OK "Content-Length: 1\r\n\r\nx");
    for (int round = 0; round < 3; round++) { /* the timer is set again after it had nothing to do */
        for (int i = 0; i < 4; i++) t[i] = vt_async_any(ask_stall, p.url);
        vt_call *late = vt_call_new(client, "GET", p.url);
        CHECK_EQ(vt_call_send(late), 200); /* it has a body */
        for (int i = 0; i < 4; i++) CHECK_EQ(vt_await(t[i], NULL), 0);
        vt_sleep_ms(10);
        vt_call_free(late); /* idle later than the others: the timer goes on for it */
        wait_for_none(&p);
        CHECK_EQ(client->sweep_run, 0);
    }
    end(&p);
}
static int serve_and_leave(struct peer *p, vt_sock *s, int nth) {
    if (!peer_head(p, s, 0) || peer_say(s, EMPTY) < 0) return 0;
    vt_sleep_ms(2);
    if (nth % 3 == 2) peer_say(s, "HTTP/1.1 408 Request Timeout\r\n\r\n");
    return nth % 3 == 1 ? -1 : 0; /* FIN, RST, a response that nobody asked for */
}
CLI_TEST(the_end_of_an_idle_connection_is_noticed, 1) {
    static struct peer p;
    begin(&p, serve_and_leave, &(vt_client_cfg){.idle_timeout_ms = 3600000});
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(get(p.url, ""), 200);
        wait_for_none(&p);
        CHECK_EQ(p.conns, i + 1);
    }
    end(&p);
}
/* One that the reactor has in hand is nobody else's: not a call's, nor to be closed. */
CLI_TEST(whose_an_idle_connection_is, 1) {
    static struct peer p;
    begin(&p, serve_answer, NULL);
    answer(&p, EMPTY);
    CHECK_EQ(get(p.url, ""), 200);
    vt__cpool_conn *k = VT__CONTAINER(client->idle.next, vt__cpool_conn, age);
    CHECK(vt__poll_disarm(&k->conn.pd)); /* an event */
    CHECK_EQ(vt_client_close_idle(client), 0);
    CHECK_EQ(client->nidle, 1);
    CHECK_EQ(get(p.url, ""), 200);
    CHECK_EQ(p.conns, 2);
    CHECK_EQ(client->nidle, 2);
    vt__cpool_sink(NULL, &k->conn.pd, VT__PD_R); /* that was invented: it goes on being idle */
    CHECK_EQ(vt_client_close_idle(client), 0);
    CHECK_EQ(client->conns, 0);
    end(&p);
}
CLI_TEST(idle_connections_are_closed_when_asked, 1) {
    static struct peer p;
    begin(&p, serve_answer, &(vt_client_cfg){.idle_timeout_ms = VT_NONE});
    answer(&p, EMPTY);
    CHECK_EQ(get(p.url, ""), 200);
    CHECK_EQ(client->nidle, 1);
    CHECK_EQ(client->sweep_run, 0);
    CHECK_EQ(vt_client_close_idle(client), 0);
    CHECK_EQ(client->conns, 0);
    end(&p);
}

/*--- limits and times ---*/
static int serve_endless(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    if (!peer_head(p, s, 0)) return 0;
    if (peer_say(s, p->answer) < 0) return 0;
    while (peer_say(s, "X-More: and more and more and more\r\n") == 0) continue;
    return 0;
}
CLI_TEST(a_head_without_end, 1) {
    static struct peer p;
    begin(&p, serve_endless, NULL);
    p.answer = OK;
    CHECK_EQ(get(p.url, NULL), VT_EHEAD);
    p.answer = OK "X: ";
    CHECK_EQ(get(p.url, NULL), VT_EHEAD);
    end(&p);
}
static int serve_hints(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    if (!peer_head(p, s, 0)) return 0;
    while (peer_say(s, "HTTP/1.1 103 Early Hints\r\n\r\n") == 0) continue;
    return 0;
}
CLI_TEST(interim_responses_without_end, 1) {
    static struct peer p;
    begin(&p, serve_hints, NULL);
    CHECK_EQ(get(p.url, NULL), VT_EHTTP);
    end(&p);
}
CLI_TEST(head_limits, 1) {
    static char text[20000];
    static struct peer p;
    begin(&p, serve_answer,
          &(vt_client_cfg){.max_header_count = 300, .max_header_bytes = 20000, .max_response_line = 100});
    size_t n = (size_t)sprintf(text, OK "Content-Length: 0\r\n");
    for (int i = 0; i < 299; i++) n += (size_t)sprintf(text + n, "a%d: %d\r\n", i, i);
    strcpy(text + n, "\r\n");
    answer(&p, text);
    vt_call *call = vt_client_get(client, p.url);
    CHECK_EQ(vt_call_status(call), 200);
    CHECK_STR(vt_call_res_field(call, "A298").ptr, "298");
    vt_call_free(call);
    strcpy(text + n, "b: c\r\n\r\n");
    answer(&p, text);
    CHECK_EQ(get(p.url, NULL), VT_EHEAD);
    sprintf(text, "HTTP/1.1 200 %0100d\r\n\r\n", 0);
    answer(&p, text);
    CHECK_EQ(get(p.url, NULL), VT_EHEAD);
    end(&p);
}
CLI_TEST(body_limit, 1) {
    static struct peer p;
    begin(&p, serve_answer, &(vt_client_cfg){.max_body = 4});
    answer(&p, OK "Content-Length: 4\r\n\r\nfour");
    CHECK_EQ(get(p.url, "four"), 200);
    answer(&p, OK "Content-Length: 5\r\n\r\n");
    CHECK_EQ(get(p.url, NULL), VT_EBODY);
    answer(&p, OK "Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n");
    CHECK_EQ(get(p.url, "four"), 200);
    answer(&p, OK "Transfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\n0\r\n\r\n");
    CHECK_EQ(get(p.url, NULL), VT_EBODY);
    end(&p);
}
/* Says p->answer, and then nothing. */
static int serve_stall(struct peer *p, vt_sock *s, int nth) {
    char c;
    (void)nth;
    if (!peer_head(p, s, 0) || peer_say(s, p->answer) < 0) return 0;
    vt_read(s, &c, 1);
    return 0;
}
CLI_TEST(silence_at_each_stage, 1) {
    static const char *const parts[] = {"",
                                        "H",
                                        OK,
                                        OK "Content-Length: 5\r\n\r\n",
                                        OK "Content-Length: 5\r\n\r\nhell",
                                        OK "\r\nx",
                                        OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
                                        "HTTP/1.1 103 Hints\r\n\r\n"};
    static struct peer p;
    begin(&p, serve_stall, &(vt_client_cfg){.read_timeout_ms = 20});
    for (size_t i = 0; i < VT__COUNT(parts); i++) {
        p.answer = parts[i];
        CHECK_EQ(get(p.url, NULL), -ETIMEDOUT);
        CHECK_EQ(client->conns, 0);
    }
    end(&p);
}
/* A byte every so often is no progress that counts against the whole call's time. */
static int serve_drip(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    if (!peer_head(p, s, 0) || peer_say(s, p->answer) < 0) return 0;
    for (;;) {
        vt_sleep_ms(2);
        if (peer_say(s, "a") < 0) return 0;
    }
}
CLI_TEST(drips, 1) {
    static struct peer p;
    begin(&p, serve_drip, &(vt_client_cfg){.read_timeout_ms = 200});
    p.answer = OK "A: ";
    CHECK_EQ(get(p.url, NULL), -ETIMEDOUT); /* a head is to come whole in that time */
    vt_client_free(client);
    client = vt_client_new(&(vt_client_cfg){.timeout_ms = 100});
    p.answer = OK "\r\n";
    CHECK_EQ(get(p.url, NULL), -ETIMEDOUT);
    vt_client_free(client);
    client = vt_client_new(NULL);
    vt_call *call = vt_call_new(client, "GET", p.url);
    CHECK_EQ(vt_call_send(call), 200);
    vt_call_until(call, vt_now() + 30 * VT_MS);
    CHECK_EQ(vt_call_whole(call), -ETIMEDOUT);
    CHECK_EQ(vt_call_status(call), -ETIMEDOUT);
    vt_call_free(call);
    vt_deadline_set(vt_now() + 30 * VT_MS); /* the virtual thread's own */
    CHECK_EQ(get(p.url, NULL), -ETIMEDOUT);
    vt_deadline_set(0);
    end(&p);
}
static int serve_deaf(struct peer *p, vt_sock *s, int nth) {
    (void)s, (void)nth;
    return vt_sem_acquire(&p->go);
}
CLI_TEST(a_peer_that_does_not_read, 1) {
    static struct peer p;
    int left = 1 << 30;
    begin(&p, serve_deaf, &(vt_client_cfg){.write_timeout_ms = 20});
    vt_call *call = vt_call_new(client, "POST", p.url);
    vt_call_body_from(call, read_once, &left, -1);
    CHECK_EQ(vt_call_send(call), -ETIMEDOUT);
    vt_call_free(call);
    vt_sem_release(&p.go, 1);
    end(&p);
}
CLI_TEST(nobody_there, 1) {
    static struct peer p;
    begin(&p, serve_stall, NULL);
    peer_stop(&p);
    CHECK_EQ(get(p.url, NULL), -ECONNREFUSED);
    CHECK_EQ(client->conns, 0);
    CHECK_EQ(get("http://no.such.host.invalid/", NULL) < 0, 1);
    CHECK_EQ(get("https://127.0.0.1/", NULL), VT_ESCHEME);
    CHECK_EQ(get("nonsense", NULL), VT_EURL);
    vt_client_free(client);
}

/*--- cancel ---*/
static int ask_stall(void *arg) { return get(arg, NULL); }
CLI_TEST(cancel_closes, 1) {
    static struct peer p;
    int r = 0;
    begin(&p, serve_stall, NULL);
    for (int i = 0; i < 2; i++) {
        p.answer = i ? OK "Content-Length: 5\r\n\r\nx" : "";
        int before = p.requests;
        vt_task *t = vt_async(ask_stall, p.url);
        while (__atomic_load_n(&p.requests, __ATOMIC_SEQ_CST) == before) vt_sleep_ms(1);
        vt_sleep_ms(2);
        vt_cancel(t);
        CHECK_EQ(vt_await(t, &r), 0);
        CHECK_EQ(r, -ECANCELED);
        CHECK_EQ(client->conns, 0);
    }
    end(&p);
}

/*--- the pool ---*/
static int serve_slowly(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    while (peer_head(p, s, 0)) {
        vt_sleep_ms(5);
        if (peer_say(s, EMPTY) < 0) break;
    }
    return 0;
}
CLI_TEST(no_more_connections_than_allowed, 1) {
    static struct peer p;
    begin(&p, serve_slowly, &(vt_client_cfg){.max_connections_host = 2});
    vt_task *t[8];
    for (int i = 0; i < 8; i++) t[i] = vt_async(ask_stall, p.url);
    for (int i = 0; i < 8; i++) {
        int r = 0;
        CHECK_EQ(vt_await(t[i], &r), 0);
        CHECK_EQ(r, 200);
    }
    CHECK_EQ(p.conns, 2);
    CHECK_EQ(p.requests, 8);
    end(&p);
}
struct turn {
    char name, *url;
};
static char turns[8];
static int take_turn(void *arg) {
    const struct turn *t = arg;
    int r = get(t->url, "");
    if (r == 200) strncat(turns, &t->name, 1);
    return r;
}
/* Who waits longest is next; one that gives up leaves the queue, and takes nothing with it. */
CLI_TEST(at_the_limit_calls_take_turns, 1) {
    static struct peer p;
    struct turn who[4];
    vt_task *t[4];
    begin(&p, serve_answer, &(vt_client_cfg){.max_connections_host = 1});
    answer(&p, EMPTY);
    vt_call *first = vt_call_new(client, "POST", p.url);
    CHECK_EQ(vt_call_open(first, 0), 0);
    turns[0] = 0;
    for (int i = 0; i < 4; i++) {
        who[i] = (struct turn){(char)('a' + i), p.url};
        t[i] = vt_async(take_turn, &who[i]);
        vt_sleep_ms(1);
    }
    CHECK_STR(turns, "");
    vt_cancel(t[1]);
    int r = 0;
    CHECK_EQ(vt_await(t[1], &r), 0);
    CHECK_EQ(r, -ECANCELED);
    CHECK_EQ(vt_call_send(first), 200);
    vt_call_free(first);
    for (int i = 0; i < 4; i++)
        if (i != 1) CHECK_EQ(vt_await(t[i], NULL), 0);
    CHECK_STR(turns, "acd");
    CHECK_EQ(p.conns, 1);
    CHECK(vt__ds_list_empty(&client->waiting));
    end(&p);
}
CLI_TEST(at_the_limit_idle_ones_of_others_go, 1) {
    static struct peer p, q;
    begin(&p, serve_slowly, &(vt_client_cfg){.max_connections = 1, .connect_timeout_ms = 600});
    peer_start(&q, serve_slowly);
    CHECK_EQ(get(p.url, ""), 200);
    CHECK_EQ(get(q.url, ""), 200);
    CHECK_EQ(client->conns, 1);
    vt_call *call = vt_call_new(client, "POST", p.url); /* holds the only one */
    CHECK_EQ(vt_call_open(call, 1), 0);
    CHECK_EQ(get(q.url, ""), -ETIMEDOUT);
    vt_call_free(call);
    CHECK_EQ(get(q.url, ""), 200);
    end(&p);
    peer_stop(&q);
}
/* As vt__cpool_take: one that was kept is no good, and while that is found out another worker's call queues, and gets its place. */
CLI_TEST(at_the_limit_one_that_is_no_good_is_nobodys, 1) {
    static struct peer p, q;
    begin(&p, serve_answer, &(vt_client_cfg){.max_connections = 1});
    peer_start(&q, serve_stall);
    answer(&p, EMPTY);
    answer(&q, "");
    CHECK_EQ(get(p.url, ""), 200);
    vt__cpool_want w = {.key = p.addr};
    vt__ds_list_init(&w.link);
    CHECK_EQ(vt__cpool_get(client, &w, 0), 0);
    REQUIRE(w.got && w.got->reused);
    vt_task *t = vt_async(ask_stall, q.url);
    while (vt__ds_list_empty(&client->waiting)) vt_sleep_ms(1);
    vt_sem_release(&w.ready, 1); /* what is left when it came just behind the end of a wait */
    vt__cpool_drop(client, w.got);
    CHECK_EQ(vt__cpool_get(client, &w, vt_now() + VT_MS), -ETIMEDOUT);
    CHECK(vt__ds_list_empty(&client->waiting));
    vt__cpool_conn_free(w.conn);
    vt__mem_free(w.host);
    vt_cancel(t);
    CHECK_EQ(vt_await(t, NULL), 0);
    end(&p);
    peer_stop(&q);
}
/* What nobody read is dropped when it is here already; nothing is waited for. */
static void leave_unread(struct peer *p, const char *text, int idle) {
    answer(p, text);
    vt_call *call = vt_call_new(client, "GET", p->url);
    CHECK_EQ(vt_call_send(call), 200);
    vt_call_free(call);
    CHECK_EQ(client->nidle, idle);
    CHECK_EQ(client->conns, idle);
}
CLI_TEST(unread_responses, 1) {
    static struct peer p;
    begin(&p, serve_answer, NULL);
    leave_unread(&p, OK "Content-Length: 5\r\n\r\nhello", 1);
    leave_unread(&p, OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 1);
    CHECK_EQ(p.conns, 1);
    leave_unread(&p, OK "Content-Length: 5\r\n\r\nhell", 0);
    leave_unread(&p, OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", 0);
    leave_unread(&p, OK "Content-Length: 5\r\n\r\nhelloX", 0);
    end(&p);
}
CLI_TEST(a_client_that_failed, 1) {
    client = vt_client_new(&(vt_client_cfg){.proxy = "socks5://nonsense"});
    CHECK_EQ(get("http://127.0.0.1/", NULL), VT_EPROXY);
    vt_client_free(client);
    for (int http2 = 1; http2 <= VT_HTTP2_PRIOR; http2++) { /* this build has none */
        client = vt_client_new(&(vt_client_cfg){.http2 = http2});
        CHECK_EQ(get("http://127.0.0.1/", NULL), VT_ENOHTTP2);
        vt_client_free(client);
    }
}
CLI_TEST(no_more_idle_ones_than_allowed, 1) {
    static struct peer p;
    begin(&p, serve_slowly, &(vt_client_cfg){.max_idle_host = 2});
    vt_task *t[5];
    for (int i = 0; i < 5; i++) t[i] = vt_async(ask_stall, p.url);
    for (int i = 0; i < 5; i++) CHECK_EQ(vt_await(t[i], NULL), 0);
    CHECK_EQ(client->nidle, 2);
    CHECK_EQ(client->conns, 2);
    vt_client_free(client);
    client = vt_client_new(&(vt_client_cfg){.max_idle = VT_NONE});
    CHECK_EQ(get(p.url, ""), 200);
    CHECK_EQ(client->conns, 0);
    end(&p);
}
static struct peer outlived;
static int outlived_fd = -1;
/* Its connection outlives the runtime as well. */
static int serve_on(struct peer *p, vt_sock *s, int nth) {
    outlived_fd = dup(vt_sock_fd(s));
    return serve_answer(p, s, nth);
}
static void outlive_first(void) {
    begin(&outlived, serve_on, NULL);
    answer(&outlived, EMPTY);
    CHECK_EQ(get(outlived.url, ""), 200);
    CHECK_EQ(client->nidle, 1);
    vt_sock_close(outlived.l);
    vt_task_free(outlived.task);
    vt_stop();
}
static void outlive_second(void) {
    struct peer p;
    peer_start(&p, serve_answer);
    answer(&p, EMPTY);
    CHECK_EQ(get(outlived.url, NULL) < 0, 1); /* nobody is there, and nothing crashes */
    CHECK_EQ(get(p.url, ""), 200);
    end(&p);
}
TEST(a_client_outlives_a_runtime) {
    cli_run(2, outlive_first);
    CHECK_EQ(client->nidle, 1);
    cli_run(2, outlive_second);
    close(outlived_fd);
}
/* Neither the timer of idle connections holds up the end, nor does the client touch what has gone with the runtime: also
 * in a program that has forked, where descriptors are taken out of their sets before they are closed. */
TEST(a_client_is_freed_behind_its_runtime) {
    int64_t start = vt_now();
    cli_run(2, outlive_first);
    CHECK(vt_now() - start < 20 * VT_SEC); /* idle_timeout_ms is 30 s */
    pid_t child = fork();
    if (child == 0) _exit(0);
    CHECK(child > 0 && waitpid(child, NULL, 0) == child);
    CHECK_EQ(client->nidle, 1);
    vt_client_free(client);
    close(outlived_fd);
}

/*--- bodies of requests ---*/
/* Answers at once, reads nothing, and closes when it is let go. */
static uint32_t let_go;
static int serve_early(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    if (!peer_head(p, s, 0) || peer_say(s, p->answer) < 0) return 0;
    while (!__atomic_load_n(&let_go, __ATOMIC_SEQ_CST)) vt_sleep_ms(1);
    return 0;
}
CLI_TEST(an_answer_before_the_body_is_sent, 1) {
    static struct peer p;
    static char big[32 << 20];
    begin(&p, serve_early, NULL);
    answer(&p, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    let_go = 0; /* so a write that does not look for the answer waits for the watchdog */
    for (int i = 0; i < 2; i++) {
        vt_call *call = vt_client_post(client, p.url, NULL, big, sizeof big);
        CHECK_EQ(vt_call_status(call), 413);
        CHECK_STR(vt_call_text(call).ptr, "big");
        vt_call_free(call);
        int left = 1 << 30;
        call = vt_call_new(client, "POST", p.url);
        vt_call_body_from(call, read_once, &left, -1);
        CHECK_EQ(vt_call_send(call), 413);
        CHECK(left > 0);
        vt_call_free(call);
        call = vt_call_new(client, "POST", p.url);
        CHECK_EQ(vt_call_open(call, -1), 0);
        int64_t n;
        while ((n = vt_call_write(call, big, 100000)) == 100000) continue;
        CHECK_EQ(n, VT_EANSWERED);
        CHECK_EQ(vt_call_send(call), 413);
        CHECK_EQ(vt_call_whole(call), 0);
        vt_call_free(call);
        CHECK_EQ(client->nidle, 0); /* the rest of a request may still be expected there */
    }
    let_go = 1;
    end(&p);
}
/* With its close the peer's reset may overtake the answer; the error is then the reset's. */
CLI_TEST(an_answer_and_a_close, 1) {
    static struct peer p;
    static char big[8 << 20];
    begin(&p, serve_early, NULL);
    answer(&p, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig");
    let_go = 1;
    for (int i = 0; i < 10; i++) {
        vt_call *call = vt_client_post(client, p.url, NULL, big, sizeof big);
        int r = vt_call_status(call);
        CHECK(r == 413 || r == -ECONNRESET || r == -EPIPE);
        vt_call_free(call);
    }
    end(&p);
}
static int serve_continue(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    while (peer_head(p, s, 0)) {
        char buf[8];
        if (p->answer && peer_say(s, p->answer) < 0) break;
        if (p->cut) continue; /* it was a final answer */
        if (vt_read_full(s, buf, 3) != 3) break;
        peer_note(p, buf, 3);
        if (peer_say(s, EMPTY) < 0) break;
    }
    return 0;
}
static int expecting(struct peer *p) {
    vt_call *call = vt_call_new(client, "PUT", p->url);
    p->ngot = 0;
    vt_call_expect(call);
    vt_call_body(call, "abc", 3);
    int r = vt_call_send(call);
    vt_call_free(call);
    return r;
}
CLI_TEST(expect_100_continue, 1) {
    static struct peer p;
    begin(&p, serve_continue, &(vt_client_cfg){.continue_timeout_ms = 600});
    p.answer = "HTTP/1.1 100 Continue\r\n\r\n";
    CHECK_EQ(expecting(&p), 200);
    CHECK(strstr(p.got, "\r\nExpect: 100-continue\r\n") && strstr(p.got, "\r\n\r\nabc"));
    p.answer = NULL; /* it knows nothing of that: the body is sent all the same */
    CHECK_EQ(expecting(&p), 200);
    CHECK_EQ(p.conns, 1);
    vt_call *call = vt_call_new(client, "PUT", p.url); /* nothing is to be continued */
    p.ngot = 0;
    vt_call_expect(call);
    vt_call_body(call, "", 0);
    vt_call_until(call, vt_now() + 500 * VT_MS); /* that peer waits for three bytes */
    CHECK_EQ(vt_call_send(call), -ETIMEDOUT);
    CHECK(strstr(p.got, "Content-Length: 0") && !strstr(p.got, "Expect"));
    vt_call_free(call);
    p.answer = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n";
    p.cut = 1;
    CHECK_EQ(expecting(&p), 417);
    CHECK(!strstr(p.got, "abc"));
    CHECK_EQ(client->nidle, 0);
    end(&p);
}
CLI_TEST(lengths_are_kept, 1) {
    static struct peer p;
    int left = 5;
    begin(&p, serve_answer, NULL);
    answer(&p, EMPTY);
    vt_call *call = vt_call_new(client, "POST", p.url);
    vt_call_body_from(call, read_once, &left, 6);
    CHECK_EQ(vt_call_send(call), VT_ESHORT);
    vt_call_free(call);
    left = 5;
    call = vt_call_new(client, "POST", p.url);
    vt_call_body_from(call, read_once, &left, 4);
    CHECK_EQ(vt_call_send(call), VT_ESURPLUS);
    vt_call_free(call);
    call = vt_call_new(client, "POST", p.url);
    CHECK_EQ(vt_call_open(call, 4), 0);
    CHECK_EQ(vt_call_write(call, "abc", 3), 3);
    CHECK_EQ(vt_call_write(call, "de", 2), VT_ESURPLUS);
    CHECK_EQ(vt_call_send(call), VT_ESHORT);
    vt_call_free(call);
    CHECK_EQ(client->conns, 0);
    end(&p);
}

/*--- what is sent ---*/
CLI_TEST(request_heads, 1) {
    static struct peer p;
    char want[300];
    begin(&p, serve_answer, NULL);
    answer(&p, EMPTY);
    CHECK_EQ(get(p.url, ""), 200);
    snprintf(want, sizeof want, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", p.addr);
    CHECK_STR(p.got, want);
    p.ngot = 0;
    vt_call *call = vt_call_new(client, "POST", p.url);
    CHECK_EQ(vt_call_field(call, "X-A", "1"), 0);
    CHECK_EQ(vt_call_field(call, "x-a", "2"), 0);
    CHECK_EQ(vt_call_field_add(call, "X-A", "3"), 0);
    CHECK_EQ(vt_call_field(call, "X-B", "4"), 0);
    CHECK_EQ(vt_call_field(call, "X-B", NULL), 0);
    CHECK_EQ(vt_call_field(call, "Host", "other:81"), 0);
    CHECK_EQ(vt_call_field(call, "Connection", "close"), 0);
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_STR(
        p.got,
        "POST / HTTP/1.1\r\nHost: other:81\r\nx-a: 2\r\nX-A: 3\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    CHECK_EQ(vt_call_field(call, "X-C", "5"), VT_ESTATE);
    CHECK_EQ(vt_call_send(call), VT_ESTATE);
    vt_call_free(call);
    CHECK_EQ(client->conns, 0);
    end(&p);
}
CLI_TEST(fields_that_are_refused, 1) {
    static const char *const bad[][2] = {{"A", "b\r\nC: d"},
                                         {"A", "b\nC: d"},
                                         {"A", "b\rc"},
                                         {"A\r\nB", "c"},
                                         {"A:", "b"},
                                         {"", "b"},
                                         {"A B", "c"},
                                         {"A", "\x01"},
                                         {"A", "\x7f"},
                                         {"Host", "a b"},
                                         {"Host", "a\r\nX: y"},
                                         {"Content-Length", "3"},
                                         {"TE", "trailers"},
                                         {"Upgrade", "x"},
                                         {"Expect", "x"},
                                         {"Proxy-Authorization", "x"},
                                         {"Connection", "x"},
                                         {"Keep-Alive", "x"},
                                         {"Transfer-Encoding", "chunked"}};
    client = vt_client_new(NULL);
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        vt_call *call = vt_call_new(client, "GET", "http://127.0.0.1/");
        CHECK_EQ(vt_call_field(call, bad[i][0], bad[i][1]), VT_EFIELD);
        CHECK_EQ(vt_call_field_add(call, bad[i][0], bad[i][1]), VT_EFIELD);
        CHECK_EQ(call->fields.n, 0);
        vt_call_free(call);
    }
    static const char *const methods[] = {"", "G T", "GET\r\n", "CONNECT", "G\x7f"};
    for (size_t i = 0; i < VT__COUNT(methods); i++) {
        vt_call *call = vt_call_new(client, methods[i], "http://127.0.0.1/");
        CHECK_EQ(vt_call_send(call), VT_EFIELD);
        vt_call_free(call);
    }
    vt_call *call = vt_call_new(client, "GET", "http://127.0.0.1/");
    CHECK_EQ(vt_call_upgrade(call, "a\r\nb"), VT_EFIELD);
    CHECK_EQ(vt_call_trailer(call, "Content-Length", "1"), VT_EFIELD);
    CHECK_EQ(vt_call_trailer(call, "A", "b\r\n"), VT_EFIELD);
    vt_call_free(call);
    vt_client_free(client);
}
CLI_TEST(large_heads, 1) {
    static struct peer p;
    static char value[15000];
    begin(&p, serve_answer, NULL);
    answer(&p, EMPTY);
    memset(value, 'v', sizeof value - 1);
    vt_call *call = vt_call_new(client, "GET", p.url);
    CHECK_EQ(vt_call_field(call, "A", value), 0);
    CHECK_EQ(vt_call_field(call, "B", value), 0);
    CHECK_EQ(vt_call_send(call), 200);
    CHECK(p.ngot > 30000 && strstr(p.got, "\r\nB: vvv"));
    vt_call_free(call);
    end(&p);
}

/*--- redirects: by the request's path ---*/
static struct peer elsewhere;
static int serve_paths(struct peer *p, vt_sock *s, int nth) {
    char head[400];
    (void)nth;
    for (;;) {
        if (!peer_head(p, s, 0)) return 0;
        const char *line = p->got;
        for (const char *next; (next = strstr(line, "\r\n\r\n")) != NULL && next[4];) line = next + 4;
        const char *path = strchr(line, ' ') + 1;
        const char *length = strstr(line, "Content-Length: ");
        char body[100];
        if (length && atoi(length + 16) > 0 && vt_read_full(s, body, (size_t)atoi(length + 16)) <= 0)
            return 0;
        int status = atoi(path + 1);
        const char *to = path + 5;
        if (status < 300)
            snprintf(head, sizeof head, OK "Content-Length: %d\r\n\r\n%.*s", (int)strcspn(line, " "),
                     (int)strcspn(line, " "), line);
        else if (strncmp(to, "far", 3) == 0)
            snprintf(head, sizeof head,
                     "HTTP/1.1 %d M\r\nLocation: http://%s/200\r\nContent-Length: 4\r\n\r\ngone", status,
                     elsewhere.addr);
        else if (strncmp(to, "loop", 4) == 0)
            snprintf(head, sizeof head, "HTTP/1.1 %d M\r\nLocation: loop\r\nContent-Length: 0\r\n\r\n",
                     status);
        else if (strncmp(to, "bad", 3) == 0)
            snprintf(head, sizeof head, "HTTP/1.1 %d M\r\nLocation: gopher://x\r\nContent-Length: 0\r\n\r\n",
                     status);
        else if (strncmp(to, "two", 3) == 0)
            snprintf(head, sizeof head,
                     "HTTP/1.1 %d M\r\nLocation: /200\r\nLocation: /200\r\nContent-Length: 0\r\n\r\n",
                     status);
        else if (strncmp(to, "none", 4) == 0)
            snprintf(head, sizeof head, "HTTP/1.1 %d M\r\nContent-Length: 0\r\n\r\n", status);
        else
            snprintf(head, sizeof head,
                     "HTTP/1.1 %d M\r\nLocation: ../200?near#x\r\nContent-Length: 0\r\n\r\n", status);
        if (peer_say(s, head) < 0) return 0;
    }
}
static int follow(struct peer *p, const char *method, const char *path, const char *body,
                  const char *arrives) {
    char url[128];
    snprintf(url, sizeof url, "%s%s", p->url, path);
    p->ngot = elsewhere.ngot = 0;
    vt_call *call = vt_call_new(client, method, url);
    vt_call_field(call, "Authorization", "secret");
    vt_call_field(call, "Cookie", "a=b");
    vt_call_field(call, "Content-Type", "x/y");
    vt_call_field(call, "X-Mine", "1");
    if (body) vt_call_body(call, body, strlen(body));
    int r = vt_call_send(call);
    if (r == 200) CHECK_EQ(vt_call_whole(call), 0);
    if (r == 200 && strcmp(method, "HEAD") != 0) CHECK_STR(vt_call_text(call).ptr, arrives);
    vt_call_free(call);
    return r;
}
CLI_TEST(redirects, 1) {
    static struct peer p;
    static const int codes[] = {301, 302, 303, 307, 308};
    begin(&p, serve_paths, &(vt_client_cfg){.max_redirects = 5});
    peer_start(&elsewhere, serve_paths);
    for (size_t i = 0; i < VT__COUNT(codes); i++) {
        char path[40], far_path[40], loop[40];
        int code = codes[i];
        bool keeps = code >= 307;
        snprintf(path, sizeof path, "%d/near", code);
        snprintf(far_path, sizeof far_path, "%d/far", code);
        snprintf(loop, sizeof loop, "%d/loop", code);
        CHECK_EQ(follow(&p, "GET", path, NULL, "GET"), 200);
        CHECK_EQ(follow(&p, "HEAD", path, NULL, ""), 200);
        CHECK(strstr(p.got, "HEAD /200?near HTTP/1.1\r\n"));
        CHECK_EQ(follow(&p, "POST", path, "abc", keeps ? "POST" : "GET"), 200);
        const char *second = strstr(p.got, "/200?near");
        REQUIRE(second);
        CHECK_EQ(strstr(second, "Content-Type") != NULL, keeps);
        CHECK_EQ(strstr(second, "Content-Length: 3") != NULL, keeps);
        CHECK(strstr(second, "Authorization: secret"));
        CHECK_EQ(follow(&p, "PUT", path, "abc", keeps ? "PUT" : "GET"), keeps || code == 303 ? 200 : code);
        CHECK_EQ(follow(&p, "GET", far_path, NULL, "GET"), 200);
        CHECK(strstr(elsewhere.got, "X-Mine: 1") && !strstr(elsewhere.got, "secret") &&
              !strstr(elsewhere.got, "Cookie"));
        CHECK_EQ(follow(&p, "POST", far_path, "abc", "GET"), keeps ? code : 200);
        int before = p.requests;
        CHECK_EQ(follow(&p, "GET", loop, NULL, NULL), VT_EREDIRECT);
        CHECK_EQ(p.requests - before, 6);
    }
    CHECK_EQ(p.requests > 0 && p.conns < 30, 1); /* they keep their connections where they may */
    CHECK_EQ(follow(&p, "GET", "302/bad", NULL, NULL), VT_EREDIRECT);
    CHECK_EQ(follow(&p, "GET", "302/two", NULL, NULL), 302);
    CHECK_EQ(follow(&p, "GET", "302/none", NULL, NULL), 302);
    CHECK_EQ(follow(&p, "GET", "300/near", NULL, NULL), 300);
    CHECK_EQ(follow(&p, "GET", "304/near", NULL, NULL), 304);
    vt_client_free(client);
    client = vt_client_new(&(vt_client_cfg){.max_redirects = VT_NONE});
    CHECK_EQ(follow(&p, "GET", "302/near", NULL, NULL), 302);
    vt_client_free(client);
    client = NULL;
    peer_stop(&elsewhere);
    peer_stop(&p);
}
/* Trailers of an answer that was not the last are nobody's. */
static int serve_trailed(struct peer *p, vt_sock *s, int nth) {
    (void)nth;
    if (!peer_head(p, s, 0)) return 0;
    peer_say(s, "HTTP/1.1 302 F\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: old\r\n\r\n");
    return peer_head(p, s, 0) ? peer_say(s, OK "Content-Length: 1\r\n\r\na") : 0;
}
CLI_TEST(trailers_before_a_redirect, 1) {
    static struct peer p;
    begin(&p, serve_trailed, NULL);
    vt_call *call = vt_client_get(client, p.url);
    CHECK_EQ(vt_call_status(call), 200);
    CHECK_STR(vt_call_text(call).ptr, "a");
    CHECK(!vt_call_res_trailer(call, "x-t").ptr);
    vt_call_free(call);
    CHECK_EQ(p.conns, 1);
    end(&p);
}
CLI_TEST(where_a_redirect_went, 1) {
    static struct peer p;
    char url[128];
    begin(&p, serve_paths, NULL);
    snprintf(url, sizeof url, "%s302/near", p.url);
    vt_call *call = vt_client_get(client, url);
    snprintf(url, sizeof url, "%s200?near", p.url);
    CHECK_STR(vt_call_url(call), url);
    vt_call_free(call);
    snprintf(url, sizeof url, "%s302/near", p.url);
    call = vt_call_new(client, "GET", url);
    vt_call_redirects(call, 0);
    CHECK_EQ(vt_call_send(call), 302);
    CHECK_STR(vt_call_res_field(call, "location").ptr, "../200?near#x");
    vt_call_free(call);
    end(&p);
}

/*--- proxies, addresses, upgrades ---*/
CLI_TEST(by_way_of_a_proxy, 1) {
    static struct peer p, q;
    peer_start(&q, serve_answer);
    peer_start(&p, serve_answer);
    answer(&p, OK "Content-Length: 3\r\n\r\nvia");
    answer(&q, OK "Content-Length: 3\r\n\r\nraw");
    client = vt_client_new(&(vt_client_cfg){.proxy = p.url, .no_proxy = "x, 127.0.0.1"});
    CHECK_EQ(get("http://far.example/a?b", "via"), 200);
    CHECK_STR(p.got, "GET http://far.example/a?b HTTP/1.1\r\nHost: far.example\r\n\r\n");
    CHECK_EQ(get("http://elsewhere.example:81", "via"), 200);
    CHECK_EQ(p.conns, 1); /* one connection for all that goes by it */
    CHECK_EQ(get(q.url, "raw"), 200);
    CHECK(strncmp(q.got, "GET / HTTP/1.1\r\n", 16) == 0);
    vt_client_free(client);
    /* What the proxy is told it alone is told, also when it sends us elsewhere. */
    char with[200], to[200];
    snprintf(with, sizeof with, "http://u:p@%s", p.addr);
    snprintf(to, sizeof to, "HTTP/1.1 302 F\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", q.url);
    client = vt_client_new(&(vt_client_cfg){.proxy = with, .no_proxy = "127.0.0.1"});
    p.ngot = q.ngot = 0;
    answer(&p, to);
    CHECK_EQ(get("http://far.example/", "raw"), 200);
    CHECK_STR(p.got, "GET http://far.example/ HTTP/1.1\r\nHost: far.example\r\n"
                     "Proxy-Authorization: Basic dTpw\r\n\r\n");
    CHECK(q.ngot > 0 && !strstr(q.got, "Proxy-"));
    vt_client_free(client);
    peer_stop(&p);
    peer_stop(&q);
}
CLI_TEST(unix_sockets, 1) {
    static struct peer p;
    char addr[64];
    snprintf(addr, sizeof addr, "unix:@vt-cli-%d", (int)getpid());
    client = vt_client_new(&(vt_client_cfg){.proxy = "http://127.0.0.1:1"});
    peer_start_at(&p, serve_answer, addr);
    answer(&p, EMPTY);
    for (int i = 0; i < 2; i++) {
        vt_call *call = vt_call_new(client, "GET", "http://service/x");
        CHECK_EQ(vt_call_via(call, addr), 0);
        CHECK_EQ(vt_call_send(call), 200);
        vt_call_free(call);
    }
    CHECK_EQ(p.conns, 1);
    CHECK(strstr(p.got, "GET /x HTTP/1.1\r\nHost: service\r\n"));
    end(&p);
}
static int serve_upgrade(struct peer *p, vt_sock *s, int nth) {
    char buf[16];
    (void)nth;
    if (!peer_head(p, s, 0) || peer_say(s, p->answer) < 0) return 0;
    for (int64_t n; (n = vt_read(s, buf, sizeof buf)) > 0;) vt_write(s, buf, (size_t)n);
    return peer_say(s, "bye");
}
CLI_TEST(upgrades, 1) {
    static struct peer p;
    char buf[16];
    vt_stream *st;
    begin(&p, serve_upgrade, NULL);
    p.answer = "HTTP/1.1 101 Go\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nfirst";
    vt_call *call = vt_call_new(client, "GET", p.url);
    CHECK_EQ(vt_call_upgrade(call, "echo"), 0);
    CHECK_EQ(vt_call_stream(call, &st), VT_ESTATE);
    CHECK_EQ(vt_call_send(call), 101);
    CHECK(strstr(p.got, "\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"));
    CHECK_EQ(vt_call_read(call, buf, 1), VT_ESTATE);
    CHECK_EQ(vt_call_whole(call), VT_ESTATE);
    CHECK_EQ(vt_call_stream(call, &st), 0);
    CHECK_EQ(vt_stream_read(st, buf, sizeof buf), 5);
    CHECK_EQ(vt_stream_write(st, "hello", 5), 5);
    CHECK_EQ(vt_stream_read(st, buf, sizeof buf), 5);
    CHECK_MEM(buf, 5, "hello", 5);
    CHECK_EQ(vt_stream_shutdown(st), 0);
    CHECK_EQ(vt_stream_read(st, buf, sizeof buf), 3);
    CHECK_EQ(vt_stream_read(st, buf, sizeof buf), 0);
    vt_call_free(call);
    CHECK_EQ(client->conns, 0);
    p.answer = OK "Content-Length: 2\r\n\r\nno";
    call = vt_call_new(client, "GET", p.url);
    vt_call_upgrade(call, "echo");
    CHECK_EQ(vt_call_send(call), 200);
    CHECK_EQ(vt_call_stream(call, &st), VT_ESTATE);
    CHECK_EQ(vt_call_whole(call), 0);
    CHECK_STR(vt_call_text(call).ptr, "no");
    vt_call_free(call);
    vt_client_close_idle(client); /* that peer would echo what comes on it */
    p.answer = "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\n\r\n";
    call = vt_call_new(client, "GET", p.url);
    vt_call_upgrade(call, "echo");
    CHECK_EQ(vt_call_send(call), VT_EHTTP);
    vt_call_free(call);
    end(&p);
}
