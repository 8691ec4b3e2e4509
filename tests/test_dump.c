/* tsan */
/* variants: default asan tsan poll ucontext clang */
/* What virtual threads do, written down; the monitor: stalls, deadlocks, dumps on a signal. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "tmp.h"
#include <sys/wait.h>

/*--- what came, line by line ---*/
static struct {
    char text[1 << 20];
    size_t n;
    pthread_mutex_t lock;
} got = {.lock = PTHREAD_MUTEX_INITIALIZER};
static void got_clear(void) {
    pthread_mutex_lock(&got.lock);
    got.n = 0;
    got.text[0] = 0;
    pthread_mutex_unlock(&got.lock);
}
static void got_line(void *ctx, const char *line) {
    size_t n = strlen(line);
    (void)ctx;
    pthread_mutex_lock(&got.lock);
    if (got.n + n + 2 < sizeof got.text) {
        memcpy(got.text + got.n, line, n);
        got.text[got.n + n] = '\n';
        got.n += n + 1;
        got.text[got.n] = 0;
    }
    pthread_mutex_unlock(&got.lock);
}
static int rude_told = -1; /* a pipe's end: who blocks a worker waits for the report of it */
static int overs, over_ms,
    over_most; /* stalls that have ended, by the log, and how long they lasted: whole ms */
static void got_log(void *ctx, int level, const char *line) {
    const char *over = strstr(line, "goes on after ");
    (void)level;
    if (over) __atomic_fetch_add(&over_ms, atoi(over + 14), __ATOMIC_SEQ_CST);
    if (over && atoi(over + 14) > over_most) __atomic_store_n(&over_most, atoi(over + 14), __ATOMIC_SEQ_CST);
    if (over) __atomic_fetch_add(&overs, 1, __ATOMIC_SEQ_CST);
    got_line(ctx, line);
    int told = __atomic_load_n(&rude_told, __ATOMIC_SEQ_CST);
    if (told >= 0 && strstr(line, "has not switched for") && strstr(line, "'rude'"))
        CHECK_EQ(write(told, "", 1), 1);
}
/* How many lines hold both texts (b may be NULL). */
static int lines_with(const char *a, const char *b) {
    int n = 0;
    char line[8192];
    pthread_mutex_lock(&got.lock);
    for (const char *p = got.text, *end; (end = strchr(p, '\n')) != NULL; p = end + 1) {
        snprintf(line, sizeof line, "%.*s", (int)(end - p), p);
        n += strstr(line, a) && (!b || strstr(line, b));
    }
    pthread_mutex_unlock(&got.lock);
    return n;
}
/* In a dump that is taken again until it is so, or 10 s have passed. */
static bool dump_has(const char *a, const char *b) {
    int64_t end = vt_now() + 10 * VT_SEC;
    do {
        got_clear();
        int r = vt_dump_to(got_line, NULL, 0);
        if (r < 0 && r != -EBUSY) return false;
        if (lines_with(a, b)) return true;
        vt_sleep_ms(1);
    } while (vt_now() < end);
    printf("no \"%s\" with \"%s\" in:\n%s", a, b ? b : "", got.text);
    return false;
}
static bool log_has(const char *a, const char *b) {
    int64_t end = vt_now() + 10 * VT_SEC;
    while (!lines_with(a, b) && vt_now() < end) vt_sleep_ms(1);
    return lines_with(a, b) > 0;
}

/*--- a strict reader of JSON (RFC 8259): where the value at p ends, NULL: it is none ---*/
static const char *json_value(const char *p, int depth);
static const char *json_space(const char *p) {
    while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r') p++;
    return p;
}
static const char *json_string(const char *p) {
    if (*p++ != '"') return NULL;
    for (; *p != '"'; p++) {
        if ((unsigned char)*p < 0x20) return NULL;
        if (*p == '\\' && !strchr("\"\\/bfnrt", *++p)) return NULL;
    }
    return p + 1;
}
static const char *json_list(const char *p, char end, int depth) {
    p = json_space(p + 1);
    if (*p == end) return p + 1;
    for (;; p = json_space(p + 1)) {
        if (end == '}') {
            if ((p = json_string(p)) == NULL || *(p = json_space(p)) != ':') return NULL;
            p = json_space(p + 1);
        }
        if ((p = json_value(p, depth + 1)) == NULL) return NULL;
        p = json_space(p);
        if (*p == end) return p + 1;
        if (*p != ',') return NULL;
    }
}
static const char *json_value(const char *p, int depth) {
    if (depth > 20) return NULL;
    if (*p == '{') return json_list(p, '}', depth);
    if (*p == '[') return json_list(p, ']', depth);
    if (*p == '"') return json_string(p);
    if (!strncmp(p, "true", 4)) return p + 4;
    if (!strncmp(p, "false", 5)) return p + 5;
    if (*p == '-') p++;
    if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9')) return NULL;
    while (*p >= '0' && *p <= '9') p++;
    return p;
}
static bool json_good(const char *text) {
    const char *p = json_value(json_space(text), 0);
    return p && !*json_space(p);
}
TEST(the_reader_of_json_is_strict) {
    CHECK(json_good("{\"a\":[1,-2,\"x\\\"y\"],\"b\":{},\"c\":true}\n"));
    CHECK(!json_good("{\"a\":[1,]}"));
    CHECK(!json_good("{\"a\":1,}"));
    CHECK(!json_good("{\"a\" 1}"));
    CHECK(!json_good("[,1]"));
    CHECK(!json_good("[1] 2"));
    CHECK(!json_good("[\"a\nb\"]"));
    CHECK(!json_good("[01]"));
    CHECK(!json_good("[1"));
}

static const vt_cfg *cfg_of(int workers) {
    static vt_cfg cfg;
    cfg = (vt_cfg){.workers = workers, .stall_ms = VT_NONE, .deadlock = VT_NONE};
    return &cfg;
}

/*--- every kind of wait ---*/
static struct {
    vt_mutex m;
    vt_cond c;
    vt_sem s;
    vt_wg g;
    vt_once o;
    vt_chan *in, *out;
    vt_task *sleeper;
    int pipe[2], idle, quit;
    uint32_t jobs;
} w;
static int w_sleep(void *arg) {
    (void)arg;
    vt_name_set("sleeper");
    return vt_sleep_ms(1000000);
}
static int w_mutex(void *arg) {
    vt_name_set(arg ? "wants-until" : "wants-lock");
    int r = arg ? vt_mutex_lock_until(&w.m, vt_now() + 1000 * VT_SEC) : vt_mutex_lock(&w.m);
    if (r == 0) vt_mutex_unlock(&w.m);
    return r;
}
static int w_cond(void *arg) {
    vt_mutex m = {0};
    (void)arg;
    vt_name_set("cond");
    vt_mutex_lock(&m);
    int r = vt_cond_wait(&w.c, &m);
    vt_mutex_unlock(&m);
    return r;
}
static int w_sem(void *arg) {
    (void)arg;
    vt_name_set("sem");
    return vt_sem_acquire(&w.s);
}
static int w_wg(void *arg) {
    (void)arg;
    vt_name_set("wg");
    return vt_wg_wait(&w.g);
}
static int w_once_run(void *arg) {
    (void)arg;
    return vt_sem_acquire(&w.s);
}
static int w_once(void *arg) {
    (void)arg;
    vt_name_set("once");
    return vt_once_do(&w.o, w_once_run, NULL);
}
static int w_recv(void *arg) {
    int x;
    (void)arg;
    vt_name_set("recv");
    return vt_chan_recv(w.in, &x);
}
static int w_send(void *arg) {
    int x = 1;
    (void)arg;
    vt_name_set("send");
    return vt_chan_send(w.out, &x);
}
static int w_select(void *arg) {
    int x = 1;
    vt_case cases[4] = {{.recv = w.in, .value = &x},
                        {.send = w.out, .value = &x},
                        {.fd = w.idle, .events = VT_READ},
                        {.at = vt_now() + 1000 * VT_SEC}};
    (void)arg;
    vt_name_set("select");
    return vt_select(cases, 4);
}
static int w_await(void *arg) {
    (void)arg;
    vt_name_set("await");
    return vt_await(w.sleeper, NULL);
}
static int w_fd(void *arg) {
    int events = (int)(intptr_t)arg;
    vt_name_set(events == VT_READ ? "fd-read" : "fd-both");
    return vt_wait_fd(w.pipe[events == VT_READ ? 0 : 1], events, 0);
}
static int w_scope_child(void *arg) {
    vt_name_set(arg ? "in-scope" : "nameless");
    return vt_sleep_ms(1000000);
}
static int w_scope(void *arg) {
    vt_scope s;
    (void)arg;
    vt_name_set("scope");
    vt_scope_open(&s, 0, 0);
    vt_scope_go(&s, w_scope_child, NULL);
    vt_scope_go(&s, w_scope_child, &s);
    return vt_scope_wait(&s);
}
static int w_job(void *arg) {
    (void)arg;
    __atomic_fetch_add(&w.jobs, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&w.quit, __ATOMIC_ACQUIRE)) {
        struct timespec ts = {0, 1000000};
        nanosleep(&ts, NULL);
    }
    return 0;
}
static int w_block(void *arg) {
    vt_name_set(arg ? "block-2" : "block-1");
    return vt_blocking(w_job, NULL, NULL);
}
/* What lines say of those who wait. */
static const char *const waits[][2] = {
    {"\"cond\" state=waiting", "wait=condition object=0x"},
    {"\"sem\" state=waiting", "wait=semaphore object=0x"},
    {"\"wg\" state=waiting", "wait=wait group object=0x"},
    {"\"once\" state=waiting", "wait=once object=0x"},
    {"\"recv\" state=waiting", "wait=channel object=0x"},
    {"\"recv\"", " for=receive"},
    {"\"send\" state=waiting wait=channel", " for=send"},
    {"\"await\" state=waiting wait=task object=0x", "awaited_site=\"tests/test_dump.c:"},
    {"\"fd-read\" state=waiting", "wait=descriptor fd="},
    {"\"fd-read\"", " for=read age_ms="},
    {"\"fd-both\"", " for=read or write age_ms="},
    {"\"scope\" state=waiting wait=scope", "children=2"},
    {"\"in-scope\" state=waiting wait=sleep", " scope=0x"},
    {"\"block-2\" state=waiting", "wait=blocking stage=queued"}};
static int waits_main(void *arg) {
    vt_task *t[20];
    int n = 0;
    bool any = arg != NULL;
    char text[64];
    memset(&w, 0, sizeof w);
    CHECK_EQ(pipe(w.pipe), 0);
    while (fcntl(w.pipe[1], F_SETFL, O_NONBLOCK) == 0 && write(w.pipe[1], text, sizeof text) > 0) continue;
    int idle[2], idle2[2], full = w.pipe[0];
    CHECK_EQ(pipe(idle), 0);
    CHECK_EQ(pipe(idle2), 0);
    w.pipe[0] = idle[0]; /* nothing to read there, no room here */
    w.idle = idle2[0];
    w.in = vt_chan_new(sizeof(int), 0, 0);
    w.out = vt_chan_new(sizeof(int), 0, 0);
    vt_wg_add(&w.g, 1);
    vt_mutex_lock(&w.m);
    vt_deadline_set(vt_now() + 500 * VT_SEC);
    t[n++] = w.sleeper = any ? vt_async_any(w_sleep, NULL) : vt_async(w_sleep, NULL);
#define GO(fn, arg) (t[n++] = any ? vt_async_any(fn, arg) : vt_async(fn, arg))
    GO(w_mutex, NULL);
    GO(w_mutex, &w);
    vt_deadline_set(0);
    GO(w_cond, NULL);
    GO(w_sem, NULL);
    GO(w_wg, NULL);
    GO(w_once, NULL);
    CHECK(dump_has("\"once\"", "wait=semaphore"));
    GO(w_once, NULL);
    GO(w_recv, NULL);
    GO(w_send, NULL);
    GO(w_await, NULL);
    GO(w_fd, (void *)(intptr_t)VT_READ);
    GO(w_fd, (void *)(intptr_t)(VT_READ | VT_WRITE));
    GO(w_scope, NULL);
    GO(w_block, NULL);
    CHECK(dump_has("\"block-1\"", "wait=blocking stage=begun"));
    GO(w_block, &w);
    CHECK(dump_has("\"sleeper\"", "wait=sleep wait_ms="));
    CHECK(dump_has("\"sleeper\"", " deadline_ms="));
    snprintf(text, sizeof text, "object=0x%llx owner=0x%llx", (unsigned long long)(uintptr_t)&w.m,
             (unsigned long long)(uintptr_t)vt__sched_self());
    CHECK(dump_has("\"wants-lock\" state=waiting wait=mutex", text));
    CHECK(dump_has("\"wants-until\" state=waiting wait=mutex", text));
    for (size_t i = 0; i < VT__COUNT(waits); i++)
        if (!dump_has(waits[i][0], waits[i][1])) test_fail(__FILE__, __LINE__, waits[i][0]);
    /* a select leaves the channel to those who were first */
    GO(w_select, NULL);
    CHECK(dump_has("\"select\" state=waiting wait=select of=4 cases=\"receive 0x", ", fd "));
    CHECK(dump_has("\"select\"", " read, time\" wait_ms="));
    /* the running one, its stack, and a cancelled one that does not care */
    vt_name_set("a \"main\" \\ \xc3\xa4 \x01\xff");
    CHECK(dump_has("name=\"a \\\"main\\\" \\\\ \xc3\xa4 ??\" state=running", " stack="));
    CHECK_EQ(lines_with("id=", " peak=0 "), 0);
    CHECK_EQ(lines_with("id=", NULL), lines_with("site=", NULL));
    got_clear();
    int listed = vt_dump_to(got_line, NULL, VT_DUMP_JSON);
    CHECK_EQ(lines_with("{\"id\":", NULL), listed);
    CHECK(listed >= n + 3);
    CHECK(json_good(got.text));
    CHECK(lines_with("\"wait\":\"select\",\"of\":4", NULL) == 1);
    CHECK(lines_with("\"wait\":\"mutex\"", "\"owner\":\"0x") == 2);
    got_clear();
    CHECK_EQ(vt_dump_to(got_line, NULL, VT_DUMP_NO_TRACE), listed);
    CHECK_EQ(lines_with("trace=", NULL), 0);
    vt_cancel(t[1]);
    CHECK(dump_has("\"wants-lock\"", " cancelled=yes"));

    for (int i = 1; i < n; i++) vt_cancel(t[i]);
    __atomic_store_n(&w.quit, 1, __ATOMIC_RELEASE);
    vt_mutex_unlock(&w.m);
    for (int i = 1; i < n; i++) vt_await(t[i], NULL);
    vt_cancel(t[0]);
    vt_await(t[0], NULL);
    vt_chan_free(w.in);
    vt_chan_free(w.out);
    close(idle[0]), close(idle[1]), close(idle2[0]), close(idle2[1]), close(w.pipe[1]), close(full);
    return 0;
}
TEST(each_kind_of_wait_is_named) {
    vt_cfg cfg = *cfg_of(1);
    cfg.max_blocking = 1;
    CHECK_EQ(vt_run(&cfg, waits_main, NULL), 0);
}
TEST(each_kind_of_wait_is_named_on_three_workers) {
    vt_cfg cfg = *cfg_of(3);
    cfg.max_blocking = 1;
    CHECK_EQ(vt_run(&cfg, waits_main, &w), 0);
}

/*--- whose child it is ---*/
static int many_sleep(void *arg);
static int heir_key; /* > 0: children get what their parent has there, and begin by another way */
static int parent_main(void *arg) {
    char text[96];
    vt_scope s;
    if (heir_key > 0) CHECK_EQ(vt_local_set(heir_key, &w), 0);
    vt_scope_open(&s, 0, 0);
    vt_scope_go(&s, w_scope_child, &s);
    vt_scope_go_any(&s, w_scope_child, &s);
    vt_go(many_sleep, NULL);
    snprintf(text, sizeof text, " scope=0x%llx parent=0x%llx", (unsigned long long)(uintptr_t)&s,
             (unsigned long long)(uintptr_t)vt__sched_self());
    char buf[VT__DUMP_RECORD];
    vt__dump_walk walk = {.out = {.p = buf, .cap = sizeof buf}};
    vt__sched_thr()->drives = true; /* who asks has the lock, then; here the queue's own will do */
    vt__dump_unbegun(&walk, vt__sched_thr());
    vt__sched_thr()->drives = false;
    got_clear();
    got_line(NULL, buf);
    CHECK(lines_with("state=starting", text) >= (arg ? 1 : 2)); /* another worker may have taken one */
    CHECK(lines_with("state=starting", NULL) > lines_with("state=starting", text));
    CHECK(dump_has("\"in-scope\" state=waiting wait=sleep", text));
    while (lines_with("\"in-scope\"", text) < 2) CHECK(dump_has("\"in-scope\"", text));
    CHECK_EQ(lines_with(" parent=", NULL), 2);
    vt_scope_cancel(&s);
    (void)vt_scope_close(&s);
    vt_stop();
    return 0;
}
TEST(a_child_shows_its_scope) {
    CHECK_EQ(vt_run(cfg_of(1), parent_main, NULL), 0);
    CHECK_EQ(vt_run(cfg_of(2), parent_main, &w), 0);
    (void)vt_local_key(NULL);
    CHECK((heir_key = vt_local_key_inherit(NULL)) > 0);
    CHECK_EQ(vt_run(cfg_of(1), parent_main, NULL), 0);
    CHECK_EQ(vt_run(cfg_of(2), parent_main, &w), 0);
    heir_key = 0;
}

/*--- sockets: who is on the other side ---*/
static int sock_accept(void *arg) {
    vt_sock *s;
    vt_name_set("acceptor");
    int r = vt_accept(arg, &s);
    return r;
}
static int sock_read(void *arg) {
    char c;
    vt_name_set("reader");
    return (int)vt_read(arg, &c, 1);
}
static int sockets_main(void *arg) {
    vt_sock *l, *c, *s;
    char addr[VT_ADDR_MAX], want[VT_ADDR_MAX + 32];
    (void)arg;
    CHECK_EQ(vt_listen(&l, "127.0.0.1:0", NULL), 0);
    vt_sock_local(l, addr, sizeof addr);
    CHECK_EQ(vt_dial(&c, addr, NULL), 0);
    CHECK_EQ(vt_accept(l, &s), 0);
    vt_task *a = vt_async(sock_accept, l), *r = vt_async(sock_read, c);
    snprintf(want, sizeof want, " for=read local=\"%s\"", addr);
    CHECK(dump_has("\"acceptor\" state=waiting wait=descriptor fd=", want));
    snprintf(want, sizeof want, " for=read peer=\"%s\"", addr);
    CHECK(dump_has("\"reader\" state=waiting wait=descriptor fd=", want));
    vt_cancel(a), vt_cancel(r);
    vt_await(a, NULL), vt_await(r, NULL);
    vt_sock_close(l), vt_sock_close(c), vt_sock_close(s);
    return 0;
}
TEST(a_socket_shows_its_peer) { CHECK_EQ(vt_run(cfg_of(1), sockets_main, NULL), 0); }

/*--- all are listed, once ---*/
enum { MANY = 1000 };
static int many_sleep(void *arg) {
    (void)arg;
    return vt_sleep_ms(1000000);
}
static int many_unbegun(void *arg) {
    (void)arg;
    return 0;
}
static int many_main(void *arg) {
    int64_t end = vt_now() + 20 * VT_SEC;
    for (int i = 0; i < MANY; i++) CHECK_EQ(arg ? vt_go_any(many_sleep, NULL) : vt_go(many_sleep, NULL), 0);
    do {
        vt_sleep_ms(1);
        got_clear();
        CHECK_EQ(vt_dump_to(got_line, NULL, 0) < 0, 0);
    } while (lines_with("wait=sleep", NULL) < MANY && vt_now() < end);
    CHECK_EQ(lines_with("wait=sleep", NULL), MANY);
    CHECK_EQ(lines_with("state=running", NULL), 1);
    CHECK_EQ(lines_with("1001 listed", NULL), 1);
    const char **ids = calloc(MANY + 1, sizeof *ids), *p = got.text;
    int n = 0, twice = 0;
    while (n < MANY + 1 && (p = strstr(p, "id=0x")) != NULL) ids[n++] = p, p += 5;
    CHECK_EQ(n, MANY + 1);
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++) twice += !memcmp(ids[i], ids[j], strcspn(ids[i], " ") + 1);
    CHECK_EQ(twice, 0);
    free(ids);
    /* those that have not begun: more than are listed, and behind the marks of a dump that stopped early */
    if (!arg) {
        for (int i = 0; i < 100; i++) vt_go(many_unbegun, NULL);
        vt__dump_walk walk = {.visit = vt__dump_vth,
                              .last = vt__dump_unbegun,
                              .first = true,
                              .most = 5000,
                              .self = vt__sched_self()};
        char *buf = malloc(VT__DUMP_CHUNK);
        walk.out = (vt__dump_out){.p = buf, .cap = VT__DUMP_CHUNK};
        vt__dump_step(&walk, vt__sched_thr());
        CHECK(!walk.done && !vt__ds_list_empty(&vt__sched_thr()->mark));
        walk.out.n = 0;
        vt__dump_unbegun(&walk, vt__sched_thr());
        got_clear();
        got_line(NULL, buf);
        CHECK_EQ(lines_with("state=starting", "tests/test_dump.c"), VT__DUMP_UNBEGUN);
        free(buf);
        /* whoever walks the list otherwise steps over the mark */
        vt__thr *t = vt__sched_thr();
        char *byte = (char *)&t->mark - offsetof(vt__vth, all) + offsetof(vt__vth, cancel), was = *byte;
        *byte = 0;
        vt__sched_cancel_all(t);
        CHECK_EQ(*byte, 0);
        *byte = was;
        t->cancel_all = false;
        CHECK(vt_dump_to(got_line, NULL, 0) >= 1);
        CHECK(vt__ds_list_empty(&t->mark));
    }
    vt_stop(); /* with a mark in the list or without */
    return 0;
}
TEST(each_is_listed_once) { CHECK_EQ(vt_run(cfg_of(1), many_main, NULL), 0); }
TEST(each_is_listed_once_on_three_workers) { CHECK_EQ(vt_run(cfg_of(3), many_main, &w), 0); }

/* Of those that have not begun as many as ever, however much the others have filled of the buffer. */
static int beside_main(void *arg) {
    vt__thr *t = vt__sched_thr();
    char *buf = malloc(VT__DUMP_CHUNK);
    (void)arg;
    for (int n = 0; n < VT__DUMP_STEP - 2; n++) {
        CHECK_EQ(vt_go(many_sleep, NULL), 0);
        for (int i = 0; i < VT__DUMP_UNBEGUN; i++) CHECK_EQ(vt_go(many_unbegun, NULL), 0);
        vt__dump_walk walk = {.visit = vt__dump_vth,
                              .last = vt__dump_unbegun,
                              .first = true,
                              .most = 5000,
                              .flags = VT_DUMP_NO_TRACE,
                              .self = vt__sched_self()};
        walk.out = (vt__dump_out){.p = buf, .cap = VT__DUMP_CHUNK};
        got_clear();
        for (; !walk.done; walk.out.n = 0) vt__dump_step(&walk, t), got_line(NULL, buf);
        CHECK_EQ(lines_with("state=starting", NULL), VT__DUMP_UNBEGUN);
        CHECK_EQ(lines_with("wait=sleep", NULL), n);
        CHECK_EQ(vt_yield(), 0); /* all have begun */
    }
    free(buf);
    vt_stop();
    return 0;
}
TEST(those_that_have_not_begun_find_room) { CHECK_EQ(vt_run(cfg_of(1), beside_main, NULL), 0); }

/* It ends, however many begin meanwhile: here two for each that is written down. */
enum { GROW_FROM = 500, GROW_TO = 20000 };
static void grow_line(void *ctx, const char *line) {
    (void)ctx;
    for (int i = 0; i < 2 && strstr(line, "id="); i++) (void)vt_go(many_sleep, NULL);
}
static int grow_main(void *arg) {
    (void)arg;
    for (int i = 0; i < GROW_FROM; i++) CHECK_EQ(vt_go(many_sleep, NULL), 0);
    CHECK_EQ(vt_yield(), 0);
    int n = vt_dump_to(grow_line, NULL, VT_DUMP_NO_TRACE);
    CHECK(n > GROW_FROM && n < GROW_TO / 2);
    if (test_failures) printf("%d listed\n", n);
    vt_stop();
    return 0;
}
TEST(a_dump_ends_while_others_begin) {
    vt_cfg cfg = *cfg_of(1);
    cfg.max_vthreads = GROW_TO;
    CHECK_EQ(vt_run(&cfg, grow_main, NULL), 0);
}

/*--- while vthreads come and go ---*/
enum { CHURN_DUMPS = 30, CHURN_LEAD = 5 };
static uint32_t churn_quit, churn_here, churn_there; /* dumps of a virtual thread, of a foreign one */
static int churn_child(void *arg) {
    vt_name_set("child");
    return (uintptr_t)arg % 3 ? vt_sleep(100000) : vt_yield();
}
static int churn(void *arg) {
    for (uintptr_t i = 0; !__atomic_load_n(&churn_quit, __ATOMIC_RELAXED); i++) {
        vt_scope s;
        vt_scope_open(&s, 0, 0);
        for (int k = 0; k < 8; k++)
            (void)(k % 2 ? vt_scope_go_any(&s, churn_child, (void *)i)
                         : vt_scope_go(&s, churn_child, (void *)i));
        if (i % 2) vt_scope_cancel(&s);
        vt_scope_wait(&s);
        vt_name_set(i % 5 ? "one" : "another");
    }
    (void)arg;
    return 0;
}
static void churn_line(void *ctx, const char *line) { *(size_t *)ctx += strlen(line); }
static uint32_t churned(uint32_t *n) { return __atomic_load_n(n, __ATOMIC_RELAXED); }
/* Tries so often that hardly another would get a turn: it does not run too far ahead. */
static void *churn_foreign(void *arg) {
    size_t n = 0;
    (void)arg;
    while (!__atomic_load_n(&churn_quit, __ATOMIC_RELAXED)) {
        int r = churned(&churn_there) < churned(&churn_here) + CHURN_LEAD
                    ? vt_dump_to(churn_line, &n, VT_DUMP_JSON)
                    : -EBUSY;
        CHECK(r > 0 || r == -EBUSY);
        if (r > 0) __atomic_fetch_add(&churn_there, 1, __ATOMIC_RELAXED);
        usleep(200);
    }
    return NULL;
}
static int churn_main(void *arg) {
    pthread_t os;
    vt_task *t[4];
    (void)arg;
    churn_quit = churn_here = churn_there = 0;
    for (int i = 0; i < 4; i++) t[i] = vt_async_any(churn, NULL);
    CHECK_EQ(pthread_create(&os, NULL, churn_foreign, NULL), 0);
    while (churned(&churn_here) < CHURN_DUMPS || churned(&churn_there) < CHURN_DUMPS) {
        got_clear();
        int r = vt_dump_to(got_line, NULL, VT_DUMP_JSON);
        CHECK(r > 0 || r == -EBUSY);
        if (r > 0) __atomic_fetch_add(&churn_here, 1, __ATOMIC_RELAXED), CHECK(json_good(got.text));
        vt_sleep_ms(1);
    }
    __atomic_store_n(&churn_quit, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 4; i++) vt_await(t[i], NULL);
    pthread_join(os, NULL);
    return 0;
}
TEST(dumps_while_virtual_threads_come_and_go) {
    vt_cfg cfg = *cfg_of(3);
    cfg.stall_ms = 1; /* looks all the time */
    vt_log_set(got_log, NULL, VT_LOG_OFF);
    CHECK_EQ(vt_run(&cfg, churn_main, NULL), 0);
    vt_log_set(NULL, NULL, 0);
}

/*--- a worker that does not answer ---*/
/* Whether a thread that sleeps may be looked at from outside. */
static bool kernel_tells(void) {
    char line[256];
    pid_t child = fork();
    if (child == 0) pause(), _exit(0);
    snprintf(line, sizeof line, "/proc/%d/syscall", (int)child);
    int fd = open(line, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line);
    if (fd >= 0) close(fd);
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0) continue;
    return n > 0;
}
static struct {
    uint32_t begun, quit;
    int not_on;
    bool burns;
} spin;
static int spin_fn(void *arg) {
    (void)arg;
    if (vt_worker() == spin.not_on) return 0;
    vt_name_set("spinner");
    __atomic_store_n(&spin.begun, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&spin.quit, __ATOMIC_ACQUIRE))
        if (!spin.burns) usleep(1000);
    return 0;
}
/* One that burns CPU beside others may have none to answer with for long. */
static void silent_trace(uint32_t flags, const char *how, bool traced) {
    int64_t end = vt_now() + 20 * VT_SEC;
    do {
        got_clear();
        CHECK(vt_dump_to(got_line, NULL, flags) >= 2);
    } while (lines_with("\"spinner\"", how) != traced && vt_now() < end);
    CHECK_EQ(lines_with("\"spinner\"", how), traced);
}
static int silent_main(void *arg) {
    bool burns = arg != NULL, traced = VT__CTX_ASM && (burns ? !VT__TSAN : kernel_tells());
    memset(&spin, 0, sizeof spin);
    spin.burns = burns;
    spin.not_on = vt_worker();
    while (!__atomic_load_n(&spin.begun, __ATOMIC_SEQ_CST)) {
        vt_go_any(spin_fn, NULL);
        vt_sleep_ms(1);
    }
    for (int i = 0; i < 2; i++) { /* the second finds the first one's message still there */
        got_clear();
        CHECK(vt_dump_to(got_line, NULL, 0) >= 2);
        CHECK_EQ(lines_with("does not answer", NULL), 1);
        CHECK_EQ(lines_with("\"spinner\" state=running", "tests/test_dump.c"), 1);
    }
    silent_trace(0, " trace=0x", traced);
    silent_trace(VT_DUMP_NO_TRACE, "trace=", false);
    silent_trace(VT_DUMP_JSON, "\"trace\":[\"0x", traced);
    CHECK(json_good(got.text));
    CHECK_EQ(lines_with("\"answers\":false", NULL), 1);
    __atomic_store_n(&spin.quit, 1, __ATOMIC_RELEASE);
    CHECK(dump_has("2 workers", NULL));
    int64_t end = vt_now() + 10 * VT_SEC;
    do {
        got_clear();
        vt_dump_to(got_line, NULL, 0);
    } while (lines_with("does not answer", NULL) && vt_now() < end);
    CHECK_EQ(lines_with("does not answer", NULL), 0);
    return 0;
}
TEST(a_worker_that_does_not_answer) {
    CHECK_EQ(vt_run(cfg_of(2), silent_main, NULL), 0);
    CHECK_EQ(vt_run(cfg_of(2), silent_main, (void *)1), 0);
}

/*--- where one may call it ---*/
static int busy_dump(void *arg) { return vt_dump_to(got_line, arg, 0); }
static void busy_line(void *ctx, const char *line) {
    (void)line;
    *(int *)ctx = busy_dump(NULL);
}
static int misuse_main(void *arg) {
    int r = 0, fds[2];
    char buf[4096];
    (void)arg;
    CHECK(vt_dump_to(busy_line, &r, 0) > 0);
    CHECK_EQ(r, -EBUSY);
    CHECK_EQ(vt_dump_to(got_line, NULL, 4), -EINVAL);
    CHECK_EQ(vt_dump_to(NULL, NULL, 0), -EINVAL);
    CHECK_EQ(vt_dump(-1, 0), -EBADF);
    CHECK_EQ(vt_dump(1000000, 0), -EBADF);
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(vt_dump(fds[1], VT_DUMP_JSON), 1);
    ssize_t n = read(fds[0], buf, sizeof buf - 1);
    buf[n > 0 ? n : 0] = 0;
    CHECK(json_good(buf) && strstr(buf, "\"listed\":1}\n"));
    close(fds[0]), close(fds[1]);
    CHECK_EQ(vt_dump_on_signal(-1), -EINVAL);
    CHECK_EQ(vt_dump_on_signal(100000), -EINVAL);
    return 0;
}
/* A pipe that blocks, and is full: who empties it runs on the worker that dumps. */
static int empties(void *arg) {
    static char all[1 << 16];
    char buf[4096];
    size_t n = 0;
    all[0] = 0;
    while (!strstr(all, " listed")) {
        int r = vt_wait_fd(*(int *)arg, VT_READ, 0);
        ssize_t came = r < 0 ? -1 : read(*(int *)arg, buf, sizeof buf);
        if (came <= 0) return -1;
        if (n + (size_t)came >= sizeof all) n = 0; /* what filled it */
        memcpy(all + n, buf, (size_t)came);
        n += (size_t)came;
        all[n] = 0;
    }
    return 0;
}
static void fill_pipe(int fd) {
    char junk[4096];
    memset(junk, '.', sizeof junk);
    CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (write(fd, junk, sizeof junk) > 0) continue;
    CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
}
static int full_main(void *arg) {
    int r = -1, *fds = arg;
    vt_task *t = vt_async(empties, fds);
    CHECK(vt_dump(fds[1], 0) >= 1);
    CHECK_EQ(vt_await(t, &r), 0);
    CHECK_EQ(r, 0);
    return 0;
}
static int full_signal_main(void *arg) {
    int64_t end = vt_now() + 20 * VT_SEC;
    (void)arg;
    CHECK_EQ(vt_dump_on_signal(SIGUSR1), 0);
    kill(getpid(), SIGUSR1);
    while (!__atomic_load_n(&vt__dump_g.busy, __ATOMIC_SEQ_CST) && vt_now() < end) vt_sleep_ms(1);
    return 0; /* the monitor is at it */
}
TEST(a_dump_into_a_full_pipe_holds_nobody_up_for_long) {
    int fds[2], old = dup(2);
    REQUIRE(old >= 0 && pipe(fds) == 0);
    fill_pipe(fds[1]);
    CHECK_EQ(vt_run(cfg_of(1), full_main, fds), 0);
    fill_pipe(fds[1]);
    CHECK_EQ(vt_dump(fds[1], 0), -EPERM);
    dup2(fds[1], 2);
    CHECK_EQ(vt_run(cfg_of(1), full_signal_main, NULL), 0); /* nobody reads it: given up after a while */
    dup2(old, 2);
    close(old), close(fds[0]), close(fds[1]);
}
/* Else one kind would be described, and taken for hopeless, as another. */
TEST(each_kind_of_wait_has_an_abort_of_its_own) {
    for (size_t i = 0; i < VT__COUNT(vt__dump_kinds); i++) {
        vt__vth v = {.abort = vt__dump_kinds[i].abort};
        CHECK(vt__dump_kind_of(&v) == &vt__dump_kinds[i]);
    }
}
TEST(misuse_is_an_error) {
    CHECK_EQ(vt_dump_to(got_line, NULL, 0), -EPERM);
    CHECK_EQ(vt_dump(1, 0), -EPERM);
    CHECK_EQ(vt_dump_on_signal(SIGUSR1), -EPERM);
    CHECK_EQ(vt_run(cfg_of(1), misuse_main, NULL), 0);
    vt_log_set(got_log, NULL, VT_LOG_OFF);
    CHECK_EQ(vt_run(&(vt_cfg){.stall_ms = -2}, misuse_main, NULL), -EINVAL);
    CHECK_EQ(vt_run(&(vt_cfg){.deadlock = 2}, misuse_main, NULL), -EINVAL);
    vt_log_set(NULL, NULL, 0);
}
TEST(a_host_program_dumps_from_its_loop) {
    CHECK_EQ(vt_open(cfg_of(1)), 0);
    CHECK_EQ(vt_go(many_sleep, NULL), 0);
    got_clear();
    CHECK_EQ(vt_dump_to(got_line, NULL, 0), 1);
    CHECK_EQ(lines_with("state=starting", NULL), 1);
    CHECK_EQ(vt_run_once(0), 1);
    got_clear();
    CHECK_EQ(vt_dump_to(got_line, NULL, 0), 1);
    CHECK_EQ(lines_with("wait=sleep", NULL), 1);
    vt_shutdown();
}

/*--- return addresses ---*/
#if VT__CTX_ASM && !VT__RISCV64
TEST(frames_count_only_where_their_chain_ends_well) {
    uintptr_t *m = calloc(1, 4096), out[VT__UNWIND_FRAMES];
    vt__vth *v = (vt__vth *)(void *)(m + 256);
    REQUIRE(sizeof *v <= 2048);
    vt__stack_g.stride = 4096;
    v->ctx.pc = (void *)(uintptr_t)0x1111;
    v->ctx.sp = m + 8;
    v->ctx.fp = NULL;
    CHECK_EQ(vt__dump_trace(v, out), 1);
    CHECK_EQ(out[0], 0x1111);
    v->ctx.fp = m + 16;
    m[16] = (uintptr_t)(m + 100), m[17] = 0x2222;
    m[100] = 0, m[101] = 0x3333;
    CHECK_EQ(vt__dump_trace(v, out), 3);
    CHECK(out[1] == 0x2222 && out[2] == 0x3333);
    m[100] = (uintptr_t)(m + 16); /* a ring */
    CHECK_EQ(vt__dump_trace(v, out), 1);
    m[100] = (uintptr_t)(m + 255); /* over the end */
    CHECK_EQ(vt__dump_trace(v, out), 1);
    m[100] = (uintptr_t)(m + 200) + 1;
    CHECK_EQ(vt__dump_trace(v, out), 1);
    v->ctx.fp = m + 4; /* below the stack pointer */
    CHECK_EQ(vt__dump_trace(v, out), 1);
    v->ctx.fp = (void *)1;
    CHECK_EQ(vt__dump_trace(v, out), 1);
    for (int i = 20; i < 240; i += 2) m[i] = (uintptr_t)(m + i + 2), m[i + 1] = 7; /* deep */
    m[240] = 0;
    v->ctx.fp = m + 20;
    CHECK_EQ(vt__dump_trace(v, out), VT__UNWIND_FRAMES);
    free(m);
}
/* A program may have put it onto a stack of its own, and between that and the one that we know need not be memory. */
TEST(frames_of_a_stack_that_is_not_ours) {
    uintptr_t out[VT__UNWIND_FRAMES];
    char *m = mmap(NULL, 3 * 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(m != MAP_FAILED && mprotect(m + 65536, 65536, PROT_NONE) == 0);
    vt__stack_g.stride = 65536;
    for (int above = 0; above < 2; above++) {
        vt__vth *v = (vt__vth *)(void *)(m + (above ? 0 : 3 * 65536 - 4096));
        v->ctx.pc = (void *)(uintptr_t)0x1111;
        v->ctx.sp = m + (above ? 3 * 65536 - 4096 : 4096);
        v->ctx.fp = m + 65536 + 4096; /* whatever that register is used for */
        CHECK_EQ(vt__dump_trace(v, out), 1);
        CHECK_EQ(out[0], 0x1111);
    }
    munmap(m, 3 * 65536);
}
#endif

/*--- the monitor ---*/
static volatile int burnt;                /* calls before it are no tail calls */
static char ret_inner[32], ret_outer[32]; /* as they stand in a trace */
#define NOTE_RETURN(text)                                                                                    \
    snprintf(text, sizeof(text), "0x%llx",                                                                   \
             (unsigned long long)(uintptr_t)__builtin_extract_return_addr(__builtin_return_address(0)))
static __attribute__((noinline)) int rest(int fd, int ms) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    NOTE_RETURN(ret_inner);
    int r = poll(&p, 1, ms);
    CHECK(r >= 0); /* nobody interrupts it */
    return r;
}
static int rude_ms = 10000; /* unless it is reported before */
static int block_raw(void *arg) {
    vt_name_set("rude");
    NOTE_RETURN(ret_outer);
    int fds[2];
    char c;
    if (arg) vt_sleep_ms(1);
    CHECK_EQ(pipe(fds), 0);
    __atomic_store_n(&rude_told, fds[1], __ATOMIC_SEQ_CST);
    burnt = rest(fds[0], rude_ms);
    __atomic_store_n(&rude_told, -1, __ATOMIC_SEQ_CST);
    if (burnt > 0) CHECK_EQ(read(fds[0], &c, 1), 1);
    close(fds[0]), close(fds[1]);
    return 0;
}
static __attribute__((noinline)) int burn_until(const char *what) {
    int64_t end = vt_now() + 10 * VT_SEC;
    NOTE_RETURN(ret_inner);
    while (!lines_with("'burner'", what) && vt_now() < end) burnt++;
    return burnt;
}
static int burn(void *arg) {
    vt_name_set("burner");
    NOTE_RETURN(ret_outer);
    burnt = burn_until(arg);
    return 0;
}
/* With neither known, the chain of frame pointers is looked for on the stack, where ASan puts much of its own. */
#ifdef __OPTIMIZE__
enum { TRACES = VT__CTX_ASM && !VT__TSAN };
#else
enum { TRACES = VT__CTX_ASM && !VT__TSAN && !VT__ASAN };
#endif
static void is_traced(const char *who, const char *how) {
    if (!TRACES) return;
    int n = lines_with(who, how);
    CHECK_EQ(lines_with(who, ret_inner), n);
    CHECK_EQ(lines_with(ret_inner, ret_outer), n);
    CHECK_EQ(lines_with(who, " vt_run=0x"), n);
    if (!lines_with(who, ret_inner)) printf("no %s in:\n%s", ret_inner, got.text);
}
/* What is counted is what was logged, once no stall is about to be. */
static bool stalls_add_up(void) {
    vt_stats st;
    int64_t ms, n, end = vt_now() + 10 * VT_SEC;
    do {
        vt_sleep_ms(1);
        vt_stats_get(&st);
        n = __atomic_load_n(&overs, __ATOMIC_SEQ_CST), ms = __atomic_load_n(&over_ms, __ATOMIC_SEQ_CST);
    } while ((st.stalled_ns < ms * VT_MS || st.stalled_ns >= (ms + n) * VT_MS) && vt_now() < end);
    return st.stalls >= n && n >= 3 && ms >= 3 * 20 && vt_now() < end;
}
static int stall_main(void *arg) {
    vt_stats st;
    vt_sleep_ms(100); /* nothing to report */
    vt_stats_get(&st);
    CHECK_EQ(st.stalls, 0);
    int64_t before = vt_now();
    overs = over_ms = over_most = 0;
    for (int i = 0; i < 2; i++) {
        got_clear();
        vt_await(vt_async(block_raw, NULL), NULL);
        CHECK(log_has("goes on after", "'rude' spawned at tests/test_dump.c"));
        CHECK_EQ(lines_with("has not switched for", "'rude' spawned at tests/test_dump.c"), 1);
        CHECK_EQ(lines_with("'rude'", "sleeps in system call"), 1);
        CHECK_EQ(lines_with("'rude'", NULL), 2);
        if (*(bool *)arg) is_traced("'rude'", "sleeps in system call");
    }
    int64_t end = vt_now() + 20 * VT_SEC;
    int burns;
    do { /* beside others it may have no CPU to answer with, see silent_trace, or wait for one who has what it wants */
        CHECK(log_has("goes on after", ""));
        got_clear();
        vt_await(vt_async(burn, "has not switched for"), NULL);
        burns = lines_with("'burner'", "burns CPU");
    } while ((!burns || (TRACES && !lines_with("'burner'", ret_inner))) && vt_now() < end);
    CHECK_EQ(burns, 1);
    is_traced("'burner'", "burns CPU");
    CHECK(log_has("goes on after", "'burner'"));
    CHECK(stalls_add_up());
    CHECK(__atomic_load_n(&over_most, __ATOMIC_SEQ_CST) <= (vt_now() - before) / VT_MS); /* by the clock */
    return 0;
}
static volatile sig_atomic_t urgent;
static void count_urgent(int sig) { urgent += sig == SIGURG; }
TEST(a_worker_that_stalls_is_reported_once) {
    vt_cfg cfg = {.workers = 1, .stall_ms = 20};
    bool tells = kernel_tells();
    got_clear();
    signal(SIGURG, count_urgent);
    vt_log_set(got_log, NULL, 0);
    CHECK_EQ(vt_run(&cfg, stall_main, &tells), 0);
    struct sigaction sa;
    CHECK(sigaction(SIGURG, NULL, &sa) == 0 && sa.sa_handler == count_urgent);
    CHECK_EQ(urgent, 0); /* what asks for a trace is not the program's */
    raise(SIGURG);
    CHECK_EQ(urgent, 1);
    signal(SIGURG, SIG_DFL);
    /* one that lasts until the runtime's end */
    got_clear();
    CHECK_EQ(vt_run(&cfg, block_raw, NULL), 0);
    CHECK_EQ(lines_with("has not switched for", "'rude'"), 1); /* the scheduler may wait for a spare to end */
    CHECK_EQ(lines_with("goes on after", "'rude'"), 1);
    if (test_failures) fputs(got.text, stdout);
    /* off */
    got_clear();
    rude_ms = 200;
    CHECK_EQ(vt_run(cfg_of(1), block_raw, NULL), 0);
    rude_ms = 10000;
    CHECK_EQ(lines_with("", NULL), 0);
    vt_log_set(NULL, NULL, 0);
}
/* Who had no CPU to answer the monitor's signal with meets it later: it is still not the program's. */
#if defined(__linux__) && VT__CTX_ASM && !VT__TSAN
static int late_pipe[2];
static void *late_thread(void *tid) {
    char c;
    __atomic_store_n((int *)tid, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    pid_t child = vfork(); /* as long as that lives we meet no signal */
    if (child == 0) _exit(read(late_pipe[0], &c, 1) != 1);
    CHECK(child > 0 && waitpid(child, NULL, 0) == child);
    return NULL;
}
static bool handles_urgent(void) {
    struct sigaction sa;
    return sigaction(SIGURG, NULL, &sa) == 0 && sa.sa_handler == count_urgent;
}
TEST(an_answer_that_is_late) {
    static vt__thr late;
    const vt__vth *nobody = (const vt__vth *)(void *)&late;
    uintptr_t at[VT__UNWIND_FRAMES];
    char line[512] = "";
    pthread_t os;
    urgent = 0;
    signal(SIGURG, count_urgent);
    REQUIRE(pipe(late_pipe) == 0 && pthread_create(&os, NULL, late_thread, &late.tid) == 0);
    for (int i = 0; i < 10000 && *vt__watch_stat(line, 0) != 'D'; i++, usleep(1000))
        vt__watch_proc(__atomic_load_n(&late.tid, __ATOMIC_SEQ_CST), "stat", line, sizeof line);
    CHECK_EQ(vt__watch_ask(&late, nobody, at), 0);
    CHECK(!handles_urgent());
    CHECK_EQ(vt__watch_ask(&late, nobody, at), 0); /* nor is another asked meanwhile */
    CHECK_EQ(write(late_pipe[1], "", 1), 1);
    pthread_join(os, NULL);
    CHECK_EQ(urgent, 0);
    CHECK(handles_urgent());
    raise(SIGURG);
    CHECK_EQ(urgent, 1);
    signal(SIGURG, SIG_DFL);
    close(late_pipe[0]), close(late_pipe[1]);
}
#endif
/* Groups stand before the signals in what the kernel says of a thread, and there may be many. */
#if defined(__linux__) && VT__CTX_ASM && !VT__TSAN
TEST(a_thread_hears_in_any_number_of_groups) {
    enum { GROUPS = 3000, NOT_ALLOWED = 77 };
    int status = -1;
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        static unsigned groups[GROUPS];
        static vt__thr me;
        sigset_t urgent_alone;
        for (unsigned i = 0; i < GROUPS; i++) groups[i] = 1000000 + i;
        if (syscall(SYS_setgroups, GROUPS, groups) < 0) _exit(NOT_ALLOWED);
        me.tid = (int)syscall(SYS_gettid);
        bool hears = vt__watch_hears(&me);
        sigemptyset(&urgent_alone), sigaddset(&urgent_alone, SIGURG);
        sigprocmask(SIG_BLOCK, &urgent_alone, NULL);
        _exit(!hears || vt__watch_hears(&me));
    }
    while (waitpid(child, &status, 0) < 0) continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_ALLOWED) SKIP("may not be in other groups");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif
TEST(a_host_program_that_is_elsewhere_is_no_stall) {
    vt_cfg cfg = {.stall_ms = 20};
    got_clear();
    vt_log_set(got_log, NULL, 0);
    CHECK_EQ(vt_open(&cfg), 0);
    CHECK_EQ(vt_go(block_raw, &w), 0);
    CHECK_EQ(vt_run_once(0), 1);
    usleep(100000);
    CHECK_EQ(lines_with("", NULL), 0);
    while (vt_run_once(VT_NONE) > 0) continue;
    vt_shutdown();
    CHECK_EQ(lines_with("has not switched for", "'rude'"), 1);
    vt_log_set(NULL, NULL, 0);
}

/* Watches an idle runtime from outside: nobody wakes, then somebody does. */
static vt_sem quiet_sem;
static void *quiet_watch(void *arg) {
    int64_t end = vt_now() + 20 * VT_SEC;
    vt_stats a, b;
    (void)arg;
    while (!__atomic_load_n(&vt__sched_g.watch_parked, __ATOMIC_SEQ_CST) && vt_now() < end) usleep(1000);
    CHECK(__atomic_load_n(&vt__sched_g.watch_parked, __ATOMIC_SEQ_CST));
    vt_stats_get(&a);
    usleep(300000);
    vt_stats_get(&b);
    CHECK(a.polls == b.polls && a.switches == b.switches);
    CHECK_EQ(lines_with("", NULL), 0); /* by default: a thread of ours may end the wait */
    vt_sem_release(&quiet_sem, 1);
    return NULL;
}
static int quiet_main(void *arg) {
    pthread_t os;
    CHECK_EQ(pthread_create(&os, NULL, quiet_watch, NULL), 0);
    CHECK_EQ(vt_sem_acquire(&quiet_sem), 0);
    CHECK_EQ(pthread_join(os, NULL), 0);
    if (arg) block_raw(NULL); /* the monitor is awake again */
    return 0;
}
TEST(an_idle_program_stays_idle) {
    vt_cfg cfg = {.workers = 2, .stall_ms = 20};
    got_clear();
    quiet_sem = (vt_sem){0};
    vt_log_set(got_log, NULL, 0);
    CHECK_EQ(vt_run(&cfg, quiet_main, &w), 0);
    CHECK_EQ(lines_with("has not switched for", "'rude'"), 1);
    vt_log_set(NULL, NULL, 0);
}

/*--- deadlocks ---*/
static vt_mutex dead[2];
static uint32_t dead_held; /* by both, before either asks for the other's */
static int dead_fn(void *arg) {
    int i = (int)(intptr_t)arg;
    vt_name_set(i ? "second" : "first");
    CHECK_EQ(vt_mutex_lock(&dead[i]), 0);
    __atomic_fetch_add(&dead_held, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&dead_held, __ATOMIC_SEQ_CST) < 2 && vt_sleep_ms(1) == 0) continue;
    int r = vt_mutex_lock_until(&dead[!i], VT_NONE);
    CHECK(r == -ECANCELED || r == 0); /* the other's, who was cancelled first */
    if (r == 0) vt_mutex_unlock(&dead[!i]);
    vt_mutex_unlock(&dead[i]);
    return 0;
}
static int dead_main(void *arg) {
    __atomic_store_n(&dead_held, 0, __ATOMIC_SEQ_CST);
    vt_task *a = vt_async_any(dead_fn, (void *)0), *b = vt_async_any(dead_fn, (void *)1);
    (void)arg;
    vt_shield(true);
    vt_await(a, NULL), vt_await(b, NULL);
    return 0;
}
static void dead_log(void *ctx, int level, const char *line) {
    got_log(ctx, level, line);
    if (strstr(line, " listed")) vt_stop(); /* the end of the dump */
}
/* When the monitor has come to a conclusion (it parks), has dumped, or after a while. */
enum { CONCLUDED, DUMPED, WHILE };
static void *stop_later(void *arg) {
    int64_t end = vt_now() + 10 * VT_SEC;
    int what = *(int *)arg;
    while (what == DUMPED && !lines_with(" listed", NULL) && vt_now() < end) usleep(1000);
    while (what == CONCLUDED && !__atomic_load_n(&vt__sched_g.watch_parked, __ATOMIC_SEQ_CST) &&
           vt_now() < end)
        usleep(1000);
    if (what == DUMPED) { /* more work, and the same again: nothing to say */
        while (!__atomic_load_n(&vt__sched_g.watch_parked, __ATOMIC_SEQ_CST) && vt_now() < end) usleep(1000);
        CHECK_EQ(vt_go(many_unbegun, NULL), 0);
        while (__atomic_load_n(&vt__sched_g.watch_parked, __ATOMIC_SEQ_CST) && vt_now() < end) usleep(1000);
        while (!__atomic_load_n(&vt__sched_g.watch_parked, __ATOMIC_SEQ_CST) && vt_now() < end) usleep(1000);
    }
    usleep(50000);
    vt_stop();
    return NULL;
}
static int dead_watched(void *arg) {
    pthread_t os;
    CHECK_EQ(pthread_create(&os, NULL, stop_later, arg), 0);
    dead_main(NULL);
    pthread_join(os, NULL);
    return 0;
}
TEST(a_deadlock_is_reported_once) {
    vt_cfg cfg = {.workers = 3, .stall_ms = VT_NONE};
    memset(dead, 0, sizeof dead);
    vt_log_set(got_log, NULL, 0);
    got_clear();
    cfg.deadlock = 1;
    cfg.stall_ms = 1000; /* else the monitor has nothing to do after its report */
    CHECK_EQ(vt_run(&cfg, dead_watched, &(int){DUMPED}), 0);
    CHECK_EQ(lines_with("deadlock: all 3 virtual threads wait for each other", ", unless"), 1);
    CHECK_EQ(lines_with("deadlock:", NULL), 1);
    CHECK_EQ(lines_with("\"first\" state=waiting wait=mutex", " owner=0x"), 1);
    CHECK_EQ(lines_with("\"second\" state=waiting wait=mutex", " owner=0x"), 1);
    CHECK_EQ(lines_with("wait=task", NULL), 1);
    got_clear();
    cfg.deadlock = 0; /* the other thread might end it */
    CHECK_EQ(vt_run(&cfg, dead_watched, &(int){CONCLUDED}), 0);
    cfg.deadlock = VT_NONE;
    CHECK_EQ(vt_run(&cfg, dead_watched, &(int){WHILE}), 0);
    CHECK_EQ(lines_with("", NULL), 0);
    vt_log_set(NULL, NULL, 0);
}
TEST(without_other_threads_a_deadlock_is_certain) {
    vt_cfg cfg = {.workers = 2};
    char line[512];
    memset(dead, 0, sizeof dead);
    vt__watch_proc(0, "stat", line, sizeof line);
    if (VT__TSAN || atoi(vt__watch_stat(line, 17)) != 1) SKIP("the process has other threads");
    got_clear();
    vt_log_set(dead_log, NULL, 0);
    CHECK_EQ(vt_run(&cfg, dead_main, NULL), 0);
    CHECK_EQ(lines_with("deadlock: all 3 virtual threads wait for each other", NULL), 1);
    CHECK_EQ(lines_with("deadlock:", ", unless"), 0);
    vt_log_set(NULL, NULL, 0);
}
/* A thread of the program's is inside, or dumps, when the monitor asks for the first time: it asks again. */
static void *in_the_way(void *arg) {
    bool dumps = *(bool *)arg;
    int64_t end = vt_now() + 800 * VT_MS;
    if (dumps) CHECK_EQ(vt__dump_enter(), 0);
    else CHECK(vt__sched_guest_in());
    if (dumps) vt__sched_guest_out(); /* the other half of it stays */
    while (!__atomic_load_n(&vt__sched_g.watch_parked, __ATOMIC_SEQ_CST) && vt_now() < end) usleep(1000);
    if (dumps) __atomic_store_n(&vt__dump_g.busy, 0, __ATOMIC_RELEASE);
    else vt__sched_guest_out();
    for (end = vt_now() + 20 * VT_SEC; !lines_with(" listed", NULL) && vt_now() < end;) usleep(1000);
    vt_stop();
    return NULL;
}
static int hindered_main(void *arg) {
    pthread_t os;
    CHECK_EQ(pthread_create(&os, NULL, in_the_way, arg), 0);
    dead_main(NULL);
    pthread_join(os, NULL);
    return 0;
}
TEST(a_deadlock_is_asked_for_until_there_is_an_answer) {
    vt_cfg cfg = {.workers = 2, .stall_ms = VT_NONE, .deadlock = 1};
    vt_log_set(got_log, NULL, 0);
    for (int dumps = 0; dumps <= 1; dumps++) {
        memset(dead, 0, sizeof dead);
        got_clear();
        CHECK_EQ(vt_run(&cfg, hindered_main, &(bool){dumps}), 0);
        CHECK_EQ(lines_with("deadlock: all 3 virtual threads wait for each other", ", unless"), 1);
    }
    vt_log_set(NULL, NULL, 0);
}
/* Somebody waits for what comes from outside: each is enough. */
static int hope_fd(void *arg) {
    int fds[2];
    (void)arg;
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(vt_wait_fd(fds[0], VT_READ, 0), -ECANCELED);
    return close(fds[0]) + close(fds[1]);
}
static int hope_select(void *arg) {
    int fds[2];
    (void)arg;
    CHECK_EQ(pipe(fds), 0);
    vt_case c = {.fd = fds[0], .events = VT_READ};
    CHECK_EQ(vt_select(&c, 1), -ECANCELED);
    return close(fds[0]) + close(fds[1]);
}
static int hope_job(void *arg) {
    (void)arg;
    while (!__atomic_load_n(&vt__sched_g.stopping, __ATOMIC_SEQ_CST)) usleep(1000);
    return 0;
}
static int hope_block(void *arg) { return vt_blocking(hope_job, arg, NULL); }
static int hope_server(void *arg) {
    (void)arg;
    __atomic_fetch_add(&vt__sched_g.sources, 1, __ATOMIC_SEQ_CST);
    int r = vt_sem_acquire(&quiet_sem);
    __atomic_fetch_sub(&vt__sched_g.sources, 1, __ATOMIC_SEQ_CST);
    return r == -ECANCELED ? 0 : r;
}
static int hope_main(void *arg) {
    vt_fn *fn;
    memcpy(&fn, arg, sizeof fn);
    vt_go_any(fn, NULL);
    return dead_watched(&(int){CONCLUDED});
}
TEST(what_comes_from_outside_is_no_deadlock) {
    static vt_fn *const fns[] = {hope_fd, hope_select, hope_block, hope_server};
    vt_cfg cfg = {.workers = 2, .stall_ms = VT_NONE, .deadlock = 1};
    memset(dead, 0, sizeof dead);
    quiet_sem = (vt_sem){0};
    got_clear();
    vt_log_set(got_log, NULL, 0);
    for (size_t i = 0; i < VT__COUNT(fns); i++) {
        CHECK_EQ(vt_run(&cfg, hope_main, (void *)(uintptr_t)&fns[i]), 0);
        CHECK_EQ(lines_with("", NULL), 0);
    }
    vt_log_set(NULL, NULL, 0);
}

/*--- on a signal ---*/
static volatile sig_atomic_t signals;
static void count_signal(int sig) { signals += sig == SIGUSR1; }
static int signal_main(void *arg) {
    int fd = *(int *)arg, before;
    char buf[8192] = "";
    int64_t end = vt_now() + 10 * VT_SEC;
    CHECK_EQ(vt_dump_on_signal(SIGUSR1), 0);
    CHECK_EQ(vt_dump_on_signal(SIGUSR1), 0);
    CHECK_EQ(vt_dump_on_signal(SIGUSR2), -EBUSY);
    vt_name_set("signalled");
    before = signals;
    fflush(stderr);
    kill(getpid(), SIGUSR1);
    while (!strstr(buf, " listed") && vt_now() < end) {
        vt_sleep_ms(1);
        ssize_t n = pread(fd, buf, sizeof buf - 1, 0);
        buf[n > 0 ? n : 0] = 0;
    }
    CHECK(strstr(buf, "\"signalled\" state=waiting wait=sleep") != NULL);
    CHECK_EQ(signals, before + 1);
    CHECK_EQ(vt_dump_on_signal(0), 0);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(vt_dump_on_signal(SIGUSR1), 0); /* again; its end takes it back */
    return 0;
}
static void count_later(int sig) { signals += 100 * (sig == SIGUSR1); }
static int signal_late_main(void *arg) {
    CHECK_EQ(vt_dump_on_signal(SIGUSR1), 0);
    CHECK(signal(SIGUSR1, count_later) != SIG_ERR);
    if (arg) CHECK_EQ(vt_dump_on_signal(0), 0);
    return 0;
}
TEST(a_handler_that_came_later_stays) {
    for (int by_hand = 0; by_hand <= 1; by_hand++) {
        signal(SIGUSR1, count_signal);
        CHECK_EQ(vt_run(cfg_of(1), signal_late_main, by_hand ? &got : NULL), 0);
        CHECK(signal(SIGUSR1, SIG_DFL) == count_later);
    }
}
TEST(a_signal_dumps_to_standard_error) {
    int fd = open(tmp_text("dump", ""), O_RDWR), old = dup(2);
    struct sigaction sa;
    REQUIRE(fd >= 0 && old >= 0);
    signal(SIGUSR1, count_signal);
    fflush(stderr);
    dup2(fd, 2);
    CHECK_EQ(vt_run(cfg_of(1), signal_main, &fd), 0);
    dup2(old, 2);
    close(fd), close(old);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &sa), 0);
    CHECK(sa.sa_handler == count_signal);
    signals = 0;
    kill(getpid(), SIGUSR1);
    CHECK_EQ(signals, 1);
    signal(SIGUSR1, SIG_DFL);
}
