"""What is active when in a run: one question to all that acts over time, and its answers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import ClassVar, NamedTuple, TypeAlias

from plasticity_lab.errors import UserError
from plasticity_lab.history import Answers, Entry, RunHistory
from plasticity_lab.naming import Named
from plasticity_lab.timing import Every, Position, Time

Answer: TypeAlias = str | float | bool | None
"""What a timed part does at a moment, as a plain value; None is nothing."""

_PASSED = "what has passed cannot be changed: start a new run"

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
                self.window = Window(*map(Time, during))

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

    @property
    def at_all_times(self) -> Answer:
        """What it does where it matters whenever it is active."""
        return True

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
        """Return what a part does at `now`, after a batch trained at `before`; False is None.

        Raises:
            UserError: for an answer that no checkpoint could hold.
        """
        answer = part.active(before, now, self.epochs)
        if answer is None or answer is False:
            return None
        if type(answer) not in (bool, int, float, str):
            raise UserError(
                f"{part!r}: active",
                value=answer,
                problem=f"a {type(answer).__name__} is no plain value",
                fix="return True, a number, a text, or None for nothing",
            )
        return answer

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
        path = [Position(epoch, 0) for epoch in range(self.epochs + 1)]
        stages = [sum(time.count(now, self.epochs) for time in stage_times) for now in path]
        before = None
        for now, stage, following in zip(path, stages, stages[1:], strict=False):
            in_last = stage == stages[self.epochs - 1]
            ends = following > stage and now.epoch + 1 < self.epochs
            now = now._replace(stage=stage, in_last_stage=in_last, stage_ends=ends)
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
                # What recurs may have its first moment in the last epoch, at that epoch's end.
                if isinstance(time, Every) and self.active(part, last, last) is not None:
                    continue
                # A window may close with the run.
                if time.reached(end, self.epochs) and self.active(part, last, end) is None:
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
                    fix="set times inside the run, a start before its stop, or remove it",
                )

    def check_history(
        self,
        history: RunHistory,
        locate: Callable[[Position], Position] = lambda position: position,
    ) -> None:
        """Raise UserError for a part that contradicts what was done to the run of a checkpoint.

        A part that names no moments may have been otherwise, and so may what this run has no part
        for.

        Args:
            history: of the checkpoint.
            locate: returns a position with the data stage that its epoch has in this run.
        """
        parts = [part for part in self.parts if part.changes_run and part.times()]
        for entry in history.walk(self.times):
            self._check_entry(entry, parts, history, locate)
        if pending := history.pending:
            acted = [part for part in parts if part.key in history.acted]
            self._check_entry(pending, acted, history, locate)

    def _check_entry(
        self,
        entry: Entry,
        parts: Sequence[Timed],
        history: RunHistory,
        locate: Callable[[Position], Position],
    ) -> None:
        before, now = entry.before and locate(entry.before), locate(entry.now)
        asked = [(part, self.active(part, before, now)) for part in parts]
        mine = [(part.key, answer) for part, answer in asked if answer is not None]
        keys = {part.key for part in parts}
        theirs = [one for one in entry.answers if one[0] in keys]
        for part in parts:
            own, past = _of(part, mine), _of(part, theirs)
            if list(map(_exact, own)) != list(map(_exact, past)):
                raise _contradiction(part, now, past, own, history)
        for recorded in (entry.held, entry.acts):
            past_order = [key for key, _ in recorded if key in keys]
            order = [key for key, _ in mine if key in past_order]
            if order != past_order:
                raise UserError(
                    order[0].split("/")[0],
                    value=", ".join(order),
                    problem=f"at epoch {now.epoch} (step {now.step}) the checkpoint had the order "
                    f"{', '.join(past_order)}",
                    fix=f"{_PASSED}, or keep that order",
                )


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
    been = f"without {part.identity}"
    if theirs:
        been = f"with {part.identity}{_values(theirs)}"
    here = f", which is{_values(mine) or ' active'} here" if theirs and mine else ""
    last = history.last or now
    earlier = history.times_given.get(part.key)
    alternative = ""
    if earlier:
        alternative = f", or keep the checkpoint's {earlier} up to epoch {last.epoch}"
    elif part.times_given and "every" not in part.times_given and part.stage_times is None:
        alternative = f", or set a time after epoch {last.epoch} (step {last.step})"
    return UserError(
        ": ".join((type(part).__name__, *part.times_given)),
        value=" ".join(part.times_given.values()) or part,
        problem=f"at epoch {now.epoch} (step {now.step}) the checkpoint was trained {been}{here}",
        fix=f"{_PASSED}{alternative}",
    )


def _of(part: Timed, answers: Sequence[tuple[str, Answer]]) -> list[Answer]:
    return [answer for key, answer in answers if key == part.key]


def _exact(answer: Answer) -> tuple[bool, Answer]:
    """Return what tells True from 1."""
    return isinstance(answer, bool), answer


def _values(answers: Sequence[Answer]) -> str:
    values = [str(answer) for answer in answers if answer is not True]
    return f" at {', '.join(values)}" if values else ""
