"""What candil raises has attributes for programs and a sentence for people."""

import pytest

import candil
from candil.otp._errors import brief

PID = candil.Pid("local", 1, 7, "Counter")
REASON = candil.Exit("boom")

ERRORS = [
    candil.CallError(PID, "increment"),
    candil.NoProc(PID, "increment"),
    candil.CallTimeout(PID, "increment", 0.25),
    candil.ServerExited(PID, "increment", REASON),
    candil.CallingSelf(PID, "increment"),
    candil.StartError(REASON),
    candil.StartError(REASON, "a"),
    candil.AlreadyStarted(PID, REASON),
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


def test_noproc_is_a_value_too() -> None:
    """The reason noproc is the same whoever it was about; the error tells."""
    assert candil.NoProc() == candil.NoProc("somebody", "ask")
    assert candil.NoProc() != candil.Normal()
    assert 1 == len({candil.NoProc(), candil.NoProc("somebody")})
    assert "noproc" == str(candil.NoProc())
    assert "'somebody'" in str(candil.NoProc("somebody"))


def test_the_default_process_exit_is_normal() -> None:
    """A bare ProcessExit() ends a process as a return does."""
    assert "normal" == candil.ProcessExit().reason
    assert "boom" == candil.ProcessExit("boom").reason


def test_brief_cuts_what_is_long() -> None:
    """A report of a huge value stays a line."""
    assert "'short'" == brief("short")
    assert 120 == len(brief("x" * 10_000))
    assert brief("x" * 10_000).endswith("…")
    assert 20 == len(brief("x" * 10_000, limit=20))


def test_brief_survives_a_repr_that_raises() -> None:
    """A stranger's broken repr cannot break a report."""

    class Broken:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    assert "<Broken: its repr raised ZeroDivisionError>" == brief(Broken())
