"""What the operating system gives an engine: ports, process groups, log files."""
