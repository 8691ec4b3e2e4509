# What scripts share that try programs from outside, with real clients and others; read by them, behind name=, not run. $tmp goes
# at the end, and $pid with it.
passed=0 failed=0 skipped=0 pid=
tmp=$(mktemp -d) || exit 2
trap '[ -n "$pid" ] && kill -9 "$pid" 2> /dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
ok() {
    passed=$((passed + 1))
}
bad() {
    failed=$((failed + 1))
    echo "FAIL $name: $1"
}
same() { # what want got
    if [ "$2" = "$3" ]; then
        ok
    else
        bad "$1: want '$2', got '$(printf '%s' "$3" | head -c 300)'"
    fi
}
has() { # what pattern file
    if grep -q -e "$2" "$3"; then
        ok
    else
        bad "$1: no '$2' in: $(head -c 2000 "$3")"
    fi
}
alike() { # what: $tmp/want and $tmp/got
    if cmp -s "$tmp/want" "$tmp/got"; then ok; else bad "$1 differs"; fi
}
skip() { # why: of a part
    skipped=$((skipped + 1))
    echo "SKIP $name: $1"
}
sum() { # the last line, and the script's status
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
}
none() { # why: nothing of it can run
    skip "$1"
    sum
    exit
}
python_with() { # modules: the first python3 that has them is $python; VT_PYTHON: another one
    for python in ${VT_PYTHON:-} /usr/bin/python3 python3; do # Debian's has Debian's packages
        "$python" -c "import $1" 2> /dev/null && return
    done
    return 1
}

chromium_here() { # $chromium is it; false: there is none
    for chromium in chromium chromium-browser google-chrome ''; do
        command -v "$chromium" > /dev/null && break
    done
    [ -n "$chromium" ]
}

# example: $server is it, built with TLS where that goes, unless it is there
built() {
    server=${VT_EXAMPLES:-build/examples}/$1
    [ ! -x "$server" ] || return
    server=$tmp/$1
    for tls in "-DVTHTTP_TLS=1 -lssl -lcrypto" ''; do
        # shellcheck disable=SC2086
        ${CC:-cc} -std=gnu11 -O2 -pthread -o "$server" "examples/$1.c" $tls 2> "$tmp/cc" && return
    done
    cat "$tmp/cc"
    exit 2
}
certificate() { # $tmp/cert.pem and key.pem; false: there is no openssl that makes them
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout "$tmp/key.pem" \
        -out "$tmp/cert.pem" -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2> /dev/null
}
start() { # arguments: $server, which writes to $tmp/log
    : > "$tmp/log" # it is read before the shell in the background opens it
    ${VT_RUN:-} "$server" -port=0 -host=127.0.0.1 "$@" > "$tmp/log" 2>&1 &
    pid=$!
}
nap() {
    sleep 0.1 2> /dev/null || sleep 1
}
heard() { # scheme: $port is where $pid listens, once it says so; nothing if it ends
    tries=0 port=
    while [ -z "$port" ] && [ $tries -lt 200 ] && kill -0 "$pid" 2> /dev/null; do
        port=$(sed -n "s,.*listening on $1://.*:\([0-9][0-9]*\).*,\1,p" "$tmp/log" | head -n 1)
        [ -n "$port" ] || nap
        tries=$((tries + 1))
    done
    [ -n "$port" ]
}
listens() { # scheme: as heard, and it has to
    heard "$1" || bad "the server does not say where it listens for $1: $(cat "$tmp/log")"
}
lacks_tls() { # $server was built without
    "$server" -port=0 -sslPort=0 -sslCert="$tmp/none" 2>&1 | grep -q "VTHTTP_TLS=1"
}
stop() { # when
    kill -TERM "$pid" 2> /dev/null
    ended "$1"
}
ended() { # when: $server by itself, or because somebody told it to
    wait "$pid"
    code=$?
    pid=
    [ $code -eq 0 ] && ok && return
    bad "exit status, $1: $code; its log ends with: $(tail -n 5 "$tmp/log")"
}
