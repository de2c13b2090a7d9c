"""What is wrong with an arm of a study, found before anything is trained."""

import logging
import tempfile
import warnings
from pathlib import Path

import yaml
from lightning_fabric.utilities.exceptions import MisconfigurationException

from plasticity_lab.errors import UserError
from plasticity_lab.runs.build import build as build_run
from plasticity_lab.runs.parse import parse
from plasticity_lab.runs.run import Run
from plasticity_lab.runs.run_directory import RunLocation
from plasticity_lab.studies.study_context import StudyContext


def check_arms(work: StudyContext) -> None:
    """Build one run of each unfinished arm, with all checks that train.py makes.

    Raises:
        UserError: with the name of the run, and the line that train.py would end with.
    """
    finished = set(work.finished())
    unfinished: dict[int, int] = {}
    for number, arm in enumerate(work.opened.arm_of_run):
        if number not in finished:
            unfinished.setdefault(arm, number)
    for number in unfinished.values():
        build(work, number)


def build(work: StudyContext, number: int) -> Run:
    """Build a run of a study, with all checks that train.py makes; nothing stays on disk.

    Raises:
        UserError: with the name of the run, and the line that train.py would end with.
    """
    logging.disable(logging.INFO)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
            file = Path(folder) / "run.yaml"
            file.write_text(yaml.safe_dump(work.opened.config(number), sort_keys=False))
            run = build_run(
                parse(["fit", "--config", str(file)]), RunLocation(Path(folder), None, None)
            )
            run.check()
            return run
    except UserError as error:
        raise error.within(work.study.runs[number].name) from None
    except MisconfigurationException as error:
        raise UserError(work.study.runs[number].name, problem=error) from None
    finally:
        logging.disable(logging.NOTSET)
