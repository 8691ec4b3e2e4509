/* The input is text: lines "METHOD PATTERN" up to an empty line, then "METHOD PATH". The route that is found must be the
 * one that a plain search over all routes finds, and so must the statuses, Allow and the parameters. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "fuzz.h"

#define ROUTES 40

typedef struct ref {
    const vt_route *route;
    vt_str segs[64]; /* of the pattern */
    int n;
} ref;

static int never(vt_req *req, vt_res *res) { return (void)req, (void)res, 0; }

/* Splits at slashes; -1 when there are more than cap. */
static int split(vt_str s, vt_str *segs, int cap) {
    int n = 0;
    for (size_t i = 1, from = 1; i <= s.len; i++) {
        if (i < s.len && s.ptr[i] != '/') continue;
        if (n == cap) return -1;
        segs[n++] = (vt_str){s.ptr + from, i - from};
        from = i + 1;
    }
    return n;
}

static int hex(char c) {
    const char *digits = "0123456789abcdef",
               *p = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
    return p ? (int)(p - digits) : -1;
}

/* In place; false for a bad escape or a NUL. */
static bool decode(char *p, size_t *len) {
    size_t out = 0;
    for (size_t i = 0; i < *len; i++) {
        char c = p[i];
        if (c == '%') {
            if (i + 2 >= *len || hex(p[i + 1]) < 0 || hex(p[i + 2]) < 0) return false;
            c = (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
            i += 2;
        }
        if (!c) return false;
        p[out++] = c;
    }
    *len = out;
    return true;
}

static bool is(vt_str s, const char *text) {
    return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

static bool good_path(vt_str path) {
    char *p = malloc(path.len + 1);
    size_t len = path.len;
    vt_str *segs = malloc((path.len + 1) * sizeof *segs);
    memcpy(p, path.ptr, len);
    bool ok = len && p[0] == '/' && decode(p, &len);
    for (int i = 0, n = ok ? split((vt_str){p, len}, segs, (int)len + 1) : 0; i < n; i++)
        ok = ok && !is(segs[i], ".") && !is(segs[i], "..");
    free(segs), free(p);
    return ok;
}

static bool is_tail(vt_str seg) {
    return seg.len > 5 && seg.ptr[0] == '{' && memcmp(seg.ptr + seg.len - 4, "...}", 4) == 0;
}

/* Decoded segment equal to a pattern's? */
static bool literal_eq(vt_str raw, vt_str want) {
    char buf[4096];
    size_t len = raw.len;
    if (len > sizeof buf) return false;
    memcpy(buf, raw.ptr, len);
    MUST(decode(buf, &len));
    return len == want.len && memcmp(buf, want.ptr, len) == 0;
}

/* Fills rank with one digit a segment; the least rank is the most specific match. */
static bool matches(const ref *r, const vt_str *segs, int n, char *rank) {
    int i = 0;
    for (; i < r->n; i++) {
        if (i >= n) return false;
        if (is_tail(r->segs[i])) return rank[i] = '2', rank[i + 1] = 0, true;
        if (r->segs[i].len && r->segs[i].ptr[0] == '{') {
            if (!segs[i].len) return false;
            rank[i] = '1';
        } else {
            if (!literal_eq(segs[i], r->segs[i])) return false;
            rank[i] = '0';
        }
    }
    rank[i] = 0;
    return n == r->n;
}

static bool serves(const vt_route *r, vt_str method, int how) {
    if (how == 0) return r->method.len && vt__str_eq(r->method, method);
    if (how == 1) return is(method, "HEAD") && is(r->method, "GET");
    return !r->method.len;
}

static const vt_route *search(const ref *refs, int n, vt_str method, const vt_str *segs, int nsegs,
                              bool *known) {
    const vt_route *best = NULL;
    char best_rank[65] = "", rank[65];
    *known = false;
    for (int how = 0; how < 3; how++)
        for (int i = 0; i < n; i++) {
            if (!matches(&refs[i], segs, nsegs, rank)) continue;
            *known = true;
            if (!serves(refs[i].route, method, how) || (best && strcmp(rank, best_rank) >= 0)) continue;
            best = refs[i].route;
            strcpy(best_rank, rank);
        }
    return best;
}

static bool next_line(const char **p, const char *end, vt_str *method, vt_str *rest) {
    const char *e = memchr(*p, '\n', (size_t)(end - *p)), *stop = e ? e : end;
    const char *sp = memchr(*p, ' ', (size_t)(stop - *p));
    *method = (vt_str){*p, sp ? (size_t)(sp - *p) : 0};
    *rest = sp ? (vt_str){sp + 1, (size_t)(stop - sp - 1)} : (vt_str){*p, (size_t)(stop - *p)};
    *p = e ? e + 1 : end;
    return rest->len || method->len;
}

static bool listed(const char *allow, vt_str m) {
    for (const char *p = allow; p && *p; p = strstr(p, ", "), p += p ? 2 : 0)
        if (strncmp(p, m.ptr, m.len) == 0 && (p[m.len] == ',' || !p[m.len])) return true;
    return false;
}

static void check(vt_req *req, const ref *refs, int n) {
    vt_str *segs = malloc((req->path.len + 1) * sizeof *segs);
    bool known;
    int status = vt__http_route(req);
    if (!good_path(req->path)) {
        MUST(status == 400);
        free(segs);
        return;
    }
    int nsegs = split(req->path, segs, (int)req->path.len + 1);
    const vt_route *want = search(refs, n, req->method, segs, nsegs, &known);
    MUST(req->route == want);
    MUST(status == (want ? 0 : !known ? 404 : is(req->method, "OPTIONS") ? 204 : 405));
    for (int i = 0; want && i < want->nparams; i++) {
        char name[4096];
        if (want->params[i].name.len >= sizeof name) continue;
        snprintf(name, sizeof name, "%.*s", (int)want->params[i].name.len, want->params[i].name.ptr);
        vt_str v = vt_req_param(req, name), raw = segs[want->params[i].segment];
        MUST(v.ptr && v.ptr[v.len] == 0 && strlen(v.ptr) == v.len);
        if (!want->tail || i + 1 < want->nparams) MUST(v.len && literal_eq(raw, v));
    }
    for (int i = 0; req->allow && i < n; i++) {
        char rank[65];
        if (refs[i].route->method.len)
            MUST(!matches(&refs[i], segs, nsegs, rank) || listed(req->allow, refs[i].route->method));
    }
    free(segs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static vt_server s;
    static ref refs[ROUTES];
    const char *p = (const char *)data, *end = p + size;
    vt_str method, rest;
    int n = 0;
    if (size > 4000 || memchr(data, 0, size)) return 0; /* patterns are C strings */
    memset(&s, 0, sizeof s);
    vt__http_server_init(&s);
    while (p < end && next_line(&p, end, &method, &rest) && n < ROUTES) {
        char *m = vt__mem_strdup(method.ptr, method.len), *pattern = vt__mem_strdup(rest.ptr, rest.len);
        vt_route *r = vt_server_handle(&s, m, pattern, never);
        if (!s.error) {
            refs[n].route = r;
            refs[n].n = split(r->pattern, refs[n].segs, 64);
            MUST(refs[n].n >= 0);
            n++;
        } else {
            MUST(s.error == VT_EROUTE && s.error_text[0] && r == &s.router.dead);
            s.error = 0;
        }
        vt__mem_free(m), vt__mem_free(pattern);
    }
    if (p < end && (next_line(&p, end, &method, &rest), rest.len)) {
        vt__pool pool;
        vt__arena arena;
        vt_req req;
        char *path = vt__mem_alloc(rest.len); /* of just its size */
        memcpy(path, rest.ptr, rest.len);
        vt__mem_pool_init(&pool, 4096, 4);
        vt__mem_arena_init(&arena, &pool, 0);
        vt__req_init(&req, NULL, &s, NULL, NULL, &arena);
        req.method = method;
        req.method_id = (uint8_t)vt__h1_method(method);
        req.target = req.path = (vt_str){path, rest.len};
        req.query = req.authority = (vt_str){NULL, 0};
        req.form = VT__H1_ORIGIN;
        req.target.ptr--; /* nothing may be written behind the path: it does not look like the target's end */
        check(&req, refs, n);
        vt__mem_arena_reset(&arena);
        vt__mem_pool_drain(&pool);
        vt__mem_free(path);
    }
    vt__http_server_drop(&s);
    return 0;
}
