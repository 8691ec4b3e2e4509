/* A bad way between a QUIC client and a server of this machine: qlink.h with sockets. One client at a time, the last that came.
 *
 *     udpproxy PORT [seed=N] [delay=MS] [rate=BITS_A_SECOND] [queue=N] [loss=N] [burst=N] [corrupt=N] [dup=N] [reorder=N]
 *              [up=MS down=MS] [rebind=MS [hosts=1]]
 *
 * Chances are in a million datagrams. Each `rebind` ms the client has another port, and with hosts=1 another address, 127.0.0.2
 * and so on, from its next datagram on, as with a NAT that has forgotten it: until then nobody could tell the server, and a
 * client that has nothing to send would hear nothing for ever. It does so once some datagrams have passed: before the handshake
 * is confirmed nobody moves (RFC 9000 9). The first line of its output: its port and its seed. It ends when it is killed. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "../qlink.h"

#define MS INT64_C(1000000)
enum { SETTLED = 20 };
static struct proxy {
    struct sockaddr_in server, client;
    int in, out; /* where the client sends to, and what the server sees of it */
    unsigned host;
    int64_t rebind, next;
    unsigned passed; /* of the client's datagrams */
    bool hosts;
    struct qlink up, down;
} w;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * (1000 * MS) + t.tv_nsec;
}
static int open_at(unsigned host, struct sockaddr_in *name) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), room = 4 << 20;
    socklen_t n = sizeof *name;
    *name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + host)};
    if (fd < 0 || bind(fd, (struct sockaddr *)name, n) < 0 ||
        getsockname(fd, (struct sockaddr *)name, &n) < 0) {
        perror("udpproxy");
        exit(2);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    return fd;
}
/* The client has another port from now on; what was on its way to the last one is lost. */
static void bind_anew(void) {
    struct sockaddr_in name;
    if (w.out >= 0) close(w.out);
    w.out = open_at(w.hosts ? w.host++ % 200 : 0, &name);
    if (connect(w.out, (struct sockaddr *)&w.server, sizeof w.server) < 0) perror("udpproxy: connect");
}
static void set(struct qlink_cfg *c, uint64_t *seed, const char *arg) {
    const char *value = strchr(arg, '=');
    long long v = value ? atoll(value + 1) : 0;
    size_t n = value ? (size_t)(value - arg) : 0;
#define IS(name) (n == sizeof name - 1 && memcmp(arg, name, n) == 0)
    if (IS("seed")) *seed = (uint64_t)v;
    else if (IS("delay")) c->delay_ns = v * MS;
    else if (IS("rate")) c->rate_bps = (uint64_t)v;
    else if (IS("queue")) c->queue = (unsigned)v;
    else if (IS("loss")) c->loss = (unsigned)v;
    else if (IS("burst")) c->burst = (unsigned)v;
    else if (IS("corrupt")) c->corrupt = (unsigned)v;
    else if (IS("dup")) c->dup = (unsigned)v;
    else if (IS("reorder")) c->reorder = (unsigned)v;
    else if (IS("up")) c->up_ns = v * MS;
    else if (IS("down")) c->down_ns = v * MS;
    else if (IS("rebind")) w.rebind = v * MS;
    else if (IS("hosts")) w.hosts = v != 0;
    else {
        fprintf(stderr, "udpproxy: what is %s?\n", arg);
        exit(2);
    }
#undef IS
}
/* All that is there goes on its way. */
static void take(int fd, struct qlink *l, bool from_client) {
    static uint8_t buf[65536];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    for (ssize_t n; (n = recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &len)) >= 0;) {
        bool fresh = from_client && memcmp(&from, &w.client, sizeof from) != 0;
        if (fresh) w.client = from, bind_anew();
        struct qlink_dgram d = {.data = buf, .n = (uint32_t)n};
        qlink_send(l, now(), &d);
    }
}
static void give(void) {
    struct qlink_dgram d;
    while (qlink_recv(&w.up, now(), &d)) {
        if (w.rebind && ++w.passed == SETTLED) w.next = now() + w.rebind;
        if (w.passed > SETTLED && now() >= w.next) {
            bind_anew();
            w.next = now() + w.rebind;
        }
        (void)!send(w.out, d.data, d.n, 0);
    }
    while (qlink_recv(&w.down, now(), &d))
        (void)!sendto(w.in, d.data, d.n, 0, (struct sockaddr *)&w.client, sizeof w.client);
}
static int wait_ms(void) {
    int64_t up = qlink_due(&w.up), down = qlink_due(&w.down), due = up < down ? up : down, left;
    left = due == INT64_MAX ? 1000 * MS : due - now();
    return left <= 0 ? 0 : (int)(left / MS) + 1;
}
int main(int argc, char **argv) {
    struct sockaddr_in name;
    struct qlink_cfg cfg = {.delay_ns = 0};
    uint64_t seed = (uint64_t)now();
    if (argc < 2) return fputs("udpproxy PORT [name=value ...]\n", stderr), 2;
    for (int i = 2; i < argc; i++) set(&cfg, &seed, argv[i]);
    w.server = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)atoi(argv[1])),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    w.in = open_at(0, &name), w.out = -1;
    qlink_init(&w.up, &cfg, seed), qlink_init(&w.down, &cfg, ~seed);
    bind_anew();
    printf("%d seed=%llu\n", ntohs(name.sin_port), (unsigned long long)seed);
    fflush(stdout);
    for (;;) {
        struct pollfd p[2] = {{.fd = w.in, .events = POLLIN}, {.fd = w.out, .events = POLLIN}};
        if (poll(p, 2, wait_ms()) < 0 && errno != EINTR) return 1;
        take(w.in, &w.up, true);
        take(w.out, &w.down, false);
        give();
    }
}
