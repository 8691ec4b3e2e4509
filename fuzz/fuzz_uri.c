/* Decoding, paths, queries, authorities and encoding, each over the whole input and against a plain second way. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "fuzz.h"

#include <arpa/inet.h>

enum { MAX = 4096 };

/* Decodes by strtoul; the length, or -1. */
static ptrdiff_t plain_decode(char *out, vt_str in, unsigned flags) {
    ptrdiff_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i], digits[3] = {0};
        if (c == '+' && (flags & VT__URI_PLUS)) c = ' ';
        if (c == '%') {
            for (size_t k = 0; k < 2; k++) {
                if (i + 1 + k >= in.len || !in.ptr[i + 1 + k]) return -1;
                if (!strchr("0123456789abcdefABCDEF", in.ptr[i + 1 + k])) return -1;
                digits[k] = in.ptr[i + 1 + k];
            }
            c = (char)strtoul(digits, NULL, 16);
            if ((!c && !(flags & VT__URI_NUL)) || (c == '/' && (flags & VT__URI_NO_SLASH))) return -1;
            i += 2;
        }
        out[n++] = c;
    }
    return n;
}

static void check_decode(vt_str in, unsigned flags) {
    static char want[MAX], got[MAX];
    ptrdiff_t n = plain_decode(want, in, flags), m = vt__uri_decode(got, MAX, in, flags);
    MUST(n < 0 ? m < 0 : m == n);
    MUST(vt__uri_decode(NULL, 0, in, flags) == m);
    if (m < 0) return;
    MUST(memcmp(want, got, (size_t)n) == 0);
    MUST(vt__uri_decoded_eq(in, (vt_str){want, (size_t)n}, flags));
    if (n == 0) return;
    MUST(vt__uri_decode(got, (size_t)n - 1, in, flags) == VT__URI_E_SPACE);
    MUST(!vt__uri_decoded_eq(in, (vt_str){want, (size_t)n - 1}, flags));
    want[n - 1] ^= 1;
    MUST(!vt__uri_decoded_eq(in, (vt_str){want, (size_t)n}, flags));
}

static void check_path(vt_str path) {
    static char out[MAX];
    vt_str seg;
    size_t pos = 0, bytes = 0;
    int count = 0, rc = vt__uri_path_check(path);
    bool bad = path.len == 0 || path.ptr[0] != '/';
    while (vt__uri_segment_next(path, &pos, &seg)) {
        MUST(!memchr(seg.ptr, '/', seg.len));
        ptrdiff_t n = plain_decode(out, seg, 0);
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
    int count = 0, rc = vt__uri_query_check(query);
    while (vt__uri_pair_next(query, &pos, &pair)) {
        MUST(!memchr(pair.name.ptr, '=', pair.name.len) && !memchr(pair.name.ptr, '&', pair.name.len));
        MUST(!memchr(pair.value.ptr, '&', pair.value.len));
        MUST(pair.has_value || pair.value.len == 0);
        if (n) joined[n++] = '&';
        memcpy(joined + n, pair.name.ptr, pair.name.len), n += pair.name.len;
        if (pair.has_value) joined[n++] = '=';
        memcpy(joined + n, pair.value.ptr, pair.value.len), n += pair.value.len;
        count++;
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
    if (rc >= 0) MUST(rc == count);
}

static void check_authority(vt_str s) {
    vt__uri_auth a, b;
    if (vt__uri_authority(s, &a) < 0) return;
    MUST(a.host.ptr == s.ptr && a.host.len > 0 && a.host.len <= s.len && a.port >= -1 && a.port <= 65535);
    MUST((a.port < 0) == (a.host.len == s.len));
    for (size_t i = 0; i < s.len; i++)
        MUST(s.ptr[i] > ' ' && s.ptr[i] < 0x7f && !strchr("/?#@\\\"<>^`{|}", s.ptr[i]));
    MUST((a.kind == VT__URI_IP6) == (s.ptr[0] == '['));
    char text[128], bin[16];
    if (a.kind == VT__URI_IP6 && a.host.len < sizeof text) { /* libc agrees */
        memcpy(text, a.host.ptr + 1, a.host.len - 2), text[a.host.len - 2] = 0;
        MUST(inet_pton(AF_INET6, text, bin) == 1);
    }
    if (a.kind == VT__URI_IP4) {
        memcpy(text, a.host.ptr, a.host.len), text[a.host.len] = 0;
        MUST(inet_pton(AF_INET, text, bin) == 1);
    }
    MUST(vt__uri_authority(a.host, &b) == 0 && b.port == -1 && b.kind == a.kind);
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
    for (int set = VT__URI_SET_SEGMENT; set <= VT__URI_SET_FORM; set++) {
        ptrdiff_t n = vt__uri_encode(out, sizeof out, in, set);
        MUST(n >= (ptrdiff_t)in.len && n <= 3 * (ptrdiff_t)in.len);
        MUST(vt__uri_encode(NULL, 0, in, set) == n);
        if (n) MUST(vt__uri_encode(out, (size_t)n - 1, in, set) == VT__URI_E_SPACE);
        vt__uri_encode(out, (size_t)n, in, set);
        for (ptrdiff_t i = 0; i < n; i++)
            MUST(out[i] > ' ' && out[i] < 0x7f && out[i] != '"' && out[i] != '\\');
        if (set == VT__URI_SET_LOCATION) continue;
        unsigned flags = set == VT__URI_SET_FORM ? VT__URI_FORM : VT__URI_NUL;
        MUST(vt__uri_decode(back, MAX, (vt_str){out, (size_t)n}, flags) == (ptrdiff_t)in.len);
        MUST(in.len == 0 || memcmp(back, in.ptr, in.len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    vt_str in = {(const char *)data, size};
    if (size > MAX) return 0;
    for (unsigned flags = 0; flags < 8; flags++) check_decode(in, flags);
    check_path(in);
    check_query(in);
    check_authority(in);
    check_ip6(in);
    check_encode(in);
    return 0;
}
