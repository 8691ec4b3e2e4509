/* The behaviours of tests/e2e_file.c over HTTP/3. */
/* variants: default asan */
#define VTHTTP_TLS 1
#define E2E_TLS 1
#define VTHTTP_H3 1
#define E2E_H3 1
#include "e2e_file.c"
