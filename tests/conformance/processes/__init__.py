"""Processes without any behaviour, compared with those of Erlang."""
