"""The judge is judged: generator, order of a trace, comparison and shrinking."""

import pytest

from . import compare, data, generate, normalise, shrink, snapshot

SCENARIO = {
    "name": "a killed supervisor",
    "sup": {
        "children": [{"id": "inner", "type": "supervisor", "sup": {"children": [{"id": "x"}]}}]
    },
    "timeline": [["signal", "inner", "kill"], ["sleep_ms", 1]],
}
START = ["start", "inner", 1]
KILLED = ["exit_of", "inner", 1, "killed"]
ORPHAN = ["exit_of", "x", 1, "killed"]
AGAIN = ["start", "inner", 2]
STATE = ["state", {}]


def test_the_order_is_open_where_a_supervisor_was_killed():
    """Between two states in which a supervisor was killed, the same lines in any order agree."""
    left = [START, STATE, KILLED, AGAIN, ORPHAN, STATE]
    right = [START, STATE, KILLED, ORPHAN, AGAIN, STATE]

    assert compare.disagreement(SCENARIO, left, right) is None


def test_the_order_is_open_nowhere_else():
    """A killed worker, or a killed supervisor in another interval, excuses nothing."""
    calm = [["start", "x", 1], ["exit_of", "y", 1, "killed"], STATE]
    left = [KILLED, STATE, *calm]
    right = [KILLED, STATE, calm[1], calm[0], STATE]

    found = compare.disagreement(SCENARIO, left, right)

    assert found is not None
    assert len(found.expected) == len(found.actual) == 3


def test_a_lost_line_is_a_disagreement_even_in_a_race():
    """Where the order is open, every line must still be there, as often as in OTP."""
    left = [KILLED, ORPHAN, ORPHAN, STATE]
    right = [KILLED, ORPHAN, STATE]

    found = compare.disagreement(SCENARIO, left, right)

    assert found is not None
    assert '> ["exit_of"' not in str(found)
    assert "a killed supervisor" in str(found)


def test_a_scenario_that_was_not_played_is_a_disagreement():
    """No trace is not the empty trace."""
    otp = [{"name": "a killed supervisor", "trace": [START, STATE]}]

    assert len(compare.disagreements([SCENARIO], otp, [])) == 1


def test_orphans_of_a_killed_supervisor_end_last():
    """Their ends move behind the rest of the interval, unless they were started in it."""
    young_end = ["exit_of", "x", 2, "shutdown"]
    young = ["start", "x", 2]

    ordered = normalise.normalise([KILLED, ORPHAN, AGAIN, young, young_end, STATE, START], SCENARIO)

    assert ordered == [KILLED, AGAIN, young, young_end, ORPHAN, STATE, START]


def test_dynamic_children_end_in_the_order_of_their_ids():
    """Neighbouring ends are sorted by id, incarnation, and terminate before exit."""
    ends = [["exit_of", "b", 1, "x"], ["exit_of", "a", 1, "x"], ["terminate", "a", 1, "x"]]
    started = [["op", "start_dyn", "root", id, ["ok", "pid"]] for id in "ab"]
    sup = {"strategy": "simple_one_for_one", "children": [{"id": "t"}]}

    ordered = normalise.normalise([*started, *ends, STATE], {"name": "d", "sup": sup})

    assert ordered == [*started, ends[2], ends[1], ends[0], STATE]


def test_every_kept_trace_is_in_its_order_already():
    """The order given to our traces leaves those of OTP as they are."""
    for name in ("hand.jsonl", "random.jsonl.gz"):
        scenarios = data.read(data.HERE / "scenarios" / name)
        traces = data.read(data.HERE / "traces" / name)
        for scenario, trace in zip(scenarios, traces, strict=True):
            assert normalise.normalise(trace["trace"], scenario) == trace["trace"]


def test_terms_sort_as_erlang_sorts_them():
    """Number, atom, map, list, binary; maps by size, then keys, then values."""
    ordered = [1, None, {"a": 1}, {"a": 2}, {"b": 0}, {"a": 1, "b": 1}, [], [1], ["a"], "", "a"]
    mixed = ordered[5:] + ordered[:5]

    assert sorted(mixed, key=snapshot.erlang_order) == ordered


def test_a_seed_stands_for_one_scenario():
    """The same seed makes the same scenario, another seed another one."""
    assert generate.scenario(7) == generate.scenario(7)
    assert generate.scenario(7)["sup"] != generate.scenario(8)["sup"]


@pytest.mark.parametrize(
    "wanted",
    [
        "exit",
        "raise",
        "signal",
        "batch",
        "start_child",
        "start_dyn",
        "terminate_dyn",
        "script",
        "terminate_child",
        "restart_child",
        "delete_child",
        "sleep_ms",
        "stop_sup",
    ],
)
def test_the_generator_uses_every_event(wanted):
    """300 scenarios leave no kind of event untried."""
    scenarios = map(generate.scenario, range(300))

    assert any(event[0] == wanted for scenario in scenarios for event in scenario["timeline"])


def test_shrinking_keeps_only_what_the_disagreement_needs():
    """A scenario that disagrees whenever it stops z loses everything else."""
    scenario = {
        "name": "s",
        "sup": {"intensity": 3, "period": 9, "children": [{"id": "y"}, {"id": "z", "trap": True}]},
        "timeline": [["exit", "y", "boom"], ["exit", "z", "boom"], ["sleep_ms", 1]],
    }

    smallest = shrink.shrink(
        scenario,
        lambda some: next((one for one in some if ["exit", "z", "boom"] in one["timeline"]), None),
    )

    assert smallest == {
        "name": "s",
        "sup": {"period": 9, "children": []},
        "timeline": [["exit", "z", "boom"]],
    }
