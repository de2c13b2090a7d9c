"""A study opened: its runs, what they have in common, and where everything is kept."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from filelock import FileLock

from plasticity_lab.errors import UserError
from plasticity_lab.runs.manifest import FILE as MANIFEST
from plasticity_lab.runs.run_directory import CONFIG
from plasticity_lab.runs.yaml_files import load_yaml
from plasticity_lab.studies import plan
from plasticity_lab.studies.code_hashes import CodeHashes, project_sources
from plasticity_lab.studies.environment_key import environment_key
from plasticity_lab.studies.files import lengths, link_or_copy, read_json, short, write_whole
from plasticity_lab.studies.resolve_configs import resolved_config
from plasticity_lab.studies.segment import Task
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.study_file import SEED, Study, read_study

RUN_FILE = "run.json"
LAST = "checkpoints/last.ckpt"


class StudyContext(NamedTuple):
    """A study opened.

    Attributes:
        study: as its file says.
        configs: each run's resolved config.
        paths: the states each run goes through.
        home: the study's folder, with one folder for each run.
        store: where segments are kept, beside those of other studies.
        threads: threads of torch in each worker.
        code: hashes of the code that the runs' states are named by, by the classes they belong to.
        config: files on top of the study's, for every run.
    """

    study: Study
    configs: list[dict[str, Any]]
    paths: list[plan.StateChain]
    home: Path
    store: Store
    threads: int
    code: dict[str, str]
    config: list[Path]

    def task(self, segment: plan.Segment, place: Path) -> Task:
        """Return what a worker has to do for a segment."""
        config = self.configs[segment.run]
        nodes = config["trainer"]["callbacks"]
        nodes = [nodes] if isinstance(nodes, dict) else nodes or []
        keeps = any("Checkpoint" in node["class_path"] for node in nodes)
        trainer = {
            **config["trainer"],
            "callbacks": nodes,
            "enable_checkpointing": keeps,
            "enable_progress_bar": False,
        }
        start = str(self.store.checkpoint(segment.start)) if segment.start else None
        stop = None if segment.whole else segment.stop
        segment_config = {**config, "trainer": {**trainer, "enable_model_summary": False}}
        return Task(
            segment.end,
            segment.start,
            start,
            segment.first,
            stop,
            segment_config,
            segment.test,
            self.threads,
            str(place),
        )

    def folder(self, number: int) -> Path:
        """Return the directory of a run."""
        return self.home / self.study.runs[number].name

    def finished(self, number: int) -> bool:
        """Whether a run is trained and tested, and all of it is there."""
        end = self.paths[number].states[-1]
        return self.store.has_test(end) and self.store.whole(end)

    def is_materialised(self, number: int) -> bool:
        """Whether a run's directory holds its results under the present settings."""
        folder = self.folder(number)
        entry = read_json(folder / RUN_FILE)
        return entry.get("state") == self.paths[number].states[-1] and not short(
            folder, entry.get("files", {})
        )

    def materialise(self, number: int) -> bool:
        """Write a finished run's directory with its whole history; return whether it is new.

        It is written whole or not at all.

        Event files of all its segments are linked, named by their first epoch: readers take them in
        the order of their names.
        """
        end, folder = self.paths[number].states[-1], self.folder(number)
        unfinished = self.home / f".{end}.tmp"
        with FileLock(self.home / ".lock"):
            if self.is_materialised(number):
                return False
            shutil.rmtree(unfinished, ignore_errors=True)
            for target, source in self._links(number).items():
                link_or_copy(source, unfinished / target.relative_to(folder))
            kept = self.store.checkpoint(end) if self.store.has_checkpoint(end) else folder / LAST
            if kept.is_file() and (
                kept != folder / LAST or read_json(folder / RUN_FILE).get("state") == end
            ):
                link_or_copy(kept, unfinished / LAST)
            manifests = [
                read_json(self.store.root / state / MANIFEST) for state in self.store.ancestors(end)
            ]
            sessions = [one for part in manifests for one in part.get("sessions", [])]
            (unfinished / MANIFEST).write_text(json.dumps({"sessions": sessions}, indent=1))
            (unfinished / CONFIG).write_text(yaml.safe_dump(self.configs[number], sort_keys=False))
            values = self.study.runs[number].values
            entry = {
                "study": self.study.name,
                "values": values,
                "state": end,
                "files": lengths(unfinished),
            }
            write_whole(unfinished / RUN_FILE, entry)
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
        return True

    def _links(self, number: int) -> dict[Path, Path]:
        """Return what a run's directory gets from its segments: target file to segment's file."""
        end, folder = self.paths[number].states[-1], self.folder(number)
        links: dict[Path, Path] = {}
        for state in self.store.ancestors(end):
            home, first = self.store.root / state, self.store.metadata(state)["first"]
            for count, file in enumerate(sorted(home.glob("*tfevents*"))):
                links[folder / f"events.out.tfevents.{first:010d}.{count}.{state}"] = file
            for file in (home / "checkpoints").glob("*.ckpt"):
                links[folder / "checkpoints" / file.name] = file
        last = self.store.metadata(end)["stop"]
        for file in (self.store.root / end / "test").glob("*tfevents*"):
            links[folder / f"events.out.tfevents.{last:010d}.test.{end}"] = file
        for file in (self.store.root / end).glob("*.csv"):
            links[folder / file.name] = file
        return links


def open_study(
    file: Path,
    root: Path,
    threads: int = 1,
    share: bool = True,
    remember: bool = False,
    fetch: bool = True,
    config: Sequence[Path] = (),
) -> StudyContext:
    """Read a study, resolve its runs and name their states.

    Args:
        file: its YAML file.
        root: where runs are kept.
        threads: threads of torch in each worker.
        share: whether runs share what they have in common.
        remember: name states by the code and the files on top of the study's last run, whatever has
            been edited since.
        fetch: whether data may be downloaded now, and must be there then.
        config: files on top of the study's for every run.

    Raises:
        UserError: for what is wrong with it, or a folder that holds another study: one whose file
            is still there. A file may be renamed and moved, as a study is known by its name.
    """
    study = read_study(file)
    home, mark = root / "studies" / study.name, root / "studies" / study.name / "study.json"
    been = read_json(mark)
    if been and (namesake := _namesake(study, Path(been["file"]))):
        raise UserError(
            "name",
            value=study.name,
            problem=f"is that of {namesake} too",
            fix="choose another name, or another --root",
        )
    if home.exists() and not mark.exists() and any(home.iterdir()):
        raise UserError(
            "name",
            value=study.name,
            problem=f"{home} holds something else",
            fix="choose another name",
        )
    last = been if remember else {}
    on_top = [one.absolute() for one in config] or [Path(one) for one in last.get("config", [])]
    study = read_study(file, on_top)
    configs = resolved_config(study.runs)
    runs = [
        run._replace(values={**run.values, "seed": config[SEED]})
        for run, config in zip(study.runs, configs, strict=True)
    ]
    study = study._replace(runs=runs)
    code = CodeHashes(project_sources(), trusted=last.get("code_of_classes"))
    paths = []
    for run, one in zip(study.runs, configs, strict=True):
        salted = environment_key(one, threads, fetch) + ("" if share else run.name)
        paths.append(plan.state_chain(one, salted, code))
    return StudyContext(
        study, configs, paths, home, Store(root / "store"), threads, code.used, on_top
    )


def _namesake(study: Study, file: Path) -> Path | None:
    """Return the file from which a folder's study was last read, if it holds another study.

    Another study of the same name, whose file still exists; else None.
    """
    if not file.is_absolute() or not file.is_file() or file.name == study.file.name:
        return None
    if file.samefile(study.file) or file.read_bytes() == study.file.read_bytes():
        return None
    try:
        content = load_yaml(file)
    except UserError:
        return None
    return file if isinstance(content, dict) and str(content.get("name")) == study.name else None
