/* The same behaviours over TLS (137): same handlers, same results. */
/* variants: default asan tsan */
#define VTHTTP_TLS 1
#define E2E_TLS 1
#include "e2e_http.c"
