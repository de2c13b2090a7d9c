"""When a network is measured, and where what was measured goes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from callbacks.clock import Clock
from callbacks.diagnostics.invisible import invisible
from callbacks.diagnostics.probe import Probe, probe
from callbacks.network import network_of
from callbacks.norm_statistics import estimate, frozen_norms
from datamodules import ImageDataModule
from datamodules.naming import Named
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Epoch, Time

Measured = Mapping[str, float | Figure]
"""What was measured, by name: `fisher`, `fisher/layer1`; figures stand among TensorBoard's images."""

NormStatistics = Literal["estimated", "running"]
"""Which mean and variance batch norm uses while a network is measured."""

GROUPS = {"estimated": "diagnostics", "running": "diagnostics_running"}
"""What the tags of values begin with, by the statistics of batch norm that they were measured with."""


class Diagnostic(Named, Callback, ABC):
    """Measures the network before the first batch, again and again, and after the last; a run with it is bitwise the run without.

    After n optimizer steps a value is logged as `diagnostics/<name>` at step n - 1, beside that batch's loss; the one at step 0 is
    of the network before it. Measured in evaluation mode, in full precision (autocast off), uncompiled, on a probe: examples of the
    whole training split, the same throughout the run, not augmented. Where the network's outputs on it are not finite, nothing is.

    Batch norm uses statistics estimated on the probe, by one forward pass more, and the run's own are left as they are. Those
    are 0 and 1 before the first batch and stale for the first epochs and after every reset of them or switch of the data, when
    a network that uses them is another one than the network that is trained. `norm_statistics: running` measures with them
    nevertheless, as evaluation does; its tags begin with `diagnostics_running/` instead of `diagnostics/`.

    Args:
        every: how often: `1ep` after each epoch, `100st` after so many optimizer steps; and after the last epoch.
        early: also after 2, 4, 8, … steps of the first epoch.
        examples: size of the probe.
        impaired: whether the probe has the deficits in force, as training has them.
        norm_statistics: of batch norm: `estimated` on the probe, or the `running` ones. The same for a network without.

    Raises:
        UserError: for another unit, a probe of no examples, or one of a single example to estimate statistics on.

    Attributes:
        charts: names that have a chart of their own on the `Dashboard`, each with its values by block.
        tags: names of all values that it may log, with `<…>` in place of what depends on the run, as in `fisher/trace/<block>`;
            None if that is not known before a run. Studies refuse a metric that nothing logs by them.
        runs_network: whether it looks at what the network makes of the probe, so that statistics of batch norm matter.
    """

    charts: tuple[str, ...] = ()
    tags: tuple[str, ...] | None = None
    runs_network: bool = True

    def __init__(
        self,
        every: Time,
        early: bool = False,
        examples: int = 1000,
        impaired: bool = False,
        norm_statistics: NormStatistics = "estimated",
    ) -> None:
        if every.unit not in ("ep", "st") or not every.number:
            raise UserError("every", value=every, fix="write a number of epochs or steps, such as '1ep' or '100st'")
        if examples < 1:
            raise UserError("examples", value=examples, fix="write 1 or more")
        if examples == 1 and self.runs_network and norm_statistics == "estimated":
            raise UserError(
                "examples", value="1", problem="too few to estimate the statistics of batch norm on", fix="set 2 or more"
            )
        self.every, self.early, self.examples, self.impaired = every, early, examples, impaired
        self.norm_statistics = norm_statistics
        self._probe: Probe | None = None
        self._frozen: set[str] = set()

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Raise UserError, before training, for what this run does not have."""
        if not isinstance(getattr(trainer, "datamodule", None), ImageDataModule):
            raise UserError(type(self).__name__, problem="needs datamodules.ImageDataModule")

    @abstractmethod
    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return what is measured of a network in evaluation mode, with gradients on."""

    @property
    def state_key(self) -> str:
        """What its state is kept by in checkpoints: one with other arguments begins anew."""
        return repr(self)

    def in_force(self, epoch: Epoch) -> str:
        """Return what is logged in an epoch, by which studies tell whether two runs can share it."""
        trained = epoch.now.epoch + 1
        anyway = self.every.unit == "ep" and trained % int(self.every.number) == 0
        return f"{self!r} every {self.every}{' and at the end' * (trained == epoch.epochs and not anyway)}"

    def due(self, epoch: int, epochs: int, before: int, step: int, ends_epoch: bool) -> bool:
        """Whether it is time, after a batch.

        Args:
            epoch: of the batch.
            epochs: of the run; -1 if that is not known.
            before: optimizer steps taken before it.
            step: optimizer steps taken now.
            ends_epoch: whether it is the epoch's last.
        """
        if step < 2:
            return False  # step 0 holds the network before it
        if ends_epoch and epoch + 1 == epochs:
            return True
        if self.early and epoch == 0 and step.bit_length() > before.bit_length():
            return True
        number = int(self.every.number)
        return ends_epoch and (epoch + 1) % number == 0 if self.every.unit == "ep" else step // number > before // number

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if Clock.of(trainer).last is None:
            self._log(trainer, pl_module, 0)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        before, step = Clock.of(trainer).now.step, trainer.global_step
        if self.due(trainer.current_epoch, trainer.max_epochs or -1, before, step, trainer.is_last_batch):
            self._log(trainer, pl_module, step - 1)

    def _log(self, trainer: Trainer, module: LightningModule, step: int) -> None:
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        if self._probe is None or self.impaired:
            self._probe = probe(data, self.examples, self.impaired)
        self._frozen = frozen_norms(network_of(module))
        with invisible(module):
            if self.runs_network and self.norm_statistics == "estimated":
                estimate(network_of(module), self._probe.images, frozen=self._frozen)
            measured = self.measure(trainer, module, self._probe) if _finite(module, self._probe) else {}
        group = GROUPS[self.norm_statistics]
        for logger in trainer.loggers:
            logger.log_metrics(
                {f"{group}/{name}": value for name, value in measured.items() if not isinstance(value, Figure)}, step
            )
            if isinstance(logger, TensorBoardLogger):
                for name, value in measured.items():
                    if isinstance(value, Figure):
                        logger.experiment.add_figure(f"{group}/{name}", value, step)


@torch.no_grad()
def _finite(module: LightningModule, probe: Probe) -> bool:
    """Whether a network has not diverged, in which case its training says so."""
    return bool(module(probe.images).isfinite().all())


def check_diagnostics(trainer: Trainer, module: LightningModule) -> None:
    """Raise UserError, before training, for a diagnostic that this run cannot have, or has twice."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    diagnostics = [one for one in callbacks if isinstance(one, Diagnostic)]
    kinds = [(type(one).__name__, one.norm_statistics) for one in diagnostics]
    for one, kind in zip(diagnostics, kinds, strict=True):
        if kinds.count(kind) > 1:
            raise UserError(kind[0], problem="stands twice in callbacks, and both would log the same tags", fix="remove one")
        one.check(trainer, module)
