"""Layers drawn again in rounds, from the bottom of the network to its top."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.current_examples import current_examples
from callbacks.interventions.redraw_checks import check_can_redraw, check_initial_values
from callbacks.network import unwrap
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.features import hooks
from plasticity_lab.measurements.parameter_groups import block_names
from plasticity_lab.measurements.preserve_state import preserve_state
from plasticity_lab.schedule import Answer
from plasticity_lab.surgery.fixed_norm import FixedNorm
from plasticity_lab.surgery.initialisation import redraw
from plasticity_lab.surgery.layer_reset import reset_layers
from plasticity_lab.surgery.layer_selection import layers_with_state, own_parameters, part_of
from plasticity_lab.surgery.norm_statistics import batch_norm_layers, frozen_batch_norms
from plasticity_lab.surgery.optimizer_state import reset_optimizer_state
from plasticity_lab.surgery.rescale import rescale
from plasticity_lab.timing import Position, Time


class LayerwiseReset(OneShot):
    """Layerwise reinitialisation (Alabdulmohsin et al. 2021, https://arxiv.org/abs/2109.00267).

    In rounds: all blocks above a boundary are drawn again, and the whole network is trained. The
    boundary begins above the lowest block and moves up by one block after `repetitions` rounds,
    until it is the last one's, where further rounds stay.

    Kept blocks are rescaled to their norm at initialisation first (`rescale`), and what leaves them
    is normalised by fixed statistics from then on (`normalise`), which needs a
    `BoundaryNormNetwork`; those of earlier rounds stay. The paper trains to convergence between
    rounds, with a new schedule: add `LearningRateRestart` at the same moments. Zaidi et al. 2022,
    https://proceedings.mlr.press/v187/zaidi23a.html, have (blocks, repetitions) of (2, 1), (5, 1)
    and (5, 2).

    Changes: parameters, frozen ones too: those above the boundary are drawn again, those below
    rescaled (a layer of no block goes with the block that the network has before it);
    normalisation statistics above the boundary (`norm_statistics: reset`); optimizer state of all
    parameters (`optimizer_state: reset`). Keeps: statistics below; the learning-rate clock.

    Args:
        at: moments, of one round each.
        blocks: after which boundaries lie, bottom to top; without them after each block of the
            network with parameters but the last, its head.
        repetitions: rounds for each boundary, 1 or more.
        rescale: whether kept blocks are rescaled.
        normalise: whether what leaves them is normalised.
        examples: of the training data, whose statistics it is normalised by, 2 or more.
        norm_statistics: `reset` to those of a new layer above the boundary, or `keep`.
        optimizer_state: `reset` of all parameters, or `keep`.
        every: in place of `at`, again and again.

    Raises:
        UserError: for blocks that there are not, layers that cannot be drawn again, or a network
            that cannot be normalised.

    Example:
        ```yaml
        class_path: callbacks.LayerwiseReset
        init_args: {every: 10ep, normalise: false}
        ```
    """

    def __init__(
        self,
        at: list[Time] | None = None,
        blocks: list[str] | None = None,
        repetitions: int = 1,
        rescale: bool = True,
        normalise: bool = True,
        examples: int = 256,
        norm_statistics: Literal["reset", "keep"] = "reset",
        optimizer_state: Literal["reset", "keep"] = "reset",
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        if repetitions < 1:
            raise UserError("repetitions", value=repetitions, fix="set 1 or more")
        if examples < 2:
            raise UserError("examples", value=examples, fix="set 2 or more")
        self.blocks = blocks
        self.repetitions = repetitions
        self.rescale = rescale
        self.normalise = normalise
        self.examples = examples
        self.norm_statistics = norm_statistics
        self.optimizer_state = optimizer_state

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse what cannot be drawn again, rescaled or normalised."""
        network = unwrap(module)
        boundaries = self._boundaries(network)
        if self.rescale:
            check_initial_values(module, "rescale: true")
            kept, _ = _sides(network, boundaries[-1])
            check_can_redraw("LayerwiseReset", trainer, module, kept)
        if self.normalise:
            self._check_normalised(trainer, network, boundaries)
        _, above = _sides(network, boundaries[0])
        check_can_redraw("LayerwiseReset", trainer, module, above)

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return the round that begins."""
        if not super().active(before, now, epochs):
            return None
        return f"round {sum(time.count(now, epochs) for time in self.times())}"

    def act(self, trainer: Trainer, module: LightningModule, answer: Answer) -> None:
        """Begin a round."""
        self._round = int(str(answer).removeprefix("round "))
        super().act(trainer, module, answer)

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Rescale, normalise and draw again."""
        network = unwrap(module)
        boundaries = self._boundaries(network)
        boundary = boundaries[min((self._round - 1) // self.repetitions, len(boundaries) - 1)]
        kept, above = _sides(network, boundary)
        if self.rescale:
            initial = redraw(network, kept, draws.initial_key, holder=module)
            rescale(own_parameters(kept), initial)
        if self.normalise:
            self._measure(trainer, module, boundary, draws)
        reset_layers(
            network,
            above,
            key=draws.key,
            norm_statistics=self.norm_statistics == "reset",
            holder=module,
        )
        if self.optimizer_state == "reset":
            reset_optimizer_state(trainer.optimizers, network.parameters())

    def _boundaries(self, network: nn.Module) -> list[str]:
        """Return the blocks after which boundaries lie, bottom to top."""
        names = [
            name
            for name in block_names(network)
            if any(True for _ in network.get_submodule(name).parameters())
        ]
        chosen = self.blocks if self.blocks is not None else names[:-1]
        unknown = [name for name in chosen if name not in names[:-1]]
        if unknown or not chosen:
            raise UserError(
                "blocks",
                value=unknown[0] if unknown else "none",
                problem=f"{type(network).__name__} has no such block below its last",
                fix=f"it has {', '.join(names[:-1]) or 'none'}",
            )
        places = [names.index(name) for name in chosen]
        if any(later <= earlier for earlier, later in pairwise(places)):
            raise UserError("blocks", value=", ".join(chosen), fix="name them bottom to top")
        return list(chosen)

    def _check_normalised(
        self, trainer: Trainer, network: nn.Module, boundaries: Sequence[str]
    ) -> None:
        if not all(_fixed_norm(network, name) for name in boundaries):
            raise UserError(
                "LayerwiseReset: normalise",
                value="true",
                problem=f"{type(network).__name__} has no place for a normalisation after a block",
                fix="use lightning_modules.networks.BoundaryNormNetwork, or normalise: false",
            )
        if not isinstance(getattr(trainer, "datamodule", None), ImageDataModule):
            raise UserError(
                "LayerwiseReset: normalise", problem="needs datamodules.ImageDataModule"
            )

    def _measure(
        self, trainer: Trainer, module: LightningModule, boundary: str, draws: Draws
    ) -> None:
        """Set the statistics after a block to those that training has there."""
        inputs = current_examples(trainer, module, self.examples, draws)
        network = unwrap(module)
        norm = _fixed_norm(network, boundary)
        assert norm is not None
        taken: list[Tensor] = []

        def keep(layer: nn.Module, arguments: Any) -> None:
            taken.append(arguments[0].detach().float())

        # As in training, but for dropout.
        frozen = frozen_batch_norms(network)
        with preserve_state(network), hooks(norm.register_forward_pre_hook(keep)):
            for name, layer in batch_norm_layers(network).items():
                layer.train(name not in frozen)
            network(inputs)
        norm.measure(taken[-1])


def _sides(network: nn.Module, boundary: str) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """Return the layers up to a boundary, and those above it.

    A layer of no block goes with the block that the network has before it, or with the lowest.
    """
    names = block_names(network)
    kept: dict[str, nn.Module] = {}
    above: dict[str, nn.Module] = {}
    block = names[0]
    for name, layer in layers_with_state(network).items():
        block = next((one for one in names if part_of(name, one)), block)
        side = kept if names.index(block) <= names.index(boundary) else above
        side[name] = layer
    return kept, above


def _fixed_norm(network: nn.Module, block: str) -> FixedNorm | None:
    part = network.get_submodule(block)
    found = getattr(part, "boundary", None)
    return found if isinstance(found, FixedNorm) else None
