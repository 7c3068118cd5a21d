"""The decorators: which function is the handler, what its client takes, and what it is on self."""

from __future__ import annotations

import functools
import math
from typing import Any, Generic, TypeVar

import attrs
import pytest
import trio

import candil
from candil import sys
from candil.otp._handlers import CallHandler, CastHandler, completed, handlers_of

T = TypeVar("T")


class Counter(candil.GenServer):
    """Counts."""

    def __init__(self, start: int = 0) -> None:
        self.value = start

    @candil.handle_call
    def increment(self, by: int = 1) -> int:
        """Add, and give the sum."""
        self.value += by
        return self.value

    @candil.handle_call
    async def fetch(self, key: str, *, fresh: bool) -> str:
        await trio.lowlevel.checkpoint()
        return f"{key} {fresh}"

    @candil.handle_call
    def only_positional(self, left: int, right: int = 2, /) -> int:
        return left - right

    @candil.handle_call
    def anything(self, *args: int, **kwargs: int) -> tuple[tuple[int, ...], dict[str, int]]:
        return args, kwargs

    @candil.handle_call
    def optional(self, a: int, b: int = 2, *, c: int = 3) -> tuple[int, int, int]:
        return a, b, c

    @candil.handle_cast
    def reset(self, to: int = 0) -> None:
        """Begin anew."""
        self.value = to

    @candil.handle_cast
    async def reset_soon(self, to: int, *, really: bool) -> None:
        await trio.lowlevel.checkpoint()
        if really:
            self.value = to

    def terminate(self, reason: candil.ExitReason) -> None:
        self.value = -1


# --- the client -----------------------------------------------------------------------


async def test_the_class_is_the_client() -> None:
    """On the class a handler takes a server and the method's own parameters."""
    async with candil.open_node(log=False):
        pid = await candil.start(Counter, 10)
        assert await Counter.increment(pid) == 11
        assert await Counter.increment(pid, 2) == 13
        assert await Counter.increment(pid, by=3) == 16
        assert await Counter.fetch(pid, "key", fresh=True) == "key True"
        assert await Counter.fetch(pid, key="key", fresh=False) == "key False"
        assert await Counter.only_positional(pid, 5) == 3
        assert await Counter.only_positional(pid, 5, 1) == 4
        assert await Counter.anything(pid) == ((), {})
        assert await Counter.anything(pid, 1, 2, server=3) == ((1, 2), {"server": 3})
        assert await Counter.optional(pid, 1) == (1, 2, 3)
        assert await Counter.optional(pid, 1, c=4) == (1, 2, 4)
        assert await Counter.optional(pid, b=0, a=9) == (9, 0, 3)
        Counter.reset(pid, 5)
        assert await Counter.increment(pid) == 6
        Counter.reset(pid)
        assert await Counter.increment(pid) == 1
        Counter.reset_soon(pid, to=7, really=True)
        assert await Counter.increment(pid) == 8


async def test_on_self_a_handler_is_the_plain_method() -> None:
    """No process is needed, and no message is sent."""
    counter = Counter(1)
    assert counter.increment(2) == 3
    counter.reset()
    assert counter.value == 0
    assert await counter.fetch("key", fresh=True) == "key True"
    await counter.reset_soon(4, really=True)
    assert counter.value == 4


WRONG: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
    (Counter.increment, (1, 2), {}),
    (Counter.increment, (1,), {"by": 1}),
    (Counter.increment, (), {"to": 1}),
    (Counter.increment, (1,), {"to": 1}),
    (Counter.fetch, ("key",), {}),
    (Counter.fetch, (), {"fresh": True}),
    (Counter.fetch, ("key", True), {}),
    (Counter.only_positional, (), {"left": 1}),
    (Counter.only_positional, (1,), {"right": 1}),
    (Counter.only_positional, (), {}),
    (Counter.optional, (), {}),
    (Counter.optional, (1, 2, 3), {}),
    (Counter.optional, (1,), {"a": 1}),
    (Counter.reset, (1, 2), {}),
    (Counter.reset, (), {"too": 1}),
    (Counter.reset_soon, (1,), {}),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
async def test_wrong_arguments_raise_type_error_at_the_caller(number: int) -> None:
    """The client finds what the handler would not take; the server never hears of it."""
    client, args, kwargs = WRONG[number]
    async with candil.open_node(log=False):
        pid = await candil.start(Counter)
        with pytest.raises(TypeError):
            client(pid, *args, **kwargs)
        assert (await sys.statistics(pid)).messages_handled <= 1
        assert await Counter.increment(pid) == 1


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_the_client_refuses_just_what_the_method_refuses(number: int) -> None:
    """What is listed as wrong here is wrong for Python too."""
    client, args, kwargs = WRONG[number]
    method = getattr(Counter(), client._request if hasattr(client, "_request") else client._message)
    with pytest.raises(TypeError):
        method(*args, **kwargs)


def test_wrong_arguments_are_told_with_the_handler_that_does_not_take_them() -> None:
    """Its name and parameters, as one would write the call."""
    with pytest.raises(TypeError) as caught:
        Counter.increment("counter", 1, 2)  # type: ignore[call-arg]
    assert str(caught.value) == (
        "the handler increment(by=1) does not take these arguments: too many positional arguments"
    )
    with pytest.raises(TypeError, match=r"the handler reset\(to=0\) does not take"):
        Counter.reset("counter", too=1)  # type: ignore[call-arg]


def generator(_self: object) -> Any:
    """Answer bit by bit, which no handler can."""
    yield 1


async def async_generator(_self: object) -> Any:
    """Answer bit by bit, and wait between."""
    yield 1


@pytest.mark.parametrize("decorator", [candil.handle_call, candil.handle_cast])
@pytest.mark.parametrize(
    ("function", "what"),
    [
        (classmethod(len), "a classmethod"),
        (staticmethod(len), "a staticmethod"),
        (property(len), "a property"),
        (7, "a int"),
        (generator, "a generator function, which cannot answer"),
        (async_generator, "a generator function, which cannot answer"),
        (candil.handle_call(len), "a method that is a handler already"),
        (candil.handle_cast(len), "a method that is a handler already"),
    ],
)
def test_what_cannot_be_a_handler_is_refused_where_it_is_decorated(
    decorator: Any, function: Any, what: str
) -> None:
    """The class is not made, and the error says what a handler is."""
    with pytest.raises(TypeError, match=f"plain def or async def method, with self; got {what}"):
        decorator(function)


def test_a_client_without_a_server_is_a_type_error() -> None:
    """The server comes first."""
    with pytest.raises(TypeError, match="server"):
        Counter.increment()  # type: ignore[call-arg]


async def test_within_gives_the_same_client_with_another_timeout(autojump_clock: Any) -> None:
    """The client itself is left as it was."""

    class Sleeper(candil.GenServer):
        @candil.handle_call
        async def sleep(self, seconds: float) -> str:
            await trio.sleep(seconds)
            return "slept"

    patient = Sleeper.sleep.within(100)
    async with candil.open_node(log=False):
        pid = await candil.start(Sleeper)
        assert await patient(pid, 99) == "slept"
        with pytest.raises(TypeError):
            patient(pid)  # type: ignore[call-arg]
        with pytest.raises(candil.CallTimeout) as caught:
            await Sleeper.sleep(pid, seconds=99)
        assert caught.value.timeout == 5.0


def test_clients_say_what_they_are() -> None:
    """Request and timeout are in the repr."""
    assert repr(Counter.increment) == "<client of 'increment', timeout 5 s>"
    assert repr(Counter.increment.within(math.inf)) == "<client of 'increment', timeout inf s>"
    assert repr(Counter.reset) == "<client of cast 'reset'>"


def test_a_handler_keeps_its_functions_name_and_docstring() -> None:
    """Documentation tools, and readers of the class body, find what they expect."""
    handler = vars(Counter)["increment"]
    assert isinstance(handler, CallHandler)
    assert (handler.__name__, handler.__doc__) == ("increment", "Add, and give the sum.")
    assert handler.__wrapped__ is handler.function
    assert vars(Counter)["reset"].__doc__ == "Begin anew."
    assert Counter(0).increment.__doc__ == "Add, and give the sum."


# --- which function is the handler ----------------------------------------------------


class Doubling(Counter):
    """Overrides with a decorator."""

    @candil.handle_call
    async def increment(self, by: int = 1) -> int:
        return super().increment(2 * by)


class Tripling(Counter):
    """Overrides without one."""

    def increment(self, by: int = 1) -> int:  # type: ignore[override]
        return super().increment(3 * by)

    async def fetch(self, key: str, *, fresh: bool) -> str:  # type: ignore[override]
        return (await super().fetch(key, fresh=fresh)).upper()

    async def reset(self, to: int = 0) -> None:  # type: ignore[override]
        await trio.lowlevel.checkpoint()
        super().reset(to + 100)


async def test_a_subclass_overrides_a_handler() -> None:
    """Decorated again or not, plain or async: the instance's class decides what runs."""
    async with candil.open_node(log=False):
        doubling = await candil.start(Doubling)
        assert await Counter.increment(doubling) == 2
        assert await Doubling.increment(doubling, by=2) == 6
        tripling = await candil.start(Tripling)
        assert await Counter.increment(tripling, by=2) == 6
        assert await Counter.fetch(tripling, "key", fresh=True) == "KEY TRUE"
        Counter.reset(tripling, 1)
        assert await Counter.increment(tripling) == 104


async def test_a_handler_may_come_from_a_mixin() -> None:
    """A class that is no GenServer can bring handlers to one."""

    class Pings:
        @candil.handle_call
        def ping(self) -> str:
            return type(self).__name__

    class Server(Pings, candil.GenServer):
        pass

    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        assert await Server.ping(pid) == "Server"
        assert await candil.call(pid, "ping") == "Server"


async def test_a_generic_server_has_clients_too() -> None:
    """Also by its parametrised alias."""

    class Cell(candil.GenServer, Generic[T]):
        def __init__(self, value: T) -> None:
            self.value = value

        @candil.handle_call
        def get(self) -> T:
            return self.value

    async with candil.open_node(log=False):
        pid = await candil.start(Cell, 7)
        assert await Cell.get(pid) == 7
        assert await Cell.get(await candil.start(Cell[int], 7)) == 7
        assert await Cell[int].get(pid) == 7


def renamed(function: Any) -> Any:
    """Wrap without functools.wraps."""

    def wrapper(self: Any, *args: Any) -> Any:
        return function(self, *args)

    return wrapper


def wrapped(function: Any) -> Any:
    """Wrap an async function in a plain one."""

    @functools.wraps(function)
    def wrapper(self: Any, *args: Any) -> Any:
        return function(self, *args)

    return wrapper


async def test_a_handler_is_named_after_its_attribute() -> None:
    """Whatever name a decorator gave the function, the class has another: that is the request."""

    class Server(candil.GenServer):
        @candil.handle_call
        @renamed
        def get(self) -> str:
            return "got"

        @candil.handle_call
        def __secret(self) -> str:
            return "secret"

        @candil.handle_cast
        @renamed
        def tell(self, event: trio.Event) -> None:
            event.set()

        alias = get
        answer = candil.handle_call(lambda _: 42)

        @classmethod
        async def ask_secret(cls, pid: Any) -> str:
            return await cls.__secret(pid)

    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        assert await Server.get(pid) == "got"
        assert await Server.alias(pid) == "got"
        assert await candil.call(pid, "alias") == "got"
        assert await Server.answer(pid) == 42
        assert await Server.ask_secret(pid) == "secret"
        told = trio.Event()
        Server.tell(pid, told)
        await told.wait()


async def test_a_decorated_async_handler_is_awaited() -> None:
    """A plain wrapper around an async def is an async handler: its client gets the value."""

    class Server(candil.GenServer):
        @candil.handle_call
        @wrapped
        async def get(self) -> str:
            await trio.lowlevel.checkpoint()
            return "got"

        @candil.handle_cast
        @wrapped
        async def tell(self, event: trio.Event) -> None:
            await trio.lowlevel.checkpoint()
            event.set()

        @wrapped
        async def init(self) -> None:
            await trio.lowlevel.checkpoint()

    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        for _ in range(3):
            assert await Server.get(pid) == "got"
        told = trio.Event()
        Server.tell(pid, told)
        await told.wait()


async def test_a_server_may_be_an_attrs_class() -> None:
    """Attrs copies the class; handlers, and the bare super() in them, still work."""

    @attrs.define
    class Base(candil.GenServer):
        value: int = 0

        @candil.handle_call
        def get(self) -> int:
            return self.value

    @attrs.define
    class Derived(Base):
        more: int = 0

        @candil.handle_call
        def get(self) -> int:
            return super().get() + self.more

    async with candil.open_node(log=False):
        pid = await candil.start(Derived, 1, more=2)
        assert await Base.get(pid) == 3
        assert await Derived.get(pid) == 3


def test_what_replaces_a_handler_must_be_callable() -> None:
    """A class attribute that is no function leaves the handler as it was."""

    class Quiet(Counter):
        increment = None  # type: ignore[assignment]

    assert handlers_of(Quiet, CallHandler)["increment"][0] is vars(Counter)["increment"].function
    assert "increment" not in handlers_of(Quiet, CastHandler)


async def test_only_decorated_methods_can_be_asked_for() -> None:
    """Any other method is the server's own affair."""
    async with candil.open_node(log=False):
        pid = await candil.start(Counter)
        with pytest.raises(candil.ServerExited) as caught:
            await candil.call(pid, "terminate", candil.Normal())
        assert isinstance(caught.value.__cause__, candil.UndefinedCallback)


async def test_a_call_does_not_run_a_cast_handler_nor_the_other_way() -> None:
    """They are clauses of two callbacks, though they may have the same name."""
    async with candil.open_node(log=False):
        pid = await candil.start(Counter)
        with pytest.raises(candil.ServerExited):
            await candil.call(pid, "reset")
        pid, ref = await candil.start_monitor(Counter)
        candil.cast(pid, "increment")
        down = await candil.receive(candil.Down)
        assert down.ref is ref
        assert isinstance(down.reason, candil.Crashed)
        assert isinstance(down.reason.exception, candil.UndefinedCallback)


def test_a_handler_outside_a_class_is_what_it_was_made_as() -> None:
    """The function's own name counts until a class gives it another."""
    assert repr(candil.handle_call(len).__get__(None, int)) == "<client of 'len', timeout 5 s>"


async def test_completed_takes_values_coroutines_and_awaitables() -> None:
    """A callback may be plain, async, or give anything that can be awaited."""

    async def coroutine() -> int:
        await trio.lowlevel.checkpoint()
        return 2

    class Awaitable:
        def __await__(self) -> Any:
            return coroutine().__await__()

    assert await completed(1) == 1
    assert await completed(coroutine()) == 2
    assert await completed(Awaitable()) == 2
