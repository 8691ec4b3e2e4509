/* The behaviours of tests/e2e_cli_h2.c when the kernel takes little at a time and interrupts every few calls. */
/* variants: default asan */
#define VTHTTP_SIM 1
#include "e2e_cli_h2.c"

#include "shortio.h"

/* It was not the kernel itself that the others saw. */
CLI_TEST(short_calls_were_made, 1) {
    begin(serve_all, NULL);
    for (int i = 0; i < 100; i++) CHECK_EQ(get_by(client, script.url, "again"), 200);
    CHECK(short_calls > 200);
    end();
}
