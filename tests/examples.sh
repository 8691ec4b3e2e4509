#!/bin/sh
# variants: default asan clang aarch64
# Runs every example on a free port and asks it what its first lines promise. It needs no curl: tests/tools/get.c is its
# client. VT_EXAMPLES: where they are built (else they are built here), VT_RUN: a program that runs them.
set -u
cd "$(dirname "$0")/.." || exit 2
name=examples behind=
. tests/tools/interop.sh
get=$tmp/get ex=${VT_EXAMPLES:-build/examples}
. tests/tools/servers.sh
trap '[ -n "$pid" ] && kill -9 "$pid" 2> /dev/null; [ -n "$behind" ] && kill -9 "$behind" 2> /dev/null; servers_stop; rm -rf "$tmp"' EXIT

${CC:-cc} -O1 -o "$get" tests/tools/get.c || exit 2
if [ -z "${VT_EXAMPLES:-}" ]; then
    mkdir -p "$ex"
    for source in examples/*.c; do
        name=${source##*/}
        case $name in
        postgres.c) libs="$pg_inc -lpq" && header libpq-fe.h "$pg_inc" || continue ;;
        redis.c) libs=-lhiredis && header hiredis/hiredis.h || continue ;;
        *) libs= ;;
        esac
        ${CC:-cc} -std=gnu11 -O2 -pthread -o "$ex/${name%.c}" "$source" $libs || exit 2
    done
fi

bad() { # and the log's end
    failed=$((failed + 1))
    echo "FAIL $name: $1"
    [ -f "$tmp/log" ] && tail -n 20 "$tmp/log" | sed 's/^/    /'
}
# name [argument...]: starts it on a free port and waits until it says which
start() {
    name=$1
    shift
    : > "$tmp/log" # it is read before the shell in the background opens it
    ${VT_RUN:-} "$ex/$name" -port=0 "$@" > "$tmp/log" 2>&1 &
    pid=$!
    if ! heard '[a-z]*'; then
        bad "it does not say where it listens"
        port=1
    fi
}
# Waits for its end, at most 20 s, and checks its exit status.
ends_with() {
    tries=0
    while kill -0 "$pid" 2> /dev/null && [ $tries -lt 200 ]; do
        nap
        tries=$((tries + 1))
    done
    if kill -0 "$pid" 2> /dev/null; then
        kill -9 "$pid"
        wait "$pid" 2> /dev/null
        bad "it does not end"
    else
        wait "$pid" 2> /dev/null
        same "exit status" "$1" $?
    fi
    pid=
}
stop() {
    kill -TERM "$pid" 2> /dev/null
    ends_with 0
}
# what, expected "STATUS body", method, target, more of get's arguments
ask() {
    what=$1 want=$2
    shift 2
    got=$("$get" "$port" "$@" 2>&1) || got="(cut) $got"
    same "$what" "$want" "$got"
}
# the files of get's -s: waits for them, at most 20 s each
sent() {
    for file; do
        tries=0
        while [ ! -e "$file" ] && [ $tries -lt 200 ]; do nap && tries=$((tries + 1)); done
    done
}

# what tests/tools/ws.py shall do
websocket() {
    if ! command -v python3 > /dev/null; then
        skip "WebSocket $1: python3 is missing (make deps)"
    elif said=$(timeout 60 python3 tests/tools/ws.py "$port" "$1" 2>&1); then
        ok
    else
        bad "WebSocket $1: $said"
    fi
}

start hello
ask "the greeting" "200 Hello, World!" GET /
ask "HEAD" "200 " HEAD /
stop
name=hello
${VT_RUN:-} "$ex/hello" -port=0 -P:nosuch=1 > "$tmp/log" 2>&1 && bad "a bad key is not refused"
grep -q "argument 2.*nosuch" "$tmp/log" && ok || bad "a bad key is not named"
printf 'port = 0\n\nmaxBody = lots\n' > "$tmp/app.conf"
${VT_RUN:-} "$ex/hello" -config="$tmp/app.conf" > "$tmp/log" 2>&1 && bad "a bad value is not refused"
grep -q "app.conf:3: maxBody.*lots" "$tmp/log" && ok || bad "a bad value's line is not named"

start conformance -workers=2 -host=127.0.0.1
ask "GET /" "200 hello" GET /
ask "HEAD /" "200 " HEAD /
ask "echo" "200 some text" POST /echo -b "some text" "Content-Type: text/x"
ask "chunks" "200 one
two
three" GET /chunked
ask "204" "204 " GET /nocontent
ask "bytes" "200 xxxxxxxxxx" GET "/bytes?n=10"
ask "no bytes" "200 " GET "/bytes?n=0"
ask "delay" "200 delayed" GET "/delay?ms=50"
name=blocking_client
say=$(timeout 60 ${VT_RUN:-} "$ex/blocking_client" "-port=$port" "-target=/delay?ms=100" 2>&1)
case $say in "100 of 100 answered, in "*) ok ;; *) bad "blocking calls: $say" ;; esac
name=conformance
"$get" "$port" GET /headers "X-One: 1" | grep -q "^X-One: 1" && ok || bad "/headers without X-One"
"$get" "$port" PUT / | grep -q "^405" && ok || bad "PUT / is not 405"
"$get" "$port" GET /none | grep -q "^404" && ok || bad "/none is not 404"
"$get" "$port" GET "/bytes?n=-1" | grep -q "^400" && ok || bad "a bad number is not 400"
"$get" "$port" GET /ws | grep -q "^426" && ok || bad "GET /ws is not 426"
websocket echo
stop

start chat -workers=2
"$get" "$port" GET / | grep -q "^200 <!doctype html>" && ok || bad "no page"
websocket chat
stop

start routes
ask "a parameter" "200 user 7" GET /users/7
ask "a refused parameter" "404 <h1>Nothing here</h1>" GET /users/x
ask "a tail" "200 the rest of the path: a/b c.txt" GET /files/a/b%20c.txt
ask "middleware refuses" "403 no" GET /secret
ask "middleware passes" "200 the name is Ali" GET /secret "X-Key: sesame"
ask "the 404 page" "404 <h1>Nothing here</h1>" GET /nothing
grep -q "GET /users/7: 200" "$tmp/log" && ok || bad "the timing middleware does not log"
grep -q "GET /users/x: 404" "$tmp/log" && ok || bad "it does not log what an error becomes"
stop

mkdir -p "$tmp/site/sub" && printf 'the index' > "$tmp/site/index.html" && printf 0123456789 > "$tmp/site/sub/digits.txt"
start files "$tmp/site"
ask "an index" "200 the index" GET /
ask "a part of a file" "206 34567" GET /sub/digits.txt "Range: bytes=3-7"
ask "what has not changed" "304 " GET /sub/digits.txt "If-None-Match: *"
"$get" "$port" GET /sub | grep -q "^301" && ok || bad "a directory without its slash is not 301"
ask "a route beside the files" "200 hello, Ada" GET /api/hello/Ada
"$get" "$port" GET /none | grep -q "^404" && ok || bad "a missing file is not 404"
stop
name=files
${VT_RUN:-} "$ex/files" -port=0 "$tmp/none" > "$tmp/log" 2>&1 && bad "a directory that is none is not refused"
grep -qi "files of $tmp/none: no such file" "$tmp/log" && ok || bad "a directory that is none is not named"

start json_post
json="Content-Type: application/json"
ask "JSON" '200 {"hello":"Ada"}' POST /greet -b '{"name":"Ada"}' "$json"
ask "spaces, other keys" '200 {"hello":"Ada"}' POST /greet -b ' { "x" : "y" , "name" : "Ada" } ' "$json"
ask "escapes" '200 {"hello":"a\"b\\c"}' POST /greet -b '{"name":"a\"b\\c"}' "$json"
for body in '' '{' '{}' '{"name":1}' '{"name":"Ada"' '{"name":"Ada"}x' '{"name":"a\' '{"name":"\u0041"}' '["name"]' '{"x":"y"}'; do
    "$get" "$port" POST /greet -b "$body" "$json" | grep -q "^400" && ok || bad "not refused: $body"
done
"$get" "$port" POST /greet -b '{"name":"Ada"}' | grep -q "^415" && ok || bad "no content type is not 415"
"$get" "$port" GET /greet | grep -q "^405" && ok || bad "GET is not 405"
ask "a type in capitals, with a parameter" '200 {"hello":"Ada"}' POST /greet -b '{"name":"Ada"}' "Content-Type: Application/JSON; charset=utf-8"
"$get" "$port" POST /greet -b '{"name":"Ada"}' "Content-Type: application/jsonp" | grep -q "^415" && ok || bad "another type is not 415"
stop

start streaming
ask "a growing response" "200 1
2
3" GET "/count?n=3"
ask "an upload over the server's limit" "200 3000000 bytes" PUT /upload -n 3000000
"$get" "$port" GET "/count?n=x1" | grep -q "^[24]00" && ok || bad "a bad count"
stop

start upstreams
ask "three upstreams" "200 stock: fine
price: fine
reviews: fine" GET /
stop

# The proxy in front of another example, and of nobody.
start conformance -workers=1 -host=127.0.0.1
behind=$pid upstream=http://127.0.0.1:$port
start proxy -host=127.0.0.1 "-upstream=$upstream"
ask "GET / behind the proxy" "200 hello" GET /
ask "HEAD / behind the proxy" "200 " HEAD /
ask "a body both ways" "200 some text" POST /echo -b "some text" "Content-Type: text/x"
ask "chunks by the proxy" "200 one
two
three" GET /chunked
ask "204 by the proxy" "204 " GET /nocontent
"$get" "$port" GET "/bytes?n=3000000" > "$tmp/many"
same "three million bytes" 3000004 "$(wc -c < "$tmp/many" | tr -d ' ')"
"$get" "$port" GET /headers "X-One: 1" "Connection: x-two" "X-Two: 2" > "$tmp/seen"
grep -q "^X-One: 1" "$tmp/seen" && grep -q "^X-Forwarded-For: 127.0.0.1" "$tmp/seen" && ok || bad "fields that are to pass"
grep -q "^X-Two" "$tmp/seen" && bad "a field of one hop passes"
stop
start proxy -host=127.0.0.1 "-upstream=$upstream" -timeoutMs=300
"$get" "$port" GET "/delay?ms=2000" | grep -q "^504" && ok || bad "a slow upstream is not 504"
kill -TERM "$behind"
wait "$behind" 2> /dev/null
behind=
"$get" "$port" GET / | grep -q "^502" && ok || bad "no upstream is not 502"
stop

start graceful
"$get" "$port" GET /slow -s "$tmp/asked" > "$tmp/slow" &
asking=$!
"$get" "$port" GET /ticks -s "$tmp/streamed" > "$tmp/ticks" &
streaming=$!
sent "$tmp/asked" "$tmp/streamed"
nap
nap
nap
kill -TERM "$pid"
wait $asking
same "a request in flight at SIGTERM" "200 slow, but whole" "$(cat "$tmp/slow")"
wait $streaming
grep -q "^200 data: tick" "$tmp/ticks" && ok || bad "no events: $(cat "$tmp/ticks")"
ends_with 0
grep -q drained "$tmp/log" && ok || bad "on_stopped did not run"
start graceful
ask "stop by request" "200 stopping" GET /stop
ends_with 0
start graceful -P:handlerTimeoutMs=300
"$get" "$port" GET /ticks > "$tmp/ticks"
[ "$(grep -c tick "$tmp/ticks")" -le 1 ] && ok || bad "ticks follow each other when the handler's time is over"
stop

start echo_tcp
ask "the echo" "there and back" RAW "there and back"
ask "another connection" "again" RAW "again"
kill -TERM "$pid"
wait "$pid" 2> /dev/null
pid=

name=pipeline
same "the pipeline" "the sum of the first 100 squares is 338350" "$(${VT_RUN:-} "$ex/pipeline" 100 2>&1)"
same "the pipeline, nothing to do" "the sum of the first 0 squares is 0" "$(${VT_RUN:-} "$ex/pipeline" 0 2>&1)"

start fastest
ask "the first of three" "200 from the quick mirror" GET /
stop

start workers
ask "a job" "200 49" GET /square/7
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do "$get" "$port" GET /square/$i > "$tmp/job$i" & done
wait_jobs=$((1 + 4 + 9 + 16 + 25 + 36 + 49 + 64 + 81 + 100 + 121 + 144))
sum=0
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    tries=0
    while [ ! -s "$tmp/job$i" ] && [ $tries -lt 200 ]; do nap && tries=$((tries + 1)); done
    sum=$((sum + $(sed 's/^200 //' "$tmp/job$i")))
done
same "twelve jobs at once" $wait_jobs $sum
kill -STOP "$pid" # or the first jobs are done before the last of these has begun
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32; do
    "$get" "$port" GET /square/1 -s "$tmp/sent$i" > "$tmp/many$i" &
done
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32; do sent "$tmp/sent$i"; done
kill -CONT "$pid"
tries=0
while [ "$(cat "$tmp"/many* | grep -c '^[1-9]')" -lt 32 ] && [ $tries -lt 200 ]; do nap && tries=$((tries + 1)); done
cat "$tmp"/many* | grep -q '^503 everybody is busy' && ok || bad "32 jobs at once and nobody is refused"
stop

name=timeouts
same "time-outs" "one call: ETIMEDOUT
a call under a deadline: ETIMEDOUT
the child that inherited it: ETIMEDOUT
three in a scope: ETIMEDOUT
somebody who waits a while: ETIMEDOUT
clean-up that waits: done
left: the desk
left: the office
the task that was cancelled: ECANCELED" "$(${VT_RUN:-} "$ex/timeouts" 2>&1)"

name=redis
if [ ! -x "$ex/redis" ]; then
    name=redis && skip "not built: no hiredis (make deps)"
elif ! redis_start; then
    name=redis && skip "$why"
else
    start redis "-redis=$tmp/redis"
    ask "a counter" "200 1" GET /hits/a%20page
    ask "it counts" "200 2" GET /hits/a%20page
    "$get" "$port" GET /next > "$tmp/next" & # waits until somebody posts
    asking=$!
    nap
    ask "somebody posts" "204 " POST /news -b "the news"
    wait $asking
    same "the one who waited" "200 the news" "$(cat "$tmp/next")"
    stop
fi

name=postgres
if [ ! -x "$ex/postgres" ]; then
    name=postgres && skip "not built: no libpq (make deps)"
elif ! command -v psql > /dev/null; then
    name=postgres && skip "no psql (make deps)"
else
    postgres_start > "$tmp/pg.log" 2>&1
    case $? in
    0)
        psql -q -h "$tmp/pg" -U vt -d postgres -c "CREATE TABLE notes(id serial PRIMARY KEY, note text NOT NULL)"
        start postgres "-db=host=$tmp/pg user=vt dbname=postgres"
        ask "a row" "201 1" POST /notes -b "it's; one"
        ask "another" "201 2" POST /notes -b "two"
        ask "all rows" "200 1: it's; one
2: two" GET /notes
        stop
        ;;
    77) name=postgres && skip "$why" ;;
    *)
        cp "$tmp/pg.log" "$tmp/log"
        bad "PostgreSQL does not start"
        ;;
    esac
fi

start hostloop
"$get" "$port" GET / | grep -q "^200 ticks: [0-9]" && ok || bad "no ticks"
nap
nap
nap
"$get" "$port" GET / | grep -q "^200 ticks: [1-9]" && ok || bad "the program's own work stands still"
${VT_RUN:-} "$ex/hostloop" -port="$port" > "$tmp/second" 2>&1 && bad "a port that is in use is no failure" || ok
stop

sum
