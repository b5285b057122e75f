#!/bin/sh
# Part: Real projects: a task each on four packages from their registries, the pushed tree compared byte by byte
set -eu
here=$(cd "$(dirname "$0")/../real_projects" && pwd)
packages="${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/packages"
if [ "${1:-}" = --needs ]; then
    for tool in cargo python3 node npm go unzip; do
        command -v $tool >/dev/null 2>&1 || { echo "$tool is not installed"; exit 77; }
    done
    said=$(sh "$here/fetch.sh" "$packages" 2>&1) || { echo "the packages can't be had: $said" | tail -n 1; exit 77; }
    exit 0
fi
part=real_projects
# shellcheck source=tests/server.sh
. tests/server.sh
mkdir -p "$work/repositories" "$work/scripts" "$work/original" "$work/expected"

# What every script does beside its own edit: a program, a link to it, a file less, one elsewhere.
change='mkdir made && printf "#!/bin/sh\nexit 0\n" >made/run.sh && chmod 755 made/run.sh && ln -s run.sh made/link'

# NAME, CHECK (TOML strings), FILE, OLD and NEW of the edit, more shell for the change
prepare() {
    sh "$here/repository.sh" make "$work/original/$1" "$work/repositories/$1.git" "$2"
    cat >"$work/scripts/$1.toml" <<EOF
[[turn]]
  [[turn.call]]
  tool = "edit_file"
  arguments = { path = "$3", old = '''$4''', new = '''$5''' }
[[turn]]
  [[turn.call]]
  tool = "bash"
  arguments = { command = '''$change && $6''' }
[[turn]]
  [[turn.call]]
  tool = "finish"
  arguments = { summary = "Changed as asked." }
EOF
    cp -a "$work/original/$1" "$work/expected/$1"
    (
        cd "$work/expected/$1"
        OLD=$4 NEW=$5 perl -0777 -pi -e 's/\Q$ENV{OLD}\E/$ENV{NEW}/' "$3"
        eval "$change && $6"
    )
}

unpack() { mkdir "$work/original/$1" && tar -xzf "$packages/$2" -C "$work/original/$1" --strip-components 1 --no-same-owner; }
unpack strsim strsim-0.11.1.crate
prepare strsim '"cargo test --offline --quiet"' src/lib.rs \
    'pub fn hamming(a: &str, b: &str) -> HammingResult {' \
    '#[inline]
pub fn hamming(a: &str, b: &str) -> HammingResult {' \
    'mkdir docs && mv SECURITY.md docs/ && rm CHANGELOG.md && printf "#[test]\nfn equal() {\n    assert_eq!(strsim::hamming(\"a\", \"a\"), Ok(0));\n}\n" >tests/made.rs'
unpack meson meson-1.12.1.tar.gz
prepare meson '"python3 -m unittest -q unittests.taptests unittests.cargotests"' unittests/taptests.py \
    'import unittest
import io' 'import io
import unittest' \
    'mv "test cases/common/1 trivial" "test cases/common/1 renamed" && rm -r "manual tests"'
[ "$(find "$work/original/meson" -type f | wc -l)" -gt 5000 ] || fail "meson has no more than 5,000 files"
unpack path-parse path-parse-1.0.6.tgz
prepare path-parse '"node test.js"' index.js "'use strict';" "'use strict'; // made strict" \
    'rm README.md && printf "require(\"assert\").strictEqual(require(\"./index\")(\"/a/b.c\").ext, \".c\");\n" >made.js'
unzip -q "$packages/toml-1.4.0.zip" -d "$work/zip"
mv "$work/zip/github.com/BurntSushi/toml@v1.4.0" "$work/original/toml"
prepare toml '"go test ./..."' decode.go \
    'func Unmarshal(data []byte, v any) error {' 'func Unmarshal(data []byte, v interface{}) error {' \
    'mv COPYING made/ && printf "package toml\n\nimport \"testing\"\n\nfunc TestMade(t *testing.T) {\n\tvar v map[string]int\n\tif err := Unmarshal([]byte(\"a = 1\"), &v); err != nil || v[\"a\"] != 1 {\n\t\tt.Fatal(v, err)\n\t}\n}\n" >made_test.go'

serve server --allow-local "$work/repositories" --scripts "$work/scripts" --model scripted/strsim

for name in strsim meson path-parse toml; do
    begun=$(date +%s)
    bare="$work/repositories/$name.git"
    "$BINARIES/backspace" --server "http://$address" run "$bare" "Change $name" --model "scripted/$name" \
        --output json >"$work/$name.events" || fail "the task on $name did not succeed: $(tail -n 2 "$work/$name.events")"
    [ "$(grep -c '"verdict":"VERDICT_PASSED"' "$work/$name.events")" -ge 2 ] ||
        fail "the checks of $name did not pass on the base and on the change: $(grep verification "$work/$name.events")"
    branch=$(git --git-dir "$bare" for-each-ref --format='%(refname:short)' refs/heads | grep -vx main)
    git --git-dir "$bare" ls-tree -r --full-tree -z "$branch" | tr '\0' '\n' | sed 's/ blob / /' | LC_ALL=C sort -t '	' -k 2 >"$work/pushed"
    sh "$here/repository.sh" list "$work/expected/$name" >"$work/wanted"
    cmp "$work/wanted" "$work/pushed" || fail "what was pushed for $name differs: $(diff "$work/wanted" "$work/pushed" | head -n 20)"
    [ "$(git --git-dir "$bare" rev-list --count "main..$branch")" = 1 ] || fail "there is not one commit for $name"
    git --git-dir "$bare" fsck --strict --no-dangling >/dev/null || fail "git finds faults in what was pushed for $name"
    echo "$name: $(wc -l <"$work/pushed") files as expected, $(($(date +%s) - begun)) s"
done
