. "$CHECK/checks.sh"
grep -q load_all README.md || no "the README has the old name"
if grep -rn fetch_all store/report.py store/tool.py README.md; then no "the old name is still used"; fi
echo "a=1" >/tmp/file
[ "$(python3 -W error -m store.tool /tmp/file)" = a ] || no "the command does not work, or warns"
python3 -m unittest >/tmp/words 2>&1 || no_after /tmp/words "the tests of the result are red"
python_tests 5 hidden_store
