#!/bin/sh
# Part: Clients of others: grpc-health-probe, curl, grpcurl, buf curl, ghz under load, and Java from the contract alone
set -eu
if [ "${1:-}" = --needs ]; then
    for tool in grpcurl:github.com/fullstorydev/grpcurl/cmd/grpcurl grpc-health-probe:github.com/grpc-ecosystem/grpc-health-probe buf:github.com/bufbuild/buf/cmd/buf ghz:github.com/bojand/ghz/cmd/ghz; do
        command -v "${tool%%:*}" >/dev/null 2>&1 || { echo "${tool%%:*} is not installed: go install ${tool#*:}@latest"; exit 77; }
    done
    for tool in javac:default-jdk-headless mvn:maven grpc_java_plugin:protobuf-compiler-grpc-java-plugin python3:python3; do
        command -v "${tool%%:*}" >/dev/null 2>&1 || { echo "${tool%%:*} is not installed (Debian: ${tool#*:})"; exit 77; }
    done
    exit 0
fi
part=clients
# shellcheck source=tests/sdk/server.sh
. tests/sdk/server.sh
service=backspace.v1.AgentService
here=$PWD
spec="{\"spec\":{\"instruction\":\"Make the greeting polite\",\"repository\":{\"url\":\"$repository\"}}}"

echo "-- grpc-health-probe"
# The whole server, the service, and one that is not there.
grpc-health-probe -addr "$address" -connect-timeout 5s -rpc-timeout 5s 2>&1 | grep SERVING || fail "the server is not SERVING"
grpc-health-probe -addr "$address" -service "$service" 2>&1 | grep SERVING || fail "the service is not SERVING"
if grpc-health-probe -addr "$address" -service no.such.Service >"$work/said" 2>&1; then fail "a service that is not there is SERVING"; fi

echo "-- buf curl"
# By reflection over gRPC, and with the contract's files over gRPC-Web.
buf_curl() { buf curl --http2-prior-knowledge "$@"; }
buf_curl --protocol grpc "http://$address/$service/GetServerInfo" >"$work/said" || fail "buf curl can't call by reflection"
grep '"version"' "$work/said" >/dev/null || fail "GetServerInfo has no version"
buf curl --protocol grpcweb --schema proto "http://$address/$service/GetServerInfo" >"$work/web" || fail "buf curl can't speak gRPC-Web"
cmp "$work/said" "$work/web" || fail "gRPC and gRPC-Web answer differently"
# An error with its details, decoded.
if buf_curl --protocol grpc --data '{"spec":{}}' "http://$address/$service/CreateTask" >"$work/said" 2>"$work/error"; then fail "an empty spec was accepted"; fi
for expected in invalid_argument google.rpc.BadRequest google.rpc.ErrorInfo spec.instruction; do
    grep -e "$expected" "$work/error" >/dev/null || { cat "$work/error" >&2; fail "the error of buf curl lacks $expected"; }
done

echo "-- the examples of docs/api.md in sh"
# In a folder of their own: they write beside themselves.
example() { # NAME
    (cd "$work" && BACKSPACE_SERVER=http://$address sh "$here/examples/shell/$1.sh" "$repository" "Make the greeting polite") \
        >"$work/said" 2>"$work/progress" || { cat "$work/said" "$work/progress" >&2; fail "the example $1 failed"; }
    grep STATE_SUCCEEDED "$work/said" >/dev/null || { cat "$work/said" "$work/progress" >&2; fail "the task of $1 did not succeed"; }
    sequences
}
sequences() { sed -n 's/.*"sequence": *"\([0-9]*\)".*/\1/p' "$work/said" >"$work/sequences"; }
numbers_are_whole() { # NAME
    awk '$1 != ++expected { exit 1 } END { if (expected < 30) exit 1 }' "$work/sequences" || { cat "$work/said" >&2; fail "the events of $1 are not 1, 2, 3…"; }
}
example buf_curl
numbers_are_whole buf_curl
task=$(sed -n 's/.*"task": *"\(tasks\/[0-9a-f]*\)".*/\1/p' "$work/said" | head -n 1)
example curl
numbers_are_whole curl
grep '^+echo "Good day' "$work/said" >/dev/null || fail "the example curl did not read the patch"
example grpcurl
[ "$(tail -n 1 "$work/sequences")" -ge 41 ] && [ "$(grep -c '^41$' "$work/sequences")" = 2 ] || fail "the example grpcurl did not watch again from 40"

echo "-- Java, from the contract alone"
cache=${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/maven
java_tool() { mvn --quiet --batch-mode --no-transfer-progress -Dmaven.repo.local="$cache" "$@"; }
# What is fetched is enough the next time, without a look at what is newer.
built() { java_tool "$@" -f tests/clients/java/pom.xml package -Dfolder="$work/java" -Dgenerator.program="$(command -v grpc_java_plugin)" >"$work/maven.log" 2>&1; }
built --offline || built || { tail -n 40 "$work/maven.log" >&2; fail "the client of Java can't be built"; }
# shellcheck disable=SC2016
run_through_cuts Java sh -c 'exec java -cp "$0" RunTask "${BACKSPACE_SERVER#http://}" "$@"' "$work/java/classes:$work/java/libraries/*"
grep STATE_SUCCEEDED "$work/said" >/dev/null || { cat "$work/said" >&2; fail "the task of Java did not succeed"; }

echo "-- ghz"
# Bounded in count and time. `codes` are those that may be answered; each call is answered with one of them.
load() { # CALL DATA COUNT WORKERS CODES
    ghz --insecure --call "$1" --data "$2" --total "$3" --concurrency "$4" --timeout 30s --duration-stop wait \
        --format json --output "$work/ghz.json" "$address" || fail "ghz failed on $1"
    python3 - "$work/ghz.json" "$@" <<'PYTHON' || fail "not every call of $1 was answered as it should"
import json, sys
report, call, count, codes = json.load(open(sys.argv[1])), sys.argv[2], int(sys.argv[4]), set(sys.argv[6].split(","))
answers = report["statusCodeDistribution"]
print(f"{call.split('.')[-1]}: {answers}")
sys.exit(not (sum(answers.values()) == count and set(answers) <= codes and answers["OK"] > 0))
PYTHON
}
# Within what one caller may ask in a minute, which is 600.
load "$service/WatchTask" "{\"name\":\"$task\"}" 150 20 OK
load "$service/GetTask" "{\"name\":\"$task\"}" 150 20 OK
load "$service/ListTasks" '{}' 100 20 OK
# Far beyond it: refused as documented and in no other way, while a stream that is open stays whole.
buf_curl --protocol grpc --schema proto --data "$spec" "http://$address/$service/RunTask" >"$work/run" &
running=$!
load "$service/GetServerInfo" '{}' 4000 50 OK,ResourceExhausted
wait "$running" || fail "a task under load failed"
cp "$work/run" "$work/said"
sequences
numbers_are_whole "a task under load"
# A probe is no caller.
load grpc.health.v1.Health/Check '{}' 4000 50 OK
