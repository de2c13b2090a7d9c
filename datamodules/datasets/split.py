"""A split of a data set: all of it as tensors, or one example at a time."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.datasets.stratified import stratified


class Split(Dataset[Tensor], ABC):
    """A split whose inputs are read one at a time: `split[i]` is a tensor of `shape`.

    Attributes:
        targets: what is to be learned, (examples, …); of classes int64 (examples,), values in
            [0, len(classes)); else real values (examples,) or (examples, values).
        classes: class names; empty if the task is not classification.
        shape: of an input, the same for every example; of images (channels, height, width).
        dtype: of an input; of images uint8.
        fingerprint: text that changes when the content does; names the data in manifests and
            studies.
    """

    targets: Tensor
    classes: Sequence[str]
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.uint8
    fingerprint: str

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.targets)

    @property
    def strata(self) -> Tensor | None:
        """Labels to stratify by, int64 (examples,); None if examples are chosen regardless."""
        return self.targets if self.classes else None

    @property
    def num_outputs(self) -> int:
        """Outputs that a network needs: classes, or numbers in a target."""
        return len(self.classes) or self.targets[:1].numel()

    @property
    def holds_images(self) -> bool:
        """Whether the inputs are images: grey levels 0…255 (channels, height, width)."""
        return self.dtype == torch.uint8 and len(self.shape) == 3

    def choose(self, size: int, generator: torch.Generator) -> Tensor:
        """Choose `size` examples, every stratum as frequent as in all.

        Returns:
            Sorted indices, int64 tensor (size,).
        """
        if self.strata is None:
            return torch.randperm(len(self), generator=generator)[:size].sort().values
        return stratified(self.strata, size, generator)

    @abstractmethod
    def __getitem__(self, index: int) -> Tensor:
        """Return the input of example `index`."""

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return several inputs as one tensor (examples, …)."""
        return torch.stack([self[index] for index in indices])

    @abstractmethod
    def tensor(self) -> Tensor:
        """Return all inputs as one tensor (examples, …), on the CPU."""

    def cache_key(self) -> str:
        """Return text that changes whenever the inputs do; names what is kept of them on disk."""
        return self.fingerprint


class TensorSplit(Split):
    """A split held as one tensor.

    Args:
        inputs: (examples, …); images are uint8 (examples, channels, height, width), other inputs
            floating-point numbers of any shape.
        targets: as `Split`.
        classes: class names; none for another task than classification.
        fingerprint: hash of the content, computed if not given.

    Examples:
        >>> split = TensorSplit(torch.randn(50, 8), torch.randn(50))
        >>> split.num_outputs
        1
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        classes: Sequence[str] = (),
        fingerprint: str | None = None,
    ) -> None:
        self.inputs, self.targets, self.classes = inputs, targets, classes
        self.shape, self.dtype = tuple(inputs.shape[1:]), inputs.dtype
        self.fingerprint = fingerprint or _content_hash(inputs, targets)

    def __getitem__(self, index: int) -> Tensor:
        """Return the input of example `index`."""
        return self.inputs[index]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return several inputs."""
        return self.inputs[torch.as_tensor(indices)]

    def tensor(self) -> Tensor:
        """Return all inputs."""
        return self.inputs


class SubsetSplit(Split):
    """Some examples of another split, in the order given.

    Args:
        parent: the split to choose from.
        indices: int64 tensor (examples,).
    """

    def __init__(self, parent: Split, indices: Tensor) -> None:
        self.parent, self.indices = parent, indices
        self.targets, self.classes = parent.targets[indices], parent.classes
        self.shape, self.dtype = parent.shape, parent.dtype
        content = parent.fingerprint.encode() + indices.numpy().tobytes()
        self.fingerprint = hashlib.sha256(content).hexdigest()

    @property
    def strata(self) -> Tensor | None:
        """The parent's, of these examples."""
        return None if self.parent.strata is None else self.parent.strata[self.indices]

    def __getitem__(self, index: int) -> Tensor:
        """Return the input of example `index`."""
        return self.parent[int(self.indices[index])]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return several inputs."""
        return self.parent.__getitems__(self.indices[torch.as_tensor(indices)].tolist())

    def tensor(self) -> Tensor:
        """Return all inputs."""
        return self.parent.tensor()[self.indices]

    def cache_key(self) -> str:
        """Return the parent's key with the examples chosen."""
        content = self.parent.cache_key().encode() + self.indices.numpy().tobytes()
        return hashlib.sha256(content).hexdigest()


def _content_hash(inputs: Tensor, targets: Tensor) -> str:
    content = hashlib.sha256(repr(tuple(inputs.shape)).encode())
    kinds = (inputs.dtype, targets.dtype, tuple(targets.shape[1:]))
    # Labelled images keep the hash that they have always had.
    if kinds != (torch.uint8, torch.int64, ()):
        content.update(repr(kinds).encode())
    for tensor in (inputs, targets):
        content.update(tensor.contiguous().numpy().data)
    return content.hexdigest()
