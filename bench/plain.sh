#!/bin/sh
# The same work as the scripted task, without a harness.
# Usage: plain.sh BARE_REPOSITORY COUNT FOLDER
set -eu
git clone -q "$1" "$3"
cd "$3"
sh test.sh
number=1
while [ "$number" -le "$2" ]; do
    sh -c "cat src/file$number.txt | wc -l"
    number=$((number + 1))
done
echo changed >src/file1.txt
sh -c 'sh test.sh'
sh test.sh
git checkout -q -b work
git add -A
git -c user.name=b -c user.email=b@example.invalid -c commit.gpgSign=false commit -qm change
git push -q origin work
