#!/bin/sh
# Makes a small bare repository whose test, in POSIX sh, fails.
# Usage: make-repository.sh BARE SEED
set -eu
bare=$1 seed=$2
mkdir -p "$seed"
cat >"$seed/greet.sh" <<'TEXT'
#!/bin/sh
# Greets whoever is named.
echo "Hey $1"
TEXT
cat >"$seed/test.sh" <<'TEXT'
#!/bin/sh
# The greeting must be polite.
got=$(sh ./greet.sh Ada)
if [ "$got" = "Good day, Ada." ]; then
    echo "ok: $got"
else
    echo "not ok: expected 'Good day, Ada.', got '$got'"
    exit 1
fi
TEXT
cat >"$seed/README.md" <<'TEXT'
# greeter

Greets people. `sh test.sh` tests it.
TEXT
cat >"$seed/.backspace.toml" <<'TEXT'
# How a change to this repository is proved.
[verify]
commands = ["sh test.sh"]
TEXT
git -c init.defaultBranch=main init -q "$seed"
git -C "$seed" add -A
GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z' \
    git -C "$seed" -c user.name=Ada -c user.email=ada@example.invalid -c commit.gpgSign=false commit -qm 'Greet people'
mkdir -p "$(dirname "$bare")"
git clone -q --bare "$seed" "$bare"
