# Runs inside the sandbox: takes the pieces of a pack in and makes the work tree equal to a tree.
# Arguments: folder, objects, format, base commit, base tree, (unused), the tree.
set -eu
cd "$1"; commit=$4; tree=$7
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 GIT_LFS_SKIP_SMUDGE=1 LC_ALL=C
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD"
pieces=.git/backspace/restore
for piece in "$pieces"/*; do base64 -d "$piece"; done | git index-pack --stdin --fix-thin >&2
rm -rf "$pieces" .git/index.lock
# A rebase that was given up has left its commit there.
[ "$(git rev-parse --quiet --verify HEAD)" = "$commit" ] || git update-ref --no-deref HEAD "$commit"
git read-tree --reset -u "$tree"
cp .git/index .git/backspace/index
git reset --quiet
