import unittest

import store
from store import report


class Store(unittest.TestCase):
    def test_records_are_read_and_written(self):
        records = store.fetch_all(["b=2\n", "a=1\n", "b=3\n"])
        self.assertEqual(records, {"a": "1", "b": "3"})
        self.assertEqual(store.save(records), ["a=1\n", "b=3\n"])

    def test_records_are_counted(self):
        self.assertEqual(report.count(["a=1\n", "a=2\n", "b=1\n"]), 2)
