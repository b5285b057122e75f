#!/bin/sh
# Installs what the part `github` compares with: GitHub's description of its API, recorded answers of it, and
# a server made of the description. Versions are pinned; what is there already is not fetched again.
# Usage: fetch.sh FOLDER
set -eu
mkdir -p "$1"
cd "$1"
wanted="@octokit/openapi@23.0.2 @octokit/fixtures@23.1.2 @stoplight/prism-cli@5.14.2 ajv@8.20.0 ajv-formats@2.1.1"
[ "$(cat installed 2>/dev/null)" = "$wanted" ] && exit 0
[ -e package.json ] || echo '{"private":true}' >package.json
# shellcheck disable=SC2086
npm install --silent --no-audit --no-fund --no-save $wanted
# Of half a gigabyte of descriptions one is needed.
find node_modules/@octokit/openapi/generated -name '*.json' ! -name api.github.com.json -delete
echo "$wanted" >installed
