
# Runs inside the sandbox: makes a repository with repository.sh, above, and checks the base out.
# Arguments: folder, objects, format, commit, tree, branch. start.sh goes on from here.
set -eu
cd "$1"; objects=$2; format=$3; commit=$4; tree=$5; branch=$6
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 GIT_LFS_SKIP_SMUDGE=1 LC_ALL=C
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD"

command -v git >/dev/null || { echo "there is no git in the sandbox" >&2; exit 127; }
[ ! -e .git ] || { echo "the work tree is not empty" >&2; exit 1; }
make_repository "$branch"
git reset --quiet --hard >&2
cp .git/index .git/backspace/index
