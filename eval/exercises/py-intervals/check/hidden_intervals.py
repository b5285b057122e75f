import random
import unittest

from intervals import covers, merge


class Hidden(unittest.TestCase):
    def test_a_contained_interval_adds_nothing(self):
        self.assertEqual(merge([(1, 10), (2, 3)]), [(1, 10)])
        self.assertEqual(merge([(1, 10), (2, 3), (4, 12)]), [(1, 12)])

    def test_touching_intervals_are_one(self):
        self.assertEqual(merge([(2, 3), (1, 2)]), [(1, 3)])

    def test_empty_intervals_hold_nothing(self):
        self.assertEqual(merge([(4, 4)]), [])
        self.assertEqual(merge([(4, 4), (1, 2), (2, 2)]), [(1, 2)])

    def test_the_callers_list_stays_as_it_is(self):
        given = [(5, 6), (1, 2)]
        merge(given)
        covers(given, 5)
        self.assertEqual(given, [(5, 6), (1, 2)])

    def test_negative_numbers(self):
        self.assertEqual(merge([(-5, -1), (-3, 2)]), [(-5, 2)])

    def test_the_union_holds_the_same_points(self):
        draw = random.Random(7)
        for _ in range(300):
            given = [(start, start + draw.randrange(5)) for start in (draw.randrange(20) for _ in range(6))]
            wanted = {point for start, end in given for point in range(start, end)}
            merged = merge(given)
            self.assertEqual({point for start, end in merged for point in range(start, end)}, wanted)
            self.assertTrue(all(one[1] < other[0] for one, other in zip(merged, merged[1:])), merged)
