/* qlog: what is written of QUIC connections is JSON, whatever comes, stays within its bounds, and tells what happened. */
/* variants: default asan */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#include <stddef.h>
#include <stdlib.h>
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "quicpeer.h"
#include "json.h"
#include "rand.h"

/* ---- a log in memory ---- */
struct log {
    vt__qlog q;
    char *p;
    size_t n, writes, longest; /* longest: bytes of one write */
    bool fails;
};
static void log_write(vt__qlog *q) {
    struct log *l = VT__CONTAINER(q, struct log, q);
    if (!(l->p = realloc(l->p, l->n + q->n + 1))) abort();
    memcpy(l->p + l->n, q->buf, q->n);
    l->n += q->n, l->writes++;
    if (q->n > l->longest) l->longest = q->n;
    l->p[l->n] = 0;
    q->n = 0;
    q->off |= l->fails;
}
static void log_init(struct log *l, uint64_t most) {
    memset(l, 0, sizeof *l);
    l->q.write = log_write, l->q.left = most;
}
/* How many records there are; each is a JSON text of its own (RFC 7464), not longer than it may be. -1: one is not. */
static int log_check(struct log *l) {
    int n = 0;
    vt__qlog_flush(&l->q);
    for (char *at = l->p, *end; at && *at; at = end + 1, n++) {
        end = strchr(at, '\n');
        if (*at != 0x1e || !end || end - at > VT__QLOG_RECORD ||
            !json_valid(at + 1, (size_t)(end - at - 1))) {
            printf("no JSON: %.2000s\n", at + 1);
            return -1;
        }
    }
    return n;
}
static bool log_has(const struct log *l, const char *what) { return l->p && strstr(l->p, what); }
/* Whether these stand there in this order. The last one: NULL. */
static bool log_tells(const struct log *l, const char *const *what) {
    const char *at = l->p;
    for (; at && *what; what++) {
        if (!(at = strstr(at, *what))) printf("not there, or not in order: %s\n", *what);
        else at += strlen(*what);
    }
    return at != NULL;
}
#define TELLS(l, ...) log_tells((l), (const char *const[]){__VA_ARGS__, NULL})

/* ---- the formatter ---- */
static vt__quic conn;
static vt__quic_shake shake;
static vt__quic_cfg conn_cfg;
static struct log l;
static void begin(uint64_t most) {
    memset(&conn, 0, sizeof conn);
    conn.cfg = &conn_cfg;
    conn.keys.version = VT__QPKT_V1;
    conn.peer.ack_exponent = 4;
    vt__qpkt_cid_set(&conn.odcid, (const uint8_t *)"\1\2\3\4\5\6\7\xff", 8);
    vt__quic_set_shake(&conn, &shake);
    conn.keys.at[VT__QPKT_APP] = &conn.keys.app;
    conn.paths[0].remote = addr_of(SERVER_ADDR);
    log_init(&l, most);
}
static void tell(unsigned what, const uint8_t *frames, size_t n) {
    static const uint8_t head[40] = {0x45, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    vt__quic_entry e = {.what = what,
                        .type = VT__QPKT_T_SHORT,
                        .pn = 9,
                        .p = head,
                        .n = sizeof head,
                        .frames = frames,
                        .len = n};
    vt__qlog_take(&l.q, &conn, &e);
}
#define FRAMES(...)                                                                                          \
    do {                                                                                                     \
        static const uint8_t frames_[] = {__VA_ARGS__};                                                      \
        tell(VT__QUIC_LOG_GOT, frames_, sizeof frames_);                                                     \
    } while (0)
/* Of one frame it says this. */
#define SAYS(text, ...)                                                                                      \
    do {                                                                                                     \
        begin(1 << 20);                                                                                      \
        FRAMES(__VA_ARGS__);                                                                                 \
        CHECK_EQ(log_check(&l), 4);                                                                          \
        CHECK(log_has(&l, "\"frames\":[" text "]"));                                                         \
        free(l.p);                                                                                           \
    } while (0)

TEST(file_begins_with_what_it_is) {
    begin(1 << 20);
    conn.now = 1234567;
    FRAMES(1);
    CHECK_EQ(log_check(&l), 4);
    CHECK(strncmp(l.p, "\x1e{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\"", 50) == 0);
    CHECK(TELLS(
        &l, "\"serialization_format\":\"application/qlog+json-seq\"", "\"type\":\"client\"",
        "\"group_id\":\"01020304050607ff\"", "\n\x1e{\"time\":1.234,\"name\":\"quic:connection_started\"",
        "\"remote\":{\"ip_v4\":\"10.0.0.2\",\"port_v4\":443}", "quic:version_information",
        "\"chosen_version\":\"00000001\"", "quic:packet_received",
        "\"packet_type\":\"1RTT\",\"packet_number\":9,\"packet_number_length\":2,\"key_phase_bit\":true",
        "\"raw\":{\"length\":40}"));
    free(l.p);
}
TEST(frames_by_name) {
    SAYS("{\"frame_type\":\"padding\",\"raw\":{\"length\":3,\"payload_length\":3}}", 0, 0, 0);
    SAYS("{\"frame_type\":\"ping\"},{\"frame_type\":\"handshake_done\"}", 1, 0x1e);
    SAYS("{\"frame_type\":\"ack\",\"ack_delay\":0.160,\"acked_ranges\":[[8,9],[2,3]]}", 2, 9, 10, 1, 1, 3, 1);
    SAYS(
        "{\"frame_type\":\"ack\",\"ack_delay\":0.000,\"acked_ranges\":[[9,9]],\"ect0\":1,\"ect1\":2,\"ce\":3}",
        3, 9, 0, 0, 0, 1, 2, 3);
    SAYS(
        "{\"frame_type\":\"reset_stream\",\"stream_id\":4,\"error_code\":5,\"final_size\":6,\"error\":\"unknown\"}",
        4, 4, 5, 6);
    SAYS("{\"frame_type\":\"stop_sending\",\"stream_id\":4,\"error_code\":5,\"error\":\"unknown\"}", 5, 4, 5);
    SAYS("{\"frame_type\":\"crypto\",\"offset\":7,\"raw\":{\"length\":5,\"payload_length\":2}}", 6, 7, 2, 1,
         1);
    SAYS("{\"frame_type\":\"new_token\",\"token\":{\"raw\":{\"length\":3}}}", 7, 3, 1, 2, 3);
    SAYS("{\"frame_type\":\"stream\",\"stream_id\":8,\"offset\":3,\"fin\":true,\"raw\":{\"length\":5,"
         "\"payload_length\":1}}",
         0xf, 8, 3, 1, 'x');
    SAYS("{\"frame_type\":\"max_data\",\"maximum\":9},{\"frame_type\":\"max_stream_data\",\"stream_id\":1,"
         "\"maximum\":2}",
         0x10, 9, 0x11, 1, 2);
    SAYS("{\"frame_type\":\"max_streams\",\"maximum\":3,\"stream_type\":\"bidirectional\"},"
         "{\"frame_type\":\"max_streams\",\"maximum\":4,\"stream_type\":\"unidirectional\"}",
         0x12, 3, 0x13, 4);
    SAYS(
        "{\"frame_type\":\"data_blocked\",\"limit\":9},{\"frame_type\":\"stream_data_blocked\",\"stream_id\":1,"
        "\"limit\":2}",
        0x14, 9, 0x15, 1, 2);
    SAYS("{\"frame_type\":\"streams_blocked\",\"limit\":3,\"stream_type\":\"bidirectional\"},"
         "{\"frame_type\":\"streams_blocked\",\"limit\":4,\"stream_type\":\"unidirectional\"}",
         0x16, 3, 0x17, 4);
    SAYS(
        "{\"frame_type\":\"new_connection_id\",\"sequence_number\":2,\"retire_prior_to\":1,\"connection_id\":\"abcd\"}",
        0x18, 2, 1, 2, 0xab, 0xcd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
    SAYS("{\"frame_type\":\"retire_connection_id\",\"sequence_number\":5}", 0x19, 5);
    SAYS("{\"frame_type\":\"path_challenge\",\"data\":\"0102030405060708\"},"
         "{\"frame_type\":\"path_response\",\"data\":\"0102030405060708\"}",
         0x1a, 1, 2, 3, 4, 5, 6, 7, 8, 0x1b, 1, 2, 3, 4, 5, 6, 7, 8);
    SAYS("{\"frame_type\":\"connection_close\",\"trigger_frame_type\":6,\"error_space\":\"transport\","
         "\"error\":\"flow_control_error\",\"reason\":\"no\"}",
         0x1c, 3, 6, 2, 'n', 'o');
    SAYS("{\"frame_type\":\"connection_close\",\"trigger_frame_type\":0,\"error_space\":\"transport\","
         "\"error\":\"crypto_error_0x12a\",\"reason\":\"\"}",
         0x1c, 0x41, 0x2a, 0, 0);
    SAYS("{\"frame_type\":\"connection_close\",\"error_space\":\"application\",\"error\":\"unknown\","
         "\"error_code\":256,\"reason\":\"\"}",
         0x1d, 0x41, 0, 0);
    SAYS("{\"frame_type\":\"datagram\",\"raw\":{\"length\":3,\"payload_length\":2}}", 0x30, 1, 2);
}
TEST(text_of_the_peer_is_escaped) {
    SAYS("{\"frame_type\":\"connection_close\",\"error_space\":\"application\",\"error\":\"unknown\","
         "\"error_code\":0,\"reason\":\"\\u0022\\u005c\\u0027\\u000a\\u0000\\u00ff\\u007f~%s\"}",
         0x1d, 0, 10, '"', '\\', '\'', '\n', 0, 0xff, 0x7f, '~', '%', 's');
}
/* What @h3 has to tell, by draft-ietf-quic-qlog-h3-events. */
static void tell_h3(vt__h3 *m, const vt__h3_entry *h3) {
    vt__quic_entry e = {.what = VT__QUIC_LOG_MORE, .more = h3, .of = m};
    vt__qlog_take(&l.q, &conn, &e);
}
#define SAYS_H3(text, ...)                                                                                   \
    do {                                                                                                     \
        vt__h3_cfg cfg_ = {.table = VT__H3_NONE};                                                            \
        vt__h3 m_ = {.cfg = &cfg_, .log = tell_h3, .server = true};                                          \
        vt__h3_cfg_fill(&cfg_);                                                                              \
        m_.peer_head = UINT64_MAX, m_.peer_table = 5;                                                        \
        begin(1 << 20);                                                                                      \
        VT__H3_LOG(&m_, __VA_ARGS__);                                                                        \
        CHECK_EQ(log_check(&l), 4);                                                                          \
        CHECK(log_has(&l, text "}}\n"));                                                                     \
        free(l.p);                                                                                           \
    } while (0)
TEST(http3_by_name) {
    SAYS_H3(
        "\"http3:stream_type_set\",\"data\":{\"initiator\":\"local\",\"stream_id\":7,\"stream_type\":\"qpack_encode\"",
        STREAM, .ours = true, .id = 7, .type = 2);
    SAYS_H3("\"initiator\":\"remote\",\"stream_id\":4,\"stream_type\":\"request\"", STREAM, .id = 4,
            .type = UINT64_MAX);
    SAYS_H3("\"stream_type\":\"unknown\",\"stream_type_bytes\":4", STREAM, .id = 6, .type = 4);
    SAYS_H3(
        "\"http3:frame_parsed\",\"data\":{\"stream_id\":0,\"frame\":{\"frame_type\":\"headers\",\"headers\":[],"
        "\"raw\":{\"payload_length\":9}}",
        FRAME, .type = VT__H3_T_HEADERS, .len = 9);
    SAYS_H3(
        "\"http3:frame_created\",\"data\":{\"stream_id\":3,\"frame\":{\"frame_type\":\"goaway\",\"id\":8}",
        FRAME, .ours = true, .id = 3, .type = VT__H3_T_GOAWAY, .v = 8);
    SAYS_H3("\"frame\":{\"frame_type\":\"max_push_id\",\"push_id\":1}", FRAME, .type = VT__H3_T_MAX_PUSH_ID,
            .v = 1);
    SAYS_H3("\"frame\":{\"frame_type\":\"data\",\"raw\":{\"payload_length\":1}}", FRAME, .len = 1);
    SAYS_H3("\"frame\":{\"frame_type\":\"reserved\",\"frame_type_bytes\":64}", FRAME, .type = 0x40);
    SAYS_H3("\"frame\":{\"frame_type\":\"unknown\",\"frame_type_bytes\":14}", FRAME, .type = 14);
    SAYS_H3(
        "\"frame\":{\"frame_type\":\"priority_update\",\"stream_id\":4,\"priority_field_value\":\"u=1\\u0022\"}",
        FRAME, .type = VT__H3_T_PRIORITY_UPDATE, .v = 4, .text = VT__STR_LIT("u=1\""));
    SAYS_H3("\"http3:parameters_set\",\"data\":{\"initiator\":\"local\",\"max_field_section_size\":16384,"
            "\"max_table_capacity\":0,\"blocked_streams_count\":0,\"extended_connect\":0",
            SETTINGS, .ours = true);
    SAYS_H3(
        "{\"initiator\":\"remote\",\"max_table_capacity\":5,\"blocked_streams_count\":0,\"extended_connect\":0",
        SETTINGS, .ours = false);
}
/* What is too much is left out, and that is said. */
TEST(records_are_bounded) {
    static uint8_t many[1400], ack[1400], reason[1400];
    memset(many, 1, sizeof many);
    begin(1 << 20);
    tell(VT__QUIC_LOG_SENT, many, sizeof many);
    CHECK_EQ(log_check(&l), 4);
    CHECK(TELLS(&l, "quic:packet_sent", "ping", "\"frames_left_out\":true}}\n"));
    free(l.p);
    vt__qpkt_range r[400];
    for (size_t i = 0; i < VT__COUNT(r); i++) r[i].lo = r[i].hi = (UINT64_C(1) << 60) + 3 * i;
    uint8_t *end = vt__qpkt_put_ack(ack, ack + sizeof ack, r, VT__COUNT(r), 0, NULL);
    begin(1 << 20);
    tell(VT__QUIC_LOG_SENT, ack, (size_t)(end - ack));
    CHECK_EQ(log_check(&l), 4);
    CHECK(TELLS(&l, "\"frame_type\":\"ack\"", "\"frames_left_out\":true}}\n"));
    free(l.p);
    memset(many, 0xff, sizeof many);
    vt_str why = {(char *)many, 1300};
    end = vt__qpkt_put_close(reason, reason + sizeof reason, true, VT__QPKT_INT_MAX, 0, why);
    begin(1 << 20);
    tell(VT__QUIC_LOG_SENT, reason, (size_t)(end - reason));
    CHECK_EQ(log_check(&l), 4);
    free(l.p);
}
/* Any bytes that may come. */
TEST(whatever_comes_is_json) {
    uint64_t rng = test_seed();
    uint8_t bytes[1200];
    begin(UINT64_MAX);
    for (int i = 0; i < 5000; i++) {
        size_t n = 1 + test_rand(&rng) % (i % 8 ? 40 : sizeof bytes);
        for (size_t k = 0; k < n; k++)
            bytes[k] = (uint8_t)(test_rand(&rng) % (k % 3 ? 64 : 256)); /* frames, for the most part */
        if (i % 5) tell(VT__QUIC_LOG_GOT, bytes, n);
        else {
            vt__quic_entry e = {.what = VT__QUIC_LOG_DROPPED,
                                .type = VT__QPKT_T_UNKNOWN,
                                .p = bytes,
                                .n = n,
                                .why = "invalid"};
            vt__qlog_take(&l.q, &conn, &e);
        }
    }
    CHECK_EQ(log_check(&l), 5003);
    CHECK(l.longest <= VT__QLOG_BUF && l.writes > 10);
    free(l.p);
}
/* At the limit of bytes the file says so, and ends. */
TEST(files_are_bounded) {
    enum { MOST = 4000 };
    begin(MOST);
    conn.log = (vt__quic_log_fn *)(uintptr_t)&l;
    for (int i = 0; i < 100 && conn.log; i++) FRAMES(1);
    CHECK(!conn.log && l.q.off);
    size_t n = l.n;
    CHECK(n <= MOST && n > MOST - 2 * VT__QLOG_LAST);
    FRAMES(1);
    CHECK(log_check(&l) > 5 && l.n == n);
    const char *last = strrchr(l.p, 0x1e);
    CHECK(last && strstr(last, "loglevel:warning") && strstr(last, "limit"));
    free(l.p);
}
TEST(sink_that_fails_ends_it) {
    begin(1 << 20);
    l.fails = true;
    conn.log = (vt__quic_log_fn *)(uintptr_t)&l;
    for (int i = 0; i < 1000 && conn.log; i++) FRAMES(1);
    CHECK(!conn.log);
    CHECK_EQ(l.writes, 1);
    free(l.p);
}
/* What lies for a second is handed on with the next record. */
TEST(records_do_not_wait_for_long) {
    begin(1 << 20);
    FRAMES(1);
    CHECK_EQ(l.writes, 0);
    conn.now = VT_SEC;
    FRAMES(1);
    CHECK_EQ(l.writes, 1);
    free(l.p);
}

/* ---- connections ---- */
static struct net w;
static struct log client, server;
static void on_client(vt__quic *c, const vt__quic_entry *e) { vt__qlog_take(&client.q, c, e); }
static void on_server(vt__quic *c, const vt__quic_entry *e) { vt__qlog_take(&server.q, c, e); }
static void logs_begin(void) {
    log_init(&client, UINT64_MAX), log_init(&server, UINT64_MAX);
    client.q.begun = server.q.begun = w.now;
    w.client.cfg.log = on_client, w.server.cfg.log = on_server;
}
static void net_begin(const struct qlink_cfg *link) {
    net_init(&w, link, test_seed());
    logs_begin();
}
static void net_end(void) {
    CHECK(log_check(&client) > 10), CHECK(log_check(&server) > 10);
    net_free(&w);
}
static void logs_free(void) { free(client.p), free(server.p); }
static const struct qlink_cfg near_by = {.delay_ns = 10 * VT_MS};

TEST(life_of_a_connection) {
    net_begin(&near_by);
    net_connect(&w);
    NET_UNTIL(&w, w.client.confirmed, 5 * VT_SEC);
    CHECK(end_ask(&w.client, 10, 20000) != NULL);
    net_flush(&w, &w.client);
    NET_UNTIL(&w, w.client.finished == 1, 5 * VT_SEC);
    CHECK_EQ(vt__qout_update(&w.client.c), 0);
    vt__quic_ping(&w.client.c);
    net_flush(&w, &w.client);
    net_run(&w, 200 * VT_MS);
    vt__quic_close(&w.client.c, true, 258, VT__STR_LIT("that's \"all\""), w.now);
    net_flush(&w, &w.client);
    net_run(&w, VT_SEC);
    CHECK(w.server.closed);
    net_end();
    CHECK(TELLS(
        &client, "\"type\":\"client\"", "quic:connection_started", "quic:version_information",
        "parameters_set", "\"initiator\":\"local\"", "\"new\":\"attempted\"", "\"new\":\"slow_start\"",
        "quic:packet_sent", "\"packet_type\":\"initial\"", "\"frame_type\":\"crypto\"",
        "quic:packet_received", "\"packet_type\":\"handshake\"", "parameters_set", "\"initiator\":\"remote\"",
        "alpn_information", "\"string_value\":\"h3\"", "\"old\":\"attempted\"", "handshake_complete",
        "\"min_rtt\":", "key_discarded\",\"data\":{\"key_type\":\"client_initial_secret\"", "handshake_done",
        "handshake_confirmed", "\"frame_type\":\"stream\",\"stream_id\":0",
        "\"key_type\":\"client_1rtt_secret\",\"trigger\":\"local_update\",\"key_phase\":1",
        "\"new\":\"closing\"", "quic:connection_closed",
        "\"initiator\":\"local\",\"trigger\":\"application\",\"application_error\":\"unknown\",\"error_code\":258,"
        "\"reason\":\"that\\u0027s \\u0022all\\u0022\"",
        "\"frame_type\":\"connection_close\""));
    CHECK(TELLS(&server, "\"type\":\"server\"", "quic:connection_started", "quic:version_information",
                "\"chosen_version\":\"00000001\"", "quic:packet_received", "\"initiator\":\"remote\"",
                "\"initiator\":\"local\"", "\"chosen_version\":\"6b3343cf\"", "\"string_value\":\"h3\"",
                "handshake_confirmed",
                "\"key_type\":\"client_1rtt_secret\",\"trigger\":\"remote_update\",\"key_phase\":1",
                "\"new\":\"draining\"", "\"initiator\":\"remote\",\"trigger\":\"application\""));
    CHECK(log_has(&client, "key_discarded\",\"data\":{\"key_type\":\"server_handshake_secret\""));
    CHECK(log_has(&client, "\"is_mtu_probe_packet\":true") && log_has(&client, "\"bytes_in_flight\":"));
    logs_free();
}
static unsigned dropped;
static void lose_some(struct qlink *q, struct qlink_dgram *d) {
    (void)q;
    if (w.client.confirmed && ++dropped % 20 == 0) d->n = 0;
}
TEST(losses_and_what_they_do) {
    net_begin(&near_by);
    net_connect(&w);
    w.down.hook = lose_some;
    NET_UNTIL(&w, w.client.confirmed, 5 * VT_SEC);
    CHECK(end_ask(&w.client, 10, 400000) != NULL);
    net_flush(&w, &w.client);
    NET_UNTIL(&w, w.client.finished == 1, 20 * VT_SEC);
    CHECK(w.client.finished == 1);
    uint64_t lost = w.server.c.rec.stats.lost;
    net_end();
    size_t told = 0;
    for (const char *at = server.p; (at = strstr(at, "quic:packet_lost")) != NULL; at++) told++;
    CHECK(lost > 0 && told == lost);
    CHECK(TELLS(&server, "packet_lost\",\"data\":{\"header\":{\"packet_type\":\"1RTT\",\"packet_number\":",
                "\"trigger\":\"reordering_threshold\"", "\"new\":\"recovery\"",
                "\"ssthresh\":", "\"old\":\"recovery\",\"new\":\"congestion_avoidance\""));
    logs_free();
}
/* A client that moves, packets that come twice or changed, and an end by silence. */
static void twice(struct qlink *q, struct qlink_dgram *d) {
    struct qlink_dgram again = *d;
    q->hook = NULL;
    qlink_send(q, w.now, &again);
    d->data[d->n - 1] ^= 1;
    qlink_send(q, w.now, d);
    d->data[d->n - 1] ^= 1;
}
TEST(moves_drops_and_silence) {
    net_begin(&near_by);
    net_connect(&w);
    NET_UNTIL(&w, w.client.confirmed && w.server.confirmed, 5 * VT_SEC);
    net_run(&w, 300 * VT_MS);
    vt__qroute_addr there = addr_of(9 << 16 | 7000), server_at = addr_of(SERVER_ADDR);
    CHECK_EQ(vt__quic_move(&w.client.c, &there, &server_at, w.now), 0);
    w.up.hook = twice;
    net_flush(&w, &w.client);
    net_run(&w, 60 * VT_SEC);
    CHECK(w.client.closed && w.client.c.end.cause == VT__QUIC_BY_TIME);
    net_end();
    CHECK(TELLS(
        &client,
        "\"new\":\"migration_started\",\"tuple_id\":\"1\",\"tuple_local\":{\"ip_v4\":\"10.0.0.9\",\"port_v4\":7000}",
        "\"new\":\"migration_complete\",\"tuple_id\":\"1\"",
        "\"initiator\":\"local\",\"trigger\":\"idle_timeout\""));
    CHECK(TELLS(&server, "path_challenge", "\"ip_v4\":\"10.0.0.9\"",
                "\"new\":\"migration_complete\",\"tuple_id\":\"1\""));
    CHECK(log_has(&server, "packet_dropped") && log_has(&server, "\"trigger\":\"duplicate\""));
    CHECK(log_has(&server, "\"trigger\":\"decryption_failure\""));
    logs_free();
}
/* Only the client has such keys to write with, and the server to read. */
TEST(keys_of_0_rtt) {
    static const char
        got[] = "key_updated\",\"data\":{\"key_type\":\"client_0rtt_secret\",\"trigger\":\"tls\"}",
        gone[] = "key_discarded\",\"data\":{\"key_type\":\"client_0rtt_secret\",\"trigger\":\"tls\"}";
    net_get_tickets(&w, test_seed());
    net_init_early(&w, &near_by, test_seed());
    logs_begin();
    w.client.asks = 1, w.client.asks_down = 1000;
    net_connect_early(&w);
    net_run(&w, 5 * VT_SEC);
    CHECK(w.client.confirmed && w.server.confirmed);
    CHECK_EQ(w.client.zero, VT__QTLS_NATIVE ? VT__QTLS_ACCEPTED : 0);
    net_end();
    for (int i = 0; i < 2; i++) {
        struct log *at = i ? &server : &client;
        CHECK_EQ(log_has(at, got), VT__QTLS_NATIVE), CHECK_EQ(log_has(at, gone), VT__QTLS_NATIVE);
        CHECK(!log_has(at, "server_0rtt_secret"));
    }
    logs_free();
}
TEST(retry_is_told) {
    net_begin(&near_by);
    w.retry = true;
    net_connect(&w);
    NET_UNTIL(&w, w.client.confirmed, 5 * VT_SEC);
    vt__qpkt_cid first = w.client.c.odcid, at_server = w.server.c.odcid;
    CHECK(vt__qpkt_cid_eq(&first, &at_server)); /* so both files have one name */
    net_end();
    CHECK(TELLS(&client, "packet_received\",\"data\":{\"header\":{\"packet_type\":\"retry\"",
                "handshake_confirmed"));
    logs_free();
}
