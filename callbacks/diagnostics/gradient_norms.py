"""Whether old or new data drive training, by the norms of their gradients."""

from dataclasses import dataclass

import torch
from torch import Tensor

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.gradient_norms import mean_gradient_norm


@dataclass(repr=False, eq=False, kw_only=True)
class GradientNorms(ProbeDiagnostic):
    """Gradient norms of old and new data (Ash & Adams 2020, Fig. 5).

    https://arxiv.org/abs/1910.08475

    `gradient_norm/all` is the mean over mini-batches of the probe of the gradient's norm, on what
    is in the training data now; once they have grown, `gradient_norm/old` is that of the examples
    of earlier stages, `new` of those that the present stage has brought, and `imbalance` is new /
    old. Old and new batches have the same size, of which the norms depend: the smaller part's if
    that has no whole batch; a last, smaller batch is left out. The paper's are of training mode and
    of every epoch's batches.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's are of
    training mode, each batch with its own statistics.

    Args:
        batch_size: examples in a mini-batch.

    Raises:
        UserError: for batches of no examples.

    Example:
        ```yaml
        class_path: callbacks.GradientNorms
        init_args: {every: 1ep, batch_size: 128}
        ```
    """

    charts = ("gradient_norm",)
    tags = (
        "gradient_norm/all",
        "gradient_norm/old",
        "gradient_norm/new",
        "gradient_norm/imbalance",
    )

    batch_size: int = 128

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if self.batch_size < 1:
            raise UserError("batch_size", value=self.batch_size, fix="set 1 or more")

    def check(self, look: Look) -> None:
        """Refuse a module whose loss is not known."""
        _ = look.objective

    def measure(self, look: Look) -> Measured:
        """Return the norms; what has no example in the probe is left out."""
        parts = self._parts(look)
        shared = min(self.batch_size, *(len(part) for part in parts.values()))
        if not shared:
            return {}
        values = {}
        for name, part in parts.items():
            size = min(self.batch_size, len(part)) if name == "all" else shared
            full_batches = part[: len(part) // size * size].to(look.probe.targets.device)
            losses = [look.loss_on(batch) for batch in full_batches.reshape(-1, size)]
            values[f"gradient_norm/{name}"] = mean_gradient_norm(losses, look.parameters)
        if values.get("gradient_norm/old"):
            imbalance = values["gradient_norm/new"] / values["gradient_norm/old"]
            values["gradient_norm/imbalance"] = imbalance
        return values

    @staticmethod
    def _parts(look: Look) -> dict[str, Tensor]:
        """Return positions in the probe, in random order, of all present examples, old and new."""
        order = torch.randperm(len(look.probe.targets), generator=look.generator("gradient norms"))
        if look.stage_members is None:
            return {"all": order}
        indices = look.probe.indices.cpu()[order]
        present = torch.isin(indices, look.stage_members(look.stage))
        parts = {"all": order[present]}
        if not look.stage:
            return parts
        old = present & torch.isin(indices, look.stage_members(look.stage - 1))
        if old.any() and not old.equal(present):
            parts |= {"old": order[old], "new": order[present & ~old]}
        return parts
