"""Any classification data set of torchvision, by name."""

import hashlib
import operator
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from datamodules.datasets.cache import disk_cached
from datamodules.datasets.decoding import Size, decode_all, decoder, to_tensor
from datamodules.datasets.file_hashes import files_below, hash_files
from datamodules.datasets.file_names import one_line, printable
from datamodules.datasets.image_dataset import ImageDataset
from datamodules.datasets.split import Split, TensorSplit
from datamodules.datasets.torchvision_sources import ARRAYS, NOT_DOWNLOADED, split_arguments
from plasticity_lab.errors import UserError


class TorchvisionImages(ImageDataset):
    """A classification data set of torchvision, by its name.

    CIFAR10, CIFAR100, SVHN, MNIST, FashionMNIST, KMNIST, STL10, GTSRB, Food101 and others.

    Images are as torchvision gives them: not turned by their EXIF orientation.

    Args:
        name: the class's name in `torchvision.datasets`.
        root: where the files are, or are downloaded to; may begin with `~`.
        download: download what is missing, with a progress bar.
        size: `[height, width]` to crop centrally and resize to, one number for squares; None
            needs images of one size.
        options: further arguments of the torchvision class, e.g. `{split: letters}` for EMNIST.
        subset: as `ImageDataset`.
        validation: as `ImageDataset`.
    """

    def __init__(
        self,
        name: str,
        root: str = "data",
        download: bool = True,
        size: Size | None = None,
        options: dict[str, Any] | None = None,
        subset: int | None = None,
        validation: Literal["test"] | float = "test",
    ) -> None:
        super().__init__(subset, validation, size)
        self.name, self.root, self.download, self.options = (
            name,
            os.path.expanduser(root),
            download,
            options or {},
        )

    def read(self, split: Literal["train", "test"]) -> Split:
        """Return the whole train or test split.

        Raises:
            UserError: for a data set that is not supported, absent or damaged, and for options that
                it does not take.
        """
        source = self._open(split)
        if self.name in ARRAYS and self.size is None:
            images = _channels_first(torch.as_tensor(source.data))
            targets = torch.as_tensor(np.asarray(getattr(source, ARRAYS[self.name]))).long()
            # QMNIST's targets have columns, of which the first is the class.
            labels = targets if targets.ndim == 1 else targets[:, 0]
        else:
            pictures = _Pictures(source, self)
            key = self._cache_key(split)
            images = disk_cached(key, lambda: decode_all(pictures, f"decoding {self.name} {split}"))
            labels = disk_cached(f"{key}-labels", pictures.read_labels)
        return TensorSplit(images, labels, self._class_names(source, labels))

    def _open(self, split: Literal["train", "test"]) -> Any:
        import torchvision

        settings = split_arguments(self.name, split, self.options)
        kind: Any = getattr(torchvision.datasets, self.name, None)
        if kind is None:
            raise UserError(
                "name",
                value=self.name,
                problem=f"torchvision {torchvision.__version__} does not have it yet",
                fix="update torchvision",
            )
        if self.name not in NOT_DOWNLOADED:
            settings["download"] = self.download
        try:
            return kind(self.root, **settings)
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"{self.name} is not in root",
                problem=(
                    f"{printable(Path(self.root).absolute())} and could not be downloaded "
                    f"({one_line(error)})"
                ),
                fix=(
                    "copy its files there from a machine with network access, set root: to "
                    "where they are, or use FolderImages"
                ),
            ) from error
        except Exception as error:
            # Damaged files show in many ways, options that are not taken as errors of type or
            # value.
            if self.options and isinstance(error, TypeError | ValueError):
                raise UserError(
                    "options",
                    value=self.options,
                    problem=f"{self.name} does not take them ({one_line(error)})",
                ) from error
            raise UserError(
                f"{self.name} in root",
                problem=f"{printable(Path(self.root).absolute())} is damaged ({one_line(error)})",
                fix="remove its files there, and download or copy them anew",
            ) from error

    def _cache_key(self, split: str) -> str:
        """Return a hash of the files and of all that decides what is read from them."""
        import torchvision

        chosen = (self.name, split, self.size, sorted(self.options.items()))
        settings = f"{chosen!r} torchvision {torchvision.__version__} {decoder()} "
        return hashlib.sha256(
            (settings + hash_files(files_below(Path(self.root))).identity).encode()
        ).hexdigest()

    def _class_names(self, source: Any, labels: Tensor) -> Sequence[str]:
        """Return the names that the data set gives its classes, numbers if it gives none."""
        is_binary = "binary-category" in str(self.options.get("target_types"))
        names = getattr(source, "bin_classes" if is_binary else "classes", None) or range(
            int(labels.max()) + 1
        )
        return [printable(name) for name in names]


class _Pictures(Split):
    """A torchvision data set of PIL images, read one at a time."""

    def __init__(self, source: Any, dataset: TorchvisionImages) -> None:
        self.source, self.dataset = source, dataset
        self.shape = tuple(self[0].shape)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Tensor:
        picture, _ = self._read(index)
        size = self.dataset.size
        image = to_tensor(picture, size, 1 if picture.mode in ("1", "L") else 3)
        if index and tuple(image.shape) != self.shape:
            raise UserError(
                "size",
                value=size,
                problem="the images are of different sizes",
                fix="set size: to resize all to one",
            )
        return image

    def tensor(self) -> Tensor:
        return decode_all(self, "decoding")

    def read_labels(self) -> Tensor:
        return torch.tensor([self._label(index) for index in range(len(self.source))])

    def _label(self, index: int) -> int:
        target = self._read(index)[1]
        try:
            return operator.index(target)
        except TypeError:
            raise UserError(
                "options",
                value=self.dataset.options,
                problem=(
                    f"{self.dataset.name} gives {printable(target)} as the label of image "
                    f"{index}, where one class number is needed"
                ),
                fix="choose another target",
            ) from None

    def _read(self, index: int) -> tuple[Any, Any]:
        try:
            picture, target = self.source[index]
        except Exception as error:
            # Decoders raise whatever damage leads them to.
            raise UserError(
                self._name(index),
                problem=f"not a readable image ({one_line(error)})",
                fix=f"replace the file, or download {self.dataset.name} anew",
            ) from error
        return picture, target

    def _name(self, index: int) -> str:
        """Return the path of an image if the data set lists its files, as most do."""
        for files in vars(self.source).values():
            if isinstance(files, list) and len(files) == len(self.source):
                entry = files[index][0] if isinstance(files[index], tuple) else files[index]
                if isinstance(entry, str | Path) and os.path.lexists(entry):
                    return printable(entry)
        return f"{self.dataset.name} in root: {printable(self.dataset.root)}: image {index}"


def _channels_first(data: Tensor) -> Tensor:
    if data.ndim == 3:
        return data[:, None].contiguous()
    return data.permute(0, 3, 1, 2).contiguous() if data.shape[-1] in (1, 3) else data
