/* Servers that others wrote, as Debian has them, for tests of the client: started with a directory of their own, on free
 * ports, and stopped. Behind cli.h and tls.h. */
#ifndef VT_OTHERS_H
#define VT_OTHERS_H
#include <sys/stat.h>
#include <sys/wait.h>

enum { OTHERS = 4, LARGE = 3000000 };
static struct pem ca, cert;
static char dir[] = "/tmp/vt_others_XXXXXX";
static __attribute__((unused)) char conf[6000];
static int port[OTHERS];
static pid_t pids[OTHERS];
static vt_client *client;
static char *large;

static inline void file(const char *name, const char *text, size_t n) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (!f || fwrite(text, 1, n, f) != n || fclose(f) != 0) abort();
}
/* The socket stays: nobody is given that port meanwhile, and whoever sets SO_REUSEADDR, as servers do, may listen there. */
static inline int free_port(void) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&in, n) < 0 || getsockname(fd, (struct sockaddr *)&in, &n) < 0) abort();
    return ntohs(in.sin_port);
}
/* Until it takes connections; false: it has ended. */
static inline bool listens(pid_t pid, int at) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    in.sin_port = htons((uint16_t)at);
    for (;;) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), r = connect(fd, (struct sockaddr *)&in, sizeof in);
        close(fd);
        if (r == 0) return true;
        if (waitpid(pid, NULL, WNOHANG) != 0) return false;
        usleep(20000);
    }
}
/* A program that is to listen there, as number i. */
static inline bool start(int i, int at, const char *const *argv) {
    pids[i] = fork();
    if (pids[i] == 0) {
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (pids[i] > 0 && listens(pids[i], at)) return true;
    pids[i] = 0;
    return false;
}
/* Where a file of that name is, or would be. */
static inline const char *path(const char *name) {
    static char text[4][200];
    static int i;
    char *p = text[i++ % 4];
    snprintf(p, sizeof text[0], "%s/%s", dir, name);
    return p;
}
static inline void others_up(void) {
    if (!mkdtemp(dir)) abort();
    large = malloc(LARGE);
    for (int i = 0; i < LARGE; i++) large[i] = (char)('a' + i % 23);
    if (!ca.text) ca = pem_make("Test CA", NULL, NULL, 30, 0);
    if (!cert.text) cert = pem_make("others", "IP:127.0.0.1", &ca, 30, 0);
    file("cert.pem", cert.text, strlen(cert.text));
    file("small", "small", 5);
    file("large", large, LARGE);
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
}
static inline void others_down(void) {
    char command[200];
    for (int i = 0; i < OTHERS; i++)
        if (pids[i] > 0) kill(pids[i], SIGKILL), waitpid(pids[i], NULL, 0);
    memset(pids, 0, sizeof pids);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0) abort();
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    free(large);
}
/* The status; a body of 200 is as it should be, and as it was sent. */
static inline int get(const char *url, const char *body, size_t n) {
    vt_call *call = vt_client_get(client, url);
    int status = vt_call_status(call);
    if (status == 200) CHECK_MEM(vt_call_text(call).ptr, vt_call_text(call).len, body, n);
    if (status == 200) CHECK_EQ(vt_call_whole(call), 0);
    if (status == 200) CHECK(!vt_call_res_field(call, "Content-Encoding").ptr); /* none was offered */
    vt_call_free(call);
    return status;
}
static inline int64_t piece(void *ctx, void *buf, size_t n) {
    size_t *done = ctx;
    n = VT__MIN(n, LARGE - *done);
    memcpy(buf, large + *done, n);
    *done += n;
    return (int64_t)n;
}

/*--- WebSockets ---*/
static inline const char *python(void) {
    const char *other = getenv("VT_PYTHON");
    return other && *other ? other : "/usr/bin/python3"; /* Debian's has Debian's packages */
}
static inline const char *ws_of(const char *url) {
    static char text[200];
    snprintf(text, sizeof text, "ws%.150s", url + 4);
    return text;
}
static inline void ws_echoes(vt_ws *ws, size_t n) {
    vt_str m;
    CHECK_EQ(vt_ws_ping(ws, "p", 1), 0);
    CHECK_EQ(vt_ws_send(ws, VT_WS_TEXT, large, n), 0);
    CHECK_EQ(vt_ws_recv(ws, &m), VT_WS_TEXT);
    CHECK_MEM(m.ptr, m.len, large, n);
}
/* Many at once on `conns` connections of the scripts' servers: /ws echoes and speaks "two", /bye closes, /no is none. */
static inline void ws_with_python(const char *(*at)(const char *path), int conns) {
    static const size_t sizes[] = {0, 1, 125, 126, 16384, 65535, 65536, 1000000};
    const vt_ws_cfg cfg = {.protocols = "one, two"};
    vt_ws *ws[12];
    vt_str m;
    int before = client->conns;
    for (int i = 0; i < 12; i++) REQUIRE(vt_client_ws(client, ws_of(at("/ws")), &cfg, &ws[i]) == 0);
    for (size_t k = 0; k < VT__COUNT(sizes); k++)
        for (int i = 0; i < 12; i++) ws_echoes(ws[i], sizes[k]);
    CHECK_EQ(get(at("/small"), "small", 5), 200);
    CHECK_EQ(client->conns - before, conns);
    CHECK(((vt_call *)ws[0]->base)->conn->mux);
    CHECK_MEM(vt_ws_protocol(ws[0]).ptr, vt_ws_protocol(ws[0]).len, "two", 3);
    CHECK_EQ(vt_ws_close(ws[0], 4000, "mine"), 0);
    CHECK_EQ(vt_ws_recv(ws[0], &m), 0);
    CHECK_EQ(vt_ws_close_code(ws[0]), 4000);
    for (int i = 0; i < 12; i++) vt_ws_free(ws[i]);
    CHECK_EQ(vt_client_ws(client, ws_of(at("/bye")), NULL, &ws[0]), 0);
    if (ws[0]) CHECK_EQ(vt_ws_recv(ws[0], &m), 0);
    if (ws[0]) CHECK_EQ(vt_ws_close_code(ws[0]), 4001);
    vt_ws_free(ws[0]);
    CHECK_EQ(vt_client_ws(client, ws_of(at("/no")), NULL, &ws[0]), VT_EWSUPGRADE);
    CHECK_EQ(get(at("/small"), "small", 5), 200);
}
#endif
