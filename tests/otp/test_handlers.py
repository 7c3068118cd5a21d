"""Which function handles a request: what can be decorated, overridden, mixed in and renamed."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import attrs
import pytest
import trio
import trio.testing

import candil
from candil._otp.behaviours.arity import completed
from candil._otp.behaviours.handlers import CallHandler, CastHandler, handlers_of
from tests.otp.servers import Counter

# --- what can be a handler


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


@pytest.mark.parametrize("request_", ["increment_by_hand", "terminate"])
async def test_only_decorated_methods_can_be_asked_for(request_: str) -> None:
    """Any other method, a callback of OTP's too, is the server's own affair; it lives on."""

    class Ending(Counter):
        def terminate(self, reason: candil.ExitReason) -> None:
            self.count = -1

    async with candil.open_node(log=False):
        pid = await candil.start(Ending)
        with pytest.raises(candil.UndefinedCallback):
            await candil.call(pid, request_)
        assert await Ending.value(pid) == 0


class Word(enum.StrEnum):
    """Requests as members of an enum."""

    RESET = "reset"
    INCREMENT = "increment"


@pytest.mark.parametrize("enumerated", [False, True])
async def test_a_call_does_not_run_a_cast_handler_nor_the_other_way(enumerated: bool) -> None:
    """They are clauses of two callbacks, though they may have the same name; who errs is told."""
    reset, increment = (Word.RESET, Word.INCREMENT) if enumerated else ("reset", "increment")
    async with candil.open_node(log=False):
        pid = await candil.start(Counter)
        with pytest.raises(candil.UndefinedCallback) as raised:
            await candil.call(pid, reset)
        assert str(raised.value).endswith(
            "It is a cast: candil.cast(server, 'reset', ...) or Counter.reset(server, ...)"
        )
        with pytest.raises(candil.UndefinedCallback) as raised:
            candil.cast(pid, increment)
        assert str(raised.value).endswith(
            "It is a call: await candil.call(server, 'increment', ...) or "
            "await Counter.increment(server, ...)"
        )
        assert await Counter.value(pid) == 0


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


class Forgetting(candil.GenServer):
    """A server whose methods are async and forget to await."""

    def __init__(self, start: str = "well") -> None:
        self.start = start

    async def seven(self) -> int:
        return 7

    async def init(self) -> Any:
        return self.seven() if self.start == "badly" else None

    @candil.handle_call
    async def work(self) -> Any:
        return self.seven()

    @candil.handle_cast
    async def told(self) -> Any:
        return self.seven()

    async def handle_call(self, request: object, caller: candil.Call) -> Any:
        return self.seven()

    async def handle_cast(self, message: object) -> Any:
        return self.seven()

    async def handle_info(self, message: object) -> Any:
        return self.seven()


@pytest.mark.parametrize(
    ("callback", "act"),
    [
        ("work", lambda pid: candil.spawn(Forgetting.work, pid)),
        ("told", Forgetting.told),
        ("handle_call", lambda pid: candil.spawn(candil.call, pid, ("anything",))),
        ("handle_call", lambda pid: candil.spawn(candil.call, pid, "anything")),
        ("handle_cast", lambda pid: candil.cast(pid, "anything")),
        ("handle_info", lambda pid: candil.send(pid, "anything")),
    ],
)
async def test_an_async_callback_that_returns_a_coroutine_is_told_to_await_it(
    callback: str, act: Any
) -> None:
    """It is an async def already; and no warning of a coroutine that was never awaited follows."""
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Forgetting)
        act(pid)
        reason = (await candil.receive(candil.Down)).reason
    assert isinstance(reason, candil.Crashed)
    assert str(reason.exception) == (
        f"{callback} returned a coroutine: put await before the call in its return"
    )


async def test_an_async_init_that_returns_a_coroutine_is_told_to_await_it() -> None:
    """As any other callback."""
    async with candil.open_node(log=False):
        with pytest.raises(candil.StartError, match="init returned a coroutine: put await"):
            await candil.start(Forgetting, "badly")


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


# --- subclasses


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


@pytest.mark.parametrize("decorate", [candil.handle_call, lambda function: function])
async def test_a_plain_handler_overridden_by_an_async_one_may_wait(decorate: Any) -> None:
    """It is never run in its caller's task, decorated again or not."""

    class Waiting(Counter):
        @decorate
        async def value(self) -> int:
            await trio.lowlevel.checkpoint()
            return super().value() - 1

    async with candil.open_node(log=False):
        pid = await candil.start(Waiting)
        await trio.testing.wait_all_tasks_blocked()
        assert await Counter.value(pid) == -1
        assert pid.process is not None
        assert pid.process.behaviour.handled == 1


async def test_a_handler_that_is_overridden_by_no_method_keeps_handling() -> None:
    """Only a callable can take its place."""

    class Odd(Counter):
        value = 7

    assert handlers_of(Odd, CallHandler)["value"][0] is vars(Counter)["value"].function
    assert "value" not in handlers_of(Odd, CastHandler)
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
        assert await Both.ping(pid) == await candil.call(pid, "ping") == "pong"
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

    @attrs.define
    class Derived(Slotted):
        more: int = 0

        @candil.handle_call
        def increment(self, by: int = 1, *, twice: bool = False) -> int:
            return super().increment(by, twice=twice) + self.more

    async with candil.open_node(log=False):
        for pid, more in (
            (await candil.start(Slotted), 0),
            (await candil.start(Derived, more=7), 7),
        ):
            assert await Slotted.increment(pid) == 6 + more
            Slotted.reset(pid)
            assert await Slotted.value(pid) == 100
        assert await Derived.increment(pid) == 108


# --- other decorators, other names


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
        @quietly
        async def init(self) -> None:
            await trio.lowlevel.checkpoint()
            self.count = 1

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
        assert await Wrapped.value(pid) == 4
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

    assert Renamed.ask.__name__ == Renamed.again.__name__ == "ask"
    assert Renamed.ask.__qualname__.endswith("Renamed.ask")
    assert Renamed.tell.__qualname__.endswith("Renamed.tell")
    async with candil.open_node(log=False):
        pid = await candil.start(Renamed)
        assert await Renamed.ask(pid, 1) == await candil.call(pid, "ask", 1) == 1
        assert await Renamed.again(pid, 2) == await candil.call(pid, "again", 2) == 2
        Renamed.tell(pid, 3)
        assert await Renamed.value(pid) == 3


async def test_a_handler_without_a_name_of_its_own_takes_the_attributes() -> None:
    """A lambda, and a private method, whose name is another within its class."""

    class Server(candil.GenServer):
        answer = candil.handle_call(lambda _: 42)

        @candil.handle_call
        def __secret(self) -> str:
            return "secret"

        @classmethod
        async def ask_secret(cls, pid: Any) -> str:
            return await cls.__secret(pid)

    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        assert await Server.answer(pid) == await candil.call(pid, "answer") == 42
        assert await Server.ask_secret(pid) == "secret"


def test_a_handler_outside_a_class_is_what_it_was_made_as() -> None:
    """The function's own name counts until a class gives it another."""
    client = candil.handle_call(Counter.increment_by_hand).__get__(None, int)
    assert client.__qualname__ == "Counter.increment_by_hand"
