"""What is active when in a run: one question to all that acts over time, and its answers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import ClassVar, NamedTuple, TypeAlias

from plasticity_lab.errors import UserError
from plasticity_lab.history import Answers, Entry, RunHistory
from plasticity_lab.naming import Named
from plasticity_lab.timing import Position, Time

Answer: TypeAlias = str | float | bool | None
"""What a timed part does at a moment, as a plain value; None is nothing."""

Step: TypeAlias = tuple[Position | None, Position]
"""Two positions that follow each other; the first is None at the beginning of a run."""


class Timed(Named, ABC):
    """Something that acts over time: growth, a deficit, an intervention, a diagnostic, your own.

    Your own: subclass, name its moments in `times` and answer in `active`. What it is called by
    (its identity) is taken from the constructor call.

    Attributes:
        section: of the history and of TensorBoard that it stands in.
        changes_run: whether the run with it is another one than the run without. What only
            measures is in no history, and may be added to a run that resumes.
        stage_times: the moments at which data stages begin, of what makes them begin; None of
            anything else.
        may_end_run: whether it may end the run before `max_epochs`.
        knows_length: methods that are given the run's length: who overrides one of them must answer
            for it in `active`, or studies share no epochs.

    Example:
        ```python
        class Freeze(Timed, Callback):
            # Holds the first block still during a window.
            def __init__(self, during: tuple[Time, Time]) -> None:
                self.window = Window(*during)

            def times(self) -> list[Time]:
                return list(self.window)

            def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
                return self.window.open(now, epochs) or None

            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                still = Clock.of(trainer).pending(self) is not None
                pl_module.network.blocks[0].requires_grad_(not still)
        ```
    """

    section: ClassVar[str] = "interventions"
    changes_run: ClassVar[bool] = True
    knows_length: ClassVar[tuple[str, ...]] = ()
    stage_times: Sequence[Time] | None = None
    may_end_run: bool = False

    def times(self) -> Sequence[Time]:
        """Return the moments at which its answer may change; none if it never does."""
        return ()

    @abstractmethod
    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return what it does at a moment, None if nothing.

        A pure function: equal answers are equal deeds. What holds for a while answers the same all
        the time (`True`, or the value that holds), and what is done once answers at that moment
        only.

        Args:
            before: where the batch stood that was trained last; None if none was.
            now: where the next batch stands.
            epochs: epochs of the run.
        """

    @cached_property
    def key(self) -> str:
        """What its answers are recorded under."""
        return f"{self.section}/{self.identity}"


def in_words(part: Timed, answer: Answer) -> str:
    """Return what a part does, as a timeline shows it."""
    if answer is None:
        return f"{part!r} ends"
    return repr(part) if answer is True else f"{part!r}: {answer}"


class Change(NamedTuple):
    """Something that a part begins to do, or does no longer.

    Attributes:
        now: where.
        part: the part.
        answer: what it does; None where it ends.
    """

    now: Position
    part: Timed
    answer: Answer

    def __str__(self) -> str:
        """Return it in words."""
        return in_words(self.part, self.answer)


class RunSchedule:
    """All that acts over time in a run, in the order in which it acts.

    It is the only code that asks what is active when: training, the history in checkpoints, the
    timeline and the sharing of epochs have its answers.

    Args:
        parts: what acts over time.
        epochs: epochs of the run.
    """

    def __init__(self, parts: Iterable[Timed], epochs: int) -> None:
        self.parts = list(parts)
        self.epochs = epochs

    @property
    def times(self) -> list[Time]:
        """All moments that the parts name."""
        return [time for part in self.parts for time in part.times()]

    @property
    def times_given(self) -> dict[str, str]:
        """The times of all parts that change the run, as the config gives them, by their keys."""
        given = {}
        for part in self.parts:
            if part.changes_run and part.times_given:
                arguments = {**part.answered_given, **part.times_given}
                text = "; ".join(f"{word}: {value}" for word, value in arguments.items())
                given[part.key] = f"{text} of {self.epochs} epochs" if "%" in text else text
        return given

    def active(self, part: Timed, before: Position | None, now: Position) -> Answer:
        """Return what a part does at `now`, after a batch trained at `before`."""
        return part.active(before, now, self.epochs)

    def begins(self, part: Timed, before: Position | None, now: Position) -> bool:
        """Whether a part does something at `now` that it would not do if `before` had gone on."""
        earlier = self.active(part, before, before) if before else None
        return self.active(part, before, now) not in (None, earlier)

    def doing(self, before: Position | None, now: Position) -> list[tuple[Timed, Answer]]:
        """Return the parts that do something at `now`, in order, each with what it does."""
        asked = [(part, self.active(part, before, now)) for part in self.parts]
        return [(part, answer) for part, answer in asked if answer is not None]

    def answers(self, before: Position | None, now: Position) -> Answers:
        """Return what all parts that change the run do at `now`, by their keys."""
        doing = self.doing(before, now)
        return tuple((part.key, answer) for part, answer in doing if part.changes_run)

    def changes(self, path: Sequence[Position]) -> Iterator[Change]:
        """Yield what begins at which position of a path, or ends there."""
        for before, now in steps(path):
            for part in self.parts:
                earlier = self.active(part, before, before) if before else None
                answer = self.active(part, before, now)
                if answer != earlier:
                    yield Change(now, part, answer)

    def epoch_starts(self) -> Iterator[tuple[Position | None, Position, bool]]:
        """Yield each epoch's start with the one before it, as far as they are known before a run.

        Steps are not, and are 0. The last value says whether data stages are.
        """
        stage_times = [time for part in self.parts if part.stage_times for time in part.stage_times]
        known = all(time.known(stages_known=False) for time in stage_times)
        path = [Position(epoch, 0) for epoch in range(self.epochs)]
        stages = [sum(time.count(now, self.epochs) for time in stage_times) for now in path]
        before = None
        for now, stage in zip(path, stages, strict=True):
            now = now._replace(stage=stage, in_last_stage=stage == stages[-1])
            yield before, now, known
            before = now

    def signature(
        self, part: Timed, before: Position | None, now: Position, stages_known: bool
    ) -> str | None:
        """Return what runs are compared by, of a part in an epoch; None if it does nothing.

        That is all that it is where it is not known before a run what it does.

        Args:
            part: the part.
            before: start of the epoch before; None of the first.
            now: start of the epoch.
            stages_known: whether it is known when data stages begin.
        """
        if not all(time.known(stages_known) for time in part.times()):
            return f"{part.call} of {self.epochs} epochs"
        answer = self.active(part, before, now)
        return None if answer is None else f"{part.identity}: {answer}"

    def check_length(self, max_epochs: int | None) -> None:
        """Raise UserError for a run of an unknown number of epochs in which something is timed."""
        if self.epochs < 1 and self.times:
            part = next(part for part in self.parts if part.times())
            raise UserError(
                "max_epochs",
                value=max_epochs,
                problem=f"{part!r} acts over time, which needs the number of epochs",
                fix="set it",
            )

    def check_times(self, path: Sequence[Position], last: Position, extent: str) -> None:
        """Raise UserError for a moment that the run never reaches, and for a part that never acts.

        Args:
            path: the positions at which something can change, and the end of the run; only its
                first if the others are not known.
            last: the latest position that the run's last batch can have.
            extent: how long the run is, in words.
        """
        end = Position(self.epochs, last.step + 1, last.stage, last.in_last_stage)
        for part in self.parts:
            # Whether every stage has an epoch is asked by those who know their number.
            times = part.times() if part.changes_run and part.stage_times is None else ()
            for time in times:
                if time.reached(last, self.epochs):
                    continue
                # A window may close with the run.
                if time.reached(end, self.epochs) and not self.active(part, last, end):
                    continue
                word = " ".join(part.times_given)
                raise UserError(
                    f"{part!r}: {word}",
                    value=part.times_given.get(word, ""),
                    problem=f"{time} is never reached: the run has {extent}",
                    fix="set an earlier time",
                )
            several = len(set(times)) > 1 and len(path) > 1
            if several and not any(self.active(part, *step) is not None for step in steps(path)):
                raise UserError(
                    f"{part!r}: {' '.join(part.times_given)}",
                    value=" ".join(part.times_given.values()),
                    problem="is never active",
                    fix="set [start, stop] with start before stop and inside the run",
                )

    def check_history(self, history: RunHistory) -> None:
        """Raise UserError for a part that contradicts what was done to the run of a checkpoint.

        A part that names no moments may have been otherwise, and so may what this run has no part
        for.
        """
        parts = [part for part in self.parts if part.changes_run and part.times()]
        for entry in history.walk(self.times):
            self._check_entry(entry, parts, history)
        if pending := history.pending:
            acted = [part for part in parts if part.key in history.acted]
            self._check_entry(pending, acted, history)

    def _check_entry(self, entry: Entry, parts: Sequence[Timed], history: RunHistory) -> None:
        for part in parts:
            twins = [other for other in parts if other.key == part.key]
            answers = [self.active(twin, entry.before, entry.now) for twin in twins]
            mine = [answer for answer in answers if answer is not None]
            theirs = [answer for key, answer in entry.answers if key == part.key]
            if mine != theirs:
                raise _contradiction(part, entry.now, theirs, mine, history)


def steps(path: Sequence[Position]) -> Iterator[Step]:
    """Yield each position of a path but its end, with the one before it."""
    yield from zip([None, *path[:-2]], path[:-1], strict=True)


def _contradiction(
    part: Timed,
    now: Position,
    theirs: Sequence[Answer],
    mine: Sequence[Answer],
    history: RunHistory,
) -> UserError:
    """Return what a checkpoint did, when, and what to set."""
    been = f"without {part!r}"
    if theirs:
        been = f"with {part!r}{_values(theirs)}"
    here = f", which is{_values(mine) or ' active'} here" if theirs and mine else ""
    last = history.last or now
    earlier = history.times_given.get(part.key)
    way_out = ""
    if earlier:
        way_out = f", or keep the checkpoint's {earlier} up to epoch {last.epoch}"
    elif "every" not in part.times_given:
        way_out = f", or set a time after epoch {last.epoch} (step {last.step})"
    return UserError(
        f"{type(part).__name__}: {' '.join(part.times_given)}",
        value=" ".join(part.times_given.values()),
        problem=f"at epoch {now.epoch} (step {now.step}) the checkpoint was trained {been}{here}",
        fix=f"what has passed cannot be changed: start a new run{way_out}",
    )


def _values(answers: Sequence[Answer]) -> str:
    values = [str(answer) for answer in answers if answer is not True]
    return f" at {', '.join(values)}" if values else ""
