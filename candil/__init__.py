"""
candil: OTP supervision for trio.

Processes with mailboxes, links and monitors; servers that answer calls and casts; supervisors
that restart them; names that survive the restart. ``candil.engine`` builds on it: ``llama-server``
processes that come back.

The layers, each importing only those below it::

    cli       the command
    engine    llama-server as supervised children        (import candil.engine)
    otp       what this module shows:
                supervisors   supervisor_spec, open_supervisor, run ...
                behaviours    GenServer, call, cast, start_link ...
                processes     spawn, send, receive, link, monitor, exit ...
                values        exit reasons, errors, names, messages
"""

from candil.otp import *  # noqa: F403  # that face is this one; its __all__ says what it shows
from candil.otp import __all__ as __all__
