"""
Looking into a running server, as OTP's ``sys`` does.

Requests keep their place in the mailbox, behind what came before. Any server answers, supervisors
too; a plain function as a process does not.
"""

from types import FunctionType as _FunctionType

from candil._otp.behaviours.system import (
    Statistics,
    change_code,
    get_state,
    replace_state,
    resume,
    statistics,
    suspend,
)

__all__ = [
    "Statistics",
    "change_code",
    "get_state",
    "replace_state",
    "resume",
    "statistics",
    "suspend",
]


def _show_as_candil_sys() -> None:
    """Have tracebacks, reprs and docs name things by where users import them from."""
    for name in __all__:
        value = globals()[name]
        if isinstance(value, type | _FunctionType):
            value.__module__ = __name__


_show_as_candil_sys()
