import random
import unittest
from fractions import Fraction

from bill import split_bill


class Hidden(unittest.TestCase):
    def test_thirds(self):
        self.assertEqual(split_bill(200, [1, 1, 1]), [67, 67, 66])
        self.assertEqual(split_bill(10, [1, 5, 1]), [2, 7, 1])

    def test_a_weight_of_nothing_pays_nothing(self):
        self.assertEqual(split_bill(7, [0, 1, 0, 1]), [0, 4, 0, 3])

    def test_large_amounts_are_exact(self):
        total = 10**17 + 1
        self.assertEqual(split_bill(total, [1, 1]), [5 * 10**16 + 1, 5 * 10**16])

    def test_every_bill_is_split_as_promised(self):
        draw = random.Random(7)
        for _ in range(500):
            weights = [draw.randrange(6) for _ in range(draw.randrange(1, 6))]
            if sum(weights) == 0:
                continue
            total = draw.randrange(1000)
            exact = [Fraction(total * weight, sum(weights)) for weight in weights]
            wanted = [int(share) for share in exact]
            order = sorted(range(len(weights)), key=lambda at: (wanted[at] - exact[at], at))
            for at in order[: total - sum(wanted)]:
                wanted[at] += 1
            self.assertEqual(split_bill(total, weights), wanted, (total, weights))
