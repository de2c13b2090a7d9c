"""Which training examples are forgotten, and how often (Toneva et al. 2019)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.diagnostics.base import Diagnostic, Measured, check_diagnostic
from callbacks.diagnostics.forgetting_table import write_table
from callbacks.diagnostics.look import Look
from callbacks.diagnostics.run_look import blank_look
from callbacks.diagnostics.training_outputs import TrainingOutputs
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.error_norms import error_norms
from plasticity_lab.measurements.forgetting_statistics import (
    NEVER,
    ForgettingStatistics,
    whole_units,
)
from plasticity_lab.measurements.forgetting_summary import forgetting_summary
from plasticity_lab.measurements.margins import margins

_BARS = 20


def plot_events(counts: ForgettingStatistics) -> Figure:
    """Draw how many examples were forgotten how often, as Toneva et al. 2019, Fig. 3.

    Wrong labels stand on top.

    Those never learned stand apart, those not presented are left out.
    """
    presented, learned, wrong = (
        counts.presentations > 0,
        counts.first_learned != NEVER,
        counts.wrong_label,
    )
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    below = torch.zeros(_BARS + 2, dtype=torch.int64)
    for name, group, colour in (
        ("own label", ~wrong, "tab:blue"),
        ("wrong label", wrong, "tab:red"),
    ):
        bars = torch.bincount(
            counts.forgotten[presented & learned & group].clamp(max=_BARS).cpu(),
            minlength=_BARS + 1,
        )
        heights = torch.cat([bars, (presented & ~learned & group).sum().cpu()[None]])
        if heights.any():
            axes.bar(
                [*range(_BARS + 1), _BARS + 2],
                heights.tolist(),
                bottom=below.tolist(),
                color=colour,
                label=name,
            )
        below += heights
    if (presented & wrong).any():
        axes.legend(frameon=False)
    axes.set_xticks(
        [*range(0, _BARS, 5), _BARS, _BARS + 2],
        [*map(str, range(0, _BARS, 5)), f"{_BARS}+", "never\nlearned"],
    )
    axes.set(xlabel="forgetting events", ylabel="training examples")
    return figure


@dataclass(repr=False, eq=False, kw_only=True)
class Forgetting(Diagnostic):
    """Forgetting events of every training example (Toneva et al. 2019).

    https://arxiv.org/abs/1812.05159

    Whether an example is right is read at its own presentations in training: from the logits of the
    training pass, in training mode and as augmented and impaired, against the labels that training
    is given. No pass is added. (Where a deficit changes labels, its beginning and its end
    therefore count as forgetting what it relabels.) Counting begins with the first batch that it is
    part of.

    Over the examples presented so far `forgetting/events` is the mean of those learned at least
    once: of one never learned the number of events is 0 and says nothing. Shares of all are
    `never_learned`, `unforgettable` (learned and not forgotten) and `learned` (right when last
    presented). Means over all are `aum`, the area under the margin (Pleiss et al. 2020,
    https://arxiv.org/abs/2001.10528: mean over presentations of the logit of the label less the
    largest other one), and `el2n`, the mean over presentations of |softmax - one-hot label|_2; EL2N
    of Paul et al. 2021 (https://arxiv.org/abs/2107.07075) is that of several networks at one early
    epoch. Where a deficit has changed labels, each of these is also logged of the examples
    that training was ever given a wrong label for and of the others (`forgetting/events/wrong`,
    `forgetting/events/right`), with `forgetting/wrong_labels/share`, the share of wrong labels;
    `forgetting/wrong_labels/precision`, their share among as many examples as are forgotten most;
    and `forgetting/wrong_labels/auc`, the probability that one of them ranks above one that is
    right. Examples rank as the authors sort them: by events, and never-learned ones above all.

    At the end of training `forgetting.csv` in the run's directory holds every example, by its place
    in the whole training split, with its rank key (`score`), the label given, whether that is
    wrong, its misclassification margin (mean of the logit of the label less the largest other one
    where it was forgotten), its `aum` and `el2n`, and its events in each data stage. Presentations
    are numbered from 0.

    Every batch is counted, whatever `every` is.

    Raises:
        UserError: for a training step that does not compute its logits by calling the module, or a
            checkpoint of other data.

    Example:
        ```yaml
        class_path: callbacks.Forgetting
        init_args: {every: 1ep}
        ```
    """

    charts = (
        "forgetting/events",
        "forgetting/never_learned",
        "forgetting/unforgettable",
        "forgetting/learned",
        "forgetting/aum",
        "forgetting/el2n",
    )
    tags = (
        *charts,
        *(f"{name}/{labels}" for name in charts for labels in ("wrong", "right")),
        *(f"forgetting/wrong_labels/{name}" for name in ("share", "precision", "auc")),
    )

    def begin(self) -> None:
        """Count nothing yet."""
        self._counts = ForgettingStatistics(torch.zeros(0, dtype=torch.int64))
        self._logits = TrainingOutputs()

    def check_logger(self, trainer: Trainer) -> None:
        """Take any trainer: it writes a file besides."""

    def check(self, look: Look) -> None:
        """Refuse what has no labels, or no numbers of its examples."""
        look.check_classification()
        if look.stage_members is None:
            problem = "do not number their examples"
            raise UserError("data", problem=problem, fix="use datamodules.ImageDataModule")

    def measure(self, look: Look) -> Measured:
        """Return what the counts come to."""
        values = forgetting_summary(self._counts)
        figure = {"forgetting/histogram": plot_events(self._counts)} if values else {}
        return {f"forgetting/{name}": value for name, value in values.items()} | figure

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        state = checkpoint["callbacks"].get(self.state_key)
        if state and len(state["right"]) != len(data.splits.train):
            raise UserError(
                "Forgetting",
                problem=(
                    f"the checkpoint counted {len(state['right'])} examples, here are "
                    f"{len(data.splits.train)}"
                ),
                fix="use its data, or remove Forgetting",
            )
        if state and state.keys() != self._counts.state_dict().keys():
            raise UserError(
                "Forgetting",
                problem="the checkpoint was written by an earlier version, which counted less",
                fix="remove Forgetting, or start a new run",
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Here, since it comes before the base class checks in a Trainer of somebody else.
        check_diagnostic(self, blank_look(trainer, pl_module))
        data: Any = getattr(trainer, "datamodule", None)
        state, begun = self._counts.state_dict(), len(self._counts.right)
        self._counts = ForgettingStatistics(data.splits.train.targets.to(pl_module.device))
        if begun:
            self._counts.load_state_dict(state)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        self._logits.watch(pl_module)

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        self._logits.stop()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        logits = self._logits.take("Forgetting", len(batch.indices))
        right = logits.argmax(1) == batch.targets
        columns = [
            batch.indices.to(right.device),
            batch.targets,
            right,
            whole_units(margins(logits, batch.targets)),
            whole_units(error_norms(logits, batch.targets)),
        ]
        rows = torch.stack([column.long() for column in columns], 1)
        gathered: Any = pl_module.all_gather(rows)  # (batch, 5), or (ranks, batch, 5)
        # Ranks have equal batches, and examples are dealt out to them in turn.
        gathered = gathered.reshape(-1, len(right), 5).transpose(0, 1).reshape(-1, 5)
        indices, targets, correct, units, errors = gathered.unbind(1)
        data: Any = getattr(trainer, "datamodule", None)
        stage = data.now.stage
        own = data.labels_in_stage(indices, stage) if data.differs_by_stage else None
        self._counts.update(indices, targets, correct.bool(), units, errors, stage, own)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a helper of Trainer
            write_table(
                Path(trainer.default_root_dir) / "forgetting.csv", data.splits.train, self._counts
            )

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._logits.stop()

    @property
    def needs_history(self) -> bool:
        """Whether one moment is not enough: every step counts."""
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the counts."""
        return self._counts.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a checkpoint's counts."""
        self._counts.load_state_dict(state_dict)
