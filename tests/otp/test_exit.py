"""Exit reasons are values, and every value stands for one."""

import attrs
import pytest
from hypothesis import given, strategies as st

import candil
from candil import Crashed, Exit, Killed, NoConnection, NoProcess, Normal, Shutdown
from candil._otp.values.exit_reasons import KILL

hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda parts: st.lists(parts, max_size=3).map(tuple),
    max_leaves=5,
)
terms = hashable | st.sampled_from(
    ["normal", "shutdown", "killed", "noproc", "noconnection", "kill", ("shutdown", "normal")]
)


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        ("normal", Normal()),
        ("shutdown", Shutdown()),
        (("shutdown", "why"), Shutdown("why")),
        (("shutdown",), Exit(("shutdown",))),
        (("shutdown", 1, 2), Exit(("shutdown", 1, 2))),
        ("killed", Killed()),
        ("noproc", NoProcess()),
        ("noconnection", NoConnection()),
        ("kill", KILL),
        ("boom", Exit("boom")),
        (None, Exit(None)),
        (7, Exit(7)),
        (Normal(), Normal()),
        (Exit("boom"), Exit("boom")),
    ],
)
def test_an_atom_of_otp_becomes_its_own_class(term: object, reason: candil.ExitReason) -> None:
    """OTP's words have classes of their own, and any other term is an Exit."""
    assert reason == candil.as_exit_reason(term)


def test_an_exception_is_a_crash() -> None:
    """The reason carries the exception itself."""
    error = ValueError("x")

    assert Crashed(error) == candil.as_exit_reason(error)
    assert error is candil.as_exit_reason(error).exception


@given(terms)
def test_as_exit_reason_is_idempotent(term: object) -> None:
    """A reason stands for itself, so it can pass through any number of hands."""
    once = candil.as_exit_reason(term)

    assert once == candil.as_exit_reason(once)
    assert once is candil.as_exit_reason(once)


@given(terms)
def test_every_reason_is_one_of_the_seven(term: object) -> None:
    """A match over ExitReason is exhaustive."""
    reason = candil.as_exit_reason(term)

    assert isinstance(
        reason, Normal | Shutdown | Killed | NoProcess | NoConnection | Crashed | Exit
    )


@given(terms, terms)
def test_equal_terms_give_equal_reasons_and_unequal_ones_unequal(one: object, two: object) -> None:
    """Nothing is lost on the way from a term to its reason."""
    assert (one == two) == (candil.as_exit_reason(one) == candil.as_exit_reason(two))


@pytest.mark.parametrize("word", ["normal", "shutdown", "killed", "noproc", "noconnection"])
def test_exit_refuses_the_words_that_have_a_class(word: str) -> None:
    """Exit("normal") would look like a normal end and not be one."""
    with pytest.raises(ValueError, match="as_exit_reason"):
        Exit(word)


@pytest.mark.parametrize(
    ("reason", "abnormal"),
    [
        (Normal(), False),
        (Shutdown(), False),
        (Shutdown("detail"), False),
        (Killed(), True),
        (NoProcess(), True),
        (NoConnection(), True),
        (Crashed(ValueError()), True),
        (Exit("boom"), True),
        (Exit(("shutdown",)), True),
    ],
)
def test_only_normal_and_shutdown_are_not_abnormal(
    reason: candil.ExitReason, abnormal: bool
) -> None:
    """A transient child is restarted after anything but normal, shutdown and {shutdown, _}."""
    assert abnormal is candil.is_abnormal(reason)


def test_the_cause_of_a_shutdown_is_no_part_of_its_equality() -> None:
    """A supervisor that gave up exits with the same shutdown as one that was asked to."""
    assert Shutdown() == Shutdown(cause=ValueError())
    assert hash(Shutdown()) == hash(Shutdown(cause=ValueError()))
    assert "cause" not in repr(Shutdown(cause=ValueError()))


@pytest.mark.parametrize("reason", [Normal(), Shutdown(1), Killed(), NoConnection(), Exit("a")])
def test_reasons_are_frozen_values(reason: object) -> None:
    """A reason reaches many hands, so none may change it."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        reason.term = "other"

    assert {reason} == {reason}
