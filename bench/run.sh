#!/bin/sh
# What the harness costs: the same work by Backspace (local sandbox, scripted model) and by a plain
# shell script, interleaved in one run. CPU is that of every process started, by cgroup accounting.
#
# The work: clone, baseline test, N commands, one edit, test inside, final test, commit, push. The
# script runs the test as often as Backspace does. Needs root (or a writable cgroup).
# Usage: bench/run.sh FOLDER_OF_THE_BINARIES [ROUNDS]
set -eu
binaries=$(cd "$1" && pwd)
rounds=${2:-5}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-bench.XXXXXX")
server=
cleanup() {
    status=$?
    trap - EXIT INT TERM
    [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
    for group in "$work"/groups/*; do [ -e "$group" ] && rmdir "$(cat "$group")" 2>/dev/null || true; done
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT INT TERM
mkdir -p "$work/groups" "$work/repositories" "$work/scripts"

# cgroup v2 has everything in one folder, v1 has one hierarchy a controller.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    kind=v2
else
    kind=v1
fi
new_group() { # NAME
    if [ $kind = v2 ]; then
        mkdir -p "/sys/fs/cgroup/backspace-bench-$$/$1"
        echo "/sys/fs/cgroup/backspace-bench-$$/$1" >"$work/groups/$1"
    else
        for controller in cpuacct memory; do
            mkdir -p "/sys/fs/cgroup/$controller/backspace-bench-$$-$1"
            echo "/sys/fs/cgroup/$controller/backspace-bench-$$-$1" >"$work/groups/$1.$controller"
        done
    fi
}
enter_group() { # NAME: moves this shell
    for file in "$work/groups/$1"*; do echo $$ >"$(cat "$file")/cgroup.procs"; done
}
cpu_us() { # NAME
    if [ $kind = v2 ]; then
        sed -n 's/^usage_usec //p' "$(cat "$work/groups/$1")/cpu.stat"
    else
        awk '{ printf "%d\n", $1 / 1000 }' "$(cat "$work/groups/$1.cpuacct")/cpuacct.usage"
    fi
}
now_ms() { date +%s%3N; }

# A repository with a thousand small files, so that git has something to look at.
seed=$work/seed
mkdir -p "$seed/src"
number=0
while [ $number -lt 1000 ]; do
    echo "line $number" >"$seed/src/file$number.txt"
    number=$((number + 1))
done
printf '#!/bin/sh\ngrep -q . src/file1.txt && exit 0\n' >"$seed/test.sh"
printf '[verify]\ncommands = ["sh test.sh"]\n' >"$seed/.backspace.toml"
git -c init.defaultBranch=main init -q "$seed"
git -C "$seed" add -A
git -C "$seed" -c user.name=b -c user.email=b@example.invalid -c commit.gpgSign=false commit -qm base

for count in 10 50; do sed "s/@COUNT@/$count/" "$here/steps.toml.in" >"$work/scripts/steps$count.toml"; done

new_group server
sh -c '
    for file in "$1"/groups/server*; do echo $$ >"$(cat "$file")/cgroup.procs"; done
    exec "$2/backspace-server" --listen 127.0.0.1:0 --ready-file "$1/ready" --data-folder "$1/data" \
        --allow-local "$1/repositories" --scripts "$1/scripts" --model scripted/steps10 --sandbox local \
        --log-level warn --rate-limit-requests 100000 2>"$1/server.log" </dev/null
' sh "$work" "$binaries" &
server=$!
until [ -s "$work/ready" ]; do
    kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
    sleep 0.1
done
address="http://$(cat "$work/ready")"
# The pid of the server is that of the shell that became it.
idle_kib=$(awk '/^VmRSS/ { print $2 }' "/proc/$server/status")

run_script() { # COUNT NAME -> "cpu_us wall_ms"
    new_group "$2"
    begun=$(now_ms)
    (enter_group_self=$2; sh -c '
        for file in "$1"/groups/"$2"*; do echo $$ >"$(cat "$file")/cgroup.procs"; done
        exec sh "$3/plain.sh" "$4" "$5" "$1/plain-$2"' sh "$work" "$2" "$here" "$work/repositories/$2.git" "$1") >/dev/null
    ended=$(now_ms)
    echo "$(cpu_us "$2") $((ended - begun))"
}
run_backspace() { # COUNT NAME
    new_group "$2"
    before=$(cpu_us server)
    begun=$(now_ms)
    sh -c '
        for file in "$1"/groups/"$2"*; do echo $$ >"$(cat "$file")/cgroup.procs"; done
        exec "$3/backspace" --server "$4" run "$1/repositories/$2.git" "Do the steps" --model "scripted/steps$5" --output json
    ' sh "$work" "$2" "$binaries" "$address" "$1" >"$work/$2.events" || { tail -n 3 "$work/$2.events" >&2; tail "$work/server.log" >&2; exit 1; }
    ended=$(now_ms)
    echo "$(($(cpu_us "$2") + $(cpu_us server) - before)) $((ended - begun))"
}

: >"$work/results"
round=0
while [ "$round" -le "$rounds" ]; do
    for count in 10 50; do
        for side in script backspace; do
            name="$side-$count-$round"
            git clone -q --bare "$seed" "$work/repositories/$name.git"
            result=$("run_$side" "$count" "$name")
            # Round 0 warms caches on both sides and is not counted.
            [ "$round" = 0 ] || echo "$side $count $result" >>"$work/results"
        done
    done
    round=$((round + 1))
done
peak_kib=$(awk '/^VmHWM/ { print $2 }' "/proc/$server/status")

awk -v idle="$idle_kib" -v peak="$peak_kib" '
    { key = $1 " " $2; n[key]++; cpu[key, n[key]] = $3; wall[key, n[key]] = $4 }
    function median(array, key, count,   i, j, t, v) {
        for (i = 1; i <= count; i++) v[i] = array[key, i]
        for (i = 1; i <= count; i++) for (j = i + 1; j <= count; j++) if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
        return count % 2 ? v[(count + 1) / 2] : (v[count / 2] + v[count / 2 + 1]) / 2
    }
    END {
        printf "%-6s %14s %14s %8s %14s %14s %16s\n", "N", "script CPU ms", "backspace CPU", "ratio", "script wall", "backspace wall", "wall over script"
        split("10 50", counts, " ")
        for (i = 1; i <= 2; i++) {
            c = counts[i]; s = "script " c; b = "backspace " c
            sc = median(cpu, s, n[s]) / 1000; bc = median(cpu, b, n[b]) / 1000
            sw = median(wall, s, n[s]); bw = median(wall, b, n[b])
            printf "%-6d %14.1f %14.1f %8.2f %14d %14d %16d\n", c, sc, bc, bc / sc, sw, bw, bw - sw
            over[i] = bw - sw
        }
        step = (over[2] - over[1]) / 40
        printf "\nper step over the script: %.1f ms; fixed per task over the script: %.0f ms\n", step, over[1] - 10 * step
        printf "server: idle %.1f MiB, peak %.1f MiB resident\n", idle / 1024, peak / 1024
    }' "$work/results"
