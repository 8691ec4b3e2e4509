/* hooks_curl [N]: a server whose handler waits 100 ms, and N virtual threads that ask it by unmodified libcurl (easy), all on
 * one worker of one process. Prints "ok MS". */
#define VTHTTP_HOOKS 1
#define VTHTTP_IMPLEMENTATION
#include "../../vthttp.h"
#include <curl/curl.h>

static int fails, port;

static int slow(vt_req *req, vt_res *res) {
    (void)req;
    usleep(100000);
    return vt_res_text(res, 200, "from a virtual thread");
}
static size_t keep(char *p, size_t size, size_t n, void *body) {
    size_t have = strlen(body), room = 99 - have, m = VT__MIN(size * n, room);
    memcpy((char *)body + have, p, m);
    return size * n;
}
static int client(void *arg) {
    char url[80], body[100] = "", why[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURL *c = curl_easy_init();
    snprintf(url, sizeof url, "http://%s:%d/", (intptr_t)arg & 1 ? "localhost" : "127.0.0.1", port);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, 20L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    for (int i = 0; i < 2; i++) { /* the second on the connection of the first */
        body[0] = 0;
        CURLcode r = curl_easy_perform(c);
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
        if (r == CURLE_OK && status == 200 && strcmp(body, "from a virtual thread") == 0) continue;
        printf("FAIL %s: %s, status %ld, body '%s'\n", url, why, status, body);
        fails++;
    }
    curl_easy_cleanup(c);
    return 0;
}
static int all(void *arg) {
    int n = *(int *)arg;
    vt_server_cfg cfg = {.addr = "localhost:0"};
    vt_server *s = vt_server_new(&cfg);
    vt_server_get(s, "/", slow);
    if (vt_server_start(s) < 0) return 1;
    port = vt_server_port(s, 0);
    vt_task **t = calloc((size_t)n, sizeof(*t));
    int64_t began = vt_now();
    for (int i = 0; i < n; i++) t[i] = vt_async(client, (void *)(intptr_t)i);
    for (int i = 0; i < n; i++) vt_await(t[i], NULL);
    printf("%s %d\n", fails ? "FAILED" : "ok", (int)((vt_now() - began) / VT_MS));
    free(t);
    vt_server_stop(s);
    vt_server_wait(s);
    vt_server_free(s);
    return fails;
}
int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 100;
    vt_cfg cfg = {.workers = 1, .stack_bytes = 512 * 1024};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    vt_log_set(NULL, NULL, VT_LOG_WARN);
    return vt_run(&cfg, all, &n) != 0;
}
