#!/bin/sh
# variants: default clang
# A debugger unwinds a parked virtual thread from the three words {sp, fp, pc} of its vt__ctx, down to its bottom frame.
set -u
cd "$(dirname "$0")/.." || exit 2
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
passed=0 failed=0 skipped=0

skip() {
    echo "SKIP $1: $2"
    skipped=$((skipped + 1))
}
finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}

cat > "$tmp/parked.c" << 'END'
#define VTHTTP_IMPLEMENTATION
#include "vthttp.h"
static vt__vth *volatile parked;
static volatile int sink;
__attribute__((noinline)) static int waits_at_the_top(int n) {
    parked = vt__sched_self();
    sink = vt_sleep_ms(60000);
    return n + sink;
}
__attribute__((noinline)) static int calls_in_the_middle(int n) {
    sink = waits_at_the_top(n + 1);
    return n + sink;
}
static int starts_at_the_bottom(void *arg) {
    (void)arg;
    vt_name_set("parked");
    sink = calls_in_the_middle(3);
    return sink;
}
__attribute__((noinline)) static void stop_here(void) { __asm__ volatile("" : : : "memory"); }
static int look(void *arg) {
    (void)arg;
    vt_task *t = vt_async(starts_at_the_bottom, NULL);
    vt_yield();
    stop_here();
    vt_cancel(t);
    return vt_await(t, NULL);
}
int main(void) { return vt_run(&(vt_cfg){.workers = 1}, look, NULL); }
END
case $(uname -m) in
x86_64) fp=rbp ;;
aarch64) fp=x29 ;;
*) skip all "not tried on $(uname -m)" && finish ;;
esac
cat > "$tmp/commands" << END
set confirm off
set pagination off
break stop_here
run
printf "HERE begins\\n"
backtrace
printf "NAME %s\\n", parked->name
set \$to_sp = parked->ctx.sp
set \$to_fp = parked->ctx.fp
set \$to_pc = parked->ctx.pc
set \$sp = \$to_sp
set \$$fp = \$to_fp
set \$pc = \$to_pc
printf "PARKED begins\\n"
backtrace
printf "PARKED ends\\n"
kill
END

command -v gdb > /dev/null || { skip all "gdb is missing (make deps)" && finish; }
for flags in -O0 -O2; do
    # shellcheck disable=SC2086
    ${VT_CC:-cc} -std=gnu11 -g $flags -I. -pthread -o "$tmp/parked" "$tmp/parked.c" || exit 2
    timeout 60 gdb -nx -batch -x "$tmp/commands" "$tmp/parked" > "$tmp/log" 2>&1 < /dev/null
    if ! grep -q 'HERE begins' "$tmp/log"; then
        skip "$flags" "gdb cannot run a program here: $(grep -m 1 -i -E 'ptrace|not permitted|error' "$tmp/log")"
        continue
    fi
    sed -n '/PARKED begins/,/PARKED ends/p' "$tmp/log" > "$tmp/frames"
    last=-1
    for name in waits_at_the_top calls_in_the_middle starts_at_the_bottom vt__sched_entry; do
        at=$(sed -n -E "s/^#([0-9]+) .*[ (]$name \\(.*/\\1/p" "$tmp/frames" | head -n 1)
        if [ -n "$at" ] && [ "$at" -gt "$last" ]; then
            passed=$((passed + 1)) last=$at
        else
            failed=$((failed + 1))
            echo "FAIL $flags: $name is not in its place"
        fi
    done
    frames=$(grep -c '^#' "$tmp/frames")
    if grep -q 'NAME parked' "$tmp/log" && [ "$frames" -le $((last + 2)) ] && ! grep -q -i 'corrupt' "$tmp/frames"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $flags: $frames frames, no clean end"
    fi
    [ "$failed" -eq 0 ] || cat "$tmp/log"
done
finish
