"""How long the parts of an engine's life may take."""

from __future__ import annotations

from typing import final

import attrs


@final
@attrs.frozen(kw_only=True)
class Timing:
    """
    How long things may take, in seconds.

    Attributes:
        ready: From the start to ready; ``math.inf`` for ever.

        look: Between two looks at the health of an engine that is ready.

        answer: For the answer to such a look.

        misses: How many looks in a row may fail before the engine counts as unhealthy.

        drain: How long a stop waits for running answers.

        grace: From SIGTERM to SIGKILL.
    """

    ready: float = 600.0
    look: float = 2.0
    answer: float = 2.0
    misses: int = 3
    drain: float = 1.0
    grace: float = 1.0
