"""Loss and metrics over many batches, kept on the device."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

States = dict[str, dict[str, Tensor]]
"""Sums by name of metric and name of state."""


class MeanLoss(Metric):
    """Mean loss over examples.

    Not `torchmetrics.MeanMetric`: it looks for NaN in every batch, for which a GPU has to be waited
    for, and with `nan_strategy: disable` its version 1.9 leaves the weights out.
    """

    full_state_update = False
    loss: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("loss", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, loss: Tensor, examples: int) -> None:
        """Add a batch: its mean loss (scalar), and of how many examples."""
        self.loss += loss.detach() * examples
        self.count += examples

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.loss / self.count


class Accuracy(Metric):
    """Share of examples whose largest logit is that of their label, in [0, 1].

    Not `torchmetrics.classification.MulticlassAccuracy(average="micro")`, which gives the same
    values more slowly, and has to be told the number of classes.
    """

    full_state_update = False
    correct: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("correct", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: logits (batch, classes) and labels (batch,)."""
        self.correct += (logits.argmax(1) == labels).sum()
        self.count += len(labels)

    def compute(self) -> Tensor:
        """Return the share."""
        return self.correct / self.count


class EpochMetrics(nn.Module):
    """The loss and the metrics of an objective since the last reset.

    Updating waits for nothing and logs nothing; `compute` gives values over all ranks.

    Args:
        metrics: by name, each updated by `(outputs, targets)`, with tensors as states.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        super().__init__()
        self.loss = MeanLoss()
        self.others = nn.ModuleDict(metrics)

    @property
    def metrics(self) -> dict[str, Any]:
        """All by name."""
        return {"loss": self.loss, **self.others}

    @property
    def updated(self) -> bool:
        """Whether anything was added since the last reset."""
        return self.loss.update_called

    def update(self, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: its mean loss (scalar), outputs (batch, …) and targets (batch, …)."""
        self.loss.update(loss, len(targets))
        outputs = outputs.detach()
        for metric in self.others.values():
            metric.update(outputs, targets)  # type: ignore[operator]  # of a Metric

    def compute(self) -> dict[str, Tensor]:
        """Return the values by name."""
        return {name: metric.compute() for name, metric in self.metrics.items()}

    def reset(self) -> None:
        """Begin anew."""
        for metric in self.metrics.values():
            metric.reset()

    def state(self) -> States:
        """Return this rank's sums."""
        return {
            name: {state: getattr(metric, state) for state in metric._defaults}
            for name, metric in self.metrics.items()
        }

    def restore(self, states: States) -> None:
        """Set this rank's sums from `state()`."""
        count = int(states["loss"]["count"])
        for name, metric in self.metrics.items():
            for state, value in states[name].items():
                setattr(metric, state, value.to(metric.device))
            # Otherwise compute() warns that nothing was added.
            metric._update_count = int(count > 0)
