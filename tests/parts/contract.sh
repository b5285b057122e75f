#!/bin/sh
# Part: Contract: buf lint and breaking changes
set -eu
if [ "${1:-}" = --needs ]; then
    command -v buf >/dev/null 2>&1 || { echo "buf is not installed: go install github.com/bufbuild/buf/cmd/buf@latest"; exit 77; }
    exit 0
fi
buf lint
buf format --diff --exit-code
# Against the last landed version: the parent of the commit under test, or the mark of the last landing.
base=$(git rev-parse --verify --quiet refs/remotes/origin/main || true)
[ -n "$base" ] && [ "$base" != "$(git rev-parse HEAD)" ] || base=$(git rev-parse --verify --quiet HEAD~1 || true)
if [ -n "$base" ] && git cat-file -e "$base:proto/backspace/v1/agent_service.proto" 2>/dev/null; then
    buf breaking --against ".git#ref=$base"
else
    echo "no earlier version of the contract: nothing to compare with"
fi
