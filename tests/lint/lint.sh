#!/bin/sh
# make lint, or with "fast" what of it takes under 20 s. Each check is one passed or failed; the last line sums them.
set -u
fast=${1:-}
CLANG=${CLANG:-clang}
WARN=${WARN:--Wall -Wextra -Wconversion -Wshadow -Wundef}
passed=0 failed=0
out=$(mktemp) || exit 1
trap 'rm -f "$out" "$out".*' EXIT
jobs=$(nproc 2> /dev/null || echo 2)

check() { # name, command...
    name=$1
    shift
    if "$@" > "$out" 2>&1; then
        passed=$((passed + 1))
        echo "ok   $name$(sed -n 's/^[0-9]* lines, [0-9]* sections/: &/p' "$out")"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        head -n 80 "$out" | sed 's/^/    /'
    fi
}

want() { # program, package: there, or a failed check
    command -v "$1" > /dev/null && return 0
    failed=$((failed + 1))
    echo "FAIL $1 is missing: apt-get install $2 (make deps)"
    return 1
}

formatted() { # file
    sh tests/lint/format.sh -n "$1" > "$out.diff" && return 0
    echo "$(grep -c '^[<>]' "$out.diff") lines differ (tests/lint/format.sh $1 repairs it); the first:"
    head -n 24 "$out.diff"
    return 1
}

# The header by way of a file that includes it: as users compile it. Warnings that need the optimizer's analysis come
# only at -O2, so that is how the default build is checked.
header() { # compiler, flags...
    printf '#define VTHTTP_IMPLEMENTATION\n#include "vthttp.h"\nint vt_lint_not_empty;\n' |
        "$@" $WARN -Werror -pthread -I. -x c -c -o /dev/null -
}
pg_inc=-I$(pg_config --includedir 2> /dev/null || echo /usr/include/postgresql)
program() { # compiler, file
    "$1" -std=gnu11 $WARN -Werror -pthread $pg_inc -fsyntax-only "$2"
}
tls=
if echo '#include <openssl/ssl.h>' | gcc -E -x c - > /dev/null 2>&1; then tls=VTHTTP_TLS=1; fi
# Where a library is missing, an example of it cannot be checked: that is said, and is no failure.
lacks_library() { # file
    [ -z "$tls" ] && grep -q '^#define VTHTTP_TLS 1' "$1" && echo "SKIP $1: no openssl/ssl.h (make deps)" && return 0
    h=$(sed -n 's/^#include <\(libpq-fe\.h\|hiredis\/.*\)>/\1/p' "$1")
    [ -n "$h" ] && ! echo "#include <$h>" | gcc $pg_inc -E -x c - > /dev/null 2>&1 && echo "SKIP $1: no $h (make deps)"
}

finished() { # log: of what has run already
    cat "$1"
    status=$(cat "$1.status" 2> /dev/null)
    return "${status:-1}"
}
programs() { # compiler, files...: as many at a time as there are CPUs
    cc=$1 n=0
    shift
    for f; do
        n=$((n + 1))
        (
            program "$cc" "$f" > "$out.$n" 2>&1
            echo $? > "$out.$n.status"
        ) &
        [ $((n % jobs)) -ne 0 ] || wait
    done
    wait
    n=0
    for f; do
        n=$((n + 1))
        check "$cc warnings, $f" finished "$out.$n"
        rm -f "$out.$n" "$out.$n.status"
    done
}

for f in tests/*.sh tests/tools/*.sh tests/lint/*.sh tests/bench/*.sh tests/bench/*/*.sh; do
    [ -f "$f" ] && { sh -n "$f" || failed=$((failed + 1)); }
done
[ ! -f .ci/run ] || bash -n .ci/run || failed=$((failed + 1))

if want perl perl-base; then check 'section rules' perl tests/lint/check_layers.pl vthttp.h; fi
if [ -n "$fast" ]; then
    check 'gcc warnings' header gcc -std=gnu11 -fsyntax-only
    check 'clang-format vthttp.h' formatted vthttp.h
else
    check 'tests of the section rules' sh tests/lint/test_check_layers.sh
    for f in vthttp.h tests/*.[ch] tests/bench/*.[ch] tests/bench/*/*.[ch] examples/*.c fuzz/*.[ch]; do
        [ -f "$f" ] && check "clang-format $f" formatted "$f"
    done
    all=$WARN
    for cc in gcc "$CLANG"; do
        WARN=$all
        want "$cc" "$cc" || continue
        check "$cc -O2 warnings" header "$cc" -std=gnu11 -O2
        # Said once: for this one gcc reads the lines anew at each statement, for three quarters of its time.
        case $cc in gcc) WARN="$all -Wno-misleading-indentation" ;; esac
        check "$cc warnings, c11" header "$cc" -std=c11 -fsyntax-only
        for s in VTHTTP_POLL=1 VTHTTP_UCONTEXT=1 VTHTTP_HTTP=0 VTHTTP_SIM=1 VTHTTP_HOOKS=1 VTHTTP_H2=1 NDEBUG $tls; do
            check "$cc warnings, $s" header "$cc" -std=gnu11 -fsyntax-only "-D$s"
        done
        check "$cc warnings, VTHTTP_H3=1" header "$cc" -std=gnu11 -fsyntax-only -DVTHTTP_H3=1 "-D${tls:-VTHTTP_SIM=1}"
        # Those that `make test` builds with gcc, with these warnings (errors in .ci/run), are not looked at twice.
        set --
        case $cc in gcc) built= ;; *) built="tests/*.c examples/*.c fuzz/*.c" ;; esac
        for f in $built tests/bench/*.c tests/bench/*/*.c; do
            [ -f "$f" ] || continue
            lacks_library "$f" || set -- "$@" "$f"
        done
        programs "$cc" "$@"
    done
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
