/* The same behaviours over HTTP/3 (137): same handlers, same results. */
/* variants: default asan */
#define VTHTTP_TLS 1
#define E2E_TLS 1
#define VTHTTP_H3 1
#define E2E_H3 1
#include "e2e_http.c"
