/* Handlers of servers whose connections have many streams, and what they leave for the test. Behind e2e.h. */
#ifndef VT_STREAMS_H
#define VT_STREAMS_H
#define SLOW (VT__ASAN || VT__TSAN)

/* Counts and results that handlers leave for the test. */
static int64_t seen[8];
enum { HINTS = 60000 };
enum { ENTERED, LEFT, RESULT, WROTE, OPEN, THREADS, RESPONSES, MOST };
static void note(int i, int64_t v) { __atomic_store_n(&seen[i], v, __ATOMIC_SEQ_CST); }
static int64_t noted(int i) { return __atomic_load_n(&seen[i], __ATOMIC_SEQ_CST); }
static int64_t count(int i) { return __atomic_add_fetch(&seen[i], 1, __ATOMIC_SEQ_CST); }
static void forget(void) {
    for (int i = 0; i < 8; i++) note(i, 0);
}
static int number(vt_req *req, const char *name) {
    vt_str v = vt_req_query(req, name);
    return v.ptr ? atoi(v.ptr) : 0;
}
static char pattern_at(size_t i) { return (char)('a' + (i * 7 + i / 251) % 26); }
static void pattern(char *p, size_t from, size_t n) {
    for (size_t i = 0; i < n; i++) p[i] = pattern_at(from + i);
}
static __attribute__((unused)) bool is_pattern(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] != pattern_at(i)) return false;
    return true;
}

/* ---- handlers ---- */
static int h_hello(vt_req *req, vt_res *res) {
    (void)req;
    count(ENTERED);
    return vt_res_text(res, 200, "hello");
}
/* The whole body back, its length in a field. */
static int h_body(vt_req *req, vt_res *res) {
    vt_str body;
    char n[32];
    count(ENTERED);
    int r = vt_req_body(req, &body);
    note(RESULT, r);
    if (r < 0) return r;
    snprintf(n, sizeof n, "%lld", (long long)vt_req_body_length(req));
    vt_res_field(res, "X-Length", n);
    vt_str end = vt_req_trailer(req, "x-end");
    if (end.ptr) vt_res_field(res, "X-Trailer", end.ptr);
    return vt_res_send(res, 200, "application/octet-stream", body.ptr, body.len);
}
/* The body back while it comes. */
static int h_stream(vt_req *req, vt_res *res) {
    char buf[4096];
    int64_t n = vt_res_status(res, 200);
    count(ENTERED);
    while ((n = vt_req_read(req, buf, sizeof buf)) > 0)
        if ((n = vt_res_write(res, buf, (size_t)n)) < 0) break;
    note(RESULT, n);
    count(LEFT);
    return (int)n;
}
/* n bytes of the pattern in pieces; with a length when `length` is asked for. */
static int h_bytes(vt_req *req, vt_res *res) {
    char piece[5000];
    size_t n = (size_t)number(req, "n");
    if (vt_req_query(req, "length").ptr) vt_res_length(res, (int64_t)n);
    int64_t r = vt_res_status(res, 200);
    count(ENTERED);
    for (size_t at = 0; at < n && r >= 0; at += VT__MIN(sizeof piece, n - at)) {
        size_t k = VT__MIN(sizeof piece, n - at);
        pattern(piece, at, k);
        r = vt_res_write(res, piece, k);
        if (r > 0) note(WROTE, (int64_t)(at + k));
    }
    if (r >= 0 && vt_req_query(req, "trailer").ptr) vt_res_trailer(res, "X-End", "done");
    note(RESULT, r);
    count(LEFT);
    return r < 0 ? (int)r : 0;
}
/* n bytes at once, with a priority of its own. */
static int h_ranked(vt_req *req, vt_res *res) {
    size_t n = (size_t)number(req, "n");
    char *p = vt_req_alloc(req, n);
    vt_str priority = vt_req_query(req, "priority");
    if (priority.ptr) vt_res_field(res, "Priority", priority.ptr);
    return p ? vt_res_send(res, 200, "text/plain", memset(p, 'x', n), n) : -ENOMEM;
}
/* What it sees of the request. */
static int h_show(vt_req *req, vt_res *res) {
    vt_str q = vt_req_query(req, "q"), x = vt_req_field(req, "x"), cookie = vt_req_field(req, "cookie"),
           b = vt_req_cookie(req, "b"), host = vt_req_field(req, "host");
    vt_str h = vt_req_host(req);
    return vt_res_printf(res, 200, "%s %s %s q=%s x=%s cookie=%s b=%s host=%s %.*s %d v%d %s",
                         vt_req_method(req).ptr, vt_req_target(req).ptr, vt_req_path(req).ptr,
                         q.ptr ? q.ptr : "-", x.ptr ? x.ptr : "-", cookie.ptr ? cookie.ptr : "-",
                         b.ptr ? b.ptr : "-", host.ptr ? host.ptr : "-", (int)h.len, h.ptr, vt_req_port(req),
                         vt_req_version(req), vt_req_scheme(req));
}
/* The names of all fields; and what there is no way to set. */
static int h_names(vt_req *req, vt_res *res) {
    static const char *const pseudo[] = {":status", ":path", ":method", ":authority", ":x"};
    char out[400];
    vt_str name, value;
    int n = 0, refused = 0;
    for (size_t i = 0; vt_req_field_nth(req, i, &name, &value); i++)
        n += snprintf(out + n, sizeof out - (size_t)n, "%s ", name.ptr);
    for (size_t i = 0; i < VT__COUNT(pseudo); i++) {
        refused += vt_res_field(res, pseudo[i], "500") == VT_EFIELD;
        refused += vt_res_field_add(res, pseudo[i], "500") == VT_EFIELD;
        refused += vt_res_trailer(res, pseudo[i], "500") == VT_EFIELD;
        refused += vt_req_field(req, pseudo[i]).ptr == NULL;
    }
    return vt_res_printf(res, 200, "%s%d", out, refused);
}
static int h_param(vt_req *req, vt_res *res) { return vt_res_text(res, 200, vt_req_param(req, "x").ptr); }
static int h_early(vt_req *req, vt_res *res) {
    (void)req;
    int r = vt_res_inform(res, 103, "Link: </a.css>; rel=preload\r\n");
    note(RESULT, r);
    return vt_res_text(res, 200, "late");
}
/* 60 MB of hints, more than sockets hold, in one go. */
static int h_hints(vt_req *req, vt_res *res) {
    static char line[1000];
    int r = 0, n = sprintf(line, "Link: </");
    (void)req;
    note(WROTE, 1);
    memset(line + n, 'x', sizeof line - 1 - (size_t)n);
    memcpy(line + sizeof line - 3, "\r\n", 3);
    for (int i = 0; i < HINTS && r == 0; i++) {
        n = sprintf(line + 8, "%d.css>", i); /* none is like another */
        line[8 + n] = 'x';
        r = vt_res_inform(res, 103, line);
    }
    note(RESULT, r);
    note(THREADS, 1);
    return vt_res_text(res, 200, "late");
}
static int h_redirect(vt_req *req, vt_res *res) {
    return vt_res_redirect(res, 302, vt_req_query(req, "to").ptr);
}
static int h_fields(vt_req *req, vt_res *res) {
    vt_cookie k = {.name = "k", .value = "v", .path = "/"};
    (void)req;
    vt_res_field(res, "Connection", "close");
    vt_res_field(res, "Keep-Alive", "x");
    vt_res_field_add(res, "X-Many", "1");
    vt_res_field_add(res, "X-Many", "2");
    vt_res_cookie(res, &k);
    return vt_res_no_content(res);
}
static int h_slept(vt_req *req, vt_res *res) {
    int64_t open = count(OPEN);
    if (open > noted(MOST)) note(MOST, open);
    int r = vt_sleep_ms(number(req, "ms"));
    note(RESULT, r);
    __atomic_sub_fetch(&seen[OPEN], 1, __ATOMIC_SEQ_CST);
    count(LEFT);
    return r < 0 ? r : vt_res_printf(res, 200, "slept %d", number(req, "ms"));
}
/* Is always at work, and so hears of its stream's end by what it says, whether or not it is woken. */
static int h_spins(vt_req *req, vt_res *res) {
    (void)req;
    count(OPEN);
    int r = 0;
    while (r == 0 && (r = vt_res_flush(res)) == 0) r = vt_yield();
    note(RESULT, r);
    __atomic_sub_fetch(&seen[OPEN], 1, __ATOMIC_SEQ_CST);
    count(LEFT);
    return r;
}
/* Heeds no cancel until the test lets it. */
static int h_stubborn(vt_req *req, vt_res *res) {
    (void)req;
    count(ENTERED);
    int r = 0;
    int64_t until = e2e_now_ms() + E2E_MS;
    while (!noted(THREADS) && e2e_now_ms() < until) {
        int e = vt_sleep_ms(1);
        if (e < 0 && r == 0) note(RESULT, r = e);
    }
    count(LEFT);
    return r < 0 ? r : vt_res_text(res, 200, "stubborn");
}
/* The n-th that comes; until the test lets it go. */
static int h_turn(vt_req *req, vt_res *res) {
    if (count(ENTERED) != number(req, "n") + 1) count(MOST);
    while (!noted(THREADS) && vt_sleep_ms(1) == 0) continue;
    return vt_res_text(res, 200, "turn");
}
static int h_block(vt_req *req, vt_res *res) {
    (void)req;
    count(ENTERED);
    int64_t until = e2e_now_ms() + E2E_MS;
    while (!noted(THREADS) && e2e_now_ms() < until) poll(NULL, 0, 1); /* keeps its OS thread */
    return vt_res_text(res, 200, "blocked");
}
static int h_release(vt_req *req, vt_res *res) {
    (void)req;
    note(THREADS, 1);
    return vt_res_text(res, 200, "released");
}
/* Computes, and never parks, once it has said something. */
static int h_compute(vt_req *req, vt_res *res) {
    bool hints = vt_req_query(req, "hints").ptr != NULL;
    int64_t r = hints ? vt_res_inform(res, 103, "Link: </a.css>\r\n") : vt_res_write(res, "begun", 5);
    if (r >= 0 && !hints) r = vt_res_flush(res);
    int64_t until = e2e_now_ms() + E2E_MS;
    while (!noted(THREADS) && e2e_now_ms() < until) continue;
    return r < 0 || !hints ? (int)VT__MIN(r, 0) : vt_res_text(res, 200, "ended");
}
static int h_fail(vt_req *req, vt_res *res) {
    if (vt_req_query(req, "late").ptr) {
        if (vt_res_write(res, "begun", 5) < 0 || vt_res_flush(res) < 0) return -EPIPE;
    }
    if (vt_req_query(req, "short").ptr) {
        vt_res_length(res, 100);
        return vt_res_write(res, "short", 5) < 0 ? -EPIPE : 0;
    }
    return -EIO;
}
static int h_early_answer(vt_req *req, vt_res *res) {
    (void)req;
    count(ENTERED);
    return vt_res_text(res, 200, "enough");
}
static int h_where(vt_req *req, vt_res *res) {
    vt_tls_info t;
    int r = vt_req_tls(req, &t);
    return vt_res_printf(res, 200, "%s %s %d %s", vt_req_peer(req), vt_req_local(req), r,
                         r > 0 ? t.alpn : "-");
}
static int h_thread(vt_req *req, vt_res *res) {
    (void)req;
    int64_t open = count(OPEN), until = e2e_now_ms() + E2E_MS;
    /* spins until another one runs, too, on another thread */
    while (open == 1 && noted(OPEN) < 2 && e2e_now_ms() < until) continue;
    return vt_res_printf(res, 200, "%d", noted(OPEN) >= 2);
}
static void routes(vt_server *s) {
    vt_server_get(s, "/", h_hello);
    vt_server_post(s, "/", h_body);
    vt_server_post(s, "/stream", h_stream);
    vt_server_get(s, "/bytes", h_bytes);
    vt_server_get(s, "/ranked", h_ranked);
    vt_server_any(s, "/show", h_show);
    vt_server_get(s, "/names", h_names);
    vt_server_get(s, "/p/{x}", h_param);
    vt_server_get(s, "/early", h_early);
    vt_server_get(s, "/hints", h_hints);
    vt_server_get(s, "/redirect", h_redirect);
    vt_server_get(s, "/fields", h_fields);
    vt_server_get(s, "/slept", h_slept);
    vt_server_get(s, "/spins", h_spins);
    vt_server_get(s, "/stubborn", h_stubborn);
    vt_server_post(s, "/stubborn", h_stubborn);
    vt_server_get(s, "/turn", h_turn);
    vt_server_get(s, "/block", h_block);
    vt_server_get(s, "/release", h_release);
    vt_server_get(s, "/compute", h_compute);
    vt_server_get(s, "/fail", h_fail);
    vt_server_post(s, "/enough", h_early_answer);
    vt_server_get(s, "/where", h_where);
    vt_server_get(s, "/thread", h_thread);
    vt_route_max_body(vt_server_post(s, "/small", h_body), 10);
    vt_route_timeout_ms(vt_server_get(s, "/deadline", h_slept), 30);
    vt_route_max_body(vt_server_post(s, "/big", h_body), 64 << 20);
    vt_route_max_body(vt_server_post(s, "/bigstream", h_stream), 64 << 20);
}
static __attribute__((unused)) bool start(const vt_server_cfg *cfg) {
    forget();
    return e2e_start(cfg, routes) == 0;
}
static __attribute__((unused)) int64_t open_connections(void) {
    vt_server_stats st;
    vt_server_stats_get(e2e.s, &st);
    return st.open;
}
#endif
