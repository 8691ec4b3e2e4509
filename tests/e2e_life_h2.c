/* The same lives over HTTP/2 (137): same handlers, same results. HTTP/1.1's own (HTTP1_TEST) are
 *   b086, b091, b087_a_malformed_request: requests of a connection wait for each other;
 *   b087_client_that_never_reads: so it is written in HTTP/1.1's bytes; e2e_h2.c has a24 and a25;
 *   idle_worker_takes_requests: connections are parked with a worker; muxcases.h has several_workers;
 *   b090_a_half_close, b090_fin_with_the_request, b094_half_closed: an end of input is no end of the connection;
 *   b095, b097_head: the head's time begins before the first byte; muxcases.h has idle_timeout, e2e_h2.c a39;
 *   b105_start_stop_start_again: its client is a vthread, and no shim;
 *   b087_parked_connections_are_small: make bench tells HTTP/2's memory;
 *   b110: it reads raw bytes; e2e_h2.c has slow_reader_parks_the_handler;
 *   b116 to b118: Upgrade; e2e_ws_h2.c has b116_raw_bytes_by_connect;
 *   those of left output: HTTP/1.1's vthread has its connection's; muxcases.h has h150_handler_that_blocks. */
/* variants: default asan tsan */
#define VTHTTP_H2 1
#define E2E_H2 1
#include "e2e_life.c"
