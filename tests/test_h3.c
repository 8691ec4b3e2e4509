/* The HTTP/3 machine: messages, what each frame may be and where, the codes of list B (45 to 49) and of h3spec, wherever a
 * stream is cut, streams that wait for QPACK, both ends against each other, and memory that runs out. */
/* variants: default asan i386 */
#define VTHTTP_H3 1
#define VTHTTP_SIM 1 /* an allocator that fails; no TLS needed */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "h3peer.h"
#include "test.h"

#include "blocks.h"

static struct peer q;
static struct bytes in, section;
enum { CLIENT_CONTROL = 2, CLIENT_ENCODER = 6, CLIENT_DECODER = 10, SERVER_CONTROL = 3 };
#define GET ":method=GET;:scheme=https;:authority=a;:path=/;"
#define GET_SAID "open 0;:method=GET;:scheme=https;:authority=a;:path=/;head 0;"
#define POST ":method=POST;:scheme=https;:authority=a;:path=/;"
#define POST_SAID "open 0;:method=POST;:scheme=https;:authority=a;:path=/;"
#define ERROR(name) VT__H3_E_##name

static struct bytes *begin(void) {
    in.n = 0;
    return &in;
}
static void start(bool server, const vt__h3_cfg *cfg) {
    peer_free(&q);
    if (cfg) q.cfg = *cfg;
    peer_start(&q, server);
}
static void give(uint64_t id, bool fin) { peer_take(&q, id, in.p, in.n, fin); }
/* The peer's control stream with SETTINGS, nothing of which is logged. */
static void settle(const uint64_t *settings) {
    begin();
    put_int(&in, VT__H3_K_CONTROL);
    put_ints(&in, VT__H3_T_SETTINGS, settings);
    give(q.h.server ? CLIENT_CONTROL : SERVER_CONTROL, false);
    CHECK_EQ(q.rc, 0);
    peer_flush_run(&q);
    bytes_add(&q.log, "", 1);
    CHECK_STR((const char *)q.log.p, "settings;");
    q.log.n = 0;
}
static void serve(void) {
    start(true, NULL);
    settle(INTS(VT__H3_S_HEAD, 1000));
}
/* What was reported since the last time. */
static const char *said(void) {
    peer_flush_run(&q);
    bytes_add(&q.log, "", 1);
    q.log.n = 0;
    return (const char *)q.log.p;
}
static void get(uint64_t id) { begin(), put_head(&in, GET), give(id, true); }
static bool has(const char *text, const char *what) { return strstr(text, what) != NULL; }
static const uint8_t *out(int pipe, size_t *n) {
    const uint8_t *p;
    *n = vt__h3_out(&q.h, pipe, &p);
    return p;
}

/* ---- messages ---- */
TEST(a_request) {
    serve();
    get(0);
    CHECK_STR(said(), GET_SAID "end 0;");
    begin(), put_head(&in, POST "content-length=5;");
    put_frame(&in, VT__H3_T_DATA, "he", 2), put_frame(&in, VT__H3_T_DATA, "", 0),
        put_frame(&in, VT__H3_T_DATA, "llo", 3);
    put_head(&in, "x-sum=1;");
    give(4, false);
    CHECK_STR(
        said(),
        "open 4;:method=POST;:scheme=https;:authority=a;:path=/;content-length=5;head 4;data 4 5;x-sum=1;"
        "trailers 4;");
    CHECK_MEM(q.data.p, q.data.n, "hello", 5);
    CHECK_EQ(q.rc, 0);
    CHECK_EQ(q.h.active, 0);
}
TEST(the_end_comes_by_itself) {
    serve();
    begin(), put_head(&in, GET), give(0, false);
    CHECK_STR(said(), GET_SAID);
    CHECK_EQ(q.heads_end, 0);
    begin(), give(0, true);
    CHECK_STR(said(), "end 0;");
    begin(), put_head(&in, POST), put_frame(&in, VT__H3_T_DATA, "x", 1), give(4, false);
    begin(), give(4, true);
    CHECK(has(said(), "data 4 1;end 4;"));
    get(8);
    CHECK_EQ(q.heads_end, 1);
}
TEST(responses) {
    start(false, NULL);
    settle(INTS(0x21, 0));
    struct handler *r = peer_new(&q, 0);
    CHECK_EQ(vt__h3_open(&q.h, &r->s, 0), 0);
    begin(), put_head(&in, ":status=103;link=x;"), put_head(&in, ":status=200;content-length=1;");
    put_frame(&in, VT__H3_T_DATA, "x", 1), give(0, true);
    CHECK_STR(said(), ":status=103;link=x;inform 0 103;:status=200;content-length=1;head 0;data 0 1;end 0;");
    static const struct {
        const char *head, *want;
        bool bodyless, tunnel;
    } all[] = {
        {":status=204;content-length=7;", "end", false, false},
        {":status=304;content-length=7;", "end", false, false},
        {":status=200;content-length=7;", "end", true, false},
        {":status=200;content-length=7;", "reset", false, false},
        {":status=200;content-length=7;", "end", false, true},
        {":status=404;content-length=7;", "reset", false, true},
        {":status=103;", "reset", false, false},
        {":status=101;", "reset", false, false},
        {":status=20;", "reset", false, false},
        {"x=y;", "reset", false, false},
        {":status=200;:path=/;", "reset", false, false},
        {":status=200;connection=close;", "reset", false, false},
        {"", "reset", false, false},
    };
    for (size_t i = 0; i < VT__COUNT(all); i++) {
        uint64_t id = 4 + 4 * i;
        CHECK((r = peer_new(&q, id)) && vt__h3_open(&q.h, &r->s, id) == 0);
        r->s.c.bodyless = all[i].bodyless, r->s.c.tunnel = all[i].tunnel;
        begin();
        if (*all[i].head) put_head(&in, all[i].head);
        give(id, true);
        CHECK_EQ(q.rc, 0);
        const char *text = said();
        if (!has(text, all[i].want)) printf("%s: %s\n", all[i].head, text);
        CHECK(has(text, all[i].want));
        CHECK(strcmp(all[i].want, "reset") != 0 || has(text, "MESSAGE_ERROR"));
    }
}
/* The rules of @msg, one of each; what is good goes through. h3spec's 2 to 5 are here. */
TEST(b46_malformed_requests) {
    static const struct {
        const char *list;
        bool ok;
    } all[] = {
        {GET ":method=GET;", false},                    /* h3spec 2: duplicated */
        {":scheme=https;:authority=a;:path=/;", false}, /* h3spec 3: absent */
        {":method=GET;:authority=a;:path=/;", false},
        {":method=GET;:scheme=https;:authority=a;", false},
        {":method=GET;:scheme=https;:path=/;", false},
        {":method=GET;:scheme=https;:path=/;host=a;", true},
        {GET ":status=200;", false}, /* h3spec 4: prohibited */
        {GET ":foo=bar;", false},
        {":method=GET;:scheme=https;:authority=a;x=y;:path=/;", false}, /* h3spec 5: after fields */
        {GET "host=a;", true},
        {GET "host=b;", false},
        {GET "connection=close;", false},
        {GET "keep-alive=1;", false},
        {GET "proxy-connection=1;", false},
        {GET "transfer-encoding=chunked;", false},
        {GET "upgrade=x;", false},
        {GET "te=trailers;", true},
        {GET "te=gzip;", false},
        {GET "X-Upper=1;", false},
        {GET "x= 1;", false},
        {GET "x=a\nb;", false},
        {GET "content-length=x;", false},
        {GET "content-length=0;content-length=0;", false},
        {":method=GET;:scheme=https;:authority=a;:path=;", false},
        {":method=GET;:scheme=https;:authority=a;:path=x;", false},
        {":method=GET;:scheme=https;:authority=a;:path=*;", false},
        {":method=OPTIONS;:scheme=https;:authority=a;:path=*;", true},
        {":method=CONNECT;:authority=a:1;", true},
        {":method=CONNECT;:authority=a:1;:path=/;", false},
        {":method=CONNECT;:authority=a;", false},
        {":method=CONNECT;:protocol=websocket;:scheme=https;:authority=a;:path=/;",
         false}, /* not announced */
        {GET ":protocol=websocket;", false},
    };
    for (size_t i = 0; i < VT__COUNT(all); i++) {
        serve();
        begin(), put_head(&in, all[i].list), give(0, true);
        const char *text = said();
        bool ok = has(text, "end 0;") && !has(text, "reset");
        if (ok != all[i].ok) printf("%s: %s\n", all[i].list, text);
        CHECK_EQ(ok, all[i].ok);
        CHECK(ok || has(text, "reset 0 MESSAGE_ERROR;"));
        CHECK_EQ(q.rc, 0);
        get(4);
        CHECK(has(said(), "end 4;"));
    }
}
TEST(b46_content_length) {
    static const struct {
        const char *head;
        size_t data;
        const char *want;
    } all[] = {
        {"content-length=3;", 3, "data 0 3;end 0;"},
        {"content-length=3;", 2, "reset 0 MESSAGE_ERROR;"},
        {"content-length=3;", 4, "reset 0 MESSAGE_ERROR;"},
        {"content-length=0;", 1, "reset 0 MESSAGE_ERROR;"},
        {"content-length=1;", 0, "reset 0 MESSAGE_ERROR;"},
        {"content-length=9223372036854775807;", 1, "reset 0 MESSAGE_ERROR;"},
    };
    for (size_t i = 0; i < VT__COUNT(all); i++)
        for (int trailers = 0; trailers < 2; trailers++) {
            serve();
            char list[200];
            snprintf(list, sizeof list, POST "%s", all[i].head);
            begin(), put_head(&in, list);
            if (all[i].data) put_frame(&in, VT__H3_T_DATA, "xxxx", all[i].data);
            if (trailers) put_head(&in, "x=y;");
            give(0, true);
            const char *text = said();
            CHECK(has(text, trailers && i == 0 ? "data 0 3;x=y;trailers 0;" : all[i].want));
            CHECK_EQ(q.rc, 0);
        }
}
/* A length that nobody could have costs nothing; what it promises is missed when the stream ends. */
TEST(b46_frames_of_any_length) {
    serve();
    begin(), put_head(&in, POST), put_int(&in, VT__H3_T_DATA), put_int(&in, (UINT64_C(1) << 62) - 1);
    bytes_add(&in, "abc", 3), give(0, false);
    CHECK_STR(said(), POST_SAID "head 0;data 0 3;");
    begin(), give(0, true);
    CHECK_EQ(q.rc, ERROR(CUT));
    serve();
    begin(), put_int(&in, 0x21), put_int(&in, (UINT64_C(1) << 62) - 1), bytes_add(&in, "abc", 3),
        give(0, false);
    begin(), put_int(&in, (UINT64_C(1) << 62) - 1), put_int(&in, 5), bytes_add(&in, "abcde", 5),
        put_head(&in, GET);
    give(4, true);
    CHECK_STR(said(), "open 4;:method=GET;:scheme=https;:authority=a;:path=/;head 4;end 4;");
    for (int i = 0; i < 3; i++) { /* cut: in a type, in a length, in a payload */
        serve(), begin(), put_head(&in, POST), put_int(&in, 0x4021), put_int(&in, 300);
        in.n -= (size_t)(i == 0 ? 3 : i == 1 ? 1 : 0);
        give(0, true);
        CHECK_EQ(q.rc, ERROR(CUT));
    }
    serve();
    begin(), put_int(&in, VT__H3_T_HEADERS), put_int(&in, (UINT64_C(1) << 62) - 1), give(0, false);
    CHECK_EQ(q.rc, ERROR(LARGE));
    CHECK_EQ(vt__h3_code(&q.h), VT__H3_EXCESSIVE_LOAD);
}
TEST(streams_that_say_nothing) {
    serve();
    begin(), give(0, true);
    CHECK_STR(said(), "reset 0 REQUEST_INCOMPLETE;");
    begin(), put_frame(&in, 0x21, "x", 1), give(4, true);
    CHECK_STR(said(), "reset 4 REQUEST_INCOMPLETE;");
    begin(), give(14, true); /* a unidirectional one without its type */
    begin(), bytes_add(&in, "\x40", 1), give(18, true);
    CHECK_EQ(q.rc, 0);
}

/* ---- what makes an end: h3spec's cases and list B by number ---- */
/* Bytes on a stream after SETTINGS (id 0, a request) that end the connection. */
static void fatal(uint64_t id, bool fin, int want, uint64_t code) {
    give(id, fin);
    CHECK_EQ(q.rc, want);
    CHECK_EQ(vt__h3_code(&q.h), code);
    CHECK(vt__h3_err_of(want)->text[0] != 0);
    vt__msg_event ev;
    const uint8_t *p = NULL;
    CHECK_EQ(vt__h3_recv(&q.h, NULL, &p, p, false, q.now, &ev), want); /* and stays so */
    CHECK(vt__h3_finished(&q.h));
}
#define FATAL(id, fin, name, code) fatal(id, fin, ERROR(name), VT__H3_##code)
TEST(h3spec_01_data_before_headers) {
    serve();
    begin(), put_frame(&in, VT__H3_T_DATA, "x", 1);
    FATAL(0, false, FRAME, FRAME_UNEXPECTED);
}
TEST(b46_headers_and_data_after_trailers) {
    for (int i = 0; i < 2; i++) {
        start(true, NULL), q.policy = HOLD, settle(INTS(0x21, 0));
        begin(), put_head(&in, POST), put_head(&in, "x=y;");
        if (i) put_head(&in, "x=y;");
        else put_frame(&in, VT__H3_T_DATA, "", 0);
        FATAL(0, false, FRAME, FRAME_UNEXPECTED);
        CHECK(has(said(), "trailers 0;"));
    }
    start(true, NULL), q.policy = HOLD, settle(INTS(0x21, 0));
    begin(), put_head(&in, POST), put_head(&in, "x=y;"), put_frame(&in, 0x21, "abc", 3), give(0, true);
    CHECK_EQ(q.rc, 0); /* what means nothing may follow */
}
TEST(b46_pseudo_fields_in_trailers) {
    serve();
    begin(), put_head(&in, POST), put_head(&in, ":path=/;"), give(0, false);
    CHECK(has(said(), "reset 0 MESSAGE_ERROR;"));
    begin(), put_head(&in, POST), put_head(&in, "content-length=0;"), give(4, false);
    CHECK(has(said(), "reset 4 MESSAGE_ERROR;"));
}
TEST(h3spec_06_missing_settings) {
    static const uint64_t types[] = {VT__H3_T_DATA, VT__H3_T_HEADERS, VT__H3_T_GOAWAY, 0x21,
                                     VT__H3_T_MAX_PUSH_ID};
    for (size_t i = 0; i < VT__COUNT(types); i++) {
        start(true, NULL);
        begin(), put_int(&in, VT__H3_K_CONTROL), put_frame(&in, types[i], "\0", 1);
        FATAL(CLIENT_CONTROL, false, FIRST, MISSING_SETTINGS);
    }
}
TEST(h3spec_07_08_09_frames_of_the_control_stream) {
    static const uint64_t types[] = {
        VT__H3_T_DATA, VT__H3_T_HEADERS, VT__H3_T_SETTINGS, VT__H3_T_PUSH_PROMISE, 2, 6, 8, 9};
    for (size_t i = 0; i < VT__COUNT(types); i++) {
        serve();
        begin(), put_frame(&in, types[i], "", 0);
        FATAL(CLIENT_CONTROL, false, FRAME, FRAME_UNEXPECTED);
    }
}
TEST(h3spec_10_11_settings) {
    static const uint64_t ids[][4] = {{6, 1, 6, 1},  {1, 0, 1, 0},  {2, 0, 99, 0},
                                      {3, 0, 99, 0}, {4, 0, 99, 0}, {5, 0, 99, 0},
                                      {8, 2, 99, 0}, {7, 0, 7, 0},  {8, 1, 8, 1}};
    for (size_t i = 0; i < VT__COUNT(ids); i++) {
        start(true, NULL);
        begin(), put_int(&in, VT__H3_K_CONTROL);
        put_ints(&in, VT__H3_T_SETTINGS, INTS(ids[i][0], ids[i][1], ids[i][2], ids[i][3]));
        FATAL(CLIENT_CONTROL, false, SETTING, SETTINGS_ERROR);
    }
    start(true, NULL); /* unknown ones, also twice */
    settle(INTS(0x21, 7, 0x21, 7, (UINT64_C(1) << 62) - 1, 3, 6, 500, 1, 100, 7, 5, 8, 1));
    CHECK(q.h.peer_head == 500 && q.h.peer_table == 100 && q.h.peer_blocked == 5 &&
          q.h.peer_connect_protocol);
    start(true, NULL);
    begin(), put_int(&in, VT__H3_K_CONTROL), put_frame(&in, VT__H3_T_SETTINGS, "\x06", 1);
    FATAL(CLIENT_CONTROL, false, LENGTH, FRAME_ERROR);
    start(true, NULL);
    begin(), put_int(&in, VT__H3_K_CONTROL), put_frame(&in, VT__H3_T_SETTINGS, "\x06\x40", 2);
    FATAL(CLIENT_CONTROL, false, LENGTH, FRAME_ERROR);
    start(true, NULL);
    begin(), put_int(&in, VT__H3_K_CONTROL), put_int(&in, VT__H3_T_SETTINGS), put_int(&in, 4097);
    FATAL(CLIENT_CONTROL, false, LARGE, EXCESSIVE_LOAD);
}
TEST(h3spec_12_frames_of_request_streams) {
    static const uint64_t types[] = {VT__H3_T_CANCEL_PUSH,
                                     VT__H3_T_SETTINGS,
                                     VT__H3_T_GOAWAY,
                                     VT__H3_T_MAX_PUSH_ID,
                                     VT__H3_T_PUSH_PROMISE,
                                     VT__H3_T_PRIORITY_UPDATE,
                                     VT__H3_T_PRIORITY_UPDATE_PUSH,
                                     2,
                                     6,
                                     8,
                                     9};
    for (size_t i = 0; i < VT__COUNT(types); i++) {
        serve();
        begin(), put_head(&in, POST), put_frame(&in, types[i], "\0", 1);
        FATAL(0, false, FRAME, FRAME_UNEXPECTED);
    }
}
TEST(h3spec_13_invalid_static_index) {
    serve();
    begin(), put_frame(&in, VT__H3_T_HEADERS, "\0\0\xff\x24", 4);
    FATAL(0, false, SECTION, QPACK_DECOMPRESSION_FAILED);
    serve();
    begin(), put_frame(&in, VT__H3_T_HEADERS, "", 0);
    FATAL(0, false, SECTION, QPACK_DECOMPRESSION_FAILED);
}
TEST(h3spec_14_table_capacity_over_the_limit) {
    serve();
    begin(), put_int(&in, VT__H3_K_ENCODER), bytes_add(&in, "\x3f\xe1\x1f", 3), give(CLIENT_ENCODER, false);
    CHECK_EQ(q.rc, 0); /* 4096 */
    begin(), bytes_add(&in, "\x3f\xe2\x1f", 3);
    FATAL(CLIENT_ENCODER, false, ENCODER, QPACK_ENCODER_STREAM_ERROR);
}
TEST(h3spec_15_control_stream_closed) {
    for (int i = 0; i < 6; i++) {
        static const uint64_t ids[] = {CLIENT_CONTROL, CLIENT_ENCODER, CLIENT_DECODER};
        serve();
        begin(), put_int(&in, VT__H3_K_ENCODER), give(CLIENT_ENCODER, false);
        begin(), put_int(&in, VT__H3_K_DECODER), give(CLIENT_DECODER, false);
        CHECK_EQ(q.rc, 0);
        if (i < 3) {
            begin();
            FATAL(ids[i], true, CRITICAL, CLOSED_CRITICAL_STREAM);
        } else {
            vt__msg_event ev;
            CHECK_EQ(vt__h3_on_reset(&q.h, &peer_find(&q, ids[i - 3])->s, 0, 0, &ev), ERROR(CRITICAL));
        }
    }
    serve();
    vt__msg_event ev;
    CHECK_EQ(vt__h3_on_stop(&q.h, NULL, 0, 0, &ev), ERROR(CRITICAL));
    CHECK_EQ(vt__h3_code(&q.h), VT__H3_CLOSED_CRITICAL_STREAM);
}
TEST(h3spec_16_insert_count_increment_0) {
    serve();
    begin(), put_int(&in, VT__H3_K_DECODER), bytes_add(&in, "\0", 1);
    FATAL(CLIENT_DECODER, false, DECODER, QPACK_DECODER_STREAM_ERROR);
}
TEST(b45_streams_that_may_not_be) {
    static const uint64_t kinds[] = {VT__H3_K_CONTROL, VT__H3_K_ENCODER, VT__H3_K_DECODER};
    for (size_t i = 0; i < VT__COUNT(kinds); i++) {
        serve();
        if (i) begin(), put_int(&in, kinds[i]), give(CLIENT_ENCODER, false);
        begin(), put_int(&in, kinds[i]);
        FATAL(CLIENT_DECODER, false, SECOND, STREAM_CREATION_ERROR);
    }
    serve();
    begin(), put_int(&in, VT__H3_K_PUSH);
    FATAL(CLIENT_DECODER, false, CREATION, STREAM_CREATION_ERROR);
    start(false, NULL);
    begin(), put_int(&in, VT__H3_K_PUSH);
    FATAL(7, false, ID, ID_ERROR);
    start(false, NULL);
    begin();
    FATAL(1, false, CREATION, STREAM_CREATION_ERROR);
}
TEST(b45_push) {
    serve();
    begin(), put_ints(&in, VT__H3_T_MAX_PUSH_ID, INTS(5)), put_ints(&in, VT__H3_T_MAX_PUSH_ID, INTS(5)),
        give(CLIENT_CONTROL, false);
    CHECK_EQ(q.rc, 0);
    begin(), put_ints(&in, VT__H3_T_MAX_PUSH_ID, INTS(4));
    FATAL(CLIENT_CONTROL, false, ID, ID_ERROR);
    serve();
    begin(), put_ints(&in, VT__H3_T_CANCEL_PUSH, INTS(0));
    FATAL(CLIENT_CONTROL, false, ID, ID_ERROR);
    serve();
    begin(), put_ints(&in, VT__H3_T_PRIORITY_UPDATE_PUSH, INTS(0));
    FATAL(CLIENT_CONTROL, false, ID, ID_ERROR);
    start(false, NULL), settle(INTS(0x21, 0));
    begin(), put_ints(&in, VT__H3_T_CANCEL_PUSH, INTS(0));
    FATAL(SERVER_CONTROL, false, ID, ID_ERROR);
    static const uint64_t types[] = {VT__H3_T_MAX_PUSH_ID, VT__H3_T_PRIORITY_UPDATE,
                                     VT__H3_T_PRIORITY_UPDATE_PUSH};
    for (size_t i = 0; i < VT__COUNT(types); i++) {
        start(false, NULL), settle(INTS(0x21, 0));
        begin(), put_ints(&in, types[i], INTS(0));
        FATAL(SERVER_CONTROL, false, FRAME, FRAME_UNEXPECTED);
    }
    start(false, NULL), settle(INTS(0x21, 0));
    struct handler *r = peer_new(&q, 0);
    CHECK_EQ(vt__h3_open(&q.h, &r->s, 0), 0);
    begin(), put_ints(&in, VT__H3_T_PUSH_PROMISE, INTS(0));
    FATAL(0, false, ID, ID_ERROR);
}
TEST(b45_frames_longer_or_shorter_than_their_integer) {
    static const struct {
        uint64_t type;
        const char *bytes;
        size_t n;
    } all[] = {{VT__H3_T_GOAWAY, "", 0},          {VT__H3_T_GOAWAY, "\0\0", 2},
               {VT__H3_T_GOAWAY, "\x40", 1},      {VT__H3_T_GOAWAY, "\xc0\0\0\0\0\0\0\0\0", 9},
               {VT__H3_T_MAX_PUSH_ID, "\0\0", 2}, {VT__H3_T_CANCEL_PUSH, "\x80\0\0", 3},
               {VT__H3_T_PRIORITY_UPDATE, "", 0}, {VT__H3_T_PRIORITY_UPDATE, "\x40", 1}};
    for (size_t i = 0; i < VT__COUNT(all); i++) {
        serve();
        begin(), put_frame(&in, all[i].type, all[i].bytes, all[i].n);
        FATAL(CLIENT_CONTROL, false, LENGTH, FRAME_ERROR);
    }
}
TEST(streams_of_unknown_types) {
    serve();
    begin(), put_int(&in, 0x21), bytes_add(&in, "whatever", 8), give(14, false);
    CHECK_STR(said(), "reset 14 STREAM_CREATION_ERROR;");
    q.policy = HOLD;
    begin(), put_int(&in, (UINT64_C(1) << 62) - 1), bytes_add(&in, "whatever", 8), give(18, false);
    CHECK_STR(said(), "reset 18 STREAM_CREATION_ERROR;");
    begin(), bytes_add(&in, "more", 4), give(18, true);
    CHECK_EQ(q.rc, 0);
    CHECK_STR(said(), "");
}

/* ---- limits and budgets ---- */
TEST(b47_sections_over_the_limits) {
    vt__h3_cfg cfg = {.max_head = 300, .max_fields = 8};
    start(true, &cfg), settle(INTS(0x21, 0));
    begin(),
        put_head(
            &in, GET
            "x=0123456789012345678901234567890123456789;y=01234567890123456789012345678901234567890;z=1;");
    give(0, true);
    const char *text = said();
    CHECK(has(text, "x=01") && has(text, "head 0 large;end 0;") && !has(text, "z=1"));
    begin(), put_head(&in, GET "a=;b=;c=;d=;"), give(4, true);
    CHECK(has(said(), "d=;head 4;"));
    begin(), put_head(&in, "a=;b=;c=;d=;e=;f=;g=;h=;i=;"),
        give(8, true); /* malformed, but nobody will know */
    CHECK(has(said(), "head 8 large;"));
    /* an entry of 4000 bytes, 16,000 times */
    start(true, NULL), settle(INTS(0x21, 0));
    uint8_t len[6];
    begin(), put_int(&in, VT__H3_K_ENCODER), bytes_add(&in, "\x3f\xe1\x1f\x41x", 5);
    bytes_add(&in, len, (size_t)(vt__hpack_put_int(len, 0, 7, 4000) - len));
    for (int i = 0; i < 4000; i++) bytes_add(&in, "v", 1);
    give(CLIENT_ENCODER, false);
    CHECK_EQ(q.rc, 0);
    section.n = 0, bytes_add(&section, "\x02\0", 2);
    for (int i = 0; i < 16000; i++) bytes_add(&section, "\x80", 1);
    begin(), put_frame(&in, VT__H3_T_HEADERS, section.p, section.n), give(0, true);
    CHECK_EQ(q.rc, 0);
    CHECK(has(said(), "head 0 large;"));
    CHECK_EQ(q.h.head.nfields, 4);
    CHECK(q.h.sec.end - q.h.sec.p > 15900); /* the rest is not even looked at */
}
/* Entries made of one byte each, that cost 4000 to make. */
TEST(b48_duplicates_of_a_large_entry) {
    serve();
    uint8_t len[6];
    begin(), put_int(&in, VT__H3_K_ENCODER), bytes_add(&in, "\x3f\xe1\x1f\x41x", 5);
    bytes_add(&in, len, (size_t)(vt__hpack_put_int(len, 0, 7, 2000) - len));
    for (int i = 0; i < 2000; i++) bytes_add(&in, "v", 1);
    give(CLIENT_ENCODER, false);
    begin();
    for (int i = 0; i < 1000; i++) bytes_add(&in, "\0", 1);
    int rounds = 0;
    while (q.rc == 0 && rounds < 1000) give(CLIENT_ENCODER, false), rounds++;
    CHECK_EQ(q.rc, ERROR(FLOOD));
    CHECK_EQ(q.h.flood, VT__H3_WASTE);
    CHECK(rounds < 10);
    serve(); /* what a program does, byte by byte, is free */
    begin(), put_int(&in, VT__H3_K_ENCODER), bytes_add(&in, "\x3f\xe1\x1f", 3);
    for (int i = 0; i < 3000; i++)
        bytes_add(&in,
                  "\xc0\x1f"
                  "0123456789012345678901234567890",
                  33);
    for (size_t i = 0; i < in.n; i++) peer_take(&q, CLIENT_ENCODER, in.p + i, 1, false);
    CHECK_EQ(q.rc, 0);
    CHECK_EQ(q.h.debts[VT__H3_WASTE], 0);
}
TEST(budgets_are_used_up) {
    static const int causes[] = {VT__H3_RESETS, VT__H3_EMPTIES, VT__H3_PRIORITIES, VT__H3_GLITCHES,
                                 VT__H3_WASTE};
    for (size_t i = 0; i < VT__COUNT(causes); i++) {
        vt__h3_cfg cfg = {.budgets = {{10, 1}, {10, 1}, {10, 1}, {10, 1}, {1, 1}}};
        if (causes[i] == VT__H3_WASTE) cfg.budgets[VT__H3_GLITCHES].burst = VT_NONE;
        start(true, &cfg), settle(INTS(0x21, 0));
        int rounds = 0;
        for (; q.rc == 0 && rounds < 100; rounds++) {
            uint64_t id = (uint64_t)rounds * 4;
            begin();
            switch (causes[i]) {
            case VT__H3_RESETS: put_head(&in, "x=y;"), give(id, true); break;
            case VT__H3_EMPTIES:
                if (!rounds) put_head(&in, POST);
                put_frame(&in, VT__H3_T_DATA, "", 0), give(0, false);
                break;
            case VT__H3_PRIORITIES:
                put_ints(&in, VT__H3_T_PRIORITY_UPDATE, INTS(4)), give(CLIENT_CONTROL, false);
                break;
            case VT__H3_GLITCHES: put_frame(&in, 0x21, "", 0), give(0, false); break;
            default:
                section.n = 0;
                for (int k = 0; k < 10000; k++) bytes_add(&section, "x", 1);
                put_frame(&in, 0x21, section.p, section.n), give(0, false);
            }
        }
        CHECK_EQ(q.rc, ERROR(FLOOD));
        CHECK_EQ(q.h.flood, causes[i]);
        CHECK(rounds > 10 && rounds < 20);
        CHECK_EQ(vt__h3_code(&q.h), VT__H3_EXCESSIVE_LOAD);
    }
}
TEST(b35_resets_and_stops_are_paid_for) {
    for (int stop = 0; stop < 2; stop++) {
        vt__h3_cfg cfg = {.budgets = {{10, 1}}};
        vt__msg_event ev;
        int rc = 0, rounds = 0;
        start(true, &cfg), settle(INTS(0x21, 0));
        for (; rc >= 0 && rounds < 100; rounds++) {
            q.policy = HOLD;
            get((uint64_t)rounds * 4);
            vt__h3_stream *s = &peer_find(&q, (uint64_t)rounds * 4)->s;
            if (!stop) s->c.ended = 0; /* as if its end were still to come */
            rc = stop ? vt__h3_on_stop(&q.h, s, VT__H3_REQUEST_CANCELLED, 0, &ev)
                      : vt__h3_on_reset(&q.h, s, VT__H3_REQUEST_CANCELLED, 0, &ev);
            if (rc > 0)
                CHECK(ev.type == VT__MSG_EV_RESET && ev.code == VT__H3_REQUEST_CANCELLED &&
                      s->c.reset == VT__MSG_THEIRS);
            if (rc > 0) peer_release(&q, (struct handler *)(void *)s);
        }
        CHECK_EQ(rc, ERROR(FLOOD));
        CHECK_EQ(rounds, 11);
    }
}

/* ---- streams that wait for QPACK ---- */
/* "x=v", one entry; its section, and what comes behind. */
static void insert_one(void) {
    begin();
    if (!peer_find(&q, CLIENT_ENCODER)) put_int(&in, VT__H3_K_ENCODER), bytes_add(&in, "\x3f\xe1\x1f", 3);
    bytes_add(&in, "\x41x\1v", 4);
    give(CLIENT_ENCODER, false);
}
/* A GET whose last field is the entry of this number. */
static void waiting(uint64_t id, uint32_t number, bool fin) {
    struct bytes head = {NULL, 0, 0};
    put_section(&head, GET);
    section.n = 0;
    uint8_t prefix[4] = {(uint8_t)(number + 2), 0, 0, 0};
    bytes_add(&section, prefix, 2), bytes_add(&section, head.p + 2, head.n - 2),
        bytes_add(&section, "\x80", 1);
    begin(), put_frame(&in, VT__H3_T_HEADERS, section.p, section.n), give(id, fin);
    bytes_free(&head);
}
#define WAITED(id) "open " #id ";:method=GET;:scheme=https;:authority=a;:path=/;x=v;head " #id ";"
TEST(b49_a_section_before_its_entry) {
    serve();
    waiting(0, 0, true), waiting(4, 0, false), waiting(8, 1, true);
    CHECK_STR(said(), "");
    CHECK_EQ(q.h.nblocked, 3);
    begin(), put_frame(&in, VT__H3_T_DATA, "abc", 3), give(4, false);
    get(12);
    CHECK_STR(said(), "open 12;:method=GET;:scheme=https;:authority=a;:path=/;head 12;end 12;");
    insert_one();
    CHECK_STR(said(), WAITED(0) "end 0;" WAITED(4) "data 4 3;");
    CHECK_EQ(q.heads_end, 2); /* of 0 and 12 */
    CHECK_EQ(q.h.nblocked, 1);
    begin(), put_head(&in, "t=u;"), give(4, true);
    CHECK_STR(said(), "t=u;trailers 4;");
    insert_one();
    CHECK_STR(said(), WAITED(8) "end 8;");
    CHECK_EQ(q.h.nblocked, 0);
    size_t n;
    const uint8_t *p = out(VT__H3_DECODER, &n);
    CHECK_MEM(p, n, "\x03\x80\x84\x88", 4); /* their acknowledgements tell of the inserts */
    vt__h3_sent(&q.h, VT__H3_DECODER, 4);
    insert_one();
    p = out(VT__H3_DECODER, &n);
    CHECK_MEM(p, n, "\x01", 1);
}
TEST(b49_trailers_wait_as_well) {
    serve();
    begin(), put_head(&in, POST), put_frame(&in, VT__H3_T_DATA, "ab", 2),
        put_frame(&in, VT__H3_T_HEADERS, "\x02\0\x80", 3);
    give(0, true);
    CHECK_STR(said(), POST_SAID "head 0;data 0 2;");
    insert_one();
    CHECK_STR(said(), "x=v;trailers 0;");
    /* twice on one stream */
    waiting(4, 1, false);
    begin(), put_frame(&in, VT__H3_T_DATA, "ab", 2), put_frame(&in, VT__H3_T_HEADERS, "\x04\0\x80", 3),
        give(4, true);
    insert_one();
    CHECK_STR(said(), WAITED(4) "data 4 2;");
    CHECK_EQ(q.h.nblocked, 1);
    insert_one();
    CHECK_STR(said(), "x=v;trailers 4;");
}
TEST(b49_more_streams_wait_than_allowed) {
    vt__h3_cfg cfg = {.blocked = 2};
    start(true, &cfg), settle(INTS(0x21, 0));
    waiting(0, 0, true), waiting(4, 0, true);
    CHECK_EQ(q.rc, 0);
    waiting(8, 0, true);
    CHECK_EQ(q.rc, ERROR(BLOCKED));
    CHECK_EQ(vt__h3_code(&q.h), VT__H3_QPACK_DECOMPRESSION_FAILED);
    cfg.blocked = VT__H3_NONE;
    start(true, &cfg), settle(INTS(0x21, 0));
    waiting(0, 0, true);
    CHECK_EQ(q.rc, ERROR(BLOCKED));
    cfg.table = VT__H3_NONE;
    start(true, &cfg), settle(INTS(0x21, 0));
    waiting(0, 0, true);
    CHECK_EQ(q.rc, ERROR(SECTION));
}
TEST(b49_one_that_waits_is_reset) {
    vt__msg_event ev;
    size_t n;
    serve();
    waiting(0, 0, false);
    CHECK_EQ(vt__h3_on_reset(&q.h, &peer_find(&q, 0)->s, VT__H3_REQUEST_CANCELLED, 0, &ev), 1);
    CHECK_EQ(q.h.nblocked, 0);
    const uint8_t *p = out(VT__H3_DECODER, &n);
    CHECK_MEM(p, n, "\x03\x40", 2); /* Stream Cancellation */
    peer_release(&q, peer_find(&q, 0));
    waiting(4, 0, false);
    peer_release(&q, peer_find(&q, 4)); /* by this end */
    CHECK_EQ(q.h.nblocked, 0);
    insert_one();
    CHECK_STR(said(), "");
    p = out(VT__H3_DECODER, &n);
    CHECK_MEM(p, n, "\x03\x40\x44\x01", 4);
}
TEST(b49_one_that_waits_too_long) {
    vt__msg_event ev;
    vt__h3_cfg cfg = {.block_timeout_ns = 5 * VT_SEC};
    start(true, &cfg), settle(INTS(0x21, 0));
    CHECK_EQ(vt__h3_deadline(&q.h), INT64_MAX);
    q.now = VT_SEC, waiting(0, 0, false);
    q.now = 2 * VT_SEC, waiting(4, 0, false);
    CHECK_EQ(vt__h3_deadline(&q.h), 6 * VT_SEC);
    CHECK_EQ(vt__h3_expire(&q.h, 6 * VT_SEC - 1, &ev), 0);
    CHECK_EQ(vt__h3_expire(&q.h, 6 * VT_SEC, &ev), 1);
    CHECK(ev.type == VT__MSG_EV_RESET && ev.id == 0 && ev.code == VT__H3_REQUEST_CANCELLED);
    CHECK_EQ(vt__h3_expire(&q.h, 6 * VT_SEC, &ev), 0);
    CHECK_EQ(vt__h3_deadline(&q.h), 7 * VT_SEC);
    CHECK_EQ(q.h.nblocked, 1);
}
TEST(b49_an_entry_that_is_not_or_no_more_there) {
    serve();
    begin(), put_frame(&in, VT__H3_T_HEADERS, "\xff\x10\0\x80", 4);
    FATAL(0, false, SECTION, QPACK_DECOMPRESSION_FAILED);
    serve();
    insert_one(), insert_one();
    begin(), bytes_add(&in, "\x20\x3f\xe1\x1f", 4), give(CLIENT_ENCODER, false);
    begin(), put_frame(&in, VT__H3_T_HEADERS, "\x03\0\x80", 3);
    FATAL(0, false, SECTION, QPACK_DECOMPRESSION_FAILED);
}
TEST(acknowledgements_that_nobody_takes) {
    serve();
    insert_one();
    for (uint64_t i = 0; q.rc == 0 && i < 10000; i++) waiting(i * 4, 0, true);
    CHECK_EQ(q.rc, ERROR(UNREAD));
    CHECK(q.h.pipes[VT__H3_DECODER].n <= VT__H3_PIPE_MAX);
    CHECK_EQ(vt__h3_code(&q.h), VT__H3_EXCESSIVE_LOAD);
}

/* ---- GOAWAY, priorities, CONNECT ---- */
TEST(goaway_of_a_server) {
    size_t n;
    serve();
    get(0), get(4);
    vt__h3_sent(&q.h, VT__H3_CONTROL, (out(VT__H3_CONTROL, &n), n));
    vt__h3_shutdown(&q.h, 5), vt__h3_shutdown(&q.h, 6);
    const uint8_t *p = out(VT__H3_CONTROL, &n);
    CHECK_MEM(p, n, "\x07\x08\xff\xff\xff\xff\xff\xff\xff\xfc", 10);
    vt__h3_sent(&q.h, VT__H3_CONTROL, 10);
    q.policy = HOLD, get(8);
    CHECK(has(said(), "head 8;end 8;"));
    CHECK_EQ(vt__h3_deadline(&q.h), VT_SEC + 5);
    vt__msg_event ev;
    CHECK_EQ(vt__h3_expire(&q.h, VT_SEC + 5, &ev), 0);
    CHECK_EQ(vt__h3_deadline(&q.h), INT64_MAX);
    p = out(VT__H3_CONTROL, &n);
    CHECK_MEM(p, n, "\x07\x01\x0c", 3);
    get(12);
    CHECK_STR(said(), "late 12;");
    CHECK_EQ(peer_find(&q, 12)->s.code, VT__H3_REQUEST_REJECTED);
    p = out(VT__H3_DECODER, &n);
    CHECK_MEM(p, n, "\x03\x4c", 2); /* its section is not decoded: Stream Cancellation */
    peer_release(&q, peer_find(&q, 12));
    CHECK(!vt__h3_finished(&q.h));
    peer_release(&q, peer_find(&q, 8));
    CHECK(vt__h3_finished(&q.h));
}
TEST(goaway_of_a_peer) {
    start(false, NULL), settle(INTS(0x21, 0));
    begin(), put_ints(&in, VT__H3_T_GOAWAY, INTS(8)), give(SERVER_CONTROL, false);
    CHECK_STR(said(), "goaway 8;");
    struct handler *r = peer_new(&q, 4);
    CHECK_EQ(vt__h3_open(&q.h, &r->s, 4), 0);
    CHECK_EQ(vt__h3_open(&q.h, &peer_new(&q, 8)->s, 8), ERROR(NO_MORE));
    peer_find(&q, 8)->gone = true;
    begin(), put_ints(&in, VT__H3_T_GOAWAY, INTS(4)), put_ints(&in, VT__H3_T_GOAWAY, INTS(4)),
        give(SERVER_CONTROL, false);
    CHECK_STR(said(), "goaway 4;goaway 4;");
    begin(), put_ints(&in, VT__H3_T_GOAWAY, INTS(8));
    FATAL(SERVER_CONTROL, false, ID, ID_ERROR);
    for (uint64_t id = 1; id < 4; id++) {
        start(false, NULL), settle(INTS(0x21, 0));
        begin(), put_ints(&in, VT__H3_T_GOAWAY, INTS(id));
        FATAL(SERVER_CONTROL, false, ID, ID_ERROR);
    }
    serve(); /* a client's is the id of a push */
    begin(), put_ints(&in, VT__H3_T_GOAWAY, INTS(3)), give(CLIENT_CONTROL, false);
    CHECK_STR(said(), "goaway 3;");
    CHECK(vt__h3_finished(&q.h));
    size_t n;
    start(false, NULL);
    vt__h3_sent(&q.h, VT__H3_CONTROL, (out(VT__H3_CONTROL, &n), n));
    vt__h3_shutdown(&q.h, 0);
    const uint8_t *p = out(VT__H3_CONTROL, &n);
    CHECK_MEM(p, n, "\x07\x01\0", 3);
    CHECK_EQ(vt__h3_open(&q.h, &peer_new(&q, 0)->s, 0), ERROR(NO_MORE));
    peer_find(&q, 0)->gone = true;
}
static void update(uint64_t id, const char *priority) {
    section.n = 0, put_int(&section, id), bytes_add(&section, priority, strlen(priority));
    begin(), put_frame(&in, VT__H3_T_PRIORITY_UPDATE, section.p, section.n), give(CLIENT_CONTROL, false);
}
TEST(priorities) {
    serve();
    q.policy = HOLD;
    begin(), put_head(&in, GET "priority=u=1, i;"), give(0, true);
    vt__h3_stream *s = &peer_find(&q, 0)->s;
    CHECK(s->c.urgency == 1 && s->c.incremental);
    (void)said();
    update(0, "u=6");
    CHECK_STR(said(), "priority 0 u=6;");
    update(4, "u=2,i"); /* before its stream, whose field does not change it */
    begin(), put_head(&in, GET "priority=u=7;"), give(4, true);
    s = &peer_find(&q, 4)->s;
    CHECK(s->c.urgency == 2 && s->c.incremental);
    for (uint64_t id = 8; id < 4000; id += 4) update(id, "u=0"); /* the latest four are kept */
    get(8), get(3996);
    CHECK_EQ(peer_find(&q, 8)->s.c.urgency, 3);
    CHECK_EQ(peer_find(&q, 3996)->s.c.urgency, 0);
    (void)said();
    update(0, "u=5                                                            ");
    CHECK_STR(said(), "");
    update(0, "");
    CHECK_STR(said(), "priority 0 u=3;");
    for (uint64_t id = 1; id < 4; id++) {
        serve();
        section.n = 0, put_int(&section, id), begin(),
        put_frame(&in, VT__H3_T_PRIORITY_UPDATE, section.p, section.n);
        FATAL(CLIENT_CONTROL, false, ID, ID_ERROR);
    }
    serve();
    q.h.id_limit = 400;
    update(396, "u=1");
    CHECK_EQ(q.rc, 0);
    begin(), put_ints(&in, VT__H3_T_PRIORITY_UPDATE, INTS(400));
    FATAL(CLIENT_CONTROL, false, ID, ID_ERROR);
}
TEST(extended_connect) {
    vt__h3_cfg cfg = {.connect_protocol = true};
    size_t n;
    start(true, &cfg), settle(INTS(0x21, 0));
    const uint8_t *p = out(VT__H3_CONTROL, &n);
    bool told = false;
    for (size_t i = 3; i + 1 < n; i++) told |= p[i] == VT__H3_S_CONNECT && p[i + 1] == 1;
    CHECK(told);
    begin(), put_head(&in, ":method=CONNECT;:protocol=websocket;:scheme=https;:authority=a;:path=/chat;");
    put_frame(&in, VT__H3_T_DATA, "abc", 3), give(0, false);
    CHECK_STR(
        said(),
        "open 0;:method=CONNECT;:protocol=websocket;:scheme=https;:authority=a;:path=/chat;head 0;data 0 3;");
    begin(), put_frame(&in, 0x21, "", 0), give(0, false);
    begin(), put_head(&in, "x=y;");
    FATAL(0, false, FRAME, FRAME_UNEXPECTED);
    start(true, &cfg), settle(INTS(0x21, 0));
    begin(), put_head(&in, ":method=CONNECT;:protocol=websocket;:authority=a;"), give(0, false);
    CHECK(has(said(), "reset 0 MESSAGE_ERROR;"));
    begin(), put_head(&in, GET ":protocol=websocket;"), give(4, false);
    CHECK(has(said(), "reset 4 MESSAGE_ERROR;"));
}
TEST(a_request_that_is_not_wanted) {
    serve();
    q.policy = REFUSE;
    begin(), put_head(&in, POST), put_frame(&in, VT__H3_T_DATA, "abc", 3), give(0, false);
    CHECK_STR(said(), "open 0;");
    struct handler *r = peer_find(&q, 0);
    CHECK(r->s.c.reset == VT__MSG_OURS && r->s.code == VT__H3_REQUEST_REJECTED);
    CHECK_EQ(q.rc, 0);
    peer_release(&q, r);
}
TEST(stops) {
    vt__msg_event ev;
    serve();
    q.policy = HOLD, get(0);
    vt__h3_stream *s = &peer_find(&q, 0)->s;
    s->c.ended |= VT__MSG_LOCAL; /* the response is out: nobody cares */
    CHECK_EQ(vt__h3_on_stop(&q.h, s, VT__H3_REQUEST_CANCELLED, 0, &ev), 0);
    get(4);
    s = &peer_find(&q, 4)->s;
    CHECK_EQ(vt__h3_on_reset(&q.h, s, 0, 0, &ev), 0); /* the request is in */
    CHECK_EQ(vt__h3_on_stop(&q.h, s, VT__H3_REQUEST_CANCELLED, 0, &ev), 1);
    CHECK_EQ(vt__h3_on_stop(&q.h, s, VT__H3_REQUEST_CANCELLED, 0, &ev), 0);
    size_t n;
    out(VT__H3_DECODER, &n);
    CHECK_EQ(n, 0); /* nothing was left undecoded */
    start(false, NULL), settle(INTS(0x21, 0));
    q.policy = HOLD;
    struct handler *r = peer_new(&q, 0);
    CHECK_EQ(vt__h3_open(&q.h, &r->s, 0), 0);
    CHECK_EQ(vt__h3_on_stop(&q.h, &r->s, VT__H3_NO_ERROR, 0, &ev), 0);
    CHECK_EQ(r->s.c.ended, VT__MSG_LOCAL);
    begin(), put_head(&in, ":status=413;"), give(0, true);
    CHECK(has(said(), "end 0;"));
    r = peer_new(&q, 4);
    CHECK_EQ(vt__h3_open(&q.h, &r->s, 4), 0);
    CHECK_EQ(vt__h3_on_stop(&q.h, &r->s, VT__H3_REQUEST_REJECTED, 0, &ev), 1);
    r = peer_new(&q, 8);
    CHECK_EQ(vt__h3_open(&q.h, &r->s, 8), 0);
    CHECK_EQ(vt__h3_on_reset(&q.h, &r->s, VT__H3_REQUEST_REJECTED, 0, &ev), 1);
    CHECK(ev.code == VT__H3_REQUEST_REJECTED && ev.stream == &r->s.c);
}

/* ---- wherever it is cut ---- */
struct chunk {
    uint64_t id;
    struct bytes b;
    bool fin;
};
static size_t story(struct chunk *c) {
    size_t n = 0;
    memset(c, 0, 8 * sizeof *c);
    c[n].id = CLIENT_CONTROL, put_int(&c[n].b, VT__H3_K_CONTROL);
    put_ints(&c[n].b, VT__H3_T_SETTINGS, INTS(6, 1000, 0x4021, UINT64_C(1) << 40));
    put_frame(&c[n].b, 0x21, "grease", 6), put_ints(&c[n].b, VT__H3_T_MAX_PUSH_ID, INTS(300));
    put_frame(&c[n].b, VT__H3_T_PRIORITY_UPDATE, "\0u=2", 4);
    n++, c[n].id = 0, put_head(&c[n].b, POST "content-length=9;x-y=1;");
    put_frame(&c[n].b, 0x4021, "abc", 3), put_frame(&c[n].b, VT__H3_T_DATA, "012345", 6);
    put_frame(&c[n].b, VT__H3_T_DATA, "678", 3), put_frame(&c[n].b, VT__H3_T_HEADERS, "\x02\0\x80", 3),
        c[n].fin = true;
    n++, c[n].id = 4, put_frame(&c[n].b, VT__H3_T_HEADERS, "\x02\0\xd1\xd7\xc1\x50\1a\x80", 9);
    put_frame(&c[n].b, VT__H3_T_DATA, "abc", 3), c[n].fin = true;
    n++, c[n].id = CLIENT_ENCODER, put_int(&c[n].b, VT__H3_K_ENCODER),
         bytes_add(&c[n].b, "\x3f\xe1\x1f\x41x\1v", 7);
    n++, c[n].id = 8, put_head(&c[n].b, GET), put_frame(&c[n].b, VT__H3_T_DATA, "x", 1), c[n].fin = true;
    n++, c[n].id = CLIENT_CONTROL, put_frame(&c[n].b, VT__H3_T_PRIORITY_UPDATE, "\x08i", 2);
    put_ints(&c[n].b, VT__H3_T_GOAWAY, INTS(0));
    return n + 1;
}
static void tell(const struct chunk *c, size_t n, size_t which, size_t one, size_t two) {
    start(true, NULL);
    q.policy = HOLD;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = c[i].b.p;
        size_t a = i == which ? one : 0, b = i == which ? two : 0;
        if (a) peer_take(&q, c[i].id, p, a, false);
        if (b > a) peer_take(&q, c[i].id, p + a, b - a, false);
        size_t at = VT__MAX(a, b);
        peer_take(&q, c[i].id, p + at, c[i].b.n - at, c[i].fin);
    }
}
TEST(every_split) {
    struct chunk c[8];
    struct bytes want = {NULL, 0, 0};
    size_t n = story(c), acks;
    tell(c, n, 0, 0, 0);
    CHECK_EQ(q.rc, 0);
    const char *text = said();
    bytes_add(&want, text, strlen(text) + 1);
    CHECK(has(text, "data 0 9;"));
    CHECK(has(text, "x=v;trailers 0;"));
    CHECK(has(text, "open 4;:method=GET;:scheme=https;:path=/;:authority=a;x=v;head 4;data 4 3;end 4;"));
    CHECK(has(text, "priority 8 u=3,i;goaway 0;"));
    for (size_t i = 0; i < n; i++)
        for (size_t one = 0; one <= c[i].b.n; one++)
            for (size_t two = one; two <= c[i].b.n; two += c[i].b.n > 60 ? 5 : 1) {
                tell(c, n, i, one, two);
                CHECK_EQ(q.rc, 0);
                CHECK_STR(said(), (const char *)want.p);
                const uint8_t *p = out(VT__H3_DECODER, &acks);
                CHECK_MEM(p, acks, "\x03\x80\x84", 3);
            }
    start(true, NULL), q.policy = HOLD; /* byte by byte, the end by itself */
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < c[i].b.n; k++) peer_take(&q, c[i].id, c[i].b.p + k, 1, false);
        if (c[i].fin) peer_take(&q, c[i].id, c[i].b.p, 0, true);
    }
    CHECK_STR(said(), (const char *)want.p);
    for (size_t i = 0; i < n; i++) bytes_free(&c[i].b);
    bytes_free(&want);
}

/* ---- memory ---- */
TEST(memory_runs_out) {
    struct chunk c[8];
    size_t n = story(c);
    peer_free(&q);
    memory_begin();
    for (int64_t nth = 0; nth < 60; nth++) {
        memset(&q, 0, sizeof q);
        vt__h3_cfg_fill(&q.cfg);
        q.policy = HOLD;
        fail_after = nth, failed = 0;
        q.rc = vt__h3_init(&q.h, &q.cfg, true, 0);
        q.room = malloc(VT__H3_ROOM(&q.cfg));
        q.h.room = q.room, q.h.room_len = VT__H3_ROOM(&q.cfg);
        for (size_t i = 0; i < n && q.rc >= 0; i++)
            for (size_t k = 0; k < c[i].b.n && q.rc >= 0; k += 3)
                peer_take(&q, c[i].id, c[i].b.p + k, VT__MIN(3, c[i].b.n - k), c[i].fin && k + 3 >= c[i].b.n);
        fail_after = -1;
        CHECK(q.rc == (failed ? ERROR(MEMORY) : 0));
        if (q.rc < 0) CHECK_EQ(vt__h3_code(&q.h), VT__H3_INTERNAL_ERROR);
        int64_t was = failed;
        peer_free(&q);
        CHECK_EQ(blocks, 0);
        if (!was) break;
        CHECK(nth < 50);
    }
    memory_end();
    for (size_t i = 0; i < n; i++) bytes_free(&c[i].b);
}

/* ---- both ends ---- */
static struct peer client;
/* What one end's pipes hold goes to the other. */
static void pipes(struct peer *from, struct peer *to, uint64_t first) {
    for (int i = 0; i < VT__H3_PIPES; i++) {
        const uint8_t *p;
        size_t n = vt__h3_out(&from->h, i, &p);
        if (n) peer_take(to, first + 4 * (uint64_t)i, p, n, false);
        vt__h3_sent(&from->h, i, n);
    }
}
static void send_head(struct peer *from, struct handler *r, struct peer *to, const char *list, int how) {
    uint8_t buf[4096], *frame;
    vt__h3_head w;
    vt__h3_head_begin(&from->h, &r->s, &w, buf, sizeof buf, how);
    while (*list) {
        const char *eq = strchr(list + 1, '='), *end = strchr(eq, ';');
        vt__hpack_field f = {{list, (size_t)(eq - list)}, {eq + 1, (size_t)(end - eq - 1)}, 0, 0};
        vt__hpack_name_check(&f);
        CHECK(vt__h3_head_field(&w, f.id, f.name, f.value, 0));
        list = end + 1;
    }
    size_t n = vt__h3_head_end(&w, &frame);
    peer_take(to, r->id, frame, n, how & VT__MSG_FIN);
}
TEST(both_ends) {
    uint64_t rng = test_seed();
    for (int late = 0; late < 2; late++) {
        start(true, NULL), q.policy = HOLD;
        peer_free(&client), peer_start(&client, false);
        pipes(&q, &client, SERVER_CONTROL), pipes(&client, &q, CLIENT_CONTROL);
        CHECK(q.h.settled && client.h.settled);
        for (uint64_t id = 0; id < 4 * 200; id += 4) {
            struct handler *r = peer_new(&client, id);
            CHECK_EQ(vt__h3_open(&client.h, &r->s, id), 0);
            char list[300];
            snprintf(list, sizeof list,
                     ":method=POST;:scheme=https;:authority=www.example.org;:path=/%d;user-agent=test/%d;",
                     (int)id, (int)(test_rand(&rng) % 10));
            q.log.n = client.log.n = 0;
            send_head(&client, r, &q, list, 0);
            uint8_t head[9];
            struct bytes data = {NULL, 0, 0};
            bytes_add(&data, head, vt__h3_put_data(&r->s, 3, true, head)), bytes_add(&data, "abc", 3);
            if (!late) pipes(&client, &q, CLIENT_CONTROL);
            peer_take(&q, id, data.p, data.n, true);
            if (late) pipes(&client, &q, CLIENT_CONTROL);
            CHECK_EQ(q.rc, 0);
            peer_flush_run(&q);
            char want[500];
            snprintf(want, sizeof want, "open %d;%shead %d;data %d 3;end %d;", (int)id, list, (int)id,
                     (int)id, (int)id);
            CHECK_MEM(q.log.p, q.log.n, want, strlen(want));
            struct handler *a = peer_find(&q, id);
            snprintf(list, sizeof list, ":status=200;server=vthttp;content-type=text/x-%d;content-length=0;",
                     (int)(test_rand(&rng) % 5));
            send_head(&q, a, &client, ":status=103;link=x;", VT__MSG_INTERIM);
            send_head(&q, a, &client, list, VT__MSG_FIN);
            pipes(&q, &client, SERVER_CONTROL);
            CHECK_EQ(client.rc, 0);
            snprintf(want, sizeof want, ":status=103;link=x;inform %d 103;%shead %d;end %d;", (int)id, list,
                     (int)id, (int)id);
            CHECK_MEM(client.log.p, client.log.n, want, strlen(want));
            CHECK_EQ(a->s.c.ended, VT__MSG_BOTH);
            peer_release(&q, a);
            if (test_rand(&rng) % 4 == 0)
                pipes(&client, &q, CLIENT_CONTROL), pipes(&q, &client, SERVER_CONTROL);
            bytes_free(&data);
        }
        CHECK(q.h.dec.t.made > 5 && client.h.dec.t.made > 3);
        CHECK_EQ(q.h.active + client.h.active, 0);
    }
    peer_free(&client);
}
TEST(settings_that_are_sent) {
    vt__h3_cfg cfg = {.max_head = 5000, .table = 100, .blocked = 3};
    size_t n;
    q.now = 12345;
    start(true, &cfg);
    const uint8_t *p = out(VT__H3_CONTROL, &n);
    CHECK_EQ(p[0], VT__H3_K_CONTROL);
    CHECK_EQ(p[1], VT__H3_T_SETTINGS);
    CHECK_EQ(p[2], n - 3);
    CHECK(memcmp(p + 3, "\x01\x40\x64\x06\x53\x88\x07\x03", 8) == 0);
    peer_free(&client), peer_start(&client, false);
    peer_take(&client, SERVER_CONTROL, p, n, false);
    CHECK(client.h.settled && client.h.peer_head == 5000 && client.h.peer_table == 100 &&
          client.h.peer_blocked == 3);
    peer_free(&client);
    cfg.table = VT__H3_NONE;
    start(true, &cfg);
    p = out(VT__H3_CONTROL, &n);
    CHECK(p[3] == VT__H3_S_HEAD && p[6] != VT__H3_S_BLOCKED);
    out(VT__H3_ENCODER, &n);
    CHECK_EQ(n, 0);
    out(VT__H3_DECODER, &n);
    CHECK_EQ(n, 0);
}
