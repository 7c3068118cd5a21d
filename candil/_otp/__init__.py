"""
OTP on trio. Private: ``import candil`` shows its names. Knows nothing about engines.

Each folder is a layer, and imports itself and those above it in this list:

- ``values``: pids, names, exit reasons, messages, events, errors. Nothing runs.
- ``processes``: mailboxes, links, monitors, exit signals, timers, and the node that hosts them.
- ``behaviours``: ``GenServer``, its clients, and how a server is started and stopped.
- ``supervisors``: child specs, restart strategies, and the supervisor itself.
- ``applications``: opening and running a whole tree.
"""
