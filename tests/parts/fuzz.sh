#!/bin/sh
# Part: fuzz targets, a few seconds each
set -eu
cd "$(dirname "$0")/../.."
if [ "${1:-}" = --needs ]; then
    command -v c++ >/dev/null 2>&1 || { echo "needs a C++ compiler for libFuzzer"; exit 77; }
    exit 0
fi
sh scripts/fuzz.sh "${FUZZ_SECONDS:-5}"
