# A real server for the parts that drive it from outside; to be sourced. Needs BINARIES and `part` (for messages).
#
# Only the model's answers come from scripts: `scripted/demo` (the default) and `scripted/slow`, which waits to be cancelled.
# Gives `work` (a folder that goes at the end), `address` (host:port), `repository` (a local one), and:
#   start_scissors          a proxy before the server that cuts the first connections; sets `cut_address`
#   cut_count               how many it has cut
#   fail MESSAGE

# shellcheck shell=sh disable=SC2154
work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-$part.XXXXXX")
server='' scissors=''
stop() {
    for process in $scissors $server; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap 'status=$?; trap - EXIT; stop; exit $status' EXIT
fail() { echo "$part part: $1" >&2; tail -n 20 "$work/server.log" >&2; exit 1; }
# Waits until a file has something in it, as long as the process lives that is to write it.
await_file() { # FILE PROCESS
    waited=0
    until [ -s "$1" ]; do
        kill -0 "$2" 2>/dev/null || fail "the process that writes $1 did not start"
        waited=$((waited + 1)); [ "$waited" -le 600 ] || fail "$1 was not there after 60 s"
        sleep 0.1
    done
}

sh demo/make-repository.sh "$work/repositories/greeter.git" "$work/seed"
repository=$work/repositories/greeter.git
mkdir "$work/scripts"
cp demo/scripts/demo.toml tests/sdk/scripts/*.toml "$work/scripts/"
"$BINARIES/backspace-server" --listen 127.0.0.1:0 --ready-file "$work/ready" --data-folder "$work/data" --sandbox local \
    --allow-local "$work/repositories" --scripts "$work/scripts" --model scripted/demo --rate-limit-requests 1000 2>"$work/server.log" </dev/null &
server=$!
await_file "$work/ready" "$server"
address=$(cat "$work/ready")

start_scissors() {
    [ -z "$scissors" ] || kill "$scissors" 2>/dev/null || true
    rm -f "$work/scissors.ready"
    python3 tests/sdk/scissors.py "$address" "$work/scissors.ready" "$work/scissors.count" &
    scissors=$!
    await_file "$work/scissors.ready" "$scissors"
    cut_address=$(cat "$work/scissors.ready")
}
cut_count() { cat "$work/scissors.count"; }
