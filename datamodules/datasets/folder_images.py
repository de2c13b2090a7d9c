"""Images in folders, one folder a class."""

import hashlib
import os
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from datamodules.datasets.cache import disk_cached
from datamodules.datasets.decoding import Size, decode, decode_all, decoder
from datamodules.datasets.file_hashes import hash_files
from datamodules.datasets.file_names import printable
from datamodules.datasets.folder_layout import check_classes, report_test_folder, split_folder
from datamodules.datasets.image_dataset import ImageDataset
from datamodules.datasets.image_files import list_files
from datamodules.datasets.split import Split
from plasticity_lab.errors import UserError


class FolderSplit(Split):
    """The image files of one split, decoded when asked for.

    Args:
        folder: holds one folder of image files for each class.
        size: height and width to resize to, one number for squares; None keeps the files'.
        channels: 1 for grey, 3 for RGB.
    """

    def __init__(self, folder: Path, size: Size | None, channels: Literal[1, 3]) -> None:
        self.size, self.channels, self.name = size, channels, folder.name
        classes, self.files, labels = list_files(folder)
        self.classes, self.targets = [printable(name) for name in classes], torch.tensor(labels)
        self.shape = tuple(decode(self.files[0], size, channels).shape)
        self._hashes = hash_files(self.files)
        self.fingerprint = hashlib.sha256(
            f"{size} {channels} {self._hashes.fingerprint}".encode()
        ).hexdigest()

    def __getitem__(self, index: int) -> Tensor:
        """Return image `index`."""
        image = decode(self.files[index], self.size, self.channels)
        if tuple(image.shape) != self.shape:
            raise UserError(
                printable(self.files[index]),
                problem=(
                    f"{image.shape[2]} x {image.shape[1]} pixels where "
                    f"{printable(os.path.basename(self.files[0]))} "
                    f"has {self.shape[2]} x {self.shape[1]}"
                ),
                fix="set size: to resize all images to one size",
            )
        return image

    def tensor(self) -> Tensor:
        """Return all images, decoded once and then read from the cache on disk."""
        return disk_cached(self.cache_key(), lambda: decode_all(self, f"decoding {self.name}"))

    def cache_key(self) -> str:
        """Return a hash of the files and of how they are decoded."""
        return hashlib.sha256(
            f"{decoder()} {self.size} {self.channels} {self._hashes.identity}".encode()
        ).hexdigest()


class FolderImages(ImageDataset):
    """Image files in `root/{train,test}/<class>/`, of any format that Pillow reads.

    Without class folders in `test`, `val` or `valid` is the test split. Images are shown as by a
    viewer: turned as their EXIF orientation says, and transparent ones on a white ground. Hidden
    files and those of operating systems are skipped.

    Decoded in parallel once and kept in a cache on disk, keyed by names, sizes and times of the
    files and the decoder's version.

    Args:
        root: the folder that holds `train` and `test`; may begin with `~`.
        size: `[height, width]` to crop centrally and resize to, one number for squares; None
            needs files of one size.
        channels: 3, or 1 for grey.
        subset: as `ImageDataset`.
        validation: as `ImageDataset`.
    """

    def __init__(
        self,
        root: str,
        size: Size | None = None,
        channels: Literal[1, 3] = 3,
        subset: int | None = None,
        validation: Literal["test"] | float = "test",
    ) -> None:
        super().__init__(subset, validation, size)
        self.root, self.channels = Path(os.path.expanduser(root)), channels

    def read(self, split: Literal["train", "test"]) -> Split:
        """Return the whole train or test split.

        Raises:
            UserError: for folders laid out otherwise, classes that differ, and images that cannot
                be read.
        """
        train, test = split_folder(self.root, "train"), split_folder(self.root, "test")
        check_classes(train, test)
        if split == "test":
            report_test_folder(self.root)
        return FolderSplit(train if split == "train" else test, self.size, self.channels)
