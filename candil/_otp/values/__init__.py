"""Values: what stands for processes, names and exit reasons, and what is raised. Nothing runs."""
