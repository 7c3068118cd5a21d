"""
What may be wrong with a value in a spec: each function gives sentences, and none when all is well.
"""

from __future__ import annotations

import math
import sys
from typing import Any, cast

from candil._otp.values.errors import short_repr
from candil._otp.values.names import Name, Via


def key_mistakes(what: str, key: object) -> list[str]:
    """Check what must serve as a key."""
    try:
        hash(key)
    except TypeError:
        return [f"{what}: a hashable value is needed, got {short_repr(key)}"]
    return []


def name_mistakes(name: Any) -> list[str]:
    """Check a name to register under; ``None`` is none."""
    bare: Any = name.name if isinstance(name, Name) else name
    if name is None or (isinstance(bare, str) and bare != ""):
        return []
    if isinstance(name, Via):
        return key_mistakes("name", cast("object", name))
    return [
        f"name: a non-empty str, a Name or a Via is needed, got {short_repr(cast('object', name))}"
    ]


def is_number(value: object) -> bool:
    """Tell whether *value* is a number of seconds that a clock can add to its own."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= sys.float_info.max
    return isinstance(value, float) and not math.isnan(value)


def choice_mistakes(what: str, forms: tuple[str, ...], got: object) -> list[str]:
    """Check that *got* is one of *forms*."""
    if got in forms:
        return []
    return [f"{what}: one of {', '.join(map(repr, forms))} is needed, got {short_repr(got)}"]
