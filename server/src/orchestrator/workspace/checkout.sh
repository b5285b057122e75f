# Runs inside the sandbox: makes a repository that borrows the mirror's objects and checks the base out.
# Arguments: folder, objects, format, commit, tree, branch. start.sh goes on from here.
set -eu
cd "$1"; objects=$2; format=$3; commit=$4; tree=$5; branch=$6
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 GIT_LFS_SKIP_SMUDGE=1 LC_ALL=C
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD"

command -v git >/dev/null || { echo "there is no git in the sandbox" >&2; exit 127; }
[ ! -e .git ] || { echo "the work tree is not empty" >&2; exit 1; }
mkdir -p .git/objects/info .git/objects/pack .git/refs/heads .git/info .git/backspace
if [ "$format" = sha256 ]; then
    printf '[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n' >.git/config
else
    printf '[core]\n\trepositoryformatversion = 0\n' >.git/config
fi
printf '[core]\n\tbare = false\n\tlogallrefupdates = true\n[gc]\n\tauto = 0\n' >>.git/config
printf '[user]\n\tname = Backspace\n\temail = backspace@localhost\n' >>.git/config
printf '%s\n' "$objects" >.git/objects/info/alternates
printf '%s refs/heads/%s\n' "$commit" "$branch" >.git/packed-refs
printf 'ref: refs/heads/%s\n' "$branch" >.git/HEAD
git reset --quiet --hard >&2
cp .git/index .git/backspace/index
