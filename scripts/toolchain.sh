#!/bin/sh
# Checks what a build needs. What is missing is installed from the distribution where that can be
# done, and said before it is done; Rust comes from rustup, which is left to the person.
set -eu
missing=
command -v git >/dev/null 2>&1 || missing="$missing git"
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
if [ -n "$missing" ]; then
    if command -v apt-get >/dev/null 2>&1; then
        sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
        echo "missing:$missing; installing with: $sudo apt-get install -y$missing" >&2
        $sudo apt-get update -qq && $sudo apt-get install -y -qq $missing >&2
    else
        echo "missing:$missing; please install these with your package manager" >&2
        exit 1
    fi
fi
if ! command -v cargo >/dev/null 2>&1; then
    echo "Rust is missing: install it from https://rustup.rs (version 1.90 or newer), then run this again" >&2
    exit 1
fi
version=$(rustc --version | sed 's/^rustc 1\.\([0-9]*\).*/\1/')
if [ "$version" -lt 90 ] 2>/dev/null; then
    echo "Rust 1.$version is too old: version 1.90 or newer is needed (rustup update)" >&2
    exit 1
fi
