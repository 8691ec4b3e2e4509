/* The same behaviours on one worker: whatever waits for another must not hold the only OS thread. */
/* variants: default asan */
#define E2E_WORKERS 1
#include "e2e_http.c"
