#!/bin/sh
# variants: default asan openssl35 openssl35compat
# gtlsclient (ngtcp2), python's aioquic with wsproto, curl where it speaks HTTP/3, and a page in headless Chromium, against
# examples/conformance built with HTTP/3: four QUIC stacks besides ours.
set -u
cd "$(dirname "$0")/.." || exit 2
name=interop_h3
. tests/tools/interop.sh
if ! command -v openssl > /dev/null || ! printf '#include <openssl/ssl.h>\n' | ${CC:-cc} -fsyntax-only -xc - 2> /dev/null; then
    none "TLS (make deps)"
fi

# Its own build: HTTP/3 is not in the examples of other tests.
cc="${VT_CC:-${CC:-cc}} -std=gnu11 ${VT_CFLAGS:--O2 -pthread} -DVTHTTP_TLS=1 -DVTHTTP_H2=1 -DVTHTTP_H3=1"
server=$tmp/conformance
$cc -o "$server" examples/conformance.c -lssl -lcrypto || exit 2
certificate || exit 2
proxy='' lossy=
trap 'for p in $pid $proxy $lossy; do kill -9 "$p" 2> /dev/null; done; rm -rf "$tmp"' EXIT
start_h3() { # arguments
    start -sslPort=0 "-sslCert=$tmp/cert.pem" "-sslKey=$tmp/key.pem" -http3=on "$@"
    listens https
}

# Its exit status says nothing: what it prints does, and what it has got.
g() { # path, options
    path=$1
    shift
    rm -rf "$tmp/down"
    mkdir "$tmp/down"
    timeout 60 gtlsclient --no-quic-dump --exit-on-all-streams-close "--download=$tmp/down" "$@" "${host:-127.0.0.1}" "$port" \
        "https://localhost:$port/$path" > "$tmp/got" 2>&1
}
g_body() { # what, file, path, options
    what=$1 want=$2
    shift 2
    g "$@"
    cmp -s "$want" "$tmp/down/$1" && ok || bad "gtlsclient: $what differs: $(tail -n 5 "$tmp/got" | head -c 500)"
}
with_gtlsclient() {
    v2= # those of 0.x know a draft of it
    gtlsclient --help 2> /dev/null | grep -q '"v2"' && v2='-v v2 --preferred-versions=v2' || skip "this gtlsclient knows no QUIC version 2"
    head -c 33554432 /dev/zero | tr '\0' x > "$tmp/want"
    g_body "32 MiB" "$tmp/want" 'bytes?n=33554432' -q
    g nowhere
    has "gtlsclient: 404" ':status: 404' "$tmp/got"
    g bytes?n=7 -m HEAD
    has "gtlsclient: HEAD" 'content-length: 7' "$tmp/got"
    head -c 10000000 /dev/urandom > "$tmp/up"
    g_body "an echo of 10 MB" "$tmp/up" echo -q -m POST -d "$tmp/up"
    g delay?ms=20 -n 20
    same "gtlsclient: 20 at once" 20 "$(grep -c ':status: 200' "$tmp/got")"
    head -c 1000000 /dev/zero | tr '\0' x > "$tmp/want"
    for how in --key-update=1ms --ciphers=NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305 --tx-loss=0.05 --rx-loss=0.05 \
        --groups=-GROUP-ALL:+GROUP-SECP521R1:+GROUP-X25519 --max-stream-data-bidi-local=3000 \
        '-v 0x1a2a3a4a --preferred-versions=v1' "$v2" \
        '--change-local-addr=1ms --delay-stream=50ms' '--change-local-addr=1ms --nat-rebinding --delay-stream=50ms'; do
        # shellcheck disable=SC2086
        g_body "with $how" "$tmp/want" 'bytes?n=1000000' -q $how
    done
}
# Again, with what the server gave for it: no certificate is sent; 0-RTT is refused, and the request goes once more.
with_session() {
    head -c 1000 /dev/zero | tr '\0' x > "$tmp/want"
    for n in 1 2; do
        g_body "session, $n" "$tmp/want" 'bytes?n=1000' "--session-file=$tmp/session" "--tp-file=$tmp/tp" "--token-file=$tmp/token"
        [ -s "$tmp/session" ] && [ -s "$tmp/tp" ] && ok || bad "gtlsclient has kept no session"
    done
}

# way: what follows goes over a bad way (tools/udpproxy.c), whose seed is told when something fails.
way() {
    [ -n "$proxy" ] && kill "$proxy" && wait "$proxy" 2> /dev/null
    : > "$tmp/proxy"
    "$tmp/udpproxy" "$direct" "$@" > "$tmp/proxy" &
    proxy=$! tries=0
    while [ ! -s "$tmp/proxy" ] && [ $tries -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    read -r port seed < "$tmp/proxy"
    over="udpproxy $* $seed"
}
# The scenarios of quic-interop-runner that want another's client; sim_quic.c has the table of all.
with_bad_ways() {
    direct=$port
    slow='delay=15 rate=10000000 queue=25'
    head -c 1500000 /dev/zero | tr '\0' x > "$tmp/want"
    for how in 'loss=10000 burst=3' corrupt=20000 'up=1000 down=500' rebind=300 'rebind=300 hosts=1' 'reorder=50000 dup=20000'; do
        # shellcheck disable=SC2086
        way $slow $how
        g_body "over $over" "$tmp/want" 'bytes?n=1500000' -q
    done
    head -c 100000 /dev/zero | tr '\0' x > "$tmp/want"
    way delay=750 rate=10000000 queue=25
    g_body "over $over" "$tmp/want" 'bytes?n=100000' -q
    sleep 1 # its last words are on their way
    way delay=15 rate=10000000 queue=25
    g hello -n 100
    same "over $over: 100 at once" 100 "$(grep -c ':status: ' "$tmp/got")"
    head -c 1000 /dev/zero | tr '\0' x > "$tmp/want"
    for how in 'loss=100000 burst=2' corrupt=100000; do
        # shellcheck disable=SC2086
        way delay=5 $how
        for _ in 1 2 3 4 5; do g_body "handshake over $over" "$tmp/want" 'bytes?n=1000' --handshake-timeout=50s; done
    done
    kill "$proxy" && wait "$proxy" 2> /dev/null
    proxy='' port=$direct
}
req() {
    curl -q -s --noproxy '*' --max-time 60 -k "$@"
}
with_curl() {
    url=https://127.0.0.1:$port
    same "version" "3 200 hello" "$(req --http3-only -w '%{http_version} %{http_code} ' -o "$tmp/got" "$url/"; cat "$tmp/got")"
    same "404" "404" "$(req --http3-only -w '%{http_code}' -o "$tmp/got" "$url/nowhere")"
    same "HEAD" "HTTP/3 200 content-length: 5 " \
        "$(req --http3-only -I "$url/" | tr -d '\r' | grep -i -e '^HTTP' -e '^content-length' | sed 's/ $//' | tr '\n' ' ')"
    for n in 1 16384 65536 1000000 33554432; do
        head -c "$n" /dev/zero | tr '\0' x > "$tmp/want"
        req --http3-only "$url/bytes?n=$n" -o "$tmp/got"
        alike "$url/bytes?n=$n"
    done
    for n in 1 16384 1000000 16000000; do
        head -c "$n" /dev/urandom > "$tmp/want"
        req --http3-only --data-binary "@$tmp/want" "$url/echo" -o "$tmp/got"
        alike "$url/echo of $n bytes"
    done
}
with_alt_svc() { # by any curl
    for version in 1.1 2; do
        same "Alt-Svc over HTTP/$version" "h3=\":$port\"; ma=86400" "$(req "--http$version" -o /dev/null -D - \
            "https://127.0.0.1:$port/" | tr -d '\r' | sed -n 's/^alt-svc: //Ip')"
    done
}

${CC:-cc} -O2 -o "$tmp/udpproxy" tests/tools/udpproxy.c || exit 2
if command -v gtlsclient > /dev/null && grep -q '^00000000000000000000000000000001' /proc/net/if_inet6 2> /dev/null; then
    start_h3 -host=::1
    head -c 100000 /dev/zero | tr '\0' x > "$tmp/want"
    host=::1
    g_body "over IPv6" "$tmp/want" 'bytes?n=100000'
    host=
    stop "of ::1"
else
    skip "no gtlsclient, or no IPv6"
fi
if command -v gtlsclient > /dev/null; then
    start_h3 -host=0.0.0.0 -preferredAddr=127.0.0.2:0 "-qlog=$tmp"
    head -c 100000 /dev/zero | tr '\0' x > "$tmp/want"
    g_body "by a preferred address" "$tmp/want" 'bytes?n=100000' --delay-stream=300ms
    has "gtlsclient: preferred address" 'selected server preferred_address is' "$tmp/got"
    has "gtlsclient: preferred address, validated" 'path has been validated' "$tmp/got"
    stop "with a preferred address"
    if command -v python3 > /dev/null; then
        same "qlog" "migration_complete 127.0.0.2 connection_closed" "$(python3 tests/tools/qlog.py "$tmp"/*_server.sqlog)"
    fi
fi
if command -v gtlsclient > /dev/null; then
    # Where a client's last words are lost, its connection ends by time, after 30 s without a packet. It has so long.
    start_h3 -P:graceMs=60000
    with_gtlsclient
    with_session
    with_bad_ways
    kill -TERM "$pid"
    lossy=$pid pid=
    mv "$tmp/log" "$tmp/lossy"
else
    skip "no gtlsclient (make deps)"
fi
start_h3
if command -v curl > /dev/null; then
    with_alt_svc
    if curl --version | grep -q HTTP3; then with_curl; else skip "this curl speaks no HTTP/3"; fi
else
    skip "no curl (make deps)"
fi
if ! python_with 'aioquic, wsproto'; then
    python3 -m venv "$tmp/venv" > /dev/null 2>&1 && timeout 200 "$tmp/venv/bin/pip" install -q aioquic wsproto > /dev/null 2>&1
    [ -x "$tmp/venv/bin/python" ] && python=$tmp/venv/bin/python
fi
timeout 120 "$python" tests/tools/h3.py "$port" > "$tmp/got" 2>&1
case $? in
127) skip "no python3 (make deps)" ;;
0)
    ok
    others=${VT_BUILD:-build/default}/e2e_cli_h3_others # our client's WebSockets against aioquic, where that is built
    if [ -x "$others" ]; then
        VT_PYTHON=$python timeout 100 "$others" aioquic > "$tmp/got" 2>&1
        has "WebSockets of the client with aioquic" '1 passed, 0 failed, 0 skipped' "$tmp/got"
    fi
    ;;
77) skip "no python3 with aioquic and wsproto, and no pip to get them" ;;
*) bad "aioquic: $(head -c 500 "$tmp/got")" ;;
esac

# A response that runs when the server is told to stop comes whole.
if command -v gtlsclient > /dev/null; then
    printf delayed > "$tmp/want"
    (sleep 2; kill -TERM "$pid") &
    g_body "a response while the server stops" "$tmp/want" 'delay?ms=4000'
    ended "stopped"
    start_h3
fi
stop "at the end"

# The certificate is nobody's: Chromium takes it over QUIC where its key is named, and the origin is one for QUIC. It comes again
# and again, all at once and beside a WebSocket over TCP; and the server is told to stop before its last response.
with_chromium() {
    spki=$(openssl x509 -in "$tmp/cert.pem" -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary |
        openssl base64)
    start_h3
    said=$(timeout 200 python3 tests/tools/chrome_h3.py "$chromium" "$port" "$spki" "$pid" 2>&1) && ok || bad "Chromium: $said"
    kill -TERM "$pid" 2> /dev/null
    ended "with Chromium"
}
if ! chromium_here; then skip "no chromium (make deps)"
elif ! command -v python3 > /dev/null; then skip "no python3 (make deps)"
else with_chromium; fi
if [ -n "$lossy" ]; then
    mv "$tmp/lossy" "$tmp/log"
    pid=$lossy lossy=
    ended "with packets lost"
fi
sum
