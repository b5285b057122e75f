"""Half-open intervals (start, end) of whole numbers."""


def merge(intervals):
    """Returns the union of the intervals as sorted, disjoint intervals."""
    intervals.sort()
    merged = []
    for start, end in intervals:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def covers(intervals, point):
    """Tells whether a point is in one of the intervals."""
    return any(start <= point < end for start, end in merge(intervals))
