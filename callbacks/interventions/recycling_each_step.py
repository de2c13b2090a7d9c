"""Units that are followed in training, and reset after a step."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.clock import Clock
from callbacks.interventions.base import Draws, EachStep
from callbacks.interventions.training_activity import Sums, TrainingActivity, add
from callbacks.interventions.unit_recycling import TAGS, UnitRecycling
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.unit_marks import Site
from plasticity_lab.surgery.units import Units


class RecyclingEachStep(EachStep):
    """Follows units in the forward passes of training, and resets some of them after each step.

    What is measured of a step is the mean over its batches, where gradients are accumulated, and
    over all ranks. It is part of the state in checkpoints until it has been used.

    Args:
        levels: `{moment: value}`.
        layers: names and patterns of layers; None is all whose units are known.
        bias: of units that are reset, `fresh` or `zero`.
    """

    tags: ClassVar[tuple[str, ...]] = TAGS

    def __init__(
        self,
        levels: Mapping[str, float],
        layers: list[str] | None,
        bias: Literal["fresh", "zero"],
    ) -> None:
        super().__init__(levels)
        name = type(self).__name__
        self.recycling = UnitRecycling(name, layers, bias)
        self._activity = TrainingActivity(name, self.measure)
        self._counts: dict[str, int] = {}
        self.begin()

    @abstractmethod
    def measure(self, layer: str, output: Tensor, site: Site) -> Tensor:
        """Return numbers of each unit of a layer in a forward pass, (numbers, units).

        Args:
            layer: its name.
            output: of its activation, in float32.
            site: where its units are there.
        """

    @abstractmethod
    def choose(
        self, module: LightningModule, units: Units, measured: Tensor, value: float, draws: Draws
    ) -> Tensor | None:
        """Return which units of a layer are to be reset after a step, bool (units,); None of none.

        Args:
            module: what is trained.
            units: of the layer.
            measured: means of what `measure` has returned, (numbers, units).
            value: the one that holds.
            draws: of the step.
        """

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers whose units are ambiguous, and a compiled network."""
        if any(part._compiled_call_impl is not None for part in unwrap(module).modules()):
            raise UserError(
                type(self).__name__,
                problem="looks at activations, which a compiled network does not show",
                fix="set compile: false",
            )
        self.recycling.check(trainer, module)

    def begin(self) -> None:
        """Forget what has been measured."""
        self._sums: Sums = {}

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        clock = Clock.of(trainer)
        pending = clock.pending(self)
        active = clock.schedule.active(self, clock.last, clock.now)
        if active is None:
            return
        inputs = batch[0] if isinstance(batch, list | tuple) else batch
        units = self.recycling.find(trainer, pl_module, inputs)
        self._counts = {}
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        due = batch_idx == 0 or clock.begins(self)
        if pending is not None and (due or self._counts):
            self.recycling.log(trainer, self._counts)
        self._activity.begin(unwrap(pl_module), units)

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        # Some rules pass through the network again as they make gradients.
        self._activity.end()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._activity.end()
        clock = Clock.of(trainer)
        if clock.schedule.active(self, clock.last, clock.now) is None:
            return
        if not self._activity.sums:
            raise UserError(
                type(self).__name__,
                problem="training does not call the network as a whole, in training mode, so that "
                "its activations are not seen",
                fix="call self(inputs) or self.network(inputs) in training_step",
            )
        # Of all ranks, so that each has the same, and a checkpoint has what all have.
        for layer, sums in over_ranks(trainer, pl_module, self._activity.sums).items():
            self._sums[layer] = add(self._sums.get(layer), sums)
        self._activity.sums = {}

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._activity.end()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._activity.end()

    def apply(self, trainer: Trainer, module: LightningModule, value: float, draws: Draws) -> None:
        """Let each layer's units be judged by what was measured, and reset those chosen."""
        units = self.recycling.found(module)
        measured = {
            layer: total.to(module.device) / weight for layer, (total, weight) in self._sums.items()
        }
        self._sums = {}
        chosen = {}
        for layer, numbers in measured.items():
            marks = self.choose(module, units[layer], numbers, value, draws)
            if marks is not None and marks.any():
                chosen[layer] = marks
        self.recycling.reset(trainer, module, units, chosen, draws)
        self._counts = {layer: int(marks.sum()) for layer, marks in chosen.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured and not used yet."""
        sums = {layer: (total.cpu(), weight) for layer, (total, weight) in self._sums.items()}
        return {"measured": sums, **self.units_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self._sums = dict(state_dict["measured"])
        self.load_units_state(state_dict)

    @abstractmethod
    def units_state(self) -> dict[str, Any]:
        """Return what is known of the units, as plain values and tensors on the CPU."""

    @abstractmethod
    def load_units_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `units_state` has returned."""


def over_ranks(trainer: Trainer, module: LightningModule, sums: Sums) -> Sums:
    """Return weighted sums added over all ranks, by layer."""
    if trainer.world_size == 1:
        return dict(sorted(sums.items()))
    totals = {layer: total for layer, (total, _) in sorted(sums.items())}
    weights = torch.tensor(
        [sums[layer][1] for layer in totals], device=module.device, dtype=torch.float32
    )
    # In one message, and added in the order of the ranks.
    parts = torch.cat([weights, *(total.flatten() for total in totals.values())])
    gathered: Any = module.all_gather(parts)
    flat = gathered.sum(0)
    weights, *rows = flat.split([len(weights), *(one.numel() for one in totals.values())])
    return {
        layer: (row.view_as(total), float(weight))
        for (layer, total), row, weight in zip(totals.items(), rows, weights, strict=True)
    }
