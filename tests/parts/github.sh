#!/bin/sh
# Part: GitHub: requests and answers against GitHub's description of its API
set -eu
tools=${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/github
if [ "${1:-}" = --needs ]; then
    command -v node >/dev/null 2>&1 || { echo "node is not installed (Debian: nodejs npm)"; exit 77; }
    [ -e "$tools/installed" ] || { echo "the description of GitHub's API is not installed: sh tests/github/fetch.sh $tools"; exit 77; }
    exit 0
fi
cargo=${CARGO:-cargo}
work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-github.XXXXXX")
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT

BACKSPACE_GITHUB_TRANSCRIPTS="$work/transcripts" "$cargo" test --locked --quiet -p backspace-server --test github
node tests/github/check.mjs "$tools" "$work/transcripts"

# A server made of the description: it refuses what GitHub would not understand.
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
node "$tools/node_modules/@stoplight/prism-cli/dist/index.js" mock --host 127.0.0.1 --port "$port" \
    "$tools/node_modules/@octokit/openapi/generated/api.github.com.json" >"$work/prism.log" 2>&1 &
server=$!
waited=0
until curl -s -o "$work/answer" "http://127.0.0.1:$port/meta"; do
    kill -0 "$server" 2>/dev/null && [ "$waited" -lt 180 ] || { cat "$work/prism.log" >&2; exit 1; }
    waited=$((waited + 1))
    sleep 1
done
BACKSPACE_PRISM_URL="http://127.0.0.1:$port" \
    BACKSPACE_GITHUB_FIXTURES="$tools/node_modules/@octokit/fixtures/scenarios/api.github.com" \
    "$cargo" test --locked -p backspace-server --test github described -- --ignored
