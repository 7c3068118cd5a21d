"""What mypy and pyright make of handlers: overridden, deferred, and of generic servers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, assert_type

import candil

V = TypeVar("V")


class Base(candil.GenServer):
    """A server whose handlers a subclass overrides."""

    @candil.handle_call
    def size(self, unit: int = 1) -> int:
        """Answer at once."""
        return unit

    @candil.handle_call
    async def listed(self, first: int) -> Sequence[int]:
        """Answer after waiting."""
        return [first]

    @candil.handle_call
    def soon(self) -> int | candil.Deferred[int]:
        """Answer now or later."""
        return 1

    @candil.handle_cast
    def reset(self, to: int = 0) -> None:
        """Answer nothing."""

    @candil.handle_cast
    async def flush(self) -> None:
        """Wait, and answer nothing."""


class Sub(Base):
    """It overrides each of them, and none needs an ignore."""

    @candil.handle_call
    def size(self, unit: int = 2, *, exact: bool = False) -> int:
        """Take more."""
        return super().size(unit) if exact else 0

    @candil.handle_call
    async def listed(self, first: int) -> list[int]:
        """Promise more."""
        return list(await super().listed(first))

    @candil.handle_call
    def soon(self) -> int:
        """Never answer later."""
        return 2

    @candil.handle_cast
    def reset(self, to: int = 1) -> None:
        """Do the same."""
        super().reset(to)

    @candil.handle_cast
    async def flush(self) -> None:
        """Do the same."""
        await super().flush()


class Abstract(candil.GenServer, ABC):
    """A server that says only what others shall answer."""

    @candil.handle_call
    @abstractmethod
    def size(self) -> int:
        """Answer at once."""

    @candil.handle_call
    @abstractmethod
    async def listed(self) -> Sequence[int]:
        """Answer after waiting."""

    @candil.handle_cast
    @abstractmethod
    def reset(self) -> None:
        """Answer nothing."""


class Concrete(Abstract):
    """It answers."""

    @candil.handle_call
    def size(self) -> int:
        """Answer at once."""
        return 1

    @candil.handle_call
    async def listed(self) -> list[int]:
        """Answer after waiting."""
        return [1]

    @candil.handle_cast
    def reset(self) -> None:
        """Answer nothing."""


class Wrong(Base):
    """It cannot stand for its base, and both checkers say so."""

    @candil.handle_call
    def size(self, unit: str = "") -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]
        """Take something else."""
        return len(unit)

    @candil.handle_call
    async def listed(self, first: int) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]
        """Answer something else."""
        return str(first)


async def an_overridden_handler_is_the_subclass_s(
    base: candil.Pid[Base], sub: candil.Pid[Sub]
) -> None:
    assert_type(await Sub.size(sub, exact=True), int)
    assert_type(await Sub.listed(sub, 1), list[int])
    assert_type(await Base.listed(sub, 1), Sequence[int])
    assert_type(await Sub.soon(sub), int)
    await Sub.size(base)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Sub.reset(base)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def an_abstract_handler_has_a_client(
    any_of_them: candil.Pid[Abstract], one: candil.Pid[Concrete], other: candil.Pid[Sub]
) -> None:
    assert_type(await Abstract.size(any_of_them), int)
    assert_type(await Abstract.listed(one), Sequence[int])
    assert_type(await Concrete.listed(one), list[int])
    assert_type(Concrete.reset(one), None)
    await Concrete.size(any_of_them)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await Abstract.size(other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Answers(candil.GenServer):
    """Each kind of answer."""

    @candil.handle_call
    def now_or_later(self) -> int | candil.Deferred[int]:
        """Answer a union with a Deferred."""
        return 1

    @candil.handle_call
    async def waits_then_now_or_later(self) -> int | candil.Deferred[int]:
        """Answer the same, async."""
        return 1

    @candil.handle_call
    def maybe(self) -> str | candil.Deferred[str | None] | None:
        """Answer with None among the answers."""
        return None

    @candil.handle_call
    def none_or_later(self) -> candil.Deferred[bytes] | None:
        """Answer None now, or something later."""
        return None

    @candil.handle_call
    async def waits_then_none_or_later(self) -> bytes | candil.Deferred[bytes] | None:
        """Answer with None at once, async."""
        return None

    @candil.handle_call
    def either_or_none(self) -> int | str | candil.Deferred[int | str] | None:
        """Answer with all of it."""
        return None

    @candil.handle_call
    def wider_later(self) -> list[int] | candil.Deferred[Sequence[int]]:
        """Promise less for later."""
        return []

    @candil.handle_call
    def wider_now(self) -> Sequence[int] | candil.Deferred[list[int]]:
        """Promise more for later."""
        return []

    @candil.handle_call
    def other_later(self) -> int | str | candil.Deferred[bytes]:
        """Answer something else later."""
        return 1

    @candil.handle_call
    async def either(self) -> int | str | candil.Deferred[int | str]:
        """Answer with two classes among the answers."""
        return 1

    @candil.handle_call
    def union(self) -> int | str:
        """Answer a union without a Deferred."""
        return 1

    @candil.handle_call
    def deferred_union(self) -> candil.Deferred[int | str]:
        """Answer a union later."""
        return candil.Deferred[int | str]()

    @candil.handle_call
    async def optional(self) -> int | None:
        """Answer or not."""
        return None

    @candil.handle_call
    def kind(self) -> type[int] | str:
        """Answer a class."""
        return int

    @candil.handle_call
    def table(self) -> dict[str, Any]:
        """Answer what holds anything."""
        return {}

    @candil.handle_call
    def nothing(self) -> None:
        """Answer that it is done."""

    @candil.handle_call
    def inner(self) -> list[candil.Deferred[int]]:
        """Answer Deferreds as values."""
        return []


async def a_union_with_a_deferred_gives_what_that_will_hold(pid: candil.Pid[Answers]) -> None:
    assert_type(await Answers.now_or_later(pid), int)
    assert_type(await Answers.now_or_later.within(1.0)(pid), int)
    assert_type(await Answers.waits_then_now_or_later(pid), int)
    assert_type(await Answers.maybe(pid), str | None)
    assert_type(await Answers.either(pid), int | str)
    assert_type(await Answers.wider_later(pid), Sequence[int])
    assert_type(await Answers.wider_now(pid), Sequence[int])


async def what_a_handler_answers_at_once_is_not_lost_beside_its_deferred(
    pid: candil.Pid[Answers],
) -> None:
    assert_type(await Answers.none_or_later(pid), bytes | None)
    assert_type(await Answers.waits_then_none_or_later(pid), bytes | None)
    assert_type(await Answers.either_or_none(pid), int | str | None)
    len(await Answers.none_or_later(pid))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    # mypy joins instead, to object: what is done with it is an error, as it should be.
    assert_type(await Answers.other_later(pid), int | str | bytes)  # type: ignore[assert-type]
    len(await Answers.other_later(pid))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def other_answers_come_as_they_are(pid: candil.Pid[Answers]) -> None:
    assert_type(await Answers.union(pid), int | str)
    assert_type(await Answers.deferred_union(pid), int | str)
    assert_type(await Answers.optional(pid), int | None)
    assert_type(await Answers.kind(pid), type[int] | str)
    assert_type(await Answers.table(pid), dict[str, Any])
    assert_type(await Answers.inner(pid), list[candil.Deferred[int]])
    nothing = Answers.nothing(pid)
    await nothing


async def on_an_instance_the_method_keeps_its_deferred() -> None:
    answers = Answers()
    assert_type(answers.now_or_later(), int | candil.Deferred[int])
    assert_type(await answers.waits_then_now_or_later(), int | candil.Deferred[int])


def a_client_says_what_it_stands_for_and_has_nothing_else() -> None:
    assert_type(Answers.union.__name__, str)
    assert_type(Answers.union.__doc__, str | None)
    assert_type(Base.reset.__qualname__, str)
    Answers.union.witin(1.0)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    Base.reset.within(1.0)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


class Box(candil.GenServer, Generic[V]):
    """A generic server."""

    def __init__(self, value: V) -> None:
        self.value = value

    @candil.handle_call
    def get(self) -> V:
        """Answer at once."""
        return self.value

    @candil.handle_call
    async def take(self) -> V | candil.Deferred[V]:
        """Answer now or later."""
        return self.value

    @candil.handle_call
    def perhaps(self) -> V | candil.Deferred[V] | None:
        """Answer now, later or not at all."""
        return self.value

    @candil.handle_cast
    def put(self, value: V) -> None:
        """Answer nothing."""
        self.value = value


async def a_generic_server_s_client_stands_on_the_class_with_its_parameter(
    pid: candil.Pid[Box[int]],
) -> None:
    assert_type(await Box[int].get(pid), int)
    assert_type(await Box[int].take(pid), int)
    assert_type(await Box[int].perhaps(pid), int | None)
    assert_type(Box[int].put(pid, 3), None)
    Box[int].put(pid, "three")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(await candil.start(Box[int], 3), candil.Pid[Box[int]])
    assert_type(candil.child_spec(Box[int], 3), candil.ChildSpec[Box[int]])
    candil.supervisor_spec([Box[int]])
    candil.check_childspecs([Box[int]])
    await Box[str].get(pid)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
