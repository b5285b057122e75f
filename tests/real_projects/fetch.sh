#!/bin/sh
# Brings the source packages of real projects into a folder, by the package managers as this machine has
# them configured. Versions and contents are pinned; what is there already is not fetched again.
# Usage: fetch.sh FOLDER
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

is_right() { [ -f "$1" ] && [ "$(sha256sum <"$1")" = "$2  -" ]; }
take() { # NAME SHA256 FOUND
    is_right "$3" "$2" || { echo "$1 is not what it was when it was pinned" >&2; exit 1; }
    cp "$3" "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
}

name=strsim-0.11.1.crate sum=7da8b5736845d9f2fcb837ea5d9e2628564b3b043a70948a3f0b778838c5fb4f
if ! is_right "$folder/$name" $sum; then
    mkdir -p "$work/crate/src"
    : >"$work/crate/src/lib.rs"
    printf '[package]\nname = "fetch"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\nstrsim = "=0.11.1"\n' >"$work/crate/Cargo.toml"
    (cd "$work/crate" && cargo fetch --quiet)
    take $name $sum "$(find "${CARGO_HOME:-$HOME/.cargo}/registry/cache" -name $name | head -n 1)"
fi

name=meson-1.12.1.tar.gz sum=ab0a6ca09f8ef70c564c8241fb5a23957886a0b53fb58412b5e07eaf07dba743
if ! is_right "$folder/$name" $sum; then
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary meson --dest "$work" meson==1.12.1
    take $name $sum "$work/$name"
fi

name=path-parse-1.0.6.tgz sum=a4a932d61bf4bd3f7b7a8020434e71101195862a86d0ce1e147e7a92cfe6a11f
if ! is_right "$folder/$name" $sum; then
    (cd "$work" && npm pack --silent path-parse@1.0.6 >/dev/null)
    take $name $sum "$work/$name"
fi

name=toml-1.4.0.zip sum=d9274d5bffdb7ff09889055b42d9e123783565ee776d63a7315219ec15a98276
if ! is_right "$folder/$name" $sum; then
    module=github.com/BurntSushi/toml@v1.4.0
    found=$(cd "$work" && GOFLAGS=-mod=mod go mod download -json $module | sed -n 's/.*"Zip": "\(.*\)".*/\1/p')
    take $name $sum "$found"
fi
