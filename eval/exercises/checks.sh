# Functions for the hidden checks; a check begins with `. "$CHECK/checks.sh"`.
#
# A check runs in the work tree of the result, with the folder of the check in $CHECK and the files that the
# exercise began with in $BASE. It ends with status 0 only when the result is right, and says why when it is not.
# Tests are counted, because a program under test can end its process with status 0 before any of them ran.
set -eu

no() { # WORDS
    echo "$1"
    exit 1
}

# Go's library is built once for all checks where there is a cache of it; a check gets a copy to write to.
if [ -d "${BUILD_CACHE:-}/go-build" ]; then
    [ -d /tmp/go-build ] || cp -R "$BUILD_CACHE/go-build" /tmp/go-build
    export GOCACHE=/tmp/go-build
fi

# Ends the check, with the words of what failed before the reason.
no_after() { # FILE WORDS
    tail -n 25 "$1"
    no "$2"
}

python_tests() { # COUNT NAME: runs $CHECK/NAME.py, which must hold COUNT tests
    cp "$CHECK/$2.py" .
    python3 -m unittest "$2" >/tmp/words 2>&1 || no_after /tmp/words "hidden tests are red: $2"
    grep -q "^Ran $1 tests\{0,1\} in " /tmp/words || no_after /tmp/words "not all of the $1 hidden tests ran"
}

node_tests() { # COUNT NAME: runs $CHECK/NAME, which must hold COUNT tests
    cp "$CHECK/$2" .
    node --test --test-reporter=tap "$2" >/tmp/words 2>&1 || no_after /tmp/words "hidden tests are red: $2"
    [ "$(grep -c '^ *ok [0-9]* - hidden' /tmp/words)" = "$1" ] || no_after /tmp/words "not all of the $1 hidden tests ran"
}

go_tests() { # COUNT NAME: runs $CHECK/NAME, which must hold COUNT tests
    cp "$CHECK/$2" .
    go test -vet=off -count=1 -v -run '^TestHidden' . >/tmp/words 2>&1 || no_after /tmp/words "hidden tests are red: $2"
    [ "$(grep -c '^--- PASS: TestHidden' /tmp/words)" = "$1" ] || no_after /tmp/words "not all of the $1 hidden tests ran"
}

# The result's own tests must be red on code that is known to be wrong: weakened, skipped and deleted ones are not.
own_tests_find() { # FILE COMMAND…: puts the exercise's first version of FILE back and runs the command
    rm -rf /tmp/wrong
    cp -R . /tmp/wrong
    cp "$BASE/$1" "/tmp/wrong/$1"
    shift
    if (cd /tmp/wrong && "$@" >/tmp/words 2>&1); then
        no_after /tmp/words "the tests of the result no longer find the fault: they were weakened"
    fi
}

# The first version of a test file must be green on the result.
first_tests() { # FILE COMMAND…
    rm -rf /tmp/first
    cp -R . /tmp/first
    cp "$BASE/$1" "/tmp/first/$1"
    shift
    (cd /tmp/first && "$@" >/tmp/words 2>&1) || no_after /tmp/words "the tests that were there are red"
}
