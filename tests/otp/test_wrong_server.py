"""A client's mistake fails at the client: another class's server, a name that no handler has."""

from __future__ import annotations

import abc
from typing import Any, Protocol, runtime_checkable

import attrs
import pytest
import trio.testing

import candil


class Frontier(candil.GenServer):
    """Holds what is to be visited."""

    def __init__(self) -> None:
        self.log: list[object] = []

    @candil.handle_call
    def reset(self) -> str:
        return "frontier"

    @candil.handle_call
    async def slow(self) -> str:
        return "frontier"

    @candil.handle_cast
    def note(self, what: object) -> None:
        self.log.append(what)

    @candil.handle_call
    def noted(self) -> list[object]:
        return self.log


class Stats(candil.GenServer):
    """Has handlers of the same names."""

    @candil.handle_call
    def reset(self) -> str:
        return "stats"

    @candil.handle_call
    async def slow(self) -> str:
        return "stats"

    @candil.handle_cast
    def note(self, what: object) -> None:
        """Nothing."""

    @candil.handle_call
    def only_here(self) -> None:
        """Nothing."""


FRONTIER: candil.Name[Any] = candil.Name("frontier")
VIA: candil.Via[Any] = candil.Via("frontiers", 1)


@pytest.mark.parametrize("target", ["frontier", FRONTIER, VIA, "pid"])
@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("name", ["reset", "slow", "only_here"])
async def test_a_client_of_another_class_fails_at_its_caller(
    target: Any, busy: bool, name: str
) -> None:
    """The error names both classes; the server goes on, and nothing reached it."""
    async with candil.open_node(log=False):
        pid = await candil.start(Frontier, name=VIA if target is VIA else "frontier")
        await trio.testing.wait_all_tasks_blocked()
        if busy:
            Frontier.note(pid, "something to do")
        server = pid if target == "pid" else target
        with pytest.raises(candil.WrongServer, match=rf"Stats\.{name} .*Frontier") as raised:
            await getattr(Stats, name)(server)
        error = raised.value
        assert isinstance(error, TypeError)
        assert (error.target, error.request) == (server, name)
        assert (error.expected, error.actual) == (Stats, Frontier)
        assert ("Frontier.reset" in str(error)) is (name == "reset")
        assert await Frontier.reset(server) == "frontier"


@pytest.mark.parametrize("target", ["frontier", FRONTIER, VIA, "pid"])
async def test_a_cast_of_another_class_fails_at_its_sender(target: Any) -> None:
    """As wrong arguments do."""
    async with candil.open_node(log=False):
        pid = await candil.start(Frontier, name=VIA if target is VIA else "frontier")
        server = pid if target == "pid" else target
        with pytest.raises(candil.WrongServer, match="Stats"):
            Stats.note(server, 1)
        Frontier.note(server, 2)
        assert await Frontier.noted(server) == [2]


async def test_a_server_that_is_starting_has_its_class_already() -> None:
    """Its name is registered before there is an instance."""
    errors: list[candil.WrongServer] = []

    class Slow(Frontier):
        async def init(self) -> None:
            await trio.lowlevel.checkpoint()
            for client in (Stats.reset, Stats.note):
                arguments = (1,) if client is Stats.note else ()
                try:
                    waits = client("slow", *arguments)
                    if waits is not None:
                        async with trio.open_nursery() as nursery:
                            nursery.start_soon(_await, waits)
                except* candil.WrongServer as group:
                    errors.extend(group.exceptions)

    async def _await(waits: Any) -> None:
        await waits

    async with candil.open_node(log=False):
        pid = await candil.start(Slow, name="slow")
        assert [error.actual for error in errors] == [Slow, Slow]
        assert await Frontier.reset(pid) == "frontier"


class Resettable:
    """A mixin that is no server."""

    @candil.handle_call
    def restart(self) -> str:
        return type(self).__name__


class Mixed(Resettable, Frontier):
    """Has its handler."""


class Sub(Frontier):
    """Overrides one by a bare method."""

    def reset(self) -> str:
        return f"sub of {super().reset()}"


class Abstract(candil.GenServer, abc.ABC):
    """Leaves it to others."""

    @candil.handle_call
    @abc.abstractmethod
    def size(self) -> int: ...


class Concrete(Abstract):
    """One of the others."""

    def size(self) -> int:
        return 3


@Abstract.register
class Registered(candil.GenServer):
    """Another, which only says so."""

    @candil.handle_call
    def size(self) -> int:
        return 4


@attrs.define
class Slotted(candil.GenServer):
    """A class that attrs makes twice."""

    value: int = 5

    @candil.handle_call
    def size(self) -> int:
        return self.value


class Sizable(Protocol):
    """A protocol of servers: whatever has the handler is of it."""

    @candil.handle_call
    def size(self) -> int: ...


@runtime_checkable
class Checkable(Protocol):
    """The same for isinstance."""

    @candil.handle_call
    def size(self) -> int: ...


@pytest.mark.parametrize(
    ("client", "server", "answer"),
    [
        (Frontier.reset, Sub, "sub of frontier"),
        (Sub.reset, Sub, "sub of frontier"),
        (Sub.slow, Frontier, "frontier"),  # inherited: it is the base's own
        (Resettable.restart, Mixed, "Mixed"),
        (Mixed.restart, Mixed, "Mixed"),
        (Abstract.size, Concrete, 3),
        (Abstract.size, Registered, 4),
        (Slotted.size, Slotted, 5),
        (Sizable.size, Slotted, 5),
        (Sizable.size, Registered, 4),
        (Checkable.size, Concrete, 3),
    ],
)
async def test_isinstance_decides_which_servers_a_client_takes(
    client: Any, server: Any, answer: object
) -> None:
    """Subclasses, mixins, registered classes, copies by attrs, and protocols of servers."""
    async with candil.open_node(log=False):
        pid = await candil.start(server)
        assert await client(pid) == answer
        await trio.testing.wait_all_tasks_blocked()
        assert await client(pid) == answer


async def test_a_protocol_whose_handler_a_server_lacks_fails_at_the_caller() -> None:
    """It is a name that no handler has."""
    async with candil.open_node(log=False):
        pid = await candil.start(Frontier)
        with pytest.raises(candil.UndefinedCallback, match="Frontier has no handler for the call"):
            await Sizable.size(pid)
        assert candil.is_alive(pid)


async def test_an_override_is_the_subclass_s_own() -> None:
    """A server of the base has another handler of that name."""
    async with candil.open_node(log=False):
        with pytest.raises(candil.WrongServer, match="Sub"):
            await Sub.reset(await candil.start(Frontier))


async def test_one_handler_on_two_classes_is_of_both() -> None:
    """Each has the same client."""
    shared = candil.handle_call(lambda self: type(self).__name__)

    class One(candil.GenServer):
        ask = shared

    class Two(candil.GenServer):
        ask = shared

    async with candil.open_node(log=False):
        assert await One.ask(await candil.start(One)) == "One"
        assert await Two.ask(await candil.start(Two)) == "Two"
        with pytest.raises(candil.WrongServer, match="One"):
            await One.ask(await candil.start(Frontier))


async def test_a_replaced_state_of_a_subclass_is_of_that_class() -> None:
    """The class is that of the instance now."""
    async with candil.open_node(log=False):
        pid = await candil.start(Frontier)
        with pytest.raises(candil.WrongServer):
            await Sub.reset(pid)
        await candil.sys.replace_state(pid, lambda _: Sub())
        assert await Sub.reset(pid) == "sub of frontier"


def test_classes_of_one_name_are_told_apart_by_their_modules() -> None:
    """Else the error would say that a thing is not itself."""
    other = type("Frontier", (), {"__module__": "elsewhere"})
    error = candil.WrongServer("f", "reset", other, Frontier)
    assert "elsewhere.Frontier" in str(error)
    assert f"{__name__}.Frontier" in str(error)


# --- supervisors


async def test_a_supervisor_and_a_server_are_not_taken_for_each_other() -> None:
    """Both live on."""
    async with candil.open_supervisor([candil.child_spec(Frontier, id="f")]):
        supervisor = candil.root()
        [child] = await candil.which_children(supervisor)
        with pytest.raises(candil.WrongServer, match=r"Supervisor.*Frontier"):
            await candil.which_children(child.child)
        with pytest.raises(candil.WrongServer, match=r"candil\.which_children"):
            await Frontier.reset(supervisor)
        with pytest.raises(candil.UndefinedCallback, match=r"candil\.which_children"):
            await candil.call(supervisor, "reset")
        assert await Frontier.reset(child.child) == "frontier"
        assert [child] == await candil.which_children(supervisor)


# --- names that no handler has


@pytest.mark.parametrize("busy", [False, True])
async def test_a_misspelt_name_fails_at_the_caller_with_the_one_that_was_meant(busy: bool) -> None:
    """Calls and casts; the server goes on."""
    async with candil.open_node(log=False):
        pid = await candil.start(Frontier, name="frontier")
        await trio.testing.wait_all_tasks_blocked()
        if busy:
            Frontier.note(pid, "something to do")
        with pytest.raises(candil.UndefinedCallback, match="Did you mean 'reset'") as raised:
            await candil.call("frontier", "resett")
        assert (raised.value.server, raised.value.message) == ("Frontier", "resett")
        with pytest.raises(candil.UndefinedCallback, match="Did you mean 'note'"):
            candil.cast("frontier", "nite", 1)
        with pytest.raises(candil.UndefinedCallback, match="Decorate a method of that name"):
            await candil.call("frontier", "something_else")
        assert await Frontier.reset(pid) == "frontier"


class Callback(candil.GenServer):
    """Takes what no handler is named after."""

    @candil.handle_call
    def get(self) -> str:
        return "get"

    def handle_call(self, request: object, _caller: candil.Call) -> object:
        return f"callback: {request}"

    def handle_cast(self, message: object) -> None:
        self.told = message


async def test_a_class_with_the_callback_decides_for_itself() -> None:
    """As in OTP, which knows no other way."""
    async with candil.open_node(log=False):
        pid = await candil.start(Callback)
        assert await candil.call(pid, "gett") == "callback: gett"
        candil.cast(pid, "gett")
        assert (await candil.sys.get_state(pid)).told == "gett"


@pytest.mark.parametrize("request_", ["gett", ("get", 1)])
async def test_a_class_without_any_handler_keeps_otps_rule(request_: object) -> None:
    """It crashes, and its caller gets the reason."""

    class Bare(candil.GenServer):
        pass

    async with candil.open_node(log=False):
        with pytest.raises(candil.ServerExited) as raised:
            await candil.call(await candil.start(Bare), request_)
        assert isinstance(raised.value.__cause__, candil.UndefinedCallback)


async def test_a_plain_process_takes_any_call() -> None:
    """It has no class; what it makes of a call is its own matter."""

    async def answer() -> None:
        call = await candil.receive(candil.Call)
        call.reply((call.request, candil.process_info(candil.self()).message_queue_len))

    async with candil.open_node(log=False):
        pid = candil.spawn(answer)
        candil.cast(pid, "anything", 1)
        Frontier.note(pid, 2)
        assert await Frontier.reset(pid) == ("reset", 2)
