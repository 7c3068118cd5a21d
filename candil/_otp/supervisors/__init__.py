"""Supervisors: child specs, restart strategies, and the process that applies them."""
