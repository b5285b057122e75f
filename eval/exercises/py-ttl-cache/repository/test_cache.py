import unittest

from cache import Cache


class LeastRecentlyUsed(unittest.TestCase):
    def test_the_least_recently_used_entry_gives_way(self):
        cache = Cache(2)
        cache.put("a", 1)
        cache.put("b", 2)
        cache.get("a")
        cache.put("c", 3)
        self.assertEqual([key in cache for key in "abc"], [True, False, True])
        self.assertEqual(len(cache), 2)

    def test_a_missing_entry_is_the_default(self):
        self.assertEqual(Cache(1).get("a", 7), 7)

    def test_a_capacity_of_nothing_is_refused(self):
        with self.assertRaises(ValueError):
            Cache(0)
