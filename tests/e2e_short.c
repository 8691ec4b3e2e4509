/* The behaviours of tests/e2e_http.c when the kernel takes little at a time and interrupts every few calls. */
/* variants: default asan poll */
#define VTHTTP_SIM 1
#include "e2e_http.c"

#include "shortio.h"

/* It was not the kernel itself that the others saw. */
TEST(short_calls_were_made) {
    CL(c);
    REQUIRE(start_plain());
    for (int i = 0; i < 100; i++) CHECK(cl_get(&c, "/nothing") == 404);
    CHECK(short_calls > 200);
    CHECK_EQ(e2e_stop(), 0);
}
