#!/bin/sh
# How long a Task waits for its work tree, by size of the repository: from the moment the mirror is ready
# until the sandbox has the base in it. The first Task on a commit checks out; later ones share that.
# Usage: bench/work_tree.sh FOLDER_OF_THE_BINARIES [ROUNDS]
set -eu
binaries=$(cd "$1" && pwd)
rounds=${2:-5}
work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-work-tree.XXXXXX")
server=
trap 'status=$?; trap - EXIT; [ -z "$server" ] || kill "$server" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"; exit $status' EXIT
mkdir -p "$work/repositories" "$work/scripts"
printf '[[turn]]\n  [[turn.call]]\n  tool = "finish"\n  arguments = { summary = "Nothing to do." }\n' >"$work/scripts/nothing.toml"

for files in 100 50000; do
    repository="$work/repositories/files$files.git"
    git -c init.defaultBranch=main init -q --bare "$repository"
    awk -v files="$files" 'BEGIN {
        print "commit refs/heads/main\ncommitter B <b@example.invalid> 1700000000 +0000\ndata 4\nbase"
        for (number = 0; number < files; number++)
            printf "M 100644 inline d%d/f%d\ndata %d\n%s\n\n", number / 500, number, length(number "") + 1, number
    }' | git --git-dir "$repository" fast-import --quiet
done

"$binaries/backspace-server" --listen 127.0.0.1:0 --ready-file "$work/ready" --data-folder "$work/data" --sandbox local \
    --allow-local "$work/repositories" --scripts "$work/scripts" --model scripted/nothing --log-level warn \
    --rate-limit-requests 100000 2>"$work/server.log" </dev/null &
server=$!
until [ -s "$work/ready" ]; do
    kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
    sleep 0.1
done

# The time of a step, in microseconds since 1970.
step_us() { # EVENTS STEP
    time=$(sed -n "s/.*\"eventTime\":\"\([^\"]*\)\".*\"step\":\"$2\".*/\1/p" "$1" | head -n 1)
    echo $(($(date -d "$time" +%s%N) / 1000))
}
waited_us() { # FILES
    "$binaries/backspace" --server "http://$(cat "$work/ready")" run "$work/repositories/files$1.git" "Do nothing" \
        --output json >"$work/events" || { tail -n 3 "$work/events" "$work/server.log" >&2; exit 1; }
    echo $(($(step_us "$work/events" "Looking at the project") - $(step_us "$work/events" "Making the sandbox")))
}

printf '%-8s %22s %22s\n' files 'first task, ms' 'later tasks, ms'
for files in 100 50000; do
    first=$(waited_us "$files")
    round=0
    : >"$work/later"
    while [ "$round" -lt "$rounds" ]; do
        waited_us "$files" >>"$work/later"
        round=$((round + 1))
    done
    later=$(sort -n "$work/later" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }')
    awk -v files="$files" -v first="$first" -v later="$later" \
        'BEGIN { printf "%-8d %22.1f %22.1f\n", files, first / 1000, later / 1000 }'
done
