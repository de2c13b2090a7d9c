"""Labels that say nothing of the images, others in each stage."""

from functools import lru_cache

import torch

from datamodules.loading.batch import Batch
from datamodules.transforms.context import BatchContext
from datamodules.transforms.label_tasks import LabelTransform, check_share
from plasticity_lab.randomness import generator


@lru_cache(maxsize=16)
def random_labels(
    fraction: float,
    examples: int,
    classes: int,
    seed: int,
    split: str,
    task: int,
    device: torch.device,
) -> torch.Tensor:
    """Return a random label for a share of the examples, int64 (examples,); -1 for the others.

    Each example draws for itself whether its label is random. Which ones are at a share are so at
    every larger one, with the same labels.
    """
    draws = generator(seed, "RandomLabels", split, task)
    chosen = torch.rand(examples, generator=draws) < fraction
    labels = torch.randint(classes, (examples,), generator=draws)
    return torch.where(chosen, labels, -1).to(device)


class RandomLabels(LabelTransform):
    """Every example with a label drawn uniformly from all classes: memorisation, again and again.

    Zhang et al. 2017, https://arxiv.org/abs/1611.03530; as a stream for plasticity Lyle et al.
    2023, https://arxiv.org/abs/2303.01486, and Kumar et al. 2024,
    https://arxiv.org/abs/2308.11958. What counts is `train/accuracy`: labels of validation and test
    split are random, too, and nobody can know them.

    Args:
        fraction: each label is random with this probability, in [0, 1]; 0 is the identity. (A
            random label is the right one once in as many times as there are classes.)
        cycle: as `StageTransform`.

    Raises:
        UserError: for a probability outside [0, 1], or data without classes.

    Example:
        ```yaml
        class_path: datamodules.RandomLabels
        init_args: {fraction: 0.5}
        ```
    """

    def __init__(self, fraction: float = 1.0, cycle: int | None = None) -> None:
        super().__init__(cycle)
        check_share(fraction, "the probability of a random label")
        self.fraction = fraction

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Give random labels."""
        assert context.classes is not None
        labels = random_labels(
            self.fraction,
            context.examples,
            context.classes,
            context.seed,
            context.split,
            context.level,
            batch.targets.device,
        )[batch.indices.to(batch.targets.device)]
        return batch._replace(targets=torch.where(labels < 0, batch.targets, labels))
