#!/bin/sh
# variants: default asan openssl35
# 0-RTT of gtlsclient (ngtcp2) against examples/conformance built with HTTP/3: accepted where OpenSSL can do that, from 3.5.1 on, and
# else refused; whatever becomes of it, the answer comes.
set -u
cd "$(dirname "$0")/.." || exit 2
name=interop_h3_early
. tests/tools/interop.sh
command -v openssl > /dev/null || none "openssl (make deps)"
command -v gtlsclient > /dev/null || none "gtlsclient (make deps)"
printf '#include <openssl/ssl.h>\n' | ${CC:-cc} -fsyntax-only -xc - 2> /dev/null || none "TLS (make deps)"

cc="${VT_CC:-${CC:-cc}} -std=gnu11 ${VT_CFLAGS:--O2 -pthread} -DVTHTTP_TLS=1 -DVTHTTP_H3=1"
server=$tmp/conformance
$cc -o "$server" examples/conformance.c -lssl -lcrypto || exit 2
certificate || exit 2
native=0
printf '#include <openssl/opensslv.h>\n#if OPENSSL_VERSION_NUMBER < 0x30500010L || VTHTTP_QUIC_COMPAT\n#error old\n#endif\n' |
    $cc -fsyntax-only -xc - 2> /dev/null && native=1

g() { # path, options
    path=$1
    shift
    rm -rf "$tmp/down" && mkdir "$tmp/down"
    timeout 60 gtlsclient --no-quic-dump --exit-on-all-streams-close "--download=$tmp/down" "--session-file=$tmp/session" \
        "--tp-file=$tmp/tp" "$@" 127.0.0.1 "$port" "https://localhost:$port/$path" > "$tmp/got" 2>&1
    cmp -s "$tmp/want" "$tmp/down/$path" && ok || bad "$path $*: $(tail -n 5 "$tmp/got" | head -c 500)"
}
# What the client says of its 0-RTT.
early() {
    if ! grep -q 'frm tx .* 0RTT STREAM.*id=0x0 ' "$tmp/got"; then printf none
    elif grep -q 'Early data was rejected by server' "$tmp/got"; then printf rejected
    else printf accepted; fi
}
start_h3() { # arguments
    start -sslPort=0 "-sslCert=$tmp/cert.pem" "-sslKey=$tmp/key.pem" -http3=on "$@"
    listens https
}

head -c 20000 /dev/zero | tr '\0' x > "$tmp/want"
# When the last words of the client that loses packets are lost, its connection ends by time, after 30 s without a packet.
start_h3 -earlyData=on -P:graceMs=60000
g 'bytes?n=20000'
same "a first connection" none "$(early)"
for n in 1 2 3; do
    g 'bytes?n=20000'
    [ $native = 0 ] || same "0-RTT, $n" accepted "$(early)"
    [ $native = 1 ] || case $(early) in accepted) bad "0-RTT, $n, without keys" ;; *) ok ;; esac
done
g 'bytes?n=20000' --tx-loss=0.1 --rx-loss=0.1
# Held until the handshake is over, and sent but once.
head -c 300 /dev/zero | tr '\0' y > "$tmp/want"
g echo -m POST -d "$tmp/want"
[ $native = 0 ] || same "POST in 0-RTT" accepted "$(early)"
# Another process knows nothing of these tickets.
stop "with early data"
start_h3 -earlyData=on
head -c 20000 /dev/zero | tr '\0' x > "$tmp/want"
g 'bytes?n=20000'
[ $native = 0 ] || same "another process" rejected "$(early)"
stop "at the end"
sum
