import unittest

from sizes import parse_size


class ParseSize(unittest.TestCase):
    def test_units_are_powers_of_1024_in_either_case(self):
        self.assertEqual([parse_size(text) for text in ("10", "1k", "1.5k", "1.5K", "2 G")], [10, 1024, 1536, 1536, 2**31])

    def test_unknown_units_are_refused(self):
        with self.assertRaises(ValueError):
            parse_size("1kk")
