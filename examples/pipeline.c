/* A pipeline: one virtual thread makes numbers, three square them in parallel, the main one adds up what comes out and
 * reports each second. Channels carry the values, a scope joins everybody, whatever happens.   ./pipeline 1000 */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static vt_chan *numbers, *squares;
static vt_wg squaring;

static int make(void *arg) {
    int r = 0;
    for (int64_t i = 1; r == 0 && i <= *(int *)arg; i++) r = vt_chan_send(numbers, &i);
    (void)vt_chan_close(numbers); /* receivers drain what is left, then get VT_ECLOSED */
    return r;
}

static int square(void *arg) {
    int64_t x;
    int r;
    (void)arg;
    while ((r = vt_chan_recv(numbers, &x)) == 0) {
        x *= x;
        if ((r = vt_chan_send(squares, &x)) < 0) break;
    }
    (void)vt_wg_done(&squaring);
    return r == VT_ECLOSED ? 0 : r; /* any other error cancels the whole scope */
}

static int close_squares(void *arg) {
    int r = vt_wg_wait(arg);
    (void)vt_chan_close(squares);
    return r;
}

static int pipeline(void *arg) {
    int64_t x, sum = 0, next = vt_now() + VT_SEC;
    vt_scope s;
    vt_scope_open(&s, 0, vt_now() + 60 * VT_SEC); /* nobody works longer than a minute */
    vt_scope_go(&s, make, arg);
    vt_wg_add(&squaring, 3);
    for (int i = 0; i < 3; i++) vt_scope_go_any(&s, square, NULL);
    if (vt_scope_go(&s, close_squares, &squaring) < 0) (void)vt_chan_close(squares); /* nobody else would */
    for (;;) {
        vt_case c[] = {{.recv = squares, .value = &x}, {.at = next}};
        int i = vt_select(c, 2);
        if (i < 0 || (i == 0 && c[0].result == VT_ECLOSED)) break;
        if (i == 0) sum += x;
        else printf("%lld so far\n", (long long)sum), next += VT_SEC;
    }
    int r = vt_scope_wait(&s); /* the first error of any of them, or 0 */
    if (r == 0) printf("the sum of the first %d squares is %lld\n", *(int *)arg, (long long)sum);
    return r;
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 1000;
    numbers = vt_chan_new(sizeof(int64_t), 0, 0);
    squares = vt_chan_new(sizeof(int64_t), 16, 0);
    return vt_run(NULL, pipeline, &n) < 0;
}
