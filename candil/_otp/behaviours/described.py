"""
The signature under which a client is shown: its handler's, with the server in front, for ``help``,
``inspect``, Sphinx and editors at run time.
"""

from __future__ import annotations

import ast
from collections.abc import Awaitable
from inspect import Parameter, Signature
from types import UnionType
from typing import Any, Union, get_args, get_origin

from candil._otp.behaviours.calls import Deferred


def client_signature(handler: Signature, *, answers: bool) -> Signature:
    """
    Return what a client takes, and what it gives.

    Args:
        handler: The signature of its handler, without ``self``.

        answers: Whether its answer is awaited, as a call's.
    """
    server = "server"
    while server in handler.parameters:
        server += "_"
    returned = handler.return_annotation
    if answers and returned is not handler.empty:
        returned = _awaitable(returned)
    first = Parameter(server, Parameter.POSITIONAL_ONLY)
    return handler.replace(
        parameters=[first, *handler.parameters.values()], return_annotation=returned
    )


def _awaitable(annotation: Any) -> Any:
    if isinstance(annotation, str):
        return f"Awaitable[{_answer_in_words(annotation)}]"
    awaitable: Any = Awaitable
    return awaitable[_answer(annotation)]


def _answer(annotation: object) -> Any:
    """Return what there is to await: of a Deferred, what it will hold."""
    if annotation is Deferred:
        return Any
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Deferred:
        return args[0]
    if origin in (Union, UnionType):
        return Union[tuple(_answer(part) for part in args)]  # noqa: UP007  # it is made of values
    return annotation


def _answer_in_words(annotation: str) -> str:
    """Do the same where annotations are not evaluated: names need not be there at run time."""
    try:
        parts = _parts(ast.parse(annotation, mode="eval").body)
    except SyntaxError:
        return annotation
    return " | ".join(dict.fromkeys(ast.unparse(part) for part in parts))


def _parts(node: ast.expr) -> list[ast.expr]:
    """Take a union apart, and what is held out of a Deferred."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_parts(node.left), *_parts(node.right)]
    if isinstance(node, ast.Subscript) and _is_deferred(node.value):
        return _parts(node.slice)
    return [node]


def _is_deferred(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
    return name == Deferred.__name__
