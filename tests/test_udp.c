/* UDP sockets: over loopback, of either family and both in one, with GSO and GRO where the kernel has them; by a scripted kernel
 * that has none, cuts batches short, says EAGAIN, EMSGSIZE, EIO, EINVAL, EINTR, ECONNREFUSED; addresses. */
#define VTHTTP_H3 1
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"

static vt__udp_rx rx;
static struct sockaddr_in6 name_of(int family, const char *ip, uint16_t port, socklen_t *len) {
    vt__udp_addr a = {.port = port};
    struct sockaddr_in6 name;
    if (family == AF_INET) vt__udp_set4(&a, (const uint8_t *)ip);
    else memcpy(a.ip, ip, 16);
    *len = vt__udp_addr_to(&a, family, &name);
    return name;
}
#define V4_LOOPBACK "\177\0\0\1"
#define V4_SECOND "\177\0\0\2"
#define V4_ANY "\0\0\0\0"
#define V6_LOOPBACK "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
#define V6_ANY "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
static int open_at(vt__udp *u, int family, const char *ip, uint16_t port, vt__udp_cfg cfg) {
    socklen_t len;
    struct sockaddr_in6 name = name_of(family, ip, port, &len);
    return vt__udp_open(u, (struct sockaddr *)(void *)&name, len, &cfg);
}
static vt__udp_addr addr_of(const char *v4, const char *v6, uint16_t port) {
    vt__udp_addr a = {.port = port};
    if (v4) vt__udp_set4(&a, (const uint8_t *)v4);
    else memcpy(a.ip, v6, 16);
    return a;
}
static void wait_for(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 20000), 1);
}
/* The next datagram that comes; `again`: of the same batch, if there is one left. */
static bool receive(vt__udp *u, vt__udp_dgram *d) {
    for (int tries = 0; tries < 100; tries++) {
        if (vt__udp_rx_next(u, &rx, d)) return true;
        wait_for(u->fd);
        int r = vt__udp_recv(u, &rx);
        if (r < 0) return false;
    }
    return false;
}
static bool same(const vt__udp_addr *a, const vt__udp_addr *b) { return memcmp(a, b, sizeof *a) == 0; }

TEST(addresses) {
    struct sockaddr_in6 name;
    vt__udp_addr a = addr_of("\1\2\3\4", NULL, 4433), b;
    CHECK(vt__udp_is_v4(&a) && vt__udp_addr_to(&a, AF_INET, &name) == sizeof(struct sockaddr_in));
    vt__udp_addr_from(&b, (struct sockaddr *)(void *)&name);
    CHECK(same(&a, &b));
    CHECK_EQ(vt__udp_addr_to(&a, AF_INET6, &name), sizeof name); /* as a socket for both sees it */
    vt__udp_addr_from(&b, (struct sockaddr *)(void *)&name);
    CHECK(same(&a, &b));
    a = addr_of(NULL, V6_LOOPBACK, 1);
    CHECK(!vt__udp_is_v4(&a));
    name.sin6_scope_id = 7; /* means nothing there */
    memcpy(&name.sin6_addr, V6_LOOPBACK, 16), name.sin6_port = htons(1);
    vt__udp_addr_from(&b, (struct sockaddr *)(void *)&name);
    CHECK(same(&a, &b));
    memcpy(&name.sin6_addr, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    vt__udp_addr_from(&b, (struct sockaddr *)(void *)&name);
    CHECK_EQ(b.scope, 7);
    CHECK(vt__udp_addr_to(&b, AF_INET6, &name) && name.sin6_scope_id == 7);
}
/* From one socket to another and back, from the address that was asked. */
static void there_and_back(int family, const char *ip, const vt__udp_addr *to, const vt__udp_addr *from) {
    vt__udp server, client;
    vt__udp_dgram d;
    size_t sent;
    uint8_t hello[] = "hello";
    int r = open_at(&server, family, ip, 0, (vt__udp_cfg){.rcvbuf = 0});
    if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) SKIP("no IPv6");
    REQUIRE(r == 0);
    bool v4 = vt__udp_is_v4(to);
    REQUIRE(open_at(&client, v4 ? AF_INET : AF_INET6, v4 ? V4_ANY : V6_ANY, 0, (vt__udp_cfg){.rcvbuf = 0}) ==
            0);
    CHECK(server.port && client.port && server.port != client.port);
    vt__udp_addr target = *to, source = *from, back;
    target.port = server.port, source.port = client.port;
    for (unsigned ecn = 0; ecn < 4; ecn++) {
        vt__udp_train t = {hello, 5, 1200, &target, NULL, (uint8_t)ecn};
        CHECK_EQ(vt__udp_send(&client, &t, &sent), 0);
        CHECK_EQ(sent, 5);
        REQUIRE(receive(&server, &d));
        CHECK_MEM(d.p, d.n, "hello", 5);
        CHECK(d.ecn == ecn && same(d.remote, &source) && same(d.local, &target));
        back = *d.remote, target = *d.local;
        t = (vt__udp_train){d.p, d.n, 1200, &back, &target, (uint8_t)(3 - ecn)};
        CHECK_EQ(vt__udp_send(&server, &t, &sent), 0);
        REQUIRE(receive(&client, &d));
        CHECK(d.ecn == 3 - ecn && same(d.remote, &target) && same(d.local, &source));
    }
    vt__udp_close(&server), vt__udp_close(&client);
}
TEST(there_and_back_again) {
    REQUIRE(vt__udp_rx_init(&rx) == 0);
    vt__udp_addr v4 = addr_of(V4_LOOPBACK, NULL, 0), second = addr_of(V4_SECOND, NULL, 0),
                 v6 = addr_of(NULL, V6_LOOPBACK, 0);
    there_and_back(AF_INET, V4_ANY, &v4, &v4);
    there_and_back(AF_INET, V4_ANY, &second, &v4); /* not the address that the kernel would take */
    there_and_back(AF_INET6, V6_ANY, &v6, &v6);
    there_and_back(AF_INET6, V6_ANY, &v4, &v4);
    there_and_back(AF_INET6, V6_ANY, &second, &v4);
    vt__udp_rx_free(&rx);
}
/* A train of n datagrams of `segment` bytes and a shorter one, by whatever means. */
static void train(vt__udp_cfg cfg, size_t n, size_t segment) {
    enum { TRAIN_MAX = 100 * 1400 };
    static uint8_t bytes[TRAIN_MAX];
    vt__udp server, client;
    vt__udp_dgram d;
    size_t sent, all = n * segment + 7;
    REQUIRE(vt__udp_rx_init(&rx) == 0 && open_at(&server, AF_INET, V4_LOOPBACK, 0, cfg) == 0);
    REQUIRE(open_at(&client, AF_INET, V4_LOOPBACK, 0, cfg) == 0);
    vt__udp_addr to = addr_of(V4_LOOPBACK, NULL, server.port);
    for (size_t i = 0; i < all; i++) bytes[i] = (uint8_t)(i * 31 + i / 1000);
    vt__udp_train t = {bytes, all, segment, &to, NULL, 2};
    CHECK_EQ(vt__udp_send(&client, &t, &sent), 0);
    CHECK_EQ(sent, all);
    for (size_t i = 0; i <= n; i++) {
        REQUIRE(receive(&server, &d));
        CHECK_EQ(d.ecn, 2);
        CHECK_MEM(d.p, d.n, bytes + i * segment, i < n ? segment : 7);
    }
    CHECK(!vt__udp_rx_next(&server, &rx, &d) && vt__udp_recv(&server, &rx) == 0 && server.lost == 0);
    vt__udp_close(&server), vt__udp_close(&client), vt__udp_rx_free(&rx);
}
TEST(trains) {
    train((vt__udp_cfg){.rcvbuf = 0}, 10, 1350);
    train((vt__udp_cfg){.rcvbuf = 0}, 90, 1200); /* more than go at once */
    train((vt__udp_cfg){.rcvbuf = 0}, 45, 1455); /* one of the largest */
    train((vt__udp_cfg){.rcvbuf = 0}, 0, 1200);
    train((vt__udp_cfg){.no_gso = true}, 70, 1200);
    train((vt__udp_cfg){.no_gro = true}, 40, 1200);
    train((vt__udp_cfg){.no_gso = true, .no_gro = true}, 40, 1200);
}
TEST(b52_datagrams_of_no_bytes) {
    vt__udp server, client;
    vt__udp_dgram d;
    size_t sent;
    REQUIRE(vt__udp_rx_init(&rx) == 0 &&
            open_at(&server, AF_INET, V4_LOOPBACK, 0, (vt__udp_cfg){.rcvbuf = 0}) == 0);
    REQUIRE(open_at(&client, AF_INET, V4_LOOPBACK, 0, (vt__udp_cfg){.rcvbuf = 0}) == 0);
    struct sockaddr_in6 name;
    vt__udp_addr to = addr_of(V4_LOOPBACK, NULL, server.port);
    socklen_t len = vt__udp_addr_to(&to, AF_INET, &name);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sendto(client.fd, "", 0, 0, (struct sockaddr *)(void *)&name, len), 0);
    vt__udp_train t = {(const uint8_t *)"x", 1, 1, &to, NULL, 0};
    CHECK_EQ(vt__udp_send(&client, &t, &sent), 0);
    for (int i = 0; i < 4; i++) CHECK(receive(&server, &d) && d.n == (i == 3)); /* each is seen */
    vt__udp_close(&server), vt__udp_close(&client), vt__udp_rx_free(&rx);
}
TEST(too_large_for_the_way) { /* nothing is cut into fragments */
    vt__udp u;
    size_t sent;
    static uint8_t bytes[70000];
    REQUIRE(open_at(&u, AF_INET, V4_LOOPBACK, 0, (vt__udp_cfg){.rcvbuf = 0}) == 0);
    vt__udp_addr to = addr_of(V4_LOOPBACK, NULL, 9);
    vt__udp_train t = {bytes, 66000, 66000, &to, NULL, 0};
    CHECK_EQ(vt__udp_send(&u, &t, &sent), -EMSGSIZE);
    CHECK_EQ(sent, 0);
    vt__udp_close(&u);
}
TEST(sockets_that_cannot_be) {
    vt__udp a, b;
    REQUIRE(open_at(&a, AF_INET, V4_LOOPBACK, 0, (vt__udp_cfg){.rcvbuf = 0}) == 0);
    CHECK_EQ(open_at(&b, AF_INET, V4_LOOPBACK, a.port, (vt__udp_cfg){.rcvbuf = 0}), -EADDRINUSE);
    CHECK_EQ(b.fd, -1);
    vt__udp_close(&a);
    REQUIRE(open_at(&a, AF_INET, V4_LOOPBACK, 0, (vt__udp_cfg){.reuse_port = true}) == 0);
    CHECK_EQ(open_at(&b, AF_INET, V4_LOOPBACK, a.port, (vt__udp_cfg){.reuse_port = true}), 0);
    CHECK_EQ(a.port, b.port);
    vt__udp_close(&a), vt__udp_close(&b);
    vt__udp_close(&b);
}
TEST(one_that_is_not_there) { /* told once, on a connected socket, and then it goes on */
    vt__udp u, none;
    size_t sent;
    struct sockaddr_in6 name;
    REQUIRE(vt__udp_rx_init(&rx) == 0 &&
            open_at(&u, AF_INET, V4_LOOPBACK, 0, (vt__udp_cfg){.rcvbuf = 0}) == 0);
    REQUIRE(open_at(&none, AF_INET, V4_LOOPBACK, 0, (vt__udp_cfg){.rcvbuf = 0}) == 0);
    vt__udp_addr to = addr_of(V4_LOOPBACK, NULL, none.port);
    vt__udp_close(&none);
    socklen_t len = vt__udp_addr_to(&to, AF_INET, &name);
    REQUIRE(connect(u.fd, (struct sockaddr *)(void *)&name, len) == 0);
    vt__udp_train t = {(const uint8_t *)"x", 1, 1, &to, NULL, 0};
    CHECK_EQ(vt__udp_send(&u, &t, &sent), 0);
    wait_for(u.fd);
    CHECK_EQ(vt__udp_recv(&u, &rx), -ECONNREFUSED);
    CHECK_EQ(vt__udp_recv(&u, &rx), 0);
    vt__udp_close(&u), vt__udp_rx_free(&rx);
}

/* ---- a scripted kernel ---- */
static struct script {
    ssize_t train[8]; /* what sendmsg says; 0: as it was asked to */
    int singles[8];   /* what sendmmsg says; 0: all of them */
    unsigned ntrains, nsingles;
    size_t bytes, segments, largest;
} k;
static ssize_t k_sendmsg(int fd, const struct msghdr *m, int fl) {
    (void)fd, (void)fl;
    ssize_t r = k.train[k.ntrains++];
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    uint16_t segment = 0;
    for (; c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)m, c))
        if (c->cmsg_level == 17) memcpy(&segment, CMSG_DATA(c), 2);
    if (r < 0 || !segment) return r;
    k.bytes += m->msg_iov->iov_len;
    k.segments += (m->msg_iov->iov_len + segment - 1) / segment;
    k.largest = VT__MAX(k.largest, m->msg_iov->iov_len);
    return (ssize_t)m->msg_iov->iov_len;
}
static int k_sendmmsg(int fd, struct vt__plat_mmsg *v, unsigned n, int fl) {
    (void)fd, (void)fl;
    int r = k.singles[k.nsingles++];
    if (r < 0) return r;
    if (r == 0 || r > (int)n) r = (int)n;
    for (int i = 0; i < r; i++) k.bytes += v[i].hdr.msg_iov->iov_len;
    k.segments += (size_t)r;
    return r;
}
static int script_send(size_t n, size_t segment, bool gso, size_t *sent, bool *gso_after) {
    static uint8_t bytes[200000];
    vt__udp u = {.fd = -1, .family = AF_INET, .gso = gso};
    vt__udp_addr to = addr_of(V4_LOOPBACK, NULL, 9);
    vt__udp_train t = {bytes, n, segment, &to, NULL, 1};
    vt__plat.sendmsg = k_sendmsg, vt__plat.sendmmsg = k_sendmmsg;
    int r = vt__udp_send(&u, &t, sent);
    vt__plat.sendmsg = vt__plat_sys_sendmsg, vt__plat.sendmmsg = vt__plat_sys_sendmmsg;
    *gso_after = u.gso;
    return r;
}
TEST(kernel_says_what_it_says) {
    size_t sent;
    bool gso;
    k = (struct script){.bytes = 0};
    CHECK(script_send(100000, 1300, true, &sent, &gso) == 0 && sent == 100000 && gso);
    CHECK(k.bytes == 100000 && k.segments == 77 && k.ntrains == 2 && k.nsingles == 0 &&
          k.largest <= VT__UDP_TRAIN);
    k = (struct script){.bytes = 0}; /* what a connection sends at once goes at once */
    CHECK(script_send(VT__UDP_TRAIN, 1452, true, &sent, &gso) == 0 && sent == VT__UDP_TRAIN);
    CHECK(k.ntrains == 1 && k.nsingles == 1); /* 45 and a rest of less than one */
    k = (struct script){.bytes = 0};
    CHECK(script_send(45 * 1452, 1452, true, &sent, &gso) == 0 && k.ntrains == 1 && k.nsingles == 0);
    k = (struct script){.bytes = 0};
    CHECK(script_send(64 * 100 + 1, 100, true, &sent, &gso) == 0 &&
          k.largest == 6400); /* 64 at once; one is left */
    CHECK(k.ntrains == 1 && k.nsingles == 1 && k.segments == 65);
    k = (struct script){.train = {-EIO}}; /* no GSO on the device: singles, from now on */
    CHECK(script_send(4000, 1300, true, &sent, &gso) == 0 && sent == 4000 && !gso && k.segments == 4 &&
          k.ntrains == 1);
    k = (struct script){.train = {-EINVAL}}; /* nor in the kernel */
    CHECK(script_send(4000, 1300, true, &sent, &gso) == 0 && sent == 4000 && !gso && k.segments == 4);
    k = (struct script){.train = {-EINVAL}, .singles = {-EMSGSIZE}}; /* it was not that: they are too large */
    CHECK(script_send(4000, 1300, true, &sent, &gso) == -EMSGSIZE && sent == 0 && gso);
    k = (struct script){.train = {-EAGAIN}};
    CHECK(script_send(4000, 1300, true, &sent, &gso) == -EAGAIN && sent == 0 && gso);
    k = (struct script){.train = {0, -EAGAIN}}; /* after the first of two */
    CHECK(script_send(100000, 1300, true, &sent, &gso) == -EAGAIN && sent == 50 * 1300 && gso);
    k = (struct script){.singles = {2, -EAGAIN}};
    CHECK(script_send(4000, 1300, false, &sent, &gso) == -EAGAIN && sent == 2600 && k.segments == 2);
    k = (struct script){.singles = {2, 0}}; /* a batch cut short goes on */
    CHECK(script_send(4000, 1300, false, &sent, &gso) == 0 && sent == 4000 && k.segments == 4 &&
          k.bytes == 4000);
    k = (struct script){.singles = {0, 0, 0}};
    CHECK(script_send(70 * 10, 10, false, &sent, &gso) == 0 && k.nsingles == 3 && k.segments == 70);
    k = (struct script){.train = {-EINTR, 0}, .singles = {-EINTR, 0}};
    CHECK(script_send(64 * 100 + 1, 100, true, &sent, &gso) == 0 && k.ntrains == 2 && k.nsingles == 2);
    k = (struct script){.train = {-ENETUNREACH}};
    CHECK(script_send(4000, 1300, true, &sent, &gso) == -ENETUNREACH && gso);
}
/* Messages of a batch as the script has them: a whole one, one that was cut off, one of GRO. */
static int k_recv_calls;
static void k_control(struct msghdr *m, int level, int type, int value) {
    struct cmsghdr *c = (void *)((char *)m->msg_control + m->msg_controllen);
    c->cmsg_level = level, c->cmsg_type = type, c->cmsg_len = CMSG_LEN(sizeof value);
    memcpy(CMSG_DATA(c), &value, sizeof value);
    m->msg_controllen += CMSG_SPACE(sizeof value);
}
static int k_recvmmsg(int fd, struct vt__plat_mmsg *v, unsigned n, int fl) {
    static const size_t sizes[] = {5, 10, 25};
    (void)fd, (void)fl;
    CHECK(n >= 3);
    if (k_recv_calls++ == 0) return -EINTR;
    for (unsigned i = 0; i < 3; i++) {
        struct msghdr *m = &v[i].hdr;
        vt__udp_addr from = addr_of("\1\2\3\4", NULL, (uint16_t)(100 + i));
        CHECK(m->msg_controllen == VT__UDP_CONTROL && m->msg_iov->iov_len == VT__UDP_ROOM);
        m->msg_namelen = vt__udp_addr_to(&from, AF_INET, m->msg_name);
        memset(m->msg_iov->iov_base, 'a' + (int)i, sizes[i]);
        v[i].len = (unsigned)sizes[i];
        m->msg_flags = i == 1 ? MSG_TRUNC : 0;
        memset(m->msg_control, 0, VT__UDP_CONTROL);
        m->msg_controllen = 0;
        if (i == 2)
            k_control(m, 17, 104, 10), k_control(m, SOL_SOCKET, 40, 77), k_control(m, IPPROTO_IPV6, 67, 0xb9);
    }
    return 3;
}
TEST(batches_of_a_script) {
    vt__udp u = {.fd = -1, .family = AF_INET, .port = 443};
    vt__udp_dgram d;
    REQUIRE(vt__udp_rx_init(&rx) == 0);
    vt__plat.recvmmsg = k_recvmmsg, k_recv_calls = 0;
    CHECK_EQ(vt__udp_recv(&u, &rx), 3);
    vt__plat.recvmmsg = vt__plat_sys_recvmmsg;
    CHECK(vt__udp_rx_next(&u, &rx, &d) && d.n == 5 && d.remote->port == 100 && d.local->port == 443 &&
          d.ecn == 0);
    static const size_t sizes[] = {10, 10, 5};
    for (size_t i = 0; i < 3; i++) /* the one that was cut off is left out */
        CHECK(vt__udp_rx_next(&u, &rx, &d) && d.n == sizes[i] && *d.p == 'c' && d.remote->port == 102 &&
              d.ecn == 1);
    CHECK(!vt__udp_rx_next(&u, &rx, &d));
    CHECK_EQ(u.lost, 77);
    vt__udp_rx_free(&rx);
}
static void *no_memory(void *p, size_t n) {
    (void)p, (void)n;
    return NULL;
}
TEST(no_memory_for_a_batch) {
    vt__plat.realloc = no_memory;
    CHECK_EQ(vt__udp_rx_init(&rx), -ENOMEM);
    vt__plat.realloc = vt__plat_sys_realloc;
    vt__udp_rx_free(&rx);
}
