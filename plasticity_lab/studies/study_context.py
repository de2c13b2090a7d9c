"""An opened study: its runs, what they share, and where everything is kept."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from filelock import FileLock

from plasticity_lab.runs.file_names import CONFIG, MANIFEST
from plasticity_lab.studies import opened_record, plan, scalars
from plasticity_lab.studies.files import lengths, link_or_copy, read_json, short, write_whole
from plasticity_lab.studies.opened_record import Inputs, Opened
from plasticity_lab.studies.store import TEST, Store
from plasticity_lab.studies.stored_states import StoredStates
from plasticity_lab.studies.study_file import Study
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

    def weights(self, number: int) -> Path:
        """Return the file of the weights that a run ends in."""
        return self.folder(number) / LAST

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
