/* Clients on the scripted kernel: bytes that come one by one, sockets that take little, ends and resets at every point,
 * failing calls. Whatever happens, each call ends with the right answer or an error, what is safe is sent again where a
 * kept connection was no good, and nothing is left. */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "simkernel.h"

enum { KEEP, RACE, TO_CLOSE, CUT, MUTE, EARLY, GO_ON, NOBODY, KINDS };
enum { HTTP2 = 0 };
#include "simcli.h"

/*--- servers: what each port does ---*/
static char by_length[BODY + 200], by_chunks[BODY + 400], by_close[BODY + 100];
static size_t cut; /* of by_length: what CUT sends */

static void texts(void) {
    size_t n = (size_t)sprintf(by_chunks, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < BODY; i++) body[i] = (char)('a' + i % 26);
    for (int i = 0; i < BODY; i += 100) n += (size_t)sprintf(by_chunks + n, "64;x=y\r\n%.100s\r\n", body + i);
    sprintf(by_chunks + n, "0\r\nX-End: 1\r\n\r\n");
    sprintf(by_length, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", BODY, body);
    sprintf(by_close, "HTTP/1.1 200 OK\r\n\r\n%s", body);
}
static void scripts(void) {
    static const char early[] = "HTTP/1.1 413 Large\r\nContent-Length: 3\r\n\r\nbig",
                      go[] = "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 100 Go on\r\n\r\n";
    for (int i = 1; i <= 4; i++) {
        const char *text = sim_chance(500) ? by_length : by_chunks;
        does(KEEP, SIM_AWAIT_N, i);
        says(KEEP, text, strlen(text));
    }
    does(KEEP, SIM_DELAY, some(3 * VT_MS));
    does(KEEP, SIM_FIN, 0);
    does(RACE, SIM_AWAIT_N, 1);
    says(RACE, by_length, strlen(by_length));
    does(RACE, SIM_DELAY, some(3 * VT_MS));
    does(RACE, SIM_FIN, 0); /* the answer is not taken back, as by a reset */
    does(TO_CLOSE, SIM_AWAIT_N, 1);
    says(TO_CLOSE, by_close, strlen(by_close));
    does(TO_CLOSE, SIM_FIN, 0);
    does(CUT, SIM_AWAIT_N, 1);
    says(CUT, by_length, cut = sim_size(strlen(by_length)));
    does(CUT, ending(), 0);
    does(EARLY, SIM_AWAIT, 1);
    says(EARLY, early, sizeof early - 1);
    does(EARLY, SIM_DELAY, some(VT_MS));
    does(EARLY, ending(), 0);
    does(GO_ON, SIM_AWAIT, 30);
    says(GO_ON, go, sizeof go - 1);
    does(GO_ON, SIM_AWAIT_N, 1);
    says(GO_ON, by_chunks, strlen(by_chunks));
    does(GO_ON, SIM_FIN, 0);
}
/* Requests that have come: each ends in this, the last of its path or of its body. */
static size_t count(struct sim_peer *p) {
    size_t n = 0;
    for (size_t i = 4; i <= p->ngot; i++) n += memcmp(p->got + i - 4, "END.", 4) == 0;
    return n;
}

/*--- callers ---*/
static bool fits(int kind, int how, int r) {
    switch (kind) {
    case KEEP:
    case RACE:
    case GO_ON: return r == 200 || (how == 2 && lost(r));
    case CUT: return lost(r);
    case MUTE: return r == -ETIMEDOUT;
    case EARLY: return r == 413 || lost(r);
    case NOBODY: return r == -ECONNREFUSED || r == -ETIMEDOUT;
    default: return r == 200;
    }
}
static void right(const vt_call *call, int r) {
    vt_str text = vt_call_text(call);
    if (r == 413) CHECK_STR(text.ptr, "big");
    else CHECK_MEM(text.ptr, text.len, body, BODY);
}
/* The answer ends, or is reset, behind every one of its bytes. */
static int cuts_main(void *arg) {
    const char *text = arg;
    size_t left = 0, n = strlen(text);
    client = vt_client_new(&(vt_client_cfg){.proxy = ""});
    for (size_t i = 0; i < 2 * n; i++) {
        script[CUT].n = 0;
        does(CUT, SIM_AWAIT_N, 1);
        says(CUT, text, i / 2);
        does(CUT, i % 2 ? SIM_FIN : SIM_RST, 0);
        does(CUT, SIM_AWAIT_END, 0);
        vt_call *call = ask(CUT, 0, &left);
        if (vt_call_send(call) >= 0) vt_call_whole(call);
        CHECK(lost(vt_call_status(call)));
        vt_call_free(call);
        CHECK_EQ(client->conns, 0);
        sim.npeers = 0; /* they are over */
    }
    vt_client_free(client);
    client = NULL;
    return 0;
}
TEST(sim_cut_at_every_byte) {
    world(test_seed(), false, cuts_main, by_length);
    world(test_seed(), false, cuts_main, by_chunks);
}
TEST(sim_calls) { worlds(80, false, false); }
TEST(sim_calls_that_are_cancelled) { worlds(60, false, true); }
TEST(sim_calls_of_the_system_fail) { worlds(80, true, false); }
