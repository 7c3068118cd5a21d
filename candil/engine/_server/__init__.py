"""The server that owns an engine, and the functions that start, find and stop it."""
