"""Random histories of a supervisor agree with a model that has no processes."""

import pytest
import trio
from hypothesis import HealthCheck, given, settings, strategies as st
from trio.testing import MockClock

import candil

from .supervisor_model import Model
from .workers import Journal, Worker, settle, shown, worker

LABELS = "abcde"
REASONS = ["normal", "shutdown", ("shutdown", "x"), "boom", "killed"]

labels = st.sampled_from(LABELS)
fates = st.lists(st.sampled_from(["ok", "ok", "e", "ignore"]), max_size=4)
steps = st.one_of(
    st.tuples(
        st.just("add"), labels, st.sampled_from(["permanent", "transient", "temporary"]), fates
    ),
    st.tuples(st.sampled_from(["terminate", "restart", "delete"]), labels),
    st.tuples(
        st.just("end"),
        st.lists(labels, min_size=1, max_size=3, unique=True).map("".join),
        st.sampled_from(REASONS),
    ),
)
histories = st.lists(steps, min_size=1, max_size=25)

REQUESTS = {
    "terminate": candil.terminate_child,
    "restart": candil.restart_child,
    "delete": candil.delete_child,
}


async def ask(sup, journal, step):
    """Do one request; gives the name of what it raises."""
    try:
        if step[0] == "add":
            _, label, restart, fate = step
            spec = worker(label, journal, script=list(fate), restart=restart)
            await candil.start_child(sup, spec)
        else:
            await REQUESTS[step[0]](sup, step[1])
    except candil.CandilError as error:
        return type(error).__name__
    return None


async def end_together(sup, labels, reason):
    """Have children end before their supervisor, which is suspended, learns of it."""
    await candil.sys.suspend(sup)
    children = (await candil.sys.get_state(sup)).children
    for label in labels:
        child = children.get(label)
        if child is not None and child.pid is not None:
            Worker.end(child.pid, reason)
            await settle()
    await candil.sys.resume(sup)
    await settle()


async def play(strategy, max_restarts, history):
    """Let a supervisor and the model live through the same history."""
    model = Model(strategy, max_restarts)
    journal = Journal()
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        spec = candil.supervisor_spec([], strategy=strategy, max_restarts=max_restarts)
        sup = await candil.start_link(spec)
        for step in history:
            if step[0] == "end":
                await end_together(sup, *step[1:])
                model.end(*step[1:])
            else:
                arguments = [list(x) if isinstance(x, list) else x for x in step[1:]]
                assert await ask(sup, journal, step) == getattr(model, step[0])(*arguments), step
            assert journal == model.lines, step
            assert candil.is_alive(sup) is not model.gave_up
            if model.gave_up:
                return
            assert await shown(sup) == model.shown()
            state = await candil.sys.get_state(sup)
            assert state.window.count == model.restarts
            assert len(state.children.by_pid) == sum(
                child.state == "up" for child in model.children
            )
    model.stop_all()
    assert journal == model.lines


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(
    st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
    st.sampled_from([0, 2, 1000]),
    histories,
)
def test_a_supervisor_does_what_the_model_does(strategy, max_restarts, history):
    """Children, answers, the order of all starts and ends, and when it gives up."""
    trio.run(play, strategy, max_restarts, history, clock=MockClock())


def test_the_model_knows_a_failed_restart():
    """The one history that everybody knows: three attempts, and the end."""
    model = Model("one_for_one", 3)
    model.add("a", "permanent", ["ok", "e", "e", "e", "e"])
    model.end("a", "boom")

    assert model.lines == ["start a", "terminate a boom", "fail a", "fail a", "fail a"]
    assert model.gave_up
