/* Redis behind handlers, by the unmodified, blocking hiredis: VTHTTP_HOOKS makes its socket calls wait for the virtual thread
 * alone. cc -O2 redis.c -lhiredis -o redis && ./redis -redis=/run/redis.sock (or a port of this machine; 6379) */
#define VTHTTP_HOOKS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include <hiredis/hiredis.h>

static const char *where = "6379";
static vt_chan *idle; /* connections that nobody uses, of redisContext *; so many are kept at most */

/* On an idle connection, or a new one. NULL: logged; else freeReplyObject is the caller's. */
static redisReply *command(const char *fmt, ...) {
    redisContext *c = NULL;
    struct timeval limit = {5, 0}; /* to connect; the rest is under the request's deadline */
    va_list ap;
    if (vt_chan_recv_try(idle, &c) < 0)
        c = where[0] == '/' ? redisConnectUnixWithTimeout(where, limit)
                            : redisConnectWithTimeout("127.0.0.1", atoi(where), limit);
    va_start(ap, fmt);
    redisReply *reply = c && !c->err ? redisvCommand(c, fmt, ap) : NULL;
    va_end(ap);
    if (!reply) vt_log(VT_LOG_ERROR, "redis: %s", c ? c->errstr : "no memory");
    if (reply && reply->type == REDIS_REPLY_ERROR) {
        vt_log(VT_LOG_ERROR, "redis: %s", reply->str);
        freeReplyObject(reply);
        reply = NULL;
    }
    if (!c || c->err || vt_chan_send_try(idle, &c) < 0) redisFree(c);
    return reply;
}

static int hit(vt_req *req, vt_res *res) {
    vt_str name = vt_req_param(req, "name");
    redisReply *reply = command("INCR hits:%b", name.ptr, name.len);
    if (!reply) return vt_res_text(res, 502, "no redis\n");
    int r = vt_res_printf(res, 200, "%lld\n", reply->integer);
    freeReplyObject(reply);
    return r;
}

/* Waits in Redis until somebody posts, 5 s at most: the call blocks this virtual thread and nobody else. */
static int next(vt_req *req, vt_res *res) {
    redisReply *reply = command("BLPOP news 5");
    (void)req;
    if (!reply) return vt_res_text(res, 502, "no redis\n");
    int r = VT_ENOTFOUND;
    if (reply->type == REDIS_REPLY_ARRAY) /* its length counts: there may be NULs in it */
        r = vt_res_send(res, 200, "text/plain;charset=utf-8", reply->element[1]->str, reply->element[1]->len);
    freeReplyObject(reply);
    return r;
}

static int post(vt_req *req, vt_res *res) {
    vt_str body;
    int r = vt_req_body(req, &body);
    if (r < 0) return r;
    redisReply *reply = command("RPUSH news %b", body.ptr, body.len);
    if (!reply) return vt_res_text(res, 502, "no redis\n");
    freeReplyObject(reply);
    return vt_res_no_content(res);
}

int main(int argc, char **argv) {
    vt_server_cfg cfg = {.stack_bytes = 256 << 10, .handler_timeout_ms = 10000};
    vt_server *s = vt_server_from_args_cfg(&argc, argv, &cfg);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "-redis=", 7) == 0) where = argv[i] + 7;
    idle = vt_chan_new(sizeof(redisContext *), 64, 0);
    vt_server_get(s, "/hits/{name}", hit);
    vt_server_get(s, "/next", next);
    vt_server_post(s, "/news", post);
    int failed = vt_server_run(s) < 0;
    for (redisContext *c; vt_chan_recv_try(idle, &c) == 0;) redisFree(c);
    vt_chan_free(idle);
    return failed;
}
