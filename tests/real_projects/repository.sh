#!/bin/sh
# Makes a bare repository of a folder, with history, and prints the tree of a folder: each file as it is,
# byte for byte, whatever attributes say.
# Usage: repository.sh make FOLDER BARE COMMANDS | repository.sh list FOLDER
set -eu
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null LC_ALL=C
export GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.invalid GIT_COMMITTER_NAME=Ada GIT_COMMITTER_EMAIL=ada@example.invalid

list() { # FOLDER, in the repository that GIT_DIR names: lines for `update-index --index-info`
    (
        cd "$1"
        find . -type f ! -path './.git/*' | sed 's|^\./||' | sort >"$work/files"
        git hash-object -w --no-filters --stdin-paths <"$work/files" >"$work/ids"
        while IFS= read -r path; do
            if [ -x "$path" ]; then echo 100755; else echo 100644; fi
        done <"$work/files" >"$work/modes"
        paste -d ' ' "$work/modes" "$work/ids" >"$work/heads"
        paste "$work/heads" "$work/files"
        find . -type l ! -path './.git/*' | sed 's|^\./||' | sort | while IFS= read -r path; do
            printf '120000 %s\t%s\n' "$(printf %s "$(readlink "$path")" | git hash-object -w --stdin)" "$path"
        done
    )
}

work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-repository.XXXXXX")
trap 'rm -rf "$work"' EXIT
case $1 in
make)
    folder=$2 bare=$3 commands=$4
    git -c init.defaultBranch=main init --quiet --bare "$bare"
    export GIT_DIR="$bare" GIT_INDEX_FILE="$work/index"
    printf '[verify]\ncommands = [%s]\n' "$commands" >"$folder/.backspace.toml"
    list "$folder" >"$work/all"
    # Three commits: half of the files, all of them, and how they are checked.
    parent=
    for part in half all check; do
        case $part in
        half) awk 'NR % 2' "$work/all" ;;
        all) grep -v '	\.backspace\.toml$' "$work/all" ;;
        check) cat "$work/all" ;;
        esac | git update-index --add --index-info
        parent=$(git commit-tree "$(git write-tree)" ${parent:+-p "$parent"} -m "Add $part")
    done
    git update-ref refs/heads/main "$parent"
    # A push makes a full repository tidy itself in the background, which a look at it may meet half done.
    git config gc.auto 0
    ;;
list)
    git init --quiet --bare "$work/objects.git"
    export GIT_DIR="$work/objects.git"
    list "$2" | sort -t '	' -k 2
    ;;
esac
