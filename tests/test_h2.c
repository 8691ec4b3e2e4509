/* The HTTP/2 connection machine: scripted peers, each script at every split point; the attacks of the list by number (aNN);
 * what a conformance suite asks, by section of the RFC; flow control, schedules, budgets; two machines against each other, and
 * peers that misbehave at random. */
/* valgrind */
#define VTHTTP_H2 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "h2peer.h"
#include "test.h"

/* ---- frames of a scripted peer ---- */
static const char *bytes_text(struct bytes *b) {
    bytes_add(b, "", 1);
    b->n--;
    return (char *)b->p;
}
static void put_word(struct bytes *b, unsigned type, uint32_t id, uint32_t word) {
    uint8_t p[4];
    (void)vt__str_put32(p, word);
    put_frame(b, type, 0, id, p, 4);
}
static void put_zeros(struct bytes *b, unsigned flags, uint32_t id, size_t n) {
    uint8_t *p = calloc(1, n + 1);
    put_frame(b, VT__H2_T_DATA, flags, id, p, n);
    free(p);
}
static void put_setting(struct bytes *b, unsigned id, uint32_t value) {
    uint8_t p[6] = {(uint8_t)(id >> 8), (uint8_t)id};
    (void)vt__str_put32(p + 2, value);
    put_frame(b, VT__H2_T_SETTINGS, 0, 0, p, 6);
}
static void put_string(struct bytes *b, const char *s, size_t n) {
    uint8_t len[4] = {(uint8_t)n};
    if (n >= 127) len[0] = 127, len[1] = (uint8_t)((n - 127) | 128), len[2] = (uint8_t)((n - 127) >> 7);
    bytes_add(b, len, n >= 127 ? 3 : 1); /* as far as 16,510 */
    bytes_add(b, s, n);
}
/* A literal that is not indexed. */
static void put_field(struct bytes *b, const char *name, const char *value) {
    bytes_add(b, "", 1);
    put_string(b, name, strlen(name));
    put_string(b, value, strlen(value));
}
static void put_fields(struct bytes *b, va_list ap) {
    for (const char *name; (name = va_arg(ap, const char *)) != NULL;)
        put_field(b, name, va_arg(ap, const char *));
}
/* HEADERS of names and values, ended by NULL. */
static void put_head(struct bytes *b, uint32_t id, unsigned flags, ...) {
    struct bytes block = {NULL, 0, 0};
    va_list ap;
    va_start(ap, flags);
    put_fields(&block, ap);
    va_end(ap);
    put_frame(b, VT__H2_T_HEADERS, flags, id, block.p, block.n);
    bytes_free(&block);
}
enum { END = VT__H2_END_STREAM, WHOLE = VT__H2_END_HEADERS, BOTH = END | WHOLE };
#define GET_FIELDS ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a"
#define POST_FIELDS ":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a"
static void put_get(struct bytes *b, uint32_t id) { put_head(b, id, BOTH, GET_FIELDS, NULL); }
static void put_post(struct bytes *b, uint32_t id) { put_head(b, id, WHOLE, POST_FIELDS, NULL); }
static struct handler *peer_find(struct peer *q, uint32_t id) {
    vt__h2_stream *s = vt__h2_find(&q->h, id);
    return s ? handler_of(s) : NULL;
}

/* ---- scripts ---- */
static struct bytes in;   /* what the peer sends, from begin() on */
static struct peer q;     /* what it sends it to */
static vt__h2_cfg config; /* of the machine; zero again after each script */
static enum policy policy;
static bool client; /* the machine is one, with stream 1 open and its head sent */
static void begin(void) {
    in.n = 0;
    put_preface(&in);
}
static void begin_client(void) {
    client = true;
    in.n = 0;
    put_frame(&in, VT__H2_T_SETTINGS, 0, 0, NULL, 0);
}
static void fresh(void) {
    peer_free(&q);
    q.cfg = config;
    q.policy = policy;
    peer_start(&q, !client);
    if (!client) return;
    struct handler *r = peer_handler(&q);
    if (peer_open(&q, r) < 0) abort();
    peer_flush(&q);
}
/* The script in pieces of `step` bytes after a first one of `first`. */
static void play(size_t first, size_t step) {
    fresh();
    for (size_t at = 0, n; at < in.n && q.rc >= 0; at += n) {
        n = at ? step : first;
        if (n > in.n - at) n = in.n - at;
        peer_take(&q, in.p + at, n);
    }
    peer_flush(&q);
}
/* What happens, the same at every split point: events and frames are left in q. */
static void settle(void) {
    struct bytes log = {NULL, 0, 0}, out = {NULL, 0, 0};
    play(in.n, 1);
    int err = q.h.err;
    bytes_add(&log, q.log.p, q.log.n), bytes_add(&out, q.out.p, q.out.n);
    size_t splits = in.n < 700 ? in.n : 0;
    for (size_t i = 0; i <= splits; i++) {
        if (i < splits) play(i + 1, in.n);
        else play(1, 1);
        bool same = q.h.err == err && bytes_same(&log, &q.log) && bytes_same(&out, &q.out);
        if (same) continue;
        printf("split at %zu of %zu (%d, %d):\n%s\n%s\n", i + 1, in.n, err, q.h.err, bytes_text(&log),
               bytes_text(&q.log));
        test_fail(__FILE__, __LINE__, "every split gives the same");
        break;
    }
    bytes_free(&log), bytes_free(&out);
    memset(&config, 0, sizeof config);
    policy = ANSWER, client = false;
}
static struct bytes said;
static const char *frames(void) { /* since the beginning, or the last call */
    said.n = 0;
    frames_say(&said, q.out.p, q.out.n);
    q.out.n = 0;
    return bytes_text(&said);
}
static const char *events(void) { return bytes_text(&q.log); }
static bool has(const char *text, const char *what) {
    if (strstr(text, what)) return true;
    printf("  no \"%s\" in \"%.600s\"\n", what, text);
    return false;
}
static const char *err_text(int err) { return err ? vt__h2_err_of(err)->text : "no error"; }
#define DIES(error) dies(error, __LINE__)
#define RESETS(id, code) resets(id, code, __LINE__)
#define FINE() fine(__LINE__)
static void dies(int err, int line) {
    char want[64];
    settle();
    snprintf(want, sizeof want, " %s;", code_name(vt__h2_err_of(err)->code));
    const char *f = frames();
    bool ok = q.h.err == err && strstr(f, "GOAWAY") && has(strstr(f, "GOAWAY"), want);
    ok = ok && vt__h2_finished(&q.h) && vt__h2_recv(&q.h, &(const uint8_t *){NULL}, NULL, 0, NULL) == err;
    if (ok) return;
    printf("  %s, not %s\n", err_text(q.h.err), err_text(err));
    test_fail(__FILE__, line, "the connection dies of it");
}
static void resets(uint32_t id, const char *code, int line) {
    char want[64];
    settle();
    snprintf(want, sizeof want, "RST %u %s;", id, code);
    if (q.h.err || !has(frames(), want)) test_fail(__FILE__, line, want);
}
static void fine(int line) {
    settle();
    const char *f = frames();
    if (q.h.err) printf("  %s\n", err_text(q.h.err));
    if (q.h.err || strstr(f, "RST") || strstr(f, "GOAWAY")) test_fail(__FILE__, line, f);
}

/* ---- messages ---- */
TEST(get_is_answered) {
    begin(), put_get(&in, 1);
    FINE();
    CHECK_STR(events(), "settings;open 1;:method=GET;:scheme=http;:path=/;:authority=a;head 1 end;");
    play(in.n, 1);
    CHECK_STR(frames(), "SETTINGS;WU 0 65535;SETTINGS ack;HEADERS 1 0 end;");
    CHECK_EQ(q.h.active, 0);
    CHECK_EQ(q.answered, 1);
}
TEST(post_with_a_body_padding_and_trailers) {
    uint8_t padded[] = {3, 'a', 'b', 'c', 'd', 0, 0, 0};
    begin(), put_post(&in, 1);
    put_zeros(&in, 0, 1, 5);
    put_frame(&in, VT__H2_T_DATA, VT__H2_PADDED, 1, padded, sizeof padded);
    put_head(&in, 1, BOTH, "x-sum", "1", NULL);
    FINE();
    CHECK(has(events(), "head 1;data 1 9;x-sum=1;trailers 1;"));
    CHECK_MEM(q.data.p + 5, 4, "abcd", 4);
    CHECK_EQ(q.h.held, 0);
}
TEST(padded_head_with_an_old_priority) {
    struct bytes b = {NULL, 0, 0};
    const uint8_t prefix[] = {2, 0, 0, 0, 0, 16};
    bytes_add(&b, prefix, sizeof prefix);
    put_field(&b, ":method", "GET"), put_field(&b, ":scheme", "http"), put_field(&b, ":path", "/");
    put_field(&b, ":authority", "a");
    bytes_add(&b, "\0\0", 2);
    begin();
    put_frame(&in, VT__H2_T_HEADERS, BOTH | VT__H2_PADDED | VT__H2_DEPENDS, 1, b.p, b.n);
    FINE();
    CHECK_EQ(q.answered, 1);
    bytes_free(&b);
}
/* A GET's block, in HEADERS and so many CONTINUATIONs; `cut`: without the end of the last. */
static void put_cut_head(struct bytes *b, uint32_t id, size_t pieces, bool cut) {
    struct bytes block = {NULL, 0, 0};
    put_field(&block, ":method", "GET"), put_field(&block, ":scheme", "http"),
        put_field(&block, ":path", "/");
    put_field(&block, ":authority", "a");
    size_t each = block.n / pieces;
    for (size_t i = 0; i < pieces; i++) {
        bool last = i == pieces - 1;
        put_frame(b, i ? VT__H2_T_CONTINUATION : VT__H2_T_HEADERS,
                  (i ? 0 : END) | (last && !cut ? VT__H2_END_HEADERS : 0U), id, block.p + i * each,
                  last ? block.n - i * each : each);
    }
    bytes_free(&block);
}
TEST(head_in_continuations) {
    begin(), put_cut_head(&in, 1, 5, false);
    FINE();
    CHECK_EQ(q.answered, 1);
    CHECK(!vt__h2_in_head(&q.h));
    begin(), put_cut_head(&in, 1, 5, true);
    settle();
    CHECK(vt__h2_in_head(&q.h));
}
TEST(cookie_crumbs_come_one_by_one) {
    begin(), put_head(&in, 1, BOTH, GET_FIELDS, "cookie", "a=1", "cookie", "b=2", NULL);
    FINE();
    CHECK(has(events(), "cookie=a=1;cookie=b=2;head 1 end;"));
}
TEST(host_that_says_the_same_is_not_reported) {
    begin(), put_head(&in, 1, BOTH, ":method", "GET", ":scheme", "http", ":path", "/", ":authority",
                      "Example.org", "host", "example.org", NULL);
    FINE();
    CHECK(!strstr(events(), "host="));
    begin(), put_head(&in, 1, BOTH, ":method", "GET", ":scheme", "http", ":path", "/", "host", "h", NULL);
    FINE();
    CHECK(has(events(), "host=h;head 1 end;"));
}
TEST(connect_and_extended_connect) {
    begin(), put_head(&in, 1, WHOLE, ":method", "CONNECT", ":authority", "a:443", NULL);
    FINE();
    CHECK(has(events(), "head 1;"));
    config.connect_protocol = true;
    begin();
    put_head(&in, 1, WHOLE, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path",
             "/chat", ":authority", "a", NULL);
    FINE();
    CHECK(has(events(), ":protocol=websocket;"));
    CHECK(has(events(), "head 1;"));
}
TEST(options_of_everything) {
    begin(), put_head(&in, 1, BOTH, ":method", "OPTIONS", ":scheme", "http", ":path", "*", ":authority", "a",
                      NULL);
    FINE();
    CHECK_EQ(q.answered, 1);
    begin(),
        put_head(&in, 1, BOTH, ":method", "GET", ":scheme", "http", ":path", "*", ":authority", "a", NULL);
    RESETS(1, "PROTOCOL_ERROR");
}

/* ---- the attacks ---- */
/* HEADERS and RST_STREAM, n times, so many at one time. */
static void rapid(size_t n, size_t burst, int64_t pause) {
    fresh();
    begin();
    for (uint32_t i = 0; i < n && q.rc >= 0; i++) {
        put_get(&in, i * 2 + 1);
        put_word(&in, VT__H2_T_RST_STREAM, i * 2 + 1, VT__H2_CANCEL);
        if ((i + 1) % burst) continue;
        q.now += pause;
        peer_take(&q, in.p, in.n), peer_flush(&q);
        in.n = q.log.n = q.out.n = 0;
    }
}
TEST(a01_rapid_reset) {
    rapid(100000, 100, VT_MS);
    CHECK_EQ(q.h.err, VT__H2_E_FLOOD);
    CHECK_EQ(q.h.flood, VT_H2_RESETS);
    CHECK(q.opened < 1300);
    CHECK_EQ(q.counts[VT_H2_RESETS], q.opened - q.answered); /* some are answered, where the machine pauses */
    CHECK_EQ(q.h.active, 1);                                 /* the one whose reset was too many */
}
TEST(a01_ten_thousand_fast_cancellations_in_a_minute) {
    rapid(10000, 1, 60 * VT_SEC / 10000);
    CHECK_EQ(q.h.err, 0);
    CHECK_EQ(q.opened, 10000);
    rapid(10000, 500, 3 * VT_SEC); /* twenty times five hundred at once */
    CHECK_EQ(q.h.err, 0);
    CHECK_EQ(q.opened, 10000);
}
TEST(a01_fast_cancellations_of_handlers_that_go_on) {
    policy = HOLD;
    rapid(10000, 1, 60 * VT_SEC / 10000);
    policy = ANSWER;
    CHECK_EQ(q.h.err, 0);
    CHECK_EQ(q.opened, 100);
    CHECK_EQ(q.counts[VT_H2_REFUSALS], 9900);
}
TEST(a02_a_reset_stream_counts_until_its_handler_ends) {
    config.max_streams = 10, policy = HOLD;
    fresh();
    begin();
    for (uint32_t i = 0; i < 10; i++)
        put_get(&in, i * 2 + 1), put_word(&in, VT__H2_T_RST_STREAM, i * 2 + 1, 8);
    put_get(&in, 21);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_EQ(q.h.active, 10);
    CHECK_EQ(q.opened, 10);
    CHECK(has(frames(), "RST 21 REFUSED_STREAM;"));
    peer_release(&q, peer_find(&q, 3));
    in.n = 0, put_get(&in, 23), put_get(&in, 25);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_EQ(q.opened, 11);
    CHECK_STR(frames(), "RST 25 REFUSED_STREAM;");
    memset(&config, 0, sizeof config), policy = ANSWER;
}
/* Answered ones, whose handlers have not left: they make room, but not without an end. */
TEST(a02_a_stream_at_its_end_may_be_followed) {
    config.max_streams = 2, policy = HOLD;
    fresh(), begin();
    for (uint32_t id = 1; id < 13; id += 2) {
        put_get(&in, id);
        peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
        struct handler *r = peer_find(&q, id);
        if (r) peer_write_head(&q, r);
    }
    CHECK_EQ(q.opened, 4);
    CHECK_EQ(q.h.active, 4);
    CHECK_EQ(q.counts[VT_H2_REFUSALS], 2);
    const char *f = frames();
    CHECK(has(f, "HEADERS 7 0 end;RST 9 REFUSED_STREAM;RST 11 REFUSED_STREAM;"));
    peer_release(&q, peer_find(&q, 3));
    put_get(&in, 13), put_get(&in, 15), put_word(&in, VT__H2_T_RST_STREAM, 13, 8), put_get(&in, 17);
    peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
    CHECK_EQ(q.opened, 5); /* 13, which counts though it was reset */
    CHECK_STR(frames(), "RST 15 REFUSED_STREAM;RST 17 REFUSED_STREAM;");
    for (uint32_t id = 1; id < 15; id += 2)
        if (peer_find(&q, id)) peer_release(&q, peer_find(&q, id));
    CHECK(q.h.active == 0 && q.h.leaving == 0);
    memset(&config, 0, sizeof config), policy = ANSWER;
}
/* Six ways to have the server reset a stream; each is as dear as a reset of one's own, and the handler counts on. */
static void made_you_reset(int way, uint32_t id) {
    uint8_t self[5] = {0, 0, 0, 0, 16};
    put_head(&in, id, way >= 4 ? BOTH : WHOLE, GET_FIELDS, NULL);
    switch (way) {
    case 0: put_word(&in, VT__H2_T_WINDOW_UPDATE, id, 0); break;
    case 1: put_word(&in, VT__H2_T_WINDOW_UPDATE, id, 0x7fffffff); break;
    case 2: put_frame(&in, VT__H2_T_PRIORITY, 0, id, self, 4); break;
    case 3: (void)vt__str_put32(self, id), put_frame(&in, VT__H2_T_PRIORITY, 0, id, self, 5); break;
    case 4: put_head(&in, id, BOTH, "x", "y", NULL); break;
    default: put_zeros(&in, 0, id, 3); break;
    }
}
TEST(a03_made_you_reset) {
    static const char *const codes[] = {"PROTOCOL_ERROR", "FLOW_CONTROL_ERROR", "FRAME_SIZE_ERROR",
                                        "PROTOCOL_ERROR", "STREAM_CLOSED",      "STREAM_CLOSED"};
    for (int way = 0; way < 6; way++) {
        policy = HOLD;
        begin(), made_you_reset(way, 1);
        RESETS(1, codes[way]);
        CHECK_EQ(q.h.active, 1); /* its handler runs */
        policy = HOLD, config.max_streams = 5000;
        fresh(), begin();
        for (uint32_t id = 1; id < 4000 && q.rc >= 0; id += 2) {
            made_you_reset(way, id);
            peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
            struct handler *r = peer_find(&q, id);
            if (r) peer_release(&q, r);
        }
        CHECK_EQ(q.h.err, VT__H2_E_FLOOD);
        CHECK_EQ(q.h.flood, VT_H2_RESETS);
        CHECK(q.opened <= 1002);
        memset(&config, 0, sizeof config), policy = ANSWER;
    }
}
TEST(a04_continuation_flood) {
    begin(), put_cut_head(&in, 1, 9, true);
    for (int i = 0; i < 2; i++) put_frame(&in, VT__H2_T_CONTINUATION, 0, 1, "", 1);
    DIES(VT__H2_E_LARGE);
    config.max_continuations = 1000; /* by size alone */
    begin(), put_cut_head(&in, 1, 1, true);
    uint8_t *zeros = calloc(1, 16384);
    for (int i = 0; i < 4; i++) put_frame(&in, VT__H2_T_CONTINUATION, 0, 1, zeros, 16384);
    DIES(VT__H2_E_LARGE);
    free(zeros);
}
TEST(a05_empty_continuations_count) {
    begin(), put_cut_head(&in, 1, 1, true);
    for (int i = 0; i < 9; i++) put_frame(&in, VT__H2_T_CONTINUATION, 0, 1, NULL, 0);
    DIES(VT__H2_E_LARGE);
    begin(), put_cut_head(&in, 1, 1, true);
    for (int i = 0; i < 8; i++) put_frame(&in, VT__H2_T_CONTINUATION, i == 7 ? WHOLE : 0, 1, NULL, 0);
    FINE();
    CHECK_EQ(q.counts[VT_H2_EMPTIES], 7);
}
TEST(a06_a_block_is_not_interrupted) {
    begin(), put_cut_head(&in, 1, 1, true), put_frame(&in, VT__H2_T_PING, 0, 0, "12345678", 8);
    DIES(VT__H2_E_BLOCK);
    begin(), put_cut_head(&in, 1, 1, true), put_frame(&in, VT__H2_T_CONTINUATION, WHOLE, 3, NULL, 0);
    DIES(VT__H2_E_BLOCK);
    begin(), put_cut_head(&in, 1, 1, true), put_frame(&in, 0x77, 0, 0, NULL, 0);
    DIES(VT__H2_E_BLOCK);
    begin(), put_frame(&in, VT__H2_T_CONTINUATION, WHOLE, 1, NULL, 0);
    DIES(VT__H2_E_BLOCK);
}
/* A request whose block indexes a field of 3,000 bytes and names it n times more. */
static void put_bomb(struct bytes *b, uint32_t id, size_t n) {
    struct bytes block = {NULL, 0, 0};
    char big[3001];
    memset(big, 'x', 3000), big[3000] = 0;
    put_field(&block, ":method", "GET"), put_field(&block, ":scheme", "http"),
        put_field(&block, ":path", "/");
    put_field(&block, ":authority", "a");
    bytes_add(&block, "\x40", 1), put_string(&block, "bomb", 4), put_string(&block, big, 3000);
    for (size_t i = 0; i < n; i++) bytes_add(&block, "\xbe", 1);
    put_frame(b, VT__H2_T_HEADERS, BOTH, id, block.p, block.n);
    bytes_free(&block);
}
TEST(a07_hpack_bomb) {
    begin(), put_bomb(&in, 1, 13000);
    put_head(&in, 3, BOTH, GET_FIELDS, NULL);
    struct bytes block = {NULL, 0, 0};
    put_field(&block, ":method", "GET"), put_field(&block, ":scheme", "http"),
        put_field(&block, ":path", "/");
    put_field(&block, ":authority", "a"), bytes_add(&block, "\xbe", 1);
    put_frame(&in, VT__H2_T_HEADERS, BOTH, 5, block.p, block.n);
    bytes_free(&block);
    FINE();
    CHECK(has(events(), "head 1 end large;"));
    CHECK(has(events(), "head 3 end;"));
    CHECK(has(events(), "bomb=xxxx")); /* the table is in step */
    CHECK(has(events(), "head 5 end;"));
    size_t bombs = 0;
    for (const char *p = events(); (p = strstr(p, "bomb=")) != NULL; p++) bombs++;
    CHECK_EQ(bombs, 5 + 1); /* as many as fit into 16 KiB, and the one of stream 5 */
}
/* What goes by unread is read as far as it can be wrong, and paid for. */
TEST(a07_bombs_are_skipped_and_paid_for) {
    int bombs = 0;
    for (fresh(), begin(); bombs < 100 && q.rc >= 0; bombs++) {
        put_bomb(&in, (uint32_t)bombs * 2 + 1, 13000);
        peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
    }
    CHECK_EQ(q.h.err, VT__H2_E_FLOOD);
    CHECK_EQ(q.h.flood, VT_H2_WASTE);
    CHECK(bombs > 5 && bombs < 30);
    static const char *const bad[] = {"\x80", "\xc0", "\xfe", "\xff\x7f"}; /* index 0, and past the table */
    for (int i = 0; i < 4; i++) {
        struct bytes block = {NULL, 0, 0};
        config.max_fields = 2, begin();
        put_field(&block, ":method", "GET"), put_field(&block, ":scheme", "http"),
            put_field(&block, "a", "b");
        bytes_add(&block, "\x40", 1), put_string(&block, "c", 1), put_string(&block, "d", 1);
        bytes_add(&block, "\xbe\x82\xbd\xbe", 4), bytes_add(&block, bad[i], strlen(bad[i]));
        put_frame(&in, VT__H2_T_HEADERS, BOTH, 1, block.p, block.n);
        bytes_free(&block);
        DIES(VT__H2_E_HPACK);
    }
    memset(&config, 0, sizeof config);
}
TEST(a08_a_head_over_its_limit_is_decoded) {
    char big[900];
    memset(big, 'y', sizeof big - 1), big[sizeof big - 1] = 0;
    config.max_head = 1000;
    begin(), put_head(&in, 1, BOTH, GET_FIELDS, "a", big, "b", "c", NULL), put_get(&in, 3);
    FINE();
    CHECK(has(events(), "head 1 end large;open 3;"));
    CHECK(!strstr(events(), "b=c"));
    CHECK(has(events(), "head 3 end;"));
    config.max_fields = 5;
    begin(), put_head(&in, 1, BOTH, GET_FIELDS, "a", "1", NULL);
    put_head(&in, 3, BOTH, GET_FIELDS, "a", "1", "b", "2", NULL);
    FINE();
    CHECK(has(events(), "a=1;head 1 end;"));
    CHECK(has(events(), "head 3 end large;"));
    config.max_head = 147; /* what GET_FIELDS amount to: 7+3, 7+4, 5+1, 10+1, and 32 each, is 166 */
    begin(), put_get(&in, 1);
    FINE();
    CHECK(has(events(), "head 1 end large;"));
    config.max_head = 166;
    begin(), put_get(&in, 1);
    FINE();
    CHECK(has(events(), "head 1 end;"));
}
static void block_dies(const char *bytes, size_t n) {
    begin(), put_frame(&in, VT__H2_T_HEADERS, BOTH, 1, bytes, n);
    DIES(VT__H2_E_HPACK);
}
TEST(a09_huffman) {
    block_dies("\x00\x84\xff\xff\xff\xff\x01z", 8); /* EOS */
    block_dies("\x00\x01z\x82\x1f\xff", 6);         /* 'a' and eleven ones */
    block_dies("\x00\x01z\x81\x18", 5);             /* 'a' and zeros */
}
TEST(a10_integer_overflow) {
    block_dies("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
    block_dies("\x00\x7f\x80\x80\x80\x80\x80\x80\x80\x01", 10);
}
TEST(a11_index) {
    block_dies("\x80", 1);
    block_dies("\xbe", 1);
    block_dies("\x7e\x01z", 3);
}
TEST(a12_table_size) {
    block_dies("\x3f\xe2\x1f", 3); /* 4097 */
    block_dies("\x82\x20", 2);
    config.table = 0;
    begin(), put_frame(&in, VT__H2_T_HEADERS, WHOLE | END, 1,
                       "\x20\x82\x86\x84\x01\x01"
                       "a",
                       7);
    FINE();
    config.table = 100; /* acknowledged, and not followed */
    begin(), put_get(&in, 1);
    DIES(VT__H2_E_HPACK);
    block_dies("\x00\x05x", 3); /* cut short */
}
static void malformed(int line, const char *name, const char *value) {
    begin(), put_head(&in, 1, BOTH, GET_FIELDS, name, value, NULL), put_get(&in, 3);
    resets(1, "PROTOCOL_ERROR", line);
    CHECK(has(events(), "reset 1 PROTOCOL_ERROR;"));
    CHECK(!strstr(events(), "head 1"));
    CHECK(has(events(), "head 3 end;"));
}
TEST(a13_malformed_fields) {
    static const char *const bad[][2] = {{"", "x"},
                                         {"X-upper", "1"},
                                         {"a b", "1"},
                                         {"a:b", "1"},
                                         {"x", "a\rb"},
                                         {"x", "a\nb"},
                                         {"x", "\1"},
                                         {"x", " a"},
                                         {"x", "a\t"},
                                         {"connection", "close"},
                                         {"keep-alive", "1"},
                                         {"proxy-connection", "keep-alive"},
                                         {"transfer-encoding", "chunked"},
                                         {"upgrade", "h2c"},
                                         {"te", "gzip"},
                                         {"te", "trailers, gzip"},
                                         {"content-length", "-1"},
                                         {"content-length", "1x"},
                                         {"content-length", "9223372036854775808"}};
    for (size_t i = 0; i < VT__COUNT(bad); i++) malformed(__LINE__, bad[i][0], bad[i][1]);
    begin(), put_head(&in, 1, BOTH, GET_FIELDS, "te", "trailers", "x", "", NULL);
    FINE();
    struct bytes nul = {NULL, 0, 0};
    put_field(&nul, ":method", "GET"), put_field(&nul, ":scheme", "http"), put_field(&nul, ":path", "/");
    put_field(&nul, ":authority", "a"), bytes_add(&nul, "\0\1x\3a\0b", 7);
    begin(), put_frame(&in, VT__H2_T_HEADERS, BOTH, 1, nul.p, nul.n);
    RESETS(1, "PROTOCOL_ERROR");
    bytes_free(&nul);
}
TEST(a14_pseudo_fields) {
#define BAD(...) begin(), put_head(&in, 1, BOTH, __VA_ARGS__, NULL), RESETS(1, "PROTOCOL_ERROR")
    BAD(":scheme", "http", ":path", "/", ":authority", "a");
    BAD(":method", "GET", ":path", "/", ":authority", "a");
    BAD(":method", "GET", ":scheme", "http", ":authority", "a");
    BAD(":method", "GET", ":scheme", "http", ":path", "/");
    BAD(GET_FIELDS, ":method", "GET");
    BAD(GET_FIELDS, ":path", "/");
    BAD(GET_FIELDS, ":scheme", "http");
    BAD(GET_FIELDS, ":authority", "a");
    BAD(GET_FIELDS, ":other", "x");
    BAD(GET_FIELDS, ":status", "200");
    BAD(":method", "GET", ":scheme", "http", ":path", "/", "x", "y", ":authority", "a");
    BAD(":method", "G T", ":scheme", "http", ":path", "/", ":authority", "a");
    BAD(":method", "GET", ":scheme", "", ":path", "/", ":authority", "a");
    BAD(":method", "CONNECT", ":authority", "a");
    BAD(":method", "CONNECT", ":authority", "a:1", ":path", "/");
    BAD(":method", "CONNECT", ":scheme", "http", ":authority", "a:1");
    BAD(":method", "CONNECT");
}
TEST(a15_path_and_host) {
    BAD(":method", "GET", ":scheme", "http", ":path", "", ":authority", "a");
    BAD(":method", "GET", ":scheme", "http", ":path", "x", ":authority", "a");
    BAD(":method", "GET", ":scheme", "http", ":path", "/ HTTP/1.1", ":authority", "a");
    BAD(":method", "GET", ":scheme", "http", ":path", "/#x", ":authority", "a");
    BAD(":method", "GET", ":scheme", "http", ":path", "/\x80", ":authority", "a");
    BAD(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "u@a");
    BAD(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "");
    BAD(GET_FIELDS, "host", "b");
    BAD(GET_FIELDS, "host", "");
    BAD(GET_FIELDS, "host", "a", "host", "a");
    BAD(":method", "GET", ":scheme", "http", ":path", "/", "host", "a b");
}
TEST(a16_cookie_crumbs) {
    struct bytes b = {NULL, 0, 0};
    put_field(&b, ":method", "GET"), put_field(&b, ":scheme", "http"), put_field(&b, ":path", "/");
    put_field(&b, ":authority", "a");
    for (int i = 0; i < 1300; i++) put_field(&b, "cookie", "a=1");
    begin(), put_frame(&in, VT__H2_T_HEADERS, BOTH, 1, b.p, b.n);
    config.max_head = 1 << 20; /* the number is limited, too */
    FINE();
    CHECK(has(events(), "head 1 end large;"));
    CHECK_EQ(q.h.block.m.nfields, 1000);
    begin(), put_frame(&in, VT__H2_T_HEADERS, BOTH, 1, b.p, b.n);
    FINE();
    CHECK(has(events(), "head 1 end large;"));
    CHECK_EQ(q.h.block.m.nfields, 4 + (16384 - 166) / 41);
    int heads = 0;
    for (fresh(), begin(); heads < 100 && q.rc >= 0; heads++) {
        put_frame(&in, VT__H2_T_HEADERS, BOTH, (uint32_t)heads * 2 + 1, b.p, b.n);
        peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
    }
    CHECK_EQ(q.h.flood, VT_H2_WASTE);
    CHECK(heads > 10 && heads < 30);
    bytes_free(&b);
}
/* So many frames of a kind, and the budget that ends them. The machine owes no more than a few of them at any time. */
static void flood(int line, unsigned type, unsigned flags, uint32_t id, size_t len, int cause) {
    static const uint8_t zeros[20000];
    fresh(), begin(), put_post(&in, 1);
    peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
    for (int i = 0; i < 100; i++) put_frame(&in, type, flags, id, zeros, len);
    for (int i = 0; i < 20000 && q.rc >= 0; i++) {
        q.now += 10;
        peer_take(&q, in.p, in.n), peer_flush(&q);
        q.log.n = q.out.n = q.data.n = 0;
    }
    if (q.h.err != VT__H2_E_FLOOD || q.h.flood != cause) {
        printf("  %s, %d\n", err_text(q.h.err), q.h.flood);
        test_fail(__FILE__, line, "flood");
    }
}
#define FLOOD(type, flags, id, len, cause) flood(__LINE__, VT__H2_T_##type, flags, id, len, VT_H2_##cause)
TEST(a17_settings_flood) {
    FLOOD(SETTINGS, 0, 0, 0, SETTINGS);
    CHECK_EQ(q.counts[VT_H2_SETTINGS], 1000 + 1);
    FLOOD(SETTINGS, VT__H2_ACK, 0, 0, GLITCHES);
}
TEST(a18_ping_flood) {
    FLOOD(PING, 0, 0, 8, PINGS);
    CHECK_EQ(q.counts[VT_H2_PINGS], 1000 + 1);
    FLOOD(PING, VT__H2_ACK, 0, 8, GLITCHES);
}
TEST(a18_the_machine_waits_for_whoever_does_not_read) {
    fresh(), begin();
    for (int i = 0; i < 500; i++) put_frame(&in, VT__H2_T_PING, 0, 0, "12345678", 8);
    const uint8_t *p = in.p, *end = in.p + in.n;
    vt__msg_event ev;
    int rc;
    while ((rc = vt__h2_recv(&q.h, &p, end, 0, &ev)) > 0) continue;
    CHECK_EQ(rc, 0);
    CHECK(p < end);
    CHECK(q.h.replied <= VT__H2_REPLIES);
    const uint8_t *before = p;
    CHECK_EQ(vt__h2_recv(&q.h, &p, end, 0, &ev), 0);
    CHECK(p == before);
    peer_flush(&q);
    CHECK_EQ(vt__h2_recv(&q.h, &p, end, 0, &ev), 0);
    CHECK(p > before);
}
TEST(a18_pings_after_data_are_free) {
    policy = HOLD;
    fresh(), begin(), put_post(&in, 1);
    for (int i = 0; i < 3000; i++) {
        put_zeros(&in, 0, 1, 100), put_frame(&in, VT__H2_T_PING, 0, 0, "12345678", 8);
        peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
    }
    CHECK_EQ(q.h.err, 0);
    CHECK_EQ(q.counts[VT_H2_PINGS], 0);
    policy = ANSWER;
}
TEST(a19_two_thousand_settings) {
    uint8_t *p = calloc(2000, 6);
    for (size_t i = 0; i < 2000; i++) p[i * 6] = 0xaa, p[i * 6 + 1] = (uint8_t)i;
    begin(), put_frame(&in, VT__H2_T_SETTINGS, 0, 0, p, 12000), put_get(&in, 1);
    FINE();
    CHECK_EQ(q.answered, 1);
    CHECK_EQ(q.counts[VT_H2_SETTINGS], 1 + 1 + 2000 / 16); /* that of the preface first */
    fresh(), begin();
    int n = 0;
    for (; n < 100 && q.rc >= 0; n++) {
        put_frame(&in, VT__H2_T_SETTINGS, 0, 0, p, 12000);
        peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
    }
    CHECK_EQ(q.h.flood, VT_H2_SETTINGS);
    CHECK_EQ(n, 8);
    free(p);
}
/* Whoever sends much has a turn, and is gone on with in the next. */
TEST(a45_what_is_done_in_a_row_is_bounded) {
    vt__msg_event ev;
    int rc, turns = 0, opened = 0, most = 0;
    fresh(), begin();
    for (uint32_t i = 0; i < 90; i++) put_get(&in, i * 2 + 1);
    const uint8_t *p = in.p, *end = in.p + in.n;
    for (; p < end && turns < 100; turns++) {
        int before = opened;
        while ((rc = vt__h2_recv(&q.h, &p, end, 0, &ev)) > 0) {
            opened += ev.type == VT__MSG_EV_OPEN;
            peer_on(&q, &ev);
        }
        CHECK_EQ(rc, 0);
        CHECK_EQ(q.h.tired, p < end);
        most = VT__MAX(most, opened - before);
    }
    CHECK_EQ(opened, 90);
    CHECK(turns > 1 && turns < 5 && most >= 32 && most < 60);
    peer_flush(&q);
    CHECK_EQ(q.answered, 90);
}
/* Also where nobody gets to see it. */
TEST(a16_a_head_that_is_dropped_is_bounded_as_well) {
    static uint8_t b[16384] = "\202\206\204A\1a";
    vt__msg_event ev;
    size_t n = 6;
    int rc, turns = 0;
    for (; n + 6 < sizeof b; n += 6) memcpy(b + n, "\x0f\x11\3a=b", 6); /* cookie: a=b */
    fresh(), begin();
    peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
    put_frame(&in, VT__H2_T_HEADERS, VT__H2_END_HEADERS | VT__H2_END_STREAM, 1, b, n);
    const uint8_t *p = in.p, *end = in.p + in.n, *from = p;
    size_t most = 0;
    for (; p < end && turns < 100; turns++, from = p) {
        while ((rc = vt__h2_recv(&q.h, &p, end, 0, &ev)) > 0) peer_on(&q, &ev);
        CHECK_EQ(rc, 0);
        CHECK_EQ(q.h.tired, p < end);
        most = VT__MAX(most, (size_t)(p - from));
    }
    CHECK(turns > 3 && turns < 10 && most < 6000);
    peer_flush(&q);
    CHECK_EQ(q.answered, 1);
    CHECK_EQ(q.h.block.id, 0);
}
TEST(a20_settings_of_a_wrong_length_or_place) {
    begin(), put_frame(&in, VT__H2_T_SETTINGS, VT__H2_ACK, 0, "123456", 6);
    DIES(VT__H2_E_LENGTH);
    begin(), put_frame(&in, VT__H2_T_SETTINGS, 0, 0, "12345", 5);
    DIES(VT__H2_E_LENGTH);
    begin(), put_frame(&in, VT__H2_T_SETTINGS, 0, 1, NULL, 0);
    DIES(VT__H2_E_PLACE);
}
TEST(a21_initial_window) {
    begin(), put_setting(&in, VT__H2_S_WINDOW, 0x80000000);
    DIES(VT__H2_E_WINDOW);
    q.body = 30000;
    fresh(), begin(), put_setting(&in, VT__H2_S_WINDOW, 20000), put_get(&in, 1);
    q.body = 30000;
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK(has(frames(), "HEADERS 1 0;DATA 1 16384;DATA 1 3616;"));
    in.n = 0, put_setting(&in, VT__H2_S_WINDOW, 5000); /* the window is -15000 then */
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_STR(frames(), "SETTINGS ack;");
    CHECK_EQ(peer_find(&q, 1)->s.send_window, -15000);
    in.n = 0, put_word(&in, VT__H2_T_WINDOW_UPDATE, 1, 15000);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_STR(frames(), "");
    in.n = 0, put_word(&in, VT__H2_T_WINDOW_UPDATE, 1, 1);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_STR(frames(), "DATA 1 1;");
    in.n = 0, put_setting(&in, VT__H2_S_WINDOW, 65535);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_STR(frames(), "SETTINGS ack;DATA 1 9999 end;");
    policy = HOLD; /* a change that takes a stream's window over the limit */
    begin(), put_post(&in, 1), put_word(&in, VT__H2_T_WINDOW_UPDATE, 1, 0x7fff0000),
        put_setting(&in, VT__H2_S_WINDOW, 70000);
    DIES(VT__H2_E_WINDOW);
}
TEST(a22_max_frame_size) {
    begin(), put_setting(&in, VT__H2_S_FRAME, 16383);
    DIES(VT__H2_E_SETTING);
    begin(), put_setting(&in, VT__H2_S_FRAME, 16777216);
    DIES(VT__H2_E_SETTING);
    begin(), put_setting(&in, VT__H2_S_FRAME, 16777215);
    FINE();
}
TEST(a23_empty_frames) {
    FLOOD(DATA, 0, 1, 0, EMPTIES);
    FLOOD(DATA, VT__H2_PADDED, 1, 1, EMPTIES);
    fresh(), begin();
    for (uint32_t id = 1; id < 4000 && q.rc >= 0; id += 2) {
        put_frame(&in, VT__H2_T_HEADERS, 0, id, NULL, 0);
        size_t at = in.n;
        put_get(&in, id), in.p[at + 3] = VT__H2_T_CONTINUATION;
        peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
    }
    CHECK_EQ(q.h.flood, VT_H2_EMPTIES);
}
TEST(a27_window_overflow) {
    begin(), put_word(&in, VT__H2_T_WINDOW_UPDATE, 0, 0x7fffffff - 65535), put_get(&in, 1);
    FINE();
    begin(), put_word(&in, VT__H2_T_WINDOW_UPDATE, 0, 0x7fffffff - 65534);
    DIES(VT__H2_E_WINDOW);
    begin(), put_post(&in, 1), put_word(&in, VT__H2_T_WINDOW_UPDATE, 1, 0x7fffffff - 65535);
    FINE();
    begin(), put_post(&in, 1), put_word(&in, VT__H2_T_WINDOW_UPDATE, 1, 0x7fffffff - 65534);
    RESETS(1, "FLOW_CONTROL_ERROR");
    begin(), put_word(&in, VT__H2_T_WINDOW_UPDATE, 0, 0);
    DIES(VT__H2_E_INCREMENT);
}
TEST(a28_data_beyond_the_window) {
    for (int over = 0; over < 2; over++) { /* of the stream */
        policy = HOLD;
        fresh(), q.late = true;
        begin(), put_post(&in, 1);
        peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
        for (int i = 0; i < 4; i++) put_zeros(&in, 0, 1, i == 3 ? 65535 - 3 * 16384 + (size_t)over : 16384);
        peer_take(&q, in.p, in.n), peer_flush(&q);
        CHECK_EQ(q.h.err, 0);
        CHECK_EQ(has(frames(), over ? "RST 1 FLOW_CONTROL_ERROR;" : ""), 1);
    }
    fresh(), q.late = true; /* of the connection, 131,070 */
    begin(), put_post(&in, 1), put_post(&in, 3), put_post(&in, 5);
    peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
    for (uint32_t i = 0; i < 8; i++) put_zeros(&in, 0, 1 + i % 3 * 2, i == 7 ? 131070 - 7 * 16384 : 16384);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_EQ(q.h.err, 0);
    in.n = 0, put_zeros(&in, 0, 5, 1);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_EQ(q.h.err, VT__H2_E_SURPLUS);
    policy = ANSWER;
}
TEST(a28_data_of_a_stream_that_is_gone_count) {
    policy = REFUSE;
    fresh(), begin(), put_post(&in, 1);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK(has(frames(), "RST 1 REFUSED_STREAM;"));
    CHECK_EQ(q.h.recv_window, 131070);
    in.n = 0, put_zeros(&in, 0, 1, 16384);
    peer_take(&q, in.p, in.n);
    CHECK_EQ(q.h.recv_window, 131070 - 16384);
    CHECK_EQ(q.h.held, 0);
    for (int i = 0; i < 100; i++) peer_take(&q, in.p, in.n), peer_flush(&q); /* and are given back */
    CHECK_EQ(q.h.err, 0);
    CHECK(has(frames(), "WU 0 "));
    FLOOD(DATA, 0, 1, 1, GLITCHES);
    policy = ANSWER;
}
TEST(a29_priority_flood) {
    FLOOD(PRIORITY, 0, 7, 5, PRIORITIES);
    fresh(), begin();
    for (uint32_t i = 0; i < 10000; i++) { /* a long chain is no tree */
        uint8_t p[5] = {0};
        (void)vt__str_put32(p, i * 2 + 1);
        put_frame(&in, VT__H2_T_PRIORITY, 0, i * 2 + 3, p, 5);
    }
    put_get(&in, 1);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_EQ(q.answered, 1);
}
static void put_priority(struct bytes *b, uint32_t id, const char *value) {
    struct bytes p = {NULL, 0, 0};
    uint8_t number[4];
    (void)vt__str_put32(number, id);
    bytes_add(&p, number, 4), bytes_add(&p, value, strlen(value));
    put_frame(b, VT__H2_T_PRIORITY_UPDATE, 0, 0, p.p, p.n);
    bytes_free(&p);
}
TEST(a30_priority_update_of_idle_streams) {
    policy = HOLD;
    begin();
    for (uint32_t i = 0; i < 30; i++) put_priority(&in, 201 + i * 2, "u=7");
    put_priority(&in, 1, "u=1, i"), put_get(&in, 1), put_get(&in, 3);
    put_priority(&in, 3, "u=6");
    FINE();
    CHECK_EQ(peer_find(&q, 1)->s.c.urgency, 1);
    CHECK(peer_find(&q, 1)->s.c.incremental);
    CHECK_EQ(peer_find(&q, 3)->s.c.urgency, 6);
    CHECK(has(events(), "priority 3;"));
    struct bytes b = {NULL, 0, 0};
    fresh(), begin(), peer_take(&q, in.p, in.n), peer_flush(&q);
    for (uint32_t i = 0; i < 20000; i++) put_priority(&b, 1 + i * 2, "u=7");
    peer_take(&q, b.p, b.n);
    CHECK_EQ(q.h.flood, VT_H2_PRIORITIES);
    bytes_free(&b);
    begin(), put_priority(&in, 0, "u=1");
    DIES(VT__H2_E_PRIORITY);
    begin(), put_priority(&in, 2, "u=1");
    DIES(VT__H2_E_PRIORITY);
    begin(), put_frame(&in, VT__H2_T_PRIORITY_UPDATE, 0, 1, "1234", 4);
    DIES(VT__H2_E_PLACE);
    begin(), put_frame(&in, VT__H2_T_PRIORITY_UPDATE, 0, 0, "123", 3);
    DIES(VT__H2_E_LENGTH);
}
TEST(a31_reset_of_an_idle_stream) {
    begin(), put_word(&in, VT__H2_T_RST_STREAM, 1, 8);
    DIES(VT__H2_E_IDLE);
    begin(), put_get(&in, 5),
        put_word(&in, VT__H2_T_RST_STREAM, 3, 8); /* that one was skipped: it is closed */
    FINE();
}
TEST(a32_stream_ids) {
    begin(), put_get(&in, 2);
    DIES(VT__H2_E_ID);
    begin(), put_get(&in, 5), put_get(&in, 3);
    DIES(VT__H2_E_ID);
    begin(), put_get(&in, 5), put_get(&in, 5);
    settle(); /* ended by the client, not yet by the server when its head comes: of the stream */
    CHECK(has(frames(), "RST 5 STREAM_CLOSED;"));
    fresh(), begin(), put_get(&in, 5), peer_take(&q, in.p, in.n), peer_flush(&q);
    in.n = 0, put_get(&in, 5), peer_take(&q, in.p, in.n);
    CHECK_EQ(q.h.err, VT__H2_E_CLOSED);
    begin(), put_get(&in, 0x7fffffff);
    FINE();
    fresh(), begin(), put_get(&in, 0x7fffffff), peer_take(&q, in.p, in.n), peer_flush(&q);
    in.n = 0, put_get(&in, 1), peer_take(&q, in.p, in.n);
    CHECK_EQ(q.h.err, VT__H2_E_CLOSED);
    client = true; /* as a client */
    fresh();
    q.h.last = 0x7fffffff - 2;
    struct handler *r = peer_handler(&q), *none = peer_handler(&q);
    peer_release(&q, &q.pool[0]);
    CHECK_EQ(peer_open(&q, r), 0);
    CHECK_EQ(peer_open(&q, none), VT__H2_E_NO_MORE);
    peer_flush(&q);
    CHECK_EQ(r->s.id, 0x7fffffff);
    CHECK_EQ(peer_open(&q, none), VT__H2_E_NO_MORE);
    client = false;
}
TEST(a33_too_many_streams) {
    config.max_streams = 2, policy = HOLD;
    begin(), put_get(&in, 1), put_get(&in, 3), put_bomb(&in, 5, 0), put_zeros(&in, 0, 5, 10);
    settle();
    CHECK(has(frames(), "RST 5 REFUSED_STREAM;"));
    CHECK_EQ(q.h.err, 0);
    CHECK_EQ(q.counts[VT_H2_REFUSALS], 1);
    CHECK_EQ(q.h.dec.t.live, 1); /* its block went through the table */
    config.max_streams = 1, policy = HOLD;
    fresh(), begin();
    for (uint32_t id = 1; id < 6000 && q.rc >= 0; id += 2) {
        put_get(&in, id);
        peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
    }
    CHECK_EQ(q.h.flood, VT_H2_REFUSALS);
    CHECK_EQ(q.counts[VT_H2_REFUSALS], 1001);
    memset(&config, 0, sizeof config), policy = ANSWER;
}
TEST(a34_padding) {
    begin(), put_post(&in, 1),
        put_frame(&in, VT__H2_T_DATA, VT__H2_PADDED, 1,
                  "\5"
                  "abcd",
                  5);
    DIES(VT__H2_E_PADDING);
    begin(), put_post(&in, 1), put_frame(&in, VT__H2_T_DATA, VT__H2_PADDED, 1, NULL, 0);
    DIES(VT__H2_E_LENGTH);
    begin(), put_frame(&in, VT__H2_T_HEADERS, VT__H2_PADDED, 1,
                       "\2"
                       "a",
                       2);
    DIES(VT__H2_E_PADDING);
    policy = HOLD; /* nothing but padding */
    begin(), put_post(&in, 1), put_frame(&in, VT__H2_T_DATA, VT__H2_PADDED, 1, "\4\0\0\0\0", 5);
    FINE();
    CHECK_EQ(q.h.recv_window, 131070); /* already given back */
    CHECK_EQ(peer_find(&q, 1)->s.recv_window, 65535 - 5);
    CHECK_EQ(q.counts[VT_H2_EMPTIES], 1);
    policy = HOLD; /* what padding takes of a window is given back */
    fresh(), begin(), put_post(&in, 1);
    uint8_t pad[256] = {255};
    for (int i = 0; i < 600; i++) put_frame(&in, VT__H2_T_DATA, VT__H2_PADDED, 1, pad, 256);
    for (size_t at = 0; at < in.n; at += 5000) {
        peer_take(&q, in.p + at, VT__MIN(5000, in.n - at)), peer_flush(&q);
    }
    CHECK_EQ(q.h.err, 0);
    CHECK(has(frames(), "WU 1 "));
    policy = ANSWER;
}
TEST(a35_content_length) {
    static const struct {
        const char *length;
        size_t one, two;
        bool good;
    } tests[] = {{"5", 5, 0, true},  {"5", 2, 3, true},  {"5", 4, 0, false},
                 {"5", 6, 0, false}, {"5", 3, 3, false}, {"0", 1, 0, false}};
    for (size_t i = 0; i < VT__COUNT(tests); i++) {
        begin(), put_head(&in, 1, WHOLE, POST_FIELDS, "content-length", tests[i].length, NULL);
        put_zeros(&in, tests[i].two ? 0 : END, 1, tests[i].one);
        if (tests[i].two) put_zeros(&in, END, 1, tests[i].two);
        if (tests[i].good) FINE();
        else RESETS(1, "PROTOCOL_ERROR");
        CHECK_EQ(q.answered, tests[i].good);
    }
    begin(), put_head(&in, 1, BOTH, POST_FIELDS, "content-length", "1", NULL);
    RESETS(1, "PROTOCOL_ERROR");
    begin(), put_head(&in, 1, WHOLE, POST_FIELDS, "content-length", "1", NULL), put_zeros(&in, 0, 1, 2);
    RESETS(1, "PROTOCOL_ERROR"); /* at once */
    begin(), put_head(&in, 1, WHOLE, POST_FIELDS, "content-length", "3", NULL), put_zeros(&in, 0, 1, 2);
    put_head(&in, 1, BOTH, "x", "y", NULL);
    RESETS(1, "PROTOCOL_ERROR");
    BAD(POST_FIELDS, "content-length", "0", "content-length", "0");
}
TEST(a36_trailers) {
    begin(), put_post(&in, 1), put_head(&in, 1, WHOLE, "x", "y", NULL);
    RESETS(1, "PROTOCOL_ERROR");
    begin(), put_post(&in, 1), put_head(&in, 1, BOTH, "x", "y", NULL), put_zeros(&in, END, 1, 1);
    RESETS(1, "STREAM_CLOSED");
    begin(), put_post(&in, 1), put_head(&in, 1, BOTH, ":path", "/", NULL);
    RESETS(1, "PROTOCOL_ERROR");
    begin(), put_post(&in, 1), put_head(&in, 1, BOTH, "content-length", "0", NULL);
    RESETS(1, "PROTOCOL_ERROR");
}
TEST(a37_goaway_flood) {
    FLOOD(GOAWAY, 0, 0, 16000, WASTE);
    FLOOD(GOAWAY, 0, 0, 8, GLITCHES);
    begin(),
        put_frame(&in, VT__H2_T_GOAWAY, 0, 0,
                  "\0\0\0\0\0\0\0\xff"
                  "why not",
                  15),
        put_get(&in, 1);
    FINE();
    CHECK(has(events(), "goaway 0 ?;open 1;"));
    begin(), put_frame(&in, VT__H2_T_GOAWAY, 0, 0, "1234567", 7);
    DIES(VT__H2_E_LENGTH);
    begin(), put_frame(&in, VT__H2_T_GOAWAY, 0, 1, "12345678", 8);
    DIES(VT__H2_E_PLACE);
}
TEST(a38_unknown_frames) {
    flood(__LINE__, 0x7f, 0, 0, 1000, VT_H2_WASTE);
    CHECK_EQ(q.counts[VT_H2_WASTE], 17);
    flood(__LINE__, 0xff, 255, 7, 0, VT_H2_WASTE);
    begin(), put_frame(&in, 0x0a, 0, 3, "abc", 3), put_frame(&in, 0x11, 9, 0, NULL, 0), put_get(&in, 1);
    FINE();
}
TEST(a38_useful_bytes_make_up_for_waste) {
    policy = HOLD, config.budgets[VT_H2_WASTE].burst = 1;
    fresh(), begin(), put_post(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
    for (int i = 0; i < 100; i++) put_zeros(&in, 0, 1, 2);
    for (int i = 0; i < 200; i++) peer_take(&q, in.p, in.n), peer_flush(&q), q.log.n = q.out.n = q.data.n = 0;
    CHECK_EQ(q.h.err, 0);
    memset(&config, 0, sizeof config), policy = ANSWER;
}
TEST(a39_preface) {
    in.n = 0, bytes_add(&in, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    DIES(VT__H2_E_PREFACE);
    in.n = 0, bytes_add(&in, VT__H2_PREFACE, 23), bytes_add(&in, "\r", 1);
    DIES(VT__H2_E_PREFACE);
    in.n = 0, bytes_add(&in, VT__H2_PREFACE, 10); /* and silence: the rest is a timer's */
    settle();
    CHECK_EQ(q.h.err, 0);
    CHECK_STR(events(), "");
    in.n = 0, bytes_add(&in, VT__H2_PREFACE, 24), put_get(&in, 1);
    DIES(VT__H2_E_FIRST);
    in.n = 0, bytes_add(&in, VT__H2_PREFACE, 24), put_frame(&in, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0);
    DIES(VT__H2_E_FIRST);
}
TEST(a40_upgrade) {
    static const char *const bad[] = {"AAMAAABkA", "AAMAAAB",  "AAMAAAB=", "AAMA AAB",
                                      "AAQAAP__",  "AASAAAAA", "AAUAAAAA", "AAIAAAAC"};
    fresh();
    struct handler *r = peer_handler(&q);
    CHECK_EQ(vt__h2_upgrade(&q.h, &r->s, word("AAMAAABkAAQAAQAAAAIAAAAA")), 0);
    CHECK_EQ(q.h.peer_streams, 100);
    CHECK_EQ(q.h.peer_window, 65536);
    CHECK_EQ(r->s.send_window, 65536);
    CHECK_EQ(r->s.id, 1);
    CHECK_EQ(r->s.c.ended, VT__MSG_REMOTE);
    r->complete = true, r->respond = 10;
    peer_want_head(&q, r);
    peer_flush(&q);
    CHECK_STR(frames(), "SETTINGS;WU 0 65535;HEADERS 1 0;DATA 1 10 end;");
    begin(), put_get(&in, 3);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_STR(frames(), "SETTINGS ack;HEADERS 3 0 end;");
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        fresh(), r = peer_handler(&q);
        int rc = vt__h2_upgrade(&q.h, &r->s, word(bad[i]));
        if (i != 4) CHECK_EQ(rc, VT__H2_E_UPGRADE); /* the fifth is a window of 65535 */
        else CHECK_EQ(rc, 0);
    }
    fresh(), r = peer_handler(&q); /* not a byte further */
    CHECK_EQ(vt__h2_upgrade(&q.h, &r->s, (vt_str){"AAMAAABkAAMAAABk", 9}), VT__H2_E_UPGRADE);
    fresh(), r = peer_handler(&q); /* stream 1 is taken */
    CHECK_EQ(vt__h2_upgrade(&q.h, &r->s, word("")), 0);
    begin(), put_get(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK(has(frames(), "RST 1 STREAM_CLOSED;"));
}
TEST(a42_extended_connect) {
    BAD(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/", ":authority", "a");
    config.connect_protocol = true;
    BAD(GET_FIELDS, ":protocol", "websocket");
    config.connect_protocol = true;
    BAD(":method", "CONNECT", ":protocol", "websocket", ":authority", "a");
    begin(), put_setting(&in, VT__H2_S_CONNECT, 2);
    DIES(VT__H2_E_SETTING);
    begin(), put_setting(&in, VT__H2_S_CONNECT, 1), put_setting(&in, VT__H2_S_CONNECT, 0);
    DIES(VT__H2_E_SETTING);
}
TEST(a43_tiny_data_frames) {
    FLOOD(DATA, 0, 1, 1, WASTE);
    policy = HOLD; /* a person who types for hours */
    fresh(), begin(), put_head(&in, 1, WHOLE, ":method", "CONNECT", ":authority", "a:1", NULL);
    for (int i = 0; i < 100000; i++) {
        q.now += 100 * VT_MS;
        put_zeros(&in, 0, 1, 1);
        peer_take(&q, in.p, in.n), peer_flush(&q);
        in.n = q.log.n = q.out.n = q.data.n = 0;
    }
    CHECK_EQ(q.h.err, 0);
    policy = ANSWER;
}
TEST(a44_shutdown_in_two_steps) {
    for (int by_time = 0; by_time < 2; by_time++) {
        policy = HOLD;
        fresh(), begin(), put_get(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q), (void)frames();
        vt__h2_shutdown(&q.h, q.now), peer_flush(&q);
        CHECK_STR(frames(), "GOAWAY 2147483647 NO_ERROR;PING;");
        in.n = 0, put_get(&in, 3); /* it was on its way */
        peer_take(&q, in.p, in.n), peer_flush(&q);
        CHECK_EQ(q.h.active, 2);
        CHECK_EQ(vt__h2_deadline(&q.h), q.now + VT_SEC);
        CHECK_EQ(vt__h2_expire(&q.h, q.now + VT_SEC - 1), 0);
        peer_flush(&q);
        CHECK_STR(frames(), "");
        in.n = 0, put_frame(&in, VT__H2_T_PING, VT__H2_ACK, 0, "vthttp \4", 8);
        if (by_time) CHECK_EQ(vt__h2_expire(&q.h, q.now + VT_SEC), 0);
        else peer_take(&q, in.p, in.n);
        peer_flush(&q);
        CHECK_STR(frames(), "GOAWAY 3 NO_ERROR;");
        in.n = 0, put_bomb(&in, 5, 0),
        put_zeros(&in, END, 5, 3); /* too late: ignored, and the table stays in step */
        peer_take(&q, in.p, in.n), peer_flush(&q);
        CHECK_STR(frames(), "");
        CHECK_EQ(q.h.dec.t.live, 1);
        CHECK(!vt__h2_finished(&q.h));
        for (uint32_t id = 1; id <= 3; id += 2) {
            struct handler *r = peer_find(&q, id);
            peer_want_head(&q, r), peer_flush(&q);
            if (r->used) peer_release(&q, r);
        }
        CHECK_STR(frames(), "HEADERS 1 0 end;HEADERS 3 0 end;");
        CHECK(vt__h2_finished(&q.h));
        policy = ANSWER;
    }
}
TEST(a44_the_last_goaway_never_says_more) { /* the client may have asked elsewhere (RFC 9113 6.8) */
    policy = HOLD;
    fresh(), begin(), put_get(&in, 1), peer_take(&q, in.p, in.n);
    vt__h2_shutdown(&q.h, q.now), (void)vt__h2_expire(&q.h, q.now + VT_SEC), peer_flush(&q), (void)frames();
    in.n = 0, put_get(&in, 3), put_word(&in, VT__H2_T_WINDOW_UPDATE, 0, 0);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_STR(frames(), "GOAWAY 1 PROTOCOL_ERROR;");
    policy = ANSWER;
}
TEST(a45_a_thousand_blocked_streams) {
    config.max_streams = 1000, policy = HOLD;
    static struct handler many[1000];
    fresh(), q.late = true;
    struct handler *pool = q.pool;
    q.pool = many;
    begin(), peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
    for (uint32_t i = 0; i < 150; i++) put_post(&in, i * 2 + 1), put_zeros(&in, 0, i * 2 + 1, 800);
    peer_take(&q, in.p, in.n), peer_flush(&q), (void)frames();
    CHECK_EQ(q.h.active, 150);
    in.n = 0, put_frame(&in, VT__H2_T_PING, 0, 0, "12345678", 8), put_setting(&in, VT__H2_S_STREAMS, 7);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_STR(frames(), "PING ack;SETTINGS ack;");
    q.pool = pool;
    memset(&config, 0, sizeof config), policy = ANSWER;
}

/* ---- what a conformance suite asks, by section, where no number above does ---- */
TEST(generic_2_streams) {
    uint8_t p[5] = {0, 0, 0, 0, 255};
    begin(), put_frame(&in, VT__H2_T_PRIORITY, 0, 1, p, 5), put_get(&in, 1); /* idle */
    FINE();
    begin(), put_get(&in, 1), put_word(&in, VT__H2_T_WINDOW_UPDATE, 1, 100); /* half-closed */
    put_frame(&in, VT__H2_T_PRIORITY, 0, 1, p, 5);
    FINE();
    CHECK_EQ(q.answered, 1);
    begin(), put_get(&in, 1), put_word(&in, VT__H2_T_RST_STREAM, 1, 8);
    FINE();
    fresh(), begin(), put_get(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q); /* closed */
    in.n = 0, put_frame(&in, VT__H2_T_PRIORITY, 0, 1, p, 5), put_word(&in, VT__H2_T_WINDOW_UPDATE, 1, 100);
    put_word(&in, VT__H2_T_RST_STREAM, 1, 0);
    peer_take(&q, in.p, in.n);
    CHECK_EQ(q.h.err, 0);
}
TEST(generic_3_3_priorities) {
    uint8_t p[5] = {0x80, 0, 0, 3, 255}; /* exclusive, on a stream that is idle */
    begin(), put_frame(&in, VT__H2_T_PRIORITY, 0, 5, p, 5), put_get(&in, 1),
        put_frame(&in, VT__H2_T_PRIORITY, 0, 1, p, 5);
    FINE();
    CHECK_EQ(q.answered, 1);
}
TEST(http2_3_5_settings_come_first) {
    fresh();
    peer_flush(&q);
    CHECK_STR(frames(), "SETTINGS;WU 0 65535;");
}
TEST(http2_4_1_reserved_bit_and_flags) {
    begin(), put_frame(&in, VT__H2_T_PING, 0x16, 0x80000000, "12345678", 8), put_get(&in, 1);
    FINE();
}
TEST(http2_4_2_frame_size) {
    policy = HOLD;
    begin(), put_post(&in, 1), put_zeros(&in, 0, 1, 16384);
    FINE();
    begin(), put_post(&in, 1), put_zeros(&in, 0, 1, 16385);
    DIES(VT__H2_E_LONG);
    begin(), put_frame(&in, VT__H2_T_HEADERS, WHOLE, 1, NULL, 0);
    (void)vt__str_put32(in.p + in.n - 9, 16385U << 8 | VT__H2_T_HEADERS), in.n -= 0;
    DIES(VT__H2_E_LONG);
    config.max_frame = 20000;
    begin(), put_post(&in, 1), put_zeros(&in, END, 1, 20000);
    FINE();
}
TEST(http2_4_3_blocks) { block_dies("\x40\x01", 2); }
TEST(http2_5_1_idle) {
    begin(), put_zeros(&in, 0, 1, 4);
    DIES(VT__H2_E_IDLE);
    begin(), put_word(&in, VT__H2_T_WINDOW_UPDATE, 1, 100);
    DIES(VT__H2_E_IDLE);
    begin(), put_frame(&in, VT__H2_T_CONTINUATION, WHOLE, 1, NULL, 0);
    DIES(VT__H2_E_BLOCK);
}
TEST(http2_5_1_half_closed) {
    policy = HOLD, begin(), put_get(&in, 1), put_zeros(&in, 0, 1, 4);
    RESETS(1, "STREAM_CLOSED");
    policy = HOLD, begin(), put_get(&in, 1), put_get(&in, 1);
    RESETS(1, "STREAM_CLOSED");
    begin(), put_get(&in, 1), put_frame(&in, VT__H2_T_CONTINUATION, WHOLE, 1, NULL, 0);
    DIES(VT__H2_E_BLOCK);
}
TEST(http2_5_1_closed_by_the_peer) {
    for (int hold = 0; hold < 2; hold++) {
        policy = hold ? HOLD : ANSWER;
        begin(), put_post(&in, 1), put_word(&in, VT__H2_T_RST_STREAM, 1, 8), put_zeros(&in, 0, 1, 4);
        RESETS(1, "STREAM_CLOSED");
        policy = hold ? HOLD : ANSWER;
        begin(), put_post(&in, 1), put_word(&in, VT__H2_T_RST_STREAM, 1, 8), put_get(&in, 1);
        RESETS(1, "STREAM_CLOSED");
        CHECK_EQ(q.opened, 1);
    }
}
TEST(http2_5_1_closed) {
    for (int data = 0; data < 2; data++) {
        fresh(), begin(), put_get(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
        if (data) put_zeros(&in, 0, 1, 4);
        else put_get(&in, 1);
        peer_take(&q, in.p, in.n);
        CHECK_EQ(q.h.err, VT__H2_E_CLOSED);
    }
}
TEST(
    http2_5_1_closed_by_us) { /* what was on its way is ignored, with and without the stream, and blocks are decoded */
    for (int hold = 0; hold < 2; hold++) {
        policy = hold ? HOLD : ANSWER;
        fresh(), begin(), put_post(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q), (void)frames();
        struct handler *r = peer_find(&q, 1);
        vt__h2_reset(&q.h, &r->s, VT__H2_CANCEL);
        if (!hold) peer_release(&q, r);
        in.n = 0, put_zeros(&in, 0, 1, 5), put_bomb(&in, 1, 1), put_word(&in, VT__H2_T_WINDOW_UPDATE, 1, 0);
        put_word(&in, VT__H2_T_RST_STREAM, 1, 8);
        peer_take(&q, in.p, in.n), peer_flush(&q);
        CHECK_STR(frames(), "RST 1 CANCEL;");
        CHECK_EQ(q.h.err, 0);
        CHECK_EQ(q.h.dec.t.live, 1);
        CHECK_EQ(q.h.active, hold);
        policy = ANSWER;
    }
}
TEST(nothing_is_reported_of_a_stream_reset_within_a_frame) {
    policy = HOLD;
    for (int data = 0; data < 2; data++) {
        fresh(), begin(), put_post(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q), in.n = 0;
        if (data) put_zeros(&in, END, 1, 100);
        else put_head(&in, 1, BOTH, "x", "y", "z", "z", NULL);
        peer_take(&q, in.p, 16), q.log.n = 0; /* seven bytes, or one field */
        q.data_run = 0;
        vt__h2_reset(&q.h, &peer_find(&q, 1)->s, VT__H2_CANCEL);
        peer_take(&q, in.p + 16, in.n - 16), peer_flush(&q);
        CHECK_STR(events(), "");
        CHECK_EQ(q.h.err, 0);
    }
    policy = ANSWER;
}
TEST(http2_5_1_forgotten_resets_are_ignored_too) {
    fresh(), begin(), peer_take(&q, in.p, in.n), peer_flush(&q);
    for (uint32_t id = 1; id < 200; id += 2) {
        in.n = 0, put_post(&in, id), peer_take(&q, in.p, in.n);
        peer_release(&q, peer_find(&q, id)), peer_flush(&q);
    }
    in.n = 0, put_zeros(&in, 0, 1, 5), put_zeros(&in, 0, 199, 5), peer_take(&q, in.p, in.n);
    CHECK_EQ(q.h.err, 0);
}
TEST(http2_5_3_1_dependency) {
    uint8_t self[5] = {0, 0, 0, 1, 16};
    begin(), put_frame(&in, VT__H2_T_PRIORITY, 0, 1, self, 5);
    DIES(VT__H2_E_PRIORITY);
    struct bytes b = {NULL, 0, 0};
    bytes_add(&b, self, 5), put_field(&b, ":method", "GET");
    begin(), put_frame(&in, VT__H2_T_HEADERS, BOTH | VT__H2_DEPENDS, 1, b.p, b.n);
    RESETS(1, "PROTOCOL_ERROR");
    CHECK_EQ(q.opened, 0);
    begin(), put_frame(&in, VT__H2_T_HEADERS, BOTH | VT__H2_DEPENDS, 1, b.p, 4);
    DIES(VT__H2_E_LENGTH);
    begin(), put_frame(&in, VT__H2_T_PRIORITY, 0, 1, self, 4);
    DIES(VT__H2_E_LENGTH);
    bytes_free(&b);
}
TEST(http2_6_frames_on_stream_zero) {
    static const uint8_t types[] = {VT__H2_T_DATA, VT__H2_T_HEADERS, VT__H2_T_PRIORITY, VT__H2_T_RST_STREAM};
    for (size_t i = 0; i < sizeof types; i++) {
        begin(), put_frame(&in, types[i], 0, 0, "12345", types[i] == VT__H2_T_RST_STREAM ? 4 : 5);
        DIES(VT__H2_E_PLACE);
    }
    begin(), put_frame(&in, VT__H2_T_PING, 0, 1, "12345678", 8);
    DIES(VT__H2_E_PLACE);
    begin(), put_cut_head(&in, 1, 1, true), put_frame(&in, VT__H2_T_CONTINUATION, 0, 0, "", 0);
    DIES(VT__H2_E_BLOCK);
}
TEST(http2_6_lengths) {
    begin(), put_get(&in, 1), put_frame(&in, VT__H2_T_RST_STREAM, 0, 1, "123", 3);
    DIES(VT__H2_E_LENGTH);
    begin(), put_frame(&in, VT__H2_T_PING, 0, 0, "1234567", 7);
    DIES(VT__H2_E_LENGTH);
    begin(), put_frame(&in, VT__H2_T_WINDOW_UPDATE, 0, 0, "123", 3);
    DIES(VT__H2_E_LENGTH);
}
TEST(http2_6_5_2_settings) {
    begin(), put_setting(&in, VT__H2_S_PUSH, 2);
    DIES(VT__H2_E_SETTING);
    begin(), put_setting(&in, VT__H2_S_NO_OLD_PRIORITIES, 2);
    DIES(VT__H2_E_SETTING);
    begin(), put_setting(&in, VT__H2_S_PUSH, 1), put_setting(&in, 0xff, 1),
        put_setting(&in, VT__H2_S_TABLE, 0);
    FINE();
}
TEST(b147_nothing_is_pushed) {
    fresh(), begin(), put_setting(&in, VT__H2_S_PUSH, 1), put_get(&in, 1), put_setting(&in, VT__H2_S_PUSH, 0),
        put_get(&in, 3);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_EQ(q.h.err, 0);
    CHECK_STR(frames(),
              "SETTINGS;WU 0 65535;SETTINGS ack;SETTINGS ack;SETTINGS ack;HEADERS 1 0 end;HEADERS 3 0 end;");
}
TEST(http2_6_5_3_the_last_value_counts) {
    uint8_t two[12] = {0, 4, 0, 0, 0, 100, 0, 4, 0, 0, 0, 1};
    fresh(), begin(), put_frame(&in, VT__H2_T_SETTINGS, 0, 0, two, 12), put_get(&in, 1);
    q.body = 10;
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_STR(frames(), "SETTINGS;WU 0 65535;SETTINGS ack;SETTINGS ack;HEADERS 1 0;DATA 1 1;");
}
TEST(http2_6_7_ping) {
    begin(), put_frame(&in, VT__H2_T_PING, 0, 0, "abcdefgh", 8);
    FINE();
    play(in.n, 1); /* behind SETTINGS and a window */
    CHECK_MEM(q.out.p + 9 + 18 + 13, 17, "\0\0\10\6\1\0\0\0\0abcdefgh", 17);
    begin(), put_frame(&in, VT__H2_T_PING, VT__H2_ACK, 0, "abcdefgh", 8); /* no answer to an answer */
    FINE();
    CHECK_EQ(q.counts[VT_H2_GLITCHES], 1);
}
TEST(http2_7_unknown_codes) {
    begin(), put_post(&in, 1), put_word(&in, VT__H2_T_RST_STREAM, 1, 0xff), put_get(&in, 3);
    FINE();
    CHECK(has(events(), "reset 1 ?;"));
    CHECK(has(events(), "head 3 end;"));
}
TEST(http2_8_2_push_promise) {
    begin(), put_get(&in, 1), put_frame(&in, VT__H2_T_PUSH_PROMISE, WHOLE, 1, "\0\0\0\2\x82", 5);
    DIES(VT__H2_E_PUSH);
    begin_client(), put_frame(&in, VT__H2_T_PUSH_PROMISE, WHOLE, 1, "\0\0\0\2\x88", 5);
    DIES(VT__H2_E_PUSH);
}
TEST(settings_that_are_not_acknowledged) {
    fresh();
    CHECK_EQ(vt__h2_deadline(&q.h), 10 * VT_SEC);
    CHECK_EQ(vt__h2_expire(&q.h, 10 * VT_SEC - 1), 0);
    CHECK_EQ(vt__h2_expire(&q.h, 10 * VT_SEC), VT__H2_E_ACK);
    peer_flush(&q);
    CHECK(has(frames(), "GOAWAY 0 SETTINGS_TIMEOUT;"));
    fresh(), begin(), peer_take(&q, in.p, in.n);
    CHECK_EQ(vt__h2_deadline(&q.h), INT64_MAX);
    CHECK_EQ(vt__h2_expire(&q.h, 100 * VT_SEC), 0);
}

/* ---- flow control, priorities ---- */
TEST(window_grows_with_bandwidth_and_delay) {
    policy = HOLD;
    fresh(), begin(), put_post(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q), (void)frames();
    uint32_t since = 0;
    for (int i = 0; i < 1000; i++) { /* between a probe and its answer a window of data comes */
        uint32_t n = (uint32_t)VT__MIN(peer_find(&q, 1)->s.recv_window, 16384);
        in.n = 0, put_zeros(&in, 0, 1, n), since += n;
        if (q.h.pinging && since >= q.h.target) {
            q.now += 50 * VT_MS;
            put_frame(&in, VT__H2_T_PING, VT__H2_ACK, 0, "vthttp \1", 8);
        }
        peer_take(&q, in.p, in.n);
        if (q.h.want & VT__H2_W_PROBE) since = 0;
        peer_flush(&q);
        q.out.n = q.data.n = 0;
    }
    CHECK_EQ(q.h.err, 0);
    CHECK_EQ(q.h.target, q.h.cfg->max_window);
    CHECK(vt__h2_target(&q.h) <= q.h.cfg->max_window);
    policy = ANSWER;
}
TEST(window_stays_where_a_round_trip_brings_little) {
    policy = HOLD;
    fresh(), begin(), put_post(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q), (void)frames();
    for (int i = 0; i < 100; i++) {
        in.n = 0, put_zeros(&in, 0, 1, 16384), put_frame(&in, VT__H2_T_PING, VT__H2_ACK, 0, "vthttp \1", 8);
        peer_take(&q, in.p, in.n), peer_flush(&q);
    }
    CHECK_EQ(q.h.target, 65535);
    CHECK_EQ(q.h.err, 0);
    policy = ANSWER;
}
TEST(probes_are_rare) {
    policy = HOLD;
    fresh(), q.now = VT_SEC, begin(), put_post(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q),
             (void)frames();
    size_t probes = 0;
    for (int i = 0; i < 1000; i++) { /* a second */
        q.now += VT_MS;
        in.n = 0, put_zeros(&in, 0, 1, 16384);
        if (q.h.pinging) put_frame(&in, VT__H2_T_PING, VT__H2_ACK, 0, "vthttp \1", 8);
        peer_take(&q, in.p, in.n), peer_flush(&q);
        probes += strstr(frames(), "PING") != NULL;
    }
    CHECK_EQ(q.h.err, 0);
    CHECK(probes >= 15 && probes <= 20);
    policy = ANSWER;
}
TEST(window_is_not_opened_before_data_are_consumed) {
    policy = HOLD;
    fresh(), q.late = true, begin(), put_post(&in, 1);
    for (int i = 0; i < 3; i++) put_zeros(&in, 0, 1, 16384);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK(!strstr(frames(), "WU 1"));
    struct handler *r = peer_find(&q, 1);
    CHECK_EQ(r->s.held, 3 * 16384);
    vt__h2_consumed(&q.h, &r->s, 16384), peer_flush(&q);
    CHECK_STR(frames(), "");
    vt__h2_consumed(&q.h, &r->s, 16384), peer_flush(&q);
    CHECK_STR(frames(), "WU 1 32768;");
    peer_release(&q, r), peer_flush(&q); /* what it still holds goes back to the connection */
    CHECK_EQ(q.h.held, 0);
    CHECK_STR(frames(), "RST 1 CANCEL;");
    policy = ANSWER;
}
TEST(connection_window_limits_all) {
    fresh(), q.body = 40000;
    begin(), put_get(&in, 1), put_get(&in, 3);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK(has(frames(),
              "HEADERS 1 0;HEADERS 3 0;DATA 1 16384;DATA 1 16384;DATA 1 7232 end;DATA 3 16384;DATA 3 9151;"));
    CHECK_EQ(q.h.send_window, 0);
    in.n = 0, put_get(&in, 5), put_word(&in, VT__H2_T_WINDOW_UPDATE, 3, 1000);
    q.body = 0;
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_STR(frames(), "HEADERS 5 0 end;"); /* what needs no window goes */
    in.n = 0, put_word(&in, VT__H2_T_WINDOW_UPDATE, 0, 0x7fffffff);
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK_STR(frames(), "DATA 3 14465 end;");
}
TEST(end_without_data_needs_no_window) {
    policy = HOLD;
    fresh(), begin(), put_setting(&in, VT__H2_S_WINDOW, 0), put_get(&in, 1);
    peer_take(&q, in.p, in.n);
    struct handler *r = peer_find(&q, 1);
    r->respond = 5, r->complete = false, peer_want_head(&q, r);
    peer_flush(&q), (void)frames();
    vt__h2_ready(&q.h, &r->s, 0, true), peer_flush(&q);
    CHECK_STR(frames(), "DATA 1 0 end;");
    policy = ANSWER;
}
static void put_urgent(uint32_t id, const char *priority) {
    put_head(&in, id, BOTH, GET_FIELDS, "priority", priority, NULL);
}
TEST(data_by_urgency_and_in_turn) {
    fresh(), q.body = 20000;
    begin(), put_word(&in, VT__H2_T_WINDOW_UPDATE, 0, 1 << 20);
    put_urgent(1, "u=5"), put_urgent(3, "u=3, i"), put_urgent(5, "u=3,i"), put_urgent(7, "u=0"),
        put_urgent(9, "u=5");
    put_priority(&in, 9, "u=6"), put_priority(&in, 9, "u=5;x=1, zz, i=?0");
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK(has(frames(),
              "DATA 7 16384;DATA 7 3616 end;DATA 3 16384;DATA 5 16384;DATA 3 3616 end;DATA 5 3616 end;"
              "DATA 1 16384;DATA 1 3616 end;DATA 9 16384;DATA 9 3616 end;"));
}
TEST(priority_update_beats_the_field) {
    policy = HOLD;
    begin(), put_priority(&in, 1, "u=1"), put_urgent(1, "u=5, i"), put_urgent(3, "u=5, i");
    FINE();
    CHECK_EQ(peer_find(&q, 1)->s.c.urgency, 1);
    CHECK(!peer_find(&q, 1)->s.c.incremental);
    CHECK_EQ(peer_find(&q, 3)->s.c.urgency, 5);
    CHECK(peer_find(&q, 3)->s.c.incremental);
}
TEST(one_after_another_beside_in_turn) { /* of one urgency: each kind has every other frame */
    fresh(), q.body = 33000;
    begin(), put_word(&in, VT__H2_T_WINDOW_UPDATE, 0, 1 << 20);
    put_urgent(1, "u=3"), put_urgent(3, "u=3,i"), put_urgent(5, "u=3");
    peer_take(&q, in.p, in.n), peer_flush(&q);
    CHECK(has(
        frames(),
        "DATA 1 16384;DATA 3 16384;DATA 1 16384;DATA 3 16384;DATA 1 232 end;DATA 3 232 end;DATA 5 16384;"));
}
TEST(streams_that_become_ready_late_go_by_id) {
    policy = HOLD;
    fresh(), begin(), put_get(&in, 1), put_get(&in, 3), put_get(&in, 5), put_get(&in, 7);
    peer_take(&q, in.p, in.n);
    for (uint32_t id = 1; id < 8; id += 2) {
        struct handler *r = peer_find(&q, id);
        r->respond = 0, r->s.c.sent_head = true;
    }
    const uint32_t order[] = {5, 1, 7, 3};
    for (size_t i = 0; i < 4; i++) vt__h2_ready(&q.h, &peer_find(&q, order[i])->s, 10, true);
    peer_flush(&q);
    CHECK(has(frames(), "DATA 1 10 end;DATA 3 10 end;DATA 5 10 end;DATA 7 10 end;"));
    policy = ANSWER;
}
TEST(priority_texts) {
    static const struct {
        const char *text;
        int want;
    } tests[] = {{"", 3},         {"u=0", 0},   {"u=7", 7},         {"u=8", 3},  {"u=12", 3},
                 {"i", 11},       {"u=1,i", 9}, {"i=?1 , u=2", 10}, {"i=?0", 3}, {"u=1;a=b", 1},
                 {"x=y, u=4", 4}, {"u = 1", 3}, {"i=1", 3},         {",,,", 3}};
    for (size_t i = 0; i < VT__COUNT(tests); i++)
        CHECK_EQ(vt__msg_priority(word(tests[i].text), VT__MSG_USUAL), tests[i].want);
    CHECK_EQ(vt__msg_priority(word("i"), 1), 9); /* what is not said stays */
    CHECK_EQ(vt__msg_priority(word("u=5"), 9), 13);
    CHECK_EQ(vt__msg_priority(word("i=?0"), 9), 1);
}

/* ---- what goes out ---- */
TEST(long_head_is_cut_into_continuations) {
    static uint8_t buf[70000];
    static char value[20000];
    memset(value, '~', sizeof value); /* longer in Huffman's code */
    policy = HOLD;
    fresh(), begin(), put_get(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q), (void)frames();
    struct handler *r = peer_find(&q, 1);
    vt__h2_head w;
    CHECK_EQ(vt__h2_head_begin(&q.h, &r->s, &w, buf, 1000, VT__MSG_FIN), 0);
    CHECK(vt__h2_head_field(&w, VT__HPACK_F_STATUS, word(":status"), word("200"), 0));
    CHECK(!vt__h2_head_field(&w, 0, word("x"), (vt_str){value, sizeof value}, 0));
    w.cap = sizeof buf;
    CHECK(vt__h2_head_field(&w, 0, word("x"), (vt_str){value, sizeof value}, 0));
    CHECK(vt__h2_head_field(&w, 0, word("y"), (vt_str){value, sizeof value}, 0));
    size_t used = w.at;
    w.cap = used + 17;
    CHECK_EQ(vt__h2_head_end(&w), 0);
    w.cap = used + 18;
    size_t n = vt__h2_head_end(&w);
    CHECK_EQ(n, used + 18);
    bytes_add(&q.out, buf, n);
    CHECK_STR(frames(), "HEADERS 1 0 end;CONTINUATION 1 0;CONTINUATION 1 0;");
    struct bytes block = {NULL, 0, 0}; /* and comes together again */
    for (const uint8_t *p = buf; p < buf + n; p += 9 + (vt__str_get32(p) >> 8)) {
        CHECK_EQ(p[4] & VT__H2_END_HEADERS,
                 p + 9 + (vt__str_get32(p) >> 8) == buf + n ? VT__H2_END_HEADERS : 0);
        bytes_add(&block, p + 9, vt__str_get32(p) >> 8);
    }
    vt__hpack_dec d;
    vt__hpack_field f;
    void *table = malloc(vt__hpack_mem(4096)), *room = malloc(ROOM * 4);
    vt__hpack_dec_init(&d, 4096), vt__hpack_dec_table(&d, table), vt__hpack_dec_begin(&d, room, ROOM * 4);
    const uint8_t *p = block.p;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(vt__hpack_dec_next(&d, &p, block.p + block.n, &f), 1);
        if (i) CHECK_MEM(f.value.ptr, f.value.len, value, sizeof value);
    }
    CHECK_EQ(vt__hpack_dec_next(&d, &p, block.p + block.n, &f), 0);
    free(table), free(room), bytes_free(&block);
    policy = ANSWER;
}
TEST(head_that_just_fits_a_frame) {
    static uint8_t buf[40000];
    static char value[20000];
    memset(value, '~', sizeof value);
    policy = HOLD;
    for (size_t over = 0; over < 2; over++) {
        fresh(), begin(), put_get(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q), (void)frames();
        struct handler *r = peer_find(&q, 1);
        vt__h2_head w;
        CHECK_EQ(vt__h2_head_begin(&q.h, &r->s, &w, buf, sizeof buf, VT__MSG_FIN), 0);
        size_t before = w.at, n = 16384 - 6; /* a byte, a name of two, a length of three */
        CHECK(vt__h2_head_field(&w, 0, word("x"), (vt_str){value, n + over}, VT__HPACK_NEVER));
        CHECK_EQ(w.at - before, 16384 + over);
        bytes_add(&q.out, buf, vt__h2_head_end(&w));
        CHECK_STR(frames(), over ? "HEADERS 1 0 end;CONTINUATION 1 0;" : "HEADERS 1 0 end;");
    }
    policy = ANSWER;
}
/* Writes a head with one field. */
static void head_out(struct peer *to, vt__h2_stream *s, const char *name, const char *value, int how) {
    uint8_t buf[256];
    vt__h2_head w;
    if (vt__h2_head_begin(&to->h, s, &w, buf, sizeof buf, how) < 0) abort();
    int id = name[0] == ':' ? VT__HPACK_F_STATUS : 0;
    if (!vt__h2_head_field(&w, id, word(name), word(value), 0)) abort();
    bytes_add(&to->out, buf, vt__h2_head_end(&w));
}
TEST(interim_head_body_and_trailers_in_order) {
    uint8_t head[VT__H2_FRAME];
    vt__h2_stream *s;
    size_t max;
    policy = HOLD;
    fresh(), begin(), put_get(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q), (void)frames();
    struct handler *r = peer_find(&q, 1);
    vt__h2_ready(&q.h, &r->s, 5, false);
    head_out(&q, &r->s, ":status", "103", VT__MSG_INTERIM);
    CHECK_EQ(vt__h2_pick(&q.h, &s, &max), VT__H2_OUT_NONE); /* not before the final head */
    head_out(&q, &r->s, ":status", "200", 0);
    CHECK_EQ(vt__h2_pick(&q.h, &s, &max), VT__H2_OUT_DATA);
    CHECK_EQ(max, 5);
    vt__h2_put_data(&q.h, s, 5, head), bytes_add(&q.out, head, 9), bytes_add(&q.out, "12345", 5);
    CHECK_EQ(vt__h2_pick(&q.h, &s, &max), VT__H2_OUT_NONE);
    head_out(&q, &r->s, "x-sum", "1", VT__MSG_FIN);
    CHECK_EQ(vt__h2_pick(&q.h, &s, &max), VT__H2_OUT_NONE);
    CHECK_STR(frames(), "HEADERS 1 0;HEADERS 1 0;DATA 1 5;HEADERS 1 0 end;");
    peer_release(&q, r), peer_flush(&q);
    CHECK_STR(frames(), "");
    policy = ANSWER;
}
TEST(whole_response_before_the_whole_request) { /* RFC 9113 8.1 */
    policy = HOLD;
    fresh(), begin(), put_post(&in, 1), peer_take(&q, in.p, in.n), peer_flush(&q), (void)frames();
    struct handler *r = peer_find(&q, 1);
    peer_want_head(&q, r), peer_flush(&q);
    peer_release(&q, r);
    CHECK(r->used); /* it owes a reset yet */
    CHECK_EQ(q.h.active, 0);
    peer_flush(&q);
    CHECK(!r->used);
    CHECK_STR(frames(), "HEADERS 1 0 end;RST 1 NO_ERROR;");
    in.n = 0, put_zeros(&in, END, 1, 100), peer_take(&q, in.p, in.n);
    CHECK_EQ(q.h.err, 0);
    policy = ANSWER;
}
TEST(settings_that_are_sent) {
    config.max_streams = 7, config.window = 100000, config.max_frame = 20000, config.max_head = 9,
    config.connect_protocol = true;
    config.table = 100;
    fresh(), peer_flush(&q);
    static const uint8_t want[] = {0, 3, 0,    0,    0, 7, 0, 1, 0,    0,    0, 100, 0, 4,
                                   0, 1, 0x86, 0xa0, 0, 5, 0, 0, 0x4e, 0x20, 0, 6,   0, 0,
                                   0, 9, 0,    8,    0, 0, 0, 1, 0,    9,    0, 0,   0, 1};
    CHECK_MEM(q.out.p + 9, sizeof want, want, sizeof want);
    memset(&config, 0, sizeof config);
    client = true, fresh(), client = false;
    CHECK_MEM(q.out.p, 24, VT__H2_PREFACE, 24);
    CHECK_MEM(q.out.p + 33, 6, "\0\2\0\0\0\0", 6);
}

/* ---- the client's role ---- */
#define CLIENT(...) begin_client(), put_head(&in, 1, __VA_ARGS__, NULL)
TEST(client_reads_a_response) {
    CLIENT(WHOLE, ":status", "103", "link", "x");
    put_head(&in, 1, WHOLE, ":status", "200", "content-length", "3", NULL), put_zeros(&in, 0, 1, 3);
    put_head(&in, 1, BOTH, "x", "y", NULL);
    FINE();
    CHECK_STR(
        events(),
        "settings;:status=103;link=x;inform 1 103;:status=200;content-length=3;head 1;data 1 3;x=y;trailers 1;");
    CHECK_EQ(peer_find(&q, 1)->s.c.ended, VT__MSG_BOTH);
}
TEST(client_is_not_informed_for_ever) {
    client = true, fresh(), client = false;
    in.n = 0, put_frame(&in, VT__H2_T_SETTINGS, 0, 0, NULL, 0);
    for (int i = 0; i < 1001; i++) put_head(&in, 1, WHOLE, ":status", "103", NULL);
    peer_take(&q, in.p, in.n);
    CHECK_EQ(q.h.flood, VT_H2_EMPTIES);
    CHECK_EQ(q.h.err, VT__H2_E_FLOOD);
}
TEST(client_refuses_what_is_malformed) {
    static const char *const bad[] = {"99", "600", "20", "2000", "2x0", "101", ""};
    for (size_t i = 0; i < VT__COUNT(bad); i++) CLIENT(BOTH, ":status", bad[i]), RESETS(1, "PROTOCOL_ERROR");
    CLIENT(BOTH, "x", "y"), RESETS(1, "PROTOCOL_ERROR");
    CLIENT(BOTH, ":status", "200", ":status", "200"), RESETS(1, "PROTOCOL_ERROR");
    CLIENT(BOTH, ":status", "200", ":path", "/"), RESETS(1, "PROTOCOL_ERROR");
    CLIENT(BOTH, ":status", "100"), RESETS(1, "PROTOCOL_ERROR");
    CLIENT(BOTH, ":status", "200", "connection", "close"), RESETS(1, "PROTOCOL_ERROR");
    CLIENT(BOTH, ":status", "200", "content-length", "1"), RESETS(1, "PROTOCOL_ERROR");
    CLIENT(WHOLE, ":status", "204"), put_zeros(&in, END, 1, 1), RESETS(1, "PROTOCOL_ERROR");
    CLIENT(BOTH, ":status", "304", "content-length", "100"), FINE();
    begin_client(), put_zeros(&in, 0, 1, 1), RESETS(1, "PROTOCOL_ERROR");
    begin_client(), put_head(&in, 3, BOTH, ":status", "200", NULL), DIES(VT__H2_E_ID);
    begin_client(), put_head(&in, 2, BOTH, ":status", "200", NULL), DIES(VT__H2_E_ID);
    begin_client(), put_setting(&in, VT__H2_S_PUSH, 1), DIES(VT__H2_E_SETTING);
    begin_client(), put_priority(&in, 1, "u=1"), DIES(VT__H2_E_PRIORITY);
    in.n = 0, client = true, put_head(&in, 1, BOTH, ":status", "200", NULL), DIES(VT__H2_E_FIRST);
}
TEST(client_refuses_the_end_in_an_interim_head_over_the_limits) {
    config.max_head = 100;
    CLIENT(BOTH, ":status", "103", "link", "x", "too", "large and more than there may be of that");
    RESETS(1, "PROTOCOL_ERROR");
}
TEST(client_asks_for_a_head_or_a_tunnel) {
    client = true;
    for (int head = 0; head < 2; head++) {
        fresh();
        vt__h2_stream *s = &peer_find(&q, 1)->s;
        s->c.bodyless = head, s->c.tunnel = !head;
        in.n = 0, put_frame(&in, VT__H2_T_SETTINGS, 0, 0, NULL, 0);
        put_head(&in, 1, head ? BOTH : WHOLE, ":status", "200", "content-length", "7", NULL);
        if (!head) put_zeros(&in, 0, 1, 100);
        peer_take(&q, in.p, in.n), peer_flush(&q);
        CHECK(!strstr(frames(), "RST"));
        CHECK(has(events(), head ? "head 1 end;" : "head 1;data 1 100;"));
    }
    client = false;
}
TEST(client_keeps_the_limit_of_streams) {
    client = true, fresh(), client = false;
    struct handler *two = peer_handler(&q), *three = peer_handler(&q);
    in.n = 0, put_setting(&in, VT__H2_S_STREAMS, 2), peer_take(&q, in.p, in.n);
    CHECK_EQ(peer_open(&q, two), 0);
    CHECK_EQ(peer_open(&q, three), VT__H2_E_NO_MORE);
    peer_flush(&q), (void)frames();
    CHECK_EQ(two->s.id, 3);
    peer_release(&q, two);
    CHECK_EQ(peer_open(&q, three), 0);
    peer_release(&q, three), three = peer_handler(&q); /* before it was sent: nothing is said of it */
    peer_flush(&q);
    CHECK_STR(frames(), "RST 3 CANCEL;");
    CHECK_EQ(peer_open(&q, three), 0);
    in.n = 0, put_frame(&in, VT__H2_T_GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8), peer_take(&q, in.p, in.n);
    CHECK(has(events(), "goaway 1 NO_ERROR;"));
    peer_flush(&q);
    CHECK_EQ(three->s.id, 0);
    CHECK_EQ(peer_open(&q, three), VT__H2_E_NO_MORE);
    CHECK(!vt__h2_finished(&q.h));
    peer_release(&q, peer_find(&q, 1)), peer_flush(&q);
    CHECK(vt__h2_finished(&q.h));
}
TEST(client_pings) {
    client = true, fresh(), client = false;
    (void)frames(), vt__h2_ping(&q.h), vt__h2_ping(&q.h), peer_flush(&q);
    CHECK_STR(frames(), "PING;");
    in.n = 0, put_frame(&in, VT__H2_T_SETTINGS, 0, 0, NULL, 0);
    put_frame(&in, VT__H2_T_PING, VT__H2_ACK, 0, "vthttp \2", 8),
        put_frame(&in, VT__H2_T_PING, VT__H2_ACK, 0, "vthttp \2", 8);
    peer_take(&q, in.p, in.n);
    CHECK_STR(events(), "settings;pong;");
}

/* ---- two machines, and peers that misbehave ---- */
static size_t below(uint64_t *seed, size_t n) { return (size_t)(test_rand(seed) % n); }
/* Hands over up to n bytes. */
static void carry(struct peer *from, struct peer *to, size_t n) {
    n = VT__MIN(n, from->out.n);
    peer_take(to, from->out.p, n), peer_flush_run(to);
    if (n) memmove(from->out.p, from->out.p + n, from->out.n - n);
    from->out.n -= n;
}
TEST(two_machines) {
    for (int round = 0; round < 20; round++) {
        uint64_t seed = test_seed() + (uint64_t)round, cancelled = 0, asked = 0;
        struct peer c = {.cfg = {.max_window = 1 << 18}}, s = {.cfg = {.max_streams = 20}};
        peer_start(&c, false), peer_start(&s, true);
        s.body = below(&seed, 3) ? below(&seed, 50000) : 0;
        for (int i = 0; i < 4000; i++) {
            size_t most = (size_t)1 << below(&seed, 18), what = below(&seed, 8);
            struct handler *r = &c.pool[below(&seed, POOL)];
            c.now = s.now += VT_MS;
            if (what < 3 && asked < 300) {
                r = peer_handler(&c);
                if (r) r->respond = below(&seed, 2) ? below(&seed, 40000) : 0;
                if (r && peer_open(&c, r) < 0) r->used = false;
                else asked += r != NULL;
            } else if (what == 3 && r->used && r->s.id && below(&seed, 8) == 0 && !r->s.released) {
                cancelled++, peer_release(&c, r);
            }
            while (below(&seed, 4) && peer_send(&c)) continue;
            while (below(&seed, 4) && peer_send(&s)) continue;
            carry(&c, &s, most), carry(&s, &c, most);
            for (size_t k = 0; k < POOL; k++)
                if (c.pool[k].used && !c.pool[k].s.released) peer_wrote(&c, &c.pool[k]);
        }
        for (int i = 0; i < 2000; i++) {
            peer_flush(&c), peer_flush(&s), carry(&c, &s, 1 << 20), carry(&s, &c, 1 << 20);
            for (size_t k = 0; k < POOL; k++)
                if (c.pool[k].used && !c.pool[k].s.released) peer_wrote(&c, &c.pool[k]);
        }
        CHECK_EQ(c.h.err, 0);
        CHECK_EQ(s.h.err, 0);
        CHECK_EQ(c.h.active, 0);
        CHECK_EQ(s.h.active, 0);
        CHECK_EQ(c.answered + cancelled + c.reset, asked);
        CHECK_EQ(c.h.held + s.h.held, 0);
        CHECK(asked > 100);
        vt__h2_shutdown(&s.h, s.now);
        for (int i = 0; i < 4; i++) peer_flush(&c), peer_flush(&s), carry(&c, &s, 1000), carry(&s, &c, 1000);
        CHECK(vt__h2_finished(&s.h));
        CHECK(vt__h2_finished(&c.h));
        if (test_failures) printf("  seed %llu\n", (unsigned long long)(test_seed() + (uint64_t)round));
        peer_free(&c), peer_free(&s);
        if (test_failures) return;
    }
}
/* Frames that a peer may or may not send. */
static void put_random(struct bytes *b, uint64_t *seed) {
    uint32_t id = (uint32_t)below(seed, 30), top = 1 + (uint32_t)below(seed, 4);
    uint8_t junk[64];
    for (size_t i = 0; i < sizeof junk; i++) junk[i] = (uint8_t)test_rand(seed);
    size_t n = below(seed, sizeof junk);
    static uint32_t next;
    next = b->n < 100 ? 1 : next;
    switch (below(seed, 16)) {
    case 0: put_frame(b, (unsigned)below(seed, 20), (unsigned)test_rand(seed), id, junk, n); break;
    case 1: put_frame(b, VT__H2_T_HEADERS, (unsigned)test_rand(seed), next, junk, n), next += 2; break;
    case 2:
        put_word(b, VT__H2_T_WINDOW_UPDATE, id % 5 ? id | 1 : 0,
                 (uint32_t)test_rand(seed) >> below(seed, 32));
        break;
    case 3: put_word(b, VT__H2_T_RST_STREAM, id | 1, 8); break;
    case 4: put_setting(b, (unsigned)below(seed, 10), (uint32_t)test_rand(seed) >> below(seed, 32)); break;
    case 5: put_frame(b, VT__H2_T_PING, test_rand(seed) & 1, 0, junk, 8); break;
    case 6: put_zeros(b, (unsigned)test_rand(seed) & END, id | 1, below(seed, 5000)); break;
    case 7: put_priority(b, id | 1, "u=1,i"); break;
    case 8: put_cut_head(b, next, top, false), next += 2; break;
    case 9: put_bomb(b, next, n), next += 2; break;
    case 10: put_head(b, id | 1, BOTH, "x", "y", NULL); break;
    case 11: put_frame(b, VT__H2_T_DATA, VT__H2_PADDED, id | 1, junk, n); break;
    case 12: put_frame(b, VT__H2_T_PRIORITY, 0, id | 1, junk, 5); break;
    case 13: put_post(b, next), put_zeros(b, END, next, n), next += 2; break;
    default: put_get(b, next), next += 2; break;
    }
}
TEST(peers_that_misbehave) {
    size_t died = 0, lived = 0;
    for (int round = 0; round < 1000; round++) {
        uint64_t seed = test_seed() * 31 + (uint64_t)round;
        in.n = 0, put_preface(&in);
        /* few frames in every other round: hardly any connection outlives many */
        for (uint64_t i = 1 + below(&seed, round & 1 ? 3 : 40); i > 0; i--) put_random(&in, &seed);
        config.max_streams = 8;
        policy = (enum policy)below(&seed, 3);
        play(in.n, 1);
        struct bytes log = q.log;
        int err = q.h.err;
        q.log = (struct bytes){NULL, 0, 0};
        play(1 + below(&seed, in.n), 1 + below(&seed, 50));
        CHECK_EQ(q.h.err, err);
        CHECK(bytes_same(&log, &q.log));
        CHECK(q.h.active <= 8 && q.h.replied <= VT__H2_REPLIES);
        CHECK(err == 0 || (err <= VT__H2_E_PREFACE && err >= VT__H2_E_NO_MORE));
        (void)frames(); /* which are whole */
        if (err) died++;
        else lived++;
        size_t used = 0;
        for (size_t i = 0; i < POOL; i++) used += q.pool[i].used;
        CHECK_EQ(used, q.h.active);
        for (size_t i = 0; i < POOL; i++)
            if (q.pool[i].used) peer_release(&q, &q.pool[i]);
        peer_flush(&q);
        for (size_t i = 0; i < POOL; i++) CHECK(!q.pool[i].used);
        CHECK_EQ(q.h.active, 0);
        CHECK_EQ(q.h.held, 0);
        bytes_free(&log);
        if (test_failures) {
            printf("  round %d of seed 0x%llx\n", round, (unsigned long long)test_seed());
            break;
        }
    }
    CHECK(test_failures || (died > 100 && lived > 100));
    memset(&config, 0, sizeof config), policy = ANSWER;
}
TEST(sizes) {
    CHECK(sizeof(vt__h2) - sizeof(vt__hpack_dec) - sizeof(vt__hpack_enc) < 960);
    CHECK(sizeof(vt__h2_stream) <= 128);
}
