"""A strength as a function of time."""

from pytorch_lightning import LightningModule, Trainer

from callbacks.interventions.base import Level
from plasticity_lab.errors import UserError


class Strength(Level):
    """Keeps the strength of a penalty, or of noise, 0 before its first moment.

    Args:
        levels: `{moment: strength}`, 0 or more; 0 is the identity.

    Raises:
        UserError: below 0.

    Attributes:
        strength: the one that holds.
    """

    def __init__(self, levels: dict[str, float]) -> None:
        super().__init__(levels)
        if negative := [value for _, value in self.levels.entries if not value >= 0]:
            raise UserError("levels", value=negative[0], problem="a strength is 0 or more")
        self.strength = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Of an earlier fit, perhaps of another module.
        self.strength = 0.0

    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        """Let the strength hold from now on."""
        self.strength = value
