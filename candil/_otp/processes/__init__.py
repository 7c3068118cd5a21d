"""Processes: mailboxes, links, monitors, exit signals, names and timers on one trio nursery."""
