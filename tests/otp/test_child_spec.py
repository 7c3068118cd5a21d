"""Specs: built, they are right; wrong, they say everything that is wrong."""

import math
from functools import partial
from typing import Generic, TypeVar

import attrs
import pytest

import candil
from candil._otp.supervisors.supervisor_spec import as_child_spec
from candil._otp.values.errors import short_repr
from tests.otp.ids import without_address

V = TypeVar("V")


class Server(candil.GenServer):
    """Takes one argument, and another by name."""

    def __init__(self, start=0, *, step=1):
        self.start = start
        self.step = step


class Needs(candil.GenServer):
    """Cannot do without its argument."""

    def __init__(self, needed):
        self.needed = needed


class Box(candil.GenServer, Generic[V]):
    """Holds one value."""

    def __init__(self, value: V | None = None):
        self.value = value


async def job(first=1, second=2):
    """Do nothing."""


class Callable:
    """An object that can be awaited by calling it."""

    async def __call__(self):
        """Do nothing."""


def plain():
    """Do nothing, and not asynchronously."""


def mistakes_of(build, *args, **kwargs):
    """Give what a builder complains of."""
    with pytest.raises(candil.SpecError) as caught:
        build(*args, **kwargs)
    return caught.value.mistakes


# --- what is right --------------------------------------------------------------------------------


def test_a_worker_is_permanent_and_has_5_seconds():
    """The defaults are OTP's."""
    spec = candil.child_spec(Server)

    assert attrs.asdict(spec, recurse=False) == {
        "start": spec.start,
        "id": "Server",
        "target": Server,
        "args": (),
        "kwargs": {},
        "name": None,
        "restart": "permanent",
        "shutdown": 5.0,
        "significant": False,
        "type": "worker",
        "backoff": None,
        "metadata": None,
    }


def test_a_supervisor_is_one_for_one_with_3_restarts_in_5_seconds():
    """The limits are Elixir's, the rest OTP's."""
    spec = candil.supervisor_spec([])

    assert attrs.asdict(spec) == {
        "children": (),
        "strategy": "one_for_one",
        "max_restarts": 3,
        "max_seconds": 5.0,
        "auto_shutdown": "never",
        "id": None,
        "name": None,
    }


def test_a_supervisor_as_a_child_has_all_the_time_it_needs():
    """Its type and its shutdown follow from what it is."""
    spec = candil.child_spec(candil.supervisor_spec([]))

    assert (spec.type, spec.shutdown, spec.id) == ("supervisor", math.inf, "supervisor")
    assert candil.child_spec(Server, type="supervisor").shutdown == math.inf


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "Server"),
        ({"name": "n"}, "n"),
        ({"name": candil.Name("n")}, "n"),
        ({"name": candil.Via("r", 1)}, candil.Via("r", 1)),
        ({"name": "n", "id": 7}, 7),
    ],
    ids=str,
)
def test_the_id_is_the_name_or_the_name_of_the_target(options, expected):
    """Unless one is given."""
    assert candil.child_spec(Server, **options).id == expected


def test_the_id_of_a_nested_supervisor_is_its_own():
    """Its id before its name; its name is registered all the same."""
    both = candil.child_spec(candil.supervisor_spec([], id="i", name="n"))
    named = candil.child_spec(candil.supervisor_spec([], name="n"))

    assert [(spec.id, spec.name) for spec in (both, named)] == [("i", "n"), ("n", "n")]
    assert candil.child_spec(candil.supervisor_spec([], name="n"), name="m").name == "m"


@pytest.mark.parametrize(
    "target", [Server, job, Callable(), partial(job, 1), plain], ids=without_address
)
def test_what_may_stand_in_a_start_function_and_beside_it(target):
    """Servers and whatever is asynchronous when it is called."""
    if target is plain:
        assert "target: a GenServer" in mistakes_of(candil.child_spec, target)[0]
    else:
        assert candil.child_spec(target, id="x").target is target
        assert candil.child_spec(candil.StartFunction(target), id="x").id == "x"


def test_a_start_function_is_named_after_its_function():
    """In ids as in reports."""
    spec = candil.child_spec(candil.StartFunction(job))

    assert spec.id == "job"
    assert repr(spec) == "<ChildSpec 'job' permanent worker: job>"


def test_specs_show_what_they_are_in_a_line():
    """For logs and debuggers."""
    inner = candil.supervisor_spec([Server], name="inner")

    assert repr(inner) == "<SupervisorSpec 'inner' one_for_one, 1 children>"
    assert repr(candil.child_spec(inner)).endswith(f"permanent supervisor: {inner!r}>")
    assert repr(candil.supervisor_spec([])) == "<SupervisorSpec one_for_one, 0 children>"
    assert repr(candil.child_spec(Callable(), id=1)).startswith("<ChildSpec 1 permanent worker: <")


def test_children_may_be_specs_classes_and_supervisors_in_any_iterable():
    """Each stands for its own child spec."""
    spec = candil.supervisor_spec(
        child for child in (Server, candil.supervisor_spec([], id="s"), candil.child_spec(job))
    )

    assert [child.id for child in spec.children] == ["Server", "s", "job"]
    assert as_child_spec(spec.children[0]) is spec.children[0]


def test_a_subscripted_generic_server_stands_for_its_class():
    """``Box[int]`` is ``Box`` at run time, also in a list of children."""
    spec = candil.child_spec(Box[int], 3)

    assert (spec.target, spec.id) == (Box, "Box")
    assert candil.supervisor_spec([Box[int]]).children[0].target is Box
    assert mistakes_of(candil.child_spec, list[int], id="x")[0].endswith("got list[int]")


def test_a_changed_spec_is_checked_again():
    """``attrs.evolve`` builds a new one."""
    spec = candil.child_spec(Server)

    assert attrs.evolve(spec, restart="temporary").restart == "temporary"
    assert mistakes_of(attrs.evolve, spec, restart="never")
    tree = candil.supervisor_spec([spec])
    assert attrs.evolve(tree, children=[job_spec() for _ in "a"]).children == (job_spec(),)
    assert mistakes_of(attrs.evolve, tree, children=[spec, spec])


def job_spec():
    """Give a spec that equals the next one."""
    return candil.child_spec(job, id="j")


@pytest.mark.parametrize("shutdown", [0, 0.5, 10, math.inf, "brutal_kill"])
def test_shutdown_is_seconds_or_brutal_kill(shutdown):
    """From nothing to for ever."""
    assert candil.child_spec(Server, shutdown=shutdown).shutdown == shutdown


# --- what is wrong --------------------------------------------------------------------------------


def test_all_mistakes_of_a_child_are_told_at_once():
    """With the child's id before each."""
    found = mistakes_of(
        candil.child_spec,
        plain,
        id="x",
        name=5,
        restart="often",
        shutdown=-1,
        significant="yes",
        type="boss",
        backoff=3,
    )

    assert [mistake.split(": ")[:2] for mistake in found] == [
        ["child 'x'", what]
        for what in ("name", "target", "restart", "type", "shutdown", "significant", "backoff")
    ]


def test_all_mistakes_of_a_supervisor_are_told_at_once():
    """Its flags, and each of its children with its place in the list."""
    found = mistakes_of(
        candil.supervisor_spec,
        ["x", Server, candil.child_spec(job, id="Server"), Needs, None],
        strategy="one_for_none",
        max_restarts=-1,
        max_seconds=0,
        auto_shutdown="sometimes",
        name="",
    )

    assert [mistake.split(":")[0] for mistake in found] == [
        "strategy",
        "auto_shutdown",
        "max_restarts",
        "max_seconds",
        "name",
        "children[0]",
        "children[2]",
        "children[3]",
        "children[4]",
    ]
    assert "the id 'Server' is used twice" in found[6]
    assert "missing a required argument: 'needed'" in found[7]


def test_the_error_reads_as_a_list_if_there_are_several():
    """And as one sentence if there is one."""
    with pytest.raises(candil.SpecError) as caught:
        candil.supervisor_spec([], max_restarts=-1, max_seconds=0)
    assert str(caught.value) == (
        "2 mistakes:\n"
        "  - max_restarts: a whole number from 0 on is needed, got -1\n"
        "  - max_seconds: more than 0 seconds are needed, got 0"
    )
    with pytest.raises(ValueError, match=r"^max_restarts: a whole number") as single:
        candil.supervisor_spec([], max_restarts=2.5)
    assert isinstance(single.value, candil.SpecError)


@pytest.mark.parametrize("children", [5, None, "ab", Server, candil.child_spec(Server)], ids=str)
def test_children_must_be_a_list(children):
    """One child alone is none, and that is told beside the other mistakes."""
    found = mistakes_of(candil.supervisor_spec, children, max_restarts=-1)

    assert [mistake.split(":")[0] for mistake in found] == ["max_restarts", "children"]
    assert mistakes_of(candil.check_childspecs, children)


@pytest.mark.parametrize("max_restarts", [-1, 2.0, True, "3", None, math.inf], ids=str)
def test_max_restarts_is_a_whole_number(max_restarts):
    """From 0 on."""
    assert mistakes_of(candil.supervisor_spec, [], max_restarts=max_restarts)


@pytest.mark.parametrize("max_seconds", [0, -1, math.nan, True, "5", None, 10**400], ids=short_repr)
def test_max_seconds_is_more_than_0(max_seconds):
    """And may be infinite."""
    assert mistakes_of(candil.supervisor_spec, [], max_seconds=max_seconds)
    assert candil.supervisor_spec([], max_seconds=math.inf).max_seconds == math.inf


@pytest.mark.parametrize(
    "shutdown", [-1, math.nan, True, "infinity", "5", [], 10**400], ids=short_repr
)
def test_shutdown_is_nothing_else(shutdown):
    """Milliseconds and atoms are another language's."""
    assert "shutdown: " in mistakes_of(candil.child_spec, Server, shutdown=shutdown)[0]


@pytest.mark.parametrize(
    "name", ["", 5, b"x", candil.Name(""), candil.Name(5), candil.Via("r", [])], ids=str
)
def test_a_name_that_cannot_be_registered_is_a_mistake(name):
    """It is found here, and not when the supervisor starts."""
    assert "name: " in mistakes_of(candil.child_spec, Server, id="s", name=name)[0]
    assert "name: " in mistakes_of(candil.supervisor_spec, [], name=name)[0]


@pytest.mark.parametrize("name", ["n", candil.Name("n"), candil.Via("r", ("k", 1))], ids=str)
def test_a_name_is_a_string_a_name_or_a_via(name):
    """All three can be registered."""
    assert candil.child_spec(Server, name=name).name == name


def test_an_id_must_be_hashable_and_there():
    """An object without a name has to be given one."""
    assert "id: a hashable value" in mistakes_of(candil.child_spec, Server, id=[])[0]
    assert "id: give it one" in mistakes_of(candil.child_spec, partial(job))[0]
    assert "id: a hashable value" in mistakes_of(candil.supervisor_spec, [], id=[])[0]


def test_ids_that_are_equal_but_of_other_types_are_different():
    """1 is not True, at any depth of tuples."""
    ids = [1, True, 1.0, "1", (1,), (True,)]
    candil.check_childspecs([candil.child_spec(job, id=id) for id in ids])

    (found,) = mistakes_of(
        candil.check_childspecs, [candil.child_spec(job, id=(1, "a")) for _ in range(2)]
    )
    assert "the id (1, 'a') is used twice" in found


@pytest.mark.parametrize(
    ("args", "kwargs", "complaint"),
    [
        ((1, 2), {}, "too many positional arguments"),
        ((), {"stride": 1}, "unexpected keyword argument 'stride'"),
        ((1,), {"start": 2}, "multiple values for argument 'start'"),
    ],
)
def test_arguments_that_the_target_does_not_take_are_a_mistake(args, kwargs, complaint):
    """They are found before the first start."""
    (found,) = mistakes_of(candil.child_spec, Server, *args, **kwargs)

    assert found.startswith("child 'Server': target: Server does not take these arguments: ")
    assert complaint in found


def test_arguments_may_be_missing_in_a_template_only():
    """The others of a simple_one_for_one child come with start_child."""
    template = candil.child_spec(Needs)

    assert candil.supervisor_spec([template], strategy="simple_one_for_one").children == (template,)
    for check in (candil.supervisor_spec, candil.check_childspecs):
        (found,) = mistakes_of(check, [template])
        assert "missing a required argument: 'needed'" in found


def test_a_supervisor_spec_takes_no_arguments():
    """Everything is in it already."""
    inner = candil.supervisor_spec([], id="inner")

    (found,) = mistakes_of(candil.child_spec, inner, 1)
    assert "a supervisor spec takes no arguments" in found


def test_a_target_without_a_signature_can_only_be_tried():
    """Python does not know what it takes, so nothing is said before the start."""

    class Hidden:
        @property
        def __signature__(self):
            raise ValueError("no signature found")

        async def __call__(self):
            """Do nothing."""

    assert candil.child_spec(Hidden(), 1, 2, 3, id="x").args == (1, 2, 3)


def test_a_class_that_is_no_child_is_told_with_the_others():
    """Its mistake has its place in the list, as any other has."""

    class Strange(candil.GenServer):
        __signature__ = 42

    found = mistakes_of(candil.supervisor_spec, [Strange, "x"], max_seconds=0)
    assert [mistake.split(":")[0] for mistake in found] == [
        "max_seconds",
        "children[0]",
        "children[1]",
    ]


@pytest.mark.parametrize("count", [0, 2])
def test_simple_one_for_one_has_exactly_one_template(count):
    """No more, no less."""
    children = [candil.child_spec(job, id=number) for number in range(count)]

    (found,) = mistakes_of(candil.supervisor_spec, children, strategy="simple_one_for_one")
    assert f"exactly one child spec, its template; got {count}" in found


def test_a_significant_child_needs_auto_shutdown_and_an_end():
    """A permanent one has none; under never it would mean nothing."""
    assert "permanent" in mistakes_of(candil.child_spec, Server, significant=True)[0]
    child = candil.child_spec(Server, restart="transient", significant=True)
    assert "auto_shutdown" in mistakes_of(candil.supervisor_spec, [child])[0]
    assert "auto_shutdown" in mistakes_of(candil.check_childspecs, [child])[0]

    candil.check_childspecs([child], auto_shutdown="any_significant")
    for auto_shutdown in ("any_significant", "all_significant"):
        assert candil.supervisor_spec([child], auto_shutdown=auto_shutdown).children == (child,)


def test_a_value_whose_repr_raises_is_told_all_the_same():
    """A mistake must not hide behind another."""

    class Broken:
        def __repr__(self):
            raise RuntimeError

    (found,) = mistakes_of(candil.supervisor_spec, [Broken()])
    assert "its repr raised RuntimeError" in found
