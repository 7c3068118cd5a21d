"""A wrong argument is an error at the caller, in one sentence, and nothing has changed."""

from __future__ import annotations

from typing import Any, NoReturn

import attrs
import pytest
from trio.testing import wait_all_tasks_blocked

import candil
from tests.otp.bodies import do_nothing, end_of, wait_for_ever


class Incomparable:
    """As an array of numbers is: neither compared nor hashed, and its repr is broken as well."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> NoReturn:
        raise ZeroDivisionError

    def __repr__(self) -> NoReturn:
        raise ZeroDivisionError


async def is_it(_message: object) -> bool:
    """Look like a matcher, or a subscriber; its result is a coroutine, which is true."""
    return False


c: Any = candil
UNHASHABLE = candil.Via("workers", [])  # type: ignore[arg-type]

NAME = "takes a str, a Name or a Via; got "
PID = "takes the pid of a process; got "
WHEREIS = (
    ". whereis(name) returns the pid of the process that holds a name, or None if no process does"
)
SERVER = "a process is called by a Pid, a Name, a Via or a str; got "
NONE = "None, which whereis returns for a name that no process holds"
KEY = "the key of a Via must be hashable; got Via(registry='workers', key=[])"
SPAWN = "takes an async function and its arguments; got "
INTERVAL = "an interval must be more than 0 seconds; got "
TIMER = "a timer needs a finite number of seconds from 0 on; got "
REF = "demonitor takes what monitor returned; got "
FLAG = "must be True or False; got "

# Each call is given the pid of the caller.
MISTAKES: list[tuple[Any, str]] = [
    # names
    (lambda me: c.register(3, me), f"register {NAME}3"),
    (lambda me: c.register(None, me), f"register {NAME}None"),
    (lambda me: c.register(me, "n"), f"register {NAME}<Pid local.1 block>"),
    (lambda _: c.register("n", None), f"register {PID}None{WHEREIS}"),
    (lambda _: c.register("n", "m"), f"register {PID}'m'{WHEREIS}"),
    (lambda _: c.register("n", c.Name("m")), f"register {PID}Name(name='m'){WHEREIS}"),
    (lambda me: c.register(c.Name(3), me), "a Name stands for a str; got Name(name=3)"),
    (lambda me: c.register(UNHASHABLE, me), KEY),
    (
        lambda me: c.register(c.Via(3, 4), me),
        "the registry of a Via must be a str; got Via(registry=3, key=4)",
    ),
    (lambda _: c.unregister(3), f"unregister {NAME}3"),
    (lambda _: c.unregister(None), f"unregister {NAME}None"),
    (c.unregister, f"unregister {NAME}<Pid local.1 block>"),
    (lambda _: c.unregister(UNHASHABLE), KEY),
    (lambda _: c.whereis(3), f"whereis {NAME}3"),
    (lambda _: c.whereis(None), f"whereis {NAME}None"),
    (c.whereis, f"whereis {NAME}<Pid local.1 block>"),
    (lambda _: c.whereis(UNHASHABLE), KEY),
    # spawn
    (lambda _: c.spawn(3), f"spawn {SPAWN}3"),
    (lambda _: c.spawn_link(None), f"spawn_link {SPAWN}None"),
    (lambda _: c.spawn_monitor("f"), f"spawn_monitor {SPAWN}'f'"),
    (
        lambda _: c.spawn(wait_for_ever()),
        f"spawn {SPAWN}a coroutine object: write spawn(f, x), not spawn(f(x))",
    ),
    (lambda _: c.spawn(Incomparable), f"spawn {SPAWN}the class Incomparable"),
    (lambda _: c.spawn(wait_for_ever, name=3), f"name= {NAME}3"),
    (lambda me: c.spawn_link(wait_for_ever, name=me), f"name= {NAME}<Pid local.1 block>"),
    (lambda _: c.spawn_monitor(wait_for_ever, name=UNHASHABLE), KEY),
    # messages
    (lambda _: c.send(3, "x"), f"{SERVER}3"),
    (lambda _: c.send(UNHASHABLE, "x"), KEY),
    (lambda _: c.send(c.Name(3), "x"), "a Name stands for a str; got Name(name=3)"),
    (
        lambda _: c.send(Incomparable(), "x"),
        f"{SERVER}<Incomparable: its repr raised ZeroDivisionError>",
    ),
    # timers
    (lambda _: c.send_after(3, "x", 1), f"{SERVER}3"),
    (lambda _: c.send_after(None, "x", 1), f"{SERVER}{NONE}"),
    (lambda _: c.send_after(UNHASHABLE, "x", 1), KEY),
    (lambda me: c.send_after(me, 1, "x"), f"{TIMER}'x'"),
    (lambda me: c.send_after(me, "x", -1), f"{TIMER}-1"),
    (lambda _: c.start_interval(3, "x", 1), f"{SERVER}3"),
    (lambda _: c.start_interval(None, "x", 1), f"{SERVER}{NONE}"),
    (lambda me: c.start_interval(me, 1, "x"), f"{INTERVAL}'x'"),
    (lambda me: c.start_interval(me, "x", 0), f"{INTERVAL}0"),
    (
        lambda _: c.cancel_timer(c.Ref(3)),
        "cancel_timer takes what send_after or start_interval returned; got <Ref 3>",
    ),
    # signals
    (lambda _: c.link("n"), f"link {PID}'n'{WHEREIS}"),
    (lambda _: c.link(None), f"link {PID}None{WHEREIS}"),
    (lambda _: c.unlink("n"), f"unlink {PID}'n'{WHEREIS}"),
    (lambda _: c.monitor(3), f"{SERVER}3"),
    (lambda _: c.monitor(None), f"{SERVER}{NONE}"),
    (lambda _: c.monitor(UNHASHABLE), KEY),
    (lambda _: c.demonitor("x"), f"{REF}'x'"),
    (lambda _: c.demonitor(None), f"{REF}None"),
    (c.demonitor, f"{REF}<Pid local.1 block>"),
    (lambda _: c.demonitor(c.Ref(3), flush="no"), f"flush of demonitor {FLAG}'no'"),
    (lambda _: c.trap_exit("false"), f"the flag of trap_exit {FLAG}'false'"),
    (lambda _: c.trap_exit(1), f"the flag of trap_exit {FLAG}1"),
    (lambda _: c.exit(3, "x"), f"{SERVER}3"),
    (lambda _: c.exit(UNHASHABLE, "x"), KEY),
    # questions
    (lambda _: c.process_info(3), f"{SERVER}3"),
    (lambda _: c.process_info(UNHASHABLE), KEY),
    (lambda _: c.is_alive(3), f"{SERVER}3"),
    # events
    (lambda _: c.subscribe(3), "subscribe takes a plain function of one event; got 3"),
    (lambda _: c.subscribe(None), "subscribe takes a plain function of one event; got None"),
    (
        lambda _: c.subscribe(is_it),
        "subscribe takes a plain function of one event; got the async function is_it",
    ),
    # servers
    (
        lambda _: c.set_timeout("x"),
        "a timeout is 0 seconds or more, and math.inf waits for ever; got 'x'",
    ),
]


@pytest.mark.parametrize(("act", "sentence"), MISTAKES, ids=[one for _, one in MISTAKES])
async def test_a_wrong_argument_is_an_error_at_the_caller(act: Any, sentence: str) -> None:
    """One sentence says what is taken and what came, and nothing has changed."""
    async with candil.open_node(log=False) as node:
        me = candil.self()
        before = candil.process_info(me)
        with pytest.raises((TypeError, ValueError)) as raised:
            act(me)

        assert str(raised.value) == sentence
        assert candil.process_info(me) == before
        assert [me] == [process.pid for process in node.processes] or not node.processes
        assert not [timer for timer in node.timers._heap if timer.callback is not None]


TAKES = (
    "receive takes a class, a tuple of classes, a plain function from message to bool, or nothing"
)


@pytest.mark.parametrize(
    ("match", "got"),
    [
        ("x", "'x'"),
        (5, "5"),
        (("x",), "('x',)"),
        (list[int], "list[int]"),
        ((int, "x"), "(int, 'x')".replace("int", repr(int))),
        (is_it, "the async function is_it"),
    ],
)
async def test_a_wrong_matcher_takes_no_message(match: Any, got: str) -> None:
    """A generic class can be called, and an async function always gives something true."""
    async with candil.open_node():
        candil.send(candil.self(), "here")
        with pytest.raises(TypeError) as raised:
            await candil.receive(match)

        assert f"{TAKES}; got {got}" == str(raised.value)
        assert "here" == await candil.receive()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": 3}, "the name of open_node must be a str; got 3"),
        ({"log": "no"}, "log of open_node must be True or False; got 'no'"),
    ],
)
async def test_a_wrong_option_opens_no_node(options: Any, sentence: str) -> None:
    """The body does not run."""
    with pytest.raises(TypeError) as raised:
        async with candil.open_node(**options):
            pytest.fail("it ran")

    assert sentence == str(raised.value)


@pytest.mark.parametrize(
    ("name", "pid_has_ended", "problem"),
    [("", False, "a name must not be empty"), ("n", True, "has ended")],
)
async def test_what_cannot_be_registered_says_why(
    name: str, pid_has_ended: bool, problem: str
) -> None:
    """Right types, but no such name or no such process."""
    async with candil.open_node():
        pid = candil.spawn(do_nothing if pid_has_ended else wait_for_ever)
        if pid_has_ended:
            await end_of(pid)
        with pytest.raises(candil.RegistrationError, match=problem) as raised:
            candil.register(name, pid)

        assert name == raised.value.name


# --- terms that cannot be compared


@attrs.frozen
class Held:
    """A record with such a term in it."""

    value: object


REASONS: dict[str, Any] = {
    "bare": Incomparable,
    "first of a pair": lambda: (Incomparable(), 1),
    "detail of a shutdown": lambda: ("shutdown", Incomparable()),
    "in an Exit": lambda: candil.Exit(Incomparable()),
    "in a record": lambda: candil.Exit(Held(Incomparable())),
}


@pytest.mark.parametrize("make", REASONS.values(), ids=list(REASONS))
async def test_an_exit_signal_does_not_compare_its_term(make: Any) -> None:
    """An array of numbers may be the reason: the sender goes on, and the term arrives as it is."""
    term = make()
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        plain = candil.spawn_link(wait_for_ever)
        await wait_all_tasks_blocked()
        candil.exit(plain, term)
        signal = await candil.receive(candil.ExitSignal)
        expected = candil.as_exit_reason(term)

        assert type(expected) is type(signal.reason)
        assert candil.is_abnormal(expected) == candil.is_abnormal(signal.reason)


@pytest.mark.parametrize("make", REASONS.values(), ids=list(REASONS))
async def test_a_process_may_end_with_such_a_term(make: Any) -> None:
    """By itself, and by the end of a server that it calls."""

    class Leaves(candil.GenServer):
        def handle_call(self, request: object, caller: candil.Call[Any]) -> object:
            raise candil.ProcessExit(make())

    async def calls() -> None:
        await candil.call(await candil.start(Leaves), "leave")

    async def leaves() -> None:
        raise candil.ProcessExit(make())

    async with candil.open_node(log=False):
        for body in (leaves, calls):
            reason = await end_of(candil.spawn(body))
            assert isinstance(reason, candil.Exit | candil.Shutdown | candil.Crashed)


async def test_a_stop_with_such_a_term_does_not_compare_it() -> None:
    """The server has ended by then for a reason of its own, which is not the wanted one."""

    class Leaves(candil.GenServer):
        async def handle_info(self, message: object) -> None:
            raise candil.ProcessExit(candil.Exit(Incomparable()))

    async with candil.open_node(log=False):
        pid = await candil.start(Leaves)
        candil.send(pid, "leave")
        with pytest.raises(candil.ServerExited):
            await candil.stop(pid, candil.Exit(Incomparable()))
