#!/bin/sh
# Checks the dependencies (deny.toml) and writes a bill of materials for each program that is shipped.
#
# Not a part of `make test`: its two tools take longer to build than everything else together. They are installed by
# cargo install --locked cargo-deny cargo-cyclonedx. Usage: audit.sh FOLDER
set -eu
cd "$(dirname "$0")/.."
: "${CARGO:=cargo}"
folder=${1:?folder of the bills of materials}
for tool in cargo-deny cargo-cyclonedx; do
    command -v "$tool" >/dev/null 2>&1 || { echo "$tool is not installed: cargo install --locked $tool" >&2; exit 1; }
done
cargo-deny --locked --all-features check --hide-inclusion-graph licenses bans sources
if [ "${OFFLINE:-}" = 1 ]; then
    echo "advisories: not checked (OFFLINE=1)"
else
    cargo-deny --locked --all-features check advisories || {
        echo "audit: advisories failed; without a way to their database set OFFLINE=1, and look at them elsewhere" >&2
        exit 1
    }
fi
sh scripts/bill-of-materials.sh "$folder"
for crate in backspace-server backspace-cli sandbox-supervisor; do
    python3 - "$folder/$crate.cdx.json" <<'PYTHON'
import json, sys
bill = json.load(open(sys.argv[1]))
unlicensed = [part["name"] for part in bill["components"] if "licenses" not in part]
unlicensed = [name for name in unlicensed if not name.startswith(("backspace", "sandbox"))]
assert bill["bomFormat"] == "CycloneDX" and len(bill["components"]) > 10, "the bill lacks its parts"
assert not unlicensed, f"no licence is known of {unlicensed}"
PYTHON
done
