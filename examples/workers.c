/* A worker pool: four virtual threads do the jobs of all requests, eight more jobs may wait, and who comes then is told so at
 * once. For what must not be used by everybody at the same time: a licence, a device, a slow service.
 * ./workers -port=8080     curl http://127.0.0.1:8080/square/7 */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

enum { WORKERS = 4, WAITING = 8 };

struct job {
    long number, square;
    vt_sem done;
};

static vt_chan *jobs; /* of struct job * */
static vt_task *workers[WORKERS];

static int worker(void *arg) {
    struct job *j;
    int r;
    (void)arg;
    while ((r = vt_chan_recv(jobs, &j)) == 0) {
        r = vt_sleep_ms(100); /* stands for the use of what is scarce */
        j->square = r < 0 ? r : j->number * j->number;
        vt_sem_release(&j->done, 1); /* the job is its owner's again */
    }
    return r == VT_ECLOSED ? 0 : r;
}

static int square(vt_req *req, vt_res *res) {
    struct job job = {.number = strtol(vt_req_param(req, "n").ptr, NULL, 10)}, *j = &job;
    if (job.number < 0 || job.number > 10000) return VT_EBADREQ;
    int r = vt_chan_send_try(jobs, &j);
    if (r == -EAGAIN) {
        vt_res_field(res, "Retry-After", "1");
        return vt_res_text(res, 503, "everybody is busy\n");
    }
    if (r < 0) return r;
    vt_shield(true); /* a worker has our job: wait for it, though the client may be gone */
    vt_sem_acquire(&job.done);
    vt_shield(false);
    return job.square < 0 ? (int)job.square : vt_res_printf(res, 200, "%ld\n", job.square);
}

static int start(vt_server *s, void *ctx) {
    (void)s;
    (void)ctx;
    jobs = vt_chan_new(sizeof(struct job *), WAITING, 0);
    for (int i = 0; i < WORKERS; i++) workers[i] = vt_async_any(worker, NULL);
    return 0;
}

static void stopped(vt_server *s, void *ctx) { /* no handler runs any more */
    (void)s;
    (void)ctx;
    vt_chan_close(jobs); /* the workers end when it is empty */
    for (int i = 0; i < WORKERS; i++) vt_await(workers[i], NULL);
    vt_chan_free(jobs);
}

int main(int argc, char **argv) {
    vt_server *s = vt_server_from_args_cfg(&argc, argv,
                                           &(vt_server_cfg){.on_start = start, .on_stopped = stopped});
    vt_server_get(s, "/square/{n}", square);
    return vt_server_run(s) < 0;
}
