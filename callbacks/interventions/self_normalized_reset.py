"""Units reset that are silent for longer than is usual for them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from callbacks.interventions.base import Draws
from callbacks.interventions.recycling_each_step import RecyclingEachStep
from callbacks.interventions.training_activity import of_units, other_dims
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.self_normalized_reset import (
    record_silences,
    update_silences,
    update_thresholds,
)
from plasticity_lab.surgery.unit_marks import Site
from plasticity_lab.surgery.units import Units


@dataclass
class Silences:
    """What is known of how long the units of a layer are silent, on the CPU.

    Attributes:
        ages: steps for which each unit has been silent, (units,).
        histogram: how many silences of how many steps there were since the last update of the
            thresholds, (units, longest + 1).
        thresholds: steps after which a silent unit is reset, (units,).
        steps: since the last update.
    """

    ages: Tensor
    histogram: Tensor
    thresholds: Tensor
    steps: int = 0


class SelfNormalizedReset(RecyclingEachStep):
    """Resets units that are silent for longer than is usual for them (Farias & Jozefiak 2024).

    SNR, https://arxiv.org/abs/2410.20098. A unit fires in a step if its activation is above 0 for
    any example of the batch, at any position. Each unit has a threshold of its own: the length that
    a share `levels` of its silences exceed. Once it has been silent for so many steps, its incoming
    weights are drawn again, and its bias and outgoing weights are 0. Units of GELU and the like
    fire, too, where they are above 0.

    Changes: parameters of the units that are reset; their normalisation statistics; optimizer
    state, where the moments at these positions begin anew. Keeps: all other units; biases of the
    layers above; Adam's step counts; the learning-rate clock.

    Args:
        levels: `{moment: rejection rate}`, in [0, 1); 0 is the identity, the paper's are 0.01 to
            0.08 (percentiles of 99 to 92 %).
        interval: steps between updates of the thresholds from the silences since the last one.
        longest: steps of the highest threshold, with which units begin.
        layers: names and patterns of layers; without them all layers whose units are unambiguous.

    Raises:
        UserError: for arguments outside their range, a compiled network, or one in which nothing,
            or not what `layers` names, can be reset.

    Example:
        ```yaml
        class_path: callbacks.SelfNormalizedReset
        init_args: {levels: {0ep: 0.02}}
        ```
    """

    def __init__(
        self,
        levels: dict[str, float],
        interval: int = 100,
        longest: int = 1000,
        layers: list[str] | None = None,
    ) -> None:
        super().__init__(levels, layers, bias="zero")
        if outside := [value for _, value in self.levels.entries if not 0 <= value < 1]:
            raise UserError(
                "levels", value=outside[0], problem="a rejection rate is 0 or more, and below 1"
            )
        for name, value in {"interval": interval, "longest": longest}.items():
            if value < 1:
                raise UserError(name, value=value, fix="set 1 or more steps")
        self.interval = interval
        self.longest = longest

    def begin(self) -> None:
        """Know no unit yet."""
        super().begin()
        self._silences: dict[str, Silences] = {}

    def measure(self, layer: str, output: Tensor, site: Site) -> Tensor:
        """Return whether each unit has fired."""
        fired = (output > 0).sum(other_dims(output, site)) > 0
        return of_units(fired.float(), site)[None]

    def choose(
        self, module: LightningModule, units: Units, measured: Tensor, value: float, draws: Draws
    ) -> Tensor | None:
        """Return the units that have been silent for too long."""
        known = self._silences.get(units.layer)
        if known is None:
            known = self._silences[units.layer] = self._fresh(units.count)
        update_silences(known.ages, known.histogram, measured[0].cpu() > 0)
        chosen = None
        if value > 0:
            chosen = known.ages >= known.thresholds
            record_silences(known.ages, known.histogram, chosen)
            known.ages.masked_fill_(chosen, 0)
        known.steps += 1
        if known.steps >= self.interval and value > 0:
            update_thresholds(known.thresholds, known.histogram, 1 - value, 1, self.longest)
            known.histogram.zero_()
            known.steps = 0
        return chosen

    def units_state(self) -> dict[str, Any]:
        """Return what is known of the units."""
        return {"units": {layer: asdict(known) for layer, known in self._silences.items()}}

    def load_units_state(self, state: Mapping[str, Any]) -> None:
        """Restore what was known of the units."""
        self._silences = {layer: Silences(**known) for layer, known in state["units"].items()}

    def _fresh(self, count: int) -> Silences:
        return Silences(
            torch.zeros(count, dtype=torch.int64),
            torch.zeros(count, self.longest + 1, dtype=torch.int32),
            torch.full((count,), self.longest),
        )
