"""The directions of largest curvature, and whether gradients stay in them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.hvp import (
    check_twice_differentiable,
    gradient,
    hessian_vector_product,
)
from plasticity_lab.measurements.lanczos import largest_eigenpairs
from plasticity_lab.measurements.subspace import curvature_overlap, share_within, subspace_overlap


@dataclass(repr=False, eq=False, kw_only=True)
class HessianEigenvalues(ProbeDiagnostic):
    """Largest eigenvalues of the Hessian, and the gradient's part in their span.

    Gur-Ari, Roberts & Dyer 2018, https://arxiv.org/abs/1812.04754. The Hessian is that of the mean
    loss of the network in evaluation mode, without weight decay. Tags: `hessian/eigenvalue/1` …;
    `hessian/f_top`, the gradient's share within the span of as many eigenvectors as there are
    classes (outputs); `hessian/overlap`, g·Hg / (|g| |Hg|); `hessian/subspace_overlap/last`, how
    much of that span is in that of the measurement before, and `hessian/subspace_overlap/early`, in
    that of the first one after training began; `hessian/products`, what it took. With `next_span`
    also `hessian/next_subspace_overlap/last` and `/early`, the same of the span of the next as many
    eigenvectors, the paper's control: that of the largest ones lasts, that of the next does not.
    Costs some 20 to 60 products, each two to three gradients of the probe, and memory for as many
    vectors of all parameters; with `next_span`, or for many classes, up to 200 or more. The spans
    are kept in checkpoints, in float16: 2 x classes x parameters, or twice that.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's
    convention is not known; most of its networks have no batch norm.

    Args:
        tolerance: of the eigenvalues, relative to themselves.
        next_span: whether the next as many eigenvectors are followed too.

    Raises:
        UserError: for a tolerance outside (0, 1), or a network without second derivatives.

    Example:
        ```yaml
        class_path: callbacks.HessianEigenvalues
        init_args: {every: 5ep, examples: 512}
        ```
    """

    charts = (
        "hessian/eigenvalue",
        "hessian/f_top",
        "hessian/overlap",
        "hessian/subspace_overlap",
        "hessian/next_subspace_overlap",
    )
    tags = (
        "hessian/eigenvalue/<number>",
        "hessian/f_top",
        "hessian/next_subspace_overlap/early",
        "hessian/next_subspace_overlap/last",
        "hessian/overlap",
        "hessian/products",
        "hessian/subspace_overlap/early",
        "hessian/subspace_overlap/last",
    )

    examples: int = 512
    tolerance: float = 1e-3
    next_span: bool = False

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if not 0 < self.tolerance < 1:
            raise UserError("tolerance", self.tolerance, fix="set a number between 0 and 1")

    def begin(self) -> None:
        """Compare with nothing yet."""
        super().begin()
        self._spans: dict[str, Tensor] = {}

    def check(self, look: Look) -> None:
        """Refuse a network without second derivatives."""
        check_twice_differentiable(look.loss, look.parameters)

    def measure(self, look: Look) -> Measured:
        """Return eigenvalues, and what lies in the span of their vectors."""
        parameters, loss = look.parameters, look.loss
        product, slope = hessian_vector_product(loss, parameters), gradient(loss, parameters)
        start = torch.randn(len(slope), generator=look.generator("lanczos")).to(slope.device)
        classes = min(look.outputs().shape[1], len(slope))
        count = min(2 * classes, len(slope)) if self.next_span else classes
        top = largest_eigenpairs(product, start, count, self.tolerance)
        span = top.vectors[:, :classes]
        measured: dict[str, Any] = {
            f"hessian/eigenvalue/{place}": value
            for place, value in enumerate(top.values[:classes].tolist(), 1)
        }
        measured["hessian/products"] = top.products
        if slope.any():
            measured["hessian/f_top"] = share_within(slope, span)
            measured["hessian/overlap"] = curvature_overlap(slope, product(slope))
        measured |= self._turned("subspace_overlap", "", span, look.step)
        if count > classes:
            following = top.vectors[:, classes:]
            measured |= self._turned("next_subspace_overlap", "next_", following, look.step)
        return measured

    def _turned(self, name: str, kept: str, span: Tensor, step: int) -> dict[str, float]:
        """Return how much of a span is in those of earlier measurements, and keep it."""
        span = span.to(torch.float16).cpu()
        overlaps = {}
        for reference in ("last", "early"):
            earlier = self._spans.get(f"{kept}{reference}")
            if earlier is not None and earlier.shape == span.shape:
                overlap = subspace_overlap(earlier.double(), span.double())
                overlaps[f"hessian/{name}/{reference}"] = overlap
        self._spans[f"{kept}last"] = span
        if step:
            self._spans.setdefault(f"{kept}early", span)
        return overlaps

    def state_dict(self) -> dict[str, Any]:
        """Return the spans that are compared with."""
        return dict(self._spans)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a checkpoint's spans."""
        self._spans = dict(state_dict)
