"""HTTP to an engine: its health, its slots, one completion."""
