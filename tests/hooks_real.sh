#!/bin/sh
# variants: default
# VTHTTP_HOOKS with the real things: unmodified libpq, hiredis and libcurl on virtual threads of one worker, against servers
# that this script starts in a temporary folder; and a small program with every libc and way to link. Figures are printed.
set -u
cd "$(dirname "$0")/.." || exit 2
tmp=$(mktemp -d) || exit 2
passed=0 failed=0 skipped=0
flags="-std=gnu11 -O1 -Wall -Wextra -Wno-misleading-indentation -pthread"

. tests/tools/servers.sh

clean() {
    servers_stop
    rm -rf "$tmp"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

skip() {
    echo "SKIP $1: $2"
    skipped=$((skipped + 1))
}
bad() {
    echo "FAIL $1"
    tail -n 20 "$tmp/out" | sed 's/^/    /'
    failed=$((failed + 1))
}
build() { # name, source, command...: compiles tests/tools/SOURCE.c to $tmp/NAME
    what=$1 source=$2
    shift 2
    "$@" > "$tmp/out" 2>&1 && return
    bad "$what does not build ($source)"
    return 1
}
# what, most milliseconds, command...: it ends well, in that time; serially it would take more
runs() {
    what=$1 most=$2
    shift 2
    if ! timeout 120 "$@" > "$tmp/out" 2>&1 || ! grep -q '^ok [0-9]' "$tmp/out"; then
        bad "$what"
        return
    fi
    ms=$(sed -n 's/^ok \([0-9]*\).*/\1/p' "$tmp/out")
    echo "$what: $ms ms$(sed -n 's/^ok [0-9]*\(, .*\)/\1/p' "$tmp/out")"
    if [ "$ms" -lt "$most" ]; then passed=$((passed + 1)); else bad "$what: $ms ms"; fi
}
have() { command -v "$1" > /dev/null; }
# Every libc and way to link. A name goes to the pool in dynamic programs of glibc, and wherever it is wrapped.
small() { # name, whose the name lookup is ("": either's), compiler, flags...
    name=$1 by=$2
    shift 2
    if ! have "$1"; then
        skip "$name" "no $1 (make deps)"
        return
    fi
    build "$name" hooks_small "$@" $flags -o "$tmp/small" tests/tools/hooks_small.c || return
    runs "100 clients and servers, each 50 ms late, $name" 2500 "$tmp/small"
    [ -z "$by" ] || grep -q "the name by the $by" "$tmp/out" || bad "$name: the name is not looked up by the $by"
}
wrap='-DVTHTTP_WRAP=1 -Wl,--wrap=getaddrinfo'
pool=
if [ "$(getconf GNU_LIBC_VERSION 2> /dev/null | sed 's/glibc 2\.//')" -ge 34 ] 2> /dev/null; then pool=pool; fi
small "${CC:-cc}, dynamic" "$pool" "${CC:-cc}"
small "${CC:-cc}, static" '' "${CC:-cc}" -static
small "${CC:-cc}, static, getaddrinfo wrapped" pool "${CC:-cc}" -static $wrap
small "${CC:-cc}, fortified" "$pool" "${CC:-cc}" -D_FORTIFY_SOURCE=2
small "${CC:-cc}, on poll, hidden symbols" "$pool" "${CC:-cc}" -DVTHTTP_POLL=1 -fvisibility=hidden
small "musl, dynamic" '' musl-gcc
small "musl, dynamic, getaddrinfo wrapped" pool musl-gcc $wrap
small "musl, static" '' musl-gcc -static
small "musl, static, getaddrinfo wrapped" pool musl-gcc -static $wrap

# libcurl against this library's own server, one worker for both
if header curl/curl.h; then
    build libcurl hooks_curl ${CC:-cc} $flags -o "$tmp/curl" tests/tools/hooks_curl.c -lcurl &&
        runs "100 x 2 requests of 100 ms by libcurl" 10000 "$tmp/curl" 100
else
    skip libcurl "no curl/curl.h (make deps)"
fi

# Redis and PostgreSQL
if ! header hiredis/hiredis.h; then
    skip hiredis "no hiredis/hiredis.h (make deps)"
elif ! redis_start; then
    skip hiredis "$why"
else
    build hiredis hooks_redis ${CC:-cc} $flags -o "$tmp/hiredis" tests/tools/hooks_redis.c -lhiredis &&
        runs "100 x 3 BLPOP of 0.1 s by hiredis" 10000 "$tmp/hiredis" "$tmp/redis" 100
fi
if ! header libpq-fe.h "$pg_inc"; then
    skip libpq "no libpq-fe.h (make deps)"
elif build libpq hooks_libpq ${CC:-cc} $flags "$pg_inc" -o "$tmp/libpq" tests/tools/hooks_libpq.c -lpq; then
    postgres_start > "$tmp/out" 2>&1
    case $? in
    0) runs "100 x SELECT pg_sleep(0.1) by libpq" 5000 "$tmp/libpq" "host=$tmp/pg user=vt dbname=postgres" 100 ;;
    77) skip libpq "$why" ;;
    *) bad "PostgreSQL does not start" ;;
    esac
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
