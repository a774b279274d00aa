#!/usr/bin/env python3
"""Alters a good receipt in every way that one character allows, and checks that each is refused.

    every_alteration.py RECEIPT.json KEY
"""

import copy
import json
import sys

import verify_receipt


def refused(receipt, key):
    try:
        verify_receipt.verify(receipt, key, [])
    except verify_receipt.Refused:
        return True
    return False


def altered(value):
    """Every value that differs from `value` in one character, number, or entry."""
    if isinstance(value, str):
        for at, letter in enumerate(value):
            for bit in (1, 2, 4):
                yield value[:at] + chr(ord(letter) ^ bit) + value[at + 1:]
            yield value[:at] + value[at + 1:]
        yield value + value[-1:]
        yield value + "\n"
    elif isinstance(value, int):
        yield from (value + 1, value - 1, value ^ 1 << 40, str(value), float(value), None)
    else:
        for at, entry in enumerate(value):
            yield value[:at] + value[at + 1:]
            yield from (value[:at] + [other] + value[at + 1:] for other in altered(entry))
        yield value + ["00" * 32]
        if len(value) > 1:
            yield value[::-1]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        good = json.load(file)
    key = sys.argv[2]
    verify_receipt.verify(good, key, [])
    tried = 0
    for field in sorted(verify_receipt.FIELDS):
        spoiled = copy.deepcopy(good)
        del spoiled[field]
        if not refused(spoiled, key):
            sys.exit(f"accepted without {field}")
        for value in altered(good[field]):
            spoiled = dict(good, **{field: value})
            tried += 1
            if not refused(spoiled, key):
                sys.exit(f"accepted with {field} = {value!r}")
    if not refused(dict(good, note="x"), key):
        sys.exit("accepted with a field that is none")
    print(f"{tried} alterations refused")


if __name__ == "__main__":
    main()
