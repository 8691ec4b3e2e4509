/* Time of the HTTP/1.1 codec alone: request head and framing decision, in memory, one thread.
 * -n=N requests a run, -reps=N runs (the median counts) */
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"

#include "bench.h"
#include "../heads.h"

#define FIELDS 64

static const char browser_head[] = BROWSER_HEAD
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes; seen=1699999999; lang=en; size=xl\r\n"
    "Sec-Fetch-Dest: image\r\n"
    "Sec-Fetch-Mode: no-cors\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Cache-Control: max-age=0\r\n\r\n";

static double parse_ns(const char *head, size_t len, long long n) {
    static vt__h1_field fields[FIELDS];
    static const vt__h1_limits standard;
    int64_t from = bench_now();
    for (long long i = 0; i < n; i++) {
        vt__h1_req r;
        vt__mem_zero(&r, sizeof r); /* as a connection does */
        int used = vt__h1_req_parse(&r, head, len, fields, FIELDS, &standard);
        if (used != (int)len || !(r.flags & VT__H1_KEEP_ALIVE))
            bench_die("the parser refused the request: %d", used);
        __asm__ volatile("" : "+r"(head) : "r"(fields) : "memory");
    }
    return (double)(bench_now() - from) / (double)n;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, const char *head, size_t len, long long n, int reps, double goal) {
    double v[32];
    parse_ns(head, len, n / 10 + 1);
    for (int i = 0; i < reps; i++) v[i] = parse_ns(head, len, n);
    qsort(v, (size_t)reps, sizeof(*v), by_value);
    printf("= parse_%s_%zu_bytes %.1f ns <=%.0f %s\n", name, len, v[reps / 2], goal,
           v[reps / 2] <= goal ? "ok" : "MISS");
}

int main(int argc, char **argv) {
    static const char *const known[] = {"n", "reps", NULL};
    bench_known(argc, argv, known);
    long long n = bench_num(argc, argv, "n", 1000000);
    int reps = (int)bench_num(argc, argv, "reps", 9);
    errno = 0;
    if (reps < 1 || reps > 32 || n < 1) bench_die("-reps is 1 to 32, -n at least 1");
    measure("browser", browser_head, sizeof(browser_head) - 1, n, reps, 110);
    measure("short", short_head, sizeof(short_head) - 1, n * 2, reps, 20);
    return 0;
}
