#!/bin/sh
# Runs a Task with grpcurl, by reflection, and watches its end again: grpcurl.sh REPOSITORY INSTRUCTION.
set -eu
server=${BACKSPACE_SERVER:-http://127.0.0.1:8000}
call() { grpcurl -plaintext "$@"; }
address=${server#http://}

call "$address" describe backspace.v1.TaskSpec
call -d @ "$address" backspace.v1.AgentService/RunTask >events.txt <<JSON
{"spec": {"instruction": "$2", "repository": {"url": "$1"}}}
JSON
cat events.txt
task=$(sed -n 's/.*"task": "\(tasks\/[0-9a-f]*\)".*/\1/p' events.txt | head -n 1)
call -d "{\"name\": \"$task\", \"after_sequence\": 40}" "$address" backspace.v1.AgentService/WatchTask
