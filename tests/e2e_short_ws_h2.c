/* The behaviours of tests/e2e_ws_h2.c when the kernel takes little at a time and interrupts every few calls. */
/* variants: default */
#define VTHTTP_SIM 1
#include "e2e_ws_h2.c"

#include "shortio.h"

/* It was not the kernel itself that the others saw. */
TEST(short_calls_were_made) {
    WC(c);
    REQUIRE(begin());
    REQUIRE(ws_open(&c, "/echo"));
    for (int i = 0; i < 200; i++) CHECK(ws_text(&c, "short") && ws_is_text(&c, "short"));
    CHECK(short_calls > 200);
    CHECK(part(&c));
    CHECK_EQ(e2e_stop(), 0);
}
