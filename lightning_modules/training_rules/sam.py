"""Sharpness-aware minimisation."""

from collections.abc import Callable

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from lightning_modules.training_rules.training_rule import TrainingRule
from plasticity_lab.errors import UserError


class SAM(TrainingRule):
    """Sharpness-aware minimisation (Foret et al. 2021, https://arxiv.org/abs/2010.01412).

    The gradient of the loss at w + rho g / |g|, where g is that at w, over all trained parameters.
    Both passes have the same batch and the same dropout. Each batch has its own perturbation, also
    where gradients are accumulated (the paper's m-sharpness). Statistics of batch norm follow the
    first pass, and metrics count it alone. A step takes twice the time.

    Args:
        rho: radius of the perturbation, 0 or more; 0 is backpropagation. The paper's default is
            0.05.

    Raises:
        UserError: for a radius below 0.

    Example:
        ```yaml
        rule: {class_path: lightning_modules.SAM, init_args: {rho: 0.05}}
        ```
    """

    passes_again = True

    def __init__(self, rho: float = 0.05) -> None:
        if not rho >= 0:
            raise UserError("rho", value=rho, fix="set 0 (backpropagation) or more")
        self.rho = rho

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse float16, whose losses are scaled, and several ranks, which are untested."""
        if str(trainer.precision).startswith("16"):
            raise UserError(
                "precision",
                value=trainer.precision,
                problem="SAM would see losses as they are scaled for float16",
                fix="use bf16-mixed",
            )
        if trainer.world_size > 1:
            raise UserError(
                "devices",
                value=trainer.world_size,
                problem="SAM is for one process",
                fix="use --trainer.devices 1",
            )

    def backward(self, network: nn.Module, loss: Tensor, loss_again: Callable[[], Tensor]) -> None:
        """Backpropagate at the perturbed weights."""
        parameters = [value for value in network.parameters() if value.requires_grad]
        slopes = torch.autograd.grad(loss, parameters, allow_unused=True)
        pairs = [(value, g) for value, g in zip(parameters, slopes, strict=True) if g is not None]

        # Weights are restored from copies: subtracting would not give back their last bits.
        copies = [value.detach().clone() for value, _ in pairs]
        norm = torch.nn.utils.get_total_norm([slope for _, slope in pairs])
        with torch.no_grad():
            for value, slope in pairs:
                value.add_(slope * (self.rho / (norm + 1e-12)))
        try:
            loss_again().backward()  # type: ignore[no-untyped-call]
        finally:
            with torch.no_grad():
                for (value, _), copy in zip(pairs, copies, strict=True):
                    value.copy_(copy)
