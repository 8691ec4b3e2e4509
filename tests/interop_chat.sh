#!/bin/sh
# variants: default asan
# examples/chat in headless Chromium: three pages that talk, one that leaves, one over the limit, a server that stops; over
# ws, and wss where the example is built with TLS; and wss over HTTP/2, the connection being the page's.
set -u
cd "$(dirname "$0")/.." || exit 2
for chromium in chromium chromium-browser google-chrome ''; do
    command -v "$chromium" > /dev/null && break
done
why=
[ -n "$chromium" ] || why="no chromium (make deps)"
command -v python3 > /dev/null || why="no python3 (make deps)"
if [ -n "$why" ]; then
    echo "SKIP interop_chat: $why"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
tmp=$(mktemp -d) || exit 2
passed=0 failed=0 skipped=0 pid=
server=${VT_EXAMPLES:-build/examples}/chat
trap '[ -n "$pid" ] && kill -9 "$pid" 2> /dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
if [ ! -x "$server" ]; then
    server=$tmp/chat
    ${CC:-cc} -std=gnu11 -O2 -pthread -DVTHTTP_TLS=1 -o "$server" examples/chat.c -lssl -lcrypto 2> /dev/null ||
        ${CC:-cc} -std=gnu11 -O2 -pthread -o "$server" examples/chat.c || exit 2
fi

# scheme, arguments of the server...: its pages, and its end
talk() {
    scheme=$1 url=
    shift
    : > "$tmp/log"
    "$server" -port=0 -host=127.0.0.1 -workers=2 "$@" > "$tmp/log" 2>&1 &
    pid=$!
    tries=0
    while [ -z "$url" ] && [ $tries -lt 200 ] && kill -0 "$pid" 2> /dev/null; do
        url=$(sed -n "s,.*listening on \\($scheme://.*\\),\\1,p" "$tmp/log" | head -n 1)
        [ -n "$url" ] || sleep 0.1
        tries=$((tries + 1))
    done
    if said=$(timeout 200 python3 tests/tools/chrome.py "$chromium" "$url" "$pid" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL interop_chat: pages of $url: $said"
        kill -TERM "$pid" 2> /dev/null
    fi
    wait "$pid"
    status=$? pid=
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL interop_chat: the server's exit status is $status" && tail -n 20 "$tmp/log"
    fi
}

talk http
if ! command -v openssl > /dev/null; then
    why="no openssl (make deps)"
elif ! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout "$tmp/key.pem" \
    -out "$tmp/cert.pem" -subj /CN=localhost > /dev/null 2>&1; then
    why="openssl makes no certificate"
elif "$server" -port=0 -sslPort=0 -sslCert="$tmp/none" 2>&1 | grep -q "VTHTTP_TLS=1"; then
    why="the example is built without TLS"
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
    if [ "$(grep 'WebSocket over' "$tmp/log" | sort | uniq -c | tr -s ' ')" = " 3 WebSocket over 20" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL interop_chat: not all WebSockets came over HTTP/2" && grep 'WebSocket over' "$tmp/log"
    fi
fi
if [ -n "$why" ]; then
    echo "SKIP interop_chat over TLS: $why"
    skipped=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
