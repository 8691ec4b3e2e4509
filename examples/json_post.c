/* JSON over POST without a library: reads one string of a flat object, strictly, and answers JSON.
 * curl -d '{"name":"Ada"}' -H 'Content-Type: application/json' http://127.0.0.1:8080/greet */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

/* A JSON string at *p into out; escapes of one letter only. False: malformed, too long, or beyond this reader. */
static bool json_string(const char **p, char *out, size_t cap) {
    static const char from[] = "\"\\/nt", to[] = "\"\\/\n\t";
    size_t n = 0;
    if (*(*p)++ != '"') return false;
    for (; **p != '"'; (*p)++) {
        char c = **p;
        if ((unsigned char)c < ' ' || n + 1 >= cap) return false; /* the terminator is below ' ' too */
        if (c == '\\') {
            const char *e = *++*p ? strchr(from, **p) : NULL;
            if (!e) return false;
            c = to[e - from];
        }
        out[n++] = c;
    }
    (*p)++;
    out[n] = 0;
    return true;
}

/* The string under `key` of {"key": "value", ...}: the value types are strings, so no nesting to get wrong. */
static int json_field(const char *p, const char *key, char *out, size_t cap) {
    char name[32], value[256];
    int found = VT_EBADREQ;
    p += strspn(p, " \t\r\n");
    if (*p++ != '{') return VT_EBADREQ;
    do {
        p += strspn(p, " \t\r\n");
        if (!json_string(&p, name, sizeof name)) return VT_EBADREQ;
        p += strspn(p, " \t\r\n");
        if (*p++ != ':') return VT_EBADREQ;
        p += strspn(p, " \t\r\n");
        if (!json_string(&p, value, sizeof value)) return VT_EBADREQ;
        if (strcmp(name, key) == 0) found = snprintf(out, cap, "%s", value) < (int)cap ? 0 : VT_EBADREQ;
        p += strspn(p, " \t\r\n");
    } while (*p++ == ',');
    return p[-1] == '}' && p[strspn(p, " \t\r\n")] == 0 ? found : VT_EBADREQ;
}

/* Types are compared without case (RFC 9110 8.3.1); parameters may follow. */
static bool is_json(vt_str type) {
    return type.len >= 16 && strncasecmp(type.ptr, "application/json", 16) == 0 &&
           strchr("; \t", type.ptr[16]);
}

static int greet(vt_req *req, vt_res *res) {
    char name[64], safe[2 * sizeof name];
    size_t n = 0;
    vt_str type = vt_req_field(req, "Content-Type"), body;
    if (!is_json(type)) return VT_ETYPE; /* 415 */
    int r = vt_req_body(req, &body);     /* all of it, under cfg.max_body: 413 over it */
    if (r < 0) return r;
    if (strlen(body.ptr) != body.len || json_field(body.ptr, "name", name, sizeof name) < 0)
        return VT_EBADREQ;
    for (const char *p = name; *p; p++) { /* nothing leaves unescaped */
        if (*p == '"' || *p == '\\') safe[n++] = '\\';
        safe[n++] = (unsigned char)*p < ' ' ? ' ' : *p;
    }
    safe[n] = 0;
    const char *text = vt_req_printf(req, "{\"hello\":\"%s\"}\n", safe); /* lives as long as the request */
    return text ? vt_res_json(res, 200, text) : -ENOMEM;
}

int main(int argc, char **argv) {
    vt_server *s = vt_server_from_args(&argc, argv);
    vt_server_post(s, "/greet", greet);
    return vt_server_run(s) < 0;
}
