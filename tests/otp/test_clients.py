"""What a decorated handler is on its class, and on self: what its client takes, and gives."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pytest
import trio
import trio.testing

import candil
from candil import sys
from candil._otp.behaviours.arity import MAX_SHAPES, Arity
from candil._otp.behaviours.handlers import CallHandler, CastHandler
from tests.otp.servers import Counter

# --- arguments


class Shapes(candil.GenServer):
    """Handlers of all shapes of parameters; each gives back what it got."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    @candil.handle_call
    def nothing(self) -> object:
        return ()

    @candil.handle_call
    def two(self, a: object, b: object) -> object:
        return a, b

    @candil.handle_call
    def default(self, a: object, b: object = "b") -> object:
        return a, b

    @candil.handle_call
    def keyword(self, *, a: object, b: object = "b") -> object:
        return a, b

    @candil.handle_call
    def mixed(self, a: object, *, b: object) -> object:
        return a, b

    @candil.handle_call
    def positional(self, a: object, b: object = "b", /) -> object:
        return a, b

    @candil.handle_call
    def star(self, a: object, *rest: object) -> object:
        return a, rest

    @candil.handle_call
    def stars(self, *rest: object, **more: object) -> object:
        return rest, more

    @candil.handle_call
    def names(self, a: object, **more: object) -> object:
        return a, more

    @candil.handle_call
    def optional(self, a: object, b: object = "b", *, c: object = "c") -> object:
        return a, b, c

    @candil.handle_cast
    def cast_two(self, a: object, b: object = "b") -> None:
        self.got.append((a, b))

    @candil.handle_cast
    def cast_keyword(self, *, a: object) -> None:
        self.got.append(a)

    @candil.handle_cast
    def cast_stars(self, *rest: object, **more: object) -> None:
        self.got.append((rest, more))


SHAPES = [
    "nothing",
    "two",
    "default",
    "keyword",
    "mixed",
    "positional",
    "star",
    "stars",
    "names",
    "optional",
]


ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((1, 2), {}),
    ((1, 2, 3), {}),
    ((), {"a": 1}),
    ((), {"b": 1}),
    ((), {"a": 1, "b": 2}),
    ((1,), {"a": 2}),
    ((1,), {"b": 2}),
    ((1, 2), {"b": 3}),
    ((1,), {"c": 2}),
    ((1, 2), {"c": 3}),
    ((), {"a": 1, "b": 2, "c": 3}),
    ((1, 2), {"server": 3}),
]


@pytest.mark.parametrize("name", SHAPES)
async def test_a_client_takes_just_what_its_handler_takes(name: str) -> None:
    """It gives what the plain method gives, or raises its TypeError at once, at the caller."""
    async with candil.open_node(log=False):
        pid = await candil.start(Shapes)
        client = getattr(Shapes, name)
        method = getattr(Shapes(), name)
        for args, kwargs in ARGUMENTS:
            try:
                expected = method(*args, **kwargs)
            except TypeError:
                with pytest.raises(TypeError):
                    client(pid, *args, **kwargs)
            else:
                assert await client(pid, *args, **kwargs) == expected
        assert candil.is_alive(pid)


@pytest.mark.parametrize("name", ["cast_two", "cast_keyword", "cast_stars"])
async def test_a_cast_client_takes_just_what_its_handler_takes(name: str) -> None:
    """The same for casts, which fail in no other way."""
    async with candil.open_node(log=False):
        pid = await candil.start(Shapes)
        client = getattr(Shapes, name)
        plain = Shapes()
        for args, kwargs in ARGUMENTS:
            try:
                getattr(plain, name)(*args, **kwargs)
            except TypeError:
                with pytest.raises(TypeError):
                    client(pid, *args, **kwargs)
            else:
                assert client(pid, *args, **kwargs) is None
        assert (await sys.get_state(pid)).got == plain.got


@pytest.mark.parametrize(
    ("call", "handler", "mistake"),
    [
        (
            lambda: Counter.increment("c", 1, 2),
            "increment(by=1, *, twice=False)",
            "too many positional arguments",
        ),
        (
            lambda: Counter.increment("c", to=1),
            "increment(by=1, *, twice=False)",
            "got an unexpected keyword argument 'to'",
        ),
        (
            lambda: Counter.increment("c", 1, by=1),
            "increment(by=1, *, twice=False)",
            "multiple values for argument 'by'",
        ),
        (
            lambda: Counter.slow_increment("c"),
            "slow_increment(by)",
            "missing a required argument: 'by'",
        ),
        (lambda: Counter.reset("c", 1, 2), "reset(to=0)", "too many positional arguments"),
    ],
)
async def test_wrong_arguments_say_what_is_wrong_before_anything_is_sent(
    call: Callable[[], object], handler: str, mistake: str
) -> None:
    """The handler, as one would write the call. No await is needed, nor a server."""
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == f"the handler {handler} does not take these arguments: {mistake}"


def test_no_end_of_keywords_is_remembered() -> None:
    """Which arguments fit is remembered, but a handler with ``**`` takes any number of names."""
    arity = Arity(vars(Shapes)["stars"].function)
    for number in range(2 * MAX_SHAPES):
        arity.check("stars", (), {f"name_{number}": 1})
    assert len(arity.shapes) == MAX_SHAPES


def test_a_timeout_among_the_arguments_is_told_its_place() -> None:
    """As candil.call has it, and as OTP does; a handler may have one of its own."""

    class Lending(candil.GenServer):
        @candil.handle_call
        def checkout(self, who: str) -> str:
            return who

        @candil.handle_call
        def wait(self, timeout: float) -> float:
            return timeout

    lending: Any = Lending
    with pytest.raises(TypeError) as raised:
        lending.checkout("s", "me", timeout=2)
    assert str(raised.value) == (
        "the handler checkout(who) does not take these arguments: got an unexpected keyword "
        "argument 'timeout'; the timeout of a call is given by "
        "checkout.within(seconds)(server, ...)"
    )
    with pytest.raises(TypeError, match=r"argument 'more'$"):
        lending.wait("s", timeout=2, more=3)


def test_a_missing_keyword_is_told_too() -> None:
    """Python words it in one way or another."""
    with pytest.raises(TypeError, match="missing a required"):
        Counter.slow_reset("c")


def test_a_client_without_a_server_is_a_type_error() -> None:
    """The server comes first."""
    with pytest.raises(TypeError, match="server"):
        Counter.increment()  # type: ignore[call-arg]


async def test_a_parameter_may_be_named_as_anything() -> None:
    """The client's own parameter is positional only, so that no name is taken."""

    class Odd(candil.GenServer):
        @candil.handle_call
        def odd(
            self, server: int, target: int, request: int, timeout: int, args: int, kwargs: int
        ) -> int:
            return server + target + request + timeout + args + kwargs

        @candil.handle_call
        async def odd_async(self, server: int, *, timeout: int, self_: int = 0) -> int:  # noqa: ASYNC109  # a name
            return server + timeout

    async with candil.open_node(log=False):
        pid = await candil.start(Odd)
        everything = {"target": 2, "request": 3, "timeout": 4, "args": 5, "kwargs": 6}
        assert await Odd.odd(pid, server=1, **everything) == 21
        assert await Odd.odd_async(pid, server=1, timeout=2) == 3


async def test_the_arguments_arrive_as_the_very_objects() -> None:
    """Nothing is copied between processes: they share one memory."""
    async with candil.open_node(log=False):
        pid = await candil.start(Shapes)
        mine = [1]
        assert (await Shapes.two(pid, mine, b=mine))[1] is mine


# --- clients


async def test_clients_of_all_kinds_reach_their_handlers() -> None:
    """Calls give the answer, casts give nothing, plain or async."""
    async with candil.open_node(log=False):
        pid = await candil.start(Counter, 10)
        assert await Counter.value(pid) == 10
        assert await Counter.increment(pid, by=2, twice=True) == 14
        assert await Counter.slow_increment(pid, 1) == 15
        assert Counter.reset(pid) is None
        assert await Counter.value(pid) == 0
        assert Counter.slow_reset(pid, to=3) is None
        assert await Counter.value(pid) == 3


async def test_within_gives_the_same_client_with_another_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It can be kept and used again, and the client it came from is as before."""
    hasty = Counter.sleep.within(1)
    async with candil.open_node(log=False):
        pid = await candil.start(Counter)
        for _ in range(2):
            with pytest.raises(candil.CallTimeout) as caught:
                await hasty(pid, 2)
            assert (caught.value.timeout, caught.value.request) == (1, "sleep")
        await Counter.sleep(pid, 2)
        with pytest.raises(candil.CallTimeout) as caught:
            await Counter.sleep(pid, seconds=9)
        assert caught.value.timeout == 5.0
        await hasty.within(math.inf)(pid, 1000)
        with pytest.raises(TypeError, match="missing a required argument"):
            hasty(pid)


def test_clients_say_what_they_are() -> None:
    """In a traceback or a log, one sees which handler it is."""
    assert repr(Counter.increment).startswith("<function Counter.increment at ")
    assert repr(Counter.increment.within(0.25)).startswith("<function Counter.increment at ")
    assert repr(Counter.reset).startswith("<function Counter.reset at ")


def test_a_client_is_made_once() -> None:
    """The class gives the same object each time, so a look-up costs little."""
    assert Counter.increment is Counter.increment
    assert Counter.reset is Counter.reset


T = TypeVar("T")


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


# --- on self


async def test_an_instance_gives_the_plain_methods() -> None:
    """Without a server, and within a handler: no message, no waiting, no pid."""
    counter = Counter(1)
    assert counter.increment(by=2) == 3
    assert counter.increment_by_hand() == 4
    assert await counter.slow_increment(1) == 5
    assert counter.reset(7) is None
    await counter.slow_reset(to=8)
    assert counter.value() == 8
    assert inspect.ismethod(counter.value)
    assert inspect.ismethod(counter.reset)


async def test_a_deferred_answer_from_a_method_call_on_self_is_the_deferred() -> None:
    """On the instance the method is plain, so its return value is too."""

    class Desk(candil.GenServer):
        @candil.handle_call
        def ask(self) -> candil.Deferred[str]:
            return candil.Deferred()

        @candil.handle_call
        async def ask_async(self) -> candil.Deferred[str]:
            await trio.lowlevel.checkpoint()
            return self.ask()

    desk = Desk()
    assert isinstance(desk.ask(), candil.Deferred)
    assert isinstance(await desk.ask_async(), candil.Deferred)


def test_a_decorated_method_keeps_its_name_and_its_documentation() -> None:
    """Documentation tools, and readers of the class body, find what they expect."""
    call, cast = vars(Counter)["increment"], vars(Counter)["reset"]
    assert isinstance(call, CallHandler)
    assert isinstance(cast, CastHandler)
    assert (call.__name__, call.__doc__) == ("increment", "Add to the count.")
    assert (cast.__name__, cast.__doc__) == ("reset", "Set the count.")
    assert call.__wrapped__ is call.function
    assert inspect.signature(inspect.unwrap(call)).parameters.keys() == {"self", "by", "twice"}
    assert Counter(0).increment.__doc__ == "Add to the count."
