import time
import unittest
from unittest import mock

from cache import Cache


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Hidden(unittest.TestCase):
    def setUp(self):
        self.clock = Clock()

    def cache(self, capacity, ttl=10):
        return Cache(capacity, ttl=ttl, clock=self.clock)

    def test_an_entry_is_gone_after_its_time(self):
        cache = self.cache(4)
        cache.put("a", 1)
        self.clock.now += 9.5
        self.assertEqual((cache.get("a"), "a" in cache, len(cache)), (1, True, 1))
        self.clock.now += 0.5
        self.assertEqual((cache.get("a", 0), "a" in cache, len(cache)), (0, False, 0))

    def test_reading_does_not_make_it_live_longer_and_putting_does(self):
        cache = self.cache(4)
        cache.put("a", 1)
        cache.put("b", 1)
        self.clock.now += 6
        cache.get("a")
        cache.put("b", 2)
        self.clock.now += 6
        self.assertEqual((cache.get("a"), cache.get("b")), (None, 2))

    def test_expired_entries_give_way_before_live_ones(self):
        cache = self.cache(2)
        cache.put("live", 1)
        cache.put("old", 1)
        self.clock.now += 6
        cache.put("live", 2)
        cache.get("old")
        self.clock.now += 6
        cache.put("new", 3)
        self.assertEqual((cache.get("live"), cache.get("old"), cache.get("new")), (2, None, 3))

    def test_the_least_recently_used_live_entry_gives_way(self):
        cache = self.cache(2)
        cache.put("a", 1)
        cache.put("b", 2)
        cache.get("a")
        cache.put("c", 3)
        self.assertEqual([key in cache for key in "abc"], [True, False, True])

    def test_without_a_ttl_nothing_expires(self):
        cache = Cache(2, clock=self.clock)
        cache.put("a", 1)
        self.clock.now += 1e9
        self.assertEqual((cache.get("a"), len(cache)), (1, 1))

    def test_an_expired_key_may_be_put_again(self):
        cache = self.cache(2)
        cache.put("a", 1)
        self.clock.now += 11
        cache.put("a", 2)
        self.assertEqual((cache.get("a"), len(cache)), (2, 1))

    def test_the_usual_clock_is_monotonic(self):
        cache = Cache(1, ttl=1000)
        cache.put("a", 1)
        with mock.patch.object(time, "time", return_value=1e12):
            self.assertEqual(cache.get("a"), 1)
