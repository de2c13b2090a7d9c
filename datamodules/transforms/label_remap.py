"""Other names for the classes in each stage."""

from functools import lru_cache

import torch

from datamodules.loading.batch import Batch
from datamodules.transforms.context import BatchContext
from datamodules.transforms.label_tasks import LabelTransform, check_share
from datamodules.transforms.partial_permutation import partial_permutation
from plasticity_lab.randomness import generator


@lru_cache(maxsize=16)
def label_map(
    classes: int, fraction: float, seed: int, task: int, device: torch.device
) -> torch.Tensor:
    """Return what each class is called, int64 (classes,).

    A share `fraction` of the classes, drawn uniformly, exchange their names; the others keep
    theirs.
    """
    draws = generator(seed, "LabelRemap", task)
    return partial_permutation(classes, fraction, draws).to(device)


class LabelRemap(LabelTransform):
    """The names of the classes permuted, by one permutation for all examples of a stage.

    Label-permuted CIFAR of Kumar et al. 2024, https://arxiv.org/abs/2308.11958: what has been
    learned of the images still holds, the head does not.

    Args:
        fraction: share of the classes that exchange their names, in [0, 1]; 0 is the identity.
        cycle: as `StageTransform`.

    Raises:
        UserError: for a share outside [0, 1], or data without classes.

    Example:
        ```yaml
        class_path: datamodules.LabelRemap
        init_args: {fraction: 0.5}
        ```
    """

    def __init__(self, fraction: float = 1.0, cycle: int | None = None) -> None:
        super().__init__(cycle)
        check_share(fraction, "the share of classes that exchange their names")
        self.fraction = fraction

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Rename the classes."""
        assert context.classes is not None
        names = label_map(
            context.classes, self.fraction, context.seed, context.level, batch.targets.device
        )
        return batch._replace(targets=names[batch.targets])
