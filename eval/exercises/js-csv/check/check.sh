. "$CHECK/checks.sh"
first_tests csv.test.js node --test
own_tests_find csv.js node --test
node_tests 5 hidden.test.js
