"""Layers returned to an earlier time."""

from collections.abc import Mapping
from typing import Any, Literal

from pytorch_lightning import LightningModule, Trainer
from torch import nn

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.redraw_checks import check_parameters_kept
from callbacks.network import unwrap
from datamodules import ImageDataModule
from lightning_modules.build_optimizer import build_optimizer
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Answer
from plasticity_lab.surgery.layer_selection import select_layers
from plasticity_lab.surgery.snapshot import restore, snapshot
from plasticity_lab.timing import Position, Time

TAKES, KEEPS, RETURNS = "takes the state", "keeps the state", "returns to the state"


class Rewind(OneShot):
    """Returns layers to the run's own state at an earlier time (late rewinding).

    Frankle et al. 2020, https://arxiv.org/abs/1912.05671.

    The state is taken at `to`, before the first batch at or after it, and kept in every checkpoint
    from then on. Changes: the layers' parameters and normalisation statistics; if asked, their
    optimizer state, and rates with their schedule. Keeps: all other layers; the run's
    clock.

    Args:
        at: moments.
        to: the earlier moment.
        last: number of blocks, from the top of the network.
        layers: in place of `last`, names and patterns of layers. Without both, all layers.
        optimizer_state: `rewind` the state of these parameters too, or `keep`.
        learning_rate: `rewind` rates and schedule too, to what they were in the run that took the
            state, or `keep`.
        every: in place of `at`, again and again.

    Raises:
        UserError: if a moment of `at` does not lie after `to`, or a checkpoint from after `to` does
            not hold the state.

    Example:
        ```yaml
        class_path: callbacks.Rewind
        init_args: {at: [60ep], to: 1ep, learning_rate: rewind}
        ```
    """

    def __init__(
        self,
        at: list[Time] | None = None,
        *,
        to: Time,
        last: int | None = None,
        layers: list[str] | None = None,
        optimizer_state: Literal["rewind", "keep"] = "keep",
        learning_rate: Literal["rewind", "keep"] = "keep",
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        to = Time(to)
        if to.unit == "stages":
            raise UserError(
                "to",
                value="stages",
                problem="are several moments",
                fix="set one of them, such as 'stage1'",
            )
        for time in OneShot.times(self):
            if time.unit == to.unit and time.number <= to.number:
                raise UserError("to", to, f"must lie before at: {time}")
        self.to = to
        self.last = last
        self.layers = layers
        self.optimizer_state = optimizer_state
        self.learning_rate = learning_rate
        self._snapshot: dict[str, Any] | None = None

    def begin(self) -> None:
        """Forget the snapshot."""
        self._snapshot = None

    def state_dict(self) -> dict[str, Any]:
        """Return the snapshot, once it is taken."""
        return {"kept": self._snapshot}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the snapshot of a checkpoint."""
        self._snapshot = state_dict["kept"]

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers that do not exist, or whose parameters are replaced meanwhile."""
        check_parameters_kept("Rewind", trainer)
        self._check_order_known(trainer)
        self._chosen(module)

    def times(self) -> list[Time]:
        """Return the moments that it names, that of the snapshot included."""
        return [*super().times(), self.to]

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return whether it takes the state, keeps it or returns to it.

        Raises:
            UserError: if it would return before it has taken it.
        """
        acts = super().active(before, now, epochs)
        if acts and not (before and self.to.reached(before, epochs)):
            raise UserError(
                "Rewind: to",
                value=self.to,
                problem=(
                    f"must lie before every moment of at, and does not before epoch {now.epoch}"
                ),
            )
        if acts:
            return RETURNS
        if self.to.crossed(before, now, epochs):
            return TAKES
        return KEEPS if self.to.reached(now, epochs) else None

    def check_state(self, module: LightningModule, state: Mapping[str, Any]) -> None:
        """Refuse a snapshot with a schedule that the run has not, or without one that it has."""
        kept = state.get("kept")
        if not kept or self.learning_rate == "keep":
            return
        if bool(kept["schedules"]) != (build_optimizer(module).scheduler is not None):
            raise UserError(
                "Rewind: learning_rate",
                value="rewind",
                problem="only one of checkpoint and run has an lr_scheduler",
                fix="set keep",
            )

    def act(self, trainer: Trainer, module: LightningModule, answer: Answer) -> None:
        """Take the state, or return to it."""
        if answer == TAKES:
            schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
            self._snapshot = snapshot(self._chosen(module), trainer.optimizers, schedulers)
        if answer == RETURNS:
            super().act(trainer, module, answer)

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Restore the snapshot."""
        assert self._snapshot is not None
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        restore(
            self._snapshot,
            self._chosen(module),
            trainer.optimizers,
            schedulers,
            optimizer_state=self.optimizer_state == "rewind",
            learning_rate=self.learning_rate == "rewind",
        )

    def _check_order_known(self, trainer: Trainer) -> None:
        """Refuse times of which only the run will tell whether they lie after `to`."""
        data: Any = getattr(trainer, "datamodule", None)
        units = {"ep" if time.unit == "%" else time.unit.removesuffix("s") for time in self.times()}
        known = isinstance(data, ImageDataModule) and not data.stages.waits
        if len(units) > 1 and not known:
            raise UserError(
                "Rewind: to",
                value=self.to,
                problem="whether at lies after it is not known before the run",
                fix="set both in one unit",
            )

    def _chosen(self, module: LightningModule) -> dict[str, nn.Module]:
        network = unwrap(module)
        if self.last is None and not self.layers:
            return dict(network.named_modules())
        return select_layers(network, self.last, self.layers)
