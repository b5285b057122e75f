# Sourced by a part that needs the server's image: an engine, a folder `work` that goes at the end, and the stages of the
# Dockerfile that take long, as backspace-test:dependencies and backspace-test:build. Needs `part` (for messages).
#
# What stands for the registry's base images is made of Debian's packages and this machine's Rust. The engine keeps layers
# from one run to the next, so that only what changed is built.
#
#   build NAME OPTIONS… FOLDER   builds an image
#   internet                     prints the program that stands for the hosts that documents name
#   image_missing                says what is missing, or nothing

# shellcheck shell=sh disable=SC2154
. tests/docker/engine.sh
image_missing() {
    missing=$(engine_missing)
    [ -z "$missing" ] || { echo "$missing"; return; }
    for tool in mmdebstrap openssl curl git; do
        command -v "$tool" >/dev/null 2>&1 || { echo "$tool is not installed (Debian: $tool)"; return; }
    done
}
image_stages() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-$part.XXXXXX")
    trap 'status=$?; trap - EXIT; finish; engine_stop; rm -rf "$work"; exit $status' EXIT
    engine_start "$work/engine.log"
    # BuildKit keeps its layers elsewhere; one builder for all keeps them in one place.
    export DOCKER_BUILDKIT=0
    bases=$(sh tests/image/bases.sh 2>"$work/bases.log") || { cat "$work/bases.log" >&2; exit 1; }
    export BASE_IMAGE="${bases% *}" RUST_IMAGE="${bases#* }"
    for stage in dependencies build; do
        build "backspace-test:$stage" --build-arg "RUST_IMAGE=$RUST_IMAGE" --build-arg PROFILE=dev --target "$stage" .
    done
    mkdir "$work/certificates" "$work/pages"
    sh tests/image/certificates.sh "$work/certificates"
    sh demo/make-repository.sh "$work/repositories/you/project.git" "$work/seed"
}
# What the part adds to the end.
finish() { :; }
# The image that had the name is let go.
build() {
    name=$1
    shift
    before=$(docker image inspect --format '{{.Id}}' "$name" 2>/dev/null || true)
    docker build --network host --tag "$name" --build-arg "BASE_IMAGE=$BASE_IMAGE" "$@" >"$work/build.log" 2>&1 || {
        tail -n 60 "$work/build.log" >&2
        exit 1
    }
    replaced "$name" "$before"
}
replaced() { # NAME ID
    [ -z "$2" ] || [ "$2" = "$(docker image inspect --format '{{.Id}}' "$1")" ] || docker image rm "$2" >/dev/null 2>&1 || true
}
internet() {
    "${CARGO:-cargo}" test --locked -p backspace-server --test internet --no-run --message-format json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*internet-[^"]*\)".*/\1/p' | tail -n 1
}
