#!/bin/sh
# Part: Contract: buf lint and breaking changes
set -eu
if [ "${1:-}" = --needs ]; then
    command -v buf >/dev/null 2>&1 || { echo "buf is not installed: go install github.com/bufbuild/buf/cmd/buf@latest"; exit 77; }
    exit 0
fi
buf lint
buf format --diff --exit-code
# Against every version that ever landed, the last one among them: what v1 once promised stays.
compared=0
for version in $(git log --format=%H -- proto); do
    git cat-file -e "$version:proto/backspace/v1/agent_service.proto" 2>/dev/null || continue
    buf breaking --against ".git#ref=$version"
    compared=$((compared + 1))
done
[ "$compared" -gt 0 ] || { echo "the history has no version of the contract: clone it whole" >&2; exit 1; }
echo "no breaking change against $compared earlier version(s)"
