"""Gradients as an intervention sees them under `16-mixed`."""

from pytorch_lightning import LightningModule, Trainer

from lightning_modules.build_optimizer import build_optimizer
from plasticity_lab.errors import UserError


def check_gradients_unscaled(who: str, trainer: Trainer, module: LightningModule) -> None:
    """Raise UserError, in the name of `who`, for a fused optimizer under `16-mixed`.

    It takes gradients as they were scaled, so that they never are unscaled in `.grad`.
    """
    optimizer = build_optimizer(module).optimizer
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
        raise UserError(
            who,
            problem="a fused optimizer hides gradients' scale under 16-mixed",
            fix="use bf16-mixed, or fused: false",
        )
