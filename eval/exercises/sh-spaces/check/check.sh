. "$CHECK/checks.sh"
folder="/tmp/a folder [x]"
mkdir "$folder"
: >"$folder/my notes.txt"
: >"$folder/two  spaces.txt"
: >"$folder/[a].txt"
: >"$folder/-n.txt"
echo words >"$folder/full one.txt"
: >"$folder/other.md"
got=$(sh ./tidy.sh "$folder" 2>/tmp/words) || no_after /tmp/words "tidy.sh failed with spaces in names"
[ "$got" = "moved 4" ] || no "4 empty files with odd names: it said '$got'"
[ ! -s /tmp/words ] || no_after /tmp/words "it wrote errors"
for name in "my notes.txt" "two  spaces.txt" "[a].txt" "-n.txt"; do
    [ -e "$folder/empty/$name" ] || no "'$name' was not moved"
done
[ -e "$folder/full one.txt" ] && [ -e "$folder/other.md" ] || no "a file was moved that should stay"

mkdir /tmp/none
got=$(sh ./tidy.sh /tmp/none 2>/tmp/words) || no_after /tmp/words "tidy.sh failed on a folder without text files"
[ "$got" = "moved 0" ] && [ ! -s /tmp/words ] || no_after /tmp/words "without text files it said '$got'"
first_tests test.sh sh test.sh
own_tests_find tidy.sh sh test.sh
