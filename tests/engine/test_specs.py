"""What is declared before anything runs, and refused where it is written down."""

import math
from typing import Any

import pytest

import candil
from candil import engine

LLAMA = engine.Engine(alias="llama", port=0)
TINY = engine.Model(alias="tiny", model_dir=".", filename="tiny.gguf")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("startup_timeout", "probe_interval", "probe_timeout")
            for value in (0, -1)
        ),
        *((name, -1) for name in ("drain_timeout", "grace_period")),
        *((name, math.inf) for name in ("probe_interval", "probe_timeout", "grace_period")),
        *(
            (name, value)
            for name in (
                "startup_timeout",
                "probe_interval",
                "probe_timeout",
                "drain_timeout",
                "grace_period",
                "failure_threshold",
            )
            for value in (math.nan, "1", None, True)
        ),
        *(("failure_threshold", value) for value in (0, -1, 1.5, math.inf)),
    ],
)
def test_a_time_that_cannot_work_is_refused(name: str, value: Any) -> None:
    """Where it is written, not at the first look or the first stop."""
    with pytest.raises(engine.ConfigError, match=name) as caught:
        engine.Timing(**{name: value})

    assert len(caught.value.mistakes) == 1
    assert repr(value) in str(caught.value)


def test_all_mistakes_of_a_timing_come_at_once() -> None:
    """Who mends one wants to know of the others."""
    with pytest.raises(engine.ConfigError) as caught:
        engine.Timing(
            startup_timeout=-1,
            probe_interval=0,
            probe_timeout=-1,
            failure_threshold=0,
            drain_timeout=-1,
            grace_period=-1,
        )

    assert len(caught.value.mistakes) == 6


def test_times_at_their_limits_are_taken() -> None:
    """No drain, no grace, and patience without end."""
    assert engine.Timing(
        startup_timeout=math.inf, drain_timeout=0, grace_period=0, failure_threshold=1
    )
    assert engine.Timing(drain_timeout=math.inf)


def test_what_is_no_timing_is_refused() -> None:
    """Together with what is no engine and no model."""
    with pytest.raises(engine.ConfigError, match="timing must be a Timing, got: 5"):
        engine.child_spec(LLAMA, TINY, timing=5)  # type: ignore[arg-type]
    with pytest.raises(engine.ConfigError) as caught:
        engine.child_spec("llama", None, timing=5)  # type: ignore[arg-type]
    assert len(caught.value.mistakes) == 3


@pytest.mark.parametrize("children", [[3], ["tiny"], 3, [LLAMA]])
def test_what_is_no_child_of_the_engines_supervisor_is_refused(children: Any) -> None:
    """It takes what `child_spec` makes."""
    with pytest.raises(engine.ConfigError, match="children"):
        engine.engines_spec(children)


@pytest.mark.parametrize("limits", [{"max_restarts": -1}, {"max_seconds": 0}])
def test_limits_that_cannot_work_are_refused(limits: Any) -> None:
    """Also without a child, which would have shown them."""
    with pytest.raises(candil.SpecError, match=next(iter(limits))):
        engine.engines_spec(**limits)


def test_an_alias_comes_once() -> None:
    """Two children of one alias would fight for it at the start."""
    children = [engine.child_spec(LLAMA, TINY, id=number, name=f"n{number}") for number in (1, 2)]
    with pytest.raises(candil.SpecError, match="twice"):
        engine.engines_spec(children)
