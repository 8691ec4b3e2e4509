/* For a program with a resolver of its own: what its getaddrinfo answers with, and freeaddrinfo. */
#ifndef VT_NAMES_H
#define VT_NAMES_H
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>

/* One address, for streams; EAI_NONAME: `ip` is none of IPv4. */
static int name_is(const char *ip, int port, struct addrinfo **out) {
    struct room {
        struct addrinfo ai;
        struct sockaddr_in in;
    } *one = calloc(1, sizeof *one);
    if (!one) return EAI_MEMORY;
    if (inet_pton(AF_INET, ip, &one->in.sin_addr) != 1) {
        free(one);
        return EAI_NONAME;
    }
    one->in.sin_family = AF_INET;
    one->in.sin_port = htons((uint16_t)port);
    one->ai.ai_family = AF_INET;
    one->ai.ai_socktype = SOCK_STREAM;
    one->ai.ai_addr = (struct sockaddr *)(void *)&one->in;
    one->ai.ai_addrlen = sizeof one->in;
    *out = &one->ai;
    return 0;
}
void freeaddrinfo(struct addrinfo *ai) { free(ai); }
#endif
