"""Which training examples are forgotten, and how often (Toneva et al. 2019)."""

import csv
import os
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from callbacks.diagnostics.base import Diagnostic, Measured
from callbacks.diagnostics.forgetting_statistics import NEVER, ForgettingStatistics
from callbacks.diagnostics.probe import Probe
from datamodules.images import Images, Subset
from errors import UserError
from timing import Time

_BARS = 20


def summary(counts: ForgettingStatistics) -> dict[str, float]:
    """Return means over the examples presented so far: `events` of each, and shares in [0, 1]; nothing if there are none."""
    seen = counts.presentations > 0
    if not seen.any():
        return {}
    values = {
        "events": counts.forgotten,
        "never_learned": counts.first_learned == NEVER,
        "unforgettable": counts.unforgettable,
        "learned": counts.right,
    }
    return {name: float(value[seen].double().mean()) for name, value in values.items()}


def histogram(counts: ForgettingStatistics) -> Figure:
    """Draw how many examples have been forgotten how often; those never learned stand apart, those not presented are left out."""
    learned = counts.forgotten[counts.first_learned != NEVER].clamp(max=_BARS).cpu()
    never = int(((counts.first_learned == NEVER) & (counts.presentations > 0)).sum())
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(_BARS + 1), torch.bincount(learned, minlength=_BARS + 1).tolist(), label="learned")
    axes.bar(_BARS + 2, never, color="0.5", label="never learned")
    axes.set_xticks([*range(0, _BARS, 5), _BARS, _BARS + 2], [*map(str, range(0, _BARS, 5)), f"{_BARS}+", "never\nlearned"])
    axes.set(xlabel="forgetting events", ylabel="training examples")
    return figure


def write_table(path: Path, images: Images, counts: ForgettingStatistics) -> None:
    """Write a row for each example, whole or not at all; a cell is empty where there is no such presentation.

    Args:
        path: of the CSV file.
        images: what was trained on; of a subset the column `index` is the place in the whole split.
        counts: of it.
    """
    places = images.indices if isinstance(images, Subset) else torch.arange(len(images))
    state = counts.state_dict()
    stages = [f"events_stage{stage}" for stage in range(state["events"].shape[1])]
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "label", "presentations", "first_learned", "last_wrong", "learned", "events", *stages])
        columns = [
            places,
            images.labels,
            state["presentations"],
            state["first_learned"],
            state["last_wrong"],
            counts.learned,
            counts.forgotten,
        ]
        rows = zip(*(column.tolist() for column in columns), state["events"].tolist(), strict=True)
        for index, label, presentations, first, last, learned, forgotten, by_stage in rows:
            cells = [first if first != NEVER else "", last if last >= 0 else "", learned, forgotten, *by_stage]
            writer.writerow([index, label, presentations, *cells])
    beside.replace(path)


class Forgetting(Diagnostic):
    """Forgetting events of every training example (Toneva et al. 2019, https://arxiv.org/abs/1812.05159).

    Whether an example is right is seen at its own presentations in training: in training mode, as augmented and impaired, by the
    logits that the update follows from, against the labels that training is given; no pass is added. Over the examples presented
    so far `forgetting/events` is a mean, and shares are `never_learned`, `unforgettable` (learned and not forgotten) and `learned`
    (right when last presented). At the end of training `forgetting.csv` in the run's directory holds every example, by its place in
    the whole training split, with its events in each data stage; presentations are numbered from 0. Counting begins with the first
    batch that it is part of.

    Args:
        every: how often it is logged, as `Diagnostic`; counted is every batch.

    Raises:
        UserError: for a training step that does not compute its logits by calling the module, or a checkpoint of other data.
    """

    charts = ("forgetting/events", "forgetting/never_learned", "forgetting/unforgettable", "forgetting/learned")
    runs_network = False
    tags = charts

    def __init__(self, every: Time) -> None:
        super().__init__(every, examples=1)
        self._counts = ForgettingStatistics(0, torch.device("cpu"))
        self._predicted: Tensor | None = None
        self._hook: RemovableHandle | None = None

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return what the counts come to."""
        values = summary(self._counts)
        figure = {"forgetting/histogram": histogram(self._counts)} if values else {}
        return {f"forgetting/{name}": value for name, value in values.items()} | figure

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        state = checkpoint["callbacks"].get(self.state_key)
        if state and len(state["right"]) != len(data.splits.train):
            raise UserError(
                f"Forgetting: the checkpoint counted {len(state['right'])} examples, here are {len(data.splits.train)}; "
                "go on with its data, or leave it out"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        state, begun = self._counts.state_dict(), len(self._counts.right)
        self._counts = ForgettingStatistics(len(data.splits.train), pl_module.device)
        if begun:
            self._counts.load_state_dict(state)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        self._predicted = None
        self._hook = pl_module.register_forward_hook(self._keep)  # not on its network, where a compiler would meet it

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 2:  # under DDP the training step's loss comes by too
            self._predicted = output.detach().argmax(1)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self._let_go()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._let_go()
        if self._predicted is None or len(self._predicted) != len(batch.indices):
            raise UserError("Forgetting: the training step does not call the module; let it compute logits by self(images)")
        right = self._predicted == batch.labels
        coded: Any = pl_module.all_gather(2 * batch.indices.to(right.device) + right)  # (batch,), or (ranks, batch)
        coded = coded.reshape(-1, len(right)).T.reshape(-1)  # ranks have equal batches, dealt out in turn
        data: Any = getattr(trainer, "datamodule", None)
        self._counts.update(coded // 2, coded % 2 == 1, data.now.stage)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a helper of Trainer
            write_table(Path(trainer.default_root_dir) / "forgetting.csv", data.splits.train, self._counts)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._let_go()

    def _let_go(self) -> None:
        if self._hook is not None:
            self._hook.remove()

    def state_dict(self) -> dict[str, Any]:
        """Return the counts."""
        return self._counts.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's counts."""
        self._counts.load_state_dict(state_dict)
