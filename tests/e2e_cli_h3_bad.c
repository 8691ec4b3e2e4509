/* The client over HTTP/3 against a server that a script plays, on this library's own engine: refusals, GOAWAY, connections that are
 * lost, responses that make no sense. */
/* tsan */
/* variants: default asan tsan */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "cli.h"
#include "cliserver.h"
#include "handlers.h"
#include "clih3.h"
#include "wscli.h"
#include "h3frames.h"

/*--- the server: what it says to each request is `say`'s; under its domain's lock ---*/
struct conn {
    vt__h3e e;
    int nth, requests;
    vt__mux_stream *held[4]; /* the first ones */
};
static struct {
    void (*say)(struct conn *c, vt__mux_stream *s);
    vt__dom *dom;
    struct vt__qend *end;
    vt__h3_cfg cfg;
    vt__qsec_vault vault;
    vt__ossl_keys keys;
    int conns, requests;
    char url[64];
} script;
static bool script_deaf; /* it gives no room back */
static int read_of(const int *n) { return __atomic_load_n(n, __ATOMIC_SEQ_CST); }
static void raw(vt__mux_stream *s, struct bytes *b, bool fin) {
    struct conn *c = VT__CONTAINER(s->x, struct conn, e.x);
    if (s->wire) vt__qstr_put(&c->e.c.q.streams, s->wire, b->p, b->n, fin);
    bytes_free(b);
    vt__h3e_stir(&c->e.x);
}
static void answer(vt__mux_stream *s, const char *text) {
    struct iovec v = {(void *)(uintptr_t)text, strlen(text)};
    if (!s->wire) return;
    vt__h3e_ops.head(s, &(vt__mux_head){.status = 200}, 0);
    CHECK_EQ(vt__h3e_ops.take(s, &v, v.iov_len, true), v.iov_len);
    vt__h3e_stir(s->x);
}
static vt__mux_stream *conn_open(vt__h3e *h) { return vt__mux_stream_new(&h->x, sizeof(vt__mux_stream)); }
static void conn_event(vt__h3e *h, const vt__msg_event *ev) {
    struct conn *c = VT__CONTAINER(h, struct conn, e);
    vt__mux_stream *s = ev->stream ? VT__CONTAINER(ev->stream, vt__mux_stream, m.c) : NULL;
    if (ev->type == VT__MSG_EV_DATA && !script_deaf) vt__h3e_ops.consumed(s, ev->value.len);
    if (ev->type != VT__MSG_EV_HEAD) return;
    __atomic_add_fetch(&script.requests, 1, __ATOMIC_SEQ_CST);
    if (c->requests < 4) c->held[c->requests] = s;
    c->requests++;
    script.say(c, s);
}
static void conn_nothing(vt__h3e *h) { (void)h; }
static void conn_closed(vt__h3e *h) {
    while (!vt__ds_list_empty(&h->x.streams))
        vt__mux_forget(VT__CONTAINER(h->x.streams.next, vt__mux_stream, link));
}
static int64_t conn_due(const vt__h3e *h) { return (void)h, INT64_MAX; }
static void conn_timer(vt__h3e *h, int64_t now) { (void)h, (void)now; }
static const vt__h3e_role role = {.open = conn_open,
                                  .event = conn_event,
                                  .failed = conn_nothing,
                                  .ready = conn_nothing,
                                  .closed = conn_closed,
                                  .due = conn_due,
                                  .timer = conn_timer};
static int conn_accept(vt__qend_conn *q) {
    struct conn *c = VT__CONTAINER(q, struct conn, e.c);
    c->nth = __atomic_fetch_add(&script.conns, 1, __ATOMIC_SEQ_CST);
    return vt__h3e_init(&c->e, &role, &script.cfg, true);
}
static const vt__qend_ops ops = {sizeof(struct conn), NULL, conn_accept, vt__h3e_event, vt__h3e_gone};
static void begin(void (*say)(struct conn *c, vt__mux_stream *s), vt_client_cfg cfg) {
    vt_tls_cert cert = {.cert_pem = leaf.text};
    vt_tls_cfg tls = {.certs = &cert, .ncerts = 1};
    vt__qend_cfg q = {.ops = &ops};
    vt__ossl_text text = {""};
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    script.say = say;
    script.conns = script.requests = 0;
    script.dom = vt__sched_thr()->dom;
    vt__h3_cfg_fill(&script.cfg);
    CHECK_EQ(vt__qsec_vault_init(&script.vault, NULL), 0);
    q.quic.server = true;
    q.quic.vault = &script.vault;
    CHECK_EQ(vt__qtls_ctx_server(&q.quic.tls, &tls, &script.keys, (vt_str){"\2h3", 3}, &text), 0);
    vt__sched_dom_lock(script.dom);
    CHECK_EQ(vt__qend_open(&script.end, script.dom, &q, NULL, (struct sockaddr *)&at, sizeof at), 0);
    vt__sched_dom_unlock(script.dom);
    snprintf(script.url, sizeof script.url, "https://127.0.0.1:%d/", script.end->udp.port);
    h3_speak(&cfg, VT_HTTP3_PRIOR);
    client = vt_client_new(&cfg);
    h3_patient(client);
}
static void end(void) {
    vt_client_free(client);
    vt__ossl_ctx *tls = script.end->quic.tls;
    vt__sched_dom_lock(script.dom);
    vt__qend_free(script.end);
    vt__sched_dom_unlock(script.dom);
    vt_yield(); /* its last message */
    vt__ossl_unref(tls);
}
/* A GET, or a POST with a body, on a virtual thread: its status, or its error. */
static int asks(void *arg) { return ask_by(client, script.url, arg); }
static vt_task *asked(const char *body) {
    int before = read_of(&script.requests);
    vt_task *t = vt_async(asks, (void *)(uintptr_t)body);
    while (read_of(&script.requests) == before) vt_sleep_ms(1);
    return t;
}

/*--- what was not begun with ---*/
static uint64_t refuse_with;
static int refuse_times;
static void say_refusal(struct conn *c, vt__mux_stream *s) {
    if (refuse_times <= 0) {
        answer(s, "taken");
        return;
    }
    refuse_times--;
    vt__h3e_break(&c->e, s->wire, refuse_with);
    vt__h3e_stir(&c->e.x);
}
CLI_TEST(refusals_and_resets, 1) {
    const struct {
        uint64_t code;
        int times, status, requests;
    } cases[] = {
        {VT__H3_REQUEST_REJECTED, 1, 200, 2},
        {VT__H3_REQUEST_REJECTED, 7, 200, 8},
        {VT__H3_REQUEST_REJECTED, 100, VT_EREFUSED, 8},
        {VT__H3_REQUEST_CANCELLED, 1, VT_ERESET, 1},
        {VT__H3_INTERNAL_ERROR, 1, VT_ERESET, 1},
        {VT__H3_VERSION_FALLBACK, 1, -ECONNREFUSED, 1}, /* by TCP */
    };
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        begin(say_refusal, (vt_client_cfg){0});
        refuse_with = cases[i].code;
        refuse_times = cases[i].times;
        CHECK_EQ(status_of(vt_client_post(client, script.url, NULL, "body", 4)), cases[i].status);
        CHECK_EQ(script.requests, cases[i].requests);
        refuse_times = 0;
        CHECK_EQ(get_by(client, script.url, "taken"), 200); /* the connection is as good as before */
        CHECK_EQ(script.conns, 1);
        end();
    }
}
/* Of three, the first is finished; the others, whatever their method, are asked elsewhere. */
static void say_goaway(struct conn *c, vt__mux_stream *s) {
    if (c->nth > 0) answer(s, "second");
    else if (c->requests == 3) {
        c->e.m.away = c->held[1]->m.h3.id, (void)vt__h3_put_goaway(&c->e.m);
        vt__h3e_stir(&c->e.x);
    }
}
CLI_TEST(goaway, 1) {
    vt_task *t[3];
    begin(say_goaway, (vt_client_cfg){0});
    for (int i = 0; i < 3; i++) t[i] = asked(i == 1 ? "body" : NULL);
    for (int i = 1; i < 3; i++) CHECK_EQ(awaited(t[i]), 200);
    CHECK_EQ(script.requests, 5);
    CHECK_EQ(script.conns, 2);
    CHECK(!vt_task_done(t[0]));
    vt__sched_dom_lock(script.dom);
    struct conn *c = VT__CONTAINER(script.end->conns.next, struct conn, e.c.link);
    answer(c->held[0], "first");
    vt__sched_dom_unlock(script.dom);
    CHECK_EQ(awaited(t[0]), 200);
    for (int i = 0; i < 5000 && client->conns != 1; i++) vt_sleep_ms(1);
    CHECK_EQ(client->conns, 1);
    CHECK_EQ(get_by(client, script.url, "second"), 200);
    end();
}
/* The connection ends in the middle: what may be sent again is, where it was used before. */
static void say_once(struct conn *c, vt__mux_stream *s) {
    if (c->nth > 0 || c->requests == 1) answer(s, "answered");
    else vt__qend_close(&c->e.c, true, VT__H3_INTERNAL_ERROR, vt__str_of("enough"));
}
CLI_TEST(a_connection_is_lost, 1) {
    for (int post = 0; post < 2; post++) {
        begin(say_once, (vt_client_cfg){0});
        CHECK_EQ(get_by(client, script.url, "answered"), 200);
        CHECK_EQ(asks(post ? "body" : NULL), post ? -ECONNRESET : 200);
        CHECK_EQ(get_by(client, script.url, "answered"), 200);
        CHECK_EQ(script.conns, 2);
        end();
    }
}
/* A server that takes less than all of a body, and says so by its answer and STOP_SENDING without an error. */
static void say_early(struct conn *c, vt__mux_stream *s) {
    answer(s, "enough");
    vt__qstr_stop(&c->e.c.q.streams, s->wire, VT__H3_NO_ERROR);
}
CLI_TEST(an_early_answer, 1) {
    static const char body[3000000] = "body";
    begin(say_early, (vt_client_cfg){0});
    for (int i = 0; i < 3; i++) {
        vt_call *call = vt_client_post(client, script.url, NULL, body, sizeof body);
        CHECK_EQ(vt_call_status(call), 200);
        CHECK_STR(vt_call_text(call).ptr, "enough");
        vt_call_free(call);
    }
    CHECK_EQ(script.conns, 1);
    end();
}
/* One that takes nothing of a body holds up that call alone, until its time is up. */
static void say_nothing_to_bodies(struct conn *c, vt__mux_stream *s) {
    if (c->requests != 1) answer(s, "next");
}
CLI_TEST(a_body_that_nobody_wants, 1) {
    static const char body[3000000] = "body";
    begin(say_nothing_to_bodies, (vt_client_cfg){.write_timeout_ms = 300, .read_timeout_ms = 300});
    CHECK_EQ(status_of(vt_client_post(client, script.url, NULL, body, sizeof body)), -ETIMEDOUT);
    CHECK_EQ(get_by(client, script.url, "next"), 200);
    CHECK_EQ(script.conns, 1);
    end();
}

/*--- what makes no sense ---*/
static const struct bad {
    const char *what;
    void (*say)(struct conn *c, vt__mux_stream *s);
    int err;
    bool all; /* the connection ends */
} * bad;
static void say_head(vt__mux_stream *s, const char *list, bool fin) {
    struct bytes b = {NULL, 0, 0};
    put_head(&b, list);
    raw(s, &b, fin);
}
static void say_frame(vt__mux_stream *s, uint64_t type, const char *p, bool fin) {
    struct bytes b = {NULL, 0, 0};
    put_frame(&b, type, p, strlen(p));
    raw(s, &b, fin);
}
static void say_short(struct conn *c, vt__mux_stream *s) {
    (void)c;
    say_head(s, ":status=200;content-length=10;", false);
    say_frame(s, VT__H3_T_DATA, "short", true);
}
static void say_long(struct conn *c, vt__mux_stream *s) {
    (void)c;
    say_head(s, ":status=200;content-length=3;", false);
    say_frame(s, VT__H3_T_DATA, "longer", true);
}
static void say_no_status(struct conn *c, vt__mux_stream *s) { (void)c, say_head(s, "x-a=b;", true); }
static void say_upper(struct conn *c, vt__mux_stream *s) {
    (void)c, say_head(s, ":status=200;X-Upper=b;", true);
}
static void say_connection(struct conn *c, vt__mux_stream *s) {
    (void)c, say_head(s, ":status=200;connection=close;", true);
}
static void say_101(struct conn *c, vt__mux_stream *s) { (void)c, say_head(s, ":status=101;", false); }
static void say_cut(struct conn *c, vt__mux_stream *s) {
    struct bytes none = {NULL, 0, 0};
    (void)c, raw(s, &none, true);
}
static void say_data_first(struct conn *c, vt__mux_stream *s) {
    (void)c, say_frame(s, VT__H3_T_DATA, "data", true);
}
static void say_push(struct conn *c, vt__mux_stream *s) {
    (void)c, say_frame(s, VT__H3_T_PUSH_PROMISE, "\1\1\1", false);
}
static void say_bad_qpack(struct conn *c, vt__mux_stream *s) {
    (void)c, say_frame(s, VT__H3_T_HEADERS, "\xff\xff\xff\xff\xff\xff\xff", true);
}
static void say_bidi(struct conn *c, vt__mux_stream *s) {
    vt__qstr_stream *wire;
    (void)s;
    c->e.c.q.streams.peer_limit[0] = 1; /* which the client did not allow; the transport's business */
    CHECK_EQ(vt__qstr_open(&c->e.c.q.streams, false, &wire), 0);
    vt__qstr_put(&c->e.c.q.streams, wire, "x", 1, false);
    vt__h3e_stir(&c->e.x);
}
static void say_many_fields(struct conn *c, vt__mux_stream *s) {
    char list[4000] = ":status=200;";
    (void)c;
    for (int i = 0; i < 300; i++) strcat(list, "x-a=b;");
    say_head(s, list, true);
}
static void say_interims(struct conn *c, vt__mux_stream *s) {
    (void)c;
    for (int i = 0; i < 200; i++) say_head(s, ":status=103;link=</x>;", false);
}
static void say_large_trailers(struct conn *c, vt__mux_stream *s) {
    char list[16000] = "", field[130] = "x-a=";
    (void)c;
    memset(field + 4, 'v', 120), strcpy(field + 124, ";");
    for (int i = 0; i < 90; i++) strcat(list, field);
    say_head(s, ":status=200;", false);
    say_head(s, list, true);
}
static void say_bad(struct conn *c, vt__mux_stream *s) {
    if (c->nth > 0 || c->requests > 2) answer(s, "good");
    if (c->nth > 0 || c->requests != 2) return;
    bad->say(c, s);
    if (!bad->all) answer(c->held[0], "good");
}
static int reads_whole(void *arg) {
    vt_call *call = vt_client_post(client, script.url, NULL, arg, strlen(arg));
    int r = vt_call_status(call);
    if (r == 200) r = vt_call_whole(call);
    vt_call_free(call);
    return r;
}
CLI_TEST(bad_responses, 1) {
    static char body[] = "body"; /* a POST is not sent again */
    static const struct bad cases[] = {
        {"short", say_short, VT_EHTTP, false},
        {"long", say_long, VT_EHTTP, false},
        {"no status", say_no_status, VT_EHTTP, false},
        {"upper case", say_upper, VT_EHTTP, false},
        {"connection", say_connection, VT_EHTTP, false},
        {"101", say_101, VT_EHTTP, false},
        {"cut", say_cut, VT_EHTTP, false},
        {"fields", say_many_fields, VT_EHEAD, false},
        {"interims", say_interims, VT_EHTTP, false},
        {"trailers", say_large_trailers, VT_EHTTP, false},
        {"data first", say_data_first, VT_EHTTP, true},
        {"push", say_push, VT_EHTTP, true},
        {"qpack", say_bad_qpack, VT_EHTTP, true},
        {"a stream of the server's", say_bidi, VT_EHTTP, true},
    };
    for (bad = cases; bad < cases + VT__COUNT(cases); bad++) {
        begin(say_bad, (vt_client_cfg){0});
        vt_task *other = vt_async(reads_whole, body);
        while (read_of(&script.requests) < 1) vt_sleep_ms(1);
        int r = reads_whole(body);
        if (r != bad->err) test_fail(__FILE__, __LINE__, bad->what);
        CHECK_EQ(r, bad->err);
        CHECK_EQ(awaited(other), bad->all ? bad->err : 0);
        CHECK_EQ(get_by(client, script.url, "good"), 200);
        CHECK_EQ(script.conns, 1 + bad->all);
        end();
    }
}

/*--- WebSockets ---*/
static bool ws_taken = true;
static void begin_ws(void (*say)(struct conn *c, vt__mux_stream *s), vt_client_cfg cfg) {
    script.cfg.connect_protocol = ws_taken;
    begin(say, cfg);
}
static int ws_open_script(vt_ws **ws) {
    static const vt_ws_cfg cfg = {.close_ms = VT_NONE};
    return vt_client_ws(client, ws_url(script.url, ""), &cfg, ws);
}
static void say_data(vt__mux_stream *s, const char *text, bool fin) {
    struct iovec v = {(void *)(uintptr_t)text, strlen(text)};
    if (!s->wire) return;
    CHECK_EQ(vt__h3e_ops.take(s, &v, v.iov_len, fin), v.iov_len);
    vt__h3e_stir(s->x);
}
static void say_hello(struct conn *c, vt__mux_stream *s) {
    (void)c;
    if (!s->wire) return;
    vt__h3e_ops.head(s, &(vt__mux_head){.status = 200}, 0);
    say_data(s, "\x81\x05hello", false);
}
static void hears_hello(vt_ws *ws) {
    vt_str m;
    CHECK_EQ(vt_ws_recv(ws, &m), VT_WS_TEXT);
    CHECK_STR(m.ptr, "hello");
}
static void say_refusal_or_hello(struct conn *c, vt__mux_stream *s) {
    if (refuse_times > 0) say_refusal(c, s);
    else say_hello(c, s);
}
/* GOAWAY that leaves the first connection's request out. */
static void say_away(struct conn *c, vt__mux_stream *s) {
    if (c->nth > 0) {
        say_hello(c, s);
        return;
    }
    c->e.m.away = s->m.h3.id, (void)vt__h3_put_goaway(&c->e.m);
    vt__h3e_stir(&c->e.x);
}
CLI_TEST(websockets_that_are_refused, 1) {
    const struct {
        uint64_t code;
        int times, result, requests;
    } cases[] = {{VT__H3_REQUEST_REJECTED, 1, 0, 2},
                 {VT__H3_REQUEST_REJECTED, 100, VT_EREFUSED, 8},
                 {VT__H3_REQUEST_CANCELLED, 1, VT_ERESET, 1},
                 {VT__H3_VERSION_FALLBACK, 1, -ECONNREFUSED, 1}}; /* by TCP */
    vt_ws *ws;
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        refuse_with = cases[i].code, refuse_times = cases[i].times;
        begin_ws(say_refusal_or_hello, (vt_client_cfg){0});
        CHECK_EQ(ws_open_script(&ws), cases[i].result);
        if (ws) hears_hello(ws);
        vt_ws_free(ws);
        CHECK_EQ(script.requests, cases[i].requests);
        CHECK_EQ(script.conns, 1);
        end();
    }
    begin_ws(say_away, (vt_client_cfg){0});
    CHECK_EQ(ws_open_script(&ws), 0);
    if (ws) hears_hello(ws);
    vt_ws_free(ws);
    CHECK_EQ(script.conns, 2);
    end();
}
/* One that does not take them is asked over TCP, where nobody is; calls go on. */
static void say_taken(struct conn *c, vt__mux_stream *s) { (void)c, answer(s, "taken"); }
CLI_TEST(websockets_of_a_server_that_takes_none, 1) {
    vt_ws *ws;
    ws_taken = false;
    begin_ws(say_taken, (vt_client_cfg){0});
    ws_taken = true;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(ws_open_script(&ws), -ECONNREFUSED);
        CHECK_EQ(script.requests, i);
        CHECK_EQ(get_by(client, script.url, "taken"), 200);
    }
    CHECK_EQ(script.conns, 1);
    CHECK_EQ(client->conns, 1);
    end();
}
/* How they end while a sender waits for room: by a reset, by the stream's end without a close frame, with the connection, by
 * STOP_SENDING. */
CLI_TEST(websockets_end, 2) {
    static const int sent[] = {-ECONNRESET, -ECANCELED, -ECONNRESET, -EPIPE};
    for (int how = 0; how < 4; how++) {
        vt_ws *ws;
        vt_str m;
        begin_ws(say_hello, (vt_client_cfg){.write_timeout_ms = 60000});
        CHECK_EQ(ws_open_script(&ws), 0);
        if (!ws) continue;
        hears_hello(ws);
        script_deaf = true; /* so that its sender waits */
        vt_task *t = vt_async_any(ws_floods, ws);
        vt_sleep_ms(30);
        CHECK(!vt_task_done(t));
        vt__sched_dom_lock(script.dom);
        struct conn *c = VT__CONTAINER(script.end->conns.next, struct conn, e.c.link);
        vt__mux_stream *s = c->held[0];
        if (how == 0) vt__h3e_break(&c->e, s->wire, VT__H3_REQUEST_CANCELLED);
        else if (how == 1) say_data(s, "", true);
        else if (how == 2) vt__qend_close(&c->e.c, true, VT__H3_INTERNAL_ERROR, vt__str_of("enough"));
        else vt__qstr_stop(&c->e.c.q.streams, s->wire, VT__H3_NO_ERROR);
        vt__h3e_stir(&c->e.x);
        vt__sched_dom_unlock(script.dom);
        if (how < 3) CHECK_EQ(vt_ws_recv(ws, &m), how == 1 ? VT_EEOF : -ECONNRESET);
        if (how < 3) CHECK_EQ(vt_ws_close_code(ws), 1006);
        if (how == 1) vt_cancel(t); /* the other half is open yet */
        CHECK_EQ(awaited(t), sent[how]);
        script_deaf = false;
        vt_ws_free(ws);
        end();
    }
}
