"""The segments that wait to be trained, and which of them can be."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count

from plasticity_lab.studies.plan import Segment, epochs_to_follow


class WaitingSegments:
    """Segments in the order in which they are trained: those with most epochs to follow first.

    Each is looked at when it is added, and when the segment that it continues from is trained: a
    study may have ten thousand.

    Args:
        todo: the segments.
        is_stored: whether the state with an id is stored, to train from.
    """

    def __init__(self, todo: Sequence[Segment], is_stored: Callable[[str], bool]) -> None:
        self._is_stored = is_stored
        self._stored: set[str] = set()
        self._epochs_left = epochs_to_follow(todo)
        self._order = count()
        self._ready: list[tuple[int, int, Segment]] = []
        self._blocked = defaultdict[str, list[Segment]](list)
        pending = {segment.end for segment in todo}
        for segment in todo:
            self._add(segment, pending)

    def add(self, segment: Segment) -> None:
        """Let a segment wait, again or as one more."""
        self._add(segment, set())

    def add_before(self, segment: Segment, following: Segment) -> None:
        """Let a segment wait that another one, which waits, continues from."""
        length = segment.stop - segment.first
        self._epochs_left[segment.end] = length + self._epochs_left[following.end]
        self.add(segment)

    def pop(self) -> Segment | None:
        """Return the next segment that can be trained, which waits no longer; None if none can."""
        return heappop(self._ready)[2] if self._ready else None

    def blocked(self) -> list[Segment]:
        """Return the segments whose start is not stored."""
        return [segment for segments in self._blocked.values() for segment in segments]

    def is_waiting(self, end: str) -> bool:
        """Whether the segment that ends in a state waits."""
        ready = (segment.end for _, _, segment in self._ready)
        return end in ready or end in {segment.end for segment in self.blocked()}

    def release(self, state: str) -> None:
        """Note that a state is stored: what continues from it can be trained."""
        self._stored.add(state)
        for segment in self._blocked.pop(state, ()):
            self._push(segment)

    def forget(self, state: str) -> None:
        """Note that a state is not stored any more."""
        self._stored.discard(state)

    def release_stored(self) -> None:
        """Release what continues from states that another process has stored."""
        for state in list(self._blocked):
            if self._is_stored(state):
                self.release(state)

    def _add(self, segment: Segment, pending: set[str]) -> None:
        start = segment.start
        if start is None or start in self._stored:
            self._push(segment)
        elif start in pending and start != segment.end:
            self._blocked[start].append(segment)
        elif self._is_stored(start):
            self._stored.add(start)
            self._push(segment)
        else:
            self._blocked[start].append(segment)

    def _push(self, segment: Segment) -> None:
        heappush(self._ready, (-self._epochs_left[segment.end], next(self._order), segment))
