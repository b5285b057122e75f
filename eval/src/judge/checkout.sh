# Runs inside the judge's sandbox: puts the result into the work tree and the base beside it.
# Arguments: folder of borrowed objects, base commit, commit of the result.
set -eu
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 LC_ALL=C
work=$PWD
git init --quiet --bare /tmp/git
echo "$1" >/tmp/git/objects/info/alternates
mkdir -p "$BASE" "$CHECK"
out() { # COMMIT FOLDER
    cd "$2"
    rm -f /tmp/git/index
    git --git-dir /tmp/git --work-tree . read-tree "$1"
    git --git-dir /tmp/git --work-tree . checkout-index --all
}
out "$2" "$BASE"
out "$3" "$work"
rm -rf /tmp/git
