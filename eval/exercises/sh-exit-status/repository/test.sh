#!/bin/sh
# Tests pack.sh; prints what failed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir "$folder/in"
echo words >"$folder/in/a"
[ "$(sh ./pack.sh "$folder/in" "$folder/out.tgz")" = packed ] || { echo "not ok: a good folder is packed"; exit 1; }
gzip -dc "$folder/out.tgz" | tar -tf - | grep -x ./a >/dev/null || { echo "not ok: the archive holds the file"; exit 1; }
[ -s "$folder/out.tgz.sum" ] || { echo "not ok: there is a checksum"; exit 1; }

if sh ./pack.sh "$folder/missing" "$folder/bad.tgz" >"$folder/said" 2>/dev/null; then
    echo "not ok: a missing folder must be an error"
    exit 1
fi
echo "ok"
