"""What candil raises has attributes for programs and a sentence for people."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import candil
from candil._otp.values.errors import SystemRequest, short_repr

PID = candil.Pid("local", 1, 7, "Counter")
REASON = candil.Exit("boom")

ERRORS = [
    candil.CallError(PID, "increment"),
    candil.NoProc(PID, "increment"),
    candil.CallTimeout(PID, "increment", 0.25),
    candil.CallTimeout(PID, SystemRequest("stop"), 0.25),
    candil.CallTimeout(PID, SystemRequest("sys.get_state"), 0.25),
    candil.ServerExited(PID, "increment", REASON),
    candil.ServerExited(PID, SystemRequest("stop"), REASON, wanted=candil.Normal()),
    candil.CallingSelf(PID, "increment"),
    candil.CallingSelf(PID, SystemRequest("sys.get_state")),
    candil.StartError(REASON),
    candil.StartError(REASON, "a"),
    candil.StartError(REASON, label="Counter"),
    candil.AlreadyStarted(PID, REASON, name="counter"),
    candil.AlreadyStarted(PID, REASON, "a"),
    candil.StartIgnored(candil.Normal()),
    candil.StartTimeout(2.5, REASON),
    candil.ChildNotFound("a"),
    candil.ChildRunning("a"),
    candil.ChildRestarting("a"),
    candil.ChildAlreadyPresent("a"),
    candil.SimpleOneForOneError("a"),
    candil.RestartIntensityExceeded(
        "root", "a", REASON, restarts=4, max_restarts=3, max_seconds=5.0, history=[("a", REASON)]
    ),
    candil.ProcessTerminated(PID, REASON),
    candil.RegistrationError("a", "already taken"),
    candil.ReceiveTimeout(0.5),
    candil.WaitTimeout("counter", 0.5),
    candil.LeakedCancellation(),
    candil.BadReturnValue("handle_info", 7),
    candil.UndefinedCallback("Counter", "handle_call", "increment"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_of_candil_is_a_candil_error_with_a_sentence(error: Exception) -> None:
    """One except clause catches them all, and each says more than its class's name."""
    assert isinstance(error, candil.CandilError)
    assert " " in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_shows_what_it_is_about(error: Exception) -> None:
    """The text names the process, the child or the time that the attributes hold."""
    text = str(error)
    for attribute, shown in [("child_id", "'a'"), ("timeout", "s"), ("pid", str(PID))]:
        if isinstance(error, candil.SimpleOneForOneError):
            break
        if getattr(error, attribute, None) is not None:
            assert shown in text


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (candil.NoProc, candil.CallError),
        (candil.CallTimeout, candil.CallError),
        (candil.ServerExited, candil.CallError),
        (candil.CallingSelf, candil.CallError),
        (candil.AlreadyStarted, candil.StartError),
        (candil.StartIgnored, candil.StartError),
        (candil.StartTimeout, candil.StartError),
        (candil.ChildNotFound, candil.SupervisorError),
        (candil.ChildRunning, candil.SupervisorError),
        (candil.ChildRestarting, candil.SupervisorError),
        (candil.ChildAlreadyPresent, candil.SupervisorError),
        (candil.SimpleOneForOneError, candil.SupervisorError),
        (candil.RegistrationError, ValueError),
        (candil.SpecError, ValueError),
    ],
)
def test_the_errors_form_the_documented_tree(
    error: type[Exception], parents: type[Exception]
) -> None:
    """Callers can catch a family."""
    assert issubclass(error, parents)


def test_a_spec_error_and_a_process_exit_are_no_candil_errors() -> None:
    """One is a mistake in the program, the other no error at all."""
    assert not issubclass(candil.SpecError, candil.CandilError)
    assert not issubclass(candil.ProcessExit, candil.CandilError)


def test_a_spec_error_lists_every_mistake() -> None:
    """One mistake is its own text; more are a list."""
    assert "child 'a': bad" == str(candil.SpecError(["child 'a': bad"]))

    both = candil.SpecError(["child 'a': bad", "child 'b': worse"])

    assert ("child 'a': bad", "child 'b': worse") == both.mistakes
    assert "2 mistakes:\n  - child 'a': bad\n  - child 'b': worse" == str(both)


@pytest.mark.parametrize(
    "error", [*ERRORS, candil.SpecError(["a", "b"]), candil.ProcessExit("x")], ids=type
)
def test_every_error_can_be_copied(error: Exception) -> None:
    """The copy says the same and has the same attributes, the very objects."""
    error.add_note("a note")
    same = copy.copy(error)

    assert type(same) is type(error)
    assert (str(same), same.args, vars(same)) == (str(error), error.args, vars(error))
    assert str(copy.deepcopy(error)) == str(error)


@pytest.mark.parametrize("error", ERRORS, ids=type)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_can_be_pickled_if_what_it_holds_can(error: Exception, protocol: int) -> None:
    """A name can, a pid cannot, and says so."""
    if PID in vars(error).values():
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(error, protocol)
        return
    there = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301  # our own

    assert (type(there), str(there), vars(there)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(
    ("callback", "message", "text"),
    [
        (
            "handle_call",
            "get",
            (
                "Counter has no handler for the call 'get'. Decorate a method of that name with "
                "@candil.handle_call, or define handle_call(request, caller)"
            ),
        ),
        (
            "handle_cast",
            "reset",
            (
                "Counter has no handler for the cast 'reset'. Decorate a method of that name with "
                "@candil.handle_cast, or define handle_cast(message)"
            ),
        ),
        (
            "handle_call",
            7,
            (
                "Counter has no handler for a call that is no name but of type int. "
                "Define handle_call(request, caller) in it"
            ),
        ),
        (
            "handle_continue",
            "warm_up",
            (
                "Counter has no handle_continue method, which continue_with runs. "
                "Define handle_continue(argument) in it"
            ),
        ),
        (
            "code_change",
            1,
            (
                "Counter has no code_change method, which sys.change_code runs. "
                "Define code_change(old_version, extra) in it"
            ),
        ),
    ],
)
def test_an_undefined_callback_says_what_to_define(
    callback: str, message: object, text: str
) -> None:
    """Only calls and casts have decorators; the other callbacks are methods to define."""
    error = candil.UndefinedCallback("Counter", callback, message)

    assert str(error) == text
    assert error.message == message


@pytest.mark.parametrize("message", [("login", "hunter2"), "hunter2!", "hunter2" * 9, b"hunter2"])
def test_an_undefined_callback_does_not_show_what_came(message: object) -> None:
    """It ends in the log, where a password must not: the type is enough."""
    error = candil.UndefinedCallback("Counter", "handle_cast", message)

    assert f"of type {type(message).__name__}." in str(error)
    assert "hunter2" not in str(error)
    assert "hunter2" not in repr(error)
    assert error.message is message


def test_the_errors_of_stop_and_sys_speak_of_no_call() -> None:
    """Deferred is no way out of them, and who stops wants no answer."""
    stop, get_state = SystemRequest("stop"), SystemRequest("sys.get_state")

    assert str(candil.CallTimeout(PID, stop, 3)) == (
        "<Pid local.7 Counter> has not ended within 3 s of stop. It is still to end; give it more "
        "time with timeout=, or exit() it with 'kill'"
    )
    assert str(candil.CallTimeout(PID, get_state, 3)) == (
        "<Pid local.7 Counter> did not answer sys.get_state within 3 s: it is busy, or much is "
        "ahead in its mailbox. Give it more time with timeout="
    )
    assert str(candil.ServerExited(PID, stop, REASON, wanted=candil.Normal())) == (
        "<Pid local.7 Counter> ended, but not with Normal(), which stop asked for: "
        "it exited with 'boom'"
    )
    assert "Deferred" in str(candil.CallTimeout(PID, "stop", 3))
    assert "answered 'stop'" in str(candil.ServerExited(PID, "stop", REASON))


UNDEFINED = candil.Crashed(candil.UndefinedCallback("S", "handle_call", "ad"))


def test_a_server_that_exited_gives_the_reason_in_words() -> None:
    """With what its crash advises: it is read here, by who called."""
    assert str(candil.ServerExited("s", "ad", UNDEFINED)) == (
        "'s' ended before it answered 'ad': it crashed with UndefinedCallback: S has no handler "
        "for the call 'ad'. Decorate a method of that name with @candil.handle_call, or define "
        "handle_call(request, caller)"
    )


def lost(depth: int, wrap: Callable[[candil.ServerExited], BaseException]) -> candil.ServerExited:
    """Give the error of who called the first of *depth* servers, each waiting for the next."""
    error = candil.ServerExited("s0", "ask0", UNDEFINED)
    for level in range(1, depth):
        error = candil.ServerExited(f"s{level}", f"ask{level}", candil.Crashed(wrap(error)))
    return error


@pytest.mark.parametrize("wrap", [lambda error: error, lambda error: ExceptionGroup("", [error])])
@pytest.mark.parametrize("depth", [2, 3, 5_000])
def test_a_chain_of_servers_tells_its_two_ends(depth: int, wrap: Any) -> None:
    """However long, and through nurseries: who was asked, and why the last one ended."""
    text = str(lost(depth, wrap))

    assert text.startswith(
        f"'s{depth - 1}' ended before it answered 'ask{depth - 1}', since 's0' ended before it "
        "answered 'ask0': it crashed with UndefinedCallback: S has no handler"
    )
    assert len(text) < 300


def test_a_chain_of_orderly_ends_is_told_as_well() -> None:
    """A server whose call found another shut down ends so itself; the first cause is kept."""
    below = candil.ServerExited("s", "get", candil.Shutdown())
    error = candil.ServerExited("t", "ask", candil.Shutdown(("call", "s", "get"), cause=below))

    assert str(error) == (
        "'t' ended before it answered 'ask', since 's' ended before it answered 'get': "
        "it was shut down"
    )


def test_what_a_server_exited_tells_is_bounded() -> None:
    """One line, of some length, and made in no time, whatever is inside."""
    wide = lost(12, lambda error: ExceptionGroup("", [error] * 20))
    long = candil.ServerExited("s", "get", candil.Crashed(ValueError(600 * "a")))
    lines = candil.ServerExited("s", "get", candil.Crashed(ValueError("a\nb\nc")))

    assert len(str(wide)) < 1200
    assert str(wide).endswith("…")
    assert len(str(long)) < 600
    assert str(lines) == "'s' ended before it answered 'get': it crashed with ValueError: a"


@pytest.mark.parametrize(
    ("sender", "text"),
    [
        (None, "by an exit signal: it exited with 'boom'"),
        (PID, "by an exit signal from itself: it exited with 'boom'"),
        (
            candil.Pid("local", 1, 8, "Boss"),
            "by an exit signal from <Pid local.8 Boss>: it exited with 'boom'",
        ),
    ],
)
def test_a_terminated_block_tells_whose_signal_it_was(
    sender: candil.Pid[Any] | None, text: str
) -> None:
    """If that is known: a task that is no process has no pid."""
    error = candil.ProcessTerminated(PID, REASON, sender)

    assert str(error) == f"this block (<Pid local.7 Counter>) was ended {text}"
    assert error.sender is sender


def crashed_start() -> candil.StartError:
    """Give the error of a start whose init raised."""
    error = candil.StartError(candil.Crashed(ValueError("boom")), label="Counter")
    error.__cause__ = ValueError("boom")
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            crashed_start(),
            (
                "Counter did not start: it crashed with ValueError: boom. "
                "The exception that this one is chained to (__cause__) shows where"
            ),
        ),
        (
            candil.StartError(REASON, label="Counter"),
            (
                "Counter did not start: it exited with 'boom'. "
                "It gave that reason itself, or an exit signal did; it is in .reason"
            ),
        ),
        (
            candil.StartError(REASON, "a", label="Counter"),
            (
                "child 'a' did not start: it exited with 'boom'. "
                "It gave that reason itself, or an exit signal did; it is in .reason"
            ),
        ),
        (
            candil.AlreadyStarted(PID, REASON, "a"),
            (
                "child 'a' is already started as <Pid local.7 Counter>. "
                "Use that process, or stop it first"
            ),
        ),
        (
            candil.AlreadyStarted(PID, REASON, label="Counter", name="counter"),
            (
                "Counter did not start: the name 'counter' is already started as "
                "<Pid local.7 Counter>. Use that process, stop it first, or choose another name"
            ),
        ),
        (
            candil.StartIgnored(candil.Normal(), label="Counter"),
            (
                "Counter did not start, for its init returned candil.IGNORE: there is nothing to "
                "run. That is no failure; catch StartIgnored where it may happen"
            ),
        ),
        (
            candil.StartTimeout(2.5, REASON, label="Counter"),
            (
                "Counter did not start: its init did not end within 2.5 s and was killed. "
                "Move slow work to handle_continue, or give it more time with timeout="
            ),
        ),
    ],
)
def test_an_error_of_a_start_says_what_did_not_start_and_what_to_do(
    error: candil.StartError, text: str
) -> None:
    """The class or the child, the name if that is why, and where to look."""
    assert str(error) == text


def test_a_call_to_no_process_says_whom_it_was_for() -> None:
    """The error is no exit reason: that is NoProcess, and a process that dies of it has crashed."""
    error = candil.NoProc("somebody", "ask")

    assert "'somebody'" in str(error)
    assert candil.NoProc("somebody", "ask") != error
    assert candil.as_exit_reason(error) == candil.Crashed(error)


def test_noproc_for_what_whereis_did_not_find_is_a_sentence() -> None:
    """The bare reason would tell a caller nothing."""
    assert str(candil.NoProc(None, "ask")) == (
        "there is no process: the target is None, which whereis gives for a name without a holder, "
        "and root where there is none. "
        "Start the process first, or give the name itself"
    )


def test_the_default_process_exit_is_normal() -> None:
    """A bare ProcessExit() ends a process as a return does."""
    assert "normal" == candil.ProcessExit().reason
    assert "boom" == candil.ProcessExit("boom").reason


def test_brief_cuts_what_is_long() -> None:
    """A report of a huge value stays a line."""
    assert "'short'" == short_repr("short")
    assert 120 == len(short_repr("x" * 10_000))
    assert short_repr("x" * 10_000).endswith("…")
    assert 20 == len(short_repr("x" * 10_000, limit=20))


def test_brief_survives_a_repr_that_raises() -> None:
    """A stranger's broken repr cannot break a report."""

    class Broken:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    assert "<Broken: its repr raised ZeroDivisionError>" == short_repr(Broken())
