#!/bin/sh
# variants: default
# The test driver's verdicts, on programs that end in every way.
here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
passed=0 failed=0

program() { printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod +x "$1"; }
program good 'echo "3 passed, 0 failed, 0 skipped"'
program bad 'echo "FAIL x a.c:1 y"; echo "2 passed, 1 failed, 0 skipped"; exit 1'
program skips 'echo "SKIP x: no z"; echo "1 passed, 0 failed, 1 skipped"'
program only_skips 'echo "SKIP x: no z"; echo "0 passed, 0 failed, 1 skipped"'
program silent 'exit 0'
program crash 'echo "1 passed, 0 failed, 0 skipped" >&2; kill -SEGV $$'
program cut 'echo "SKIP x: lost"; exit 1'
program late 'echo "2 passed, 0 failed, 0 skipped"; exit 23'
program empty 'echo "0 passed, 0 failed, 0 skipped"'
program hang 'echo started; sleep 30'
program lies 'echo "oh 1 passed, 0 failed, 0 skipped"'
printf 'echo "1 passed, 0 failed, 0 skipped"\n' > script.sh

try() { # name, exit status, what the output must end with, items...
    name=$1 want_status=$2 want=$3
    shift 3
    VT_BUILD=$dir/build VT_RUN='' VT_NOTE='' VT_BIN_TIMEOUT=1 sh "$here/run.sh" run "$@" > out 2>&1
    status=$?
    if [ $status -eq "$want_status" ] && [ "$(tail -n 1 out)" = "$want" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name: exit status $status, wanted $want_status and: $want"
        cat out
    fi
}
try good 0 '3 passed, 0 failed' ./good
try sum 0 '5 passed, 0 failed, 1 skipped' ./good ./skips ./script.sh
try skips_alone 1 '0 passed, 0 failed, 1 skipped' ./only_skips
try skips_beside 0 '3 passed, 0 failed, 1 skipped' ./only_skips ./good
try bad 1 '5 passed, 1 failed' ./bad ./good
try silent 1 '3 passed, 1 failed' ./silent ./good
try crash 1 '4 passed, 1 failed' ./crash ./good
try cut 1 '0 passed, 1 failed' ./cut
try late 1 '2 passed, 1 failed' ./late
try empty 1 '3 passed, 1 failed' ./empty ./good
try hang 1 '3 passed, 1 failed' ./hang ./good
try lies 1 '0 passed, 1 failed' ./lies
try missing 1 '3 passed, 1 failed' ./missing ./good
try built 0 '4 passed, 0 failed' built:./good ./good
try not_built 1 '3 passed, 1 failed' built:./missing ./good
try nothing 1 '0 passed, 0 failed'

printf 'SKIP skips.x: no z\n' > want
VT_BUILD=$dir/build sh "$here/run.sh" run ./skips ./cut 2> out | grep '^SKIP' > got
if cmp -s want got; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAIL skip_list: $(cat got)"; fi

mkdir src
echo 'int a;' > src/plain.c
printf '/* variants: default asan */\nint a;\n' > src/limited.c
printf '/* why */\n/* tsan */\nint a;\n' > src/crosses.c
printf '/* variants: poll tsan */\nint a;\n' > src/poll_only.c
printf '#!/bin/sh\n# variants: default\n' > src/script.sh
select_is() { # variant, wanted names
    got=$(sh "$here/run.sh" select "$1" src/*.c src/*.sh src/gone.c | sed 's,src/,,; s,\..*,,' | tr '\n' ' ')
    if [ "$got" = "$2 " ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL select $1: $got"
    fi
}
select_is default 'crosses limited plain script'
select_is asan 'crosses limited plain'
select_is poll 'crosses plain poll_only'
select_is tsan 'crosses poll_only'
select_is clang 'crosses plain'

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
