"""What a crash says: who crashed, of what message, in which state, and who waited for it."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import pytest
import trio
import trio.testing

import candil
from candil._otp.behaviours.crash_report import describe_message


class Account(candil.GenServer):
    """Crashes in every way."""

    def __init__(self, balance: int = 3) -> None:
        self.balance = balance

    @candil.handle_call
    def fail(self, amount: int, *, why: str = "") -> None:
        raise ValueError(amount, why)

    @candil.handle_call
    async def fail_later(self, amount: int) -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError(amount)

    @candil.handle_cast
    def fail_alone(self, amount: int) -> None:
        raise ValueError(amount)

    @candil.handle_cast
    def stop_with(self, reason: object) -> None:
        candil.stop_self(reason)

    @candil.handle_cast
    def go_on(self, argument: object) -> None:
        candil.continue_with(argument)

    @candil.handle_cast
    def wait(self) -> None:
        candil.set_timeout(0)

    def handle_continue(self, argument: object) -> None:
        if argument != "fine":
            raise KeyError(argument)

    def handle_info(self, message: object) -> None:
        if message != "fine":
            raise KeyError(message)


async def _exits(act: Any, cls: Any = Account, **kwargs: Any) -> candil.ProcessExited:
    """Start a server, have it crash, and return what was told of its end."""
    exits: list[candil.ProcessExited] = []
    with candil.subscribe(
        lambda event: exits.append(event) if isinstance(event, candil.ProcessExited) else None
    ):
        async with candil.open_node(log=False):
            pid, _ = await candil.start_monitor(cls, **kwargs)
            await trio.testing.wait_all_tasks_blocked()
            try:
                waits = act(pid)
                if waits is not None:
                    await waits
            except candil.ServerExited:
                pass
            await candil.receive(candil.Down)
    return exits[0]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda pid: Account.fail(pid, 7, why="x"), "call fail(7, why='x')"),
        (lambda pid: Account.fail_later(pid, 7), "call fail_later(7)"),
        (lambda pid: Account.fail_alone(pid, 7), "cast fail_alone(7)"),
        (lambda pid: Account.stop_with(pid, "boom"), "cast stop_with('boom')"),
        (lambda pid: candil.send(pid, {"a": 1}), "info {'a': 1}"),
        (lambda pid: Account.go_on(pid, {"a": 1}), "continue {'a': 1}"),
        (Account.wait, "info Timeout()"),
        (lambda pid: candil.call(pid, ("raw", 1)), "call ('raw', 1)"),
        (lambda pid: candil.cast(pid, ("raw", 1)), "cast ('raw', 1)"),
    ],
)
async def test_a_crash_tells_the_last_message_and_the_state(act: Any, message: str) -> None:
    """However the server came to handle it."""
    event = await _exits(act)
    assert event.crash is not None
    assert (event.crash.last_message, event.crash.state) == (message, "Account(balance=3)")


async def test_what_was_handled_before_is_not_the_last_message() -> None:
    """Neither a continuation nor a timeout that went well."""

    def act(pid: Any) -> None:
        Account.go_on(pid, "fine")
        candil.send(pid, "fine")
        Account.fail_alone(pid, 1)

    event = await _exits(act)
    assert event.crash is not None
    assert event.crash.last_message == "cast fail_alone(1)"


class Patient(Account):
    """Takes a timeout well."""

    def handle_info(self, message: object) -> None:
        if message == candil.Timeout():
            Account.fail_alone(candil.self(), 2)


async def test_a_timeout_that_went_well_is_not_the_last_message() -> None:
    """The cast that came after it is."""
    event = await _exits(Account.wait, Patient)
    assert event.crash is not None
    assert event.crash.last_message == "cast fail_alone(2)"


@pytest.mark.parametrize("client", [Account.fail, Account.fail_later])
async def test_a_crash_tells_who_waited_and_where(client: Any) -> None:
    """In place, and in the mailbox; of its stack the frames that somebody wrote."""
    callers: list[object] = []

    async def my_own_code(pid: Any) -> None:
        callers.append(candil.self())
        await client(pid, 1)

    event = await _exits(my_own_code)
    crash = event.crash
    assert crash is not None
    assert crash.client is callers[0]
    assert "in my_own_code" in crash.client_stack
    assert "candil/_otp" not in crash.client_stack
    text = candil.describe_event(event)
    assert f"its client: {crash.client} at:\n" in text


async def test_a_caller_that_is_no_process_is_shown_by_its_stack() -> None:
    """It has no pid."""

    async def outside(pid: Any) -> None:
        with pytest.raises(candil.ServerExited):
            await Account.fail_later(pid, 1)

    def act(pid: Any) -> None:
        trio.lowlevel.spawn_system_task(outside, pid)

    event = await _exits(act)
    assert event.crash is not None
    assert event.crash.client is None
    assert "its client: no process at:\n" in candil.describe_event(event)


async def test_a_caller_that_gave_up_is_no_client() -> None:
    """Nobody waits any more."""

    async def give_up(pid: Any) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await Account.fail_later(pid, 1)

    event = await _exits(give_up)
    assert event.crash is not None
    assert (event.crash.client, event.crash.client_stack) == (None, "")
    assert "its client" not in candil.describe_event(event)


@pytest.mark.parametrize("name", [None, "a", candil.Name("a"), candil.Via("accounts", 7)])
async def test_a_crash_tells_the_registered_name(name: Any) -> None:
    """Of a hundred of one class it says which it was."""
    event = await _exits(lambda pid: Account.fail(pid, 1), name=name)
    assert event.name == ("a" if isinstance(name, candil.Name) else name)
    first = candil.describe_event(event).partition("\n")[0]
    assert first.startswith(
        f"{event.pid} ended:" if name is None else f"{event.pid} ({event.name!r}) ended:"
    )


async def test_an_orderly_end_has_no_report() -> None:
    """Nor has one whose end was told from outside, as in OTP."""
    assert (await _exits(lambda pid: Account.stop_with(pid, "shutdown"))).crash is None
    assert (await _exits(lambda pid: candil.exit(pid, "kill"))).crash is None


# --- what is not shown


@attrs.define
class Shown(Account):
    """Has a repr of its own."""

    balance: int = 3
    password: str = attrs.field(default="secret", repr=False)


class Secretive(Account):
    """Decides itself what is shown."""

    def format_status(self, status: dict[str, object]) -> dict[str, object]:
        kind, name, _args, kwargs = status["message"]
        return {"state": {"balance": "hidden"}, "message": (kind, name, ("***",), kwargs)}


class Terse(Account):
    """Shows less, in other words, and says nothing of the message."""

    def format_status(self, _status: dict[str, object]) -> dict[str, object]:
        return {"state": "a state", "message": "a message"}


class Clumsy(Account):
    """Cannot even say that."""

    def format_status(self, _status: dict[str, object]) -> dict[str, object]:
        raise RuntimeError("secret")


class Wordless(Account):
    """Forgot to return something."""

    def format_status(self, _status: dict[str, object]) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("cls", "message", "state"),
    [
        (Shown, "cast fail_alone('secret')", "Shown(balance=3)"),
        (Secretive, "cast fail_alone('***')", "{'balance': 'hidden'}"),
        (Terse, "'a message'", "'a state'"),
        (Clumsy, "(format_status raised RuntimeError)", "(format_status raised RuntimeError)"),
        (Wordless, "(format_status raised TypeError)", "(format_status raised TypeError)"),
    ],
)
async def test_a_server_decides_what_is_shown_of_it(cls: Any, message: str, state: str) -> None:
    """By its repr, or by format_status; one that fails shows nothing at all."""
    event = await _exits(lambda pid: cls.fail_alone(pid, "secret"), cls)
    assert event.crash is not None
    assert (event.crash.last_message, event.crash.state) == (message, state)


async def test_a_dropped_message_is_shown_as_format_status_wants() -> None:
    """It may hold what a state may."""

    class Hiding(candil.GenServer):
        @candil.handle_call
        async def ping(self) -> None:
            """Nothing."""

        def format_status(self, _status: dict[str, object]) -> dict[str, object]:
            return {"message": ("info", "hidden")}

    told: list[object] = []
    with candil.subscribe(told.append):
        async with candil.open_node(log=False):
            pid = await candil.start(Hiding)
            candil.send(pid, "secret")
            await Hiding.ping(pid)
    assert candil.UnhandledMessage(pid, "Hiding", "'hidden'") in told


async def test_long_states_and_messages_are_cut() -> None:
    """A report is read by people."""
    event = await _exits(
        lambda pid: Account.fail(pid, "x" * 10_000, why="y" * 10_000), balance="z" * 10_000
    )
    assert event.crash is not None
    assert len(event.crash.state) <= 500
    assert len(event.crash.last_message) <= 500
    assert event.crash.last_message.endswith("…")


async def test_nothing_is_made_that_nobody_reads() -> None:
    """Without a log and without subscribers a crash costs as before, and no repr is called."""

    class Touchy(Account):
        def __repr__(self) -> str:
            pytest.fail("somebody looked")

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Touchy)
        Touchy.fail_alone(pid, 1)
        await candil.receive(candil.Down)
        pid, _ = await candil.start_monitor(Touchy)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(candil.ServerExited):
            await Touchy.fail(pid, 1)
        pid = await candil.start(type("Bare", (candil.GenServer,), {}))
        candil.send(pid, "dropped")
        await candil.sys.get_state(pid)


async def test_the_log_says_it_all(caplog: pytest.LogCaptureFixture) -> None:
    """In the order in which OTP says it, with the traceback below; and that it was restarted."""
    specs = [candil.child_spec(Account, name="account")]
    with caplog.at_level(logging.INFO, "candil"):
        async with candil.open_supervisor(specs):
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(candil.ServerExited):
                await Account.fail("account", 7)
            await trio.testing.wait_all_tasks_blocked()
    crash, ended, restarted = [record.getMessage() for record in caplog.records]
    lines = crash.splitlines()
    assert "('account') ended: it crashed with ValueError: (7, '')" in lines[0]
    assert lines[1] == "  its last message: call fail(7)"
    assert lines[2] == "  its state: Account(balance=3)"
    assert lines[3].startswith("  its client: <Pid ")
    assert lines[-1] == "ValueError: (7, '')"
    assert "child 'account' ended" in ended
    assert "child 'account' restarted as <Pid " in restarted


def test_a_message_that_format_status_made_up_is_shown_as_it_is() -> None:
    """A hook may return any value, a tuple of its own too."""
    assert describe_message((1, 2)) == "(1, 2)"
    assert describe_message("hidden") == "'hidden'"


async def test_a_flood_of_crashes_is_counted_and_not_described() -> None:
    """A state is shown only for a report that is written."""
    described: list[object] = []

    class Flooded(candil.GenServer):
        @candil.handle_cast
        def fail(self) -> None:
            raise ValueError

        def format_status(self, status: dict[str, object]) -> dict[str, object]:
            described.append(status["message"])
            return status

    async with candil.open_node():
        for _ in range(200):
            server = await candil.start(Flooded)
            ref = candil.monitor(server)
            Flooded.fail(server)
            assert ref is (await candil.receive(candil.Down)).ref

    assert 0 < len(described) < 200
