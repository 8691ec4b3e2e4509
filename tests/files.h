/* A server of files, and what its handlers have come to. */
#ifndef VT_FILES_H
#define VT_FILES_H
#include "e2e.h"
#include "tmp.h"

enum { LARGE = (6 << 20) + 7 };
static char *large;
static int64_t told; /* what a handler has come to */
static int open_fd = -1;
#define NOT_YET INT64_MIN

static inline int64_t noted(void) {
    for (int64_t end = e2e_now_ms() + E2E_MS;
         __atomic_load_n(&told, __ATOMIC_SEQ_CST) == NOT_YET && e2e_now_ms() < end;)
        e2e_sleep_ms(1);
    return __atomic_load_n(&told, __ATOMIC_SEQ_CST);
}
static int note(int64_t r) {
    __atomic_store_n(&told, r, __ATOMIC_SEQ_CST);
    return r < 0 ? (int)r : 0;
}
/* A file of the first n of LARGE bytes, always the same. */
static const char *bytes_file(const char *name, size_t n) {
    uint64_t rng = 7;
    if (!large) {
        if (!(large = malloc(LARGE))) abort();
        for (size_t i = 0; i < LARGE; i++) large[i] = (char)(test_rand(&rng) >> 11);
    }
    return tmp_file(name, large, n);
}
static int64_t number(const vt_req *req, const char *name, int64_t none) {
    vt_str v = vt_req_query(req, name);
    return v.ptr ? strtoll(v.ptr, NULL, 10) : none;
}

static int h_file(vt_req *req, vt_res *res) {
    const char *path = tmp_path(vt_req_param(req, "name").ptr);
    vt_str under = vt_req_query(req, "under");
    if (under.ptr) path = vt_req_printf(req, "%s/%s", path, under.ptr);
    return note(vt_res_file(res, 200, "image/x-test", path));
}
/* n bytes from `off`, under a declared length `len`; in pieces of `step`. */
static int h_part(vt_req *req, vt_res *res) {
    int64_t off = number(req, "off", 0), n = number(req, "n", LARGE), len = number(req, "len", -1), r = 0;
    int64_t step = number(req, "step", n), fd = number(req, "fd", open_fd);
    if (len >= 0) vt_res_length(res, len);
    if (number(req, "status", 0)) vt_res_status(res, (int)number(req, "status", 0));
    if (number(req, "text", 0)) vt_res_write(res, "text", 4);
    while (n > 0 && (r = vt_res_write_file(res, (int)fd, off, step < n ? step : n)) > 0) off += r, n -= r;
    if (r >= 0 && number(req, "text", 0)) r = vt_res_write(res, "more", 4);
    return note(r);
}
static int h_bad(vt_req *req, vt_res *res) {
    (void)req;
    CHECK_EQ(vt_res_write_file(res, open_fd, -1, 5), -EINVAL);
    CHECK_EQ(vt_res_write_file(res, open_fd, 5, -1), -EINVAL);
    CHECK_EQ(vt_res_write_file(res, open_fd, INT64_MAX, 1), -EINVAL);
    CHECK_EQ(vt_res_file(res, 99, NULL, "/"), -EINVAL);
    CHECK_EQ(vt_res_file(res, 200, "a\nb", "/"), VT_EFIELD);
    CHECK_EQ(vt_res_file(res, 200, NULL, NULL), -EINVAL);
    CHECK_EQ(vt_res_sent(res), 0);
    CHECK_EQ(vt_res_text(res, 200, "fine"), 0);
    CHECK_EQ(vt_res_write_file(res, open_fd, 0, 1), VT_ESURPLUS);
    CHECK_EQ(vt_res_file(res, 200, NULL, tmp_path("large")), VT_ESTATE);
    return 0;
}
static void routes(vt_server *s) {
    vt_server_get(s, "/file/{name}", h_file);
    vt_server_get(s, "/part", h_part);
    vt_server_get(s, "/bad", h_bad);
}
static inline bool start(vt_server_cfg *cfg) {
    if (open_fd < 0) open_fd = open(bytes_file("large", LARGE), O_RDONLY);
    note(NOT_YET);
    return open_fd >= 0 && e2e_start(cfg, routes) == 0;
}
static inline bool has(const struct cl *c, int64_t off, int64_t n) {
    return !c->truncated && (int64_t)c->body_len == n && memcmp(c->body, large + off, (size_t)n) == 0;
}

/* As cl_get; noted() is about it. */
static inline int get(struct cl *c, const char *target) {
    note(NOT_YET);
    return cl_get(c, target);
}
#endif
