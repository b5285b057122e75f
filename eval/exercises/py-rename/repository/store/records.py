"""Records: one `key=value` on each line."""


def fetch_all(lines):
    """Returns all records as a dictionary; a later line wins."""
    records = {}
    for line in lines:
        key, _, value = line.rstrip("\n").partition("=")
        if key:
            records[key] = value
    return records


def save(records):
    """Returns the lines of records, sorted by key."""
    return [f"{key}={value}\n" for key, value in sorted(records.items())]
