#!/bin/sh
# Tests top-words.sh; prints what failed.
set -eu
file=$(mktemp)
trap 'rm -f "$file"' EXIT
expect() { [ "$1" = "$2" ] || { echo "not ok: $3: expected '$2', got '$1'"; exit 1; }; }

echo "b a c, a! B b b" >"$file"
expect "$(sh ./top-words.sh "$file" | tr '\n' ' ')" "3 b 2 a 1 B 1 c " "words by frequency"
echo "ok"
