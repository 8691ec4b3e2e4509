/* Files as responses: whole, in parts, to clients that are slow, gone, or of HTTP/1.0; files that are not there, or shrink while they
 * are sent. Over plain HTTP/1.1 they go by sendfile; e2e_file_tls.c and e2e_file_h2_tls.c have the same by reads. */
/* tsan */
#include "files.h"

TEST(files_of_every_size) {
    static const size_t sizes[] = {0, 1, 1000, 15000, 16384, 16385, 65536, 65537, LARGE};
    CL(c);
    REQUIRE(start(NULL));
    for (size_t i = 0; i < VT__COUNT(sizes); i++) {
        bytes_file("any", sizes[i]);
        CHECK_EQ(cl_get(&c, "/file/any"), 200);
        CHECK(c.has_length && has(&c, 0, (int64_t)sizes[i]));
        CHECK_STR(cl_field(&c, "content-type"), "image/x-test");
        cl_printf(&c, "HEAD /file/any HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_EQ(cl_response_to(&c, true), 200);
        CHECK_EQ(c.length, sizes[i]);
        CHECK_STR(cl_field(&c, "content-type"), "image/x-test");
    }
    CHECK_EQ(cl_get(&c, "/bad"), 200); /* the connection is as good as before */
    CHECK_STR(c.body, "fine");
    CHECK_EQ(e2e_stop(), 0);
}

/* What a handler says itself before its file. */
static int h_own(vt_req *req, vt_res *res) {
    if (vt_req_query(req, "tag").ptr) vt_res_field(res, "ETag", "\"mine\"");
    if (vt_req_query(req, "date").ptr) vt_res_field(res, "Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    if (vt_req_query(req, "whole").ptr) vt_res_field(res, "Accept-Ranges", "none");
    vt_res_field(res, "Cache-Control", "max-age=60");
    return note(vt_res_file(res, (int)number(req, "status", 200), "image/x-test", tmp_path("any")));
}
static void own_routes(vt_server *s) {
    routes(s);
    vt_server_any(s, "/own", h_own);
}
static int ask(struct cl *c, const char *method, const char *target, const char *fields) {
    note(NOT_YET);
    cl_printf(c, "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, target, fields);
    return cl_response_to(c, strcmp(method, "HEAD") == 0);
}
TEST(files_that_have_not_changed) {
    static const size_t sizes[] = {0, 1000, LARGE};
    char etag[80], date[40], fields[200];
    CL(c);
    REQUIRE(start(NULL));
    for (size_t i = 0; i < VT__COUNT(sizes); i++) {
        bytes_file("any", sizes[i]);
        CHECK_EQ(cl_get(&c, "/file/any"), 200);
        CHECK_STR(cl_field(&c, "accept-ranges"), "bytes");
        snprintf(etag, sizeof etag, "%s", cl_field(&c, "etag"));
        snprintf(date, sizeof date, "%s", cl_field(&c, "last-modified"));
        CHECK(etag[0] == '"' && strlen(date) == 29);
        for (int head = 0; head < 2; head++) {
            const char *method = head ? "HEAD" : "GET";
            snprintf(fields, sizeof fields, "If-None-Match: \"x\", %s\r\n", etag);
            CHECK_EQ(ask(&c, method, "/file/any", fields), 304);
            CHECK(c.body_len == 0 && noted() == 0);
            CHECK_STR(cl_field(&c, "etag"), etag);
            CHECK_STR(cl_field(&c, "last-modified"), date);
            snprintf(fields, sizeof fields, "If-Modified-Since: %s\r\n", date);
            CHECK_EQ(ask(&c, method, "/file/any", fields), 304);
            snprintf(fields, sizeof fields, "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
            CHECK_EQ(ask(&c, method, "/file/any", fields), 200);
            CHECK_EQ(c.length, sizes[i]);
            CHECK_EQ(ask(&c, method, "/file/any", "If-Match: \"x\"\r\n"), 412);
            CHECK(c.body_len == 0 && noted() == 0);
            CHECK_STR(cl_field(&c, "etag"), etag);
        }
        snprintf(fields, sizeof fields, "If-None-Match: %s\r\n", etag);
        bytes_file("any", sizes[i] ^ 1);
        CHECK_EQ(ask(&c, "GET", "/file/any", fields), 200);
        CHECK(has(&c, 0, (int64_t)(sizes[i] ^ 1)));
        CHECK(strcmp(cl_field(&c, "etag"), etag) != 0);
    }
    CHECK_EQ(e2e_stop(), 0);
}
/* The time when a file was modified, in seconds and nanoseconds. */
static void touch(const char *path, int64_t s, long ns) {
    struct timespec t[2] = {{.tv_sec = (time_t)s, .tv_nsec = ns}, {.tv_sec = (time_t)s, .tv_nsec = ns}};
    if (utimensat(AT_FDCWD, path, t, 0) < 0) abort();
}
TEST(validators_are_of_the_time) {
    char etag[80], fields[200];
    const char *path = bytes_file("any", 1000);
    CL(c);
    REQUIRE(start(NULL));
    touch(path, 784111777, 5);
    CHECK_EQ(cl_get(&c, "/file/any"), 200);
    CHECK_STR(cl_field(&c, "last-modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
    snprintf(etag, sizeof etag, "%s", cl_field(&c, "etag"));
    CHECK_EQ(cl_get(&c, "/file/any"), 200);
    CHECK_STR(cl_field(&c, "etag"), etag);
    touch(path, 784111777, 6); /* as large as before */
    snprintf(fields, sizeof fields, "If-None-Match: %s\r\n", etag);
    CHECK_EQ(ask(&c, "GET", "/file/any", fields), 200);
    CHECK(strcmp(cl_field(&c, "etag"), etag) != 0);
    CHECK_EQ(ask(&c, "GET", "/file/any", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n"), 412);
    touch(path, time(NULL) + 100000, 0);
    CHECK_EQ(cl_get(&c, "/file/any"), 200);
    int64_t said = 0, now = vt__plat_clock(CLOCK_REALTIME) / VT_SEC; /* time() is some ms late */
    CHECK(vt__str_get_date(vt__str_of(cl_field(&c, "last-modified")), &said) == 0 && said <= now &&
          said > now - 60);
    static const int64_t old[] = {-1000, 0, 1, 315532800}; /* of archives, stores of packages, DOS */
    for (size_t i = 0; i < VT__COUNT(old); i++) {
        touch(path, old[i], 0);
        CHECK_EQ(ask(&c, "GET", "/file/any", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), 200);
        CHECK(!cl_field(&c, "etag") && !cl_field(&c, "last-modified"));
        CHECK_EQ(ask(&c, "GET", "/file/any", "Range: bytes=5-9\r\n"), 206);
        CHECK(has(&c, 5, 5));
    }
    CHECK_EQ(e2e_stop(), 0);
}
TEST(parts_of_a_file_that_are_asked_for) {
    static const size_t sizes[] = {1000, LARGE};
    char etag[80], fields[200], want[80];
    CL(c);
    REQUIRE(start(NULL));
    for (size_t i = 0; i < VT__COUNT(sizes); i++) {
        int64_t size = (int64_t)sizes[i];
        const int64_t parts[][2] = {{0, 1}, {1, 10}, {size - 1, 1}, {size / 3, size / 2}, {0, size}};
        bytes_file("any", sizes[i]);
        CHECK_EQ(cl_get(&c, "/file/any"), 200);
        for (size_t k = 0; k < VT__COUNT(parts); k++) {
            int64_t from = parts[k][0], n = parts[k][1];
            snprintf(fields, sizeof fields, "Range: bytes=%lld-%lld\r\n", (long long)from,
                     (long long)(from + n - 1));
            snprintf(want, sizeof want, "bytes %lld-%lld/%lld", (long long)from, (long long)(from + n - 1),
                     (long long)size);
            CHECK_EQ(ask(&c, "GET", "/file/any", fields), 206);
            CHECK(c.has_length && has(&c, from, n) && noted() == 0);
            CHECK_STR(cl_field(&c, "content-range"), want);
            CHECK_STR(cl_field(&c, "content-type"), "image/x-test");
            CHECK_EQ(ask(&c, "HEAD", "/file/any", fields), 200); /* of GET alone (RFC 9110 14.2) */
            CHECK_EQ(c.length, size);
        }
        snprintf(etag, sizeof etag, "%s", cl_field(&c, "etag"));
        CHECK_EQ(ask(&c, "GET", "/file/any", "Range: bytes=-7\r\n"), 206);
        CHECK(has(&c, size - 7, 7));
        snprintf(fields, sizeof fields, "Range: bytes=5-\r\nIf-Range: %s\r\n", etag);
        CHECK_EQ(ask(&c, "GET", "/file/any", fields), 206);
        CHECK(has(&c, 5, size - 5));
        CHECK_EQ(ask(&c, "GET", "/file/any", "Range: bytes=5-\r\nIf-Range: \"x\"\r\n"), 200);
        CHECK(has(&c, 0, size));
        CHECK_EQ(ask(&c, "GET", "/file/any", "Range: bytes=0-1,3-4\r\n"), 200);
        CHECK(has(&c, 0, size));
        snprintf(fields, sizeof fields, "Range: bytes=%lld-\r\n", (long long)size);
        CHECK_EQ(ask(&c, "GET", "/file/any", fields), 416);
        snprintf(want, sizeof want, "bytes */%lld", (long long)size);
        CHECK_STR(cl_field(&c, "content-range"), want);
        CHECK(c.body_len == 0 && noted() == 0);
    }
    CHECK_EQ(e2e_stop(), 0);
}
TEST(what_a_handler_says_of_its_file_stands) {
    CL(c);
    note(NOT_YET);
    REQUIRE(e2e_start(NULL, own_routes) == 0);
    bytes_file("any", 1000);
    CHECK_EQ(cl_get(&c, "/own"), 200);
    CHECK_EQ(ask(&c, "GET", "/own?tag=1", "If-None-Match: \"mine\"\r\n"), 304);
    CHECK_STR(cl_field(&c, "etag"), "\"mine\"");
    CHECK_STR(cl_field(&c, "cache-control"), "max-age=60");
    CHECK(!cl_field(&c, "content-type"));                         /* RFC 9110 15.4.5 */
    CHECK_EQ(ask(&c, "GET", "/own", "If-Match: \"x\"\r\n"), 412); /* nothing that is kept */
    CHECK(!cl_field(&c, "cache-control") && !cl_field(&c, "content-type"));
    CHECK_EQ(ask(&c, "GET", "/own", "Range: bytes=1000-\r\n"), 416);
    CHECK(!cl_field(&c, "cache-control") && !cl_field(&c, "content-type"));
    CHECK_EQ(ask(&c, "GET", "/own?date=1", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), 304);
    CHECK_EQ(ask(&c, "GET", "/own?whole=1", "Range: bytes=0-1\r\n"), 200);
    CHECK(has(&c, 0, 1000));
    CHECK_STR(cl_field(&c, "accept-ranges"), "none");
    CHECK_EQ(ask(&c, "GET", "/own?status=404", "Range: bytes=0-1\r\nIf-Match: \"x\"\r\n"), 404);
    CHECK(has(&c, 0, 1000) && !cl_field(&c, "etag"));
    CHECK_EQ(ask(&c, "POST", "/own", "Content-Length: 0\r\nIf-None-Match: *\r\nRange: bytes=0-1\r\n"), 200);
    CHECK(has(&c, 0, 1000) && !cl_field(&c, "etag"));
    CHECK_EQ(e2e_stop(), 0);
}

static void dir_routes(vt_server *s) {
    vt_server_files(s, "/", tmp_path("dir"));
    vt_server_files(s, "/more/", tmp_path("dir/sub"));
    vt_server_get(s, "/own", h_own);
}
static void dir_files(void) {
    static const char *const dirs[] = {"dir", "dir/sub", "dir/.git", "dir/.well-known"};
    static const char *const files[] = {
        "dir/index.html", "dir/a b.css",  "dir/sub/index.html",        "dir/sub/deep.JS",
        "dir/none",       "dir/own",      "dir/.git/config",           "dir/.well-known/token",
        "outside",        "dir/x.tar.gz", "dir/.well-known/index.html"};
    for (size_t i = 0; i < VT__COUNT(dirs); i++) mkdir(tmp_path(dirs[i]), 0700);
    for (size_t i = 0; i < VT__COUNT(files); i++) tmp_text(files[i], files[i]);
    mkdir(tmp_path("dir/v1.js"), 0700);
    mkfifo(tmp_path("dir/fifo"), 0600);
    (void)!symlink("none", tmp_path("dir/link"));
    (void)!symlink("loop", tmp_path("dir/loop"));
    mknod(tmp_path("dir/socket"), S_IFSOCK | 0600, 0);
    bytes_file("any", 1000);
}
TEST(files_of_a_directory) {
    static const struct {
        const char *path;
        int status;
        const char *body, *type, *to;
    } cases[] = {
        {"/", 200, "dir/index.html", "text/html; charset=utf-8", NULL},
        {"/index.html", 200, "dir/index.html", "text/html; charset=utf-8", NULL},
        {"/a%20b.css", 200, "dir/a b.css", "text/css; charset=utf-8", NULL},
        {"/a%20b.css?v=7", 200, "dir/a b.css", "text/css; charset=utf-8", NULL},
        {"/sub/", 200, "dir/sub/index.html", "text/html; charset=utf-8", NULL},
        {"/sub/deep.JS", 200, "dir/sub/deep.JS", "text/javascript; charset=utf-8", NULL},
        {"/sub%2Fdeep.JS", 200, "dir/sub/deep.JS", "text/javascript; charset=utf-8", NULL},
        {"/none", 200, "dir/none", "application/octet-stream", NULL},
        {"/x.tar.gz", 200, "dir/x.tar.gz", "application/gzip", NULL},
        {"/.well-known/token", 200, "dir/.well-known/token", "application/octet-stream", NULL},
        {"/.well-known/", 200, "dir/.well-known/index.html", "text/html; charset=utf-8", NULL},
        {"/more/", 200, "dir/sub/index.html", "text/html; charset=utf-8", NULL},
        {"/more/deep.JS", 200, "dir/sub/deep.JS", "text/javascript; charset=utf-8", NULL},
        {"/sub", 301, "", NULL, "/sub/"},
        {"/sub?a=b", 301, "", NULL, "/sub/?a=b"},
        {"/more", 301, "", NULL, "/more/"},
        {"/more?", 301, "", NULL, "/more/?"},
        {"/v1.js", 301, "", NULL, "/v1.js/"},
        {"/v1.js/", 404, NULL, NULL, NULL},
        {"/link", 200, "dir/none", "application/octet-stream", NULL},
        {"/loop", 404, NULL, NULL, NULL},
        {"/fifo", 404, NULL, NULL, NULL},
        {"/socket", 404, NULL, NULL, NULL},
        {"/missing", 404, NULL, NULL, NULL},
        {"/missing/", 404, NULL, NULL, NULL},
        {"/none/", 404, NULL, NULL, NULL},
        {"/none/more", 404, NULL, NULL, NULL},
        {"/.git/config", 404, NULL, NULL, NULL},
        {"/.git", 404, NULL, NULL, NULL},
        {"/.well-known", 404, NULL, NULL, NULL},
        {"/.well-known/.git", 404, NULL, NULL, NULL},
        {"/%2e%2e/outside", 400, NULL, NULL, NULL}, /* no path for any route */
        {"/sub/%2e%2e/none", 400, NULL, NULL, NULL},
        {"/..%2Foutside", 400, NULL, NULL, NULL},
        {"/%2e%2e%2foutside", 400, NULL, NULL, NULL},
        {"/sub/..%2f..%2foutside", 400, NULL, NULL, NULL},
        {"/sub%2f%2e%2e%2f%2e%2e%2foutside", 400, NULL, NULL, NULL},
        {"/..%5coutside", 404, NULL, NULL, NULL},
        {"/sub%5cdeep.JS", 404, NULL, NULL, NULL},
        {"//sub", 404, NULL, NULL, NULL},
        {"/%2fsub", 404, NULL, NULL, NULL},
        {"/sub//deep.JS", 404, NULL, NULL, NULL},
        {"/more/%2e%2e/none", 400, NULL, NULL, NULL},
    };
    dir_files();
    REQUIRE(e2e_start(NULL, dir_routes) == 0);
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        int before = test_failures;
        const char *to;
        CL(c);
        CHECK_EQ(cl_get(&c, cases[i].path), cases[i].status);
        if (cases[i].body) CHECK_STR(c.body, cases[i].body);
        else CHECK(!strstr(c.body, "outside"));
        if (cases[i].type) CHECK_STR(cl_field(&c, "content-type"), cases[i].type);
        if (cases[i].status == 200) CHECK_STR(cl_field(&c, "x-content-type-options"), "nosniff");
        if (cases[i].status == 301) CHECK(!cl_field(&c, "content-type"));
        to = cl_field(&c, "location");
        CHECK(cases[i].to ? to && !strcmp(to, cases[i].to) : !to);
        if (test_failures != before) printf("in %s\n", cases[i].path);
    }
    CL(c);
    CHECK_EQ(cl_get(&c, "/own"), 200);
    CHECK(has(&c, 0, 1000)); /* a route of its own wins */
    char path[5001] = "/";
    memset(path + 1, 'a', 5000 - 1);
    CHECK_EQ(cl_get(&c, path), 404); /* longer than the system takes */
    CHECK_EQ(ask(&c, "GET", "/none", "Range: bytes=4-\r\n"), 206);
    CHECK_STR(c.body, "none");
    CHECK_EQ(ask(&c, "HEAD", "/sub/deep.JS", ""), 200);
    CHECK_EQ(c.length, strlen("dir/sub/deep.JS"));
    CHECK_EQ(ask(&c, "HEAD", "/sub", ""), 301);
    CHECK_EQ(ask(&c, "POST", "/none", "Content-Length: 0\r\n"), 405);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(a_directory_that_is_none) {
    static const char *const dirs[] = {"dir/missing", "outside", NULL};
    dir_files();
    for (size_t i = 0; i < VT__COUNT(dirs); i++) {
        vt_server *s = vt_server_new(NULL);
        const char *dir = dirs[i] ? tmp_path(dirs[i]) : NULL;
        vt_route *r = vt_server_files(s, "/", dir);
        CHECK(r && vt_route_ctx(r, NULL) < 0);
        CHECK_EQ(vt_server_error(s), i == 0 ? -ENOENT : i == 1 ? -ENOTDIR : -EINVAL);
        CHECK(strstr(vt_server_error_text(s), dir ? dir : "NULL"));
        vt_server_free(s);
    }
    vt_server *s = vt_server_new(NULL);
    vt_server_files(s, "/a", tmp_path("dir"));
    vt_server_files(s, "/a/", tmp_path("dir"));
    CHECK_EQ(vt_server_error(s), VT_EROUTE);
    vt_server_free(s);
    s = vt_server_new(NULL);
    vt_server_get(s, "/a", h_own);
    vt_server_files(s, "/a", tmp_path("dir"));
    CHECK(vt_server_error(s) == VT_EROUTE && strstr(vt_server_error_text(s), "/a: defined twice"));
    vt_server_free(s);
    CHECK_STR(vt_file_type("a.b/c"), "application/octet-stream");
    CHECK_STR(vt_file_type("c.PNG"), "image/png");
    CHECK_STR(vt_file_type(".html."), "application/octet-stream");
}

TEST(files_that_are_not_there) {
    CL(c);
    REQUIRE(start(NULL));
    tmp_text("text", "text");
    REQUIRE(mkfifo(tmp_path("fifo"), 0600) == 0);
    CHECK_EQ(get(&c, "/file/none"), 404);
    CHECK_EQ(noted(), -ENOENT);
    CHECK(strcmp(cl_field(&c, "content-type"), "image/x-test") != 0); /* it was not for this text */
    CHECK_EQ(get(&c, "/file/fifo"), 404);
    CHECK_EQ(noted(), VT_ENOTFOUND);
    CHECK_EQ(get(&c, "/file/text?under=more"), 404);
    CHECK_EQ(noted(), -ENOTDIR);
    CHECK_EQ(get(&c, "/file/text?under=.."), 404);
    CHECK_EQ(cl_get(&c, "/file/text"), 200);
    CHECK_STR(c.body, "text");
    CHECK_EQ(e2e_stop(), 0);
}

TEST(parts_of_a_file) {
    static const int64_t at[][2] = {{0, 1}, {1, 70000}, {LARGE - 5, 5}, {4097, 3 << 20}, {123457, 1 << 20}};
    CL(c);
    REQUIRE(start(NULL));
    char target[200];
    for (size_t i = 0; i < VT__COUNT(at); i++) {
        long long off = at[i][0], n = at[i][1];
        snprintf(target, sizeof target, "/part?status=206&off=%lld&n=%lld&len=%lld", off, n, n);
        CHECK_EQ(get(&c, target), 206);
        CHECK(c.has_length && has(&c, off, n));
        CHECK_EQ(noted(), n);
        snprintf(target, sizeof target, "/part?off=%lld&n=%lld&step=40000", off, n); /* of unknown length */
        CHECK_EQ(get(&c, target), 200);
        CHECK(has(&c, off, n) && noted() > 0);
    }
    CHECK_EQ(get(&c, "/part?text=1&off=9&n=300000&len=300008"), 200); /* among other writes */
    CHECK_EQ(noted(), 4);
    CHECK(c.body_len == 300008 && memcmp(c.body, "text", 4) == 0 && memcmp(c.body + 300004, "more", 4) == 0);
    CHECK(memcmp(c.body + 4, large + 9, 300000) == 0);
    CHECK_EQ(get(&c, "/part?n=300000&len=100000"), 200); /* more than was declared */
    CHECK(has(&c, 0, 100000));
    CHECK_EQ(noted(), VT_ESURPLUS);
    CHECK_EQ(get(&c, "/part?status=204"), 204);
    CHECK_EQ(noted(), LARGE);
    CHECK_EQ(cl_get(&c, "/part?status=304&len=5&n=5"), 304);
    CHECK_EQ(e2e_stop(), 0);
}

HTTP1_TEST(a_client_of_http_1_0) {
    CL(c);
    REQUIRE(start(NULL));
    CHECK_EQ(cl_ask(&c, "GET /part HTTP/1.0\r\n\r\n"), 200);
    CHECK(c.by_close && has(&c, 0, LARGE));
    cl_close(&c);
    CHECK_EQ(e2e_stop(), 0);
}

/* What is promised and does not come is seen to be missing, and nobody else suffers. */
static void ends_short(const char *target, int64_t have, int64_t why) {
    CL(c);
    CL(next);
    CHECK_EQ(get(&c, target), 200);
    CHECK(c.truncated && c.eof && (int64_t)c.body_len <= have);
    CHECK(memcmp(c.body, large, c.body_len) == 0);
    CHECK_EQ(noted(), why);
    CHECK_EQ(cl_get(&next, "/bad"), 200);
}
TEST(a_file_that_ends_before) {
    REQUIRE(start(NULL));
    char target[100];
    snprintf(target, sizeof target, "/part?n=%d&len=%d", LARGE + 1, LARGE + 1);
    ends_short(target, LARGE, VT_ESHORT);
    snprintf(target, sizeof target, "/part?off=%d&n=5&len=5", LARGE);
    ends_short(target, 0, VT_ESHORT);
    snprintf(target, sizeof target, "/part?n=%d", LARGE + 1);
    ends_short(target, LARGE, VT_ESHORT);
    ends_short("/part?fd=9999&n=5&len=5", 0, -EBADF);
    ends_short("/part?fd=9999&n=100000&len=100000", 0, -EBADF);
    CHECK_EQ(e2e_stop(), 0);
}

/* More than sockets hold. */
static void huge_file(const char *name) {
    const char *path = bytes_file(name, LARGE);
    if (truncate(path, (int64_t)256 << 20) != 0) abort();
}
TEST(a_file_that_shrinks_meanwhile) {
    CL(c);
    CL(next);
    REQUIRE(start(NULL));
    huge_file("shrinks");
    REQUIRE(cl_open_to(&c, e2e.port, 65536));
    cl_puts(&c, "GET /file/shrinks HTTP/1.1\r\nHost: a\r\n\r\n");
    REQUIRE(cl_want(&c, 10000));
    REQUIRE(truncate(tmp_path("shrinks"), 100000) == 0);
    CHECK_EQ(cl_response(&c), 200);
    CHECK_EQ(c.length, 256 << 20);
    CHECK(c.truncated && c.eof && (int64_t)c.body_len < c.length);
    CHECK(memcmp(c.body, large, VT__MIN(c.body_len, 100000)) == 0);
    CHECK_EQ(noted(), VT_ESHORT);
    cl_close(&c);
    CHECK_EQ(cl_get(&next, "/bad"), 200);
    CHECK_EQ(e2e_stop(), 0);
}

TEST(a_slow_client_gets_all) {
    CL(c);
    REQUIRE(start(NULL));
    REQUIRE(cl_open_to(&c, e2e.port, 4096));
    cl_puts(&c, "GET /file/large HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 20 && c.in_len < LARGE / 4; i++) {
        e2e_sleep_ms(10);
        CHECK(cl_more(&c, E2E_MS) > 0);
    }
    CHECK_EQ(cl_response(&c), 200);
    CHECK(has(&c, 0, LARGE));
    CHECK_EQ(cl_get(&c, "/bad"), 200);
    CHECK_EQ(e2e_stop(), 0);
}

/* SIGPIPE would end the program, unless it is that of the test's own client. */
static void client_leaves(int cancel_on) {
    vt_server_cfg cfg = {.cancel_on = cancel_on};
    CL(c);
    CL(next);
    REQUIRE(start(&cfg));
    if (!E2E_TLS) signal(SIGPIPE, SIG_DFL);
    huge_file("huge");
    REQUIRE(cl_open_to(&c, e2e.port, 65536));
    cl_puts(&c, "GET /file/huge HTTP/1.1\r\nHost: a\r\n\r\n");
    REQUIRE(cl_want(&c, 10000));
    cl_reset(&c);
    int64_t r = noted();
    CHECK(r == -EPIPE || r == -ECONNRESET || r == -ECANCELED);
    CHECK_EQ(cl_get(&next, "/bad"), 200);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(a_client_that_is_gone) { client_leaves(VT_CANCEL_RESET); }
TEST(a_client_that_is_gone_and_nobody_is_told) { client_leaves(VT_CANCEL_NEVER); }

static void client_stalls(vt_server_cfg *cfg) {
    CL(c);
    CL(next);
    REQUIRE(start(cfg));
    huge_file("huge");
    REQUIRE(cl_open_to(&c, e2e.port, 65536));
    cl_puts(&c, "GET /file/huge HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(noted(), -ETIMEDOUT);
    CHECK_EQ(cl_response(&c), 200);
    CHECK(c.truncated && c.eof);
    cl_close(&c);
    CHECK_EQ(cl_get(&next, "/bad"), 200);
    CHECK_EQ(e2e_stop(), 0);
}
TEST(a_client_that_does_not_read) { client_stalls(&(vt_server_cfg){.write_timeout_ms = 100}); }
TEST(a_handler_that_runs_out_of_time) { client_stalls(&(vt_server_cfg){.handler_timeout_ms = 500}); }

TEST(many_at_once) {
    enum { N = VT__TSAN ? 6 : 24 };
    struct cl c[N];
    REQUIRE(start(&(vt_server_cfg){.write_timeout_ms = VT_NONE})); /* one after the other is read */
    for (int i = 0; i < N; i++) {
        c[i] = (struct cl){.fd = -1};
        CHECK(cl_open(&c[i]));
        cl_puts(&c[i], "GET /file/large HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (int i = 0; i < N; i++) {
        CHECK_EQ(cl_response(&c[i]), 200);
        CHECK(has(&c[i], 0, LARGE));
        cl_close(&c[i]);
    }
    CHECK_EQ(e2e_stop(), 0);
}
