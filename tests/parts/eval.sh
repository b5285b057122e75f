#!/bin/sh
# Part: Evaluation harness: every exercise with its scripted answers, right and wrong ones
set -eu
if [ "${1:-}" = --needs ]; then
    for program in git python3 node go tar gzip; do
        command -v "$program" >/dev/null 2>&1 || { echo "$program is not installed: exercises need it"; exit 77; }
    done
    exit 0
fi
"${CARGO:-cargo}" build --locked --quiet -p backspace-eval
work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-eval-part.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { echo "evaluation part: $1" >&2; exit 1; }
# The status and the words of a call of the harness, which most of these calls must fail.
eval_harness() { # EXPECTED_STATUS ARGUMENTS…
    wanted=$1
    shift
    status=0
    "$BINARIES/backspace-eval" "$@" >"$work/said" 2>"$work/progress" || status=$?
    [ "$status" = "$wanted" ] || {
        cat "$work/progress" "$work/said" >&2
        fail "backspace-eval $* ended with $status, not with $wanted"
    }
}
# What is built is cached, what is proved is not: Go's library alone takes longer than all the checks.
cache=${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/eval
mkdir -p "$cache/go-build"
for exercise in eval/exercises/go-*; do
    (cd "$exercise/repository" && GOCACHE=$cache/go-build go test -vet=off -run '^$' ./... >/dev/null) || fail "go does not work"
done
count() { grep -c "\"result\": \"$1\"" "$work/report.json" || true; }

# Each check must be able to fail: it is red on what an exercise begins with, unless nothing is wrong there.
eval_harness 0 prove --build-cache "$cache"
cat "$work/said"

eval_harness 0 run --model scripted --build-cache "$cache" --output "$work/report.json"
cat "$work/said"
exercises=$("$BINARIES/backspace-eval" list | grep -c .)
[ "$exercises" -ge 12 ] && [ "$(count solved)" = "$exercises" ] || fail "$(count solved) of $exercises exercises solved"

# Weakened tests and needless changes, which the service itself lets through as drafts.
eval_harness 2 run --model scripted/cheat --build-cache "$cache" --output "$work/report.json"
cat "$work/said"
[ "$(count unsolved)" -ge 4 ] && [ "$(count solved)" = 0 ] || fail "a cheat was taken for a solution"

# What is not the model's failure is told apart.
eval_harness 3 run --model no-such-provider/model --filter sh-spaces --output "$work/report.json"
[ "$(count not_measured)" = 1 ] || fail "a missing model counts as measured"
eval_harness 1 run --model scripted --filter no-such-exercise
eval_harness 7 run --model scripted --filter sh-spaces --binaries "$work"
echo "the harness solved $exercises exercises, and no cheat passed"
