#!/bin/sh
# One task from the wire to a pull request, with the real server, the real command, a real sandbox
# and a real git repository. Only the model's answers come from a script (demo/scripts/demo.toml).
#
# Usage: demo/run.sh FOLDER_OF_THE_BINARIES
set -eu
binaries=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)

say() { printf '\n\033[1m%s\033[0m\n' "$1"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n%s\n' "$1"; }
fail() { printf '\ndemo: FAILED: %s\n' "$1" >&2; [ -f "${work:-}/server.log" ] && tail -n 30 "$work/server.log" >&2; exit 1; }

# Ubuntu from 23.10 on lets only programs with a profile make user namespaces.
restricted=$(cat /proc/sys/kernel/apparmor_restrict_unprivileged_userns 2>/dev/null || echo 0)
if [ "$restricted" = 1 ] && [ "$(id -u)" != 0 ] && ! grep -qs "$binaries/backspace-supervisor" /etc/apparmor.d/backspace-supervisor; then
    sh "$here/../packaging/apparmor/install.sh" --ask "$binaries/backspace-supervisor" ||
        fail "this system restricts user namespaces; install the AppArmor profile: sudo sh packaging/apparmor/install.sh $binaries/backspace-supervisor"
fi

sandbox=${DEMO_SANDBOX:-local}
work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-demo.XXXXXX")
server=
cleanup() {
    status=$?
    trap - EXIT INT TERM
    [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT INT TERM

say "1. A small repository whose test fails"
sh "$here/make-repository.sh" "$work/repositories/greeter.git" "$work/seed"
git --git-dir "$work/repositories/greeter.git" log --oneline main

say "2. The server (SQLite, $sandbox sandbox, local forge, scripted model)"
"$binaries/backspace-server" --listen 127.0.0.1:0 --ready-file "$work/ready" --data-folder "$work/data" \
    --allow-local "$work/repositories" --scripts "$here/scripts" --model scripted/demo --sandbox "$sandbox" \
    2>"$work/server.log" </dev/null &
server=$!
waited=0
until [ -s "$work/ready" ]; do
    kill -0 "$server" 2>/dev/null || { server=; fail "the server did not start"; }
    waited=$((waited + 1)); [ "$waited" -le 600 ] || fail "the server was not ready after 60 s"
    sleep 0.1
done
address="http://$(cat "$work/ready")"
echo "serving gRPC at $address"

say "3. The task, over gRPC"
backspace() { "$binaries/backspace" --server "$address" "$@"; }
backspace run "$work/repositories/greeter.git" "Make the greeting polite: the test says how." ||
    fail "the task did not succeed"

say "4. What came of it"
task=$(backspace list --output json | sed -n 's/.*"name":"\(tasks\/[0-9a-f]*\)".*/\1/p' | head -n 1)
[ -n "$task" ] || fail "the task is not in the list"
backspace watch "$task" --output json >"$work/events"
backspace diff "$task" >"$work/diff"
cat "$work/diff"

has() { grep -E "$1" "$work/events" >/dev/null || fail "$2"; }
has '"verificationFinished".*"exitCode":1.*"baseline":true|"verificationFinished".*"baseline":true.*"exitCode":1' "no red test on the base was recorded"
has '"verificationFinished".*"verdict":"VERDICT_PASSED"' "no green test on the change was recorded"
has '"pullRequestOpened"' "no pull request was opened"
has '"taskFinished".*"STATE_SUCCEEDED"' "the task did not end as succeeded"
grep '^+.*Good day' "$work/diff" >/dev/null || fail "the diff does not have the change"
branch=$(git --git-dir "$work/repositories/greeter.git" for-each-ref --format '%(refname:short)' refs/heads/backspace 'refs/heads/backspace-*')
[ -n "$branch" ] || fail "no branch was pushed"
git --git-dir "$work/repositories/greeter.git" log --oneline "main..$branch"

say "The test was red on main and is green on $branch; the pull request is recorded."
cat <<'TEXT'

The model's answers in this demonstration were scripted (demo/scripts/demo.toml); all else was real.
For a real model, set a key and run it on a repository of yours:

    export ANTHROPIC_API_KEY=…        # or OPENAI_API_KEY=…
    backspace run . "Add input validation to all POST endpoints"
TEXT
