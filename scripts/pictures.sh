#!/bin/sh
# Makes the pictures of the README anew: the page in a browser, and a recording of the command.
#
# Usage: pictures.sh FOLDER_OF_THE_BINARIES. Needs node, chromium, python3 with venv, and script (util-linux).
set -eu
binaries=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
work=$(mktemp -d)
server=
trap 'status=$?; trap - EXIT; [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"; exit $status' EXIT

echo "the page"
(cd web && { [ -d node_modules ] || npm ci --no-audit --no-fund; } && BINARIES=$binaries node tests/support/picture.js ../docs/pictures)

echo "the recording"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet --disable-pip-version-check install termtosvg==1.1.0
sh demo/make-repository.sh "$work/greeter.git" "$work/seed"
git clone --quiet "$work/greeter.git" "$work/greeter"
sed 's/^say = .*/&\npiece_delay_ms = 60/' demo/scripts/demo.toml >"$work/demo.toml"
"$binaries/backspace-server" --listen 127.0.0.1:0 --ready-file "$work/ready" --data-folder "$work/data" \
    --allow-local "$work" --scripts "$work" --model scripted/demo --sandbox local 2>"$work/log" &
server=$!
until [ -s "$work/ready" ]; do kill -0 "$server"; sleep 0.1; done
cat >"$work/session.sh" <<'SESSION'
type_line() { printf '$ '; printf '%s' "$1" | while IFS= read -r -n1 letter; do printf '%s' "$letter"; sleep 0.03; done; echo; sleep 0.4; }
type_line 'backspace run . "Make the greeting polite: the test says how"'
backspace run . "Make the greeting polite: the test says how"
sleep 1.5
type_line 'backspace diff latest'
backspace diff latest
sleep 3
SESSION
export PATH="$binaries:$PATH" BACKSPACE_SERVER="http://$(cat "$work/ready")" TERM=xterm-256color
(cd "$work/greeter" && script --quiet --command \
    "$work/venv/bin/termtosvg $work/run.svg --screen-geometry 96x30 --template window_frame --loop-delay 4000 --max-frame-duration 2500 --command 'bash $work/session.sh'" \
    /dev/null) >/dev/null </dev/null
mv "$work/run.svg" docs/pictures/run.svg
ls -l docs/pictures
