"""
llama-server as supervised children.

Describe a program with ``Engine`` and a model with ``Model``; put ``child_spec`` into a tree, or
``start`` it on demand. ``wait_ready``, ``healthy``, ``base_url`` and ``stop`` take its alias.
"""

from types import FunctionType as _FunctionType

from candil.engine._config.engine import (
    Engine as Engine,
    binary_dir as binary_dir,
    binary_exists as binary_exists,
    binary_path as binary_path,
)
from candil.engine._config.errors import (
    AliasTaken as AliasTaken,
    AlreadyRunning as AlreadyRunning,
    BinaryNotFound as BinaryNotFound,
    BinaryUnusable as BinaryUnusable,
    ConfigError as ConfigError,
    EngineError as EngineError,
    EngineExited as EngineExited,
    EngineStartError as EngineStartError,
    EngineUnkillable as EngineUnkillable,
    GuardUnavailable as GuardUnavailable,
    LogFileUnwritable as LogFileUnwritable,
    ModelError as ModelError,
    ModelMissing as ModelMissing,
    ModelNotAFile as ModelNotAFile,
    ModelTruncated as ModelTruncated,
    NotAGguf as NotAGguf,
    NotRunning as NotRunning,
    PortUnavailable as PortUnavailable,
    ReadyTimeout as ReadyTimeout,
)
from candil.engine._config.exit_status import ExitStatus as ExitStatus
from candil.engine._config.log_path import LogFileFailed as LogFileFailed
from candil.engine._config.model import Model as Model, file_path as file_path
from candil.engine._config.states import (
    EngineState as EngineState,
    EngineStateChanged as EngineStateChanged,
)
from candil.engine._config.timing import Timing as Timing
from candil.engine._server.lifecycle import (
    base_url as base_url,
    healthy as healthy,
    start as start,
    stop as stop,
    wait_ready as wait_ready,
)
from candil.engine._server.server import EngineServer as EngineServer
from candil.engine._server.smoke_run import check_binary as check_binary
from candil.engine._server.specs import (
    SUPERVISOR as SUPERVISOR,
    child_spec as child_spec,
    engines_spec as engines_spec,
)

__all__ = [
    "SUPERVISOR",
    "AliasTaken",
    "AlreadyRunning",
    "BinaryNotFound",
    "BinaryUnusable",
    "ConfigError",
    "Engine",
    "EngineError",
    "EngineExited",
    "EngineServer",
    "EngineStartError",
    "EngineState",
    "EngineStateChanged",
    "EngineUnkillable",
    "ExitStatus",
    "GuardUnavailable",
    "LogFileFailed",
    "LogFileUnwritable",
    "Model",
    "ModelError",
    "ModelMissing",
    "ModelNotAFile",
    "ModelTruncated",
    "NotAGguf",
    "NotRunning",
    "PortUnavailable",
    "ReadyTimeout",
    "Timing",
    "base_url",
    "binary_dir",
    "binary_exists",
    "binary_path",
    "check_binary",
    "child_spec",
    "engines_spec",
    "file_path",
    "healthy",
    "start",
    "stop",
    "wait_ready",
]


def _show_as_candil_engine() -> None:
    """Have tracebacks, reprs and docs name things by where users import them from."""
    for name in __all__:
        value = globals()[name]
        if isinstance(value, type | _FunctionType):
            value.__module__ = __name__


_show_as_candil_engine()
