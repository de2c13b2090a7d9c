"""An opened study: its runs, what they share, and where everything is kept."""

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from filelock import FileLock

from plasticity_lab.errors import UserError
from plasticity_lab.runs.file_names import CONFIG, MANIFEST
from plasticity_lab.runs.yaml_files import load_yaml
from plasticity_lab.studies import opened_record, plan, scalars
from plasticity_lab.studies.files import lengths, link_or_copy, read_json, short, write_whole
from plasticity_lab.studies.opened_record import Inputs, Opened
from plasticity_lab.studies.phases import phase, provisional, selection_name
from plasticity_lab.studies.store import TEST, Store
from plasticity_lab.studies.stored_states import StoredStates
from plasticity_lab.studies.study_file import Run, Study, read_study
from plasticity_lab.studies.task import Task

RUN_FILE = "run.json"
LAST = "checkpoints/last.ckpt"
STUDY_FILE = "study.json"
SENT_FILE = "sent.json"
FAILED = "failed"


class StudyContext(NamedTuple):
    """An opened study.

    Attributes:
        study: the content of its file.
        opened: the configs of its runs, and what decides their numbers besides.
        inputs: what opening it depended on; None if it was known from before.
        paths: the states each run goes through.
        home: the study's folder, with one folder for each run.
        store: where segments are kept, beside those of other studies.
        threads: threads of torch in each worker.
    """

    study: Study
    opened: Opened
    inputs: Inputs | None
    paths: list[plan.StateChain]
    home: Path
    store: Store
    threads: int

    def task(self, segment: plan.Segment, place: Path) -> Task:
        """Return the task of a worker for a segment."""
        config = self.opened.config(segment.run)
        nodes = config["trainer"]["callbacks"]
        nodes = [nodes] if isinstance(nodes, dict) else nodes or []
        trainer = {
            **config["trainer"],
            "callbacks": nodes,
            "enable_checkpointing": any("Checkpoint" in node["class_path"] for node in nodes),
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        return Task(
            state=segment.end,
            start=segment.start,
            checkpoint=str(self.store.checkpoint(segment.start)) if segment.start else None,
            first=segment.first,
            stop=None if segment.whole else segment.stop,
            config={**config, "trainer": trainer},
            test=segment.test,
            threads=self.threads,
            place=str(place),
        )

    def keep(self) -> None:
        """Note what this study is, so that it is opened at once the next time."""
        entry = {
            "file": str(self.study.file.absolute()),
            "code_of_classes": self.opened.code,
            "config": [str(file) for file in self.study.config],
            "chooses_for": self.study.chooses_for,
        }
        write_whole(self.home / STUDY_FILE, entry)
        if self.inputs:
            opened_record.save(self.home, self.opened, self.inputs)

    def failures(self) -> dict[str, str]:
        """Return the output of the segments that failed in the last run, by the state's id."""
        files = (self.home / FAILED).glob("*.txt")
        return {file.stem: file.read_text() for file in files}

    def folder(self, number: int) -> Path:
        """Return the directory of a run."""
        return self.home / self.study.runs[number].name

    def finished(self, stored: StoredStates | None = None) -> list[int]:
        """Return the numbers of the runs that are trained and tested, all of which is stored.

        Args:
            stored: what the store holds; by default it is looked up now.
        """
        stored = stored or StoredStates(self.store)
        return [
            number for number, path in enumerate(self.paths) if stored.finished(path.states[-1])
        ]

    def is_materialised(self, number: int) -> bool:
        """Whether a run's directory holds its results under the present settings."""
        folder = self.folder(number)
        entry = read_json(folder / RUN_FILE)
        current = entry.get("state") == self.paths[number].states[-1]
        return current and not short(folder, entry.get("files", {}))

    def is_sent(self, number: int) -> bool:
        """Whether a run's results have been sent to the loggers of its config."""
        nodes = self.opened.loggers[number]
        return not nodes or read_json(self.folder(number) / SENT_FILE).get("loggers") == nodes

    def send(self, number: int) -> str:
        """Send a run's results to the loggers of its config; return what went wrong, if anything.

        What has been sent is not sent again.
        """
        if self.is_sent(number):
            return ""
        # Only here, as it imports Lightning.
        from plasticity_lab.studies.loggers import send

        nodes, folder = self.opened.loggers[number], self.folder(number)
        problem = send(nodes, folder, self.opened.config(number))
        if not problem:
            write_whole(folder / SENT_FILE, {"loggers": nodes})
        return problem

    def materialise(self, number: int) -> bool:
        """Write a finished run's directory with its whole history; return whether it is new.

        It is written whole or not at all. Event files of all its segments are linked, named by
        their first epoch: readers take them in the order of their names.
        """
        end = self.paths[number].states[-1]
        folder = self.folder(number)
        unfinished = self.home / f".{end}.tmp"
        with FileLock(self.home / ".lock"):
            if self.is_materialised(number):
                return False
            shutil.rmtree(unfinished, ignore_errors=True)

            # Files of its segments, and its last state: the store's, or that of the directory
            # before, if it is the same.
            for target, source in self._links(number).items():
                link_or_copy(source, unfinished / target.relative_to(folder))
            if self.store.has_checkpoint(end):
                link_or_copy(self.store.checkpoint(end), unfinished / LAST)
            elif (folder / LAST).is_file() and read_json(folder / RUN_FILE).get("state") == end:
                link_or_copy(folder / LAST, unfinished / LAST)

            # All that it has logged, its manifest, config, and what identifies it.
            homes = [self.store.root / state for state in self.store.ancestors(end)]
            scalars.write(unfinished, scalars.joined([*homes, homes[-1] / TEST]))
            sessions: list[Any] = []
            for home in homes:
                sessions += read_json(home / MANIFEST).get("sessions", [])
            (unfinished / MANIFEST).write_text(json.dumps({"sessions": sessions}, indent=1))
            config = self.opened.config(number)
            (unfinished / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False))
            entry = {
                "study": self.study.name,
                "values": self.study.runs[number].values,
                "state": end,
                "files": lengths(unfinished),
            }
            write_whole(unfinished / RUN_FILE, entry)

            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
        return True

    def _links(self, number: int) -> dict[Path, Path]:
        """Return what a run's directory gets from its segments: target file to segment's file."""
        end = self.paths[number].states[-1]
        folder = self.folder(number)
        links: dict[Path, Path] = {}
        for state in self.store.ancestors(end):
            home = self.store.root / state
            first = self.store.metadata(state)["first"]
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
    trust_code: bool = False,
    fetch: bool = True,
    config: Sequence[Path] = (),
) -> StudyContext:
    """Read a study, resolve its runs and name their states.

    Where coefficients are chosen first, it is the study of the candidates until they are trained.

    Args:
        file: its YAML file.
        root: where runs are kept.
        threads: threads of torch in each worker.
        share: whether runs share what they have in common.
        trust_code: name states by the code and the files on top of the study's last run, whatever
            has been edited since.
        fetch: whether data may be downloaded now, and must be there then.
        config: files on top of the study's for every run.

    Raises:
        UserError: for what is wrong with it, or a folder that holds another study: one whose file
            is still there. A file may be renamed and moved, as a study is known by its name.
    """
    if not fetch:
        known = reopen_study(file, root, threads, share, trust_code, config)
        if known:
            return known
    study = _read(file, root, trust_code, config)
    work = phase(study, partial(_open, root, threads, share, trust_code, fetch))
    assert work
    return work


def open_provisional(file: Path, root: Path, config: Sequence[Path] = ()) -> StudyContext:
    """Return a study whose coefficients are yet to be chosen, with the first of each arm.

    So what is wrong with it shows before its candidates are trained. Arguments as `open_study`.
    """
    study = provisional(_read(file, root, False, config))
    return _open(root, 1, True, False, False, study)


def _open(
    root: Path, threads: int, share: bool, trust_code: bool, fetch: bool, study: Study
) -> StudyContext:
    """Open one study, and keep what that comes to if the study has been run."""
    _check_folder(root, study)
    # Only here, as it imports torch and Lightning.
    from plasticity_lab.studies.opening import open_fully

    trusted = _last_code(root, study) if trust_code else None
    opened, inputs = open_fully(study, threads, trusted, fetch)
    work = _context(study, root, threads, share, opened)._replace(inputs=inputs)
    if (work.home / STUDY_FILE).exists():
        opened_record.save(work.home, opened, inputs)
    return work


def reopen_study(
    file: Path,
    root: Path,
    threads: int = 1,
    share: bool = True,
    trust_code: bool = False,
    config: Sequence[Path] = (),
) -> StudyContext | None:
    """Return a study as it was opened last; None if anything it depends on is another now.

    Nothing is parsed for that, and neither torch nor Lightning imported. Arguments as `open_study`.
    """
    study = _read(file, root, trust_code, config)
    return phase(study, partial(_reopen, root, threads, share, trust_code))


def _reopen(
    root: Path, threads: int, share: bool, trust_code: bool, study: Study
) -> StudyContext | None:
    """Return one study as it was opened last; None if anything it depends on is another now."""
    home = root / "studies" / study.name
    opened = opened_record.load(home, study.runs, threads)
    trusted = _last_code(root, study) if trust_code else None
    is_of_this_code = opened and (opened.code == trusted if trusted else not opened.trusted)
    if opened is None or not is_of_this_code:
        return None
    return _context(study, root, threads, share, opened)


def _check_folder(root: Path, study: Study) -> None:
    """Raise UserError if a study's folder is that of a selection, or the other way round."""
    earlier = read_json(root / "studies" / study.name / STUDY_FILE)
    if earlier and earlier.get("chooses_for", "") != study.chooses_for:
        problem = "is that of a study that chooses coefficients for another"
        if study.chooses_for:
            problem = (
                f"is that of another study, and {study.chooses_for} needs it for its selection"
            )
        raise UserError(
            "name",
            value=study.name,
            problem=problem,
            fix="choose another name, or another --root",
        )


def _last_code(root: Path, study: Study) -> dict[str, str] | None:
    """Return the hashes of the code of a study's last run; None if there was none."""
    code: dict[str, str] | None = read_json(root / "studies" / study.name / STUDY_FILE).get(
        "code_of_classes"
    )
    return code


def _read(file: Path, root: Path, trust_code: bool, config: Sequence[Path]) -> Study:
    """Return a study's content, with the files on top of this call or of its last run."""
    # The folder must be this study's.
    study = read_study(file)
    home = root / "studies" / study.name
    mark = home / STUDY_FILE
    earlier = read_json(mark)
    if earlier and (namesake := _namesake(study, Path(earlier["file"]))):
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

    # Files on top are those of this call, or of the last run.
    last = earlier or read_json(root / "studies" / selection_name(study) / STUDY_FILE)
    on_top = [path.absolute() for path in config]
    if not on_top and trust_code:
        on_top = [Path(path) for path in last.get("config", [])]
    return read_study(file, on_top) if on_top else study


def _context(study: Study, root: Path, threads: int, share: bool, opened: Opened) -> StudyContext:
    """Name the states of a study's runs."""
    runs: list[Run] = []
    paths: list[plan.StateChain] = []
    for run, arm, seed in zip(study.runs, opened.arm_of_run, opened.seeds, strict=True):
        environment = opened.environments[arm]
        if not share:
            environment += run.name
        paths.append(plan.state_chain(opened.signatures[arm], seed, environment))
        runs.append(run._replace(values={**run.values, "seed": seed}))
    return StudyContext(
        study=study._replace(runs=runs),
        opened=opened,
        inputs=None,
        paths=paths,
        home=root / "studies" / study.name,
        store=Store(root / "store"),
        threads=threads,
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
