#!/bin/sh
# Makes what stands for the Dockerfiles' base images where no registry can be pulled from: Debian's packages, what this
# machine trusts, and, in the other, this machine's own Rust. Made once for each recipe and toolchain; they are named by it.
# Prints the two names: of the plain one, and of the one with Rust.
#
# Usage: bases.sh   Needs mmdebstrap, a Docker engine and Rust.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
sysroot=$(rustc --print sysroot)
trusted=/usr/local/share/ca-certificates
sum() { cat "$@" | cksum | cut -d ' ' -f 1; }
recipe=$(sum "$here/bases.sh" $(find "$trusted" -name '*.crt' 2>/dev/null | sort))
plain=backspace-base:$recipe
rust=backspace-base:$recipe-rust-$(rustc --version | cut -d ' ' -f 2)
work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-bases.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Makes an image: NAME PACKAGES, given as --include wants them
from_packages() {
    docker image inspect "$1" >/dev/null 2>&1 && return
    mmdebstrap --variant=minbase --components=main --include="$2" --format=tar --quiet \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook="mkdir -p \"\$1$trusted\" && find $trusted -name '*.crt' -exec cp {} \"\$1$trusted\" ';' && chroot \"\$1\" update-ca-certificates >/dev/null" \
        bookworm "$work/root.tar"
    docker import --change 'CMD ["bash"]' "$work/root.tar" "$1" >"$work/id"
    rm "$work/root.tar"
}
# As debian:bookworm-slim, which has no certificates of its own; a build behind a proxy that looks into TLS needs them.
from_packages "$plain" ca-certificates
docker image inspect "$rust" >/dev/null 2>&1 || {
    # As rust:1-bookworm: a C compiler, git, and the toolchain.
    from_packages "$plain-c" ca-certificates,gcc,g++,libc6-dev,make,perl,git,pkg-config
    mkdir "$work/context"
    tar -C "$sysroot" -cf "$work/context/rust.tar" --exclude='lib/rustlib/src' --exclude='bin/rust-analyzer' --exclude='bin/*clippy*' bin lib
    printf 'FROM %s\nADD rust.tar /usr/local/\nENV CARGO_HOME=/usr/local/cargo\n' "$plain-c" >"$work/context/Dockerfile"
    DOCKER_BUILDKIT=0 docker build --quiet --tag "$rust" "$work/context" >"$work/id"
}
echo "$plain $rust"
