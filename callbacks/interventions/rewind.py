"""Layers returned to an earlier time."""

from typing import Any, Literal

from pytorch_lightning import LightningModule, Trainer
from torch import nn

from callbacks.clock import Clock
from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.redraw_checks import check_parameters_kept
from callbacks.network import unwrap
from lightning_modules.build_optimizer import build_optimizer
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.layer_selection import select_layers
from plasticity_lab.surgery.snapshot import restore, snapshot
from plasticity_lab.timing import Epoch, Time


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
        at: list[Time],
        to: Time,
        last: int | None = None,
        layers: list[str] | None = None,
        optimizer_state: Literal["rewind", "keep"] = "keep",
        learning_rate: Literal["rewind", "keep"] = "keep",
    ) -> None:
        super().__init__(at)
        to = Time(to)
        if to.unit == "stages":
            raise UserError(
                "to",
                value="stages",
                problem="are several moments",
                fix="set one of them, such as 'stage1'",
            )
        for time in self.at:
            if time.unit == to.unit and time.number <= to.number:
                raise UserError("to", to, f"must lie before at: {time}")
        self.to = to
        self.last = last
        self.layers = layers
        self.optimizer_state = optimizer_state
        self.learning_rate = learning_rate
        self._snapshot: dict[str, Any] | None = None

    @property
    def state_key(self) -> str:
        """Distinguish several of them."""
        return repr(self)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and Clock.of(trainer).last is None:
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
        self._chosen(module)

    def in_force(self, epoch: Epoch) -> str | None:
        """Return what is done in an epoch or kept for later."""
        if not epoch.knows(self.to):
            moments = ", ".join(map(str, self.at))
            return f"{self!r} to {self.to} of {epoch.epochs} epochs, at {moments}"
        action = super().in_force(epoch)
        if not self.to.reached(epoch.now, epoch.epochs):
            return action
        taken_now = self.to.crossed(epoch.before, epoch.now, epoch.epochs)
        return f"{self!r}: {'taken' if taken_now else 'kept'}, {action}"

    def times(self) -> list[Time]:
        """Return the moments that it names, that of the snapshot included."""
        return [*self.at, self.to]

    def check_snapshot(self, module: LightningModule, state: dict[str, Any] | None) -> None:
        """Raise UserError unless a checkpoint from after `to` holds the snapshot."""
        if state is None:
            raise UserError(
                "Rewind: to",
                value=self.to,
                problem="has passed at the checkpoint, which does not hold that state",
                fix="start a new run",
            )
        if self.learning_rate == "rewind" and bool(state["schedules"]) != (
            build_optimizer(module).scheduler is not None
        ):
            raise UserError(
                "Rewind: learning_rate",
                value="rewind",
                problem="only one of checkpoint and run has an lr_scheduler",
                fix="set keep",
            )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        clock = Clock.of(trainer)
        position = list(clock.now)
        # A checkpoint may have been written after it was taken, as its batch failed.
        is_taken = self._snapshot and self._snapshot["where"] == position
        if self.to.crossed(clock.last, clock.now, trainer.max_epochs or 0) and not is_taken:
            schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
            state = snapshot(self._chosen(pl_module), trainer.optimizers, schedulers)
            self._snapshot = {"where": position, **state}
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)

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

    def _chosen(self, module: LightningModule) -> dict[str, nn.Module]:
        network = unwrap(module)
        if self.last is None and not self.layers:
            return dict(network.named_modules())
        return select_layers(network, self.last, self.layers)
