"""
Names: how a process is found again after it was restarted.

A name is free before anyone learns that its holder died, so a restart never finds its own name
taken.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, final

import attrs

from candil._otp.values.errors import short_repr
from candil._otp.values.pids import Pid

if TYPE_CHECKING:
    from collections.abc import Hashable

S_co = TypeVar("S_co", covariant=True)
S = TypeVar("S")


@final
@attrs.frozen
class Name(Generic[S_co]):
    """
    A typed name: ``COUNTER: Name[Counter] = Name("counter")``. The same name as the bare string.

    Args:
        name: The string that it stands for.
    """

    name: str


@final
@attrs.frozen
class Via(Generic[S_co]):
    """
    One of a family of names: ``Via("workers", 7)``. OTP: ``{via, Registry, {Name, Key}}``.

    A process may hold any number of them. Keys compare by type and value: ``1`` is neither ``True``
    nor ``1.0``.

    Args:
        registry: The family.

        key: Which member; any hashable value.
    """

    registry: str
    key: Hashable


ServerName: TypeAlias = Name[S] | Via[S] | str
"""Whatever a server can be registered under."""

Server: TypeAlias = Pid[S] | ServerName[S]
"""Whatever a server can be called by."""

with suppress(AttributeError):  # from 3.14 on Python keeps no documentation of a union
    ServerName.__doc__ = """
    What a process can be registered under: a ``str``, the same with a type as a ``Name``, or one of
    a family as a ``Via``.
    """
    Server.__doc__ = """
    What a server is called by: its ``Pid``, or a name.

    A pid is one incarnation: once its process has ended, it has none. A name, be it a ``str``, a
    ``Name`` or a ``Via``, is looked up each time, and stands for its holder at that moment. With a
    ``Pid[Counter]`` or a ``Name[Counter]`` type checkers know whose clients may call it.
    """


def typed_key(key: object) -> object:
    """
    Return a dictionary key that tells ``1`` from ``True`` and ``1.0``, at any depth of tuples.

    Args:
        key: A hashable value.

    Returns:
        *key* itself for a plain string, else a tuple that holds its type.
    """
    if type(key) is str:
        return key
    if type(key) is tuple:
        return (tuple, tuple(typed_key(part) for part in key))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return (type(key), key)


def name_key(name: object) -> object:
    """Return the key under which the run's table holds *name*."""
    if isinstance(name, str):
        return name if type(name) is str else str.__str__(name)  # the text of a StrEnum's member
    if isinstance(name, Name):
        if not isinstance(name.name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a Name stands for a str; got {short_repr(name)}")  # pyright: ignore[reportUnknownArgumentType]
        return name.name
    if isinstance(name, Via):
        _check_via(name)  # pyright: ignore[reportUnknownArgumentType]
        return (Via, name.registry, typed_key(name.key))
    message = f"a process is called by a Pid, a Name, a Via or a str; got {short_repr(name)}"
    if name is None:
        message += ", which whereis returns for a name that no process holds"
    raise TypeError(message)


def _check_via(via: Via[Any]) -> None:
    """Raise an error that names the ``Via``, which that of a dictionary would not."""
    try:
        hash(via.key)
    except Exception as error:
        raise TypeError(f"the key of a Via must be hashable; got {short_repr(via)}") from error
    if not isinstance(via.registry, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the registry of a Via must be a str; got {short_repr(via)}")
