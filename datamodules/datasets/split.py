"""A split of a data set: all of it as tensors, or one image at a time."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset


class Split(Dataset[Tensor], ABC):
    """A labelled split whose images are read one at a time: `images[i]` is a uint8 tensor (channels, height, width).

    Attributes:
        labels: int64 tensor (examples,), values in [0, len(classes)).
        classes: class names.
        shape: (channels, height, width), the same for every image.
        fingerprint: text that changes when the content does; names the data in manifests and studies.
    """

    labels: Tensor
    classes: Sequence[str]
    shape: tuple[int, int, int]
    fingerprint: str

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, index: int) -> Tensor:
        """Return image `index`."""

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return several images as one tensor (examples, channels, height, width)."""
        return torch.stack([self[index] for index in indices])

    @abstractmethod
    def tensor(self) -> Tensor:
        """Return all images as one uint8 tensor (examples, channels, height, width), on the CPU."""

    def cache_key(self) -> str:
        """Return text that changes whenever the pixels do; names what is kept of them on disk."""
        return self.fingerprint


class TensorSplit(Split):
    """A split held as one uint8 tensor.

    Args:
        images: uint8 tensor (examples, channels, height, width).
        labels: int64 tensor (examples,).
        classes: class names.
        fingerprint: hash of the content, computed if not given.
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: Sequence[str], fingerprint: str | None = None) -> None:
        self.images, self.labels, self.classes = images, labels, classes
        _, *shape = images.shape
        self.shape = (shape[0], shape[1], shape[2])
        self.fingerprint = fingerprint or _content_hash(images, labels)

    def __getitem__(self, index: int) -> Tensor:
        """Return image `index`."""
        return self.images[index]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return several images."""
        return self.images[torch.as_tensor(indices)]

    def tensor(self) -> Tensor:
        """Return all images."""
        return self.images


class SubsetSplit(Split):
    """Some examples of another split, in the order given.

    Args:
        images: the split to choose from.
        indices: int64 tensor (examples,).
    """

    def __init__(self, images: Split, indices: Tensor) -> None:
        self.parent, self.indices = images, indices
        self.labels, self.classes, self.shape = images.labels[indices], images.classes, images.shape
        self.fingerprint = hashlib.sha256(images.fingerprint.encode() + indices.numpy().tobytes()).hexdigest()

    def __getitem__(self, index: int) -> Tensor:
        """Return image `index`."""
        return self.parent[int(self.indices[index])]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return several images."""
        return self.parent.__getitems__(self.indices[torch.as_tensor(indices)].tolist())

    def tensor(self) -> Tensor:
        """Return all images."""
        return self.parent.tensor()[self.indices]

    def cache_key(self) -> str:
        """Return the whole split's key with the examples chosen."""
        return hashlib.sha256(self.parent.cache_key().encode() + self.indices.numpy().tobytes()).hexdigest()


def _content_hash(images: Tensor, labels: Tensor) -> str:
    content = hashlib.sha256(repr(tuple(images.shape)).encode())
    for tensor in (images, labels):
        content.update(tensor.contiguous().numpy().data)
    return content.hexdigest()
