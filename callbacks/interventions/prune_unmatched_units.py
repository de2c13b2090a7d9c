"""Units that match none of a teacher's pruned for good."""

from typing import Any, ClassVar, Literal

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.interventions.base import Draws, log
from callbacks.interventions.current_examples import current_examples
from callbacks.interventions.masked_weights import MaskedWeights
from callbacks.network import unwrap
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.node_correlation import matched_units
from plasticity_lab.measurements.preserve_state import preserve_state
from plasticity_lab.measurements.teacher_layers import (
    TaughtLayer,
    check_teacher,
    taught_layers,
)
from plasticity_lab.surgery.kept_units import hidden_units, unit_masks
from plasticity_lab.surgery.norm_statistics import estimate_norm_statistics, frozen_batch_norms
from plasticity_lab.surgery.units import Units
from plasticity_lab.timing import Time


class PruneUnmatchedUnits(MaskedWeights):
    """Keeps the hidden units that do most what a teacher's do, and prunes all others for good.

    Tian et al. 2019, https://arxiv.org/abs/1905.13405. Hidden layers are compared with those of the
    teacher of `datamodules.TeacherTargets` as `NodeCorrelation` does, on examples of the present
    training data. Of each layer the `count` best students of each teacher unit are kept; a student
    that is among the best of several counts once, so that fewer may be. With a `Rewind` behind it
    at the same moment it is the ticket of the lucky units; with `LayerReset` in its place, the
    control that draws them again.

    Weights by which pruned units are fed, and by which they feed, are exactly 0 from then on, as
    `Prune` holds its own. Their biases are left and nothing depends on them: they have no gradient
    and are moved by weight decay and momentum alone. With layer norm or group norm they still count
    in the statistics of their layer.

    Changes: parameters: weights into and out of pruned units; optimizer state of these. Keeps:
    biases, normalisation layers and their statistics, the learning-rate clock.

    Args:
        at: moments; at later ones it chooses among the units that are left.
        count: units of each teacher unit, 1 or more; with as many as a layer has, all are kept.
        by: `correlation`, or `random`, the control that keeps as many of each layer, drawn at
            random.
        examples: on which units are compared, 2 or more, drawn anew at each moment.
        every: in place of `at`, again and again.

    Raises:
        UserError: without a teacher, if hidden layers do not correspond to the teacher's or their
            units cannot be traced, for other arguments, or a training rule that moves weights and
            returns them, as SAM.

    Example:
        ```yaml
        class_path: callbacks.PruneUnmatchedUnits
        init_args: {at: [20ep], count: 2, examples: 1000}
        ```
    """

    tags: ClassVar[tuple[str, ...]] = ("kept/<layer>",)

    def __init__(
        self,
        at: list[Time] | None = None,
        count: int = 2,
        by: Literal["correlation", "random"] = "correlation",
        examples: int = 1000,
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        if count < 1:
            raise UserError("count", value=count, fix="set 1 or more")
        if examples < 2:
            raise UserError("examples", value=examples, fix="set 2 or more")
        self.count, self.by, self.examples = count, by, examples

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a run without a teacher, and layers that do not correspond to its."""
        super().check(trainer, module)
        network, parameter = unwrap(module), next(module.parameters())
        data: Any = getattr(trainer, "datamodule", None)
        shape = data.splits.train.shape if isinstance(data, ImageDataModule) else ()
        example = torch.zeros(1, *shape, dtype=parameter.dtype, device=parameter.device)
        with preserve_state(network):
            try:
                check_teacher(network, _teacher(trainer), example)
            except UserError as error:
                raise error.within("PruneUnmatchedUnits") from error
        self._units(network, example)

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Compare units with the teacher's, and prune those that are not chosen."""
        network = unwrap(module)
        inputs = current_examples(trainer, module, self.examples, draws)
        units = {known.layer: known for known in self._units(network, inputs[:1])}
        alive = self._alive(trainer, network, list(units))

        # A pruned unit is constant, and is not to be chosen where all others do worse.
        kept = {}
        for name, layer in zip(units, self._layers(trainer, network, inputs), strict=True):
            correlation = layer.correlation.masked_fill(~alive[name], -torch.inf)
            kept[name] = matched_units(correlation, self.count) & alive[name]
            if self.by == "random":
                kept[name] = _as_many(kept[name], alive[name], draws.generator(f"units/{name}"))
            log(trainer, f"PruneUnmatchedUnits/kept/{name}", int(kept[name].sum()))
        self.prune(module, unit_masks(network, units, kept))

    def _layers(self, trainer: Trainer, network: nn.Module, inputs: Tensor) -> list[TaughtLayer]:
        teacher = _teacher(trainer)
        assert teacher is not None
        # Running statistics differ between ranks, and lag behind.
        frozen = frozen_batch_norms(network)
        with preserve_state(network):
            estimate_norm_statistics(network, inputs, frozen=frozen)
            return taught_layers(network, teacher, inputs)

    def _alive(self, trainer: Trainer, network: nn.Module, names: list[str]) -> dict[str, Tensor]:
        """Return which units of each layer have weights that survive, bool (units,)."""
        weights = {f"{name}.weight": network.get_parameter(f"{name}.weight") for name in names}
        surviving = self.surviving(trainer, weights)
        return {name: surviving[f"{name}.weight"].flatten(1).any(1) for name in names}

    def _units(self, network: nn.Module, example: Tensor) -> list[Units]:
        try:
            return hidden_units(network, example)
        except UserError as error:
            raise error.within("PruneUnmatchedUnits") from error


def _teacher(trainer: Trainer) -> nn.Module | None:
    data: Any = getattr(trainer, "datamodule", None)
    return getattr(data.dataset, "teacher", None) if isinstance(data, ImageDataModule) else None


def _as_many(chosen: Tensor, among: Tensor, generator: torch.Generator) -> Tensor:
    """Return as many marks as are chosen, at random places among some, bool (units,)."""
    places = among.nonzero()[:, 0].cpu()
    drawn = places[torch.randperm(len(places), generator=generator)[: int(chosen.sum())]]
    marks = torch.zeros_like(chosen)
    marks[drawn.to(chosen.device)] = True
    return marks
