/* The behaviours of tests/e2e_file.c over HTTP/2 and TLS. */
/* variants: default */
#define VTHTTP_TLS 1
#define E2E_TLS 1
#define VTHTTP_H2 1
#define E2E_H2 1
#include "e2e_file.c"
