"""What opening a study comes to, kept so that commands which do not train start at once.

To open a study, every arm is parsed as train.py would do, which needs torch and Lightning. Nothing
of that changes as long as the files that were read are the same.
"""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from plasticity_lab.project import BESIDE, CODE, PACKAGE
from plasticity_lab.studies.files import read_json, write_whole
from plasticity_lab.studies.plan import EpochSignatures
from plasticity_lab.studies.stamps import Stamp, stamp
from plasticity_lab.studies.study_parts import SEED
from plasticity_lab.studies.study_run import Run

FILE = "opened.json"

_GPUS = ("/dev/nvidia*", "/proc/driver/nvidia/gpus/*", "/dev/kfd")
_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


class Opened(NamedTuple):
    """What opening a study comes to, besides what its file says.

    Attributes:
        arms: configs in plain values, without a seed.
        arm_of_run: of each run, the number of its arm.
        seeds: of each run, its seed.
        signatures: of each arm.
        environments: of each arm; see `environment_key`.
        loggers: of each run, class path and arguments of each logger that it is sent to.
        tags: of each arm, what its runs log; see `logged_metrics`.
        code: hashes of the code that states are named by, by the classes they belong to.
        trusted: whether that code was taken from an earlier run.
    """

    arms: list[dict[str, Any]]
    arm_of_run: list[int]
    seeds: list[int]
    signatures: list[EpochSignatures]
    environments: list[str]
    loggers: list[list[dict[str, Any]]]
    tags: list[list[str] | None]
    code: dict[str, str]
    trusted: bool

    def config_of_arm(self, number: int) -> dict[str, Any]:
        """Return the config of a run's arm, without a seed."""
        return self.arms[self.arm_of_run[number]]

    def config(self, number: int) -> dict[str, Any]:
        """Return the whole config of a run."""
        return {**self.config_of_arm(number), SEED: self.seeds[number]}


class Inputs(NamedTuple):
    """What an opening has depended on, as it was just before it was read.

    Attributes:
        settings: the machine, the packages, and what the study's file says; see `settings`.
        stamps: of files and folders, by their paths; see `stamps.stamp`.
    """

    settings: dict[str, Any]
    stamps: dict[str, Stamp]


def save(home: Path, opened: Opened, inputs: Inputs) -> None:
    """Keep in a study's folder what opening it comes to.

    It is not kept where JSON cannot hold it, or where a data set or data module is the user's own:
    what such a class reads is not known.
    """
    (home / FILE).unlink(missing_ok=True)
    if json.loads(json.dumps(opened.arms, default=str)) != opened.arms:
        return
    if not all(map(_reads_what_it_names, opened.arms)):
        return
    entry = {**opened._asdict(), **inputs._asdict()}
    entry["signatures"] = [_packed(signatures) for signatures in opened.signatures]
    write_whole(home / FILE, entry)


def load(home: Path, runs: Sequence[Run], threads: int) -> Opened | None:
    """Return what opening a study came to; None if anything it depends on is another now.

    Args:
        home: the study's folder.
        runs: of the study, as its file names them.
        threads: of torch in each worker.
    """
    entry = read_json(home / FILE)
    # JSON has lists in place of tuples.
    present = json.loads(json.dumps(settings(runs, threads)))
    if not entry or entry["settings"] != present:
        return None
    try:
        if any(stamp(path) != known for path, known in entry["stamps"].items()):
            return None
    except OSError:
        return None
    entry["signatures"] = [_unpacked(packed) for packed in entry["signatures"]]
    return Opened(**{name: entry[name] for name in Opened._fields})


def keep_derived(home: Path, file: Path, name: str, value: Any) -> None:
    """Keep what takes long to find out of an opened study, if it has been run.

    Args:
        home: the study's folder.
        file: its YAML file.
        name: of what is kept.
        value: plain values.
    """
    if (home / FILE).exists():
        write_whole(home / f"{name}.json", {"of": _of(home, file), "value": value})


def derived(home: Path, file: Path, name: str) -> Any:
    """Return what is kept under a name; None if that is not known of the study as it is."""
    entry = read_json(home / f"{name}.json")
    return entry["value"] if entry.get("of") == _of(home, file) else None


def _of(home: Path, file: Path) -> str:
    """Return what it was found out of: what opening came to, and what the file says."""
    record = home / FILE
    content = record.read_bytes() if record.exists() else b""
    return hashlib.sha256(content + file.read_bytes()).hexdigest()


def settings(runs: Sequence[Run], threads: int) -> dict[str, Any]:
    """Return what an opening depends on besides files.

    Args:
        runs: of the study, as its file names them.
        threads: of torch in each worker.
    """
    named = hashlib.sha256()
    for run in runs:
        files = [str(file) for file in run.configs]
        named.update(json.dumps([files, run.overrides], default=str).encode())
    return {
        "runs": named.hexdigest(),
        "threads": threads,
        "working directory": os.getcwd(),
        "python": [sys.version, sys.prefix, *sys.path],
        "machine": f"{platform.machine()} {platform.node()}",
        "gpus": [str(path) for name in _GPUS for path in sorted(Path("/").glob(name[1:]))],
        "variables": {name: os.environ.get(name) for name in _VARIABLES},
        # Whatever is installed or removed is an entry of these folders.
        "packages": [[path, os.stat(path).st_mtime_ns] for path in _package_folders()],
    }


def _package_folders() -> list[str]:
    names = ("site-packages", "dist-packages")
    return [path for path in sys.path if path.endswith(names) and os.path.isdir(path)]


def code_stamps() -> dict[str, Stamp]:
    """Return stamps of all code of this project, which decides what an opening comes to."""
    files = [*PACKAGE.rglob("*.py")]
    for package in BESIDE:
        files += (CODE / package).rglob("*.py")
    return {str(file): stamp(str(file)) for file in files}


def data_stamps(arms: Sequence[dict[str, Any]]) -> dict[str, Stamp]:
    """Return stamps of files that runs read: texts in the arguments of data sets may be paths.

    And the weights that training begins from.
    """
    texts = {text for arm in arms for text in _texts(_dataset(arm).get("init_args"))}
    texts |= {
        str((arm["model"].get("init_args") or {}).get("initial_weights") or "") for arm in arms
    }
    return {text: stamp(text) for text in texts if text}


def _dataset(arm: dict[str, Any]) -> dict[str, Any]:
    return (arm["data"].get("init_args") or {}).get("dataset") or {}


def _reads_what_it_names(arm: dict[str, Any]) -> bool:
    """Whether the classes that read an arm's data are of this project."""
    paths = [arm["data"]["class_path"], _dataset(arm).get("class_path", BESIDE[0])]
    return all(path.partition(".")[0] in BESIDE for path in paths)


def _texts(nest: Any) -> Iterator[str]:
    if isinstance(nest, dict):
        for part in nest.values():
            yield from _texts(part)
    elif isinstance(nest, list):
        for part in nest:
            yield from _texts(part)
    elif isinstance(nest, str):
        yield nest


def _packed(signatures: EpochSignatures) -> dict[str, Any]:
    """Return signatures with a count in place of repeated epochs."""
    epochs = [[text, len(list(equal))] for text, equal in groupby(signatures.epochs)]
    return {**signatures._asdict(), "epochs": epochs}


def _unpacked(packed: dict[str, Any]) -> EpochSignatures:
    epochs = [text for text, count in packed["epochs"] for _ in range(count)]
    return EpochSignatures(**{**packed, "epochs": epochs})
