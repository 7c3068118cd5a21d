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
        *((name, value) for name in ("ready", "look", "answer") for value in (0, -1)),
        *((name, -1) for name in ("drain", "grace")),
        *((name, math.inf) for name in ("look", "answer", "grace")),
        *(
            (name, value)
            for name in ("ready", "look", "answer", "drain", "grace", "misses")
            for value in (math.nan, "1", None, True)
        ),
        *(("misses", value) for value in (0, -1, 1.5, math.inf)),
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
        engine.Timing(ready=-1, look=0, answer=-1, misses=0, drain=-1, grace=-1)

    assert len(caught.value.mistakes) == 6


def test_times_at_their_limits_are_taken() -> None:
    """No drain, no grace, and patience without end."""
    assert engine.Timing(ready=math.inf, drain=0, grace=0, misses=1)
    assert engine.Timing(drain=math.inf)


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
