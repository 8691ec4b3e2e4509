# What the scripts of benchmarks share; read by them, not run. They set dir (where things are built) and log.
cc=${CC:-cc}
failed=0
mkdir -p "$dir" && : > "$log" || exit 1
# the hard limit of descriptors is raised where that is allowed: 11,000 connections on each side
ulimit -n 32768 2> /dev/null || ulimit -n "$(ulimit -Hn)"

say() { printf '%s\n' "$*" | tee -a "$log"; }

# run SECONDS COMMAND...: bounded, kept in the log and in $dir/out; a failure is counted and does not stop the rest
run() {
    limit=$1
    shift
    timeout "$limit" "$@" > "$dir/out" 2>&1
    status=$?
    tee -a "$log" < "$dir/out"
    [ $status -eq 0 ] && return 0
    say "FAILED ($status): $*"
    failed=$((failed + 1))
    return 1
}

# build NAME...: tests/bench/NAME.c to $dir/NAME, with $libs, when that is older than its sources
build() {
    for name in "$@"; do
        src=tests/bench/$name.c
        [ -x "$dir/$name" ] && [ -z "$(find "$src" vthttp.h tests/*.h tests/bench/*.h -newer "$dir/$name")" ] && continue
        $cc -std=gnu11 -O2 -pthread "$src" -o "$dir/$name" ${libs:-} 2>> "$log" && continue
        say "FAILED: $src does not compile"
        failed=$((failed + 1))
        return 1
    done
}

# start COMMAND...: a server of ours; sets pid and port
start() {
    : > "$dir/port" # it is read before the shell in the background opens it
    "$@" > "$dir/port" 2>> "$log" &
    pid=$!
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$(sed -n 's/^port //p' "$dir/port")
        [ -n "$port" ] && return 0
        sleep 0.2
    done
    say "FAILED: $1 does not say its port"
    failed=$((failed + 1))
    kill -9 $pid 2> /dev/null
    return 1
}

machine() { say "# $(uname -sm), $(nproc) CPUs, $($cc --version | head -n 1)"; }

# The lines "= measure value unit goal verdict" of the log as one table, and what was skipped; 1 when something failed.
verdicts() {
    say ""
    grep -h '^= ' "$log" | awk 'BEGIN { printf "%-28s %14s %-13s %10s  %s\n", "measure", "value", "unit", "goal", "" }
        { printf "%-28s %14s %-13s %10s  %s\n", $2, $3, $4, $5, $6 == "-" ? "" : $6 }'
    grep -h '^SKIP' "$log"
    [ $failed -eq 0 ] && return 0
    echo "$failed benchmarks failed, see $log"
    return 1
}
