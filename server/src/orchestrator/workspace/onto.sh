
# Runs inside the sandbox, with repository.sh above: makes the work tree that of another commit of the
# repository. What was saved last is still told by the index beside, until reapply.sh has succeeded.
# start.sh goes on from here.
# Arguments: folder, objects, format, the commit to stand on, its tree, (unused), the Task's tree.
set -eu
cd "$1"; commit=$4; tree=$5; mine=$7
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 GIT_LFS_SKIP_SMUDGE=1 LC_ALL=C
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD"
rm -f .git/index.lock
git cat-file -e "$commit" 2>/dev/null || { [ -d .git-base ] || exit 4; take_base; }

git read-tree --reset -u "$mine" >&2
git read-tree --reset -u "$tree" >&2
git update-ref --no-deref HEAD "$commit" >&2
