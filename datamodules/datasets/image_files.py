"""Which image files a folder of class folders holds, whatever else lies among them."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from pytorch_lightning.utilities import rank_zero_info

from datamodules.datasets.file_names import printable
from plasticity_lab.errors import UserError

_SYSTEM_FILES = {"__MACOSX", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "@eaDir"}
"""What file managers and archives leave behind, beside names that begin with a dot."""


class ImageFiles(NamedTuple):
    """The image files of one split, sorted by class and name.

    Attributes:
        classes: names of the class folders.
        files: their paths, as strings: `Path` objects take three times as long to list and sort.
        labels: each file's class, an index into `classes`.
    """

    classes: list[str]
    files: list[str]
    labels: list[int]


def list_files(folder: Path) -> ImageFiles:
    """List the images of a split, and say in a line of output what else there is.

    Raises:
        UserError: for a class without images, images that do not lie directly in their class's
            folder, and links to nothing.
    """
    split_files = ImageFiles(class_names(folder), [], [])
    skipped: Counter[str] = Counter()
    for entry in _entries(folder):
        if _is_hidden(entry.name):
            skipped["hidden"] += 1
        elif _kind(entry) == "file":
            skipped[Path(entry.name).suffix.lower()] += 1
    for label, name in enumerate(split_files.classes):
        images = _list_class(folder / name, skipped)
        split_files.files.extend(images)
        split_files.labels.extend([label] * len(images))
    if skipped:
        rank_zero_info(f"{printable(folder)}: skipped {_count(skipped)}")
    return split_files


def class_names(folder: Path) -> list[str]:
    """Return the names of the class folders, sorted.

    Raises:
        UserError: for a link to nothing, which may have been a class.
    """
    return sorted(
        entry.name
        for entry in _entries(folder)
        if not _is_hidden(entry.name) and _kind(entry) == "folder"
    )


def is_image(name: str) -> bool:
    """Whether a name is that of an image which Pillow may read."""
    return (
        not _is_hidden(name) and os.path.splitext(name)[1].lower() in Image.registered_extensions()
    )


def _list_class(folder: Path, skipped: Counter[str]) -> list[str]:
    """Return the images of a class, and count what is skipped."""
    files: list[str] = []
    for entry in _entries(folder):
        kind = _kind(entry)
        if _is_hidden(entry.name):
            skipped["hidden"] += 1
        elif kind == "folder" and _holds_images(Path(entry.path)):
            raise UserError(
                printable(entry.path),
                problem="images in a folder inside a class folder",
                fix=(
                    f"move them to {printable(folder)}, or each class's folder to "
                    f"{printable(folder.parent)}"
                ),
            )
        elif kind == "folder" or not is_image(entry.name):
            skipped[Path(entry.name).suffix.lower()] += 1
        else:
            files.append(entry.path)
    if not files:
        raise UserError(
            printable(folder),
            problem="no image files",
            fix="add some or remove the empty class folder",
        )
    return sorted(files)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what a folder holds.

    Raises:
        UserError: if it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise UserError(
            printable(folder),
            problem=f"cannot be listed ({error.strerror})",
            fix="make it readable, or remove it",
        ) from error


def _kind(entry: os.DirEntry[str]) -> str:
    """Return `file` or `folder`, also for a link to one.

    Raises:
        UserError: for a link to nothing or to itself, and for what has no content of its own, such
            as a pipe.
    """
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:
        # A link that leads in a circle.
        pass
    if _is_hidden(entry.name):
        return "file"
    problem = (
        f"a link to {printable(os.readlink(entry.path))}, where nothing is"
        if entry.is_symlink()
        else "not a file or folder"
    )
    raise UserError(
        printable(entry.path), problem=problem, fix="put the file there, or remove this one"
    )


def _holds_images(folder: Path) -> bool:
    return any(is_image(name) for _, _, names in os.walk(folder) for name in names)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _SYSTEM_FILES


def _count(skipped: Counter[str]) -> str:
    """Say how many entries were skipped, hidden ones and by their endings."""
    hidden = skipped["hidden"]
    num_visible = skipped.total() - hidden
    parts = []
    if hidden:
        parts.append(f"{hidden} hidden or system files")
    if num_visible:
        endings = sorted(
            printable(ending or "no ending") for ending in skipped if ending != "hidden"
        )
        parts.append(
            f"{num_visible} others that are not images in a class folder ({', '.join(endings)})"
        )
    return " and ".join(parts)
