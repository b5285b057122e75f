#!/bin/sh
# What a container costs: a sandbox of a new one beside one that was kept ready, and `true` through the supervisor beside the
# engine's own exec and fork+exec; all sides in turns within one run. Needs a Docker engine and an image of sandboxes.
#
# Usage: bench/docker.sh FOLDER_OF_THE_BINARIES [ROUNDS]; BACKSPACE_IMAGE names the image (docs/docker.md).
set -eu
supervisor=$(cd "$1" && pwd)/backspace-supervisor
[ -x "$supervisor" ] || { echo "$supervisor is not there: make build PROFILE=release" >&2; exit 1; }
image=${BACKSPACE_IMAGE:-backspace-sandbox:latest}
docker image inspect "$image" >/dev/null 2>&1 || { echo "the engine has no image $image: sh images/build.sh" >&2; exit 1; }
cd "$(dirname "$0")/.."
BACKSPACE_BENCH_SUPERVISOR=$supervisor BACKSPACE_BENCH_IMAGE=$image BACKSPACE_BENCH_ROUNDS=${2:-20} \
    "${CARGO:-cargo}" bench --locked --quiet -p backspace-server --bench docker
