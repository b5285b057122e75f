#!/bin/sh
# Builds what is released: the same bytes from the same source and toolchain, wherever the source lies and when.
#
# Paths of this machine would otherwise be in messages of panics and assertions. The version of the toolchain is part
# of the input: pin RUST_IMAGE by digest where it matters. Usage: release.sh [PACKAGE…]; all programs without one.
set -eu
cd "$(dirname "$0")/.."
: "${CARGO:=cargo}" "${TARGET_FOLDER:=${CARGO_TARGET_DIR:-target}}"
here=$(pwd -P)
mkdir -p "$TARGET_FOLDER"
target=$(cd "$TARGET_FOLDER" && pwd -P)
cargo_home=$(cd "${CARGO_HOME:-$HOME/.cargo}" && pwd -P)
sysroot=$(rustc --print sysroot)

# The last prefix that fits is the one that counts.
rust_map= c_map=
for pair in "$here=/source" "$target=/source/target" "$cargo_home=/cargo" "$sysroot=/rust"; do
    rust_map="$rust_map --remap-path-prefix=$pair"
    c_map="$c_map -ffile-prefix-map=$pair"
done
export RUSTFLAGS="$rust_map" CFLAGS="$c_map" CXXFLAGS="$c_map" CARGO_INCREMENTAL=0 TARGET_FOLDER CARGO
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH CARGO_TARGET_DIR="$target" TZ=UTC LC_ALL=C

[ "$#" -gt 0 ] || set -- backspace-server backspace-cli sandbox-supervisor
for package in "$@"; do
    case $package in
        sandbox-supervisor) PROFILE=release sh scripts/supervisor.sh ;;
        *) "$CARGO" build --locked --release -p "$package" ;;
    esac
done
cd "$target/release"
for program in backspace-server backspace backspace-supervisor; do
    [ ! -e "$program" ] || sha256sum "$program"
done
