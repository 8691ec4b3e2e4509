#!/bin/sh
# variants: default
# `make run-tls` (and `make run`) as a newcomer types it, in a tree without build/: it builds, makes a certificate, serves http
# and https to curl, also the second time, and stops when it is told to.
set -u
cd "$(dirname "$0")/.." || exit 2
root=$PWD name=make_run pid= skipped=0
for tool in curl openssl make setsid; do
    command -v $tool > /dev/null && continue
    echo "SKIP make_run: no $tool (make deps)"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
done
if ! printf '#include <openssl/ssl.h>\n' | ${CC:-cc} -E -x c - > /dev/null 2>&1; then
    echo "SKIP make_run: no openssl/ssl.h (make deps)"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
tmp=$(mktemp -d) || exit 2
trap '[ -n "$pid" ] && kill -9 "-$pid" 2> /dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
. tests/tools/interop.sh
mkdir "$tmp/tree" && cd "$tmp/tree" || exit 2
for file in vthttp.h Makefile README.md tests examples fuzz; do ln -s "$root/$file" . || exit 2; done
# What an outer make has told its children is not what a newcomer types.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES V CFLAGS LDLIBS

port_of() { # scheme
    sed -n "s,.*listening on $1://.*:\([0-9][0-9]*\)/.*,\1,p" "$tmp/log" | head -n 1
}
# target, the scheme that is said last: waits until it serves
start() {
    : > "$tmp/log"
    setsid make "$1" PORT=0 > "$tmp/log" 2>&1 &
    pid=$! tries=0
    while [ -z "$(port_of "$2")" ] && [ $tries -lt 3000 ] && kill -0 "$pid" 2> /dev/null; do
        sleep 0.1
        tries=$((tries + 1))
    done
    [ -n "$(port_of "$2")" ] || bad "make $1 does not serve $2: $(tail -n 20 "$tmp/log")"
}
# scheme [curl's arguments]
get() {
    what=$1
    shift
    curl -q -s --noproxy '*' --max-time 30 "$@" "$what://localhost:$(port_of "$what")/"
}
# make hands SIGTERM on, as a terminal hands Ctrl-C to all: nobody of its group is left then, at most 20 s later.
stop() {
    kill -TERM "$pid" 2> /dev/null
    tries=0
    while kill -0 "-$pid" 2> /dev/null && [ $tries -lt 200 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    if kill -9 "-$pid" 2> /dev/null; then bad "$1 does not stop"; else ok; fi
    wait "$pid" 2> /dev/null
    pid=
    get http > /dev/null
    same "$1 is gone" 7 $?
}

start run-tls https
same "https, whatever the certificate" "Hello, World!" "$(get https -k)"
same "https, by that certificate" "Hello, World!" "$(get https --cacert build/tls.pem)"
get https > /dev/null
same "https, trusted by nobody" 60 $?
same "http" "Hello, World!" "$(get http)"
stop run-tls
cp build/tls.pem "$tmp/before"
start run-tls https
same "https, again" "Hello, World!" "$(get https --cacert "$tmp/before")"
stop run-tls
start run http
same "make run" "Hello, World!" "$(get http)"
same "make run, https" "" "$(port_of https)"
stop run

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
