"""Signs of life of a process that trains a segment, in a file that its runner reads."""

import json
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from plasticity_lab.files import write_atomically
from plasticity_lab.studies.files import read_json

FILE = ".life.json"

PULSE = 30.0
"""Seconds after which a process writes how much it has computed."""

TICK = 1.0
"""Seconds after which it writes that epochs have been trained."""

WORK = 1.0
"""Seconds of processor time since the last sign of life that make another one.

A process that is stopped or waits for ever does not reach it.
"""


class Life(NamedTuple):
    """What a process has done so far.

    Attributes:
        epochs: epochs of the run that have been trained.
        computed: seconds of processor time it has used.
    """

    epochs: int = 0
    computed: float = 0.0

    def has_moved_since(self, earlier: "Life") -> bool:
        """Whether it has trained an epoch or computed since."""
        return self.epochs != earlier.epochs or abs(self.computed - earlier.computed) >= WORK


def read_life(place: Path) -> Life | None:
    """Return the last sign of life from a folder; None if there has been none."""
    entry = read_json(place / FILE)
    try:
        return Life(int(entry["epochs"]), float(entry["computed"]))
    except (KeyError, TypeError, ValueError):
        return None


class SignsOfLife:
    """Writes signs of life while its block is running, from a thread of its own.

    Args:
        place: the folder that the segment is trained in.
        epochs: epochs of the run that have been trained before.

    Example:
        ```python
        with SignsOfLife(place, first) as signs:
            train_segment(task, signs.report)
        ```
    """

    def __init__(self, place: Path, epochs: int) -> None:
        self.place = place
        self.epochs = epochs
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_while_alive, daemon=True)

    def report(self, epochs: int) -> None:
        """Tell how many epochs of the run have been trained."""
        self.epochs = epochs

    def __enter__(self) -> "SignsOfLife":
        """Give the first sign."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and leave no file."""
        self._ended.set()
        self._thread.join()
        (self.place / FILE).unlink(missing_ok=True)

    def _write_while_alive(self) -> None:
        written_epochs = -1
        written_at = 0.0
        while True:
            now = time.monotonic()
            if self.epochs != written_epochs or now - written_at >= PULSE:
                written_epochs, written_at = self.epochs, now
                self._write(Life(written_epochs, time.process_time()))
            if self._ended.wait(TICK):
                return

    def _write(self, life: Life) -> None:
        # A full disk ends the training by an error of its own.
        with suppress(OSError), write_atomically(self.place / FILE) as unfinished:
            unfinished.write_text(json.dumps(life._asdict()))
