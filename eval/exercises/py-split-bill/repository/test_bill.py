import unittest

from bill import split_bill


class SplitBill(unittest.TestCase):
    def test_an_even_bill_is_split_evenly(self):
        self.assertEqual(split_bill(900, [1, 2]), [300, 600])

    def test_the_shares_sum_to_the_total(self):
        self.assertEqual(split_bill(100, [1, 1, 1]), [34, 33, 33])

    def test_those_rounded_down_by_most_get_the_cents(self):
        self.assertEqual(split_bill(10, [1, 5, 1]), [2, 7, 1])

    def test_weights_must_make_sense(self):
        for weights in ([], [0, 0], [1, -1]):
            with self.assertRaises(ValueError):
                split_bill(1, weights)
