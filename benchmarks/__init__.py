"""
How fast candil is, as ratios to what plain trio does on the same machine in the same second.

``python -m benchmarks`` measures and reports; ``docs/reference/benchmarks.md`` says how to read it.
"""
