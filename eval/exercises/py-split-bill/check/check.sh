. "$CHECK/checks.sh"
first_tests test_bill.py python3 -m unittest test_bill
own_tests_find bill.py python3 -m unittest
python_tests 4 hidden_bill
