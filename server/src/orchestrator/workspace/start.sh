
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
