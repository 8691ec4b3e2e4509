/* A tiny HTTP client for scripts, so that they need no curl: one request, then its status and body on standard output.
 *     get PORT METHOD TARGET [-b BODY | -n BYTES] [-s FILE] ['Name: value']...     FILE: made when all of it is sent
 *     get PORT RAW TEXT        sends TEXT, ends its sending half, prints what comes back
 * Exit status 0 when a whole answer came; ends by itself after 20 s. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static char reply[32 << 20];

static int connect_to(const char *port) {
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 ? fd : -1;
}

static int send_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
        if (r <= 0) return -1;
        p += r;
        n -= (size_t)r;
    }
    return 0;
}

static size_t read_all(int fd) {
    size_t n = 0;
    ssize_t r;
    while (n < sizeof reply - 1 && (r = recv(fd, reply + n, sizeof reply - 1 - n, 0)) > 0) n += (size_t)r;
    reply[n] = 0;
    return n;
}

/* Prints the data of the chunks; 0 when the last chunk came. */
static int print_chunks(const char *p, const char *end) {
    for (;;) {
        char *line_end;
        unsigned long size = strtoul(p, &line_end, 16);
        if (line_end == p || strncmp(line_end, "\r\n", 2) != 0) return 1;
        p = line_end + 2;
        if (size == 0) return strncmp(p, "\r\n", 2) != 0;
        if ((size_t)(end - p) < size + 2 || strncmp(p + size, "\r\n", 2) != 0) return 1;
        fwrite(p, 1, size, stdout);
        p += size + 2;
    }
}

static int print_reply(size_t n, int is_head) {
    char *body = strstr(reply, "\r\n\r\n"), *end = reply + n, *line;
    long long length = -1;
    int chunked = 0;
    if (!body || strncmp(reply, "HTTP/1.1 ", 9) != 0) return 1;
    printf("%.3s ", reply + 9);
    for (line = strstr(reply, "\r\n"); line && line < body; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, "content-length:", 15) == 0) length = strtoll(line + 17, NULL, 10);
        if (strncasecmp(line + 2, "transfer-encoding: chunked", 26) == 0) chunked = 1;
    }
    body += 4;
    if (chunked && !is_head) return print_chunks(body, end);
    fwrite(body, 1, (size_t)(end - body), stdout);
    return length >= 0 && !is_head && end - body != length;
}

int main(int argc, char **argv) {
    static char fields[4096], head[8192];
    const char *body = NULL, *sent = NULL;
    size_t body_len = 0;
    if (argc < 4)
        return fprintf(stderr,
                       "usage: get PORT METHOD TARGET [-b BODY | -n BYTES] [-s FILE] ['Name: value']...\n"),
               2;
    alarm(20);
    int fd = connect_to(argv[1]), raw = strcmp(argv[2], "RAW") == 0;
    if (fd < 0) return perror("connect"), 1;
    for (int i = 4; i < argc; i++) {
        size_t used = strlen(fields);
        if (strcmp(argv[i], "-b") == 0 && i + 1 < argc) body = argv[++i], body_len = strlen(body);
        else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
            body_len = (size_t)atol(argv[++i]), body = calloc(1, body_len + 1);
        else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc) sent = argv[++i];
        else snprintf(fields + used, sizeof fields - used, "%s\r\n", argv[i]);
    }
    if (raw) snprintf(head, sizeof head, "%s", argv[3]);
    else {
        int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n%s",
                         argv[2], argv[3], argv[1], fields);
        if (n < 0 || (size_t)n + 64 > sizeof head) return 2;
        if (body) snprintf(head + n, 64, "Content-Length: %zu\r\n\r\n", body_len);
        else snprintf(head + n, 64, "\r\n");
    }
    if (send_all(fd, head, strlen(head)) == 0 && body)
        (void)send_all(fd, body, body_len); /* may be refused unread */
    if (raw) shutdown(fd, SHUT_WR);
    FILE *f = sent ? fopen(sent, "w") : NULL;
    if (f) fclose(f);
    size_t n = read_all(fd);
    if (raw) return fwrite(reply, 1, n, stdout) != n;
    return print_reply(n, strcmp(argv[2], "HEAD") == 0);
}
