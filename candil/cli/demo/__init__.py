"""``candil demo``: a real llama-server, killed in the middle of an answer, comes back."""
