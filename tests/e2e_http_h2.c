/* The same behaviours over HTTP/2 (137): same handlers, same results. */
/* variants: default asan tsan */
#define VTHTTP_H2 1
#define E2E_H2 1
#include "e2e_http.c"
