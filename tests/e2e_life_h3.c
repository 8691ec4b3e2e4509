/* The same lives over HTTP/3 (137): same handlers, same results. Not here are (HTTP1_TEST, PLAIN_TEST, TCP_TEST)
 *   b086, b091, b087_a_malformed_request: requests of a connection wait for each other;
 *   b087_client_that_never_reads, b110: they are written in HTTP/1.1's bytes; e2e_h3.c has slow_reader_parks_the_handler;
 *   idle_worker_takes_requests, b087_parked_connections_are_small: connections are not parked; muxcases.h has several_workers;
 *   b090_a_half_close, b090_fin_with_the_request, b094: QUIC has no half-closed connections;
 *   b095, b097_head: the head's time begins before the first byte; muxcases.h has idle_timeout, e2e_h3.c b33;
 *   b105_start_stop_start_again: its client is a vthread, and no shim;
 *   b087_max_connections, b087_a_close_lets_the_next_in: who is one too many is refused, and waits in no queue of a kernel's;
 *     e2e_h3.c has max_connections;
 *   b087_at_the_cap_of_vthreads_503: connections need no virtual thread; muxcases.h has without_a_vthread_503;
 *   b093_out_of_descriptors, b099: connections have no descriptors, Unix domain sockets no HTTP/3;
 *   b116 to b118: Upgrade;
 *   those of left output: HTTP/1.1's vthread has its connection's; muxcases.h has h150_handler_that_blocks.
 * Clients that do not read (b096, b098), or stop sending (b097_body_that_stalls), lose their streams and not the connection. */
/* variants: default asan tsan */
#define VTHTTP_TLS 1
#define E2E_TLS 1
#define VTHTTP_H3 1
#define E2E_H3 1
#include "e2e_life.c"
