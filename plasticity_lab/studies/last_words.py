"""What a process printed that trains, or has trained, a segment."""

from pathlib import Path

LOG = "log.txt"
"""File in the folder of a segment that holds what its training printed."""


def last_words(place: Path) -> str:
    """Return what a process that is gone had printed in the folder that it trained in."""
    log = place / LOG
    return log.read_text(errors="replace").strip() if log.is_file() else ""
