/* Preconditions and ranges: six fields between newlines, of a thing of the first byte's size. What goes out is inside of it, and a
 * range that is answered says the same when it is written from the answer. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "fuzz.h"

enum { MAX = 4096 };

static void check_date(vt_str s) {
    int64_t at, again;
    char text[29];
    if (vt__str_get_date(s, &at) < 0) return;
    MUST(at >= -INT64_C(62200000000) && at < INT64_C(253405000000)); /* years of four digits */
    if (at < 0) return;
    vt__str_put_date(text, at);
    MUST(vt__str_get_date((vt_str){text, 29}, &again) == 0 && again == at);
}
static void check_range(vt__cond_what w) {
    char text[64];
    vt__cond_what again = w;
    int n = snprintf(text, sizeof text, "bytes=%lld-%lld", (long long)w.from, (long long)(w.from + w.n - 1));
    vt__cond_asks a = {.range = {text, (size_t)n}};
    MUST(vt__cond_status(&a, &again) == 206 && again.from == w.from && again.n == w.n);
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > MAX) return 0;
    char *all = fuzz_copy(data + 1, size - 1), *end = all + size - 1, *at = all;
    vt_str fields[7] = {{0}};
    for (int i = 0; i < 7 && at < end; i++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        if (stop > at) fields[i] = (vt_str){at, (size_t)(stop - at)};
        check_date((vt_str){at, (size_t)(stop - at)});
        at = stop + 1;
    }
    vt__cond_asks a = {fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]};
    vt__cond_what w = {.etag = fields[6], .modified = 784111777, .size = data[0]};
    int status = vt__cond_status(&a, &w);
    MUST(status == 200 || status == 206 || status == 304 || status == 412 || status == 416);
    MUST(w.from >= 0 && w.n >= 0 && w.from <= w.size && w.n <= w.size - w.from);
    MUST(status != 200 || (w.from == 0 && w.n == w.size));
    MUST(status != 206 || w.n > 0);
    if (status == 206) check_range(w);
    free(all);
    return 0;
}
