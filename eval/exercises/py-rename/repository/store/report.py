"""Reports about a store."""

from . import records


def count(lines):
    """Returns how many records there are."""
    return len(records.fetch_all(lines))
