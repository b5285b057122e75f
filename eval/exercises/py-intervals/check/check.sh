. "$CHECK/checks.sh"
first_tests test_intervals.py python3 -m unittest
own_tests_find intervals.py python3 -m unittest
python_tests 6 hidden_intervals
