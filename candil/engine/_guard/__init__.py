"""The guard: a small process that owns an engine and cannot outlive its manager."""
