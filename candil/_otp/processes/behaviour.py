"""What a process knows of the server that it runs: the callback side lies a layer higher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from candil._otp.values.exit_reasons import ExitReason


class Behaviour(Protocol):
    """
    The loop of a server, as its process and its node call it.

    Attributes:
        initialised: Whether ``init`` is done.

        suspended: Whether it handles system requests only.
    """

    initialised: bool
    suspended: bool

    def end(self, reason: ExitReason) -> None:
        """Stop next, before anything in the mailbox; ``terminate`` runs."""
        ...

    def attach_current(self) -> None:
        """Have the current request fail if the process ends now, for any reason."""
        ...

    def let_go(self) -> None:
        """Refer to the process no more, which has ended."""
        ...
