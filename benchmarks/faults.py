"""Kill the runner of a study, its workers, or both at random moments, and count what is lost.

About 12 minutes on two cores.

python benchmarks/faults.py [--kills 20] [--json benchmarks/faults.json]
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
import yaml

from plasticity_lab.project import CODE, ROOT
from plasticity_lab.runs.manifest import session
from plasticity_lab.studies.open_study import open_study
from plasticity_lab.studies.plan import segments
from plasticity_lab.studies.study_context import StudyContext

STUDY = {
    "name": "faults",
    "config": [str(ROOT / "configs/digits.yaml")],
    "axes": [{"removed": [1, 2, 3]}, {"seed_everything": list(range(48))}],
    "set": {
        "data.init_args.deficits": [
            {
                "class_path": "datamodules.Blur",
                "init_args": {"size": 4, "during": ["0ep", "{removed}ep"]},
            }
        ],
        "trainer.max_epochs": "{removed + 2}",
    },
}

KINDS = ("runner", "worker", "both")

LONGEST_WAIT = 8.0
"""Seconds between the first sign of training and a kill, at most; a segment takes one or two."""


def start(root: Path) -> "subprocess.Popen[bytes]":
    """Start the runner of the study in the working directory, as a user does."""
    command = [sys.executable, str(CODE / "study.py"), "run", "faults.yaml"]
    with Path("runner.log").open("ab") as log:
        return subprocess.Popen([*command, "--jobs", "2", "--root", root], stdout=log, stderr=log)


def published(work: StudyContext) -> dict[str, int]:
    """Return when each segment was moved to its place."""
    entries = work.store.root.glob("[!.]*/done.json")
    return {entry.parent.name: entry.stat().st_mtime_ns for entry in entries}


def workers(work: StudyContext) -> list[int]:
    """Return the processes that train: they hold a log open in the store."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            names = [os.readlink(file) for file in (place / "fd").iterdir()]
        except OSError:
            continue
        if any(name.startswith(f"{work.store.root}/.tmp-") for name in names):
            found.append(int(place.name))
    return found


def kill(kind: str, runner: "subprocess.Popen[bytes]", work: StudyContext) -> bool:
    """Kill with signal 9; return whether there was something to kill."""
    victims = workers(work)
    if kind == "worker":
        victims = victims[:1]
    if runner.poll() is not None or not victims:
        return False
    if kind != "worker":
        runner.kill()
    if kind != "runner":
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
    return True


def disturbed(work: StudyContext, kills: int) -> tuple[Counter[str], int, int]:
    """Train until so many kills have been made.

    Returns:
        Kills by kind, how many segments were published again although they were there, and how
        many workers were alive two seconds after their runner.
    """
    chance = random.Random(0)
    made = Counter[str]()
    again = 0
    outlived = 0
    root = work.store.root.parent
    runner = start(root)
    while made.total() < kills:
        before = published(work)
        while not workers(work) and runner.poll() is None:
            time.sleep(0.02)
        time.sleep(LONGEST_WAIT * chance.random())
        kind = KINDS[made.total() % len(KINDS)]
        if kill(kind, runner, work):
            made[kind] += 1
            print(f"{made.total()} {kind}: {len(before)} segments were stored", flush=True)
            if kind != "worker":
                runner.wait()
                time.sleep(2)
                outlived += len(workers(work))
        after = published(work)
        again += sum(after.get(state) != when for state, when in before.items())
        if runner.poll() is not None:
            assert segments(work.paths, work.store), "the study is too small for so many kills"
            runner = start(root)
    runner.send_signal(signal.SIGINT)
    runner.wait()
    return made, again, outlived


def states(work: StudyContext) -> dict[str, dict[str, str]]:
    """Return the hashes of all states that runs end in."""
    ends = [path.states[-1] for path in work.paths]
    return {end: work.store.metadata(end).get("state", {}) for end in ends}


def measured(kills: int) -> dict[str, object]:
    """Return the counts of a disturbed study, completed afterwards, and of an undisturbed one."""
    Path("faults.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    work = open_study(Path("faults.yaml"), Path("disturbed").absolute())
    planned = segments(work.paths, work.store)
    made, again, outlived = disturbed(work, kills)

    # The same command completes it.
    before = published(work)
    missing = {segment.end for segment in segments(work.paths, work.store)}
    code = start(work.store.root.parent).wait()
    after = published(work)
    trained = {state for state, when in after.items() if before.get(state) != when}

    undisturbed = open_study(Path("faults.yaml"), Path("undisturbed").absolute())
    start(undisturbed.store.root.parent).wait()
    differ = [end for end, state in states(undisturbed).items() if states(work)[end] != state]
    return {
        "kills": dict(made),
        "segments of the study": len(planned),
        "segments published again while killing": again,
        "workers alive two seconds after their runner": outlived,
        "segments missing after the kills": len(missing),
        "segments trained to complete it": len(trained),
        "of these not missing, or missing and not trained": len(missing ^ trained),
        "exit code of the command that completes it": code,
        "runs not done": len(work.study.runs) - len(work.finished()),
        "runs whose last state differs from the undisturbed": len(differ),
        "unfinished folders left": len(list(work.store.root.glob(".tmp-*"))),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    file = options.json.absolute() if options.json else None
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        results = measured(options.kills)
        os.chdir("/")
    results["seconds"] = round(time.monotonic() - begun)
    manifest = session(torch.device("cpu"), [], None)
    results["manifest"] = {key: manifest[key] for key in ("versions", "device")}
    print(json.dumps(results, indent=1))
    if file:
        file.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
