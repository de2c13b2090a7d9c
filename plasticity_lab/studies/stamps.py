"""What tells, without reading them, whether files and folders have changed."""

import errno
import hashlib
import os
from collections.abc import Iterator

Stamp = list[int] | str | None
"""Size and time of a file, a hash of those in a folder, or None of what is missing."""


def stamp(path: str) -> Stamp:
    """Return what tells whether a file or folder has changed; None if it is missing.

    Raises:
        OSError: if that cannot be told.
    """
    place = os.path.expanduser(path)
    try:
        stat = os.stat(place)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise
    if not os.path.isdir(place):
        return [stat.st_size, stat.st_mtime_ns]
    tree = hashlib.sha256()
    for line in _tree(place):
        tree.update(line.encode(errors="surrogateescape"))
    return tree.hexdigest()


def _tree(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                yield f"{entry.path}\n"
                yield from _tree(entry.path)
            else:
                stat = entry.stat(follow_symlinks=entry.is_file())
                yield f"{entry.path} {stat.st_size} {stat.st_mtime_ns}\n"
