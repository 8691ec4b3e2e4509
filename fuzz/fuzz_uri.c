/* Decoding, paths, queries, authorities and encoding, each over the whole input and against a plain second way. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "fuzz.h"

#include <arpa/inet.h>

enum { MAX = 4096 };

/* Decodes by strtoul; the length, or -1. */
static ptrdiff_t plain_decode(char *out, vt_str in, bool form) {
    ptrdiff_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i], digits[3] = {0};
        if (c == '+' && form) c = ' ';
        if (c == '%') {
            for (size_t k = 0; k < 2; k++) {
                if (i + 1 + k >= in.len || !in.ptr[i + 1 + k]) return -1;
                if (!strchr("0123456789abcdefABCDEF", in.ptr[i + 1 + k])) return -1;
                digits[k] = in.ptr[i + 1 + k];
            }
            c = (char)strtoul(digits, NULL, 16);
            if (!c && !form) return -1;
            i += 2;
        }
        out[n++] = c;
    }
    return n;
}

static void check_decode(vt_str in, bool form) {
    static char want[MAX], got[MAX];
    ptrdiff_t n = plain_decode(want, in, form), m = vt__uri_decode(got, in, form);
    MUST(n < 0 ? m < 0 : m == n);
    MUST(vt__uri_decode(NULL, in, form) == m);
    if (m < 0) return;
    MUST(memcmp(want, got, (size_t)n) == 0);
    MUST(vt__uri_decoded_eq(in, (vt_str){want, (size_t)n}, form));
    if (n == 0) return;
    MUST(!vt__uri_decoded_eq(in, (vt_str){want, (size_t)n - 1}, form));
    want[n - 1] ^= 1;
    MUST(!vt__uri_decoded_eq(in, (vt_str){want, (size_t)n}, form));
}

static void check_path(vt_str path) {
    static char out[MAX];
    vt_str seg;
    size_t pos = 0, bytes = 0;
    int count = 0, rc = vt__uri_path_check(path);
    bool bad = path.len == 0 || path.ptr[0] != '/';
    while (vt__uri_segment_next(path, &pos, &seg)) {
        MUST(!memchr(seg.ptr, '/', seg.len));
        ptrdiff_t n = plain_decode(out, seg, false);
        bad = bad || n < 0 || (n == 1 && out[0] == '.') || (n == 2 && out[0] == '.' && out[1] == '.');
        MUST(n < 0 || !memchr(out, 0, (size_t)n) || memchr(seg.ptr, 0, seg.len));
        bytes += seg.len + 1;
        count++;
    }
    MUST(bad == (rc < 0));
    if (rc >= 0) MUST(rc == count && bytes == path.len);
}

static void check_query(vt_str query) {
    static char joined[MAX + 1];
    vt__uri_pair pair;
    size_t pos = 0, n = 0;
    while (vt__uri_pair_next(query, &pos, &pair)) {
        MUST(!memchr(pair.name.ptr, '=', pair.name.len) && !memchr(pair.name.ptr, '&', pair.name.len));
        MUST(!memchr(pair.value.ptr, '&', pair.value.len));
        bool has_value = pair.value.ptr != pair.name.ptr + pair.name.len;
        MUST(has_value || pair.value.len == 0);
        if (n) joined[n++] = '&';
        memcpy(joined + n, pair.name.ptr, pair.name.len), n += pair.name.len;
        if (has_value) joined[n++] = '=';
        memcpy(joined + n, pair.value.ptr, pair.value.len), n += pair.value.len;
    }
    /* Joined again it is the query without empty pairs. */
    size_t k = 0;
    for (size_t i = 0; i < query.len; i++) {
        char c = query.ptr[i];
        if (c == '&' && (k == 0 || i + 1 == query.len || query.ptr[i + 1] == '&')) continue;
        MUST(k < n && joined[k] == c);
        k++;
    }
    MUST(k == n);
}

static void check_authority(vt_str s) {
    vt__uri_auth a, b;
    if (vt__uri_authority(s, &a) < 0) return;
    MUST(a.host.ptr == s.ptr && a.host.len > 0 && a.host.len <= s.len && a.port >= -1 && a.port <= 65535);
    MUST((a.port < 0) == (a.host.len == s.len));
    for (size_t i = 0; i < s.len; i++)
        MUST(s.ptr[i] > ' ' && s.ptr[i] < 0x7f && !strchr("/?#@\\\"<>^`{|}", s.ptr[i]));
    char text[128], bin[16];
    if (s.ptr[0] == '[' && a.host.len < sizeof text) { /* libc agrees */
        memcpy(text, a.host.ptr + 1, a.host.len - 2), text[a.host.len - 2] = 0;
        MUST(inet_pton(AF_INET6, text, bin) == 1);
    }
    if (vt__uri_ip4(a.host.ptr, a.host.len)) {
        memcpy(text, a.host.ptr, a.host.len), text[a.host.len] = 0;
        MUST(inet_pton(AF_INET, text, bin) == 1);
    }
    MUST(vt__uri_authority(a.host, &b) == 0 && b.port == -1);
}

/* Whatever is taken for an address in brackets, libc takes too. */
static void check_ip6(vt_str s) {
    char text[64], host[80];
    unsigned char bin[16];
    vt__uri_auth a;
    if (s.len == 0 || s.len >= sizeof text || memchr(s.ptr, 0, s.len)) return;
    memcpy(text, s.ptr, s.len), text[s.len] = 0;
    int n = snprintf(host, sizeof host, "[%s]", text);
    bool ours = vt__uri_authority((vt_str){host, (size_t)n}, &a) == 0 && a.host.len == (size_t)n;
    MUST(!ours || inet_pton(AF_INET6, text, bin) == 1);
}

static void check_encode(vt_str in) {
    static char out[3 * MAX], back[MAX];
    for (size_t i = 0; i < 2; i++) {
        unsigned keep = i ? VT__URI_C_COOKIE : VT__URI_C_ANY;
        size_t n = vt__uri_encode(out, in, keep);
        MUST(n >= in.len && n <= 3 * in.len);
        MUST(vt__uri_encode(NULL, in, keep) == n);
        for (size_t k = 0; k < n; k++) MUST(out[k] > ' ' && out[k] < 0x7f && out[k] != '"' && out[k] != '\\');
        if (keep == VT__URI_C_ANY || in.len == 0 || memchr(in.ptr, 0, in.len)) continue;
        MUST(vt__uri_decode(back, (vt_str){out, n}, false) == (ptrdiff_t)in.len);
        MUST(memcmp(back, in.ptr, in.len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    vt_str in = {(const char *)data, size};
    if (size > MAX) return 0;
    check_decode(in, false);
    check_decode(in, VT__URI_FORM);
    check_path(in);
    check_query(in);
    check_authority(in);
    check_ip6(in);
    check_encode(in);
    return 0;
}
