"""Which segment is trained next, and what becomes of one that fails, whoever trains it."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.scheduler import Ended, Progress, Start, train
from plasticity_lab.studies.store import Store


class Kept(Store):
    """A store of what an executor says it has trained."""

    states: ClassVar[set[str]] = set()

    def has_checkpoint(self, state: str) -> bool:
        return state in self.states

    def metadata(self, state: str) -> dict[str, int]:
        return {"stop": 1}


class Script:
    """Trains one segment after the other, each with an outcome of its own.

    Args:
        outcomes: by state, what becomes of each attempt: "" is success, "preempted", "locked",
            "trained" by another runner, anything else a failure. Without any left an attempt
            succeeds.
    """

    def __init__(self, outcomes: dict[str, list[str]]) -> None:
        self.outcomes = outcomes
        self.running: list[tuple[Segment, str]] = []
        self.max_running = 0
        self.attempts: list[str] = []
        self.stopped = False

    def start(self, segment: Segment) -> Start:
        left = self.outcomes.get(segment.end)
        outcome = left.pop(0) if left else ""
        self.attempts.append(f"{segment.end} {outcome}".strip())
        if outcome == "locked":
            return Start.LOCKED
        if outcome == "trained":
            Kept.states.add(segment.end)
            return Start.TRAINED
        self.running.append((segment, outcome))
        self.max_running = max(self.max_running, len(self.running))
        return Start.STARTED

    def wait(self, epoch: Callable[[], None]) -> list[Ended]:
        if not self.running:
            return []
        segment, outcome = self.running.pop(0)
        if outcome == "interrupted":
            raise KeyboardInterrupt
        if not outcome:
            Kept.states.add(segment.end)
            epoch()
        return [Ended(segment, outcome, outcome == "preempted")]

    def stop(self) -> None:
        self.stopped = True


class RecordedEvents(list[str]):
    """What is told, in order."""

    def events(self) -> Progress:
        return Progress(
            lambda: self.append("epoch"),
            lambda segment: self.append(f"{segment.end} done"),
            lambda segment, message: self.append(f"{segment.end} failed: {message}"),
        )


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> None:
    Kept.states = set()


def segment(end: str, start: str | None = None, first: int = 0, stop: int = 1) -> Segment:
    return Segment(start, end, first, stop, 0, True, False)


def scheduled(
    todo: list[Segment], jobs: int = 1, **outcomes: list[str]
) -> tuple[Script, RecordedEvents]:
    script, events = Script(outcomes), RecordedEvents()
    train(todo, Kept(Path()), jobs, events.events(), script)
    assert script.stopped
    return script, events


LINE = [segment("a"), segment("b", "a", 1, 2), segment("long", None, 0, 3)]


def test_each_is_trained_after_its_beginning_and_the_longest_way_first() -> None:
    script, events = scheduled(LINE)
    assert script.attempts == ["long", "a", "b"]
    assert events == ["epoch", "long done", "epoch", "a done", "epoch", "b done"]


def test_as_many_are_trained_at_once_as_there_are_jobs() -> None:
    todo = [segment(name) for name in "abcde"]
    assert [scheduled(todo, jobs)[0].max_running for jobs in (1, 2, 9)] == [1, 2, 5]


def test_one_that_fails_is_tried_twice_and_stops_those_after_it_alone() -> None:
    script, events = scheduled(LINE, a=["no", "still no"])
    assert script.attempts == ["long", "a no", "a still no"]
    assert events == [
        "epoch",
        "long done",
        "a failed: still no",
        "b failed: the segment that it continues from has failed",
    ]
    assert scheduled(LINE, a=["no"])[1][-2:] == ["epoch", "b done"]


def test_one_that_is_preempted_is_started_again_however_often() -> None:
    script, events = scheduled([segment("a")], a=["preempted", "preempted", "no", "preempted"])
    assert script.attempts == ["a preempted", "a preempted", "a no", "a preempted", "a"]
    assert events == ["epoch", "a done"]


def test_what_another_runner_trains_is_waited_for() -> None:
    script, events = scheduled(LINE, 2, a=["locked", "locked", "trained"])
    assert script.attempts == ["long", "a locked", "a locked", "a trained", "b"]
    assert events == ["epoch", "long done", "epoch", "a done", "epoch", "b done"]


def test_all_are_stopped_with_the_scheduler() -> None:
    script = Script({"a": ["interrupted"]})
    with pytest.raises(KeyboardInterrupt):
        train([segment("a")], Kept(Path()), 1, RecordedEvents().events(), script)
    assert script.stopped
