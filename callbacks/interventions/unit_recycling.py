"""The units that an intervention lets begin anew."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.interventions.base import Draws, log
from callbacks.interventions.redraw_checks import check_can_redraw
from callbacks.network import unwrap
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.unit_reset import reset_units
from plasticity_lab.surgery.units import Units, select_units

TAGS = ("units", "units/<layer>")
"""What is logged besides that it acts: how many units began anew, in all and of each layer."""


class UnitRecycling:
    """The units of a run's network that an intervention resets, and how it does.

    Args:
        who: the intervention, for messages and tags.
        layers: names and patterns of layers; None is all whose units are known.
        bias: of units that begin anew, as `reset_units`.
        step_counts: as `reset_units`.
    """

    def __init__(
        self,
        who: str,
        layers: Sequence[str] | None,
        bias: Literal["fresh", "zero"] = "fresh",
        step_counts: bool = False,
    ) -> None:
        self.who = who
        self.layers = layers
        self.bias: Literal["fresh", "zero"] = bias
        self.step_counts = step_counts
        self._found: tuple[nn.Module, dict[str, Units]] | None = None

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Raise UserError, before training, for layers that are ambiguous or cannot be drawn again.

        Where the data are not known before training, that is when they are.
        """
        data: Any = getattr(trainer, "datamodule", None)
        if isinstance(data, ImageDataModule):
            parameter = next(module.parameters())
            shape = data.splits.train.shape
            example = torch.zeros(1, *shape, dtype=parameter.dtype, device=parameter.device)
            self.find(trainer, module, example)

    def find(self, trainer: Trainer, module: LightningModule, inputs: Tensor) -> dict[str, Units]:
        """Return the units by layer, found once for a network.

        Args:
            trainer: the run's.
            module: what is trained.
            inputs: of its network, (examples, …), one of which is looked at.
        """
        network = unwrap(module)
        if self._found is None or self._found[0] is not network:
            try:
                units = select_units(network, inputs[:1], self.layers)
            except UserError as error:
                raise error.within(self.who) from error
            norms = {norm for known in units.values() for norm in known.norms}
            check_can_redraw(self.who, trainer, module, [*units, *sorted(norms)])
            self._found = network, units
        return self._found[1]

    def found(self, module: LightningModule) -> dict[str, Units]:
        """Return the units that `find` has found for a module."""
        assert self._found is not None
        assert self._found[0] is unwrap(module)
        return self._found[1]

    def reset(
        self,
        trainer: Trainer,
        module: LightningModule,
        units: Mapping[str, Units],
        chosen: Mapping[str, Tensor],
        draws: Draws,
    ) -> int:
        """Reset the chosen units, bool (units,) by layer; return how many."""
        return reset_units(
            unwrap(module),
            units,
            chosen,
            key=draws.key,
            optimizers=trainer.optimizers,
            holder=module,
            bias=self.bias,
            step_counts=self.step_counts,
        )

    def log(self, trainer: Trainer, counts: Mapping[str, int]) -> None:
        """Log how many units began anew, by layer."""
        log(trainer, f"{self.who}/units", sum(counts.values()))
        for layer, count in counts.items():
            log(trainer, f"{self.who}/units/{layer}", count)
