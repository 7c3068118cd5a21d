"""How a server ends when what it runs raises something unusual."""

import pytest
import trio

import candil


class Odd(BaseException):
    """No ``Exception``."""


class Failing(candil.GenServer):
    """Notes its end."""

    def __init__(self, log: list[object]) -> None:
        self.log = log

    @candil.handle_call
    def fail(self, error: BaseException) -> None:
        raise error

    @candil.handle_call
    async def fail_later(self, error: BaseException) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    async def terminate(self, reason: candil.ExitReason) -> None:
        await trio.lowlevel.checkpoint()
        self.log.append(reason)


@pytest.mark.parametrize("handler", ["fail", "fail_later"])
@pytest.mark.parametrize("error", [Odd(), GeneratorExit(), SystemExit(1), ValueError()])
async def test_terminate_runs_whatever_a_handler_raises(handler, error):
    """OTP: ``terminate`` is called when a callback raised, of whatever class."""
    log = []
    async with candil.open_node(log=False):
        pid = await candil.start(Failing, log)
        with pytest.raises(candil.ServerExited):
            await candil.call(pid, handler, error)
    assert log == [candil.Crashed(error)]


async def test_who_called_a_server_that_was_shut_down_ends_in_order_too():
    """OTP: the caller exits with ``{shutdown, {gen_server, call, ...}}``: no transient restarts."""
    starts = []

    class Server(candil.GenServer):
        @candil.handle_call
        async def wait(self) -> None:
            await trio.sleep_forever()

    async def client():
        starts.append(candil.self())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Server.wait, "server")

    async with candil.open_supervisor(
        [
            candil.child_spec(Server, name="server", restart="temporary"),
            candil.child_spec(client, id="client", restart="transient"),
        ],
        log=False,
    ) as sup:
        await trio.testing.wait_all_tasks_blocked()
        ref = candil.monitor(starts[0])
        await candil.exit("server", "shutdown")
        down = await candil.receive(candil.Down)
        assert down.ref is ref
        assert down.reason == candil.Shutdown(("call", "server", "wait"))
        assert isinstance(down.reason.cause, candil.ServerExited)
        await trio.testing.wait_all_tasks_blocked()
        assert [info.child for info in await candil.which_children(sup)] == [None]
    assert len(starts) == 1


@pytest.mark.parametrize("reason", ["normal", "boom", ("shutdown", "x")])
async def test_who_called_a_server_that_ended_otherwise_crashes(reason):
    """OTP: ``{Reason, {gen_server, call, ...}}`` is an orderly end for the bare shutdown only."""

    class Server(candil.GenServer):
        @candil.handle_call
        async def end(self) -> candil.Deferred[None]:
            candil.stop(candil.as_exit_reason(reason))
            return candil.Deferred()

    async def client(server):
        await Server.end(server)

    async with candil.open_node(log=False):
        server = await candil.start(Server)
        candil.spawn_monitor(client, server)
        down = await candil.receive(candil.Down)
    assert isinstance(down.reason, candil.Crashed)
    assert isinstance(down.reason.exception, candil.ServerExited)


@pytest.mark.parametrize(
    ("reasons", "ended"),
    [(["normal"], candil.Normal()), (["boom"], candil.Exit("boom")), (["a", "b"], None)],
)
async def test_the_exit_of_a_task_of_a_process_is_the_exit_of_the_process(reasons, ended):
    """If it is the only one: its nursery puts it into a group, which is no reason of its own."""

    async def leave(reason):
        raise candil.ProcessExit(reason)

    async def body():
        async with trio.open_nursery() as outer, trio.open_nursery() as nursery:
            outer.start_soon(trio.lowlevel.checkpoint)
            for reason in reasons:
                nursery.start_soon(leave, reason)

    async with candil.open_node(log=False):
        candil.spawn_monitor(body)
        down = await candil.receive(candil.Down)
    if ended is None:
        assert isinstance(down.reason, candil.Crashed)
    else:
        assert down.reason == ended


async def test_stop_within_a_callback_tells_how_it_speaks_of_a_name():
    """``candil.stop("boom")`` without ``await`` would do nothing at all."""

    class Confused(candil.GenServer):
        @candil.handle_call
        def end(self) -> None:
            candil.stop("boom")

    async with candil.open_node(log=False):
        with pytest.raises(candil.ServerExited) as raised:
            await Confused.end(await candil.start(Confused))
        (note,) = raised.value.__cause__.__notes__
        assert "candil.stop(candil.as_exit_reason('boom'))" in note


async def test_a_message_that_nothing_takes_is_hinted_at_once_a_kind():
    """OTP's default ``handle_info`` logs it and goes on."""

    class Deaf(candil.GenServer):
        @candil.handle_call
        def ping(self) -> str:
            return "pong"

    hints = []
    with candil.subscribe(lambda event: isinstance(event, candil.Hint) and hints.append(event)):
        async with candil.open_node(log=False):
            pid = await candil.start(Deaf)
            for message in ("x", "y", 3):
                candil.send(pid, message)
            assert await Deaf.ping(pid) == "pong"

    assert [hint.pid for hint in hints] == [pid, pid]
    assert "Deaf has no handle_info() to take a str message" in hints[0].text
    assert "int" in hints[1].text


async def test_arguments_of_a_cast_that_no_handler_takes_are_not_lost_in_silence():
    """Only a handler of that name could take them; ``handle_cast`` gets the bare message."""

    class Taking(candil.GenServer):
        def handle_cast(self, message: object) -> None:
            raise AssertionError(message)

    async with candil.open_node(log=False):
        pid = await candil.start(Taking)
        ref = candil.monitor(pid)
        candil.cast(pid, "note", 1)
        down = await candil.receive(candil.Down)
        assert down.ref is ref
        assert isinstance(down.reason.exception, candil.UndefinedCallback)


@pytest.mark.parametrize("seconds", [0.0, 1.0])
async def test_a_server_that_ctrl_c_finds_at_work_cleans_up_too(seconds, autojump_clock):
    """It is the one that has something to save; then everything stops in order."""
    log = []

    class Working(candil.GenServer):
        def init(self) -> None:
            candil.trap_exit(True)

        @candil.handle_cast
        def work(self) -> None:
            raise KeyboardInterrupt

        async def terminate(self, reason: candil.ExitReason) -> None:
            crashed = isinstance(reason, candil.Crashed)
            await trio.sleep(seconds if crashed else 0)
            log.append(type(reason).__name__)

    with pytest.raises(KeyboardInterrupt):
        async with candil.open_supervisor(
            [candil.child_spec(Working, id=number) for number in range(3)], log=False
        ) as sup:
            children = await candil.which_children(sup)
            Working.work(children[-1].child)  # the first to start is the last to be stopped
            await trio.sleep_forever()

    assert sorted(log) == ["Crashed", "Shutdown", "Shutdown"]
    assert trio.current_time() <= 3 * seconds + 1


async def test_an_error_in_terminate_does_not_hide_the_crash_before_it():
    """OTP ends with the new reason; the old one is its context."""

    class Twice(candil.GenServer):
        @candil.handle_call
        def fail(self) -> None:
            raise ValueError("first")

        def terminate(self, reason: candil.ExitReason) -> None:
            raise TypeError("second")

    async with candil.open_node(log=False):
        with pytest.raises(candil.ServerExited) as raised:
            await Twice.fail(await candil.start(Twice))
    assert isinstance(raised.value.__cause__, TypeError)
    assert isinstance(raised.value.__cause__.__context__, ValueError)
