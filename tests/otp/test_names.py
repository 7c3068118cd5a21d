"""Names compare as OTP's terms do: by type and value."""

import copy
import pickle

import attrs
import pytest
from hypothesis import given, strategies as st

import candil
from candil._otp.values.names import name_key, typed_key
from candil._otp.values.pids import is_pid

scalars = (
    st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, -1.0]) | st.text(max_size=2)
)
keys = st.recursive(
    scalars | st.none() | st.binary(max_size=2),
    lambda parts: st.lists(parts, max_size=3).map(tuple),
    max_leaves=6,
)


def shape(key: object) -> object:
    """Spell a key out with the type of every part."""
    if isinstance(key, tuple):
        return ["tuple", *(shape(part) for part in key)]
    return [type(key).__name__, repr(key)]


@given(keys, keys)
def test_typed_keys_are_equal_exactly_when_types_and_values_are(one: object, two: object) -> None:
    """1, 1.0 and True are three keys, at any depth, though Python's dict holds them for one."""
    assert (shape(one) == shape(two)) == (typed_key(one) == typed_key(two))


@given(keys)
def test_a_typed_key_can_be_looked_up(key: object) -> None:
    """It is hashable, and equal to itself made anew."""
    assert hash(typed_key(key)) == hash(typed_key(key))
    assert 1 == len({typed_key(key), typed_key(key)})


@given(st.text())
def test_a_name_is_the_same_as_its_string(text: str) -> None:
    """Name adds a type for checkers and nothing else."""
    assert name_key(candil.Name(text)) == name_key(text)


@given(st.text(max_size=3), keys)
def test_a_via_is_never_a_string_nor_of_another_family(registry: str, key: object) -> None:
    """Families are apart from each other and from the plain names."""
    via = candil.Via(registry, key)

    assert name_key(via) != name_key(registry)
    assert name_key(via) != name_key(candil.Via(registry + "x", key))
    assert name_key(via) == name_key(candil.Via(registry, key))


@pytest.mark.parametrize("wrong", [None, 7, b"name", ("a", 1), object])
def test_anything_else_is_no_name(wrong: object) -> None:
    """The error lists what would be, and shows what came."""
    with pytest.raises(TypeError, match="a Pid, a Name, a Via or a str; got "):
        name_key(wrong)


def test_pids_and_refs_compare_by_identity_and_read_well() -> None:
    """Two incarnations are never equal, even with the same numbers."""
    one = candil.Pid("local", 1, 7, "Counter")
    two = candil.Pid("local", 1, 7, "Counter")

    assert one != two
    assert 2 == len({one, two})
    assert "<Pid local.7 Counter>" == repr(one)
    assert candil.Ref(3) != candil.Ref(3)
    assert "<Ref 3>" == repr(candil.Ref(3))


def test_only_a_pid_is_a_pid() -> None:
    """A name is not, nor is a reference."""
    assert is_pid(candil.Pid("local", 1, 7, "Counter"))
    assert not any(map(is_pid, ["Counter", candil.Name("Counter"), candil.Ref(7), None]))


@pytest.mark.parametrize("own", [candil.Pid("local", 1, 7, "Counter"), candil.Ref(3)], ids=repr)
def test_a_copy_of_a_pid_or_a_reference_is_the_very_same(own: object) -> None:
    """Else a copied message would name a process that nobody knows."""
    assert copy.copy(own) is own
    assert copy.deepcopy([own]) == [own]


@pytest.mark.parametrize("own", [candil.Pid("local", 1, 7, "Counter"), candil.Ref(3)], ids=repr)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pid_or_a_reference_cannot_be_pickled(own: object, protocol: int) -> None:
    """It means nothing in another process, and the error says what to send instead."""
    with pytest.raises(TypeError, match="this run only and cannot be pickled"):
        pickle.dumps(own, protocol)


async def test_a_message_with_a_pid_becomes_a_dictionary_with_that_pid() -> None:
    """attrs.asdict stops at it, and does not take the whole run apart."""
    async with candil.open_node(log=False):
        own = candil.self()
        down = candil.Down(candil.Ref(3), own, candil.Normal())
        assert attrs.asdict(down) == {"ref": down.ref, "pid": own, "reason": {}}
