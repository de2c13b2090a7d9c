"""Trained segments on disk, shared by all studies of a folder."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from plasticity_lab.files import sync
from plasticity_lab.studies.files import lengths, read_json, short, write_whole

DONE = "done.json"
STATE = "state.ckpt"
TEST = "test"


class StoredParts(NamedTuple):
    """What is stored of a state, whole.

    Attributes:
        metadata: how the segment that ended in it was trained; empty if that is not known.
        logs: whether the epochs up to it have been trained and logged, with all their files.
        checkpoint: whether the state itself is there, to train from.
        test: whether the test split has been measured in it.
    """

    metadata: dict[str, Any]
    logs: bool
    checkpoint: bool
    test: bool


NOTHING_STORED = StoredParts({}, False, False, False)


class Store(NamedTuple):
    """States by id: `<root>/<id>/` with the segment that ended in it.

    `done.json` holds what it continues from, how it was trained, and how long each of its files is;
    beside it lie event files, `state.ckpt` unless it was dropped, and in `test/` what was measured
    on the test split. A segment is trained elsewhere and moved here as a whole. What is missing or
    shorter than it was counts as not trained. Whoever trains a segment holds its lock, which ends
    with its process.

    Attributes:
        root: the folder.
    """

    root: Path

    def parts(self, state: str) -> StoredParts:
        """Return what is stored of a state."""
        entry = self._entry(state)
        if not entry or self._short(state, entry, lambda name: not _of_test(name)):
            return NOTHING_STORED._replace(metadata=entry)
        tested = (self.root / state / TEST).is_dir() and not self._short(state, entry, _of_test)
        return StoredParts(entry, True, self.checkpoint(state).is_file(), tested)

    def has_logs(self, state: str) -> bool:
        """Whether the epochs up to a state have been trained and logged, with all their files."""
        return self.parts(state).logs

    def has_checkpoint(self, state: str) -> bool:
        """Whether the state itself is stored, to train from."""
        return self.parts(state).checkpoint

    def has_test(self, state: str) -> bool:
        """Whether the test split has been measured in it."""
        return self.parts(state).test

    def checkpoint(self, state: str) -> Path:
        """Return where a state is kept."""
        return self.root / state / STATE

    def metadata(self, state: str) -> dict[str, Any]:
        """Return how the segment that ended in a state was trained."""
        return self._entry(state)

    def start(self, state: str) -> str | None:
        """Return the state from which a state was trained; None is a fresh network."""
        start: str | None = self._entry(state)["start"]
        return start

    def ancestors(self, state: str) -> list[str]:
        """Return the states at the ends of all segments up to a state, the first one first."""
        states: list[str] = []
        ancestor: str | None = state
        while ancestor:
            states.insert(0, ancestor)
            ancestor = self.start(ancestor)
        return states

    def damage(self, state: str) -> str:
        """Describe what is wrong with an incomplete state; "" if it is whole or absent."""
        if not (self.root / state).is_dir():
            return ""
        entry = self._entry(state)
        if not entry:
            return f"{DONE} is {'damaged' if (self.root / state / DONE).exists() else 'missing'}"
        return self._short(state, entry, lambda name: True)

    def lock(self, state: str) -> FileLock | None:
        """Return the lock of a segment, taken; None if another process has it."""
        folder = self.root / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / state)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def new_workdir(self, state: str) -> Path:
        """Return an empty folder to train a segment in; the caller holds the segment's lock."""
        place = self.root / f".tmp-{state}-{socket.gethostname()}-{os.getpid()}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def commit(self, place: Path, state: str) -> None:
        """Move a finished segment to its place, whole; a damaged one there is replaced.

        A whole one there is equal and stays. The caller holds the segment's lock.

        Raises:
            OSError: if the disk is full; then the store is unchanged.
        """
        home = self.root / state

        # The files reach the disk before the entry that lists them.
        entry = {**read_json(place / DONE), "files": lengths(place, DONE)}
        for file in entry["files"]:
            sync(place / file)
        write_whole(place / DONE, entry)
        if self.damage(state):
            shutil.rmtree(home)
        if not home.exists():
            place.rename(home)
            sync(self.root)
            return

        # The segment was there without its state or its test, which are added.
        stored = self._entry(state)
        for part in (STATE, TEST):
            if (place / part).exists() and not (home / part).exists():
                (place / part).rename(home / part)
        added_files = {
            name: length
            for name, length in entry["files"].items()
            if name == STATE or _of_test(name)
        }
        write_whole(home / DONE, {**stored, "files": {**added_files, **stored.get("files", {})}})
        shutil.rmtree(place, ignore_errors=True)

    def remove_stale(self) -> None:
        """Remove what dead workers of this machine left."""
        for place in self.root.glob(".tmp-*"):
            if _of_this_machine(place) and (lock := self.lock(_state_of(place))):
                with lock:
                    shutil.rmtree(place, ignore_errors=True)

    def running(self) -> set[str]:
        """Return the states that are being trained towards, as far as this machine can tell."""
        return {_state_of(place) for place in self.root.glob(".tmp-*") if self._is_alive(place)}

    def _is_alive(self, place: Path) -> bool:
        """Whether a worker still trains in a folder; of another machine's that is supposed."""
        lock = self.lock(_state_of(place)) if _of_this_machine(place) else None
        if lock:
            lock.release()
        return lock is None

    def _entry(self, state: str) -> dict[str, Any]:
        entry = read_json(self.root / state / DONE)
        return entry if {"start", "first", "stop", "seconds", "state"} <= set(entry) else {}

    def _short(self, state: str, entry: dict[str, Any], counts: Callable[[str], bool]) -> str:
        """Describe the first file of a state, of those that count, whose length has changed."""
        lengths = {name: length for name, length in entry.get("files", {}).items() if counts(name)}
        return short(self.root / state, lengths)


def _of_test(name: str) -> bool:
    return name.startswith(f"{TEST}/")


def _of_this_machine(place: Path) -> bool:
    return place.name.rsplit("-", 1)[0].endswith(f"-{socket.gethostname()}")


def _state_of(place: Path) -> str:
    return place.name.split("-")[1]
