"""The decorators: which method is a handler, what its client takes, how it is overridden."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Coroutine
from typing import Any

import attrs
import pytest
import trio
import trio.testing

import candil
from candil import sys


class Counter(candil.GenServer):
    """One of each kind of handler."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    @candil.handle_call
    def value(self) -> int:
        """Give the count."""
        return self.count

    @candil.handle_call
    def increment(self, by: int = 1, *, twice: bool = False) -> int:
        """Add to the count."""
        self.count += by * (1 + twice)
        return self.count

    @candil.handle_call
    async def slow_increment(self, by: int) -> int:
        await trio.lowlevel.checkpoint()
        self.count += by
        return self.count

    @candil.handle_call
    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    @candil.handle_cast
    def reset(self, to: int = 0) -> None:
        """Set the count."""
        self.count = to

    @candil.handle_cast
    async def slow_reset(self, *, to: int) -> None:
        await trio.lowlevel.checkpoint()
        self.count = to

    def increment_by_hand(self) -> int:
        return self.increment(by=1)


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
]


# --- arguments ------------------------------------------------------------------------------------


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
    ("call", "message"),
    [
        (lambda: Counter.increment("c", 1, 2), "too many positional arguments"),
        (lambda: Counter.slow_increment("c"), "missing a required argument: 'by'"),
        (lambda: Counter.increment("c", to=1), "unexpected keyword argument 'to'"),
        (lambda: Counter.increment("c", 1, by=1), "multiple values for argument 'by'"),
        (lambda: Counter.slow_reset("c"), "missing a required"),
        (lambda: Counter.reset("c", 1, 2), "too many positional arguments"),
    ],
)
async def test_wrong_arguments_say_what_is_wrong_before_anything_is_sent(
    call: Callable[[], object], message: str
) -> None:
    """No await is needed, nor a server: it is the caller's mistake."""
    with pytest.raises(TypeError, match=message):
        call()


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


# --- clients --------------------------------------------------------------------------------------


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
        await hasty.within(math.inf)(pid, 1000)
        with pytest.raises(TypeError, match="missing a required argument"):
            hasty(pid)


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, -math.inf])
async def test_within_refuses_what_is_no_time(seconds: float) -> None:
    """At once, before anything is called."""
    with pytest.raises(ValueError, match="a timeout is 0 seconds or more"):
        Counter.value.within(seconds)


async def test_clients_say_what_they_are() -> None:
    """In a traceback or a log, one sees the request and the time it may take."""
    assert repr(Counter.increment) == "<client of 'increment', timeout 5 s>"
    assert repr(Counter.increment.within(0.25)) == "<client of 'increment', timeout 0.25 s>"
    assert repr(Counter.value.within(math.inf)) == "<client of 'value', timeout inf s>"
    assert repr(Counter.reset) == "<client of cast 'reset'>"


async def test_a_client_is_made_once() -> None:
    """The class gives the same object each time, so a look-up costs little."""
    assert Counter.increment is Counter.increment
    assert Counter.reset is Counter.reset


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


async def test_the_decorated_method_keeps_its_name_and_its_documentation() -> None:
    """Documentation tools find them where they look."""
    call, cast = vars(Counter)["increment"], vars(Counter)["reset"]
    assert (call.__name__, call.__doc__) == ("increment", "Add to the count.")
    assert (cast.__name__, cast.__doc__) == ("reset", "Set the count.")
    assert inspect.signature(inspect.unwrap(call)).parameters.keys() == {"self", "by", "twice"}


async def test_a_cast_client_never_fails_for_want_of_a_server() -> None:
    """Dead pid, unknown name: the same nothing."""
    async with candil.open_node(log=False):
        pid = await candil.start(Counter, name="counter")
        await candil.stop(pid)
        for nobody in (pid, "counter", candil.Name[Counter]("x"), candil.Via[Counter]("r", 1)):
            assert Counter.reset(nobody, 1) is None
            assert Counter.slow_reset(nobody, to=1) is None


async def test_a_call_client_of_a_dead_server_raises_noproc() -> None:
    """With the request's name, also for an async handler."""
    async with candil.open_node(log=False):
        pid = await candil.start(Counter)
        await candil.stop(pid)
        for waits in (Counter.value(pid), Counter.slow_increment(pid, 1)):
            with pytest.raises(candil.NoProc):
                await waits


# --- subclasses -----------------------------------------------------------------------------------


class Louder(Counter):
    """Overrides without decorating again."""

    def value(self) -> int:
        return super().value() * 10

    async def increment(self, by: int = 1, *, twice: bool = False) -> int:
        await trio.lowlevel.checkpoint()
        return super().increment(by, twice=twice) * 10

    async def reset(self, to: int = 0) -> None:
        await trio.lowlevel.checkpoint()
        self.count = to + 1


class Quicker(Counter):
    """Overrides async methods by plain ones, decorated again, with other parameters."""

    @candil.handle_call
    def slow_increment(self, by: int, times: int = 1) -> int:
        self.count += by * times
        return self.count

    @candil.handle_cast
    def slow_reset(self, *, to: int) -> None:
        self.count = to + 1


async def test_a_method_that_overrides_a_handler_is_the_handler() -> None:
    """Decorated or not; an undecorated one may be async where the other is plain."""
    async with candil.open_node(log=False):
        pid = await candil.start(Louder, 1)
        assert await Counter.value(pid) == 10
        assert await Counter.increment(pid) == 20
        assert await candil.call(pid, "increment", 2, twice=True) == 60
        Counter.reset(pid, 2)
        candil.cast(pid, "reset", 4)
        assert await Counter.value(pid) == 50


async def test_a_decorated_override_has_a_client_of_its_own() -> None:
    """It takes the new parameters; the base's client still reaches it with the old ones."""
    async with candil.open_node(log=False):
        pid = await candil.start(Quicker)
        assert await Quicker.slow_increment(pid, 2, times=3) == 6
        assert await Counter.slow_increment(pid, 1) == 7
        with pytest.raises(TypeError, match="times"):
            Counter.slow_increment(pid, 1, times=2)
        Quicker.slow_reset(pid, to=1)
        assert await Quicker.value(pid) == 2


async def test_inherited_handlers_have_their_clients_on_the_subclass() -> None:
    """What it does not override is as on the base."""
    assert Quicker.value is Counter.value
    async with candil.open_node(log=False):
        assert await Quicker.increment(await candil.start(Quicker)) == 1


async def test_a_plain_handler_overridden_by_an_async_one_may_wait() -> None:
    """It is never run in its caller's task."""

    class Waiting(Counter):
        async def value(self) -> int:
            await trio.lowlevel.checkpoint()
            return -1

    async with candil.open_node(log=False):
        pid = await candil.start(Waiting)
        await trio.testing.wait_all_tasks_blocked()
        assert await Counter.value(pid) == -1
        assert pid.process is not None
        assert pid.process.server.handled == 1


async def test_a_handler_that_is_overridden_by_no_method_keeps_handling() -> None:
    """Only a callable can take its place."""

    class Odd(Counter):
        value = 7

    async with candil.open_node(log=False):
        assert await candil.call(await candil.start(Odd, 1), "value") == 1


async def test_a_mixin_may_bring_handlers() -> None:
    """Any class in the line of inheritance counts, in the order of method resolution."""

    class Pinging:
        @candil.handle_call
        def ping(self) -> str:
            return "pong"

        @candil.handle_call
        def value(self) -> str:
            return "mixed in"

    class Both(Pinging, Counter):
        pass

    async with candil.open_node(log=False):
        pid = await candil.start(Both)
        assert await Both.ping(pid) == "pong"
        assert await Counter.value(pid) == "mixed in"


async def test_an_attrs_class_is_a_server_like_any_other() -> None:
    """Slots make a second class of it, and a bare super() in a handler still finds its own."""

    @attrs.define
    class Slotted(Counter):
        count: int = 5

        @candil.handle_call
        def increment(self, by: int = 1, *, twice: bool = False) -> int:
            return super().increment(by, twice=twice)

        @candil.handle_cast
        def reset(self, to: int = 0) -> None:
            super().reset(to + 100)

    async with candil.open_node(log=False):
        pid = await candil.start(Slotted)
        assert await Slotted.increment(pid) == 6
        Slotted.reset(pid)
        assert await Slotted.value(pid) == 100


# --- other decorators, other names ----------------------------------------------------------------


def quietly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method as decorators do: by a plain function, also around an async one."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def anonymously(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method and lose its name."""

    def wrapper(self: Any, *args: Any) -> Any:
        return function(self, *args)

    return wrapper


async def test_a_handler_may_be_decorated_further() -> None:
    """An async one under a plain wrapper is still awaited, and the arguments are still checked."""

    class Wrapped(Counter):
        @candil.handle_call
        @quietly
        async def later(self, by: int) -> int:
            await trio.lowlevel.checkpoint()
            return by

        @candil.handle_call
        @quietly
        def now(self, by: int) -> int:
            return by

        @candil.handle_cast
        @quietly
        async def cast_later(self, by: int) -> None:
            await trio.lowlevel.checkpoint()
            self.count += by

    async with candil.open_node(log=False):
        pid = await candil.start(Wrapped)
        assert await Wrapped.later(pid, 1) == 1
        assert await Wrapped.now(pid, 2) == 2
        Wrapped.cast_later(pid, 3)
        assert await Wrapped.value(pid) == 3
        with pytest.raises(TypeError):
            Wrapped.later(pid)


async def test_the_name_in_the_class_is_the_request() -> None:
    """Not the function's own; and a second name for a handler leads to the first."""

    class Renamed(Counter):
        @candil.handle_call
        @anonymously
        def ask(self, value: int) -> int:
            return value

        @candil.handle_cast
        @anonymously
        def tell(self, value: int) -> None:
            self.count = value

        again = ask

    assert repr(Renamed.ask) == repr(Renamed.again) == "<client of 'ask', timeout 5 s>"
    assert repr(Renamed.tell) == "<client of cast 'tell'>"
    async with candil.open_node(log=False):
        pid = await candil.start(Renamed)
        assert await Renamed.ask(pid, 1) == await candil.call(pid, "ask", 1) == 1
        assert await Renamed.again(pid, 2) == await candil.call(pid, "again", 2) == 2
        Renamed.tell(pid, 3)
        assert await Renamed.value(pid) == 3


@pytest.mark.parametrize("busy", [False, True])
async def test_a_plain_handler_that_returns_a_coroutine_is_a_crash(busy: bool) -> None:
    """Nobody would await it: the client is typed as if the handler were async."""

    async def seven() -> int:
        return 7

    class Handing(candil.GenServer):
        @candil.handle_call
        def work(self) -> Coroutine[Any, Any, int]:
            return seven()

        @candil.handle_cast
        async def wait(self) -> None:
            await trio.testing.wait_all_tasks_blocked()

    async with candil.open_node(log=False):
        pid = await candil.start(Handing)
        if busy:
            Handing.wait(pid)
        with pytest.raises(candil.ServerExited) as raised:
            await Handing.work(pid)
        assert isinstance(raised.value.__cause__, candil.BadReturnValue)
        assert "make it an async def" in str(raised.value.__cause__)


# --- deferred answers -----------------------------------------------------------------------------


class Desk(candil.GenServer):
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[candil.Deferred[str]] = []

    @candil.handle_call
    def ask(self) -> candil.Deferred[str]:
        self.waiting.append(candil.Deferred())
        return self.waiting[-1]

    @candil.handle_call
    async def ask_async(self) -> candil.Deferred[str]:
        await trio.lowlevel.checkpoint()
        return self.ask()

    @candil.handle_cast
    def answer(self, value: str) -> None:
        for deferred in self.waiting:
            deferred.reply(value)
        self.waiting.clear()


@pytest.mark.parametrize("client", [Desk.ask, Desk.ask_async], ids=["plain", "async"])
async def test_a_typed_client_gets_the_value_of_a_deferred(client: Any) -> None:
    """Its caller never sees the Deferred; other callers are served meanwhile."""
    got: list[str] = []

    async def customer() -> None:
        got.append(await client(pid))

    async with candil.open_node(log=False):
        pid = await candil.start(Desk)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(customer)
            nursery.start_soon(customer)
            await trio.testing.wait_all_tasks_blocked()
            assert got == []
            Desk.answer(pid, "here")
        assert got == ["here", "here"]


async def test_a_deferred_answer_from_a_method_call_on_self_is_the_deferred() -> None:
    """On the instance the method is plain, so its return value is too."""
    desk = Desk()
    assert isinstance(desk.ask(), candil.Deferred)
    assert isinstance(await desk.ask_async(), candil.Deferred)


async def test_no_reply_prints_as_its_name() -> None:
    """It is seen in logs and tracebacks."""
    assert repr(candil.NO_REPLY) == "candil.NO_REPLY"
