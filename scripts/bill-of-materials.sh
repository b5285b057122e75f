#!/bin/sh
# Writes a CycloneDX bill of materials for each program that is shipped.
# Usage: bill-of-materials.sh FOLDER
set -eu
cd "$(dirname "$0")/.."
folder=$1
mkdir -p "$folder"
# The tool writes beside each manifest; what it leaves there is moved.
cargo cyclonedx --quiet --format json --target x86_64-unknown-linux-gnu --override-filename bill-of-materials
for pair in server:backspace-server client-cli:backspace-cli sandbox-supervisor:sandbox-supervisor; do
    mv "${pair%%:*}/bill-of-materials.json" "$folder/${pair#*:}.cdx.json"
done
find . -name bill-of-materials.json -not -path './target/*' -delete
ls -l "$folder"
