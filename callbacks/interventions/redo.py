"""Dormant units recycled."""

from typing import ClassVar, Literal

from pytorch_lightning import LightningModule, Trainer

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.current_examples import current_examples
from callbacks.interventions.unit_recycling import TAGS, UnitRecycling
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.dormant_units import dormant
from plasticity_lab.measurements.preserve_state import preserve_state
from plasticity_lab.measurements.unit_activity import unit_activity
from plasticity_lab.surgery.norm_statistics import estimate_norm_statistics, frozen_batch_norms
from plasticity_lab.timing import Time


class ReDo(OneShot):
    """Recycles dormant units (Sokar et al. 2023, https://arxiv.org/abs/2302.12902).

    A unit is dormant if its mean absolute activation is at most `tau` times the mean of its layer,
    on examples of the present training data, as `DormantUnits` measures it. Its incoming weights
    are drawn again and its outgoing weights are set to 0. Which those are is found from the network
    (see `surgery.trace_units`); outputs and what ends in a residual sum are never recycled.

    Changes: parameters of dormant units; their normalisation statistics; optimizer state, where the
    moments at these positions begin anew. Keeps: all other units; biases of the layers above;
    Adam's step counts, unless `step_counts: reset`; the learning-rate clock.

    Args:
        at: moments.
        tau: 0 or more; 0.025 and 0.1 in the paper. 0 recycles units that are 0 on all examples.
        examples: on which units are measured, 2 or more, drawn anew at each moment.
        layers: names and patterns of layers, such as `layer4*`; without them all layers whose units
            are unambiguous.
        bias: of recycled units: `fresh` as in a new layer, or `zero`.
        step_counts: of Adam and its kin: `keep`, or `reset` those of whole parameters of which a
            part is recycled, as timoklein/redo does.
        every: in place of `at`, again and again; the paper's is `1000st`.

    Raises:
        UserError: for a negative tau, fewer than 2 examples, or a network in which nothing, or not
            what `layers` names, can be recycled.

    Example:
        ```yaml
        class_path: callbacks.ReDo
        init_args: {every: 1000st, tau: 0.025}
        ```
    """

    tags: ClassVar[tuple[str, ...]] = TAGS

    def __init__(
        self,
        at: list[Time] | None = None,
        tau: float = 0.025,
        examples: int = 64,
        layers: list[str] | None = None,
        bias: Literal["fresh", "zero"] = "fresh",
        step_counts: Literal["keep", "reset"] = "keep",
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        if not tau >= 0:
            raise UserError("tau", value=tau, fix="set 0 or more")
        if examples < 2:
            raise UserError("examples", value=examples, fix="set 2 or more")
        self.tau = tau
        self.examples = examples
        self.recycling = UnitRecycling("ReDo", layers, bias, step_counts == "reset")

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers whose units are ambiguous, or that cannot be drawn again."""
        self.recycling.check(trainer, module)

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Measure units, and recycle those that are dormant."""
        network = unwrap(module)
        inputs = current_examples(trainer, module, self.examples, draws)
        units = self.recycling.find(trainer, module, inputs)

        # Running statistics differ between ranks, and lag behind.
        frozen = frozen_batch_norms(network)
        with preserve_state(network):
            estimate_norm_statistics(network, inputs, frozen=frozen)
            activity = unit_activity(network, inputs, units)
        chosen = {layer: dormant(values, self.tau) for layer, values in activity.items()}
        self.recycling.reset(trainer, module, units, chosen, draws)
        self.recycling.log(trainer, {layer: int(marks.sum()) for layer, marks in chosen.items()})
