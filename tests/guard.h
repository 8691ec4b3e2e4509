/* Memory that ends where nothing is mapped: a read behind the end is seen. */
#ifndef VT_GUARD_H
#define VT_GUARD_H
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

/* The end of so many bytes. lives: as long as the program. */
static inline char *guard_new(size_t room) {
    const size_t page = 65536; /* the largest there is */
    room = (room + page - 1) / page * page;
    char *p = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + room, page, PROT_NONE) < 0) abort();
    return p + room;
}
/* The last n bytes of such memory, always of the same. */
static inline void *guarded(size_t n) {
    enum { ROOM_MAX = 2 << 20 };
    static char *end;
    if (n > ROOM_MAX) abort();
    if (!end) end = guard_new(ROOM_MAX);
    return end - n;
}
#endif
