"""Whether what is to be learned lies where the network learns fast."""

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.nn import functional

from callbacks.diagnostics.base import Diagnostic, Measured, NormStatistics
from callbacks.diagnostics.function import logits
from callbacks.diagnostics.invisible import invisible
from callbacks.diagnostics.kernel import alignment, centred_labels, energy, spectrum, tangent_kernels
from callbacks.diagnostics.layers import by_block
from callbacks.diagnostics.probe import Probe
from callbacks.network import network_of
from errors import UserError
from timing import Time


class KernelAlignment(Diagnostic):
    """Logs the spectrum of the neural tangent kernel and what lies in its top eigenvectors (Kopitkov & Indelman 2020).

    The trace kernel over classes, on the probe. With k the number of classes, tags: `kernel/eigenvalue`, the largest;
    `kernel/trace`; `kernel/stability`, rate x eigenvalue / (2 x examples), where full-batch descent on squared loss is unstable
    above 1; `kernel/labels`, `kernel/outputs`, `kernel/residuals`: the share of centred one-hot labels, of centred logits and of
    labels less probabilities in the top k eigenvectors (k / examples for random ones); `kernel/alignment` and
    `kernel/alignment/<block>`, kernel-target alignment (Baratin et al. 2021); the figure `kernel/energy`, those shares for
    every k. Costs a gradient of each example for each class,
    more often where per-example gradients of all parameters do not fit into a quarter of a gigabyte.

    Args:
        every: how often.
        early: also after 2, 4, 8, … steps of the first epoch.
        examples: size of the probe.
        impaired: whether the probe has the deficits in force.
        norm_statistics: of batch norm, as `Diagnostic`.

    Raises:
        UserError: for a network that `torch.func.vmap` cannot take.
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
        """Refuse a network whose gradients cannot be taken example by example."""
        super().check(trainer, module)
        shape = trainer.datamodule.splits.train.shape  # type: ignore[attr-defined]  # set by a helper of Trainer
        with invisible(module):
            try:
                tangent_kernels(network_of(module), torch.zeros(1, *shape, device=next(module.parameters()).device))
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[0]
                raise UserError(f"KernelAlignment: torch.func.vmap cannot take this network ({reason}); leave it out") from error

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return spectrum, shares and alignments."""
        network = network_of(module)
        kernels = tangent_kernels(network, probe.images)
        whole = torch.stack(list(kernels.values())).sum(0)
        values, vectors = spectrum(whole)
        outputs = logits(network, {}, probe.images).detach().double()
        labels = centred_labels(probe.labels, outputs.shape[1])
        residuals = functional.one_hot(probe.labels, outputs.shape[1]) - outputs.softmax(1)
        targets = {"labels": labels, "outputs": outputs - outputs.mean(0), "residuals": residuals}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        measured = {
            "kernel/eigenvalue": float(values[0]),
            "kernel/trace": float(values.sum()),
            "kernel/stability": float(rate * values[0] / (2 * len(values))),
            "kernel/alignment": alignment(whole, labels),
        }
        top = min(outputs.shape[1], len(values)) - 1
        measured |= {f"kernel/{name}": float(energy(vectors, target)[top]) for name, target in targets.items() if target.any()}
        for block, names in by_block(network, kernels).items():
            measured[f"kernel/alignment/{block}"] = alignment(torch.stack([kernels[name] for name in names]).sum(0), labels)
        curves = {name: energy(vectors, target) for name, target in targets.items() if target.any()}
        return {**measured, "kernel/energy": picture(curves, trainer.global_step)}


def picture(curves: Mapping[str, Tensor], step: int) -> Figure:
    """Draw which share of some targets lies in the span of the top k eigenvectors, k = 1 … examples."""
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.semilogx(range(1, len(curve) + 1), curve, label=name)
    axes.set(xlabel="top eigenvectors of the tangent kernel", ylabel="share within", title=f"after {step} steps", ylim=(0, 1.02))
    axes.legend(frameon=False)
    return figure
