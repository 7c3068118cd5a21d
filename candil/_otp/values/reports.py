"""How events read: plain sentences for logs and terminals. Pure functions over values."""

from __future__ import annotations

import threading
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

from candil._otp.values.errors import CandilError, ExceptionSummary, short_repr
from candil._otp.values.events import (
    ChildStarted,
    CrashReport,
    Hint,
    LoopBlocked,
    MailboxHigh,
    ProcessExited,
    ProcessLingers,
    Reportable,
    SupervisorReport,
    UnhandledMessage,
)
from candil._otp.values.exit_reasons import (
    Crashed,
    ExitReason,
    Killed,
    NoConnection,
    NoProcess,
    Normal,
    Shutdown,
    is_abnormal,
)
from candil._otp.values.pids import is_pid

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType

MAX_LEAVES = 10
MAX_CAUSES = 20
DEEPEST = 3
_OWN = "candil._otp."
MAX_TEXT = 16_000

_CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"


def describe_reason(reason: ExitReason) -> str:  # noqa: PLR0911  # one sentence a reason
    """
    Say in a few words why a process ended.

    Args:
        reason: The reason.

    Returns:
        One line.
    """
    match reason:
        case Normal():
            return "it ended normally"
        case Shutdown(detail=None):
            return "it was shut down"
        case Shutdown(detail=detail):
            return f"it was shut down ({short_repr(detail)})"
        case Killed():
            return "it was killed"
        case NoProcess():
            return "there was no such process"
        case NoConnection():
            return "its node cannot be reached"
        case Crashed(exception=exception):
            return f"it crashed with {_words(exception)}"
        case _:
            return f"it exited with {short_repr(reason.term)}"


def describe_event(event: object) -> str | None:
    """
    Say what a report-worthy event means, or ``None`` when it is everyday business.

    Args:
        event: Any event of the stream. One of your own that is a ``Reportable`` has its own
            sentence, or ``None``.

    Returns:
        A sentence; for crashes, the traceback below it.
    """
    describe = _DESCRIBE.get(type(event))
    if describe is None:
        text = event.report() if isinstance(event, Reportable) else None
    else:
        text = describe(event)
    return None if text is None else _cut(text)


def _cut(text: str) -> str:
    """Keep the beginning, which says who and what, and the end, where the innermost frames are."""
    if len(text) <= MAX_TEXT:
        return text
    gap = "\n...\n"
    half = (MAX_TEXT - len(gap)) // 2
    return text[:half] + gap + text[-half:]


def leaves_of(error: BaseException, limit: int = MAX_LEAVES) -> list[BaseException]:
    """
    Return at most *limit* of the exceptions inside an exception group, in order; a plain one gives
    itself.
    """
    leaves: list[BaseException] = []
    for leaf in _walk(error):
        leaves.append(leaf)
        if len(leaves) == limit:
            break
    return leaves


def _walk(error: BaseException) -> Iterator[BaseException]:
    todo = [error]
    while todo:
        current = todo.pop()
        if isinstance(current, BaseExceptionGroup):
            todo.extend(reversed(current.exceptions))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        else:
            yield current


def exception_line(error: BaseException) -> str:
    """Return the class of *error* and what it says, in one line of at most 500 characters."""
    return _words(error).partition("\n")[0][:500]


def _words(error: BaseException, limit: int = 500) -> str:
    if isinstance(error, ExceptionSummary):
        return error.text
    kind = type(error).__name__
    if isinstance(error, BaseExceptionGroup):
        return f"{kind} of {'; '.join(map(_words, leaves_of(error)))}"  # pyright: ignore[reportUnknownArgumentType]
    text = _text(error)[:limit]
    return f"{kind}: {text}" if text else kind


class _Nesting(threading.local):
    """How many errors are just being told within others."""

    depth = 0


_nesting = _Nesting()


def _text(error: BaseException) -> str:
    """
    Return what an error says, unless it is nested too deep in others: groups of errors that quote
    groups, as when many wait for one server, would be told ten times at each level.
    """
    if _nesting.depth == DEEPEST:
        return ""
    _nesting.depth += 1
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001  # a stranger's __str__ may raise anything
        return f"(its str raised {type(broken).__name__})"
    finally:
        _nesting.depth -= 1


def _traceback_of(error: BaseException, shown: set[int]) -> str:
    """
    Return the tracebacks of an error's leaves, behind what caused it and them, but for those
    *shown* before.

    Not what was being handled (``__context__``): a handler that ran where its caller stands has the
    caller's.
    """
    own = "".join(
        _plain_traceback(leaf) if leaf is error else _traceback_of(leaf, shown)
        for leaf in leaves_of(error)
    )
    cause = error.__cause__
    if cause is None or id(cause) in shown or len(shown) > MAX_CAUSES:
        return own
    shown.add(id(cause))
    return _traceback_of(cause, shown) + _CAUSED + own


def _plain_traceback(error: BaseException) -> str:
    try:
        with _alone(error):
            trace = without_own_frames(error)
            return "".join(traceback.format_exception(type(error), error, trace, chain=False))
    except Exception:  # noqa: BLE001  # as above
        return _words(error) + "\n"


def without_own_frames(error: BaseException) -> TracebackType | None:
    """
    Return the traceback of *error* without the frames of the runtime above what users wrote.

    They say nothing to a reader, and they refer to the process, which refers to the error: all of
    it would be left to the cyclic collector. An error of the runtime itself keeps its frames,
    unless it is one that candil raises on purpose.
    """
    trace = below = error.__traceback__
    while below is not None and below.tb_frame.f_globals.get("__name__", "").startswith(_OWN):
        below = below.tb_next
    return trace if below is None and not isinstance(error, CandilError) else below


@contextmanager
def _alone(error: BaseException) -> Generator[None]:
    """Part *error* from what led to it: traceback reads all of that, even if it shows none."""
    cause, context, hidden = error.__cause__, error.__context__, error.__suppress_context__
    try:
        error.__cause__ = error.__context__ = None
        yield
    finally:
        error.__cause__, error.__context__, error.__suppress_context__ = cause, context, hidden


def _describe_exit(event: object) -> str | None:
    assert isinstance(event, ProcessExited)
    if not is_abnormal(event.reason):
        return None
    who = f"{event.pid} ended" if event.name is None else f"{event.pid} {_name(event)} ended"
    crash = "" if event.crash is None else _describe_crash(event.crash)
    if not isinstance(event.reason, Crashed):
        return f"{who}: {describe_reason(event.reason)}{crash}"
    error = event.reason.exception
    if error.__cause__ is None and all(leaf.__traceback__ is None for leaf in leaves_of(error)):
        # It was never raised, but made to say why: there is nothing more to show of it.
        return f"{who}: it crashed with {_words(error, MAX_TEXT)}{crash}"
    shown = _traceback_of(error, {id(error)}).rstrip()
    return f"{who}: {describe_reason(event.reason)}{crash}\n{shown}"


def _name(event: ProcessExited) -> str:
    return f"({short_repr(event.name)})"


def _describe_crash(crash: CrashReport) -> str:
    """Say what OTP says: last message, state, client."""
    lines = [f"its state: {crash.state}"]
    if crash.last_message is not None:
        lines.insert(0, f"its last message: {crash.last_message}")
    if crash.client is not None or crash.client_stack:
        who = crash.client or "no process"
        where = f" at:\n{crash.client_stack.rstrip()}" if crash.client_stack else ""
        lines.append(f"its client: {who}{where}")
    return "".join(f"\n  {line}" for line in lines)


def _describe_unhandled(event: object) -> str:
    assert isinstance(event, UnhandledMessage)
    return (
        f"{event.pid} dropped a message, for {event.server} has no handle_info() to take it: "
        f"{event.message}"
    )


def _describe_start(event: object) -> str:
    assert isinstance(event, ChildStarted)
    what = "restarted" if event.restarted else "started"
    return f"{_supervisor(event)}: child {short_repr(event.child_id)} {what} as {event.pid}"


def _supervisor(event: ChildStarted | SupervisorReport) -> str:
    """Name a supervisor: by its name, or else by its id, which a pid alone does not show."""
    if event.supervisor_id is None or not is_pid(event.supervisor):
        return f"supervisor {short_repr(event.supervisor)}"
    return f"supervisor {short_repr(event.supervisor_id)} ({event.supervisor})"


_CONTEXTS = {
    "start_error": "{who} did not start",
    "child_terminated": "{who} ended",
    "shutdown_error": "{who} did not stop as it was told",
    "shutdown": "gives up: {who} ended once too often",
}


def _describe_report(event: object) -> str:
    assert isinstance(event, SupervisorReport)
    number, child_id = event.offender.get("nb_children"), short_repr(event.offender.get("id"))
    who = f"child {child_id}" if number is None else f"each of {number} children {child_id}"
    what = _CONTEXTS.get(event.context, event.context + " of {who}").replace("{who}", who)
    text = f"{_supervisor(event)}: {what}"
    # OTP's reason for the last context says no more than the context.
    if event.context == "shutdown":
        return text
    advice = restart_advice(event.offender.get("restart"), event.reason)
    return f"{text}: {describe_reason(event.reason)}{advice}"


def restart_advice(restart: object, reason: ExitReason) -> str:
    """Say what to do about a child whose work was done, and which is started again all the same."""
    if restart != "permanent" or not isinstance(reason, Normal):
        return ""
    return (
        "; a permanent child is started again also after a normal end: "
        "use restart='transient' for work that ends"
    )


def _describe_blocked(event: object) -> str:
    assert isinstance(event, LoopBlocked)
    who = event.pid or "some task"
    return (
        f"{who} has kept the event loop from running for {event.seconds:.2f} s. Move the work to "
        f"trio.to_thread.run_sync, or checkpoint within it:\n{event.stack.rstrip()}"
    )


def _describe_lingering(event: object) -> str:
    assert isinstance(event, ProcessLingers)
    what = "is given up for dead, though its task still runs" if event.abandoned else "still runs"
    return (
        f"{event.pid} {what} {event.seconds:g} s after it was told to end "
        f"({describe_reason(event.reason)}). It shields itself, or swallows trio.Cancelled:\n"
        f"{event.stack.rstrip()}"
    )


def _describe_mailbox(event: object) -> str:
    assert isinstance(event, MailboxHigh)
    return (
        f"{event.pid} has {event.length} messages waiting: it is slower than those who send to it"
    )


def _describe_hint(event: object) -> str:
    assert isinstance(event, Hint)
    return f"{event.pid}: {event.text}"


_DESCRIBE: dict[type, Callable[[object], str | None]] = {
    ProcessExited: _describe_exit,
    SupervisorReport: _describe_report,
    LoopBlocked: _describe_blocked,
    ProcessLingers: _describe_lingering,
    MailboxHigh: _describe_mailbox,
    Hint: _describe_hint,
    UnhandledMessage: _describe_unhandled,
    ChildStarted: _describe_start,
}
