# Servers of other people for the scripts that test against them; read by those, not run. Everything is in $tmp; what they have
# started ends with servers_stop. A start returns 77 when the server is not installed, and $why says what is missing.
redis= pgdata= as= why=
pg_inc=-I$(pg_config --includedir 2> /dev/null || echo /usr/include/postgresql)

header() { # header, flag: whether the compiler finds it
    printf '#include <%s>\n' "$1" | ${CC:-cc} ${2:-} -E -x c - > /dev/null 2>&1
}
as_user() { # runs a command as somebody who is not root
    if [ -n "$as" ]; then runuser -u "$as" -- "$@"; else "$@"; fi
}

# On the Unix socket $tmp/redis.
redis_start() {
    why="no redis-server (make deps)"
    command -v redis-server > /dev/null || return 77
    redis-server --port 0 --unixsocket "$tmp/redis" --save '' --dir "$tmp" > "$tmp/redis.log" 2>&1 &
    redis=$!
    tries=0
    while [ ! -S "$tmp/redis" ] && [ $tries -lt 100 ]; do sleep 0.1 && tries=$((tries + 1)); done
    [ -S "$tmp/redis" ]
}

# In $tmp/pg, its Unix socket as well; user vt, database postgres. It does not run as root.
postgres_start() {
    pg=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | tail -n 1)
    command -v initdb > /dev/null && pg=$(dirname "$(command -v initdb)")
    why="no initdb (make deps)"
    [ -n "$pg" ] && [ -x "$pg/initdb" ] || return 77
    if [ "$(id -u)" = 0 ]; then
        why="root, and no runuser"
        command -v runuser > /dev/null || return 77
        for as in postgres nobody; do id "$as" > /dev/null 2>&1 && break; done
    fi
    chmod 755 "$tmp" && mkdir "$tmp/pg" || return 1
    [ -z "$as" ] || chown "$as" "$tmp/pg"
    pgdata=$tmp/pg/data
    as_user "$pg/initdb" -D "$pgdata" -A trust -U vt --no-sync &&
        as_user "$pg/pg_ctl" -D "$pgdata" -w -t 60 -l "$tmp/pg/log" \
            -o "-c listen_addresses='' -c unix_socket_directories='$tmp/pg' -c max_connections=120 -c fsync=off" start
}

servers_stop() {
    [ -n "$redis" ] && kill "$redis" 2> /dev/null
    [ -n "$pgdata" ] && as_user "$pg/pg_ctl" -D "$pgdata" -m immediate stop > /dev/null 2>&1
    redis= pgdata=
}
