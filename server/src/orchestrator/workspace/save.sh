
# Runs inside the sandbox, with repository.sh above: writes the work tree as git objects and delivers those
# that the server lacks.
# Arguments: folder, objects, format, base commit, base tree, (unused), the tree that the server has.
# Stdout: a line `tree <id>`, then a pack when the tree is not the known one.
set -eu
cd "$1"; objects=$2; format=$3; commit=$4; tree=$5; known=$7
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 LC_ALL=C
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD" GIT_INDEX_FILE="$PWD/.git/backspace/index"
rm -f "$GIT_INDEX_FILE.lock"

# The agent may have removed or broken its repository; the files are what counts.
mend() {
    rm -rf .git
    make_repository mended
    git read-tree "$tree" >&2
}
[ -f "$GIT_INDEX_FILE" ] || mend
write() {
    # A nested repository without a commit stops a plain `add`; everything else is taken then.
    git -c core.safecrlf=false -c advice.addEmbeddedRepo=false add --all . >&2 ||
        git -c core.safecrlf=false -c advice.addEmbeddedRepo=false add --all --ignore-errors . >&2 || :
    git write-tree
}
new=$(write) || { mend; new=$(write); }

# What is new: the files and folders that differ from the known tree. The server has the known tree; the
# sandbox may not, after a restore from nothing, and compares with the base then. Without the base the
# objects were thrown away, though every file was just hashed anew.
from=$known
if [ "$new" != "$known" ] && ! git cat-file -e "$known" 2>/dev/null; then
    from=$tree
    git cat-file -e "$tree" 2>/dev/null || { mend; new=$(write); }
fi
changed() {
    [ "$new" = "$known" ] || git diff-tree -r -t --no-renames --diff-filter=d --raw --no-abbrev "$from" "$new"
}
list=$(changed)
case "$list" in
*.gitignore*)
    # What is ignored only now, and was saved before, leaves again; what the base has stays.
    git diff-index --cached -z --name-only --no-renames --diff-filter=A "$tree" |
        git check-ignore -z --no-index --stdin | git update-index -z --force-remove --stdin >&2
    new=$(git write-tree)
    list=$(changed)
    ;;
esac
echo "tree $new"
[ "$new" != "$known" ] || exit 0
{
    printf '%s\n' "$list" |
        sed -n -e '/^:[0-7]* 160000/d' -e 's/^:[0-7]* [0-7]* [0-9a-f]* \([0-9a-f]*\) .*/\1/p'
    echo "$new"
} |
    git pack-objects --quiet --stdout --window=0
