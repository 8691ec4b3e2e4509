#!/bin/sh
# variants: default asan clang aarch64
# curl against examples/conformance: every route, HEAD, 405, uploads of known and unknown length, Expect: 100-continue,
# HTTP/1.0, connections used again, slow readers, bodies up to 16 MiB byte for byte, refusals.
set -u
cd "$(dirname "$0")/.." || exit 2
name=interop_curl
. tests/tools/interop.sh
command -v curl > /dev/null || none "no curl (make deps)"
built conformance
# curl that a test cannot wait for longer than 30 s, that uses no proxy and no configuration of the user's
req() {
    curl -q -s --noproxy '*' --max-time 30 "$@"
}
# "status body" of a request
answer() {
    what=$1 want=$2
    shift 2
    same "$what" "$want" "$(req -w '%{http_code}' -o "$tmp/body" "$@") $(cat "$tmp/body" 2> /dev/null)"
    rm -f "$tmp/body"
}
# field's value in the dumped head
field() {
    sed -n "s/^$1: *\(.*\)\r$/\1/Ip" "$tmp/head"
}

start
listens http
url=http://127.0.0.1:$port

# routes
answer "GET /" "200 hello" "$url/"
answer "chunks" "200 one
two
three" "$url/chunked"
answer "204" "204 " "$url/nocontent"
answer "delay" "200 delayed" "$url/delay?ms=30"
same "404" "404" "$(req -w '%{http_code}' -o /dev/null "$url/none")"
same "a bad number" "400" "$(req -w '%{http_code}' -o /dev/null "$url/bytes?n=x")"
same "received fields" "1" "$(req -H 'X-One: first' -H 'X-Empty;' "$url/headers" | grep -c -i '^x-one: first$')"
same "an empty field" "1" "$(req -H 'X-Empty;' "$url/headers" | grep -c -i '^x-empty: $')"

# heads
req -D "$tmp/head" -o /dev/null "$url/"
same "Content-Length" "5" "$(field Content-Length)"
same "Content-Type" "1" "$(field Content-Type | grep -c '^text/plain')"
same "Date" "1" "$(field Date | grep -c -E '^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT$')"
same "no chunks with a length" "" "$(field Transfer-Encoding)"
req -D "$tmp/head" -o /dev/null "$url/chunked"
same "chunks without a length" "chunked" "$(field Transfer-Encoding)$(field Content-Length)"
req -D "$tmp/head" -o /dev/null "$url/nocontent"
same "204 without framing" "" "$(field Transfer-Encoding)$(field Content-Length)"
for path in / /chunked /nocontent "/bytes?n=1000" "/delay?ms=1" /headers; do
    req -D "$tmp/get" -o /dev/null "$url$path"
    req -I -D "$tmp/head" -o "$tmp/body" "$url$path"
    same "HEAD $path, as GET" "$(grep -v -i '^date:' "$tmp/get")" "$(grep -v -i '^date:' "$tmp/head")"
done
req -X DELETE -D "$tmp/head" -o /dev/null "$url/"
same "405" "1" "$(head -n 1 "$tmp/head" | grep -c '^HTTP/1.1 405 ')"
same "Allow of /" "GET HEAD OPTIONS" "$(field Allow | tr -d ',' | tr ' ' '\n' | sort | tr '\n' ' ' | sed 's/ $//')"
req -X GET -D "$tmp/head" -o /dev/null "$url/echo"
same "Allow of /echo" "1" "$(field Allow | grep -c POST)"

# bodies, byte for byte
for n in 0 1 2 1023 4095 4096 4097 16383 16384 16385 65535 65536 65537 1000000 8388607 16777216; do
    req "$url/bytes?n=$n" -o "$tmp/got"
    [ -f "$tmp/got" ] || : > "$tmp/got"
    head -c "$n" /dev/zero | tr '\0' x > "$tmp/want"
    alike "/bytes?n=$n"
    head -c "$n" /dev/urandom > "$tmp/want"
    for how in length chunked; do
        [ "$n $how" = "0 chunked" ] && continue # some curls never send the last chunk of an empty file
        rm -f "$tmp/got"
        set -- --data-binary "@$tmp/want" -H 'Content-Type: x/y'
        [ $how = chunked ] && set -- -X POST -T "$tmp/want" -H 'Content-Type: x/y' -H 'Transfer-Encoding: chunked'
        req -D "$tmp/head" "$@" "$url/echo" -o "$tmp/got"
        [ -f "$tmp/got" ] || : > "$tmp/got"
        alike "/echo of $n bytes ($how)"
        same "the type of /echo ($how, $n)" "x/y" "$(field Content-Type)"
    done
done

# Expect: 100-continue
head -c 100000 /dev/urandom > "$tmp/want"
req -v --data-binary "@$tmp/want" -H 'Expect: 100-continue' "$url/echo" -o "$tmp/got" 2> "$tmp/trace"
alike "the echo after 100-continue"
same "one 100" "1" "$(grep -c '^< HTTP/1.1 100' "$tmp/trace")"
req -v -X DELETE --data-binary "@$tmp/want" -H 'Expect: 100-continue' "$url/" -o /dev/null 2> "$tmp/trace"
same "refused before 100" "0 1" "$(grep -c '^< HTTP/1.1 100' "$tmp/trace") $(grep -c '^< HTTP/1.1 405' "$tmp/trace")"
same "another expectation" "417" "$(req -d x -H 'Expect: more' -w '%{http_code}' -o /dev/null "$url/echo")"

# limits
head -c 16777217 /dev/zero > "$tmp/over"
same "over the body's limit" "413" "$(req --data-binary "@$tmp/over" -w '%{http_code}' -o /dev/null "$url/echo")"
long=$(head -c 17000 /dev/zero | tr '\0' a)
same "over the request line's limit" "414" "$(req -w '%{http_code}' -o /dev/null "$url/$long")"
printf 'header = "X-Long: %s"\n' "$(head -c 66000 /dev/zero | tr '\0' a)" > "$tmp/long"
same "over the header section's limit" "431" "$(req -K "$tmp/long" -w '%{http_code}' -o /dev/null "$url/")"
printf 'header = "X-Long: %s"\n' "$(head -c 60000 /dev/zero | tr '\0' a)" > "$tmp/long"
same "under the header section's limit" "200" "$(req -K "$tmp/long" -w '%{http_code}' -o /dev/null "$url/")"

# HTTP/1.0
req -0 -D "$tmp/head" "$url/chunked" -o "$tmp/got"
same "HTTP/1.0 without chunks" "one two three " "$(tr '\n' ' ' < "$tmp/got")$(field Transfer-Encoding)"
same "HTTP/1.0 with a length" "hello" "$(req -0 "$url/")"
req -0 --data-binary "@$tmp/want" "$url/echo" -o "$tmp/got"
alike "the echo over HTTP/1.0"

# one connection for many
same "used again" "1 0 0 0 0 " "$(req -w '%{num_connects} ' "$url/" -o /dev/null "$url/chunked" -o /dev/null \
    "$url/nocontent" -o /dev/null "$url/none" -o /dev/null "$url/bytes?n=100000" -o /dev/null)"
same "used again after an upload" "1 0 " "$(req -w '%{num_connects} ' --data-binary "@$tmp/want" "$url/echo" -o /dev/null \
    "$url/echo" -o /dev/null)"
same "closed on request" "1 1 " "$(req -w '%{num_connects} ' -H 'Connection: close' "$url/" -o /dev/null "$url/" -o /dev/null)"
set --
i=0
while [ $i -lt 100 ]; do
    set -- "$@" "$url/" -o /dev/null
    i=$((i + 1))
done
same "100 on one connection" "1" "$(req -w '%{num_connects}\n' "$@" | awk '{ n += $1 } END { print n }')"

# slow clients
head -c 300000 /dev/zero | tr '\0' x > "$tmp/want"
req --limit-rate 200k "$url/bytes?n=300000" -o "$tmp/got"
alike "a slow download"
req --limit-rate 200k --data-binary "@$tmp/want" "$url/echo" -o "$tmp/got"
alike "a slow echo"
i=0
while [ $i -lt 8 ]; do
    req "$url/delay?ms=300" -o "$tmp/par$i" &
    eval "asking_$i=\$!"
    i=$((i + 1))
done
i=0
while [ $i -lt 8 ]; do
    eval "wait \$asking_$i"
    same "8 at once" "delayed" "$(cat "$tmp/par$i")"
    i=$((i + 1))
done

stop "at the end"
sum
