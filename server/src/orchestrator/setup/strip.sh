# Runs inside a sandbox of its own, after set-up commands: leaves in the work tree only what git ignores.
# Arguments: folder, home folder.
# Stdout: the bytes that both take then. Exit status 3: what the commands left is not git's and not ignored either, or
# is a change of what is git's; stdout names it, and nothing was removed.
set -eu
cd "$1"; home=$2
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 LC_ALL=C
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD" GIT_INDEX_FILE="$PWD/.git/backspace/index"
# What only this repository ignores is not ignored in the next.
rm -f .git/info/exclude "$GIT_INDEX_FILE.lock"
left() {
    git -c core.excludesFile=/dev/null -c core.hooksPath=/dev/null -c core.fsmonitor=false \
        status --porcelain --untracked-files=normal --ignore-submodules=none
    git ls-files --stage | sed -n "s/^160000 [0-9a-f]* 0$(printf '\t')//p" | while read -r submodule; do
        [ -z "$(ls -A "$submodule" 2>/dev/null)" ] || printf '%s\n' "$submodule"
    done
}
left=$(left | head -n 10)
[ -z "$left" ] || { printf '%s\n' "$left"; exit 3; }

git -c core.hooksPath=/dev/null read-tree --reset -u "$(git hash-object -t tree /dev/null)" >&2
rm -rf .git
echo "$(($(du -sk . 2>/dev/null | cut -f1) * 1024 + $(du -sk "$home" 2>/dev/null | cut -f1) * 1024))"
