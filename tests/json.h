/* Whether bytes are one JSON text (RFC 8259), strings of ASCII alone. */
#ifndef VT_JSON_H
#define VT_JSON_H
#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static bool json_value(const char **p, const char *end, int depth);
static inline bool json_take(const char **p, const char *end, const char *what) {
    size_t n = strlen(what);
    if ((size_t)(end - *p) < n || memcmp(*p, what, n) != 0) return false;
    *p += n;
    return true;
}
static inline bool json_string(const char **p, const char *end) {
    if (!json_take(p, end, "\"")) return false;
    for (; *p < end && **p != '"'; ++*p) {
        if (**p < ' ' || **p > '~') return false;
        if (**p != '\\') continue;
        if (++*p == end || !strchr("\"\\/bfnrtu", **p)) return false;
        for (int i = 0; **p == 'u' && i < 4; i++)
            if (end - *p < 5 || !isxdigit((unsigned char)(*p)[1 + i])) return false;
    }
    return json_take(p, end, "\"");
}
static inline bool json_number(const char **p, const char *end) {
    const char *from;
    (void)json_take(p, end, "-");
    from = *p;
    while (*p < end && isdigit((unsigned char)**p)) ++*p;
    if (*p == from || (*from == '0' && *p - from > 1)) return false;
    if (!json_take(p, end, ".")) return true;
    from = *p;
    while (*p < end && isdigit((unsigned char)**p)) ++*p;
    return *p > from;
}
static inline bool json_list(const char **p, const char *end, char close, int depth) {
    const char with[] = {close, 0};
    if (json_take(p, end, with)) return true;
    do {
        if (close == '}' && (!json_string(p, end) || !json_take(p, end, ":"))) return false;
        if (!json_value(p, end, depth)) return false;
    } while (json_take(p, end, ","));
    return json_take(p, end, with);
}
static bool json_value(const char **p, const char *end, int depth) {
    if (*p == end || depth > 20) return false;
    if (json_take(p, end, "{")) return json_list(p, end, '}', depth + 1);
    if (json_take(p, end, "[")) return json_list(p, end, ']', depth + 1);
    if (**p == '"') return json_string(p, end);
    return json_take(p, end, "true") || json_take(p, end, "false") || json_take(p, end, "null") ||
           json_number(p, end);
}
static inline bool json_valid(const char *p, size_t n) {
    const char *end = p + n;
    return json_value(&p, end, 0) && p == end;
}
#endif
