"""
Whether a target takes the arguments of a child. Its signature is read once: that costs more than
the start of the child.
"""

from __future__ import annotations

import inspect
import math
from types import FunctionType
from typing import TYPE_CHECKING, Any, final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@final
class _Parameters:
    """Which arguments a target takes."""

    __slots__ = ("_least", "_most", "_signature")

    def __init__(self, target: Callable[..., object]) -> None:
        parameters = list(inspect.signature(target).parameters.values())
        # Without annotations: the table of signatures must not keep what they name.
        self._signature = inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
        positional = [
            p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        is_open = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        needs_keyword = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
        self._most: float = math.inf if is_open else len(positional)
        self._least: float = (
            math.inf if needs_keyword else sum(p.default is p.empty for p in positional)
        )

    def check(self, args: Sequence[Any], kwargs: Mapping[str, object], *, partial: bool) -> None:
        """Raise ``TypeError`` for arguments that it does not take."""
        least = 0 if partial else self._least
        if not kwargs and least <= len(args) <= self._most:
            return
        bind = self._signature.bind_partial if partial else self._signature.bind
        bind(*args, **kwargs)


_known: WeakKeyDictionary[Any, _Parameters] = WeakKeyDictionary()


def _parameters_of(target: Callable[..., object]) -> _Parameters:
    if type(target) is not FunctionType and not isinstance(target, type):
        return _Parameters(target)  # it may be equal to another, or not hashable
    found = _known.get(target)
    if found is None:
        found = _known[target] = _Parameters(target)
    return found


def argument_mistakes(
    label: str,
    target: Callable[..., object],
    args: Sequence[Any],
    kwargs: Mapping[str, object],
    *,
    partial: bool,
) -> list[str]:
    """
    Say what is wrong with the arguments of a child.

    Args:
        label: What errors call the target.

        target: What is called with them.

        args: The positional ones.

        kwargs: The others.

        partial: Whether some may be missing yet.
    """
    try:
        _parameters_of(target).check(args, kwargs, partial=partial)
    except TypeError as error:
        return [f"target: {label} does not take these arguments: {error}"]
    except ValueError:  # a callable without a signature can only be tried
        return []
    return []
