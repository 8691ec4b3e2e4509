/* What attacks on an HTTP/2 server cost others: a second client asks for small answers one after the other, by turns in peace
 * and beside an attack, on one connection at a time. A line for each attack: the server's memory over what it had before, the
 * medians, of all turns, of the second client's median and 99th percentile in peace and then, the ratio of the latter, and how
 * often the attacker was cut off. The server has CPU 0 to itself, both clients CPU 1, where the attacker only has what the second
 * one leaves: it is the server that is measured. The names begin with numbers of the list of attacks; what is not in it is no
 * attack (44), or needs TLS (41).
 *
 *     cc -O2 -pthread -o attack_h2 tests/bench/attack_h2.c
 *     ./attack_h2 [-ms=300] [-turns=7] [-only=NAME]   its own server, with one worker
 *     ./attack_h2 -port=8080 -pid=1234                that one; it has to answer GET / and GET /bytes?n=N, and POST /echo
 */
#define VTHTTP_H2 1
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"

#include "bench.h"
#include <signal.h>
#include <sys/wait.h>

static struct {
    int port;
    pid_t pid;
    int64_t turn; /* ns */
    int turns;
    const char *only;
} opt;

/* ---- the server ---- */
static int h_hello(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_text(res, 200, "hello");
}
static int h_bytes(vt_req *req, vt_res *res) {
    static const char piece[16384];
    vt_str v = vt_req_query(req, "n");
    int64_t r = 0;
    for (int64_t n = v.ptr ? atoll(v.ptr) : 0; n > 0 && r >= 0; n -= (int64_t)sizeof piece)
        r = vt_res_write(res, piece, (size_t)VT__MIN(n, (int64_t)sizeof piece));
    return (int)VT__MIN(r, 0);
}
static int h_echo(vt_req *req, vt_res *res) {
    char buf[4096];
    int64_t n;
    while ((n = vt_req_read(req, buf, sizeof buf)) > 0)
        if ((n = vt_res_write(res, buf, (size_t)n)) < 0) break;
    return (int)n;
}
static int pipe_to_parent;
static void on_ready(vt_server *s, void *ctx) {
    int port = vt_server_port(s, 0);
    (void)ctx;
    if (write(pipe_to_parent, &port, sizeof port) != sizeof port) _exit(1);
}
static void on_log(void *ctx, int level, const char *line) {
    (void)ctx;
    if (level >= VT_LOG_ERROR) fprintf(stderr, "server: %s\n", line);
}
static void serve(void) {
    int ends[2];
    if (pipe(ends) < 0 || (opt.pid = fork()) < 0) exit(1);
    if (opt.pid == 0) {
        vt_server_cfg cfg = {.addr = "127.0.0.1:0", .workers = 1, .on_ready = on_ready};
        pipe_to_parent = ends[1];
        bench_pin(0, 0);
        vt_log_set(on_log, NULL, VT_LOG_ERROR);
        vt_server *s = vt_server_new(&cfg);
        vt_server_get(s, "/", h_hello);
        vt_server_get(s, "/bytes", h_bytes);
        vt_server_post(s, "/echo", h_echo);
        _exit(vt_server_run(s) < 0);
    }
    if (read(ends[0], &opt.port, sizeof opt.port) != sizeof opt.port) exit(1);
}
static long rss_kib(void) {
    char path[64];
    long size = 0, pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)opt.pid);
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%ld %ld", &size, &pages) != 2) pages = -1;
    if (f) fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}
static int connect_to(int rcvbuf) {
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (rcvbuf) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
        perror("connect");
        exit(1);
    }
    return fd;
}

/* ---- the second client ---- */
enum { SAMPLES = 1 << 20 };
static int64_t samples[SAMPLES];
static int64_t nsamples, failures;
static uint32_t over;
static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}
/* How long a thread has waited for its CPU while others had it; 0 where the kernel does not say. */
static int64_t queued(int schedstat) {
    char buf[100];
    long long ran, waited = 0;
    ssize_t n = pread(schedstat, buf, sizeof buf - 1, 0);
    buf[VT__MAX(n, 0)] = 0;
    return sscanf(buf, "%lld %lld", &ran, &waited) == 2 ? waited : 0;
}
/* A request's time is what it takes the client and the server's worker, not what other programs do. */
static void *second_client(void *arg) {
    static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    char buf[4096];
    snprintf(buf, sizeof buf, "/proc/%d/schedstat", (int)opt.pid);
    int fd = connect_to(0), mine = open("/proc/thread-self/schedstat", O_RDONLY), its = open(buf, O_RDONLY);
    (void)arg;
    for (nsamples = 0; !__atomic_load_n(&over, __ATOMIC_RELAXED) && nsamples < SAMPLES;) {
        int64_t idle = queued(mine) + queued(its), from = vt_now();
        if (send(fd, ask, sizeof ask - 1, MSG_NOSIGNAL) < 0 || recv(fd, buf, sizeof buf, 0) <= 0) {
            failures++;
            close(fd);
            fd = connect_to(0);
            continue;
        }
        int64_t took = vt_now() - from;
        samples[nsamples++] = VT__MAX(took - (queued(mine) + queued(its) - idle), 0);
        usleep(500);
    }
    close(fd), close(mine), close(its);
    return NULL;
}
static double us(const int64_t *sorted, int64_t n, int percent) {
    return n ? (double)sorted[n * percent / 100] / 1e3 : 0;
}

/* ---- attacks ---- */
enum { ROOM = 1 << 18 };
typedef struct conn {
    int fd;
    uint32_t id;       /* the next stream's */
    int64_t began, n;  /* n: of batches */
    uint8_t buf[ROOM]; /* what goes out next */
    size_t len, at;
    const struct attack *a;
} conn;
static void add(conn *c, unsigned type, unsigned flags, uint32_t id, const void *p, size_t n) {
    uint8_t *to = vt__h2_put_frame(c->buf + c->len, n, type, flags, id);
    if (n) memcpy(to, p, n);
    c->len += VT__H2_FRAME + n;
}
static void add_word(conn *c, unsigned type, uint32_t id, uint32_t word) {
    c->len = (size_t)(vt__h2_put_word(c->buf + c->len, type, id, word) - c->buf);
}
/* GET or POST `path`; the stream's id. */
static uint32_t ask(conn *c, bool post, const char *path, bool end) {
    uint8_t b[200] = {post ? 0x83 : 0x82, 0x86, 0x41, 1, 'a', 4, (uint8_t)strlen(path)};
    uint32_t id = c->id;
    memcpy(b + 7, path, strlen(path));
    c->id += 2;
    add(c, VT__H2_T_HEADERS, VT__H2_END_HEADERS | (end ? VT__H2_END_STREAM : 0), id, b, 7 + strlen(path));
    return id;
}
#define MANY(n) for (int i_ = 0; i_ < (n); i_++)
static void nothing(conn *c) { (void)c; }
static void rapid_reset(conn *c) { MANY(100) add_word(c, VT__H2_T_RST_STREAM, ask(c, false, "/", true), 8); }
static void made_you_reset(conn *c) {
    MANY(100) add_word(c, VT__H2_T_WINDOW_UPDATE, ask(c, false, "/", true), VT__H2_ID_MAX);
}
static void zero_updates(conn *c) {
    MANY(100) add_word(c, VT__H2_T_WINDOW_UPDATE, ask(c, false, "/", true), 0);
}
static void half_a_head(conn *c) {
    static const char field[1100] = "\0\1x\177\201\7"; /* x: 1024 bytes */
    char f[1030];
    memset(f, 'y', sizeof f);
    memcpy(f, field, 6);
    if (c->n == 0) add(c, VT__H2_T_HEADERS, VT__H2_END_STREAM, 1, "\202\206\204A\1a", 6);
    MANY(c->n < 1000 ? 100 : 0) add(c, VT__H2_T_CONTINUATION, 0, 1, f, sizeof f);
}
static void empty_continuations(conn *c) {
    if (c->n == 0) add(c, VT__H2_T_HEADERS, VT__H2_END_STREAM, 1, "\202\206\204A\1a", 6);
    MANY(1000) add(c, VT__H2_T_CONTINUATION, 0, 1, NULL, 0);
}
/* A table entry of 4 KB, and then a byte for each use of it. */
static void hpack_bomb(conn *c) {
    uint8_t b[16384];
    memcpy(b, "\202\206\204A\1a", 6);
    memset(b + 6, 0xbe, sizeof b - 6);
    if (c->n == 0) {
        b[6] = 0x40, b[7] = 1, b[8] = 'x', b[9] = 127, b[10] = 0x81, b[11] = 0x1e; /* 4000 bytes */
        memset(b + 12, 'y', 4000);
    }
    add(c, VT__H2_T_HEADERS, VT__H2_END_HEADERS | VT__H2_END_STREAM, c->id, b, sizeof b);
    c->id += 2;
}
static void crumbs(conn *c) {
    uint8_t b[16384] = "\202\206\204A\1a";
    size_t n = 6;
    for (; n + 6 < sizeof b; n += 6) memcpy(b + n, "\x0f\x11\3a=b", 6);
    add(c, VT__H2_T_HEADERS, VT__H2_END_HEADERS | VT__H2_END_STREAM, c->id, b, n);
    c->id += 2;
}
static void settings(conn *c) { MANY(1000) add(c, VT__H2_T_SETTINGS, 0, 0, NULL, 0); }
static void long_settings(conn *c) {
    static uint8_t b[12000];
    for (int i = 0; i < 2000; i++) b[i * 6] = 0xf0, b[i * 6 + 1] = (uint8_t)i;
    MANY(10) add(c, VT__H2_T_SETTINGS, 0, 0, b, sizeof b);
}
static void pings(conn *c) { MANY(1000) add(c, VT__H2_T_PING, 0, 0, "12345678", 8); }
static void empty_data(conn *c) {
    if (c->n == 0) (void)ask(c, true, "/echo", false);
    MANY(1000) add(c, VT__H2_T_DATA, 0, 1, NULL, 0);
}
static void large_answers(conn *c) {
    MANY(c->n == 0 ? 90 : 0)(void) ask(c, false, "/bytes?n=100000000", true);
}
/* The same on one connection after another. */
static void large_answers_again(conn *c) {
    large_answers(c);
    if (c->n == 1) shutdown(c->fd, SHUT_RDWR);
}
static void dribble(conn *c) {
    if (c->n == 0) large_answers(c);
    MANY(100) add_word(c, VT__H2_T_WINDOW_UPDATE, (uint32_t)(1 + 2 * (i_ % 90)), 1);
}
static void priorities(conn *c) {
    MANY(1000) add(c, VT__H2_T_PRIORITY, 0, 1 + 2 * (uint32_t)i_, "\0\0\0\0\20", 5);
}
static void priority_updates(conn *c) {
    MANY(1000) {
        uint8_t b[7];
        memcpy(vt__str_put32(b, (uint32_t)(c->n * 2000 + 2 * i_ + 1) & VT__H2_ID_MAX), "u=1", 3);
        add(c, VT__H2_T_PRIORITY_UPDATE, 0, 0, b, 7);
    }
}
static void too_many(conn *c) { MANY(1000)(void) ask(c, true, "/echo", false); }
static void all_padding(conn *c) {
    static uint8_t b[256] = {255};
    if (c->n == 0) (void)ask(c, true, "/echo", false);
    MANY(100) add(c, VT__H2_T_DATA, VT__H2_PADDED, 1, b, 256);
}
static void goaways(conn *c) {
    static uint8_t b[16384];
    MANY(10) add(c, VT__H2_T_GOAWAY, 0, 0, b, sizeof b);
}
static void unknown(conn *c) { MANY(1000) add(c, 0x77, 0, 0, "unknown", 7); }
static void tiny_data(conn *c) {
    if (c->n == 0) (void)ask(c, true, "/echo", false);
    MANY(1000) add(c, VT__H2_T_DATA, 0, 1, "x", 1);
    add_word(c, VT__H2_T_WINDOW_UPDATE, 1, 1000);
    add_word(c, VT__H2_T_WINDOW_UPDATE, 0, 1000);
}
static void slow_streams(conn *c) {
    MANY(c->n == 0 ? 99 : 0)(void) ask(c, true, "/echo", false);
    add(c, VT__H2_T_PING, 0, 0, "12345678", 8);
    if (c->n == 0) add(c, VT__H2_T_SETTINGS, 0, 0, NULL, 0);
}
static void held_resets(conn *c) {
    MANY(100) add_word(c, VT__H2_T_RST_STREAM, ask(c, true, "/echo", false), 8);
}
/* Fields that come to 128 KB, which nobody wants. */
static void long_heads(conn *c) {
    uint8_t b[16384] = "\202\206\204A\1a";
    size_t n = 6;
    for (; n + 104 < sizeof b; n += 104) memcpy(b + n, "\0\1x\144", 4), memset(b + n + 4, 'y', 100);
    add(c, VT__H2_T_HEADERS, VT__H2_END_STREAM, c->id, b, n);
    MANY(7)
    add(c, VT__H2_T_CONTINUATION, i_ == 6 ? VT__H2_END_HEADERS : 0, c->id, b + 6, (n - 6) / 104 * 104);
    c->id += 2;
}
/* In place of the preface: HTTP/1.1 to HTTP/2, with settings that are none, and a body that looks like a preface. */
static void upgrades(conn *c) {
    static const char text[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        "HTTP2-Settings: !\r\nContent-Length: 24\r\n\r\n" VT__H2_PREFACE;
    if (c->n == 0) c->len = 0;
    MANY(100) memcpy(c->buf + c->len, text, sizeof text - 1), c->len += sizeof text - 1;
}
/* The attack's own frames. */
static void frames(conn *c);

static const struct attack {
    const char *name;
    void (*more)(conn *c);
    uint32_t window; /* of streams; 0: the default; 1: none */
    bool deaf;       /* does not read */
    int pause_ms;    /* between batches */
    struct {
        uint8_t type, flags;
        enum { CONNECTION, STREAM, EVEN } on;
        const char *p;
        size_t n;
    } frames[3];
} attacks[] = {
#define A(name, more, window, deaf, pause)                                                                   \
    {                                                                                                        \
        name, more, window, deaf, pause, {                                                                   \
            { 0, 0, CONNECTION, NULL, 0 }                                                                    \
        }                                                                                                    \
    }
    A("01 rapid reset", rapid_reset, 0, false, 0),
    A("02 resets of held streams", held_resets, 0, false, 0),
    A("03 made to reset", made_you_reset, 0, false, 0),
    A("03 windows by 0", zero_updates, 0, false, 0),
    A("04 half a head", half_a_head, 0, false, 0),
    A("05 empty CONTINUATION", empty_continuations, 0, false, 0),
    A("07 HPACK bomb", hpack_bomb, 0, false, 0),
    A("08 long heads", long_heads, 0, false, 0),
    A("16 cookie crumbs", crumbs, 0, false, 0),
    A("17 SETTINGS", settings, 0, false, 0),
    A("17 SETTINGS unread", settings, 0, true, 0),
    A("18 PING", pings, 0, false, 0),
    A("18 PING unread", pings, 0, true, 0),
    A("19 long SETTINGS", long_settings, 0, false, 0),
    A("23 empty DATA", empty_data, 0, false, 0),
    A("24 dribble", dribble, 1, false, 10),
    A("25 open window, unread", large_answers, VT__H2_ID_MAX, true, 10),
    A("25 the same again and again", large_answers_again, VT__H2_ID_MAX, true, 10),
    A("26 closed windows", large_answers, 1, false, 10),
    A("29 PRIORITY", priorities, 0, false, 0),
    A("30 PRIORITY_UPDATE", priority_updates, 0, false, 0),
    A("33 too many streams", too_many, 0, false, 0),
    A("34 padding alone", all_padding, 0, false, 0),
    A("37 long GOAWAY", goaways, 0, false, 0),
    A("38 unknown frames", unknown, 0, false, 0),
    A("39 preface and silence", nothing, 0, false, 10),
    A("43 tiny DATA", tiny_data, 0, false, 0),
    A("45 slow streams", slow_streams, 0, false, 1),
#define F(type, flags, on, text)                                                                             \
    { VT__H2_T_##type, flags, on, text, sizeof text - 1 }
#define ALL (VT__H2_END_HEADERS | VT__H2_END_STREAM)
#define GET "\202\206\204A\1a"
#define HEAD(more) F(HEADERS, ALL, STREAM, GET more)
#define OPEN(more) F(HEADERS, VT__H2_END_HEADERS, STREAM, "\203\206\4\5/echoA\1a" more)
#define FRAMES(name, ...)                                                                                    \
    {                                                                                                        \
        name, frames, 0, false, 0, { __VA_ARGS__ }                                                           \
    }
    FRAMES("03 PRIORITY too short", HEAD(""), F(PRIORITY, 0, STREAM, "\0")),
    FRAMES("03 depends on itself", OPEN(""), F(PRIORITY, 0, STREAM, "\0\0\0\1\0")),
    FRAMES("03 HEADERS after the end", HEAD(""), HEAD("")),
    FRAMES("03 DATA after the end", HEAD(""), F(DATA, 0, STREAM, "x")),
    FRAMES("06 DATA in a head", F(HEADERS, 0, STREAM, GET), F(DATA, 0, STREAM, "x")),
    FRAMES("09 Huffman EOS", HEAD("\0\204\377\377\377\377\1y")),
    FRAMES("10 HPACK integers", HEAD("\377\377\377\377\377\377\377\177")),
    FRAMES("11 HPACK index 0", HEAD("\200")),
    FRAMES("12 HPACK table size", F(HEADERS, ALL, STREAM, "\77\377\377\3" GET)),
    FRAMES("13 upper case", HEAD("\0\1X\1y")),
    FRAMES("14 two paths", HEAD("\204")),
    FRAMES("15 empty path", F(HEADERS, ALL, STREAM, "\202\206\4\0A\1a")),
    FRAMES("20 SETTINGS ACK of 6", F(SETTINGS, VT__H2_ACK, CONNECTION, "\0\3\0\0\0\1")),
    FRAMES("21 windows of 2^31", F(SETTINGS, 0, CONNECTION, "\0\4\200\0\0\0")),
    FRAMES("22 frames of 1 byte", F(SETTINGS, 0, CONNECTION, "\0\5\0\0\0\1")),
    FRAMES("27 window of 2^31", F(WINDOW_UPDATE, 0, CONNECTION, "\177\377\377\377")),
    FRAMES("28 DATA beyond windows", OPEN(""), {VT__H2_T_DATA, 0, STREAM, NULL, VT__H2_FRAME_MIN}),
    FRAMES("31 RST of an idle stream", F(RST_STREAM, 0, STREAM, "\0\0\0\10")),
    FRAMES("32 even stream", F(HEADERS, ALL, EVEN, GET)),
    FRAMES("35 DATA over the length", OPEN("\17\15\0011"), F(DATA, 1, STREAM, "xx")),
    FRAMES("36 DATA after trailers", OPEN(""), F(HEADERS, ALL, STREAM, "\0\1x\1y"), F(DATA, 0, STREAM, "x")),
    A("40 Upgrade: h2c", upgrades, 0, false, 0),
    FRAMES("42 :protocol of a GET", HEAD("\0\11:protocol\11websocket")),
};
static void frames(conn *c) {
    static const uint8_t zeros[VT__H2_FRAME_MIN];
    for (int left = 100; left > 0 && c->len < ROOM / 2; left--, c->id += 2)
        for (size_t i = 0; i < VT__COUNT(c->a->frames) && c->a->frames[i].n; i++)
            add(c, c->a->frames[i].type, c->a->frames[i].flags,
                c->a->frames[i].on == CONNECTION ? 0 : c->id + (c->a->frames[i].on == EVEN),
                c->a->frames[i].p ? (const void *)c->a->frames[i].p : zeros, c->a->frames[i].n);
}
static void opening(conn *c, const struct attack *a) {
    uint8_t s[6] = {0, VT__H2_S_WINDOW};
    c->a = a;
    c->fd = connect_to(a->deaf ? 4096 : 0);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->id = 1;
    c->n = 0;
    c->at = 0;
    memcpy(c->buf, VT__H2_PREFACE, c->len = VT__H2_PREFACE_LEN);
    (void)vt__str_put32(s + 2, a->window == 1 ? 0 : a->window);
    add(c, VT__H2_T_SETTINGS, 0, 0, s, a->window ? 6 : 0);
    add(c, VT__H2_T_SETTINGS, VT__H2_ACK, 0, NULL, 0);
    if (a->window > 1) add_word(c, VT__H2_T_WINDOW_UPDATE, 0, VT__H2_ID_MAX - VT__H2_WINDOW_FIRST);
}
/* Goes on until the time is over or the connection is; false: the latter. */
static bool strike(conn *c, const struct attack *a, int64_t until) {
    static char sink[65536];
    while (vt_now() < until) {
        struct pollfd p = {.fd = c->fd,
                           .events = (short)((a->deaf ? 0 : POLLIN) | (c->at < c->len ? POLLOUT : 0))};
        if (poll(&p, 1, 20) < 0) return false;
        if (p.revents & (POLLERR | POLLHUP)) return false;
        if (p.revents & POLLIN && recv(c->fd, sink, sizeof sink, 0) == 0) return false;
        if (c->at < c->len) {
            ssize_t r = send(c->fd, c->buf + c->at, c->len - c->at, MSG_NOSIGNAL);
            if (r < 0 && errno != EAGAIN) return false;
            if (r > 0) c->at += (size_t)r;
            continue;
        }
        c->at = c->len = 0;
        a->more(c);
        c->n++;
        if (a->pause_ms) usleep((useconds_t)a->pause_ms * 1000);
    }
    return true;
}
/* ---- turns ---- */
static const struct attack *attack; /* NULL: peace */
static int64_t until;
static long peak;
static int cuts;
static void *attacker(void *arg) {
    static conn c;
    (void)arg;
    (void)!setpriority(PRIO_PROCESS, 0, 19); /* of this thread */
    while (vt_now() < until) {
        opening(&c, attack);
        while (vt_now() < until) {
            bool alive = strike(&c, attack, VT__MIN(until, vt_now() + 20 * VT_MS));
            peak = VT__MAX(peak, rss_kib());
            if (alive) continue;
            cuts++;
            break;
        }
        close(c.fd);
        usleep(1000);
    }
    return NULL;
}
/* The second client's median and p99 of one turn, in microseconds. */
static void turn(const struct attack *a, double *median, double *p99) {
    pthread_t client, other;
    attack = a;
    until = vt_now() + opt.turn;
    __atomic_store_n(&over, 0, __ATOMIC_RELAXED);
    pthread_create(&client, NULL, second_client, NULL);
    if (a) {
        pthread_create(&other, NULL, attacker, NULL);
        pthread_join(other, NULL);
    } else {
        usleep((useconds_t)(opt.turn / 1000));
    }
    __atomic_store_n(&over, 1, __ATOMIC_RELAXED);
    pthread_join(client, NULL);
    qsort(samples, (size_t)nsamples, sizeof *samples, by_size);
    *median = us(samples, nsamples, 50);
    *p99 = us(samples, nsamples, 99);
}
enum { TURNS = 99 };
static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double middle(double *v) {
    qsort(v, (size_t)opt.turns, sizeof *v, by_value);
    return v[opt.turns / 2];
}
/* Whether it costs the second client more than as much again, or the server more than 8 MB. */
static bool judge(const struct attack *a) {
    double median[2][TURNS], p99[2][TURNS], m[2], p[2];
    long before = peak = rss_kib();
    cuts = 0;
    for (int i = 0; i < 2 * opt.turns; i++) turn(i % 2 ? a : NULL, &median[i % 2][i / 2], &p99[i % 2][i / 2]);
    for (int i = 0; i < 2; i++) m[i] = middle(median[i]), p[i] = middle(p99[i]);
    double ratio = p[0] > 0 ? p[1] / p[0] : 0;
    bool fails = peak - before > 8192 || ratio > 2;
    printf("%-28s %+10ld %8.0f %9.0f %8.0f %9.0f %6.2f %d%s\n", a->name, peak - before, m[0], p[0], m[1],
           p[1], ratio, cuts, fails ? " *" : "");
    fflush(stdout);
    return fails;
}
int main(int argc, char **argv) {
    static const char *const known[] = {"ms", "turns", "only", "port", "pid", NULL};
    int bad = 0;
    bench_known(argc, argv, known);
    opt.turn = bench_num(argc, argv, "ms", 300) * VT_MS;
    opt.turns = (int)VT__MIN(bench_num(argc, argv, "turns", 7), TURNS);
    opt.only = bench_opt(argc, argv, "only", "");
    opt.port = (int)bench_num(argc, argv, "port", 0);
    opt.pid = (pid_t)bench_num(argc, argv, "pid", 0);
    bool own = !opt.port;
    signal(SIGPIPE, SIG_IGN);
    if (own) serve();
    bench_pin(0, 1);
    printf("%-28s %10s %18s %18s %6s %s\n", "attack", "RSS KiB", "quiet median p99", "then median p99",
           "ratio", "cut off");
    for (size_t i = 0; i < VT__COUNT(attacks); i++)
        if (strstr(attacks[i].name, opt.only)) bad += judge(&attacks[i]);
    if (failures) printf("the second client was cut off %lld times\n", (long long)failures);
    if (own) {
        kill(opt.pid, SIGKILL);
        waitpid(opt.pid, NULL, 0);
    }
    return bad != 0;
}
