#!/bin/sh
# Tests tidy.sh; prints what failed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
expect() { [ "$1" = "$2" ] || { echo "not ok: $3: expected '$2', got '$1'"; exit 1; }; }

: >"$folder/a.txt"
echo words >"$folder/b.txt"
: >"$folder/c.md"
expect "$(sh ./tidy.sh "$folder")" "moved 1" "one empty file"
expect "$(ls "$folder" "$folder/empty" | tr '\n' ' ')" "$folder: b.txt c.md empty  $folder/empty: a.txt " "what is where"
echo "ok"
