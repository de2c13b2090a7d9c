"""Images in folders, one folder a class."""

import hashlib
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from datamodules.cache import cached
from datamodules.datasets import ImageDataset
from datamodules.decoding import decode, decode_all
from datamodules.images import Images, files_fingerprint
from errors import UserError


class FolderSplit(Images):
    """The image files of one split, decoded when asked for.

    Args:
        folder: holds one folder of image files for each class.
        size: height and width to resize to; None keeps the files'.
        channels: 1 for grey, 3 for RGB.
    """

    def __init__(self, folder: Path, size: int | None, channels: Literal[1, 3]) -> None:
        self.size, self.channels, self.name = size, channels, folder.name
        self.classes, self.files, labels = list_files(folder)
        self.labels = torch.tensor(labels)
        self.shape = tuple(decode(self.files[0], size, channels).shape)  # type: ignore[assignment]  # (channels, height, width)
        self.fingerprint = hashlib.sha256(f"{size} {channels} {files_fingerprint(self.files)}".encode()).hexdigest()

    def __getitem__(self, index: int) -> Tensor:
        """Return image `index`."""
        image = decode(self.files[index], self.size, self.channels)
        if tuple(image.shape) != self.shape:
            raise UserError(
                f"{self.files[index]}: {image.shape[2]} x {image.shape[1]} pixels where {self.files[0].name} has "
                f"{self.shape[2]} x {self.shape[1]}; set size: to resize all images to one size"
            )
        return image

    def tensor(self) -> Tensor:
        """Return all images, decoded once and then read from the cache on disk."""
        return cached(self.fingerprint, lambda: decode_all(self, f"decoding {self.name}"))


def list_files(folder: Path) -> tuple[list[str], list[Path], list[int]]:
    """Return class names, image files and labels of a folder of class folders, all sorted by name."""
    known = set(Image.registered_extensions())
    files: list[Path] = []
    labels: list[int] = []
    classes = class_names(folder)
    for label, name in enumerate(classes):
        found = sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in known)
        if not found:
            raise UserError(f"{folder / name}: no image files; add some or remove the empty class folder")
        files += found
        labels += [label] * len(found)
    return classes, files, labels


class FolderImages(ImageDataset):
    """Image files in `root/{train,test}/<class>/`, of any format that Pillow reads.

    Decoded in parallel once and kept in a cache on disk, keyed by names, sizes and times of the files.

    Args:
        root: the folder that holds `train` and `test`.
        size: height and width to crop centrally and resize to; None needs files of one size.
        channels: 3, or 1 for grey.
        subset: as `ImageDataset`.
        validation: as `ImageDataset`.
    """

    def __init__(
        self,
        root: str,
        size: int | None = None,
        channels: Literal[1, 3] = 3,
        subset: int | None = None,
        validation: Literal["test"] | float = "test",
    ) -> None:
        super().__init__(subset, validation, size)
        self.root, self.channels = Path(root), channels

    def read(self, split: Literal["train", "test"]) -> Images:
        """Return the whole train or test split."""
        for folder in (self.root, self.root / "train", self.root / "test"):
            if not folder.is_dir() or not any(path.is_dir() for path in folder.iterdir()):
                raise UserError(f"root: {self.root}: no images there; it must hold train/<class>/… and test/<class>/…")
        if (there := class_names(self.root / "train")) != class_names(self.root / "test"):
            raise UserError(f"root: {self.root}: train and test must hold the same classes; train holds {there}")
        return FolderSplit(self.root / split, self.size, self.channels)


def class_names(folder: Path) -> list[str]:
    """Return the names of the class folders, sorted."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
