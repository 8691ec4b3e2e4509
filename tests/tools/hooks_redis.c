/* hooks_redis SOCKET|PORT [N]: N virtual threads on one worker; each waits three times 0.1 s in BLPOP of an empty list, by
 * unmodified hiredis, between a SET and a GET. Prints "ok MS". */
#define VTHTTP_HOOKS 1
#define VTHTTP_HTTP 0
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"
#include <hiredis/hiredis.h>

static const char *where;
static int fails;

static void want(int ok, const char *what, redisContext *c) {
    if (ok) return;
    printf("FAIL %s: %s\n", what, c && c->err ? c->errstr : "?");
    fails++;
}
static int client(void *arg) {
    int n = (int)(intptr_t)arg;
    struct timeval limit = {20, 0};
    redisContext *c = where[0] == '/' ? redisConnectUnixWithTimeout(where, limit)
                                      : redisConnectWithTimeout("localhost", atoi(where), limit);
    want(c && !c->err, "connect", c);
    if (!c || c->err) return 1;
    freeReplyObject(redisCommand(c, "SET key%d value%d", n, n));
    for (int i = 0; i < 3; i++) {
        redisReply *r = redisCommand(c, "BLPOP empty%d 0.1", n);
        want(r && r->type == REDIS_REPLY_NIL, "BLPOP", c);
        freeReplyObject(r);
    }
    char value[32];
    snprintf(value, sizeof value, "value%d", n);
    redisReply *r = redisCommand(c, "GET key%d", n);
    want(r && r->type == REDIS_REPLY_STRING && strcmp(r->str, value) == 0, "GET", c);
    freeReplyObject(r);
    redisFree(c);
    return 0;
}
static int all(void *arg) {
    int n = *(int *)arg;
    vt_task **t = calloc((size_t)n, sizeof(*t));
    int64_t began = vt_now();
    for (int i = 0; i < n; i++) t[i] = vt_async(client, (void *)(intptr_t)i);
    for (int i = 0; i < n; i++) vt_await(t[i], NULL);
    printf("%s %d\n", fails ? "FAILED" : "ok", (int)((vt_now() - began) / VT_MS));
    free(t);
    return fails;
}
int main(int argc, char **argv) {
    int n = argc > 2 ? atoi(argv[2]) : 100;
    vt_cfg cfg = {.workers = 1, .stack_bytes = 256 * 1024};
    where = argc > 1 ? argv[1] : "";
    return vt_run(&cfg, all, &n) != 0;
}
