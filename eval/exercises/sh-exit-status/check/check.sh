. "$CHECK/checks.sh"
mkdir /tmp/in
echo words >/tmp/in/a
[ "$(sh ./pack.sh /tmp/in /tmp/out.tgz)" = packed ] || no "a good folder is not packed"
gzip -dc /tmp/out.tgz | tar -tf - | grep -x ./a >/dev/null || no "the archive does not hold the file"
[ "$(cksum </tmp/out.tgz)" = "$(cat /tmp/out.tgz.sum)" ] || no "the checksum is not that of the archive"

cp /tmp/out.tgz /tmp/before
cp /tmp/out.tgz.sum /tmp/before.sum
if sh ./pack.sh /tmp/missing /tmp/out.tgz >/tmp/said 2>/dev/null; then no "a missing folder is no error"; fi
[ ! -s /tmp/said ] || no "it wrote to standard output on a failure"
cmp /tmp/before /tmp/out.tgz && cmp /tmp/before.sum /tmp/out.tgz.sum || no "a failure changed an earlier archive"
if sh ./pack.sh /tmp/missing /tmp/new.tgz >/dev/null 2>&1; then no "a missing folder is no error"; fi
[ -z "$(ls /tmp | grep '^new')" ] || no "a failure left files behind: $(ls /tmp | grep '^new' | tr '\n' ' ')"
if sh ./pack.sh /tmp/in /tmp/no-such-folder/x.tgz >/dev/null 2>&1; then no "an archive that can't be written is no error"; fi
head -n 1 pack.sh | grep bash >/dev/null && no "it is no longer POSIX sh"
first_tests test.sh sh test.sh
