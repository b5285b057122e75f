#!/bin/sh
# Makes the root file system of an image that is small enough to be pushed, pulled and loaded in a test: git, a shell and
# a few programs, all of this machine, with the libraries that they name.
# Usage: small_image.sh ARCHIVE
set -eu
root=$(mktemp -d "${TMPDIR:-/tmp}/backspace-small-image.XXXXXX")
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin" "$root/etc" "$root/usr"
ln -s ../bin "$root/usr/bin"
programs=
for name in basename cat chmod cp cut date dd dirname echo env false find git grep head id kill ln ls mkdir mktemp mv \
    readlink rm rmdir sed seq sh sleep sort stat sync tail test touch tr true uname wc xargs; do
    program=$(command -v "$name") || { echo "$name is not installed" >&2; exit 1; }
    case $program in /*) ;; *) program=$(PATH=/usr/bin:/bin which "$name") ;; esac
    cp -L "$program" "$root/bin/$name"
    programs="$programs $program"
done
# shellcheck disable=SC2086
ldd $programs | sed -n 's/.*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p' | sort -u | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
echo 'agent:x:1000:1000::/home/agent:/bin/sh' >"$root/etc/passwd"
tar -C "$root" -cf "$1" .
