"""The last lines of a process, in bounded memory."""

import random

from candil.engine._system.log_tail import LogTail


def test_lines_come_whole_however_they_were_read() -> None:
    """Reads end anywhere, in the middle of a line or of a character."""
    text = "first\nsecönd\r\n\nlast, unfinished"
    dice = random.Random(1)
    for _ in range(50):
        tail, data = LogTail(), text.encode()
        while data:
            cut = dice.randint(1, 6)
            tail.feed(data[:cut])
            data = data[cut:]
        assert tail.lines() == ("first", "secönd", "", "last, unfinished")


def test_only_the_last_lines_are_kept() -> None:
    """The ring is bounded by bytes, and whole lines leave it."""
    tail = LogTail(limit=100)
    for number in range(1000):
        tail.feed(b"line %03d\n" % number)

    assert tail.lines() == tuple(f"line {number:03}" for number in range(989, 1000))


def test_an_endless_line_is_cut_and_costs_nothing() -> None:
    """A hundred megabytes without a newline leave one marked line."""
    tail = LogTail(line_limit=16)
    for _ in range(100):
        tail.feed(b"x" * (1 << 20))
    tail.feed(b"\nnext\n")

    assert tail.lines() == ("x" * 16 + " [cut]", "next")


def test_a_line_of_exactly_the_limit_is_not_cut() -> None:
    """The mark means that something is missing."""
    tail = LogTail(line_limit=4)
    tail.feed(b"ab")
    tail.feed(b"cd\nabcde\n")

    assert tail.lines() == ("abcd", "abcd [cut]")


def test_nothing_in_it_can_control_a_terminal() -> None:
    """Colours go, other control characters and broken text become visible."""
    tail = LogTail()
    tail.feed(b"\x1b[31mred\x1b[0m \x1b]0;title\x07bell\x07 nul\0 tab\t \xff\xfe \xc2\x9b31m\n")

    assert tail.lines() == ("red bell\ufffd nul\ufffd tab\t \ufffd\ufffd \ufffd31m",)
