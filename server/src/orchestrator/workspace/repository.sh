# Part of the scripts that may have to make a repository. It is over the mirror's objects where they are
# shown; else over those of the base commit alone, which the server sends as pieces of a pack into .git-base.
# Exit status 4: they are wanted.
make_repository() { # BRANCH
    mkdir -p .git/objects/info .git/objects/pack .git/refs/heads .git/info .git/backspace
    if [ "$format" = sha256 ]; then
        printf '[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n' >.git/config
    else
        printf '[core]\n\trepositoryformatversion = 0\n' >.git/config
    fi
    printf '[core]\n\tbare = false\n\tlogallrefupdates = true\n[gc]\n\tauto = 0\n' >>.git/config
    printf '[user]\n\tname = Backspace\n\temail = backspace@localhost\n' >>.git/config
    printf '%s refs/heads/%s\n' "$commit" "$1" >.git/packed-refs
    printf 'ref: refs/heads/%s\n' "$1" >.git/HEAD
    if [ -d "$objects" ]; then printf '%s\n' "$objects" >.git/objects/info/alternates; else take_base; fi
}
take_base() {
    [ -d .git-base ] || { rm -rf .git; exit 4; }
    for piece in .git-base/*; do base64 -d "$piece"; done | git index-pack --stdin >&2
    # What came before that commit did not come with it.
    echo "$commit" >>.git/shallow
    rm -rf .git-base
}
