"""How the loss rises around the weights."""

from dataclasses import dataclass

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.sharpness import (
    filter_normalised,
    gaussian_direction,
    loss_near,
    sam_sharpness,
)


@dataclass(repr=False, eq=False, kw_only=True)
class Flatness(ProbeDiagnostic):
    """Rise of the loss under Gaussian noise on the weights, and at SAM's ascent step.

    Alabdulmohsin et al. 2021, https://arxiv.org/abs/2109.00267; Foret et al. 2021,
    https://arxiv.org/abs/2010.01412. Means over draws, the same ones throughout a run;
    normalisation statistics stay. Forward passes over the probe: one for each draw, level and
    variant, and one gradient. Values for each level: `loss_change/<level>`, the noise having that
    standard deviation, and `relative_loss_change/<level>`, each filter's noise having that fraction
    of its norm; `sam_sharpness`.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the papers'
    convention is not known; here statistics are those of the unperturbed network.

    Args:
        noise: levels above 0; none for SAM's sharpness alone.
        draws: number of draws, 1 or more.
        rho: radius of the ascent step, above 0; 0.05 in the paper.

    Raises:
        UserError: for values outside their ranges.

    Example:
        ```yaml
        class_path: callbacks.Flatness
        init_args: {every: 1ep, noise: [0.01, 0.1], draws: 10}
        ```
    """

    charts = ("loss_change", "relative_loss_change", "sam_sharpness")
    tags = ("loss_change/<level>", "relative_loss_change/<level>", "sam_sharpness")

    noise: tuple[float, ...] = (0.01, 0.03, 0.1)
    draws: int = 10
    rho: float = 0.05

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        self.noise = tuple(self.noise)
        if not all(level > 0 for level in self.noise) or len(set(self.noise)) < len(self.noise):
            raise UserError("noise", list(self.noise), fix="set different numbers above 0")
        if self.draws < 1:
            raise UserError("draws", value=self.draws, fix="set 1 or more")
        if not self.rho > 0:
            raise UserError("rho", value=self.rho, fix="set a number above 0")

    def check(self, look: Look) -> None:
        """Refuse a module whose loss is not known."""
        _ = look.objective

    def measure(self, look: Look) -> Measured:
        """Return mean changes and the sharpness."""
        parameters, loss = look.parameters, look.loss
        loss_here = loss_near(loss, parameters, parameters, 0)
        kinds = ("loss_change", "relative_loss_change")
        changes = {f"{kind}/{level}": 0.0 for level in self.noise for kind in kinds}
        for draw in range(self.draws if self.noise else 0):
            noise = gaussian_direction(parameters, look.seed, draw)
            directions = {
                "loss_change": noise,
                "relative_loss_change": filter_normalised(noise, parameters),
            }
            for level in self.noise:
                for kind, direction in directions.items():
                    change = loss_near(loss, parameters, direction, level) - loss_here
                    changes[f"{kind}/{level}"] += change / self.draws
        return {**changes, "sam_sharpness": sam_sharpness(loss, parameters, self.rho)}
