/* tsan */
/* Memory, numbers, dates, error names, lists, messages, and what the table of system calls promises. */
#define VTHTTP_IMPLEMENTATION
#define VTHTTP_SIM 1
#include "../vthttp.h"
#include "test.h"

#include <time.h>

/*--- an allocator that counts and fails ---*/
static int64_t blocks_live, allocs, fail_at; /* the fail_at-th allocation from now fails; 0: none */
static void *count_realloc(void *p, size_t n) {
    if (fail_at && --fail_at == 0) return NULL;
    void *q = realloc(p, n);
    if (!p && q) blocks_live++, allocs++;
    return q;
}
static void count_free(void *p) {
    if (p) blocks_live--;
    free(p);
}
static void count_on(void) {
    vt__plat.realloc = count_realloc;
    vt__plat.free = count_free;
    blocks_live = allocs = fail_at = 0;
}
static void count_off(void) {
    vt__plat.realloc = vt__plat_sys_realloc;
    vt__plat.free = vt__plat_sys_free;
}

/*--- @mem ---*/
TEST(zeroing_touches_its_bytes_alone) {
    unsigned char b[400];
    for (size_t n = 0; n <= 300; n++) {
        memset(b, 0xee, sizeof b);
        vt__mem_zero(b + 7, n);
        for (size_t i = 0; i < sizeof b; i++) CHECK_EQ(b[i], i >= 7 && i < 7 + n ? 0 : 0xee);
    }
    unsigned char *z = vt__mem_zalloc(1000);
    REQUIRE(z);
    for (int i = 0; i < 1000; i++) CHECK_EQ(z[i], 0);
    vt__mem_free(z);
    vt__mem_free(NULL);
    char *s = vt__mem_strdup("abcdef", 3), *empty = vt__mem_strdup(NULL, 0);
    CHECK_STR(s, "abc");
    CHECK_STR(empty, "");
    vt__mem_free(s);
    vt__mem_free(empty);
}

TEST(a_pool_is_last_in_first_out_and_bounded) {
    vt__pool p;
    void *b[20];
    count_on();
    vt__mem_pool_init(&p, 48, 8);
    for (int i = 0; i < 20; i++) {
        REQUIRE((b[i] = vt__mem_pool_get(&p)) != NULL);
        memset(b[i], i, 48);
    }
    CHECK_EQ(blocks_live, 20);
    for (int i = 0; i < 20; i++) vt__mem_pool_put(&p, b[i]);
    CHECK_EQ(p.count, 8);
    CHECK_EQ(blocks_live, 8); /* the other twelve went back */
    for (int i = 7; i >= 0; i--) CHECK(vt__mem_pool_get(&p) == b[i]);
    CHECK_EQ(allocs, 20);
    CHECK_EQ(p.count, 0);
    fail_at = 1;
    CHECK(vt__mem_pool_get(&p) == NULL);
    for (int i = 0; i < 8; i++) vt__mem_pool_put(&p, b[i]);
    vt__mem_pool_drain(&p);
    CHECK_EQ(blocks_live, 0);
    CHECK_EQ(p.count, 0);
    vt__mem_pool_init(&p, 48, 0); /* keeps none */
    vt__mem_pool_put(&p, vt__mem_pool_get(&p));
    CHECK_EQ(blocks_live, 0);
    count_off();
}

enum { ARENA_BLOCK = 1024, ARENA_MANY = 400 };
static struct {
    unsigned char *p;
    size_t n;
} given[ARENA_MANY];
static int arena_fill(vt__arena *a, uint64_t *rng, int most) { /* how many it gave until it was full */
    int n = 0;
    for (; n < most; n++) {
        uint64_t r = test_rand(rng);
        size_t size = (size_t)(r % 8 ? (r >> 8) % 100 : (r >> 8) % 3000);
        if (!(given[n].p = vt__mem_arena_get(a, size))) break;
        CHECK(((uintptr_t)given[n].p & 15) == 0);
        memset(given[n].p, n & 0xff, given[n].n = size);
    }
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < given[i].n; k++) CHECK_EQ(given[i].p[k], i & 0xff); /* none overlap */
    return n;
}

TEST(an_arena_gives_aligned_memory_up_to_its_limit) {
    vt__pool pool;
    vt__arena a;
    uint64_t rng = test_seed();
    count_on();
    vt__mem_pool_init(&pool, ARENA_BLOCK, 4);
    for (int round = 0; round < 60; round++) {
        size_t limit = round % 3 ? 2000 + (size_t)(test_rand(&rng) % 40000) : 0;
        vt__mem_arena_init(&a, &pool, limit);
        int n = arena_fill(&a, &rng, ARENA_MANY);
        CHECK(limit == 0 || a.used <= limit);
        CHECK(n == ARENA_MANY || limit != 0);
        if (n < ARENA_MANY) { /* full for the big, perhaps not for the small: its end is exact */
            while (vt__mem_arena_get(&a, 16)) continue;
            CHECK(a.limit - a.used < ARENA_BLOCK);
        }
        vt__mem_arena_reset(&a);
        CHECK_EQ(a.used, 0);
        CHECK(pool.count <= 4 && blocks_live == pool.count);       /* nothing but what the pool keeps */
        CHECK(limit < 4096 || vt__mem_arena_get(&a, 100) != NULL); /* once more */
        vt__mem_arena_reset(&a);
    }
    vt__mem_pool_drain(&pool);
    CHECK_EQ(blocks_live, 0);
    count_off();
}

TEST(big_blocks_leave_the_open_one_open) {
    vt__pool pool;
    vt__arena a;
    count_on();
    vt__mem_pool_init(&pool, ARENA_BLOCK, 4);
    vt__mem_arena_init(&a, &pool, 0);
    char *one = vt__mem_arena_get(&a, 16), *big = vt__mem_arena_get(&a, 5000), *two;
    REQUIRE(one && big);
    memset(big, 1, 5000);
    two = vt__mem_arena_get(&a, 16);
    CHECK(two == one + 16);
    CHECK_EQ(a.used, ARENA_BLOCK + sizeof(vt__arena_block) + 5008);
    vt__mem_arena_reset(&a);
    big = vt__mem_arena_get(&a, 5000); /* the first of all */
    one = vt__mem_arena_get(&a, 16);
    REQUIRE(big && one);
    CHECK(one < big || one >= big + 5000);
    vt__mem_arena_reset(&a);
    for (size_t n = ARENA_BLOCK / 2 - 40; n < ARENA_BLOCK + 40; n++) { /* about the sizes where it changes */
        char *p = vt__mem_arena_get(&a, n), *q = vt__mem_arena_get(&a, n);
        REQUIRE(p && q);
        memset(p, 1, n);
        memset(q, 2, n);
        CHECK_EQ(p[n - 1], 1);
        vt__mem_arena_reset(&a);
    }
    CHECK(vt__mem_arena_get(&a, SIZE_MAX) == NULL);
    CHECK(vt__mem_arena_get(&a, SIZE_MAX - 15) == NULL);
    CHECK(vt__mem_arena_get(&a, SIZE_MAX / 2 + 1) == NULL);
    CHECK(vt__mem_arena_get(&a, 0) != NULL);
    CHECK_STR(vt__mem_arena_str(&a, "hello", 4), "hell");
    CHECK_STR(vt__mem_arena_str(&a, NULL, 0), "");
    vt__mem_arena_reset(&a);
    vt__mem_pool_drain(&pool);
    CHECK_EQ(blocks_live, 0);
    count_off();
}

TEST(an_arena_survives_each_failed_allocation) {
    vt__pool pool;
    vt__arena a;
    int n = 1;
    count_on();
    for (; n < 100; n++) {
        vt__mem_pool_init(&pool, ARENA_BLOCK, 4);
        vt__mem_arena_init(&a, &pool, 0);
        fail_at = n;
        bool failed = false;
        for (int i = 0; i < 60; i++) {
            size_t size = i % 5 ? 100 : 2000;
            char *p = vt__mem_arena_get(&a, size);
            if (!p) failed = true;
            else memset(p, i, size);
        }
        bool hit = fail_at == 0;
        fail_at = 0;
        CHECK_EQ(failed, hit);
        CHECK(vt__mem_arena_get(&a, 3000) != NULL);
        vt__mem_arena_reset(&a);
        vt__mem_pool_drain(&pool);
        CHECK_EQ(blocks_live, 0);
        if (!hit) break; /* a clean run */
    }
    CHECK(n > 10 && n < 100);
    count_off();
}

/*--- @str ---*/
TEST(slices_compare_and_trim) {
    vt_str a = VT__STR_LIT("aBc"), b = VT__STR_LIT("AbC"), none = {NULL, 0}, empty = VT__STR_LIT("");
    CHECK(vt__str_eq(a, vt__str_of("aBc")));
    CHECK(!vt__str_eq(a, b));
    CHECK(vt__str_eq_ci(a, b));
    CHECK(!vt__str_eq_ci(a, vt__str_of("aB")));
    CHECK(vt__str_eq(none, empty) && vt__str_eq_ci(none, empty));
    CHECK_EQ(vt__str_of(NULL).len, 0);
    for (int c = 0; c < 256; c++) { /* no locale, no letters beyond ASCII */
        char one = (char)c;
        CHECK_EQ(vt__str_lower(one), c >= 'A' && c <= 'Z' ? c + 32 : one);
        for (int d = 0; d < 256; d++) {
            char x = (char)c, y = (char)d;
            bool same = c == d || (c >= 'A' && c <= 'Z' && d == c + 32) ||
                        (d >= 'A' && d <= 'Z' && c == d + 32);
            CHECK_EQ(vt__str_eq_ci((vt_str){&x, 1}, (vt_str){&y, 1}), same);
        }
    }
    static const struct {
        const char *in, *out;
    } t[] = {{"", ""},     {" ", ""},        {"\t \t", ""},  {" a", "a"},
             {"a\t", "a"}, {" a b ", "a b"}, {"\na ", "\na"}};
    for (size_t i = 0; i < VT__COUNT(t); i++)
        CHECK(vt__str_eq(vt__str_trim(vt__str_of(t[i].in)), vt__str_of(t[i].out)));
}

TEST(numbers_at_the_edges) {
    static const struct {
        const char *text;
        int64_t max;
        int r;
        int64_t value;
    } t[] = {
        {"", 9, -EINVAL, 0},
        {"0", 0, 0, 0},
        {"00", 0, 0, 0},
        {"1", 0, -ERANGE, 0},
        {"9", 9, 0, 9},
        {"10", 9, -ERANGE, 0},
        {"010", 10, 0, 10},
        {"65535", 65535, 0, 65535},
        {"65536", 65535, -ERANGE, 0},
        {"00000000000000000000000000000000000007", 7, 0, 7},
        {"9223372036854775807", INT64_MAX, 0, INT64_MAX},
        {"9223372036854775808", INT64_MAX, -ERANGE, 0},
        {"9223372036854775806", INT64_MAX - 1, 0, INT64_MAX - 1},
        {"9223372036854775807", INT64_MAX - 1, -ERANGE, 0},
        {"18446744073709551616", INT64_MAX, -ERANGE, 0},
        {"18446744073709551617", INT64_MAX, -ERANGE, 0},
        {"99999999999999999999999999", INT64_MAX, -ERANGE, 0},
        {"10x", 9, -EINVAL, 0}, /* no number, and not one that is too large */
        {"99999999999999999999x", INT64_MAX, -EINVAL, 0},
        {"99999999999999999999 5", INT64_MAX, -EINVAL, 0},
        {"-1", 9, -EINVAL, 0},
        {"+1", 9, -EINVAL, 0},
        {" 1", 9, -EINVAL, 0},
        {"1 ", 9, -EINVAL, 0},
        {"0x1", 9, -EINVAL, 0},
        {"1e1", 99, -EINVAL, 0},
        {"\xb1", 9, -EINVAL, 0},
        {"1/", 99, -EINVAL, 0},
        {"1:", 99, -EINVAL, 0},
    };
    for (size_t i = 0; i < VT__COUNT(t); i++) {
        int64_t v = -77;
        CHECK_EQ(vt__str_u63(vt__str_of(t[i].text), t[i].max, &v), t[i].r);
        CHECK_EQ(v, t[i].r ? -77 : t[i].value);
    }
    int64_t v = 0;
    CHECK_EQ(vt__str_u63((vt_str){"1\0002", 3}, 99, &v), -EINVAL);
}

TEST(numbers_there_and_back) {
    uint64_t rng = test_seed(), n;
    char mine[24], want[24];
    for (int i = 0; i < 20000; i++) {
        uint64_t edges[] = {0, 9, 10, UINT64_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1};
        n = i < 6 ? edges[i] : test_rand(&rng) >> test_rand(&rng) % 64;
        memset(mine, 'x', sizeof mine);
        size_t len = vt__str_put_u64(mine, n);
        CHECK_EQ(len, snprintf(want, sizeof want, "%llu", (unsigned long long)n));
        CHECK_MEM(mine, len, want, len);
        CHECK_EQ(mine[len], 'x');
        int64_t back = -1, max = (int64_t)(test_rand(&rng) >> 1 >> test_rand(&rng) % 63);
        int r = vt__str_u63((vt_str){mine, len}, max, &back);
        CHECK_EQ(r, n <= (uint64_t)max ? 0 : -ERANGE);
        if (r == 0) CHECK_EQ(back, (int64_t)n);
    }
}

static void date_check(int64_t unix_s) {
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"},
                             *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char mine[30], want[64];
    time_t t = (time_t)unix_s;
    struct tm tm;
    gmtime_r(&t, &tm);
    snprintf(want, sizeof want, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
             months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    mine[29] = '!';
    vt__str_put_date(mine, unix_s);
    CHECK_EQ(mine[29], '!');
    mine[29] = 0;
    CHECK_STR(mine, want);
}
TEST(dates_are_those_of_gmtime) {
    const int64_t end = sizeof(time_t) < 8 ? INT32_MAX : INT64_C(253402300799); /* the end of 9999 */
    uint64_t rng = test_seed();
    char text[30] = {0};
    vt__str_put_date(text, 784111777); /* the example of RFC 9110 */
    CHECK_STR(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    for (int64_t day = 0; day < 366 * 460;
         day++) { /* every day of more than 400 years, first and last second */
        if (day * 86400 + 86399 > end) break;
        date_check(day * 86400);
        date_check(day * 86400 + 86399);
    }
    for (int i = 0; i < 20000; i++) date_check((int64_t)(test_rand(&rng) % (uint64_t)end));
    date_check(end);
}

/*--- @err ---*/
TEST(errors_have_names_and_texts) {
#define ERR_CHECK(name, value, text)                                                                         \
    CHECK_EQ(name, value);                                                                                   \
    CHECK_STR(vt_err_name(name), #name);                                                                     \
    CHECK_STR(vt_strerror(name), text);
    VT_ERRORS(ERR_CHECK)
#define ERR_SYS_CHECK(name)                                                                                  \
    CHECK_STR(vt_err_name(-name), #name);                                                                    \
    CHECK_STR(vt_strerror(-name), strerror(name));
    VT__ERR_SYS(ERR_SYS_CHECK)
#define ERR_CODE(name, value, text) value,
    static const int codes[] = {VT_ERRORS(ERR_CODE)};
    for (size_t i = 0; i < VT__COUNT(codes); i++) {
        CHECK(codes[i] <= -10000); /* clear of every errno */
        for (size_t k = 0; k < i; k++) CHECK(codes[i] != codes[k]);
    }
    CHECK_STR(vt_err_name(0), "OK");
    CHECK_STR(vt_strerror(0), "success");
    CHECK_STR(vt_err_name(-99999), "?");
    CHECK_STR(vt_strerror(-99999), "error -99999");
    CHECK_STR(vt_strerror(5), "error 5");
    CHECK_STR(vt_strerror(INT_MIN), "error -2147483648");
    CHECK_STR(vt_strerror(-ELOOP), strerror(ELOOP)); /* not in the list of names */
    CHECK_STR(vt_err_name(-ELOOP), "?");
}

/*--- @ds ---*/
TEST(lists_agree_with_an_array) {
    enum { N = 24 };
    vt__list head, node[N];
    int order[N], n = 0;
    uint64_t rng = test_seed();
    vt__ds_list_init(&head);
    for (int i = 0; i < N; i++) vt__ds_list_init(&node[i]);
    for (int step = 0; step < 20000; step++) {
        int i = (int)(test_rand(&rng) % N), at = 0;
        while (at < n && order[at] != i) at++;
        if (test_rand(&rng) % 8 == 0) {
            vt__list *p = vt__ds_list_pop(&head);
            CHECK(p == (n ? &node[order[0]] : NULL));
            if (n) memmove(order, order + 1, (size_t)--n * sizeof *order);
        } else if (at < n) {
            vt__ds_list_remove(&node[i]);
            CHECK(vt__ds_list_empty(&node[i])); /* points to itself again */
            memmove(order + at, order + at + 1, (size_t)(--n - at) * sizeof *order);
        } else {
            vt__ds_list_push(&head, &node[i]);
            order[n++] = i;
        }
        CHECK_EQ(vt__ds_list_empty(&head), n == 0);
        vt__list *p = head.next, *q = head.prev;
        for (int k = 0; k < n; k++, p = p->next, q = q->prev) {
            REQUIRE(p == &node[order[k]]);
            REQUIRE(q == &node[order[n - 1 - k]]);
        }
        REQUIRE(p == &head && q == &head);
    }
}

/*--- @log ---*/
static struct {
    int level, count;
    char line[1100];
} logged;
static void log_keep(void *ctx, int level, const char *line) {
    CHECK(ctx == &logged);
    logged.level = level;
    logged.count++;
    snprintf(logged.line, sizeof logged.line, "%s", line);
}
TEST(messages_are_filtered_and_cut) {
    char long_text[3000];
    memset(long_text, 'y', sizeof long_text);
    long_text[sizeof long_text - 1] = 0;
    for (int min = VT_LOG_DEBUG; min <= VT_LOG_OFF; min++) {
        vt_log_set(log_keep, &logged, min);
        for (int level = -1; level <= VT_LOG_OFF + 1; level++) {
            logged.count = 0;
            vt_log(level, "%s %d", "message", level);
            CHECK_EQ(logged.count, level >= min && level <= VT_LOG_ERROR);
            if (logged.count) CHECK_EQ(logged.level, level);
        }
    }
    vt_log_set(log_keep, &logged, 0); /* the default: from info up */
    logged.count = 0;
    vt_log(VT_LOG_DEBUG, "no");
    CHECK_EQ(logged.count, 0);
    vt_log(VT_LOG_INFO, "%s", long_text);
    CHECK_EQ(strlen(logged.line), 1000);
    vt_log(VT_LOG_INFO, "named '%s'",
           "a\nvthttp: error: b\r\x1b[2J\x7f\tc\xc3\xa4"); /* one line, whatever is in it */
    CHECK_STR(logged.line, "named 'a?vthttp: error: b??[2J?\tc\xc3\xa4'");
    vt_log_set(NULL, NULL, 0);
}
TEST(messages_go_to_standard_error) {
    char text[3000] = {0}, long_text[3000];
    int p[2], old = dup(2);
    REQUIRE(old >= 0 && pipe(p) == 0);
    memset(long_text, 'y', sizeof long_text);
    long_text[sizeof long_text - 1] = 0;
    dup2(p[1], 2);
    vt_log(VT_LOG_DEBUG, "not seen");
    vt_log(VT_LOG_WARN, "port %d is in use", 80);
    vt_log(VT_LOG_ERROR, "%s", long_text);
    dup2(old, 2);
    close(old);
    close(p[1]);
    CHECK(read(p[0], text, sizeof text - 1) > 0);
    close(p[0]);
    const char *first = "vthttp: warning: port 80 is in use\nvthttp: error: yyy";
    CHECK_MEM(text, strlen(first), first, strlen(first));
    size_t n = strlen(text);
    CHECK(n > 1000 && text[n - 1] == '\n' && strchr(strchr(text, '\n') + 1, '\n') == text + n - 1);
}

/*--- @plat ---*/
TEST(calls_give_results_or_negative_errors) {
    struct pollfd none = {.fd = -1, .events = POLLIN};
    char c;
    errno = 0;
    CHECK_EQ(vt__plat_close(-1), -EBADF);
    CHECK_EQ(vt__plat_read(-1, &c, 1), -EBADF);
    CHECK_EQ(vt__plat_recv(-1, &c, 1, 0), -EBADF);
    CHECK_EQ(vt__plat_accept(-1, NULL, NULL), -EBADF);
    CHECK_EQ(vt__plat_open("/no/such/file/here", O_RDONLY, 0), -ENOENT);
    CHECK_EQ(vt__plat_unlink("/no/such/file/here"), -ENOENT);
    CHECK_EQ(vt__plat_poll(&none, 1, 0), 0);
    int fd = vt__plat_socket(AF_UNIX, SOCK_STREAM);
    REQUIRE(fd >= 0);
    CHECK(vt__plat_fcntl(fd, F_GETFL, 0) & O_NONBLOCK);
    CHECK(vt__plat_fcntl(fd, F_GETFD, 0) & FD_CLOEXEC);
    CHECK_EQ(vt__plat_recv(fd, &c, 1, 0), -EINVAL); /* not connected */
    CHECK_EQ(vt__plat_close(fd), 0);
    void *p = vt__plat_mmap(1 << 20);
    REQUIRE(p);
    memset(p, 1, 1 << 20);
    CHECK_EQ(vt__plat_munmap(p, 1 << 20), 0);
    CHECK(vt__plat_mmap(SIZE_MAX & ~(size_t)0xffff) == NULL);
}

static void on_alarm(int sig) { (void)sig; }
TEST(time_goes_on_and_sleep_sleeps_through_signals) {
    int64_t last = vt_now();
    for (int i = 0; i < 10000; i++) {
        int64_t now = vt_now();
        CHECK(now >= last);
        last = now;
    }
    struct sigaction sa, old;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_alarm; /* without SA_RESTART */
    sigaction(SIGVTALRM, &sa, &old);
    sigaction(SIGPROF, &sa, NULL);
    timer_t timer;
    struct sigevent ev;
    memset(&ev, 0, sizeof ev);
    ev.sigev_notify = SIGEV_SIGNAL;
    ev.sigev_signo = SIGVTALRM;
    REQUIRE(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
    struct itimerspec every = {{0, 2000000}, {0, 2000000}};
    timer_settime(timer, 0, &every, NULL);
    int64_t from = vt_now();
    vt__plat_sleep(30 * VT_MS);
    int64_t took = vt_now() - from;
    timer_delete(timer);
    sigaction(SIGVTALRM, &old, NULL);
    CHECK(took >= 30 * VT_MS);
    CHECK(took < 20 * VT_SEC);
}

#if defined(__linux__)
static ssize_t no_random(void *p, size_t n) {
    (void)p, (void)n;
    return -ENOSYS;
}
static ssize_t short_random(void *p, size_t n) {
    (void)p;
    return (ssize_t)n - 1;
}
#endif
TEST(seeds_differ_even_without_getrandom) {
    uint64_t v[30];
    for (int i = 0; i < 30; i++) {
#if defined(__linux__)
        if (i == 10) vt__plat.getrandom = no_random;
        if (i == 20) vt__plat.getrandom = short_random;
#endif
        v[i] = 0;
        vt__plat_random(&v[i], sizeof v[i]);
        for (int k = 0; k < i; k++) CHECK(v[i] != v[k]);
    }
#if defined(__linux__)
    vt__plat.getrandom = vt__plat_sys_getrandom;
#endif
}

static struct {
    uint32_t spin;
    int64_t sum; /* under spin */
} locked;
enum { LOCK_TURNS = 20000 };
static void *lock_many(void *arg) {
    for (int i = 0; i < LOCK_TURNS; i++) {
        vt__plat_spin_lock(&locked.spin);
        locked.sum += *(int *)arg;
        vt__plat_spin_unlock(&locked.spin);
    }
    return NULL;
}
TEST(the_spin_lock_excludes) {
    pthread_t t[4];
    int one = 1;
    for (int i = 0; i < 4; i++) REQUIRE(pthread_create(&t[i], NULL, lock_many, &one) == 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    CHECK_EQ(locked.sum, 4 * LOCK_TURNS);
    CHECK_EQ(locked.spin, 0);
}
