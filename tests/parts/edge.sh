#!/bin/sh
# Part: The edge by curl and openssl: the replaced service's call as it was, TLS, a renewal, a client certificate
set -eu
if [ "${1:-}" = --needs ]; then
    for program in curl openssl git; do
        command -v "$program" >/dev/null 2>&1 || { echo "$program is not installed"; exit 77; }
    done
    exit 0
fi
part=edge
# shellcheck source=tests/server.sh
. tests/server.sh
usual="--allow-local $work/repositories --scripts demo/scripts --model scripted/demo"
sh demo/make-repository.sh "$work/repositories/greeter.git" "$work/seed"

# shellcheck disable=SC2086
serve plain $usual
curl -sS -N --max-time 120 -X POST "http://$address/api/v1/code" -H 'Content-Type: application/json' \
    -d "{\"repo_url\": \"$work/repositories/greeter.git\", \"prompt\": \"Make the greeting polite\", \"branch_name\": \"polite\"}" \
    >"$work/stream" || fail "the replaced service's call failed"
grep -q '"type":"Success"' "$work/stream" || { cat "$work/stream" >&2; fail "it did not end in a success"; }
git --git-dir "$work/repositories/greeter.git" rev-parse --verify --quiet polite >/dev/null || fail "the branch was not made"
for path in /health /docs /openapi.json; do
    curl -sS --fail --max-time 10 -o "$work/page" "http://$address$path" || fail "$path is not served"
done
for header in content-security-policy x-content-type-options x-frame-options referrer-policy; do
    curl -sS --max-time 10 -D - -o "$work/page" "http://$address/docs" | grep -qi "^$header:" || fail "/docs lacks $header"
done

# An authority and what it signs: NAME SUBJECT-ALTERNATIVE-NAME
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
    -keyout "$work/ca.key" -out "$work/ca.pem" 2>/dev/null
sign() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=unused -keyout "$work/$1.key.new" -out "$work/$1.csr" 2>/dev/null
    printf 'subjectAltName=%s\n' "$2" >"$work/extensions"
    openssl x509 -req -in "$work/$1.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -days 2 -extfile "$work/extensions" \
        -out "$work/$1.pem.new" 2>/dev/null
    mv "$work/$1.key.new" "$work/$1.key"
    mv "$work/$1.pem.new" "$work/$1.pem"
}
sign server IP:127.0.0.1
sign client URI:spiffe://corp/ci
printf '[[principal]]\nname = "ci"\ncertificate_names = ["spiffe://corp/ci"]\n' >"$work/tokens.toml"
# shellcheck disable=SC2086
serve tls $usual --tls-certificate "$work/server.pem" --tls-key "$work/server.key" --tls-client-ca "$work/ca.pem" --tokens-file "$work/tokens.toml"
ask() { curl -sS --max-time 10 --cacert "$work/ca.pem" -o "$work/page" -w '%{http_code} %{http_version}' "$@" "https://$address/api/v1/server-info"; }
[ "$(ask)" = '401 2' ] || fail "without a certificate: $(ask)"
[ "$(ask --cert "$work/client.pem" --key "$work/client.key")" = '200 2' ] || fail "a client certificate is not taken"
[ "$(ask --http1.1 --cert "$work/client.pem" --key "$work/client.key")" = '200 1.1' ] || fail "HTTP/1.1 over TLS"
! curl -sS --max-time 10 -o "$work/page" "https://$address/health" 2>/dev/null || fail "an unknown authority was trusted"
! curl -sS --max-time 10 -o "$work/page" "http://$address/health" 2>/dev/null || fail "it was served in the clear"
curl -sS --max-time 10 --cacert "$work/ca.pem" -D - -o "$work/page" "https://$address/health" | grep -qi "^strict-transport-security:" ||
    fail "browsers are not told to insist on TLS"
shown() { openssl s_client -connect "$address" -CAfile "$work/ca.pem" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
before=$(shown)
sign server IP:127.0.0.1
waited=0
until [ "$(shown)" != "$before" ]; do
    waited=$((waited + 1)); [ "$waited" -le 100 ] || fail "a renewed certificate is not shown"
    sleep 0.1
done
echo "curl was served as before, over TLS, by a certificate, and through a renewal"
