"""Ids of parametrised tests that are the same in every process."""

import re


def without_address(value: object) -> str:
    """Return the ``repr`` of *value* without the addresses of objects."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
