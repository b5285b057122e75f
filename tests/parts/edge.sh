#!/bin/sh
# Part: The edge by curl, openssl and others: the replaced call, TLS, a renewal, certificates, a revocation, an OIDC issuer
set -eu
if [ "${1:-}" = --needs ]; then
    for program in curl openssl git node npm; do
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
cp "$work/ca.pem" "$work/clients.pem"
# shellcheck disable=SC2086
serve tls $usual --tls-certificate "$work/server.pem" --tls-key "$work/server.key" --tls-client-ca "$work/clients.pem" --tokens-file "$work/tokens.toml"
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

# By the command, with the file that docs/cli.md describes.
cat >"$work/cli.toml" <<TEXT
default = "here"
[servers.here]
address = "https://$address"
ca = "ca.pem"
client_certificate = "client.pem"
client_key = "client.key"
TEXT
chmod 600 "$work/cli.toml" "$work/client.key"
"$BINARIES/backspace" --config "$work/cli.toml" list >"$work/said" 2>&1 || { cat "$work/said" >&2; fail "the command is not known by its certificate"; }

# A certificate that its authority revokes, beside one of the same name that it does not.
sign spare URI:spiffe://corp/ci
cat >"$work/authority.cnf" <<TEXT
[ca]
default_ca = authority
[authority]
database = $work/index.txt
crlnumber = $work/crlnumber
default_md = sha256
default_crl_days = 1
crl_extensions = extensions
[extensions]
authorityKeyIdentifier = keyid:always
TEXT
: >"$work/index.txt"
echo 01 >"$work/crlnumber"
authority() { openssl ca -config "$work/authority.cnf" -keyfile "$work/ca.key" -cert "$work/ca.pem" "$@" 2>"$work/openssl.log" || fail "openssl ca: $(cat "$work/openssl.log")"; }
authority -revoke "$work/client.pem"
authority -gencrl -out "$work/revoked.pem"
cat "$work/ca.pem" "$work/revoked.pem" >"$work/clients.new"
mv "$work/clients.new" "$work/clients.pem"
waited=0
while [ "$(ask --cert "$work/client.pem" --key "$work/client.key" 2>/dev/null)" = '200 2' ]; do
    waited=$((waited + 1)); [ "$waited" -le 100 ] || fail "a revoked certificate goes on being taken"
    sleep 0.1
done
[ "$(ask --cert "$work/spare.pem" --key "$work/spare.key")" = '200 2' ] || fail "a certificate that is not revoked is refused"
echo "curl was served as before, over TLS, by a certificate until it was revoked, and through a renewal"

# An issuer of others: machines get their tokens by client credentials.
modules=${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/oidc-$(cat tests/oidc/package-lock.json | cksum | cut -d ' ' -f 1)
[ -e "$modules/complete" ] || {
    rm -rf "$modules"
    mkdir -p "$modules"
    cp tests/oidc/package.json tests/oidc/package-lock.json "$modules"
    npm ci --silent --no-fund --no-audit --ignore-scripts --prefix "$modules"
    touch "$modules/complete"
}
cp tests/oidc/issuer.js tests/oidc/package.json "$work/"
ln -s "$modules/node_modules" "$work/node_modules"
node "$work/issuer.js" "$work/issuer" https://backspace.example https://other.example >"$work/issuer.log" 2>&1 &
issuer=$!
processes="$processes $issuer"
await_file "$work/issuer" "$issuer"
token_for() { # AUDIENCE
    curl -sS --max-time 10 --fail -u build-machine:a-secret-of-the-build-machine -d grant_type=client_credentials -d "resource=$1" "$(cat "$work/issuer")/token" |
        sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p'
}
printf '[[principal]]\nname = "builds"\noidc_subjects = ["build-machine"]\nrepositories = ["*"]\n' >"$work/subjects.toml"
# shellcheck disable=SC2086
serve oidc $usual --tokens-file "$work/subjects.toml" --oidc-issuer "$(cat "$work/issuer")" --oidc-audience https://backspace.example
with() { curl -sS --max-time 20 -o "$work/page" -w '%{http_code}' -H "authorization: Bearer $1" "http://$address/api/v1/tasks"; }
old=$(token_for https://backspace.example)
[ -n "$old" ] || fail "the issuer gave no token"
[ "$(with "$old")" = 200 ] || fail "a token of the issuer is refused: $(cat "$work/page")"
[ "$(with "$(token_for https://other.example)")" = 401 ] || fail "a token for another audience is taken"
[ "$(with "${old%?????}AAAAA")" = 401 ] || fail "a token with another signature is taken"
kill -HUP "$issuer"
waited=0
until curl -sS --max-time 10 "$(cat "$work/issuer")/jwks" | grep -q key-1; do
    waited=$((waited + 1)); [ "$waited" -le 100 ] || fail "the issuer did not rotate its keys"
    sleep 0.1
done
new=$(token_for https://backspace.example)
# An unknown key is asked for at most twice a minute, so that nobody can make the server ask without end.
waited=0
until [ "$(with "$new")" = 200 ]; do
    waited=$((waited + 1)); [ "$waited" -le 80 ] || fail "a token by the issuer's new key is refused: $(cat "$work/page")"
    sleep 0.5
done
[ "$(with "$old")" = 200 ] || fail "a token by the issuer's old key, which is still published, is refused"
BACKSPACE_TOKEN=$new "$BINARIES/backspace" --server "http://$address" run "$work/repositories/greeter.git" "Make the greeting polite" >"$work/said" 2>&1 ||
    { cat "$work/said" >&2; fail "the command can't work with the issuer's token"; }
echo "an issuer's tokens were taken, for this audience only, and through a rotation of its keys"
