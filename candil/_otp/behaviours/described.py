"""
Objects that stand for a function, and say of themselves what it says: its name, its documentation
and its signature, for ``help``, ``inspect``, Sphinx and editors at run time.

All of it is found when it is asked for, so that neither making such an object nor calling it costs
more.
"""

from __future__ import annotations

import ast
import inspect
from abc import abstractmethod
from collections.abc import Awaitable
from inspect import Parameter, Signature
from types import UnionType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin

from candil._otp.behaviours.calls import Deferred

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

T = TypeVar("T")


class About(NamedTuple):
    """What an object stands for: a method, as its class calls it, and whether its answer comes."""

    name: str
    function: Callable[..., Any]
    answers: bool


def signature_of(about: About) -> Signature:
    """Put the server first, instead of self."""
    signature = inspect.signature(about.function)
    parameters = list(signature.parameters.values())[1:]
    server = "server"
    while any(parameter.name == server for parameter in parameters):
        server += "_"
    returned = signature.return_annotation
    if about.answers and returned is not signature.empty:
        returned = _awaitable(returned)
    first = Parameter(server, Parameter.POSITIONAL_ONLY)
    return signature.replace(parameters=[first, *parameters], return_annotation=returned)


def _awaitable(annotation: Any) -> Any:
    if isinstance(annotation, str):
        return f"Awaitable[{_answer_in_words(annotation)}]"
    awaitable: Any = Awaitable
    return awaitable[_answer(annotation)]


def _answer(annotation: Any) -> Any:
    """Give what there is to await: of a Deferred, what it will hold."""
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


class _Found(Generic[T]):
    """
    A property of instances that their class does not have.

    A ``__getattr__`` would be shorter, but Python then looks up all attributes the slow way, and
    every call would pay for it.
    """

    def __init__(self, find: Callable[[About], T]) -> None:
        self._find = find

    def __get__(self, described: Described | None, _owner: type[Any] | None = None) -> T:
        if described is None:
            raise AttributeError
        return self._find(described.about())


class _Own(str):
    """
    What a class says of itself where its instances say what their function does: as a property, but
    on the class it is still the string that everybody expects.
    """

    __slots__ = ("_attribute",)

    _attribute: str

    def __new__(cls, text: str, attribute: str) -> Self:
        own = super().__new__(cls, text)
        own._attribute = attribute
        return own

    def __get__(self, described: Described | None, _owner: type[Any] | None = None) -> Any:
        return self if described is None else getattr(described.about().function, self._attribute)

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)  # pickle wants the plain string as a class's module


class Described:
    """
    The base of objects that are described as the method they stand for.

    They set ``__qualname__``, the one attribute that no class can find for its instances.
    """

    __slots__ = ("__qualname__",)

    if TYPE_CHECKING:
        __name__: str
        __qualname__: str
        __signature__: Signature
        __wrapped__: Callable[..., Any]
    else:
        __name__ = _Found(lambda about: about.name)
        __signature__ = _Found(signature_of)
        __wrapped__ = _Found(lambda about: about.function)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__doc__ = _Own(cls.__doc__ or "", "__doc__")
        cls.__module__ = _Own(cls.__module__, "__module__")

    def __get__(self, _instance: object, _owner: type[Any] | None = None) -> Self:
        # By this alone pydoc and Sphinx take it for a routine, and show its signature.
        return self

    @abstractmethod
    def about(self) -> About:
        """Give what it stands for; not for users."""
