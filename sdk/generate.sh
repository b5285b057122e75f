#!/bin/sh
# Generates the SDKs from the contract. Usage: generate.sh [FOLDER]; without one, into this tree.
set -eu
cd "$(dirname "$0")/.."
tools=$(sh sdk/tools.sh)
PATH="$tools:$PATH"
export PATH
out=${1:-.}
mkdir -p "$out/sdk/python" "$out/sdk/typescript/src/generated" "$out/sdk/go"
buf generate --output "$out"
# The standard details of errors, which Python and Go have in a package and TypeScript does not.
python3 -m grpc_tools.protoc --proto_path=sdk/typescript/proto --es_out="$out/sdk/typescript/src/generated" \
    --es_opt=target=ts,import_extension=js google/rpc/error_details.proto
# Types of clients for files without a service.
rm -f "$out"/sdk/python/backspace/v1/task_pb2_grpc.pyi "$out"/sdk/python/backspace/v1/event_pb2_grpc.pyi
# The examples in the documentation.
mkdir -p "$out/docs"
awk -f sdk/embed.awk docs/api.md >"$out/docs/api.md.new"
mv "$out/docs/api.md.new" "$out/docs/api.md"
