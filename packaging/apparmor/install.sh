#!/bin/sh
# Installs the AppArmor profile that lets the supervisor make user namespaces (Ubuntu 23.10 and newer).
# Usage: install.sh [--ask] PATH_OF_THE_SUPERVISOR
#
# With --ask it says what it will do and waits for a yes; without a terminal that is a no.
set -eu
ask=0
[ "${1:-}" != --ask ] || { ask=1; shift; }
[ $# = 1 ] || { echo "usage: install.sh [--ask] PATH_OF_THE_SUPERVISOR" >&2; exit 2; }
supervisor=$(readlink -f "$1")
here=$(cd "$(dirname "$0")" && pwd)
target=/etc/apparmor.d/backspace-supervisor
if [ "$ask" = 1 ]; then
    [ -t 0 ] || exit 1
    printf 'This system restricts user namespaces. Install an AppArmor profile for\n  %s\nas %s (needs sudo)? [y/N] ' "$supervisor" "$target"
    read -r answer
    case "$answer" in y | Y | yes) ;; *) exit 1 ;; esac
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
sed "s#^profile backspace-supervisor [^ ]*#profile backspace-supervisor $supervisor#" "$here/backspace-supervisor" | $sudo tee "$target" >/dev/null
$sudo apparmor_parser --replace "$target"
echo "installed $target"
