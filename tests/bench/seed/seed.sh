#!/bin/sh
# The seed benchmark: 100 clients in a closed loop against routes that sleep, block and compute; beside it a thread-pool
# server and a bare epoll timer server, in turn. Ends with a table of goals, and writes DIR/seed/: a CSV for each run, results.psv,
# results.md, chart.svg and chart.html.
#   tests/bench/seed/seed.sh [DIR]     (make bench-seed; default build/bench)
# BENCH_QUICK=1   runs of a second or two, fewer clients: to see that it works
# BENCH_README=1  puts the figures between the marks in README.md, and the chart beside this script; not with BENCH_QUICK
# Servers and load share the CPUs. wrk, where it is installed, is the second generator. Exit status 1 when something failed (a
# missed goal is no failure).
cd "$(dirname "$0")/../../.." || exit 1
dir=${1:-build/bench}
log=$dir/seed.log
. tests/bench/lib.sh
out=$dir/seed
pids=
trap 'kill $pids 2> /dev/null; wait 2> /dev/null' EXIT
trap 'exit 1' INT TERM HUP

seconds=10 warm=1000 few=100 more=1000 many=5000
[ -n "$BENCH_QUICK" ] && seconds=1 warm=200 few=20 more= many=200
mkdir -p "$out" && rm -f "$out"/*.* "$out/figures" "$out/panels" || exit 1
build seed/server seed/control seed/clients seed/chart || exit 1
cpus=$(nproc)
pool=$((8 * cpus))
machine

rounds=$("$dir/seed/server" -calibrate | sed -n 's/^rounds //p')
[ -n "$rounds" ] || { say "FAILED: no calibration" && exit 1; }
say "# do_work: $rounds rounds a millisecond; the baseline's pool: $pool threads"
serve() { # name, command...: sets NAME_port and NAME_pid
    name=$1
    shift
    start "$@" || exit 1
    pids="$pids $pid"
    eval "${name}_port=$port ${name}_pid=$pid"
}
serve control "$dir/seed/control"
serve vt "$dir/seed/server" -rounds="$rounds"
serve pool "$dir/seed/server" -rounds="$rounds" -pool=$pool

echo "run|clients|responses/s|p50 ms|p90 ms|p99 ms|max ms|server CPU us each" > "$out/results.psv"
# note NAME LABEL CLIENTS WORD: the line WORD of the last run, for the table and for the goals
note() {
    sed -n "s/^$4 //p" "$dir/out" | tr '= ' '  ' | awk -v name="$1" -v label="$2" -v clients="$3" -v file="$out/results.psv" '
        { for (i = 1; i < NF; i += 2) v[$i] = $(i + 1)
          cpu = v["cpu_us"] + 0 ? v["cpu_us"] : ""
          printf "%s|%s|%.1f|%.2f|%.2f|%.2f|%.2f|%s\n", label, clients, v["rps"], v["p50_us"] / 1e3, v["p90_us"] / 1e3,
              v["p99_us"] / 1e3, v["max_us"] / 1e3, cpu >> file
          print name, v["rps"], v["p50_us"] / 1e3, v["p99_us"] / 1e3, v["whole"] + 0 }' >> "$out/figures"
}
# load NAME SERVER TARGET CLIENTS LABEL [option...]
load() {
    name=$1 clients=$4 label=$5
    eval "port=\$$2_port pid=\$$2_pid target=$3"
    shift 5
    say "## $label, $clients clients"
    run $((seconds + warm / 1000 + 40)) "$dir/seed/clients" -port="$port" -path="$target" -c="$clients" -s=$seconds \
        -warm_ms=$warm -csv="$out/$name.csv" -pid="$pid" "$@" && note "$name" "$label" "$clients" result
}
# second NAME SERVER TARGET: by wrk, whose figures are of the whole time
second() {
    eval "port=\$$2_port"
    say "## $3 by wrk, $few clients"
    run $((seconds + 20)) wrk -t1 -c"$few" -d${seconds}s --timeout 10 --latency "http://127.0.0.1:$port$3" || return
    awk 'function us(t) { return t ~ /us$/ ? t + 0 : t ~ /ms$/ ? t * 1e3 : t * 1e6 }
        $1 == "50%" || $1 == "90%" || $1 == "99%" { p[$1] = us($2) }
        $1 == "Latency" && $2 ~ /^[0-9]/ { max = us($4) }
        $1 == "Requests/sec:" { rps = $2 }
        /Non-2xx|Socket errors/ { bad = 1 }
        END { if (bad || !rps) exit 1
              print "result rps=" rps " p50_us=" p["50%"] " p90_us=" p["90%"] " p99_us=" p["99%"] " max_us=" max }' \
        "$dir/out" > "$dir/wrk" && mv "$dir/wrk" "$dir/out" && note "$1" "$3, by wrk" "$few" result && return
    say "FAILED: wrk saw errors"
    failed=$((failed + 1))
}
work() {
    rate=$(timeout $((seconds + 20)) "$dir/seed/server" -work=$seconds -rounds="$rounds" | sed -n 's/^work //p')
    say "## the work of /ping_do_work without HTTP: ${rate:=0} a second"
    echo "work $rate 0 0 $rate" >> "$out/figures"
}

for clients in $few $more $many; do
    load control_$clients control / $clients "bare epoll timer"
    load suspending_$clients vt /ping_suspending $clients "/ping_suspending"
    load blocking_$clients vt /ping_blocking $clients "/ping_blocking"
done
if command -v wrk > /dev/null; then
    second wrk_control control /
    second wrk_suspending vt /ping_suspending
    second wrk_blocking vt /ping_blocking
else
    say "SKIP wrk as a second generator: it is not installed"
fi
load raw vt /ping_blocking_raw $few "/ping_blocking_raw"
work
for server in vt pool; do
    label=/ping_do_work
    [ $server = pool ] && label="/ping_do_work, thread pool"
    # the first requests find the CPUs idle: they are no sample of a busy server
    load work_$server $server /ping_do_work $few "$label" -warm_ms=$((warm * 3)) -probe=/ -probe_csv="$out/probe_$server.csv" &&
        note probe_$server "GET / meanwhile" 1 probe
done
load pool_suspending pool /ping_suspending $few "/ping_suspending, thread pool" -warm_ms=$((warm * 2))
load pool_blocking pool /ping_blocking $few "/ping_blocking, thread pool" -warm_ms=$((warm * 2))

# The goals. A figure that is missing fails its own line only.
awk -v few=$few -v many=$many -v cpus="$cpus" '
    { rps[$1] = $2; p50[$1] = $3; p99[$1] = $4; whole[$1] = $5 }
    function line(name, v, unit, goal, ok) { printf "= %s %.3f %s %s %s\n", name, v, unit, goal, goal == "-" ? "-" : ok ? "ok" : "MISS" }
    function most(name, v, unit, goal) { line(name, v, unit, "<=" goal, v <= goal) }
    function least(name, v, unit, goal) { line(name, v, unit, ">=" goal, v >= goal) }
    function pause(route,  a, c) {
        a = route "_" few; c = "control_" few
        if (!(a in rps) || !(c in rps)) return
        most(route "_p50_over_control", p50[a] - p50[c], "ms", 1)
        most(route "_p99_over_control", p99[a] - p99[c], "ms", 4)
        least(route "_of_ideal", rps[a] / (few * 10), "share", 0.985)
        if (("wrk_" route) in rps) least(route "_of_ideal_by_wrk", rps["wrk_" route] / (few * 10), "share", 0.985)
        a = route "_" many; c = "control_" many
        if (a in rps && rps[c] > 0) least(route "_" many "_of_control", rps[a] / rps[c], "share", 0.9)
    }
    END {
        pause("suspending"); pause("blocking")
        if ("work_vt" in rps) {
            least("do_work_of_cpus", whole["work_vt"] * 0.05 / cpus, "share", 0.97)
            if (rps["work"] > 0) line("do_work_of_bare_threads", whole["work_vt"] / rps["work"], "share", "-", 1)
            most("do_work_p99_over_p50", p99["work_vt"] / p50["work_vt"], "ratio", 1.5)
        }
        if ("probe_vt" in rps) { most("get_meanwhile_p50", p50["probe_vt"], "ms", 25); most("get_meanwhile_p99", p99["probe_vt"], "ms", 60) }
    }' "$out/figures" | tee -a "$log" > /dev/null

panels() { # TITLE NAME...: each that has been measured
    while [ $# -ge 2 ]; do
        [ -s "$out/$2.csv" ] && printf '%s\n' "$1|$out/$2.csv"
        shift 2
    done
}
panels "/ping_suspending: vthttp, $few clients" suspending_$few "/ping_suspending: pool of $pool threads" pool_suspending \
    "/ping_blocking: vthttp" blocking_$few "/ping_blocking: pool of $pool threads" pool_blocking \
    "/ping_do_work: vthttp" work_vt "/ping_do_work: pool of $pool threads" work_pool \
    "/ping_blocking_raw: vthttp" raw "bare epoll timer (control)" control_$few \
    "/ping_suspending: vthttp, $many clients" suspending_$many "bare epoll timer, $many clients" control_$many > "$out/panels"
(
    IFS='
'
    # shellcheck disable=SC2046
    run 120 "$dir/seed/chart" -out="$out/chart" -s=$seconds -results="$out/results.psv" \
        -title="The seed benchmark on $cpus CPUs" $(cat "$out/panels")
) || failed=$((failed + 1))

awk -F '|' '{ gsub(/\|/, " | "); print "| " $0 " |" }
    NR == 1 { r = "|---|"; for (i = 2; i <= NF; i++) r = r "---:|"; print r }' "$out/results.psv" > "$out/results.md"
verdicts > "$dir/out"
status=$?
cat "$dir/out"

if [ -n "$BENCH_README" ] && [ -z "$BENCH_QUICK" ] && [ $status -eq 0 ]; then
    cp "$out/chart.svg" tests/bench/seed/chart.svg
    {
        echo "$(uname -s) $(uname -r | cut -d - -f 1), $(uname -m), $cpus CPUs:"
        echo
        cat "$out/results.md"
        echo
        echo '| measure | | goal | |'
        echo '|---|---:|---:|---|'
        sed -n 's/^= //p' "$log" | awk '{ print "| " $1 " | " $2 " " $3 " | " ($4 == "-" ? "" : $4) " | " ($5 == "MISS" ? "missed" : "") " |" }'
        echo
        echo '![latency of each request, and responses per second](tests/bench/seed/chart.svg)'
    } > "$out/readme.md"
    awk -v part="$out/readme.md" '/^<!-- end of the seed benchmark -->/ { skip = 0 }
        !skip { print }
        /^<!-- the seed benchmark:/ { while ((getline line < part) > 0) print line; skip = 1 }' README.md > "$out/README.new" &&
        cat "$out/README.new" > README.md && say "README.md and tests/bench/seed/chart.svg are rewritten"
fi
exit $status
