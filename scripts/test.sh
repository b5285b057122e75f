#!/bin/sh
# Runs every test that this machine can run, then lists what it could not run and why.
#
# With BACKSPACE_TEST_ALL=1 (as CI sets it) a part that can't run is a failure.
set -eu
: "${CARGO:=cargo}" "${TARGET_FOLDER:=target}"
cd "$(dirname "$0")/.."
skipped=$(mktemp)
trap 'rm -f "$skipped"' EXIT

heading() { printf '\n== %s\n' "$1"; }
skip() { printf '  %s: %s\n' "$1" "$2" >>"$skipped"; printf '\n== %s: not run (%s)\n' "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }

heading "Rust: unit, behaviour and end-to-end tests"
BACKSPACE_TEST_BINARIES="$(cd "$TARGET_FOLDER/debug" && pwd)" "$CARGO" test --locked --workspace

for part in tests/parts/*.sh; do
    [ -e "$part" ] || continue
    # A part prints the reason and exits with 77 when something that it needs is missing.
    name=$(sed -n 's/^# Part: //p' "$part")
    heading "$name"
    status=0
    reason=$(BINARIES="$(cd "$TARGET_FOLDER/debug" && pwd)" sh "$part" --needs) || status=$?
    if [ "$status" = 77 ]; then
        skip "$name" "$reason"
        continue
    fi
    [ "$status" = 0 ] || exit "$status"
    BINARIES="$(cd "$TARGET_FOLDER/debug" && pwd)" sh "$part"
done

if [ -s "$skipped" ]; then
    printf '\nNot run on this machine:\n'
    cat "$skipped"
    if [ "${BACKSPACE_TEST_ALL:-0}" = 1 ]; then
        printf '\nBACKSPACE_TEST_ALL is set: a part that did not run is a failure.\n' >&2
        exit 1
    fi
else
    printf '\nEverything was run.\n'
fi
