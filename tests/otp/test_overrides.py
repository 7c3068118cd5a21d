"""Handlers and inheritance: on the class a name stays the client, whoever overrides it."""

import abc
import enum

import attrs
import pytest

import candil


class Base(candil.GenServer):
    """Answers, and is told, in the plain way and in the async way."""

    told: object = None

    @candil.handle_call
    async def slow(self) -> str:
        return "base"

    @candil.handle_call
    def quick(self) -> str:
        return "base"

    @candil.handle_cast
    def tell(self, what: object) -> None:
        self.told = what

    @candil.handle_call
    def heard(self) -> object:
        return self.told


class Undecorated(Base):
    """Overrides handlers by bare methods."""

    async def slow(self) -> str:
        return f"{candil.self().label} after {await super().slow()}"

    def quick(self) -> str:
        return f"{candil.self().label} after {super().quick()}"

    def tell(self, what: object) -> None:
        super().tell(("told", what))


class Mixin:
    """Knows nothing of servers."""

    def quick(self) -> str:
        return "mixin"


class Mixed(Mixin, Base):
    """Gets a handler's override from elsewhere."""


@attrs.define
class Slotted(Base):
    """attrs makes this class twice."""

    count: int = 0

    def quick(self) -> str:
        return f"slotted {self.count}"


async def test_an_undecorated_override_is_a_handler_and_its_name_the_client():
    """The server runs it, not the caller."""
    async with candil.open_node(log=False):
        pid = await candil.start(Undecorated)
        assert await Undecorated.slow(pid) == await Base.slow(pid) == "Undecorated after base"
        assert await Undecorated.quick(pid) == await Base.quick(pid) == "Undecorated after base"
        Undecorated.tell(pid, 1)
        assert await Undecorated.heard(pid) == ("told", 1)
        assert await Base.slow(await candil.start(Base)) == "base"


@pytest.mark.parametrize(("cls", "answer"), [(Mixed, "mixin"), (Slotted, "slotted 0")])
async def test_an_override_from_a_mixin_or_in_a_class_of_attrs_is_one_too(cls, answer):
    """Whatever comes first in the order of the bases."""
    async with candil.open_node(log=False):
        assert await cls.quick(await candil.start(cls)) == answer


def test_an_abstract_handler_is_abstract():
    """In either order of the decorators."""

    class Shape(candil.GenServer, abc.ABC):
        @candil.handle_call
        @abc.abstractmethod
        def area(self) -> float: ...

    class Square(Shape):
        def area(self) -> float:
            return 1.0

    with pytest.raises(TypeError, match="abstract"):
        Shape()
    assert Square().area() == 1.0


@pytest.mark.parametrize("name", ["init", "handle_info", "terminate"])
@pytest.mark.parametrize("decorate", [candil.handle_call, candil.handle_cast])
def test_a_callback_of_otp_may_not_be_decorated(name, decorate):
    """It would be called as both."""
    body = {name: decorate(lambda self: None)}
    with pytest.raises(TypeError, match=f"Wrong.{name} is one of OTP's callbacks"):
        type("Wrong", (candil.GenServer,), body)


async def test_members_of_a_string_enum_are_strings():
    """As requests, messages and names."""

    class Word(enum.StrEnum):
        QUICK = "quick"
        SLOW = "slow"
        TELL = "tell"
        NAME = "the name"

    async with candil.open_node(log=False):
        pid = await candil.start(Base, name=Word.NAME)
        assert candil.whereis("the name") is candil.whereis(Word.NAME) is pid
        assert await candil.call(Word.NAME, Word.QUICK) == "base"
        assert await candil.call(Word.NAME, Word.SLOW) == "base"
        candil.cast("the name", Word.TELL, 1)
        assert await Base.heard(pid) == 1
