#!/bin/sh
# Runs the fuzz targets, each for a while, from their seeds and from what earlier runs found.
#
# libFuzzer on the stable compiler: coverage is a pass of LLVM that needs no nightly flag, and a sanitizer
# for memory would find nothing in safe code. The C++ compiler is for libFuzzer itself.
# Usage: scripts/fuzz.sh [SECONDS_EACH [TARGET…]]
set -eu
: "${CARGO:=cargo}" "${TARGET_FOLDER:=target}"
seconds=${1:-60}
[ $# -eq 0 ] || shift
mkdir -p "$TARGET_FOLDER"
target_folder=$(cd "$TARGET_FOLDER" && pwd)/fuzz
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
targets=${*:-$(sed -n '/^\[\[bin\]\]/,$ s/^name = "\([a-z_]*\)"$/\1/p' fuzz/Cargo.toml)}

# With --target the flags are not used for build scripts, which have no libFuzzer to call.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
arguments=
for target in $targets; do
    arguments="$arguments --bin $target"
done
# shellcheck disable=SC2086
"$CARGO" build --quiet --manifest-path fuzz/Cargo.toml --target "$host" --target-dir "$target_folder" $arguments
for target in $targets; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target" "fuzz/seeds/$target"
    printf '== %s, %s s\n' "$target" "$seconds"
    "$target_folder/$host/debug/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="fuzz/artifacts/$target/" "fuzz/corpus/$target" "fuzz/seeds/$target" >"fuzz/artifacts/$target.log" 2>&1 || {
        tail -n 40 "fuzz/artifacts/$target.log" >&2
        exit 1
    }
    sed -n 's/^stat:://p' "fuzz/artifacts/$target.log" | sed -n '1,2p'
done
