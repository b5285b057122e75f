import unittest
import warnings

import store
from store import records, report


class Hidden(unittest.TestCase):
    def test_the_new_name_is_everywhere_and_warns_nobody(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertEqual(store.load_all(["a=1\n"]), {"a": "1"})
            self.assertEqual(records.load_all(["a=1\n"]), {"a": "1"})
            self.assertEqual(report.count(["a=1\n"]), 1)

    def deprecated(self, call):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.assertEqual(call(), {"a": "1"})
        self.assertEqual([warning.category for warning in caught], [DeprecationWarning])
        self.assertIn("load_all", str(caught[0].message))
        self.assertEqual(caught[0].filename, __file__)

    def test_the_old_name_of_the_package_warns_at_the_caller(self):
        self.deprecated(lambda: store.fetch_all(["a=1\n"]))

    def test_the_old_name_of_the_module_warns_at_the_caller(self):
        self.deprecated(lambda: records.fetch_all(["a=1\n"]))

    def test_the_new_name_is_offered(self):
        self.assertIn("load_all", store.__all__)

    def test_importing_alone_warns_nobody(self):
        import importlib

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            importlib.reload(records)
            importlib.reload(store)
