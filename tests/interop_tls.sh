#!/bin/sh
# variants: default asan clang
# openssl s_client, curl and Chromium against examples/conformance over TLS: versions, ALPN, names, resumption, client
# certificates good, missing, foreign and expired, encrypted keys, reload, renegotiation, plain HTTP on the port, truncation,
# HSTS, bodies of 16 MiB.
set -u
cd "$(dirname "$0")/.." || exit 2
name=interop_tls
. tests/tools/interop.sh
for tool in curl openssl; do
    command -v $tool > /dev/null || none "no $tool (make deps)"
done
built conformance
! lacks_tls || none "built without TLS (make deps)"
# HTTP/1.1: what goes over HTTP/2 is interop_h2's
req() {
    curl -q -s --http1.1 --noproxy '*' --max-time 30 --cacert "$tmp/ca.pem" --resolve "localhost:$tls:127.0.0.1" "$@"
}
# What s_client says, with a request on its standard input.
client() {
    printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
        timeout 30 openssl s_client -connect "127.0.0.1:$tls" -CAfile "$tmp/ca.pem" -ign_eof "$@" > "$tmp/out" 2>&1
}
# name, curl's arguments: TLS itself ends it (35 in the handshake, 56 behind it, 60 for "expired"), not what curl lacks
refused() {
    what=$1
    shift
    req "$@" > "$tmp/body"
    code=$?
    case $code in
    35 | 56 | 60) same "$what" "" "$(cat "$tmp/body")" ;;
    *) bad "$what: curl ends with $code and '$(head -c 300 "$tmp/body")'" ;;
    esac
}
# make NAME SUBJECT ISSUER DAYS [ALTNAMES]: NAME.pem and NAME.key, signed by ISSUER (itself: a CA)
make() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$tmp/$1.key" -out "$tmp/$1.csr" \
        -subj "/CN=$2" 2> /dev/null
    if [ "$1" = "$3" ]; then
        echo 'basicConstraints=critical,CA:TRUE' > "$tmp/ext"
        set -- "$@" && openssl x509 -req -in "$tmp/$1.csr" -signkey "$tmp/$1.key" -days "$4" -out "$tmp/$1.pem" \
            -extfile "$tmp/ext" 2> /dev/null
    else
        echo "basicConstraints=CA:FALSE${5:+
subjectAltName=$5}" > "$tmp/ext"
        openssl x509 -req -in "$tmp/$1.csr" -CA "$tmp/$3.pem" -CAkey "$tmp/$3.key" -CAcreateserial -days "$4" \
            -out "$tmp/$1.pem" -extfile "$tmp/ext" 2> /dev/null
    fi
}
start_tls() { # arguments: the server, $tls and $port are where it listens
    start -sslPort=0 -P:reloadOnHup=yes "$@"
    listens https
    tls=$port url=https://localhost:$port
    listens http
}

make ca "Test CA" ca 30
make other "Other CA" other 30
make site site ca 30 "DNS:localhost,IP:127.0.0.1"
make new renewed ca 30 "DNS:localhost,IP:127.0.0.1"
make good "client good" ca 30
make foreign "client foreign" other 30
make expired "client expired" ca -1
[ -s "$tmp/expired.pem" ] || # an openssl that makes none with negative days
    openssl x509 -req -in "$tmp/expired.csr" -CA "$tmp/ca.pem" -CAkey "$tmp/ca.key" -CAcreateserial -days 0 \
        -out "$tmp/expired.pem" 2> /dev/null
cp "$tmp/site.pem" "$tmp/cert.pem" && cp "$tmp/site.key" "$tmp/cert.key"
start_tls "-sslCert=$tmp/cert.pem" "-sslKey=$tmp/cert.key"

# curl: routes, bodies, connections used again
same "GET /" "200 hello" "$(req -w '%{http_code} ' -o "$tmp/body" "$url/")$(cat "$tmp/body")"
same "the plain port as well" "hello" "$(curl -q -s --noproxy '*' --max-time 30 "http://127.0.0.1:$port/")"
head -c 16777216 /dev/urandom > "$tmp/want"
req --data-binary "@$tmp/want" "$url/echo" -o "$tmp/got"
alike "an echo of 16 MiB"
req -H 'Transfer-Encoding: chunked' --data-binary "@$tmp/want" "$url/echo" -o "$tmp/got"
alike "an echo of 16 MiB in chunks"
same "bytes" "3000000" "$(req --limit-rate 3m "$url/bytes?n=3000000" | wc -c | tr -d ' ')"
same "one connection" "1" "$(req -w '%{num_connects}\n' "$url/" "$url/chunked" "$url/delay?ms=30" "$url/nocontent" \
    -o /dev/null -o /dev/null -o /dev/null -o /dev/null | awk '{ n += $1 } END { print n }')"
same "HTTP/1.0 ends in order" "0 hello" "$(req --http1.0 "$url/" -o "$tmp/body"; echo "$? $(cat "$tmp/body")")"
same "a CA that is not trusted" "60" "$(curl -q -s --noproxy '*' --max-time 30 "https://127.0.0.1:$tls/"; echo $?)"

# versions
for v in tls1_2 tls1_3; do
    client -$v
    has "$v" '^hello' "$tmp/out"
    has "$v, verified" 'Verify return code: 0 (ok)' "$tmp/out"
done
client -tls1_1 -cipher 'ALL:@SECLEVEL=0'
has "TLS 1.1 is refused" 'alert protocol version' "$tmp/out"

# ALPN
client -alpn http/1.1,h2
has "ALPN, by the server's preference" 'ALPN protocol: h2' "$tmp/out"
client -alpn spdy/3,http/1.1
has "ALPN" 'ALPN protocol: http/1.1' "$tmp/out"
client -alpn spdy/3
has "ALPN without a common protocol" 'alert no application protocol' "$tmp/out"

# resumption
for v in tls1_2 tls1_3; do
    client -$v -sess_out "$tmp/sess"
    has "$v, the first time" '^New, ' "$tmp/out"
    client -$v -sess_in "$tmp/sess"
    has "$v, with a ticket" '^Reused, ' "$tmp/out"
    has "$v, with a ticket: the answer" '^hello' "$tmp/out"
done

# an orderly end has close_notify, so that s_client does not complain
client -tls1_3
has "an orderly end" '^hello' "$tmp/out"
grep -q 'unexpected eof' "$tmp/out" && bad "no close_notify" || ok

# plain HTTP on the TLS port
same "plain HTTP" "400" "$(curl -q -s --noproxy '*' --max-time 30 -o "$tmp/body" -w '%{http_code}' "http://127.0.0.1:$tls/")"
has "plain HTTP is told" 'https://' "$tmp/body"

# no renegotiation, though the connection has been of use
again() { # asks for it, and waits for what is said of it
    sleep 1
    echo R
    tries=0
    while [ $tries -lt 20 ] && ! grep -q 'no renegotiation' "$tmp/out"; do
        tries=$((tries + 1))
        sleep 1
    done
}
again | timeout 30 openssl s_client -tls1_2 -connect "127.0.0.1:$tls" > "$tmp/out" 2>&1
has "renegotiation is refused" 'no renegotiation' "$tmp/out"

# Chromium: a certificate that it is told to accept, and one that it knows nothing about
page() { # what a page at $url is made of; by a certificate that $1 is of
    timeout 120 chromium --headless=new --no-sandbox --disable-gpu --user-data-dir="$tmp/chromium" \
        --host-resolver-rules='MAP localhost 127.0.0.1' --virtual-time-budget=20000 --ignore-certificate-errors-spki-list="$(
            openssl x509 -in "$1" -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary |
                openssl enc -base64
        )" --dump-dom "$url/" > "$tmp/out" 2> /dev/null
}
browse() {
    if command -v chromium > /dev/null; then
        page "$tmp/$1.pem"
        has "Chromium" '>hello<' "$tmp/out"
        page "$tmp/other.pem"
        grep -q hello "$tmp/out" && bad "Chromium shows the page of a certificate that it cannot verify" || ok
        return
    fi
    skip "no chromium (make deps)"
}
browse site

# renewal, by a signal
cp "$tmp/new.pem" "$tmp/cert.pem" && cp "$tmp/new.key" "$tmp/cert.key"
kill -HUP "$pid"
tries=0
while [ $tries -lt 100 ] && client -tls1_3 && ! grep -q 'subject=CN = renewed' "$tmp/out"; do
    tries=$((tries + 1))
    sleep 0.1 2> /dev/null || sleep 1
done
has "renewal" 'subject=CN = renewed' "$tmp/out"
stop "behind a renewal"

# client certificates
start_tls "-sslCert=$tmp/site.pem" "-sslKey=$tmp/site.key" "-sslClientCA=$tmp/ca.pem"
for v in 1.2 1.3; do
    set -- --tls-max $v --tlsv$v
    same "good client, TLS $v" "hello" "$(req "$@" --cert "$tmp/good.pem" --key "$tmp/good.key" "$url/")"
    refused "no certificate, TLS $v" "$@" "$url/"
    refused "foreign client, TLS $v" "$@" --cert "$tmp/foreign.pem" --key "$tmp/foreign.key" "$url/"
    refused "expired client, TLS $v" "$@" --cert "$tmp/expired.pem" --key "$tmp/expired.key" "$url/"
done
stop "with client certificates"

# an encrypted key, TLS 1.3 alone, redirects
openssl ec -in "$tmp/site.key" -aes256 -passout pass:sesame -out "$tmp/locked.key" 2> /dev/null
echo sesame > "$tmp/password"
start_tls "-sslCert=$tmp/site.pem" "-sslKey=$tmp/locked.key" "-sslKeyPasswordFile=$tmp/password" -sslMinVersion=13 \
    -P:sslRedirect=yes -P:hstsMaxAgeS=60
same "an encrypted key" "hello" "$(req "$url/")"
refused "TLS 1.2 is refused" --tls-max 1.2 "$url/"
same "a redirect is followed" "hello" "$(req -L "http://localhost:$tls/")"
req -D "$tmp/out" -o "$tmp/body" "$url/"
has "HSTS" '^Strict-Transport-Security: max-age=60.$' "$tmp/out"
req -D "$tmp/out" -o "$tmp/body" "http://localhost:$port/"
grep -qi '^strict' "$tmp/out" && bad "HSTS without TLS" || ok
stop "with redirects"
"$server" -port=0 -sslPort=0 "-sslCert=$tmp/site.pem" "-sslKey=$tmp/locked.key" > "$tmp/out" 2>&1 < /dev/null
same "no password: the exit status" "1" "$?"
has "no password: what is said" 'locked.key: no private key can be read' "$tmp/out"

echo guess > "$tmp/password"
"$server" -port=0 -sslPort=0 "-sslCert=$tmp/site.pem" "-sslKey=$tmp/locked.key" "-sslKeyPasswordFile=$tmp/password" \
    > "$tmp/out" 2>&1 < /dev/null
same "a wrong password: the exit status" "1" "$?"
has "a wrong password: what is said" 'locked.key: no private key can be read' "$tmp/out"

# an RSA key
openssl req -new -x509 -newkey rsa:2048 -nodes -keyout "$tmp/rsa.key" -out "$tmp/rsa.pem" -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost 2> /dev/null
start_tls "-sslCert=$tmp/rsa.pem" "-sslKey=$tmp/rsa.key"
same "an RSA key" "hello" "$(req --cacert "$tmp/rsa.pem" "$url/")"
[ "$skipped" -gt 0 ] || browse rsa
stop "with an RSA key"

sum
