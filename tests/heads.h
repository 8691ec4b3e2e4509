/* Request heads: the shortest, and what a browser sends as far as its cookies. */
#ifndef VT_HEADS_H
#define VT_HEADS_H
static const char short_head[] = "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
#define BROWSER_HEAD                                                                                         \
    "GET /archive/2026/11/photographs/harbour.jpg?size=large&from=gallery HTTP/1.1\r\n"                      \
    "Host: www.example.com\r\n"                                                                              \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"                 \
    "Accept: image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5\r\n"                      \
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"                                                           \
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"                                                           \
    "Connection: keep-alive\r\n"                                                                             \
    "Referer: http://www.example.com/archive/2026/11/photographs/\r\n"
#endif
