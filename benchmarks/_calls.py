"""Calls and casts, against what two trio tasks pay to exchange two values over channels."""

from __future__ import annotations

import math
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import trio
import trio.testing

import candil
from benchmarks._measure import Comparison, Meter, in_trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Client = Callable[[candil.Server["Echo"], int], Awaitable[int]]

CALLS = 3_000
PLAIN_CALLS = 30_000
CASTS = 30_000
CALLERS = 100
CALLS_OF_EACH = 200
NAME = "echo"
PING_PONG = "ping-pong of two tasks over `trio.open_memory_channel(0)`"


class Echo(candil.GenServer):
    """Gives back what it gets, in every way a handler can."""

    def __init__(self) -> None:
        self.count = 0

    @candil.handle_call
    async def say(self, value: int) -> int:
        """Answer from the server's own task."""
        return value

    @candil.handle_call
    def say_plainly(self, value: int) -> int:
        """Answer where the caller stands, if the server is idle."""
        return value

    @candil.handle_call
    async def counted(self) -> int:
        """Answer how many casts came; it stands behind all that were sent before."""
        return self.count

    @candil.handle_cast
    def note(self, value: int) -> None:
        """Take something and answer nothing."""
        self.count += value


async def ping_pong(meter: Meter) -> None:
    """Send a value to a task that sends it back, over two channels that hold nothing."""
    ping, pinged = trio.open_memory_channel[int](0)
    pong, ponged = trio.open_memory_channel[int](0)

    async def answer() -> None:
        while True:
            await pong.send(await pinged.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        with meter.measure(CALLS):
            for value in range(CALLS):
                await ping.send(value)
                await ponged.receive()
        nursery.cancel_scope.cancel()


async def one_caller(client: Client, calls: int, meter: Meter, *, by_name: bool = False) -> None:
    """Let one task call a server again and again."""
    async with candil.open_node():
        pid = await candil.start(Echo, name=NAME)
        server: candil.Server[Echo] = NAME if by_name else pid
        with meter.measure(calls):
            for value in range(calls):
                await client(server, value)


async def many_callers(meter: Meter) -> None:
    """Let a hundred tasks call one server, all at once."""
    async with candil.open_node():
        server = await candil.start(Echo)
        begin = trio.Event()

        async def call_often() -> None:
            await begin.wait()
            for value in range(CALLS_OF_EACH):
                await Echo.say(server, value)

        with ExitStack() as measured:
            async with trio.open_nursery() as nursery:
                for _ in range(CALLERS):
                    nursery.start_soon(call_often)
                await trio.testing.wait_all_tasks_blocked()
                measured.enter_context(meter.measure(CALLERS * CALLS_OF_EACH))
                begin.set()


async def many_casts(meter: Meter) -> None:
    """Cast to a server, and wait until it has handled all."""
    async with candil.open_node():
        server = await candil.start(Echo)
        with meter.measure(CASTS):
            for _ in range(CASTS):
                Echo.note(server, 1)
            await Echo.counted(server)


async def many_sends(meter: Meter) -> None:
    """Send into an unbounded channel, and wait until another task has received all."""
    send, receive = trio.open_memory_channel[int](math.inf)
    count = 0

    async def take() -> None:
        nonlocal count
        async for value in receive:
            count += value

    with meter.measure(CASTS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            for _ in range(CASTS):
                send.send_nowait(1)
            send.close()
    assert count == CASTS


_say = in_trio(partial(one_caller, Echo.say, CALLS))
_say_plainly = in_trio(partial(one_caller, Echo.say_plainly, PLAIN_CALLS))

COMPARISONS = [
    Comparison(
        name="call",
        what="call of an async handler",
        against=PING_PONG,
        subject=_say,
        base=in_trio(ping_pong),
        target=0.55,
        limit=0.51,
    ),
    Comparison(
        name="call-100",
        what="the same with 100 callers at once, per call",
        against="the same ping-pong",
        subject=in_trio(many_callers),
        base=in_trio(ping_pong),
        target=0.20,
        limit=0.16,
    ),
    Comparison(
        name="call-plain",
        what="call of a plain-`def` handler on an idle server",
        against="the same ping-pong",
        subject=_say_plainly,
        base=in_trio(ping_pong),
        target=0.08,
        limit=0.06,
    ),
    Comparison(
        name="timeout",
        what="call with the default timeout",
        against="the same with `math.inf`",
        subject=_say,
        base=in_trio(partial(one_caller, Echo.say.within(math.inf), CALLS)),
        target=1.08,
        limit=1.06,
        note="async handler",
    ),
    Comparison(
        name="name",
        what="call by name",
        against="the same by pid",
        subject=in_trio(partial(one_caller, Echo.say, CALLS, by_name=True)),
        base=_say,
        target=1.05,
        limit=1.00,
        note="async handler",
    ),
    Comparison(
        name="name-plain",
        what="call by name, plain-`def` handler",
        against="the same by pid",
        subject=in_trio(partial(one_caller, Echo.say_plainly, PLAIN_CALLS, by_name=True)),
        base=_say_plainly,
    ),
    Comparison(
        name="cast",
        what="cast to one server, sent and handled",
        against="`send_nowait` into an unbounded channel, and `receive`",
        subject=in_trio(many_casts),
        base=in_trio(many_sends),
    ),
]
