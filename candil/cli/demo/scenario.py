"""
The part of the demo that needs a tree: ask, kill, watch it come back, ask again, stop.

Not here: what comes before and after (`command`).
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar, final

import trio

import candil
from candil import engine
from candil.cli.demo.layout import Mood, pid_text, restarts
from candil.cli.demo.process_tracker import Census, Fate
from candil.cli.demo.tree import Tree, how_it_ended
from candil.cli.errors import CommandError
from candil.engine._http.chat import AnswerCut, open_chat

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from candil.cli.demo.screen import Screen

E = TypeVar("E")

ALIAS: Final = "smollm2"
QUESTION: Final = "Explain in one short paragraph what a phoenix is."
MOST_TOKENS: Final = 200
KILL_AFTER: Final = 20
READY_SECONDS: Final = 180.0
NOTICE_SECONDS: Final = 15.0
ANSWER_SECONDS: Final = 300.0
FRAME_SECONDS: Final = 0.1
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@final
class Tokens(candil.GenServer):
    """Counts the tokens that arrive: a sibling of the engine, whom its death does not concern."""

    def __init__(self) -> None:
        self.count = 0

    @candil.handle_call
    def total(self) -> int:
        """Answer how many there have been."""
        return self.count

    @candil.handle_cast
    def add(self) -> None:
        """Count one more."""
        self.count += 1


@final
class Show:
    """
    One performance.

    Attributes:
        screen: Where it is seen.

        census: The processes that were seen.

        failure: What should have happened and did not.

        stopped_by: The signal that ended it early.
    """

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.census = Census()
        self.failure: Exception | None = None
        self.stopped_by: int | None = None
        self._tree = Tree("root", "supervisor, one_for_one, at most 3 restarts in 5 s")
        self._told, self._events = trio.open_memory_channel[tuple[float, object]](float("inf"))
        self._received = 0
        self._killed_at = 0.0

    async def run(self, model: engine.Model, program: engine.Engine) -> None:
        """Perform; what goes wrong is kept in `failure`."""
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            await nursery.start(self._take_signals, scope)
            nursery.start_soon(self._keep_fresh)
            try:
                with scope:
                    await self._perform(model, program)
            except (candil.CandilError, OSError) as error:
                self.failure = error
            nursery.cancel_scope.cancel()

    def take_census(self) -> bool:
        """Say of every process that was seen what has become of it; tell whether none lives."""
        fates = self.census.fates()
        for noted, fate in fates:
            mood = Mood.BAD if fate is Fate.ALIVE else Mood.GOOD
            self.screen.step("gone", f"{noted.role} {noted.pid}: {fate.value}", mood)
        alive = sum(fate is Fate.ALIVE for _noted, fate in fates)
        if not alive:
            count = (
                f"of {len(fates)} processes none lives" if fates else "no process of the demo lives"
            )
            self.screen.step("left", f"nothing: {count}", Mood.GOOD)
        return not alive

    async def _perform(self, model: engine.Model, program: engine.Engine) -> None:
        spec = candil.supervisor_spec(
            [
                candil.child_spec(Tokens, id="tokens", name="tokens"),
                engine.child_spec(program, model),
            ],
            name="root",
            max_restarts=3,
            max_seconds=5.0,
        )
        with candil.subscribe(self._hear):
            async with candil.open_supervisor(spec, log=False):
                begun = time.monotonic()
                self.screen.draw(self._tree)
                self.screen.step("tree", self._describe_tree())
                url, first = await self._becomes_ready(begun, "its start")
                await self._pause()
                await self._is_killed_in_mid_answer(url, first)
                second = await self._comes_back(url, first)
                await self._pause()
                await self._answers(url, second)
                await self._tell_total()
                await self._pause()
                begun = time.monotonic()
            self.screen.undraw()
            took = time.monotonic() - begun
            self.screen.step("stop", f"the tree has stopped, in {took:.2f} s, the root last")

    # --- the acts

    async def _becomes_ready(self, since: float, what: str, url: str = "") -> tuple[str, int]:
        """Wait until the engine is ready, and return its address and process id."""
        with _within(READY_SECONDS, "the llama-server to become ready"):
            address = await engine.wait_ready(ALIAS, READY_SECONDS)
        pid = await engine.EngineServer.os_pid(ALIAS)
        if pid is None:
            raise CommandError("the llama-server was ready, and gone a moment later")
        took = time.monotonic() - since
        where = f"{address} again" if address == url else address
        self.screen.step(
            "ready", f"llama-server {pid} at {where}, {took:.2f} s after {what}", Mood.GOOD
        )
        return address, pid

    async def _is_killed_in_mid_answer(self, url: str, pid: int) -> None:
        self.screen.step("question", QUESTION)
        self._received = 0
        try:
            await self._listen(url, lambda: self._kill(pid))
        except AnswerCut:
            self.screen.answered(complete=False)
        else:
            self.screen.answered(complete=True)
            raise CommandError(
                "the answer was complete before the kill could cut it short: the demo shows "
                "nothing like this. Try again"
            )
        self.screen.step("cut", "no end mark came: the client knows that this is half an answer")

    async def _comes_back(self, url: str, first: int) -> int:
        """Follow the tree from the crash to the next engine, and return its process id."""
        crash = await self._awaited(candil.SupervisorReport, "the tree to notice the death")
        error = crash.reason.exception if isinstance(crash.reason, candil.Crashed) else None
        if not isinstance(error, engine.EngineExited):
            raise CommandError(f"the tree reported something else than the kill: {crash}")
        self.screen.step(
            "noticed",
            f"llama-server {first} ended with {how_it_ended(error)} (status "
            f"{error.status.returncode}), {self._since_kill()} after the kill; its server "
            f"crashes with {type(error).__name__}",
            Mood.BAD,
        )
        again = await self._awaited(candil.ChildStarted, "the supervisor to restart the engine")
        self.screen.step(
            "restart",
            f"the root starts {again.child_id} again, as {pid_text(again.pid)}; tokens is left "
            "alone",
            Mood.BUSY,
        )
        address, second = await self._becomes_ready(self._killed_at, "the kill", url)
        if address != url or second == first:
            raise CommandError(
                f"a restarted engine keeps its address and has a new process id, but this one "
                f"went from {url}, {first} to {address}, {second}"
            )
        return second

    async def _answers(self, url: str, pid: int) -> None:
        self.screen.step("question", "the same again")
        self._received = 0
        await self._listen(url, lambda: None)
        self.screen.answered(complete=True)
        self.screen.step(
            "complete",
            f"{self._received} tokens and the end mark, from llama-server {pid}",
            Mood.GOOD,
        )

    async def _tell_total(self) -> None:
        total = await Tokens.total("tokens")
        child = self._tree.children["tokens"]
        self.screen.step(
            "tokens",
            f"{pid_text(child.pid)} counted the tokens of both answers: {total}. It was "
            f"{restarts(child.starts - 1)}",
        )

    async def _listen(self, url: str, at_mid_answer: Callable[[], None]) -> None:
        """Ask, and take the answer piece by piece, counted by the tree's other child."""
        with _within(ANSWER_SECONDS, "the answer"):
            async with open_chat(url, QUESTION, max_tokens=MOST_TOKENS, temperature=0.0) as pieces:
                async for piece in pieces:
                    self._received += 1
                    Tokens.add("tokens")
                    self.screen.piece(piece)
                    if self._received == KILL_AFTER:
                        at_mid_answer()

    def _kill(self, pid: int) -> None:
        self._killed_at = time.monotonic()
        self._events_so_far()
        os.kill(pid, signal.SIGKILL)
        self.screen.step(
            "kill", f"SIGKILL to llama-server {pid}, after {self._received} tokens", Mood.BAD
        )

    # --- what the tree tells

    def _hear(self, event: object) -> None:
        now = time.monotonic()
        if isinstance(event, engine.EngineStateChanged) and event.pid is not None:
            self.census.note(event.pid, "llama-server", "guard process")
        self._tree.hear(event, now)
        self._told.send_nowait((now, event))
        self._refresh()

    def _events_so_far(self) -> None:
        """Forget what was told until now."""
        while self._events.statistics().current_buffer_used:
            self._events.receive_nowait()

    async def _awaited(self, kind: type[E], what: str) -> E:
        """Wait for the next event of *kind*."""
        with _within(NOTICE_SECONDS, what):
            while True:
                self._heard_at, event = await self._events.receive()
                if isinstance(event, kind):
                    return event

    def _since_kill(self) -> str:
        return f"{1000 * (self._heard_at - self._killed_at):.0f} ms"

    def _describe_tree(self) -> str:
        children = ", ".join(
            f"{child.id} {pid_text(child.pid)}" for child in self._tree.children.values()
        )
        return f"root supervises {children}"

    # --- beside it all

    async def _take_signals(
        self, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]
    ) -> None:
        """Stop in order at the first signal; at the second at once, and the guards clean up."""
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            task_status.started()
            async for number in signals:
                name = signal.Signals(number).name
                if self.stopped_by is not None:
                    self._end_at_once(number, f"{name} again: what runs is killed")
                self.stopped_by = number
                scope.cancel()
                self.screen.step("stop", f"{name}: the tree is stopped in order", Mood.BUSY)

    def _end_at_once(self, number: int, why: str) -> NoReturn:
        """End the program without the tree; what the census misses, its guards kill after us."""
        try:
            self.screen.undraw()
            self.screen.step("stop", why, Mood.BUSY)
            self.census.kill()
            self.take_census()
        finally:
            os._exit(128 + number)

    async def _keep_fresh(self) -> None:
        while self.screen.pause:
            self._refresh()
            await trio.sleep(FRAME_SECONDS)

    def _refresh(self) -> None:
        with suppress(OSError):  # the terminal has gone; SIGHUP will tell, if it matters
            self.screen.refresh()

    async def _pause(self) -> None:
        await trio.sleep(self.screen.pause)


@contextmanager
def _within(seconds: float, what: str) -> Generator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise CommandError(f"waited {seconds:g} s in vain for {what}") from None
