# What the scripts with real clients share; read by them, not run. They set name.
passed=0 failed=0
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
