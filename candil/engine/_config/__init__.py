"""What an engine is told: program, model, flags, times, and what can be wrong with them."""
