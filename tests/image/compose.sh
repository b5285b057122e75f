#!/bin/sh
# Makes `docker compose` of version 2 from its Go module, once: Debian 12 has only the first version.
# Usage: compose.sh FOLDER   Puts the plugin `docker-compose` there.
set -eu
version=v2.40.3
folder=$1
[ ! -x "$folder/docker-compose" ] || exit 0
mkdir -p "$folder"
work=$(mktemp -d "${TMPDIR:-/tmp}/backspace-compose.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
# `go install` takes no module that excludes versions, so a module around it says the same.
printf 'package compose\n\nimport _ "github.com/docker/compose/v2/cmd"\n' >compose.go
go mod init example.invalid/compose 2>/dev/null
go mod edit -require "github.com/docker/compose/v2@$version" \
    -exclude github.com/davecgh/go-spew@v1.1.2-0.20180830191138-d8f796af33cc \
    -exclude github.com/pmezard/go-difflib@v1.0.1-0.20181226105442-5d4384ee4fb2
go mod tidy 2>/dev/null
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=$version" -o "$folder/docker-compose.new" github.com/docker/compose/v2/cmd
mv "$folder/docker-compose.new" "$folder/docker-compose"
