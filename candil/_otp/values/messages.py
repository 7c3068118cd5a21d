"""The messages that the runtime itself puts into a mailbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import attrs

if TYPE_CHECKING:
    from candil._otp.values.exit_reasons import ExitReason
    from candil._otp.values.names import Server
    from candil._otp.values.pids import Pid, Ref


@final
@attrs.frozen
class Down:
    """
    A monitored process has ended; comes exactly once for each ``monitor``. OTP: ``{'DOWN', Ref,
    process, Object, Reason}``.

    Attributes:
        ref: What ``monitor`` returned.

        pid: The process, or the name if the monitor was by a name without a holder.

        reason: Why it ended; ``NoProcess()`` if it was not there.
    """

    ref: Ref
    pid: Server[Any]
    reason: ExitReason


@final
@attrs.frozen
class ExitSignal:
    """
    An exit signal reached a process that traps exits. OTP: ``{'EXIT', From, Reason}``.

    Attributes:
        pid: Who sent it, or died; ``None`` when it was no process.

        reason: Why.
    """

    pid: Pid[Any] | None
    reason: ExitReason


@final
@attrs.frozen
class Timeout:
    """
    No message came within the time that ``set_timeout`` gave. OTP: ``timeout`` in ``handle_info``.
    """
