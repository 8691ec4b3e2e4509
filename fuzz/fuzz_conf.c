/* The configuration reader: never reads past the text, gives the same whether it came by lines or whole, keeps every
 * number in its row's range, says where and what when it refuses. The same bytes as arguments and as variables. */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "fuzz.h"

static void quiet(void *ctx, int level, const char *line) { (void)ctx, (void)level, (void)line; }

static void check(const vt__conf *c, int err, const char *place) {
    MUST(err == 0 || err == VT_ECONF);
    MUST((err == 0) == (c->error[0] == 0));
    MUST(strlen(c->error) < sizeof c->error);
    if (err) MUST(strncmp(c->error, place, strlen(place)) == 0);
    for (const char *p = c->error; *p; p++) MUST((unsigned char)*p >= ' ' && *p != 0x7f);
    for (size_t i = 0; i < VT__COUNT(vt__conf_rows); i++) {
        const vt__conf_row *row = &vt__conf_rows[i];
        const char *at = (const char *)&c->cfg + row->offset;
        int64_t v = 0;
        int v32 = 0;
        if (row->kind == VT__CONF_STRING) continue;
        if (row->size == 4) memcpy(&v32, at, 4), v = v32;
        else memcpy(&v, at, 8);
        vt__srv_range range = {.most = 1, .none = false};
        if (row->kind < VT__CONF_FLAG) range = vt__conf_range(row);
        else if (row->kind == VT__CONF_CANCEL) range.most = VT_CANCEL_NEVER;
        bool none = v == VT_NONE && (range.none || (row->flags & VT__CONF_ZERO_NONE));
        MUST(v == 0 || none || (v >= range.least && v <= range.most && v > 0));
    }
}

/* One line at a time gives the same result up to the first error. */
static void by_lines(const vt__conf *whole, int whole_err, vt_str text) {
    vt__conf c;
    int err = 0;
    vt__conf_begin(&c, NULL);
    while (err == 0 && text.len > 0) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t n = end ? (size_t)(end - text.ptr) + 1 : text.len;
        size_t bom = c.place[0] == 0 || n < 3 || memcmp(text.ptr, "\xef\xbb\xbf", 3) != 0 ? 0 : 3;
        if (bom)
            err = VT_ECONF; /* only the text's start may have one: as a line of its own it would be taken */
        else err = vt__conf_text(&c, "f", (vt_str){text.ptr, n});
        text.ptr += n;
        text.len -= n;
    }
    MUST(err == whole_err);
    MUST(c.cfg.port == whole->cfg.port && c.cfg.max_body == whole->cfg.max_body);
    MUST(c.cfg.idle_timeout_ms == whole->cfg.idle_timeout_ms && c.cfg.no_date == whole->cfg.no_date);
    MUST(!c.cfg.host == !whole->cfg.host && (!c.cfg.host || strcmp(c.cfg.host, whole->cfg.host) == 0));
    vt__conf_end(&c);
}

/* Lines of the text as arguments (or variables); -config= is left out, it would open files. */
static int split(char *text, char **out, int cap) {
    int n = 0;
    for (char *line = strtok(text, "\n"); line && n < cap; line = strtok(NULL, "\n"))
        if (strncmp(line, "-config", 7) != 0) out[n++] = line;
    out[n] = NULL;
    return n;
}

static void as_arguments(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1), *list[66], *args[66], *env[] = {NULL};
    vt__conf c;
    MUST(text != NULL);
    if (size) memcpy(text, data, size);
    text[size] = 0;
    int n = split(text, list, 64), left = n;
    memcpy(args, list, sizeof args);
    vt__conf_begin(&c, NULL);
    check(&c, vt__conf_read(&c, n, list, env), "argument ");
    vt__conf_args_remove(&left, args);
    MUST(left <= n && args[left] == NULL);
    for (int i = 0, k = 0; i < left; i++) { /* what stays is a subsequence */
        while (list[k] != args[i]) MUST(++k < n);
        k++;
    }
    int again = left;
    vt__conf_args_remove(&again, args);
    MUST(again == left);
    vt__conf_end(&c);
    vt__conf_begin(&c, NULL);
    check(&c, vt__conf_env(&c, list), "environment variable VTHTTP_");
    vt__conf_env_warn(list);
    vt__conf_end(&c);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    vt_str text = {(const char *)data, size};
    vt__conf c;
    vt_log_set(quiet, NULL, VT_LOG_OFF);
    vt__conf_begin(&c, NULL);
    int err = vt__conf_text(&c, "f", text);
    check(&c, err, "f:");
    if (text.ptr) by_lines(&c, err, text);
    vt__conf_end(&c);
    as_arguments(data, size);
    return 0;
}
