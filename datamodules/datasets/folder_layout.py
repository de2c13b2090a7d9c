"""Where in a folder the train and the test images lie, and whether they hold the same classes."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pytorch_lightning.utilities import rank_zero_info

from datamodules.datasets.file_names import printable
from datamodules.datasets.image_files import class_names, is_image
from plasticity_lab.errors import UserError

_SPLITS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
"""Folders that hold a split; the first one there is used."""


def split_folder(root: Path, split: Literal["train", "test"]) -> Path:
    """Return the folder that holds a split's class folders.

    Raises:
        UserError: if there is none, with what is there instead.
    """
    candidates = _candidates(root, split)
    if not candidates:
        raise UserError(
            "root",
            value=printable(root),
            problem=_describe(root, split),
            fix="it must hold train/<class>/… and test/<class>/… (val/ or valid/ does for test/)",
        )
    return root / candidates[0]


def report_test_folder(root: Path) -> None:
    """Say which folder is the test split where that is not plain."""
    chosen, *unused = _candidates(root, "test")
    if chosen != "test":
        rank_zero_info(
            f"{printable(root)}: {chosen}/ is the test split, as test/ holds no class folders"
        )
    elif unused:
        rank_zero_info(
            f"{printable(root)}: test/ is the test split; {' and '.join(unused)} not used"
        )


def check_classes(train: Path, test: Path) -> None:
    """Raise UserError unless both folders hold the same classes, whose names can be told apart."""
    names = {folder: class_names(folder) for folder in (train, test)}
    for folder, classes in names.items():
        _refuse_twins(classes, f"{printable(folder)}: holds")
    only_train = [name for name in names[train] if name not in names[test]]
    only_test = [name for name in names[test] if name not in names[train]]
    _refuse_twins(only_train + only_test, f"{printable(train)} and {printable(test)} hold")
    if only_train or only_test:
        raise UserError(
            "root",
            value=printable(train.parent),
            problem=(
                f"only {train.name} holds {_shown(only_train)}, only {test.name} holds "
                f"{_shown(only_test)}"
            ),
            fix="let both hold the same classes",
        )


def _refuse_twins(names: Sequence[str], subject: str) -> None:
    """Raise UserError for two names that look the same."""
    by_look: dict[str, str] = {}
    for name in names:
        # é is one character or two, spaces are of many widths and often at the end.
        look = " ".join(unicodedata.normalize("NFC", name).split())
        if look in by_look:
            first, second = (ascii(twin).replace(" ", r"\x20") for twin in (by_look[look], name))
            raise UserError(
                "",
                problem=f"{subject} two class folders that look the same, {first} and {second}",
                fix="rename one",
            )
        by_look[look] = name


def _candidates(root: Path, split: str) -> list[str]:
    return [name for name in _SPLITS[split] if (root / name).is_dir() and class_names(root / name)]


def _describe(root: Path, split: str) -> str:
    """Say what is at `root` instead of a split."""
    if root.is_symlink() and not root.exists():
        return f"a link to {printable(root.readlink())}, where nothing is"
    if not root.is_dir():
        return "a file; unpack it and set the folder" if root.exists() else "no such folder"
    for name in _SPLITS[split]:
        if (root / name).is_symlink() and not (root / name).exists():
            return f"{name} is a link to {printable((root / name).readlink())}, where nothing is"
    if (root / split).is_dir():
        images = sum(is_image(path.name) for path in (root / split).iterdir())
        return (
            f"{split} holds {images} images and no class folders; sort them into one folder a class"
        )
    folders = class_names(root)
    inner = [name for name in folders if (root / name / "train").is_dir()]
    if inner:
        return f"there is none, but in a folder below; set root: {printable(root / inner[0])}"
    return f"no {split} folder among {_shown(folders)}" if folders else "no folders there"


def _shown(names: Sequence[str]) -> str:
    """Return names as text, not more than five."""
    texts = [repr(printable(name)) for name in names[:5]]
    remainder = [f"… ({len(names)} in all)"] if len(names) > 5 else []
    return ", ".join([*texts, *remainder]) or "none"
