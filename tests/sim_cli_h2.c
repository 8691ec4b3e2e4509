/* Clients over HTTP/2 on the scripted kernel: bytes that come one by one, sockets that take little, GOAWAY, refusals, ends and
 * resets at every point, failing calls. Whatever happens, each call ends with the right answer or an error, what the
 * server did not begin with is sent again, and nothing is left. */
/* variants: default asan */
#define VTHTTP_SIM 1
#define VTHTTP_H2 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "simkernel.h"

enum { KEEP, RACE, REFUSE, CUT, MUTE, BAD, WAITS, NOBODY, KINDS };
enum { GO_ON = -1, HTTP2 = VT_HTTP2_PRIOR };
#include "simcli.h"

/*--- servers: what each port does ---*/
enum { ANSWERS = 6 };
struct text {
    uint8_t p[4 * BODY];
    size_t n;
};
static struct text opening, narrow, answers[ANSWERS], bye, refusal, wide;
static size_t cut; /* of an answer: what CUT sends */

static void add(struct text *t, unsigned type, unsigned flags, uint32_t id, const void *p, size_t n) {
    uint8_t *to = vt__h2_put_frame(t->p + t->n, n, type, flags, id);
    if (n) memcpy(to, p, n);
    t->n = (size_t)(to - t->p) + n;
}
static void add_words(struct text *t, unsigned type, uint32_t id, uint32_t a, uint32_t b, size_t n) {
    uint8_t p[8];
    (void)vt__str_put32(vt__str_put32(p, a), b);
    add(t, type, 0, id, p, n);
}
static void texts(void) {
    static const uint8_t small[] = {0, VT__H2_S_WINDOW, 0, 0, 0, 10};
    for (int i = 0; i < BODY; i++) body[i] = (char)('a' + i % 26);
    opening.n = narrow.n = bye.n = refusal.n = wide.n = 0;
    add(&opening, VT__H2_T_SETTINGS, 0, 0, NULL, 0);
    add(&opening, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0);
    add(&narrow, VT__H2_T_SETTINGS, 0, 0, small, sizeof small);
    add(&narrow, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0);
    add_words(&bye, VT__H2_T_GOAWAY, 0, 2 * ANSWERS - 1, 0, 8);
    add_words(&refusal, VT__H2_T_RST_STREAM, 1, VT__H2_REFUSED_STREAM, 0, 4);
    add_words(&wide, VT__H2_T_WINDOW_UPDATE, 1, 100000, 0, 4);
    for (uint32_t i = 0; i < ANSWERS; i++) {
        struct text *t = &answers[i];
        static const uint8_t status[] = {0x88}, end[] = {0, 5, 'x', '-', 'e', 'n', 'd', 1, '1'};
        t->n = 0;
        add(t, VT__H2_T_HEADERS, VT__H2_END_HEADERS, 2 * i + 1, status, sizeof status);
        for (size_t at = 0; at < BODY; at += 100) add(t, VT__H2_T_DATA, 0, 2 * i + 1, body + at, 100);
        add(t, VT__H2_T_HEADERS, VT__H2_END_HEADERS | VT__H2_END_STREAM, 2 * i + 1, end, sizeof end);
    }
}
static void says_text(int kind, const struct text *t) { says(kind, t->p, t->n); }
static void answers_to(int kind, int from, int n) {
    for (int i = from; i < n; i++) {
        does(kind, SIM_AWAIT_N, i + 1);
        says_text(kind, &answers[i]);
    }
}
static void scripts(void) {
    for (int i = 0; i < NOBODY; i++) says_text(i, i == WAITS ? &narrow : &opening);
    answers_to(KEEP, 0, ANSWERS);
    does(KEEP, SIM_DELAY, some(3 * VT_MS));
    says_text(KEEP, &bye);
    does(KEEP, SIM_FIN, 0);
    answers_to(RACE, 0, 1);
    does(RACE, SIM_DELAY, some(3 * VT_MS));
    does(RACE, SIM_FIN, 0);
    does(REFUSE, SIM_AWAIT_N, 1);
    says_text(REFUSE, &refusal);
    answers_to(REFUSE, 1, ANSWERS);
    says_text(REFUSE, &bye);
    does(REFUSE, SIM_FIN, 0);
    does(CUT, SIM_AWAIT_N, 1);
    says(CUT, answers[0].p, cut = sim_size(answers[0].n));
    does(CUT, ending(), 0);
    does(BAD, SIM_AWAIT_N, 1);
    says(BAD, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    does(WAITS, SIM_AWAIT_N, 1);
    does(WAITS, SIM_DELAY, some(3 * VT_MS));
    says_text(WAITS, &wide);
    answers_to(WAITS, 0, 1);
    says_text(WAITS, &bye);
    does(WAITS, SIM_FIN, 0);
}
/* Requests whose heads have come. */
static size_t count(struct sim_peer *p) {
    size_t n = 0;
    for (size_t at = VT__H2_PREFACE_LEN; at + VT__H2_FRAME <= p->ngot;) {
        const uint8_t *frame = (const uint8_t *)p->got + at;
        at += VT__H2_FRAME + (vt__str_get32(frame) >> 8);
        n += frame[3] == VT__H2_T_HEADERS && at <= p->ngot;
    }
    return n;
}

/*--- callers ---*/
static bool fits(int kind, int how, int r) {
    switch (kind) {
    case KEEP: return r == 200 || (how == 2 && (lost(r) || r == VT_EREFUSED));
    case REFUSE: return r == 200 || r == VT_EREFUSED || (how == 2 && lost(r)); /* four times, it may be */
    case RACE: return r == 200 || (how == 2 && lost(r));
    case WAITS: return r == 200 || r == VT_EREFUSED || lost(r); /* one a connection */
    case CUT: return lost(r) || (r == 200 && cut == answers[0].n);
    case MUTE: return r == -ETIMEDOUT;
    case BAD: return r == VT_EHTTP;
    default: return r == -ECONNREFUSED || r == -ETIMEDOUT;
    }
}
static void right(const vt_call *call, int r) {
    vt_str text = vt_call_text(call);
    (void)r;
    CHECK_MEM(text.ptr, text.len, body, BODY);
    CHECK_STR(vt_call_res_trailer(call, "x-end").ptr, "1");
}
TEST(sim_calls_h2) { worlds(80, false, false); }
TEST(sim_calls_h2_that_are_cancelled) { worlds(60, false, true); }
TEST(sim_calls_h2_of_the_system_fail) { worlds(80, true, false); }
