# A real server for the parts of clients; to be sourced. Needs BINARIES and `part` (for messages).
#
# Only the model's answers come from scripts: `scripted/demo` (the default) and `scripted/slow`, which waits to be cancelled.
# Gives what tests/server.sh does, `repository` (a local one), and:
#   start_scissors          a proxy before the server that cuts the first connections; sets `cut_address`
#   cut_count               how many it has cut
#   run_through_cuts NAME COMMAND…

# shellcheck shell=sh disable=SC2154
# shellcheck source=tests/server.sh
. tests/server.sh
scissors=

sh demo/make-repository.sh "$work/repositories/greeter.git" "$work/seed"
repository=$work/repositories/greeter.git
mkdir "$work/scripts"
cp demo/scripts/demo.toml tests/sdk/scripts/*.toml "$work/scripts/"
serve server --allow-local "$work/repositories" --scripts "$work/scripts" --model scripted/demo --rate-limit-requests 1000

start_scissors() {
    [ -z "$scissors" ] || kill "$scissors" 2>/dev/null || true
    rm -f "$work/scissors.ready"
    python3 tests/sdk/scissors.py "$address" "$work/scissors.ready" "$work/scissors.count" &
    scissors=$!
    processes="$processes $scissors"
    await_file "$work/scissors.ready" "$scissors"
    cut_address=$(cat "$work/scissors.ready")
}
cut_count() { cat "$work/scissors.count"; }

# Runs an example that prints each durable event as a line with its sequence first, through a proxy that cuts its connections,
# and checks the numbers: 1, 2, 3… up to the last, and the change in the end.
run_through_cuts() { # NAME COMMAND…
    name=$1
    shift
    start_scissors
    BACKSPACE_SERVER=http://$cut_address "$@" "$repository" "Make the greeting polite" >"$work/said" 2>"$work/progress" || {
        cat "$work/said" "$work/progress" >&2
        fail "the example of $name failed"
    }
    awk '/^[0-9]+ / { if ($1 != ++expected) exit 1 } END { if (expected < 30) exit 1 }' "$work/said" || {
        cat "$work/said" "$work/progress" >&2
        fail "the events of $name are not 1, 2, 3…"
    }
    last=$(grep -E '^[0-9]+ ' "$work/said" | tail -n 1)
    case $last in *inished* | *FINISHED*) ;; *) fail "the last event of $name is '$last'" ;; esac
    grep 'SUCCEEDED' "$work/said" >/dev/null || { cat "$work/said" >&2; fail "the task of $name did not succeed"; }
    grep '^+echo "Good day' "$work/said" >/dev/null || { cat "$work/said" >&2; fail "$name did not read the patch"; }
    [ "$(cut_count)" -ge 3 ] || fail "only $(cut_count) connections of $name were cut"
    echo "$name: ${last%% *} events, none lost and none twice, over $(cut_count) cuts"
}
