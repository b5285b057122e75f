#!/bin/sh
# Part: Docker: every promise and attack on a real engine, in all three ways to reach one, and a whole task in each
#
# Engines that are ended, slowed down and filled, and a registry, are the tests' own.
# Makes the image of sandboxes from Debian's packages. Its root file system is kept in a folder named by its recipe, so
# that only the first run fetches them; what is proved is never kept.
set -eu
cd "$(dirname "$0")/../.."
. tests/docker/engine.sh
if [ "${1:-}" = --needs ]; then
    missing=$(engine_missing)
    [ -z "$missing" ] || { echo "$missing"; exit 77; }
    for tool in mmdebstrap:mmdebstrap openssl:openssl python3:python3 dockerd:docker.io containerd:containerd \
        docker-registry:docker-registry mkfs.ext4:e2fsprogs ip:iproute2; do
        command -v "${tool%%:*}" >/dev/null 2>&1 || { echo "${tool%%:*} is not installed (Debian: ${tool#*:})"; exit 77; }
    done
    [ "$(id -u)" = 0 ] || { echo "only root can start engines that are restarted and filled"; exit 77; }
    exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-docker.XXXXXX")
proxy=
end() {
    status=$?
    trap - EXIT
    [ -z "$proxy" ] || kill "$proxy" 2>/dev/null || true
    engine_stop
    rm -rf "$work"
    exit "$status"
}
trap end EXIT
engine_start "$work/engine.log"
docker version --format 'engine {{.Server.Version}}, interface {{.Server.APIVersion}}'
docker info --format 'control groups of version {{.CgroupVersion}}, storage by {{.Driver}}'

# Of other servers on this engine; whatever of a failed run is left ends at its deadline.
docker ps --all --quiet --filter label=backspace.instance >"$work/before"

recipe=$(cat images/* | cksum | cut -d ' ' -f 1)
cache=${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/images
image=backspace-test:$recipe
mkdir -p "$cache"
docker image inspect "$image" >/dev/null 2>&1 || sh images/build.sh "$image" "$cache/$recipe.tar"
export BACKSPACE_TEST_IMAGE="$image"

echo "-- the local socket, paths shared"
export BACKSPACE_TEST_PATHS=shared
"${CARGO:-cargo}" test --locked -p backspace-server --test sandbox_docker -- --include-ignored
BACKSPACE_IMAGE=$image DEMO_SANDBOX=docker sh demo/run.sh "$BINARIES" >"$work/demo.log" 2>&1 || { cat "$work/demo.log"; exit 1; }
echo "a whole task: ok"
echo "-- servers that crash, stop, cancel, and keep set-ups"
BACKSPACE_IMAGE=$image BACKSPACE_TEST_SANDBOX=docker "${CARGO:-cargo}" test --locked -p backspace-server --test end_to_end -- \
    --include-ignored crash:: cancel:: drain:: engine:: images:: setups::
# Servers that a test kills for good leave what they kept ready, which ends by itself within an hour.
docker ps --all --quiet --filter label=backspace.instance >>"$work/before"

# From here on everything runs in a container, whose files the engine does not see under the same paths.
tests=$("${CARGO:-cargo}" test --locked -p backspace-server --test sandbox_docker --no-run --message-format json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*sandbox_docker-[^"]*\)".*/\1/p' | tail -n 1)
supervisor=$BINARIES/backspace-supervisor
inside() { # OPTIONS… -- COMMAND…
    options=
    while [ "$1" != -- ]; do options="$options $1"; shift; done
    shift
    # shellcheck disable=SC2086
    docker run --rm --init --tmpfs /tmp:exec --tmpfs /run $options \
        --volume "$PWD:/source:ro" --volume "$tests:/tests:ro" --volume "$BINARIES:/binaries:ro" \
        --volume "$(command -v docker):/usr/local/bin/docker:ro" --volume "$supervisor:/supervisor:ro" \
        --env BACKSPACE_TEST_IMAGE --env BACKSPACE_TEST_PATHS=apart --env BACKSPACE_TEST_SUPERVISOR=/supervisor \
        --env BACKSPACE_IMAGE="$image" --env DEMO_SANDBOX=docker --workdir /source "$image" "$@"
}
apart='--skip attacks:: --skip limits:: --skip races:: --skip network:: --skip isolation:: --skip lists:: --skip probes:: --skip proxied:: --skip names::
    --skip pulls:: --skip restarts:: --skip slow:: --skip full::'

echo "-- a server in a container"
socket="--volume /var/run/docker.sock:/var/run/docker.sock"
# shellcheck disable=SC2086
inside $socket -- /tests $apart
# shellcheck disable=SC2086
inside $socket -- sh demo/run.sh /binaries >"$work/demo.log" 2>&1 || { cat "$work/demo.log"; exit 1; }
echo "a whole task: ok"

echo "-- an engine over TLS, of which nothing else is shared"
mkdir "$work/certificates"
sh tests/docker/certificates.sh "$work/certificates"
python3 tests/docker/tls.py "$work/certificates" /var/run/docker.sock >"$work/port" 2>"$work/proxy.log" &
proxy=$!
waited=0
until [ -s "$work/port" ]; do
    waited=$((waited + 1)); [ "$waited" -le 100 ] || { cat "$work/proxy.log"; exit 1; }
    sleep 0.1
done
port=$(cat "$work/port")
remote="--network host --volume $work/certificates:/certificates:ro --env DOCKER_HOST=tcp://127.0.0.1:$port \
    --env DOCKER_CERT_PATH=/certificates --env DOCKER_TLS_VERIFY=1"
# shellcheck disable=SC2086
inside $remote -- /tests life:: checkouts:: streamed_output
# shellcheck disable=SC2086
inside $remote -- sh demo/run.sh /binaries >"$work/demo.log" 2>&1 || { cat "$work/demo.log"; exit 1; }
echo "a whole task: ok"

left=$(docker ps --all --quiet --filter label=backspace.instance | grep -vxFf "$work/before" || true)
[ -z "$left" ] || { echo "containers were left: $left" >&2; exit 1; }
