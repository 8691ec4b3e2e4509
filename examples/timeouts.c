/* Time-outs and cancellation: a limit for one call, for a virtual thread with all that it starts, and for a scope; a task that
 * is told to stop, and how it cleans up. */
#define VTHTTP_HTTP 0
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static void say(const char *what, int r) { printf("%s: %s\n", what, r < 0 ? vt_err_name(r) : "done"); }

static int forever(void *arg) {
    vt_chan *silent = arg;
    return vt_chan_recv(silent, NULL);
}

static void leave(void *what) { printf("left: %s\n", (const char *)what); }

/* Each call that waits reports the cancel; after it the shield lets clean-up wait. vt_defer's run in any case, last first. */
static int careful(void *arg) {
    static char office[] = "the office", desk[] = "the desk";
    vt_defer(leave, office);
    vt_defer(leave, desk);
    int r = forever(arg);
    vt_shield(true);
    say("clean-up that waits", vt_sleep_ms(1));
    vt_shield(false);
    return r;
}

static int all(void *arg) {
    vt_chan *silent = arg;
    vt_scope s;
    int r;

    say("one call", vt_chan_recv_until(silent, NULL, vt_now() + 20 * VT_MS));

    int64_t before = vt_deadline_set(vt_now() + 20 * VT_MS); /* every call from here on, children's too */
    vt_task *t = vt_async(forever, silent);
    say("a call under a deadline", forever(silent));
    vt_deadline_set(before);
    if (vt_await(t, &r) == 0) say("the child that inherited it", r);

    vt_scope_open(&s, 0, vt_now() + 20 * VT_MS);
    for (int i = 0; i < 3; i++) vt_scope_go(&s, forever, silent);
    say("three in a scope", vt_scope_wait(&s)); /* none of them lives any more */

    t = vt_async(careful, silent);
    say("somebody who waits a while", vt_await_until(t, vt_now() + 20 * VT_MS, &r));
    vt_cancel(t); /* and now wants it to end */
    if (vt_await(t, &r) == 0) say("the task that was cancelled", r);
    return 0;
}

int main(void) {
    vt_chan *silent = vt_chan_new(0, 0, 0); /* nobody ever sends */
    int r = vt_run(NULL, all, silent);
    vt_chan_free(silent);
    return r < 0;
}
