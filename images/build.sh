#!/bin/sh
# Makes the default image of sandboxes from Debian's packages, without a registry: what images/Dockerfile makes of an
# image that a registry has. Needs mmdebstrap and the Docker client.
#
# Usage: images/build.sh [NAME [ARCHIVE]]
# With ARCHIVE the root file system is kept there, and not made again when it is there already.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
name=${1:-backspace-sandbox:latest}
archive=${2:-}
suite=bookworm

command -v mmdebstrap >/dev/null 2>&1 || { echo "mmdebstrap is not installed (Debian: mmdebstrap)" >&2; exit 1; }
if [ -z "$archive" ]; then
    archive=$(mktemp "${TMPDIR:-/tmp}/backspace-image.XXXXXX")
    trap 'rm -f "$archive"' EXIT
    rm -f "$archive"
fi
if [ ! -s "$archive" ]; then
    packages=$(grep -v '^#' "$here/packages.txt" | paste -s -d , -)
    mmdebstrap --variant=minbase --components=main --include="$packages" --format=tar --quiet \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='chroot "$1" useradd --uid 1000 --no-create-home --home-dir /home/agent --shell /bin/sh agent' \
        "$suite" "$archive.new"
    mv "$archive.new" "$archive"
fi
# Nobody waits for the layers of an image that has one.
id=$(docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$archive" "$name")
echo "$name is $id"
