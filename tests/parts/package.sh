#!/bin/sh
# Part: What is shipped: the image's recipe, compose, systemd, Kubernetes
set -eu
# shellcheck source=tests/python_packages.sh
. "$(dirname "$0")/../python_packages.sh"
packages='kubernetes-validate==1.37.0'
folder=$(packages_folder kubernetes "$packages")
if [ "${1:-}" = --needs ]; then
    for tool in docker-compose:docker-compose systemd-analyze:systemd python3:python3 unshare:util-linux; do
        command -v "${tool%%:*}" >/dev/null 2>&1 || { echo "${tool%%:*} is not installed (Debian: ${tool#*:})"; exit 77; }
    done
    [ "$(id -u)" = 0 ] || { echo "the unit's restrictions can be tried by root only"; exit 77; }
    [ -e "$folder/complete" ] || { install_packages "$folder" "$packages"; touch "$folder/complete"; }
    exit 0
fi
cd "$(dirname "$0")/../.."
: "${CARGO:=cargo}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf -- '-- %s\n' "$1"; }
fail() { printf 'package: %s\n' "$1" >&2; exit 1; }

say "the image's layer of dependencies is a workspace that cargo can read"
layer=$work/layer
mkdir "$layer"
sed -n 's/^COPY \([^-.].*\) \([^ ]*\)$/\1|\2/p' Dockerfile | while IFS='|' read -r from to; do
    case $to in */) mkdir -p "$layer/$to" ;; esac
    # shellcheck disable=SC2086
    cp -r $from "$layer/$to"
done
step=$(sed -n '/^RUN for crate/,/cargo build/p' Dockerfile | sed -e 's/^RUN //' -e 's/\\$//' -e '/cargo build/d' | tr '\n' ' ')
(cd "$layer" && sh -ec "$step" && "$CARGO" tree --quiet --locked --depth 0 --workspace) >/dev/null

say "compose"
: >"$work/.env"
cp compose.yaml "$work/"
(cd "$work" && docker-compose config --quiet)

say "systemd"
sed 's#/usr/local/bin/backspace-server#/bin/true#' packaging/systemd/backspace.service >"$work/backspace.service"
systemd-analyze verify --man=no "$work/backspace.service"
# The unit can't be started where systemd is not the first process, so its restrictions of files and rights are made
# by hand; what matters is that every layer of the sandbox still holds under them.
state=$(mktemp -d /var/lib/backspace-package.XXXXXX)
trap 'rm -rf "$work" "$state"' EXIT
install -m 0755 "$BINARIES/backspace-server" "$BINARIES/backspace-supervisor" "$state/"
install -d -o 10077 -g 10077 -m 0700 "$state/data"
chmod 0755 "$state"
unshare --mount sh -euc '
    mount --make-rprivate /
    mount --bind "$1" "$1"
    mount -o remount,bind,ro /
    for folder in /home /root; do mount -t tmpfs tmpfs "$folder"; done
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    cd "$1/data"
    exec setpriv --reuid=10077 --regid=10077 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
        env -i PATH=/usr/bin:/bin BACKSPACE_DATA_FOLDER="$1/data" "$1/backspace-server" doctor
' sh "$state" >"$work/doctor"
grep -q 'every layer was tried and holds' "$work/doctor" || { cat "$work/doctor"; fail "the sandbox does not hold under the unit's restrictions"; }

say "Kubernetes"
for version in 1.33 1.37; do
    "$folder/bin/kubernetes-validate" --quiet --strict -k "$version" packaging/kubernetes/backspace.yaml
done
sed 's/terminationGracePeriodSeconds/terminationGraceSeconds/' packaging/kubernetes/backspace.yaml >"$work/wrong.yaml"
! "$folder/bin/kubernetes-validate" --quiet --strict -k 1.37 "$work/wrong.yaml" >/dev/null 2>&1 ||
    fail "the schema takes a field that there is not"
