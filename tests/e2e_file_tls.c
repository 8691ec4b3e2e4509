/* The behaviours of tests/e2e_file.c over TLS. */
/* variants: default asan tsan */
#define VTHTTP_TLS 1
#define E2E_TLS 1
#include "e2e_file.c"
