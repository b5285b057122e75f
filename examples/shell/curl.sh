#!/bin/sh
# Runs a Task over HTTP and prints its events: curl.sh REPOSITORY INSTRUCTION.
#
# The server is BACKSPACE_SERVER (http://127.0.0.1:8000 without it). With tokens, add: -H "Authorization: Bearer $BACKSPACE_TOKEN"
set -eu
server=${BACKSPACE_SERVER:-http://127.0.0.1:8000}
# The same request id joins the same Task: repeat a call whose answer was lost.
request_id=$(cat /proc/sys/kernel/random/uuid)
task=$(curl -sS --fail-with-body -H 'Content-Type: application/json' "$server/api/v1/tasks" --data @- <<JSON |
{"requestId": "$request_id", "spec": {"instruction": "$2", "repository": {"url": "$1"}}}
JSON
    sed -n 's/.*"name": *"\(tasks\/[0-9a-f]*\)".*/\1/p' | head -n 1)
[ -n "$task" ] || exit 1
echo "$task"
# Server-sent events: `id:` is the sequence, `data:` the event as JSON. After the end the server answers 204.
last=0
while :; do
    curl -sSN --fail -H "Last-Event-ID: $last" "$server/api/v1/$task/events?durable_only=true" >events.txt || true
    [ -s events.txt ] || break
    sed -n 's/^data: *//p' events.txt
    next=$(sed -n 's/^id: *//p' events.txt | tail -n 1)
    last=${next:-$last}
done
curl -sS --fail-with-body "$server/api/v1/$task/artifacts/patch"
