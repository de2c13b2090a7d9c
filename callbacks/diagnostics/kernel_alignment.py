"""Whether what is to be learned lies where the network learns fast."""

import torch
from pytorch_lightning import LightningModule, Trainer
from torch.nn import functional

from callbacks.diagnostics.base import Diagnostic, Measured
from callbacks.diagnostics.function import logits, network_of
from callbacks.diagnostics.kernel import alignment, centred_labels, energy, spectrum, tangent_kernels
from callbacks.diagnostics.layers import by_block
from callbacks.diagnostics.probe import Probe
from timing import Time


class KernelAlignment(Diagnostic):
    """Logs the spectrum of the neural tangent kernel and what lies in its top eigenvectors (Kopitkov & Indelman 2020).

    The trace kernel over classes, on the probe. With k the number of classes, tags: `kernel/eigenvalue`, the largest;
    `kernel/trace`; `kernel/stability`, rate x eigenvalue / (2 x examples), where full-batch descent on squared loss is unstable
    above 1; `kernel/labels`, `kernel/outputs`, `kernel/residuals`: the share of centred one-hot labels, of centred logits and of
    labels less probabilities in the top k eigenvectors (k / examples for random ones); `kernel/alignment` and
    `kernel/alignment/<block>`, kernel-target alignment (Baratin et al. 2021). Costs a gradient of each example for each class,
    more often where per-example gradients of all parameters do not fit into a quarter of a gigabyte.

    Args:
        every: how often.
        early: also after 2, 4, 8, … steps of the first epoch.
        examples: size of the probe.
        impaired: whether the probe has the deficits in force.
    """

    charts = ("kernel/labels", "kernel/outputs", "kernel/residuals", "kernel/eigenvalue", "kernel/stability", "kernel/alignment")

    def __init__(self, every: Time, early: bool = False, examples: int = 256, impaired: bool = False) -> None:
        super().__init__(every, early, examples, impaired)

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
        return measured
