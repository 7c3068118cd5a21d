"""The judge is judged: generator, player, comparison and shrinking."""

import pytest

from tests.conformance import shrink

from . import compare, generate, play

OPS = [
    "burst",
    "cancel_timer",
    "demonitor",
    "exit",
    "info",
    "is_alive",
    "link",
    "monitor",
    "raise",
    "receive",
    "register",
    "return",
    "send",
    "send_after",
    "send_soon",
    "signal",
    "spawn",
    "spawn_link",
    "spawn_monitor",
    "trap_exit",
    "unlink",
    "unregister",
    "want",
    "whereis",
]


def program_of(*timeline, processes=("p1", "p2")):
    """A program with two processes."""
    return {"name": "by hand", "processes": list(processes), "timeline": list(timeline)}


def lines_of(*timeline):
    """What is written of the last of these steps."""
    trace = play.trace_of(program_of(*timeline))["trace"]
    last = max(at for at, line in enumerate(trace) if line[0] == "do")
    return trace[last + 1 :]


def test_a_seed_stands_for_one_program():
    """The same seed makes the same program, another seed another one."""
    assert generate.program(7) == generate.program(7)
    assert generate.program(7)["timeline"] != generate.program(8)["timeline"]


@pytest.mark.parametrize("wanted", OPS)
def test_the_generator_uses_every_operation(wanted):
    """300 programs leave no operation untried."""
    programs = map(generate.program, range(300))

    assert any(step[1] == wanted for program in programs for step in program["timeline"])


def test_a_snapshot_tells_what_has_changed_and_nothing_else():
    """A process that looks as before has no line, and what is empty is left out."""
    assert lines_of(["p1", "link", "p2"], ["p1", "send", "p2", 1]) == [
        [
            "state",
            "p2",
            {"links": ["p1"], "mailbox": [["message", "p1", 1]], "message_queue_len": 1},
        ]
    ]


def test_a_mailbox_keeps_the_order_of_the_steps_and_sorts_the_senders_of_each():
    """What came in one step is written by sender, for nobody fixes who is first."""
    (line,) = lines_of(
        ["p2", "send", "p1", 1],
        ["p1", "send", "p1", 2],
        ["p2", "burst", [["send", "p1", 3], ["spawn", "a", [["send", "p1", 4]]]]],
        ["a", "return"],
        ["p1", "trap_exit", True],
    )[1:]

    assert line[2]["mailbox"] == [
        ["message", "p2", 1],
        ["message", "p1", 2],
        ["message", "a", 4],
        ["message", "p2", 3],
    ]


def test_asking_the_dead_is_written_and_does_nothing():
    """A timeline need not know who is alive."""
    assert lines_of(["p1", "return"], ["p1", "send", "p2", 1]) == [["gone", "p1"]]


def test_what_was_never_made_is_unknown():
    """So a shrunk program can still be played."""
    assert lines_of(["p1", "link", "nobody"]) == [["note", "p1", "link", "unknown"]]
    assert lines_of(["p1", "demonitor", "m1"]) == [["note", "p1", "demonitor", "unknown"]]
    assert lines_of(["p1", "cancel_timer", "t1"]) == [["note", "p1", "cancel_timer", "unknown"]]


def test_a_program_that_cannot_be_played_is_no_trace():
    """The player's own mistakes are told apart from disagreements."""
    ((kind, text),) = play.trace_of({"name": "broken", "timeline": []})["trace"]

    assert kind == "driver_crash"
    assert "processes" in text


def test_the_first_step_that_differs_is_the_disagreement():
    """With the lines that only one side has."""
    left = [["state", "p1", {}], ["do", "p1", "return"], ["died", "p1", "normal"]]
    right = [*left[:2], ["died", "p1", "boom"]]

    found = compare.disagreement(program_of(), left, right)

    assert compare.disagreement(program_of(), left, left) is None
    assert found.expected == ['["do", "p1", "return"]', '["died", "p1", "normal"]']
    assert found.actual[1] == '["died", "p1", "boom"]'


def test_what_the_dying_took_by_themselves_is_not_compared():
    """The message and the death were on their way at the same time."""
    step = [["do", "p2", "return"], ["died", "p1", "boom"]]
    took = ["note", "p1", "want", ["message", "p2", 1]]

    assert compare.disagreement(program_of(), step, [step[0], took, step[1]]) is None
    assert compare.disagreement(program_of(), step[:1], [step[0], took]) is not None


def test_the_order_in_which_several_things_were_taken_is_open():
    """They may be of different senders; what was done in between stays where it is."""
    step = [["do", "p2", "return"]]
    took = [["note", "p1", "want", ["message", id, 1]] for id in ("p2", "p3")]
    looked = [["note", "p1", "info", [[], False, [], 0]]]

    def disagree(left, right):
        return compare.disagreement(program_of(), step + left, step + right) is not None

    assert not disagree(took, took[::-1])
    assert disagree(took[:1] + looked + took[1:], took[1:] + looked + took[:1])


def test_shrinking_takes_a_program_apart():
    """Steps go, and so do the operations of a burst."""
    program = program_of(
        ["p1", "link", "p2"], ["p1", "burst", [["info"], ["send", "p2", 1], ["info"]]]
    )

    def sends(step):
        return step[1] == "burst" and ["send", "p2", 1] in step[2]

    smallest = shrink.shrink(
        program,
        lambda some: next((one for one in some if any(map(sends, one["timeline"]))), None),
    )

    assert smallest["timeline"] == [["p1", "burst", [["send", "p2", 1]]]]
