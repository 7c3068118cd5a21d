"""
The guard: a small program between candil and one ``llama-server``, so that nothing is orphaned.

Run as ``python -I -S .../program CONTROL EVENTS MANAGER NAME`` (the script is ``__main__``).
CONTROL and EVENTS are numbers of inherited pipe ends, MANAGER is the process id of candil, and
NAME says in ``ps`` what it guards. Its standard output is a third pipe to candil. It imports little
of the standard library and nothing else, because its start is a part of an engine's first start.
It stays for the starts after that, and runs one program after another.

candil writes to CONTROL:

- ``L``, the length of a launch in digits, a line's end, and the launch (`commands.Launch`) starts
  a program;
- ``T`` sends SIGTERM to the program's process group, ``K`` sends SIGKILL. Both mean nothing while
  no program runs;
- ``Q`` is a ``K`` and the guard's own end. So is the end of the file, which comes when candil ends,
  however it ends.

The guard writes to EVENTS a JSON object on a line:

- ``started`` with the program's process id, or ``start_failed`` with the errno;
- ``exited`` with the raw wait status of the program itself;
- ``reaped``: nothing is left of the program, all its output was written on, and the next launch
  may come. The guard's own end means the same;
- ``log_failed`` with the errno: the log file misses lines from here on;
- ``failed`` with the errno: the guard itself could not go on.

What the program writes goes into the guard's own pipe, which is read at once, whatever candil does:
a ``llama-server`` whose output is not read stands still. The guard appends it to the log file, and
writes it on to candil as far as candil reads (`output`).

Who dies with whom:

1. candil ends: the pipe ends. If a forked copy of candil holds the other end, or the guard is
   stopped, the kernel's parent-death signal helps. It is SIGCONT, which wakes a stopped guard and
   makes it look who its parent is. SIGKILL would end the guard sooner, and with it the only process
   that knows the engine's group: a process started by the engine would live on.
2. The guard ends, by whatever signal: the engine has asked the kernel for SIGKILL at that moment.
3. The engine ends: the guard kills what is left of its group, and what fled from the group, which
   becomes a child of the guard because the guard is the subreaper.

SIGTERM, SIGINT and SIGHUP end candil, not the guard. A service manager sends them to every process
of the service, and candil then lets running answers finish. While candil lives the guard only looks
who its parent is.

The parent-death signal follows the *thread* that started the process. So the guard starts the
engine from its only thread. candil starts the guard from the thread of its event loop: trio's own
process functions use worker threads, which retire after 10 s, and a SIGKILL on that occasion would
end a healthy engine. SIGCONT is harmless even then.

Each launch has the program's working directory and environment as candil has them at that moment.
What else a process inherits (limits, umask, niceness) is as it was when the guard was started.

Without ``prctl`` (macOS) 1 and 3 hold through the pipe, a look at the parent twice a second, and
the process group; 2 does not hold for SIGKILL.
"""
