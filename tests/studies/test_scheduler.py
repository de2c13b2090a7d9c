"""Which segment is trained next, and what becomes of one that fails, whoever trains it."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from plasticity_lab.errors import UserError
from plasticity_lab.studies import scheduler
from plasticity_lab.studies.outcome import Cause, Outcome
from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.scheduler import Progress, Scheduler
from plasticity_lab.studies.signs_of_life import Life
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.task import Task

NO = Outcome(Cause.FAILED, "no")
KILLED = Outcome(Cause.KILLED, "ended by signal 9")
NO_MEMORY = Outcome(Cause.OUT_OF_MEMORY, "no memory")
DONE = Outcome(Cause.TRAINED)
LOCKED = Outcome(Cause.LOCKED)


class Kept(Store):
    """A store of what an executor says it has trained, and of what another runner trains."""

    states: ClassVar[set[str]] = set()
    entries: ClassVar[dict[str, dict[str, Any]]] = {}
    others: ClassVar[dict[str, int]] = {}
    discarded: ClassVar[list[str]] = []

    def has_checkpoint(self, state: str) -> bool:
        return state in self.states

    def is_trained(self, state: str, test: bool) -> bool:
        return state in self.states

    def is_locked(self, state: str) -> bool:
        """Another runner is done with a state after it was looked for so many times."""
        if state not in self.others:
            return False
        self.others[state] -= 1
        if not self.others[state]:
            del self.others[state]
            self.states.add(state)
        return True

    def metadata(self, state: str) -> dict[str, Any]:
        return self.entries.get(state, {"stop": 1})

    def discard(self, place: Path) -> None:
        self.discarded.append(place.name.split("-")[1])


class Script:
    """Trains one segment after the other, each attempt with an outcome of its own.

    Args:
        outcomes: by state, how each attempt ends; None never does. Without any left it succeeds.
    """

    queues = False

    def __init__(self, outcomes: dict[str, list[Outcome | None]]) -> None:
        self.outcomes = outcomes
        self.running: list[str] = []
        self.beside: list[tuple[str, int]] = []
        self.cancelled: list[str] = []
        self.seconds = 0.0
        self.lives: dict[str, Callable[[float], Life | None]] = {}

    def submit(self, task: Task) -> str:
        self.beside.append((task.state, len(self.running)))
        self.running.append(task.state)
        return task.state

    def wait(self, handles: Collection[str], seconds: float) -> None:
        assert list(handles) == self.running
        self.seconds += seconds

    def poll(self, handle: str) -> Outcome | None:
        if handle != self.running[0]:
            return None
        left = self.outcomes.get(handle)
        outcome = left.pop(0) if left else DONE
        if outcome is None:
            assert left is not None
            left.insert(0, None)
            return None
        if outcome is INTERRUPTED:
            raise KeyboardInterrupt
        self.running.remove(handle)
        if outcome is DONE:
            Kept.states.add(handle)
        if outcome.cause is Cause.START_DAMAGED:
            Kept.states -= {*Kept.entries}
        return outcome

    def cancel(self, handle: str) -> None:
        self.cancelled.append(handle)
        self.running.remove(handle)
        left = self.outcomes.get(handle)
        if left:
            left.pop(0)

    @property
    def attempts(self) -> list[str]:
        return [state for state, _ in self.beside]


INTERRUPTED = Outcome(Cause.FAILED, "interrupted")


class RecordedEvents(list[str]):
    """What is told, in order."""

    def events(self) -> Progress:
        return Progress(
            lambda: self.append("epoch"),
            lambda segment: self.append(f"{segment.end} done"),
            lambda segment, output: self.append(f"{segment.end} failed: {output}"),
            lambda segment, reason: self.append(f"{segment.end} again: {reason}"),
        )

    def last_lines(self) -> list[str]:
        return [
            f"{event.split(':')[0]}: {event.splitlines()[-1]}" if ":" in event else event
            for event in self
            if event != "epoch"
        ]


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> None:
    Kept.states, Kept.entries, Kept.others, Kept.discarded = set(), {}, {}, []


def segment(end: str, start: str | None = None, first: int = 0, stop: int = 1) -> Segment:
    return Segment(start, end, first, stop, 0, True, False)


def task(segment: Segment, place: Path) -> Task:
    return Task(segment.end, segment.start, None, 0, 1, {}, False, 1, str(place))


def scheduled(
    todo: list[Segment],
    jobs: int = 1,
    lives: Mapping[str, Callable[[float], Life | None]] | None = None,
    patience: float = 600.0,
    kind: type[Script] = Script,
    **outcomes: list[Outcome | None],
) -> tuple[Script, RecordedEvents]:
    """Train by a script, whose clock is the only one that there is."""
    script, events = kind(outcomes), RecordedEvents()

    def read_life(place: Path) -> Life | None:
        life = (lives or {}).get(place.name.split("-")[1])
        return life(script.seconds) if life else None

    def sleep(seconds: float) -> None:
        script.seconds += seconds

    clock = SimpleNamespace(monotonic=lambda: script.seconds, sleep=sleep)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduler, "time", clock)
        patch.setattr(scheduler, "read_life", read_life)
        Scheduler(task, Kept(Path()), events.events(), script, jobs, patience).train(todo)
    assert not script.running
    return script, events


LINE = [segment("a"), segment("b", "a", 1, 2), segment("long", None, 0, 3)]


def test_each_is_trained_after_its_beginning_and_the_longest_way_first() -> None:
    script, events = scheduled(LINE)
    assert script.attempts == ["long", "a", "b"]
    assert [event for event in events if event != "epoch"] == ["long done", "a done", "b done"]


@pytest.mark.parametrize(("jobs", "at_once"), [(1, 1), (2, 2), (9, 5)])
def test_as_many_are_trained_at_once_as_there_are_jobs(jobs: int, at_once: int) -> None:
    script, _ = scheduled([segment(name) for name in "abcde"], jobs)
    assert 1 + max(beside for _, beside in script.beside) == at_once


def test_one_that_fails_is_tried_twice_and_stops_those_after_it_alone() -> None:
    script, events = scheduled(LINE, a=[NO, NO])
    assert script.attempts == ["long", "a", "a"]
    assert events.last_lines() == [
        "long done",
        "a again: a again: failed: no",
        "a failed: failed 2 times: no",
        "b failed: b failed: the segment that it continues from has failed",
    ]
    Kept.states = set()
    assert scheduled(LINE, a=[NO])[1][-1] == "b done"


TRIES = {
    Cause.KILLED: 4,
    Cause.OUT_OF_MEMORY: 2,
    Cause.FAILED: 2,
    Cause.REFUSED: 1,
    Cause.NOT_STORED: 1,
}


@pytest.mark.parametrize("cause", TRIES)
def test_how_often_it_is_tried_depends_on_the_cause_which_the_last_line_names(
    cause: Cause,
) -> None:
    script, events = scheduled([segment("a")], a=[Outcome(cause, "first\nlast")] * 9)
    assert len(script.attempts) == TRIES[cause]
    times = f" {TRIES[cause]} times" if TRIES[cause] > 1 else ""
    assert events[-1].startswith("a failed: first\nlast\n")
    assert f"{cause.value}{times}: last" in events[-1].splitlines()[-1]


def test_attempts_are_counted_for_each_cause() -> None:
    ends: list[Outcome | None] = [KILLED, NO, KILLED, NO_MEMORY, KILLED]
    assert scheduled([segment("a")], a=ends)[1][-1] == "a done"


def test_after_lack_of_memory_it_is_alone() -> None:
    todo = [segment(name) for name in "abcd"]
    script, events = scheduled(todo, 2, a=[NO_MEMORY])
    assert script.beside[-1] == ("a", 0), "when nothing else is left"
    assert Counter(script.attempts) == {"a": 2, "b": 1, "c": 1, "d": 1}
    assert "a again: out of memory: no memory; use fewer --jobs" in "\n".join(events)


def test_nothing_is_started_beside_one_that_is_alone() -> None:
    """Another runner gives up a segment meanwhile, which could be started then."""
    Kept.others = {"b": 99}

    class GivenUp(Script):
        def poll(self, handle: str) -> Outcome | None:
            if self.attempts == ["a", "a"]:
                Kept.others.clear()
                return None if self.seconds < 10 else super().poll(handle)
            return super().poll(handle)

    script, _ = scheduled([segment("a", stop=2), segment("b")], 2, kind=GivenUp, a=[NO_MEMORY])
    assert script.beside == [("a", 0), ("a", 0), ("b", 0)]


def test_one_that_hangs_is_ended_and_tried_again() -> None:
    script, events = scheduled([segment("a")], patience=120.0, a=[None, None])
    assert script.cancelled == ["a", "a"]
    assert 240 < script.seconds < 250
    assert events[-1].splitlines()[-1] == (
        "hung 2 times: no sign of life for 2 minutes; "
        "if it only computes for long, set a longer --patience"
    )
    assert Kept.discarded == ["a", "a"]


@pytest.mark.parametrize(
    ("life", "hangs"),
    [
        (lambda seconds: Life(0, seconds / 50), False),
        (lambda seconds: Life(int(seconds / 100), 0.0), False),
        (lambda seconds: Life(0, 0.5 + 0.001 * seconds), True),
    ],
    ids=["computes", "counts epochs", "waits for ever"],
)
def test_computing_and_epochs_are_signs_of_life(life: Callable[[float], Life], hangs: bool) -> None:
    """The segment ends after 1000 seconds."""

    class Slow(Script):
        def poll(self, handle: str) -> Outcome | None:
            return super().poll(handle) if self.seconds > 1000 else None

    lives = {"a": life}
    script, _ = scheduled([segment("a", stop=99)], lives=lives, patience=120.0, kind=Slow)
    assert bool(script.cancelled) == hangs


def test_one_that_waits_in_a_queue_is_not_silent() -> None:
    class Queue(Script):
        queues = True

        def poll(self, handle: str) -> Outcome | None:
            return super().poll(handle) if self.seconds > 1000 else None

    assert not scheduled([segment("a")], patience=120.0, kind=Queue)[0].cancelled


def test_epochs_are_counted_while_they_are_trained_and_each_once() -> None:
    Kept.entries = {"a": {"stop": 8}}
    _, events = scheduled(
        [segment("a", first=3, stop=8)], lives={"a": lambda seconds: Life(5, 0.0)}, a=[NO]
    )
    assert events == ["epoch", "epoch", "a again: failed: no", *["epoch"] * 3, "a done"]


def test_what_another_runner_trains_is_waited_for_and_others_are_trained_meanwhile() -> None:
    Kept.others = {"a": 3}
    script, events = scheduled(LINE, 2)
    assert script.attempts == ["long", "b"]
    assert [event for event in events if event != "epoch"] == ["long done", "a done", "b done"]


def test_one_that_another_runner_was_faster_to_lock_is_come_back_to() -> None:
    script, events = scheduled(LINE, a=[LOCKED, LOCKED])
    assert script.attempts == ["long", "a", "a", "a", "b"]
    assert [event for event in events if event != "epoch"] == ["long done", "a done", "b done"]


def test_a_start_that_cannot_be_read_is_trained_again_and_those_before_it_that_are_gone() -> None:
    Kept.entries = {
        "s": {"start": "r", "first": 2, "stop": 4},
        "r": {"start": None, "first": 0, "stop": 2},
    }
    Kept.states = {"s", "r"}
    damaged = Outcome(Cause.START_DAMAGED, "s/state.ckpt is damaged")
    script, events = scheduled([segment("a", "s", 4, 5)], a=[damaged])
    assert script.attempts == ["a", "r", "s", "a"]
    assert events[0] == "a again: the state before it is damaged: s/state.ckpt is damaged"
    assert events[-1] == "a done"

    # Not for ever, on a disk that is broken.
    script, events = scheduled([segment("z", "s", 4, 5)], z=[damaged] * 9)
    assert script.attempts == ["z", "r", "s", "z"]
    assert "z failed" in events[-1]


def test_more_jobs_than_a_cluster_takes_are_submitted_later() -> None:
    class Full(Script):
        room = 2

        def submit(self, task: Task) -> str:
            if len(self.running) == self.room:
                raise UserError("slurm", problem="sbatch: QOSMaxSubmitJobPerUserLimit")
            return super().submit(task)

    script, _ = scheduled([segment(name) for name in "abcd"], 4, kind=Full)
    assert sorted(script.attempts) == [*"abcd"]
    assert max(beside for _, beside in script.beside) == 1

    Kept.states = set()
    Full.room = 0
    with pytest.raises(UserError, match="QOSMaxSubmitJobPerUserLimit"):
        scheduled([segment("a")], kind=Full)


def test_all_are_ended_with_the_scheduler() -> None:
    script = Script({"a": [INTERRUPTED]})
    events = RecordedEvents().events()
    with pytest.raises(KeyboardInterrupt):
        Scheduler(task, Kept(Path()), events, script, 2).train([segment("a"), segment("b")])
    assert script.cancelled == ["a", "b"]
    assert Kept.discarded == ["a", "b"]
