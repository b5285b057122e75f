"""A small cache that forgets what was not used for longest."""

from collections import OrderedDict


class Cache:
    """Holds at most `capacity` entries; the least recently used one gives way to a new one."""

    def __init__(self, capacity):
        if capacity < 1:
            raise ValueError("the capacity must be 1 or more")
        self._capacity = capacity
        self._entries = OrderedDict()

    def __len__(self):
        return len(self._entries)

    def __contains__(self, key):
        return key in self._entries

    def get(self, key, default=None):
        """Returns an entry and counts it as used."""
        if key not in self._entries:
            return default
        self._entries.move_to_end(key)
        return self._entries[key]

    def put(self, key, value):
        """Sets an entry and counts it as used."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)
