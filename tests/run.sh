#!/bin/sh
# Runs test programs, VT_JOBS at a time, and sums their counts.
#   tests/run.sh select VARIANT FILE...   prints those of the sources that run in a variant
#   tests/run.sh run ITEM...              runs the items, lists what was skipped, ends with the sum
#   tests/run.sh fuzz SECONDS TARGET...   runs libFuzzer programs, a fixed time each
# An ITEM is a program, a script (*.sh), fuzz:PROGRAM (the replay of a corpus) or built:PROGRAM (exists or has failed).
# Each program's and script's last line is "N passed, N failed, N skipped". Environment: VT_RUN (a program that runs the
# programs), VT_BUILD (where logs go), VT_BIN_TIMEOUT (seconds for one item), VT_JOBS (items at a time, else one more
# than CPUs, since many wait more than they compute), VT_NOTE (a line shown before the sum).
set -u
mode=${1:-}
[ $# -gt 0 ] && shift
logs=${VT_BUILD:-build/default}/log
limit=${VT_BIN_TIMEOUT:-480}
passed=0 failed=0 skipped=0 skips= fails= nl='
'

# A source may name its variants: /* variants: default asan */ (a script: # variants: default); those that cross workers
# say so by /* tsan */ and are, with what names tsan itself, the tsan set; /* valgrind */ likewise. Both tools cost too
# much to run everything; and where a variant changes one thing the Makefile names what that thing is under.
select_sources() {
    variant=$1
    shift
    for f; do
        [ -f "$f" ] || continue
        line=$(sed -n -E '1,40s,^(/\*|#) *variants: *([a-z0-9 ]*[a-z0-9]).*,\2,p' "$f" | head -n 1)
        case " $line " in
        *" $variant "*) echo "$f" && continue ;;
        esac
        case $variant in
        tsan | valgrind | ucontext | riscv64 | i386 | openssl35*) grep -q -E "^/\* $variant \*/" "$f" && echo "$f" ;;
        *) [ -n "$line" ] || echo "$f" ;;
        esac
    done
}

add_fail() {
    failed=$((failed + $1))
    fails="${fails}FAIL $2${nl}"
}

# name seconds status log: adds what a finished item says about itself, or says in its place that it died.
judge() {
    sum=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$4" | tail -n 1)
    p=0 f=0 s=0 why=
    if [ -n "$sum" ]; then
        p=${sum%% *}
        f=${sum#*passed, } f=${f%% *}
        case $sum in *skipped) s=${sum#*failed, } s=${s%% *} ;; esac
    fi
    case $3 in
    124 | 137) why="no end after $limit s" ;;
    *)
        if [ -z "$sum" ]; then
            why="exit status $3 and no final line"
        elif [ "$3" -ne 0 ] && [ "$f" -eq 0 ]; then
            why="exit status $3 in spite of: $sum"
        elif [ $((p + f + s)) -eq 0 ]; then
            why="ran no test"
        fi
        ;;
    esac
    if [ -n "$why" ]; then
        [ "$f" -gt 0 ] && failed=$((failed + f))
        add_fail 1 "$1: $why"
    elif [ "$f" -gt 0 ]; then
        add_fail "$f" "$1: $sum"
    fi
    passed=$((passed + p)) skipped=$((skipped + s))
    [ -n "$sum" ] && skips="$skips$(sed -n "s/^SKIP /SKIP $1./p" "$4")${nl}"
    if [ -n "$why" ] || [ "$f" -gt 0 ]; then
        echo "FAIL $1: ${why:-$sum} ($2 s); the end of $4:"
        grep -a -E '^(FAIL|seed) ' "$4" | head -n 30
        tail -n 40 "$4" | sed 's/^/    /'
    else
        echo "ok   $1: $sum ($2 s)"
    fi
}

# The program of an item, and under which name its log is found.
name_item() {
    prog=${1#*:} name=${prog##*/}
    name=${name%.sh} log=$logs/${name%.sh}.log
}

# Runs one item that is a program, then says so; its status and its seconds go beside its log.
start_item() {
    item=$1
    name_item "$item"
    case $item in
    fuzz:*)
        set -- "-mutate=${VT_MUTATE:-20}" "-artifact=${prog%/*}/crash_${name#replay_}"
        for dir in "fuzz/corpus/${name#replay_}" "fuzz/regress/${name#replay_}"; do
            [ -d "$dir" ] && set -- "$@" "$dir"
        done
        ;;
    *) set -- ;;
    esac
    start=$(date +%s) run=${VT_RUN:-}
    case $prog in *.sh) run=sh ;; esac
    timeout -k 5 "$limit" $run "$prog" "$@" > "$log" 2>&1 < /dev/null
    echo "$? $(($(date +%s) - start))" > "$log.end"
    echo "$item"
}

# Judges an item that has ended, or will never.
end_item() {
    name_item "$1"
    status=137 seconds=0
    [ -s "$log.end" ] && read -r status seconds < "$log.end"
    judge "$name" "$seconds" "$status" "$log"
}

# Says whether there is an item's program; a built: item is done with that.
is_there() {
    name_item "$1"
    rm -f "$log" "$log.end"
    case $1 in
    built:*)
        if [ -x "$prog" ]; then passed=$((passed + 1)); else add_fail 1 "$prog is not built"; fi
        return 1
        ;;
    esac
    [ -f "$prog" ] && return
    add_fail 1 "$name is not built"
    echo "FAIL $name: not built"
    return 1
}

run_items() {
    : > "$logs/items"
    for item; do
        if is_there "$item"; then echo "$item" >> "$logs/items"; fi
    done
    # Not in the background: that would have them ignore SIGINT.
    xargs -P "${VT_JOBS:-$(($(nproc 2> /dev/null || echo 2) + 1))}" -n 1 sh "$0" start < "$logs/items" | {
        while read -r item; do end_item "$item"; done
        while read -r item; do
            name_item "$item"
            [ -s "$log.end" ] || end_item "$item"
        done < "$logs/items"
        finish
    }
}

run_fuzz() {
    name=${1##*/} dir=${1%/*}
    x=${name#fuzz_}
    mkdir -p "$dir/found_$x"
    set -- "$1" "-max_total_time=$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=16384 -print_final_stats=1 \
        "-artifact_prefix=$dir/${x}_"
    [ -f "fuzz/$x.dict" ] && set -- "$@" "-dict=fuzz/$x.dict"
    set -- "$@" "$dir/found_$x"
    for d in "fuzz/corpus/$x" "fuzz/regress/$x"; do
        [ -d "$d" ] && set -- "$@" "$d"
    done
    if timeout -k 5 $((seconds + 120)) "$@" > "$logs/$name.log" 2>&1 < /dev/null; then
        passed=$((passed + 1))
        echo "ok   $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$logs/$name.log") inputs in $seconds s"
    else
        add_fail 1 "$name: $(grep -a -m 1 -E 'ERROR|SUMMARY|runtime error' "$logs/$name.log")"
        echo "FAIL $name; the end of $logs/$name.log:"
        tail -n 60 "$logs/$name.log" | sed 's/^/    /'
    fi
}

finish() {
    [ -n "${VT_NOTE:-}" ] && echo "$VT_NOTE"
    printf '%s' "$skips" | sed '/^$/d'
    printf '%s' "$fails"
    if [ "$skipped" -gt 0 ]; then
        echo "$passed passed, $failed failed, $skipped skipped"
    else
        echo "$passed passed, $failed failed"
    fi
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}

case $mode in
select) select_sources "$@" ;;
run)
    mkdir -p "$logs"
    run_items "$@"
    ;;
start) [ $# -eq 0 ] || start_item "$1" ;; # xargs calls once for no item
fuzz)
    seconds=$1
    shift
    mkdir -p "$logs"
    for target; do run_fuzz "$target"; done
    finish
    ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
