# Puts files into a page, so that what is shown is what is run: a line `<!-- file: PATH -->` is followed by a block of code that
# has that file. Usage: awk -f sdk/embed.awk PAGE
{ if (!skipping) print }
skipping && /^```$/ { skipping = 0; next }
/^<!-- file: .* -->$/ && !skipping {
    path = $3
    language = path
    sub(/.*\./, "", language)
    print "```" language
    found = 0
    while ((getline line < path) > 0) { print line; found = 1 }
    close(path)
    if (!found) { print "sdk/embed.awk: there is no " path > "/dev/stderr"; exit 1 }
    print "```"
    # The block that was there goes, with its first line.
    getline
    skipping = 1
}
