"""Which children a crash takes along, and how many crashes are too many: pure rules."""

from hypothesis import given, strategies as st

from candil._otp.supervisors.strategy import STRATEGIES, RestartWindow, restart_group

orders = st.lists(st.integers(0, 50), min_size=1, max_size=12, unique=True)


@given(orders, st.data())
def test_one_for_one_takes_the_one_that_failed(order, data):
    """And so does simple_one_for_one."""
    failed = data.draw(st.sampled_from(order))

    assert restart_group("one_for_one", order, failed) == [failed]
    assert restart_group("simple_one_for_one", order, failed) == [failed]


@given(orders, st.data())
def test_one_for_all_takes_all(order, data):
    """In start order, in a list of its own."""
    group = restart_group("one_for_all", order, data.draw(st.sampled_from(order)))

    assert group == order
    assert group is not order


@given(orders, st.data())
def test_rest_for_one_takes_the_one_that_failed_and_those_started_later(order, data):
    """Nothing before it, everything behind it."""
    failed = data.draw(st.sampled_from(order))
    group = restart_group("rest_for_one", order, failed)

    assert group[0] == failed
    assert [*order[: order.index(failed)], *group] == order


@given(orders, st.data(), st.sampled_from(STRATEGIES))
def test_every_group_holds_the_one_that_failed_and_keeps_the_order(order, data, strategy):
    """Whatever the strategy."""
    failed = data.draw(st.sampled_from(order))
    group = restart_group(strategy, order, failed)

    assert failed in group
    assert group == [child for child in order if child in group]


times = st.lists(st.integers(0, 40), max_size=40).map(sorted)


@given(times, st.integers(0, 5), st.integers(1, 20))
def test_the_window_allows_what_counting_by_hand_allows(seconds, max_restarts, max_seconds):
    """A restart counts for exactly max_seconds: the boundary still counts."""
    window = RestartWindow(max_restarts, float(max_seconds))
    for index, now in enumerate(seconds):
        recent = [then for then in seconds[: index + 1] if now - then <= max_seconds]

        assert window.add(float(now)) is (len(recent) <= max_restarts)
        assert window.count == len(recent)


def test_the_window_is_exact_at_its_boundary():
    """To the last bit of a float."""
    for later, allowed in ((15.0, False), (15.000000000000002, True)):
        window = RestartWindow(1, 5.0)
        assert window.add(10.0)
        assert window.add(later) is allowed


def test_no_restarts_allowed_means_none():
    """The first is one too many."""
    assert not RestartWindow(0, 5.0).add(0.0)


def test_an_infinite_window_forgets_nothing():
    """The limit is then one for the whole life."""
    window = RestartWindow(2, float("inf"))

    assert [window.add(now) for now in (0.0, 1e9, 1e18)] == [True, True, False]


def test_a_window_remembers_no_more_than_it_must():
    """Restarts that are too old are gone."""
    window = RestartWindow(1, 1.0)
    for now in range(1000):
        window.add(now * 2.0)

    assert window.count == 1
