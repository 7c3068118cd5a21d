"""Sending and receiving: order, selection, timeouts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import ReceiveTimeout
from candil._otp.processes import runtime as runtime_module
from tests.otp.bodies import do_nothing, end_of, exit_and_settle, wait_for_ever

# --- several tasks, and matchers that send


async def test_a_receive_finds_what_woke_it_though_another_looked_at_it_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each task of a process knows what it has seen itself, not what another has passed over."""
    monkeypatch.setattr(runtime_module, "MAX_INLINE_SECONDS", math.inf)
    async with candil.open_node():
        got: list[str] = []

        async def take() -> None:
            got.append(await candil.receive(str))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            await wait_all_tasks_blocked()
            candil.send(candil.self(), "for the other")
            # So that the other does not run before this one looks.
            runtime_module.get_runtime().begin_turn()
            with trio.CancelScope() as scope:  # cancelled where it waits, before the other's turn
                await candil.receive(lambda _: scope.cancel())
            nursery.cancel_scope.deadline = trio.current_time() + 20

        assert ["for the other"] == got


async def test_a_matcher_may_send_to_its_own_process() -> None:
    """What it sends is looked at like all else."""
    async with candil.open_node():
        for number in range(2):
            candil.send(candil.self(), number)

        def wants_its_own(message: object) -> bool:
            if message == 1:
                candil.send(candil.self(), "its own")
            return message == "its own"

        with trio.fail_after(20):
            assert "its own" == await candil.receive(wants_its_own)


# --- send


async def test_messages_are_received_in_the_order_they_were_sent() -> None:
    """A mailbox is a queue."""
    async with candil.open_node():
        for number in range(5):
            candil.send(candil.self(), number)

        assert list(range(5)) == [await candil.receive() for _ in range(5)]


@pytest.mark.parametrize("name", ["worker", candil.Name("worker"), candil.Via("worker", 1)])
async def test_a_message_reaches_whoever_holds_the_name(name: Any) -> None:
    """By each of the three forms."""
    async with candil.open_node():
        candil.register(name, candil.self())
        candil.send(name, "hello")

        assert "hello" == await candil.receive()


async def test_a_message_to_a_dead_pid_is_ignored() -> None:
    """The sender cannot know in time anyway."""
    async with candil.open_node():
        pid = candil.spawn(do_nothing)
        await end_of(pid)
        candil.send(pid, "hello")


async def test_any_task_may_send() -> None:
    """The sender need not be a process."""

    async def hosts(task_status: Any) -> None:
        async with candil.open_node():
            task_status.started(candil.self())
            assert "hello" == await candil.receive()

    async with trio.open_nursery() as nursery:
        candil.send(await nursery.start(hosts), "hello")


async def test_a_mailbox_that_grows_is_reported_at_each_power_of_two() -> None:
    """From 1,024 on, so that a slow process is seen before memory is."""
    seen: list[object] = []
    with candil.subscribe(seen.append):
        async with candil.open_node(log=False):
            pid = candil.spawn(wait_for_ever)
            for number in range(5000):
                candil.send(pid, number)

            lengths = [event.length for event in seen if isinstance(event, candil.MailboxHigh)]
            assert [1025, 2049, 4097] == lengths


# --- receive


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (None, "a"),
        (int, 1),
        ((float, bytes), b"x"),
        (lambda message: message == "b", "b"),
        (candil.Timeout, candil.Timeout()),
    ],
)
async def test_receive_takes_the_first_message_that_matches_and_leaves_the_rest(
    match: Any, expected: object
) -> None:
    """By class, by classes or by a function; what does not match stays in order."""
    async with candil.open_node():
        messages = ["a", 1, b"x", 1.5, "b", candil.Timeout(), 2]
        for message in messages:
            candil.send(candil.self(), message)
        assert expected == await candil.receive(match)
        messages.remove(expected)

        assert messages == [await candil.receive() for _ in messages]


async def test_receive_waits_for_a_message_that_matches() -> None:
    """Others that come meanwhile do not end the wait."""
    async with candil.open_node():
        got = []

        async def receives() -> None:
            got.append(await candil.receive(int))
            got.append(await candil.receive())

        pid = candil.spawn(receives)
        await wait_all_tasks_blocked()
        candil.send(pid, "no")
        await wait_all_tasks_blocked()
        assert "waiting" == candil.process_info(pid).status
        candil.send(pid, 7)
        await end_of(pid)

        assert [7, "no"] == got


async def test_receive_needs_a_process() -> None:
    """Only processes have mailboxes."""
    with pytest.raises(RuntimeError, match=r"candil\.receive\(\) needs a process"):
        await candil.receive()


@pytest.mark.parametrize("messages", [0, 1])
async def test_a_cancelled_receive_loses_no_message(messages: int) -> None:
    """Whether one was there already or came in the meantime."""
    async with candil.open_node():
        for _ in range(messages):
            candil.send(candil.self(), "kept")
        with trio.CancelScope() as scope:
            scope.cancel()
            await candil.receive()
        assert scope.cancelled_caught
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(candil.receive, int)
                await wait_all_tasks_blocked()
                candil.send(candil.self(), "sent")
                scope.cancel()
        for expected in ["kept"] * messages + ["sent"]:
            assert expected == await candil.receive(timeout=0)


async def test_a_message_and_a_cancellation_at_the_same_time_lose_nothing() -> None:
    """Either receive returned it, or it is still there."""
    async with candil.open_node():
        for cancel_first in (True, False):
            got: list[object] = []

            async def receives(got: list[object] = got) -> None:
                got.append(await candil.receive())  # noqa: ASYNC912

            async with trio.open_nursery() as nursery:
                nursery.start_soon(receives)
                await wait_all_tasks_blocked()
                if cancel_first:
                    nursery.cancel_scope.cancel()
                candil.send(candil.self(), "hello")
                nursery.cancel_scope.cancel()
            left = candil.self().process.mailbox

            assert ["hello"] == [*got, *left]
            left.clear()


async def test_a_process_that_is_told_to_end_while_it_receives_just_ends() -> None:
    """Its wait is undone before anybody can send to it."""
    async with candil.open_node():
        pid = candil.spawn(candil.receive)
        await wait_all_tasks_blocked()
        candil.exit(pid, "boom")
        candil.send(pid, "too late")

        assert candil.Exit("boom") == await end_of(pid)


async def test_a_message_that_came_just_before_the_exit_signal_is_not_received() -> None:
    """A process that was told to end runs no more code of its own, only its cleanup."""
    got: list[object] = []

    async def takes_one() -> None:
        got.append(await candil.receive())

    async with candil.open_node():
        pid = candil.spawn(takes_one)
        await wait_all_tasks_blocked()
        candil.send(pid, "hello")
        await exit_and_settle(pid, "boom")

        assert [] == got


async def test_a_cleanup_may_still_receive() -> None:
    """What is shielded from the end of its process is not told of it again."""
    got: list[object] = []

    async def takes_one_at_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                got.append(await candil.receive())

    async with candil.open_node():
        pid = candil.spawn(takes_one_at_the_end)
        await wait_all_tasks_blocked()
        candil.exit(pid, "boom")
        await wait_all_tasks_blocked()
        candil.send(pid, "hello")
        await end_of(pid)

        assert ["hello"] == got


async def test_two_messages_in_one_step_wake_a_process_once() -> None:
    """Whoever wakes it clears the slot, so it is never woken twice."""
    async with candil.open_node():
        got = []

        async def receives() -> None:
            got.extend([await candil.receive(), await candil.receive()])

        pid = candil.spawn(receives)
        await wait_all_tasks_blocked()
        candil.send(pid, 1)
        candil.send(pid, 2)
        await end_of(pid)

        assert [1, 2] == got


async def test_two_tasks_of_a_process_cannot_wait_at_once() -> None:
    """The second is told so, and the first goes on waiting."""
    async with candil.open_node():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(candil.receive)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError, match="already waits for messages"):
                await candil.receive()
            candil.send(candil.self(), "for the first")

        assert 0 == candil.process_info(candil.self()).message_queue_len


async def test_a_waiting_receive_sees_what_comes_after_another_task_took_messages() -> None:
    """It remembers how far it has looked, and the mailbox has become shorter."""
    async with candil.open_node():
        for number in range(5):
            candil.send(candil.self(), number)
        got = []

        async def receives() -> None:
            got.append(await candil.receive(str))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receives)
            await wait_all_tasks_blocked()
            for number in range(3):
                assert number == await candil.receive(int)
            candil.send(candil.self(), "found")

        assert ["found"] == got


async def test_a_matcher_that_raises_takes_no_message() -> None:
    """The error is the receiver's own, and the timer is not left behind."""
    async with candil.open_node():
        candil.send(candil.self(), "hello")
        with pytest.raises(ZeroDivisionError):
            await candil.receive(lambda _message: 1 / 0, timeout=5)

        assert "hello" == await candil.receive()


# --- timeouts


@pytest.mark.parametrize("timeout", [0, 0.0])
async def test_a_timeout_of_zero_only_looks(timeout: float) -> None:
    """A message that is there is taken, and nothing is waited for."""
    async with candil.open_node():
        candil.send(candil.self(), "here")
        assert "here" == await candil.receive(timeout=timeout)
        with pytest.raises(ReceiveTimeout) as raised:
            await candil.receive(timeout=timeout)

        assert timeout == raised.value.timeout


async def test_a_receive_times_out_at_its_time(autojump_clock: MockClock) -> None:
    """Messages that do not match neither end nor prolong the wait."""
    async with candil.open_node():
        started = trio.current_time()
        candil.send_after(candil.self(), "other", 3)
        with pytest.raises(ReceiveTimeout):
            await candil.receive(int, timeout=5)

        assert 5 == pytest.approx(trio.current_time() - started)
        assert "other" == await candil.receive()


async def test_a_message_at_the_very_deadline_is_received(autojump_clock: MockClock) -> None:
    """What is there when the receive wakes is taken, late or not."""
    async with candil.open_node():
        candil.send_after(candil.self(), 1, 5)

        assert 1 == await candil.receive(int, timeout=5)


async def test_a_receive_that_was_answered_leaves_no_timer(autojump_clock: MockClock) -> None:
    """Its deadline wakes nobody later."""
    async with candil.open_node() as node:
        candil.send_after(candil.self(), "soon", 1)
        await candil.receive(timeout=10)
        assert [None] == [timer.callback for timer in node.timers._heap]
        with trio.move_on_after(20):
            await candil.receive(int, timeout=30)


async def test_receives_with_long_timeouts_leave_no_heap_of_timers() -> None:
    """A server that waits an hour at a time may do so for ever."""
    async with candil.open_node() as node:
        me = candil.self()

        async def echo() -> None:
            while True:
                candil.send(me, await candil.receive(timeout=3600))

        pid = candil.spawn(echo)
        for number in range(2000):
            candil.send(pid, number)
            await candil.receive(timeout=3600)

        assert len(node.timers._heap) < 600


@pytest.mark.parametrize("timeout", [-1, -math.inf, math.nan, None, "5"])
async def test_a_receive_for_what_is_no_time_is_a_value_error(timeout: Any) -> None:
    """The message stays."""
    async with candil.open_node():
        candil.send(candil.self(), "here")
        with pytest.raises(ValueError, match="a timeout is 0 seconds or more"):
            await candil.receive(timeout=timeout)
        assert await candil.receive() == "here"


async def test_a_message_for_what_whereis_did_not_find_is_for_nobody() -> None:
    """NoProc, which says where the None comes from."""
    nobody: Any = candil.whereis("nobody")
    with pytest.raises(candil.NoProc, match="whereis gives"):
        candil.send(nobody, "hello")


async def test_a_timeout_that_is_no_number_is_refused() -> None:
    """And the timers of everybody else go on."""
    async with candil.open_node():
        with pytest.raises(ValueError, match="nan"):
            await candil.receive(timeout=math.nan)
        with pytest.raises(ValueError, match="nan"):
            await candil.call(candil.spawn(wait_for_ever), "ask", timeout=math.nan)
        candil.send_after(candil.self(), "tick", 0)

        assert "tick" == await candil.receive(timeout=5)


# --- a model of the mailbox


steps = st.lists(
    st.tuples(st.just("send"), st.integers(0, 5) | st.text("ab", max_size=1))
    | st.tuples(st.just("receive"), st.sampled_from([None, int, str, "even"])),
    max_size=30,
)


@given(steps)
def test_a_mailbox_behaves_as_a_list(steps: list[tuple[str, Any]]) -> None:
    """For any mix of sends and selective receives, whether they wait or not."""

    def matcher(match: Any) -> Any:
        return (lambda message: message in (0, 2, 4)) if match == "even" else match

    def matches(match: Any, message: object) -> bool:
        if match == "even":
            return message in (0, 2, 4)
        return match is None or isinstance(message, match)

    async def play() -> None:
        model: list[object] = []
        async with candil.open_node(log=False):
            for step, value in steps:
                if step == "send":
                    candil.send(candil.self(), value)
                    model.append(value)
                    continue
                found = next((message for message in model if matches(value, message)), None)
                if found is None:
                    with pytest.raises(ReceiveTimeout):
                        await candil.receive(matcher(value), timeout=0)
                else:
                    model.remove(found)
                    assert found == await candil.receive(matcher(value), timeout=0)
            assert model == list(candil.self().process.mailbox)

    trio.run(play)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=20))
def test_a_waiting_receive_gets_the_first_match_however_messages_come(
    sends: list[tuple[int, bool]],
) -> None:
    """In bursts or one by one, between checkpoints or not: none is missed, none is taken twice."""

    async def play() -> None:
        wanted = [number for number, _ in sends if number == 1]
        got: list[object] = []

        async def receives(count: int) -> None:
            while len(got) < count:
                got.append(await candil.receive(lambda message: message == 1))

        async with candil.open_node(log=False):
            pid = candil.spawn(receives, len(wanted))
            record = pid.process
            for number, pause in sends:
                candil.send(pid, number)
                if pause:
                    await wait_all_tasks_blocked()
            with trio.fail_after(5):
                if pid.process is not None:
                    await end_of(pid)

            assert wanted == got
            assert candil.Normal() == record.exit_reason

    trio.run(play)
