#!/bin/sh
# variants: default
# The unchanged examples/conformance under faults from outside: system calls that strace makes fail, limits and a cap of
# memory, SIGSTOP, kill -9 and SIGTERM under load, two processes on one port.
set -u
cd "$(dirname "$0")/.." || exit 2
name=faults pids= load= cap=
. tests/tools/interop.sh
command -v python3 > /dev/null || none "no python3 (make deps)"
trap 'for p in $pids $load; do kill -9 "$p" 2> /dev/null; done; [ -z "$cap" ] || rmdir "$cap"; rm -rf "$tmp"' EXIT
built conformance
# client.py PORT COUNT|until-file [PATH [FILE]]: requests on connections of their own; makes FILE when one is sent; prints
# "GOOD BAD"
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
            if len(sys.argv) > 4: open(sys.argv[4], "w").close()
            while piece := s.recv(65536):
                got += piece
    except OSError as e:
        print(e, file=sys.stderr)
    ok = got.startswith(b"HTTP/1.1 200 ") and got.split(b"\r\n\r\n", 1)[1:] == [want]
    good, bad = good + ok, bad + (not ok)
print(good, bad)
PY
# crowd.py PORT COUNT PATH: so many requests at once; prints how many were answered 200, how many 503, and how many neither
cat > "$tmp/crowd.py" << 'PY'
import selectors, socket, sys, time
port, count, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
sel, got, end = selectors.DefaultSelector(), {}, time.monotonic() + 60
for _ in range(count):
    s = socket.create_connection(("127.0.0.1", port), 60)
    s.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
    s.setblocking(False)
    sel.register(s, selectors.EVENT_READ)
    got[s] = b""
while sel.get_map() and time.monotonic() < end:
    for key, _ in sel.select(1):
        s = key.fileobj
        try:
            piece = s.recv(65536)
        except OSError:
            piece = b""
        got[s] += piece
        if not piece:
            sel.unregister(s)
            s.close()
good = sum(g.startswith(b"HTTP/1.1 200 ") for g in got.values())
busy = sum(g.startswith(b"HTTP/1.1 503 ") for g in got.values())
print(good, busy, count - good - busy)
PY
# port [command...]: sets pid of what was started, and port to the one it says, or nothing
start() {
    : > "$tmp/log"
    at=$1
    shift
    "$@" "$server" -host=127.0.0.1 -port="$at" $option > "$tmp/log" 2>&1 &
    pid=$!
    pids="$pids $pid"
    heard '[a-z]*'
}
ask() {
    python3 "$tmp/client.py" "$@" 2>> "$tmp/errors"
}
ask_crowd() {
    python3 "$tmp/crowd.py" "$port" "$@" 2>> "$tmp/errors"
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
ask "$here" 1 "/delay?ms=2000" "$tmp/asked" > "$tmp/count" &
load=$!
tries=0
while [ ! -f "$tmp/asked" ] && [ $tries -lt 200 ]; do
    nap
    tries=$((tries + 1))
done
sleep 0.5 # which it takes in
ends "$stays" "one with a request in flight"
wait "$load"
load=
same "in flight at SIGTERM" "1 0" "$(cat "$tmp/count")"
option=

# name, crowd: everybody is answered or told that there is no room (of ten one may be cut off); somebody is served
crowded() {
    same "$1: answered, told, cut ($2)" 1 "$(echo "$2" | awk '{ print ($1 > 0 && $3 * 10 <= $1 + $2) }')"
}
# name, count, error: the log has so many lines of accept's at the least, and not one for each failure
complains() {
    same "$1: said" 1 "$(grep -c "accept: .*($3)" "$tmp/log" | awk -v least="$2" '{ print ($1 >= least && $1 < 30) }')"
}

# limits
option=-workers=1
start 0 prlimit --nofile=48:48
got=$(ask_crowd 200 "/delay?ms=200")
crowded "48 descriptors" "$got"
complains "48 descriptors" 1 EMFILE
same "48 descriptors: afterwards" "10 0" "$(ask "$port" 10)"
ends "$pid" "one with 48 descriptors"
start 0
kib=$(awk '/^VmSize:/ { print $2 }' "/proc/$pid/status")
prlimit --pid "$pid" --as=$(((kib + 30000) * 1024))
got=$(ask_crowd 3000 "/delay?ms=200")
crowded "30 MB of addresses" "$got"
complains "30 MB of addresses" 1 ENOMEM
same "30 MB of addresses: afterwards" "10 0" "$(ask "$port" 10)"
ends "$pid" "one with 30 MB of addresses"

# a cap of memory
for dir in /sys/fs/cgroup/memory /sys/fs/cgroup; do
    mkdir "$dir/vt_faults_$$" 2> /dev/null || continue
    cap=$dir/vt_faults_$$
    for file in memory.limit_in_bytes memory.max; do
        [ -w "$cap/$file" ] && echo 64M 2> /dev/null > "$cap/$file" && break 2
    done
    rmdir "$cap"
    cap=
done
if [ -n "$cap" ]; then
    start 0 sh -c 'echo $$ > '"$cap"'/cgroup.procs && exec "$@"' sh
    for path in "/delay?ms=200" "/bytes?n=100000"; do
        got=$(ask_crowd 3000 "$path")
        crowded "64 MB of memory, $path" "$got"
    done
    same "64 MB of memory: afterwards" "10 0" "$(ask "$port" 10)"
    ends "$pid" "one with 64 MB of memory"
    rmdir "$cap"
    cap=
else
    skip "memory cap: no cgroup that may be made"
fi

# what strace makes fail
injected() { # name, how often at the least and at the most
    same "$1: injected" 1 "$(grep -c INJECTED "$tmp/trace" | awk -v a="$2" -v z="$3" '{ print ($1 >= a && $1 <= z) }')"
}
traced() { # CALLS:FAULT
    start 0 strace -qq -f -o "$tmp/trace" -e "trace=${1%%:*}" -e "inject=$1"
}
untraced() { # name: ends the server under strace
    child=$(pgrep -P "$pid" | head -n 1)
    pids="$pids $child" # strace that is killed lets go of it
    kill -TERM "$child"
    wait "$pid"
    same "$1: exit status" 0 $?
}
if strace -f -e trace=none true 2> /dev/null; then
    calls=recvfrom,recvmsg,sendto,sendmsg,accept4,epoll_wait,epoll_pwait,epoll_pwait2
    fault=$calls:error=EINTR:when=2+3
    traced "$fault"
    same "$fault: served" "10 0" "$(ask "$port" 10)"
    same "$fault: large" "3 0" "$(ask "$port" 3 "/bytes?n=300000")"
    injected "$fault" 1 1000000
    untraced "$fault"
    for error in EMFILE ENFILE ENOMEM ECONNABORTED; do
        fault=accept4:error=$error:when=1..4
        traced "$fault"
        same "$fault: served" "10 0" "$(ask "$port" 10)"
        injected "$fault" 4 4
        if [ $error = ECONNABORTED ]; then
            same "$fault: it is the client's affair" 0 "$(grep -c 'accept:' "$tmp/log")"
        else
            complains "$fault" 1 $error
        fi
        untraced "$fault"
    done
    # For as long as it lasts the listener rests, and is tried a few times a second.
    fault=accept4:error=EMFILE
    option="-workers=1 -P:graceMs=500" # a stop would serve who still stands in the queue
    traced "$fault"
    timeout 30 python3 "$tmp/client.py" "$port" 1 &
    load=$! tries=0
    sleep 2
    while [ "$(grep -c INJECTED "$tmp/trace")" -lt 4 ] && [ $tries -lt 200 ]; do nap && tries=$((tries + 1)); done
    kill "$load"
    wait "$load" 2> /dev/null
    load=
    injected "$fault" 4 200
    complains "$fault" 1 EMFILE
    untraced "$fault"
    option=-workers=1
    # The runtime lives; from now on there is no memory by mmap.
    start 0
    strace -qq -f -o "$tmp/trace" -e trace=mmap -e inject=mmap:error=ENOMEM -p "$pid" &
    tracer=$! tries=0
    pids="$pids $tracer"
    while grep -q '^TracerPid:.0$' "/proc/$pid"/task/*/status && [ $tries -lt 200 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    got=$(ask_crowd 300 "/delay?ms=1500") # all at once, however slowly they come
    crowded "mmap: ENOMEM" "$got"
    injected "mmap: ENOMEM" 1 1000000
    kill -INT $tracer
    wait $tracer
    same "mmap: ENOMEM: afterwards" "10 0" "$(ask "$port" 10)"
    ends "$pid" "one that had no mmap"
else
    skip "system calls: no strace that may trace (make deps)"
fi
sum
