/* Files of a test program, in a directory of their own that goes with the program. */
#ifndef VT_TMP_H
#define VT_TMP_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct tmp_name {
    struct tmp_name *next;
    char path[128];
};
static struct tmp_name *tmp_names;
static char tmp_root[32];
static pid_t tmp_owner;

static inline void tmp_remove(void) {
    if (getpid() != tmp_owner) return; /* a child's end is not the program's */
    while (tmp_names) {
        struct tmp_name *t = tmp_names;
        tmp_names = t->next;
        remove(t->path); /* what was made last goes first: directories after what is in them */
        free(t);
    }
    if (rmdir(tmp_root) < 0) perror(tmp_root);
}
static inline const char *tmp_dir(void) {
    if (tmp_root[0]) return tmp_root;
    strcpy(tmp_root, "/tmp/vt_test_XXXXXX");
    if (!mkdtemp(tmp_root)) abort();
    tmp_owner = getpid();
    atexit(tmp_remove);
    return tmp_root;
}
/* Where `name` is in there, or may be made; the same each time. lives: as long as the program. */
static inline const char *tmp_path(const char *name) {
    struct tmp_name *t = tmp_names;
    while (t && strcmp(t->path + strlen(tmp_root) + 1, name) != 0) t = t->next;
    if (t) return t->path;
    if (!(t = malloc(sizeof *t))) abort();
    snprintf(t->path, sizeof t->path, "%s/%s", tmp_dir(), name);
    t->next = tmp_names;
    tmp_names = t;
    return t->path;
}
/* Makes or replaces the file of that name; returns its path. */
static inline const char *tmp_file(const char *name, const void *data, size_t n) {
    const char *path = tmp_path(name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f) != 0) abort();
    return path;
}
static inline const char *tmp_text(const char *name, const char *text) {
    return tmp_file(name, text, strlen(text));
}
#endif
