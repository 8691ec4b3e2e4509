/* A kernel that is a script: it replaces every entry of vt__plat, so that a whole runtime or server runs
 * in one thread, from one seed, in time that jumps. Include behind the implementation, built with
 * VTHTTP_SIM=1; one worker.
 *
 * Descriptors are byte queues: sockets, listeners, epoll sets, eventfds, pipes; poll(2) looks at the same
 * state. What is sent is on its way first and arrives in pieces, in an order and at times that the seed
 * picks. A short read means that no more had arrived, as in Linux; so reads are made small by small
 * arrivals. Edges, hang-ups, RST for unread input (which takes away what the peer has not read yet) are as
 * in tcp(7) and epoll(7).
 *
 * sim_begin(seed), knobs in sim.k, faults by sim_fault(), peers by sim_client() and sim_serve(), things to
 * happen by sim_at(); sim_end() puts the system back and fails the test for descriptors and memory that
 * are left. SIM_TRACE=1 in the environment prints every call. A run that no event can wake, or that makes
 * calls without end, ends the program. */
#ifndef VT_SIMKERNEL_H
#define VT_SIMKERNEL_H

#ifndef SIM_FAIL
#define SIM_FAIL(what) test_fail(__FILE__, __LINE__, what)
#endif

enum {
    SIM_FDS = 1024,
    SIM_ENDS = 2048,
    SIM_PEERS = 512,
    SIM_QUEUE = 512,
    SIM_LISTENERS = 8,
    SIM_EVENTS = 16384
};
#define SIM_US INT64_C(1000)
#define SIM_EPOCH (INT64_C(1800000000) * VT_SEC) /* of the wall clock */
#define SIM_START (INT64_C(5000) * VT_SEC)       /* of the monotonic one */

#define SIM_ID(name, ret, params, args, expr) SIM_##name,
#define SIM_ID2(name, ret, params, args) SIM_##name,
enum sim_id { VT__PLAT_CALLS(SIM_ID) VT__PLAT_OTHERS(SIM_ID2) SIM_IDS };
#define SIM_NAME(name, ret, params, args, expr) #name,
#define SIM_NAME2(name, ret, params, args) #name,
static const char *const sim_names[] = {VT__PLAT_CALLS(SIM_NAME) VT__PLAT_OTHERS(SIM_NAME2)};

/*--- peers: the other side of connections, by script ---*/
enum sim_op {
    SIM_SEND,      /* p, n bytes */
    SIM_SEND_SLOW, /* p, n bytes, one every arg ns */
    SIM_DELAY,     /* arg ns */
    SIM_AWAIT,     /* until arg bytes have come in all, or the stream's end */
    SIM_AWAIT_N,   /* until sim.count(peer) says arg, or the stream's end */
    SIM_AWAIT_END, /* until FIN or RST has come */
    SIM_READ,      /* arg 0: stops reading; else reads on */
    SIM_FIN,       /* ends the sending half */
    SIM_CLOSE,     /* closes: what comes later is answered by RST */
    SIM_RST,       /* resets */
    SIM_CALL       /* fn(peer) */
};
struct sim_peer;
struct sim_step {
    int op;
    const void *p;
    size_t n;
    int64_t arg;
    void (*fn)(struct sim_peer *);
};
struct sim_end;
struct sim_peer {
    struct sim_end *end;
    const struct sim_step *steps;
    int nsteps, at;
    size_t sent; /* of the step at hand */
    int64_t wake, until, alarm;
    bool mute, waiting, done, over, fin, rst;
    int64_t t_open, t_last, t_end; /* connected; last bytes; FIN or RST */
    char *got;
    size_t ngot, cap;
    uint32_t gen, life;
    void *ctx;
};

/*--- one side of a connection; q is what comes in ---*/
struct sim_end {
    int fd; /* -1: none (a peer's, not accepted yet, or closed) */
    bool used, closed, connecting, wr_shut, fin_sent, fin, rst_sent, rst, dead, linger0;
    bool moving;             /* an arrival is planned */
    bool hidden, out_hidden; /* a storm: what is there does not show */
    bool nospace;            /* the other side wants to know of room here */
    int err;
    struct sim_peer *peer;
    struct sim_end *other;
    char *q;
    size_t cap, head, len, visible, limit;
    int port, local_port;
    uint32_t gen;
    bool un;
};
enum sim_kind { SIM_FREE, SIM_SOCKET, SIM_CONN, SIM_LISTENER, SIM_EPOLL, SIM_EVENTFD, SIM_PIPE, SIM_NULL };
struct sim_file {
    int kind, type;
    int family, port, backlog;
    char path[108];
    bool bound;
    struct sim_end *end;
    struct sim_end **queue; /* of sim.queues */
    int nqueue;
    uint64_t count;
    /* as a member of an epoll set */
    int ep; /* -1: none */
    bool ready, off;
    uint32_t events;
    uint64_t data;
};
struct sim_event {
    int64_t at;
    uint64_t tie;
    void (*fn)(void *arg, uint32_t gen);
    void *arg;
    uint32_t gen;
};
struct sim_knobs {
    uint32_t grain;                 /* most bytes that arrive at once; 0: all */
    uint32_t send_grain;            /* most bytes that a send takes; 0: all */
    uint32_t send_buffer;           /* room for what the server sends */
    uint32_t recv_buffer;           /* ... and for what it is sent */
    uint32_t read_grain;            /* most bytes that a peer reads at once; 0: all */
    int64_t latency;                /* an arrival takes up to this */
    int storm, invent, eintr, lazy; /* per mille: EAGAIN, invented events, EINTR, few events at a time */
    int fds;                        /* descriptors that may be open, 0: no limit below SIM_FDS */
};
struct sim_faults {
    int64_t nth; /* 0: none */
    bool onward;
    int per_mille;
    int err; /* 0: picked among those that the call can give */
};
struct sim_service {
    int port;
    int err; /* connecting fails so; SIM_DEAF: never ends */
    const struct sim_step *steps;
    int nsteps;
};
enum { SIM_DEAF = 1 };

static struct sim_world {
    uint64_t seed, rng, hash;
    int64_t now, wall_step, horizon;
    struct sim_knobs k;
    struct sim_faults f[SIM_IDS];
    int64_t calls[SIM_IDS], all_calls, max_calls, faults;
    int64_t allocs, maps; /* live */
    struct sim_event heap[SIM_EVENTS];
    int nheap;
    struct sim_file files[SIM_FDS];
    struct sim_end *queues[SIM_LISTENERS][SIM_QUEUE];
    int ready[SIM_FDS * 2], nready; /* members of epoll sets that may have events; a number may stand twice */
    struct sim_end ends[SIM_ENDS];
    struct sim_peer peers[SIM_PEERS];
    int npeers, peers_done, nends;
    struct sim_service services[8];
    int nservices;
    struct vt__plat_sa acts[65];
    int next_port, open_fds, depth, idle_calls, killed;
    char disk[16384]; /* what "/disk" holds, to disk_len */
    size_t disk_len;
    int64_t stall_at, stall_ns;
    bool verbose, running;
    void (*on_idle)(void);                   /* nothing can happen any more */
    void (*on_peer_done)(struct sim_peer *); /* a script is over and the stream has ended */
    size_t (*count)(struct sim_peer *);
    void *cached[8];
    size_t cached_n[8];
    struct vt__plat_table saved;
} sim;

static uint64_t sim_rand(void) { /* splitmix64 */
    uint64_t z = (sim.rng += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static uint64_t sim_below(uint64_t n) { return n ? sim_rand() % n : 0; }
static size_t sim_size(size_t n) { return (size_t)sim_below(n); }
static bool sim_chance(int per_mille) { return per_mille > 0 && (int)sim_below(1000) < per_mille; }

static void sim_mix(uint64_t x) { sim.hash = (sim.hash ^ x) * UINT64_C(0x100000001b3) + (sim.hash >> 29); }

static void sim_stuck(const char *why) {
    printf("simulation of seed 0x%llx: %s; %lld calls, %lld ms, %d events, %d descriptors\n",
           (unsigned long long)sim.seed, why, (long long)sim.all_calls,
           (long long)((sim.now - SIM_START) / VT_MS), sim.nheap, sim.open_fds);
    SIM_FAIL(why);
    fflush(stdout);
    abort();
}

/*--- events ---*/
static bool sim_before(const struct sim_event *a, const struct sim_event *b) {
    return a->at != b->at ? a->at < b->at : a->tie < b->tie;
}
static void sim_post(int64_t delay, void (*fn)(void *, uint32_t), void *arg, uint32_t gen) {
    if (sim.nheap == SIM_EVENTS) sim_stuck("too many events");
    int64_t at = sim.now + delay;
    struct sim_event e = {at, sim_rand(), fn, arg, gen};
    int i = sim.nheap++;
    for (; i > 0 && sim_before(&e, &sim.heap[(i - 1) / 2]); i = (i - 1) / 2)
        sim.heap[i] = sim.heap[(i - 1) / 2];
    sim.heap[i] = e;
}
static struct sim_event sim_pop(void) {
    struct sim_event top = sim.heap[0], e = sim.heap[--sim.nheap];
    int i = 0;
    for (int c; (c = 2 * i + 1) < sim.nheap; i = c) {
        if (c + 1 < sim.nheap && sim_before(&sim.heap[c + 1], &sim.heap[c])) c++;
        if (!sim_before(&sim.heap[c], &e)) break;
        sim.heap[i] = sim.heap[c];
    }
    sim.heap[i] = e;
    return top;
}
static void sim_run_due(void) {
    if (sim.depth) return;
    sim.depth++;
    while (sim.nheap && sim.heap[0].at <= sim.now) {
        struct sim_event e = sim_pop();
        e.fn(e.arg, e.gen);
    }
    sim.depth--;
}
/* Calls fn(arg, 0) at a time since the start. */
static VT__UNUSED void sim_at(int64_t since_start, void (*fn)(void *, uint32_t), void *arg) {
    sim_post(VT__MAX(SIM_START + since_start - sim.now, 0), fn, arg, 0);
}
static int64_t sim_latency(void) { return (int64_t)sim_below((uint64_t)sim.k.latency + 1); }
/* Time passes: to `until` (INT64_MAX: for ever) or to the next event, which happens; false: no event came. */
static bool sim_pass(int64_t until) {
    if (!sim.nheap && until == INT64_MAX) {
        if (!sim.on_idle || ++sim.idle_calls > 20) sim_stuck("nothing can wake it any more");
        sim.on_idle();
        return true;
    }
    int64_t next = sim.nheap ? sim.heap[0].at : INT64_MAX;
    if (next > until) {
        sim.now = VT__MAX(sim.now, until) + (int64_t)sim_below(20 * (uint64_t)SIM_US);
        return false;
    }
    sim.now = VT__MAX(sim.now, next);
    if (sim.now > SIM_START + sim.horizon) sim_stuck("does not end");
    sim_run_due();
    return true;
}

/* The process does not run for a while; all else goes on. */
static void sim_stall(void) {
    int64_t end = sim.stall_at + sim.stall_ns;
    sim.stall_ns = 0;
    while (sim.nheap && sim.heap[0].at <= end && !sim.depth) {
        sim.now = VT__MAX(sim.now, sim.heap[0].at);
        sim_run_due();
    }
    sim.now = VT__MAX(sim.now, end);
}

/*--- every call begins here: 0, or the error that was planned for it ---*/
static const int sim_errs_io[] = {ECONNRESET, ETIMEDOUT, EPIPE, 0};
static const int sim_errs_accept[] = {EMFILE, ECONNABORTED, ENFILE, ENOBUFS, EPROTO, ENOMEM, EINTR, 0};
static const int sim_errs_fd[] = {EMFILE, ENFILE, ENOMEM, 0};
static const int sim_errs_mem[] = {ENOMEM, 0};
static const int sim_errs_addr[] = {EADDRINUSE, EACCES, EADDRNOTAVAIL, 0};
static const int sim_errs_connect[] = {ECONNREFUSED, ENETUNREACH, ETIMEDOUT, EADDRNOTAVAIL, 0};
static const int sim_errs_intr[] = {EINTR, 0};
static const int sim_errs_wait2[] = {ENOSYS, EPERM, EINTR, 0};
static const int sim_errs_disk[] = {EIO, EINTR, 0};
static const int sim_errs_stat[] = {EIO, ENOMEM, 0};
static const int sim_errs_other[] = {EINVAL, EPERM, ENOSYS, 0};
static const int *sim_errs(int id) {
    switch (id) {
    case SIM_recv:
    case SIM_send:
    case SIM_sendmsg: return sim_errs_io;
    case SIM_accept: return sim_errs_accept;
    case SIM_open:
    case SIM_socket:
    case SIM_pipe: return sim_errs_fd;
    case SIM_bind:
    case SIM_listen: return sim_errs_addr;
    case SIM_connect: return sim_errs_connect;
    case SIM_poll:
    case SIM_close: return sim_errs_intr;
#if defined(__linux__)
    case SIM_epoll_create:
    case SIM_eventfd: return sim_errs_fd;
    case SIM_epoll_ctl: return sim_errs_mem;
    case SIM_epoll_wait: return sim_errs_intr;
    case SIM_epoll_pwait2: return sim_errs_wait2;
#endif
    case SIM_stat:
    case SIM_fstat: return sim_errs_stat;
    case SIM_pread:
    case SIM_pwrite:
    case SIM_fsync: return sim_errs_disk;
    case SIM_thread:
    case SIM_munmap: return sim_errs_mem;
    default: return sim_errs_other;
    }
}
static bool sim_hit(int id) {
    const struct sim_faults *f = &sim.f[id];
    int64_t n = ++sim.calls[id];
    if (!(f->nth && (n == f->nth || (f->onward && n > f->nth))) && !sim_chance(f->per_mille)) return false;
    sim.faults++;
    return true;
}
static int sim_enter(int id) {
    if (++sim.all_calls > sim.max_calls) sim_stuck("calls without end");
    sim.now += 100 + (int64_t)sim_below(900);
    if (sim.stall_ns && sim.now >= sim.stall_at) sim_stall();
    sim_run_due();
    if (sim_hit(id)) {
        const int *errs = sim_errs(id);
        int n = 0;
        if (sim.f[id].err) return -sim.f[id].err;
        while (errs[n]) n++;
        return -errs[sim_below((uint64_t)n)];
    }
    bool slow = id == SIM_recv || id == SIM_send || id == SIM_sendmsg || id == SIM_accept || id == SIM_poll ||
                id == SIM_pread || id == SIM_pwrite;
#if defined(__linux__)
    slow = slow || id == SIM_epoll_wait || id == SIM_epoll_pwait2;
#endif
    return slow && sim_chance(sim.k.eintr) ? -EINTR : 0;
}
static int64_t sim_leave(int id, int64_t fd, int64_t r) {
    sim_mix((uint64_t)id << 48 ^ (uint64_t)(fd & 0xffff) << 32 ^ (uint64_t)r);
    sim_mix((uint64_t)sim.now);
    if (sim.verbose)
        printf("%10.3f %s(%lld) = %lld\n", (double)(sim.now - SIM_START) / 1e6, sim_names[id], (long long)fd,
               (long long)r);
    return r;
}
#define SIM_DO(name, fd)                                                                                     \
    do {                                                                                                     \
        int err_ = sim_enter(SIM_##name);                                                                    \
        if (err_ < 0) return (int)sim_leave(SIM_##name, fd, err_);                                           \
    } while (0)
#define SIM_RET(name, fd, r) return (int)sim_leave(SIM_##name, (fd), (r))

/*--- readiness ---*/
static size_t sim_room(const struct sim_end *e) { /* for what `e` sends */
    const struct sim_end *o = e->other;
    return o && o->limit > o->len ? o->limit - o->len : 0;
}
static uint32_t sim_mask(int fd);
/* Of a set that stands in another: whether a member is ready. */
static uint32_t sim_mask_set(int ep) {
    for (int i = 0; i < sim.nready; i++) {
        const struct sim_file *f = &sim.files[sim.ready[i]];
        if (f->ep == ep && !f->off && sim_mask(sim.ready[i]) & (f->events | POLLHUP | POLLERR)) return POLLIN;
    }
    return 0;
}
static uint32_t sim_mask(int fd) {
    const struct sim_file *f = &sim.files[fd];
    const struct sim_end *e = f->end;
    uint32_t m = 0;
    switch (f->kind) {
    case SIM_LISTENER: return f->nqueue ? POLLIN : 0;
    case SIM_EVENTFD: return f->count ? POLLIN | POLLOUT : POLLOUT;
    case SIM_SOCKET: return POLLOUT | POLLHUP;
    case SIM_EPOLL: return sim_mask_set(fd);
    case SIM_PIPE:
    case SIM_CONN: break;
    default: return 0;
    }
    if (e->connecting) return 0;
    if ((e->visible && !e->hidden) || e->fin || e->rst) m |= POLLIN;
    if (e->fin || e->rst) m |= POLLRDHUP;
    if (e->rst || e->dead || (e->fin && e->wr_shut)) m |= POLLHUP;
    if (e->err) m |= POLLERR | POLLIN | POLLOUT;
    if (e->rst || e->wr_shut ||
        (!e->out_hidden && e->other && sim_room(e) >= VT__MAX(e->other->limit / 3, 1)))
        m |= POLLOUT;
    return m;
}
static void sim_edge(int fd) {
    if (fd < 0) return;
    struct sim_file *f = &sim.files[fd];
    if (f->ep < 0 || f->off) return;
    sim_edge(f->ep); /* of a set in a set */
    if (f->ready) return;
    f->ready = true;
    if (sim.nready == SIM_FDS * 2) sim_stuck("too many ready");
    sim.ready[sim.nready++] = fd;
}

/*--- ends ---*/
static struct sim_end *sim_end_new(void) {
    struct sim_end *e = NULL;
    for (int i = 0; i < SIM_ENDS && !e; i++)
        if (!sim.ends[i].used) e = &sim.ends[i];
    if (!e) sim_stuck("too many connections");
    char *q = e->q;
    size_t cap = e->cap;
    uint32_t gen = e->gen;
    memset(e, 0, sizeof *e);
    e->q = q, e->cap = cap, e->gen = gen + 1;
    e->used = true;
    e->fd = -1;
    e->limit = sim.k.recv_buffer ? sim.k.recv_buffer : 65536;
    sim.nends++;
    return e;
}
static void sim_end_drop(struct sim_end *e) { /* once both sides have closed */
    struct sim_end *o = e->other;
    e->closed = true;
    if (o && !o->closed) return;
    e->used = false, e->gen++;
    if (o) o->used = false, o->gen++;
}
static void sim_peer_kick(struct sim_peer *p, int64_t delay);
static void sim_arrive(void *arg, uint32_t gen);
static void sim_move(struct sim_end *e) {
    if (e->moving || e->closed) return;
    e->moving = true;
    sim_post(sim_latency(), sim_arrive, e, e->gen);
}
static void sim_reset_to(struct sim_end *e) { /* a RST is on its way to e */
    if (!e || e->rst_sent || e->closed) return;
    e->rst_sent = true;
    sim_move(e);
}
static void sim_arrive(void *arg, uint32_t gen) {
    struct sim_end *e = arg;
    if (e->gen != gen || e->closed) return;
    e->moving = false;
    if (e->rst_sent) {
        if (e->peer || sim_chance(500)) e->len = e->visible = 0; /* what was not read is lost */
        else e->visible = e->len;
        e->rst = true;
        e->err = e->wr_shut && e->fin ? EPIPE : ECONNRESET;
        e->connecting = false;
    } else {
        size_t left = e->len - e->visible, n = left;
        if (sim.k.grain && n > 1) n = 1 + sim_size(VT__MIN(n, sim.k.grain));
        e->visible += n;
        if (e->fin_sent && n == left && (n == 0 || sim_chance(500))) e->fin = true;
        if (e->visible < e->len || (e->fin_sent && !e->fin)) sim_move(e);
    }
    sim_edge(e->fd);
    if (e->peer) sim_peer_kick(e->peer, 0);
}
static void sim_push(struct sim_end *from, const struct iovec *v, size_t n) {
    struct sim_end *e = from->other;
    if (e->closed) {
        sim_reset_to(from);
        return;
    }
    if (e->len == 0) e->head = 0;
    if (e->head + e->len + n > e->cap) {
        if (e->head) memmove(e->q, e->q + e->head, e->len);
        e->head = 0;
        if (e->len + n > e->cap) e->q = realloc(e->q, e->cap = (e->len + n) * 2);
    }
    for (; n > 0; v++) {
        size_t k = VT__MIN(n, v->iov_len);
        if (k) memcpy(e->q + e->head + e->len, v->iov_base, k);
        e->len += k, n -= k;
    }
    sim_move(e);
}
static void sim_room_made(void *arg, uint32_t gen) {
    struct sim_end *e = arg;
    if (e->gen != gen) return;
    sim_edge(e->fd);
    if (e->peer) sim_peer_kick(e->peer, 0);
}
static size_t sim_take(struct sim_end *e, char *buf, size_t n) {
    n = VT__MIN(n, e->visible);
    if (n) memcpy(buf, e->q + e->head, n);
    e->head += n, e->len -= n, e->visible -= n;
    if (n && e->other && e->other->nospace && !e->other->closed &&
        sim_room(e->other) >= VT__MAX(e->limit / 3, 1)) {
        e->other->nospace = false;
        sim_post(sim_latency(), sim_room_made, e->other, e->other->gen);
    }
    return n;
}
static void sim_send_fin(struct sim_end *e) {
    if (e->wr_shut) return;
    e->wr_shut = true;
    if (!e->other || e->other->closed) return;
    e->other->fin_sent = true;
    sim_move(e->other);
}
/* As close(2): input that nobody will read is answered by RST, as is what comes later (sim_push). */
static void sim_end_close(struct sim_end *e) {
    if (e->closed) return;
    if (e->other && !e->rst) {
        if (e->linger0 || e->visible || e->len) sim_reset_to(e->other);
        else sim_send_fin(e);
    }
    e->fd = -1;
    sim_end_drop(e);
}
static void sim_pair(struct sim_end *a, struct sim_end *b) { a->other = b, b->other = a; }

/*--- peers ---*/
static void sim_peer_run(void *arg, uint32_t gen);
static void sim_peer_kick(struct sim_peer *p, int64_t delay) {
    if (p->waiting && p->wake <= sim.now + delay) return;
    p->waiting = true;
    p->wake = sim.now + delay;
    sim_post(delay, sim_peer_run, p, ++p->gen);
}
static void sim_peer_read(struct sim_peer *p) {
    struct sim_end *e = p->end;
    if (p->mute || e->closed) return;
    size_t n = e->visible;
    if (n && sim.k.read_grain) n = 1 + sim_size(VT__MIN(n, sim.k.read_grain));
    if (n) {
        if (p->cap - p->ngot <= n) p->got = realloc(p->got, p->cap = (p->ngot + n + 1024) * 2);
        p->ngot += sim_take(e, p->got + p->ngot, n);
        p->got[p->ngot] = 0;
        p->t_last = sim.now;
    }
    if (e->visible) sim_peer_kick(p, sim_latency());
    if (p->fin || p->rst || e->visible || !(e->rst || e->fin)) return;
    p->rst = e->rst;
    p->fin = !e->rst;
    p->t_end = sim.now;
}
static bool sim_peer_send(struct sim_peer *p, const struct sim_step *s) {
    struct sim_end *e = p->end;
    bool slow = s->op == SIM_SEND_SLOW;
    if (e->rst || e->closed || e->wr_shut) return true;
    if (slow && sim.now < p->until) return false;
    size_t n = e->other->closed ? s->n - p->sent : VT__MIN(s->n - p->sent, sim_room(e));
    if (slow) n = VT__MIN(n, 1);
    if (n) {
        struct iovec v = {(char *)(uintptr_t)s->p + p->sent, n};
        sim_push(e, &v, n);
        p->sent += n;
        if (slow) p->until = sim.now + s->arg;
    }
    if (p->sent < s->n && sim_room(e) == 0) e->nospace = true;
    return p->sent == s->n;
}
/* Does the step at hand: true when it is done. */
static bool sim_peer_step(struct sim_peer *p) {
    const struct sim_step *s = &p->steps[p->at];
    struct sim_end *e = p->end;
    bool ended = p->fin || p->rst;
    switch (s->op) {
    case SIM_SEND:
    case SIM_SEND_SLOW: return sim_peer_send(p, s);
    case SIM_DELAY:
        if (!p->until) p->until = sim.now + s->arg;
        return sim.now >= p->until;
    case SIM_AWAIT: return ended || p->ngot >= (size_t)s->arg;
    case SIM_AWAIT_N: return ended || sim.count(p) >= (size_t)s->arg;
    case SIM_AWAIT_END: return ended;
    case SIM_READ:
        p->mute = s->arg == 0;
        sim_peer_read(p);
        return true;
    case SIM_FIN: sim_send_fin(e); return true;
    case SIM_RST: e->linger0 = true; /* fallthrough */
    case SIM_CLOSE:
        sim_end_close(e);
        p->fin = true;
        p->t_end = sim.now;
        return true;
    default: s->fn(p); return true;
    }
}
static void sim_peer_alarm(void *arg, uint32_t life) {
    struct sim_peer *p = arg;
    if (p->life == life) sim_peer_kick(p, 0);
}
static void sim_peer_run(void *arg, uint32_t gen) {
    struct sim_peer *p = arg;
    if (p->gen != gen || p->done) return;
    p->waiting = false;
    sim_peer_read(p);
    while (p->at < p->nsteps && sim_peer_step(p)) p->at++, p->sent = 0, p->until = 0;
    if (p->at < p->nsteps && p->until > sim.now && p->alarm != p->until) {
        p->alarm = p->until;
        sim_post(p->until - sim.now, sim_peer_alarm, p, p->life);
    }
    p->over = p->at == p->nsteps;
    if (!p->over || !(p->fin || p->rst)) return;
    p->done = true;
    sim.peers_done++;
    if (!p->end->closed) sim_end_close(p->end);
    if (sim.on_peer_done) sim.on_peer_done(p);
}
static struct sim_peer *sim_peer_new(const struct sim_step *steps, int nsteps) {
    if (sim.npeers == SIM_PEERS) sim_stuck("too many peers");
    struct sim_peer *p = &sim.peers[sim.npeers++];
    char *got = p->got;
    size_t cap = p->cap;
    uint32_t gen = p->gen, life = p->life;
    memset(p, 0, sizeof *p);
    p->got = got, p->cap = cap, p->gen = gen + 1, p->life = life + 1;
    p->steps = steps;
    p->nsteps = nsteps;
    return p;
}
/* The connection of a peer, and its other side, which is nobody's yet. */
static struct sim_end *sim_peer_open(struct sim_peer *p) {
    struct sim_end *mine = sim_end_new(), *other = sim_end_new();
    sim_pair(mine, other);
    mine->peer = p;
    mine->limit = sim.k.send_buffer ? sim.k.send_buffer : 65536;
    other->port = 20000 + (int)(p - sim.peers);
    p->end = mine;
    p->t_open = sim.now;
    return other;
}
static int sim_listener(int port, const char *path) {
    for (int fd = 0; fd < SIM_FDS; fd++) {
        const struct sim_file *f = &sim.files[fd];
        if (f->kind == SIM_LISTENER && (path ? strcmp(f->path, path) == 0 : !f->path[0] && f->port == port))
            return fd;
    }
    return -1;
}
static void sim_queue(int fd, struct sim_end *e) {
    struct sim_file *f = &sim.files[fd];
    e->local_port = f->port;
    e->un = f->path[0] != 0;
    f->queue[f->nqueue++] = e;
    sim_edge(fd);
}
static void sim_client_open(void *arg, uint32_t port) {
    struct sim_peer *p = arg;
    int fd = sim_listener((int)port, NULL);
    if (fd < 0 || sim.files[fd].nqueue == VT__MIN(SIM_QUEUE, sim.files[fd].backlog)) {
        if (fd >= 0) { /* the SYN is lost: again later */
            sim_post(VT_SEC, sim_client_open, p, port);
            return;
        }
        p->rst = p->done = true;
        p->t_end = sim.now;
        sim.peers_done++;
        if (sim.on_peer_done) sim.on_peer_done(p);
        return;
    }
    sim_queue(fd, sim_peer_open(p));
    sim_peer_kick(p, 0);
}
/* A client that connects to `port` at a time since the start; rst when it is refused. */
static VT__UNUSED struct sim_peer *sim_client(int64_t since_start, int port, const struct sim_step *steps,
                                              int nsteps) {
    struct sim_peer *p = sim_peer_new(steps, nsteps);
    sim_post(VT__MAX(SIM_START + since_start - sim.now, 0), sim_client_open, p, (uint32_t)port);
    return p;
}
/* Whoever connects to `port` meets a peer with this script, or an error. */
static VT__UNUSED void sim_serve(int port, int err, const struct sim_step *steps, int nsteps) {
    sim.services[sim.nservices++] = (struct sim_service){port, err, steps, nsteps};
}

/*--- descriptors ---*/
static int sim_fd_new(int kind) {
    int most = sim.k.fds ? sim.k.fds : SIM_FDS - 8;
    if (sim.open_fds >= most) return -EMFILE;
    for (int fd = 3; fd < SIM_FDS; fd++) {
        struct sim_file *f = &sim.files[fd];
        if (f->kind != SIM_FREE) continue;
        memset(f, 0, sizeof *f);
        f->kind = kind;
        f->ep = -1;
        sim.open_fds++;
        return fd;
    }
    return -EMFILE;
}
static struct sim_file *sim_file(int fd) {
    return fd >= 3 && fd < SIM_FDS && sim.files[fd].kind != SIM_FREE ? &sim.files[fd] : NULL;
}
static struct sim_file *sim_conn(int fd) {
    struct sim_file *f = sim_file(fd);
    return f && (f->kind == SIM_CONN || f->kind == SIM_PIPE) ? f : NULL;
}
static int sim_fd_of(struct sim_end *e, int kind) {
    int fd = sim_fd_new(kind);
    if (fd < 0) return fd;
    sim.files[fd].end = e;
    e->fd = fd;
    return fd;
}
static int sim_do_close(int fd) {
    struct sim_file *f = sim_file(fd);
    int err = sim_enter(SIM_close);
    if (!f) {
        SIM_FAIL("a descriptor is closed that is not open");
        SIM_RET(close, fd, -EBADF);
    }
    if (f->end) sim_end_close(f->end);
    for (int i = 0; i < f->nqueue; i++) sim_reset_to(f->queue[i]->other), sim_end_drop(f->queue[i]);
    for (int i = 0; f->kind == SIM_EPOLL && i < SIM_FDS; i++)
        if (sim.files[i].ep == fd) sim.files[i].ep = -1;
    for (int i = 0; i < sim.nready; i++)
        if (sim.ready[i] == fd) sim.ready[i--] = sim.ready[--sim.nready];
    memset(f, 0, sizeof *f);
    f->ep = -1;
    sim.open_fds--;
    SIM_RET(close, fd, err);
}
static int sim_do_open(const char *path, int flags, int mode) {
    (void)flags, (void)mode;
    SIM_DO(open, -1);
    if (strcmp(path, "/dev/null") != 0 && strcmp(path, "/disk") != 0) SIM_RET(open, -1, -ENOENT);
    SIM_RET(open, -1, sim_fd_new(SIM_NULL));
}
/* The one file there is, whatever descriptor it is. */
static ssize_t sim_do_pread(int fd, void *p, size_t n, int64_t off) {
    SIM_DO(pread, fd);
    size_t at = VT__MIN((size_t)off, sim.disk_len), k = VT__MIN(n, sim.disk_len - at);
    if (sim.k.grain) k = VT__MIN(k, sim.k.grain);
    memcpy(p, sim.disk + at, k);
    SIM_RET(pread, fd, (int)k);
}
static ssize_t sim_do_pwrite(int fd, const void *p, size_t n, int64_t off) {
    SIM_DO(pwrite, fd);
    size_t at = (size_t)off, k = at < sizeof sim.disk ? VT__MIN(n, sizeof sim.disk - at) : 0;
    if (k == 0) SIM_RET(pwrite, fd, -ENOSPC);
    if (sim.k.send_grain) k = VT__MIN(k, sim.k.send_grain);
    memcpy(sim.disk + at, p, k);
    sim.disk_len = VT__MAX(sim.disk_len, at + k);
    SIM_RET(pwrite, fd, (int)k);
}
static int sim_do_fsync(int fd) {
    SIM_DO(fsync, fd);
    SIM_RET(fsync, fd, 0);
}
static int sim_do_fcntl(int fd, int cmd, int arg) {
    (void)cmd, (void)arg;
    SIM_DO(fcntl, fd);
    SIM_RET(fcntl, fd, sim_file(fd) ? 0 : -EBADF);
}
static int sim_do_unlink(const char *path) {
    SIM_DO(unlink, -1);
    for (int fd = 0; fd < SIM_FDS; fd++)
        if (sim.files[fd].kind == SIM_LISTENER && strcmp(sim.files[fd].path, path) == 0) {
            sim.files[fd].path[0] = '!'; /* it listens on, under no name */
            SIM_RET(unlink, fd, 0);
        }
    SIM_RET(unlink, -1, -ENOENT);
}
static void sim_stat_disk(struct stat *st) {
    memset(st, 0, sizeof *st);
    st->st_mode = S_IFREG | 0600;
    st->st_size = (off_t)sim.disk_len;
    st->st_mtime = 1700000000;
}
static int sim_do_stat(const char *path, struct stat *st) {
    SIM_DO(stat, -1);
    if (strcmp(path, "/disk") == 0) {
        sim_stat_disk(st);
        SIM_RET(stat, -1, 0);
    }
    memset(st, 0, sizeof *st);
    st->st_mode = S_IFSOCK | 0777;
    for (int fd = 0; fd < SIM_FDS; fd++)
        if (sim.files[fd].kind == SIM_LISTENER && strcmp(sim.files[fd].path, path) == 0) SIM_RET(stat, fd, 0);
    SIM_RET(stat, -1, -ENOENT);
}
static int sim_do_chmod(const char *path, int mode) {
    (void)path, (void)mode;
    SIM_DO(chmod, -1);
    SIM_RET(chmod, -1, 0);
}

/*--- reading and writing ---*/
/* A planned error is what happened to the connection. */
static ssize_t sim_broken(int id, int fd, int err) {
    struct sim_file *f = sim_conn(fd);
    if (f && err != -EINTR && err != -EAGAIN && err != -ENOMEM && err != -ENOBUFS) {
        sim_reset_to(f->end->other);
        f->end->rst = f->end->dead = true;
        f->end->len = f->end->visible = 0;
        sim_edge(fd);
    }
    return (ssize_t)sim_leave(id, fd, err);
}
static void sim_calm_in(void *arg, uint32_t gen) {
    struct sim_end *e = arg;
    if (e->gen != gen || e->closed) return;
    e->hidden = false;
    sim_edge(e->fd);
}
static void sim_calm_out(void *arg, uint32_t gen) {
    struct sim_end *e = arg;
    if (e->gen != gen || e->closed) return;
    e->out_hidden = false;
    sim_edge(e->fd);
}
static ssize_t sim_in(int id, int fd, void *p, size_t n) {
    struct sim_file *f = sim_conn(fd);
    int err = sim_enter(id);
    if (err < 0) return sim_broken(id, fd, err);
    if (!f) return (ssize_t)sim_leave(id, fd, sim_file(fd) ? -ENOTCONN : -EBADF);
    struct sim_end *e = f->end;
    if (f->kind == SIM_CONN && e->visible && !e->hidden && sim_chance(sim.k.storm)) {
        e->hidden = true;
        sim_post(sim_latency(), sim_calm_in, e, e->gen);
    }
    if (e->visible && !e->hidden) return (ssize_t)sim_leave(id, fd, (int64_t)sim_take(e, p, n));
    if (e->err) {
        err = e->err, e->err = 0;
        return (ssize_t)sim_leave(id, fd, -err);
    }
    if (e->rst || (e->fin && !e->visible)) return (ssize_t)sim_leave(id, fd, 0);
    return (ssize_t)sim_leave(id, fd, e->connecting ? -ENOTCONN : -EAGAIN);
}
static ssize_t sim_out(int id, int fd, const struct iovec *v, size_t count, int flags) {
    struct sim_file *f = sim_conn(fd);
    size_t n = 0, room;
    int err = sim_enter(id);
    if (err < 0) return sim_broken(id, fd, err);
    if (!f) return (ssize_t)sim_leave(id, fd, sim_file(fd) ? -ENOTCONN : -EBADF);
    if (f->kind == SIM_CONN && !(flags & MSG_NOSIGNAL)) SIM_FAIL("a write that may raise SIGPIPE");
    struct sim_end *e = f->end;
    if (e->err) {
        err = e->err, e->err = 0;
        return (ssize_t)sim_leave(id, fd, -err);
    }
    if (e->rst || e->wr_shut) return (ssize_t)sim_leave(id, fd, -EPIPE);
    for (size_t i = 0; i < count; i++) n += v[i].iov_len;
    if (f->kind == SIM_CONN && !e->out_hidden && sim_chance(sim.k.storm)) {
        e->out_hidden = true;
        sim_post(sim_latency(), sim_calm_out, e, e->gen);
    }
    room = e->other->closed ? n : sim_room(e);
    if (e->out_hidden || room == 0) {
        e->nospace = true;
        return (ssize_t)sim_leave(id, fd, -EAGAIN);
    }
    if (sim.k.send_grain && n > 1) n = 1 + sim_size(VT__MIN(n, sim.k.send_grain));
    if (room < n) n = room, e->nospace = true;
    sim_push(e, v, n);
    return (ssize_t)sim_leave(id, fd, (int64_t)n);
}
static ssize_t sim_do_recv(int fd, void *p, size_t n, int flags) {
    (void)flags;
    return sim_in(SIM_recv, fd, p, n);
}
static ssize_t sim_do_send(int fd, const void *p, size_t n, int flags) {
    struct iovec v = {(void *)(uintptr_t)p, n};
    return sim_out(SIM_send, fd, &v, 1, flags);
}
static ssize_t sim_do_sendmsg(int fd, const struct msghdr *m, int flags) {
    return sim_out(SIM_sendmsg, fd, m->msg_iov, (size_t)m->msg_iovlen, flags);
}
static ssize_t sim_do_read(int fd, void *p, size_t n) {
    struct sim_file *f = sim_file(fd);
    if (!f || f->kind != SIM_EVENTFD) return sim_in(SIM_read, fd, p, n);
    int err = sim_enter(SIM_read);
    if (err == 0 && !f->count) err = -EAGAIN;
    if (err < 0) return (ssize_t)sim_leave(SIM_read, fd, err);
    memcpy(p, &f->count, sizeof f->count);
    f->count = 0;
    return (ssize_t)sim_leave(SIM_read, fd, (int64_t)sizeof f->count);
}
static ssize_t sim_do_write(int fd, const void *p, size_t n) {
    struct sim_file *f = sim_file(fd);
    struct iovec v = {(void *)(uintptr_t)p, n};
    uint64_t add = 0;
    if (fd == 2) return sim.saved.write(fd, p, n);
    if (!f || f->kind != SIM_EVENTFD) return sim_out(SIM_write, fd, &v, 1, 0);
    int err = sim_enter(SIM_write);
    if (err < 0) return (ssize_t)sim_leave(SIM_write, fd, err);
    memcpy(&add, p, sizeof add);
    f->count += add;
    sim_edge(fd);
    return (ssize_t)sim_leave(SIM_write, fd, (int64_t)n);
}
static int sim_do_shutdown(int fd, int how) {
    struct sim_file *f = sim_conn(fd);
    SIM_DO(shutdown, fd);
    if (!f || f->end->rst) SIM_RET(shutdown, fd, -ENOTCONN);
    if (how != SHUT_RD) sim_send_fin(f->end);
    SIM_RET(shutdown, fd, 0);
}
static int sim_do_pipe(int fds[2]) {
    SIM_DO(pipe, -1);
    struct sim_end *r = sim_end_new(), *w = sim_end_new();
    sim_pair(r, w);
    r->wr_shut = true;
    fds[0] = sim_fd_of(r, SIM_PIPE);
    fds[1] = fds[0] < 0 ? fds[0] : sim_fd_of(w, SIM_PIPE);
    if (fds[1] >= 0) SIM_RET(pipe, fds[0], 0);
    if (fds[0] >= 0) {
        memset(&sim.files[fds[0]], 0, sizeof sim.files[0]);
        sim.open_fds--;
    }
    sim_end_drop(r), sim_end_drop(w);
    SIM_RET(pipe, -1, -EMFILE);
}

/*--- sockets ---*/
static int sim_do_socket(int family, int type) {
    SIM_DO(socket, -1);
    int fd = sim_fd_new(SIM_SOCKET);
    if (fd >= 0) {
        sim.files[fd].family = family;
        sim.files[fd].type = type;
    }
    SIM_RET(socket, -1, fd);
}
static int sim_addr_port(const struct sockaddr *sa) {
    if (sa->sa_family == AF_INET) return ntohs(((const struct sockaddr_in *)(const void *)sa)->sin_port);
    if (sa->sa_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)(const void *)sa)->sin6_port);
    return 0;
}
static const char *sim_addr_path(const struct sockaddr *sa) {
    return sa->sa_family == AF_UNIX ? ((const struct sockaddr_un *)(const void *)sa)->sun_path : NULL;
}
static void sim_addr_put(struct sockaddr *sa, socklen_t *len, int port, bool un) {
    struct sockaddr_in in;
    if (!sa) return;
    memset(&in, 0, sizeof in);
    in.sin_family = un ? AF_UNIX : AF_INET;
    in.sin_port = htons((uint16_t)port);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *len = un ? (socklen_t)sizeof in.sin_family : (socklen_t)sizeof in;
    memcpy(sa, &in, *len);
}
static int sim_do_bind(int fd, const struct sockaddr *sa, socklen_t len) {
    struct sim_file *f = sim_file(fd);
    const char *path = sim_addr_path(sa);
    (void)len;
    SIM_DO(bind, fd);
    if (!f || f->kind != SIM_SOCKET) SIM_RET(bind, fd, -EINVAL);
    f->port = sim_addr_port(sa);
    if (path) snprintf(f->path, sizeof f->path, "%s", path);
    for (int i = 0; i < SIM_FDS; i++) {
        const struct sim_file *o = &sim.files[i];
        if (i == fd || !o->bound || (path ? strcmp(o->path, path) != 0 : !f->port || o->port != f->port))
            continue;
        SIM_RET(bind, fd, -EADDRINUSE);
    }
    f->bound = true;
    if (!path && !f->port) f->port = sim.next_port++;
    SIM_RET(bind, fd, 0);
}
static int sim_do_listen(int fd, int backlog) {
    struct sim_file *f = sim_file(fd);
    SIM_DO(listen, fd);
    if (!f || f->kind != SIM_SOCKET) SIM_RET(listen, fd, -EINVAL);
    for (int i = 0; i < SIM_LISTENERS && !f->queue; i++) {
        bool used = false;
        for (int j = 0; j < SIM_FDS; j++) used = used || sim.files[j].queue == sim.queues[i];
        if (!used) f->queue = sim.queues[i];
    }
    if (!f->queue) sim_stuck("too many listeners");
    f->kind = SIM_LISTENER;
    f->backlog = backlog;
    SIM_RET(listen, fd, 0);
}
static void sim_calm_listener(void *arg, uint32_t gen) {
    const struct sim_file *f = arg;
    (void)gen;
    if (f->kind == SIM_LISTENER && f->nqueue) sim_edge((int)(f - sim.files));
}
static int sim_do_accept(int fd, struct sockaddr *sa, socklen_t *len) {
    struct sim_file *f = sim_file(fd);
    int err = sim_enter(SIM_accept);
    if (err == -ECONNABORTED && f && f->nqueue) { /* the connection is gone, indeed */
        sim_reset_to(f->queue[0]->other);
        sim_end_drop(f->queue[0]);
        memmove(f->queue, f->queue + 1, (size_t)--f->nqueue * sizeof *f->queue);
    }
    if (err < 0) SIM_RET(accept, fd, err);
    if (!f || f->kind != SIM_LISTENER) SIM_RET(accept, fd, -EINVAL);
    if (f->nqueue && sim_chance(sim.k.storm / 4)) { /* it comes a little later */
        sim_post(sim_latency(), sim_calm_listener, f, 0);
        SIM_RET(accept, fd, -EAGAIN);
    }
    if (!f->nqueue) SIM_RET(accept, fd, -EAGAIN);
    int i = (int)sim_below((uint64_t)f->nqueue);
    struct sim_end *e = f->queue[i];
    int r = sim_fd_of(e, SIM_CONN);
    if (r < 0) SIM_RET(accept, fd, r);
    memmove(f->queue + i, f->queue + i + 1, (size_t)(--f->nqueue - i) * sizeof *f->queue);
    sim_addr_put(sa, len, e->port, e->un);
    SIM_RET(accept, fd, r);
}
static void sim_connected(void *arg, uint32_t gen) {
    struct sim_end *e = arg;
    if (e->gen != gen || !e->connecting) return;
    e->connecting = false;
    if (e->err) e->rst = true;
    sim_edge(e->fd);
}
/* Where the other side is found: 0, or why not. */
static int sim_reach(struct sim_end *e, const struct sockaddr *sa) {
    int port = sim_addr_port(sa), fd = sim_listener(port, sim_addr_path(sa));
    for (int i = 0; i < sim.nservices; i++) {
        const struct sim_service *s = &sim.services[i];
        if (s->port != port || sim_addr_path(sa)) continue;
        if (s->err) return s->err;
        struct sim_peer *p = sim_peer_new(s->steps, s->nsteps);
        p->end = sim_end_new();
        p->end->peer = p;
        p->end->limit = sim.k.send_buffer ? sim.k.send_buffer : 65536;
        p->t_open = sim.now;
        sim_pair(p->end, e);
        sim_peer_kick(p, sim_latency());
        return 0;
    }
    if (fd < 0 || sim.files[fd].nqueue == VT__MIN(SIM_QUEUE, sim.files[fd].backlog)) return ECONNREFUSED;
    struct sim_end *o = sim_end_new();
    sim_pair(e, o);
    sim_queue(fd, o);
    return 0;
}
static int sim_do_connect(int fd, const struct sockaddr *sa, socklen_t len) {
    struct sim_file *f = sim_file(fd);
    (void)len;
    SIM_DO(connect, fd);
    if (!f || f->kind != SIM_SOCKET) SIM_RET(connect, fd, -EISCONN);
    struct sim_end *e = sim_end_new();
    int err = sim_reach(e, sa);
    if (err > SIM_DEAF && (sim_addr_path(sa) || sim_chance(500))) {
        sim_end_drop(e);
        SIM_RET(connect, fd, -err);
    }
    f->kind = SIM_CONN;
    f->end = e;
    e->fd = fd;
    if (err == 0 && (sim_addr_path(sa) || sim_chance(300))) SIM_RET(connect, fd, 0);
    e->connecting = true;
    e->err = err > SIM_DEAF ? err : 0;
    if (err != SIM_DEAF) sim_post(sim_latency() + 1, sim_connected, e, e->gen);
    SIM_RET(connect, fd, sim_chance(sim.k.eintr) ? -EINTR : -EINPROGRESS);
}
static int sim_do_getsockname(int fd, struct sockaddr *sa, socklen_t *len) {
    const struct sim_file *f = sim_file(fd);
    SIM_DO(getsockname, fd);
    if (!f) SIM_RET(getsockname, fd, -EBADF);
    sim_addr_put(sa, len, f->end ? f->end->local_port : f->port, f->end ? f->end->un : f->path[0] != 0);
    SIM_RET(getsockname, fd, 0);
}
static int sim_do_getpeername(int fd, struct sockaddr *sa, socklen_t *len) {
    const struct sim_file *f = sim_conn(fd);
    SIM_DO(getpeername, fd);
    if (!f || f->end->rst) SIM_RET(getpeername, fd, -ENOTCONN);
    sim_addr_put(sa, len, f->end->port, f->end->un);
    SIM_RET(getpeername, fd, 0);
}
static int sim_do_setsockopt(int fd, int level, int opt, const void *p, socklen_t n) {
    struct sim_file *f = sim_file(fd);
    SIM_DO(setsockopt, fd);
    if (!f) SIM_RET(setsockopt, fd, -EBADF);
    if (f->end && level == SOL_SOCKET && opt == SO_LINGER) {
        struct linger l;
        memcpy(&l, p, VT__MIN((size_t)n, sizeof l));
        f->end->linger0 = l.l_onoff && !l.l_linger;
    }
    SIM_RET(setsockopt, fd, 0);
}
static int sim_do_getsockopt(int fd, int level, int opt, void *p, socklen_t *n) {
    struct sim_file *f = sim_conn(fd);
    SIM_DO(getsockopt, fd);
    if (!f || level != SOL_SOCKET || opt != SO_ERROR || *n < sizeof(int)) SIM_RET(getsockopt, fd, -EINVAL);
    memcpy(p, &f->end->err, sizeof(int));
    f->end->err = 0;
    SIM_RET(getsockopt, fd, 0);
}

/*--- waiting ---*/
/* When a wait ends for no reason. */
static int64_t sim_early(int64_t until) {
    return VT__MIN(until, sim.now + 1 + (int64_t)sim_below(5 * (uint64_t)VT_MS));
}
static int sim_do_poll(struct pollfd *fds, unsigned n, int ms) {
    int64_t until = ms < 0 ? INT64_MAX : sim.now + ms * VT_MS;
    SIM_DO(poll, (int)n);
    for (;;) {
        int got = 0;
        unsigned invented = sim_chance(sim.k.invent) ? (unsigned)sim_below(n) : n;
        for (unsigned i = 0; i < n; i++) {
            fds[i].revents = 0;
            if (fds[i].fd < 0) continue;
            uint32_t m = sim_file(fds[i].fd) ? sim_mask(fds[i].fd) : POLLNVAL;
            if (i == invented && !(sim.files[fds[i].fd].end && sim.files[fds[i].fd].end->connecting))
                m |= POLLIN | POLLOUT;
            fds[i].revents = (short)(m & ((unsigned short)fds[i].events |
                                          (uint32_t)(POLLHUP | POLLERR | POLLNVAL)));
            got += fds[i].revents != 0;
        }
        if (got || ms == 0) SIM_RET(poll, (int)n, got);
        if (ms > 0 && sim_chance(sim.k.invent)) until = sim_early(until);
        if (!sim_pass(until)) SIM_RET(poll, (int)n, 0);
    }
}
#if defined(__linux__)
static int sim_do_epoll_create(void) {
    SIM_DO(epoll_create, -1);
    SIM_RET(epoll_create, -1, sim_fd_new(SIM_EPOLL));
}
static int sim_do_eventfd(void) {
    SIM_DO(eventfd, -1);
    SIM_RET(eventfd, -1, sim_fd_new(SIM_EVENTFD));
}
static int sim_do_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev) {
    struct sim_file *f = sim_file(fd);
    int err = sim_enter(SIM_epoll_ctl);
    if (err < 0 && op != EPOLL_CTL_DEL) /* which needs no memory, and cannot fail */
        return (int)sim_leave(SIM_epoll_ctl, fd, err);
    if (!sim_file(ep) || sim_file(ep)->kind != SIM_EPOLL || !f) SIM_RET(epoll_ctl, fd, -EBADF);
    if (f->kind == SIM_NULL) SIM_RET(epoll_ctl, fd, -EPERM);
    if (op == EPOLL_CTL_ADD && f->ep >= 0) SIM_RET(epoll_ctl, fd, -EEXIST);
    if (op != EPOLL_CTL_ADD && f->ep != ep) SIM_RET(epoll_ctl, fd, -ENOENT);
    if (op == EPOLL_CTL_DEL) {
        f->ep = -1;
    } else {
        f->ep = ep;
        f->events = ev->events;
        f->data = ev->data.u64;
        f->off = false;
        if (sim_mask(fd)) sim_edge(fd);
    }
    (void)sim_leave(SIM_epoll_ctl, fd, op);
    return 0;
}
static void sim_invent(int ep) {
    if (!sim_chance(sim.k.invent)) return;
    for (int n = 0, from = (int)sim_below(64); n < 64; n++) {
        struct sim_file *f = &sim.files[(from + n) % 64];
        if (f->kind == SIM_FREE || f->ep != ep || f->ready || f->off) continue;
        if (f->end && f->end->connecting) continue; /* no kernel says so of one that is not connected */
        sim_edge((from + n) % 64);
        f->count |= f->kind == SIM_CONN || f->kind == SIM_LISTENER ? 1 : 0; /* reported whatever there is */
        return;
    }
}
/* What is ready, in any order. */
static int sim_harvest(int ep, struct epoll_event *ev, int cap) {
    int n = 0;
    if (sim.files[ep].ep < 0 && sim_chance(sim.k.lazy))
        cap = 1; /* of a set in a set fewer than asked for are all */
    for (int left = sim.nready; left > 0 && n < cap; left--) {
        int i = (int)sim_below((uint64_t)left), fd = sim.ready[i];
        struct sim_file *f = &sim.files[fd];
        sim.ready[i] = sim.ready[left - 1];
        sim.ready[left - 1] = fd; /* looked at: behind those that are not */
        if (f->ep != ep) {
            if (f->ep >= 0) continue;
        } else {
            uint32_t m = sim_mask(fd);
            if (f->kind != SIM_EVENTFD && f->count) m |= POLLIN | (uint32_t)sim_below(2) * POLLOUT;
            if (f->kind != SIM_EVENTFD) f->count = 0;
            m &= f->events | EPOLLHUP | EPOLLERR;
            if (m && !f->off) {
                ev[n].events = m;
                ev[n++].data.u64 = f->data;
                if (f->events & EPOLLONESHOT) f->off = true;
                else if (!(f->events & EPOLLET)) continue; /* stays in the list */
            }
        }
        f->ready = false;
        sim.ready[left - 1] = sim.ready[--sim.nready];
    }
    return n;
}
static int sim_epoll(int id, int ep, struct epoll_event *ev, int cap, int64_t until) {
    for (;;) {
        sim_invent(ep);
        int n = sim_harvest(ep, ev, cap);
        if (n || until <= sim.now) return (int)sim_leave(id, ep, n);
        if (until < INT64_MAX && sim_chance(sim.k.invent)) until = sim_early(until);
        if (!sim_pass(until)) until = 0;
    }
}
static int sim_do_epoll_wait(int ep, struct epoll_event *ev, int cap, int ms) {
    if (sim_file(ep) && sim_file(ep)->ep >= 0 && ms == 0) /* no wait that anything could end */
        return sim_epoll(SIM_epoll_wait, ep, ev, cap, sim.now);
    SIM_DO(epoll_wait, ep);
    return sim_epoll(SIM_epoll_wait, ep, ev, cap, ms < 0 ? INT64_MAX : ms ? sim.now + ms * VT_MS : 0);
}
static int sim_do_epoll_pwait2(int ep, struct epoll_event *ev, int cap, const int64_t ts[2]) {
    SIM_DO(epoll_pwait2, ep);
    return sim_epoll(SIM_epoll_pwait2, ep, ev, cap, sim.now + ts[0] * VT_SEC + ts[1]);
}
static ssize_t sim_do_process_madvise(const struct iovec *v, size_t n, int advice) {
    (void)advice;
    SIM_DO(process_madvise, -1);
    size_t all = 0;
    for (size_t i = 0; i < n; i++) all += v[i].iov_len;
    return (ssize_t)sim_leave(SIM_process_madvise, -1, (int64_t)all);
}
static ssize_t sim_do_getrandom(void *p, size_t n) {
    SIM_DO(getrandom, -1);
    for (size_t i = 0; i < n; i++) ((unsigned char *)p)[i] = (unsigned char)sim_rand();
    return (ssize_t)sim_leave(SIM_getrandom, -1, (int64_t)n);
}
#endif

/*--- memory, time, threads, signals, names ---*/
static void *sim_do_realloc(void *p, size_t n) {
    if (sim_hit(SIM_realloc)) return NULL;
    void *r = sim.saved.realloc(p, n);
    if (r && !p) sim.allocs++;
    return r;
}
static void sim_do_free(void *p) {
    sim.allocs--;
    sim.saved.free(p);
}
/* Mappings are kept between runs: their pages cost more than all else. */
static void *sim_do_mmap(size_t n) {
    if (sim_enter(SIM_mmap) < 0) return NULL;
    sim.maps++;
    for (size_t i = 0; i < VT__COUNT(sim.cached); i++)
        if (sim.cached[i] && sim.cached_n[i] == n) {
            void *p = sim.cached[i];
            sim.cached[i] = NULL;
            return p;
        }
    return vt__plat_sys_mmap(n);
}
static int sim_do_munmap(void *p, size_t n) {
    sim.maps--; /* nobody can do anything about one that fails */
    SIM_DO(munmap, -1);
    for (size_t i = 0; i < VT__COUNT(sim.cached); i++)
        if (!sim.cached[i]) {
            sim.cached[i] = p, sim.cached_n[i] = n;
            return 0;
        }
    return vt__plat_sys_munmap(p, n);
}
/* Guards are taken to be there: nothing overflows here, and the pages go on to the next run. */
static int sim_do_mprotect(void *p, size_t n, int prot) {
    (void)p, (void)n, (void)prot;
    SIM_DO(mprotect, -1);
    SIM_RET(mprotect, -1, 0);
}
static int sim_do_madvise(void *p, size_t n, int advice) {
    (void)p, (void)n;
    SIM_DO(madvise, -1);
    SIM_RET(madvise, -1, advice < 0 ? -EINVAL : 0);
}
static int64_t sim_do_clock(int id) {
    sim.now += 20;
    return id == CLOCK_REALTIME ? SIM_EPOCH + (sim.now - SIM_START) + sim.wall_step : sim.now;
}
static void sim_do_sleep(int64_t ns) {
    int64_t until = sim.now + ns;
    while (sim_pass(until)) continue;
}
static int sim_do_thread(pthread_t *t, void *(*fn)(void *), void *arg) {
    (void)t, (void)fn, (void)arg;
    SIM_DO(thread, -1);
    SIM_RET(thread, -1, -EAGAIN); /* there is one thread in this world */
}
static void sim_do_join(pthread_t t) {
    (void)t;
    SIM_FAIL("a thread is joined that there is not");
}
static int sim_do_affinity(size_t size, unsigned long *mask) {
    (void)size;
    SIM_DO(affinity, -1);
    mask[0] = 1;
    SIM_RET(affinity, -1, 8);
}
static int sim_do_mincore(void *p, size_t n, unsigned char *vec) {
    (void)p;
    SIM_DO(mincore, -1);
    memset(vec, 1, n / 4096);
    SIM_RET(mincore, -1, 0);
}
static int sim_do_tgkill(int tid, int sig) { /* there is no other thread to signal */
    (void)tid, (void)sig;
    SIM_DO(tgkill, -1);
    SIM_RET(tgkill, -1, -ESRCH);
}
static int sim_do_gettid(void) {
    SIM_DO(gettid, -1);
    SIM_RET(gettid, -1, 1);
}
static int sim_do_futex(uint32_t *word, int op, uint32_t value, const long ts[2]) {
    (void)word, (void)op, (void)value, (void)ts;
    SIM_DO(futex, -1);
    SIM_RET(futex, -1, -ENOSYS);
}
/* There are no datagrams. */
static int sim_do_recvmmsg(int fd, struct vt__plat_mmsg *v, unsigned n, int fl) {
    (void)v, (void)n, (void)fl;
    SIM_DO(recvmmsg, fd);
    SIM_RET(recvmmsg, fd, -ENOSYS);
}
static int sim_do_fstat(int fd, struct stat *st) {
    SIM_DO(fstat, fd);
    struct sim_file *f = sim_file(fd);
    if (!f || f->kind != SIM_NULL) SIM_RET(fstat, fd, -EBADF);
    sim_stat_disk(st);
    SIM_RET(fstat, fd, 0);
}
/* Half of the time it is in the cache. */
static ssize_t sim_do_pread_now(int fd, const struct iovec *v, size_t n, int64_t off) {
    int64_t all = 0, r = 0, want = 0;
    SIM_DO(pread_now, fd);
    if (sim_below(2)) SIM_RET(pread_now, fd, -EAGAIN);
    for (size_t i = 0; i < n && r >= 0 && all == want; i++) {
        r = sim_do_pread(fd, v[i].iov_base, v[i].iov_len, off + all);
        want += (int64_t)v[i].iov_len;
        all += VT__MAX(r, 0);
    }
    SIM_RET(pread_now, fd, (int)(all ? all : r));
}
static ssize_t sim_do_sendfile(int to, int fd, int64_t off, size_t n) {
    (void)fd, (void)off, (void)n;
    SIM_DO(sendfile, to);
    SIM_RET(sendfile, to, -EINVAL);
}
static int sim_do_sendmmsg(int fd, struct vt__plat_mmsg *v, unsigned n, int fl) {
    (void)v, (void)n, (void)fl;
    SIM_DO(sendmmsg, fd);
    SIM_RET(sendmmsg, fd, -ENOSYS);
}
static int64_t sim_do_cputime(int tid) {
    (void)tid;
    return sim.now;
}
static int sim_do_slice(int tid, int64_t ns) {
    (void)tid;
    (void)ns;
    return 0;
}
static int sim_do_sigaction(int sig, const struct vt__plat_sa *act, struct vt__plat_sa *old) {
    SIM_DO(sigaction, sig);
    if (old) *old = sim.acts[sig];
    if (act) sim.acts[sig] = *act;
    SIM_RET(sigaction, sig, 0);
}
/* Delivers a signal, in the middle of whatever call this is. */
static VT__UNUSED void sim_signal(int sig) {
    const struct vt__plat_sa *sa = &sim.acts[sig];
    if (sa->flags & VT__SA_SIGINFO) sa->fn.action(sig, NULL, NULL);
    else if (sa->fn.handler) sa->fn.handler(sig);
    else SIM_FAIL("a signal that nobody handles");
}
/* To itself: what the default action would have ended. */
static int sim_do_kill(int sig) {
    SIM_DO(kill, sig);
    sim.killed = sim.acts[sig].fn.handler ? 0 : sig;
    SIM_RET(kill, sig, 0);
}
static int sim_do_sigaltstack(const struct vt__plat_ss *ss, struct vt__plat_ss *old) {
    (void)ss;
    SIM_DO(sigaltstack, -1);
    if (old) old->flags = 2;
    SIM_RET(sigaltstack, -1, 0);
}
/* "one.test", "localhost" and dotted quads: one address; "two.test": two; others are not known. */
static int sim_do_resolve(const char *host, const char *port, const struct vt__plat_ai *hints,
                          struct vt__plat_ai **out) {
    struct room {
        struct vt__plat_ai ai[2];
        struct sockaddr_in in[2];
    };
    static const int errors[] = {-3, -10, -11, -4};
    int quad[4], err = sim_enter(SIM_resolve), n = 0;
    if (err < 0) return sim.f[SIM_resolve].err ? -sim.f[SIM_resolve].err : errors[sim_below(4)];
    if (host && sscanf(host, "%d.%d.%d.%d", &quad[0], &quad[1], &quad[2], &quad[3]) == 4) n = 1;
    else if (hints->flags & VT__IO_AI_NUMERIC) return -2;
    else if (!host || !strcmp(host, "localhost") || !strcmp(host, "one.test")) n = 1;
    else if (!strcmp(host, "two.test")) n = 2;
    else return strcmp(host, "again.test") ? -2 : -3;
    struct room *r = calloc(1, sizeof *r);
    for (int i = 0; i < n; i++) {
        r->in[i].sin_family = AF_INET;
        r->in[i].sin_port = htons((uint16_t)(atoi(port) + i));
        r->ai[i].family = AF_INET;
        r->ai[i].addrlen = sizeof r->in[i];
        r->ai[i].addr = (struct sockaddr *)(void *)&r->in[i];
        r->ai[i].next = i + 1 < n ? &r->ai[i + 1] : NULL;
    }
    *out = r->ai;
    return 0;
}
static void sim_do_resolve_free(struct vt__plat_ai *ai) { free(ai); }

/*--- begin and end ---*/
static VT__UNUSED void sim_fault(int id, int64_t nth, bool onward, int err) {
    sim.f[id] = (struct sim_faults){nth, onward, 0, err};
}
static VT__UNUSED void sim_fault_rate(int id, int per_mille) {
    sim.f[id] = (struct sim_faults){0, false, per_mille, 0};
}
/* Counts, hash, generator and time as after sim_begin; what is open stays. */
static void sim_restart(uint64_t seed) {
    sim.seed = sim.rng = seed;
    sim.hash = UINT64_C(0xcbf29ce484222325);
    sim.all_calls = sim.faults = 0;
    memset(sim.calls, 0, sizeof sim.calls);
    memset(sim.f, 0, sizeof sim.f);
    memset(&sim.k, 0, sizeof sim.k);
    sim.npeers = sim.peers_done = sim.idle_calls = 0;
    sim.max_calls = 20000000;
    sim.horizon = INT64_C(4000) * VT_SEC;
    sim.k.latency = 200 * SIM_US;
}
static void sim_begin(uint64_t seed) {
    sim_restart(seed);
    sim.now = SIM_START;
    sim.wall_step = sim.stall_ns = sim.killed = 0;
    sim.allocs = sim.maps = 0;
    sim.nheap = sim.nready = sim.nends = sim.nservices = sim.open_fds = sim.depth = 0;
    sim.on_idle = NULL;
    sim.on_peer_done = NULL;
    sim.next_port = 40000;
    sim.disk_len = 0;
    memset(sim.files, 0, sizeof sim.files);
    for (int i = 0; i < SIM_FDS; i++) sim.files[i].ep = -1;
    for (int i = 0; i < SIM_ENDS; i++) sim.ends[i].used = false, sim.ends[i].gen++;
    memset(sim.acts, 0, sizeof sim.acts);
    sim.verbose = getenv("SIM_TRACE") != NULL;
    if (!sim.running) sim.saved = vt__plat;
    sim.running = true;
#if VTHTTP_HTTP
    memset(&vt__link_date_now, 0, sizeof vt__link_date_now);
#endif
#define SIM_SET(name, ret, params, args, expr) vt__plat.name = sim_do_##name;
#define SIM_SET2(name, ret, params, args) vt__plat.name = sim_do_##name;
    VT__PLAT_CALLS(SIM_SET)
    VT__PLAT_OTHERS(SIM_SET2)
}
/* The sockets that @io keeps for their type: nobody looks at them any more. */
static void sim_drop_socks(void) {
    for (vt_sock *s = vt__io_g.free, *next; s; s = next) {
        next = s->next;
        vt__mem_free(s);
    }
    vt__io_g.free = NULL;
}
/* Lets happen what is on its way; the program is over. */
static VT__UNUSED void sim_settle(void) {
    while (sim.nheap) (void)sim_pass(INT64_MAX);
}
/* What is left over: 0 when all was given back. */
static int sim_end(void) {
    sim_drop_socks();
    int left = sim.open_fds || sim.allocs || sim.maps;
    if (left)
        printf("simulation of seed 0x%llx leaves %d descriptors, %lld allocations, %lld mappings\n",
               (unsigned long long)sim.seed, sim.open_fds, (long long)sim.allocs, (long long)sim.maps);
    if (sim.open_fds) SIM_FAIL("descriptors are left open");
    if (sim.allocs) SIM_FAIL("memory is left over");
    if (sim.maps) SIM_FAIL("mappings are left over");
    vt__plat = sim.saved;
    sim.running = false;
    return left;
}
/* How a seed plays: from tame to wild. */
static VT__UNUSED void sim_knobs(void) {
    static const uint32_t grains[] = {0, 0, 1, 1, 2, 7, 64, 1460}, buffers[] = {0, 0, 1, 16, 400, 5000};
    static const int rates[] = {0, 0, 0, 20, 100, 300};
    struct sim_knobs *k = &sim.k;
    k->grain = grains[sim_below(VT__COUNT(grains))];
    k->send_grain = grains[sim_below(VT__COUNT(grains))];
    k->read_grain = grains[sim_below(VT__COUNT(grains))];
    k->send_buffer = buffers[sim_below(VT__COUNT(buffers))];
    k->recv_buffer = buffers[sim_below(VT__COUNT(buffers))];
    k->latency = (int64_t[]){0, 1000, 50000, 2000000}[sim_below(4)];
    k->storm = rates[sim_below(VT__COUNT(rates))];
    k->invent = rates[sim_below(VT__COUNT(rates))];
    k->eintr = rates[sim_below(VT__COUNT(rates))];
    k->lazy = rates[sim_below(VT__COUNT(rates))];
}
#endif
