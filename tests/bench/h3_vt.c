/* What HTTP/3 costs a server: CPU a small request, a byte, a handshake; memory an idle connection; how long small requests
 * wait beside a large response. The client is the header's own QUIC, and asks with blocks of fields that stay the same.
 *
 *   h3_vt -mode=small|big|new|idle|fair [-n=100000] [-c=10] [-m=32]
 *   h3_vt -mode=small|big|new -port=4433 -pid=123 -path=/index.html     another's server
 *
 * Keys are exchanged by -groups=X25519 with every server: where OpenSSL 3.5 is on both sides they would take X25519MLKEM768,
 * which others have not got, and the handshakes compared would not be the same work. For the same reason the client offers
 * version 1 alone, as browsers do: our server would go over to version 2, which costs it a second set of Initial keys. */
#define VTHTTP_H3 1
#include "tlsserver.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

/* What is asked for, and how it goes. */
struct slot {
    struct client *c;
    int64_t begun, next; /* next: not before */
    uint64_t got;
    uint8_t head[16]; /* how the answer begins */
    bool busy;
    bool big;
};
struct client {
    vt__quic q;
    vt__udp udp;
    vt__udp_addr local, remote;
    struct slot *slots;
    int nslots;
    bool ready, closed;
    int64_t arrived; /* what was read last, by the kernel's clock */
};
static struct {
    vt__quic_cfg cfg;
    vt__qstr_mem mem;
    vt__udp_rx rx;
    int port;
    const char *path;
    struct client *of;
    int n;
    int64_t asked, most, done;   /* requests */
    uint64_t bytes;              /* of streams that have ended */
    int64_t pause;               /* between a slot's requests */
    int64_t *waits, nwaits, cap; /* how long small ones took */
    int64_t *ways;               /* the same without the client: till the answer lay in its socket */
} load;

static int64_t now(void) { return vt__plat_now(); }

/* A request as a stream has it: HEADERS with GET, https, the path and a host (RFC 9114 4.1; QPACK's static table). */
static size_t request(uint8_t *to, const char *path) {
    uint8_t block[256] = {0, 0, 0xd1, 0xd7, 0x50, 9}, *p = block + 6;
    size_t n = strlen(path);
    memcpy(p, "localhost", 9), p += 9;
    if (n > 100) bench_die("path");
    *p++ = 0x51, *p++ = (uint8_t)n;
    memcpy(p, path, n), p += n;
    size_t len = (size_t)(p - block);
    to[0] = VT__H3_T_HEADERS, to[1] = (uint8_t)(0x40 | len >> 8), to[2] = (uint8_t)len;
    memcpy(to + 3, block, len);
    return len + 3;
}
static bool ask(struct client *c, struct slot *s) {
    uint8_t bytes[300];
    size_t n = request(bytes, s->big ? "/big" : load.path);
    vt__qstr_stream *stream;
    if (vt__qstr_open(&c->q.streams, false, &stream) < 0) return false;
    if (vt__qstr_write(&c->q.streams, stream, bytes, n, true) != (int64_t)n) bench_die("a request is cut");
    stream->ctx = s;
    s->busy = true, s->got = 0, s->begun = now();
    if (!s->big) load.asked++;
    return true;
}
static void ask_all(struct client *c) {
    for (int i = 0; i < c->nslots && c->ready && !c->closed; i++) {
        struct slot *s = &c->slots[i];
        if (s->busy || (!s->big && load.asked >= load.most) || now() < s->next) continue;
        if (!ask(c, s)) return;
    }
}
static void finished(struct slot *s) {
    int64_t t = now();
    s->busy = false;
    load.bytes += s->got;
    if (s->big && load.pause) return;
    load.done++;
    s->next = t + load.pause;
    if (load.nwaits == load.cap) return;
    load.ways[load.nwaits] = s->c->arrived - s->begun;
    load.waits[load.nwaits++] = t - s->begun;
}
/* HEADERS whose first line is ":status: 200", which is one byte in QPACK's static table and in every server's answers. */
static bool is_200(const uint8_t *p) {
    size_t at = 1 + ((size_t)1 << (p[1] >> 6)); /* behind the type and the length, which says its own */
    return p[0] == VT__H3_T_HEADERS && p[at + 2] == 0xd9;
}
static void on_stream(struct client *c, const vt__qstr_event *ev) {
    struct slot *s = ev->stream ? ev->stream->ctx : NULL;
    if (ev->type == VT__QSTR_EV_RESET) bench_die("a stream is reset: %llu", (unsigned long long)ev->code);
    if (ev->type != VT__QSTR_EV_DATA) return;
    if (s && ev->len && s->got < sizeof s->head)
        memcpy(s->head + s->got, ev->data, VT__MIN(ev->len, sizeof s->head - (size_t)s->got));
    vt__qstr_consumed(&c->q.streams, ev->stream, ev->len);
    if (!s) return; /* SETTINGS and the like */
    s->got += ev->len;
    if (!ev->fin) return;
    if (s->got < 16 || !is_200(s->head))
        bench_die("an answer of %llu bytes that is no 200", (unsigned long long)s->got);
    vt__qstr_release(&c->q.streams, ev->stream, 0);
    finished(s);
}
static void on_ready(struct client *c) {
    vt__qstr_stream *control;
    c->ready = true;
    if (vt__qstr_open(&c->q.streams, true, &control) < 0) bench_die("no control stream");
    if (vt__qstr_write(&c->q.streams, control, "\0\4\0", 3, false) != 3) bench_die("SETTINGS are cut");
}
static void events(struct client *c) {
    vt__quic_event ev;
    while (vt__quic_next(&c->q, &ev)) {
        if (ev.type == VT__QUIC_EV_READY) on_ready(c);
        if (ev.type == VT__QUIC_EV_STREAM) on_stream(c, &ev.stream);
        if (ev.type == VT__QUIC_EV_CLOSED) c->closed = true;
    }
}
static void flush(struct client *c) {
    static uint8_t buf[65536];
    vt__quic_train q;
    ask_all(c);
    for (size_t n; (n = vt__qout_send(&c->q, buf, sizeof buf, &q, now())) > 0; events(c))
        for (size_t at = 0, sent; at < n; at += sent) {
            vt__udp_train t = {buf + at, n - at, q.segment, &c->remote, NULL, (uint8_t)q.ecn};
            if (vt__udp_send(&c->udp, &t, &sent) < 0) break; /* lost */
        }
}
/* When the last datagram of a socket came. */
static int64_t arrival(int fd) {
    struct timespec then, at;
    clock_gettime(CLOCK_REALTIME, &at);
    int64_t t = now();
    if (ioctl(fd, SIOCGSTAMPNS, &then) < 0) return t; /* the first: it begins with it */
    return t - ((at.tv_sec - then.tv_sec) * VT_SEC + at.tv_nsec - then.tv_nsec);
}
/* Where waits are measured one batch: the others' answers lie in their sockets meanwhile. */
static void take(struct client *c) {
    vt__udp_dgram d;
    while (vt__udp_recv(&c->udp, &load.rx) > 0) {
        if (load.cap) c->arrived = arrival(c->udp.fd);
        while (vt__udp_rx_next(&c->udp, &load.rx, &d)) {
            vt__quic_dgram g = {d.p, d.n, &c->local, &c->remote, d.ecn};
            vt__quic_recv(&c->q, &g, now());
            events(c);
        }
        if (load.cap) return;
    }
}
static void start(struct client *c) {
    struct sockaddr_in6 name;
    vt__udp_addr any = {.port = 0};
    vt__udp_cfg cfg = {.rcvbuf = 0};
    vt__quic_start s;
    memset(c, 0, sizeof *c);
    vt__udp_set4(&any, (const uint8_t *)"\177\0\0\1");
    socklen_t n = vt__udp_addr_to(&any, AF_INET, &name);
    if (vt__udp_open(&c->udp, (struct sockaddr *)(void *)&name, n, &cfg) < 0) bench_die("socket");
    c->local = c->remote = any;
    c->local.port = c->udp.port, c->remote.port = (uint16_t)load.port;
    memset(&s, 0, sizeof s);
    s.local = c->local, s.remote = c->remote, s.mem = &load.mem, s.host = "localhost", s.port = load.port;
    if (vt__quic_init(&c->q, &load.cfg, &s, now()) < 0) bench_die("no connection");
}
static void leave(struct client *c) {
    if (!c->closed) vt__quic_close(&c->q, true, VT__H3_NO_ERROR, vt__str_of(""), now());
    flush(c);
    vt__quic_free(&c->q);
    vt__udp_close(&c->udp);
    free(c->slots);
}
static void slots(struct client *c, int n) {
    c->slots = calloc((size_t)n, sizeof *c->slots);
    if (!c->slots) bench_die("memory");
    c->nslots = n;
    for (int i = 0; i < n; i++) c->slots[i].c = c;
}
/* One turn of connections, from the i-th on. */
static void turn_from(int first) {
    static struct pollfd *p;
    static int cap;
    int64_t t = now(), due = t + 20 * VT_MS;
    if (load.n > cap && !(p = realloc(p, (size_t)(cap = load.n) * sizeof *p))) bench_die("memory");
    for (int i = first; i < load.n; i++) {
        struct client *c = &load.of[i];
        p[i] = (struct pollfd){.fd = c->udp.fd, .events = POLLIN};
        due = VT__MIN(due, vt__quic_due(&c->q));
        for (int k = 0; k < c->nslots; k++)
            if (!c->slots[k].busy && c->slots[k].next > t) due = VT__MIN(due, c->slots[k].next);
    }
    poll(p + first, (nfds_t)(load.n - first), (int)VT__MAX((due - t + VT_MS - 1) / VT_MS, 0));
    for (int i = first; i < load.n; i++) {
        struct client *c = &load.of[i];
        if (p[i].revents) take(c);
        if (vt__quic_due(&c->q) <= now()) vt__quic_tick(&c->q, now());
        events(c);
        flush(c);
        const vt__quic_end *e = &c->q.end;
        if (c->closed)
            bench_die("a connection ends %s its handshake: cause %d, code %#llx, %.*s",
                      c->ready ? "after" : "in", e->cause, (unsigned long long)e->code, (int)e->why_len,
                      e->why);
    }
}
static void turn(void) { turn_from(0); }
static void room_for(int n) {
    load.of = calloc((size_t)n, sizeof *load.of);
    if (!load.of) bench_die("memory");
}
static void open_more(int n, int nslots) {
    for (int i = 0; i < n; i++) {
        struct client *c = &load.of[load.n];
        start(c);
        slots(c, nslots);
        load.n++;
        flush(c);
        int first = i % 16 ? load.n - 1 : 0; /* all of them each time would take n * n */
        for (int64_t until = now() + 5 * VT_SEC; !c->ready; turn_from(first))
            if (now() > until) bench_die("no handshake");
    }
}
static void open_all(int n, int nslots) {
    room_for(n);
    open_more(n, nslots);
}
static void until_done(int64_t n) {
    load.most = n;
    for (int64_t said = load.done, since = now(); load.done < n; turn()) {
        if (load.done != said) said = load.done, since = now();
        else if (now() - since > 20 * VT_SEC)
            bench_die("%lld of %lld answers", (long long)said, (long long)n);
    }
}

static void small(pid_t pid, const char *name, int n, int c, int m) {
    open_all(c, m);
    until_done(n / 10);
    load.asked = load.done = 0;
    int64_t cpu = bench_cpu_of(pid), begun = now();
    until_done(n);
    cpu = bench_cpu_of(pid) - cpu;
    printf("= h3_%s_c%d_m%d %lld ns_CPU_request <=1800 %s\n", name, c, m, (long long)(cpu / n),
           cpu / n <= 1800 ? "ok" : "MISS");
    printf("= h3_%s_rate %lld a_second - -\n", name, (long long)(n * VT_SEC / (now() - begun)));
}
static void big(pid_t pid, const char *name, int n) {
    open_all(1, 1);
    until_done(1);
    load.asked = load.done = 0, load.bytes = 0;
    int64_t cpu = bench_cpu_of(pid), begun = now();
    until_done(n);
    cpu = bench_cpu_of(pid) - cpu;
    double mb = (double)load.bytes / 1e6, ms = (double)cpu / 1e6 / mb * 100;
    int goal = OPENSSL_VERSION_NUMBER >= 0x30500000L ? 50 : 70; /* its AES-GCM is faster */
    printf("= h3_%s_big %.1f ms_CPU_100_MB <=%d %s\n", name, ms, goal, ms <= goal ? "ok" : "MISS");
    printf("= h3_%s_big_rate %.0f MB/s - -\n", name, mb / ((double)(now() - begun) / 1e9));
}
static void handshakes(pid_t pid, const char *name, int n) {
    int64_t cpu = 0;
    for (int i = -n / 10; i < n; i++) { /* a few to begin with */
        if (i == 0) cpu = bench_cpu_of(pid);
        load.n = 0, load.asked = load.done = 0, load.most = 1;
        open_all(1, 1);
        until_done(1);
        leave(&load.of[0]);
        free(load.of);
    }
    cpu = (bench_cpu_of(pid) - cpu) / n;
    printf("= h3_%s_handshake %lld us_CPU <=350 %s\n", name, (long long)(cpu / 1000),
           cpu <= 350000 ? "ok" : "MISS");
}
/* Each asks once, as it opens: what many requests at once leave behind is not an idle connection's. */
static void idle(pid_t pid, int n) {
    bench_nofile(65536);
    load.pause = 3600 * VT_SEC;
    load.most = n;
    room_for(n);
    open_more(n / 5, 1);
    until_done(n / 5);
    long base = server_dirty_kb(pid);
    load.most = n;
    open_more(n - n / 5, 1);
    until_done(n);
    for (int64_t until = now() + VT_SEC; now() < until;) turn();
    long each = (server_dirty_kb(pid) - base) * 1024 / (n - n / 5);
    printf("= h3_idle_conn %ld bytes <=16384 %s\n", each, each <= 16384 ? "ok" : "MISS");
}
static int by_length(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}
/* In us; sorts them. */
static int64_t quantile(int64_t *of, int percent) {
    qsort(of, (size_t)load.nwaits, sizeof *of, by_length);
    return of[load.nwaits * percent / 100] / 1000;
}
static void fair(int n, int c) {
    load.pause = 20 * VT_MS;
    load.cap = n;
    load.waits = calloc((size_t)n, sizeof *load.waits);
    load.ways = calloc((size_t)n, sizeof *load.ways);
    if (!load.waits || !load.ways) bench_die("memory");
    open_all(c + 1, 1);
    load.of[0].slots[0].big = true;
    until_done(n);
    int64_t p50 = quantile(load.waits, 50), p99 = quantile(load.waits, 99);
    printf("= h3_beside_big_p50 %lld us - -\n", (long long)p50);
    printf("= h3_beside_big_arrived_p50 %lld us - -\n", (long long)quantile(load.ways, 50));
    printf("= h3_beside_big_arrived_p99 %lld us - -\n", (long long)quantile(load.ways, 99));
    printf("= h3_beside_big_p99 %lld us <=5000 %s\n", (long long)p99, p99 <= 5000 ? "ok" : "MISS");
}

int main(int argc, char **argv) {
    static const char *const known[] = {"mode", "n", "c", "m", "port", "pid", "path", "name", "groups", NULL};
    static const vt_str alpn = {"\2h3", 3};
    vt__ossl_client client = {.no_verify = true, .alpn = alpn};
    vt__ossl_text text = {""};
    bench_known(argc, argv, known);
    const char *mode = bench_opt(argc, argv, "mode", "small"), *name = bench_opt(argc, argv, "name", "vt");
    int n = (int)bench_num(argc, argv, "n", 100000), c = (int)bench_num(argc, argv, "c", 10);
    pid_t pid = (pid_t)bench_num(argc, argv, "pid", 0), child = 0;
    load.port = (int)bench_num(argc, argv, "port", 0);
    load.path = bench_opt(argc, argv, "path", strcmp(mode, "big") ? "/" : "/big");
    if (!pid) load.port = server_fork(true, &child), pid = child;
    signal(SIGPIPE, SIG_IGN);
    load.cfg.idle_ns = 120 * VT_SEC;
    load.cfg.no_v2 = true;
    (void)vt__ossl_begin();
    vt__qstr_mem_init(&load.mem);
    if (vt__udp_rx_init(&load.rx) < 0 || vt__qtls_ctx_client(&load.cfg.tls, &client, &text) < 0)
        bench_die("no TLS: %s", (char *)&text);
    if (!SSL_CTX_set1_groups_list(load.cfg.tls->ctx, bench_opt(argc, argv, "groups", "X25519")))
        bench_die("-groups: OpenSSL has not got that");
    vt__quic_cfg_fill(&load.cfg);
    if (strcmp(mode, "small") == 0) small(pid, name, n, c, (int)bench_num(argc, argv, "m", 32));
    else if (strcmp(mode, "big") == 0) big(pid, name, n);
    else if (strcmp(mode, "new") == 0) handshakes(pid, name, n);
    else if (strcmp(mode, "idle") == 0) idle(pid, n);
    else if (strcmp(mode, "fair") == 0) fair(n, c);
    else bench_die("-mode=%s", mode);
    for (int i = 0; i < load.n && strcmp(mode, "new") != 0; i++) leave(&load.of[i]);
    if (child) server_end(child);
    return 0;
}
