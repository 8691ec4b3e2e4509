#!/bin/sh
# variants: default asan
# curl, nghttp and h2load, python's h2 and wsproto, and h2spec where there is one (in PATH, or $H2SPEC), against
# examples/conformance built with HTTP/2: by prior knowledge, and by ALPN where OpenSSL is there.
set -u
cd "$(dirname "$0")/.." || exit 2
h2spec=${H2SPEC:-$(command -v h2spec)}
name=interop_h2
. tests/tools/interop.sh

# Its own build: HTTP/2 is not in the examples of other tests.
cc="${VT_CC:-${CC:-cc}} -std=gnu11 ${VT_CFLAGS:--O2 -pthread} -DVTHTTP_H2=1"
tls=yes server=$tmp/conformance
$cc -DVTHTTP_TLS=1 -o "$server" examples/conformance.c -lssl -lcrypto 2> "$tmp/cc" || {
    tls=
    $cc -o "$server" examples/conformance.c || exit 2
}
set --
if [ -n "$tls" ] && certificate; then
    set -- -sslPort=0 "-sslCert=$tmp/cert.pem" "-sslKey=$tmp/key.pem" -P:hstsMaxAgeS=60
else
    tls=
    skip "TLS (make deps)"
fi
start "$@"

with_curl() { # url, how
    url=$1
    shift
    req() {
        curl -q -s --noproxy '*' --max-time 30 -k "$@"
    }
    same "version ($url)" "2 200 hello" "$(req "$@" -w '%{http_version} %{http_code} ' -o "$tmp/got" "$url/"; cat "$tmp/got")"
    same "404 ($url)" "404" "$(req "$@" -w '%{http_code}' -o "$tmp/got" "$url/nowhere")"
    same "HEAD ($url)" "HTTP/2 200 content-length: 5 " \
        "$(req "$@" -I "$url/" | tr -d '\r' | grep -i -e '^HTTP' -e '^content-length' | sed 's/ $//' | tr '\n' ' ')"
    for n in 1 16384 65535 65536 1000000 8388607; do
        head -c "$n" /dev/zero | tr '\0' x > "$tmp/want"
        req "$@" "$url/bytes?n=$n" -o "$tmp/got"
        alike "$url/bytes?n=$n"
        head -c "$n" /dev/urandom > "$tmp/want"
        req "$@" --data-binary "@$tmp/want" "$url/echo" -o "$tmp/got"
        alike "$url/echo of $n bytes"
        req "$@" -X POST -T - "$url/echo" -o "$tmp/got" < "$tmp/want"
        alike "$url/echo of $n bytes of unknown length"
    done
    same "used again ($url)" "1 0 0 " "$(req "$@" -w '%{num_connects} ' "$url/" -o /dev/null "$url/chunked" -o /dev/null \
        "$url/nocontent" -o /dev/null)"
}
with_nghttp() { # url, how
    url=$1
    shift
    head -c 200000 /dev/urandom > "$tmp/want"
    timeout 30 nghttp "$@" -y -d "$tmp/want" "$url/echo" > "$tmp/got" 2> "$tmp/err"
    cmp -s "$tmp/want" "$tmp/got" && ok || bad "nghttp: $url/echo differs: $(head -c 300 "$tmp/err")"
    timeout 30 nghttp "$@" -y -n -v -m 20 "$url/" > "$tmp/got" 2>&1
    same "nghttp: 20 responses ($url)" 20 "$(grep -c ':status: 200' "$tmp/got")"
}
with_h2load() { # url
    timeout 60 h2load -n 5000 -c 5 -m 20 "$1/" > "$tmp/got" 2>&1
    has "h2load ($1)" 'requests: 5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed, 0 errored, 0 timeout' "$tmp/got"
    timeout 60 h2load -n 200 -c 2 -m 10 "$1/bytes?n=100000" > "$tmp/got" 2>&1
    has "h2load of bodies ($1)" '200 succeeded, 0 failed, 0 errored' "$tmp/got"
}
with_h2spec() { # port, how
    port=$1
    shift
    timeout 250 "$h2spec" -h 127.0.0.1 -p "$port" -S "$@" > "$tmp/got" 2>&1
    sum=$(grep -E '^[0-9]+ tests, [0-9]+ passed' "$tmp/got")
    case $sum in
    *' 0 failed') ok ;;
    *) bad "h2spec: ${sum:-no sum}: $(grep -e '×' "$tmp/got" | head -n 20)" ;;
    esac
}

listens http
plain=$port secure=
[ -n "$tls" ] && listens https && secure=$port
if ! command -v curl > /dev/null; then
    skip "no curl (make deps)"
elif ! curl --version | grep -q HTTP2; then
    skip "this curl speaks no HTTP/2"
else
    with_curl "http://127.0.0.1:$plain" --http2-prior-knowledge
    [ -n "$secure" ] && with_curl "https://127.0.0.1:$secure" --http2
    for how in ${secure:+--http2 --http1.1}; do
        same "b153 ($how)" "strict-transport-security: max-age=60" "$(curl -q -s --noproxy '*' --max-time 30 -k $how -D - \
            -o /dev/null "https://127.0.0.1:$secure/" | tr -d '\r' | tr '[:upper:]' '[:lower:]' | grep '^strict-')"
    done
    same "by Upgrade" "101 2 200 hello" "$(curl -q -s --noproxy '*' --max-time 30 --http2 -D "$tmp/head" \
        -w '%{http_version} %{http_code} ' -o "$tmp/got" "http://127.0.0.1:$plain/" > "$tmp/code"
        sed -n '1s,HTTP/1.1 \([0-9]*\).*,\1 ,p' "$tmp/head" | tr -d '\n'; cat "$tmp/code" "$tmp/got")"
    head -c 300000 /dev/urandom > "$tmp/want"
    curl -q -s --noproxy '*' --max-time 30 --http2 --data-binary "@$tmp/want" -o "$tmp/got" "http://127.0.0.1:$plain/echo"
    alike "a body with Upgrade: the echo"
    same "HTTP/1.1 beside it" "1.1" \
        "$(curl -q -s --noproxy '*' --max-time 30 -w '%{http_version}' -o /dev/null "http://127.0.0.1:$plain/")"
fi
for tool in nghttp h2load; do
    if ! command -v $tool > /dev/null; then
        skip "no $tool (make deps)"
        continue
    fi
    with_$tool "http://127.0.0.1:$plain"
    [ -n "$secure" ] && with_$tool "https://127.0.0.1:$secure"
done
python_with 'h2, wsproto'
for port in $plain ${secure:+"$secure tls"}; do
    # shellcheck disable=SC2086
    timeout 60 "$python" tests/tools/ws_h2.py $port > "$tmp/got" 2>&1
    case $? in
    0) ok ;;
    77) skip "no python3 with h2 and wsproto (make deps)" ;;
    *) bad "WebSockets by h2 and wsproto on $port: $(head -c 500 "$tmp/got")" ;;
    esac
done
if [ -n "$h2spec" ]; then
    for _ in 1 2 3; do # in a row
        with_h2spec "$plain"
        [ -n "$secure" ] && with_h2spec "$secure" -t -k
    done
else
    skip "no h2spec"
fi

stop "at the end"
sum
