/* PostgreSQL behind handlers, by the unmodified, blocking libpq: VTHTTP_HOOKS makes its socket calls wait for the virtual thread
 * alone. cc -O2 postgres.c -I$(pg_config --includedir) -lpq -o postgres && ./postgres "-db=host=/tmp dbname=app" */
#define VTHTTP_HOOKS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include <libpq-fe.h>

enum { CONNECTIONS = 16 }; /* more requests at once wait for one */
static const char *where = "";
static vt_chan *pool; /* of PGconn *, NULL: not connected yet */

/* Runs one statement on a connection of the pool. NULL: logged; else PQclear is the caller's. */
static PGresult *query(const char *sql, int n, const char *const *values) {
    PGconn *c;
    if (vt_chan_recv(pool, &c) < 0) return NULL; /* cancelled, or past the deadline */
    if (!c) c = PQconnectdb(where);
    PGresult *r = PQexecParams(c, sql, n, NULL, values, NULL, NULL, 0);
    ExecStatusType is = PQresultStatus(r);
    if (is != PGRES_TUPLES_OK && is != PGRES_COMMAND_OK) {
        vt_log(VT_LOG_ERROR, "postgres: %s", PQerrorMessage(c));
        PQclear(r);
        r = NULL;
    }
    if (PQtransactionStatus(c) != PQTRANS_IDLE) { /* the connection is broken, or its query was left */
        PQfinish(c);
        c = NULL;
    }
    vt_chan_send_try(pool, &c); /* there is room: it came from there */
    return r;
}

static int add(vt_req *req, vt_res *res) {
    vt_str body;
    int r = vt_req_body(req, &body); /* NUL-terminated; a value, never a part of the statement */
    if (r < 0) return r;
    if (strlen(body.ptr) != body.len) return VT_EBADREQ; /* libpq would see its beginning alone */
    PGresult *rows = query("INSERT INTO notes(note) VALUES ($1) RETURNING id", 1, &body.ptr);
    r = rows ? vt_res_printf(res, 201, "%s\n", PQgetvalue(rows, 0, 0))
             : vt_res_text(res, 502, "no database\n");
    PQclear(rows);
    return r;
}

static int list(vt_req *req, vt_res *res) {
    PGresult *rows = query("SELECT id, note FROM notes ORDER BY id", 0, NULL);
    int64_t w = 0;
    if (!rows) return vt_res_text(res, 502, "no database\n");
    vt_res_type(res, "text/plain;charset=utf-8");
    for (int i = 0; i < PQntuples(rows) && w >= 0; i++) {
        const char *line = vt_req_printf(req, "%s: %s\n", PQgetvalue(rows, i, 0), PQgetvalue(rows, i, 1));
        w = line ? vt_res_write(res, line, strlen(line)) : -ENOMEM;
    }
    PQclear(rows);
    return w < 0 ? (int)w : vt_res_end(res);
}

int main(int argc, char **argv) {
    vt_server_cfg cfg = {.stack_bytes = 512 << 10, .handler_timeout_ms = 10000}; /* libpq is used to 8 MiB */
    vt_server *s = vt_server_from_args_cfg(&argc, argv, &cfg);
    PGconn *c = NULL;
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "-db=", 4) == 0) where = argv[i] + 4;
    pool = vt_chan_new(sizeof(PGconn *), CONNECTIONS, 0);
    for (int i = 0; i < CONNECTIONS; i++) vt_chan_send_try(pool, &c);
    vt_server_post(s, "/notes", add); /* CREATE TABLE notes(id serial PRIMARY KEY, note text NOT NULL) */
    vt_server_get(s, "/notes", list);
    int failed = vt_server_run(s) < 0;
    while (vt_chan_recv_try(pool, &c) == 0) PQfinish(c);
    vt_chan_free(pool);
    return failed;
}
