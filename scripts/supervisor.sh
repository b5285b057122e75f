#!/bin/sh
# Builds the supervisor as a static binary and puts it beside the server's.
#
# It runs as PID 1 in any image, so it must not need a C library there. The glibc target links
# statically with crt-static; that flag needs a cargo call of its own, since proc macros of the
# workspace can't be built with it.
set -eu
: "${CARGO:=cargo}" "${PROFILE:=dev}" "${TARGET_FOLDER:=target}"
HOST=${HOST:-$(rustc -vV | sed -n 's/^host: //p')}
[ "$PROFILE" = release ] && folder=release || folder=debug
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
    "$CARGO" build --locked --quiet --profile "$PROFILE" -p sandbox-supervisor --target "$HOST" --target-dir "$TARGET_FOLDER/static"
mkdir -p "$TARGET_FOLDER/$folder"
cp -f "$TARGET_FOLDER/static/$HOST/$folder/backspace-supervisor" "$TARGET_FOLDER/$folder/.backspace-supervisor.new"
mv -f "$TARGET_FOLDER/$folder/.backspace-supervisor.new" "$TARGET_FOLDER/$folder/backspace-supervisor"
printf "supervisor: %s KiB, static\n" "$(($(wc -c <"$TARGET_FOLDER/$folder/backspace-supervisor") / 1024))"
