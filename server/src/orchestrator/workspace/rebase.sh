# Runs inside the sandbox: puts the Task's change on top of another commit.
# Arguments: folder, objects, format, old base commit, old base tree, the commit to stand on, the Task's tree.
# Exit status 3: they contradict each other; the work tree is as before, stdout names the files.
set -eu
cd "$1"; base=$4; onto=$6; mine=$7
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 GIT_LFS_SKIP_SMUDGE=1 LC_ALL=C
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD"
export GIT_AUTHOR_NAME=Backspace GIT_AUTHOR_EMAIL=backspace@localhost GIT_AUTHOR_DATE='@0 +0000'
export GIT_COMMITTER_NAME=Backspace GIT_COMMITTER_EMAIL=backspace@localhost GIT_COMMITTER_DATE='@0 +0000'
rm -f .git/index.lock

change=$(git commit-tree "$mine" -p "$base" -m change)
git read-tree --reset -u "$mine"
git update-ref --no-deref HEAD "$onto"
git read-tree --reset -u "$onto"
if git -c core.hooksPath=/dev/null -c merge.conflictStyle=merge cherry-pick --no-commit "$change" >&2; then
    cp .git/index .git/backspace/index
    git reset --quiet
    exit 0
fi
git -c core.quotePath=true diff --name-only --diff-filter=U | head -n 50
rm -f .git/CHERRY_PICK_HEAD .git/MERGE_MSG
git update-ref --no-deref HEAD "$base"
git read-tree --reset -u "$mine"
cp .git/index .git/backspace/index
git reset --quiet
exit 3
