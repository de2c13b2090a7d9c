"""Targets that a fixed random network gives to the inputs of another data set."""

import hashlib
from collections.abc import Sequence
from copy import copy
from typing import Literal

import torch
from torch import Tensor, nn

from datamodules.datasets.channel_normalisation import ChannelNormalisation
from datamodules.datasets.example_dataset import ExampleDataset, Splits
from datamodules.datasets.split import Split
from lightning_modules.fitting import output_of_zeros
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.construction import Construction, tensors_of
from plasticity_lab.surgery.initialisation import redraw

_BATCH = 500
"""Examples that the teacher is given at a time."""


class TeacherTargets(ExampleDataset):
    """A data set's inputs, with what a fixed random network makes of them as real-valued targets.

    The teacher's values are drawn under the run's seed, apart from the student's, by the rule that
    its class draws them by; one made by hand keeps the values that it holds. It is in evaluation
    mode, and sees inputs as the student does. Train on it with
    `lightning_modules.Supervised` and `objective: Regression`. `TargetAffine` shifts and scales the
    targets from stage to stage.

    Args:
        dataset: where the inputs come from; its own targets are left out, its subset and validation
            count.
        teacher: any module from inputs to (batch, numbers): one number or several. Its sizes stand
            in the config, as no data fill them in.
        function: targets are the teacher's outputs f(x) (`identity`; Tian et al. 2019,
            https://arxiv.org/abs/1905.13405), or sin(frequency f(x)) (`sine`; Lyle et al. 2023,
            https://arxiv.org/abs/2303.01486), which no student can fit but by learning each
            example.
        frequency: of the sine; the paper's is 1e5.

    Raises:
        UserError: for a teacher that cannot take the inputs, or does not return (batch, numbers).

    Example:
        ```yaml
        class_path: datamodules.TeacherTargets
        init_args: {
          dataset: {class_path: datamodules.Digits},
          teacher: {
            class_path: lightning_modules.networks.MLP,
            init_args: {in_channels: 1, num_classes: 1, image_size: 16, widths: [100]}}}
        ```
    """

    def __init__(
        self,
        dataset: ExampleDataset,
        teacher: nn.Module,
        function: Literal["identity", "sine"] = "identity",
        frequency: float = 1e5,
    ) -> None:
        super().__init__(dataset.subset, dataset.validation)
        self.dataset, self.teacher = dataset, teacher
        self.function, self.frequency = function, frequency

    def read(self, split: Literal["train", "test"]) -> Split:
        """Return the inputs' split without its classes; targets follow the seed, in `splits`."""
        inputs = copy(self.dataset.read(split))
        inputs.classes = ()
        return inputs

    def normalisation(
        self, train: Split, resident: bool, workers: int
    ) -> ChannelNormalisation | None:
        """Return what the inputs go through before teacher and student."""
        return self.dataset.normalisation(train, resident, workers)

    def splits(self, seed: int) -> Splits:
        """Let the teacher give targets to the splits of the inputs."""
        splits = self.dataset.splits(seed)
        self._check(splits.train)
        draw_teacher(self.teacher, seed)
        normalisation = self.normalisation(splits.train, resident=True, workers=0)
        train, test = (self._taught(split, normalisation) for split in (splits.train, splits.test))
        if splits.validation is splits.test:
            return Splits(train, test, test)
        return Splits(train, self._taught(splits.validation, normalisation), test)

    def _check(self, train: Split) -> None:
        kind = None if train.holds_images else train.dtype
        output = output_of_zeros(self.teacher, train.shape, kind, key="teacher")
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 2:
            made = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UserError(
                "teacher",
                value=type(self.teacher).__name__,
                problem=f"makes {made} of 2 inputs",
                fix="it must return (batch, numbers)",
            )

    @torch.no_grad()
    def _taught(self, split: Split, normalisation: ChannelNormalisation | None) -> Split:
        teacher, targets = self.teacher.eval(), []
        for start in range(0, len(split), _BATCH):
            inputs = split.__getitems__(range(start, min(start + _BATCH, len(split))))
            output: Tensor = teacher(inputs if normalisation is None else normalisation(inputs))
            targets.append(output)
        outputs = torch.cat(targets)
        if self.function == "sine":
            outputs = torch.sin(self.frequency * outputs.double()).float()
        return TaughtSplit(split, outputs)


@torch.no_grad()
def draw_teacher(teacher: nn.Module, seed: int) -> None:
    """Draw a teacher's values in place, under (seed, "TeacherTargets", layer).

    Args:
        teacher: as `construct` builds it; an instance made otherwise keeps the values that it
            holds.
        seed: the run's seed.
    """
    if Construction.of(teacher) is None:
        return
    names = [name for name, _ in teacher.named_modules()]
    fresh = redraw(teacher, names, lambda name: (seed, "TeacherTargets", name))
    for name, tensor in tensors_of(teacher).items():
        tensor.copy_(fresh[name])


class TaughtSplit(Split):
    """The inputs of another split with other, real-valued targets.

    Args:
        parent: the other split.
        targets: float32 (examples, numbers).
    """

    classes: Sequence[str] = ()

    def __init__(self, parent: Split, targets: Tensor) -> None:
        self.parent, self.targets = parent, targets
        self.shape, self.dtype = parent.shape, parent.dtype
        content = parent.fingerprint.encode() + targets.numpy().tobytes()
        self.fingerprint = hashlib.sha256(content).hexdigest()

    @property
    def strata(self) -> Tensor | None:
        """The parent's."""
        return self.parent.strata

    def __getitem__(self, index: int) -> Tensor:
        """Return the input of example `index`."""
        return self.parent[index]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return several inputs."""
        return self.parent.__getitems__(indices)

    def tensor(self) -> Tensor:
        """Return all inputs."""
        return self.parent.tensor()

    def cache_key(self) -> str:
        """Return the parent's key: the inputs are the same."""
        return self.parent.cache_key()
