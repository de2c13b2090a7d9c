"""Any classification data set of torchvision, by name."""

import hashlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from datamodules.cache import cached
from datamodules.datasets import ImageDataset
from datamodules.decoding import decode_all, to_tensor
from datamodules.images import Images, TensorImages, files_fingerprint
from errors import UserError

_SPLIT_NAMES = {"train": ("train", "trainval"), "test": ("test", "val", "valid")}


class TorchvisionImages(ImageDataset):
    """A classification data set of torchvision (CIFAR10, CIFAR100, SVHN, MNIST, FashionMNIST, KMNIST, STL10, GTSRB, Food101, …).

    Args:
        name: the class's name in `torchvision.datasets`.
        root: where the files are, or are downloaded to.
        download: download what is missing, with a progress bar.
        size: height and width to crop centrally and resize to; None needs images of one size.
        options: further arguments of the torchvision class, e.g. `{split: letters}` for EMNIST.
        subset: as `ImageDataset`.
        validation: as `ImageDataset`.
    """

    def __init__(
        self,
        name: str,
        root: str = "data",
        download: bool = True,
        size: int | None = None,
        options: dict[str, Any] | None = None,
        subset: int | None = None,
        validation: Literal["test"] | float = "test",
    ) -> None:
        super().__init__(subset, validation, size)
        self.name, self.root, self.download, self.options = name, root, download, options or {}

    def read(self, split: Literal["train", "test"]) -> Images:
        """Return the whole train or test split."""
        source = self._open(split)
        classes = _class_names(source)
        data = getattr(source, "data", None)
        if isinstance(data, np.ndarray | Tensor) and data.dtype in (np.uint8, torch.uint8) and self.size is None:
            labels = torch.as_tensor(np.asarray(source.labels if hasattr(source, "labels") else source.targets)).long()
            return TensorImages(_channels_first(torch.as_tensor(data)), labels, classes or _numbered(labels))
        pictures = _Pictures(source, self.size)
        content = hashlib.sha256(repr((self.name, split, self.size, sorted(self.options.items()))).encode())
        content.update(files_fingerprint(sorted(path for path in Path(self.root).rglob("*") if path.is_file())).encode())
        images = cached(content.hexdigest(), lambda: decode_all(pictures, f"decoding {self.name} {split}"))
        labels = cached(f"{content.hexdigest()}-labels", pictures.read_labels)
        return TensorImages(images, labels, classes or _numbered(labels))

    def _open(self, split: Literal["train", "test"]) -> Any:
        import torchvision

        kind: Any = getattr(torchvision.datasets, self.name, None)
        arguments = {name for base in getattr(kind, "__mro__", ()) for name in inspect.signature(base.__init__).parameters}
        names = [name for name in _SPLIT_NAMES[split] if "split" in arguments and _accepts(kind, name)]
        if "train" not in arguments and not names:
            raise UserError(f"name: {self.name}: not a torchvision data set with a train and a test split, such as CIFAR10")
        settings: dict[str, Any] = dict(self.options)
        if "download" in arguments:
            settings["download"] = self.download
        if "train" in arguments:
            settings["train"] = split == "train"
        else:
            settings["split"] = names[0]
        try:
            return kind(self.root, **settings)
        except (TypeError, ValueError) as error:
            raise UserError(f"options: {self.options}: {self.name} does not take them ({_one_line(error)})") from error
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"{self.name} is not in root: {Path(self.root).absolute()} and could not be downloaded ({_one_line(error)}); "
                "copy its files there from a machine with network access, set root: to where they are, or use FolderImages"
            ) from error


class _Pictures(Images):
    """A torchvision data set of PIL images, read one at a time."""

    def __init__(self, source: Any, size: int | None) -> None:
        self.source, self.size = source, size
        self.shape = tuple(self[0].shape)  # type: ignore[assignment]  # (channels, height, width)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Tensor:
        picture = self.source[index][0]
        image = to_tensor(picture, self.size, 1 if picture.mode in ("1", "L") else 3)
        if index and tuple(image.shape) != self.shape:
            raise UserError(f"size: {self.size}: the images are of different sizes; set size: to resize all to one")
        return image

    def tensor(self) -> Tensor:
        return decode_all(self, "decoding")

    def read_labels(self) -> Tensor:
        return torch.tensor([int(self.source[index][1]) for index in range(len(self.source))])


def _accepts(kind: Any, split: str) -> bool:
    """Whether the class documents `split` as one of its split names (they are strings, checked only when opened)."""
    return f'"{split}"' in inspect.getsource(kind) or f"'{split}'" in inspect.getsource(kind)


def _channels_first(data: Tensor) -> Tensor:
    if data.ndim == 3:
        return data[:, None].contiguous()
    return data.permute(0, 3, 1, 2).contiguous() if data.shape[-1] in (1, 3) else data


def _class_names(source: Any) -> Sequence[str]:
    return [str(name) for name in getattr(source, "classes", None) or ()]


def _numbered(labels: Tensor) -> Sequence[str]:
    return [str(label) for label in range(int(labels.max()) + 1)]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
