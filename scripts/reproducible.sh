#!/bin/sh
# Builds a release twice, in two folders of different names, and compares the bytes.
# Usage: reproducible.sh [PACKAGE…]
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for folder in first the-second-folder; do
    mkdir "$work/$folder"
    git archive HEAD | tar -x -C "$work/$folder"
    env -u CARGO_TARGET_DIR TARGET_FOLDER="$work/$folder/target" SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" \
        sh "$work/$folder/scripts/release.sh" "$@" | grep -E '^[0-9a-f]{64} ' >"$work/$folder.sums"
    rm -rf "$work/$folder"
done
cat "$work/first.sums"
diff "$work/first.sums" "$work/the-second-folder.sums" || { echo "reproducible: the two builds differ" >&2; exit 1; }
echo "the two builds have the same bytes"
