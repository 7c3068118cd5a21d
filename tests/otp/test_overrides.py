"""Handlers and inheritance: on the class a name stays the client, whoever overrides it."""

import abc
import enum
import functools

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


WRONG = [
    (
        "init",
        lambda self, args: None,
        "init(self, args) is called with no arguments: those of the child spec go to __init__",
    ),
    (
        "init",
        lambda self, *, args: None,
        "init(self, *, args) is called with no arguments: those of the child spec go to __init__",
    ),
    (
        "handle_call",
        lambda self, request: None,
        (
            "handle_call(self, request) is called with two arguments: "
            "define handle_call(self, request, caller)"
        ),
    ),
    (
        "handle_cast",
        lambda: None,
        "handle_cast() is called with one argument: define handle_cast(self, message)",
    ),
    (
        "handle_info",
        lambda self: None,
        "handle_info(self) is called with one argument: define handle_info(self, message)",
    ),
    (
        "handle_continue",
        lambda self, one, two: None,
        (
            "handle_continue(self, one, two) is called with one argument: "
            "define handle_continue(self, argument)"
        ),
    ),
    (
        "terminate",
        staticmethod(lambda: None),
        "terminate() is called with one argument: define terminate(self, reason)",
    ),
    (
        "terminate",
        classmethod(lambda cls: None),
        "terminate(cls) is called with one argument: define terminate(self, reason)",
    ),
    (
        "code_change",
        lambda self, old: None,
        (
            "code_change(self, old) is called with two arguments: "
            "define code_change(self, old_version, extra)"
        ),
    ),
]


@pytest.mark.parametrize(("name", "callback", "text"), WRONG)
@pytest.mark.parametrize("where", ["class", "mixin"])
def test_a_callback_that_cannot_be_called_is_refused_with_its_class(where, name, callback, text):
    """Later it would be a crash, and one in terminate would hide the crash before it."""
    with pytest.raises(TypeError) as raised:
        if where == "class":
            type("Wrong", (candil.GenServer,), {name: callback})
        else:
            type("Server", (candil.GenServer, type("Wrong", (), {name: callback})), {})
    assert str(raised.value) == f"Wrong.{text}"


def test_all_mistakes_in_the_callbacks_of_a_class_are_told_at_once():
    """As those of a spec are."""
    with pytest.raises(TypeError) as raised:

        class Wrong(candil.GenServer):
            def init(self, args: list[int]) -> None: ...

            def terminate(self) -> None: ...

            @candil.handle_call
            def handle_info(self, message: object) -> None: ...

    assert str(raised.value) == (
        "Wrong has 3 mistakes:\n"
        "  - Wrong.init(self, args) is called with no arguments: those of the child spec go to "
        "__init__\n"
        "  - Wrong.handle_info is one of OTP's callbacks, which are not decorated; a handler needs "
        "another name\n"
        "  - Wrong.terminate(self) is called with one argument: define terminate(self, reason)"
    )


def with_more(function):
    """Give a function more than its caller does."""

    @functools.wraps(function)
    def wrapper(self, message):
        return function(self, message, "more")

    return wrapper


@pytest.mark.parametrize(
    ("name", "callback"),
    [
        ("init", lambda self, *args: None),
        ("init", lambda self, args=(), *, more=None: None),
        ("init", lambda self, **more: None),
        ("handle_info", lambda *args: None),
        ("handle_info", staticmethod(lambda message: None)),
        ("handle_info", classmethod(lambda cls, message: None)),
        ("handle_info", with_more(lambda self, message, more: None)),
        ("handle_info", staticmethod(print)),
        ("handle_info", functools.partialmethod(print, "more")),
        ("handle_info", property(lambda self: print)),
        ("handle_info", print),
    ],
)
async def test_a_callback_that_can_be_called_is_no_mistake(name, callback):
    """However it is written."""
    cls = type("Right", (candil.GenServer,), {name: callback})
    async with candil.open_node():
        pid = await candil.start(cls)
        candil.send(pid, "message")
        await candil.sys.get_state(pid)
        assert candil.is_alive(pid)


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
