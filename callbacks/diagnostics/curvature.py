"""The directions of largest curvature, and whether gradients stay in them."""

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.diagnostics.base import Diagnostic, Measured, NormStatistics
from callbacks.diagnostics.function import mean_loss, parameters_of
from callbacks.diagnostics.lanczos import largest_eigenpairs
from callbacks.diagnostics.probe import Probe
from callbacks.diagnostics.products import check_twice_differentiable, gradient, hessian_product
from callbacks.diagnostics.subspace import curvature_overlap, share_within, subspace_overlap
from callbacks.network import network_of
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Time


class Curvature(Diagnostic):
    """Logs the largest eigenvalues of the Hessian of the mean loss, and the gradient's share in their span (Gur-Ari et al. 2018).

    The Hessian is that of the network in evaluation mode, without weight decay. Tags: `hessian/eigenvalue/1` …; `hessian/f_top`,
    the gradient's share within the span of as many eigenvectors as there are classes; `hessian/overlap`, g·Hg / (|g| |Hg|);
    `hessian/subspace_overlap/last`, how much of that span is in that of the measurement before, and
    `hessian/subspace_overlap/early`, in that of the first one after training began; `hessian/products`, what it took. Costs
    some 20 to 60 products, each two to three gradients of the probe, and memory for as many vectors of all parameters. Both
    spans are kept in checkpoints, in float16: 2 x classes x parameters.

    Batch norm: statistics are estimated on the probe, as `Diagnostic` says; the paper's
    convention is not known; most of its networks have no batch norm.

    Args:
        every: how often.
        early: also after 2, 4, 8, … steps of the first epoch.
        examples: size of the probe.
        impaired: whether the probe has the deficits in force.
        tolerance: of the eigenvalues, relative to themselves.
        norm_statistics: of batch norm, as `Diagnostic`.

    Raises:
        UserError: for a tolerance outside (0, 1).
    """

    charts = ("hessian/eigenvalue", "hessian/f_top", "hessian/overlap", "hessian/subspace_overlap")
    tags = (
        "hessian/eigenvalue/<number>",
        "hessian/f_top",
        "hessian/overlap",
        "hessian/products",
        "hessian/subspace_overlap/early",
        "hessian/subspace_overlap/last",
    )

    def __init__(
        self,
        every: Time,
        early: bool = False,
        examples: int = 512,
        impaired: bool = False,
        tolerance: float = 1e-3,
        norm_statistics: NormStatistics = "estimated",
    ) -> None:
        super().__init__(every, early, examples, impaired, norm_statistics)
        if not 0 < tolerance < 1:
            raise UserError("tolerance", value=tolerance, fix="write a number between 0 and 1")
        self.tolerance = tolerance
        self._spans: dict[str, Tensor] = {}

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a network without second derivatives."""
        super().check(trainer, module)
        shape = trainer.datamodule.splits.train.shape  # type: ignore[attr-defined]  # set by a helper of Trainer
        check_twice_differentiable(type(self).__name__, module, shape)

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return eigenvalues, and what lies in the span of their vectors."""
        network, data = network_of(module), trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        parameters, loss = parameters_of(network), mean_loss(network, probe.images, probe.labels)
        product, slope = hessian_product(loss, parameters), gradient(loss, parameters)
        start = torch.randn(len(slope), generator=generator(data.seed, "lanczos")).to(slope.device)
        top = largest_eigenpairs(product, start, min(data.num_classes, len(slope)), self.tolerance)
        span = top.vectors.to(torch.float16).cpu()
        measured: dict[str, Any] = {f"hessian/eigenvalue/{place}": value for place, value in enumerate(top.values.tolist(), 1)}
        measured["hessian/products"] = top.products
        if slope.any():
            measured["hessian/f_top"] = share_within(slope, top.vectors)
            measured["hessian/overlap"] = curvature_overlap(slope, product(slope))
        for when, before in self._spans.items():
            if before.shape == span.shape:
                measured[f"hessian/subspace_overlap/{when}"] = subspace_overlap(before.double(), span.double())
        self._spans["last"] = span
        if trainer.global_step:
            self._spans.setdefault("early", span)
        return measured

    def state_dict(self) -> dict[str, Any]:
        """Return the spans that are compared with."""
        return dict(self._spans)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._spans = dict(state_dict)
