#!/bin/sh
# Part: HTTP gateway: its OpenAPI document is valid, and schemathesis finds no answer that it does not describe
#
# The packages are kept in a folder named by their versions, so that only the first run fetches them.
set -eu
packages='schemathesis==4.32.5 openapi-spec-validator==0.9.0'
folder=${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/schemathesis-$(echo "$packages" | cksum | cut -d ' ' -f 1)

if [ "${1:-}" = --needs ]; then
    command -v curl >/dev/null 2>&1 || { echo "curl is not installed"; exit 77; }
    [ ! -e "$folder/complete" ] || exit 0
    command -v python3 >/dev/null 2>&1 || { echo "python3 is not installed"; exit 77; }
    log=$(mktemp "${TMPDIR:-/tmp}/backspace-schemathesis.XXXXXX")
    trap 'rm -f "$log"' EXIT
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    python3 -m venv "$folder" >"$log" 2>&1 || {
        echo "python3 can't make a virtual environment (Debian: python3-venv): $(tail -n 1 "$log")"
        exit 77
    }
    # shellcheck disable=SC2086
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check $packages >"$log" 2>&1 || {
        echo "the packages $packages can't be installed: $(tail -n 1 "$log")"
        exit 77
    }
    touch "$folder/complete"
    exit 0
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-schemathesis.XXXXXX")
server=
trap 'status=$?; trap - EXIT; [ -z "$server" ] || kill "$server" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"; exit $status' EXIT
fail() { echo "schemathesis part: $1" >&2; tail -n 20 "$work/server.log" >&2; exit 1; }
"$BINARIES/backspace-server" --listen 127.0.0.1:0 --ready-file "$work/ready" --data-folder "$work/data" --sandbox local \
    --scripts demo/scripts --model scripted/demo --rate-limit-requests 1000000 2>"$work/server.log" </dev/null &
server=$!
waited=0
until [ -s "$work/ready" ]; do
    kill -0 "$server" 2>/dev/null || fail "the server did not start"
    waited=$((waited + 1)); [ "$waited" -le 600 ] || fail "the server was not ready after 60 s"
    sleep 0.1
done
url=http://$(cat "$work/ready")
curl -sS --fail -o "$work/openapi.json" "$url/openapi.json" || fail "there is no document"
"$folder/bin/python" -m openapi_spec_validator "$work/openapi.json" || fail "the document is not valid OpenAPI"

# The same seed each time: a red run can be repeated, and a green one is no luck.
(cd "$work" && NO_COLOR=1 "$folder/bin/schemathesis" run "$work/openapi.json" --url "$url" --seed 20261124 \
    --max-examples "${SCHEMATHESIS_EXAMPLES:-15}" --phases examples,coverage,fuzzing --request-timeout 20 \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance \
    >"$work/report" 2>&1) || { cat "$work/report" >&2; fail "schemathesis found something"; }
kill -0 "$server" 2>/dev/null || fail "the server is gone"
! grep -E ' ERROR |panicked' "$work/server.log" >&2 || fail "the server logged a defect"
tail -n 3 "$work/report"
