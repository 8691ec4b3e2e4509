/* http_vt over HTTP/2 as well. */
#define VTHTTP_H2 1
#include "http_vt.c"
