"""Files that are written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(file: Path, durable: bool = False) -> Iterator[Path]:
    """Give a path to write to, beside a file, whose place it takes once it is written.

    Whoever reads the file meanwhile, and whoever reads it after a kill, finds what it held before
    or what it holds now, never a part of it. If the block raises, the file stays as it was and
    nothing is left beside it. What a kill leaves there is hidden and ends in `.tmp`.

    Args:
        file: the file, in a folder that exists.
        durable: let the content reach the disk before it takes the place, so that this holds for a
            loss of power, too.

    Example:
        ```python
        with write_atomically(Path("manifest.json")) as unfinished:
            unfinished.write_text("{}")
        ```
    """
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(8)}.tmp")
    try:
        yield unfinished
        if durable:
            sync(unfinished)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Let a file or folder reach the disk, before another is said to rest on it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
