"""The description of an engine: program, model, flags, times, and what can be wrong with them."""
