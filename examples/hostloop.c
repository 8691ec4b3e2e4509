/* A server inside a program that has a poll loop of its own: everything runs on one OS thread, turn by turn, so the
 * handlers use the program's data without locks.   ./hostloop -port=8080     curl http://127.0.0.1:8080/ */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

#define WATCH 1024
static volatile sig_atomic_t stop;
static long ticks; /* the program's own work: it counts tenths of seconds */
static int result; /* the server's */

static void on_signal(int sig) { stop = sig; }

static int show(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_printf(res, 200, "ticks: %ld\n", ticks);
}

static int serve(void *server) { /* on a virtual thread */
    result = vt_server_start(server);
    if (result == 0) result = vt_server_wait(server);
    return result;
}

/* What the program's poll must watch for us: one descriptor with epoll, all of them with poll. */
static int watch(struct pollfd *fds) {
    vt_pollfd list[WATCH];
    fds[0] = (struct pollfd){.fd = vt_poll_fd(), .events = POLLIN};
    if (fds[0].fd >= 0) return 1;
    int n = vt_poll_fill(list, WATCH);
    if (n > WATCH) n = WATCH;
    for (int i = 0; i < n; i++) {
        short events = (short)((list[i].events & VT_READ ? POLLIN : 0) |
                               (list[i].events & VT_WRITE ? POLLOUT : 0));
        fds[i] = (struct pollfd){.fd = list[i].fd, .events = events};
    }
    return n;
}

int main(int argc, char **argv) {
    static struct pollfd fds[WATCH]; /* a real program adds descriptors of its own */
    vt_server *s = vt_server_from_args(&argc, argv);
    vt_server_get(s, "/", show);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    if (vt_open(NULL) < 0 || vt_go(serve, s) < 0) return 1;
    int64_t tick = vt_now();
    while (vt_run_once(0) > 0) { /* runs what is ready; 0: no virtual thread is left */
        int64_t now = vt_now(), due = vt_next_deadline();
        for (; tick <= now; tick += VT_SEC / 10) ticks++;
        if (stop) vt_server_stop(s);
        if (due == VT_NONE || due > tick) due = tick;
        int n = watch(fds), ms = due <= now ? 0 : (int)((due - now + VT_MS - 1) / VT_MS);
        if (poll(fds, (nfds_t)n, ms) < 0 && errno != EINTR) return 1;
    }
    vt_server_free(s);
    vt_shutdown();
    return result < 0;
}
