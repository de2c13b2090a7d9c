"""Segments trained in this process."""

from pathlib import Path
from typing import Any

from plasticity_lab.studies.scalars import read_all
from plasticity_lab.studies.segment import train_segment
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.task import Task


def train(
    config: dict[str, Any], root: Path, *stops: int
) -> tuple[dict[str, str], dict[str, list[tuple[int, float]]]]:
    """Train a run in segments that end at some epochs; return the last state and the log.

    Segments that are stored already are not trained.
    """
    store, start, logs = Store(root), None, dict[str, list[tuple[int, float]]]()
    for first, stop in zip((0, *stops), stops, strict=False):
        state = f"state{stop}"
        if store.has_logs(state):
            start = state
            continue
        place = store.workdir(state)
        place.mkdir(parents=True)
        checkpoint = str(store.checkpoint(start)) if start else None
        train_segment(
            Task(state, start, checkpoint, first, stop, config, stop == stops[-1], 1, str(place))
        )
        store.commit(place, state)
        for folder in (root / state, root / state / "test"):
            for tag, values in read_all(folder).items():
                logs.setdefault(tag, []).extend(values)
        start = state
    return store.metadata(state)["state"], logs
