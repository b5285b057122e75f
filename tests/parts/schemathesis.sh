#!/bin/sh
# Part: HTTP gateway: its OpenAPI document is valid, and schemathesis finds no answer that it does not describe
set -eu
# shellcheck source=tests/python_packages.sh
. "$(dirname "$0")/../python_packages.sh"
packages='schemathesis==4.32.5 openapi-spec-validator==0.9.0'
folder=$(packages_folder schemathesis "$packages")

if [ "${1:-}" = --needs ]; then
    command -v curl >/dev/null 2>&1 || { echo "curl is not installed"; exit 77; }
    [ ! -e "$folder/complete" ] || exit 0
    install_packages "$folder" "$packages"
    touch "$folder/complete"
    exit 0
fi

part=schemathesis
# shellcheck source=tests/server.sh
. tests/server.sh
serve server --scripts demo/scripts --model scripted/demo --rate-limit-requests 1000000
url=http://$address
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
