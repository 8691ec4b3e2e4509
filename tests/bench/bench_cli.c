/* The client: calls a second of one worker, on kept connections, and its CPU time for each. Beside it the same exchanges by
 * bare blocking sockets, one thread, one request at a time, as the least that the system calls cost.
 * -port=N of a server that answers GET /; -c=32 virtual threads; -n=N calls; -cpu=N to run on */
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"

#include "bench.h"

static long long calls;
static int conns;
static char url[64];
static vt_client *client;

static int64_t cpu_now(void) { return bench_cpu_of(getpid()); }

static int caller(void *arg) {
    for (long long n = *(long long *)arg; n > 0; n--) {
        vt_call *call = vt_client_get(client, url);
        if (vt_call_status(call) != 200) bench_die("a call ended with %d", vt_call_status(call));
        vt_call_free(call);
    }
    return 0;
}
static void round_of(long long n) {
    vt_task *t[1024];
    long long each = n / conns;
    for (int i = 0; i < conns; i++) t[i] = vt_async(caller, &each);
    for (int i = 0; i < conns; i++) vt_await(t[i], NULL);
}
static int measure(void *arg) {
    (void)arg;
    client = vt_client_new(&(vt_client_cfg){
        .proxy = "", .max_connections_host = conns, .max_idle_host = conns, .max_idle = conns});
    round_of(conns * 10);
    int64_t from = bench_now(), cpu = cpu_now();
    round_of(calls);
    cpu = cpu_now() - cpu, from = bench_now() - from;
    printf("= client_calls %.0f a_second - -\n", (double)calls * 1e9 / (double)from);
    printf("= client_cpu_a_call %.0f ns - -\n", (double)cpu / (double)calls);
    vt_client_free(client);
    return 0;
}
static void bare(int port) {
    static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    char buf[4096];
    struct sockaddr_in sa = bench_addr("127.0.0.1", port);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        bench_die("connect: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int64_t cpu = cpu_now();
    for (long long i = 0; i < calls; i++) {
        size_t n = 0;
        if (send(fd, request, sizeof request - 1, 0) < 0) bench_die("send: %s", strerror(errno));
        do {
            ssize_t r = recv(fd, buf + n, sizeof buf - 1 - n, 0);
            if (r <= 0) bench_die("the server closed");
            buf[n += (size_t)r] = 0;
        } while (!strstr(buf, "\r\n\r\n")); /* with a body that comes with its head */
        if (strncmp(buf, "HTTP/1.1 200 ", 13) != 0) bench_die("not a 200");
    }
    printf("= blocking_cpu_a_call %.0f ns - -\n", (double)(cpu_now() - cpu) / (double)calls);
    close(fd);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"port", "c", "n", "cpu", NULL};
    bench_known(argc, argv, known);
    int port = (int)bench_num(argc, argv, "port", 0), cpu = (int)bench_num(argc, argv, "cpu", -1);
    conns = (int)bench_num(argc, argv, "c", 32);
    calls = bench_num(argc, argv, "n", 100000);
    if (port < 1 || conns < 1 || conns > 1024 || calls < conns)
        bench_die("-port=N is needed, -c is 1 to 1024");
    calls -= calls % conns; /* each makes as many */
    if (cpu >= 0) bench_pin(0, cpu);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    vt_cfg cfg = {.workers = 1};
    if (vt_run(&cfg, measure, NULL) < 0) bench_die("no runtime");
    bare(port);
    return 0;
}
