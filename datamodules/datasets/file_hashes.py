"""Hashes that stand for the content of files without reading it."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from datamodules.datasets.file_names import printable
from plasticity_lab.errors import UserError


class FileHashes(NamedTuple):
    """Two hashes of a list of files.

    Attributes:
        fingerprint: of paths as given, sizes and times; the same wherever the files are copied with
            their times.
        identity: also of absolute paths, inodes and the times of any change: another file behind
            the same link, or content replaced under its old time, has another one. For what is kept
            on this machine.
    """

    fingerprint: str
    identity: str


def hash_files(files: Sequence[str | Path]) -> FileHashes:
    """Hash what the file system knows of files.

    Raises:
        UserError: for a file that is not there any more.
    """
    fingerprint, identity = hashlib.sha256(), hashlib.sha256()
    for file in files:
        try:
            status = os.stat(file)
        except OSError as error:
            raise UserError(
                printable(file),
                problem=f"cannot be read ({error.strerror})",
                fix="replace or remove it",
            ) from error
        # Names need not be UTF-8: their other bytes are surrogates in Python.
        stable = f"{file} {status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogatepass")
        fingerprint.update(stable)
        place = os.path.abspath(file).encode(errors="surrogatepass")
        identity.update(stable + place + f" {status.st_ino} {status.st_ctime_ns}\n".encode())
    return FileHashes(fingerprint.hexdigest(), identity.hexdigest())


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder, sorted, also behind links, which may lead in circles."""
    files: list[Path] = []
    visited: set[tuple[int, int]] = set()
    for place, inner, names in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in visited:
            # Already walked: not a second time.
            inner.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        inner.sort()
        files += [path for path in (Path(place, name) for name in names) if path.is_file()]
    return sorted(files)
