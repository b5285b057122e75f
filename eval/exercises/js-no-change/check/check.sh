. "$CHECK/checks.sh"
node_tests 1 hidden.test.js
