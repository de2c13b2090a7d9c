"""A study whose runs are done, without training."""

import json
from typing import Any

from plasticity_lab.studies import scalars
from plasticity_lab.studies.study_context import StudyContext
from tests.studies.small import ARMS, small

VALUES = {
    ("plain", 0): 0.80,
    ("plain", 1): 0.90,
    ("plain", 2): 0.85,
    ("warm", 0): 0.70,
    ("warm", 1): 0.85,
    ("warm", 2): 0.74,
}

CLAIM = {
    "id": "B1",
    "claim": "c",
    "paper": "P 2020, §1",
    "arm": {"arm": "warm"},
    "control": {"arm": "plain"},
    "expect": "lower",
}


def done(losses: tuple[float, ...] = (), **content: Any) -> StudyContext:
    """Return a study whose runs are done, without training.

    Args:
        losses: `train/loss` at the end of each epoch of two steps; none is logged by default.
        content: of the study's file.
    """
    content = {
        "report": {"metric": "val/accuracy", "control": "plain"},
        "claims": [CLAIM],
        **content,
    }
    work = small({"plain": {}, "warm": ARMS["warm"]}, seeds=2, **content)
    (work.home / "study.json").parent.mkdir(parents=True)
    (work.home / "study.json").write_text(
        json.dumps({"file": "small.yaml", "code_of_classes": work.opened.code, "config": []})
    )
    for number, run in enumerate(work.study.runs):
        folder = work.folder(number)
        logged = {"val/accuracy": [(3, VALUES[run.values["arm"], run.values["seed"]])]}
        for epoch, loss in enumerate(losses):
            # Seeds differ by a tenth of their number.
            seed, step = run.values["seed"] / 10, 2 * epoch + 1
            logged.setdefault("train/loss", []).append((step, loss + seed))
            logged.setdefault("val/loss", []).append((step, 2 * loss - seed))
        folder.mkdir(parents=True, exist_ok=True)
        scalars.write(folder, logged)
        end = work.paths[number].states[-1]
        (folder / "run.json").write_text(json.dumps({"state": end}))
        (work.store.root / end).mkdir(parents=True)
        metadata = {"start": None, "first": 0, "stop": 3, "seconds": 1.0, "cut_off": False}
        (work.store.root / end / "done.json").write_text(json.dumps(metadata))
        git = {"commit": "0123456789", "uncommitted": "" if number else "diff"}
        (folder / "manifest.json").write_text(
            json.dumps({"sessions": [{"git": git, "device": "cpu"}]})
        )
    return work
