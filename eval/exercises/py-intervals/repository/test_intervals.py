import unittest

from intervals import covers, merge


class Merge(unittest.TestCase):
    def test_overlapping_intervals_are_one(self):
        self.assertEqual(merge([(5, 8), (1, 3), (2, 4)]), [(1, 4), (5, 8)])

    def test_no_intervals_have_no_union(self):
        self.assertEqual(merge([]), [])

    def test_a_point_is_covered_from_the_start_to_before_the_end(self):
        self.assertTrue(covers([(1, 3)], 1))
        self.assertFalse(covers([(1, 3)], 3))


if __name__ == "__main__":
    unittest.main()
