/* Textbook POSIX client code, unmodified, on 100 virtual threads of one OS thread: VTHTTP_HOOKS makes libc's blocking calls
 * wait for the virtual thread alone. blocking_client -port=8080 -target=/ asks the server there 100 times at once. */
#define VTHTTP_HOOKS 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include <netdb.h>

static const char *port = "8080", *target = "/";

/* Nothing in here knows of virtual threads. */
static int fetch(char *buf, size_t cap) {
    struct addrinfo hints, *ai;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo("127.0.0.1", port, &hints, &ai) != 0) return -1;
    int fd = socket(ai->ai_family, ai->ai_socktype, 0), n = 0;
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0) {
        int len = snprintf(buf, cap, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", target);
        ssize_t r = write(fd, buf, (size_t)len) == len;
        while (r > 0 && (r = read(fd, buf + n, cap - (size_t)n)) > 0) n += (int)r;
    }
    close(fd);
    freeaddrinfo(ai);
    return n;
}

static int client(void *arg) {
    char buf[4096];
    (void)arg;
    int n = fetch(buf, sizeof buf);
    usleep(10000); /* parks, too */
    return n > 12 && memcmp(buf, "HTTP/1.1 200", 12) == 0;
}

static int all(void *arg) {
    enum { N = 100 };
    vt_task *task[N];
    int64_t began = vt_now();
    int ok = 0, r;
    (void)arg;
    for (int i = 0; i < N; i++) task[i] = vt_async(client, NULL);
    for (int i = 0; i < N; i++) ok += vt_await(task[i], &r) == 0 && r == 1;
    printf("%d of %d answered, in %d ms\n", ok, N, (int)((vt_now() - began) / VT_MS));
    return ok == N ? 0 : -1;
}

int main(int argc, char **argv) {
    vt_cfg cfg = {.workers = 1};
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-port=", 6) == 0) port = argv[i] + 6;
        if (strncmp(argv[i], "-target=", 8) == 0) target = argv[i] + 8;
    }
    return vt_run(&cfg, all, NULL) < 0;
}
