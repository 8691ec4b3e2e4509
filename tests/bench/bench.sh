#!/bin/sh
# Runs every benchmark and ends with one table: measure, value, unit, goal, verdict.
#   tests/bench/bench.sh [BUILD_DIR]      (make bench; default build/bench)
# BENCH_QUICK=1     fewer and shorter slices
# BENCH_LIVE=N      virtual threads that live at once (default 1,000,000 where 8 GB are free, else 100,000)
# BENCH_NGINX=FILE  an nginx with HTTP/3, beside which h3 is measured (else the system's, or that of make test-openssl35)
# BENCH_ONLY=WORD   of: h2 runtime parser hpack keep pipelined close echo ws client idle size instructions tls
#                   quic h3 blockers
# Servers run on CPU 0, the load on CPU 1, where CPU or rates are measured. What lacks a tool says SKIP and why; exit status 1
# when something failed (a missed goal is no failure).
cd "$(dirname "$0")/../.." || exit 1
dir=${1:-build/bench}
log=$dir/bench.log
. tests/bench/lib.sh

wanted() { [ -z "$BENCH_ONLY" ] || [ "$BENCH_ONLY" = "$1" ]; }

pairs=7 count=100000
[ -n "$BENCH_QUICK" ] && pairs=3 count=30000
if [ -z "$BENCH_LIVE" ]; then
    free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
    BENCH_LIVE=100000
    [ "${free:-0}" -gt 8000000 ] && [ -z "$BENCH_QUICK" ] && BENCH_LIVE=1000000
fi
machine

if wanted runtime && build bench_rt; then
    say "## runtime"
    for m in $("$dir/bench_rt" -list); do
        case $m in
        live_each) run 240 "$dir/bench_rt" -only="$m" -n="$BENCH_LIVE" ;;
        *) run 60 "$dir/bench_rt" -only="$m" ;;
        esac
    done
fi

if wanted parser && build bench_h1; then
    say "## HTTP/1.1 codec"
    run 60 "$dir/bench_h1"
fi

if wanted hpack && build bench_hpack; then
    say "## HPACK, QPACK: header blocks, beside copying the bytes that they decode to"
    run 60 "$dir/bench_hpack" -n=$((count * 2)) -reps=$pairs
fi

# both NAME GOAL SYS_GOAL LOW HIGH A B LOAD [MORE]: CPU in alternating slices, then system calls. Of these what the start costs
# is taken off, which differs by some 50 from run to run: the fewer a message takes the longer the count (-sys_n).
both() {
    name=$1 goal=$2 sys=$3 low=$4 high=$5 a=$6 b=$7 load=$8 more=$9
    say "## $name"
    run 120 "$dir/pair" -name="$name" -A="$a" -B="$b" -load="$load" -pairs=$pairs -goal="$goal" $more
    run 60 "$dir/pair" -name="$name" -A="$a" -B="$b" -load="$load" -syscalls -sys_goal="$sys" -bare_low="$low" \
        -bare_high="$high" $more
}

if build pair load bare_http bare_echo; then
    if build http_vt; then
        wanted keep && both keep_alive 1.05 2.05 2.00 2.03 "$dir/http_vt" "$dir/bare_http" "-n=$count" -same_bytes
        wanted pipelined && both pipelined_x16 1.15 0 0.12 0.14 "$dir/http_vt" "$dir/bare_http" \
            "-depth=16 -n=$((count * 8))" "-same_bytes -sys_n=320000"
        wanted close && both per_connection 1.00 0 4 6 "$dir/http_vt" "$dir/bare_http -mode=close" \
            "-close -n=$((count / 4))" -same_bytes
    fi
    if build echo_vt; then
        wanted echo && both tcp_echo 0 2.02 2.00 2.03 "$dir/echo_vt" "$dir/bare_echo" "-proto=echo -size=64 -n=$count"
    fi
fi

# A message is larger than its payload by 4 to 8 bytes: with blocks of 16 KiB one of 16 KiB takes two reads.
if wanted ws && build pair load ws_vt bare_ws; then
    few=$pairs # of which single ones are 0.8 to 1.6
    [ -n "$BENCH_QUICK" ] || pairs=41
    both ws_echo_16 1.05 2.05 2.00 2.03 "$dir/ws_vt" "$dir/bare_ws" "-proto=ws -size=16 -n=$count"
    pairs=$few
    both ws_echo_16_x32 1.15 0 0.06 0.07 "$dir/ws_vt" "$dir/bare_ws" "-proto=ws -size=16 -depth=32 -n=$((count * 10))" -sys_n=640000
    both ws_echo_16k 1.05 0 0 9 "$dir/ws_vt" "$dir/bare_ws -buffer=65536" "-proto=ws -size=16384 -n=$count"
fi
if wanted client && build bare_http bench_cli; then
    say "## client, on kept connections"
    on=
    command -v taskset > /dev/null && on="taskset -c 0"
    if start $on "$dir/bare_http"; then
        run 120 "$dir/bench_cli" -port="$port" -n=$count -cpu=1
        kill $pid
        wait $pid 2> /dev/null
    fi
fi

if wanted idle && build http_vt echo_vt idle_mem; then
    say "## idle keep-alive connections"
    if start "$dir/http_vt"; then
        run 120 "$dir/idle_mem" -port="$port" -pid=$pid
        kill $pid
        wait $pid 2> /dev/null
    fi
fi

if wanted idle && build ws_vt idle_mem; then
    say "## idle WebSockets, each with a parked handler"
    if start "$dir/ws_vt"; then
        run 120 "$dir/idle_mem" -port="$port" -pid=$pid -ws -goal=4608 -name=idle_ws
        kill $pid
        wait $pid 2> /dev/null
    fi
fi

if wanted size; then
    say "## the hello example, cc -O2, stripped"
    from=$(date +%s%N)
    if $cc -O2 -pthread examples/hello.c -o "$dir/hello" 2>> "$log"; then
        ms=$((($(date +%s%N) - from) / 1000000))
        strip "$dir/hello"
        bytes=$(wc -c < "$dir/hello")
        verdict() { if [ "$1" -le "$2" ]; then echo ok; else echo MISS; fi; }
        say "= hello_size $bytes bytes <=102400 $(verdict "$bytes" 102400)"
        say "= hello_compile $ms ms <=5000 $(verdict $ms 5000)"
    else
        say "FAILED: examples/hello.c does not compile"
        failed=$((failed + 1))
    fi
fi

# HTTP/2 beside other servers, in turns: CPU a request by what the kernel counts (10 ms steps, so the slices are long). The last
# column: how many times as much as ours, and requests a second, the median. A fast server leaves a part of its CPU idle, for h2load
# on the other one has no time to ask for more: in one_cpu both have the same, and more requests are less CPU. What is answered is
# not the same work: ours is a handler's 13 bytes from memory, theirs a file of 13 bytes, which they find and keep open.
h2_dir=$(cd "$dir" && pwd)/h2
h2_conf() { # NAME KIND PORT: what h2o and nginx want to read
    ssl=
    case $1_$2 in
    h2o_tls) ssl=", ssl: { certificate-file: $h2_dir/cert.pem, key-file: $h2_dir/key.pem }" ;;
    nginx_tls) ssl="ssl; ssl_protocols TLSv1.3; ssl_certificate $h2_dir/cert.pem; ssl_certificate_key $h2_dir/key.pem" ;;
    esac
    case $1 in
    h2o)
        printf '%s\n' "num-threads: 1" "user: $(id -un)" "listen: { host: 127.0.0.1, port: $3$ssl }" \
            "hosts: { default: { paths: { /: { file.dir: $h2_dir } } } }"
        ;;
    nginx)
        echo "daemon off; master_process off; pid $h2_dir/nginx.pid; error_log stderr; events {}
http { access_log off; keepalive_requests 100000000; open_file_cache max=9;
server { listen 127.0.0.1:$3 http2 $ssl; root $h2_dir; } }"
        ;;
    esac > "$h2_dir/$1.conf"
}
h2_up() { # NAME KIND PORT: runs in place of the shell
    h2_conf "$@"
    case $1_$2 in
    ours_plain) exec taskset -c 0 "$dir/h2_vt" -port="$3" ;;
    ours_tls) exec taskset -c 0 "$dir/h2_vt" -port="$3" -cert="$h2_dir/both.pem" -file="$h2_dir/bulk" ;;
    nghttpd_plain) exec taskset -c 0 nghttpd --no-tls -d "$h2_dir" "$3" ;;
    nghttpd_tls) exec taskset -c 0 nghttpd -d "$h2_dir" "$3" "$h2_dir/key.pem" "$h2_dir/cert.pem" ;;
    h2o_*) exec taskset -c 0 h2o -c "$h2_dir/h2o.conf" ;;
    nginx_*) exec taskset -c 0 nginx -c "$h2_dir/nginx.conf" ;;
    esac
}
h2_slice() { # NAME PID URL: adds to NAME's ticks and rates
    before=$(awk '{ print $14 + $15 }' "/proc/$2/stat")
    timeout 60 taskset -c "${h2_client:-1}" h2load --tls13-ciphers=TLS_AES_128_GCM_SHA256 $h2_args -n$h2_count "$3" > "$dir/out" 2>&1
    grep -q " $h2_count succeeded, 0 failed" "$dir/out" || { say "FAILED: h2load $h2_args $3, $1" && failed=$((failed + 1)); }
    ticks=$(($(awk '{ print $14 + $15 }' "/proc/$2/stat") - before))
    rate=$(sed -n 's|.*, \([0-9]*\)[.0-9]* req/s.*|\1|p' "$dir/out")
    eval "ticks_$1=\$((ticks_$1 + ticks)) rates_$1=\"\$rates_$1 ${rate:-0}\""
}
h2_case() { # NAME GOAL UNITS UNIT COUNT PATH H2LOAD_ARGS: of UNITS in a second of CPU
    h2_count=$5 h2_args=$7 path=$6
    for s in $h2_servers; do eval "ticks_$s=0 rates_$s="; done
    for _ in $(seq $pairs); do
        for s in $h2_servers; do
            eval "h2_slice $s \$pid_$s \$url_$s$path"
        done
    done
    for s in $h2_servers; do
        eval "ticks=\$ticks_$s rates=\$rates_$s"
        rate=$(printf '%s\n' $rates | sort -n | sed -n "$(((pairs + 1) / 2))p")
        each=$((ticks * $3 / 100 / (h2_count * pairs))) goal=-
        last=$(awk "BEGIN { printf \"%.2fx,%d/s\", $ticks / ($ticks_ours ? $ticks_ours : 1), $rate }")
        [ "$s" = ours ] && [ "$2" != - ] && goal="<=$2" && last=$([ $each -le "$2" ] && echo ok || echo MISS),$rate/s
        say "= h2_$1_$s $each $4 $goal $last"
    done
}
h2_kind() { # plain|tls: all that there are, then the cases
    h2_servers=
    port=$h2_port
    for s in ours nghttpd h2o nginx; do
        port=$((port + 1))
        h2_up $s "$1" $port > /dev/null 2>> "$log" &
        eval "pid_$s=$! url_$s=$([ "$1" = tls ] && echo https || echo http)://127.0.0.1:$port"
    done
    sleep 1
    for s in ours nghttpd h2o nginx; do
        eval "kill -0 \$pid_$s" 2> /dev/null && h2_servers="$h2_servers $s" || say "SKIP h2 beside $s: not there, or it does not start"
    done
    h2_case "$1_c10_m32" "$([ "$1" = plain ] && echo 2000 || echo -)" 1000000000 ns_CPU_request $((count * 2)) / "-c10 -m32"
    h2_client=0
    h2_case "$1_one_cpu" - 1000000000 ns_CPU_request "$count" / "-c10 -m32"
    h2_client=1
    if [ "$1" = plain ]; then
        h2_case "$1_c100_m10" - 1000000000 ns_CPU_request $((count * 2)) / "-c100 -m10"
        h2_case "$1_c10_m1" - 1000000000 ns_CPU_request $count / "-c10 -m1"
    else
        h2_case "$1_100MB" 60 1000 ms_CPU 5 /bulk "-c1 -m1 -w24 -W24"
        h2_servers=ours
        h2_case "$1_100MB_memory" 60 1000 ms_CPU 5 /memory "-c1 -m1 -w24 -W24"
    fi
    for s in ours nghttpd h2o nginx; do eval "kill \$pid_$s 2> /dev/null; wait \$pid_$s 2> /dev/null"; done
    h2_port=$port
}
if wanted h2; then
    say "## HTTP/2"
    libs='-DVTHTTP_TLS=1 -lssl -lcrypto' h2_port=18400
    if ! command -v h2load > /dev/null || ! command -v openssl > /dev/null; then
        say "SKIP h2: no h2load (package nghttp2-client) or openssl"
    elif build h2_vt idle_mem; then
        mkdir -p "$h2_dir" && printf 'Hello, World!' > "$h2_dir/index.html" && truncate -s 100000000 "$h2_dir/bulk"
        cat "$h2_dir/bulk" > /dev/null # in the kernel's cache before anybody is asked for it
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -keyout "$h2_dir/key.pem" \
            -out "$h2_dir/cert.pem" -subj /CN=localhost 2> /dev/null
        cat "$h2_dir/cert.pem" "$h2_dir/key.pem" > "$h2_dir/both.pem"
        h2_kind plain
        h2_kind tls
        for m in idle_h2:1 h2_stream:2; do
            start "$dir/h2_vt" || break
            run 120 "$dir/idle_mem" -port="$port" -pid=$pid -h2=${m#*:} -goal=0 -name=${m%:*}
            kill $pid
            wait $pid 2> /dev/null
        done
    fi
    libs=
fi

# Handshakes, bytes and idle connections of TLS, beside what OpenSSL alone says of its primitives on this machine.
openssl_rate() { # algorithm, awk's program for the last line
    openssl speed -seconds 1 $1 2> /dev/null | tail -n 1 | awk "$2"
}
if wanted tls; then
    say "## TLS"
    libs='-lssl -lcrypto'
    if ! echo '#include <openssl/ssl.h>' | $cc -E -x c - > /dev/null 2>&1; then
        say "SKIP tls: no openssl/ssl.h (make deps)"
    elif build tls_vt; then
        for m in new reuse; do run 60 "$dir/tls_vt" -mode=$m -n=$((count / 50)); done
        run 60 "$dir/tls_vt" -mode=bulk -n=20
        run 120 "$dir/tls_vt" -mode=idle -n=5000
        if command -v openssl > /dev/null; then
            say "$(openssl_rate ecdsap256 '{ printf "= openssl_p256_sign_verify %d a_second - -", 1 / (1 / $(NF - 1) + 1 / $NF) }')"
            say "$(openssl_rate '-evp aes-256-gcm -bytes 16384' '{ printf "= openssl_aes_256_gcm %d MB/s - -", $2 / 1000 }')"
        fi
    fi
    libs=
fi
if wanted quic; then
    say "## QUIC: packets, keys, a server's part of handshakes"
    libs='-lssl -lcrypto'
    if ! echo '#include <openssl/ssl.h>' | $cc -E -x c - > /dev/null 2>&1; then
        say "SKIP quic: no openssl/ssl.h (make deps)"
    elif build bench_quic; then
        run 120 "$dir/bench_quic" -n=$((count / 40)) -reps=$((pairs * 10))
    fi
    libs=
fi
if wanted blockers && build blockers; then
    say "## handlers that block their OS thread, on one worker"
    run 60 "$dir/blockers"
fi

# HTTP/3, and others' servers asked by the same client, in turns, each of which has a part of the requests; of all turns the mean.
# As with HTTP/2 ours answers from memory, theirs from files.
h3_others= # NAME:PID:PORT...
h3_turn() { # its lines go to $dir/turns
    timeout 120 "$dir/h3_vt" "$@" > "$dir/out" 2>&1 && cat "$dir/out" >> "$dir/turns" && return
    say "FAILED: h3_vt $*: $(cat "$dir/out")"
    failed=$((failed + 1))
}
h3_beside() { # TURNS MODE ARGS...
    turns=$1
    shift
    : > "$dir/turns"
    case $1 in big) path=/big ;; *) path=/small ;; esac
    for _ in $(seq "$turns"); do
        h3_turn -mode="$@"
        for other in $h3_others; do
            at=${other#*:}
            h3_turn -mode="$@" -name="${other%%:*}" -pid="${at%:*}" -port="${at#*:}" -path=$path
        done
    done
    say "$(awk '/^= / {
            if (!n[$2]++) name[++names] = $2
            sum[$2] += $3; unit[$2] = $4; goal[$2] = $5; form[$2] = $3 ~ /[.]/ ? "%.1f" : "%d"
        }
        END {
            for (i = 1; i <= names; i++) {
                m = name[i]; each = sum[m] / n[m]
                verdict = goal[m] == "-" ? "-" : each <= substr(goal[m], 3) + 0 ? "ok" : "MISS"
                printf "= %s " form[m] " %s %s %s\n", m, each, unit[m], goal[m], verdict
            }
        }' "$dir/turns")"
}
h3_nginx() { # nginx with HTTP/3: runs in place of the shell; the one that make test-openssl35 has got, by its own libraries
    sys=build/trixie
    [ -n "$BENCH_NGINX" ] && exec taskset -c 0 "$BENCH_NGINX" "$@"
    nginx -V 2>&1 | grep -q http_v3 && exec taskset -c 0 nginx "$@"
    exec taskset -c 0 $sys/lib64/ld-linux-x86-64.so.2 --library-path $sys/lib/x86_64-linux-gnu:$sys/usr/lib/x86_64-linux-gnu \
        $sys/usr/sbin/nginx "$@"
}
h3_up() {
    h3_dir=$(cd "$dir" && pwd)/h3
    mkdir -p "$h3_dir" && printf 'Hello, World!' > "$h3_dir/small"
    truncate -s 64M "$h3_dir/big"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -keyout "$h3_dir/key.pem" \
        -out "$h3_dir/cert.pem" -subj /CN=localhost 2> /dev/null
    echo "daemon off; master_process off; pid $h3_dir/nginx.pid; error_log stderr; user root;
events { worker_connections 8192; }
http { access_log off; keepalive_requests 100000000; open_file_cache max=9; server { listen 127.0.0.1:4434 quic;
quic_gso on; http3_max_concurrent_streams 1000; ssl_certificate $h3_dir/cert.pem; ssl_certificate_key $h3_dir/key.pem;
root $h3_dir; } }" > "$h3_dir/nginx.conf"
    taskset -c 0 gtlsserver -q -d "$h3_dir" 127.0.0.1 4433 "$h3_dir/key.pem" "$h3_dir/cert.pem" > /dev/null 2>> "$log" &
    gtls=$!
    h3_nginx -c "$h3_dir/nginx.conf" > /dev/null 2>> "$log" &
    nginx=$!
    sleep 1
    if kill -0 $gtls 2> /dev/null; then h3_others="gtlsserver:$gtls:4433"; else say "SKIP h3 beside ngtcp2's: no gtlsserver (package ngtcp2-server)"; fi
    if kill -0 $nginx 2> /dev/null; then h3_others="$h3_others nginx:$nginx:4434"; else say "SKIP h3 beside nginx: none with HTTP/3 (BENCH_NGINX=, or make test-openssl35 before)"; fi
}
if wanted h3; then
    say "## HTTP/3"
    libs='-lssl -lcrypto'
    if ! echo '#include <openssl/ssl.h>' | $cc -E -x c - > /dev/null 2>&1; then
        say "SKIP h3: no openssl/ssl.h (make deps)"
    elif build h3_vt; then
        if command -v openssl > /dev/null; then h3_up; else say "SKIP h3 beside others: no openssl"; fi
        h3_beside $pairs small -n=$((count * 2 / pairs)) -c=10 -m=32
        h3_beside 5 big -n=2
        h3_beside $pairs new -n=$((count / 100 / pairs))
        run 120 "$dir/h3_vt" -mode=idle -n=2000
        run 120 "$dir/h3_vt" -mode=fair -n=$count -c=100
        for other in $h3_others; do
            at=${other#*:}
            kill "${at%:*}" && wait "${at%:*}" 2> /dev/null
        done
    fi
    libs=
fi

# Instructions are the same on every run, whatever else the machine does: two lengths, and the difference.
instructions() {
    for n in $2 $3; do
        timeout 120 valgrind --tool=callgrind --callgrind-out-file=/dev/null "$dir/bench_rt" -only="$1" -n="$n" -reps=1 \
            2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
    done | { read -r x && read -r y && say "= instructions_$1 $(((y - x) / ($3 - $2))) instructions - -"; } ||
        say "SKIP instructions_$1: callgrind gave no count"
}

if wanted instructions && build bench_rt; then
    say "## instructions an operation (callgrind)"
    if command -v valgrind > /dev/null; then
        for m in $("$dir/bench_rt" -list | grep -v live); do instructions "$m" 20000 120000; done
    else
        say "SKIP instructions: valgrind is not installed"
    fi
fi

verdicts
