"""Masks of pruned weights in random order."""

from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.masked_weights import MaskedWeights
from plasticity_lab.errors import UserError


class ShuffleMasks(OneShot):
    """Permutes the masks of `Prune` within each weight tensor: as many survive in each layer.

    Those of `PruneUnmatchedUnits` too, of which single weights then survive.

    The control for which weights a ticket keeps, apart from how many of each layer (Frankle et al.
    2021, https://arxiv.org/abs/2009.08576; "random sparsity" of open_lth). Weights that survive now
    and did not before are 0, as all pruned ones: list it between `Prune` and the `Rewind` or
    `LayerReset` that gives them values.

    Changes: masks; of parameters the weights that are pruned now, and their optimizer state. Keeps:
    all others, normalisation statistics, the learning-rate clock.

    Args:
        at: moments; none is the identity.
        every: in place of `at`, again and again.

    Raises:
        UserError: without a `Prune` before it in the list.

    Example:
        ```yaml
        class_path: callbacks.ShuffleMasks
        init_args: {at: [20ep]}
        ```
    """

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a run in which nothing is pruned before it."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        earlier = callbacks[: callbacks.index(self)]
        if not any(isinstance(callback, MaskedWeights) for callback in earlier):
            raise UserError(
                "ShuffleMasks",
                problem="no callbacks.Prune stands before it in the list",
                fix="add one before it",
            )

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Permute the masks."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        shuffled = [
            one.shuffle(module, draws) for one in callbacks if isinstance(one, MaskedWeights)
        ]
        if not any(shuffled):
            raise UserError(
                "ShuffleMasks: at",
                value=f"epoch {draws.where.epoch}",
                problem="nothing has been pruned by then",
                fix="set a later moment",
            )
