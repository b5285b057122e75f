. "$CHECK/checks.sh"
python_tests 1 hidden_sizes
