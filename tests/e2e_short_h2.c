/* The behaviours of tests/e2e_h2.c when the kernel takes little at a time and interrupts every few calls. */
/* variants: default asan poll */
#define VTHTTP_SIM 1
#include "e2e_h2.c"

#include "shortio.h"

/* It was not the kernel itself that the others saw. */
TEST(short_calls_were_made) {
    REQUIRE(start(NULL));
    H2(h);
    REQUIRE(h2_open(&h));
    for (int i = 0; i < 100; i++) CHECK(goes_on(&h));
    CHECK(short_calls > 200);
    CHECK_EQ(stop(&h), 0);
}
