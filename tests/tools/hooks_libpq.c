/* hooks_libpq CONNINFO [N]: N virtual threads on one worker, each SELECT pg_sleep(0.1) on a connection of its own by
 * unmodified libpq. Prints "ok MS" of the queries. Then a cancel and a deadline in the midst of a query. */
#define VTHTTP_HOOKS 1
#define VTHTTP_HTTP 0
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"
#include <libpq-fe.h>

static const char *where;
static vt_sem go;
static vt_wg ready;
static int fails;

static void fail(const char *what, PGconn *c) {
    printf("FAIL %s: %s\n", what, PQerrorMessage(c));
    fails++;
}
static int query(void *arg) {
    char sql[80];
    int n = (int)(intptr_t)arg;
    PGconn *c = PQconnectdb(where);
    if (PQstatus(c) != CONNECTION_OK) fail("connect", c);
    vt_wg_done(&ready);
    vt_sem_acquire(&go);
    snprintf(sql, sizeof sql, "SELECT pg_sleep(0.1), %d * 2, repeat('x', 100000)", n);
    PGresult *r = PQexec(c, sql);
    if (PQresultStatus(r) != PGRES_TUPLES_OK || atoi(PQgetvalue(r, 0, 1)) != 2 * n ||
        PQgetlength(r, 0, 2) != 100000)
        fail("query", c);
    PQclear(r);
    PQfinish(c);
    return 0;
}
static int slow(void *arg) {
    PGconn *c = PQconnectdb(where);
    if (PQstatus(c) != CONNECTION_OK) fail("connect", c);
    if (arg) vt_deadline_set(vt_now() + 50 * VT_MS);
    PGresult *r = PQexec(c, "SELECT pg_sleep(60)");
    if (PQresultStatus(r) == PGRES_TUPLES_OK) fail("the query was not ended", c);
    PQclear(r);
    PQfinish(c);
    return 0;
}
static int all(void *arg) {
    int n = *(int *)arg;
    vt_wg_add(&ready, n);
    vt_task **t = calloc((size_t)n, sizeof(*t));
    for (int i = 0; i < n; i++) t[i] = vt_async(query, (void *)(intptr_t)i);
    vt_wg_wait(&ready);
    int64_t began = vt_now();
    vt_sem_release(&go, n);
    for (int i = 0; i < n; i++) vt_await(t[i], NULL);
    int ms = (int)((vt_now() - began) / VT_MS);
    began = vt_now();
    for (int i = 0; i < 2; i++) {
        t[0] = vt_async(slow, (void *)(intptr_t)i);
        vt_sleep_ms(100);
        if (!i) vt_cancel(t[0]);
        vt_await(t[0], NULL);
    }
    if (vt_now() - began > 30 * VT_SEC) fails++, printf("FAIL cancel and deadline took too long\n");
    printf("%s %d\n", fails ? "FAILED" : "ok", ms);
    free(t);
    return fails;
}
int main(int argc, char **argv) {
    int n = argc > 2 ? atoi(argv[2]) : 100;
    vt_cfg cfg = {.workers = 1, .stack_bytes = 512 * 1024}; /* client libraries are used to 8 MiB */
    where = argc > 1 ? argv[1] : "";
    return vt_run(&cfg, all, &n) != 0;
}
