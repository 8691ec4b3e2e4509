/* QUIC streams: sets, reassembly and what is kept, each against a plain model; the rules of RFC 9000 2-4 and 19 frame by frame;
 * flow control, limits, schedules; the attacks of the list by number (bNN); two ends with a link between them that loses,
 * doubles and reorders; allocations that fail. */
/* variants: default asan i386 */
#define VTHTTP_H3 1
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

static vt__qstr_mem mem;
static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* ---- sets ---- */
enum { SET = 200 };
static bool set_is(const vt__qstr_set *s, const bool *model) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->v[i].from >= s->v[i].to || (i && s->v[i].from <= s->v[i - 1].to)) return false;
        for (; at < s->v[i].from; at++)
            if (model[at]) return false;
        for (; at < s->v[i].to; at++)
            if (!model[at]) return false;
    }
    for (; at < SET; at++)
        if (model[at]) return false;
    return true;
}
TEST(sets) {
    uint64_t seed = test_seed();
    for (int round = 0; round < 300; round++) {
        vt__qstr_set s = {NULL, 0, 0};
        bool model[SET] = {false};
        for (int i = 0; i < 60; i++) {
            uint64_t from = test_rand(&seed) % SET, to = from + test_rand(&seed) % (round % 2 ? 8 : 40);
            bool add = test_rand(&seed) % 3 > 0;
            to = least(to, SET);
            REQUIRE((add ? vt__qstr_set_add(&s, from, to) : vt__qstr_set_remove(&s, from, to)) == 0);
            for (uint64_t k = from; k < to; k++) model[k] = add;
            REQUIRE(set_is(&s, model));
            uint64_t at = test_rand(&seed) % SET, end = SET;
            CHECK(vt__qstr_set_has(&s, at) == model[at]);
            vt__qstr_span gap;
            bool missing[SET] = {false};
            for (uint64_t k = at; vt__qstr_set_gap(&s, &k, end, &gap);)
                for (uint64_t g = gap.from; g < gap.to; g++) missing[g] = true;
            for (uint64_t k = 0; k < SET; k++) REQUIRE(missing[k] == (k >= at && !model[k]));
        }
        vt__qstr_set_free(&s);
    }
}

/* ---- what comes in ---- */
static uint8_t byte_at(uint64_t offset) { return (uint8_t)(offset * 7 + offset / 251); }
/* Reads all there is: the number of bytes, each as it should be. */
static size_t in_read(vt__qstr_in *in, uint64_t *at) {
    const uint8_t *p;
    size_t all = 0;
    for (size_t n; (n = vt__qstr_in_next(in, &p)) > 0; all += n) {
        for (size_t i = 0; i < n; i++)
            if (p[i] != byte_at(*at + i)) return test_fail(__FILE__, __LINE__, "bytes"), all;
        vt__qstr_in_skip(&mem, in, n), *at += n;
    }
    return all;
}
TEST(b06_pieces_in_any_order) {
    enum { SIZE = 40000 };
    uint64_t seed = test_seed();
    vt__qstr_mem_init(&mem);
    for (int round = 0; round < 60; round++) {
        vt__qstr_in in = {.next = 0};
        uint64_t at = 0, most = 1 + test_rand(&seed) % (round % 3 ? 3000 : 60);
        static bool came[SIZE];
        memset(came, 0, sizeof came);
        while (at < SIZE) {
            uint64_t ahead = test_rand(&seed) % (round % 2 ? 9000 : 200), from = least(at + ahead, SIZE);
            if (test_rand(&seed) % 4 == 0) from = test_rand(&seed) % (at + 1);
            size_t n = (size_t)least(test_rand(&seed) % most + 1, SIZE - from);
            uint8_t *p = malloc(n + !n);
            for (size_t i = 0; i < n; i++) p[i] = byte_at(from + i), came[from + i] = true;
            REQUIRE(vt__qstr_in_put(&mem, &in, from, p, n, 16 << 20) == 0);
            (void)in_read(&in, &at);
            free(p); /* what was to be kept has been copied */
            CHECK(at == in.next && (at == SIZE || !came[at]));
        }
        CHECK(in.have.n == 0 && at == SIZE);
        for (uint32_t i = 0; i < in.nchunks; i++) CHECK(!in.chunks[i]);
        vt__qstr_in_free(&mem, &in);
    }
    vt__qstr_mem_free(&mem);
}
TEST(b07_first_copy_counts) {
    vt__qstr_mem_init(&mem);
    vt__qstr_in in = {.next = 0};
    const uint8_t *p;
    CHECK_EQ(vt__qstr_in_put(&mem, &in, 4, (const uint8_t *)"efgh", 4, 100), 0);
    CHECK_EQ(vt__qstr_in_put(&mem, &in, 2, (const uint8_t *)"CDEFGHIJ", 8, 100), 0); /* cd and ij are new */
    CHECK_EQ(vt__qstr_in_put(&mem, &in, 0, (const uint8_t *)"abXXXX", 6, 100), 0);
    char got[16] = "";
    for (size_t n; (n = vt__qstr_in_next(&in, &p)) > 0; vt__qstr_in_skip(&mem, &in, n))
        strncat(got, (const char *)p, n);
    CHECK_STR(got, "abCDefghIJ");
    CHECK_EQ(vt__qstr_in_put(&mem, &in, 0, (const uint8_t *)"XXXXXXXXXX", 10, 100), 0); /* all of it is old */
    CHECK_EQ(vt__qstr_in_next(&in, &p), 0);
    CHECK_EQ(vt__qstr_in_put(&mem, &in, 8, (const uint8_t *)"XXk", 3, 100), 0); /* the beginning is */
    CHECK(vt__qstr_in_next(&in, &p) == 1 && *p == 'k');
    vt__qstr_in_free(&mem, &in);
    vt__qstr_mem_free(&mem);
}
TEST(b05_no_more_than_the_limit) {
    vt__qstr_mem_init(&mem);
    vt__qstr_in in = {.next = 0};
    static uint8_t zeros[70000];
    const uint8_t *p;
    CHECK_EQ(vt__qstr_in_put(&mem, &in, 65535, zeros, 2, 65536), VT__QPKT_E_FLOW_CONTROL);
    CHECK_EQ(vt__qstr_in_put(&mem, &in, VT__QPKT_INT_MAX - 1, zeros, 1, 65536), VT__QPKT_E_FLOW_CONTROL);
    CHECK_EQ(vt__qstr_in_put(&mem, &in, 65535, zeros, 1, 65536), 0);
    CHECK_EQ(vt__qstr_in_put(&mem, &in, 0, zeros, 10, 65536), 0);
    CHECK_EQ(vt__qstr_in_next(&in, &p), 10);
    vt__qstr_in_skip(&mem, &in, 10);
    CHECK_EQ(vt__qstr_in_put(&mem, &in, 65545, zeros, 1, 65536), 0); /* as far behind as before */
    CHECK_EQ(vt__qstr_in_put(&mem, &in, 65546, zeros, 1, 65536), VT__QPKT_E_FLOW_CONTROL);
    vt__qstr_in_free(&mem, &in);
    vt__qstr_mem_free(&mem);
}
/* Blocks and bytes of the allocator, and a call that fails. */
static size_t live, live_most;
static int64_t fail_at = -1;
static void *count_realloc(void *p, size_t n) {
    if (fail_at == 0) return NULL;
    if (fail_at > 0) fail_at--;
    size_t *old = p ? (size_t *)p - 2 : NULL, was = old ? *old : 0;
    size_t *fresh = realloc(old, n + 2 * sizeof n);
    if (!fresh) abort();
    *fresh = n;
    live += n - was;
    live_most = VT__MAX(live_most, live);
    return fresh + 2;
}
static void count_free(void *p) {
    size_t *old = (size_t *)p - 2;
    live -= *old;
    free(old);
}
static void count_begin(void) {
    vt__plat.realloc = count_realloc, vt__plat.free = count_free;
    live = live_most = 0, fail_at = -1;
}
static void count_end(void) {
    CHECK_EQ(live, 0);
    vt__plat.realloc = vt__plat_sys_realloc, vt__plat.free = vt__plat_sys_free;
}
TEST(b08_tiny_pieces_with_gaps) { /* memory is a multiple of the window, and there is an end to holes */
    enum { WINDOW = 256 << 10 };
    uint8_t byte = 1;
    count_begin();
    vt__qstr_mem_init(&mem);
    vt__qstr_in in = {.next = 0};
    int rc = 0;
    uint32_t n = 0;
    for (uint64_t at = 1; at < WINDOW && rc == 0; at += 2, n++)
        rc = vt__qstr_in_put(&mem, &in, at, &byte, 1, WINDOW);
    CHECK_EQ(rc, VT__QPKT_E_GAPS);
    CHECK_EQ(n, WINDOW / 1024 + 1);
    vt__qstr_in_free(&mem, &in);
    in = (vt__qstr_in){.next = 0}, rc = 0;
    for (uint64_t at = 1; at < WINDOW && rc == 0; at += 1025)
        rc = vt__qstr_in_put(&mem, &in, at, &byte, 1, WINDOW);
    CHECK_EQ(rc, 0); /* one in each KiB is no attack, and costs no more than the window */
    CHECK(live_most < WINDOW + (64 << 10));
    CHECK_EQ(vt__qpkt_err_of(VT__QPKT_E_GAPS)->code, VT__QPKT_PROTOCOL_VIOLATION);
    vt__qstr_in_free(&mem, &in);
    vt__qstr_mem_free(&mem);
    count_end();
}

/* ---- what goes out ---- */
TEST(kept_until_acknowledged) { /* against a plain model: per byte unsent, in flight, lost, acknowledged */
    enum { SIZE = 60000, UNSENT = 0, FLYING, LOST, ACKED, FLIGHTS = 300 };
    uint64_t seed = test_seed();
    count_begin();
    vt__qstr_mem_init(&mem);
    for (int round = 0; round < 20; round++) {
        vt__qstr_out o = {.base = 0};
        static uint8_t state[SIZE];
        struct {
            uint64_t from;
            size_t n;
        } flights[FLIGHTS];
        size_t nflights = 0;
        memset(state, 0, sizeof state);
        while (o.done < SIZE) {
            uint64_t r = test_rand(&seed) % 100;
            if (r < 20 && o.end < SIZE) {
                size_t n = (size_t)least(test_rand(&seed) % (round % 2 ? 100 : 30000), SIZE - o.end);
                uint8_t *p = malloc(n + 1);
                for (size_t i = 0; i < n; i++) p[i] = byte_at(o.end + i);
                REQUIRE(vt__qstr_out_add(&mem, &o, p, n) == n);
                free(p);
            } else if (r < 60 && nflights < FLIGHTS) {
                uint64_t offset, len;
                uint8_t bytes[1400];
                if (!vt__qstr_out_next(&o, &offset, &len)) continue;
                size_t n = (size_t)least(len, 1 + test_rand(&seed) % sizeof bytes);
                uint8_t want = UNSENT;
                for (size_t i = 0; i < SIZE; i++) want |= state[i] == LOST; /* these come first */
                vt__qstr_out_take(&o, offset, bytes, n);
                for (size_t i = 0; i < n; i++) {
                    REQUIRE(bytes[i] == byte_at(offset + i) && state[offset + i] == (want ? LOST : UNSENT));
                    state[offset + i] = FLYING;
                }
                flights[nflights].from = offset, flights[nflights++].n = n;
            } else if (nflights) {
                size_t k = (size_t)(test_rand(&seed) % nflights);
                uint64_t from = flights[k].from;
                bool lost = test_rand(&seed) % 4 == 0, keep = test_rand(&seed) % 4 == 0;
                if (lost) REQUIRE(vt__qstr_out_lost(&o, from, flights[k].n) == 0);
                else REQUIRE(vt__qstr_out_acked(&mem, &o, from, flights[k].n) == 0);
                for (size_t i = 0; i < flights[k].n; i++)
                    if (!lost || state[from + i] != ACKED) state[from + i] = lost ? LOST : ACKED;
                if (!(lost && keep))
                    flights[k] = flights[--nflights]; /* what was taken for lost may yet arrive */
            }
            uint64_t done = 0;
            while (done < SIZE && state[done] == ACKED) done++;
            REQUIRE(o.done == done && (!o.first || o.base + o.first->used > done));
        }
        CHECK(!o.first && !o.last && o.acked.n == 0 && o.lost.n == 0 && o.sent == SIZE);
        vt__qstr_out_free(&mem, &o);
    }
    vt__qstr_mem_free(&mem);
    count_end();
}
TEST(blocks_fit_what_they_hold) {
    static uint8_t bytes[20000];
    count_begin();
    vt__qstr_mem_init(&mem);
    vt__qstr_out o = {.base = 0};
    CHECK_EQ(vt__qstr_out_add(&mem, &o, bytes, 300), 300);
    CHECK_EQ(live, 512);
    CHECK_EQ(vt__qstr_out_add(&mem, &o, bytes, 190), 190); /* beside it */
    CHECK_EQ(live, 512);
    CHECK_EQ(vt__qstr_out_add(&mem, &o, bytes, 500), 500);
    CHECK_EQ(live, 512 + 4096);
    vt__qstr_out_free(&mem, &o);
    vt__qstr_mem_free(&mem);
    o = (vt__qstr_out){.base = 0};
    CHECK_EQ(vt__qstr_out_add(&mem, &o, bytes, 20000), 20000);
    CHECK_EQ(live, 16384 + 4096);
    vt__qstr_out_free(&mem, &o);
    vt__qstr_mem_free(&mem);
    count_end();
}

/* ---- frames, one by one ---- */
static vt__qstr_cfg config; /* of the next machine; zero again after each test */
static vt__qstr_cfg filled;
static vt__qstr q;
static vt__qpkt_params limits_of(uint64_t data, uint64_t stream, uint64_t streams) {
    vt__qpkt_params tp;
    vt__qpkt_params_init(&tp);
    tp.max_data = data, tp.max_bidi_local = tp.max_bidi_remote = tp.max_uni = stream;
    tp.streams_bidi = tp.streams_uni = streams;
    return tp;
}
static bool next_is(enum vt__qstr_ev type, vt__qstr_event *ev) {
    return vt__qstr_next(&q, ev) && ev->type == type;
}
static void begin(bool server) {
    vt__qpkt_params tp = limits_of(1 << 20, 1 << 16, 10);
    vt__qstr_event ev;
    count_begin();
    vt__qstr_mem_init(&mem);
    filled = config;
    vt__qstr_cfg_fill(&filled);
    vt__qstr_init(&q, &filled, &mem, server, 1);
    vt__qstr_peer_params(&q, &tp);
    CHECK(next_is(VT__QSTR_EV_STREAMS, &ev) && !vt__qstr_next(&q, &ev));
}
static void finish(void) {
    vt__qstr_free(&q);
    vt__qstr_mem_free(&mem);
    count_end();
    config = (vt__qstr_cfg){.window = 0};
}
static int stream_bytes(uint64_t id, uint64_t offset, const char *data, size_t n, bool fin) {
    vt__qpkt_frame f = {.type = VT__QPKT_F_STREAM, .kind = VT__QPKT_F_STREAM, .fin = fin};
    f.stream.id = id, f.stream.offset = offset, f.stream.data = (const uint8_t *)data, f.stream.len = n;
    return vt__qstr_recv(&q, &f);
}
static int stream(uint64_t id, uint64_t offset, const char *data, bool fin) {
    return stream_bytes(id, offset, data, strlen(data), fin);
}
static int control(unsigned kind, uint64_t a, uint64_t b, uint64_t c) {
    vt__qpkt_frame f = {.type = kind, .kind = (uint8_t)kind};
    f.n[0] = a, f.n[1] = b, f.n[2] = c;
    return vt__qstr_recv(&q, &f);
}
/* Everything there is to know, in short. */
static const char *events(void) {
    static char text[4000];
    vt__qstr_event ev;
    size_t at = 0;
    text[0] = 0;
    while (vt__qstr_next(&q, &ev) && at < sizeof text - 200) {
        unsigned id = ev.stream ? (unsigned)ev.stream->id : 0;
        char *to = text + at;
        size_t room = sizeof text - at;
        int n = 0;
        switch (ev.type) {
        case VT__QSTR_EV_OPEN: n = snprintf(to, room, "open %u ", id); break;
        case VT__QSTR_EV_DATA:
            n = snprintf(to, room, "data %u '%.*s'%s ", id, (int)least(ev.len, 40), (const char *)ev.data,
                         ev.fin ? " fin" : "");
            break;
        case VT__QSTR_EV_RESET: n = snprintf(to, room, "reset %u %u ", id, (unsigned)ev.code); break;
        case VT__QSTR_EV_STOP: n = snprintf(to, room, "stop %u %u ", id, (unsigned)ev.code); break;
        case VT__QSTR_EV_WRITABLE: n = snprintf(to, room, "writable %u ", id); break;
        case VT__QSTR_EV_SENT: n = snprintf(to, room, "sent %u ", id); break;
        case VT__QSTR_EV_STREAMS: n = snprintf(to, room, "streams "); break;
        }
        at += (size_t)n;
    }
    return text;
}
/* What goes out, in packets of `room` bytes; the notes, to be acknowledged or lost. */
enum { NOTES = 4000 };
static vt__qpkt_note notes[NOTES];
static size_t nnotes;
static size_t frame_say(char *to, size_t room, const vt__qpkt_frame *f) {
    const char *fin = f->fin ? " fin" : "";
    unsigned long long a = f->n[0], b = f->n[1], c = f->n[2];
    switch (f->kind) {
    case VT__QPKT_F_STREAM:
        return (size_t)snprintf(to, room, "stream %llu %llu+%zu%s ", a, b, f->stream.len, fin);
    case VT__QPKT_F_RESET_STREAM: return (size_t)snprintf(to, room, "reset %llu %llu %llu ", a, b, c);
    case VT__QPKT_F_STOP_SENDING: return (size_t)snprintf(to, room, "stop %llu %llu ", a, b);
    case VT__QPKT_F_MAX_DATA: return (size_t)snprintf(to, room, "max %llu ", a);
    case VT__QPKT_F_MAX_STREAM_DATA: return (size_t)snprintf(to, room, "max %llu %llu ", a, b);
    case VT__QPKT_F_MAX_STREAMS: return (size_t)snprintf(to, room, "streams %llu ", a);
    case VT__QPKT_F_MAX_STREAMS_UNI: return (size_t)snprintf(to, room, "unis %llu ", a);
    case VT__QPKT_F_DATA_BLOCKED: return (size_t)snprintf(to, room, "blocked %llu ", a);
    case VT__QPKT_F_STREAM_DATA_BLOCKED: return (size_t)snprintf(to, room, "blocked %llu %llu ", a, b);
    case VT__QPKT_F_STREAMS_BLOCKED: return (size_t)snprintf(to, room, "streams blocked %llu ", a);
    case VT__QPKT_F_STREAMS_BLOCKED_UNI: return (size_t)snprintf(to, room, "unis blocked %llu ", a);
    default: return (size_t)snprintf(to, room, "frame %u ", f->kind);
    }
}
static const char *sent_by(size_t room, size_t packets) {
    static char text[20000];
    static uint8_t buf[70000];
    size_t at = 0;
    text[0] = 0, nnotes = 0;
    for (size_t i = 0; i < packets; i++) {
        uint8_t *p = buf, *end = buf + room, *next;
        while ((next = vt__qstr_put_control(&q, p, end, &notes[nnotes])) != NULL) p = next, nnotes++;
        while ((next = vt__qstr_put_data(&q, p, end, &notes[nnotes])) != NULL) p = next, nnotes++;
        const uint8_t *from = buf;
        vt__qpkt_frame f;
        int rc;
        while ((rc = vt__qpkt_frame_get(&f, &from, p)) > 0) at += frame_say(text + at, sizeof text - at, &f);
        CHECK_EQ(rc, 0);
        if (p == buf) break;
    }
    return text;
}
static const char *sent(void) { return sent_by(1200, 100); }
static void ack_all(void) {
    for (size_t i = 0; i < nnotes; i++) CHECK_EQ(vt__qstr_acked(&q, &notes[i]), 0);
}
static void lose_all(void) {
    for (size_t i = 0; i < nnotes; i++) CHECK_EQ(vt__qstr_lost(&q, &notes[i]), 0);
}
static vt__qstr_stream *opened(bool uni) {
    vt__qstr_stream *s = NULL;
    CHECK_EQ(vt__qstr_open(&q, uni, &s), 0);
    return s;
}
static vt__qstr_stream *found(uint64_t id) { return vt__qstr_find(&q, id); }

TEST(a_stream_is_small) { CHECK(sizeof(vt__qstr_stream) + vt__qstr_sizes[0] <= 1024); }
TEST(request_and_response) {
    begin(true);
    CHECK_EQ(stream(0, 0, "hello", true), 0);
    CHECK_STR(events(), "open 0 data 0 'hello' fin ");
    vt__qstr_stream *s = found(0);
    vt__qstr_consumed(&q, s, 5);
    CHECK_EQ(vt__qstr_write(&q, s, "world", 5, false), 5);
    CHECK(vt__qstr_wants(&q));
    CHECK_STR(sent(), "stream 0 0+5 ");
    ack_all();
    CHECK_STR(events(), "");
    CHECK_EQ(vt__qstr_write(&q, s, "!", 1, true), 1);
    CHECK_EQ(vt__qstr_write(&q, s, "!", 1, true), VT_ESTATE);
    CHECK_STR(sent(), "stream 0 5+1 fin ");
    CHECK(!vt__qstr_wants(&q) && s->ended == VT__QSTR_REMOTE);
    ack_all();
    CHECK_STR(events(), "sent 0 ");
    CHECK_EQ(s->ended, VT__QSTR_BOTH);
    CHECK_EQ(vt__qstr_write(&q, s, "!", 1, true), VT_ESTATE);
    vt__qstr_release(&q, s, 7);
    CHECK(!found(0) && q.count == 0 && !vt__qstr_wants(&q));
    CHECK_EQ(stream(0, 0, "hello", true), 0); /* it comes once more, late */
    CHECK_EQ(control(VT__QPKT_F_STOP_SENDING, 0, 9, 0), 0);
    CHECK_STR(events(), "");
    finish();
}
TEST(data_in_and_out_of_order) {
    begin(true);
    CHECK_EQ(stream(0, 5, "fgh", true), 0);
    CHECK_STR(events(), "open 0 ");
    CHECK_EQ(stream(0, 0, "abc", false), 0);
    CHECK_STR(events(), "data 0 'abc' ");
    CHECK_EQ(stream(0, 1, "bcdefg", false), 0);
    CHECK_STR(events(), "data 0 'de' data 0 'fgh' fin ");
    CHECK_EQ(stream(4, 0, "abc", false), 0);
    CHECK_STR(events(), "open 4 data 4 'abc' ");
    CHECK_EQ(stream(4, 3, "", true), 0); /* the end alone */
    CHECK_STR(events(), "data 4 '' fin ");
    CHECK_EQ(stream(8, 0, "", false), 0); /* nothing but a stream */
    CHECK_STR(events(), "open 8 ");
    CHECK_EQ(stream(8, 0, "", true), 0);
    CHECK_STR(events(), "data 8 '' fin ");
    finish();
}
/* Sections 3 and 19.4 to 19.14: which frames a stream may have, of a server. */
TEST(states) {
    static const struct {
        unsigned kind;
        uint64_t id;
        int rc;
    } rows[] = {{VT__QPKT_F_STREAM, 0, 0}, /* a client's */
                {VT__QPKT_F_STREAM, 2, 0},
                {VT__QPKT_F_STREAM, 1, 0},                       /* ours, that was opened */
                {VT__QPKT_F_STREAM, 3, VT__QPKT_E_STREAM_STATE}, /* that only sends */
                {VT__QPKT_F_STREAM, 5, 0},                       /* ours, that is */
                {VT__QPKT_F_STREAM, 7, VT__QPKT_E_STREAM_STATE},
                {VT__QPKT_F_STREAM, 9, VT__QPKT_E_STREAM_STATE},
                {VT__QPKT_F_STREAM, 396, 0},
                {VT__QPKT_F_STREAM, 400, VT__QPKT_E_STREAM_LIMIT},
                {VT__QPKT_F_STREAM, 30, 0},
                {VT__QPKT_F_STREAM, 34, VT__QPKT_E_STREAM_LIMIT},
                {VT__QPKT_F_RESET_STREAM, 0, 0},
                {VT__QPKT_F_RESET_STREAM, 2, 0},
                {VT__QPKT_F_RESET_STREAM, 3, VT__QPKT_E_STREAM_STATE},
                {VT__QPKT_F_RESET_STREAM, 7, VT__QPKT_E_STREAM_STATE},
                {VT__QPKT_F_RESET_STREAM, 5, 0},
                {VT__QPKT_F_RESET_STREAM, 9, VT__QPKT_E_STREAM_STATE},
                {VT__QPKT_F_RESET_STREAM, 400, VT__QPKT_E_STREAM_LIMIT},
                {VT__QPKT_F_STOP_SENDING, 0, 0},
                {VT__QPKT_F_STOP_SENDING, 2, VT__QPKT_E_STREAM_STATE},
                {VT__QPKT_F_STOP_SENDING, 5, 0},
                {VT__QPKT_F_STOP_SENDING, 7, 0},
                {VT__QPKT_F_STOP_SENDING, 9, VT__QPKT_E_STREAM_STATE},
                {VT__QPKT_F_STOP_SENDING, 11, VT__QPKT_E_STREAM_STATE},
                {VT__QPKT_F_STOP_SENDING, 400, VT__QPKT_E_STREAM_LIMIT},
                {VT__QPKT_F_MAX_STREAM_DATA, 0, 0},
                {VT__QPKT_F_MAX_STREAM_DATA, 2, VT__QPKT_E_STREAM_STATE},
                {VT__QPKT_F_MAX_STREAM_DATA, 7, 0},
                {VT__QPKT_F_MAX_STREAM_DATA, 9, VT__QPKT_E_STREAM_STATE},
                {VT__QPKT_F_MAX_STREAM_DATA, 400, VT__QPKT_E_STREAM_LIMIT},
                {VT__QPKT_F_STREAM_DATA_BLOCKED, 0, 0},
                {VT__QPKT_F_STREAM_DATA_BLOCKED, 2, 0},
                {VT__QPKT_F_STREAM_DATA_BLOCKED, 7, VT__QPKT_E_STREAM_STATE},
                {VT__QPKT_F_STREAM_DATA_BLOCKED, 9, VT__QPKT_E_STREAM_STATE},
                {VT__QPKT_F_STREAM_DATA_BLOCKED, 34, VT__QPKT_E_STREAM_LIMIT},
                {VT__QPKT_F_DATA_BLOCKED, 5, 0},
                {VT__QPKT_F_STREAMS_BLOCKED, 5, 0},
                {VT__QPKT_F_STREAMS_BLOCKED_UNI, 5, 0}};
    for (size_t i = 0; i < VT__COUNT(rows); i++) {
        begin(true);
        (void)opened(false), (void)opened(false), (void)opened(true), (void)opened(true);
        int rc = rows[i].kind == VT__QPKT_F_STREAM ? stream(rows[i].id, 0, "a", false)
                                                   : control(rows[i].kind, rows[i].id, 0, 0);
        if (rc != rows[i].rc) printf("row %zu\n", i);
        CHECK_EQ(rc, rows[i].rc);
        finish();
    }
    CHECK_EQ(vt__qpkt_err_of(VT__QPKT_E_STREAM_STATE)->code, VT__QPKT_STREAM_STATE_ERROR);
    CHECK_EQ(vt__qpkt_err_of(VT__QPKT_E_STREAM_LIMIT)->code, VT__QPKT_STREAM_LIMIT_ERROR);
}
TEST(b09_final_size) {
    begin(true);
    CHECK_EQ(stream(0, 0, "abcdef", true), 0);
    CHECK_EQ(stream(0, 0, "abcde", true), VT__QPKT_E_FINAL_SIZE);   /* a smaller one */
    CHECK_EQ(stream(0, 0, "abcdefg", true), VT__QPKT_E_FINAL_SIZE); /* a larger one */
    CHECK_EQ(stream(0, 6, "g", false), VT__QPKT_E_FINAL_SIZE);      /* bytes behind it */
    CHECK_EQ(control(VT__QPKT_F_RESET_STREAM, 0, 1, 5), VT__QPKT_E_FINAL_SIZE);
    CHECK_EQ(control(VT__QPKT_F_RESET_STREAM, 0, 1, 7), VT__QPKT_E_FINAL_SIZE);
    CHECK_EQ(control(VT__QPKT_F_RESET_STREAM, 0, 1, 6), 0);
    CHECK_EQ(stream(4, 10, "abcdef", false), 0);
    CHECK_EQ(stream(4, 0, "abc", true), VT__QPKT_E_FINAL_SIZE); /* before what has come */
    CHECK_EQ(control(VT__QPKT_F_RESET_STREAM, 4, 1, 15), VT__QPKT_E_FINAL_SIZE);
    CHECK_EQ(control(VT__QPKT_F_RESET_STREAM, 4, 1, filled.window + 1), VT__QPKT_E_FLOW_CONTROL);
    CHECK_EQ(control(VT__QPKT_F_RESET_STREAM, 4, 1, 17), 0);
    CHECK_EQ(stream(4, 16, "ab", false), VT__QPKT_E_FINAL_SIZE);
    CHECK_EQ(control(VT__QPKT_F_RESET_STREAM, 4, 2, 17), 0);
    CHECK_STR(events(), "open 0 reset 0 1 open 4 reset 4 1 ");
    CHECK_EQ(vt__qpkt_err_of(VT__QPKT_E_FINAL_SIZE)->code, VT__QPKT_FINAL_SIZE_ERROR);
    finish();
}
TEST(b08_on_all_streams_at_once) { /* the connection's window, and a chunk for each */
    enum { WINDOW = 64 << 10, ALL = 128 << 10 };
    config.window = WINDOW, config.max_window = ALL;
    begin(true);
    int refused = 0;
    for (uint64_t id = 0; id < 100; id++) {
        int rc = 0;
        for (uint64_t at = 1; at < WINDOW && rc == 0; at += 1000) rc = stream(id * 4, at, "a", false);
        refused += rc == VT__QPKT_E_FLOW_CONTROL;
    }
    CHECK_EQ(refused, 98);
    CHECK(live_most < ALL + 100 * (sizeof(vt__qstr_stream) + VT__QSTR_CHUNK) + 8192);
    finish();
}
TEST(b10_windows) {
    config.window = 100, config.max_window = 150;
    begin(true);
    char bytes[200];
    memset(bytes, 'a', sizeof bytes);
    CHECK_EQ(stream_bytes(0, 1, bytes, 100, false), VT__QPKT_E_FLOW_CONTROL);
    CHECK_EQ(stream_bytes(0, VT__QPKT_INT_MAX - 100, bytes, 100, false), VT__QPKT_E_FLOW_CONTROL);
    CHECK_EQ(stream_bytes(0, 99, bytes, 1, false), 0); /* counts as if all before it had come */
    CHECK_EQ(stream_bytes(4, 0, bytes, 51, false), VT__QPKT_E_FLOW_CONTROL);
    CHECK_EQ(stream_bytes(4, 0, bytes, 50, false), 0);
    CHECK_EQ(control(VT__QPKT_F_RESET_STREAM, 8, 0, 1), VT__QPKT_E_FLOW_CONTROL);
    CHECK_EQ(stream(8, 0, "a", false), VT__QPKT_E_FLOW_CONTROL);
    CHECK_EQ(stream_bytes(0, 0, bytes, 100, false), 0); /* what was counted does not count twice */
    CHECK_EQ(vt__qpkt_err_of(VT__QPKT_E_FLOW_CONTROL)->code, VT__QPKT_FLOW_CONTROL_ERROR);
    CHECK_STR(sent(), "");
    (void)events();
    vt__qstr_consumed(&q, found(0), 49);
    CHECK_STR(sent(), ""); /* not worth it yet */
    vt__qstr_consumed(&q, found(0), 1);
    CHECK_STR(sent(), "max 0 150 ");
    vt__qstr_consumed(&q, found(0), 25);
    CHECK_STR(sent(), "max 225 ");
    lose_all();
    CHECK_STR(sent(), "max 225 ");
    vt__qstr_consumed(&q, found(0), 25);
    vt__qstr_consumed(&q, found(4), 50);
    CHECK_STR(sent(), "max 300 max 0 200 max 4 150 ");
    finish();
}
TEST(credit_of_what_nobody_wants) { /* the connection's window gets back what a reset or a stop throws away */
    config.window = 100, config.max_window = 200;
    begin(true);
    char bytes[100];
    memset(bytes, 'a', sizeof bytes);
    CHECK_EQ(stream_bytes(0, 50, bytes, 50, false), 0);
    CHECK_EQ(control(VT__QPKT_F_RESET_STREAM, 0, 1, 100), 0);
    CHECK_STR(events(), "open 0 reset 0 1 ");
    CHECK_STR(sent(), "max 300 ");
    CHECK_EQ(stream_bytes(4, 10, bytes, 40, false), 0);
    (void)events();
    vt__qstr_stop(&q, found(4), 5);
    CHECK_EQ(stream_bytes(4, 0, bytes, 10, false), 0);
    CHECK_EQ(stream_bytes(4, 50, bytes, 50, false), 0);
    CHECK_STR(events(), ""); /* no more data of it */
    CHECK_STR(sent(), "max 400 stop 4 5 ");
    CHECK_EQ(stream_bytes(4, 90, bytes, 10, true), 0);
    CHECK_EQ(found(4)->ended, VT__QSTR_REMOTE);
    lose_all();
    CHECK_STR(sent(), "max 400 "); /* the stop is of no use any more */
    CHECK_EQ(stream_bytes(8, 0, bytes, 100, false), 0);
    (void)events();
    CHECK_STR(sent(), "");
    vt__qstr_release(&q, found(8), 6); /* with all of it unread */
    CHECK_STR(sent(), "max 500 reset 8 6 0 stop 8 6 ");
    CHECK_EQ(q.used, q.recv_total);
    finish();
}
TEST(windows_grow_with_the_rate) {
    config.window = 1000, config.max_window = 8000;
    begin(true);
    static char bytes[1000];
    uint64_t at = 0;
    q.rtt = 100, q.now = 1000;
    for (int i = 0; i < 40; i++, at += 100) {
        CHECK_EQ(stream_bytes(0, at, bytes, 100, false), 0);
        (void)events();
        vt__qstr_consumed(&q, found(0), 100);
        q.now += 500; /* slowly */
        (void)sent();
    }
    CHECK_EQ(q.window, 1000);
    for (int i = 0; i < 400; i++, at += 100) {
        CHECK_EQ(stream_bytes(0, at, bytes, 100, false), 0);
        (void)events();
        vt__qstr_consumed(&q, found(0), 100);
        q.now += 2;
        (void)sent();
    }
    CHECK_EQ(q.window, 8000);
    CHECK(found(0)->recv_max <= at + 8000 && q.recv_max <= at + 8000);
    finish();
}
TEST(a_stream_that_is_fast_widens_all_windows) { /* before the connection's is told a second time */
    config.window = 1000, config.max_window = 8000;
    begin(true);
    static char bytes[500];
    q.rtt = 100, q.now = 1000;
    for (uint64_t at = 0; at < 1000; at += 500, q.now += 10) {
        CHECK_EQ(q.window, 1000);
        CHECK_EQ(stream_bytes(0, at, bytes, 500, false), 0);
        (void)events();
        vt__qstr_consumed(&q, found(0), 500);
        (void)sent();
    }
    CHECK_EQ(q.window, 2000);
    finish();
}
TEST(limits_of_the_peer) {
    begin(true);
    vt__qpkt_params tp = limits_of(150, 100, 1);
    vt__qstr_free(&q);
    vt__qstr_init(&q, &filled, &mem, true, 1);
    vt__qstr_peer_params(&q, &tp);
    static char bytes[300];
    CHECK_EQ(stream(0, 0, "a", false), 0);
    vt__qstr_stream *a = opened(false), *b = found(0), *none = NULL;
    CHECK_EQ(vt__qstr_open(&q, false, &none), VT__QPKT_E_STREAM_LIMIT);
    CHECK_EQ(vt__qstr_open(&q, false, &none), VT__QPKT_E_STREAM_LIMIT);
    CHECK_EQ(vt__qstr_write(&q, a, bytes, 120, false), 120);
    CHECK_EQ(vt__qstr_write(&q, b, bytes, 200, true), 200);
    (void)events();
    CHECK_STR(sent(), "streams blocked 1 stream 0 0+100 stream 1 0+50 blocked 150 blocked 0 100 ");
    CHECK_STR(sent(), "");
    lose_all();
    ack_all();
    CHECK_EQ(control(VT__QPKT_F_MAX_DATA, 150, 0, 0), 0);
    CHECK_STR(sent(), "");
    CHECK_EQ(control(VT__QPKT_F_MAX_DATA, 400, 0, 0), 0);
    CHECK_STR(sent(), "stream 1 50+50 blocked 1 100 ");
    CHECK_EQ(control(VT__QPKT_F_MAX_STREAM_DATA, 0, 199, 0), 0);
    CHECK_STR(sent(), "stream 0 100+99 blocked 0 199 ");
    CHECK_EQ(control(VT__QPKT_F_MAX_STREAM_DATA, 0, 150, 0), 0); /* an old one */
    CHECK_EQ(control(VT__QPKT_F_MAX_STREAM_DATA, 0, 200, 0), 0);
    CHECK_STR(sent(), "stream 0 199+1 fin ");
    CHECK_EQ(control(VT__QPKT_F_MAX_STREAMS, 1, 0, 0), 0);
    CHECK_STR(events(), "");
    CHECK_EQ(control(VT__QPKT_F_MAX_STREAMS, 2, 0, 0), 0);
    CHECK_STR(events(), "streams ");
    CHECK_EQ(vt__qstr_open(&q, false, &none), 0);
    CHECK_EQ(none->id, 5);
    finish();
}
TEST(lost_frames_are_made_anew) {
    begin(false);
    vt__qstr_stream *s = opened(false);
    CHECK_EQ(vt__qstr_write(&q, s, "abcdefghij", 10, false), 10);
    CHECK_STR(sent_by(8, 100), "stream 0 0+5 stream 0 5+4 stream 0 9+1 ");
    CHECK_EQ(vt__qstr_lost(&q, &notes[1]), 0);
    CHECK_EQ(vt__qstr_acked(&q, &notes[0]), 0);
    CHECK_EQ(vt__qstr_write(&q, s, "kl", 2, true), 2);
    vt__qpkt_note last = notes[2];
    CHECK_STR(sent(), "stream 0 5+4 stream 0 10+2 fin "); /* what was lost goes first */
    CHECK_EQ(vt__qstr_lost(&q, &notes[1]), 0);
    CHECK_EQ(vt__qstr_lost(&q, &last), 0);
    CHECK_STR(sent(), "stream 0 9+3 fin ");
    CHECK_EQ(vt__qstr_lost(&q, &notes[0]), 0);
    CHECK_EQ(vt__qstr_acked(&q, &notes[0]), 0); /* it had arrived after all */
    CHECK_STR(sent(), "");
    CHECK_EQ(vt__qstr_acked(&q, &(vt__qpkt_note){.a = 0, .b = 5, .len = 4, .kind = VT__QSTR_N_STREAM}), 0);
    CHECK_STR(events(), "sent 0 ");
    vt__qstr_release(&q, s, 0);
    CHECK_STR(sent(), "stop 0 0 ");
    lose_all();
    CHECK_STR(sent(), "stop 0 0 ");
    CHECK_EQ(stream(0, 0, "", true), 0);
    CHECK(!found(0));
    lose_all(); /* of a stream that is gone */
    CHECK_STR(sent(), "");
    s = opened(false);
    CHECK_EQ(vt__qstr_write(&q, s, NULL, 0, true), 0); /* an end alone, lost */
    CHECK_STR(sent(), "stream 4 0+0 fin ");
    lose_all();
    CHECK_STR(sent(), "stream 4 0+0 fin ");
    ack_all();
    CHECK_STR(events(), "sent 4 ");
    finish();
}
TEST(resets) {
    begin(false);
    vt__qstr_stream *s = opened(false);
    CHECK_EQ(vt__qstr_write(&q, s, "abcdefghij", 10, false), 10);
    CHECK_STR(sent_by(8, 1), "stream 0 0+5 ");
    vt__qpkt_note data = notes[0];
    vt__qstr_reset(&q, s, 77);
    vt__qstr_reset(&q, s, 78);
    CHECK_EQ(vt__qstr_write(&q, s, "more", 4, false), 4); /* into nothing */
    CHECK_STR(sent(), "reset 0 77 5 ");
    CHECK_EQ(vt__qstr_lost(&q, &data), 0);
    CHECK_STR(sent(), "");
    vt__qpkt_note reset = {.a = 0, .b = 77, .kind = VT__QSTR_N_RESET};
    CHECK_EQ(vt__qstr_lost(&q, &reset), 0);
    CHECK_STR(sent(), "reset 0 77 5 ");
    CHECK_EQ(vt__qstr_acked(&q, &data), 0);
    CHECK_EQ(s->ended, 0);
    ack_all();
    CHECK_EQ(s->ended, VT__QSTR_LOCAL);
    CHECK_EQ(vt__qstr_lost(&q, &reset), 0);
    CHECK_STR(sent(), "");
    /* the peer's STOP_SENDING is answered by one */
    s = opened(true);
    CHECK_EQ(vt__qstr_write(&q, s, "abcdefghij", 10, true), 10);
    CHECK_STR(sent(), "stream 2 0+10 fin ");
    CHECK_EQ(control(VT__QPKT_F_STOP_SENDING, 2, 5, 0), 0);
    CHECK_EQ(control(VT__QPKT_F_STOP_SENDING, 2, 6, 0), 0);
    CHECK_STR(events(), "stop 2 5 ");
    CHECK_STR(sent(), "reset 2 5 10 ");
    vt__qstr_release(&q, s, 9);
    ack_all();
    CHECK(!found(2));
    finish();
}
TEST(released_before_its_end) {
    begin(true);
    CHECK_EQ(stream(0, 0, "abc", false), 0);
    (void)events();
    vt__qstr_stream *s = found(0);
    CHECK_EQ(vt__qstr_write(&q, s, "def", 3, true), 3);
    vt__qstr_release(&q, s, 5); /* the response stands, more of the request is not wanted */
    CHECK_STR(sent(), "stop 0 5 stream 0 0+3 fin ");
    ack_all();
    CHECK(found(0) == s); /* until the peer says how long it was */
    CHECK_EQ(control(VT__QPKT_F_RESET_STREAM, 0, 5, 10), 0);
    CHECK(!found(0));
    CHECK_STR(events(), "");
    CHECK_EQ(stream(4, 0, "abc", true), 0);
    (void)events();
    vt__qstr_release(&q, found(4), 6);
    CHECK_STR(sent(), "reset 4 6 0 ");
    ack_all();
    CHECK(!found(4));
    finish();
}
TEST(b34_streams_are_skipped_at_no_cost) {
    config.streams[0] = 1000;
    begin(true);
    CHECK_EQ(stream(999 * 4, 0, "a", false), 0);
    CHECK_STR(events(), "open 3996 data 3996 'a' ");
    CHECK_EQ(q.count, 1);
    CHECK_EQ(stream(500 * 4, 0, "b", false), 0); /* one of those in between */
    CHECK_STR(events(), "open 2000 data 2000 'b' ");
    CHECK_EQ(q.skipped[0].n, 2);
    CHECK_EQ(stream(1000 * 4, 0, "a", false), VT__QPKT_E_STREAM_LIMIT);
    for (uint64_t i = 0; i < 999; i += 2) CHECK_EQ(stream(i * 4, 0, "", false), 0);
    CHECK(q.skipped[0].n <= 500 && q.count <= 502);
    (void)events();
    finish();
}
TEST(b34_credit_for_streams) { /* only after both sides have ended and the handler too */
    config.streams[0] = 8;
    begin(true);
    for (uint64_t i = 0; i < 8; i++) CHECK_EQ(stream(i * 4, 0, "a", true), 0);
    (void)events();
    for (uint64_t i = 0; i < 8; i++) CHECK_EQ(control(VT__QPKT_F_STOP_SENDING, i * 4, 1, 0), 0);
    (void)events();
    (void)sent();
    ack_all();
    CHECK_STR(sent(), ""); /* all of them are over, but for their handlers */
    CHECK_EQ(stream(32, 0, "a", true), VT__QPKT_E_STREAM_LIMIT);
    vt__qstr_release(&q, found(0), 0);
    CHECK_STR(sent(), "");
    vt__qstr_release(&q, found(4), 0);
    CHECK_STR(sent(), "streams 10 ");
    CHECK_EQ(stream(36, 0, "a", true), 0);
    CHECK_EQ(stream(40, 0, "a", true), VT__QPKT_E_STREAM_LIMIT);
    lose_all();
    vt__qstr_release(&q, found(8), 0);
    CHECK_STR(sent(), "streams 11 "); /* as it is now */
    (void)events();
    vt__qstr_release(&q, found(36), 0); /* reset, not acknowledged: it goes on counting */
    CHECK_STR(sent(), "reset 36 0 0 ");
    CHECK_STR(sent(), "");
    finish();
}
TEST(unidirectional) {
    begin(true);
    CHECK_EQ(stream(2, 0, "abc", true), 0);
    CHECK_STR(events(), "open 2 data 2 'abc' fin ");
    CHECK_EQ(found(2)->ended, VT__QSTR_BOTH);
    CHECK_EQ(vt__qstr_write(&q, found(2), "a", 1, false), VT_ESTATE);
    vt__qstr_release(&q, found(2), 0);
    CHECK(!found(2));
    for (uint64_t i = 1; i < 2; i++) CHECK_EQ(stream(2 + 4 * i, 0, "", true), 0);
    (void)events();
    vt__qstr_release(&q, found(6), 0);
    CHECK_STR(sent(), "unis 10 ");
    config.streams[1] = VT_NONE;
    finish();
    config.streams[1] = VT_NONE;
    begin(true);
    CHECK_EQ(stream(2, 0, "abc", true), VT__QPKT_E_STREAM_LIMIT);
    finish();
}
TEST(send_buffers) {
    config.send_buffer = 1000, config.max_send_buffer = 3000;
    static char bytes[5000];
    begin(true);
    CHECK_EQ(stream(0, 0, "a", false), 0);
    (void)events();
    vt__qstr_stream *s = found(0);
    CHECK_EQ(vt__qstr_room(&q, s), 1000);
    CHECK_EQ(vt__qstr_write(&q, s, bytes, 5000, true), 1000);
    CHECK_EQ(vt__qstr_write(&q, s, bytes, 5000, true), 0);
    CHECK_STR(sent_by(300, 100), "stream 0 0+296 stream 0 296+294 stream 0 590+294 stream 0 884+116 ");
    CHECK_EQ(vt__qstr_acked(&q, &notes[0]), 0);
    CHECK_STR(events(), "");
    CHECK_EQ(vt__qstr_acked(&q, &notes[1]), 0);
    CHECK_STR(events(), "writable 0 ");
    q.cwnd = 1000; /* and it grows with the congestion window */
    CHECK_EQ(vt__qstr_room(&q, s), 2000 - 410);
    q.cwnd = 10000;
    CHECK_EQ(vt__qstr_room(&q, s), 3000 - 410);
    q.cwnd = 0;
    CHECK_EQ(vt__qstr_room(&q, s), 590);
    vt__qstr_reset(&q, s, 1);
    finish();
}
/* Behind a hole all might be sent while more than half of it is kept: room is told of with the loss. */
TEST(send_buffers_and_a_loss) {
    config.send_buffer = config.max_send_buffer = 1000;
    static char bytes[5000];
    begin(true);
    CHECK_EQ(stream(0, 0, "a", false), 0);
    (void)events();
    vt__qstr_stream *s = found(0);
    CHECK_EQ(vt__qstr_write(&q, s, bytes, 5000, true), 1000);
    CHECK_STR(sent_by(300, 100), "stream 0 0+296 stream 0 296+294 stream 0 590+294 stream 0 884+116 ");
    CHECK_EQ(vt__qstr_lost(&q, &notes[1]), 0);
    CHECK_STR(events(), ""); /* there is none */
    CHECK_EQ(vt__qstr_acked(&q, &notes[0]), 0);
    CHECK_EQ(vt__qstr_acked(&q, &notes[2]), 0);
    CHECK_STR(events(), "");
    CHECK_EQ(vt__qstr_lost(&q, &notes[1]), 0);
    CHECK_STR(events(), "writable 0 ");
    CHECK_EQ(vt__qstr_write(&q, s, bytes, 5000, true), 296);
    CHECK_EQ(vt__qstr_lost(&q, &notes[3]), 0);
    CHECK_STR(events(), "");
    vt__qstr_reset(&q, s, 1);
    finish();
}
TEST(priorities) { /* RFC 9218: by urgency; in order, or by turns */
    begin(true);
    static char bytes[3000];
    for (uint64_t i = 0; i < 6; i++) CHECK_EQ(stream(i * 4, 0, "a", true), 0);
    (void)events();
    vt__qstr_prioritize(&q, found(0), 5, false);
    vt__qstr_prioritize(&q, found(16), 1, true);
    vt__qstr_prioritize(&q, found(20), 1, true);
    for (uint64_t i = 0; i < 6; i++)
        CHECK_EQ(vt__qstr_write(&q, found(i * 4), bytes, i < 4 ? 1000 : 1500, true), i < 4 ? 1000 : 1500);
    CHECK_STR(sent_by(1006, 100),
              "stream 16 0+1002 stream 20 0+1002 stream 16 1002+498 fin stream 20 1002+496 "
              "stream 20 1498+2 fin stream 4 0+995 stream 4 995+5 fin stream 8 0+992 stream 8 992+8 fin "
              "stream 12 0+989 stream 12 989+11 fin stream 0 0+986 stream 0 986+14 fin ");
    lose_all();
    vt__qstr_prioritize(&q, found(0), 0, false); /* what was lost has its place like the rest */
    CHECK_STR(sent_by(1006, 1), "stream 0 0+1000 fin ");
    finish();
}
TEST(early_data_rejected) {
    begin(false);
    vt__qstr_stream *s = opened(false);
    CHECK_EQ(vt__qstr_write(&q, s, "request", 7, true), 7);
    CHECK_STR(sent(), "stream 0 0+7 fin ");
    vt__qstr_rejected(&q);
    CHECK_STR(sent(), "");
    vt__qpkt_params tp = limits_of(5, 4, 10);
    vt__qstr_peer_params(&q, &tp);
    CHECK_STR(sent(), "stream 0 0+4 blocked 0 4 ");
    tp = limits_of(100, 100, 10);
    vt__qstr_peer_params(&q, &tp);
    CHECK_STR(sent(), "stream 0 4+3 fin ");
    CHECK_EQ(q.send_total, 7);
    finish();
}
/* Streams of it that are beyond the limit of now do not exist yet, not even to be reset. */
TEST(early_data_rejected_and_fewer_streams) {
    begin(false);
    for (int i = 0; i < 3; i++) CHECK_EQ(vt__qstr_write(&q, opened(false), "x", 1, true), 1);
    vt__qstr_reset(&q, found(4), 7);
    CHECK_STR(sent(), "reset 4 7 0 stream 0 0+1 fin stream 8 0+1 fin ");
    lose_all();
    vt__qstr_rejected(&q);
    vt__qpkt_params tp = limits_of(100, 100, 1);
    vt__qstr_peer_params(&q, &tp);
    vt__qstr_release(&q, found(8), 6);
    CHECK(vt__qstr_wants(&q));
    CHECK_STR(sent(), "stream 0 0+1 fin ");
    CHECK(!vt__qstr_wants(&q));
    CHECK_EQ(control(VT__QPKT_F_MAX_STREAMS, 2, 0, 0), 0);
    CHECK_STR(sent(), "reset 4 7 0 ");
    CHECK_EQ(control(VT__QPKT_F_MAX_STREAMS, 3, 0, 0), 0);
    CHECK_STR(sent(), "stop 8 6 stream 8 0+1 fin ");
    finish();
}
TEST(params_of_ours) {
    config.window = 70000, config.max_window = 100000, config.streams[0] = 7, config.streams[1] = 3;
    begin(true);
    vt__qpkt_params tp;
    vt__qpkt_params_init(&tp);
    vt__qstr_params(&q, &tp);
    CHECK(tp.max_data == 100000 && tp.max_bidi_local == 70000 && tp.max_bidi_remote == 70000 &&
          tp.max_uni == 70000);
    CHECK(tp.streams_bidi == 7 && tp.streams_uni == 3);
    finish();
}
TEST(many_streams) { /* more than there are buckets at first */
    config.streams[0] = 3000;
    begin(true);
    for (uint64_t i = 0; i < 3000; i++) CHECK_EQ(stream(i * 4, 0, "a", true), 0);
    (void)events();
    vt__qstr_event ev;
    while (vt__qstr_next(&q, &ev)) continue;
    CHECK(q.nbuckets >= 1024);
    for (uint64_t i = 0; i < 3000; i++) REQUIRE(found(i * 4) && found(i * 4)->id == i * 4);
    CHECK(!found(12000) && !found(1));
    finish();
}

/* ---- two ends ---- */
enum { STREAMS = 12, PACKETS = 400, BYTES = 60000 };
typedef struct packet {
    uint8_t bytes[1200];
    size_t n;
    vt__qpkt_note notes[64];
    size_t nnotes;
} packet;
typedef struct end {
    vt__qstr q;
    vt__qstr_mem mem;
    vt__qstr_cfg cfg;
    packet *flying;
    size_t nflying;
    uint64_t written[STREAMS * 8], size[STREAMS * 8], got[STREAMS * 8]; /* by id */
    bool whole[STREAMS * 8], broken[STREAMS * 8]; /* came to its end; was reset or stopped */
    uint64_t opened, released, bad;
} end;
static uint64_t *rng;
static uint64_t draw(uint64_t n) { return test_rand(rng) % n; }

static void end_events(end *e) {
    vt__qstr_event ev;
    while (vt__qstr_next(&e->q, &ev)) {
        vt__qstr_stream *s = ev.stream;
        if (ev.type == VT__QSTR_EV_DATA) {
            for (size_t i = 0; i < ev.len; i++) e->bad += ev.data[i] != byte_at(e->got[s->id] + i + s->id);
            e->got[s->id] += ev.len;
            e->whole[s->id] |= ev.fin;
            if (draw(3)) vt__qstr_consumed(&e->q, s, (size_t)(s->held < 2000 ? s->held : draw(s->held + 1)));
        }
        if (ev.type == VT__QSTR_EV_RESET || ev.type == VT__QSTR_EV_STOP) e->broken[s->id] = true;
    }
}
static void end_deliver(end *to, const packet *p) {
    const uint8_t *at = p->bytes;
    vt__qpkt_frame f;
    int rc;
    uint8_t *copy = malloc(p->n); /* gone afterwards */
    memcpy(copy, p->bytes, p->n);
    at = copy;
    while ((rc = vt__qpkt_frame_get(&f, &at, copy + p->n)) > 0) {
        to->bad += vt__qstr_recv(&to->q, &f) != 0;
        end_events(to);
    }
    to->bad += rc != 0;
    free(copy);
}
static bool end_send(end *e) {
    packet *p = &e->flying[e->nflying];
    uint8_t *at = p->bytes, *stop = at + 40 + draw(sizeof p->bytes - 40), *next;
    p->nnotes = 0;
    while (p->nnotes < 60 && (next = vt__qstr_put_control(&e->q, at, stop, &p->notes[p->nnotes])))
        at = next, p->nnotes++;
    while (p->nnotes < 60 && (next = vt__qstr_put_data(&e->q, at, stop, &p->notes[p->nnotes])))
        at = next, p->nnotes++;
    p->n = (size_t)(at - p->bytes);
    e->nflying += p->n > 0;
    return p->n > 0;
}
/* A packet in flight, any of them: it arrives, and is acknowledged or taken for lost all the same, or it is lost. */
static void end_fly(end *from, end *to, unsigned loss) {
    size_t k = draw(4) ? 0 : (size_t)draw(from->nflying);
    packet p = from->flying[k];
    bool lost = draw(100) < loss, late = draw(100) < loss / 2;
    if (!lost || late) end_deliver(to, &p);
    for (size_t i = 0; i < p.nnotes; i++) {
        if (lost || late) from->bad += vt__qstr_lost(&from->q, &p.notes[i]) != 0;
        if (!lost) from->bad += vt__qstr_acked(&from->q, &p.notes[i]) != 0;
    }
    end_events(from);
    from->nflying--;
    memmove(from->flying + k, from->flying + k + 1, (from->nflying - k) * sizeof *from->flying);
}
static void end_write(end *e, uint64_t id) {
    vt__qstr_stream *s = vt__qstr_find(&e->q, id);
    if (!s || s->released || s->fin || s->reset || s->ended & VT__QSTR_LOCAL) return;
    size_t n = (size_t)least(draw(5000), e->size[id] - e->written[id]);
    uint8_t *p = malloc(n + 1);
    for (size_t i = 0; i < n; i++) p[i] = byte_at(e->written[id] + i + id);
    int64_t k = vt__qstr_write(&e->q, s, p, n, e->written[id] + n == e->size[id]);
    free(p);
    if (k >= 0) e->written[id] += (uint64_t)k;
    else e->bad++;
}
static void end_act(end *e, bool rude) {
    vt__qstr_stream *s;
    bool uni = draw(3) == 0;
    if (draw(8) == 0 && e->q.mine[uni] < STREAMS * 2 && vt__qstr_open(&e->q, uni, &s) == 0) e->opened++;
    uint64_t id = draw(STREAMS * 8);
    end_write(e, id);
    s = vt__qstr_find(&e->q, id);
    if (!s || s->released) return;
    if (s->held) vt__qstr_consumed(&e->q, s, (size_t)s->held);
    if (rude && draw(60) == 0) vt__qstr_reset(&e->q, s, 1), e->broken[id] = true;
    if (rude && draw(60) == 0) vt__qstr_stop(&e->q, s, 2), e->broken[id] = true;
    if (draw(20) == 0) vt__qstr_prioritize(&e->q, s, (unsigned)draw(8), draw(2));
    if (s->ended == VT__QSTR_BOTH || (rude && draw(200) == 0)) {
        if (s->ended != VT__QSTR_BOTH) e->broken[id] = true;
        vt__qstr_release(&e->q, s, 3), e->released++;
    }
}
static void end_init(end *e, bool server) {
    memset(e, 0, sizeof *e);
    e->cfg.window = 1000 + draw(20000), e->cfg.max_window = e->cfg.window + draw(60000);
    e->cfg.streams[0] = e->cfg.streams[1] = 1 + (int64_t)draw(STREAMS / 2);
    e->cfg.send_buffer = 500 + draw(9000);
    vt__qstr_cfg_fill(&e->cfg);
    vt__qstr_mem_init(&e->mem);
    e->flying = malloc(PACKETS * sizeof *e->flying);
    vt__qstr_init(&e->q, &e->cfg, &e->mem, server, 1);
    e->q.rtt = 50;
    for (uint64_t i = 0; i < STREAMS * 8; i++) e->size[i] = draw(4) ? draw(BYTES) : draw(10);
}
static void end_free(end *e) {
    vt__qstr_free(&e->q);
    vt__qstr_mem_free(&e->mem);
    free(e->flying);
}
static bool end_settled(const end *e) {
    for (uint32_t i = 0; i < e->q.nbuckets; i++)
        for (vt__qstr_stream *s = e->q.buckets[i]; s; s = s->chain)
            if (s->ended != VT__QSTR_BOTH) return false;
    return !e->nflying;
}
/* Ends that talk until everything that can come to an end has. */
static void talk(uint64_t seed, unsigned loss, bool rude) {
    static end ends[2];
    rng = &seed;
    uint64_t first = seed;
    for (int i = 0; i < 2; i++) end_init(&ends[i], i);
    for (int i = 0; i < 2; i++) {
        vt__qpkt_params tp;
        vt__qpkt_params_init(&tp);
        vt__qstr_params(&ends[!i].q, &tp);
        vt__qstr_peer_params(&ends[i].q, &tp);
    }
    int step = 0;
    for (; step < 40000; step++) {
        int i = (int)draw(2);
        end *e = &ends[i];
        e->q.now += (int64_t)draw(10);
        for (uint64_t id = 0; step > 20000 && id < STREAMS * 8; id++) { /* time to come to an end */
            vt__qstr_stream *s = vt__qstr_find(&e->q, id);
            if (s && !s->released && s->held) vt__qstr_consumed(&e->q, s, (size_t)s->held);
            if (s && !s->released) end_write(e, id);
        }
        if (step <= 20000) end_act(e, rude);
        if (e->nflying < PACKETS && draw(2)) (void)end_send(e);
        else if (e->nflying) end_fly(e, &ends[!i], step > 30000 ? 0 : loss);
        if (e->q.recv_total > e->q.recv_max || e->q.used > e->q.recv_total || e->q.send_total > e->q.send_max)
            e->bad++;
        if (step > 20000 && end_settled(&ends[0]) && end_settled(&ends[1])) break;
    }
    bool good = step < 40000 && !ends[0].bad && !ends[1].bad && ends[0].opened && ends[1].opened;
    for (int i = 0; i < 2; i++) {
        for (uint64_t id = 0; id < STREAMS * 8 && !rude; id++) {
            bool sends = ends[i].written[id] || ends[i].whole[id];
            if (ends[i].written[id] && (ends[!i].got[id] != ends[i].size[id] || !ends[!i].whole[id]))
                good = false;
            if (sends && ends[i].broken[id]) good = false;
        }
    }
    if (!good) {
        printf("seed 0x%llx loss %u rude %d: step %d, bad %d %d\n", (unsigned long long)first, loss, rude,
               step, (int)ends[0].bad, (int)ends[1].bad);
        test_fail(__FILE__, __LINE__, "both ends agree");
    }
    end_free(&ends[0]), end_free(&ends[1]);
}
TEST(two_ends) {
    uint64_t seed = test_seed();
    count_begin();
    for (unsigned i = 0; i < 8; i++) talk(seed + i * 1000, i % 4 * 10, false);
    count_end();
}
TEST(two_rude_ends) {
    uint64_t seed = test_seed();
    count_begin();
    for (unsigned i = 0; i < 8; i++) talk(seed + i * 1000 + 7, i % 4 * 10, true);
    count_end();
}

/* ---- no memory ---- */
static int some_life(void) {
    static char bytes[9000];
    int rc = 0;
    vt__qstr_stream *s = NULL;
    vt__qstr_event ev;
    for (uint64_t i = 0; i < 40 && rc == 0; i++) rc = stream_bytes(i * 8, 100, bytes, 50, false);
    while (vt__qstr_next(&q, &ev)) continue;
    for (uint64_t i = 0; i < 6 && rc == 0; i++) rc = stream_bytes(0, 6000 * i + 500, bytes, 9, false);
    if (rc == 0) rc = vt__qstr_open(&q, false, &s);
    int64_t n = rc == 0 ? vt__qstr_write(&q, s, bytes, sizeof bytes, true) : 0;
    if (n < 0) rc = (int)n;
    if (rc < 0) return rc;
    (void)sent();
    for (size_t i = 0; i < nnotes && rc == 0;
         i++) /* holes among what is acknowledged, and among what was lost */
        rc = i % 2 ? vt__qstr_acked(&q, &notes[i]) : i % 4 ? vt__qstr_lost(&q, &notes[i]) : 0;
    return rc;
}
TEST(allocations_fail) {
    int failed = 0, rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        begin(true);
        fail_at = n;
        rc = some_life();
        failed += rc < 0;
        if (rc < 0) CHECK_EQ(rc, -ENOMEM);
        fail_at = -1;
        finish();
    }
    CHECK_EQ(rc, 0);
    CHECK(failed > 10);
}
