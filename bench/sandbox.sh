#!/bin/sh
# What one sandbox costs: `true` through the supervisor beside fork+exec and bubblewrap, sandbox ready,
# memory, and half a GiB of output beside a plain pipe; all sides in turns within one run.
#
# Root measures the way of a server with cgroups and images, an ordinary user the other one.
# Usage: bench/sandbox.sh FOLDER_OF_THE_BINARIES [ROUNDS]
set -eu
supervisor=$(cd "$1" && pwd)/backspace-supervisor
[ -x "$supervisor" ] || { echo "$supervisor is not there: make build PROFILE=release" >&2; exit 1; }
cd "$(dirname "$0")/.."
BACKSPACE_BENCH_SUPERVISOR=$supervisor BACKSPACE_BENCH_ROUNDS=${2:-200} \
    "${CARGO:-cargo}" bench --locked --quiet -p backspace-server --bench sandbox
