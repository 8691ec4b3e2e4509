#!/bin/sh
# Formats C files in place, by clang-format of version 14: tests/lint/format.sh FILE...; with -n first, says what it would
# change (a diff), and fails if there is anything. By pieces that begin at banners, since its time grows much faster than a
# file: the header's 37,000 lines take minutes at once, and seconds so. A piece ends where its last line does.
set -u
check=
[ "${1:-}" = -n ] && check=1 && shift
format=
for f in clang-format-14 clang-format; do
    if [ -z "$format" ] && "$f" --version 2> /dev/null | grep -q 'version 14\.'; then format=$f; fi
done
if [ -z "$format" ]; then
    echo "clang-format of version 14 is missing: apt-get install clang-format-14 (make deps)"
    exit 1
fi
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
status=0
for file; do
    rm -f "$tmp"/*
    awk -v to="$tmp/piece." '/^\/\*====/ && ++n % 8 == 0 { close(f) }
        { f = to sprintf("%03d", n / 8) }
        /^$/ { blank = blank "\n"; next }
        { printf "%s%s\n", blank, $0 > f; blank = "" }' "$file"
    for piece in "$tmp"/piece.*; do
        "$format" --assume-filename="${file%.h}.c" < "$piece" || exit 1
    done > "$tmp/out"
    cmp -s "$file" "$tmp/out" && continue
    if [ -n "$check" ]; then
        status=1
        diff "$file" "$tmp/out"
    else
        cat "$tmp/out" > "$file"
    fi
done
exit $status
