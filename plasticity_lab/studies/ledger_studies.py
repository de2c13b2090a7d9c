"""Which studies a ledger is of."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from plasticity_lab.project import CONFIGS
from plasticity_lab.studies.claims import Claim, read_claims
from plasticity_lab.studies.ledger_record import design
from plasticity_lab.studies.settings import Settings
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.study_file import Study, read_study


class Unopened(NamedTuple):
    """A study that has not been run here."""

    file: Path
    name: str
    claims: list[Claim]
    design: str = ""


def all_studies(
    files: Sequence[Path], root: Path, opened: Callable[[Path], StudyContext]
) -> tuple[list[StudyContext], list[Unopened]]:
    """Return some studies and all that ship: those that have been run, opened, and the others.

    Args:
        files: the YAML files of studies.
        root: where runs are kept.
        opened: how a study is opened.
    """
    listed = {file.resolve() for file in files}
    shipped = [
        file
        for file in sorted((CONFIGS / "studies").glob("*.yaml"))
        if file.resolve() not in listed
    ]
    works: list[StudyContext] = []
    unopened: list[Unopened] = []
    for file in [*files, *shipped]:
        study = read_study(file)
        if (root / "studies" / study.name / "study.json").exists():
            work = opened(file)
            # One whose candidates are not all trained, as there are more of them now, is not run.
            if work.study.name == study.name:
                works.append(work)
                continue
        unopened.append(unopened_study(study))
    return works, unopened


def unopened_study(study: Study) -> Unopened:
    """Return a study as one that has not been run."""
    defaults = Settings._field_defaults | study.report
    claims = read_claims(study.claims, defaults["metric"], defaults["over"])
    return Unopened(study.file, study.name, claims, design(study))
