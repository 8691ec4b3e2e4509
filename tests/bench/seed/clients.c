/* The load of the seed benchmark: a closed loop. Each of -c clients is a virtual thread with one keep-alive
 * connection that sends a GET, waits for the whole response, and sends the next. A response that is not 200,
 * not whole, or later than -timeout_ms ends the run with exit status 1: no figure is that of a server which
 * drops.
 *
 *   clients -port=N [-path=/] [-c=100] [-s=10] [-warm_ms=1000] [-ramp_ms=100] [-timeout_ms=30000]
 *           [-max=2000000] [-csv=FILE] [-probe=PATH] [-probe_ms=20] [-probe_csv=FILE] [-pid=SERVER]
 *
 * Clients begin spread over -ramp_ms. The window of -s seconds opens -warm_ms after the first began:
 * requests that begin before its end and end after its begin count. -probe: one more client asks for that
 * path, -probe_ms after each answer, and is counted apart. -max: requests that there is memory for.
 *
 * Last lines: "result requests=N rps=X whole=X mean_us=N p50_us=N p90_us=N p99_us=N max_us=N cpu_us=X", and
 * "probe ..." likewise. rps: responses that arrived within the window. whole: all responses of the run by
 * its length, from the first request to the last response: for requests that take so long that few end in
 * the window. cpu_us: CPU time of the server a response. */
#define VTHTTP_HTTP 0
#define VTHTTP_IMPLEMENTATION
#include "../../../vthttp.h"

#include "../bench.h"

enum { HEAD_MAX = 2048 };

struct sample {
    int64_t start_us; /* since the window began */
    uint32_t latency_us;
};

/* What one kind of client measured. */
struct record {
    const char *path;
    int64_t pause_ns; /* between a response and the next request */
    struct sample *all;
    size_t count, cap;
    int64_t responses, first, last; /* of the whole run */
};

struct client {
    struct record *to;
    vt_sock *sock;
    int64_t begin;
};

static struct record load, probe;
static struct client *clients;
static char addr[64];
static long long conns, timeout_ns, ramp_ns, warm_ns, window_ns;
static int64_t zero; /* the window's begin */
static pid_t server_pid;
static int64_t cpu_from, cpu_to;

/*------------------------------------------------------------------- a request */

static int complain(const struct client *c, const char *what, int64_t r) {
    if (r != -ECANCELED) /* else another client has complained */
        fprintf(stderr, "clients: %s: %s%s%s\n", c->to->path, what, r < 0 ? ": " : "",
                r < 0 ? vt_strerror((int)r) : "");
    return r < 0 ? (int)r : -EPROTO;
}

/* Bytes of the body, or -1. */
static long long head_length(const char *head) {
    const char *p = strcasestr(head, "\r\ncontent-length:");
    return strncmp(head, "HTTP/1.1 200 ", 13) == 0 && p ? strtoll(p + 17, NULL, 10) : -1;
}

static int request(struct client *c, const char *text, size_t len) {
    char buf[HEAD_MAX + 1];
    char *end = NULL;
    size_t have = 0;
    long long left = -1;
    int64_t until = vt_now() + timeout_ns, r = vt_write_until(c->sock, text, len, until);
    if (r < 0) return complain(c, "the request", r);
    while (left != 0) {
        size_t keep = end ? 0 : have; /* of the body nothing is kept */
        r = vt_read_until(c->sock, buf + keep, HEAD_MAX - keep, until);
        if (r <= 0) return complain(c, "the response", r ? r : -ECONNRESET);
        if (end) {
            left -= r;
        } else {
            have += (size_t)r;
            buf[have] = 0;
            end = strstr(buf, "\r\n\r\n");
            if (end) {
                end[2] = 0;
                left = head_length(buf);
                if (left < 0) return complain(c, buf, 0);
                left -= (long long)(have - (size_t)(end + 4 - buf));
            } else if (have == HEAD_MAX) return complain(c, "a head that does not end", 0);
        }
        if (left < 0 && end) return complain(c, "more bytes than the response has", 0);
    }
    return 0;
}

static int keep(struct client *c, int64_t start, int64_t end) {
    struct record *t = c->to;
    if (t->responses++ == 0 || start < t->first) t->first = start;
    t->last = end;
    if (end < zero) return 0;
    if (t->count == t->cap) return complain(c, "more requests than -max", 0);
    t->all[t->count++] = (struct sample){.start_us = (start - zero) / 1000,
                                         .latency_us = (uint32_t)((end - start) / 1000)};
    return 0;
}

static int client(void *arg) {
    struct client *c = arg;
    char text[512];
    int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n\r\n", c->to->path,
                       addr);
    if (len < 0 || len >= (int)sizeof(text)) return complain(c, "the path is too long", 0);
    int r = vt_sleep_until(c->begin);
    while (r == 0) {
        int64_t start = vt_now();
        if (start >= zero + window_ns) break;
        r = request(c, text, (size_t)len);
        if (r == 0) r = keep(c, start, vt_now());
        if (r == 0 && c->to->pause_ns) r = vt_sleep(c->to->pause_ns);
    }
    vt_sock_close(c->sock);
    return r;
}

/*--------------------------------------------------------------------- the run */

/* CPU time of the server in the window. */
static int watch_server(void *arg) {
    (void)arg;
    int r = vt_sleep_until(zero);
    cpu_from = bench_cpu_of(server_pid);
    if (r == 0) r = vt_sleep_until(zero + window_ns);
    cpu_to = bench_cpu_of(server_pid);
    return r;
}

static int dial(struct client *c, struct record *to) {
    c->to = to;
    int r = vt_dial_until(&c->sock, addr, NULL, vt_now() + timeout_ns);
    return r < 0 ? complain(c, "connect", r) : 0;
}

/* All connect first; then each gets its time to begin. */
static int all(void *arg) {
    vt_scope s;
    int r = 0;
    (void)arg;
    for (long long i = 0; i < conns && r == 0; i++) r = dial(&clients[i], &load);
    if (r == 0 && probe.path) r = dial(&clients[conns], &probe);
    if (r < 0) return r;
    int64_t begin = vt_now() + 50 * VT_MS;
    zero = begin + warm_ns;
    vt_scope_open(&s, 0, zero + window_ns + timeout_ns);
    for (long long i = 0; i < conns; i++) {
        clients[i].begin = begin + ramp_ns * i / conns;
        vt_scope_go(&s, client, &clients[i]);
    }
    clients[conns].begin = begin;
    if (probe.path) vt_scope_go(&s, client, &clients[conns]);
    if (server_pid > 0) vt_scope_go(&s, watch_server, NULL);
    r = vt_scope_wait(&s);
    if (r < 0) fprintf(stderr, "clients: %s\n", vt_strerror(r));
    return r;
}

/*------------------------------------------------------------------ the figures */

static int by_latency(const void *a, const void *b) {
    uint32_t x = ((const struct sample *)a)->latency_us, y = ((const struct sample *)b)->latency_us;
    return (x > y) - (x < y);
}

static int write_csv(const struct record *t, const char *path) {
    if (!path) return 0;
    FILE *f = fopen(path, "w");
    if (!f) return -1;
    fputs("start_us,latency_us\n", f);
    for (size_t i = 0; i < t->count; i++)
        fprintf(f, "%lld,%u\n", (long long)t->all[i].start_us, t->all[i].latency_us);
    return fclose(f);
}

/* The sample at a share of the sorted ones. */
static uint32_t at(const struct record *t, double share) {
    size_t i = (size_t)(share * (double)t->count);
    return t->all[i < t->count ? i : t->count - 1].latency_us;
}

static int report(struct record *t, const char *word, const char *csv, int64_t cpu) {
    int64_t within = 0;
    double sum = 0;
    if (t->count == 0) bench_die("no request to count");
    if (write_csv(t, csv) < 0) bench_die("%s", csv);
    for (size_t i = 0; i < t->count; i++) {
        within += (t->all[i].start_us + t->all[i].latency_us) * 1000 <= window_ns;
        sum += t->all[i].latency_us;
    }
    qsort(t->all, t->count, sizeof(t->all[0]), by_latency);
    printf("%s requests=%zu rps=%.1f whole=%.1f mean_us=%.0f p50_us=%u p90_us=%u "
           "p99_us=%u max_us=%u cpu_us=%.1f\n",
           word, t->count, (double)within * 1e9 / (double)window_ns,
           (double)t->responses * 1e9 / (double)(t->last - t->first), sum / (double)t->count, at(t, 0.5),
           at(t, 0.9), at(t, 0.99), at(t, 1.0), within ? (double)cpu / 1e3 / (double)within : 0.0);
    return 0;
}

static void prepare(struct record *t, const char *path, long long cap) {
    t->path = path;
    t->cap = (size_t)cap;
    t->all = calloc(t->cap, sizeof(*t->all)); /* pages come with use */
    if (!t->all) bench_die("memory for %lld requests", cap);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"port",      "path",       "c",   "s",   "warm_ms",
                                        "ramp_ms",   "timeout_ms", "max", "csv", "probe_ms",
                                        "probe_csv", "probe",      "pid", NULL};
    bench_known(argc, argv, known);
    snprintf(addr, sizeof(addr), "127.0.0.1:%d", (int)bench_num(argc, argv, "port", 8080));
    conns = bench_num(argc, argv, "c", 100);
    window_ns = bench_num(argc, argv, "s", 10) * VT_SEC;
    warm_ns = bench_num(argc, argv, "warm_ms", 1000) * VT_MS;
    ramp_ns = bench_num(argc, argv, "ramp_ms", 100) * VT_MS;
    timeout_ns = bench_num(argc, argv, "timeout_ms", 30000) * VT_MS;
    server_pid = (pid_t)bench_num(argc, argv, "pid", 0);
    errno = 0;
    if (conns < 1 || window_ns < 1) bench_die("-c and -s are at least 1");
    prepare(&load, bench_opt(argc, argv, "path", "/"), bench_num(argc, argv, "max", 2000000));
    prepare(&probe, bench_opt(argc, argv, "probe", NULL), 100000);
    probe.pause_ns = bench_num(argc, argv, "probe_ms", 20) * VT_MS;
    clients = calloc((size_t)conns + 1, sizeof(*clients));
    if (!clients) bench_die("memory");
    bench_nofile(conns + 64);
    vt_cfg cfg = {.workers = 1, .stall_ms = VT_NONE};
    if (vt_run(&cfg, all, NULL) < 0) return 1;
    report(&load, "result", bench_opt(argc, argv, "csv", NULL), cpu_to - cpu_from);
    if (probe.path) report(&probe, "probe", bench_opt(argc, argv, "probe_csv", NULL), 0);
    return 0;
}
