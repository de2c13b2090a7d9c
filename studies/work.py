"""A study opened: its runs, what they have in common, and where everything is kept."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from errors import UserError
from run_directory import CONFIG
from studies import plan
from studies.grid import SEED, Study, read_study
from studies.resolve import resolved
from studies.salt import present_code, salt
from studies.segment import Task
from studies.store import Store

RUN = "run.json"


class Work(NamedTuple):
    """A study opened.

    Attributes:
        study: as its file says.
        configs: each run's resolved config.
        paths: the states each run goes through.
        home: the study's folder, with one folder for each run.
        store: where segments are kept, beside those of other studies.
        threads: threads of torch in each worker.
        code: hash of this project's code, or of the version that is trusted.
        config: files on top of the study's, for every run.
    """

    study: Study
    configs: list[dict[str, Any]]
    paths: list[plan.Path]
    home: Path
    store: Store
    threads: int
    code: str
    config: list[Path]

    def task(self, segment: plan.Segment, place: Path) -> Task:
        """Return what a worker has to do for a segment."""
        config = self.configs[segment.run]
        nodes = config["trainer"]["callbacks"]
        nodes = [nodes] if isinstance(nodes, dict) else nodes or []
        keeps = any("Checkpoint" in node["class_path"] for node in nodes)
        trainer = {**config["trainer"], "callbacks": nodes, "enable_checkpointing": keeps, "enable_progress_bar": False}
        start = str(self.store.checkpoint(segment.start)) if segment.start else None
        stop = None if segment.whole else segment.stop
        segment_config = {**config, "trainer": {**trainer, "enable_model_summary": False}}
        return Task(segment.end, segment.start, start, segment.first, stop, segment_config, segment.test, self.threads, str(place))

    def folder(self, number: int) -> Path:
        """Return the directory of a run."""
        return self.home / self.study.runs[number].name

    def finished(self, number: int) -> bool:
        """Whether a run is trained and tested."""
        end = self.paths[number].states[-1]
        return self.store.logged(end) and self.store.tested(end)

    def assembled(self, number: int) -> bool:
        """Whether a run's directory holds what it ends in now, not what it ended in with other settings."""
        file = self.folder(number) / RUN
        return file.exists() and bool(json.loads(file.read_text())["state"] == self.paths[number].states[-1])

    def assemble(self, number: int) -> bool:
        """Give a finished run its directory, with its whole history; return whether it is new.

        Event files of all its segments are linked, named by their first epoch: readers take them in the order of their names.
        """
        end, folder = self.paths[number].states[-1], self.folder(number)
        entry = {"study": self.study.name, "values": self.study.runs[number].values, "state": end}
        if self.assembled(number):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        history = self.store.history(end)
        for state in history:
            first = self.store.done(state)["first"]
            for count, file in enumerate(sorted((self.store.root / state).glob("*tfevents*"))):
                place(file, folder / f"events.out.tfevents.{first:010d}.{count}.{state}")
            for file in (self.store.root / state / "checkpoints").glob("*.ckpt"):
                place(file, folder / "checkpoints" / file.name)
        last = self.store.done(end)["stop"]
        for file in (self.store.root / end / "test").glob("*tfevents*"):
            place(file, folder / f"events.out.tfevents.{last:010d}.test.{end}")
        for file in (self.store.root / end).glob("*.csv"):
            place(file, folder / file.name)
        if self.store.kept(end):
            place(self.store.checkpoint(end), folder / "checkpoints" / "last.ckpt")
        sessions = [json.loads((self.store.root / state / "manifest.json").read_text())["sessions"] for state in history]
        (folder / "manifest.json").write_text(json.dumps({"sessions": [one for part in sessions for one in part]}, indent=1))
        (folder / CONFIG).write_text(yaml.safe_dump(self.configs[number], sort_keys=False))
        write_whole(folder / RUN, entry)
        return True


def place(file: Path, target: Path) -> None:
    """Link a file, in place of what is there, or copy it where that is another disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copy2(file, target)


def write_whole(file: Path, entry: dict[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    unfinished.write_text(json.dumps(entry, indent=1))
    unfinished.replace(file)


def open_study(
    file: Path,
    root: Path,
    threads: int = 1,
    share: bool = True,
    remember: bool = False,
    fetch: bool = True,
    config: Sequence[Path] = (),
) -> Work:
    """Read a study, resolve its runs and name their states.

    Args:
        file: its YAML file.
        root: where runs are kept.
        threads: threads of torch in each worker.
        share: whether runs share what they have in common.
        remember: name states by the code and the files on top of the study's last run, whatever has been edited since.
        fetch: whether data may be downloaded now, and must be there then.
        config: files on top of the study's for every run.

    Raises:
        UserError: for what is wrong with it, or a folder that holds another study.
    """
    study = read_study(file)
    home, mark = root / "studies" / study.name, root / "studies" / study.name / "study.json"
    been = json.loads(mark.read_text()) if mark.exists() else None
    if been and been["file"] != file.name:
        raise UserError(f"name: {study.name}: {home} holds the study of {been['file']}; choose another name")
    if home.exists() and not been and any(home.iterdir()):
        raise UserError(f"name: {study.name}: {home} holds something else; choose another name")
    last: dict[str, Any] = been if been and remember else {"code": present_code(), "config": []}
    on_top = [one.absolute() for one in config] or [Path(one) for one in last["config"]]
    study = read_study(file, on_top)
    configs = resolved(study.runs)
    runs = [run._replace(values={**run.values, "seed": config[SEED]}) for run, config in zip(study.runs, configs, strict=True)]
    study = study._replace(runs=runs)
    salts = [
        salt(one, threads, last["code"], fetch) + ("" if share else run.name) for run, one in zip(study.runs, configs, strict=True)
    ]
    paths = [plan.path(one, salted) for one, salted in zip(configs, salts, strict=True)]
    return Work(study, configs, paths, home, Store(root / "store"), threads, last["code"], on_top)
