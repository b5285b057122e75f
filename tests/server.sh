# Real servers for the parts that drive them from outside; to be sourced. Needs BINARIES and `part` (for messages).
#
# Gives `work`, a folder that goes at the end with all that was started, and:
#   serve NAME FLAGS…         starts a server with the `local` sandbox; sets `server` (process) and `address` (host:port),
#                             and writes $work/NAME.log
#   await_file FILE PROCESS   waits until a file has something in it, as long as the process lives that is to write it
#   fail MESSAGE
# What else is to be ended goes into `processes`.

# shellcheck shell=sh disable=SC2154
work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-$part.XXXXXX")
processes=
stop() {
    for process in $processes; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap 'status=$?; trap - EXIT; stop; exit $status' EXIT
fail() { echo "$part part: $1" >&2; tail -n 20 "$work"/*.log >&2 2>/dev/null || true; exit 1; }
await_file() { # FILE PROCESS
    waited=0
    until [ -s "$1" ]; do
        kill -0 "$2" 2>/dev/null || fail "the process that writes $1 did not start"
        waited=$((waited + 1)); [ "$waited" -le 600 ] || fail "$1 was not there after 60 s"
        sleep 0.1
    done
}
serve() { # NAME FLAGS…
    name=$1
    shift
    "$BINARIES/backspace-server" --listen 127.0.0.1:0 --ready-file "$work/$name.ready" --data-folder "$work/$name" \
        --sandbox local "$@" 2>"$work/$name.log" </dev/null &
    server=$!
    processes="$processes $server"
    await_file "$work/$name.ready" "$server"
    address=$(cat "$work/$name.ready")
}
