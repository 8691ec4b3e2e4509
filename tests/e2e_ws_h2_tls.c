/* The same behaviours over TLS, by ALPN (137): same handlers, same results. */
/* variants: default */
#define VTHTTP_TLS 1
#define E2E_TLS 1
#include "e2e_ws_h2.c"
