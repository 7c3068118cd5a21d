"""Put the script of the guard, which no module imports, into a frozen program as files."""

from candil.engine._guard.command import PROGRAM

datas = [(str(path), "candil/engine/_guard/program") for path in PROGRAM.parent.glob("*.py")]
