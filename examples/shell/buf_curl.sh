#!/bin/sh
# Runs a Task with buf curl: buf_curl.sh REPOSITORY INSTRUCTION. `--schema proto` in a clone needs no reflection.
set -eu
server=${BACKSPACE_SERVER:-http://127.0.0.1:8000}
buf curl --protocol grpc --http2-prior-knowledge --data @- "$server/backspace.v1.AgentService/RunTask" <<JSON
{"spec": {"instruction": "$2", "repository": {"url": "$1"}}}
JSON
