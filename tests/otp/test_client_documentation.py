"""What a client shows to those who document it: its handler, and how it is called."""

import copy
import functools
import inspect
import pickle
import pydoc
from collections.abc import Awaitable
from typing import Optional, Union

import pytest

import candil
from tests.otp.servers import Counter


class Desk(candil.GenServer):
    """Takes and answers questions."""

    @candil.handle_call
    def ask(self, what: str, /, times: int = 1, *, loud: bool = False) -> str:
        """Answer a question."""
        return what * times

    @candil.handle_call
    async def ask_async(self, *what: str) -> list[str]:
        """Answer many."""
        return list(what)

    @candil.handle_call
    def unknown(self, what):
        return what

    @candil.handle_call
    def later(self) -> candil.Deferred[str]:
        """Answer some other time."""
        return candil.Deferred()

    @candil.handle_call
    def perhaps(self) -> int | candil.Deferred[int | str] | None:
        """Answer now or later, or not."""

    @candil.handle_call
    def old_style(self) -> Optional[candil.Deferred[int]]:  # noqa: UP045
        """Say the same in older words."""

    @candil.handle_call
    def either(self) -> Union[int, candil.Deferred[str]]:  # noqa: UP007
        """Say the same in older words."""
        return 1

    @candil.handle_call
    def bare(self) -> candil.Deferred:
        """Say nothing of what the Deferred holds."""
        return candil.Deferred()

    @candil.handle_call
    def quoted(self) -> "int | candil.Deferred[int | str] | None":
        """Answer in words."""

    @candil.handle_call
    def quoted_plainly(self) -> "dict[str, int]":
        """Answer in words."""
        return {}

    @candil.handle_call
    def nonsense(self) -> "what it is":  # noqa: F722
        """Answer in words that are no type."""

    @candil.handle_call
    def odd(self, server: int, server_: int = 1) -> None:
        """Take a parameter of a name that the client has."""

    @candil.handle_cast
    def tell(self, what: str) -> None:
        """Hear something."""

    @candil.handle_cast
    async def tell_async(self, **what: str) -> None:
        """Hear something, and wait."""


class Bigger(Desk):
    """Overrides one, and inherits the others."""

    def ask(self, what: str, /, times: int = 2, *, loud: bool = True) -> str:
        """Answer louder."""
        return super().ask(what, times, loud=loud)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ask", "(server, what: str, /, times: int = 1, *, loud: bool = False) -> {}[str]"),
        ("ask_async", "(server, /, *what: str) -> {}[list[str]]"),
        ("unknown", "(server, /, what)"),
        ("later", "(server, /) -> {}[str]"),
        ("perhaps", "(server, /) -> {}[int | str | None]"),
        ("old_style", "(server, /) -> {}[int | None]"),
        ("either", "(server, /) -> {}[int | str]"),
        ("bare", "(server, /) -> {}[typing.Any]"),
        ("quoted", "(server, /) -> 'Awaitable[int | str | None]'"),
        ("quoted_plainly", "(server, /) -> 'Awaitable[dict[str, int]]'"),
        ("nonsense", "(server, /) -> 'Awaitable[what it is]'"),
        ("odd", "(server__, /, server: int, server_: int = 1) -> {}[None]"),
        ("tell", "(server, /, what: str) -> None"),
        ("tell_async", "(server, /, **what: str) -> None"),
    ],
)
def test_the_signature_is_the_server_and_then_the_handler_s(name, expected):
    """What it gives is awaited, if it is a call, and is what a Deferred will hold."""
    shown = str(inspect.signature(getattr(Desk, name))).replace(
        "typing.Optional[int]", "int | None"
    )
    shown = shown.replace("typing.Union[int, str, NoneType]", "int | str | None")
    shown = shown.replace("typing.Union[int, str]", "int | str")
    assert shown == expected.format("collections.abc.Awaitable")


@pytest.mark.parametrize("client", [Desk.ask, Desk.ask.within(1.0), Bigger.tell, Bigger.odd])
def test_a_client_says_of_itself_what_its_handler_says(client):
    """Also with another timeout, and by a subclass that inherits it."""
    function = client.__wrapped__
    assert inspect.isfunction(function)
    assert (client.__name__, client.__qualname__, client.__doc__, client.__module__) == (
        function.__name__,
        function.__qualname__,
        function.__doc__,
        __name__,
    )
    assert inspect.getsource(client) == inspect.getsource(function)
    assert inspect.getdoc(client) == function.__doc__


def test_an_override_says_its_own():
    """Decorated or not."""
    assert (Bigger.ask.__doc__, Bigger.ask.__qualname__) == ("Answer louder.", "Bigger.ask")
    assert inspect.signature(Bigger.ask).parameters["times"].default == 2


def test_help_shows_handlers_as_it_shows_methods():
    """Of the client and of its class."""
    client = pydoc.render_doc(Desk.ask, renderer=pydoc.plaintext)
    assert f"in module {__name__}" in client.splitlines()[0]
    shown = "ask(server, what: str, /, times: int = 1, *, loud: bool = False)"
    assert shown in client
    assert "Answer a question." in client
    of_the_class = pydoc.render_doc(Desk, renderer=pydoc.plaintext)
    methods = of_the_class[: of_the_class.index("Data and other attributes")]
    assert shown in methods
    assert "Answer a question." in methods
    assert "tell(server, /, what: str) -> None" in methods
    assert "<client of" not in of_the_class


def test_help_of_a_handler_without_documentation_shows_its_signature():
    """And nothing of the client's own."""
    assert Counter.slow_reset.__doc__ is None
    text = pydoc.render_doc(Counter.slow_reset, renderer=pydoc.plaintext)
    assert text.rstrip().endswith("slow_reset(server, /, *, to: 'int') -> 'None'")


def test_a_handler_has_the_name_that_the_class_gives_it():
    """A decorator may have given the function another."""

    def answer(self) -> int:
        return 1

    class Named(candil.GenServer):
        one = candil.handle_call(answer)

    assert Named.one.__name__ == "one"
    assert Named.one.__qualname__.endswith("Named.one")


def test_a_callable_that_is_no_function_can_be_asked_too():
    """It has no qualified name."""

    class Answer:
        """An answer."""

        __name__ = "answer"

        def __call__(self, _server: object) -> int:
            return 1

    class Called(candil.GenServer):
        answer = candil.handle_call(Answer())

    assert Called.answer.__qualname__.endswith("Called.answer")
    assert Called.answer.__doc__ == "An answer."


def test_what_a_client_does_not_have_it_does_not_have():
    """The error is Python's own."""
    with pytest.raises(AttributeError, match="object has no attribute 'witin'") as no:
        _ = Desk.ask.witin
    assert (no.value.name, no.value.obj) == ("witin", Desk.ask)


@pytest.mark.parametrize("client", [Desk.ask, Desk.tell, Bigger.ask])
def test_a_client_is_copied_and_pickled_as_any_function_is(client):
    """By its name."""
    assert copy.copy(client) is client
    assert pickle.loads(pickle.dumps(client)) is client  # noqa: S301  # our own


def test_a_client_with_another_timeout_cannot_be_pickled():
    """Its name stands for the one with the usual timeout."""
    with pytest.raises(pickle.PicklingError, match=r"Desk\.ask"):
        pickle.dumps(Desk.ask.within(1.0))


def test_processes_and_wrappers_are_named_after_the_handler():
    """They ask as for a function."""

    @functools.wraps(Desk.ask)
    def wrapper():
        """Nothing of its own."""

    assert (wrapper.__name__, wrapper.__doc__) == ("ask", "Answer a question.")


async def test_a_process_that_is_a_client_has_the_handler_s_name():
    """It is what its pid and reports show."""
    async with candil.open_node(log=False):
        assert candil.spawn(Desk.ask, "desk", "a").label == "Desk.ask"


def test_what_waits_is_known_to_be_awaited():
    """Whoever reads the annotation finds a type."""
    assert inspect.signature(Desk.ask).return_annotation == Awaitable[str]
