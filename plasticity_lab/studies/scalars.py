"""Scalars of a segment or run as text, read from its event files once."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from plasticity_lab.files import write_atomically

FILE = "scalars.jsonl"

Points = Sequence[tuple[int, float]]
"""A scalar over time: (optimizer step, value)."""


def write(folder: Path, scalars: Mapping[str, Points]) -> None:
    """Write scalars into a folder, whole or not at all.

    Each line holds one tag, `["val/accuracy", [[10, 0.5], [20, 0.6]]]`, so that one tag is read
    without all others. Values that are not finite are written as Python's `json` does.

    Args:
        folder: that exists.
        scalars: values by tag.
    """
    with write_atomically(folder / FILE) as unfinished, unfinished.open("w") as file:
        for tag, points in sorted(scalars.items()):
            file.write(f"{_head(tag)}{json.dumps(points, separators=(',', ':'))}]\n")


def read(folder: Path, tag: str) -> list[tuple[int, float]]:
    """Return the values of one tag; none if the folder holds none."""
    head = _head(tag)
    for line in _lines(folder):
        if line.startswith(head):
            return _values(line)
    return []


def epoch_ends(folder: Path) -> list[int]:
    """Return the steps at which epochs end, as far as training loss was logged."""
    return [step for step, _ in read(folder, "train/loss")]


def read_all(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return all scalars of a folder by tag; none if there is no file."""
    return {json.loads(line)[0]: _values(line) for line in _lines(folder)}


def tags(folder: Path) -> list[str]:
    """Return the tags of a folder, sorted."""
    decoder = json.JSONDecoder()
    return [decoder.raw_decode(line, 1)[0] for line in _lines(folder)]


def joined(folders: Sequence[Path]) -> dict[str, list[tuple[int, float]]]:
    """Return the scalars of a run from those of its segments, the first one first."""
    scalars: dict[str, list[tuple[int, float]]] = {}
    for folder in folders:
        for tag, points in read_all(folder).items():
            scalars.setdefault(tag, []).extend(points)
    return scalars


def _head(tag: str) -> str:
    return f"[{json.dumps(tag)},"


def _values(line: str) -> list[tuple[int, float]]:
    return [(step, value) for step, value in json.loads(line)[1]]


def _lines(folder: Path) -> Iterator[str]:
    file = folder / FILE
    if file.exists():
        with file.open() as lines:
            yield from lines
