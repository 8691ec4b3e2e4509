/* What a client makes of the bytes that a server sent: a strict reader of a sequence of responses. */
#ifndef VT_SIMHTTP_H
#define VT_SIMHTTP_H
#include <strings.h>

struct sim_res {
    int status;
    bool close, chunked, until_close;
    size_t head, nhead; /* with its empty line */
    size_t body, nbody; /* in sim_reader.bodies */
};
enum { SIM_RES_MAX = 64 };
/* Zeroed with `bodies` and `cap` kept at the start; `heads` says which of the requests were HEAD. */
struct sim_reader {
    struct sim_res res[SIM_RES_MAX];
    int n;
    size_t pos;               /* behind the last whole response */
    size_t chunk, chunk_body; /* of one that is not whole: its next chunk, where its body begins; 0: none */
    const char *bad;
    uint64_t heads;
    bool upgraded;
    char *bodies;
    size_t nbodies, cap;
};

static void sim_reader_reset(struct sim_reader *r) {
    r->n = 0;
    r->pos = r->nbodies = r->chunk = 0;
    r->bad = NULL;
    r->heads = 0;
    r->upgraded = false;
}
static void sim_body_add(struct sim_reader *r, const char *p, size_t n) {
    if (r->cap < r->nbodies + n + 1) r->bodies = realloc(r->bodies, r->cap = (r->nbodies + n + 1) * 2);
    if (n) memcpy(r->bodies + r->nbodies, p, n);
    r->nbodies += n;
    r->bodies[r->nbodies] = 0;
}
static const char *sim_crlf(const char *p, const char *end) {
    while (p < end) {
        const char *cr = memchr(p, '\r', (size_t)(end - p));
        if (!cr || cr + 1 >= end) return NULL;
        if (cr[1] == '\n') return cr;
        p = cr + 1;
    }
    return NULL;
}
static bool sim_is_token(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] <= ' ' || p[i] >= 127 || strchr("\"(),/:;<=>?@[\\]{}", p[i])) return false;
    return n > 0;
}
static bool sim_is_value(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)p[i] < ' ' && p[i] != '\t') || p[i] == 127) return false;
    return true;
}
static bool sim_name_is(const char *p, size_t n, const char *name) {
    return n == strlen(name) && strncasecmp(p, name, n) == 0;
}
/* The lines from p on up to the empty one, which is behind *at; 0: not whole, -1: not well-formed. */
static int sim_fields(struct sim_reader *r, const char *p, const char *end, struct sim_res *out,
                      int64_t *length, const char **at) {
    int lengths = 0, codings = 0;
    for (const char *eol; (eol = sim_crlf(p, end)) != NULL; p = eol + 2) {
        if (eol == p) {
            *at = p + 2;
            if (lengths > 1 || codings > 1 || lengths + codings > 1) return r->bad = "two framings", -1;
            return 1;
        }
        const char *colon = memchr(p, ':', (size_t)(eol - p));
        if (!colon || !sim_is_token(p, (size_t)(colon - p))) return r->bad = "not a field name", -1;
        size_t nn = (size_t)(colon - p);
        const char *v = colon + 1;
        while (v < eol && *v == ' ') v++;
        size_t nv = (size_t)(eol - v);
        if (!sim_is_value(v, nv)) return r->bad = "not a field value", -1;
        if (sim_name_is(p, nn, "Content-Length")) {
            lengths++;
            *length = 0;
            for (size_t i = 0; i < nv; i++) {
                if (v[i] < '0' || v[i] > '9') return r->bad = "not a length", -1;
                *length = *length * 10 + (v[i] - '0');
            }
        } else if (sim_name_is(p, nn, "Transfer-Encoding")) {
            codings++;
            out->chunked = true;
            if (!sim_name_is(v, nv, "chunked")) return r->bad = "unknown coding", -1;
        } else if (sim_name_is(p, nn, "Connection")) {
            if (sim_name_is(v, nv, "close")) out->close = true;
        }
    }
    return 0;
}
static int sim_chunks(struct sim_reader *r, const char *p, const char *end, const char **at) {
    struct sim_res none;
    int64_t no_length = -1;
    const char *from = p;
    for (;;) {
        const char *eol = sim_crlf(p, end);
        size_t n = 0;
        if (!eol) return end - p > 16 ? (r->bad = "not a chunk size", -1) : 0;
        if (eol == p) return r->bad = "empty chunk size", -1;
        for (const char *q = p; q < eol; q++) {
            int d = *q >= '0' && *q <= '9'   ? *q - '0'
                    : *q >= 'a' && *q <= 'f' ? *q - 'a' + 10
                    : *q >= 'A' && *q <= 'F' ? *q - 'A' + 10
                                             : -1;
            if (d < 0 || n > 1u << 28) return r->bad = "not a chunk size", -1;
            n = n * 16 + (size_t)d;
        }
        p = eol + 2;
        if (n == 0) return sim_fields(r, p, end, &none, &no_length, at);
        if ((size_t)(end - p) < n + 2) return 0;
        if (p[n] != '\r' || p[n + 1] != '\n') return r->bad = "no CRLF behind a chunk", -1;
        sim_body_add(r, p, n);
        p += n + 2;
        r->chunk += (size_t)(p - from);
        from = p;
    }
}
/* One response at p: 1, 0 not whole yet, -1. `over`: no more bytes will come. */
static int sim_read_one(struct sim_reader *r, const char *p, const char *end, bool over, struct sim_res *out,
                        const char **at) {
    int64_t length = -1;
    const char *eol = sim_crlf(p, end), *q;
    memset(out, 0, sizeof *out);
    out->head = r->pos;
    size_t seen = VT__MIN((size_t)(end - p), 9);
    if (memcmp(p, "HTTP/1.1 ", seen) != 0) return r->bad = "not a status line", -1;
    if (!eol) return 0;
    if (eol - p < 13 || p[12] != ' ') return r->bad = "not a status line", -1;
    for (int i = 9; i < 12; i++) {
        if (p[i] < '0' || p[i] > '9') return r->bad = "not a status", -1;
        out->status = out->status * 10 + (p[i] - '0');
    }
    if (out->status < 100 || out->status > 599) return r->bad = "not a status", -1;
    int k = sim_fields(r, eol + 2, end, out, &length, &q);
    if (k <= 0) return k;
    out->nhead = (size_t)(q - p);
    out->body = r->nbodies;
    *at = q;
    bool none = out->status < 200 || out->status == 204;
    if (none && (length >= 0 || out->chunked)) return r->bad = "framing of no body", -1;
    if (none || out->status == 304 || r->heads >> VT__MIN(r->n, 63) & 1) return 1;
    if (out->chunked) {
        if (!r->chunk) r->chunk = r->pos + out->nhead, r->chunk_body = r->nbodies;
        out->body = r->chunk_body;
        if ((k = sim_chunks(r, p + (r->chunk - r->pos), end, at)) > 0) r->chunk = 0;
    } else if (length >= 0) {
        if (end - q < length) return 0;
        sim_body_add(r, q, (size_t)length);
        *at = q + length;
    } else {
        if (!out->close) return r->bad = "a body without an end", -1;
        if (!over) return 0;
        out->until_close = true;
        sim_body_add(r, q, (size_t)(end - q));
        *at = end;
    }
    out->nbody = r->nbodies - out->body;
    return k;
}
/* Reads on in p[0 .. n); the number of whole final responses. Interim ones are skipped. */
static int sim_read(struct sim_reader *r, const char *p, size_t n, bool over) {
    while (!r->bad && !r->upgraded && r->pos < n && r->n < SIM_RES_MAX) {
        struct sim_res one;
        const char *at = NULL;
        if (sim_read_one(r, p + r->pos, p + n, over, &one, &at) <= 0) break;
        r->pos = (size_t)(at - p);
        r->upgraded = one.status == 101;
        if (one.status >= 200 || r->upgraded) r->res[r->n++] = one;
    }
    return r->n;
}
#endif
