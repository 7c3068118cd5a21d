"""
``EngineServer``: the process that owns one ``llama-server``.

1. It answers from its state and never waits for its engine (``workers`` do).
2. Ready means ready: our own child, alive, on our reserved port, answering with our alias.
3. An engine that dies after it was ready ends its server with ``EngineExited``, so that the
   supervisor starts the next. A start that cannot work leaves the server alive and ``failed``:
   restarting would not mend the file.
4. When the server ends, however it ends, nothing of its engine is left.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, final

import trio

import candil
from candil.engine._config.addresses import url
from candil.engine._config.errors import (
    EngineError,
    EngineExited,
    EngineStartError,
    PortUnavailable,
)
from candil.engine._config.os_errors import is_shortage
from candil.engine._config.states import EngineState, EngineStateChanged
from candil.engine._http.probe import ProbeResult
from candil.engine._server import workers
from candil.engine._server.engine_process import EngineProcess, ProcessState
from candil.engine._server.failed_start import failure_of, spawn_error, start_error
from candil.engine._server.failure import Cause
from candil.engine._server.messages import (
    EngineEnded,
    Overdue,
    PreflightFailed,
    Probed,
    SpawnFailed,
    TryAgain,
)
from candil.engine._server.registry import entry_of

if TYPE_CHECKING:
    from pathlib import Path

    from candil.engine._config.engine import Engine
    from candil.engine._config.model import Model
    from candil.engine._config.timing import Timing
    from candil.engine._server.restart_state import RestartState

FAMILY: Final = "candil.engine"

# Between two starts that failed. The first one after an engine was ready comes at once.
_SHORTEST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0


@final
class EngineServer(candil.GenServer):
    """
    Owns one ``llama-server``: starts it, watches it, ends it.

    Put it into a tree with ``child_spec``, or start it with ``start``; it is called by its model's
    alias: ``await candil.call("smollm2", "health")``.
    """

    def __init__(
        self,
        engine: Engine,
        model: Model,
        timing: Timing,
        log_path: Path | None,
        restart_state: RestartState,
    ) -> None:
        self.engine = engine
        self.model = model
        self.state = EngineState.STARTING
        self.error: EngineError | None = None
        self._restart_state = restart_state
        self._timing = timing
        self._log_path = log_path
        self._entry = entry_of(model.alias)
        self._process: EngineProcess | None = None
        self._runner: candil.Pid[Any] | None = None
        self._monitor: candil.Pid[Any] | None = None
        self._timer: candil.TimerRef | None = None
        self._started_at = trio.current_time()
        self._misses = 0
        self._os_failures = 0
        self._has_crashed = False
        self._waiting: list[candil.Deferred[str | EngineError]] = []

    # --- what others ask

    @candil.handle_call
    def health(self) -> EngineState:
        """Answer how the engine is, from what is known; nothing is asked anywhere."""
        return self.state

    @candil.handle_call
    def base_url(self) -> str | None:
        """Answer where the engine listens; ``None`` when it will not, or has no port yet."""
        if self.state is EngineState.FAILED or self._restart_state.lease.port is None:
            return None
        return self._url()

    @candil.handle_call
    def os_pid(self) -> int | None:
        """Answer the process id of the running ``llama-server``."""
        return self._os_pid()

    @candil.handle_call
    def log_tail(self) -> tuple[str, ...]:
        """Answer the last lines that the present engine wrote."""
        return () if self._process is None else self._process.tail

    @candil.handle_call
    def ready(self) -> candil.Deferred[str | EngineError]:
        """
        Answer the address once the engine is ready, or why it will never be.

        A client whose connection broke asks before the guard has told of the death: hence the look
        at the process itself.
        """
        deferred = candil.Deferred[str | EngineError]()
        if self.state is EngineState.READY and self._is_alive():
            deferred.reply(self._url())
        elif self.state is EngineState.FAILED and self.error is not None:
            deferred.reply(self.error)
        else:
            self._waiting = [one for one in self._waiting if not one.abandoned]
            self._waiting.append(deferred)
        return deferred

    # --- OTP's callbacks

    def init(self) -> None:
        """Take the alias; the start itself comes after, so that siblings need not wait."""
        candil.trap_exit(True)
        candil.register(candil.Via(FAMILY, self.model.alias), candil.self())
        self._entry.register(self._restart_state)
        self._tell(None, self.state)
        # Siblings get their ports in the order of their specs. An error is raised again, and
        # reported, by the start.
        with suppress(PortUnavailable, OSError):
            self._restart_state.lease.acquire()
        candil.continue_with()

    def handle_continue(self, argument: object) -> None:
        """Start the engine: at once, unless its last starts have failed one after the other."""
        del argument
        if self._restart_state.failed_starts > 1:
            self._pause(self._restart_state.failed_starts - 1)
        else:
            self._try_to_start()

    def handle_cast(self, message: object) -> None:
        """Hear from the two processes beside; what concerns an earlier process is too late."""
        if (
            isinstance(message, PreflightFailed | SpawnFailed | EngineEnded | Probed)
            and message.process is not self._process
        ):
            return
        match message:
            case Probed(result=result):
                self._seen(result)
            case PreflightFailed(error=error):
                self._fail(error)
            case SpawnFailed(error=error):
                self._not_spawned(error)
            case EngineEnded(status=status) if self._is_serving():
                self._crash(EngineExited(self.model.alias, status, message.log_tail))
            case EngineEnded():
                self._start_failed(message)
            case _:
                pass  # a stranger's cast is no reason to take the engine down

    def handle_info(self, message: object) -> None:
        """Hear of the end of a linked process, and of a start that takes too long."""
        match message:
            case Overdue(process=process) if process is self._process and self._is_starting():
                self._end_overdue(process)
            case TryAgain() if self._is_starting():
                self._try_to_start()
            case candil.ExitSignal(reason=reason) if self._dies_of(message):
                candil.stop_self(reason)
            case candil.ExitSignal(pid=pid, reason=candil.Shutdown() as reason):
                if pid not in {self._runner, self._monitor}:
                    candil.stop_self(reason)
            case _:
                pass

    async def terminate(self, reason: candil.ExitReason) -> None:
        """Let running answers finish, then end the engine, and return when nothing is left."""
        serving = self._is_serving()
        if self.state is not EngineState.FAILED and not self._has_crashed:
            self._enter(EngineState.STOPPING)
        self._entry.note_ending()
        self._stop_monitoring()
        if self._process is not None:
            address = self._url() if serving else None
            await workers.end_engine(self._process, self._runner, address, self._timing)
        if not candil.is_abnormal(reason):
            self._note_error(None)
            await self._restart_state.guard.close()
            self._restart_state.lease.release()
        if not self._has_crashed:
            self._tell(self.state, None)

    def format_status(self, status: dict[str, object]) -> dict[str, object]:
        """Return what a crash report shows: not the arguments, which may hold a key."""
        return status | {"state": (self.model.alias, str(self.state))}

    # --- starting

    def _try_to_start(self) -> None:
        try:
            self._start()
        except PortUnavailable as error:
            self._fail(error)
        except OSError as error:
            self._not_spawned(error)

    def _not_spawned(self, error: OSError) -> None:
        """Wait for the end of a shortage; any other error of the system would come again."""
        if is_shortage(error):
            self._put_off(error.strerror or str(error))
            return
        self._fail(spawn_error(self.model.alias, error, self._process))

    def _put_off(self, shortage: str) -> None:
        """Try again later, as often as need be: a supervisor would give up within the second."""
        self._stop_monitoring()
        self._os_failures += 1
        pause = self._pause(self._os_failures)
        sentence = f"{shortage}. It is tried again in {pause:g} s"
        self._note_error(EngineStartError(self.model.alias, sentence))
        self._tell(self.state, EngineState.STARTING)

    def _pause(self, times: int) -> float:
        seconds: float = min(_SHORTEST_PAUSE * 2.0 ** min(times - 1, 20), _LONGEST_PAUSE)
        self._timer = candil.send_after(candil.self(), TryAgain(), seconds)
        return seconds

    def _start(self) -> None:
        process = self._process = EngineProcess(
            self.engine, self.model, self._restart_state, self._log_path
        )
        me = candil.self()
        self._runner = candil.spawn_link(workers.run_engine, me, process, self.engine, self.model)
        self._monitor = candil.spawn_link(
            workers.monitor_health, me, process, self._url(), self._timing
        )
        self._limit(process)

    def _limit(self, process: EngineProcess) -> None:
        seconds = self._timing.startup_timeout
        if seconds < math.inf:
            self._timer = candil.send_after(candil.self(), Overdue(process), seconds)

    def _end_overdue(self, process: EngineProcess) -> None:
        if process.state is ProcessState.NEW:  # its time runs from when it has a process
            self._limit(process)
            return
        process.overdue = True
        process.kill()

    def _start_failed(self, ended: EngineEnded) -> None:
        """Decide what a start that ended before it was ready means."""
        failure = failure_of(ended, self._timing, self._restart_state.lease)
        state = self._restart_state
        match failure.cause:
            case Cause.OWN_FLAG if failure.flag not in {None, *state.unsupported_flags}:
                state.unsupported_flags.add(str(failure.flag))
                self._start_again()
                return
            case Cause.PORT if state.try_another_port():
                self._start_again()
                return
            case Cause.SHORTAGE:
                self._put_off(failure.line or failure.sentence)
                return
            case _:
                pass
        error = start_error(self.model.alias, ended, failure)
        # A flag of candil's own that is refused twice is the user's as well.
        if failure.permanent or failure.cause is Cause.OWN_FLAG or state.give_up_starting():
            self._fail(error)
        else:
            self._crash(error)

    def _start_again(self) -> None:
        self._stop_monitoring()
        self._enter(EngineState.STARTING)
        self._try_to_start()

    # --- changing state

    def _seen(self, result: ProbeResult) -> None:
        if result is ProbeResult.READY:
            if not self._is_alive():
                return  # it answered, and died: the next cast says so
            self._misses = 0
            self._is_ready()
        elif self._is_starting():
            if result is ProbeResult.LOADING:
                self._enter(EngineState.LOADING)
        else:
            self._misses += 1
            if self._misses >= self._timing.failure_threshold and self.state is EngineState.READY:
                self._enter(EngineState.UNHEALTHY)

    def _is_ready(self) -> None:
        self._cancel_timer()
        self._os_failures = 0
        self._restart_state.note_ready()
        self._note_error(None)
        self._enter(EngineState.READY)
        self._answer(self._url())

    def _fail(self, error: EngineError) -> None:
        """Stay, in state failed: the next start would fail in the same way."""
        self._stop_monitoring()
        self._restart_state.guard.close_nowait()
        self._restart_state.lease.release()
        self._note_error(error)
        self._enter(EngineState.FAILED)
        self._answer(error)

    def _crash(self, error: EngineError) -> None:
        """End with *error*; those who wait go on waiting, for the one that follows."""
        self._note_error(error)
        self._has_crashed = True
        self._tell(self.state, None)
        candil.stop_self(candil.Crashed(error))

    def _note_error(self, error: EngineError | None) -> None:
        self.error = self._entry.last_error = error

    def _enter(self, state: EngineState) -> None:
        if state is not self.state:
            old, self.state = self.state, state
            self._entry.set_state(state)
            self._tell(old, state)

    def _tell(self, old: EngineState | None, new: EngineState | None) -> None:
        is_ready = new is EngineState.READY
        event = EngineStateChanged(
            self.model.alias,
            old,
            new,
            self._os_pid(),
            self.error,
            base_url=self._entry.address if is_ready else None,
            seconds=trio.current_time() - self._started_at if is_ready else None,
        )
        candil.emit(event)

    def _answer(self, answer: str | EngineError) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.reply(answer)

    def _stop_monitoring(self) -> None:
        self._cancel_timer()
        if self._monitor is not None:
            candil.unlink(self._monitor)
            candil.exit(self._monitor, candil.Shutdown())
            self._monitor = None

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            candil.cancel_timer(self._timer)
            self._timer = None

    # --- looking at itself

    def _is_starting(self) -> bool:
        return self.state in {EngineState.STARTING, EngineState.LOADING}

    def _is_serving(self) -> bool:
        return self.state in {EngineState.READY, EngineState.UNHEALTHY}

    def _url(self) -> str:
        return url(self.engine.host, self._restart_state.lease.acquire())

    def _dies_of(self, signal: candil.ExitSignal) -> bool:
        """Return whether to end with it: without its helpers a server would wait in vain."""
        is_helper = signal.pid is not None and signal.pid in {self._runner, self._monitor}
        is_normal = isinstance(signal.reason, candil.Normal)
        return candil.is_abnormal(signal.reason) or (is_helper and not is_normal)

    def _is_alive(self) -> bool:
        return self._process is not None and self._process.state is ProcessState.STARTED

    def _os_pid(self) -> int | None:
        return None if self._process is None else self._process.pid
