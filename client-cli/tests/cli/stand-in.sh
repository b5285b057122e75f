#!/bin/sh
# Stands for `backspace-server`: notes its arguments, says it is ready at $STAND_IN_ADDRESS, where the test
# serves already, and stops at the end of its input. Without an address it fails as a server may.
# A file of its own, because a program that a test has just written may still be open for writing in a
# child of another test, and then cannot be run.
if [ -z "$STAND_IN_ADDRESS" ]; then
    printf 'no git \033[2J found\n' >&2
    exit 3
fi
printf '%s\n' "$@" > "$HOME/arguments"
echo the server says hello
while [ $# -gt 0 ]; do
    [ "$1" = --ready-file ] && ready=$2
    shift
done
trap : TERM
echo "$STAND_IN_ADDRESS" > "$ready.new"
mv "$ready.new" "$ready"
cat > /dev/null
echo stopped > "$HOME/stopped"
