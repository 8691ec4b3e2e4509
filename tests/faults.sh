#!/bin/sh
# variants: default
# The unchanged examples/conformance under faults from outside: system calls that strace makes fail, SIGSTOP, kill -9 and
# SIGTERM under load, two processes on one port.
set -u
cd "$(dirname "$0")/.." || exit 2
if ! command -v python3 > /dev/null; then
    echo "SKIP faults: no python3 (make deps)"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
tmp=$(mktemp -d) || exit 2
passed=0 failed=0 skipped=0 pids= load=
server=${VT_EXAMPLES:-build/examples}/conformance
trap 'for p in $pids $load; do kill -9 "$p" 2> /dev/null; done; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
if [ ! -x "$server" ]; then
    server=$tmp/conformance
    ${CC:-cc} -std=gnu11 -O2 -pthread -o "$server" examples/conformance.c || exit 2
fi
# client.py PORT COUNT|until-file [PATH]: requests on connections of their own; prints "GOOD BAD"
cat > "$tmp/client.py" << 'PY'
import os, socket, sys
port, count, path = int(sys.argv[1]), sys.argv[2], (sys.argv + ["/"])[3]
want = b"x" * int(path.split("=")[1]) if "bytes" in path else b"delayed" if "delay" in path else b"hello"
good = bad = 0
while not os.path.exists(count) if "/" in count else good + bad < int(count):
    got = b""
    try:
        with socket.create_connection(("127.0.0.1", port), 20) as s:
            s.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
            while piece := s.recv(65536):
                got += piece
    except OSError as e:
        print(e, file=sys.stderr)
    ok = got.startswith(b"HTTP/1.1 200 ") and got.split(b"\r\n\r\n", 1)[1:] == [want]
    good, bad = good + ok, bad + (not ok)
print(good, bad)
PY
same() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL faults: $1: want '$2', got '$3'"
    fi
}
# port [command...]: sets pid of what was started, and port to the one it says, or nothing
start() {
    : > "$tmp/log"
    at=$1
    shift
    "$@" "$server" -host=127.0.0.1 -port="$at" $option > "$tmp/log" 2>&1 &
    pid=$! port= tries=0
    pids="$pids $pid"
    while [ -z "$port" ] && [ $tries -lt 200 ] && kill -0 "$pid" 2> /dev/null; do
        port=$(sed -n 's,.*listening on [a-z]*://.*:\([0-9][0-9]*\).*,\1,p' "$tmp/log" | head -n 1)
        [ -n "$port" ] || sleep 0.05
        tries=$((tries + 1))
    done
}
ask() {
    python3 "$tmp/client.py" "$@" 2>> "$tmp/errors"
}
ends() {
    kill -TERM "$1"
    wait "$1"
    same "exit status of $2" 0 $?
}
option=

# one port, without the option and with it
start 0
first=$pid here=$port
start "$here"
wait "$pid"
same "a port in use: exit status" 1 $?
same "a port in use is named" 1 "$(grep -c "127.0.0.1:$here.*EADDRINUSE" "$tmp/log")"
ends "$first" "the first"
option=-P:reuseport=true
start 0
stays=$pid here=$port
start "$here"
same "two on one port" "$here" "$port"
ask "$here" "$tmp/stop" > "$tmp/count" &
load=$!
i=0
while [ $i -lt 20 ]; do
    kill -9 "$pid"
    wait "$pid" 2> /dev/null
    same "the other serves, round $i" "5 0" "$(ask "$here" 5)"
    start "$here"
    same "bound again, round $i" "$here" "$port"
    i=$((i + 1))
done
: > "$tmp/stop"
wait "$load"
load=
same "served under load" 1 "$(awk '{ print ($1 > 20) }' "$tmp/count")"
kill -STOP "$stays"
kill -KILL "$pid"
wait "$pid" 2> /dev/null
(sleep 3 && kill -CONT "$stays") &
same "served after SIGSTOP" "2 0" "$(ask "$here" 2)"
ask "$here" 1 "/delay?ms=1000" > "$tmp/count" &
load=$!
sleep 0.5
ends "$stays" "one with a request in flight"
wait "$load"
load=
same "in flight at SIGTERM" "1 0" "$(cat "$tmp/count")"
option=

if strace -f -e trace=none true 2> /dev/null; then
    calls=recvfrom,recvmsg,sendto,sendmsg,accept4,epoll_wait,epoll_pwait,epoll_pwait2
    for fault in "$calls:error=EINTR:when=2+3"; do
        start 0 strace -qq -f -o "$tmp/trace" -e "trace=${fault%%:*}" -e "inject=$fault"
        same "$fault: served" "10 0" "$(ask "$port" 10)"
        same "$fault: injected" 1 "$(grep -c INJECTED "$tmp/trace" | awk '{ print ($1 > 0) }')"
        same "$fault: large" "3 0" "$(ask "$port" 3 "/bytes?n=300000")"
        child=$(pgrep -P "$pid" | head -n 1)
        pids="$pids $child" # strace that is killed lets go of it
        kill -TERM "$child"
        wait "$pid"
        same "$fault: exit status" 0 $?
    done
else
    skipped=1
    echo "SKIP faults: no strace that may trace (make deps)"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
