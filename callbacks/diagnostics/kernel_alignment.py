"""Whether what is to be learned lies where the network learns fast."""

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.nn import functional

from callbacks.clock import Clock
from callbacks.diagnostics.base import Diagnostic, Measured, NormStatistics
from callbacks.diagnostics.full_kernel import largest_full_eigenvalue, stability
from callbacks.diagnostics.function import logits
from callbacks.diagnostics.invisible import invisible
from callbacks.diagnostics.kernel import alignment, centred_labels, energy, spectrum, tangent_kernels
from callbacks.diagnostics.layers import by_block
from callbacks.diagnostics.probe import Probe
from callbacks.network import network_of
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time


class KernelAlignment(Diagnostic):
    """Logs the spectrum of the neural tangent kernel and what lies in its top eigenvectors (Kopitkov & Indelman 2020).

    The trace kernel over classes, on the probe. With k the number of classes, tags:
    `kernel/eigenvalue`, the largest; `kernel/trace`; `kernel/labels`, `kernel/outputs`,
    `kernel/residuals`: the share of centred one-hot labels, of centred logits and of labels less
    probabilities in the top k eigenvectors (k / examples for random ones); `kernel/alignment` and
    `kernel/alignment/<block>`, kernel-target alignment (Baratin et al. 2021); the figure
    `kernel/energy`, those shares for every k. Costs a gradient of each example for each class, more
    often where per-example gradients of all parameters do not fit into a quarter of a gigabyte.

    The full kernel between all logits of all examples, whose sum over classes the trace kernel is,
    has another largest eigenvalue: `kernel/full_eigenvalue`, by Lanczos to a relative error of 1e-4
    from some ten products of two backward passes. `kernel/stability` is the learning rate in
    force (of the first parameter group, times `LearningRateFactor`) x full eigenvalue / (2 x examples). Full-batch
    gradient descent on squared loss, 1 / (2 x examples) times the sum of squares over examples and
    classes, on the probe, is unstable where it is above 1. The bound is that of momentum 0, no
    weight decay, and outputs that do not depend on the batch. Cross-entropy has another bound, and
    so has momentum: of a run with them `kernel/stability` says how sharp the outputs are for its
    rate, and not whether it is stable.

    Batch norm: statistics are estimated on the probe, as `Diagnostic` says; the paper's
    networks have no batch norm.

    Args:
        every: how often.
        early: also after 2, 4, 8, … steps of the first epoch.
        examples: size of the probe.
        impaired: whether the probe has the deficits in force.
        norm_statistics: of batch norm, as `Diagnostic`.

    Raises:
        UserError: for a network that `torch.func.vmap` cannot take, or that has no second derivatives.
    """

    charts = ("kernel/labels", "kernel/outputs", "kernel/residuals", "kernel/eigenvalue", "kernel/stability", "kernel/alignment")
    tags = (*charts, "kernel/alignment/<block>", "kernel/full_eigenvalue", "kernel/trace")

    def __init__(
        self,
        every: Time,
        early: bool = False,
        examples: int = 256,
        impaired: bool = False,
        norm_statistics: NormStatistics = "estimated",
    ) -> None:
        super().__init__(every, early, examples, impaired, norm_statistics)

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a network whose gradients cannot be taken example by example, or twice."""
        super().check(trainer, module)
        network, data = network_of(module), trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        images = torch.zeros(1, *data.splits.train.shape, device=next(module.parameters()).device)
        with invisible(module):
            try:
                tangent_kernels(network, images)
            except RuntimeError as error:
                raise UserError(
                    "KernelAlignment",
                    problem=f"torch.func.vmap cannot take this network ({_first_line(error)})",
                    fix="leave it out",
                ) from error
            try:
                largest_full_eigenvalue(network, images, data.num_classes, data.seed)
            except RuntimeError as error:
                raise UserError(
                    "KernelAlignment", problem=f"this network has no second derivatives ({_first_line(error)})", fix="leave it out"
                ) from error

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return spectrum, shares and alignments."""
        network, data = network_of(module), trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        kernels = tangent_kernels(network, probe.images)
        whole = torch.stack(list(kernels.values())).sum(0)
        values, vectors = spectrum(whole)
        outputs = logits(network, {}, probe.images).detach().double()
        labels = centred_labels(probe.labels, outputs.shape[1])
        residuals = functional.one_hot(probe.labels, outputs.shape[1]) - outputs.softmax(1)
        targets = {"labels": labels, "outputs": outputs - outputs.mean(0), "residuals": residuals}
        rate = learning_rate(trainer)
        full = largest_full_eigenvalue(network, probe.images, outputs.shape[1], data.seed)
        measured = {
            "kernel/eigenvalue": float(values[0]),
            "kernel/trace": float(values.sum()),
            "kernel/full_eigenvalue": full,
            "kernel/stability": stability(rate, full, len(values)),
            "kernel/alignment": alignment(whole, labels),
        }
        top = min(outputs.shape[1], len(values)) - 1
        measured |= {f"kernel/{name}": float(energy(vectors, target)[top]) for name, target in targets.items() if target.any()}
        for block, names in by_block(network, kernels).items():
            measured[f"kernel/alignment/{block}"] = alignment(torch.stack([kernels[name] for name in names]).sum(0), labels)
        curves = {name: energy(vectors, target) for name, target in targets.items() if target.any()}
        return {**measured, "kernel/energy": picture(curves, trainer.global_step)}


def learning_rate(trainer: Trainer) -> float:
    """Return the rate at which the first parameter group of a run is trained: times what callbacks multiply it by."""
    rate, now = float(trainer.optimizers[0].param_groups[0]["lr"]), Clock.of(trainer).now
    for one in trainer.callbacks:  # type: ignore[attr-defined]  # set by a helper of Trainer
        factor = getattr(one, "learning_rate_factor", None)
        rate *= factor(now, trainer.max_epochs or 0) if factor else 1.0
    return rate


def _first_line(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[0]


def picture(curves: Mapping[str, Tensor], step: int) -> Figure:
    """Draw which share of some targets lies in the span of the top k eigenvectors, k = 1 … examples."""
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.semilogx(range(1, len(curve) + 1), curve, label=name)
    axes.set(xlabel="top eigenvectors of the tangent kernel", ylabel="share within", title=f"after {step} steps", ylim=(0, 1.02))
    axes.legend(frameon=False)
    return figure
