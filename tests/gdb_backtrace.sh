#!/bin/sh
# variants: default clang
# A debugger unwinds a parked virtual thread from the three words {sp, fp, pc} of its vt__ctx, down to its bottom frame;
# with VTHTTP_GDB it has commands that do so: vt list, vt bt N, vt bt all.
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
static volatile int sink, spins, stop;
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
__attribute__((noinline)) static int runs_elsewhere(int n) {
    while (!stop) spins++;
    return n + spins;
}
static int spins_on(void *arg) {
    if (vt_worker() == *(int *)arg) return 0;
    vt_name_set("spinner");
    sink = runs_elsewhere(2);
    return sink;
}
static int look(void *arg) {
    (void)arg;
    int here = vt_worker();
    vt_task *t = vt_async(starts_at_the_bottom, NULL);
    vt_name_set("looker");
    for (; !spins; vt_sleep_ms(1)) vt_go_any(spins_on, &here);
    stop_here();
    stop = 1;
    vt_cancel(t);
    return vt_await(t, NULL);
}
int main(void) { return vt_run(&(vt_cfg){.workers = 2, .stall_ms = VT_NONE}, look, NULL); }
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
printf "LIST begins\\n"
vt list
python n = [line.split()[0] for line in gdb.execute('vt list', to_string=True).splitlines() if ' parked waits ' in line]
printf "ONE begins\\n"
python gdb.execute('vt bt ' + n[0])
printf "ALL begins\\n"
vt bt all
printf "ALL ends\\n"
python
for wrong in ['bt 99', 'bt x', '', 'list 3']:
    try: gdb.execute('vt ' + wrong)
    except gdb.error as e: print('WRONG', e)
end
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
# in LOG FROM TO NAME...: these functions are frames, in this order, between two marks.
in_order() {
    log=$1 from=$2 to=$3 last=-1
    shift 3
    sed -n "/$from/,/$to/p" "$log" > "$tmp/frames"
    for name; do
        at=$(sed -n -E "s/^#([0-9]+) .*[ (]$name( .*|\$)/\\1/p" "$tmp/frames" | head -n 1)
        if [ -n "$at" ] && [ "$at" -gt "$last" ]; then
            passed=$((passed + 1)) last=$at
        else
            failed=$((failed + 1))
            echo "FAIL $flags: $name is not in its place behind $from"
        fi
    done
}
# says LOG PATTERN
says() {
    if grep -q -E "$2" "$1"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $flags: no line '$2'"
    fi
}
stack='waits_at_the_top calls_in_the_middle starts_at_the_bottom vt__sched_entry'
python=true
gdb -nx -batch -ex 'python print(1)' > /dev/null 2>&1 || python=false
$python || skip commands 'gdb has no Python'
$python || sed -i -e '/^vt /d' -e '/^python/,/^end/d' "$tmp/commands"
for flags in -O0 -O2 '-O2 -fomit-frame-pointer'; do
    # shellcheck disable=SC2086
    ${VT_CC:-cc} -std=gnu11 -g $flags -DVTHTTP_STATIC=1 -DVTHTTP_GDB=1 -I. -pthread -o "$tmp/parked" "$tmp/parked.c" || exit 2
    timeout 60 gdb -nx -batch -iex "add-auto-load-safe-path $tmp" -x "$tmp/commands" "$tmp/parked" > "$tmp/log" 2>&1 < /dev/null
    if ! grep -q 'HERE begins' "$tmp/log"; then
        skip "$flags" "gdb cannot run a program here: $(grep -m 1 -i -E 'ptrace|not permitted|error' "$tmp/log")"
        continue
    fi
    # shellcheck disable=SC2086
    in_order "$tmp/log" 'PARKED begins' 'PARKED ends' $stack
    frames=$(grep -c '^#' "$tmp/frames")
    if grep -q 'NAME parked' "$tmp/log" && [ "$frames" -le $((last + 2)) ] && ! grep -q -i 'corrupt' "$tmp/frames"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $flags: $frames frames, no clean end"
    fi
    if $python; then
        says "$tmp/log" '^[0-9]+ worker 0 0x[0-9a-f]+ parked waits in vt__sched_sleep_abort \(.*parked.c:'
        says "$tmp/log" '^[0-9]+ worker 1 0x[0-9a-f]+ spinner running \('
        # shellcheck disable=SC2086
        in_order "$tmp/log" 'ONE begins' 'ALL begins' $stack
        # shellcheck disable=SC2086
        in_order "$tmp/log" 'ALL begins' 'ALL ends' stop_here look
        sed -n '/ALL begins/,/ALL ends/p' "$tmp/log" > "$tmp/all"
        # shellcheck disable=SC2086
        in_order "$tmp/all" ' parked waits ' '^[0-9]+ worker' $stack
        in_order "$tmp/all" ' spinner running ' 'ALL ends' runs_elsewhere spins_on vt__sched_entry
        in_order "$tmp/log" 'HERE begins' 'NAME' stop_here look # as it was
        says "$tmp/log" '^WRONG no virtual thread 99'
        [ "$(grep -c '^WRONG vt list | vt bt N | vt bt all' "$tmp/log")" -eq 3 ] || says "$tmp/log" 'three that are told how'
    fi
    [ "$failed" -eq 0 ] || cat "$tmp/log"
done
finish
