#!/bin/sh
# Part: SDKs of Python, TypeScript, Go and Rust: current, tested, and run against the real server through cut connections
set -eu
if [ "${1:-}" = --needs ]; then
    for program in python3 node npm go git; do
        command -v "$program" >/dev/null 2>&1 || { echo "$program is not installed: the SDKs need it"; exit 77; }
    done
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' || { echo "node is older than 20"; exit 77; }
    [ -x /usr/bin/chromium ] || [ -x /usr/bin/chromium-browser ] || { echo "chromium is not installed (Debian: chromium)"; exit 77; }
    sh sdk/tools.sh >/dev/null || { echo "what generates the SDKs can't be installed (sdk/tools.sh)"; exit 77; }
    exit 0
fi
part=sdk
# shellcheck source=tests/sdk/server.sh
. tests/sdk/server.sh
cache=${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/sdk
mkdir -p "$cache"
kept() { echo "$cache/$1-$(cat "$2" | cksum | cut -d ' ' -f 1)"; }

echo "-- what is generated is current"
sh sdk/generate.sh "$work/generated"
for folder in sdk/python/backspace/v1 sdk/typescript/src/generated sdk/go/backspace/v1 docs/api.md; do
    # Only Python's has a file written by hand in it.
    diff -r -x __init__.py -x __pycache__ "$work/generated/$folder" "$folder" >"$work/difference" || {
        head -n 40 "$work/difference" >&2
        fail "$folder is not what the contract, or the examples, say now; run: make sdk"
    }
done

# Runs the example that starts, finds, cancels and deletes a Task, and reads a refusal.
manage() { # NAME COMMAND…
    name=$1
    shift
    BACKSPACE_SERVER=http://$address BACKSPACE_MODEL=scripted/slow "$@" "$repository" >"$work/said" 2>"$work/progress" || {
        cat "$work/said" "$work/progress" >&2
        fail "the second example of $name failed"
    }
    for expected in INVALID_ARGUMENT spec.instruction spec.repository.url 'joined: [Tt]rue' 'listed: [Tt]rue' '^2 ' \
        '^[0-9]* .*[Tt]ask[_ ]*[Ff]inished' CANCELLED; do
        grep -e "$expected" "$work/said" >/dev/null || { cat "$work/said" >&2; fail "the second example of $name does not say $expected"; }
    done
    echo "$name: refused, joined, listed, cancelled, deleted"
}

echo "-- Python"
environment=$(kept python sdk/python/test-requirements.txt)
[ -e "$environment/complete" ] || {
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r sdk/python/test-requirements.txt
    touch "$environment/complete"
}
# As a user has it: a wheel, installed.
"$environment/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$work/wheel" sdk/python
rm -rf sdk/python/build sdk/python/*.egg-info
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$work/python" "$work"/wheel/*.whl
PYTHONPATH=$work/python PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH PYTHONDONTWRITEBYTECODE
[ -e "$work/python/backspace/py.typed" ] && [ -e "$work/python/backspace/v1/task_pb2.pyi" ] || fail "the wheel has no types"
(cd sdk/python && "$environment/bin/mypy" --cache-dir "$cache/mypy" && "$environment/bin/pytest")
run_through_cuts Python "$environment/bin/python" sdk/python/examples/run_task.py
manage Python "$environment/bin/python" sdk/python/examples/manage_tasks.py
unset PYTHONPATH

echo "-- TypeScript"
# What npm has fetched is kept beside the lock file's sum; the sources are copied, so that the tree stays as it is.
modules=$(kept typescript sdk/typescript/package-lock.json)
[ -e "$modules/complete" ] || {
    rm -rf "$modules"
    mkdir -p "$modules"
    cp sdk/typescript/package.json sdk/typescript/package-lock.json "$modules"
    npm ci --silent --no-fund --no-audit --ignore-scripts --prefix "$modules"
    touch "$modules/complete"
}
mkdir "$work/typescript"
(cd sdk/typescript && cp -r package.json package-lock.json README.md LICENSE tsconfig.json tsconfig.build.json src tests examples "$work/typescript")
ln -s "$modules/node_modules" "$work/typescript/node_modules"
(
    cd "$work/typescript"
    npm test --silent >"$work/typescript.log" 2>&1 || { grep -v '^ *ok ' "$work/typescript.log" | tail -n 60 >&2; exit 1; }
    grep -E '^# (tests|pass|fail)' "$work/typescript.log"
    # What is published: compiled modules with types, no sources and no tests.
    npm pack --silent --dry-run --json --ignore-scripts >package.contents
) || fail "the package of TypeScript is not right"
for file in dist/node.js dist/node.d.ts dist/web.js dist/generated/backspace/v1/task_pb.d.ts README.md LICENSE; do
    grep "\"$file\"" "$work/typescript/package.contents" >/dev/null || fail "the package of TypeScript lacks $file"
done
if grep -E '"(src|tests)/' "$work/typescript/package.contents" >/dev/null; then fail "the package of TypeScript has too much in it"; fi
run_through_cuts TypeScript node "$work/typescript/build/examples/run_task.js"
manage TypeScript node "$work/typescript/build/examples/manage_tasks.js"
# As a page has it: for a browser without anything of Node's, and in a real one.
(cd "$work/typescript" && node_modules/.bin/esbuild examples/page.ts --bundle --format=esm --platform=browser --log-level=warning --outfile=page.js) ||
    fail "the package of TypeScript can't be made ready for a page"
run_through_cuts "TypeScript in a browser" node tests/sdk/browser.mjs "$work/typescript/page.js"

echo "-- Go"
(
    cd sdk/go
    [ -z "$(gofmt -l .)" ] || { gofmt -d . >&2; exit 1; }
    go mod verify >/dev/null && go mod tidy -diff && go vet ./... && go test ./... && go build -o "$work/go/" ./examples/...
) || fail "the module of Go is not right"
run_through_cuts Go "$work/go/run_task"
manage Go "$work/go/manage_tasks"

echo "-- Rust"
"${CARGO:-cargo}" build --locked --quiet -p backspace-sdk --examples
run_through_cuts Rust "$BINARIES/examples/run_task"
manage Rust "$BINARIES/examples/manage_tasks"
# As a user has it from a registry: what is packed compiles alone.
"${CARGO:-cargo}" package --locked --allow-dirty --quiet -p backspace-sdk || fail "the crate of Rust can't be packed"
"${CARGO:-cargo}" package --locked --allow-dirty --list -p backspace-sdk >"$work/crate"
if grep -vE '^(\.cargo_vcs_info\.json|Cargo\.(lock|toml|toml\.orig)|LICENSE|README\.md|build\.rs|(src|proto)/.*)$' "$work/crate"; then fail "the crate of Rust has too much in it"; fi
