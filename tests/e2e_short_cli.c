/* The client's conversations of tests/e2e_cli_srv.c when the kernel takes little at a time and interrupts every few calls. */
/* variants: default asan poll */
#define VTHTTP_SIM 1
#include "e2e_cli_srv.c"

#include "shortio.h"

/* It was not the kernel itself that the others saw. */
CLI_TEST(short_calls_were_made, 1) {
    up();
    for (int i = 0; i < 100; i++) CHECK_EQ(get("/hello", "hello"), 200);
    CHECK(short_calls > 200);
    down();
}
