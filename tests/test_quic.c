/* The QUIC connection machine: two of them on a link in memory, and packets forged with the keys of one. Attacks of the list by
 * number (b03_NN). */
/* variants: default asan */
#define VTHTTP_H3 1
#define VTHTTP_TLS 1
#include <stddef.h>
#include <stdlib.h>
static long alloc_left; /* the n-th allocation from here on fails; 0: none */
static void *test_realloc(void *p, size_t n) {
    return alloc_left > 0 && --alloc_left == 0 ? NULL : realloc(p, n);
}
#define VTHTTP_REALLOC(p, n) test_realloc(p, n)
#define VTHTTP_FREE(p) free(p)
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "quicpeer.h"

static struct net w;
static const struct qlink_cfg near_by = {.delay_ns = 10 * VT_MS};

static void connect_over(const struct qlink_cfg *link) {
    net_init(&w, link, test_seed());
    net_connect(&w);
    NET_UNTIL(&w, w.client.confirmed && w.server.confirmed, 5 * VT_SEC);
}
/* Both ends are there, and nothing is on its way. */
static void established(void) {
    connect_over(&near_by);
    net_run(&w, 500 * VT_MS);
    CHECK(w.client.confirmed && w.server.confirmed);
}

/* ---- forged packets ---- */
static uint8_t datagram[2048];
static size_t forge(struct end *from, unsigned space, const uint8_t *frames, size_t n, size_t least) {
    return end_forge(from, space, frames, n, least, datagram, sizeof datagram);
}
static struct end *other(struct end *e) { return e == &w.client ? &w.server : &w.client; }
static void deliver_from(struct end *to, size_t n, uint32_t from) {
    struct qlink_dgram d = {.data = datagram, .n = (uint32_t)n, .from = from, .to = to->addr};
    net_deliver(&w, to, &d);
    net_flush(&w, to);
}
static void deliver(struct end *to, size_t n) { deliver_from(to, n, other(to)->addr); }
static void forged(struct end *from, unsigned space, const uint8_t *frames, size_t n) {
    deliver(other(from), forge(from, space, frames, n, 0));
}
/* The peer is told by a 1-RTT packet, and closes with this code. */
static void closes(struct end *from, const uint8_t *frames, size_t n, uint64_t code) {
    established();
    forged(from, VT__QPKT_APP, frames, n);
    struct end *to = other(from);
    CHECK(to->closed);
    CHECK_EQ(to->c.end.code, code);
    net_run(&w, VT_SEC);
    CHECK(from->closed && from->c.end.cause == VT__QUIC_BY_PEER); /* and says so */
    CHECK_EQ(from->c.end.code, code);
    net_free(&w);
}
#define CLOSES(from, code, ...)                                                                              \
    do {                                                                                                     \
        static const uint8_t frames_[] = {__VA_ARGS__};                                                      \
        closes((from), frames_, sizeof frames_, (code));                                                     \
    } while (0)
/* It does not mind. */
#define TAKES(from, ...)                                                                                     \
    do {                                                                                                     \
        static const uint8_t frames_[] = {__VA_ARGS__};                                                      \
        forged((from), VT__QPKT_APP, frames_, sizeof frames_);                                               \
        CHECK(!other(from)->closed);                                                                         \
    } while (0)
#define CODE(name) VT__QPKT_##name

/* ---- the handshake ---- */
TEST(handshake) {
    established();
    CHECK(w.client.ready && w.server.ready);
    CHECK_EQ(w.client.cids, VT__QCID_OURS), CHECK_EQ(w.server.cids, VT__QCID_OURS);
    CHECK(w.server.c.tls == NULL); /* it is large */
    CHECK(w.client.ntoken > 0);
    for (unsigned i = 0; i < VT__QPKT_APP; i++) {
        CHECK(w.client.c.discarded[i] && w.server.c.discarded[i]);
        CHECK(!vt__qsec_has(&w.client.c.keys.at[i]->tx) && !vt__qsec_has(&w.server.c.keys.at[i]->rx));
    }
    CHECK_EQ(w.client.c.keys.version, VT__QPKT_V2); /* both know it */
    CHECK(w.client.sent_dgrams + w.server.sent_dgrams < 16);
    net_free(&w);
}
TEST(handshake_v1) {
    for (int who = 0; who < 2; who++) {
        net_init(&w, &near_by, test_seed());
        (who ? &w.client : &w.server)->cfg.no_v2 = true;
        net_connect(&w);
        net_run(&w, VT_SEC);
        CHECK(w.client.confirmed && w.server.confirmed);
        CHECK_EQ(w.client.c.keys.version, VT__QPKT_V1), CHECK_EQ(w.server.c.keys.version, VT__QPKT_V1);
        net_free(&w);
    }
}
TEST(a_server_that_changes_the_version_reads_the_first_one_alone) {
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    NET_UNTIL(&w, w.server.c.got_one, VT_SEC);
    const vt__qkeys *k = &w.server.c.keys;
    CHECK(vt__qsec_has(&k->at[VT__QPKT_INITIAL]->tx) && vt__qsec_has(&k->other->rx));
    CHECK(!vt__qsec_has(&k->other->tx)); /* it never writes with them */
    net_run(&w, VT_SEC);
    CHECK(w.client.confirmed && w.server.confirmed);
    net_free(&w);
}
/* Nobody is given keys, or anything else of the handshake, when that is over. */
TEST(an_initial_of_another_version_after_the_handshake) {
    net_init(&w, &near_by, test_seed());
    w.server.cfg.no_v2 = true;
    net_connect(&w);
    net_run(&w, VT_SEC);
    CHECK(w.client.confirmed && w.client.c.keys.version == VT__QPKT_V1 && !w.client.c.shake);
    for (int version = 0; version < 2; version++) {
        uint8_t *p = vt__qpkt_put_long(datagram, datagram + sizeof datagram, VT__QPKT_T_INITIAL,
                                       version ? VT__QPKT_V2 : VT__QPKT_V1, &w.client.c.cids.ours[0].cid,
                                       &w.client.c.peer_scid, (vt_str){NULL, 0}, 0, 4);
        memset(p, 0, 1200);
        vt__qpkt_end_long(p, 4, p + 1200);
        deliver(&w.client, (size_t)(p + 1200 - datagram));
        CHECK(!vt__qsec_has(&w.client.c.keys.other->rx) && !w.client.closed);
    }
    net_free(&w);
}
TEST(handshake_begun_in_v2) {
    net_init(&w, &near_by, test_seed());
    vt__quic_start s;
    memset(&s, 0, sizeof s);
    s.version = VT__QPKT_V2;
    net_connect_with(&w, &s);
    net_run(&w, VT_SEC);
    CHECK(w.client.confirmed && w.server.confirmed);
    CHECK_EQ(w.server.c.keys.version, VT__QPKT_V2);
    net_free(&w);
}
/* By a ticket of the version with which it begins; tickets are of that which was spoken in the end (RFC 9369 5). */
TEST(resumed) {
    for (int i = 0; i < 3; i++) {
        net_init(&w, &near_by, test_seed());
        vt__quic_start s;
        memset(&s, 0, sizeof s);
        s.port = 443; /* sessions are kept */
        s.version = i < 2 ? VT__QPKT_V1 : VT__QPKT_V2;
        net_connect_with(&w, &s);
        net_run(&w, VT_SEC);
        CHECK(w.client.confirmed && !w.client.closed && w.client.c.keys.version == VT__QPKT_V2);
        CHECK_EQ(w.client.resumed, i == 2), CHECK_EQ(w.server.resumed, i == 2);
        net_free(&w);
    }
}

/* The server sends on as soon as the client has got what it was allowed to: nobody waits for a timeout. */
TEST(handshake_large) {
    net_init(&w, &near_by, test_seed());
    net_large(&w);
    int64_t begun = w.now;
    net_connect(&w);
    NET_UNTIL(&w, w.client.confirmed, 5 * VT_SEC);
    CHECK(w.client.confirmed);
    CHECK(w.now - begun <= 10 * 10 * VT_MS); /* five ways there and back */
    CHECK(w.client.sent_dgrams + w.server.sent_dgrams < 30);
    net_free(&w);
}
static unsigned first_down;
static void drop_first(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (first_down++ == 0) d->n = 0;
}
/* RFC 9002 6.2.3: packets that a client has no keys for say that those with the keys were lost. */
TEST(server_hello_lost) {
    net_init(&w, &near_by, test_seed());
    net_large(&w);
    first_down = 0, w.down.hook = drop_first;
    int64_t begun = w.now;
    net_connect(&w);
    NET_UNTIL(&w, w.client.confirmed, 5 * VT_SEC);
    CHECK(w.client.confirmed);
    CHECK(w.now - begun < 500 * VT_MS); /* the first timeout is after a second */
    net_free(&w);
}
/* A client that asks again gets what it lacks, at once; not for ever. */
TEST(client_asks_again) {
    static const uint8_t ping[] = {VT__QPKT_F_PING};
    struct qlink_dgram d = {0};
    net_init(&w, &near_by, test_seed());
    net_large(&w);
    net_connect(&w);
    NET_UNTIL(&w, w.server.up, VT_SEC);
    while (qlink_recv(&w.down, w.now + VT_SEC, &d)) {} /* its answer is lost */
    for (int i = 0; i < VT__QUIC_HURRIES + 2; i++) {
        uint64_t sent = w.server.sent_dgrams;
        deliver(&w.server, forge(&w.client, VT__QPKT_INITIAL, ping, 1, 1200));
        CHECK_EQ(w.server.sent_dgrams - sent >= 2, i < VT__QUIC_HURRIES);
    }
    w.server.c.rec.pto_count = 5; /* and then it is not for a timeout that has grown long */
    deliver(&w.server, forge(&w.client, VT__QPKT_INITIAL, ping, 1, 1200));
    CHECK_EQ(w.server.c.rec.pto_count, 0);
    net_free(&w);
}
static void small_alone(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (d->n > 300) d->n = 0;
}
/* A client whose address is validated, and who has nothing in flight, keeps a server awake whose flight gets lost: else that
 * would ask but every half a minute in the end. */
TEST(client_asks_until_all_is_there) {
    net_init(&w, &near_by, test_seed());
    net_large(&w);
    w.client.cfg.handshake_ns = w.server.cfg.handshake_ns = 60 * VT_SEC;
    net_connect(&w);
    NET_UNTIL(&w, vt__qstr_in_got(&w.client.c.spaces[VT__QPKT_HANDSHAKE]->in) > 0, VT_SEC);
    w.down.hook = small_alone;
    net_run(&w, 20 * VT_SEC);
    CHECK(w.client.up && !w.client.ready && !w.client.closed);
    w.down.hook = NULL;
    int64_t begun = w.now;
    NET_UNTIL(&w, w.client.confirmed, 60 * VT_SEC);
    CHECK(w.client.confirmed && w.now - begun < 2 * VT_SEC);
    net_free(&w);
}

/* ---- the QUIC bit (RFC 9287) ---- */
/* Whether a PING of a packet without it was taken. */
static bool takes_without_bit(struct end *from, unsigned space) {
    struct end *to = other(from);
    vt__qout o;
    if (!vt__qsec_has(&from->c.keys.at[space]->tx)) return false;
    vt__qout_begin(&from->c, &o, space, from->c.active, datagram, datagram + sizeof datagram);
    datagram[0] &= (uint8_t)~VT__QPKT_FIXED;
    *o.end++ = VT__QPKT_F_PING;
    vt__qout_pad(&o, 1200);
    size_t n = vt__qout_send_alone(&from->c, &o, 0);
    uint64_t pn = o.pn;
    CHECK(vt__qrec_fresh(&to->c.rec, space, pn));
    deliver(to, n);
    return !vt__qrec_fresh(&to->c.rec, space, pn);
}
/* We say that it may be cleared. Who begins cannot know that yet, unless it got a token here. */
TEST(packets_without_the_quic_bit) {
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    NET_UNTIL(&w, w.server.up, VT_SEC);
    CHECK(!takes_without_bit(&w.client, VT__QPKT_INITIAL));
    CHECK(takes_without_bit(&w.server, VT__QPKT_INITIAL));
    w.client.c.token = vt__mem_alloc(60), w.client.c.token_len = 60;
    REQUIRE(w.client.c.token != NULL);
    for (int kind = 0; kind < 3; kind++) {
        memset(w.client.c.token, kind, 60);
        CHECK_EQ(takes_without_bit(&w.client, VT__QPKT_INITIAL), kind == VT__QSEC_TOKEN_NEW);
    }
    NET_UNTIL(&w, w.client.ready, VT_SEC); /* the server is not */
    CHECK(!w.server.ready && takes_without_bit(&w.client, VT__QPKT_HANDSHAKE));
    net_run(&w, VT_SEC);
    CHECK(w.client.confirmed && w.server.confirmed);
    CHECK(takes_without_bit(&w.client, VT__QPKT_APP));
    CHECK(takes_without_bit(&w.server, VT__QPKT_APP));
    net_free(&w);
}

/* ---- dear keys: TLS is away ---- */
static vt__qtls *away(void) {
    static vt__ossl_ctx *server, *client;
    net_init(&w, &near_by, test_seed());
    if (!server) {
        struct pem rsa = pem_make("localhost", "DNS:localhost", NULL, 30, 2048);
        server = tls_server(&rsa), client = tls_client_of(&rsa);
        pem_free(&rsa);
    }
    w.server.cfg.tls = server, w.client.cfg.tls = client;
    w.server.cfg.offload = true;
    net_connect(&w);
    NET_UNTIL(&w, w.server.up && w.server.c.shaking, VT_SEC);
    vt__qtls *tls = vt__quic_take_tls(&w.server.c);
    CHECK(tls && !w.server.c.tls && !vt__quic_take_tls(&w.server.c));
    return tls;
}
static void give(vt__qtls *tls) {
    int rc = vt__qtls_go(tls);
    vt__quic_give_tls(&w.server.c, tls, rc, w.now);
    end_events(&w.server);
    net_flush(&w, &w.server);
}
TEST(dear_key) {
    vt__qtls *tls = away();
    net_run(&w, 3 * VT_SEC); /* the client has asked again, and got answers */
    CHECK(w.server.up && !w.server.closed && w.server.sent_dgrams > 0 && !w.server.c.tls);
    give(tls);
    net_run(&w, VT_SEC);
    CHECK(w.client.confirmed && w.server.confirmed);
    net_free(&w);
}
/* What comes meanwhile is read when it is back: here, something that may not come. */
TEST(dear_key_and_more_behind_the_hello) {
    uint8_t frame[32] = {0};
    vt__qtls *tls = away();
    uint64_t at = w.server.c.spaces[VT__QPKT_INITIAL]->in.next;
    for (uint64_t i = 2; i-- > 0;) { /* the second half first */
        uint8_t *end = vt__qpkt_put_crypto(frame, frame + sizeof frame, at + 2 * i, 2);
        end[0] = i ? 0 : 20, end[1] = 0;
        deliver(&w.server, forge(&w.client, VT__QPKT_INITIAL, frame, (size_t)(end - frame) + 2, 1200));
    }
    CHECK(!w.server.closed);
    CHECK_EQ(vt__qstr_in_got(&w.server.c.spaces[VT__QPKT_INITIAL]->in), at + 4);
    memset(datagram, 0xee, sizeof datagram); /* it stood there */
    const uint8_t *p;
    CHECK(vt__qstr_in_next(&w.server.c.spaces[VT__QPKT_INITIAL]->in, &p) > 0 && *p == 20);
    give(tls);
    CHECK(w.server.closed);
    CHECK_EQ(w.server.c.end.code, CODE(PROTOCOL_VIOLATION));
    net_free(&w);
}
TEST(dear_key_and_an_end_meanwhile) {
    for (int i = 0; i < 3; i++) {
        vt__qtls *tls = away();
        if (i == 0) vt__quic_close(&w.server.c, false, CODE(NO_ERROR), vt__str_of("bye"), w.now);
        else if (i == 1) net_run(&w, 11 * VT_SEC); /* the handshake's time is over */
        CHECK(i == 2 || w.server.c.state >= VT__QUIC_CLOSING);
        if (i == 2) net_free(&w);
        else give(tls), net_run(&w, VT_SEC);
        if (i == 0) CHECK(w.client.closed && w.client.c.end.cause == VT__QUIC_BY_PEER);
        if (i == 2) CHECK_EQ(vt__qtls_go(tls), 0), vt__qtls_free(tls);
        else CHECK(!w.server.ready), net_free(&w);
    }
}
/* No event follows CLOSED, not even where there were keys of 0-RTT in that step. */
TEST(dear_key_and_0_rtt_behind_an_end) {
    vt__qtls *tls = away();
    vt__quic_close(&w.server.c, false, CODE(NO_ERROR), vt__str_of("bye"), w.now);
    end_events(&w.server);
    CHECK(w.server.closed);
    CHECK_EQ(vt__qtls_go(tls), 0);
    REQUIRE(tls->nsecrets < VT__QTLS_SECRETS);
    tls->secrets[tls->nsecrets].level = VT__QTLS_EARLY, tls->secrets[tls->nsecrets].write = false;
    tls->secrets[tls->nsecrets++].s = (vt__qsec_secret){.aead = VT__QSEC_AES128, .len = 32};
    vt__quic_give_tls(&w.server.c, tls, 0, w.now);
    end_events(&w.server);
    CHECK(!w.server.early && !w.server.ready && !w.server.c.shaking);
    net_run(&w, VT_SEC);
    CHECK(w.client.closed && w.client.c.end.cause == VT__QUIC_BY_PEER);
    net_free(&w);
}

/* ---- the list ---- */
TEST(b03_01_small_initial) {
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    static const uint8_t ping[] = {VT__QPKT_F_PING};
    w.server.up = false;
    struct qlink_dgram d = {0};
    NET_UNTIL(&w, w.server.up, VT_SEC);
    while (qlink_recv(&w.down, w.now + VT_SEC, &d)) {} /* its answer is lost */
    uint64_t got = w.server.c.rec.s[VT__QPKT_INITIAL]->ranges;
    uint64_t next = vt__qrec_expect(&w.server.c.rec, VT__QPKT_INITIAL);
    deliver(&w.server, forge(&w.client, VT__QPKT_INITIAL, ping, 1, 1199));
    CHECK_EQ(w.server.c.rec.s[VT__QPKT_INITIAL]->ranges, got);
    CHECK_EQ(vt__qrec_expect(&w.server.c.rec, VT__QPKT_INITIAL), next);
    deliver(&w.server, forge(&w.client, VT__QPKT_INITIAL, ping, 1, 1200));
    CHECK(vt__qrec_expect(&w.server.c.rec, VT__QPKT_INITIAL) > next);
    net_free(&w);
}
/* Whatever of the client's packets get lost, the server never sends more than three times what it got before it knows who
 * that is. */
static unsigned pass, nth; /* bits of pass: datagrams of the client that are not lost */
static void drop_some(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (nth < 32 && !(pass >> nth++ & 1)) d->n = 0;
}
TEST(b03_02_amplification) {
    uint64_t rng = test_seed();
    for (int round = 0; round < 40; round++) {
        net_init(&w, &near_by, test_seed());
        pass = round == 0 ? 0 : (unsigned)test_rand(&rng) | 1, nth = 0;
        if (round) w.up.hook = drop_some;
        net_connect(&w); /* round 0: ClientHello, of a datagram or two, and nothing behind it */
        w.up.hook = drop_some;
        bool blocked = false;
        for (int64_t until = w.now + 8 * VT_SEC; net_step(&w, until);) {
            if (w.server.up && w.server.c.paths[0].valid) break;
            CHECK(w.server.sent_bytes <= 3 * w.server.got_bytes);
            blocked |= w.server.up && w.server.c.blocked;
        }
        CHECK(w.server.up);
        if (round == 0) CHECK(blocked && w.server.sent_bytes > 2 * w.server.got_bytes && !w.server.ready);
        net_free(&w);
    }
}
/* The head of a packet that cannot be opened is anybody's, and nothing of it stays. */
TEST(b03_03_forged_head) {
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    struct qlink_dgram d = {0};
    CHECK(qlink_recv(&w.up, w.now + VT_SEC, &d));
    memcpy(datagram, d.data, d.n);
    datagram[6 + VT__QCID_LEN + 1] ^= 1; /* of the source's ID */
    deliver(&w.server, d.n);
    CHECK(w.server.up && !w.server.c.got_one);
    memcpy(datagram, d.data, d.n);
    deliver(&w.server, d.n);
    net_run(&w, VT_SEC);
    CHECK(w.client.confirmed && w.server.confirmed);
    net_free(&w);
}
/* Nor is TLS begun, which is large, before a packet could be opened, and what is in it looks like ClientHello. */
TEST(b03_03_false_initials) {
    static const uint8_t others[][6] = {{VT__QPKT_F_CRYPTO, 0, 2, 2, 0},  /* ServerHello, */
                                        {VT__QPKT_F_CRYPTO, 0, 2, 1, 1}}; /* one of more than 64 KB */
    struct qlink_dgram d = {0};
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    CHECK(qlink_recv(&w.up, w.now + VT_SEC, &d));
    memcpy(datagram, d.data, d.n);
    datagram[d.n - 1] ^= 1;
    deliver(&w.server, d.n);
    CHECK(w.server.up && !w.server.c.got_one && !w.server.c.tls);
    CHECK(!vt__qsec_has(&w.server.c.keys.at[VT__QPKT_INITIAL]->tx)); /* half of the work */
    for (size_t i = 0; i < VT__COUNT(others); i++) {
        forged(&w.client, VT__QPKT_INITIAL, others[i], 5); /* its datagram is too small */
        CHECK(!w.server.closed);
        deliver(&w.server, forge(&w.client, VT__QPKT_INITIAL, others[i], 5, 1200));
        CHECK(w.server.closed && !w.server.c.tls);
        CHECK_EQ(w.server.c.end.code, 0x10a);
        end_free(&w.server);
        w.server.closed = false;
        vt__qstr_mem_init(&w.server.mem);
    }
    memcpy(datagram, d.data, d.n);
    deliver(&w.server, d.n);
    CHECK(w.server.up && w.server.c.tls);
    net_free(&w);
}
/* Packets that come before their keys are kept, but few. */
TEST(b03_04_before_keys) {
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    NET_UNTIL(&w, w.client.ready, VT_SEC); /* the server has not got the client's last flight */
    CHECK(!w.server.ready);
    static const uint8_t ping[] = {VT__QPKT_F_PING};
    for (int i = 0; i < 20; i++) forged(&w.client, VT__QPKT_APP, ping, 1);
    CHECK_EQ(w.server.c.nearly, VT__QUIC_EARLY_MAX);
    net_run(&w, VT_SEC);
    CHECK(w.server.ready && w.server.c.nearly == 0 && w.server.c.early == NULL);
    net_free(&w);
}
TEST(b03_05_crypto_far_ahead) {
    uint8_t frame[16];
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    NET_UNTIL(&w, w.server.up, VT_SEC);
    uint8_t *end = vt__qpkt_put_crypto(frame, frame + sizeof frame, VT__QUIC_CRYPTO_MAX + 4000, 1);
    *end++ = 0;
    deliver(&w.server, forge(&w.client, VT__QPKT_INITIAL, frame, (size_t)(end - frame), 1200));
    CHECK(w.server.closed);
    CHECK_EQ(w.server.c.end.code, CODE(CRYPTO_BUFFER_EXCEEDED));
    net_free(&w);
}
TEST(b03_05_crypto_after_the_handshake) { CLOSES(&w.client, 0x10a, VT__QPKT_F_CRYPTO, 0, 1, 24); }
/* ClientHello in pieces, the last first, one twice, with other bytes where they overlap. */
TEST(b03_06_07_hello_in_pieces) {
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    struct qlink_dgram d = {0};
    CHECK(qlink_recv(&w.up, w.now + VT_SEC, &d));
    vt__quic_start s;
    memset(&s, 0, sizeof s);
    net_accept(&w, &d);
    vt__qstr_out *out = &w.client.c.spaces[VT__QPKT_INITIAL]->out;
    uint8_t hello[2048], frame[600];
    uint64_t at, n = 0;
    vt__qrec_resend(&w.client.c.rec, VT__QPKT_INITIAL);
    CHECK(vt__qstr_out_next(out, &at, &n) && at == 0 && n < sizeof hello);
    vt__qstr_out_take(out, 0, hello, n);
    static const unsigned order[] = {5, 3, 4, 1, 1, 2, 0};
    for (size_t i = 0; i < VT__COUNT(order); i++) {
        size_t from = order[i] * n / 6, to = (order[i] + 1) * n / 6;
        uint8_t *end = vt__qpkt_put_crypto(frame, frame + sizeof frame, from, to - from);
        memcpy(end, hello + from, to - from);
        if (i == 4) memset(end, 0xee, to - from);
        forged(&w.client, VT__QPKT_INITIAL, frame, (size_t)(end - frame) + to - from);
        deliver(&w.server,
                forge(&w.client, VT__QPKT_INITIAL, frame, (size_t)(end - frame) + to - from, 1200));
        CHECK(!w.server.closed);
    }
    net_run(&w, 2 * VT_SEC);
    CHECK(w.client.confirmed && w.server.confirmed);
    net_free(&w);
}
TEST(b03_09_10_stream_limits) {
    CLOSES(&w.client, CODE(FINAL_SIZE_ERROR), 0x0b, 0, 1, 7, 0x0e, 0, 1, 1, 8);
    CLOSES(&w.client, CODE(FINAL_SIZE_ERROR), 0x0a, 0, 2, 7, 7, VT__QPKT_F_RESET_STREAM, 0, 0, 1);
    CLOSES(&w.client, CODE(FLOW_CONTROL_ERROR), VT__QPKT_F_RESET_STREAM, 0, 0, 0xbf, 0, 0, 0);
    CLOSES(&w.client, CODE(FLOW_CONTROL_ERROR), 0x0e, 0, 0xbf, 0, 0, 0, 1, 7);
}
TEST(b03_11_optimistic_ack) {
    CLOSES(&w.client, CODE(PROTOCOL_VIOLATION), VT__QPKT_F_ACK, 0x7f, 0xff, 0, 0, 0); /* not sent yet */
    established();
    w.server.c.rec.s[VT__QPKT_APP]->skip_at = w.server.c.rec.s[VT__QPKT_APP]->next + 1;
    vt__quic_ping(&w.server.c);
    net_flush(&w, &w.server);
    uint8_t ack[32];
    uint64_t skipped = w.server.c.rec.s[VT__QPKT_APP]->skipped;
    CHECK(skipped != UINT64_MAX);
    vt__qpkt_range r = {skipped, skipped};
    uint8_t *end = vt__qpkt_put_ack(ack, ack + sizeof ack, &r, 1, 0, NULL);
    forged(&w.client, VT__QPKT_APP, ack, (size_t)(end - ack));
    CHECK(w.server.closed);
    CHECK_EQ(w.server.c.end.code, CODE(PROTOCOL_VIOLATION));
    net_free(&w);
}
TEST(b03_12_ack_ranges) {
    CLOSES(&w.client, CODE(FRAME_ENCODING_ERROR), VT__QPKT_F_ACK, 2, 0, 0, 3);       /* below 0 */
    CLOSES(&w.client, CODE(FRAME_ENCODING_ERROR), VT__QPKT_F_ACK, 2, 0, 1, 0, 1, 0); /* a gap below 0 */
    CLOSES(&w.client, CODE(FRAME_ENCODING_ERROR), VT__QPKT_F_ACK, 2, 0, 9, 0);       /* cut short */
}
TEST(b03_13_huge_ack_delay) {
    established();
    vt__quic_ping(&w.server.c);
    net_flush(&w, &w.server);
    struct qlink_dgram d = {0};
    while (qlink_recv(&w.down, w.now + VT_SEC, &d)) {} /* the ping is lost; somebody says it was not */
    w.now += 20 * VT_MS;
    uint8_t ack[32];
    vt__qpkt_range r = {0, w.server.c.rec.s[VT__QPKT_APP]->next - 1};
    r.lo = r.hi;
    uint8_t *end = vt__qpkt_put_ack(ack, ack + sizeof ack, &r, 1, VT__QPKT_INT_MAX, NULL);
    int64_t before = w.server.c.rec.rtt.smoothed;
    forged(&w.client, VT__QPKT_APP, ack, (size_t)(end - ack));
    CHECK(!w.server.closed);
    CHECK(w.server.c.rec.rtt.smoothed > 0 && w.server.c.rec.rtt.smoothed <= before + 20 * VT_MS);
    net_free(&w);
}
TEST(b03_14_acks_of_acks) {
    established();
    uint64_t sent = w.client.sent_dgrams + w.server.sent_dgrams;
    vt__quic_ping(&w.client.c);
    net_flush(&w, &w.client);
    net_run(&w, 2 * VT_SEC);
    CHECK_EQ(w.client.sent_dgrams + w.server.sent_dgrams, sent + 2); /* it, and its ACK */
    net_free(&w);
}
TEST(b03_15_challenges) {
    established();
    uint8_t frames[9 * 100];
    for (unsigned i = 0; i < 100; i++) {
        memset(frames + 9 * i, (int)i, 9);
        frames[9 * i] = VT__QPKT_F_PATH_CHALLENGE;
    }
    uint64_t sent = w.server.sent_dgrams;
    forged(&w.client, VT__QPKT_APP, frames, sizeof frames);
    CHECK(w.server.sent_dgrams <= sent + 2);
    CHECK(!w.server.c.paths[0].owes && w.server.c.paths[0].answer[0] == 99);
    net_run(&w, VT_SEC);
    CHECK(!w.server.closed && !w.client.closed); /* an answer that nobody asked for is ignored */
    net_free(&w);
}
/* NEW_CONNECTION_ID in 7 bytes and a token. */
#define NEW_CID(seq, retire, id)                                                                             \
    VT__QPKT_F_NEW_CID, seq, retire, 4, id, id, id, id, id, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
TEST(b03_16_connection_ids) {
    CLOSES(&w.client, CODE(CONNECTION_ID_LIMIT_ERROR), NEW_CID(4, 0, 1), NEW_CID(5, 0, 2), NEW_CID(6, 0, 3),
           NEW_CID(7, 0, 4), NEW_CID(8, 0, 5));
    CLOSES(&w.client, CODE(FRAME_ENCODING_ERROR), NEW_CID(8, 9, 1));
    CLOSES(&w.client, CODE(PROTOCOL_VIOLATION), NEW_CID(1, 0, 1)); /* has another ID */
    CLOSES(&w.client, CODE(FRAME_ENCODING_ERROR), VT__QPKT_F_NEW_CID, 8, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
           11, 12, 13, 14, 15, 16);
    established();
    TAKES(&w.client, NEW_CID(4, 0, 1), NEW_CID(5, 0, 2), NEW_CID(6, 0, 3), NEW_CID(7, 0, 4));
    CHECK_EQ(w.server.c.cids.ntheirs, VT__QCID_MAX);
    TAKES(&w.client, NEW_CID(8, 8, 5)); /* all but this one go */
    CHECK_EQ(w.server.c.cids.ntheirs, 1);
    CHECK_EQ(w.server.c.cids.nretires, 8);
    for (unsigned i = 0; i < w.server.c.cids.nretires; i++)
        CHECK(!w.server.c.cids.retires[i].owed); /* sent */
    net_free(&w);
}
/* Whoever never acknowledges RETIRE_CONNECTION_ID, and asks for more of them. */
TEST(b03_16_17_retire_flood) {
    established();
    uint8_t frame[] = {NEW_CID(0, 0, 0)};
    unsigned i = 8;
    for (; i < 60 && !w.server.closed; i++) {
        frame[1] = frame[2] = (uint8_t)i, memset(frame + 4, (int)i, 4);
        forged(&w.client, VT__QPKT_APP, frame, sizeof frame);
        CHECK(w.server.c.cids.nretires <= VT__QCID_RETIRES);
    }
    CHECK(w.server.closed);
    CHECK_EQ(w.server.c.end.code, CODE(CONNECTION_ID_LIMIT_ERROR));
    CHECK(i < 30);
    net_free(&w);
}
TEST(b03_18_retired_ids) {
    CLOSES(&w.client, CODE(PROTOCOL_VIOLATION), VT__QPKT_F_RETIRE_CID, 0); /* the one it is sent to */
    CLOSES(&w.client, CODE(PROTOCOL_VIOLATION), VT__QPKT_F_RETIRE_CID, 8); /* never given */
    established();
    TAKES(&w.client, VT__QPKT_F_RETIRE_CID, 3);
    TAKES(&w.client, VT__QPKT_F_RETIRE_CID, 3); /* again: it was sent twice */
    CHECK_EQ(w.server.cids, VT__QCID_OURS);     /* another one in its place */
    CHECK_EQ(w.server.c.cids.next, VT__QCID_OURS + 1);
    net_free(&w);
}
/* One that comes when it is to be retired already is retired (RFC 9000 19.15), however late that is. */
TEST(b03_18_ids_that_come_late) {
    static const uint8_t bytes[VT__QCID_TOKEN] = {1};
    vt__qcid q = {.limit = 1};
    vt__qpkt_cid cid;
    for (uint8_t late = 30; late <= 90; late = (uint8_t)(late + 60)) {
        memset(&q, 0, sizeof q);
        vt__qpkt_cid_set(&cid, bytes, 8);
        (void)vt__qcid_first(&q, &cid);
        cid.b[1] = 100;
        CHECK_EQ(vt__qcid_given(&q, 100, 100, &cid, bytes), 0);
        cid.b[1] = late;
        CHECK_EQ(vt__qcid_given(&q, late, 0, &cid, bytes), 0);
        CHECK_EQ(q.ntheirs, 1), CHECK_EQ(q.nretires, 2);
        CHECK_EQ(q.retires[1].seq, late);
    }
}
TEST(b03_19_same_number) {
    CLOSES(&w.client, CODE(PROTOCOL_VIOLATION), NEW_CID(8, 1, 9), NEW_CID(8, 1, 8));
    established();
    TAKES(&w.client, NEW_CID(8, 1, 9), NEW_CID(8, 1, 9));
    net_free(&w);
}
/* One that is sent again may ask for more to be retired by then (RFC 9000 5.1.2). */
TEST(b03_19_same_number_and_more_to_retire) {
    established();
    TAKES(&w.client, NEW_CID(8, 0, 9));
    CHECK_EQ(w.server.c.cids.nretires, 0);
    TAKES(&w.client, NEW_CID(8, 2, 9));
    CHECK_EQ(w.server.c.cids.nretires, 2);
    for (uint64_t seq = 0; seq < 4; seq++)
        CHECK_EQ(vt__qcid_theirs_of(&w.server.c.cids, seq) != NULL, seq >= 2);
    net_free(&w);
}
/* A packet of the client with a PING, from `addr`. */
static void ping_from(uint32_t addr) {
    static const uint8_t ping[] = {VT__QPKT_F_PING};
    deliver_from(&w.server, forge(&w.client, VT__QPKT_APP, ping, 1, 0), addr);
}
enum { OTHER_PORT = CLIENT_ADDR + 1, OTHER_HOST = 3 << 16 | 5000 };
static uint32_t server_talks_to(void) { return number_of(&w.server.c.paths[w.server.c.active].remote); }

TEST(b03_20_migration_too_early) {
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    NET_UNTIL(&w, w.client.ready, VT_SEC);
    CHECK(!w.server.ready);
    struct qlink_dgram d = {0};
    while (qlink_recv(&w.up, w.now + VT_SEC, &d)) { /* the last flight, from somewhere else */
        memcpy(datagram, d.data, d.n);
        deliver_from(&w.server, d.n, OTHER_PORT);
    }
    CHECK(!w.server.ready);
    CHECK_EQ(server_talks_to(), CLIENT_ADDR);
    net_run(&w, VT_SEC);
    CHECK(w.server.ready); /* it was only lost */
    net_free(&w);
}
TEST(b03_20_migration_not_wanted) {
    net_init(&w, &near_by, test_seed());
    w.server.cfg.no_migration = true;
    net_connect(&w);
    net_run(&w, VT_SEC);
    ping_from(OTHER_HOST);
    CHECK_EQ(server_talks_to(), CLIENT_ADDR);
    ping_from(OTHER_PORT); /* something on the way may do that */
    CHECK_EQ(server_talks_to(), OTHER_PORT);
    vt__qroute_addr local = addr_of(OTHER_HOST), remote = addr_of(SERVER_ADDR);
    CHECK_EQ(vt__quic_move(&w.client.c, &local, &remote, w.now), -EPERM);
    net_free(&w);
}
/* Somebody sends a copy of a packet with the address of a victim. */
static uint64_t victim_got;
static void to_victim(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (d->to == OTHER_HOST) victim_got += d->n, d->n = 0;
}
TEST(b03_21_spoofed_victim) {
    established();
    w.down.hook = to_victim;
    victim_got = 0;
    CHECK(end_ask(&w.client, 0, 2000000) != NULL);
    net_flush(&w, &w.client);
    net_run(&w, 100 * VT_MS);
    static const uint8_t ping[] = {VT__QPKT_F_PING};
    size_t n = forge(&w.client, VT__QPKT_APP, ping, 1, 0);
    deliver_from(&w.server, n, OTHER_HOST);
    CHECK_EQ(server_talks_to(), OTHER_HOST);
    CHECK(victim_got > 0 && victim_got <= 3 * n);
    CHECK_EQ(w.server.c.fallback, 0);
    net_run(&w, 20 * VT_MS);
    CHECK(victim_got <= 3 * n);
    net_run(&w, 20 * VT_SEC);
    CHECK_EQ(server_talks_to(), CLIENT_ADDR);
    CHECK(victim_got <= 3 * n);
    CHECK_EQ(w.client.finished, 1), CHECK_EQ(w.client.wrong, 0);
    net_free(&w);
}
TEST(b03_23_reordered_is_no_migration) {
    established();
    static const uint8_t ping[] = {VT__QPKT_F_PING};
    uint8_t old[64];
    size_t n = forge(&w.client, VT__QPKT_APP, ping, 1, 0);
    memcpy(old, datagram, n);
    ping_from(CLIENT_ADDR); /* is newer */
    memcpy(datagram, old, n);
    deliver_from(&w.server, n, OTHER_PORT);
    CHECK_EQ(server_talks_to(), CLIENT_ADDR);
    ping_from(OTHER_PORT);
    CHECK_EQ(server_talks_to(), OTHER_PORT);
    net_free(&w);
}
/* Packets that only probe move nobody. */
TEST(b03_23_probing_is_no_migration) {
    established();
    static const uint8_t probe[] = {VT__QPKT_F_PATH_CHALLENGE, 1, 2, 3, 4, 5, 6, 7, 8};
    struct qlink_dgram d = {0};
    while (qlink_recv(&w.down, w.now + VT_SEC, &d)) {}
    deliver_from(&w.server, forge(&w.client, VT__QPKT_APP, probe, sizeof probe, 1200), OTHER_HOST);
    CHECK_EQ(server_talks_to(), CLIENT_ADDR);
    CHECK(qlink_recv(&w.down, w.now + VT_SEC,
                     &d)); /* the answer goes where the question came from, and is as large */
    CHECK_EQ(d.to, OTHER_HOST), CHECK_EQ(d.n, 1200);
    net_free(&w);
}
/* A port changes on the way: what was known of the path is kept, and the first packet there is a challenge. */
static void rebind(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (d->from == CLIENT_ADDR) d->from = OTHER_PORT;
}
static void unbind(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (d->to == OTHER_PORT) d->to = CLIENT_ADDR;
    else d->n = 0; /* the old port leads nowhere */
}
TEST(rebinding) {
    established();
    w.up.hook = rebind, w.down.hook = unbind;
    CHECK(end_ask(&w.client, 1000, 1000000) != NULL);
    net_flush(&w, &w.client);
    uint64_t window = vt__qrec_window(&w.server.c.rec);
    net_run(&w, 10 * VT_MS);
    CHECK_EQ(server_talks_to(), OTHER_PORT);
    CHECK(w.server.c.paths[w.server.c.active].asking);
    CHECK(vt__qrec_window(&w.server.c.rec) >= window);
    net_run(&w, 5 * VT_SEC);
    CHECK(w.server.c.paths[w.server.c.active].valid && w.server.c.paths[w.server.c.active].full);
    CHECK_EQ(w.server.paths, 1);
    CHECK_EQ(w.client.finished, 1), CHECK_EQ(w.client.wrong, 0);
    net_free(&w);
}
/* Again, and neither port answers in time: the server stays with the new one, whichever was there first in its table. */
static uint32_t port_now;
static void rebind_to(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (d->from == CLIENT_ADDR) d->from = port_now;
}
static void unbind_to(struct qlink *l, struct qlink_dgram *d) {
    d->n = l->arg || d->to != port_now ? 0 : d->n;
    if (d->n) d->to = CLIENT_ADDR;
}
TEST(rebinding_twice_with_losses) {
    established();
    w.up.hook = rebind_to, w.down.hook = unbind_to;
    for (unsigned n = 0; n < 2; n++) {
        port_now = OTHER_PORT + n, w.down.arg = &w; /* all is lost */
        CHECK(end_ask(&w.client, 1000, 1000) != NULL);
        net_flush(&w, &w.client);
        NET_UNTIL(&w, server_talks_to() == port_now, VT_SEC);
        CHECK_EQ(w.server.c.active, !n); /* the first one's place is free again */
        NET_UNTIL(&w, server_talks_to() != port_now, 6 * VT_SEC);
        CHECK_EQ(server_talks_to(), port_now);
        w.down.arg = NULL;
        NET_UNTIL(&w, w.client.finished == n + 1, 20 * VT_SEC);
        CHECK_EQ(w.client.finished, n + 1), CHECK_EQ(w.client.wrong, 0);
        net_run(&w, 5 * VT_SEC);
    }
    net_free(&w);
}
/* The server has done with the handshake, but the client, which has another port by now, does not hear of it. */
TEST(b03_22_rebinding_before_it_is_confirmed) {
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    NET_UNTIL(&w, w.client.ready, 5 * VT_SEC);
    CHECK(end_ask(&w.client, 1000, 10000) != NULL);
    net_flush(&w, &w.client);
    w.up.hook = rebind, w.down.hook = unbind;
    NET_UNTIL(&w, w.server.confirmed, 5 * VT_SEC);
    CHECK(w.server.confirmed && !w.client.confirmed);
    NET_UNTIL(&w, w.client.finished == 1, 10 * VT_SEC);
    CHECK(w.client.finished == 1 && w.client.confirmed && w.client.wrong == 0);
    net_free(&w);
}
/* Each answer is lost for a while, at the new port, and the old one is gone: who is heard from is not given up. */
static void unbind_later(struct qlink *l, struct qlink_dgram *d) {
    if (w.now < *(int64_t *)l->arg) d->n = 0;
    else unbind(l, d);
}
TEST(rebinding_with_losses) {
    established();
    int64_t open_at = w.now + 6 * VT_SEC;
    w.up.hook = rebind, w.down.hook = unbind_later, w.down.arg = &open_at;
    CHECK(end_ask(&w.client, 1000, 100000) != NULL);
    net_flush(&w, &w.client);
    net_run(&w, 6 * VT_SEC);
    CHECK(!w.server.closed && server_talks_to() == OTHER_PORT && !w.server.c.paths[w.server.c.active].valid);
    net_run(&w, 20 * VT_SEC);
    CHECK_EQ(w.client.finished, 1), CHECK_EQ(w.client.wrong, 0);
    net_free(&w);
}
/* The peer has nothing more to say than one small datagram, of which the server may send thrice the size: a challenge that is lost
 * has left room for another. */
static void unbind_but_first(struct qlink *l, struct qlink_dgram *d) {
    bool lost = d->to == OTHER_PORT && l->arg;
    if (lost) l->arg = NULL, d->n = 0;
    else unbind(l, d);
}
TEST(rebinding_and_a_lost_challenge) {
    established();
    w.up.hook = rebind, w.down.hook = unbind_but_first, w.down.arg = &w;
    ping_from(OTHER_PORT);
    const vt__qroute *p = &w.server.c.paths[w.server.c.active];
    CHECK(server_talks_to() == OTHER_PORT && p->asking && p->nsent == 1 && p->tx <= 3 * p->rx);
    NET_UNTIL(&w, p->full, 5 * VT_SEC);
    CHECK(!w.down.arg && p->proven && p->valid && p->full);
    CHECK(end_ask(&w.client, 1000, 1000) != NULL);
    net_flush(&w, &w.client);
    NET_UNTIL(&w, w.client.finished, 5 * VT_SEC);
    CHECK_EQ(w.client.finished, 1), CHECK_EQ(w.client.wrong, 0);
    net_free(&w);
}
/* It changes as the server has just completed: HANDSHAKE_DONE goes to the old port, and what the client asked has been lost. */
static void rebind_then(struct qlink *l, struct qlink_dgram *d) {
    if (w.server.confirmed) rebind(l, d);
    else if (!(d->data[0] & VT__QPKT_LONG)) d->n = 0;
}
static void unbind_then(struct qlink *l, struct qlink_dgram *d) {
    if (w.server.confirmed) unbind(l, d);
}
TEST(rebinding_before_the_client_knows) {
    net_init(&w, &near_by, test_seed());
    w.up.hook = rebind_then, w.down.hook = unbind_then;
    net_connect(&w);
    NET_UNTIL(&w, w.client.ready, VT_SEC);
    CHECK(end_ask(&w.client, 1000, 1000) != NULL);
    net_flush(&w, &w.client);
    NET_UNTIL(&w, w.server.confirmed, VT_SEC);
    CHECK(w.server.confirmed && !w.client.confirmed);
    NET_UNTIL(&w, w.client.finished, 5 * VT_SEC);
    CHECK_EQ(w.client.finished, 1);
    CHECK_EQ(server_talks_to(), OTHER_PORT);
    net_free(&w);
}
/* Frames that only probe a path (RFC 9000 9.1) make no server follow: what a client sends when nothing is heard has others, too. */
static void lose_one(struct qlink *l, struct qlink_dgram *d) {
    l->hook = rebind;
    d->n = 0;
}
TEST(rebinding_and_connection_ids) {
    net_init(&w, &near_by, test_seed());
    w.client.cfg.rec.no_mtu_search = true;
    net_connect(&w);
    net_run(&w, VT_SEC);
    w.up.hook = lose_one, w.down.hook = unbind;
    w.client.c.cids.ours[1].owed = true;
    net_flush(&w, &w.client);
    net_run(&w, 2 * VT_SEC);
    CHECK_EQ(server_talks_to(), OTHER_PORT);
    CHECK_EQ(w.client.c.rec.in_flight, 0);
    net_free(&w);
}
/* How long a path is asked goes by the slower of the old and the new one, of which nothing is known. */
TEST(time_to_answer) {
    established();
    ping_from(OTHER_HOST);
    const vt__qroute *p = &w.server.c.paths[w.server.c.active];
    CHECK_EQ(server_talks_to(), OTHER_HOST);
    CHECK(p->asking && p->until - w.now >= 3 * 999 * VT_MS);
    net_free(&w);
}
TEST(migration) {
    established();
    vt__qroute_addr local = addr_of(OTHER_HOST), remote = addr_of(SERVER_ADDR);
    CHECK(end_ask(&w.client, 1000, 1000000) != NULL);
    net_flush(&w, &w.client);
    net_run(&w, 30 * VT_MS);
    uint64_t before = w.client.c.paths[0].seq;
    CHECK_EQ(vt__quic_move(&w.client.c, &local, &remote, w.now), 0);
    CHECK(w.client.c.paths[w.client.c.active].seq != before); /* another connection ID */
    net_flush(&w, &w.client);
    net_run(&w, 5 * VT_SEC);
    CHECK_EQ(server_talks_to(), OTHER_HOST);
    CHECK(w.server.c.paths[w.server.c.active].seq != 0);
    CHECK(w.server.c.paths[w.server.c.active].valid && w.client.c.paths[w.client.c.active].full);
    CHECK_EQ(w.client.finished, 1), CHECK_EQ(w.client.wrong, 0);
    net_free(&w);
}
TEST(migration_to_nowhere) {
    established();
    w.down.hook = to_victim;
    vt__qroute_addr local = addr_of(OTHER_HOST), remote = addr_of(SERVER_ADDR);
    CHECK_EQ(vt__quic_move(&w.client.c, &local, &remote, w.now), 0);
    net_flush(&w, &w.client);
    CHECK(end_ask(&w.client, 1000, 10000) != NULL);
    net_run(&w, 10 * VT_SEC);
    CHECK_EQ(number_of(&w.client.c.paths[w.client.c.active].local), CLIENT_ADDR); /* back again */
    CHECK_EQ(w.client.finished, 1), CHECK_EQ(w.client.wrong, 0);
    net_free(&w);
}
/* ---- preferred_address ---- */
enum { PREFERRED = 7 << 16 | 4433 };
static void prefer_begin(void) {
    net_init(&w, &near_by, test_seed());
    w.server.cfg.preferred = (vt__qpkt_preferred){.ip4 = {10, 0, 0, 7}, .port4 = PREFERRED & 0xffff};
}
static uint32_t client_talks_to(void) { return number_of(&w.client.c.paths[w.client.c.active].remote); }
static uint64_t at_preferred, first_there;
static void count_preferred(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (d->to == SERVER_ADDR) return;
    if (!at_preferred++)
        first_there = memcmp(d->data + 1, w.client.c.peer.preferred.cid.b, VT__QCID_LEN) == 0;
    CHECK(w.client.confirmed);
}
static void not_preferred(struct qlink *l, struct qlink_dgram *d) {
    count_preferred(l, d);
    if (d->to == PREFERRED) d->n = 0;
}
/* The server has a connection ID for each of its addresses, also for what only answers a probe (RFC 9000 9.5). */
static uint8_t from_home[VT__QCID_LEN];
static unsigned from_preferred;
static void own_ids(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (*d->data & VT__QPKT_LONG) return;
    if (d->from == SERVER_ADDR) memcpy(from_home, d->data + 1, VT__QCID_LEN);
    else CHECK(memcmp(from_home, d->data + 1, VT__QCID_LEN) != 0), from_preferred++;
}
TEST(preferred_address) {
    prefer_begin();
    at_preferred = first_there = from_preferred = 0;
    w.up.hook = count_preferred, w.down.hook = own_ids;
    net_connect(&w);
    NET_UNTIL(&w, w.client.confirmed, 5 * VT_SEC);
    CHECK_EQ(client_talks_to(), SERVER_ADDR); /* and keeps to it until there is an answer */
    CHECK(end_ask(&w.client, 1000, 1000000) != NULL);
    net_flush(&w, &w.client);
    net_run(&w, 5 * VT_SEC);
    CHECK(first_there && at_preferred > 10 && from_preferred > 10); /* by the connection ID for it */
    CHECK_EQ(client_talks_to(), PREFERRED);
    CHECK_EQ(w.client.c.paths[w.client.c.active].seq, 1);
    const vt__qroute *p = &w.server.c.paths[w.server.c.active];
    CHECK_EQ(number_of(&p->local), PREFERRED), CHECK_EQ(number_of(&p->remote), CLIENT_ADDR);
    CHECK(p->proven && p->seq != 0 && p->ours == 1);
    CHECK_EQ(w.client.finished, 1), CHECK_EQ(w.client.wrong, 0);
    CHECK_EQ(w.client.paths, 1), CHECK_EQ(w.server.paths, 1);
    CHECK_EQ(w.server.cids, VT__QCID_OURS), CHECK_EQ(w.client.cids, VT__QCID_OURS);
    net_free(&w);
}
TEST(preferred_address_is_out_of_reach) {
    prefer_begin();
    at_preferred = 0;
    w.up.hook = not_preferred;
    net_connect(&w);
    NET_UNTIL(&w, w.client.confirmed, 5 * VT_SEC);
    CHECK(end_ask(&w.client, 1000, 1000000) != NULL);
    net_flush(&w, &w.client);
    net_run(&w, 5 * VT_SEC);
    CHECK_EQ(at_preferred, VT__QROUTE_KEPT); /* so often it asked */
    CHECK_EQ(client_talks_to(), SERVER_ADDR), CHECK_EQ(w.client.paths, 0);
    CHECK(!vt__qcid_theirs_of(&w.client.c.cids, 1) &&
          !vt__qcid_ours_of(&w.server.c.cids, 1)); /* given back */
    CHECK_EQ(w.client.finished, 1), CHECK_EQ(w.client.wrong, 0);
    net_free(&w);
}
/* Who is asked to stay may go there all the same, and from there anywhere (RFC 9000 18.2). */
TEST(preferred_address_without_migration) {
    prefer_begin();
    w.server.cfg.no_migration = true;
    net_connect(&w);
    net_run(&w, 2 * VT_SEC);
    CHECK_EQ(client_talks_to(), PREFERRED);
    vt__qroute_addr local = addr_of(OTHER_HOST), home = addr_of(SERVER_ADDR), there = addr_of(PREFERRED);
    CHECK_EQ(vt__quic_move(&w.client.c, &local, &home, w.now), -EPERM);
    CHECK_EQ(vt__quic_move(&w.client.c, &local, &there, w.now), 0);
    CHECK(w.client.c.paths[w.client.c.active].seq > 1);
    vt__quic_ping(&w.client.c);
    net_flush(&w, &w.client);
    net_run(&w, 2 * VT_SEC);
    CHECK_EQ(server_talks_to(), OTHER_HOST);
    CHECK(w.server.c.paths[w.server.c.active].proven);
    net_free(&w);
}
/* Only that of the family that is spoken; and nobody is sent into his own network from outside. */
TEST(b03_44_preferred_address_that_is_no_good) {
    for (int what = 0; what < 4; what++) {
        prefer_begin();
        at_preferred = 0;
        w.up.hook = count_preferred;
        if (what == 0) w.server.cfg.preferred = (vt__qpkt_preferred){.ip6 = {0x20, 1}, .port6 = 443};
        if (what == 3) /* where the client is already */
            w.server.cfg.preferred = (vt__qpkt_preferred){.ip4 = {10, 0, 0, 2}, .port4 = 443};
        net_connect(&w);
        NET_UNTIL(&w, w.client.ready, 5 * VT_SEC);
        if (what == 1) memcpy(w.client.c.home.ip + 12, "\300\0\2\1", 4);
        net_run(&w, 2 * VT_SEC);
        CHECK_EQ(at_preferred > 0, what == 2);
        CHECK_EQ(client_talks_to(), what == 2 ? PREFERRED : SERVER_ADDR);
        CHECK_EQ(vt__qcid_theirs_of(&w.client.c.cids, 1) != NULL, what == 2);
        CHECK(!w.client.closed && !w.server.closed);
        net_free(&w);
    }
    static const struct {
        uint8_t ip[4];
        bool inner;
    } rows[] = {{{127, 0, 0, 1}, true},      {{10, 1, 2, 3}, true},    {{172, 16, 0, 1}, true},
                {{172, 32, 0, 1}, false},    {{192, 168, 9, 9}, true}, {{192, 0, 2, 1}, false},
                {{169, 254, 0, 1}, true},    {{224, 0, 0, 1}, true},   {{0, 0, 0, 0}, true},
                {{255, 255, 255, 255}, true}};
    vt__qroute_addr a = {.ip = {0x20, 1, 0xd, 0xb8}};
    CHECK(!vt__qroute_inner(&a));
    a.ip[0] = 0xfd;
    CHECK(vt__qroute_inner(&a));
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        vt__udp_set4(&a, rows[i].ip);
        CHECK_EQ(vt__qroute_inner(&a), rows[i].inner);
    }
}
/* Its connection ID is the second one: another of that number is a lie. */
TEST(preferred_address_has_the_second_id) {
    static const uint8_t frame[] = {VT__QPKT_F_NEW_CID,
                                    1,
                                    0,
                                    8,
                                    1,
                                    2,
                                    3,
                                    4,
                                    5,
                                    6,
                                    7,
                                    8,
                                    1,
                                    2,
                                    3,
                                    4,
                                    5,
                                    6,
                                    7,
                                    8,
                                    9,
                                    10,
                                    11,
                                    12,
                                    13,
                                    14,
                                    15,
                                    16};
    prefer_begin();
    net_connect(&w);
    net_run(&w, VT_SEC);
    CHECK(!w.client.closed);
    forged(&w.server, VT__QPKT_APP, frame, sizeof frame);
    CHECK(w.client.closed);
    CHECK_EQ(w.client.c.end.code, CODE(PROTOCOL_VIOLATION));
    net_free(&w);
}
TEST(b03_24_the_shortest_reset) { /* is less than any packet */
    established();
    CHECK_EQ(vt__qedge_put_reset(&w.server.cfg, w.server.c.cids.ours[0].cid.b, 22, datagram), 21);
    datagram[20] ^= 1;
    deliver(&w.client, 21);
    CHECK(!w.client.closed);
    datagram[20] ^= 1;
    deliver(&w.client, 20);
    CHECK(!w.client.closed);
    deliver(&w.client, 21);
    CHECK(w.client.closed && w.client.c.end.cause == VT__QUIC_BY_RESET);
    net_free(&w);
}
TEST(b03_24_stateless_reset) {
    established();
    const vt__qpkt_cid *cid = &w.server.c.cids.ours[0].cid;
    CHECK_EQ(vt__qedge_put_reset(&w.server.cfg, cid->b, 21, datagram), 0); /* nothing is shorter */
    CHECK_EQ(vt__qedge_put_reset(&w.server.cfg, cid->b, 22, datagram), 21);
    int n = vt__qedge_put_reset(&w.server.cfg, cid->b, 1200, datagram);
    CHECK(n >= 21 && n < 100);
    CHECK(!(datagram[0] & VT__QPKT_LONG) && datagram[0] & VT__QPKT_FIXED);
    datagram[n - 1] ^= 1;
    deliver(&w.client, (size_t)n);
    CHECK(!w.client.closed);
    datagram[n - 1] ^= 1;
    deliver(&w.client, (size_t)n);
    CHECK(w.client.closed && w.client.c.end.cause == VT__QUIC_BY_RESET);
    uint64_t sent = w.client.sent_dgrams;
    net_run(&w, VT_SEC);
    CHECK_EQ(w.client.sent_dgrams, sent); /* not a word more */
    net_free(&w);
}
/* What a server says that knows others only. */
static size_t versions_packet(const uint32_t *v, size_t n) {
    vt__qpkt_head h;
    struct qlink_dgram d = {0};
    if (!qlink_recv(&w.up, w.now + VT_SEC, &d) || vt__qpkt_head_get(&h, d.data, d.n, VT__QCID_LEN) < 0)
        abort();
    uint8_t *end = vt__qpkt_put_negotiation(datagram, datagram + sizeof datagram, &h, v, n, 0);
    return (size_t)(end - datagram);
}
TEST(b03_25_version_negotiation) {
    static const uint32_t none[] = {0x1a2a3a4a, 0xff00001d}, known[] = {5, VT__QPKT_V2},
                          same[] = {VT__QPKT_V2, VT__QPKT_V1};
    static const struct {
        const uint32_t *v;
        uint32_t says;
        bool closes;
    } rows[] = {{none, 0, true}, {known, VT__QPKT_V2, true}, {same, 0, false}};
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        net_init(&w, &near_by, test_seed());
        net_connect(&w);
        deliver(&w.client, versions_packet(rows[i].v, 2));
        CHECK_EQ(w.client.closed, rows[i].closes);
        if (rows[i].closes) {
            CHECK_EQ(w.client.c.end.cause, VT__QUIC_BY_VERSION), CHECK_EQ(w.client.c.end.code, rows[i].says);
            CHECK(vt__quic_dead(&w.client.c));
        }
        net_free(&w);
    }
    net_init(&w, &near_by, test_seed()); /* too late: the server is there */
    net_connect(&w);
    size_t n = versions_packet(none, 2);
    uint8_t late[100];
    memcpy(late, datagram, n);
    NET_UNTIL(&w, w.client.c.got_one, 5 * VT_SEC);
    memcpy(datagram, late, n);
    deliver(&w.client, n);
    CHECK(!w.client.closed);
    net_free(&w);
}
/* A server that is not told the truth about the version, and a client. */
TEST(b03_25_downgrade) {
    vt__qpkt_params tp;
    for (int server = 0; server < 2; server++) {
        established();
        struct end *e = server ? &w.server : &w.client;
        memset(&tp, 0, sizeof tp);
        tp.chosen = 7;
        CHECK_EQ(vt__quic_agree_version(&e->c, &tp), VT__QPKT_E_VERSION);
        tp.chosen = server ? e->c.first_version : e->c.keys.version;
        CHECK_EQ(vt__quic_agree_version(&e->c, &tp), 0);
        tp.chosen = 0; /* says nothing: the version cannot have changed */
        CHECK_EQ(vt__quic_agree_version(&e->c, &tp), server ? 0 : VT__QPKT_E_VERSION);
        net_free(&w);
    }
}
TEST(b03_26_retry) {
    net_init(&w, &near_by, test_seed());
    w.retry = true;
    net_connect(&w);
    uint64_t hello =
        w.client.sent_dgrams; /* each is answered, for nothing is kept of it; the client takes one Retry */
    net_run(&w, VT_SEC);
    CHECK(w.client.confirmed && w.server.confirmed);
    CHECK_EQ(w.retries, hello);
    CHECK(w.client.c.retried && w.server.c.retried);
    CHECK(vt__qpkt_cid_eq(&w.client.c.odcid, &w.server.c.odcid));
    net_free(&w);
}
/* A Retry for the client's first packet. */
static size_t retry_packet(vt__qpkt_head *h) {
    static uint8_t copy[2048];
    vt__qroute_addr from = addr_of(CLIENT_ADDR);
    struct qlink_dgram d = {0};
    if (!qlink_recv(&w.up, w.now + VT_SEC, &d)) abort();
    memcpy(copy, d.data, d.n);
    if (vt__qpkt_head_get(h, copy, d.n, VT__QCID_LEN) < 0) abort();
    while (qlink_recv(&w.up, w.now + VT_SEC, &d)) {} /* what else ClientHello took */
    return (size_t)vt__qedge_put_retry(&w.server.cfg, h, &from, datagram, sizeof datagram, w.now);
}
TEST(b03_26_retry_forged) {
    vt__qpkt_head h;
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    size_t n = retry_packet(&h);
    for (size_t i = 0; i < n; i++) {
        datagram[i] ^= 4;
        deliver(&w.client, n);
        CHECK(!w.client.c.retried);
        datagram[i] ^= 4;
    }
    deliver(&w.client, n);
    CHECK(w.client.c.retried);
    vt__qpkt_cid was = w.client.c.retry_scid;
    n = retry_packet(&h); /* one is enough */
    deliver(&w.client, n);
    CHECK(vt__qpkt_cid_eq(&was, &w.client.c.retry_scid));
    net_free(&w);
}
/* Keys of the other version that somebody had made before it are of the ID that is no more: behind it they are made anew. */
TEST(b03_26_retry_and_another_version) {
    net_init(&w, &near_by, test_seed());
    w.retry = true;
    net_connect(&w);
    const vt__qpkt_cid *to = &w.client.c.cids.ours[0].cid;
    memset(datagram, 7, sizeof datagram);
    uint8_t *p = vt__qpkt_put_long(datagram, datagram + 1200, VT__QPKT_T_INITIAL, VT__QPKT_V2, to, to,
                                   (vt_str){NULL, 0}, 0, 1);
    vt__qpkt_end_long(p, 1, datagram + 1200);
    deliver(&w.client, 1200);
    CHECK(!w.client.c.got_one && vt__qsec_has(&w.client.c.keys.other->rx));
    net_run(&w, VT_SEC);
    CHECK(w.client.c.retried && w.client.confirmed && w.server.confirmed);
    CHECK_EQ(w.client.c.keys.version, VT__QPKT_V2);
    net_free(&w);
}
/* The connection ID has to be another one than the client's own (RFC 9000 17.2.5.1). */
TEST(b03_26_retry_without_another_id) {
    vt__qpkt_head h;
    vt__qpkt_cid to, from;
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    CHECK(retry_packet(&h) > 0);
    vt__qpkt_cid_set(&to, h.scid, h.scid_len), vt__qpkt_cid_set(&from, h.dcid, h.dcid_len);
    uint8_t *end = vt__qpkt_put_retry(datagram, datagram + sizeof datagram, h.version, &to, &from,
                                      (vt_str){"token", 5});
    REQUIRE(end != NULL);
    CHECK_EQ(vt__qsec_retry_tag(h.version, h.dcid, h.dcid_len, datagram, (size_t)(end - datagram), end), 0);
    deliver(&w.client, (size_t)(end - datagram) + VT__QSEC_TAG);
    CHECK(!w.client.c.retried);
    net_free(&w);
}
TEST(b03_26_tokens) {
    vt__qpkt_head h, initial;
    vt__qroute_addr from = addr_of(CLIENT_ADDR), port = addr_of(OTHER_PORT);
    vt__quic_start s;
    uint8_t retry[512];
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    size_t n = retry_packet(&h);
    memcpy(retry, datagram, n);
    deliver(&w.client, n);
    struct qlink_dgram d = {0};
    CHECK(qlink_recv(&w.up, w.now + VT_SEC, &d));
    CHECK(vt__qpkt_head_get(&initial, d.data, d.n, VT__QCID_LEN) > 0 && initial.token_len > 0);
    memset(&s, 0, sizeof s);
    CHECK_EQ(vt__qedge_take_token(&w.server.cfg, &initial, &from, &s, w.now), 1);
    CHECK(s.proven && s.retried && vt__qpkt_cid_eq(&s.odcid, &w.client.c.odcid));
    CHECK_EQ(vt__qedge_take_token(&w.server.cfg, &initial, &port, &s, w.now), VT__QPKT_E_TOKEN);
    CHECK(!s.proven);
    CHECK_EQ(vt__qedge_take_token(&w.server.cfg, &initial, &from, &s, w.now + 11 * VT_SEC), VT__QPKT_E_TOKEN);
    w.server.cfg.handshake_ns = 60 * VT_SEC; /* who may still finish is not refused */
    CHECK_EQ(vt__qedge_take_token(&w.server.cfg, &initial, &from, &s, w.now + 60 * VT_SEC), 1);
    CHECK_EQ(vt__qedge_take_token(&w.server.cfg, &initial, &from, &s, w.now + 61 * VT_SEC), VT__QPKT_E_TOKEN);
    initial.version = VT__QPKT_V2;
    CHECK_EQ(vt__qedge_take_token(&w.server.cfg, &initial, &from, &s, w.now), VT__QPKT_E_TOKEN);
    initial.version = VT__QPKT_V1;
    CHECK_EQ(vt__qedge_take_token(&w.server.cfg, &initial, &from, &s, w.now), 1);
    initial.dcid = h.dcid; /* not the one that Retry gave */
    CHECK_EQ(vt__qedge_take_token(&w.server.cfg, &initial, &from, &s, w.now), VT__QPKT_E_TOKEN);
    initial.token_len = 0;
    CHECK_EQ(vt__qedge_take_token(&w.server.cfg, &initial, &from, &s, w.now), 0);
    int len = vt__qedge_put_refusal(&h, CODE(INVALID_TOKEN), datagram, sizeof datagram);
    net_free(&w);
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    (void)retry_packet(&h);
    len = vt__qedge_put_refusal(&h, CODE(INVALID_TOKEN), datagram, sizeof datagram);
    CHECK(len > 0);
    deliver(&w.client, (size_t)len);
    CHECK(w.client.closed && w.client.c.end.cause == VT__QUIC_BY_PEER);
    CHECK_EQ(w.client.c.end.code, CODE(INVALID_TOKEN));
    net_free(&w);
}
/* A token that was changed on the way is no lie of the client's: what does not open is not answered. */
static void spoil_token(struct qlink *l, struct qlink_dgram *d) {
    vt__qpkt_head h;
    if (vt__qpkt_head_get(&h, d->data, d->n, VT__QCID_LEN) < 0 || !h.token_len) return;
    ((uint8_t *)d->data)[(size_t)(h.token - d->data) + 9] ^= 1;
    l->hook = NULL;
}
TEST(b03_26_token_changed_on_the_way) {
    net_init(&w, &near_by, test_seed());
    w.retry = true, w.up.hook = spoil_token;
    net_connect(&w);
    uint64_t hello = w.client.sent_dgrams;
    NET_UNTIL(&w, w.client.confirmed || w.client.closed, 3 * VT_SEC);
    CHECK(w.client.confirmed && !w.up.hook);
    CHECK_EQ(w.retries, hello);
    net_free(&w);
}
/* NEW_TOKEN: the next connection need not be asked whether it gets what is sent to it, if it begins with the version that
 * was spoken. */
static void new_token(uint32_t version) {
    established();
    uint8_t token[256];
    size_t n = w.client.ntoken;
    memcpy(token, w.client.token, n);
    int64_t then = w.now;
    bool same = version == w.client.c.keys.version;
    net_free(&w);
    net_init(&w, &near_by, test_seed());
    w.now = then + 3600 * VT_SEC;
    w.retry = true;
    vt__quic_start s;
    memset(&s, 0, sizeof s);
    s.token = (vt_str){(char *)token, n};
    s.version = version;
    net_connect_with(&w, &s);
    net_run(&w, VT_SEC);
    CHECK(w.client.confirmed && w.server.confirmed && w.server.c.retried == !same);
    CHECK_EQ(w.retries > 0, !same);
    net_free(&w);
}
TEST(b03_26_new_token) { new_token(VT__QPKT_V2), new_token(VT__QPKT_V1); }
/* A server's tokens may be of any length; those that leave no room for a ClientHello are not shown. */
TEST(b03_26_new_token_of_any_length) {
    static char token[1300];
    static const size_t sizes[] = {1, VT__QUIC_TOKEN_MAX, VT__QUIC_TOKEN_MAX + 1, 1140, 1160, sizeof token};
    for (size_t i = 0; i < VT__COUNT(sizes); i++) {
        net_init(&w, &near_by, test_seed());
        vt__quic_start s;
        memset(&s, 0, sizeof s);
        s.token = (vt_str){token, sizes[i]};
        net_connect_with(&w, &s);
        CHECK_EQ(w.client.c.token_len, i < 2 ? sizes[i] : 0);
        net_run(&w, VT_SEC);
        CHECK(w.client.confirmed && w.server.confirmed);
        net_free(&w);
    }
}
/* A server's Initial has no token; one that has is dropped (RFC 9000 17.2.2). */
TEST(b03_27_initial_of_a_server_with_a_token) {
    struct qlink_dgram d = {0};
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    while (qlink_recv(&w.up, w.now + VT_SEC, &d)) net_deliver(&w, &w.server, &d);
    w.server.c.token = vt__mem_strdup("x", 1), w.server.c.token_len = 1;
    net_flush(&w, &w.server);
    net_run(&w, VT_SEC);
    CHECK(w.server.sent_dgrams > 1 && w.client.got_dgrams > 1);
    CHECK(!w.client.c.got_one && !w.client.closed);
    w.server.c.token_len = 0;
    NET_UNTIL(&w, w.client.confirmed, 5 * VT_SEC);
    CHECK(w.client.confirmed);
    net_free(&w);
}
TEST(b03_27_token_from_client) { CLOSES(&w.client, CODE(PROTOCOL_VIOLATION), VT__QPKT_F_NEW_TOKEN, 1, 7); }
TEST(b03_28_key_updates) {
    established();
    CHECK_EQ(vt__qout_update(&w.client.c), 0);
    CHECK_EQ(vt__qout_update(&w.client.c), -EAGAIN); /* nobody has seen it yet */
    vt__quic_ping(&w.client.c);
    net_flush(&w, &w.client);
    net_run(&w, 100 * VT_MS);
    CHECK(w.server.c.keys.rx_phase && w.server.c.keys.tx_phase);
    CHECK(w.client.c.keys.rx_phase && w.client.c.keys.tx_phase);
    CHECK_EQ(vt__qout_update(&w.client.c), -EAGAIN); /* the old ones are still there */
    net_run(&w, 2 * VT_SEC);
    CHECK(!vt__qsec_has(&w.client.c.keys.old));
    CHECK_EQ(vt__qout_update(&w.server.c), -EAGAIN); /* nothing of this phase was acknowledged */
    vt__quic_ping(&w.server.c);
    net_flush(&w, &w.server);
    net_run(&w, 100 * VT_MS);
    CHECK_EQ(vt__qout_update(&w.server.c), 0);
    vt__quic_ping(&w.server.c);
    net_flush(&w, &w.server);
    net_run(&w, 2 * VT_SEC);
    CHECK(!w.server.c.keys.rx_phase && !w.client.c.keys.rx_phase);
    CHECK(!w.server.closed && !w.client.closed);
    net_free(&w);
}
static void turn(struct end *e) {
    CHECK_EQ(vt__qkeys_turn_tx(&e->c.keys, vt__qrec_next(&e->c.rec, VT__QPKT_APP)), 0);
}
TEST(b03_28_updates_in_a_row) {
    established();
    turn(&w.client), ping_from(CLIENT_ADDR);
    CHECK(!w.server.closed);
    turn(&w.client), ping_from(CLIENT_ADDR); /* the first one was not acknowledged */
    CHECK(w.server.closed);
    CHECK_EQ(w.server.c.end.code, CODE(KEY_UPDATE_ERROR));
    net_free(&w);
}
TEST(b03_28_back_to_old_keys) {
    established();
    vt__qsec_keys *tx = &w.client.c.keys.at[VT__QPKT_APP]->tx, old = {0};
    CHECK_EQ(vt__qsec_keys_init(&old, NULL, w.client.c.keys.version, &tx->secret, true), 0);
    turn(&w.client), ping_from(CLIENT_ADDR);
    vt__qsec_keys_free(tx);
    *tx = old;
    w.client.c.keys.tx_phase = false;
    ping_from(CLIENT_ADDR);
    CHECK(w.server.closed);
    CHECK_EQ(w.server.c.end.code, CODE(KEY_UPDATE_ERROR));
    net_free(&w);
}
TEST(b03_29_aead_limits) {
    static const uint8_t ping[] = {VT__QPKT_F_PING};
    established();
    w.server.c.keys.forged = vt__qsec_limits_of(VT__QSEC_AES128).forged - 2;
    for (int i = 0; i < 2; i++) {
        CHECK(!w.server.closed);
        size_t n = forge(&w.client, VT__QPKT_APP, ping, 1, 0);
        w.server.c.keys.at[VT__QPKT_APP]->rx.secret.aead = VT__QSEC_AES128;
        datagram[n - 1] ^= 1;
        deliver(&w.server, n);
    }
    CHECK(w.server.closed);
    CHECK_EQ(w.server.c.end.code, CODE(AEAD_LIMIT_REACHED));
    net_free(&w);
}
TEST(b03_29_keys_wear_out) {
    struct qlink_cfg slow = {.delay_ns = 10 * VT_MS, .rate_bps = 20000000, .queue = 30};
    net_init(&w, &slow, test_seed());
    w.server.cfg.update_after = 100;
    net_connect(&w);
    NET_UNTIL(&w, w.client.ready, VT_SEC);
    CHECK(end_ask(&w.client, 0, 3000000) != NULL);
    unsigned turns = 0;
    bool phase = false;
    for (int64_t until = w.now + 30 * VT_SEC; !w.client.finished && net_step(&w, until);)
        if (w.client.c.keys.rx_phase != phase) turns++, phase = !phase;
    CHECK(turns >= 3);
    CHECK_EQ(w.client.finished, 1), CHECK_EQ(w.client.wrong, 0);
    net_free(&w);
}
TEST(b03_30_broken_packets) {
    static const uint8_t frames[] = {VT__QPKT_F_PING, 0, 0, 0};
    uint8_t copy[64];
    established();
    size_t n = forge(&w.client, VT__QPKT_APP, frames, sizeof frames, 0);
    memcpy(copy, datagram, n);
    uint64_t next = vt__qrec_expect(&w.server.c.rec, VT__QPKT_APP);
    for (size_t i = 0; i < 8 * n; i++) {
        memcpy(datagram, copy, n);
        datagram[i / 8] ^= (uint8_t)(1 << i % 8);
        deliver(&w.server, n);
        CHECK_EQ(vt__qrec_expect(&w.server.c.rec, VT__QPKT_APP), next);
        CHECK(!w.server.closed && !w.server.c.keys.rx_phase);
    }
    memcpy(datagram, copy, n);
    deliver(&w.server, n);
    CHECK(vt__qrec_expect(&w.server.c.rec, VT__QPKT_APP) > next);
    net_free(&w);
}
TEST(b03_30_reserved_bits) {
    static const uint8_t frames[] = {VT__QPKT_F_PING};
    established();
    deliver(&w.server,
            quic_forge_bits(&w.client.c, VT__QPKT_APP, 0x10, frames, 1, 0, datagram, sizeof datagram));
    CHECK_EQ(w.server.c.end.code, CODE(PROTOCOL_VIOLATION));
    CHECK(w.server.closed);
    net_free(&w);
}
TEST(b03_31_replayed) {
    uint8_t copy[256];
    established();
    static const uint8_t data[] = {0x0a, 0, 4, 1, 2, 3, 4};
    size_t n = forge(&w.client, VT__QPKT_APP, data, sizeof data, 0);
    memcpy(copy, datagram, n);
    deliver(&w.server, n);
    uint64_t alone = w.server.c.rec.s[VT__QPKT_APP]->owed;
    for (int i = 0; i < 10; i++) {
        memcpy(datagram, copy, n);
        deliver(&w.server, n);
    }
    CHECK_EQ(w.server.c.rec.s[VT__QPKT_APP]->owed, alone);
    CHECK_EQ(w.server.bytes, 4);
    net_free(&w);
}
TEST(b03_32_done_from_client) { CLOSES(&w.client, CODE(PROTOCOL_VIOLATION), VT__QPKT_F_HANDSHAKE_DONE); }
/* Of two probes each has all that is wanted: one that arrives is enough. */
static unsigned nth_up;
static void third_alone(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (++nth_up < 3) d->n = 0;
}
TEST(second_probe) {
    net_init(&w, &near_by, test_seed());
    nth_up = 0, w.up.hook = third_alone;
    net_connect(&w);
    net_run(&w, 1015 * VT_MS); /* one PTO, 999 ms, and the way */
    CHECK_EQ(w.client.c.rec.stats.ptos, 1);
    CHECK(vt__qsec_has(&w.server.c.keys.at[VT__QPKT_HANDSHAKE]->tx));
    NET_UNTIL(&w, w.client.confirmed, VT_SEC);
    CHECK(w.client.confirmed);
    net_free(&w);
}
TEST(b03_33_handshake_timeout) {
    net_init(&w, &near_by, test_seed());
    w.down.cfg.loss = 1000000;
    net_connect(&w);
    NET_UNTIL(&w, w.server.up, VT_SEC);
    net_run(&w, 9 * VT_SEC);
    CHECK(!w.server.closed && !w.client.closed);
    net_run(&w, 2 * VT_SEC);
    CHECK(w.server.closed && w.client.closed);
    CHECK(w.server.c.end.cause == VT__QUIC_BY_TIME && vt__quic_dead(&w.server.c));
    net_free(&w);
}
TEST(b03_33_idle) {
    net_init(&w, &near_by, test_seed());
    w.client.cfg.idle_ns = 5 * VT_SEC; /* the least counts */
    net_connect(&w);
    net_run(&w, 4 * VT_SEC);
    CHECK(w.server.confirmed && !w.server.closed);
    uint64_t sent = w.server.sent_dgrams;
    net_run(&w, 4 * VT_SEC);
    CHECK(w.server.closed && w.client.closed && w.server.c.end.cause == VT__QUIC_BY_TIME);
    CHECK_EQ(w.server.sent_dgrams, sent); /* silently */
    net_free(&w);
    net_init(&w, &near_by, test_seed());
    w.client.cfg.idle_ns = 5 * VT_SEC, w.client.cfg.keep_alive_ns = 2 * VT_SEC;
    net_connect(&w);
    net_run(&w, 30 * VT_SEC);
    CHECK(!w.server.closed && !w.client.closed);
    CHECK(w.client.sent_dgrams < 30);
    net_free(&w);
}
static void nowhere(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    d->n = 0;
}
/* An ACK of Handshake that was lost comes again with the client's probe. By OpenSSL before 3.5 it has no key to send one with. */
TEST(probes_of_the_handshake_acknowledge) {
    net_init(&w, &near_by, test_seed());
    net_large(&w);
    net_connect(&w);
    NET_UNTIL(&w, w.server.up, VT_SEC);
    w.down.hook = w.up.hook = nowhere; /* what it sent at once is on its way, and not all */
    net_run(&w, 20 * VT_MS);
    w.up.hook = NULL;
    CHECK(!w.client.ready && vt__qrec_largest_acked(&w.server.c.rec, VT__QPKT_HANDSHAKE) < 0);
    net_run(&w, 5 * VT_SEC);
    bool mute = !vt__qsec_has(&w.client.c.keys.at[VT__QPKT_HANDSHAKE]->tx);
    CHECK(mute || vt__qrec_largest_acked(&w.server.c.rec, VT__QPKT_HANDSHAKE) >= 0);
    CHECK(!mute || !VT__QTLS_NATIVE);
    net_free(&w);
}
/* PING that only keeps a connection alive must not put off the probes for what is in flight. */
TEST(keep_alive_in_silence) {
    net_init(&w, &near_by, test_seed());
    w.client.cfg.keep_alive_ns = 30 * VT_MS; /* less than a PTO */
    net_connect(&w);
    NET_UNTIL(&w, w.client.confirmed, 5 * VT_SEC);
    net_run(&w, VT_SEC);
    uint64_t sent = w.client.sent_dgrams;
    net_run(&w, VT_SEC);
    CHECK(w.client.sent_dgrams - sent > 8); /* it pings */
    w.up.hook = nowhere;
    CHECK(end_ask(&w.client, 1000, 1000) != NULL);
    net_flush(&w, &w.client);
    uint64_t ptos = w.client.c.rec.stats.ptos;
    net_run(&w, 5 * VT_SEC);
    CHECK(w.client.c.rec.stats.ptos - ptos >= 4);
    net_free(&w);
}
/* Who waits for no answer asks nothing: else the connection would never be idle. */
TEST(streams_without_an_answer_keep_nothing_alive) {
    vt__qstr_stream *s;
    established();
    REQUIRE(vt__qstr_open(&w.client.c.streams, true, &s) == 0);
    CHECK_EQ(vt__qstr_write(&w.client.c.streams, s, "\1\2\3", 3, false), 3); /* as a control stream */
    net_flush(&w, &w.client);
    net_run(&w, VT_SEC);
    uint64_t sent = w.client.sent_dgrams;
    net_run(&w, 20 * VT_SEC);
    CHECK_EQ(w.client.sent_dgrams, sent);
    net_run(&w, 20 * VT_SEC);
    CHECK(w.client.closed && w.client.c.end.cause == VT__QUIC_BY_TIME);
    net_free(&w);
}
/* What came before its keys, and had to wait for them, tells the peer nothing of the round trip. */
static void short_alone(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (d->data[0] & VT__QPKT_LONG) d->n = 0;
}
TEST(b03_04_rtt_of_what_waited_for_keys) {
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    while (!w.client.ready && net_step(&w, w.now + VT_SEC)) w.up.hook = w.server.up ? short_alone : NULL;
    CHECK(end_ask(&w.client, 5000, 1000) != NULL);
    net_flush(&w, &w.client);
    net_run(&w, VT_SEC);
    CHECK(w.server.c.nearly > 0 && !w.server.ready);
    w.up.hook = NULL;
    NET_UNTIL(&w, w.client.finished, 20 * VT_SEC);
    CHECK_EQ(w.client.finished, 1);
    CHECK(w.client.c.rec.rtt.smoothed < 60 * VT_MS);
    net_free(&w);
}
TEST(b03_34_too_many_streams) {
    CLOSES(&w.client, CODE(STREAM_LIMIT_ERROR), 0x0a, 0xbf, 0, 0, 0, 1, 7);
    CLOSES(&w.client, CODE(STREAM_STATE_ERROR), 0x0a, 1, 1, 7); /* is the server's to open */
    CLOSES(&w.client, CODE(STREAM_STATE_ERROR), VT__QPKT_F_MAX_STREAM_DATA, 1, 9);
    CLOSES(&w.client, CODE(STREAM_STATE_ERROR), VT__QPKT_F_RESET_STREAM, 3, 0, 0); /* only sends */
    CLOSES(&w.client, CODE(STREAM_STATE_ERROR), VT__QPKT_F_STOP_SENDING, 2, 0);    /* only receives */
    CLOSES(&w.client, CODE(FRAME_ENCODING_ERROR), VT__QPKT_F_MAX_STREAMS, 0xd0, 0, 0, 0, 0, 0, 0, 1);
    CLOSES(&w.client, CODE(FRAME_ENCODING_ERROR), VT__QPKT_F_STREAMS_BLOCKED, 0xd0, 0, 0, 0, 0, 0, 0, 1);
}
/* A sender that is not true, where a service would take what it gets for a question, or the server itself: no path, no answer. */
TEST(b03_44_nobody_is_sent_to_by_others) {
    static const uint8_t ping[] = {VT__QPKT_F_PING, 0, 0, 0};
    const uint32_t host = CLIENT_ADDR & 0xffff0000;
    const uint32_t from[] = {host | 53,   host | 0,     host | 1023, host | 1900,
                             host | 5353, host | 11211, SERVER_ADDR, host | 1024};
    for (size_t i = 0; i < VT__COUNT(from); i++) {
        established();
        bool fit = i == VT__COUNT(from) - 1;
        uint64_t sent = w.server.sent_dgrams;
        deliver_from(&w.server, forge(&w.client, VT__QPKT_APP, ping, sizeof ping, 0), from[i]);
        CHECK_EQ(w.server.sent_dgrams > sent, fit); /* challenges */
        CHECK_EQ(w.server.paths, fit);
        CHECK(!w.server.closed);
        net_free(&w);
    }
}
/* Transport parameters that a client may not send, or not so. */
static uint64_t server_says(const uint8_t *p, size_t n) { return vt__quic_on_params(&w.server.c, p, n); }
static uint64_t server_says_of(const vt__qpkt_params *tp) {
    uint8_t p[512];
    uint8_t *end = vt__qpkt_params_put(p, p + sizeof p, tp, 0);
    return server_says(p, (size_t)(end - p));
}
TEST(b03_36_transport_parameters) {
    established();
    vt__qpkt_params good, tp;
    vt__qpkt_params_init(&good);
    good.initial_scid = w.server.c.peer_scid;
    good.have = VT__QPKT_HAS(INITIAL_SCID);
    CHECK_EQ(vt__quic_begin_tls(&w.server.c, NULL, 0), 0); /* something that ours can be given to */
    CHECK_EQ(server_says_of(&good), 0);
    static const uint64_t roles[] = {VT__QPKT_HAS(ORIGINAL_DCID), VT__QPKT_HAS(PREFERRED),
                                     VT__QPKT_HAS(RETRY_SCID), VT__QPKT_HAS(RESET_TOKEN)};
    for (size_t i = 0; i < VT__COUNT(roles); i++) {
        tp = good;
        tp.preferred.cid.len = 4;
        tp.have |= roles[i];
        CHECK_EQ(server_says_of(&tp), CODE(TRANSPORT_PARAMETER_ERROR));
    }
    tp = good, tp.have = 0;
    CHECK_EQ(server_says_of(&tp), CODE(TRANSPORT_PARAMETER_ERROR)); /* without its connection ID */
    tp = good, tp.initial_scid.b[0] ^= 1;
    CHECK_EQ(server_says_of(&tp), CODE(TRANSPORT_PARAMETER_ERROR)); /* with another one */
    tp = good, tp.max_udp = 1199;
    CHECK_EQ(server_says_of(&tp), CODE(TRANSPORT_PARAMETER_ERROR));
    tp = good, tp.ack_exponent = 21;
    CHECK_EQ(server_says_of(&tp), CODE(TRANSPORT_PARAMETER_ERROR));
    tp = good, tp.max_ack_delay_ms = 1 << 14;
    CHECK_EQ(server_says_of(&tp), CODE(TRANSPORT_PARAMETER_ERROR));
    net_free(&w);
}
/* What a server says of the connection IDs has to be what the client saw. */
TEST(b03_36_connection_ids_told) {
    established();
    vt__qpkt_params tp;
    vt__qpkt_params_init(&tp);
    tp.initial_scid = w.client.c.peer_scid, tp.original_dcid = w.client.c.odcid;
    CHECK(vt__quic_cids_true(&w.client.c, &tp));
    tp.original_dcid.b[0] ^= 1;
    CHECK(!vt__quic_cids_true(&w.client.c, &tp));
    tp.original_dcid.b[0] ^= 1, tp.have = VT__QPKT_HAS(RETRY_SCID); /* there was none */
    CHECK(!vt__quic_cids_true(&w.client.c, &tp));
    w.client.c.retried = true;
    CHECK(vt__quic_cids_true(&w.client.c, &tp));
    tp.have = 0;
    CHECK(!vt__quic_cids_true(&w.client.c, &tp));
    net_free(&w);
}
TEST(b03_37_unknown_frames) {
    CLOSES(&w.client, CODE(FRAME_ENCODING_ERROR), 0x40, 0x42);
    CLOSES(&w.client, CODE(FRAME_ENCODING_ERROR), 0x21, 1, 2, 3);
    CLOSES(&w.server, CODE(FRAME_ENCODING_ERROR), 0x1f);
}
TEST(b03_38_datagrams) {
    CLOSES(&w.client, CODE(PROTOCOL_VIOLATION), 0x31, 1, 7); /* were not asked for */
    net_init(&w, &near_by, test_seed());
    w.server.cfg.max_datagram = 100;
    net_connect(&w);
    net_run(&w, VT_SEC);
    uint8_t bytes[101] = {1};
    CHECK_EQ(vt__quic_datagram(&w.server.c, bytes, 1), -EMSGSIZE);
    CHECK_EQ(vt__quic_datagram(&w.client.c, bytes, 98), -EMSGSIZE);
    CHECK_EQ(vt__quic_datagram(&w.client.c, bytes, 97), 0); /* and three bytes of head */
    net_flush(&w, &w.client);
    net_run(&w, VT_SEC);
    CHECK_EQ(w.server.datagrams, 1), CHECK_EQ(w.server.bytes, 97);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(vt__quic_datagram(&w.client.c, bytes, 10), 0);
        CHECK(w.client.c.ndgrams <= VT__QUIC_DGRAMS);
    }
    net_flush(&w, &w.client);
    net_run(&w, VT_SEC);
    CHECK_EQ(w.server.datagrams, 1 + VT__QUIC_DGRAMS);
    bytes[0] = 0x30; /* as long as the packet */
    forged(&w.client, VT__QPKT_APP, bytes, 100);
    CHECK_EQ(w.server.datagrams, 2 + VT__QUIC_DGRAMS);
    forged(&w.client, VT__QPKT_APP, bytes, 101);
    CHECK(w.server.closed);
    CHECK_EQ(w.server.c.end.code, CODE(PROTOCOL_VIOLATION));
    net_free(&w);
}
TEST(b03_39_ecn) {
    for (int bleach = 0; bleach < 2; bleach++) {
        struct qlink_cfg link = {.delay_ns = 10 * VT_MS, .bleach = bleach};
        connect_over(&link);
        CHECK(end_ask(&w.client, 0, 300000) != NULL);
        net_flush(&w, &w.client);
        net_run(&w, 2 * VT_SEC);
        CHECK_EQ(w.client.finished, 1);
        CHECK_EQ(vt__qrec_ecn(&w.server.c.rec), bleach ? 0 : 2);
        CHECK_EQ(w.client.c.rec.s[VT__QPKT_APP]->ecn[0] > 0, !bleach);
        net_free(&w);
    }
}
/* Those of a train are marked, or none is, as is counted: also the last one before the answer is awaited. */
TEST(b03_39_ecn_of_another_path) {
    established();
    vt__qroute_addr local = addr_of(OTHER_HOST), remote = addr_of(SERVER_ADDR);
    CHECK(end_ask(&w.client, 500000, 10) != NULL);
    net_flush(&w, &w.client);
    net_run(&w, 30 * VT_MS);
    CHECK_EQ(vt__quic_move(&w.client.c, &local, &remote, w.now), 0);
    net_flush(&w, &w.client);
    net_run(&w, 5 * VT_SEC);
    CHECK_EQ(w.client.finished, 1);
    CHECK_EQ(vt__qrec_ecn(&w.client.c.rec), 2);
    net_free(&w);
}
TEST(b03_40_mtu) {
    struct qlink_cfg link = {.delay_ns = 10 * VT_MS, .mtu = 1300};
    connect_over(&link);
    CHECK(end_ask(&w.client, 0, 3000000) != NULL);
    net_flush(&w, &w.client);
    net_run(&w, 10 * VT_SEC);
    CHECK_EQ(w.client.finished, 1);
    CHECK(w.down.stats.big > 0);
    unsigned mtu = vt__qrec_mtu(&w.server.c.rec);
    CHECK(mtu > 1250 && mtu <= 1300);
    CHECK_EQ(w.server.c.rec.stats.events, 0); /* a probe that is lost is no congestion */
    net_free(&w);
}
TEST(b03_41_odd_packets) {
    established();
    forged(&w.client, VT__QPKT_APP, NULL, 0);
    CHECK(w.server.closed == false); /* too short for a packet at all */
    vt__qout o;
    CHECK(vt__qout_begin(&w.client.c, &o, VT__QPKT_APP, 0, datagram, datagram + sizeof datagram));
    memset(o.payload, 0, 4), o.end += 4; /* padding alone */
    deliver(&w.server, vt__qout_send_alone(&w.client.c, &o, 0));
    CHECK(!w.server.closed);
    net_free(&w);
    net_init(&w, &near_by, test_seed()); /* a packet without frames */
    net_connect(&w);
    NET_UNTIL(&w, w.server.up, VT_SEC);
    CHECK(vt__qout_begin(&w.client.c, &o, VT__QPKT_INITIAL, 0, datagram, datagram + sizeof datagram));
    o.payload = vt__qpkt_put_long(datagram, datagram + sizeof datagram, VT__QPKT_T_INITIAL,
                                  w.client.c.keys.version, &w.client.c.cids.theirs[0].cid,
                                  &w.client.c.cids.ours[0].cid, (vt_str){NULL, 0}, o.pn, 4);
    o.pn_size = 4, o.end = o.payload;
    size_t n = vt__qout_send_alone(&w.client.c, &o, 0);
    memset(datagram + n, 0, 1200 - n);
    deliver(&w.server, 1200);
    CHECK(w.server.closed);
    CHECK_EQ(w.server.c.end.code, CODE(PROTOCOL_VIOLATION));
    net_free(&w);
}
/* Many packets in one datagram, and one for somebody else among them. */
TEST(b03_41_42_coalesced) {
    static const uint8_t ping[] = {VT__QPKT_F_PING, 0, 0, 0};
    uint8_t all[2048];
    for (int alien = 0; alien < 2; alien++) {
        net_init(&w, &near_by, test_seed());
        net_connect(&w);
        NET_UNTIL(&w, w.server.up, VT_SEC);
        size_t n = 0;
        for (int i = 0; i < 12; i++) {
            vt__qpkt_cid *to = &w.client.c.cids.theirs[0].cid, was = *to;
            if (alien && i == 1) *to = w.server.c.cids.ours[0].cid; /* is the server's, too */
            size_t k = forge(&w.client, VT__QPKT_INITIAL, ping, sizeof ping, 0);
            *to = was;
            memcpy(all + n, datagram, k);
            n += k;
        }
        uint64_t next = w.client.c.rec.s[VT__QPKT_INITIAL]->next;
        memcpy(datagram, all, n);
        memset(datagram + n, 0, 1200 - n);
        deliver(&w.server, 1200);
        CHECK_EQ(vt__qrec_expect(&w.server.c.rec, VT__QPKT_INITIAL), next);
        CHECK_EQ(w.server.c.rec.s[VT__QPKT_INITIAL]->ranges, 1 + alien);
        CHECK(!w.server.closed);
        net_free(&w);
    }
}
TEST(b03_43_close_storm) {
    static const uint8_t ping[] = {VT__QPKT_F_PING};
    established();
    vt__quic_close(&w.server.c, true, 42, vt__str_of("that is all"), w.now);
    uint64_t sent = w.server.sent_dgrams;
    net_flush(&w, &w.server);
    CHECK(w.server.closed);
    for (int i = 0; i < 1000; i++) deliver(&w.server, forge(&w.client, VT__QPKT_APP, ping, 1, 0));
    CHECK(w.server.sent_dgrams - sent >= 3 && w.server.sent_dgrams - sent <= 12);
    net_run(&w, 50 * VT_MS);
    CHECK(w.client.closed && w.client.c.end.cause == VT__QUIC_BY_PEER);
    CHECK(w.client.c.end.app && w.client.c.end.code == 42);
    CHECK_MEM(w.client.c.end.why, w.client.c.end.why_len, "that is all", 11);
    sent = w.client.sent_dgrams;
    net_run(&w, 5 * VT_SEC); /* draining: silent */
    CHECK_EQ(w.client.sent_dgrams, sent);
    CHECK(vt__quic_dead(&w.client.c) && vt__quic_dead(&w.server.c));
    CHECK_EQ(vt__quic_due(&w.client.c), INT64_MAX);
    net_free(&w);
}
/* The application's reasons are not told to whom may be anybody. */
TEST(close_in_the_handshake) {
    net_init(&w, &near_by, test_seed());
    net_connect(&w);
    NET_UNTIL(&w, w.server.up, VT_SEC);
    vt__quic_close(&w.server.c, true, 42, vt__str_of("secret"), w.now);
    struct qlink_dgram d = {0};
    while (qlink_recv(&w.down, w.now + VT_SEC, &d)) {}
    net_flush(&w, &w.server);
    net_run(&w, VT_SEC);
    CHECK(w.client.closed && w.client.c.end.cause == VT__QUIC_BY_PEER);
    CHECK_EQ(w.client.c.end.code, CODE(APPLICATION_ERROR));
    CHECK_EQ(w.client.c.end.why_len, 0);
    net_free(&w);
}
/* Frames that the handshake's packets may not have. */
TEST(frames_of_the_handshake) {
    static const uint8_t frames[][9] = {
        {VT__QPKT_F_PATH_CHALLENGE}, {VT__QPKT_F_HANDSHAKE_DONE}, {0x0a, 0, 1, 1}, {VT__QPKT_F_CLOSE_APP}};
    for (size_t i = 0; i < VT__COUNT(frames); i++) {
        net_init(&w, &near_by, test_seed());
        net_connect(&w);
        NET_UNTIL(&w, w.server.up, VT_SEC);
        deliver(&w.server, forge(&w.client, VT__QPKT_INITIAL, frames[i], 9, 1200));
        CHECK(w.server.closed);
        CHECK_EQ(w.server.c.end.code, CODE(PROTOCOL_VIOLATION));
        CHECK_EQ(w.server.c.end.frame, frames[i][0]);
        net_free(&w);
    }
}
/* ---- streams ---- */
TEST(streams) {
    established();
    for (int i = 0; i < 50; i++)
        CHECK(end_ask(&w.client, (uint64_t)i * 700, (uint64_t)(49 - i) * 3000) != NULL);
    net_flush(&w, &w.client);
    net_run(&w, 20 * VT_SEC);
    CHECK_EQ(w.client.finished, 50), CHECK_EQ(w.client.wrong + w.server.wrong, 0);
    CHECK_EQ(w.server.finished, 50);
    CHECK_EQ(w.server.c.streams.count, 0), CHECK_EQ(w.client.c.streams.count, 0);
    CHECK(w.server.c.rec.in_flight == 0);
    net_free(&w);
}
/* More streams than may be open at once, one after another. */
TEST(streams_in_turn) {
    net_init(&w, &near_by, test_seed());
    w.server.cfg.streams.streams[0] = 4;
    net_connect(&w);
    NET_UNTIL(&w, w.client.ready, VT_SEC);
    unsigned asked = 0;
    for (int64_t until = w.now + 60 * VT_SEC; w.client.finished < 60 && net_step(&w, until);)
        while (asked < 60 && end_ask(&w.client, 10, 5000)) asked++;
    CHECK_EQ(asked, 60);
    CHECK_EQ(w.client.finished, 60), CHECK_EQ(w.client.wrong, 0);
    net_free(&w);
}
/* Trains: datagrams of one size, but for the last; the window is never overrun. */
/* ---- 0-RTT ---- */
static void early_tickets(void) { net_get_tickets(&w, test_seed()); }
/* A connection is about to begin with `asks` requests in 0-RTT, of `up` bytes for `down`. */
static void early_init(const struct qlink_cfg *link, unsigned asks, uint64_t up, uint64_t down) {
    net_init_early(&w, link, test_seed());
    w.client.asks = asks, w.client.asks_up = up, w.client.asks_down = down;
}
static void early_is(int zero) {
    CHECK_EQ(w.client.early, VT__QTLS_NATIVE), CHECK_EQ(w.client.zero, VT__QTLS_NATIVE ? zero : 0);
    CHECK_EQ(w.server.early, w.client.zero == VT__QTLS_ACCEPTED);
    CHECK_EQ(w.server.zero, w.client.zero);
    CHECK(w.client.resumed && w.server.resumed);
}
/* What has been asked for in 0-RTT comes, however it went. */
static void early_answers(void) {
    NET_UNTIL(&w, w.client.closed || (w.client.confirmed && w.client.finished == w.client.opened),
              20 * VT_SEC);
    CHECK(w.client.confirmed && !w.client.closed && !w.server.closed);
    if (VT__QTLS_NATIVE) CHECK_EQ(w.client.opened, w.client.asks);
    CHECK_EQ(w.client.finished, w.client.opened), CHECK_EQ(w.server.opened, w.client.opened);
    CHECK_EQ(w.client.wrong, 0), CHECK_EQ(w.server.wrong, 0);
}
TEST(early_accepted) {
    early_tickets();
    early_init(&near_by, 3, 3000, 2000);
    int64_t begun = w.now, answered = 0;
    net_connect_early(&w);
    NET_UNTIL(&w, w.server.early || w.server.ready, VT_SEC);
    CHECK_EQ(w.server.early, VT__QTLS_NATIVE);
    if (w.server.early) CHECK(!w.server.ready && w.now - begun == near_by.delay_ns); /* with the hello */
    while (!answered && net_step(&w, begun + VT_SEC))
        if (w.client.finished == 3) answered = w.now - begun;
    if (VT__QTLS_NATIVE)
        CHECK_EQ(answered, 2 * near_by.delay_ns); /* and the answers with the server's flight */
    early_answers();
    early_is(VT__QTLS_ACCEPTED);
    CHECK(!vt__qsec_has(&w.client.c.keys.early.tx));
    CHECK_EQ(w.server.c.hurried, 0); /* 0-RTT is no probe */
    net_run(&w, VT_SEC);
    CHECK(!vt__qsec_has(&w.server.c.keys.early.rx) && !w.server.c.keys.early_until);
    CHECK(w.client.c.streams.count == 0 && w.server.c.streams.count == 0);
    net_free(&w);
}
/* Retry: it goes again at once, with the token. */
TEST(early_behind_retry) {
    early_tickets();
    early_init(&near_by, 2, 1000, 1000);
    w.retry = true;
    int64_t begun = w.now;
    net_connect_early(&w);
    NET_UNTIL(&w, w.client.finished == 2, VT_SEC);
    if (VT__QTLS_NATIVE) CHECK_EQ(w.now - begun, 4 * near_by.delay_ns);
    early_answers();
    early_is(VT__QTLS_ACCEPTED);
    CHECK(w.retries > 0);
    net_free(&w);
}
TEST(early_as_nobody_asked_for_it) { /* one end alone, or a first connection */
    tls_begin();
    vt__ossl_ctx *fresh = tls_client_of(&tls_of.pem);
    for (int i = 0; i < 3; i++) {
        early_tickets();
        early_init(&near_by, 1, 10, 10);
        if (i == 0) w.server.cfg.strikes = NULL;
        if (i == 1) w.client.cfg.early = false;
        if (i == 2) w.client.cfg.tls = fresh;
        net_connect_early(&w);
        net_run(&w, VT_SEC);
        CHECK(w.client.confirmed && !w.client.closed);
        CHECK_EQ(w.client.early, i == 0 && VT__QTLS_NATIVE), CHECK_EQ(w.server.early, 0);
        CHECK_EQ(w.client.finished, w.client.early);
        CHECK_EQ(w.client.zero, i == 0 && VT__QTLS_NATIVE ? VT__QTLS_REFUSED : VT__QTLS_NO_EARLY);
        net_free(&w);
    }
    vt__ossl_unref(fresh);
}
/* Of another process, with other limits or settings, another version: it goes again, within what is allowed now. */
TEST(early_rejected) {
    for (int i = 0; i < 7; i++) {
        early_tickets();
        early_init(&near_by, i == 5 ? 60 : 5, 3000, 5000);
        if (i == 0) tls_of.strikes.mark = 2;
        if (i == 1) w.server.cfg.settings = 7;
        if (i == 2) w.server.cfg.streams.streams[0] = 2; /* fewer than have been asked for */
        if (i == 3) w.server.cfg.streams.window = 1000;
        if (i == 4) w.server.cfg.max_datagram = 100;
        if (i == 5) w.server.cfg.no_migration = true;
        if (i == 6) w.retry = true, tls_of.strikes.mark = 2;
        net_connect_early(&w);
        early_answers();
        early_is(VT__QTLS_REFUSED);
        net_free(&w);
    }
}
TEST(early_of_a_ticket_that_was_used) {
    early_tickets();
    for (int i = 0; i < 2; i++) { /* as many as there were, and none of those that come */
        vt__ossl_sessions *all = tls_of.client->sessions;
        SSL_SESSION *s = all->n ? all->at[all->n - 1].s : NULL;
        REQUIRE(s != NULL);
        SSL_SESSION *copy = SSL_SESSION_dup(s);
        early_init(&near_by, 1, 10, 10);
        net_connect_early(&w);
        early_answers();
        early_is(i ? VT__QTLS_REFUSED : VT__QTLS_ACCEPTED);
        net_free(&w);
        for (int k = 0; k < all->n; k++) {
            SSL_SESSION_free(all->at[k].s);
            all->at[k].s = SSL_SESSION_dup(copy);
        }
        SSL_SESSION_free(copy);
    }
}
/* The numbers of tickets: each once, the latest alone. */
TEST(early_tickets_have_numbers) {
    vt__qtls_strikes *k = calloc(1, sizeof *k);
    REQUIRE(k != NULL);
    CHECK(!vt__qtls_strike(k, 0));
    for (uint64_t i = 0; i < 20; i++) CHECK_EQ(vt__qtls_strike_new(k), i);
    for (uint64_t i = 0; i < 20; i++) CHECK(vt__qtls_strike(k, i) && !vt__qtls_strike(k, i));
    CHECK(!vt__qtls_strike(k, 20));
    while (k->next < VT__QTLS_STRIKES + 10) (void)vt__qtls_strike_new(k);
    CHECK(!vt__qtls_strike(k, 9) && !vt__qtls_strike(k, 10)); /* too old, and used */
    CHECK(!vt__qtls_strike(k, 19) && vt__qtls_strike(k, 20));
    CHECK(vt__qtls_strike(k, VT__QTLS_STRIKES) && !vt__qtls_strike(k, VT__QTLS_STRIKES)); /* where 0 was */
    CHECK(vt__qtls_strike(k, VT__QTLS_STRIKES + 9) && !vt__qtls_strike(k, VT__QTLS_STRIKES + 10));
    free(k);
}

/* Every datagram of the client. */
static struct {
    uint8_t b[1500];
    size_t n;
} record[64];
static size_t nrecord;
static void record_it(struct qlink *l, struct qlink_dgram *d) {
    (void)l;
    if (nrecord == VT__COUNT(record) || d->n > sizeof record[0].b) return;
    memcpy(record[nrecord].b, d->data, d->n);
    record[nrecord++].n = d->n;
}
static void record_and_drop(struct qlink *l, struct qlink_dgram *d) {
    record_it(l, d);
    d->n = 0;
}
static void record_deliver(size_t i) {
    memcpy(datagram, record[i].b, record[i].n);
    deliver_from(&w.server, record[i].n, CLIENT_ADDR);
}
/* Whoever has seen a connection sends it all again: nothing of it comes to the application a second time. */
TEST(early_replayed) {
    early_tickets();
    nrecord = 0;
    early_init(&near_by, 1, 500, 500);
    w.up.hook = record_it;
    net_connect_early(&w);
    early_answers();
    early_is(VT__QTLS_ACCEPTED);
    CHECK(nrecord > 2);
    net_run(&w, VT_SEC);
    w.up.hook = NULL;
    end_free(&w.server), end_free(&w.client);
    vt__qstr_mem_init(&w.server.mem);
    w.server.early = 0, w.server.opened = 0, w.server.ready = false;
    for (size_t i = 0; i < nrecord; i++) record_deliver(i);
    CHECK(w.server.up && w.server.c.got_one && vt__qsec_has(&w.server.c.keys.at[VT__QPKT_HANDSHAKE]->tx));
    CHECK(!w.server.early && !w.server.opened && !w.server.ready);
    CHECK(!vt__qsec_has(&w.server.c.keys.early.rx));
    net_free(&w);
}
/* 0-RTT overtakes the rest of the hello: it is kept, as far as there is room, until there are keys; not where there never are. */
TEST(early_overtakes_the_hello) {
    for (int i = 0; i < 2 && VT__QTLS_NATIVE; i++) {
        early_tickets();
        nrecord = 0;
        early_init(&near_by, 1, 7000, 0);
        if (i) w.server.cfg.strikes = NULL;
        w.up.hook = record_and_drop;
        net_connect_early(&w);
        w.up.hook = NULL;
        REQUIRE(nrecord >= 7); /* the hello is one and a half datagrams long, for it has a share of ML-KEM */
        record_deliver(0);
        for (size_t k = 2; k < nrecord; k++) record_deliver(k);
        CHECK_EQ(w.server.c.nearly, i ? 0 : VT__QUIC_EARLY_MAX);
        CHECK(!w.server.early && !w.server.opened);
        record_deliver(1);
        CHECK_EQ(w.server.c.nearly, 0);
        CHECK_EQ(w.server.early, !i), CHECK_EQ(w.server.opened, !i);
        early_answers();
        early_is(i ? VT__QTLS_REFUSED : VT__QTLS_ACCEPTED);
        net_free(&w);
    }
}
/* RFC 9000 12.5: what 0-RTT cannot hold. */
TEST(early_frames_that_are_none) {
    static const uint8_t bad[][10] = {
        {2, 0, 0, 0, 0}, {6, 0, 1, 0}, {7, 1, 1}, {0x1e}, {0x1b, 1, 2, 3, 4, 5, 6, 7, 8}, {0x19, 0}};
    for (size_t i = 0; i < VT__COUNT(bad) && VT__QTLS_NATIVE; i++) {
        early_tickets();
        early_init(&near_by, 1, 10, 10);
        net_connect_early(&w);
        CHECK(w.client.early);
        size_t n = forge(&w.client, VT__QPKT_APP, bad[i], sizeof bad[i], 0);
        CHECK(n > 0 && (datagram[0] & 0xb0) == 0x90);
        NET_UNTIL(&w, w.server.early, VT_SEC);
        deliver(&w.server, n);
        CHECK(w.server.closed);
        CHECK_EQ(w.server.c.end.code, CODE(PROTOCOL_VIOLATION));
        net_free(&w);
    }
}
/* A server that accepts 0-RTT and has less to allow than before (RFC 9000 7.4.1): the client remembers more. */
TEST(early_limits_that_shrink) {
    for (int i = 0; i < 9 && VT__QTLS_NATIVE; i++) {
        early_tickets();
        vt__ossl_sessions *all = tls_of.client->sessions;
        for (int k = 0; k < all->n; k++) {
            vt__qpkt_params was;
            uint8_t text[VT__QUIC_PARAMS_MAX];
            void *data;
            size_t n;
            REQUIRE(SSL_SESSION_get0_ticket_appdata(all->at[k].s, &data, &n) == 1);
            REQUIRE(vt__qpkt_params_get(&was, data, n, true) >= 0);
            uint64_t *all_of[] = {&was.max_data,    &was.max_bidi_local, &was.max_bidi_remote,
                                  &was.max_uni,     &was.streams_bidi,   &was.streams_uni,
                                  &was.active_cids, &was.max_datagram};
            if (i < 8) *all_of[i] += 1;
            uint8_t *end = vt__qpkt_params_put(text, text + sizeof text, &was, 0);
            REQUIRE(end && SSL_SESSION_set1_ticket_appdata(all->at[k].s, text, (size_t)(end - text)) == 1);
        }
        early_init(&near_by, 1, 10, 10);
        net_connect_early(&w);
        net_run(&w, VT_SEC);
        CHECK_EQ(w.client.closed, i < 8);
        if (i < 8) CHECK_EQ(w.client.c.end.code, CODE(PROTOCOL_VIOLATION));
        net_free(&w);
    }
}
/* Tickets are of a version (RFC 9369 5): a client has none for the other one, a server accepts none of it, nor goes over. */
TEST(early_versions) {
    for (int i = 0; i < 2; i++) {
        early_tickets();
        early_init(&near_by, 1, 10, 10);
        vt__quic_start s;
        memset(&s, 0, sizeof s);
        s.port = 443, s.version = i ? VT__QPKT_V2 : VT__QPKT_V1;
        net_connect_with(&w, &s);
        net_run(&w, VT_SEC);
        CHECK(w.client.confirmed && !w.client.closed);
        CHECK_EQ(w.server.c.keys.version, s.version);
        CHECK_EQ(w.client.early, !i && VT__QTLS_NATIVE), CHECK_EQ(w.server.early, w.client.early);
        net_free(&w);
    }
}
TEST(trains) {
    established();
    static uint8_t buf[65536];
    vt__quic_train t;
    w.server.c.rec.cc.c.window = 200000;
    CHECK(end_ask(&w.client, 0, 1000000) != NULL);
    net_flush(&w, &w.client);
    struct qlink_dgram d = {0};
    while (qlink_recv(&w.up, w.now + VT_SEC, &d)) {
        vt__qroute_addr local = addr_of(d.to), remote = addr_of(d.from);
        vt__quic_dgram g = {d.data, d.n, &local, &remote, 0};
        vt__quic_recv(&w.server.c, &g, w.now);
        end_events(&w.server);
    }
    size_t n = vt__qout_send(&w.server.c, buf, sizeof buf, &t, w.now);
    CHECK(t.n > 5 && t.n <= 64);
    CHECK_EQ(t.segment, vt__qrec_mtu(&w.server.c.rec));
    CHECK(n <= t.n * t.segment && n > (t.n - 1) * t.segment);
    CHECK_EQ(number_of(&t.remote), CLIENT_ADDR);
    net_free(&w);
}
/* Each allocation fails in its turn: the connection goes on without, or ends in order, and nothing stays behind. */
static void memory_runs_out(bool retry, bool early) {
    struct qlink_cfg link = {.delay_ns = 10 * VT_MS, .reorder = 200000};
    unsigned ended = 0, went_on = 0;
    long n = 1;
    for (bool failed = true; failed && n < 2000; n++) {
        if (early) early_tickets();
        net_init_early(&w, &link, 7);
        w.retry = retry, w.client.asks = early, w.client.asks_up = 5000, w.client.asks_down = 30000;
        alloc_left = n;
        if (early) net_connect_early(&w);
        else net_connect(&w);
        NET_UNTIL(&w, w.client.ready || w.client.closed, 20 * VT_SEC);
        if (w.client.ready && !w.client.opened && end_ask(&w.client, 5000, 30000)) net_flush(&w, &w.client);
        NET_UNTIL(&w, w.client.finished || w.client.closed || w.server.closed, 40 * VT_SEC);
        failed = alloc_left == 0;
        alloc_left = 0;
        for (int i = 0; i < 2; i++) {
            struct end *e = i ? &w.server : &w.client;
            if (!e->up || !e->closed) continue;
            bool ours = e->c.end.cause == VT__QUIC_BY_US, theirs = e->c.end.cause == VT__QUIC_BY_PEER;
            if (ours || theirs) CHECK_EQ(e->c.end.code, CODE(INTERNAL_ERROR));
            if (ours) ended++;
        }
        went_on += w.client.finished == 1;
        CHECK(w.client.finished || !w.client.up || w.client.closed || w.server.closed || !w.server.up);
        net_free(&w);
    }
    printf("%ld allocations: %u times ended in order, %u times went on\n", n, ended, went_on);
    CHECK(ended > 20 && went_on > 0 && n < 2000);
}
TEST(memory_runs_out) {
    memory_runs_out(false, false);
    memory_runs_out(true, false);
    memory_runs_out(false, true);
}
