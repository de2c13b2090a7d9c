"""Trained segments on disk, shared by all studies of a folder."""

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any, NamedTuple


class Store(NamedTuple):
    """States by id: `<root>/<id>/` with the segment that ended in it.

    `done.json` says what it goes on from and how it was trained; beside it lie event files, `state.ckpt` unless it was dropped, and
    in `test/` what was measured on the test split. A segment is trained elsewhere and moved here as a whole.

    Attributes:
        root: the folder.
    """

    root: Path

    def logged(self, state: str) -> bool:
        """Whether the epochs up to a state have been trained and logged."""
        return (self.root / state / "done.json").exists()

    def kept(self, state: str) -> bool:
        """Whether the state itself is there, to go on from."""
        return self.checkpoint(state).exists()

    def tested(self, state: str) -> bool:
        """Whether the test split has been measured in it."""
        return (self.root / state / "test").exists()

    def checkpoint(self, state: str) -> Path:
        """Return where a state is kept."""
        return self.root / state / "state.ckpt"

    def done(self, state: str) -> dict[str, Any]:
        """Return how the segment that ended in a state was trained."""
        entry: dict[str, Any] = json.loads((self.root / state / "done.json").read_text())
        return entry

    def history(self, state: str) -> list[str]:
        """Return the states at the ends of all segments up to a state, the first one first."""
        states: list[str] = []
        here: str | None = state
        while here:
            states.insert(0, here)
            here = self.done(here)["start"]
        return states

    def workplace(self, state: str) -> Path:
        """Return an empty folder to train a segment in."""
        place = self.root / f".tmp-{state}-{socket.gethostname()}-{os.getpid()}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def publish(self, place: Path, state: str) -> None:
        """Move a finished segment to its place; what is there already is equal and stays."""
        home = self.root / state
        if not home.exists():
            try:
                place.rename(home)
            except OSError:
                if not home.exists():
                    raise
        for part in ("state.ckpt", "test"):
            if (place / part).exists() and not (home / part).exists():
                (place / part).rename(home / part)
        shutil.rmtree(place, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what workers of this machine left that no longer live."""
        for place in self._places():
            if not _lives(place):
                shutil.rmtree(place, ignore_errors=True)

    def in_work(self) -> set[str]:
        """Return the states that are being trained towards, as far as this machine can tell."""
        return {place.name.split("-")[1] for place in self._places() if _lives(place)}

    def _places(self) -> list[Path]:
        return list(self.root.glob(".tmp-*"))


def _lives(place: Path) -> bool:
    """Whether the worker of a place may live: one of another machine may."""
    name, pid = place.name.rsplit("-", 1)
    if not name.endswith(f"-{socket.gethostname()}"):
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
