#!/bin/sh
# Part: Contract by grpcurl: reflection, health, a task, and its stream resumed
set -eu
if [ "${1:-}" = --needs ]; then
    command -v grpcurl >/dev/null 2>&1 || { echo "grpcurl is not installed: go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest"; exit 77; }
    exit 0
fi
part=grpcurl
# shellcheck source=tests/server.sh
. tests/server.sh
sh demo/make-repository.sh "$work/repositories/greeter.git" "$work/seed"
serve server --allow-local "$work/repositories" --scripts demo/scripts --model scripted/demo
call() { grpcurl -plaintext -max-time 120 "$@"; }

call "$address" list | grep -x backspace.v1.AgentService >/dev/null || fail "the service is not listed"
call "$address" describe backspace.v1.AgentService | grep 'rpc RunTask' >/dev/null || fail "RunTask is not described"
call "$address" grpc.health.v1.Health/Check | grep '"SERVING"' >/dev/null || fail "health does not say SERVING"
call -d "{\"spec\":{\"instruction\":\"Make the greeting polite\",\"repository\":{\"url\":\"$work/repositories/greeter.git\"}}}" \
    "$address" backspace.v1.AgentService/RunTask >"$work/run" || fail "RunTask failed"
task=$(sed -n 's/.*"task": "\(tasks\/[0-9a-f]*\)".*/\1/p' "$work/run" | head -n 1)
[ -n "$task" ] || fail "the first response does not name the task"
grep '"STATE_SUCCEEDED"' "$work/run" >/dev/null || fail "the task did not succeed"
call -d "{\"name\":\"$task\",\"after_sequence\":3,\"durable_only\":true}" "$address" backspace.v1.AgentService/WatchTask >"$work/watch"
first=$(sed -n 's/.*"sequence": "\([0-9]*\)".*/\1/p' "$work/watch" | head -n 1)
[ "$first" = 4 ] || fail "the resumed stream begins at '$first', not at 4"
# Every violation at once, and a cursor past the end, are refused as documented.
if call -d '{"spec":{}}' "$address" backspace.v1.AgentService/CreateTask >"$work/bad" 2>&1; then fail "an empty spec was accepted"; fi
grep InvalidArgument "$work/bad" >/dev/null || fail "an empty spec is not INVALID_ARGUMENT"
if call -d "{\"name\":\"$task\",\"after_sequence\":100000}" "$address" backspace.v1.AgentService/WatchTask >"$work/far" 2>&1; then fail "a cursor past the end was accepted"; fi
grep OutOfRange "$work/far" >/dev/null || fail "a cursor past the end is not OUT_OF_RANGE"
echo "grpcurl listed, described, ran $task and resumed its stream"
