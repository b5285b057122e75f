#!/bin/sh
# Part: The image and compose on a real engine: built, a task over GitHub and gRPC, the replaced call, stopped, started again
#
# The Dockerfiles and compose.yaml are used as they are. What stands for GitHub and the model's provider is a container at
# their names. What is built may be kept by the engine (tests/image/engine.sh), what is proved is not.
set -eu
cd "$(dirname "$0")/../.."
part=image
# shellcheck source=tests/image/engine.sh
. tests/image/engine.sh
tools=${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/compose-2.40.3
if [ "${1:-}" = --needs ]; then
    missing=$(image_missing)
    [ -z "$missing" ] || { echo "$missing"; exit 77; }
    command -v docker-compose >/dev/null 2>&1 || { echo "docker-compose is not installed (Debian: docker-compose)"; exit 77; }
    [ -x "$tools/docker-compose" ] || { echo "docker compose of version 2 is not there: sh tests/image/compose.sh $tools"; exit 77; }
    exit 0
fi
export COMPOSE_PROJECT_NAME="backspace-test-$$"
compose() { docker compose --project-directory "$work" --file compose.yaml --file tests/image/override.yaml "$@"; }
fail() { echo "image part: $1" >&2; compose logs --no-color --tail 40 >&2 || true; exit 1; }
finish() { compose down --volumes --timeout 5 >/dev/null 2>&1 || true; }

echo "-- images"
image_stages
build backspace-test:sandbox images
echo "built"

echo "-- compose"
export DOCKER_CONFIG="$work/docker"
mkdir -p "$DOCKER_CONFIG/cli-plugins"
ln -s "$tools/docker-compose" "$DOCKER_CONFIG/cli-plugins/docker-compose"
BACKSPACE_TEST_INTERNET=$(internet)
export BACKSPACE_TEST_INTERNET BACKSPACE_TEST_SOURCE="$PWD" BACKSPACE_BUILD_PROFILE=dev BACKSPACE_PORT=0
cp demo/scripts/demo.toml "$work/"
# As the document says: the two lines that a person fills in.
sed -e 's/^#GITHUB_TOKEN=.*/GITHUB_TOKEN=github_pat_11FIRST0FIVE0MINUTES_abcdefghijklmnopqrstuvwxyzABCDEFG/' \
    -e 's/^#ANTHROPIC_API_KEY=.*/ANTHROPIC_API_KEY=sk-ant-first-five-minutes/' .env.example >"$work/.env"
chmod 600 "$work/.env"
for version in "docker-compose" "docker compose"; do
    $version --project-directory "$work" --file compose.yaml config --quiet || fail "$version does not take compose.yaml"
done
before=$(docker image inspect --format '{{.Id}}' backspace-test:server 2>/dev/null || true)
compose up --build --detach >"$work/up.log" 2>&1 || { tail -n 60 "$work/up.log" >&2; exit 1; }
replaced backspace-test:server "$before"
# Sets `container` and `address`, and waits until the health check is content.
await_health() {
    container=$(compose ps --quiet backspace)
    waited=0
    until [ "$(docker inspect --format '{{.State.Health.Status}}' "$container")" = healthy ]; do
        waited=$((waited + 1)); [ "$waited" -le 200 ] || fail "the container is not healthy"
        sleep 0.5
    done
    address=$(compose port backspace 8000)
}
await_health
echo "healthy"

echo "-- what the container may do"
inside() { compose exec -T backspace "$@"; }
[ "$(inside id -u)" = 10001 ] || fail "it runs as $(inside id -u)"
[ "$(inside sed -n 's/^CapEff:\t//p; s/^CapBnd:\t//p; s/^NoNewPrivs:\t//p' /proc/1/status | tr '\n' ' ')" = '0000000000000000 0000000000000000 1 ' ] ||
    fail "it has rights: $(inside grep -e ^Cap -e ^NoNew /proc/1/status)"
inside sh -c 'touch /tmp/written && touch /var/lib/backspace/written && rm /var/lib/backspace/written' || fail "it can't write where it must"
! inside touch /home/backspace/written 2>/dev/null || fail "its root can be written to"
mounts=$(docker inspect --format '{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}{{"\n"}}{{end}}' "$container" | sort | tr -s '\n' ' ')
[ "$mounts" = ' bind /certificates/ca.pem false volume /var/lib/backspace true ' ] || [ "$mounts" = 'bind /certificates/ca.pem false volume /var/lib/backspace true ' ] ||
    fail "it has other mounts: $mounts"
[ "$(inside find / -xdev -type s 2>/dev/null)" = '' ] || fail "there is a socket in it"
inside backspace-server doctor >"$work/doctor" || { cat "$work/doctor" >&2; fail "doctor is not content"; }
grep -q 'every layer was tried and holds' "$work/doctor" || { cat "$work/doctor" >&2; fail "the sandbox does not hold in it"; }
curl -sS --max-time 10 --fail "http://$address/health" >"$work/health" || fail "/health"
grep -q '"status":"healthy"' "$work/health" || fail "it says $(cat "$work/health")"
curl -sS --max-time 10 --fail "http://$address/" | grep -q '<title>' || fail "there is no page"
echo "no rights, no socket, a root that can't be written to, and every layer of the sandbox"

echo "-- the replaced service's call, as docs/migrating.md has it"
sed -n '/^    curl -N/,/^$/p' docs/migrating.md | sed "s#http://localhost:8000#http://$address#" >"$work/call.sh"
grep -q "$address" "$work/call.sh" || fail "docs/migrating.md has no call"
sh "$work/call.sh" >"$work/stream" 2>"$work/curl" || { cat "$work/curl" >&2; fail "the call failed"; }
grep '"type":"Success"' "$work/stream" | grep 'https://github.com/you/project/pull/1' >"$work/success" || { cat "$work/stream" >&2; fail "it opened no pull request"; }
branches() { git --git-dir "$work/repositories/you/project.git" for-each-ref --format '%(refname:short)' refs/heads | grep -vc '^main$'; }
[ "$(branches)" = 1 ] || fail "it pushed no branch"
echo "a pull request"

echo "-- a task over gRPC"
"$BINARIES/backspace" --server "http://$address" run https://github.com/you/project "Make the greeting polite" >"$work/run" 2>&1 || { cat "$work/run" >&2; fail "the task failed"; }
grep -q 'https://github.com/you/project/pull/2' "$work/run" || { cat "$work/run" >&2; fail "it opened no pull request"; }
[ "$(branches)" = 2 ] || fail "it pushed no second branch"
echo "a pull request"

echo "-- stopped, removed, and started again"
list() { "$BINARIES/backspace" --server "http://$address" list --output json; }
list >"$work/before"
[ "$(grep -o STATE_SUCCEEDED "$work/before" | wc -l)" = 2 ] || { cat "$work/before" >&2; fail "two tasks should have succeeded"; }
begun=$(date +%s)
compose stop backspace >"$work/stop.log" 2>&1
took=$(($(date +%s) - begun))
[ "$(docker inspect --format '{{.State.ExitCode}}' "$container")" = 0 ] || fail "it did not end by itself: $(docker inspect --format '{{.State.ExitCode}}' "$container")"
[ "$took" -lt 35 ] || fail "it took $took s to stop"
compose down >"$work/down.log" 2>&1
compose up --detach >"$work/up.log" 2>&1 || { cat "$work/up.log" >&2; exit 1; }
await_health
list >"$work/after"
cmp "$work/before" "$work/after" || fail "the tasks are not what they were"
echo "stopped after $took s, and has its tasks again"

echo "-- the image of sandboxes, made by its Dockerfile"
BACKSPACE_IMAGE=backspace-test:sandbox DEMO_SANDBOX=docker sh demo/run.sh "$BINARIES" >"$work/demo.log" 2>&1 || { cat "$work/demo.log" >&2; exit 1; }
echo "a whole task: ok"
