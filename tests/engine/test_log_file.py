"""The rotating log."""

from pathlib import Path

from candil.engine._guard.program.log_file import LogFile


def test_what_is_written_is_appended(tmp_path: Path) -> None:
    """Also over a close, and in a folder that does not exist yet."""
    log = LogFile(bytes(tmp_path / "logs" / "engine.log"))
    log.write(b"one\n")
    log.close()
    log.write(b"two\n")
    log.close()

    assert (tmp_path / "logs" / "engine.log").read_bytes() == b"one\ntwo\n"


def test_the_files_are_bounded_in_size_and_number(tmp_path: Path) -> None:
    """The newest is the plain name; the oldest are dropped."""
    log = LogFile(bytes(tmp_path / "engine.log"), max_bytes=10, kept=2)
    for number in range(8):
        log.write(b"%d: 45678\n" % number)
    log.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "engine.log",
        "engine.log.1",
        "engine.log.2",
    ]
    assert (tmp_path / "engine.log").read_bytes() == b"7: 45678\n"
    assert (tmp_path / "engine.log.2").read_bytes() == b"5: 45678\n"


def test_a_disk_that_refuses_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    """The loss is counted."""
    (tmp_path / "file").write_bytes(b"")
    log = LogFile(bytes(tmp_path / "file" / "engine.log"))
    log.write(b"12345")
    log.close()

    assert log.lost == 5
