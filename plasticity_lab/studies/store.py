"""Trained segments on disk, shared by all studies of a folder."""

import errno
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from plasticity_lab.errors import UserError
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
    on the test split. A segment is trained in a folder of its own, `.tmp-<id>-…`, and moved to its
    place as a whole. What is missing or shorter than it was counts as not trained. The process that
    trains a segment holds its lock, which ends with it.

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

    def is_trained(self, state: str, test: bool) -> bool:
        """Whether a state is stored to train from, with the test split measured if need be."""
        return self.has_checkpoint(state) and (self.has_test(state) or not test)

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

    def is_locked(self, state: str) -> bool:
        """Whether a process trains a segment now."""
        lock = self.lock(state)
        if lock:
            lock.release()
        return lock is None

    def workdir(self, state: str) -> Path:
        """Return a folder, yet to be made, for an attempt to train a segment."""
        return self.root / f".tmp-{state}-{secrets.token_hex(4)}"

    def commit(self, place: Path, state: str) -> None:
        """Move a finished segment to its place, whole; a damaged one there is replaced.

        A whole one there is equal and stays. The caller holds the segment's lock.

        Raises:
            OSError: if the disk is full; then the store is unchanged.
        """
        # The files reach the disk before the entry that lists them.
        entry = {**read_json(place / DONE), "files": lengths(place, DONE)}
        for file in entry["files"]:
            sync(place / file)
        if self.has_logs(state):
            self._add_parts(place, state, entry["files"])
            return
        if not (place / DONE).exists():
            home = self.root / state
            raise OSError(errno.ENOENT, "it was damaged while its test was measured", str(home))
        write_whole(place / DONE, entry)

        # What is damaged is moved away first: a folder takes the place of none that holds files.
        home, damaged = self.root / state, self.workdir(state)
        if home.exists():
            home.rename(damaged)
        place.rename(home)
        sync(self.root)
        shutil.rmtree(damaged, ignore_errors=True)

    def _add_parts(self, place: Path, state: str, files: dict[str, int]) -> None:
        """Add the state and the test to a segment that is stored without them."""
        home, stored = self.root / state, self._entry(state)
        wanted = {STATE: not self.has_checkpoint(state), TEST: not self.has_test(state)}
        parts = [part for part in (STATE, TEST) if wanted[part] and (place / part).exists()]
        new = {name: length for name, length in files.items() if name.split("/")[0] in parts}
        kept = {
            name: length
            for name, length in stored.get("files", {}).items()
            if name.split("/")[0] not in parts
        }

        # At no moment does the entry list wrong lengths, or leave out those of damaged files.
        if TEST in parts:
            shutil.rmtree(home / TEST, ignore_errors=True)
        write_whole(home / DONE, {**stored, "files": kept})
        for part in parts:
            (place / part).rename(home / part)
        write_whole(home / DONE, {**stored, "files": {**kept, **new}})

    def remove_damaged_checkpoint(self, state: str) -> str:
        """Remove a state's checkpoint if it cannot be read, so that it is trained again.

        Its length may be right and its content not: all of it is read.

        Returns:
            What is wrong with it; "" if it is sound.
        """
        checkpoint = self.checkpoint(state)
        if not checkpoint.is_file():
            return f"{checkpoint} is missing"
        damage = _damage(checkpoint)
        if not damage:
            return ""
        # By now another process may have replaced it.
        lock = self.lock(state)
        if lock:
            with lock:
                if _damage(checkpoint):
                    checkpoint.unlink(missing_ok=True)
        return damage

    def remove_stale(self) -> None:
        """Remove what dead workers left."""
        for place in self.root.glob(".tmp-*"):
            self.discard(place)

    def discard(self, place: Path) -> None:
        """Remove the folder of an attempt, unless a process trains its segment."""
        if place.exists() and (lock := self.lock(_state_of(place))):
            with lock:
                shutil.rmtree(place, ignore_errors=True)

    def running(self) -> set[str]:
        """Return the states that are being trained towards."""
        states = {_state_of(place) for place in self.root.glob(".tmp-*")}
        return {state for state in states if self.is_locked(state)}

    def _entry(self, state: str) -> dict[str, Any]:
        entry = read_json(self.root / state / DONE)
        return entry if {"start", "first", "stop", "seconds", "state"} <= set(entry) else {}

    def _short(self, state: str, entry: dict[str, Any], counts: Callable[[str], bool]) -> str:
        """Describe the first file of a state, of those that count, whose length has changed."""
        lengths = {name: length for name, length in entry.get("files", {}).items() if counts(name)}
        return short(self.root / state, lengths)


def _of_test(name: str) -> bool:
    return name.startswith(f"{TEST}/")


def _state_of(place: Path) -> str:
    return place.name.split("-")[1]


def _damage(checkpoint: Path) -> str:
    """Return why a checkpoint cannot be read; "" if it can, or holds what is never read."""
    # Only here, as it imports torch.
    from plasticity_lab.checkpoint_files import ForeignObjects, read_checkpoint

    try:
        read_checkpoint(checkpoint, trainable=True)
    except ForeignObjects:
        return ""
    except UserError as error:
        return str(error)
    return ""
