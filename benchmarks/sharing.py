"""Measure what sharing epochs and a second job save, on a study of digits trained three times.

About 10 minutes on two cores.

python benchmarks/sharing.py [--json benchmarks/sharing.json]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from plasticity_lab.project import ROOT
from plasticity_lab.runs.manifest import session
from plasticity_lab.studies import local_engine, workers
from plasticity_lab.studies.commands import run
from plasticity_lab.studies.open_study import open_study
from plasticity_lab.studies.plan import segments
from plasticity_lab.studies.study_context import StudyContext

STUDY = {
    "name": "benchmark",
    "config": [str(ROOT / "configs/digits.yaml")],
    "axes": [{"removed": [10, 20, 30]}, {"seed_everything": [0, 1]}],
    "set": {
        "data.init_args.deficits": [
            {
                "class_path": "datamodules.Blur",
                "init_args": {"size": 4, "during": ["0ep", "{removed}ep"]},
            }
        ],
        "trainer.max_epochs": "{removed + 20}",
    },
}


def opened(folder: Path, share: bool) -> StudyContext:
    file = folder / "benchmark.yaml"
    file.write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return open_study(file, folder, share=share)


def measured(share: bool, jobs: int) -> dict[str, float]:
    """Return wall seconds, epochs and segments of one whole study in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        work = opened(Path(folder), share)
        todo = segments(work.paths, work.store)
        begun = time.perf_counter()
        assert not run(work, jobs, local_engine.run, lambda line: None)
        seconds = time.perf_counter() - begun
    return {
        "seconds": round(seconds, 1),
        "epochs": sum(part.stop - part.first for part in todo),
        "segments": len(todo),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    file = parser.parse_args().json
    workers.start_forkserver()
    measured(True, 2)  # imports and data from disk once
    alone, shared, two = measured(False, 1), measured(True, 1), measured(True, 2)
    ideal = alone["seconds"] * shared["epochs"] / alone["epochs"]
    import torch

    results: dict[str, Any] = {
        "alone": alone,
        "shared": shared,
        "shared, two jobs": two,
        "epochs trained / asked": round(shared["epochs"] / alone["epochs"], 3),
        "time shared / alone": round(shared["seconds"] / alone["seconds"], 3),
        "cost of sharing: share of the time": round(
            (shared["seconds"] - ideal) / shared["seconds"], 3
        ),
        "cost of sharing: seconds a segment more": round(
            (shared["seconds"] - ideal)
            / max(1, shared["segments"] - alone["segments"] * shared["epochs"] / alone["epochs"]),
            2,
        ),
        "time of two jobs / one": round(two["seconds"] / shared["seconds"], 3),
        "manifest": {
            key: value
            for key, value in session(torch.device("cpu"), [], None).items()
            if key in ("versions", "device")
        },
    }
    print(json.dumps(results, indent=1))
    if file:
        file.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
