"""Units of low utility replaced, a few at a time."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from callbacks.interventions.base import Draws
from callbacks.interventions.recycling_each_step import RecyclingEachStep
from callbacks.interventions.training_activity import of_units, other_dims
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.continual_backprop import (
    UnitUtility,
    choose_replaced,
    mean_activation,
    update_utility,
)
from plasticity_lab.surgery.unit_magnitudes import incoming_magnitudes, outgoing_magnitudes
from plasticity_lab.surgery.unit_marks import Site
from plasticity_lab.surgery.units import Units


class ContinualBackprop(RecyclingEachStep):
    """Replaces units of low utility after each step (Dohare et al. 2024).

    Continual backpropagation, https://doi.org/10.1038/s41586-024-07711-7. In each layer, `levels`
    times the number of mature units are due in each step, and a unit is replaced once a whole one
    is due. Its incoming weights are drawn again, its bias and outgoing weights are 0. Utility is
    measured in the forward passes of training.

    Changes: parameters of the replaced units; their normalisation statistics; optimizer state,
    where the moments at these positions begin anew. Keeps: all other units; biases of the layers
    above; Adam's step counts (with `PerWeightAdam` those of the replaced units begin anew);
    the learning-rate clock.

    Args:
        levels: `{moment: replacement rate}`, in [0, 1]; 0 is the identity. The paper's are 1e-4 for
            permuted MNIST, 1e-5 for incremental CIFAR-100, 3e-4 for continual ImageNet.
        maturity: steps for which a unit is left alone; the paper's are 100 and 1,000.
        decay: of running means, in [0, 1).
        utility: `contribution`, mean |h| * mean |w_out|; or `adaptable`, where h is centred, and
            the product is divided by mean |w_in|.
        accumulate: whether parts of units that are due are kept for later steps, as the authors do
            for permuted MNIST. False is the default of their code for fully connected networks:
            below one, a unit is replaced with that probability, else the whole part.
        layers: names and patterns of layers; without them all layers whose units are unambiguous.

    Raises:
        UserError: for arguments outside their range, a compiled network, or one in which nothing,
            or not what `layers` names, can be replaced.

    Example:
        ```yaml
        class_path: callbacks.ContinualBackprop
        init_args: {levels: {0ep: 1.0e-4}, maturity: 100}
        ```
    """

    def __init__(
        self,
        levels: dict[str, float],
        maturity: int = 100,
        decay: float = 0.99,
        utility: Literal["contribution", "adaptable"] = "contribution",
        accumulate: bool = True,
        layers: list[str] | None = None,
    ) -> None:
        super().__init__(levels, layers, bias="zero")
        if outside := [value for _, value in self.levels.entries if not 0 <= value <= 1]:
            raise UserError("levels", value=outside[0], problem="a replacement rate is in [0, 1]")
        if maturity < 0:
            raise UserError("maturity", value=maturity, fix="set 0 or more steps")
        if not 0 <= decay < 1:
            raise UserError("decay", value=decay, fix="set 0 or more, and below 1")
        self.maturity = maturity
        self.decay = decay
        self.utility = utility
        self.accumulate = accumulate

    def begin(self) -> None:
        """Know no unit yet."""
        super().begin()
        self._known: dict[str, UnitUtility] = {}

    def measure(self, layer: str, output: Tensor, site: Site) -> Tensor:
        """Return the mean size and the mean of each unit's activation."""
        dims = other_dims(output, site)
        means = of_units(output.mean(dims), site)
        if self.utility == "adaptable":
            known = self._of(layer, len(means), output.device)
            centres = output.new_zeros(output.shape[site.dim])
            centre = mean_activation(known, means, self.decay)
            centres[site.channels.to(output.device)] = centre[:, None]
            shape = [1] * output.ndim
            shape[site.dim] = -1
            output = output - centres.view(shape)
        return torch.stack([of_units(output.abs().mean(dims), site), means])

    def choose(
        self, module: LightningModule, units: Units, measured: Tensor, value: float, draws: Draws
    ) -> Tensor | None:
        """Update the utility of the units, and choose those of lowest."""
        network = unwrap(module)
        known = self._of(units.layer, units.count, measured.device)
        size, mean = measured
        utility = size * outgoing_magnitudes(network, units)
        if self.utility == "adaptable":
            utility = utility / incoming_magnitudes(network, units)
        update_utility(known, utility, mean, self.decay)
        drawn = None if self.accumulate else draws.generator(f"due in {units.layer}")
        return choose_replaced(known, value, self.maturity, self.decay, drawn)

    def units_state(self) -> dict[str, Any]:
        """Return what is known of the units."""
        parts = {layer: asdict(known) for layer, known in self._known.items()}
        return {
            "units": {
                layer: {
                    key: part.cpu() if isinstance(part, Tensor) else part
                    for key, part in known.items()
                }
                for layer, known in parts.items()
            }
        }

    def load_units_state(self, state: Mapping[str, Any]) -> None:
        """Restore what was known of the units."""
        self._known = {layer: UnitUtility(**known) for layer, known in state["units"].items()}

    def _of(self, layer: str, count: int, device: torch.device) -> UnitUtility:
        """Return what is known of a layer's units, on a device."""
        known = self._known.get(layer)
        if known is None:
            known = self._known[layer] = UnitUtility.fresh(count, device)
        known.utility, known.mean = known.utility.to(device), known.mean.to(device)
        return known
