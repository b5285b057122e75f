#!/bin/sh
# Prints the ten most frequent words of a file, most frequent first, as `COUNT WORD`.
# Usage: top-words.sh FILE
LC_ALL=C
export LC_ALL
tr -cs 'A-Za-z' '\n' <"$1" | grep . | sort | uniq -c | sort -k1,1nr -k2 | head -n 10 | awk '{ print $1, $2 }'
