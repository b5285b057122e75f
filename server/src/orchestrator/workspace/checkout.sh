# Runs inside the sandbox: makes a repository that borrows the mirror's objects and checks the base out.
# Arguments: folder, objects, format, commit, tree, branch. Stdout: a delivery (see save.sh).
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

# Where attributes change content on its way in or out, the fresh checkout may differ from the base.
# That difference is told, so that it is never taken for a change of the Task.
start=$tree
if [ -n "$(git ls-files -- .gitattributes '*/.gitattributes' | head -n 1)" ]; then
    cp .git/index .git/backspace/start
    GIT_INDEX_FILE=.git/backspace/start git -c core.safecrlf=false add --renormalize --update . >&2 || :
    start=$(GIT_INDEX_FILE=.git/backspace/start git write-tree)
    rm -f .git/backspace/start
fi
echo "tree $start"
[ "$start" = "$tree" ] || {
    {
        git diff-tree -r -t --no-renames --diff-filter=d --raw --no-abbrev "$tree" "$start" |
            sed -n -e '/^:[0-7]* 160000/d' -e 's/^:[0-7]* [0-7]* [0-9a-f]* \([0-9a-f]*\) .*/\1/p'
        echo "$start"
    } |
        git pack-objects --quiet --stdout --window=0
}
