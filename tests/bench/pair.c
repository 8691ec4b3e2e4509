/* Two servers under the same load in alternating slices (A B, B A, A B ...): the ratio of their CPU time per answer.
 * Neighbouring slices see the same machine, so the ratio holds where the absolute figures drift.
 *
 *   pair -A="./http_vt" -B="./bare_http" [-load="-c=100 -n=100000"] [-pairs=7] [-name=keep] [-goal=1.05]
 *        [-same_bytes] [-syscalls [-sys_n=20000] [-sys_goal=2.05] [-bare_low=2.00 -bare_high=2.03]]
 *        [-cpu_server=0] [-cpu_load=1] [-max_s=120]
 *
 * A is the one that is judged, B the reference; each prints "port N" when it listens, and ends on SIGTERM.
 * -same_bytes  asks A for one response and starts B with -response=FILE of it
 * -syscalls    counts system calls an answer by strace -c over two runs of different length (what start and end cost
 *              cancels out), instead of CPU time. B outside its bounds is an error: it is no fair reference then.
 * Rows for the summary begin with "= ". */
#include "bench.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PAIRS_MAX 101

struct proc {
    pid_t pid; /* what we started: the server, or strace over it */
    pid_t server;
    int port, out;
};

#define CALLS_MAX 48

struct counts {
    double total;
    int used;
    struct {
        char name[64];
        double calls;
    } by[CALLS_MAX];
};

static struct {
    const char *name, *load_args, *here;
    int cpu_server, cpu_load, pairs;
    long long max_s;
    char tmp[64];
} cfg;

static struct proc running[2];

/* Servers do not outlive us, whatever ends the run. */
static void reap_all(void) {
    for (int i = 0; i < 2; i++) {
        if (running[i].server > 0) kill(running[i].server, SIGKILL);
        if (running[i].pid <= 0) continue;
        kill(running[i].pid, SIGKILL);
        waitpid(running[i].pid, NULL, 0);
    }
    char path[96];
    const char *const files[] = {"response", "strace"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", cfg.tmp, files[i]);
        unlink(path);
    }
    if (cfg.tmp[0]) rmdir(cfg.tmp);
}

/* SIGALRM, or whoever ends us. */
static void on_end(int sig) {
    static const char text[] = "pair: out of time\n";
    if (sig == SIGALRM && write(2, text, sizeof(text) - 1) < 0) _exit(3);
    reap_all();
    _exit(3);
}

/* Starts a shell command with its output in a pipe. */
static pid_t start(const char *command, int cpu, int *out) {
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0) bench_die("pipe");
    pid_t pid = fork();
    if (pid < 0) bench_die("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(p[1], 1);
        bench_pin(0, cpu);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(p[1]);
    *out = p[0];
    return pid;
}

/* Reads until `mark` and a line end after it, the end of the pipe, or the time is up. */
static int read_until(int fd, const char *mark, char *buf, size_t cap, int timeout_ms) {
    size_t have = 0;
    int64_t end = bench_now() + (int64_t)timeout_ms * 1000000;
    for (;;) {
        struct pollfd pf = {.fd = fd, .events = POLLIN};
        int64_t left = (end - bench_now()) / 1000000;
        if (left <= 0 || poll(&pf, 1, (int)left) <= 0) return -1;
        ssize_t n = read(fd, buf + have, cap - 1 - have);
        if (n <= 0) return -1;
        have += (size_t)n;
        buf[have] = '\0';
        char *at = strstr(buf, mark);
        if (at && strchr(at, '\n')) return (int)(at - buf);
        if (have + 1 >= cap) return -1;
    }
}

static pid_t child_of(pid_t pid) {
    char path[64], text[64] = "";
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    return (pid_t)atoi(text);
}

static void server_start(struct proc *p, const char *command, int traced) {
    char line[4096], said[4096];
    if (traced) snprintf(line, sizeof(line), "exec strace -f -c -o %s/strace %s", cfg.tmp, command);
    else snprintf(line, sizeof(line), "exec %s", command);
    p->pid = start(line, cfg.cpu_server, &p->out);
    int at = read_until(p->out, "port ", said, sizeof(said), 20000);
    errno = 0;
    if (at < 0) bench_die("%s: did not say \"port N\"", command);
    p->port = atoi(said + at + 5);
    p->server = traced ? child_of(p->pid) : p->pid;
    if (p->server <= 0) bench_die("%s: its process is not to be found", command);
}

static void server_stop(struct proc *p) {
    int status = 0;
    kill(p->server, SIGTERM);
    for (int i = 0; i < 1000 && waitpid(p->pid, &status, WNOHANG) == 0; i++) {
        if (i == 900) /* nine seconds of grace */
            kill(p->server, SIGKILL);
        usleep(10000);
    }
    close(p->out);
    *p = (struct proc){0};
}

/* Runs the generator against a server; returns its "result" line's figures. */
static void load_run(const struct proc *p, const char *more, double *cpu_ns, double *responses, double *ns) {
    char line[4096], said[4096];
    int out, status;
    snprintf(line, sizeof(line), "exec %s/load -port=%d -pid=%d -cpu=%d %s %s", cfg.here, p->port,
             (int)p->server, cfg.cpu_load, cfg.load_args, more);
    pid_t pid = start(line, -1, &out);
    int at = read_until(out, "result ", said, sizeof(said), 120000);
    close(out);
    if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0 || at < 0) {
        errno = 0;
        bench_die("%s: the load failed: %s", cfg.name, line + 5);
    }
    long long a, b, c;
    if (sscanf(said + at, "result responses=%lld ns=%lld cpu_ns=%lld", &a, &b, &c) != 3 || a <= 0)
        bench_die("%s: the load said nothing to measure by", cfg.name);
    *responses = (double)a;
    *ns = (double)b;
    *cpu_ns = (double)c;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof(*v), by_value);
    return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void row(const char *suffix, double value, const char *unit, double goal) {
    printf("= %s%s %.3f %s ", cfg.name, suffix, value, unit);
    if (goal > 0) printf("<=%.2f %s\n", goal, value <= goal ? "ok" : "MISS");
    else printf("- -\n");
}

static double slice(int i, double *rate) {
    double cpu, n, ns;
    load_run(&running[i], "", &cpu, &n, &ns);
    *rate = n / (ns / 1e9);
    return cpu / n / 1e3;
}

static void compare(double goal) {
    static double us[2][PAIRS_MAX], ratio[PAIRS_MAX];
    double rate[2];
    printf("%s: server CPU us per answer, A / B (thousand answers a second)\n", cfg.name);
    for (int k = 0; k < cfg.pairs; k++) {
        for (int j = 0; j < 2; j++) {
            int which = (j + k) & 1;
            us[which][k] = slice(which, &rate[which]);
        }
        ratio[k] = us[0][k] / us[1][k];
        printf("  %8.3f / %8.3f = %.3f   (%.1f / %.1f)\n", us[0][k], us[1][k], ratio[k], rate[0] / 1e3,
               rate[1] / 1e3);
        fflush(stdout);
    }
    double a = median(us[0], cfg.pairs), b = median(us[1], cfg.pairs);
    double low, r = median(ratio, cfg.pairs);
    low = ratio[0];
    printf("  medians %.3f / %.3f us, ratio %.3f (%.3f to %.3f)\n", a, b, r, low, ratio[cfg.pairs - 1]);
    row("_cpu_ratio", r, "x", goal);
    row("_cpu", a, "us", 0);
    row("_cpu_bare", b, "us", 0);
}

static void counts_add(struct counts *c, const char *name, double calls) {
    int i = 0;
    while (i < c->used && strncmp(c->by[i].name, name, sizeof(c->by[i].name) - 1) != 0) i++;
    if (i == CALLS_MAX) return;
    if (i == c->used) snprintf(c->by[c->used++].name, sizeof(c->by[i].name), "%s", name);
    c->by[i].calls += calls;
}

static void counts_print(const char *who, const struct counts *c) {
    printf("  %s %.3f:", who, c->total);
    for (int i = 0; i < c->used; i++)
        if (c->by[i].calls >= 0.005) printf(" %s %.3f", c->by[i].name, c->by[i].calls);
    putchar('\n');
}

/* The table of strace -c: "% seconds usecs calls [errors] name", ended by a line of totals. */
static void read_strace(struct counts *c, double sign, double per) {
    char path[96], text[256], name[64], err[64];
    double pct, sec, us, calls;
    snprintf(path, sizeof(path), "%s/strace", cfg.tmp);
    FILE *f = fopen(path, "r");
    if (!f) bench_die("%s: strace left no summary", cfg.name);
    while (fgets(text, sizeof(text), f)) {
        int n = sscanf(text, "%lf %lf %lf %lf %63s %63s", &pct, &sec, &us, &calls, err, name);
        if (n < 5) continue;
        const char *call = n == 6 ? name : err;
        if (strcmp(call, "total") == 0) {
            c->total += sign * calls / per;
            continue;
        }
        counts_add(c, call, sign * calls / per);
    }
    fclose(f);
}

static struct counts count_calls(struct proc *p, const char *command, long long n) {
    struct counts c = {0};
    double cpu, responses, ns;
    for (int k = 1; k >= 0; k--) {
        char more[64];
        snprintf(more, sizeof(more), "-warm=%lld -n=%lld", n / 4, k ? n + n / 4 : n / 4);
        server_start(p, command, 1);
        load_run(p, more, &cpu, &responses, &ns);
        server_stop(p);
        read_strace(&c, k ? 1 : -1, (double)n);
    }
    return c;
}

static int count_both(char *const command[2], int argc, char **argv) {
    long long n = bench_num(argc, argv, "sys_n", 20000);
    double goal = strtod(bench_opt(argc, argv, "sys_goal", "0"), NULL);
    double low = strtod(bench_opt(argc, argv, "bare_low", "0"), NULL);
    double high = strtod(bench_opt(argc, argv, "bare_high", "1e9"), NULL);
    struct counts a = count_calls(&running[0], command[0], n);
    struct counts b = count_calls(&running[1], command[1], n);
    printf("%s: system calls an answer\n", cfg.name);
    counts_print("A", &a);
    counts_print("B", &b);
    row("_syscalls", a.total, "calls", goal);
    row("_syscalls_bare", b.total, "calls", 0);
    if (b.total >= low && b.total <= high) return 0;
    fprintf(stderr, "pair: the reference takes %.3f system calls, expected %.2f to %.2f\n", b.total, low,
            high);
    return 1;
}

static char *same_bytes(const char *command) {
    char line[4096], *out = NULL;
    int status = 0, fd;
    snprintf(line, sizeof(line), "exec %s/load -port=%d %s -dump=%s/response", cfg.here, running[0].port,
             cfg.load_args, cfg.tmp);
    pid_t pid = start(line, -1, &fd);
    close(fd);
    errno = 0;
    if (waitpid(pid, &status, 0) < 0 || status != 0) bench_die("%s: no response to copy", cfg.name);
    if (asprintf(&out, "%s -response=%s/response", command, cfg.tmp) < 0) bench_die("no memory");
    return out;
}

static const char *directory_of(const char *path) {
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    if (!dir) bench_die("no memory");
    return dir;
}

static int have_strace(void) { return system("strace -V >/dev/null 2>&1") == 0; }

static void configure(int argc, char **argv) {
    cfg.name = bench_opt(argc, argv, "name", "pair");
    cfg.load_args = bench_opt(argc, argv, "load", "-c=100 -n=100000");
    cfg.here = directory_of(argv[0]);
    cfg.cpu_server = (int)bench_num(argc, argv, "cpu_server", 0);
    cfg.cpu_load = (int)bench_num(argc, argv, "cpu_load", sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 1 : 0);
    cfg.pairs = (int)bench_num(argc, argv, "pairs", 7);
    cfg.max_s = bench_num(argc, argv, "max_s", 120);
    if (cfg.pairs < 1 || cfg.pairs > PAIRS_MAX) bench_die("-pairs is 1 to %d", PAIRS_MAX);
    const char *base = getenv("TMPDIR");
    snprintf(cfg.tmp, sizeof(cfg.tmp), "%s/bench.XXXXXX", base && strlen(base) < 32 ? base : "/tmp");
    if (!mkdtemp(cfg.tmp)) bench_die("mkdtemp");
    atexit(reap_all);
    signal(SIGALRM, on_end);
    signal(SIGTERM, on_end);
    signal(SIGINT, on_end);
    alarm((unsigned)cfg.max_s);
}

int main(int argc, char **argv) {
    static const char *const known[] = {
        "A",     "B",        "load",     "pairs",     "name",  "goal",     "same_bytes", "syscalls",
        "sys_n", "sys_goal", "bare_low", "bare_high", "max_s", "cpu_load", "cpu_server", NULL};
    bench_known(argc, argv, known);
    char *command[2] = {(char *)bench_opt(argc, argv, "A", ""), (char *)bench_opt(argc, argv, "B", "")};
    errno = 0;
    if (!*command[0] || !*command[1]) bench_die("usage: pair -A=COMMAND -B=COMMAND ...");
    int syscalls = (int)bench_num(argc, argv, "syscalls", 0);
    configure(argc, argv);
    if (syscalls && !have_strace()) {
        printf("SKIP %s_syscalls: strace is not installed\n", cfg.name);
        return 0;
    }
    server_start(&running[0], command[0], 0);
    if (bench_num(argc, argv, "same_bytes", 0)) command[1] = same_bytes(command[1]);
    if (syscalls) {
        server_stop(&running[0]);
        return count_both(command, argc, argv);
    }
    server_start(&running[1], command[1], 0);
    compare(strtod(bench_opt(argc, argv, "goal", "0"), NULL));
    server_stop(&running[0]);
    server_stop(&running[1]);
    return 0;
}
