"""Time and memory of study.py's commands by the number of runs, and what a segment costs.

    OMP_NUM_THREADS=1 python benchmarks/study_scale.py [--runs 10 100 1000 5000] [--json FILE]

One study of digits has ten arms of 20 epochs, blurred for ever longer, and as many seeds as it
needs. Its first seed is trained; the store of all others is made of copies, so that every run is
done. Each command is a process of its own, of which processor seconds and the largest memory are
counted. `segments` trains a study of a hundred runs of one epoch with one and with two jobs.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from plasticity_lab import files
from plasticity_lab.project import ROOT
from plasticity_lab.studies import store as store_module
from plasticity_lab.studies.open_study import open_study
from plasticity_lab.studies.plan import EmptyStore, Segment, segments
from plasticity_lab.studies.study_context import StudyContext

ARMS = 10
COMMANDS = ("plan", "status", "report", "run")


def network(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"lightning_modules.networks.{kind}", "init_args": arguments}


def grown(runs: int) -> dict[str, Any]:
    """Return a study of so many runs."""
    deficit = {"class_path": "datamodules.Blur", "init_args": {"size": 4}}
    deficit["init_args"]["during"] = ["0ep", "{removed}ep"]  # type: ignore[index]
    return {
        "name": "scale",
        "config": [str(ROOT / "configs/digits.yaml")],
        "axes": [
            {"removed": list(range(0, 2 * ARMS, 2))},
            {"seed_everything": list(range(runs // ARMS))},
        ],
        "set": {
            "model.init_args.network": network("Linear"),
            "data.init_args.deficits": [deficit],
            "trainer.max_epochs": 20,
        },
        "report": {"over": "last epoch", "x": "removed", "control": 0},
    }


def hundred() -> dict[str, Any]:
    """Return a study of a hundred runs of one epoch."""
    return {
        "name": "hundred",
        "config": [str(ROOT / "configs/digits.yaml")],
        "axes": [{"seed_everything": list(range(100))}],
        "set": {"model.init_args.network": network("Linear"), "trainer.max_epochs": 1},
        "report": {"over": "last epoch", "x": "seed", "figure": "bar"},
    }


def written(study: dict[str, Any], folder: Path) -> Path:
    file = folder / f"{study['name']}.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    return file


LAUNCHER = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
with open(os.devnull, "w") as nothing:
    process = subprocess.Popen(sys.argv[1:], stdout=nothing)
_, code, usage = os.wait4(process.pid, 0)
seconds, cpu = time.perf_counter() - begun, usage.ru_utime + usage.ru_stime
print(json.dumps([code, round(seconds, 2), round(cpu, 2), round(usage.ru_maxrss / 1024)]))
"""
"""Runs a command from a small process: the memory of whoever starts it counts as a child's too."""


def command(folder: Path, *arguments: str) -> dict[str, float]:
    """Run study.py in a folder; return its wall and processor seconds and its largest memory."""
    study = [sys.executable, str(ROOT / "study.py"), *arguments]
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *study],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    code, seconds, cpu, megabytes = json.loads(done.stdout)
    assert not code, done.stderr
    return {"seconds": seconds, "cpu": cpu, "MB": megabytes}


def by_seed(work: StudyContext) -> dict[int, list[Segment]]:
    seeds = defaultdict[int, list[Segment]](list)
    runs = work.study.runs
    for segment in segments(work.paths, EmptyStore()):
        seeds[runs[segment.run].values["seed"]].append(segment)
    for parts in seeds.values():
        parts.sort(key=lambda part: (part.first, part.stop, runs[part.run].name))
    return seeds


def fill(file: Path, root: Path) -> int:
    """Fill the store of a study with copies of its first seed's segments; return their number."""
    work = open_study(file, root)
    first, *others = by_seed(work).values()
    sources = [work.store.root / segment.end for segment in first]
    # A benchmark's copies need not survive a power cut.
    for module in (files, store_module):
        module.__dict__["sync"] = lambda path: None
    for parts in others:
        for source, segment in zip(sources, parts, strict=True):
            place = work.store.workdir(segment.end)
            shutil.copytree(source, place, dirs_exist_ok=True)
            entry = {**json.loads((place / "done.json").read_text()), "start": segment.start}
            (place / "done.json").write_text(json.dumps(entry))
            work.store.commit(place, segment.end)
    return sum(map(len, (first, *others)))


def measure_commands(runs: int, trained: Path) -> dict[str, Any]:
    """Return what each command takes with so many runs that are done."""
    with tempfile.TemporaryDirectory(dir=trained.parent) as name:
        folder = Path(name)
        shutil.copytree(trained / "runs", folder / "runs")
        file = written(grown(runs), folder)
        results: dict[str, Any] = {"segments": fill(file, folder / "runs")}
        for word in ("run", "plan"):
            results[f"{word}, first"] = command(folder, word, file.name)
        for word in COMMANDS:
            results[word] = command(folder, word, file.name)
    return results


def measure_segments(jobs: int, folder: Path) -> dict[str, float]:
    """Return what a study of a hundred runs of one epoch takes."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        taken = command(Path(name), "run", str(written(hundred(), Path(name))), "--jobs", str(jobs))
    return {"seconds": taken["seconds"], "seconds a segment": round(taken["seconds"] / 100, 3)}


def exponents(results: dict[str, Any]) -> dict[str, float]:
    """Return how processor seconds beyond the smallest study's grow: power of the number of runs.

    Of the two largest numbers of runs.
    """
    smallest, *_, fewer, most = sorted(results, key=int)
    grown_by = {}
    for word in COMMANDS:
        seconds = {count: results[count][word]["cpu"] for count in (smallest, fewer, most)}
        before = seconds[fewer] - seconds[smallest]
        after = seconds[most] - seconds[smallest]
        if before > 0 and after > 0:
            growth = math.log(after / before) / math.log(int(most) / int(fewer))
            grown_by[word] = round(growth, 2)
    return grown_by


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 100, 1000, 5000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--no-segments", action="store_true", help="the commands only")
    given = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        if not given.no_segments:
            for jobs in (1, 2):
                results[f"100 runs of 1 epoch, {jobs} jobs"] = measure_segments(jobs, Path(name))
                print(json.dumps(results), flush=True)
        trained = Path(name) / "trained"
        trained.mkdir()
        command(trained, "run", str(written(grown(ARMS), trained)), "--jobs", "2")
        shutil.rmtree(trained / "runs" / "studies")
        by_runs: dict[str, Any] = {}
        for runs in given.runs:
            by_runs[str(runs)] = measure_commands(runs, trained)
            print(runs, json.dumps(by_runs[str(runs)]), flush=True)
    results["by number of runs"] = by_runs
    if len(by_runs) > 2:
        results["exponent of processor seconds"] = exponents(by_runs)
    print(json.dumps(results, indent=1))
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
