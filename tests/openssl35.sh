#!/bin/sh
# variants: none
# QUIC's test programs by OpenSSL 3.5, whose interface for QUIC earlier ones have not got, and once more as if it had not, with
# a curl and an nginx that speak HTTP/3, and with what more of others' clients and servers that system has: make test-openssl35.
# Where this system's OpenSSL is older (Debian 12), in a Debian 13 under build/trixie, which debootstrap and apt make once
# (root; a minute, 1.7 GB; MIRROR= where from). Its mounts are of a namespace that ends with what runs in it.
# With a command, that alone runs there:
#   BENCH_ONLY=h3 sh tests/openssl35.sh sh tests/bench/bench.sh build/bench35
set -u
cd "$(dirname "$0")/.." || exit 2
root=$PWD/build/trixie log=build/trixie.log
passed=0 failed=0 skipped=0

skip() {
    echo "SKIP test-openssl35: $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
is_new() {
    printf '#include <openssl/opensslv.h>\n#if OPENSSL_VERSION_NUMBER < 0x30500010L\n#error old\n#endif\n' |
        $in ${CC:-cc} -fsyntax-only -x c - 2> /dev/null
}
# Processes end with the namespace's first, which ends with this script.
apart() { setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private "$@"; }
make_root() {
    [ -d "$root" ] && return
    rm -rf "$root.part"
    mkdir -p "$root.part/src"
    # What is fetched, or waits for a mirror that does not answer, has an end.
    timeout -k 10 240 unshare --mount --propagation private debootstrap --variant=minbase \
        --include=gcc,libc6-dev,make,libssl-dev,openssl,curl,nginx,ngtcp2-client trixie "$root.part" \
        "${MIRROR:-http://deb.debian.org/debian}" \
        > "$log" 2>&1 < /dev/null || { rm -rf "$root.part" && skip "debootstrap: $(tail -n 1 "$log")"; }
    printf '127.0.0.1 localhost\n::1 localhost\n' > "$root.part/etc/hosts" && mv "$root.part" "$root"
}
# Runs a command in this tree as the other system has it.
inside() {
    # shellcheck disable=SC2016
    apart sh -c 'mount --bind "$PWD" "$0/src" && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" &&
        exec chroot "$0" sh -c '\''cd /src && exec "$@"'\'' sh "$@"' "$root" "$@"
}
# ngtcp2's server, h2load, caddy, aioquic and Chromium, not needed by all; tests that miss one say SKIP.
add_others() {
    [ -e "$root/others" ] && return
    inside env DEBIAN_FRONTEND=noninteractive timeout -k 10 240 sh -c 'dpkg --configure -a && apt-get update -q &&
        apt-get install -y -q --no-install-recommends ngtcp2-server nghttp2-client caddy python3-aioquic python3-wsproto chromium &&
        touch /others' >> "$log" 2>&1 < /dev/null && return
    skipped=$((skipped + 1))
    echo "SKIP test-openssl35: apt-get in $root: $(tail -n 1 "$log")"
}
# variant: adds its sum.
run() {
    $in make --no-print-directory test "V=$1" > "build/$1.log" 2>&1 < /dev/null
    status=$?
    grep -v -E '^([0-9]+ passed, |not in the |make)' "build/$1.log"
    sum=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "build/$1.log" | tail -n 1)
    echo "$1: ${sum:-exit status $status and no final line}"
    p=${sum%% *} f=${sum#*passed, } s=0
    case $sum in *skipped) s=${sum#*failed, } s=${s%% *} ;; esac
    f=${f%% *}
    [ -n "$sum" ] || f=1
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    passed=$((passed + ${p:-0})) failed=$((failed + f)) skipped=$((skipped + s))
}

# What an outer make has told its children: its job server's descriptors are not here.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
mkdir -p build
in=
if ! is_new; then
    [ "$(id -u)" = 0 ] || skip "needs root, or OpenSSL 3.5.1"
    command -v debootstrap > /dev/null || skip "debootstrap is missing (make deps)"
    apart true 2> /dev/null || skip "no mounts of one's own (unshare --mount --pid)"
    make_root
    add_others
    unset CC
    in=inside
    is_new || skip "the OpenSSL of $root is no 3.5.1 either"
fi
if [ $# -gt 0 ]; then
    $in "$@"
    exit
fi
run openssl35
run openssl35compat
if [ "$skipped" -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
