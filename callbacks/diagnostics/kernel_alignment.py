"""Whether what is to be learned lies where the network learns fast."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.full_tangent_kernel import largest_full_eigenvalue, stability
from plasticity_lab.measurements.parameter_groups import group_by_block
from plasticity_lab.measurements.tangent_kernel import (
    alignment,
    eigh_descending,
    energy,
    tangent_kernels,
)


@dataclass(repr=False, eq=False, kw_only=True)
class KernelAlignment(ProbeDiagnostic):
    """Spectrum of the neural tangent kernel, and what lies in its top eigenvectors.

    Kopitkov & Indelman 2020, https://arxiv.org/abs/1910.08720.

    The trace kernel over classes, on the probe. With k the number of classes, tags:
    `kernel/eigenvalue`, the largest; `kernel/trace`; `kernel/labels`, `kernel/outputs`,
    `kernel/residuals`: the share of centred one-hot labels, of centred logits and of labels less
    probabilities in the top k eigenvectors (k / examples for random ones); `kernel/alignment` and
    `kernel/alignment/<block>`, kernel-target alignment (Baratin et al. 2021); the figure
    `kernel/energy`, those shares for every k. Costs a gradient of each example for each class, more
    often where per-example gradients of all parameters do not fit into a quarter of a gigabyte.

    The full kernel between all logits of all examples, whose sum over classes the trace kernel is,
    has another largest eigenvalue: `kernel/full_eigenvalue`, by Lanczos to a relative error of 1e-4
    from some ten products of two backward passes. `kernel/stability` is the active learning rate
    (of the first parameter group, times `LearningRateFactor`) x full eigenvalue / (2 x examples).
    Full-batch gradient descent on squared loss, 1 / (2 x examples) times the sum of squares over
    examples and classes, on the probe, is unstable where it is above 1. The bound is that of
    momentum 0, no weight decay, and outputs that do not depend on the batch. Cross-entropy has
    another bound, and so has momentum: of a run with them `kernel/stability` says how sharp the
    outputs are for its rate, and not whether it is stable.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's
    networks have no batch norm.

    Raises:
        UserError: for a network that `torch.func.vmap` cannot take, or that has no second
            derivatives.

    Example:
        ```yaml
        class_path: callbacks.KernelAlignment
        init_args: {every: 5ep, examples: 256}
        ```
    """

    charts = (
        "kernel/labels",
        "kernel/outputs",
        "kernel/residuals",
        "kernel/eigenvalue",
        "kernel/stability",
        "kernel/alignment",
    )
    tags = (*charts, "kernel/alignment/<block>", "kernel/full_eigenvalue", "kernel/trace")

    examples: int = 256

    def check(self, look: Look) -> None:
        """Refuse a network whose gradients cannot be taken example by example, or twice."""
        _ = look.objective
        inputs = look.probe.inputs[:1]
        try:
            tangent_kernels(look.network, inputs)
        except RuntimeError as error:
            problem = f"torch.func.vmap cannot take it ({_first_line(error)})"
            raise UserError("network", problem=problem, fix="remove it") from error
        try:
            largest_full_eigenvalue(look.network, inputs, look.outputs().shape[1], look.seed)
        except RuntimeError as error:
            problem = f"has no second derivatives ({_first_line(error)})"
            raise UserError("network", problem=problem, fix="remove it") from error

    def measure(self, look: Look) -> Measured:
        """Return spectrum, shares and alignments."""
        outputs = look.outputs().double()
        count = outputs.shape[1]
        kernels = tangent_kernels(look.network, look.probe.inputs)
        kernel = torch.stack(list(kernels.values())).sum(0)
        values, vectors = eigh_descending(kernel)

        # What is to be learned, what the network answers, and the difference.
        one_hot = look.objective.target_matrix(look.probe.targets, count)
        labels = one_hot.double() - one_hot.double().mean(0)
        targets = {
            "labels": labels,
            "outputs": outputs - outputs.mean(0),
            "residuals": one_hot - look.objective.mean(outputs),
        }

        full = largest_full_eigenvalue(look.network, look.probe.inputs, count, look.seed)
        measured = {
            "kernel/eigenvalue": float(values[0]),
            "kernel/trace": float(values.sum()),
            "kernel/full_eigenvalue": full,
            "kernel/alignment": alignment(kernel, labels),
        }
        if look.learning_rate is not None:
            measured["kernel/stability"] = stability(look.learning_rate, full, len(values))
        for block, names in group_by_block(look.network, kernels).items():
            part = torch.stack([kernels[name] for name in names]).sum(0)
            measured[f"kernel/alignment/{block}"] = alignment(part, labels)

        # How much of each lies in the span of the top eigenvectors.
        curves = {name: energy(vectors, part) for name, part in targets.items() if part.any()}
        top = min(count, len(values)) - 1
        for name, curve in curves.items():
            measured[f"kernel/{name}"] = float(curve[top])
        return {**measured, "kernel/energy": plot_energy(curves, look.step)}


def _first_line(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[0]


def plot_energy(curves: Mapping[str, Tensor], step: int) -> Figure:
    """Draw which share of targets lies in the span of the top k eigenvectors, k = 1 … examples."""
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.semilogx(range(1, len(curve) + 1), curve, label=name)
    axes.set(
        xlabel="top eigenvectors of the tangent kernel",
        ylabel="share within",
        title=f"after {step} steps",
        ylim=(0, 1.02),
    )
    axes.legend(frameon=False)
    return figure
