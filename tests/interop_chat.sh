#!/bin/sh
# variants: default asan
# examples/chat in headless Chromium: three pages that talk, one that leaves, one over the limit, a server that stops; over
# ws, and wss where the example is built with TLS; and wss over HTTP/2, the connection being the page's.
set -u
cd "$(dirname "$0")/.." || exit 2
name=interop_chat
. tests/tools/interop.sh
chromium_here || none "no chromium (make deps)"
command -v python3 > /dev/null || none "no python3 (make deps)"
built chat

# scheme, arguments of the server...: its pages, and its end
talk() {
    scheme=$1
    shift
    start -workers=2 "$@"
    listens "$scheme"
    url=$scheme://127.0.0.1:$port/
    if said=$(timeout 200 python3 tests/tools/chrome.py "$chromium" "$url" "$pid" 2>&1); then
        ok
    else
        bad "pages of $url: $said"
        kill -TERM "$pid" 2> /dev/null
    fi
    before=$failed
    ended "$url"
    [ "$failed" -eq "$before" ] || tail -n 20 "$tmp/log"
}

talk http
if ! certificate; then
    skip "TLS: no openssl that makes a certificate (make deps)"
elif lacks_tls; then
    skip "TLS: the example is built without it"
else
    talk https -sslPort=0 -sslCert="$tmp/cert.pem" -sslKey="$tmp/key.pem"
    # The same example, with HTTP/2 and a layer that tells what each WebSocket was asked for by.
    cat > "$tmp/wire.c" << 'END'
#define VTHTTP_IMPLEMENTATION
#include "vthttp.h"
static int tell(vt_req *req, vt_res *res, vt_next *next) {
    if (strcmp(vt_req_path(req).ptr, "/ws") == 0) fprintf(stderr, "WebSocket over %d\n", vt_req_version(req));
    return vt_next_run(next, req, res);
}
static vt_server *told(int *argc, char **argv) {
    vt_server *s = vt_server_from_args(argc, argv);
    vt_server_use(s, tell, NULL);
    return s;
}
#define vt_server_from_args told
#include "examples/chat.c"
END
    server=$tmp/wire
    ${VT_CC:-${CC:-cc}} -std=gnu11 ${VT_CFLAGS:--O2 -pthread} -I. -DVTHTTP_TLS=1 -DVTHTTP_H2=1 -o "$server" "$tmp/wire.c" \
        -lssl -lcrypto || exit 2
    talk https -sslPort=0 -sslCert="$tmp/cert.pem" -sslKey="$tmp/key.pem"
    same "all WebSockets over HTTP/2" " 3 WebSocket over 20" \
        "$(grep 'WebSocket over' "$tmp/log" | sort | uniq -c | tr -s ' ')"
fi
sum
