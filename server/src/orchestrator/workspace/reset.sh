# Runs inside the sandbox: brings the work tree back to what was saved last. Files that git ignores stay.
# Arguments: folder, objects, format, base commit, base tree, (unused).
set -eu
cd "$1"
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 GIT_LFS_SKIP_SMUDGE=1 LC_ALL=C
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD" GIT_INDEX_FILE="$PWD/.git/backspace/index"
rm -f "$GIT_INDEX_FILE.lock"
# Only what differs is written: a new time on every file would make builds start over.
git diff-files --name-only -z | git checkout-index --force --quiet -z --stdin
git clean --quiet --force -d
