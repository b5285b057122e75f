. "$CHECK/checks.sh"
first_tests emitter.test.js node --test
own_tests_find emitter.js node --test
node_tests 5 hidden.test.js
