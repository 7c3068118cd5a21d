"""
The script of the guard, run by its path.

Its modules import one another as the package ``program``, whose folder is made known here: candil's
own package would bring trio along. They are imported in the ``try``, because a system without
memory or files fails there, and that is reported as well.
"""

import os
import sys

if __name__ == "__main__":
    code = 1
    try:
        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        __package__ = "program"

        from .loop import main

        main(sys.argv[1:])
        code = 0
    except (OSError, MemoryError, ImportError) as problem:
        # ENOMEM where the interpreter says only that memory is missing.
        number = getattr(problem, "errno", None) or (12 if isinstance(problem, MemoryError) else 0)
        os.write(int(sys.argv[2]), b'{"event": "failed", "errno": %d}\n' % number)
        sys.excepthook(type(problem), problem, problem.__traceback__)
    except Exception as problem:  # noqa: BLE001 - candil keeps it as the engine's last lines
        sys.excepthook(type(problem), problem, problem.__traceback__)
    sys.stderr.flush()
    os._exit(code)  # quicker than Python's own farewell, for which candil would wait
