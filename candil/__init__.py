"""
candil: OTP supervision for trio.

Processes with mailboxes, links and monitors; servers that answer calls and casts; supervisors
that restart them; names that survive the restart. ``candil.engine`` builds on it: ``llama-server``
processes that come back.

The layers, each importing only those below it::

    cli       the command
    engine    llama-server as supervised children        (import candil.engine)
    _otp      what this module shows:
                applications  open_supervisor, run ...
                supervisors   supervisor_spec, start_child ...
                behaviours    GenServer, call, cast, start_link ...
                processes     spawn, send, receive, link, monitor, exit ...
                values        exit reasons, errors, names, messages
"""

from types import FunctionType as _FunctionType

from candil import sys as sys
from candil._otp.applications.open import (
    open_supervisor as open_supervisor,
    root as root,
    serve as serve,
)
from candil._otp.applications.run import run as run
from candil._otp.applications.stop_signals import (
    StoppedBySignal as StoppedBySignal,
    stop_on_signals as stop_on_signals,
)
from candil._otp.behaviours.callback_errors import (
    BadReturnValue as BadReturnValue,
    UndefinedCallback as UndefinedCallback,
    WrongServer as WrongServer,
)
from candil._otp.behaviours.calls import (
    NO_REPLY as NO_REPLY,
    Call as Call,
    Deferred as Deferred,
)
from candil._otp.behaviours.clients import call as call, cast as cast
from candil._otp.behaviours.errors import (
    AlreadyStarted as AlreadyStarted,
    StartError as StartError,
    StartIgnored as StartIgnored,
    StartTimeout as StartTimeout,
)
from candil._otp.behaviours.gen_server import (
    GenServer as GenServer,
    continue_with as continue_with,
    set_timeout as set_timeout,
    stop_self as stop_self,
)
from candil._otp.behaviours.handlers import handle_call as handle_call, handle_cast as handle_cast
from candil._otp.behaviours.proc_lib import IGNORE as IGNORE
from candil._otp.behaviours.start import (
    start as start,
    start_link as start_link,
    start_monitor as start_monitor,
)
from candil._otp.behaviours.stop import stop as stop
from candil._otp.processes.event_stream import emit as emit, subscribe as subscribe
from candil._otp.processes.interrupts import protect_package as _protect_package
from candil._otp.processes.mailbox import receive as receive, send as send
from candil._otp.processes.message_timers import (
    TimerRef as TimerRef,
    cancel_timer as cancel_timer,
    send_after as send_after,
    start_interval as start_interval,
)
from candil._otp.processes.node import Node as Node
from candil._otp.processes.open_node import open_node as open_node
from candil._otp.processes.process_info import (
    ProcessInfo as ProcessInfo,
    is_alive as is_alive,
    process_info as process_info,
)
from candil._otp.processes.registration import (
    register as register,
    unregister as unregister,
    whereis as whereis,
)
from candil._otp.processes.signals import (
    demonitor as demonitor,
    exit as exit,
    link as link,
    monitor as monitor,
    trap_exit as trap_exit,
    unlink as unlink,
)
from candil._otp.processes.spawn import (
    self as self,
    spawn as spawn,
    spawn_link as spawn_link,
    spawn_monitor as spawn_monitor,
)
from candil._otp.processes.wait_for import wait_for as wait_for
from candil._otp.supervisors.backoff import Backoff as Backoff
from candil._otp.supervisors.child_spec import (
    ChildSpec as ChildSpec,
    child_spec as child_spec,
)
from candil._otp.supervisors.child_start import (
    StartedChild as StartedChild,
    StartFunction as StartFunction,
)
from candil._otp.supervisors.child_table import (
    ChildCounts as ChildCounts,
    ChildInfo as ChildInfo,
)
from candil._otp.supervisors.client import (
    count_children as count_children,
    delete_child as delete_child,
    get_childspec as get_childspec,
    restart_child as restart_child,
    start_child as start_child,
    terminate_child as terminate_child,
    which_children as which_children,
)
from candil._otp.supervisors.errors import (
    ChildAlreadyPresent as ChildAlreadyPresent,
    ChildNotFound as ChildNotFound,
    ChildRestarting as ChildRestarting,
    ChildRunning as ChildRunning,
    RestartIntensityExceeded as RestartIntensityExceeded,
    SimpleOneForOneError as SimpleOneForOneError,
    SpecError as SpecError,
    SupervisorError as SupervisorError,
)
from candil._otp.supervisors.supervisor import Supervisor as Supervisor
from candil._otp.supervisors.supervisor_spec import (
    SupervisorSpec as SupervisorSpec,
    check_childspecs as check_childspecs,
    supervisor_spec as supervisor_spec,
)
from candil._otp.values.errors import (
    CallError as CallError,
    CallingSelf as CallingSelf,
    CallTimeout as CallTimeout,
    CandilError as CandilError,
    ExceptionSummary as ExceptionSummary,
    LeakedCancellation as LeakedCancellation,
    NoProc as NoProc,
    NurseryLeftOpen as NurseryLeftOpen,
    ProcessExit as ProcessExit,
    ReceiveTimeout as ReceiveTimeout,
    RegistrationError as RegistrationError,
    WaitTimeout as WaitTimeout,
)
from candil._otp.values.events import (
    ChildStarted as ChildStarted,
    ChildStopped as ChildStopped,
    CrashReport as CrashReport,
    Hint as Hint,
    LoopBlocked as LoopBlocked,
    MailboxHigh as MailboxHigh,
    ProcessExited as ProcessExited,
    ProcessLingers as ProcessLingers,
    ProcessStarted as ProcessStarted,
    Reportable as Reportable,
    SupervisorReport as SupervisorReport,
    UnhandledMessage as UnhandledMessage,
)
from candil._otp.values.exit_errors import (
    ProcessTerminated as ProcessTerminated,
    ServerExited as ServerExited,
)
from candil._otp.values.exit_reasons import (
    Crashed as Crashed,
    Exit as Exit,
    ExitReason as ExitReason,
    Killed as Killed,
    NoConnection as NoConnection,
    NoProcess as NoProcess,
    Normal as Normal,
    Shutdown as Shutdown,
    as_exit_reason as as_exit_reason,
    is_abnormal as is_abnormal,
)
from candil._otp.values.messages import Down as Down, ExitSignal as ExitSignal, Timeout as Timeout
from candil._otp.values.names import (
    Name as Name,
    Server as Server,
    ServerName as ServerName,
    Via as Via,
)
from candil._otp.values.pids import Pid as Pid, Ref as Ref
from candil._otp.values.reports import (
    describe_event as describe_event,
    describe_reason as describe_reason,
)

__all__ = [
    "IGNORE",
    "NO_REPLY",
    "AlreadyStarted",
    "Backoff",
    "BadReturnValue",
    "Call",
    "CallError",
    "CallTimeout",
    "CallingSelf",
    "CandilError",
    "ChildAlreadyPresent",
    "ChildCounts",
    "ChildInfo",
    "ChildNotFound",
    "ChildRestarting",
    "ChildRunning",
    "ChildSpec",
    "ChildStarted",
    "ChildStopped",
    "CrashReport",
    "Crashed",
    "Deferred",
    "Down",
    "ExceptionSummary",
    "Exit",
    "ExitReason",
    "ExitSignal",
    "GenServer",
    "Hint",
    "Killed",
    "LeakedCancellation",
    "LoopBlocked",
    "MailboxHigh",
    "Name",
    "NoConnection",
    "NoProc",
    "NoProcess",
    "Node",
    "Normal",
    "NurseryLeftOpen",
    "Pid",
    "ProcessExit",
    "ProcessExited",
    "ProcessInfo",
    "ProcessLingers",
    "ProcessStarted",
    "ProcessTerminated",
    "ReceiveTimeout",
    "Ref",
    "RegistrationError",
    "Reportable",
    "RestartIntensityExceeded",
    "Server",
    "ServerExited",
    "ServerName",
    "Shutdown",
    "SimpleOneForOneError",
    "SpecError",
    "StartError",
    "StartFunction",
    "StartIgnored",
    "StartTimeout",
    "StartedChild",
    "StoppedBySignal",
    "Supervisor",
    "SupervisorError",
    "SupervisorReport",
    "SupervisorSpec",
    "Timeout",
    "TimerRef",
    "UndefinedCallback",
    "UnhandledMessage",
    "Via",
    "WaitTimeout",
    "WrongServer",
    "as_exit_reason",
    "call",
    "cancel_timer",
    "cast",
    "check_childspecs",
    "child_spec",
    "continue_with",
    "count_children",
    "delete_child",
    "demonitor",
    "describe_event",
    "describe_reason",
    "emit",
    "exit",
    "get_childspec",
    "handle_call",
    "handle_cast",
    "is_abnormal",
    "is_alive",
    "link",
    "monitor",
    "open_node",
    "open_supervisor",
    "process_info",
    "receive",
    "register",
    "restart_child",
    "root",
    "run",
    "self",
    "send",
    "send_after",
    "serve",
    "set_timeout",
    "spawn",
    "spawn_link",
    "spawn_monitor",
    "start",
    "start_child",
    "start_interval",
    "start_link",
    "start_monitor",
    "stop",
    "stop_on_signals",
    "stop_self",
    "subscribe",
    "supervisor_spec",
    "sys",
    "terminate_child",
    "trap_exit",
    "unlink",
    "unregister",
    "wait_for",
    "whereis",
    "which_children",
]


def _show_as_candil() -> None:
    """Have tracebacks, reprs and docs name things by where users import them from."""
    for name in __all__:
        value = globals()[name]
        if isinstance(value, type | _FunctionType) and value.__module__.startswith("candil._otp."):
            value.__module__ = "candil"


_protect_package("candil._otp")
_show_as_candil()
