"""Behaviours: servers, their typed clients, and how they are started and stopped."""
