"""Sizes as people write them."""

UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def parse_size(text):
    """Returns the number of bytes of e.g. `10`, `1.5k` or `2 G`."""
    text = text.strip().lower()
    number = text.rstrip("kmg")
    unit = text[len(number):]
    if unit not in UNITS:
        raise ValueError(f"{unit!r} is no unit: use k, m or g")
    return int(float(number) * UNITS[unit])
