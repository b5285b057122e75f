. "$CHECK/checks.sh"
first_tests pool.test.js node --test
own_tests_find pool.js node --test
node_tests 6 hidden.test.js
