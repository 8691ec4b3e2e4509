/* Files over HTTP/2: what the kernel's cache has is read to where it goes out from; windows, turns, memory, ends. */
/* variants: default asan */
#define VTHTTP_SIM 1
#define VTHTTP_H2 1
#include "files.h"

#include "h2client.h"

static int64_t in_cache = INT64_MAX; /* bytes of the file */
static int64_t got_now, got_later, asked, most_places, unaligned;
static ssize_t part_pread_now(int fd, const struct iovec *v, size_t n, int64_t off) {
    ssize_t all = 0;
    asked++;
    most_places = VT__MAX(most_places, (int64_t)n);
    for (size_t i = 0; i < n; i++) {
        int64_t at = off + all, k = VT__MIN((int64_t)v[i].iov_len, in_cache - at);
        unaligned += ((uintptr_t)v[i].iov_base & 63) != 0;
        ssize_t r = k > 0 ? vt__plat_sys_pread(fd, v[i].iov_base, (size_t)k, at) : 0;
        if (r < 0) return r;
        all += r;
        if (r < (ssize_t)v[i].iov_len) break;
    }
    got_now += all;
    return all ? all : -EAGAIN;
}
static ssize_t later_pread(int fd, void *p, size_t n, int64_t off) {
    ssize_t r = vt__plat_sys_pread(fd, p, n, off);
    __atomic_add_fetch(&got_later, r, __ATOMIC_SEQ_CST);
    return r;
}
/* Finds its file to be short, and waits before it says so. */
static int held;
static int h_hesitates(vt_req *req, vt_res *res) {
    (void)req;
    vt_res_length(res, LARGE + 1);
    int64_t r = vt_res_write_file(res, open_fd, LARGE - 100000, LARGE + 1);
    while (__atomic_load_n(&held, __ATOMIC_SEQ_CST) && vt_sleep_ms(1) == 0) continue;
    return note(r);
}
static void more_routes(vt_server *s) {
    routes(s);
    vt_server_get(s, "/hesitates", h_hesitates);
}
static bool begin(int64_t cache) {
    in_cache = cache;
    got_now = got_later = asked = most_places = unaligned = 0;
    vt__plat.pread_now = part_pread_now;
    vt__plat.pread = later_pread;
    if (open_fd < 0) open_fd = open(bytes_file("large", LARGE), O_RDONLY);
    return e2e_start(&(vt_server_cfg){.workers = 1}, more_routes) == 0;
}
static bool whole(struct h2_stream *s, int64_t off, int64_t n) {
    return s->status == 200 && s->end && (int64_t)s->body_len == n &&
           !memcmp(s->body, large + off, (size_t)n);
}

/* The windows are not what limits it. */
static bool wide(struct h2 *h) { return h2_open_window(h, 1 << 24, 0) && h2_credit(h, 0, 1 << 24); }

TEST(one_read_for_all_that_there_is_room_for) {
    REQUIRE(begin(INT64_MAX));
    H2(h);
    REQUIRE(wide(&h));
    CHECK_EQ(h2_get(&h, "/file/large"), 200);
    CHECK(whole(h.s, 0, LARGE));
    CHECK(got_now == LARGE && got_later == 0);
    CHECK(most_places == VT__H2E_OUT_MAX / VT__H2_FRAME_MIN && unaligned == 0);
    CHECK(asked < LARGE / (5 * VT__H2_FRAME_MIN));
    CHECK_EQ(h2_get(&h, "/part?text=1&n=100000"), 200); /* among others' bytes, of no declared length */
    CHECK(h.s->end && h.s->body_len == 100008 && !memcmp(h.s->body + 4, large, 100000));
    CHECK_EQ(e2e_stop(), 0);
}
TEST(no_more_is_read_than_windows_allow) {
    REQUIRE(begin(INT64_MAX));
    H2(h);
    REQUIRE(h2_open_window(&h, 10000, 0));
    h.hold = true;
    struct h2_stream *s = h2_of(&h, h2_ask(&h, "GET /file/large", "", true));
    H2_UNTIL(&h, s->body_len == 10000);
    CHECK(got_now == 10000);
    h2_credit(&h, s->id, 1 << 24); /* the connection's is the smaller one */
    H2_UNTIL(&h, s->body_len == 65535);
    CHECK(got_now == 65535);
    h2_credit(&h, 0, 1 << 24);
    CHECK_EQ(h2_wait(&h, s->id), 200);
    CHECK(whole(s, 0, LARGE) && got_now == LARGE);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(what_the_cache_has_not_is_the_pools) {
    static const int64_t caches[] = {0, 1, 16384, 100000, 1000000, LARGE - 1};
    for (size_t i = 0; i < VT__COUNT(caches); i++) {
        REQUIRE(begin(caches[i]));
        H2(h);
        REQUIRE(wide(&h));
        CHECK_EQ(h2_get(&h, "/file/large"), 200);
        CHECK(whole(h.s, 0, LARGE));
        CHECK(got_later >= LARGE - caches[i]);
        CHECK_EQ(h2_get(&h, "/bad"), 200);
        CHECK_EQ(e2e_stop(), 0);
    }
}
/* A stream that others take turns with has a frame, and none is read twice. */
TEST(files_in_turns) {
    REQUIRE(begin(INT64_MAX));
    H2(h);
    REQUIRE(h2_open_window(&h, 1 << 20, 0));
    uint32_t id[4];
    for (int i = 0; i < 4; i++)
        id[i] = h2_ask(&h, "GET /part?n=400000&len=400000", i == 3 ? "" : "priority: i\n", true);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(h2_wait(&h, id[i]), 200);
        CHECK(whole(h2_of(&h, id[i]), 0, 400000));
    }
    CHECK(got_now >= 1600000 && got_now < 1600000 + 20 * VT__H2_FRAME_MIN);
    CHECK_EQ(e2e_stop(), 0);
}
/* Whose file is to be read by other means has no turn meanwhile, and whoever is less urgent has. */
TEST(a_file_that_has_no_more_holds_up_nobody) {
    REQUIRE(begin(INT64_MAX));
    H2(h);
    REQUIRE(wide(&h));
    note(NOT_YET);
    __atomic_store_n(&held, 1, __ATOMIC_SEQ_CST);
    struct h2_stream *s = h2_of(&h, h2_ask(&h, "GET /hesitates", "priority: u=0\n", true));
    H2_UNTIL(&h, s->body_len == 100000);
    CHECK_EQ(h2_wait(&h, h2_ask(&h, "GET /part?n=50000&len=50000", "priority: u=7\n", true)), 200);
    CHECK(whole(h.s, 0, 50000) && s->body_len == 100000 && s->rst < 0);
    note(NOT_YET);
    __atomic_store_n(&held, 0, __ATOMIC_SEQ_CST);
    CHECK_EQ(h2_wait(&h, s->id), H2_RST - VT__H2_INTERNAL_ERROR);
    CHECK_EQ(noted(), VT_ESHORT);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(a_file_that_ends_is_reset) {
    REQUIRE(begin(INT64_MAX));
    H2(h);
    REQUIRE(wide(&h));
    char what[100];
    snprintf(what, sizeof what, "/part?n=%d&len=%d", LARGE + 1, LARGE + 1);
    note(NOT_YET);
    CHECK_EQ(h2_get(&h, what), H2_RST - VT__H2_INTERNAL_ERROR);
    CHECK(!h.s->end && h.s->body_len == LARGE);
    CHECK_EQ(noted(), VT_ESHORT);
    CHECK_EQ(h2_get(&h, "/bad"), 200);
    CHECK_EQ(e2e_stop(), 0);
}
static void *no_large(void *p, size_t n) {
    return n == 2 * VT__H2E_OUT_MAX ? NULL : vt__plat_sys_realloc(p, n);
}
TEST(no_memory_for_the_output) {
    REQUIRE(begin(INT64_MAX));
    H2(h);
    H2(next);
    REQUIRE(wide(&h));
    note(NOT_YET);
    vt__plat.realloc = no_large;
    CHECK(h2_get(&h, "/file/large") < 0);
    CHECK(noted() < 0);
    vt__plat.realloc = vt__plat_sys_realloc;
    REQUIRE(h2_open(&next));
    CHECK_EQ(h2_get(&next, "/file/large"), 200);
    CHECK(whole(next.s, 0, LARGE));
    CHECK_EQ(e2e_stop(), 0);
}
