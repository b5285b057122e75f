. "$CHECK/checks.sh"
first_tests test_cache.py python3 -m unittest
own_tests_find cache.py python3 -m unittest
python_tests 7 hidden_cache
