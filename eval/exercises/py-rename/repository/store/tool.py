"""The command: python3 -m store.tool FILE prints the keys."""

import sys

from store import fetch_all


def main(arguments):
    with open(arguments[0]) as file:
        for key in sorted(fetch_all(file)):
            print(key)


if __name__ == "__main__":
    main(sys.argv[1:])
