# Runs inside the sandbox: puts the Task's change on top of the commit that the work tree is at.
# Arguments: folder, objects, format, commit, tree, (unused), the Task's tree, the commit it was made on.
# Exit status 3: they contradict each other; stdout names the files.
set -eu
cd "$1"; mine=$7; base=$8
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 GIT_LFS_SKIP_SMUDGE=1 LC_ALL=C
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD"
export GIT_AUTHOR_NAME=Backspace GIT_AUTHOR_EMAIL=backspace@localhost GIT_AUTHOR_DATE='@0 +0000'
export GIT_COMMITTER_NAME=Backspace GIT_COMMITTER_EMAIL=backspace@localhost GIT_COMMITTER_DATE='@0 +0000'
rm -f .git/index.lock

change=$(git commit-tree "$mine" -p "$base" -m change)
if git -c core.hooksPath=/dev/null -c merge.conflictStyle=merge cherry-pick --no-commit "$change" >&2; then
    cp .git/index .git/backspace/index
    git reset --quiet
    exit 0
fi
git -c core.quotePath=true diff --name-only --diff-filter=U | head -n 50
rm -f .git/CHERRY_PICK_HEAD .git/MERGE_MSG
exit 3
