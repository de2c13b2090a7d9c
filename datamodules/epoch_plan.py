"""A run's data over time, known before it runs: what changes when."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from datamodules.data_schedule import DataSchedule, DataState
from datamodules.growth.stage_schedule import StageSchedule
from datamodules.loading.sharding import shard_batches
from plasticity_lab.timing import Position, Time


@dataclass(frozen=True)
class EpochPlan:
    """The epochs of a run: their lengths, and where in the run something changes.

    Attributes:
        schedule: what the network is shown over time.
        batch_size: examples in a batch of one rank.
        drop_last: whether an epoch's last, smaller batch is left out.
        ranks: number of ranks.
        limit: Lightning's `limit_train_batches`: batches if it is an int, a share of them if a
            float.
        accumulation: batches for each optimizer step.
        max_epochs: of the run; 0 if that is not known.
        max_steps: of the run; -1 is without a limit.
    """

    schedule: DataSchedule
    batch_size: int
    drop_last: bool
    ranks: int
    limit: int | float
    accumulation: int
    max_epochs: int
    max_steps: int

    @property
    def waits(self) -> bool:
        """Whether stages wait for the network, so that their beginnings are not known before."""
        return self.schedule.stages.waits

    def starts(self) -> list[Position]:
        """Return the start of every epoch, and the end of the run.

        Where stages wait for the network: those were the next stage never to come.
        """
        now, starts = Position(0, 0), []
        limited = self.max_steps >= 0
        while now.epoch < self.max_epochs and not (limited and now.step >= self.max_steps):
            now = now._replace(stage=self.schedule.stages.stage(now.epoch))
            starts.append(now)
            now = Position(now.epoch + 1, now.step + self.steps(now.stage), now.stage)
        return [*starts, self._limited(now)]

    def batches(self, examples: int) -> list[Tensor]:
        """Cut an epoch of so many examples into batches.

        It needs no loader: Lightning may still have to start the ranks.
        """
        order = torch.arange(examples)
        return shard_batches(
            order, self.batch_size, 0, self.ranks, drop_remainder=True, drop_last=self.drop_last
        )

    def steps(self, stage: int) -> int:
        """Return the number of optimizer steps of an epoch in a stage."""
        batches = len(self.batches(self.schedule.stages.sizes[stage]))
        most = self.limit if isinstance(self.limit, int) else int(batches * self.limit)
        return math.ceil(min(batches, most) / self.accumulation)

    def positions(self, times: Iterable[Time] = ()) -> list[Position]:
        """Return every position at which something can change, and the end of the run.

        Args:
            times: other times at which something changes besides the data.
        """
        starts = self.starts()
        windows = [time for _, window in self.schedule.transforms.windows for time in window]
        named = [int(time.number) for time in [*times, *windows] if time.unit == "st"]
        steps = [step for step in named if step < starts[-1].step]
        before = [max(start for start in starts if start.step <= step) for step in steps]
        inside = [start._replace(step=step) for start, step in zip(before, steps, strict=True)]
        return sorted({*starts, *inside})

    def latest(self) -> Position:
        """Return the end of the run; where stages wait for the network, the furthest possible."""
        end = self.starts()[-1]
        if not self.waits:
            return end
        stage = len(self.schedule.stages.sizes) - 1
        return self._limited(Position(end.epoch, end.epoch * self.steps(stage), stage))

    def _limited(self, end: Position) -> Position:
        if self.max_steps < 0:
            return end
        return end._replace(step=min(end.step, self.max_steps))

    def changes(self, path: Sequence[Position]) -> Iterator[tuple[Position, DataState]]:
        """Yield each position of a path at which the data change, with their state from then on."""
        before = None
        for now in path[:-1]:
            shown = self.schedule.in_force(now)
            if shown != before:
                yield now, shown
            before = shown

    def table(self, path: Sequence[Position], events: Mapping[Position, Sequence[str]]) -> str:
        """Return the run's schedule as text.

        Args:
            path: the positions at which something can change, and the end.
            events: what else is done at some of them.
        """
        titles = ("epoch", "step", "stage", "examples", "steps/epoch", "deficits", "augmentation")
        rows: list[tuple[str, ...]] = [(*titles, "interventions")]
        changed = dict(self.changes(path))
        for now in path[:-1]:
            if now in changed or now in events:
                rows.append((*self._row(now), ", ".join(events.get(now, []))))
        rows.append((*self._last_row(path[-1]), ""))
        if not events:
            rows = [row[:-1] for row in rows]

        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            lines.append("  ".join(cells).rstrip())
        if self.schedule.stages.growth:
            lines.append(growth_line(self.schedule.stages))
        return "\n".join(lines)

    def _row(self, now: Position) -> tuple[str, ...]:
        shown, augmentation = self.schedule.in_force(now), self.schedule.transforms.augmentation
        numbers = (now.step, shown.stage, shown.examples, self.steps(shown.stage))
        # Where stages wait for the network, only the first epoch's are known.
        known = ("?",) * 4 if self.waits and now.epoch else tuple(map(str, numbers))
        share = f" ({shown.augmented:g})" if 0 < shown.augmented < 1 else ""
        augmented = f"{type(augmentation).__name__}{share}" if shown.augmented else "-"
        return (str(now.epoch), *known, ", ".join(shown.deficits) or "-", augmented)

    def _last_row(self, end: Position) -> tuple[str, ...]:
        growth = self.schedule.stages.growth
        open_end = bool(growth and growth.until and not growth.until.to_the_cap)
        epoch = f"<={end.epoch}" if open_end else str(end.epoch)
        return (epoch, "?" if self.waits else str(end.step), "end", "", "", "", "")


def growth_line(stages: StageSchedule) -> str:
    """Return how the data grow, in words."""
    sizes, until = ", ".join(map(str, stages.sizes)), stages.growth and stages.growth.until
    line = f"{stages.growth!r}: {sizes} examples"
    if until:
        limit = f", or at most {until.at_most}" if until.at_most else ""
        line += (
            f"; each stage lasts until an epoch's train/accuracy reaches "
            f"{until.train_accuracy}{limit}"
        )
        last = f"the last stage lasts {until.last}" if until.last else "the last stage too"
        end = f", and the run ends with it, at the latest after {stages.epochs} epochs (max_epochs)"
        line += (
            f"; the last stage lasts to max_epochs: {stages.epochs}"
            if until.to_the_cap
            else f"; {last}{end}"
        )
    return line
