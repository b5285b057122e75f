. "$CHECK/checks.sh"
file="/tmp/some words"
echo "b a c, a! B b b A d e f g h i j k l" >"$file"
top() { sh ./top-words.sh "$@" 2>/tmp/words | tr '\n' ' '; }
same() { [ "$1" = "$2" ] || no "$3: expected '$2', got '$1'"; }
same "$(top "$file")" "3 b 2 a 1 A 1 B 1 c 1 d 1 e 1 f 1 g 1 h " "without options"
same "$(top -n 2 "$file")" "3 b 2 a " "-n 2"
same "$(top -i "$file")" "4 b 3 a 1 c 1 d 1 e 1 f 1 g 1 h 1 i 1 j " "-i"
same "$(top -i -n 3 "$file")" "4 b 3 a 1 c " "-i -n 3"
same "$(top -n 3 -i "$file")" "4 b 3 a 1 c " "-n 3 -i"
same "$(top -n 100 "$file" | wc -w | tr -d ' ')" "28" "-n 100"
for bad in 0 -1 x 1x ""; do
    status=0
    sh ./top-words.sh -n "$bad" "$file" >/tmp/said 2>/tmp/words || status=$?
    same "$status" 2 "status of -n '$bad'"
    [ -s /tmp/words ] && [ ! -s /tmp/said ] || no "-n '$bad' must write to standard error alone"
done
status=0
sh ./top-words.sh -x "$file" >/tmp/said 2>/tmp/words || status=$?
same "$status" 2 "status of an unknown option"
[ -s /tmp/words ] && [ ! -s /tmp/said ] || no "an unknown option must write to standard error alone"
grep -e '-n' README.md >/dev/null && grep -e '-i' README.md >/dev/null || no "the README does not name the options"
first_tests test.sh sh test.sh
own_tests_find top-words.sh sh test.sh
