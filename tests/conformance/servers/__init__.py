"""Servers that do what they are told, played on real Erlang and on candil."""
