#!/bin/sh
# Part: The web page in a real browser
set -eu
if [ "${1:-}" = --needs ]; then
    command -v node >/dev/null 2>&1 || { echo "node is not installed (Debian: nodejs)"; exit 77; }
    command -v npm >/dev/null 2>&1 || { echo "npm is not installed (Debian: npm)"; exit 77; }
    [ -x /usr/bin/chromium ] || [ -x /usr/bin/chromium-browser ] ||
        { echo "chromium is not installed (Debian: chromium)"; exit 77; }
    exit 0
fi
cd "$(dirname "$0")/../../web"
# What was installed for this very lock file is good; the registry is asked for nothing then.
[ -e node_modules/.package-lock.json ] && [ node_modules/.package-lock.json -nt package-lock.json ] ||
    npm ci --no-audit --no-fund
npm run --silent check
npm test --silent
