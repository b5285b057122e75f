import unittest

from sizes import parse_size


class Hidden(unittest.TestCase):
    def test_it_does_what_the_readme_says(self):
        self.assertEqual([parse_size(text) for text in ("1.5k", "1.5K", "1M")], [1536, 1536, 1024**2])
