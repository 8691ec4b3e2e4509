/* The fifty cases of h3spec, against a server that runs: 34 of the transport, 16 of HTTP/3. Each has the section of its RFC and
 * the code that the connection, or the stream, is to end with; another client is served after each. (RFC 9000 is the
 * transport's, 9001 TLS's, 9114 HTTP/3's, 9204 QPACK's.) */
/* variants: default asan */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#define E2E_TLS 1
#include "e2e.h"

#include "h3client.h"
#include "qforge.h"
#include "streams.h"

static struct h3 other; /* a client that does no harm */
static bool served(void) {
    struct h3_stream *s;
    return h3_get(&other, &s, "/") == 200 && h3_is(s, "hello");
}
static bool serve(void) {
    vt_server_cfg cfg = {.http3 = 1};
    return start(&cfg) && h3_open(&other) && served();
}
static void stop(void) {
    h3_close(&other);
    CHECK_EQ(e2e_stop(), 0);
}
static void failed(const char *what) { test_fail(__FILE__, __LINE__, what); }
/* The server ends the connection for that reason, and no other. */
static void ends(struct h3 *h, const char *what, bool app, uint64_t code) {
    h3_until(h, h->closed);
    bool right = h->closed && h->why.cause == VT__QUIC_BY_PEER && h->why.app == app && h->why.code == code;
    if (!right)
        printf("%d%d%d 0x%llx: ", h->closed, h->why.cause, h->why.app, (unsigned long long)h->why.code);
    if (!right) failed(what);
    if (!served()) failed(what);
}
#define CODE(name) VT__QPKT_##name
#define BYTES(...) {__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
#define EIGHT(last) 0, 0, 0, 0, 0, 0, 0, last
#define KEY_UPDATE VT__QPKT_F_CRYPTO, 0, 5, 24, 0, 0, 1, 0

/* ---- transport: packets ---- */
struct packet {
    const char *what;
    uint64_t code;
    uint8_t frames[1100];
    size_t n;
    uint8_t bits; /* of the first byte */
};
static void says(struct h3 *h, unsigned space, const struct packet *c, size_t least) {
    uint8_t buf[2048];
    size_t sent, n = quic_forge_bits(&h->q, space, c->bits, c->frames, c->n, least, buf, sizeof buf);
    vt__udp_train t = {buf, n, n, &h->remote, NULL, 0};
    if (!n || vt__udp_send(&h->udp, &t, &sent) < 0) failed(c->what);
}
static void in_app(const struct packet *c) {
    H3(h);
    if (!h3_open(&h)) return failed(c->what);
    h3_until(&h, h.q.confirmed);
    says(&h, VT__QPKT_APP, c, 0);
    ends(&h, c->what, false, c->code);
}
TEST(transport_frames_of_1rtt) {
    static const struct packet cases[] = {
        {"4.1: STREAM at a large offset", CODE(FLOW_CONTROL_ERROR),
         BYTES(0x0e, 0, 0xc0, 0, 1, 0, 0, 0, 0, 0, 1, 7), 0},
        {"4.6: a stream over the limit", CODE(STREAM_LIMIT_ERROR), BYTES(0x0a, 0xbf, 0xff, 0xff, 0xfc, 1, 7),
         0},
        {"12.4: a frame of unknown type", CODE(FRAME_ENCODING_ERROR), BYTES(0x40, 0x42), 0},
        {"17.3.1: reserved bits of a short head", CODE(PROTOCOL_VIOLATION), BYTES(VT__QPKT_F_PING), 0x18},
        {"19.4: RESET_STREAM, send-only", CODE(STREAM_STATE_ERROR), BYTES(VT__QPKT_F_RESET_STREAM, 3, 0, 0),
         0},
        {"19.5: STOP_SENDING, not created", CODE(STREAM_STATE_ERROR), BYTES(VT__QPKT_F_STOP_SENDING, 1, 0),
         0},
        {"19.7: NEW_TOKEN", CODE(PROTOCOL_VIOLATION), BYTES(VT__QPKT_F_NEW_TOKEN, 1, 7), 0},
        {"19.8: STREAM, not created", CODE(STREAM_STATE_ERROR), BYTES(0x0a, 1, 1, 7), 0},
        {"19.8: STREAM, send-only", CODE(STREAM_STATE_ERROR), BYTES(0x0a, 3, 1, 7), 0},
        {"19.10: MAX_STREAM_DATA, not created", CODE(STREAM_STATE_ERROR),
         BYTES(VT__QPKT_F_MAX_STREAM_DATA, 1, 9), 0},
        {"19.10: MAX_STREAM_DATA, receive-only", CODE(STREAM_STATE_ERROR),
         BYTES(VT__QPKT_F_MAX_STREAM_DATA, 2, 9), 0},
        {"19.11: MAX_STREAMS over 2^60", CODE(FRAME_ENCODING_ERROR),
         BYTES(VT__QPKT_F_MAX_STREAMS, 0xd0, 0, 0, 0, 0, 0, 0, 1), 0},
        {"19.14: STREAMS_BLOCKED over 2^60", CODE(FRAME_ENCODING_ERROR),
         BYTES(VT__QPKT_F_STREAMS_BLOCKED, 0xd0, 0, 0, 0, 0, 0, 0, 1), 0},
        {"19.15: Retire Prior To over its sequence", CODE(FRAME_ENCODING_ERROR),
         BYTES(VT__QPKT_F_NEW_CID, 1, 2, 8, EIGHT(1), EIGHT(2), EIGHT(3)), 0},
        {"19.15: a connection ID of no bytes", CODE(FRAME_ENCODING_ERROR),
         BYTES(VT__QPKT_F_NEW_CID, 1, 0, 0, EIGHT(2), EIGHT(3)), 0},
        {"19.20: HANDSHAKE_DONE", CODE(PROTOCOL_VIOLATION), BYTES(VT__QPKT_F_HANDSHAKE_DONE), 0},
        {"RFC 9001 6: KeyUpdate in 1-RTT", 0x10a, BYTES(KEY_UPDATE), 0},
    };
    REQUIRE(serve());
    for (size_t i = 0; i < VT__COUNT(cases); i++) in_app(&cases[i]);
    stop();
}
TEST(transport_12_4_no_frames) {
    uint8_t buf[256];
    vt__qout o;
    size_t sent;
    REQUIRE(serve());
    H3(h);
    REQUIRE(h3_open(&h));
    h3_until(&h, h.q.confirmed);
    REQUIRE(vt__qout_begin(&h.q, &o, VT__QPKT_APP, h.q.active, buf, buf + sizeof buf));
    o.pn_size = 4; /* or header protection has no sample */
    o.payload = vt__qpkt_put_short(buf, o.most, vt__quic_dcid(&h.q, &h.q.paths[h.q.active]), 0, o.pn, 4);
    o.end = o.payload;
    size_t n = vt__qout_send_alone(&h.q, &o, 0);
    vt__udp_train t = {buf, n, n, &h.remote, NULL, 0};
    CHECK_EQ(vt__udp_send(&h.udp, &t, &sent), 0);
    ends(&h, "no frames", false, CODE(PROTOCOL_VIOLATION));
    stop();
}
/* In Handshake's packets, instead of the client's Finished. */
TEST(transport_frames_of_the_handshake) {
    static const struct packet cases[] = {
        {"17.2: reserved bits of a long head", CODE(PROTOCOL_VIOLATION), BYTES(VT__QPKT_F_PING), 0x0c},
        {"17.2.4: PATH_CHALLENGE", CODE(PROTOCOL_VIOLATION), BYTES(VT__QPKT_F_PATH_CHALLENGE, EIGHT(1)), 0},
        {"RFC 9001 6: KeyUpdate", 0x10a, BYTES(KEY_UPDATE), 0},
        {"RFC 9001 8.3: EndOfEarlyData", 0x10a, BYTES(VT__QPKT_F_CRYPTO, 0, 4, 5, 0, 0, 0), 0},
    };
    REQUIRE(serve());
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        H3(h);
        REQUIRE(h3_start(&h));
        int64_t until = e2e_now_ms() + E2E_MS;
        while (!vt__qsec_has(&h.q.keys.at[VT__QPKT_HANDSHAKE]->tx) && e2e_now_ms() < until) {
            poll(&(struct pollfd){.fd = h.udp.fd, .events = POLLIN}, 1, 5);
            h3_take(&h); /* and says nothing of its own */
        }
        says(&h, VT__QPKT_HANDSHAKE, &cases[i], 0);
        ends(&h, cases[i].what, false, cases[i].code);
    }
    stop();
}

/* ---- transport: ClientHellos ---- */
/* Its hello, changed, is the first that the server hears of a client; in two datagrams, where the key shares are large. */
static void hello(struct h3 *h, const char *what, const struct hello_edit *e, uint64_t code) {
    uint8_t was[4096], now[sizeof was + 512];
    vt__qstr_out *out = &h->q.spaces[VT__QPKT_INITIAL]->out;
    size_t n = VT__MIN((size_t)out->end, sizeof was), most = 1000;
    vt__qstr_out_take(out, 0, was, n);
    n = hello_edit(was, n, now, e);
    for (size_t at = 0, k; at < n; at += k) {
        struct packet c = {what, code, {0}, 0, 0};
        k = VT__MIN(n - at, most);
        uint8_t *p = vt__qpkt_put_crypto(c.frames, c.frames + sizeof c.frames, at, k);
        memcpy(p, now + at, k);
        c.n = (size_t)(p - c.frames) + k;
        says(h, VT__QPKT_INITIAL, &c, 1200);
    }
    ends(h, what, false, code);
}
enum { ALPN = 16, DRAFT = 0xffa5 };
TEST(transport_tls_8_extensions) {
    static const struct {
        const char *what;
        struct hello_edit e;
        uint64_t code;
    } cases[] = {
        {"RFC 9001 8.1: no protocol of ours", {ALPN, ALPN, "\0\4\3abc", 6, 0}, 0x178},
        {"RFC 9001 8.2: no transport parameters", {VT__QTLS_PARAMS, 0, NULL, 0, 0}, 0x16d},
        {"RFC 9001 8.2: those of a draft", {VT__QTLS_PARAMS, DRAFT, "\1\1\0", 3, 0}, 0x16d},
    };
    REQUIRE(serve());
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        H3(h);
        REQUIRE(h3_prepare(&h));
        hello(&h, cases[i].what, &cases[i].e, cases[i].code);
    }
    stop();
}
static void no_scid(vt__qpkt_params *tp) { tp->have &= ~VT__QPKT_HAS(INITIAL_SCID); }
static void original_dcid(vt__qpkt_params *tp) { tp->have |= VT__QPKT_HAS(ORIGINAL_DCID); }
static void preferred(vt__qpkt_params *tp) { tp->have |= VT__QPKT_HAS(PREFERRED), tp->preferred.cid.len = 4; }
static void retry_scid(vt__qpkt_params *tp) { tp->have |= VT__QPKT_HAS(RETRY_SCID); }
static void reset_token(vt__qpkt_params *tp) { tp->have |= VT__QPKT_HAS(RESET_TOKEN); }
static void max_udp(vt__qpkt_params *tp) { tp->max_udp = 1199; }
static void ack_exponent(vt__qpkt_params *tp) { tp->ack_exponent = 21; }
static void max_ack_delay(vt__qpkt_params *tp) { tp->max_ack_delay_ms = 1 << 14; }
TEST(transport_parameters) {
    static const struct {
        const char *what;
        void (*change)(vt__qpkt_params *tp);
    } cases[] = {
        {"7.3: no initial_source_connection_id", no_scid},
        {"18.2: original_destination_connection_id", original_dcid},
        {"18.2: preferred_address", preferred},
        {"18.2: retry_source_connection_id", retry_scid},
        {"18.2: stateless_reset_token", reset_token},
        {"7.4, 18.2: max_udp_payload_size under 1200", max_udp},
        {"7.4, 18.2: ack_delay_exponent over 20", ack_exponent},
        {"7.4, 18.2: max_ack_delay of 2^14", max_ack_delay},
    };
    REQUIRE(serve());
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        uint8_t p[512];
        vt__qpkt_params tp;
        H3(h);
        REQUIRE(h3_prepare(&h));
        REQUIRE(vt__qpkt_params_get(&tp, h.q.tls->params, h.q.tls->params_len, false) == 0);
        cases[i].change(&tp);
        const struct hello_edit e = {.drop = VT__QTLS_PARAMS,
                                     .type = VT__QTLS_PARAMS,
                                     .p = p,
                                     .n = (size_t)(vt__qpkt_params_put(p, p + sizeof p, &tp, 0) - p)};
        hello(&h, cases[i].what, &e, CODE(TRANSPORT_PARAMETER_ERROR));
    }
    stop();
}
/* h3spec's last, and list B's 50: 0-RTT. No ticket of a server allows any that was not asked to (e2e_h3_early.c), so that there is never a key for it, and no request before
 * the handshake's end: CRYPTO in it, or a request, is dropped, and nothing is kept of it. The frame itself is refused by
 * the rules (test_qpkt.c: where_frames_may_be). */
static void says_early(struct h3 *h, const uint8_t *frames, size_t n) {
    uint8_t buf[1300];
    vt__qout o;
    size_t sent;
    CHECK(vt__qout_begin(&h->q, &o, VT__QPKT_INITIAL, h->q.active, buf, buf + sizeof buf));
    o.pn_size = 4;
    o.payload = vt__qpkt_put_long(buf, o.most, VT__QPKT_T_EARLY, h->q.keys.version,
                                  vt__quic_dcid(&h->q, &h->q.paths[h->q.active]), &h->q.cids.ours[0].cid,
                                  (vt_str){NULL, 0}, o.pn, 4);
    memcpy(o.payload, frames, n);
    o.end = o.payload + n;
    vt__qout_pad(&o, 1200);
    n = vt__qout_send_alone(&h->q, &o, 0);
    vt__udp_train t = {buf, n, n, &h->remote, NULL, 0};
    CHECK_EQ(vt__udp_send(&h->udp, &t, &sent), 0);
}
static bool early_allowed(const struct h3 *h) {
    SSL_SESSION *s = SSL_get0_session(h->q.tls->o.ssl);
    return s && SSL_SESSION_get_max_early_data(s) > 0;
}
TEST(transport_tls_8_3_b50_early_data) {
    static const uint8_t crypto[] = {VT__QPKT_F_CRYPTO, 0, 4, 5, 0, 0, 0};
    static const uint8_t request[] = {0x0b, 0,    15, 1,   13, 0, 0, 0xd1, 0xd7,
                                      0xc1, 0x50, 1,  'a', 0,  0, 0, 0,    0};
    struct h3_stream *s;
    REQUIRE(serve());
    H3(h);
    REQUIRE(h3_prepare(&h));
    says_early(&h, crypto, sizeof crypto); /* overtakes the hello */
    h3_flush(&h);
    for (int i = 0; i < 200; i++) says_early(&h, request, sizeof request);
    h3_until(&h, (h.ready && h.settings) || h.closed);
    CHECK(h.ready && !h.closed);
    CHECK_EQ(noted(ENTERED), 1); /* the other's */
    CHECK_EQ(h3_get(&h, &s, "/"), 200);
    CHECK_EQ(noted(ENTERED), 2);
    CHECK(h.q.tls == NULL || !early_allowed(&h));
    CHECK(served());
    stop();
}

/* ---- HTTP/3 ---- */
struct bytes_case {
    const char *what;
    uint64_t code;
    const char *p;
    size_t n;
    bool request, fin; /* a stream of a request; else a unidirectional one */
};
#define TEXT(s) (s), sizeof(s) - 1
/* QPACK's static table: 0xd1 is GET, 0xd7 https, 0xc1 the path /; 0x50 1 a an authority. */
#define HEAD "\1\10\0\0\xd1\xd7\xc1\x50\1a"
TEST(http3_connection_errors) {
    static const struct bytes_case cases[] = {
        {"4.1: DATA before HEADERS", VT__H3_FRAME_UNEXPECTED, TEXT("\0\1a"), true, true},
        {"6.2.1: no SETTINGS", VT__H3_MISSING_SETTINGS, TEXT("\0\7\1\0"), false, false},
        {"7.2.1: DATA on the control stream", VT__H3_FRAME_UNEXPECTED, TEXT("\0\4\0\0\1a"), false, false},
        {"7.2.2: HEADERS on the control stream", VT__H3_FRAME_UNEXPECTED, TEXT("\0\4\0" HEAD), false, false},
        {"7.2.4: SETTINGS again", VT__H3_FRAME_UNEXPECTED, TEXT("\0\4\0\4\0"), false, false},
        {"7.2.4: an identifier twice", VT__H3_SETTINGS_ERROR, TEXT("\0\4\4\6\1\6\1"), false, false},
        {"7.2.4.1: HTTP/2's ENABLE_PUSH", VT__H3_SETTINGS_ERROR, TEXT("\0\4\2\2\0"), false, false},
        {"7.2.4.1: HTTP/2's INITIAL_WINDOW_SIZE", VT__H3_SETTINGS_ERROR, TEXT("\0\4\2\4\1"), false, false},
        {"7.2.3: CANCEL_PUSH on a request", VT__H3_FRAME_UNEXPECTED, TEXT(HEAD "\3\1\0"), true, true},
        {"RFC 9204 3.1: invalid static index", VT__H3_QPACK_DECOMPRESSION_FAILED, TEXT("\1\4\0\0\xff\x24"),
         true, true},
        {"RFC 9204 4.1.3: capacity over the limit", VT__H3_QPACK_ENCODER_STREAM_ERROR,
         TEXT("\2\x3f\xff\xff\3"), false, false},
        {"6.2.1: the control stream closed", VT__H3_CLOSED_CRITICAL_STREAM, TEXT("\0\4\0"), false, true},
        {"RFC 9204 4.4.3: Insert Count Increment 0", VT__H3_QPACK_DECODER_STREAM_ERROR, TEXT("\3\0"), false,
         false},
    };
    REQUIRE(serve());
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        H3(h);
        h.raw = true;
        REQUIRE(h3_open(&h));
        h3_raw(&h, h3_stream_new(&h, !cases[i].request), cases[i].p, cases[i].n, cases[i].fin);
        ends(&h, cases[i].what, true, cases[i].code);
    }
    stop();
}
TEST(http3_malformed_requests) {
    static const char *const cases[][2] = {
        {"4.3: a pseudo field twice", ":method: GET\n:scheme: https\n:path: /\n:path: /\n:authority: a\n"},
        {"4.3.1: a pseudo field is absent", ":method: GET\n:scheme: https\n:authority: a\n"},
        {"4.3: a response's pseudo field",
         ":method: GET\n:scheme: https\n:path: /\n:authority: a\n:status: 200\n"},
        {"4.3: a pseudo field after fields", ":method: GET\n:scheme: https\n:path: /\nx: y\n:authority: a\n"},
    };
    REQUIRE(serve());
    H3(h);
    REQUIRE(h3_open(&h));
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        struct h3_stream *s = h3_stream_new(&h, false);
        h3_fields(&h, s, cases[i][1], true);
        if (h3_wait(&h, s) != H3_RST || s->rst != VT__H3_MESSAGE_ERROR) failed(cases[i][0]);
        if (h.closed || !served()) failed(cases[i][0]);
    }
    stop();
}
