/* A running server whose N-th allocation (then: all from the N-th on; then: the N-th system call) fails, N = 1, 2, ...
 * until a run has none left: whoever is hit gets an error or a close, the next client is served, nothing leaks. */
#define VTHTTP_SIM 1
#define E2E_WORKERS 1
#define E2E_MS 5000
#include "e2e.h"
#include "faultcalls.h"
#include "faulthttp.h"
#include "faultsweep.h"
#include "wsclient.h"

#include "faultws.h"

static bool one(const char *head, const char *body, size_t n, int want) {
    CL(c);
    if (!cl_open(&c)) return false;
    cl_puts(&c, head);
    if (n) cl_send(&c, body, n);
    int status = cl_response(&c);
    if (status == -1) test_fail(__FILE__, __LINE__, head); /* no answer and no close: a hang */
    return status == want && !c.truncated;
}
/* Every kind of memory that a connection asks for. True when all went well. */
static bool work(void) {
    static char fields[8192], body[40000];
    bool good = true;
    if (!fields[0]) {
        fields_head(fields, sizeof fields);
        memset(body, 'b', sizeof body);
    }
    good &= one(fields, NULL, 0, 200);
    good &= one("POST /body HTTP/1.1\r\n" HOST "Content-Length: 40000\r\n\r\n", body, sizeof body, 200);
    good &= one(ASK_CHUNKED, NULL, 0, 200);
    good &= one("GET /stream HTTP/1.1\r\n" HOST "\r\n", NULL, 0, 200);
    good &= one("GET /spawn HTTP/1.1\r\n" HOST "\r\n", NULL, 0, 200);
    good &= one("GET /upgrade HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: echo\r\n\r\n", "hi", 2,
                101);
    good &= one("GET /%zz HTTP/1.1\r\n" HOST "\r\n", NULL, 0, 400);
    good &= one_ws(body, sizeof body);
    good &= one_ws_streamed(body);
    return good;
}
TEST(fault_one_allocation_fails) { sweep(on_memory, ws_routes, work, false); }
TEST(fault_all_allocations_fail_from_there) { sweep(on_memory, ws_routes, work, true); }
TEST(fault_one_system_call_fails) { sweep(on_calls, ws_routes, work, false); }
/* Whoever comes while there is no memory is told so: no connection ends without a word, and the log has it. */
TEST(no_memory_is_said) {
    struct vt__plat_table before = vt__plat;
    int status = 503, n = 1;
    on_memory();
    for (; status == 503 && n < 40; n++) {
        REQUIRE(e2e_start(NULL, routes) == 0);
        fault_set(n, true);
        CL(c);
        status = cl_get(&c, "/none");
        fault_set(0, false);
        CL(next);
        CHECK_EQ(cl_get(&next, "/none"), 404);
        CHECK_EQ(e2e_logged(VT_LOG_ERROR, "accept: Cannot allocate memory (ENOMEM)"), n == 1);
        cl_close(&c);
        CHECK_EQ(e2e_stop(), 0);
    }
    vt__plat = before;
    CHECK_EQ(status, 404); /* nothing is left to fail */
    CHECK(n > 4);
}
