"""Margins of classification."""

from collections.abc import Iterable

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.diagnostics.base import Diagnostic, Measured
from callbacks.diagnostics.function import norm
from callbacks.diagnostics.layers import trained
from callbacks.diagnostics.probe import Probe


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logit of the label minus the largest other one, (examples,): below 0 where the prediction is wrong.

    Args:
        logits: (examples, classes), two classes or more.
        labels: int64 (examples,).
    """
    own = labels[:, None]
    return logits.gather(1, own).squeeze(1) - logits.scatter(1, own, -torch.inf).amax(1)


def lowest_tenth(margins: Tensor) -> float:
    """Return the (n // 10)-th smallest of n margins; the smallest of fewer than ten."""
    return float(margins.sort().values[max(len(margins) // 10, 1) - 1])


def weight_norm(parameters: Iterable[Tensor]) -> float:
    """Return the Euclidean norm of all weights together: parameters of more than one dimension, not biases or batch norm's."""
    return float(norm(one.detach() for one in parameters if one.ndim > 1))


def histogram(values: Tensor) -> Figure:
    """Draw how margins are distributed."""
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist(values.cpu().numpy(), bins=50, color="tab:blue")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("margin (logit of the label minus the largest other)")
    axes.set_ylabel("examples")
    return figure


class Margins(Diagnostic):
    """Margins of the probe: 10 % quantile, median and share below 0, as they are and over the norm of the weights.

    The 10 % quantile of n margins is the (n // 10)-th smallest (the smallest of fewer than ten), as in
    nitarshan/robust-generalization-measures, the code of Dziugaite et al. 2020; the median is
    interpolated linearly. The margin over |w|, of all trained weights, is the simplest of those normalised
    (cf. Bartlett et al. 2017, Jiang et al. 2020). Alabdulmohsin et al. 2021 (https://arxiv.org/abs/2109.00267) find that margins
    grow under layer-wise resets while the norm does not. Batch norm is not folded into the weights. One forward pass. Values:
    `margin/q10`, `margin/median`, `margin/negative`, `normalised_margin/q10`, `normalised_margin/median`; picture: `margins`.

    Batch norm: statistics are estimated on the probe, as `Diagnostic` says; reference code
    folds running statistics into the weights; the convention of Alabdulmohsin et al. is not
    known.
    """

    charts = ("margin", "normalised_margin")
    tags = (
        "margin/median",
        "margin/negative",
        "margin/q10",
        "normalised_margin/median",
        "normalised_margin/q10",
    )

    @torch.no_grad()
    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return quantiles, share and histogram."""
        found = margins(module(probe.images), probe.labels).double()
        low, middle = lowest_tenth(found), float(found.quantile(0.5))
        size = weight_norm(trained(module).values())
        return {
            "margin/q10": low,
            "margin/median": middle,
            "margin/negative": float((found < 0).double().mean()),
            "normalised_margin/q10": low / size,
            "normalised_margin/median": middle / size,
            "margins": histogram(found),
        }
