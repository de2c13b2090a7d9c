"""What a store holds at one moment, looked up once for each state."""

from collections.abc import Iterator
from typing import Any

from plasticity_lab.studies.store import NOTHING_STORED, Store, StoredParts


class StoredStates:
    """The states that a store holds, as they are when they are first asked for.

    A study asks for the same states again and again: with thousands of runs, looking at their files
    each time would take most of the time of a command that trains nothing.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        root = store.root
        self._present = {path.name for path in root.iterdir()} if root.is_dir() else set()
        self._parts: dict[str, StoredParts] = {}

    def parts(self, state: str) -> StoredParts:
        """Return what is stored of a state."""
        if state not in self._present:
            return NOTHING_STORED
        if state not in self._parts:
            self._parts[state] = self.store.parts(state)
        return self._parts[state]

    def has_logs(self, state: str) -> bool:
        """Whether the epochs up to a state have been trained and logged."""
        return self.parts(state).logs

    def has_checkpoint(self, state: str) -> bool:
        """Whether the state itself is stored, to train from."""
        return self.parts(state).checkpoint

    def has_test(self, state: str) -> bool:
        """Whether the test split has been measured in it."""
        return self.parts(state).test

    def metadata(self, state: str) -> dict[str, Any]:
        """Return how the segment that ended in a state was trained."""
        return self.parts(state).metadata

    def start(self, state: str) -> str | None:
        """Return the state from which a state was trained; None is a fresh network."""
        start: str | None = self.metadata(state)["start"]
        return start

    def finished(self, end: str) -> bool:
        """Whether a run that ends in a state is trained and tested, and all of it is stored."""
        if not self.has_test(end):
            return False
        return all(map(self.has_logs, self._back_from(end)))

    def ancestors(self, end: str) -> list[str]:
        """Return the ends of all segments up to a stored state, the first one first."""
        return [*self._back_from(end)][::-1]

    def damaged(self, state: str) -> str:
        """Describe what is wrong with an incomplete state; "" if it is whole or absent."""
        parts = self.parts(state)
        if state not in self._present or (parts.logs and parts.test):
            return ""
        return self.store.damage(state)

    def _back_from(self, end: str) -> Iterator[str]:
        state: str | None = end
        while state:
            yield state
            if not self.has_logs(state):
                return
            state = self.start(state)
