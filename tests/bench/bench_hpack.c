/* Time of HPACK and of QPACK alone, one thread: header blocks of a browser, a program and a server, the first one of a
 * connection and those after it, decoded and encoded; beside each the time to copy what it decodes to. QPACK's first one goes
 * with its inserts, the later ones with their acknowledgements.
 * -n=N blocks a run, -reps=N runs (the median counts), -only=NAME one measure */
#define VTHTTP_H2 1
#define VTHTTP_H3 1
#define VTHTTP_SIM 1 /* HTTP/3 without TLS; no call of the system's is measured */
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"

#include "bench.h"

typedef struct field {
    const char *name, *value;
} field;
static const field browser[] = {
    {":method", "GET"},
    {":scheme", "https"},
    {":authority", "www.example.org"},
    {":path", "/static/images/photo-0123456789.jpg?width=640&height=480"},
    {"user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:102.0) Gecko/20100101 Firefox/102.0"},
    {"accept", "image/avif,image/webp,*/*"},
    {"accept-language", "en-US,en;q=0.5"},
    {"accept-encoding", "gzip, deflate, br"},
    {"referer", "https://www.example.org/articles/2026/11/26/headers.html"},
    {"cookie", "session=0123456789abcdef0123456789abcdef"},
    {"cookie", "consent=yes; theme=dark; lang=en"},
    {"sec-fetch-dest", "image"},
    {"sec-fetch-mode", "no-cors"},
    {"sec-fetch-site", "same-origin"},
};
static const field program[] = {
    {":method", "GET"}, {":scheme", "http"},           {":authority", "127.0.0.1:8080"},
    {":path", "/"},     {"user-agent", "h2load/1.52"}, {"accept", "*/*"},
};
static const field server[] = {
    {":status", "200"},       {"date", "Thu, 26 Nov 2026 08:00:00 GMT"},
    {"content-length", "13"}, {"content-type", "text/plain;charset=utf-8"},
    {"server", "vthttp"},
};

enum { BLOCK_MAX = 2048 };
typedef struct story {
    const field *fields;
    size_t n, bytes; /* of names and values */
    int ids[20];
    vt_str names[20], values[20];
    vt__hpack_enc e;
    vt__hpack_dec d;
    uint8_t first[BLOCK_MAX], later[BLOCK_MAX]; /* blocks: of a connection's start; of its middle */
    size_t first_len, later_len;
    vt__qpack_enc qe;
    vt__qpack_dec qd;
    uint8_t ins[BLOCK_MAX], qfirst[BLOCK_MAX], qlater[BLOCK_MAX];
    size_t ins_len, qfirst_len, qlater_len;
} story;
static uint8_t dec_mem[8192], enc_mem[8192], scratch[4096 + VT__HPACK_SCRATCH_MORE], out[BLOCK_MAX],
    inserts[BLOCK_MAX];
static uint64_t qenc_mem[1024];

static size_t encode(story *s, uint8_t *to) {
    size_t len = vt__hpack_enc_begin(&s->e, to);
    for (size_t i = 0; i < s->n; i++)
        len += vt__hpack_put(&s->e, to + len, BLOCK_MAX - len, s->ids[i], s->names[i], s->values[i], 0);
    return len;
}
/* As a server does what every response has. */
static size_t encode_fast(story *s, uint8_t *to) {
    size_t len = vt__hpack_enc_begin(&s->e, to);
    len += vt__hpack_put_status(to + len, 200);
    len += vt__hpack_put_length(to + len, 13);
    for (size_t i = 1; i < s->n; i++)
        if (i != 2)
            len += vt__hpack_put(&s->e, to + len, BLOCK_MAX - len, s->ids[i], s->names[i], s->values[i], 0);
    return len;
}
static size_t decode(story *s, const uint8_t *p, size_t len) {
    const uint8_t *end = p + len;
    vt__hpack_field f;
    size_t bytes = 0;
    int rc;
    vt__hpack_dec_begin(&s->d, scratch, sizeof(scratch));
    while ((rc = vt__hpack_dec_next(&s->d, &p, end, &f)) > 0) bytes += f.name.len + f.value.len;
    if (rc < 0 || vt__hpack_dec_end(&s->d) < 0) bench_die("a block is refused: %d", rc);
    return bytes;
}
static void enc_start(story *s) {
    vt__hpack_enc_init(&s->e, 4096);
    vt__hpack_enc_table(&s->e, enc_mem);
}
static void dec_start(story *s) {
    vt__hpack_dec_init(&s->d, 4096);
    vt__hpack_dec_table(&s->d, dec_mem);
}

/* ---- QPACK ---- */
/* A section, at *to; its inserts. What acknowledges it comes at once. */
static size_t qencode(story *s, uint8_t **to, size_t *ins_len) {
    vt__qpack_head w;
    uint8_t ack = 0x80;
    vt__qpack_enc_begin(&s->qe, &w, 0, out, sizeof(out), inserts, sizeof(inserts));
    for (size_t i = 0; i < s->n; i++) vt__qpack_put(&w, s->ids[i], s->names[i], s->values[i], 0);
    size_t n = vt__qpack_enc_end(&w, to);
    if (w.need) vt__qpack_enc_recv(&s->qe, &ack, &ack + 1);
    *ins_len = w.ins_len;
    return n;
}
static void qinsert(story *s, const uint8_t *p, size_t len) {
    if (vt__qpack_dec_insert(&s->qd, &p, p + len, scratch) < 0) bench_die("inserts are refused");
}
static size_t qdecode(story *s, const uint8_t *p, size_t len) {
    vt__qpack_sec sec;
    vt__hpack_field f;
    uint8_t ack[VT__QPACK_INT_BYTES];
    size_t bytes = 0;
    int rc = vt__qpack_dec_begin(&s->qd, &sec, p, p + len);
    while (rc > 0 && (rc = vt__qpack_dec_next(&s->qd, &sec, scratch, sizeof(scratch), &f)) > 0)
        bytes += f.name.len + f.value.len;
    if (rc < 0 || !bytes) bench_die("a section is refused: %d", rc);
    return bytes + vt__qpack_put_ack(&s->qd, sec.need, 0, ack);
}
static void qenc_start(story *s) {
    vt__qpack_enc_init(&s->qe, 4096);
    vt__qpack_enc_table(&s->qe, qenc_mem);
    vt__qpack_enc_limit(&s->qe, 4096, 16);
}
static void qdec_start(story *s) {
    void *mem = s->qd.t.mem;
    vt__qpack_dec_init(&s->qd, 4096);
    s->qd.t.mem = mem;
}
static void qprepare(story *s) {
    uint8_t *from;
    size_t none;
    qenc_start(s), qdec_start(s);
    s->qfirst_len = qencode(s, &from, &s->ins_len);
    memcpy(s->qfirst, from, s->qfirst_len), memcpy(s->ins, inserts, s->ins_len);
    qinsert(s, s->ins, s->ins_len);
    for (int i = 0; i < 2; i++) s->qlater_len = qencode(s, &from, &none), qinsert(s, inserts, none);
    memcpy(s->qlater, from, s->qlater_len);
}

static void prepare(story *s, const field *fields, size_t n) {
    s->fields = fields, s->n = n, s->bytes = 0;
    for (size_t i = 0; i < n; i++) {
        vt__hpack_field f = {vt__str_of(fields[i].name), vt__str_of(fields[i].value), 0, 0};
        vt__hpack_name_check(&f);
        s->ids[i] = f.id, s->names[i] = f.name, s->values[i] = f.value;
        s->bytes += f.name.len + f.value.len;
    }
    enc_start(s);
    s->first_len = encode(s, s->first);
    encode(s, s->later); /* what is indexed when it comes again */
    s->later_len = encode(s, s->later);
    qprepare(s);
}

enum { DECODE_FIRST, DECODE_LATER, ENCODE_FIRST, ENCODE_LATER, ENCODE_FAST, COPY };
enum { QDECODE_FIRST = COPY + 1, QDECODE_LATER, QENCODE_FIRST, QENCODE_LATER, MEASURES };
static double once(story *s, int what, long long n) {
    size_t sum = 0;
    enc_start(s), dec_start(s);
    decode(s, out, encode(s, out)), decode(s, out, encode(s, out)), decode(s, out, encode(s, out));
    uint8_t *from_q;
    size_t ins_q;
    qprepare(s);
    int64_t from = bench_now();
    for (long long i = 0; i < n; i++) {
        switch (what) {
        case DECODE_FIRST: dec_start(s), sum += decode(s, s->first, s->first_len); break;
        case DECODE_LATER: sum += decode(s, s->later, s->later_len); break;
        case ENCODE_FIRST: enc_start(s), sum += encode(s, out); break;
        case ENCODE_LATER: sum += encode(s, out); break;
        case ENCODE_FAST: sum += encode_fast(s, out); break;
        case QDECODE_FIRST:
            qdec_start(s), qinsert(s, s->ins, s->ins_len);
            sum += qdecode(s, s->qfirst, s->qfirst_len);
            break;
        case QDECODE_LATER: sum += qdecode(s, s->qlater, s->qlater_len); break;
        case QENCODE_FIRST: qenc_start(s), sum += qencode(s, &from_q, &ins_q); break;
        case QENCODE_LATER: sum += qencode(s, &from_q, &ins_q); break;
        default: memcpy(out, s->first, s->bytes);
        }
        __asm__ volatile("" : : "r"(out), "r"(&sum) : "memory");
    }
    return (double)(bench_now() - from) / (double)n;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(story *s, int what, long long n, int reps) {
    double v[32];
    once(s, what, n / 10 + 1);
    for (int i = 0; i < reps; i++) v[i] = once(s, what, n);
    qsort(v, (size_t)reps, sizeof(*v), by_value);
    return v[reps / 2];
}
static void measure(const char *name, const field *fields, size_t n, long long times, int reps,
                    const char *only) {
    static const char *const what[MEASURES] = {"decode_first", "decode_later", "encode_first", "encode_later",
                                               "encode_fast",  "copy",         "decode_first", "decode_later",
                                               "encode_first", "encode_later"};
    static story s;
    prepare(&s, fields, n);
    for (int i = DECODE_FIRST; i < MEASURES; i++) {
        char full[64];
        snprintf(full, sizeof(full), "%s_%s_%s", i > COPY ? "qpack" : "hpack", name, what[i]);
        if ((i == ENCODE_FAST && fields != server) || (*only && strcmp(only, full) != 0)) continue;
        printf("= %s %.1f ns - -\n", full, median(&s, i, times, reps));
    }
    if (!*only)
        printf(
            "%s: %zu fields of %zu bytes, coded in %zu, later in %zu; by QPACK %zu and %zu of inserts, %zu\n",
            name, n, s.bytes, s.first_len, s.later_len, s.qfirst_len, s.ins_len, s.qlater_len);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"n", "reps", "only", NULL};
    bench_known(argc, argv, known);
    long long n = bench_num(argc, argv, "n", 200000);
    int reps = (int)bench_num(argc, argv, "reps", 9);
    const char *only = bench_opt(argc, argv, "only", "");
    errno = 0;
    if (reps < 1 || reps > 32 || n < 1) bench_die("-reps is 1 to 32, -n at least 1");
    measure("browser", browser, VT__COUNT(browser), n, reps, only);
    measure("program", program, VT__COUNT(program), n, reps, only);
    measure("server", server, VT__COUNT(server), n, reps, only);
    return 0;
}
